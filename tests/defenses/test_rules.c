/* Every rule against the definitions evaluated term by term (oracle.h), on random evidence: maps that wrap and do not, windows
 * of every shape, class counts around the widths of a block, ties, values at both ends of the range, locality. */
#include "tests/support/rules.h"

typedef struct setup {
    const rule_case *rule;
    const pg_defense *defense;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_evidence_spec spec;
} setup;

static long times_decided; /* over all tests */

static void prepare(const rule_case *rule, setup *s)
{
    s->rule = rule;
    s->defense = pg_defense_find(rule->defense);
    assert_non_null(s->defense);
    rule_configure(s->defense, rule->options, s->config);
    if (!s->defense->predict_double)
        fail_msg(
            "%s: defense %s has no predict_double; a row of tests/support/rules.h requires it: write the rule of `predict` "
            "once more on doubles, as in defenses/clip.c, and name it in the descriptor",
            rule->id, rule->defense);
    s->defense->evidence(s->config, &s->spec);
}

static void explain(const setup *s, const oracle_map *m, int label, int64_t delta, const oracle_verdict *want,
                    const pg_verdict *got)
{
    fail_msg(
        "%s on %dx%dx%d (wrap %d %d), window %dx%d, label %d, delta %lld: expected prediction %d certified %d margin %d %lld "
        "case %d masked %d, got %d %d %d %lld %d %d",
        s->rule->id, m->height, m->width, m->classes, m->wrap_rows, m->wrap_columns, m->window_height, m->window_width, label,
        (long long)delta, want->prediction, want->certified, want->has_margin, (long long)want->margin, want->failure_case,
        want->masked, got->prediction, got->certified, got->has_margin, (long long)got->margin, got->failure_case, got->masked);
}

static bool agree(const oracle_verdict *want, const pg_verdict *got)
{
    return want->prediction == got->prediction && want->certified == got->certified && want->has_margin == got->has_margin &&
           (!want->has_margin || want->margin == got->margin) && want->failure_case == got->failure_case &&
           want->masked == got->masked && got->certified_published == (want->failure_case == 4);
}

/* Values on the grid are exact in double, and so are their sums: the rule in double predicts what the integers do. Where a
 * verdict is decided, half a unit more or less in every value makes no difference. */
static void compare_double(const setup *s, const pg_evidence *evidence, pg_window window, const pg_verdict *verdict)
{
    size_t n = (size_t)(evidence->height * evidence->width * evidence->classes);
    double *values = malloc(n * sizeof *values);
    pg_evidence unrounded = *evidence;
    unrounded.values = values;
    size_t size = (s->defense->scratch_size(evidence->height, evidence->width, evidence->classes, 2) + 63) & ~(size_t)63;
    void *scratch = aligned_alloc(64, size);
    memset(scratch, 0xa5, size);
    const void *const configs[] = {s->config, s->config};
    for (int round = 0; round < (verdict->decided ? 4 : 1); round++) {
        /* round 1: against the prediction; 2 and 3: mixed */
        for (size_t i = 0; i < n; i++) {
            bool own = (int)(i % (size_t)evidence->classes) == verdict->prediction,
                 up = (i * 2654435761u >> 7) % 2 == (size_t)round % 2;
            double by = round == 0 ? 0 : round == 1 ? (own ? -0.5 : 0.5) : (up ? 0.5 : -0.5);
            values[i] = (evidence->q[i] + by) / PG_GRID;
            if (s->rule->values == VALUES_POSITIVE)
                values[i] = PG_MAX(values[i], 0.0);
        }
        int got[2] = {-1, -1};
        s->defense->predict_double(&unrounded, window, configs, 2, scratch, got);
        if (got[0] != verdict->prediction || got[1] != verdict->prediction)
            fail_msg("%s on %dx%dx%d (wrap %d %d), window %dx%d, round %d: %d and %d in double, expected %d", s->rule->id,
                     evidence->height, evidence->width, evidence->classes, evidence->wrap_rows, evidence->wrap_columns,
                     window.height, window.width, round, got[0], got[1], verdict->prediction);
    }
    times_decided += verdict->decided;
    free(scratch);
    free(values);
}

/* One tensor: the certificate and the predictions of the hooks against the oracle. */
static void compare(const setup *s, const oracle_map *m, int label, int64_t delta)
{
    size_t values = (size_t)(m->height * m->width * m->classes);
    int32_t *q = malloc(values * sizeof *q); /* not a value more */
    memcpy(q, m->q, values * sizeof *q);
    pg_evidence evidence = {q, m->height, m->width, m->classes, m->wrap_rows, m->wrap_columns, &s->spec, NULL};
    pg_window window = {m->window_height, m->window_width};
    oracle_rule rule = s->rule->oracle;
    rule.delta = delta;
    oracle_verdict want = oracle_certify(&rule, m, label);
    size_t size = (s->defense->scratch_size(m->height, m->width, m->classes, 1) + 63) & ~(size_t)63;
    void *scratch = aligned_alloc(64, size); /* not a byte more */
    memset(scratch, 0xa5, size);
    const void *config = s->config;
    pg_verdict got;
    s->defense->certify(&evidence, window, delta, label, &config, 1, scratch, &got);
    if (!agree(&want, &got))
        explain(s, m, label, delta, &want, &got);
    free(scratch);
    scratch = aligned_alloc(64, size);
    memset(scratch, 0x5a, size);
    assert_int_equal(s->defense->predict(&evidence, window, s->config, scratch), want.prediction);
    free(scratch);
    compare_double(s, &evidence, window, &got);
    free(q);
}

static bool fits(const setup *s, const oracle_map *m)
{
    return s->rule->oracle.kind != ORACLE_TRIM || 2 * s->rule->oracle.trim < m->height * m->width;
}

static int one_of(pg_rng *rng, const int *values, int n) { return values[pg_rng_below(rng, (uint32_t)n)]; }

static oracle_map random_map(pg_rng *rng, int height, int width, const int *classes, int n_classes)
{
    oracle_map m = {.height = 1 + (int)pg_rng_below(rng, (uint32_t)height),
                    .width = 1 + (int)pg_rng_below(rng, (uint32_t)width)};
    m.classes = one_of(rng, classes, n_classes);
    m.wrap_rows = pg_rng_below(rng, 3) == 0;
    m.wrap_columns = pg_rng_below(rng, 3) == 0;
    m.window_height = 1 + (int)pg_rng_below(rng, (uint32_t)m.height);
    m.window_width = 1 + (int)pg_rng_below(rng, (uint32_t)m.width);
    return m;
}

static void run_random(const setup *s, int rounds, int height, int width, const int *classes, int n_classes)
{
    static int32_t q[ORACLE_POSITIONS * ORACLE_CLASSES];
    for (int round = 0; round < rounds; round++) {
        pg_rng rng = pg_rng_make(11, PG_STREAM_TEST, (uint32_t)(round + 100000 * (int)(s->rule - rule_cases) + 1000 * height));
        oracle_map m = random_map(&rng, height, width, classes, n_classes);
        int label = (int)pg_rng_below(&rng, (uint32_t)m.classes);
        m.q = q;
        rule_fill(&rng, s->rule->values, &s->rule->oracle, m.height * m.width, m.classes, label, q);
        if (!fits(s, &m))
            continue;
        static const int64_t deltas[] = {0, 0, 1, 100, 100000, INT64_MAX};
        compare(s, &m, label, deltas[pg_rng_below(&rng, 6)]);
    }
}

static void small_maps_agree(void **state)
{
    (void)state;
    static const int classes[] = {1, 2, 2, 3, 4, 5};
    for (size_t i = 0; i < N_RULE_CASES; i++) {
        setup s;
        prepare(&rule_cases[i], &s);
        run_random(&s, 2000, 4, 6, classes, 6);
    }
}

static void many_classes_agree(void **state)
{
    (void)state;
    static const int classes[] = {15, 16, 17, 63, 64, 65, 130};
    for (size_t i = 0; i < N_RULE_CASES; i++) {
        setup s;
        prepare(&rule_cases[i], &s);
        run_random(&s, 100, 3, 5, classes, 7);
    }
}

static void larger_maps_agree(void **state)
{
    (void)state;
    static const int classes[] = {2, 3};
    for (size_t i = 0; i < N_RULE_CASES; i++) {
        setup s;
        prepare(&rule_cases[i], &s);
        run_random(&s, 50, 8, 9, classes, 2);
        run_random(&s, 50, 1, 20, classes, 2);
        run_random(&s, 20, 20, 1, classes, 2);
    }
}

/* The largest delta that the oracle lets a certificate survive, found by halving; -1: none. */
static int64_t largest_delta(const setup *s, const oracle_map *m, int label)
{
    int64_t good = -1, bad = (int64_t)1 << 40;
    oracle_rule rule = s->rule->oracle;
    while (bad - good > 1) {
        rule.delta = good + (bad - good) / 2;
        if (oracle_certify(&rule, m, label).certified)
            good = rule.delta;
        else
            bad = rule.delta;
    }
    return good;
}

/* A certificate survives that delta, and not one grid unit more. */
static void locality_has_a_sharp_edge(void **state)
{
    (void)state;
    int edges = 0;
    static int32_t q[24 * 4];
    for (size_t i = 0; i < N_RULE_CASES; i++) {
        setup s;
        prepare(&rule_cases[i], &s);
        for (uint32_t round = 0; round < 60; round++) {
            pg_rng rng = pg_rng_make(14, PG_STREAM_TEST, round + 1000 * (uint32_t)i);
            static const int classes[] = {2, 3, 4};
            oracle_map m = random_map(&rng, 4, 6, classes, 3);
            int label = (int)pg_rng_below(&rng, (uint32_t)m.classes);
            m.q = q;
            rule_fill(&rng, s.rule->values, &s.rule->oracle, m.height * m.width, m.classes, label, q);
            int64_t delta = fits(&s, &m) ? largest_delta(&s, &m, label) : -1;
            for (int64_t d = delta - 1; d <= delta + 1 && delta >= 0; d++)
                compare(&s, &m, label, d < 0 ? 0 : d);
            edges += delta > 0;
        }
    }
    assert_true(edges > 200);
}

/* Maps that need the most scratch: one window short of an axis that wraps, sums that need wide lanes. */
static void the_largest_windows_agree(void **state)
{
    (void)state;
    static const oracle_map maps[] = {
        {1, 20, 2, false, true, 1, 19, NULL}, {20, 1, 2, true, false, 19, 1, NULL}, {3, 9, 2, true, true, 2, 8, NULL},
        {9, 3, 2, true, true, 8, 2, NULL},    {2, 12, 17, true, true, 1, 11, NULL}, {12, 2, 17, true, true, 11, 1, NULL},
        {1, 12, 3, false, false, 1, 1, NULL}, {12, 1, 3, false, false, 1, 1, NULL},
    };
    static int32_t q[ORACLE_POSITIONS * ORACLE_CLASSES];
    for (size_t i = 0; i < N_RULE_CASES; i++)
        for (size_t j = 0; j < sizeof maps / sizeof *maps; j++)
            for (uint32_t round = 0; round < 5; round++) {
                setup s;
                oracle_map m = maps[j];
                pg_rng rng = pg_rng_make(13, PG_STREAM_TEST, round);
                prepare(&rule_cases[i], &s);
                m.q = q;
                rule_fill(&rng, s.rule->values, &s.rule->oracle, m.height * m.width, m.classes, 1, q);
                for (int p = 0; p < m.height * m.width && round % 2 && s.rule->values == VALUES_POSITIVE; p++)
                    q[p * m.classes + 1] = PG_EVIDENCE_MAX;
                if (fits(&s, &m))
                    compare(&s, &m, 1, 0);
            }
}

/* One call with many thresholds gives what one call each gives, whatever the order of the scopes. */
static void configurations_share_a_pass(void **state)
{
    (void)state;
    enum { N = 10 };
    static const char *const options[N] = {"scope=predicted",
                                           "threshold=0",
                                           "threshold=0.1",
                                           "threshold=0.2",
                                           "scope=predicted threshold=0.3",
                                           "scope=predicted threshold=1",
                                           "threshold=0.4",
                                           "threshold=0.6",
                                           "threshold=0.9",
                                           "threshold=1"};
    static const char *const clips[] = {"", " clip=0:3", " feature=confidence"};
    static const rule_values values[] = {VALUES_POSITIVE, VALUES_CLIPPED, VALUES_UNIT};
    const pg_defense *defense = pg_defense_find("robust-masking");
    for (int round = 0; round < 240; round++) {
        static _Alignas(16) unsigned char configs[N][PG_CONFIG_MAX];
        const void *pointers[N];
        for (int i = 0; i < N; i++) {
            char text[128];
            snprintf(text, sizeof text, "%s%s", options[i], clips[round % 3]);
            rule_configure(defense, text, configs[i]);
            pointers[i] = configs[i];
        }
        pg_rng rng = pg_rng_make(12, PG_STREAM_TEST, (uint32_t)round);
        int32_t q[36 * 4];
        oracle_rule rule = {.hi = 3 * RULE_UNIT};
        pg_evidence_spec spec;
        defense->evidence(configs[0], &spec);
        rule_fill(&rng, values[round % 3], &rule, 36, 4, 1, q);
        pg_evidence evidence = {q, 6, 6, 4, round % 2, round % 5 == 0, &spec, NULL};
        void *scratch = aligned_alloc(64, (defense->scratch_size(6, 6, 4, N) + 63) & ~(size_t)63);
        pg_verdict together[N], alone;
        defense->certify(&evidence, (pg_window){2, 3}, 0, 1, pointers, N, scratch, together);
        for (int i = 0; i < N; i++) {
            memset(&alone, 0, sizeof alone);
            defense->certify(&evidence, (pg_window){2, 3}, 0, 1, pointers + i, 1, scratch, &alone);
            assert_int_equal(alone.prediction, together[i].prediction);
            assert_int_equal(alone.certified, together[i].certified);
            assert_int_equal(alone.has_margin, together[i].has_margin);
            assert_int_equal(alone.margin, together[i].margin);
            assert_int_equal(alone.failure_case, together[i].failure_case);
            assert_int_equal(alone.masked, together[i].masked);
        }
        free(scratch);
    }
}

/* Evidence of a few units, where half a unit a value counts: of no rule is a prediction called decided that is not, and of most
 * rules some are. */
static void what_is_decided_stays(void **state)
{
    (void)state;
    static int32_t q[ORACLE_POSITIONS * ORACLE_CLASSES];
    static const int classes[] = {1, 2, 2, 3, 4};
    for (size_t i = 0; i < N_RULE_CASES; i++) {
        setup s;
        prepare(&rule_cases[i], &s);
        long before = times_decided;
        for (uint32_t round = 0; round < 1500; round++) {
            pg_rng rng = pg_rng_make(15, PG_STREAM_TEST, round);
            oracle_map m = random_map(&rng, 3, 5, classes, 5);
            m.q = q;
            uint32_t most = 1 + pg_rng_below(&rng, 60);
            int favourite = (int)pg_rng_below(&rng, (uint32_t)m.classes);
            for (int p = 0; p < m.height * m.width * m.classes; p++)
                q[p] = (int32_t)pg_rng_below(&rng, most) + (p % m.classes == favourite ? (int32_t)pg_rng_below(&rng, most) : 0);
            if (fits(&s, &m))
                compare(&s, &m, favourite, 0);
        }
        if (times_decided == before && s.rule->oracle.kind != ORACLE_PREDICTED)
            fail_msg("%s: never decided", s.rule->id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_maps_agree),          cmocka_unit_test(many_classes_agree),
        cmocka_unit_test(larger_maps_agree),         cmocka_unit_test(locality_has_a_sharp_edge),
        cmocka_unit_test(the_largest_windows_agree), cmocka_unit_test(configurations_share_a_pass),
        cmocka_unit_test(what_is_decided_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
