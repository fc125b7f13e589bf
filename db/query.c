/* Results: what tables, figures, `ls` and `show` read. See store.h. */
#include "db/internal.h"

#include "harness/base/memory.h"

#include <stdlib.h>
#include <string.h>

const char *pg_cell_state_name(pg_cell_state state)
{
    static const char *const names[] = {"new", "partial", "done", "failed"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "?";
}

static int fill_cell(pg_store *store, sqlite3_stmt *row, pg_cell_result *out)
{
    pg_store_cell_row cell;
    if (!pg_db_read_cell(row, &cell))
        return pg_fail(PG_EDAMAGED, "%s: cell %.16s: its row does not match its checksum; restore a backup", store->path,
                       cell.cell_id);
    memcpy(out->cell_id, cell.cell_id, PG_HASH_HEX);
    out->known = true;
    out->first = cell.first;
    out->images = cell.count;
    out->has_delta = cell.has_delta;
    out->delta = cell.delta;
    const char *texts[] = {cell.settings, cell.details};
    return pg_settings_parse(texts, 2, &out->settings, &out->n_settings);
}

static int add_summary(pg_store *store, sqlite3_stmt *row, pg_cell_result *out)
{
    pg_db_summary s;
    if (!pg_db_read_summary(row, &s))
        return pg_fail(PG_EDAMAGED, "%s: cell %.16s: a summary row does not match its checksum; restore a backup", store->path,
                       out->cell_id);
    out->n += s.n;
    out->clean += s.clean;
    out->certified += s.certified;
    out->certified_published += s.published;
    out->nonfinite += s.nonfinite;
    out->masked += s.masked;
    for (int i = 0; i < PG_CASES; i++) {
        out->cases[i] += s.cases[i];
        out->has_published |= s.cases[i] > 0;
    }
    out->attacked_n += s.attacked_n;
    out->attacked += s.attacked;
    out->targeted += s.targeted >= 0 ? s.targeted : 0;
    out->reached += s.reached >= 0 ? s.reached : 0;
    out->saturated_n += s.saturated >= 0 ? s.n : 0;
    out->saturated += s.saturated >= 0 ? s.saturated : 0;
    out->differs_n += s.differs >= 0 ? s.n : 0;
    out->differs += s.differs >= 0 ? s.differs : 0;
    if (s.margin > 0 && (!out->has_smallest_margin || s.margin < out->smallest_margin)) {
        out->has_smallest_margin = true;
        out->smallest_margin = s.margin;
    }
    return PG_OK;
}

static int fill_counts(pg_store *store, int64_t cell, pg_cell_result *out)
{
    sqlite3_stmt *row = NULL;
    int step = 0;
    int code = pg_db_get(store, pg_db_select_summaries, &row, PG_BIND(PG_V(cell, cell)));
    while (code == PG_OK && (step = pg_db_step(store, row, "reading a summary")) == 1)
        code = add_summary(store, row, out);
    pg_db_done(row);
    if (code == PG_OK && step < 0)
        code = step;
    if (code != PG_OK)
        return code;
    out->state = out->n == 0 ? PG_CELL_NEW : out->n < out->images ? PG_CELL_PARTIAL : PG_CELL_DONE;
    if (out->state == PG_CELL_DONE)
        return PG_OK;
    code = pg_db_get(
        store,
        "SELECT t.error FROM task_cell tc JOIN task t ON t.task = tc.task WHERE tc.cell = :cell AND t.state = 'failed'"
        " ORDER BY t.first LIMIT 1",
        &row, PG_BIND(PG_V(cell, cell)));
    if (code == PG_OK && (step = pg_db_step(store, row, "reading the tasks of a cell")) == 1) {
        out->state = PG_CELL_FAILED;
        out->error = strdup(pg_db_text(row, 0));
    }
    pg_db_done(row);
    return code == PG_OK && step < 0 ? step : code;
}

/* The cell of a statement's one row, with its sums; `out` stays unknown where there is none. */
static int read_cell(pg_store *store, sqlite3_stmt *row, pg_cell_result *out)
{
    int64_t cell = 0;
    int code = PG_OK, step = pg_db_step(store, row, "reading a cell");
    if (step == 1) {
        cell = sqlite3_column_int64(row, 0);
        code = fill_cell(store, row, out);
    } else {
        code = step;
    }
    pg_db_done(row);
    if (code == PG_OK && out->known)
        code = fill_counts(store, cell, out);
    if (code != PG_OK)
        pg_cell_result_release(out);
    return code;
}

int pg_store_cell(pg_store *store, const char *cell_id, pg_cell_result *out)
{
    *out = (pg_cell_result){.known = false};
    strncpy(out->cell_id, cell_id, PG_HASH_HEX - 1);
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(store, pg_db_select_cell_by_id, &row, PG_BIND(PG_V(cell_id, cell_id)));
    return code == PG_OK ? read_cell(store, row, out) : code;
}

int pg_store_cell_checked(pg_store *store, const char *cell_id, pg_cell_result *out)
{
    int code = pg_store_cell(store, cell_id, out);
    if (code == PG_OK && out->n > 0)
        code = pg_db_check_outcomes(store, cell_id);
    if (code != PG_OK)
        pg_cell_result_release(out);
    return code;
}

void pg_cell_result_release(pg_cell_result *result)
{
    free(result->settings);
    free(result->error);
    result->settings = NULL;
    result->error = NULL;
    result->n_settings = 0;
}

const char *pg_cell_result_setting(const pg_cell_result *result, const char *key)
{
    return pg_settings_value(result->settings, result->n_settings, key);
}

enum { CELLS_AT_ONCE = 256 };

/* At most CELLS_AT_ONCE cells of one moment. All of `out` is to be released. */
static int read_cells(pg_store *store, const int64_t *keys, size_t n, pg_cell_result *out)
{
    memset(out, 0, n * sizeof *out);
    int code = pg_db_execute(store, "BEGIN", "reading cells");
    if (code != PG_OK)
        return code;
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        sqlite3_stmt *row = NULL;
        code = pg_db_get(store, pg_db_select_cell, &row, PG_BIND(PG_V(cell, keys[i])));
        if (code == PG_OK)
            code = read_cell(store, row, &out[i]);
        if (code == PG_OK && !out[i].known)
            code = pg_fail(PG_EDAMAGED, "%s: totals without their cell; `patchgauge db check` tells more", store->path);
    }
    return pg_db_end(store, code);
}

int pg_store_each_cell(pg_store *store, const int64_t *cells, size_t n,
                       int (*each)(const pg_cell_result *result, void *context), void *context)
{
    pg_cell_result *results = calloc(CELLS_AT_ONCE, sizeof *results);
    int code = results ? PG_OK : pg_fail(PG_ENOMEM, "reading cells: out of memory");
    for (size_t at = 0; code == PG_OK && at < n; at += CELLS_AT_ONCE) {
        size_t count = n - at < CELLS_AT_ONCE ? n - at : CELLS_AT_ONCE;
        code = read_cells(store, cells + at, count, results);
        for (size_t i = 0; code == PG_OK && i < count; i++)
            code = each(&results[i], context);
        for (size_t i = 0; i < count; i++)
            pg_cell_result_release(&results[i]);
    }
    free(results);
    return code;
}

int pg_store_resolve(pg_store *store, const char *prefix, char cell_id[PG_HASH_HEX])
{
    size_t length = strlen(prefix);
    if (length < 4 || length >= PG_HASH_HEX || strspn(prefix, "0123456789abcdef") != length)
        return pg_fail(PG_EINPUT, "\"%s\" is no cell id; give at least its first 4 hexadecimal digits, see `patchgauge ls`",
                       prefix);
    sqlite3_stmt *row = NULL;
    int code = pg_db_get(
        store, "SELECT cell_id FROM cell WHERE cell_id >= :prefix AND cell_id < :prefix || 'g' ORDER BY cell_id LIMIT 2", &row,
        PG_BIND(PG_V(prefix, prefix)));
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "looking for a cell");
        if (step == 1) {
            strncpy(cell_id, pg_db_text(row, 0), PG_HASH_HEX);
            cell_id[PG_HASH_HEX - 1] = 0;
            step = pg_db_step(store, row, "looking for a cell");
            code = step == 1 ? pg_fail(PG_EINPUT, "several cells start with \"%s\"; give more digits", prefix) : step;
        } else {
            code = step < 0 ? step
                            : pg_fail(PG_EMISSING, "%s: no cell starts with \"%s\"; see `patchgauge ls`", store->path, prefix);
        }
    }
    pg_db_done(row);
    return code;
}

int pg_store_each_outcome(pg_store *store, const char *cell_id, int (*each)(const pg_outcome *outcome, void *context),
                          void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_check_outcomes(store, cell_id);
    if (code == PG_OK)
        code = pg_db_get(store, pg_db_select_outcomes, &row,
                         PG_BIND(PG_V(cell_id, cell_id), PG_V(first, 0), PG_V(last, INT64_MAX)));
    while (pg_db_next(store, row, "reading outcomes", &code)) {
        pg_outcome outcome;
        pg_db_read_outcome(row, &outcome, NULL);
        code = each(&outcome, context);
    }
    return code;
}

int pg_store_same_images(pg_store *store, const char *cell_a, const char *cell_b)
{
    sqlite3_stmt *row = NULL;
    int code =
        pg_db_get(store,
                  "SELECT fa.dataset = fb.dataset AND a.first = b.first AND a.count = b.count,"
                  " (SELECT count(*) FROM outcome WHERE cell = a.cell) = a.count"
                  " AND (SELECT count(*) FROM outcome WHERE cell = b.cell) = b.count"
                  " FROM cell a, cell b JOIN forward fa ON fa.forward = a.forward JOIN forward fb ON fb.forward = b.forward"
                  " WHERE a.cell_id = :cell_a AND b.cell_id = :cell_b",
                  &row, PG_BIND(PG_V(cell_a, cell_a), PG_V(cell_b, cell_b)));
    if (code == PG_OK) {
        int step = pg_db_step(store, row, "comparing cells");
        if (step == 0)
            code =
                pg_fail(PG_EMISSING, "%s: one of the cells %.12s and %.12s is not in the store", store->path, cell_a, cell_b);
        else if (step < 0)
            code = step;
        else if (!sqlite3_column_int(row, 0))
            code = pg_fail(PG_EINPUT, "cells %.12s and %.12s do not have the same images", cell_a, cell_b);
        else if (!sqlite3_column_int(row, 1))
            code = pg_fail(PG_EINPUT, "cells %.12s and %.12s are not finished both; run their matrix first", cell_a, cell_b);
    }
    pg_db_done(row);
    return code;
}

int pg_store_each_pass(pg_store *store, const char *cell_id, int (*each)(const pg_pass_record *record, void *context),
                       void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_check_copies(store);
    if (code == PG_OK)
        code = pg_db_get(
            store,
            "SELECT a.device, a.library, a.batch, sum(s.n), sum(s.certified) FROM cell c JOIN summary s ON s.cell = c.cell"
            " JOIN attempt a ON a.attempt = s.attempt WHERE c.cell_id = :cell_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            &row, PG_BIND(PG_V(cell_id, cell_id)));
    while (pg_db_next(store, row, "reading the passes of a cell", &code)) {
        pg_pass_record record = {.device = pg_db_text(row, 0),
                                 .library = pg_db_text(row, 1),
                                 .batch = sqlite3_column_int(row, 2),
                                 .images = sqlite3_column_int64(row, 3),
                                 .certified = sqlite3_column_int64(row, 4)};
        code = each(&record, context);
    }
    return code;
}

int pg_store_each_attempt(pg_store *store, const char *cell_id, int (*each)(const pg_attempt_record *record, void *context),
                          void *context)
{
    sqlite3_stmt *row = NULL;
    int code = pg_db_check_copies(store);
    if (code == PG_OK)
        code = pg_db_get(store, pg_db_select_attempts, &row, PG_BIND(PG_V(cell_id, cell_id)));
    while (pg_db_next(store, row, "reading attempts", &code)) {
        pg_attempt_record record = {.task = sqlite3_column_int64(row, 0),
                                    .first = sqlite3_column_int64(row, 1),
                                    .count = sqlite3_column_int64(row, 2),
                                    .host = pg_db_text(row, 3),
                                    .revision = pg_db_text(row, 4),
                                    .versions = pg_db_text(row, 5),
                                    .pid = sqlite3_column_int64(row, 6),
                                    .cells = sqlite3_column_int64(row, 7)};
        pg_db_read_attempt(row, PG_DB_ATTEMPT_OF_CELL, &record);
        code = each(&record, context);
    }
    return code;
}
