/* Versions of the store: released schemas are frozen, each opens, a newer one is refused. */
#include "tests/support/store_fixture.h"

/* The version of this program, and of each released schema file its SHA-256: such a file never changes. A change of the schema
 * is a new db/migrate-N.sql, a line here, and a tests/reference/store-(N-1).sql. */
static const struct {
    const char *path, *hash;
} released[] = {
    {"db/schema.sql", "c77db4414440f5d9d1ca70273ef2de504f63b26827fc64241af8d316a44909fa"},
    {"db/migrate-2.sql", "1ec7dc27886f80b8e6f8c133293429570bdcb982faf0f1b4e2946b78639124f9"},
    {"db/migrate-3.sql", "8e60aa26344cc1fa60b919d31687210f02852a8b0574e8d6efcfe726fbc96627"},
    {"db/migrate-4.sql", "e262f67189a9f98f5182cbd0db4b8454edc82462f25def08e2f29d9ed74e4318"},
    {"db/migrate-5.sql", "5f004ad401ca7c3319bd57c97b5927f9f6c66306eb53f313ebcf07532735ebec"},
    {"db/migrate-6.sql", "f9be239c996f0c8ad17ee4136567a94ff22d8dab43ca0192658a9aceb51595e0"},
};
enum { VERSIONS = sizeof released / sizeof *released };

static void test_released_schemas_are_frozen(void **state)
{
    (void)state;
    int n = 0;
    for (const pg_migration *m = pg_migrations; m->version; m++)
        assert_int_equal(m->version, ++n);
    assert_int_equal(n, VERSIONS);
    for (int i = 0; i < VERSIONS; i++) {
        char hash[PG_HASH_HEX];
        assert_int_equal(pg_hash_file(released[i].path, hash), PG_OK);
        assert_string_equal(hash, released[i].hash);
    }
}

static int dump_row(void *out, int n, char **values, char **names)
{
    for (int i = 0; i < n; i++) /* columns that came later are NULL in rows of before, */
        if (values[i] && strcmp(names[i], "height") != 0 && strcmp(names[i], "width") != 0) /* or derived */
            pg_buf_printf(out, "%s=%s|", names[i], values[i]);
    return 0;
}

/* All rows of a database but those of what is kept beside others, `total` and `cell_setting`, and of sqlite itself. */
static void dump(sqlite3 *db, pg_buf *out)
{
    static const char *const tables[] = {"meta", "dataset",   "label",   "forward", "cell",    "plan",   "plan_cell", "worker",
                                         "task", "task_cell", "attempt", "outcome", "summary", "attack", "audit",     "shard"};
    char sql[64];
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(sql, sizeof sql, "SELECT * FROM \"%s\"", tables[i]);
        assert_int_equal(sqlite3_exec(db, sql, dump_row, out, NULL), SQLITE_OK);
    }
}

/* A store as a released program left it, from its text. */
static void write_old(int version, pg_buf *rows)
{
    char path[64], *sql = NULL;
    size_t size = 0;
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "tests/reference/store-%d.sql", version);
    assert_int_equal(pg_file_read(path, 1 << 20, &sql, &size), PG_OK);
    assert_int_equal(sqlite3_open(scratch_path("t.db"), &db), SQLITE_OK);
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        print_error("%s: %s\n", path, sqlite3_errmsg(db));
    assert_int_equal(code, SQLITE_OK);
    pg_buf_clear(rows);
    dump(db, rows);
    sqlite3_close(db);
    free(sql);
}

static void expect_old_results(pg_store *store, const pg_buf *rows)
{
    static const pg_cell_state states[] = {PG_CELL_DONE, PG_CELL_DONE, PG_CELL_DONE, PG_CELL_FAILED};
    pg_buf now;
    pg_buf_init(&now);
    dump(store->db, &now);
    assert_string_equal(now.data, rows->data);
    pg_buf_release(&now);
    assert_int_equal(number(store, "PRAGMA user_version"), VERSIONS);
    if (pg_store_check(store) != PG_OK)
        fail_msg("%s", pg_error_message());
    for (int i = 0; i < 4; i++) {
        pg_cell_result r;
        cell_row(i, 0, IMAGES);
        assert_int_equal(pg_store_cell(store, ids[i], &r), PG_OK);
        assert_int_equal(r.state, states[i]);
        assert_int_equal(r.n, i < 3 ? IMAGES : CHUNK);
        assert_int_equal(r.attacked_n, i < 3 ? IMAGES : 0);
        pg_cell_result_release(&r);
    }
    assert_int_equal(number(store, "SELECT sum(n * 100 + failed) FROM total"), 3 * IMAGES * 100 + CHUNK * 100 + 1);
}

/* Reading gives the results and leaves the file as it is, byte for byte; writing brings it up and goes on. */
static void test_each_released_schema_opens(void **state)
{
    (void)state;
    for (int version = 1; version < VERSIONS; version++) {
        pg_buf rows;
        pg_buf_init(&rows);
        write_old(version, &rows);
        char before[PG_HASH_HEX], after[PG_HASH_HEX];
        assert_int_equal(pg_hash_file(scratch_path("t.db"), before), PG_OK);
        for (int mode = PG_STORE_READ; mode <= PG_STORE_SNAPSHOT; mode++) {
            pg_store *reader = open_store((pg_store_mode)mode);
            expect_old_results(reader, &rows);
            assert_int_not_equal(sqlite3_exec(reader->db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_OK);
            pg_store_close(reader);
        }
        assert_int_equal(pg_hash_file(scratch_path("t.db"), after), PG_OK);
        assert_string_equal(before, after);
        pg_store *store = open_store(PG_STORE_WRITE);
        expect_old_results(store, &rows);
        int64_t requeued = 0;
        pg_task task;
        assert_int_equal(pg_store_worker_start(store, &some_worker), PG_OK);
        assert_int_equal(pg_store_reap(store, &requeued), PG_OK);
        assert_int_equal(requeued, 1);
        plan(store, (const int[]){3}, 1, 0, IMAGES);
        while (claim(store, &task)) {
            assert_true(finish(store, &task));
            pg_task_release(&task);
        }
        assert_int_equal(number(store, "SELECT count(*) FROM total WHERE n = images AND failed = 0"), 4);
        pg_cell_result r;
        cell_row(3, 0, IMAGES);
        assert_int_equal(pg_store_cell_checked(store, ids[3], &r), PG_OK);
        assert_int_equal(r.n, IMAGES);
        int counted = version < 4 ? IMAGES - CHUNK : IMAGES; /* version 4 began to count it */
        assert_int_equal(r.saturated_n, counted);
        assert_int_equal(r.differs_n, counted);
        pg_cell_result_release(&r);
        assert_int_equal(pg_store_check(store), PG_OK);
        pg_store_close(store);
        store = open_store(PG_STORE_READ);
        pg_store_close(store);
        remove_store();
        pg_buf_release(&rows);
    }
}

/* Readers need no right to write for that. */
static void test_old_store_in_a_read_only_folder(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* needs to become somebody without rights */
    pg_buf rows;
    pg_buf_init(&rows);
    write_old(1, &rows);
    assert_int_equal(chmod(scratch_folder, 0555), 0);
    assert_int_equal(chmod(scratch_path("t.db"), 0444), 0);
    pid_t child = fork();
    if (child == 0) {
        pg_store *store = NULL;
        _exit(seteuid(65534) != 0 || pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store) != PG_OK);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    chmod(scratch_folder, 0755);
    assert_int_equal(status, 0);
    pg_buf_release(&rows);
}

/* Whoever comes while another process brings a store up finds it whole; readers meanwhile have the results. */
static void test_migrated_by_many_at_once(void **state)
{
    (void)state;
    enum { ROUNDS = 10, PROCESSES = 8 };
    pg_buf rows;
    pg_buf_init(&rows);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[PROCESSES];
        write_old(1, &rows);
        for (int i = 0; i < PROCESSES; i++)
            if ((children[i] = fork()) == 0) {
                pg_store *store = NULL;
                int code = pg_store_open(scratch_path("t.db"), i % 2 ? PG_STORE_READ : PG_STORE_WRITE, &store);
                _exit(code != PG_OK || pg_store_check(store) != PG_OK ||
                      number(store, "SELECT count(*) FROM total WHERE n > 0") != 4);
            }
        int failed = 0, status;
        for (int i = 0; i < PROCESSES; i++) {
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            failed += status != 0;
        }
        assert_int_equal(failed, 0);
        pg_store *store = open_store(PG_STORE_READ);
        expect_old_results(store, &rows);
        pg_store_close(store);
        remove_store();
    }
    pg_buf_release(&rows);
}

static void test_newer_is_refused(void **state)
{
    (void)state;
    char sql[64], wanted[64], before[PG_HASH_HEX], after[PG_HASH_HEX];
    pg_store *store = open_store(PG_STORE_WRITE);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", VERSIONS + 1);
    snprintf(wanted, sizeof wanted, "format %d, this one knows up to %d", VERSIONS + 1, VERSIONS);
    exec(store, sql);
    pg_store_close(store);
    assert_int_equal(pg_hash_file(scratch_path("t.db"), before), PG_OK);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EUNSUPPORTED);
    assert_non_null(strstr(pg_error_message(), wanted));
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store), PG_EUNSUPPORTED);
    assert_int_equal(pg_hash_file(scratch_path("t.db"), after), PG_OK);
    assert_string_equal(before, after);
}

static void test_nonsense_version(void **state)
{
    (void)state;
    pg_store *store = open_store(PG_STORE_WRITE);
    exec(store, "PRAGMA user_version = 0");
    pg_store_close(store);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_WRITE, &store), PG_EDAMAGED);
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_READ, &store), PG_EDAMAGED);
}

/* All steps that are due, or none. */
static void test_migration(void **state)
{
    (void)state;
    enum { NEXT = VERSIONS + 1 };
    static const char extra[] = "ALTER TABLE meta ADD COLUMN note TEXT; CREATE TABLE extra (a TEXT) STRICT";
    static const pg_migration good[] = {{VERSIONS, NULL}, {NEXT, extra}, {0, NULL}};
    static const pg_migration bad[] = {{VERSIONS, NULL}, {NEXT, extra}, {NEXT + 1, "CREATE TABLE meta (a)"}, {0, NULL}};
    pg_store *store = open_store(PG_STORE_WRITE);
    assert_int_equal(pg_db_migrate(store, bad), PG_EDB);
    assert_int_equal(number(store, "PRAGMA user_version"), VERSIONS);
    assert_int_equal(number(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), 0);
    int code = pg_db_migrate(store, good);
    if (code != PG_OK)
        print_error("%s\n", pg_error_message());
    assert_int_equal(code, PG_OK);
    assert_int_equal(number(store, "PRAGMA user_version"), NEXT);
    assert_int_equal(number(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), 1);
    pg_store_close(store);
}

/* ---- Totals: what version 2 added ---- */

static int64_t total(pg_store *store, const char *column)
{
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT sum(%s) FROM total", column);
    return number(store, sql);
}

static void test_totals_follow(void **state)
{
    (void)state;
    pg_store *store = open_worker();
    pg_task task;
    bool given_up = false;
    plan_all(store);
    assert_int_equal(total(store, "images"), CELLS * IMAGES);
    assert_int_equal(total(store, "n"), 0);
    assert_true(claim(store, &task));
    assert_int_equal(total(store, "failed"), 0);
    assert_true(finish(store, &task));
    pg_task_release(&task);
    assert_int_equal(total(store, "n"), CELLS * CHUNK);
    for (int i = 0; i < PG_ATTEMPTS_MAX; i++) {
        assert_int_equal(total(store, "failed"), 0);
        assert_true(claim(store, &task));
        assert_int_equal(pg_store_fail(store, &task, &some_attempt, "no luck", true, &given_up), PG_OK);
        pg_task_release(&task);
    }
    assert_true(given_up);
    assert_int_equal(total(store, "failed"), CELLS);
    assert_int_equal(pg_store_check(store), PG_OK);
    plan_all(store); /* failed tasks get a new chance */
    assert_int_equal(total(store, "failed"), 0);
    assert_int_equal(total(store, "n"), CELLS * CHUNK);
    assert_int_equal(total(store, "images"), CELLS * IMAGES);
    assert_int_equal(pg_store_check(store), PG_OK);
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_released_schemas_are_frozen),
        cmocka_unit_test_teardown(test_each_released_schema_opens, clean),
        cmocka_unit_test_teardown(test_old_store_in_a_read_only_folder, clean),
        cmocka_unit_test_teardown(test_migrated_by_many_at_once, clean),
        cmocka_unit_test_teardown(test_newer_is_refused, clean),
        cmocka_unit_test_teardown(test_nonsense_version, clean),
        cmocka_unit_test_teardown(test_migration, clean),
        cmocka_unit_test_teardown(test_totals_follow, clean),
    };
    return cmocka_run_group_tests_name("version", tests, make, scratch_remove);
}
