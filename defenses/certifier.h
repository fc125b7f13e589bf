/* Many cells, one pass: certifies one image's local logits for every (defense, options, window, delta) at once.
 *
 * Jobs that read the same evidence share one integer tensor; jobs of one defense that differ only in options such as the
 * threshold share its running sums. One certifier per thread.
 *
 * Every verdict says, besides, what the grid did to that image under that configuration: `saturated` and `differs`
 * (defenses/defense.h). Neither is set where logits are not finite. */
#ifndef PG_DEFENSES_CERTIFIER_H
#define PG_DEFENSES_CERTIFIER_H

#include "defenses/defense.h"

typedef struct pg_job {
    const pg_defense *defense;
    const void *config;  /* resolved; borrowed until pg_certifier_free */
    pg_window window;    /* may exceed the map: it is cut to it */
    int64_t delta;       /* of the evidence, grid units, >= 0 */
    int64_t logit_delta; /* of a logit, from which that follows, grid units; 0: not known: with delta > 0 every vote may flip */
} pg_job;

/* The prediction of a verdict that the hook does not write, or that has none although the evidence is finite. */
enum { PG_UNPREDICTED = -2 };

/* One call of a rule's certify hook for n configurations. `worst`: NULL, or the worst votes for the label (defenses/votes.h),
 * which stand in the place of `delta`; then `room` is room for n verdicts. `scratch` as for the hook. */
void pg_certify(const pg_defense *defense, const pg_evidence *evidence, const int32_t *worst, pg_window window, int64_t delta,
                int label, const void *const *configs, size_t n, void *scratch, pg_verdict *out, pg_verdict *room);

typedef struct pg_certifier pg_certifier;

/* *new*. height, width, classes of the local logits. PG_EINPUT, PG_ENOMEM. */
int pg_certifier_new(const pg_job *jobs, size_t n, int height, int width, int classes, bool wrap_rows, bool wrap_columns,
                     pg_certifier **out) PG_MUST_USE;
void pg_certifier_free(pg_certifier *certifier);

/* One image: logits[height][width][classes], float or double; label in [0, classes). Writes out[n] in the order of the jobs. */
void pg_certifier_image_f32(pg_certifier *certifier, const float *logits, int label, pg_verdict *out);
void pg_certifier_image_f64(pg_certifier *certifier, const double *logits, int label, pg_verdict *out);

/* Whether a rule can mean what it says of an image; rules of plug-ins may say anything. PG_EINPUT with the reason, as
 * "certified, though its prediction 12 is none of 10 classes"; the caller names the rule and the image. */
int pg_verdict_check(const pg_job *job, const pg_verdict *verdict, int label, int classes) PG_MUST_USE;
int pg_prediction_check(int prediction, int classes) PG_MUST_USE; /* of `predict` alone */

#endif
