/* Printing results that hold names of the user's: files, matrices, metadata. */
#ifndef PG_CMD_PRINT_H
#define PG_CMD_PRINT_H

#include "harness/base/error.h"

#include <stdio.h>

/* Columns of a terminal, at least 40; of one that does not tell them $COLUMNS, or 80. 0: it is no terminal, and lines are as
 * long as they are. */
size_t pg_print_width(FILE *stream);

/* printf of whole lines, with control characters other than line ends and tabs replaced by '?', as error messages have them. On
 * a terminal too narrow for a line it is broken at blanks and goes on in column `hang`; without one behind its first gap of two
 * blanks, or four columns further in than it begins. A word that does not fit there, an id or a path, has a line of its own. */
void pg_print(const char *format, ...) PG_PRINTF(1, 2);
void pg_print_hanging(size_t hang, const char *format, ...) PG_PRINTF(2, 3);
/* The same with nothing broken: what is copied whole, or read by programs. */
void pg_print_verbatim(const char *format, ...) PG_PRINTF(1, 2);

/* A page of prose, to any stream. Broken lines go on where what they say begins, and lines that went on there are joined to
 * them. */
void pg_print_fitted(const char *text, FILE *stream);

#endif
