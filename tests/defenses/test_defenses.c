/* Unit tests of the defenses' descriptors: names, defaults, options that normalize, options that are refused, what each
 * certificate is worth, and the few verdicts that a random test would miss. */
#include "defenses/windows.h"
#include "tests/support/rules.h"

#include <math.h>

/* Options that are wrong: the message names the defense, and says what would be right. */
static void expect_refused(const char *name, const char *pair, const char *text)
{
    const pg_defense *defense = pg_defense_find(name);
    unsigned char config[PG_CONFIG_MAX];
    assert_non_null(defense);
    assert_int_equal(pg_module_configure(&defense->module, "defense", &pair, 1, config), PG_EINPUT);
    if (!strstr(pg_error_message(), name) || !strstr(pg_error_message(), text))
        fail_msg("%s %s: '%s' does not say '%s'", name, pair, pg_error_message(), text);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    expect_refused("robust-masking", "clip=-1:5", "clip=-1:5: the lower bound has to be 0");
    expect_refused("robust-masking", "clip=1:5", "lower bound has to be 0");
    expect_refused("robust-masking", "clip=-inf:inf", "lower bound has to be 0");
    expect_refused("robust-masking", "threshold=1.1", "from 0 to 1");
    expect_refused("robust-masking", "threshold=0.1234567", "6 decimals");
    expect_refused("robust-masking", "scope=perclass", "per-class");
    expect_refused("robust-masking", "treshold=0.1", "threshold");
    expect_refused("ds", "feature=logits", "prediction");
    expect_refused("ds", "theta=2", "from 0 to 1");
    expect_refused("ds", "rule=windows", "window");
    expect_refused("clip", "clip=5:1", "LO <= HI");
    expect_refused("clip", "clip=auto", "LO:HI");
    expect_refused("trimmed-mean", "trim=-1", "from 0");
    expect_refused("double-masking", "stride=0", "from 1");
    expect_refused("mean", "feature=votes", "confidence");
    expect_refused("cbn", "feature=logits", "feature");
}

static void expect_incomplete(const pg_defense *d, const char *hook)
{
    assert_int_equal(pg_defense_check(d), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), hook));
    assert_int_equal(pg_defense_add(d), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), hook)); /* and not that there is no room */
}

/* Hooks that are missing, and hooks that are there and never called. */
static void incomplete_descriptors_are_refused(void **state)
{
    (void)state;
    const pg_defense *features = pg_defense_find("robust-masking"), *plain = pg_defense_find("cbn"),
                     *images = pg_defense_find("patchcleanser");
    pg_defense d;
    assert_true(features->masks && features->surrogate && !plain->masks && images->level == PG_LEVEL_IMAGE);
    for (int i = 0; pg_defenses[i]; i++)
        assert_int_equal(pg_defense_check(pg_defenses[i]), PG_OK);
    d = *features, d.certificate = NULL, expect_incomplete(&d, "certificate");
    d = *features, d.predict = NULL, expect_incomplete(&d, "predict");
    d = *features, d.evidence = NULL, expect_incomplete(&d, "evidence");
    d = *features, d.certify = NULL, expect_incomplete(&d, "certify");
    d = *features, d.scratch_size = NULL, expect_incomplete(&d, "scratch_size");
    d = *features, d.masked_map = images->masked_map, expect_incomplete(&d, "masked_map, at image level");
    d = *features, d.mask_image = images->mask_image, expect_incomplete(&d, "mask_image, at image level");
    d = *images, d.masked_map = NULL, expect_incomplete(&d, "masked_map, at image level");
    d = *images, d.mask_image = NULL, expect_incomplete(&d, "mask_image, at image level");
    d = *features, d.masked = NULL, expect_incomplete(&d, "masked, with masks");
    d = *plain, d.masked = features->masked, expect_incomplete(&d, "masked, with masks");
    d = *features, d.surrogate = NULL, expect_incomplete(&d, "surrogate_version");
    d = *features, d.surrogate_version = 0, expect_incomplete(&d, "surrogate_version");
    d = *features, d.surrogate_version = 1, assert_int_equal(pg_defense_check(&d), PG_OK);
}

/* The evidence that options normalize on. */
static void expect_evidence(const char *name, const char *options, pg_feature feature, double theta, double lo, double hi,
                            bool tanh_cbn)
{
    const pg_defense *defense = pg_defense_find(name);
    unsigned char config[PG_CONFIG_MAX];
    pg_evidence_spec spec;
    assert_non_null(defense);
    rule_configure(defense, options, config);
    defense->evidence(config, &spec);
    assert_int_equal(spec.feature, feature);
    assert_true(spec.theta == theta && spec.clip_lo == lo && spec.clip_hi == hi);
    assert_int_equal(spec.tanh_cbn, tanh_cbn);
}

static void options_normalize(void **state)
{
    (void)state;
    const double inf = INFINITY;
    expect_evidence("mean", "", PG_FEATURE_LOGITS, 0, -inf, inf, false);
    expect_evidence("mean", "feature=confidence theta=0.3", PG_FEATURE_CONFIDENCE, 0, 0, 1, false);
    expect_evidence("mean", "feature=prediction theta=0.3", PG_FEATURE_PREDICTION, 0.3, 0, 1, false);
    expect_evidence("clip", "", PG_FEATURE_LOGITS, 0, 0, 15, false);
    expect_evidence("clip", "feature=prediction theta=0.5 clip=-3:0.5", PG_FEATURE_PREDICTION, 0.5, 0, 0.5, false);
    expect_evidence("cbn", "", PG_FEATURE_LOGITS, 0, -inf, inf, true);
    expect_evidence("ds", "", PG_FEATURE_PREDICTION, 0.2, 0, 1, false);
    expect_evidence("median", "feature=prediction theta=0.4", PG_FEATURE_PREDICTION, 0.4, 0, 1, false);
    expect_evidence("trimmed-mean", "theta=0.4", PG_FEATURE_LOGITS, 0, -inf, inf, false);
    expect_evidence("double-masking", "theta=0.4", PG_FEATURE_LOGITS, 0, -inf, inf, false);
    expect_evidence("double-masking", "feature=confidence", PG_FEATURE_CONFIDENCE, 0, 0, 1, false);
    expect_evidence("robust-masking", "", PG_FEATURE_LOGITS, 0, 0, inf, false);
    expect_evidence("robust-masking", "feature=confidence", PG_FEATURE_CONFIDENCE, 0, 0, 1, false);
    expect_evidence("robust-masking", "feature=confidence clip=0:inf", PG_FEATURE_CONFIDENCE, 0, 0, 1, false);
    expect_evidence("robust-masking", "feature=prediction theta=0.2", PG_FEATURE_PREDICTION, 0.2, 0, 1, false);
    expect_evidence("robust-masking", "clip=0:7.5 theta=0.2", PG_FEATURE_LOGITS, 0, 0, 7.5, false);
}

/* Options without effect do not make another configuration: they are set to one value, also as recorded. */
static void equal_classifiers_have_equal_options(void **state)
{
    (void)state;
    static const char *const pairs[][3] = {
        {"mean", "", "theta=0.3"},
        {"median", "", "theta=0.3"},
        {"trimmed-mean", "", "theta=0.3"},
        {"double-masking", "", "theta=0.3"},
        {"clip", "feature=confidence clip=0:1", "feature=confidence clip=-4:15 theta=0.1"},
        {"robust-masking", "", "clip=0:inf theta=0.9"},
        {"robust-masking", "feature=confidence", "feature=confidence clip=0:2"},
        {"robust-masking", "feature=confidence", "feature=confidence temperature=1"},
        {"robust-masking", "feature=prediction", "feature=prediction temperature=0.5"},
        {"clip", "", "temperature=0.5"},
        {"median", "", "temperature=0.5"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const pg_defense *defense = pg_defense_find(pairs[i][0]);
        _Alignas(16) unsigned char configs[2][PG_CONFIG_MAX];
        pg_buf text[2];
        for (int j = 0; j < 2; j++) {
            rule_configure(defense, pairs[i][1 + j], configs[j]);
            pg_buf_init(&text[j]);
            pg_options_canonical(defense->module.options, configs[j], "", true, &text[j]);
        }
        assert_string_equal(text[0].data, text[1].data);
        pg_buf_release(&text[0]);
        pg_buf_release(&text[1]);
    }
}

static void certificates_say_what_they_are_worth(void **state)
{
    (void)state;
    static const struct {
        const char *name, *options;
        pg_certificate worth;
    } cases[] = {
        {"mean", "", PG_CERTIFICATE_EXACT},
        {"clip", "", PG_CERTIFICATE_EXACT},
        {"cbn", "", PG_CERTIFICATE_EXACT},
        {"ds", "", PG_CERTIFICATE_SOUND},
        {"ds", "rule=window", PG_CERTIFICATE_EXACT},
        {"median", "", PG_CERTIFICATE_EXACT},
        {"trimmed-mean", "", PG_CERTIFICATE_EXACT},
        {"trimmed-mean", "feature=confidence", PG_CERTIFICATE_SOUND},
        {"double-masking", "", PG_CERTIFICATE_EXACT},
        {"double-masking", "stride=2", PG_CERTIFICATE_SOUND},
        {"double-masking", "feature=confidence", PG_CERTIFICATE_SOUND},
        {"robust-masking", "", PG_CERTIFICATE_EXACT},
        {"robust-masking", "threshold=0.000001", PG_CERTIFICATE_SOUND},
        {"robust-masking", "scope=predicted", PG_CERTIFICATE_NONE},
        {"robust-masking", "scope=predicted threshold=0.5", PG_CERTIFICATE_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pg_defense *defense = pg_defense_find(cases[i].name);
        unsigned char config[PG_CONFIG_MAX];
        rule_configure(defense, cases[i].options, config);
        assert_int_equal(defense->certificate(config), cases[i].worth);
        assert_int_equal(defense->masks, strcmp(cases[i].name, "robust-masking") == 0);
    }
}

/* As many masks as are worth a second one for each. */
static void maps_with_too_many_masks_are_refused(void **state)
{
    (void)state;
    const pg_defense *defense = pg_defense_find("double-masking");
    unsigned char config[PG_CONFIG_MAX];
    rule_configure(defense, "", config);
    assert_int_equal(defense->check(config, 64, 64, 1000), PG_OK);
    assert_int_equal(defense->check(config, 64, 65, 10), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "stride=1 makes up to 4160 masks on a map of 64x65"));
    assert_non_null(strstr(pg_error_message(), "right would be stride=2 or more"));
    assert_int_equal(defense->check(config, 2, 8192, 10),
                     PG_EINPUT); /* every second position of one row and of 8192 columns: 4096 */
    assert_non_null(strstr(pg_error_message(), "right would be stride=2 or more"));
    rule_configure(defense, "stride=2", config);
    assert_int_equal(defense->check(config, 64, 65, 10), PG_OK);
    assert_int_equal(defense->check(config, 1, 8192, 10), PG_OK);
    assert_int_equal(defense->check(config, 1, 8193, 10), PG_EINPUT);
}

static void unknown_defenses_get_the_nearest_name(void **state)
{
    (void)state;
    assert_null(pg_defense_find("robust-maskin"));
    assert_non_null(strstr(pg_error_message(), "did you mean 'robust-masking'?"));
    assert_null(pg_defense_find(""));
    for (int i = 0; pg_defenses[i]; i++)
        assert_ptr_equal(pg_defense_find(pg_defenses[i]->module.name), pg_defenses[i]);
}

/* One image by one rule. */
static pg_verdict certify_leaky(const char *name, const char *options, int height, int width, int classes, pg_window window,
                                int64_t delta, int label, const int32_t *q)
{
    const pg_defense *defense = pg_defense_find(name);
    unsigned char config[PG_CONFIG_MAX];
    const void *pointer = config;
    pg_evidence_spec spec;
    pg_verdict verdict;
    rule_configure(defense, options, config);
    defense->evidence(config, &spec);
    pg_evidence evidence = {q, height, width, classes, false, false, &spec, NULL};
    void *scratch = aligned_alloc(64, (defense->scratch_size(height, width, classes, 1) + 127) & ~(size_t)63);
    defense->certify(&evidence, window, delta, label, &pointer, 1, scratch, &verdict);
    free(scratch);
    return verdict;
}

static pg_verdict certify(const char *name, const char *options, int height, int width, int classes, pg_window window,
                          int label, const int32_t *q)
{
    return certify_leaky(name, options, height, width, classes, window, 0, label, q);
}

/* The toy example of PatchGuard's appendix E: eight votes to three, windows of three: votes refuses, window certifies. */
static void where_votes_lie_matters(void **state)
{
    (void)state;
    int32_t q[22];
    for (int i = 0; i < 11; i++) {
        q[2 * i] = i % 3 < 2 ? PG_GRID : 0;
        q[2 * i + 1] = i % 3 < 2 ? 0 : PG_GRID;
    }
    pg_verdict votes = certify("ds", "", 1, 11, 2, (pg_window){1, 3}, 0, q);
    pg_verdict window = certify("ds", "rule=window", 1, 11, 2, (pg_window){1, 3}, 0, q);
    assert_int_equal(votes.margin, -PG_GRID);
    assert_false(votes.certified);
    assert_int_equal(window.margin, PG_GRID);
    assert_true(window.certified);
}

/* A tie is certified for the lower class index only. */
static void ds_certifies_ties(void **state)
{
    (void)state;
    static const char *const options[] = {"rule=votes", "rule=window"};
    for (int i = 0; i < 2; i++)
        for (int label = 0; label < 2; label++) {
            int32_t q[8] = {0}; /* 1 x 4: three votes for the label */
            for (int p = 0; p < 4; p++)
                q[2 * p + label] = i == 0 && p > 1 ? 0 : p == 3 ? 0 : PG_GRID;
            pg_verdict v = certify("ds", options[i], 1, 4, 2, (pg_window){1, 1}, label, q);
            assert_int_equal(v.prediction, label);
            assert_int_equal(v.margin, i == 0 ? 0 : PG_GRID);
            assert_int_equal(v.certified, i == 1 || label == 0);
        }
}

/* With a finite clip and a leak of 1 unit at three positions the label needs t_y - B - 3 > t_c + 3 + c_h: a tie at b = 6. */
static void locality_with_a_clip_has_no_ties(void **state)
{
    (void)state;
    for (int b = 5; b <= 8; b++) {
        int32_t q[8] = {PG_GRID, 0, PG_GRID, 0, PG_GRID, 0, b, 0};
        const char *options = "feature=confidence threshold=1";
        assert_true(certify("robust-masking", options, 1, 4, 2, (pg_window){1, 1}, 0, q).certified);
        pg_verdict v = certify_leaky("robust-masking", options, 1, 4, 2, (pg_window){1, 1}, 1, 0, q);
        assert_int_equal(v.certified, b > 6);
    }
}

/* Products with a threshold need more than 64 bits: 10,000 saturated positions. */
static void thresholds_are_exact_on_large_maps(void **state)
{
    (void)state;
    enum { SIDE = 100, N = SIDE * SIDE };
    int32_t *q = malloc(2 * N * sizeof *q);
    for (int i = 0; i < N; i++) {
        q[2 * i] = PG_EVIDENCE_MAX;
        q[2 * i + 1] = i == 0;
    }
    /* One window holds exactly 0.0001 of the total: not more. */
    pg_verdict v = certify("robust-masking", "threshold=0.0001", SIDE, SIDE, 2, (pg_window){1, 1}, 0, q);
    assert_int_equal(v.prediction, 0);
    assert_true(v.masked); /* class 1, all of whose evidence is in one window */
    assert_true(v.certified);
    q[1] = 0;
    v = certify("robust-masking", "threshold=0.0001", SIDE, SIDE, 2, (pg_window){1, 1}, 0, q);
    assert_false(v.masked);
    assert_true(v.certified);
    /* rest 9999 units; another window holds 1/9999 of it, more than T, and is masked */
    assert_int_equal(v.margin, (int64_t)9998 * PG_EVIDENCE_MAX);
    v = certify("robust-masking", "threshold=0.000099", SIDE, SIDE, 2, (pg_window){1, 1}, 0, q);
    assert_true(v.masked);
    v = certify("robust-masking", "scope=predicted threshold=0.0001", SIDE, SIDE, 2, (pg_window){1, 1}, 0, q);
    assert_false(v.masked);
    assert_int_equal(v.failure_case, 4);
    v = certify("robust-masking", "scope=predicted threshold=0.000099", SIDE, SIDE, 2, (pg_window){1, 1}, 0, q);
    assert_true(v.masked);
    for (int i = 0; i < N; i++)
        q[2 * i + 1] = PG_EVIDENCE_MAX;
    /* equal totals: margin 0 in case I, 0 < 1 * rest needs no 64-bit product to wrap */
    v = certify("robust-masking", "scope=predicted threshold=1", SIDE, SIDE, 2, (pg_window){1, 1}, 0, q);
    assert_int_equal(v.failure_case, 1);
    v = certify("robust-masking", "threshold=0.999999", SIDE, SIDE, 2, (pg_window){1, 1}, 0, q);
    assert_true(v.has_margin);
    /* ub = rest / 1e-6 is beyond 64 bits: the margin saturates */
    assert_true(v.margin == INT64_MIN);
    assert_false(v.certified);
    free(q);
}

/* The score of class c without the window that the hook names. */
static int64_t score_without_mask(const pg_defense *defense, const pg_evidence *e, pg_window window, const void *config, int c,
                                  void *scratch, bool *any)
{
    int top = -1, left = -1;
    int64_t score = 0;
    bool masked = defense->masked(e, window, config, c, scratch, &top, &left);
    for (int p = 0; p < e->height * e->width; p++) {
        int row = p / e->width - top, column = p % e->width - left;
        row += e->wrap_rows && row < 0 ? e->height : 0;
        column += e->wrap_columns && column < 0 ? e->width : 0;
        bool out = masked && row >= 0 && row < window.height && column >= 0 && column < window.width;
        score += out ? 0 : e->q[p * e->classes + c];
    }
    *any |= masked;
    return score;
}

/* What is left of each class when the named windows are taken out is what the rule predicts by. */
static void named_masks_are_those_of_the_prediction(void **state)
{
    (void)state;
    static const char *const options[] = {"", "threshold=0.3", "scope=predicted", "scope=predicted threshold=0.3"};
    const pg_defense *defense = pg_defense_find("robust-masking");
    static const int shapes[][2] = {{3, 5}, {9, 2}, {2, 9}};
    int seen[2] = {0};
    for (uint32_t i = 0; i < 1200; i++) {
        int height = shapes[i / 16 % 3][0], width = shapes[i / 16 % 3][1];
        pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, i);
        _Alignas(16) unsigned char config[PG_CONFIG_MAX];
        pg_evidence_spec spec;
        int32_t q[18 * 4];
        pg_evidence e = {
            .q = q, .height = height, .width = width, .classes = 4, .wrap_rows = i & 4, .wrap_columns = i & 8, .spec = &spec};
        pg_window window = {1 + (int)pg_rng_below(&rng, (uint32_t)height), 1 + (int)pg_rng_below(&rng, (uint32_t)width - 1)};
        rule_configure(defense, options[i % 4], config);
        defense->evidence(config, &spec);
        rule_fill(&rng, VALUES_POSITIVE, &rule_cases[0].oracle, height * width, 4, 1, q);
        const void *pointer = config;
        void *scratch = aligned_alloc(64, (defense->scratch_size(height, width, 4, 1) + 127) & ~(size_t)63);
        int64_t scores[4];
        bool any = false;
        pg_verdict verdict;
        for (int c = 0; c < 4; c++)
            scores[c] = score_without_mask(defense, &e, window, config, c, scratch, &any);
        defense->certify(&e, window, 0, 1, &pointer, 1, scratch, &verdict);
        free(scratch);
        assert_int_equal(pg_argmax(scores, 4), verdict.prediction);
        assert_int_equal(any, verdict.masked);
        seen[any]++;
    }
    assert_true(seen[0] > 20 && seen[1] > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(incomplete_descriptors_are_refused),
        cmocka_unit_test(options_normalize),
        cmocka_unit_test(equal_classifiers_have_equal_options),
        cmocka_unit_test(certificates_say_what_they_are_worth),
        cmocka_unit_test(maps_with_too_many_masks_are_refused),
        cmocka_unit_test(unknown_defenses_get_the_nearest_name),
        cmocka_unit_test(where_votes_lie_matters),
        cmocka_unit_test(ds_certifies_ties),
        cmocka_unit_test(locality_with_a_clip_has_no_ties),
        cmocka_unit_test(thresholds_are_exact_on_large_maps),
        cmocka_unit_test(named_masks_are_those_of_the_prediction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
