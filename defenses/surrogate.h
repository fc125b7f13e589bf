/* Scores as an attacker differentiates them: the rules of this folder over local logits on a device, with a gradient where the
 * rule itself has none.
 *
 * Source: experiments/PROTOCOL.md, section 7, the adaptive attack;
 * straight-through estimation: Bengio et al. 2013. Values are those of the rule in float, up to a positive factor; gradients
 * are those of a path that stays useful: a clipped value, a lost vote or a value beyond a median still tells where to go. A
 * value that is past what counts already (the label's below it, another class's above it) has PG_SOFT_LEAK of the gradient, so
 * that a patch spends itself where there is something to gain.
 *
 * Scores are on the scale of one local logit: sums are divided by the positions of a window, so that a change of all of them
 * by one logit changes a score by about one. With means over the map a cross-entropy would hardly tell rivals apart. Every
 * tensor belongs to the scope; after a failure of the scope they are NULL. */
#ifndef PG_DEFENSES_SURROGATE_H
#define PG_DEFENSES_SURROGATE_H

#include "defenses/windows.h"
#include "models/torch/torch.h"

#define PG_SOFT_LEAK 0.03

typedef struct pg_soft {
    pg_scope *scope;
    pg_windows windows;
    int height, width, classes;
    pg_tensor *evidence; /* f32 [n][classes][H][W] */
    pg_tensor *label;    /* bool [n][classes][1][1]: the class is the label */
    pg_tensor *labels;   /* i64 [n] */
    double unit;         /* logits that one unit of evidence is worth */
} pg_soft;

/* The evidence of local logits [n][classes][H][W], with the labels i64 [n]; its gradient does not vanish by saturation. */
pg_soft pg_soft_of(pg_scope *s, const pg_evidence_spec *spec, const pg_map *map, pg_tensor *logits, pg_tensor *labels);

/* All of these return [n][classes]. The sum over all positions: mean, clip, cbn, ds. */
pg_tensor *pg_soft_sum(const pg_soft *soft);
/* The lower median; the gradient goes to every value that a window can move across it, of which it needs as many as it has. */
pg_tensor *pg_soft_median(const pg_soft *soft);
/* The sum without the `trim` smallest and largest. */
pg_tensor *pg_soft_trimmed(const pg_soft *soft, int64_t trim);
/* Robust masking per class: without the heaviest window of the class where it holds more than the share. */
pg_tensor *pg_soft_masked(const pg_soft *soft, double threshold);
/* Robust masking as published: the heaviest window of the largest class, for all classes. */
pg_tensor *pg_soft_masked_predicted(const pg_soft *soft, double threshold);
/* The attack on it that keeps the prediction: the heaviest window of the label is masked for all classes, and a rival loses
 * twice what its total exceeds that of the label by. */
pg_tensor *pg_soft_masked_label(const pg_soft *soft);
/* Two-mask agreement, with windows as masks: the mean of the sums outside those masks that the label wins still, but for the
 * one that it wins most clearly, which hides the patch or might as well; of all masks where there is none. */
pg_tensor *pg_soft_held(const pg_soft *soft);

#endif
