/* `db sql`: rows of a statement in every format, the list of views, and that nothing is changed or held up. */
#include "tests/support/program.h"
#include "tests/support/store_fixture.h"

#include <jansson.h>

static void expect_text(const char *text)
{
    if (!strstr(program_output, text))
        fail_msg("no \"%s\" in:\n%s", text, program_output);
}

static void expect_output(const char *wanted) { assert_string_equal(program_output, wanted); }

/* What `db sql` lists is what there is, in the same order. */
static void test_views_are_listed(void **state)
{
    (void)state;
    static char listed[sizeof program_output];
    pg_store_close(fill());
    assert_int_equal(program_run("t.db", "db sql -f csv | cut -d, -f1,2"), 0);
    strcpy(listed, program_output);
    assert_int_equal(program_run("t.db", "db sql --views -f csv | cut -d, -f1,2"), 0);
    expect_output(listed);
    assert_int_equal(program_run("t.db",
                                 "db sql -f csv \"SELECT v.name AS view, c.name AS 'column' FROM sqlite_schema v"
                                 " JOIN pragma_table_info(v.name) c WHERE v.type = 'view' ORDER BY v.name = 'audit_result',"
                                 " v.name = 'work', v.name = 'image_result', v.name = 'setting', c.cid\""),
                     0);
    expect_output(listed);
    assert_int_equal(program_run(NULL, "db sql"), 0); /* needs no database */
    expect_text("\nimage_result  attack_loss");
    assert_int_equal(program_run("t.db", "db sql --views 'SELECT 1'"), 2);
}

#define VALUES \
    "\"SELECT 'a,\\\"b\\\"' || char(10) || 'c' AS words, 1 AS i, -3 AS j, 0.1 + 0.2 AS r, NULL AS none, x'00ff' AS bytes\""

static void test_formats(void **state)
{
    (void)state;
    pg_store_close(fill());
    assert_int_equal(program_run("t.db", "db sql " VALUES), 0);
    expect_output("words    i   j    r  none  bytes\n"
                  "a,\"b\" c  1  -3  0.3  -     00ff\n");
    assert_int_equal(program_run("t.db", "db sql -f csv " VALUES), 0);
    expect_output("words,i,j,r,none,bytes\n\"a,\"\"b\"\" c\",1,-3,0.30000000000000004,,00ff\n");
    assert_int_equal(program_run("t.db", "db sql -f json-lines " VALUES), 0);
    expect_output("{\"words\": \"a,\\\"b\\\"\\nc\", \"i\": 1, \"j\": -3, \"r\": 0.30000000000000004, \"none\": null,"
                  " \"bytes\": \"00ff\"}\n");
    assert_int_equal(program_run("t.db", "db sql -f json " VALUES), 0);
    json_t *root = json_loads(program_output, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "form")), "sql");
    assert_int_equal(json_integer_value(json_object_get(root, "version")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "rows")), 1);
    json_decref(root);
    assert_int_equal(program_run("t.db", "db sql -f md \"SELECT 'a|b' AS x, 2 AS y\""), 0);
    expect_output("| x | y |\n|---|--:|\n| a\\|b | 2 |\n");
    /* one column, no rows, and numbers that are those of tables */
    assert_int_equal(program_run("t.db", "db sql 'SELECT sum(n) AS n FROM result'"), 0);
    expect_output(" n\n30\n");
    assert_int_equal(program_run("t.db", "db sql \"SELECT cell, n FROM result WHERE defense = 'none'\""), 0);
    expect_output("cell  n\n");
    assert_int_equal(program_run("t.db", "db sql -f json \"SELECT cell FROM result WHERE defense = 'none'\""), 0);
    expect_output("{\"form\": \"sql\", \"version\": 1, \"rows\": []}\n");
    assert_int_equal(program_run("t.db", "db sql -f csv \"SELECT defense, clean, certified_lo FROM result WHERE patch = 1\""),
                     0);
    expect_output("defense,clean,certified_lo\nd1,50,10.7791267406301\n");
}

/* Errors are the user's: exit code 2, with what SQLite says. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *said;
    } wrong[] = {
        {"'SELEC 1'", "SQL: near \"SELEC\": syntax error"},
        {"'SELECT defence FROM result'", "SQL: no such column: defence"},
        {"'SELECT 1 FROM results'", "SQL: no such table: results"},
        {"'SELECT 1; SELECT 2'", "one statement at a time"},
        {"'SELECT 1; SELEC'", "one statement at a time"},
        {"' ; -- nothing'", "there is no statement in it"},
        {"'SELECT :patch'", "in the place of parameters such as :patch"},
        {"'SELECT ?'", "in the place of parameters such as ?"},
        {"-f json 'SELECT cell, cell FROM result'", "two columns are called \"cell\""},
        {"''", "a text that is not empty"},
        {"-f xml 'SELECT 1'", "xml"},
        {"'SELECT abs(-9223372036854775807 - 1)'", "SQL: integer overflow"},
    };
    pg_store_close(fill());
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(program_run("t.db", "db sql %s", wrong[i].arguments), 2);
        expect_text(wrong[i].said);
    }
    assert_int_equal(program_run("t.db", "db sql 'SELECT 1; ' -f csv"), 0);
    expect_output("1\n1\n");
    assert_int_equal(program_run("none.db", "db sql 'SELECT 1'"), 2);
    expect_text("no such database");
}

static void test_nothing_is_changed(void **state)
{
    (void)state;
    static const char *const statements[] = {
        "DELETE FROM cell",
        "UPDATE total SET n = 0",
        "INSERT INTO meta VALUES (1, 2)",
        "WITH a AS (SELECT 1) DELETE FROM outcome",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "CREATE TEMP VIEW x AS SELECT 1",
        "DROP VIEW result",
        "ALTER TABLE cell ADD COLUMN x",
        "ATTACH 'SCRATCH/x.db' AS x",
        "ATTACH ':memory:' AS x",
        "DETACH main",
        "PRAGMA query_only = OFF",
        "PRAGMA user_version = 9",
        "PRAGMA journal_mode = WAL",
        "PRAGMA wal_checkpoint",
        "SELECT * FROM pragma_journal_mode",
        "SELECT * FROM pragma_integrity_check",
        "BEGIN IMMEDIATE",
        "SAVEPOINT a",
        "VACUUM",
        "VACUUM INTO 'SCRATCH/x.db'",
        "REINDEX",
        "ANALYZE",
        "SELECT load_extension('SCRATCH/x.so')",
    };
    char before[PG_HASH_HEX], after[PG_HASH_HEX];
    pg_store_close(fill());
    assert_int_equal(pg_hash_file(scratch_path("t.db"), before), PG_OK);
    int entries = scratch_count(scratch_folder);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (program_run("t.db", "db sql \"$(echo \"%s\" | sed 's|SCRATCH|%s|')\"", statements[i], scratch_folder) != 2)
            fail_msg("%s: %s", statements[i], program_output);
        assert_null(strstr(program_output, "all is well"));
    }
    assert_int_equal(program_run("t.db", "db sql 'EXPLAIN QUERY PLAN SELECT * FROM result'"), 0);
    assert_int_equal(program_run("t.db", "db sql \"SELECT count(*) FROM pragma_table_info('result')\""), 0);
    assert_int_equal(pg_hash_file(scratch_path("t.db"), after), PG_OK);
    assert_string_equal(before, after);
    assert_int_equal(scratch_count(scratch_folder), entries);
}

/* Rows of an older database come from a copy, and as they are read. */
static void test_older_databases(void **state)
{
    (void)state;
    for (int version = 1; version <= 4; version++) {
        char line[800], before[PG_HASH_HEX], after[PG_HASH_HEX];
        snprintf(line, sizeof line, "sqlite3 '%s' <tests/reference/store-%d.sql", scratch_path("t.db"), version);
        if (program_shell("command -v sqlite3 >/dev/null") != 0)
            skip();
        assert_int_equal(program_shell(line), 0);
        assert_int_equal(pg_hash_file(scratch_path("t.db"), before), PG_OK);
        assert_int_equal(program_run("t.db", "db sql -f csv 'SELECT state, n, attacked_n FROM result ORDER BY 1, 2, 3'"), 0);
        expect_output("state,n,attacked_n\ndone,10,10\ndone,10,10\ndone,10,10\nfailed,4,0\n");
        assert_int_equal(program_run("t.db", "db sql -f json 'WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i"
                                             " LIMIT 3000) SELECT i FROM i'"),
                         0);
        json_t *root = json_loads(program_output, 0, NULL), *rows = json_object_get(root, "rows");
        assert_int_equal(json_array_size(rows), 3000);
        for (size_t i = 0; i < 3000; i++)
            assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, i), "i")), i + 1);
        json_decref(root);
        assert_int_equal(pg_hash_file(scratch_path("t.db"), after), PG_OK);
        assert_string_equal(before, after);
        remove_store();
    }
}

/* A statement without an end holds up no writer, and Ctrl-C ends it. */
static void test_a_long_statement(void **state)
{
    (void)state;
    char path[600], output[600];
    int status = -1;
    pg_task task;
    pg_store *store = open_worker();
    plan_all(store);
    assert_true(claim(store, &task));
    snprintf(path, sizeof path, "%s", scratch_path("t.db"));
    snprintf(output, sizeof output, "%s", scratch_path("out"));
    pid_t child = fork();
    if (child == 0) {
        if (freopen(output, "w", stdout) && freopen(output, "w", stderr))
            execl(program_path(), program_path(), "--db", path, "db", "sql", "-f", "csv",
                  "WITH RECURSIVE i(i) AS (SELECT (SELECT count(*) FROM cell) UNION ALL SELECT i + 1 FROM i)"
                  " SELECT count(*) FROM i, cell",
                  (char *)NULL);
        _exit(127);
    }
    char line[100];
    snprintf(line, sizeof line, "until ls -l /proc/%d/fd 2>/dev/null | grep -q t.db; do sleep 0.02; done", (int)child);
    assert_int_equal(program_shell(line), 0); /* it has the database open */
    assert_true(finish(store, &task));        /* waits until it reads a copy */
    pg_task_release(&task);
    assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    kill(child, SIGINT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    pg_store_close(store);
    unlink(output);
}

static void test_output_file(void **state)
{
    (void)state;
    pg_store_close(fill());
    char line[700];
    snprintf(line, sizeof line, "cat '%s'", scratch_path("rows.csv"));
    assert_int_equal(program_run("t.db", "db sql 'SELECT sum(n) AS n FROM result' -f csv -o %s", scratch_path("rows.csv")), 0);
    expect_output("");
    assert_int_equal(program_shell(line), 0);
    expect_output("n\n30\n");
    assert_int_equal(program_run("t.db", "db sql 'SELECT 1' -o %s", scratch_path("rows.csv")), 2);
    assert_int_equal(program_run("t.db", "db sql 'SELECT x' --force -o %s", scratch_path("rows.csv")), 2);
    assert_int_equal(program_shell(line), 0);
    expect_output("n\n30\n");
    assert_int_equal(program_run("t.db", "db sql 'SELECT 1' --force -o %s", scratch_path("t.db")), 2);
    unlink(scratch_path("rows.csv"));
}

/* The lines of the manual give a user of pandas a data frame with the numbers of the views. */
static void test_pandas_reads_it(void **state)
{
    (void)state;
    char *manual, line[700], python[64];
    size_t size;
    static const char fence[] = "```python\n";
    if (program_shell(
            "for p in python3 /usr/bin/python3; do $p -c 'import pandas' 2>/dev/null && { echo $p; exit; }; done; exit 1") != 0)
        skip();
    program_output[strcspn(program_output, "\n")] = 0;
    snprintf(python, sizeof python, "%.60s", program_output);
    assert_int_equal(pg_file_read("harness/MANUAL.md", 1 << 20, &manual, &size), PG_OK);
    char *code = strstr(manual, "```python\nimport sqlite3, pandas\n"), *end = code ? strstr(code + sizeof fence, "```") : NULL;
    assert_non_null(end);
    code += sizeof fence - 1;
    snprintf(end, size - (size_t)(end - manual), "%s",
             "print(len(result), list(result.columns[:3]), result.n.sum(), result.clean.mean(), result.seed.isna().sum())\n");
    scratch_write("frame.py", code, strlen(code));
    free(manual);
    pg_store_close(fill());
    snprintf(line, sizeof line,
             "cd '%s' && mv t.db patchgauge.db && %s frame.py 2>&1; code=$?; rm -f patchgauge.db frame.py;"
             " exit $code",
             scratch_folder, python);
    if (program_shell(line) != 0)
        fail_msg("%s", program_output);
    expect_output("3 ['cell', 'state', 'dataset'] 30 50.0 3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_views_are_listed, clean), cmocka_unit_test_teardown(test_formats, clean),
        cmocka_unit_test_teardown(test_errors, clean),           cmocka_unit_test_teardown(test_nothing_is_changed, clean),
        cmocka_unit_test_teardown(test_older_databases, clean),  cmocka_unit_test_teardown(test_a_long_statement, clean),
        cmocka_unit_test_teardown(test_output_file, clean),      cmocka_unit_test_teardown(test_pandas_reads_it, clean),
    };
    return cmocka_run_group_tests_name("db_sql", tests, make, scratch_remove);
}
