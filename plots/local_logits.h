/* Figure `local-logits`: the largest logit of every local vector, clean and attacked, as two histograms.
 *
 * Source: PatchGuard, section III-A, experiment II and Figures 3, 5 and 6. One thread. */
#ifndef PG_PLOTS_LOCAL_LOGITS_H
#define PG_PLOTS_LOCAL_LOGITS_H

#include "harness/base/error.h"

#include <stddef.h>

typedef struct pg_local_logits {
    const char *title, *subtitle;
    const float *clean, *attacked; /* the largest logit of each of n local vectors; what is not finite is left out */
    size_t n;
} pg_local_logits;

/* Writes local-logits.tsv, .gp, .svg and .png into the folder. PG_EINPUT (nothing to show), PG_EMISSING, PG_EIO. */
int pg_local_logits_draw(const pg_local_logits *logits, const char *folder) PG_MUST_USE;

#endif
