/* ResNets for images of 32 px (He et al. 2016, section 4.2): a 3 x 3 stem and three stages of n basic blocks, 6 n + 2 layers
 * with weights. As published, the shortcut of a block that halves the map has no weights: every second pixel, and zeros in the
 * new channels, half of them before the old ones. Another usual shortcut is a 1 x 1 convolution with its batch norm.
 *
 * Mean and classifier are exchanged and every position counts as one that sees everything, as in resnet.c. */
#include "models/resnet.h"

#include <math.h>
#include <stdio.h>

PG_MODEL(resnet_cifar)

static const char *const shortcuts[] = {[PG_SHORTCUT_CONV] = "conv", [PG_SHORTCUT_PAD] = "pad", NULL};

typedef struct resnet_cifar {
    int64_t depth, width;
    int shortcut; /* pg_shortcut */
    pg_normalisation pixels;
} resnet_cifar;

static const pg_option options[] = {
    {"depth", PG_OPTION_INT, offsetof(resnet_cifar, depth), "20", 8, 1202,
     .help = "6 n + 2 layers with weights: three stages of n blocks; published are 20, 32, 44, 56, 110 and 1202"},
    {"width", PG_OPTION_INT, offsetof(resnet_cifar, width), "16", 4, 512,
     .help = "channels of the first stage; each stage doubles them"},
    {"shortcut", PG_OPTION_CHOICE, offsetof(resnet_cifar, shortcut), "pad", .choices = shortcuts,
     .help = "pad: every second pixel and zero channels, as published; conv: a 1 x 1 convolution with batch norm"},
    PG_NORMALISATION_OPTIONS(resnet_cifar, pixels),
    {0},
};

static int normalize(void *config)
{
    const resnet_cifar *c = config;
    if (c->depth % 6 != 2)
        return pg_fail(PG_EINPUT, "depth is %lld: 6 n + 2 is needed, such as 20, 32, 44, 56 or 110", (long long)c->depth);
    return PG_OK;
}

static pg_value forward(pg_builder *b, const void *config, pg_value x)
{
    const resnet_cifar *c = config;
    x = pg_layer_channels_last(b, pg_layer_normalise(b, x, &c->pixels));
    x = pg_layer_relu_over(b, pg_layer_conv_bn(b, "conv1", "bn1", x, (pg_conv){(int)c->width, 3, 1, 1}), INFINITY);
    for (int stage = 0; stage < 3; stage++)
        for (int block = 0; block < (c->depth - 2) / 6; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d", stage + 1, block);
            x = pg_layer_basic_block(b, prefix, x, (int)c->width << stage, stage > 0 && block == 0 ? 2 : 1, c->shortcut);
        }
    x.rows.field = x.columns.field = 0;
    x.rows.padding = x.columns.padding = 0;
    return pg_layer_classifier(b, "fc", x);
}

static bool derive(const pg_shapes *s, pg_buf *pairs)
{
    int64_t width = pg_shape_size(s, "conv1.weight", 0);
    int n = pg_shape_blocks(s, 1);
    if (pg_shape_size(s, "conv1.weight", 1) != 3 || pg_shape_size(s, "conv1.weight", 2) != 3 || n == 0 ||
        pg_shape_blocks(s, 2) != n || pg_shape_blocks(s, 3) != n || pg_shape_blocks(s, 4) != 0 ||
        pg_shape_size(s, "layer1.0.conv3.weight", 0) > 0 || pg_shape_size(s, "layer2.0.conv1.weight", 0) != 2 * width)
        return false;
    pg_buf_printf(pairs, "depth=%d\nwidth=%lld\nshortcut=%s\n", 6 * n + 2, (long long)width,
                  shortcuts[pg_shape_size(s, "layer2.0.downsample.0.weight", 0) > 0 ? PG_SHORTCUT_CONV : PG_SHORTCUT_PAD]);
    return true;
}

static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_resnet_cifar, config, height, width, classes, out);
}

static const pg_model_hooks hooks = {.forward = forward, .derive = derive, .layout = &pg_resnet_layout};

const pg_model pg_model_resnet_cifar = {
    .module = {.name = "resnet-cifar",
               .summary = "ResNet for 32 px, every position sees the whole image",
               .source = "He et al. 2016, Deep Residual Learning, section 4.2",
               .version = 1,
               .options = options,
               .config_size = sizeof(resnet_cifar),
               .normalize = normalize},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};
