/* De-randomized smoothing (Levine & Feizi 2020) with column bands: ResNet-18 sees one band of full height at a time, at every column.
 * Position j of the map is the band of columns j .. j + band - 1; bands wrap round the image.
 *
 * Two encodings. "ablation" is the publication's: six channels [x, 1 - x] inside the band, zero elsewhere, the image's full size, not
 * normalised. "band" feeds only the band, with the column's place as sine and cosine channels: an eighth of the work at
 * 32 px. The band is turned, so that its short side is the height: three quarters of the trunk then run on maps of one row, where only
 * the middle row of each kernel matters. */
#include "models/layers.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ds_resnet18 {
    int64_t width, band, stride;
    int encoding;
} ds_resnet18;

enum { ENCODING_BAND, ENCODING_ABLATION };
static const char *const encodings[] = {"band", "ablation", NULL};

PG_MODEL(ds_resnet18)

static const pg_option options[] = {
    {.name = "width", .type = PG_OPTION_INT, .offset = offsetof(ds_resnet18, width), .fallback = "64", .min = 4, .max = 512,
     .help = "channels of the first stage; each stage doubles them"},
    {.name = "band", .type = PG_OPTION_INT, .offset = offsetof(ds_resnet18, band), .fallback = "4", .min = 1, .max = 512,
     .help = "columns in a band, pixels"},
    {.name = "stride", .type = PG_OPTION_INT, .offset = offsetof(ds_resnet18, stride), .fallback = "1", .min = 1, .max = 512,
     .help = "pixels between bands"},
    {.name = "encoding", .type = PG_OPTION_CHOICE, .offset = offsetof(ds_resnet18, encoding), .fallback = "band", .choices = encodings,
     .help = "band: the band alone with its place; ablation: the full image, zero outside the band"},
    {0},
};

static int64_t bands(const ds_resnet18 *c, int width) { return (width + c->stride - 1) / c->stride; }

/* Bands of a batch of images. Pixels are whole images, or views: `seen` columns from left[i] on, round the image's edge. */
typedef struct choice {
    int width, seen;
    int64_t lists, m;    /* a list of m bands for each image, or one list for all */
    const int64_t *band; /* [lists][m] */
    const int64_t *left; /* [lists] */
} choice;

/* Column k of a band, as a column of the image. */
static int64_t column_of(const ds_resnet18 *c, const choice *a, int64_t band, int64_t k)
{
    return (band * c->stride + k) % a->width;
}

/* One-hot columns: what pixels[..][seen] are multiplied with to give the bands. [lists][seen][m * band], or [..][m * width]
 * with every column of a band at its place in the image. A selection as a product is exact, and its gradient is a product too,
 * which repeats to the last bit on a GPU. */
static pg_tensor *selection(pg_scope *s, const ds_resnet18 *c, const choice *a)
{
    bool ablation = c->encoding == ENCODING_ABLATION;
    int64_t wide = ablation ? a->width : c->band, shape[3] = {a->lists, a->seen, a->m * wide};
    float *one = calloc((size_t)(shape[0] * shape[1] * shape[2]), sizeof *one);
    if (!one) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < a->lists; i++)
        for (int64_t j = 0; j < a->m; j++)
            for (int64_t k = 0; k < c->band; k++) {
                int64_t column = column_of(c, a, a->band[i * a->m + j], k), from = (column - a->left[i] + a->width) % a->width;
                assert(from < a->seen);
                one[(i * a->seen + from) * shape[2] + j * wide + (ablation ? column : k)] = 1;
            }
    pg_tensor *x = s->torch->from_data(s, one, PG_T_F32, a->lists == 1 ? 2 : 3, a->lists == 1 ? shape + 1 : shape);
    free(one);
    return x;
}

/* [lists][m][2][band][1]: cosine and sine of each column's angle round the image. */
static pg_tensor *places(pg_scope *s, const ds_resnet18 *c, const choice *a)
{
    float *place = malloc((size_t)(a->lists * a->m * 2 * c->band) * sizeof *place);
    if (!place) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < a->lists * a->m; i++)
        for (int64_t k = 0; k < c->band; k++) {
            double angle = 2 * M_PI * ((double)column_of(c, a, a->band[i], k) + 0.5) / a->width;
            place[2 * i * c->band + k] = (float)cos(angle);
            place[(2 * i + 1) * c->band + k] = (float)sin(angle);
        }
    pg_tensor *p = s->torch->from_data(s, place, PG_T_F32, 5, (const int64_t[]){a->lists, a->m, 2, c->band, 1});
    free(place);
    return p;
}

/* Encoded bands as a batch, image-major: x [n][3][h][seen] -> [n * m][5][band][h], turned, or [n * m][6][h][width]. */
static pg_tensor *encode(pg_scope *s, const ds_resnet18 *c, const choice *a, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    bool ablation = c->encoding == ENCODING_ABLATION;
    int64_t n = t->size(x, 0), h = t->size(x, 2), channels = ablation ? 6 : 3, wide = ablation ? a->width : c->band;
    x = ablation ? t->cat(s, 2, (pg_tensor *[]){x, t->affine(s, x, -1, 1)}, 1) : t->affine(s, x, 4.0, -2.0);
    x = t->matmul(s, t->reshape(s, x, 3, (const int64_t[]){n, channels * h, a->seen}), selection(s, c, a));
    x = t->reshape(s, x, 5, (const int64_t[]){n, channels, h, a->m, wide});
    if (ablation) {
        x = t->permute(s, x, 5, (const int64_t[]){0, 3, 1, 2, 4});
        return t->reshape(s, x, 4, (const int64_t[]){n * a->m, channels, h, wide});
    }
    x = t->permute(s, x, 5, (const int64_t[]){0, 3, 1, 4, 2});
    x = t->cat(s, 2, (pg_tensor *[]){x, t->expand(s, places(s, c, a), 5, (const int64_t[]){n, a->m, 2, wide, h})}, 2);
    return t->reshape(s, x, 4, (const int64_t[]){n * a->m, 5, wide, h});
}

/* Logits of the chosen bands: [n * m][classes][1][1]. The layers inside a band are not the geometry of the map: bands are. */
static pg_tensor *classify(pg_builder *b, const ds_resnet18 *c, const choice *a, pg_value pixels)
{
    bool ablation = c->encoding == ENCODING_ABLATION;
    int height = pixels.rows.positions;
    pg_tensor *batch =
        b->pass == PG_PASS_TRACE ? NULL : b->scope->torch->channels_last(b->scope, encode(b->scope, c, a, pixels.tensor));
    pg_value x = ablation ? pg_layer_input(b, batch, 6, height, a->width) : pg_layer_input(b, batch, 5, (int)c->band, height);
    return pg_resnet18_trunk(b, x, (int)c->width).tensor;
}

/* Local logits [n][classes][1][m] of the chosen bands. */
static pg_value map_of(pg_builder *b, const ds_resnet18 *c, const choice *a, pg_value pixels)
{
    pg_tensor *logits = classify(b, c, a, pixels);
    pg_value out = {.channels = b->classes,
                    .rows = {.positions = 1, .field = pixels.rows.positions, .stride = 1},
                    .columns = {.positions = (int)a->m, .field = (int)c->band, .stride = (int)c->stride, .wrap = true}};
    if (b->pass != PG_PASS_TRACE) {
        const pg_torch *t = b->scope->torch;
        int64_t n = t->size(pixels.tensor, 0);
        logits = t->reshape(b->scope, logits, 4, (const int64_t[]){n, 1, a->m, b->classes});
        out.tensor = t->permute(b->scope, logits, 4, (const int64_t[]){0, 3, 1, 2});
    }
    return out;
}

/* *new* zeros; out of memory is the error of the scope, or of the trace. */
static int64_t *numbers(pg_builder *b, int64_t n)
{
    int64_t *x = calloc((size_t)n, sizeof *x);
    if (!x)
        *(b->scope ? &b->scope->error : &b->error) = pg_fail(PG_ENOMEM, "out of memory");
    return x;
}

static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    const ds_resnet18 *c = config;
    int width = pixels.columns.positions;
    int64_t m = bands(c, width), *all = numbers(b, m);
    for (int64_t j = 0; all && j < m; j++)
        all[j] = j;
    choice a = {.width = width, .seen = width, .lists = 1, .m = m, .band = all, .left = (const int64_t[]){0}};
    pg_value out = all ? map_of(b, c, &a, pixels) : pixels;
    free(all);
    return out;
}

/* The bands that a patch can touch, of each image its own. */
static pg_value view(pg_builder *b, const void *config, pg_value pixels, const pg_geometry *g, const pg_view *views, int n)
{
    const ds_resnet18 *c = config;
    int64_t m = views->positions.width, *band = numbers(b, n * (m + 1)), *left = band ? band + n * m : NULL;
    for (int64_t i = 0; band && i < n; i++) {
        left[i] = views[i].pixels.left;
        for (int64_t j = 0; j < m; j++)
            band[i * m + j] = (views[i].positions.left + j) % g->columns.positions;
    }
    choice a = {.width = g->input_width, .seen = views->pixels.width, .lists = n, .m = m, .band = band, .left = left};
    pg_value out = band ? map_of(b, c, &a, pixels) : pixels;
    free(band);
    return out;
}

/* Evenly spaced bands of each image, from a random one on. */
static pg_value train(pg_builder *b, const void *config, pg_value pixels)
{
    const ds_resnet18 *c = config;
    int width = pixels.columns.positions;
    int64_t n = b->scope->torch->size(pixels.tensor, 0), n_bands = bands(c, width), m = b->positions < n_bands ? b->positions : n_bands;
    int64_t *band = numbers(b, n * (m + 1));
    for (int64_t i = 0; band && i < n; i++) {
        int64_t first = pg_rng_below(&b->rng, (uint32_t)n_bands);
        for (int64_t j = 0; j < m; j++)
            band[i * m + j] = (first + j * n_bands / m) % n_bands;
    }
    choice a = {.width = width, .seen = width, .lists = n, .m = m, .band = band, .left = band ? band + n * m : NULL};
    pg_value out = band ? map_of(b, c, &a, pixels) : pixels;
    out.columns.stride = (int)(n_bands / m * c->stride);
    free(band);
    return out;
}

static bool derive(const pg_shapes *s, pg_buf *pairs)
{
    int64_t channels = pg_shape_size(s, "conv1.weight", 1); /* as in encode */
    if (!pg_resnet18_shapes(s) || pg_shape_size(s, "conv1.weight", 2) != 3 || (channels != 5 && channels != 6))
        return false;
    pg_buf_printf(pairs, "width=%lld\nencoding=%s\n", (long long)pg_shape_size(s, "conv1.weight", 0), channels == 6 ? "ablation" : "band");
    return true;
}

static const pg_model_hooks hooks = {.forward = forward, .train = train, .view = view, .derive = derive};
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    const ds_resnet18 *c = config;
    if (c->band > width)
        return pg_fail(PG_EINPUT, "a band of %d columns is wider than the image of %d", (int)c->band, width);
    if (c->stride > width)
        return pg_fail(PG_EINPUT, "a stride of %d columns is larger than the image of %d", (int)c->stride, width);
    return pg_model_traced_geometry(&pg_model_ds_resnet18, config, height, width, classes, out);
}

const pg_model pg_model_ds_resnet18 = {
    .module = {.name = "ds-resnet18", .summary = "ResNet-18 on column bands that wrap round the image",
               .source = "Levine & Feizi 2020, (De)Randomized Smoothing for Certifiable Defense against Patch Attacks", .version = 1,
               .options = options, .config_size = sizeof(ds_resnet18)},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};
