/* Data sets that are resized, and what a patch before the resize changes behind it: never more than pg_resize_affected says, by
 * resizing images with and without a patch. */
/* Loads libtorch, also under sanitizers. */
#include "harness/base/rng.h"
#include "harness/data/dataset.h"
#include "tests/support/random_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE_MAX = 320 };
static uint8_t before[SIDE_MAX * SIDE_MAX * 3], patched[SIDE_MAX * SIDE_MAX * 3], small[2][SIDE_MAX * SIDE_MAX * 3];

static void random_bytes(pg_rng *rng, uint8_t *out, size_t n, bool extreme)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(extreme ? 255 * pg_rng_below(rng, 2) : pg_rng_below(rng, 256));
}

/* The rows and columns of the result that a patch changed, from the first to the last. */
static void changed(int height, int width, const uint8_t *a, const uint8_t *b, int *rows, int *columns)
{
    int top = height, bottom = -1, left = width, right = -1;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            if (memcmp(a + 3 * (y * width + x), b + 3 * (y * width + x), 3) != 0) {
                top = y < top ? y : top;
                bottom = y > bottom ? y : bottom;
                left = x < left ? x : left;
                right = x > right ? x : right;
            }
    *rows = bottom - top + 1 > 0 ? bottom - top + 1 : 0;
    *columns = right - left + 1 > 0 ? right - left + 1 : 0;
}

typedef struct size {
    int from_height, from_width, height, width, patch_height, patch_width;
} size;

/* One patch of random bytes on a random image: whether it changes affected pixels only. */
static void try_one(const size *s, pg_filter filter, uint32_t trial, int *rows, int *columns)
{
    pg_rng rng = pg_rng_make(17, PG_STREAM_TEST, trial);
    size_t bytes = (size_t)(3 * s->from_height * s->from_width);
    random_bytes(&rng, small[0], bytes, trial % 2);
    memcpy(small[1], small[0], bytes);
    int top = (int)pg_rng_below(&rng, (uint32_t)(s->from_height - s->patch_height + 1));
    int left = (int)pg_rng_below(&rng, (uint32_t)(s->from_width - s->patch_width + 1));
    for (int y = top; y < top + s->patch_height; y++)
        for (int i = 3 * left; i < 3 * (left + s->patch_width); i++) { /* as far from what is there as bytes go */
            uint8_t *at = &small[1][3 * y * s->from_width + i];
            *at = *at < 128 ? 255 : 0;
        }
    const pg_part all = {.height = s->height, .width = s->width};
    for (int k = 0; k < 2; k++) {
        pg_image image = {.height = s->from_height, .width = s->from_width, .pixels = small[k]};
        assert_int_equal(pg_resize(&image, s->height, s->width, filter, all, k ? patched : before), PG_OK);
    }
    changed(s->height, s->width, before, patched, rows, columns);
}

static void patches_change_no_more_than_the_affected_pixels(void **state)
{
    (void)state;
    static const size sizes[] = {
        {32, 32, 192, 192, 5, 5}, {32, 32, 192, 192, 2, 8}, {32, 32, 200, 97, 5, 3}, {32, 48, 32, 96, 4, 4},
        {7, 9, 64, 31, 1, 2},     {64, 60, 32, 21, 9, 5},   {120, 96, 50, 64, 7, 7}, {96, 96, 299, 95, 6, 6},
        {40, 40, 41, 39, 1, 40},  {50, 50, 7, 3, 1, 1},     {33, 37, 33, 37, 6, 5},  {16, 300, 40, 299, 3, 9},
        {2, 1, 5, 9, 1, 1},
    };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int filter = PG_FILTER_BILINEAR; filter <= PG_FILTER_BICUBIC; filter++) {
            const size *s = &sizes[k];
            int affected[2] = {0}, most[2] = {0};
            assert_int_equal(pg_resize_affected(s->from_height, s->height, (pg_filter)filter, s->patch_height, &affected[0]),
                             PG_OK);
            assert_int_equal(pg_resize_affected(s->from_width, s->width, (pg_filter)filter, s->patch_width, &affected[1]),
                             PG_OK);
            for (uint32_t trial = 0; trial < 150; trial++) {
                int rows, columns;
                try_one(s, (pg_filter)filter, trial, &rows, &columns);
                assert_true(rows <= affected[0] && columns <= affected[1]);
                most[0] = rows > most[0] ? rows : most[0];
                most[1] = columns > most[1] ? columns : most[1];
            }
            print_message("%3dx%-3d to %3dx%-3d, %-8s patch %dx%d: affected %dx%d, seen %dx%d\n", s->from_height, s->from_width,
                          s->height, s->width, pg_filter_names[filter], s->patch_height, s->patch_width, affected[0],
                          affected[1], most[0], most[1]);
            assert_true(most[0] >= affected[0] - 1 &&
                        most[1] >= affected[1] - 1); /* the last pixel may have too small a weight to show */
        }
}

/* Every place of every patch along one axis, each pixel of it against the weights themselves: a grey image with one pixel. */
static void affected_pixels_change(void **state)
{
    (void)state;
    static const int pairs[][2] = {{32, 192}, {32, 224}, {224, 299}, {48, 20}, {13, 13}, {5, 33}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        for (int filter = PG_FILTER_BILINEAR; filter <= PG_FILTER_BICUBIC; filter++)
            for (int length = 1; length <= pairs[k][0]; length += length < 6 ? 1 : 7) {
                int in = pairs[k][0], out = pairs[k][1], affected, longest = 0;
                assert_int_equal(pg_resize_affected(in, out, (pg_filter)filter, length, &affected), PG_OK);
                for (int start = 0; start + length <= in; start++) {
                    bool touched[SIDE_MAX] = {false};
                    for (int p = start; p < start + length; p++)
                        for (int bright = 0; bright < 2; bright++) { /* on grey, so that neither sign of a weight is clipped */
                            memset(small[0], 128, (size_t)in * 3);
                            memset(small[0] + 3 * p, bright ? 255 : 0, 3);
                            pg_image image = {.height = 1, .width = in, .pixels = small[0]};
                            assert_int_equal(
                                pg_resize(&image, 1, out, (pg_filter)filter, (pg_part){.height = 1, .width = out}, before),
                                PG_OK);
                            for (int i = 0; i < out; i++)
                                touched[i] |= before[3 * i] != 128;
                        }
                    int first = out, end = 0;
                    for (int i = 0; i < out; i++)
                        if (touched[i]) {
                            first = i < first ? i : first;
                            end = i + 1;
                        }
                    longest = end - first > longest ? end - first : longest;
                }
                if (longest > affected || longest < affected - 2)
                    fail_msg("%d to %d, %s, %d pixels: affected %d, seen %d", in, out, pg_filter_names[filter], length,
                             affected, longest);
                assert_true(in != out || affected == length);
            }
    int affected;
    assert_int_equal(pg_resize_affected(32, 192, PG_FILTER_BICUBIC, 5, &affected), PG_OK);
    assert_int_equal(affected, 48);
}

/* For every place of a patch: pixels of the result in which one of its pixels has a weight, and no others. */
static void touched_pixels_are_those_with_a_weight(void **state)
{
    (void)state;
    static const int sizes[][2] = {{32, 48}, {48, 32}, {20, 7}, {7, 60}, {24, 24}};
    static float weights[60 * 48];
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (pg_filter filter = PG_FILTER_BILINEAR; filter <= PG_FILTER_BICUBIC; filter++) {
            int in = sizes[k][0], out = sizes[k][1];
            assert_int_equal(pg_resize_weights(in, out, filter, weights), PG_OK);
            for (int i = 0; i < out; i++) {
                double sum = 0;
                for (int p = 0; p < in; p++)
                    sum += (double)weights[i * in + p];
                assert_true(sum > 1 - 1e-5 && sum < 1 + 1e-5);
            }
            for (int length = 1; length <= 6; length++) {
                int affected, most = 0;
                assert_int_equal(pg_resize_affected(in, out, filter, length, &affected), PG_OK);
                for (int start = 0; start + length <= in; start++) {
                    int from, count, first = out, last = -1;
                    assert_int_equal(pg_resize_touched(in, out, filter, start, length, &from, &count), PG_OK);
                    for (int i = 0; i < out; i++)
                        for (int p = start; p < start + length; p++)
                            if (weights[i * in + p] != 0) {
                                first = i < first ? i : first;
                                last = i;
                            }
                    assert_true(from == first && count == last - first + 1);
                    most = count > most ? count : most;
                }
                assert_int_equal(most, affected);
            }
        }
}

/* Positions of a network that change with a patch before the resize: as many rows and columns as the window has, at most. */
static void windows_hold_what_a_patch_before_the_resize_touches(void **state)
{
    (void)state;
    const pg_torch *t;
    if (pg_torch_load(1, &t))
        skip();
    enum { CLASSES = 5, BATCH = 2 };
    static const struct {
        const char *model, *pairs[4];
        size size;
    } nets[] = {{"bagnet17", {"width=4", "kernel3=1100", "strides=1,2,1,1", "blocks=1,1,1,1"}, {20, 18, 60, 63, 3, 2}},
                {"bagnet9", {"width=4", "blocks=1,1,1,1", "strides=2,2,1,1", "kernel3=1100"}, {32, 32, 96, 96, 5, 2}},
                {"ds-resnet18", {"width=4", "shape=block", "band=5", "stride=3"}, {12, 10, 30, 32, 2, 3}}};
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
        const size *s = &nets[k].size;
        pg_network *net = random_net_open(t, nets[k].model, s->height, s->width, CLASSES, 4, nets[k].pairs,
                                          &(pg_network_options){.device = "cpu", .batch = BATCH, .threads = 1});
        const pg_geometry *g = &pg_network_info(net)->geometry;
        int affected[2], H = g->rows.positions, W = g->columns.positions, most[2] = {0};
        assert_int_equal(pg_resize_affected(s->from_height, s->height, PG_FILTER_BICUBIC, s->patch_height, &affected[0]),
                         PG_OK);
        assert_int_equal(pg_resize_affected(s->from_width, s->width, PG_FILTER_BICUBIC, s->patch_width, &affected[1]), PG_OK);
        int window[2] = {pg_axis_window(&g->rows, s->height, affected[0]), pg_axis_window(&g->columns, s->width, affected[1])};
        size_t pixels = (size_t)(s->height * s->width), map = (size_t)(H * W * CLASSES);
        uint8_t *planes = malloc(BATCH * 3 * pixels);
        float *u = malloc(BATCH * map * sizeof *u);
        assert_true(planes && u);
        for (uint32_t trial = 0; trial < 60; trial++) {
            int rows, columns, touched[2] = {0};
            try_one(s, PG_FILTER_BICUBIC, trial, &rows, &columns);
            for (size_t i = 0; i < pixels; i++)
                for (size_t c = 0; c < 3; c++) {
                    planes[c * pixels + i] = before[3 * i + c];
                    planes[(3 + c) * pixels + i] = patched[3 * i + c];
                }
            for (size_t i = 0; i < 2; i++) /* each at the same place of a batch: another one may sum in another order */
                assert_int_equal(pg_network_forward(net, planes + i * 3 * pixels, 0, 1, u + i * map), PG_OK);
            bool row[SIDE_MAX] = {false}, column[SIDE_MAX] = {false};
            for (int p = 0; p < H * W; p++)
                if (memcmp(u + p * CLASSES, u + (H * W + p) * CLASSES, CLASSES * sizeof *u) != 0)
                    row[p / W] = column[p % W] = true;
            for (int i = 0; i < H || i < W; i++) {
                touched[0] += row[i];
                touched[1] += column[i];
            }
            assert_true(touched[0] <= window[0] && touched[1] <= window[1]);
            most[0] = touched[0] > most[0] ? touched[0] : most[0];
            most[1] = touched[1] > most[1] ? touched[1] : most[1];
        }
        print_message("%s: window %dx%d of %dx%d, seen %dx%d; by the patch alone %dx%d\n", nets[k].model, window[0], window[1],
                      H, W, most[0], most[1], pg_axis_window(&g->rows, s->height, s->patch_height * s->height / s->from_height),
                      pg_axis_window(&g->columns, s->width, s->patch_width * s->width / s->from_width));
        assert_true(most[0] >= window[0] - 1 && most[1] >= window[1] - 1);
        free(planes);
        free(u);
        pg_network_close(net);
    }
}

static void resized_data_sets_are_read(void **state)
{
    (void)state;
    pg_dataset *plain = NULL, *resized = NULL;
    assert_int_equal(pg_dataset_open("unused", "synthetic:val", &plain), PG_OK);
    assert_int_equal(pg_dataset_open("unused", "synthetic:val@40x50:bilinear", &resized), PG_OK);
    const pg_dataset_info *a = pg_dataset_info_of(plain), *b = pg_dataset_info_of(resized);
    assert_true(b->height == 40 && b->width == 50 && b->source_height == 32 && b->source_width == 32 &&
                b->filter == PG_FILTER_BILINEAR);
    assert_true(a->source_height == 32 && a->source_width == 32 && a->images == b->images && a->classes == b->classes);
    assert_string_equal(b->split, "val");
    static uint8_t from[2 * 3 * 32 * 32], to[2 * 3 * 40 * 50];
    int32_t labels[2], same[2];
    assert_int_equal(pg_dataset_read(plain, 7, 2, from, labels), PG_OK);
    assert_int_equal(pg_dataset_read(resized, 7, 2, to, same), PG_OK);
    assert_memory_equal(labels, same, sizeof labels);
    for (int i = 0; i < 2; i++) {
        for (int p = 0; p < 32 * 32; p++)
            for (int c = 0; c < 3; c++)
                small[0][3 * p + c] = from[(i * 3 + c) * 32 * 32 + p];
        pg_image image = {.height = 32, .width = 32, .pixels = small[0]};
        assert_int_equal(pg_resize(&image, 40, 50, PG_FILTER_BILINEAR, (pg_part){.height = 40, .width = 50}, before), PG_OK);
        for (int p = 0; p < 40 * 50; p++)
            for (int c = 0; c < 3; c++)
                assert_int_equal(to[(i * 3 + c) * 40 * 50 + p], before[3 * p + c]);
    }
    static uint8_t sources[2 * 3 * 32 * 32], planes[3 * 40 * 50];
    assert_int_equal(pg_dataset_read_source(resized, 7, 2, sources), PG_OK);
    assert_memory_equal(sources, from, sizeof from);
    assert_int_equal(pg_dataset_read_source(plain, 7, 2, sources), PG_OK);
    assert_memory_equal(sources, from, sizeof from);
    pg_resizing how = pg_dataset_resizing(b);
    assert_int_equal(pg_resize_planes(&how, from + 3 * 32 * 32, planes), PG_OK);
    assert_memory_equal(planes, to + 3 * 40 * 50, sizeof planes);
    assert_int_equal(pg_dataset_read(resized, 7, 2, NULL, same), PG_OK);
    assert_int_equal(pg_dataset_read(resized, b->images, 1, to, same), PG_EINPUT);
    pg_dataset_close(plain);
    pg_dataset_close(resized);
}

/* Each way to resize is a data set of its own. */
static void what_is_resized_has_a_hash_of_its_own(void **state)
{
    (void)state;
    static const char *const specs[] = {"synthetic:val",    "synthetic:val@32",    "synthetic:val@32:bilinear",
                                        "synthetic:val@64", "synthetic:val@64x32", "synthetic:test@64"};
    enum { N = sizeof specs / sizeof *specs };
    char hashes[N][PG_HASH_HEX];
    for (int i = 0; i < N; i++) {
        pg_dataset *d = NULL;
        assert_int_equal(pg_dataset_open("unused", specs[i], &d), PG_OK);
        memcpy(hashes[i], pg_dataset_info_of(d)->hash, PG_HASH_HEX);
        pg_dataset_close(d);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(hashes[i], hashes[j]);
    }
    pg_dataset *d = NULL;
    assert_int_equal(pg_dataset_open("unused", "synthetic:val@64:bicubic", &d), PG_OK);
    assert_string_equal(pg_dataset_info_of(d)->hash, hashes[3]); /* the default, said */
    pg_dataset_close(d);
    static const char *const bad[] = {"synthetic:val@",         "synthetic:val@0",     "synthetic:val@-3",
                                      "synthetic:val@64x",      "synthetic:val@64:",   "synthetic:val@64:box",
                                      "synthetic:val@64x64x64", "synthetic:val@99999", "synthetic:val@64@64",
                                      "synthetic@64",           "synthetic:what@64"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        d = NULL;
        assert_int_equal(pg_dataset_open("unused", bad[i], &d), PG_EINPUT);
        assert_null(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_change_no_more_than_the_affected_pixels),
        cmocka_unit_test(affected_pixels_change),
        cmocka_unit_test(touched_pixels_are_those_with_a_weight),
        cmocka_unit_test(windows_hold_what_a_patch_before_the_resize_touches),
        cmocka_unit_test(resized_data_sets_are_read),
        cmocka_unit_test(what_is_resized_has_a_hash_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
