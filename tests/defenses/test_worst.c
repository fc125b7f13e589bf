/* The worst contents that defenses name, evaluated by their own prediction alone: no certificate breaks, every refused image of
 * an exact rule does, and the published certificate of scope predicted is broken.
 *
 * A tie counts, but where the descriptor says that the label wins it (ds) or nothing is proved (scope predicted): the label is
 * then moved behind the last class, where it has to be ahead. */
#include "defenses/worst.h"
#include "tests/support/rules.h"

enum { VALUES = (ORACLE_POSITIONS + 1) * 12, VARIANTS = 10 };

typedef struct trial {
    const rule_case *rule;
    const pg_defense *defense;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_evidence_spec spec;
    oracle_map map;
    bool ties; /* count as broken */
    int32_t q[VALUES], now[VALUES], behind[VALUES], contents[VALUES];
    void *scratch;
} trial;

static const rule_case *rule_named(const char *id)
{
    for (size_t i = 0; i < N_RULE_CASES; i++)
        if (strcmp(rule_cases[i].id, id) == 0)
            return &rule_cases[i];
    fail_msg("no rule %s", id);
    return NULL;
}

static void trial_open(trial *t, const rule_case *rule, oracle_map map)
{
    memset(t, 0, sizeof *t);
    t->rule = rule;
    t->map = map;
    t->defense = pg_defense_find(rule->defense);
    rule_configure(t->defense, rule->options, t->config);
    t->defense->evidence(t->config, &t->spec);
    t->ties = !t->defense->tie_certified && t->defense->certificate(t->config) != PG_CERTIFICATE_NONE;
    t->scratch = aligned_alloc(64, (t->defense->scratch_size(map.height, map.width, map.classes, 1) + 127) & ~(size_t)63);
}

static void trial_close(trial *t) { free(t->scratch); }

static pg_evidence evidence_of(const trial *t, const int32_t *q)
{
    const oracle_map *m = &t->map;
    return (pg_evidence){q, m->height, m->width, m->classes, m->wrap_rows, m->wrap_columns, &t->spec, NULL};
}

static pg_window window_of(const trial *t) { return (pg_window){t->map.window_height, t->map.window_width}; }

static int predict(trial *t, const int32_t *q)
{
    pg_evidence evidence = evidence_of(t, q);
    return t->defense->predict(&evidence, window_of(t), t->config, t->scratch);
}

static pg_verdict certify(trial *t, int label)
{
    pg_evidence evidence = evidence_of(t, t->q);
    const void *config = t->config;
    pg_verdict verdict;
    t->defense->certify(&evidence, window_of(t), 0, label, &config, 1, t->scratch, &verdict);
    return verdict;
}

static size_t size_of(const trial *t) { return (size_t)(t->map.height * t->map.width * t->map.classes) * sizeof *t->q; }

/* Whether the evidence in t->now breaks the label. */
static bool broken(trial *t, int label)
{
    int last = t->map.classes - 1;
    if (predict(t, t->now) != label)
        return true;
    if (!t->ties)
        return false;
    memcpy(t->behind, t->now, size_of(t));
    for (int p = 0; p < t->map.height * t->map.width; p++) {
        t->behind[p * t->map.classes + label] = t->now[p * t->map.classes + last];
        t->behind[p * t->map.classes + last] = t->now[p * t->map.classes + label];
    }
    return predict(t, t->behind) != last;
}

static void expect_within_range(const trial *t, int cells)
{
    bool votes = t->spec.feature == PG_FEATURE_PREDICTION;
    int64_t lo, hi;
    (void)pg_evidence_range(&t->spec, &lo, &hi);
    for (int i = 0; i < cells * t->map.classes; i++) {
        int64_t value = t->contents[i];
        if (value < lo || value > hi || (votes && value != lo && value != hi))
            fail_msg("%s: contents of %lld", t->rule->id, (long long)value);
    }
}

/* Writes one variant into t->now. Returns false where there is none. */
static bool place(trial *t, const pg_worst *which)
{
    pg_evidence evidence = evidence_of(t, t->q);
    const oracle_map *m = &t->map;
    int cells = m->window_height * m->window_width;
    memset(t->contents, 0x55, (size_t)((cells + 1) * m->classes) * sizeof *t->contents);
    if (!t->defense->worst(&evidence, window_of(t), t->config, which, t->scratch, t->contents))
        return false;
    expect_within_range(t, cells);
    for (int c = 0; c < m->classes; c++)
        assert_int_equal(t->contents[cells * m->classes + c], 0x55555555); /* untouched */
    memcpy(t->now, t->q, size_of(t));
    for (int i = 0; i < cells; i++) {
        int row = (which->top + i / m->window_width) % m->height, column = (which->left + i % m->window_width) % m->width;
        memcpy(t->now + (row * m->width + column) * m->classes, t->contents + i * m->classes,
               (size_t)m->classes * sizeof *t->now);
    }
    return true;
}

/* Tries everything; the variants that break the label anywhere, as bits. */
static unsigned attack(trial *t, int label)
{
    const oracle_map *m = &t->map;
    unsigned found = 0;
    int tops = oracle_places(m->height, m->window_height, m->wrap_rows);
    int lefts = oracle_places(m->width, m->window_width, m->wrap_columns);
    for (int w = 0; w < tops * lefts; w++)
        for (int rival = 0; rival < m->classes; rival++) {
            pg_worst which = {label, rival, w / lefts, w % lefts, 0};
            for (; rival != label && which.variant < VARIANTS && place(t, &which); which.variant++)
                found |= broken(t, label) ? 1u << which.variant : 0;
            assert_true(which.variant < VARIANTS);
            assert_true(rival == label || which.variant > 0);
        }
    return found;
}

/* What happened to the images of a rule. */
typedef struct tally {
    long certified, refused, broken, published, published_broken;
} tally;

static void show(const trial *t, const char *what, int label)
{
    char text[2048];
    int n = 0, count = t->map.height * t->map.width * t->map.classes;
    for (int i = 0; i < count && n < 2000; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %d", (int)t->q[i]);
    fail_msg("%s: %s, label %d, %dx%dx%d wrap %d %d window %dx%d:%s", t->rule->id, what, label, t->map.height, t->map.width,
             t->map.classes, t->map.wrap_rows, t->map.wrap_columns, t->map.window_height, t->map.window_width, text);
}

/* The image in t->q, for its own prediction as the label. */
static void play(trial *t, tally *sum)
{
    int label = predict(t, t->q);
    pg_verdict verdict = certify(t, label);
    unsigned found = attack(t, label);
    pg_certificate worth = t->defense->certificate(t->config);
    if (verdict.certified && found)
        show(t, "certified, and broken", label);
    if (!verdict.certified && !found && worth == PG_CERTIFICATE_EXACT && t->map.classes > 1)
        show(t, "refused by an exact rule, and not broken", label);
    sum->certified += verdict.certified;
    sum->refused += !verdict.certified;
    sum->broken += found != 0;
    sum->published += verdict.certified_published;
    sum->published_broken += verdict.certified_published && found;
}

static bool fits(const rule_case *rule, const oracle_map *m)
{
    return rule->oracle.kind != ORACLE_TRIM || 2 * rule->oracle.trim < m->height * m->width;
}

static const oracle_map shapes[] = {
    {1, 8, 3, false, true, 1, 3, NULL},  {1, 9, 2, false, false, 1, 2, NULL}, {4, 5, 3, false, false, 2, 2, NULL},
    {5, 4, 4, true, true, 3, 2, NULL},   {6, 6, 3, false, false, 2, 3, NULL}, {3, 3, 2, false, false, 3, 3, NULL},
    {1, 1, 2, false, false, 1, 1, NULL}, {4, 5, 8, false, true, 1, 1, NULL},  {2, 7, 3, true, false, 2, 4, NULL},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Random evidence. Values without a bound stay far from the end of the grid, so that an attacker has room beyond them. */
static void randomise(trial *t, uint32_t round)
{
    pg_rng rng = pg_rng_make(51, PG_STREAM_TEST, round);
    int positions = t->map.height * t->map.width, label = (int)pg_rng_below(&rng, (uint32_t)t->map.classes);
    rule_fill(&rng, t->rule->values, &t->rule->oracle, positions, t->map.classes, label, t->q);
    bool open = t->rule->values == VALUES_ANY || t->rule->values == VALUES_POSITIVE;
    for (int i = 0; i < positions * t->map.classes && open; i++)
        t->q[i] /= 1024;
}

static void random_tensors(void **state)
{
    (void)state;
    static trial t;
    for (size_t r = 0; r < N_RULE_CASES; r++) {
        tally sum = {0};
        for (size_t i = 0; i < SHAPES; i++) {
            trial_open(&t, &rule_cases[r], shapes[i]);
            for (uint32_t round = 0; round < 24 && fits(t.rule, &t.map); round++) {
                randomise(&t, (uint32_t)(r * SHAPES + i) * 1000 + round);
                play(&t, &sum);
            }
            trial_close(&t);
        }
        print_message("%-26s certified %4ld refused %4ld broken %4ld published %3ld, broken %3ld\n", rule_cases[r].id,
                      sum.certified, sum.refused, sum.broken, sum.published, sum.published_broken);
        assert_true(sum.broken > 20);
        bool proves = t.defense->certificate(t.config) != PG_CERTIFICATE_NONE;
        assert_true(sum.certified > 5 || !rule_cases[r].oracle.bounded || !proves);
        assert_true(sum.published > 5 || proves);
        if (strcmp(rule_cases[r].id, "predicted-0") == 0)
            assert_int_equal(sum.published, sum.published_broken);
    }
}

/* Tensors of eight values out of three: every eleventh; votes: all. */
static void small_tensors(void **state)
{
    (void)state;
    static const oracle_map small[] = {
        {1, 4, 2, false, false, 1, 1, NULL}, {1, 4, 2, false, true, 1, 2, NULL}, {2, 2, 2, true, false, 1, 2, NULL}};
    static trial t;
    long certified = 0, refused = 0;
    for (size_t r = 0; r < N_RULE_CASES; r++) {
        const rule_case *rule = &rule_cases[r];
        bool votes = rule->values == VALUES_VOTES;
        int32_t unit = rule->values == VALUES_UNIT ? RULE_UNIT / 2 : RULE_UNIT, base = votes ? 2 : 3;
        tally sum = {0};
        for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
            trial_open(&t, rule, small[i]);
            for (long n = 0, all = votes ? 256 : 6561; n < all && fits(rule, &t.map); n += votes ? 1 : 11) {
                long rest = n;
                for (int j = 0; j < 8; j++, rest /= base)
                    t.q[j] = (int32_t)(rest % base) * unit + (rule->values == VALUES_CLIPPED ? (int32_t)rule->oracle.lo : 0);
                play(&t, &sum);
            }
            trial_close(&t);
        }
        certified += sum.certified;
        refused += sum.refused;
    }
    print_message("%ld certified, %ld refused\n", certified, refused);
    assert_true(certified > 300);
    assert_true(refused > 10000);
}

/* Whether any contents of any window break the label, with these values for every class of every position. */
static bool any_breaks(trial *t, int label, const int32_t *values, int n_values)
{
    const oracle_map *m = &t->map;
    const oracle_windows *windows = oracle_windows_of(m);
    for (int w = 0; w < windows->count; w++) {
        int at[16], digit[16] = {0}, n = 0, i = 0;
        memcpy(t->now, t->q, size_of(t));
        for (int p = 0; p < m->height * m->width; p++)
            for (int c = 0; c < m->classes && windows->has[w][p]; c++)
                at[n++] = p * m->classes + c;
        for (int j = 0; j < n; j++)
            t->now[at[j]] = values[0];
        while (i < n) {
            if (broken(t, label))
                return true;
            for (i = 0; i < n && digit[i] == n_values - 1; i++) {
                digit[i] = 0;
                t->now[at[i]] = values[0];
            }
            if (i < n)
                t->now[at[i]] = values[++digit[i]];
        }
    }
    return false;
}

/* Small random tensors of few values, in which one class is helped on some. */
static void randomise_small(trial *t, uint32_t round, int values, int32_t unit)
{
    pg_rng rng = pg_rng_make(52, PG_STREAM_TEST, round);
    int help = (int)pg_rng_below(&rng, 3), classes = t->map.classes;
    for (int i = 0; i < t->map.height * t->map.width * classes; i++) {
        int32_t a = (int32_t)pg_rng_below(&rng, (uint32_t)values), b = (int32_t)pg_rng_below(&rng, (uint32_t)values);
        t->q[i] = unit * (help == 0 ? a : (i % classes == 0) == (help == 1) ? PG_MAX(a, b) : PG_MIN(a, b));
    }
}

/* Also where a rule makes no claim: what any contents break, the contents that its defense names break. */
static void nothing_is_missed(void **state)
{
    (void)state;
    static const char *const ids[] = {"mask-0.2",          "mask-0.5",    "mask-clip-0.2",  "mask-clip-0.5",
                                      "mask-votes-0.3",    "predicted-0", "predicted-0.2",  "predicted-0.6",
                                      "predicted-votes-0", "ds-votes",    "trimmed-2-votes"};
    static const oracle_map small[] = {{1, 5, 2, false, true, 1, 2, NULL},  {1, 5, 2, false, false, 1, 2, NULL},
                                       {1, 4, 3, false, false, 1, 1, NULL}, {2, 3, 2, false, false, 1, 2, NULL},
                                       {1, 5, 3, false, false, 1, 1, NULL}, {3, 2, 2, true, false, 2, 1, NULL}};
    enum { SMALL = sizeof small / sizeof *small };
    static const int32_t wide[] = {0, 1, 2, 3, 4, 5, 6, 8, 100},
                         halves[] = {0, RULE_UNIT / 2, RULE_UNIT, 3 * RULE_UNIT / 2, 2 * RULE_UNIT, 3 * RULE_UNIT},
                         votes[] = {0, RULE_UNIT};
    static trial t;
    long found = 0, unbroken = 0;
    for (size_t i = 0; i < sizeof ids / sizeof *ids * SMALL; i++) {
        const rule_case *rule = rule_named(ids[i / SMALL]);
        bool vote = rule->values == VALUES_VOTES, clipped = rule->values == VALUES_CLIPPED;
        trial_open(&t, rule, small[i % SMALL]);
        for (uint32_t round = 0; round < 70 && fits(rule, &t.map); round++) {
            randomise_small(&t, round, vote ? 2 : 4, vote || clipped ? RULE_UNIT : 1);
            int label = predict(&t, t.q);
            bool any = any_breaks(&t, label, vote ? votes : clipped ? halves : wide, vote ? 2 : clipped ? 6 : 9);
            if (any && !attack(&t, label))
                show(&t, "some contents break it, and none that are named", label);
            found += any;
            unbroken += !any;
        }
        trial_close(&t);
    }
    print_message("%ld broken by some contents, %ld by none\n", found, unbroken);
    assert_true(found > 2500);
    assert_true(unbroken > 100);
}

/* One position, unbounded logits, no threshold: the rival loses to the mask as much as the label does, whichever is masked, and
 * ends level with it, which the label wins. The published certificate holds, by luck. */
static void a_published_certificate_that_holds(void **state)
{
    (void)state;
    static const int32_t values[] = {0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 14, 15, 16, 20, 100};
    static trial t;
    trial_open(&t, rule_named("predicted-0"), (oracle_map){1, 4, 2, false, false, 1, 1, NULL});
    const int32_t q[] = {5, 5, 5, 5, 5, 0, 5, 0};
    memcpy(t.q, q, sizeof q);
    assert_int_equal(predict(&t, t.q), 0);
    assert_true(certify(&t, 0).certified_published);
    assert_int_equal(attack(&t, 0), 0);
    assert_false(any_breaks(&t, 0, values, sizeof values / sizeof *values));
    trial_close(&t);
}

static void windows_go_round_the_edges(void **state)
{
    (void)state;
    static const int want[] = {14, 10, 4, 0};
    pg_evidence evidence = {NULL, 3, 5, 2, true, true, NULL, NULL};
    pg_windows windows = pg_windows_of(&evidence, (pg_window){2, 2});
    pg_worst which = {.label = 0, .rival = 1, .top = 2, .left = 4};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pg_worst_position(&evidence, &windows, &which, i), want[i]);
}

static void expect_cells(trial *t, int variant, int top, int left, unsigned cells)
{
    pg_worst which = {0, 1, top, left, variant};
    assert_true(place(t, &which));
    for (int i = 0; i < 6; i++)
        assert_int_equal(t->contents[i * 2 + 1] != 0, cells >> i & 1);
}

/* Which cells of a window of 2x3 are raised: all, the corners, one; and those alone that the label's masked window leaves. */
static void cells_that_are_raised(void **state)
{
    (void)state;
    static trial t;
    trial_open(&t, rule_named("mask-0.5"), (oracle_map){4, 6, 2, false, false, 2, 3, NULL});
    for (int i = 0; i < 48; i++)
        t.q[i] = RULE_UNIT;
    expect_cells(&t, 1, 1, 2, 0x3f);
    expect_cells(&t, 2, 1, 2, 0x2d);
    expect_cells(&t, 3, 1, 2, 0x02); /* the windows of a corner reach further out */
    trial_close(&t);
    trial_open(&t, rule_named("predicted-0"), (oracle_map){4, 6, 2, false, false, 2, 3, NULL});
    const int heavy[] = {8, 9, 10, 14}; /* in the window at (1, 2), which holds the first two cells of that at (2, 3) */
    for (int i = 0; i < 4; i++)
        t.q[heavy[i] * 2] = 9 * RULE_UNIT;
    expect_cells(&t, 0, 2, 3, 0x04);
    assert_int_equal(t.contents[2 * 2 + 1], 36 * RULE_UNIT);
    trial_close(&t);
}

/* On one cell: the first where other windows hold the least. The position below the window, emptier still, is none. */
static void the_loneliest_cell(void **state)
{
    (void)state;
    static trial t;
    pg_worst which = {0, 1, 1, 1, 3};
    trial_open(&t, rule_named("mask-0.5"), (oracle_map){4, 6, 2, false, false, 2, 2, NULL});
    t.q[6 * 2 + 1] = t.q[9 * 2 + 1] = 3 * RULE_UNIT;
    t.q[5 * 2 + 1] = 6 * RULE_UNIT;
    assert_true(place(&t, &which));
    for (int i = 0; i < 4; i++)
        assert_int_equal(t.contents[i * 2 + 1], i == 0 ? 6 * RULE_UNIT : 0);
    trial_close(&t);
}

/* The label is raised in the cells that the malicious window shares with one other, and nowhere else. `heavy`: 4 positions of
 * the label, outside the malicious window. */
static void expect_raised(const char *rule, oracle_map map, const int *heavy, int variant, int top, int left, unsigned cells)
{
    static trial t;
    pg_worst which = {0, 1, top, left, variant};
    trial_open(&t, rule_named(rule), map);
    for (int i = 0; i < 4; i++)
        t.q[heavy[i] * 2] = RULE_UNIT;
    assert_true(place(&t, &which));
    for (int i = 0; i < map.window_height * map.window_width; i++)
        assert_int_equal(t.contents[i * 2] != 0, cells >> i & 1);
    trial_close(&t);
}

static void cells_that_are_fed(void **state)
{
    (void)state;
    static const oracle_map plain = {4, 6, 2, false, false, 2, 3, NULL}, ring = {4, 6, 2, true, true, 2, 3, NULL},
                            tall = {6, 4, 2, true, true, 3, 2, NULL};
    for (int variant = 0; variant < 8; variant++) {
        bool added = variant >= 4;
        expect_raised("mask-0.2", plain, (int[]){8, 9, 10, 14}, variant, 2, 3, added ? 0x03 : 0); /* the window at (1, 2) */
        expect_raised("mask-0.2", ring, (int[]){2, 3, 8, 9}, variant, 3, 5, added ? 0x20 : 0);    /* (0, 1) */
        expect_raised("mask-0.2", ring, (int[]){23, 18, 19, 5}, variant, 0, 0, added ? 0x03 : 0); /* (3, 5) */
        expect_raised("mask-0.2", tall, (int[]){23, 20, 3, 7}, variant, 0, 0, added ? 0x05 : 0);  /* (5, 3) */
    }
    /* without bounds half of the window raises the label, and the rival rises in the other: (1, 3), (3, 0), (0, 3), (1, 3) */
    expect_raised("predicted-0", plain, (int[]){8, 9, 10, 14}, 1, 2, 3, 0x07);
    expect_raised("predicted-0", ring, (int[]){23, 18, 19, 5}, 1, 0, 0, 0x07);
    expect_raised("predicted-0", tall, (int[]){23, 20, 3, 7}, 1, 0, 0, 0x15);
    expect_raised("predicted-0", plain, (int[]){13, 14, 19, 20}, 1, 2, 3, 0x07);
}

enum { LINE = 10, LINE_CLASSES = 3 };

/* Contents of a window of two on a line of ten, in thousandths of a unit: of the label, the rival and a third class. */
typedef struct line_case {
    const char *rule;
    int variant, left;
    int label[LINE], rival[LINE], third[LINE]; /* evidence, in units */
    int want[LINE_CLASSES][2];                 /* -1: the end of the grid */
    int below[LINE_CLASSES];                   /* steps of the grid that are missing from it */
} line_case;

enum { FULL = 3000 }; /* where the rule clips */

static const line_case line_cases[] = {
    /* raised: the window that holds the most outside, of several the first, and none where the share is only reached */
    {"mask-clip-0.2", 4, 1, {5, 0, 0, 3}, {0}, {0}, {{FULL, 0}, {FULL, FULL}}, {0}},
    {"mask-clip-0.2", 4, 1, {3, 0, 0, 3}, {0}, {0}, {{FULL, 0}, {FULL, FULL}}, {0}},
    {"mask-clip-0.2", 4, 1, {3, 0, 0, 4}, {0}, {0}, {{0, FULL}, {FULL, FULL}}, {0}},
    {"mask-clip-0.2", 4, 0, {0, 0, 1, 0, 0, 3, 3}, {0}, {0}, {{0, FULL}, {FULL, FULL}}, {0}},
    {"mask-clip-0.2", 4, 0, {0, 0, 1, 3, 3, 3, 3, 2, 2}, {0}, {0}, {{0, 0}, {FULL, FULL}}, {0}},
    {"mask-clip-0.2", 4, 0, {0, 0, 1, 3, 3, 3, 3, 2, 1}, {0}, {0}, {{0, FULL}, {FULL, FULL}}, {0}},
    {"mask-clip-0.2", 4, 0, {0}, {0}, {0}, {{0, 0}, {FULL, FULL}}, {0}},
    /* unmasked: 5 outside, of which half may be in a window, however it is raised; on one cell, the lonelier one */
    {"mask-0.5", 1, 0, {0}, {0, 0, 5}, {0}, {{0, 0}, {2500, 2500}}, {0}},
    {"mask-0.5", 2, 0, {0}, {0, 0, 2, 3}, {0}, {{0, 0}, {2500, 2500}}, {0}},
    {"mask-0.5", 3, 1, {0}, {2, 0, 0, 3}, {0}, {{0, 0}, {1000, 0}}, {0}},
    {"mask-0.5", 3, 1, {0}, {3, 0, 0, 2}, {0}, {{0, 0}, {0, 1000}}, {0}},
    {"mask-0.5", 3, 1, {0}, {2, 0, 0, 2, 1}, {0}, {{0, 0}, {1000, 0}}, {0}},
    {"mask-0.5", 1, 0, {0}, {0, 0, 0, 5, 7}, {0}, {{0, 0}, {6000, 6000}}, {0}},
    {"mask-votes-0.3", 1, 0, {0}, {0, 0, 0, 1, 1, 1, 1, 1}, {0}, {{0, 0}, {1000, 1000}}, {0}},
    {"mask-votes-0.3", 1, 0, {0}, {0, 0, 0, 1, 0, 1, 0, 1}, {0}, {{0, 0}, {1000, 0}}, {0}},
    {"mask-votes-0.3", 1, 0, {0}, {0, 0, 0, 1}, {0}, {{0, 0}, {0, 0}}, {0}},
    /* predicted, the rival below the label: level with it, but where the tie would be the rival's */
    {"predicted-0", 0, 1, {9, 0, 0, 0}, {0}, {0}, {{0, 0}, {0, 9000}}, {0}},
    {"predicted-0", 0, 1, {1, 0, 0, 9}, {0, 1}, {0}, {{0, 0}, {10000, 0}}, {0}},
    /* raised in the window that gains most: its share of the label, less that of the rival */
    {"predicted-0.6", 1, 1, {5, 0, 0, 3}, {0}, {0}, {{-1, 0}, {0, -1}}, {0}},
    {"predicted-0.6", 1, 1, {3, 0, 0, 3}, {0}, {0}, {{-1, 0}, {0, -1}}, {0}},
    {"predicted-0.6", 1, 1, {3, 0, 0, 4}, {0}, {0}, {{0, -1}, {-1, 0}}, {0}},
    {"predicted-0.6", 1, 1, {5, 0, 0, 3}, {3}, {0}, {{0, -1}, {-1, 0}}, {0}},
    {"predicted-0.6", 1, 1, {5, 0, 0, 3}, {1}, {0}, {{-1, 0}, {0, -1}}, {0}},
    /* raised while a window elsewhere is heavier, by one on the grid */
    {"predicted-0", 3, 1, {0}, {1, 0, 0, 2, 3, 6}, {0}, {{0, 0}, {4500, 4500}}, {0, 1}},
    {"predicted-0", 3, 1, {0}, {9, 0, 0, 2, 3, 6}, {0}, {{0, 0}, {0, 0}}, {0}},
    /* a third class leads, the first of the largest */
    {"predicted-0", 4, 1, {30}, {0}, {0, 0, 0, 0, 4, 6}, {{0, 0}, {20000, 0}, {5000, 5000}}, {0, 3, 1}},
};

static void expect_content(size_t i, int class, int cell, int32_t value, int want, int below)
{
    int64_t exact = want < 0 ? PG_EVIDENCE_MAX : (int64_t)want * RULE_UNIT / 1000 - (want > 0 ? below : 0);
    if (value != exact)
        fail_msg("case %d, class %d, cell %d: %d, expected %lld", (int)i, class, cell, (int)value, (long long)exact);
}

/* Leaves the sums of a ring in the scratch, of one window more: heavy, and away from the malicious window or beside it. */
static void soil_scratch(trial *t, int variant, int left)
{
    for (int i = 0; i < LINE * LINE_CLASSES; i++)
        t->q[i] = i >= LINE_CLASSES && i < (LINE - 1) * LINE_CLASSES ? 0
                  : i % LINE_CLASSES == 0                            ? 100 * RULE_UNIT
                                                                     : 20 * RULE_UNIT;
    t->map.wrap_columns = true;
    assert_true(place(t, &(pg_worst){0, 1, 0, left, variant}));
    t->map.wrap_columns = false;
}

/* Whatever is in the scratch: no sums at all (ring < 0), or those of other evidence with the malicious window at `ring`. */
static void expect_line(trial *t, const line_case *line, int ring)
{
    pg_worst which = {0, 1, 0, line->left, line->variant};
    memset(t->scratch, 0x33, t->defense->scratch_size(1, LINE, LINE_CLASSES, 1));
    if (ring >= 0)
        soil_scratch(t, line->variant, ring);
    for (int p = 0; p < LINE; p++) {
        t->q[p * LINE_CLASSES] = line->label[p] * RULE_UNIT;
        t->q[p * LINE_CLASSES + 1] = line->rival[p] * RULE_UNIT;
        t->q[p * LINE_CLASSES + 2] = line->third[p] * RULE_UNIT;
    }
    assert_true(place(t, &which));
    for (int c = 0; c < LINE_CLASSES; c++)
        for (int cell = 0; cell < 2; cell++)
            expect_content((size_t)(line - line_cases), c, cell, t->contents[cell * LINE_CLASSES + c], line->want[c][cell],
                           line->below[c]);
}

static void contents_by_hand(void **state)
{
    (void)state;
    static trial t;
    static const int rings[] = {-1, 4, 0};
    for (size_t i = 0; i < 3 * (sizeof line_cases / sizeof *line_cases); i++) {
        trial_open(&t, rule_named(line_cases[i / 3].rule), (oracle_map){1, LINE, LINE_CLASSES, false, false, 1, 2, NULL});
        expect_line(&t, &line_cases[i / 3], rings[i % 3]);
        trial_close(&t);
    }
}

/* Of several classes with the same sum the first one leads. */
static void a_third_class_leads(void **state)
{
    (void)state;
    static trial t;
    trial_open(&t, rule_named("predicted-0"), (oracle_map){1, LINE, 4, false, false, 1, 2, NULL});
    for (int i = 0; i < 8; i++)
        t.q[4 * 4 + i] = 5 * RULE_UNIT;
    for (int label = 0; label < 4; label++) {
        int rival = (label + 1) % 4, leads = label == 3 ? 1 : label == 0 ? 2 : 0;
        pg_worst which = {label, rival, 0, 1, 4};
        assert_true(place(&t, &which));
        for (int c = 0; c < 4; c++)
            assert_int_equal(t.contents[c] != 0, c == leads || c == rival);
    }
    trial_close(&t);
}

static void variants_of_rules(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        int variants;
    } want[] = {{"mean", 1}, {"mask-0", 1}, {"mask-0.2", 8}, {"predicted-0", 5}, {"predicted-0.2", 8}};
    static trial t;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        pg_worst which = {0, 1, 0, 0, 0};
        trial_open(&t, rule_named(want[i].rule), (oracle_map){1, 4, 2, false, false, 1, 2, NULL});
        while (place(&t, &which))
            which.variant++;
        assert_int_equal(which.variant, want[i].variants);
        trial_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_go_round_the_edges),
        cmocka_unit_test(cells_that_are_raised),
        cmocka_unit_test(the_loneliest_cell),
        cmocka_unit_test(cells_that_are_fed),
        cmocka_unit_test(contents_by_hand),
        cmocka_unit_test(a_third_class_leads),
        cmocka_unit_test(variants_of_rules),
        cmocka_unit_test(random_tensors),
        cmocka_unit_test(small_tensors),
        cmocka_unit_test(nothing_is_missed),
        cmocka_unit_test(a_published_certificate_that_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
