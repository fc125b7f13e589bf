/* patchgauge run: computes the cells of a matrix that are missing. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/text.h"
#include "harness/cmd/matrix_args.h"
#include "harness/pipeline/compute.h"
#include "harness/base/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

PG_COMMAND(run)

typedef struct arguments {
    pg_matrix_args matrix;
    pg_compute_request compute;
    pg_shard shard; /* count 0: the whole plan */
} arguments;

/* "3/8": shard 3 of the eight from 0 to 7 */
static int set_shard(const char *text, void *field)
{
    pg_shard *out = field;
    char index[24] = "";
    const char *slash = strchr(text, '/');
    if (slash && (size_t)(slash - text) < sizeof index)
        memcpy(index, text, (size_t)(slash - text));
    return slash && pg_parse_int(index, &out->index) == PG_OK && pg_parse_int(slash + 1, &out->count) == PG_OK &&
                   out->index >= 0 && out->count <= PG_SHARDS_MAX && out->index < out->count
               ? PG_OK
               : PG_EUSAGE;
}

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    PG_MATRIX_ROW(AT(matrix)),
    PG_MATRIX_SET_ROW(AT(matrix)),
    PG_JOBS_ROW(AT(compute.workers)),
    PG_DEVICE_ROW(AT(compute.device)),
    PG_THREADS_ROW(AT(compute.threads)),
    {0, "keep-going", NULL, "a task that is given up does not stop the others; default", NULL, AT(compute.fail_fast),
     PG_UNFLAG},
    {0, "fail-fast", NULL, "the first task that is given up stops the run, whole images are kept; of the two the last counts",
     NULL, AT(compute.fail_fast), PG_FLAG},
    PG_TASK_IMAGES_ROW(AT(compute.task_images)),
    {0, "shard", "I/N",
     "run every N-th task of the plan from task I on, into a database of its own (--db), for `patchgauge merge`; `patchgauge "
     "submit` does this on a Slurm cluster",
     NULL, AT(shard), PG_CALL(set_shard, "I/N with I from 0 to N - 1 and N at most 10000, as 0/8")},
    PG_CLI_END,
};

/* "plan m.toml -S patch=5 --db x.db": the same matrix and store for another command. */
static void same_request(const pg_context *context, const pg_matrix_args *a, pg_buf *out)
{
    pg_buf_puts(out, "plan ");
    pg_shell_word(out, a->matrix);
    for (size_t i = 0; i < a->overrides.n; i++) {
        pg_buf_puts(out, " -S ");
        pg_shell_word(out, a->overrides.items[i]);
    }
    const char *const given[][3] = {{"--db", context->db_path, "./patchgauge.db"}, {"--data", context->data_dir, "./data"}};
    for (size_t i = 0; i < 2; i++)
        if (strcmp(given[i][1], given[i][2]) != 0) {
            pg_buf_printf(out, " %s ", given[i][0]);
            pg_shell_word(out, given[i][1]);
        }
}

/* Certificates of the plan that an attack broke, by this run or an earlier one. */
static int check_broken(const pg_plan *plan, pg_store *store)
{
    int64_t total = 0, cells = 0, first_image = -1;
    const pg_cell *first_cell = NULL;
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(plan); i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        int64_t broken = 0, image = -1;
        if (cell->forward->attack)
            code = pg_store_broken(store, cell->id, &broken, &image);
        if (broken > 0 && !first_cell) {
            first_cell = cell;
            first_image = image;
        }
        total += broken;
        cells += broken > 0;
    }
    if (code != PG_OK || total == 0)
        return code;
    return pg_fail(PG_EBROKEN,
                   "%" PRId64 " certificates of %" PRId64 " cells are broken by an attack; the first: image %" PRId64
                   " of cell %.12s, %s; a sound certificate cannot be broken",
                   total, cells, first_image, first_cell->id, first_cell->defense->module.name);
}

static int compute(const pg_context *context, const arguments *a, const pg_plan *plan, pg_store **store)
{
    pg_buf explain = PG_BUF_EMPTY;
    pg_compute_request request = a->compute;
    same_request(context, &a->matrix, &explain);
    request.plan = plan;
    request.db_path = context->db_path;
    request.data_dir = context->data_dir;
    request.cache_dir = context->cache_dir;
    request.cache_bytes = context->cache_bytes;
    request.shard = a->shard.count ? &a->shard : NULL;
    request.explain = explain.data;
    int code = pg_buf_check(&explain);
    if (code == PG_OK)
        code = pg_compute(&request, store);
    pg_buf_release(&explain);
    return code;
}

static int run(const pg_context *context, void *request)
{
    const arguments *a = request;
    pg_plan *plan = NULL;
    pg_store *store = NULL;
    pg_signals_catch();
    int code = pg_matrix_args_open(context, &a->matrix, &plan);
    if (code == PG_OK)
        code = compute(context, a, plan, &store);
    if (store) {
        char message[PG_MESSAGE_MAX];
        snprintf(message, sizeof message, "%s", pg_error_message());
        int broken = check_broken(plan, store);
        if (broken != PG_OK && code != PG_OK)
            pg_warn("%s", message);
        code = broken != PG_OK ? broken : code != PG_OK ? pg_fail(code, "%s", message) : PG_OK;
    }
    pg_store_close(store);
    pg_plan_free(plan);
    return code;
}

const pg_command pg_command_run = {
    .name = "run",
    .synopsis = "run MATRIX.toml [-j N] [options]",
    .summary = "compute the cells of a matrix that are missing",
    .help =
        "Cells that share a forward pass are computed together; images with outcomes are not computed again. Work is committed "
        "task by task: after an interruption, a crash or kill -9 the same command goes on where it stopped. The first Ctrl-C "
        "or TERM, or USR1, stops at the next batch of images or pass of an attack and keeps the images that are whole; the "
        "second ends at once. A task that fails is tried three times, then left out while the rest goes on (exit code 1). "
        "Workers are processes: one that crashes costs its task one attempt, and another takes its place. Where memory runs "
        "out, a task goes on with half the batch; its results may differ in their last bits, and tables say so.\n"
        "A certified image that an attack of the matrix breaks is reported at once, with its witness (exit code 5).\n",
    .examples = "  patchgauge run experiments/demo.toml\n"
                "  patchgauge run experiments/demo.toml -j 4\n"
                "  patchgauge run experiments/demo.toml -S images=0:100 --db try.db\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
