/* patchgauge log: what happened to one cell, in the order in which it happened. */
#include "db/store.h"
#include "harness/base/text.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/only.h"
#include "harness/cmd/output.h"
#include "harness/cmd/print.h"

#include <inttypes.h>
#include <string.h>

PG_COMMAND(log)

/* Lines are gathered before they are printed: a slow reader of ours holds no lock. */
static int add_plan(const char *name, const char *created, void *context)
{
    pg_buf_printf(context, "%s planned by %s\n", created, name);
    return PG_OK;
}

static void add_times(const pg_attempt_record *a, pg_buf *out)
{
    pg_buf_printf(out, "    %.3f s (read %.3f, forward %.3f, certify %.3f), %d threads, batch %d, peak %" PRId64 " MiB",
                  a->wall_s, a->read_s, a->forward_s, a->certify_s, a->threads, a->batch, a->peak_bytes >> 20);
    if (a->cached > 0)
        pg_buf_printf(out, ", %d image%s from the cache", a->cached, pg_plural(a->cached));
    pg_buf_puts(out, "\n");
}

static int add_attempt(const pg_attempt_record *a, void *context)
{
    pg_buf *out = context;
    pg_buf_printf(out, "%s %s images %" PRId64 ":%" PRId64 ", epoch %" PRId64, a->finished, a->result, a->first,
                  a->first + a->count, a->epoch);
    if (*a->host)
        pg_buf_printf(out, ", %s pid %" PRId64, a->host, a->pid);
    pg_buf_printf(out, "%s%s%s%s", *a->device ? ", " : "", a->device, *a->library ? ", " : "", a->library);
    if (*a->revision)
        pg_buf_printf(out, ", patchgauge %s", a->revision);
    pg_buf_puts(out, "\n");
    if (a->batch > 0)
        add_times(a, out);
    if (*a->error)
        pg_buf_printf(out, "    %s\n", a->error);
    return PG_OK;
}

static int add_audit(const pg_audit_record *a, void *context)
{
    pg_buf_printf(context, "%s audited, level %s: %" PRId64 " images, %" PRId64 " certified, %" PRId64 " broken\n", a->finished,
                  a->level, a->n, a->certified, a->broken);
    return PG_OK;
}

static int add_open(const pg_task_record *t, void *context)
{
    pg_buf *out = context;
    pg_buf_printf(out, "now %s images %" PRId64 ":%" PRId64, t->state, t->first, t->first + t->count);
    if (*t->host)
        pg_buf_printf(out, ", %s pid %" PRId64, t->host, t->pid);
    if (t->attempts > 0)
        pg_buf_printf(out, ", %d of %d attempts failed", t->attempts, (int)PG_ATTEMPTS_MAX);
    if (*t->error)
        pg_buf_printf(out, ": %s", t->error);
    pg_buf_puts(out, "\n");
    return PG_OK;
}

static int gather(pg_store *store, const char *cell_id, pg_buf *out)
{
    int code = pg_store_each_plan(store, cell_id, add_plan, out);
    if (code == PG_OK)
        code = pg_store_each_attempt(store, cell_id, add_attempt, out);
    if (code == PG_OK)
        code = pg_store_each_audit(store, cell_id, add_audit, out);
    if (code == PG_OK)
        code = pg_store_each_open_task(store, cell_id, add_open, out);
    return code == PG_OK ? pg_buf_check(out) : code;
}

/* ---- For programs: an event a row ---- */

typedef struct events {
    const char *cell;
    json_t *rows;
} events;

static int add_event(events *e, json_t *fields)
{
    json_t *row = json_pack("{s:s}", "cell", e->cell);
    bool good = row && fields && json_object_update(row, fields) == 0;
    json_decref(fields);
    good = json_array_append_new(e->rows, row) == 0 && good;
    return good ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a log");
}

static json_t *text_or_null(const char *text) { return text && *text ? pg_json_text(text) : json_null(); }

static int plan_event(const char *name, const char *created, void *context)
{
    return add_event(context, json_pack("{s:s, s:s, s:o}", "time", created, "event", "planned", "plan", pg_json_text(name)));
}

static int attempt_event(const pg_attempt_record *a, void *context)
{
    return add_event(
        context, json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:o, s:I, s:o, s:o, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:I, s:o, "
                           "s:o}",
                           "time", a->finished, "event", "attempt", "first", (json_int_t)a->first, "count",
                           (json_int_t)a->count, "result", a->result, "epoch", (json_int_t)a->epoch, "host",
                           text_or_null(a->host), "pid", (json_int_t)a->pid, "device", text_or_null(a->device), "library",
                           text_or_null(a->library), "threads", a->threads, "batch", a->batch, "cached", a->cached, "wall_s",
                           a->wall_s, "read_s", a->read_s, "forward_s", a->forward_s, "certify_s", a->certify_s, "peak_bytes",
                           (json_int_t)a->peak_bytes, "revision", text_or_null(a->revision), "error", text_or_null(a->error)));
}

static int audit_event(const pg_audit_record *a, void *context)
{
    return add_event(context, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "time", a->finished, "event", "audit", "level",
                                        a->level, "count", (json_int_t)a->n, "certified", (json_int_t)a->certified, "broken",
                                        (json_int_t)a->broken));
}

static int open_event(const pg_task_record *t, void *context)
{
    return add_event(context, json_pack("{s:n, s:s, s:I, s:I, s:s, s:o, s:o, s:i, s:o}", "time", "event", "now", "first",
                                        (json_int_t)t->first, "count", (json_int_t)t->count, "result", t->state, "host",
                                        text_or_null(t->host), "pid", *t->host ? json_integer(t->pid) : json_null(), "failed",
                                        t->attempts, "error", text_or_null(t->error)));
}

static int gather_events(pg_store *store, const char *cell_id, json_t *rows)
{
    events e = {cell_id, rows};
    int code = pg_store_each_plan(store, cell_id, plan_event, &e);
    if (code == PG_OK)
        code = pg_store_each_attempt(store, cell_id, attempt_event, &e);
    if (code == PG_OK)
        code = pg_store_each_audit(store, cell_id, audit_event, &e);
    return code == PG_OK ? pg_store_each_open_task(store, cell_id, open_event, &e) : code;
}

/* ---- The command ---- */

typedef struct arguments {
    const char *cell;
    pg_texts only;
    pg_output output;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    PG_CELL_ROW(AT(cell)),          PG_ONLY_ROW(AT(only)),           PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)), PG_OUTPUT_FORCE_ROW(AT(output)), PG_CLI_END,
};

/* A cell for people, printed when all of it is gathered; for programs its rows. */
static int log_cell(pg_store *store, const char *cell_id, void *rows)
{
    if (rows)
        return gather_events(store, cell_id, rows);
    pg_buf lines = PG_BUF_EMPTY;
    int code = gather(store, cell_id, &lines);
    if (code == PG_OK)
        pg_print("cell %s\n%s", cell_id, lines.data);
    pg_buf_release(&lines);
    return code;
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    json_t *rows = pg_format_is_rows((pg_table_format)a->output.format) ? json_array() : NULL;
    pg_store *store = NULL;
    int code = pg_output_begin(&a->output, (const char *const[]){context->db_path, NULL});
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_only_each("log", a->cell, &a->only, store, log_cell, rows);
    pg_store_close(store);
    if (code == PG_OK && rows)
        code = pg_output_json(&a->output, "log", json_incref(rows));
    json_decref(rows);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_log = {
    .name = "log",
    .synopsis = "log CELL | --only KEY=VALUE [options]",
    .summary = "show what happened to one cell, or to those chosen: plans, attempts, failures, audits",
    .help =
        "Prints the plans that asked for the cell, every attempt at its images with its end, worker, machine, library, times "
        "and "
        "reason of failure, its audits, and what is pending, running or failed now. A result is done, failed, lost (its worker "
        "died), or stale (it came too late to count).\n",
    .examples = "  patchgauge log 2269\n  patchgauge log --only defense=ds --only patch=5 -f csv\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
