/* Unit tests of defenses/certifier: many jobs at once give what one at a time gives, in the caller's order; bad jobs and bad
 * values. Of defenses/invariance: windows that change a prediction, counted by hand. */
#include "defenses/invariance.h"
#include "tests/support/rules.h"

#include <limits.h>
#include <math.h>

#ifdef __SANITIZE_ADDRESS__
/* One test asks for more memory than there is. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
#endif

enum { HEIGHT = 5, WIDTH = 6, CLASSES = 4, VALUES = HEIGHT * WIDTH * CLASSES };

static void fill(uint32_t seed, int label, float *f, double *d)
{
    pg_rng rng = pg_rng_make(41, PG_STREAM_TEST, seed);
    for (int i = 0; i < VALUES; i++) {
        f[i] = (float)(6.0 * pg_rng_unit(&rng) - 2.0 + (i % CLASSES == label ? 3.0 : 0.0));
        d[i] = (double)f[i];
    }
}

static void expect_same(const pg_verdict *a, const pg_verdict *b)
{
    assert_int_equal(a->prediction, b->prediction);
    assert_int_equal(a->certified, b->certified);
    assert_int_equal(a->certified_published, b->certified_published);
    assert_int_equal(a->has_margin, b->has_margin);
    assert_int_equal(a->masked, b->masked);
    assert_int_equal(a->failure_case, b->failure_case);
    assert_int_equal(a->margin, b->margin);
    assert_int_equal(a->saturated, b->saturated);
    assert_int_equal(a->differs, b->differs);
}

static bool fits(const rule_case *rule) { return rule->oracle.kind != ORACLE_TRIM || 2 * rule->oracle.trim < HEIGHT * WIDTH; }

static void many_jobs_are_like_one(void **state)
{
    (void)state;
    enum { N = 3 * N_RULE_CASES };
    static _Alignas(16) unsigned char configs[N][PG_CONFIG_MAX];
    pg_job jobs[N];
    static const pg_window windows[] = {{2, 2}, {3, 1}, {1, 9}};
    for (size_t i = 0; i < N; i++) {
        /* the rules in a scattered order, each with every window and another delta */
        const rule_case *rule = &rule_cases[i * 7 % N_RULE_CASES];
        assert_true(fits(rule));
        jobs[i] = (pg_job){pg_defense_find(rule->defense), configs[i], windows[i / N_RULE_CASES], i % 2 ? 1000 : 0, 0};
        rule_configure(jobs[i].defense, rule->options, configs[i]);
    }
    pg_certifier *all;
    assert_int_equal(pg_certifier_new(jobs, N, HEIGHT, WIDTH, CLASSES, true, false, &all), PG_OK);
    int certified = 0;
    for (uint32_t image = 0; image < 20; image++) {
        float f[VALUES];
        double d[VALUES];
        pg_verdict together[N], wide[N], alone;
        int label = (int)(image % CLASSES);
        fill(image, label, f, d);
        pg_certifier_image_f32(all, f, label, together);
        pg_certifier_image_f64(all, d, label, wide);
        for (size_t i = 0; i < N; i++) {
            pg_certifier *one;
            assert_int_equal(pg_certifier_new(&jobs[i], 1, HEIGHT, WIDTH, CLASSES, true, false, &one), PG_OK);
            pg_certifier_image_f32(one, f, label, &alone);
            expect_same(&together[i], &alone);
            expect_same(&together[i], &wide[i]);
            certified += alone.certified;
            pg_certifier_free(one);
        }
    }
    assert_true(certified > 100);
    pg_certifier_free(all);
}

/* Windows that differ, deltas that differ and evidence that differs are kept disjoint. */
static void jobs_are_told_apart(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char configs[6][PG_CONFIG_MAX];
    const pg_defense *clip = pg_defense_find("clip");
    static const char *const options[] = {"clip=0:3", "clip=0:3", "clip=0:3", "clip=0:3", "clip=0:2", "clip=-1:3"};
    static const pg_window windows[] = {{1, 1}, {2, 1}, {1, 2}, {1, 1}, {1, 1}, {1, 1}};
    static const int64_t deltas[] = {0, 0, 0, 1 << 19, 0, 0};
    pg_job jobs[6];
    for (int i = 0; i < 6; i++) {
        rule_configure(clip, options[i], configs[i]);
        jobs[i] = (pg_job){clip, configs[i], windows[i], deltas[i], 0};
    }
    /* 2 x 2, two classes; label 0: 3 2 / 2 2, class 1: 0 1 / 0 -1 */
    static const float logits[8] = {3, 0, 2, 1, 2, 0, 2, -1};
    pg_certifier *certifier;
    pg_verdict v[6];
    assert_int_equal(pg_certifier_new(jobs, 6, 2, 2, 2, false, false, &certifier), PG_OK);
    pg_certifier_image_f32(certifier, logits, 0, v);
    static const double margins[] = {6 - 1 - 3, 4 - 1 - 6, 4 - 0 - 6, 6 - 1 - 3, 6 - 1 - 2, 6 - 0 - 1 - 3};
    static const bool certified[] = {true, false, false, false, true, true};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(v[i].margin, (int64_t)(margins[i] * PG_GRID));
        assert_int_equal(v[i].certified, certified[i]);
    }
    pg_certifier_free(certifier);
}

/* A window larger than the map is one that covers that axis. */
static void windows_are_cut_to_the_map(void **state)
{
    (void)state;
    static const int sizes[][2] = {{3, 7}, {7, 3}, {40, 2}};
    for (int i = 0; i < 3; i++) {
        int h = sizes[i][0], w = sizes[i][1];
        unsigned char config[PG_CONFIG_MAX];
        const pg_defense *mask = pg_defense_find("robust-masking");
        rule_configure(mask, "", config);
        const pg_job jobs[] = {{mask, config, {99, 1}, 0, 0},
                               {mask, config, {h, 1}, 0, 0},
                               {mask, config, {1, 99}, 0, 0},
                               {mask, config, {1, w}, 0, 0}};
        float logits[40 * 7 * 3];
        double doubles[40 * 7 * 3];
        pg_rng rng = pg_rng_make(42, PG_STREAM_TEST, (uint32_t)i);
        for (int j = 0; j < h * w * 3; j++)
            doubles[j] = (double)(logits[j] = (float)pg_rng_unit(&rng) + (j % 3 == 2 ? 0.9f : 0.0f));
        pg_certifier *certifier;
        pg_verdict v[4];
        assert_int_equal(pg_certifier_new(jobs, 4, h, w, 3, false, false, &certifier), PG_OK);
        pg_certifier_image_f32(certifier, logits, 2, v);
        assert_true(v[1].has_margin && v[3].has_margin && v[1].margin != v[3].margin);
        expect_same(&v[0], &v[1]);
        expect_same(&v[2], &v[3]);
        pg_certifier_free(certifier);
        /* the same, each on its own and as it is said in full */
        for (int j = 0; j < 4; j++) {
            pg_verdict alone;
            assert_int_equal(pg_certifier_new(&jobs[j], 1, h, w, 3, false, false, &certifier), PG_OK);
            pg_certifier_image_f32(certifier, logits, 2, &alone);
            expect_same(&v[j], &alone);
            pg_certifier_image_f64(certifier, doubles, 2, &alone);
            expect_same(&v[j], &alone);
            pg_certifier_free(certifier);
        }
    }
}

/* The two wraps are not confused. */
static void axes_wrap_on_their_own(void **state)
{
    (void)state;
    unsigned char config[PG_CONFIG_MAX];
    const pg_defense *mask = pg_defense_find("robust-masking");
    rule_configure(mask, "", config);
    /* evidence of the label at the left and right end of a row: one window on a ring, two otherwise */
    static const float row[8] = {4, 0, 0, 1, 0, 1, 4, 0};
    for (int wrap = 0; wrap < 4; wrap++)
        for (int turned = 0; turned < 2; turned++) {
            pg_job job = {mask, config, turned ? (pg_window){2, 1} : (pg_window){1, 2}, 0, 0};
            pg_certifier *certifier;
            pg_verdict v;
            assert_int_equal(pg_certifier_new(&job, 1, turned ? 4 : 1, turned ? 1 : 4, 2, wrap & 1, wrap & 2, &certifier),
                             PG_OK);
            pg_certifier_image_f32(certifier, row, 0, &v);
            bool ring = turned ? wrap & 1 : wrap & 2;
            /* the worst window: on the ring both ends of the label, which leaves 0 against 2; else one end: 4 - 4 against 1 */
            assert_int_equal(v.has_margin, true);
            assert_int_equal(v.margin, ring ? -2 * PG_GRID : -PG_GRID);
            pg_certifier_free(certifier);
        }
}

static void a_nan_refuses_every_job(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char configs[N_RULE_CASES][PG_CONFIG_MAX];
    pg_job jobs[N_RULE_CASES];
    for (size_t i = 0; i < N_RULE_CASES; i++) {
        jobs[i] = (pg_job){pg_defense_find(rule_cases[i].defense), configs[i], {1, 1}, 0, 0};
        rule_configure(jobs[i].defense, rule_cases[i].options, configs[i]);
    }
    pg_certifier *certifier;
    assert_int_equal(pg_certifier_new(jobs, N_RULE_CASES, HEIGHT, WIDTH, CLASSES, false, false, &certifier), PG_OK);
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        float f[VALUES];
        double d[VALUES];
        pg_verdict v[2][N_RULE_CASES];
        fill(0, 0, f, d);
        d[VALUES - 1] = bad[b];
        f[VALUES - 1] = (float)bad[b];
        memset(v, 0x55, sizeof v);
        pg_certifier_image_f32(certifier, f, 0, v[0]);
        pg_certifier_image_f64(certifier, d, 0, v[1]);
        static const pg_verdict refused = {.prediction = -1, .failure_case = -1};
        for (int i = 0; i < 2; i++)
            for (size_t j = 0; j < N_RULE_CASES; j++)
                expect_same(&v[i][j], &refused);
    }
    pg_certifier_free(certifier);
}

/* What rounding changes, for every rule: a map of one row and two classes, of which class 1 leads by less than the grid shows,
 * or by more than it holds. */
typedef struct bent_case {
    const char *defense, *options;
    double values[6][2];
    bool saturated, differs;
} bent_case;

static void what_the_grid_bends_is_told(void **state)
{
    (void)state;
    static const bent_case cases[] = {
        /* 0.4 units in all vanish; 0.6 round to one */
        {"mean", "", {{0, 0}, {0, 4e-7}}, false, true},
        {"mean", "", {{0, 0}, {0, 6e-7}}, false, false},
        {"mean", "", {{3000, 1500}, {0, 1400}}, true, true},
        {"mean", "", {{3, 1.5}, {0, 1.4}}, false, false},
        {"mean", "", {{1024, 0}}, false, false},
        {"mean", "", {{-1024.5, 0}}, true, false},
        {"clip", "clip=0:15", {{3000, 1500}, {0, 1400}}, false, false},
        {"clip", "clip=0:2000", {{3000, 1000}, {0, 1000}}, true, true},
        {"clip", "clip=0:15", {{0, 4e-7}}, false, true},
        {"cbn", "", {{3000, 3000}, {0, 0}}, false, false},
        {"cbn", "", {{0, 4e-6}}, false, true}, /* tanh(-1): 0.42 of the slope times 0.05 */
        {"ds", "", {{3000, 1000}, {0, 9}}, false, false},
        {"mean", "feature=confidence", {{3000, 3000}, {0, 1e-7}}, false, true},
        {"median", "", {{0, 4e-7}, {9, 9}, {-9, -9}}, false, true},
        {"median", "", {{1025, 1026}, {9000, 9000}, {-9, -9}}, true, true},
        {"trimmed-mean", "trim=1", {{0, 4e-7}, {9, 9}, {-9, -9}}, false, true},
        {"trimmed-mean", "trim=1", {{0, 0}, {2000, 9000}, {-9000, -9}}, true, false},
        {"robust-masking", "", {{2, 2}, {0, 4e-7}}, false, true},
        {"robust-masking", "", {{2000, 3000}, {1, 1}}, true, false},
        {"robust-masking", "threshold=0.5", {{1200, 1500}, {1100, 1400}}, true, true},
        {"robust-masking", "scope=predicted", {{2, 2}, {0, 4e-7}}, false, true},
        {"double-masking", "", {{0, 4e-7}, {0, 4e-7}, {0, 4e-7}, {0, 4e-7}}, false, true},
        {"double-masking", "", {{2000, 3000}, {2000, 3000}, {2000, 3000}, {2000, 3000}}, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bent_case *b = &cases[i];
        unsigned char config[PG_CONFIG_MAX];
        pg_job job = {pg_defense_find(b->defense), config, {1, 1}, 0, 0};
        rule_configure(job.defense, b->options, config);
        int width = 6;
        while (width > 1 && b->values[width - 1][0] == 0 && b->values[width - 1][1] == 0)
            width--;
        pg_certifier *certifier;
        pg_verdict v;
        assert_int_equal(pg_certifier_new(&job, 1, 1, width, 2, false, false, &certifier), PG_OK);
        pg_certifier_image_f64(certifier, b->values[0], 0, &v);
        if (v.saturated != b->saturated || v.differs != b->differs)
            fail_msg("case %zu, %s %s: saturated %d, differs %d", i, b->defense, b->options, v.saturated, v.differs);
        pg_certifier_free(certifier);
    }
}

static void no_jobs_are_fine(void **state)
{
    (void)state;
    pg_certifier *certifier;
    float logits[4] = {0};
    assert_int_equal(pg_certifier_new(NULL, 0, 2, 1, 2, false, false, &certifier), PG_OK);
    pg_certifier_image_f32(certifier, logits, 0, NULL);
    pg_certifier_free(certifier);
    pg_certifier_free(NULL);
}

static void expect_error(const pg_job *job, int height, int width, int classes, int code, const char *text)
{
    pg_certifier *certifier = (pg_certifier *)(uintptr_t)1;
    assert_int_equal(pg_certifier_new(job, 1, height, width, classes, false, false, &certifier), code);
    assert_null(certifier);
    if (!strstr(pg_error_message(), text))
        fail_msg("'%s' does not say '%s'", pg_error_message(), text);
}

static void bad_jobs_are_refused(void **state)
{
    (void)state;
    unsigned char config[PG_CONFIG_MAX];
    const pg_defense *trim = pg_defense_find("trimmed-mean");
    rule_configure(trim, "trim=4", config);
    pg_job good = {trim, config, {1, 1}, 0, 0}, job;
    pg_certifier *certifier;
    assert_int_equal(pg_certifier_new(&good, 1, 3, 3, 2, false, false, &certifier), PG_OK); /* 9 - 8 leaves one */
    pg_certifier_free(certifier);
    expect_error(&good, 2, 4, 2, PG_EINPUT, "trim=4 drops all of the 8 positions of a 2x4 map; at most 3");
    expect_error(&good, 0, 4, 2, PG_EINPUT, "0x4x2");
    expect_error(&good, 4, 0, 2, PG_EINPUT, "4x0x2");
    expect_error(&good, 4, 4, 0, PG_EINPUT, "4x4x0");
    expect_error(&good, 1 << 11, (1 << 11) + 1, 1, PG_EINPUT, "2048x2049 positions; at most 4194304");
    expect_error(&good, (1 << 11) + 1, 1 << 11, 1, PG_EINPUT, "2049x2048 positions; at most 4194304");
    expect_error(&good, 4, 4, (1 << 22) + 1, PG_EINPUT, "4194305 classes; at most 4194304");
    expect_error(&good, 1 << 11, 1 << 11, 1 << 22, PG_ENOMEM, "2048x2048x4194304");
    expect_error(&good, 1 << 10, 1 << 11, 1 << 22, PG_ENOMEM, "1024x2048x4194304");
    assert_int_equal(pg_certifier_new(NULL, 0, 1 << 11, 1 << 11, 1, false, false, &certifier), PG_OK);
    pg_certifier_free(certifier);
    assert_int_equal(pg_certifier_new(NULL, 0, 1, 1, 1 << 22, false, false, &certifier), PG_OK);
    pg_certifier_free(certifier);
    job = good, job.window.height = 0;
    expect_error(&job, 3, 3, 2, PG_EINPUT, "window of 0x1");
    job = good, job.window.width = 0;
    expect_error(&job, 3, 3, 2, PG_EINPUT, "window of 1x0");
    job = good, job.delta = -1;
    expect_error(&job, 3, 3, 2, PG_EINPUT, "delta is -1");
}

/* ---- Verdicts that no rule can mean ---- */

static pg_verdict said; /* by the rule below; INT_MAX as prediction: it says nothing */

static void say(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n,
                void *scratch, pg_verdict *out)
{
    (void)e, (void)window, (void)delta, (void)label, (void)configs, (void)scratch;
    for (size_t i = 0; i < n && said.prediction != INT_MAX; i++)
        out[i] = said;
}

static void impossible_verdicts_are_refused(void **state)
{
    (void)state;
    static const struct {
        pg_verdict verdict;
        const char *reason; /* NULL: fine. Of four classes, the label is 2 */
        bool no_proof;
    } cases[] = {
        {{.prediction = 2, .certified = true, .has_margin = true, .margin = 0, .failure_case = -1}, NULL, false},
        {{.prediction = 3, .failure_case = 4, .certified_published = true, .has_margin = true, .margin = -9}, NULL, false},
        {{.prediction = 2, .saturated = true, .differs = true, .decided = true, .failure_case = -1},
         NULL,
         false}, /* the grid did nothing */
        {{.prediction = 12, .certified = true, .failure_case = -1},
         "certified, though its prediction 12 is none of 4 classes",
         false},
        {{.prediction = 4, .failure_case = -1}, "its prediction 4 is none of 4 classes", false},
        {{.prediction = -3, .failure_case = -1}, "its prediction -3 is none of 4 classes", false},
        {{.prediction = -1, .failure_case = -1}, "no prediction, though every logit is a number", false},
        {{.prediction = INT_MAX}, "no prediction, though every logit is a number", false},
        {{.prediction = 1, .certified = true, .failure_case = -1},
         "certified, though its prediction is 1 and the label 2",
         false},
        {{.prediction = 2, .certified = true, .has_margin = true, .margin = -1, .failure_case = -1},
         "certified, though its margin is negative, -1",
         false},
        {{.prediction = 2, .certified = true, .failure_case = -1},
         "certified, though it states that its certificate is no proof",
         true},
        {{.prediction = 2, .failure_case = 5}, "failure case 5", false},
        {{.prediction = 2, .failure_case = -2}, "failure case -2", false},
    };
    unsigned char config[PG_CONFIG_MAX], worthless[PG_CONFIG_MAX];
    float f[VALUES];
    double d[VALUES];
    fill(3, 2, f, d);
    pg_defense rule = *pg_defense_find("robust-masking");
    rule.certify = say;
    rule_configure(&rule, "scope=per-class", config);
    rule_configure(&rule, "scope=predicted", worthless);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pg_job job = {.defense = &rule, .config = cases[i].no_proof ? worthless : config, .window = {2, 2}};
        pg_verdict v;
        pg_certifier *certifier;
        said = cases[i].verdict;
        assert_int_equal(pg_certifier_new(&job, 1, HEIGHT, WIDTH, CLASSES, false, false, &certifier), PG_OK);
        pg_certifier_image_f32(certifier, f, 2, &v);
        assert_int_equal(pg_verdict_check(&job, &v, 2, CLASSES), cases[i].reason ? PG_EINPUT : PG_OK);
        assert_false(v.saturated || (v.decided && v.differs));
        if (cases[i].reason && !strstr(pg_error_message(), cases[i].reason))
            fail_msg("'%s' does not say '%s'", pg_error_message(), cases[i].reason);
        f[0] = NAN; /* then the rule is not asked */
        pg_certifier_image_f32(certifier, f, 2, &v);
        assert_int_equal(v.prediction, -1);
        assert_int_equal(pg_verdict_check(&job, &v, 2, CLASSES), PG_OK);
        f[0] = 0;
        pg_certifier_free(certifier);
    }
}

/* What a rule says of itself. */
static pg_evidence_spec read_spec;
static int worth;
static size_t scratch_bytes;
static void say_spec(const void *config, pg_evidence_spec *out) { (void)config, *out = read_spec; }
static pg_certificate say_worth(const void *config) { return (void)config, (pg_certificate)worth; }
static size_t say_scratch(int h, int w, int c, size_t n) { return (void)h, (void)w, (void)c, (void)n, scratch_bytes; }

static void impossible_rules_are_refused(void **state)
{
    (void)state;
    static const pg_evidence_spec fine = {.clip_lo = -INFINITY, .clip_hi = INFINITY};
    static const struct {
        pg_evidence_spec spec;
        int worth;
        size_t scratch;
        const char *reason;
    } cases[] = {
        {{.feature = (pg_feature)99, .clip_hi = 1}, 0, 64, "feature type 99"},
        {{.temperature = -3, .clip_hi = 1}, 0, 64, "the temperature -3"},
        {{.temperature = NAN, .clip_hi = 1}, 0, 64, "the temperature"},
        {{.theta = NAN, .clip_hi = 1}, 0, 64, "theta"},
        {{.theta = 1.5, .clip_hi = 1}, 0, 64, "theta 1.5"},
        {{.clip_lo = 5, .clip_hi = -5}, 0, 64, "clipped from 5 to -5"},
        {{.clip_lo = NAN, .clip_hi = 1}, 0, 64, "clipped"},
        {{.clip_hi = 1}, 9, 64, "worth 9"},
        {{.clip_hi = 1}, -1, 64, "worth -1"},
        {{.clip_hi = 1}, 0, SIZE_MAX, "bytes of scratch memory"},
    };
    unsigned char config[PG_CONFIG_MAX];
    pg_defense rule = *pg_defense_find("mean");
    rule_configure(&rule, "", config);
    rule.evidence = say_spec;
    rule.certificate = say_worth;
    rule.scratch_size = say_scratch;
    read_spec = fine, worth = PG_CERTIFICATE_SOUND, scratch_bytes = 64;
    assert_int_equal(pg_rule_check(&rule, config, 3, 3, 2), PG_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pg_job job = {.defense = &rule, .config = config, .window = {1, 1}};
        read_spec = cases[i].spec, worth = cases[i].worth, scratch_bytes = cases[i].scratch;
        expect_error(&job, 3, 3, 2, PG_EINPUT, cases[i].reason);
    }
}

/* What the defense predicts without the window at (top, left), all of it put together anew. */
static int without(const pg_job *job, const pg_evidence *e, int top, int left, void *scratch)
{
    static int32_t q[VALUES];
    int height = PG_MIN(job->window.height, e->height), width = PG_MIN(job->window.width, e->width);
    for (int i = 0; i < e->height; i++)
        for (int j = 0; j < e->width; j++) {
            bool inside = (i - top + e->height) % e->height < height && (j - left + e->width) % e->width < width;
            for (int c = 0; c < CLASSES; c++) {
                int at = (i * e->width + j) * CLASSES + c;
                q[at] = inside ? 0 : e->q[at];
            }
        }
    pg_evidence rest = *e;
    rest.q = q;
    return job->defense->predict(&rest, job->window, job->config, scratch);
}

typedef struct masks_case {
    const char *defense, *options;
    pg_window window;
    bool wrap_rows, wrap_columns;
    int rows, columns; /* places along each axis */
    int height, width;
} masks_case;

/* One image by all windows; adds to the counts of the case. */
static void expect_masks(const masks_case *c, const pg_job *job, pg_invariance *v, uint32_t image, pg_masked *sums)
{
    static int32_t q[VALUES];
    static _Alignas(64) unsigned char scratch[1 << 16];
    double row[CLASSES], d[VALUES];
    float f[VALUES];
    int label = (int)(image % CLASSES);
    pg_masked hand = {0};
    pg_evidence_spec spec;
    job->defense->evidence(job->config, &spec);
    fill(image, image % 4 == 0 ? label : CLASSES, f, d); /* most of them nearly tied */
    pg_evidence e = {q, c->height, c->width, CLASSES, c->wrap_rows, c->wrap_columns, &spec, NULL};
    assert_true(pg_evidence_f32(&spec, f, HEIGHT * WIDTH, CLASSES, row, q));
    hand.prediction = job->defense->predict(&e, job->window, job->config, scratch);
    for (int top = 0; top < c->rows; top++)
        for (int left = 0; left < c->columns; left++) {
            int rest = without(job, &e, top, left, scratch);
            hand.wrong += rest != label;
            hand.changed += rest != hand.prediction;
        }
    for (int wide = 0; wide < 2; wide++) {
        pg_masked m = pg_invariance_image(v, wide ? (const void *)d : f, wide, label);
        assert_int_equal(m.prediction, hand.prediction);
        assert_int_equal(m.wrong, hand.wrong);
        assert_int_equal(m.changed, hand.changed);
    }
    sums->wrong += hand.wrong;
    sums->changed += hand.changed;
    f[3] = INFINITY;
    pg_masked m = pg_invariance_image(v, f, false, label);
    assert_int_equal(m.prediction, -1);
    assert_int_equal(m.wrong, c->rows * c->columns);
    assert_int_equal(m.changed, 0);
}

static void masks_are_counted(void **state)
{
    (void)state;
    static const char mask[] = "robust-masking";
    static const masks_case cases[] = {
        {"mean", "", {2, 3}, false, false, 4, 4, 5, 6},
        {"mean", "", {2, 3}, true, false, 5, 4, 5, 6},
        {"mean", "", {2, 3}, false, true, 5, 5, 6, 5},
        {"mean", "feature=confidence", {3, 2}, true, true, 5, 6, 5, 6},
        {mask, "feature=confidence", {2, 1}, true, false, 5, 6, 5, 6},
        {mask, "feature=confidence", {2, 1}, true, false, 6, 5, 6, 5},
        {mask, "feature=confidence", {1, 2}, false, true, 5, 6, 5, 6},
        {mask, "feature=confidence", {2, 3}, true, true, 6, 5, 6, 5},
        {"median", "", {4, 1}, false, false, 2, 6, 5, 6},
        {"mean", "", {9, 9}, true, true, 1, 1, 5, 6},
    };
    pg_masked sums = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const masks_case *c = &cases[i];
        static _Alignas(16) unsigned char config[PG_CONFIG_MAX];
        pg_job job = {pg_defense_find(c->defense), config, c->window, 0, 0};
        pg_invariance *v;
        rule_configure(job.defense, c->options, config);
        assert_int_equal(pg_invariance_new(&job, c->height, c->width, CLASSES, c->wrap_rows, c->wrap_columns, &v), PG_OK);
        assert_int_equal(pg_invariance_windows(v), c->rows * c->columns);
        for (uint32_t image = 0; image < 20; image++)
            expect_masks(c, &job, v, image, &sums);
        pg_invariance_free(v);
    }
    assert_true(sums.wrong > 100 && sums.changed > 100 && sums.wrong != sums.changed);
    pg_invariance_free(NULL);
}

/* Rules need memory for the whole map, however long it is. */
static void masks_of_long_maps(void **state)
{
    (void)state;
    enum { LONG = 600 };
    static float logits[2 * LONG];
    static _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_job job = {pg_defense_find("median"), config, {1, 1}, 0, 0};
    rule_configure(job.defense, "", config);
    for (int i = 0; i < LONG; i++)
        logits[2 * i + 1] = 1;
    for (int tall = 0; tall < 2; tall++) {
        pg_invariance *v;
        assert_int_equal(pg_invariance_new(&job, tall ? LONG : 1, tall ? 1 : LONG, 2, false, false, &v), PG_OK);
        pg_masked m = pg_invariance_image(v, logits, false, 1);
        assert_int_equal(m.prediction, 1);
        assert_int_equal(m.wrong, 0);
        assert_int_equal(m.changed, 0);
        pg_invariance_free(v);
    }
}

static void masks_of_bad_jobs_are_refused(void **state)
{
    (void)state;
    unsigned char config[PG_CONFIG_MAX];
    pg_job job = {pg_defense_find("trimmed-mean"), config, {1, 1}, 0, 0};
    pg_invariance *v;
    rule_configure(job.defense, "trim=4", config);
    assert_int_equal(pg_invariance_new(&job, 2, 4, 2, false, false, &v), PG_EINPUT);
    assert_null(v);
    assert_int_equal(pg_invariance_new(&job, 4, 2, 2, false, false, &v), PG_EINPUT);
    assert_null(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_jobs_are_like_one),
        cmocka_unit_test(jobs_are_told_apart),
        cmocka_unit_test(windows_are_cut_to_the_map),
        cmocka_unit_test(axes_wrap_on_their_own),
        cmocka_unit_test(a_nan_refuses_every_job),
        cmocka_unit_test(no_jobs_are_fine),
        cmocka_unit_test(bad_jobs_are_refused),
        cmocka_unit_test(impossible_verdicts_are_refused),
        cmocka_unit_test(impossible_rules_are_refused),
        cmocka_unit_test(what_the_grid_bends_is_told),
        cmocka_unit_test(masks_are_counted),
        cmocka_unit_test(masks_of_long_maps),
        cmocka_unit_test(masks_of_bad_jobs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
