/* Figure `certified-attacked`: for every cell with an attack its certified accuracy, its accuracy under attack and its clean
 * accuracy on one line. Certified lies left of under attack wherever no certificate is broken; how wide the gap is says how
 * much attack and certificate leave open.
 *
 * Data file: block 0: title and note; 1: position and label; 2 certified, 3 under attack, 4 clean: position, value, lo, hi
 * (percent), n; 5: position, certified, clean: the line; 6: position and value where certificates are broken. */
#include "plots/figure.h"

#include <string.h>

PG_FIGURE(certified_attacked)

enum { ROWS_MAX = 120, LABEL_MAX = 120, MARKS = 3 };

static bool is_attacked(const pg_table_entry *e) { return e->n > 0 && e->attacked >= 0; }

static void write_mark(const pg_table *table, int which, pg_buf *out)
{
    size_t at = 0;
    pg_buf_puts(out, "\n\n");
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (!is_attacked(e))
            continue;
        pg_interval share = which == 1 && e->seeds.n > 0 ? e->seeds.attacked
                                                         : pg_wilson(which == 0   ? e->certified
                                                                     : which == 1 ? e->attacked
                                                                                  : e->clean,
                                                                     e->n);
        pg_buf_printf(out, "%zu\t%.4f\t%.4f\t%.4f\t%lld\n", ++at, 100 * share.value, 100 * share.lo, 100 * share.hi,
                      (long long)e->n);
    }
}

static void write_lines(const pg_table *table, pg_buf *out)
{
    size_t at = 0;
    pg_buf broken;
    pg_buf_init(&broken);
    pg_buf_puts(out, "\n\n");
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (!is_attacked(e))
            continue;
        double n = (double)e->n, left = 100 * (double)e->certified / n, right = 100 * (double)e->clean / n;
        pg_buf_printf(out, "%zu\t%.4f\t%.4f\n", ++at, left, right);
        if (e->broken > 0 || e->certified > e->attacked)
            pg_buf_printf(&broken, "%zu\t%.4f\n", at, left);
    }
    pg_buf_printf(out, "\n\n%s", broken.size ? broken.data : "nan\tnan\n");
    out->failed |= broken.failed;
    pg_buf_release(&broken);
}

static int write(const pg_table *table, pg_figure_data *out)
{
    size_t rows = 0, longest = 0, faults = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        rows += is_attacked(e);
        faults += is_attacked(e) && (e->broken > 0 || e->certified > e->attacked);
    }
    if (rows == 0)
        return pg_fail(
            PG_EINPUT,
            "figure certified-attacked: no cell of this matrix has images under attack: give it an attack and run it first");
    if (rows > ROWS_MAX)
        return pg_fail(
            PG_EINPUT,
            "figure certified-attacked shows at most %d cells with an attack, not %zu: choose fewer with --only KEY=VALUE",
            ROWS_MAX, rows);
    pg_figure_title(table, "certified-attacked", out);
    pg_figure_count(table, is_attacked, &out->data);
    pg_buf_puts(&out->data, "; bars: 95% Wilson intervals; ");
    if (faults == 0)
        pg_buf_puts(&out->data, "no certificate is broken\n\n\n");
    else
        pg_buf_printf(&out->data, "BROKEN certificates in %zu of %zu lines\n\n\n", faults, rows);
    size_t at = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        if (!is_attacked(&table->entries[i]))
            continue;
        pg_buf_printf(&out->data, "%zu\t", ++at);
        size_t n = pg_figure_cell(out, table, &table->entries[i], LABEL_MAX, &out->data);
        longest = n > longest ? n : longest;
        pg_buf_puts(&out->data, "\n");
    }
    for (int which = 0; which < MARKS; which++)
        write_mark(table, which, &out->data);
    write_lines(table, &out->data);
    pg_buf_printf(&out->prelude, "rows = %zu\nlabel_width = %zu\n", rows, longest);
    return PG_OK;
}

const pg_figure pg_figure_certified_attacked = {
    .name = "certified-attacked",
    .summary = "certified accuracy, accuracy under attack and clean accuracy of every cell with an attack",
    .requires = "an attack",
    .script = pg_script_certified_attacked,
    .write = write,
};
