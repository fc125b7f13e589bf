/* What is kept beside other rows since version 5, for filters, lists and SQL (db/migrate-5.sql, db/migrate-6.sql): settings one
 * a row, sums of cells with the ends of their intervals, sizes of images. See internal.h. */
#include "db/internal.h"

#include "harness/base/option.h"
#include "harness/base/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Intervals: functions of our connections, share_lo(count, n) and share_hi(count, n); NULL of no images ---- */

static void share(sqlite3_context *context, int n_values, sqlite3_value **values)
{
    (void)n_values;
    bool high = sqlite3_user_data(context) != NULL;
    int64_t count = sqlite3_value_int64(values[0]), n = sqlite3_value_int64(values[1]);
    if (count < 0 || count > n || n == 0)
        return;
    pg_interval interval = pg_wilson(count, n);
    sqlite3_result_double(context, high ? interval.hi : interval.lo);
}

int pg_db_add_functions(sqlite3 *db)
{
    static char high;
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
    int code = sqlite3_create_function(db, "share_lo", 2, flags, NULL, share, NULL, NULL);
    return code == SQLITE_OK ? sqlite3_create_function(db, "share_hi", 2, flags, &high, share, NULL, NULL) : code;
}

/* ---- Totals ---- */

/* Sums of summaries, a row for each cell that has any; `more`: of columns that came after version 5. */
#define SUMS(more)                                                                                              \
    "SELECT cell, sum(n) AS n, sum(clean) AS clean, sum(certified) AS certified, sum(published) AS published,"  \
    " sum(case0 + case1 + case2 + case3 + case4) AS cases, sum(masked) AS masked, sum(nonfinite) AS nonfinite," \
    " sum(attacked_n) AS attacked_n, sum(attacked) AS attacked, min(margin) AS margin" more " FROM summary GROUP BY cell"
#define TARGETED      ", sum(targeted) AS targeted, sum(reached) AS reached"
#define SHARES(X)     X(clean, n) X(certified, n) X(published, n) X(attacked, attacked_n)
#define ALL_SHARES(X) SHARES(X) X(reached, targeted)

int pg_db_add_total(pg_store *store, int64_t cell, const pg_db_summary *s)
{
    int64_t cases = 0;
    int64_t targeted = s->targeted >= 0 ? s->targeted : 0, reached = s->reached >= 0 ? s->reached : 0;
    for (int i = 0; i < PG_CASES; i++)
        cases += s->cases[i];
#define ENDS(count, of)                                                                                                        \
    ", " #count "_lo = share_lo(" #count " + :" #count ", " #of " + :" #of "), " #count "_hi = share_hi(" #count " + :" #count \
    ", " #of " + :" #of ")"
    return pg_db_run(store, "adding up a cell",
                     "UPDATE total SET n = n + :n, clean = clean + :clean, certified = certified + :certified, published ="
                     " published + :published, cases = cases + :cases, masked = masked + :masked, nonfinite = nonfinite +"
                     " :nonfinite, attacked_n = attacked_n + :attacked_n, attacked = attacked + :attacked, targeted ="
                     " targeted + :targeted, reached = reached + :reached, margin ="
                     " CASE WHEN :margin = 0 THEN margin ELSE min(ifnull(margin, :margin), :margin) END" ALL_SHARES(
                         ENDS) " WHERE cell = :cell",
                     PG_BIND(PG_V(n, s->n), PG_V(clean, s->clean), PG_V(certified, s->certified), PG_V(published, s->published),
                             PG_V(cases, cases), PG_V(masked, s->masked), PG_V(nonfinite, s->nonfinite),
                             PG_V(attacked_n, s->attacked_n), PG_V(attacked, s->attacked), PG_V(targeted, targeted),
                             PG_V(reached, reached), PG_V(margin, s->margin), PG_V(cell, cell)));
#undef ENDS
}

/* All of them, of the columns of version 5: sums of summaries, then their ends. */
static int derive_totals(pg_store *store)
{
#define ENDS(count, of) ", " #count "_lo = share_lo(" #count ", " #of "), " #count "_hi = share_hi(" #count ", " #of ")"
    int code = pg_db_execute(store,
                             "UPDATE total SET clean = s.clean, certified = s.certified, published = s.published, cases ="
                             " s.cases, masked = s.masked, nonfinite = s.nonfinite, attacked_n = s.attacked_n, attacked ="
                             " s.attacked, margin = s.margin FROM (" SUMS("") ") s WHERE s.cell = total.cell",
                             "adding up cells");
    return code == PG_OK ? pg_db_execute(store, "UPDATE total SET n = n" SHARES(ENDS) " WHERE n > 0", "adding up cells") : code;
#undef ENDS
}

#define DIFFERS(count, of) \
    " OR t." #count "_lo IS NOT share_lo(t." #count ", t." #of ") OR t." #count "_hi IS NOT share_hi(t." #count ", t." #of ")"
const char pg_db_wrong_totals[] = "SELECT c.cell_id FROM cell c LEFT JOIN total t ON t.cell = c.cell LEFT JOIN (" SUMS(
    TARGETED) ") s ON s.cell = c.cell"
              " WHERE t.cell IS NULL OR t.images <> c.count OR t.n <> ifnull(s.n, 0) OR t.clean <> ifnull(s.clean, 0)"
              " OR t.certified <> ifnull(s.certified, 0) OR t.published <> ifnull(s.published, 0) OR t.cases <> "
              "ifnull(s.cases, 0)"
              " OR t.masked <> ifnull(s.masked, 0) OR t.nonfinite <> ifnull(s.nonfinite, 0)"
              " OR t.attacked_n <> ifnull(s.attacked_n, 0) OR t.attacked <> ifnull(s.attacked, 0)"
              " OR t.targeted <> ifnull(s.targeted, 0) OR t.reached <> ifnull(s.reached, 0) OR t.margin IS NOT s.margin"
              " OR t.failed <> (SELECT count(*) FROM task_cell tc JOIN task k ON k.task = tc.task WHERE tc.cell = c.cell"
              " AND k.state = 'failed')" ALL_SHARES(DIFFERS);

/* ---- Settings ---- */

int pg_db_store_settings(pg_store *store, int64_t cell, const char *cell_settings, const char *details)
{
    static const char doing[] = "recording settings";
    const char *texts[] = {cell_settings, details};
    pg_setting *settings = NULL;
    size_t n = 0;
    int code = pg_db_run(store, doing, "DELETE FROM cell_setting WHERE cell = :cell", PG_BIND(PG_V(cell, cell)));
    if (code == PG_OK)
        code = pg_settings_parse(texts, 2, &settings, &n);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        if (i == 0 || strcmp(settings[i].key, settings[i - 1].key) != 0)
            code = pg_db_run(store, doing, "INSERT INTO cell_setting (cell, key, value) VALUES (:cell, :key, :value)",
                             PG_BIND(PG_V(cell, cell), PG_V(key, settings[i].key), PG_V(value, settings[i].value)));
    free(settings);
    return code;
}

int pg_db_check_settings(pg_store *store, const pg_cell_result *r)
{
    sqlite3_stmt *row = NULL;
    size_t i = 0;
    int step = 0;
    bool same = true;
    int code = pg_db_get(store,
                         "SELECT s.key, s.value FROM cell c JOIN cell_setting s ON s.cell = c.cell WHERE c.cell_id = :cell_id"
                         " ORDER BY s.key",
                         &row, PG_BIND(PG_V(cell_id, r->cell_id)));
    while (code == PG_OK && same && (step = pg_db_step(store, row, "checking settings")) == 1) {
        same = i < r->n_settings && strcmp(r->settings[i].key, pg_db_text(row, 0)) == 0 &&
               strcmp(r->settings[i].value, pg_db_text(row, 1)) == 0;
        for (i++; i < r->n_settings && strcmp(r->settings[i].key, r->settings[i - 1].key) == 0;)
            i++;
    }
    pg_db_done(row);
    if (code == PG_OK && step < 0)
        code = step;
    if (code == PG_OK && (!same || i != r->n_settings))
        code = pg_fail(PG_EDAMAGED, "%s: cell %.16s: its settings in cell_setting are not those of the cell; restore a backup",
                       store->path, r->cell_id);
    return code;
}

static int derive_settings(pg_store *store)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, "SELECT cell, settings, details FROM cell ORDER BY cell", &row, NULL);
    while (pg_db_next(store, row, "recording settings", &code))
        code = pg_db_store_settings(store, sqlite3_column_int64(row, 0), pg_db_text(row, 1), pg_db_text(row, 2));
    return code;
}

/* ---- Sizes of images ---- */

/* CIFAR-10 as its authors publish it, and the three splits of the synthetic set. */
static const char known_sizes[] = "UPDATE dataset SET height = 32, width = 32 WHERE hash IN ("
                                  "'b3c4b8a61f1d9b147da14123c11110f5d5461ea4636e5a76b4d601b0e3eed00c',"
                                  "'eba44d1ce2ddee1ec4dcb168c1f00285b2288b29dd9ba260facb13d0313130ed',"
                                  "'eb3e48ac5f4a32a76ec317e5b8d3cb42d7eb53b94c1b788c16583c429243d7ff',"
                                  "'dca5036221c06eb56eb0c8a04a6025636436cc80d2d58d69ff52a6736628008b')";

/* Resized ones have the size in their name: "cifar10:test@192x224:bilinear". Their hash covers it. */
static int derive_sizes(pg_store *store)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_execute(store, known_sizes, "recording sizes of images");
    if (code == PG_OK)
        code = pg_db_get(store, "SELECT dataset, name FROM dataset WHERE name LIKE '%@%'", &row, NULL);
    while (pg_db_next(store, row, "reading data sets", &code)) {
        const char *at = strrchr(pg_db_text(row, 1), '@') + 1;
        char size[16];
        int height = 0, width = 0;
        snprintf(size, sizeof size, "%.*s", (int)strcspn(at, ":"), at);
        if (pg_parse_size(size, &height, &width) == PG_OK)
            code = pg_db_run(store, "recording sizes of images",
                             "UPDATE dataset SET height = :height, width = :width WHERE dataset = :dataset",
                             PG_BIND(PG_V(height, height), PG_V(width, width), PG_V(dataset, sqlite3_column_int64(row, 0))));
    }
    return code;
}

int pg_db_derive(pg_store *store)
{
    int code = derive_settings(store);
    if (code == PG_OK)
        code = derive_totals(store);
    return code == PG_OK ? derive_sizes(store) : code;
}
