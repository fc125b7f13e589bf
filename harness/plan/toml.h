/* TOML as a flat list of "key = value" lines in the order of the file, with line numbers. The reader is toml++ behind one
 * function. */
#ifndef PG_PLAN_TOML_H
#define PG_PLAN_TOML_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pg_toml_value {
    char *text; /* strings as they are, numbers in shortest form, true or false */
    int line;
} pg_toml_value;

enum { PG_TOML_RANGE_MAX = 1000000 }; /* numbers of {range = [FIRST, LAST]}, which reads as a list */

typedef struct pg_toml_entry {
    char *section; /* "" at the top, "axes" in [axes], "zip" in [[zip]] */
    int table;     /* which [[...]] of its section, from 0; -1: not in an array of tables */
    char *key;     /* a.b for nested tables as for "a.b"; "" stands for a section without lines */
    int line;
    bool array; /* value is an array; else n is 1 */
    size_t n;
    pg_toml_value *values;
} pg_toml_entry;

typedef struct pg_toml {
    size_t n;
    pg_toml_entry *entries; /* in the order of the file */
} pg_toml;

/* Parses text; *new* inside, pg_toml_release. `path` is for messages. PG_EINPUT with the line for a syntax error and for values
 * that are no string, number, boolean, range of numbers or array of them. */
int pg_toml_parse(const char *path, const char *text, size_t size, pg_toml *out) PG_MUST_USE;
void pg_toml_release(pg_toml *toml);

#ifdef __cplusplus
}
#endif

#endif
