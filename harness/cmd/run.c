/* patchgauge run: computes the cells of a matrix that are missing. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/text.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/shell.h"
#include "harness/plan/tasks.h"
#include "harness/pipeline/compute.h"
#include "harness/base/signals.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

PG_COMMAND(run)

typedef struct arguments {
    pg_matrix_args matrix;
    const char *device;
    int64_t workers, threads, task_images;
    int fail_fast;
    pg_shard shard; /* count 0: the whole plan */
} arguments;

static int read_number(const char *option, const char *text, int64_t least, int64_t most, int64_t *out)
{
    if (pg_parse_int(text, out) != PG_OK || *out < least || *out > most)
        return pg_fail(PG_EUSAGE, "%s %s: right would be a whole number from %" PRId64 " to %" PRId64, option, text, least,
                       most);
    return PG_OK;
}

/* "3/8": shard 3 of the eight from 0 to 7 */
static int read_shard(const char *text, pg_shard *out)
{
    char index[24] = "";
    const char *slash = strchr(text, '/');
    if (slash && (size_t)(slash - text) < sizeof index)
        memcpy(index, text, (size_t)(slash - text));
    if (!slash || pg_parse_int(index, &out->index) != PG_OK || pg_parse_int(slash + 1, &out->count) != PG_OK ||
        out->index < 0 || out->count < 1 || out->count > PG_SHARDS_MAX || out->index >= out->count)
        return pg_fail(PG_EUSAGE, "--shard %s: right would be I/N with I from 0 to N - 1 and N at most %d, as 0/8", text,
                       (int)PG_SHARDS_MAX);
    return PG_OK;
}

static int parse(int argc, char **argv, arguments *a)
{
    const struct option options[] = {
        {"jobs", required_argument, NULL, 'j'},        {"device", required_argument, NULL, 'd'},
        {"threads", required_argument, NULL, 't'},     {"task-images", required_argument, NULL, 'i'},
        {"shard", required_argument, NULL, 's'},       {"fail-fast", no_argument, &a->fail_fast, 1},
        {"keep-going", no_argument, &a->fail_fast, 0}, {NULL, 0, NULL, 0}};
    *a = (arguments){.device = "auto", .workers = 1, .task_images = PG_TASK_IMAGES};
    int code = PG_OK;
    optind = 0;
    for (int c; code == PG_OK && (c = pg_command_option_next(argc, argv, ":S:j:", options)) != -1;) {
        if (c == 'S')
            code = pg_matrix_args_override(&a->matrix, optarg);
        else if (c == 'j')
            code = read_number("-j", optarg, 1, 1024, &a->workers);
        else if (c == 't')
            code = read_number("--threads", optarg, 0, 1024, &a->threads);
        else if (c == 'i')
            code = read_number("--task-images", optarg, 1, 1000000, &a->task_images);
        else if (c == 's')
            code = read_shard(optarg, &a->shard);
        else if (c == 'd')
            code = pg_device_check(a->device = optarg);
        else if (c != 0)
            code = pg_command_option_error(argv, options, c);
    }
    return code == PG_OK ? pg_matrix_args_file(&a->matrix, argc, argv) : code;
}

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
    pg_buf explain;
    pg_buf_init(&explain);
    same_request(context, &a->matrix, &explain);
    pg_compute_request request = {.plan = plan,
                                  .db_path = context->db_path,
                                  .data_dir = context->data_dir,
                                  .cache_dir = context->cache_dir,
                                  .cache_bytes = context->cache_bytes,
                                  .device = a->device,
                                  .workers = a->workers,
                                  .threads = a->threads,
                                  .task_images = a->task_images,
                                  .fail_fast = a->fail_fast,
                                  .shard = a->shard.count ? &a->shard : NULL,
                                  .explain = explain.data};
    int code = pg_buf_check(&explain);
    if (code == PG_OK)
        code = pg_compute(&request, store);
    pg_buf_release(&explain);
    return code;
}

static int run(const pg_context *context, int argc, char **argv)
{
    arguments a;
    pg_plan *plan = NULL;
    pg_store *store = NULL;
    int code = parse(argc, argv, &a);
    if (code == PG_OK) {
        pg_signals_catch();
        code = pg_matrix_args_open(context, &a.matrix, &plan);
    }
    if (code == PG_OK)
        code = compute(context, &a, plan, &store);
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
    .synopsis = "run MATRIX.toml [-j N] [--device auto|cpu|cuda|cuda:N] [--fail-fast] [--shard I/N] [-S key=a,b]...",
    .summary = "compute the cells of a matrix that are missing",
    .help =
        "Cells that share a forward pass are computed together; images with outcomes are not computed again. Work is\n"
        "committed task by task: after an interruption, a crash or kill -9 the same command goes on where it stopped. The\n"
        "first Ctrl-C or TERM, or USR1, stops at the next batch of images or pass of an attack and keeps the images that are\n"
        "whole; the second ends at once. A task that fails is tried\n"
        "three times, then left out while the rest goes on (exit code 1). Workers are processes: one that crashes costs its\n"
        "task one attempt, and another takes its place. Where memory runs out, a task goes on with half the batch; its\n"
        "results may differ in their last bits, and tables say so.\n"
        "A certified image that an attack of the matrix breaks is told at once, with its witness (exit code 5).\n"
        "\n"
        "  -S KEY=A,B        replace one key of the file, several values are an axis; may be given several times\n"
        "  -j, --jobs N      workers, each with its share of the cores; default 1\n"
        "  --device D        auto (default), cpu, cuda:N, or cuda: the GPUs there are, one to a worker\n"
        "  --threads N       cores of a forward pass; default 0: all that the worker has\n"
        "  --keep-going      a task that is given up does not stop the others; default\n"
        "  --fail-fast       the first task that is given up stops the run, whole images are kept; of the two the last "
        "counts\n"
        "  --task-images N   images of a task; default 256, rounded up to whole batches; under attack at most 64, rounded up\n"
        "                    to whole groups of those that are attacked at a time\n"
        "  --shard I/N       run every N-th task of the plan from task I on, into a database of its own (--db), for\n"
        "                    `patchgauge merge`; `patchgauge submit` does this on a Slurm cluster\n"
        "\n"
        "  patchgauge run experiments/demo.toml\n"
        "  patchgauge run experiments/demo.toml -j 4\n"
        "  patchgauge run experiments/demo.toml -S images=0:100 --db try.db\n",
    .run_words = run,
};
