/* Attacking the images of a task. See pipeline.h and attacker.h. */
#include "harness/pipeline/pipeline.h"
#include "harness/base/signals.h"

#include <stdlib.h>

void pg_attack_stage_close(pg_attack_stage *stage)
{
    pg_attacker_close(stage->attacker);
    *stage = (pg_attack_stage){0};
}

static int open_stage(pg_attack_stage *stage, const pg_pipeline *p, pg_network *network, const pg_forward *f)
{
    if (stage->forward == f)
        return PG_OK;
    pg_attack_stage_close(stage);
    pg_attack_job job = {.network = network,
                         .batch = f->at_once,
                         .attack = f->attack,
                         .attack_config = f->attack_config,
                         .defense = f->defense,
                         .config = f->config,
                         .window = f->window,
                         .resize = f->before_resize ? &f->resize : NULL,
                         .patch_height = f->patch_height,
                         .patch_width = f->patch_width,
                         .patches_hash = *f->patches_hash ? f->patches_hash : NULL,
                         .seed = f->seed,
                         .data_dir = p->request->data_dir,
                         .dataset = f->dataset,
                         .stopping = pg_signals_stopping,
                         .progress = pg_worker_status_step,
                         .watcher = p->status};
    int code = pg_attacker_open(&job, &stage->attacker);
    if (code == PG_OK)
        stage->forward = f;
    return code;
}

static int make_examples(const pg_attack_stage *stage, const pg_work *work, pg_example *examples, pg_attack_result *results)
{
    const pg_forward *f = work->forward;
    const pg_geometry *g = &f->info.geometry;
    size_t image = (size_t)3 * (size_t)f->dataset_height * (size_t)f->dataset_width;
    size_t source = (size_t)3 * (size_t)f->resize.from_height * (size_t)f->resize.from_width;
    size_t tensor = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    size_t patch = (size_t)3 * (size_t)f->patch_height * (size_t)f->patch_width;
    int code = PG_OK;
    for (int64_t i = 0; code == PG_OK && i < work->task.count; i++) {
        int64_t at = work->task.first + i - work->start;
        const float *logits = work->logits + (size_t)i * tensor;
        const uint8_t *pixels = work->pixels + (size_t)at * image;
        examples[i] = (pg_example){.index = work->task.first + i,
                                   .label = work->labels[at],
                                   .pixels = work->sources ? work->sources + (size_t)at * source : pixels,
                                   .logits = logits,
                                   .resized = work->sources ? pixels : NULL};
        results[i].patch = work->patches + (size_t)i * patch;
        code = pg_attacker_predict(stage->attacker, logits, examples[i].index, &examples[i].prediction);
    }
    return code;
}

static pg_attack_row row_of(const pg_attack_result *r, const pg_forward *f)
{
    return (pg_attack_row){.image = r->image,
                           .top = r->top,
                           .left = r->left,
                           .target = r->target,
                           .loss = r->loss,
                           .steps = r->steps,
                           .before = r->before,
                           .after = r->after,
                           .patch = r->patch,
                           .patch_size = (size_t)3 * (size_t)f->patch_height * (size_t)f->patch_width};
}

/* The next images of a task: as many as the attack takes at a time, cut at multiples of that number, so that what is found for
 * them does not depend on where a task begins. Where memory ran out, as few as a pass has. */
static int attack_group(pg_attack_stage *stage, pg_pipeline *p, pg_work *work, const pg_example *examples,
                        pg_attack_result *results)
{
    const pg_forward *f = work->forward;
    int64_t slots = ((const pg_attack_common *)f->attack_config)->batch, first = work->task.first + work->whole;
    if (work->batch < f->batch && work->batch < slots)
        slots = work->batch;
    int64_t end = (first / slots + 1) * slots, all = work->task.first + work->task.count, n = (end < all ? end : all) - first;
    if (pg_signals_stopping())
        return pg_fail(PG_EINTERRUPTED, "stopped between two attacks");
    pg_worker_status_begin(p->status, n);
    int code = pg_attacker_run(stage->attacker, examples + work->whole, (size_t)n, results + work->whole);
    pg_worker_status_end(p->status);
    if (code != PG_OK)
        return code;
    for (int64_t i = work->whole; i < work->whole + n; i++)
        work->attacks[i] = row_of(&results[i], f);
    work->whole += n;
    pg_work_forwarded(p, work, n);
    return PG_OK;
}

int pg_attack_stage_run(pg_attack_stage *stage, pg_pipeline *p, pg_network *network, pg_work *work)
{
    size_t n = (size_t)work->task.count;
    pg_example *examples = calloc(n, sizeof *examples);
    pg_attack_result *results = calloc(n, sizeof *results);
    int code = examples && results ? open_stage(stage, p, network, work->forward) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = make_examples(stage, work, examples, results);
    while (code == PG_OK && work->whole < work->task.count)
        code = attack_group(stage, p, work, examples, results);
    free(examples);
    free(results);
    return code;
}
