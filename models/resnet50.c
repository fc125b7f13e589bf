/* ResNet-50 (He et al. 2016) with the stride of a stage on the 3 x 3 convolution, as torchvision has it, or with the 3 x 3 stem
 * that is usual at 32 px. As in models/resnet18.c, the classifier comes before the mean, and every position counts as one that
 * sees everything. */
#include "models/layers.h"

typedef struct resnet50 {
    int64_t width;
    int stem; /* pg_stem */
    pg_normalisation pixels;
} resnet50;

PG_MODEL(resnet50)

static const pg_option options[] = {
    {.name = "width",
     .type = PG_OPTION_INT,
     .offset = offsetof(resnet50, width),
     .fallback = "64",
     .min = 4,
     .max = 512,
     .help = "channels of the stem; the stages end in 4, 8, 16, 32 times as many"},
    {.name = "stem",
     .type = PG_OPTION_CHOICE,
     .offset = offsetof(resnet50, stem),
     .fallback = "imagenet",
     .choices = pg_stems,
     .help = "small: 3 x 3, for 32 px; imagenet: 7 x 7 and a maximum, a quarter of the side"},
    PG_NORMALISATION_OPTIONS(resnet50, pixels),
    {0},
};

static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    const resnet50 *c = config;
    pg_value x = pg_resnet50_blocks(b, pg_layer_normalise(b, pixels, &c->pixels), (int)c->width, (pg_stem)c->stem);
    x.rows.field = x.columns.field = 0;
    x.rows.padding = x.columns.padding = 0;
    return pg_layer_classifier(b, "fc", x);
}

static bool derive(const pg_shapes *s, pg_buf *pairs) { return pg_resnet50_shapes(s) && pg_resnet_derive(s, pairs); }

static const pg_model_hooks hooks = {.forward = forward, .derive = derive};
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_resnet50, config, height, width, classes, out);
}

const pg_model pg_model_resnet50 = {
    .module = {.name = "resnet50",
               .summary = "ResNet-50, every position sees the whole image",
               .source = "He et al. 2016, Deep Residual Learning",
               .version = 1,
               .options = options,
               .config_size = sizeof(resnet50)},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};
