/* See tabular.h. */
#include "plots/tabular.h"

#include "harness/base/option.h"
#include "harness/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const pg_table_formats[] = {"text", "csv", "json", "json-lines", "md", "latex", NULL};
const char *const pg_row_formats[] = {"text", "csv", "json", "json-lines", NULL};

bool pg_format_is_rows(pg_table_format format) { return format >= PG_TABLE_CSV && format <= PG_TABLE_JSON_LINES; }

void pg_tabular_init(pg_tabular *t, pg_table_format format, size_t columns, size_t fixed)
{
    *t = (pg_tabular){.format = format, .columns = columns, .fixed = fixed, .absent = ""};
    pg_buf_init(&t->head);
    pg_buf_init(&t->notes);
    pg_buf_init(&t->text);
    pg_buf_init(&t->heads);
}

void pg_tabular_release(pg_tabular *t)
{
    pg_buf_release(&t->head);
    pg_buf_release(&t->notes);
    pg_buf_release(&t->text);
    pg_buf_release(&t->heads);
    free(t->cells);
    *t = (pg_tabular){.columns = 0};
}

void pg_tabular_row(pg_tabular *t, pg_tabular_row_kind kind)
{
    assert(t->n % t->columns == 0 || t->text.failed);
    t->next = kind;
}

pg_buf *pg_tabular_add(pg_tabular *t, pg_tabular_kind kind)
{
    if (t->n == t->capacity) {
        size_t capacity = 2 * t->capacity + 64;
        pg_tabular_cell *cells = realloc(t->cells, capacity * sizeof *cells);
        t->text.failed |= cells == NULL;
        t->cells = cells ? cells : t->cells;
        t->capacity = cells ? capacity : t->capacity;
    }
    pg_buf_add(&t->text, "", 1);
    if (!t->text.failed)
        t->cells[t->n++] = (pg_tabular_cell){.at = t->text.size, .kind = kind, .row = t->next};
    t->next = PG_TABULAR_GROUP;
    return &t->text;
}

void pg_tabular_number(pg_tabular *t, int64_t value)
{
    if (value >= 0)
        pg_tabular_integer(t, value);
    else
        pg_tabular_add(t, PG_TABULAR_ABSENT);
}

void pg_tabular_integer(pg_tabular *t, int64_t value)
{
    pg_buf_printf(pg_tabular_add(t, PG_TABULAR_NUMBER), "%lld", (long long)value);
}

void pg_tabular_real(pg_tabular *t, double value)
{
    if (isfinite(value))
        pg_format_double(value, pg_tabular_add(t, PG_TABULAR_NUMBER));
    else
        pg_tabular_add(t, PG_TABULAR_ABSENT);
}

void pg_tabular_bool(pg_tabular *t, bool value)
{
    const char *const names[][2] = {{"no", "yes"}, {"0", "1"}, {"false", "true"}};
    int kind = t->format == PG_TABLE_CSV ? 1 : pg_format_is_rows(t->format) ? 2 : 0;
    pg_buf_puts(pg_tabular_add(t, PG_TABULAR_BOOL), names[kind][value]);
}

void pg_tabular_words(pg_tabular *t, const char *text)
{
    pg_buf_puts(pg_tabular_add(t, text != NULL ? PG_TABULAR_WORDS : PG_TABULAR_ABSENT), text != NULL ? text : "");
}

static const pg_tabular_cell *cell_at(const pg_tabular *g, size_t row, size_t column)
{
    return &g->cells[row * g->columns + column];
}

static const char *text_at(const pg_tabular *g, size_t row, size_t column)
{
    const pg_tabular_cell *cell = cell_at(g, row, column);
    return cell->kind == PG_TABULAR_ABSENT ? g->absent : g->text.data + cell->at;
}

/* Whether a row has nothing in columns first .. end - 1, and may be left out for that. */
static bool is_left_out(const pg_tabular *g, size_t row, size_t first, size_t end)
{
    pg_tabular_row_kind kind = cell_at(g, row, 0)->row;
    bool empty = kind == PG_TABULAR_OPTIONAL || kind == PG_TABULAR_LABEL;
    for (size_t c = first; empty && c < end; c++)
        empty = *text_at(g, row, c) == '\0';
    return empty;
}

/* ---- Text and Markdown --------------------------------------------------------------------------------------------------- */

/* Labels of text that leave no room for a column beside them stand on lines of their own. */
typedef struct layout {
    const pg_tabular *of;
    bool markdown, apart;
    size_t rows, page, *width; /* of each column */
} layout;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Line i of a text, and its bytes; "" behind the last one. */
static const char *line_of(const char *text, size_t i, size_t *size)
{
    for (; i > 0 && *text != '\0'; i--) {
        text += strcspn(text, "\n");
        text += *text != '\0';
    }
    *size = strcspn(text, "\n");
    return text;
}

static size_t lines_of(const char *text)
{
    size_t n = 1;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void fill(char with, size_t n, pg_buf *out)
{
    for (; n > 0; n--)
        pg_buf_add(out, &with, 1);
}

/* Whole lines, broken at blanks where they would be longer than the page; they go on further in. */
static void put_lines(size_t page, const char *text, pg_buf *out)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t size = strcspn(text, " \n"), width = pg_text_columns(text, size);
        if (column > 2 && column + 1 + width > page) {
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

static void put_notes(const pg_tabular *g, const char *prefix, size_t page, pg_buf *out)
{
    size_t size;
    pg_buf lines;
    pg_buf_init(&lines);
    for (const char *note = g->notes.data; *note != '\0'; note += size + 1) {
        size = strcspn(note, "\n");
        pg_buf_printf(&lines, "%s%.*s\n", prefix, (int)size, note);
    }
    put_lines(page, lines.data, out);
    out->failed |= lines.failed;
    pg_buf_release(&lines);
}

/* What follows column c in a block that begins with column `first`. */
static size_t column_after(const layout *l, size_t c, size_t first) { return c + 1 == l->of->fixed ? first : c + 1; }

static void put_field(const layout *l, size_t c, const char *text, size_t size, pg_buf *out)
{
    size_t used = pg_text_columns(text, size), width = l->markdown && !l->of->page ? 0 : l->width[c];
    size_t room = width > used ? width - used : 0;
    bool right = cell_at(l->of, 0, c)->kind == PG_TABULAR_NUMBER;
    pg_buf_puts(out, l->markdown ? "| " : "");
    fill(' ', right ? room : 0, out);
    size_t start = out->size;
    pg_buf_add(out, text, size);
    for (char *at = out->data + start; at < out->data + out->size; at++)
        *at = *at == '\n' ? ' ' : *at;
    fill(' ', (right ? 0 : room) + (l->markdown ? 1 : 2), out);
}

static void end_line(const layout *l, pg_buf *out)
{
    while (!l->markdown && out->size > 0 && out->data[out->size - 1] == ' ')
        out->data[--out->size] = '\0';
    pg_buf_puts(out, l->markdown ? "|\n" : "\n");
}

/* Line `line` of the cells of a row, beside line `part` of the label of its group. */
static void put_row(const layout *l, size_t group, size_t part, size_t row, size_t line, size_t first, size_t end, pg_buf *out)
{
    for (size_t c = 0, size; c < end; c = column_after(l, c, first)) {
        const char *text =
            c > 0 ? line_of(text_at(l->of, row, c), line, &size) : line_of(text_at(l->of, group, 0), part, &size);
        put_field(l, c, text, size, out);
    }
    end_line(l, out);
}

static void put_heading(const layout *l, size_t first, size_t end, pg_buf *out)
{
    const pg_tabular *g = l->of;
    size_t lines = 1;
    for (size_t c = first; c < end; c++)
        lines = larger(lines, lines_of(text_at(g, 0, c)));
    if (l->markdown) { /* which has one heading line */
        for (size_t c = 0; c < end; c = column_after(l, c, first))
            put_field(l, c, text_at(g, 0, c), strlen(text_at(g, 0, c)), out);
        end_line(l, out);
    }
    if (l->apart)
        pg_buf_printf(out, "%s\n", text_at(g, 0, 0));
    for (size_t i = 0; !l->markdown && i < lines; i++)
        put_row(l, 0, i + l->apart, 0, i, first, end, out);
    if (!l->markdown && !g->page)
        return;
    for (size_t c = 0; c < end; c = column_after(l, c, first)) {
        pg_buf_puts(out, l->markdown ? "|-" : "");
        fill('-', g->page ? l->width[c] : 1, out);
        pg_buf_puts(out, !l->markdown ? "  " : cell_at(g, 0, c)->kind == PG_TABULAR_NUMBER ? ":" : "-");
    }
    end_line(l, out);
}

/* The rows of a group, and as many lines as its label needs; the row behind it. */
static size_t put_group(const layout *l, size_t group, size_t first, size_t end, pg_buf *out)
{
    const pg_tabular *g = l->of;
    size_t part = 0, parts = lines_of(text_at(g, group, 0)), row = group;
    for (; l->apart && part < parts; part++) {
        size_t size;
        const char *text = line_of(text_at(g, group, 0), part, &size);
        pg_buf_printf(out, "%.*s\n", (int)size, text);
    }
    do
        if (!is_left_out(g, row, first, end))
            put_row(l, group, part++, row, 0, first, end, out);
    while (++row < l->rows && cell_at(g, row, 0)->row >= PG_TABULAR_MEMBER);
    for (; part < parts; part++)
        put_row(l, group, part, group, SIZE_MAX, first, end, out);
    return row;
}

/* The end of the block of columns that starts at `first`. */
static size_t block_end(const layout *l, size_t first)
{
    size_t gap = l->markdown ? 3 : 2, used = l->markdown ? 4 : 0, end = first;
    for (size_t c = 0; c < l->of->fixed; c++)
        used += l->width[c] + (c > 0 ? gap : 0);
    while (end < l->of->columns && (end == first || used + gap + l->width[end] <= l->page)) {
        used += gap + l->width[end];
        end++;
    }
    return end;
}

static void measure(layout *l)
{
    const pg_tabular *g = l->of;
    size_t labels = 0, widest = 0;
    for (size_t c = 0; c < g->columns; c++) {
        for (size_t r = 0; r < l->rows; r++)
            for (size_t i = 0, size, n = lines_of(text_at(g, r, c)); i < n; i++) {
                const char *text = line_of(text_at(g, r, c), i, &size);
                l->width[c] = larger(l->width[c], pg_text_columns(text, size));
            }
        labels += c < g->fixed ? l->width[c] + 2 : 0;
        widest = c < g->fixed ? 0 : larger(widest, l->width[c]);
    }
    l->apart = !l->markdown && labels + widest > l->page;
    if (l->apart)
        l->width[0] = 0; /* and the gap behind it sets the other columns in */
}

static int print_text(const pg_tabular *g, bool markdown, pg_buf *out)
{
    layout l = {.of = g, .markdown = markdown, .rows = g->n / g->columns, .page = g->page ? g->page : SIZE_MAX};
    l.width = calloc(g->columns, sizeof *l.width);
    if (l.width == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for a table");
    measure(&l);
    put_lines(l.page, g->head.data, out);
    pg_buf_puts(out, g->head.size > 0 ? "\n" : "");
    size_t first = g->fixed, end;
    do {
        end = block_end(&l, first);
        put_heading(&l, first, end, out);
        for (size_t row = 1; row < l.rows;)
            row = put_group(&l, row, first, end, out);
        pg_buf_puts(out, end < g->columns ? "\n" : "");
        first = end;
    } while (first < g->columns);
    pg_buf_puts(out, g->notes.size > 0 ? "\n" : "");
    put_notes(g, markdown || g->page ? "- " : "", l.page, out);
    free(l.width);
    return PG_OK;
}

/* ---- LaTeX, for \usepackage{booktabs}
 * -------------------------------------------------------------------------------------- */

static void escape_latex(const char *text, pg_buf *out);

/* One cell; of siunitx two, and a heading stands over both. */
static void put_latex_cell(const pg_tabular *g, size_t row, size_t column, pg_buf *out)
{
    const char *text = text_at(g, row, column), *tab = strchr(text, '\t');
    if (!g->siunitx || column < g->fixed)
        pg_buf_puts(out, text);
    else if (row == 0)
        pg_buf_printf(out, "\\multicolumn{2}{c}{%s}", text);
    else
        pg_buf_printf(out, "%.*s & %s", (int)strcspn(text, "\t"), text, tab != NULL ? tab + 1 : "");
}

static void print_latex(const pg_tabular *g, pg_buf *out)
{
    bool floats = g->caption != NULL || g->label != NULL;
    pg_buf_puts(out, floats ? "\\begin{table}\n\\centering\n" : "");
    if (g->caption != NULL) {
        pg_buf_puts(out, "\\caption{");
        escape_latex(g->caption, out);
        pg_buf_puts(out, "}\n");
    }
    if (g->label != NULL)
        pg_buf_printf(out, "\\label{%s}\n", g->label);
    pg_buf_puts(out, "\\begin{tabular}{");
    for (size_t c = 0; c < g->columns; c++)
        pg_buf_puts(out, c < g->fixed ? "l" : g->siunitx ? "S[table-format=3.1]@{\\,}l" : "r");
    pg_buf_puts(out, "}\n\\toprule\n");
    for (size_t r = 0; r < g->n / g->columns; r++) {
        if (is_left_out(g, r, g->fixed, g->columns))
            continue;
        for (size_t c = 0; c < g->columns; c++) {
            pg_buf_puts(out, c > 0 ? " & " : "");
            put_latex_cell(g, r, c, out);
        }
        pg_buf_puts(out, r > 0 ? " \\\\\n" : " \\\\\n\\midrule\n");
    }
    pg_buf_puts(out, "\\bottomrule\n\\end{tabular}\n");
    pg_buf_puts(out, floats ? "\\end{table}\n" : "");
    put_notes(g, "% ", SIZE_MAX, out);
}

static void escape_latex(const char *text, pg_buf *out)
{
    static const char *const names[] = {"\\textbackslash", "~textasciitilde", "^textasciicircum", "<textless", ">textgreater"};
    for (; *text; text++) {
        const char *name = NULL;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            name = *text == *names[i] ? names[i] + 1 : name;
        if (name != NULL)
            pg_buf_printf(out, "\\%s{}", name);
        else
            pg_buf_printf(out, strchr("#$%&_{}", *text) ? "\\%c" : "%c", *text);
    }
}

void pg_tabular_escape(pg_table_format format, const char *text, const char *newline, pg_buf *out)
{
    pg_buf flat;
    pg_buf_init(&flat);
    pg_text_flat(text, newline, format == PG_TABLE_MD, &flat);
    if (format == PG_TABLE_LATEX)
        escape_latex(flat.data, out);
    else
        pg_buf_puts(out, flat.data);
    out->failed |= flat.failed;
    pg_buf_release(&flat);
}

/* ---- CSV and JSON, a row a line ------------------------------------------------------------------------------------------ */

/* The inside of a quoted text: CSV doubles quotes, JSON puts a backslash before them; line ends stay in JSON only. */
static void put_quoted(const char *text, bool json, pg_buf *out)
{
    while (*text != '\0') {
        size_t plain = 0;
        while (text[plain] >= ' ' && text[plain] <= '~' && text[plain] != '"' && text[plain] != '\\')
            plain++;
        pg_buf_add(out, text, plain);
        text += plain;
        if (*text == '\n')
            pg_buf_puts(out, json ? "\\n" : " ");
        else if (*text == '"')
            pg_buf_puts(out, json ? "\\\"" : "\"\"");
        else if (*text == '\\')
            pg_buf_puts(out, json ? "\\\\" : "\\");
        else if (*text != '\0') {
            text += pg_text_add(text, out);
            continue;
        }
        text += *text != '\0';
    }
}

static void put_csv_row(const pg_tabular *g, size_t row, pg_buf *out)
{
    for (size_t c = 0; c < g->columns; c++) {
        const char *text = text_at(g, row, c), *quote = strpbrk(text, ",\"\r\n") != NULL ? "\"" : "";
        pg_buf_printf(out, "%s%s", c > 0 ? "," : "", quote);
        put_quoted(text, false, out);
        pg_buf_puts(out, quote);
    }
    pg_buf_puts(out, "\n");
}

/* What stands before a value: ", \"head\": ", of each column, made once. */
static void make_json_heads(pg_tabular *g)
{
    pg_buf_clear(&g->heads);
    for (size_t c = 0; c < g->columns; c++) {
        pg_buf_puts(&g->heads, c > 0 ? ", \"" : "{\"");
        put_quoted(text_at(g, 0, c), true, &g->heads);
        pg_buf_add(&g->heads, "\": ", sizeof "\": "); /* with the zero byte */
    }
    g->text.failed |= g->heads.failed;
}

static void put_json_row(const pg_tabular *g, size_t row, pg_buf *out)
{
    const char *head = g->heads.data;
    for (size_t c = 0; c < g->columns; c++) {
        const pg_tabular_cell *cell = cell_at(g, row, c);
        size_t size = strlen(head);
        pg_buf_add(out, head, size);
        head += size + 1;
        if (cell->kind == PG_TABULAR_WORDS) {
            pg_buf_add(out, "\"", 1);
            put_quoted(g->text.data + cell->at, true, out);
            pg_buf_add(out, "\"", 1);
        } else
            pg_buf_puts(out, cell->kind == PG_TABULAR_ABSENT ? "null" : g->text.data + cell->at);
    }
    pg_buf_puts(out, "}");
}

void pg_tabular_flush(pg_tabular *g, pg_buf *out)
{
    bool csv = g->format == PG_TABLE_CSV, json = g->format == PG_TABLE_JSON;
    if (!pg_format_is_rows(g->format) || g->text.failed)
        return;
    assert(g->n > 0 && g->n % g->columns == 0);
    if (g->written == 0 && csv)
        put_csv_row(g, 0, out);
    if (g->written == 0 && json)
        pg_buf_printf(out, "{\"form\": \"%s\", \"version\": 1, \"rows\": [", g->form);
    if (g->written == 0 && !csv)
        make_json_heads(g);
    if (g->text.failed)
        return;
    g->written += g->written == 0;
    for (size_t row = 1; row < g->n / g->columns; row++, g->written++) {
        if (json)
            pg_buf_puts(out, g->written > 1 ? ",\n" : "\n");
        if (csv)
            put_csv_row(g, row, out);
        else
            put_json_row(g, row, out);
        if (!csv && !json)
            pg_buf_puts(out, "\n");
    }
    if (g->n > g->columns) {
        g->text.size = g->cells[g->columns].at - 1;
        g->text.data[g->text.size] = '\0';
        g->n = g->columns;
    }
}

int pg_tabular_print(pg_tabular *g, pg_buf *out)
{
    int code = g->head.failed || g->notes.failed ? pg_fail(PG_ENOMEM, "out of memory for a table") : pg_buf_check(&g->text);
    if (code != PG_OK)
        return code;
    assert(g->n > 0 && g->n % g->columns == 0 && g->fixed > 0);
    if (g->format == PG_TABLE_TEXT || g->format == PG_TABLE_MD)
        code = print_text(g, g->format == PG_TABLE_MD, out);
    else if (g->format == PG_TABLE_LATEX)
        print_latex(g, out);
    pg_tabular_flush(g, out);
    if (g->format == PG_TABLE_JSON)
        pg_buf_printf(out, "%s]}\n", g->written > 1 ? "\n" : "");
    if (code == PG_OK)
        code = pg_buf_check(&g->text);
    return code == PG_OK ? pg_buf_check(out) : code;
}
