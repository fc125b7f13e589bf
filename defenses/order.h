/* Order statistics of one class, over all positions and over the positions outside a window.
 *
 * The values of a class are sorted once; every position knows its rank. The r-th value outside a window is found from the ranks
 * inside it, so a window costs its own positions and not the whole map. Used by median and trimmed-mean. */
#ifndef PG_DEFENSES_ORDER_H
#define PG_DEFENSES_ORDER_H

#include "defenses/windows.h"

typedef struct pg_order {
    const pg_windows *windows;
    int positions;
    int32_t *value;  /* [positions] ascending */
    int64_t *prefix; /* [positions + 1]: prefix[i] is the sum of value[0..i) */
    int32_t *rank;   /* [rows.span][columns.span]: rank of each position of the unrolled map */
    uint64_t *keys;  /* [2][positions]: private */
} pg_order;

/* Room for any window on a map. */
void pg_order_layout(pg_arena *arena, int height, int width, pg_order *order);
/* Sorts the values of one class. */
void pg_order_sort(pg_order *order, const pg_evidence *evidence, const pg_windows *windows, int class);
/* The rank, among all positions, of the r-th smallest value outside the window; 0 <= r < windows->outside. */
int pg_order_outside(const pg_order *order, int top, int left, int r);
/* The sum of the values outside the window with ranks [from, to) among the outside; 0 <= from <= to <= windows->outside. */
int64_t pg_order_outside_sum(const pg_order *order, int top, int left, int from, int to);

/* The values of one class before rounding, ascending: out[positions]. */
void pg_order_values(const pg_evidence *evidence, int class, double *out);

#endif
