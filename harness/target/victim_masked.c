/* Victims behind a defense of images. See victim.h. */
#include "harness/target/victim.h"

#include "harness/base/memory.h"
#include "harness/target/paste.h"

#include <stdlib.h>
#include <string.h>

typedef struct masked_slot {
    pg_example example; /* as the undefended network has it: with `logits` */
    float *logits;      /* its map of the clean image */
    int top, left;
} masked_slot;

typedef struct masked {
    pg_victim victim; /* first: attacks see this */
    pg_victim_request r;
    pg_victim *bare; /* the undefended network */
    _Alignas(16) uint8_t mean[PG_CONFIG_MAX];
    pg_evaluator *bare_evaluator; /* the mean of its local logits */
    masked_slot *slots;
    int n;            /* images of the last pass, */
    int *order;       /* [slots] in which slots they are, */
    uint8_t *patches; /* [slots][3][patch_height][patch_width] and the patches on them */
    pg_paste paste;
    uint8_t *pixels;  /* one image */
    float *logits;    /* its map of masked images */
    float *clean;     /* the undefended network's map of one image */
    pg_memory memory; /* of all arrays */
} masked;

static size_t patch_of(const pg_victim *v) { return (size_t)3 * (size_t)v->patch_height * (size_t)v->patch_width; }

static int masked_hold(pg_victim *victim, int index, const pg_example *example, int top, int left)
{
    masked *d = (masked *)victim;
    masked_slot *x = &d->slots[index];
    bool same = x->example.pixels == example->pixels && x->example.index == example->index;
    int code = same
                   ? PG_OK
                   : pg_network_forward(pg_network_base(d->r.network), pg_example_input(example), example->index, 1, x->logits);
    if (code != PG_OK)
        return code;
    x->example = *example;
    x->example.logits = x->logits;
    x->top = top;
    x->left = left;
    return d->bare->ops->hold(d->bare, index, &x->example, top, left);
}

static void round_patches(masked *d, int n, const int *slots, const float *patches)
{
    size_t values = (size_t)n * patch_of(&d->victim);
    d->n = n;
    memcpy(d->order, slots, (size_t)n * sizeof *slots);
    for (size_t i = 0; i < values; i++)
        d->patches[i] = pg_pixel_round(patches[i]);
}

static struct pg_tensor *masked_scores(pg_victim *victim, int n, const int *slots, const float *patches, int kind)
{
    masked *d = (masked *)victim;
    round_patches(d, n, slots, patches);
    return d->bare->ops->scores(d->bare, n, slots, patches, kind);
}

static struct pg_tensor *masked_local_logits(pg_victim *victim, int n, const int *slots, const float *patches)
{
    masked *d = (masked *)victim;
    round_patches(d, n, slots, patches);
    return d->bare->ops->local_logits(d->bare, n, slots, patches);
}

static int masked_gradient(pg_victim *victim, struct pg_tensor *loss, float *out)
{
    masked *d = (masked *)victim;
    return d->bare->ops->gradient(d->bare, loss, out);
}

static int masked_saliency(pg_victim *victim, const pg_example *example, float *out)
{
    masked *d = (masked *)victim;
    pg_example bare = *example;
    bare.logits = d->clean;
    int code = pg_network_forward(pg_network_base(d->r.network), pg_example_input(example), example->index, 1, d->clean);
    return code == PG_OK ? d->bare->ops->saliency(d->bare, &bare, out) : code;
}

static int masked_evaluate(pg_victim *victim, int i, int *prediction)
{
    masked *d = (masked *)victim;
    const masked_slot *x = &d->slots[d->order[i]];
    int code = d->bare->ops->evaluate(d->bare, i, prediction);
    if (code != PG_OK || *prediction == x->example.label)
        return code;
    code = pg_paste_patch(&d->paste, x->example.pixels, d->patches + (size_t)i * patch_of(victim), x->top, x->left, d->pixels);
    if (code == PG_OK)
        code = pg_network_forward_wanted(d->r.network, d->pixels, x->example.index, 1, NULL, d->logits);
    if (code == PG_OK)
        *prediction = pg_evaluator_logits(d->r.evaluator, d->logits);
    return code;
}

static bool masked_stopping(pg_victim *victim)
{
    masked *d = (masked *)victim;
    return d->bare->ops->stopping(d->bare);
}

static void masked_close(pg_victim *victim)
{
    masked *d = (masked *)victim;
    pg_victim_close(d->bare);
    pg_evaluator_free(d->bare_evaluator);
    pg_paste_release(&d->paste);
    pg_memory_free(&d->memory);
    free(d);
}

static int open_bare(masked *d)
{
    pg_victim_request r = d->r;
    r.network = pg_network_base(r.network);
    const pg_defense *mean = pg_defense_find("mean");
    const pg_geometry *g = &pg_network_info(r.network)->geometry;
    int code = pg_module_configure(&mean->module, "defense", NULL, 0, d->mean);
    int height = r.patch_height, width = r.patch_width; /* of what a patch changes */
    if (code == PG_OK && r.resize)
        code = pg_resize_affected_pixels(r.resize, r.patch_height, r.patch_width, &height, &width);
    pg_window window = {pg_axis_window(&g->rows, g->input_height, height), pg_axis_window(&g->columns, g->input_width, width)};
    if (code == PG_OK)
        code = pg_evaluator_new(g, mean, d->mean, window, &d->bare_evaluator);
    r.evaluator = d->bare_evaluator;
    if (code == PG_OK)
        code = pg_victim_crop_open(&r, g, &d->bare);
    if (code == PG_OK)
        pg_victim_set_sizes(d->bare, &r, g);
    return code;
}

static int make_room(masked *d, const pg_geometry *bare, const pg_geometry *map)
{
    size_t slots = (size_t)d->r.slots, patch = (size_t)3 * (size_t)d->r.patch_height * (size_t)d->r.patch_width;
    size_t values = (size_t)map->rows.positions * (size_t)map->columns.positions * (size_t)map->classes;
    size_t local = (size_t)bare->rows.positions * (size_t)bare->columns.positions * (size_t)bare->classes;
    d->slots = pg_memory_take(&d->memory, slots, sizeof *d->slots);
    for (size_t i = 0; d->slots && i < slots; i++)
        d->slots[i].logits = pg_memory_take(&d->memory, local, sizeof(float));
    d->clean = pg_memory_take(&d->memory, local, sizeof *d->clean);
    d->order = pg_memory_take(&d->memory, slots, sizeof *d->order);
    d->patches = pg_memory_take(&d->memory, slots, patch);
    d->pixels = pg_memory_take(&d->memory, (size_t)bare->input_height * (size_t)bare->input_width, 3);
    d->logits = pg_memory_take(&d->memory, values, sizeof *d->logits);
    return pg_memory_check(&d->memory, "%d images under attack", d->r.slots);
}

static const pg_victim_ops masked_ops = {.hold = masked_hold,
                                         .scores = masked_scores,
                                         .local_logits = masked_local_logits,
                                         .gradient = masked_gradient,
                                         .evaluate = masked_evaluate,
                                         .saliency = masked_saliency,
                                         .stopping = masked_stopping,
                                         .close = masked_close};

int pg_victim_masked_open(const pg_victim_request *r, pg_victim **out)
{
    const pg_geometry *map = &pg_network_info(r->network)->geometry;
    masked *d = calloc(1, sizeof *d);
    if (!d)
        return pg_fail(PG_ENOMEM, "out of memory");
    d->r = *r;
    const pg_geometry *bare = &pg_network_info(pg_network_base(r->network))->geometry;
    int code = make_room(d, bare, map);
    if (code == PG_OK)
        code = pg_paste_init(&d->paste, r->resize, bare, r->patch_height, r->patch_width);
    if (code == PG_OK)
        code = open_bare(d);
    if (code != PG_OK) {
        masked_close(&d->victim);
        return code;
    }
    d->victim = (pg_victim){.ops = &masked_ops, .scope = d->bare->scope};
    *out = &d->victim;
    return PG_OK;
}
