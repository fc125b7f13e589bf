/* Printing results that hold names of the user's: files, matrices, metadata. */
#ifndef PG_CMD_PRINT_H
#define PG_CMD_PRINT_H

#include "harness/base/error.h"

#include <jansson.h>

/* printf, with control characters other than line ends and tabs replaced by '?', as error messages have them. */
void pg_print(const char *format, ...) PG_PRINTF(1, 2);

/* A JSON string of such a text: what is no UTF-8 or no character of XML is replaced. *new*, NULL if out of memory. */
json_t *pg_json_text(const char *text);

#endif
