/* De-randomized smoothing (Levine & Feizi 2020) with column bands: ResNet-18 sees one band of full height at a time, at every column.
 * Position j of the map is the band of columns j .. j + band - 1; bands wrap round the image.
 *
 * Two encodings. "ablation" is the publication's: six channels [x, 1 - x] inside the band, zero elsewhere, the image's full size, not
 * normalised. "band" feeds only the band, with the column's place as sine and cosine channels: an eighth of the work at
 * 32 px. The band is turned, so that its short side is the height: three quarters of the trunk then run on maps of one row, where only
 * the middle row of each kernel matters. */
#include "models/layers.h"

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

/* [1][2][1][w]: cosine and sine of each column's angle round the image. */
static pg_tensor *column_place(pg_scope *s, int width)
{
    float *place = malloc(2 * (size_t)width * sizeof *place);
    if (!place) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int x = 0; x < width; x++) {
        double angle = 2 * M_PI * (x + 0.5) / width;
        place[x] = (float)cos(angle);
        place[width + x] = (float)sin(angle);
    }
    pg_tensor *p = s->torch->from_data(s, place, PG_T_F32, 4, (const int64_t[]){1, 2, 1, width});
    free(place);
    return p;
}

/* [n][5][h][w]: normalised colour and the place of the column, of the type and device of the pixels. */
static pg_tensor *with_place(pg_scope *s, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(x, 0), h = t->size(x, 2), w = t->size(x, 3);
    pg_tensor *place = t->expand(s, column_place(s, (int)w), 4, (const int64_t[]){n, 2, h, w});
    pg_tensor *zero = t->affine(s, t->slice(s, x, 1, 0, 2, 1), 0, 0);
    return t->cat(s, 2, (pg_tensor *[]){t->affine(s, x, 4.0, -2.0), t->add(s, zero, place)}, 1);
}

/* Bands as a batch: x [n][c][h][w] -> [n * bands][c][band][h], turned; image-major, bands in the order of their first column. */
static pg_tensor *all_bands(pg_scope *s, const ds_resnet18 *c, pg_tensor *x)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(x, 0), channels = t->size(x, 1), h = t->size(x, 2), w = t->size(x, 3);
    x = t->pad_circular(s, x, 4, (const int64_t[]){0, c->band - 1, 0, 0});
    x = t->unfold(s, x, 3, c->band, c->stride); /* [n][c][h][bands][band] */
    x = t->permute(s, x, 5, (const int64_t[]){0, 3, 1, 4, 2});
    return t->reshape(s, x, 4, (const int64_t[]){n * bands(c, (int)w), channels, c->band, h});
}

/* [bands][1][1][w]: 1 inside the band, 0 elsewhere. */
static pg_tensor *band_masks(pg_scope *s, const ds_resnet18 *c, int width)
{
    int64_t n = bands(c, width);
    float *mask = calloc((size_t)(n * width), sizeof *mask);
    if (!mask) {
        s->error = PG_ENOMEM;
        return NULL;
    }
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < c->band; i++)
            mask[j * width + (j * c->stride + i) % width] = 1;
    pg_tensor *m = s->torch->from_data(s, mask, PG_T_F32, 4, (const int64_t[]){n, 1, 1, width});
    free(mask);
    return m;
}

/* x [n][3][h][w], masks [m][1][1][w] with m = n (one band an image) or m = bands -> [n or n * bands][6][h][w]. */
static pg_tensor *ablate(pg_scope *s, pg_tensor *x, pg_tensor *masks, bool every_band)
{
    const pg_torch *t = s->torch;
    x = t->cat(s, 2, (pg_tensor *[]){x, t->affine(s, x, -1, 1)}, 1);
    if (!every_band)
        return t->mul(s, x, masks);
    int64_t n = t->size(x, 0), m = t->size(masks, 0), h = t->size(x, 2), w = t->size(x, 3);
    x = t->mul(s, t->unsqueeze(s, x, 1), masks);
    return t->reshape(s, x, 4, (const int64_t[]){n * m, 6, h, w});
}

/* The trunk over a batch of encoded bands. The layers inside a band are not the geometry of the map: bands are. */
static pg_tensor *classify(pg_builder *b, const ds_resnet18 *c, pg_tensor *batch, int height, int width)
{
    bool ablation = c->encoding == ENCODING_ABLATION;
    pg_value x = ablation ? pg_layer_input(b, batch, 6, height, width) : pg_layer_input(b, batch, 5, (int)c->band, height);
    if (b->pass != PG_PASS_TRACE)
        x.tensor = b->scope->torch->channels_last(b->scope, x.tensor);
    return pg_resnet18_trunk(b, x, (int)c->width).tensor;
}

static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    const ds_resnet18 *c = config;
    int height = pixels.rows.positions, width = pixels.columns.positions;
    int64_t n_bands = bands(c, width);
    pg_tensor *batch = NULL;
    if (b->pass != PG_PASS_TRACE)
        batch = c->encoding == ENCODING_ABLATION ? ablate(b->scope, pixels.tensor, band_masks(b->scope, c, width), true)
                                                 : all_bands(b->scope, c, with_place(b->scope, pixels.tensor));
    pg_tensor *logits = classify(b, c, batch, height, width); /* [n * bands][classes][1][1] */
    pg_value out = {.channels = b->classes,
                    .rows = {.positions = 1, .field = height, .stride = 1},
                    .columns = {.positions = (int)n_bands, .field = (int)c->band, .stride = (int)c->stride, .wrap = true}};
    if (b->pass != PG_PASS_TRACE) {
        const pg_torch *t = b->scope->torch;
        int64_t n = t->size(pixels.tensor, 0);
        logits = t->reshape(b->scope, logits, 4, (const int64_t[]){n, 1, n_bands, b->classes});
        out.tensor = t->permute(b->scope, logits, 4, (const int64_t[]){0, 3, 1, 2});
    }
    return out;
}

/* One random band an image. */
static pg_value train(pg_builder *b, const void *config, pg_value pixels)
{
    const ds_resnet18 *c = config;
    pg_scope *s = b->scope;
    const pg_torch *t = s->torch;
    int height = pixels.rows.positions, width = pixels.columns.positions;
    int64_t n = t->size(pixels.tensor, 0), n_bands = bands(c, width);
    int64_t *columns = malloc((size_t)(n * (c->band + 1)) * sizeof *columns), *first = columns ? columns + n * c->band : NULL;
    if (!columns) {
        s->error = PG_ENOMEM;
        return pixels;
    }
    for (int64_t i = 0; i < n; i++) {
        first[i] = pg_rng_below(&b->rng, (uint32_t)n_bands);
        for (int64_t k = 0; k < c->band; k++)
            columns[i * c->band + k] = (first[i] * c->stride + k) % width;
    }
    pg_tensor *batch;
    if (c->encoding == ENCODING_ABLATION) {
        pg_tensor *index = t->from_data(s, first, PG_T_I64, 1, &n);
        batch = ablate(s, pixels.tensor, t->index_select(s, band_masks(s, c, width), 0, index), false);
    } else {
        pg_tensor *x = with_place(s, pixels.tensor); /* [n][5][h][w] */
        pg_tensor *index = t->from_data(s, columns, PG_T_I64, 4, (const int64_t[]){n, 1, 1, c->band});
        x = t->gather(s, x, 3, t->expand(s, index, 4, (const int64_t[]){n, 5, height, c->band}));
        batch = t->permute(s, x, 4, (const int64_t[]){0, 1, 3, 2});
    }
    free(columns);
    pg_tensor *logits = classify(b, c, batch, height, width);
    return (pg_value){.channels = b->classes, .tensor = t->reshape(s, logits, 2, (const int64_t[]){n, b->classes})};
}

static const pg_model_hooks hooks = {.forward = forward, .train = train};
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
