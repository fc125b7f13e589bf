/* `status`, `log` and `ls`: the store as a whole, one cell's history, and lists, while others write. */
#include "tests/support/program.h"
#include "tests/support/store_fixture.h"
#include "tests/support/store_list.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/ioctl.h>

static int64_t at(json_t *root, const char *object, const char *key)
{
    json_t *value = json_object_get(object ? json_object_get(root, object) : root, key);
    if (!json_is_integer(value))
        fail_msg("no number %s.%s in %s", object ? object : "", key, program_output);
    return (int64_t)json_integer_value(value);
}

static json_t *status_json(void)
{
    json_error_t error;
    assert_int_equal(program_run("t.db", "status -f json-lines"), 0);
    json_t *root = json_loads(program_output, 0, &error);
    if (!root)
        fail_msg("%s in %s", error.text, program_output);
    return root;
}

static void expect_text(const char *text)
{
    if (!strstr(program_output, text))
        fail_msg("no \"%s\" in:\n%s", text, program_output);
}

static void fail_task(pg_store *store, pg_task *task, const char *error)
{
    bool given_up = false;
    assert_int_equal(pg_store_fail(store, task, &some_attempt, error, false, &given_up), PG_OK);
    assert_true(given_up);
    pg_task_release(task);
}

/* Cells 0 to 2 are done, 3 is partial with a failed and a running task, 4 has outcomes and a failed task, 5 is new. The worker
 * lives. */
static pg_store *fill_all_states(const char *error)
{
    pg_store *store = fill();
    pg_task task;
    plan(store, (const int[]){3}, 1, 0, IMAGES);
    assert_true(claim(store, &task));
    assert_true(finish(store, &task));
    pg_task_release(&task);
    plan(store, (const int[]){4}, 1, 0, IMAGES);
    assert_true(claim(store, &task));
    assert_true(finish(store, &task));
    pg_task_release(&task);
    assert_true(claim(store, &task));
    fail_task(store, &task, error);
    plan(store, (const int[]){5}, 1, 0, IMAGES);
    plan(store, (const int[]){3}, 1, 0, IMAGES);
    assert_true(claim(store, &task));
    pg_task_release(&task);
    return store;
}

/* ---- status ---- */

static void test_status_counts(void **state)
{
    (void)state;
    pg_store *store = fill_all_states("no luck");
    json_t *root = status_json();
    assert_int_equal(at(root, NULL, "cells_new"), 1);
    assert_int_equal(at(root, NULL, "cells_partial"), 1);
    assert_int_equal(at(root, NULL, "cells_done"), CELLS);
    assert_int_equal(at(root, NULL, "cells_failed"), 1);
    assert_int_equal(at(root, NULL, "outcomes"), CELLS * IMAGES + 2 * CHUNK);
    assert_int_equal(at(root, NULL, "outcomes_asked"), (CELLS + 3) * IMAGES);
    assert_int_equal(at(root, NULL, "tasks"), 12);
    assert_int_equal(at(root, NULL, "tasks_done"), 5);
    assert_int_equal(at(root, NULL, "tasks_running"), 1);
    assert_int_equal(at(root, NULL, "tasks_pending"), 5);
    assert_int_equal(at(root, NULL, "tasks_failed"), 1);
    assert_int_equal(at(root, NULL, "live_workers"), 1);
    json_decref(root);
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("6 cells: 1 new, 1 partial, 3 done, 1 failed");
    expect_text("outcomes: 38 of 60");
    expect_text("tasks: 5 of 12 done, 1 running, 5 pending, 1 failed");
    expect_text("workers: 1\n");
    expect_text(", cpu, 1 thread, since ");
    char wanted[128];
    snprintf(wanted, sizeof wanted, ": images 4:8 of cell %.12s\n", ids[3]);
    expect_text(wanted);
    snprintf(wanted, sizeof wanted, "failed:\n  images 4:8 of cell %.12s: no luck\n", ids[4]);
    expect_text(wanted);
    pg_store_close(store);
}

/* Rows of `ls` are the cells, with what the text says in percent. */
static void test_rows_of_ls(void **state)
{
    (void)state;
    json_error_t error;
    pg_store_close(fill_all_states("no luck"));
    assert_int_equal(program_run("t.db", "--quiet ls --most 0 -f json"), 0);
    json_t *root = json_loads(program_output, 0, &error), *rows = json_object_get(root, "rows"), *row;
    size_t i;
    assert_string_equal(json_string_value(json_object_get(root, "form")), "ls");
    assert_int_equal(json_array_size(rows), CELLS + 3);
    static const char *const states[] = {"done", "done", "done", "partial", "failed", "new"};
    json_array_foreach(rows, i, row)
    {
        int64_t n = at(row, NULL, "n");
        char patch[8], defense[8];
        snprintf(patch, sizeof patch, "%zu", i);
        snprintf(defense, sizeof defense, "d%zu", i % 2);
        assert_string_equal(json_string_value(json_object_get(row, "cell")), ids[i]);
        assert_string_equal(json_string_value(json_object_get(row, "state")), states[i]);
        assert_string_equal(json_string_value(json_object_get(row, "patch")), patch);
        assert_string_equal(json_string_value(json_object_get(row, "defense")), defense);
        assert_int_equal(n, i < 3 ? IMAGES : i < 5 ? CHUNK : 0);
        assert_int_equal(at(row, NULL, "asked"), IMAGES);
        const json_t *clean = json_object_get(row, "clean");
        assert_true(n > 0 ? json_number_value(clean) == 50 : json_is_null(clean)); /* even images are right */
    }
    json_decref(root);
    assert_int_equal(program_run("t.db", "--quiet ls --most 2 -f json-lines"), 0);
    assert_non_null(strstr(program_output, ids[5]));
    assert_null(strstr(program_output, ids[3]));
    assert_int_equal(program_run("t.db", "--quiet ls --state failed -f csv"), 0);
    assert_non_null(strstr(program_output, ids[4]));
    assert_null(strstr(program_output, ids[0]));
}

/* The states that status counts are those that each cell has by its own sums. */
static int count_state(const pg_cell_result *r, void *context)
{
    ((int64_t *)context)[r->state]++;
    return PG_OK;
}
static void test_states_agree(void **state)
{
    (void)state;
    pg_store *store = fill_all_states("no luck");
    int64_t states[PG_CELL_STATES] = {0}, matching = 0;
    pg_store_status status;
    assert_int_equal(store_list(store, -1, count_state, states, NULL), PG_OK);
    assert_int_equal(pg_store_status_of(store, &status), PG_OK);
    for (int i = 0; i < PG_CELL_STATES; i++) {
        int64_t of_state[PG_CELL_STATES] = {0};
        assert_int_equal(status.cells[i], states[i]);
        assert_int_equal(store_list(store, i, count_state, of_state, &matching), PG_OK);
        assert_int_equal(of_state[i], states[i]);
        assert_int_equal(matching, states[i]);
    }
    pg_store_close(store);
}

/* Eight images of each pass are left. The first pass took 1 s an image, measured; the second has the mean of all. */
static void test_time_left(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_store_status status;
    pg_task task;
    bool counted;
    pg_outcome outcomes[CHUNK];
    plan(store, (const int[]){0}, 1, 0, 3 * CHUNK);
    exec(store, "INSERT INTO forward SELECT 2, lower(hex(zeroblob(32))), 'g', dataset FROM forward;"
                "INSERT INTO task (forward, first, count) VALUES (2, 0, 8)");
    assert_int_equal(pg_store_status_of(store, &status), PG_OK);
    assert_true(isnan(status.left_s));
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("left: not known before a task is done");
    assert_true(claim(store, &task));
    for (int i = 0; i < CHUNK; i++)
        outcomes[i] = make_outcome(i, 0);
    pg_attempt attempt = some_attempt;
    attempt.forward_s = 4;
    attempt.read_s = 1;
    attempt.certify_s = 2;
    attempt.wall_s = 100;
    assert_int_equal(pg_store_finish(store, &task, task.count, &attempt, outcomes, NULL, &counted), PG_OK);
    pg_task_release(&task);
    assert_int_equal(pg_store_status_of(store, &status), PG_OK);
    assert_true(fabs(status.left_s - 16) < 1e-9);
    exec(store, "INSERT INTO attempt SELECT 77, 4, worker, 1, 'done', '', '', 1, 1, 0, 1, 0, 0, 24, 0, NULL, '' FROM attempt");
    assert_int_equal(pg_store_status_of(store, &status), PG_OK);
    assert_true(fabs(status.left_s - (8 * 1 + 8 * 3)) < 1e-9); /* now measured: 24 s for 8 images */
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("left: about 32s at the measured speed of 1 worker\n");
    pg_store *second = open_worker();
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("left: about 16s at the measured speed of 2 workers\n");
    pg_store_close(second);
    pg_store_close(store);
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("left: about 32s at the measured speed of 1 worker; none is running\n");
}

/* A worker that was killed is told from one that lives, and looking changes nothing. */
static void test_dead_workers(void **state)
{
    (void)state;
    pg_store *store = open_store(PG_STORE_WRITE);
    plan_all(store);
    pid_t child = fork();
    if (child == 0) {
        pg_store *mine = open_worker();
        pg_task task;
        plan_all(mine);
        for (int i = 0; i < 2; i++)
            claim(mine, &task);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    int entries = scratch_count(scratch_folder);
    for (int i = 0; i < 2; i++) {
        json_t *root = status_json(), *worker = json_array_get(json_object_get(root, "workers"), 0);
        assert_int_equal(at(root, NULL, "live_workers"), 0);
        assert_int_equal(at(worker, NULL, "pid"), child);
        assert_true(json_is_false(json_object_get(worker, "lives")));
        assert_int_equal(at(worker, NULL, "tasks"), 2);
        assert_int_equal(at(worker, NULL, "cells"), CELLS);
        json_decref(root);
    }
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("and 1 more task; died, the next run takes them up");
    assert_int_equal(scratch_count(scratch_folder), entries);
    pg_store_close(store);
}

/* Any bytes in a reason: JSON stays JSON, and no terminal acts on them. */
static void test_hostile_reasons(void **state)
{
    (void)state;
    pg_store_close(fill_all_states("\033[2J \"quoted\" \\ \xff\xfe <b>\n%s%n"));
    json_t *root = status_json(), *failure = json_array_get(json_object_get(root, "failures"), 0);
    assert_non_null(strstr(json_string_value(json_object_get(failure, "error")), "\"quoted\""));
    assert_int_equal(at(failure, NULL, "attempts"), 1);
    json_decref(root);
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("%s%n");
    assert_null(strchr(program_output, '\033'));
    char prefix[16];
    snprintf(prefix, sizeof prefix, "%.12s", ids[4]);
    assert_int_equal(program_run("t.db", "log %s", prefix), 0);
    expect_text("%s%n");
    assert_null(strchr(program_output, '\033'));
}

static void test_many_failures_are_cut_short(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    plan(store, (const int[]){0}, 1, 0, 15 * CHUNK);
    while (claim(store, &task))
        fail_task(store, &task, "no luck");
    pg_store_close(store);
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("and 5 more tasks; `patchgauge ls --state failed` lists the cells");
}

/* A watch shows one state after another, and ends when nothing is left to do. */
static void test_watch(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    char command[1200], line[1024];
    plan_all(store);
    snprintf(command, sizeof command, "%s --db '%s/t.db' status --watch", program_path(), scratch_folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    bool first = false, last = false;
    while (fgets(line, sizeof line, pipe)) {
        if (strstr(line, "0 of 3 done")) { /* it was seen before, now the work is done */
            first = true;
            while (claim(store, &task)) {
                assert_true(finish(store, &task));
                pg_task_release(&task);
            }
        }
        last |= strstr(line, "3 of 3 done") != NULL;
    }
    assert_int_equal(pclose(pipe), 0);
    assert_true(first);
    assert_true(last);
    pg_store_close(store);
}

static pid_t start_watch(void)
{
    unlink(scratch_path("watched"));
    pid_t child = fork();
    if (child != 0)
        return child;
    if (freopen(scratch_path("watched"), "w", stdout) && freopen(scratch_path("watched"), "a", stderr))
        execl(program_path(), program_path(), "--db", scratch_path("t.db"), "status", "--watch", (char *)NULL);
    _exit(127);
}

static void wait_for_text(const char *text)
{
    for (int tries = 0; tries < 6000; tries++) {
        char *have = NULL;
        size_t size = 0;
        bool found = pg_file_read(scratch_path("watched"), 1 << 20, &have, &size) == PG_OK && strstr(have, text);
        free(have);
        if (found)
            return;
        usleep(10000);
    }
    fail_msg("waited in vain for \"%s\"", text);
}

/* It ends as a run does: with failed tasks, or where the workers are gone; and quietly when told to. */
static void test_ends_of_a_watch(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    plan(store, (const int[]){0}, 1, 0, IMAGES);
    pid_t child = start_watch();
    wait_for_text("0 of 3 done");
    while (claim(store, &task))
        fail_task(store, &task, "no luck");
    assert_int_equal(program_wait(child), 1);
    wait_for_text("3 of 3 tasks failed");
    plan(store, (const int[]){0}, 1, 0, IMAGES);
    child = start_watch();
    wait_for_text("0 of 3 done");
    kill(child, SIGINT);
    assert_int_equal(program_wait(child), 0);
    child = start_watch();
    wait_for_text("workers: 1");
    pg_store_close(store);
    assert_int_equal(program_wait(child), 3);
    wait_for_text("no worker is running any more");
}

/* Cells that nobody asks a run for are no work that is left. */
static void test_cells_without_tasks(void **state)
{
    (void)state;
    pg_store *store = fill();
    pg_store_forward_row forward = forward_row(CHUNK);
    pg_store_cell_row rows[] = {cell_row(0, 0, IMAGES), cell_row(5, 0, IMAGES)};
    pg_store_plan_row audited = {.name = "audit",
                                 .matrix = "",
                                 .overrides = "",
                                 .cells_only = true,
                                 .forwards = &forward,
                                 .n_forwards = 1,
                                 .cells = rows,
                                 .n_cells = 2};
    assert_int_equal(pg_store_plan(store, &audited), PG_OK);
    json_t *root = status_json();
    assert_int_equal(at(root, NULL, "cells_new"), 0);
    assert_int_equal(at(root, NULL, "cells_audited"), 1);
    assert_int_equal(at(root, NULL, "outcomes_asked"), CELLS * IMAGES);
    assert_int_equal(at(root, NULL, "tasks_pending"), 0);
    json_decref(root);
    assert_int_equal(program_run("t.db", "status --watch"), 0); /* ends at once */
    expect_text("3 cells: 0 new, 0 partial, 3 done, 0 failed; 1 more only audited\n");
    plan(store, (const int[]){5}, 1, 0, IMAGES);
    root = status_json();
    assert_int_equal(at(root, NULL, "cells_new"), 1);
    assert_int_equal(at(root, NULL, "cells_audited"), 0);
    assert_int_equal(at(root, NULL, "outcomes_asked"), (CELLS + 1) * IMAGES);
    assert_int_equal(at(root, NULL, "tasks_pending"), 3);
    json_decref(root);
    pg_store_close(store);
}

static void test_status_usage(void **state)
{
    (void)state;
    assert_int_equal(program_run("t.db", "status"), 2);
    expect_text("no such database");
    pg_store_close(open_store(PG_STORE_WRITE));
    assert_int_equal(program_run("t.db", "status"), 0);
    expect_text("0 cells");
    assert_int_equal(program_run("t.db", "status --wach"), 2);
    expect_text("--watch");
    assert_int_equal(program_run("t.db", "status now"), 2);
}

/* ---- log ---- */

static const char *after(const char *text, const char *from)
{
    const char *found = strstr(from, text);
    if (!found)
        fail_msg("no \"%s\", or not in its place, in:\n%s", text, program_output);
    return found;
}

static void test_log_is_in_order(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    bool given_up;
    plan(store, (const int[]){0}, 1, 0, IMAGES);
    assert_true(claim(store, &task));
    assert_int_equal(pg_store_fail(store, &task, &some_attempt, "a first reason", true, &given_up), PG_OK);
    pg_task_release(&task);
    assert_true(claim(store, &task));
    assert_true(finish(store, &task));
    pg_task_release(&task);
    pg_audit_record audit = {.level = "feature", .settings = "seed=1\n", .n = 10, .certified = 3};
    assert_int_equal(pg_store_audit(store, ids[0], &audit), PG_OK);
    assert_true(claim(store, &task));
    assert_int_equal(pg_store_fail(store, &task, &some_attempt, "another reason", true, &given_up), PG_OK);
    pg_task_release(&task);
    assert_true(claim(store, &task));
    pg_task_release(&task);
    assert_int_equal(program_run("t.db", "log %.8s", ids[0]), 0);
    const char *text = after(ids[0], program_output);
    text = after("planned by p", text);
    text = after("failed images 0:4, epoch 1", text);
    text = after("    a first reason\n", text);
    text = after("done images 0:4, epoch 2", text);
    text = after("    1.000 s (read", text);
    text = after("failed images 4:8, epoch 1", text);
    text = after("audited, level feature: 10 images, 3 certified, 0 broken", text);
    text = after("now running images 4:8, ", text);
    text = after(", 1 of 3 attempts failed: another reason", text);
    after("now pending images 8:10\n", text);
    pg_store_close(store);
    assert_int_equal(program_run("t.db", "log"), 2);
    assert_int_equal(program_run("t.db", "log ffffffff"), 2);
    assert_int_equal(program_run("t.db", "log xyz"), 2);
}

/* ---- ls ---- */

static void test_lists(void **state)
{
    (void)state;
    pg_store *store = fill_all_states("no luck");
    char wanted[64];
    assert_int_equal(program_run("t.db", "ls --state failed"), 0);
    snprintf(wanted, sizeof wanted, "%.12s failed", ids[4]);
    expect_text(wanted);
    for (int i = 0; i < 6; i++) {
        snprintf(wanted, sizeof wanted, "%.12s", ids[i]);
        assert_int_equal(strstr(program_output, wanted) != NULL, i == 4);
    }
    assert_int_equal(program_run("t.db", "ls --state done -n 2"), 0);
    expect_text("the newest 2 of 3 cells; --most 0 lists all");
    for (int i = 0; i < 6; i++) {
        snprintf(wanted, sizeof wanted, "%.12s", ids[i]);
        assert_int_equal(strstr(program_output, wanted) != NULL, i == 1 || i == 2);
    }
    assert_int_equal(program_run("t.db", "ls"), 0);
    assert_null(strstr(program_output, "newest"));
    for (int i = 0; i < 6; i++)
        expect_text((snprintf(wanted, sizeof wanted, "%.12s", ids[i]), wanted));
    assert_int_equal(program_run("t.db", "ls --state nwe"), 2);
    assert_int_equal(program_run("t.db", "ls --most -1"), 2);
    assert_int_equal(program_run("t.db", "ls x"), 2);
    pg_store_close(store);
}

/* Cells of the forward pass of cell 1, with ids and checksums of their own. */
static void add_cells(pg_store *store, int n)
{
    int64_t forward = number(store, "SELECT forward FROM cell WHERE cell = 1"), key;
    exec(store, "BEGIN");
    for (int i = 0; i < n; i++) {
        char text[32], id[PG_HASH_HEX];
        snprintf(text, sizeof text, "made=%d\n", i);
        assert_int_equal(pg_hash_bytes(text, strlen(text), id), PG_OK);
        pg_store_cell_row row = {.cell_id = id, .canonical = text, .settings = text, .details = "", .count = 4};
        assert_int_equal(pg_db_record_cell(store, &row, forward, &key), PG_OK);
    }
    exec(store, "COMMIT");
}

typedef struct walk {
    pg_store *writer;
    int64_t seen;
} walk;

static int write_meanwhile(const pg_cell_result *r, void *context)
{
    walk *w = context;
    if (w->seen++ % 300 == 0)
        exec(w->writer, "UPDATE meta SET value = value || 'x' WHERE key = 'store_id'");
    assert_true(r->known);
    return PG_OK;
}

/* All cells come, in order and in batches, and between two calls anybody may commit. */
static void test_lists_hold_no_lock(void **state)
{
    (void)state;
    enum { MADE = 1000 };
    pg_store *store = open_store(PG_STORE_WRITE);
    plan(store, (const int[]){0}, 1, 0, IMAGES);
    add_cells(store, MADE);
    pg_store *reader = open_store(PG_STORE_READ);
    sqlite3_busy_timeout(store->db, 0);
    walk w = {.writer = store};
    assert_int_equal(store_list(reader, -1, write_meanwhile, &w, NULL), PG_OK);
    assert_int_equal(w.seen, MADE + 1);
    pg_store_close(reader);
    pg_store_close(store);
    assert_int_equal(program_run("t.db", "ls"), 0);
    expect_text("the newest 500 of 1001 cells");
    assert_int_equal(program_run("t.db", "ls -n 0 --quiet | wc -l"), 0);
    assert_int_equal(atoi(program_output), MADE + 2); /* with the line of titles */
}

/* Starts a command whose output nobody reads, and waits until its pipe is full. */
static pid_t start_unread(const char *command, int *output)
{
    char line[1200];
    int ends[2], waiting = 0;
    assert_int_equal(pipe(ends), 0);
    int room = fcntl(ends[1], F_SETPIPE_SZ, 4096);
    assert_int_equal(room, 4096);
    snprintf(line, sizeof line, "exec %s --db '%s/t.db' %s", program_path(), scratch_folder, command);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (waiting < room) {
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0); /* all of it fitted */
        assert_int_equal(ioctl(ends[0], FIONREAD, &waiting), 0);
        usleep(1000);
    }
    *output = ends[0];
    return child;
}

/* Whoever looks at results in a pager stops no run. */
static void test_a_pager_stops_nobody(void **state)
{
    (void)state;
    pg_store *store = fill();
    add_cells(store, 300);
    sqlite3_busy_timeout(store->db, 0);
    exec(store,
         "WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
         " INSERT INTO attempt SELECT i, task, worker, epoch, 'lost', device, library, threads, batch, cached, 0, 0, 0, 0, 0,"
         " 'gone', finished FROM n JOIN attempt WHERE attempt = 1");
    char commands[3][64] = {"ls -n 0"}, buffer[4096];
    snprintf(commands[1], sizeof commands[1], "log %.12s", ids[0]);
    snprintf(commands[2], sizeof commands[2], "show %.12s", ids[0]);
    for (int i = 0; i < 3; i++) {
        int output = -1, status = -1;
        pid_t child = start_unread(commands[i], &output);
        exec(store, "UPDATE meta SET value = value || 'x' WHERE key = 'store_id'");
        while (read(output, buffer, sizeof buffer) > 0)
            continue;
        close(output);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_status_counts, clean),
        cmocka_unit_test_teardown(test_rows_of_ls, clean),
        cmocka_unit_test_teardown(test_states_agree, clean),
        cmocka_unit_test_teardown(test_time_left, clean),
        cmocka_unit_test_teardown(test_dead_workers, clean),
        cmocka_unit_test_teardown(test_hostile_reasons, clean),
        cmocka_unit_test_teardown(test_many_failures_are_cut_short, clean),
        cmocka_unit_test_teardown(test_watch, clean),
        cmocka_unit_test_teardown(test_ends_of_a_watch, clean),
        cmocka_unit_test_teardown(test_cells_without_tasks, clean),
        cmocka_unit_test_teardown(test_status_usage, clean),
        cmocka_unit_test_teardown(test_log_is_in_order, clean),
        cmocka_unit_test_teardown(test_lists, clean),
        cmocka_unit_test_teardown(test_lists_hold_no_lock, clean),
        cmocka_unit_test_teardown(test_a_pager_stops_nobody, clean),
    };
    return cmocka_run_group_tests_name("status", tests, make, scratch_remove);
}
