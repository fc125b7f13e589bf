/* my-model: three convolutions without padding, so that a position sees 13 x 13 pixels. (Say here what your network is, and its
 * source.)
 *
 * An architecture is one function over models/layers.h. The layers carry the geometry along (receptive field, stride,
 * positions), on which every certificate rests: it is never stated twice. `patchgauge model train` trains it, `model import`
 * takes weights of PyTorch whose names and shapes are those of the layers. */
#include "harness/plan/plugin.h"
#include "models/layers.h"

/* The resolved options; one row of the table for each field. */
typedef struct my_model_config {
    int64_t width;
    pg_normalisation pixels;
} my_model_config;

static const pg_option my_model_options[] = {
    {"width", PG_OPTION_INT, offsetof(my_model_config, width), "16", 1, 512,
     .help = "channels of the first layer; the third has four times as many"},
    PG_NORMALISATION_OPTIONS(my_model_config, pixels),
    {0},
};

/* Pixels [n][3][h][w] in [0, 1] to local logits [n][classes][H][W]. */
static pg_value my_model_forward(pg_builder *b, const void *config, pg_value x)
{
    const my_model_config *c = config;
    int width = (int)c->width;
    x = pg_layer_normalise(b, x, &c->pixels);
    x = pg_layer_relu(b, pg_layer_conv_bn(b, "conv1", "bn1", x, (pg_conv){.out = width, .kernel = 5, .stride = 2}));
    x = pg_layer_relu(b, pg_layer_conv_bn(b, "conv2", "bn2", x, (pg_conv){.out = 2 * width, .kernel = 3, .stride = 2}));
    x = pg_layer_relu(b, pg_layer_conv_bn(b, "conv3", "bn3", x, (pg_conv){.out = 4 * width, .kernel = 2, .stride = 1}));
    return pg_layer_classifier(b, "fc", x);
}

/* Files of PyTorch that have both tensors behind one prefix may be of this network; its classifier is fc. */
static const pg_file_layout my_model_layout = {.marks = {"conv1.weight", "conv3.weight"}, .head = "fc"};
static const pg_model_hooks my_model_hooks = {.forward = my_model_forward, .layout = &my_model_layout};
static const pg_model my_model;

static int my_model_geometry(const void *config, int height, int width, int classes, pg_geometry *out)
{
    return pg_model_traced_geometry(&my_model, config, height, width, classes, out);
}

static const pg_model my_model = {
    .module = {.name = "my-model",
               .summary = "three convolutions, local logits that see 13 x 13 pixels",
               .source = "where it was published, or: unpublished",
               .version = 1, /* raise it whenever results change */
               .options = my_model_options,
               .config_size = sizeof(my_model_config)},
    .needs_torch = true,
    .geometry = my_model_geometry,
    .hooks = &my_model_hooks,
};

PG_PLUGIN(.models = (const pg_model *const[]){&my_model, NULL});
