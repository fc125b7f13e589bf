/* Audits of cells. See store.h and the table audit of schema.sql. */
#include "db/internal.h"
#include "harness/base/names.h"

int pg_store_audit(pg_store *store, const char *cell_id, const pg_audit_record *r)
{
    char now[32];
    pg_buf settings = PG_BUF_EMPTY;
    pg_db_time(now);
    pg_audit_record record = *r;
    record.finished = now;
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    pg_lines_stored(r->settings, &settings);
    record.settings = settings.data;
    code = pg_buf_check(&settings);
    if (code == PG_OK)
        code = pg_db_store_audit(store, cell_id, &record, true);
    pg_buf_release(&settings);
    if (code == PG_OK && sqlite3_changes(store->db) != 1)
        code = pg_fail(PG_EMISSING, "%s: has no cell %.16s; plan it before its audit is stored", store->path, cell_id);
    return pg_db_end(store, code);
}

int pg_store_each_audit(pg_store *store, const char *cell_id, int (*each)(const pg_audit_record *record, void *context),
                        void *context)
{
    sqlite3_stmt *row = NULL;
    pg_buf settings = PG_BUF_EMPTY;
    int code = pg_db_check_copies(store);
    if (code == PG_OK)
        code = pg_db_get(store, pg_db_select_audits, &row, PG_BIND(PG_V(cell_id, cell_id)));
    while (pg_db_next(store, row, "reading audits", &code)) {
        pg_audit_record record;
        pg_db_read_audit(row, &record);
        pg_buf_clear(&settings);
        pg_lines_today(record.settings, &settings);
        record.settings = settings.data;
        code = pg_buf_check(&settings);
        if (code == PG_OK)
            code = each(&record, context);
    }
    pg_buf_release(&settings);
    return code;
}
