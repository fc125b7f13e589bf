/* The null model: a pure function of seed and image, geometry as its options say, the faults it is told to have. */
#include "models/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define EXPECTED_SUM 80377.0366516113

enum { MAP = 6 * 6 * 10, BATCH = 16 };

static pg_network *open_null(const char *const *pairs, size_t n, int batch)
{
    pg_network *network = NULL;
    pg_network_options options = {.device = "auto", .dtype = PG_DTYPE_F32, .batch = batch};
    if (pg_network_open("null", pairs, n, &options, &network) != PG_OK)
        fail_msg("%s", pg_error_message());
    return network;
}

static void test_logits_depend_on_the_image_only(void **state)
{
    (void)state;
    static uint8_t pixels[BATCH * 3 * 32 * 32];
    static float all[BATCH * MAP], one[MAP];
    pg_network *wide = open_null(NULL, 0, BATCH), *narrow = open_null(NULL, 0, 1);
    assert_int_equal(pg_network_forward(wide, pixels, 100, BATCH, all), PG_OK);
    memset(pixels, 9, sizeof pixels);
    for (int i = BATCH - 1; i >= 0; i--) {
        assert_int_equal(pg_network_forward(narrow, pixels, 100 + i, 1, one), PG_OK);
        assert_memory_equal(one, all + (size_t)i * MAP, sizeof one);
    }
    assert_memory_not_equal(all, all + MAP, sizeof one);
    assert_string_equal(pg_network_device(wide), "cpu");
    pg_network_close(wide);
    pg_network_close(narrow);
}

/* The hash is part of stored results: the same values for ever. */
static void test_values(void **state)
{
    (void)state;
    static uint8_t pixels[3 * 32 * 32];
    static float logits[MAP];
    pg_network *network = open_null(NULL, 0, 1);
    assert_int_equal(pg_network_forward(network, pixels, 3, 1, logits), PG_OK);
    double sum = 0;
    for (int i = 0; i < MAP; i++) {
        assert_true(logits[i] >= 0 && logits[i] < 5);
        sum += (double)logits[i] * (i + 1);
    }
    print_message("checksum %.10f\n", sum);
    assert_true(fabs(sum - EXPECTED_SUM) < 1e-9);
    pg_network_close(network);
}

static void test_seed_changes_logits_and_hash(void **state)
{
    (void)state;
    static uint8_t pixels[3 * 32 * 32];
    static float a[MAP], b[MAP];
    pg_weights_info ia, ib;
    static const char *const seed[] = {"seed=1"}, *const slow[] = {"sleep_us=1"};
    assert_int_equal(pg_weights_describe("null", NULL, 0, &ia), PG_OK);
    assert_int_equal(pg_weights_describe("null", seed, 1, &ib), PG_OK);
    assert_string_not_equal(ia.hash, ib.hash);
    assert_int_equal(pg_weights_describe("null", slow, 1, &ib), PG_OK);
    assert_string_equal(ia.hash, ib.hash); /* how long it takes is no part of identity */
    assert_true(ia.locality.measured);
    assert_int_equal(ia.locality.delta_grid, 0);
    pg_network *na = open_null(NULL, 0, 1), *nb = open_null(seed, 1, 1);
    assert_int_equal(pg_network_forward(na, pixels, 3, 1, a), PG_OK);
    assert_int_equal(pg_network_forward(nb, pixels, 3, 1, b), PG_OK);
    assert_memory_not_equal(a, b, sizeof a);
    pg_network_close(na);
    pg_network_close(nb);
}

static void test_geometry(void **state)
{
    (void)state;
    static const char *const bands[] = {"height=1", "width=32", "field=4", "stride=1", "wrap=w", "classes=7", "input_width=32"};
    pg_weights_info info;
    assert_int_equal(pg_weights_describe("null", bands, 7, &info), PG_OK);
    const pg_geometry *g = &info.geometry;
    assert_int_equal(g->classes, 7);
    assert_int_equal(g->columns.positions, 32);
    assert_true(g->columns.wrap);
    assert_false(g->rows.wrap);
    assert_int_equal(pg_axis_window(&g->columns, 32, 5), 8);
    assert_int_equal(pg_axis_window(&g->rows, 32, 5), 1);
    static const char *const bad[] = {"wrap=x"};
    assert_int_equal(pg_weights_describe("null", bad, 1, &info), PG_EINPUT);
}

static void test_faults_on_demand(void **state)
{
    (void)state;
    static uint8_t pixels[BATCH * 3 * 32 * 32];
    static float logits[BATCH * MAP];
    static const char *const nan[] = {"nan_every=5"}, *const failing[] = {"fail_image=20"};
    pg_network *network = open_null(nan, 1, BATCH);
    assert_int_equal(pg_network_forward(network, pixels, 0, BATCH, logits), PG_OK);
    for (int i = 0; i < BATCH; i++) {
        int found = 0;
        for (int k = 0; k < MAP; k++)
            found += isnan(logits[i * MAP + k]);
        assert_int_equal(found, i % 5 == 4);
    }
    pg_network_close(network);
    network = open_null(failing, 1, BATCH);
    assert_int_equal(pg_network_forward(network, pixels, 0, BATCH, logits), PG_OK);
    assert_int_equal(pg_network_forward(network, pixels, 16, BATCH, logits), PG_ETORCH);
    assert_non_null(strstr(pg_error_message(), "image 20"));
    pg_network_close(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_depend_on_the_image_only),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_seed_changes_logits_and_hash),
        cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_faults_on_demand),
    };
    return cmocka_run_group_tests_name("null", tests, NULL, NULL);
}
