/* Figure `trade-off`: clean accuracy against certified accuracy, a point for each cell, a panel for each column (patch size),
 * and in each panel the Pareto front: the cells that no other one beats in both.
 *
 * Open points are certificates as published, which are no proofs and no part of the front. Data file: block 0: title and note;
 * 1: the label of every panel; then for every panel a block of the front's corners (x, y), and for every panel and row one
 * block: its label, then clean, its lo and hi, certified, its lo and hi (percent), 1 for a proof or 0, and the place among
 * points that are equal, from 0. */
#include "plots/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

PG_FIGURE(trade_off)

enum { PANELS_MAX = 9, ROWS_MAX = 18, LABEL_MAX = 120, PANEL_MAX = 30 };

typedef struct spot {
    double x, y;
} spot;

/* The longest way to the right first; of equals the higher one. */
static int by_clean(const void *a, const void *b)
{
    const spot *p = a, *q = b;
    return p->x != q->x ? (p->x < q->x) - (p->x > q->x) : (p->y < q->y) - (p->y > q->y);
}

static bool certifies(const pg_table_entry *e) { return e->n > 0 && (e->certified > 0 || e->published > 0); }
static bool shown(const pg_table_entry *e) { return e->n > 0; }
static bool proof(const pg_table_entry *e) { return e->published < 0 || e->certified > 0; }

/* The corners of the front, from the right edge of what is shown down to the left. */
static void write_front(const pg_table *table, const char *column, spot *spots, pg_buf *out)
{
    size_t n = 0;
    double best = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (strcmp(e->column, column) == 0 && e->n > 0)
            spots[n++] = (spot){100.0 * (double)e->clean / (double)e->n, 100.0 * (double)e->certified / (double)e->n};
    }
    qsort(spots, n, sizeof *spots, by_clean);
    pg_buf_puts(out, "\n\n");
    for (size_t i = 0; i < n; i++) {
        if (spots[i].y <= best)
            continue;
        pg_buf_printf(out, "%.4f\t%.4f\n%.4f\t%.4f\n", spots[i].x, best, spots[i].x, spots[i].y);
        best = spots[i].y;
    }
    pg_buf_printf(out, best > 0 ? "0\t%.4f\n" : "nan\tnan\n", best);
}

static int64_t height(const pg_table_entry *e) { return proof(e) ? e->certified : e->published; }

/* So many cells before e have the same point in the same column, and would be hidden by it. */
static int place(const pg_table *table, const pg_table_entry *e)
{
    int before = 0;
    for (const pg_table_entry *other = table->entries; other < e; other++)
        before += strcmp(other->column, e->column) == 0 && shown(other) && other->clean * e->n == e->clean * other->n &&
                  height(other) * e->n == height(e) * other->n;
    return before;
}

static void write_point(const pg_table *table, const pg_table_entry *e, const char *row, pg_figure_data *parts)
{
    pg_buf *out = &parts->data;
    pg_buf_puts(out, "\n\n");
    pg_figure_row(parts, table->row_key, row, LABEL_MAX, out);
    if (e == NULL || !shown(e)) {
        pg_buf_puts(out, "\nnan\tnan\tnan\tnan\tnan\tnan\t0\t0\n");
        return;
    }
    pg_interval x = pg_wilson(e->clean, e->n), y = pg_wilson(height(e), e->n);
    pg_buf_printf(out, "\n%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%d\t%d\n", 100 * x.value, 100 * x.lo, 100 * x.hi, 100 * y.value,
                  100 * y.lo, 100 * y.hi, proof(e), place(table, e));
}

/* Whole tens around all that is shown. */
static void write_ranges(const pg_table *table, pg_buf *out)
{
    double left = 100, right = 0, high = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (!shown(e))
            continue;
        pg_interval x = pg_wilson(e->clean, e->n), y = pg_wilson(height(e), e->n);
        left = fmin(left, 100 * x.lo);
        right = fmax(right, 100 * x.hi);
        high = fmax(high, 100 * y.hi);
    }
    pg_buf_printf(out, "lo = %.0f\nhi = %.0f\nhigh = %.0f\n", 10 * floor((left - 1) / 10) < 0 ? 0 : 10 * floor((left - 1) / 10),
                  fmin(100, 10 * ceil((right + 1) / 10)), fmin(100, 10 * ceil((high + 1) / 10)));
}

/* The cells with results of rows that certify something in some column; of these also the cells that certify nothing. *new*,
 * free(). */
static int select_rows(const pg_table *table, pg_table_entry **out, size_t *n)
{
    const char **rows = NULL;
    size_t n_rows = 0;
    int code = pg_table_labels(table, false, &rows, &n_rows);
    bool *kept = calloc(table->n_entries + 1, sizeof *kept);
    *out = malloc((table->n_entries + 1) * sizeof **out);
    if (code == PG_OK && (kept == NULL || *out == NULL))
        code = pg_fail(PG_ENOMEM, "out of memory for %zu cells", table->n_entries);
    for (size_t r = 0; code == PG_OK && r < n_rows; r++) {
        bool any = false;
        for (size_t i = 0; i < table->n_entries; i++)
            any |= certifies(&table->entries[i]) && strcmp(table->entries[i].row, rows[r]) == 0;
        for (size_t i = 0; any && i < table->n_entries; i++)
            kept[i] |= shown(&table->entries[i]) && strcmp(table->entries[i].row, rows[r]) == 0;
    }
    for (size_t i = 0; code == PG_OK && i < table->n_entries; i++)
        if (kept[i])
            (*out)[(*n)++] = table->entries[i];
    free(kept);
    free(rows);
    return code;
}

static bool has_proof(const pg_table *table, const char *row)
{
    for (size_t i = 0; i < table->n_entries; i++)
        if (strcmp(table->entries[i].row, row) == 0 && shown(&table->entries[i]) && proof(&table->entries[i]))
            return true;
    return false;
}

static int write_panels(const pg_table *table, const char **rows, size_t n_rows, const char **columns, size_t n_columns,
                        const pg_table_entry **sorted, pg_figure_data *out)
{
    spot *spots = malloc((table->n_entries + 1) * sizeof *spots);
    if (spots == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu cells", table->n_entries);
    for (size_t c = 0; c < n_columns; c++) {
        pg_buf panel = PG_BUF_EMPTY;
        pg_buf_printf(&panel, "%.*s %s", (int)strcspn(table->column_key, ","), table->column_key, columns[c]);
        pg_buf_printf(&out->data, "%zu\t", c + 1);
        pg_figure_label(out, columns[c][0] != '\0' ? panel.data : "", PANEL_MAX, &out->data);
        pg_buf_puts(&out->data, "\n");
        pg_buf_release(&panel);
    }
    for (size_t c = 0; c < n_columns; c++)
        write_front(table, columns[c], spots, &out->data);
    for (size_t c = 0; c < n_columns; c++)
        for (size_t r = 0; r < n_rows; r++)
            write_point(table, pg_table_at(table, sorted, rows[r], columns[c]), rows[r], out);
    pg_buf_printf(&out->prelude, "panels = %zu\nrows = %zu\narray proof[%zu] = [", n_columns, n_rows, n_rows);
    for (size_t r = 0; r < n_rows; r++) /* the key's mark */
        pg_buf_printf(&out->prelude, "%s%d", r > 0 ? ", " : "", has_proof(table, rows[r]));
    pg_buf_puts(&out->prelude, "]\n");
    write_ranges(table, &out->prelude);
    free(spots);
    return PG_OK;
}

static int write(const pg_table *all, pg_figure_data *out)
{
    const char **rows = NULL, **columns = NULL;
    size_t n_rows = 0, n_columns = 0;
    const pg_table_entry **sorted = NULL;
    pg_table some = *all, *table = &some;
    pg_table_entry *kept = NULL;
    some.n_entries = 0;
    int code = select_rows(all, &kept, &some.n_entries);
    some.entries = kept;
    if (code == PG_OK)
        code = pg_table_sort(table, &sorted);
    if (code == PG_OK)
        code = pg_table_labels(table, false, &rows, &n_rows);
    if (code == PG_OK)
        code = pg_table_labels(table, true, &columns, &n_columns);
    if (code != PG_OK)
        goto out;
    if (n_rows == 0)
        code = pg_fail(PG_EINPUT, "figure trade-off: no cell of this matrix has certified images");
    else if (n_rows > ROWS_MAX || n_columns > PANELS_MAX)
        code = pg_fail(
            PG_EINPUT,
            "figure trade-off shows at most %d rows and %d columns, not %zu and %zu: choose fewer with --only KEY=VALUE",
            ROWS_MAX, PANELS_MAX, n_rows, n_columns);
    if (code != PG_OK)
        goto out;
    pg_figure_title(table, "trade-off", out);
    pg_figure_count(table, shown, &out->data);
    pg_buf_puts(&out->data, "; bars: 95% Wilson intervals");
    bool equals = false;
    for (size_t i = 0; i < table->n_entries; i++)
        equals |= shown(&table->entries[i]) && place(table, &table->entries[i]) > 0;
    pg_buf_puts(&out->data, equals ? "; equal points side by side\n\n\n" : "\n\n\n");
    code = write_panels(table, rows, n_rows, columns, n_columns, sorted, out);
out:
    free(rows);
    free(columns);
    free(sorted);
    free(kept);
    return code;
}

const pg_figure pg_figure_trade_off = {
    .name = "trade-off",
    .summary = "clean against certified accuracy, with the Pareto front of each patch size",
    .requires = "certified images",
    .script = pg_script_trade_off,
    .write = write,
};
