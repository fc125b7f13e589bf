/* The loop over images, attempts and passes. See search.h. */
#include "attacks/search.h"

#include "harness/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Memory of one run: a trial for each slot, and one batch. */
typedef struct batch {
    pg_trial *trials;   /* [slots]; example NULL: idle */
    pg_trial **members; /* [slots] of the pass */
    int *slots;
    int64_t *labels, *targets;
    double *margins;            /* [slots] of the pass */
    float *values;              /* patches, gradients and memories of the trials */
    float *patches, *gradients; /* of the pass */
    pg_memory memory;           /* of all these */
} batch;

size_t pg_search_patch_size(const pg_search *s)
{
    return (size_t)3 * (size_t)s->victim->patch_height * (size_t)s->victim->patch_width;
}

static int batch_init(const pg_search *search, batch *b)
{
    size_t slots = (size_t)search->victim->slots, size = pg_search_patch_size(search);
    b->trials = pg_memory_take(&b->memory, slots, sizeof *b->trials);
    b->members = pg_memory_take(&b->memory, slots, sizeof *b->members);
    b->slots = pg_memory_take(&b->memory, slots, sizeof *b->slots);
    b->labels = pg_memory_take(&b->memory, 2 * slots, sizeof *b->labels);
    b->margins = pg_memory_take(&b->memory, 2 * slots, sizeof *b->margins);
    b->values = pg_memory_take(&b->memory, 5 * slots * size, sizeof *b->values);
    if (b->memory.failed)
        return pg_memory_check(&b->memory, "%zu patches", slots);
    b->targets = b->labels + slots;
    b->patches = b->values + 3 * slots * size;
    b->gradients = b->values + 4 * slots * size;
    for (size_t i = 0; i < slots; i++) {
        float *own = b->values + 3 * i * size;
        b->trials[i] = (pg_trial){.slot = (int)i, .patch = own, .gradient = own + size, .memory = own + 2 * size};
    }
    return PG_OK;
}

void pg_search_own_pixels(const pg_search *search, const pg_trial *trial, float *patch)
{
    const pg_victim *v = search->victim;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < v->patch_height; y++) {
            const uint8_t *row =
                trial->example->pixels + ((size_t)c * v->image_height + trial->top + y) * (size_t)v->image_width + trial->left;
            for (int x = 0; x < v->patch_width; x++)
                *patch++ = (float)row[x] / 255;
        }
}

int pg_search_hold(pg_search *search, pg_trial *trial, int top, int left)
{
    if (trial->held && trial->top == top && trial->left == left)
        return PG_OK;
    trial->top = top;
    trial->left = left;
    int code = search->victim->ops->hold(search->victim, trial->slot, trial->example, top, left);
    trial->held = code == PG_OK;
    return code;
}

/* The places of an image by the saliency of its clean pixels. */
static int rank_places(pg_search *search, pg_trial *trial, const pg_location *location)
{
    pg_victim *v = search->victim;
    if (!v->ops->saliency)
        return pg_fail(PG_EUNSUPPORTED, "location gradient: this model has no gradients; choose another location");
    float *saliency = malloc((size_t)v->image_height * (size_t)v->image_width * sizeof *saliency);
    trial->ranked = malloc((size_t)location->places * sizeof *trial->ranked);
    int code = saliency && trial->ranked ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for places");
    if (code == PG_OK)
        code = v->ops->saliency(v, trial->example, saliency);
    if (code == PG_OK) {
        trial->n_ranked = pg_location_rank(saliency, v->image_height, v->image_width, v->patch_height, v->patch_width,
                                           (int)location->places, trial->ranked);
        if (trial->n_ranked < 1)
            code = pg_fail(PG_ENOMEM, "out of memory for places");
    }
    free(saliency);
    return code;
}

int pg_search_next_place(pg_search *search, pg_trial *trial, const pg_location *location, int64_t rounds, int64_t *round,
                         bool *more)
{
    const pg_victim *v = search->victim;
    int rows = v->image_height - v->patch_height + 1, columns = v->image_width - v->patch_width + 1;
    bool ranked = location->mode == PG_LOCATION_GRADIENT;
    int code = ranked && !trial->ranked ? rank_places(search, trial, location) : PG_OK;
    int64_t count = ranked ? trial->n_ranked : pg_location_count(location, rows, columns);
    *more = code == PG_OK && trial->attempt < count * rounds;
    if (!*more)
        return code;
    int64_t i = trial->attempt % count;
    *round = trial->attempt / count;
    pg_place place =
        ranked ? trial->ranked[i] : pg_location_at(location, search->seed, trial->example->index, rows, columns, i);
    return pg_search_hold(search, trial, place.top, place.left);
}

void pg_search_keep(pg_search *search, pg_trial *trial, double margin, bool broken)
{
    pg_attack_outcome *outcome = trial->outcome;
    outcome->broken = broken;
    outcome->top = trial->top;
    outcome->left = trial->left;
    outcome->loss = pg_objective_loss(search->objective->loss, trial->target, margin);
    memcpy(outcome->patch, trial->patch, pg_search_patch_size(search) * sizeof *outcome->patch);
    search->margins[trial->slot] = margin;
}

/* Margins of different kinds do not compare: of a kind but the first only a success is kept. */
static void note(pg_search *search, pg_trial *trial, bool *attempt_done, bool *image_done)
{
    bool broken = pg_objective_met(trial->example->label, trial->target, trial->prediction);
    bool first = trial->attempt == 0 && trial->pass == 1;
    if (broken || first || (trial->kind == 0 && trial->margin > search->margins[trial->slot]))
        pg_search_keep(search, trial, trial->margin, broken);
    *attempt_done = trial->pass > search->steps;
    *image_done = broken;
}

/* The target is the class that comes next on the clean image: one pass of its own. */
static int resolve_target(pg_search *search, pg_trial *trial)
{
    pg_victim *v = search->victim;
    float *patch = malloc(pg_search_patch_size(search) * sizeof *patch), scores[v->classes];
    if (!patch)
        return pg_fail(PG_ENOMEM, "out of memory for a patch");
    pg_search_own_pixels(search, trial, patch);
    pg_tensor *x = v->ops->scores(v, 1, &trial->slot, patch, 0);
    int code = v->scope ? pg_scope_check(v->scope) : pg_fail(PG_EUNSUPPORTED, "target runner-up: this model gives no scores");
    if (code == PG_OK) {
        (void)v->scope->torch->read(v->scope, x, scores, PG_T_F32, v->classes);
        code = pg_scope_check(v->scope);
        v->scope->torch->scope_clear(v->scope);
    }
    if (code == PG_OK) {
        trial->target = trial->outcome->target = pg_objective_runner_up(scores, v->classes, trial->example->label);
        trial->outcome->steps++;
    }
    free(patch);
    return code;
}

/* Starts trial->attempt; *more false: the image is done. */
static int begin(pg_search *search, pg_trial *trial, bool *more)
{
    trial->pass = 0;
    trial->kind = 0;
    trial->best = -INFINITY;
    memset(trial->memory, 0, pg_search_patch_size(search) * sizeof *trial->memory);
    int code = search->begin(search, trial, more);
    if (code == PG_OK && *more && trial->target == PG_TARGET_RUNNER_UP)
        code = resolve_target(search, trial);
    return code;
}

static void retire(pg_trial *trial)
{
    free(trial->own);
    free(trial->ranked);
    trial->own = NULL;
    trial->ranked = NULL;
    trial->n_ranked = 0;
    trial->held = false;
    trial->example = NULL;
}

/* No patch, which is said by the image's own pixels. */
static void leave_alone(const pg_search *search, pg_trial *trial, bool broken)
{
    const pg_victim *v = search->victim;
    pg_attack_outcome *outcome = trial->outcome;
    if (!trial->held) {
        trial->top = (v->image_height - v->patch_height) / 2;
        trial->left = (v->image_width - v->patch_width) / 2;
    }
    outcome->broken = broken;
    outcome->top = trial->top;
    outcome->left = trial->left;
    outcome->steps = 0;
    pg_search_own_pixels(search, trial, outcome->patch);
}

static bool is_there_already(const pg_search *search, const pg_trial *trial)
{
    return !search->every_image && trial->target != PG_TARGET_RUNNER_UP &&
           pg_objective_met(trial->example->label, trial->target, trial->example->prediction);
}

/* Gives an idle slot an image. One that needs no patch is done at once, and leaves the slot idle. */
static int admit(pg_search *search, pg_trial *trial, const pg_example *example, pg_attack_outcome *outcome)
{
    float *patch = outcome->patch;
    *outcome = (pg_attack_outcome){.patch = patch};
    trial->example = example;
    trial->outcome = outcome;
    trial->attempt = 0;
    search->margins[trial->slot] = -INFINITY;
    int code = pg_objective_target(search->objective, search->seed, example, search->victim->classes, &trial->target);
    outcome->target = trial->target;
    bool more = false, passed_over = code == PG_EINPUT && search->pass_over;
    if (passed_over || (code == PG_OK && is_there_already(search, trial))) {
        leave_alone(search, trial, !passed_over);
        code = PG_OK;
    } else if (code == PG_OK) {
        bool unresolved = trial->target == PG_TARGET_RUNNER_UP;
        code = begin(search, trial, &more);
        if (code == PG_OK && unresolved && is_there_already(search, trial)) {
            leave_alone(search, trial, true);
            more = false;
        }
    }
    if (code == PG_OK && !more)
        retire(trial);
    return code;
}

/* Margins, gradients and predictions of the batch whose patches were passed. */
static int measure(pg_search *search, batch *b, int n, pg_tensor *scores)
{
    pg_victim *v = search->victim;
    size_t size = pg_search_patch_size(search);
    int code = PG_OK;
    if (v->scope) {
        const pg_torch *t = v->scope->torch;
        pg_tensor *margins = pg_objective_margins(v->scope, scores, n, b->labels, b->targets, search->objective->loss);
        (void)t->read(v->scope, margins, b->margins, PG_T_F64, n);
        code = pg_scope_check(v->scope);
        if (code == PG_OK && search->gradients)
            code = v->ops->gradient(v, t->sum(v->scope, margins, 0, NULL, false), b->gradients);
    }
    for (int i = 0; code == PG_OK && i < n; i++) {
        pg_trial *trial = b->members[i];
        trial->margin = v->scope ? b->margins[i] : 0;
        if (search->gradients)
            memcpy(trial->gradient, b->gradients + (size_t)i * size, size * sizeof *trial->gradient);
        code = v->ops->evaluate(v, i, &trial->prediction);
        trial->pass++;
        trial->outcome->steps++;
    }
    return code;
}

/* One pass over all trials of this kind. */
static int pass(pg_search *search, batch *b, int kind)
{
    pg_victim *v = search->victim;
    size_t size = pg_search_patch_size(search);
    int n = 0, code = PG_OK;
    for (int i = 0; i < v->slots; i++) {
        pg_trial *trial = &b->trials[i];
        if (!trial->example || trial->kind != kind)
            continue;
        b->members[n] = trial;
        b->slots[n] = i;
        b->labels[n] = trial->example->label;
        b->targets[n] = trial->target;
        memcpy(b->patches + (size_t)n * size, trial->patch, size * sizeof *trial->patch);
        n++;
    }
    if (n == 0)
        return PG_OK;
    if (v->scope)
        (void)v->scope->torch->grad_mode(search->gradients);
    pg_tensor *scores = search->scores ? search->scores(search, n, b->members, b->slots, b->patches, &code)
                                       : v->ops->scores(v, n, b->slots, b->patches, kind);
    if (code == PG_OK && v->scope)
        code = pg_scope_check(v->scope);
    if (code == PG_OK)
        code = measure(search, b, n, scores);
    if (v->scope)
        v->scope->torch->scope_clear(v->scope);
    return code;
}

/* After a pass: on to the next patch, the next attempt, or out of the slot. */
static int advance(pg_search *search, pg_trial *trial)
{
    bool attempt_done, image_done, more = true;
    int code = PG_OK;
    (search->note ? search->note : note)(search, trial, &attempt_done, &image_done);
    if (!image_done && attempt_done) {
        trial->attempt++;
        code = begin(search, trial, &more);
    } else if (!image_done)
        search->move(search, trial);
    if (code == PG_OK && (image_done || !more))
        retire(trial);
    return code;
}

static int work(pg_search *search, batch *b, const pg_example *examples, size_t n, pg_attack_outcome *outcome)
{
    pg_victim *v = search->victim;
    size_t next = 0, rounds = (n + (size_t)v->slots - 1) / (size_t)v->slots;
    int64_t passes = search->attempts * (search->steps + 1) * (int64_t)rounds;
    for (int64_t made = 0;;) {
        int active = 0, code = PG_OK;
        for (int i = 0; i < v->slots && code == PG_OK; i++) {
            pg_trial *trial = &b->trials[i];
            for (; code == PG_OK && !trial->example && next < n; next++)
                code = admit(search, trial, &examples[next], &outcome[next]);
            active += trial->example != NULL;
        }
        if (code == PG_OK && active == 0)
            return PG_OK;
        if (code == PG_OK && v->ops->stopping && v->ops->stopping(v))
            code = pg_fail(PG_EINTERRUPTED, "stopped during an attack");
        for (int kind = 0; kind < v->kinds && code == PG_OK; kind++)
            code = pass(search, b, kind);
        for (int i = 0; i < v->slots && code == PG_OK; i++)
            if (b->trials[i].example)
                code = advance(search, &b->trials[i]);
        if (code != PG_OK)
            return code;
        if (v->progress)
            v->progress(v->watcher, ++made, passes);
    }
}

int pg_search_run(pg_search *search, const pg_example *examples, size_t n, pg_attack_outcome *outcome)
{
    pg_victim *v = search->victim;
    batch b = {0};
    int target,
        code = search->check(search->config, v->image_height, v->image_width, v->patch_height, v->patch_width, v->classes);
    if (code == PG_OK && search->gradients && !v->scope)
        code = pg_fail(PG_EUNSUPPORTED, "this attack needs gradients, and the model has none: random-search needs none");
    for (size_t i = 0; i < n && code == PG_OK && !search->pass_over; i++) /* before any work */
        code = pg_objective_target(search->objective, search->seed, &examples[i], v->classes, &target);
    if (code == PG_OK)
        code = batch_init(search, &b);
    if (code != PG_OK) {
        pg_memory_free(&b.memory);
        return code;
    }
    search->margins = b.margins + v->slots;
    bool before = v->scope ? v->scope->torch->grad_mode(false) : false;
    code = work(search, &b, examples, n, outcome);
    if (v->scope)
        (void)v->scope->torch->grad_mode(before);
    for (int i = 0; i < v->slots; i++)
        retire(&b.trials[i]);
    pg_memory_free(&b.memory);
    return code;
}
