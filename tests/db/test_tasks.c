/* Tasks: what a plan creates, parts of tasks, plans that overlap. Claims and ends of tasks: test_queue.c. */
#include "tests/support/store_fixture.h"

/* ---- What is missing ---- */

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
        cmocka_unit_test_teardown(test_join, clean),
    };
    return cmocka_run_group_tests_name("tasks", tests, make, scratch_remove);
}
