/* The blocks of ResNet-18 and ResNet-50 (models/resnet.h), and the two as models of whole images: the undefended baseline, and
 * the classifier behind image-level defenses.
 *
 * Mean and classifier are linear, so that the classifier comes first, at every position of the last map, and the mean over its
 * local logits is the network's score (PatchGuard, Figure 2). Fields are larger than images of 32 px: every position counts as
 * one that sees everything. */
#include "models/resnet.h"

#include <stdio.h>

PG_MODEL(resnet18)
PG_MODEL(resnet50)

const pg_file_layout pg_resnet_layout = {.marks = {"conv1.weight", "layer1.0.conv1.weight"},
                                         .head = "fc",
                                         .aliases = {{"downsample", "shortcut"}, {"fc.", "linear."}}};
const char *const pg_stems[] = {"small", "imagenet", NULL};

static pg_value stem(pg_builder *b, const pg_resnet *net, pg_value x)
{
    int width = (int)net->width;
    pg_conv small = {width, 3, 1, 1}, imagenet = {width, 7, 2, 3};
    x = pg_layer_relu(b, pg_layer_conv_bn(b, "conv1", "bn1", x, net->stem == PG_STEM_SMALL ? small : imagenet));
    return net->stem == PG_STEM_SMALL ? x : pg_layer_max_pool(b, x, 3, 2, 1);
}

pg_value pg_resnet_blocks(pg_builder *b, const pg_resnet *net, pg_value x)
{
    static const int blocks18[] = {2, 2, 2, 2}, blocks50[] = {3, 4, 6, 3};
    x = stem(b, net, x);
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < (net->depth == 18 ? blocks18 : blocks50)[stage]; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d", stage + 1, block);
            int out = (int)net->width << stage, stride = stage > 0 && block == 0 ? 2 : 1;
            x = net->depth == 18 ? pg_layer_basic_block(b, prefix, x, out, stride, PG_SHORTCUT_CONV)
                                 : pg_layer_bottleneck(b, prefix, x, (pg_conv){out, 3, stride, 1});
        }
    return x;
}

pg_value pg_resnet_trunk(pg_builder *b, const pg_resnet *net, pg_value x)
{
    return pg_layer_classifier(b, "fc", pg_layer_global_mean(b, pg_resnet_blocks(b, net, x)));
}

bool pg_resnet_shapes(int depth, const pg_shapes *s)
{
    if (depth == 18)
        return pg_shape_size(s, "layer4.1.conv2.weight", 2) == 3 && pg_shape_size(s, "layer1.2.conv1.weight", 0) < 0 &&
               pg_shape_size(s, "layer1.0.conv3.weight", 0) < 0;
    return pg_shape_size(s, "layer3.5.conv3.weight", 2) == 1 && pg_shape_size(s, "layer1.1.conv2.weight", 2) == 3 &&
           pg_shape_size(s, "layer3.6.conv3.weight", 0) < 0;
}

bool pg_resnet_derive(const pg_shapes *s, pg_buf *pairs)
{
    int64_t kernel = pg_shape_size(s, "conv1.weight", 2);
    if (kernel != 3 && kernel != 7)
        return false;
    pg_buf_printf(pairs, "width=%lld\nstem=%s\n", (long long)pg_shape_size(s, "conv1.weight", 0), pg_stems[kernel == 7]);
    return true;
}

static const pg_option options18[] = {
    PG_RESNET_WIDTH(pg_resnet, width, PG_RESNET18_CHANNELS),
    PG_RESNET_STEM(pg_resnet, stem, "small", true),
    PG_NORMALISATION_OPTIONS(pg_resnet, pixels),
    {0},
};
static const pg_option options50[] = {
    PG_RESNET_WIDTH(pg_resnet, width, PG_RESNET50_CHANNELS),
    PG_RESNET_STEM(pg_resnet, stem, "imagenet", false),
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

static bool derive(int depth, const pg_shapes *s, pg_buf *pairs)
{
    return pg_resnet_shapes(depth, s) && pg_shape_size(s, "conv1.weight", 1) == 3 && pg_resnet_derive(s, pairs);
}

/* The depth is in the config, so either of the two traces both. */
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_resnet18, config, height, width, classes, out);
}

#define RESNET(n, its_version)                                                                                     \
    static int normalize##n(void *config)                                                                          \
    {                                                                                                              \
        ((pg_resnet *)config)->depth = n;                                                                          \
        return PG_OK;                                                                                              \
    }                                                                                                              \
    static bool derive##n(const pg_shapes *s, pg_buf *pairs) { return derive(n, s, pairs); }                       \
    static const pg_model_hooks hooks##n = {.forward = forward, .derive = derive##n, .layout = &pg_resnet_layout}; \
    const pg_model pg_model_resnet##n = {                                                                          \
        .module = {.name = "resnet" #n,                                                                            \
                   .summary = "ResNet-" #n ", every position sees the whole image",                                \
                   .source = "He et al. 2016, Deep Residual Learning",                                             \
                   .version = its_version,                                                                         \
                   .options = options##n,                                                                          \
                   .config_size = sizeof(pg_resnet),                                                               \
                   .normalize = normalize##n},                                                                     \
        .needs_torch = true,                                                                                       \
        .geometry = geometry,                                                                                      \
        .hooks = &hooks##n,                                                                                        \
    }
RESNET(18, 2);
RESNET(50, 1);
