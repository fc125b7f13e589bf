/* The store: one SQLite file that holds cells, tasks, attempts and outcomes. The only place that includes sqlite3.h.
 *
 * It knows no tensors, models or defenses: cells come in as canonical text and go out as settings and counts. Definitions
 * of cell, task, outcome and summary: db/schema.sql. One pg_store per thread and process; several processes may open the same
 * file (never over a network file system). Every function that writes is one transaction. */
#ifndef PG_DB_STORE_H
#define PG_DB_STORE_H

#include "harness/base/error.h"
#include "harness/base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pg_store pg_store;

typedef enum pg_store_mode {
    PG_STORE_READ,  /* must exist; nothing is written */
    PG_STORE_WRITE, /* created where it does not exist, migrated where it is older */
} pg_store_mode;

/* *new*, pg_store_close. PG_EMISSING (READ), PG_EDAMAGED (not ours, or damaged), PG_EUNSUPPORTED (written by a newer version), PG_EIO
 * (folder not writable), PG_EDB. */
int pg_store_open(const char *path, pg_store_mode mode, pg_store **out) PG_MUST_USE;
void pg_store_close(pg_store *store);

/* ---- Results: what tables, figures and `ls` read ---------------------------------------------------------------------- */

typedef struct pg_setting {
    char *key, *value;
} pg_setting;

typedef enum pg_cell_state {
    PG_CELL_NEW,     /* no outcome yet, or not in the store at all */
    PG_CELL_PARTIAL, /* some images have outcomes */
    PG_CELL_DONE,    /* every image has an outcome */
    PG_CELL_FAILED,  /* a task gave up; outcomes of other tasks may exist */
} pg_cell_state;
const char *pg_cell_state_name(pg_cell_state state); /* "new", "partial", "done", "failed" */

enum { PG_CASES = 5 }; /* failure cases 0..4 of robust-masking, predicted */

/* Counts over the images that have an outcome. Shares are counts / n. */
typedef struct pg_cell_result {
    char cell_id[PG_HASH_HEX];
    bool known;                /* false: the store has no such cell; all else is zero */
    pg_cell_state state;
    int64_t images;            /* the cell asks for */
    int64_t n;                 /* have an outcome */
    int64_t clean;             /* defended prediction is the label, no patch */
    int64_t certified;         /* counted certificates */
    int64_t certified_published; /* the paper's own certificate, where the rule has one */
    bool has_published;        /* the rule has a published certificate: cases[] is filled */
    int64_t cases[PG_CASES];   /* how many images ended in each failure case */
    int64_t nonfinite;         /* prediction -1 */
    int64_t masked;            /* something is masked on the clean image: false positives of a masking defense */
    int64_t attacked_n, attacked; /* images with an attack, and still right under it */
    bool has_smallest_margin;
    int64_t smallest_margin;   /* smallest positive margin of a certified image, units of 2^-20 */
    bool has_delta;            /* locality was measured; false: delta 0 was used, "locality not measured" */
    int64_t delta;             /* grid units, applied to every certificate of the cell */
    size_t n_settings;
    pg_setting *settings;      /* sorted by key: the settings as given, and details: "window", "certificate", "model", "delta", ... */
} pg_cell_result;

/* Result of one cell by full id. `out` is *new* inside, pg_cell_result_release; also valid (known = false) for an absent cell. */
int pg_store_cell(pg_store *store, const char *cell_id, pg_cell_result *out) PG_MUST_USE;
void pg_cell_result_release(pg_cell_result *result);
/* Value of a setting, "" if the cell has none of that key. Borrowed. A key without a dot that is no key of its own is looked up
 * as an option of the cell's defense: "threshold" reads "robust-masking.threshold". */
const char *pg_cell_result_setting(const pg_cell_result *result, const char *key);

/* Every cell in the order of creation; one pass over the file. `each` returns PG_OK to go on; its code is passed on. */
int pg_store_each_cell(pg_store *store, int (*each)(const pg_cell_result *result, void *context), void *context) PG_MUST_USE;

/* Full id of the one cell whose id starts with `prefix` (at least 4 digits). PG_EMISSING, or PG_EINPUT where several do. */
int pg_store_resolve(pg_store *store, const char *prefix, char cell_id[PG_HASH_HEX]) PG_MUST_USE;

/* One image of one cell. */
typedef struct pg_outcome {
    int64_t image; /* index in the data set's split */
    int label, prediction; /* prediction -1: non-finite */
    bool certified, certified_published, masked, has_margin;
    int8_t failure_case; /* -1: none */
    int64_t margin;      /* units of 2^-20 */
} pg_outcome;
/* Outcomes of a cell in the order of the images. */
int pg_store_each_outcome(pg_store *store, const char *cell_id, int (*each)(const pg_outcome *outcome, void *context),
                          void *context) PG_MUST_USE;

/* Two cells image by image, for McNemar's test: images where both, only a, only b, neither is right (what = 'c': clean) or
 * certified (what = 's'). PG_EINPUT where the cells do not have the same images. */
typedef struct pg_pair_counts {
    int64_t both, only_a, only_b, neither;
} pg_pair_counts;
int pg_store_compare(pg_store *store, const char *cell_a, const char *cell_b, char what, pg_pair_counts *out) PG_MUST_USE;

#endif
