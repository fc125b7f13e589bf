/* MobileNetV2 (Sandler et al. 2018) in torchvision's layout: `mobilenet-v2`, a model of whole images; `ds-mobilenet-v2`, the
 * same network behind de-randomized smoothing (models/smoothing.h); and `local-mobilenet-v2`, whose positions see a small
 * square, as those of a BagNet do.
 *
 * The last one keeps the blocks up to `cut` as they are but for padding, which it has none of; those behind it keep their
 * channels, at stride 1 and with depthwise kernels of 1 x 1. Its shortcuts are cropped on all sides alike, so that a position
 * computes what the padded blocks compute away from the edge. */
#include "models/smoothing.h"

#include <math.h>
#include <stdio.h>

PG_MODEL(mobilenet_v2)
PG_MODEL(ds_mobilenet_v2)
PG_MODEL(local_mobilenet_v2)

enum { STAGES = 7, EARLY = 4, LAST = 18 };

/* Rows of the publication's table 2: bottlenecks that expand their channels so many times; the first one of a stage has its
 * stride. */
static const struct stage {
    int expand, out, blocks, stride;
} stages[STAGES] = {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

enum { PADDING_TORCH, PADDING_SAME };
static const char *const paddings[] = {"torch", "same", NULL};

typedef struct mobilenet {
    double width;
    int padding; /* index into paddings; not of the local one */
    int64_t cut; /* the last block with kernels of 3 x 3 and strides; LAST: all of them */
    int zeros;   /* the padding of these kernels, as pg_conv has it. No option */
    pg_normalisation pixels;
} mobilenet;

typedef struct ds_mobilenet {
    mobilenet net;
    pg_smoothing cells;
} ds_mobilenet;

/* clang-format off */
#define WIDTH(config_of, field)                                                \
    {"width", PG_OPTION_DECIMAL, offsetof(config_of, field), "1", 0.05, 4,     \
     .help = "of all layers, times that of the publication"}
#define PADDING(config_of, field)                                                              \
    {"padding", PG_OPTION_CHOICE, offsetof(config_of, field), "torch", .choices = paddings,    \
     .help = "torch: one zero on each side; same: TensorFlow's, at stride 2 of an even side only behind it"}
/* clang-format on */

/* Channels are multiples of 8, and at least nine tenths of what the width asks for. */
static int channels(double width, int of)
{
    double wanted = width * of;
    int n = (int)(wanted + 4) / 8 * 8;
    n = n < 8 ? 8 : n;
    return n < 0.9 * wanted ? n + 8 : n;
}

/* ---- Layers ---- */

typedef pg_value convolution(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv shape);

/* A convolution "features.<block>.<conv>" and its norm "features.<block>.<norm>". */
static pg_value step(pg_builder *b, convolution *layer, int block, const char *conv, const char *norm, pg_value x,
                     pg_conv shape)
{
    char conv_name[64], norm_name[64];
    snprintf(conv_name, sizeof conv_name, "features.%d.%s", block, conv);
    snprintf(norm_name, sizeof norm_name, "features.%d.%s", block, norm);
    return layer(b, conv_name, norm_name, x, shape);
}

typedef struct block {
    const mobilenet *net;
    int index, expand, out, stride;
} block;

static pg_value bottleneck(pg_builder *b, const void *context, pg_value x)
{
    const block *c = context;
    const mobilenet *net = c->net;
    bool local = c->index > net->cut, shortcut = (local || c->stride == 1) && x.channels == c->out, wide = c->expand > 1;
    int inside = x.channels * c->expand;
    pg_conv one = {inside, 1, 1, 0}, middle = local ? one : (pg_conv){inside, 3, c->stride, net->zeros};
    pg_value y = x;
    if (wide)
        y = step(b, pg_layer_conv_bn_relu6, c->index, "conv.0.0", "conv.0.1", y, one);
    y = step(b, pg_layer_depthwise_bn_relu6, c->index, wide ? "conv.1.0" : "conv.0.0", wide ? "conv.1.1" : "conv.0.1", y,
             middle);
    y = step(b, pg_layer_conv_bn, c->index, wide ? "conv.2" : "conv.1", wide ? "conv.3" : "conv.2", y,
             (pg_conv){c->out, 1, 1, 0});
    if (shortcut && !local && net->zeros == 0)
        x = pg_layer_trim(b, x, 1);
    return shortcut ? pg_layer_add_over(b, y, x) : y;
}

static pg_value blocks(pg_builder *b, const mobilenet *net, pg_value x)
{
    int index = 0;
    pg_conv first = {channels(net->width, 32), 3, 2, net->zeros};
    x = step(b, pg_layer_conv_bn_relu6, index, "0", "1", x, first);
    for (int i = 0; i < STAGES; i++)
        for (int k = 0; k < stages[i].blocks; k++) {
            const block c = {net, ++index, stages[i].expand, channels(net->width, stages[i].out),
                             k == 0 ? stages[i].stride : 1};
            x = pg_layer_within(b, bottleneck, &c, x);
            x = index == EARLY ? pg_layer_cut(b, x) : x;
        }
    int last = channels(net->width > 1 ? net->width : 1, 1280);
    return step(b, pg_layer_conv_bn_relu6, ++index, "0", "1", x, (pg_conv){last, 1, 1, 0});
}

/* ---- Files of other programs ---- */

static const pg_file_layout layout = {.marks = {"features.0.0.weight", "features.1.conv.0.0.weight"}, .head = "classifier.1"};

/* Whether all layers have the channels of this width. */
static bool has_width(const pg_shapes *s, double width)
{
    int index = 0;
    bool fits = pg_shape_size(s, "features.0.0.weight", 0) == channels(width, 32) &&
                pg_shape_size(s, "features.18.0.weight", 0) == channels(width > 1 ? width : 1, 1280);
    for (int i = 0; fits && i < STAGES; i++)
        for (int k = 0; fits && k < stages[i].blocks; k++) {
            char name[64];
            snprintf(name, sizeof name, "features.%d.conv.%d.weight", ++index, stages[i].expand > 1 ? 2 : 1);
            fits = pg_shape_size(s, name, 0) == channels(width, stages[i].out);
        }
    return fits;
}

/* The roundest width with these channels: several have the same. */
static bool derive_width(const pg_shapes *s, pg_buf *pairs)
{
    static const int parts[] = {1, 2, 4, 10, 20, 100};
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (int i = 1; i <= 4 * parts[p]; i++)
            if (i >= 0.05 * parts[p] && has_width(s, (double)i / parts[p])) {
                pg_buf_printf(pairs, "width=%g\n", (double)i / parts[p]);
                return true;
            }
    return false;
}

/* The last block before one whose depthwise kernel is 1 x 1; LAST where all are 3 x 3. */
static int cut_of(const pg_shapes *s)
{
    for (int index = 2; index < LAST; index++) {
        char name[64];
        snprintf(name, sizeof name, "features.%d.conv.1.0.weight", index);
        if (pg_shape_size(s, name, 2) == 1)
            return index - 1;
    }
    return LAST;
}

/* ---- Whole images ---- */

static const pg_option options[] = {
    WIDTH(mobilenet, width),
    PADDING(mobilenet, padding),
    PG_NORMALISATION_OPTIONS(mobilenet, pixels),
    {0},
};

static int normalize(void *config)
{
    mobilenet *c = config;
    c->cut = LAST;
    c->zeros = c->padding == PADDING_SAME ? PG_PADDING_SAME : 1;
    return PG_OK;
}

/* As in models/resnet.c: the classifier at every position, each of which counts as one that sees everything. */
static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    const mobilenet *net = config;
    pg_value x = blocks(b, net, pg_layer_normalise(b, pixels, &net->pixels));
    x.rows.field = x.columns.field = 0;
    x.rows.padding = x.columns.padding = 0;
    return pg_layer_classifier(b, layout.head, x);
}

static bool derive(const pg_shapes *s, pg_buf *pairs)
{
    return pg_shape_size(s, "features.0.0.weight", 1) == 3 && cut_of(s) == LAST && derive_width(s, pairs);
}

static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_mobilenet_v2, config, height, width, classes, out);
}

static const pg_model_hooks hooks = {.forward = forward, .derive = derive, .layout = &layout};
const pg_model pg_model_mobilenet_v2 = {
    .module = {.name = "mobilenet-v2",
               .summary = "MobileNetV2, every position sees the whole image",
               .source = "Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks",
               .version = 1,
               .options = options,
               .config_size = sizeof(mobilenet),
               .normalize = normalize},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};

/* ---- Bands and blocks ---- */

static const pg_option ds_options[] = {
    WIDTH(ds_mobilenet, net.width),
    PG_SMOOTHING_OPTIONS(ds_mobilenet, cells, "25", "band"),
    PADDING(ds_mobilenet, net.padding),
    PG_NORMALISATION_OPTIONS(ds_mobilenet, net.pixels),
    {0},
};

static int ds_normalize(void *config) { return normalize(&((ds_mobilenet *)config)->net); }

static pg_value trunk(pg_builder *b, const void *net, pg_value x, const pg_cell_tokens *tokens PG_UNUSED)
{
    return pg_layer_classifier(b, layout.head, pg_layer_global_mean(b, blocks(b, net, x)));
}

static pg_smoothed smoothed(const ds_mobilenet *c)
{
    return (pg_smoothed){.cells = &c->cells, .pixels = c->net.pixels, .upright = true, .trunk = trunk, .config = &c->net};
}

static pg_value ds_forward(pg_builder *b, const void *config, pg_value pixels)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_forward(b, &s, pixels);
}

static pg_value ds_train(pg_builder *b, const void *config, pg_value pixels)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_train(b, &s, pixels);
}

static pg_value ds_crop(pg_builder *b, const void *config, pg_value pixels, const pg_geometry *g, const pg_crop *crops, int n)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_crop(b, &s, pixels, g, crops, n);
}

static bool ds_derive(const pg_shapes *s, pg_buf *pairs)
{
    return pg_smoothing_derive(s, "features.0.0.weight", pairs) && cut_of(s) == LAST && derive_width(s, pairs);
}

static int ds_geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    int code = pg_smoothing_check(&((const ds_mobilenet *)config)->cells, height, width);
    return code == PG_OK ? pg_model_traced_geometry(&pg_model_ds_mobilenet_v2, config, height, width, classes, out) : code;
}

static const pg_model_hooks ds_hooks = {
    .forward = ds_forward, .train = ds_train, .crop = ds_crop, .derive = ds_derive, .layout = &layout};
const pg_model pg_model_ds_mobilenet_v2 = {
    .module = {.name = "ds-mobilenet-v2",
               .summary = "MobileNetV2 on bands or blocks that wrap round the image",
               .source = "Levine & Feizi 2020, (De)Randomized Smoothing for Certifiable Defense against Patch Attacks",
               .version = 1,
               .options = ds_options,
               .config_size = sizeof(ds_mobilenet),
               .normalize = ds_normalize},
    .needs_torch = true,
    .geometry = ds_geometry,
    .hooks = &ds_hooks,
};

/* ---- Small receptive fields ---- */

static const pg_option local_options[] = {
    {"cut", PG_OPTION_INT, offsetof(mobilenet, cut), "4", 2, 16,
     .help = "the last block with its stride and 3 x 3 kernel; 3, 4, 5: a position sees 19, 27, 43 px, every 4, 8, 8 px"},
    WIDTH(mobilenet, width),
    PG_NORMALISATION_OPTIONS(mobilenet, pixels),
    {0},
};

static int local_normalize(void *config)
{
    ((mobilenet *)config)->zeros = 0;
    return PG_OK;
}

static pg_value local_forward(pg_builder *b, const void *config, pg_value pixels)
{
    const mobilenet *net = config;
    return pg_layer_classifier(b, layout.head, blocks(b, net, pg_layer_normalise(b, pixels, &net->pixels)));
}

static bool local_derive(const pg_shapes *s, pg_buf *pairs)
{
    int cut = cut_of(s);
    if (pg_shape_size(s, "features.0.0.weight", 1) != 3 || cut == LAST)
        return false;
    pg_buf_printf(pairs, "cut=%d\n", cut);
    return derive_width(s, pairs);
}

static int local_geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_local_mobilenet_v2, config, height, width, classes, out);
}

static const pg_model_hooks local_hooks = {.forward = local_forward, .derive = local_derive, .layout = &layout};
const pg_model pg_model_local_mobilenet_v2 = {
    .module = {.name = "local-mobilenet-v2",
               .summary = "MobileNetV2 whose later blocks are 1 x 1: local logits that see a small square",
               .source = "none: MobileNetV2 (Sandler et al. 2018) reduced as Brendel & Bethge 2019 reduce ResNet-50",
               .version = 1,
               .options = local_options,
               .config_size = sizeof(mobilenet),
               .normalize = local_normalize},
    .needs_torch = true,
    .geometry = local_geometry,
    .hooks = &local_hooks,
};
