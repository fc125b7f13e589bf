/* tests/run.sh: how it counts what programs print, what it stops, and what it does not forgive. Programs here are scripts. */
#include "tests/support/program.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define BEGIN "echo '[==========] Running 1 test(s).'; echo '[ RUN      ] it'; "
#define END   "echo '[       OK ] it'; echo '[==========] 1 test(s) run.'\n"

static void write_program(const char *name, const char *text)
{
    char script[1024];
    snprintf(script, sizeof script, "#!/bin/sh\n%s", text);
    scratch_write(name, script, strlen(script));
    assert_int_equal(chmod(scratch_path(name), 0700), 0);
}

/* Runs one script as the whole suite, in the scratch folder; whether the lines that follow stand in what is printed. */
static void expect(const char *environment, const char *text, int code, const char *line, const char *last)
{
    char command[2048], tree[256];
    assert_non_null(getcwd(tree, sizeof tree));
    write_program("test_x", text);
    snprintf(command, sizeof command, "exec 2>&1; cd '%s'; %s exec sh '%s/tests/run.sh' out ./test_x", scratch_folder,
             environment, tree);
    int got = program_shell(command);
    if (got != code || !strstr(program_output, line) || !strstr(program_output, last))
        fail_msg("%s: exit code %d, expected %d with '%s' and '%s':\n%s", text, got, code, line, last, program_output);
}

static void results_are_counted(void **state)
{
    (void)state;
    expect("", BEGIN END, 0, "ok      test_x: it\n", "1 passed, 0 failed, 0 skipped\n");
    expect("", BEGIN "echo '[  SKIPPED ] it'; echo '[==========] 1 test(s) run.'\n", 0, "skipped test_x: it\n",
           "0 passed, 0 failed, 1 skipped\n");
    expect("", BEGIN "echo '[  FAILED  ] it'; echo '[==========] 1 test(s) run.'; exit 1\n", 1, "FAILED  test_x: it\n",
           "0 passed, 1 failed, 0 skipped\n");
    expect("", BEGIN "kill -SEGV $$\n", 1, "FAILED  test_x: it (exit code 139)\n", "0 passed, 1 failed, 0 skipped\n");
    expect("", BEGIN "exit 0\n", 1, "FAILED  test_x: it (ended early)\n", "0 passed, 1 failed, 0 skipped\n");
    expect("", "exit 0\n", 1, "FAILED  test_x: (program) (ran no test)\n", "0 passed, 1 failed, 0 skipped\n");
}

/* Waiting is free: a busy machine makes a program wait. */
static void cpu_time_is_limited(void **state)
{
    (void)state;
    expect("OMP_NUM_THREADS=1 PG_TEST_LIMIT=1 PG_TEST_WALL=600", BEGIN "while :; do :; done\n", 1,
           "(stopped after 1 s of CPU time)\n", "0 passed, 1 failed, 0 skipped\n");
    expect("OMP_NUM_THREADS=1 PG_TEST_LIMIT=1 PG_TEST_WALL=600", BEGIN "sleep 3; " END, 0, "ok      test_x: it\n",
           "1 passed, 0 failed, 0 skipped\n");
}

static void what_hangs_is_stopped(void **state)
{
    (void)state;
    expect("PG_TEST_WALL=1", BEGIN "exec sleep 600\n", 1, "FAILED  test_x: it (stopped after 1 s)\n",
           "0 passed, 1 failed, 0 skipped\n");
}

static void nothing_is_left_outside_of_scratch_folders(void **state)
{
    (void)state;
    expect("XDG_CACHE_HOME=$PWD/mine", BEGIN "mkdir -p ${XDG_CACHE_HOME:-$HOME/.cache}/patchgauge; " END, 1,
           "FAILED  (all): left outside of scratch folders: ", "1 passed, 1 failed, 0 skipped\n");
    assert_int_equal(access(scratch_path("mine"), F_OK), -1);
    expect("", BEGIN ": >patchgauge.db; " END, 1, "FAILED  (all): left outside of scratch folders: ./patchgauge.db\n",
           "1 passed, 1 failed, 0 skipped\n");
    expect("", BEGIN END, 0, "ok      test_x: it\n", "1 passed, 0 failed, 0 skipped\n"); /* the database was there before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_counted),
        cmocka_unit_test(cpu_time_is_limited),
        cmocka_unit_test(what_hangs_is_stopped),
        cmocka_unit_test(nothing_is_left_outside_of_scratch_folders),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
