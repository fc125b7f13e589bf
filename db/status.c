/* How a store stands as a whole: cells, tasks, workers, failures, and how long the rest takes. See store.h.
 *
 * What is asked here does not grow with images: totals of cells (db/migrate-2.sql), the index of open tasks, the
 * last attempts. */
#include "db/internal.h"

#include <math.h>

/* Times of the last attempts at a forward pass; the slowest stage of the pipeline is what a task costs. */
#define RECENT_ATTEMPTS "1000"

/* Seconds that one worker needs for the open tasks, by the speed of each forward pass; for those without one, by the mean speed
 * of the other open ones: what else is in the store can be faster or slower by any factor. NULL where none of them has one. */
#define ESTIMATE(which)                                                                                      \
    "WITH recent AS (SELECT task, max(read_s, forward_s, certify_s) AS s FROM attempt WHERE result = 'done'" \
    "  ORDER BY attempt DESC LIMIT " RECENT_ATTEMPTS "),"                                                    \
    " measured AS (SELECT t.forward, sum(r.s) AS s, sum(t.count) AS n FROM recent r"                         \
    "  JOIN task t ON t.task = r.task GROUP BY t.forward),"                                                  \
    " open AS (SELECT forward, sum(count) AS n FROM task WHERE state IN ('pending', 'running')"              \
    "  AND state <> 'done'" which " GROUP BY forward)"                                                       \
    " SELECT sum(o.n * ifnull(m.s / m.n, (SELECT sum(s) / sum(n) FROM measured NATURAL JOIN"                 \
    "  (SELECT forward FROM open))))"                                                                        \
    " FROM open o LEFT JOIN measured m ON m.forward = o.forward"

/* One row of integers. */
static int read_counts(pg_store *store, const char *sql, int64_t *const *fields, int n)
{
    sqlite3_stmt *row = NULL;
    int step = 0, code = pg_db_get(store, sql, &row, NULL);
    if (code == PG_OK && (step = pg_db_step(store, row, "counting")) == 1)
        for (int i = 0; i < n; i++)
            *fields[i] = sqlite3_column_int64(row, i);
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

static int count_cells(pg_store *store, pg_store_status *out)
{
    int64_t *const fields[] = {&out->cells[PG_CELL_NEW],
                               &out->cells[PG_CELL_PARTIAL],
                               &out->cells[PG_CELL_DONE],
                               &out->cells[PG_CELL_FAILED],
                               &out->outcomes,
                               &out->outcomes_asked,
                               &out->audited};
    return read_counts(
        store,
        "SELECT ifnull(sum(n = 0 AND failed = 0 AND asked), 0), ifnull(sum(n > 0 AND n < images AND failed = 0), 0),"
        " ifnull(sum(n = images), 0), ifnull(sum(n < images AND failed > 0), 0), ifnull(sum(n), 0),"
        " ifnull(sum(images * asked), 0), ifnull(sum(NOT asked), 0) FROM (SELECT *,"
        " n > 0 OR EXISTS (SELECT 1 FROM task_cell tc WHERE tc.cell = total.cell) AS asked FROM total)",
        fields, 7);
}

static int count_tasks(pg_store *store, pg_store_status *out)
{
    int64_t *const all[] = {&out->tasks};
    int64_t *const open[] = {&out->pending, &out->running, &out->failed};
    int code = read_counts(store, "SELECT count(*) FROM task", all, 1);
    if (code == PG_OK)
        code = read_counts(store,
                           "SELECT ifnull(sum(state = 'pending'), 0), ifnull(sum(state = 'running'), 0),"
                           " ifnull(sum(state = 'failed'), 0) FROM task WHERE state <> 'done'",
                           open, 3);
    out->done = out->tasks - out->pending - out->running - out->failed;
    return code;
}

/* What one worker needs for open tasks, of the plan of the connection or of all. */
static int estimate(pg_store *store, bool of_plan, double *left_s)
{
    sqlite3_stmt *row = NULL;
    int step = 0;
    int code = pg_db_get(store, of_plan ? ESTIMATE(" AND task IN temp.wanted") : ESTIMATE(""), &row, NULL);
    *left_s = NAN;
    if (code == PG_OK && (step = pg_db_step(store, row, "estimating")) == 1 && sqlite3_column_type(row, 0) != SQLITE_NULL)
        *left_s = sqlite3_column_double(row, 0);
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

int pg_store_time_left(pg_store *store, double *left_s) { return estimate(store, true, left_s); }

int pg_store_status_of(pg_store *store, pg_store_status *out)
{
    *out = (pg_store_status){0};
    int code = pg_db_execute(store, "BEGIN", "reading the status"); /* one moment */
    if (code != PG_OK)
        return code;
    code = count_cells(store, out);
    if (code == PG_OK)
        code = count_tasks(store, out);
    if (code == PG_OK)
        code = estimate(store, false, &out->left_s);
    if (out->pending + out->running == 0)
        out->left_s = 0;
    return pg_db_end(store, code);
}

int pg_store_each_worker(pg_store *store, int (*each)(const pg_worker_record *record, void *context), void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "WITH held AS (SELECT owner, count(*) AS n, min(task) AS task FROM task WHERE state = 'running'"
                         "  AND state <> 'done' GROUP BY owner)"
                         " SELECT w.token, w.host, w.pid, w.device, w.threads, w.started, ifnull(h.n, 0), t.first, t.count,"
                         " (SELECT count(*) FROM task_cell tc WHERE tc.task = t.task),"
                         " (SELECT c.cell_id FROM task_cell tc JOIN cell c ON c.cell = tc.cell WHERE tc.task = t.task"
                         "  ORDER BY tc.cell LIMIT 1)"
                         " FROM worker w LEFT JOIN held h ON h.owner = w.worker LEFT JOIN task t ON t.task = h.task"
                         " WHERE w.ended IS NULL OR h.n > 0 ORDER BY w.worker",
                         &row, NULL);
    while (pg_db_next(store, row, "reading workers", &code)) {
        pg_worker_record record = {
            .lives = pg_db_worker_lives(store, pg_db_text(row, 0)),
            .host = pg_db_text(row, 1),
            .pid = sqlite3_column_int64(row, 2),
            .device = pg_db_text(row, 3),
            .threads = sqlite3_column_int(row, 4),
            .started = pg_db_text(row, 5),
            .tasks = sqlite3_column_int64(row, 6),
            .first = sqlite3_column_int64(row, 7),
            .count = sqlite3_column_int64(row, 8),
            .cells = sqlite3_column_int64(row, 9),
            .cell_id = pg_db_text(row, 10),
        };
        if (record.lives || record.tasks > 0)
            code = each(&record, context);
    }
    return code;
}

int pg_store_each_failure(pg_store *store, int64_t most, int (*each)(const pg_failure_record *record, void *context),
                          void *context)
{
    sqlite3_stmt *row = NULL;
    int code =
        pg_db_get(store,
                  "SELECT t.first, t.count, t.attempts, t.error, (SELECT count(*) FROM task_cell tc WHERE tc.task = t.task),"
                  " (SELECT c.cell_id FROM task_cell tc JOIN cell c ON c.cell = tc.cell WHERE tc.task = t.task"
                  "  ORDER BY tc.cell LIMIT 1)"
                  " FROM task t WHERE t.state = 'failed' AND t.state <> 'done' ORDER BY t.forward, t.first LIMIT :most",
                  &row, PG_BIND(PG_V(most, most)));
    while (pg_db_next(store, row, "reading failures", &code)) {
        pg_failure_record record = {
            .first = sqlite3_column_int64(row, 0),
            .count = sqlite3_column_int64(row, 1),
            .attempts = sqlite3_column_int(row, 2),
            .error = pg_db_text(row, 3),
            .cells = sqlite3_column_int64(row, 4),
            .cell_id = pg_db_text(row, 5),
        };
        code = each(&record, context);
    }
    return code;
}

int pg_store_each_open_task(pg_store *store, const char *cell_id, int (*each)(const pg_task_record *record, void *context),
                            void *context)
{
    sqlite3_stmt *row = NULL;
    int code =
        pg_db_get(store,
                  "SELECT t.first, t.count, t.state, t.attempts, t.error, w.host, w.pid FROM cell c"
                  " JOIN task_cell tc ON tc.cell = c.cell JOIN task t ON t.task = tc.task"
                  " LEFT JOIN worker w ON w.worker = t.owner WHERE c.cell_id = :cell_id AND t.state <> 'done' ORDER BY t.first",
                  &row, PG_BIND(PG_V(cell_id, cell_id)));
    while (pg_db_next(store, row, "reading the tasks of a cell", &code)) {
        pg_task_record record = {
            .first = sqlite3_column_int64(row, 0),
            .count = sqlite3_column_int64(row, 1),
            .state = pg_db_text(row, 2),
            .attempts = sqlite3_column_int(row, 3),
            .error = pg_db_text(row, 4),
            .host = pg_db_text(row, 5),
            .pid = sqlite3_column_int64(row, 6),
        };
        code = each(&record, context);
    }
    return code;
}

int pg_store_each_changed(pg_store *store, const char *matrix, int (*each)(const char *cell_id, void *context), void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_check_copies(store);
    if (code == PG_OK)
        code = pg_db_get(store,
                         "SELECT c.cell_id FROM plan p JOIN plan_cell pc ON pc.plan = p.plan JOIN cell c ON c.cell = pc.cell"
                         " WHERE p.matrix = :matrix AND p.overrides <> '' GROUP BY c.cell ORDER BY c.cell",
                         &row, PG_BIND(PG_V(matrix, matrix)));
    while (pg_db_next(store, row, "reading plans", &code))
        code = each(pg_db_text(row, 0), context);
    return code;
}

int pg_store_each_plan(pg_store *store, const char *cell_id, int (*each)(const char *name, const char *created, void *context),
                       void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_check_copies(store);
    if (code == PG_OK)
        code = pg_db_get(store,
                         "SELECT p.name, p.created FROM plan p WHERE EXISTS (SELECT 1 FROM plan_cell pc JOIN cell c"
                         " ON c.cell = pc.cell WHERE pc.plan = p.plan AND c.cell_id = :cell_id) ORDER BY p.plan",
                         &row, PG_BIND(PG_V(cell_id, cell_id)));
    while (pg_db_next(store, row, "reading plans", &code))
        code = each(pg_db_text(row, 0), pg_db_text(row, 1), context);
    return code;
}
