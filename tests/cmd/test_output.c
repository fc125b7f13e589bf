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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_what_would_be_printed),
        cmocka_unit_test(a_file_that_is_there_stays_without_force),
        cmocka_unit_test(a_failure_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
