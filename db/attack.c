/* What attacks did, image by image. See store.h. */
#include "db/internal.h"

int pg_store_each_attack(pg_store *store, const char *cell_id, int (*each)(const pg_attack_row *attack, void *context),
                         void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_check_outcomes(store, cell_id);
    if (code == PG_OK)
        code = pg_db_get(store, pg_db_select_attacks, &row, PG_BIND(PG_V(cell_id, cell_id)));
    while (pg_db_next(store, row, "reading attacks", &code)) {
        pg_attack_row attack;
        pg_db_read_attack(row, &attack);
        code = each(&attack, context);
    }
    return code;
}

int pg_store_broken(pg_store *store, const char *cell_id, int64_t *broken, int64_t *first)
{
    sqlite3_stmt *row = NULL;
    *broken = 0;
    *first = -1;
    int code = pg_db_check_outcomes(store, cell_id);
    if (code == PG_OK)
        code = pg_db_get(store,
                         "SELECT count(*), ifnull(min(o.image), -1) FROM cell c JOIN forward f ON f.forward = c.forward"
                         " JOIN outcome o ON o.cell = c.cell JOIN label l ON l.dataset = f.dataset AND l.image = o.image"
                         " WHERE c.cell_id = :cell_id AND o.certified = 1 AND o.attacked IS NOT NULL AND o.attacked <> l.label",
                         &row, PG_BIND(PG_V(cell_id, cell_id)));
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "looking for broken certificates");
        code = step < 0 ? step : PG_OK;
        if (step == 1) {
            *broken = sqlite3_column_int64(row, 0);
            *first = sqlite3_column_int64(row, 1);
        }
    }
    pg_db_done(row);
    return code;
}
