/* patchgauge plan: what a matrix asks for and what of it is done. Writes nothing. */
#include "harness/cmd/matrix_args.h"
#include "harness/base/text.h"
#include "harness/cmd/print.h"
#include "harness/plan/tasks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PG_COMMAND(plan)

/* The store, or NULL where there is no file yet. */
static int open_store(const pg_context *context, pg_store **out)
{
    *out = NULL;
    return access(context->db_path, F_OK) == 0 ? pg_store_open(context->db_path, PG_STORE_READ, out) : PG_OK;
}

/* "robust-masking patch=5 threshold=0.2": the defense and what varies. */
static int print_cell(const pg_plan *plan, const pg_cell *cell, const char *state, const pg_explained *e)
{
    pg_buf line;
    pg_buf_init(&line);
    pg_buf_printf(&line, "%-7s %.12s %s", state, cell->id, pg_cell_value(cell, "defense"));
    for (size_t i = 0; i < pg_plan_axes(plan); i++) {
        const char *key = pg_plan_axis(plan, i), *value = pg_cell_value(cell, key);
        if (strcmp(key, "defense") == 0 || !*value)
            continue;
        pg_buf_printf(&line, " %s=", key);
        if (strcmp(key, "patch") == 0)
            pg_patch_add(NULL, cell, &line);
        else
            pg_buf_puts(&line, value);
    }
    pg_buf_printf(&line, ": %s\n", e->why);
    int code = pg_buf_check(&line);
    if (code == PG_OK)
        pg_print_hanging(21, "%s", line.data);
    pg_buf_release(&line);
    return code;
}

static int print_plan(const pg_plan *plan, pg_store *store, bool explain)
{
    size_t counts[PG_REASONS] = {0};
    int64_t left = 0;
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        pg_explained e;
        int code = pg_plan_explain(cell, store, &e);
        if (code != PG_OK)
            return code;
        counts[e.reason]++;
        left += e.images - e.done;
        if (explain)
            code = print_cell(plan, cell, pg_reason_name(e.reason), &e);
        free(e.why);
        if (code != PG_OK)
            return code;
    }
    for (size_t i = 0; explain && i < pg_plan_likes(plan); i++) {
        const pg_cell *like = pg_plan_like(plan, i);
        const pg_explained same = {.why = "a row of this cell, which is listed above"};
        int code = print_cell(plan, like, "same", &same);
        if (code != PG_OK)
            return code;
    }
    size_t cells = pg_plan_count(plan), likes = pg_plan_likes(plan);
    pg_print("%s: %zu cell%s: %zu new, %zu partial, %zu done, %zu stale, %zu failed; %" PRId64 " outcome%s to compute\n",
             pg_plan_name(plan), cells, pg_plural((int64_t)cells), counts[PG_REASON_NEW], counts[PG_REASON_PARTIAL],
             counts[PG_REASON_DONE], counts[PG_REASON_STALE], counts[PG_REASON_FAILED], left, pg_plural(left));
    if (likes > 0)
        pg_print("%zu more row%s resolve%s to a cell that is there already\n", likes, pg_plural((int64_t)likes),
                 likes == 1 ? "s" : "");
    return ferror(stdout) || fflush(stdout) != 0 ? pg_fail(PG_EIO, "cannot write to standard output") : PG_OK;
}

typedef struct arguments {
    pg_matrix_args matrix;
    bool explain;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    PG_MATRIX_ROW(AT(matrix)),
    {0, "explain", NULL, "one line a cell: state, id, what varies, reason", NULL, AT(explain), PG_FLAG},
    PG_MATRIX_SET_ROW(AT(matrix)),
    PG_MATRIX_ONLY_ROW(AT(matrix)),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    const arguments *a = request;
    pg_plan *plan = NULL;
    pg_store *store = NULL;
    int code = pg_matrix_args_open(context, &a->matrix, &plan);
    if (code == PG_OK)
        code = open_store(context, &store);
    if (code == PG_OK)
        code = print_plan(plan, store, a->explain);
    pg_store_close(store);
    pg_plan_free(plan);
    return code;
}

const pg_command pg_command_plan = {
    .name = "plan",
    .synopsis = "plan MATRIX.toml [options]",
    .summary = "say what a matrix asks for and what of it is done",
    .help = "Checks the matrix file: all problems are reported with line numbers. Writes nothing.\n"
            "A cell's state is one of\n"
            "  new      no image has an outcome\n"
            "  partial  some have\n"
            "  done     all have\n"
            "  stale    there are outcomes of the same settings, but weights, data or a module changed\n"
            "  failed   a task gave up after three attempts; run tries again\n"
            "  same     a row that is written otherwise and resolves to a cell of another\n",
    .examples = "  patchgauge plan experiments/demo.toml --explain\n"
                "  patchgauge plan experiments/demo.toml -S patch=2,5 -S images=0:100\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
