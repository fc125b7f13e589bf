/* patchgauge log: what happened to one cell, in the order in which it happened. */
#include "harness/cmd/command.h"
#include "harness/base/text.h"
#include "harness/cmd/print.h"
#include "db/store.h"

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

typedef struct arguments {
    const char *cell;
} arguments;

static const pg_cli_row options[] = {
    {0, NULL, "CELL", "a cell id or its first digits, at least four; `patchgauge ls` lists them", NULL,
     offsetof(arguments, cell), PG_TEXT, PG_REQUIRED},
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    const arguments *a = request;
    char cell_id[PG_HASH_HEX];
    pg_store *store = NULL;
    pg_buf lines = PG_BUF_EMPTY;
    int code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_resolve(store, a->cell, cell_id);
    if (code == PG_OK)
        code = gather(store, cell_id, &lines);
    pg_store_close(store);
    if (code == PG_OK)
        pg_print("cell %s\n%s", cell_id, lines.data);
    if (code == PG_OK && (ferror(stdout) || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write to standard output");
    pg_buf_release(&lines);
    return code;
}

const pg_command pg_command_log = {
    .name = "log",
    .synopsis = "log CELL",
    .summary = "show what happened to one cell: plans, attempts, failures, audits",
    .help =
        "Prints the plans that asked for the cell, every attempt at its images with its end, worker, machine, library, times "
        "and reason of failure, its audits, and what is pending, running or failed now. A result is done, failed, lost (its "
        "worker died), or stale (it came too late to count).\n",
    .examples = "  patchgauge log 2269\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
