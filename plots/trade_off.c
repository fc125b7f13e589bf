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

static bool shown(const pg_table_entry *e) { return e->n > 0 && (e->certified > 0 || e->published > 0); }
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

static void write_point(const pg_table *table, const pg_table_entry *e, const char *row, size_t *label, pg_buf *out)
{
    pg_buf_puts(out, "\n\n");
    size_t n = pg_figure_row(table->row_key, row, LABEL_MAX, out);
    *label = n > *label ? n : *label;
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

/* Rows with something to show move to the front; their number. */
static size_t select_shown(const pg_table *table, const char **labels, size_t n, bool columns)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool any = false;
        for (size_t k = 0; k < table->n_entries; k++)
            any |=
                shown(&table->entries[k]) && strcmp(columns ? table->entries[k].column : table->entries[k].row, labels[i]) == 0;
        if (any)
            labels[kept++] = labels[i];
    }
    return kept;
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
    size_t label = 0;
    spot *spots = malloc((table->n_entries + 1) * sizeof *spots);
    if (spots == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu cells", table->n_entries);
    for (size_t c = 0; c < n_columns; c++) {
        pg_buf_printf(&out->data, "%zu\t%.*s ", c + 1, (int)strcspn(table->column_key, ","), table->column_key);
        pg_figure_text_cut(columns[c], PANEL_MAX, &out->data);
        pg_buf_puts(&out->data, "\n");
    }
    for (size_t c = 0; c < n_columns; c++)
        write_front(table, columns[c], spots, &out->data);
    for (size_t c = 0; c < n_columns; c++)
        for (size_t r = 0; r < n_rows; r++)
            write_point(table, pg_table_at(table, sorted, rows[r], columns[c]), rows[r], &label, &out->data);
    pg_buf_printf(&out->prelude, "panels = %zu\nrows = %zu\nlabel_width = %zu\narray proof[%zu] = [", n_columns, n_rows, label,
                  n_rows);
    for (size_t r = 0; r < n_rows; r++) /* the key's mark */
        pg_buf_printf(&out->prelude, "%s%d", r > 0 ? ", " : "", has_proof(table, rows[r]));
    pg_buf_puts(&out->prelude, "]\n");
    write_ranges(table, &out->prelude);
    free(spots);
    return PG_OK;
}

static int write(const pg_table *table, pg_figure_data *out)
{
    const char **rows = NULL, **columns = NULL;
    size_t n_rows = 0, n_columns = 0;
    const pg_table_entry **sorted = NULL;
    int code = pg_table_sort(table, &sorted);
    if (code == PG_OK)
        code = pg_table_labels(table, false, &rows, &n_rows);
    if (code == PG_OK)
        code = pg_table_labels(table, true, &columns, &n_columns);
    if (code != PG_OK)
        goto out;
    n_rows = select_shown(table, rows, n_rows, false);
    n_columns = select_shown(table, columns, n_columns, true);
    if (n_rows == 0)
        code = pg_fail(PG_EINPUT, "figure trade-off: no cell of this matrix has certified images");
    else if (n_rows > ROWS_MAX || n_columns > PANELS_MAX)
        code = pg_fail(PG_EINPUT,
                       "figure trade-off shows at most %d rows and %d columns, not %zu and %zu: leave some out with -S %s=...",
                       ROWS_MAX, PANELS_MAX, n_rows, n_columns, n_rows > ROWS_MAX ? table->row_key : table->column_key);
    if (code != PG_OK)
        goto out;
    size_t title = pg_figure_title(table, "trade-off", &out->data);
    pg_figure_count(table, shown, &out->data);
    pg_buf_puts(&out->data, ";  bars: 95% Wilson intervals;  open: published, no proof");
    bool equals = false;
    for (size_t i = 0; i < table->n_entries; i++)
        equals |= shown(&table->entries[i]) && place(table, &table->entries[i]) > 0;
    pg_buf_puts(&out->data, equals ? ";  equal points side by side\n\n\n" : "\n\n\n");
    code = write_panels(table, rows, n_rows, columns, n_columns, sorted, out);
    pg_buf_printf(&out->prelude, "title_width = %zu\n", title);
out:
    free(rows);
    free(columns);
    free(sorted);
    return code;
}

const pg_figure pg_figure_trade_off = {
    .name = "trade-off",
    .summary = "clean against certified accuracy, with the Pareto front of each patch size",
    .requires = "certified images",
    .script = pg_script_trade_off,
    .write = write,
};
