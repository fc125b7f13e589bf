/* BagNets (Brendel & Bethge 2019): ResNet-50 with almost all kernels 1 x 1 and no padding, so that every position of the last
 * map sees a small square of the image. PatchGuard, section 3.1, uses bagnet9, 17 and 33 at 192 and 224 px.
 *
 * Stem: 1 x 1, then 3 x 3. Four stages of bottlenecks; the first block of a stage carries its stride, and has a 3 x 3 kernel
 * where `kernel3` has a 1. The shortcut is cropped at the bottom and the right to fit. Options make small-field nets for
 * images of 32 px: kernel3=1100, strides=1,2,1,1 sees 7 px at every second pixel. */
#include "models/resnet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

PG_MODEL(bagnet9)
PG_MODEL(bagnet17)
PG_MODEL(bagnet33)

enum { STAGES = 4 };

typedef struct bagnet {
    int64_t width;
    pg_normalisation pixels;
    char kernel3[PG_OPTION_TEXT_MAX], strides[PG_OPTION_TEXT_MAX], blocks[PG_OPTION_TEXT_MAX];
} bagnet;

/* clang-format off */
#define BAGNET_OPTIONS(kernel3_default) {                                                       \
    {"width", PG_OPTION_INT, offsetof(bagnet, width), "64", 4, 512,                             \
     .help = "channels of the stem; the stages end in 4, 8, 16, 32 times as many"},             \
    {"kernel3", PG_OPTION_TEXT, offsetof(bagnet, kernel3), kernel3_default,                     \
     .help = "one digit a stage: 1 where its first block has a 3 x 3 kernel"},                  \
    {"strides", PG_OPTION_TEXT, offsetof(bagnet, strides), "2,2,2,1",                           \
     .help = "stride of each stage, 1 to 4, separated by commas"},                              \
    {"blocks", PG_OPTION_TEXT, offsetof(bagnet, blocks), "3,4,6,3",                             \
     .help = "bottlenecks of each stage, 0 to 36, separated by commas; 0 leaves the stage out"},\
    PG_NORMALISATION_OPTIONS(bagnet, pixels), {0},                                              \
}
/* clang-format on */

static const pg_option options9[] = BAGNET_OPTIONS("1100");
static const pg_option options17[] = BAGNET_OPTIONS("1110");
static const pg_option options33[] = BAGNET_OPTIONS("1111");

/* "a,b,c,d", each in [min, max]. */
static bool parse_list(const char *text, int min, int max, int out[STAGES])
{
    char tail;
    int n = sscanf(text, "%d,%d,%d,%d%c", &out[0], &out[1], &out[2], &out[3], &tail);
    for (int i = 0; n == STAGES && i < STAGES; i++)
        if (out[i] < min || out[i] > max)
            n = 0;
    return n == STAGES && strspn(text, "0123456789,") == strlen(text);
}

static int normalize(void *config)
{
    const bagnet *c = config;
    int list[STAGES];
    if (strlen(c->kernel3) != STAGES || strspn(c->kernel3, "01") != STAGES)
        return pg_fail(PG_EINPUT, "kernel3 is '%s': four digits, 0 or 1, are needed", c->kernel3);
    if (!parse_list(c->strides, 1, 4, list))
        return pg_fail(PG_EINPUT, "strides is '%s': four numbers from 1 to 4, separated by commas, are needed", c->strides);
    if (!parse_list(c->blocks, 0, 36, list))
        return pg_fail(PG_EINPUT, "blocks is '%s': four numbers from 0 to 36, separated by commas, are needed", c->blocks);
    return PG_OK;
}

static pg_value forward(pg_builder *b, const void *config, pg_value x)
{
    const bagnet *c = config;
    int strides[STAGES] = {0}, blocks[STAGES] = {0};
    parse_list(c->strides, 1, 4, strides); /* resolved before */
    parse_list(c->blocks, 0, 36, blocks);
    x = pg_layer_channels_last(b, pg_layer_normalise(b, x, &c->pixels));
    x = pg_layer_conv_bn(b, "conv1", NULL, x, (pg_conv){(int)c->width, 1, 1, 0});
    x = pg_layer_relu_over(b, pg_layer_conv_bn(b, "conv2", "bn1", x, (pg_conv){(int)c->width, 3, 1, 0}), INFINITY);
    for (int stage = 0; stage < STAGES; stage++)
        for (int block = 0; block < blocks[stage]; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d", stage + 1, block);
            bool first = block == 0;
            int middle = (int)c->width << stage;
            pg_conv conv = {middle, first && c->kernel3[stage] == '1' ? 3 : 1, first ? strides[stage] : 1, 0};
            x = pg_layer_bottleneck(b, prefix, x, 1, conv, 4 * middle);
        }
    return pg_layer_classifier(b, "fc", x);
}

/* Options of a BagNet's weights, and which of the three it is: they differ in kernel3. Strides leave no trace in shapes. */
static bool derive_as(const char *kernel3_wanted, const pg_shapes *s, pg_buf *pairs)
{
    char kernel3[STAGES + 1] = "", blocks[64] = "";
    if (pg_shape_size(s, "conv1.weight", 2) != 1 || pg_shape_size(s, "conv2.weight", 2) != 3)
        return false;
    for (int stage = 0; stage < STAGES; stage++) {
        char name[64];
        int n = pg_shape_blocks(s, stage + 1);
        snprintf(name, sizeof name, "layer%d.0.conv2.weight", stage + 1);
        kernel3[stage] = pg_shape_size(s, name, 2) == 3 ? '1' : '0';
        snprintf(blocks + strlen(blocks), sizeof blocks - strlen(blocks), "%s%d", stage ? "," : "", n);
    }
    pg_buf_printf(pairs, "width=%lld\nkernel3=%s\nblocks=%s\n", (long long)pg_shape_size(s, "conv1.weight", 0), kernel3,
                  blocks);
    return strcmp(kernel3, kernel3_wanted) == 0;
}
static bool derive9(const pg_shapes *s, pg_buf *pairs) { return derive_as("1100", s, pairs); }
static bool derive17(const pg_shapes *s, pg_buf *pairs) { return derive_as("1110", s, pairs); }
static bool derive33(const pg_shapes *s, pg_buf *pairs) { return derive_as("1111", s, pairs); }

static const pg_model_hooks hooks9 = {.forward = forward, .derive = derive9, .layout = &pg_resnet_layout};
static const pg_model_hooks hooks17 = {.forward = forward, .derive = derive17, .layout = &pg_resnet_layout};
static const pg_model_hooks hooks33 = {.forward = forward, .derive = derive33, .layout = &pg_resnet_layout};

/* The three differ in defaults only, so any of them traces all. */
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_bagnet17, config, height, width, classes, out);
}

#define BAGNET(n, table)                                                                                    \
    const pg_model pg_model_bagnet##n = {                                                                   \
        .module = {.name = "bagnet" #n,                                                                     \
                   .summary = "BagNet, local logits that see " #n " x " #n " pixels",                       \
                   .source = "Brendel & Bethge 2019, Approximating CNNs with Bag-of-local-Features models", \
                   .version = 1,                                                                            \
                   .options = table,                                                                        \
                   .config_size = sizeof(bagnet),                                                           \
                   .normalize = normalize},                                                                 \
        .needs_torch = true,                                                                                \
        .geometry = geometry,                                                                               \
        .hooks = &hooks##n,                                                                                 \
    }
BAGNET(9, options9);
BAGNET(17, options17);
BAGNET(33, options33);
