/* The version of the program, as --version prints it. */
#ifndef PG_BASE_VERSION_H
#define PG_BASE_VERSION_H

#define PG_VERSION "0.1.0"

#endif
