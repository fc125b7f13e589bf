/* Reading and expanding matrix files. See matrix.h. */
#include "harness/plan/matrix.h"

#include "harness/base/names.h"
#include "harness/base/option.h"
#include "harness/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBLEMS_MAX = 100 };

void pg_problems_init(pg_problems *problems, const char *path)
{
    *problems = (pg_problems){.path = path, .text = PG_BUF_EMPTY};
}

void pg_problems_release(pg_problems *problems) { pg_buf_release(&problems->text); }

void pg_problem(pg_problems *problems, int line, const char *key, const char *format, ...)
{
    char text[PG_MESSAGE_MAX + 128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pg_buf made = PG_BUF_EMPTY;
    if (line > 0 && problems->options)
        pg_buf_printf(&made, "--%s%s: %s\n", strchr(key, '.') ? "set " : "", key, text);
    else if (line > 0)
        pg_buf_printf(&made, "%s:%d: %s\n", problems->path, line, text);
    else
        pg_buf_printf(&made, "-S %s: %s\n", key, text);
    if (made.data) {
        pg_text_clean(made.data);
        made.size = strlen(made.data);
    }
    if (!strstr(problems->text.data, made.data)) { /* no line twice */
        if (++problems->n <= PROBLEMS_MAX)
            pg_buf_add(&problems->text, made.data, made.size);
    }
    pg_buf_release(&made);
}

/* ---- Old names ---- */

/* `old` and `today` name the same key or value: a matrix uses one of them. */
static int refuse_both(const char *path, const char *what, const char *old, int old_line, const char *today, int today_line)
{
    return pg_fail(PG_EINPUT, "%s:%d: %s \"%s\" is the old name of \"%s\" in line %d; use one name", path, old_line, what, old,
                   today, today_line);
}

static int check_value(const char *path, const pg_toml *toml, const char *key, const pg_toml_value *value)
{
    char room[PG_KEY_MAX];
    const char *today = pg_value_today(key, value->text);
    for (size_t i = 0; strcmp(today, value->text) != 0 && i < toml->n; i++) {
        const pg_toml_entry *e = &toml->entries[i];
        for (size_t k = 0; strcmp(pg_key_today(e->key, room), key) == 0 && k < e->n; k++)
            if (strcmp(e->values[k].text, today) == 0)
                return refuse_both(path, key, value->text, value->line, today, e->values[k].line);
    }
    return PG_OK;
}

static int check_entry(const char *path, const pg_toml *toml, const pg_toml_entry *e)
{
    char room[PG_KEY_MAX];
    const char *key = pg_key_today(e->key, room);
    for (size_t i = 0; strcmp(key, e->key) != 0 && i < toml->n; i++)
        if (strcmp(toml->entries[i].key, key) == 0)
            return refuse_both(path, "key", e->key, e->line, key, toml->entries[i].line);
    int code = PG_OK;
    for (size_t k = 0; code == PG_OK && k < e->n; k++)
        code = check_value(path, toml, key, &e->values[k]);
    return code;
}

static int rename_text(char **text, const char *today)
{
    if (strcmp(*text, today) == 0)
        return PG_OK;
    char *copy = strdup(today);
    if (!copy)
        return pg_fail(PG_ENOMEM, "matrix: out of memory");
    free(*text);
    *text = copy;
    return PG_OK;
}

static int rename_to_today(const char *path, pg_toml *toml)
{
    char room[PG_KEY_MAX];
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < toml->n; i++)
        code = check_entry(path, toml, &toml->entries[i]);
    for (size_t i = 0; code == PG_OK && i < toml->n; i++) {
        pg_toml_entry *e = &toml->entries[i];
        code = rename_text(&e->key, pg_key_today(e->key, room));
        for (size_t k = 0; code == PG_OK && k < e->n; k++)
            code = rename_text(&e->values[k].text, pg_value_today(e->key, e->values[k].text));
    }
    return code;
}

/* ---- From the file to keys and walks ---- */

static const char *const sections[] = {"fixed", "axes", "zip", "exclude", NULL};

static void check_section(const pg_toml_entry *e, pg_problems *problems)
{
    bool known = false, many = e->table >= 0;
    for (int i = 0; sections[i]; i++)
        known |= strcmp(e->section, sections[i]) == 0;
    if (!known) {
        const char *near = pg_nearest(e->section, sections);
        pg_problem(problems, e->line, e->key, "unknown section \"%s\"%s%s%s; there are [fixed], [axes], [[zip]], [[exclude]]",
                   e->section, near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    } else if (many != (strcmp(e->section, "zip") == 0 || strcmp(e->section, "exclude") == 0)) {
        pg_problem(problems, e->line, e->key, many ? "write [%s], there is only one" : "write [[%s]], there may be several",
                   e->section);
    }
}

static void read_top(const pg_toml_entry *e, pg_matrix *m, pg_problems *problems)
{
    if (strcmp(e->key, "name") != 0) {
        pg_problem(problems, e->line, e->key,
                   "key \"%s\" stands outside the sections, where only `name` does; write it under [fixed]", e->key);
    } else if (e->array || !*e->values[0].text || strlen(e->values[0].text) > 200) {
        pg_problem(problems, e->line, e->key, "name is one text of 1 to 200 bytes");
    } else {
        free(m->name);
        m->name = strdup(e->values[0].text);
    }
}

static pg_matrix_key *find_key(pg_matrix *m, const char *key)
{
    for (size_t i = 0; i < m->n_keys; i++)
        if (strcmp(m->keys[i].key, key) == 0)
            return &m->keys[i];
    return NULL;
}

static void add_key(pg_matrix *m, const pg_toml_entry *e, size_t walk, pg_problems *problems)
{
    pg_matrix_key *before = find_key(m, e->key);
    if (before) {
        pg_problem(problems, e->line, e->key, "\"%s\" is given twice, first in line %d", e->key, before->line);
        return;
    }
    if (e->n == 0) {
        pg_problem(problems, e->line, e->key, "\"%s\" is an empty list; it would leave no rows", e->key);
        return;
    }
    m->keys[m->n_keys++] = (pg_matrix_key){.key = e->key, .line = e->line, .walk = walk, .n = e->n, .values = e->values};
}

static void add_entry(pg_matrix *m, const pg_toml_entry *e, int *zip, size_t *zip_walk, pg_problems *problems)
{
    if (!*e->section) {
        read_top(e, m, problems);
        return;
    }
    check_section(e, problems);
    if (!*e->key || strcmp(e->section, "exclude") == 0)
        return;
    bool zipped = strcmp(e->section, "zip") == 0;
    if (strcmp(e->section, "fixed") == 0 && e->array) {
        pg_problem(problems, e->line, e->key, "\"%s\" is a list; lists stand under [axes]", e->key);
        return;
    }
    if (!zipped || e->table != *zip) {
        m->walks[m->n_walks] = (pg_matrix_walk){.steps = e->n, .line = e->line};
        *zip_walk = m->n_walks++;
        *zip = zipped ? e->table : *zip;
    } else if (m->walks[*zip_walk].steps != e->n) {
        pg_problem(problems, e->line, e->key, "\"%s\" has %zu values, the list it is zipped with in line %d has %zu", e->key,
                   e->n, m->walks[*zip_walk].line, m->walks[*zip_walk].steps);
        return;
    }
    add_key(m, e, *zip_walk, problems);
}

/* ---- Overrides ---- */

/* Ends the value that begins at `text` at its comma and takes the backslashes out before commas and backslashes; the text
 * behind it, NULL at the end. */
static char *end_value(char *text)
{
    char *to = text;
    while (*text && *text != ',') {
        text += *text == '\\' && (text[1] == ',' || text[1] == '\\');
        *to++ = *text++;
    }
    char *next = *text ? text + 1 : NULL;
    *to = 0;
    return next;
}

/* "a,b" -> values, "a\,b" -> one; the copy of the text and the array stay with the matrix. */
static int split_values(pg_matrix *m, const char *key, const char *text, pg_toml_value **out, size_t *n)
{
    size_t count = 1;
    for (const char *c = text; *c; c++)
        count += *c == ',';
    char *copy = strdup(text);
    pg_toml_value *values = calloc(count, sizeof *values);
    if (!copy || !values) {
        free(copy);
        free(values);
        return pg_fail(PG_ENOMEM, "-S: out of memory");
    }
    m->owned[m->n_owned++] = copy;
    m->owned[m->n_owned++] = (char *)values;
    *n = 0;
    for (char *item = copy; item; (*n)++) {
        char *next = end_value(item);
        values[*n].text = (char *)pg_value_today(key, item);
        item = next;
    }
    *out = values;
    return PG_OK;
}

/* The key of "key=values" with the name of today: *new*. */
static char *key_of(const char *override)
{
    char room[PG_KEY_MAX], *written = strndup(override, strcspn(override, "=")), *today = NULL;
    if (written)
        today = strdup(pg_key_today(written, room));
    free(written);
    return today;
}

/* Whether an override before this one is of the same key. */
static bool named_before(const pg_matrix *m, const char *key)
{
    for (size_t k = 0; k < m->n_keys; k++)
        if (m->keys[k].line == 0 && strcmp(m->keys[k].key, key) == 0)
            return true;
    return false;
}

static int apply_override(pg_matrix *m, const char *override, pg_problems *problems)
{
    const char *equals = strchr(override, '=');
    if (!equals || equals == override)
        return pg_fail(PG_EUSAGE, "-S %s: write KEY=VALUE[,VALUE]...", override);
    char *name = key_of(override);
    if (!name)
        return pg_fail(PG_ENOMEM, "-S: out of memory");
    m->owned[m->n_owned++] = name;
    if (named_before(m, name))
        return pg_fail(PG_EUSAGE, "-S %s: its key is given twice", override);
    pg_toml_value *values = NULL;
    size_t n = 0;
    int code = split_values(m, name, equals + 1, &values, &n);
    if (code != PG_OK)
        return code;
    pg_matrix_key *key = find_key(m, name);
    if (!key) {
        m->walks[m->n_walks] = (pg_matrix_walk){.steps = n};
        m->keys[m->n_keys++] = (pg_matrix_key){.key = name, .walk = m->n_walks++, .n = n, .values = values};
        return PG_OK;
    }
    size_t sharing = 0;
    for (size_t i = 0; i < m->n_keys; i++)
        sharing += m->keys[i].walk == key->walk;
    if (sharing > 1 && n == 1) { /* one value does not walk */
        m->walks[m->n_walks] = (pg_matrix_walk){.steps = 1};
        key->walk = m->n_walks++;
    } else if (sharing > 1 && n != m->walks[key->walk].steps)
        pg_problem(problems, 0, name, "%zu values, but the lists it is zipped with have %zu", n, m->walks[key->walk].steps);
    m->walks[key->walk].steps = n;
    key->values = values;
    key->n = n;
    key->line = 0;
    return PG_OK;
}

static void count_rows(pg_matrix *m, pg_problems *problems)
{
    m->rows = 1;
    for (size_t i = 0; i < m->n_walks; i++) {
        if (__builtin_mul_overflow(m->rows, m->walks[i].steps, &m->rows) || m->rows > PG_MATRIX_ROWS_MAX) {
            pg_problem(problems, m->walks[i].line > 0 ? m->walks[i].line : 1, "", "the matrix has more than %d rows; split it",
                       (int)PG_MATRIX_ROWS_MAX);
            m->rows = 0;
            return;
        }
    }
}

int pg_matrix_read(const char *path, const char *text, size_t size, const char *const *overrides, size_t n_overrides,
                   pg_problems *problems, pg_matrix *out)
{
    *out = (pg_matrix){0};
    int code = pg_toml_parse(path, text, size, &out->toml);
    if (code == PG_OK)
        code = rename_to_today(path, &out->toml);
    if (code != PG_OK) {
        pg_toml_release(&out->toml);
        return code;
    }
    size_t most = out->toml.n + n_overrides + 1;
    out->keys = calloc(most, sizeof *out->keys);
    out->walks = calloc(most, sizeof *out->walks);
    out->owned = calloc(3 * n_overrides + 1, sizeof *out->owned);
    if (!out->keys || !out->walks || !out->owned)
        code = pg_fail(PG_ENOMEM, "%s: out of memory", path);
    int zip = -1;
    size_t zip_walk = 0;
    for (size_t i = 0; code == PG_OK && i < out->toml.n; i++)
        add_entry(out, &out->toml.entries[i], &zip, &zip_walk, problems);
    for (size_t i = 0; code == PG_OK && i < n_overrides; i++)
        code = apply_override(out, overrides[i], problems);
    if (code == PG_OK)
        count_rows(out, problems);
    if (code != PG_OK)
        pg_matrix_release(out);
    return code;
}

void pg_matrix_release(pg_matrix *m)
{
    for (size_t i = 0; i < m->n_owned; i++)
        free(m->owned[i]);
    free(m->owned);
    free(m->keys);
    free(m->walks);
    free(m->name);
    pg_toml_release(&m->toml);
    *m = (pg_matrix){0};
}

/* ---- Rows ---- */

bool pg_matrix_varies(const pg_matrix *m, size_t key)
{
    if (m->keys[key].n > 1)
        return true;
    for (size_t i = 0; i < m->toml.n; i++) {
        const pg_toml_entry *e = &m->toml.entries[i];
        if (e->key == m->keys[key].key) /* the same string: keys borrow it */
            return strcmp(e->section, "fixed") != 0;
    }
    return false;
}

void pg_matrix_string(pg_buf *out, const char *text)
{
    pg_buf_puts(out, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            pg_buf_printf(out, "\\u%04x", c);
        else
            pg_buf_printf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    pg_buf_puts(out, "\"");
}

bool pg_matrix_same_value(const char *a, const char *b)
{
    double x, y;
    return strcmp(a, b) == 0 || (pg_parse_double(a, &x) == PG_OK && pg_parse_double(b, &y) == PG_OK && x == y);
}

static bool matches(const pg_matrix *m, const pg_toml_entry *e, const pg_toml_value **values)
{
    for (size_t k = 0; k < m->n_keys; k++)
        if (strcmp(m->keys[k].key, e->key) == 0)
            for (size_t i = 0; i < e->n; i++)
                if (pg_matrix_same_value(values[k]->text, e->values[i].text))
                    return true;
    return false;
}

static bool excluded(const pg_matrix *m, const pg_toml_value **values)
{
    for (size_t i = 0; i < m->toml.n;) {
        const pg_toml_entry *e = &m->toml.entries[i];
        if (strcmp(e->section, "exclude") != 0) {
            i++;
            continue;
        }
        int table = e->table;
        bool all = *e->key; /* an empty [[exclude]] excludes nothing */
        for (; i < m->toml.n && strcmp(m->toml.entries[i].section, "exclude") == 0 && m->toml.entries[i].table == table; i++)
            all = all && matches(m, &m->toml.entries[i], values);
        if (all)
            return true;
    }
    return false;
}

bool pg_matrix_row(const pg_matrix *m, size_t row, const pg_toml_value **values)
{
    size_t below = m->rows;
    for (size_t w = 0; w < m->n_walks; w++) {
        below /= m->walks[w].steps;
        size_t step = row / below % m->walks[w].steps;
        for (size_t k = 0; k < m->n_keys; k++)
            if (m->keys[k].walk == w)
                values[k] = &m->keys[k].values[step];
    }
    return !excluded(m, values);
}
