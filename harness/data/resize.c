/* Two passes of weighted sums. See resize.h. The order of floating-point operations is Pillow's, since weights are rounded. */
#include "harness/data/resize.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 22 };

const char *const pg_filter_names[] = {"bilinear", "bicubic", NULL};

/* For each pixel i of an axis: which pixels of the image it is the sum of, first[i] and on, and their weights. */
typedef struct taps {
    int n, most;
    int *first, *count;
    int32_t *weights; /* [n][most] */
} taps;

static void taps_release(taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weights);
}

static double weight_at(pg_filter filter, double x)
{
    x = fabs(x);
    if (filter == PG_FILTER_BILINEAR)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0.0;
}

static void make_tap(taps *t, int i, int in, double center, double support, double shrink, pg_filter filter, double *scratch)
{
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    double sum = 0.0, inverse = 1.0 / shrink;
    for (int k = 0; k < end - first; k++) {
        scratch[k] = weight_at(filter, (k + first - center + 0.5) * inverse);
        sum += scratch[k];
    }
    int32_t *weights = t->weights + (size_t)i * (size_t)t->most;
    for (int k = 0; k < end - first; k++) {
        double weight = scratch[k] / sum * (1 << WEIGHT_BITS);
        weights[k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    t->first[i] = first;
    t->count[i] = end - first;
}

/* Pixels [from, from + n) of an axis that has `in` pixels and gets `out`. */
static int taps_init(taps *t, int in, int out, int from, int n, pg_filter filter)
{
    double scale = (double)in / out, shrink = scale < 1.0 ? 1.0 : scale;
    double support = (filter == PG_FILTER_BILINEAR ? 1.0 : 2.0) * shrink;
    *t = (taps){.n = n, .most = (int)ceil(support) * 2 + 1};
    t->first = malloc((size_t)n * sizeof *t->first);
    t->count = malloc((size_t)n * sizeof *t->count);
    t->weights = malloc((size_t)n * (size_t)t->most * sizeof *t->weights);
    double *scratch = malloc((size_t)t->most * sizeof *scratch);
    bool good = t->first && t->count && t->weights && scratch;
    for (int i = 0; good && i < n; i++)
        make_tap(t, i, in, (from + i + 0.5) * scale, support, shrink, filter, scratch);
    free(scratch);
    return good ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a resize to %d pixels", out);
}

static uint8_t to_byte(int32_t sum)
{
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* row[columns->n][3] of a row of the image. */
static void sum_columns(const uint8_t *from, const taps *columns, uint8_t *row)
{
    for (int i = 0; i < columns->n; i++, row += 3) {
        const int32_t *weights = columns->weights + (size_t)i * (size_t)columns->most;
        const uint8_t *pixel = from + (size_t)columns->first[i] * 3;
        int32_t red = 1 << (WEIGHT_BITS - 1), green = red, blue = red;
        for (int k = 0; k < columns->count[i]; k++, pixel += 3) {
            red += pixel[0] * weights[k];
            green += pixel[1] * weights[k];
            blue += pixel[2] * weights[k];
        }
        row[0] = to_byte(red);
        row[1] = to_byte(green);
        row[2] = to_byte(blue);
    }
}

/* out[length] from `count` rows of that length; sums[length] is scratch. */
static void sum_rows(const uint8_t *from, size_t length, const int32_t *weights, int count, int32_t *sums, uint8_t *out)
{
    for (size_t x = 0; x < length; x++)
        sums[x] = 1 << (WEIGHT_BITS - 1);
    for (int k = 0; k < count; k++, from += length)
        for (size_t x = 0; x < length; x++)
            sums[x] += from[x] * weights[k];
    for (size_t x = 0; x < length; x++)
        out[x] = to_byte(sums[x]);
}

int pg_resize(const pg_image *image, int height, int width, pg_filter filter, pg_part part, uint8_t *out)
{
    taps rows = {0}, columns = {0};
    uint8_t *narrow = NULL;
    int32_t *sums = NULL;
    size_t length = (size_t)part.width * 3;
    int code = taps_init(&columns, image->width, width, part.left, part.width, filter);
    if (code == PG_OK)
        code = taps_init(&rows, image->height, height, part.top, part.height, filter);
    if (code != PG_OK)
        goto out;
    /* The rows of the image that the part needs, with the part's width: neither end of a tap ever goes back. */
    int first = rows.first[0], end = rows.first[rows.n - 1] + rows.count[rows.n - 1];
    narrow = malloc((size_t)(end - first) * length);
    sums = malloc(length * sizeof *sums);
    if (!narrow || !sums) {
        code = pg_fail(PG_ENOMEM, "out of memory for a resize to %d x %d pixels", width, height);
        goto out;
    }
    for (int y = first; y < end; y++)
        sum_columns(image->pixels + (size_t)y * (size_t)image->width * 3, &columns, narrow + (size_t)(y - first) * length);
    for (int i = 0; i < rows.n; i++)
        sum_rows(narrow + (size_t)(rows.first[i] - first) * length, length, rows.weights + (size_t)i * (size_t)rows.most,
                 rows.count[i], sums, out + (size_t)i * length);
out:
    taps_release(&rows);
    taps_release(&columns);
    free(narrow);
    free(sums);
    return code;
}

/* planes [3][pixels] -> [pixels][3], and back */
static void interleave(const uint8_t *planes, size_t pixels, uint8_t *out)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            out[3 * i + c] = planes[c * pixels + i];
}

static void separate(const uint8_t *from, size_t pixels, uint8_t *planes)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            planes[c * pixels + i] = from[3 * i + c];
}

int pg_resize_planes(const pg_resizing *how, const uint8_t *planes, uint8_t *out)
{
    size_t before = (size_t)how->from_height * (size_t)how->from_width, behind = (size_t)how->height * (size_t)how->width;
    uint8_t *from = malloc(3 * before), *to = malloc(3 * behind);
    const pg_image image = {.height = how->from_height, .width = how->from_width, .pixels = from};
    const pg_part all = {.height = how->height, .width = how->width};
    int code = from && to ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for an image of %d x %d pixels", how->height, how->width);
    if (code == PG_OK)
        interleave(planes, before, from);
    if (code == PG_OK)
        code = pg_resize(&image, how->height, how->width, how->filter, all, to);
    if (code == PG_OK)
        separate(to, behind, out);
    free(from);
    free(to);
    return code;
}

/* ---- What pixels of the image change ---- */

/* Of each pixel p of the image: the pixels of the result that it has a weight in, from first[p] to end[p] - 1; where it has
 * none, first[p] = `out` and end[p] = 0. */
typedef struct spans {
    int *first, *end;
} spans;

static void spans_release(spans *s)
{
    free(s->first);
    free(s->end);
}

static int spans_init(spans *s, int in, int out, pg_filter filter)
{
    taps t = {0};
    *s = (spans){malloc((size_t)in * sizeof *s->first), calloc((size_t)in, sizeof *s->end)};
    int code = s->first && s->end ? taps_init(&t, in, out, 0, out, filter)
                                  : pg_fail(PG_ENOMEM, "out of memory for a resize to %d pixels", out);
    for (int p = 0; code == PG_OK && p < in; p++)
        s->first[p] = out;
    for (int i = 0; code == PG_OK && i < out; i++)
        for (int k = 0; k < t.count[i]; k++)
            if (t.weights[(size_t)i * (size_t)t.most + (size_t)k] != 0) {
                int p = t.first[i] + k;
                s->first[p] = s->first[p] < i ? s->first[p] : i;
                s->end[p] = i + 1;
            }
    taps_release(&t);
    return code;
}

/* The pixels [*from, *to) of the result; *to = 0 where there are none. */
static void spans_join(const spans *s, int out, int start, int length, int *from, int *to)
{
    *from = out;
    *to = 0;
    for (int p = start; p < start + length; p++) {
        *from = s->first[p] < *from ? s->first[p] : *from;
        *to = s->end[p] > *to ? s->end[p] : *to;
    }
}

int pg_resize_affected(int in, int out, pg_filter filter, int length, int *affected)
{
    spans s;
    int code = spans_init(&s, in, out, filter);
    *affected = 0;
    for (int start = 0, from, to; code == PG_OK && start + length <= in; start++) {
        spans_join(&s, out, start, length, &from, &to);
        *affected = to - from > *affected ? to - from : *affected;
    }
    spans_release(&s);
    return code;
}

int pg_resize_affected_pixels(const pg_resizing *how, int height, int width, int *affected_height, int *affected_width)
{
    int code = pg_resize_affected(how->from_height, how->height, how->filter, height, affected_height);
    return code == PG_OK ? pg_resize_affected(how->from_width, how->width, how->filter, width, affected_width) : code;
}

int pg_resize_touched(int in, int out, pg_filter filter, int start, int length, int *from, int *count)
{
    spans s;
    int code = spans_init(&s, in, out, filter), to = 0;
    *from = *count = 0;
    if (code == PG_OK)
        spans_join(&s, out, start, length, from, &to);
    if (to > *from)
        *count = to - *from;
    spans_release(&s);
    return code;
}

int pg_resize_weights(int in, int out, pg_filter filter, float *weights)
{
    taps t = {0};
    int code = taps_init(&t, in, out, 0, out, filter);
    memset(weights, 0, (size_t)in * (size_t)out * sizeof *weights);
    for (int i = 0; code == PG_OK && i < out; i++)
        for (int k = 0; k < t.count[i]; k++)
            weights[(size_t)i * (size_t)in + (size_t)(t.first[i] + k)] =
                (float)t.weights[(size_t)i * (size_t)t.most + (size_t)k] / (1 << WEIGHT_BITS);
    taps_release(&t);
    return code;
}

/* (all - part) / 2, halves to the even number, as Python's round has it. */
static int middle(int all, int part)
{
    int twice = all - part, half = twice / 2;
    return half + (twice % 2 && half % 2);
}

int pg_resize_crop(const pg_image *image, int side_px, pg_filter filter, int crop_px, uint8_t *out)
{
    int height = side_px, width = side_px;
    if (image->width <= image->height)
        height = (int)((int64_t)side_px * image->height / image->width);
    else
        width = (int)((int64_t)side_px * image->width / image->height);
    pg_part part = {middle(height, crop_px), middle(width, crop_px), crop_px, crop_px};
    return pg_resize(image, height, width, filter, part, out);
}
