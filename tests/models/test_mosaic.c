/* Early features that are put together: local logits of masked images against those of whole passes, on networks of random
 * weights, with masks in the middle, at the edges, apart and one over the other; and what a patch under a mask changes. */
/* Loads libtorch. */
#include "harness/target/open.h"
#include "models/mosaic.h"
#include "tests/support/random_net.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 96, MASKS = 7, PAIRS = MASKS * MASKS, CLASSES = 5, IMAGE = 3 * SIDE * SIDE };

static const pg_rect masks[MASKS] = {{0, 0, 14, 15},   {30, 41, 14, 15}, {82, 81, 14, 15}, {36, 47, 14, 15},
                                     {30, 70, 14, 15}, {82, 3, 14, 15},  {0, 70, 14, 15}};

static int mask_image(void *context, int row, int column, const uint8_t *pixels, uint8_t *out)
{
    (void)context;
    if (column < row)
        return column * MASKS + row;
    memcpy(out, pixels, IMAGE);
    for (int i = 0; i < 2; i++) {
        pg_rect m = masks[i ? column : row];
        for (int c = 0; c < 3; c++)
            for (int y = m.top; y < m.top + m.height; y++)
                memset(out + (c * SIDE + y) * SIDE + m.left, 128, (size_t)m.width);
    }
    return row * MASKS + column;
}

static int parts(void *context, int row, int column, pg_masked_part out[2])
{
    int *stated = context;
    memset(out, row + column, 2 * sizeof *out); /* what lies between members says nothing */
    out[0] = (pg_masked_part){row * (MASKS + 1), masks[row]};
    out[1] = (pg_masked_part){column * (MASKS + 1), masks[column]};
    return *stated ? row == column ? 1 : 2 : 0;
}

static int stated = 1;
static const pg_masked_images masked = {.rows = {.positions = MASKS},
                                        .columns = {.positions = MASKS},
                                        .mask_image = mask_image,
                                        .parts = parts,
                                        .context = &stated};

static void noise(uint8_t *pixels, uint32_t seed)
{
    pg_rng rng = pg_rng_make(2, PG_STREAM_TEST, seed);
    for (int i = 0; i < IMAGE; i++)
        pixels[i] = (uint8_t)pg_rng_below(&rng, 256);
}

static int open_mosaic(random_net *x, pg_mosaic **out)
{
    pg_mosaic_network n = {
        .model = x->model, .config = x->config, .geometry = &x->geometry, .parameters = &x->parameters, .scope = x->scope};
    assert_int_equal(pg_model_footprint(x->model, x->config, &x->geometry, &n.footprint), PG_OK);
    return pg_mosaic_new(&n, &masked, PAIRS, out);
}

typedef struct subject {
    const char *model;
    const char *pairs[3];
    size_t n;
} subject;
static const subject subjects[] = {{"mobilenet-v2", {"width=0.2", "padding=same"}, 2},
                                   {"mobilenet-v2", {"width=0.2", "padding=torch"}, 2},
                                   {"resnet18", {"width=6"}, 1},
                                   {"resnet18", {"width=6", "stem=imagenet"}, 2},
                                   {"resnet", {"depth=50", "width=4", "stem=small"}, 3}};

/* The mean logits of positions, from [n][classes][rows][columns]. */
static void means(random_net *x, pg_tensor *logits, int n, float out[][CLASSES])
{
    const pg_torch *t = x->scope->torch;
    assert_int_equal(pg_scope_check(x->scope), PG_OK);
    assert_int_equal(
        t->read(x->scope, t->mean(x->scope, logits, 2, (const int64_t[]){2, 3}, false), out, PG_T_F32, (int64_t)n * CLASSES),
        PG_OK);
    t->scope_clear(x->scope);
}

static double largest(float a[][CLASSES], float b[][CLASSES], int n)
{
    double most = 0;
    for (int i = 0; i < n; i++)
        for (int c = 0; c < CLASSES; c++)
            most = fmax(most, fabs((double)a[i][c] - b[i][c]));
    return most;
}

static double size_of(float a[][CLASSES], int n)
{
    static float zero[PAIRS][CLASSES];
    return largest(a, zero, n);
}

static void masked_images_have_the_logits_of_whole_passes(void **state)
{
    const pg_torch *t = *state;
    static uint8_t pixels[IMAGE], whole[PAIRS][IMAGE];
    for (size_t s = 0; s < sizeof subjects / sizeof *subjects; s++) {
        random_net x = random_net_new(t, subjects[s].model, SIDE, SIDE, CLASSES, subjects[s].n, subjects[s].pairs);
        pg_mosaic *m = NULL;
        assert_int_equal(open_mosaic(&x, &m), PG_OK);
        assert_non_null(m);
        for (uint32_t image = 0; image < 2; image++) { /* what was there of the image before is forgotten */
            static float expected[PAIRS][CLASSES], got[PAIRS][CLASSES];
            int positions[PAIRS], n = 0;
            noise(pixels, image);
            for (int i = 0; i < PAIRS; i++)
                if (i % MASKS >= i / MASKS) {
                    mask_image(NULL, i / MASKS, i % MASKS, pixels, whole[n]);
                    positions[n++] = i;
                }
            pg_tensor *of_whole = t->from_data(x.scope, whole, PG_T_U8, 4, (const int64_t[]){n, 3, SIDE, SIDE});
            bool recorded = t->grad_mode(false);
            means(&x, pg_model_forward(x.model, x.config, PG_PASS_EVAL, x.scope, &x.parameters, CLASSES, of_whole), n,
                  expected);
            t->grad_mode(recorded);
            assert_int_equal(pg_mosaic_begin(m, pixels), PG_OK);
            means(&x, pg_mosaic_logits(m, positions, n), n, got);
            double size = size_of(expected, n), apart = largest(expected, got, n);
            if (!(apart < 1e-4 * size))
                fail_msg("%s %s: logits up to %g differ by %g", subjects[s].model, subjects[s].pairs[1], size, apart);
            for (int i = 0; i < n; i++) { /* some at a time, in another order: nothing depends on it */
                int last = n - 1 - i;
                means(&x, pg_mosaic_logits(m, &positions[last], 1), 1, &got[last]);
            }
            assert_true(largest(expected, got, n) < 1e-4 * size);
            assert_true(largest(expected, expected + 1, n - 1) > 1e-3 * size); /* masks matter */
        }
        pg_mosaic_free(m);
        random_net_release(&x, t);
    }
}

/* A patch under a mask changes no logit of a masked image with that mask, whatever else it changes. */
static void a_patch_under_a_mask_changes_nothing(void **state)
{
    const pg_torch *t = *state;
    static uint8_t clean[IMAGE], patched[IMAGE];
    static float before[MASKS][CLASSES], after[MASKS][CLASSES];
    for (size_t s = 0; s < sizeof subjects / sizeof *subjects; s++) {
        random_net x = random_net_new(t, subjects[s].model, SIDE, SIDE, CLASSES, subjects[s].n, subjects[s].pairs);
        pg_mosaic *m = NULL;
        assert_int_equal(open_mosaic(&x, &m), PG_OK);
        noise(clean, 7);
        for (int mask = 0; mask < MASKS; mask++) {
            int positions[MASKS];
            memcpy(patched, clean, IMAGE);
            for (int c = 0; c < 3; c++)
                for (int y = masks[mask].top; y < masks[mask].top + masks[mask].height; y++)
                    memset(patched + (c * SIDE + y) * SIDE + masks[mask].left, 255 * (y % 2), (size_t)masks[mask].width);
            for (int other = 0; other < MASKS; other++)
                positions[other] = mask < other ? mask * MASKS + other : other * MASKS + mask;
            assert_int_equal(pg_mosaic_begin(m, clean), PG_OK);
            means(&x, pg_mosaic_logits(m, positions, MASKS), MASKS, before);
            assert_int_equal(pg_mosaic_begin(m, patched), PG_OK);
            means(&x, pg_mosaic_logits(m, positions, MASKS), MASKS, after);
            assert_true(largest(before, after, MASKS) < 1e-6 * size_of(before, MASKS));
            int another = (mask + 2) % MASKS * (MASKS + 1); /* which does not hide it */
            means(&x, pg_mosaic_logits(m, &another, 1), 1, after);
            assert_int_equal(pg_mosaic_begin(m, clean), PG_OK);
            means(&x, pg_mosaic_logits(m, &another, 1), 1, before);
            assert_true(largest(before, after, 1) > 1e-4 * size_of(before, 1));
        }
        pg_mosaic_free(m);
        random_net_release(&x, t);
    }
}

static void expect_none(const pg_torch *t, const char *model, int side, size_t n, const char *const *pairs)
{
    random_net x = random_net_new(t, model, side, side, CLASSES, n, pairs);
    pg_mosaic *m = (pg_mosaic *)&x;
    assert_int_equal(open_mosaic(&x, &m), PG_OK);
    assert_null(m);
    random_net_release(&x, t);
}

static void others_run_whole(void **state)
{
    const pg_torch *t = *state;
    const char *narrow = "width=0.2", *few = "width=4";
    expect_none(t, "bagnet17", SIDE, 1, &few);            /* no cut */
    expect_none(t, "mobilenet-v2", SIDE + 4, 1, &narrow); /* a stride of 8 does not divide 100 */
    stated = 0;
    expect_none(t, "mobilenet-v2", SIDE, 1, &narrow);
    stated = 1;
}

/* PatchCleanser's choices: with all pairs networks see whole masked images, else what is put together. */
static void a_defense_states_its_parts(void **state)
{
    const pg_torch *t = *state;
    static const char *const pairs[] = {"pairs=all", "pairs=certificate"};
    static const char *const narrow[] = {"width=0.2"};
    static uint8_t pixels[IMAGE];
    static float logits[2][81][CLASSES];
    const pg_defense *defense = pg_defense_find("patchcleanser");
    random_net x = random_net_new(t, "mobilenet-v2", SIDE, SIDE, CLASSES, 1, narrow);
    random_net_save(&x, scratch_path("net.safetensors"), false);
    random_net_release(&x, t);
    noise(pixels, 3);
    for (int i = 0; i < 2; i++) {
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        const char *options[] = {"masks=3", pairs[i]};
        pg_network *network = NULL;
        assert_int_equal(pg_module_configure(&defense->module, "defense", options, 2, config), PG_OK);
        pg_defended defended = {defense, config, {SIDE, SIDE, 6, 5}};
        assert_int_equal(pg_defended_open(&defended, scratch_path("net.safetensors"), NULL, 0,
                                          &(pg_network_options){.device = "cpu", .batch = 16, .threads = 1}, &network),
                         PG_OK);
        assert_int_equal(pg_network_forward(network, pixels, 0, 1, logits[i][0]), PG_OK);
        pg_network_close(network);
    }
    double apart = largest(logits[0], logits[1], 81), size = size_of(logits[0], 81);
    assert_true(apart < 1e-4 * size && size > 0);
    assert_true(apart > 0); /* they are not of the same passes */
}

/* ---- Tokens that are dropped ---- */

/* A vision transformer without the tokens of all columns but one is what `smoothed-vit` makes of that column. */
static void hidden_tokens_are_dropped(void **state)
{
    const pg_torch *t = *state;
    enum { PX = 32, TOKEN = 8, COLUMNS = PX / TOKEN };
    static const char *const options[] = {"width=16", "heads=2", "depth=2", "hidden=24", "patch=8", "band=8", "stride=8"};
    static uint8_t pixels[COLUMNS][3][PX][PX], hidden[COLUMNS][PX][PX];
    float whole[COLUMNS][CLASSES], of_bands[CLASSES][COLUMNS], got[COLUMNS][CLASSES];
    random_net x = random_net_new(t, "vit", PX, PX, CLASSES, 5, options),
               bands = random_net_new(t, "smoothed-vit", PX, PX, CLASSES, 7, options);
    pg_rng rng = pg_rng_make(8, PG_STREAM_TEST, 0);
    for (int i = 0; i < 3 * PX * PX; i++)
        (&pixels[0][0][0][0])[i] = (uint8_t)pg_rng_below(&rng, 256);
    for (int i = 1; i < COLUMNS; i++)
        memcpy(pixels[i], pixels[0], sizeof pixels[0]);
    for (int i = 0; i < COLUMNS; i++)
        for (int y = 0; y < PX; y++)
            for (int c = 0; c < PX; c++)
                hidden[i][y][c] = c / TOKEN != i;
    pg_tensor *images = t->from_data(x.scope, pixels, PG_T_U8, 4, (const int64_t[]){COLUMNS, 3, PX, PX});
    pg_tensor *one = t->from_data(bands.scope, pixels[0], PG_T_U8, 4, (const int64_t[]){1, 3, PX, PX});
    bool recorded = t->grad_mode(false);
    means(&x, pg_model_forward_masked(x.model, x.config, x.scope, &x.parameters, CLASSES, images, hidden[0][0]), COLUMNS, got);
    one = pg_model_forward(bands.model, bands.config, PG_PASS_EVAL, bands.scope, &bands.parameters, CLASSES, one);
    assert_int_equal(t->read(bands.scope, one, of_bands, PG_T_F32, CLASSES * COLUMNS), PG_OK);
    for (int i = 0; i < COLUMNS; i++)
        for (int c = 0; c < CLASSES; c++)
            assert_true(fabsf(got[i][c] - of_bands[c][i]) < 1e-4f);

    /* A token of which one pixel is seen stays, and images that lack fewer tokens than others stand beside them. */
    memset(hidden, 0, sizeof hidden);
    memset(hidden[1][0], 1, sizeof hidden[1][0]);
    for (int y = 0; y < TOKEN; y++)
        memset(hidden[2][y], 1, TOKEN);
    memcpy(hidden[3], hidden[2], sizeof hidden[3]);
    hidden[3][TOKEN - 1][TOKEN - 1] = 0;
    images = t->from_data(x.scope, pixels, PG_T_U8, 4, (const int64_t[]){COLUMNS, 3, PX, PX});
    means(&x, pg_model_forward_masked(x.model, x.config, x.scope, &x.parameters, CLASSES, images, hidden[0][0]), COLUMNS, got);
    images = t->from_data(x.scope, pixels, PG_T_U8, 4, (const int64_t[]){COLUMNS, 3, PX, PX});
    means(&x, pg_model_forward(x.model, x.config, PG_PASS_EVAL, x.scope, &x.parameters, CLASSES, images), COLUMNS, whole);
    t->grad_mode(recorded);
    assert_true(largest(got, whole, 2) < 1e-4 && largest(got + 3, whole + 3, 1) < 1e-4);
    assert_true(largest(got + 2, whole + 2, 1) > 1e-3);
    random_net_release(&x, t);
    random_net_release(&bands, t);
}

static pg_network *open_defended(const pg_torch *t, const char *model, size_t n, const char *const *options, const char *tokens,
                                 pg_defended *defended, uint8_t *config, int *code)
{
    const char *pairs[] = {"masks=2", tokens};
    random_net x = random_net_new(t, model, 32, 32, CLASSES, n, options);
    pg_network *network = NULL;
    random_net_save(&x, scratch_path("tokens.safetensors"), false);
    random_net_release(&x, t);
    const pg_defense *defense = pg_defense_find("patchcleanser");
    assert_int_equal(pg_module_configure(&defense->module, "defense", pairs, 2, config), PG_OK);
    *defended = (pg_defended){defense, config, {32, 32, 5, 5}};
    *code = pg_defended_open(defended, scratch_path("tokens.safetensors"), NULL, 0,
                             &(pg_network_options){.device = "cpu", .batch = 16, .threads = 1}, &network);
    return network;
}

/* Masks of 18 px at 0 and 14: each hides a token or four of 8 px; masked images are not those of the filled network. */
static void the_defense_drops_tokens(void **state)
{
    const pg_torch *t = *state;
    static const char *const options[] = {"width=16", "heads=2", "depth=2", "hidden=24", "patch=8"};
    static uint8_t pixels[3 * 32 * 32];
    float logits[2][16][CLASSES];
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_defended defended;
    int code;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 37 % 251);
    for (int i = 0; i < 2; i++) {
        pg_network *n = open_defended(t, "vit", 5, options, i ? "tokens=drop" : "tokens=fill", &defended, config, &code);
        assert_int_equal(code, PG_OK);
        assert_int_equal(pg_network_forward(n, pixels, 0, 1, logits[i][0]), PG_OK);
        pg_network_close(n);
    }
    for (int i = 0; i < 16; i++)
        assert_true(largest(&logits[0][i], &logits[1][i], 1) > 1e-5);
    static const char *const narrow[] = {"width=4"};
    assert_null(open_defended(t, "resnet18", 1, narrow, "tokens=drop", &defended, config, &code));
    assert_int_equal(code, PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "model resnet18 has no tokens that could be dropped"));
}

static int make(void **state)
{
    static const pg_torch *t;
    if (scratch_make(NULL) != 0 || pg_torch_load(1, &t) != PG_OK)
        return -1;
    *state = (void *)t;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_images_have_the_logits_of_whole_passes),
        cmocka_unit_test(a_patch_under_a_mask_changes_nothing),
        cmocka_unit_test(others_run_whole),
        cmocka_unit_test(a_defense_states_its_parts),
        cmocka_unit_test(hidden_tokens_are_dropped),
        cmocka_unit_test(the_defense_drops_tokens),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
