/* A task on its way through the stages. See pipeline.h. */
#include "harness/pipeline/pipeline.h"

#include "harness/base/log.h"
#include "harness/plan/modules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The certifier's jobs: what each cell of the task asks for. */
static int find_cells(const pg_plan *plan, pg_work *work)
{
    for (size_t i = 0; i < work->task.n_cells; i++) {
        const pg_cell *cell = pg_plan_find(plan, work->task.cell_ids[i]);
        if (!cell)
            return pg_fail(PG_EDB, "task %lld serves cell %.12s, which the plan does not have", (long long)work->task.task,
                           work->task.cell_ids[i]);
        work->forward = cell->forward;
        work->foreign |= pg_modules_origin(&cell->defense->module) != NULL;
        work->jobs[i] = (pg_job){.defense = cell->defense,
                                 .config = cell->config,
                                 .window = cell->window,
                                 .delta = cell->delta,
                                 .logit_delta = cell->logit_delta};
    }
    return work->forward ? PG_OK : pg_fail(PG_EDB, "task %lld serves no cell", (long long)work->task.task);
}

/* What an attack needs and leaves. */
static int make_room(pg_work *work)
{
    const pg_forward *f = work->forward;
    const pg_geometry *g = &f->info.geometry;
    size_t n = (size_t)work->task.count, patch = (size_t)3 * (size_t)f->patch_height * (size_t)f->patch_width;
    work->logits = malloc(n * (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes * sizeof(float));
    work->patches = malloc(n * patch);
    work->attacks = calloc(n, sizeof *work->attacks);
    return work->logits && work->patches && work->attacks ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %zu patches", n);
}

pg_work *pg_work_new(const pg_plan *plan, pg_task *task)
{
    pg_work *work = calloc(1, sizeof *work);
    if (!work) {
        pg_task_release(task);
        pg_fail(PG_ENOMEM, "out of memory");
        return NULL;
    }
    work->task = *task;
    *task = (pg_task){0};
    pthread_mutex_init(&work->mutex, NULL);
    atomic_init(&work->open, 1);
    work->begun_s = pg_now_s();
    work->jobs = calloc(work->task.n_cells + 1, sizeof *work->jobs);
    work->outcomes = calloc(work->task.n_cells * (size_t)work->task.count + 1, sizeof *work->outcomes);
    int code = work->jobs && work->outcomes ? find_cells(plan, work) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK && work->forward->attack)
        code = make_room(work);
    if (code != PG_OK) {
        pg_work_free(work);
        return NULL;
    }
    int64_t at_once = work->forward->at_once;
    work->batch = work->forward->batch;
    work->start = work->task.first / at_once * at_once;
    work->images = work->task.first + work->task.count - work->start;
    return work;
}

void pg_work_free(pg_work *work)
{
    if (!work)
        return;
    pg_task_release(&work->task);
    pthread_mutex_destroy(&work->mutex);
    free(work->jobs);
    free(work->pixels);
    free(work->sources);
    free(work->labels);
    free(work->outcomes);
    free(work->logits);
    free(work->patches);
    free(work->attacks);
    free(work);
}

void pg_work_fail(pg_work *work, int code)
{
    pthread_mutex_lock(&work->mutex);
    if (work->code == PG_OK) {
        work->code = code;
        snprintf(work->message, sizeof work->message, "%s", pg_error_message());
    }
    pthread_mutex_unlock(&work->mutex);
}

void pg_work_forwarded(pg_pipeline *p, pg_work *work, int64_t images)
{
    work->forwarded += images;
    atomic_fetch_add(&p->status->forwarded, images);
}

void pg_work_close(pg_pipeline *p, pg_work *work)
{
    if (atomic_fetch_sub(&work->open, 1) == 1)
        pg_queue_push(&p->to_commit, work);
}
