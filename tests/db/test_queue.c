/* Tasks: what a plan creates, claims and epochs, late writers, dead workers, transactions cut short. */
#include "tests/support/store_fixture.h"

/* ---- Tasks ---- */

static void test_tasks_of_a_plan(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_store_progress progress;
    plan_all(store);
    assert_int_equal(pg_store_progress_of(store, &progress), PG_OK);
    assert_int_equal(progress.tasks, 3); /* 0-3, 4-7, 8-9 */
    assert_int_equal(progress.images, IMAGES);
    plan_all(store); /* planning again changes nothing */
    assert_int_equal(number(store, "SELECT count(*) FROM task"), 3);
    assert_int_equal(number(store, "SELECT count(*) FROM task_cell"), 9);
    pg_task task;
    assert_true(claim(store, &task));
    assert_int_equal(task.first, 0);
    assert_int_equal(task.count, 4);
    assert_int_equal(task.epoch, 1);
    assert_int_equal(task.n_cells, 3);
    assert_true(finish(store, &task));
    pg_task_release(&task);
    plan(store, (const int[]){0, 3}, 2, 2, 7); /* images 2-8: cell 0 has all, cell 3 needs 2-3, 4-7, 8 */
    assert_int_equal(number(store, "SELECT count(*) FROM task t JOIN task_cell USING (task) JOIN cell c USING (cell)"
                                   " WHERE c.canonical = 'cell=3\n' AND t.first = 2 AND t.count = 2"),
                     1);
    pg_store_close(store);
}

/* Another cell of the same forward pass gets tasks of its own; finished images are not asked for again. */
static void test_new_cell_over_old_forward(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    plan(store, (const int[]){0}, 1, 0, IMAGES);
    while (claim(store, &task)) {
        assert_true(finish(store, &task));
        pg_task_release(&task);
    }
    plan(store, (const int[]){0, 1}, 2, 0, IMAGES);
    int claimed = 0;
    while (claim(store, &task)) {
        claimed++;
        assert_int_equal(task.n_cells, 1);
        assert_string_equal(task.cell_ids[0], ids[1]);
        assert_true(finish(store, &task));
        pg_task_release(&task);
    }
    assert_int_equal(claimed, 3);
    assert_int_equal(number(store, "SELECT count(*) FROM forward"), 1);
    pg_store_close(store);
}

/* A pending task that serves a stranger's cell is left to the stranger. */
static void test_pending_tasks_are_split(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    plan(store, (const int[]){0, 1}, 2, 0, CHUNK);
    plan(store, (const int[]){1, 2}, 2, 0, CHUNK);
    int cells = 0;
    while (claim(store, &task)) {
        for (size_t i = 0; i < task.n_cells; i++, cells++)
            assert_string_not_equal(task.cell_ids[i], ids[0]);
        assert_true(finish(store, &task));
        pg_task_release(&task);
    }
    assert_int_equal(cells, 2);
    plan(store, (const int[]){0, 1}, 2, 0, CHUNK);
    assert_true(claim(store, &task));
    assert_int_equal(task.n_cells, 1);
    assert_string_equal(task.cell_ids[0], ids[0]);
    pg_task_release(&task);
    pg_store_close(store);
}

/* ---- Parts of tasks ---- */

/* What is whole is kept, the rest is pending; outcomes, attacks and sums are those of whole tasks. */
static void test_part_of_a_task(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task, rest;
    plan_all(store);
    assert_true(claim(store, &task));
    assert_true(finish_part(store, &task, 3));
    assert_false(finish_part(store, &task, 3)); /* it is this worker's no more */
    assert_int_equal(number(store, "SELECT count(*) FROM attempt WHERE result = 'stale'"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM outcome"), CELLS * 3);
    assert_int_equal(pg_store_check(store), PG_OK);
    pg_store_progress progress;
    plan_all(store);
    assert_int_equal(pg_store_progress_of(store, &progress), PG_OK);
    assert_int_equal(progress.tasks, 4);
    assert_int_equal(progress.images, IMAGES);
    assert_int_equal(progress.images_done, 3);
    assert_int_equal(progress.pending, 3);
    assert_true(claim(store, &rest));
    assert_int_equal(rest.task, task.task);
    assert_int_equal(rest.first, 3);
    assert_int_equal(rest.count, 1);
    assert_true(rest.epoch > task.epoch);
    assert_int_equal(rest.n_cells, CELLS);
    assert_false(finish_part(store, &task, 2)); /* a late one */
    assert_true(finish_attacked(store, &rest, true));
    pg_task_release(&task);
    pg_task_release(&rest);
    while (claim(store, &task)) {
        assert_true(finish_attacked(store, &task, true));
        pg_task_release(&task);
    }
    assert_int_equal(pg_store_check(store), PG_OK);
    assert_int_equal(number(store, "SELECT count(*) FROM summary"), CELLS * 4);
    assert_int_equal(number(store, "SELECT count(*) FROM attack"), CELLS * IMAGES);
    assert_int_equal(number(store, "SELECT sum(n = images) FROM total"), CELLS);
    pg_store_close(store);
}

/* ---- Plans that overlap ---- */

static int try_join(pg_store *store, const int *cells, size_t n)
{
    return with_plan(store, cells, n, 0, IMAGES, CHUNK, NULL, pg_store_join);
}

static bool take(pg_store *store)
{
    bool more = false;
    assert_int_equal(pg_store_take(store, &more), PG_OK);
    return more;
}

/* Claims and finishes all that there is for a connection; images of all tasks. */
static int64_t run_all(pg_store *store)
{
    pg_task task;
    int64_t images = 0;
    while (claim(store, &task)) {
        images += task.count;
        assert_true(finish(store, &task));
        pg_task_release(&task);
    }
    return images;
}

static void expect_done(pg_store *store, const int *cells, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pg_cell_result result;
        assert_int_equal(pg_store_cell(store, ids[cells[i]], &result), PG_OK);
        assert_int_equal(result.state, PG_CELL_DONE);
        pg_cell_result_release(&result);
    }
    assert_int_equal(pg_store_check(store), PG_OK);
}

static const int plan_a[] = {0, 1}, plan_b[] = {1, 2};

/* Two runs at a time: who joins the first plan late, when the second has made tasks for cells of both, claims what is its own
 * only, until there is nothing else; then it takes what it needs out of the second plan's tasks. */
static void test_late_worker_of_another_plan(void **state)
{
    (void)state;
    pg_store *a = open_worker(), *b = open_worker(), *late = open_worker();
    pg_task task;
    plan(a, plan_a, 2, 0, IMAGES);
    plan(b, plan_b, 2, 0, IMAGES);
    assert_int_equal(try_join(late, plan_a, 2), PG_OK);
    while (claim(late, &task)) {
        assert_int_equal(task.n_cells, 1);
        assert_string_equal(task.cell_ids[0], ids[0]);
        assert_true(finish(late, &task));
        pg_task_release(&task);
    }
    pg_store_progress left;
    assert_int_equal(pg_store_progress_of(late, &left), PG_OK);
    assert_int_equal(left.pending, 3); /* those of the other run */
    assert_true(claim(b, &task));      /* which lives: what it has in hand stays its own */
    assert_true(take(late));
    assert_int_equal(run_all(late), IMAGES - CHUNK);
    assert_false(take(late));
    assert_int_equal(pg_store_progress_of(late, &left), PG_OK);
    assert_int_equal(left.pending, 0);
    assert_int_equal(left.running, 1); /* to be waited for */
    assert_true(finish(b, &task));
    pg_task_release(&task);
    expect_done(late, plan_a, 2);
    assert_int_equal(run_all(b), IMAGES - CHUNK);
    assert_false(take(b));
    expect_done(b, plan_b, 2);
    assert_int_equal(number(b, "SELECT count(*) FROM outcome"), 3 * IMAGES);
    pg_store_close(a);
    pg_store_close(b);
    pg_store_close(late);
}

/* What was taken can be run by both, and taken from again by neither: two runs that take from each other come to an end. */
static void test_taking_comes_to_an_end(void **state)
{
    (void)state;
    pg_store *a = open_worker(), *b = open_worker();
    plan(a, plan_a, 2, 0, IMAGES);
    plan(b, plan_b, 2, 0, IMAGES);
    plan(a, plan_a, 2, 0, IMAGES); /* tasks of both cells again, of which b can run none */
    assert_true(take(b));
    assert_int_equal(number(b, "SELECT count(*) FROM task"), 9); /* of cell 0, of cell 1, of cell 2 */
    assert_int_equal(number(b, "SELECT count(*) FROM task_cell"), 9);
    assert_true(take(a));
    assert_true(take(b));
    assert_int_equal(number(b, "SELECT count(*) FROM task"), 9);
    pg_task task;
    assert_true(claim(b, &task)); /* the first cells 0 and 1 are both a's, 1 and 2 both b's */
    assert_true(finish(b, &task));
    pg_task_release(&task);
    assert_int_equal(run_all(a) + run_all(b) + CHUNK, 3 * IMAGES);
    expect_done(a, (const int[]){0, 1, 2}, 3);
    pg_store_close(a);
    pg_store_close(b);
}

/* A task of the other run that failed there: its share of this plan is tried here, the rest stays failed for its reason. */
static void test_failed_task_of_another_plan(void **state)
{
    (void)state;
    pg_store *a = open_worker(), *b = open_worker();
    pg_task task;
    bool given_up = false;
    plan(a, plan_a, 2, 0, CHUNK);
    plan(b, plan_b, 2, 0, CHUNK);
    assert_true(claim(b, &task));
    assert_int_equal(task.n_cells, 2);
    assert_int_equal(pg_store_fail(b, &task, &some_attempt, "broken", false, &given_up), PG_OK);
    assert_true(given_up);
    pg_task_release(&task);
    assert_int_equal(run_all(a), CHUNK);
    assert_true(take(a));
    assert_int_equal(run_all(a), CHUNK);
    assert_false(take(a));
    assert_false(take(b));
    expect_done(a, plan_a, 2);
    pg_cell_result result;
    assert_int_equal(pg_store_cell(b, ids[2], &result), PG_OK);
    assert_int_equal(result.state, PG_CELL_FAILED);
    assert_string_equal(result.error, "broken");
    pg_cell_result_release(&result);
    pg_store_close(a);
    pg_store_close(b);
}

/* A network that does not open here fails this plan's cells and nobody else's; where it was set aside, nothing is taken. */
static void test_giving_up_leaves_other_plans(void **state)
{
    (void)state;
    pg_store *a = open_worker(), *b = open_worker();
    pg_task task;
    plan(a, plan_a, 2, 0, CHUNK);
    plan(b, plan_b, 2, 0, CHUNK);
    assert_int_equal(try_join(a, plan_a, 2), PG_OK);
    assert_true(claim(a, &task));
    assert_int_equal(pg_store_set_aside(a, &task), PG_OK);
    assert_false(take(a));
    assert_int_equal(number(a, "SELECT count(*) FROM task"), 2);
    assert_int_equal(pg_store_give_up(a, task.forward_key, "does not open"), PG_OK);
    pg_task_release(&task);
    assert_int_equal(number(a, "SELECT count(*) FROM task WHERE state = 'failed'"), 2);
    assert_int_equal(number(a, "SELECT count(*) FROM task WHERE state = 'pending'"), 1);
    assert_true(take(b));
    assert_int_equal(run_all(b), CHUNK);
    pg_cell_result result;
    assert_int_equal(pg_store_cell(b, ids[2], &result), PG_OK);
    assert_int_equal(result.n, CHUNK);
    pg_cell_result_release(&result);
    assert_int_equal(pg_store_check(b), PG_OK);
    pg_store_close(a);
    pg_store_close(b);
}

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

/* A worker hands out the tasks of the plan it joins, and only of one that is recorded. */
static void test_join(void **state)
{
    (void)state;
    pg_store *store = open_store(PG_STORE_WRITE), *worker = open_worker();
    pg_task task;
    plan(store, (const int[]){0}, 1, 0, IMAGES);
    plan(store, (const int[]){1}, 1, 0, 2 * CHUNK);
    exec(store, "UPDATE task SET attempts = 1");
    pg_store_cell_row row = cell_row(1, 0, 2 * CHUNK), stranger = cell_row(2, 0, IMAGES);
    assert_int_equal(pg_store_join(worker, &(pg_store_plan_row){.name = "p", .cells = &stranger, .n_cells = 1}), PG_EMISSING);
    assert_non_null(strstr(pg_error_message(), "does not know the plan \"p\""));
    assert_int_equal(pg_store_join(worker, &(pg_store_plan_row){.name = "p", .cells = &row, .n_cells = 1}), PG_OK);
    for (int i = 0; i < 2; i++) {
        assert_true(claim(worker, &task));
        assert_string_equal(task.cell_ids[0], ids[1]);
        assert_int_equal(task.attempts, 1); /* nothing was planned anew */
        pg_task_release(&task);
    }
    assert_false(claim(worker, &task));
    pg_store_close(worker);
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_tasks_of_a_plan, clean),
        cmocka_unit_test_teardown(test_new_cell_over_old_forward, clean),
        cmocka_unit_test_teardown(test_pending_tasks_are_split, clean),
        cmocka_unit_test_teardown(test_part_of_a_task, clean),
        cmocka_unit_test_teardown(test_late_worker_of_another_plan, clean),
        cmocka_unit_test_teardown(test_taking_comes_to_an_end, clean),
        cmocka_unit_test_teardown(test_failed_task_of_another_plan, clean),
        cmocka_unit_test_teardown(test_giving_up_leaves_other_plans, clean),
        cmocka_unit_test_teardown(test_claims_are_exclusive, clean),
        cmocka_unit_test_teardown(test_late_writer, clean),
        cmocka_unit_test_teardown(test_three_attempts, clean),
        cmocka_unit_test_teardown(test_dead_worker, clean),
        cmocka_unit_test_teardown(test_names_of_one_store, clean),
        cmocka_unit_test_teardown(test_ended_worker, clean),
        cmocka_unit_test_teardown(test_orphaned_lock_files, clean),
        cmocka_unit_test_teardown(test_a_token_is_no_path, clean),
        cmocka_unit_test_teardown(test_killed_in_transaction, clean),
        cmocka_unit_test_teardown(test_time_left, clean),
        cmocka_unit_test_teardown(test_claim_ahead, clean),
        cmocka_unit_test_teardown(test_burial, clean),
        cmocka_unit_test_teardown(test_join, clean),
    };
    return cmocka_run_group_tests_name("queue", tests, make, scratch_remove);
}
