/* ResNet-18 (He et al. 2016), with the 3 x 3 stem that is usual at 32 px or the publication's. The undefended baseline, and the
 * classifier behind image-level defenses.
 *
 * Mean and classifier are linear, so that the classifier comes first, at every position of the last map, and the mean over its
 * local logits is the network's score (PatchGuard, Figure 2). Fields are larger than images of 32 px: every position counts as
 * one that sees everything. */
#include "models/layers.h"

typedef struct resnet18 {
    int64_t width;
    int stem; /* pg_stem */
    pg_normalisation pixels;
} resnet18;

PG_MODEL(resnet18)

static const pg_option options[] = {
    {.name = "width",
     .type = PG_OPTION_INT,
     .offset = offsetof(resnet18, width),
     .fallback = "64",
     .min = 4,
     .max = 512,
     .help = "channels of the first stage; each stage doubles them"},
    {.name = "stem",
     .type = PG_OPTION_CHOICE,
     .offset = offsetof(resnet18, stem),
     .fallback = "small",
     .choices = pg_stems,
     .later = true,
     .help = "small: 3 x 3, for 32 px; imagenet: 7 x 7 and a maximum, a quarter of the side"},
    PG_NORMALISATION_OPTIONS(resnet18, pixels),
    {0},
};

static pg_value forward(pg_builder *b, const void *config, pg_value pixels)
{
    const resnet18 *c = config;
    pg_value x = pg_resnet18_blocks(b, pg_layer_normalise(b, pixels, &c->pixels), (int)c->width, (pg_stem)c->stem);
    x.rows.field = x.columns.field = 0;
    x.rows.padding = x.columns.padding = 0;
    return pg_layer_classifier(b, "fc", x);
}

static bool derive(const pg_shapes *s, pg_buf *pairs) { return pg_resnet18_shapes(s) && pg_resnet_derive(s, pairs); }

static const pg_model_hooks hooks = {.forward = forward, .derive = derive};
static int geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&pg_model_resnet18, config, height, width, classes, out);
}

const pg_model pg_model_resnet18 = {
    .module = {.name = "resnet18",
               .summary = "ResNet-18, every position sees the whole image",
               .source = "He et al. 2016, Deep Residual Learning",
               .version = 2,
               .options = options,
               .config_size = sizeof(resnet18)},
    .needs_torch = true,
    .geometry = geometry,
    .hooks = &hooks,
};
