/* See smoothing.h. Position (i, j) of the map is the cell whose first pixel is (i, j) times the stride; bands have one position
 * on the axis along which they span the image.
 *
 * Two encodings. "ablation" is the publication's: six channels [x, 1 - x] inside the cell, zero elsewhere, the image's full
 * size. "band" feeds only the cell, with its place on each axis as sine and cosine channels: an eighth of the work for bands at
 * 32 px. A band of columns is turned, so that its short side is the height: three quarters of a ResNet-18 then run on maps of
 * one row, where only the middle row of each kernel matters. A trunk whose weights come from whole images keeps them upright.
 *
 * A trunk of tokens (Salman et al. 2022) sees the whole tokens that a cell touches, with their places in the image. Pixels
 * outside the cell are black in them. Cells that touch equally many run together; where a list has others, the missing tokens
 * are marked.
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
    int token;      /* 0: pixels count, not tokens */
    int64_t length; /* pixels of an encoded cell; the largest of the lists */
    int seen;
    int64_t m;           /* cells of a list */
    const int64_t *cell; /* [lists][m] */
    const int64_t *left; /* [lists] */
} line;

typedef struct choice {
    bool ablation, turned;
    int token; /* of both lines */
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
                 .token = s->token,
                 .seen = height,
                 .m = 1};
    line columns = rows;
    columns.spans = c->shape == PG_CELLS_ROW;
    columns.px = columns.seen = width;
    bool ablation = c->encoding == PG_ENCODING_ABLATION && !s->token;
    return (choice){.ablation = ablation,
                    .token = s->token,
                    .turned = !ablation && !s->upright && c->shape == PG_CELLS_COLUMN,
                    .lists = 1,
                    .rows = rows,
                    .columns = columns};
}

/* Tokens that a cell touches. Where its ends touch one token, that counts once. */
static int64_t tokens_of(const line *l, int64_t cell)
{
    int64_t n = (cell * l->stride % l->token + l->side + l->token - 1) / l->token, all = l->px / l->token;
    return n < all ? n : all;
}

/* Says how long encoded cells are, once the lists are complete. */
static void settle(choice *a)
{
    for (line *l = &a->rows; l; l = l == &a->rows ? &a->columns : NULL) {
        l->length = a->ablation || l->spans ? l->px : l->side;
        if (a->token && !l->spans)
            l->length = 0;
        for (int64_t i = 0; a->token && !l->spans && i < a->lists * l->m; i++)
            if (tokens_of(l, l->cell[i]) * l->token > l->length)
                l->length = tokens_of(l, l->cell[i]) * l->token;
    }
}

/* The pixel of the image with which an encoded cell begins. */
static int64_t first_of(const choice *a, const line *l, int64_t cell)
{
    int64_t first = cell * l->stride;
    return a->ablation ? 0 : l->token ? first / l->token * l->token : first;
}

/* Pixel k of a cell, as a pixel of the axis. */
static int64_t pixel_of(const line *l, int64_t cell, int64_t k) { return (cell * l->stride + k) % l->px; }

/* One-hot: what pixels [..][seen] are multiplied with to give the cells. [lists][seen][m * length], with every pixel at its
 * place in the encoded cell. A selection as a product is exact, and its gradient is a product too, which repeats to
 * the last bit on a GPU. */
static pg_tensor *selection(pg_scope *s, const choice *a, const line *l)
{
    int64_t shape[3] = {a->lists, l->seen, l->m * l->length};
    float *one = calloc((size_t)(shape[0] * shape[1] * shape[2]), sizeof *one);
    if (!one) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < a->lists; i++)
        for (int64_t j = 0; j < l->m; j++)
            for (int64_t k = 0; k < l->side; k++) {
                int64_t cell = l->cell[i * l->m + j], pixel = pixel_of(l, cell, k);
                int64_t from = (pixel - l->left[i] + l->px) % l->px, to = (pixel - first_of(a, l, cell) + l->px) % l->px;
                assert(from < l->seen && to < l->length);
                one[(i * l->seen + from) * shape[2] + j * l->length + to] = 1;
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
    return t->reshape(s, x, 4, (const int64_t[]){n, channels, height, l->m * l->length});
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
    int tall = (int)a->rows.length, wide = (int)a->columns.length;
    int channels = a->token ? 3 : a->ablation ? 6 : 3 + 2 * !a->rows.spans + 2 * !a->columns.spans;
    return a->turned ? pg_layer_input(b, batch, channels, wide, tall) : pg_layer_input(b, batch, channels, tall, wide);
}

/* Encoded cells as a batch, image-major, a row of cells after the other: x [n][3][..][..] -> [n * rows.m *
 * columns.m][channels][..][..] */
static pg_tensor *encode(pg_scope *s, const choice *a, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(x, 0), tall = a->rows.length, wide = a->columns.length;
    if (a->ablation)
        x = t->cat(s, 2, (pg_tensor *[]){x, t->affine(s, x, -1, 1)}, 1);
    if (!a->rows.spans)
        x = transpose(s, select_cells(s, a, &a->rows, transpose(s, x)));
    x = select_cells(s, a, &a->columns, x);
    x = t->reshape(s, x, 6, (const int64_t[]){n, a->ablation ? 6 : 3, a->rows.m, tall, a->columns.m, wide});
    x = t->permute(s, x, 6, (const int64_t[]){0, 2, 4, 1, 3, 5});
    if (!a->ablation && !a->token)
        x = with_places(s, a, &a->columns, with_places(s, a, &a->rows, x));
    if (a->turned)
        x = t->permute(s, x, 6, (const int64_t[]){0, 1, 2, 3, 5, 4});
    return t->reshape(s, x, 4, (const int64_t[]){n * a->rows.m * a->columns.m, t->size(x, 3), t->size(x, 4), t->size(x, 5)});
}

/* The token of the image that token k of a cell is, along one axis; -1 where the cell touches fewer. */
static int64_t token_of(const choice *a, const line *l, int64_t i, int64_t k)
{
    if (l->spans)
        return k;
    int64_t cell = l->cell[i];
    return k < tokens_of(l, cell) ? (first_of(a, l, cell) / l->token + k) % (l->px / l->token) : -1;
}

/* See pg_cell_tokens, whose `places` these are; of n images. */
static pg_tensor *places_of(pg_scope *s, const choice *a, int64_t n, bool *ragged)
{
    int64_t tall = a->rows.length / a->token, wide = a->columns.length / a->token, across = a->columns.px / a->token,
            all = a->rows.px / a->token * across, m = a->rows.m * a->columns.m, cells = a->lists * m, k = tall * wide;
    float *one = calloc((size_t)(cells * k * all), sizeof *one);
    if (!one) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    *ragged = false;
    for (int64_t i = 0; i < cells * k; i++) {
        int64_t cell = i / k, row_cell = cell / a->columns.m, column_cell = cell / m * a->columns.m + cell % a->columns.m;
        int64_t row = token_of(a, &a->rows, row_cell, i % k / wide), column = token_of(a, &a->columns, column_cell, i % wide);
        if (row >= 0 && column >= 0)
            one[i * all + row * across + column] = 1;
        else
            *ragged = true;
    }
    pg_tensor *x = s->torch->from_data(s, one, PG_T_F32, 4, (const int64_t[]){a->lists, m, k, all});
    free(one);
    x = s->torch->expand(s, x, 4, (const int64_t[]){n, m, k, all});
    return s->torch->reshape(s, x, 3, (const int64_t[]){n * m, k, all});
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
    pg_cell_tokens tokens = {0};
    if (a->token)
        tokens = (pg_cell_tokens){.rows = a->rows.px / a->token, .columns = a->columns.px / a->token};
    if (b->pass == PG_PASS_TRACE) {
        s->trunk(b, s->config, shape_of(b, a, NULL), &tokens);
        return out;
    }
    const pg_torch *t = b->scope->torch;
    int64_t n = t->size(pixels.tensor, 0);
    if (!a->token)
        x = pg_layer_normalise(b, x, &s->pixels);
    x = shape_of(b, a, t->channels_last(b->scope, encode(b->scope, a, x.tensor)));
    if (a->token) {
        x = pg_layer_normalise(b, x, &s->pixels);
        tokens.places = places_of(b->scope, a, n, &tokens.ragged);
    }
    x = s->trunk(b, s->config, x, &tokens);
    out.tensor = t->reshape(b->scope, x.tensor, 4, (const int64_t[]){n, a->rows.m, a->columns.m, b->classes});
    out.tensor = t->permute(b->scope, out.tensor, 4, (const int64_t[]){0, 3, 1, 2});
    return out;
}

typedef struct piece {
    const pg_smoothed *s;
    const choice *a;
} piece;

static pg_value map_of_piece(pg_builder *b, const void *context, pg_value x)
{
    const piece *p = context;
    return map_of(b, p->s, p->a, x);
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
    int64_t n = t->size(x, 0), px = a->rows.length * a->columns.length;
    size_t next = b->next;
    pg_tensor *half[2];
    int along = n > 1 ? 0 : a->rows.m > 1 ? 2 : 3;
    if (n * a->rows.m * a->columns.m * px <= PART_PX || (along == 3 && a->columns.m == 1))
        return pg_layer_within(b, map_of_piece, &(piece){s, a}, (pg_value){.tensor = x}).tensor;
    for (int i = 0; i < 2; i++) {
        choice c = *a;
        if (along == 2)
            c.rows = half_of(&a->rows, i);
        else if (along == 3)
            c.columns = half_of(&a->columns, i);
        b->next = next; /* each part asks for the same parameters */
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

/* `parts` of each number of tokens that cells of one list touch along an axis, 2 or 3; of them all without tokens. */
static pg_tensor *alike(pg_builder *b, const pg_smoothed *s, choice a, int along, pg_tensor *x)
{
    const pg_torch *t = b->scope->torch;
    line *l = along == 2 ? &a.rows : &a.columns, all = *l;
    if (along > 3)
        return parts(b, s, &a, x);
    if (l->spans || !a.token)
        return alike(b, s, a, along + 1, x);
    size_t next = b->next;
    int64_t *cell = numbers(b, 2 * all.m), *place = cell + all.m, done = 0;
    pg_tensor *some[2] = {NULL}, *out;
    int n = 0;
    l->cell = cell;
    for (int64_t tokens = 1; cell && done < all.m; tokens++) {
        l->m = 0;
        for (int64_t j = 0; j < all.m; j++)
            if (tokens_of(&all, all.cell[j]) == tokens) {
                place[j] = done++;
                cell[l->m++] = all.cell[j];
            }
        if (l->m == 0)
            continue;
        assert(n < 2);
        settle(&a);
        b->next = next;
        some[n++] = alike(b, s, a, along + 1, x);
    }
    out = t->cat(b->scope, n, some, along);
    out = t->index_select(b->scope, out, along, t->from_data(b->scope, place, PG_T_I64, 1, &all.m));
    free(cell);
    return out;
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
    if (row && column)
        settle(&a);
    if (row && column && b->pass != PG_PASS_TRACE)
        out.tensor = alike(b, s, a, 2, pixels.tensor);
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
    if (row && column)
        settle(&a);
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
    if (row && column)
        settle(&a);
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
