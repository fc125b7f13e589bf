/* Matrix files: fixed values, crossed axes, zipped lists, exclusions. Knows keys only as text; what they mean is resolved in
 * cells.c.
 *
 *   name = "threshold"
 *   [fixed]    one value per key
 *   [axes]     lists, crossed; the order of lines is the order of rows, the first line changes slowest
 *   [[zip]]    lists of equal length, walked together, then crossed with the axes
 *   [[exclude]] rows that match every key of it are left out; a list matches any of its values */
#ifndef PG_PLAN_MATRIX_H
#define PG_PLAN_MATRIX_H

#include "harness/base/buf.h"
#include "harness/plan/toml.h"

#include <stdint.h>

/* All that is wrong, one line each: "FILE:LINE: text\n". No line is kept twice. */
typedef struct pg_problems {
    pg_buf text;
    size_t n;
    const char *path;
    bool options; /* the file stands for options of the command line: "--KEY: text\n" or "--set MODULE.OPTION: text\n" instead
                     of a line's number */
} pg_problems;
void pg_problems_init(pg_problems *problems, const char *path);
void pg_problems_release(pg_problems *problems);
/* `line` > 0: of the file; else the value came from "-S KEY=..." */
void pg_problem(pg_problems *problems, int line, const char *key, const char *format, ...) PG_PRINTF(4, 5);

typedef struct pg_matrix_key {
    const char *key;
    int line; /* 0: from -S */
    size_t walk;
    size_t n;
    const pg_toml_value *values;
} pg_matrix_key;

/* Keys walked together: one key of [axes], one table of [[zip]]; keys of [fixed] have a walk of one step each. */
typedef struct pg_matrix_walk {
    size_t steps;
    int line;
} pg_matrix_walk;

typedef struct pg_matrix {
    pg_toml toml; /* owns the text of the file's values */
    char *name;
    char **owned; /* text of -S values */
    size_t n_owned;
    pg_matrix_key *keys; /* in the order of lines */
    size_t n_keys;
    pg_matrix_walk *walks;
    size_t n_walks;
    size_t rows; /* product of the walks, before exclusions */
} pg_matrix;

enum { PG_MATRIX_ROWS_MAX = 1000000 };

/* Parses text and overrides; *new* inside, pg_matrix_release. PG_EINPUT for a syntax error (its message alone); other faults go
 * to problems, and the matrix is then not to be expanded. */
int pg_matrix_read(const char *path, const char *text, size_t size, const char *const *overrides, size_t n_overrides,
                   pg_problems *problems, pg_matrix *out) PG_MUST_USE;
void pg_matrix_release(pg_matrix *matrix);

/* Values of row i, one per key in the order of keys; false where it is excluded. */
bool pg_matrix_row(const pg_matrix *matrix, size_t i, const pg_toml_value **values);
/* Appends the text as a string of a matrix file, quotes included. */
void pg_matrix_string(pg_buf *out, const char *text);
/* How [[exclude]] compares values: equal as written, or equal as numbers. */
bool pg_matrix_same_value(const char *a, const char *b);
/* True for keys with more than one value, and keys of [axes] and [[zip]]. */
bool pg_matrix_varies(const pg_matrix *matrix, size_t key);

#endif
