/* De-randomized smoothing (models/smoothing.h) with ResNet-18, as it was published for CIFAR-10: bands of 4 columns at 32 px.
 * Pixels are not normalised in the publication's encoding. */
#include "models/smoothing.h"

typedef struct ds_resnet18 {
    int64_t width;
    pg_smoothing cells;
    int stem; /* pg_stem */
} ds_resnet18;

PG_MODEL(ds_resnet18)

static const pg_option options[] = {
    {.name = "width",
     .type = PG_OPTION_INT,
     .offset = offsetof(ds_resnet18, width),
     .fallback = "64",
     .min = 4,
     .max = 512,
     .help = "channels of the first stage; each stage doubles them"},
    PG_SMOOTHING_OPTIONS(ds_resnet18, cells, "4", "band"),
    {.name = "stem",
     .type = PG_OPTION_CHOICE,
     .offset = offsetof(ds_resnet18, stem),
     .fallback = "small",
     .choices = pg_stems,
     .later = true,
     .help = "small: 3 x 3, for 32 px; imagenet: 7 x 7 and a maximum, a quarter of the side"},
    {0},
};

static pg_value trunk(pg_builder *b, const void *config, pg_value x)
{
    const ds_resnet18 *c = config;
    return pg_resnet18_trunk(b, x, (int)c->width, (pg_stem)c->stem);
}

static pg_smoothed smoothed(const void *config)
{
    const ds_resnet18 *c = config;
    pg_smoothed s = {
        .cells = &c->cells, .pixels = {.mean = {{0.5, 0.5, 0.5}}, .std = {{0.25, 0.25, 0.25}}}, .trunk = trunk, .config = c};
    if (c->cells.encoding == PG_ENCODING_ABLATION)
        s.pixels = (pg_normalisation){.mean = {{0, 0, 0}}, .std = {{1, 1, 1}}};
    return s;
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
    return pg_resnet18_shapes(s) && pg_smoothing_derive(s, pairs) && pg_resnet_derive_stem(s, pairs);
}

static const pg_model_hooks hooks = {.forward = forward, .train = train, .crop = crop, .derive = derive};
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    const ds_resnet18 *c = config;
    int code = pg_smoothing_check(&c->cells, height, width);
    return code ? code : pg_model_traced_geometry(&pg_model_ds_resnet18, config, height, width, classes, out);
}

const pg_model pg_model_ds_resnet18 = {
    .module = {.name = "ds-resnet18",
               .summary = "ResNet-18 on bands or blocks that wrap round the image",
               .source = "Levine & Feizi 2020, (De)Randomized Smoothing for Certifiable Defense against Patch Attacks",
               .version = 1,
               .options = options,
               .config_size = sizeof(ds_resnet18)},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};
