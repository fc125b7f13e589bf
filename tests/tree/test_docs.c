/* The pages and the tree agree: paths that README, the manual, ARCHITECTURE, CONTRIBUTING and the tutorial name exist, their
 * commands have a help page that knows every option used with them, and their make targets are listed by `make help`. The
 * manual and `help matrix` tell every key of matrix files with its default. README's accuracies are those of RESULTS.md.
 * models/ZOO.md tells every network that ships, with its hash; the pages of modules are what the program prints. Matrix files
 * of experiments/ plan but for images and networks that are not there. */
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/plan/keys.h"
#include "tests/support/command_options.h"

#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { PAGE_MAX = 1 << 20 };

static const char *const pages[] = {"README.md",
                                    "ARCHITECTURE.md",
                                    "CONTRIBUTING.md",
                                    "harness/MANUAL.md",
                                    "experiments/TUTORIAL.md",
                                    "defenses/CERTIFICATES.md",
                                    "experiments/PROTOCOL.md"};
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
    static const char *const roots[] = {"harness/", "models/", "defenses/",    "attacks/", "db/",
                                        "plots/",   "tests/",  "experiments/", ".ci/"};
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

/* Whether a heading of the page has this name in links: lower case, '-' for blanks, no other punctuation. */
static bool has_heading(const char *page, const char *name)
{
    char *text, *rest;
    size_t size;
    bool found = false;
    assert_int_equal(pg_file_read(page, PAGE_MAX, &text, &size), PG_OK);
    rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL && !found; line = strsep(&rest, "\n")) {
        char slug[256] = "", *out = slug;
        if (line[0] != '#')
            continue;
        for (char *at = line + strspn(line, "# "); *at != '\0' && out < slug + sizeof slug - 1; at++)
            if (isalnum((unsigned char)*at) || *at == '-' || *at == ' ')
                *out++ = *at == ' ' ? '-' : (char)tolower((unsigned char)*at);
        *out = '\0';
        found = strcmp(slug, name) == 0;
    }
    free(text);
    return found;
}

/* [text](path#heading) from the folder of the page; addresses of other machines are left alone. */
static void check_links(const char *page, char *line)
{
    const char *slash = strrchr(page, '/');
    for (const char *at = strstr(line, "]("); at != NULL; at = strstr(at + 1, "](")) {
        const char *target = at + 2, *end = target + strcspn(target, ")"), *anchor = target + strcspn(target, "#)");
        char path[256], heading[128];
        if (strncmp(target, "https://", 8) == 0)
            continue;
        snprintf(path, sizeof path, "%.*s%.*s", slash != NULL ? (int)(slash + 1 - page) : 0, page, (int)(anchor - target),
                 target);
        snprintf(heading, sizeof heading, "%.*s", anchor < end ? (int)(end - anchor - 1) : 0, anchor + 1);
        seen++;
        if (anchor != target && access(path, F_OK) != 0)
            complain(page, "no such file", path);
        else if (*heading != '\0' && !has_heading(anchor == target ? page : path, heading))
            complain(page, "no such heading", heading);
    }
}

static void links_lead_somewhere(void **state)
{
    (void)state;
    each_line(check_links);
    assert_true(seen >= 2);
}

/* `patchgauge WORD ...`; tests/tree/test_documented.c reads the blocks of commands. */
static void check_command(const char *page, char *line)
{
    for (char *at = strstr(line, "`patchgauge "); at != NULL; at = strstr(at + 1, "`patchgauge ")) {
        bad += unknown_options(page, at + 1);
        seen++;
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
    bool command = strncmp(line, "make ", 5) == 0;
    for (char *at = strstr(line, "make "); at != NULL; at = strstr(at + 1, "make ")) {
        char name[32];
        size_t size = strspn(at + 5, "abcdefghijklmnopqrstuvwxyz0123456789-");
        if (!((command && at == line) || (at > line && at[-1] == '`')) || size == 0 || at[5] == '-')
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

/* Copies the line of the text that starts like this; "" where there is none. */
static void line_at(const char *text, const char *start, char *line, size_t size)
{
    const char *at = strncmp(text, start, strlen(start)) == 0 ? text : NULL;
    for (const char *end = strchr(text, '\n'); at == NULL && end != NULL; end = strchr(end + 1, '\n'))
        if (strncmp(end + 1, start, strlen(start)) == 0)
            at = end + 1;
    snprintf(line, size, "%.*s", at != NULL ? (int)strcspn(at, "\n") : 0, at != NULL ? at : "");
}

static void matrix_keys_are_told(void **state)
{
    char *manual, *help = help_of("matrix"), start[64], line[512], fallback[64];
    size_t size;
    (void)state;
    bad = 0;
    assert_int_equal(pg_file_read("harness/MANUAL.md", PAGE_MAX, &manual, &size), PG_OK);
    for (const pg_key *key = pg_keys; key->name != NULL; key++) {
        const char *value = key->fallback, *quote = value != NULL && *value != '\0' ? "`" : "";
        snprintf(start, sizeof start, "| `%s` |", key->name);
        snprintf(fallback, sizeof fallback, "| %s%s%s |", quote, value == NULL ? "required" : *value ? value : "all", quote);
        line_at(manual, start, line, sizeof line);
        if (strstr(line, fallback) == NULL)
            complain("harness/MANUAL.md", "no row of this key with its default", key->name);
        snprintf(start, sizeof start, "  %s ", key->name);
        snprintf(fallback, sizeof fallback, "(%s%s)", value != NULL ? "default " : "required",
                 value == NULL ? ""
                 : *value      ? value
                               : "all");
        line_at(help, start, line, sizeof line);
        if (strstr(line, key->help) == NULL || strstr(line, fallback) == NULL)
            complain("help matrix", "no line of this key with its default", key->name);
    }
    static const char *const sections[] = {"[fixed]", "[axes]", "[[zip]]", "[[exclude]]", "MODULE.OPTION", "-S, --set "};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (strstr(help, sections[i]) == NULL)
            complain("help matrix", "not told", sections[i]);
    free(manual);
    free(help);
    assert_int_equal(bad, 0);
}

/* Each number with one decimal in the rows of README's table is a share that RESULTS.md gives with its interval. */
static void accuracies_are_measured(void **state)
{
    (void)state;
    char *readme, *rest, *results, share[32];
    size_t size;
    assert_int_equal(pg_file_read("README.md", PAGE_MAX, &readme, &size), PG_OK);
    assert_int_equal(pg_file_read("experiments/RESULTS.md", PAGE_MAX, &results, &size), PG_OK);
    bad = seen = 0;
    rest = readme;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        for (char *at = line; line[0] == '|' && (at = strchr(at, '.')) != NULL; at++) {
            char *start = at;
            while (isdigit((unsigned char)start[-1]))
                start--;
            if (start == at || !isdigit((unsigned char)at[1]))
                continue;
            snprintf(share, sizeof share, " %.*s (", (int)(at + 2 - start), start);
            seen++;
            if (strstr(results, share) == NULL)
                complain("README.md", "not in experiments/RESULTS.md", share);
        }
    free(readme);
    free(results);
    assert_true(seen > 10);
    assert_int_equal(bad, 0);
}

/* A line for the file, and its hash on the next. */
static void networks_are_told(void **state)
{
    (void)state;
    char *text, line[512], hash[PG_HASH_HEX];
    size_t size, told = 0;
    glob_t files;
    assert_int_equal(pg_file_read("models/ZOO.md", PAGE_MAX, &text, &size), PG_OK);
    assert_int_equal(glob("models/zoo/*.safetensors", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        assert_int_equal(pg_hash_file(files.gl_pathv[i], hash), PG_OK);
        snprintf(line, sizeof line, "- file: %s, ", files.gl_pathv[i]);
        const char *at = strstr(text, line), *next = at ? strchr(at, '\n') : NULL;
        snprintf(line, sizeof line, "\n- SHA-256: `%s`\n", hash);
        if (next == NULL || strncmp(next, line, strlen(line)) != 0)
            fail_msg("models/ZOO.md does not tell %s with its hash %s: `make results` writes it", files.gl_pathv[i], hash);
    }
    for (const char *at = strstr(text, "\n- file: "); at != NULL; at = strstr(at + 1, "\n- file: "))
        told++;
    assert_int_equal(told, files.gl_pathc); /* none that is gone */
    globfree(&files);
    free(text);
}

/* Those in the tree are what the program prints. */
static void pages_of_modules_are_fresh(void **state)
{
    (void)state;
    static const char *const kinds[] = {"defenses", "attacks", "models"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[64], *text, *fresh = help_of(kinds[i]);
        size_t size;
        snprintf(path, sizeof path, "%s/README.md", kinds[i]);
        assert_int_equal(pg_file_read(path, PAGE_MAX, &text, &size), PG_OK);
        assert_non_null(strstr(fresh, "| option | what it is | values | default |"));
        if (strcmp(text, fresh) != 0)
            fail_msg("%s is not what `patchgauge help %s` prints: `make docs` writes it", path, kinds[i]);
        free(text);
        free(fresh);
    }
}

static void matrices_are_right(void **state)
{
    (void)state;
    static const char *const absent[] = {"No such file or directory", "unknown data set 'imagenet", "is not in ",
                                         "nothing was done"};
    const char *program = getenv("PATCHGAUGE");
    glob_t files;
    size_t planned = 0;
    bad = 0;
    assert_int_equal(glob("experiments/*/*.toml", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char command[512], *rest;
        snprintf(command, sizeof command, "%s --quiet --db /nonexistent/x.db plan %s 2>&1; true",
                 program != NULL ? program : "build/patchgauge", files.gl_pathv[i]);
        char *text = rest = output_of(command);
        for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
            bool known = strstr(line, ".toml:") == NULL; /* a summary; all mistakes are told with their line */
            for (size_t k = 0; k < sizeof absent / sizeof *absent; k++)
                known |= strstr(line, absent[k]) != NULL;
            if (!known)
                complain(files.gl_pathv[i], "not right", line);
            planned++;
        }
        free(text);
    }
    globfree(&files);
    assert_int_equal(bad, 0);
    assert_true(planned > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_exist),
        cmocka_unit_test(links_lead_somewhere),
        cmocka_unit_test(commands_and_options_exist),
        cmocka_unit_test(make_targets_exist),
        cmocka_unit_test(matrix_keys_are_told),
        cmocka_unit_test(accuracies_are_measured),
        cmocka_unit_test(networks_are_told),
        cmocka_unit_test(pages_of_modules_are_fresh),
        cmocka_unit_test(matrices_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
