/* De-randomized smoothing (models/smoothing.h) with the ResNets of models/resnet.h: ResNet-18 as it was published for CIFAR-10,
 * on bands of 4 columns at 32 px, and ResNet-50 as for ImageNet, on bands of 25 columns at 299 px.
 *
 * ResNet-18 takes pixels as they are where they are encoded as published, [x, 1 - x]. ResNet-50 has them normalised before the
 * encoding, so that its channels are [x, 1 - x] of what is normalised. */
#include "models/resnet.h"
#include "models/smoothing.h"

typedef struct ds_resnet {
    pg_resnet net;
    pg_smoothing cells;
} ds_resnet;

PG_MODEL(ds_resnet18)
PG_MODEL(ds_resnet50)

static const pg_option options18[] = {
    PG_RESNET_WIDTH(ds_resnet, net.width, PG_RESNET18_CHANNELS),
    PG_SMOOTHING_OPTIONS(ds_resnet, cells, "4", "band"),
    PG_RESNET_STEM(ds_resnet, net.stem, "small", true),
    {0},
};
static const pg_option options50[] = {
    PG_RESNET_WIDTH(ds_resnet, net.width, PG_RESNET50_CHANNELS),
    PG_SMOOTHING_OPTIONS(ds_resnet, cells, "25", "ablation"),
    PG_RESNET_STEM(ds_resnet, net.stem, "imagenet", false),
    PG_NORMALISATION_OPTIONS(ds_resnet, net.pixels),
    {0},
};

static int normalize18(void *config)
{
    ds_resnet *c = config;
    c->net.depth = PG_RESNET_18;
    c->net.pixels = c->cells.encoding == PG_ENCODING_ABLATION
                        ? (pg_normalisation){.mean = {{0, 0, 0}}, .std = {{1, 1, 1}}}
                        : (pg_normalisation){.mean = {{0.5, 0.5, 0.5}}, .std = {{0.25, 0.25, 0.25}}};
    return PG_OK;
}

static int normalize50(void *config)
{
    ((ds_resnet *)config)->net.depth = PG_RESNET_50;
    return PG_OK;
}

static pg_value trunk(pg_builder *b, const void *net, pg_value x, const pg_cell_tokens *tokens PG_UNUSED)
{
    return pg_resnet_trunk(b, net, x);
}

static pg_smoothed smoothed(const ds_resnet *c)
{
    return (pg_smoothed){.cells = &c->cells, .pixels = c->net.pixels, .trunk = trunk, .config = &c->net};
}

static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_forward(b, &s, pixels);
}

static pg_value train(pg_builder *b, const void *config, pg_value pixels)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_train(b, &s, pixels);
}

static pg_value crop(pg_builder *b, const void *config, pg_value pixels, const pg_geometry *g, const pg_crop *crops, int n)
{
    pg_smoothed s = smoothed(config);
    return pg_smoothing_crop(b, &s, pixels, g, crops, n);
}

static bool derive(int depth, const pg_shapes *s, pg_buf *pairs)
{
    return pg_resnet_depth_of(s) == depth && !pg_resnet_is_wide(s) && pg_smoothing_derive(s, "conv1.weight", pairs) &&
           pg_resnet_derive(s, pairs);
}

/* The depth is in the config, so either of the two traces both. */
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    int code = pg_smoothing_check(&((const ds_resnet *)config)->cells, height, width);
    return code == PG_OK ? pg_model_traced_geometry(&pg_model_ds_resnet18, config, height, width, classes, out) : code;
}

#define DS_RESNET(n)                                                                                                        \
    static bool derive##n(const pg_shapes *s, pg_buf *pairs) { return derive(PG_RESNET_##n, s, pairs); }                    \
    static const pg_model_hooks hooks##n = {                                                                                \
        .forward = forward, .train = train, .crop = crop, .derive = derive##n, .layout = &pg_resnet_layout};                \
    const pg_model pg_model_ds_resnet##n = {                                                                                \
        .module = {.name = "ds-resnet" #n,                                                                                  \
                   .summary = "ResNet-" #n " on bands or blocks that wrap round the image",                                 \
                   .source = "Levine & Feizi 2020, (De)Randomized Smoothing for Certifiable Defense against Patch Attacks", \
                   .version = 1,                                                                                            \
                   .options = options##n,                                                                                   \
                   .config_size = sizeof(ds_resnet),                                                                        \
                   .normalize = normalize##n},                                                                              \
        .needs_torch = true,                                                                                                \
        .geometry = geometry,                                                                                               \
        .hooks = &hooks##n,                                                                                                 \
    }
DS_RESNET(18);
DS_RESNET(50);
