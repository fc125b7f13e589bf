/* patchgauge status: how the database stands as a whole, while runs go on. */
#include "harness/cmd/command.h"
#include "harness/cmd/output.h"
#include "harness/base/text.h"
#include "harness/cmd/print.h"
#include "db/store.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/base/signals.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

PG_COMMAND(status)

enum { FAILURES_SHOWN = 10, SECONDS_BETWEEN = 2 };

typedef struct arguments {
    bool watch;
    pg_output output;
} arguments;

/* One look at the store, gathered before it is printed: a slow reader of ours holds no lock. */
typedef struct view {
    pg_store_status status;
    int64_t live, failures;
    pg_buf workers, failed; /* text */
    json_t *worker_list, *failure_list;
} view;

/* "images 0:256 of 20 cells (1f3a567890ab, ...)" */
static void format_task(int64_t first, int64_t count, int64_t cells, const char *cell_id, pg_buf *out)
{
    pg_buf_printf(out, "images %" PRId64 ":%" PRId64 " of ", first, first + count);
    if (cells == 1)
        pg_buf_printf(out, "cell %.12s", cell_id);
    else
        pg_buf_printf(out, "%" PRId64 " cells (%.12s, ...)", cells, cell_id);
}

static int add_worker(const pg_worker_record *w, void *context)
{
    view *v = context;
    pg_buf *out = &v->workers;
    v->live += w->lives;
    pg_buf_printf(out, "  %s pid %" PRId64 ", %s, ", w->host, w->pid, w->device);
    if (w->threads > 0)
        pg_buf_printf(out, "%d thread%s", w->threads, pg_plural(w->threads));
    else
        pg_buf_puts(out, "all cores");
    pg_buf_printf(out, ", since %s: ", w->started);
    if (w->tasks > 0)
        format_task(w->first, w->count, w->cells, w->cell_id, out);
    if (w->tasks > 1)
        pg_buf_printf(out, ", and %" PRId64 " more task%s", w->tasks - 1, pg_plural(w->tasks - 1));
    pg_buf_puts(out, w->tasks == 0 ? "between tasks\n" : w->lives ? "\n" : "; died, the next run takes them up\n");
    json_t *row = json_pack("{s:o, s:I, s:o, s:i, s:s, s:b, s:I, s:I, s:I, s:I, s:s}", "host", pg_json_text(w->host), "pid",
                            (json_int_t)w->pid, "device", pg_json_text(w->device), "threads", w->threads, "started", w->started,
                            "lives", w->lives, "tasks", (json_int_t)w->tasks, "first", (json_int_t)w->first, "count",
                            (json_int_t)w->count, "cells", (json_int_t)w->cells, "cell", w->cell_id);
    return json_array_append_new(v->worker_list, row) == 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for the workers");
}

static int add_failure(const pg_failure_record *f, void *context)
{
    view *v = context;
    v->failures++;
    pg_buf_puts(&v->failed, "  ");
    format_task(f->first, f->count, f->cells, f->cell_id, &v->failed);
    pg_buf_printf(&v->failed, ": %s\n", f->error);
    json_t *row =
        json_pack("{s:I, s:I, s:I, s:s, s:i, s:o}", "first", (json_int_t)f->first, "count", (json_int_t)f->count, "cells",
                  (json_int_t)f->cells, "cell", f->cell_id, "attempts", f->attempts, "error", pg_json_text(f->error));
    return json_array_append_new(v->failure_list, row) == 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for the failures");
}

static void release(view *v)
{
    pg_buf_release(&v->workers);
    pg_buf_release(&v->failed);
    json_decref(v->worker_list);
    json_decref(v->failure_list);
}

/* *new* inside, release */
static int look(const char *path, view *v)
{
    pg_store *store = NULL;
    *v = (view){.worker_list = json_array(), .failure_list = json_array()};
    pg_buf_init(&v->workers);
    pg_buf_init(&v->failed);
    int code = pg_store_open(path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_status_of(store, &v->status);
    if (code == PG_OK)
        code = pg_store_each_worker(store, add_worker, v);
    if (code == PG_OK)
        code = pg_store_each_failure(store, FAILURES_SHOWN, add_failure, v);
    pg_store_close(store);
    return code;
}

static double left_of(const view *v) { return v->status.left_s / (double)(v->live > 0 ? v->live : 1); }

static void format_text(const pg_context *context, const view *v, pg_buf *out)
{
    const pg_store_status *s = &v->status;
    int64_t cells = 0;
    for (int i = 0; i < PG_CELL_STATES; i++)
        cells += s->cells[i];
    pg_buf_printf(out, "%s: %" PRId64 " cell%s: %" PRId64 " new, %" PRId64 " partial, %" PRId64 " done, %" PRId64 " failed",
                  context->db_path, cells, pg_plural(cells), s->cells[PG_CELL_NEW], s->cells[PG_CELL_PARTIAL],
                  s->cells[PG_CELL_DONE], s->cells[PG_CELL_FAILED]);
    if (s->audited > 0)
        pg_buf_printf(out, "; %" PRId64 " more only audited", s->audited);
    pg_buf_puts(out, "\n");
    pg_buf_printf(out, "outcomes: %" PRId64 " of %" PRId64 "\n", s->outcomes, s->outcomes_asked);
    pg_buf_printf(out, "tasks: %" PRId64 " of %" PRId64 " done, %" PRId64 " running, %" PRId64 " pending, %" PRId64 " failed\n",
                  s->done, s->tasks, s->running, s->pending, s->failed);
    pg_buf_printf(out, "workers: %" PRId64 "\n%s", v->live, v->workers.data);
    if (s->pending + s->running > 0 && !isnan(s->left_s)) {
        char left[32];
        pg_duration_format(left_of(v), left);
        pg_buf_printf(out, "left: about %s at the measured speed of %" PRId64 " worker%s%s\n", left, v->live > 0 ? v->live : 1,
                      pg_plural(v->live > 0 ? v->live : 1), v->live > 0 ? "" : "; none is running");
    } else if (s->pending + s->running > 0) {
        pg_buf_puts(out, "left: not known before a task is done\n");
    }
    if (v->failures > 0)
        pg_buf_printf(out, "failed:\n%s", v->failed.data);
    if (s->failed > v->failures)
        pg_buf_printf(out, "  and %" PRId64 " more task%s; `patchgauge ls --state failed` lists the cells\n",
                      s->failed - v->failures, pg_plural(s->failed - v->failures));
}

static int print_rows(const pg_context *context, const view *v, const pg_output *output)
{
    const pg_store_status *s = &v->status;
    json_t *row = json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:O, s:O}", "database",
                            pg_json_text(context->db_path), "cells_new", (json_int_t)s->cells[PG_CELL_NEW], "cells_partial",
                            (json_int_t)s->cells[PG_CELL_PARTIAL], "cells_done", (json_int_t)s->cells[PG_CELL_DONE],
                            "cells_failed", (json_int_t)s->cells[PG_CELL_FAILED], "cells_audited", (json_int_t)s->audited,
                            "outcomes", (json_int_t)s->outcomes, "outcomes_asked", (json_int_t)s->outcomes_asked, "tasks",
                            (json_int_t)s->tasks, "tasks_done", (json_int_t)s->done, "tasks_running", (json_int_t)s->running,
                            "tasks_pending", (json_int_t)s->pending, "tasks_failed", (json_int_t)s->failed, "left_s",
                            isnan(s->left_s) ? json_null() : json_real(left_of(v)), "live_workers", (json_int_t)v->live,
                            "workers", v->worker_list, "failures", v->failure_list);
    return pg_output_json(output, "status", row ? json_pack("[o]", row) : NULL);
}

/* *status and *live: what was shown. */
static int show(const pg_context *context, const arguments *a, pg_store_status *status, int64_t *live)
{
    view v;
    pg_buf text;
    pg_buf_init(&text);
    int code = look(context->db_path, &v);
    *status = v.status;
    *live = v.live;
    bool rows = pg_format_is_rows((pg_table_format)a->output.format);
    if (code == PG_OK && rows)
        code = print_rows(context, &v, &a->output);
    else if (code == PG_OK)
        format_text(context, &v, &text);
    if (code == PG_OK)
        code = pg_buf_check(&text);
    if (code == PG_OK && a->watch && !rows && isatty(STDOUT_FILENO))
        fputs("\033[H\033[2J", stdout);
    if (code == PG_OK && !rows)
        pg_print("%s", text.data);
    if (code == PG_OK && (ferror(stdout) || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write to standard output");
    pg_buf_release(&text);
    release(&v);
    return code;
}

/* Shows the state again until no task is pending or running, or all workers are gone that were seen: twice, for one that died
 * is replaced. Ctrl-C ends it, as one ends a watch. */
static int watch(const pg_context *context, const arguments *a, pg_store_status *status, int64_t live)
{
    int code = PG_OK, gone = 0;
    bool seen = live > 0;
    while (code == PG_OK && status->pending + status->running > 0 && gone < 2) {
        nanosleep(&(struct timespec){.tv_sec = SECONDS_BETWEEN}, NULL);
        if (pg_signals_stopping())
            return PG_OK;
        code = show(context, a, status, &live);
        seen |= live > 0;
        gone = seen && live == 0 ? gone + 1 : 0;
    }
    if (code == PG_OK && status->failed > 0)
        return pg_fail(PG_ECELLS, "%" PRId64 " of %" PRId64 " tasks failed", status->failed, status->tasks);
    if (code == PG_OK && status->pending + status->running > 0)
        return pg_fail(PG_EINTERRUPTED, "no worker is running any more; the same `patchgauge run` goes on");
    return code;
}

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, "watch", NULL,
     "again every two seconds, until no task is pending or running, or the workers are gone; ends with the exit code of a run "
     "in "
     "that state: 0 done, 1 tasks failed, 3 the run stopped; 0 after Ctrl-C",
     NULL, AT(watch), PG_FLAG},
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    pg_store_status status;
    int64_t live;
    if (a->watch && (a->output.format == PG_TABLE_CSV || a->output.format == PG_TABLE_JSON))
        return pg_fail(PG_EUSAGE, "status: --watch prints one look after another: right would be -f text or -f json-lines");
    if (a->watch)
        pg_signals_catch();
    int code = pg_output_begin(&a->output, (const char *const[]){context->db_path, NULL});
    if (code == PG_OK)
        code = show(context, a, &status, &live);
    if (code == PG_OK && a->watch)
        code = watch(context, a, &status, live);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_status = {
    .name = "status",
    .synopsis = "status [--watch] [options]",
    .summary = "show how the database stands: cells, tasks, workers, failures, time left",
    .help =
        "Looks at the whole database, also while runs go on, and holds none of them up. The time left is that of the tasks not "
        "done at the speed of the last thousand tasks, forward pass by forward pass, shared by the workers that live. Cells "
        "that were audited and not run are counted separately: no run is going to compute them.\n",
    .examples = "  patchgauge status --watch\n  patchgauge status -f json --db try.db\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
