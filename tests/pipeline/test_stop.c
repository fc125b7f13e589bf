/* Ctrl-C within a task of many passes: it stops at the next one, images that are whole are kept, and the same command goes on
 * with the others; what is stored in the end is byte for byte that of a run that nobody stopped. */
#include "tests/support/program.h"

#include "harness/base/rng.h"
#include "tests/faults/faults.h"

#include <signal.h>

enum { STOPS = 2, STOPS_IN_A_ROW = 2 };

typedef struct subject {
    const char *name, *jobs, *text;
} subject;

static const subject subjects[] = {
    {"attack", "1",
     "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-ds.safetensors\"\nimages = \"3:23\"\nbatch = 16\n"
     "patch = 8\nattack = \"lavan\"\nlavan.steps = 6\nlavan.batch = 5\n[axes]\ndefense = [\"ds\", \"robust-masking\"]\n"},
    {"masked", "1",
     "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"5:13\"\nbatch = 16\nnull.sleep_us = 2000\n"
     "defense = \"patchcleanser\"\n\"patchcleanser.masks\" = 4\n[axes]\npatch = [5]\n"},
    {"plain", "2",
     "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"3:160\"\nbatch = 8\nnull.sleep_us = 2000\n"
     "[axes]\ndefense = [\"mean\", \"ds\", \"robust-masking\"]\npatch = [2, 5]\n"},
};

static pid_t start(const char *db, const subject *s)
{
    return fault_start("said",
                       (const char *const[]){"--db", scratch_path(db), "run", scratch_path("m.toml"), "-j", s->jobs, NULL});
}

static char *table_of(const char *db)
{
    if (program_run(db, "table %s --rows defense --cols patch -f csv 2>/dev/null", scratch_path("m.toml")) != 0)
        fail_msg("%s", program_output);
    return strdup(program_output);
}

static void expect_said(const char *text)
{
    char *said = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("said"), 1 << 20, &said, &size), PG_OK);
    if (!strstr(said, text))
        fail_msg("no \"%s\" in: %s", text, said);
    free(said);
}

static bool is_at_work(const char *db)
{
    return access(scratch_path(db), F_OK) == 0 && fault_number(db, "SELECT count(*) FROM task WHERE state = 'running'") > 0;
}

/* Stops a run somewhere within the time that it takes; false: it was through before. */
static bool stop(const char *db, const subject *s, double run_s, pg_rng *rng)
{
    pid_t child = start(db, s);
    int status = 0;
    while (!is_at_work(db) && waitpid(child, &status, WNOHANG) == 0)
        fault_sleep(0.005);
    if (!is_at_work(db) && WIFEXITED(status) && kill(child, 0) != 0)
        return false;
    fault_sleep(run_s * pg_rng_unit(rng));
    kill(child, SIGINT);
    int code = program_wait(child);
    if (code != 0 && code != 3)
        expect_said("no failure");
    if (code == 3) {
        expect_said("interrupted: ");
        expect_said("; the same command goes on");
        assert_int_equal(fault_number(db, "SELECT count(*) FROM task WHERE state NOT IN ('done', 'pending')"), 0);
        assert_int_equal(fault_number(db, "SELECT count(*) FROM attempt WHERE result <> 'done'"), 0);
    }
    return code == 3;
}

static void play(const subject *s)
{
    pg_rng rng = pg_rng_make(5, PG_STREAM_TEST, (uint32_t)(s - subjects));
    fault_write("m.toml", s->text);
    pid_t child = start("whole.db", s);
    while (!is_at_work("whole.db"))
        fault_sleep(0.005);
    double begun_s = fault_now_s();
    assert_int_equal(program_wait(child), 0);
    double run_s = fault_now_s() - begun_s;
    char *whole = fault_dump_outcomes("whole.db"), *table = table_of("whole.db");
    int64_t tasks = fault_number("whole.db", "SELECT count(*) FROM task");
    int stops = 0;
    int64_t parts = 0;
    for (int round = 0; stops < STOPS || parts == 0; round++) {
        assert_true(round < 20);
        for (int i = 0; i < STOPS_IN_A_ROW && stop("stop.db", s, run_s, &rng); i++)
            stops++;
        assert_int_equal(program_wait(start("stop.db", s)), 0);
        char *have = fault_dump_outcomes("stop.db"), *have_table = table_of("stop.db");
        if (!have)
            fail_msg("%s", pg_error_message());
        assert_string_equal(have, whole);
        assert_string_equal(have_table, table);
        parts += fault_number("stop.db", "SELECT count(*) FROM task") - tasks;
        char command[600];
        snprintf(command, sizeof command, "rm -f '%s'/stop.db*", scratch_folder);
        assert_int_equal(system(command), 0);
        free(have);
        free(have_table);
    }
    print_message("%s: stopped %d times, %lld parts of tasks kept\n", s->name, stops, (long long)parts);
    assert_true(parts > 0);
    free(whole);
    free(table);
}

static int clear(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -f '%s'/*", scratch_folder);
    return system(command);
}

static void test_attack(void **state)
{
    (void)state;
    play(&subjects[0]);
}

static void test_masked_images(void **state)
{
    (void)state;
    play(&subjects[1]);
}

static void test_plain(void **state)
{
    (void)state;
    play(&subjects[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_attack, clear),
                                       cmocka_unit_test_teardown(test_masked_images, clear),
                                       cmocka_unit_test_teardown(test_plain, clear)};
    return cmocka_run_group_tests_name("stop", tests, scratch_make, scratch_remove);
}
