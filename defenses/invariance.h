/* How far a prediction depends on single windows: every window once without its evidence, 0 for every class, and the defense
 * predicts from what remains.
 *
 * Source: PatchGuard, Tables VII and XIV, there for the sum of logits. A window whose absence changes a correct prediction is
 * one that a patch breaks by adding nothing. One object per thread. */
#ifndef PG_DEFENSES_INVARIANCE_H
#define PG_DEFENSES_INVARIANCE_H

#include "defenses/certifier.h"

typedef struct pg_invariance pg_invariance;

/* *new*. The window of the job counts, cut to the map, its delta does not; its configuration is borrowed. height, width,
 * classes of the local logits. PG_EINPUT as pg_certifier_new, PG_ENOMEM. */
int pg_invariance_new(const pg_job *job, int height, int width, int classes, bool wrap_rows, bool wrap_columns,
                      pg_invariance **out) PG_MUST_USE;
void pg_invariance_free(pg_invariance *invariance);
int pg_invariance_windows(const pg_invariance *invariance);
/* One image, logits[height][width][classes] of float, or of double where `wide`. */
typedef struct pg_masked {
    int prediction; /* from all of it; -1 where it holds a NaN or an infinity: wrong without any window */
    int wrong;      /* windows without which it is not the label */
    int changed;    /* windows without which it is another one */
} pg_masked;
pg_masked pg_invariance_image(pg_invariance *invariance, const void *logits, bool wide, int label);

#endif
