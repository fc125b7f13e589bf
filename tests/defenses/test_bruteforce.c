/* Certificates against every content of every window, on small maps: the attacker's values come from a finite set that holds
 * the extremes, and all of them are tried at all positions of the window for all classes.
 *
 * Sound: a certified image is never flipped, under the defense's own prediction, and (but for ds) no wrong class reaches even a
 * tie. Exact, for rules marked so: an image that is not certified has contents with which a wrong class reaches at least a tie.
 * Locality: the same soundness when, besides, every value outside the window moves by up to delta. */
#include "tests/support/rules.h"

/* What a rule is played with: values of the benign evidence, values of the attacker, by how much the outside moves. */
typedef struct game {
    const char *id; /* of rule_cases */
    int n_benign, n_attack;
    int32_t benign[4], attack[8], delta;
} game;

#define U RULE_UNIT
static const game games[] = {
    {"mean", 3, 3, {-1, 0, 2}, {-100, 0, 100}, 1},
    {"mean-confidence", 3, 3, {0, U / 2, U}, {0, U / 2, U}, U / 2},
    {"mean-prediction", 2, 2, {0, U}, {0, U}, U},
    {"clip", 3, 3, {-2 * U, 0, 3 * U}, {-2 * U, 0, 3 * U}, U},
    {"clip-inf", 3, 3, {0, 1, 2}, {0, 1, 100}, 1},
    {"cbn", 3, 3, {-U, 0, U}, {-U, 0, U}, U / 4},
    {"ds-votes", 2, 2, {0, U}, {0, U}, U},
    {"ds-window", 2, 2, {0, U}, {0, U}, U},
    {"median", 3, 4, {-1, 0, 1}, {-100, 0, 1, 100}, 1},
    {"median-confidence", 3, 3, {0, U / 2, U}, {0, U / 2, U}, U / 2},
    {"trimmed-0", 3, 3, {0, 1, 3}, {-100, 0, 100}, 1},
    {"trimmed-1", 4, 4, {-1, 0, 1, 4}, {-100, 0, 1, 100}, 1},
    {"trimmed-2-votes", 2, 2, {0, U}, {0, U}, U},
    {"mask-0", 4, 5, {0, 1, 2, 5}, {0, 1, 2, 5, 100}, 1},
    {"mask-0.2", 4, 6, {0, 1, 2, 5}, {0, 1, 2, 3, 5, 100}, 1},
    {"mask-0.5", 4, 6, {0, 1, 2, 5}, {0, 1, 2, 3, 5, 100}, 1},
    {"mask-1", 3, 4, {0, 1, 2}, {0, 1, 4, 100}, 1},
    {"mask-clip-0", 4, 4, {0, U, 2 * U, 3 * U}, {0, U, 2 * U, 3 * U}, U / 2},
    {"mask-clip-0.2", 4, 4, {0, U, 2 * U, 3 * U}, {0, U, 2 * U, 3 * U}, U / 2},
    {"mask-clip-0.5", 4, 4, {0, U, 2 * U, 3 * U}, {0, U, 2 * U, 3 * U}, U / 2},
    {"mask-clip-1", 4, 4, {0, U, 2 * U, 3 * U}, {0, U, 2 * U, 3 * U}, U / 2},
    {"mask-confidence-0.999999", 3, 3, {0, U / 2, U}, {0, U / 2, U}, U / 4},
    {"mask-votes-0.3", 2, 2, {0, U}, {0, U}, U},
    {"double", 4, 4, {-1, 0, 1, 4}, {-100, 0, 1, 100}, 1},
    {"double-2", 4, 4, {-1, 0, 1, 4}, {-100, 0, 1, 100}, 1},
    {"double-3", 3, 3, {-1, 0, 4}, {-100, 0, 100}, 1},
    {"double-confidence", 3, 3, {0, U / 2, U}, {0, U / 2, U}, U / 4},
    {"double-votes", 2, 2, {0, U}, {0, U}, U},
};
enum { N_GAMES = sizeof games / sizeof *games, VALUES = 64 };

typedef struct match {
    const game *game;
    const rule_case *rule;
    const pg_defense *defense;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    pg_evidence_spec spec;
    oracle_map map;
    const oracle_windows *windows;
    int32_t clean[VALUES], now[VALUES];
    void *scratch;
    long certified, refused; /* counted */
} match;

/* Over all tests: they say something only if there are both. */
static long all_certified, all_refused;

static void set_up(match *b, const game *g, oracle_map map)
{
    *b = (match){.game = g, .map = map};
    for (size_t i = 0; i < N_RULE_CASES; i++)
        if (strcmp(rule_cases[i].id, g->id) == 0)
            b->rule = &rule_cases[i];
    assert_non_null(b->rule);
    b->defense = pg_defense_find(b->rule->defense);
    rule_configure(b->defense, b->rule->options, b->config);
    b->defense->evidence(b->config, &b->spec);
    b->map.q = b->now;
    b->windows = oracle_windows_of(&b->map);
    b->scratch = aligned_alloc(64, (b->defense->scratch_size(map.height, map.width, map.classes, 1) + 127) & ~(size_t)63);
}

static pg_evidence evidence_of(const match *b)
{
    const oracle_map *m = &b->map;
    return (pg_evidence){b->now, m->height, m->width, m->classes, m->wrap_rows, m->wrap_columns, &b->spec, NULL};
}

static pg_window window_of(const match *b) { return (pg_window){b->map.window_height, b->map.window_width}; }

static pg_verdict certify(const match *b, int label, int64_t delta)
{
    pg_evidence evidence = evidence_of(b);
    const void *config = b->config;
    pg_verdict verdict;
    b->defense->certify(&evidence, window_of(b), delta, label, &config, 1, b->scratch, &verdict);
    return verdict;
}

/* Whether two-mask agreement gives another class where the label comes last, so that it loses every tie. */
static bool disagreed(const match *b, int label)
{
    int32_t behind[VALUES];
    oracle_map m = b->map;
    memcpy(behind, b->now, sizeof behind);
    m.q = behind;
    for (int p = 0; p < m.height * m.width; p++) {
        behind[p * m.classes + label] = b->now[p * m.classes + m.classes - 1];
        behind[p * m.classes + m.classes - 1] = b->now[p * m.classes + label];
    }
    return oracle_agreed(oracle_masks_of(&b->rule->oracle, &m), m.classes) != m.classes - 1;
}

/* Whether the tensor as it is now has the label beaten: a tie counts, but for votes, where the prediction decides. */
static bool beaten(match *b, int label)
{
    int64_t score[ORACLE_CLASSES] = {0};
    oracle_kind kind = b->rule->oracle.kind;
    if (kind == ORACLE_DOUBLE)
        return disagreed(b, label);
    oracle_scores(&b->rule->oracle, &b->map, b->windows, score);
    if (kind == ORACLE_VOTES || kind == ORACLE_WINDOW)
        return oracle_argmax(score, b->map.classes) != label;
    for (int c = 0; c < b->map.classes; c++)
        if (c != label && score[c] >= score[label])
            return true;
    return false;
}

static bool flipped(match *b, int label)
{
    pg_evidence evidence = evidence_of(b);
    return b->defense->predict(&evidence, window_of(b), b->config, b->scratch) != label;
}

/* Tries all contents of window w. Returns whether one beats the label; `evaluator`: also asks the defense itself each time. */
static bool attack_window(match *b, int w, int label, bool evaluator)
{
    int cells[VALUES], digit[VALUES] = {0}, n = 0, classes = b->map.classes;
    bool found = false;
    for (int p = 0; p < b->map.height * b->map.width; p++)
        for (int c = 0; c < classes && b->windows->has[w][p]; c++)
            cells[n++] = p * classes + c;
    for (int i = 0; i < n; i++)
        b->now[cells[i]] = b->game->attack[0];
    for (int i = 0; i < n && !found;) {
        found = beaten(b, label) || (evaluator && flipped(b, label));
        for (i = 0; i < n && digit[i] == b->game->n_attack - 1; i++) {
            digit[i] = 0;
            b->now[cells[i]] = b->game->attack[0];
        }
        if (i < n)
            b->now[cells[i]] = b->game->attack[++digit[i]];
    }
    for (int i = 0; i < n; i++)
        b->now[cells[i]] = b->clean[cells[i]];
    return found;
}

static bool attack(match *b, int label, bool evaluator)
{
    for (int w = 0; w < b->windows->count; w++)
        if (attack_window(b, w, label, evaluator))
            return true;
    return false;
}

static void show(const match *b, const char *what, int label)
{
    char text[1024];
    int n = 0;
    for (int i = 0; i < b->map.height * b->map.width * b->map.classes; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %d", (int)b->clean[i]);
    fail_msg("%s: %s, label %d, %dx%dx%d wrap %d %d window %dx%d:%s", b->rule->id, what, label, b->map.height, b->map.width,
             b->map.classes, b->map.wrap_rows, b->map.wrap_columns, b->map.window_height, b->map.window_width, text);
}

/* One tensor, in b->clean. */
static void play(match *b)
{
    memcpy(b->now, b->clean, sizeof b->now);
    pg_evidence evidence = evidence_of(b);
    int label = b->defense->predict(&evidence, window_of(b), b->config, b->scratch);
    for (int wrong = 0; wrong < b->map.classes; wrong++)
        if (wrong != label && certify(b, wrong, 0).certified)
            show(b, "certified though the prediction is another class", wrong);
    pg_verdict verdict = certify(b, label, 0);
    assert_int_equal(verdict.prediction, label);
    b->certified += verdict.certified;
    b->refused += !verdict.certified;
    if (verdict.certified && attack(b, label, true))
        show(b, "certified, and broken", label);
    bool exact = b->defense->certificate(b->config) == PG_CERTIFICATE_EXACT;
    if (!verdict.certified && exact && !attack(b, label, false))
        show(b, "refused, and no contents break it", label);
}

static bool fits(const match *b)
{
    return b->rule->oracle.kind != ORACLE_TRIM || 2 * b->rule->oracle.trim < b->map.height * b->map.width;
}

/* All tensors over the benign values where they are at most `most`, else `most` random ones. */
static void play_all(match *b, long most)
{
    int n = b->map.height * b->map.width * b->map.classes;
    double all = 1;
    for (int i = 0; i < n; i++)
        all *= b->game->n_benign;
    long rounds = all <= (double)most ? (long)all : most;
    for (long round = 0; round < rounds; round++) {
        pg_rng rng = pg_rng_make(21, PG_STREAM_TEST, (uint32_t)round);
        long rest = round;
        for (int i = 0; i < n; i++) {
            long digit = all <= (double)most ? rest % b->game->n_benign : (long)pg_rng_below(&rng, (uint32_t)b->game->n_benign);
            b->clean[i] = b->game->benign[digit];
            rest /= b->game->n_benign;
        }
        /* A random tensor certifies nothing where windows are large: help the first class on every other one. */
        if (all > (double)most && round % 2)
            for (int i = 0; i < n; i += b->map.classes)
                b->clean[i] = b->clean[i] < b->game->benign[b->game->n_benign - 1] && round % 4 == 1
                                  ? b->game->benign[b->game->n_benign - 1]
                                  : b->clean[i];
        play(b);
    }
}

static void play_map(oracle_map map, long most, double most_contents)
{
    for (size_t i = 0; i < N_GAMES; i++) {
        match b;
        set_up(&b, &games[i], map);
        double contents = 1;
        for (int j = 0; j < map.window_height * map.window_width * map.classes; j++)
            contents *= games[i].n_attack;
        if (fits(&b) && contents <= most_contents)
            play_all(&b, most);
        all_certified += b.certified;
        all_refused += b.refused;
        free(b.scratch);
    }
}

static void one_by_three(void **state)
{
    (void)state;
    play_map((oracle_map){1, 3, 2, false, false, 1, 1, NULL}, 4096, 64);
    play_map((oracle_map){1, 3, 2, false, true, 1, 2, NULL}, 60, 1300);
}

static void one_by_four_and_five(void **state)
{
    (void)state;
    play_map((oracle_map){1, 4, 2, false, false, 1, 1, NULL}, 800, 64);
    play_map((oracle_map){1, 4, 2, false, true, 1, 2, NULL}, 60, 700);
    play_map((oracle_map){1, 5, 2, false, true, 1, 1, NULL}, 500, 64);
    play_map((oracle_map){1, 5, 2, false, true, 1, 2, NULL}, 60, 700);
    play_map((oracle_map){1, 5, 2, false, true, 1, 3, NULL}, 12, 4100);
    play_map((oracle_map){1, 7, 2, false, false, 1, 2, NULL}, 50, 700);
}

static void two_by_three(void **state)
{
    (void)state;
    play_map((oracle_map){2, 3, 2, false, false, 1, 1, NULL}, 400, 64);
    play_map((oracle_map){2, 3, 2, false, false, 2, 1, NULL}, 60, 700);
    play_map((oracle_map){2, 3, 2, false, false, 1, 2, NULL}, 60, 700);
    play_map((oracle_map){2, 3, 2, true, true, 1, 2, NULL}, 40, 700);
    play_map((oracle_map){2, 3, 2, false, false, 2, 2, NULL}, 6, 7000);
    play_map((oracle_map){2, 3, 2, false, false, 2, 3, NULL}, 20, 64);
}

static void three_by_three(void **state)
{
    (void)state;
    play_map((oracle_map){3, 3, 2, false, false, 1, 1, NULL}, 300, 64);
    play_map((oracle_map){3, 3, 2, false, false, 2, 1, NULL}, 30, 700);
    play_map((oracle_map){3, 3, 2, true, false, 2, 1, NULL}, 30, 700);
    play_map((oracle_map){3, 3, 2, true, true, 2, 2, NULL}, 3, 7000);
}

/* Two masks that a stride makes longer leave something on longer maps only: the rules that have one, on their own. */
static void masks_with_a_stride(void **state)
{
    (void)state;
    static const oracle_map maps[] = {{1, 7, 2, false, false, 1, 1, NULL}, {1, 7, 2, false, true, 1, 1, NULL},
                                      {1, 9, 2, false, true, 1, 1, NULL},  {1, 11, 2, false, false, 1, 1, NULL},
                                      {1, 9, 2, false, false, 1, 2, NULL}, {3, 4, 2, true, false, 1, 1, NULL}};
    for (size_t i = 0; i < N_GAMES; i++) {
        long certified = 0, refused = 0;
        for (size_t j = 0; j < sizeof maps / sizeof *maps; j++) {
            match b;
            set_up(&b, &games[i], maps[j]);
            if (b.rule->oracle.kind == ORACLE_DOUBLE)
                play_all(&b, 40);
            certified += b.certified;
            refused += b.refused;
            free(b.scratch);
        }
        const char *id = games[i].id;
        if (strncmp(id, "double", 6) == 0)
            print_message("%s: %ld certified, %ld refused\n", id, certified, refused);
        assert_true(strncmp(id, "double", 6) != 0 || (certified > 10 && refused > 10));
    }
}

static void three_classes(void **state)
{
    (void)state;
    play_map((oracle_map){1, 4, 3, false, false, 1, 1, NULL}, 500, 220);
    play_map((oracle_map){1, 5, 3, false, true, 1, 2, NULL}, 10, 4100);
    play_map((oracle_map){2, 2, 3, false, false, 1, 1, NULL}, 300, 220);
    play_map((oracle_map){2, 3, 3, false, true, 1, 2, NULL}, 10, 4100);
}

static int32_t moved(const match *b, int32_t value, int32_t by)
{
    int64_t lo = b->rule->values == VALUES_ANY ? INT32_MIN : b->rule->values == VALUES_CLIPPED ? b->rule->oracle.lo : 0;
    int64_t hi = b->rule->values == VALUES_ANY || b->rule->values == VALUES_POSITIVE ? INT32_MAX
                 : b->rule->values == VALUES_CLIPPED                                 ? b->rule->oracle.hi
                                                                                     : RULE_UNIT;
    int64_t sum = (int64_t)value + by;
    return (int32_t)(sum < lo ? lo : sum > hi ? hi : sum);
}

/* The largest delta at which the clean tensor is certified, tried on every corner of the box around the outside. */
static void play_locality(match *b)
{
    int positions = b->map.height * b->map.width, classes = b->map.classes;
    int32_t benign[VALUES], delta = b->game->delta;
    memcpy(benign, b->clean, sizeof benign);
    memcpy(b->now, benign, sizeof benign);
    pg_evidence evidence = evidence_of(b);
    int label = b->defense->predict(&evidence, window_of(b), b->config, b->scratch);
    pg_verdict without = certify(b, label, 0), with = certify(b, label, delta);
    assert_true(without.certified || !with.certified);
    assert_int_equal(without.margin, with.margin);
    b->refused += without.certified && !with.certified;
    if (!with.certified)
        return;
    b->certified++;
    for (int w = 0; w < b->windows->count; w++) {
        int cells[VALUES], n = 0;
        for (int p = 0; p < positions; p++)
            for (int c = 0; c < classes && !b->windows->has[w][p]; c++)
                cells[n++] = p * classes + c;
        for (int corner = 0; corner < 1 << n; corner++) {
            memcpy(b->clean, benign, sizeof benign);
            for (int i = 0; i < n; i++)
                b->clean[cells[i]] = moved(b, benign[cells[i]], corner >> i & 1 ? delta : -delta);
            memcpy(b->now, b->clean, sizeof b->now);
            if (attack_window(b, w, label, true)) {
                memcpy(b->clean, benign, sizeof benign);
                show(b, "certified with locality, and broken", label);
            }
        }
    }
}

static void locality_is_survived(void **state)
{
    (void)state;
    static const oracle_map maps[] = {{1, 3, 2, false, false, 1, 1, NULL},
                                      {1, 4, 2, false, true, 1, 1, NULL},
                                      {1, 5, 2, false, true, 1, 1, NULL},
                                      {1, 7, 2, false, true, 1, 1, NULL}};
    enum { MAPS = sizeof maps / sizeof *maps };
    long certified = 0, refused = 0, with_stride[4] = {0}, refused_with_stride[4] = {0};
    for (size_t i = 0; i < MAPS * N_GAMES; i++) {
        match b;
        set_up(&b, &games[i / MAPS], maps[i % MAPS]);
        /* two masks of a larger stride cover the smaller maps */
        int stride = b.rule->oracle.kind == ORACLE_DOUBLE ? b.rule->oracle.trim : 0, least = i % MAPS == 3 ? 3 : i % MAPS == 2;
        uint32_t rounds = stride < least ? 0 : least == 3 ? 12 : 40;
        for (uint32_t round = 0; fits(&b) && round < rounds; round++) {
            pg_rng rng = pg_rng_make(22, PG_STREAM_TEST, round);
            int n = b.map.width * b.map.classes;
            for (int j = 0; j < n; j++) {
                /* larger benign values than elsewhere, where the rule allows them: there has to be room for a margin */
                int32_t most = b.rule->values == VALUES_ANY || b.rule->values == VALUES_POSITIVE ? 12 : 1;
                most = most > 1 && stride > 0 ? 2 + (int32_t)(round % 6) * 3 : most;
                b.clean[j] = b.game->benign[pg_rng_below(&rng, (uint32_t)b.game->n_benign)];
                b.clean[j] = j % 2 == 0 && most > 1 ? b.clean[j] + most : b.clean[j];
                b.clean[j] = j % 2 == 0 && most == 1 && round % 2 ? b.game->benign[b.game->n_benign - 1] : b.clean[j];
                b.clean[j] = j % 2 == 1 && most == 1 && round % 4 == 1 ? b.game->benign[0] : b.clean[j];
            }
            play_locality(&b);
        }
        certified += b.certified;
        refused += b.refused;
        with_stride[stride] += b.certified;
        refused_with_stride[stride] += b.refused;
        free(b.scratch);
    }
    /* The test says something: there are both. */
    assert_true(certified > 100);
    assert_true(refused > 100);
    for (int stride = 1; stride <= 3; stride++)
        assert_true(with_stride[stride] > 0 && refused_with_stride[stride] > 0);
}

static void there_were_both(void **state)
{
    (void)state;
    print_message("%ld certified tensors attacked in vain, %ld refused\n", all_certified, all_refused);
    assert_true(all_certified > 5000);
    assert_true(all_refused > 5000);
}

/* An example as in defenses/CERTIFICATES.md, section 13: the paper's certificate of scope predicted is broken by the attack on
 * the predicted class. */
static void published_certificate_is_broken(void **state)
{
    (void)state;
    const pg_defense *defense = pg_defense_find("robust-masking");
    unsigned char config[PG_CONFIG_MAX];
    rule_configure(defense, "scope=predicted", config);
    assert_int_equal(defense->certificate(config), PG_CERTIFICATE_NONE);
    pg_evidence_spec spec;
    defense->evidence(config, &spec);
    int32_t q[8] = {4 * U, 0, 3 * U, 0, 3 * U, 0, 0, 0};
    pg_evidence evidence = {q, 1, 4, 2, false, false, &spec, NULL};
    void *scratch = aligned_alloc(64, (defense->scratch_size(1, 4, 2, 1) + 63) & ~(size_t)63);
    const void *pointer = config;
    pg_verdict verdict;
    defense->certify(&evidence, (pg_window){1, 1}, 0, 0, &pointer, 1, scratch, &verdict);
    assert_int_equal(verdict.failure_case, 4);
    assert_true(verdict.certified_published);
    assert_false(verdict.certified);
    assert_int_equal(verdict.prediction, 0);
    q[7] = (int32_t)(9.9 * U);
    assert_int_equal(defense->predict(&evidence, (pg_window){1, 1}, config, scratch), 1);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_by_three),
        cmocka_unit_test(one_by_four_and_five),
        cmocka_unit_test(two_by_three),
        cmocka_unit_test(three_by_three),
        cmocka_unit_test(masks_with_a_stride),
        cmocka_unit_test(three_classes),
        cmocka_unit_test(locality_is_survived),
        cmocka_unit_test(there_were_both),
        cmocka_unit_test(published_certificate_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
