/* The worst contents of a window: what an audit writes into the evidence there before it asks a rule again.
 *
 * They are those of the proofs of exactness in defenses/CERTIFICATES.md, sections 7 to 16. Contents are
 * contents[height * width][classes] by the rows of the window; a window that wraps goes on at the other side of the map. */
#ifndef PG_DEFENSES_WORST_H
#define PG_DEFENSES_WORST_H

#include "defenses/windows.h"

/* What an attacker can write as one value: all of [lo, hi] on the grid, or, where features are votes, lo and hi alone. */
typedef struct pg_value_range {
    int32_t lo, hi; /* +-PG_EVIDENCE_MAX where there is no bound */
    bool votes;
} pg_value_range;
pg_value_range pg_value_range_of(const pg_evidence_spec *spec);

/* The position (row * width + column) of a cell of the window at (top, left). */
int pg_worst_position(const pg_evidence *evidence, const pg_windows *windows, const pg_worst *which, int cell);

/* The hook of every rule whose score of a class only grows with each of its values: the rival as high, every other class as low
 * as can be. One variant. */
bool pg_worst_extreme(const pg_evidence *evidence, pg_window window, const void *config, const pg_worst *which, void *scratch,
                      int32_t *contents);

#endif
