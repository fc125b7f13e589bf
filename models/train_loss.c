#include "models/train_loss.h"

#include <stdio.h>
#include <stdlib.h>

/* Keeps the gradient of an image that no position is confident of from drowning those of the others. */
static const double least_confidence = 0.01;

enum { TABLE_MAX = 1 << 24 }; /* entries of a table of windows by positions */

static int least(int a, int b) { return a < b ? a : b; }

/* The sum of the heaviest window of x [n][1][H][W], no less than 0: [n][1]. */
static pg_tensor *heaviest(pg_scope *s, const pg_value *local, pg_tensor *x, int height, int width, int mask_px)
{
    const pg_torch *t = s->torch;
    int rows = pg_axis_window(&local->rows, height, least(mask_px, height)),
        columns = pg_axis_window(&local->columns, width, least(mask_px, width));
    if (local->columns.wrap)
        x = t->pad_circular(s, x, 4, (const int64_t[]){0, columns - 1, 0, 0});
    if (local->rows.wrap)
        x = t->pad_circular(s, x, 4, (const int64_t[]){0, 0, 0, rows - 1});
    x = t->unfold(s, t->unfold(s, x, 2, rows, 1), 3, columns, 1);
    x = t->sum(s, x, 2, (const int64_t[]){4, 5}, false);
    return t->relu(s, t->amax(s, x, 2, (const int64_t[]){2, 3}, false));
}

/* Scores of means over the positions. */
static pg_tensor *scores_of(pg_scope *s, const pg_train_options *o, pg_tensor *mean)
{
    const pg_torch *t = s->torch;
    return o->evidence == PG_TRAIN_CONFIDENCE ? t->log(s, t->affine(s, mean, 1, least_confidence)) : mean;
}

/* Places of a window along an axis of a map. */
static int places_of(const pg_axis *axis, int window)
{
    return axis->wrap && window < axis->positions ? axis->positions : axis->positions - window + 1;
}

/* Whether two windows can cover the map, which would leave nothing to learn from, or the table of all windows is too large. */
static bool refused(pg_scope *s, const pg_axis *r, const pg_axis *c, int tall, int wide)
{
    bool rows = tall >= r->positions, columns = wide >= c->positions;
    int64_t cells = (int64_t)r->positions * c->positions;
    if ((rows && 2 * wide >= c->positions) || (columns && 2 * tall >= r->positions)) {
        s->error = PG_EINPUT;
        snprintf(s->message, sizeof s->message,
                 "--masking twice: two windows of %dx%d positions cover the %dx%d that are learned from; right would be %s",
                 tall, wide, r->positions, c->positions,
                 r->wrap || c->wrap ? "a smaller --mask, or more --positions"
                 : cells > 1        ? "a smaller --mask"
                                    : "no --mask");
        return true;
    }
    if (cells * places_of(r, tall) * places_of(c, wide) > TABLE_MAX) {
        s->error = PG_EINPUT;
        snprintf(s->message, sizeof s->message,
                 "--masking twice: a map of %dx%d positions has too many windows; right would be --masking label", r->positions,
                 c->positions);
        return true;
    }
    return false;
}

/* What is left of a map outside each window: [windows][H * W] of 0 and 1. */
static pg_tensor *outside_windows(pg_scope *s, const pg_value *local, int height, int width, int mask_px)
{
    const pg_axis *r = &local->rows, *c = &local->columns;
    int tall = least(pg_axis_window(r, height, least(mask_px, height)), r->positions),
        wide = least(pg_axis_window(c, width, least(mask_px, width)), c->positions), down = places_of(r, tall),
        across = places_of(c, wide);
    if (refused(s, r, c, tall, wide))
        return NULL;
    int64_t shape[2] = {(int64_t)down * across, (int64_t)r->positions * c->positions};
    float *left = malloc((size_t)(shape[0] * shape[1]) * sizeof *left);
    if (!left) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < shape[0] * shape[1]; i++)
        left[i] = 1;
    for (int64_t w = 0; w < shape[0]; w++)
        for (int64_t i = 0; i < (int64_t)tall * wide; i++) {
            int64_t row = (w / across + i / wide) % r->positions, column = (w % across + i % wide) % c->positions;
            left[w * shape[1] + row * c->positions + column] = 0;
        }
    pg_tensor *x = s->torch->from_data(s, left, PG_T_F32, 2, shape);
    free(left);
    return x;
}

/* x [n][classes][H * W] without two windows an image. */
static pg_tensor *mask_twice(pg_scope *s, const pg_train_options *o, pg_tensor *x, pg_tensor *outside, pg_tensor *labels)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(x, 0), classes = t->size(x, 1), positions = t->size(x, 2), windows = t->size(outside, 0);
    pg_tensor *across = t->permute(s, outside, 2, (const int64_t[]){1, 0});
    for (int mask = 0; mask < 2; mask++) {
        pg_tensor *flat = t->reshape(s, t->detach(s, x), 2, (const int64_t[]){n * classes, positions});
        pg_tensor *means = t->affine(s, t->matmul(s, flat, across), 1.0 / (double)positions, 0);
        means = t->reshape(s, means, 3, (const int64_t[]){n, classes, windows});
        pg_tensor *right = t->log_softmax(s, scores_of(s, o, means), 1);
        pg_tensor *index =
            t->expand(s, t->reshape(s, labels, 3, (const int64_t[]){n, 1, 1}), 3, (const int64_t[]){n, 1, windows});
        right = t->reshape(s, t->gather(s, right, 1, index), 2, (const int64_t[]){n, windows});
        pg_tensor *worst = t->argmax(s, t->affine(s, right, -1, 0), 1);
        x = t->mul(s, x, t->reshape(s, t->index_select(s, outside, 0, worst), 3, (const int64_t[]){n, 1, positions}));
    }
    return x;
}

pg_tensor *pg_train_scores(pg_scope *s, const pg_train_options *o, const pg_value *local, int height, int width,
                           pg_tensor *labels)
{
    const pg_torch *t = s->torch;
    pg_tensor *x = t->to_type(s, local->tensor, PG_T_F32);
    int64_t n = t->size(x, 0), classes = t->size(x, 1), rows = t->size(x, 2), columns = t->size(x, 3),
            positions = rows * columns;
    if (o->evidence == PG_TRAIN_CONFIDENCE)
        x = t->softmax(s, x, 1);
    bool masked = o->mask > 0 && labels && n > 0;
    if (masked && o->masking == PG_TRAIN_MASK_TWICE) {
        pg_tensor *outside = outside_windows(s, local, height, width, (int)o->mask);
        if (!outside)
            return NULL;
        x = mask_twice(s, o, t->reshape(s, x, 3, (const int64_t[]){n, classes, positions}), outside, labels);
        return scores_of(s, o, t->mean(s, x, 1, (const int64_t[]){2}, false));
    }
    pg_tensor *means = t->mean(s, x, 2, (const int64_t[]){2, 3}, false);
    if (masked) {
        pg_tensor *index =
            t->expand(s, t->reshape(s, labels, 4, (const int64_t[]){n, 1, 1, 1}), 4, (const int64_t[]){n, 1, rows, columns});
        pg_tensor *lost = heaviest(s, local, t->gather(s, x, 1, index), height, width, (int)o->mask);
        pg_tensor *all = t->reshape(s, t->arange(s, classes, PG_T_I64), 2, (const int64_t[]){1, classes});
        pg_tensor *is_label = t->to_type(s, t->equal(s, all, t->reshape(s, labels, 2, (const int64_t[]){n, 1})), PG_T_F32);
        means = t->sub(s, means, t->mul(s, is_label, t->affine(s, lost, 1.0 / (double)positions, 0)));
    }
    return scores_of(s, o, means);
}
