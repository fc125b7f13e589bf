/* Figure `failure-cases`: what becomes of the images as the threshold of robust masking grows: certified as published, or the
 * case in which that certificate fails, stacked to 100%. One panel for each row.
 *
 * Source: PatchGuard, Algorithm 2 and Tables X and XVII. The published certificate is no proof. Data file: block 0: title and
 * note; 1: the label of every panel; then for every panel one block: position, threshold, percent of the images that are
 * certified as published, fail by case III, by case II, by case I or IV, or are wrong without a patch; n. */
#include "plots/sweep.h"

#include <stdlib.h>
#include <string.h>

PG_FIGURE(failure_cases)

enum { PANELS_MAX = 9, BARS_MAX = 24, LABEL_MAX = 72 };

static bool has_cases(const pg_table_entry *e) { return e->n > 0 && e->cases[0] >= 0; }

typedef struct bar {
    double threshold;
    const pg_table_entry *entry;
} bar;

static int by_threshold(const void *a, const void *b)
{
    double x = ((const bar *)a)->threshold, y = ((const bar *)b)->threshold;
    return (x > y) - (x < y);
}

/* The bars of a row; their number. */
static size_t bars_of(const pg_table *table, const char *row, bar *out)
{
    size_t n = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (strcmp(e->row, row) == 0 && has_cases(e) && pg_sweep_column(e, &out[n].threshold))
            out[n++].entry = e;
    }
    qsort(out, n, sizeof *out, by_threshold);
    return n;
}

static int write_panels(const pg_table *table, const char **rows, size_t n_rows, bar *bars, pg_figure_data *out)
{
    size_t panels = 0, most = 0, label = 0;
    pg_buf blocks;
    pg_buf_init(&blocks);
    for (size_t r = 0; r < n_rows; r++) {
        size_t n = bars_of(table, rows[r], bars);
        panels++;
        most = n > most ? n : most;
        pg_buf_printf(&out->data, "%zu\t", panels);
        size_t length = pg_figure_row(out, table->row_key, rows[r], LABEL_MAX, &out->data);
        label = length > label ? length : label;
        pg_buf_puts(&out->data, "\n");
        pg_buf_puts(&blocks, "\n\n");
        for (size_t i = 0; i < n; i++) {
            const int64_t *cases = bars[i].entry->cases;
            pg_buf_printf(&blocks, "%zu\t%.9g", i + 1, bars[i].threshold);
            for (int k = PG_TABLE_CASES - 1; k >= 0; k--)
                pg_buf_printf(&blocks, "\t%.4f", 100.0 * (double)cases[k] / (double)bars[i].entry->n);
            pg_buf_printf(&blocks, "\t%lld\n", (long long)bars[i].entry->n);
        }
    }
    pg_buf_puts(&out->data, blocks.data);
    out->data.failed |= blocks.failed;
    pg_buf_release(&blocks);
    pg_buf_printf(&out->prelude, "panels = %zu\nbars = %zu\nlabel_width = %zu\n", panels, most, label);
    if (panels == 0)
        return pg_fail(PG_EINPUT, "figure failure-cases: no cell with results has the published certificate; it belongs to "
                                  "robust-masking with scope=predicted");
    if (panels > PANELS_MAX || most > BARS_MAX)
        return pg_fail(
            PG_EINPUT,
            "figure failure-cases shows at most %d panels of %d bars, not %zu of %zu: choose fewer with --only KEY=VALUE",
            PANELS_MAX, BARS_MAX, panels, most);
    return PG_OK;
}

static int write(const pg_table *table, pg_figure_data *out)
{
    const char **rows = NULL;
    size_t n_rows = 0;
    bar *bars = malloc((table->n_entries + 1) * sizeof *bars);
    int code = bars != NULL ? pg_table_labels(table, false, &rows, &n_rows) : pg_fail(PG_ENOMEM, "out of memory");
    size_t n_all = n_rows;
    n_rows = 0;
    for (size_t r = 0; code == PG_OK && r < n_all; r++)
        if (bars_of(table, rows[r], bars) > 0)
            rows[n_rows++] = rows[r];
    pg_figure_title(table, "failure-cases", out);
    pg_figure_share(out, table->row_key, rows, n_rows);
    pg_figure_count(table, has_cases, &out->data);
    pg_buf_puts(&out->data, ", by what becomes of the certificate as published\n\n\n");
    if (code == PG_OK)
        code = write_panels(table, rows, n_rows, bars, out);
    free(bars);
    free(rows);
    return code;
}

const pg_figure pg_figure_failure_cases = {
    .name = "failure-cases",
    .summary = "failure cases of the published certificate by threshold, stacked",
    .requires = "robust-masking.scope = \"predicted\"",
    .script = pg_script_failure_cases,
    .columns = "threshold",
    .write = write,
};
