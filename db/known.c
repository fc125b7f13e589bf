/* Cells by what they are called: what a plan asks where its files are not on this machine. See store.h. */
#include "db/internal.h"

#include <string.h>

#define HAS_OUTCOMES "EXISTS (SELECT 1 FROM summary s WHERE s.cell = c.cell)"

static int read_known(pg_store *store, int64_t key, int (*each)(const pg_known_cell *cell, int64_t cells, void *context),
                      int64_t cells, void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, pg_db_select_known_cell, &row, PG_BIND(PG_V(cell, key)));
    int step = code == PG_OK ? pg_db_step(store, row, "reading a cell") : 0;
    if (code == PG_OK)
        code = step < 0 ? step : step == 0 ? pg_fail(PG_EDAMAGED, "%s: a cell has no forward pass", store->path) : PG_OK;
    if (code == PG_OK) {
        pg_known_cell cell = {.key = key};
        if (!pg_db_read_known_cell(row, &cell))
            code = pg_fail(PG_EDAMAGED, "%s: cell %.16s: its row does not match its checksum; restore a backup", store->path,
                           cell.cell.cell_id);
        else
            code = each(&cell, cells, context);
    }
    pg_db_done(row);
    return code;
}

int pg_store_each_named(pg_store *store, const char *key, const char *value,
                        int (*each)(const pg_known_cell *cell, int64_t cells, void *context), void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "SELECT max(c.cell), count(*) FROM cell_setting n JOIN cell c ON c.cell = n.cell"
                         " WHERE n.key = :key AND n.value = :value AND " HAS_OUTCOMES " GROUP BY c.forward ORDER BY 1",
                         &row, PG_BIND(PG_V(key, key), PG_V(value, value)));
    while (pg_db_next(store, row, "looking for cells by a name", &code))
        code = read_known(store, sqlite3_column_int64(row, 0), each, sqlite3_column_int64(row, 1), context);
    return code;
}

typedef struct alike {
    int (*each)(const pg_known_cell *cell, void *context);
    void *context;
} alike;

static int pass_on(const pg_known_cell *cell, int64_t cells, void *context)
{
    const alike *a = context;
    (void)cells;
    return a->each(cell, a->context);
}

int pg_store_each_alike(pg_store *store, const char *settings, int (*each)(const pg_known_cell *cell, void *context),
                        void *context)
{
    char settings_id[PG_HASH_HEX];
    alike a = {each, context};
    sqlite3_stmt *row = NULL;
    int code = pg_hash_bytes(settings, strlen(settings), settings_id);
    if (code == PG_OK)
        code = pg_db_get(store,
                         "SELECT c.cell FROM cell c WHERE c.settings_id = :settings_id AND " HAS_OUTCOMES " ORDER BY c.cell",
                         &row, PG_BIND(PG_V(settings_id, settings_id)));
    while (pg_db_next(store, row, "looking for cells of the same settings", &code))
        code = read_known(store, sqlite3_column_int64(row, 0), pass_on, 1, &a);
    return code;
}

int pg_store_each_with(pg_store *store, const char *key, const char *value,
                       int (*each)(const pg_known_cell *cell, void *context), void *context)
{
    alike a = {each, context};
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store,
                         "SELECT c.cell FROM cell_setting n JOIN cell c ON c.cell = n.cell"
                         " WHERE n.key = :key AND n.value = :value AND " HAS_OUTCOMES " ORDER BY 1",
                         &row, PG_BIND(PG_V(key, key), PG_V(value, value)));
    while (pg_db_next(store, row, "looking for cells by a name", &code))
        code = read_known(store, sqlite3_column_int64(row, 0), pass_on, 1, &a);
    return code;
}
