/* The pages and the tree agree: paths that README, ARCHITECTURE and CONTRIBUTING name exist, their commands have a help page
 * that knows every long option used with them, and their make targets are listed by `make help`. */
#include "harness/base/file.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { PAGE_MAX = 1 << 20, HELP_MAX = 1 << 16 };

static const char *const pages[] = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"};
static int bad, seen;

/* Calls `line_of` for each line of each page, without its newline. */
static void each_line(void (*line_of)(const char *page, char *line))
{
    bad = seen = 0;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        char *text, *rest;
        size_t size;
        assert_int_equal(pg_file_read(pages[i], PAGE_MAX, &text, &size), PG_OK);
        rest = text;
        for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
            line_of(pages[i], line);
        free(text);
    }
    assert_int_equal(bad, 0);
}

static void complain(const char *page, const char *what, const char *name)
{
    print_error("%s: %s: %s\n", page, what, name);
    bad++;
}

/* `folder/file.ext` or `folder/` between backticks, if its folder is one of the tree's. */
static void check_paths(const char *page, char *line)
{
    static const char *const roots[] = {"harness/", "models/", "defenses/", "db/", "plots/", "tests/", "experiments/", ".ci/"};
    for (char *start = strchr(line, '`'); start != NULL;) {
        char *end = strchr(start + 1, '`');
        if (end == NULL)
            return;
        *end = '\0';
        for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
            if (strncmp(start + 1, roots[i], strlen(roots[i])) == 0) {
                bool pattern = strpbrk(start + 1, " *") != NULL || strstr(start, "UNIT") || strstr(start, "NAME") ||
                               strstr(start, "my_rule") || strstr(start, "RESULTS.md") || strstr(start, "expected");
                seen += !pattern;
                if (!pattern && access(start + 1, F_OK) != 0)
                    complain(page, "no such file", start + 1);
            }
        start = strchr(end + 1, '`');
    }
}

static void paths_exist(void **state)
{
    (void)state;
    each_line(check_paths);
    assert_true(seen > 20);
}

/* Standard output of a command, *new*; "" where it fails. */
static char *output_of(const char *command)
{
    char *text = calloc(1, HELP_MAX);
    assert_non_null(text);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    text[fread(text, 1, HELP_MAX - 1, pipe)] = '\0';
    if (pclose(pipe) != 0)
        text[0] = '\0';
    return text;
}

static void check_options(const char *page, const char *command, const char *arguments, const char *help)
{
    static const char *const global[] = {"--db", "--data", "--cache", "--quiet", "--version"};
    for (const char *at = strstr(arguments, " --"); at != NULL; at = strstr(at + 1, " --")) {
        char option[64];
        size_t size = 2 + strcspn(at + 3, " =`,");
        snprintf(option, sizeof option, "%.*s", (int)size, at + 1);
        bool known = strstr(help, option) != NULL;
        for (size_t i = 0; i < sizeof global / sizeof *global; i++)
            known |= strcmp(option, global[i]) == 0;
        seen++;
        if (!known)
            complain(page, command, option);
    }
}

/* "patchgauge WORD ..." in an indented line or between backticks. */
static void check_command(const char *page, char *line)
{
    bool indented = strncmp(line, "    ", 4) == 0;
    for (char *at = strstr(line, "patchgauge "); at != NULL; at = strstr(at + 1, "patchgauge ")) {
        char name[32], command[256];
        size_t size = strspn(at + 11, "abcdefghijklmnopqrstuvwxyz");
        bool quoted = at > line && at[-1] == '`';
        if ((!indented && !quoted) || size == 0 || size >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)size, at + 11);
        const char *program = getenv("PATCHGAUGE");
        snprintf(command, sizeof command, "%s help %s 2>/dev/null", program != NULL ? program : "build/patchgauge", name);
        char *help = output_of(command), *comment = strstr(at, "  #");
        if (comment != NULL)
            *comment = '\0';
        if (help[0] == '\0')
            complain(page, "no such command", name);
        else
            check_options(page, name, at, help);
        free(help);
    }
}

static void commands_and_options_exist(void **state)
{
    (void)state;
    each_line(check_command);
    assert_true(seen > 15);
}

static char *targets;

static void check_target(const char *page, char *line)
{
    bool indented = strncmp(line, "    make ", 9) == 0;
    for (char *at = strstr(line, "make "); at != NULL; at = strstr(at + 1, "make ")) {
        char name[32];
        size_t size = strspn(at + 5, "abcdefghijklmnopqrstuvwxyz-");
        if (!(indented || (at > line && at[-1] == '`')) || size == 0)
            continue;
        snprintf(name, sizeof name, "\n  %.*s ", (int)size, at + 5);
        seen++;
        if (strstr(targets, name) == NULL)
            complain(page, "no such target", name + 3);
    }
}

static void make_targets_exist(void **state)
{
    (void)state;
    targets = output_of("echo; env -u MAKEFLAGS -u MFLAGS make -s help");
    each_line(check_target);
    free(targets);
    assert_true(seen > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_exist),
        cmocka_unit_test(commands_and_options_exist),
        cmocka_unit_test(make_targets_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
