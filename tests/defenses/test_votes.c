/* Votes with measured locality: what is sure and what is possible, against the votes of logits that were moved; and
 * certificates of all rules that read votes, against every vote that a change can bring about, outside a window, with all
 * contents in it. */
#include "defenses/votes.h"

#include "defenses/certifier.h"
#include "tests/support/rules.h"

#include <math.h>

enum { CLASSES = 3, MOVES = 27 };

static double unit(pg_rng *rng, double most) { return most * (double)pg_rng_below(rng, 1u << 30) / (double)(1 << 30); }

/* Logits of which some lie as far apart as the change can just bridge, or one unit more or less. */
static void random_row(pg_rng *rng, int64_t delta, double *u)
{
    double d = (double)delta / PG_GRID;
    u[0] = unit(rng, 4) - 2;
    for (int c = 1; c < CLASSES; c++) {
        double near = u[0] + (pg_rng_below(rng, 2) ? 2 : -2) * d + ((double)pg_rng_below(rng, 7) - 3) / PG_GRID;
        u[c] = pg_rng_below(rng, 2) ? near : unit(rng, 4) - 2;
    }
}

/* Number `move` of all ways in which each logit falls, stays or grows by the whole change. */
static void moved_row(const double *u, int64_t delta, int move, double *out)
{
    for (int c = 0; c < CLASSES; c++, move /= 3)
        out[c] = u[c] + (double)(move % 3 - 1) * (double)delta / PG_GRID;
}

static void votes_row(const pg_evidence_spec *spec, const double *u, int32_t *q)
{
    double scratch[CLASSES];
    assert_true(pg_evidence_f64(spec, u, 1, CLASSES, scratch, q));
}

static pg_evidence_spec spec_of(double theta, double temperature)
{
    pg_evidence_spec spec = {.feature = PG_FEATURE_PREDICTION,
                             .theta = theta,
                             .temperature = temperature,
                             .clip_lo = -INFINITY,
                             .clip_hi = INFINITY};
    pg_evidence_normalize(&spec);
    return spec;
}

/* No change brings a vote below the worst one of the label or above that of another class; and some change reaches each of
 * them, but for the room of a few units (theta = 0), or of confidences that differ from theta in the tenth decimal. */
static void worst_votes_are_the_worst(void **state)
{
    (void)state;
    static const double kinds[][2] = {{0, 1}, {0.2, 1}, {0.5, 1}, {0.5, 0.05}, {0.9, 3}, {1, 1}};
    static const int64_t deltas[] = {1, 3, 100, 5000, 1 << 20, 1 << 23};
    double scratch[3 * CLASSES];
    long sure = 0, possible = 0, loose = 0, all = 0;
    assert_int_equal(pg_votes_scratch(CLASSES), 3 * CLASSES);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (uint32_t round = 0; round < 3000; round++) {
            pg_rng rng = pg_rng_make(31 + k, PG_STREAM_TEST, round);
            pg_evidence_spec spec = spec_of(kinds[k][0], kinds[k][1]);
            int64_t delta = deltas[round % 6];
            int label = (int)pg_rng_below(&rng, CLASSES);
            double u[CLASSES], after[CLASSES];
            int32_t worst[CLASSES], q[CLASSES], reached[CLASSES] = {[0] = label == 0, [1] = label == 1, [2] = label == 2};
            random_row(&rng, delta, u);
            pg_votes_worst_f64(&spec, delta, u, 1, CLASSES, label, scratch, worst);
            for (int move = 0; move < MOVES; move++) {
                moved_row(u, delta, move, after);
                votes_row(&spec, after, q);
                for (int c = 0; c < CLASSES; c++) {
                    if (c == label ? q[c] < worst[c] : q[c] > worst[c])
                        fail_msg("theta %g, delta %lld, label %d: class %d has %d, not within %d", kinds[k][0],
                                 (long long)delta, label, c, (int)q[c], (int)worst[c]);
                    reached[c] = c == label ? reached[c] && q[c] == PG_GRID : reached[c] || q[c] == PG_GRID;
                }
            }
            for (int c = 0; c < CLASSES; c++) {
                sure += c == label && worst[c] == PG_GRID;
                possible += c != label && worst[c] == PG_GRID;
                loose += (worst[c] == PG_GRID) != (reached[c] != 0);
                all++;
            }
        }
    print_message("%ld votes: %ld sure, %ld possible, %ld that no change tried here reaches\n", all, sure, possible, loose);
    assert_true(sure > 2000 && possible > 10000);
    assert_true(loose < all / 12);
}

/* The room around the bound, worked out by hand: a margin of 2 delta + 1 units is not sure, one of 2 delta + 2 is. */
static void the_bound_is_that_of_the_proof(void **state)
{
    (void)state;
    pg_evidence_spec spec = spec_of(0, 1);
    double scratch[3 * CLASSES];
    for (int margin = 0; margin < 12; margin++) {
        double u[CLASSES] = {0.5, 0.5 + (double)margin / PG_GRID, -9};
        int32_t q[CLASSES];
        pg_votes_worst_f64(&spec, 3, u, 1, CLASSES, 1, scratch, q);
        assert_int_equal(q[1], margin > 7 ? PG_GRID : 0);
        assert_int_equal(q[0], margin > 7 ? 0 : PG_GRID);
        assert_int_equal(q[2], 0);
    }
    /* theta 0.5 of two classes: a confidence of 0.5 is a margin of 0 */
    spec = spec_of(0.5, 1);
    for (int margin = 0; margin < 12; margin++) {
        double u[CLASSES] = {0, (double)margin / PG_GRID, -900};
        int32_t q[CLASSES];
        pg_votes_worst_f64(&spec, 3, u, 1, CLASSES, 1, scratch, q);
        assert_int_equal(q[1], margin > 6 ? PG_GRID : 0);
        assert_int_equal(q[0], margin > 6 ? 0 : PG_GRID);
    }
}

static void what_says_nothing_is_refused(void **state)
{
    (void)state;
    static const double kinds[][2] = {{0, 1}, {0.2, 1}, {0.2, 0.001}};
    double scratch[3 * CLASSES], one_scratch[3];
    for (size_t k = 0; k < 3; k++) {
        pg_evidence_spec spec = spec_of(kinds[k][0], kinds[k][1]);
        double u[CLASSES] = {1e300, 0, -1e300};
        int32_t q[CLASSES];
        pg_votes_worst_f64(&spec, (int64_t)1 << 31, u, 1, CLASSES, 0, scratch, q); /* any change */
        assert_true(q[0] == 0 && q[1] == PG_GRID && q[2] == PG_GRID);
        pg_votes_worst_f64(&spec, INT64_MAX, u, 1, CLASSES, 0, scratch, q);
        assert_true(q[0] == 0 && q[1] == PG_GRID && q[2] == PG_GRID);
        pg_votes_worst_f64(&spec, 1, u, 1, CLASSES, 0, scratch, q);
        assert_true(q[0] == PG_GRID && q[1] == 0 && q[2] == 0);
        pg_votes_worst_f64(&spec, 1, u, 1, 1, 0, one_scratch, q); /* no other class */
        assert_int_equal(q[0], PG_GRID);
    }
    /* logits that a change divided by a small temperature moves anywhere */
    pg_evidence_spec spec = spec_of(0.2, 0.001);
    double u[CLASSES] = {40, 0, 0};
    int32_t q[CLASSES];
    pg_votes_worst_f64(&spec, PG_GRID, u, 1, CLASSES, 0, scratch, q);
    assert_true(q[0] == 0 && q[1] == PG_GRID && q[2] == PG_GRID);
    pg_votes_worst_f64(&spec, PG_GRID / 10, u, 1, CLASSES, 0, scratch, q);
    assert_true(q[0] == PG_GRID && q[1] == 0 && q[2] == 0);
}

/* Votes behind a clip are the clipped ones, and floats are read as the doubles they are. */
static void clip_and_floats(void **state)
{
    (void)state;
    pg_evidence_spec spec = spec_of(0.2, 1);
    spec.clip_lo = 0.25;
    spec.clip_hi = 0.75;
    for (uint32_t round = 0; round < 500; round++) {
        pg_rng rng = pg_rng_make(32, PG_STREAM_TEST, round);
        double scratch[3 * CLASSES], u[2 * CLASSES];
        float f[2 * CLASSES];
        int32_t a[2 * CLASSES], b[2 * CLASSES];
        for (int i = 0; i < 2 * CLASSES; i++)
            u[i] = f[i] = (float)(unit(&rng, 4) - 2);
        pg_votes_worst_f64(&spec, 70000, u, 2, CLASSES, 1, scratch, a);
        pg_votes_worst_f32(&spec, 70000, f, 2, CLASSES, 1, scratch, b);
        assert_memory_equal(a, b, sizeof a);
        for (int i = 0; i < 2 * CLASSES; i++)
            assert_true(a[i] == PG_GRID / 4 || a[i] == PG_GRID / 4 * 3);
    }
}

/* ---- Certificates ---- */

enum { POSITIONS_MAX = 5, ROWS_MAX = 8 };

static const struct {
    const char *defense, *options;
    bool ties; /* the label may win a tie */
} rules[] = {{"ds", "theta=0", true},
             {"ds", "theta=0.3", true},
             {"ds", "rule=window theta=0", true},
             {"ds", "rule=window theta=0.45", true},
             {"mean", "feature=prediction", false},
             {"clip", "feature=prediction theta=0.3 clip=0:0.5", false},
             {"median", "feature=prediction", false},
             {"trimmed-mean", "feature=prediction trim=1", false},
             {"robust-masking", "feature=prediction", false},
             {"robust-masking", "feature=prediction theta=0.3 threshold=0.4", false},
             {"double-masking", "feature=prediction", false}};
enum { N_RULES = sizeof rules / sizeof *rules };

/* What a change can make of the votes of each position, and the map as an attack has it. */
typedef struct match {
    const pg_defense *defense;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_evidence_spec spec;
    int positions, window, label;
    int32_t rows[POSITIONS_MAX][ROWS_MAX][CLASSES];
    int n_rows[POSITIONS_MAX];
    int32_t now[POSITIONS_MAX * CLASSES];
    int32_t none, one;
    void *scratch;
} match;

static void reachable(match *b, const double *u, int64_t delta, int position)
{
    int32_t q[CLASSES];
    double after[CLASSES];
    b->n_rows[position] = 0;
    for (int move = 0; move < MOVES; move++) {
        moved_row(u, delta, move, after);
        votes_row(&b->spec, after, q);
        bool known = false;
        for (int i = 0; i < b->n_rows[position]; i++)
            known |= memcmp(b->rows[position][i], q, sizeof q) == 0;
        assert_true(known || b->n_rows[position] < ROWS_MAX);
        if (!known)
            memcpy(b->rows[position][b->n_rows[position]++], q, sizeof q);
    }
}

static bool flipped(const match *b)
{
    pg_evidence e = {b->now, 1, b->positions, CLASSES, false, true, &b->spec, NULL};
    return b->defense->predict(&e, (pg_window){1, b->window}, b->config, b->scratch) != b->label;
}

/* Position by position: all contents inside the window at `at`, all reachable votes outside. */
static bool broken_from(match *b, int at, int position)
{
    if (position == b->positions)
        return flipped(b);
    bool inside = (position - at + b->positions) % b->positions < b->window;
    int choices = inside ? 1 << CLASSES : b->n_rows[position];
    for (int i = 0; i < choices; i++) {
        for (int c = 0; c < CLASSES; c++)
            b->now[position * CLASSES + c] = inside ? (i >> c & 1 ? b->one : b->none) : b->rows[position][i][c];
        if (broken_from(b, at, position + 1))
            return true;
    }
    return false;
}

static bool broken(match *b)
{
    for (int at = 0; at < b->positions; at++)
        if (broken_from(b, at, 0))
            return true;
    return false;
}

static void certificates_survive_every_change(void **state)
{
    (void)state;
    for (size_t r = 0; r < N_RULES; r++) {
        long certified = 0, refused = 0, without = 0;
        for (uint32_t round = 0; round < 240; round++) {
            pg_rng rng = pg_rng_make(33, PG_STREAM_TEST, round);
            match b = {.defense = pg_defense_find(rules[r].defense), .positions = 4 + (int)round % 2, .window = 1};
            rule_configure(b.defense, rules[r].options, b.config);
            b.defense->evidence(b.config, &b.spec);
            int64_t lo, hi, delta = round % 3 ? 20000 : 300000;
            assert_true(pg_evidence_range(&b.spec, &lo, &hi));
            b.none = (int32_t)lo;
            b.one = (int32_t)hi;
            b.scratch = aligned_alloc(64, (b.defense->scratch_size(1, b.positions, CLASSES, 1) + 127) & ~(size_t)63);
            double u[POSITIONS_MAX * CLASSES];
            for (int p = 0; p < b.positions; p++) {
                random_row(&rng, delta, u + p * CLASSES);
                u[p * CLASSES + (int)(round % CLASSES)] += pg_rng_below(&rng, 8) ? 3 : 0;
                reachable(&b, u + p * CLASSES, delta, p);
            }
            pg_job jobs[] = {{b.defense, b.config, {1, 1}, 0, 0}, {b.defense, b.config, {1, 1}, PG_GRID, delta}};
            pg_certifier *c;
            pg_verdict v[2];
            assert_int_equal(pg_certifier_new(jobs, 2, 1, b.positions, CLASSES, false, true, &c), PG_OK);
            b.label = (int)(round % CLASSES);
            pg_certifier_image_f64(c, u, b.label, v);
            pg_certifier_free(c);
            assert_int_equal(v[0].prediction, v[1].prediction);
            assert_int_equal(v[0].has_margin, v[1].has_margin);
            assert_int_equal(v[0].margin, v[1].margin);
            assert_true(v[0].certified || !v[1].certified);
            certified += v[1].certified;
            without += v[0].certified;
            refused += v[0].certified && !v[1].certified;
            if (v[1].certified && broken(&b))
                fail_msg("%s %s, round %u: certified, and broken", rules[r].defense, rules[r].options, (unsigned)round);
            free(b.scratch);
        }
        print_message("%s %s: %ld of %ld certificates survive\n", rules[r].defense, rules[r].options, certified, without);
        assert_true(certified > 5);
        assert_true(refused > 5);
    }
}

/* A rule that does not say that it is monotone has every vote count as one that may flip; so has a job that does not know how
 * far logits move. */
static void others_have_every_vote_flip(void **state)
{
    (void)state;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_defense other = *pg_defense_find("ds");
    rule_configure(&other, "theta=0", config);
    other.monotone = false;
    double u[5 * CLASSES] = {0};
    for (int p = 0; p < 5; p++)
        u[p * CLASSES] = 5;
    pg_job jobs[] = {
        {&other, config, {1, 1}, PG_GRID, 3},
        {pg_defense_find("ds"), config, {1, 1}, PG_GRID, 0},
        {pg_defense_find("ds"), config, {1, 1}, PG_GRID, 3},
        {pg_defense_find("ds"), config, {1, 1}, PG_GRID, 5 << 19}, /* 2.5: the margin of 5 is not more than twice that */
        {pg_defense_find("ds"), config, {1, 1}, PG_GRID, (5 << 19) - 1}};
    static const bool want[] = {false, false, true, false, true};
    pg_verdict v[5];
    pg_certifier *c;
    assert_int_equal(pg_certifier_new(jobs, 5, 1, 5, CLASSES, false, true, &c), PG_OK);
    pg_certifier_image_f64(c, u, 0, v);
    pg_certifier_free(c);
    for (int i = 0; i < 5; i++)
        assert_int_equal(v[i].certified, want[i]);
    jobs[0].logit_delta = -1;
    assert_int_equal(pg_certifier_new(jobs, 1, 1, 5, CLASSES, false, true, &c), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "delta is -1"));
}

static void squashed_evidence(const void *config, pg_evidence_spec *out)
{
    pg_defense_find("ds")->evidence(config, out);
    out->tanh_cbn = true;
}

static void flat_evidence(const void *config, pg_evidence_spec *out)
{
    pg_defense_find("ds")->evidence(config, out);
    out->temperature = 1e15;
}

/* Rules of others may ask for votes of what is not the logits themselves: their tanh, or a softmax so flat that logits far
 * apart are equal in double. The margin of a logit then says nothing of the vote. */
static void votes_of_no_logits_are_not_sure(void **state)
{
    (void)state;
    static const struct {
        void (*evidence)(const void *config, pg_evidence_spec *out);
        double behind, ahead,
            change;  /* logits of the classes 0 and 1; what makes the two equal is below half of their margin */
        double move; /* of class 0, and of class 1 */
        double move_ahead;
    } cases[] = {{squashed_evidence, 390, 400, 4.5, 4.5, 4.5}, {flat_evidence, 0, 0.1, 0.04, 0.04, -0.04}};
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    for (size_t i = 0; i < 2; i++) {
        pg_defense d = *pg_defense_find("ds");
        rule_configure(&d, "theta=0", config);
        d.evidence = cases[i].evidence;
        double u[5 * CLASSES], after[5 * CLASSES];
        for (int p = 0; p < 5; p++) {
            u[p * CLASSES] = cases[i].behind;
            u[p * CLASSES + 1] = cases[i].ahead;
            u[p * CLASSES + 2] = after[p * CLASSES + 2] = -10;
            after[p * CLASSES] = cases[i].behind + cases[i].move;
            after[p * CLASSES + 1] = cases[i].ahead + cases[i].move_ahead;
        }
        pg_job jobs[] = {{&d, config, {1, 1}, 0, 0}, {&d, config, {1, 1}, PG_GRID, (int64_t)(cases[i].change * PG_GRID) + 1}};
        pg_verdict v[2];
        pg_certifier *c;
        assert_int_equal(pg_certifier_new(jobs, 2, 1, 5, CLASSES, false, true, &c), PG_OK);
        pg_certifier_image_f64(c, after, 1, v);
        assert_int_equal(v[0].prediction, 0);
        pg_certifier_image_f64(c, u, 1, v);
        assert_true(v[0].prediction == 1 && v[0].certified && !v[1].certified);
        pg_certifier_free(c);
    }
}

/* A tie that the label wins by its place stays one where votes are sure. */
static void ties_stay(void **state)
{
    (void)state;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    rule_configure(pg_defense_find("ds"), "theta=0", config);
    double u[3 * CLASSES] = {5, 0, 0, 5, 0, 0, 0, 0, 0};
    u[8] = 5; /* two votes for 0, one for 2; a window of one */
    pg_job job = {pg_defense_find("ds"), config, {1, 1}, PG_GRID, 7};
    pg_verdict v;
    pg_certifier *c;
    assert_int_equal(pg_certifier_new(&job, 1, 1, 3, CLASSES, false, false, &c), PG_OK);
    pg_certifier_image_f64(c, u, 0, &v);
    assert_true(v.prediction == 0 && v.has_margin && v.margin == -PG_GRID && !v.certified);
    u[6] = 5, u[8] = 0;
    u[3] = 0, u[5] = 0; /* position 1 is undecided now: votes 0 : 2, and one that is open */
    pg_certifier_image_f64(c, u, 0, &v);
    assert_false(v.certified);
    double even[3 * CLASSES] = {5, 0, 0, 5, 0, 0, 5, 5, 0}; /* the third may be of 0 or of 1: 2 : 1 in the worst case */
    pg_certifier_image_f64(c, even, 0, &v);
    assert_false(v.certified);
    pg_certifier_free(c);
    double four[4 * CLASSES] = {5, 0, 0, 5, 0, 0, 5, 0, 0, 0, 0, 5}; /* 3 : 1 of four, window 1: 2 : 2 */
    assert_int_equal(pg_certifier_new(&job, 1, 1, 4, CLASSES, false, false, &c), PG_OK);
    pg_certifier_image_f64(c, four, 0, &v);
    assert_true(v.certified && v.margin == 0);
    four[6] = 0, four[8] = 5; /* 2 : 2 for class 2 */
    four[0] = 0, four[2] = 5, four[9] = 5, four[11] = 0;
    pg_certifier_image_f64(c, four, 0, &v);
    assert_false(v.certified);
    pg_certifier_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worst_votes_are_the_worst),         cmocka_unit_test(the_bound_is_that_of_the_proof),
        cmocka_unit_test(what_says_nothing_is_refused),      cmocka_unit_test(clip_and_floats),
        cmocka_unit_test(certificates_survive_every_change), cmocka_unit_test(others_have_every_vote_flip),
        cmocka_unit_test(votes_of_no_logits_are_not_sure),   cmocka_unit_test(ties_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
