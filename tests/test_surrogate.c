/* Surrogates: their scores are those of the integer rule, their gradients those of finite differences where the rule has any,
 * and useful where it has none. */
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "tests/rules.h"

#include <math.h>
#include <stdlib.h>

static const pg_torch *t;

static int load(void **state)
{
    (void)state;
    int e = pg_torch_load(1, &t);
    if (e)
        fprintf(stderr, "%s\n", pg_error_message());
    return e;
}

static int scope_setup(void **state)
{
    t->grad_mode(true);
    return (*state = t->scope_new()) ? 0 : -1;
}

static int scope_teardown(void **state)
{
    t->grad_mode(false);
    t->scope_free(*state);
    return 0;
}

enum { CLASSES = 12, VALUES = 64 * CLASSES };

/* A defense on a map, and logits [H][W][classes] as the integer rules read them. */
typedef struct bench {
    const pg_defense *defense;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_map map;
    int positions;
    float logits[VALUES];
    int64_t label;
    pg_tensor *leaf; /* of the last pass: [1][classes][H][W] */
} bench;

static void bench_open(bench *b, const char *defense, const char *options, pg_map map)
{
    *b = (bench){.defense = pg_defense_find(defense), .map = map, .positions = map.height * map.width};
    rule_configure(b->defense, options, b->config);
}

/* Scores [classes] of the logits. */
static pg_tensor *pass(bench *b, pg_scope *s, int kind)
{
    float planar[VALUES];
    int n = b->map.classes;
    for (int p = 0; p < b->positions; p++)
        for (int c = 0; c < n; c++)
            planar[c * b->positions + p] = b->logits[p * n + c];
    b->leaf = t->from_data(s, planar, PG_T_F32, 4, (const int64_t[]){1, n, b->map.height, b->map.width});
    t->requires_grad(s, b->leaf, true);
    pg_tensor *labels = t->from_data(s, &b->label, PG_T_I64, 1, (const int64_t[]){1});
    pg_tensor *scores = b->defense->surrogate(s, b->config, kind, &b->map, b->leaf, labels);
    if (pg_scope_check(s))
        fail_msg("%s: %s", b->defense->module.name, pg_error_message());
    assert_int_equal(t->rank(scores), 2);
    assert_int_equal(t->size(scores, 1), n);
    return scores;
}

static void scores_of(bench *b, pg_scope *s, int kind, float *out)
{
    assert_int_equal(t->read(s, pass(b, s, kind), out, PG_T_F32, b->map.classes), PG_OK);
}

/* d (score of class a - score of class b) / d logits, as [H][W][classes]; b < 0: of a alone. */
__attribute__((unused)) static void gradient_of(bench *b, pg_scope *s, int kind, int plus, int minus, float *out)
{
    float planar[VALUES], weight[CLASSES] = {0};
    int n = b->map.classes;
    weight[plus] = 1;
    if (minus >= 0)
        weight[minus] = -1;
    pg_tensor *scores = pass(b, s, kind), *weights = t->from_data(s, weight, PG_T_F32, 2, (const int64_t[]){1, n});
    pg_tensor *loss = t->sum(s, t->mul(s, scores, weights), 0, NULL, false);
    assert_int_equal(t->read(s, t->grad(s, loss, b->leaf), planar, PG_T_F32, n * b->positions), PG_OK);
    for (int p = 0; p < b->positions; p++)
        for (int c = 0; c < n; c++) {
            out[p * n + c] = planar[c * b->positions + p];
            assert_true(isfinite(out[p * n + c]));
        }
}

/* Final scores of the rule as written in the definitions, in evidence units of one position. */
static bool exact_scores(const bench *b, const oracle_rule *rule, double *out)
{
    static int32_t q[VALUES];
    double scratch[CLASSES];
    int64_t score[ORACLE_CLASSES] = {0};
    pg_evidence_spec spec;
    b->defense->evidence(b->config, &spec);
    assert_true(pg_evidence_f32(&spec, b->logits, (size_t)b->positions, b->map.classes, scratch, q));
    oracle_map map = {b->map.height,       b->map.width,         b->map.classes,      b->map.wrap_rows,
                      b->map.wrap_columns, b->map.window.height, b->map.window.width, q};
    bool masked = oracle_scores(rule, &map, oracle_windows_of(&map), score);
    double unit = spec.tanh_cbn ? 20 : spec.feature == PG_FEATURE_LOGITS ? 1 : 4;
    double count = rule->kind == ORACLE_MEDIAN ? 1 : rule->kind == ORACLE_TRIM ? b->positions - 2 * rule->trim : b->positions;
    for (int c = 0; c < b->map.classes; c++)
        out[c] = (double)score[c] / RULE_UNIT * unit / count;
    return masked;
}

static const pg_map maps[] = {
    {1, 8, 3, false, true, {1, 3}},  {4, 5, 4, false, false, {2, 3}}, {5, 4, 3, true, true, {3, 2}},
    {3, 3, 12, true, false, {3, 1}}, {6, 6, 5, false, false, {6, 6}},
};
enum { MAPS = sizeof maps / sizeof *maps };

static void randomise(bench *b, uint32_t round, double spread)
{
    pg_rng rng = pg_rng_make(61, PG_STREAM_TEST, round);
    b->label = pg_rng_below(&rng, (uint32_t)b->map.classes);
    for (int i = 0; i < b->positions * b->map.classes; i++)
        b->logits[i] = (float)(pg_rng_normal(&rng) * spread + (i % b->map.classes == b->label ? spread : 0));
}

static void scores_are_those_of_the_rule(void **state)
{
    pg_scope *s = *state;
    double largest = 0;
    for (size_t r = 0; r < N_RULE_CASES; r++)
        for (uint32_t i = 0; i < 8 * MAPS; i++) {
            bench b;
            double want[ORACLE_CLASSES];
            float got[CLASSES];
            bench_open(&b, rule_cases[r].defense, rule_cases[r].options, maps[i % MAPS]);
            if (rule_cases[r].oracle.kind == ORACLE_TRIM && 2 * rule_cases[r].oracle.trim >= b.positions)
                continue;
            randomise(&b, (uint32_t)r * 100 + i, i % 3 == 0 ? 0.5 : i % 3 == 1 ? 5 : 50);
            exact_scores(&b, &rule_cases[r].oracle, want);
            scores_of(&b, s, 0, got);
            for (int c = 0; c < b.map.classes; c++) {
                double difference = fabs((double)got[c] - want[c]);
                largest = PG_MAX(difference, largest);
                if (difference > 1e-4)
                    fail_msg("%s, map %u, class %d: %g, expected %g", rule_cases[r].id, (unsigned)(i % MAPS), c, (double)got[c],
                             want[c]);
            }
            t->scope_clear(s);
        }
    print_message("largest difference from the integer scores: %g\n", largest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scores_are_those_of_the_rule, scope_setup, scope_teardown),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
