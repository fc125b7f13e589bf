/* PatchCleanser: the rule against one written down another way, its certificate against every table of three masks and three
 * classes with everything that a patch can make of it, and its masks against every place of every patch. */
#include "defenses/evidence.h"
#include "harness/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MASKS = 3, PAIRS = MASKS * MASKS, CLASSES = 3, MOST = 6, WIDEST = 5 };

typedef struct subject {
    const pg_defense *defense;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_evidence_spec spec;
    void *scratch;
} subject;

static int make(void **state)
{
    subject *s = aligned_alloc(64, (sizeof *s + 63) & ~(size_t)63);
    s->defense = pg_defense_find("patchcleanser");
    const char *all = "pairs=all";
    if (!s->defense || pg_module_configure(&s->defense->module, "defense", &all, 1, s->config) != PG_OK)
        return -1;
    s->defense->evidence(s->config, &s->spec);
    s->scratch = aligned_alloc(64, (s->defense->scratch_size(MOST, MOST, WIDEST, 1) + 127) & ~(size_t)63);
    *state = s;
    return 0;
}

static int drop(void **state)
{
    free(((subject *)*state)->scratch);
    free(*state);
    return 0;
}

static pg_evidence evidence_of(const subject *s, const int32_t *q, int masks, int classes)
{
    return (pg_evidence){q, masks, masks, classes, true, true, &s->spec, NULL};
}

/* Evidence whose arg max at each pair is the table's class: a one and zeros. */
static void write_table(const int *table, int pairs, int classes, int32_t *q)
{
    for (int i = 0; i < pairs; i++)
        for (int c = 0; c < classes; c++)
            q[i * classes + c] = table[i] == c ? PG_GRID : 0;
}

static int predict(const subject *s, const int *table, int masks, int classes)
{
    int32_t q[MOST * MOST * WIDEST];
    write_table(table, masks * masks, classes, q);
    pg_evidence e = evidence_of(s, q, masks, classes);
    double values[MOST * MOST * WIDEST];
    for (int i = 0; i < masks * masks * classes; i++)
        values[i] = q[i];
    e.values = values;
    const void *config = s->config;
    pg_window window = {masks - 1, masks - 1};
    int in_double, prediction = s->defense->predict(&e, window, config, s->scratch);
    s->defense->predict_double(&e, window, &config, 1, s->scratch, &in_double);
    assert_int_equal(in_double, prediction);
    return prediction;
}

static pg_verdict certify_q(const subject *s, const int32_t *q, int masks, int classes, pg_window window, int64_t delta,
                            int label)
{
    pg_evidence e = evidence_of(s, q, masks, classes);
    const void *config = s->config;
    pg_verdict v;
    s->defense->certify(&e, window, delta, label, &config, 1, s->scratch, &v);
    return v;
}

static pg_verdict certify(const subject *s, const int *table, int masks, int classes, int label)
{
    int32_t q[MOST * MOST * WIDEST];
    write_table(table, masks * masks, classes, q);
    return certify_q(s, q, masks, classes, (pg_window){masks - 1, masks - 1}, 0, label);
}

/* ---- The rule, as the publication's Algorithm 1 tells it ---- */

static int says(const int *table, int masks, int classes)
{
    int counts[WIDEST] = {0}, majority = 0;
    for (int m = 0; m < masks; m++)
        counts[table[m * masks + m]]++;
    for (int c = 0; c < classes; c++)
        if (counts[c] == masks)
            return c; /* case I: no mask disagrees */
    for (int c = classes - 1; c >= 0; c--)
        majority = counts[c] >= counts[majority] ? c : majority;
    for (int m = 0; m < masks; m++) {
        int own = table[m * masks + m], same = 0;
        if (own == majority)
            continue;
        for (int second = 0; second < masks; second++)
            same += table[m * masks + second] == own;
        if (same == masks)
            return own; /* case II: a disagreer that a second mask does not change */
    }
    return majority; /* case III */
}

static void random_tables_are_evaluated_alike(void **state)
{
    const subject *s = *state;
    int disagreers = 0;
    for (uint32_t round = 0; round < 200000; round++) {
        pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, round);
        int masks = 3 + (int)pg_rng_below(&rng, MOST - 2), classes = 1 + (int)pg_rng_below(&rng, WIDEST), table[MOST * MOST];
        uint32_t calm = pg_rng_below(&rng, 8); /* rows that are mostly of one class make disagreers */
        for (int m = 0; m < masks; m++) {
            int own = (int)pg_rng_below(&rng, (uint32_t)classes);
            for (int k = 0; k < masks; k++)
                table[m * masks + k] = pg_rng_below(&rng, calm + 1) ? own : (int)pg_rng_below(&rng, (uint32_t)classes);
        }
        int expected = says(table, masks, classes), counts[WIDEST] = {0}, most = 0;
        for (int m = 0; m < masks; m++)
            counts[table[m * masks + m]]++;
        for (int c = 0; c < classes; c++)
            most = PG_MAX(counts[c], most);
        disagreers += counts[expected] < most;
        assert_int_equal(predict(s, table, masks, classes), expected);
        for (int label = 0; label < classes; label++) {
            bool all = true;
            for (int i = 0; i < masks * masks; i++)
                all = all && table[i] == label;
            pg_verdict v = certify(s, table, masks, classes, label);
            assert_int_equal(v.prediction, expected);
            assert_int_equal(v.certified, all);
            if (v.certified && classes > 1)
                assert_true(v.has_margin && v.margin == PG_GRID);
        }
    }
    assert_true(disagreers > 1000);
}

/* ---- The certificate ---- */

/* Whether some contents of the pairs outside row `row` and column `column` change the prediction. */
static bool can_break(const subject *s, const int *clean, int label, int row, int column)
{
    int table[PAIRS], inside[PAIRS], n = 0, all = 1;
    memcpy(table, clean, sizeof table);
    for (int i = 0; i < PAIRS; i++)
        if (i / MASKS != row && i % MASKS != column) {
            inside[n++] = i;
            all *= CLASSES;
        }
    for (int contents = 0; contents < all; contents++) {
        for (int i = 0, rest = contents; i < n; i++, rest /= CLASSES)
            table[inside[i]] = rest % CLASSES;
        if (predict(s, table, MASKS, CLASSES) != label)
            return true;
    }
    return false;
}

/* All tables that can be; no certified one breaks whichever row and column stay, and every other one that is right breaks. */
static void certificates_of_all_tables_hold(void **state)
{
    const subject *s = *state;
    int tables = 1, certified = 0, refused = 0;
    for (int i = 0; i < PAIRS; i++)
        tables *= CLASSES;
    for (int number = 0; number < tables; number++) {
        int table[PAIRS];
        for (int i = 0, rest = number; i < PAIRS; i++, rest /= CLASSES)
            table[i] = rest % CLASSES;
        int label = predict(s, table, MASKS, CLASSES);
        bool proved = certify(s, table, MASKS, CLASSES, label).certified, broken = false;
        for (int window = 0; window < PAIRS && !broken; window++)
            broken = can_break(s, table, label, window / MASKS, window % MASKS);
        assert_int_equal(proved, !broken);
        certified += proved;
        refused += !proved;
    }
    assert_int_equal(certified, CLASSES);
    assert_int_equal(refused, tables - CLASSES);
}

static void margins_are_the_smallest(void **state)
{
    const subject *s = *state;
    int32_t q[PAIRS * CLASSES];
    pg_window all_but_one = {MASKS - 1, MASKS - 1};
    for (int i = 0; i < PAIRS; i++)
        for (int c = 0; c < CLASSES; c++)
            q[i * CLASSES + c] = c == 1 ? 1000 + i : 10 * c;
    q[4 * CLASSES + 2] = 904; /* 1004 - 904 */
    pg_verdict v = certify_q(s, q, MASKS, CLASSES, all_but_one, 0, 1);
    assert_true(v.certified && v.has_margin && v.margin == 100);
    assert_true(certify_q(s, q, MASKS, CLASSES, all_but_one, 49, 1).certified);
    assert_false(certify_q(s, q, MASKS, CLASSES, all_but_one, 50, 1).certified);
    v = certify_q(s, q, MASKS, CLASSES, all_but_one, 0, 0);
    assert_false(v.certified || v.has_margin);
    assert_int_equal(v.prediction, 1);
    q[4 * CLASSES + 2] = 1004; /* a tie, which the lower class wins */
    v = certify_q(s, q, MASKS, CLASSES, all_but_one, 0, 1);
    assert_true(v.prediction == 1 && !v.certified && v.margin == 0);
}

static void the_lower_class_wins_a_tie(void **state)
{
    const subject *s = *state;
    int32_t q[PAIRS * CLASSES] = {0};
    for (int i = 0; i < PAIRS; i++)
        q[i * CLASSES + 1] = q[i * CLASSES + 2] = 5;
    assert_int_equal(certify_q(s, q, MASKS, CLASSES, (pg_window){2, 2}, 0, 1).prediction, 1);
}

/* The rival as high as can be, all else as low, in the pairs of the window and nowhere else; there is no other way. */
static void worst_contents_are_the_extremes(void **state)
{
    const subject *s = *state;
    int32_t q[PAIRS * CLASSES] = {0}, contents[4 * CLASSES + 1];
    pg_evidence e = evidence_of(s, q, MASKS, CLASSES);
    pg_worst which = {.label = 0, .rival = 2};
    contents[4 * CLASSES] = 77;
    assert_true(s->defense->worst(&e, (pg_window){2, 2}, s->config, &which, s->scratch, contents));
    for (int i = 0; i < 4 * CLASSES; i++)
        assert_int_equal(contents[i], i % CLASSES == 2 ? PG_EVIDENCE_MAX : -PG_EVIDENCE_MAX);
    assert_int_equal(contents[4 * CLASSES], 77);
    which.variant = 1;
    assert_false(s->defense->worst(&e, (pg_window){2, 2}, s->config, &which, s->scratch, contents));
}

/* ---- Few masked images ---- */

/* An image: its pairs, and what is known of them. */
typedef struct few {
    int masks, classes;
    int32_t q[MOST * MOST * WIDEST], seen[MOST * MOST * WIDEST];
    bool known[MOST * MOST];
    int run; /* masked images that were run */
} few;

/* Logits of masked images that differ by few grid units, or by many; mostly for one class. */
static void draw(pg_rng *rng, few *f)
{
    uint32_t spread = pg_rng_below(rng, 2) ? 4 : 1000;
    int own = (int)pg_rng_below(rng, (uint32_t)f->classes), lead = (int)(pg_rng_below(rng, 3) * spread);
    for (int i = 0; i < f->masks; i++)
        for (int j = i; j < f->masks; j++)
            for (int c = 0; c < f->classes; c++) {
                int32_t value = (int32_t)pg_rng_below(rng, spread) + (c == own ? lead : 0);
                f->q[(i * f->masks + j) * f->classes + c] = f->q[(j * f->masks + i) * f->classes + c] = value;
            }
}

/* Asks until nothing is wanted; every masked image that is wanted runs. */
static void run_wanted(const subject *s, const void *config, int label, few *f)
{
    int next[MOST * MOST], positions = f->masks * f->masks, wanted;
    memset(f->seen, 0, sizeof f->seen);
    memset(f->known, 0, sizeof f->known);
    f->run = 0;
    pg_evidence e = evidence_of(s, f->seen, f->masks, f->classes);
    while ((wanted = s->defense->wanted(&e, f->known, label, config, s->scratch, next)) > 0) {
        assert_true(wanted <= positions);
        for (int i = 0; i < wanted; i++) {
            int at = next[i], like = at % f->masks * f->masks + at / f->masks;
            assert_true(at >= 0 && at < positions && !f->known[at]);
            f->known[at] = f->known[like] = true;
            for (int c = 0; c < f->classes; c++)
                f->seen[at * f->classes + c] = f->seen[like * f->classes + c] = f->q[at * f->classes + c];
            f->run++;
        }
    }
}

static int in_double(const subject *s, const void *config, const int32_t *q, const few *f)
{
    double values[MOST * MOST * WIDEST];
    for (int i = 0; i < f->masks * f->masks * f->classes; i++) /* what rounds to q, and what is not known stays 0 */
        values[i] = q == f->seen && !f->known[i / f->classes] ? 0 : f->q[i] + 0.49 - 0.98 * (i % 2);
    pg_evidence e = evidence_of(s, q, f->masks, f->classes);
    e.values = values;
    int prediction;
    s->defense->predict_double(&e, (pg_window){f->masks - 1, f->masks - 1}, &config, 1, s->scratch, &prediction);
    return prediction;
}

static pg_verdict verdict_of(const subject *s, const void *config, const int32_t *q, const few *f, int label)
{
    pg_evidence e = evidence_of(s, q, f->masks, f->classes);
    pg_verdict v;
    s->defense->certify(&e, (pg_window){f->masks - 1, f->masks - 1}, 0, label, &config, 1, s->scratch, &v);
    return v;
}

/* With what is wanted alone, prediction, certificate and its margin are those of all pairs, and so is the rule in double. */
static void few_pairs_say_what_all_say(void **state)
{
    const subject *s = *state;
    static const char *const pairs[] = {"pairs=all", "pairs=certificate", "pairs=prediction"};
    _Alignas(16) uint8_t configs[3][PG_CONFIG_MAX];
    int64_t run[3] = {0}, alone = 0, images = 0, certified = 0, refuted = 0, few_of_refuted = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pg_module_configure(&s->defense->module, "defense", &pairs[i], 1, configs[i]), PG_OK);
    for (uint32_t round = 0; round < 30000; round++) {
        pg_rng rng = pg_rng_make(4, PG_STREAM_TEST, round);
        few f = {.masks = 3 + (int)pg_rng_below(&rng, MOST - 2), .classes = 1 + (int)pg_rng_below(&rng, WIDEST)};
        draw(&rng, &f);
        int all = f.masks * (f.masks + 1) / 2;
        for (int label = 0; label < f.classes; label++) {
            pg_verdict whole = verdict_of(s, configs[0], f.q, &f, label);
            for (int i = 0; i < 3; i++) {
                run_wanted(s, configs[i], label, &f);
                pg_verdict v = verdict_of(s, configs[i], f.seen, &f, label);
                assert_int_equal(v.prediction, whole.prediction);
                assert_int_equal(v.certified, i < 2 && whole.certified);
                assert_int_equal(v.has_margin, i == 0 ? whole.has_margin : v.certified && whole.has_margin);
                assert_true(!v.has_margin || v.margin == whole.margin);
                assert_int_equal(in_double(s, configs[i], f.seen, &f), in_double(s, configs[i], f.q, &f));
                run[i] += f.run;
                assert_true(i > 0 || f.run == all);
            }
            certified += whole.certified;
            refuted += whole.prediction == label && !whole.certified;
            run_wanted(s, configs[1], label, &f);
            few_of_refuted += whole.prediction == label && !whole.certified && f.run < all;
            run_wanted(s, configs[0], -1, &f); /* where no certificate is wanted, none of the options matters */
            assert_int_equal(verdict_of(s, configs[0], f.seen, &f, label).prediction, whole.prediction);
            alone += f.run;
            images++;
        }
    }
    assert_true(certified > 1000 && refuted > 1000 && few_of_refuted > 1000);
    assert_true(alone == run[2] && run[2] < run[1] && run[1] < run[0] && images > 0);
}

/* Which positions are wanted, in order. */
static void expect_wanted(const subject *s, const few *f, const char *pairs, int label, const char *expected)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    int next[MOST * MOST];
    char text[256] = "";
    assert_int_equal(pg_module_configure(&s->defense->module, "defense", &pairs, 1, config), PG_OK);
    pg_evidence e = evidence_of(s, f->q, f->masks, f->classes);
    int n = s->defense->wanted(&e, f->known, label, config, s->scratch, next);
    for (int i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d%d", i ? " " : "", next[i] / f->masks,
                 next[i] % f->masks);
    assert_string_equal(text, expected);
}

static void tell(few *f, int first, int second, int32_t margin)
{
    int at = first * f->masks + second, like = second * f->masks + first;
    f->known[at] = f->known[like] = true;
    f->q[at * 2] = f->q[like * 2] = margin;
    f->q[at * 2 + 1] = f->q[like * 2 + 1] = 0;
}

/* Four masks, two classes. */
static void the_hardest_pairs_come_first(void **state)
{
    const subject *s = *state;
    few f = {.masks = 4, .classes = 2};
    expect_wanted(s, &f, "pairs=certificate", 0, "00 11 22 33");
    expect_wanted(s, &f, "pairs=all", -1, "00 11 22 33");
    expect_wanted(s, &f, "pairs=all", 0, "00 01 02 03 11 12 13 22 23 33");
    tell(&f, 0, 0, 50), tell(&f, 1, 1, 10), tell(&f, 2, 2, 40), tell(&f, 3, 3, 20);
    expect_wanted(s, &f, "pairs=certificate", 0, "13 12 01 23"); /* as many as have run; equal sums in their order */
    expect_wanted(s, &f, "pairs=certificate", 1, "");            /* refuted, and the prediction is known */
    expect_wanted(s, &f, "pairs=certificate", -1, "");
    expect_wanted(s, &f, "pairs=prediction", 0, "");
    tell(&f, 1, 3, 2), tell(&f, 1, 2, 3), tell(&f, 0, 1, 3), tell(&f, 2, 3, 3);
    expect_wanted(s, &f, "pairs=certificate", 0, "03 02");
    tell(&f, 0, 3, 1); /* close: rounding may decide */
    expect_wanted(s, &f, "pairs=certificate", 0, "02");
    expect_wanted(s, &f, "pairs=prediction", 0, "02");
    tell(&f, 0, 3, -2); /* refuted */
    expect_wanted(s, &f, "pairs=certificate", 0, "");
}

static void a_prediction_wants_rows_of_those_who_disagree(void **state)
{
    const subject *s = *state;
    few f = {.masks = 4, .classes = 2};
    tell(&f, 0, 0, 50), tell(&f, 1, 1, -10), tell(&f, 2, 2, -40), tell(&f, 3, 3, 20);
    expect_wanted(s, &f, "pairs=prediction", 0, "10 12 13"); /* two and two: class 0, so that mask 1 may decide */
    expect_wanted(s, &f, "pairs=certificate", 0, "10 12 13");
    tell(&f, 0, 1, -7);
    expect_wanted(s, &f, "pairs=prediction", 0, "12 13");
    tell(&f, 1, 3, 7); /* mask 1 does not, whatever the pair of 1 and 2 gives */
    expect_wanted(s, &f, "pairs=prediction", 0, "20 21 23");
    tell(&f, 1, 2, 7); /* nor does mask 2 */
    expect_wanted(s, &f, "pairs=prediction", 0, "");
    tell(&f, 1, 2, -7), tell(&f, 1, 3, -7); /* mask 1 decides */
    expect_wanted(s, &f, "pairs=prediction", 0, "");
}

static void predictions_have_no_certificate(void **state)
{
    const subject *s = *state;
    static const char *const pairs[] = {"pairs=all", "pairs=certificate", "pairs=prediction"};
    for (int i = 0; i < 3; i++) {
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        assert_int_equal(pg_module_configure(&s->defense->module, "defense", &pairs[i], 1, config), PG_OK);
        assert_int_equal(s->defense->certificate(config), i < 2 ? PG_CERTIFICATE_EXACT : PG_CERTIFICATE_NONE);
    }
}

/* A patch that no mask hides leaves nothing to go by. */
static void a_window_of_all_masks_proves_nothing(void **state)
{
    const subject *s = *state;
    int table[PAIRS] = {0};
    int32_t q[PAIRS * CLASSES];
    write_table(table, PAIRS, CLASSES, q);
    assert_true(certify_q(s, q, MASKS, CLASSES, (pg_window){2, 2}, 0, 0).certified);
    assert_true(certify_q(s, q, MASKS, CLASSES, (pg_window){1, 1}, 0, 0).certified);
    assert_false(certify_q(s, q, MASKS, CLASSES, (pg_window){3, 2}, 0, 0).certified);
    assert_false(certify_q(s, q, MASKS, CLASSES, (pg_window){2, 3}, 0, 0).certified);
    assert_false(certify_q(s, q, MASKS, CLASSES, (pg_window){9, 9}, 0, 0).certified);
}

static void maps_that_are_no_pairs_are_refused(void **state)
{
    const subject *s = *state;
    assert_int_equal(s->defense->check(s->config, 3, 3, 2), PG_OK);
    assert_int_equal(s->defense->check(s->config, 3, 4, 2), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "a map of 3x4"));
    assert_int_equal(s->defense->check(s->config, 2, 2, 2), PG_EINPUT);
    pg_map map;
    assert_int_equal(s->defense->masked_map(s->config, &(pg_image_patch_size){8, 8, 8, 8}, &map), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "8x8 pixels leaves room for 1 mask on an image of 8x8"));
    assert_int_equal(s->defense->masked_map(s->config, &(pg_image_patch_size){8, 9, 8, 8}, &map), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "2 masks on an image of 8x9"));
    assert_int_equal(s->defense->masked_map(s->config, &(pg_image_patch_size){8, 10, 8, 8}, &map), PG_OK);
    assert_int_equal(map.height, 3);
}

/* ---- Masks ---- */

enum { SIDE_MAX = 13 };

static void configure(const subject *s, const char *pair, void *config)
{
    assert_int_equal(pg_module_configure(&s->defense->module, "defense", &pair, 1, config), PG_OK);
}

/* The pixels of the copy of mask `mask` alone that are hidden. */
static void hidden_by(const subject *s, const void *config, const pg_image_patch_size *f, int mask,
                      bool hidden[SIDE_MAX][SIDE_MAX])
{
    uint8_t black[3 * SIDE_MAX * SIDE_MAX] = {0}, out[3 * SIDE_MAX * SIDE_MAX];
    pg_map map;
    assert_int_equal(s->defense->masked_map(config, f, &map), PG_OK);
    memset(out, 0x77, sizeof out);
    assert_int_equal(s->defense->mask_image(config, f, mask, mask, black, out), mask * map.width + mask);
    for (size_t i = 3 * (size_t)(f->height * f->width); i < sizeof out; i++)
        assert_int_equal(out[i], 0x77); /* not a pixel more */
    for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width; x++) {
            hidden[y][x] = out[y * f->width + x] == 128;
            for (int c = 0; c < 3; c++)
                assert_int_equal(out[(c * f->height + y) * f->width + x], hidden[y][x] ? 128 : 0);
        }
}

static bool hides(bool hidden[SIDE_MAX][SIDE_MAX], int top, int left, const pg_image_patch_size *f)
{
    for (int y = top; y < top + f->patch_height; y++)
        for (int x = left; x < left + f->patch_width; x++)
            if (!hidden[y][x])
                return false;
    return true;
}

/* No place is left out, no mask is larger than the publication's: the patch and a step less one, on either axis. */
static void every_place_is_hidden(void **state)
{
    const subject *s = *state;
    static const char *const numbers[] = {"masks=2", "masks=3", "masks=6"};
    int frames = 0;
    for (int n = 0; n < 3; n++)
        for (pg_image_patch_size f = {.height = 9, .width = SIDE_MAX, .patch_height = 1}; f.patch_height <= 8; f.patch_height++)
            for (f.patch_width = 1; f.patch_width <= 9; f.patch_width++) {
                _Alignas(16) uint8_t config[PG_CONFIG_MAX];
                bool hidden[36][SIDE_MAX][SIDE_MAX];
                pg_map map;
                configure(s, numbers[n], config);
                assert_int_equal(s->defense->masked_map(config, &f, &map), PG_OK);
                assert_true(map.height == map.width && map.height <= 36 && map.wrap_rows && map.wrap_columns);
                assert_true(map.window.height == map.height - 1 && map.window.width == map.width - 1);
                for (int m = 0; m < map.height; m++)
                    hidden_by(s, config, &f, m, hidden[m]);
                for (int top = 0; top <= f.height - f.patch_height; top++)
                    for (int left = 0; left <= f.width - f.patch_width; left++) {
                        bool any = false;
                        for (int m = 0; m < map.height; m++)
                            any = any || hides(hidden[m], top, left, &f);
                        assert_true(any);
                    }
                frames++;
            }
    assert_int_equal(frames, 3 * 8 * 9);
}

/* 32 pixels, a patch of 5, six masks: 9 pixels each, every 5. Pairs hide what both hide, and are told alike. */
static void masks_are_those_of_the_publication(void **state)
{
    const subject *s = *state;
    enum { SIDE = 32, ALL = 3 * SIDE * SIDE };
    static uint8_t pixels[ALL], one[ALL], other[ALL], both[ALL];
    pg_image_patch_size f = {SIDE, SIDE, 5, 5};
    pg_map map;
    memset(pixels, 7, ALL);
    assert_int_equal(s->defense->masked_map(s->config, &f, &map), PG_OK);
    assert_int_equal(map.height, 36);
    for (int a = 0; a < 36; a++)
        for (int b = a; b < 36; b++) {
            assert_int_equal(s->defense->mask_image(s->config, &f, a, a, pixels, one), a * 36 + a);
            assert_int_equal(s->defense->mask_image(s->config, &f, b, b, pixels, other), b * 36 + b);
            assert_int_equal(s->defense->mask_image(s->config, &f, a, b, pixels, both), a * 36 + b);
            if (a < b)
                assert_int_equal(s->defense->mask_image(s->config, &f, b, a, pixels, NULL), a * 36 + b);
            int hidden = 0;
            for (int i = 0; i < ALL; i++) {
                assert_int_equal(both[i], one[i] == 128 || other[i] == 128 ? 128 : 7);
                hidden += one[i] == 128;
            }
            assert_int_equal(hidden, 3 * 9 * 9);
        }
    assert_int_equal(s->defense->mask_image(s->config, &f, 35, 35, pixels, one), 35 * 36 + 35);
    assert_true(one[ALL - 1] == 128 && one[22 * SIDE + 23] == 7 && one[23 * SIDE + 23] == 128); /* the last ends at the edge */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tables_are_evaluated_alike),
        cmocka_unit_test(certificates_of_all_tables_hold),
        cmocka_unit_test(margins_are_the_smallest),
        cmocka_unit_test(the_lower_class_wins_a_tie),
        cmocka_unit_test(few_pairs_say_what_all_say),
        cmocka_unit_test(the_hardest_pairs_come_first),
        cmocka_unit_test(a_prediction_wants_rows_of_those_who_disagree),
        cmocka_unit_test(predictions_have_no_certificate),
        cmocka_unit_test(worst_contents_are_the_extremes),
        cmocka_unit_test(a_window_of_all_masks_proves_nothing),
        cmocka_unit_test(maps_that_are_no_pairs_are_refused),
        cmocka_unit_test(every_place_is_hidden),
        cmocka_unit_test(masks_are_those_of_the_publication),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
