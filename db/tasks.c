/* Which tasks there are: what is missing of a cell becomes tasks, and tasks are split. See store.h.
 *
 * A task serves cells that share a forward pass over a run of images. A cell's images that no task of it covers are cut at
 * multiples of the forward's chunk; pieces with equal bounds become one task, unless their cells differ in group.
 *
 * A worker has to know every cell that it serves, so a plan runs only tasks whose cells are all of its own. A new plan takes
 * its cells out of pending tasks that also serve others. A plan that came later may share pending tasks again; a task that is
 * split by cells becomes two with the same images, which everybody who could run it can run, since a plan that has all of its
 * cells has all cells of both parts. Tasks only get smaller that way, so two runs that take from each other come to an end.
 *
 * Where a run stops within a task, the task is split by images: the first ones become a task that is done, the others stay the
 * old task, with its key, so that shards know it as theirs. */
#include "db/internal.h"

#include <stdlib.h>

enum { TAKEN_AT_A_TIME = 16 }; /* who has the other cells may yet run the rest */

/* ---- What is missing of a cell ---- */

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

static int create_all(pg_store *store, pg_db_pieces *list)
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

int pg_db_create_tasks(pg_store *store, const pg_store_plan_row *plan, const int64_t *forwards, const int64_t *cells)
{
    pg_db_pieces list = {0};
    int code = find_missing(store, plan, forwards, cells, &list);
    if (code == PG_OK)
        code = create_all(store, &list);
    free(list.items);
    return code;
}

/* ---- Tasks that several plans share ---- */

int pg_db_free_tasks(pg_store *store)
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

int pg_db_want(pg_store *store)
{
    static const char doing[] = "choosing tasks";
    int code = pg_db_run(store, doing, "DELETE FROM temp.wanted", NULL);
    if (code == PG_OK)
        code = pg_db_run(store, doing, "DELETE FROM temp.mixed", NULL);
    if (code == PG_OK)
        code = pg_db_run(store, doing,
                         "INSERT INTO temp.wanted SELECT DISTINCT tc.task FROM temp.wanted_cell w"
                         " JOIN task_cell tc ON tc.cell = w.cell",
                         NULL);
    if (code == PG_OK)
        code = pg_db_run(store, doing,
                         "INSERT INTO temp.mixed SELECT t.task FROM temp.wanted w JOIN task t ON t.task = w.task"
                         " WHERE t.state <> 'done' AND " PG_DB_IS_MIXED,
                         NULL);
    return code == PG_OK ? pg_db_shard_narrow(store) : code;
}

/* Moves the plan's cells of a task that also serves other plans to a new task. The old task keeps its state. */
static int take_cells(pg_store *store, int64_t task)
{
    static const char doing[] = "taking cells out of a task";
    int64_t failed = 0;
    int code =
        pg_db_one(store, doing, "SELECT state = 'failed' FROM task WHERE task = :task", PG_BIND(PG_V(task, task)), &failed);
    if (code == PG_OK && failed) /* failures are counted cell by cell when the state changes */
        code = pg_db_run(store, doing, "UPDATE task SET state = 'pending' WHERE task = :task", PG_BIND(PG_V(task, task)));
    if (code == PG_OK)
        code = pg_db_run(store, doing,
                         "INSERT INTO task (forward, first, count) SELECT forward, first, count FROM task WHERE task = :task",
                         PG_BIND(PG_V(task, task)));
    if (code == PG_OK)
        code = pg_db_run(store, doing, "UPDATE task_cell SET task = :part WHERE task = :task AND cell IN temp.wanted_cell",
                         PG_BIND(PG_V(task, task), PG_V(part, (int64_t)sqlite3_last_insert_rowid(store->db))));
    if (code == PG_OK && failed)
        code = pg_db_run(store, doing, "UPDATE task SET state = 'failed' WHERE task = :task", PG_BIND(PG_V(task, task)));
    return code;
}

int pg_db_take(pg_store *store, const char *forward_key, int64_t most, bool *taken)
{
    static const char doing[] = "taking cells out of tasks";
    sqlite3_stmt *row = NULL;
    *taken = false;
    int code = pg_db_run(store, doing, "DELETE FROM temp.shared", NULL);
    if (code == PG_OK)
        code = pg_db_run(store, doing,
                         "INSERT INTO temp.shared SELECT t.task FROM task t WHERE t.state IN ('pending', 'failed')"
                         " AND t.state <> 'done' AND CASE WHEN :forward_key IS NULL"
                         "  THEN t.forward NOT IN (SELECT forward FROM task WHERE task IN temp.aside)"
                         "  ELSE t.forward = (SELECT forward FROM forward WHERE forward_key = :forward_key) END"
                         " AND " PG_DB_IS_MIXED " ORDER BY t.forward DESC, t.first DESC LIMIT :most",
                         PG_BIND(PG_V(forward_key, forward_key), PG_V(most, most)));
    if (code == PG_OK)
        code = pg_db_get(store, "SELECT task FROM temp.shared", &row, NULL);
    while (pg_db_next(store, row, doing, &code)) {
        *taken = true;
        code = take_cells(store, sqlite3_column_int64(row, 0));
    }
    return code == PG_OK && *taken ? pg_db_want(store) : code;
}

int pg_store_take(pg_store *store, bool *more)
{
    static const char doing[] = "looking for tasks of other plans";
    bool taken = false;
    int64_t pending = 0;
    *more = false;
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    code = pg_db_take(store, NULL, TAKEN_AT_A_TIME, &taken);
    if (code == PG_OK && !taken) /* others may have taken what was theirs, and left what is of this plan alone */
        code = pg_db_want(store);
    if (code == PG_OK)
        code = pg_db_one(store, doing, "SELECT EXISTS (SELECT 1 " PG_DB_NEXT_PENDING ")", NULL, &pending);
    *more = code == PG_OK && pending;
    return pg_db_end(store, code);
}

/* ---- A run that stops within a task ---- */

int pg_db_split_off(pg_store *store, const pg_task *task, int64_t whole, int64_t *part)
{
    static const char doing[] = "splitting a task";
    *part = 0;
    int code = pg_db_run(
        store, doing,
        "UPDATE task SET state = 'pending', owner = NULL, first = first + :whole, count = count - :whole WHERE task = :task"
        " AND epoch = :epoch AND owner = :worker AND state = 'running'",
        PG_BIND(PG_V(task, task->task), PG_V(epoch, task->epoch), PG_V(worker, store->worker), PG_V(whole, whole)));
    if (code != PG_OK || sqlite3_changes(store->db) != 1)
        return code;
    code = pg_db_shard_freeze(store);
    if (code == PG_OK)
        code = pg_db_run(
            store, doing,
            "INSERT INTO task (forward, first, count, state, epoch) SELECT forward, :first, :whole, 'done', epoch FROM task"
            " WHERE task = :task",
            PG_BIND(PG_V(task, task->task), PG_V(first, task->first), PG_V(whole, whole)));
    *part = sqlite3_last_insert_rowid(store->db);
    return code == PG_OK ? pg_db_run(store, doing, "INSERT INTO task_cell SELECT :part, cell FROM task_cell WHERE task = :task",
                                     PG_BIND(PG_V(task, task->task), PG_V(part, *part)))
                         : code;
}
