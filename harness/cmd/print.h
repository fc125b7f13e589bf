/* Printing results that hold names of the user's: files, matrices, metadata. */
#ifndef PG_CMD_PRINT_H
#define PG_CMD_PRINT_H

#include "harness/base/error.h"

/* printf, with control characters other than line ends and tabs replaced by '?', as error messages have them. */
void pg_print(const char *format, ...) PG_PRINTF(1, 2);

#endif
