/* Tables as LaTeX, for \usepackage{booktabs}: one tabular with a line per row and metric, notes as comments below it. */
#include "plots/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text with nothing in it that LaTeX would act on; "\n" becomes a space. */
static void latex_text(const char *text, pg_buf *out)
{
    pg_buf flat;
    pg_buf_init(&flat);
    pg_text_flat(text, " ", false, &flat);
    for (const char *at = flat.data ? flat.data : ""; *at; at++)
        switch (*at) {
        case '\\':
            pg_buf_puts(out, "\\textbackslash{}");
            break;
        case '~':
            pg_buf_puts(out, "\\textasciitilde{}");
            break;
        case '^':
            pg_buf_puts(out, "\\textasciicircum{}");
            break;
        case '<':
            pg_buf_puts(out, "\\textless{}");
            break;
        case '>':
            pg_buf_puts(out, "\\textgreater{}");
            break;
        case '#':
        case '$':
        case '%':
        case '&':
        case '_':
        case '{':
        case '}':
            pg_buf_printf(out, "\\%c", *at);
            break;
        default:
            pg_buf_add(out, at, 1);
        }
    out->failed |= flat.failed;
    pg_buf_release(&flat);
}

static void latex_value(const pg_metric *metric, const pg_table_entry *entry, bool best, pg_buf *out)
{
    int64_t count = entry != NULL ? pg_metric_of(metric, entry) : -1;
    if (count < 0)
        return;
    const char *star = entry->n < entry->expected ? "\\textsuperscript{*}" : "";
    if (entry->n == 0)
        pg_buf_printf(out, "--%s", star);
    else if (metric->kind == PG_METRIC_COUNT)
        pg_buf_printf(out, "%lld%s", (long long)count, star);
    else if (metric->kind == PG_METRIC_GRID)
        pg_buf_printf(out, "%.6f%s", (double)count / 1048576.0, star);
    else {
        pg_interval share = pg_wilson(count, entry->n);
        pg_buf_printf(out, best ? "\\textbf{%.1f} (%.1f--%.1f)%s" : "%.1f (%.1f--%.1f)%s", pg_percent(count, entry->n, 1),
                      100 * share.lo, 100 * share.hi, star);
    }
}

/* "83.9 (paper), -14.2": the publication's number and ours less it. */
static void latex_paper(const pg_metric *metric, const pg_table_entry *entry, double paper, pg_buf *out)
{
    pg_buf_printf(out, "%.1f", paper);
    if (entry->n > 0)
        pg_buf_printf(out, " ($%+.1f$)", pg_percent(pg_metric_of(metric, entry), entry->n, 1) - paper);
}

typedef struct latex {
    const pg_table *table;
    const char **rows, **columns;
    const pg_table_entry **sorted;
    size_t n_rows, n_columns;
    double *best;
} latex;

static void print_head(const latex *l, pg_buf *out)
{
    pg_buf_puts(out, "\\begin{tabular}{ll");
    for (size_t c = 0; c < l->n_columns; c++)
        pg_buf_puts(out, "r");
    pg_buf_puts(out, "}\n\\toprule\n");
    latex_text(l->table->row_key, out);
    pg_buf_puts(out, " & metric");
    for (size_t c = 0; c < l->n_columns; c++) {
        pg_buf_puts(out, " & ");
        latex_text(l->table->column_key, out);
        pg_buf_puts(out, " ");
        latex_text(l->columns[c], out);
    }
    pg_buf_puts(out, " \\\\\n\\midrule\n");
}

/* One line; its label stands on the first of the row only. */
static bool print_line(const latex *l, const char *row, size_t m, bool paper, bool first, pg_buf *out)
{
    bool any = false;
    for (size_t c = 0; c < l->n_columns && !any; c++) {
        const pg_table_entry *e = pg_table_at(l->table, l->sorted, row, l->columns[c]);
        any = e != NULL && pg_metric_of(l->table->metrics[m], e) >= 0 && (!paper || (e->paper != NULL && !isnan(e->paper[m])));
    }
    if (!any)
        return false;
    if (first)
        latex_text(row, out);
    pg_buf_printf(out, " & %s", paper ? "\\quad paper (difference)" : l->table->metrics[m]->label);
    for (size_t c = 0; c < l->n_columns; c++) {
        const pg_table_entry *e = pg_table_at(l->table, l->sorted, row, l->columns[c]);
        pg_buf_puts(out, " & ");
        if (!paper)
            latex_value(l->table->metrics[m], e,
                        l->best != NULL && pg_table_is_best(l->table->metrics[m], e, l->best[m * l->n_columns + c]), out);
        else if (e != NULL && e->paper != NULL && !isnan(e->paper[m]))
            latex_paper(l->table->metrics[m], e, e->paper[m], out);
    }
    pg_buf_puts(out, " \\\\\n");
    return true;
}

/* The smallest and the largest n, said once. */
static void print_n(const pg_table *table, pg_buf *out)
{
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        least = table->entries[i].n < least ? table->entries[i].n : least;
        most = table->entries[i].n > most ? table->entries[i].n : most;
    }
    if (least == most)
        pg_buf_printf(out, "%% percent of n = %lld images, 95%% Wilson interval in parentheses\n", (long long)most);
    else
        pg_buf_printf(out, "%% percent of n = %lld to %lld images, 95%% Wilson interval in parentheses\n", (long long)least,
                      (long long)most);
}

int pg_table_print_latex(const pg_table *table, pg_buf *out)
{
    latex l = {.table = table};
    int code = pg_table_sort(table, &l.sorted);
    if (code == PG_OK)
        code = pg_table_labels(table, false, &l.rows, &l.n_rows);
    if (code == PG_OK)
        code = pg_table_labels(table, true, &l.columns, &l.n_columns);
    if (code == PG_OK && table->best)
        code = pg_table_best(table, l.sorted, l.rows, l.n_rows, l.columns, l.n_columns, &l.best);
    if (code == PG_OK) {
        print_head(&l, out);
        for (size_t r = 0; r < l.n_rows; r++) {
            bool first = true;
            for (size_t m = 0; m < table->n_metrics; m++)
                for (int paper = 0; paper < 2; paper++)
                    first &= !print_line(&l, l.rows[r], m, paper == 1, first, out);
        }
        pg_buf_puts(out, "\\bottomrule\n\\end{tabular}\n");
        if (table->n_entries > 0)
            print_n(table, out);
        pg_table_notes(table, "% ", PG_TABLE_LATEX, out);
    }
    free(l.rows);
    free(l.columns);
    free(l.best);
    free(l.sorted);
    return code;
}
