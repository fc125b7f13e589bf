/* patchgauge merge: brings the results of shards together in one database. */
#include "db/store.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cmd/command.h"
#include "harness/cmd/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(merge)

typedef struct arguments {
    pg_texts shards;
} arguments;

static const pg_cli_row options[] = {
    {0, NULL, "SHARD.db", NULL, NULL, offsetof(arguments, shards), PG_TEXTS, PG_REQUIRED},
    PG_CLI_END,
};

/* Reads all of a shard: damaged ones, and those of another plan or cut than the first, are refused before
 * anything is written. */
static int check_shard(const char *path, const char *first_path, const pg_shard_info *first, pg_shard_info *info)
{
    pg_store *shard = NULL;
    int code = pg_store_open(path, PG_STORE_READ, &shard);
    if (code == PG_OK)
        code = pg_store_shard(shard, info);
    if (code == PG_OK)
        code = pg_store_check(shard);
    pg_store_close(shard);
    if (code != PG_OK || !first)
        return code;
    if (strcmp(info->plan_id, first->plan_id) != 0)
        return pg_fail(PG_EINPUT, "%s: is a shard of plan %.12s, %s of %.12s; merge each plan by itself", path, info->plan_id,
                       first_path, first->plan_id);
    if (info->count != first->count || info->tasks != first->tasks)
        return pg_fail(PG_EINPUT,
                       "%s: is shard %" PRId64 " of %" PRId64 " over %" PRId64 " tasks, but %s is one of %" PRId64
                       " over %" PRId64
                       "; right would be shards of one `submit`, or of `run --shard` with the same N and --task-images",
                       path, info->index, info->count, info->tasks, first_path, first->count, first->tasks);
    return PG_OK;
}

static int merge_one(pg_store *store, const char *path, pg_store_merged *total)
{
    pg_store *shard = NULL;
    pg_store_merged report = {0};
    int code = pg_store_open(path, PG_STORE_READ, &shard);
    if (code == PG_OK)
        code = pg_store_merge(store, shard, &report);
    pg_store_close(shard);
    if (code == PG_OK)
        pg_print("%s: %" PRId64 " task%s merged, %" PRId64 " known before, %" PRId64 " failed\n", path, report.tasks,
                 pg_plural(report.tasks), report.known, report.failed);
    total->tasks += report.tasks;
    total->failed += report.failed;
    return code;
}

/* How the merged plan stands. */
static int verdict(pg_store *store, const pg_context *context, const char *plan_id, int64_t failed)
{
    int64_t complete = 0, cells = 0;
    pg_store_broken_report broken;
    int code = pg_store_complete(store, plan_id, &complete, &cells);
    if (code == PG_OK)
        code = pg_store_plan_broken(store, plan_id, &broken);
    if (code != PG_OK)
        return code;
    pg_info("%s: %" PRId64 " of %" PRId64 " cells of the plan are complete", context->db_path, complete, cells);
    if (broken.certificates > 0)
        return pg_fail(PG_EBROKEN,
                       "%" PRId64 " certificates of %" PRId64 " cells are broken by an attack; the first: image %" PRId64
                       " of cell %.12s; a sound certificate cannot be broken",
                       broken.certificates, broken.cells, broken.image, broken.cell_id);
    if (failed > 0)
        return pg_fail(PG_ECELLS, "%" PRId64 " task%s failed in shards; `patchgauge plan MATRIX.toml --explain` says why",
                       failed, pg_plural(failed));
    return PG_OK;
}

static int run(const pg_context *context, void *request)
{
    const pg_texts *shards = &((const arguments *)request)->shards;
    pg_shard_info first, info;
    pg_store *store = NULL;
    pg_store_merged total = {0};
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < shards->n; i++)
        code = check_shard(shards->items[i], shards->items[0], i > 0 ? &first : NULL, i > 0 ? &info : &first);
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_WRITE, &store);
    for (size_t i = 0; code == PG_OK && i < shards->n; i++)
        code = merge_one(store, shards->items[i], &total);
    if (code == PG_OK)
        code = verdict(store, context, first.plan_id, total.failed);
    pg_store_close(store);
    return code;
}

const pg_command pg_command_merge = {
    .name = "merge",
    .synopsis = "merge SHARD.db...",
    .summary = "bring the results of shards together in one database",
    .help =
        "A shard is a database that `patchgauge run --shard I/N` made, by hand or in a job of `patchgauge submit`. What it has "
        "done is copied into the database that --db names: outcomes, attacks, attempts, audits, and the reasons of tasks that "
        "failed (exit code 1). A certificate that an attack broke is an error here as well (exit code 5). Merging again "
        "changes nothing, and a shard that got further since brings what is new.\n"
        "Every shard is checked first. One that is damaged, of a newer format, or of a plan that the database does not know is "
        "refused, and nothing is written; a new database takes over the plan of its shards.\n",
    .examples = "  patchgauge run experiments/demo.toml --shard 0/2 --db a.db    # on one machine\n"
                "  patchgauge run experiments/demo.toml --shard 1/2 --db b.db    # on another\n"
                "  patchgauge --db demo.db merge a.db b.db\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
