/* Targets and losses. See objective.h. */
#include "attacks/objective.h"

#include "attacks/draw.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const pg_loss_names[] = {"cross-entropy", "margin", NULL};
static const char *const words[] = {"none", "random", "runner-up"};

/* The class that a target names, or -1. */
static int64_t class_of(const char *target)
{
    int64_t value;
    return target[0] >= '0' && target[0] <= '9' && pg_parse_int(target, &value) == PG_OK && value <= INT_MAX ? value : -1;
}

int pg_objective_normalize(pg_objective *objective)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(objective->target, words[i]) == 0)
            return PG_OK;
    int64_t class = class_of(objective->target);
    if (class < 0)
        return pg_fail(PG_EINPUT, "target '%s': none, random, runner-up, or the number of a class", objective->target);
    memset(objective->target, 0, sizeof objective->target);
    snprintf(objective->target, sizeof objective->target, "%lld", (long long)class);
    return PG_OK;
}

int pg_objective_check(const pg_objective *objective, int classes)
{
    int64_t class = class_of(objective->target);
    return class < classes ? PG_OK : pg_fail(PG_EINPUT, "target %lld: the classes are 0 to %d", (long long)class, classes - 1);
}

int pg_objective_target(const pg_objective *objective, uint64_t seed, const pg_example *example, int classes, int *target)
{
    int64_t class = class_of(objective->target);
    *target = PG_TARGET_NONE;
    if (strcmp(objective->target, "runner-up") == 0)
        *target = PG_TARGET_RUNNER_UP;
    else if (strcmp(objective->target, "random") == 0) {
        pg_rng rng = pg_draw_make(seed, example->index, PG_DRAW_TARGET, 0);
        int drawn = (int)pg_rng_below(&rng, (uint32_t)classes - 1);
        *target = drawn + (drawn >= example->label); /* any but the label */
    } else if (class >= 0)
        *target = (int)class;
    if (*target == example->label)
        return pg_fail(PG_EINPUT,
                       "image %lld has the label %d, which is the target: choose another target, or leave such images out",
                       (long long)example->index, example->label);
    return PG_OK;
}

int pg_objective_class(const pg_objective *objective) { return (int)class_of(objective->target); }

int pg_objective_runner_up(const float *scores, int classes, int label)
{
    int best = -1;
    for (int c = 0; c < classes; c++)
        if (c != label && (best < 0 || scores[c] > scores[best]))
            best = c;
    return best;
}

bool pg_objective_met(int label, int target, int prediction) { return target < 0 ? prediction != label : prediction == target; }

pg_tensor *pg_objective_margins(pg_scope *s, pg_tensor *scores, int n, const int64_t *labels, const int64_t *targets, int loss)
{
    const pg_torch *t = s->torch;
    int64_t own[n];
    float sign[n];
    for (int i = 0; i < n; i++) {
        own[i] = targets[i] < 0 ? labels[i] : targets[i];
        sign[i] = targets[i] < 0 ? 1 : -1;
    }
    const int64_t column[] = {n, 1}, dims[] = {1};
    pg_tensor *index = t->from_data(s, own, PG_T_I64, 2, column);
    pg_tensor *mine = t->gather(s, scores, 1, index);
    pg_tensor *others = t->scatter(s, scores, 1, index, t->like(s, t->detach(s, mine), -1e9));
    pg_tensor *top = t->amax(s, others, 1, dims, true);
    if (loss == PG_LOSS_CROSS_ENTROPY) {
        pg_tensor *base = t->detach(s, top);
        top = t->add(s, base, t->log(s, t->sum(s, t->exp(s, t->sub(s, others, base)), 1, dims, true)));
    }
    return t->mul(s, t->sub(s, top, mine), t->from_data(s, sign, PG_T_F32, 2, column));
}

pg_tensor *pg_objective_success(pg_scope *s, pg_tensor *margins, bool logarithm)
{
    const pg_torch *t = s->torch;
    if (!logarithm)
        return t->sigmoid(s, margins);
    pg_tensor *both = t->cat(s, 2, (pg_tensor *[]){margins, t->affine(s, margins, 0, 0)}, 1);
    return t->slice(s, t->log_softmax(s, both, 1), 1, 0, 1, 1);
}

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

double pg_objective_loss(int loss, int target, double margin)
{
    if (loss == PG_LOSS_MARGIN)
        return margin;
    return target < 0 ? softplus(margin) : -softplus(-margin);
}
