/* Option tables: one table drives parsing, range errors, help, the recorded configuration and the docs.
 *
 * A table is a const array that ends with a row whose name is NULL. Each row names a field of a plain struct by offset. The
 * C type of the field follows from the row's type (see pg_option_type).
 *
 *     static const pg_option options[] = {
 *         {"steps", PG_OPTION_INT, offsetof(config, steps), "100", 1, 10000, .help = "steps of an attempt"},
 *         {"loss", PG_OPTION_CHOICE, offsetof(config, loss), "margin", .choices = losses, .help = "what is raised"},
 *         {0},
 *     }; */
#ifndef PG_BASE_OPTION_H
#define PG_BASE_OPTION_H

#include "harness/base/buf.h"

#include <stdint.h>

typedef enum pg_option_type {
    PG_OPTION_BOOL,    /* bool: true|false|yes|no|on|off|1|0 */
    PG_OPTION_INT,     /* int64_t in [min, max] */
    PG_OPTION_DECIMAL, /* double in [min, max], finite */
    PG_OPTION_PPM,     /* int64_t, parts per million; written as a decimal with at most 6 decimals, in [min, max] as written */
    PG_OPTION_CHOICE,  /* int: index into choices */
    PG_OPTION_RANGE,   /* pg_range: LO:HI, either may be inf or -inf; "auto" where the fallback is "auto" */
    PG_OPTION_TEXT,    /* char[PG_OPTION_TEXT_MAX], printable, no newline */
    PG_OPTION_RGB,     /* pg_rgb, each finite and in [min, max]: R,G,B, or one number for all three */
} pg_option_type;

enum { PG_OPTION_TEXT_MAX = 128 };

typedef struct pg_range {
    double lo, hi; /* lo <= hi; both NaN: "auto", to be resolved by the module */
} pg_range;

typedef struct pg_rgb {
    double value[3]; /* red, green, blue */
} pg_rgb;

typedef struct pg_option {
    const char *name; /* lower case, as the user writes it */
    pg_option_type type;
    size_t offset;              /* offsetof(struct, field) */
    const char *fallback;       /* default, as the user would write it */
    double min, max;            /* INT, DECIMAL, PPM, RANGE, RGB: inclusive limits; both 0: none */
    const char *const *choices; /* CHOICE: NULL-terminated */
    bool recorded_only;         /* true: does not change results, not part of identity */
    bool later;         /* true: newer than its module: where it has its fallback it is no part of identity, so that ids stay */
    const char *before; /* with later, optional: what results from before the option have, in the place of its fallback */
    const char *help;   /* one line */
} pg_option;

/* Fills `config` with the fallbacks. Table errors are our own bugs (assert). */
void pg_options_defaults(const pg_option *table, void *config);

/* Sets one option. PG_EINPUT with the nearest valid name for an unknown key, and with the range for a bad value. `owner`
 * names the module for the message ("defense robust-masking"). On failure config is unchanged. */
int pg_options_set(const pg_option *table, void *config, const char *owner, const char *key, const char *value) PG_MUST_USE;

/* Sets an option from one "key=value" string, as after --set. */
int pg_options_set_pair(const pg_option *table, void *config, const char *owner, const char *pair) PG_MUST_USE;

/* Appends the value of one row in canonical form: decimals shortest that read back the same, bool true|false. */
void pg_option_format(const pg_option *row, const void *config, pg_buf *out);

/* What results from before a later option have: `before`, else its fallback. */
static inline const char *pg_option_before(const pg_option *row) { return row->before ? row->before : row->fallback; }
/* Whether a row is no part of identity since it is newer than its module and has the value of results from before it. Where
 * memory runs out that cannot be told: `out`, to which the row would be added, has failed then. */
bool pg_option_left_out(const pg_option *row, const void *config, pg_buf *out);
/* Appends "PREFIXkey=value" and `end` for every row in the table's order; identity_only leaves out what is no part of identity.
 * pg_options_canonical: one line each, "\n" its end. */
void pg_options_line(const pg_option *table, const void *config, const char *prefix, const char *end, bool identity_only,
                     pg_buf *out);
void pg_options_canonical(const pg_option *table, const void *config, const char *prefix, bool identity_only, pg_buf *out);

/* Appends what would be right: "an integer from 1 to 8", "one of a, b". */
void pg_option_describe(const pg_option *row, pg_buf *out);

/* Appends the help of one row with what is right and the default. */
void pg_option_note(const pg_option *row, pg_buf *out);

/* Appends the help text of a table: one row a line, with range or choices and default; `prefix` (short) stands before each
 * name. */
void pg_options_help(const pg_option *table, const char *prefix, pg_buf *out);

/* By the name of today or an old one (harness/base/names.h). NULL if unknown. */
const pg_option *pg_option_find(const pg_option *table, const char *name);

/* The entry of NULL-terminated `names` nearest to `name` by edit distance, or NULL where none is near. Borrowed. */
const char *pg_nearest(const char *name, const char *const *names);

/* Shortest decimal text that reads back as the same double ("0.2", "15", "inf", "1e-07"); independent of the locale. -0 gives
 * "0". */
void pg_format_double(double value, pg_buf *out);

/* Strict readers of a whole string, independent of the locale: PG_EINPUT (no message context) on anything else. */
int pg_parse_double(const char *text, double *out) PG_MUST_USE; /* finite or [+-]inf */
int pg_parse_int(const char *text, int64_t *out) PG_MUST_USE;
int pg_parse_ppm(const char *text, int64_t *out) PG_MUST_USE;             /* at most 6 decimals */
int pg_parse_size(const char *text, int *height, int *width) PG_MUST_USE; /* "5" or "5x8", both >= 1 */

#endif
