/* The store: creation, versions, claims and epochs, late writers, dead workers, summaries, damage. */
#include "db/internal.h"
#include "harness/base/file.h"
#include "harness/base/rng.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { CELLS = 3, IMAGES = 10, CHUNK = 4 };

static const char hash_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const pg_store_worker_row some_worker = {.revision = "test", .versions = "", .device = "cpu", .threads = 1};
static const pg_attempt some_attempt = {.device = "cpu", .library = "", .threads = 1, .batch = 4, .wall_s = 1};

static char ids[8][PG_HASH_HEX];
static char canonicals[8][64], settings[8][64];

static void remove_store(void)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'/t.db*", scratch_folder);
    assert_int_equal(system(command), 0);
}

static pg_store *open_store(pg_store_mode mode)
{
    pg_store *store = NULL;
    int code = pg_store_open(scratch_path("t.db"), mode, &store);
    if (code != PG_OK)
        print_error("%s\n", pg_error_message());
    assert_int_equal(code, PG_OK);
    return store;
}

static pg_store_cell_row cell_row(int i, int64_t first, int64_t count)
{
    snprintf(canonicals[i], sizeof canonicals[i], "cell=%d\n", i);
    snprintf(settings[i], sizeof settings[i], "defense=d%d\npatch=%d\n", i % 2, i);
    assert_int_equal(pg_hash_bytes(canonicals[i], strlen(canonicals[i]), ids[i]), PG_OK);
    return (pg_store_cell_row){.cell_id = ids[i],
                               .canonical = canonicals[i],
                               .settings = settings[i],
                               .details = "window=1x1\n",
                               .first = first,
                               .count = count,
                               .has_delta = i != 1,
                               .delta = 5};
}

static int try_plan(pg_store *store, const int *cells, size_t n, int64_t first, int64_t count)
{
    static char key[PG_HASH_HEX];
    assert_int_equal(pg_hash_bytes("f\n", 2, key), PG_OK);
    pg_store_forward_row forward = {.forward_key = key,
                                    .canonical = "f\n",
                                    .dataset_hash = hash_a,
                                    .dataset_split = "test",
                                    .dataset_name = "d:test",
                                    .dataset_images = 100,
                                    .dataset_classes = 10,
                                    .chunk = CHUNK};
    pg_store_cell_row rows[8];
    for (size_t i = 0; i < n; i++)
        rows[i] = cell_row(cells[i], first, count);
    pg_store_plan_row plan = {
        .name = "p", .matrix = "", .overrides = "", .forwards = &forward, .n_forwards = 1, .cells = rows, .n_cells = n};
    return pg_store_plan(store, &plan);
}

static void plan(pg_store *store, const int *cells, size_t n, int64_t first, int64_t count)
{
    assert_int_equal(try_plan(store, cells, n, first, count), PG_OK);
}

static void plan_all(pg_store *store) { plan(store, (const int[]){0, 1, 2}, CELLS, 0, IMAGES); }

static pg_store *open_worker(void)
{
    pg_store *store = open_store(PG_STORE_WRITE);
    assert_int_equal(pg_store_worker_start(store, &some_worker), PG_OK);
    return store;
}

static bool claim(pg_store *store, pg_task *task)
{
    bool got = false;
    assert_int_equal(pg_store_claim(store, task, &got), PG_OK);
    return got;
}

/* What a forward pass would say: label image % 10, right for even images, certified for every fourth. */
static pg_outcome make_outcome(int64_t image, size_t cell)
{
    bool certified = image % 4 == 0;
    return (pg_outcome){.image = image,
                        .label = (int)(image % 10),
                        .prediction = image == 7 ? -1 : (int)(image % 10) + (image % 2 ? 1 : 0),
                        .certified = certified,
                        .certified_published = image == 1,
                        .masked = image == 2,
                        .has_margin = image % 2 == 0,
                        .margin = certified ? 100 + image + (int64_t)cell : -3,
                        .failure_case = cell == 2 ? (int8_t)(image % 5) : -1};
}

static bool finish(pg_store *store, const pg_task *task)
{
    pg_outcome *outcomes = calloc(task->n_cells * (size_t)task->count, sizeof *outcomes);
    bool counted = false;
    for (size_t c = 0; c < task->n_cells; c++)
        for (int64_t i = 0; i < task->count; i++)
            outcomes[(int64_t)c * task->count + i] = make_outcome(task->first + i, c);
    assert_int_equal(pg_store_finish(store, task, &some_attempt, outcomes, &counted), PG_OK);
    free(outcomes);
    return counted;
}

static int64_t number(pg_store *store, const char *sql)
{
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(store->db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return value;
}

static void exec(pg_store *store, const char *sql)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        print_error("%s\n", sqlite3_errmsg(store->db));
    assert_int_equal(code, SQLITE_OK);
}

static int make(void **state) { return scratch_make(state); }
static int clean(void **state)
{
    (void)state;
    remove_store();
    return 0;
}

/* ---- Opening ---- */

static void test_create(void **state)
{
    (void)state;
    pg_store *store = open_store(PG_STORE_WRITE);
    assert_int_equal(number(store, "PRAGMA application_id"), PG_DB_APPLICATION_ID);
    assert_int_equal(number(store, "PRAGMA user_version"), 1);
    assert_int_equal(number(store, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(store, "PRAGMA synchronous"), 3);
    assert_int_equal(number(store, "SELECT length(value) FROM meta WHERE key = 'store_id'"), 32);
    assert_int_equal(
        number(store, "SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND NOT strict AND name NOT LIKE 'sqlite%'"),
        0);
    pg_store_close(store);
    pg_store_close(open_store(PG_STORE_READ));
}

static void test_missing(void **state)
{
    (void)state;
    pg_store *store = NULL;
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store), PG_EMISSING);
    assert_null(store);
    assert_int_equal(access(scratch_path("t.db"), F_OK), -1);
    assert_int_equal(pg_store_open(scratch_path("nowhere/t.db"), PG_STORE_WRITE, &store), PG_EIO);
}

static void test_newer_is_refused(void **state)
{
    (void)state;
    pg_store *store = open_store(PG_STORE_WRITE);
    exec(store, "PRAGMA user_version = 2");
    pg_store_close(store);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EUNSUPPORTED);
    assert_non_null(strstr(pg_error_message(), "newer"));
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store), PG_EUNSUPPORTED);
}

static void test_foreign_files_are_refused(void **state)
{
    (void)state;
    pg_store *store = NULL;
    sqlite3 *other = NULL;
    assert_int_equal(sqlite3_open(scratch_path("t.db"), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "CREATE TABLE t (a)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "not of patchgauge"));
    remove_store();
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    scratch_write("t.db", junk, sizeof junk);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EDAMAGED);
    assert_int_equal(pg_file_size(scratch_path("t.db")), (int64_t)sizeof junk);
}

static void test_migration(void **state)
{
    (void)state;
    static const pg_migration good[] = {
        {1, NULL}, {2, "ALTER TABLE meta ADD COLUMN note TEXT; CREATE TABLE extra (a TEXT) STRICT"}, {0, NULL}};
    static const pg_migration bad[] = {{1, NULL}, {2, "CREATE TABLE extra (a TEXT) STRICT; CREATE TABLE meta (a)"}, {0, NULL}};
    pg_store *store = open_store(PG_STORE_WRITE);
    assert_int_equal(pg_db_migrate(store, bad), PG_EDB);
    assert_int_equal(number(store, "PRAGMA user_version"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), 0);
    int code = pg_db_migrate(store, good);
    if (code != PG_OK)
        print_error("%s\n", pg_error_message());
    assert_int_equal(code, PG_OK);
    assert_int_equal(number(store, "PRAGMA user_version"), 2);
    assert_int_equal(number(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), 1);
    store->read_only = true;
    static const pg_migration third[] = {{3, "SELECT 1"}, {0, NULL}};
    assert_int_equal(pg_db_migrate(store, third), PG_EUNSUPPORTED);
    assert_non_null(strstr(pg_error_message(), "older"));
    pg_store_close(store);
}

static void test_read_only_folder(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* needs to become somebody without rights */
    pg_store *store = open_worker();
    plan_all(store);
    pg_store_close(store);
    assert_int_equal(chmod(scratch_folder, 0555), 0);
    assert_int_equal(chmod(scratch_path("t.db"), 0444), 0);
    pid_t child = fork();
    if (child == 0) {
        int code = seteuid(65534) == 0 ? 0 : 99;
        pg_store *mine = NULL;
        if (code == 0 && pg_store_open(scratch_path("t.db"), PG_STORE_READ, &mine) != PG_OK)
            code = 1; /* reading works */
        pg_store_close(mine);
        mine = NULL;
        int opened = code == 0 ? pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &mine) : PG_EIO;
        if (opened == PG_OK)
            opened = pg_store_worker_start(mine, &some_worker);
        if (code == 0 && opened != PG_EIO)
            code = 2;
        if (code == 0 && pg_store_open(scratch_path("new.db"), PG_STORE_WRITE, &mine) != PG_EIO)
            code = 3;
        _exit(code);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    chmod(scratch_folder, 0755);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

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
    assert_int_equal(pg_store_fail(late, &mine, &some_attempt, "late", PG_ATTEMPTS_MAX, &given_up), PG_OK);
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
        assert_int_equal(pg_store_fail(store, &task, &some_attempt, "broken", PG_ATTEMPTS_MAX, &given_up), PG_OK);
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
        code = code ? code : pg_store_worker_start(mine, &some_worker);
        code = code ? code : try_plan(mine, (const int[]){0, 1, 2}, CELLS, 0, IMAGES);
        code = code ? code : pg_store_claim(mine, &task, &got);
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
            if (pg_db_run(mine, "filling", "INSERT INTO outcome VALUES (1, ?1, 1, 0, 0, 0, NULL, NULL, NULL)", "i", i) != PG_OK)
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

/* ---- Results ---- */

static int count_outcome(const pg_outcome *o, void *context)
{
    int64_t *next = context;
    pg_outcome want = make_outcome(o->image, 2);
    assert_int_equal(o->image, (*next)++);
    assert_int_equal(o->label, want.label);
    assert_int_equal(o->prediction, want.prediction);
    assert_int_equal(o->certified, want.certified);
    assert_int_equal(o->certified_published, want.certified_published);
    assert_int_equal(o->masked, want.masked);
    assert_int_equal(o->has_margin, want.has_margin);
    if (o->has_margin)
        assert_int_equal(o->margin, want.margin);
    assert_int_equal(o->failure_case, want.failure_case);
    return PG_OK;
}

static pg_store *fill(void)
{
    pg_store *store = open_worker();
    pg_task task;
    plan_all(store);
    while (claim(store, &task)) {
        assert_true(finish(store, &task));
        pg_task_release(&task);
    }
    return store;
}

static void test_results(void **state)
{
    (void)state;
    pg_store *store = fill();
    pg_cell_result r;
    assert_int_equal(pg_store_cell(store, ids[2], &r), PG_OK);
    assert_true(r.known);
    assert_int_equal(r.state, PG_CELL_DONE);
    assert_int_equal(r.n, IMAGES);
    assert_int_equal(r.clean, 5);
    assert_int_equal(r.certified, 3); /* images 0, 4, 8 */
    assert_int_equal(r.certified_published, 1);
    assert_int_equal(r.nonfinite, 1);
    assert_int_equal(r.masked, 1);
    for (int i = 0; i < PG_CASES; i++)
        assert_int_equal(r.cases[i], 2);
    assert_true(r.has_smallest_margin);
    assert_int_equal(r.smallest_margin, 102);
    assert_true(r.has_delta);
    assert_int_equal(r.delta, 5);
    assert_string_equal(pg_cell_result_setting(&r, "patch"), "2");
    assert_string_equal(pg_cell_result_setting(&r, "window"), "1x1");
    assert_string_equal(pg_cell_result_setting(&r, "nothing"), "");
    pg_cell_result_release(&r);
    assert_int_equal(pg_store_cell(store, ids[1], &r), PG_OK);
    assert_false(r.has_delta);
    assert_false(r.has_published);
    pg_cell_result_release(&r);
    assert_int_equal(pg_store_cell(store, hash_a, &r), PG_OK);
    assert_false(r.known);
    int64_t next = 0;
    assert_int_equal(pg_store_each_outcome(store, ids[2], count_outcome, &next), PG_OK);
    assert_int_equal(next, IMAGES);
    pg_pair_counts pair;
    assert_int_equal(pg_store_compare(store, ids[0], ids[1], 'c', &pair), PG_OK);
    assert_int_equal(pair.both, 5);
    assert_int_equal(pair.neither, 5);
    assert_int_equal(pg_store_compare(store, ids[0], ids[1], 's', &pair), PG_OK);
    assert_int_equal(pair.both, 3);
    pg_store_close(store);
}

static void test_compare_wants_equal_images(void **state)
{
    (void)state;
    pg_store *store = fill();
    pg_pair_counts pair;
    plan(store, (const int[]){4}, 1, 0, CHUNK);
    assert_int_equal(pg_store_compare(store, ids[0], ids[4], 'c', &pair), PG_EINPUT);
    plan(store, (const int[]){5}, 1, 0, IMAGES);
    assert_int_equal(pg_store_compare(store, ids[0], ids[5], 'c', &pair), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "not finished"));
    assert_int_equal(pg_store_compare(store, ids[0], hash_a, 'c', &pair), PG_EMISSING);
    pg_store_close(store);
}

static void test_resolve(void **state)
{
    (void)state;
    pg_store *store = fill();
    char id[PG_HASH_HEX], prefix[9];
    snprintf(prefix, sizeof prefix, "%.8s", ids[1]);
    assert_int_equal(pg_store_resolve(store, prefix, id), PG_OK);
    assert_string_equal(id, ids[1]);
    assert_int_equal(pg_store_resolve(store, ids[1], id), PG_OK);
    assert_int_equal(pg_store_resolve(store, "abc", id), PG_EINPUT);
    assert_int_equal(pg_store_resolve(store, "0000000000", id), PG_EMISSING);
    assert_int_equal(pg_store_resolve(store, "xyzw", id), PG_EINPUT);
    assert_int_equal(pg_store_resolve(store, "aaaa' OR 1 --", id), PG_EINPUT);
    exec(store,
         "INSERT INTO cell SELECT 98, 'bbbb1' || substr(cell_id, 6), forward, first, count, canonical, settings, settings_id,"
         " details, delta, checksum FROM cell WHERE cell = 1");
    exec(store,
         "INSERT INTO cell SELECT 99, 'bbbb2' || substr(cell_id, 6), forward, first, count, canonical, settings, settings_id,"
         " details, delta, checksum FROM cell WHERE cell = 1");
    assert_int_equal(pg_store_resolve(store, "bbbb", id), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "several"));
    assert_int_equal(pg_store_resolve(store, "bbbb2", id), PG_OK);
    pg_store_close(store);
}

static void test_labels_must_agree(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    bool counted = true;
    plan(store, (const int[]){0}, 1, 0, CHUNK);
    assert_true(claim(store, &task));
    assert_true(finish(store, &task));
    pg_task_release(&task);
    plan(store, (const int[]){1}, 1, 0, CHUNK);
    assert_true(claim(store, &task));
    pg_outcome wrong[CHUNK];
    for (int i = 0; i < CHUNK; i++)
        wrong[i] = make_outcome(i, 0);
    wrong[2].label = 9;
    assert_int_equal(pg_store_finish(store, &task, &some_attempt, wrong, &counted), PG_EDAMAGED);
    assert_false(counted);
    assert_int_equal(number(store, "SELECT count(*) FROM outcome"), CHUNK);
    pg_task_release(&task);
    pg_store_close(store);
}

/* ---- Damage ---- */

static int read_all(pg_store *store)
{
    int code = pg_store_check(store);
    for (int i = 0; code == PG_OK && i < CELLS; i++) {
        pg_cell_result r;
        code = pg_store_cell(store, ids[i], &r);
        if (code == PG_OK)
            pg_cell_result_release(&r);
    }
    return code;
}

static int dump_row(void *out, int n, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < n; i++)
        pg_buf_printf(out, "%s|", values[i] ? values[i] : "");
    return 0;
}

/* What results are made of, as text. */
static void dump(pg_store *store, pg_buf *out)
{
    pg_buf_clear(out);
    sqlite3_exec(store->db, "SELECT * FROM outcome", dump_row, out, NULL);
    sqlite3_exec(store->db, "SELECT * FROM summary", dump_row, out, NULL);
    sqlite3_exec(store->db, "SELECT * FROM label", dump_row, out, NULL);
    sqlite3_exec(store->db, "SELECT * FROM cell", dump_row, out, NULL);
}

/* Bytes flipped at random: each is found, or no result changed. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    pg_store_close(fill());
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("t.db"), 1 << 24, &bytes, &size), PG_OK);
    pg_buf before, after;
    pg_buf_init(&before);
    pg_buf_init(&after);
    pg_store *store = open_store(PG_STORE_READ);
    assert_int_equal(read_all(store), PG_OK);
    dump(store, &before);
    pg_store_close(store);
    pg_rng rng = pg_rng_make(11, PG_STREAM_TEST, 0);
    int found = 0, harmless = 0;
    for (int i = 0; i < 400; i++) {
        size_t at = pg_rng_below(&rng, (uint32_t)size);
        while (!bytes[at]) /* most of a small store is empty */
            at = pg_rng_below(&rng, (uint32_t)size);
        uint8_t bit = (uint8_t)(1u << pg_rng_below(&rng, 8));
        bytes[at] = (char)(bytes[at] ^ bit);
        scratch_write("t.db", bytes, size);
        bytes[at] = (char)(bytes[at] ^ bit);
        store = NULL;
        int code = pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store);
        if (code == PG_OK)
            code = read_all(store);
        if (code == PG_OK) {
            dump(store, &after);
            if (strcmp(before.data, after.data) != 0)
                fail_msg("flip of bit %d at %zu changed a result and was not found", bit, at);
            harmless++;
        } else {
            found++;
        }
        pg_store_close(store);
    }
    print_message("%d flips: %d found, %d changed no result\n", found + harmless, found, harmless);
    assert_true(found > 50);
    free(bytes);
    pg_buf_release(&before);
    pg_buf_release(&after);
}

static void test_truncated(void **state)
{
    (void)state;
    pg_store_close(fill());
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("t.db"), 1 << 24, &bytes, &size), PG_OK);
    pg_buf before, after;
    pg_buf_init(&before);
    pg_buf_init(&after);
    pg_store *store = open_store(PG_STORE_READ);
    dump(store, &before);
    pg_store_close(store);
    int found = 0;
    for (size_t keep = 1; keep < size; keep += size / 97) {
        store = NULL;
        scratch_write("t.db", bytes, keep);
        int code = pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store);
        if (code == PG_OK)
            code = read_all(store);
        found += code != PG_OK;
        if (code == PG_OK) { /* an empty page at the end, cut short, is no loss */
            dump(store, &after);
            assert_string_equal(before.data, after.data);
        }
        pg_store_close(store);
    }
    assert_true(found > 90);
    free(bytes);
    pg_buf_release(&before);
    pg_buf_release(&after);
}

static void test_check_finds_lost_rows(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "DELETE FROM outcome WHERE image = 3 AND cell = 1",
        "UPDATE outcome SET prediction = prediction + 1 WHERE image = 3 AND cell = 1",
        "UPDATE label SET label = label + 1 WHERE image = 5",
        "UPDATE summary SET certified = certified - 1 WHERE cell = 2 AND certified > 0",
        "DELETE FROM summary WHERE cell = 2",
        "UPDATE task SET state = 'pending' WHERE task = 1",
        "UPDATE cell SET details = 'window=2x2\n' WHERE cell = 1",
        "UPDATE cell SET count = count + 1 WHERE cell = 1",
        "UPDATE forward SET canonical = 'g\n'",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        pg_store *store = fill();
        assert_int_equal(pg_store_check(store), PG_OK);
        exec(store, "PRAGMA foreign_keys = OFF");
        exec(store, damage[i]);
        if (pg_store_check(store) != PG_EDAMAGED)
            fail_msg("not found: %s", damage[i]);
        pg_store_close(store);
        remove_store();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_create, clean),
        cmocka_unit_test_teardown(test_missing, clean),
        cmocka_unit_test_teardown(test_newer_is_refused, clean),
        cmocka_unit_test_teardown(test_foreign_files_are_refused, clean),
        cmocka_unit_test_teardown(test_migration, clean),
        cmocka_unit_test_teardown(test_read_only_folder, clean),
        cmocka_unit_test_teardown(test_tasks_of_a_plan, clean),
        cmocka_unit_test_teardown(test_new_cell_over_old_forward, clean),
        cmocka_unit_test_teardown(test_pending_tasks_are_split, clean),
        cmocka_unit_test_teardown(test_claims_are_exclusive, clean),
        cmocka_unit_test_teardown(test_late_writer, clean),
        cmocka_unit_test_teardown(test_three_attempts, clean),
        cmocka_unit_test_teardown(test_dead_worker, clean),
        cmocka_unit_test_teardown(test_ended_worker, clean),
        cmocka_unit_test_teardown(test_orphaned_lock_files, clean),
        cmocka_unit_test_teardown(test_killed_in_transaction, clean),
        cmocka_unit_test_teardown(test_results, clean),
        cmocka_unit_test_teardown(test_compare_wants_equal_images, clean),
        cmocka_unit_test_teardown(test_resolve, clean),
        cmocka_unit_test_teardown(test_labels_must_agree, clean),
        cmocka_unit_test_teardown(test_flipped_bytes, clean),
        cmocka_unit_test_teardown(test_truncated, clean),
        cmocka_unit_test_teardown(test_check_finds_lost_rows, clean),
    };
    return cmocka_run_group_tests_name("store", tests, make, scratch_remove);
}
