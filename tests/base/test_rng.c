/* Counter-based random numbers. */
#include "harness/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

/* Philox4x32-10 of the zero counter and key, from the known answers that come with Random123. */
static void agrees_with_the_published_generator(void **state)
{
    (void)state;
    pg_rng rng = {0};
    const uint32_t known[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pg_rng_u32(&rng), known[i]);
    rng = (pg_rng){.seed = UINT64_MAX, .stream = UINT32_MAX, .item = UINT32_MAX, .index = UINT64_MAX - 3};
    /* counter words 0 and 1 hold index / 4 = 2^62 - 1, the rest all ones */
    assert_int_equal(pg_rng_u32(&rng), 0x8c5f4338);
}

static void pinned_values(void **state)
{
    (void)state;
    pg_rng rng = pg_rng_make(2021, PG_STREAM_TEST, 7);
    assert_int_equal(pg_rng_u32(&rng), 0x9b9f7b17);
    assert_true(pg_rng_u64(&rng) == UINT64_C(0x5f64ffdbd2730508));
    assert_int_equal(pg_rng_below(&rng, 1000), 797);
    assert_true(pg_rng_unit(&rng) == 0x1.0f62df71f7a2ep-1);
    const double normals[] = {0x1.7d2ff8053a904p+0, -0x1.49a7e7a1b0a34p-1, 0x1.4be1dc7dee725p+0, 0x1.0de0cfe56d611p+1};
    for (size_t i = 0; i < sizeof normals / sizeof *normals; i++)
        assert_true(pg_rng_normal(&rng) == normals[i]);
}

static void a_draw_depends_on_its_place_only(void **state)
{
    (void)state;
    enum { N = 101 };
    uint32_t in_order[N], filled[N];
    pg_rng rng = pg_rng_make(1, PG_STREAM_TEST, 0);
    for (int i = 0; i < N; i++)
        in_order[i] = pg_rng_u32(&rng);
    for (int i = N - 1; i >= 0; i--) { /* backwards, each by itself */
        pg_rng one = pg_rng_make(1, PG_STREAM_TEST, 0);
        one.index = (uint64_t)i;
        assert_int_equal(pg_rng_u32(&one), in_order[i]);
    }
    for (uint32_t start = 0; start < 9; start++) {
        rng = pg_rng_make(1, PG_STREAM_TEST, 0);
        rng.index = start;
        pg_rng_fill(&rng, filled, N - 9);
        assert_memory_equal(filled, in_order + start, (N - 9) * sizeof *filled);
        assert_int_equal(rng.index, start + N - 9);
        rng.index = start;
        assert_true(pg_rng_u64(&rng) == (in_order[start] | (uint64_t)in_order[start + 1] << 32));
    }
    const pg_rng others[] = {pg_rng_make(2, PG_STREAM_TEST, 0), pg_rng_make((uint64_t)1 << 32 | 1, PG_STREAM_TEST, 0),
                             pg_rng_make(1, PG_STREAM_INIT, 0), pg_rng_make(1, PG_STREAM_TEST, 1)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        pg_rng other = others[i];
        assert_int_not_equal(pg_rng_u32(&other), in_order[0]);
    }
}

static void bounded_draws_are_uniform(void **state)
{
    (void)state;
    enum { BINS = 7, N = 70000 };
    int counts[BINS] = {0};
    pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, 0);
    for (int i = 0; i < N; i++) {
        uint32_t value = pg_rng_below(&rng, BINS);
        assert_true(value < BINS);
        counts[value]++;
    }
    double chi2 = 0;
    for (int i = 0; i < BINS; i++)
        chi2 += (counts[i] - N / BINS) * (double)(counts[i] - N / BINS) / (N / BINS);
    assert_true(chi2 < 22.5); /* 0.999 quantile of 6 degrees of freedom; the draws are fixed */
    for (int i = 0; i < 100; i++)
        assert_int_equal(pg_rng_below(&rng, 1), 0);
    /* a bound where half of the plain products would be biased */
    int64_t low = 0;
    for (int i = 0; i < 20000; i++)
        low += pg_rng_below(&rng, 3u << 30) < 3u << 29;
    assert_true(low > 9700 && low < 10300);
}

static void units_and_normals_have_their_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    double sum = 0, sum2 = 0, normal = 0, normal2 = 0, normal4 = 0;
    int beyond2 = 0;
    pg_rng rng = pg_rng_make(4, PG_STREAM_TEST, 0);
    for (int i = 0; i < N; i++) {
        double u = pg_rng_unit(&rng), z = pg_rng_normal(&rng);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        sum += u, sum2 += u * u, normal += z, normal2 += z * z, normal4 += z * z * z * z;
        beyond2 += fabs(z) > 2;
    }
    assert_true(fabs(sum / N - 0.5) < 0.003 && fabs(sum2 / N - 1.0 / 3) < 0.003);
    assert_true(fabs(normal / N) < 0.01 && fabs(normal2 / N - 1) < 0.015 && fabs(normal4 / N - 3) < 0.15);
    assert_true(fabs((double)beyond2 / N - 0.0455) < 0.002);
}

static void shuffles_are_permutations_and_fair(void **state)
{
    (void)state;
    enum { N = 5, TIMES = 20000 };
    int first[N] = {0};
    pg_rng rng = pg_rng_make(5, PG_STREAM_TEST, 0);
    for (int t = 0; t < TIMES; t++) {
        uint32_t items[N] = {0, 1, 2, 3, 4};
        unsigned seen = 0;
        pg_rng_shuffle(&rng, items, N);
        for (int i = 0; i < N; i++)
            seen |= 1u << items[i];
        assert_int_equal(seen, (1u << N) - 1);
        for (int i = 0; i < N; i++)
            if (items[i] == 0)
                first[i]++;
    }
    for (int i = 0; i < N; i++)
        assert_true(first[i] > TIMES / N - 250 && first[i] < TIMES / N + 250);
    pg_rng_shuffle(&rng, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_published_generator),  cmocka_unit_test(pinned_values),
        cmocka_unit_test(a_draw_depends_on_its_place_only),     cmocka_unit_test(bounded_draws_are_uniform),
        cmocka_unit_test(units_and_normals_have_their_moments), cmocka_unit_test(shuffles_are_permutations_and_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
