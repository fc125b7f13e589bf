/* Splitting tasks: by cells, where plans overlap; by images, where a run stops within a task. See store.h.
 *
 * A task that is split by cells becomes two with the same images; one that is split stays what it was to everybody who could
 * run it, since a plan that has all of its cells has all cells of both parts. Tasks only get smaller that way, so two runs
 * that take from each other come to an end. One that is split by images stays the task of those that are left, with its key, so
 * that shards know it as theirs. */
#include "db/internal.h"

enum { TAKEN_AT_A_TIME = 16 }; /* who has the other cells may yet run the rest */

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

/* The plan's cells of a mixed task, into a task of their own. What is left of a failed task stays failed. */
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
