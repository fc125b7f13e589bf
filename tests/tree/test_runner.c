/* Tests of what runs the tests: tests/run.sh counts and names what programs print, and .ci/run fails on a skip that is not
 * expected. */
#include "harness/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { OUTPUT_MAX = 1 << 16 };

static char folder[] = "/tmp/pg-test-runner-XXXXXX";
static char output[OUTPUT_MAX];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* A file in the folder; programs are shell scripts that print what a cmocka program would. */
static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(pg_file_write(path, text, strlen(text)), PG_OK);
    assert_int_equal(chmod(path, 0755), 0);
}

/* Exit code of a shell command with DIR for the folder; its output in `output`. */
static int sh(const char *command)
{
    char line[2048], *at;
    snprintf(line, sizeof line, "DIR=%s; export DIR; exec 2>&1; %s", folder, command);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t size = fread(output, 1, sizeof output - 1, pipe);
    output[size] = '\0';
    at = output + size;
    while (at > output && at[-1] == '\n')
        *--at = '\0';
    return WEXITSTATUS(pclose(pipe));
}

static const char *last_line(void)
{
    const char *end = strrchr(output, '\n');
    return end != NULL ? end + 1 : output;
}

static void expect(const char *piece)
{
    if (strstr(output, piece) == NULL)
        print_error("not in the output: %s\n%s\n", piece, output);
    assert_non_null(strstr(output, piece));
}

static const char good[] = "#!/bin/sh\necho '[==========] Running 2 test(s).'\necho '[ RUN      ] a'\nprintf 'noise'\n"
                           "echo '[       OK ] a'\necho '[ RUN      ] b'\necho '[  SKIPPED ] b'\n"
                           "echo '[==========] 2 test(s) run.'\necho '[  SKIPPED ] b'\n";

static void passed_and_skipped_are_counted(void **state)
{
    (void)state;
    put("test_good", good);
    assert_int_equal(sh("sh tests/run.sh $DIR/out $DIR/test_good $DIR/test_good"), 0);
    assert_string_equal(last_line(), "2 passed, 0 failed, 2 skipped");
    expect("ok      test_good: a\n");
    expect("skipped test_good: b\n");
    assert_null(strstr(output, "noise"));
    assert_int_equal(sh("cat $DIR/out/skipped.txt"), 0);
    assert_string_equal(output, "test_good:b\ntest_good:b");
}

static void failures_show_the_whole_output(void **state)
{
    (void)state;
    put("test_bad", "#!/bin/sh\necho '[==========] Running 2 test(s).'\necho '[ RUN      ] a'\necho 'why it failed'\n"
                    "echo '[  FAILED  ] a' >&2\necho '[ RUN      ] b'\necho '[       OK ] b'\n"
                    "echo '[==========] 2 test(s) run.'\necho '[  FAILED  ] a' >&2\nexit 1\n");
    put("test_good", good);
    assert_int_equal(sh("sh tests/run.sh $DIR/out $DIR/test_bad $DIR/test_good"), 1);
    assert_string_equal(last_line(), "2 passed, 1 failed, 1 skipped");
    expect("FAILED  test_bad: a\n");
    expect("why it failed\n");
}

static void unknown_names_are_refused(void **state)
{
    (void)state;
    assert_int_equal(sh("env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -n test ONLY='runner nonsense'"), 2);
    expect("ONLY: no such test: nonsense; right would be NAME of a tests/*/test_NAME.c.");
    assert_int_equal(sh("env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -n test ONLY='runner rules' >/dev/null"), 0);
}

/* Each of these leaves no line for the test that was running. */
static void programs_that_break_off_are_failures(void **state)
{
    (void)state;
    static const char start[] = "#!/bin/sh\necho '[==========] Running 1 test(s).'\necho '[ RUN      ] a'\n";
    static const struct {
        const char *end, *note;
    } rows[] = {{"exit 3\n", "test_x: a (exit code 3)"},
                {"kill -SEGV $$\n", "test_x: a (exit code 139)"},
                {"exit 0\n", "test_x: a (ended early)"},
                {"sleep 60\n", "test_x: a (stopped after 3 s)"},
                {"while :; do :; done\n", "s of CPU time)"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", start, rows[i].end);
        put("test_x", text);
        assert_int_equal(sh(i == 3 ? "PG_TEST_WALL=3 sh tests/run.sh $DIR/out $DIR/test_x"
                                   : "PG_TEST_LIMIT=1 PG_TEST_WALL=600 sh tests/run.sh $DIR/out $DIR/test_x"),
                         1);
        assert_string_equal(last_line(), "0 passed, 1 failed, 0 skipped");
        expect(rows[i].note);
    }
    put("test_x", "#!/bin/sh\nexit 0\n");
    assert_int_equal(sh("sh tests/run.sh $DIR/out $DIR/test_x"), 1);
    expect("(program) (ran no test)");
    assert_int_equal(sh("sh tests/run.sh $DIR/out $DIR/absent"), 1);
    expect("absent: (program) (exit code 127)");
}

/* A tree of its own with a `make test` that skips one test and ends as it is told; all other targets say `say` and end as
 * `others`. */
static void make_tree_of(const char *expected, int code, const char *say, int others)
{
    char text[600];
    assert_int_equal(sh("rm -rf $DIR/tree && mkdir -p $DIR/tree/.ci $DIR/tree/tests && cp .ci/run $DIR/tree/.ci/run"), 0);
    put("tree/tests/expected-skips", expected);
    snprintf(text, sizeof text,
             "test:\n\t@echo 'skipped test_good: b'; echo '1 passed, 0 failed, 1 skipped'; exit %d\n"
             ".DEFAULT:\n\t@echo '%s'; exit %d\n",
             code, say, others);
    put("tree/Makefile", text);
}
static void make_tree(const char *expected, int code) { make_tree_of(expected, code, "done", 0); }

static void ci_fails_on_unexpected_skips_only(void **state)
{
    (void)state;
    make_tree("# comment\ntest_good:b   # because\n", 0);
    assert_int_equal(sh("$DIR/tree/.ci/run"), 0);
    assert_string_equal(last_line(), "1 passed, 0 failed, 1 skipped");
    make_tree("# comment\ntest_good:c\n", 0);
    assert_int_equal(sh("$DIR/tree/.ci/run"), 1);
    expect("not named in tests/expected-skips:\n  test_good:b\n");
    make_tree("", 0);
    assert_int_equal(sh("$DIR/tree/.ci/run"), 1);
    make_tree("test_good:b\n", 1);
    assert_int_not_equal(sh("$DIR/tree/.ci/run"), 0);
}

/* Those of faults, fuzzing, Slurm and the browser too. */
static void ci_looks_for_skips_in_every_step(void **state)
{
    (void)state;
    static const char *const steps[] = {"tests    passed", "asan     passed", "fuzz     failed",
                                        "faults   failed", "slurm    failed", "browser  failed"};
    make_tree_of("test_good:b\n", 0, "skipped fault_x: a test", 0);
    assert_int_equal(sh("$DIR/tree/.ci/run"), 1);
    expect("not named in tests/expected-skips:\n  fault_x:a test\n");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        expect(steps[i]);
    make_tree_of("test_good:b\nfault_x:a test # as root\n", 0, "skipped fault_x: a test", 0);
    assert_int_equal(sh("$DIR/tree/.ci/run"), 0);
}

static void ci_runs_every_step_and_fails_with_any(void **state)
{
    (void)state;
    static const char *const steps[] = {"tests    passed", "asan     passed", "tsan     passed",
                                        "fuzz     failed", "faults   failed", "slurm    failed"};
    make_tree_of("test_good:b\n", 0, "no cure for it", 1);
    assert_int_equal(sh("$DIR/tree/.ci/run"), 1);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        expect(steps[i]);
    expect("no cure for it");
    assert_string_equal(last_line(), "1 passed, 0 failed, 1 skipped");
}

static void dependencies_are_named_where_apt_is_missing(void **state)
{
    (void)state;
    assert_int_equal(sh("sh harness/deps.sh build test"), 0);
    expect("deps: found: gcc");
    /* a machine without apt and without anything but a shell's own tools */
    assert_int_equal(
        sh("mkdir -p $DIR/bin && for t in awk sed id mktemp find grep rm tail; do ln -sf $(command -v $t) $DIR/bin/; done"), 0);
    assert_int_equal(sh("PATH=$DIR/bin /bin/sh harness/deps.sh build"), 1);
    expect("no apt-get here");
    expect(" libsqlite3-dev ");
    assert_int_equal(sh("sh harness/deps.sh nonsense"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passed_and_skipped_are_counted),
        cmocka_unit_test(failures_show_the_whole_output),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(programs_that_break_off_are_failures),
        cmocka_unit_test(ci_fails_on_unexpected_skips_only),
        cmocka_unit_test(ci_looks_for_skips_in_every_step),
        cmocka_unit_test(ci_runs_every_step_and_fails_with_any),
        cmocka_unit_test(dependencies_are_named_where_apt_is_missing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
