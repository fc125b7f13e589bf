/* Tables for people: text for terminals, of 80 columns unless the table says otherwise, Markdown for pages that show about 100.
 *
 * Every row of the table takes one line per metric; the parts of its label go down its lines. Columns that do not fit beside
 * each other follow in a further block with the same rows. Labels of text that leave no room for a column beside them stand on
 * lines of their own. */
#include "plots/table.h"

#include "harness/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_TEXT = 80, PAGE_MARKDOWN = 104, CELL_MAX = 64 };

typedef struct layout {
    const pg_table *table;
    bool markdown, apart; /* apart: labels on lines of their own */
    size_t page;          /* characters of a line */
    const char **rows, **columns;
    const pg_table_entry **sorted;
    size_t n_rows, n_columns;
    bool same_n; /* every cell has the same n: said once above the table */
    size_t label_w, metric_w;
    int digits;    /* width of a share: 4, or 5 where one is 100.0 */
    double *best;  /* [metrics][columns], or NULL */
    size_t *width; /* of each column */
} layout;

static size_t text_width(const char *text) { return pg_text_columns(text, strlen(text)); }

/* The i-th part of a label with nothing in it that a terminal or Markdown would act on; false if it has no such part. */
static bool label_part(const layout *l, const char *label, size_t i, pg_buf *out)
{
    pg_buf_clear(out);
    for (; i > 0; i--) {
        label = strchr(label, '\n');
        if (label == NULL)
            return false;
        label++;
    }
    char *part = strndup(label, strcspn(label, "\n"));
    if (part != NULL)
        pg_text_flat(part, "", l->markdown, out);
    else
        out->failed = true;
    free(part);
    return true;
}

/* Column headings carry the name of their key: "patch 5". */
static bool heading_part(const layout *l, const char *label, size_t i, pg_buf *out)
{
    pg_buf part;
    pg_buf_init(&part);
    bool has = label_part(l, label, i, &part);
    pg_buf_clear(out);
    if (has && i == 0)
        pg_buf_printf(out, "%.*s %s", (int)strcspn(l->table->column_key, ","), l->table->column_key, part.data);
    else if (has)
        pg_buf_puts(out, part.data);
    pg_buf_release(&part);
    return has;
}

static size_t label_parts(const char *label)
{
    size_t n = 1;
    for (; *label != '\0'; label++)
        n += *label == '\n';
    return n;
}

/* What stands in a field: the value, the publication's beside it, and the difference. */
typedef enum line_kind { LINE_VALUE, LINE_PAPER, LINE_DIFFERENCE, LINE_KINDS } line_kind;
static const char *const line_names[] = {"", "  paper", "  difference"};

/* The publication's number for metric m of a cell; false where there is none. */
static bool paper_of(const pg_table_entry *entry, size_t m, double *value)
{
    bool has = entry != NULL && entry->paper != NULL && !isnan(entry->paper[m]);
    *value = has ? entry->paper[m] : 0;
    return has;
}

static void paper_text(const layout *l, size_t m, line_kind kind, const pg_table_entry *entry, char out[CELL_MAX])
{
    double paper;
    out[0] = '\0';
    if (!paper_of(entry, m, &paper))
        return;
    if (kind == LINE_PAPER)
        snprintf(out, CELL_MAX, "%*.1f", l->digits, paper);
    else if (entry->n > 0)
        snprintf(out, CELL_MAX, "%+*.1f", l->digits,
                 pg_percent(pg_metric_of(l->table->metrics[m], entry), entry->n, 1) - paper);
}

static void value_text(const layout *l, const pg_metric *metric, const pg_table_entry *entry, char out[CELL_MAX])
{
    out[0] = '\0';
    int64_t count = entry != NULL ? pg_metric_of(metric, entry) : -1;
    if (count < 0)
        return;
    const char *star = entry->n < entry->expected ? "*" : "";
    if (entry->n == 0)
        snprintf(out, CELL_MAX, "%*s%s", l->digits, "-", star);
    else if (metric->kind == PG_METRIC_COUNT)
        snprintf(out, CELL_MAX, "%*lld%s", l->digits, (long long)count, star);
    else if (metric->kind == PG_METRIC_GRID)
        snprintf(out, CELL_MAX, "%.6f%s", (double)count / 1048576.0, star);
    else {
        pg_interval share = pg_wilson(count, entry->n);
        snprintf(out, CELL_MAX, "%*.1f (%.1f-%.1f)%s", l->digits, pg_percent(count, entry->n, 1), 100 * share.lo,
                 100 * share.hi, star);
    }
}

/* Metric m of the cell in column c. */
static void cell_text(const layout *l, size_t m, size_t c, const pg_table_entry *entry, char out[CELL_MAX])
{
    value_text(l, l->table->metrics[m], entry, out);
    if (l->best == NULL || !pg_table_is_best(l->table->metrics[m], entry, l->best[m * l->n_columns + c]))
        return;
    char plain[CELL_MAX];
    memcpy(plain, out, CELL_MAX);
    snprintf(out, CELL_MAX, l->markdown ? "**%.50s**" : "%.60s +", plain + (l->markdown ? strspn(plain, " ") : 0));
}

/* ---- Layout ------------------------------------------------------------------------------------------------------------- */

static void widen(size_t *width, size_t to)
{
    if (to > *width)
        *width = to;
}

/* Once all widths are known. */
static void place_labels(layout *l)
{
    size_t widest = 0;
    for (size_t c = 0; c < l->n_columns; c++)
        widen(&widest, l->width[c]);
    l->apart = !l->markdown && l->label_w + 2 + l->metric_w + 2 + widest > l->page;
    if (l->apart)
        l->label_w = 0; /* and the gap behind it sets the other columns in */
}

static int layout_make(layout *l)
{
    const pg_table *t = l->table;
    int code = pg_table_sort(t, &l->sorted);
    if (code == PG_OK)
        code = pg_table_labels(t, false, &l->rows, &l->n_rows);
    if (code == PG_OK)
        code = pg_table_labels(t, true, &l->columns, &l->n_columns);
    if (code != PG_OK)
        return code;
    l->width = calloc(l->n_columns + 1, sizeof *l->width);
    if (l->width == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for a table");
    if (t->best)
        code = pg_table_best(t, l->sorted, l->rows, l->n_rows, l->columns, l->n_columns, &l->best);
    if (code != PG_OK)
        return code;
    l->same_n = true;
    for (size_t i = 1; i < t->n_entries; i++)
        l->same_n &= t->entries[i].n == t->entries[0].n;

    l->digits = 4;
    for (size_t i = 0; i < t->n_entries; i++)
        for (size_t m = 0; m < t->n_metrics; m++)
            if (t->entries[i].n > 0 && t->metrics[m]->kind == PG_METRIC_SHARE &&
                2000 * pg_metric_of(t->metrics[m], &t->entries[i]) >= 1999 * t->entries[i].n)
                l->digits = 5;

    pg_buf part;
    pg_buf_init(&part);
    l->label_w = text_width(t->row_key);
    l->metric_w = strlen("metric");
    for (size_t r = 0; r < l->n_rows; r++)
        for (size_t i = 0; label_part(l, l->rows[r], i, &part); i++)
            widen(&l->label_w, text_width(part.data));
    for (size_t m = 0; m < t->n_metrics; m++)
        for (size_t i = 0; i < t->n_entries; i++)
            if (pg_metric_of(t->metrics[m], &t->entries[i]) >= 0) {
                widen(&l->metric_w, strlen(t->metrics[m]->label));
                widen(&l->metric_w, t->entries[i].paper != NULL ? strlen(line_names[LINE_DIFFERENCE]) : 0);
            }
    for (size_t c = 0; c < l->n_columns; c++) {
        for (size_t i = 0; heading_part(l, l->columns[c], i, &part); i++)
            widen(&l->width[c], text_width(part.data));
        for (size_t r = 0; r < l->n_rows; r++)
            for (size_t m = 0; m < t->n_metrics; m++) {
                char text[CELL_MAX];
                cell_text(l, m, c, pg_table_at(t, l->sorted, l->rows[r], l->columns[c]), text);
                widen(&l->width[c], strlen(text));
            }
    }
    pg_buf_release(&part);
    place_labels(l);
    return PG_OK;
}

/* The end of the block of columns that starts at `first`. */
static size_t block_end(const layout *l, size_t first)
{
    size_t gap = l->markdown ? 3 : 2, used = l->label_w + gap + l->metric_w + (l->markdown ? 4 : 0), end = first;
    while (end < l->n_columns && (end == first || used + gap + l->width[end] <= l->page)) {
        used += gap + l->width[end];
        end++;
    }
    return end;
}

/* ---- Printing ------------------------------------------------------------------------------------------------------------ */

static void field(const layout *l, const char *text, size_t width, bool last, pg_buf *out)
{
    pg_buf_puts(out, l->markdown ? "| " : "");
    pg_buf_puts(out, text);
    if (l->markdown || !last)
        for (size_t i = text_width(text); i < width; i++)
            pg_buf_puts(out, " ");
    pg_buf_puts(out, l->markdown ? " " : last ? "" : "  ");
}

static void end_line(const layout *l, pg_buf *out)
{
    while (!l->markdown && out->size > 0 && out->data[out->size - 1] == ' ')
        out->data[--out->size] = '\0';
    pg_buf_puts(out, l->markdown ? "|\n" : "\n");
}

static void rule(const layout *l, size_t first, size_t end, pg_buf *out)
{
    const char *dash = "--------------------------------------------------------------------------------";
    size_t n = end - first + 2;
    for (size_t i = 0; i < n; i++) {
        size_t width = i == 0 ? l->label_w : i == 1 ? l->metric_w : l->width[first + i - 2];
        pg_buf_puts(out, l->markdown ? "|-" : "");
        for (size_t left = width; left > 0;) {
            size_t take = left < strlen(dash) ? left : strlen(dash);
            pg_buf_add(out, dash, take);
            left -= take;
        }
        pg_buf_puts(out, l->markdown ? "-" : i + 1 < n ? "  " : "");
    }
    pg_buf_puts(out, l->markdown ? "|\n" : "\n");
}

static void print_heading(const layout *l, size_t first, size_t end, pg_buf *out)
{
    size_t lines = 1;
    for (size_t c = first; c < end; c++)
        widen(&lines, label_parts(l->columns[c]));
    pg_buf part;
    pg_buf_init(&part);
    if (l->markdown) { /* Markdown has one heading line: parts go behind each other */
        field(l, l->table->row_key, l->label_w, false, out);
        field(l, "metric", l->metric_w, false, out);
        for (size_t c = first; c < end; c++) {
            pg_buf all;
            pg_buf_init(&all);
            for (size_t i = 0; heading_part(l, l->columns[c], i, &part); i++)
                pg_buf_printf(&all, "%s%s", i > 0 ? " " : "", part.data);
            field(l, all.data, l->width[c], false, out);
            pg_buf_release(&all);
        }
        end_line(l, out);
    }
    if (l->apart)
        pg_buf_printf(out, "%s\n", l->table->row_key);
    for (size_t i = 0; !l->markdown && i < lines; i++) {
        field(l, i == 0 && !l->apart ? l->table->row_key : "", l->label_w, false, out);
        field(l, i == 0 ? "metric" : "", l->metric_w, false, out);
        for (size_t c = first; c < end; c++) {
            heading_part(l, l->columns[c], i, &part);
            field(l, part.data, l->width[c], c + 1 == end, out);
        }
        end_line(l, out);
    }
    pg_buf_release(&part);
    rule(l, first, end, out);
}

/* Whether some cell of the row has something on this line; of the publication's numbers only those of the block count. */
static bool has_line(const layout *l, const char *row, size_t m, line_kind kind, size_t first, size_t end)
{
    double paper;
    for (size_t c = kind == LINE_VALUE ? 0 : first; c < (kind == LINE_VALUE ? l->n_columns : end); c++) {
        const pg_table_entry *entry = pg_table_at(l->table, l->sorted, row, l->columns[c]);
        if (entry != NULL && pg_metric_of(l->table->metrics[m], entry) >= 0 &&
            (kind == LINE_VALUE || paper_of(entry, m, &paper)))
            return true;
    }
    return false;
}

/* A line of a row; m = n_metrics: that of n, larger: empty. `line` counts those of the label. */
static void print_line(const layout *l, const char *row, size_t line, size_t m, line_kind kind, size_t first, size_t end,
                       pg_buf *out)
{
    size_t n_metrics = l->table->n_metrics;
    const char *name = m > n_metrics        ? ""
                       : m == n_metrics     ? "n"
                       : kind == LINE_VALUE ? l->table->metrics[m]->label
                                            : line_names[kind];
    pg_buf part;
    pg_buf_init(&part);
    label_part(l, row, line, &part);
    field(l, part.data, l->label_w, false, out);
    field(l, name, l->metric_w, false, out);
    for (size_t c = first; c < end; c++) {
        const pg_table_entry *entry = pg_table_at(l->table, l->sorted, row, l->columns[c]);
        char text[CELL_MAX] = "";
        if (m < n_metrics && kind == LINE_VALUE)
            cell_text(l, m, c, entry, text);
        else if (m < n_metrics)
            paper_text(l, m, kind, entry, text);
        else if (m == n_metrics && entry != NULL)
            snprintf(text, sizeof text, "%*lld", l->digits, (long long)entry->n);
        field(l, text, l->width[c], c + 1 == end, out);
    }
    end_line(l, out);
    pg_buf_release(&part);
}

/* The lines of a row: the metrics that some cell of the row has, then n where it differs, and as many as the label needs. */
static void print_row(const layout *l, const char *row, size_t first, size_t end, pg_buf *out)
{
    size_t line = 0, n_metrics = l->table->n_metrics;
    pg_buf part;
    pg_buf_init(&part);
    for (; l->apart && label_part(l, row, line, &part); line++)
        pg_buf_printf(out, "%s\n", part.data);
    out->failed |= part.failed;
    pg_buf_release(&part);
    for (size_t m = 0; m < n_metrics; m++)
        for (line_kind kind = LINE_VALUE; kind < LINE_KINDS; kind++)
            if (has_line(l, row, m, kind, first, end))
                print_line(l, row, line++, m, kind, first, end, out);
    if (!l->same_n)
        print_line(l, row, line++, n_metrics, LINE_VALUE, first, end, out);
    while (line < label_parts(row))
        print_line(l, row, line++, n_metrics + 1, LINE_VALUE, first, end, out);
}

/* Whole lines, broken at blanks where they would be longer than the page; they go on further in. */
static void put_lines(const layout *l, const char *text, pg_buf *out)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t size = strcspn(text, " \n"), width = pg_text_columns(text, size);
        if (column > 2 && column + 1 + width > l->page) {
            pg_buf_puts(out, "\n ");
            column = 1;
        }
        pg_buf_printf(out, "%s%.*s", column > 0 ? " " : "", (int)size, text);
        column += width + (column > 0);
        text += size;
        if (*text == '\n') {
            pg_buf_puts(out, "\n");
            column = 0;
        }
        text += *text != '\0';
    }
}

static void print_title(const layout *l, pg_buf *out)
{
    const pg_table *t = l->table;
    pg_buf lines;
    pg_buf_init(&lines);
    if (t->title != NULL) {
        pg_text_flat(t->title, "?", l->markdown, &lines);
        if (l->markdown) {
            pg_buf_printf(out, "**%s**\n\n", lines.data);
            pg_buf_clear(&lines);
        } else
            pg_buf_puts(&lines, "\n");
    }
    pg_buf_puts(&lines, "% of images, 95% Wilson interval in parentheses");
    if (l->same_n && t->n_entries > 0)
        pg_buf_printf(&lines, "; n = %lld images in every cell", (long long)t->entries[0].n);
    pg_buf_puts(&lines, "\n\n");
    put_lines(l, lines.data, out);
    out->failed |= lines.failed;
    pg_buf_release(&lines);
}

static void print_notes(const layout *l, pg_buf *out)
{
    pg_buf notes;
    pg_buf_init(&notes);
    pg_table_notes(l->table, "- ", l->markdown ? PG_TABLE_MD : PG_TABLE_TEXT, &notes);
    pg_buf_puts(out, notes.size > 0 ? "\n" : "");
    put_lines(l, notes.data, out);
    out->failed |= notes.failed;
    pg_buf_release(&notes);
}

int pg_table_print_text(const pg_table *table, bool markdown, pg_buf *out)
{
    layout l = {.table = table, .markdown = markdown, .page = PAGE_MARKDOWN};
    if (!markdown)
        l.page = table->text_width > 0 ? table->text_width : PAGE_TEXT;
    int code = layout_make(&l);
    if (code != PG_OK)
        goto out;
    print_title(&l, out);
    for (size_t first = 0; first < l.n_columns;) {
        size_t end = block_end(&l, first);
        print_heading(&l, first, end, out);
        for (size_t r = 0; r < l.n_rows; r++)
            print_row(&l, l.rows[r], first, end, out);
        pg_buf_puts(out, end < l.n_columns ? "\n" : "");
        first = end;
    }
    print_notes(&l, out);
out:
    free(l.rows);
    free(l.columns);
    free(l.width);
    free(l.best);
    free(l.sorted);
    return code;
}
