/* Resizing: cases worked out by hand, and Pillow's bytes on random sizes. */
#include "harness/base/rng.h"
#include "harness/data/resize.h"
#include "tests/support/pillow.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

enum { SIZES = 1000 };

static pg_rng rng;
static int below(int n) { return (int)pg_rng_below(&rng, (uint32_t)n); }

/* *new*: noise, or flat areas with sharp edges, whose overshoot has to be clipped. */
static pg_image random_image(int height, int width)
{
    pg_image image = {height, width, malloc((size_t)height * (size_t)width * 3)};
    bool edges = below(2);
    for (int i = 0; i < height * width * 3; i++)
        image.pixels[i] = (uint8_t)(edges ? (i / 3 % width / 3 + i / 3 / width / 3) % 2 * 255 : below(256));
    return image;
}

static uint8_t *resized(const pg_image *image, int height, int width, pg_filter filter, pg_part part)
{
    uint8_t *out = malloc((size_t)part.height * (size_t)part.width * 3);
    assert_int_equal(pg_resize(image, height, width, filter, part, out), PG_OK);
    return out;
}

static void by_hand(void **state)
{
    (void)state;
    uint8_t pixels[] = {0, 10, 255, 255, 20, 0};
    pg_image pair = {1, 2, pixels};
    /* Centres at 1/4, 3/4, 5/4, 7/4 of pixels whose centres are at 1/2 and 3/2. */
    const uint8_t wide[4][3] = {{0, 10, 255}, {64, 13, 191}, {191, 18, 64}, {255, 20, 0}};
    uint8_t *out = resized(&pair, 1, 4, PG_FILTER_BILINEAR, (pg_part){0, 0, 1, 4});
    assert_memory_equal(out, wide, sizeof wide);
    free(out);
    /* Down to one pixel both weigh the same, with every filter; upwards rows are equal. */
    for (pg_filter filter = PG_FILTER_BILINEAR; filter <= PG_FILTER_BICUBIC; filter++) {
        out = resized(&pair, 3, 1, filter, (pg_part){0, 0, 3, 1});
        const uint8_t one[3][3] = {{128, 15, 128}, {128, 15, 128}, {128, 15, 128}};
        assert_memory_equal(out, one, sizeof one);
        free(out);
    }
    /* An edge: bicubic overshoots on both sides and is clipped. Pixel 3 is 3/4 and 7/4 away from the white ones. */
    uint8_t edge[] = {0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255};
    out = resized(&(pg_image){1, 4, edge}, 1, 8, PG_FILTER_BICUBIC, (pg_part){0, 0, 1, 8});
    const int expected[8] = {0, 0, 0, 52, 203, 255, 255, 255}; /* (0.2265625 - 0.0234375) * 255 = 51.8 */
    for (int i = 0; i < 8; i++)
        assert_int_equal(out[3 * i], expected[i]);
    free(out);
}

static void the_same_size_is_the_same_image(void **state)
{
    (void)state;
    pg_image image = random_image(37, 53);
    for (pg_filter filter = PG_FILTER_BILINEAR; filter <= PG_FILTER_BICUBIC; filter++) {
        uint8_t *out = resized(&image, 37, 53, filter, (pg_part){0, 0, 37, 53});
        assert_memory_equal(out, image.pixels, 37 * 53 * 3);
        free(out);
    }
    pg_image_release(&image);
}

static void a_part_is_what_the_whole_has_there(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        pg_image image = random_image(1 + below(60), 1 + below(60));
        int height = 1 + below(90), width = 1 + below(90);
        pg_part part = {below(height), below(width), 0, 0};
        part.height = 1 + below(height - part.top);
        part.width = 1 + below(width - part.left);
        pg_filter filter = (pg_filter)below(2);
        uint8_t *whole = resized(&image, height, width, filter, (pg_part){0, 0, height, width});
        uint8_t *out = resized(&image, height, width, filter, part);
        for (int y = 0; y < part.height; y++)
            assert_memory_equal(out + (size_t)y * part.width * 3, whole + ((size_t)(part.top + y) * width + part.left) * 3,
                                (size_t)part.width * 3);
        free(whole);
        free(out);
        pg_image_release(&image);
    }
}

static void a_flat_image_stays_flat(void **state)
{
    (void)state;
    enum { LONG = PG_IMAGE_SIDE };
    pg_image line = {1, LONG, malloc((size_t)LONG * 3)}; /* the longest side there is, much enlarged and all in one pixel */
    memset(line.pixels, 201, (size_t)LONG * 3);
    uint8_t out[8 * 8 * 3], flat[8 * 8 * 3];
    memset(flat, 201, sizeof flat);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pg_resize_crop(&line, 4096, PG_FILTER_BICUBIC, 8, out), PG_OK);
        assert_memory_equal(out, flat, sizeof flat);
        assert_int_equal(pg_resize(&line, 1, 1, PG_FILTER_BICUBIC, (pg_part){0, 0, 1, 1}, out), PG_OK);
        assert_memory_equal(out, flat, 3);
        line = (pg_image){LONG, 1, line.pixels};
    }
    pg_image_release(&line);
}

/* A side: mostly some hundreds, sometimes very small. */
static int some_side(void) { return below(4) ? 1 + below(400) : 1 + below(12); }

static void bytes_are_those_of_pillow(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    for (int round = 0; round < SIZES; round++) {
        pg_image image = random_image(some_side(), some_side());
        int height = some_side(), width = some_side();
        pg_filter filter = (pg_filter)(round % 2);
        size_t bytes = (size_t)image.height * (size_t)image.width * 3;
        uint8_t *out = resized(&image, height, width, filter, (pg_part){0, 0, height, width});
        pg_image expected = pillow_ask(image.pixels, bytes, "resize %d %d %s %d %d", image.width, image.height,
                                       pg_filter_names[filter], width, height);
        assert_int_equal(expected.height, height);
        assert_int_equal(expected.width, width);
        if (memcmp(out, expected.pixels, (size_t)height * (size_t)width * 3) != 0)
            fail_msg("%dx%d to %dx%d, %s", image.width, image.height, width, height, pg_filter_names[filter]);
        free(out);
        pg_image_release(&expected);
        pg_image_release(&image);
    }
    print_message("%d random sizes: equal\n", SIZES);
}

static void crops_are_those_of_pillow(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    for (int round = 0; round < SIZES / 4; round++) {
        pg_image image = random_image(some_side(), some_side());
        int side = 1 + below(120), crop = 1 + below(side);
        pg_filter filter = (pg_filter)(round % 2);
        size_t bytes = (size_t)image.height * (size_t)image.width * 3;
        uint8_t *out = malloc((size_t)crop * (size_t)crop * 3);
        assert_int_equal(pg_resize_crop(&image, side, filter, crop, out), PG_OK);
        pg_image expected = pillow_ask(image.pixels, bytes, "crop %d %d %s %d %d", image.width, image.height,
                                       pg_filter_names[filter], side, crop);
        assert_int_equal(expected.height, crop);
        assert_int_equal(expected.width, crop);
        if (memcmp(out, expected.pixels, (size_t)crop * (size_t)crop * 3) != 0)
            fail_msg("%dx%d to %d, crop %d, %s", image.width, image.height, side, crop, pg_filter_names[filter]);
        free(out);
        pg_image_release(&expected);
        pg_image_release(&image);
    }
}

int main(void)
{
    rng = pg_rng_make(1, PG_STREAM_TEST, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(the_same_size_is_the_same_image),
        cmocka_unit_test(a_part_is_what_the_whole_has_there),
        cmocka_unit_test(a_flat_image_stays_flat),
        cmocka_unit_test(bytes_are_those_of_pillow),
        cmocka_unit_test(crops_are_those_of_pillow),
    };
    return cmocka_run_group_tests(tests, pillow_start, pillow_stop);
}
