/* Recording a plan and creating the tasks that are missing. See store.h.
 *
 * A task serves cells that share a forward pass over a run of images. A cell's images that no task of it covers are cut at
 * multiples of the forward's chunk; pieces with equal bounds become one task, unless their cells differ in group. A pending
 * task that also serves cells of other plans is not run by this plan: its share of this plan's cells is taken out first, so
 * that a worker knows every cell it serves. Plans that come later create such tasks again: see split.c. */
#include "db/internal.h"

#include <stdlib.h>
#include <string.h>

int pg_db_add_piece(pg_db_pieces *list, pg_db_piece item)
{
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        pg_db_piece *items = realloc(list->items, capacity * sizeof *items);
        if (!items)
            return pg_fail(PG_ENOMEM, "planning: out of memory for %zu pieces", capacity);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = item;
    return PG_OK;
}

/* [first, end) cut at multiples of chunk. */
static int add_range(pg_db_pieces *list, const pg_db_piece *of, int64_t first, int64_t end, int64_t chunk)
{
    int code = PG_OK;
    while (code == PG_OK && first < end) {
        int64_t next = (first / chunk + 1) * chunk;
        next = next < end ? next : end;
        code = pg_db_add_piece(
            list,
            (pg_db_piece){.forward = of->forward, .first = first, .count = next - first, .cell = of->cell, .group = of->group});
        first = next;
    }
    return code;
}

static int by_place(const void *a, const void *b)
{
    const pg_db_piece *x = a, *y = b;
    if (x->forward != y->forward)
        return x->forward < y->forward ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->cell < y->cell ? -1 : x->cell > y->cell;
}

void pg_db_sort_pieces(pg_db_pieces *list)
{
    if (list->n > 1)
        qsort(list->items, list->n, sizeof *list->items, by_place);
}

bool pg_db_same_piece(const pg_db_piece *a, const pg_db_piece *b)
{
    return a->forward == b->forward && a->first == b->first && a->count == b->count && a->task == b->task &&
           a->group == b->group;
}

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

/* Failed tasks get a new chance; cells of this plan leave pending tasks that serve strangers. */
static int free_tasks(pg_store *store)
{
    static const char doing[] = "sorting out tasks";
    int code = pg_db_run(store, doing,
                         "UPDATE task SET state = 'pending', attempts = 0 WHERE state = 'failed' AND task IN"
                         " (SELECT tc.task FROM temp.wanted_cell w JOIN task_cell tc ON tc.cell = w.cell)",
                         NULL);
    if (code == PG_OK)
        code = pg_db_run(store, doing, "DELETE FROM temp.shared", NULL);
    if (code == PG_OK)
        code = pg_db_run(store, doing,
                         "INSERT INTO temp.shared SELECT t.task FROM task t WHERE t.state = 'pending' AND t.state <> 'done'"
                         " AND " PG_DB_IS_MIXED,
                         NULL);
    if (code == PG_OK)
        code = pg_db_run(store, doing, "DELETE FROM task_cell WHERE task IN temp.shared AND cell IN temp.wanted_cell", NULL);
    return code;
}

int pg_db_find_gaps(pg_store *store, const char *cell_id, bool done, int64_t chunk, const pg_db_piece *within,
                    pg_db_pieces *out)
{
    sqlite3_stmt *row = NULL;
    int step = 0;
    int64_t at = within->first, end = within->first + within->count;
    int code = pg_db_get(store,
                         "SELECT t.first, t.count FROM cell c JOIN task_cell tc ON tc.cell = c.cell JOIN task t"
                         " ON t.task = tc.task WHERE c.cell_id = :cell_id AND (t.state = 'done' OR NOT :done) ORDER BY t.first",
                         &row, PG_BIND(PG_V(cell_id, cell_id), PG_V(done, (int)done)));
    while (code == PG_OK && at < end && (step = pg_db_step(store, row, "reading the tasks of a cell")) == 1) {
        int64_t first = sqlite3_column_int64(row, 0), next = first + sqlite3_column_int64(row, 1);
        if (first > at)
            code = add_range(out, within, at, first < end ? first : end, chunk);
        at = next > at ? next : at;
    }
    pg_db_done(row);
    if (code == PG_OK && step < 0)
        code = step;
    return code == PG_OK ? add_range(out, within, at, end, chunk) : code;
}

static int create_tasks(pg_store *store, pg_db_pieces *list)
{
    int code = PG_OK;
    int64_t task = 0;
    pg_db_sort_pieces(list);
    for (size_t i = 0; code == PG_OK && i < list->n; i++) {
        const pg_db_piece *p = &list->items[i];
        if (i == 0 || !pg_db_same_piece(p, p - 1)) {
            code = pg_db_run(store, "creating a task",
                             "INSERT INTO task (forward, first, count) VALUES (:forward, :first, :count)",
                             PG_BIND(PG_V(forward, p->forward), PG_V(first, p->first), PG_V(count, p->count)));
            task = sqlite3_last_insert_rowid(store->db);
        }
        if (code == PG_OK)
            code = pg_db_run(store, "creating a task", "INSERT INTO task_cell (task, cell) VALUES (:task, :cell)",
                             PG_BIND(PG_V(task, task), PG_V(cell, p->cell)));
    }
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

/* Tasks for what none covers yet. */
static int find_missing(pg_store *store, const pg_store_plan_row *plan, const int64_t *forwards, const int64_t *cells,
                        pg_db_pieces *list)
{
    pg_store *done = plan->shard ? plan->shard->done : NULL; /* a shard has no tasks of its own yet */
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < plan->n_cells; i++) {
        const pg_store_cell_row *c = &plan->cells[i];
        pg_db_piece whole = {
            .forward = forwards[c->forward], .first = c->first, .count = c->count, .cell = cells[i], .group = c->group};
        code = pg_db_find_gaps(done ? done : store, c->cell_id, done != NULL, plan->forwards[c->forward].chunk, &whole, list);
    }
    return code;
}

static int plan_all(pg_store *store, const pg_store_plan_row *plan, int64_t *forwards, int64_t *cells, pg_db_pieces *list)
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
        code = free_tasks(store);
    if (code == PG_OK && !cut && !plan->cells_only)
        code = find_missing(store, plan, forwards, cells, list);
    if (code == PG_OK)
        code = create_tasks(store, list);
    return code == PG_OK ? pg_db_want(store) : code;
}

int pg_store_plan(pg_store *store, const pg_store_plan_row *plan)
{
    pg_db_pieces list = {0};
    int64_t *forwards = calloc(plan->n_forwards + 1, sizeof *forwards);
    int64_t *cells = calloc(plan->n_cells + 1, sizeof *cells);
    int code = forwards && cells ? pg_db_begin(store) : pg_fail(PG_ENOMEM, "planning: out of memory");
    if (code == PG_OK)
        code = pg_db_end(store, plan_all(store, plan, forwards, cells, &list));
    store->wanted = code == PG_OK;
    free(list.items);
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
