/* Universal patch: one round patch, trained to work on any image, at any place, scale and rotation.
 *
 * Source: Brown et al. 2017 (Adversarial Patch): the expectation of log p(target) over images, places, scales and rotations is
 * raised. Differs: without a target the expectation of p(another class than the label) is raised, without the logarithm, by
 * which the images that resist most would rule; signed steps with a falling size, as in the other attacks here; the patch never
 * leaves its h x w rectangle (it is as large as that or smaller), so that certificates for that rectangle speak about it. The
 * rest of the rectangle shows the image.
 *
 * It is trained on the first `training_images` images of the training split; an attack then pastes it `places` times and keeps
 * the first paste that the evaluator calls broken. Images whose label is the target are left alone. */
#include "attacks/ascent.h"
#include "attacks/warp.h"
#include "harness/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPE_CIRCLE, SHAPE_RECTANGLE };
static const char *const shapes[] = {"circle", "rectangle", NULL};

typedef struct universal {
    pg_attack_common common;
    pg_location location;
    int64_t steps, training_images;
    double step, rotation;
    pg_range scale;
    int schedule, shape;
    pg_objective objective;
} universal;

static const pg_option options[] = {
    PG_ATTACK_COMMON_OPTIONS(universal, "64"),
    PG_LOCATION_OPTIONS(universal),
    PG_TARGET_OPTION(universal),
    PG_LOSS_OPTION(universal, "cross-entropy"),
    {"steps", PG_OPTION_INT, offsetof(universal, steps), "1000", 0, 1000000,
     .help = "steps of the training, each over one batch of training images"},
    {"step", PG_OPTION_DECIMAL, offsetof(universal, step), "0.02", 0, 1, .help = "size of a step, where pixels are 0 to 1"},
    {"schedule", PG_OPTION_CHOICE, offsetof(universal, schedule), "cosine", .choices = pg_schedule_names,
     .help = "how the size of the steps falls towards the last one"},
    {"training_images", PG_OPTION_INT, offsetof(universal, training_images), "1000", 1, 1000000000,
     .help = "training images it learns from, from the first on"},
    {"scale", PG_OPTION_RANGE, offsetof(universal, scale), "0.6:1", 0.05, 1,
     .help = "size of the pasted patch, as a share of its rectangle"},
    {"rotation", PG_OPTION_DECIMAL, offsetof(universal, rotation), "45", 0, 180,
     .help = "largest rotation to either side, degrees"},
    {"shape", PG_OPTION_CHOICE, offsetof(universal, shape), "circle", .choices = shapes, .help = "of the patch"},
    {0},
};

/* What was learnt: texture[3][height][width] in [0, 1]. */
typedef struct learnt {
    int height, width;
    float texture[];
} learnt;

static int normalize(void *config)
{
    universal *c = config;
    pg_location_normalize(&c->location);
    if (strcmp(c->objective.target, "random") == 0 || strcmp(c->objective.target, "runner-up") == 0)
        return pg_fail(PG_EINPUT, "target %s: one patch for all images has one target: none, or the number of a class",
                       c->objective.target);
    return pg_objective_normalize(&c->objective);
}

static int check(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    const universal *c = config;
    int code = pg_location_check(&c->location, image_height, image_width, patch_height, patch_width, classes);
    return code == PG_OK ? pg_objective_check(&c->objective, classes) : code;
}

static const char *training_images_of(const void *config PG_UNUSED) { return "train"; }

static pg_warp draw_warp(const universal *c, pg_rng *rng)
{
    double scale = c->scale.lo + (c->scale.hi - c->scale.lo) * pg_rng_unit(rng);
    double angle = c->rotation * (2 * pg_rng_unit(rng) - 1) * (3.14159265358979323846 / 180);
    return (pg_warp){.scale = scale, .angle = angle, .whole = c->shape == SHAPE_RECTANGLE};
}

/* ---- Training ---- */

typedef struct sample {
    pg_example example;
    pg_warp warp;
} sample;

typedef struct training {
    const universal *config;
    uint64_t seed;
    pg_search search; /* for its helpers */
    sample *samples;  /* [slots] */
    int *slots;
    float *patches, *gradients; /* [slots][patch] */
    double *sum;                /* [patch] */
    pg_memory memory;           /* of these arrays */
} training;

static int training_init(training *s, const universal *config, uint64_t seed, pg_victim *victim)
{
    *s = (training){.config = config, .seed = seed, .search = {.config = config, .seed = seed, .victim = victim}};
    size_t slots = (size_t)victim->slots, size = pg_search_patch_size(&s->search);
    s->samples = pg_memory_take(&s->memory, slots, sizeof *s->samples);
    s->slots = pg_memory_take(&s->memory, slots, sizeof *s->slots);
    s->patches = pg_memory_take(&s->memory, slots * size, sizeof *s->patches);
    s->gradients = pg_memory_take(&s->memory, slots * size, sizeof *s->gradients);
    s->sum = pg_memory_take(&s->memory, size, sizeof *s->sum);
    return pg_memory_check(&s->memory, "%zu patches", slots);
}

/* Reads a batch of training images for this step, and pastes the texture into each. */
static int gather(training *s, const pg_training_images *training_images, const float *texture, int64_t step)
{
    const universal *c = s->config;
    pg_victim *v = s->search.victim;
    size_t size = pg_search_patch_size(&s->search);
    int rows = v->image_height - v->patch_height + 1, columns = v->image_width - v->patch_width + 1, code = PG_OK;
    int64_t count = training_images->count < c->training_images ? training_images->count : c->training_images;
    pg_rng rng = pg_draw_make(s->seed, 0, PG_DRAW_TRAINING_IMAGE, (uint64_t)step);
    for (int i = 0; i < v->slots && code == PG_OK; i++) {
        sample *p = &s->samples[i];
        s->slots[i] = i;
        code = training_images->read(training_images->context, pg_rng_below(&rng, (uint32_t)count), i, &p->example);
        pg_trial at = {.example = &p->example, .slot = i, .top = (int)pg_rng_below(&rng, (uint32_t)rows)};
        at.left = (int)pg_rng_below(&rng, (uint32_t)columns);
        p->warp = draw_warp(c, &rng);
        if (code == PG_OK)
            code = v->ops->hold(v, i, &p->example, at.top, at.left);
        if (code == PG_OK) {
            pg_search_own_pixels(&s->search, &at, s->patches + (size_t)i * size);
            pg_warp_paint(texture, v->patch_height, v->patch_width, p->warp, s->patches + (size_t)i * size);
        }
    }
    return code;
}

/* d (sum over the batch of what is raised) / d texture, in s->sum. */
static int differentiate(training *s, int kind)
{
    pg_victim *v = s->search.victim;
    pg_scope *scope = v->scope;
    const pg_torch *t = scope->torch;
    size_t size = pg_search_patch_size(&s->search);
    int64_t labels[v->slots], targets[v->slots];
    for (int i = 0; i < v->slots; i++) {
        labels[i] = s->samples[i].example.label;
        targets[i] = pg_objective_class(&s->config->objective); /* where it is the label, more of it is right for others */
    }
    bool before = t->grad_mode(true);
    pg_tensor *x = v->ops->scores(v, v->slots, s->slots, s->patches, kind);
    pg_tensor *margins = pg_objective_margins(scope, x, v->slots, labels, targets, s->config->objective.loss);
    pg_tensor *loss = t->sum(scope, pg_objective_success(scope, margins, targets[0] >= 0), 0, NULL, false);
    int code = pg_scope_check(scope);
    if (code == PG_OK)
        code = v->ops->gradient(v, loss, s->gradients);
    t->scope_clear(scope);
    t->grad_mode(before);
    memset(s->sum, 0, size * sizeof *s->sum);
    for (int i = 0; i < v->slots && code == PG_OK; i++)
        pg_warp_adjoint(s->gradients + (size_t)i * size, v->patch_height, v->patch_width, s->samples[i].warp, s->sum);
    return code;
}

static int train(training *s, const pg_training_images *training_images, float *texture)
{
    const universal *c = s->config;
    pg_victim *v = s->search.victim;
    size_t size = pg_search_patch_size(&s->search);
    int code = PG_OK;
    for (int64_t step = 0; step < c->steps && code == PG_OK; step++) {
        if (v->ops->stopping && v->ops->stopping(v))
            code = pg_fail(PG_EINTERRUPTED, "stopped while a universal patch was trained");
        if (code == PG_OK)
            code = gather(s, training_images, texture, step);
        if (code == PG_OK)
            code = differentiate(s, (int)(step % v->kinds));
        double by = pg_ascent_size(c->schedule, c->step, step, c->steps);
        for (size_t i = 0; i < size && code == PG_OK; i++) {
            double moved = (double)texture[i] + (s->sum[i] > 0 ? by : s->sum[i] < 0 ? -by : 0);
            texture[i] = (float)(moved < 0 ? 0 : moved > 1 ? 1 : moved);
        }
    }
    return code;
}

static int prepare(const void *config, uint64_t seed, pg_victim *victim, const pg_training_images *training_images,
                   void **state)
{
    const universal *c = config;
    training s = {0};
    *state = NULL;
    int code =
        check(config, victim->image_height, victim->image_width, victim->patch_height, victim->patch_width, victim->classes);
    if (code == PG_OK && !victim->scope)
        code = pg_fail(PG_EUNSUPPORTED, "this attack needs gradients, and the model has none: random-search needs none");
    if (code == PG_OK && training_images->count < 1)
        code = pg_fail(PG_EINPUT, "no images to learn from");
    if (code == PG_OK)
        code = training_init(&s, c, seed, victim);
    if (code != PG_OK) {
        pg_memory_free(&s.memory);
        return code;
    }
    size_t size = pg_search_patch_size(&s.search);
    learnt *l = malloc(sizeof *l + size * sizeof *l->texture);
    if (l) {
        *l = (learnt){.height = victim->patch_height, .width = victim->patch_width};
        pg_rng rng = pg_draw_make(seed, 0, PG_DRAW_START, UINT32_MAX);
        for (size_t i = 0; i < size; i++)
            l->texture[i] = (float)pg_rng_unit(&rng);
        code = train(&s, training_images, l->texture);
    } else
        code = pg_fail(PG_ENOMEM, "out of memory for a patch");
    pg_memory_free(&s.memory);
    if (code == PG_OK)
        *state = l;
    else
        free(l);
    return code;
}

/* ---- Use ---- */

static int begin(pg_search *search, pg_trial *trial, bool *more)
{
    const universal *c = search->config;
    const learnt *l = search->state;
    int64_t round = 0;
    int code = pg_search_next_place(search, trial, &c->location, 1, &round, more);
    if (code != PG_OK || !*more)
        return code;
    pg_rng rng = pg_draw_make(search->seed, trial->example->index, PG_DRAW_WARP, (uint64_t)trial->attempt);
    pg_search_own_pixels(search, trial, trial->patch);
    pg_warp_paint(l->texture, l->height, l->width, draw_warp(c, &rng), trial->patch);
    return PG_OK;
}

static int run(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples, size_t n,
               pg_attack_outcome *outcome)
{
    const universal *c = config;
    pg_search search = {.config = config,
                        .state = state,
                        .seed = seed,
                        .victim = victim,
                        .check = check,
                        .objective = &c->objective,
                        .pass_over = true,
                        .begin = begin};
    return pg_search_run(&search, examples, n, outcome);
}

PG_ATTACK(universal)
const pg_attack pg_attack_universal = {
    .module = {.name = "universal",
               .summary = "one round patch for all images, trained over places, scales and rotations",
               .source = "Brown et al. 2017 (Adversarial Patch)",
               .version = 1,
               .options = options,
               .config_size = sizeof(universal),
               .normalize = normalize},
    .needs_gradients = true,
    .training_images = training_images_of,
    .prepare = prepare,
    .release = free,
    .check = check,
    .run = run,
};
