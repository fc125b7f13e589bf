/* The blocks of ResNets (models/resnet.h), and ResNets as models of whole images: the undefended baseline, and the classifier
 * behind image-level defenses. `resnet` is any of them; `resnet18` and `resnet50` have names of their own.
 *
 * Mean and classifier are linear, so that the classifier comes first, at every position of the last map, and the mean over its
 * local logits is the network's score (PatchGuard, Figure 2). Fields are larger than images of 32 px: every position counts as
 * one that sees everything. */
#include "models/resnet.h"

#include <math.h>
#include <stdio.h>

PG_MODEL(resnet)
PG_MODEL(resnet18)
PG_MODEL(resnet50)

const pg_file_layout pg_resnet_layout = {.marks = {"conv1.weight", "layer1.0.conv1.weight"},
                                         .head = "fc",
                                         .aliases = {{"downsample", "shortcut"}, {"fc.", "linear."}}};
const char *const pg_stems[] = {"small", "imagenet", NULL};
const char *const pg_strideds[] = {[PG_STRIDED_3X3] = "3x3", [PG_STRIDED_1X1] = "1x1", NULL};
static const char *const depths[] = {[PG_RESNET_18] = "18",   [PG_RESNET_34] = "34",   [PG_RESNET_50] = "50",
                                     [PG_RESNET_101] = "101", [PG_RESNET_152] = "152", NULL};
static const int blocks[PG_RESNET_DEPTHS][4] = {[PG_RESNET_18] = {2, 2, 2, 2},
                                                [PG_RESNET_34] = {3, 4, 6, 3},
                                                [PG_RESNET_50] = {3, 4, 6, 3},
                                                [PG_RESNET_101] = {3, 4, 23, 3},
                                                [PG_RESNET_152] = {3, 8, 36, 3}};

static bool has_bottlenecks(int depth) { return depth >= PG_RESNET_50; }

static pg_value stem(pg_builder *b, const pg_resnet *net, pg_value x)
{
    int width = (int)net->width;
    pg_conv small = {width, 3, 1, 1}, imagenet = {width, 7, 2, 3};
    x = pg_layer_relu_over(b, pg_layer_conv_bn(b, "conv1", "bn1", x, net->stem == PG_STEM_SMALL ? small : imagenet), INFINITY);
    return net->stem == PG_STEM_SMALL ? x : pg_layer_max_pool(b, x, 3, 2, 1);
}

static pg_value block_of(pg_builder *b, const pg_resnet *net, const char *prefix, pg_value x, int stage, int stride)
{
    int out = (int)net->width << stage, middle = (int)(net->bottleneck > 0 ? net->bottleneck : net->width) << stage;
    bool first = net->strided == PG_STRIDED_1X1;
    if (!has_bottlenecks(net->depth))
        return pg_layer_basic_block(b, prefix, x, out, stride, PG_SHORTCUT_CONV);
    return pg_layer_bottleneck(b, prefix, x, first ? stride : 1, (pg_conv){middle, 3, first ? 1 : stride, 1}, 4 * out);
}

pg_value pg_resnet_blocks(pg_builder *b, const pg_resnet *net, pg_value x)
{
    x = stem(b, net, x);
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < blocks[net->depth][stage]; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d", stage + 1, block);
            x = block_of(b, net, prefix, x, stage, stage > 0 && block == 0 ? 2 : 1);
            x = stage == 0 && block == 1 ? pg_layer_cut(b, x) : x;
        }
    return x;
}

pg_value pg_resnet_trunk(pg_builder *b, const pg_resnet *net, pg_value x)
{
    return pg_layer_classifier(b, "fc", pg_layer_global_mean(b, pg_resnet_blocks(b, net, x)));
}

int pg_resnet_depth_of(const pg_shapes *s)
{
    bool bottlenecks = pg_shape_size(s, "layer1.0.conv3.weight", 0) > 0 && pg_shape_size(s, "layer1.1.conv2.weight", 2) == 3;
    for (int depth = 0; depth < PG_RESNET_DEPTHS; depth++) {
        int fits = 0;
        while (fits < 4 && pg_shape_blocks(s, fits + 1) == blocks[depth][fits])
            fits++;
        if (fits == 4 && has_bottlenecks(depth) == bottlenecks)
            return depth;
    }
    return -1;
}

bool pg_resnet_is_wide(const pg_shapes *s)
{
    int64_t middle = pg_shape_size(s, "layer1.0.conv3.weight", 1);
    return middle > 0 && middle != pg_shape_size(s, "conv1.weight", 0);
}

bool pg_resnet_derive(const pg_shapes *s, pg_buf *pairs)
{
    int64_t kernel = pg_shape_size(s, "conv1.weight", 2);
    if (kernel != 3 && kernel != 7)
        return false;
    pg_buf_printf(pairs, "width=%lld\nstem=%s\n", (long long)pg_shape_size(s, "conv1.weight", 0), pg_stems[kernel == 7]);
    return true;
}

static const pg_option options[] = {
    {"depth", PG_OPTION_CHOICE, offsetof(pg_resnet, depth), "50", .choices = depths,
     .help = "layers with weights: up to 34 with basic blocks, above with bottlenecks"},
    PG_RESNET_WIDTH(pg_resnet, width, PG_RESNET_CHANNELS),
    {"bottleneck", PG_OPTION_INT, offsetof(pg_resnet, bottleneck), "0", 0, 2048,
     .help =
         "channels of the 3 x 3 convolutions of the first stage of bottlenecks; 0: as many as the stem's; wide ResNets have "
         "twice as many"},
    PG_RESNET_STEM(pg_resnet, stem, "imagenet", false),
    PG_RESNET_STRIDED(pg_resnet, strided, false),
    PG_NORMALISATION_OPTIONS(pg_resnet, pixels),
    {0},
};
static const pg_option options18[] = {
    PG_RESNET_WIDTH(pg_resnet, width, PG_RESNET18_CHANNELS),
    PG_RESNET_STEM(pg_resnet, stem, "small", true),
    PG_NORMALISATION_OPTIONS(pg_resnet, pixels),
    {0},
};
static const pg_option options50[] = {
    PG_RESNET_WIDTH(pg_resnet, width, PG_RESNET50_CHANNELS),
    PG_RESNET_STEM(pg_resnet, stem, "imagenet", false),
    PG_RESNET_STRIDED(pg_resnet, strided, true),
    PG_NORMALISATION_OPTIONS(pg_resnet, pixels),
    {0},
};

static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    const pg_resnet *net = config;
    pg_value x = pg_resnet_blocks(b, net, pg_layer_normalise(b, pixels, &net->pixels));
    x.rows.field = x.columns.field = 0;
    x.rows.padding = x.columns.padding = 0;
    return pg_layer_classifier(b, "fc", x);
}

/* What has no effect is one value, so that equal networks have equal identities. */
static int normalize(void *config)
{
    pg_resnet *net = config;
    if (net->bottleneck == 0 || !has_bottlenecks(net->depth))
        net->bottleneck = net->width;
    if (!has_bottlenecks(net->depth))
        net->strided = PG_STRIDED_3X3;
    return PG_OK;
}

/* Of any depth. */
static bool derive_any(const pg_shapes *s, pg_buf *pairs)
{
    int depth = pg_resnet_depth_of(s);
    if (depth < 0 || pg_shape_size(s, "conv1.weight", 1) != 3 || !pg_resnet_derive(s, pairs))
        return false;
    pg_buf_printf(pairs, "depth=%s\n", depths[depth]);
    if (has_bottlenecks(depth))
        pg_buf_printf(pairs, "bottleneck=%lld\n", (long long)pg_shape_size(s, "layer1.0.conv3.weight", 1));
    return true;
}

/* Whether a model is named after these. */
static bool has_name(int depth, const pg_shapes *s)
{
    return depth == PG_RESNET_18 || (depth == PG_RESNET_50 && !pg_resnet_is_wide(s));
}
static bool derive(const pg_shapes *s, pg_buf *pairs) { return derive_any(s, pairs) && !has_name(pg_resnet_depth_of(s), s); }
static bool derive_named(int depth, const pg_shapes *s, pg_buf *pairs)
{
    return pg_resnet_depth_of(s) == depth && has_name(depth, s) && pg_shape_size(s, "conv1.weight", 1) == 3 &&
           pg_resnet_derive(s, pairs);
}

/* The depth is in the config, so any of them traces all. */
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_resnet, config, height, width, classes, out);
}

static int normalize18(void *config)
{
    ((pg_resnet *)config)->depth = PG_RESNET_18;
    return PG_OK;
}
static int normalize50(void *config)
{
    ((pg_resnet *)config)->depth = PG_RESNET_50;
    return PG_OK;
}
static bool derive18(const pg_shapes *s, pg_buf *pairs) { return derive_named(PG_RESNET_18, s, pairs); }
static bool derive50(const pg_shapes *s, pg_buf *pairs) { return derive_named(PG_RESNET_50, s, pairs); }

#define RESNET(n, what, its_source, its_version)                                                                   \
    static const pg_model_hooks hooks##n = {.forward = forward, .derive = derive##n, .layout = &pg_resnet_layout}; \
    const pg_model pg_model_resnet##n = {                                                                          \
        .module = {.name = "resnet" #n,                                                                            \
                   .summary = what ", every position sees the whole image",                                        \
                   .source = its_source,                                                                           \
                   .version = its_version,                                                                         \
                   .options = options##n,                                                                          \
                   .config_size = sizeof(pg_resnet),                                                               \
                   .normalize = normalize##n},                                                                     \
        .needs_torch = true,                                                                                       \
        .geometry = geometry,                                                                                      \
        .hooks = &hooks##n,                                                                                        \
    }
#define HE "He et al. 2016, Deep Residual Learning"
RESNET(, "ResNet of 18 to 152 layers, also wide", HE "; Zagoruyko & Komodakis 2016, Wide Residual Networks", 1);
RESNET(18, "ResNet-18", HE, 2);
RESNET(50, "ResNet-50", HE, 1);
