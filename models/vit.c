/* Vision transformers (Dosovitskiy et al. 2021) in the layout of timm and DeiT: `vit`, a classifier of whole images, and
 * `smoothed-vit`, the same network behind de-randomized smoothing (Salman et al. 2022).
 *
 * A band keeps the tokens that it touches, with their position embeddings; the others are dropped, so that a band costs a
 * fraction of a full image. Pixels outside the band are black in the tokens that it keeps (zero before the normalisation, as in
 * the publication's program). The last block is computed for the class token alone, since nothing else reaches the head.
 *
 * DeiT's distilled networks (Touvron et al. 2021) have a second class token with a head of its own; the two heads are averaged.
 */
#include "models/smoothing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_MODEL(vit)
PG_MODEL(smoothed_vit)

enum { IMAGES = 8 }; /* that a forward pass runs at a time */

typedef struct vit {
    int64_t width, depth, heads, hidden, patch;
    double epsilon;
    bool distilled;
    pg_normalisation pixels;
} vit;

typedef struct smoothed_vit {
    vit net; /* first, so that both share their options */
    pg_smoothing cells;
} smoothed_vit;
_Static_assert(offsetof(smoothed_vit, net) == 0, "options of net are at the same place");

/* clang-format off */
#define VIT_OPTIONS                                                                                                 \
    {"width", PG_OPTION_INT, offsetof(vit, width), "192", 4, 4096,                                      \
     .help = "channels of a token: 192 (tiny), 384 (small), 768 (base), 1024 (large)"},                             \
    {"depth", PG_OPTION_INT, offsetof(vit, depth), "12", 1, 200, .help = "blocks"},                     \
    {"heads", PG_OPTION_INT, offsetof(vit, heads), "0", 0, 256,                                         \
     .help = "parts of the channels that attend on their own; 0: of 64 channels each"},                             \
    {"hidden", PG_OPTION_INT, offsetof(vit, hidden), "0", 0, 16384,                                     \
     .help = "channels between the two layers of a block's perceptron; 0: four times the width"},                   \
    {"patch", PG_OPTION_INT, offsetof(vit, patch), "16", 1, 256, .help = "side of a token, pixels"},    \
    {"epsilon", PG_OPTION_DECIMAL, offsetof(vit, epsilon), "1e-06", 0, 1,                               \
     .help = "added to variances by the layer norms"},                                                              \
    {"distilled", PG_OPTION_BOOL, offsetof(vit, distilled), "false",                                    \
     .help = "a second class token with its own head, as in DeiT; the two heads are averaged"},                     \
    PG_NORMALISATION_OPTIONS(vit, pixels)
/* clang-format on */

/* ---- The network ---- */

/* What blocks share. */
typedef struct trunk_state {
    const vit *net;
    int64_t block;
    pg_tensor *bias; /* of attention; NULL: none */
} trunk_state;

static int class_tokens(const vit *net) { return net->distilled ? 2 : 1; }

/* The first `n` tokens. */
static pg_value first_tokens(pg_builder *b, pg_value x, int n)
{
    if (b->pass != PG_PASS_TRACE)
        x.tensor = b->scope->torch->slice(b->scope, x.tensor, 1, 0, n, 1);
    return x;
}

static pg_value add(pg_builder *b, pg_value x, pg_value y)
{
    if (b->pass != PG_PASS_TRACE)
        x.tensor = b->scope->torch->add(b->scope, x.tensor, y.tensor);
    return x;
}

static void block_name(char out[64], int64_t block, const char *layer) { snprintf(out, 64, "blocks.%d.%s", (int)block, layer); }

static pg_value block(pg_builder *b, const void *context, pg_value x)
{
    const trunk_state *s = context;
    const vit *net = s->net;
    bool last = s->block == net->depth - 1;
    int all = b->pass != PG_PASS_TRACE ? (int)b->scope->torch->size(x.tensor, 1) : 1, kept = last ? class_tokens(net) : all;
    char norm1[64], attn[64], norm2[64], fc1[64], fc2[64];
    block_name(norm1, s->block, "norm1");
    block_name(attn, s->block, "attn");
    block_name(norm2, s->block, "norm2");
    block_name(fc1, s->block, "mlp.fc1");
    block_name(fc2, s->block, "mlp.fc2");
    pg_value y = pg_layer_attention(b, attn, pg_layer_norm(b, norm1, x, net->epsilon), (int)net->heads, kept, s->bias);
    x = add(b, last ? first_tokens(b, x, kept) : x, y);
    y = pg_layer_linear(b, fc1, pg_layer_norm(b, norm2, x, net->epsilon), (int)net->hidden);
    return add(b, x, pg_layer_linear(b, fc2, pg_layer_gelu(b, y), (int)net->width));
}

/* Logits [n][classes][1][1] of class token i. */
static pg_value head(pg_builder *b, const char *name, pg_value x, int i)
{
    if (b->pass != PG_PASS_TRACE) {
        const pg_torch *t = b->scope->torch;
        x.tensor = t->slice(b->scope, x.tensor, 1, i, i + 1, 1);
        x.tensor = t->reshape(b->scope, x.tensor, 4, (const int64_t[]){t->size(x.tensor, 0), x.channels, 1, 1});
    }
    return pg_layer_classifier(b, name, x);
}

/* 0 for tokens that a cell has, -infinity for those it lacks: [n][1][1][class tokens + tokens]. */
static pg_tensor *attention_bias(pg_scope *s, const pg_cell_tokens *tokens, int first)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(tokens->places, 0), k = t->size(tokens->places, 1);
    pg_tensor *has = t->reshape(s, t->sum(s, tokens->places, 1, (const int64_t[]){2}, false), 4, (const int64_t[]){n, 1, 1, k});
    has = t->cat(s, 2, (pg_tensor *[]){t->full(s, 1, PG_T_F32, 4, (const int64_t[]){n, 1, 1, first}), has}, 3);
    return t->log(s, has);
}

/* Embedded pixels [n][tokens][width] with the embeddings of their places, behind the class tokens with theirs. */
static pg_tensor *with_places(pg_scope *s, const vit *net, const pg_cell_tokens *tokens, pg_tensor *x, pg_tensor *const own[2],
                              pg_tensor *places)
{
    const pg_torch *t = s->torch;
    int first = class_tokens(net);
    int64_t n = t->size(x, 0), width = net->width, all = (int64_t)tokens->rows * tokens->columns;
    pg_tensor *rest = t->slice(s, places, 1, first, first + all, 1);
    if (tokens->places)
        rest = t->matmul(s, tokens->places, t->reshape(s, rest, 2, (const int64_t[]){all, width}));
    pg_tensor *classes = first == 2 ? t->cat(s, 2, own, 1) : own[0];
    classes = t->add(s, classes, t->slice(s, places, 1, 0, first, 1));
    classes = t->expand(s, classes, 3, (const int64_t[]){n, first, width});
    return t->cat(s, 2, (pg_tensor *[]){classes, t->add(s, x, rest)}, 1);
}

/* Cells or whole images [n][3][..][..], normalised -> logits [n][classes][1][1]. */
static pg_value trunk(pg_builder *b, const void *config, pg_value x, const pg_cell_tokens *tokens)
{
    const vit *net = config;
    int first = class_tokens(net), width = (int)net->width;
    trunk_state s = {.net = net};
    pg_tensor *own[2] = {pg_layer_vectors(b, "cls_token", 1, width), NULL};
    if (net->distilled)
        own[1] = pg_layer_vectors(b, "dist_token", 1, width);
    pg_tensor *places = pg_layer_vectors(b, "pos_embed", first + tokens->rows * tokens->columns, width);
    x = pg_layer_tokens(b, "patch_embed.proj", x, (int)net->patch, width);
    if (b->pass != PG_PASS_TRACE)
        x.tensor = with_places(b->scope, net, tokens, x.tensor, own, places);
    if (b->pass != PG_PASS_TRACE && tokens->ragged)
        s.bias = attention_bias(b->scope, tokens, first);
    for (s.block = 0; s.block < net->depth; s.block++)
        x = pg_layer_within(b, block, &s, x);
    x = pg_layer_norm(b, "norm", x, net->epsilon);
    pg_value out = head(b, "head", x, 0);
    if (net->distilled)
        out = add(b, out, head(b, "head_dist", x, 1));
    if (net->distilled && b->pass != PG_PASS_TRACE)
        out.tensor = b->scope->torch->affine(b->scope, out.tensor, 0.5, 0);
    return out;
}

/* What has a value for "as usual" gets it. */
static int resolve(vit *net)
{
    if (net->heads == 0 && net->width % 64 != 0)
        return pg_fail(PG_EINPUT, "a width of %lld is no multiple of 64: right would be heads=N", (long long)net->width);
    if (net->heads == 0)
        net->heads = net->width / 64;
    if (net->width % net->heads != 0)
        return pg_fail(PG_EINPUT, "a width of %lld is no multiple of its %lld heads", (long long)net->width,
                       (long long)net->heads);
    if (net->hidden == 0)
        net->hidden = 4 * net->width;
    return PG_OK;
}

/* Whether an image is whole tokens; told once, while traced. */
static bool has_whole_tokens(pg_builder *b, const vit *net, pg_value x)
{
    int side = (int)net->patch, height = x.rows.positions, width = x.columns.positions;
    bool whole = height % side == 0 && width % side == 0;
    if (!whole && !b->error)
        b->error = pg_fail(PG_EINPUT, "images of %d x %d pixels are no whole tokens: right would be multiples of %d", height,
                           width, side);
    return whole;
}

/* ---- Files of other programs ---- */

static const pg_file_layout layout = {.marks = {"cls_token", "blocks.0.attn.qkv.weight"}, .head = "head", .sized = "pos_embed"};

static bool derive_net(const pg_shapes *s, pg_buf *pairs)
{
    int depth = 0;
    for (char name[64];; depth++) {
        block_name(name, depth, "attn.qkv.weight");
        if (pg_shape_size(s, name, 0) < 0)
            break;
    }
    int64_t width = pg_shape_size(s, "patch_embed.proj.weight", 0), patch = pg_shape_size(s, "patch_embed.proj.weight", 2);
    if (depth == 0 || width < 4 || patch < 1)
        return false;
    pg_buf_printf(pairs, "width=%lld\ndepth=%d\npatch=%lld\nhidden=%lld\ndistilled=%s\n", (long long)width, depth,
                  (long long)patch, (long long)pg_shape_size(s, "blocks.0.mlp.fc1.weight", 0),
                  pg_shape_size(s, "dist_token", 0) > 0 ? "true" : "false");
    return true;
}

/* ---- Whole images ---- */

static const pg_option options[] = {VIT_OPTIONS, {0}};

static int normalize(void *config) { return resolve(config); }

static pg_value classify(pg_builder *b, const void *config, pg_value x)
{
    const vit *net = config;
    pg_cell_tokens tokens = {.rows = x.rows.positions / (int)net->patch, .columns = x.columns.positions / (int)net->patch};
    return trunk(b, net, pg_layer_normalise(b, x, &net->pixels), &tokens);
}

static pg_value forward(pg_builder *b, const void *config, pg_value x)
{
    if (!has_whole_tokens(b, config, x))
        return x;
    x = pg_layer_by_images(b, classify, config, x, IMAGES);
    x.rows = x.columns = (pg_axis){.positions = 1, .field = 0, .stride = 1};
    return x;
}

/* Whether no pixel of a token is seen. */
static bool is_hidden(const uint8_t *hidden, int columns, int side, int token)
{
    const uint8_t *first = hidden + (size_t)(token / columns * side) * (size_t)(columns * side) + token % columns * side;
    for (int y = 0; y < side; y++)
        if (memchr(first + (size_t)y * (size_t)(columns * side), 0, (size_t)side))
            return false;
    return true;
}

/* The tokens of n images that are not hidden: places[n][k][rows * columns], one-hot, k the most that an image has; zeros where
 * one has fewer (*ragged). */
static pg_tensor *kept_places(pg_scope *s, const uint8_t *hidden, int64_t n, int rows, int columns, int side, bool *ragged)
{
    int64_t all = (int64_t)rows * columns, least = all, most = 0;
    size_t image = (size_t)all * (size_t)(side * side);
    for (int64_t i = 0; i < n; i++) {
        int64_t kept = 0;
        for (int token = 0; token < all; token++)
            kept += !is_hidden(hidden + (size_t)i * image, columns, side, token);
        least = kept < least ? kept : least;
        most = kept > most ? kept : most;
    }
    float *values = calloc((size_t)(n * most * all) + 1, sizeof *values);
    if (!values) {
        s->error = s->error ? s->error : PG_ENOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t token = 0, kept = 0; token < all; token++)
            if (!is_hidden(hidden + (size_t)i * image, columns, side, (int)token))
                values[(i * most + kept++) * all + token] = 1;
    pg_tensor *places = s->torch->from_data(s, values, PG_T_F32, 3, (const int64_t[]){n, most, all});
    *ragged = least < most;
    free(values);
    return places;
}

/* The tokens of `places` side by side, as an image: [n][3][side][tokens * side]. */
static pg_tensor *kept_pixels(pg_scope *s, pg_tensor *x, pg_tensor *places, int rows, int columns, int side)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(x, 0), k = t->size(places, 1);
    x = t->reshape(s, x, 6, (const int64_t[]){n, 3, rows, side, columns, side});
    x = t->permute(s, x, 6, (const int64_t[]){0, 2, 4, 1, 3, 5});
    x = t->matmul(s, places, t->reshape(s, x, 3, (const int64_t[]){n, rows * columns, 3 * side * side}));
    x = t->permute(s, t->reshape(s, x, 5, (const int64_t[]){n, k, 3, side, side}), 5, (const int64_t[]){0, 2, 3, 1, 4});
    return t->reshape(s, x, 4, (const int64_t[]){n, 3, side, k * side});
}

static pg_value masked(pg_builder *b, const void *config, pg_value x, const uint8_t *hidden)
{
    const vit *net = config;
    int side = (int)net->patch;
    pg_scope *s = b->scope;
    pg_cell_tokens tokens = {.rows = x.rows.positions / side, .columns = x.columns.positions / side};
    tokens.places = kept_places(s, hidden, s->torch->size(x.tensor, 0), tokens.rows, tokens.columns, side, &tokens.ragged);
    x = pg_layer_normalise(b, x, &net->pixels);
    x.tensor = kept_pixels(s, x.tensor, tokens.places, tokens.rows, tokens.columns, side);
    return trunk(b, net, x, &tokens);
}

static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_vit, config, height, width, classes, out);
}

static const pg_model_hooks hooks = {.forward = forward, .masked = masked, .derive = derive_net, .layout = &layout};
const pg_model pg_model_vit = {
    .module = {.name = "vit",
               .summary = "vision transformer, one position that sees the whole image",
               .source = "Dosovitskiy et al. 2021, An Image is Worth 16x16 Words; Touvron et al. 2021, Training data-efficient "
                         "image transformers",
               .version = 1,
               .options = options,
               .config_size = sizeof(vit),
               .normalize = normalize},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};

/* ---- Bands and blocks ---- */

static const pg_option smoothed_options[] = {
    VIT_OPTIONS,
    PG_SMOOTHING_BANDS(smoothed_vit, cells, "19"),
    PG_SMOOTHING_SHAPE(smoothed_vit, cells),
    {0},
};

static pg_smoothed smoothed(const smoothed_vit *c)
{
    return (pg_smoothed){.cells = &c->cells,
                         .pixels = c->net.pixels,
                         .upright = true,
                         .token = (int)c->net.patch,
                         .trunk = trunk,
                         .config = &c->net};
}

static pg_value smoothed_forward(pg_builder *b, const void *config, pg_value pixels)
{
    pg_smoothed s = smoothed(config);
    return has_whole_tokens(b, s.config, pixels) ? pg_smoothing_forward(b, &s, pixels) : pixels;
}

static pg_value smoothed_train(pg_builder *b, const void *config, pg_value pixels)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_train(b, &s, pixels);
}

static pg_value smoothed_crop(pg_builder *b, const void *config, pg_value pixels, const pg_geometry *g, const pg_crop *crops,
                              int n)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_crop(b, &s, pixels, g, crops, n);
}

/* Shapes are those of `vit`, which a file is taken for unless it is asked for as this one. */
static bool smoothed_derive(const pg_shapes *s, pg_buf *pairs)
{
    derive_net(s, pairs);
    return false;
}

static int smoothed_geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    int code = pg_smoothing_check(&((const smoothed_vit *)config)->cells, height, width);
    return code == PG_OK ? pg_model_traced_geometry(&pg_model_smoothed_vit, config, height, width, classes, out) : code;
}

static const pg_model_hooks smoothed_hooks = {
    .forward = smoothed_forward, .train = smoothed_train, .crop = smoothed_crop, .derive = smoothed_derive, .layout = &layout};
const pg_model pg_model_smoothed_vit = {
    .module = {.name = "smoothed-vit",
               .summary = "vision transformer on the tokens of bands or blocks that wrap round the image",
               .source = "Salman et al. 2022, Certified Patch Robustness via Smoothed Vision Transformers",
               .version = 1,
               .options = smoothed_options,
               .config_size = sizeof(smoothed_vit),
               .normalize = normalize},
    .needs_torch = true,
    .geometry = smoothed_geometry,
    .hooks = &smoothed_hooks,
};
