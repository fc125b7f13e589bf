/* What training makes of local logits: one score a class, and from the scores the loss. */
#ifndef PG_MODELS_TRAIN_LOSS_H
#define PG_MODELS_TRAIN_LOSS_H

#include "models/network.h"
#include "models/train.h"

/* Scores [n][classes], f32, of local logits [n][classes][H][W] of images of height x width: the mean of the logits over the
 * positions (PG_TRAIN_LOGITS), or the logarithm of the mean of the confidences (PG_TRAIN_CONFIDENCE); their softmax is compared
 * with the label.
 *
 * With options->mask > 0 and labels (i64 [n], or NULL) windows count as nothing: masked training. A window is what a patch of
 * mask x mask pixels can touch, of the positions of local.tensor, which are those of its axes.
 * PG_TRAIN_MASK_LABEL: the label's heaviest window, for the label alone, so that it has to win without any one window
 * (PatchGuard's later revision). PG_TRAIN_MASK_TWICE: for all classes the window without which the label's loss is largest,
 * then the same once more with that one masked, so that the label has to win without any two windows, as two-mask agreement
 * asks; the two are found one after the other, not as the worst of all pairs, and without label smoothing. PG_EINPUT, as the
 * scope's error, where two windows cover the map. */
pg_tensor *pg_train_scores(pg_scope *scope, const pg_train_options *options, const pg_value *local, int height, int width,
                           pg_tensor *labels);

#endif
