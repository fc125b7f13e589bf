/* patchgauge plan: what a matrix asks for and what of it is done. Writes nothing. */
#include "harness/base/text.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/only.h"
#include "harness/cmd/output.h"
#include "harness/cmd/print.h"
#include "harness/pipeline/worker.h"
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

/* For programs: a cell a row, in CSV and JSON with all its settings as they are written. */
static int add_row(const pg_cell *cell, const char *state, const pg_explained *e, json_t *rows)
{
    json_t *settings = json_object();
    bool good = settings != NULL;
    for (size_t i = 0; good && i < cell->n_values; i++) { /* of equal keys the first */
        const pg_setting *s = &cell->values[i];
        if ((i == 0 || strcmp(s->key, s[-1].key) != 0) && pg_only_is_setting(s->key, cell->values, cell->n_values))
            good = json_object_set_new(settings, s->key, pg_json_text(s->value)) == 0;
    }
    json_t *row = json_pack("{s:s, s:s, s:o, s:o, s:o}", "cell", cell->id, "state", state, "why", pg_json_text(e->why), "asked",
                            e->images > 0 ? json_integer(e->images) : json_null(), "n",
                            e->images > 0 ? json_integer(e->done) : json_null());
    good = good && row && json_object_update(row, settings) == 0;
    json_decref(settings);
    good = json_array_append_new(rows, row) == 0 && good;
    return good ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a plan");
}

/* `rows` NULL: for people, a line a cell where they ask for it. */
static int show_cell(const pg_plan *plan, const pg_cell *cell, const char *state, const pg_explained *e, bool explain,
                     json_t *rows)
{
    return rows ? add_row(cell, state, e, rows) : explain ? print_cell(plan, cell, state, e) : PG_OK;
}

/* The masked images of a pass and what they take, for each network that runs them once. */
static int print_memory(const pg_plan *plan)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_forwards(plan); i++) {
        const pg_forward *f = pg_plan_forward(plan, i);
        bool seen = false;
        for (size_t k = 0; k < i; k++) {
            const pg_forward *other = pg_plan_forward(plan, k);
            seen |= pg_defended_masks_images(&other->masked_images) && strcmp(other->weights, f->weights) == 0 &&
                    other->batch == f->batch;
        }
        if (seen || !pg_defended_masks_images(&f->masked_images) || f->info.geometry.input_height == 0)
            continue;
        int images;
        int64_t bytes;
        code = pg_network_masked_memory(&f->info, f->batch, &images, &bytes);
        if (code == PG_OK && bytes > 0)
            pg_print("%s: masked images in passes of at most %d, with up to %" PRId64 " MiB of features on a processor\n",
                     f->weights, images, (bytes >> 20) + 1);
    }
    return code;
}

enum { LOGITS_TOLD = 512 << 20 }; /* bytes; of fewer nothing is said */

/* The pass whose local logits take the most memory, where that is much: maps of many positions and classes. */
static void print_logits(const pg_plan *plan)
{
    const pg_forward *largest = NULL;
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_forward *f = pg_plan_at(plan, i)->forward;
        if (!largest || pg_worker_logits_bytes(f, 0) > pg_worker_logits_bytes(largest, 0))
            largest = f;
    }
    int64_t bytes = largest ? pg_worker_logits_bytes(largest, 0) : 0;
    if (bytes <= LOGITS_TOLD)
        return;
    const pg_geometry *g = &largest->info.geometry;
    pg_print("%s: local logits of %d x %d positions and %d classes take up to %" PRId64
             " MiB in a worker; smaller batches than %d take less\n",
             largest->weights, g->rows.positions, g->columns.positions, g->classes, bytes >> 20, largest->batch);
}

static int show_plan(const pg_plan *plan, pg_store *store, bool explain, json_t *rows)
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
        code = show_cell(plan, cell, pg_reason_name(e.reason), &e, explain, rows);
        free(e.why);
        if (code != PG_OK)
            return code;
    }
    for (size_t i = 0; i < pg_plan_likes(plan); i++) {
        const pg_explained same = {.why = "a row of this cell, which is listed above"};
        int code = show_cell(plan, pg_plan_like(plan, i), "same", &same, explain, rows);
        if (code != PG_OK)
            return code;
    }
    if (rows)
        return PG_OK;
    size_t cells = pg_plan_count(plan), likes = pg_plan_likes(plan);
    pg_print("%s: %zu cell%s: %zu new, %zu partial, %zu done, %zu stale, %zu failed; %" PRId64 " outcome%s to compute\n",
             pg_plan_name(plan), cells, pg_plural((int64_t)cells), counts[PG_REASON_NEW], counts[PG_REASON_PARTIAL],
             counts[PG_REASON_DONE], counts[PG_REASON_STALE], counts[PG_REASON_FAILED], left, pg_plural(left));
    if (likes > 0)
        pg_print("%zu more row%s resolve%s to a cell that is there already\n", likes, pg_plural((int64_t)likes),
                 likes == 1 ? "s" : "");
    print_logits(plan);
    return print_memory(plan);
}

typedef struct arguments {
    pg_matrix_args matrix;
    bool explain;
    pg_output output;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    PG_MATRIX_ROW(AT(matrix)),
    {0, "explain", NULL, "one line a cell: state, id, what varies, reason", NULL, AT(explain), PG_FLAG},
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_MATRIX_SET_ROW(AT(matrix)),
    PG_MATRIX_ONLY_ROW(AT(matrix)),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    json_t *rows = pg_format_is_rows((pg_table_format)a->output.format) ? json_array() : NULL;
    pg_plan *plan = NULL;
    pg_store *store = NULL;
    int code = pg_output_begin(&a->output, (const char *const[]){a->matrix.matrix, context->db_path, NULL});
    if (code == PG_OK)
        code = pg_matrix_args_open(context, &a->matrix, &plan);
    if (code == PG_OK)
        code = open_store(context, &store);
    if (code == PG_OK)
        code = show_plan(plan, store, a->explain, rows);
    pg_store_close(store);
    pg_plan_free(plan);
    if (code == PG_OK && rows)
        code = pg_output_json(&a->output, "plan", json_incref(rows));
    json_decref(rows);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_plan = {
    .name = "plan",
    .synopsis = "plan MATRIX.toml [options]",
    .summary = "say what a matrix asks for and what of it is done",
    .help = "Checks the matrix file: all problems are reported with line numbers. Writes nothing. CSV and JSON have a row a "
            "cell, with a column for each setting.\n"
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
