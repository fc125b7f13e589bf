/* See smoothing.h. Position (i, j) of the map is the cell whose first pixel is (i, j) times the stride; bands have one position
 * on the axis along which they span the image.
 *
 * Two encodings. "ablation" is the publication's: six channels [x, 1 - x] inside the cell, zero elsewhere, the image's full
 * size. "band" feeds only the cell, with its place on each axis as sine and cosine channels: an eighth of the work for bands at
 * 32 px. A band of columns is turned, so that its short side is the height: three quarters of a ResNet-18 then run on maps of
 * one row, where only the middle row of each kernel matters. A trunk whose weights come from whole images keeps them upright.
 */
#include "models/smoothing.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PART_PX = 1 << 19 }; /* pixels of the cells that a forward pass runs at a time */

const char *const pg_smoothing_encodings[] = {"band", "ablation", NULL};
const char *const pg_smoothing_shapes[] = {"column", "row", "block", NULL};

/* Cells along one axis, for each image of a batch or one list for all. Pixels are whole images, or crops: `seen` of them from
 * left[i] on, round the image's edge. */
typedef struct line {
    bool spans; /* one cell, the whole axis: nothing below but px, and m = 1 */
    int px;     /* of the image */
    int side, stride;
    int seen;
    int64_t m;           /* cells of a list */
    const int64_t *cell; /* [lists][m] */
    const int64_t *left; /* [lists] */
} line;

typedef struct choice {
    bool ablation, turned;
    int64_t lists;
    line rows, columns;
} choice;

static int64_t cells_of(const line *l) { return l->spans ? 1 : (l->px + l->stride - 1) / l->stride; }

/* The lines of an image; which cells of them is still to be said. */
static choice choice_of(const pg_smoothed *s, int height, int width)
{
    const pg_smoothing *c = s->cells;
    line rows = {.spans = c->shape == PG_CELLS_COLUMN,
                 .px = height,
                 .side = (int)c->band,
                 .stride = (int)c->stride,
                 .seen = height,
                 .m = 1};
    line columns = {
        .spans = c->shape == PG_CELLS_ROW, .px = width, .side = (int)c->band, .stride = (int)c->stride, .seen = width, .m = 1};
    bool ablation = c->encoding == PG_ENCODING_ABLATION;
    return (choice){.ablation = ablation,
                    .turned = !ablation && !s->upright && c->shape == PG_CELLS_COLUMN,
                    .lists = 1,
                    .rows = rows,
                    .columns = columns};
}

/* Pixels of an encoded cell along an axis. */
static int64_t length_of(const choice *a, const line *l) { return a->ablation || l->spans ? l->px : l->side; }

/* Pixel k of a cell, as a pixel of the axis. */
static int64_t pixel_of(const line *l, int64_t cell, int64_t k) { return (cell * l->stride + k) % l->px; }

/* One-hot: what pixels [..][seen] are multiplied with to give the cells. [lists][seen][m * length], with every pixel at its
 * place in the image where `ablation`. A selection as a product is exact, and its gradient is a product too, which repeats to
 * the last bit on a GPU. */
static pg_tensor *selection(pg_scope *s, const choice *a, const line *l)
{
    int64_t length = length_of(a, l), shape[3] = {a->lists, l->seen, l->m * length};
    float *one = calloc((size_t)(shape[0] * shape[1] * shape[2]), sizeof *one);
    if (!one) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < a->lists; i++)
        for (int64_t j = 0; j < l->m; j++)
            for (int64_t k = 0; k < l->side; k++) {
                int64_t pixel = pixel_of(l, l->cell[i * l->m + j], k), from = (pixel - l->left[i] + l->px) % l->px;
                assert(from < l->seen);
                one[(i * l->seen + from) * shape[2] + j * length + (a->ablation ? pixel : k)] = 1;
            }
    pg_tensor *x = s->torch->from_data(s, one, PG_T_F32, a->lists == 1 ? 2 : 3, a->lists == 1 ? shape + 1 : shape);
    free(one);
    return x;
}

/* x [n][channels][height][seen] -> [n][channels][height][m * length]; the same where cells span the axis. */
static pg_tensor *select_cells(pg_scope *s, const choice *a, const line *l, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    if (l->spans)
        return x;
    int64_t n = t->size(x, 0), channels = t->size(x, 1), height = t->size(x, 2);
    x = t->matmul(s, t->reshape(s, x, 3, (const int64_t[]){n, channels * height, l->seen}), selection(s, a, l));
    return t->reshape(s, x, 4, (const int64_t[]){n, channels, height, l->m * length_of(a, l)});
}

static pg_tensor *transpose(pg_scope *s, pg_tensor *x) { return s->torch->permute(s, x, 4, (const int64_t[]){0, 1, 3, 2}); }

/* x [n][rows.m][columns.m][channels][tall][wide] -> with two channels more, if cells do not span the axis: cosine and sine of
 * each pixel's angle round the image. */
static pg_tensor *with_places(pg_scope *s, const choice *a, const line *l, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    if (l->spans)
        return x;
    float *place = malloc((size_t)(a->lists * l->m * 2 * l->side) * sizeof *place);
    if (!place) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < a->lists * l->m; i++)
        for (int64_t k = 0; k < l->side; k++) {
            double angle = 2 * M_PI * ((double)pixel_of(l, l->cell[i], k) + 0.5) / l->px;
            place[2 * i * l->side + k] = (float)cos(angle);
            place[(2 * i + 1) * l->side + k] = (float)sin(angle);
        }
    bool rows = l == &a->rows;
    pg_tensor *p = t->from_data(s, place, PG_T_F32, 6,
                                rows ? (const int64_t[]){a->lists, l->m, 1, 2, l->side, 1}
                                     : (const int64_t[]){a->lists, 1, l->m, 2, 1, l->side});
    free(place);
    p = t->expand(s, p, 6, (const int64_t[]){t->size(x, 0), a->rows.m, a->columns.m, 2, t->size(x, 4), t->size(x, 5)});
    return t->cat(s, 2, (pg_tensor *[]){x, p}, 3);
}

/* Channels and size of encoded cells, as the trunk sees them. */
static pg_value shape_of(pg_builder *b, const choice *a, pg_tensor *batch)
{
    int tall = (int)length_of(a, &a->rows), wide = (int)length_of(a, &a->columns);
    int channels = a->ablation ? 6 : 3 + 2 * !a->rows.spans + 2 * !a->columns.spans;
    return a->turned ? pg_layer_input(b, batch, channels, wide, tall) : pg_layer_input(b, batch, channels, tall, wide);
}

/* Encoded cells as a batch, image-major, a row of cells after the other: x [n][3][..][..] -> [n * rows.m *
 * columns.m][channels][..][..] */
static pg_tensor *encode(pg_scope *s, const choice *a, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(x, 0), tall = length_of(a, &a->rows), wide = length_of(a, &a->columns);
    if (a->ablation)
        x = t->cat(s, 2, (pg_tensor *[]){x, t->affine(s, x, -1, 1)}, 1);
    if (!a->rows.spans)
        x = transpose(s, select_cells(s, a, &a->rows, transpose(s, x)));
    x = select_cells(s, a, &a->columns, x);
    x = t->reshape(s, x, 6, (const int64_t[]){n, a->ablation ? 6 : 3, a->rows.m, tall, a->columns.m, wide});
    x = t->permute(s, x, 6, (const int64_t[]){0, 2, 4, 1, 3, 5});
    if (!a->ablation)
        x = with_places(s, a, &a->columns, with_places(s, a, &a->rows, x));
    if (a->turned)
        x = t->permute(s, x, 6, (const int64_t[]){0, 1, 2, 3, 5, 4});
    return t->reshape(s, x, 4, (const int64_t[]){n * a->rows.m * a->columns.m, t->size(x, 3), t->size(x, 4), t->size(x, 5)});
}

static pg_axis axis_of(const line *l)
{
    return l->spans ? (pg_axis){.positions = 1, .field = l->px, .stride = 1}
                    : (pg_axis){.positions = (int)l->m, .field = l->side, .stride = l->stride, .wrap = true};
}

/* Local logits [n][classes][rows.m][columns.m] of the chosen cells. The layers inside a cell are not the geometry of the map:
 * cells are. */
static pg_value map_of(pg_builder *b, const pg_smoothed *s, const choice *a, pg_value pixels)
{
    pg_value out = {.channels = b->classes, .rows = axis_of(&a->rows), .columns = axis_of(&a->columns)}, x = pixels;
    if (b->pass == PG_PASS_TRACE) {
        s->trunk(b, s->config, shape_of(b, a, NULL));
        return out;
    }
    const pg_torch *t = b->scope->torch;
    int64_t n = t->size(pixels.tensor, 0);
    x = pg_layer_normalise(b, pixels, &s->pixels);
    x = s->trunk(b, s->config, shape_of(b, a, t->channels_last(b->scope, encode(b->scope, a, x.tensor))));
    out.tensor = t->reshape(b->scope, x.tensor, 4, (const int64_t[]){n, a->rows.m, a->columns.m, b->classes});
    out.tensor = t->permute(b->scope, out.tensor, 4, (const int64_t[]){0, 3, 1, 2});
    return out;
}

/* map_of in a scope of its own, whose temporaries are gone when it returns. */
static pg_tensor *small_part(pg_builder *b, const pg_smoothed *s, const choice *a, pg_tensor *x)
{
    pg_scope *outer = b->scope;
    const pg_torch *t = outer->torch;
    pg_scope *inner = outer->error ? NULL : t->scope_new();
    if (!inner) {
        outer->error = outer->error ? outer->error : PG_ENOMEM;
        return NULL;
    }
    memcpy(inner->device, outer->device, sizeof inner->device);
    size_t next = b->next;
    b->scope = inner;
    pg_tensor *kept = t->keep(inner, map_of(b, s, a, (pg_value){.tensor = x}).tensor);
    b->scope = outer;
    b->next = next; /* the next part asks for the same parameters */
    outer->error = inner->error;
    memcpy(outer->message, inner->message, sizeof outer->message);
    t->scope_free(inner);
    const int64_t shape[4] = {t->size(x, 0), b->classes, a->rows.m, a->columns.m};
    pg_tensor *out = t->reshape(outer, kept, 4, shape);
    t->tensor_free(kept);
    return out;
}

/* A half of a line of one list. */
static line half_of(const line *l, bool second)
{
    line h = *l;
    h.m = second ? l->m - l->m / 2 : l->m / 2;
    h.cell += second ? l->m / 2 : 0;
    return h;
}

/* Local logits of one list of cells, of all images: in halves, of images, then of rows, then of columns, until a
 * part is small. */
static pg_tensor *parts(pg_builder *b, const pg_smoothed *s, const choice *a, pg_tensor *x)
{
    const pg_torch *t = b->scope->torch;
    int64_t n = t->size(x, 0), px = length_of(a, &a->rows) * length_of(a, &a->columns);
    pg_tensor *half[2];
    int along = n > 1 ? 0 : a->rows.m > 1 ? 2 : 3;
    if (n * a->rows.m * a->columns.m * px <= PART_PX || (along == 3 && a->columns.m == 1))
        return small_part(b, s, a, x);
    for (int i = 0; i < 2; i++) {
        choice c = *a;
        if (along == 2)
            c.rows = half_of(&a->rows, i);
        else if (along == 3)
            c.columns = half_of(&a->columns, i);
        half[i] = parts(b, s, &c, along == 0 ? t->slice(b->scope, x, 0, i ? n / 2 : 0, i ? n : n / 2, 1) : x);
    }
    return t->cat(b->scope, 2, half, along);
}

/* *new* zeros; out of memory is the error of the scope, or of the trace. */
static int64_t *numbers(pg_builder *b, int64_t n)
{
    int64_t *x = calloc((size_t)n, sizeof *x);
    if (!x)
        *(b->scope ? &b->scope->error : &b->error) = pg_fail(PG_ENOMEM, "out of memory");
    return x;
}

/* Lists of m cells and where the pixels start: *new* in one piece, or NULL. */
static int64_t *lists_of(pg_builder *b, choice *a, line *l, int64_t m)
{
    int64_t *x = numbers(b, a->lists * (m + 1));
    l->m = m;
    l->cell = x;
    l->left = x ? x + a->lists * m : NULL;
    return x;
}

pg_value pg_smoothing_forward(pg_builder *b, const pg_smoothed *s, pg_value pixels)
{
    choice a = choice_of(s, pixels.rows.positions, pixels.columns.positions);
    int64_t *row = lists_of(b, &a, &a.rows, cells_of(&a.rows)), *column = lists_of(b, &a, &a.columns, cells_of(&a.columns));
    for (int64_t j = 0; row && j < a.rows.m; j++)
        row[j] = j;
    for (int64_t j = 0; column && j < a.columns.m; j++)
        column[j] = j;
    pg_value out = {.channels = b->classes, .rows = axis_of(&a.rows), .columns = axis_of(&a.columns)};
    if (row && column && b->pass == PG_PASS_EVAL)
        out.tensor = parts(b, s, &a, pixels.tensor);
    else if (row && column)
        out = map_of(b, s, &a, pixels);
    free(row);
    free(column);
    return out;
}

/* The cells that a patch can touch, of each image its own. */
pg_value pg_smoothing_crop(pg_builder *b, const pg_smoothed *s, pg_value pixels, const pg_geometry *g, const pg_crop *crops,
                           int n)
{
    choice a = choice_of(s, g->input_height, g->input_width);
    a.lists = n;
    a.rows.seen = crops->pixels.height;
    a.columns.seen = crops->pixels.width;
    int64_t *row = lists_of(b, &a, &a.rows, crops->positions.height),
            *column = lists_of(b, &a, &a.columns, crops->positions.width);
    for (int64_t i = 0; row && column && i < n; i++) {
        row[n * a.rows.m + i] = crops[i].pixels.top;
        column[n * a.columns.m + i] = crops[i].pixels.left;
        for (int64_t j = 0; j < a.rows.m; j++)
            row[i * a.rows.m + j] = (crops[i].positions.top + j) % g->rows.positions;
        for (int64_t j = 0; j < a.columns.m; j++)
            column[i * a.columns.m + j] = (crops[i].positions.left + j) % g->columns.positions;
    }
    pg_value out = row && column ? map_of(b, s, &a, pixels) : pixels;
    free(row);
    free(column);
    return out;
}

/* Evenly spaced cells of a line, for each image from a random one on. */
static void space_evenly(pg_builder *b, const line *l, int64_t *cell)
{
    int64_t all = cells_of(l), first = all > 1 ? pg_rng_below(&b->rng, (uint32_t)all) : 0;
    for (int64_t j = 0; j < l->m; j++)
        cell[j] = (first + j * all / l->m) % all;
}

pg_value pg_smoothing_train(pg_builder *b, const pg_smoothed *s, pg_value pixels)
{
    choice a = choice_of(s, pixels.rows.positions, pixels.columns.positions);
    a.lists = b->scope->torch->size(pixels.tensor, 0);
    int64_t all_rows = cells_of(&a.rows), all_columns = cells_of(&a.columns), tall = a.columns.spans ? b->positions : 1;
    for (; s->cells->shape == PG_CELLS_BLOCK && (tall + 1) * (tall + 1) <= b->positions; tall++)
        ;
    tall = tall < all_rows ? tall : all_rows;
    int64_t wide = b->positions / tall < all_columns ? b->positions / tall : all_columns;
    int64_t *row = lists_of(b, &a, &a.rows, tall), *column = lists_of(b, &a, &a.columns, wide);
    for (int64_t i = 0; row && column && i < a.lists; i++) {
        space_evenly(b, &a.rows, row + i * tall);
        space_evenly(b, &a.columns, column + i * wide);
    }
    pg_value out = row && column ? map_of(b, s, &a, pixels) : pixels;
    if (!a.rows.spans)
        out.rows.stride = (int)(all_rows / tall * a.rows.stride);
    if (!a.columns.spans)
        out.columns.stride = (int)(all_columns / wide * a.columns.stride);
    free(row);
    free(column);
    return out;
}

bool pg_smoothing_derive(const pg_shapes *shapes, const char *first, pg_buf *pairs)
{
    int64_t channels = pg_shape_size(shapes, first, 1); /* as in encode */
    if (channels < 5 || channels > 7)
        return false;
    pg_buf_printf(pairs, "encoding=%s\n%s", pg_smoothing_encodings[channels == 6 ? PG_ENCODING_ABLATION : PG_ENCODING_BAND],
                  channels == 7 ? "shape=block\n" : "");
    return true;
}

/* Whether cells fit along one axis. */
static int check_axis(const pg_smoothing *c, const char *what, int px)
{
    if (c->band > px)
        return pg_fail(PG_EINPUT, "a band of %d %s is wider than the image of %d", (int)c->band, what, px);
    if (c->stride > px)
        return pg_fail(PG_EINPUT, "a stride of %d %s is larger than the image of %d", (int)c->stride, what, px);
    return PG_OK;
}

int pg_smoothing_check(const pg_smoothing *c, int height, int width)
{
    int code = c->shape == PG_CELLS_ROW ? PG_OK : check_axis(c, "columns", width);
    return code != PG_OK || c->shape == PG_CELLS_COLUMN ? code : check_axis(c, "rows", height);
}
