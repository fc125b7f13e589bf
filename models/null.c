/* The null model: local logits from a hash of seed, image, position and class. It needs neither libtorch nor a weights file and
 * serves tests of everything else, from planning to tables, on maps of any shape.
 *
 * An image has a favourite class and a share of positions, between 0.3 and 1, that votes for it, so that predictions, margins
 * and certificates vary. Logits are a pure function of the index: batch, order and threads are no matter. */
#include "models/network.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

typedef struct null_config {
    int64_t height, width, classes, input_height, input_width;
    int64_t field, stride, padding;
    int wrap;
    int64_t seed, nan_every, large_every, fail_image, crash_image, memory_images, sleep_us;
} null_config;

PG_MODEL(null)

#define AT(field_) offsetof(null_config, field_)
static const pg_option options[] = {
    {"classes", PG_OPTION_INT, AT(classes), "10", 2, 100000, .help = "classes"},
    {"crash_image", PG_OPTION_INT, AT(crash_image), "-1", -1, 1e9, .recorded_only = true,
     .help = "the forward pass that holds this image aborts the process; -1: none"},
    {"fail_image", PG_OPTION_INT, AT(fail_image), "-1", -1, 1e9, .recorded_only = true,
     .help = "the forward pass that holds this image fails; -1: none"},
    {"field", PG_OPTION_INT, AT(field), "7", 1, 4096, .help = "receptive field it claims, pixels"},
    {"height", PG_OPTION_INT, AT(height), "6", 1, 1024, .help = "rows of the map"},
    {"input_height", PG_OPTION_INT, AT(input_height), "32", 1, 4096, .help = "height of the images, pixels"},
    {"input_width", PG_OPTION_INT, AT(input_width), "32", 1, 4096, .help = "width of the images, pixels"},
    {"large_every", PG_OPTION_INT, AT(large_every), "0", 0, 1e9, .later = true,
     .help = "a logit of 5000 in one image of so many; 0: never"},
    {"memory_images", PG_OPTION_INT, AT(memory_images), "0", 0, 1e9, .recorded_only = true,
     .help = "a forward pass of more images is out of memory; 0: never"},
    {"nan_every", PG_OPTION_INT, AT(nan_every), "0", 0, 1e9, .help = "a NaN in one image of so many; 0: never"},
    {"padding", PG_OPTION_INT, AT(padding), "0", 0, 4096, .help = "pixels before the first field"},
    {"seed", PG_OPTION_INT, AT(seed), "0", 0, 1e15, .help = "seed of the hash"},
    {"sleep_us", PG_OPTION_INT, AT(sleep_us), "0", 0, 1e7, .recorded_only = true, .help = "time an image takes, microseconds"},
    {"stride", PG_OPTION_INT, AT(stride), "5", 1, 4096, .help = "stride it claims, pixels"},
    {"width", PG_OPTION_INT, AT(width), "6", 1, 1024, .help = "columns of the map"},
    {"wrap", PG_OPTION_CHOICE, AT(wrap), "none", .choices = pg_wraps, .help = "axes on which the map wraps"},
    {0},
};

static pg_axis axis_of(const null_config *c, int64_t positions, bool wrap)
{
    return (pg_axis){.positions = (int)positions,
                     .field = (int)c->field,
                     .stride = (int)c->stride,
                     .padding = (int)c->padding,
                     .wrap = wrap};
}

/* The input and the classes are options: what is asked for has to agree, 0 asks for nothing. */
static int geometry(const void *config, int input_height, int input_width, int classes, pg_geometry *out)
{
    const null_config *c = config;
    if ((input_height && input_height != c->input_height) || (input_width && input_width != c->input_width) ||
        (classes && classes != c->classes))
        return pg_fail(PG_EINPUT, "the null model is set to %dx%d pixels and %d classes, asked for %dx%d and %d",
                       (int)c->input_height, (int)c->input_width, (int)c->classes, input_height, input_width, classes);
    *out = (pg_geometry){
        .input_height = (int)c->input_height,
        .input_width = (int)c->input_width,
        .rows = axis_of(c, c->height, (c->wrap & PG_WRAP_ROWS) != 0),
        .columns = axis_of(c, c->width, (c->wrap & PG_WRAP_COLUMNS) != 0),
        .classes = (int)c->classes,
    };
    return PG_OK;
}

/* logits[H][W][N] of one image. */
static void image_logits(const null_config *c, int64_t image, float *logits)
{
    pg_rng rng = pg_rng_make((uint64_t)c->seed, PG_STREAM_NULL_MODEL, (uint32_t)image);
    uint32_t favourite = pg_rng_below(&rng, (uint32_t)c->classes);
    uint32_t share = 1288490188u + pg_rng_below(&rng, 3006477108u); /* of 2^32: 0.3 to 1 */
    int64_t positions = c->height * c->width;
    for (int64_t p = 0; p < positions; p++) {
        float *u = logits + p * c->classes;
        for (int64_t k = 0; k < c->classes; k++)
            u[k] = (float)(pg_rng_u32(&rng) >> 16) * 0x1p-15f; /* [0, 2), exact */
        if (pg_rng_u32(&rng) < share)
            u[favourite] += 3.0f;
    }
    if (c->nan_every && image % c->nan_every == c->nan_every - 1)
        logits[image % positions * c->classes] = NAN;
    if (c->large_every && image % c->large_every == c->large_every - 1)
        logits[image % positions * c->classes] = 5000.0f;
}

static int compute(const void *config, const pg_geometry *g, const uint8_t *pixels PG_UNUSED, int64_t first, int count,
                   float *logits)
{
    const null_config *c = config;
    size_t size = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    if (c->memory_images && count > c->memory_images)
        return pg_fail(PG_ENOMEM, "the null model has memory for %d images, not for %d", (int)c->memory_images, count);
    for (int i = 0; i < count; i++) {
        if (first + i == c->crash_image)
            abort();
        if (first + i == c->fail_image)
            return pg_fail(PG_ETORCH, "the null model was told to fail at image %lld", (long long)c->fail_image);
        image_logits(c, first + i, logits + (size_t)i * size);
    }
    int64_t sleep_us = c->sleep_us * count;
    struct timespec left = {.tv_sec = sleep_us / 1000000, .tv_nsec = sleep_us % 1000000 * 1000};
    while (sleep_us > 0 && nanosleep(&left, &left) != 0)
        ; /* a signal does not shorten it */
    return PG_OK;
}

static const pg_model_hooks hooks = {.compute = compute};

const pg_model pg_model_null = {
    .module = {.name = "null",
               .summary = "logits from a hash, for tests: no libtorch, no file",
               .source = "none",
               .version = 1,
               .options = options,
               .config_size = sizeof(null_config)},
    .needs_torch = false,
    .geometry = geometry,
    .hooks = &hooks,
};
