/* Several workers: the same results as one, crashes that cost one attempt of one task, signals, memory that runs out. */
#include "harness/run/run.h"
#include "tests/run_fixture.h"

static int64_t ask(const char *db, const char *sql)
{
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    int64_t value = -1;
    if (sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(file, sql, -1, &row, NULL) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
        value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(file);
    return value;
}

/* All workers take part, each task is done once, and the results are those of one. */
static void test_workers_share_the_tasks(void **state)
{
    (void)state;
    undisturbed();
    write_slow("slow.toml", 15000); /* longer than it takes a worker to start */
    assert_int_equal(program_run("three.db", "run %s --task-images 8 --quiet -j 3", scratch_path("slow.toml")), 0);
    expect_undisturbed("three.db");
    assert_int_equal(ask("three.db", "SELECT count(*) FROM attempt"), 30);
    assert_int_equal(ask("three.db", "SELECT count(DISTINCT worker) FROM attempt WHERE result = 'done'"), 3);
    assert_int_equal(ask("three.db", "SELECT count(*) FROM worker WHERE ended IS NULL"), 0);
}

/* A network that aborts the process costs the task in hand three attempts and nobody else one. */
static void test_a_crash_costs_one_attempt(void **state)
{
    (void)state;
    undisturbed();
    for (int jobs = 1; jobs <= 3; jobs += 2) {
        char db[32];
        snprintf(db, sizeof db, "crash%d.db", jobs);
        int code = program_run(db, "run %s --task-images 8 -j %d -S null.crash_image=100", scratch_path("m.toml"), jobs);
        if (code != 1)
            fail_msg("%d: %s", code, program_output);
        assert_non_null(strstr(program_output, "images 96 to 103: its worker died of SIGABRT (Aborted); will be tried again"));
        assert_non_null(strstr(program_output, "images 96 to 103: its worker died of SIGABRT (Aborted); given up"));
        assert_non_null(strstr(program_output, "1 of 30 tasks failed"));
        assert_int_equal(ask(db, "SELECT count(*) FROM attempt WHERE result = 'failed'"), 3);
        assert_int_equal(ask(db, "SELECT sum(attempts) FROM task"), 3);
        assert_int_equal(ask(db, "SELECT first FROM task WHERE state = 'failed' AND error LIKE '%SIGABRT%'"), 96);
        assert_int_equal(ask(db, "SELECT count(*) FROM task WHERE state = 'done'"), 29);
        assert_int_equal(program_run(db, "run %s --quiet", scratch_path("m.toml")), 0);
        expect_undisturbed(db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_share_the_tasks),
        cmocka_unit_test(test_a_crash_costs_one_attempt),
    };
    return cmocka_run_group_tests_name("workers", tests, make, scratch_remove);
}
