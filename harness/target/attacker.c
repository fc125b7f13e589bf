#include "harness/target/attacker.h"

#include "harness/base/memory.h"
#include "harness/data/patches.h"
#include "harness/plan/modules.h"
#include "harness/target/evaluator.h"
#include "harness/target/training_images.h"
#include "harness/target/paste.h"
#include "harness/target/victim.h"
#include "models/torch/torch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pg_attacker {
    pg_attack_job job;
    pg_geometry geometry;
    pg_victim *victim;
    pg_evaluator *evaluator;
    pg_paste paste;
    void *state;         /* of the attack, where it learns first */
    pg_patches *patches; /* where it puts patches of a file on */
    uint8_t *pixels;     /* [batch][3][height][width] */
    float *logits;       /* [batch][H][W][classes] */
    pg_memory memory;    /* of both */
};

static const pg_attack_common *common_of(const pg_attack_job *job) { return job->attack_config; }

/* ---- Opening ---- */

static int check_job(const pg_attack_job *job, const pg_geometry *g)
{
    const pg_attack *attack = job->attack;
    if (attack->needs_gradients && !pg_network_scope(pg_network_base(job->network)))
        return pg_fail(PG_EUNSUPPORTED, "attack %s needs gradients, which model %s has not", attack->module.name,
                       pg_network_info(job->network)->model);
    int height = job->resize ? job->resize->from_height : g->input_height;
    int width = job->resize ? job->resize->from_width : g->input_width;
    int code = attack->check(job->attack_config, height, width, job->patch_height, job->patch_width, g->classes);
    return code == PG_OK ? code : pg_fail_at(code, "attack %s", attack->module.name);
}

/* Gradients are recorded while an attack works. */
static bool record(const pg_attacker *a, bool on) { return a->victim->scope && a->victim->scope->torch->grad_mode(on); }

/* "cifar10:test@192" and "train" -> "cifar10:train@192". */
static int learn(pg_attacker *a)
{
    const pg_attack_job *job = &a->job;
    char dataset[128];
    pg_training_loader *loader = NULL;
    snprintf(dataset, sizeof dataset, "%.*s:%s%s", (int)strcspn(job->dataset, ":"), job->dataset,
             job->attack->training_images(job->attack_config), job->dataset + strcspn(job->dataset, "@"));
    int code = pg_training_images_open(job->data_dir, dataset, job->network, job->batch, a->evaluator, a->victim->slots,
                                       job->resize, &loader);
    bool before = record(a, true);
    if (code == PG_OK)
        code = job->attack->prepare(job->attack_config, job->seed, a->victim, pg_training_images_of(loader), &a->state);
    record(a, before);
    pg_training_images_close(loader);
    return code;
}

/* The file of patches, whose contents are those that were planned. */
static int read_patches(pg_attacker *a)
{
    const pg_attack_job *job = &a->job;
    const char *path = job->attack->patches(job->attack_config);
    int height = a->victim->image_height, width = a->victim->image_width;
    int code = pg_patches_open(path, height, width, &a->patches);
    if (code == PG_OK && job->patches_hash && strcmp(a->patches->hash, job->patches_hash) != 0)
        code = pg_fail(PG_EINPUT, "%s changed since it was planned; start again", path);
    return code;
}

int pg_attacker_open(const pg_attack_job *job, pg_attacker **out)
{
    *out = NULL;
    pg_attacker *a = calloc(1, sizeof *a);
    if (!a)
        return pg_fail(PG_ENOMEM, "out of memory");
    const pg_geometry *g = &pg_network_info(job->network)->geometry;
    a->job = *job;
    a->geometry = *g;
    int code = check_job(job, g);
    if (code == PG_OK)
        code = pg_evaluator_new(g, job->defense, job->config, job->window, &a->evaluator);
    pg_victim_request request = {.network = job->network,
                                 .evaluator = a->evaluator,
                                 .resize = job->resize,
                                 .patch_height = job->patch_height,
                                 .patch_width = job->patch_width,
                                 .slots = (int)common_of(job)->batch,
                                 .sizes_only = job->attack->patches != NULL,
                                 .gradient_of_mean = common_of(job)->gradient == PG_GRADIENT_MEAN,
                                 .stopping = job->stopping};
    if (code == PG_OK)
        code = pg_victim_open(&request, &a->victim);
    if (code == PG_OK) {
        a->victim->progress = job->progress;
        a->victim->watcher = job->watcher;
    }
    if (code == PG_OK)
        code = pg_paste_init(&a->paste, job->resize, g, job->patch_height, job->patch_width);
    if (code == PG_OK) {
        size_t images = (size_t)job->batch;
        size_t positions = (size_t)g->rows.positions * (size_t)g->columns.positions;
        a->pixels = pg_memory_take(&a->memory, images * 3, (size_t)g->input_height * (size_t)g->input_width);
        a->logits = pg_memory_take(&a->memory, images * positions * (size_t)g->classes, sizeof *a->logits);
        code = pg_memory_check(&a->memory, "a batch of %d images", job->batch);
    }
    if (code == PG_OK && job->attack->prepare)
        code = learn(a);
    if (code == PG_OK && job->attack->patches)
        code = read_patches(a);
    if (code == PG_OK)
        *out = a;
    else
        pg_attacker_close(a);
    return code;
}

void pg_attacker_close(pg_attacker *a)
{
    if (!a)
        return;
    if (a->state)
        a->job.attack->release(a->state);
    pg_patches_free(a->patches);
    pg_victim_close(a->victim);
    pg_evaluator_free(a->evaluator);
    pg_paste_release(&a->paste);
    pg_memory_free(&a->memory);
    free(a);
}

/* ---- What was found ---- */

int pg_attacker_predict(pg_attacker *a, const float *logits, int64_t image, int *prediction)
{
    *prediction = pg_evaluator_logits(a->evaluator, logits);
    return pg_evaluator_check(a->evaluator, *prediction, image);
}

static int refuse(const pg_attacker *a, const pg_example *example, const char *what)
{
    return pg_fail(PG_EINPUT, "attack %s, image %lld: %s; this is a fault of the attack", a->job.attack->module.name,
                   (long long)example->index, what);
}

static int check_outcome(const pg_attacker *a, const pg_example *example, const pg_attack_outcome *f)
{
    const pg_paste *p = &a->paste;
    size_t values = (size_t)3 * (size_t)p->patch_height * (size_t)p->patch_width;
    if (f->top < 0 || f->left < 0 || f->top > p->image_height - p->patch_height || f->left > p->image_width - p->patch_width)
        return refuse(a, example, "its patch does not lie in the image");
    if (f->target < -1 || f->target >= a->geometry.classes)
        return refuse(a, example, "its target is no class");
    if (f->steps < 0)
        return refuse(a, example, "its number of steps is negative");
    const pg_module *rule = &a->job.defense->module;
    if (isnan(f->loss) && a->job.defense->surrogate && pg_modules_origin(rule))
        return pg_modules_blame(
            pg_fail(PG_EINPUT, "the loss of attack %s is no number, and neither are the scores of the rule's surrogate",
                    a->job.attack->module.name),
            "defense", rule, example->index);
    for (size_t i = 0; i < values; i++)
        if (!(f->patch[i] >= 0 && f->patch[i] <= 1))
            return refuse(a, example, "a pixel of its patch is not in [0, 1]");
    return PG_OK;
}

/* Images [first, end) lie in one batch of the data set, in its order: evaluated as `run` does it, image i at
 * place i % batch. */
static int evaluate_batch(pg_attacker *a, const pg_example *examples, pg_attack_result *results, size_t first, size_t end)
{
    const pg_geometry *g = &a->geometry;
    size_t image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width;
    size_t map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    int64_t start = examples[first].index / a->job.batch * a->job.batch;
    int count = (int)(examples[end - 1].index - start) + 1;
    memset(a->pixels, 0, (size_t)count * image);
    int code = PG_OK;
    for (size_t i = first; code == PG_OK && i < end; i++)
        code = pg_paste_patch(&a->paste, examples[i].pixels, results[i].patch, results[i].top, results[i].left,
                              a->pixels + (size_t)(examples[i].index - start) * image);
    if (code == PG_OK)
        code = pg_network_forward_wanted(a->job.network, a->pixels, start, count, NULL, a->logits);
    for (size_t i = first; code == PG_OK && i < end; i++) {
        const float *logits = a->logits + (size_t)(examples[i].index - start) * map;
        code = pg_attacker_predict(a, logits, examples[i].index, &results[i].after);
    }
    return code;
}

static int evaluate_all(pg_attacker *a, const pg_example *examples, size_t n, pg_attack_result *results)
{
    int code = PG_OK;
    for (size_t first = 0, end; code == PG_OK && first < n; first = end) {
        int64_t batch = examples[first].index / a->job.batch;
        for (end = first + 1; end < n; end++)
            if (examples[end].index <= examples[end - 1].index || examples[end].index / a->job.batch != batch)
                break;
        code = evaluate_batch(a, examples, results, first, end);
    }
    return code;
}

int pg_attacker_run(pg_attacker *a, const pg_example *examples, size_t n, pg_attack_result *results)
{
    size_t values = (size_t)3 * (size_t)a->job.patch_height * (size_t)a->job.patch_width;
    pg_attack_outcome *outcome = calloc(n + 1, sizeof *outcome);
    float *patches = calloc(n * values + 1, sizeof *patches);
    int code = outcome && patches ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %zu patches", n);
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        outcome[i].target = -1;
        outcome[i].patch = patches + i * values;
    }
    if (code == PG_OK && a->victim->scope)
        a->victim->scope->error = PG_OK;
    bool before = record(a, true);
    if (code == PG_OK && n > 0)
        code = a->job.attack->run(a->job.attack_config, a->patches ? a->patches : a->state, a->job.seed, a->victim, examples, n,
                                  outcome);
    record(a, before);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        code = check_outcome(a, &examples[i], &outcome[i]);
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        pg_attack_result *r = &results[i];
        uint8_t *patch = r->patch;
        *r = (pg_attack_result){.image = examples[i].index,
                                .top = outcome[i].top,
                                .left = outcome[i].left,
                                .target = outcome[i].target,
                                .loss = outcome[i].loss,
                                .steps = outcome[i].steps,
                                .before = examples[i].prediction,
                                .patch = patch};
        for (size_t k = 0; k < values; k++)
            patch[k] = pg_pixel_round(outcome[i].patch[k]);
    }
    if (code == PG_OK)
        code = evaluate_all(a, examples, n, results);
    free(outcome);
    free(patches);
    return code;
}
