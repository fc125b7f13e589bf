/* Printing results that hold names of the user's: files, matrices, metadata. */
#ifndef PG_CMD_PRINT_H
#define PG_CMD_PRINT_H

#include "harness/base/error.h"

#include <jansson.h>
#include <stdio.h>

/* printf, with control characters other than line ends and tabs replaced by '?', as error messages have them. */
void pg_print(const char *format, ...) PG_PRINTF(1, 2);

/* Text of whole lines. On a terminal too narrow for them they are broken at words, and go on in the column where what they say
 * begins: behind the first gap of two blanks, or where the line begins. */
void pg_print_fitted(const char *text, FILE *stream);

/* A JSON string of such a text: what is no UTF-8 or no character of XML is replaced. *new*, NULL if out of memory. */
json_t *pg_json_text(const char *text);

#endif
