/* The reader and the certify threads of a worker. See worker.h. */
#include "harness/pipeline/pipeline.h"

#include "harness/base/log.h"
#include "harness/plan/modules.h"
#include "harness/base/process.h"
#include "harness/base/signals.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reader ---- */

static int read_work(pg_work *work, const pg_dataset *dataset)
{
    const pg_forward *f = work->forward;
    size_t image = (size_t)3 * (size_t)f->dataset_height * (size_t)f->dataset_width;
    work->pixels = malloc((size_t)work->images * image);
    work->labels = malloc((size_t)work->images * sizeof *work->labels);
    if (!work->pixels || !work->labels)
        return pg_fail(PG_ENOMEM, "out of memory for %lld images", (long long)work->images);
    int code = pg_dataset_read(dataset, work->start, work->images, work->pixels, work->labels);
    if (code != PG_OK || !f->before_resize)
        return code;
    work->sources = malloc((size_t)work->images * 3 * (size_t)f->resize.from_height * (size_t)f->resize.from_width);
    return work->sources ? pg_dataset_read_source(dataset, work->start, work->images, work->sources)
                         : pg_fail(PG_ENOMEM, "out of memory for %lld images", (long long)work->images);
}

/* The data set the work wants; the last one stays open. */
static int choose_dataset(const pg_pipeline *p, const pg_forward *f, pg_dataset **dataset, const char **spec)
{
    if (*dataset && strcmp(*spec, f->dataset) == 0)
        return PG_OK;
    pg_dataset_close(*dataset);
    *dataset = NULL;
    int code = pg_dataset_open(p->request->data_dir, f->dataset, dataset);
    if (code == PG_OK && strcmp(pg_dataset_info_of(*dataset)->hash, f->dataset_hash) != 0)
        code = pg_fail(PG_EINPUT, "%s changed since it was planned; plan and run again", f->dataset);
    *spec = f->dataset;
    return code;
}

void *pg_reader_main(void *context)
{
    pg_pipeline *p = context;
    pg_dataset *dataset = NULL;
    const char *spec = "";
    for (pg_work *work; (work = pg_queue_pop(&p->to_read));) {
        double begun_s = pg_now_s();
        pg_signals_hold(work->task.task);
        int code = choose_dataset(p, work->forward, &dataset, &spec);
        if (code == PG_OK)
            code = read_work(work, dataset);
        else
            spec = "";
        work->read_s = pg_now_s() - begun_s;
        if (code != PG_OK)
            pg_work_fail(work, code);
        pg_signals_hold(0);
        pg_queue_push(&p->to_forward, work);
    }
    pg_dataset_close(dataset);
    pg_queue_close(&p->to_forward);
    return NULL;
}

/* ---- Certify ---- */

/* A thread's certifier, for the cells of the task it last worked on. */
typedef struct certify_state {
    pg_certifier *certifier;
    const pg_forward *forward;
    int64_t *cells;
    size_t n_cells;
    pg_verdict *verdicts;
} certify_state;

static void forget(certify_state *s)
{
    pg_certifier_free(s->certifier);
    free(s->cells);
    free(s->verdicts);
    *s = (certify_state){0};
}

static int choose_certifier(certify_state *s, const pg_work *work)
{
    size_t n = work->task.n_cells;
    if (s->certifier && s->forward == work->forward && s->n_cells == n &&
        memcmp(s->cells, work->task.cells, n * sizeof *s->cells) == 0)
        return PG_OK;
    forget(s);
    const pg_geometry *g = &work->forward->info.geometry;
    s->cells = malloc((n + 1) * sizeof *s->cells);
    s->verdicts = malloc((n + 1) * sizeof *s->verdicts);
    if (!s->cells || !s->verdicts)
        return pg_fail(PG_ENOMEM, "out of memory for %zu verdicts", n);
    memcpy(s->cells, work->task.cells, n * sizeof *s->cells);
    s->n_cells = n;
    s->forward = work->forward;
    return pg_certifier_new(work->jobs, n, g->rows.positions, g->columns.positions, g->classes, g->rows.wrap, g->columns.wrap,
                            &s->certifier);
}

static pg_outcome outcome_of(const pg_defense *defense, const pg_verdict *v, int64_t image, int label)
{
    return (pg_outcome){.image = image,
                        .label = label,
                        .prediction = v->prediction,
                        .certified = v->certified,
                        .certified_published = v->certified_published,
                        .masked = v->masked,
                        .has_saturated = true,
                        .saturated = v->saturated,
                        .has_differs = defense->predict_double != NULL,
                        .differs = v->differs,
                        .has_margin = v->has_margin,
                        .failure_case = v->failure_case,
                        .margin = v->has_margin ? v->margin : 0};
}

static int certify_batch(certify_state *s, const pg_batch *batch)
{
    pg_work *work = batch->work;
    const pg_geometry *g = &work->forward->info.geometry;
    size_t tensor = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    int code = choose_certifier(s, work);
    for (int i = batch->skip; code == PG_OK && i < batch->count; i++) {
        int64_t image = batch->first + i;
        int label = work->labels[image - work->start];
        pg_certifier_image_f32(s->certifier, batch->logits + (size_t)i * tensor, label, s->verdicts);
        for (size_t c = 0; code == PG_OK && c < work->task.n_cells; c++) {
            code = pg_verdict_check(&work->jobs[c], &s->verdicts[c], label, g->classes);
            if (code != PG_OK)
                return pg_modules_blame(code, "defense", &work->jobs[c].defense->module, image);
            work->outcomes[(int64_t)c * work->task.count + image - work->task.first] =
                outcome_of(work->jobs[c].defense, &s->verdicts[c], image, label);
        }
    }
    return code;
}

/* A rule that ends the thread ends the process. */
static int certify_or_crash(certify_state *s, const pg_batch *batch)
{
    int code;
    pthread_cleanup_push(pg_process_thread_lost, NULL);
    code = certify_batch(s, batch);
    pthread_cleanup_pop(0);
    return code;
}

void *pg_certify_main(void *context)
{
    pg_pipeline *p = context;
    certify_state state = {0};
    for (pg_batch *batch; (batch = pg_queue_pop(&p->to_certify));) {
        pg_work *work = batch->work;
        double begun_s = pg_now_s();
        pg_signals_hold(work->task.task);
        if (work->foreign)
            atomic_store(&p->status->evaluated, work->task.task);
        int code = certify_or_crash(&state, batch);
        if (code != PG_OK) {
            pg_work_fail(work, code);
            forget(&state);
        }
        pthread_mutex_lock(&work->mutex);
        work->certify_s += pg_now_s() - begun_s;
        pthread_mutex_unlock(&work->mutex);
        free(batch->logits);
        free(batch);
        pg_signals_hold(0);
        pg_work_close(p, work);
    }
    forget(&state);
    return NULL;
}
