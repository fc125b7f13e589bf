/* Several workers: the same results as one, crashes that cost one attempt of one task, signals, memory that runs out. */
/* Loads libtorch, also under sanitizers. */
#include "harness/base/signals.h"
#include "tests/support/run_fixture.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

static int64_t ask(const char *db, const char *sql)
{
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    int64_t value = -1;
    if (sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(file, 20000) == SQLITE_OK && sqlite3_prepare_v2(file, sql, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW)
        value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(file);
    return value;
}

static void expect_said(const char *text)
{
    if (!strstr(program_output, text))
        fail_msg("\"%s\" is not in: %s", text, program_output);
}

static void run_on(const char *db, const char *matrix_name, int jobs, int want)
{
    int code = program_run(db, "run %s --task-images 8 -j %d", scratch_path(matrix_name), jobs);
    if (code != want)
        fail_msg("%d instead of %d: %s", code, want, program_output);
}

static void resume(const char *db)
{
    run_on(db, "m.toml", 1, 0);
    expect_undisturbed(db);
}

/* All workers take part, each task is done once, and the results are those of one. */
static void test_workers_share_the_tasks(void **state)
{
    (void)state;
    undisturbed();
    write_slow("slow.toml", 15000); /* longer than it takes a worker to start */
    run_on("three.db", "slow.toml", 3, 0);
    expect_undisturbed("three.db");
    assert_int_equal(ask("three.db", "SELECT count(*) FROM attempt"), 30);
    assert_int_equal(ask("three.db", "SELECT count(DISTINCT worker) FROM attempt WHERE result = 'done'"), 3);
    assert_int_equal(ask("three.db", "SELECT count(*) FROM worker WHERE ended IS NULL"), 0);
}

/* Two tasks keep two workers busy: a worker does not claim ahead what another would then miss. */
static void test_few_tasks_are_shared(void **state)
{
    (void)state;
    static const char few[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nbatch = 8\nnull.sleep_us = 100000\n"
                              "defense = \"ds\"\npatch = 2\nimages = \"0:16\"\n";
    scratch_write("few.toml", few, strlen(few));
    run_on("few.db", "few.toml", 2, 0);
    assert_int_equal(ask("few.db", "SELECT count(DISTINCT worker) FROM attempt WHERE result = 'done'"), 2);
}

/* While the network has one task in hand, the one before it is certified and stored, and the next one is claimed and read. */
static void test_stages_overlap(void **state)
{
    (void)state;
    write_slow("slow.toml", 100000);
    pid_t child = program_start("overlap.db", scratch_path("slow.toml"));
    wait_for("overlap.db", "SELECT (SELECT count(*) FROM task WHERE state = 'done') = 1"
                           " AND (SELECT count(*) FROM task WHERE state = 'running') = 2");
    kill(-child, SIGKILL);
    program_wait(child);
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
        expect_said("images 96 to 103: its worker died of SIGABRT (Aborted); will be tried again");
        expect_said("images 96 to 103: its worker died of SIGABRT (Aborted); given up");
        expect_said("1 of 30 tasks failed");
        assert_int_equal(ask(db, "SELECT count(*) FROM attempt WHERE result = 'failed'"), 3);
        assert_int_equal(ask(db, "SELECT sum(attempts) FROM task"), 3);
        assert_int_equal(ask(db, "SELECT first FROM task WHERE state = 'failed' AND error LIKE '%SIGABRT%'"), 96);
        assert_int_equal(ask(db, "SELECT count(*) FROM task WHERE state = 'done'"), 29);
        resume(db);
    }
}

/* The first task that is given up stops the run; the same command goes on. */
static void test_fail_fast(void **state)
{
    (void)state;
    static const char *const faults[] = {"fail_image", "crash_image"};
    undisturbed();
    for (int i = 0; i < 2; i++) {
        char db[32];
        snprintf(db, sizeof db, "fast%d.db", i);
        int code = program_run(db, "run %s --task-images 8 --fail-fast -S null.%s=20", scratch_path("m.toml"), faults[i]);
        if (code != 1)
            fail_msg("%d: %s", code, program_output);
        expect_said("1 of 30 tasks failed");
        assert_int_equal(ask(db, "SELECT attempts FROM task WHERE state = 'failed'"), 3);
        assert_true(ask(db, "SELECT count(*) FROM task WHERE state = 'pending'") > 0);
        assert_int_equal(ask(db, "SELECT count(*) FROM task WHERE state = 'running'"), 0);
        code =
            program_run(db, "run %s --task-images 8 --fail-fast --keep-going -S null.%s=20", scratch_path("m.toml"), faults[i]);
        assert_int_equal(code, 1);
        assert_int_equal(ask(db, "SELECT count(*) FROM task WHERE state = 'done'"), 29);
        resume(db);
    }
}

/* ---- Kills and signals ---- */

/* Kills the worker that started last, with one task in the network's hands and one claimed besides. */
static void kill_worker(const char *db)
{
    wait_for(db, "SELECT count(*) = 2 FROM task WHERE owner = (SELECT max(worker) FROM worker)");
    pid_t worker = (pid_t)ask(db, "SELECT pid FROM worker ORDER BY worker DESC LIMIT 1");
    assert_true(worker > 1);
    assert_int_equal(kill(worker, SIGKILL), 0);
}

/* A worker that is killed is replaced: the task in its hands is charged, what it had claimed besides is not. */
static void test_killed_worker(void **state)
{
    (void)state;
    undisturbed();
    write_slow("stuck.toml", 2000000);
    pid_t child = program_start_jobs("killed.db", scratch_path("stuck.toml"), 2);
    wait_for("killed.db", "SELECT count(*) = 2 FROM worker");
    kill_worker("killed.db");
    wait_for("killed.db", "SELECT count(*) = 3 FROM worker");
    kill_worker("killed.db");
    wait_for("killed.db", "SELECT count(*) = 4 FROM worker");
    kill(-child, SIGKILL);
    program_wait(child);
    assert_int_equal(ask("killed.db", "SELECT count(*) FROM attempt WHERE result = 'failed'"), 2);
    assert_int_equal(ask("killed.db", "SELECT count(*) FROM attempt WHERE error = 'its worker died of SIGKILL (Killed)'"), 2);
    assert_int_equal(ask("killed.db", "SELECT count(*) FROM attempt WHERE result = 'lost'"), 2);
    assert_int_equal(ask("killed.db", "SELECT sum(attempts) FROM task"), 2);
    resume("killed.db");
    assert_int_equal(ask("killed.db", "SELECT sum(attempts) FROM task"), 2);
}

static bool is_gone(pid_t pid)
{
    for (int tries = 0; tries < 60000; tries++) {
        char path[64], text[512] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *stat = fopen(path, "r");
        if (!stat || !fgets(text, sizeof text, stat) || strstr(text, ") Z ")) /* a zombie waits for its new parent */
            return !stat || fclose(stat) == 0;
        fclose(stat);
        sleep_s(0.01);
    }
    return false;
}

/* Workers do not outlive their supervisor, however it ends. */
static void test_killed_supervisor(void **state)
{
    (void)state;
    static const int signals[][2] = {{SIGKILL, 0}, {SIGTERM, SIGTERM}, {SIGUSR1, SIGKILL}};
    undisturbed();
    write_slow("stuck.toml", 2000000);
    for (int i = 0; i < 3; i++) {
        char db[32];
        pid_t workers[2];
        snprintf(db, sizeof db, "orphan%d.db", i);
        pid_t child = program_start_jobs(db, scratch_path("stuck.toml"), 2);
        wait_for(db, "SELECT count(DISTINCT owner) = 2 FROM task WHERE state = 'running'");
        workers[0] = (pid_t)ask(db, "SELECT min(pid) FROM worker");
        workers[1] = (pid_t)ask(db, "SELECT max(pid) FROM worker");
        for (int k = 0; k < 2 && signals[i][k]; k++) {
            if (k == 1)
                sleep_s(0.3);
            kill(child, signals[i][k]);
        }
        assert_int_equal(program_wait(child), i == 1 ? 3 : 128 + SIGKILL);
        assert_true(is_gone(workers[0]) && is_gone(workers[1]));
        resume(db);
        assert_int_equal(ask(db, "SELECT sum(attempts) FROM task"), 0); /* nobody is charged */
    }
}

/* The first signal, to the supervisor alone or to all, lets every worker finish what it has. */
static void test_workers_drain(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
    undisturbed();
    for (int i = 0; i < 6; i++) {
        char db[32];
        snprintf(db, sizeof db, "drain%d.db", i);
        write_slow("slow.toml", 20000);
        pid_t child = program_start_jobs(db, scratch_path("slow.toml"), 3);
        wait_for(db, "SELECT count(*) FROM task WHERE state = 'done'");
        kill(i < 3 ? child : -child, signals[i % 3]);
        assert_int_equal(program_wait(child), 3);
        assert_int_equal(ask(db, "SELECT count(*) FROM attempt WHERE result <> 'done'"), 0); /* nothing failed, nothing lost */
        assert_int_equal(ask(db, "SELECT count(*) FROM task WHERE state NOT IN ('done', 'pending')"), 0);
        assert_int_equal(ask(db, "SELECT count(*) FROM worker WHERE ended IS NULL"), 0);
        if (i % 3 == 0)
            resume(db);
    }
}

/* ---- Runs of other matrices on the same database ---- */

/* Two matrices that share a cell; the second one is planned while the first one runs, and has made tasks for cells of both. */
static void start_two(const char *db, pid_t runs[2])
{
    static const char text[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nbatch = 8\nnull.sleep_us = 10000\n"
                               "images = \"0:64\"\npatch = 2\n[axes]\ndefense = [\"ds\", \"%s\"]\n";
    char file[512];
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "second.toml" : "first.toml";
        snprintf(file, sizeof file, text, i ? "median" : "clip");
        scratch_write(name, file, strlen(file));
        runs[i] = program_start(db, scratch_path(name));
        wait_for(db, i ? "SELECT count(*) = 2 FROM worker" : "SELECT count(*) > 0 FROM task WHERE state = 'running'");
    }
}

static int64_t outcomes_of(const char *db, const char *defense)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM outcome JOIN cell USING (cell) WHERE settings LIKE '%%defense=%s\n%%'",
             defense);
    return ask(db, sql);
}

/* A worker that joins late claims no task with cells of the other run. */
static void test_late_worker_beside_another_run(void **state)
{
    (void)state;
    pid_t runs[2];
    start_two("late.db", runs);
    pid_t worker = (pid_t)ask("late.db", "SELECT pid FROM worker ORDER BY worker LIMIT 1");
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_int_equal(program_wait(runs[0]), 0);
    assert_int_equal(program_wait(runs[1]), 0);
    assert_int_equal(ask("late.db", "SELECT count(*) FROM task WHERE state <> 'done'"), 0);
    assert_int_equal(ask("late.db", "SELECT count(*) FROM outcome"), 3 * 64);
}

/* The other run dies with cells of ours in its hands and ahead of it: we run them, and leave it what is its own. */
static void test_the_other_run_dies(void **state)
{
    (void)state;
    pid_t runs[2];
    start_two("dies.db", runs);
    kill(-runs[1], SIGKILL);
    program_wait(runs[1]);
    assert_int_equal(program_wait(runs[0]), 0);
    assert_int_equal(outcomes_of("dies.db", "ds"), 64);
    assert_int_equal(outcomes_of("dies.db", "clip"), 64);
    assert_true(outcomes_of("dies.db", "median") < 64);
    assert_true(ask("dies.db", "SELECT count(*) FROM task WHERE state = 'pending'") > 0);
    run_on("dies.db", "second.toml", 2, 0);
    assert_int_equal(outcomes_of("dies.db", "median"), 64);
}

/* ---- Networks ---- */

/* A library that kills whoever loads it is tried three times, and does not keep the others from running. */
static void test_a_network_that_kills(void **state)
{
    (void)state;
    static const char zoo[] = "models/zoo/synthetic-ds.safetensors", source[] =
                                                                         "#include <stdlib.h>\n"
                                                                         "__attribute__((constructor)) static void end(void) "
                                                                         "{ abort(); }\n";
    char line[1200];
    if (access(zoo, R_OK) != 0 || system("command -v cc >/dev/null") != 0)
        skip();
    undisturbed();
    scratch_write("end.c", source, strlen(source));
    snprintf(line, sizeof line, "cc -shared -fPIC -o '%s/end.so' '%s/end.c'", scratch_folder, scratch_folder);
    assert_int_equal(system(line), 0);
    setenv("PATCHGAUGE_TORCH", scratch_path("end.so"), 1);
    int alone = program_run("kills.db", "run %s -S weights=%s", scratch_path("m.toml"), zoo);
    bool touched = access(scratch_path("kills.db"), F_OK) == 0;
    expect_said("opening the network: its worker died of SIGABRT (Aborted)");
    int beside = program_run("kills.db", "run %s --task-images 8 -j 2 -S weights=null,%s", scratch_path("m.toml"), zoo);
    unsetenv("PATCHGAUGE_TORCH");
    expect_said("30 of 60 tasks failed");
    assert_int_equal(alone, 4);
    assert_false(touched);
    assert_int_equal(beside, 1);
    assert_int_equal(ask("kills.db", "SELECT count(*) FROM task WHERE state = 'done'"), 30);
    assert_int_equal(ask("kills.db", "SELECT count(*) FROM task WHERE error LIKE 'opening the network: %SIGABRT%'"), 30);
    assert_int_equal(ask("kills.db", "SELECT sum(attempts) FROM task"), 0);
}

/* Memory that runs out halves the batch of a task until it fits, and is told wherever results are. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    undisturbed();
    assert_int_equal(program_run("memory.db", "run %s --task-images 32 -S null.memory_images=3", scratch_path("m.toml")), 0);
    expect_said("images 0 to 31: the null model has memory for 3 images, not for 8; going on with a batch of 4");
    expect_said("images 0 to 31: the null model has memory for 3 images, not for 4; going on with a batch of 2");
    expect_undisturbed("memory.db"); /* the null model does not mind */
    assert_int_equal(ask("memory.db", "SELECT count(*) FROM attempt WHERE batch = 2 AND result = 'done'"), 8);
    assert_int_equal(program_run("memory.db", "table %s", scratch_path("m.toml")), 0);
    expect_said("memory ran out, so the batch was smaller than asked for");
    assert_int_equal(
        program_run("memory.db", "show $(%s --db %s ls | sed -n 2p | cut -c 1-12)", program_path(), scratch_path("memory.db")),
        0);
    expect_said("smallest batch       2: memory ran out");
    assert_int_equal(program_run("whole.db", "table %s", scratch_path("m.toml")), 0);
    assert_null(strstr(program_output, "memory ran out"));
}

/* Where even one image does not fit, the task has failed for that reason; the others are none the worse. */
static void test_memory_for_no_image(void **state)
{
    (void)state;
    static const char tight[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nbatch = 8\ndefense = \"ds\"\npatch = 2\n"
        "images = \"0:16\"\n";
    scratch_write("tight.toml", tight, strlen(tight));
    assert_int_equal(program_run("tight.db", "run %s --task-images 8 -S null.memory_images=-1", scratch_path("tight.toml")), 2);
    assert_int_equal(program_run("tight.db", "run %s --task-images 8 -S null.memory_images=1", scratch_path("tight.toml")), 0);
    expect_said("not for 2; going on with a batch of 1");
    assert_int_equal(ask("tight.db", "SELECT max(batch) FROM attempt"), 1);
}

/* ---- What a crash leaves ---- */

typedef struct crash_state {
    atomic_llong crashed;
    pthread_barrier_t ready;
} crash_state;

static void *crash_main(void *context)
{
    crash_state *s = context;
    pg_signals_hold(7);
    pthread_barrier_wait(&s->ready);
    abort();
}

/* Libraries that get no memory may crash: where it is limited, that is said. */
static void test_a_crash_names_the_limit_of_memory(void **state)
{
    (void)state;
    struct rlimit limit, before; /* of no effect but for the message */
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)1 << 62;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    int code = program_run("limit.db", "run %s --task-images 8 -S null.crash_image=100", scratch_path("m.toml"));
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(code, 1);
#ifdef __SANITIZE_THREAD__ /* which lifts the limit of a program that it is in */
    expect_said("its worker died of SIGABRT (Aborted); given up");
#else
    expect_said(
        "its worker died of SIGABRT (Aborted); ulimit -v leaves it 4398046511104 MiB of memory, which may be why; given up");
#endif
}

/* The task of the thread that crashed is named, not that of the thread that runs the network. */
static void test_a_crash_names_its_thread(void **state)
{
    (void)state;
    crash_state *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pg_signals_leave(&s->crashed);
        pthread_barrier_init(&s->ready, NULL, 2);
        pg_signals_hold(9);
        if (pthread_create(&thread, NULL, crash_main, s) == 0)
            pthread_barrier_wait(&s->ready);
        for (;;)
            sleep_s(1);
    }
    assert_int_equal(program_wait(child), 128 + SIGABRT);
    assert_int_equal(atomic_load(&s->crashed), 7);
    munmap(s, sizeof *s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_share_the_tasks),
        cmocka_unit_test(test_few_tasks_are_shared),
        cmocka_unit_test(test_stages_overlap),
        cmocka_unit_test(test_a_crash_costs_one_attempt),
        cmocka_unit_test(test_a_crash_names_the_limit_of_memory),
        cmocka_unit_test(test_fail_fast),
        cmocka_unit_test(test_killed_worker),
        cmocka_unit_test(test_killed_supervisor),
        cmocka_unit_test(test_workers_drain),
        cmocka_unit_test(test_late_worker_beside_another_run),
        cmocka_unit_test(test_the_other_run_dies),
        cmocka_unit_test(test_a_network_that_kills),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_memory_for_no_image),
        cmocka_unit_test(test_a_crash_names_its_thread),
    };
    return cmocka_run_group_tests_name("workers", tests, make, scratch_remove);
}
