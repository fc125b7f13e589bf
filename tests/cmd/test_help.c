/* Pages of help, the tables of options and the program agree, in both directions, for every command and each of its actions.
 * With these tables every option is given twice as well. */
#include "harness/base/file.h"
#include "harness/cmd/command.h"
#include "tests/support/terminal.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { MOST = 64, LENGTH = 48 };

/* Options as users write them, "--output" and "-o", each once. */
typedef struct words {
    char items[4 * MOST][LENGTH];
    int n;
} words;

static bool has(const words *w, const char *word)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->items[i], word) == 0)
            return true;
    return false;
}

static void add(words *w, const char *word, size_t size)
{
    char item[LENGTH];
    assert_true(size < LENGTH && w->n < 4 * MOST);
    snprintf(item, sizeof item, "%.*s", (int)size, word);
    if (!has(w, item))
        strcpy(w->items[w->n++], item);
}

/* The length of the option that begins here, 0: none does. */
static size_t option_at(const char *text, const char *at)
{
    size_t size = strspn(at, "-");
    bool inside = at > text && (isalnum((unsigned char)at[-1]) || strchr("-=/", at[-1]));
    if (inside || size < 1 || size > 2 || !isalpha((unsigned char)at[size]))
        return 0;
    if (size == 1)
        return isalnum((unsigned char)at[2]) ? 0 : 2;
    while (isalnum((unsigned char)at[size]) || (at[size] == '-' && isalnum((unsigned char)at[size + 1])))
        size++;
    return size;
}

/* All options that stand in the first `size` bytes of a text. */
static void add_options(words *w, const char *text, size_t size)
{
    for (const char *at = text; at < text + size; at++)
        if (option_at(text, at) > 0)
            add(w, at, option_at(text, at));
}

/* ---- What the program takes ---- */

/* A command by its name, "run" or "data fetch". */
static const pg_command *find_command(const char *name)
{
    size_t size = strcspn(name, " ");
    for (int i = 0; pg_commands[i]; i++) {
        const pg_command *command = pg_commands[i];
        if (strlen(command->name) != size || strncmp(command->name, name, size) != 0)
            continue;
        if (!name[size] || !command->actions)
            return command;
        for (int k = 0; command->actions[k]; k++)
            if (strcmp(command->actions[k]->name, name + size + 1) == 0)
                return command->actions[k];
    }
    fail_msg("no command %s", name);
    return NULL;
}

/* An option of a table by one of its names; those of one option have one `value`. `argument`: 0 none, 1 required, 2 joined. */
typedef struct row {
    char name[LENGTH];
    int argument, value;
    bool many;
} row;

/* Those of the table of a command; the number of rows. */
static int table_rows(const pg_command *command, row rows[MOST])
{
    int n = 0, value = 0;
    for (const pg_cli_row *r = command->rows; r && r->kind != PG_CLI_NONE; r++, value++) {
        if (r->name && !r->help) /* a former name */
            continue;
        bool flag = r->kind == PG_CLI_FLAG || r->kind == PG_CLI_UNFLAG;
        row here = {.argument = flag ? 0 : r->bare ? 2 : 1, .value = value, .many = r->kind == PG_CLI_TEXTS};
        assert_true(n + 2 < MOST);
        if (r->letter) {
            rows[n] = here;
            snprintf(rows[n++].name, LENGTH, "-%c", r->letter);
        }
        if (r->name) {
            rows[n] = here;
            snprintf(rows[n++].name, LENGTH, "--%s", r->name);
        }
        const pg_option *sub;
        for (size_t i = 0; (sub = pg_cli_sub(r, i)); i++) {
            assert_true(n + 2 < MOST);
            rows[n] = (row){.argument = r->kind == PG_CLI_TABLE || sub->type != PG_OPTION_BOOL, .value = ++value};
            snprintf(rows[n++].name, LENGTH, "--%s", sub->name);
        }
    }
    return n;
}

static void add_table(words *w, const char *command)
{
    row rows[MOST];
    for (int i = 0, n = table_rows(find_command(command), rows); i < n; i++)
        add(w, rows[i].name, strlen(rows[i].name));
}

/* ---- What the pages say ---- */

static words commands, globals; /* globals with "-h" */

static void read_overview(void)
{
    assert_int_equal(program_run("db", "help"), 0);
    const char *at = strstr(program_output, "\ncommands:\n");
    assert_non_null(at);
    for (at += strlen("\ncommands:\n"); *at == ' '; at += strcspn(at, "\n") + 1)
        add(&commands, at + 2, strcspn(at + 2, " "));
    assert_true(commands.n > 15);
    at = strstr(program_output, "\nglobal options,");
    assert_non_null(at);
    for (at = strchr(at + 1, '\n') + 1; *at == ' '; at += strcspn(at, "\n") + 1)
        if (at[2] == '-')
            add_options(&globals, at, (size_t)(strstr(at + 2, "  ") - at));
}

/* Options of the synopsis, and of the lines that begin with one and say what it does. */
static void add_told(words *w, const char *page)
{
    add_options(w, page, strcspn(page, "\n"));
    for (const char *line = strchr(page, '\n'); line != NULL; line = strchr(line + 1, '\n'))
        if (strncmp(line, "\n  -", 4) == 0) {
            const char *gap = strstr(line + 3, "  ");
            add_options(w, line,
                        gap != NULL && gap < line + 1 + strcspn(line + 1, "\n") ? (size_t)(gap - line)
                                                                                : 1 + strcspn(line + 1, "\n"));
        }
}

/* A command, or each of its actions. */
static void add_lines(words *w, const char *command)
{
    char action[2 * LENGTH];
    const pg_command *const *actions = find_command(command)->actions;
    if (!actions)
        add(w, command, strlen(command));
    for (; actions && *actions; actions++)
        add(w, action, (size_t)snprintf(action, sizeof action, "%s %s", command, (*actions)->name));
}

static void add_tables(words *w, const char *command)
{
    words lines = {.n = 0};
    add_lines(&lines, command);
    for (int i = 0; i < lines.n; i++)
        add_table(w, lines.items[i]);
}

static int complain(const char *command, const char *option, const char *what)
{
    print_error("%s: %s: %s\n", command, option, what);
    return 1;
}

static void every_option_is_told_and_every_one_told_is_there(void **state)
{
    static words tables[MOST], told, any;
    static char pages[MOST][1 << 14];
    int bad = 0;
    (void)state;
    for (int c = 0; c < commands.n; c++) {
        const char *command = commands.items[c];
        assert_int_equal(program_run("db", "help %s", command), 0);
        assert_true(strlen(program_output) < sizeof pages[c]);
        strcpy(pages[c], program_output);
        add_tables(&tables[c], command);
        for (int i = 0; i < tables[c].n; i++)
            add(&any, tables[c].items[i], strlen(tables[c].items[i]));
        memset(&told, 0, sizeof told);
        add_told(&told, pages[c]);
        for (int i = 0; i < tables[c].n; i++)
            if (!has(&told, tables[c].items[i]))
                bad += complain(command, tables[c].items[i], "the program takes it, its page does not tell it");
        for (int i = 0; i < told.n; i++)
            if (!has(&tables[c], told.items[i]) && !has(&globals, told.items[i]))
                bad += complain(command, told.items[i], "its page tells it, the program does not take it");
    }
    for (int c = 0; c < commands.n; c++) { /* examples, and what a page says of other commands */
        memset(&told, 0, sizeof told);
        add_options(&told, pages[c], strlen(pages[c]));
        for (int i = 0; i < told.n; i++)
            if (told.items[i][1] == '-' && !has(&any, told.items[i]) && !has(&globals, told.items[i]))
                bad += complain(commands.items[c], told.items[i], "no command takes it");
    }
    assert_true(any.n > 60);
    assert_int_equal(bad, 0);
}

/* ---- Options that are given twice ---- */

static const char *spelled(const row *r, const char *value, char out[2 * LENGTH])
{
    static const char *const joints[] = {"", " ", "="}; /* by has_arg */
    snprintf(out, 2 * LENGTH, "%.47s%s%.8s", r->name, joints[r->argument], r->argument ? value : "");
    return out;
}

/* Whether the page says of the option that it may be given several times; -1: in some places, and not in others. */
static int page_says_many(const char *page, const char *option)
{
    int yes = 0, no = 0;
    for (const char *line = strchr(page, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
        words told = {.n = 0};
        char text[4096], *to = text;
        if (strncmp(line, "\n  -", 4) != 0)
            continue;
        size_t head = 3 + strcspn(line + 3, " \n");
        add_options(&told, line, line[head - 1] == ',' ? head + 1 + strcspn(line + head + 1, " \n") : head);
        if (!has(&told, option))
            continue;
        const char *end = line + 1 + strcspn(line + 1, "\n");
        while (strncmp(end, "\n        ", 9) == 0)
            end += 1 + strcspn(end + 1, "\n");
        for (const char *from = line; from < end && to < text + sizeof text - 1; from++) /* one blank between words */
            if (!isspace((unsigned char)*from) || (to > text && to[-1] != ' '))
                *to++ = isspace((unsigned char)*from) ? ' ' : *from;
        *to = '\0';
        *(strstr(text, "may be given several times") != NULL ? &yes : &no) += 1;
    }
    return yes > 0 && no > 0 ? -1 : yes > 0;
}

/* Gives one option as `a` and as `b`; the number of complaints. */
static int give_twice(const char *command, const row *a, const row *b)
{
    char first[2 * LENGTH], again[2 * LENGTH], want[8 * LENGTH];
    snprintf(want, sizeof want, ": one option is given twice, as '%s' and '%s': leave one of them out", spelled(a, "5", first),
             spelled(b, "6", again));
    int code = program_run("twice.db", "%s %s %s", command, first, again);
    if (a->many && strstr(program_output, "given twice") == NULL)
        return 0;
    if (!a->many && code == 2 && strstr(program_output, want) != NULL && access(scratch_path("twice.db"), F_OK) != 0)
        return 0;
    print_error("%s %s %s: exit code %d: %s", command, first, again, code, program_output);
    return 1;
}

/* All pairs of rows that are one option. */
static int give_all_twice(const char *command, const char *page)
{
    row rows[MOST];
    int n = table_rows(find_command(command), rows), bad = 0;
    for (int i = 0; i < n; i++) {
        if (page_says_many(page, rows[i].name) != rows[i].many)
            bad += complain(command, rows[i].name, "the page and the table differ on whether it may be given several times");
        for (int j = 0; j < n; j++)
            if (i == j || rows[i].value == rows[j].value)
                bad += give_twice(command, &rows[i], &rows[j]);
    }
    print_message("%s: %d options\n", command, n);
    return bad;
}

static void an_option_is_given_once(void **state)
{
    static char page[1 << 14];
    words lines = {.n = 0};
    int bad = 0;
    (void)state;
    for (int c = 0; c < commands.n; c++) {
        assert_int_equal(program_run("db", "help %s", commands.items[c]), 0);
        assert_true(strlen(program_output) < sizeof page);
        strcpy(page, program_output);
        lines.n = 0;
        add_lines(&lines, commands.items[c]);
        for (int i = 0; i < lines.n; i++)
            bad += give_all_twice(lines.items[i], page);
    }
    assert_int_equal(bad, 0);
}

static void global_options_are_given_once(void **state)
{
    (void)state;
    for (int i = 0; i < globals.n; i++) {
        const char *name = globals.items[i];
        if (name[1] != '-' || strcmp(name, "--help") == 0 || strcmp(name, "--version") == 0)
            continue;
        bool many = strcmp(name, "--plugin") == 0, bare = strcmp(name, "--quiet") == 0 || strcmp(name, "--trust") == 0;
        char line[512];
        snprintf(line, sizeof line, "%s %s=7 ls %s 6 2>&1", program_path(), name, name);
        if (bare)
            snprintf(line, sizeof line, "%s %s ls %s 2>&1", program_path(), name, name);
        assert_int_equal(program_shell(line), 2);
        if (many == (strstr(program_output, "given twice") != NULL))
            fail_msg("%s: %s", line, program_output);
        if (!many && !bare) {
            snprintf(line, sizeof line, "one option is given twice, as '%s 7' and '%s 6': leave one of them out", name, name);
            assert_non_null(strstr(program_output, line));
        }
    }
}

/* Those of the table, those of the overview, and those that completion offers. */
static void global_options_are_the_same_everywhere(void **state)
{
    int taken = 0;
    static words offered;
    (void)state;
    assert_int_equal(program_run("db", "help completion"), 0);
    const char *at = strstr(program_output, "words+='--");
    assert_non_null(at);
    add_options(&offered, at, strcspn(at + 8, "'") + 8);
    for (const pg_cli_row *r = pg_global_rows; r->name; r++) {
        char name[LENGTH];
        snprintf(name, sizeof name, "--%s", r->name);
        if (!has(&globals, name) || !has(&offered, name))
            fail_msg("%s is not in `help` or in completion", name);
        taken += 1 + (r->letter != 0);
    }
    assert_true(taken > 6);
    assert_int_equal(taken, globals.n);
    assert_int_equal(taken - 1, offered.n); /* -h */
}

static void the_manual_knows_every_command(void **state)
{
    char *manual, start[2 * LENGTH];
    size_t size;
    int bad = 0;
    (void)state;
    assert_int_equal(pg_file_read("harness/MANUAL.md", 1 << 20, &manual, &size), PG_OK);
    for (int c = 0; c < commands.n; c++) {
        snprintf(start, sizeof start, "\npatchgauge %s", commands.items[c]);
        if (strstr(manual, start) == NULL)
            bad += complain("harness/MANUAL.md", commands.items[c], "is not there");
    }
    free(manual);
    assert_int_equal(bad, 0);
}

/* No line of several words is wider than the terminal, and no word is lost. */
static void check_fit(int columns, const char *command)
{
    static char fitted[1 << 16];
    char line[1024];
    snprintf(line, sizeof line, "%s --data /nowhere %s", program_path(), command);
    assert_int_equal(terminal_run(columns, line, fitted, sizeof fitted), 0);
    assert_int_equal(program_run("db", "--data /nowhere %s", command), 0);
    const char *wide = terminal_wide_line(fitted, (size_t)columns);
    if (wide)
        fail_msg("%s: wider than %d: %.*s", command, columns, (int)strcspn(wide, "\n"), wide);
    const char *a = fitted, *b = program_output;
    for (size_t m, n; *(a = terminal_word(a, &m)) | *(b = terminal_word(b, &n)); a += m, b += n)
        if (m != n || memcmp(a, b, m) != 0)
            fail_msg("%s: '%.*s' instead of '%.*s'", command, (int)m, a, (int)n, b);
}

static void pages_fit_the_terminal(void **state)
{
    char command[2 * LENGTH];
    (void)state;
    for (int c = 0; c < commands.n; c++) {
        snprintf(command, sizeof command, "help %s", commands.items[c]);
        check_fit(80, command);
    }
    static const char *const others[] = {
        "help", "help matrix", "list", "help defense robust-masking", "help attack universal", "help model torchscript"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_fit(i % 2 ? 100 : 80, others[i]);
    assert_int_equal(program_run("db", "help data"), 0); /* in a file, lines are as wide as a page */
    assert_non_null(strstr(program_output, "  --name NAME           fetch URL: an archive, as import takes it under a name\n"
                                           "                        of your own, becomes this data set\n"));
}

static int start(void **state)
{
    int status = scratch_make(state);
    if (status == 0)
        read_overview();
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_is_told_and_every_one_told_is_there),
        cmocka_unit_test(an_option_is_given_once),
        cmocka_unit_test(global_options_are_given_once),
        cmocka_unit_test(global_options_are_the_same_everywhere),
        cmocka_unit_test(the_manual_knows_every_command),
        cmocka_unit_test(pages_fit_the_terminal),
    };
    return cmocka_run_group_tests(tests, start, scratch_remove);
}
