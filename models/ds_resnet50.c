/* De-randomized smoothing (models/smoothing.h) with ResNet-50, as it was published for ImageNet: bands of 25 columns at 299 px,
 * pixels normalised before the encoding, so that its channels are [x, 1 - x] of what is normalised. */
#include "models/smoothing.h"

typedef struct ds_resnet50 {
    int64_t width;
    pg_smoothing cells;
    int stem; /* pg_stem */
    pg_normalisation pixels;
} ds_resnet50;

PG_MODEL(ds_resnet50)

static const pg_option options[] = {
    {.name = "width",
     .type = PG_OPTION_INT,
     .offset = offsetof(ds_resnet50, width),
     .fallback = "64",
     .min = 4,
     .max = 512,
     .help = "channels of the stem; the stages end in 4, 8, 16, 32 times as many"},
    PG_SMOOTHING_OPTIONS(ds_resnet50, cells, "25", "ablation"),
    {.name = "stem",
     .type = PG_OPTION_CHOICE,
     .offset = offsetof(ds_resnet50, stem),
     .fallback = "imagenet",
     .choices = pg_stems,
     .help = "small: 3 x 3, for 32 px; imagenet: 7 x 7 and a maximum, a quarter of the side"},
    PG_NORMALISATION_OPTIONS(ds_resnet50, pixels),
    {0},
};

static pg_value trunk(pg_builder *b, const void *config, pg_value x)
{
    const ds_resnet50 *c = config;
    return pg_layer_classifier(b, "fc", pg_layer_global_mean(b, pg_resnet50_blocks(b, x, (int)c->width, (pg_stem)c->stem)));
}

static pg_smoothed smoothed(const void *config)
{
    const ds_resnet50 *c = config;
    return (pg_smoothed){.cells = &c->cells, .pixels = c->pixels, .trunk = trunk, .config = c};
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

static bool derive(const pg_shapes *s, pg_buf *pairs)
{
    return pg_resnet50_shapes(s) && pg_smoothing_derive(s, pairs) && pg_resnet_derive_stem(s, pairs);
}

static const pg_model_hooks hooks = {.forward = forward, .train = train, .crop = crop, .derive = derive};
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    const ds_resnet50 *c = config;
    int code = pg_smoothing_check(&c->cells, height, width);
    return code ? code : pg_model_traced_geometry(&pg_model_ds_resnet50, config, height, width, classes, out);
}

const pg_model pg_model_ds_resnet50 = {
    .module = {.name = "ds-resnet50",
               .summary = "ResNet-50 on bands or blocks that wrap round the image",
               .source = "Levine & Feizi 2020, (De)Randomized Smoothing for Certifiable Defense against Patch Attacks",
               .version = 1,
               .options = options,
               .config_size = sizeof(ds_resnet50)},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};
