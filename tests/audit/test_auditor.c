/* The auditor of features on random local logits: no certificate of ours breaks, every refused image of an exact rule does, and
 * what an unsound defense, a lying hook or a wrong claim about locality says is found out. Also contents and pool. */
/* Loads libtorch. */
#include "harness/audit/auditor.h"
#include "harness/audit/contents.h"
#include "harness/base/thread_pool.h"
#include "tests/support/rules.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

enum { VALUES = 1024 };

typedef struct shape {
    int height, width, classes;
    bool wrap_rows, wrap_columns;
    pg_window window;
} shape;

static const shape shapes[] = {
    {1, 8, 3, false, true, {1, 2}},  {4, 4, 3, false, false, {2, 2}}, {3, 5, 2, true, true, {1, 2}},
    {1, 7, 4, false, false, {1, 3}}, {2, 4, 3, false, true, {2, 2}},  {1, 6, 2, false, false, {1, 9}},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Local logits in eighths, so that ties happen; the label is helped in three of four images. */
static void fill(uint32_t image, const shape *s, int label, float *logits)
{
    pg_rng rng = pg_rng_make(5, PG_STREAM_TEST, image);
    uint32_t help = pg_rng_below(&rng, 4), wide = 1 + pg_rng_below(&rng, 24);
    for (int i = 0; i < s->height * s->width * s->classes; i++) {
        logits[i] = (float)pg_rng_below(&rng, wide) / 8;
        if (i % s->classes == label && pg_rng_below(&rng, 4) < help)
            logits[i] += (float)wide / 6;
    }
}

static int open_auditor(const pg_job *job, const pg_audit_effort *effort, const shape *s, pg_auditor **out)
{
    return pg_auditor_new(job, effort, s->height, s->width, s->classes, s->wrap_rows, s->wrap_columns, out);
}

typedef struct tally {
    int claimed, broken, refused, unbroken, published, published_broken;
} tally;

static void add(const pg_audited *a, tally *t)
{
    t->claimed += a->claimed;
    t->broken += a->claimed && a->broken;
    t->refused += a->correct && !a->claimed;
    t->unbroken += a->correct && !a->claimed && !a->broken;
    t->published += a->verdict.certified_published;
    t->published_broken += a->verdict.certified_published && a->broken;
}

static tally audit(const pg_job *job, const pg_audit_effort *effort, const shape *s, uint32_t images)
{
    tally t = {0};
    pg_auditor *auditor;
    float logits[VALUES];
    assert_int_equal(open_auditor(job, effort, s, &auditor), PG_OK);
    for (uint32_t i = 0; i < images; i++) {
        pg_audited found;
        int label = (int)(i % (uint32_t)s->classes);
        fill(i, s, label, logits);
        if (pg_auditor_image(auditor, logits, i, label, true, &found) != PG_OK)
            fail_msg("%s", pg_error_message());
        add(&found, &t);
    }
    pg_auditor_free(auditor);
    return t;
}

static bool fits(const rule_case *rule, const shape *s)
{
    return rule->oracle.kind != ORACLE_TRIM || 2 * rule->oracle.trim < s->height * s->width;
}

static void our_rules_hold(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 64};
    tally all = {0};
    for (size_t r = 0; r < N_RULE_CASES; r++)
        for (size_t i = 0; i < N_SHAPES; i++) {
            _Alignas(16) unsigned char config[PG_CONFIG_MAX];
            const pg_defense *d = pg_defense_find(rule_cases[r].defense);
            rule_configure(d, rule_cases[r].options, config);
            if (!fits(&rule_cases[r], &shapes[i]))
                continue;
            pg_job job = {.defense = d, .config = config, .window = shapes[i].window};
            tally t = audit(&job, &effort, &shapes[i], 120);
            bool exact = d->certificate(config) == PG_CERTIFICATE_EXACT;
            if (t.broken || (exact && t.unbroken))
                fail_msg("%s, shape %zu: %d of %d certificates broke, %d of %d refused images did not", rule_cases[r].id, i,
                         t.broken, t.claimed, t.unbroken, t.refused);
            if (rule_cases[r].oracle.kind == ORACLE_PREDICTED && strcmp(rule_cases[r].id, "predicted-0") == 0)
                assert_int_equal(t.published_broken, t.published);
            all.claimed += t.claimed;
            all.refused += exact ? t.refused : 0;
            all.published += t.published;
            all.published_broken += t.published_broken;
        }
    print_message("%d certificates held, %d refused images of exact rules broke, %d of %d published certificates broke\n",
                  all.claimed, all.refused, all.published_broken, all.published);
    assert_true(all.claimed > 1000);
    assert_true(all.refused > 1000);
    assert_true(all.published_broken > 100);
}

/* ---- What must be found out ---- */

static void certify_all(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n,
                        void *scratch, pg_verdict *out)
{
    (void)e, (void)window, (void)delta, (void)configs, (void)n, (void)scratch;
    *out = (pg_verdict){.prediction = label, .certified = true, .failure_case = -1};
}

static void certify_none(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n,
                         void *scratch, pg_verdict *out)
{
    (void)e, (void)window, (void)delta, (void)configs, (void)n, (void)scratch;
    *out = (pg_verdict){.prediction = label, .failure_case = -1};
}

/* The real rule, deaf to locality. */
static void certify_deaf(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n,
                         void *scratch, pg_verdict *out)
{
    (void)delta;
    pg_defense_find("clip")->certify(e, window, 0, label, configs, n, scratch, out);
}

/* The real rule, with what moves on one side only. */
static void certify_half(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n,
                         void *scratch, pg_verdict *out)
{
    pg_defense_find("clip")->certify(e, window, delta / 2, label, configs, n, scratch, out);
}

static bool lie_above(const pg_evidence *e, pg_window window, const void *config, const pg_worst *which, void *scratch,
                      int32_t *contents)
{
    (void)config, (void)scratch;
    for (int i = 0; i < window.height * window.width * e->classes; i++)
        contents[i] = PG_GRID + 1;
    return which->variant == 0;
}

static bool lie_between(const pg_evidence *e, pg_window window, const void *config, const pg_worst *which, void *scratch,
                        int32_t *contents)
{
    bool more = lie_above(e, window, config, which, scratch, contents);
    for (int i = 0; i < window.height * window.width * e->classes; i++)
        contents[i] = PG_GRID / 2;
    return more;
}

static void an_unsound_defense_is_caught(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 16};
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_defense d = *pg_defense_find("clip");
    rule_configure(&d, "clip=0:1", config);
    d.certify = certify_all;
    pg_job job = {.defense = &d, .config = config, .window = {1, 2}};
    tally t = audit(&job, &effort, &shapes[0], 200);
    assert_int_equal(t.claimed, 200);
    assert_true(t.broken > 150); /* also images that are wrong without a patch */
}

static void a_certificate_deaf_to_locality_is_caught(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 16};
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_defense deaf = *pg_defense_find("clip");
    rule_configure(&deaf, "clip=0:1", config);
    pg_job job = {.defense = &deaf, .config = config, .window = {1, 1}, .delta = PG_GRID / 16};
    tally ours = audit(&job, &effort, &shapes[0], 400);
    deaf.certify = certify_deaf;
    tally theirs = audit(&job, &effort, &shapes[0], 400);
    assert_true(ours.claimed > 20);
    assert_int_equal(ours.broken, 0);
    assert_int_equal(ours.claimed, theirs.claimed); /* those without locality are claims as well */
    assert_true(theirs.broken > 0);
    deaf.certify = certify_half;
    assert_true(audit(&job, &effort, &shapes[0], 400).broken > 0);
}

/* Logits near the end of the grid: refused by rules without bounds, though no contents outweigh them. That is told, and is no
 * false claim of a rule that is exact; a rule that refuses what it could certify still is one. */
static void the_end_of_the_grid_is_told(void **state)
{
    (void)state;
    static const char *const rules[][2] = {{"mean", ""}, {"clip", "clip=-inf:inf"}, {"trimmed-mean", "trim=0"}};
    const pg_audit_effort effort = {.random = 16};
    const shape s = {1, 9, 3, false, true, {1, 1}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        _Alignas(16) unsigned char config[PG_CONFIG_MAX];
        float logits[27];
        pg_audited found;
        pg_auditor *auditor;
        const pg_defense *d = pg_defense_find(rules[i][0]);
        rule_configure(d, rules[i][1], config);
        assert_int_equal(d->certificate(config), PG_CERTIFICATE_EXACT);
        pg_job job = {.defense = d, .config = config, .window = s.window};
        for (int p = 0; p < 27; p++)
            logits[p] = p % 3 == 1 ? 900 : -900;
        assert_int_equal(open_auditor(&job, &effort, &s, &auditor), PG_OK);
        if (pg_auditor_image(auditor, logits, 3, 1, true, &found) != PG_OK)
            fail_msg("%s", pg_error_message());
        assert_true(found.correct && !found.claimed && !found.broken && found.at_end);
        for (int p = 0; p < 27; p++)
            logits[p] /= 1000; /* the same with room: broken */
        assert_int_equal(pg_auditor_image(auditor, logits, 3, 1, true, &found), PG_OK);
        assert_true(found.correct && !found.claimed && found.broken && !found.at_end);
        pg_auditor_free(auditor);
    }
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_defense timid = *pg_defense_find("median");
    rule_configure(&timid, "", config);
    timid.certify = certify_none;
    pg_job job = {.defense = &timid, .config = config, .window = s.window};
    float logits[27];
    pg_audited found;
    pg_auditor *auditor;
    for (int p = 0; p < 27; p++)
        logits[p] = p % 3 == 1 ? 900 : -900;
    assert_int_equal(open_auditor(&job, &effort, &s, &auditor), PG_OK);
    assert_int_equal(pg_auditor_image(auditor, logits, 3, 1, true, &found), PG_OK);
    assert_true(found.correct && !found.claimed && !found.broken && !found.at_end);
    for (int p = 0; p < 27; p++)
        logits[p] = p % 3 != 1 ? 100.0F : p / 3 % 2 == 1 ? 100.01F : 101.0F; /* a small margin of large logits is no excuse */
    assert_int_equal(pg_auditor_image(auditor, logits, 3, 1, true, &found), PG_OK);
    assert_true(found.correct && !found.claimed && !found.broken && !found.at_end);
    pg_auditor_free(auditor);
}

/* Double masking of logits near the end of the grid: what is refused breaks, or is told to want larger values. */
static void the_end_of_the_grid_and_masks(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 16};
    const shape s = {1, 6, 3, false, true, {1, 1}};
    static const float values[] = {1000, 1000, 900, -1000, -1000, -900};
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    const pg_defense *d = pg_defense_find("double-masking");
    rule_configure(d, "", config);
    pg_job job = {.defense = d, .config = config, .window = s.window};
    pg_auditor *auditor;
    long at_end = 0, refused = 0;
    assert_int_equal(open_auditor(&job, &effort, &s, &auditor), PG_OK);
    for (uint32_t round = 0; round < 30000; round++) {
        pg_rng rng = pg_rng_make(6, PG_STREAM_TEST, round);
        float logits[18];
        pg_audited found;
        for (int i = 0; i < 18; i++)
            logits[i] = values[pg_rng_below(&rng, 6)];
        if (pg_auditor_image(auditor, logits, round, 1, true, &found) != PG_OK)
            fail_msg("%s", pg_error_message());
        assert_false(found.claimed && found.broken);
        assert_true(!found.correct || found.claimed || found.broken || found.at_end);
        at_end += found.at_end;
        refused += found.correct && !found.claimed;
    }
    pg_auditor_free(auditor);
    print_message("%ld of %ld refused maps do not break for want of larger values\n", at_end, refused);
    assert_true(refused > 1000 && at_end < refused);
}

static int64_t vote_delta;

/* The real rule over votes, with half of what logits move. */
static void certify_half_sure(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs,
                              size_t n, void *scratch, pg_verdict *out)
{
    (void)delta; /* the clean votes certify themselves: deaf to the change of logits */
    pg_defense_find("ds")->certify(e, window, 0, label, configs, n, scratch, out);
    out->certified = out->prediction == label && out->has_margin && out->margin > -vote_delta;
    out->has_margin = false; /* a negative one would tell */
}

/* Votes with measured locality: the worst votes outside, and the worst contents inside. */
static void sure_votes_hold(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 16};
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    static const char *const options[] = {"theta=0", "theta=0.3", "rule=window theta=0", "rule=window theta=0.3"};
    tally all = {0};
    for (size_t i = 0; i < 4; i++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const pg_defense *ds = pg_defense_find("ds");
            rule_configure(ds, options[i], config);
            pg_job job = {.defense = ds, .config = config, .window = {1, 1}, .delta = PG_GRID, .logit_delta = PG_GRID / 32};
            tally t = audit(&job, &effort, &shapes[s], 400);
            assert_int_equal(t.broken, 0);
            all.claimed += t.claimed;
        }
    print_message("%d certificates of votes held\n", all.claimed);
    assert_true(all.claimed > 400);
    /* one that certifies what a single vote more would break */
    pg_defense liar = *pg_defense_find("ds");
    rule_configure(&liar, "theta=0", config);
    liar.certify = certify_half_sure;
    vote_delta = PG_GRID + 1;
    pg_job job = {.defense = &liar, .config = config, .window = {1, 1}, .delta = PG_GRID, .logit_delta = PG_GRID / 32};
    assert_true(audit(&job, &effort, &shapes[0], 400).broken > 0);
}

static void hooks_are_not_believed(void **state)
{
    (void)state;
    static const struct {
        const char *defense, *options;
        bool (*worst)(const pg_evidence *, pg_window, const void *, const pg_worst *, void *, int32_t *);
    } lies[] = {{"clip", "clip=0:1", lie_above}, {"ds", "", lie_above}, {"ds", "", lie_between}};
    const pg_audit_effort effort = {0};
    for (size_t i = 0; i < 3; i++) {
        _Alignas(16) unsigned char config[PG_CONFIG_MAX];
        float logits[VALUES] = {0};
        pg_defense d = *pg_defense_find(lies[i].defense);
        pg_audited found;
        pg_auditor *auditor;
        rule_configure(&d, lies[i].options, config);
        d.worst = lies[i].worst;
        for (int p = 0; p < 8; p++)
            logits[p * 3] = 9;
        pg_job job = {.defense = &d, .config = config, .window = {1, 1}};
        assert_int_equal(open_auditor(&job, &effort, &shapes[0], &auditor), PG_OK);
        assert_int_equal(pg_auditor_image(auditor, logits, 0, 0, true, &found), PG_EINPUT);
        assert_non_null(strstr(pg_error_message(), "outside its evidence's range"));
        pg_auditor_free(auditor);
    }
}

static void what_broke_is_told(void **state)
{
    (void)state;
    const pg_audit_effort effort = {0};
    const shape s = {1, 3, 3, false, false, {1, 1}};
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    const pg_defense *d = pg_defense_find("clip");
    /* label 0: the window at 0 brings class 1 to a tie, 1 against 1, which the label wins by its place */
    const float logits[] = {1, 1, 0, 1, 0, 0, 0, 0, 0};
    pg_audited found;
    pg_auditor *auditor;
    rule_configure(d, "clip=0:1", config);
    pg_job job = {.defense = d, .config = config, .window = s.window};
    assert_int_equal(open_auditor(&job, &effort, &s, &auditor), PG_OK);
    assert_int_equal(pg_auditor_image(auditor, logits, 7, 0, true, &found), PG_OK);
    assert_true(found.correct && found.broken && !found.claimed && !found.sampled);
    assert_int_equal(found.how.rival, 1);
    assert_int_equal(found.how.left, 0);
    assert_int_equal(found.how.prediction, 0);
    assert_true(found.how.tie);
    static const int32_t contents[] = {0, PG_GRID, 0};
    assert_memory_equal(found.how.contents, contents, sizeof contents);
    /* label 2: the same window leaves nothing to it */
    const float others[] = {1, 0, 1, 0, 0, 0, 0, 0, .5f};
    assert_int_equal(pg_auditor_image(auditor, others, 8, 2, true, &found), PG_OK);
    assert_true(found.correct && found.broken && !found.how.tie);
    assert_int_equal(found.how.rival, 0);
    assert_int_equal(found.how.prediction, 0);
    assert_int_equal(found.how.left, 0);
    static const int32_t flip[] = {PG_GRID, 0, 0};
    assert_memory_equal(found.how.contents, flip, sizeof flip);
    pg_auditor_free(auditor);
}

static void a_nan_breaks_nothing_that_was_claimed(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 8};
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    float logits[VALUES] = {[5] = NAN};
    const pg_defense *d = pg_defense_find("clip");
    pg_audited found;
    pg_auditor *auditor;
    rule_configure(d, "", config);
    pg_job job = {.defense = d, .config = config, .window = {1, 1}};
    assert_int_equal(open_auditor(&job, &effort, &shapes[0], &auditor), PG_OK);
    assert_int_equal(pg_auditor_image(auditor, logits, 0, 0, true, &found), PG_OK);
    assert_int_equal(found.verdict.prediction, -1);
    assert_true(found.broken && !found.claimed && !found.correct);
    pg_auditor_free(auditor);
}

static void effort_is_limited_and_repeats(void **state)
{
    (void)state;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    const pg_defense *d = pg_defense_find("robust-masking");
    const shape s = {6, 6, 5, false, false, {2, 2}};
    float logits[VALUES] = {0};
    pg_auditor *auditor;
    rule_configure(d, "", config);
    for (int p = 0; p < 36; p++)
        logits[p * 5 + 1] = 1;
    static const struct {
        pg_audit_effort effort;
        bool sampled;
    } trials[] = {
        {{.tries = 7, .random = 3}, true}, {{.tries = 7, .random = 3, .seed = 1}, true}, {{.tries = 100, .random = 3}, false}};
    int64_t pairs = 25 * 4;
    pg_job job = {.defense = d, .config = config, .window = s.window};
    for (size_t i = 0; i < 3; i++) {
        pg_audited first, second;
        assert_int_equal(open_auditor(&job, &trials[i].effort, &s, &auditor), PG_OK);
        assert_int_equal(pg_auditor_image(auditor, logits, 3, 1, true, &first), PG_OK);
        assert_int_equal(pg_auditor_image(auditor, logits, 4, 1, true, &second), PG_OK);
        assert_int_equal(pg_auditor_image(auditor, logits, 3, 1, true, &second), PG_OK);
        assert_true(first.claimed && !first.broken);
        assert_int_equal(first.sampled, trials[i].sampled);
        assert_int_equal(first.contents, second.contents);
        assert_true(trials[i].sampled ? first.contents <= 7 * 8 + 3 : first.contents >= pairs + 3);
        pg_auditor_free(auditor);
    }
}

static void bad_jobs_are_refused(void **state)
{
    (void)state;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    const pg_audit_effort effort = {0};
    const pg_defense *trim = pg_defense_find("trimmed-mean");
    pg_auditor *auditor;
    rule_configure(trim, "trim=4", config);
    pg_job job = {.defense = trim, .config = config, .window = {1, 1}};
    assert_int_equal(pg_auditor_new(&job, &effort, 1, 8, 2, false, false, &auditor), PG_EINPUT);
    assert_null(auditor);
    job.window.width = 0;
    assert_int_equal(pg_auditor_new(&job, &effort, 1, 9, 2, false, false, &auditor), PG_EINPUT);
    pg_auditor_free(NULL);
}

/* ---- Contents ---- */

static void contents_stay_in_range(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        pg_rng rng = pg_rng_make(9, PG_STREAM_TEST, round);
        const shape *s = &shapes[round % N_SHAPES];
        int32_t q[VALUES], contents[VALUES];
        bool votes = round % 3 == 0;
        int64_t lo = round % 2 ? 0 : -3 * PG_GRID, hi = round % 5 ? PG_GRID : PG_EVIDENCE_MAX;
        for (int i = 0; i < s->height * s->width * s->classes; i++)
            q[i] = (int32_t)(votes ? (pg_rng_below(&rng, 2) ? hi : lo) : lo + (int64_t)pg_rng_below(&rng, PG_GRID));
        pg_evidence_spec spec = {.feature = PG_FEATURE_LOGITS, .clip_lo = -INFINITY, .clip_hi = INFINITY};
        pg_evidence e = {q, s->height, s->width, s->classes, s->wrap_rows, s->wrap_columns, &spec, NULL};
        pg_windows windows = pg_windows_of(&e, s->window);
        pg_contents_case c = {.evidence = &e, .windows = &windows, .label = 0, .rival = 1, .lo = lo, .hi = hi, .votes = votes};
        c.top = (int)pg_rng_below(&rng, (uint32_t)windows.rows.places);
        c.left = (int)pg_rng_below(&rng, (uint32_t)windows.columns.places);
        int variants = pg_contents_variants(&windows);
        for (int v = 0; v < variants + 40; v++) {
            if (v < variants)
                pg_contents_fill(&c, v, contents);
            else
                pg_contents_random(&c, &rng, contents);
            for (int i = 0; i < windows.k * s->classes; i++)
                if (contents[i] < lo || contents[i] > hi || (votes && contents[i] != lo && contents[i] != hi))
                    fail_msg("round %u, variant %d: %d outside %lld to %lld", round, v, contents[i], (long long)lo,
                             (long long)hi);
        }
        pg_contents_fill(&c, 0, contents);
        for (int i = 0; i < windows.k * s->classes; i++)
            assert_int_equal(contents[i], i % s->classes == 1 ? hi : lo);
    }
}

/* What the variants are meant to reach, on a map of 1 x 6 with a window of 3 at 2. */
static void contents_do_what_they_say(void **state)
{
    (void)state;
    static const int32_t q[] = {90, 10, 80, 20, 70, 30, 60, 40, 50, 50, 40, 60}; /* [6][2] */
    pg_evidence_spec spec = {.feature = PG_FEATURE_LOGITS, .clip_lo = 0, .clip_hi = INFINITY};
    pg_evidence e = {q, 1, 6, 2, false, false, &spec, NULL};
    pg_windows windows = pg_windows_of(&e, (pg_window){1, 3});
    pg_contents_case c = {.evidence = &e, .windows = &windows, .label = 0, .rival = 1, .left = 2, .hi = 1000};
    const int64_t own = 90 + 80 + 40, other = 10 + 20 + 60; /* outside the window */
    bool below = false, emptied = false, share = false, added[2][2] = {{false}};
    for (int v = 0; v < pg_contents_variants(&windows); v++) {
        int32_t in[6];
        pg_contents_fill(&c, v, in);
        int64_t label = own + in[0] + in[2] + in[4], rival = other + in[1] + in[3] + in[5];
        below |= label - rival == 1 && in[0] == 70 && in[2] == 60 && in[4] == 50;
        emptied |= label - rival == 1 && label == own;
        share |= rival == 180 && label == own; /* half of it inside */
        added[0][0] |= rival == 180 && in[0] == 1000 && in[2] == 0 && in[4] == 0;
        added[0][1] |= rival == 180 && in[0] == 1000 && in[2] == 1000 && in[4] == 0;
        added[1][0] |= rival == other + 3000 && in[0] == 0 && in[2] == 0 && in[4] == 1000;
        added[1][1] |= rival == other + 3000 && in[0] == 0 && in[2] == 1000 && in[4] == 1000;
    }
    assert_true(below && emptied && share && added[0][0] && added[0][1] && added[1][0] && added[1][1]);
}

/* ---- Pool ---- */

typedef struct loop {
    atomic_int calls[500];
    atomic_int workers;
    int fail_at;
} loop;

static int step(void *context, int worker, int64_t i)
{
    loop *l = context;
    atomic_fetch_add(&l->calls[i], 1);
    atomic_fetch_or(&l->workers, 1 << worker);
    return i == l->fail_at ? pg_fail(PG_EINPUT, "step %lld fails", (long long)i) : PG_OK;
}

static void a_thread_pool_shares_loops(void **state)
{
    (void)state;
    pg_thread_pool *pool;
    assert_int_equal(pg_thread_pool_new(3, &pool), PG_OK);
    for (int round = 0; round < 50; round++) {
        loop l = {.fail_at = round % 5 == 4 ? 250 : -1};
        int64_t n = round % 7 == 6 ? 0 : 500;
        int code = pg_thread_pool_run(pool, n, step, &l), calls = 0;
        for (int i = 0; i < 500; i++) {
            assert_true(atomic_load(&l.calls[i]) <= 1);
            calls += atomic_load(&l.calls[i]);
        }
        bool fails = l.fail_at >= 0 && n > 0;
        assert_int_equal(code, fails ? PG_EINPUT : PG_OK);
        assert_true(fails ? calls > 250 && calls <= 500 : calls == n);
        if (fails)
            assert_string_equal(pg_error_message(), "step 250 fails");
    }
    pg_thread_pool_free(pool);
    pg_thread_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_rules_hold),
        cmocka_unit_test(an_unsound_defense_is_caught),
        cmocka_unit_test(a_certificate_deaf_to_locality_is_caught),
        cmocka_unit_test(the_end_of_the_grid_is_told),
        cmocka_unit_test(the_end_of_the_grid_and_masks),
        cmocka_unit_test(sure_votes_hold),
        cmocka_unit_test(hooks_are_not_believed),
        cmocka_unit_test(what_broke_is_told),
        cmocka_unit_test(a_nan_breaks_nothing_that_was_claimed),
        cmocka_unit_test(effort_is_limited_and_repeats),
        cmocka_unit_test(bad_jobs_are_refused),
        cmocka_unit_test(contents_stay_in_range),
        cmocka_unit_test(contents_do_what_they_say),
        cmocka_unit_test(a_thread_pool_shares_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
