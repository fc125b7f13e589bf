/* Checking a whole store: SQLite's own integrity, rows against their copies in indexes with it (db/migrate-3.sql), foreign
 * keys, and every checksum of ours. See store.h. */
#include "db/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int pg_db_sum_outcomes(pg_store *store, const char *cell_id, int64_t first, int64_t count, int64_t *n, int64_t *sum)
{
    sqlite3_stmt *row = NULL;
    uint64_t hash = pg_fnv_start;
    *n = 0;
    int code = pg_db_get(store, pg_db_select_outcomes, &row,
                         PG_BIND(PG_V(cell_id, cell_id), PG_V(first, first), PG_V(last, first + count - 1)));
    while (pg_db_next(store, row, "checking outcomes", &code)) {
        pg_outcome o;
        pg_attack_row attack;
        bool attacked = pg_db_read_outcome(row, &o, &attack);
        hash = pg_db_outcome_checksum(hash, &o);
        hash = attacked ? pg_db_attack_checksum(hash, &attack) : hash;
        ++*n;
    }
    *sum = (int64_t)hash;
    return code;
}

/* Outcomes of one summary row. */
static int check_outcomes(pg_store *store, const char *cell_id, int64_t first, int64_t count, int64_t wanted)
{
    int64_t n = 0, sum = 0;
    int code = pg_db_sum_outcomes(store, cell_id, first, count, &n, &sum);
    if (code == PG_OK && (n != count || sum != wanted))
        code = pg_fail(PG_EDAMAGED,
                       "%s: cell %.16s: outcomes of images %lld to %lld do not match their checksum; restore a backup",
                       store->path, cell_id, (long long)first, (long long)(first + count - 1));
    return code;
}

/* Outcomes of all summaries of a statement that gives cell_id, first, count, outcomes. */
static int check_summaries(pg_store *store, sqlite3_stmt *row)
{
    int code = PG_OK;
    while (pg_db_next(store, row, "checking summaries", &code))
        code = check_outcomes(store, pg_db_text(row, 0), sqlite3_column_int64(row, 1), sqlite3_column_int64(row, 2),
                              sqlite3_column_int64(row, 3));
    return code;
}

int pg_db_check_outcomes(pg_store *store, const char *cell_id)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "SELECT c.cell_id, t.first, t.count, s.outcomes FROM cell c JOIN summary s ON s.cell = c.cell"
                         " JOIN task t ON t.task = s.task WHERE c.cell_id = :cell_id ORDER BY t.first",
                         &row, PG_BIND(PG_V(cell_id, cell_id)));
    return code == PG_OK ? check_summaries(store, row) : code;
}

/* ---- The whole store ---- */

typedef struct checker {
    pg_store *store;
    void (*tell)(const char *fault, void *context); /* NULL: the first fault ends it */
    void *context;
    int64_t faults;
} checker;

/* A fault that the thread's message describes. PG_OK: go on looking. */
static int found(checker *c, int code)
{
    if (code != PG_EDAMAGED || !c->tell)
        return code;
    c->faults++;
    c->tell(pg_error_message(), c->context);
    return PG_OK;
}

/* A row that names a fault; SQLite's check of integrity puts memory that runs out there, too. */
static int fault_of(const pg_store *store, const char *what, const char *text)
{
    char no_memory[32];
    snprintf(no_memory, sizeof no_memory, "error code=%d", SQLITE_NOMEM);
    return strstr(text, no_memory) ? pg_fail(PG_ENOMEM, "%s: out of memory while it is checked", store->path)
                                   : pg_fail(PG_EDAMAGED, "%s: %s: %s; restore a backup", store->path, what, text);
}

/* Every row of the statement names a fault. */
static int expect_nothing(checker *c, const char *sql, const char *what)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(c->store, sql, &row, NULL);
    while (pg_db_next(c->store, row, "checking", &code))
        code = found(c, fault_of(c->store, what, pg_db_text(row, 0)));
    return found(c, code);
}

int pg_db_check_copies(pg_store *store)
{
#define TABLE(name) "SELECT integrity_check FROM pragma_integrity_check('" name "') WHERE integrity_check <> 'ok'"
    static const char sql[] =
        TABLE("audit") " UNION ALL " TABLE("attempt") " UNION ALL " TABLE("worker") " UNION ALL " TABLE("plan");
    int code = store->copies_checked ? PG_OK : expect_nothing(&(checker){.store = store}, sql, "damaged");
    store->copies_checked = code == PG_OK;
    return code;
}

/* Ids are the SHA-256 of what they name. */
static int check_ids(checker *c, const char *sql, const char *what)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(c->store, sql, &row, NULL);
    while (pg_db_next(c->store, row, "checking ids", &code)) {
        char id[PG_HASH_HEX];
        const char *text = pg_db_text(row, 1);
        code = pg_hash_bytes(text, strlen(text), id);
        if (code == PG_OK && strcmp(id, pg_db_text(row, 0)) != 0)
            code = found(c, pg_fail(PG_EDAMAGED, "%s: %s %.16s is not the hash of its text; restore a backup", c->store->path,
                                    what, pg_db_text(row, 0)));
    }
    return found(c, code);
}

/* Reading a cell checks the sums of its row and of its summaries; then its settings against those in rows of their own. */
static int check_cells(checker *c)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(c->store, "SELECT cell_id FROM cell ORDER BY cell", &row, NULL);
    while (pg_db_next(c->store, row, "checking cells", &code)) {
        pg_cell_result result;
        code = pg_store_cell(c->store, pg_db_text(row, 0), &result);
        if (code == PG_OK)
            code = pg_db_check_settings(c->store, &result);
        pg_cell_result_release(&result);
        code = found(c, code);
    }
    return found(c, code);
}

static int check_all_outcomes(checker *c)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(c->store,
                         "SELECT c.cell_id, t.first, t.count, s.outcomes FROM summary s JOIN task t ON t.task = s.task"
                         " JOIN cell c ON c.cell = s.cell ORDER BY s.cell, t.first",
                         &row, NULL);
    while (pg_db_next(c->store, row, "checking summaries", &code))
        code = found(c, check_outcomes(c->store, pg_db_text(row, 0), sqlite3_column_int64(row, 1), sqlite3_column_int64(row, 2),
                                       sqlite3_column_int64(row, 3)));
    return found(c, code);
}

/* Tables, indexes and triggers against those of an empty store of this version. */
static int check_schema(checker *c)
{
    static const char sql[] = "SELECT type || ' ' || name, quote(type) || quote(name) || quote(tbl_name) || quote(sql)"
                              " FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY type, name";
    sqlite3 *empty = NULL;
    sqlite3_stmt *wanted = NULL, *row = NULL;
    int result = sqlite3_open_v2(":memory:", &empty, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, NULL), step = 1;
    for (const pg_migration *m = pg_migrations; result == SQLITE_OK && m->version; m++)
        result = sqlite3_exec(empty, m->sql, NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_prepare_v2(empty, sql, -1, &wanted, NULL);
    int code = result == SQLITE_OK ? pg_db_get(c->store, sql, &row, NULL) : pg_fail(PG_EDB, "%s", sqlite3_errmsg(empty));
    for (bool more = true; code == PG_OK && more && (step = pg_db_step(c->store, row, "checking")) >= 0;) {
        more = sqlite3_step(wanted) == SQLITE_ROW;
        bool same = more == (step == 1) && (!more || (strcmp(pg_db_text(row, 0), pg_db_text(wanted, 0)) == 0 &&
                                                      strcmp(pg_db_text(row, 1), pg_db_text(wanted, 1)) == 0));
        if (!same)
            code = pg_fail(PG_EDAMAGED, "%s: is not laid out as this version lays it out, from %s on; restore a backup",
                           c->store->path, step == 1 ? pg_db_text(row, 0) : pg_db_text(wanted, 0));
    }
    pg_db_done(row);
    sqlite3_finalize(wanted);
    sqlite3_close(empty);
    return found(c, code == PG_OK && step < 0 ? step : code);
}

/* What statements can tell: each gives the names of what is wrong. */
static const struct {
    const char *what, *sql;
} questions[] = {
    {"damaged", "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"},
    {"a row points nowhere in table", "SELECT \"table\" FROM pragma_foreign_key_check"},
    {"half-written", "SELECT 'task ' || t.task FROM task t JOIN task_cell tc ON tc.task = t.task LEFT JOIN summary s"
                     " ON s.task = t.task AND s.cell = tc.cell WHERE (t.state = 'done') <> (s.task IS NOT NULL)"},
    {"a task without cells", "SELECT 'task ' || task FROM task WHERE task NOT IN (SELECT task FROM task_cell)"},
    {"results without the attempt that made them",
     "SELECT 'task ' || s.task FROM summary s LEFT JOIN attempt a ON a.attempt = s.attempt AND a.task = s.task"
     " AND a.result = 'done' WHERE a.attempt IS NULL"},
    {"outcomes without a task in cell",
     "SELECT c.cell_id FROM cell c WHERE (SELECT count(*) FROM outcome o WHERE o.cell = c.cell) <>"
     " (SELECT ifnull(sum(s.n), 0) FROM summary s WHERE s.cell = c.cell)"},
    {"wrong totals of cell", pg_db_wrong_totals},
    {"gaps in plan",
     "SELECT substr(p.plan_id, 1, 16) FROM plan p WHERE (SELECT count(*) FROM plan_cell c WHERE c.plan = p.plan) <>"
     " (SELECT ifnull(max(position) + 1, 0) FROM plan_cell c WHERE c.plan = p.plan)"},
};

static int check_all(checker *c)
{
    int code = check_schema(c);
    for (size_t i = 0; code == PG_OK && i < sizeof questions / sizeof *questions; i++)
        code = expect_nothing(c, questions[i].sql, questions[i].what);
    if (code == PG_OK)
        code = check_ids(c, "SELECT cell_id, canonical FROM cell", "cell");
    if (code == PG_OK)
        code = check_ids(c, "SELECT settings_id, settings FROM cell", "settings id");
    if (code == PG_OK)
        code = check_ids(c, "SELECT forward_key, canonical FROM forward", "forward pass");
    if (code == PG_OK)
        code = check_cells(c);
    return code == PG_OK ? check_all_outcomes(c) : code;
}

int pg_store_check(pg_store *store) { return check_all(&(checker){.store = store}); }

int pg_store_check_all(pg_store *store, void (*tell)(const char *fault, void *context), void *context, int64_t *faults)
{
    checker c = {.store = store, .tell = tell, .context = context};
    int code = check_all(&c);
    *faults = c.faults;
    return code;
}

int pg_store_sizes_of(pg_store *store, pg_store_sizes *out)
{
    sqlite3_stmt *row = NULL;
    *out = (pg_store_sizes){0};
    int code = pg_db_get(store,
                         "SELECT (SELECT count(*) FROM cell), (SELECT count(*) FROM task), (SELECT count(*) FROM outcome),"
                         " (SELECT count(*) FROM attack), (SELECT count(*) FROM audit)",
                         &row, NULL);
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "counting");
        int64_t *fields[] = {&out->cells, &out->tasks, &out->outcomes, &out->attacks, &out->audits};
        code = step < 0 ? step : PG_OK;
        for (int i = 0; step == 1 && i < 5; i++)
            *fields[i] = sqlite3_column_int64(row, i);
    }
    pg_db_done(row);
    return code;
}
