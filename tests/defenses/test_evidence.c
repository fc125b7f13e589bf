/* Unit tests of defenses/evidence: the grid, exp and tanh against long double, feature types, clips, NaN and infinity. */
#include "defenses/evidence.h"
#include "harness/base/rng.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const pg_evidence_spec logits = {.clip_lo = -INFINITY, .clip_hi = INFINITY};

static void grid_rounds_half_to_even_and_saturates(void **state)
{
    (void)state;
    static const struct {
        double x;
        int32_t q;
    } cases[] = {
        {0.0, 0},
        {-0.0, 0},
        {1.0, 1 << 20},
        {-1.0, -(1 << 20)},
        {0x1p-21, 0},
        {0x3p-21, 2},
        {0x5p-21, 2},
        {-0x1p-21, 0},
        {-0x3p-21, -2},
        {0x1.000002p-21, 1},
        {1024.0, 1 << 30},
        {1024.5, 1 << 30},
        {1e300, 1 << 30},
        {INFINITY, 1 << 30},
        {-1024.0, -(1 << 30)},
        {-1e300, -(1 << 30)},
        {-INFINITY, -(1 << 30)},
        {1023.9999999, (1 << 30)},
        {1023.999999, (1 << 30) - 1},
        {1024.0 - 0x3p-21, (1 << 30) - 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pg_grid(cases[i].x), cases[i].q);
        int32_t q;
        double row, x = cases[i].x;
        if (isfinite(x)) {
            assert_true(pg_evidence_f64(&logits, &x, 1, 1, &row, &q));
            assert_int_equal(q, cases[i].q);
        }
    }
}

static void exp_and_tanh_are_accurate(void **state)
{
    (void)state;
    long double worst_exp = 0, worst_tanh = 0;
    for (int i = 0; i <= 2000000; i++) {
        double x = -708.0 * i / 2000000.0;
        long double wanted = expl((long double)x), error = fabsl(((long double)pg_exp(x) - wanted) / wanted);
        worst_exp = error > worst_exp ? error : worst_exp;
        double z = (i - 1000000) / 40000.0;
        error = fabsl((long double)pg_tanh(z) - tanhl((long double)z));
        worst_tanh = error > worst_tanh ? error : worst_tanh;
    }
    print_message("largest error: exp %.3Lg relative, tanh %.3Lg absolute\n", worst_exp, worst_tanh);
    assert_true(worst_exp < 0x1p-51L);
    assert_true(worst_tanh < 0x1p-51L);
    assert_true(pg_exp(0.0) == 1.0 && pg_exp(-708.5) == 0.0 && pg_exp(-INFINITY) == 0.0);
    assert_true(pg_exp(-707.9) > 0.0 && pg_exp(-708.0) > 0.0);
    assert_true(pg_tanh(0.0) == 0.0 && pg_tanh(400.0) == 1.0 && pg_tanh(-400.0) == -1.0);
    assert_true(pg_tanh(1e308) == 1.0 && pg_tanh(-1e308) == -1.0);
}

static void cbn_is_tanh_of_a_twentieth_less_one(void **state)
{
    (void)state;
    pg_evidence_spec spec = {.clip_lo = -INFINITY, .clip_hi = INFINITY, .tanh_cbn = true};
    double u[6] = {0.0, 20.0, 40.0, -20.0, 1e6, -1e6}, row[6];
    float f[6];
    int32_t q[6], again[6];
    for (int i = 0; i < 6; i++)
        f[i] = (float)u[i];
    assert_true(pg_evidence_f64(&spec, u, 2, 3, row, q));
    assert_true(pg_evidence_f32(&spec, f, 2, 3, row, again));
    assert_memory_equal(q, again, sizeof q);
    for (int i = 0; i < 4; i++)
        assert_int_equal(q[i], lrint(tanh(0.05 * u[i] - 1.0) * PG_GRID));
    assert_int_equal(q[4], PG_GRID);
    assert_int_equal(q[5], -PG_GRID);
}

/* The path through float for clipped logits gives what the path through double gives. */
static void float_and_double_agree(void **state)
{
    (void)state;
    enum { N = 4096 };
    static const double clips[][2] = {{-INFINITY, INFINITY}, {0, INFINITY},  {0, 1.5}, {-1.3, 2.7}, {0.1, 0.1},
                                      {-2000, 3000},         {-INFINITY, -1}};
    static float f[N];
    static double d[N], row[64];
    static int32_t q[N], again[N];
    for (size_t k = 0; k < sizeof clips / sizeof *clips; k++) {
        pg_evidence_spec spec = {.clip_lo = clips[k][0], .clip_hi = clips[k][1]};
        pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, (uint32_t)k);
        for (int i = 0; i < N; i++) {
            uint32_t bits = pg_rng_u32(&rng);
            switch (i % 4) {
            case 0: /* every exponent */
                memcpy(&f[i], &bits, sizeof bits);
                f[i] = isfinite(f[i]) ? f[i] : 0.0f;
                break;
            case 1: /* ties on the grid */
                f[i] = (float)((int32_t)(bits % 4097) - 2048) * 0x1p-21f;
                break;
            case 2: /* around saturation */
                f[i] = (float)(1024.0 + ((int32_t)(bits % 33) - 16) * 0x1p-13) * (bits & 64 ? 1.0f : -1.0f);
                break;
            default:
                f[i] = (float)(10.0 * pg_rng_unit(&rng) - 5.0);
            }
            d[i] = (double)f[i];
        }
        assert_true(pg_evidence_f32(&spec, f, N / 64, 64, row, q));
        assert_true(pg_evidence_f64(&spec, d, N / 64, 64, row, again));
        assert_memory_equal(q, again, sizeof q);
        for (int i = 0; i < N; i++) {
            double clipped = fmin(fmax(d[i], clips[k][0]), clips[k][1]);
            assert_int_equal(q[i], lrint(fmin(fmax(clipped, -1024.0), 1024.0) * PG_GRID));
        }
    }
}

static void one_bad_value_is_enough(void **state)
{
    (void)state;
    static const pg_evidence_spec specs[] = {{.clip_lo = -INFINITY, .clip_hi = INFINITY},
                                             {.clip_lo = 0, .clip_hi = 1},
                                             {.feature = PG_FEATURE_CONFIDENCE, .clip_hi = 1},
                                             {.feature = PG_FEATURE_PREDICTION, .clip_hi = 1},
                                             {.clip_lo = -INFINITY, .clip_hi = INFINITY, .tanh_cbn = true}};
    static const double bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t s = 0; s < 5; s++)
        for (size_t b = 0; b < 4; b++)
            for (int at = -1; at < 35; at++) {
                float f[35];
                double d[35], row[7];
                int32_t q[35];
                for (int i = 0; i < 35; i++) {
                    d[i] = i == at ? bad[b] : i == 11 ? DBL_MAX : 1.0;
                    f[i] = i == at ? (float)bad[b] : i == 11 ? -FLT_MAX : 1.0f;
                }
                assert_int_equal(pg_evidence_f32(&specs[s], f, 5, 7, row, q), at < 0);
                assert_int_equal(pg_evidence_f64(&specs[s], d, 5, 7, row, q), at < 0);
            }
}

static void confidences_are_a_softmax(void **state)
{
    (void)state;
    pg_evidence_spec spec = {.feature = PG_FEATURE_CONFIDENCE, .clip_hi = 1};
    for (uint32_t round = 0; round < 200; round++) {
        pg_rng rng = pg_rng_make(4, PG_STREAM_TEST, round);
        double u[9], row[9];
        long double sum = 0;
        int32_t q[9];
        for (int c = 0; c < 9; c++) {
            u[c] = 12.0 * pg_rng_unit(&rng) - 6.0;
            sum += expl((long double)u[c]);
        }
        assert_true(pg_evidence_f64(&spec, u, 1, 9, row, q));
        for (int c = 0; c < 9; c++)
            assert_int_equal(q[c], lrintl(expl((long double)u[c]) / sum * PG_GRID));
        spec.temperature = 0.3; /* sharper */
        for (int c = 0, first = 1; c < 9; c++, first = 0)
            sum = (first ? 0 : sum) + expl((long double)u[c] / 0.3L);
        assert_true(pg_evidence_f64(&spec, u, 1, 9, row, q));
        for (int c = 0; c < 9; c++)
            assert_int_equal(q[c], lrintl(expl((long double)u[c] / 0.3L) / sum * PG_GRID));
        spec.temperature = 0; /* stands for 1 */
    }
    /* far apart: one, and nothing */
    double u[3] = {-1e308, 1e308, 0}, row[3];
    int32_t q[3];
    assert_true(pg_evidence_f64(&spec, u, 1, 3, row, q));
    assert_int_equal(q[0], 0);
    assert_int_equal(q[1], PG_GRID);
    assert_int_equal(q[2], 0);
    /* the largest one need not come first or last */
    double v[3] = {1, 1, 1};
    assert_true(pg_evidence_f64(&spec, v, 1, 3, row, q));
    for (int c = 0; c < 3; c++)
        assert_int_equal(q[c], lrint(PG_GRID / 3.0));
}

static void expect_votes(double theta, const double *u, int classes, const int *votes)
{
    pg_evidence_spec spec = {.feature = PG_FEATURE_PREDICTION, .theta = theta, .clip_lo = -INFINITY, .clip_hi = INFINITY};
    double row[8];
    int32_t q[8];
    assert_true(pg_evidence_f64(&spec, u, 1, classes, row, q));
    for (int c = 0; c < classes; c++)
        assert_int_equal(q[c], votes[c] * PG_GRID);
}

static void votes_follow_theta(void **state)
{
    (void)state;
    expect_votes(0, (double[]){1, 3, 2}, 3, (int[]){0, 1, 0});
    expect_votes(0, (double[]){1, 1, 1}, 3, (int[]){1, 0, 0});
    expect_votes(0, (double[]){0, 2, 2, 1}, 4, (int[]){0, 1, 0, 0});
    /* equal after the softmax in double, though the logits differ */
    expect_votes(0, (double[]){0, 1e-18, 0}, 3, (int[]){1, 0, 0});
    expect_votes(0.25, (double[]){0, 0, 0, 0}, 4, (int[]){1, 1, 1, 1}); /* a quarter each: theta is reached exactly */
    expect_votes(0.2500001, (double[]){0, 0, 0, 0}, 4, (int[]){0, 0, 0, 0});
    expect_votes(0.3, (double[]){0, 0, -9}, 3, (int[]){1, 1, 0});
    expect_votes(1, (double[]){0, 800}, 2, (int[]){0, 1});
    expect_votes(1, (double[]){0, 5}, 2, (int[]){0, 0});
}

static void specs_normalize(void **state)
{
    (void)state;
    pg_evidence_spec a = {.feature = PG_FEATURE_LOGITS, .theta = 0.3, .clip_lo = -2, .clip_hi = 5};
    pg_evidence_normalize(&a);
    assert_true(a.theta == 0 && a.clip_lo == -2 && a.clip_hi == 5);
    pg_evidence_spec b = {.feature = PG_FEATURE_CONFIDENCE, .theta = 0.3, .clip_lo = -2, .clip_hi = 5};
    pg_evidence_normalize(&b);
    assert_true(b.theta == 0 && b.clip_lo == 0 && b.clip_hi == 1);
    pg_evidence_spec c = {.feature = PG_FEATURE_PREDICTION, .theta = 0.3, .clip_lo = 0.2, .clip_hi = 0.7};
    pg_evidence_normalize(&c);
    assert_true(c.theta == 0.3 && c.clip_lo == 0.2 && c.clip_hi == 0.7);
    pg_evidence_spec d = {.feature = PG_FEATURE_CONFIDENCE, .clip_lo = 2, .clip_hi = 3};
    pg_evidence_normalize(&d);
    assert_true(d.clip_lo == 2 && d.clip_hi == 2);
    assert_true(a.temperature == 1 && b.temperature == 1 && c.temperature == 1 && d.temperature == 1);
    a.temperature = b.temperature = c.temperature = d.temperature = 0.5;
    pg_evidence_spec vote = {
        .feature = PG_FEATURE_PREDICTION, .temperature = 0.5, .clip_hi = 1}; /* the largest at any temperature */
    pg_evidence_normalize(&a);
    pg_evidence_normalize(&b);
    pg_evidence_normalize(&c);
    pg_evidence_normalize(&vote);
    assert_true(a.temperature == 1 && b.temperature == 0.5 && c.temperature == 0.5 && vote.temperature == 1);
}

static void specs_compare(void **state)
{
    (void)state;
    pg_evidence_spec base = {.feature = PG_FEATURE_PREDICTION, .theta = 0.2, .clip_lo = 0, .clip_hi = 1}, other = base;
    assert_true(pg_evidence_same(&base, &other));
    other.feature = PG_FEATURE_CONFIDENCE;
    assert_false(pg_evidence_same(&base, &other));
    other = base, other.temperature = 1;
    assert_true(pg_evidence_same(&base, &other));
    other.temperature = 0.5;
    assert_false(pg_evidence_same(&base, &other));
    other = base, other.theta = 0.3;
    assert_false(pg_evidence_same(&base, &other));
    other = base, other.clip_lo = -1;
    assert_false(pg_evidence_same(&base, &other));
    other = base, other.clip_hi = 2;
    assert_false(pg_evidence_same(&base, &other));
    other = base, other.tanh_cbn = true;
    assert_false(pg_evidence_same(&base, &other));
}

static void expect_range(pg_evidence_spec spec, bool bounded, int64_t lo, int64_t hi)
{
    int64_t got_lo, got_hi;
    assert_int_equal(pg_evidence_range(&spec, &got_lo, &got_hi), bounded);
    assert_int_equal(got_lo, lo);
    assert_int_equal(got_hi, hi);
}

static void ranges_are_what_an_attacker_reaches(void **state)
{
    (void)state;
    expect_range((pg_evidence_spec){.clip_lo = -1, .clip_hi = 2}, true, -PG_GRID, 2 * PG_GRID);
    expect_range((pg_evidence_spec){.clip_lo = -1, .clip_hi = INFINITY}, false, -PG_GRID, PG_EVIDENCE_MAX);
    expect_range((pg_evidence_spec){.clip_lo = -INFINITY, .clip_hi = 1}, false, -PG_EVIDENCE_MAX, PG_GRID);
    expect_range((pg_evidence_spec){.clip_lo = 0, .clip_hi = 5000}, true, 0, PG_EVIDENCE_MAX);
    expect_range((pg_evidence_spec){.clip_lo = -INFINITY, .clip_hi = INFINITY, .tanh_cbn = true}, true, -PG_GRID, PG_GRID);
    pg_evidence_spec votes = {.feature = PG_FEATURE_PREDICTION, .clip_lo = -INFINITY, .clip_hi = INFINITY};
    expect_range(votes, true, 0, PG_GRID);
}

/* Against perturbed logits: no value of evidence moves further than is said. */
static void leaks_move_evidence_no_further_than_said(void **state)
{
    (void)state;
    static const pg_evidence_spec specs[] = {
        {.feature = PG_FEATURE_LOGITS, .clip_lo = -INFINITY, .clip_hi = INFINITY},
        {.feature = PG_FEATURE_LOGITS, .clip_lo = 0, .clip_hi = 2},
        {.feature = PG_FEATURE_CONFIDENCE, .clip_lo = -INFINITY, .clip_hi = INFINITY},
        {.feature = PG_FEATURE_PREDICTION, .clip_lo = -INFINITY, .clip_hi = INFINITY},
        {.feature = PG_FEATURE_LOGITS, .clip_lo = -INFINITY, .clip_hi = INFINITY, .tanh_cbn = true},
        {.feature = PG_FEATURE_CONFIDENCE, .temperature = 0.1, .clip_lo = -INFINITY, .clip_hi = INFINITY},
    };
    enum { POSITIONS = 200, CLASSES = 4 };
    static double u[POSITIONS * CLASSES], moved[POSITIONS * CLASSES];
    static int32_t before[POSITIONS * CLASSES], after[POSITIONS * CLASSES];
    double scratch[CLASSES];
    bool moves_more = false;
    for (int64_t delta = 1; delta < 5000; delta *= 7)
        for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
            pg_rng rng = pg_rng_make((uint64_t)delta, PG_STREAM_TEST, (uint32_t)s);
            for (int i = 0; i < POSITIONS * CLASSES; i++) {
                u[i] = (double)(int64_t)(pg_rng_below(&rng, 8 * PG_GRID)) / PG_GRID - 4;
                moved[i] = u[i] + (double)((int64_t)pg_rng_below(&rng, (uint32_t)(2 * delta + 1)) - delta) / PG_GRID;
            }
            assert_true(pg_evidence_f64(&specs[s], u, POSITIONS, CLASSES, scratch, before));
            assert_true(pg_evidence_f64(&specs[s], moved, POSITIONS, CLASSES, scratch, after));
            int64_t allowed = pg_evidence_delta(&specs[s], delta), worst = 0;
            for (int i = 0; i < POSITIONS * CLASSES; i++)
                worst = llabs((int64_t)after[i] - before[i]) > worst ? llabs((int64_t)after[i] - before[i]) : worst;
            assert_true(worst <= allowed);
            assert_true(worst > 0 || specs[s].feature == PG_FEATURE_PREDICTION || delta < 50);
            assert_int_equal(pg_evidence_delta(&specs[s], 0), 0);
            moves_more |= worst > delta + 1;
        }
    assert_true(moves_more); /* a low temperature */
    assert_int_equal(pg_evidence_delta(&specs[5], 7), 71);
    assert_int_equal(pg_evidence_delta(&specs[3], 1), PG_GRID); /* a vote may flip */
    assert_int_equal(pg_evidence_delta(&specs[0], 7), 7);
    assert_int_equal(pg_evidence_delta(&specs[2], 7), 8); /* rounding may add one */
    assert_int_equal(pg_evidence_delta(&specs[4], 7), 8);
    assert_int_equal(pg_evidence_delta(&specs[5], INT64_MAX), PG_GRID); /* a confidence lies in [0, 1] */
    assert_int_equal(pg_evidence_delta(&specs[0], INT64_MAX), (int64_t)2 * PG_EVIDENCE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaks_move_evidence_no_further_than_said),
        cmocka_unit_test(grid_rounds_half_to_even_and_saturates),
        cmocka_unit_test(exp_and_tanh_are_accurate),
        cmocka_unit_test(cbn_is_tanh_of_a_twentieth_less_one),
        cmocka_unit_test(float_and_double_agree),
        cmocka_unit_test(one_bad_value_is_enough),
        cmocka_unit_test(confidences_are_a_softmax),
        cmocka_unit_test(votes_follow_theta),
        cmocka_unit_test(specs_normalize),
        cmocka_unit_test(specs_compare),
        cmocka_unit_test(ranges_are_what_an_attacker_reaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
