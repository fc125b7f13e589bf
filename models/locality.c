/* Locality, measured: whether positions that a patch cannot reach change at all. Certificates assume that they do not; some
 * convolution algorithms leak across the receptive field. Evidence, not proof. */
#include "models/train.h"

#include "harness/base/rng.h"
#include "harness/data/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct patch {
    int top, left, height, width;
} patch;

static bool axis_meets(const pg_axis *a, int input_px, int position, int start, int length)
{
    if (a->field <= 0)
        return true;
    int left = position * a->stride - a->padding, right = left + a->field;
    bool meets = left < start + length && right > start;
    for (int turn = -1; a->wrap && turn <= 1; turn += 2)
        meets |= left + turn * input_px < start + length && right + turn * input_px > start;
    return meets;
}

static int64_t grid(float x) { return llrint((double)x * 1048576.0); }

/* The largest change over positions whose receptive field does not meet the patch; -1 where every position meets it. */
static int64_t largest_change(const pg_geometry *g, patch p, const float *before, const float *after)
{
    int64_t worst = -1;
    for (int y = 0; y < g->rows.positions; y++)
        for (int x = 0; x < g->columns.positions; x++) {
            if (axis_meets(&g->rows, g->input_height, y, p.top, p.height) && axis_meets(&g->columns, g->input_width, x, p.left, p.width))
                continue;
            for (int c = 0; c < g->classes; c++) {
                size_t i = ((size_t)y * (size_t)g->columns.positions + (size_t)x) * (size_t)g->classes + (size_t)c;
                int64_t change = llabs(grid(after[i]) - grid(before[i]));
                if (change == 0 && after[i] != before[i])
                    change = 1; /* below the grid, and still a leak */
                worst = change > worst ? change : worst;
            }
        }
    return worst;
}

static patch random_patch(pg_rng *rng, const pg_geometry *g)
{
    patch p;
    p.height = 1 + (int)pg_rng_below(rng, (uint32_t)(g->input_height / 4));
    p.width = 1 + (int)pg_rng_below(rng, (uint32_t)(g->input_width / 4));
    p.top = (int)pg_rng_below(rng, (uint32_t)(g->input_height - p.height + 1));
    p.left = (int)pg_rng_below(rng, (uint32_t)(g->input_width - p.width + 1));
    return p;
}

static void fill(pg_rng *rng, const pg_geometry *g, patch p, uint8_t *pixels)
{
    for (int c = 0; c < 3; c++)
        for (int y = p.top; y < p.top + p.height; y++)
            for (int x = p.left; x < p.left + p.width; x++)
                pixels[(c * g->input_height + y) * g->input_width + x] = (uint8_t)pg_rng_below(rng, 256);
}

static int measure(pg_network *net, const pg_dataset *data, int64_t trials, uint64_t seed, int64_t *delta)
{
    const pg_geometry *g = &pg_network_info(net)->geometry;
    size_t image = (size_t)3 * (size_t)(g->input_height * g->input_width);
    size_t map = (size_t)(g->rows.positions * g->columns.positions) * (size_t)g->classes;
    uint8_t *pixels = malloc(image);
    float *before = malloc(map * sizeof *before), *after = malloc(map * sizeof *after);
    int e = pixels && before && after ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    int64_t images = pg_dataset_info_of(data)->images;
    for (int64_t i = 0; !e && i < trials; i++) {
        pg_rng rng = pg_rng_make(seed, PG_STREAM_LOCALITY, (uint32_t)i);
        patch p = random_patch(&rng, g);
        int64_t at = (int64_t)pg_rng_below(&rng, (uint32_t)images);
        e = pg_dataset_read(data, at, 1, pixels, NULL);
        if (!e)
            e = pg_network_forward(net, pixels, at, 1, before);
        fill(&rng, g, p, pixels);
        if (!e)
            e = pg_network_forward(net, pixels, at, 1, after);
        if (!e) {
            int64_t change = largest_change(g, p, before, after);
            *delta = change > *delta ? change : *delta;
        }
    }
    free(pixels);
    free(before);
    free(after);
    return e;
}

int pg_locality_measure(const char *weights, const char *data_dir, const char *dataset, const char *device, int64_t trials, uint64_t seed,
                        int64_t *delta)
{
    pg_dataset *data = NULL;
    pg_network *net = NULL;
    *delta = -1;
    int e = pg_dataset_open(data_dir, dataset, &data);
    /* the batch of evaluation is what decides which convolution algorithm runs */
    if (!e)
        e = pg_network_open(weights, NULL, 0, &(pg_network_options){.device = device, .dtype = PG_DTYPE_F32, .batch = 16}, &net);
    if (!e) {
        const pg_dataset_info *info = pg_dataset_info_of(data);
        const pg_geometry *g = &pg_network_info(net)->geometry;
        if (info->height != g->input_height || info->width != g->input_width)
            e = pg_fail(PG_EINPUT, "%s has images of %dx%d, the model takes %dx%d", dataset, info->height, info->width, g->input_height, g->input_width);
        else
            e = measure(net, data, trials, seed, delta);
    }
    pg_network_close(net);
    pg_dataset_close(data);
    return e;
}
