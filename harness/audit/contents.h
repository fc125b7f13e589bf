/* Contents of a window that an audit tries on every rule, besides those that the rule's own hook names: an audit must not rest
 * on what a defense says of itself. They are made of the evidence alone: rival up, label down, a rival just below the label's
 * total (defenses/CERTIFICATES.md, section 13), the label raised along an edge of the window (section 12, overlapping windows),
 * noise. Pure functions, any thread. */
#ifndef PG_AUDIT_CONTENTS_H
#define PG_AUDIT_CONTENTS_H

#include "defenses/windows.h"
#include "harness/base/rng.h"

typedef struct pg_contents_case {
    const pg_evidence *evidence; /* what stands outside the window, and was inside it */
    const pg_windows *windows;
    int label, rival, top, left;
    int64_t lo, hi; /* of a value, on the grid */
    bool votes;     /* a value is lo or hi, nothing between */
} pg_contents_case;

/* How many variants there are for windows of this size. Variant 0, the rival at the top of the range and all else at the
 * bottom, is the worst case of every rule that is exact. */
int pg_contents_variants(const pg_windows *windows);
/* contents[k][classes] by rows of the window, within the range. */
void pg_contents_fill(const pg_contents_case *c, int variant, int32_t *contents);
/* The same at random: a few values, edges and levels put together. */
void pg_contents_random(const pg_contents_case *c, pg_rng *rng, int32_t *contents);

#endif
