/* Local logits: each local logit vector is attacked on its own.
 *
 * Source: Xiang et al. 2021 (PatchGuard), experiment I and Table II: for each position of the map a patch that raises the loss
 * of that local vector, to see how many local predictions one place of the patch can corrupt. Differs: a position counts as
 * corrupted by any patch that was tried at this place, and an attempt ends as soon as its position is.
 *
 * What is found for an image: `loss` is the share, of the positions that the patch can touch, whose local prediction is wrong
 * under some patch; those that are wrong without one count and are not attacked. The patch is the one that has most of them
 * wrong at once, and `broken` is what the evaluator says of it. The objective is not the prediction, so images that are wrong
 * already are attacked like others. With steps=0 and start=image the share is that of the clean image. */
#include "attacks/ascent.h"

#include <stdlib.h>
#include <string.h>

typedef struct local_logits {
    pg_attack_common common;
    pg_location location;
    pg_ascent ascent;
    int64_t restarts;
    pg_objective objective; /* the target is always "none" */
} local_logits;

static const pg_option options[] = {
    PG_ATTACK_COMMON_OPTIONS(local_logits, "64"),
    PG_LOCATION_OPTIONS(local_logits),
    PG_LOSS_OPTION(local_logits, "cross-entropy"),
    PG_ASCENT_OPTIONS(local_logits, "500"),
    {"restarts", PG_OPTION_INT, offsetof(local_logits, restarts), "1", 1, 100000, .help = "attempts at each local vector"},
    {0},
};

/* An image's positions below the patch; trial->own. */
typedef struct positions {
    int n, at;    /* attacked now */
    int wrong;    /* under some patch so far */
    int at_once;  /* under the patch of the last pass */
    int most;     /* under the patch that is kept */
    int64_t left; /* attempts at this position */
    bool done[];  /* [n] wrong under some patch */
} positions;

static int normalize(void *config)
{
    local_logits *c = config;
    if (c->location.mode == PG_LOCATION_GRID || c->location.mode == PG_LOCATION_ALL)
        return pg_fail(PG_EINPUT, "location %s: one place an image is right: random, fixed, centre or gradient",
                       pg_location_names[c->location.mode]);
    pg_location_normalize(&c->location);
    c->location.places = 1;
    c->common.gradient = PG_GRADIENT_DEFENSE; /* it goes through neither */
    memset(c->objective.target, 0, sizeof c->objective.target);
    memcpy(c->objective.target, "none", 4);
    return PG_OK;
}

static int check(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    const local_logits *c = config;
    return pg_location_check(&c->location, image_height, image_width, patch_height, patch_width, classes);
}

/* The arg max of logits[classes][n] at this position, the lowest among equals, is not the label. */
static bool is_wrong(const float *logits, int classes, int n, int position, int label)
{
    float own = logits[(size_t)label * (size_t)n + (size_t)position];
    for (int c = 0; c < classes; c++) {
        float other = logits[(size_t)c * (size_t)n + (size_t)position];
        if (c != label && (c < label ? other >= own : other > own))
            return true;
    }
    return false;
}

static void look(positions *p, const float *logits, int classes, int label)
{
    p->at_once = 0;
    for (int i = 0; i < p->n; i++)
        if (is_wrong(logits, classes, p->n, i, label)) {
            p->at_once++;
            p->wrong += !p->done[i];
            p->done[i] = true;
        }
}

/* Copies local logits [n][classes][positions] to the host. *new*; NULL with *code set. */
static float *read_logits(pg_victim *v, pg_tensor *x, int n, int64_t *n_positions, int *code)
{
    const pg_torch *t = v->scope->torch;
    *code = pg_scope_check(v->scope);
    *n_positions = t->size(x, 2);
    if (*code == PG_OK && *n_positions < 1)
        *code = pg_fail(PG_ESHAPE, "local logits without positions");
    float *values = *code == PG_OK ? malloc((size_t)t->count(x) * sizeof *values) : NULL;
    if (*code == PG_OK && !values)
        *code = pg_fail(PG_ENOMEM, "out of memory for local logits of %d images", n);
    if (*code == PG_OK) {
        (void)t->read(v->scope, x, values, PG_T_F32, t->count(x));
        *code = pg_scope_check(v->scope);
    }
    if (*code != PG_OK) {
        free(values);
        values = NULL;
    }
    return values;
}

/* The clean image: one pass over its own pixels. */
static int look_first(pg_search *search, pg_trial *trial)
{
    pg_victim *v = search->victim;
    int64_t n = 0;
    int code;
    pg_search_own_pixels(search, trial, trial->patch);
    float *values = read_logits(v, v->ops->local_logits(v, 1, &trial->slot, trial->patch), 1, &n, &code);
    v->scope->torch->scope_clear(v->scope);
    positions *p = code == PG_OK ? calloc(1, sizeof *p + (size_t)n * sizeof *p->done) : NULL;
    if (p) {
        *p = (positions){.n = (int)n, .at = -1};
        look(p, values, v->classes, trial->example->label);
        p->most = p->at_once;
        trial->own = p;
        trial->outcome->steps++;
        pg_search_keep(search, trial, 0, trial->example->prediction != trial->example->label);
    } else if (code == PG_OK)
        code = pg_fail(PG_ENOMEM, "out of memory for %lld positions", (long long)n);
    free(values);
    return code;
}

static int begin(pg_search *search, pg_trial *trial, bool *more)
{
    const local_logits *c = search->config;
    int64_t round = 0;
    int code = PG_OK;
    if (trial->attempt == 0)
        code = pg_search_next_place(search, trial, &c->location, 1, &round, more);
    if (trial->attempt == 0 && code == PG_OK)
        code = look_first(search, trial);
    if (code != PG_OK)
        return code;
    positions *p = trial->own;
    bool first = p->at < 0 || p->done[p->at] || p->left == 0;
    while (first && ++p->at < p->n && p->done[p->at])
        ;
    p->left = first ? c->restarts - 1 : p->left - 1;
    trial->outcome->loss = (double)p->wrong / p->n;
    *more = p->at < p->n;
    if (*more)
        pg_ascent_start(&c->ascent, search, trial, first);
    return PG_OK;
}

static void move(pg_search *search, pg_trial *trial)
{
    const local_logits *c = search->config;
    pg_ascent_move(&c->ascent, search, trial);
}

/* The local vector under attack stands for the scores. */
static pg_tensor *scores(pg_search *search, int n, pg_trial *const *trials, const int *slots, const float *patches, int *code)
{
    pg_victim *v = search->victim;
    const pg_torch *t = v->scope->torch;
    pg_tensor *x = v->ops->local_logits(v, n, slots, patches);
    int64_t n_positions = 0, classes = v->classes;
    float *values = read_logits(v, x, n, &n_positions, code);
    int64_t *at = values ? malloc((size_t)n * sizeof *at) : NULL;
    if (values && !at)
        *code = pg_fail(PG_ENOMEM, "out of memory");
    for (int i = 0; at && i < n; i++) {
        positions *p = trials[i]->own;
        if (p->n != n_positions)
            *code = pg_fail(PG_ESHAPE, "%d positions below a patch, then %lld", p->n, (long long)n_positions);
        else
            look(p, values + (size_t)i * (size_t)(classes * n_positions), v->classes, trials[i]->example->label);
        at[i] = p->at;
    }
    if (at && *code == PG_OK) {
        pg_tensor *index = t->from_data(v->scope, at, PG_T_I64, 3, (const int64_t[]){n, 1, 1});
        x = t->gather(v->scope, x, 2, t->expand(v->scope, index, 3, (const int64_t[]){n, classes, 1}));
        x = t->reshape(v->scope, x, 2, (const int64_t[]){n, classes});
    }
    free(values);
    free(at);
    return *code == PG_OK ? x : NULL;
}

static void note(pg_search *search, pg_trial *trial, bool *attempt_done, bool *image_done)
{
    positions *p = trial->own;
    if (p->at_once > p->most) {
        p->most = p->at_once;
        pg_search_keep(search, trial, trial->margin, trial->prediction != trial->example->label);
    }
    trial->outcome->loss = (double)p->wrong / p->n;
    *attempt_done = p->done[p->at] || trial->pass > search->steps;
    *image_done = p->wrong == p->n;
}

static int run(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples, size_t n,
               pg_attack_outcome *outcome)
{
    const local_logits *c = config;
    pg_search search = {.config = config,
                        .state = state,
                        .seed = seed,
                        .victim = victim,
                        .check = check,
                        .objective = &c->objective,
                        .steps = c->ascent.steps,
                        .gradients = true,
                        .every_image = true,
                        .begin = begin,
                        .move = move,
                        .scores = scores,
                        .note = note};
    return pg_search_run(&search, examples, n, outcome);
}

PG_ATTACK(local_logits)
const pg_attack pg_attack_local_logits = {
    .module = {.name = "local-logits",
               .summary = "each local logit vector below one place of the patch, attacked on its own",
               .source = "Xiang et al. 2021 (PatchGuard), III-A and Table II",
               .version = 1,
               .options = options,
               .config_size = sizeof(local_logits),
               .normalize = normalize},
    .needs_gradients = true,
    .check = check,
    .run = run,
};
