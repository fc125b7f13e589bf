/* Views: the crops that attacks run on give the local logits and the gradients of the full image. */
/* Loads libtorch. */
#include "defenses/certifier.h"
#include "harness/base/rng.h"
#include "models/resnet.h"
#include "tests/support/random_net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 7, BATCH = 16 };
static const pg_torch *t;

/* ---- geometry, without a network */

static bool covers(int start, int length, int size, bool wrap, int i)
{
    return (i >= start && i < start + length) || (wrap && i + size < start + length);
}

/* Every place of a patch along one axis: what the crop has to hold. */
static void check_axis(pg_axis a, int input_px, int patch_px, bool seam)
{
    pg_geometry g = {.input_height = 1,
                     .input_width = input_px,
                     .rows = {.positions = 1, .field = 1, .stride = 1},
                     .columns = a,
                     .classes = 2};
    int positions = -1, pixels = -1;
    for (int left = 0; left + patch_px <= input_px; left++) {
        pg_crop v = pg_geometry_crop(&g, seam, (pg_rect){.left = left, .height = 1, .width = patch_px});
        pg_rect p = v.pixels, m = v.positions;
        assert_true(p.top == 0 && p.height == 1 && m.top == 0 && m.height == 1);
        assert_true(p.left >= 0 && p.left < input_px && m.left >= 0 && m.left < a.positions);
        assert_true(p.width >= 1 && p.width <= input_px && m.width >= 1 && m.width <= a.positions);
        assert_true(a.wrap || (p.left + p.width <= input_px && m.left + m.width <= a.positions));
        if (left > 0)
            assert_true(p.width == pixels && m.width == positions); /* one size for all places */
        pixels = p.width;
        positions = m.width;
        for (int i = 0; i < a.positions; i++) {
            bool held = covers(m.left, m.width, a.positions, a.wrap, i);
            assert_true(held || !pg_axis_meets(&a, input_px, i, left, patch_px));
            for (int x = 0; held && x < input_px; x++)
                assert_true(!pg_axis_meets(&a, input_px, i, x, 1) || covers(p.left, p.width, input_px, a.wrap, x));
        }
    }
    bool whole = a.padding > 0 || (a.wrap && !seam);
    assert_int_equal(positions, whole ? a.positions : pg_axis_window(&a, input_px, patch_px));
    assert_true(!whole || pixels == input_px);
}

static void views_hold_what_a_patch_touches(void **state)
{
    (void)state;
    for (int field = 1; field <= 9; field++)
        for (int stride = 1; stride <= 5; stride++)
            for (int input = 9; input <= 23; input += 7)
                for (int patch = 1; patch <= input; patch += 3) {
                    pg_axis open = {.positions = (input - field) / stride + 1, .field = field, .stride = stride};
                    pg_axis wrapped = {
                        .positions = (input + stride - 1) / stride, .field = field, .stride = stride, .wrap = true};
                    pg_axis padded = {
                        .positions = (input + 2 - field) / stride + 1, .field = field, .stride = stride, .padding = 1};
                    check_axis(open, input, patch, false);
                    check_axis(wrapped, input, patch, true);
                    check_axis(wrapped, input, patch, false);
                    check_axis(padded, input, patch, false);
                }
}

/* A window without the padding is never smaller than with any, and is that of some padding where the map is large enough. */
static void windows_without_padding_are_the_worst(void **state)
{
    (void)state;
    int tight = 0, all = 0;
    for (int field = 1; field <= 9; field++)
        for (int stride = 1; stride <= 5; stride++)
            for (int input = 9; input <= 23; input += 7)
                for (int patch = 1; patch <= input; patch += 3) {
                    int largest = 0, most = 0;
                    for (int padding = 0; padding < field; padding++) {
                        pg_axis a = {.positions = (input + 2 * padding - field) / stride + 1,
                                     .field = field,
                                     .stride = stride,
                                     .padding = padding};
                        int exact = pg_axis_window(&a, input, patch);
                        most = pg_axis_window_most(&a, input, patch);
                        assert_true(exact <= most);
                        largest = exact > largest ? exact : largest;
                    }
                    tight += largest == most;
                    all++;
                    for (int more = 0; more < 2;
                         more++) { /* starts at every stride, and as models do that do not care for the seam */
                        pg_axis a = {.positions = more ? (input + stride - 1) / stride : input / stride,
                                     .field = field,
                                     .stride = stride,
                                     .wrap = true};
                        if (field <= input)
                            assert_true(pg_axis_window(&a, input, patch) <= pg_axis_window_most(&a, input, patch));
                    }
                }
    assert_true(10 * tight > 9 * all);
}

/* A 32 px patch before bagnet17 at 224 px: 6 positions that see 57 pixels, aligned to the stride, at the edge too. */
static void crops_are_aligned_to_the_stride(void **state)
{
    (void)state;
    pg_axis a = {.positions = 26, .field = 17, .stride = 8};
    pg_geometry g = {.input_height = 224, .input_width = 224, .rows = a, .columns = a, .classes = 10};
    pg_crop v = pg_geometry_crop(&g, false, (pg_rect){.top = 100, .left = 192, .height = 32, .width = 32});
    assert_int_equal(v.positions.height, 6);
    assert_int_equal(v.pixels.height, 57);
    assert_int_equal(v.positions.top, 11); /* sees pixels 88 to 104 */
    assert_int_equal(v.pixels.top, 88);
    assert_int_equal(v.positions.left, 20); /* not 22: the crop ends with the map */
    assert_int_equal(v.pixels.left, 160);
}

/* ---- networks */

typedef struct subject {
    const char *name, *model;
    int height, width, patch_height, patch_width;
    size_t n;
    const char *pairs[7];
} subject;

static const subject subjects[] = {
    {"bagnet17, 7 px at stride 2",
     "bagnet17",
     32,
     32,
     5,
     5,
     4,
     {"width=8", "kernel3=1100", "strides=1,2,1,1", "blocks=1,1,1,1"}},
    {"bagnet17, 17 px at stride 8", "bagnet17", 57, 64, 9, 6, 2, {"width=4", "blocks=1,2,1,1"}},
    {"bagnet9, 9 px at stride 8", "bagnet9", 40, 36, 4, 3, 2, {"width=4", "blocks=1,1,1,1"}},
    {"bagnet33, 33 px at stride 8", "bagnet33", 89, 82, 8, 2, 2, {"width=4", "blocks=1,1,1,2"}},
    {"bagnet17, strides 1,3,1,2", "bagnet17", 37, 40, 6, 5, 3, {"width=4", "strides=1,3,1,2", "blocks=1,1,1,1"}},
    {"bands of 4", "ds-resnet18", 32, 32, 5, 5, 1, {"width=8"}},
    {"bands of 4 at stride 3", "ds-resnet18", 32, 32, 5, 5, 2, {"width=8", "stride=3"}},
    {"bands of 3 at stride 5", "ds-resnet18", 16, 17, 3, 2, 3, {"width=8", "band=3", "stride=5"}},
    {"bands of 4, ablation", "ds-resnet18", 16, 24, 5, 5, 2, {"width=4", "encoding=ablation"}},
    {"bands of 5 at stride 2, ablation",
     "ds-resnet18",
     16,
     23,
     3,
     4,
     4,
     {"width=4", "encoding=ablation", "band=5", "stride=2"}},
    {"bands of 9 on 12 columns", "ds-resnet18", 12, 12, 3, 3, 2, {"width=4", "band=9"}},
    {"bands of 4 rows", "ds-resnet18", 32, 24, 5, 4, 2, {"width=8", "shape=row"}},
    {"bands of 5 rows at stride 2, ablation",
     "ds-resnet18",
     17,
     16,
     3,
     4,
     5,
     {"width=4", "encoding=ablation", "band=5", "stride=2", "shape=row"}},
    {"blocks of 3", "ds-resnet18", 16, 15, 2, 3, 3, {"width=8", "band=3", "shape=block"}},
    {"blocks of 4 at stride 3", "ds-resnet18", 16, 20, 3, 3, 3, {"width=8", "stride=3", "shape=block"}},
    {"blocks of 3 at stride 5", "ds-resnet18", 16, 17, 3, 2, 4, {"width=8", "band=3", "stride=5", "shape=block"}},
    {"blocks of 3, ablation", "ds-resnet18", 12, 14, 2, 3, 4, {"width=4", "encoding=ablation", "band=3", "shape=block"}},
    {"ResNet-50, bands of 5", "ds-resnet50", 32, 34, 4, 3, 3, {"width=4", "band=5", "stride=2"}},
    {"ResNet-50, blocks of 6 at stride 4",
     "ds-resnet50",
     16,
     18,
     3,
     3,
     5,
     {"width=4", "encoding=band", "band=6", "stride=4", "shape=block"}},
    {"tokens of 4 in bands of 6", "smoothed-vit", 12, 20, 5, 4, 5, {"width=8", "heads=2", "depth=2", "patch=4", "band=6"}},
    {"tokens of 4 in blocks of 6 at stride 3",
     "smoothed-vit",
     12,
     16,
     3,
     2,
     7,
     {"width=8", "heads=2", "depth=2", "patch=4", "band=6", "stride=3", "shape=block"}},
    {"tokens of 8 in 11 of 16 columns",
     "smoothed-vit",
     8,
     16,
     2,
     3,
     5,
     {"width=8", "heads=1", "depth=1", "patch=8", "band=11"}},
    {"vit", "vit", 12, 16, 3, 3, 5, {"width=8", "heads=2", "depth=2", "patch=4", "distilled=true"}},
    {"resnet18", "resnet18", 32, 32, 8, 8, 1, {"width=4"}},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

/* A network and one random image with its full local logits. */
typedef struct stage {
    const subject *sub;
    pg_network *net;
    const pg_geometry *g;
    pg_scope *s;
    uint8_t *pixels; /* [3][height][width] */
    float *full;     /* [H][W][classes] */
} stage;

static stage set_stage(const subject *sub)
{
    stage x = {.sub = sub};
    x.net = random_net_open(t, sub->model, sub->height, sub->width, CLASSES, sub->n, sub->pairs,
                            &(pg_network_options){.device = "cpu", .batch = 1, .threads = 1});
    x.g = &pg_network_info(x.net)->geometry;
    x.s = pg_network_scope(x.net);
    size_t image = (size_t)(3 * sub->height * sub->width);
    x.pixels = malloc(image);
    x.full = malloc((size_t)(x.g->rows.positions * x.g->columns.positions * CLASSES) * sizeof *x.full);
    assert_true(x.pixels && x.full);
    pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, 0);
    for (size_t i = 0; i < image; i++)
        x.pixels[i] = (uint8_t)pg_rng_below(&rng, 256);
    assert_int_equal(pg_network_forward(x.net, x.pixels, 0, 1, x.full), PG_OK);
    return x;
}

static void clear_stage(stage *x)
{
    pg_network_close(x->net);
    free(x->pixels);
    free(x->full);
}

static pg_rect patch_at(const stage *x, int top, int left)
{
    return (pg_rect){.top = top, .left = left, .height = x->sub->patch_height, .width = x->sub->patch_width};
}

/* The pixels of a crop: [3][height][width] in [0, 1]. */
static void cut(const stage *x, pg_rect r, float *out)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < r.height; i++)
            for (int j = 0; j < r.width; j++) {
                int row = (r.top + i) % x->g->input_height, column = (r.left + j) % x->g->input_width;
                *out++ = (float)x->pixels[(c * x->g->input_height + row) * x->g->input_width + column] / 255.0f;
            }
}

static pg_tensor *cut_all(const stage *x, const pg_crop *crops, int n)
{
    size_t each = (size_t)(3 * crops->pixels.height * crops->pixels.width);
    float *values = malloc((size_t)n * each * sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < n; i++)
        cut(x, crops[i].pixels, values + (size_t)i * each);
    pg_tensor *p = t->from_data(x->s, values, PG_T_F32, 4, (const int64_t[]){n, 3, crops->pixels.height, crops->pixels.width});
    free(values);
    return p;
}

/* The largest difference between logits of n crops and those of the full image. */
static double compare(const stage *x, const pg_crop *crops, int n)
{
    int h = crops->positions.height, w = crops->positions.width, H = x->g->rows.positions, W = x->g->columns.positions;
    int64_t total = (int64_t)n * CLASSES * h * w;
    float *got = malloc((size_t)total * sizeof *got);
    assert_non_null(got);
    pg_tensor *u = pg_network_crop_logits(x->net, cut_all(x, crops, n), crops, n);
    assert_int_equal(t->read(x->s, u, got, PG_T_F32, total), PG_OK);
    double worst = 0;
    for (int64_t k = 0; k < total; k++) {
        const pg_rect *m = &crops[k / (CLASSES * h * w)].positions;
        int c = (int)(k / (h * w) % CLASSES), row = (m->top + (int)(k / w % h)) % H, column = (m->left + (int)(k % w)) % W;
        worst = fmax(worst, fabs((double)got[k] - (double)x->full[(row * W + column) * CLASSES + c]));
    }
    free(got);
    t->scope_clear(x->s);
    return worst;
}

static double largest_logit(const stage *x)
{
    double largest = 0;
    for (int i = 0; i < x->g->rows.positions * x->g->columns.positions * CLASSES; i++)
        largest = fmax(largest, fabs((double)x->full[i]));
    return largest;
}

static void views_have_the_logits_of_the_full_image(void **state)
{
    (void)state;
    for (int k = 0; k < SUBJECTS; k++) {
        stage x = set_stage(&subjects[k]);
        pg_crop crops[BATCH];
        double worst = 0, scale = largest_logit(&x);
        int n = 0, places = 0;
        bool last = false;
        for (int top = 0; top + x.sub->patch_height <= x.g->input_height; top++)
            for (int left = 0; left + x.sub->patch_width <= x.g->input_width; left++, places++) {
                last = top + x.sub->patch_height == x.g->input_height && left + x.sub->patch_width == x.g->input_width;
                crops[n++] = pg_network_crop(x.net, patch_at(&x, top, left));
                if (n == BATCH || last) {
                    worst = fmax(worst, compare(&x, crops, n));
                    n = 0;
                }
                if (x.g->rows.field == 0) /* the whole image each time: one place is enough */
                    top = left = INT16_MAX;
            }
        print_message("%-34s %4d places, %2d x %-2d of %2d x %-2d px: largest difference %.2g of %.2g\n", x.sub->name, places,
                      crops->pixels.height, crops->pixels.width, x.g->input_height, x.g->input_width, worst, scale);
        assert_true(worst < 2e-5 * fmax(scale, 1));
        assert_true(scale > 1e-2);
        clear_stage(&x);
    }
}

/* A loss with a gradient everywhere: the sum of weights (a function of class and position in the map) times tanh
 * of the logits. */
static pg_tensor *loss_of(const stage *x, pg_tensor *u, const pg_crop *crops, int n)
{
    int h = crops->positions.height, w = crops->positions.width, H = x->g->rows.positions, W = x->g->columns.positions;
    double *weight = malloc((size_t)(n * CLASSES * h * w) * sizeof *weight);
    assert_non_null(weight);
    for (int k = 0; k < n * CLASSES * h * w; k++) {
        const pg_rect *m = &crops[k / (CLASSES * h * w)].positions;
        int c = k / (h * w) % CLASSES, row = (m->top + k / w % h) % H, column = (m->left + k % w) % W;
        weight[k] = cos(1 + 0.7 * c + 1.3 * row + 2.1 * column);
    }
    pg_tensor *scaled = t->tanh(x->s, t->affine(x->s, t->to_type(x->s, u, PG_T_F64), 1 / largest_logit(x), 0));
    pg_tensor *product = t->mul(x->s, scaled, t->from_data(x->s, weight, PG_T_F64, 4, (const int64_t[]){n, CLASSES, h, w}));
    free(weight);
    return t->sum(x->s, product, 0, NULL, false);
}

/* d loss / d pixels of n crops: out[n][3][height][width]; the loss. */
static double gradients(const stage *x, const pg_crop *crops, int n, float *out)
{
    bool before = t->grad_mode(true);
    pg_tensor *pixels = cut_all(x, crops, n);
    t->requires_grad(x->s, pixels, true);
    pg_tensor *loss = loss_of(x, pg_network_crop_logits(x->net, pixels, crops, n), crops, n);
    t->read(x->s, t->grad(x->s, loss, pixels), out, PG_T_F32, (int64_t)n * 3 * crops->pixels.height * crops->pixels.width);
    double value = t->item(x->s, loss);
    t->scope_clear(x->s);
    t->grad_mode(before);
    if (pg_scope_check(x->s))
        fail_msg("%s", pg_error_message());
    return value;
}

/* The gradient of a crop at pixel (c, row, column) of the image; 0 where the crop has no such pixel, since no
 * position sees it. */
static double gradient_at(const stage *x, const float *gradient, pg_rect r, int c, int row, int column)
{
    int i = (row - r.top + x->g->input_height) % x->g->input_height,
        j = (column - r.left + x->g->input_width) % x->g->input_width;
    return i < r.height && j < r.width ? (double)gradient[(c * r.height + i) * r.width + j] : 0;
}

/* Places at the corners, across edges and inside. */
static int some_places(const stage *x, pg_crop crops[BATCH], pg_rect patches[BATCH])
{
    int bottom = x->g->input_height - x->sub->patch_height, right = x->g->input_width - x->sub->patch_width, n = 0;
    const int tops[] = {0, bottom / 2, bottom}, lefts[] = {0, 1, right / 2, right - 1, right};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 5; j++, n++) {
            patches[n] = patch_at(x, tops[i], lefts[j]);
            crops[n] = pg_network_crop(x->net, patches[n]);
        }
    return n;
}

static void views_have_the_gradients_of_the_full_image(void **state)
{
    (void)state;
    for (int k = 0; k < SUBJECTS; k++) {
        stage x = set_stage(&subjects[k]);
        pg_crop crops[BATCH], whole = pg_network_crop(x.net, (pg_rect){.height = x.g->input_height, .width = x.g->input_width});
        pg_rect patches[BATCH];
        assert_true(whole.pixels.height == x.g->input_height && whole.positions.width == x.g->columns.positions);
        int n = some_places(&x, crops, patches), each = 3 * crops->pixels.height * crops->pixels.width;
        float *got = malloc((size_t)(n * each) * sizeof *got),
              *want = malloc((size_t)(3 * x.g->input_height * x.g->input_width) * sizeof *want);
        assert_true(got && want);
        gradients(&x, crops, n, got);
        gradients(&x, &whole, 1, want);
        double worst = 0, scale = 0;
        for (int i = 0; i < n; i++)
            for (int p = 0; p < 3 * patches[i].height * patches[i].width; p++) {
                int c = p / (patches[i].height * patches[i].width),
                    row = patches[i].top + p / patches[i].width % patches[i].height;
                int column = patches[i].left + p % patches[i].width;
                double right = (double)want[(c * x.g->input_height + row) * x.g->input_width + column];
                worst = fmax(worst, fabs(gradient_at(&x, got + i * each, crops[i].pixels, c, row, column) - right));
                scale = fmax(scale, fabs(right));
            }
        print_message("%-34s gradients: largest difference %.2g of %.2g\n", x.sub->name, worst, scale);
        assert_true(scale > 0 && worst < 2e-4 * scale);
        free(got);
        free(want);
        clear_stage(&x);
    }
}

/* Along the gradient itself, where the change of the loss is far above the rounding of the 24 bits of logits. */
static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    for (int k = 0; k < SUBJECTS; k++) {
        stage x = set_stage(&subjects[k]);
        pg_crop crop = pg_network_crop(
            x.net, patch_at(&x, x.g->input_height - x.sub->patch_height, x.g->input_width - x.sub->patch_width));
        int64_t shape[4] = {1, 3, crop.pixels.height, crop.pixels.width}, count = shape[1] * shape[2] * shape[3];
        float *gradient = malloc((size_t)count * sizeof *gradient), *pixels = malloc(2 * (size_t)count * sizeof *pixels);
        assert_true(gradient && pixels);
        gradients(&x, &crop, 1, gradient);
        cut(&x, crop.pixels, pixels + count);
        double norm = 0, loss[2];
        for (int64_t i = 0; i < count; i++)
            norm += (double)gradient[i] * (double)gradient[i];
        norm = sqrt(norm);
        const double step = 5e-5;
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < count; i++)
                pixels[i] = (float)((double)pixels[count + i] + (side ? step : -step) * (double)gradient[i] / norm);
            pg_tensor *p = t->from_data(x.s, pixels, PG_T_F32, 4, shape);
            loss[side] = t->item(x.s, loss_of(&x, pg_network_crop_logits(x.net, p, &crop, 1), &crop, 1));
            t->scope_clear(x.s);
        }
        double slope = (loss[1] - loss[0]) / (2 * step);
        print_message("%-34s slope %.5g, gradient %.5g\n", x.sub->name, slope, norm);
        assert_true(fabs(slope - norm) < 0.02 * norm);
        free(gradient);
        free(pixels);
        clear_stage(&x);
    }
}

/* What is outside a crop is constant: a patch of other contents changes full local logits inside its crop's positions only. */
static void nothing_outside_a_view_changes(void **state)
{
    (void)state;
    for (int k = 0; k < SUBJECTS; k++) {
        stage x = set_stage(&subjects[k]);
        pg_crop crops[BATCH];
        pg_rect patches[BATCH];
        int n = some_places(&x, crops, patches), H = x.g->rows.positions, W = x.g->columns.positions, changed = 0;
        size_t image = (size_t)(3 * x.g->input_height * x.g->input_width), map = (size_t)(H * W * CLASSES);
        uint8_t *patched = malloc(image);
        float *after = malloc(map * sizeof *after);
        assert_true(patched && after);
        for (int i = 0; i < n; i++) {
            memcpy(patched, x.pixels, image);
            for (int c = 0; c < 3; c++)
                for (int row = 0; row < patches[i].height; row++)
                    for (int column = 0; column < patches[i].width; column++)
                        patched[(c * x.g->input_height + patches[i].top + row) * x.g->input_width + patches[i].left + column] ^=
                            0x55;
            assert_int_equal(pg_network_forward(x.net, patched, 0, 1, after), PG_OK);
            pg_rect m = crops[i].positions;
            for (int p = 0; p < H * W; p++) {
                bool inside =
                    covers(m.top, m.height, H, x.g->rows.wrap, p / W) && covers(m.left, m.width, W, x.g->columns.wrap, p % W);
                bool same = memcmp(after + p * CLASSES, x.full + p * CLASSES, CLASSES * sizeof *after) == 0;
                assert_true(inside || same);
                changed += !same;
            }
        }
        assert_true(changed > 0);
        free(patched);
        free(after);
        clear_stage(&x);
    }
}

/* The mean over the positions of resnet18 is the network with its global mean. */
static void local_logits_of_resnet18_average_to_its_score(void **state)
{
    (void)state;
    const subject *sub = &subjects[SUBJECTS - 1];
    assert_string_equal(sub->model, "resnet18");
    stage x = set_stage(sub);
    random_net plain = random_net_new(t, sub->model, sub->height, sub->width, CLASSES, sub->n, sub->pairs);
    pg_builder b = {.pass = PG_PASS_EVAL, .scope = plain.scope, .parameters = &plain.parameters, .classes = CLASSES};
    pg_crop whole = pg_network_crop(x.net, patch_at(&x, 3, 3));
    float *crop = malloc((size_t)(3 * sub->height * sub->width) * sizeof *crop), score[CLASSES];
    cut(&x, whole.pixels, crop);
    pg_tensor *pixels = t->from_data(plain.scope, crop, PG_T_F32, 4, (const int64_t[]){1, 3, sub->height, sub->width});
    pg_value v = pg_layer_input(&b, t->affine(plain.scope, pixels, 4, -2), 3, sub->height, sub->width);
    assert_int_equal(t->read(plain.scope, pg_resnet_trunk(&b, &(pg_resnet){.depth = PG_RESNET_18, .width = 4}, v).tensor, score,
                             PG_T_F32, CLASSES),
                     PG_OK);
    double worst = 0;
    int positions = x.g->rows.positions * x.g->columns.positions;
    for (int c = 0; c < CLASSES; c++) {
        double mean = 0;
        for (int p = 0; p < positions; p++)
            mean += (double)x.full[p * CLASSES + c] / positions;
        worst = fmax(worst, fabs(mean - (double)score[c]));
    }
    print_message("mean of the local logits against the score: largest difference %.2g\n", worst);
    assert_int_equal(positions, 16);
    assert_true(worst < 1e-4 && fabs((double)score[0]) > 1e-3);
    free(crop);
    random_net_release(&plain, t);
    clear_stage(&x);
}

/* Where every position sees everything the window is the map, and no rule certifies an image. */
static void nothing_of_resnet18_is_certified(void **state)
{
    (void)state;
    stage x = set_stage(&subjects[SUBJECTS - 1]);
    int H = x.g->rows.positions, W = x.g->columns.positions, evaluated = 0, right = 0;
    pg_window window = {pg_axis_window(&x.g->rows, x.g->input_height, 1), pg_axis_window(&x.g->columns, x.g->input_width, 1)};
    assert_true(window.height == H && window.width == W && H * W == 16);
    for (size_t i = 0; pg_defenses[i]; i++) {
        _Alignas(16) uint8_t config[PG_CONFIG_MAX];
        assert_int_equal(pg_module_configure(&pg_defenses[i]->module, "defense", NULL, 0, config), PG_OK);
        pg_certifier *certifier = NULL;
        if (pg_defenses[i]->level != PG_LEVEL_FEATURE)
            continue;
        pg_job job = {.defense = pg_defenses[i], .config = config, .window = window};
        assert_int_equal(pg_certifier_new(&job, 1, H, W, CLASSES, false, false, &certifier), PG_OK);
        for (int label = 0; label < CLASSES; label++) {
            pg_verdict v;
            pg_certifier_image_f32(certifier, x.full, label, &v);
            assert_false(v.certified || v.certified_published);
            right += v.prediction == label;
            evaluated++;
        }
        pg_certifier_free(certifier);
    }
    assert_true(evaluated >= 6 * CLASSES && right * CLASSES == evaluated); /* each rule predicts one class */
    clear_stage(&x);
}

/* Pixels of another shape than the crops', and forward passes between passes of a crop. */
static void mistakes_and_neighbours(void **state)
{
    (void)state;
    stage x = set_stage(&subjects[0]);
    pg_crop crop = pg_network_crop(x.net, patch_at(&x, 3, 3));
    pg_tensor *p = t->full(x.s, 0.5, PG_T_F32, 4, (const int64_t[]){1, 3, crop.pixels.height + 1, crop.pixels.width});
    assert_null(pg_network_crop_logits(x.net, p, &crop, 1));
    assert_int_equal(pg_scope_check(x.s), PG_ESHAPE);
    assert_non_null(strstr(pg_error_message(), "[1][3][17][17]"));
    x.s->error = PG_OK;
    t->scope_clear(x.s);
    bool before = t->grad_mode(true);
    assert_int_equal(pg_network_forward(x.net, x.pixels, 0, 1, x.full), PG_OK);
    assert_true(t->grad_mode(before)); /* a forward pass leaves the thread's mode as it was */
    clear_stage(&x);
    pg_network *null = NULL;
    assert_int_equal(pg_network_open("null", NULL, 0, &(pg_network_options){.device = "cpu", .batch = 1}, &null), PG_OK);
    assert_null(pg_network_scope(null));
    pg_network_close(null);
}

static int setup(void **state)
{
    (void)state;
    int code = pg_torch_load(1, &t);
    if (code != PG_OK)
        fprintf(stderr, "%s\n", pg_error_message());
    else
        t->grad_mode(false);
    return code;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_hold_what_a_patch_touches),
        cmocka_unit_test(windows_without_padding_are_the_worst),
        cmocka_unit_test(crops_are_aligned_to_the_stride),
        cmocka_unit_test(views_have_the_logits_of_the_full_image),
        cmocka_unit_test(views_have_the_gradients_of_the_full_image),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(nothing_outside_a_view_changes),
        cmocka_unit_test(local_logits_of_resnet18_average_to_its_score),
        cmocka_unit_test(nothing_of_resnet18_is_certified),
        cmocka_unit_test(mistakes_and_neighbours),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
