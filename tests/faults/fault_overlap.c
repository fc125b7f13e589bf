/* Two runs of matrices that share cells on one database, killed at random moments, whole or one worker, and started again:
 * every run ends with all its cells, and they are those of runs one after the other. PG_FAULTS_ROUNDS: how often. */
#include "tests/faults/faults.h"

enum { ROUNDS = 10, RUNS = 3, EVENTS = 6, TASK_DEATHS = 2 /* one less than give a task up */ };

static const char matrix[] =
    "name = \"%s\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:96\"\nbatch = 8\n"
    "null.sleep_us = %d\n[axes]\ndefense = [\"ds\", \"%s\"]\npatch = [%s]\n";
static const struct {
    const char *name, *defense, *patches, *jobs, *images;
} runs[RUNS] = {
    {"a.toml", "clip", "3, 5", "2", "16"}, {"b.toml", "median", "5, 6", "1", "16"}, {"c.toml", "clip", "5, 6", "2", "24"}};
static char *whole, *tables[RUNS];

static pid_t start(const char *db, int run)
{
    char said[16];
    snprintf(said, sizeof said, "said%d", run);
    return fault_start(said, (const char *const[]){"--db", scratch_path(db), "--quiet", "run", scratch_path(runs[run].name),
                                                   "-j", runs[run].jobs, "--task-images", runs[run].images, NULL});
}

static char *table_of(const char *db, int run)
{
    if (program_run(db, "table %s --rows defense --cols patch -f csv 2>/dev/null", scratch_path(runs[run].name)) != 0)
        fail_msg("%s", program_output);
    return strdup(program_output);
}

static int make(void **state)
{
    if (fault_make(state) != 0)
        return -1;
    for (int i = 0; i < RUNS; i++) {
        char text[1024];
        snprintf(text, sizeof text, matrix, runs[i].name, 5000, runs[i].defense, runs[i].patches);
        fault_write(runs[i].name, text);
    }
    for (int i = 0; i < RUNS; i++)
        if (program_wait(start("whole.db", i)) != 0)
            return -1;
    for (int i = 0; i < RUNS; i++)
        tables[i] = table_of("whole.db", i);
    return (whole = fault_dump_outcomes("whole.db")) ? 0 : -1;
}

static int clean(void **state)
{
    free(whole);
    for (int i = 0; i < RUNS; i++)
        free(tables[i]);
    return scratch_remove(state);
}

typedef struct counts {
    int runs, workers; /* killed */
    int64_t taken;     /* tasks beyond those of runs one after the other */
} counts;

/* A child of the process, 0: none. */
static pid_t worker_of(pid_t run, uint64_t which)
{
    char path[64], text[512] = "";
    pid_t pids[16];
    uint64_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)run, (int)run);
    FILE *file = fopen(path, "r");
    if (file && fgets(text, sizeof text, file))
        for (char *word = strtok(text, " "); word && n < 16; word = strtok(NULL, " "))
            pids[n++] = (pid_t)atoi(word);
    if (file)
        fclose(file);
    return n ? pids[which % n] : 0;
}

/* Kills one of them, the whole of it or a worker, and starts it again. */
static void disturb(const char *db, pid_t *pids, int but, pg_rng *rng, counts *n, int *deaths)
{
    int run = (int)pg_rng_below(rng, RUNS);
    if (run == but)
        return;
    pid_t worker = worker_of(pids[run], pg_rng_below(rng, 16));
    if (worker && *deaths < TASK_DEATHS && pg_rng_below(rng, 3) == 0) {
        n->workers += kill(worker, SIGKILL) == 0;
        ++*deaths;
        return;
    }
    kill(-pids[run], SIGKILL);
    int code = program_wait(pids[run]);
    assert_true(code == 0 || code == 128 + SIGKILL);
    n->runs += code != 0;
    if (pg_rng_below(rng, 2))
        fault_sleep(0.2 * pg_rng_unit(rng));
    pids[run] = start(db, run);
}

static void expect_success(const char *db, pid_t pid, int run)
{
    char name[16], *said = NULL;
    size_t size = 0;
    int code = program_wait(pid);
    if (code == 0)
        return;
    snprintf(name, sizeof name, "said%d", run);
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 20, &said, &size), PG_OK);
    fail_msg("%s: run %s ends with %d: %s", db, runs[run].name, code, said);
}

/* The run that came last, or at last one of them, is dead until the others are through: nobody waits for it. */
static void play(const char *db, pg_rng *rng, counts *n)
{
    pid_t pids[RUNS];
    int deaths = 0, dead = pg_rng_below(rng, 2) ? RUNS - 1 : (int)pg_rng_below(rng, RUNS);
    bool early = pg_rng_below(rng, 2);
    for (int i = 0; i < RUNS; i++) {
        pids[i] = start(db, i);
        fault_sleep(0.1 * pg_rng_unit(rng));
    }
    for (int i = 0; i < EVENTS; i++) {
        fault_sleep(0.4 * pg_rng_unit(rng));
        if (i == 0 && early)
            kill(-pids[dead], SIGKILL);
        disturb(db, pids, early ? dead : RUNS, rng, n, &deaths);
    }
    if (!early)
        kill(-pids[dead], SIGKILL);
    n->runs += program_wait(pids[dead]) != 0;
    for (int i = 0; i < RUNS; i++)
        if (i != dead)
            expect_success(db, pids[i], i);
    expect_success(db, start(db, dead), dead);
}

static void test_overlapping_runs(void **state)
{
    (void)state;
    const char *wanted = getenv("PG_FAULTS_ROUNDS");
    int rounds = wanted && atoi(wanted) > 0 ? atoi(wanted) : ROUNDS;
    int64_t outcomes = fault_number("whole.db", "SELECT count(*) FROM outcome");
    counts n = {0};
    for (int round = 0; round < rounds; round++) {
        pg_rng rng = pg_rng_make(11, PG_STREAM_TEST, round);
        play("overlap.db", &rng, &n);
        assert_int_equal(fault_number("overlap.db", "SELECT count(*) FROM task WHERE state <> 'done'"), 0);
        assert_int_equal(fault_number("overlap.db", "SELECT count(*) FROM outcome"), outcomes);
        char *have = fault_dump_outcomes("overlap.db");
        if (!have)
            fail_msg("round %d: %s", round, pg_error_message());
        assert_string_equal(have, whole);
        free(have);
        for (int i = 0; i < RUNS; i++) {
            char *table = table_of("overlap.db", i);
            assert_string_equal(table, tables[i]);
            free(table);
        }
        n.taken +=
            fault_number("overlap.db", "SELECT count(*) FROM task") - fault_number("whole.db", "SELECT count(*) FROM task");
        char command[600];
        snprintf(command, sizeof command, "rm -f '%s'/overlap.db*", scratch_folder);
        assert_int_equal(system(command), 0);
    }
    fault_count(
        "%d rounds of 3 runs that share cells, %d runs and %d workers killed: all end with exit code 0 and the tables of "
        "runs one after the other; %lld tasks more than those",
        rounds, n.runs, n.workers, (long long)n.taken);
    assert_true(n.runs > rounds && n.workers > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overlapping_runs)};
    return cmocka_run_group_tests_name("overlap", tests, make, clean);
}
