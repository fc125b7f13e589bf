/* What attacks did, image by image. See store.h. */
#include "db/internal.h"

#include <math.h>
#include <string.h>

uint64_t pg_db_attack_checksum(uint64_t hash, const pg_attack_row *a)
{
    double loss = isnan(a->loss) ? 0 : a->loss + 0.0; /* a stored -0 comes back as 0 */
    int64_t bits;
    memcpy(&bits, &loss, sizeof bits);
    hash = pg_fnv_int(pg_fnv_int(pg_fnv_int(hash, a->image), a->top), a->left);
    hash = pg_fnv_int(pg_fnv_int(pg_fnv_int(hash, a->target), isnan(a->loss) ? 1 : 0), bits);
    hash = pg_fnv_int(pg_fnv_int(pg_fnv_int(hash, a->steps), a->before), a->after);
    hash = pg_fnv_int(hash, (int64_t)a->patch_size);
    return pg_fnv_bytes(hash, a->patch, a->patch_size);
}

int pg_db_store_attack(pg_store *store, int64_t cell, const pg_attack_row *a)
{
    int64_t target = a->target;
    return pg_db_run(store, "storing what an attack found",
                     "INSERT INTO attack (cell, image, top, \"left\", target, loss, steps, before, after, patch)"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                     "iibbodibbx", cell, a->image, a->top, a->left, target >= 0 ? &target : NULL, a->loss, a->steps, a->before,
                     a->after, (const void *)a->patch, a->patch_size);
}

void pg_db_read_attack(sqlite3_stmt *row, int first, pg_attack_row *out)
{
    *out = (pg_attack_row){
        .image = sqlite3_column_int64(row, first),
        .top = sqlite3_column_int(row, first + 1),
        .left = sqlite3_column_int(row, first + 2),
        .target = sqlite3_column_type(row, first + 3) == SQLITE_NULL ? -1 : sqlite3_column_int(row, first + 3),
        .loss = sqlite3_column_type(row, first + 4) == SQLITE_NULL ? NAN : sqlite3_column_double(row, first + 4),
        .steps = sqlite3_column_int64(row, first + 5),
        .before = sqlite3_column_int(row, first + 6),
        .after = sqlite3_column_int(row, first + 7),
        .patch = sqlite3_column_blob(row, first + 8),
        .patch_size = (size_t)sqlite3_column_bytes(row, first + 8),
    };
}

int pg_store_each_attack(pg_store *store, const char *cell_id, int (*each)(const pg_attack_row *attack, void *context),
                         void *context)
{
    sqlite3_stmt *row = NULL;
    int step = 0;
    int code = pg_db_check_outcomes(store, cell_id);
    if (code == PG_OK)
        code = pg_db_get(store,
                         "SELECT " PG_DB_ATTACK_COLUMNS ", l.label FROM cell c JOIN forward f ON f.forward = c.forward"
                         " JOIN attack a ON a.cell = c.cell JOIN label l ON l.dataset = f.dataset AND l.image = a.image"
                         " WHERE c.cell_id = ?1 ORDER BY a.image",
                         &row, "t", cell_id);
    while (code == PG_OK && (step = pg_db_step(store, row, "reading attacks")) == 1) {
        pg_attack_row attack;
        pg_db_read_attack(row, 0, &attack);
        attack.label = sqlite3_column_int(row, 9);
        code = each(&attack, context);
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
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
                         " WHERE c.cell_id = ?1 AND o.certified = 1 AND o.attacked IS NOT NULL AND o.attacked <> l.label",
                         &row, "t", cell_id);
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
