/* kill -9 of the process group of a run of 500 cells, at random moments: nothing is lost, repeated or half written. */
#include "tests/faults/faults.h"

enum { KILLS = 200, CELLS = 500 };

/* Five forward passes, a hundred cells each. */
static const char matrix[] =
    "name = \"kill\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:16\"\nbatch = 8\n"
    "defense = \"robust-masking\"\n[axes]\n\"null.seed\" = [1, 2, 3, 4, 5]\npatch = [2, 3, 4, 5, 6]\n"
    "\"robust-masking.threshold\" = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18]\n"
    "\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static int make(void **state)
{
    if (fault_make(state) != 0)
        return -1;
    fault_write("m.toml", matrix);
    return 0;
}

static pid_t start(const char *db)
{
    return fault_start(NULL, (const char *const[]){"--db", scratch_path(db), "run", scratch_path("m.toml"), "--task-images",
                                                   "8", "--quiet", NULL});
}

static char *table_of(const char *db)
{
    if (program_run(db,
                    "table %s --rows null.seed,robust-masking.threshold --cols patch,robust-masking.scope -f csv 2>/dev/null",
                    scratch_path("m.toml")) != 0)
        fail_msg("%s", program_output);
    return strdup(program_output);
}

static bool is_there(const char *db, const char *ending)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", db, ending);
    return access(scratch_path(name), F_OK) == 0;
}

typedef struct counts {
    int kills, early, torn, stores;                      /* early: before there is a store; torn: within a transaction */
    int64_t lost, repeated, half_written, tables_differ; /* all 0 */
} counts;

/* A store as a kill left it: whatever is there is whole. Opening it rolls back what was not committed. */
static void look(const char *db, counts *n)
{
    pg_store *store = NULL;
    if (!is_there(db, ""))
        return;
    int code = pg_store_open(scratch_path(db), PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_check(store);
    if (code != PG_OK && code != PG_EMISSING) { /* missing: nothing was committed yet */
        print_error("%s\n", pg_error_message());
        n->half_written++;
    }
    pg_store_close(store);
}

/* Starts and kills until a run gets through: within the time that one takes, which is learnt, so that kills fall on all of it
 * also where the machine is busy. */
static void disturb(const char *db, pg_rng *rng, double *run_s, counts *n)
{
    for (bool done = false; !done;) {
        pid_t child = start(db);
        fault_sleep(*run_s * pg_rng_unit(rng));
        if (n->kills < KILLS)
            kill(-child, SIGKILL);
        int code = program_wait(child);
        assert_true(code == 0 || code == 128 + SIGKILL);
        done = code == 0;
        *run_s *= done ? 0.8 : 1.04;
        if (done)
            break;
        n->kills++;
        n->early += !is_there(db, "");
        n->torn += is_there(db, "-journal");
        if (n->kills % 2) /* every other time the next run itself finds what was left */
            look(db, n);
    }
}

static void test_killed_group(void **state)
{
    (void)state;
    counts n = {0};
    pg_rng rng = pg_rng_make(7, PG_STREAM_TEST, 0);
    double begun_s = fault_now_s();
    assert_int_equal(program_wait(start("whole.db")), 0);
    double run_s = fault_now_s() - begun_s;
    char *whole = fault_dump("whole.db"), *whole_table = table_of("whole.db");
    int64_t outcomes = fault_number("whole.db", "SELECT count(*) FROM outcome");
    assert_non_null(whole);
    assert_int_equal(outcomes, CELLS * 16);
    while (n.kills < KILLS) {
        char db[32];
        snprintf(db, sizeof db, "kill%d.db", n.stores++);
        disturb(db, &rng, &run_s, &n);
        char *table = table_of(db);
        n.lost += outcomes - fault_number(db, "SELECT count(*) FROM outcome");
        n.repeated += fault_number(db, "SELECT count(*) FROM (SELECT 1 FROM attempt WHERE result IN ('done', 'failed', 'stale')"
                                       " GROUP BY task HAVING count(*) > 1)");
        n.tables_differ += strcmp(table, whole_table) != 0;
        fault_expect(db, whole);
        free(table);
    }
    fault_count("%d kills of a run of %d cells over %d stores, %d before there was a store, %d within a transaction: "
                "%lld lost, %lld repeated, %lld half written, %lld tables differ",
                n.kills, CELLS, n.stores, n.early, n.torn, (long long)n.lost, (long long)n.repeated, (long long)n.half_written,
                (long long)n.tables_differ);
    assert_int_equal(n.lost, 0);
    assert_int_equal(n.repeated, 0);
    assert_int_equal(n.half_written, 0);
    assert_int_equal(n.tables_differ, 0);
    assert_true(n.torn > 0);
    char command[600];
    snprintf(command, sizeof command, "ls '%s' | grep -c -e worker- -e journal", scratch_folder);
    assert_int_not_equal(system(command), 0); /* the last run of each store has swept up */
    free(whole);
    free(whole_table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_group)};
    return cmocka_run_group_tests_name("kill", tests, make, scratch_remove);
}
