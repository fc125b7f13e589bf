/* Figure `accuracy`: clean and certified accuracy by row (defense) and column (patch size), with 95% intervals.
 *
 * Data file: blocks apart by two blank lines. Block 0: the title. Block 1: position and label of every row. Then for every
 * column and metric (clean, certified, certified as published) one block: position, value, lo, hi, n of each row, in percent;
 * the certified one starts with the column's legend. A block of "nan" stands for a metric that no cell of the column has. The
 * file has no comments: a text may start with any character. */
#include "plots/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

PG_FIGURE(accuracy)

/* As many as there are pairs of open and filled point shapes. */
enum { COLUMNS_MAX = 6, METRICS = 3 };
/* Characters of a row's label, and of a column's, that the picture has room for. */
enum { LABEL_MAX = 72, LEGEND_MAX = 60 };
/* No picture is higher than 32767 pixels. */
enum { HEIGHT_MAX = 16000, HEIGHT_FRAME = 200, HEIGHT_ROW = 14, HEIGHT_POINT = 11 };

static const char *const series[METRICS] = {"clean", "certified", "certified_published"};

/* One block; returns the number of its points. */
static size_t write_series(const pg_table *table, const pg_table_entry **sorted, const char **rows, size_t n_rows,
                           const char *column, size_t which, double *high, pg_figure_data *parts)
{
    pg_buf *out = &parts->data;
    const pg_metric *metric = NULL;
    if (pg_metric_find(series[which], &metric) != PG_OK)
        return 0;
    size_t points = 0;
    pg_buf_puts(out, "\n\n");
    if (which == 1) {
        pg_buf legend = PG_BUF_EMPTY;
        pg_buf_printf(&legend, "%.*s %s", (int)strcspn(table->column_key, ","), table->column_key, column);
        pg_figure_label(parts, column[0] != '\0' ? legend.data : "", LEGEND_MAX, out);
        pg_buf_puts(out, "\n");
        pg_buf_release(&legend);
    }
    for (size_t r = 0; r < n_rows; r++) {
        const pg_table_entry *entry = pg_table_at(table, sorted, rows[r], column);
        int64_t count = entry != NULL && entry->n > 0 ? pg_metric_of(metric, entry) : -1;
        if (count < 0)
            continue;
        pg_interval share = pg_table_share(metric, entry);
        pg_buf_printf(out, "%zu\t%.4f\t%.4f\t%.4f\t%lld\n", r + 1, 100 * share.value, 100 * share.lo, 100 * share.hi,
                      (long long)entry->n);
        *high = fmax(*high, 100 * share.hi);
        points++;
    }
    if (points == 0) /* gnuplot counts only blocks that hold something */
        pg_buf_puts(out, "nan\tnan\tnan\tnan\t0\n");
    return points;
}

/* Blocks 0 and 1; returns the length of the longest label. */
static size_t write_rows(const pg_table *table, const char **rows, size_t n_rows, pg_figure_data *parts)
{
    pg_buf *out = &parts->data;
    size_t longest = 0;
    pg_figure_title(table, "accuracy", parts);
    pg_figure_count(table, NULL, out);
    pg_buf_puts(out, "; bars: 95% Wilson intervals\n\n\n");
    for (size_t r = 0; r < n_rows; r++) {
        pg_buf_printf(out, "%zu\t", r + 1);
        size_t n = pg_figure_row(parts, table->row_key, rows[r], LABEL_MAX, out);
        longest = n > longest ? n : longest;
        pg_buf_puts(out, "\n");
    }
    return longest;
}

static int write(const pg_table *table, pg_figure_data *out)
{
    const char **rows = NULL, **columns = NULL;
    size_t n_rows = 0, n_columns = 0, points = 0, published = 0;
    const pg_table_entry **sorted = NULL;
    int code = pg_table_sort(table, &sorted);
    if (code == PG_OK)
        code = pg_table_labels(table, false, &rows, &n_rows);
    if (code == PG_OK)
        code = pg_table_labels(table, true, &columns, &n_columns);
    if (code != PG_OK)
        goto out;
    if (n_columns > COLUMNS_MAX) {
        code = pg_fail(PG_EINPUT, "figure accuracy shows at most %d columns, not %zu: choose fewer with --only KEY=VALUE",
                       COLUMNS_MAX, n_columns);
        goto out;
    }
    size_t rows_max = (HEIGHT_MAX - HEIGHT_FRAME) / (HEIGHT_ROW + HEIGHT_POINT * n_columns);
    if (n_rows > rows_max) {
        code = pg_fail(PG_EINPUT,
                       "figure accuracy shows at most %zu rows of %zu columns, not %zu: choose fewer with --only KEY=VALUE",
                       rows_max, n_columns, n_rows);
        goto out;
    }
    size_t longest = write_rows(table, rows, n_rows, out);
    double high = 1;
    for (size_t c = 0; c < n_columns; c++)
        for (size_t which = 0; which < METRICS; which++) {
            size_t n = write_series(table, sorted, rows, n_rows, columns[c], which, &high, out);
            points += n;
            published += which == 2 ? n : 0;
        }
    if (points == 0)
        code = pg_fail(PG_EINPUT, "figure accuracy: no cell of this matrix has results yet: run `patchgauge run` on it first");
    pg_buf_printf(&out->prelude, "rows = %zu\ncolumns = %zu\npublished = %d\nlabel_width = %zu\nhigh = %.0f\n", n_rows,
                  n_columns, published > 0, longest, high > 50 ? 100 : fmin(100, 10 * ceil(high / 10)));
out:
    free(rows);
    free(columns);
    free(sorted);
    return code;
}

const pg_figure pg_figure_accuracy = {
    .name = "accuracy",
    .summary = "clean and certified accuracy by row and column, with 95% intervals",
    .requires = "results",
    .script = pg_script_accuracy,
    .write = write,
};
