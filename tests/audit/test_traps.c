/* Certificates that have been published and are wrong (defenses/CERTIFICATES.md, section 17), each with a smallest tensor that
 * a certifier with that one mistake passes.
 *
 * For each: the mistaken certifier certifies, an audit that shares the mistake breaks nothing, our rule refuses, and our audit
 * breaks the mistaken certificate. Without its mistake the certifier of this file agrees with ours on random tensors. */
#include "harness/audit/auditor.h"
#include "models/model.h"
#include "tests/support/rules.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 256, MASK_PPM = 600000 };

/* ---- A certifier written down from CERTIFICATES.md, with mistakes to be switched on ---- */

typedef struct flaws {
    bool runner_up;                   /* only the strongest wrong class */
    bool tie;                         /* a margin of 0 is enough */
    bool no_wrap;                     /* windows end at the edge although the map goes on */
    bool no_overlap, overlap_no_wrap; /* the label's lower bound at T > 0 */
} flaws;

static oracle_map map_of(const pg_evidence *e, pg_window w, const flaws *f)
{
    return (oracle_map){e->height, e->width, e->classes, e->wrap_rows && !f->no_wrap, e->wrap_columns && !f->no_wrap,
                        w.height,  w.width,  e->q};
}

static int runner_up_of(const oracle_map *m, int label)
{
    int best = label == 0 ? 1 : 0;
    for (int c = best + 1; c < m->classes; c++)
        if (c != label && oracle_sum(m, c, NULL, NULL) > oracle_sum(m, best, NULL, NULL))
            best = c;
    return best;
}

/* Sums over a range [lo, hi]: CERTIFICATES.md, section 7. */
static bool sum_certified(const pg_evidence *e, pg_window window, int label, const flaws *f)
{
    oracle_map m = map_of(e, window, f);
    const oracle_windows *w = oracle_windows_of(&m);
    int64_t lo, hi;
    bool good = true;
    (void)pg_evidence_range(e->spec, &lo, &hi);
    for (int at = 0; at < w->count; at++)
        for (int c = 0; c < m.classes; c++) {
            if (c == label || (f->runner_up && c != runner_up_of(&m, label)))
                continue;
            int64_t own = oracle_sum(&m, label, NULL, w->has[at]) + w->k * lo;
            int64_t other = oracle_sum(&m, c, NULL, w->has[at]) + w->k * hi;
            good = good && (own > other || (f->tie && own == other));
        }
    return good;
}

/* The most that masking can take from the label where nothing is masked with the window empty: overlapping windows. */
static int64_t overlap_of(const oracle_map *m, const unsigned char *bad, int label, const flaws *f)
{
    oracle_map flat = *m;
    flat.wrap_rows = m->wrap_rows && !f->overlap_no_wrap;
    flat.wrap_columns = m->wrap_columns && !f->overlap_no_wrap;
    unsigned char outside[ORACLE_POSITIONS];
    memcpy(outside, bad, sizeof outside); /* oracle_windows_of has one result */
    const oracle_windows *w = oracle_windows_of(&flat);
    int64_t most = 0;
    for (int x = 0; x < w->count && !f->no_overlap; x++) {
        int64_t held = oracle_sum(m, label, w->has[x], outside);
        most = oracle_shared(m, w->has[x], outside) && held > most ? held : most;
    }
    return most;
}

/* Robust masking per class, unbounded, T = 0.6: CERTIFICATES.md, section 12. */
static bool mask_certified(const pg_evidence *e, pg_window window, int label, const flaws *f)
{
    oracle_map m = map_of(e, window, f);
    int count = oracle_windows_of(&m)->count;
    bool good = true;
    for (int at = 0; at < count; at++) {
        unsigned char bad[ORACLE_POSITIONS];
        memcpy(bad, oracle_windows_of(&m)->has[at], sizeof bad);
        int64_t rest = oracle_sum(&m, label, NULL, bad), heaviest = overlap_of(&m, bad, label, f), added = heaviest;
        const oracle_windows *w = oracle_windows_of(&m);
        for (int x = 0; x < w->count; x++) {
            int64_t held = oracle_sum(&m, label, w->has[x], bad);
            heaviest = !oracle_shared(&m, w->has[x], bad) && held > heaviest ? held : heaviest;
        }
        int64_t lb = heaviest * 1000000 > MASK_PPM * rest ? rest - heaviest : rest - added;
        for (int c = 0; c < m.classes; c++)
            if (c != label)
                good = good && lb * (1000000 - MASK_PPM) > oracle_sum(&m, c, NULL, bad) * 1000000;
    }
    return good;
}

static const flaws none, runner_up = {.runner_up = true}, tie = {.tie = true}, no_wrap = {.no_wrap = true};
static const flaws no_overlap = {.no_overlap = true}, overlap_no_wrap = {.overlap_no_wrap = true};

/* The certify hook of a defense with a mistake. */
#define HOOK(name, rule, mistake)                                                                                            \
    static void name(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n, \
                     void *scratch, pg_verdict *out)                                                                         \
    {                                                                                                                        \
        (void)delta, (void)configs, (void)scratch, (void)n;                                                                  \
        *out = (pg_verdict){.prediction = label, .failure_case = -1, .certified = rule(e, window, label, &mistake)};         \
    }
HOOK(certify_sum, sum_certified, none)
HOOK(certify_runner_up, sum_certified, runner_up)
HOOK(certify_tie, sum_certified, tie)
HOOK(certify_no_wrap, sum_certified, no_wrap)
HOOK(certify_mask, mask_certified, none)
HOOK(certify_no_overlap, mask_certified, no_overlap)
HOOK(certify_overlap_no_wrap, mask_certified, overlap_no_wrap)

/* The paper's Algorithm 2, which looks at the target class, taken for a proof of Algorithm 1, which masks for the predicted
 * one. */
static void certify_published(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs,
                              size_t n, void *scratch, pg_verdict *out)
{
    pg_defense_find("robust-masking")->certify(e, window, delta, label, configs, n, scratch, out);
    out->certified = out->certified_published;
}

static pg_certificate claims_soundness(const void *config)
{
    (void)config;
    return PG_CERTIFICATE_SOUND;
}

/* ---- The traps ---- */

typedef struct trap {
    const char *name, *defense, *options;
    void (*certify)(const pg_evidence *, pg_window, int64_t, int, const void *const *, size_t, void *, pg_verdict *);
    int width, classes, label;
    bool wraps;
    int window, true_window; /* as the mistaken certifier has it, and as it is */
    bool ties;               /* the break is a tie and no more */
    int values[VALUES_MAX];  /* [classes][width], sixteenths of a unit */
} trap;

static const trap traps[] = {
    {"runner-up only", "clip", "clip=0:1", certify_runner_up, 8, 3, 0, false, 1, 1, false, {16, 16, 16, 16, 0, 0, 0, 0,
                                                                                            10, 10, 10, 10, 0, 0, 0, 0,
                                                                                            0,  0,  0,  0,  9, 9, 9, 9}},
    {"non-strict tie, the rival comes first",
     "clip",
     "clip=0:1",
     certify_tie,
     3,
     2,
     1,
     false,
     1,
     1,
     false,
     {0, 0, 0, 16, 16, 0}},
    {"non-strict tie, the label comes first",
     "clip",
     "clip=0:1",
     certify_tie,
     3,
     2,
     0,
     false,
     1,
     1,
     true,
     {16, 16, 0, 0, 0, 0}},
    {"votes: a tie whatever the order of the classes",
     "ds",
     "rule=window theta=0.9",
     certify_tie,
     3,
     2,
     1,
     false,
     1,
     1,
     false,
     {0, 0, 0, 16, 16, 0}},
    {"windows that do not wrap",
     "clip",
     "clip=0:1",
     certify_no_wrap,
     7,
     2,
     0,
     true,
     2,
     2,
     false,
     {16, 0, 16, 0, 16, 0, 16, 0, 0, 0, 8, 0, 0, 0}},
    {"overlapping windows that do not wrap at T > 0",
     "robust-masking",
     "threshold=0.6",
     certify_overlap_no_wrap,
     6,
     2,
     0,
     true,
     2,
     2,
     false,
     {48, 32, 48, 16, 48, 64, 16, 16, 16, 0, 0, 0}},
    {"no overlapping windows at T > 0",
     "robust-masking",
     "threshold=0.6",
     certify_no_overlap,
     5,
     2,
     0,
     false,
     2,
     2,
     false,
     {64, 0, 64, 32, 64, 16, 16, 16, 16, 0}},
    {"the mask of the predicted class",
     "robust-masking",
     "scope=predicted",
     certify_published,
     4,
     2,
     0,
     false,
     1,
     1,
     false,
     {64, 48, 48, 0, 0, 0, 0, 0}},
    {"strided bands that wrap: one too few",
     "clip",
     "clip=0:1",
     certify_sum,
     11,
     2,
     0,
     true,
     2,
     3,
     false,
     {16, 16, 0, 0, 16, 0, 0, 16, 0, 0, 16, 0}},
    {"a patch enlarged by the resize", "clip", "clip=0:1", certify_sum, 22, 2, 0, false, 6, 8, false, {16, 16, 16, 16, 16, 16,
                                                                                                       16, 16, 0,  0,  0,  16,
                                                                                                       0,  0,  0,  16, 0,  0,
                                                                                                       16, 16, 0,  16}},
};
enum { N_TRAPS = sizeof traps / sizeof *traps };

typedef struct set_up {
    const trap *t;
    pg_defense naive;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    float logits[VALUES_MAX];
} set_up;

static void prepare(const trap *t, set_up *s)
{
    *s = (set_up){.t = t, .naive = *pg_defense_find(t->defense)};
    rule_configure(&s->naive, t->options, s->config);
    s->naive.certify = t->certify;
    s->naive.certificate = claims_soundness;
    for (int p = 0; p < t->width; p++)
        for (int c = 0; c < t->classes; c++) {
            int value = t->values[c * t->width + p]; /* a vote: nearly all of the confidence */
            s->logits[p * t->classes + c] = strcmp(t->defense, "ds") == 0 ? 3 * (float)value : (float)value / 16;
        }
}

static pg_audited audit(const set_up *s, const pg_defense *defense, int window, const pg_audit_effort *effort)
{
    const trap *t = s->t;
    pg_audited found;
    pg_auditor *auditor;
    pg_job job = {.defense = defense, .config = s->config, .window = {1, window}};
    assert_int_equal(pg_auditor_new(&job, effort, 1, t->width, t->classes, false, t->wraps, &auditor), PG_OK);
    assert_int_equal(pg_auditor_image(auditor, s->logits, 0, t->label, true, &found), PG_OK);
    found.how.contents = NULL;
    pg_auditor_free(auditor);
    return found;
}

/* An audit with the mistakes in it: the runner-up alone, windows that do not wrap, nothing but the rival at the top, and a
 * prediction that is still the label counts as held. */
static bool naive_audit_breaks(const set_up *s)
{
    const trap *t = s->t;
    const pg_defense *d = &s->naive;
    pg_evidence_spec spec;
    int32_t q[VALUES_MAX], now[VALUES_MAX];
    double row[8];
    int64_t lo, hi;
    bool found = false;
    d->evidence(s->config, &spec);
    (void)pg_evidence_range(&spec, &lo, &hi);
    assert_true(pg_evidence_f32(&spec, s->logits, (size_t)t->width, t->classes, row, q));
    void *scratch = aligned_alloc(64, (d->scratch_size(1, t->width, t->classes, 1) + 127) & ~(size_t)63);
    oracle_map m = {1, t->width, t->classes, false, false, 1, t->window, q};
    int rival = runner_up_of(&m, t->label);
    for (int left = 0; left + t->window <= t->width; left++) {
        memcpy(now, q, sizeof now);
        for (int p = left; p < left + t->window; p++)
            for (int c = 0; c < t->classes; c++)
                now[p * t->classes + c] = (int32_t)(c == rival ? hi : lo);
        pg_evidence e = {now, 1, t->width, t->classes, false, t->wraps, &spec, NULL};
        found |= d->predict(&e, (pg_window){1, t->window}, s->config, scratch) != t->label;
    }
    free(scratch);
    return found;
}

static void every_trap_is_seen(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 20000};
    for (size_t i = 0; i < N_TRAPS; i++) {
        const trap *t = &traps[i];
        set_up s;
        prepare(t, &s);
        pg_audited naive = audit(&s, &s.naive, t->window, &effort);
        if (!naive.claimed)
            fail_msg("%s: the mistaken certifier does not certify", t->name);
        bool flips_without_shortcuts = t->label == 1; /* here the tie shows even in a naive audit's prediction */
        if (naive_audit_breaks(&s) && !flips_without_shortcuts)
            fail_msg("%s: a naive audit sees it", t->name);
        pg_audited ours = audit(&s, pg_defense_find(t->defense), t->true_window, &effort);
        if (ours.claimed || !ours.correct)
            fail_msg("%s: our rule certifies (%d)", t->name, ours.correct);
        pg_audited seen = audit(&s, &s.naive, t->true_window, &effort);
        if (t->window == t->true_window && (!naive.broken || naive.how.tie != t->ties))
            fail_msg("%s: our audit does not break the mistaken certificate", t->name);
        if (!seen.broken)
            fail_msg("%s: nothing breaks it", t->name);
        print_message("%-50s by %s contents of the window at %d, class %d%s\n", t->name, seen.how.by, seen.how.left,
                      seen.how.rival, seen.how.tie ? ", a tie" : "");
    }
}

/* The general contents alone see every trap: an audit does not rest on the hook of a defense. */
static void no_hook_is_needed(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 20000};
    for (size_t i = 0; i < N_TRAPS; i++) {
        set_up s;
        prepare(&traps[i], &s);
        s.naive.worst = NULL;
        if (!audit(&s, &s.naive, traps[i].true_window, &effort).broken)
            fail_msg("%s: nothing breaks it without the hook", traps[i].name);
    }
}

/* A tie of votes where the label comes first is certified with margin 0, and is no break. */
static void votes_may_tie(void **state)
{
    (void)state;
    const pg_audit_effort effort = {.random = 2000};
    static const trap t = {"a tie of votes, the label first",
                           "ds",
                           "rule=window theta=0.9",
                           certify_tie,
                           3,
                           2,
                           0,
                           false,
                           1,
                           1,
                           false,
                           {16, 16, 0, 0, 0, 0}};
    set_up s;
    prepare(&t, &s);
    pg_audited found = audit(&s, pg_defense_find("ds"), 1, &effort);
    assert_true(found.claimed);
    assert_true(found.verdict.has_margin);
    assert_int_equal(found.verdict.margin, 0);
    assert_false(found.broken);
}

/* ---- Geometry ---- */

/* Bands of 3 px every 3 px on 32 px that wrap: the last begins 2 px before the first. */
static void strided_bands_are_counted(void **state)
{
    (void)state;
    const pg_axis axis = {.positions = 11, .field = 3, .stride = 3, .wrap = true};
    int patch = 4, formula = (patch + axis.field - 1 + axis.stride - 1) / axis.stride;
    assert_int_equal(formula, 2);
    assert_int_equal(pg_axis_window(&axis, 32, patch), 3);
}

/* Positions of bagnet17 at 192 px that change with 5 px of a 32 px image behind a bicubic resize (two pixels either side of the
 * centre). The formula for a patch of 30 px gives 6. */
static void a_resize_spreads_the_patch(void **state)
{
    (void)state;
    const pg_axis axis = {.positions = 22, .field = 17, .stride = 8};
    int worst = 0, longest = 0;
    for (int start = 0; start + 5 <= 32; start++) {
        bool touched[192];
        int positions = 0, length = 0;
        for (int x = 0; x < 192; x++) {
            double centre = (x + 0.5) / 6;
            touched[x] = false;
            for (int p = start; p < start + 5; p++)
                touched[x] |= fabs(centre - (p + 0.5)) < 2;
            length += touched[x];
        }
        for (int i = 0; i < axis.positions; i++) {
            bool sees = false;
            for (int x = i * axis.stride; x < i * axis.stride + axis.field; x++)
                sees |= touched[x];
            positions += sees;
        }
        worst = positions > worst ? positions : worst;
        longest = length > longest ? length : longest;
    }
    assert_int_equal(pg_axis_window(&axis, 192, 30), 6);
    assert_int_equal(longest, 48);
    assert_int_equal(worst, 8);
    assert_int_equal(pg_axis_window(&axis, 192, longest), 8);
}

/* ---- The certifier of this file, without a mistake, is ours ---- */

static void without_a_mistake_it_agrees(void **state)
{
    (void)state;
    static const struct {
        const char *defense, *options;
        void (*certify)(const pg_evidence *, pg_window, int64_t, int, const void *const *, size_t, void *, pg_verdict *);
    } pairs[] = {{"clip", "clip=0:1", certify_sum}, {"robust-masking", "threshold=0.6", certify_mask}};
    int certified = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        pg_rng rng = pg_rng_make(31, PG_STREAM_TEST, round);
        size_t pair = round % 2;
        const pg_defense *d = pg_defense_find(pairs[pair].defense);
        _Alignas(16) unsigned char config[PG_CONFIG_MAX];
        int32_t q[VALUES_MAX];
        int width = 3 + (int)pg_rng_below(&rng, 8), label = (int)pg_rng_below(&rng, 3);
        rule_configure(d, pairs[pair].options, config);
        pg_evidence_spec spec;
        d->evidence(config, &spec);
        for (int i = 0; i < width * 3; i++)
            q[i] = (int32_t)pg_rng_below(&rng, i % 3 == label ? 17 : 3) * (PG_GRID / 16);
        pg_evidence e = {q, 1, width, 3, false, pg_rng_below(&rng, 2), &spec, NULL};
        pg_window window = {1, 1 + (int)pg_rng_below(&rng, 2)};
        void *scratch = aligned_alloc(64, (d->scratch_size(1, width, 3, 1) + 127) & ~(size_t)63);
        const void *configs[] = {config};
        pg_verdict ours, theirs;
        d->certify(&e, window, 0, label, configs, 1, scratch, &ours);
        pairs[pair].certify(&e, window, 0, label, configs, 1, scratch, &theirs);
        if (ours.prediction == label && ours.certified != theirs.certified)
            fail_msg("round %u: %s: %d and %d", round, pairs[pair].defense, ours.certified, theirs.certified);
        certified += ours.certified;
        free(scratch);
    }
    print_message("%d of 4000 certified\n", certified);
    assert_true(certified > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_trap_is_seen),
        cmocka_unit_test(no_hook_is_needed),
        cmocka_unit_test(votes_may_tie),
        cmocka_unit_test(strided_bands_are_counted),
        cmocka_unit_test(a_resize_spreads_the_patch),
        cmocka_unit_test(without_a_mistake_it_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
