/* What an attack is after: a class or none, and how far it is from it.
 *
 * The **margin** of a pass says how far the wanted class is before all others (targeted), or the best other class before the
 * label (untargeted), on the scale of one score: above 0 it is reached. With the loss "margin" the best rival counts; with
 * "cross-entropy" all rivals by log-sum-exp, and then cross-entropy itself is softplus(margin), or -softplus(-margin) towards a
 * target. Both grow with the margin, so a signed step along the margin is the signed step along cross-entropy, but one that
 * does not vanish where a network is sure. */
#ifndef PG_ATTACKS_OBJECTIVE_H
#define PG_ATTACKS_OBJECTIVE_H

#include "attacks/attack.h"
#include "models/torch/torch.h"

enum { PG_LOSS_CROSS_ENTROPY, PG_LOSS_MARGIN };
extern const char *const pg_loss_names[];

typedef struct pg_objective {
    int loss;
    char target[PG_OPTION_TEXT_MAX]; /* none, random, runner-up, or a class */
} pg_objective;

/* clang-format off */
#define PG_TARGET_OPTION(config_type)                                                                 \
    {"target", PG_OPTION_TEXT, offsetof(config_type, objective.target), "none",                       \
     .help = "the class to reach: none (any wrong one), random, runner-up, or the number of a class"}
#define PG_LOSS_OPTION(config_type, fallback_)                                                             \
    {"loss", PG_OPTION_CHOICE, offsetof(config_type, objective.loss), fallback_, .choices = pg_loss_names, \
     .help = "what is raised: cross-entropy, or the margin over the best other class"}
/* clang-format on */

/* Writes the target in one way; PG_EINPUT where it is none of the four. */
int pg_objective_normalize(pg_objective *objective) PG_MUST_USE;
int pg_objective_check(const pg_objective *objective, int classes) PG_MUST_USE; /* PG_EINPUT: the class does not exist */

enum { PG_TARGET_NONE = -1, PG_TARGET_RUNNER_UP = -2 };
/* The target for an image, PG_TARGET_NONE, or PG_TARGET_RUNNER_UP where its scores decide. PG_EINPUT where it is the label
 * (*target is set then, too). */
int pg_objective_target(const pg_objective *objective, uint64_t seed, const pg_example *example, int classes,
                        int *target) PG_MUST_USE;
/* The class that `target` names; PG_TARGET_NONE for the other words. */
int pg_objective_class(const pg_objective *objective);
/* The class with the largest score but the label, the lowest among equals. */
int pg_objective_runner_up(const float *scores, int classes, int label);

/* Whether this prediction is what was wanted. */
bool pg_objective_met(int label, int target, int prediction);

/* Leads [n][1] of scores [n][classes]; differentiable. targets[i] is a class or PG_TARGET_NONE. */
pg_tensor *pg_objective_margins(pg_scope *s, pg_tensor *scores, int n, const int64_t *labels, const int64_t *targets, int loss);
/* sigmoid(margins), or its logarithm without underflow, [n][1]: with cross-entropy, the share of softmax that counts as
 * success. */
pg_tensor *pg_objective_success(pg_scope *s, pg_tensor *margins, bool logarithm);
/* The loss of a margin, as users read it. */
double pg_objective_loss(int loss, int target, double margin);

#endif
