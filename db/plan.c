/* Recording plans, and joining recorded ones. See store.h; tasks.c creates the tasks that are missing. */
#include "db/internal.h"

#include <stdlib.h>
#include <string.h>

/* SHA-256 of the cell ids in order. */
static int identify_plan(const pg_store_plan_row *plan, char plan_id[PG_HASH_HEX])
{
    pg_hash *hash = NULL;
    int code = pg_hash_new(&hash);
    for (size_t i = 0; code == PG_OK && i < plan->n_cells; i++)
        code = pg_hash_add(hash, plan->cells[i].cell_id, PG_HASH_HEX);
    if (code == PG_OK)
        code = pg_hash_finish(hash, plan_id);
    pg_hash_free(hash);
    return code;
}

static int record_plan(pg_store *store, const pg_store_plan_row *plan, const char *plan_id, const int64_t *cells)
{
    char now[32];
    pg_db_time(now);
    int code = pg_db_run(store, "recording the plan",
                         "INSERT INTO plan (plan_id, name, matrix, overrides, created) VALUES (:plan_id, :name, :matrix, "
                         ":overrides, :now) ON CONFLICT DO NOTHING",
                         PG_BIND(PG_V(plan_id, plan_id), PG_V(name, plan->name), PG_V(matrix, plan->matrix),
                                 PG_V(overrides, plan->overrides), PG_V(now, now)));
    if (code != PG_OK || sqlite3_changes(store->db) == 0)
        return code;
    int64_t key = sqlite3_last_insert_rowid(store->db);
    for (size_t i = 0; code == PG_OK && i < plan->n_cells; i++)
        code = pg_db_run(store, "recording the plan",
                         "INSERT INTO plan_cell (plan, position, cell) VALUES (:plan, :position, :cell)",
                         PG_BIND(PG_V(plan, key), PG_V(position, (int64_t)i), PG_V(cell, cells[i])));
    return code;
}

static int reset_temporary(pg_store *store)
{
    static const char sql[] = "CREATE TEMP TABLE IF NOT EXISTS wanted_cell (cell INTEGER PRIMARY KEY);"
                              "CREATE TEMP TABLE IF NOT EXISTS wanted (task INTEGER PRIMARY KEY);"
                              "CREATE TEMP TABLE IF NOT EXISTS mixed (task INTEGER PRIMARY KEY);"
                              "CREATE TEMP TABLE IF NOT EXISTS shared (task INTEGER PRIMARY KEY);"
                              "CREATE TEMP TABLE IF NOT EXISTS aside (task INTEGER PRIMARY KEY);"
                              "DELETE FROM temp.wanted_cell; DELETE FROM temp.aside;";
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? PG_OK : pg_db_fail(store, "preparing to plan");
}

static int plan_all(pg_store *store, const pg_store_plan_row *plan, int64_t *forwards, int64_t *cells)
{
    bool cut = false; /* a shard whose tasks are there */
    int code = reset_temporary(store);
    if (code == PG_OK)
        code = identify_plan(plan, store->plan_id);
    if (code == PG_OK)
        code = pg_db_shard_begin(store, plan->shard, store->plan_id, &cut);
    for (size_t i = 0; code == PG_OK && i < plan->n_forwards; i++)
        code = pg_db_record_forward(store, &plan->forwards[i], &forwards[i]);
    for (size_t i = 0; code == PG_OK && i < plan->n_cells; i++) {
        code = pg_db_record_cell(store, &plan->cells[i], forwards[plan->cells[i].forward], &cells[i]);
        if (code == PG_OK)
            code = pg_db_run(store, "planning", "INSERT INTO temp.wanted_cell VALUES (:cell)", PG_BIND(PG_V(cell, cells[i])));
    }
    if (code == PG_OK)
        code = record_plan(store, plan, store->plan_id, cells);
    if (code == PG_OK && !plan->cells_only)
        code = pg_db_free_tasks(store);
    if (code == PG_OK && !cut && !plan->cells_only)
        code = pg_db_create_tasks(store, plan, forwards, cells);
    return code == PG_OK ? pg_db_want(store) : code;
}

int pg_store_plan(pg_store *store, const pg_store_plan_row *plan)
{
    int64_t *forwards = calloc(plan->n_forwards + 1, sizeof *forwards);
    int64_t *cells = calloc(plan->n_cells + 1, sizeof *cells);
    int code = forwards && cells ? pg_db_begin(store) : pg_fail(PG_ENOMEM, "planning: out of memory");
    if (code == PG_OK)
        code = pg_db_end(store, plan_all(store, plan, forwards, cells));
    store->wanted = code == PG_OK;
    free(forwards);
    free(cells);
    return code;
}

/* The tasks of a plan that is recorded. */
static int want(pg_store *store, const char *plan_id, int64_t *cells)
{
    int code = reset_temporary(store);
    if (code == PG_OK)
        code = pg_db_run(store, "joining a plan",
                         "INSERT INTO temp.wanted_cell SELECT pc.cell FROM plan p JOIN plan_cell pc ON pc.plan = p.plan"
                         " WHERE p.plan_id = :plan_id",
                         PG_BIND(PG_V(plan_id, plan_id)));
    if (code == PG_OK)
        code = pg_db_want(store);
    if (code == PG_OK)
        code = pg_db_one(store, "joining a plan", "SELECT count(*) FROM temp.wanted_cell", NULL, cells);
    return code;
}

int pg_store_join(pg_store *store, const pg_store_plan_row *plan)
{
    char plan_id[PG_HASH_HEX];
    int64_t cells = 0;
    int code = identify_plan(plan, plan_id);
    if (code == PG_OK)
        code = want(store, plan_id, &cells);
    if (code == PG_OK && (size_t)cells != plan->n_cells)
        code = pg_fail(PG_EMISSING, "%s: does not know the plan \"%s\"; run it again", store->path, plan->name);
    store->wanted = code == PG_OK;
    return code;
}

int pg_store_stale(pg_store *store, const char *settings, const char *cell_id, char stale_id[PG_HASH_HEX], char **canonical)
{
    char settings_id[PG_HASH_HEX];
    stale_id[0] = 0;
    *canonical = NULL;
    sqlite3_stmt *row = NULL;
    int code = pg_hash_bytes(settings, strlen(settings), settings_id);
    if (code == PG_OK)
        code = pg_db_get(store,
                         "SELECT cell_id, canonical FROM cell c WHERE settings_id = :settings_id AND cell_id <> :cell_id"
                         " AND EXISTS (SELECT 1 FROM summary s WHERE s.cell = c.cell) ORDER BY cell DESC LIMIT 1",
                         &row, PG_BIND(PG_V(settings_id, settings_id), PG_V(cell_id, cell_id)));
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "looking for older results");
        code = step < 0 ? step : PG_OK;
        if (step == 1 && sqlite3_column_bytes(row, 0) == PG_HASH_HEX - 1) {
            memcpy(stale_id, pg_db_text(row, 0), PG_HASH_HEX);
            *canonical = strdup(pg_db_text(row, 1));
            if (!*canonical)
                code = pg_fail(PG_ENOMEM, "planning: out of memory");
        }
    }
    pg_db_done(row);
    return code;
}
