/* Shards and their merging: the whole again whatever the cut, nothing twice, late workers, failures, what is refused. */
#include "harness/base/file.h"
#include "tests/support/program.h"
#include "tests/support/store_fixture.h"

/* ---- Stores ---- */

static pg_store *open_as(const char *name, pg_store_mode mode)
{
    pg_store *store = NULL;
    if (pg_store_open(scratch_path(name), mode, &store) != PG_OK)
        fail_msg("%s", pg_error_message());
    exec(store, "PRAGMA synchronous = OFF"); /* no power is lost here, and there are many commits */
    return store;
}

/* Plans cells 0 .. n - 1 over ten images, in tasks of `chunk`. */
static int plan_cut(pg_store *store, size_t n, int64_t chunk, const pg_shard *shard)
{
    return try_plan_cut(store, (const int[]){0, 1, 2, 3, 4, 5, 6, 7}, n, 0, IMAGES, chunk, shard);
}

static void start_as(pg_store *store) { assert_int_equal(pg_store_worker_start(store, &some_worker), PG_OK); }

/* Runs at most `most` of the tasks that are open on this connection. */
static int run_tasks(pg_store *store, int most, bool attacked)
{
    pg_task task;
    int n = 0;
    for (; n < most && claim(store, &task); n++) {
        assert_true(finish_attacked(store, &task, attacked));
        pg_task_release(&task);
    }
    return n;
}

static void fail_task(pg_store *store, const char *reason)
{
    pg_task task;
    bool given_up = false;
    for (int i = 0; i < 3; i++) {
        assert_true(claim(store, &task));
        assert_int_equal(pg_store_fail(store, &task, &some_attempt, reason, true, &given_up), PG_OK);
        pg_task_release(&task);
    }
    assert_true(given_up);
}

/* Shard index/count of cells 0..2, with at most `most` of its tasks done; closed. */
static void make_shard(const char *name, int64_t index, int64_t count, int64_t chunk, int most, bool attacked)
{
    pg_store *store = open_as(name, PG_STORE_WRITE);
    assert_int_equal(plan_cut(store, CELLS, chunk, &(pg_shard){index, count, NULL}), PG_OK);
    start_as(store);
    run_tasks(store, most, attacked);
    pg_store_close(store);
}

static int try_merge(pg_store *store, const char *name, pg_store_merged *report)
{
    pg_store *shard = open_as(name, PG_STORE_READ);
    assert_int_equal(pg_store_check(shard), PG_OK);
    int code = pg_store_merge(store, shard, report);
    pg_store_close(shard);
    return code;
}

static void expect_merged(pg_store *store, const char *name, int64_t tasks, int64_t known, int64_t failed)
{
    pg_store_merged r;
    if (try_merge(store, name, &r) != PG_OK)
        fail_msg("%s", pg_error_message());
    assert_int_equal(r.tasks, tasks);
    assert_int_equal(r.known, known);
    assert_int_equal(r.failed, failed);
    if (pg_store_check(store) != PG_OK)
        fail_msg("%s", pg_error_message());
}

/* Outcomes, attacks and the numbers of cells as text, in the order of ids and images; then what is kept for SQL. */
static char *dump(pg_store *store)
{
    static const char *const queries[] = {
        "SELECT cell || ' ' || state || ' ' || n || ' ' || clean || ' ' || clean_lo || ' ' || certified_hi || ' ' ||"
        " ifnull(certified_published, '-') || ' ' || ifnull(attacked_lo, '-') || ' ' || masked_count || ' ' || nonfinite_count"
        " || ' ' || ifnull(smallest_margin, '-') FROM result ORDER BY 1",
        "SELECT cell || ' ' || key || ' ' || value FROM setting ORDER BY 1",
        "SELECT name || ' ' || height || ' ' || width FROM dataset",
        "SELECT c.cell_id || ' ' || o.image || ' ' || l.label || ' ' || o.prediction || o.certified || o.published || o.masked"
        " || ' ' || ifnull(o.margin, '-') || ' ' || ifnull(o.failure_case, '-') || ' ' || ifnull(o.attacked, '-') || ' ' ||"
        " ifnull(a.top || ' ' || a.\"left\" || ' ' || ifnull(a.target, '-') || ' ' || ifnull(a.loss, '-') || ' ' || a.steps ||"
        " ' ' || a.before || ' ' || a.after || ' ' || ifnull(hex(a.patch), '-'), '-') || ' ' || (SELECT sum(n) || ' ' ||"
        " sum(clean) || ' ' || sum(certified) || ' ' || sum(attacked) FROM summary s WHERE s.cell = c.cell)"
        " FROM cell c JOIN outcome o ON o.cell = c.cell JOIN forward f ON f.forward = c.forward JOIN label l ON l.dataset ="
        " f.dataset AND l.image = o.image LEFT JOIN attack a ON a.cell = o.cell AND a.image = o.image ORDER BY 1"};
    pg_buf text;
    pg_buf_init(&text);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        sqlite3_stmt *row = NULL;
        assert_int_equal(sqlite3_prepare_v2(store->db, queries[i], -1, &row, NULL), SQLITE_OK);
        while (sqlite3_step(row) == SQLITE_ROW)
            pg_buf_printf(&text, "%s\n", (const char *)sqlite3_column_text(row, 0));
        sqlite3_finalize(row);
    }
    char *result = pg_buf_take(&text);
    assert_non_null(result);
    return result;
}

/* What a store says that did everything by itself. */
static const char *whole(bool attacked)
{
    static char *texts[2];
    if (!texts[attacked]) {
        pg_store *store = fill_attacked(attacked);
        texts[attacked] = dump(store);
        pg_store_close(store);
        remove_store();
    }
    return texts[attacked];
}

static void expect_whole(pg_store *store, bool attacked)
{
    char *got = dump(store);
    assert_true(strlen(got) > 1000);
    assert_string_equal(got, whole(attacked));
    free(got);
}

static int drop_all(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'/*", scratch_folder);
    return system(command);
}

/* ---- Merging ---- */

/* Whatever the cut, with attacks and without; a second time nothing changes, not a byte. */
static void test_the_whole_again(void **state)
{
    for (int64_t n = 1; n <= 5; n++)
        for (int64_t chunk = 2; chunk <= 10; chunk += 4)
            for (int attacked = 0; attacked < 2; attacked++) {
                char name[32], *before, *after;
                size_t size_before, size_after;
                int64_t done = 0, tasks = (IMAGES + chunk - 1) / chunk;
                pg_store *main = open_as("main.db", PG_STORE_WRITE);
                for (int64_t i = n - 1; i >= 0; i--) {
                    int64_t mine = i < tasks ? (tasks - 1 - i) / n + 1 : 0;
                    snprintf(name, sizeof name, "s%lld.db", (long long)i);
                    make_shard(name, i, n, chunk, 100, attacked);
                    expect_merged(main, name, mine, 0, 0);
                    done += mine;
                }
                assert_int_equal(done, tasks);
                expect_whole(main, attacked);
                assert_int_equal(number(main, "SELECT count(*) FROM shard"), n);
                assert_int_equal(number(main, "SELECT count(*) FROM worker"), n < tasks ? n : tasks);
                assert_int_equal(pg_file_read(scratch_path("main.db"), 1 << 24, &before, &size_before), PG_OK);
                for (int64_t i = 0; i < n; i++) {
                    snprintf(name, sizeof name, "s%lld.db", (long long)i);
                    expect_merged(main, name, 0, i < tasks ? (tasks - 1 - i) / n + 1 : 0, 0);
                }
                assert_int_equal(pg_file_read(scratch_path("main.db"), 1 << 24, &after, &size_after), PG_OK);
                assert_int_equal(size_before, size_after);
                assert_memory_equal(before, after, size_before);
                free(before);
                free(after);
                pg_store_close(main);
                drop_all(state);
            }
}

/* What is done here stays, in tasks of another cut too; only the images between come from the shard. */
static void test_overlaps(void **state)
{
    static const int64_t cuts[][2] = {{4, 4}, {4, 8}, {8, 4}, {3, 5}, {10, 2}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        for (int mine = 0; mine < 3; mine++)
            for (int theirs = 1; theirs < 6; theirs++) {
                pg_store_merged r;
                pg_store *main = open_as("main.db", PG_STORE_WRITE);
                assert_int_equal(plan_cut(main, CELLS, cuts[i][0], NULL), PG_OK);
                start_as(main);
                if (run_tasks(main, mine, false) == mine && theirs % 2 && mine < 2 && cuts[i][0] < IMAGES)
                    fail_task(main, "first try");
                make_shard("s.db", 0, 1, cuts[i][1], theirs, false);
                assert_int_equal(try_merge(main, "s.db", &r), PG_OK);
                assert_int_equal(pg_store_check(main), PG_OK);
                assert_int_equal(number(main, "SELECT count(*) FROM task t WHERE t.task NOT IN (SELECT task FROM task_cell)"),
                                 0);
                assert_int_equal(plan_cut(main, CELLS, cuts[i][0], NULL), PG_OK);
                run_tasks(main, 100, false);
                expect_whole(main, false);
                pg_store_close(main);
                drop_all(state);
            }
}

/* Cells that are done here need nothing; one of another plan is left alone. */
static void test_other_cells(void **state)
{
    (void)state;
    pg_store *main = open_as("main.db", PG_STORE_WRITE);
    assert_int_equal(plan_cut(main, 2, 4, NULL), PG_OK);
    start_as(main);
    run_tasks(main, 1, false);
    assert_int_equal(plan_cut(main, 4, 4, NULL), PG_OK); /* tasks for cells 2 and 3, and for the rest of 0 and 1 */
    assert_int_equal(plan_cut(main, CELLS, 4, NULL), PG_OK);
    make_shard("s.db", 0, 1, 4, 100, false);
    expect_merged(main, "s.db", 3, 0, 0);
    assert_int_equal(number(main, "SELECT count(*) FROM outcome WHERE cell = 4"), 0);
    assert_int_equal(number(main, "SELECT sum(n) FROM summary"), 3 * IMAGES);
    assert_int_equal(plan_cut(main, 4, 4, NULL), PG_OK);
    assert_int_equal(run_tasks(main, 100, false), 3);
    assert_int_equal(pg_store_check(main), PG_OK);
    assert_int_equal(number(main, "SELECT count(*) FROM outcome"), 4 * IMAGES);
    pg_store_close(main);
}

/* A worker that holds a task while its result comes with a shard is too late, whether the cut is the same or not. */
static void test_late_worker(void **state)
{
    for (int64_t chunk = 4; chunk <= 8; chunk += 4) {
        pg_task task;
        pg_store *main = open_as("main.db", PG_STORE_WRITE), *other = open_as("main.db", PG_STORE_WRITE);
        assert_int_equal(plan_cut(other, CELLS, chunk, NULL), PG_OK);
        start_as(other);
        assert_true(claim(other, &task));
        make_shard("s.db", 0, 1, 4, 1, false);
        expect_merged(main, "s.db", 1, 0, 0);
        assert_false(finish(other, &task));
        assert_int_equal(number(main, "SELECT count(*) FROM outcome"), 3 * 4);
        assert_int_equal(number(main, "SELECT count(*) FROM attempt WHERE result = 'stale'"), 1);
        assert_int_equal(pg_store_check(main), PG_OK);
        pg_task_release(&task);
        assert_int_equal(plan_cut(other, CELLS, chunk, NULL), PG_OK);
        assert_int_equal(run_tasks(other, 100, false), 2);
        expect_whole(main, false);
        pg_store_close(other);
        pg_store_close(main);
        drop_all(state);
    }
}

/* A failure travels with its reason, once; later the shard, or this store, gets it done. */
/* A shard whose run stopped within a task: what it has is merged, what it lacks stays to be done in both, and its other tasks
 * are the ones that it had. */
static void test_a_shard_that_stopped(void **state)
{
    pg_store *main = open_as("main.db", PG_STORE_WRITE), *shard = open_as("s0.db", PG_STORE_WRITE);
    const pg_shard even = {0, 2, NULL};
    pg_shard_info info;
    pg_task task;
    assert_int_equal(plan_cut(main, CELLS, CHUNK, NULL), PG_OK); /* 0-3, 4-7, 8-9 */
    assert_int_equal(plan_cut(shard, CELLS, CHUNK, &even), PG_OK);
    start_as(shard);
    assert_true(claim(shard, &task));
    assert_true(finish_part(shard, &task, 3));
    pg_task_release(&task);
    pg_store_close(shard);
    expect_merged(main, "s0.db", 1, 0, 0);
    assert_int_equal(number(main, "SELECT sum(count) FROM task WHERE state = 'pending'"), IMAGES - 3);
    assert_int_equal(number(main, "SELECT count(*) FROM task WHERE state = 'pending' AND first = 3 AND count = 1"), 1);
    shard = open_as("s0.db", PG_STORE_WRITE);
    assert_int_equal(plan_cut(shard, CELLS, CHUNK, &even), PG_OK);
    start_as(shard);
    pg_store_progress left;
    assert_int_equal(pg_store_progress_of(shard, &left), PG_OK);
    assert_int_equal(left.tasks, 3); /* both parts of the first, and the third */
    assert_int_equal(left.images, 6);
    assert_int_equal(left.images_done, 3);
    for (int i = 0; i < 2; i++) {
        assert_true(claim(shard, &task));
        assert_int_equal(task.first, i ? 8 : 3);
        assert_true(finish_attacked(shard, &task, true));
        pg_task_release(&task);
    }
    assert_false(claim(shard, &task));
    assert_int_equal(pg_store_shard(shard, &info), PG_OK);
    assert_int_equal(info.tasks, 3);
    pg_store_close(shard);
    make_shard("s1.db", 1, 2, CHUNK, 100, true);
    expect_merged(main, "s0.db", 2, 1, 0);
    expect_merged(main, "s1.db", 1, 0, 0);
    expect_whole(main, true);
    assert_int_equal(number(main, "SELECT count(*) FROM task WHERE state <> 'done'"), 0);
    pg_store_close(main);
    drop_all(state);
}

static void test_failures(void **state)
{
    for (int here = 0; here < 2; here++) {
        pg_cell_result cell;
        pg_store *main = open_as("main.db", PG_STORE_WRITE), *shard = open_as("s.db", PG_STORE_WRITE);
        assert_int_equal(plan_cut(main, CELLS, 4, NULL), PG_OK);
        assert_int_equal(plan_cut(shard, CELLS, 4, &(pg_shard){0, 2, NULL}), PG_OK);
        start_as(shard);
        fail_task(shard, "it rains");
        run_tasks(shard, 100, false);
        expect_merged(main, "s.db", 1, 0, 1);
        assert_int_equal(pg_store_cell(main, ids[0], &cell), PG_OK);
        assert_int_equal(cell.state, PG_CELL_FAILED);
        assert_string_equal(cell.error, "it rains");
        pg_cell_result_release(&cell);
        assert_int_equal(number(main, "SELECT count(*) FROM attempt WHERE result = 'failed'"), 3);
        expect_merged(main, "s.db", 0, 1, 1);
        assert_int_equal(number(main, "SELECT count(*) FROM attempt"), 4);
        assert_int_equal(plan_cut(main, CELLS, 4, NULL), PG_OK); /* open again */
        expect_merged(main, "s.db", 0, 1, 1);
        assert_int_equal(number(main, "SELECT count(*) FROM task WHERE state = 'failed'"), 0);
        start_as(main);
        assert_int_equal(run_tasks(main, 100, false), 2);
        expect_merged(main, "s.db", 0, 2, 0);
        if (here) {
            expect_whole(main, false);
        } else {
            assert_int_equal(plan_cut(shard, CELLS, 4, &(pg_shard){0, 2, NULL}), PG_OK);
            assert_int_equal(run_tasks(shard, 100, false), 1);
            expect_merged(main, "s.db", 0, 2, 0);
        }
        pg_store_close(shard);
        pg_store_close(main);
        drop_all(state);
    }
}

/* The reason reaches tasks of another cut too, but none that a worker holds. */
static void test_failure_of_another_cut(void **state)
{
    (void)state;
    pg_task held;
    pg_store *main = open_as("main.db", PG_STORE_WRITE), *shard = open_as("s.db", PG_STORE_WRITE);
    assert_int_equal(plan_cut(main, CELLS, 2, NULL), PG_OK);
    start_as(main);
    assert_true(claim(main, &held));
    assert_int_equal(plan_cut(shard, CELLS, 4, &(pg_shard){0, 2, NULL}), PG_OK);
    start_as(shard);
    fail_task(shard, "it rains");
    expect_merged(main, "s.db", 0, 0, 1);
    assert_int_equal(number(main, "SELECT first FROM task WHERE state = 'failed' AND error = 'it rains' AND attempts = 3"), 2);
    assert_int_equal(number(main, "SELECT count(*) FROM task WHERE state = 'failed'"), 1);
    assert_true(finish(main, &held));
    pg_task_release(&held);
    assert_int_equal(pg_store_check(main), PG_OK);
    pg_store_close(shard);
    pg_store_close(main);
}

/* A shard merged when it was half done brings the rest when it is done. */
static void test_twice_on_the_way(void **state)
{
    (void)state;
    pg_store *main = open_as("main.db", PG_STORE_WRITE);
    make_shard("s.db", 0, 1, 2, 2, true);
    expect_merged(main, "s.db", 2, 0, 0);
    make_shard("s.db", 0, 1, 2, 100, true);
    expect_merged(main, "s.db", 3, 2, 0);
    expect_whole(main, true);
    assert_int_equal(number(main, "SELECT count(*) FROM shard WHERE tasks = 5"), 1);
    pg_store_close(main);
}

/* A certificate that an attack broke in a shard is an error here as well. */
static void test_broken_certificates(void **state)
{
    (void)state;
    make_shard("a.db", 0, 2, 4, 100, true);
    make_shard("b.db", 1, 2, 4, 100, true); /* images 4 to 7; 4 is certified and wrong under attack */
    assert_int_equal(program_run("main.db", "merge '%s'", scratch_path("a.db")), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(program_run("main.db", "merge '%s'", scratch_path("b.db")), 5);
        assert_non_null(
            strstr(program_output, "3 certificates of 3 cells are broken by an attack; the first: image 4 of cell "));
    }
}

static void test_audits(void **state)
{
    (void)state;
    pg_audit_record r = {.level = "feature", .settings = "a=1\n", .n = 10, .certified = 4, .witness = "w"};
    pg_store *main = open_as("main.db", PG_STORE_WRITE), *shard;
    make_shard("s.db", 0, 1, 4, 100, false);
    shard = open_as("s.db", PG_STORE_WRITE);
    assert_int_equal(pg_store_audit(shard, ids[1], &r), PG_OK);
    pg_store_close(shard);
    expect_merged(main, "s.db", 3, 0, 0);
    assert_int_equal(number(main, "SELECT certified FROM audit a JOIN cell c ON c.cell = a.cell WHERE a.settings = 'a=1\n'"),
                     4);
    r.certified = 3;
    assert_int_equal(pg_store_audit(main, ids[1], &r), PG_OK);
    expect_merged(main, "s.db", 0, 3, 0);
    assert_int_equal(number(main, "SELECT certified FROM audit"), 3);
    pg_store_close(main);
}

/* Tasks of a frozen plan are those that were open; copies of it become its shards. */
static void test_frozen_plan(void **state)
{
    (void)state;
    char command[1200];
    pg_store *main = open_as("main.db", PG_STORE_WRITE), *frozen = open_as("plan.db", PG_STORE_WRITE), *shard;
    assert_int_equal(plan_cut(main, CELLS, 2, NULL), PG_OK);
    start_as(main);
    run_tasks(main, 2, false);
    assert_int_equal(plan_cut(frozen, CELLS, 2, &(pg_shard){0, 0, main}), PG_OK);
    assert_int_equal(number(frozen, "SELECT count(*) FROM task"), 3);
    pg_store_close(frozen);
    for (int64_t i = 0; i < 2; i++) {
        snprintf(command, sizeof command, "cp '%s/plan.db' '%s/s%d.db'", scratch_folder, scratch_folder, (int)i);
        assert_int_equal(system(command), 0);
        snprintf(command, sizeof command, "s%d.db", (int)i);
        shard = open_as(command, PG_STORE_WRITE);
        assert_int_equal(plan_cut(shard, CELLS, 2, &(pg_shard){i, 2, NULL}), PG_OK);
        start_as(shard);
        assert_int_equal(run_tasks(shard, 1, false), 1);
        assert_int_equal(plan_cut(shard, CELLS, 2, &(pg_shard){i, 2, NULL}), PG_OK); /* as after a requeue */
        assert_int_equal(run_tasks(shard, 100, false), i == 0 ? 1 : 0);
        pg_store_close(shard);
        expect_merged(main, command, i == 0 ? 2 : 1, 0, 0);
    }
    assert_int_equal(number(main, "SELECT count(DISTINCT store_id) FROM shard"), 2);
    assert_int_equal(number(main, "SELECT count(*) FROM task"), 5);
    expect_whole(main, false);
    pg_store_close(main);
}

/* ---- What is refused ---- */

static void expect_shard_refused(const char *name, size_t cells, const pg_shard *shard, const char *reason)
{
    pg_store *store = open_as(name, PG_STORE_WRITE);
    int64_t plans = number(store, "SELECT count(*) FROM plan"), metas = number(store, "SELECT count(*) FROM meta");
    assert_int_equal(plan_cut(store, cells, 4, shard), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), reason));
    assert_int_equal(number(store, "SELECT count(*) FROM plan"), plans);
    assert_int_equal(number(store, "SELECT count(*) FROM meta"), metas);
    pg_store_close(store);
}

/* A database is one shard of one plan. */
static void test_stores_that_are_something_else(void **state)
{
    (void)state;
    make_shard("s.db", 1, 3, 4, 100, false);
    pg_store *normal = open_as("normal.db", PG_STORE_WRITE);
    assert_int_equal(plan_cut(normal, CELLS, 4, NULL), PG_OK);
    pg_store_close(normal);
    expect_shard_refused("normal.db", CELLS, &(pg_shard){1, 3, NULL}, "holds other results");
    expect_shard_refused("s.db", CELLS, &(pg_shard){0, 3, NULL}, "is shard 1/3, not 0/3");
    expect_shard_refused("s.db", CELLS, &(pg_shard){1, 4, NULL}, "is shard 1/3, not 1/4");
    expect_shard_refused("s.db", 2, &(pg_shard){1, 3, NULL}, "another plan");
    expect_shard_refused("s.db", 2, NULL, "another plan");
    normal = open_as("s.db", PG_STORE_WRITE); /* asked for as a whole it stays what it is */
    assert_int_equal(plan_cut(normal, CELLS, 4, NULL), PG_OK);
    start_as(normal);
    assert_int_equal(run_tasks(normal, 100, false), 0);
    pg_store_close(normal);
}

/* `merge ARGUMENTS` into fresh.db: exit code 2, with this said, and no file made. */
static void expect_refused(const char *arguments, const char *reason)
{
    int code = program_run("fresh.db", "merge %s", arguments);
    if (code != 2 || !strstr(program_output, reason))
        fail_msg("merge %s: %d: %s", arguments, code, program_output);
    assert_int_equal(access(scratch_path("fresh.db"), F_OK), -1);
}

static void test_refused_shards(void **state)
{
    (void)state;
    char good[600], pair[1200];
    make_shard("good.db", 0, 2, 4, 100, false);
    make_shard("cut.db", 1, 2, 2, 100, false);
    make_shard("three.db", 1, 3, 4, 100, false);
    snprintf(good, sizeof good, "%s/good.db", scratch_folder);
    pg_store *store = open_as("other.db", PG_STORE_WRITE);
    assert_int_equal(plan_cut(store, 2, 4, &(pg_shard){1, 2, NULL}), PG_OK);
    pg_store_close(store);
    store = open_as("normal.db", PG_STORE_WRITE);
    assert_int_equal(plan_cut(store, CELLS, 4, NULL), PG_OK);
    pg_store_close(store);
    static const struct {
        const char *name, *sql, *reason;
    } cases[] = {
        {"other.db", NULL, "merge each plan by itself"},
        {"cut.db", NULL, "shards of one `submit`"},
        {"three.db", NULL, "shards of one `submit`"},
        {"normal.db", NULL, "is no shard"},
        {"absent.db", NULL, "no such database"},
        {"good.db", "UPDATE outcome SET margin = margin + 1 WHERE image = 2", "do not match their checksum"},
        {"good.db", "UPDATE plan_cell SET position = position + 10 WHERE position = 0", "not those of its plan"},
        {"good.db", "PRAGMA user_version = 99", "newer patchgauge"},
        {"good.db", "PRAGMA application_id = 1", "not of patchgauge"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *name = cases[i].name;
        if (cases[i].sql) {
            snprintf(pair, sizeof pair, "cp '%s' '%s/bad.db'", good, scratch_folder);
            assert_int_equal(system(pair), 0);
            store = open_as(name = "bad.db", PG_STORE_WRITE);
            exec(store, cases[i].sql);
            pg_store_close(store);
        }
        snprintf(pair, sizeof pair, "'%s' '%s/%s'", good, scratch_folder, name);
        expect_refused(pair, cases[i].reason);
    }
    expect_refused("", "SHARD.db is missing");
    expect_refused("--what", "unknown option");
}

/* A database with plans of its own takes no shard of another plan, and is not changed. */
static void test_plan_that_is_not_known(void **state)
{
    (void)state;
    pg_store_merged r;
    pg_store *main = open_as("main.db", PG_STORE_WRITE);
    assert_int_equal(plan_cut(main, 2, 4, NULL), PG_OK);
    make_shard("s.db", 0, 1, 4, 100, false);
    assert_int_equal(try_merge(main, "s.db", &r), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "does not know"));
    assert_int_equal(number(main, "SELECT (SELECT count(*) FROM plan) + (SELECT count(*) FROM outcome)"), 1);
    pg_store_close(main);
    main = open_as("s.db", PG_STORE_WRITE);
    assert_int_equal(try_merge(main, "s.db", &r), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "itself a shard"));
    pg_store_close(main);
}

/* ---- The program ---- */

static const char matrix[] =
    "name = \"parts\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:240\"\nbatch = 8\n"
    "[axes]\ndefense = [\"mean\", \"ds\", \"median\", \"robust-masking\"]\npatch = [2, 5]\n"
    "\"robust-masking.threshold\" = [0, 0.2]\n";

static char *table_of(const char *db)
{
    if (program_run(db, "table %s --rows defense --cols patch -f csv 2>/dev/null", scratch_path("m.toml")) != 0)
        fail_msg("%s", program_output);
    return strdup(program_output);
}

/* Shards run by the program, one of them after a failure, make the table of a plain run, byte for byte. */
static void test_program(void **state)
{
    (void)state;
    char shards[2048] = "", *want, *got;
    scratch_write("m.toml", matrix, strlen(matrix));
    const char *file = scratch_path("m.toml");
    assert_int_equal(program_run("whole.db", "run %s --task-images 8 --quiet", file), 0);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d.db", i);
        const char *fault = i == 2 ? "-S null.fail_image=20" : ""; /* image 20 lies in task 2 */
        int code = program_run(name, "run %s --task-images 8 --shard %d/4 --quiet %s", file, i, fault);
        assert_int_equal(code, i == 2 ? 1 : 0);
        snprintf(shards + strlen(shards), sizeof shards - strlen(shards), " '%s'", scratch_path(name));
    }
    assert_int_equal(program_run("merged.db", "run %s --task-images 8 --shard 1/4 --quiet", file), 0);
    assert_int_equal(program_run("merged.db", "merge %s", shards), 2);
    assert_non_null(strstr(program_output, "itself a shard"));
    assert_int_equal(remove(scratch_path("merged.db")), 0);
    assert_int_equal(program_run("merged.db", "merge %s", shards), 1);
    assert_non_null(strstr(program_output, "1 task failed"));
    assert_int_equal(program_run("s2.db", "run %s --task-images 8 --shard 2/4 --quiet", file), 0);
    assert_int_equal(program_run("merged.db", "merge %s", shards), 0);
    assert_non_null(strstr(program_output, "1 task merged, 6 known"));
    assert_non_null(strstr(program_output, "10 of 10 cells"));
    want = table_of("whole.db");
    got = table_of("merged.db");
    assert_string_equal(got, want);
    free(want);
    free(got);
}

static void test_bad_shard_option(void **state)
{
    (void)state;
    static const char *const bad[] = {"3", "3/3", "-1/3", "0/0", "/3", "0/", "a/b", "0/100001", "1/3x", "0x1/3", "' 1/3'"};
    scratch_write("m.toml", matrix, strlen(matrix));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (program_run("none.db", "run %s --shard %s", scratch_path("m.toml"), bad[i]) != 2 ||
            !strstr(program_output, "right would be I/N"))
            fail_msg("%s: %s", bad[i], program_output);
        assert_int_equal(access(scratch_path("none.db"), F_OK), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_the_whole_again, drop_all),
        cmocka_unit_test_teardown(test_overlaps, drop_all),
        cmocka_unit_test_teardown(test_other_cells, drop_all),
        cmocka_unit_test_teardown(test_late_worker, drop_all),
        cmocka_unit_test_teardown(test_a_shard_that_stopped, drop_all),
        cmocka_unit_test_teardown(test_failures, drop_all),
        cmocka_unit_test_teardown(test_failure_of_another_cut, drop_all),
        cmocka_unit_test_teardown(test_twice_on_the_way, drop_all),
        cmocka_unit_test_teardown(test_broken_certificates, drop_all),
        cmocka_unit_test_teardown(test_audits, drop_all),
        cmocka_unit_test_teardown(test_frozen_plan, drop_all),
        cmocka_unit_test_teardown(test_stores_that_are_something_else, drop_all),
        cmocka_unit_test_teardown(test_refused_shards, drop_all),
        cmocka_unit_test_teardown(test_plan_that_is_not_known, drop_all),
        cmocka_unit_test_teardown(test_program, drop_all),
        cmocka_unit_test_teardown(test_bad_shard_option, drop_all),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
