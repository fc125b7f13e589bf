/* Networks: weights on a device and forward passes. See model.h and network.h. */
#include "models/network.h"

#include "harness/base/memory.h"
#include "models/layers.h"
#include "models/mosaic.h"
#include "models/weights.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pg_network {
    pg_weights_info info;
    const pg_model *model;
    pg_network_options options;
    char device[16];
    char isa[48];
    const pg_torch *torch; /* NULL for models without libtorch */
    pg_scope *scope;
    pg_parameters parameters;
    int computed;     /* classes that a pass computes: of the whole head, or those of options.outputs */
    int *outputs;     /* of the network, that are its classes; NULL: all are */
    bool behind;      /* they are taken behind the head */
    pg_tensor *index; /* the same; owned */
    float *whole;     /* of a model without libtorch: local logits of a batch with all that are computed */
    uint8_t *padded;  /* one full batch */
    int images;       /* of a pass: the batch, or fewer */
    pg_network *base; /* that runs masked images; NULL: there are none, and nothing below is set */
    pg_masked_images masked;
    pg_mosaic *mosaic;                                          /* NULL: masked images run whole */
    uint8_t *hidden;                                            /* [batch] which pixels are; NULL: no token is left out */
    uint8_t *masked_pixels;                                     /* one full batch of masked images, */
    float *local;                                               /* and their local logits */
    int *like;                                                  /* [positions] the first one with the same masked image, */
    int *number;                                                /* and how many others come before that */
    int *next;                                                  /* [positions] that are wanted */
    bool *known;                                                /* [positions] of the image in hand */
    int passes;                                                 /* masked images that differ, */
    int at_once;                                                /* and how many of them run at a time, at most */
    bool (*watch)(void *context, int64_t pass, int64_t passes); /* NULL: nobody watches */
    void *watcher;
    pg_memory memory; /* of all arrays */
};

/* Convolution followed by batch norm in evaluation: weight * scale / sqrt(var + eps), and a bias. */
static int fold(pg_scope *s, pg_parameters *ps)
{
    const pg_torch *t = s->torch;
    for (size_t i = 0; i + 4 < ps->n; i++) {
        pg_parameter *p = &ps->items[i];
        if (p->rank != 4 || p[1].kind != PG_PARAMETER_SCALE)
            continue;
        pg_tensor *gain = t->div(s, p[1].tensor, t->sqrt(s, t->affine(s, p[4].tensor, 1, 1e-5)));
        pg_tensor *column = t->reshape(s, gain, 4, (const int64_t[]){p->shape[0], 1, 1, 1});
        p->folded = t->keep(s, t->channels_last(s, t->mul(s, p->tensor, column)));
        p->folded_bias = t->keep(s, t->sub(s, p[2].tensor, t->mul(s, p[3].tensor, gain)));
        t->scope_clear(s);
    }
    return pg_scope_check(s);
}

int pg_device_choose(const pg_torch *t, const char *asked, int place, char device[16])
{
    int n = t->cuda_devices();
    bool any = !asked || strcmp(asked, "auto") == 0;
    if (any && n == 0)
        asked = "cpu";
    if (n > 0 && (any || strcmp(asked, "cuda") == 0)) {
        snprintf(device, 16, "cuda:%hu", (unsigned short)(place % n));
        return PG_OK;
    }
    int index = 0;
    if (strcmp(asked, "cpu") != 0 && strcmp(asked, "cuda") != 0 &&
        (strncmp(asked, "cuda:", 5) != 0 || sscanf(asked + 5, "%d", &index) != 1 || index < 0))
        return pg_fail(PG_EINPUT, "unknown device '%s': auto, cpu, cuda or cuda:N", asked);
    if (strcmp(asked, "cpu") != 0 && index >= n)
        return pg_fail(PG_EINPUT, "device %s is not there: this libtorch sees %d CUDA devices", asked, n);
    snprintf(device, 16, "%s", asked);
    return PG_OK;
}

static bool has_head(const pg_parameters *ps)
{
    for (size_t i = 0; i < ps->n; i++)
        if (ps->items[i].head)
            return true;
    return false;
}

/* The rows of the head where every position sees everything. Where positions have fields, the outputs are taken behind the
 * head, so that what was measured of the network's locality holds bit for bit. */
static int select_outputs(pg_network *n)
{
    const pg_geometry *g = &n->info.geometry;
    const int64_t count = g->classes;
    if (g->rows.field == 0 && g->columns.field == 0 && has_head(&n->parameters)) {
        int code = pg_parameters_select(&n->parameters, n->scope, n->outputs, g->classes);
        n->computed = g->classes;
        n->behind = false;
        return code;
    }
    const pg_torch *t = n->torch;
    pg_tensor *index = t->to_type(n->scope, t->from_data(n->scope, n->outputs, PG_T_I32, 1, &count), PG_T_I64);
    n->index = t->keep(n->scope, index);
    t->scope_clear(n->scope);
    return pg_scope_check(n->scope);
}

/* Of logits [n][computed][H][W] those of the classes. */
static pg_tensor *take_outputs(pg_network *n, pg_tensor *logits)
{
    return n->index ? n->torch->index_select(n->scope, logits, 1, n->index) : logits;
}

static int open_torch(pg_network *n, const char *weights)
{
    int code = pg_torch_load(n->options.threads, &n->torch);
    if (code == PG_OK)
        code = pg_device_choose(n->torch, n->options.device, n->options.place, n->device);
    if (code != PG_OK)
        return code;
    bool cuda = strncmp(n->device, "cuda", 4) == 0;
    if (n->options.dtype == PG_DTYPE_BF16 && !cuda && !pg_cpu_has_fast_bf16())
        return pg_fail(PG_EUNSUPPORTED, "dtype bf16 needs a CPU with AMX or AVX-512 bf16, or a GPU; use fp32");
    n->torch->grad_mode(false);
    pg_kernels kernels;
    n->torch->kernels(n->device, &kernels);
    snprintf(n->isa, sizeof n->isa, "%s", kernels.isa);
    n->scope = n->torch->scope_new();
    if (!n->scope)
        return pg_fail(PG_ENOMEM, "out of memory");
    snprintf(n->scope->device, sizeof n->scope->device, "%s", n->device);
    const pg_geometry *g = &n->info.geometry;
    pg_geometry traced;
    code = pg_model_trace(n->model, n->info.config, g->input_height, g->input_width, n->computed, &n->parameters, &traced);
    if (code == PG_OK)
        code = pg_weights_load(weights, n->scope, &n->parameters);
    if (code == PG_OK && n->outputs)
        code = select_outputs(n);
    return code != PG_OK ? code : fold(n->scope, &n->parameters);
}

/* Takes over which outputs are the classes. */
static int choose_outputs(pg_network *n, const pg_network_options *o)
{
    n->computed = n->info.geometry.classes;
    n->options.outputs = NULL;
    if (!o->outputs)
        return PG_OK;
    n->outputs = pg_memory_take(&n->memory, (size_t)o->n_outputs, sizeof *n->outputs);
    int code = pg_memory_check(&n->memory, "%d outputs", o->n_outputs);
    for (int i = 0; code == PG_OK && i < o->n_outputs; i++) {
        n->outputs[i] = o->outputs[i];
        if (o->outputs[i] < 0 || o->outputs[i] >= n->computed)
            code = pg_fail(PG_EINPUT, "output %d: the network has 0 to %d", o->outputs[i], n->computed - 1);
    }
    n->info.geometry.classes = o->n_outputs;
    n->behind = true;
    return code;
}

int pg_network_open(const char *weights, const char *const *pairs, size_t n_pairs, const pg_network_options *options,
                    pg_network **out)
{
    *out = NULL;
    pg_network *n = calloc(1, sizeof *n);
    if (!n)
        return pg_fail(PG_ENOMEM, "out of memory");
    n->options = *options;
    n->images = options->batch;
    snprintf(n->device, sizeof n->device, "cpu");
    int code = options->batch >= 1 ? PG_OK : pg_fail(PG_EINPUT, "batch %d: at least 1", options->batch);
    if (code == PG_OK)
        code = pg_weights_describe(weights, pairs, n_pairs, &n->info);
    if (code == PG_OK)
        code = choose_outputs(n, options);
    if (code == PG_OK) {
        n->model = pg_model_find(n->info.model);
        if (n->model->needs_torch)
            code = open_torch(n, weights);
    }
    if (code == PG_OK) {
        const pg_geometry *g = &n->info.geometry;
        n->padded = pg_memory_take(&n->memory, (size_t)options->batch * 3, (size_t)g->input_height * (size_t)g->input_width);
        if (n->behind && !n->model->needs_torch)
            n->whole = pg_memory_take(&n->memory, (size_t)options->batch * (size_t)n->computed * sizeof *n->whole,
                                      (size_t)g->rows.positions * (size_t)g->columns.positions);
        code = pg_memory_check(&n->memory, "a batch of %d images", options->batch);
    }
    if (code != PG_OK)
        pg_network_close(n);
    else
        *out = n;
    return code;
}

void pg_network_close(pg_network *n)
{
    if (!n)
        return;
    pg_mosaic_free(n->mosaic);
    if (n->masked.release)
        n->masked.release(n->masked.context);
    pg_network_close(n->base);
    pg_parameters_release(&n->parameters, n->torch);
    if (n->torch) {
        n->torch->tensor_free(n->index);
        n->torch->scope_free(n->scope);
    }
    pg_memory_free(&n->memory);
    free(n);
}

const pg_weights_info *pg_network_info(const pg_network *n) { return &n->info; }
const int *pg_network_outputs(const pg_network *n) { return n->base ? n->base->outputs : n->outputs; }
const char *pg_network_device(const pg_network *n) { return n->device; }
const char *pg_network_isa(const pg_network *n) { return n->isa; }

/* logits [batch][classes][H][W] -> the first `count` images as [H][W][classes]. */
static int read_logits(pg_network *n, pg_tensor *logits, int count, float *out)
{
    const pg_geometry *g = &n->info.geometry;
    pg_scope *s = n->scope;
    int64_t total = (int64_t)count * g->rows.positions * g->columns.positions * g->classes;
    logits = n->torch->slice(s, logits, 0, 0, count, 1);
    logits = n->torch->permute(s, logits, 4, (const int64_t[]){0, 2, 3, 1});
    n->torch->read(s, logits, out, PG_T_F32, total);
    return pg_scope_check(s);
}

/* Of a model without libtorch. */
static int compute(pg_network *n, const uint8_t *pixels, int64_t first, int count, float *logits)
{
    pg_geometry g = n->info.geometry;
    size_t positions = (size_t)count * (size_t)g.rows.positions * (size_t)g.columns.positions, classes = (size_t)g.classes;
    g.classes = n->computed;
    int code = n->model->hooks->compute(n->info.config, &g, pixels, first, count, n->behind ? n->whole : logits);
    for (size_t p = 0; code == PG_OK && n->behind && p < positions; p++)
        for (size_t c = 0; c < classes; c++)
            logits[p * classes + c] = n->whole[p * (size_t)n->computed + (size_t)n->outputs[c]];
    return code;
}

/* count images, and black ones behind them up to `images`. `hidden`: their pixels that are, whose tokens are left out; NULL:
 * nothing is left out. */
static int forward_pass(pg_network *n, const uint8_t *pixels, int64_t first, int count, int images, const uint8_t *hidden,
                        float *logits)
{
    const pg_geometry *g = &n->info.geometry;
    if (!n->model->needs_torch)
        return compute(n, pixels, first, count, logits);
    size_t image = (size_t)3 * g->input_height * g->input_width;
    memcpy(n->padded, pixels, (size_t)count * image);
    memset(n->padded + (size_t)count * image, 0, (size_t)(images - count) * image);
    pg_scope *s = n->scope;
    s->error = PG_OK;
    bool bf16 = n->options.dtype == PG_DTYPE_BF16;
    bool recorded = n->torch->grad_mode(false);
    if (bf16)
        n->torch->autocast(s, n->device, true);
    pg_tensor *x = n->torch->from_data(s, n->padded, PG_T_U8, 4, (const int64_t[]){images, 3, g->input_height, g->input_width});
    pg_tensor *u = hidden ? pg_model_forward_masked(n->model, n->info.config, s, &n->parameters, n->computed, x, hidden)
                          : pg_model_forward(n->model, n->info.config, PG_PASS_EVAL, s, &n->parameters, n->computed, x);
    u = take_outputs(n, u);
    if (bf16)
        n->torch->autocast(s, n->device, false);
    int code = read_logits(n, u, count, logits);
    n->torch->scope_clear(s);
    n->torch->grad_mode(recorded);
    return code;
}

/* ---- Masked images ---- */

pg_network *pg_network_base(pg_network *n) { return n->base ? n->base : n; }

/* Which masked images are the same; no image tells. */
static void count_masked(pg_network *n)
{
    int columns = n->masked.columns.positions, all = n->masked.rows.positions * columns;
    for (int i = 0; i < all; i++) {
        n->like[i] = n->masked.mask_image(n->masked.context, i / columns, i % columns, n->padded, n->masked_pixels);
        n->number[i] = n->like[i] == i ? n->passes++ : n->number[n->like[i]];
    }
}

/* As many as the batch has, whose values take bounded memory, but at least 16: below that libtorch is slow (models/layers.c).
 * values 0: not known. */
static int images_at_once(bool gpu, int64_t values, int64_t batch)
{
    static const int64_t most = (int64_t)256 << 20, most_gpu = (int64_t)2 << 30;
    int64_t images = values > 0 ? (gpu ? most_gpu : most) / (values * (int64_t)sizeof(float)) : batch;
    images = images < 16 ? 16 : images;
    return (int)(images < batch ? images : batch);
}

int pg_network_masked_memory(const pg_weights_info *info, int batch, int *images, int64_t *bytes)
{
    const pg_model *model = pg_model_find(info->model);
    pg_footprint footprint = {0};
    int code = model && model->needs_torch ? pg_model_footprint(model, info->config, &info->geometry, &footprint) : PG_OK;
    *images = images_at_once(false, footprint.values, batch);
    *bytes = *images * footprint.values * (int64_t)sizeof(float);
    return code;
}

int pg_network_masked(pg_network *base, const pg_masked_images *masked, pg_network **out)
{
    const pg_geometry *g = &base->info.geometry;
    size_t batch = (size_t)base->options.batch, positions = (size_t)masked->rows.positions * (size_t)masked->columns.positions,
           image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width,
           map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    pg_footprint footprint = {0};
    pg_network *n = calloc(1, sizeof *n);
    *out = NULL;
    if (!n) {
        if (masked->release)
            masked->release(masked->context);
        pg_network_close(base);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    *n = (pg_network){.info = base->info, .model = base->model, .options = base->options, .base = base, .masked = *masked};
    n->info.geometry.rows = masked->rows;
    n->info.geometry.columns = masked->columns;
    memcpy(n->device, base->device, sizeof n->device);
    memcpy(n->isa, base->isa, sizeof n->isa);
    n->padded = pg_memory_take(&n->memory, 1, image);
    n->masked_pixels = pg_memory_take(&n->memory, batch, image);
    n->local = pg_memory_take(&n->memory, batch * map, sizeof *n->local);
    pg_masked_part part[2];
    bool left_out = masked->parts && masked->parts(masked->context, 0, 0, part) > 0 && part[0].left_out;
    n->hidden = left_out ? pg_memory_take(&n->memory, batch, image / 3) : NULL;
    n->like = pg_memory_take(&n->memory, positions, sizeof *n->like);
    n->number = pg_memory_take(&n->memory, positions, sizeof *n->number);
    n->next = pg_memory_take(&n->memory, positions, sizeof *n->next);
    n->known = pg_memory_take(&n->memory, positions, sizeof *n->known);
    int code = pg_memory_check(&n->memory, "%d masked images", base->options.batch);
    if (code == PG_OK && left_out && !base->model->hooks->masked)
        code = pg_fail(PG_EINPUT, "model %s has no tokens that could be dropped under a mask", base->info.model);
    if (code == PG_OK && base->model->needs_torch)
        code = pg_model_footprint(base->model, base->info.config, g, &footprint);
    bool gpu = strcmp(base->device, "cpu") != 0;
    n->at_once = images_at_once(gpu, footprint.values - footprint.early, base->options.batch);
    if (code == PG_OK)
        code = pg_mosaic_new(&(pg_mosaic_network){.model = base->model,
                                                  .config = base->info.config,
                                                  .geometry = &base->info.geometry,
                                                  .footprint = footprint,
                                                  .parameters = &base->parameters,
                                                  .scope = base->scope,
                                                  .bf16 = base->options.dtype == PG_DTYPE_BF16},
                             masked, n->at_once, &n->mosaic);
    if (code == PG_OK) {
        n->at_once = n->mosaic ? n->at_once : images_at_once(gpu, footprint.values, base->options.batch);
        count_masked(n);
        *out = n;
    } else {
        pg_network_close(n);
    }
    return code;
}

/* The pixels under the masks of a position. */
static void mark_hidden(pg_network *n, int position, uint8_t *hidden)
{
    const pg_geometry *g = &n->info.geometry;
    int columns = n->masked.columns.positions;
    pg_masked_part parts[2];
    int count = n->masked.parts(n->masked.context, position / columns, position % columns, parts);
    memset(hidden, 0, (size_t)g->input_height * (size_t)g->input_width);
    for (int i = 0; i < count; i++)
        for (int y = parts[i].pixels.top; y < parts[i].pixels.top + parts[i].pixels.height; y++)
            memset(hidden + (size_t)y * (size_t)g->input_width + parts[i].pixels.left, 1, (size_t)parts[i].pixels.width);
}

/* Whole masked images at these positions, to n->local. The null model takes masked image i of image m for image m * (positions
 * of the map) + i. */
static int run_whole(pg_network *n, const uint8_t *pixels, int64_t image, const int *positions, int count)
{
    const pg_geometry *g = &n->base->info.geometry;
    int columns = n->masked.columns.positions, all = n->masked.rows.positions * columns, code = PG_OK;
    size_t size = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width;
    size_t map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    for (int i = 0; i < count; i++)
        n->masked.mask_image(n->masked.context, positions[i] / columns, positions[i] % columns, pixels,
                             n->masked_pixels + (size_t)i * size);
    for (int i = 0; n->hidden && i < count; i++)
        mark_hidden(n, positions[i], n->hidden + (size_t)i * size / 3);
    int at_once = n->model->needs_torch ? count : 1; /* the null model goes by the number of each */
    for (int i = 0; code == PG_OK && i < count; i += at_once)
        code = forward_pass(n->base, n->masked_pixels + (size_t)i * size, image * all + n->number[positions[i]], at_once,
                            at_once, n->hidden, n->local + (size_t)i * map);
    return code;
}

static int run_mosaic(pg_network *n, const int *positions, int count)
{
    pg_scope *s = n->base->scope;
    s->error = PG_OK;
    int code = read_logits(n->base, take_outputs(n->base, pg_mosaic_logits(n->mosaic, positions, count)), count, n->local);
    s->torch->scope_clear(s);
    return code;
}

/* Masked images at these positions of the map, at once, to logits [rows][columns][classes]: the mean over the positions of the
 * base. */
static int run_masked(pg_network *n, const uint8_t *pixels, int64_t image, const int *positions, int count, float *logits)
{
    const pg_geometry *g = &n->base->info.geometry;
    size_t map = (size_t)g->rows.positions * (size_t)g->columns.positions, classes = (size_t)g->classes;
    int code = n->mosaic ? run_mosaic(n, positions, count) : run_whole(n, pixels, image, positions, count);
    for (int i = 0; code == PG_OK && i < count; i++)
        for (size_t c = 0; c < classes; c++) {
            double sum = 0;
            for (size_t p = 0; p < map; p++)
                sum += n->local[((size_t)i * map + p) * classes + c];
            logits[(size_t)positions[i] * classes + c] = (float)(sum / (double)map);
        }
    return code;
}

/* What an image wants. */
typedef struct wish {
    bool all;
    int label; /* where not all; -1: the prediction alone */
} wish;

/* Into n->next: masked images that have not run, each once. */
static int next_masked(pg_network *n, const wish *w, const float *logits)
{
    int all = n->masked.rows.positions * n->masked.columns.positions, wanted = all, count = 0;
    if (w->all || !n->masked.wanted)
        for (int i = 0; i < all; i++)
            n->next[i] = i;
    else
        wanted = n->masked.wanted(n->masked.context, logits, n->known, w->label, n->next);
    for (int i = 0; i < wanted; i++) {
        int first = n->like[n->next[i]];
        if (!n->known[first])
            n->next[count++] = first;
        n->known[first] = true;
    }
    for (int i = 0; i < count; i++)
        n->known[n->next[i]] = false;
    return count;
}

/* Each masked image that is wanted once, and those that are the same. No image depends on another. */
static int forward_masked(pg_network *n, const uint8_t *pixels, int64_t image, const wish *w, float *logits)
{
    const pg_geometry *g = &n->info.geometry;
    int all = g->rows.positions * g->columns.positions, run = 0, code = PG_OK;
    size_t classes = (size_t)g->classes;
    bool stopping = false;
    memset(logits, 0, (size_t)all * classes * sizeof *logits);
    memset(n->known, 0, (size_t)all * sizeof *n->known);
    if (n->mosaic)
        code = pg_mosaic_begin(n->mosaic, pixels);
    for (int wanted; code == PG_OK && (wanted = next_masked(n, w, logits)) > 0;) {
        int most = n->at_once < n->base->images ? n->at_once : n->base->images;
        int passes = (wanted + most - 1) / most, count = (wanted + passes - 1) / passes;
        if (stopping)
            return pg_fail(PG_EINTERRUPTED, "stopped between two passes of an image");
        code = run_masked(n, pixels, image, n->next, count, logits);
        for (int i = 0; i < count; i++)
            n->known[n->next[i]] = true;
        for (int i = 0; i < all; i++)
            if (n->like[i] != i && n->known[n->like[i]] && !n->known[i]) {
                memcpy(logits + (size_t)i * classes, logits + (size_t)n->like[i] * classes, classes * sizeof *logits);
                n->known[i] = true;
            }
        run += count;
        stopping = code == PG_OK && n->watch && !n->watch(n->watcher, run, n->passes);
    }
    return code;
}

void pg_network_watch(pg_network *n, bool (*watch)(void *context, int64_t pass, int64_t passes), void *context)
{
    n->watch = watch;
    n->watcher = context;
}

static int forward(pg_network *n, const uint8_t *pixels, int64_t first, int count, bool all, const int32_t *labels,
                   float *logits)
{
    const pg_geometry *g = &n->info.geometry;
    size_t image = (size_t)3 * g->input_height * g->input_width;
    size_t map = (size_t)g->rows.positions * g->columns.positions * g->classes;
    int code = PG_OK;
    assert(count >= 1 && count <= n->options.batch);
    for (int i = 0; n->base && code == PG_OK && i < count; i++)
        code = forward_masked(n, pixels + (size_t)i * image, first + i, &(wish){all, labels ? labels[i] : -1},
                              logits + (size_t)i * map);
    for (int at = 0; !n->base && code == PG_OK && at < count; at += n->images) {
        int some = count - at < n->images ? count - at : n->images;
        code = forward_pass(n, pixels + (size_t)at * image, first + at, some, n->images, NULL, logits + (size_t)at * map);
    }
    return code;
}

int pg_network_forward(pg_network *n, const uint8_t *pixels, int64_t first, int count, float *logits)
{
    return forward(n, pixels, first, count, true, NULL, logits);
}

int pg_network_forward_wanted(pg_network *n, const uint8_t *pixels, int64_t first, int count, const int32_t *labels,
                              float *logits)
{
    return forward(n, pixels, first, count, false, labels, logits);
}

void pg_network_set_batch(pg_network *network, int images)
{
    pg_network *n = pg_network_base(network);
    n->images = images;
    if (n->scope)
        n->torch->scope_clear(n->scope);
}

pg_scope *pg_network_scope(pg_network *n) { return n->scope; }

pg_crop pg_network_crop(const pg_network *n, pg_rect patch)
{
    const pg_geometry *g = &n->info.geometry;
    if (n->model->hooks->opaque)
        return (pg_crop){.pixels = {0, 0, g->input_height, g->input_width},
                         .positions = {0, 0, g->rows.positions, g->columns.positions}};
    return pg_geometry_crop(g, n->model->hooks->crop != NULL, patch);
}

static bool has_shape(const pg_torch *t, const pg_tensor *x, const int64_t shape[4])
{
    bool same = t->rank(x) == 4;
    for (int i = 0; same && i < 4; i++)
        same = t->size(x, i) == shape[i];
    return same;
}

pg_tensor *pg_network_crop_logits(pg_network *n, pg_tensor *pixels, const pg_crop *crops, int count)
{
    pg_scope *s = n->scope;
    const pg_torch *t = n->torch;
    const pg_geometry *g = &n->info.geometry;
    pg_rect seen = crops->pixels, map = crops->positions;
    pg_builder b = {.pass = PG_PASS_EVAL, .scope = s, .parameters = &n->parameters, .classes = n->computed};
    if (!s->error && !has_shape(t, pixels, (const int64_t[]){count, 3, seen.height, seen.width})) {
        s->error = PG_ESHAPE;
        snprintf(s->message, sizeof s->message, "the crops want pixels of shape [%d][3][%d][%d]", count, seen.height,
                 seen.width);
    }
    if (s->error)
        return NULL;
    bool bf16 = n->options.dtype == PG_DTYPE_BF16;
    if (bf16)
        t->autocast(s, n->device, true);
    pg_value x = pg_layer_input(&b, pixels, 3, seen.height, seen.width);
    x = n->model->hooks->crop ? n->model->hooks->crop(&b, n->info.config, x, g, crops, count)
                              : n->model->hooks->forward(&b, n->info.config, x);
    x.tensor = take_outputs(n, x.tensor);
    if (bf16)
        t->autocast(s, n->device, false);
    if (!s->error && !has_shape(t, x.tensor, (const int64_t[]){count, g->classes, map.height, map.width})) {
        s->error = PG_ESHAPE;
        snprintf(s->message, sizeof s->message, "model %s: the local logits of a crop are not %d x %d positions", n->info.model,
                 map.height, map.width);
    }
    return t->to_type(s, x.tensor, PG_T_F32);
}
