/* See field_map.h. The whole image is the crop, so that what lies outside the field is measured too. */
#include "models/field_map.h"

#include "harness/data/dataset.h"
#include "models/torch/torch.h"

#include <stdlib.h>

enum { BATCH = 4 };

/* The pixels that position i sees; the whole axis where it sees everything. */
static void field_of(const pg_axis *a, int input_px, int i, int *start, int *length)
{
    *start = a->field > 0 ? i * a->stride - a->padding : 0;
    *length = a->field > 0 ? a->field : input_px;
}

/* Adds the gradients of a batch, [h][w], to sums. */
static int add_batch(pg_network *net, const float *pixels, int count, double *sums)
{
    const pg_geometry *g = &pg_network_info(net)->geometry;
    int h = g->input_height, w = g->input_width, row = g->rows.positions / 2, column = g->columns.positions / 2;
    pg_scope *s = pg_network_scope(net);
    const pg_torch *t = s->torch;
    pg_crop crops[BATCH];
    for (int i = 0; i < count; i++)
        crops[i] = pg_network_crop(net, (pg_rect){.height = h, .width = w});
    bool before = t->grad_mode(true);
    pg_tensor *x = t->from_data(s, pixels, PG_T_F32, 4, (const int64_t[]){count, 3, h, w});
    t->requires_grad(s, x, true);
    pg_tensor *logits = pg_network_crop_logits(net, x, crops, count);
    pg_tensor *local = t->slice(s, t->slice(s, logits, 2, row, row + 1, 1), 3, column, column + 1, 1);
    pg_tensor *largest = t->amax(s, local, 1, (const int64_t[]){1}, false);
    pg_tensor *gradient = t->grad(s, t->sum(s, largest, 0, NULL, false), x);
    pg_tensor *map = t->sum(s, t->abs(s, gradient), 2, (const int64_t[]){0, 1}, false);
    float *values = malloc((size_t)(h * w) * sizeof *values);
    int code = values != NULL ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a map of %d x %d pixels", h, w);
    if (code == PG_OK) {
        t->read(s, map, values, PG_T_F32, h * w);
        code = pg_scope_check(s);
    }
    for (int i = 0; code == PG_OK && i < h * w; i++)
        sums[i] += (double)values[i];
    t->grad_mode(before);
    t->scope_clear(s);
    free(values);
    return code;
}

static int add_images(pg_network *net, const pg_dataset *data, int64_t images, double *sums)
{
    const pg_geometry *g = &pg_network_info(net)->geometry;
    size_t image = (size_t)3 * (size_t)(g->input_height * g->input_width);
    uint8_t *bytes = malloc(BATCH * image);
    float *pixels = malloc(BATCH * image * sizeof *pixels);
    int code = bytes && pixels ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %d images", (int)BATCH);
    for (int64_t i = 0; code == PG_OK && i < images; i += BATCH) {
        int count = images - i < BATCH ? (int)(images - i) : BATCH;
        code = pg_dataset_read(data, i, count, bytes, NULL);
        for (size_t k = 0; code == PG_OK && k < (size_t)count * image; k++)
            pixels[k] = (float)bytes[k] / 255.0f;
        if (code == PG_OK)
            code = add_batch(net, pixels, count, sums);
    }
    free(bytes);
    free(pixels);
    return code;
}

static int measure(pg_network *net, const pg_dataset *data, const char *weights, pg_field_map *out)
{
    const pg_geometry *g = &pg_network_info(net)->geometry;
    const pg_dataset_info *info = pg_dataset_info_of(data);
    if (info->height != g->input_height || info->width != g->input_width)
        return pg_fail(PG_EINPUT, "%s wants images of %dx%d pixels, and those of %s are %dx%d", weights, g->input_height,
                       g->input_width, info->name, info->height, info->width);
    if (pg_network_scope(net) == NULL)
        return pg_fail(PG_EINPUT, "%s: model %s has no gradients", weights, pg_network_info(net)->model);
    size_t n = (size_t)(g->input_height * g->input_width);
    double *sums = calloc(n, sizeof *sums);
    out->values = malloc(n * sizeof *out->values);
    int code = sums && out->values ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a map of %zu pixels", n);
    out->images = out->images < info->images ? out->images : info->images;
    if (code == PG_OK)
        code = add_images(net, data, out->images, sums);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        out->values[i] = (float)(sums[i] / (double)out->images);
    out->height = g->input_height;
    out->width = g->input_width;
    field_of(&g->rows, g->input_height, g->rows.positions / 2, &out->field.top, &out->field.height);
    field_of(&g->columns, g->input_width, g->columns.positions / 2, &out->field.left, &out->field.width);
    free(sums);
    return code;
}

int pg_field_map_make(const pg_field_map_request *r, pg_field_map *out)
{
    pg_dataset *data = NULL;
    pg_network *net = NULL;
    *out = (pg_field_map){.images = r->images};
    int code = pg_dataset_open(r->data_dir, r->dataset, &data);
    if (code == PG_OK)
        code = pg_network_open(r->weights, NULL, 0,
                               &(pg_network_options){.device = r->device, .dtype = PG_DTYPE_F32, .batch = BATCH}, &net);
    if (code == PG_OK)
        code = measure(net, data, r->weights, out);
    pg_network_close(net);
    pg_dataset_close(data);
    if (code != PG_OK) {
        free(out->values);
        *out = (pg_field_map){0};
    }
    return code;
}
