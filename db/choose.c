/* Cells by their settings (table cell_setting), and what lists of many cells show. See store.h. */
#include "db/internal.h"

#include "harness/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- Keys and values that there are ---- */

/* Each row of a statement: a key and a value. */
static int each_row(pg_store *store, const char *sql, const char *key,
                    int (*each)(const char *key, const char *value, void *context), void *context, int64_t *n)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, sql, &row, key ? PG_BIND(PG_V(key, key)) : NULL);
    for (*n = 0; pg_db_next(store, row, "looking for settings", &code); ++*n)
        code = each(pg_db_text(row, 0), pg_db_text(row, 1), context);
    return code;
}

int pg_store_keys_of(pg_store *store, int64_t cell, int (*each)(const char *key, const char *value, void *context),
                     void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, "SELECT key FROM cell_setting WHERE cell = :cell", &row, PG_BIND(PG_V(cell, cell)));
    while (pg_db_next(store, row, "reading settings", &code))
        code = each(pg_db_text(row, 0), "", context);
    return code;
}

int pg_store_each_key(pg_store *store, int (*each)(const char *key, const char *value, void *context), void *context)
{
    int64_t n;
    return each_row(store, /* one look into the index for each key, however many cells have it */
                    "WITH RECURSIVE k(key) AS (SELECT min(key) FROM cell_setting UNION ALL"
                    " SELECT (SELECT min(s.key) FROM cell_setting s WHERE s.key > k.key) FROM k WHERE k.key IS NOT NULL)"
                    " SELECT key, '' FROM k WHERE key IS NOT NULL",
                    NULL, each, context, &n);
}

int pg_store_each_value(pg_store *store, const char *key, int (*each)(const char *key, const char *value, void *context),
                        void *context)
{
    int64_t n;
    int code =
        each_row(store, "SELECT DISTINCT key, value FROM cell_setting WHERE key = :key ORDER BY value", key, each, context, &n);
    if (code == PG_OK && n == 0 && !strchr(key, '.'))
        code = each_row(store,
                        "SELECT DISTINCT key, value FROM cell_setting WHERE key IN (SELECT m.value || '.' || :key"
                        " FROM cell_setting m WHERE m.key IN ('defense', 'attack')) ORDER BY key, value",
                        key, each, context, &n);
    return code;
}

/* ---- Cells that have them ---- */

static int add_cell(int64_t cell, pg_cell_set *out)
{
    int64_t *cells = pg_grow(out->cells, out->n, &out->room, sizeof *cells);
    if (!cells)
        return PG_ENOMEM;
    out->cells = cells;
    cells[out->n++] = cell;
    return PG_OK;
}

static int add_cells(pg_store *store, const char *sql, const pg_db_value *values, pg_cell_set *out)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, sql, &row, values);
    while (pg_db_next(store, row, "choosing cells", &code))
        code = add_cell(sqlite3_column_int64(row, 0), out);
    return code;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int cells_of(pg_store *store, const pg_cell_term *term, pg_cell_set *out)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < term->n; i++)
        code = add_cells(store, "SELECT cell FROM cell_setting WHERE key = :key AND value = :value",
                         PG_BIND(PG_V(key, term->any[i].key), PG_V(value, term->any[i].value)), out);
    if (code == PG_OK && term->or_without)
        code = add_cells(store,
                         "SELECT cell FROM cell c WHERE NOT EXISTS (SELECT 1 FROM cell_setting s WHERE s.cell = c.cell"
                         " AND s.key = :key)",
                         PG_BIND(PG_V(key, term->or_without)), out);
    if (out->n > 0)
        qsort(out->cells, out->n, sizeof *out->cells, ascending);
    return code;
}

/* Leaves what is in both, once. */
static void intersect(pg_cell_set *set, const pg_cell_set *with)
{
    size_t n = 0;
    for (size_t i = 0, k = 0; i < set->n && k < with->n;) {
        if (set->cells[i] == with->cells[k] && (n == 0 || set->cells[n - 1] != set->cells[i]))
            set->cells[n++] = set->cells[i];
        if (set->cells[i] <= with->cells[k])
            i++;
        else
            k++;
    }
    set->n = n;
}

#define STATE "CASE WHEN t.n = t.images THEN 2 WHEN t.failed > 0 THEN 3 WHEN t.n > 0 THEN 1 ELSE 0 END"
_Static_assert(PG_CELL_NEW == 0 && PG_CELL_PARTIAL == 1 && PG_CELL_DONE == 2 && PG_CELL_FAILED == 3, "as STATE says");

int pg_store_choose(pg_store *store, int state, const pg_cell_term *terms, size_t n, pg_cell_set *out)
{
    *out = (pg_cell_set){0};
    int code = add_cells(store, "SELECT t.cell FROM total t WHERE :state = -1 OR :state = " STATE " ORDER BY t.cell",
                         PG_BIND(PG_V(state, state)), out);
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        pg_cell_set of_term = {0};
        code = cells_of(store, &terms[i], &of_term);
        if (code == PG_OK)
            intersect(out, &of_term);
        pg_cell_set_release(&of_term);
    }
    return code;
}

void pg_cell_set_release(pg_cell_set *set)
{
    free(set->cells);
    *set = (pg_cell_set){0};
}

/* ---- What a list shows of them ---- */

/* Cells whose numbers follow each other, first to last. */
static int read_lines(pg_store *store, int64_t first, int64_t last, int (*each)(const pg_cell_line *line, void *context),
                      void *context)
{
    sqlite3_stmt *row = NULL;
    int64_t n = 0;
    int code = pg_db_get(store, pg_db_select_lines, &row, PG_BIND(PG_V(first, first), PG_V(last, last)));
    for (; pg_db_next(store, row, "reading cells", &code); n++) {
        pg_cell_line line;
        pg_db_read_line(row, &line);
        code = strlen(line.cell_id) == PG_HASH_HEX - 1
                   ? each(&line, context)
                   : pg_fail(PG_EDAMAGED, "%s: a cell has no id; `patchgauge db check` tells more", store->path);
    }
    return code == PG_OK && n != last - first + 1
               ? pg_fail(PG_EDAMAGED, "%s: a cell has no totals; `patchgauge db check` tells more", store->path)
               : code;
}

int pg_store_each_line(pg_store *store, const int64_t *cells, size_t n, int (*each)(const pg_cell_line *line, void *context),
                       void *context)
{
    enum { AT_ONCE = 256 }; /* of one moment, so that writers wait for no more */
    int code = PG_OK;
    for (size_t at = 0, end; code == PG_OK && at < n; at = end) {
        for (end = at + 1; end < n && end < at + AT_ONCE && cells[end] == cells[end - 1] + 1;)
            end++;
        code = read_lines(store, cells[at], cells[end - 1], each, context);
    }
    return code;
}
