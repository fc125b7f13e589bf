/* Victims of networks with gradients. See victim.h. Images in slots are put together into tensors once (a batch) and serve
 * every pass over the same slots; a pass then uploads patches, and downloads gradients and the local logits of the crops. */
#include "harness/target/victim.h"

#include "harness/base/memory.h"
#include "harness/target/resized_patch.h"
#include "models/torch/torch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One image with a place for a patch. */
typedef struct slot {
    int label;     /* -1: empty */
    uint64_t held; /* number of the `hold` that filled it */
    bool finite;   /* the logits outside the crop */
    pg_crop crop;
    float *logits;        /* clean map [classes][H * W] */
    int32_t *q;           /* its evidence [H * W][classes]; inside the crop: of the last image evaluated */
    uint8_t *pixels;      /* of the crop, [3][height * width], 0 where the patch lies */
    int64_t *patch_at;    /* [height * width] of the crop: the pixel of the patch there, patch_pixels for none */
    int64_t *position_at; /* [positions of the crop]: where they lie on the map */
} slot;

/* Slots whose patches have one size, and the tensors of the last pass over them; all owned. */
typedef struct stage {
    pg_rect patch;                   /* its size; with a resized_patch, that of what it changes */
    pg_resized_patch *resized_patch; /* NULL: the patch is put on what the network takes */
    int64_t own;                     /* pixels of a patch as attacks have it */
    int crop_height, crop_width, positions;
    int n_slots;
    slot *slots;
    int n;                                                     /* images of the last pass */
    int *order;                                                /* [n] their slots, */
    uint64_t *held;                                            /* [n] as they were filled */
    pg_tensor *pixels, *patch_at, *map, *position_at, *labels; /* of the batch */
    pg_tensor *leaf, *local;                                   /* of the pass: patches; logits of the crops */
    bool local_read;
    float *values;    /* [n][positions][classes]: `local` on the host, if local_read */
    uint8_t *rounded; /* [n_slots][3][own] */
    pg_crop *crops;   /* [n_slots] */
    pg_memory memory; /* of all arrays */
} stage;

typedef struct defended {
    pg_victim victim; /* first: attacks see this */
    pg_victim_request r;
    pg_geometry geometry;
    const pg_torch *torch;
    uint64_t holds;
    stage stage;
    stage whole; /* one slot with a patch as large as the image; made when it is first used */
    int32_t *q;  /* evidence of one crop */
} defended;

/* ---- Stages ---- */

static void stage_drop(const pg_torch *t, stage *s)
{
    pg_tensor **tensors[] = {&s->pixels, &s->patch_at, &s->map, &s->position_at, &s->labels, &s->leaf, &s->local};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        t->tensor_free(*tensors[i]);
        *tensors[i] = NULL;
    }
}

static void stage_release(const pg_torch *t, stage *s)
{
    stage_drop(t, s);
    pg_resized_patch_free(s->resized_patch);
    pg_memory_free(&s->memory);
    *s = (stage){0};
}

/* Slots for patches of this size; with a resize they are put on before it. */
static int stage_init(const defended *d, pg_rect patch, const pg_resizing *resize, int n_slots, stage *s)
{
    const pg_geometry *g = &d->geometry;
    size_t own = (size_t)patch.height * (size_t)patch.width;
    pg_resized_patch *resized_patch = NULL;
    int code =
        resize ? pg_resized_patch_new(resize, patch.height, patch.width, n_slots, d->victim.scope, &resized_patch) : PG_OK;
    if (code != PG_OK)
        return code;
    patch = resized_patch ? pg_resized_patch_size(resized_patch) : patch;
    pg_crop crop = pg_network_crop(d->r.network, patch);
    size_t map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    *s = (stage){.patch = patch,
                 .resized_patch = resized_patch,
                 .own = (int64_t)own,
                 .crop_height = crop.pixels.height,
                 .crop_width = crop.pixels.width,
                 .positions = crop.positions.height * crop.positions.width,
                 .n_slots = n_slots};
    size_t pixels = (size_t)s->crop_height * (size_t)s->crop_width, positions = (size_t)s->positions;
    s->slots = pg_memory_take(&s->memory, (size_t)n_slots, sizeof *s->slots);
    s->order = pg_memory_take(&s->memory, (size_t)n_slots, sizeof *s->order);
    s->held = pg_memory_take(&s->memory, (size_t)n_slots, sizeof *s->held);
    s->values = pg_memory_take(&s->memory, (size_t)n_slots * positions * (size_t)g->classes, sizeof *s->values);
    s->rounded = pg_memory_take(&s->memory, (size_t)n_slots * 3, own);
    s->crops = pg_memory_take(&s->memory, (size_t)n_slots, sizeof *s->crops);
    for (int i = 0; s->slots && i < n_slots; i++)
        s->slots[i] = (slot){.label = -1,
                             .logits = pg_memory_take(&s->memory, map, sizeof(float)),
                             .q = pg_memory_take(&s->memory, map, sizeof(int32_t)),
                             .pixels = pg_memory_take(&s->memory, pixels, 3),
                             .patch_at = pg_memory_take(&s->memory, pixels, sizeof(int64_t)),
                             .position_at = pg_memory_take(&s->memory, positions, sizeof(int64_t))};
    return pg_memory_check(&s->memory, "%d images under attack", n_slots);
}

/* Pixels of the crop, and which of them are the patch's. */
static void fill_pixels(const pg_geometry *g, const stage *s, slot *x, const uint8_t *pixels, pg_rect patch)
{
    int64_t none = (int64_t)patch.height * patch.width;
    size_t plane = (size_t)s->crop_height * (size_t)s->crop_width, image = (size_t)g->input_height * (size_t)g->input_width;
    for (int y = 0; y < s->crop_height; y++)
        for (int c = 0; c < s->crop_width; c++) {
            int row = (x->crop.pixels.top + y) % g->input_height, column = (x->crop.pixels.left + c) % g->input_width;
            bool inside =
                row >= patch.top && row < patch.top + patch.height && column >= patch.left && column < patch.left + patch.width;
            size_t at = (size_t)y * (size_t)s->crop_width + (size_t)c;
            x->patch_at[at] = inside ? (int64_t)(row - patch.top) * patch.width + (column - patch.left) : none;
            for (size_t p = 0; p < 3; p++)
                x->pixels[p * plane + at] =
                    inside ? 0 : pixels[p * image + (size_t)row * (size_t)g->input_width + (size_t)column];
        }
}

static void fill_positions(const pg_geometry *g, slot *x)
{
    pg_rect r = x->crop.positions;
    for (int y = 0; y < r.height; y++)
        for (int c = 0; c < r.width; c++)
            x->position_at[y * r.width + c] =
                (int64_t)((r.top + y) % g->rows.positions) * g->columns.positions + (r.left + c) % g->columns.positions;
}

/* The clean map as the surrogate wants it, and the evidence of what the patch cannot touch. Inside the crop both are made by a
 * pass. */
static int fill_map(const defended *d, const stage *s, slot *x, const float *logits)
{
    const pg_geometry *g = &d->geometry;
    size_t positions = (size_t)g->rows.positions * (size_t)g->columns.positions, classes = (size_t)g->classes;
    float *outside = malloc(positions * classes * sizeof *outside);
    if (!outside)
        return pg_fail(PG_ENOMEM, "out of memory");
    memcpy(outside, logits, positions * classes * sizeof *outside);
    for (int p = 0; p < s->positions; p++)
        memset(outside + (size_t)x->position_at[p] * classes, 0, classes * sizeof *outside);
    x->finite = pg_evaluator_evidence(d->r.evaluator, outside, positions, x->q);
    for (size_t p = 0; p < positions; p++)
        for (size_t c = 0; c < classes; c++)
            x->logits[c * positions + p] = outside[p * classes + c];
    free(outside);
    return PG_OK;
}

static int stage_hold(defended *d, stage *s, int index, const pg_example *example, int top, int left)
{
    const pg_geometry *g = &d->geometry;
    slot *x = &s->slots[index];
    pg_rect patch = {.top = top, .left = left, .height = s->patch.height, .width = s->patch.width};
    int code = s->resized_patch ? pg_resized_patch_hold(s->resized_patch, index, example->pixels, top, left, &patch) : PG_OK;
    if (code != PG_OK)
        return code;
    x->label = example->label;
    x->held = ++d->holds;
    x->crop = pg_network_crop(d->r.network, patch);
    fill_pixels(g, s, x, pg_example_input(example), patch);
    fill_positions(g, x);
    return fill_map(d, s, x, example->logits);
}

/* ---- Passes ---- */

/* bytes[n][item] of each slot, one behind the other, as a tensor of this shape that outlives the scope. */
static pg_tensor *gather_slots(const defended *d, const stage *s, size_t offset, size_t bytes, pg_tensor_type type, int rank,
                               const int64_t *shape)
{
    pg_scope *scope = d->victim.scope;
    char *all = malloc((size_t)s->n * bytes);
    if (!all) {
        scope->error = pg_fail(PG_ENOMEM, "out of memory for %d images under attack", s->n);
        memcpy(scope->message, pg_error_message(), sizeof scope->message);
        return NULL;
    }
    for (int i = 0; i < s->n; i++) {
        const void *item;
        memcpy(&item, (const char *)&s->slots[s->order[i]] + offset, sizeof item);
        memcpy(all + (size_t)i * bytes, item, bytes);
    }
    pg_tensor *x = d->torch->from_data(scope, all, type, rank, shape);
    free(all);
    return x;
}

/* True where the tensors of the batch are those of these slots. */
static bool is_same_batch(const stage *s, int n, const int *slots)
{
    bool same = s->labels && s->n == n;
    for (int i = 0; same && i < n; i++)
        same = s->order[i] == slots[i] && s->held[i] == s->slots[slots[i]].held;
    return same;
}

static void make_batch(const defended *d, stage *s, int n, const int *slots)
{
    pg_scope *scope = d->victim.scope;
    const pg_torch *t = d->torch;
    const pg_geometry *g = &d->geometry;
    int64_t pixels = (int64_t)s->crop_height * s->crop_width, map = (int64_t)g->rows.positions * g->columns.positions;
    stage_drop(t, s);
    s->n = n;
    int64_t *labels = malloc((size_t)n * sizeof *labels);
    for (int i = 0; i < n; i++) {
        s->order[i] = slots[i];
        s->held[i] = s->slots[slots[i]].held;
        if (labels)
            labels[i] = s->slots[slots[i]].label;
    }
    bool recorded = t->grad_mode(false);
    pg_tensor *x = gather_slots(d, s, offsetof(slot, pixels), 3 * (size_t)pixels, PG_T_U8, 3, (int64_t[]){n, 3, pixels});
    x = t->affine(scope, t->to_type(scope, x, PG_T_F32), 1.0 / 255, 0); /* as the deployed path does it */
    s->pixels = t->keep(scope, x);
    x = gather_slots(d, s, offsetof(slot, patch_at), (size_t)pixels * sizeof(int64_t), PG_T_I64, 3, (int64_t[]){n, 1, pixels});
    s->patch_at = t->keep(scope, t->expand(scope, x, 3, (int64_t[]){n, 3, pixels}));
    size_t bytes = (size_t)map * (size_t)g->classes * sizeof(float);
    x = gather_slots(d, s, offsetof(slot, logits), bytes, PG_T_F32, 3, (int64_t[]){n, g->classes, map});
    s->map = t->keep(scope, x);
    bytes = (size_t)s->positions * sizeof(int64_t);
    x = gather_slots(d, s, offsetof(slot, position_at), bytes, PG_T_I64, 3, (int64_t[]){n, 1, s->positions});
    s->position_at = t->keep(scope, t->expand(scope, x, 3, (int64_t[]){n, g->classes, s->positions}));
    s->labels = t->keep(scope, labels ? t->from_data(scope, labels, PG_T_I64, 1, (int64_t[]){n}) : NULL);
    if (s->resized_patch)
        pg_resized_patch_batch(s->resized_patch, n, slots);
    t->grad_mode(recorded);
    free(labels);
}

/* The patches, rounded: the leaf that gradients are taken of, [n][3][own]. */
static pg_tensor *make_leaf(defended *d, stage *s, const float *patches)
{
    pg_scope *scope = d->victim.scope;
    const pg_torch *t = d->torch;
    size_t values = (size_t)s->n * 3 * (size_t)s->own;
    for (size_t i = 0; i < values; i++)
        s->rounded[i] = pg_pixel_round(patches[i]);
    t->tensor_free(s->leaf);
    pg_tensor *x = t->from_data(scope, s->rounded, PG_T_U8, 3, (int64_t[]){s->n, 3, s->own});
    x = t->detach(scope, t->affine(scope, t->to_type(scope, x, PG_T_F32), 1.0 / 255, 0));
    s->leaf = t->keep(scope, x);
    t->requires_grad(scope, x, true);
    return x;
}

/* Local logits of the crops with the patches in them: [n][classes][positions]. */
static pg_tensor *pass(defended *d, stage *s, int n, const int *slots, const float *patches)
{
    pg_scope *scope = d->victim.scope;
    const pg_torch *t = d->torch;
    if (!is_same_batch(s, n, slots))
        make_batch(d, s, n, slots);
    pg_tensor *x = make_leaf(d, s, patches);
    for (int i = 0; i < n; i++)
        s->crops[i] = s->slots[slots[i]].crop;
    x = s->resized_patch ? pg_resized_patch_pixels(s->resized_patch, x) : x;
    x = t->pad(scope, x, 2, (int64_t[]){0, 1}, 0); /* a last pixel of 0 stands for none */
    x = t->add(scope, s->pixels, t->gather(scope, x, 2, s->patch_at));
    x = t->reshape(scope, x, 4, (int64_t[]){n, 3, s->crop_height, s->crop_width});
    x = pg_network_crop_logits(d->r.network, x, s->crops, n);
    x = t->reshape(scope, x, 3, (int64_t[]){n, d->geometry.classes, s->positions});
    t->tensor_free(s->local);
    s->local = t->keep(scope, t->detach(scope, x));
    s->local_read = false;
    return x;
}

/* Scores [n][classes] of whole maps that hold these local logits. */
static pg_tensor *score(const defended *d, const stage *s, pg_tensor *local, int kind)
{
    pg_scope *scope = d->victim.scope;
    const pg_torch *t = d->torch;
    const pg_map *map = pg_evaluator_map(d->r.evaluator);
    pg_tensor *x = t->scatter(scope, s->map, 2, s->position_at, local);
    x = t->reshape(scope, x, 4, (int64_t[]){s->n, map->classes, map->height, map->width});
    const pg_defense *defense = pg_evaluator_defense(d->r.evaluator);
    if (defense->surrogate && !d->r.gradient_of_mean)
        return defense->surrogate(scope, pg_evaluator_config(d->r.evaluator), kind, map, x, s->labels);
    return t->mean(scope, x, 2, (int64_t[]){2, 3}, false);
}

/* ---- What an attack calls ---- */

static int hold(pg_victim *victim, int index, const pg_example *example, int top, int left)
{
    defended *d = (defended *)victim;
    int height = victim->image_height, width = victim->image_width, h = victim->patch_height, w = victim->patch_width;
    if (top < 0 || left < 0 || top > height - h || left > width - w)
        return pg_fail(PG_EINPUT, "a patch of %dx%d pixels at row %d, column %d does not lie in an image of %dx%d", h, w, top,
                       left, height, width);
    return stage_hold(d, &d->stage, index, example, top, left);
}

static pg_tensor *scores(pg_victim *victim, int n, const int *slots, const float *patches, int kind)
{
    defended *d = (defended *)victim;
    return score(d, &d->stage, pass(d, &d->stage, n, slots, patches), kind);
}

static pg_tensor *local_logits(pg_victim *victim, int n, const int *slots, const float *patches)
{
    defended *d = (defended *)victim;
    return pass(d, &d->stage, n, slots, patches);
}

static int stage_gradient(const defended *d, const stage *s, pg_tensor *loss, float *out)
{
    pg_scope *scope = d->victim.scope;
    int64_t values = (int64_t)s->n * 3 * s->own;
    d->torch->read(scope, d->torch->grad(scope, loss, s->leaf), out, PG_T_F32, values);
    return pg_scope_check(scope);
}

static int gradient(pg_victim *victim, pg_tensor *loss, float *out)
{
    defended *d = (defended *)victim;
    return stage_gradient(d, &d->stage, loss, out);
}

static int read_local(defended *d, stage *s)
{
    pg_scope *scope = d->victim.scope;
    const pg_torch *t = d->torch;
    int64_t values = (int64_t)s->n * s->positions * d->geometry.classes;
    t->read(scope, t->permute(scope, s->local, 3, (int64_t[]){0, 2, 1}), s->values, PG_T_F32, values);
    s->local_read = scope->error == PG_OK;
    return pg_scope_check(scope);
}

static int evaluate(pg_victim *victim, int i, int *prediction)
{
    defended *d = (defended *)victim;
    stage *s = &d->stage;
    int code = s->local_read ? PG_OK : read_local(d, s);
    if (code != PG_OK)
        return code;
    slot *x = &s->slots[s->order[i]];
    size_t classes = (size_t)d->geometry.classes, positions = (size_t)s->positions;
    *prediction = -1;
    if (!x->finite || !pg_evaluator_evidence(d->r.evaluator, s->values + (size_t)i * positions * classes, positions, d->q))
        return PG_OK;
    for (size_t p = 0; p < positions; p++)
        memcpy(x->q + (size_t)x->position_at[p] * classes, d->q + p * classes, classes * sizeof *x->q);
    *prediction = pg_evaluator_predict(d->r.evaluator, x->q);
    return PG_OK;
}

/* The largest wrong score less that of the label. */
static pg_tensor *margin(pg_scope *scope, pg_tensor *scores_, int classes, int label)
{
    const pg_torch *t = scope->torch;
    pg_tensor *own = t->slice(scope, scores_, 1, label, label + 1, 1), *rest[2];
    int n = 0;
    if (label > 0)
        rest[n++] = t->slice(scope, scores_, 1, 0, label, 1);
    if (label + 1 < classes)
        rest[n++] = t->slice(scope, scores_, 1, label + 1, classes, 1);
    pg_tensor *rivals = n > 1 ? t->cat(scope, n, rest, 1) : rest[0];
    return t->sum(scope, t->sub(scope, t->amax(scope, rivals, 1, (int64_t[]){1}, true), own), 0, NULL, false);
}

static int saliency(pg_victim *victim, const pg_example *example, float *out)
{
    defended *d = (defended *)victim;
    const pg_geometry *g = &d->geometry;
    size_t image = (size_t)g->input_height * (size_t)g->input_width;
    float *values = malloc(3 * image * sizeof *values);
    int code = values ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK && !d->whole.slots)
        code = stage_init(d, (pg_rect){.height = g->input_height, .width = g->input_width}, NULL, 1, &d->whole);
    if (code == PG_OK)
        code = stage_hold(d, &d->whole, 0, example, 0, 0);
    if (code == PG_OK) {
        for (size_t i = 0; i < 3 * image; i++)
            values[i] = (float)pg_example_input(example)[i] / 255;
        bool recorded = d->torch->grad_mode(true);
        pg_tensor *x = score(d, &d->whole, pass(d, &d->whole, 1, (int[]){0}, values), 0);
        code = stage_gradient(d, &d->whole, margin(victim->scope, x, g->classes, example->label), values);
        d->torch->scope_clear(victim->scope);
        d->torch->grad_mode(recorded);
    }
    if (code == PG_OK && d->stage.resized_patch)
        code = pg_resized_patch_saliency(d->stage.resized_patch, values, out);
    for (size_t i = 0; code == PG_OK && !d->stage.resized_patch && i < image; i++)
        out[i] = fabsf(values[i]) + fabsf(values[image + i]) + fabsf(values[2 * image + i]);
    free(values);
    return code;
}

static bool stopping(pg_victim *victim)
{
    const pg_victim_request *r = &((defended *)victim)->r;
    return r->stopping && r->stopping();
}

/* ---- Opening and closing ---- */

static void close_defended(pg_victim *victim)
{
    defended *d = (defended *)victim;
    stage_release(d->torch, &d->stage);
    stage_release(d->torch, &d->whole);
    free(d);
}

static const pg_victim_ops defended_ops = {.hold = hold,
                                           .scores = scores,
                                           .local_logits = local_logits,
                                           .gradient = gradient,
                                           .evaluate = evaluate,
                                           .saliency = saliency,
                                           .stopping = stopping,
                                           .close = close_defended};

int pg_victim_crop_open(const pg_victim_request *r, const pg_geometry *g, pg_victim **out)
{
    defended *d = calloc(1, sizeof *d);
    if (!d)
        return pg_fail(PG_ENOMEM, "out of memory");
    d->r = *r;
    d->geometry = *g;
    pg_scope *scope = pg_network_scope(r->network);
    d->torch = scope->torch;
    d->victim = (pg_victim){.ops = &defended_ops, .scope = scope};
    scope->error = PG_OK;
    pg_rect patch = {.height = r->patch_height, .width = r->patch_width};
    int code = stage_init(d, patch, r->resize, r->slots, &d->stage);
    d->q = pg_memory_take(&d->stage.memory, (size_t)d->stage.positions * (size_t)g->classes, sizeof *d->q);
    if (code == PG_OK)
        code = pg_memory_check(&d->stage.memory, "the evidence of a crop");
    if (code == PG_OK)
        *out = &d->victim;
    else
        close_defended(&d->victim);
    return code;
}
