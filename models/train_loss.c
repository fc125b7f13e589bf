#include "models/train_loss.h"

/* Keeps the gradient of an image that no position is confident of from drowning those of the others. */
static const double least_confidence = 0.01;

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

pg_tensor *pg_train_scores(pg_scope *s, const pg_train_options *o, const pg_value *local, int height, int width,
                           pg_tensor *labels)
{
    const pg_torch *t = s->torch;
    pg_tensor *x = t->to_type(s, local->tensor, PG_T_F32);
    int64_t n = t->size(x, 0), classes = t->size(x, 1), rows = t->size(x, 2), columns = t->size(x, 3);
    if (o->evidence == PG_TRAIN_CONFIDENCE)
        x = t->softmax(s, x, 1);
    pg_tensor *scores = t->mean(s, x, 2, (const int64_t[]){2, 3}, false);
    if (o->mask > 0 && labels && n > 0) {
        pg_tensor *index =
            t->expand(s, t->reshape(s, labels, 4, (const int64_t[]){n, 1, 1, 1}), 4, (const int64_t[]){n, 1, rows, columns});
        pg_tensor *lost = heaviest(s, local, t->gather(s, x, 1, index), height, width, (int)o->mask);
        pg_tensor *all = t->reshape(s, t->arange(s, classes, PG_T_I64), 2, (const int64_t[]){1, classes});
        pg_tensor *is_label = t->to_type(s, t->equal(s, all, t->reshape(s, labels, 2, (const int64_t[]){n, 1})), PG_T_F32);
        scores = t->sub(s, scores, t->mul(s, is_label, t->affine(s, lost, 1.0 / (double)(rows * columns), 0)));
    }
    return o->evidence == PG_TRAIN_CONFIDENCE ? t->log(s, t->affine(s, scores, 1, least_confidence)) : scores;
}
