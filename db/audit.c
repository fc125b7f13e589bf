/* Audits of cells. See store.h and the table audit of schema.sql. */
#include "db/internal.h"

int pg_store_audit(pg_store *store, const char *cell_id, const pg_audit_record *r)
{
    char now[32];
    pg_db_time(now);
    const int64_t *delta = r->has_delta ? &r->delta : NULL;
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    code = pg_db_run(store, "storing an audit",
                     "INSERT OR REPLACE INTO audit (cell, level, settings, n, certified, broken, unbroken, published_broken,"
                     " delta, witness, finished) SELECT cell, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM cell"
                     " WHERE cell_id = ?1",
                     "tttiiiiiott", cell_id, r->level, r->settings, r->n, r->certified, r->broken, r->unbroken,
                     r->published_broken, delta, r->witness, now);
    if (code == PG_OK && sqlite3_changes(store->db) != 1)
        code = pg_fail(PG_EMISSING, "%s: has no cell %.16s; plan it before its audit is stored", store->path, cell_id);
    return pg_db_end(store, code);
}

static pg_audit_record record_of(sqlite3_stmt *row)
{
    return (pg_audit_record){.level = pg_db_text(row, 0),
                             .settings = pg_db_text(row, 1),
                             .n = sqlite3_column_int64(row, 2),
                             .certified = sqlite3_column_int64(row, 3),
                             .broken = sqlite3_column_int64(row, 4),
                             .unbroken = sqlite3_column_int64(row, 5),
                             .published_broken = sqlite3_column_int64(row, 6),
                             .has_delta = sqlite3_column_type(row, 7) != SQLITE_NULL,
                             .delta = sqlite3_column_int64(row, 7),
                             .witness = sqlite3_column_type(row, 8) == SQLITE_NULL ? NULL : pg_db_text(row, 8),
                             .finished = pg_db_text(row, 9)};
}

int pg_store_each_audit(pg_store *store, const char *cell_id, int (*each)(const pg_audit_record *record, void *context),
                        void *context)
{
    sqlite3_stmt *row = NULL;
    int step = 0;
    int code = pg_db_check_copies(store);
    if (code == PG_OK)
        code = pg_db_get(store,
                         "SELECT a.level, a.settings, a.n, a.certified, a.broken, a.unbroken, a.published_broken, a.delta,"
                         " a.witness, a.finished FROM audit a JOIN cell c ON c.cell = a.cell WHERE c.cell_id = ?1"
                         " ORDER BY a.level, a.settings",
                         &row, "t", cell_id);
    while (code == PG_OK && (step = pg_db_step(store, row, "reading audits")) == 1) {
        pg_audit_record record = record_of(row);
        code = each(&record, context);
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}
