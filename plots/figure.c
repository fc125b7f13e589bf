/* What all figures share: their list, text, labels and words. See figure.h. */
#include "harness/base/option.h"
#include "harness/base/text.h"
#include "plots/figure.h"

#include <stdio.h>
#include <string.h>

/* An empty text: a line without anything would end a block of the data file. */
#define NOTHING "\"\""

enum { TITLE_MAX = 160, FIXED_MAX = 240, LISTED_MAX = 40 };

int pg_figure_find(const char *name, const pg_figure **out)
{
    const char *names[64] = {NULL};
    for (size_t i = 0; pg_figures[i] != NULL && i + 1 < sizeof names / sizeof *names; i++) {
        if (strcmp(pg_figures[i]->name, name) == 0) {
            *out = pg_figures[i];
            return PG_OK;
        }
        names[i] = pg_figures[i]->name;
    }
    const char *near = pg_nearest(name, names);
    return pg_fail(PG_EINPUT, "unknown figure '%s'%s%s%s; `patchgauge help plot` lists them", name,
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

void pg_figure_text(const char *label, pg_buf *out)
{
    for (const char *c = label; *c != '\0';) {
        if (*c == '>' && c >= label + 2 && c[-1] == ']' && c[-2] == ']')
            pg_buf_puts(out, " "); /* the three together end a section of an XML file */
        if (strchr("\n\"\\", *c) == NULL) {
            c += pg_text_add(c, out);
            continue;
        }
        pg_buf_puts(out, *c == '\n' ? ", " : *c == '"' ? "'" : "/");
        c++;
    }
}

size_t pg_figure_text_cut(const char *label, size_t max, pg_buf *out)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_figure_text(label, &text);
    size_t n = 0, cut = 0;
    for (size_t i = 0; i < text.size; i++) {
        n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
        cut = n <= max - 3 ? i + 1 : cut;
    }
    if (n > max)
        pg_buf_printf(out, "%.*s...", (int)cut, text.data);
    else
        pg_buf_puts(out, text.data);
    pg_buf_release(&text);
    return n > max ? max : n;
}

/* NEW of the style's "OLD=NEW" where OLD is these `size` bytes, which may hold a "="; NULL: none. */
static const char *find_new(pg_figure_data *parts, const char *old, size_t size)
{
    for (size_t i = 0; size > 0 && parts->style != NULL && i < parts->style->n_labels; i++) {
        const char *label = parts->style->labels[i];
        if (strlen(label) <= size || memcmp(label, old, size) != 0 || label[size] != '=')
            continue;
        parts->used[i] = true;
        return label + size + 1;
    }
    return NULL;
}

/* A label, or a word of a script, that could be renamed. */
static void see(pg_figure_data *parts, const char *label, size_t size)
{
    const char *before = parts->seen.data;
    for (const char *at = before; (at = memmem(at, strlen(at), label, size)) != NULL; at++)
        if ((at == before || at[-1] == '\n') && at[size] == '\n')
            return;
    pg_buf_add(&parts->seen, label, size);
    pg_buf_puts(&parts->seen, "\n");
}

size_t pg_figure_label(pg_figure_data *parts, const char *label, size_t max, pg_buf *out)
{
    pg_buf text = PG_BUF_EMPTY, renamed = PG_BUF_EMPTY;
    pg_figure_text(label, &text);
    const char *old = text.data, *new = find_new(parts, old, text.size);
    if (new != NULL)
        pg_buf_puts(&renamed, new);
    for (size_t part; new == NULL &&*old != '\0'; old += part) {
        const char *comma = strstr(old, ", ");
        part = comma != NULL ? (size_t)(comma - old) : strlen(old);
        const char *other = find_new(parts, old, part);
        see(parts, old, part);
        if (other != NULL)
            pg_buf_puts(&renamed, other);
        else
            pg_buf_add(&renamed, old, part);
        part += comma != NULL ? 2 : 0;
        pg_buf_puts(&renamed, comma != NULL ? ", " : "");
    }
    size_t n = pg_figure_text_cut(renamed.data, max, out);
    if (renamed.size == 0)
        pg_buf_puts(out, NOTHING);
    out->failed |= text.failed || renamed.failed;
    pg_buf_release(&text);
    pg_buf_release(&renamed);
    return n;
}

/* Behind the first n parts of a text. */
static const char *skip(const char *text, char separator, size_t n)
{
    for (; n > 0; n--) {
        const char *end = strchr(text, separator);
        text = end != NULL ? end + 1 : text + strlen(text);
    }
    return text;
}

static bool share(const char *const *rows, size_t n, size_t part)
{
    const char *first = skip(rows[0], '\n', part);
    size_t size = strcspn(first, "\n");
    bool all = size > 0;
    for (size_t i = 1; all && i < n; i++) {
        const char *other = skip(rows[i], '\n', part);
        all = strcspn(other, "\n") == size && memcmp(other, first, size) == 0;
    }
    return all;
}

void pg_figure_share(pg_figure_data *parts, const char *keys, const char *const *rows, size_t n)
{
    size_t shared = 0;
    while (n > 0 && share(rows, n, shared))
        shared++;
    if (shared == 0)
        return;
    const char *rest = skip(rows[0], '\n', shared);
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_add(&text, rows[0], (size_t)(rest - rows[0]) - (rest[0] != '\0'));
    pg_figure_row(parts, keys, text.data, FIXED_MAX, &parts->data);
    pg_buf_puts(&parts->data, "; ");
    parts->data.failed |= text.failed;
    pg_buf_release(&text);
    parts->shared = shared;
}

size_t pg_figure_row(pg_figure_data *parts, const char *keys, const char *label, size_t max, pg_buf *out)
{
    pg_buf text = PG_BUF_EMPTY;
    keys = skip(keys, ',', parts->shared);
    label = skip(label, '\n', parts->shared);
    for (;;) {
        size_t key = strcspn(keys, ","), part = strcspn(label, "\n");
        bool plain = key == 0 || (key == 7 && (memcmp(keys, "defense", 7) == 0 || memcmp(keys, "weights", 7) == 0 ||
                                               memcmp(keys, "dataset", 7) == 0));
        if (!plain)
            pg_buf_printf(&text, "%.*s ", (int)key, keys);
        pg_buf_add(&text, label, part);
        keys += key + (keys[key] != '\0');
        label += part;
        if (*label == '\0')
            break;
        pg_buf_add(&text, label++, 1);
    }
    size_t n = pg_figure_label(parts, text.data, max, out);
    out->failed |= text.failed;
    pg_buf_release(&text);
    return n;
}

size_t pg_figure_cell(pg_figure_data *parts, const pg_table *table, const pg_table_entry *entry, size_t max, pg_buf *out)
{
    pg_buf label = PG_BUF_EMPTY;
    pg_buf_puts(&label, entry->row);
    if (entry->column[0] != '\0')
        pg_buf_printf(&label, "%s%.*s %s", entry->row[0] != '\0' ? "\n" : "", (int)strcspn(table->column_key, ","),
                      table->column_key, entry->column);
    size_t n = pg_figure_row(parts, entry->row[0] != '\0' ? table->row_key : "", label.data, max, out);
    out->failed |= label.failed;
    pg_buf_release(&label);
    return n;
}

void pg_figure_title(const pg_table *table, const char *fallback, pg_figure_data *out)
{
    const char *title = table->title != NULL ? table->title : fallback;
    if (out->style != NULL && out->style->title != NULL)
        title = out->style->title;
    pg_figure_text_cut(title, TITLE_MAX, &out->data);
    pg_buf_puts(&out->data, "\t");
    if (table->fixed != NULL && table->fixed[0] != '\0') {
        pg_figure_text_cut(table->fixed, FIXED_MAX, &out->data);
        pg_buf_puts(&out->data, "; ");
    }
}

void pg_figure_count(const pg_table *table, bool (*taken)(const pg_table_entry *entry), pg_buf *out)
{
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (taken != NULL && !taken(e))
            continue;
        least = e->n < least ? e->n : least;
        most = e->n > most ? e->n : most;
    }
    if (least >= most)
        pg_buf_printf(out, "n = %lld image%s", (long long)most, most == 1 ? "" : "s");
    else
        pg_buf_printf(out, "n = %lld to %lld images: not all cells are complete", (long long)least, (long long)most);
}

void pg_figure_data_init(pg_figure_data *parts)
{
    *parts = (pg_figure_data){.data = PG_BUF_EMPTY, .prelude = PG_BUF_EMPTY, .seen = PG_BUF_EMPTY};
}

void pg_figure_data_release(pg_figure_data *parts)
{
    pg_buf_release(&parts->data);
    pg_buf_release(&parts->prelude);
    pg_buf_release(&parts->seen);
}

/* The words of a script are those it says: say("clean"). What renames them goes behind the title, old and new, one a line. */
static int rename_words(const char *script, pg_figure_data *parts)
{
    pg_buf lines = PG_BUF_EMPTY;
    for (const char *at = script; (at = strstr(at, "say(\"")) != NULL;) {
        at += 5;
        size_t size = strcspn(at, "\"");
        bool told = false;
        for (const char *before = script; before + 5 < at && !told; before++)
            told = memcmp(before, "say(\"", 5) == 0 && before + 5 != at && memcmp(before + 5, at, size + 1) == 0;
        const char *new = told ? NULL : find_new(parts, at, size);
        see(parts, at, size);
        if (new == NULL)
            continue;
        pg_buf_printf(&lines, "%.*s\t", (int)size, at);
        pg_figure_text(new, &lines);
        pg_buf_puts(&lines, "\n");
        parts->renames++;
    }
    int code = pg_buf_check(&lines);
    if (code == PG_OK && lines.size > 0) {
        pg_buf data = PG_BUF_EMPTY;
        size_t first = strcspn(parts->data.data, "\n") + 1;
        pg_buf_add(&data, parts->data.data, first);
        pg_buf_puts(&data, lines.data);
        pg_buf_puts(&data, parts->data.data + first);
        pg_buf_release(&parts->data);
        parts->data = data;
    }
    pg_buf_release(&lines);
    return code == PG_OK ? pg_buf_check(&parts->data) : code;
}

int pg_figure_make(const pg_figure *figure, const pg_table *table, const pg_figure_style *style, pg_figure_data *out)
{
    pg_figure_data_init(out);
    out->style = style;
    int code = figure->write(table, out);
    if (code == PG_OK)
        code = pg_buf_check(&out->data);
    return code == PG_OK ? rename_words(figure->script, out) : code;
}

/* "clean, certified, mean" of the labels that some figure has. */
static void list_seen(const pg_figure_data *parts, size_t n, pg_buf *out)
{
    pg_figure_data all;
    pg_figure_data_init(&all);
    for (size_t i = 0; i < n; i++)
        for (const char *at = parts[i].seen.data; *at != '\0'; at += strcspn(at, "\n") + 1)
            see(&all, at, strcspn(at, "\n"));
    size_t listed = 0;
    for (const char *at = all.seen.data; *at != '\0'; at += strcspn(at, "\n") + 1, listed++)
        if (listed < LISTED_MAX)
            pg_buf_printf(out, "%s'%.*s'", listed > 0 ? ", " : "", (int)strcspn(at, "\n"), at);
    if (listed > LISTED_MAX)
        pg_buf_printf(out, " and %zu more", listed - LISTED_MAX);
    out->failed |= all.seen.failed;
    pg_figure_data_release(&all);
}

int pg_figure_check_labels(const pg_figure_style *style, const pg_figure_data *parts, size_t n)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < style->n_labels; i++) {
        bool used = false;
        for (size_t k = 0; k < n; k++)
            used |= parts[k].used[i];
        if (used)
            continue;
        pg_buf there = PG_BUF_EMPTY;
        list_seen(parts, n, &there);
        code = pg_fail(PG_EINPUT, "--label %s: nothing in the figure is called so; there are %s", style->labels[i], there.data);
        pg_buf_release(&there);
    }
    return code;
}
