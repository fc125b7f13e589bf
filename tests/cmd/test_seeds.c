/* Seeds of an attack in tables: their mean, their deviation and the interval over images against the outcomes in the store; a
 * seed that is not complete is left out; rows for programs have each seed. */
/* Loads libtorch. */
#include "db/store.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"
#include "tests/support/tidy.h"
#include "tests/support/store_list.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { IMAGES = 40, SEEDS = 3, PLANNED = 4 };

/* [seed][image]: still correct under the attack */
typedef struct attacked {
    bool correct[PLANNED + 1][IMAGES];
    int seed, cells;
    pg_store *store;
} attacked;

static int keep_image(const pg_outcome *o, void *context)
{
    attacked *a = context;
    a->correct[a->seed][o->image] = o->prediction == o->label && o->attacked == o->label;
    return PG_OK;
}

static int keep_cell(const pg_cell_result *r, void *context)
{
    attacked *a = context;
    if (strcmp(pg_cell_result_setting(r, "attack"), "none") == 0)
        return PG_OK;
    a->seed = atoi(pg_cell_result_setting(r, "seed"));
    a->cells++;
    return pg_store_each_outcome(a->store, r->cell_id, keep_image, a);
}

static int setup(void **state)
{
    static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:40\"\npatch = 7\ndefense = \"mean\"\n"
                                 "weights = \"models/zoo/synthetic-bagnet.safetensors\"\n\"lavan.steps\" = 4\n"
                                 "[axes]\nattack = [\"none\", \"lavan\"]\nseed = {range = [1, 4]}\n";
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    return program_run("db", "--quiet run %s/m.toml -S seed=1,2,3", scratch_folder);
}

static void read_store(attacked *out)
{
    *out = (attacked){0};
    assert_int_equal(pg_store_open(scratch_path("db"), PG_STORE_READ, &out->store), PG_OK);
    assert_int_equal(store_list(out->store, -1, keep_cell, out, NULL), PG_OK);
    pg_store_close(out->store);
    assert_int_equal(out->cells, SEEDS);
}

/* "72.5 +- 1.4 (60.1-82.0)", from the definitions: two passes for the variances, Wilson's bounds as the roots of their equation
 * by bisection. */
static void expected_text(const attacked *a, char out[64])
{
    double share[IMAGES] = {0}, accuracy[SEEDS] = {0}, mean = 0, between = 0, deviation = 0;
    for (int s = 0; s < SEEDS; s++)
        for (int i = 0; i < IMAGES; i++) {
            share[i] += a->correct[s + 1][i] / (double)SEEDS;
            accuracy[s] += a->correct[s + 1][i] / (double)IMAGES;
        }
    for (int i = 0; i < IMAGES; i++)
        mean += share[i] / IMAGES;
    for (int i = 0; i < IMAGES; i++)
        between += (share[i] - mean) * (share[i] - mean) / IMAGES;
    for (int s = 0; s < SEEDS; s++)
        deviation += (accuracy[s] - mean) * (accuracy[s] - mean) / (SEEDS - 1);
    double draws = fmin(fmax(mean * (1 - mean) / between * IMAGES, IMAGES), IMAGES * SEEDS), bounds[2];
    for (int side = 0; side < 2; side++) {
        double inner = mean, outer = side; /* |mean - p| = z sqrt(p (1 - p) / draws) lies between */
        for (int k = 0; k < 200; k++) {
            double p = (inner + outer) / 2;
            *(fabs(mean - p) < 1.959963984540054 * sqrt(p * (1 - p) / draws) ? &inner : &outer) = p;
        }
        bounds[side] = inner;
    }
    snprintf(out, 64, "%.1f \u00b1 %.1f (%.1f-%.1f)", 100 * mean, 100 * sqrt(deviation), 100 * bounds[0], 100 * bounds[1]);
}

static void expect_output(const char *part)
{
    if (!strstr(program_output, part))
        fail_msg("\"%s\" is not in\n%s", part, program_output);
}

static void test_the_mean_over_seeds(void **state)
{
    (void)state;
    attacked a;
    char want[64];
    read_store(&a);
    expected_text(&a, want);
    int changed = 0;
    for (int i = 0; i < IMAGES; i++)
        changed += a.correct[1][i] != a.correct[2][i] || a.correct[1][i] != a.correct[3][i];
    assert_true(changed > 0); /* else nothing is averaged */
    assert_int_equal(program_run("db", "table %s/m.toml -S seed=1,2,3", scratch_folder), 0);
    expect_output(want);
    expect_output("standard deviation over 3 seeds; the interval");
    expect_output("n = 40 images in every cell");
    assert_null(strstr(program_output, "left out"));
    assert_null(strstr(program_output, "seed="));
    assert_int_equal(program_run("db", "table %s/m.toml -f latex -S seed=1,2,3", scratch_folder), 0);
    expect_output(" $\\pm$ ");
}

static void test_an_incomplete_seed_is_left_out(void **state)
{
    (void)state;
    attacked a;
    char want[64];
    read_store(&a);
    expected_text(&a, want);
    for (int order = 0; order < 2; order++) { /* also where the one that is not complete is the first */
        assert_int_equal(program_run("db", "table %s/m.toml -S seed=%s", scratch_folder, order ? "4,1,2,3" : "1,2,3,4"), 0);
        expect_output(want);
        expect_output("over 3 seeds; the interval");
        expect_output("seeds that are not complete are left out: mean");
    }
}

/* Where the seed is a row or a column, and for programs, each stands by itself. */
static void test_each_seed(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "table %s/m.toml -S seed=1,2 -S attack=lavan --cols seed", scratch_folder), 0);
    expect_output("seed 1");
    assert_null(strstr(program_output, "\u00b1"));
    assert_int_equal(
        program_run("db", "table %s/m.toml -S seed=1,2,3 -S attack=lavan -f json --metrics attacked", scratch_folder), 0);
    double value;
    for (int seed = 1; seed <= SEEDS; seed++) {
        char where[64];
        snprintf(where, sizeof where, "defense=mean seed=%d", seed);
        assert_int_equal(tidy_find(where, "value", &value), 1);
    }
    assert_int_equal(tidy_find("defense=mean", "value", &value), SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_mean_over_seeds),
        cmocka_unit_test(test_an_incomplete_seed_is_left_out),
        cmocka_unit_test(test_each_seed),
    };
    return cmocka_run_group_tests_name("seeds", tests, setup, scratch_remove);
}
