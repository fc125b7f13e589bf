/* JSON by jansson, but for this: where memory runs out, jansson may leave letters out of a text and go on. These two say so. */
#ifndef PG_BASE_JSON_H
#define PG_BASE_JSON_H

#include "harness/base/error.h"

#include <jansson.h>

/* *out is *new*, json_decref. PG_ENOMEM with a message; PG_EDAMAGED, where `error` says why and the message is the caller's.
 * Keys given twice are an error. */
int pg_json_load(const char *text, size_t size, json_t **out, json_error_t *error) PG_MUST_USE;
/* json_dumps. *new*, free; NULL (also for NULL): out of memory. */
char *pg_json_dump(const json_t *value, size_t flags) PG_MUST_USE;
/* A JSON string of any text: pg_text_flat, line ends kept. *new*, NULL if out of memory. */
json_t *pg_json_text(const char *text);

#endif
