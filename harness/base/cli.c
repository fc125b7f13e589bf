#include "harness/base/cli.h"

#include "harness/base/memory.h"
#include "harness/base/option.h"
#include "harness/base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GIVEN_MAX = 256, NAMES_MAX = 160 };

/* An option as it stands on the command line, or an operand. */
typedef struct item {
    const pg_cli_row *row; /* NULL: an operand */
    const pg_option *sub;  /* of a TABLE row */
    const char *value;     /* NULL: none */
    bool by_letter;
} item;

typedef struct line {
    item *items;
    size_t n, room;
} line;

typedef struct scanner {
    const pg_cli *cli;
    char **argv;
    int argc, at;
    const char *letters; /* the letters of a bundle that are not yet parsed; NULL: none */
    bool closed;         /* "--" went by */
} scanner;

static bool takes_value(const item *x)
{
    if (x->sub)
        return x->row->kind == PG_CLI_TABLE || x->sub->type != PG_OPTION_BOOL;
    return x->row->kind != PG_CLI_FLAG && x->row->kind != PG_CLI_UNFLAG;
}
static bool has_subs(const pg_cli_row *row) { return row->kind == PG_CLI_TABLE || row->kind == PG_CLI_TABLES; }
static bool is_operand(const pg_cli_row *row) { return !row->name && !has_subs(row); }
static bool is_list(const pg_cli_row *row) { return row->kind == PG_CLI_TEXTS || row->kind == PG_CLI_TABLES; }
static void *field_of(const pg_cli_row *row, void *request) { return (char *)request + row->offset; }
static const pg_cli_row *row_at(const pg_cli_row *rows, size_t i) /* NULL: the end */
{
    return rows && rows[i].kind != PG_CLI_NONE ? &rows[i] : NULL;
}

const pg_option *pg_cli_sub(const pg_cli_row *row, size_t i)
{
    const pg_option *table = row->table;
    if (row->kind == PG_CLI_TABLE)
        return table[i].name ? &table[i] : NULL;
    for (size_t t = 0; row->table_at && (table = row->table_at(t)); t++)
        for (; table->name; table++)
            if (i-- == 0)
                return table;
    return NULL;
}

/* ---- Errors ---- */

/* As it was given: "--most 5", "-n 5", "--wrap=hw", "FILE x". */
static void spell_given(const item *x, char out[GIVEN_MAX])
{
    const char letter[2] = {x->row->letter, 0};
    const char *name = x->sub ? x->sub->name : x->by_letter ? letter : x->row->name ? x->row->name : x->row->argument;
    snprintf(out, GIVEN_MAX, "%s%s%s%s",
             x->by_letter             ? "-"
             : x->sub || x->row->name ? "--"
                                      : "",
             name,
             !x->value      ? ""
             : x->row->bare ? "="
                            : " ",
             x->value ? x->value : "");
}

static PG_PRINTF(2, 3) int fail(const pg_cli *cli, const char *format, ...)
{
    char text[PG_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return pg_fail(PG_EUSAGE, "%s%s%s", cli->name, *cli->name ? ": " : "", text);
}

/* Fails with a hint to the page of the command: "help", "help model". */
static int fail_see(const pg_cli *cli, const char *what, const char *then)
{
    return fail(cli, "%s: %s`patchgauge help%s%.*s`%s", what, *then ? "" : "see ", *cli->name ? " " : "",
                (int)strcspn(cli->name, " "), cli->name, then);
}

static int fail_usage(const pg_cli *cli, const char *what) { return fail(cli, "%s; usage: patchgauge %s", what, cli->usage); }

static size_t add_names(const pg_cli_row *rows, const char **names, size_t n)
{
    for (const pg_cli_row *row; (row = row_at(rows, 0)); rows++) {
        if (row->name && n < NAMES_MAX)
            names[n++] = row->name;
        const pg_option *sub;
        for (size_t i = 0; (sub = pg_cli_sub(row, i)) && n < NAMES_MAX; i++)
            names[n++] = sub->name;
    }
    return n;
}

int pg_cli_fail_unknown(const pg_cli *cli, const char *given)
{
    const char *names[NAMES_MAX + 1] = {NULL};
    char bare[64], what[GIVEN_MAX];
    (void)add_names(cli->globals, names, add_names(cli->rows, names, 0));
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(given, "="), given);
    const char *near = strncmp(given, "--", 2) == 0 ? pg_nearest(bare + 2, names) : NULL;
    snprintf(what, sizeof what, "unknown option '%s'", given);
    return near ? fail(cli, "%s: did you mean '--%s'?", what, near) : fail_see(cli, what, " lists the options");
}

static int fail_form(const pg_cli *cli, const item *x, const char *why)
{
    char given[GIVEN_MAX], what[2 * GIVEN_MAX];
    const item name = {.row = x->row, .sub = x->sub, .by_letter = x->by_letter};
    spell_given(&name, given);
    snprintf(what, sizeof what, "option '%s' %s", given, why);
    return fail_see(cli, what, "");
}

/* "text, md or csv" */
static void add_choices(const char *const *choices, pg_buf *out)
{
    for (int i = 0; choices[i]; i++)
        pg_buf_printf(out, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
}

static void add_expected(const pg_cli_row *row, pg_buf *out)
{
    if (row->kind == PG_CLI_CHOICE)
        add_choices(row->choices, out);
    else if (row->kind == PG_CLI_TEXT)
        pg_buf_puts(out, "a text that is not empty");
    else if (row->kind == PG_CLI_CALL)
        pg_buf_puts(out, row->expected);
    else
        pg_buf_printf(out, row->max == INT64_MAX ? "%s, %lld or more" : "%s from %lld to %lld",
                      row->kind == PG_CLI_SIZE ? "one number or HxW, each" : "a whole number", (long long)row->min,
                      (long long)row->max);
}

static int fail_value(const pg_cli *cli, const item *x)
{
    char given[GIVEN_MAX];
    const char *near = x->row->kind == PG_CLI_CHOICE ? pg_nearest(x->value, x->row->choices) : NULL;
    pg_buf right = PG_BUF_EMPTY;
    add_expected(x->row, &right);
    spell_given(x, given);
    int code = fail(cli, "%s: right would be %s%s%s%s", given, right.data, near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
    pg_buf_release(&right);
    return code;
}

/* ---- The words of the command line ---- */

/* The row of a long name, whole or, where that is allowed, cut; false: none, or several. */
static bool find_name(const pg_cli_row *rows, const char *given, size_t size, bool cut, item *out)
{
    const char *found = NULL;
    bool several = false;
    for (const pg_cli_row *row; (row = row_at(rows, 0)); rows++) {
        const pg_option *sub = pg_cli_sub(row, 0);
        for (size_t i = 0; i == 0 || (sub = pg_cli_sub(row, i)); i++) {
            const char *name = sub ? sub->name : row->name;
            if (!name || strncmp(name, given, size) != 0 || (name[size] && (!cut || (found && strcmp(found, name) == 0))))
                continue;
            *out = (item){.row = row, .sub = sub};
            if (!name[size])
                return true;
            several |= found != NULL;
            found = name;
        }
    }
    return found && !several;
}

static bool find_letter(const pg_cli_row *rows, char letter, item *out)
{
    for (; row_at(rows, 0); rows++)
        if (letter && rows->letter == letter) {
            *out = (item){.row = rows, .by_letter = true};
            return true;
        }
    return false;
}

/* The value of an option, where none is `joined` to it the next word. */
static int take_value(scanner *s, const char *joined, item *out)
{
    out->value = joined;
    if (!takes_value(out))
        return joined ? fail_form(s->cli, out, "takes no value") : PG_OK;
    if (!joined && !out->row->bare && s->at < s->argc)
        out->value = s->argv[s->at++];
    return out->value || out->row->bare ? PG_OK : fail_form(s->cli, out, "requires a value");
}

static int next_letter(scanner *s, item *out)
{
    char given[3] = {'-', *s->letters++, 0};
    if (!find_letter(s->cli->rows, given[1], out))
        return pg_cli_fail_unknown(s->cli, given);
    const char *joined = takes_value(out) && *s->letters ? s->letters : NULL;
    if (joined || !*s->letters)
        s->letters = NULL;
    return take_value(s, joined, out);
}

/* The next option or operand of the line, which has one. */
static int next(scanner *s, item *out)
{
    if (s->letters)
        return next_letter(s, out);
    char *word = s->argv[s->at++];
    if (s->closed || word[0] != '-' || !word[1]) {
        *out = (item){.value = word};
        return PG_OK;
    }
    if (word[1] != '-') {
        s->letters = word + 1;
        return next_letter(s, out);
    }
    size_t size = strcspn(word + 2, "=");
    if (!find_name(s->cli->rows, word + 2, size, true, out))
        return pg_cli_fail_unknown(s->cli, word);
    return take_value(s, word[2 + size] ? word + 3 + size : NULL, out);
}

static int add_item(const pg_cli *cli, line *l, const item *x)
{
    bool many = !x->row || x->row->kind == PG_CLI_TEXTS || x->row->again;
    for (size_t i = 0; !many && i < l->n; i++)
        if (l->items[i].row == x->row && l->items[i].sub == x->sub) {
            char first[GIVEN_MAX], again[GIVEN_MAX];
            spell_given(&l->items[i], first);
            spell_given(x, again);
            return fail(cli, "one option is given twice, as '%s' and '%s': leave one of them out", first, again);
        }
    item *items = pg_grow(l->items, l->n, &l->room, sizeof *items);
    if (!items)
        return PG_ENOMEM;
    l->items = items;
    l->items[l->n++] = *x;
    return PG_OK;
}

/* All of the line: unknown options, missing values and options that are given twice are told before anything is set. */
static int read_line(const pg_cli *cli, int argc, char **argv, line *l)
{
    scanner s = {.cli = cli, .argc = argc, .argv = argv};
    int code = PG_OK;
    while (code == PG_OK && (s.letters || s.at < argc)) {
        item x;
        if (!s.letters && !s.closed && strcmp(argv[s.at], "--") == 0) {
            s.closed = true;
            s.at++;
            continue;
        }
        code = next(&s, &x);
        if (code == PG_OK)
            code = add_item(cli, l, &x);
    }
    return code;
}

/* ---- Values ---- */

/* `room`: items that a list can have. */
static int add_text(const pg_cli_row *row, const char *value, size_t room, void *request)
{
    pg_texts *texts = field_of(row, request);
    if (!texts->items && !(texts->items = calloc(room, sizeof *texts->items)))
        return pg_fail(PG_ENOMEM, "out of memory");
    texts->items[texts->n++] = value;
    return PG_OK;
}

/* False: the value does not fit the row. */
static bool read_value(const pg_cli_row *row, const char *value, void *field)
{
    int64_t number;
    int size[2], index = 0;
    switch (row->kind) {
    case PG_CLI_FLAG:
    case PG_CLI_UNFLAG:
        *(bool *)field = row->kind == PG_CLI_FLAG;
        return true;
    case PG_CLI_TEXT:
        *(const char **)field = value;
        return (int64_t)strlen(value) >= row->min;
    case PG_CLI_INT:
        if (pg_parse_int(value, &number) != PG_OK || number < row->min || number > row->max)
            return false;
        *(int64_t *)field = number;
        return true;
    case PG_CLI_SIZE:
        if (pg_parse_size(value, &size[0], &size[1]) != PG_OK || size[0] > row->max || size[1] > row->max)
            return false;
        memcpy(field, size, sizeof size);
        return true;
    case PG_CLI_CHOICE:
        while (row->choices[index] && strcmp(row->choices[index], value) != 0)
            index++;
        *(int *)field = index;
        return row->choices[index] != NULL;
    default:
        return false;
    }
}

static int set_value(const pg_cli *cli, const item *x, size_t room, void *request)
{
    const pg_cli_row *row = x->row;
    void *field = field_of(row, request);
    if (row->kind == PG_CLI_TABLE)
        return pg_options_set(row->table, field, cli->name, x->sub->name, x->value);
    if (row->kind == PG_CLI_TABLES) {
        int code = add_text(row, x->sub->name, 2 * room, request);
        return code == PG_OK ? add_text(row, x->value ? x->value : "true", 2 * room, request) : code;
    }
    if (row->kind == PG_CLI_TEXTS)
        return add_text(row, x->value, room, request);
    int code = row->kind == PG_CLI_CALL ? row->set(x->value, field) : read_value(row, x->value, field) ? PG_OK : PG_EUSAGE;
    return code == PG_EUSAGE ? fail_value(cli, x) : code;
}

static void set_defaults(const pg_cli_row *rows, void *request)
{
    for (const pg_cli_row *row; (row = row_at(rows, 0)); rows++) {
        void *field = field_of(row, request);
        if (row->kind == PG_CLI_TABLE)
            pg_options_defaults(row->table, field);
        else if (row->kind == PG_CLI_INT && !row->fallback)
            *(int64_t *)field = row->absent;
        else if (row->kind == PG_CLI_CHOICE && !row->fallback)
            *(int *)field = (int)row->absent;
        else if (row->fallback) {
            bool good = row->set ? row->set(row->fallback, field) == PG_OK : read_value(row, row->fallback, field);
            assert(good && "the fallback of a row does not fit the row");
            (void)good;
        }
    }
}

/* Gives operands their rows, from the left; rows that are not required share what the required ones leave. */
static int place_operands(const pg_cli *cli, line *l)
{
    size_t spare = 0, at = 0;
    for (size_t i = 0; i < l->n; i++)
        spare += !l->items[i].row;
    for (size_t i = 0; row_at(cli->rows, i); i++)
        spare -= is_operand(&cli->rows[i]) && cli->rows[i].required && spare > 0;
    for (const pg_cli_row *row, *rows = cli->rows; (row = row_at(rows, 0)); rows++) {
        if (!is_operand(row))
            continue;
        size_t more = row->kind == PG_CLI_TEXTS ? spare : !row->required && spare > 0, take = row->required + more;
        for (spare -= more; take > 0; take--, at++) {
            while (at < l->n && l->items[at].row)
                at++;
            if (at == l->n) {
                char what[GIVEN_MAX];
                snprintf(what, sizeof what, "%s is missing", row->argument);
                return fail_usage(cli, what);
            }
            l->items[at].row = row;
        }
    }
    while (at < l->n && l->items[at].row)
        at++;
    if (at == l->n)
        return PG_OK;
    char what[GIVEN_MAX];
    snprintf(what, sizeof what, "one argument too many, '%s'", l->items[at].value);
    return fail_usage(cli, what);
}

static int check_required(const pg_cli *cli, const line *l)
{
    for (const pg_cli_row *row, *rows = cli->rows; (row = row_at(rows, 0)); rows++) {
        size_t i = 0;
        while (row->required && i < l->n && l->items[i].row != row)
            i++;
        if (row->required && i == l->n) {
            char name[GIVEN_MAX], what[2 * GIVEN_MAX];
            spell_given(&(item){.row = row, .by_letter = row->letter}, name);
            snprintf(what, sizeof what, "%s is missing", name);
            return fail_usage(cli, what);
        }
    }
    return PG_OK;
}

int pg_cli_parse(const pg_cli *cli, int argc, char **argv, void *request)
{
    line l = {0};
    set_defaults(cli->rows, request);
    int code = read_line(cli, argc, argv, &l);
    if (code == PG_OK)
        code = place_operands(cli, &l);
    if (code == PG_OK)
        code = check_required(cli, &l);
    for (size_t i = 0; code == PG_OK && i < l.n; i++)
        code = set_value(cli, &l.items[i], l.n, request);
    free(l.items);
    return code;
}

void pg_cli_release(const pg_cli_row *rows, void *request)
{
    for (; row_at(rows, 0); rows++)
        if (is_list(rows))
            free(((pg_texts *)field_of(rows, request))->items);
}

int pg_cli_take(const pg_cli_row *rows, int *argc, char **argv, void *request)
{
    const pg_cli cli = {.name = "", .rows = rows};
    scanner s = {.cli = &cli, .argc = *argc, .argv = argv};
    line l = {0};
    int code = PG_OK, kept = 0;
    set_defaults(rows, request);
    while (code == PG_OK && s.at < s.argc) {
        char *word = argv[s.at++];
        size_t size = strncmp(word, "--", 2) == 0 ? strcspn(word + 2, "=") : 0;
        item x;
        s.closed |= strcmp(word, "--") == 0;
        if (!s.closed && size > 0 && find_name(rows, word + 2, size, false, &x) && (!word[2 + size] || takes_value(&x)))
            code = take_value(&s, word[2 + size] ? word + 3 + size : NULL, &x);
        else if (s.closed || kept > 0 || word[0] != '-' || strlen(word) != 2 || !find_letter(rows, word[1], &x)) {
            argv[kept++] = word;
            continue;
        }
        if (code == PG_OK)
            code = add_item(&cli, &l, &x);
        if (code == PG_OK)
            code = set_value(&cli, &x, (size_t)s.argc, request);
    }
    argv[kept] = NULL;
    *argc = kept;
    free(l.items);
    return code;
}

/* ---- What is printed of a table ---- */

void pg_cli_spell(const pg_cli_row *row, pg_buf *out)
{
    if (row->letter)
        pg_buf_printf(out, "-%c, ", row->letter);
    if (row->name)
        pg_buf_printf(out, "--%s", row->name);
    if (row->argument)
        pg_buf_printf(out, row->bare ? "[=%s]" : row->name ? " %s" : "%s", row->argument);
}

void pg_cli_describe(const pg_cli_row *row, pg_buf *out)
{
    const char *const list = row->name && row->kind == PG_CLI_TEXTS ? "may be given several times" : NULL;
    bool limits = (row->kind == PG_CLI_INT || row->kind == PG_CLI_SIZE) && row->max < INT64_MAX;
    const char *lead = " (";
    pg_buf_puts(out, row->help);
    if (limits) {
        pg_buf_printf(out, "%s%lld to %lld", lead, (long long)row->min, (long long)row->max);
        lead = "; ";
    }
    if (row->kind == PG_CLI_CHOICE) {
        pg_buf_puts(out, lead);
        add_choices(row->choices, out);
        lead = "; ";
    }
    if (row->fallback) {
        pg_buf_printf(out, "%sdefault %s", lead, row->fallback);
        lead = "; ";
    }
    if (list) {
        pg_buf_printf(out, "%s%s", lead, list);
        lead = "; ";
    }
    pg_buf_puts(out, *lead == ';' ? ")" : "");
}

/* Appends words in lines of at most `width` columns, which begin at column `hang`; the first goes on at column `at`. */
static void add_words(const char *text, size_t size, size_t at, size_t hang, size_t width, pg_buf *out)
{
    const char *end = text + size;
    for (bool first = true; text < end; first = false) {
        size_t blanks = strspn(text, " "), length = strcspn(text + blanks, " \n");
        text += blanks;
        if (length == 0 || text >= end)
            break;
        size_t columns = pg_text_columns(text, length);
        if (!first && at + blanks + columns > width) {
            pg_buf_printf(out, "\n%*s", (int)hang, "");
            at = hang;
        } else if (!first) {
            pg_buf_printf(out, "%*s", (int)blanks, "");
            at += blanks;
        }
        pg_buf_add(out, text, length);
        at += columns;
        text += length;
    }
    pg_buf_puts(out, "\n");
}

void pg_cli_prose(const char *text, size_t width, pg_buf *out)
{
    for (size_t size; *text; text += size + (text[size] == '\n')) {
        size = strcspn(text, "\n");
        size_t lead = strspn(text, " "), hang = lead;
        const char *gap = lead > 0 ? strstr(text + lead, "  ") : NULL;
        if (gap && gap < text + size)
            hang = pg_text_columns(text, (size_t)(gap + strspn(gap, " ") - text));
        pg_buf_printf(out, "%*s", (int)lead, "");
        add_words(text + lead, size - lead, lead, hang < width / 2 ? hang : lead + 4, width, out);
    }
}

/* Appends one entry and releases its texts: a name at the left, what it means behind it, or below where the name is long. */
static void add_entry(pg_buf *name, pg_buf *text, size_t width, pg_buf *out)
{
    size_t at = 2 + name->size, hang = width < 60 ? 8 : 24;
    pg_buf_printf(out, "  %s", name->data);
    if (at + 2 > hang)
        pg_buf_printf(out, "\n%*s", (int)hang, "");
    else
        pg_buf_printf(out, "%*s", (int)(hang - at), "");
    add_words(text->data, text->size, hang, hang, width, out);
    out->failed |= name->failed || text->failed;
    pg_buf_release(name);
    pg_buf_release(text);
}

void pg_cli_help_table(const pg_option *table, const char *prefix, size_t width, pg_buf *out)
{
    for (; table->name; table++) {
        pg_buf name = PG_BUF_EMPTY, text = PG_BUF_EMPTY;
        pg_buf_printf(&name, "%s%s", prefix, table->name);
        pg_option_note(table, &text);
        add_entry(&name, &text, width, out);
    }
}

void pg_cli_help(const pg_cli_row *rows, size_t width, pg_buf *out)
{
    for (const pg_cli_row *row; (row = row_at(rows, 0)); rows++) {
        pg_buf name = PG_BUF_EMPTY, text = PG_BUF_EMPTY;
        if (row->kind == PG_CLI_TABLE)
            pg_cli_help_table(row->table, "--", width, out);
        if (!row->help || has_subs(row))
            continue;
        pg_cli_spell(row, &name);
        pg_cli_describe(row, &text);
        add_entry(&name, &text, width, out);
    }
}
