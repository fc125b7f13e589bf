/* See sweep.h. */
#include "plots/sweep.h"

#include "harness/base/option.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 12, PANELS = 4, TICS_MAX = 14, ORDER = 10, LABEL_MAX = 120 };

/* Names of metrics in the order of the panels, whose titles the script has. */
static const char *const panels[PANELS] = {"clean", "certified", "certified_published", "attacked"};

typedef struct point {
    double x;
    const pg_table_entry *entry;
} point;

static int by_x(const void *a, const void *b)
{
    double x = ((const point *)a)->x, y = ((const point *)b)->x;
    return (x > y) - (x < y);
}

bool pg_sweep_column(const pg_table_entry *entry, double *x)
{
    return pg_parse_double(entry->column, x) == PG_OK && isfinite(*x);
}

/* The count of a panel; negative where the cell has none. A certificate that is only published is no certified
 * accuracy of 0. */
static int64_t count_of(size_t panel, const pg_table_entry *e)
{
    const pg_metric *metric = NULL;
    if (e->n <= 0 || pg_metric_find(panels[panel], &metric) != PG_OK || (panel == 1 && e->published >= 0))
        return -1;
    return pg_metric_of(metric, e);
}

/* The cells of one row that have a number, by that number; their count. */
static size_t points_of(const pg_sweep *sweep, const pg_table *table, const char *row, point *out)
{
    size_t n = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        double x;
        if (strcmp(e->row, row) == 0 && e->n > 0 && sweep->number(e, &x))
            out[n++] = (point){.x = x, .entry = e};
    }
    qsort(out, n, sizeof *out, by_x);
    return n;
}

/* One line of one panel; *high: as high as it reaches. */
static void write_line(size_t panel, const point *points, size_t n, double *high, pg_buf *out)
{
    size_t written = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t count = count_of(panel, points[i].entry);
        if (count < 0)
            continue;
        pg_interval share = pg_wilson(count, points[i].entry->n);
        pg_buf_printf(out, "%.9g\t%.4f\t%.4f\t%.4f\t%lld\n", points[i].x, 100 * share.value, 100 * share.lo, 100 * share.hi,
                      (long long)points[i].entry->n);
        *high = fmax(*high, 100 * share.hi);
        written++;
    }
    if (written == 0) /* gnuplot counts only blocks that hold something */
        pg_buf_puts(out, "nan\tnan\tnan\tnan\t0\n");
}

/* Whether two tics side by side leave room for their numbers. `apart`: as a share of the axis. */
static bool tics_fit(double apart, double a, double b)
{
    enum { AXIS_PX = 245, CHARACTER_PX = 8, GAP_PX = 8 };
    int characters = snprintf(NULL, 0, "%.4g%.4g", a, b); /* half of either stands between the two */
    return apart * AXIS_PX >= CHARACTER_PX * characters / 2.0 + GAP_PX;
}

/* The axis is logarithmic where its numbers are of different orders. The values themselves are the tics: on a logarithmic axis
 * those that there is room for, else all or none. `points` are sorted, and there are two numbers at least. */
static void write_tics(const point *points, size_t n, pg_buf *out)
{
    double tics[TICS_MAX], lo = points[0].x, hi = points[n - 1].x;
    bool logarithmic = lo > 0 && hi >= ORDER * lo, all = true;
    size_t n_tics = 0;
    for (size_t i = 0; i < n; i++) {
        double x = points[i].x, before = n_tics > 0 ? tics[n_tics - 1] : NAN;
        if (x == before)
            continue;
        double apart = logarithmic ? log(x / before) / log(hi / lo) : (x - before) / (hi - lo);
        if (n_tics < TICS_MAX && (n_tics == 0 || tics_fit(apart, before, x)))
            tics[n_tics++] = x;
        else
            all = false;
    }
    if (!all && !logarithmic)
        n_tics = 0;
    pg_buf_printf(out, "lo = %.9g\nhi = %.9g\nlogarithmic = %d\ntics = %zu\n", lo, hi, logarithmic, n_tics);
    if (n_tics == 0)
        return;
    pg_buf_printf(out, "array tic[%zu] = [", n_tics);
    for (size_t i = 0; i < n_tics; i++)
        pg_buf_printf(out, "%s%.9g", i > 0 ? ", " : "", tics[i]);
    pg_buf_puts(out, "]\n");
}

/* Which rows have something to show, and which panels: `used` in the order of panels. */
typedef struct content {
    const char **rows;
    size_t n_rows, n_panels, used[PANELS];
    point *points; /* of all rows, later sorted */
    size_t n_points;
    bool sweeps; /* some row has two values */
} content;

static int find_content(const pg_sweep *sweep, const pg_table *table, content *c)
{
    size_t n_all = 0;
    int code = pg_table_labels(table, false, &c->rows, &n_all);
    c->points = malloc((table->n_entries + 1) * sizeof *c->points);
    if (code == PG_OK && c->points == NULL)
        code = pg_fail(PG_ENOMEM, "out of memory for %zu cells", table->n_entries);
    bool has[PANELS] = {false};
    for (size_t r = 0; code == PG_OK && r < n_all; r++) {
        point *mine = c->points + c->n_points;
        size_t n = points_of(sweep, table, c->rows[r], mine);
        for (size_t i = 0; i < n; i++)
            for (size_t p = 0; p < PANELS; p++)
                has[p] |= count_of(p, mine[i].entry) >= 0;
        c->sweeps |= n > 1 && mine[n - 1].x > mine[0].x;
        c->n_points += n;
        if (n > 0)
            c->rows[c->n_rows++] = c->rows[r];
    }
    for (size_t p = 0; p < PANELS; p++)
        if (has[p])
            c->used[c->n_panels++] = p;
    return code;
}

static int check(const pg_sweep *sweep, const pg_table *table, const content *c)
{
    bool any = false;
    for (size_t i = 0; i < table->n_entries; i++)
        any |= table->entries[i].n > 0;
    if (!any)
        return pg_fail(PG_EINPUT, "figure %s: no cell of this matrix has results yet: run `patchgauge run` on it first",
                       sweep->figure);
    if (!c->sweeps)
        return pg_fail(PG_EINPUT, "figure %s wants two values on a line, and no row has them: %s", sweep->figure,
                       sweep->remedy);
    if (c->n_rows > ROWS_MAX)
        return pg_fail(PG_EINPUT, "figure %s shows at most %d lines, not %zu: leave some out with -S %s=...", sweep->figure,
                       ROWS_MAX, c->n_rows, table->row_key);
    return PG_OK;
}

static bool has_results(const pg_table_entry *e) { return e->n > 0; }

int pg_sweep_write(const pg_sweep *sweep, const pg_table *table, pg_figure_data *out)
{
    content c = {0};
    int code = find_content(sweep, table, &c);
    if (code == PG_OK)
        code = check(sweep, table, &c);
    point *mine = code == PG_OK ? malloc(c.n_points * sizeof *mine) : NULL;
    if (code == PG_OK && mine == NULL)
        code = pg_fail(PG_ENOMEM, "out of memory for %zu cells", c.n_points);
    if (code != PG_OK)
        goto out;
    size_t title = pg_figure_title(table, sweep->figure, &out->data), label = 0;
    double high = 1;
    pg_figure_count(table, has_results, &out->data);
    pg_buf_printf(&out->data, ";  bars: 95%% Wilson intervals\t%s\n", sweep->axis);
    pg_buf_printf(&out->prelude, "rows = %zu\npanels = %zu\narray kind[%zu] = [", c.n_rows, c.n_panels, c.n_panels);
    for (size_t p = 0; p < c.n_panels; p++) {
        pg_buf_printf(&out->prelude, "%s%zu", p > 0 ? ", " : "", c.used[p] + 1);
        for (size_t r = 0; r < c.n_rows; r++) {
            pg_buf_puts(&out->data, "\n\n");
            size_t n = pg_figure_row(table->row_key, c.rows[r], LABEL_MAX, &out->data);
            label = n > label ? n : label;
            pg_buf_puts(&out->data, "\n");
            write_line(c.used[p], mine, points_of(sweep, table, c.rows[r], mine), &high, &out->data);
        }
    }
    pg_buf_printf(&out->prelude, "]\nlabel_width = %zu\ntitle_width = %zu\nhigh = %.0f\n", label, title,
                  fmin(100, 20 * ceil(high / 20)));
    qsort(c.points, c.n_points, sizeof *c.points, by_x);
    write_tics(c.points, c.n_points, &out->prelude);
out:
    free(mine);
    free(c.rows);
    free(c.points);
    return code;
}
