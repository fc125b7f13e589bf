/* Two cells image by image, for `diff`. */
#ifndef PG_CMD_DIFF_H
#define PG_CMD_DIFF_H

#include "db/store.h"

/* What was recorded beside the settings; the last attempt that was done speaks for a cell. */
typedef struct pg_diff_recorded {
    char device[32], library[256], revision[96], host[96];
    int threads, batch;
} pg_diff_recorded;

/* A cell with all its images. */
typedef struct pg_diff_side {
    char id[PG_HASH_HEX];
    pg_cell_result result;
    pg_diff_recorded recorded;
    pg_outcome *outcomes;
    size_t n;
} pg_diff_side;

/* Two cells that are complete and have the same images; *new* inside, pg_diff_release, also after a failure. PG_EINPUT. */
int pg_diff_read(pg_store *store, const char *id_a, const char *id_b, pg_diff_side sides[2]) PG_MUST_USE;
void pg_diff_release(pg_diff_side sides[2]);

/* The images of which something holds, by cells. */
typedef struct pg_diff_counts {
    int64_t n, both, only_a, only_b;
    double a, b; /* percent */
    double p;    /* McNemar's exact test, two-sided */
} pg_diff_counts;

enum { PG_DIFF_MEASURES = 3 };
extern const char *const pg_diff_metrics[PG_DIFF_MEASURES]; /* names as `table` has them */
/* False where one of the cells has no such measure. */
bool pg_diff_count(const pg_diff_side sides[2], int measure, pg_diff_counts *out);

/* What differs between the two, for people; at most `flips` of the images that they predict differently. */
void pg_diff_print(const pg_diff_side sides[2], int64_t flips);

#endif
