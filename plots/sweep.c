/* See sweep.h. */
#include "plots/sweep.h"

#include "harness/base/option.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 12, PANELS = 4, ORDER = 10, LABEL_MAX = 120, AXIS_MAX = 200 };

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
        const pg_metric *metric = NULL;
        if (count_of(panel, points[i].entry) < 0 || pg_metric_find(panels[panel], &metric) != PG_OK)
            continue;
        pg_interval share = pg_table_share(metric, points[i].entry);
        pg_buf_printf(out, "%.9g\t%.4f\t%.4f\t%.4f\t%lld\n", points[i].x, 100 * share.value, 100 * share.lo, 100 * share.hi,
                      (long long)points[i].entry->n);
        *high = fmax(*high, 100 * share.hi);
        written++;
    }
    if (written == 0) /* gnuplot counts only blocks that hold something */
        pg_buf_puts(out, "nan\tnan\tnan\tnan\t0\n");
}

/* The numbers of the axis, each once, as tics of which the script shows those that there is room for; it is logarithmic where
 * they are of different orders. `points` are sorted, and there are two numbers at least. */
static void write_tics(const pg_sweep *sweep, const point *points, size_t n, pg_figure_data *parts)
{
    double lo = points[0].x, hi = points[n - 1].x;
    size_t tics = 0;
    pg_buf places = PG_BUF_EMPTY, names = PG_BUF_EMPTY, *out = &parts->prelude;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && points[i].x == points[i - 1].x)
            continue;
        const char *separator = tics > 0 ? ", " : "";
        pg_buf_printf(&places, "%s%.9g", separator, sweep->name != NULL ? (double)tics + 1 : points[i].x);
        pg_buf_printf(&names, "%s\"", separator);
        if (sweep->name != NULL)
            sweep->name(points[i].entry, &names);
        else
            pg_buf_printf(&names, "%.4g", points[i].x);
        pg_buf_puts(&names, "\"");
        tics++;
    }
    bool logarithmic = sweep->name == NULL && lo > 0 && hi >= ORDER * lo;
    if (sweep->name != NULL) {
        lo = 1;
        hi = (double)tics;
    }
    pg_buf_printf(out, "lo = %.9g\nhi = %.9g\nlogarithmic = %d\ntics = %zu\n", lo, hi, logarithmic, tics);
    pg_buf_printf(out, "array tic[%zu] = [%s]\narray tic_name[%zu] = [%s]\n", tics, places.data, tics, names.data);
    out->failed |= places.failed || names.failed;
    pg_buf_release(&places);
    pg_buf_release(&names);
}

/* The place of a number on an axis without a scale: how many smaller ones there are, from 1. */
static double place_of(const point *points, size_t n, double x)
{
    double place = 1;
    for (size_t i = 1; i < n && points[i - 1].x < x; i++)
        place += points[i].x > points[i - 1].x;
    return place;
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
        return pg_fail(PG_EINPUT, "figure %s shows at most %d lines, not %zu: choose fewer with --only KEY=VALUE",
                       sweep->figure, ROWS_MAX, c->n_rows);
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
    pg_figure_title(table, sweep->figure, out);
    pg_figure_share(out, table->row_key, c.rows, c.n_rows);
    double high = 1;
    qsort(c.points, c.n_points, sizeof *c.points, by_x);
    pg_figure_count(table, has_results, &out->data);
    pg_buf_puts(&out->data, "; bars: 95% Wilson intervals\t");
    pg_figure_label(out, sweep->axis, AXIS_MAX, &out->data);
    pg_buf_puts(&out->data, "\n");
    pg_buf_printf(&out->prelude, "rows = %zu\npanels = %zu\narray kind[%zu] = [", c.n_rows, c.n_panels, c.n_panels);
    for (size_t p = 0; p < c.n_panels; p++) {
        pg_buf_printf(&out->prelude, "%s%zu", p > 0 ? ", " : "", c.used[p] + 1);
        for (size_t r = 0; r < c.n_rows; r++) {
            pg_buf_puts(&out->data, "\n\n");
            pg_figure_row(out, table->row_key, c.rows[r], LABEL_MAX, &out->data);
            pg_buf_puts(&out->data, "\n");
            size_t n = points_of(sweep, table, c.rows[r], mine);
            for (size_t i = 0; sweep->name != NULL && i < n; i++)
                mine[i].x = place_of(c.points, c.n_points, mine[i].x);
            write_line(c.used[p], mine, n, &high, &out->data);
        }
    }
    pg_buf_printf(&out->prelude, "]\nhigh = %.0f\n", fmin(100, high > 50 ? 20 * ceil(high / 20) : 10 * ceil(high / 10)));
    write_tics(sweep, c.points, c.n_points, out);
out:
    free(mine);
    free(c.rows);
    free(c.points);
    return code;
}
