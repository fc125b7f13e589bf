/* The queue of tasks: claims and epochs, late writers, failures, dead workers, transactions cut short. What tasks there are:
 * test_tasks.c. */
#include "tests/support/store_fixture.h"

static void test_claims_are_exclusive(void **state)
{
    (void)state;
    pg_store *a = open_worker(), *b = open_worker();
    pg_task ta, tb;
    plan_all(a);
    plan_all(b);
    assert_true(claim(a, &ta));
    assert_true(claim(b, &tb));
    assert_int_not_equal(ta.task, tb.task);
    pg_task_release(&ta);
    assert_true(claim(a, &ta));
    pg_task_release(&ta);
    assert_false(claim(a, &ta));
    assert_false(claim(b, &ta));
    pg_task_release(&tb);
    pg_store_close(a);
    pg_store_close(b);
}

/* A worker that was given up and comes back with a result changes nothing; the result of the task's new owner counts. */
static void test_late_writer(void **state)
{
    (void)state;
    pg_store *late = open_worker(), *other = open_worker();
    pg_task mine, theirs;
    plan(late, (const int[]){0, 1}, 2, 0, CHUNK);
    plan(other, (const int[]){0, 1}, 2, 0, CHUNK);
    assert_true(claim(late, &mine));
    exec(other, "UPDATE task SET state = 'pending', owner = NULL, epoch = epoch + 1"); /* as the reaper does */
    assert_false(finish(late, &mine));                                                 /* before anybody took it */
    assert_true(claim(other, &theirs));
    assert_true(theirs.epoch > mine.epoch);
    assert_false(finish(late, &mine)); /* while it runs elsewhere */
    bool given_up = true;
    assert_int_equal(pg_store_fail(late, &mine, &some_attempt, "late", true, &given_up), PG_OK);
    assert_false(given_up);
    assert_int_equal(pg_store_return(late, &mine), PG_OK);
    assert_int_equal(number(late, "SELECT count(*) FROM outcome"), 0);
    assert_int_equal(number(late, "SELECT count(*) FROM task WHERE state = 'running' AND attempts = 0"), 1);
    assert_true(finish(other, &theirs));
    assert_false(finish(late, &mine)); /* after it is done */
    assert_false(finish(other, &theirs));
    assert_int_equal(number(late, "SELECT count(*) FROM outcome"), 2 * CHUNK);
    assert_int_equal(number(late, "SELECT count(*) FROM attempt WHERE result = 'stale'"), 5);
    assert_int_equal(number(late, "SELECT count(*) FROM attempt WHERE result = 'done'"), 1);
    assert_int_equal(pg_store_check(late), PG_OK);
    plan(late, (const int[]){2}, 1, 0, CHUNK); /* and where the worker got its own task again */
    pg_task_release(&mine);
    pg_task_release(&theirs);
    assert_true(claim(late, &mine));
    exec(other, "UPDATE task SET state = 'pending', owner = NULL, epoch = epoch + 1 WHERE state = 'running'");
    assert_true(claim(late, &theirs));
    assert_int_equal(mine.task, theirs.task);
    assert_false(finish(late, &mine));
    assert_true(finish(late, &theirs));
    pg_task_release(&mine);
    pg_task_release(&theirs);
    pg_store_close(late);
    pg_store_close(other);
}

static void test_three_attempts(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    bool given_up = false;
    plan(store, (const int[]){0}, 1, 0, CHUNK);
    for (int i = 1; i <= 3; i++) {
        assert_true(claim(store, &task));
        assert_int_equal(task.attempts, i - 1);
        assert_int_equal(pg_store_fail(store, &task, &some_attempt, "broken", true, &given_up), PG_OK);
        assert_int_equal(given_up, i == 3);
        pg_task_release(&task);
    }
    assert_false(claim(store, &task));
    pg_cell_result result;
    assert_int_equal(pg_store_cell(store, ids[0], &result), PG_OK);
    assert_int_equal(result.state, PG_CELL_FAILED);
    assert_string_equal(result.error, "broken");
    pg_cell_result_release(&result);
    plan(store, (const int[]){0}, 1, 0, CHUNK); /* asked for again: tried again */
    assert_true(claim(store, &task));
    assert_int_equal(task.attempts, 0);
    assert_int_equal(pg_store_fail(store, &task, &some_attempt, "bad input", false, &given_up), PG_OK);
    assert_true(given_up); /* at once */
    pg_task_release(&task);
    assert_false(claim(store, &task));
    plan(store, (const int[]){0}, 1, 0, CHUNK);
    assert_true(claim(store, &task));
    assert_true(finish(store, &task));
    pg_task_release(&task);
    assert_int_equal(pg_store_cell(store, ids[0], &result), PG_OK);
    assert_int_equal(result.state, PG_CELL_DONE);
    pg_cell_result_release(&result);
    pg_store_close(store);
}

/* A child claims a task; while it lives, stopped or not, the task is its own; killed, it comes back with a higher epoch. */
static void test_dead_worker(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    plan_all(store);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        pg_store *mine = NULL;
        pg_task task;
        bool got = false;
        int code = pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &mine);
        code = code != PG_OK ? code : pg_store_worker_start(mine, &some_worker);
        code = code != PG_OK ? code : try_plan(mine, (const int[]){0, 1, 2}, CELLS, 0, IMAGES);
        code = code != PG_OK ? code : pg_store_claim(mine, 0, &task, &got);
        char byte = code == PG_OK && got;
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        pause();
        _exit(1);
    }
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    int64_t requeued = -1;
    kill(child, SIGSTOP);
    assert_int_equal(pg_store_reap(store, &requeued), PG_OK);
    assert_int_equal(requeued, 0);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(pg_store_reap(store, &requeued), PG_OK);
    assert_int_equal(requeued, 1);
    assert_int_equal(pg_store_reap(store, &requeued), PG_OK);
    assert_int_equal(requeued, 0);
    assert_int_equal(number(store, "SELECT count(*) FROM attempt WHERE result = 'lost'"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM worker WHERE ended IS NULL"), 1);
    assert_int_equal(number(store, "SELECT max(epoch) FROM task"), 2);
    pg_task task;
    int claimed = 0;
    for (; claim(store, &task); claimed++)
        pg_task_release(&task);
    assert_int_equal(claimed, 3);
    pg_store_close(store);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(scratch_count(scratch_folder), 1); /* no lock file is left behind */
}

/* A worker that ended with a task in hand, after a failure of its own, does not keep it. */
/* A worker is seen under every name of the database: through a link, by a relative path. */
static void test_names_of_one_store(void **state)
{
    (void)state;
    char folder[512], before[512];
    snprintf(folder, sizeof folder, "%s", scratch_path("links"));
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_int_equal(symlink("../t.db", scratch_path("links/other.db")), 0);
    pg_store *store = open_worker(), *other = NULL;
    pg_task task;
    int64_t requeued = -1;
    plan_all(store);
    assert_true(claim(store, &task));
    assert_int_equal(pg_store_open(scratch_path("links/other.db"), PG_STORE_WRITE, &other), PG_OK);
    assert_int_equal(pg_store_reap(other, &requeued), PG_OK);
    assert_int_equal(requeued, 0);
    assert_int_equal(pg_store_worker_start(other, &some_worker), PG_OK);
    assert_int_equal(scratch_count(folder), 1); /* lock files lie beside the database itself */
    pg_store_close(other);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(scratch_folder), 0);
    assert_int_equal(pg_store_open("t.db", PG_STORE_WRITE, &other), PG_OK);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(pg_store_reap(other, &requeued), PG_OK);
    assert_int_equal(requeued, 0);
    pg_store_close(other);
    assert_int_equal(chdir(before), 0);
    assert_true(finish(store, &task));
    pg_task_release(&task);
    pg_store_close(store);
    assert_int_equal(unlink(scratch_path("links/other.db")), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_ended_worker(void **state)
{
    (void)state;
    pg_store *store = open_worker(), *other = open_worker();
    pg_task task;
    int64_t requeued = 0;
    plan(store, (const int[]){0}, 1, 0, CHUNK);
    assert_true(claim(store, &task));
    pg_task_release(&task);
    assert_int_equal(pg_store_reap(other, &requeued), PG_OK);
    assert_int_equal(requeued, 0);
    pg_store_worker_end(store);
    assert_int_equal(pg_store_reap(other, &requeued), PG_OK);
    assert_int_equal(requeued, 1);
    pg_store_close(store);
    pg_store_close(other);
}

/* Lock files without a worker in the store are swept up, those of living workers are not. */
static void test_orphaned_lock_files(void **state)
{
    (void)state;
    int64_t requeued = 0;
    pg_store *store = open_worker(), *other = open_worker();
    scratch_write("t.db.worker-0123456789abcdef0123456789abcdef", "", 0);
    scratch_write("t.db.worker-notes", "", 0);
    assert_int_equal(pg_store_reap(store, &requeued), PG_OK);
    assert_int_equal(scratch_count(scratch_folder), 4); /* the store, two locks, and what is none of ours */
    pg_store_close(store);
    pg_store_close(other);
    assert_int_equal(scratch_count(scratch_folder), 2);
}

/* The token in a database of somebody else is no way to a file that is no lock. */
static void test_a_token_is_no_path(void **state)
{
    (void)state;
    int64_t requeued = 0;
    pg_task task;
    pg_store *store = open_worker(), *other = open_worker();
    assert_int_equal(mkdir(scratch_path("t.db.worker-"), 0777), 0);
    scratch_write("mine", "", 0);
    plan(store, (const int[]){0}, 1, 0, CHUNK);
    assert_true(claim(store, &task));
    pg_task_release(&task);
    exec(other, "UPDATE worker SET token = '/../mine' WHERE worker = (SELECT owner FROM task WHERE owner IS NOT NULL)");
    assert_int_equal(pg_store_reap(other, &requeued), PG_OK);
    assert_int_equal(requeued, 1);
    assert_int_equal(access(scratch_path("mine"), F_OK), 0);
    pg_store_close(store);
    pg_store_close(other);
    assert_int_equal(unlink(scratch_path("mine")), 0);
}

/* Killed inside the transaction, with pages of it in the file already: the next one to open rolls it back. */
static void test_killed_in_transaction(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    plan_all(store);
    pg_store_close(store);
    pid_t child = fork();
    if (child == 0) {
        pg_store *mine = NULL;
        if (pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &mine) != PG_OK)
            _exit(1);
        sqlite3_exec(mine->db, "PRAGMA cache_size = 2; PRAGMA cache_spill = 1", NULL, NULL, NULL);
        if (pg_db_begin(mine) != PG_OK)
            _exit(2);
        for (int64_t i = 0; i < 5000; i++)
            if (pg_db_run(mine, "filling",
                          "INSERT INTO outcome VALUES (1, :position, 1, 0, 0, 0, NULL, NULL, NULL, NULL, NULL)",
                          PG_BIND(PG_V(position, i))) != PG_OK)
                _exit(3);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(pg_file_size(scratch_path("t.db-journal")) > 0); /* or nothing was tested */
    store = open_store(PG_STORE_READ);
    assert_int_equal(number(store, "SELECT count(*) FROM outcome"), 0);
    assert_int_equal(pg_store_check(store), PG_OK);
    pg_store_close(store);
}

/* What is left takes as long as the measured speed says; of the plan of the connection alone. */
static void test_time_left(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_store_status status;
    pg_task task;
    double left_s = 0;
    plan(store, (const int[]){0}, 1, 0, IMAGES);
    assert_int_equal(pg_store_time_left(store, &left_s), PG_OK);
    assert_true(isnan(left_s));
    assert_true(claim(store, &task)); /* 4 images of 10 */
    assert_true(finish(store, &task));
    pg_task_release(&task);
    exec(store, "UPDATE attempt SET forward_s = 2");
    assert_int_equal(pg_store_time_left(store, &left_s), PG_OK);
    assert_float_equal(left_s, 3.0, 1e-9);
    plan(store, (const int[]){1}, 1, 0, IMAGES);
    assert_int_equal(pg_store_time_left(store, &left_s), PG_OK);
    assert_float_equal(left_s, 5.0, 1e-9);
    assert_int_equal(pg_store_status_of(store, &status), PG_OK);
    assert_float_equal(status.left_s, 8.0, 1e-9);
    /* of another pass nothing is known, whatever else the store has seen */
    exec(store, "INSERT INTO forward SELECT 99, replace(hex(zeroblob(32)), '0', 'f'), canonical, dataset FROM forward LIMIT 1");
    exec(store, "UPDATE task SET forward = 99 WHERE state = 'pending'");
    assert_int_equal(pg_store_time_left(store, &left_s), PG_OK);
    assert_true(isnan(left_s));
    pg_store_close(store);
}

/* A busy worker leaves tasks to the others. */
static void test_claim_ahead(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    bool got = true;
    plan_all(store); /* three tasks */
    assert_int_equal(pg_store_claim(store, 3, &task, &got), PG_OK);
    assert_false(got);
    assert_int_equal(pg_store_claim(store, 2, &task, &got), PG_OK);
    assert_true(got);
    pg_task_release(&task);
    assert_int_equal(pg_store_claim(store, 2, &task, &got), PG_OK);
    assert_false(got);
    assert_true(claim(store, &task));
    pg_task_release(&task);
    pg_store_close(store);
}

/* Who saw a worker die charges the task in its hands, once, and no other; a task that another run took back is not charged. */
static void test_burial(void **state)
{
    (void)state;
    pg_store *store = open_worker(), *other = open_worker();
    pg_task first, second;
    pg_reaped reaped;
    int64_t requeued = 0;
    plan_all(store);
    plan_all(other);
    for (int attempt = 1; attempt <= PG_ATTEMPTS_MAX; attempt++) {
        pg_store *dying = open_worker();
        plan_all(dying);
        if (attempt == 2) /* failed ones are pending again when planned: the number of attempts stays */
            assert_int_equal(number(store, "SELECT max(attempts) FROM task"), 1);
        assert_true(claim(dying, &first) && claim(dying, &second));
        pg_death death = {.worker = pg_store_worker(dying), .task = first.task, .reason = "its worker died of SIGSEGV"};
        dying->worker = 0; /* it cannot sign off any more */
        pg_store_close(dying);
        assert_int_equal(pg_store_reap_worker(store, &death, &reaped), PG_OK);
        assert_true(reaped.attempt_failed);
        assert_int_equal(reaped.given_up, attempt == PG_ATTEMPTS_MAX);
        assert_int_equal(reaped.first, first.first);
        assert_int_equal(pg_store_reap_worker(store, &death, &reaped), PG_OK); /* again */
        assert_false(reaped.attempt_failed || reaped.given_up);
        assert_int_equal(number(store, "SELECT sum(attempts) FROM task"), attempt);
        assert_int_equal(number(store, "SELECT count(*) FROM task WHERE state = 'running'"), 0);
        pg_task_release(&first);
        pg_task_release(&second);
    }
    assert_int_equal(number(store, "SELECT count(*) FROM task WHERE state = 'failed' AND error LIKE '%SIGSEGV'"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM attempt WHERE result = 'failed'"), PG_ATTEMPTS_MAX);
    assert_int_equal(number(store, "SELECT count(*) FROM attempt WHERE result = 'lost'"), PG_ATTEMPTS_MAX);
    assert_true(claim(other, &first));
    pg_death late = {.worker = pg_store_worker(other), .task = first.task, .reason = "late"};
    other->worker = 0;
    pg_store_close(other);
    assert_int_equal(pg_store_reap(store, &requeued), PG_OK);
    assert_int_equal(requeued, 1);
    assert_int_equal(pg_store_reap_worker(store, &late, &reaped), PG_OK);
    assert_false(reaped.attempt_failed);
    assert_int_equal(number(store, "SELECT sum(attempts) FROM task"), PG_ATTEMPTS_MAX);
    pg_task_release(&first);
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_claims_are_exclusive, clean),  cmocka_unit_test_teardown(test_late_writer, clean),
        cmocka_unit_test_teardown(test_three_attempts, clean),        cmocka_unit_test_teardown(test_dead_worker, clean),
        cmocka_unit_test_teardown(test_names_of_one_store, clean),    cmocka_unit_test_teardown(test_ended_worker, clean),
        cmocka_unit_test_teardown(test_orphaned_lock_files, clean),   cmocka_unit_test_teardown(test_a_token_is_no_path, clean),
        cmocka_unit_test_teardown(test_killed_in_transaction, clean), cmocka_unit_test_teardown(test_time_left, clean),
        cmocka_unit_test_teardown(test_claim_ahead, clean),           cmocka_unit_test_teardown(test_burial, clean),
    };
    return cmocka_run_group_tests_name("queue", tests, make, scratch_remove);
}
