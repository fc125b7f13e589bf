/* Windows: every rectangle of positions that a patch can touch, and the sums inside and outside them.
 *
 * Source: PatchGuard, section III-D (windows) and Eq. 2; defenses/CERTIFICATES.md, section 1. Windows are numbered
 * row-major by (top, left). On a wrapping axis they wrap; a window that covers an axis has one place on it. Sums are int64 and
 * exact: maps of at most PG_POSITIONS_MAX positions keep every sum below 2^53. Pure functions over caller's
 * memory, any thread. */
#ifndef PG_DEFENSES_WINDOWS_H
#define PG_DEFENSES_WINDOWS_H

#include "defenses/evidence.h"

enum { PG_POSITIONS_MAX = 1 << 22, PG_CLASSES_MAX = 1 << 22 };

/* "No class", "no window": below every sum, and far enough from the end of int64 for a sum to be added or taken away. */
#define PG_NONE (-((int64_t)1 << 62))

typedef struct pg_window_axis {
    int size;   /* positions of the map */
    int length; /* positions of a window, in [1, size] */
    int places; /* windows along this axis */
    int span;   /* places + length - 1: positions of the axis unrolled so that no window wraps */
    bool wrap;  /* windows wrap: false where one place is all there is */
} pg_window_axis;

typedef struct pg_windows {
    pg_window_axis rows, columns;
    int count;       /* windows */
    int64_t k;       /* distinct positions of a window */
    int64_t outside; /* positions outside a window */
} pg_windows;

pg_windows pg_windows_of(const pg_evidence *evidence, pg_window window);

/* Where two windows of one axis meet: the one at a + shift meets the one at a in these runs, counted from a. */
typedef struct pg_segment {
    int start, length;
} pg_segment;
/* Writes the 0, 1 or (wrapping, windows longer than half the axis) 2 runs. shift in (-size, size), in [0, size) if wrapping. */
int pg_window_overlap(const pg_window_axis *axis, int shift, pg_segment runs[2]);

/* Sums of one class over all positions. */
void pg_totals(const pg_evidence *evidence, int64_t *total);
/* The lowest index among the largest. */
int pg_argmax(const int64_t *values, int n);
int pg_argmax_f64(const double *values, int n);

/* What one pass over the evidence finds out about every window. */
typedef struct pg_sums {
    int64_t *total;    /* [classes] over all positions */
    int64_t *heaviest; /* [classes] largest window sum */
    int64_t *own;      /* [windows] window sum of the label */
    int64_t *before;   /* [windows] largest sum outside the window of a class before the label, PG_NONE if there is none */
    int64_t *after;    /* [windows] the same for the classes after the label */
} pg_sums;

/* Memory that functions layout their scratch from; with base NULL it only counts. Pieces are aligned to 64 bytes; under the
 * address sanitizer what lies between them is forbidden ground. */
typedef struct pg_arena {
    unsigned char *base;
    size_t used;
} pg_arena;
void *pg_arena_take(pg_arena *arena, size_t count, size_t item);

/* Bounds of the above for any window on a map, and room for the pass itself. */
void pg_sums_layout(pg_arena *arena, int height, int width, int classes, pg_sums *sums);
size_t pg_sums_work_size(int height, int width, int classes);
void pg_sums_run(const pg_evidence *evidence, const pg_windows *windows, int label, void *work, const pg_sums *sums);

#endif
