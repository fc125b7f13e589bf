/* Cells by their settings: keys and values that there are, terms, states, lines of lists, and their damage. */
#include "tests/support/store_fixture.h"

typedef struct texts {
    char all[512];
} texts;

static int add_text(const char *key, const char *value, void *context)
{
    texts *t = context;
    size_t size = strlen(t->all);
    snprintf(t->all + size, sizeof t->all - size, "%s=%s ", key, value);
    return PG_OK;
}

/* Cells 0 to 2 are done, 3 has no outcome; cell i has defense d(i % 2), patch i, window 1x1. */
static pg_store *fill_some(void)
{
    pg_store *store = fill();
    plan(store, (const int[]){3}, 1, 0, IMAGES);
    return store;
}

static void keys_and_values_are_those_of_cells(void **state)
{
    (void)state;
    pg_store *store = fill_some();
    texts keys = {""}, defenses = {""}, of_cell = {""}, none = {""};
    assert_int_equal(pg_store_each_key(store, add_text, &keys), PG_OK);
    assert_string_equal(keys.all, "defense= patch= window= ");
    assert_int_equal(pg_store_each_value(store, "defense", add_text, &defenses), PG_OK);
    assert_string_equal(defenses.all, "defense=d0 defense=d1 ");
    assert_int_equal(pg_store_keys_of(store, 1, add_text, &of_cell), PG_OK);
    assert_string_equal(of_cell.all, "defense= patch= window= ");
    assert_int_equal(pg_store_each_value(store, "threshold", add_text, &none), PG_OK);
    assert_string_equal(none.all, "");
    /* an option goes by its own name, with the module of a defense; not by one that is no cell's */
    texts options = {""};
    exec(store,
         "INSERT INTO cell_setting VALUES (1, 'd0.threshold', '0.2'), (2, 'd1.threshold', '0.4'), (3, 'x.threshold', '1')");
    assert_int_equal(pg_store_each_value(store, "threshold", add_text, &options), PG_OK);
    assert_string_equal(options.all, "d0.threshold=0.2 d1.threshold=0.4 ");
    pg_store_close(store);
}

static void expect_cells(pg_store *store, int cell_state, const pg_cell_term *terms, size_t n, const char *want)
{
    pg_cell_set set;
    char got[64] = "";
    assert_int_equal(pg_store_choose(store, cell_state, terms, n, &set), PG_OK);
    for (size_t i = 0; i < set.n; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%lld ", (long long)set.cells[i]);
    assert_string_equal(got, want);
    pg_cell_set_release(&set);
}

static void terms_and_states_choose(void **state)
{
    (void)state;
    pg_store *store = fill_some();
    const pg_setting d0 = {"defense", "d0"}, patches[] = {{"patch", "3"}, {"patch", "0"}, {"patch", "0"}},
                     none = {"patch", "9"};
    expect_cells(store, -1, NULL, 0, "1 2 3 4 ");
    expect_cells(store, PG_CELL_DONE, NULL, 0, "1 2 3 ");
    expect_cells(store, PG_CELL_NEW, NULL, 0, "4 ");
    expect_cells(store, -1, &(pg_cell_term){&d0, 1, NULL}, 1, "1 3 ");
    expect_cells(store, -1, &(pg_cell_term){patches, 3, NULL}, 1, "1 4 ");
    expect_cells(store, -1, (const pg_cell_term[]){{&d0, 1, NULL}, {patches, 3, NULL}}, 2, "1 ");
    expect_cells(store, PG_CELL_NEW, (const pg_cell_term[]){{&d0, 1, NULL}, {patches, 3, NULL}}, 2, "");
    expect_cells(store, -1, &(pg_cell_term){&none, 1, NULL}, 1, "");
    expect_cells(store, -1, &(pg_cell_term){&none, 1, "delta"}, 1, "1 2 3 4 "); /* or without that key */
    expect_cells(store, -1, &(pg_cell_term){&none, 1, "defense"}, 1, "");
    pg_store_close(store);
}

typedef struct line {
    pg_cell_line of;
    char id[PG_HASH_HEX], settings[64];
} line;

static int keep_line(const pg_cell_line *l, void *context)
{
    line *out = context;
    out->of = *l;
    snprintf(out->id, sizeof out->id, "%s", l->cell_id);
    snprintf(out->settings, sizeof out->settings, "%s", l->settings);
    return PG_OK;
}

/* Totals of a line are the sums of the cell. */
static void lines_are_what_cells_sum_up_to(void **state)
{
    (void)state;
    pg_store *store = fill_some();
    for (int64_t i = 0; i < CELLS + 1; i++) {
        line l;
        pg_cell_result r;
        assert_int_equal(pg_store_each_line(store, &(int64_t){i + 1}, 1, keep_line, &l), PG_OK);
        assert_int_equal(pg_store_cell(store, ids[i], &r), PG_OK);
        assert_string_equal(l.id, ids[i]);
        assert_string_equal(l.settings, settings[i]);
        assert_int_equal(l.of.state, r.state);
        assert_int_equal(l.of.state, i < CELLS ? PG_CELL_DONE : PG_CELL_NEW);
        assert_int_equal(l.of.n, r.n);
        assert_int_equal(l.of.images, r.images);
        assert_int_equal(l.of.clean, r.clean);
        assert_int_equal(l.of.certified, r.certified);
        assert_int_equal(l.of.certified_published, r.has_published ? r.certified_published : -1);
        assert_int_equal(l.of.has_delta, r.has_delta);
        assert_int_equal(l.of.attacked_n, 0);
        pg_cell_result_release(&r);
    }
    pg_store_close(store);
}

/* Lists compare no checksums; what they cannot do without is missed. */
static void damage_is_told(void **state)
{
    (void)state;
    pg_store *store = fill_some();
    line l;
    assert_int_equal(pg_store_each_line(store, &(int64_t){99}, 1, keep_line, &l), PG_EDAMAGED);
    exec(store, "DELETE FROM total WHERE cell = 2");
    assert_int_equal(pg_store_each_line(store, (const int64_t[]){1, 3}, 2, keep_line, &l), PG_OK);
    assert_string_equal(l.id, ids[2]);
    assert_int_equal(pg_store_each_line(store, (const int64_t[]){1, 2, 3}, 3, keep_line, &l), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "a cell has no totals; `patchgauge db check` tells more"));
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(keys_and_values_are_those_of_cells, clean),
        cmocka_unit_test_teardown(terms_and_states_choose, clean),
        cmocka_unit_test_teardown(lines_are_what_cells_sum_up_to, clean),
        cmocka_unit_test_teardown(damage_is_told, clean),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
