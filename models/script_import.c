/* model import torchscript. See torchscript.h. */
#include "models/layers.h"
#include "models/torchscript.h"
#include "models/weights.h"

#include "harness/base/file.h"
#include "harness/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIALS = 64, BYTES_MAX = 1 << 30 };

typedef struct script {
    const pg_import_job *job;
    const pg_torch *t;
    pg_scope *s;
    pg_module_script *module;
    char *bytes;
    size_t size;
    char hash[PG_HASH_HEX];
    pg_normalisation pixels; /* of the trial runs: the module's own business until the options are known */
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_geometry geometry;
} script;

static const pg_model *model(void) { return pg_model_find("torchscript"); }

/* ---- Running it ---- */

static int open_script(script *x)
{
    char message[512] = "";
    int e = pg_file_read(x->job->from, BYTES_MAX, &x->bytes, &x->size);
    if (!e)
        e = pg_hash_bytes(x->bytes, x->size, x->hash);
    if (!e)
        e = pg_torch_load(0, &x->t);
    if (!e && !(x->s = x->t->scope_new()))
        e = pg_fail(PG_ENOMEM, "out of memory");
    if (!e)
        x->t->grad_mode(false);
    if (!e && x->t->script_open(x->job->from, "cpu", &x->module, message, sizeof message))
        e = pg_fail(PG_EDAMAGED, "%s: libtorch cannot read it as TorchScript: %s", x->job->from, message);
    return e;
}

/* The module's answer to n images as a network would give it; borrowed from the scope. NULL after a failure. */
static pg_tensor *answer(const script *x, const uint8_t *pixels, int n)
{
    int h = x->job->input_height, w = x->job->input_width;
    pg_builder b = {.pass = PG_PASS_EVAL, .scope = x->s};
    pg_tensor *u = x->t->from_data(x->s, pixels, PG_T_U8, 4, (const int64_t[]){n, 3, h, w});
    u = x->t->affine(x->s, x->t->to_type(x->s, u, PG_T_F32), 1.0 / 255, 0);
    pg_value v = pg_layer_normalise(&b, pg_layer_input(&b, u, 3, h, w), &x->pixels);
    return x->t->to_type(x->s, x->t->script_call(x->s, x->module, v.tensor), PG_T_F32);
}

static int failed(const script *x)
{
    int e = pg_scope_check(x->s);
    return e ? pg_fail_at(e, "%s: the module does not take an image of %d x %d pixels", x->job->from, x->job->input_height, x->job->input_width) : PG_OK;
}

/* Positions and classes. */
static int ask_shape(script *x, int64_t shape[4])
{
    size_t size = (size_t)3 * (size_t)x->job->input_height * (size_t)x->job->input_width;
    uint8_t *grey = malloc(size);
    if (!grey)
        return pg_fail(PG_ENOMEM, "out of memory");
    memset(grey, 128, size);
    pg_tensor *u = answer(x, grey, 1);
    free(grey);
    int e = failed(x), rank = e ? 0 : x->t->rank(u);
    for (int i = 0; i < rank && i < 4; i++)
        shape[i] = x->t->size(u, i);
    if (!e && (rank != 4 || shape[0] != 1 || shape[1] < 2 || shape[1] > 100000 || shape[2] < 1 || shape[3] < 1))
        e = pg_fail(PG_EINPUT, "%s: the module answers with a tensor of rank %d; local logits of an image have the shape [1][classes][rows][columns]",
                    x->job->from, rank);
    x->t->scope_clear(x->s);
    return e;
}

/* ---- Options ---- */

static bool given(const pg_import_job *job, const char *option)
{
    size_t n = strlen(option);
    for (size_t i = 0; i < job->n_pairs; i++)
        if (strncmp(job->pairs[i], option, n) == 0 && job->pairs[i][n] == '=')
            return true;
    return false;
}

static int check_given(const pg_import_job *job)
{
    static const char *const needed[] = {"row_field", "column_field", "mean", "std"}, *const found[] = {"bytes", "rows", "columns"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!given(job, needed[i]))
            return pg_fail(PG_EINPUT, "a module does not tell its geometry nor how it wants pixels: --set %s=... is missing (`patchgauge help model torchscript`)",
                           needed[i]);
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        if (given(job, found[i]))
            return pg_fail(PG_EINPUT, "--set %s: the module itself tells", found[i]);
    return job->half || job->key || job->ignore_rest ? pg_fail(PG_EUSAGE, "--half, --key and --ignore-rest are for files of tensors, not for a TorchScript module") : PG_OK;
}

static int configure(script *x, const int64_t shape[4])
{
    const char *pairs[64];
    char found[3][40];
    size_t n = 0;
    snprintf(found[0], sizeof found[0], "bytes=%zu", x->size);
    snprintf(found[1], sizeof found[1], "rows=%lld", (long long)shape[2]);
    snprintf(found[2], sizeof found[2], "columns=%lld", (long long)shape[3]);
    for (size_t i = 0; i < 3; i++)
        pairs[n++] = found[i];
    for (size_t i = 0; i < x->job->n_pairs && n < 64; i++)
        pairs[n++] = x->job->pairs[i];
    int e = pg_module_configure(&model()->module, "model", pairs, n, x->config);
    if (!e)
        e = model()->geometry(x->config, x->job->input_height, x->job->input_width, (int)shape[1], &x->geometry);
    for (const pg_option *row = model()->module.options; !e && row->name; row++) {
        if (strcmp(row->name, "mean") == 0)
            memcpy(&x->pixels.mean, x->config + row->offset, sizeof x->pixels.mean);
        if (strcmp(row->name, "std") == 0)
            memcpy(&x->pixels.std, x->config + row->offset, sizeof x->pixels.std);
    }
    return e ? pg_fail_at(e, "%s", x->job->from) : PG_OK;
}

/* ---- Trying the geometry ---- */

static bool reached(const pg_geometry *g, int row, int column, int top, int left, int height, int width)
{
    return pg_axis_meets(&g->rows, g->input_height, row, top, height) && pg_axis_meets(&g->columns, g->input_width, column, left, width);
}

/* What is no rounding: a tenth of a thousandth of the largest logit. What convolutions leak by rounding is far less, a field too small or
 * a batch that mixes far more. */
static float least_change(const float *a, const float *b, size_t values)
{
    float largest = 0;
    for (size_t i = 0; i < values; i++)
        largest = isfinite(a[i]) && isfinite(b[i]) ? fmaxf(largest, fmaxf(fabsf(a[i]), fabsf(b[i]))) : INFINITY;
    return 1e-4f * largest;
}

static int compare(const script *x, const float *before, const float *after, int top, int left, int height, int width)
{
    const pg_geometry *g = &x->geometry;
    int rows = g->rows.positions, columns = g->columns.positions;
    size_t map = (size_t)rows * (size_t)columns, values = map * (size_t)g->classes;
    float least = least_change(before, after, values);
    for (size_t i = 0; i < values; i++) {
        int row = (int)(i % map) / columns, column = (int)(i % map) % columns;
        if (!reached(g, row, column, top, left, height, width) && fabsf(after[i] - before[i]) > least)
            return pg_fail(PG_EINPUT,
                           "%s: a patch of %dx%d pixels at row %d, column %d changes the logits of position (%d, %d), which does not see it with the "
                           "stated geometry: field, stride or padding are others",
                           x->job->from, height, width, top, left, row, column);
    }
    return PG_OK;
}

/* Two images alone and in one batch: copies of an image whose patch is hidden have to be answered as if those that show it were not there.
 */
static int compare_company(const script *x, const float *alone, const float *together, size_t values)
{
    float least = least_change(alone, together, values);
    if (!isfinite(least))
        return pg_fail(PG_EINPUT, "%s: a local logit is not finite", x->job->from);
    for (size_t i = 0; i < values; i++)
        if (fabsf(together[i] - alone[i]) > least)
            return pg_fail(PG_EINPUT,
                           "%s: the logits of an image are others when another image is in its batch, or by chance: normalisation by the batch or "
                           "dropout in the module? Certificates need an answer to each image on its own",
                           x->job->from);
    return PG_OK;
}

/* A random image, `pixels`, and behind it the same with a random patch: logits of both, alone and together; each buffer holds two. */
static int try_patch(const script *x, uint32_t trial, uint8_t *pixels, float *alone, float *together)
{
    int h = x->job->input_height, w = x->job->input_width;
    const pg_geometry *g = &x->geometry;
    int64_t values = (int64_t)g->rows.positions * g->columns.positions * g->classes;
    size_t size = (size_t)3 * (size_t)h * (size_t)w;
    uint8_t *patched = pixels + size;
    pg_rng rng = pg_rng_make(1, PG_STREAM_LOCALITY, trial);
    for (size_t i = 0; i < size; i++)
        pixels[i] = patched[i] = (uint8_t)pg_rng_below(&rng, 256);
    int height = 1 + (int)pg_rng_below(&rng, (uint32_t)(h + 3) / 4), width = 1 + (int)pg_rng_below(&rng, (uint32_t)(w + 3) / 4);
    int top = (int)pg_rng_below(&rng, (uint32_t)(h - height + 1)), left = (int)pg_rng_below(&rng, (uint32_t)(w - width + 1));
    for (int c = 0; c < 3; c++)
        for (int y = top; y < top + height; y++)
            for (int k = left; k < left + width; k++)
                patched[(c * h + y) * w + k] = (uint8_t)(255 * pg_rng_below(&rng, 2));
    x->t->read(x->s, answer(x, pixels, 1), alone, PG_T_F32, values);
    x->t->read(x->s, answer(x, patched, 1), alone + values, PG_T_F32, values);
    x->t->read(x->s, answer(x, pixels, 2), together, PG_T_F32, 2 * values);
    int e = failed(x);
    x->t->scope_clear(x->s);
    if (!e)
        e = compare_company(x, alone, together, 2 * (size_t)values);
    return e ? e : compare(x, alone, alone + values, top, left, height, width);
}

static int try_geometry(const script *x)
{
    const pg_geometry *g = &x->geometry;
    size_t values = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    uint8_t *pixels = malloc((size_t)6 * (size_t)g->input_height * (size_t)g->input_width);
    float *alone = malloc(2 * values * sizeof *alone), *together = malloc(2 * values * sizeof *together);
    int e = pixels && alone && together ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (uint32_t i = 0; !e && i < TRIALS; i++)
        e = try_patch(x, i, pixels, alone, together);
    free(pixels);
    free(alone);
    free(together);
    return e;
}

/* ---- Writing ---- */

static void report_axis(const char *name, const pg_axis *a, pg_buf *out)
{
    if (a->field == 0)
        pg_buf_printf(out, "%-12s %d, each sees everything\n", name, a->positions);
    else
        pg_buf_printf(out, "%-12s %d, receptive field %d px, stride %d px, padding %d px%s\n", name, a->positions, a->field, a->stride, a->padding,
                      a->wrap ? ", wraps" : "");
}

static int write_module(const script *x, pg_buf *report)
{
    const char *slash = strrchr(x->job->from, '/'), *base = slash ? slash + 1 : x->job->from;
    const pg_geometry *g = &x->geometry;
    pg_st_tensor tensor = {.name = "script.module", .dtype = PG_ST_U8, .rank = 1, .shape = {(int64_t)x->size}, .data = x->bytes, .size = x->size};
    pg_buf command, source;
    pg_buf_init(&command);
    pg_buf_init(&source);
    pg_buf_printf(&command, "patchgauge model import torchscript %s --input %dx%d --trust", base, g->input_height, g->input_width);
    for (size_t i = 0; i < x->job->n_pairs; i++)
        pg_buf_printf(&command, " --set %s", x->job->pairs[i]);
    pg_buf_printf(&source, "%s sha256 %s", base, x->hash);
    int e = pg_buf_check(&command);
    if (!e)
        e = pg_buf_check(&source);
    if (!e)
        e = pg_weights_write(x->job->out, &tensor, 1,
                             &(pg_weights_record){.model = model(), .config = x->config, .input_height = g->input_height, .input_width = g->input_width,
                                                  .classes = g->classes, .command = command.data, .source = source.data});
    pg_buf_printf(report, "%-12s %s (TorchScript), sha256 %s\n%-12s 3 x %d x %d pixels, %d classes\n", "file", x->job->from, x->hash, "input",
                  g->input_height, g->input_width, g->classes);
    report_axis("rows", &g->rows, report);
    report_axis("columns", &g->columns, report);
    pg_buf_printf(report, "%-12s %d random patches change no position outside the stated fields and no other image of a batch; that is evidence and no proof\n", "tried", (int)TRIALS);
    pg_buf_release(&command);
    pg_buf_release(&source);
    return e;
}

int pg_script_import(const pg_import_job *job, pg_buf *report)
{
    script x = {.job = job, .pixels = {.std = {{1, 1, 1}}}};
    int64_t shape[4] = {0};
    int e = pg_script_trusted(job->from);
    if (!e)
        e = check_given(job);
    if (!e)
        e = open_script(&x);
    if (!e)
        e = ask_shape(&x, shape);
    if (!e)
        e = configure(&x, shape);
    if (!e)
        e = try_geometry(&x);
    if (!e)
        e = write_module(&x, report);
    if (x.t) {
        x.t->script_close(x.module);
        x.t->scope_free(x.s);
    }
    free(x.bytes);
    return e ? e : pg_buf_check(report);
}
