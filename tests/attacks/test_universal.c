/* Universal patches: painting and its adjoint, what is learnt, what is pasted, errors. */
/* Loads libtorch. */
#include "tests/support/attack_fixture.h"

#include "attacks/warp.h"

enum { H = 5, W = 5, PATCH = 3 * H * W };

static void fill(float *values, int n, uint32_t item)
{
    pg_rng rng = pg_rng_make(21, PG_STREAM_TEST, item);
    for (int i = 0; i < n; i++)
        values[i] = (float)pg_rng_unit(&rng);
}

static void plain_turns_are_exact(void **state)
{
    (void)state;
    float texture[PATCH], out[PATCH];
    fill(texture, PATCH, 0);
    memset(out, 0, sizeof out);
    pg_warp_paint(texture, H, W, (pg_warp){.scale = 1, .whole = true}, out);
    assert_memory_equal(out, texture, sizeof out);
    for (int quarter = 1; quarter < 4; quarter++) { /* each pixel goes where a rotation by 90 degrees takes it */
        pg_warp_paint(texture, H, W, (pg_warp){.scale = 1, .angle = quarter * M_PI / 2, .whole = true}, out);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) {
                    int fy = y, fx = x;
                    for (int k = 0; k < quarter; k++) {
                        int kept = fy;
                        fy = W - 1 - fx;
                        fx = kept;
                    }
                    assert_true(fabsf(out[(c * H + y) * W + x] - texture[(c * H + fy) * W + fx]) < 1e-6f);
                }
    }
}

/* The circle leaves the corners to the image, smaller ones leave more, and all of it lies in the rectangle. */
static void shapes_leave_the_image(void **state)
{
    (void)state;
    float texture[PATCH], out[PATCH];
    int painted[3];
    double scales[] = {1, 0.6, 0.3};
    for (int i = 0; i < PATCH; i++)
        texture[i] = 1;
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < PATCH; i++)
            out[i] = 0.25f;
        pg_warp_paint(texture, H, W, (pg_warp){.scale = scales[k], .angle = 0.4}, out);
        painted[k] = 0;
        for (int i = 0; i < H * W; i++) {
            assert_true(out[i] == 1 || out[i] == 0.25f);
            painted[k] += out[i] == 1;
            double dy = i / W - 2, dx = i % W - 2;
            assert_true((out[i] == 1) == (dy * dy + dx * dx <= 6.25 * scales[k] * scales[k]));
        }
    }
    assert_true(painted[0] == 21 && painted[1] == 9 && painted[2] == 1);
}

/* Bilinear reading of a plane is the plane, wherever it is not cut at the edge. */
static void a_plane_stays_a_plane(void **state)
{
    (void)state;
    float texture[PATCH], out[PATCH];
    int checked = 0;
    double scale = 0.9, angle = 0.3;
    for (int i = 0; i < PATCH; i++)
        texture[i] = (float)(0.1 + 0.1 * (i / W % H) + 0.08 * (i % W));
    for (int i = 0; i < PATCH; i++)
        out[i] = -1;
    pg_warp_paint(texture, H, W, (pg_warp){.scale = scale, .angle = angle, .whole = true}, out);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            double ty = (cos(angle) * (y - 2) - sin(angle) * (x - 2)) / scale + 2;
            double tx = (sin(angle) * (y - 2) + cos(angle) * (x - 2)) / scale + 2;
            if (ty < 0 || ty > H - 1 || tx < 0 || tx > W - 1)
                continue;
            for (int c = 0; c < 3; c++)
                assert_true(fabs((double)out[(c * H + y) * W + x] - (0.1 + 0.1 * ty + 0.08 * tx)) < 1e-6);
            checked++;
        }
    assert_true(checked >= 13);
}

/* <paint(texture) - paint(0), g> = <texture, adjoint(g)>. */
static void the_adjoint_is_the_transpose(void **state)
{
    (void)state;
    for (uint32_t trial = 0; trial < 50; trial++) {
        float texture[3 * 7 * 4], g[3 * 7 * 4], out[3 * 7 * 4] = {0};
        double sum[3 * 7 * 4] = {0}, left = 0, right = 0;
        int h = trial % 2 ? 7 : 4, w = trial % 2 ? 4 : 7;
        fill(texture, 84, 2 * trial + 2);
        fill(g, 84, 2 * trial + 3);
        pg_rng rng = pg_rng_make(22, PG_STREAM_TEST, trial);
        pg_warp warp = {.scale = 0.3 + 0.7 * pg_rng_unit(&rng), .angle = 7 * pg_rng_unit(&rng), .whole = trial % 3 == 0};
        pg_warp_paint(texture, h, w, warp, out);
        pg_warp_adjoint(g, h, w, warp, sum);
        for (int i = 0; i < 84; i++) {
            left += (double)out[i] * (double)g[i];
            right += (double)texture[i] * sum[i];
        }
        assert_true(fabs(left - right) < 1e-5 * fmax(1, fabs(left)));
        assert_true(left > 0.1);
    }
}

/* ---- Training. Weights by class and colour only: the best universal patch is known, whatever the place. */

static void paint_classes(toy *x)
{
    static const double tastes[CLASSES][3] = {{3, -2, -2}, {-2, 3, -2}, {-2, -2, 3}, {1, 1, -4}};
    for (int c = 0; c < CLASSES; c++)
        for (int i = 0; i < IMAGE; i++)
            x->weights[c][i] = tastes[c][i / (SIDE_H * SIDE_W)];
}

typedef struct class_room {
    gallery *gallery;
    int64_t reads;
    int largest_slot;
} class_room;

static int read_image(void *context, int64_t i, int slot, pg_example *out)
{
    class_room *r = context;
    assert_in_range(i, 0, 19); /* the first twenty, as asked for */
    r->reads++;
    r->largest_slot = slot > r->largest_slot ? slot : r->largest_slot;
    *out = r->gallery->examples[i];
    t->grad_mode(false); /* as a forward pass of a network does */
    return PG_OK;
}

static void a_universal_patch_learns_the_colour(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 8, 5, 5);
    paint_classes(&x);
    gallery *g = gallery_new(&x, 60);
    class_room room = {.gallery = g};
    pg_training_images training_images = {.count = 60, .context = &room, .read = read_image};
    setup s = ATTACK("universal", "target=1", "steps=80", "step=0.05", "training_images=20", "places=2"),
          untrained = ATTACK("universal", "target=1", "steps=0", "training_images=20", "places=2");
    assert_string_equal(s.attack->training_images(s.config), "train");
    void *learnt = NULL, *again = NULL, *raw = NULL;
    assert_int_equal(s.attack->prepare(s.config, 5, &x.victim, &training_images, &learnt), PG_OK);
    assert_int_equal(room.reads, 80 * 8);
    assert_int_equal(room.largest_slot, 7);
    assert_int_equal(untrained.attack->prepare(untrained.config, 5, &x.victim, &training_images, &raw), PG_OK);
    assert_int_equal(s.attack->run(s.config, raw, 5, &x.victim, g->examples, 60, g->found), PG_OK);
    int before = count_broken(g), targeted = 0;
    assert_int_equal(s.attack->run(s.config, learnt, 5, &x.victim, g->examples, 60, g->found), PG_OK);
    check_claims(&x, g);
    for (int i = 0; i < 60; i++) {
        const pg_attack_outcome *f = &g->found[i];
        targeted += g->examples[i].label != 1;
        if (g->examples[i].label == 1) {
            assert_true(!f->broken && f->steps == 0);
            continue;
        }
        assert_in_range(f->steps, 1, 2);
        assert_true(f->patch[12] == 0 && f->patch[25 + 12] == 1 && f->patch[50 + 12] == 0); /* its middle: pure green */
        int top = f->top, left = f->left;
        float own = (float)g->pixels[i][top * SIDE_W + left] / 255;
        assert_true(f->patch[0] == own); /* its corner: the image */
    }
    print_message("towards class 1: %d of %d without training, %d with\n", before, targeted, count_broken(g));
    assert_true(count_broken(g) > before + 10 && count_broken(g) * 10 >= targeted * 8);
    assert_int_equal(s.attack->prepare(s.config, 5, &x.victim, &training_images, &again), PG_OK);
    assert_memory_equal(again, learnt, 8 + 75 * sizeof(float));
    s.attack->release(learnt);
    s.attack->release(again);
    s.attack->release(raw);
    free(g);
}

static void without_a_target_any_other_class_does(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 8, 6, 6);
    paint_classes(&x);
    gallery *g = gallery_new(&x, 60);
    class_room room = {.gallery = g};
    pg_training_images training_images = {.count = 20, .context = &room, .read = read_image};
    setup s = ATTACK("universal", "steps=60", "step=0.05", "scale=1:1", "rotation=0", "shape=rectangle");
    void *learnt = NULL;
    assert_int_equal(s.attack->prepare(s.config, 5, &x.victim, &training_images, &learnt), PG_OK);
    assert_int_equal(s.attack->run(s.config, learnt, 5, &x.victim, g->examples, 60, g->found), PG_OK);
    check_claims(&x, g);
    print_message("any class: %d of 60\n", count_broken(g));
    assert_true(count_broken(g) >= 30);
    for (int i = 1; i < 60; i++) /* one patch for all */
        if (g->found[i].steps > 0 && g->found[0].steps > 0)
            assert_memory_equal(g->patches[i], g->patches[0], 108 * sizeof(float));
    s.attack->release(learnt);
    free(g);
}

static void bad_input_is_one_clear_error(void **state)
{
    (void)state;
    const pg_attack *a = pg_attack_find("universal");
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    static const struct {
        const char *pair, *says;
    } bad[] = {
        {"target=random", "one target"}, {"target=runner-up", "one target"}, {"scale=0:1", "scale"}, {"scale=1:0.5", "scale"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pg_module_configure(&a->module, "attack", &bad[i].pair, 1, config), PG_EINPUT);
        if (!strstr(pg_error_message(), bad[i].says))
            fail_msg("%s: %s", bad[i].pair, pg_error_message());
    }
    toy x = toy_make(scope, LINEAR, 2, 2, 2), evaluator = toy_make(scope, EVALUATOR_ONLY, 2, 2, 2);
    gallery *g = gallery_new(&x, 20);
    class_room room = {.gallery = g};
    pg_training_images training_images = {.count = 20, .context = &room, .read = read_image}, none = {.count = 0};
    setup s = ATTACK("universal", "steps=9");
    void *learnt = NULL;
    assert_int_equal(a->prepare(s.config, 5, &evaluator.victim, &training_images, &learnt), PG_EUNSUPPORTED);
    assert_int_equal(a->prepare(s.config, 5, &x.victim, &none, &learnt), PG_EINPUT);
    x.stop_after = 4;
    assert_int_equal(a->prepare(s.config, 5, &x.victim, &training_images, &learnt), PG_EINTERRUPTED);
    assert_null(learnt);
    assert_int_equal(x.passes, 4);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_turns_are_exact),
        cmocka_unit_test(shapes_leave_the_image),
        cmocka_unit_test(a_plane_stays_a_plane),
        cmocka_unit_test(the_adjoint_is_the_transpose),
        cmocka_unit_test(a_universal_patch_learns_the_colour),
        cmocka_unit_test(without_a_target_any_other_class_does),
        cmocka_unit_test(bad_input_is_one_clear_error),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
