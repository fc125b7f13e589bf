/* Figure `success-steps`: accuracy under attack against the steps spent on an image, one curve for each cell, with the cell's
 * certified accuracy as the floor that no attack may pass.
 *
 * An image counts as lost from the step on at which the attack found its patch; images that are wrong without one are lost
 * from the start. Data file: block 0: title and note; then for each curve two blocks: its label and (steps, percent of the
 * images still correct), one line a step at which that changes, the last one at the end of the longest attack with lo and hi of
 * the interval; (certified accuracy) or nan. */
#include "plots/figure.h"

#include <stdlib.h>
#include <string.h>

PG_FIGURE(success_steps)

enum { CURVES_MAX = 12, LABEL_MAX = 60 };

static int by_steps(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Points of one curve. `broken`: the steps of the lost images, sorted. */
static void write_curve(const pg_table_entry *e, int64_t correct, const int64_t *broken, size_t n_broken, int64_t most,
                        pg_buf *out)
{
    double n = (double)e->n_attacks;
    pg_buf_printf(out, "1\t%.4f\tnan\tnan\n", 100.0 * (double)correct / n);
    for (size_t i = 0; i < n_broken; i++)
        if (i + 1 == n_broken || broken[i + 1] != broken[i])
            pg_buf_printf(out, "%lld\t%.4f\tnan\tnan\n", (long long)(broken[i] > 1 ? broken[i] : 1),
                          100.0 * (double)(correct - (int64_t)i - 1) / n);
    pg_interval left = pg_wilson(correct - (int64_t)n_broken, (int64_t)e->n_attacks);
    pg_buf_printf(out, "%lld\t%.4f\t%.4f\t%.4f\n", (long long)(most > 1 ? most : 1), 100 * left.value, 100 * left.lo,
                  100 * left.hi);
}

/* Both blocks of one cell; the steps of its longest attack go to *most. */
static int write_cell(const pg_table *table, const pg_table_entry *e, int64_t *most, pg_figure_data *parts)
{
    pg_buf *out = &parts->data;
    int64_t *broken = malloc(e->n_attacks * sizeof *broken), correct = 0, longest = 0;
    size_t n = 0;
    if (broken == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu images", e->n_attacks);
    for (size_t i = 0; i < e->n_attacks; i++) {
        correct += e->attacks[i].correct;
        longest = e->attacks[i].steps > longest ? e->attacks[i].steps : longest;
        if (e->attacks[i].broken)
            broken[n++] = e->attacks[i].steps;
    }
    qsort(broken, n, sizeof *broken, by_steps);
    pg_buf_puts(out, "\n\n");
    pg_figure_cell(parts, table, e, LABEL_MAX, out);
    pg_buf_puts(out, "\n");
    write_curve(e, correct, broken, n, longest, out);
    free(broken);
    pg_buf_puts(out, "\n\n");
    if (e->n > 0)
        pg_buf_printf(out, "%.4f\n", 100.0 * (double)e->certified / (double)e->n);
    else
        pg_buf_puts(out, "nan\n");
    *most = longest > *most ? longest : *most;
    return PG_OK;
}

static bool is_attacked(const pg_table_entry *e) { return e->n_attacks > 0; }

static int write(const pg_table *table, pg_figure_data *out)
{
    size_t curves = 0;
    int64_t most = 1;
    int code = PG_OK;
    pg_figure_title(table, "success-steps", out);
    pg_figure_count(table, is_attacked, &out->data);
    pg_buf_puts(&out->data, "; at the end: 95% Wilson intervals; dotted, open: certified\n");
    for (size_t i = 0; code == PG_OK && i < table->n_entries; i++) {
        if (table->entries[i].n_attacks == 0)
            continue;
        if (++curves > CURVES_MAX)
            return pg_fail(PG_EINPUT,
                           "figure success-steps shows at most %d cells with an attack: choose fewer with --only KEY=VALUE",
                           CURVES_MAX);
        code = write_cell(table, &table->entries[i], &most, out);
    }
    if (code == PG_OK && curves == 0)
        code =
            pg_fail(PG_EINPUT,
                    "figure success-steps: no cell of this matrix has images under attack: give it an attack and run it first");
    pg_buf_printf(&out->prelude, "curves = %zu\nmost = %lld\n", curves, (long long)most);
    return code;
}

const pg_figure pg_figure_success_steps = {
    .name = "success-steps",
    .summary = "accuracy under attack against the steps of the attack, and the certified accuracy below it",
    .requires = "an attack",
    .script = pg_script_success_steps,
    .reads = PG_READS_ATTACKS,
    .write = write,
};
