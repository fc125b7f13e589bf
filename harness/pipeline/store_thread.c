/* The store thread: the one thread of a worker that talks to the store. See worker.h. */
#include "harness/pipeline/pipeline.h"

#include "harness/base/log.h"
#include "harness/base/signals.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const double poll_s = 0.1;
enum { BROKEN_TOLD = 10 }; /* broken certificates told one by one */

static int64_t peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

static void record_error(pg_pipeline *p, int code)
{
    if (p->code == PG_OK) {
        p->code = code;
        snprintf(p->message, sizeof p->message, "%s", pg_error_message());
    }
}

static int record_failure(pg_pipeline *p, const pg_work *work, const pg_attempt *attempt)
{
    bool given_up = false, input = pg_error_exit_code(work->code) == pg_error_exit_code(PG_EINPUT);
    int code = pg_store_fail(p->store, &work->task, attempt, work->message, !input, &given_up); /* bad input stays bad */
    if (code != PG_OK)
        return code;
    p->status->report.failed += given_up;
    p->status->report.retried += !given_up;
    if (given_up && p->request->fail_fast)
        pg_signals_stop();
    pg_warn("images %lld to %lld: %s%s", (long long)work->task.first, (long long)(work->task.first + work->task.count - 1),
            work->message, given_up ? "; given up" : "; will be tried again");
    return PG_OK;
}

/* A certified image that is misclassified under attack: the certificate is no proof, whatever the reason. Told at once. */
static void tell_broken(pg_pipeline *p, const pg_work *work, size_t c)
{
    const pg_outcome *outcomes = work->outcomes + (int64_t)c * work->whole;
    for (int64_t i = 0; i < work->whole; i++) {
        const pg_attack_row *a = &work->attacks[i];
        if (!outcomes[i].certified || a->after == outcomes[i].label || p->status->report.broken++ >= BROKEN_TOLD)
            continue;
        pg_warn(
            "certificate broken: image %lld, class %d, is certified by %s against patches of %dx%d pixels, and predicted as %d "
            "with the patch of attack %s at row %d, column %d; cell %.12s keeps the patch",
            (long long)a->image, outcomes[i].label, work->forward->defense->module.name, work->forward->patch_height,
            work->forward->patch_width, a->after, work->forward->attack->module.name, a->top, a->left, work->task.cell_ids[c]);
    }
}

/* Only the first images of the task are whole: their outcomes, one cell behind the other. */
static void compact_outcomes(pg_work *work)
{
    for (size_t c = 1; c < work->task.n_cells; c++)
        memmove(work->outcomes + (int64_t)c * work->whole, work->outcomes + (int64_t)c * work->task.count,
                (size_t)work->whole * sizeof *work->outcomes);
}

/* Ends a task that went through all stages, or the part of it that did before the run was to stop. */
static int finish(pg_pipeline *p, pg_work *work)
{
    pg_store *store = p->store;
    long long evaluated = work->task.task;
    atomic_compare_exchange_strong(&p->status->evaluated, &evaluated, 0);
    pg_attempt attempt = {.device = work->device,
                          .library = work->library,
                          .threads = work->threads,
                          .batch = work->batch,
                          .cached = work->cached,
                          .wall_s = pg_now_s() - work->begun_s,
                          .read_s = work->read_s,
                          .forward_s = work->forward_s,
                          .certify_s = work->certify_s,
                          .peak_bytes = peak_bytes()};
    if (work->returned || work->code != PG_OK)
        pg_work_forwarded(p, work, -work->forwarded);
    if (work->returned)
        return pg_store_return(store, &work->task);
    if (work->unopened)
        return pg_store_set_aside(store, &work->task);
    if (work->code != PG_OK)
        return record_failure(p, work, &attempt);
    bool counted = false;
    if (work->whole < work->task.count)
        compact_outcomes(work);
    int code = pg_store_finish(store, &work->task, work->whole, &attempt, work->outcomes, work->attacks, &counted);
    if (code == PG_OK && counted) {
        p->status->report.tasks += work->whole == work->task.count;
        p->status->report.images += work->whole;
        atomic_fetch_add(&p->status->stored, work->whole);
        for (size_t c = 0; work->attacks && c < work->task.n_cells; c++)
            tell_broken(p, work, c);
    } else if (code == PG_OK) {
        p->status->report.stale++;
        pg_warn(
            "images %lld to %lld: finished after the task was given to another worker; its result counts, this one does not",
            (long long)work->task.first, (long long)(work->task.first + work->task.count - 1));
    }
    return code;
}

/* Claims one task and sends it on its way: while the network is at work, only if every other worker would find one too. */
static int claim(pg_pipeline *p, bool *got)
{
    pg_task task;
    bool busy = atomic_load(&p->status->task) != 0;
    int code = pg_store_claim(p->store, busy && p->request->workers > 1 ? p->request->workers - 1 : 0, &task, got);
    if (code != PG_OK || !*got)
        return code;
    pg_work *work = pg_work_new(p->request->plan, &task);
    if (!work)
        return PG_EDB;
    atomic_fetch_add(&p->ahead, 1);
    pg_queue_push(&p->to_read, work);
    return PG_OK;
}

void *pg_store_thread_main(void *context)
{
    pg_pipeline *p = context;
    int64_t requeued = 0;
    while (sem_wait(&p->begun) != 0) {
    } /* EINTR */
    int in_flight = 0, code = p->store ? pg_store_reap(p->store, &requeued) : PG_OK;
    for (bool more = p->store != NULL; more;) {
        bool got = true;
        while (code == PG_OK && got && in_flight < PG_TASKS_IN_FLIGHT && atomic_load(&p->ahead) < PG_TASKS_AHEAD &&
               !pg_signals_stopping()) {
            code = claim(p, &got);
            in_flight += code == PG_OK && got;
        }
        pg_work *work = in_flight > 0 ? pg_queue_pop_within(&p->to_commit, poll_s) : NULL;
        if (work) {
            if (code == PG_OK) /* once the store failed, nothing more is sent to it */
                code = finish(p, work);
            pg_work_free(work);
            in_flight--;
            got = true;
        }
        if (code != PG_OK)
            record_error(p, code);
        /* who was busy left tasks to others, and asks again with empty hands before it goes */
        more = in_flight > 0 || (got && code == PG_OK && !pg_signals_stopping());
        if (!more && code == PG_OK && !pg_signals_stopping()) {
            code = pg_store_take(p->store, &more);
            if (code != PG_OK)
                record_error(p, code);
        }
    }
    p->status->report.interrupted = pg_signals_stopping();
    pg_queue_close(&p->to_read);
    return NULL;
}
