/* What `model import torchscript` asks of a module: its shape, whether it answers to each image on its own, and whether
 * positions see no more than the stated fields.
 *
 * A position sees rows and columns of pixels. So an image is compared with itself where every pixel outside the rows that one
 * row of positions sees is another, and then the same along columns: of the chosen rows and columns, all positions and all
 * pixels that they should not see are tried in one image each. Where all rows and columns are chosen, no pixel outside a field
 * is left out; where a map has more, random patches try the positions between. What is put there is by turns the extremes at
 * random, white and black: a field that is too small by a pixel shows with the first, and what depends on the whole image, as
 * its mean, with the others. */
#include "models/script_trial.h"
#include "models/torchscript.h"

#include "harness/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 16, LINES_MIN = 3, PATCHES = 8, COMPANY = 3, FILLS = 3 };

typedef struct trial {
    const pg_import_job *job;
    const pg_torch *t;
    pg_scope *s;
    pg_module_script *module;
    void (*tell)(void *context, int64_t done, int64_t total);
    void *context;         /* of tell */
    pg_script_setup setup; /* its pixels are plain until the shape is known */
    uint8_t *pixels;       /* COMPANY images, the first one is what trials change, and one behind them for what they change */
    float *logits;         /* likewise, and those of a company */
    size_t image, values;  /* pixels of an image, logits of one */
    int64_t done, total;
} trial;

int pg_script_configure(const pg_import_job *job, size_t bytes, const int64_t shape[4], pg_script_setup *out)
{
    const pg_model *model = pg_model_find("torchscript");
    const char *pairs[64];
    char found[3][40];
    size_t n = 0;
    snprintf(found[0], sizeof found[0], "bytes=%zu", bytes);
    snprintf(found[1], sizeof found[1], "rows=%lld", (long long)shape[2]);
    snprintf(found[2], sizeof found[2], "columns=%lld", (long long)shape[3]);
    for (size_t i = 0; i < 3; i++)
        pairs[n++] = found[i];
    for (size_t i = 0; i < job->n_pairs && n < 64; i++)
        pairs[n++] = job->pairs[i];
    int code = pg_module_configure(&model->module, "model", pairs, n, out->config);
    if (code == PG_OK)
        code = model->geometry(out->config, job->input_height, job->input_width, (int)shape[1], &out->geometry);
    for (const pg_option *row = model->module.options; code == PG_OK && row->name; row++) {
        if (strcmp(row->name, "mean") == 0)
            memcpy(&out->pixels.mean, out->config + row->offset, sizeof out->pixels.mean);
        if (strcmp(row->name, "std") == 0)
            memcpy(&out->pixels.std, out->config + row->offset, sizeof out->pixels.std);
    }
    return code != PG_OK ? pg_fail_at(code, "%s", job->from) : PG_OK;
}

/* ---- Asking ---- */

static pg_tensor *input(const trial *x, const uint8_t *pixels, int n)
{
    int h = x->job->input_height, w = x->job->input_width;
    pg_builder b = {.pass = PG_PASS_EVAL, .scope = x->s};
    pg_tensor *u = x->t->from_data(x->s, pixels, PG_T_U8, 4, (const int64_t[]){n, 3, h, w});
    u = x->t->affine(x->s, x->t->to_type(x->s, u, PG_T_F32), 1.0 / 255, 0);
    return pg_layer_normalise(&b, pg_layer_input(&b, u, 3, h, w), &x->setup.pixels).tensor;
}

/* What the module did wrong, in one line. Memory that it asks for and nobody has is its fault as well. */
static int failed(const trial *x)
{
    int code = pg_scope_check(x->s);
    if (code == PG_OK)
        return PG_OK;
    const char *what = pg_error_message();
    bool type = strcasestr(what, "double") || strcasestr(what, "half") || strcasestr(what, "bfloat16");
    return pg_fail(PG_EINPUT, "%s: the module fails on an image of %d x %d pixels: %s%s", x->job->from, x->job->input_height,
                   x->job->input_width, what,
                   type ? "; right would be a module of float32, module.float() before it is saved" : "");
}

/* Logits of n images, each [classes][rows][columns]. */
static int ask(trial *x, const uint8_t *pixels, int n, float *out)
{
    const pg_torch *t = x->t;
    const pg_geometry *g = &x->setup.geometry;
    const int64_t want[] = {n, g->classes, g->rows.positions, g->columns.positions};
    pg_tensor *answer = t->script_call(x->s, x->module, input(x, pixels, n));
    int code = failed(x);
    for (int i = 0; code == PG_OK && i < 4; i++)
        if (t->rank(answer) != 4 || t->size(answer, i) != want[i])
            code = pg_fail(PG_EINPUT, "%s: the module answers %d image%s with a tensor of another shape than one image alone",
                           x->job->from, n, n == 1 ? "" : "s");
    if (code == PG_OK)
        t->read(x->s, answer, out, PG_T_F32, (int64_t)n * (int64_t)x->values);
    if (code == PG_OK)
        code = failed(x);
    t->scope_clear(x->s);
    x->done += n;
    x->tell(x->context, x->done, x->total);
    return code;
}

/* Positions and classes, of a grey image. */
static int ask_shape(trial *x, int64_t shape[4])
{
    x->image = (size_t)3 * (size_t)x->job->input_height * (size_t)x->job->input_width;
    if (!(x->pixels = malloc((COMPANY + 1) * x->image)))
        return pg_fail(PG_ENOMEM, "out of memory");
    memset(x->pixels, 128, x->image);
    pg_tensor *answer = x->t->script_call(x->s, x->module, input(x, x->pixels, 1));
    int code = failed(x), rank = code != PG_OK ? 0 : x->t->rank(answer);
    for (int i = 0; i < rank && i < 4; i++)
        shape[i] = x->t->size(answer, i);
    if (code == PG_OK && (rank != 4 || shape[0] != 1 || shape[1] < 2 || shape[1] > 100000 || shape[2] < 1 || shape[2] > 4096 ||
                          shape[3] < 1 || shape[3] > 4096)) {
        pg_buf text = PG_BUF_EMPTY;
        for (int i = 0; i < rank && i < 4; i++)
            pg_buf_printf(&text, "[%lld]", (long long)shape[i]);
        code = pg_fail(PG_EINPUT,
                       "%s: the module answers one image with a tensor of rank %d, %s%s; local logits have the shape "
                       "[1][classes][rows][columns]",
                       x->job->from, rank, text.data, rank > 4 ? "..." : "");
        pg_buf_release(&text);
    }
    x->t->scope_clear(x->s);
    x->done++;
    return code;
}

/* Whether attacks can follow gradients from the logits to the pixels. */
static void ask_gradients(trial *x, bool *out)
{
    const pg_torch *t = x->t;
    bool before = t->grad_mode(true);
    pg_tensor *pixels = input(x, x->pixels, 1);
    t->requires_grad(x->s, pixels, true);
    pg_tensor *answer = t->script_call(x->s, x->module, t->affine(x->s, pixels, 1, 0));
    t->grad(x->s, t->sum(x->s, answer, 0, NULL, false), pixels);
    *out = x->s->error == PG_OK;
    x->s->error = PG_OK;
    t->scope_clear(x->s);
    t->grad_mode(before);
    x->tell(x->context, ++x->done, x->total);
}

/* ---- An answer to each image on its own, the same every time ---- */

/* What is no rounding: a tenth of a thousandth of the largest logit. What convolutions leak by rounding is far less, a field
 * too small or a batch that mixes far more. Infinite where a logit is no number. */
static float least_change(const float *logits, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = isfinite(logits[i]) ? fmaxf(largest, fabsf(logits[i])) : INFINITY;
    return 1e-4f * largest;
}

static bool differ(const float *a, const float *b, size_t n, float least)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= least))
            return true;
    return false;
}

/* Whether the first image is answered as it was. */
static int check_state(trial *x)
{
    float *again = x->logits + COMPANY * x->values;
    int code = ask(x, x->pixels, 1, again);
    if (code == PG_OK && differ(x->logits, again, x->values, least_change(x->logits, x->values)))
        code = pg_fail(PG_EINPUT,
                       "%s: the module answers the same image with other logits when it is asked again: it keeps a state, or "
                       "chance is in it (dropout?). Certificates need the same answer every time",
                       x->job->from);
    return code;
}

/* Images alone, again, together, and together in another order. Copies of an image whose patch is hidden have to be answered as
 * if those that show it were not there. */
static int try_company(trial *x)
{
    size_t values = x->values;
    float *alone = x->logits, *other = x->logits + COMPANY * values;
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < COMPANY; i++)
        code = ask(x, x->pixels + (size_t)i * x->image, 1, alone + (size_t)i * values);
    float least = least_change(alone, COMPANY * values);
    if (code == PG_OK && !isfinite(least))
        return pg_fail(PG_EINPUT, "%s: a local logit is not finite", x->job->from);
    if (code == PG_OK)
        code = check_state(x);
    if (code == PG_OK)
        code = ask(x, x->pixels, COMPANY, other);
    bool mixed = code == PG_OK && differ(alone, other, COMPANY * values, least);
    memcpy(x->pixels + COMPANY * x->image, x->pixels, x->image); /* the first one last */
    if (code == PG_OK && !mixed)
        code = ask(x, x->pixels + x->image, COMPANY, other);
    mixed = mixed || (code == PG_OK && (differ(alone + values, other, (COMPANY - 1) * values, least) ||
                                        differ(alone, other + (COMPANY - 1) * values, values, least)));
    return mixed ? pg_fail(PG_EINPUT,
                           "%s: the logits of an image are others when another image is in its batch: normalisation by the "
                           "batch in the module? Certificates need an answer to each image on its own",
                           x->job->from)
                 : code;
}

/* ---- The stated geometry ---- */

/* The place of a trial: the rows that one row of positions sees stay as they are, the same of columns, or all but a patch. */
typedef enum place_kind { ROWS, COLUMNS, PATCH } place_kind;
typedef struct place {
    place_kind kind;
    int position; /* of ROWS and COLUMNS */
    int top, left, height, width;
} place;

static bool is_changed(const pg_geometry *g, const place *p, int y, int x)
{
    if (p->kind == PATCH)
        return y >= p->top && y < p->top + p->height && x >= p->left && x < p->left + p->width;
    return p->kind == ROWS ? !pg_axis_meets(&g->rows, g->input_height, p->position, y, 1)
                           : !pg_axis_meets(&g->columns, g->input_width, p->position, x, 1);
}

/* Whether a position sees nothing of what is changed there. */
static bool is_spared(const pg_geometry *g, const place *p, int row, int column)
{
    if (p->kind == PATCH)
        return !pg_axis_meets(&g->rows, g->input_height, row, p->top, p->height) ||
               !pg_axis_meets(&g->columns, g->input_width, column, p->left, p->width);
    return p->kind == ROWS ? row == p->position : column == p->position;
}

/* Changes the image behind the others; false where there is nothing to change. */
static bool change(trial *x, const place *p, int fill, pg_rng *rng)
{
    const pg_geometry *g = &x->setup.geometry;
    int h = g->input_height, w = g->input_width;
    uint8_t *to = x->pixels + COMPANY * x->image;
    bool any = false;
    memcpy(to, x->pixels, x->image);
    for (int i = 0; i < 3 * h * w; i++) {
        if (!is_changed(g, p, i / w % h, i % w))
            continue;
        to[i] = fill == 0 ? (uint8_t)(255 * pg_rng_below(rng, 2)) : fill == 1 ? 255 : 0;
        any = true;
    }
    return any;
}

static int refuse_place(trial *x, const place *p, int row, int column)
{
    char what[120];
    int code = check_state(x);
    if (code != PG_OK)
        return code;
    if (p->kind == PATCH)
        snprintf(what, sizeof what, "a patch of %dx%d pixels at row %d, column %d", p->height, p->width, p->top, p->left);
    else
        snprintf(what, sizeof what, "a change of pixels outside the stated field, in other %s,",
                 p->kind == ROWS ? "rows" : "columns");
    return pg_fail(PG_EINPUT,
                   "%s: %s changes the logits of position (%d, %d), which does not see it with the stated geometry: field, "
                   "stride or padding are others",
                   x->job->from, what, row, column);
}

static int try_place(trial *x, const place *p, int fill, pg_rng *rng)
{
    const pg_geometry *g = &x->setup.geometry;
    int columns = g->columns.positions;
    size_t map = (size_t)g->rows.positions * (size_t)columns;
    float *after = x->logits + COMPANY * x->values, least = least_change(x->logits, x->values);
    if (!change(x, p, fill, rng)) {
        x->tell(x->context, ++x->done, x->total);
        return PG_OK;
    }
    int code = ask(x, x->pixels + COMPANY * x->image, 1, after);
    for (size_t i = 0; code == PG_OK && i < x->values; i++) {
        int row = (int)(i % map) / columns, column = (int)(i % map) % columns;
        if (is_spared(g, p, row, column) && !(fabsf(after[i] - x->logits[i]) <= least))
            code = refuse_place(x, p, row, column);
    }
    return code;
}

/* How many rows or columns of positions are tried; none where each sees all. */
static int lines(const pg_axis *a)
{
    return a->field == 0 ? 0 : a->positions < LINES_MIN ? LINES_MIN : a->positions < LINES_MAX ? a->positions : LINES_MAX;
}

/* From both ends to the middle, where paddings and strides that are not the stated ones show most; where there are few, again
 * with another fill. */
static int line_at(const pg_axis *a, int i, int n)
{
    int k = i % 2 ? n - 1 - i / 2 : i / 2;
    return n <= a->positions ? (int)((int64_t)k * (a->positions - 1) / (n - 1)) : i % a->positions;
}

static int try_lines(trial *x, place_kind kind, const pg_axis *a, pg_rng *rng)
{
    int code = PG_OK, n = lines(a);
    for (int i = 0; code == PG_OK && i < n; i++)
        code = try_place(x, &(place){.kind = kind, .position = line_at(a, i, n)}, i % FILLS, rng);
    return code;
}

static int patches(const pg_geometry *g) { return g->rows.field || g->columns.field ? PATCHES : 0; }

static int try_patches(trial *x, pg_rng *rng)
{
    const pg_geometry *g = &x->setup.geometry;
    int code = PG_OK, h = g->input_height, w = g->input_width;
    for (int i = 0; code == PG_OK && i < patches(g); i++) {
        place p = {.kind = PATCH,
                   .height = 1 + (int)pg_rng_below(rng, (uint32_t)(h + 3) / 4),
                   .width = 1 + (int)pg_rng_below(rng, (uint32_t)(w + 3) / 4)};
        p.top = (int)pg_rng_below(rng, (uint32_t)(h - p.height + 1));
        p.left = (int)pg_rng_below(rng, (uint32_t)(w - p.width + 1));
        code = try_place(x, &p, i % FILLS, rng);
    }
    return code;
}

/* ---- All of it ---- */

static int prepare(trial *x, const int64_t shape[4], size_t bytes)
{
    int code = pg_script_configure(x->job, bytes, shape, &x->setup);
    const pg_geometry *g = &x->setup.geometry;
    if (code != PG_OK)
        return code;
    x->values = (size_t)(shape[1] * shape[2] * shape[3]);
    x->total = 1 + COMPANY + 1 + 2 * COMPANY + lines(&g->rows) + lines(&g->columns) + patches(g) + 3;
    x->tell(x->context, x->done, x->total);
    return (x->logits = malloc(2 * COMPANY * x->values * sizeof *x->logits)) ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}

/* Images of noise, and one of extremes. */
static void make_company(trial *x, pg_rng *rng)
{
    for (size_t i = 0; i < COMPANY * x->image; i++)
        x->pixels[i] = i < (COMPANY - 1) * x->image ? (uint8_t)pg_rng_below(rng, 256) : (uint8_t)(255 * pg_rng_below(rng, 2));
}

static int open_module(trial *x, const char *bytes, size_t size)
{
    x->t->script_close(x->module);
    x->module = NULL;
    int code = pg_script_open(x->s, bytes, size, &x->module);
    if (code != PG_OK)
        return pg_fail_at(code, "%s", x->job->from);
    x->tell(x->context, x->done, x->total);
    return PG_OK;
}

static int ask_all(trial *x, const char *bytes, size_t size, pg_script_findings *out)
{
    pg_rng rng = pg_rng_make(1, PG_STREAM_LOCALITY, 0);
    const pg_geometry *g = &x->setup.geometry;
    int code = ask_shape(x, out->shape);
    if (code == PG_OK)
        code = prepare(x, out->shape, size);
    if (code == PG_OK) {
        make_company(x, &rng);
        code = try_company(x);
    }
    if (code == PG_OK)
        code = try_lines(x, ROWS, &g->rows, &rng);
    if (code == PG_OK)
        code = try_lines(x, COLUMNS, &g->columns, &rng);
    if (code == PG_OK)
        code = try_patches(x, &rng);
    if (code == PG_OK)
        ask_gradients(x, &out->gradients);
    if (code == PG_OK) /* a state may need a while to show, */
        code = check_state(x);
    if (code == PG_OK) /* or show at the start only, where every worker of a run is */
        code = open_module(x, bytes, size);
    if (code == PG_OK)
        code = check_state(x);
    out->images = (int)x->done;
    return code;
}

int pg_script_try(const pg_import_job *job, const char *bytes, size_t size,
                  void (*tell)(void *context, int64_t done, int64_t total), void *context, pg_script_findings *out)
{
    trial x = {.job = job, .tell = tell, .context = context, .total = 1, .setup.pixels = {.std = {{1, 1, 1}}}};
    int code = pg_torch_load(0, &x.t);
    if (code == PG_OK && !(x.s = x.t->scope_new()))
        code = pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK) {
        x.t->grad_mode(false);
        code = open_module(&x, bytes, size);
    }
    if (code == PG_OK)
        code = ask_all(&x, bytes, size, out);
    if (x.t) {
        x.t->script_close(x.module);
        x.t->scope_free(x.s);
    }
    free(x.pixels);
    free(x.logits);
    return code;
}
