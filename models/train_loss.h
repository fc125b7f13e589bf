/* What training makes of local logits: one score a class, and from the scores the loss. */
#ifndef PG_MODELS_TRAIN_LOSS_H
#define PG_MODELS_TRAIN_LOSS_H

#include "models/network.h"
#include "models/train.h"

/* Scores [n][classes], f32, of local logits [n][classes][H][W] of images of height x width: the mean of the logits over the
 * positions (PG_TRAIN_LOGITS), or the logarithm of the mean of the confidences (PG_TRAIN_CONFIDENCE); their softmax is compared
 * with the label.
 *
 * With options->mask > 0 and labels (i64 [n], or NULL) the label's heaviest window, of all that a patch of mask x mask pixels
 * can touch, counts as nothing: masked training (PatchGuard's later revision), so that the label has to win without any one
 * window. Positions of local.tensor are those of its axes. */
pg_tensor *pg_train_scores(pg_scope *scope, const pg_train_options *options, const pg_value *local, int height, int width,
                           pg_tensor *labels);

#endif
