#include "harness/pipeline/compute.h"

#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/pipeline/supervisor.h"
#include "harness/plan/tasks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

typedef struct session {
    const pg_compute_request *request;
    pg_store *store;            /* NULL while workers run, and before */
    pg_store_progress progress; /* when the plan was recorded */
} session;

/* What computed, for the record: lines that trace a number to a program and a machine. */
static int describe_program(char hash[PG_HASH_HEX], pg_buf *versions)
{
    struct utsname system;
    int code = pg_hash_file("/proc/self/exe", hash);
    if (code != PG_OK)
        return code;
    pg_settings_add(versions, "program", PG_VERSION);
    pg_settings_add(versions, "program.sha256", hash);
    if (uname(&system) == 0) {
        pg_settings_add(versions, "machine", system.machine);
        pg_settings_add(versions, "system", system.release);
    }
    return pg_buf_check(versions);
}

static int copy_reason(const pg_failure_record *record, void *context)
{
    snprintf(context, PG_MESSAGE_MAX, "images %" PRId64 " to %" PRId64 ": %s", record->first, record->first + record->count - 1,
             record->error);
    return PG_OK;
}

static int fail_tasks(const pg_store_progress *left, const session *s)
{
    char reason[PG_MESSAGE_MAX] = "";
    if (s->request->explain)
        return pg_fail(PG_ECELLS, "%" PRId64 " of %" PRId64 " tasks failed; `patchgauge %s --explain` says why", left->failed,
                       left->tasks, s->request->explain);
    int code = pg_store_each_failure(s->store, 1, copy_reason, reason);
    return code == PG_OK ? pg_fail(PG_ECELLS, "%s", reason) : code;
}

static int verdict(const pg_store_progress *left, const pg_run_report *report, const session *s)
{
    char rate[64];
    pg_rate_format((double)report->images / (report->wall_s > 0 ? report->wall_s : 1), "images", rate);
    if (report->tasks || report->images)
        pg_info("%" PRId64 " image%s in %" PRId64 " task%s, %.1f s (%s)", report->images, pg_plural(report->images),
                report->tasks, pg_plural(report->tasks), report->wall_s, rate);
    if (report->interrupted && left->pending + left->running > 0 && !(s->request->fail_fast && left->failed > 0))
        return pg_fail(PG_EINTERRUPTED,
                       "interrupted: %" PRId64 " of %" PRId64 " images are done and kept; the same command goes on",
                       left->images_done, left->images);
    if (left->failed > 0)
        return fail_tasks(left, s);
    if (left->done < left->tasks && report->failed > 0)
        return pg_fail(PG_ECELLS, "%" PRId64 " task%s failed; another run tries again", report->failed,
                       pg_plural(report->failed));
    if (left->done < left->tasks)
        return pg_fail(PG_EDB, "%" PRId64 " of %" PRId64 " tasks were not run", left->tasks - left->done, left->tasks);
    return PG_OK;
}

/* ---- The store, recorded once a network has opened ---- */

static int record_plan(session *s)
{
    const pg_compute_request *r = s->request;
    int64_t requeued = 0;
    int code = r->begin ? r->begin(r->context) : PG_OK;
    if (code == PG_OK)
        code = pg_store_open(r->db_path, PG_STORE_WRITE, &s->store);
    if (code == PG_OK)
        code = pg_plan_record_shard(r->plan, s->store, r->task_images, r->shard);
    if (code == PG_OK)
        code = pg_store_reap(s->store, &requeued); /* also where nothing is left to do: it sweeps up after the dead */
    if (code == PG_OK)
        code = pg_store_progress_of(s->store, &s->progress);
    if (code != PG_OK)
        return code;
    if (requeued > 0)
        pg_info("%" PRId64 " task%s of a run that died: taken up again", requeued, pg_plural(requeued));
    pg_info("%s: %zu cell%s, %" PRId64 " of %" PRId64 " tasks done", pg_plan_name(r->plan), pg_plan_count(r->plan),
            pg_plural((int64_t)pg_plan_count(r->plan)), s->progress.done, s->progress.tasks);
    return PG_OK;
}

static int record(void *context)
{
    session *s = context;
    int code = s->store ? PG_OK : record_plan(s);
    pg_store_close(s->store); /* no connection goes through a fork */
    s->store = NULL;
    return code;
}

static int open_again(session *s, pg_store_progress *left)
{
    int code = pg_store_open(s->request->db_path, PG_STORE_WRITE, &s->store);
    if (code == PG_OK)
        code = pg_plan_join(s->request->plan, s->store);
    return code == PG_OK ? pg_store_progress_of(s->store, left) : code;
}

/* The forward passes of cells that are not done, as the store says that is there. */
static int find_missing(const session *s, const pg_forward **missing, size_t *n)
{
    pg_store *store = NULL;
    bool *seen = calloc(pg_plan_forwards(s->request->plan) + 1, sizeof *seen);
    *n = 0;
    if (!seen)
        return pg_fail(PG_ENOMEM, "out of memory");
    bool there = !s->request->fresh && access(s->request->db_path, F_OK) == 0;
    int code = there ? pg_store_open(s->request->db_path, PG_STORE_READ, &store) : PG_OK;
    if (code == PG_EMISSING || code == PG_EUNSUPPORTED) /* empty, or of another version: opening it for writing evaluates */
        code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(s->request->plan); i++) {
        const pg_cell *cell = pg_plan_at(s->request->plan, i);
        pg_explained e;
        if (seen[cell->forward->index])
            continue;
        code = pg_plan_explain(cell, store, &e);
        if (code != PG_OK)
            break;
        if (e.reason != PG_REASON_DONE) {
            missing[(*n)++] = cell->forward;
            seen[cell->forward->index] = true;
        }
        free(e.why);
    }
    pg_store_close(store);
    free(seen);
    return code;
}

/* The workers' run, with the store closed before and open after it. */
static int supervise(session *s, const pg_forward *const *missing, size_t n_missing)
{
    const pg_compute_request *r = s->request;
    char hash[PG_HASH_HEX], revision[64];
    pg_buf versions = PG_BUF_EMPTY;
    pg_run_report report = {0};
    pg_store_progress left;
    int code = describe_program(hash, &versions);
    if (code == PG_OK) {
        snprintf(revision, sizeof revision, "%s-%.12s", PG_VERSION, hash);
        pg_store_worker_row row = {
            .revision = revision, .versions = versions.data, .device = r->device, .threads = (int)r->threads};
        pg_supervisor_request request = {.run = {.plan = r->plan,
                                                 .missing = missing,
                                                 .n_missing = n_missing,
                                                 .data_dir = r->data_dir,
                                                 .device = r->device,
                                                 .threads = (int)r->threads,
                                                 .cache_dir = r->cache_dir,
                                                 .cache_bytes = r->cache_bytes,
                                                 .fail_fast = r->fail_fast},
                                         .workers = (int)r->workers,
                                         .db_path = r->db_path,
                                         .row = &row,
                                         .record = record,
                                         .context = s};
        code = pg_supervise(&request, &report);
    }
    if (code == PG_OK)
        code = open_again(s, &left);
    if (code == PG_OK)
        code = verdict(&left, &report, s);
    pg_buf_release(&versions);
    return code;
}

int pg_compute(const pg_compute_request *request, pg_store **store)
{
    session s = {.request = request};
    const pg_forward **missing = calloc(pg_plan_forwards(request->plan) + 1, sizeof *missing);
    size_t n_missing = 0;
    *store = NULL;
    int code = missing ? find_missing(&s, missing, &n_missing) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK && n_missing == 0)
        code = record_plan(&s);
    if (code == PG_OK && !(n_missing == 0 && s.progress.done == s.progress.tasks)) {
        pg_store_close(s.store);
        s.store = NULL;
        code = supervise(&s, missing, n_missing);
    }
    free(missing);
    if (code == PG_OK || code == PG_ECELLS || code == PG_EINTERRUPTED)
        *store = s.store;
    else
        pg_store_close(s.store);
    return code;
}
