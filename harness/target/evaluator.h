/* The prediction of the defended classifier from local logits: evidence, then the integer rule of the defense. What `run`,
 * attacks and audits believe. One pg_evaluator per thread. */
#ifndef PG_TARGET_EVALUATOR_H
#define PG_TARGET_EVALUATOR_H

#include "defenses/defense.h"
#include "models/model.h"

typedef struct pg_evaluator pg_evaluator;

/* *new*, pg_evaluator_free. The config is resolved and borrowed; the window may exceed the map: it is cut to it. PG_ENOMEM. */
int pg_evaluator_new(const pg_geometry *geometry, const pg_defense *defense, const void *config, pg_window window,
                     pg_evaluator **out) PG_MUST_USE;
void pg_evaluator_free(pg_evaluator *evaluator);

const pg_map *pg_evaluator_map(const pg_evaluator *evaluator); /* with the window; borrowed */
const pg_defense *pg_evaluator_defense(const pg_evaluator *evaluator);
const void *pg_evaluator_config(const pg_evaluator *evaluator);

/* The prediction of logits[H][W][classes]; -1: a NaN or an infinity among them. The rule of a plug-in may say what is no class:
 * what is kept passes pg_evaluator_check. */
int pg_evaluator_logits(pg_evaluator *evaluator, const float *logits);

/* In two steps, where most positions stay as they are: evidence q[positions][classes] of some positions; false, with q
 * unspecified, where a logit is not finite. */
bool pg_evaluator_evidence(pg_evaluator *evaluator, const float *logits, size_t positions, int32_t *q);
/* The prediction of evidence of the whole map. */
int pg_evaluator_predict(pg_evaluator *evaluator, const int32_t *q);
/* PG_EINPUT where a prediction is no class, with the rule and the image in the message. */
int pg_evaluator_check(const pg_evaluator *evaluator, int prediction, int64_t image) PG_MUST_USE;

#endif
