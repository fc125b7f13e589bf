/* Stores that hold a share of a plan. See store.h.
 *
 * What a shard is stands in its table meta: shard_plan, the id of its plan, and shard, "3/8". A frozen plan has the first one
 * only. A shard holds nothing else, and its tasks are cut once, when it is planned first: their keys are the same in all shards
 * of a plan, so that each task is run by one of them. Where a run that stopped has split one, shard_tasks is the last key of
 * the cut; later ones are parts of its own tasks. The store that they are merged into has a row "submission FOLDER" for each
 * submission, with the id of its plan. */
#include "db/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int read_meta(pg_store *store, const char *key, char *out, size_t size)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, "SELECT value FROM meta WHERE key = :plan", &row, PG_BIND(PG_V(plan, key)));
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "reading what the store is");
        snprintf(out, size, "%s", step == 1 ? pg_db_text(row, 0) : "");
        code = step < 0 ? step : PG_OK;
    }
    pg_db_done(row);
    return code;
}

static int write_meta(pg_store *store, const char *key, const char *value)
{
    return pg_db_run(store, "writing what the store is", "INSERT OR REPLACE INTO meta (key, value) VALUES (:plan, :value)",
                     PG_BIND(PG_V(plan, key), PG_V(value, value)));
}

int pg_db_shard_begin(pg_store *store, const pg_shard *shard, const char *plan_id, bool *cut)
{
    char of_plan[PG_HASH_HEX], was[48], is[48] = "";
    int64_t plans = 0;
    if (shard && shard->count)
        snprintf(is, sizeof is, "%" PRId64 "/%" PRId64, shard->index, shard->count);
    int code = read_meta(store, "shard_plan", of_plan, sizeof of_plan);
    if (code == PG_OK)
        code = read_meta(store, "shard", was, sizeof was);
    if (code == PG_OK)
        code = pg_db_one(store, "reading what the store is", "SELECT count(*) FROM plan", NULL, &plans);
    if (code != PG_OK)
        return code;
    *cut = *of_plan != 0;
    if (!*of_plan && !shard)
        return PG_OK;
    if (!*of_plan && plans > 0)
        return pg_fail(PG_EINPUT, "%s: holds other results; a shard has a database of its own, name a new one with --db",
                       store->path);
    if (*of_plan && strcmp(of_plan, plan_id) != 0)
        return pg_fail(
            PG_EINPUT,
            "%s: is a shard of another plan (%.12s, this one is %.12s): matrix, data, weights or program changed since"
            " it was made; submit again",
            store->path, of_plan, plan_id);
    if (shard && *was && strcmp(was, is) != 0)
        return pg_fail(PG_EINPUT, "%s: is shard %s, not %s; name another file with --db", store->path, was, is);
    if (!*of_plan)
        code = write_meta(store, "shard_plan", plan_id);
    if (code == PG_OK && *is && !*was) { /* a copy of a frozen plan has the name of that plan */
        code = write_meta(store, "shard", is);
        if (code == PG_OK)
            code = pg_db_run(store, "naming the store",
                             "UPDATE meta SET value = lower(hex(randomblob(16))) WHERE key = 'store_id'", NULL);
    }
    return code;
}

/* "3/8"; false: no shard. */
static bool parse_name(const char *name, int64_t *index, int64_t *count)
{
    return sscanf(name, "%" SCNd64 "/%" SCNd64, index, count) == 2 && *count > 0;
}

/* The last key of the cut. */
#define LAST_CUT "(SELECT ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'shard_tasks'), max(task)) FROM task)"

int pg_db_shard_narrow(pg_store *store)
{
    char name[48];
    int64_t index, count;
    int code = read_meta(store, "shard", name, sizeof name);
    if (code != PG_OK || !parse_name(name, &index, &count))
        return code;
    return pg_db_run(
        store, "choosing the tasks of the shard",
        "DELETE FROM temp.wanted WHERE task IN (SELECT task FROM (SELECT task, row_number() OVER (ORDER BY task) - 1"
        " AS place FROM temp.wanted WHERE task <= " LAST_CUT ") WHERE place % :count <> :index)",
        PG_BIND(PG_V(count, count), PG_V(index, index)));
}

int pg_db_shard_freeze(pg_store *store)
{
    return pg_db_run(store, "splitting a task of a shard",
                     "INSERT OR IGNORE INTO meta (key, value) SELECT 'shard_tasks', CAST(max(task) AS TEXT) FROM task"
                     " WHERE EXISTS (SELECT 1 FROM meta WHERE key = 'shard')",
                     NULL);
}

/* The plan that the store says to hold, as its cells have it. */
static int hash_plan(pg_store *store, char plan_id[PG_HASH_HEX])
{
    sqlite3_stmt *row = NULL;
    pg_hash *hash = NULL;
    int code = pg_hash_new(&hash);
    if (code == PG_OK)
        code = pg_db_get(store, "SELECT c.cell_id FROM plan_cell p JOIN cell c ON c.cell = p.cell ORDER BY p.position", &row,
                         NULL);
    while (pg_db_next(store, row, "reading the plan", &code))
        code = pg_hash_add(hash, pg_db_text(row, 0), PG_HASH_HEX);
    if (code == PG_OK)
        code = pg_hash_finish(hash, plan_id);
    pg_hash_free(hash);
    return code;
}

int pg_store_shard(pg_store *store, pg_shard_info *out)
{
    char name[48], plan_id[PG_HASH_HEX];
    *out = (pg_shard_info){.index = 0};
    int code = read_meta(store, "shard_plan", out->plan_id, sizeof out->plan_id);
    if (code == PG_OK)
        code = read_meta(store, "shard", name, sizeof name);
    if (code == PG_OK)
        code = read_meta(store, "store_id", out->store_id, sizeof out->store_id);
    if (code != PG_OK)
        return code;
    if (!parse_name(name, &out->index, &out->count) || !*out->plan_id)
        return pg_fail(PG_EINPUT, "%s: is no shard; right would be a database made by `patchgauge run --shard I/N`",
                       store->path);
    code = hash_plan(store, plan_id);
    if (code == PG_OK && strcmp(plan_id, out->plan_id) != 0)
        code = pg_fail(PG_EDAMAGED, "%s: its cells are not those of its plan; delete it and run its shard again", store->path);
    if (code == PG_OK)
        code = pg_db_one(store, "counting tasks", "SELECT count(*) FROM task WHERE task <= " LAST_CUT, NULL, &out->tasks);
    return code;
}

int pg_store_submit(pg_store *store, const char *folder)
{
    return pg_db_run(store, "recording a submission",
                     "INSERT OR REPLACE INTO meta (key, value) VALUES ('submission ' || :folder, :plan_id)",
                     PG_BIND(PG_V(folder, folder), PG_V(plan_id, store->plan_id)));
}

int pg_store_each_submission(pg_store *store, const char *but, int (*each)(const char *folder, int64_t cells, void *context),
                             void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "SELECT substr(m.key, 12), count(*) FROM meta m JOIN plan p ON p.plan_id = m.value"
                         " JOIN plan_cell pc ON pc.plan = p.plan JOIN total t ON t.cell = pc.cell"
                         " WHERE m.key LIKE 'submission %' AND m.key <> 'submission ' || :but AND t.n < t.images"
                         " AND t.cell IN (SELECT cell FROM temp.wanted_cell) GROUP BY m.key",
                         &row, PG_BIND(PG_V(but, but)));
    while (pg_db_next(store, row, "reading submissions", &code))
        code = each(pg_db_text(row, 0), sqlite3_column_int64(row, 1), context);
    return code;
}
