/* The paper's Algorithm 2: the certificate for robust masking as published, which is not a proof.
 *
 * Source: PatchGuard, Algorithms 1 and 2 with two misprints read as the text means them (line 22: s1 = delta / (SUM((1 - w)
 * u_y') + delta); lines 34-35 mask the malicious window); defenses/CERTIFICATES.md, section 13, which says why it proves
 * nothing. Differs: evidence is clipped before the prediction too, and windows wrap where the map does. */
#ifndef PG_DEFENSES_PUBLISHED_H
#define PG_DEFENSES_PUBLISHED_H

#include "defenses/masks.h"

/* What Algorithm 2 finds out before a threshold is known. Its case for a threshold is then cheap. */
typedef struct pg_published {
    bool correct; /* the largest total is the label's */
    bool covered; /* the window covers the map */
    bool benign;  /* case II for some target and window */
    bool partial; /* case III for some target and window */
} pg_published;

/* `own`: the planes of the label, `overlapping` its overlaps; `other`, `disjoint`: room for one class after the other. */
pg_published pg_published_run(const pg_evidence *evidence, const pg_windows *windows, const pg_sums *sums, int label,
                              const pg_plane *own, const int64_t *overlapping, pg_plane *other, pg_disjoint *disjoint);

/* 0: not correct; 1: cases I and IV, or covered; 2: case II; 3: case III; 4: certified as published. */
int8_t pg_published_case(const pg_published *found, const pg_windows *windows, const pg_sums *sums, int label,
                         int64_t threshold_ppm);

#endif
