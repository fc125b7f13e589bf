/* Measurements of locality as text, beside weights and together; and what room for a moved image promises, by brute force. No
 * libtorch. */
#include "defenses/certifier.h"
#include "defenses/evidence.h"
#include "harness/base/file.h"
#include "harness/base/rng.h"
#include "harness/plan/defended.h"
#include "models/locality.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const pg_locality plain = {
    .measured = true, .delta_grid = 3, .trials = 256, .outside = 250, .device = "cpu", .isa = "avx2", .batch = 128};

static pg_weights_info info_of(const char *metadata)
{
    pg_weights_info info = {.geometry = {.input_height = 32,
                                         .input_width = 32,
                                         .rows = {.positions = 8, .field = 9, .stride = 2},
                                         .columns = {.positions = 8, .field = 9, .stride = 2},
                                         .classes = 10}};
    memset(info.hash, 'a', PG_HASH_HEX - 1);
    if (metadata)
        assert_int_equal(pg_locality_parse(metadata, &info.locality), PG_OK);
    return info;
}

/* ---- Text ---- */

static void metadata_is_read_and_written(void **state)
{
    (void)state;
    pg_locality l, older;
    char text[PG_LOCALITY_TEXT];
    pg_locality_format(&plain, text);
    assert_string_equal(text, "3:250:fp32:cpu:128:avx2"); /* trials with a position outside */
    assert_int_equal(pg_locality_parse(text, &l), PG_OK);
    assert_true(l.measured && l.delta_grid == 3 && l.trials == 250 && l.batch == 128 && l.dtype == PG_DTYPE_F32);
    assert_string_equal(l.device, "cpu");
    assert_string_equal(l.isa, "avx2");
    assert_int_equal(pg_locality_parse("0:1:bf16:cuda:64", &older), PG_OK); /* as it was written before */
    assert_true(older.dtype == PG_DTYPE_BF16 && older.batch == 64 && older.outside == -1 && !*older.isa);
    static const char *const bad[] = {"",
                                      "0:1:fp32:cpu",
                                      "0:1:fp32:cpu:",
                                      "0:1:fp32:cpu:128:",
                                      "0:1:fp32:cpu:128x",
                                      "0:1:fp32:cpu:128:avx2 ",
                                      "-1:1:fp32:cpu:1",
                                      "0:0:fp32:cpu:1",
                                      "0:1:fp64:cpu:1",
                                      "0:1:fp32:tpu:1",
                                      "0:1:fp32:cpu:0",
                                      "0:1:fp32:cpu:128:a:b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pg_locality_parse(bad[i], &l), PG_EDAMAGED);
}

static const char *beside(const char *weights)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s.locality", weights);
    return scratch_path(name);
}

static int read_text(const char *text, pg_weights_info *info)
{
    *info = info_of(NULL);
    assert_int_equal(pg_file_write(beside("net"), text, strlen(text)), PG_OK);
    return pg_locality_read(scratch_path("net"), info);
}

#define SHA  "sha256=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
#define HEAD "patchgauge.locality 1\n" SHA
#define LINE                                                                                                                \
    "delta=0 trials=256 outside=256 elsewhere=1 moved=176 images=128 batches=1,16,64,128 dtype=fp32 device=cpu isa=avx512 " \
    "batch=128\n"
#define SHORT "delta=7 trials=8 outside=8 dtype=bf16 device=cuda batch=8\n"

static void the_file_beside_weights_is_read(void **state)
{
    (void)state;
    pg_weights_info info = info_of(NULL);
    assert_int_equal(pg_locality_read(scratch_path("none"), &info), PG_OK); /* there need not be one */
    assert_int_equal(info.n_measured, 0);
    assert_int_equal(read_text(HEAD LINE SHORT, &info), PG_OK);
    assert_int_equal(info.n_measured, 2);
    const pg_locality *l = info.measured;
    assert_true(l[0].moved && l[0].moved_grid == 176 && l[0].elsewhere_grid == 1 && l[0].images == 128 && l[0].outside == 256);
    assert_string_equal(l[0].batches, "1,16,64,128");
    assert_string_equal(l[0].isa, "avx512");
    assert_true(l[1].delta_grid == 7 && !l[1].moved && l[1].dtype == PG_DTYPE_BF16 && !*l[1].isa);
    /* of other weights: nothing is taken from it */
    assert_int_equal(read_text("patchgauge.locality 1\nsha256=bb\n" LINE, &info), PG_OK);
    assert_true(info.measured_of_another && info.n_measured == 0);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"", ":1: not a measurement"},
        {"patchgauge.locality 2\n" SHA, ":1: "},
        {"patchgauge.locality 1\n", ":2: "},
        {"patchgauge.locality 1\n" LINE, ":2: "},
        {HEAD "delta=1\n", ":3: "},
        {HEAD LINE "delta=x trials=1 outside=1 dtype=fp32 device=cpu batch=8\n", ":4: "},
        {HEAD "delta=-1 trials=1 outside=1 dtype=fp32 device=cpu batch=8\n", ":3: "},
        {HEAD "delta=1 trials=1 outside=2 dtype=fp32 device=cpu batch=8\n", ":3: "},
        {HEAD "delta=1 trials=1 outside=1 dtype=fp32 device=cpu batch=0\n", ":3: "},
        {HEAD "delta=1 delta=1 trials=1 outside=1 dtype=fp32 device=cpu batch=8\n", ":3: "},
        {HEAD "delta=1 trials=1 outside=1 dtype=fp32 device=cpu batch=8 more=1\n", ":3: "},
        {HEAD "delta=1 trials=1 outside=1 moved=1 dtype=fp32 device=cpu batch=8\n", ":3: "}, /* half of it */
        {HEAD "delta=1 trials=1 outside=1 dtype=fp32 device=cpu isa= batch=8\n", ":3: "},
        {HEAD "delta=1 trials=1 outside=1 dtype=fp32 device=cpu isa=\x1b[2J batch=8\n", ":3: "},
        {HEAD "delta=1 trials=1 outside=1 dtype=fp32 device=cpu batch=12", ": cut short"}, /* of 128 */
        {"patchgauge.locality 1\nsha256=aaaa", ": cut short"},
        {HEAD SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT SHORT, ":19: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pg_weights_info info;
        assert_int_equal(read_text(bad[i].text, &info), PG_EDAMAGED);
        assert_non_null(strstr(pg_error_message(), bad[i].said));
        assert_int_equal(info.n_measured, 0);
    }
}

/* ---- Together ---- */

static pg_locality_result found_of(const pg_weights_info *info, pg_dtype dtype, int batch, bool any_batch)
{
    pg_locality_result found;
    pg_locality_find(info, dtype, batch, any_batch, &found);
    return found;
}

static void the_largest_change_counts(void **state)
{
    (void)state;
    pg_weights_info info = info_of("2:256:fp32:cpu:128");
    pg_locality_result f = found_of(&info, PG_DTYPE_F32, 128, false);
    assert_true(f.measured && !f.differs && f.delta_grid == 2);
    assert_string_equal(f.kinds, "cpu");
    assert_false(found_of(&info, PG_DTYPE_F32, 64, false).measured);
    assert_false(found_of(&info, PG_DTYPE_BF16, 128, false).measured);
    assert_false(found_of(&info, PG_DTYPE_F32, 128, true).measured); /* a patch at its place says nothing of other places */
    /* one that found no more changes nothing but the kinds */
    info.measured[info.n_measured++] = (pg_locality){
        .measured = true, .delta_grid = 1, .outside = 9, .trials = 9, .device = "cuda", .isa = "sm_90", .batch = 128};
    f = found_of(&info, PG_DTYPE_F32, 128, false);
    assert_true(f.measured && !f.differs && f.delta_grid == 2);
    assert_string_equal(f.kinds, "cpu, cuda sm_90");
    /* one that found more is another delta */
    info.measured[info.n_measured++] = plain;
    f = found_of(&info, PG_DTYPE_F32, 128, false);
    assert_true(f.measured && f.differs && f.delta_grid == 3);
    assert_string_equal(f.kinds, "cpu, cuda sm_90, cpu avx2");
    /* elsewhere: the larger of both changes outside, and the moved image's */
    info.measured[info.n_measured - 1] = (pg_locality){.measured = true,
                                                       .delta_grid = 1,
                                                       .trials = 8,
                                                       .outside = 8,
                                                       .device = "cpu",
                                                       .isa = "avx2",
                                                       .batch = 128,
                                                       .moved = true,
                                                       .elsewhere_grid = 5,
                                                       .moved_grid = 170,
                                                       .batches = "1,16,64,128"};
    f = found_of(&info, PG_DTYPE_F32, 128, true);
    assert_true(f.measured && f.differs && f.delta_grid == 175 && f.moved_grid == 170);
    assert_string_equal(f.kinds, "cpu avx2");
    info.measured[info.n_measured - 1].elsewhere_grid = 0;
    assert_int_equal(found_of(&info, PG_DTYPE_F32, 128, true).delta_grid, 172); /* 2 of the metadata */
    assert_false(found_of(&info, PG_DTYPE_F32, 64, true).measured);
}

static void no_position_outside_is_no_measurement(void **state)
{
    (void)state;
    pg_weights_info info = info_of(NULL);
    info.measured[info.n_measured++] = (pg_locality){
        .measured = false, .trials = 8, .outside = 0, .device = "cpu", .batch = 128, .moved = true, .moved_grid = 4};
    pg_locality_result f = found_of(&info, PG_DTYPE_F32, 128, false);
    assert_true(!f.measured && f.none_outside);
    f = found_of(&info, PG_DTYPE_F32, 128, true);
    assert_true(!f.measured && f.none_outside && f.delta_grid == 0);
    info = info_of("0:128:fp32:cpu:128"); /* as it stands in older files */
    info.geometry.rows.field = info.geometry.columns.field = 0;
    assert_true(found_of(&info, PG_DTYPE_F32, 128, false).none_outside);
}

static void kinds_of_machines_are_told_apart(void **state)
{
    (void)state;
    assert_true(pg_locality_names("cpu", "cpu", "avx2")); /* older ones name no instruction set */
    assert_true(pg_locality_names("cpu", "cpu", ""));
    assert_false(pg_locality_names("cpu", "cuda:0", "sm_90"));
    assert_false(pg_locality_names("cpu avx512", "cpu", "avx2"));
    assert_false(pg_locality_names("cpu avx512", "cpu", "avx5"));
    assert_false(pg_locality_names("cpu avx512", "cpu", ""));
    assert_false(pg_locality_names("cuda sm_90, cpu avx512", "cpu", "sm_90"));
    assert_true(pg_locality_names("cuda sm_90, cpu avx512", "cpu", "avx512"));
    assert_true(pg_locality_names("cuda sm_90, cpu avx512", "cuda:3", "sm_90"));
    assert_true(pg_locality_names("", "cuda:3", "sm_90")); /* the null model */
}

/* ---- What room for both changes promises ---- */

enum { POSITIONS = 4, CLASSES = 2, VALUES = POSITIONS * CLASSES, MOVED = 3, LEAK = 2 };

typedef struct rule {
    const char *defense, *options;
    double scale; /* of the logits that are drawn: near enough to ties that some are certified and some not */
} rule;
static const rule rules[] = {
    {"clip", "clip=0:1", 1},
    {"mean", "feature=confidence", 1},
    {"cbn", "", 30},
    {"robust-masking", "clip=0:1", 1},
    {"robust-masking", "feature=confidence", 1},
    {"double-masking", "", 1},
    {"double-masking", "feature=confidence", 1},
    {"median", "", 1},
    {"trimmed-mean", "trim=1", 1},
};

typedef struct game {
    const pg_defense *defense;
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    const void *pointer;
    pg_evidence_spec spec;
    int64_t delta;
    void *scratch;
} game;

static void set_up(game *g, const rule *r)
{
    char pair[64], *rest = pair;
    const char *pairs[4];
    size_t n = 0;
    snprintf(pair, sizeof pair, "%s", r->options);
    for (char *one; (one = strsep(&rest, " ")) && *one;)
        pairs[n++] = one;
    g->defense = pg_defense_find(r->defense);
    assert_non_null(g->defense);
    if (pg_module_configure(&g->defense->module, "defense", pairs, n, g->config) != PG_OK)
        fail_msg("%s", pg_error_message());
    g->pointer = g->config;
    g->defense->evidence(g->config, &g->spec);
    g->scratch = aligned_alloc(64, (g->defense->scratch_size(1, POSITIONS, CLASSES, 1) + 63) & ~(size_t)63);
    pg_weights_info info = info_of(NULL);
    info.measured[info.n_measured++] = (pg_locality){.measured = true,
                                                     .trials = 1,
                                                     .outside = 1,
                                                     .device = "cpu",
                                                     .batch = 8,
                                                     .moved = true,
                                                     .delta_grid = LEAK,
                                                     .elsewhere_grid = 1,
                                                     .moved_grid = MOVED};
    pg_locality_result found;
    const pg_defended defended = {.defense = g->defense, .config = g->config};
    pg_defended_delta(&defended, &info, PG_DTYPE_F32, 8, true, &found, &g->delta);
    assert_true(found.measured && found.delta_grid == MOVED + LEAK);
}

static int predict(const game *g, const double *logits, int window, const int32_t *contents)
{
    int32_t q[VALUES];
    double row[CLASSES];
    assert_true(pg_evidence_f64(&g->spec, logits, POSITIONS, CLASSES, row, q));
    for (int c = 0; contents && c < CLASSES; c++)
        q[window * CLASSES + c] = contents[c];
    const pg_evidence e = {.q = q, .height = 1, .width = POSITIONS, .classes = CLASSES, .spec = &g->spec};
    return g->defense->predict(&e, (pg_window){1, 1}, g->config, g->scratch);
}

static int64_t end_of(const game *g, bool upper)
{
    int64_t lo, hi;
    bool bounded = pg_evidence_range(&g->spec, &lo, &hi);
    return upper ? (bounded ? hi : PG_EVIDENCE_MAX) : bounded ? lo : -PG_EVIDENCE_MAX;
}

/* Every corner of the box of moved images, and of what a patch leaks outside its window, with the ends of the range in the
 * window. */
static long attack(const game *g, const double *u, int label)
{
    const double unit = 1.0 / PG_GRID;
    long tried = 0;
    for (int corner = 0; corner < 1 << VALUES; corner++) {
        double v[VALUES], w[VALUES];
        for (int i = 0; i < VALUES; i++)
            v[i] = u[i] + (corner >> i & 1 ? MOVED : -MOVED) * unit;
        if (predict(g, v, 0, NULL) != label)
            fail_msg("%s: certified, and another class at another place of a batch", g->defense->module.name);
        for (int window = 0; window < POSITIONS; window++)
            for (int leak = 0; leak < 1 << VALUES; leak++) {
                if (leak >> (window * CLASSES) & ((1 << CLASSES) - 1))
                    continue; /* that of the window is arbitrary already */
                for (int i = 0; i < VALUES; i++)
                    w[i] = v[i] + (leak >> i & 1 ? LEAK : -LEAK) * unit;
                for (int ends = 0; ends < 1 << CLASSES; ends++, tried++) {
                    const int32_t contents[CLASSES] = {(int32_t)end_of(g, ends & 1), (int32_t)end_of(g, ends & 2)};
                    if (predict(g, w, window, contents) != label)
                        fail_msg("%s: certified, and broken by a patch at another place of a batch", g->defense->module.name);
                }
            }
    }
    return tried;
}

static void draw(const rule *r, uint32_t round, double *u)
{
    pg_rng rng = pg_rng_make(31, PG_STREAM_TEST, round);
    for (int p = 0; p < POSITIONS; p++) {
        double level = 0.2 + 0.1 * pg_rng_below(&rng, 4);
        u[2 * p] = r->scale * level;
        u[2 * p + 1] = r->scale * (level - 0.05 * pg_rng_below(&rng, 9));
    }
}

/* Moves the label's logits at all positions by units of the grid. */
static void lift(double *u, int64_t by)
{
    for (int p = 0; p < POSITIONS; p++)
        u[2 * p] += (double)by / PG_GRID;
}

static bool certified(game *g, const double *u, int64_t delta, int *label)
{
    pg_certifier *certifier = NULL;
    pg_verdict verdict;
    const pg_job job = {.defense = g->defense, .config = g->config, .window = {1, 1}, .delta = delta};
    *label = 0;
    assert_int_equal(pg_certifier_new(&job, 1, 1, POSITIONS, CLASSES, false, false, &certifier), PG_OK);
    pg_certifier_image_f64(certifier, u, *label, &verdict);
    pg_certifier_free(certifier);
    return verdict.certified;
}

static void moved_images_stay_certified(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        game g;
        set_up(&g, &rules[i]);
        long n = 0, refused = 0, tried = 0;
        for (uint32_t round = 0; round < 3; round++) {
            double u[VALUES], at[VALUES];
            int label;
            draw(&rules[i], round, u);
            int64_t hi = (int64_t)(rules[i].scale * (8 << 20)), lo = -hi; /* the least shift that is certified, by halving */
            while (hi - lo > 1) {
                int64_t middle = lo + (hi - lo) / 2;
                memcpy(at, u, sizeof at);
                lift(at, middle);
                *(certified(&g, at, g.delta, &label) ? &hi : &lo) = middle;
            }
            memcpy(at, u, sizeof at);
            lift(at, hi);
            if (!certified(&g, at, g.delta, &label))
                continue; /* never, with these values */
            n++;
            tried += attack(&g, at, label);
            lift(at, -1);
            refused += certified(&g, at, 0, &label) && !certified(&g, at, g.delta, &label);
        }
        print_message("%s %s: %ld certified at the edge, %ld just beyond, %ld attacks\n", rules[i].defense, rules[i].options, n,
                      refused, tried);
        assert_true(n > 0 && refused > 0);
        free(g.scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_read_and_written),
        cmocka_unit_test(the_file_beside_weights_is_read),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(the_largest_change_counts),
        cmocka_unit_test(no_position_outside_is_no_measurement),
        cmocka_unit_test(kinds_of_machines_are_told_apart),
        cmocka_unit_test(moved_images_stay_certified),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
