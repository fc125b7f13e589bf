/* The options -o and --force of what prints results: the file is what standard output would be, whole or not there. */
#include "harness/base/file.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:20\"\n[axes]\n"
                             "defense = [\"mean\", \"clip\"]\npatch = [3]\n";

static int setup(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    return program_run("db", "--quiet run %s", scratch_path("m.toml"));
}

static void expect_file(const char *name, const char *want)
{
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 20, &text, &size), PG_OK);
    assert_string_equal(text, want);
    free(text);
}

static int to_file(const char *command, const char *name, const char *more)
{
    char path[256];
    snprintf(path, sizeof path, "%s", scratch_path(name));
    return program_run("db", "--quiet %s %s -o %s %s 2>&1", command, scratch_path("m.toml"), path, more);
}

static void a_file_is_what_would_be_printed(void **state)
{
    (void)state;
    static const char *const commands[] = {"table",          "table -f csv", "table -f json", "table -f json-lines",
                                           "table -f latex", "best",         "best -f csv"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_int_equal(program_run("db", "--quiet %s %s", commands[i], scratch_path("m.toml")), 0);
        char *printed = strdup(program_output);
        assert_true(strlen(printed) > 40);
        assert_int_equal(to_file(commands[i], "out", "--force"), 0);
        assert_string_equal(program_output, "");
        expect_file("out", printed);
        free(printed);
    }
}

static void a_file_that_is_there_stays_without_force(void **state)
{
    (void)state;
    scratch_write("mine", "mine", 4);
    assert_int_equal(to_file("table", "mine", ""), 2);
    assert_non_null(strstr(program_output, "--force"));
    expect_file("mine", "mine");
    assert_int_equal(to_file("table", "mine", "--force"), 0);
    assert_int_equal(to_file("table", "new", ""), 0);
    assert_int_equal(to_file("table", "new", ""), 2);
    assert_int_equal(to_file("table", "m.toml", "--force"), 2); /* the matrix, and the database, never */
    expect_file("m.toml", matrix);
    assert_int_equal(to_file("table", "db", "--force"), 2);
    assert_int_equal(program_run("db", "ls"), 0);
}

static void a_failure_leaves_no_file(void **state)
{
    (void)state;
    assert_int_equal(to_file("table", "none", "--rows nothing"), 2);
    assert_int_equal(pg_file_size(scratch_path("none")), -1);
    scratch_write("old", "old", 3);
    assert_int_equal(to_file("table", "old", "--force --rows nothing"), 2);
    expect_file("old", "old");
    assert_int_equal(to_file("table", "no/folder", ""), 4);
    char line[600];
    snprintf(line, sizeof line, "ls %s | grep tmp", scratch_folder);
    assert_int_equal(program_shell(line), 1); /* no temporary file */
}

/* ---- LaTeX ---- */

static int count_of(const char *text, const char *piece)
{
    int n = 0;
    for (; (text = strstr(text, piece)) != NULL; text += strlen(piece))
        n++;
    return n;
}

/* Braces and environments close, and every line of a tabular has the columns that its head states. */
static void expect_balanced(const char *text, int columns)
{
    int depth = 0;
    for (const char *c = text; *c; c++) {
        depth += *c == '{' && (c == text || c[-1] != '\\');
        depth -= *c == '}' && (c == text || c[-1] != '\\');
        assert_true(depth >= 0);
    }
    assert_int_equal(depth, 0);
    assert_int_equal(count_of(text, "\\begin{"), count_of(text, "\\end{"));
    for (const char *line = strstr(text, "\\midrule\n") + 9; *line != '\\' || line[1] == 'q'; line = strchr(line, '\n') + 1) {
        int gaps = 0;
        for (const char *c = line; *c != '\n'; c++)
            gaps += *c == '&' && c[-1] != '\\';
        assert_int_equal(gaps, columns - 1);
    }
}

static void latex_has_what_papers_need(void **state)
{
    (void)state;
    const char *file = scratch_path("m.toml");
    assert_int_equal(program_run("db", "--quiet table %s -f latex", file), 0);
    assert_null(strstr(program_output, "{table}"));
    expect_balanced(program_output, 3);
    assert_int_equal(
        program_run("db", "--quiet table %s -f latex --caption '100%% of {a} & b' --label tab:one -S patch=3,5", file), 0);
    assert_ptr_equal(strstr(program_output, "\\begin{table}\n\\centering\n\\caption{100\\% of \\{a\\} \\& b}\n"
                                            "\\label{tab:one}\n\\begin{tabular}{llrr}\n"),
                     program_output);
    assert_non_null(strstr(program_output, "\\end{tabular}\n\\end{table}\n"));
    expect_balanced(program_output, 4);
    assert_int_equal(program_run("db", "--quiet table %s -f latex --siunitx --best -S patch=3,5", file), 0);
    assert_non_null(strstr(program_output, "{llS[table-format=3.1]@{\\,}lS[table-format=3.1]@{\\,}l}"));
    assert_non_null(strstr(program_output, " & \\multicolumn{2}{c}{patch 3} & \\multicolumn{2}{c}{patch 5} \\\\\n"));
    assert_non_null(strstr(program_output, " & {--} & \\textsuperscript{*} \\\\\n")); /* no images yet */
    expect_balanced(program_output, 6);
    assert_int_equal(program_run("db", "table %s --caption a", file), 2);
    assert_non_null(strstr(program_output, "for -f latex"));
    assert_int_equal(program_run("db", "table %s -f latex --label 'a}'", file), 2);
}

/* The best of a column over all rows: one of both rules has it, unless they are equal. */
static void the_best_is_that_of_all_rows(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "--quiet table %s -f md --best --metrics certified", scratch_path("m.toml")), 0);
    double shares[2];
    int bold[2], rows = 0;
    for (char *line = strtok(program_output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *cell = strstr(line, "| certified | ");
        if (cell == NULL)
            continue;
        cell += strlen("| certified | ");
        assert_true(rows < 2);
        bold[rows] = strncmp(cell, "**", 2) == 0;
        shares[rows++] = atof(cell + 2 * (size_t)(strncmp(cell, "**", 2) == 0));
    }
    assert_int_equal(rows, 2);
    assert_true(bold[0] == (shares[0] >= shares[1]) && bold[1] == (shares[1] >= shares[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_what_would_be_printed), cmocka_unit_test(a_file_that_is_there_stays_without_force),
        cmocka_unit_test(a_failure_leaves_no_file),        cmocka_unit_test(latex_has_what_papers_need),
        cmocka_unit_test(the_best_is_that_of_all_rows),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
