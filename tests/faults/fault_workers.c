/* Several workers and schedulers on one store: nobody sees that it is busy and no task is claimed twice; a worker that was
 * stopped and comes back late changes nothing; no clock decides anything. */
#include "tests/faults/faults.h"

#include <dirent.h>
#include <fcntl.h>

enum { ROUNDS = 5, WORKERS = 4, DAY_S = 86400 };

static const char matrix[] =
    "name = \"workers\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:160\"\n"
    "batch = 4\nnull.sleep_us = %d\n[axes]\ndefense = [\"mean\", \"ds\", \"robust-masking\"]\npatch = [2, 5]\n";
static char *whole;

static void write_matrix(const char *name, int microseconds)
{
    char text[1024];
    snprintf(text, sizeof text, matrix, microseconds);
    fault_write(name, text);
}

/* A run with so many workers; what it says goes to `said`. `shift`: seconds by which its clock is wrong. */
static pid_t start(const char *db, const char *name, int workers, const char *said, long shift)
{
    char count[16], shim[4096], seconds[32];
    snprintf(count, sizeof count, "%d", workers);
    snprintf(seconds, sizeof seconds, "%ld", shift);
    const char *slash = strrchr(program_path(), '/');
    snprintf(shim, sizeof shim, "%.*s/tests/faults/shim_clock.so", slash ? (int)(slash - program_path()) : 1,
             slash ? program_path() : ".");
    if (shift) {
        assert_int_equal(access(shim, R_OK), 0);
        setenv("LD_PRELOAD", shim, 1);
        setenv("PG_CLOCK_SHIFT", seconds, 1);
    }
    pid_t child = fault_start(said, (const char *const[]){"--db", scratch_path(db), "run", scratch_path(name), "-j", count,
                                                          "--task-images", "4", NULL});
    unsetenv("LD_PRELOAD");
    return child;
}

static int make(void **state)
{
    if (fault_make(state) != 0)
        return -1;
    write_matrix("fast.toml", 0);
    write_matrix("slow.toml", 20000); /* 80 ms a task */
    if (program_wait(start("whole.db", "fast.toml", 1, "said", 0)) != 0)
        return -1;
    return (whole = fault_dump("whole.db")) ? 0 : -1;
}

static int clean(void **state)
{
    free(whole);
    return scratch_remove(state);
}

static char *text_of(const char *name)
{
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 24, &text, &size), PG_OK);
    return text;
}

static void expect_calm(const char *name)
{
    char *said = text_of(name);
    if (strstr(said, "busy") || strstr(said, "locked") || strstr(said, "warning"))
        fail_msg("%s", said);
    free(said);
}

static int64_t attempts(const char *db, const char *result)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM attempt WHERE result = '%s'", result);
    return fault_number(db, sql);
}

/* Waits until the store has this many tasks in a state. */
static void wait_for(const char *db, const char *state, int64_t n)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM task WHERE state = '%s'", state);
    for (int tries = 0; tries < 60000; tries++) {
        if (access(scratch_path(db), F_OK) == 0 && fault_number(db, sql) >= n)
            return;
        fault_sleep(0.01);
    }
    fail_msg("waited in vain for %lld tasks that are %s", (long long)n, state);
}

static void test_two_schedulers(void **state)
{
    (void)state;
    int64_t tasks = 0, twice = 0, workers = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char db[32];
        snprintf(db, sizeof db, "two%d.db", i);
        const char *name = i % 2 ? "slow.toml" : "fast.toml"; /* both close together and in competition */
        pid_t a = start(db, name, WORKERS, "a", 0), b = start(db, name, WORKERS, "b", 0);
        assert_int_equal(program_wait(a), 0);
        assert_int_equal(program_wait(b), 0);
        expect_calm("a");
        expect_calm("b");
        fault_expect(db, whole);
        tasks += fault_number(db, "SELECT count(*) FROM task WHERE state = 'done'");
        twice += fault_number(db, "SELECT count(*) FROM task WHERE epoch <> 1") +
                 fault_number(db, "SELECT count(*) FROM attempt") - fault_number(db, "SELECT count(*) FROM task");
        workers += fault_number(db, "SELECT count(DISTINCT worker) FROM attempt");
    }
    fault_count("2 schedulers with %d workers each, %d times: %lld tasks by %lld workers, %lld claimed twice, 0 busy", WORKERS,
                ROUNDS, (long long)tasks, (long long)workers, (long long)twice);
    assert_int_equal(tasks, ROUNDS * 40);
    assert_int_equal(twice, 0);
    assert_true(workers > 2 * ROUNDS);
}

/* Takes the lock files of a store away, as somebody does who believes its workers dead. How many there were. */
static int remove_locks(const char *db)
{
    char mark[64];
    int n = 0;
    snprintf(mark, sizeof mark, "%s.worker-", db);
    DIR *folder = opendir(scratch_folder);
    assert_non_null(folder);
    for (struct dirent *d; (d = readdir(folder));)
        if (strncmp(d->d_name, mark, strlen(mark)) == 0)
            n += unlink(scratch_path(d->d_name)) == 0;
    closedir(folder);
    return n;
}

/* Whether a write could begin. */
static bool is_free(const char *db)
{
    sqlite3 *file = NULL;
    bool good = sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                sqlite3_exec(file, "BEGIN IMMEDIATE; ROLLBACK", NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(file);
    return good;
}

/* Between two writes: who is stopped within one keeps everybody waiting, and that is no subject here. */
static void stop(pid_t group, const char *db)
{
    for (int tries = 0; tries < 100; tries++) {
        kill(-group, SIGSTOP);
        fault_sleep(0.05); /* a system call under way ends first */
        if (is_free(db))
            return;
        kill(-group, SIGCONT);
        fault_sleep(0.003 * (tries + 1));
    }
    fail_msg("every stop fell into a write");
}

static void test_stopped_worker(void **state)
{
    (void)state;
    int64_t late = 0, lost = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char db[32];
        snprintf(db, sizeof db, "stopped%d.db", i);
        pid_t first = start(db, "slow.toml", 2, "a", 0);
        wait_for(db, "done", 1 + 2 * i);
        stop(first, db);
        if (fault_number(db, "SELECT count(*) FROM task WHERE state = 'running'") == 0)
            fail_msg("the run was stopped too late");
        assert_true(remove_locks(db) > 0);
        assert_int_equal(program_wait(start(db, "fast.toml", 2, "b", 0)), 0);
        fault_expect(db, whole);
        kill(-first, SIGCONT);
        assert_int_equal(program_wait(first), 0);
        fault_expect(db, whole);
        late += attempts(db, "stale");
        lost += attempts(db, "lost");
        assert_int_equal(attempts(db, "done"), 40);
    }
    fault_count("%d times 2 workers stopped, their tasks given to others, then continued: %lld tasks reassigned, %lld late "
                "results, 0 changed anything",
                ROUNDS, (long long)lost, (long long)late);
    assert_true(lost >= ROUNDS);
    assert_true(late >= ROUNDS);
}

/* A worker's clock is a day behind, another scheduler's a day ahead, and the lock files look a day old. */
static void test_moved_clocks(void **state)
{
    (void)state;
    int64_t requeued = 0;
    for (int i = 0; i < 2; i++) {
        char db[32];
        snprintf(db, sizeof db, "clock%d.db", i);
        pid_t slow = start(db, "slow.toml", 2, "a", i ? -DAY_S : 0);
        wait_for(db, "done", 1);
        char command[600];
        snprintf(command, sizeof command, "touch -d yesterday '%s'/%s*", scratch_folder, db);
        assert_int_equal(system(command), 0);
        assert_int_equal(program_wait(start(db, "fast.toml", 2, "b", DAY_S)), 0);
        assert_int_equal(program_wait(slow), 0);
        requeued += attempts(db, "lost") + attempts(db, "stale");
        fault_expect(db, whole);
        assert_true(fault_number(db, "SELECT count(*) FROM worker WHERE abs(julianday(started) - julianday('now')) > 0.9") >=
                    2);
    }
    fault_count("clocks wrong by a day, 2 times: %lld tasks requeued", (long long)requeued);
    assert_int_equal(requeued, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_schedulers),
        cmocka_unit_test(test_stopped_worker),
        cmocka_unit_test(test_moved_clocks),
    };
    return cmocka_run_group_tests_name("workers", tests, make, clean);
}
