/* Checking a whole store: SQLite's own integrity, foreign keys, and every checksum of ours. See store.h. */
#include "db/internal.h"

#include <string.h>

/* The statement's first row, if it has one, names the fault. */
static int expect_nothing(pg_store *store, const char *sql, const char *what)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, sql, &row, "");
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "checking");
        code = step < 0    ? step
               : step == 1 ? pg_fail(PG_EDAMAGED, "%s: %s: %s; restore a backup", store->path, what, pg_db_text(row, 0))
                           : PG_OK;
    }
    pg_db_done(row);
    return code;
}

static int ignore_cell(const pg_cell_result *result, void *context)
{
    (void)result;
    (void)context;
    return PG_OK; /* reading it has checked the sums of the row and of its summaries */
}

/* Ids are the SHA-256 of what they name. */
static int check_ids(pg_store *store, const char *sql, const char *what)
{
    sqlite3_stmt *row = NULL;
    int step = 0;
    int code = pg_db_get(store, sql, &row, "");
    while (code == PG_OK && (step = pg_db_step(store, row, "checking ids")) == 1) {
        char id[PG_HASH_HEX];
        const char *text = pg_db_text(row, 1);
        code = pg_hash_bytes(text, strlen(text), id);
        if (code == PG_OK && strcmp(id, pg_db_text(row, 0)) != 0)
            code = pg_fail(PG_EDAMAGED, "%s: %s %.16s is not the hash of its text; restore a backup", store->path, what,
                           pg_db_text(row, 0));
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

int pg_db_sum_outcomes(pg_store *store, const char *cell_id, int64_t first, int64_t count, int64_t *n, int64_t *sum)
{
    sqlite3_stmt *row = NULL;
    uint64_t hash = pg_fnv_start;
    int step = 0;
    *n = 0;
    int code = pg_db_get(store,
                         "SELECT o.image, l.label, o.prediction, o.certified, o.published, o.masked, o.margin, o.failure_case,"
                         " o.attacked, " PG_DB_ATTACK_COLUMNS " FROM cell c JOIN forward f ON f.forward = c.forward"
                         " JOIN outcome o ON o.cell = c.cell JOIN label l ON l.dataset = f.dataset AND l.image = o.image"
                         " LEFT JOIN attack a ON a.cell = o.cell AND a.image = o.image"
                         " WHERE c.cell_id = ?1 AND o.image BETWEEN ?2 AND ?3 ORDER BY o.image",
                         &row, "tii", cell_id, first, first + count - 1);
    while (code == PG_OK && (step = pg_db_step(store, row, "checking outcomes")) == 1) {
        pg_outcome o = {.image = sqlite3_column_int64(row, 0),
                        .label = sqlite3_column_int(row, 1),
                        .prediction = sqlite3_column_int(row, 2),
                        .certified = sqlite3_column_int(row, 3) != 0,
                        .certified_published = sqlite3_column_int(row, 4) != 0,
                        .masked = sqlite3_column_int(row, 5) != 0,
                        .has_margin = sqlite3_column_type(row, 6) != SQLITE_NULL,
                        .margin = sqlite3_column_int64(row, 6),
                        .failure_case = sqlite3_column_type(row, 7) == SQLITE_NULL ? -1 : (int8_t)sqlite3_column_int(row, 7)};
        hash = pg_db_outcome_checksum(hash, &o, sqlite3_column_type(row, 8) == SQLITE_NULL ? -2 : sqlite3_column_int(row, 8));
        if (sqlite3_column_type(row, 9) != SQLITE_NULL) {
            pg_attack_row attack;
            pg_db_read_attack(row, 9, &attack);
            hash = pg_db_attack_checksum(hash, &attack);
        }
        ++*n;
    }
    *sum = (int64_t)hash;
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
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
    int code = PG_OK, step = 0;
    while (code == PG_OK && (step = pg_db_step(store, row, "checking summaries")) == 1)
        code = check_outcomes(store, pg_db_text(row, 0), sqlite3_column_int64(row, 1), sqlite3_column_int64(row, 2),
                              sqlite3_column_int64(row, 3));
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

int pg_db_check_outcomes(pg_store *store, const char *cell_id)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "SELECT c.cell_id, t.first, t.count, s.outcomes FROM cell c JOIN summary s ON s.cell = c.cell"
                         " JOIN task t ON t.task = s.task WHERE c.cell_id = ?1 ORDER BY t.first",
                         &row, "t", cell_id);
    return code == PG_OK ? check_summaries(store, row) : code;
}

static int check_all_outcomes(pg_store *store)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "SELECT c.cell_id, t.first, t.count, s.outcomes FROM summary s JOIN task t ON t.task = s.task"
                         " JOIN cell c ON c.cell = s.cell ORDER BY s.cell, t.first",
                         &row, "");
    return code == PG_OK ? check_summaries(store, row) : code;
}

int pg_store_check(pg_store *store)
{
    int code =
        expect_nothing(store, "SELECT integrity_check FROM pragma_integrity_check(1) WHERE integrity_check <> 'ok'", "damaged");
    if (code == PG_OK)
        code = expect_nothing(store, "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1", "a row points nowhere in table");
    if (code == PG_OK)
        code =
            expect_nothing(store,
                           "SELECT 'task ' || t.task FROM task t JOIN task_cell tc ON tc.task = t.task LEFT JOIN summary s"
                           " ON s.task = t.task AND s.cell = tc.cell WHERE (t.state = 'done') <> (s.task IS NOT NULL) LIMIT 1",
                           "half-written");
    if (code == PG_OK)
        code = expect_nothing(store,
                              "SELECT c.cell_id FROM cell c WHERE (SELECT count(*) FROM outcome o WHERE o.cell = c.cell) <>"
                              " (SELECT ifnull(sum(s.n), 0) FROM summary s WHERE s.cell = c.cell) LIMIT 1",
                              "outcomes without a task in cell");
    if (code == PG_OK)
        code =
            expect_nothing(store,
                           "SELECT c.cell_id FROM cell c LEFT JOIN total t ON t.cell = c.cell WHERE t.cell IS NULL"
                           " OR t.images <> c.count OR t.n <> (SELECT ifnull(sum(s.n), 0) FROM summary s WHERE s.cell = c.cell)"
                           " OR t.failed <> (SELECT count(*) FROM task_cell tc JOIN task k ON k.task = tc.task"
                           " WHERE tc.cell = c.cell AND k.state = 'failed') LIMIT 1",
                           "wrong totals of cell");
    if (code == PG_OK)
        code = check_ids(store, "SELECT cell_id, canonical FROM cell", "cell");
    if (code == PG_OK)
        code = check_ids(store, "SELECT settings_id, settings FROM cell", "settings id");
    if (code == PG_OK)
        code = check_ids(store, "SELECT forward_key, canonical FROM forward", "forward pass");
    if (code == PG_OK)
        code = pg_store_each_cell(store, ignore_cell, NULL);
    return code == PG_OK ? check_all_outcomes(store) : code;
}
