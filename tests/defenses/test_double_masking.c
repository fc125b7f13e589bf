/* Double masking: what it certifies beside robust masking, by hand where the two differ, and masks that a stride makes fewer.
 * The rule itself is held against the definitions in test_rules.c and against all contents in test_bruteforce.c. */
#include "tests/support/rules.h"

typedef struct subject {
    const pg_defense *defense;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_evidence_spec spec;
} subject;

static subject subject_of(const char *name, const char *options)
{
    subject s = {.defense = pg_defense_find(name)};
    assert_non_null(s.defense);
    rule_configure(s.defense, options, s.config);
    s.defense->evidence(s.config, &s.spec);
    return s;
}

static pg_verdict certify(const subject *s, const oracle_map *m, int label)
{
    pg_evidence e = {m->q, m->height, m->width, m->classes, m->wrap_rows, m->wrap_columns, &s->spec, NULL};
    void *scratch = aligned_alloc(64, (s->defense->scratch_size(m->height, m->width, m->classes, 1) + 127) & ~(size_t)63);
    const void *config = s->config;
    pg_verdict v;
    s->defense->certify(&e, (pg_window){m->window_height, m->window_width}, 0, label, &config, 1, scratch, &v);
    free(scratch);
    return v;
}

/* The label has 3 of 8 at each of five positions, a rival 2: without any two positions the label leads by 3. Robust masking
 * takes two positions from the label and one from the rival, 9 to 8; with a sixth of the rival's it no longer certifies. */
static void a_rival_loses_what_the_second_mask_hides(void **state)
{
    (void)state;
    enum { U = RULE_UNIT / 8 };
    int32_t q[10] = {3 * U, 2 * U, 3 * U, 2 * U, 3 * U, 2 * U, 3 * U, 2 * U, 3 * U, 2 * U};
    oracle_map m = {1, 5, 2, false, false, 1, 1, q};
    subject both = subject_of("double-masking", "feature=confidence"), one = subject_of("robust-masking", "feature=confidence");
    pg_verdict v = certify(&both, &m, 0);
    assert_true(v.prediction == 0 && v.certified && v.has_margin && v.margin == 3 * U);
    v = certify(&one, &m, 0);
    assert_true(v.prediction == 0 && v.certified && v.margin == U);
    for (int i = 0; i < 5; i++)
        q[2 * i + 1] += U / 2;
    v = certify(&both, &m, 0);
    assert_true(v.certified && v.margin == 3 * U / 2);
    assert_false(certify(&one, &m, 0).certified);
}

/* Four positions, each with a mask of its own. The sum over all is the rival's, by one position that holds much of it: every
 * mask but the one that hides it gives the rival, and that one agrees with every second mask. */
static void a_mask_that_all_second_masks_agree_with_decides(void **state)
{
    (void)state;
    int32_t q[8] = {5, 0, 5, 0, 5, 0, 0, 100};
    oracle_map m = {1, 4, 2, false, false, 1, 1, q};
    subject s = subject_of("double-masking", "");
    pg_verdict v = certify(&s, &m, 0);
    assert_true(v.prediction == 0 && !v.certified && v.margin == 5 - 100);
    q[0] = 6, q[1] = 11; /* without the last and one of the other two it is a tie, which the lower class wins */
    assert_int_equal(certify(&s, &m, 0).prediction, 0);
    q[1] = 12;
    assert_int_equal(certify(&s, &m, 0).prediction, 1);
}

/* Evidence that is at least 0 and certified by robust masking without a threshold is certified here: it loses no more of the
 * label and no less of a rival. The reverse does not hold. */
static void more_is_certified_than_by_robust_masking(void **state)
{
    (void)state;
    subject both = subject_of("double-masking", "feature=confidence"), one = subject_of("robust-masking", "feature=confidence");
    int shared = 0, more = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        pg_rng rng = pg_rng_make(71, PG_STREAM_TEST, round);
        int32_t q[24 * 3];
        oracle_map m = {1 + (int)pg_rng_below(&rng, 4),
                        4 + (int)pg_rng_below(&rng, 3),
                        3,
                        round % 2,
                        round % 3 == 0,
                        1,
                        1 + (int)pg_rng_below(&rng, 2),
                        q};
        rule_fill(&rng, VALUES_UNIT, &(oracle_rule){.hi = RULE_UNIT}, m.height * m.width, 3, 1, q);
        pg_verdict a = certify(&one, &m, 1), b = certify(&both, &m, 1);
        assert_true(b.certified || !a.certified);
        if (a.certified)
            assert_true(b.margin >= a.margin);
        shared += a.certified;
        more += b.certified && !a.certified;
    }
    assert_true(shared > 500 && more > 100);
}

/* Every window lies under a mask, or an attacker there would go unseen: with all of the label's evidence outside one window,
 * and a rival's within it, the label is the prediction whichever window it is. */
static void masks_of_any_stride_hide_every_window(void **state)
{
    (void)state;
    int tried = 0;
    for (int stride = 1; stride <= 5; stride++)
        for (int wrap = 0; wrap < 4; wrap++)
            for (int tall = 1; tall <= 2; tall++)
                for (int wide = 1; wide <= 3; wide++) {
                    char options[32];
                    int32_t q[7 * 17 * 2];
                    oracle_map m = {7, 17, 2, wrap & 1, wrap >> 1, tall, wide, q};
                    snprintf(options, sizeof options, "stride=%d", stride);
                    subject s = subject_of("double-masking", options);
                    const oracle_windows *w = oracle_windows_of(&m);
                    for (int i = 0; i < w->count; i++, tried++) {
                        for (int p = 0; p < 7 * 17; p++) {
                            q[2 * p] = w->has[i][p] ? 0 : 1;
                            q[2 * p + 1] = w->has[i][p] ? 1000 : 0;
                        }
                        assert_int_equal(certify(&s, &m, 0).prediction, 0);
                    }
                }
    assert_true(tried > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rival_loses_what_the_second_mask_hides),
        cmocka_unit_test(a_mask_that_all_second_masks_agree_with_decides),
        cmocka_unit_test(more_is_certified_than_by_robust_masking),
        cmocka_unit_test(masks_of_any_stride_hide_every_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
