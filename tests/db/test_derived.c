/* What is kept for SQL beside other rows (db/migrate-5.sql), and the views over it: the numbers are those of pg_store_cell,
 * whether rows were written, merged or migrated. */
#include "tests/support/store_fixture.h"

#include "harness/base/stats.h"

/* One value of a query, NULL as "NULL"; every query of these tests has one row. */
static const char *text_of(pg_store *store, const char *sql)
{
    static char text[4][256];
    static int next;
    sqlite3_stmt *row = NULL;
    char *out = text[next++ % 4];
    if (sqlite3_prepare_v2(store->db, sql, -1, &row, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(store->db));
    if (sqlite3_step(row) != SQLITE_ROW)
        fail_msg("%s: no row", sql);
    const char *value = (const char *)sqlite3_column_text(row, 0);
    snprintf(out, 256, "%s", value ? value : "NULL");
    sqlite3_finalize(row);
    return out;
}

static bool is_null(sqlite3_stmt *row, int i) { return sqlite3_column_type(row, i) == SQLITE_NULL; }

static void expect_share(sqlite3_stmt *row, int at, int64_t count, int64_t n, bool there)
{
    pg_interval share = pg_wilson(there ? count : 0, there ? n : 0);
    if (!there || n == 0) {
        assert_true(is_null(row, at) && is_null(row, at + 1) && is_null(row, at + 2));
        return;
    }
    assert_true(sqlite3_column_double(row, at) == 100.0 * (double)count / (double)n);
    assert_true(sqlite3_column_double(row, at + 1) == 100.0 * share.lo);
    assert_true(sqlite3_column_double(row, at + 2) == 100.0 * share.hi);
}

/* Every number of `result` against what tables are made of. Number of cells compared. */
static int expect_views(pg_store *store)
{
    sqlite3_stmt *row = NULL;
    int cells = 0;
    assert_int_equal(
        sqlite3_prepare_v2(
            store->db,
            "SELECT cell, state, first_image, images, n, clean_count, clean, clean_lo, clean_hi,"
            " certified_count, certified, certified_lo, certified_hi, certified_published_count,"
            " certified_published, certified_published_lo, certified_published_hi, attacked_n, attacked_count,"
            " attacked, attacked_lo, attacked_hi, masked_count, nonfinite_count, smallest_margin, delta, defense, targeted_n,"
            " reached_count, reached, reached_lo, reached_hi"
            " FROM result",
            -1, &row, NULL),
        SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW) {
        pg_cell_result r;
        assert_int_equal(pg_store_cell(store, pg_db_text(row, 0), &r), PG_OK);
        assert_true(r.known);
        assert_string_equal(pg_db_text(row, 1), pg_cell_state_name(r.state));
        assert_int_equal(sqlite3_column_int64(row, 2), r.first);
        assert_int_equal(sqlite3_column_int64(row, 3), r.images);
        assert_int_equal(sqlite3_column_int64(row, 4), r.n);
        assert_int_equal(sqlite3_column_int64(row, 5), r.clean);
        expect_share(row, 6, r.clean, r.n, true);
        assert_int_equal(sqlite3_column_int64(row, 9), r.certified);
        expect_share(row, 10, r.certified, r.n, true);
        assert_true(is_null(row, 13) == !r.has_published);
        assert_true(!r.has_published || sqlite3_column_int64(row, 13) == r.certified_published);
        expect_share(row, 14, r.certified_published, r.n, r.has_published);
        assert_int_equal(sqlite3_column_int64(row, 17), r.attacked_n);
        assert_true(is_null(row, 18) == (r.attacked_n == 0));
        assert_int_equal(sqlite3_column_int64(row, 18), r.attacked);
        expect_share(row, 19, r.attacked, r.attacked_n, true);
        assert_int_equal(sqlite3_column_int64(row, 22), r.masked);
        assert_int_equal(sqlite3_column_int64(row, 23), r.nonfinite);
        assert_true(is_null(row, 24) == !r.has_smallest_margin);
        assert_true(sqlite3_column_double(row, 24) == (double)r.smallest_margin / 1048576);
        assert_true(is_null(row, 25) == !r.has_delta);
        assert_true(sqlite3_column_double(row, 25) == (double)r.delta / 1048576);
        assert_string_equal(pg_db_text(row, 26), pg_cell_result_setting(&r, "defense"));
        assert_true(is_null(row, 27) == (r.targeted == 0) && is_null(row, 28) == (r.targeted == 0));
        assert_int_equal(sqlite3_column_int64(row, 27), r.targeted);
        assert_int_equal(sqlite3_column_int64(row, 28), r.reached);
        expect_share(row, 29, r.reached, r.targeted, true);
        pg_cell_result_release(&r);
        cells++;
    }
    sqlite3_finalize(row);
    assert_int_equal(cells, number(store, "SELECT count(*) FROM cell"));
    return cells;
}

typedef struct seen {
    pg_store *store;
    const char *cell_id;
    bool published;
    int n, attacks;
} seen;

static int expect_image(const pg_outcome *o, void *context)
{
    seen *s = context;
    char sql[400];
    sqlite3_stmt *row = NULL;
    snprintf(sql, sizeof sql,
             "SELECT label, prediction, correct, certified, certified_published, failure_case, masked, margin, attacked"
             " FROM image_result WHERE cell = '%s' AND image = %d",
             s->cell_id, (int)o->image);
    assert_int_equal(sqlite3_prepare_v2(s->store->db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(row, 0), o->label);
    assert_int_equal(sqlite3_column_int(row, 1), o->prediction);
    assert_int_equal(sqlite3_column_int(row, 2), o->prediction == o->label);
    assert_int_equal(sqlite3_column_int(row, 3), o->certified);
    assert_true(is_null(row, 4) == !s->published);
    assert_true(!s->published || sqlite3_column_int(row, 4) == o->certified_published);
    assert_true(is_null(row, 5) == (o->failure_case < 0));
    assert_int_equal(sqlite3_column_int(row, 6), o->masked);
    assert_true(is_null(row, 7) == !o->has_margin);
    assert_true(!o->has_margin || sqlite3_column_double(row, 7) == (double)o->margin / 1048576);
    assert_true(is_null(row, 8) == !o->has_attack);
    assert_true(!o->has_attack || sqlite3_column_int(row, 8) == o->attacked);
    assert_int_equal(sqlite3_step(row), SQLITE_DONE);
    sqlite3_finalize(row);
    s->n++;
    return PG_OK;
}

static int expect_attack(const pg_attack_row *a, void *context)
{
    seen *s = context;
    char sql[400];
    sqlite3_stmt *row = NULL;
    snprintf(sql, sizeof sql,
             "SELECT attack_top, attack_left, attack_target, attack_steps, attack_loss, attacked FROM image_result"
             " WHERE cell = '%s' AND image = %d",
             s->cell_id, (int)a->image);
    assert_int_equal(sqlite3_prepare_v2(s->store->db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(row, 0), a->top);
    assert_int_equal(sqlite3_column_int(row, 1), a->left);
    assert_true(is_null(row, 2) == (a->target < 0) && (a->target < 0 || sqlite3_column_int(row, 2) == a->target));
    assert_int_equal(sqlite3_column_int64(row, 3), a->steps);
    assert_true(is_null(row, 4) == isnan(a->loss) && (isnan(a->loss) || sqlite3_column_double(row, 4) == a->loss));
    assert_int_equal(sqlite3_column_int(row, 5), a->after);
    sqlite3_finalize(row);
    s->attacks++;
    return PG_OK;
}

static void expect_images(pg_store *store, int cells)
{
    int64_t rows = 0;
    for (int i = 0; i < cells; i++) {
        seen s = {.store = store, .cell_id = ids[i], .published = i == 2};
        assert_int_equal(pg_store_each_outcome(store, ids[i], expect_image, &s), PG_OK);
        assert_int_equal(pg_store_each_attack(store, ids[i], expect_attack, &s), PG_OK);
        assert_true(s.n > 0);
        rows += s.n;
    }
    assert_int_equal(rows, number(store, "SELECT count(*) FROM image_result"));
}

static void test_views_follow_what_is_written(void **state)
{
    (void)state;
    for (int attacked = 0; attacked < 2; attacked++) {
        pg_store *store = open_worker();
        pg_task task;
        bool given_up;
        plan_all(store);
        assert_int_equal(expect_views(store), CELLS);
        assert_string_equal(text_of(store, "SELECT group_concat(DISTINCT state) FROM result"), "new");
        assert_true(claim(store, &task));
        assert_true(finish_images(store, &task, 2, attacked)); /* a part of a task */
        pg_task_release(&task);
        assert_string_equal(text_of(store, "SELECT group_concat(DISTINCT state) FROM result"), "partial");
        expect_views(store);
        assert_true(claim(store, &task));
        assert_int_equal(pg_store_fail(store, &task, &some_attempt, "no luck", false, &given_up), PG_OK);
        pg_task_release(&task);
        assert_string_equal(text_of(store, "SELECT group_concat(DISTINCT state) FROM result"), "failed");
        expect_views(store);
        plan_all(store);
        while (claim(store, &task)) {
            assert_true(finish_attacked(store, &task, attacked));
            pg_task_release(&task);
            expect_views(store);
        }
        assert_string_equal(text_of(store, "SELECT group_concat(DISTINCT state) FROM result"), "done");
        assert_int_equal(number(store, "SELECT sum(attacked_n) FROM result"), attacked ? CELLS * IMAGES : 0);
        expect_images(store, CELLS);
        assert_int_equal(pg_store_check(store), PG_OK);
        pg_store_close(store);
        remove_store();
    }
}

static void open_reference(int version)
{
    char path[64], *sql = NULL;
    size_t size = 0;
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "tests/reference/store-%d.sql", version);
    assert_int_equal(pg_file_read(path, 1 << 20, &sql, &size), PG_OK);
    assert_int_equal(sqlite3_open(scratch_path("t.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    free(sql);
}

static void test_migration_fills_them(void **state)
{
    (void)state;
    for (int version = 1; version <= 4; version++)
        for (int mode = PG_STORE_READ; mode <= PG_STORE_WRITE; mode++) {
            open_reference(version);
            pg_store *store = open_store((pg_store_mode)mode);
            for (int i = 0; i < 4; i++)
                cell_row(i, 0, IMAGES);
            assert_int_equal(expect_views(store), 4);
            expect_images(store, 4);
            assert_int_equal(number(store, "SELECT sum(attacked_n) FROM result"), 3 * IMAGES);
            assert_int_equal(pg_store_check(store), PG_OK);
            pg_store_close(store);
            remove_store();
        }
}

/* The first cell of store-4.sql has keys of before, a key that is a setting and a detail, and an escaped line end. */
static void test_settings_have_the_names_of_today(void **state)
{
    (void)state;
    open_reference(4);
    pg_store *store = open_store(PG_STORE_READ);
    cell_row(0, 0, IMAGES);
    assert_string_equal(text_of(store, "SELECT group_concat(key || '=' || value, ' ') FROM (SELECT key, value FROM setting"
                                       " WHERE cell LIKE '282a%' AND key IN ('patch-space', 'attacker', 'seed',"
                                       " 'lavan.gradient', 'lavan.through', 'affected.px', 'note') ORDER BY key)"),
                        "affected.px=7x7 lavan.gradient=mean note=a\nb patch-space=image seed=3");
    assert_string_equal(text_of(store,
                                "SELECT dataset || ' ' || weights || ' ' || model || ' ' || defense || ' ' || certificate"
                                " || ' ' || attack || ' ' || patch || ' ' || patch_height || ' ' || patch_width || ' ' ||"
                                " patch_space || ' ' || image_height || ' ' || image_width || ' ' || seed || ' ' ||"
                                " batch || ' ' || dtype FROM result WHERE seed = 3 AND patch = 5"),
                        "d:test@48x64 w m d0 exact lavan 5 5 5 image 48 64 3 4 fp32");
    assert_int_equal(number(store, "SELECT count(*) FROM result WHERE defense = 'd1'"), 2);
    pg_store_close(store);
}

static void plan_row(pg_store *store, const char *details, int height)
{
    pg_store_forward_row forward = forward_row(CHUNK);
    pg_store_cell_row cell = cell_row(0, 0, IMAGES);
    cell.details = details;
    forward.dataset_height = height;
    forward.dataset_width = 2 * height;
    pg_store_plan_row p = {
        .name = "p", .matrix = "", .overrides = "", .forwards = &forward, .n_forwards = 1, .cells = &cell, .n_cells = 1};
    assert_int_equal(pg_store_plan(store, &p), PG_OK);
    assert_int_equal(pg_store_check(store), PG_OK);
}

static void test_settings_follow_the_newest_plan(void **state)
{
    (void)state;
    static const char all[] = "SELECT group_concat(key || '=' || value, ' ') FROM (SELECT * FROM setting ORDER BY key)";
    pg_store *store = open_store(PG_STORE_WRITE);
    plan_row(store, "model=m\nwindow=1x1\n", 0);
    assert_string_equal(text_of(store, all), "defense=d0 model=m patch=0 window=1x1");
    plan_row(store, "reach.px=3x3\nwindow=2x2\n", 0);
    assert_string_equal(text_of(store, all), "affected.px=3x3 defense=d0 patch=0 window=2x2");
    exec(store, "CREATE TEMP TRIGGER t BEFORE DELETE ON main.cell_setting BEGIN SELECT RAISE(ABORT, 'written again'); END");
    plan_row(store, "reach.px=3x3\nwindow=2x2\n", 0);
    pg_store_close(store);
}

static void test_sizes_of_images(void **state)
{
    (void)state;
    static const char size[] = "SELECT ifnull(height, 'unknown') || ' ' || ifnull(width, 'unknown') FROM dataset";
    pg_store *store = open_store(PG_STORE_WRITE);
    plan_row(store, "", 0);
    assert_string_equal(text_of(store, size), "unknown unknown");
    plan_row(store, "", 24);
    assert_string_equal(text_of(store, size), "24 48");
    plan_row(store, "", 0);
    assert_string_equal(text_of(store, size), "24 48");
    pg_store_close(store);
    remove_store();
    static const struct {
        const char *hash, *name, *wanted;
    } known[] = {
        {"b3c4b8a61f1d9b147da14123c11110f5d5461ea4636e5a76b4d601b0e3eed00c", "cifar10:test", "32 32"},
        {"eba44d1ce2ddee1ec4dcb168c1f00285b2288b29dd9ba260facb13d0313130ed", "synthetic:train", "32 32"},
        {"eb3e48ac5f4a32a76ec317e5b8d3cb42d7eb53b94c1b788c16583c429243d7ff", "synthetic:val", "32 32"},
        {"dca5036221c06eb56eb0c8a04a6025636436cc80d2d58d69ff52a6736628008b", "synthetic:test", "32 32"},
        {hash_a, "mine:test", "unknown unknown"},
        {hash_a, "mine:test@96", "96 96"},
        {hash_a, "mine:test@192x224:bilinear", "192 224"},
        {hash_a, "mine:test@x", "unknown unknown"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char sql[200];
        sqlite3 *db = NULL;
        open_reference(3);
        snprintf(sql, sizeof sql, "UPDATE dataset SET hash = '%s', name = '%s'", known[i].hash, known[i].name);
        assert_int_equal(sqlite3_open(scratch_path("t.db"), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        store = open_store(PG_STORE_READ);
        assert_string_equal(text_of(store, size), known[i].wanted);
        pg_store_close(store);
        remove_store();
    }
}

/* Work is shared by the cells of a task, and audits have the names of today. */
static void test_work_and_audits(void **state)
{
    (void)state;
    static const pg_audit_record audit = {.level = "pixel",
                                          .settings = "attack=lavan\nlavan.gradient=mean\n",
                                          .n = IMAGES,
                                          .certified = 3,
                                          .broken = 1,
                                          .has_delta = true,
                                          .delta = 1 << 19};
    pg_store *store = fill();
    assert_int_equal(pg_store_audit(store, ids[1], &audit), PG_OK);
    assert_string_equal(text_of(store,
                                "SELECT count(*) || ' ' || sum(images) || ' ' || sum(wall_s) || ' ' || min(cells) || ' ' ||"
                                " max(cells) || ' ' || max(device) || ' ' || max(revision) FROM work"),
                        "9 30 9.0 3 3 cpu test"); /* three tasks of three cells */
    assert_string_equal(text_of(store,
                                "SELECT substr(cell, 1, 4) || level || ' ' || settings || images || certified || broken ||"
                                " ' ' || delta FROM audit_result"),
                        "1643pixel attack=lavan\nlavan.gradient=mean\n1031 0.5");
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_views_follow_what_is_written, clean),
        cmocka_unit_test_teardown(test_migration_fills_them, clean),
        cmocka_unit_test_teardown(test_settings_have_the_names_of_today, clean),
        cmocka_unit_test_teardown(test_settings_follow_the_newest_plan, clean),
        cmocka_unit_test_teardown(test_sizes_of_images, clean),
        cmocka_unit_test_teardown(test_work_and_audits, clean),
    };
    return cmocka_run_group_tests_name("derived", tests, make, scratch_remove);
}
