/* patchgauge run: computes the cells of a matrix that are missing. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/shell.h"
#include "harness/plan/tasks.h"
#include "harness/pipeline/supervisor.h"
#include "harness/base/signals.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

PG_COMMAND(run)

typedef struct arguments {
    pg_matrix_args matrix;
    const char *device;
    int64_t workers, threads, task_images;
    int fail_fast;
    pg_shard shard; /* count 0: the whole plan */
} arguments;

typedef struct session {
    const pg_context *context;
    const arguments *a;
    const pg_plan *plan;
    pg_store *store;            /* NULL while workers run, and before */
    pg_store_progress progress; /* when the plan was recorded */
} session;

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

/* "plan m.toml -S patch=5 --db x.db": the same matrix and store for another command. */
static void same_request(const pg_context *context, const pg_matrix_args *a, pg_buf *out)
{
    pg_buf_puts(out, "plan ");
    pg_shell_word(out, a->matrix);
    for (size_t i = 0; i < a->n_overrides; i++) {
        pg_buf_puts(out, " -S ");
        pg_shell_word(out, a->overrides[i]);
    }
    const char *const given[][3] = {{"--db", context->db_path, "./patchgauge.db"}, {"--data", context->data_dir, "./data"}};
    for (size_t i = 0; i < 2; i++)
        if (strcmp(given[i][1], given[i][2]) != 0) {
            pg_buf_printf(out, " %s ", given[i][0]);
            pg_shell_word(out, given[i][1]);
        }
}

static int fail_tasks(const pg_store_progress *left, const session *s)
{
    pg_buf request;
    pg_buf_init(&request);
    same_request(s->context, &s->a->matrix, &request);
    int code = pg_fail(PG_ECELLS, "%" PRId64 " of %" PRId64 " tasks failed; `patchgauge %s --explain` says why", left->failed,
                       left->tasks, request.data);
    pg_buf_release(&request);
    return code;
}

/* Certificates of the plan that an attack broke, by this run or an earlier one. */
static int check_broken(const session *s)
{
    int64_t total = 0, cells = 0, first_image = -1;
    const pg_cell *first_cell = NULL;
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(s->plan); i++) {
        const pg_cell *cell = pg_plan_at(s->plan, i);
        int64_t broken = 0, image = -1;
        if (cell->forward->attack)
            code = pg_store_broken(s->store, cell->id, &broken, &image);
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

static int verdict(const pg_store_progress *left, const pg_run_report *report, const session *s)
{
    char rate[64];
    pg_rate_format((double)report->images / (report->wall_s > 0 ? report->wall_s : 1), "images", rate);
    if (report->tasks || report->images)
        pg_info("%" PRId64 " image%s in %" PRId64 " task%s, %.1f s (%s)", report->images, pg_plural(report->images),
                report->tasks, pg_plural(report->tasks), report->wall_s, rate);
    if (report->interrupted && left->pending + left->running > 0 && !(s->a->fail_fast && left->failed > 0))
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
    int64_t requeued = 0;
    int code = pg_store_open(s->context->db_path, PG_STORE_WRITE, &s->store);
    if (code == PG_OK)
        code = pg_plan_record_shard(s->plan, s->store, s->a->task_images, s->a->shard.count ? &s->a->shard : NULL);
    if (code == PG_OK)
        code = pg_store_reap(s->store, &requeued); /* also where nothing is left to do: it sweeps up after the dead */
    if (code == PG_OK)
        code = pg_store_progress_of(s->store, &s->progress);
    if (code != PG_OK)
        return code;
    if (requeued > 0)
        pg_info("%" PRId64 " task%s of a run that died: taken up again", requeued, pg_plural(requeued));
    pg_info("%s: %zu cell%s, %" PRId64 " of %" PRId64 " tasks done", pg_plan_name(s->plan), pg_plan_count(s->plan),
            pg_plural((int64_t)pg_plan_count(s->plan)), s->progress.done, s->progress.tasks);
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
    int code = pg_store_open(s->context->db_path, PG_STORE_WRITE, &s->store);
    if (code == PG_OK)
        code = pg_plan_join(s->plan, s->store);
    return code == PG_OK ? pg_store_progress_of(s->store, left) : code;
}

/* The forward passes of cells that are not done, as the store says that is there. */
static int find_missing(const session *s, const pg_forward **missing, size_t *n)
{
    pg_store *store = NULL;
    bool *seen = calloc(pg_plan_forwards(s->plan) + 1, sizeof *seen);
    *n = 0;
    if (!seen)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = access(s->context->db_path, F_OK) == 0 ? pg_store_open(s->context->db_path, PG_STORE_READ, &store) : PG_OK;
    if (code == PG_EMISSING || code == PG_EUNSUPPORTED) /* empty, or of another version: opening it for writing evaluates */
        code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(s->plan); i++) {
        const pg_cell *cell = pg_plan_at(s->plan, i);
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
    char hash[PG_HASH_HEX], revision[64];
    pg_buf versions;
    pg_run_report report = {0};
    pg_store_progress left;
    pg_buf_init(&versions);
    int code = describe_program(hash, &versions);
    if (code == PG_OK) {
        snprintf(revision, sizeof revision, "%s-%.12s", PG_VERSION, hash);
        pg_store_worker_row row = {
            .revision = revision, .versions = versions.data, .device = s->a->device, .threads = (int)s->a->threads};
        pg_supervisor_request request = {.run = {.plan = s->plan,
                                                 .missing = missing,
                                                 .n_missing = n_missing,
                                                 .data_dir = s->context->data_dir,
                                                 .device = s->a->device,
                                                 .threads = (int)s->a->threads,
                                                 .cache_dir = s->context->cache_dir,
                                                 .cache_bytes = s->context->cache_bytes,
                                                 .fail_fast = s->a->fail_fast},
                                         .workers = (int)s->a->workers,
                                         .db_path = s->context->db_path,
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

static int run_plan(session *s)
{
    const pg_forward **missing = calloc(pg_plan_forwards(s->plan) + 1, sizeof *missing);
    size_t n_missing = 0;
    int code = missing ? find_missing(s, missing, &n_missing) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK && n_missing == 0)
        code = record_plan(s);
    if (code == PG_OK && !(n_missing == 0 && s->progress.done == s->progress.tasks)) {
        pg_store_close(s->store);
        s->store = NULL;
        code = supervise(s, missing, n_missing);
    }
    if (s->store && (code == PG_OK || code == PG_ECELLS || code == PG_EINTERRUPTED)) {
        char message[PG_MESSAGE_MAX];
        snprintf(message, sizeof message, "%s", pg_error_message());
        int broken = check_broken(s);
        if (broken != PG_OK && code != PG_OK)
            pg_warn("%s", message);
        code = broken != PG_OK ? broken : code != PG_OK ? pg_fail(code, "%s", message) : PG_OK;
    }
    free(missing);
    return code;
}

static int run(const pg_context *context, int argc, char **argv)
{
    arguments a;
    pg_plan *plan = NULL;
    int code = parse(argc, argv, &a);
    if (code == PG_OK) {
        pg_signals_catch();
        code = pg_matrix_args_open(context, &a.matrix, &plan);
    }
    session s = {.context = context, .a = &a, .plan = plan};
    if (code == PG_OK)
        code = run_plan(&s);
    pg_store_close(s.store);
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
    .run = run,
};
