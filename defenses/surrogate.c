#include "defenses/surrogate.h"

#include <math.h>

/* ---- Building blocks ---- */

static pg_tensor *scalar(pg_scope *s, double value) { return s->torch->full(s, value, PG_T_F32, 1, (const int64_t[]){1}); }

/* The values of one tensor with the gradient of another. */
static pg_tensor *straight_through(pg_scope *s, pg_tensor *value, pg_tensor *path)
{
    const pg_torch *t = s->torch;
    return t->add(s, t->detach(s, value), t->sub(s, path, t->detach(s, path)));
}

static pg_tensor *as_float(pg_scope *s, pg_tensor *x) { return s->torch->to_type(s, x, PG_T_F32); }

/* x with its gradient, times the leak where x is past the bounds already: the label below `low`, another class above `high`.
 * The bounds broadcast against x; `label` too. */
static pg_tensor *steered(pg_scope *s, pg_tensor *x, pg_tensor *low, pg_tensor *high, pg_tensor *label)
{
    const pg_torch *t = s->torch;
    pg_tensor *past = t->where(s, label, t->greater(s, low, x), t->greater(s, x, high));
    return t->mul(s, x, t->where(s, past, scalar(s, PG_SOFT_LEAK), scalar(s, 1.0)));
}

/* bool [n][classes][1][1] */
static pg_tensor *is_class(pg_scope *s, pg_tensor *class, int classes)
{
    const pg_torch *t = s->torch;
    pg_tensor *all = t->reshape(s, t->arange(s, classes, PG_T_I64), 4, (const int64_t[]){1, classes, 1, 1});
    return t->equal(s, all, t->reshape(s, class, 4, (const int64_t[]){t->count(class), 1, 1, 1}));
}

static pg_tensor *over_positions(pg_scope *s, pg_tensor *x) { return s->torch->sum(s, x, 2, (const int64_t[]){2, 3}, false); }

/* ---- Evidence ---- */

/* log sum exp over the classes of x [n][classes][H][W], kept as one. */
static pg_tensor *log_sum(pg_scope *s, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    pg_tensor *top = t->detach(s, t->amax(s, x, 1, (const int64_t[]){1}, true));
    pg_tensor *sum = t->sum(s, t->exp(s, t->sub(s, x, top)), 1, (const int64_t[]){1}, true);
    return t->add(s, t->log(s, sum), top);
}

/* Of every position and class: the logit less the log of the summed exponentials of the other classes, so that the confidence
 * is its sigmoid. Of the largest class the others are summed without it, of another class by taking it away from the sum, which
 * the largest dominates: neither cancels. */
static pg_tensor *advantage(pg_scope *s, pg_tensor *u, pg_tensor *largest)
{
    const pg_torch *t = s->torch;
    pg_tensor *top = t->detach(s, t->amax(s, u, 1, (const int64_t[]){1}, true));
    pg_tensor *e = t->exp(s, t->sub(s, u, top));
    pg_tensor *rest = t->sub(s, t->sum(s, e, 1, (const int64_t[]){1}, true), e);
    pg_tensor *others = t->add(s, t->log(s, t->where(s, largest, scalar(s, 1.0), rest)), top);
    pg_tensor *without = log_sum(s, t->where(s, largest, scalar(s, -1e30), u));
    return t->sub(s, u, t->where(s, largest, without, others));
}

/* Confidences and votes: the gradient is that of the sigmoid of how far a class is from the confidence that decides. */
static pg_tensor *by_confidence(pg_scope *s, const pg_evidence_spec *spec, pg_tensor *u)
{
    const pg_torch *t = s->torch;
    int64_t classes = t->size(u, 1);
    u = t->affine(s, u, spec->temperature > 0.0 ? 1.0 / spec->temperature : 1.0, 0.0);
    pg_tensor *all = t->reshape(s, t->arange(s, classes, PG_T_I64), 4, (const int64_t[]){1, classes, 1, 1});
    pg_tensor *largest = t->equal(s, all, t->unsqueeze(s, t->argmax(s, u, 1), 1)), *ahead = advantage(s, u, largest);
    pg_tensor *value = t->softmax(s, u, 1);
    if (spec->feature == PG_FEATURE_PREDICTION && spec->theta > 0.0) {
        double theta = PG_MIN(PG_MAX(spec->theta, 1e-6), 1.0 - 1e-6);
        ahead = t->affine(s, ahead, 1.0, -log(theta / (1.0 - theta)));
        value = as_float(s, t->greater_equal(s, value, scalar(s, spec->theta)));
    } else if (spec->feature == PG_FEATURE_PREDICTION) {
        value = as_float(s, largest);
    }
    pg_tensor *p = t->sigmoid(s, t->detach(s, ahead));
    pg_tensor *slope = t->clamp(s, t->mul(s, p, t->affine(s, p, -1.0, 1.0)), PG_SOFT_LEAK / 4.0, 1.0);
    return straight_through(s, value, t->mul(s, ahead, slope));
}

static pg_tensor *squashed(pg_scope *s, pg_tensor *u)
{
    const pg_torch *t = s->torch;
    pg_tensor *value = t->detach(s, t->tanh(s, t->affine(s, u, 0.05, -1.0)));
    pg_tensor *slope = t->clamp(s, t->affine(s, t->mul(s, value, value), -1.0, 1.0), PG_SOFT_LEAK, 1.0);
    return straight_through(s, value, t->affine(s, t->mul(s, u, slope), 0.05, 0.0));
}

pg_soft pg_soft_of(pg_scope *s, const pg_evidence_spec *spec, const pg_map *map, pg_tensor *logits, pg_tensor *labels)
{
    const pg_torch *t = s->torch;
    pg_evidence shape = pg_evidence_of(map, NULL, spec);
    pg_soft soft = {.scope = s,
                    .windows = pg_windows_of(&shape, map->window),
                    .height = map->height,
                    .width = map->width,
                    .classes = map->classes,
                    .label = is_class(s, labels, map->classes),
                    .labels = labels,
                    .unit = spec->tanh_cbn                       ? 20.0
                            : spec->feature == PG_FEATURE_LOGITS ? 1.0
                                                                 : 4.0};
    pg_tensor *x = as_float(s, logits);
    if (spec->tanh_cbn)
        x = squashed(s, x);
    if (spec->feature != PG_FEATURE_LOGITS)
        x = by_confidence(s, spec, x);
    double end = PG_EVIDENCE_END, low = PG_MAX(spec->clip_lo, -end), high = PG_MIN(spec->clip_hi, end);
    soft.evidence = straight_through(s, t->clamp(s, x, low, high), steered(s, x, scalar(s, low), scalar(s, high), soft.label));
    return soft;
}

/* ---- Scores ---- */

/* Sums of evidence as scores. */
static pg_tensor *scores(const pg_soft *soft, pg_tensor *sums)
{
    return soft->scope->torch->affine(soft->scope, sums, soft->unit / (double)soft->windows.k, 0.0);
}

static int64_t positions(const pg_soft *soft) { return (int64_t)soft->height * soft->width; }

pg_tensor *pg_soft_sum(const pg_soft *soft) { return scores(soft, over_positions(soft->scope, soft->evidence)); }

/* The values of every class in one line: [n][classes][H * W] */
static pg_tensor *lines(const pg_soft *soft)
{
    const pg_torch *t = soft->scope->torch;
    return t->reshape(soft->scope, soft->evidence, 3,
                      (const int64_t[]){t->size(soft->evidence, 0), soft->classes, positions(soft)});
}

/* [n][classes] as [n][classes][1][1], without a gradient */
static pg_tensor *bound(const pg_soft *soft, pg_tensor *x)
{
    const pg_torch *t = soft->scope->torch;
    pg_scope *s = soft->scope;
    return t->detach(s, t->reshape(s, x, 4, (const int64_t[]){t->size(soft->evidence, 0), soft->classes, 1, 1}));
}

pg_tensor *pg_soft_median(const pg_soft *soft)
{
    pg_scope *s = soft->scope;
    pg_tensor *median = s->torch->median(s, lines(soft), 2), *middle = bound(soft, median);
    pg_tensor *path = over_positions(s, steered(s, soft->evidence, middle, middle, soft->label));
    return straight_through(s, s->torch->affine(s, median, soft->unit, 0.0), scores(soft, path));
}

pg_tensor *pg_soft_trimmed(const pg_soft *soft, int64_t trim)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    int64_t count = positions(soft), end = count - trim;
    pg_tensor *sorted = t->sort(s, lines(soft), 2, false, NULL);
    pg_tensor *kept = t->sum(s, t->slice(s, sorted, 2, trim, end, 1), 1, (const int64_t[]){2}, false);
    pg_tensor *low = bound(soft, t->slice(s, sorted, 2, trim, trim + 1, 1)),
              *high = bound(soft, t->slice(s, sorted, 2, end - 1, end, 1));
    pg_tensor *path = over_positions(s, steered(s, soft->evidence, low, high, soft->label));
    return scores(soft, straight_through(s, kept, path));
}

/* ---- Masks ---- */

/* The sums over every run of an axis of x [n][classes][H][W], along dim 2 or 3. */
static pg_tensor *running(pg_scope *s, pg_tensor *x, int dim, const pg_window_axis *axis)
{
    const pg_torch *t = s->torch;
    if (axis->wrap && axis->length > 1)
        x = t->cat(s, 2, (pg_tensor *const[]){x, t->slice(s, x, dim, 0, axis->length - 1, 1)}, dim);
    return t->sum(s, t->unfold(s, x, dim, axis->length, 1), 1, (const int64_t[]){-1}, false);
}

/* Every class's total and heaviest window, held constant: place i64, sum and total f64 [n][classes]. In double, so that a
 * window that covers the map holds exactly the total, however it is added up. */
typedef struct heaviest {
    pg_tensor *place, *sum, *total;
} heaviest;

static heaviest heaviest_windows(const pg_soft *soft)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    const pg_windows *w = &soft->windows;
    pg_tensor *q = t->to_type(s, t->detach(s, soft->evidence), PG_T_F64);
    pg_tensor *sums = running(s, running(s, q, 3, &w->columns), 2, &w->rows);
    sums = t->reshape(s, sums, 3, (const int64_t[]){t->size(soft->evidence, 0), soft->classes, w->count});
    return (heaviest){t->argmax(s, sums, 2), t->amax(s, sums, 1, (const int64_t[]){2}, false), over_positions(s, q)};
}

/* 1 where a position lies in the run of `axis` that starts at `place`, else 0: place f32 [n][m][1][1], result [n][m][H][1] or
 * [n][m][1][W]. */
static pg_tensor *in_run(pg_scope *s, const pg_window_axis *axis, int dim, pg_tensor *place)
{
    const pg_torch *t = s->torch;
    int64_t shape[4] = {1, 1, 1, 1};
    shape[dim] = axis->size;
    pg_tensor *at = t->reshape(s, as_float(s, t->arange(s, axis->size, PG_T_I64)), 4, shape);
    pg_tensor *distance = t->sub(s, at, place), *zero = scalar(s, 0.0);
    distance = t->where(s, t->greater_equal(s, distance, zero), distance, t->affine(s, distance, 1.0, axis->size));
    return as_float(s, t->greater(s, scalar(s, axis->length), distance));
}

/* Windows as masks: place i64 [n][m] -> f32 [n][m][H][W], 1 inside. */
static pg_tensor *window_masks(const pg_soft *soft, pg_tensor *place)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    const pg_windows *w = &soft->windows;
    int64_t shape[4] = {t->size(place, 0), t->size(place, 1), 1, 1}, columns = w->columns.places;
    pg_tensor *at = t->reshape(s, as_float(s, place), 4, shape);
    /* top = place / columns rounded down: half a place more, rounded from the middle between two tops */
    pg_tensor *top = t->round(s, t->affine(s, at, 1.0 / (double)columns, 0.5 / (double)columns - 0.5));
    pg_tensor *left = t->sub(s, at, t->affine(s, top, (double)columns, 0.0));
    return t->mul(s, in_run(s, &w->rows, 2, top), in_run(s, &w->columns, 3, left));
}

/* 1 where a window holds more than the share of a total, else 0. */
static pg_tensor *heavy(pg_scope *s, pg_tensor *window, pg_tensor *total, double threshold)
{
    const pg_torch *t = s->torch;
    return as_float(s, t->greater(s, window, t->affine(s, total, threshold, 0.0)));
}

/* Sums without what is masked. Path: the label loses everywhere, for where it is emptied its mask moves on; another class gains
 * little by what is masked, and with `back`, where less of it would not be masked at all, is led back. */
static pg_tensor *without(const pg_soft *soft, pg_tensor *mask, bool back)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    pg_tensor *value = over_positions(s, t->mul(s, soft->evidence, t->affine(s, mask, -1.0, 1.0)));
    double inside = back ? -1.0 : PG_SOFT_LEAK;
    pg_tensor *slope = t->where(s, soft->label, scalar(s, 1.0), t->affine(s, mask, inside - 1.0, 1.0));
    pg_tensor *path = over_positions(s, t->mul(s, soft->evidence, slope));
    return scores(soft, straight_through(s, value, path));
}

/* Whether a class can stay unmasked: a share below that of an even spread is exceeded whatever it does. */
static bool avoidable(const pg_soft *soft, double threshold)
{
    return threshold * (double)positions(soft) > (double)soft->windows.k;
}

pg_tensor *pg_soft_masked(const pg_soft *soft, double threshold)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    heaviest h = heaviest_windows(soft);
    pg_tensor *on = heavy(s, h.sum, h.total, threshold);
    return without(soft, t->mul(s, window_masks(soft, h.place), bound(soft, on)), avoidable(soft, threshold));
}

/* The entries of x [n][classes] that belong to one class of each: [n][1] */
static pg_tensor *of_class(pg_scope *s, pg_tensor *x, pg_tensor *class)
{
    const pg_torch *t = s->torch;
    return t->gather(s, x, 1, t->reshape(s, class, 2, (const int64_t[]){t->count(class), 1}));
}

pg_tensor *pg_soft_masked_predicted(const pg_soft *soft, double threshold)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    heaviest h = heaviest_windows(soft);
    pg_tensor *largest = t->argmax(s, h.total, 1);
    pg_tensor *on = heavy(s, of_class(s, h.sum, largest), of_class(s, h.total, largest), threshold);
    on = t->reshape(s, on, 4, (const int64_t[]){t->count(on), 1, 1, 1});
    return without(soft, t->mul(s, window_masks(soft, of_class(s, h.place, largest)), on), avoidable(soft, threshold));
}

pg_tensor *pg_soft_masked_label(const pg_soft *soft)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    heaviest h = heaviest_windows(soft);
    pg_tensor *kept = without(soft, window_masks(soft, of_class(s, h.place, soft->labels)), false);
    pg_tensor *total = pg_soft_sum(soft);
    pg_tensor *above = t->relu(s, t->sub(s, total, of_class(s, total, soft->labels)));
    return t->sub(s, kept, t->affine(s, above, 2.0, 0.0));
}

pg_tensor *pg_soft_held(const pg_soft *soft)
{
    pg_scope *s = soft->scope;
    const pg_torch *t = s->torch;
    const pg_windows *w = &soft->windows;
    int64_t n = t->size(soft->evidence, 0), classes = soft->classes;
    pg_tensor *inside = running(s, running(s, soft->evidence, 3, &w->columns), 2, &w->rows);
    pg_tensor *total = t->reshape(s, over_positions(s, soft->evidence), 3, (const int64_t[]){n, classes, 1});
    pg_tensor *outside = t->sub(s, total, t->reshape(s, inside, 3, (const int64_t[]){n, classes, w->count}));
    pg_tensor *at = t->detach(s, outside), *label = t->reshape(s, soft->label, 3, (const int64_t[]){n, classes, 1});
    pg_tensor *own = t->amax(s, t->where(s, label, at, scalar(s, -1e30)), 1, (const int64_t[]){1}, false);
    pg_tensor *rival = t->amax(s, t->where(s, label, scalar(s, -1e30), at), 1, (const int64_t[]){1}, false);
    pg_tensor *margin = t->sub(s, own, rival),
              *all = t->reshape(s, t->arange(s, w->count, PG_T_I64), 2, (const int64_t[]){1, w->count});
    pg_tensor *firmest = as_float(s, t->equal(s, all, t->unsqueeze(s, t->argmax(s, margin, 1), 1)));
    pg_tensor *held = t->relu(s, t->sub(s, as_float(s, t->greater_equal(s, margin, scalar(s, 0.0))), firmest));
    pg_tensor *count = t->sum(s, held, 1, (const int64_t[]){1}, true),
              *none = as_float(s, t->greater(s, scalar(s, 0.5), count));
    held = t->add(s, held, none); /* all, where there is none */
    count = t->sum(s, held, 1, (const int64_t[]){1}, true);
    pg_tensor *share = t->reshape(s, t->div(s, held, count), 3, (const int64_t[]){n, 1, w->count});
    return scores(soft, t->sum(s, t->mul(s, outside, share), 1, (const int64_t[]){2}, false));
}
