/* Networks over libtorch: weights files, the two encodings of bands, folding, padding of batches, locality. */
/* Loads libtorch. */
#include "defenses/evidence.h"
#include "harness/base/file.h"
#include "harness/base/rng.h"
#include "harness/base/safetensors.h"
#include "models/locality.h"
#include "models/resnet.h"
#include "models/train.h"
#include "models/weights.h"
#include "tests/support/random_net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 32, CLASSES = 10, IMAGE = 3 * SIDE * SIDE };
static const pg_torch *t;
static char folder[] = "/tmp/pg-network-XXXXXX";

typedef random_net net;

static void random_pixels(uint8_t *pixels, int n, uint32_t item)
{
    pg_rng rng = pg_rng_make(5, PG_STREAM_TEST, item);
    for (int i = 0; i < n * IMAGE; i++)
        pixels[i] = (uint8_t)pg_rng_below(&rng, 256);
}

/* A network with random weights and running statistics that are not the trivial ones. */
static net random_32px(const char *name, size_t n, const char *const *pairs)
{
    return random_net_new(t, name, SIDE, SIDE, CLASSES, n, pairs);
}
static void release(net *x) { random_net_release(x, t); }
static void save(const net *x, const char *path, bool half) { random_net_save(x, path, half); }

static void path_of(char path[128], const char *name) { snprintf(path, 128, "%s/%s", folder, name); }

static pg_network *open_net(const char *path, int batch)
{
    pg_network *n = NULL;
    int code = pg_network_open(path, NULL, 0, &(pg_network_options){.device = "cpu", .batch = batch}, &n);
    if (code != PG_OK)
        fail_msg("%s", pg_error_message());
    return n;
}

static double largest_difference(const float *x, const float *y, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
    return worst;
}

/* A file that is read back gives the logits of the network that was saved; folding changes last bits only. */
static void saved_networks_come_back(void **state)
{
    (void)state;
    char path[128];
    path_of(path, "bagnet.safetensors");
    const char *const pairs[] = {"width=8", "kernel3=1100", "strides=1,2,1,1", "blocks=1,1,1,1"};
    net x = random_32px("bagnet17", 4, pairs);
    save(&x, path, false);
    uint8_t pixels[2 * IMAGE];
    random_pixels(pixels, 2, 0);
    size_t map = (size_t)(x.geometry.rows.positions * x.geometry.columns.positions * CLASSES);
    float *want = malloc(2 * map * sizeof *want), *got = malloc(2 * map * sizeof *got);
    pg_tensor *in = t->from_data(x.scope, pixels, PG_T_U8, 4, (const int64_t[]){2, 3, SIDE, SIDE});
    pg_tensor *u = pg_model_forward(x.model, x.config, PG_PASS_EVAL, x.scope, &x.parameters, CLASSES, in);
    t->read(x.scope, t->permute(x.scope, u, 4, (const int64_t[]){0, 2, 3, 1}), want, PG_T_F32, (int64_t)(2 * map));
    assert_int_equal(pg_scope_check(x.scope), PG_OK);
    pg_network *n = open_net(path, 4);
    assert_int_equal(pg_network_forward(n, pixels, 0, 2, got), PG_OK);
    double difference = largest_difference(want, got, 2 * map);
    print_message("folded and padded against plain: largest difference %.2g\n", difference);
    assert_true(difference < 1e-4);
    assert_true(fabs((double)want[0]) > 1e-3);
    free(want);
    free(got);
    pg_network_close(n);
    release(&x);
}

/* A partial batch gives the same bytes as the same images in a full one. */
static void partial_batches_are_padded(void **state)
{
    (void)state;
    char path[128];
    path_of(path, "bagnet.safetensors");
    uint8_t pixels[4 * IMAGE];
    random_pixels(pixels, 4, 1);
    pg_network *n = open_net(path, 4);
    const pg_geometry *g = &pg_network_info(n)->geometry;
    size_t map = (size_t)(g->rows.positions * g->columns.positions * CLASSES);
    float *full = malloc(4 * map * sizeof *full), *part = malloc(map * sizeof *part);
    assert_int_equal(pg_network_forward(n, pixels, 0, 4, full), PG_OK);
    assert_int_equal(pg_network_forward(n, pixels, 0, 1, part), PG_OK);
    assert_memory_equal(full, part, map * sizeof *part);
    free(full);
    free(part);
    pg_network_close(n);
}

/* The logits of column j, by hand: cut the band out (it wraps), encode it, and run the trunk untransposed. */
static void transposed_bands_are_the_plain_ones(void **state)
{
    (void)state;
    const char *const pairs[] = {"width=8"};
    net x = random_32px("ds-resnet18", 1, pairs);
    pg_scope *s = x.scope;
    uint8_t pixels[IMAGE];
    random_pixels(pixels, 1, 2);
    float all[SIDE * CLASSES], one[CLASSES], band[5 * SIDE * 4];
    pg_tensor *in = t->from_data(s, pixels, PG_T_U8, 4, (const int64_t[]){1, 3, SIDE, SIDE});
    pg_tensor *u = pg_model_forward(x.model, x.config, PG_PASS_EVAL, s, &x.parameters, CLASSES, in);
    t->read(s, t->permute(s, u, 4, (const int64_t[]){0, 2, 3, 1}), all, PG_T_F32, SIDE * CLASSES);
    /* the same kernels with rows and columns exchanged, on the band as it stands in the image */
    for (size_t i = 0; i < x.parameters.n; i++)
        if (x.parameters.items[i].rank == 4) {
            pg_tensor *turned = t->keep(s, t->permute(s, x.parameters.items[i].tensor, 4, (const int64_t[]){0, 1, 3, 2}));
            t->tensor_free(x.parameters.items[i].tensor);
            x.parameters.items[i].tensor = turned;
        }
    double worst = 0;
    for (int j = 0; j < SIDE; j++) {
        for (int c = 0; c < 5; c++)
            for (int y = 0; y < SIDE; y++)
                for (int k = 0; k < 4; k++) {
                    int column = (j + k) % SIDE;
                    double angle = 2 * M_PI * (column + 0.5) / SIDE;
                    double v = c < 3    ? pixels[(c * SIDE + y) * SIDE + column] / 255.0 * 4 - 2
                               : c == 3 ? cos(angle)
                                        : sin(angle);
                    band[(c * SIDE + y) * 4 + k] = (float)v;
                }
        pg_builder b = {.pass = PG_PASS_EVAL, .scope = s, .parameters = &x.parameters, .classes = CLASSES};
        pg_tensor *batch = t->from_data(s, band, PG_T_F32, 4, (const int64_t[]){1, 5, SIDE, 4});
        pg_value logits =
            pg_resnet_trunk(&b, &(pg_resnet){.depth = PG_RESNET_18, .width = 8}, pg_layer_input(&b, batch, 5, SIDE, 4));
        t->read(s, logits.tensor, one, PG_T_F32, CLASSES);
        worst = fmax(worst, largest_difference(one, all + j * CLASSES, CLASSES));
    }
    assert_int_equal(pg_scope_check(s), PG_OK);
    print_message("transposed against plain bands: largest difference %.2g\n", worst);
    assert_true(worst < 1e-4);
    release(&x);
}

/* One encoded cell by hand, in the image's own direction: the block at (top, left), round both edges. */
static void cut_block(const uint8_t *pixels, bool ablation, int side, int top, int left, float *out)
{
    int size = ablation ? SIDE : side;
    memset(out, 0, (size_t)(7 * size * size) * sizeof *out);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            int row = (top + y) % SIDE, column = (left + x) % SIDE, at = ablation ? row * SIDE + column : y * side + x;
            for (int c = 0; c < 3; c++) {
                double v = pixels[(c * SIDE + row) * SIDE + column] / 255.0;
                out[c * size * size + at] = (float)(ablation ? v : 4 * v - 2);
                if (ablation)
                    out[(3 + c) * size * size + at] = (float)(1 - v);
            }
            double places[4] = {cos(2 * M_PI * (row + 0.5) / SIDE), sin(2 * M_PI * (row + 0.5) / SIDE),
                                cos(2 * M_PI * (column + 0.5) / SIDE), sin(2 * M_PI * (column + 0.5) / SIDE)};
            for (int c = 0; !ablation && c < 4; c++)
                out[(3 + c) * size * size + at] = (float)places[c];
        }
}

/* A forward pass, which runs in parts (of images, of rows of blocks), against the trunk on single blocks. */
static void blocks_are_cut_round_both_edges(void **state)
{
    (void)state;
    static const char *const encodings[] = {"encoding=band", "encoding=ablation"};
    enum { IMAGES = 5, BAND = 12 };
    static uint8_t pixels[IMAGES * IMAGE];
    static float all[IMAGES * SIDE * SIDE * CLASSES], block[7 * SIDE * SIDE];
    random_pixels(pixels, IMAGES, 2);
    for (int e = 0; e < 2; e++) {
        const char *const pairs[] = {"width=4", "band=12", "shape=block", encodings[e]};
        net x = random_32px("ds-resnet18", 4, pairs);
        pg_scope *s = x.scope;
        int n = e ? 1 : IMAGES, size = e ? SIDE : BAND, channels = e ? 6 : 7;
        pg_tensor *in = t->from_data(s, pixels, PG_T_U8, 4, (const int64_t[]){n, 3, SIDE, SIDE});
        pg_tensor *u = pg_model_forward(x.model, x.config, PG_PASS_EVAL, s, &x.parameters, CLASSES, in);
        t->read(s, t->permute(s, u, 4, (const int64_t[]){0, 2, 3, 1}), all, PG_T_F32, n * SIDE * SIDE * CLASSES);
        t->scope_clear(s);
        double worst = 0;
        for (int i = 0; i < n * SIDE * SIDE; i += 37) {
            float one[CLASSES];
            cut_block(pixels + i / (SIDE * SIDE) * IMAGE, e, BAND, i / SIDE % SIDE, i % SIDE, block);
            pg_builder b = {.pass = PG_PASS_EVAL, .scope = s, .parameters = &x.parameters, .classes = CLASSES};
            pg_tensor *batch = t->from_data(s, block, PG_T_F32, 4, (const int64_t[]){1, channels, size, size});
            pg_value logits = pg_resnet_trunk(&b, &(pg_resnet){.depth = PG_RESNET_18, .width = 4},
                                              pg_layer_input(&b, batch, channels, size, size));
            t->read(s, logits.tensor, one, PG_T_F32, CLASSES);
            t->scope_clear(s);
            worst = fmax(worst, largest_difference(one, all + i * CLASSES, CLASSES));
        }
        assert_int_equal(pg_scope_check(s), PG_OK);
        print_message("blocks, %s: largest difference %.2g\n", encodings[e], worst);
        assert_true(worst < 1e-4);
        release(&x);
    }
}

/* Training looks at positions of the map: a grid of blocks, evenly spaced from a random one on. */
static void training_looks_at_a_grid_of_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *shape;
        int positions, rows, columns;
    } cases[] = {{"shape=block", 1, 1, 1}, {"shape=block", 8, 2, 4},  {"shape=block", 9, 3, 3},
                 {"shape=row", 4, 4, 1},   {"shape=column", 4, 1, 4}, {"shape=column", 99, 1, SIDE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const pairs[] = {"width=4", cases[i].shape};
        net x = random_32px("ds-resnet18", 2, pairs);
        uint8_t pixels[2 * IMAGE];
        random_pixels(pixels, 2, 4);
        pg_tensor *in = t->from_data(x.scope, pixels, PG_T_U8, 4, (const int64_t[]){2, 3, SIDE, SIDE});
        pg_value v = pg_model_train_logits(x.model, x.config, PG_PASS_EVAL, x.scope, &x.parameters, CLASSES, in,
                                           cases[i].positions, pg_rng_make(1, PG_STREAM_TEST, (uint32_t)i));
        assert_int_equal(pg_scope_check(x.scope), PG_OK);
        assert_int_equal(v.rows.positions, cases[i].rows);
        assert_int_equal(v.columns.positions, cases[i].columns);
        assert_int_equal(t->size(v.tensor, 2), cases[i].rows);
        assert_int_equal(t->size(v.tensor, 3), cases[i].columns);
        if (v.rows.wrap)
            assert_int_equal(v.rows.stride, SIDE / cases[i].rows);
        if (v.columns.wrap)
            assert_int_equal(v.columns.stride, SIDE / cases[i].columns);
        float some[2 * CLASSES * SIDE], all[2 * CLASSES * SIDE * SIDE];
        int count = cases[i].rows * cases[i].columns;
        t->read(x.scope, t->permute(x.scope, v.tensor, 4, (const int64_t[]){0, 2, 3, 1}), some, PG_T_F32, 2 * count * CLASSES);
        pg_tensor *u = pg_model_forward(x.model, x.config, PG_PASS_EVAL, x.scope, &x.parameters, CLASSES, in);
        int H = (int)t->size(u, 2), W = (int)t->size(u, 3), found = 0;
        t->read(x.scope, t->permute(x.scope, u, 4, (const int64_t[]){0, 2, 3, 1}), all, PG_T_F32, 2 * H * W * CLASSES);
        for (int at = 0; at < H * W; at++) { /* where the grid starts, in the first image */
            bool same = true;
            for (int k = 0; same && k < count; k++) {
                int row = (at / W + k / cases[i].columns * H / cases[i].rows) % H,
                    column = (at % W + k % cases[i].columns * W / cases[i].columns) % W;
                same = largest_difference(some + k * CLASSES, all + (row * W + column) * CLASSES, CLASSES) < 1e-4;
            }
            found += same;
        }
        assert_int_equal(found, 1);
        release(&x);
    }
}

/* The published encoding sees nothing outside the band: pixels there may change without any effect on its column. Both images
 * are the only one of their pass: another place in a batch may round otherwise. */
static void ablated_bands_see_only_themselves(void **state)
{
    (void)state;
    const char *const pairs[] = {"width=4", "encoding=ablation"};
    net x = random_32px("ds-resnet18", 2, pairs);
    uint8_t pixels[IMAGE];
    float all[2][SIDE * CLASSES];
    random_pixels(pixels, 1, 3);
    for (int pass = 0; pass < 2; pass++) {
        pg_tensor *in = t->from_data(x.scope, pixels, PG_T_U8, 4, (const int64_t[]){1, 3, SIDE, SIDE});
        pg_tensor *u = pg_model_forward(x.model, x.config, PG_PASS_EVAL, x.scope, &x.parameters, CLASSES, in);
        t->read(x.scope, t->permute(x.scope, u, 4, (const int64_t[]){0, 2, 3, 1}), all[pass], PG_T_F32, SIDE * CLASSES);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < SIDE; y++)
                for (int k = 0; k < 5; k++)
                    pixels[(c * SIDE + y) * SIDE + 10 + k] = (uint8_t)(17 * k + y);
    }
    assert_int_equal(pg_scope_check(x.scope), PG_OK);
    for (int j = 0; j < SIDE; j++) {
        bool meets = j + 3 >= 10 && j <= 14;
        int same = memcmp(all[0] + j * CLASSES, all[1] + j * CLASSES, CLASSES * sizeof(float)) == 0;
        assert_int_equal(same, !meets);
    }
    release(&x);
}

/* On the grid values lie no further apart than said, halves that are rounded away from each other among them. */
static void changes_are_counted_in_full(void **state)
{
    (void)state;
    pg_rng rng = pg_rng_make(5, PG_STREAM_TEST, 0);
    int64_t closest = INT64_MAX;
    for (int i = 0; i < 100000; i++) {
        double a = (double)pg_rng_below(&rng, 64) / 4 / PG_GRID, b = (double)pg_rng_below(&rng, 64) / 4 / PG_GRID;
        int64_t room = pg_locality_units(fabs(a - b)) - llabs((int64_t)pg_grid(a) - pg_grid(b));
        closest = room < closest ? room : closest;
    }
    assert_int_equal(closest, 0);
    assert_int_equal(pg_locality_units(0), 0);
    assert_int_equal(pg_locality_units(1e-12), 1);
    assert_int_equal(pg_locality_units(0.5), PG_GRID / 2 + 1); /* of 2000 and 2000.5 as well */
    assert_int_equal(pg_locality_units(1e30), PG_LOCALITY_MAX);
    assert_int_equal(pg_locality_units((double)NAN), PG_LOCALITY_MAX);
}

/* A patch changes positions inside its window, and outside it nothing but by the measured delta. */
static void locality_is_measured(void **state)
{
    (void)state;
    char bands[128], bagnet[128], square[128], global[128], smoothed[128];
    path_of(bands, "ds.safetensors");
    path_of(bagnet, "bagnet.safetensors");
    path_of(global, "resnet.safetensors");
    const char *const width[] = {"width=8"}, *const blocks[] = {"width=4", "shape=block", "stride=2", "band=5"},
                      *const tokens[] = {"width=8", "heads=2", "depth=2", "patch=4", "band=5"};
    net ds = random_32px("ds-resnet18", 1, width), block = random_32px("ds-resnet18", 4, blocks),
        resnet = random_32px("resnet18", 1, width), vit = random_32px("smoothed-vit", 5, tokens);
    save(&ds, bands, true);
    save(&resnet, global, true);
    path_of(square, "blocks.safetensors");
    save(&block, square, true);
    path_of(smoothed, "smoothed-vit.safetensors");
    save(&vit, smoothed, true);
    const char *const files[] = {bands, bagnet, square, smoothed};
    pg_locality_request request = {
        .data_dir = "unused", .dataset = "synthetic:val", .device = "cpu", .batch = 8, .threads = 1, .trials = 20, .seed = 1};
    for (int i = 0; i < 4; i++) {
        pg_locality found;
        pg_weights_info info;
        assert_int_equal(pg_locality_measure(files[i], &request, &found), PG_OK);
        print_message("locality delta: %ld grid units\n", (long)found.delta_grid);
        assert_true(found.measured && found.delta_grid >= 0 && found.delta_grid < PG_GRID / 1000);
        assert_int_equal(pg_locality_record(files[i], &found), PG_OK);
        assert_int_equal(pg_weights_describe(files[i], NULL, 0, &info), PG_OK);
        assert_int_equal(info.locality.delta_grid, found.delta_grid);
        assert_true(info.locality.trials == 24 && found.outside == 24 && found.trials == 24); /* whole batches of 8 */
        assert_string_equal(info.locality.device, "cpu");
        assert_string_equal(info.locality.isa, found.isa);
        /* it speaks for its own type and batch only */
        pg_locality_result f;
        pg_locality_find(&info, PG_DTYPE_F32, 8, false, &f);
        assert_true(f.measured);
        pg_locality_find(&info, PG_DTYPE_F32, 128, false, &f);
        assert_false(f.measured);
        pg_locality_find(&info, PG_DTYPE_BF16, 8, false, &f);
        assert_false(f.measured);
    }
    pg_locality vacuous;
    assert_int_equal(pg_locality_measure(global, &request, &vacuous), PG_OK);
    assert_true(!vacuous.measured && vacuous.trials == 24 && vacuous.outside == 0); /* its one position meets every patch */
    release(&ds);
    release(&block);
    release(&resnet);
    release(&vit);
}

/* Images at other places and in other batches differ in their last bits at most; the file beside the weights keeps what was
 * found, and the weights stay what they are. How much it is depends on the processor. */
static void moved_images_are_measured(void **state)
{
    (void)state;
    char weights[128];
    path_of(weights, "bagnet.safetensors");
    const pg_locality_request request = {.data_dir = "unused",
                                         .dataset = "synthetic:val",
                                         .device = "cpu",
                                         .batch = 16,
                                         .threads = 1,
                                         .trials = 16,
                                         .seed = 1,
                                         .moved = true};
    pg_weights_info before, after;
    pg_locality found, again;
    pg_locality_result f;
    assert_int_equal(pg_weights_describe(weights, NULL, 0, &before), PG_OK);
    assert_int_equal(pg_locality_measure(weights, &request, &found), PG_OK);
    print_message("moved: %ld grid units, elsewhere %ld\n", (long)found.moved_grid, (long)found.elsewhere_grid);
    assert_true(found.measured && found.moved && found.images == 128 && found.outside == found.trials);
    assert_true(found.moved_grid >= 0 && found.moved_grid < PG_GRID / 1000 && found.elsewhere_grid < PG_GRID / 1000);
    assert_string_equal(found.batches, "1,16,64,128");
    again = found;
    assert_int_equal(pg_locality_add(weights, &again), PG_OK);
    again.moved_grid = found.moved_grid > 0 ? found.moved_grid - 1 : 0; /* less than before: the larger one stays */
    again.elsewhere_grid = found.elsewhere_grid + 7;
    assert_int_equal(pg_locality_add(weights, &again), PG_OK);
    assert_int_equal(again.moved_grid, found.moved_grid);
    assert_int_equal(pg_weights_describe(weights, NULL, 0, &after), PG_OK);
    assert_string_equal(after.hash, before.hash);
    assert_int_equal(after.n_measured, 1);
    pg_locality_find(&after, PG_DTYPE_F32, 16, true, &f);
    assert_true(f.measured && f.delta_grid == found.moved_grid + found.elsewhere_grid + 7);
    again = found; /* without a position outside, and without moving: what is known stays */
    again.measured = again.moved = false;
    again.outside = again.moved_grid = again.elsewhere_grid = again.images = 0;
    *again.batches = 0;
    assert_int_equal(pg_locality_add(weights, &again), PG_OK);
    assert_int_equal(pg_weights_describe(weights, NULL, 0, &after), PG_OK);
    assert_true(after.n_measured == 1 && after.measured[0].outside == found.outside && after.measured[0].images == 128);
    pg_locality_find(&after, PG_DTYPE_F32, 16, true, &f);
    assert_true(f.measured && f.delta_grid == found.moved_grid + found.elsewhere_grid + 7);
    char beside[160];
    snprintf(beside, sizeof beside, "%s.locality", weights);
    assert_int_equal(unlink(beside), 0);
}

/* One pixel changes positions whose field of 7 px at stride 2 holds it, and no other. */
static void pixels_reach_their_fields_only(void **state)
{
    (void)state;
    const char *const pairs[] = {"width=8", "kernel3=1100", "strides=1,2,1,1", "blocks=1,1,1,1"};
    net x = random_32px("bagnet17", 4, pairs);
    uint8_t pixels[IMAGE];
    random_pixels(pixels, 1, 8);
    int rows = 0, columns = 0, changed = 0, meeting = 0;
    float *u[2];
    for (int pass = 0; pass < 2; pass++) { /* at the same place of a batch of the same size */
        pg_builder b = {.pass = PG_PASS_EVAL, .scope = x.scope, .parameters = &x.parameters, .classes = CLASSES};
        pg_tensor *image = t->from_data(x.scope, pixels, PG_T_U8, 4, (const int64_t[]){1, 3, SIDE, SIDE});
        pg_tensor *in = t->affine(x.scope, t->to_type(x.scope, image, PG_T_F32), 1.0 / 255, 0);
        pg_value out = x.model->hooks->forward(&b, x.config, pg_layer_input(&b, in, 3, SIDE, SIDE));
        rows = out.rows.positions, columns = out.columns.positions;
        u[pass] = malloc((size_t)(CLASSES * rows * columns) * sizeof(float));
        assert_int_equal(t->read(x.scope, out.tensor, u[pass], PG_T_F32, CLASSES * rows * columns), PG_OK);
        pixels[16 * SIDE + 16] ^= 0x80;
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            int i = r * columns + c;
            bool meets = r * 2 <= 16 && 16 < r * 2 + 7 && c * 2 <= 16 && 16 < c * 2 + 7;
            changed += u[0][i] != u[1][i];
            meeting += meets;
            assert_true(meets || u[0][i] == u[1][i]);
        }
    assert_true(changed > 0 && changed <= meeting);
    free(u[0]);
    free(u[1]);
    release(&x);
}

static void flip_byte(const char *from, const char *to, size_t at, bool truncate)
{
    char *data;
    size_t size;
    assert_int_equal(pg_file_read(from, 1 << 24, &data, &size), PG_OK);
    if (!truncate)
        data[at] = (char)(data[at] ^ 0x7f);
    assert_int_equal(pg_file_write(to, data, truncate ? at : size), PG_OK);
    free(data);
}

static void damaged_weights_are_refused(void **state)
{
    (void)state;
    char good[128], bad[128];
    path_of(good, "ds.safetensors");
    path_of(bad, "bad.safetensors");
    pg_network *n = NULL;
    pg_network_options o = {.device = "cpu", .batch = 1};
    for (size_t at = 0; at < 64; at += 7) {
        flip_byte(good, bad, at, false);
        assert_int_not_equal(pg_network_open(bad, NULL, 0, &o, &n), PG_OK);
        assert_null(n);
    }
    flip_byte(good, bad, 5000, true);
    int code = pg_network_open(bad, NULL, 0, &o, &n);
    assert_int_equal(pg_error_exit_code(code), 2);
    assert_non_null(strstr(pg_error_message(), "bad.safetensors"));
    assert_int_equal(pg_network_open("/nonexistent.safetensors", NULL, 0, &o, &n), PG_EMISSING);
    o.device = "cuda:99";
    assert_int_equal(pg_network_open(good, NULL, 0, &o, &n), PG_EINPUT);
    o.device = "teapot";
    assert_int_equal(pg_network_open(good, NULL, 0, &o, &n), PG_EINPUT);
}

/* Logits of these outputs, in this order, by whole images and by crops: as those of the whole network, bit for bit where
 * positions have fields. */
static void check_selection(const char *model, size_t n_pairs, const char *const *pairs, bool exact)
{
    enum { CHOSEN = 4, OUTPUTS = 13 };
    static const int outputs[CHOSEN] = {11, 0, 12, 5};
    char path[128];
    path_of(path, "bagnet.safetensors");
    net x = random_net_new(t, model, SIDE, SIDE, OUTPUTS, n_pairs, pairs);
    save(&x, path, false);
    pg_network *all = open_net(path, 2), *some = NULL;
    pg_network_options options = {.device = "cpu", .batch = 2, .outputs = outputs, .n_outputs = CHOSEN};
    assert_int_equal(pg_network_open(path, NULL, 0, &options, &some), PG_OK);
    const pg_geometry *g = &pg_network_info(some)->geometry;
    size_t positions = (size_t)(g->rows.positions * g->columns.positions);
    assert_int_equal(g->classes, CHOSEN);
    assert_int_equal(pg_network_info(all)->geometry.classes, OUTPUTS);
    uint8_t pixels[2 * IMAGE];
    random_pixels(pixels, 2, 7);
    float *want = malloc(2 * positions * OUTPUTS * sizeof *want), *got = malloc(2 * positions * CHOSEN * sizeof *got);
    assert_int_equal(pg_network_forward(all, pixels, 0, 2, want), PG_OK);
    assert_int_equal(pg_network_forward(some, pixels, 0, 2, got), PG_OK);
    for (size_t p = 0; p < 2 * positions; p++)
        for (size_t c = 0; c < CHOSEN; c++) {
            float a = want[p * OUTPUTS + (size_t)outputs[c]], b = got[p * CHOSEN + c];
            assert_true(exact ? a == b : fabsf(a - b) < 1e-5f);
        }
    pg_scope *s = pg_network_scope(some);
    pg_crop crop = pg_network_crop(some, (pg_rect){3, 3, 4, 4});
    pg_rect seen = crop.pixels, map = crop.positions;
    uint8_t cut[IMAGE];
    for (int i = 0; i < 3 * seen.height * seen.width; i++)
        cut[i] = pixels[(i / (seen.height * seen.width) * SIDE + seen.top + i / seen.width % seen.height) * SIDE + seen.left +
                        i % seen.width];
    pg_tensor *in = t->from_data(s, cut, PG_T_U8, 4, (const int64_t[]){1, 3, seen.height, seen.width});
    in = t->affine(s, t->to_type(s, in, PG_T_F32), 1.0 / 255, 0);
    pg_tensor *logits = pg_network_crop_logits(some, in, &crop, 1);
    float *part = malloc((size_t)(map.height * map.width * CHOSEN) * sizeof *part);
    t->read(s, t->permute(s, logits, 4, (const int64_t[]){0, 2, 3, 1}), part, PG_T_F32, map.height * map.width * CHOSEN);
    assert_int_equal(pg_scope_check(s), PG_OK);
    for (int i = 0; i < map.height * map.width * CHOSEN; i++) {
        int row = map.top + i / CHOSEN / map.width, column = map.left + i / CHOSEN % map.width;
        assert_true(fabsf(part[i] - got[(row * g->columns.positions + column) * CHOSEN + i % CHOSEN]) < 1e-4f);
    }
    free(want);
    free(got);
    free(part);
    pg_network_close(all);
    pg_network_close(some);
    options.outputs = (const int[]){13};
    options.n_outputs = 1;
    assert_int_equal(pg_network_open(path, NULL, 0, &options, &some), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "output 13: the network has 0 to 12"));
    assert_null(some);
    release(&x);
}

static void outputs_are_chosen(void **state)
{
    (void)state;
    static const char *const bagnet[] = {"width=8", "kernel3=1100", "strides=1,2,1,1", "blocks=1,1,1,1"}, *const resnet[] = {
                                                                                                              "width=4"};
    check_selection("bagnet17", 4, bagnet, true);
    check_selection("resnet18", 1, resnet, false);
}

/* Strided 1 x 1 convolutions on maps of 222 positions, with gradients of all weights. */
static void large_images_can_be_learnt_from(void **state)
{
    (void)state;
    enum { LARGE = 224, IMAGES = 32 };
    static const char *const pairs[] = {"width=4", "blocks=1,1,1,1"};
    net x = random_net_new(t, "bagnet17", LARGE, LARGE, CLASSES, 2, pairs);
    bool before = t->grad_mode(true);
    for (size_t i = 0; i < x.parameters.n; i++)
        if (pg_parameter_trained(&x.parameters.items[i]))
            t->requires_grad(x.scope, x.parameters.items[i].tensor, true);
    for (int round = 0; round < 3; round++) {
        pg_tensor *pixels = t->full(x.scope, 0.25 * (1 + round), PG_T_F32, 4, (const int64_t[]){IMAGES, 3, LARGE, LARGE});
        pg_tensor *u = pg_model_forward(x.model, x.config, PG_PASS_TRAIN, x.scope, &x.parameters, CLASSES, pixels);
        t->backward(x.scope, t->sum(x.scope, u, 0, NULL, false));
        float first;
        pg_tensor *p = x.parameters.items[0].tensor, *buffer = t->like(x.scope, p, 0);
        t->sgd(x.scope, 1, &p, &buffer, (double[]){0}, 0, 0, false); /* the buffer becomes the gradient */
        t->read(x.scope, t->sum(x.scope, buffer, 0, NULL, false), &first, PG_T_F32, 1);
        assert_int_equal(pg_scope_check(x.scope), PG_OK);
        assert_true(isfinite(first));
        t->scope_clear(x.scope);
    }
    t->grad_mode(before);
    release(&x);
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    int code = pg_torch_load(1, &t);
    if (code != PG_OK)
        fprintf(stderr, "%s\n", pg_error_message());
    else
        t->grad_mode(false);
    return code;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"ds", "bagnet", "blocks", "resnet", "smoothed-vit", "bad"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s.safetensors", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_networks_come_back),
        cmocka_unit_test(partial_batches_are_padded),
        cmocka_unit_test(transposed_bands_are_the_plain_ones),
        cmocka_unit_test(blocks_are_cut_round_both_edges),
        cmocka_unit_test(training_looks_at_a_grid_of_blocks),
        cmocka_unit_test(ablated_bands_see_only_themselves),
        cmocka_unit_test(changes_are_counted_in_full),
        cmocka_unit_test(locality_is_measured),
        cmocka_unit_test(moved_images_are_measured),
        cmocka_unit_test(pixels_reach_their_fields_only),
        cmocka_unit_test(damaged_weights_are_refused),
        cmocka_unit_test(large_images_can_be_learnt_from),
        cmocka_unit_test(outputs_are_chosen),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
