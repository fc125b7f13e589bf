/* Unit tests of harness/base/stats: intervals against values computed by hand from Wilson's formula. */
#include "harness/base/stats.h"

#include <math.h>
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void near(double got, double want)
{
    if (!(fabs(got - want) < 5e-7))
        print_error("got %.9f, want %.9f\n", got, want);
    assert_true(fabs(got - want) < 5e-7);
}

/* Known values: 81 of 263 is the example of Newcombe (1998), table I, there 0.2553 to 0.3662; the others of the same table. */
static void wilson_matches_newcombe(void **state)
{
    (void)state;
    static const struct {
        int64_t count, n;
        double lo, hi;
    } rows[] = {{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0.0, 0.1611}, {1, 29, 0.0061, 0.1718}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_interval got = pg_wilson(rows[i].count, rows[i].n);
        assert_true(fabs(got.lo - rows[i].lo) < 5.1e-5);
        assert_true(fabs(got.hi - rows[i].hi) < 5.1e-5);
    }
}

static void wilson_is_exact_in_its_formula(void **state)
{
    (void)state;
    pg_interval got = pg_wilson(5620, 10000);
    near(got.value, 0.562);
    near(got.lo, 0.5522538);
    near(got.hi, 0.5716985);
    near(pg_wilson(1, 1).lo, 0.2065493);
}

/* Halves go up, whatever doubles make of them: 12.25, 0.05 and 99.95 percent. */
static void percents_are_of_the_exact_ratio(void **state)
{
    (void)state;
    static const struct {
        int64_t count, n;
        int decimals;
        const char *text;
    } cases[] = {{49, 400, 1, "12.3"}, {1, 2000, 1, "0.1"},      {1999, 2000, 1, "100.0"}, {253, 400, 1, "63.3"},
                 {0, 7, 1, "0.0"},     {7, 7, 1, "100.0"},       {1, 3, 2, "33.33"},       {2, 3, 2, "66.67"},
                 {1, 8, 0, "13"},      {6365, 10000, 1, "63.7"}, {6364, 10000, 1, "63.6"}, {6325, 10000, 1, "63.3"},
                 {1, 20000, 2, "0.01"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.*f", cases[i].decimals, pg_percent(cases[i].count, cases[i].n, cases[i].decimals));
        assert_string_equal(text, cases[i].text);
    }
    for (int64_t n = 1; n < 300; n++) /* never further from the ratio than half of the last place */
        for (int64_t k = 0; k <= n; k++) {
            int64_t tenths = llround(pg_percent(k, n, 1) * 10);
            assert_true(2 * (1000 * k - tenths * n) < n && 2 * (1000 * k - tenths * n) >= -n);
        }
}

static void wilson_at_the_ends(void **state)
{
    (void)state;
    pg_interval none = pg_wilson(0, 10), all = pg_wilson(10, 10), empty = pg_wilson(0, 0);
    assert_true(none.lo == 0.0 && none.value == 0.0);
    for (int64_t n = 1; n < 3000; n++) /* exactly, also where the formula rounds */
        assert_true(pg_wilson(0, n).lo == 0.0 && pg_wilson(n, n).hi == 1.0);
    near(none.hi, 0.2775328);
    assert_true(all.hi == 1.0 && all.value == 1.0);
    near(all.lo, 1 - 0.2775328);
    assert_true(isnan(empty.value) && isnan(empty.lo) && isnan(empty.hi));
}

/* Sums over all outcomes of n coins, term by term. */
static double by_hand(int a, int b)
{
    int n = a + b, least = a < b ? a : b;
    double sum = 0;
    for (int k = 0; k <= n; k++) {
        double ways = 1;
        for (int i = 0; i < k; i++)
            ways = ways * (n - i) / (i + 1);
        if (k <= least || k >= n - least)
            sum += ways / pow(2, n);
    }
    return fmin(1, sum);
}

static void mcnemar_counts_every_outcome(void **state)
{
    (void)state;
    for (int a = 0; a <= 20; a++)
        for (int b = 0; b <= 20; b++)
            assert_true(fabs(pg_mcnemar(a, b) - by_hand(a, b)) < 1e-12);
    near(pg_mcnemar(0, 0), 1);
    near(pg_mcnemar(5, 0), 0.0625);
    near(pg_mcnemar(1, 9), 22.0 / 1024);
    near(pg_mcnemar(9, 1), 22.0 / 1024);
    assert_true(pg_mcnemar(0, 1000) > 0 && pg_mcnemar(0, 1000) < 1e-300);
    assert_true(fabs(pg_mcnemar(4900, 5100) - 0.0466) < 2e-4); /* the normal approximation with continuity: 0.0466 */
}

/* Shares of images over several draws: one draw, or draws that agree, are Wilson's of the images; draws that are independent of
 * the images are those of all of them; between, the interval narrows as the images agree less among themselves than a coin. */
static void test_mean_of_shares(void **state)
{
    (void)state;
    enum { N = 50 };
    int32_t counts[N];
    for (int64_t right = 0; right <= N; right++) {
        for (int32_t of = 1; of <= 5; of += 4) {
            for (int i = 0; i < N; i++)
                counts[i] = i < right ? of : 0;
            pg_interval got = pg_mean_of_shares(counts, N, of), want = pg_wilson(right, N);
            assert_true(fabs(got.value - want.value) < 1e-12);
            assert_true(fabs(got.lo - want.lo) < 1e-9);
            assert_true(fabs(got.hi - want.hi) < 1e-9);
        }
    }
    for (int i = 0; i < N; i++)
        counts[i] = 2;
    pg_interval same = pg_mean_of_shares(counts, N, 5), draws = pg_wilson(2 * N, 5 * N);
    assert_true(fabs(same.lo - draws.lo) < 1e-12);
    assert_true(fabs(same.hi - draws.hi) < 1e-12);
    double before = 0;
    for (int32_t spread = 0; spread <= 2; spread++) { /* half of the images 2 + spread, half 2 - spread, of 4 */
        for (int i = 0; i < N; i++)
            counts[i] = i % 2 ? 2 + spread : 2 - spread;
        pg_interval got = pg_mean_of_shares(counts, N, 4);
        assert_true(fabs(got.value - 0.5) < 1e-12);
        assert_true(got.hi - got.lo > before + (spread == 1 ? -1e-12 : 1e-6));
        before = got.hi - got.lo;
    }
    assert_true(isnan(pg_mean_of_shares(counts, 0, 4).value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_of_shares),     cmocka_unit_test(percents_are_of_the_exact_ratio),
        cmocka_unit_test(wilson_matches_newcombe), cmocka_unit_test(wilson_is_exact_in_its_formula),
        cmocka_unit_test(wilson_at_the_ends),      cmocka_unit_test(mcnemar_counts_every_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
