/* See report.h. */
#include "harness/base/grid.h"
#include "harness/base/text.h"
#include "plots/report.h"
#include "harness/base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

extern const char pg_report_style[], pg_report_script[];

/* What stands for a character, NULL where it stands for itself. */
static const char *entity_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static void add_text(const char *text, const char *newline, pg_buf *out)
{
    while (*text != '\0') {
        const char *entity = *text == '\n' ? newline : entity_of(*text);
        if (entity == NULL) {
            text += pg_text_add(text, out);
        } else {
            pg_buf_puts(out, entity);
            text++;
        }
    }
}

void pg_report_text(const char *text, pg_buf *out) { add_text(text, " ", out); }

/* before, the escaped text, after */
static void wrapped(const char *before, const char *text, const char *after, pg_buf *out)
{
    pg_buf_puts(out, before);
    pg_report_text(text, out);
    pg_buf_puts(out, after);
}

/* ---- Sections and facts -------------------------------------------------------------------------------------------------- */

void pg_report_section_begin(int number, const char *heading, pg_buf *out)
{
    pg_buf_printf(out, "<section id=\"s%d\" aria-labelledby=\"h%d\">\n<h2 id=\"h%d\">", number, number, number);
    wrapped("", heading, "</h2>\n", out);
}

void pg_report_section_end(pg_buf *out) { pg_buf_puts(out, "</section>\n"); }
void pg_report_paragraph(const char *text, pg_buf *out) { wrapped("<p>", text, "</p>\n", out); }
void pg_report_preformatted(const char *text, pg_buf *out)
{
    pg_buf_puts(out, "<pre tabindex=\"0\">");
    add_text(text, "\n", out);
    pg_buf_puts(out, "</pre>\n");
}
void pg_report_heading(const char *text, pg_buf *out) { wrapped("<h3>", text, "</h3>\n", out); }
void pg_report_fold_begin(const char *summary, bool open, pg_buf *out)
{
    wrapped(open ? "<details open><summary>" : "<details><summary>", summary, "</summary>\n", out);
}
void pg_report_fold_end(pg_buf *out) { pg_buf_puts(out, "</details>\n"); }

void pg_report_facts_begin(bool settings, pg_buf *out) { pg_buf_puts(out, settings ? "<dl class=\"settings\">\n" : "<dl>\n"); }
void pg_report_facts_end(pg_buf *out) { pg_buf_puts(out, "</dl>\n"); }
void pg_report_fact(const char *key, const char *value, pg_buf *out)
{
    wrapped("<dt>", key, "</dt>", out);
    wrapped("<dd>", value, "</dd>\n", out);
}

/* ---- Cells of a table ---------------------------------------------------------------------------------------------------- */

static void box_begin(const char *class, const char *name, pg_buf *out)
{
    pg_buf_puts(out, "<div class=\"box\" role=\"region\" tabindex=\"0\" aria-label=\"");
    pg_report_text(name, out);
    pg_buf_printf(out, "\"><table class=\"%s\">\n", class);
}

static bool is_shown(const pg_report_cells *cells, size_t m) { return cells->shown >> m & 1; }

void pg_report_cells_begin(const pg_table *table, pg_report_cells *cells, pg_buf *out)
{
    *cells = (pg_report_cells){.table = table};
    for (size_t i = 0; i < table->n_entries; i++)
        for (size_t m = 0; m < table->n_metrics; m++)
            if (table->entries[i].n > 0 && pg_metric_of(table->metrics[m], &table->entries[i]) >= 0)
                cells->shown |= (uint64_t)1 << m;
    box_begin("sortable cells", table->title != NULL ? table->title : "cells", out);
    wrapped("<thead><tr><th scope=\"col\">", table->row_key, "</th>", out);
    wrapped("<th scope=\"col\">", table->column_key, "</th>", out);
    for (size_t m = 0; m < table->n_metrics; m++) {
        if (!is_shown(cells, m))
            continue;
        wrapped("<th scope=\"col\" title=\"", table->metrics[m]->summary, "\">", out);
        wrapped("", table->metrics[m]->label, table->metrics[m]->kind == PG_METRIC_SHARE ? " %" : "", out);
        pg_buf_puts(out, "</th>");
    }
    pg_buf_puts(out, "<th scope=\"col\">images</th></tr></thead>\n");
}

/* The first part of a label, and the others smaller below it. */
static void add_label(const char *label, pg_buf *out)
{
    size_t first = strcspn(label, "\n");
    pg_buf part;
    pg_buf_init(&part);
    pg_buf_add(&part, label, first);
    pg_report_text(part.data, out);
    pg_buf_release(&part);
    if (label[first] == '\0')
        return;
    pg_buf_puts(out, " <small>");
    add_text(label + first + 1, ", ", out);
    pg_buf_puts(out, "</small>");
}

/* A share with its interval and a bar that shows both; `paper` is the publication's, NaN for none. */
static void add_share(int64_t count, int64_t n, bool best, double paper, pg_buf *out)
{
    pg_interval share = pg_wilson(count, n);
    double value = 100 * share.value, lo = 100 * share.lo, hi = 100 * share.hi;
    pg_buf_printf(out, "%s%.2f%s <small>%.2f&#8211;%.2f</small>", best ? "<b>" : "", pg_percent(count, n, 2),
                  best ? "</b>" : "", lo, hi);
    if (!isnan(paper))
        pg_buf_printf(out, " <small>paper %.1f, %+.1f</small>", paper, pg_percent(count, n, 1) - paper);
    pg_buf_printf(
        out,
        "<svg class=\"bar\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect width=\"100\" "
        "height=\"6\" class=\"all\"/><rect width=\"%.2f\" height=\"6\"/><rect x=\"%.2f\" y=\"2\" width=\"%.2f\" "
        "height=\"2\" class=\"range\"/></svg>",
        value, lo, hi - lo);
}

/* A cell with a number by which it sorts, and its heading, which a phone shows beside it. */
static void number_begin(const char *label, const char *value, pg_buf *out)
{
    wrapped("<td class=\"n\" data-l=\"", label, "\"", out);
    pg_buf_printf(out, " data-v=\"%s\">", value);
}

static void add_metric(const pg_table *table, size_t m, const pg_table_entry *entry, pg_buf *out)
{
    const pg_metric *metric = table->metrics[m];
    int64_t count = pg_metric_of(metric, entry);
    bool there = entry->n > 0 && count >= 0, share = metric->kind == PG_METRIC_SHARE;
    char value[32] = "";
    if (there && metric->kind == PG_METRIC_COUNT)
        snprintf(value, sizeof value, "%" PRId64, count);
    else if (there)
        snprintf(value, sizeof value, "%.6f", share ? 100 * pg_wilson(count, entry->n).value : pg_grid_value(count));
    number_begin(metric->label, value, out);
    if (there && share)
        add_share(count, entry->n, table->best && pg_table_leads(table, m, entry), entry->paper ? entry->paper[m] : NAN, out);
    else
        pg_buf_puts(out, there ? value : "&#8211;");
    pg_buf_puts(out, "</td>");
}

void pg_report_cell(const pg_report_cells *cells, const pg_table_entry *entry, const char *anchor, const char *id,
                    const char *state, const pg_buf *details, pg_buf *out)
{
    const pg_table *table = cells->table;
    char n[24];
    size_t columns = 3;
    pg_buf_puts(out, "<tbody><tr><th scope=\"row\">");
    add_label(entry->row, out);
    wrapped("</th><td data-l=\"", table->column_key, "\">", out);
    add_label(entry->column, out);
    pg_buf_puts(out, "</td>");
    for (size_t m = 0; m < table->n_metrics; m++)
        if (is_shown(cells, m)) {
            add_metric(table, m, entry, out);
            columns++;
        }
    snprintf(n, sizeof n, "%" PRId64, entry->n);
    number_begin("images", n, out);
    pg_buf_puts(out, n);
    if (entry->n < entry->expected)
        pg_buf_printf(out, "* <small>of %" PRId64 "</small>", entry->expected);
    pg_buf_printf(out, "</td></tr>\n<tr class=\"more\"><td colspan=\"%zu\"><details id=\"%s\"><summary><code>%.12s</code> ",
                  columns, anchor, id);
    wrapped("<span class=\"", state, "\">", out);
    wrapped("", state, "</span></summary>\n<div class=\"origin\">", out);
    pg_buf_add(out, details->data, details->size);
    pg_buf_puts(out, "</div></details></td></tr></tbody>\n");
}

int pg_report_cells_end(const pg_report_cells *cells, pg_buf *out)
{
    pg_buf notes;
    pg_buf_init(&notes);
    pg_table_notes(cells->table, PG_TABLE_TEXT, &notes);
    int code = pg_buf_check(&notes);
    pg_buf_puts(
        out, "</table></div>\n<ul class=\"notes\">\n<li>small numbers: 95% Wilson intervals; open a row for the origin of its "
             "numbers</li>\n<li>a certificate is about an image at its place of a batch of that size, on the machine and BLAS "
             "that computed "
             "it: elsewhere local logits round otherwise</li>\n");
    for (char *line = notes.data, *end; code == PG_OK && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        wrapped("<li>", line, "</li>\n", out);
    }
    pg_buf_puts(out, "</ul>\n");
    pg_buf_release(&notes);
    return code != PG_OK ? code : pg_buf_check(out);
}

/* ---- Lists --------------------------------------------------------------------------------------------------------------- */

/* A decimal number and nothing else. */
static bool is_number(const char *text)
{
    static const char digits[] = "0123456789";
    text += *text == '-';
    size_t whole = strspn(text, digits), point = text[whole] == '.', part = point ? strspn(text + whole + 1, digits) : 0;
    return whole > 0 && (!point || part > 0) && text[whole + point + part] == '\0';
}

void pg_report_list_begin(pg_report_list *list, const char *const *heads, size_t n)
{
    *list = (pg_report_list){.heads = heads, .n = n, .texts = PG_BUF_EMPTY};
}

void pg_report_list_row(pg_report_list *list, const char *const *texts, const char *anchor)
{
    list->rows++;
    for (size_t i = 0; i <= list->n; i++) {
        const char *text = i > 0 ? texts[i - 1] : anchor != NULL ? anchor : "";
        pg_buf_add(&list->texts, text, strlen(text) + 1);
    }
}

/* The next of the texts in a row. */
static const char *next_text(const char **at)
{
    const char *text = *at;
    *at += strlen(text) + 1;
    return text;
}

static void write_row(const pg_report_list *list, const bool *shown, const char **at, pg_buf *out)
{
    const char *anchor = next_text(at);
    pg_buf_puts(out, "<tbody><tr>");
    for (size_t i = 0; i < list->n; i++) {
        const char *text = next_text(at);
        bool link = i == 0 && *anchor;
        if (!shown[i])
            continue;
        if (is_number(text))
            pg_buf_printf(out, "<td class=\"n\" data-v=\"%s\">", text);
        else
            pg_buf_puts(out, "<td>");
        if (link)
            pg_buf_printf(out, "<a href=\"#%s\">", anchor);
        wrapped("", text, link ? "</a></td>" : "</td>", out);
    }
    pg_buf_puts(out, "</tr></tbody>\n");
}

void pg_report_list_end(pg_report_list *list, pg_buf *out)
{
    bool shown[PG_REPORT_COLUMNS] = {false};
    const char *at = list->texts.data;
    out->failed |= list->texts.failed;
    for (size_t row = 0; row < list->rows && !out->failed; row++) {
        next_text(&at);
        for (size_t i = 0; i < list->n; i++)
            shown[i] |= *next_text(&at) != '\0';
    }
    if (list->rows > 0 && !out->failed) {
        box_begin("sortable", list->heads[0], out);
        pg_buf_puts(out, "<thead><tr>");
        for (size_t i = 0; i < list->n; i++)
            if (shown[i])
                wrapped("<th scope=\"col\">", list->heads[i], "</th>", out);
        pg_buf_puts(out, "</tr></thead>\n");
        at = list->texts.data;
        for (size_t row = 0; row < list->rows; row++)
            write_row(list, shown, &at, out);
        pg_buf_puts(out, "</table></div>\n");
    }
    pg_buf_release(&list->texts);
    list->rows = 0;
}

/* ---- Pictures ------------------------------------------------------------------------------------------------------------ */

static void add_base64(const void *bytes, size_t size, pg_buf *out)
{
    enum { PART = 3 * 1024 };
    unsigned char text[PART / 3 * 4 + 1];
    for (size_t at = 0; at < size; at += PART) {
        int part = size - at < PART ? (int)(size - at) : PART;
        int n = EVP_EncodeBlock(text, (const unsigned char *)bytes + at, part);
        pg_buf_add(out, text, (size_t)n);
    }
}

void pg_report_pictures_begin(bool small, pg_buf *out)
{
    pg_buf_puts(out, small ? "<div class=\"sheet\">\n" : "<div class=\"figures\">\n");
}
void pg_report_pictures_end(pg_buf *out) { pg_buf_puts(out, "</div>\n"); }

void pg_report_picture_add(const pg_report_picture *p, pg_buf *out)
{
    pg_buf_puts(out, p->marked ? "<figure class=\"marked\"" : "<figure");
    if (p->file != NULL)
        wrapped(" data-file=\"", p->file, "\"", out);
    if (p->verdict != NULL) {
        wrapped(" data-verdict=\"", p->verdict, "\" data-class=\"", out);
        wrapped("", p->class, "\"", out);
    }
    pg_buf_puts(out, "><div class=\"frame\">");
    wrapped("<img decoding=\"async\" alt=\"", p->name, "\"", out);
    if (p->width > 0)
        pg_buf_printf(out, " width=\"%d\" height=\"%d\"", p->width, p->height);
    pg_buf_printf(out, " src=\"data:%s;base64,", p->type);
    add_base64(p->bytes, p->size, out);
    pg_buf_puts(out, "\"></div>");
    if (p->caption != NULL)
        wrapped("<figcaption>", p->caption, "</figcaption>", out);
    pg_buf_puts(out, "</figure>\n");
}

/* ---- The page ------------------------------------------------------------------------------------------------------------ */

/* "'sha256-...'": what a policy calls an inline text by. */
static int add_source(const char *text, pg_buf *out)
{
    char hex[PG_HASH_HEX];
    unsigned char hash[(PG_HASH_HEX - 1) / 2];
    int code = pg_hash_bytes(text, strlen(text), hex);
    for (size_t i = 0; code == PG_OK && i < sizeof hash; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return pg_fail(PG_EDAMAGED, "a hash is no hash: %s", hex);
        hash[i] = (unsigned char)byte;
    }
    if (code != PG_OK)
        return code;
    pg_buf_puts(out, "'sha256-");
    add_base64(hash, sizeof hash, out);
    pg_buf_puts(out, "'");
    return PG_OK;
}

int pg_report_page(const char *title, const pg_buf *body, pg_buf *out)
{
    pg_buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src ");
    int code = add_source(pg_report_style, out);
    pg_buf_puts(out, "; script-src ");
    if (code == PG_OK)
        code = add_source(pg_report_script, out);
    pg_buf_puts(out, "; img-src data:; base-uri 'none'; form-action 'none'\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    wrapped("<title>", title, "</title>\n", out);
    pg_buf_printf(out, "<style>%s</style>\n</head>\n<body>\n", pg_report_style);
    wrapped("<header><h1>", title, "</h1></header>\n<main>\n", out);
    pg_buf_add(out, body->data, body->size);
    pg_buf_printf(out, "</main>\n<script>%s</script>\n</body>\n</html>\n", pg_report_script);
    if (code == PG_OK)
        code = pg_buf_check(body);
    return code != PG_OK ? code : pg_buf_check(out);
}
