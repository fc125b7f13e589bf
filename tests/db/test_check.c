/* Rows and their copies in indexes (db/migrate-3.sql): nothing is without one, and a row that differs from its
 * copy is found. */
#include "tests/support/store_fixture.h"

/* Columns that need no copy: under a checksum, hashed again, or counted again by `db check`. */
#define COVERED                                                                                                      \
    "('cell.first', 'cell.count', 'cell.canonical', 'cell.settings', 'cell.details', 'cell.delta', 'cell.checksum'," \
    " 'forward.canonical', 'label.dataset', 'label.image', 'label.label')"                                           \
    " AND c.\"table\" NOT IN ('outcome', 'summary', 'attack', 'total')"

/* A column has a copy if an index other than the table's own key holds it; every index holds the key as well. */
static void test_every_column_has_a_copy(void **state)
{
    (void)state;
    static const char sql[] =
        "WITH held AS (SELECT t.name AS \"table\", i.name AS \"index\" FROM pragma_table_list t"
        "  JOIN pragma_index_list(t.name) i WHERE i.origin <> 'pk' AND NOT i.partial),"
        " c AS (SELECT t.name AS \"table\", i.name, i.pk FROM pragma_table_list t JOIN pragma_table_info(t.name) i"
        "  WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%')"
        " SELECT c.\"table\" || '.' || c.name FROM c WHERE c.\"table\" || '.' || c.name NOT IN " COVERED
        " AND NOT EXISTS (SELECT 1 FROM held h JOIN pragma_index_xinfo(h.\"index\") x WHERE h.\"table\" = c.\"table\""
        "  AND (c.pk OR x.name = c.name))";
    pg_store *store = open_store(PG_STORE_WRITE);
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(store->db, sql, -1, &row, NULL), SQLITE_OK);
    if (sqlite3_step(row) == SQLITE_ROW)
        fail_msg("%s: in no index and under no checksum", (const char *)sqlite3_column_text(row, 0));
    exec(store, "ALTER TABLE audit ADD COLUMN note TEXT");
    sqlite3_reset(row);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(row, 0), "audit.note");
    sqlite3_finalize(row);
    pg_store_close(store);
}

/* Changes rows of a store behind the back of an index: its copy stays as it was. */
static void change_alone(const char *index, const char *sql)
{
    sqlite3 *db = NULL;
    char hide[256];
    snprintf(hide, sizeof hide,
             "PRAGMA writable_schema = ON; CREATE TEMP TABLE hidden AS SELECT * FROM sqlite_schema WHERE name = '%s';"
             "DELETE FROM sqlite_schema WHERE name = '%s'; PRAGMA writable_schema = RESET",
             index, index);
    assert_int_equal(sqlite3_open(scratch_path("t.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, hide, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    if (sqlite3_changes(db) != 1)
        fail_msg("%d rows: %s", sqlite3_changes(db), sql);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM hidden", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_close(db);
}

static int ignore_audit(const pg_audit_record *record, void *context)
{
    (void)record;
    (void)context;
    return PG_OK;
}

static int ignore_attempt(const pg_attempt_record *record, void *context)
{
    (void)record;
    (void)context;
    return PG_OK;
}

static int ignore_plan(const char *name, const char *created, void *context)
{
    (void)name;
    (void)created;
    (void)context;
    return PG_OK;
}

static int ignore_pass(const pg_pass_record *record, void *context)
{
    (void)record;
    (void)context;
    return PG_OK;
}

/* All that reads audits, attempts, workers and plans of a cell, each on a connection of its own. */
static void expect_of_readers(int wanted)
{
    for (int reader = 0; reader < 4; reader++) {
        pg_store *store = open_store(PG_STORE_READ);
        int code = reader == 0   ? pg_store_each_audit(store, ids[0], ignore_audit, NULL)
                   : reader == 1 ? pg_store_each_attempt(store, ids[0], ignore_attempt, NULL)
                   : reader == 2 ? pg_store_each_plan(store, ids[0], ignore_plan, NULL)
                                 : pg_store_each_pass(store, ids[0], ignore_pass, NULL);
        assert_int_equal(code, wanted);
        pg_store_close(store);
    }
}

static const struct change {
    const char *index, *sql;
    bool read; /* a table or `show` would print it */
} changes[] = {
    {"audit_whole", "UPDATE audit SET broken = 0", true},
    {"audit_whole", "UPDATE audit SET witness = NULL", true},
    {"audit_whole", "DELETE FROM audit", true},
    {"attempt_whole", "UPDATE attempt SET batch = 2 WHERE attempt = 1", true},
    {"attempt_whole", "UPDATE attempt SET forward_s = 1e-9 WHERE attempt = 2", true},
    {"worker_whole", "UPDATE worker SET versions = 'libtorch=9'", true},
    {"plan_whole", "UPDATE plan SET name = 'q'", true},
    {"plan_whole", "UPDATE plan SET matrix = 'q'", true},
    {"plan_cell_by_cell", "UPDATE plan_cell SET cell = 2 WHERE position = 0", false},
    {"meta_whole", "UPDATE meta SET value = 'q' WHERE key = 'store_id'", false},
    {"dataset_whole", "UPDATE dataset SET images = 99 WHERE dataset = 1", false},
    {"dataset_whole", "UPDATE dataset SET height = 99 WHERE dataset = 1", false},
    {"dataset_whole", "UPDATE dataset SET width = NULL WHERE dataset = 1", false},
    {"cell_setting_by_value", "UPDATE cell_setting SET value = 'd1' WHERE cell = 1 AND key = 'defense'", false},
    {"forward_by_dataset", "UPDATE forward SET dataset = 2 WHERE forward = 1", false},
    {"cell_by_forward", "UPDATE cell SET forward = 2 WHERE cell = 1", false},
    {"task_whole", "UPDATE task SET epoch = 7 WHERE task = 1", false},
    {"task_whole", "UPDATE task SET attempts = 2 WHERE task = 2", false},
    {"shard_whole", "UPDATE shard SET tasks = 4", false},
};

/* One audit, one shard, a second data set and forward pass for keys to point to by mistake. */
static void make_store(void)
{
    static const pg_audit_record audit = {.level = "feature",
                                          .settings = "tries=0\n",
                                          .n = IMAGES,
                                          .certified = 3,
                                          .broken = 1,
                                          .unbroken = 2,
                                          .published_broken = 1,
                                          .witness = "image=1\nwindow=2x2\n"};
    pg_store *store = fill_attacked(true);
    assert_int_equal(pg_store_audit(store, ids[0], &audit), PG_OK);
    exec(store, "INSERT INTO shard VALUES ('s', 1, '0/2', 3, '')");
    exec(store, "INSERT INTO dataset SELECT 2, hash, 'train', name, images, classes, height, width FROM dataset");
    exec(store, "INSERT INTO label SELECT 2, image, label FROM label");
    char key[PG_HASH_HEX], forward[200];
    assert_int_equal(pg_hash_bytes("g\n", 2, key), PG_OK);
    snprintf(forward, sizeof forward, "INSERT INTO forward VALUES (2, '%s', 'g' || char(10), 1)", key);
    exec(store, forward);
    assert_int_equal(pg_store_check(store), PG_OK);
    pg_store_close(store);
}

static void test_a_row_that_differs_from_its_copy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct change *c = &changes[i];
        make_store();
        expect_of_readers(PG_OK);
        change_alone(c->index, c->sql);
        expect_of_readers(c->read ? PG_EDAMAGED : PG_OK);
        pg_store *store = open_store(PG_STORE_READ);
        if (pg_store_check(store) != PG_EDAMAGED || !strstr(pg_error_message(), c->index))
            fail_msg("not found: %s", c->sql);
        pg_store_close(store);
        remove_store();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_column_has_a_copy, clean),
        cmocka_unit_test_teardown(test_a_row_that_differs_from_its_copy, clean),
    };
    return cmocka_run_group_tests_name("check", tests, make, scratch_remove);
}
