/* See locality.h. Each image of a batch carries a patch of its own, so that a batch measures as many trials as it has images. */
#include "models/locality.h"

#include "harness/base/rng.h"
#include "harness/base/safetensors.h"
#include "harness/data/dataset.h"
#include "models/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtypes[] = {[PG_DTYPE_F32] = "fp32", [PG_DTYPE_BF16] = "bf16"};

typedef struct patch {
    int top, left, height, width;
} patch;

int64_t pg_locality_units(double change)
{
    if (change == 0)
        return 0;
    return change < (double)(PG_LOCALITY_MAX - 1) / 1048576 ? (int64_t)(change * 1048576) + 1 : PG_LOCALITY_MAX;
}

/* The largest change over positions whose receptive field does not meet the patch; 0 where every position meets it. */
static int64_t largest_change(const pg_geometry *g, patch p, const float *before, const float *after)
{
    int64_t worst = 0;
    for (int y = 0; y < g->rows.positions; y++)
        for (int x = 0; x < g->columns.positions; x++) {
            if (pg_axis_meets(&g->rows, g->input_height, y, p.top, p.height) && pg_axis_meets(&g->columns, g->input_width, x, p.left, p.width))
                continue;
            for (int c = 0; c < g->classes; c++) {
                size_t i = ((size_t)y * (size_t)g->columns.positions + (size_t)x) * (size_t)g->classes + (size_t)c;
                int64_t change = pg_locality_units(fabs((double)after[i] - (double)before[i]));
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

/* Images and patches of trials first .. first + count - 1: logits before and after. */
typedef struct trial_batch {
    uint8_t *pixels;
    float *before, *after;
    patch *patches;
} trial_batch;

static int measure_batch(pg_network *net, const pg_dataset *data, uint64_t seed, int64_t first, int count, trial_batch *b, int64_t *delta)
{
    const pg_geometry *g = &pg_network_info(net)->geometry;
    size_t image = (size_t)3 * (size_t)(g->input_height * g->input_width);
    size_t map = (size_t)(g->rows.positions * g->columns.positions) * (size_t)g->classes;
    pg_rng rngs[PG_BATCH_DEFAULT];
    int e = PG_OK;
    for (int i = 0; !e && i < count; i++) {
        rngs[i] = pg_rng_make(seed, PG_STREAM_LOCALITY, (uint32_t)(first + i));
        b->patches[i] = random_patch(&rngs[i], g);
        int64_t at = (int64_t)pg_rng_below(&rngs[i], (uint32_t)pg_dataset_info_of(data)->images);
        e = pg_dataset_read(data, at, 1, b->pixels + (size_t)i * image, NULL);
    }
    if (!e)
        e = pg_network_forward(net, b->pixels, first, count, b->before);
    for (int i = 0; i < count; i++)
        fill(&rngs[i], g, b->patches[i], b->pixels + (size_t)i * image);
    if (!e)
        e = pg_network_forward(net, b->pixels, first, count, b->after);
    for (int i = 0; !e && i < count; i++) {
        int64_t change = largest_change(g, b->patches[i], b->before + (size_t)i * map, b->after + (size_t)i * map);
        *delta = change > *delta ? change : *delta;
    }
    return e;
}

static int measure(pg_network *net, const pg_dataset *data, const pg_locality_request *r, pg_locality *out)
{
    const pg_geometry *g = &pg_network_info(net)->geometry;
    size_t images = (size_t)r->batch, image = (size_t)3 * (size_t)(g->input_height * g->input_width);
    size_t map = (size_t)(g->rows.positions * g->columns.positions) * (size_t)g->classes;
    trial_batch b = {.pixels = malloc(images * image), .before = malloc(images * map * sizeof(float)),
                     .after = malloc(images * map * sizeof(float)), .patches = malloc(images * sizeof(patch))};
    int e = b.pixels && b.before && b.after && b.patches ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    int step = r->batch < PG_BATCH_DEFAULT ? r->batch : PG_BATCH_DEFAULT;
    for (int64_t i = 0; !e && i < r->trials; i += step) {
        int count = r->trials - i < step ? (int)(r->trials - i) : step;
        e = measure_batch(net, data, r->seed, i, count, &b, &out->delta_grid);
    }
    free(b.pixels);
    free(b.before);
    free(b.after);
    free(b.patches);
    return e;
}

int pg_locality_measure(const char *weights, const pg_locality_request *r, pg_locality *out)
{
    pg_dataset *data = NULL;
    pg_network *net = NULL;
    *out = (pg_locality){.trials = r->trials, .dtype = r->dtype, .batch = r->batch};
    int e = pg_dataset_open(r->data_dir, r->dataset, &data);
    if (!e)
        e = pg_network_open(weights, NULL, 0,
                            &(pg_network_options){.device = r->device, .dtype = r->dtype, .batch = r->batch, .threads = r->threads}, &net);
    if (!e) {
        const pg_dataset_info *info = pg_dataset_info_of(data);
        const pg_geometry *g = &pg_network_info(net)->geometry;
        snprintf(out->device, sizeof out->device, "%.*s", (int)strcspn(pg_network_device(net), ":"), pg_network_device(net));
        if (info->height != g->input_height || info->width != g->input_width)
            e = pg_fail(PG_EINPUT, "%s has images of %dx%d, the model takes %dx%d", r->dataset, info->height, info->width, g->input_height,
                        g->input_width);
        else
            e = measure(net, data, r, out);
    }
    out->measured = !e;
    pg_network_close(net);
    pg_dataset_close(data);
    return e;
}

void pg_locality_format(const pg_locality *l, char text[PG_LOCALITY_TEXT])
{
    snprintf(text, PG_LOCALITY_TEXT, "%lld:%lld:%s:%s:%d", (long long)l->delta_grid, (long long)l->trials, dtypes[l->dtype], l->device, l->batch);
}

int pg_locality_parse(const char *text, pg_locality *out)
{
    long long delta, trials;
    char dtype[8], device[8], tail;
    int batch;
    bool good = sscanf(text, "%19lld:%19lld:%7[a-z0-9]:%7[a-z]:%9d%c", &delta, &trials, dtype, device, &batch, &tail) == 5 &&
                delta >= 0 && delta <= PG_LOCALITY_MAX && trials >= 1 && batch >= 1;
    bool bf16 = good && strcmp(dtype, "bf16") == 0;
    if (!good || (!bf16 && strcmp(dtype, "fp32") != 0) || (strcmp(device, "cpu") != 0 && strcmp(device, "cuda") != 0))
        return pg_fail(PG_EDAMAGED, "metadata 'locality' is '%s'; DELTA:TRIALS:fp32|bf16:cpu|cuda:BATCH is needed", text);
    *out = (pg_locality){.measured = true, .delta_grid = delta, .trials = trials, .dtype = bf16 ? PG_DTYPE_BF16 : PG_DTYPE_F32, .batch = batch};
    memcpy(out->device, device, sizeof device);
    return PG_OK;
}

int pg_locality_record(const char *weights, const pg_locality *l)
{
    pg_st_file *f = NULL;
    int e = pg_st_open(weights, &f);
    if (e)
        return e;
    char text[PG_LOCALITY_TEXT];
    pg_locality_format(l, text);
    const char *keys[PG_WEIGHTS_KEYS_MAX], *values[PG_WEIGHTS_KEYS_MAX];
    size_t n = 0, tensors = pg_st_count(f);
    for (const char *const *key = pg_weights_keys; *key; key++)
        if (pg_st_metadata(f, *key)) {
            keys[n] = *key;
            values[n++] = pg_st_metadata(f, *key);
        }
    keys[n] = "locality";
    values[n++] = text;
    pg_st_tensor *copies = malloc((tensors ? tensors : 1) * sizeof *copies);
    if (!copies)
        e = pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; !e && i < tensors; i++)
        copies[i] = *pg_st_at(f, i);
    if (!e)
        e = pg_st_write(weights, copies, tensors, keys, values, n);
    free(copies);
    pg_st_close(f);
    return e;
}
