/* Result tables as rows and columns: a line per row and metric, with the parts of the row's label beside them. Text for
 * terminals, of 80 columns unless the table says otherwise, Markdown for pages that show about 100, LaTeX. See table.h. */
#include "harness/base/grid.h"
#include "plots/table.h"

#include "harness/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_TEXT = 80, PAGE_MARKDOWN = 104 };

typedef struct view {
    const pg_table *table;
    const char **rows, **columns;
    const pg_table_entry **sorted;
    size_t n_rows, n_columns;
    double *best; /* [metrics][columns], or NULL */
    bool latex, siunitx;
    int digits; /* width of a share: 4, or 5 where one is 100.0; 0: as it is */
    pg_tabular cells;
} view;

static const pg_table_entry *entry_at(const view *v, size_t r, size_t c)
{
    return pg_table_at(v->table, v->sorted, v->rows[r], v->columns[c]);
}

/* Metric m of a cell, -1 where it has none. */
static int64_t count_of(const view *v, size_t m, const pg_table_entry *entry)
{
    return entry != NULL ? pg_metric_of(v->table->metrics[m], entry) : -1;
}

/* The publication's number for metric m of a cell, NaN where there is none. */
static double paper_of(const view *v, size_t m, const pg_table_entry *entry)
{
    return count_of(v, m, entry) >= 0 && entry->paper != NULL ? entry->paper[m] : NAN;
}

static double percent_of(const view *v, size_t m, const pg_table_entry *entry)
{
    return pg_table_is_mean(v->table->metrics[m], entry)
               ? 100 * entry->seeds.attacked.value
               : pg_percent(count_of(v, m, entry), pg_metric_base(v->table->metrics[m], entry), 1);
}

static void put_value(const view *v, size_t m, const pg_table_entry *entry, bool best, pg_buf *out)
{
    int64_t count = count_of(v, m, entry);
    if (count < 0)
        return;
    bool markdown = v->cells.format == PG_TABLE_MD, text = v->cells.format == PG_TABLE_TEXT;
    pg_metric_kind kind = v->table->metrics[m]->kind;
    int digits = markdown && best ? 0 : v->digits;
    pg_buf_puts(out, markdown && best ? "**" : "");
    const char *gap = v->siunitx ? "\t" : " ";
    size_t start = out->size;
    if (entry->n == 0)
        pg_buf_printf(out, "%*s", digits, v->siunitx ? "{--}" : v->latex ? "--" : "-");
    else if (kind == PG_METRIC_COUNT)
        pg_buf_printf(out, "%*lld", digits, (long long)count);
    else if (kind == PG_METRIC_GRID)
        pg_buf_printf(out, "%.6f", pg_grid_value(count));
    else {
        pg_interval share = pg_table_share(v->table->metrics[m], entry);
        pg_buf_printf(out,
                      v->siunitx && best ? "\\bfseries %*.1f"
                      : v->latex && best ? "\\textbf{%*.1f}"
                                         : "%*.1f",
                      digits, percent_of(v, m, entry));
        if (pg_table_is_mean(v->table->metrics[m], entry) && !isnan(entry->seeds.deviation))
            pg_buf_printf(out, v->latex ? "%s$\\pm$ %.1f" : "%s\u00b1 %.1f", gap, 100 * entry->seeds.deviation);
        pg_buf_printf(out, v->latex ? "%s(%.1f--%.1f)" : "%s(%.1f-%.1f)", strchr(out->data + start, '\t') ? " " : gap,
                      100 * share.lo, 100 * share.hi);
    }
    if (entry->n < entry->expected && v->siunitx && strchr(out->data + start, '\t') == NULL)
        pg_buf_puts(out, "\t");
    pg_buf_puts(out, entry->n >= entry->expected ? "" : v->latex ? "\\textsuperscript{*}" : "*");
    pg_buf_puts(out, !best ? "" : markdown ? "**" : text ? " +" : "");
}

/* Lines below each other: the value, the publication's, and ours less it; LaTeX has the last two in one. */
typedef enum line_kind { LINE_VALUE, LINE_PAPER, LINE_DIFFERENCE, LINE_N, LINE_KINDS } line_kind;

static void put_cell(const view *v, line_kind kind, size_t m, size_t c, const pg_table_entry *entry, pg_buf *out)
{
    double paper = kind == LINE_VALUE || kind == LINE_N ? NAN : paper_of(v, m, entry);
    if (kind == LINE_VALUE)
        put_value(v, m, entry, v->best != NULL && pg_table_is_best(v->table->metrics[m], entry, v->best[m * v->n_columns + c]),
                  out);
    else if (kind == LINE_N && entry != NULL)
        pg_buf_printf(out, "%*lld", v->digits, (long long)entry->n);
    else if (isnan(paper))
        return;
    else if (kind == LINE_PAPER)
        pg_buf_printf(out, "%*.1f", v->digits, paper);
    else if (entry->n == 0)
        pg_buf_puts(out, " "); /* a blank keeps the line */
    if (entry != NULL && entry->n > 0 && !isnan(paper) && (kind == LINE_DIFFERENCE || v->latex))
        pg_buf_printf(out,
                      v->siunitx ? "\t($%+*.1f$)"
                      : v->latex ? " ($%+*.1f$)"
                                 : "%+*.1f",
                      v->digits, percent_of(v, m, entry) - paper);
}

static void put_label(const view *v, const char *label, pg_buf *out)
{
    pg_tabular_escape(v->cells.format, label, v->latex ? " " : "\n", out);
}

static void add_line(view *v, size_t r, bool *begins, line_kind kind, size_t m)
{
    const char *const names[] = {m < v->table->n_metrics ? v->table->metrics[m]->label : "",
                                 v->latex ? "\\quad paper (difference)" : "  paper", "  difference", "n"};
    bool optional = kind == LINE_PAPER || kind == LINE_DIFFERENCE;
    pg_tabular_row(&v->cells, *begins ? PG_TABULAR_GROUP : optional ? PG_TABULAR_OPTIONAL : PG_TABULAR_MEMBER);
    put_label(v, *begins ? v->rows[r] : "", pg_tabular_add(&v->cells, PG_TABULAR_WORDS));
    pg_buf_puts(pg_tabular_add(&v->cells, PG_TABULAR_WORDS), names[kind]);
    for (size_t c = 0; c < v->n_columns; c++)
        put_cell(v, kind, m, c, entry_at(v, r, c), pg_tabular_add(&v->cells, PG_TABULAR_WORDS));
    *begins = false;
}

/* The metrics that some cell of the row has, then n where it differs. */
static void add_row(view *v, size_t r, bool same_n)
{
    bool begins = true;
    for (size_t m = 0; m < v->table->n_metrics; m++) {
        bool any = false, paper = false;
        for (size_t c = 0; c < v->n_columns; c++) {
            any |= count_of(v, m, entry_at(v, r, c)) >= 0;
            paper |= !isnan(paper_of(v, m, entry_at(v, r, c)));
        }
        for (line_kind kind = LINE_VALUE; any && kind <= (!paper     ? LINE_VALUE
                                                          : v->latex ? LINE_PAPER
                                                                     : LINE_DIFFERENCE);
             kind++)
            add_line(v, r, &begins, kind, m);
    }
    if (!same_n && !v->latex)
        add_line(v, r, &begins, LINE_N, v->table->n_metrics);
    if (!begins)
        return;
    pg_tabular_row(&v->cells, PG_TABULAR_LABEL);
    put_label(v, v->rows[r], pg_tabular_add(&v->cells, PG_TABULAR_WORDS));
    for (size_t c = 0; c <= v->n_columns; c++)
        pg_tabular_add(&v->cells, PG_TABULAR_WORDS);
}

/* Column headings carry the name of their key: "patch 5". */
static void add_headings(view *v)
{
    const pg_table *t = v->table;
    bool paper = false;
    for (size_t i = 0; i < t->n_entries; i++)
        paper |= t->entries[i].paper != NULL && !v->latex;
    pg_buf *out = pg_tabular_add(&v->cells, PG_TABULAR_WORDS);
    if (v->latex)
        put_label(v, t->row_key, out);
    else
        pg_buf_puts(out, t->row_key);
    pg_buf_printf(pg_tabular_add(&v->cells, PG_TABULAR_WORDS), "%-*s", paper ? (int)strlen("  difference") : 0, "metric");
    for (size_t c = 0; c < v->n_columns; c++) {
        out = pg_tabular_add(&v->cells, PG_TABULAR_WORDS);
        if (v->latex)
            put_label(v, t->column_key, out);
        else
            pg_buf_printf(out, "%.*s", (int)strcspn(t->column_key, ","), t->column_key);
        pg_buf_puts(out, " ");
        put_label(v, v->columns[c], out);
    }
}

/* The smallest and the largest n, said once. */
static void put_n(const view *v, int64_t least, int64_t most)
{
    pg_tabular *g = (pg_tabular *)&v->cells;
    if (!v->latex) {
        pg_buf_puts(&g->head, "% of images, 95% Wilson interval in parentheses");
        if (least == most && v->table->n_entries > 0)
            pg_buf_printf(&g->head, "; n = %lld images in every cell", (long long)most);
        pg_buf_puts(&g->head, "\n");
    } else if (v->table->n_entries > 0) {
        pg_buf_printf(&g->notes, "percent of n = %lld", (long long)least);
        if (least < most)
            pg_buf_printf(&g->notes, " to %lld", (long long)most);
        pg_buf_puts(&g->notes, " images, 95% Wilson interval in parentheses\n");
    }
}

static int fill(view *v, pg_buf *out)
{
    const pg_table *t = v->table;
    bool markdown = v->cells.format == PG_TABLE_MD;
    int64_t least = INT64_MAX, most = 0;
    if (t->best) {
        int code = pg_table_best(t, v->sorted, v->rows, v->n_rows, v->columns, v->n_columns, &v->best);
        if (code != PG_OK)
            return code;
    }
    v->cells.page = markdown ? PAGE_MARKDOWN : t->text_width > 0 ? t->text_width : PAGE_TEXT;
    v->digits = v->latex ? 0 : 4;
    for (size_t i = 0; i < t->n_entries; i++) {
        const pg_table_entry *e = &t->entries[i];
        least = e->n < least ? e->n : least;
        most = e->n > most ? e->n : most;
        for (size_t m = 0; m < t->n_metrics; m++)
            if (!v->latex && e->n > 0 && t->metrics[m]->kind == PG_METRIC_SHARE &&
                2000 * count_of(v, m, e) >= 1999 * pg_metric_base(t->metrics[m], e))
                v->digits = 5;
    }
    if (t->title != NULL && !v->latex) {
        pg_buf_puts(markdown ? out : &v->cells.head, markdown ? "**" : "");
        pg_text_flat(t->title, "?", markdown, markdown ? out : &v->cells.head);
        pg_buf_puts(markdown ? out : &v->cells.head, markdown ? "**\n\n" : "\n");
    }
    put_n(v, least, most);
    add_headings(v);
    for (size_t r = 0; r < v->n_rows; r++)
        add_row(v, r, least == most);
    pg_table_notes(t, v->cells.format, &v->cells.notes);
    return PG_OK;
}

int pg_table_print(const pg_table *table, pg_table_format format, pg_buf *out)
{
    assert(table->n_metrics > 0 && !pg_format_is_rows(format));
    bool latex = format == PG_TABLE_LATEX;
    view v = {.table = table, .latex = latex, .siunitx = latex && table->siunitx};
    int code = pg_table_sort(table, &v.sorted);
    if (code == PG_OK)
        code = pg_table_labels(table, false, &v.rows, &v.n_rows);
    if (code == PG_OK)
        code = pg_table_labels(table, true, &v.columns, &v.n_columns);
    pg_tabular_init(&v.cells, format, 2 + v.n_columns, 2);
    v.cells.caption = table->caption;
    v.cells.label = table->label;
    v.cells.siunitx = v.siunitx;
    if (code == PG_OK)
        code = fill(&v, out);
    if (code == PG_OK)
        code = pg_tabular_print(&v.cells, out);
    pg_tabular_release(&v.cells);
    free(v.rows);
    free(v.columns);
    free(v.sorted);
    free(v.best);
    return code;
}
