/* JPEG and PNG files: Pillow's pixels for every kind that is read, and a reason for every kind that is not. */
#include "harness/base/rng.h"
#include "tests/image_fixture.h"
#include "tests/pillow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

static void expect_pillow(const char *name, const pg_buf *file)
{
    pg_image image;
    int code = pg_image_decode(file->data, file->size, &image);
    if (code)
        fail_msg("%s: %s", name, pg_error_message());
    pg_image expected = pillow_ask(file->data, file->size, "decode %zu", file->size);
    assert_non_null(expected.pixels);
    assert_int_equal(image.height, expected.height);
    assert_int_equal(image.width, expected.width);
    if (memcmp(image.pixels, expected.pixels, (size_t)image.height * (size_t)image.width * 3) != 0)
        fail_msg("%s: pixels are not Pillow's", name);
    pg_image_release(&expected);
    pg_image_release(&image);
}

static void expect_refusal(const pg_buf *file, const char *reason)
{
    pg_image image;
    int code = pg_image_decode(file->data, file->size, &image);
    if (code != PG_EINPUT || !strstr(pg_error_message(), reason))
        fail_msg("%d %s, not: %s", code, code ? pg_error_message() : "", reason);
    assert_null(image.pixels);
}

static const int samplings[] = {TJSAMP_444, TJSAMP_422, TJSAMP_420, TJSAMP_440, TJSAMP_411};

static void jpegs_are_those_of_pillow(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    const int sides[][2] = {{1, 1}, {1, 17}, {33, 2}, {61, 47}, {224, 224}};
    for (int i = 0; i < 5; i++)
        for (int s = 0; s < 6; s++)
            for (int progressive = 0; progressive < 2; progressive++) {
                char name[64];
                pg_buf file =
                    fixture_jpeg(sides[i][0], sides[i][1], s < 5 ? TJPF_RGB : TJPF_GRAY, s < 5 ? samplings[s] : TJSAMP_GRAY,
                                 progressive ? TJFLAG_PROGRESSIVE : 0, (unsigned)(i + s));
                snprintf(name, sizeof name, "size %d, sampling %d, progressive %d", i, s, progressive);
                expect_pillow(name, &file);
                pg_buf_release(&file);
            }
}

static void pngs_are_those_of_pillow(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    const int kinds[][2] = {{1, PNG_COLOR_TYPE_GRAY},       {2, PNG_COLOR_TYPE_GRAY},     {4, PNG_COLOR_TYPE_GRAY},
                            {8, PNG_COLOR_TYPE_GRAY},       {1, PNG_COLOR_TYPE_PALETTE},  {2, PNG_COLOR_TYPE_PALETTE},
                            {4, PNG_COLOR_TYPE_PALETTE},    {8, PNG_COLOR_TYPE_PALETTE},  {8, PNG_COLOR_TYPE_RGB},
                            {8, PNG_COLOR_TYPE_GRAY_ALPHA}, {8, PNG_COLOR_TYPE_RGB_ALPHA}};
    const int sides[][2] = {{1, 1}, {3, 50}, {47, 61}};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 11; k++)
            for (int interlaced = 0; interlaced < 2; interlaced++) {
                char name[64];
                fixture_png f = {sides[i][0], sides[i][1], kinds[k][0], kinds[k][1], interlaced, -1};
                pg_buf file = fixture_png_make(&f, (unsigned)k);
                snprintf(name, sizeof name, "size %d, depth %d, color type %d, interlaced %d", i, f.depth, f.color, interlaced);
                expect_pillow(name, &file);
                pg_buf_release(&file);
            }
}

/* As Pillow's open: the pixels as they lie in the file. */
static void exif_turns_nothing(void **state)
{
    (void)state;
    pg_image plain, turned;
    pg_buf file = fixture_jpeg(20, 30, TJPF_RGB, TJSAMP_420, 0, 1);
    assert_int_equal(pg_image_decode(file.data, file.size, &plain), PG_OK);
    fixture_insert(&file, 2, fixture_exif, sizeof fixture_exif);
    assert_int_equal(pg_image_decode(file.data, file.size, &turned), PG_OK);
    assert_int_equal(turned.height, 20);
    assert_int_equal(turned.width, 30);
    assert_memory_equal(plain.pixels, turned.pixels, 20 * 30 * 3);
    if (pillow_ready())
        expect_pillow("EXIF", &file);
    pg_image_release(&plain);
    pg_image_release(&turned);
    pg_buf_release(&file);
}

static void what_is_no_image_is_refused(void **state)
{
    (void)state;
    const char *const texts[] = {"", "\xff\xd8", "\x89PNG", "GIF89a", "<!DOCTYPE html>", "BM", "RIFF\x10\0\0\0WEBP"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        pg_buf file;
        pg_buf_init(&file);
        pg_buf_puts(&file, texts[i]);
        expect_refusal(&file, "neither a JPEG nor a PNG file");
        pg_buf_release(&file);
    }
    static char large[PG_IMAGE_BYTES + 1];
    pg_image image;
    assert_int_equal(pg_image_decode(large, sizeof large, &image), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "at most 67108864"));
}

static void other_kinds_are_refused(void **state)
{
    (void)state;
    pg_buf file = fixture_jpeg(20, 30, TJPF_CMYK, TJSAMP_444, 0, 1);
    expect_refusal(&file, "CMYK");
    pg_buf_release(&file);
    const int deep[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB_ALPHA};
    for (int i = 0; i < 4; i++) {
        file = fixture_png_make(&(fixture_png){9, 7, 16, deep[i], false, -1}, 1);
        expect_refusal(&file, "16 bits a channel");
        pg_buf_release(&file);
    }
    /* value 0 of tRNS: black, or the first colour */
    const fixture_png clear[] = {{30, 30, 1, PNG_COLOR_TYPE_GRAY, false, 0},
                                 {30, 30, 8, PNG_COLOR_TYPE_PALETTE, false, 44},
                                 {30, 30, 4, PNG_COLOR_TYPE_PALETTE, true, 3},
                                 {9, 7, 8, PNG_COLOR_TYPE_GRAY_ALPHA, false, 0},
                                 {9, 7, 8, PNG_COLOR_TYPE_RGB_ALPHA, true, 254}};
    for (int i = 0; i < 5; i++) {
        file = fixture_png_make(&clear[i], 1);
        expect_refusal(&file, "transparent pixels");
        pg_buf_release(&file);
    }
    file = fixture_jpeg(20, 30, TJPF_RGB, TJSAMP_444, 0, 1);
    for (size_t i = 0; i + 4 < file.size; i++)
        if (memcmp(file.data + i, "\xff\xc0", 2) == 0)
            file.data[i + 4] = 12; /* the precision in SOF */
    expect_refusal(&file, "precision 12");
    pg_buf_release(&file);
}

/* Headers that promise more pixels than memory is taken for; the files are tiny. */
static void bombs_are_refused_by_their_header(void **state)
{
    (void)state;
    const uint32_t sides[][2] = {{32768, 32768}, {INT32_MAX, INT32_MAX}, {65536, 1}, {1, 65536}, {8192, 8193}};
    for (int i = 0; i < 5; i++) {
        pg_buf file = fixture_png_header(sides[i][0], sides[i][1]);
        expect_refusal(&file, "right would be at most 65535 a side and 67108864 in all");
        pg_buf_release(&file);
    }
    pg_buf file = fixture_jpeg(16, 16, TJPF_RGB, TJSAMP_420, TJFLAG_PROGRESSIVE, 1);
    for (size_t i = 0; i + 9 < file.size; i++)
        if (memcmp(file.data + i, "\xff\xc2", 2) == 0)
            memcpy(file.data + i + 5, "\xfd\xe8\xfd\xe8", 4);
    expect_refusal(&file, "65000 x 65000 pixels: right would be");
    pg_buf_release(&file);
}

static pg_buf some_file(int kind)
{
    if (kind < 2)
        return fixture_jpeg(24, 24, TJPF_RGB, TJSAMP_420, kind ? TJFLAG_PROGRESSIVE : 0, 5);
    return fixture_png_make(&(fixture_png){24, 24, 8, PNG_COLOR_TYPE_RGB, kind == 3, -1}, 5);
}

/* Cut anywhere, even in the mark of its end, a file is refused. */
static void truncated_files_are_refused(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        pg_buf file = some_file(kind);
        for (size_t size = 0; size < file.size; size++) {
            pg_image image;
            char *cut = malloc(size + 1); /* of its own, so that reading on would be seen */
            memcpy(cut, file.data, size);
            int code = pg_image_decode(cut, size, &image);
            if (code != PG_EINPUT)
                fail_msg("kind %d, %zu of %zu bytes: %d", kind, size, file.size, code);
            assert_null(image.pixels);
            free(cut);
        }
        pg_buf_release(&file);
    }
}

/* A changed byte gives an image or a refusal, never anything else. */
static void changed_bytes_do_no_harm(void **state)
{
    (void)state;
    pg_rng rng = pg_rng_make(2, PG_STREAM_TEST, 0);
    int read = 0, refused = 0;
    for (int round = 0; round < 4000; round++) {
        pg_image image;
        pg_buf file = some_file(round % 4);
        for (int n = 1 + round % 3; n; n--)
            file.data[pg_rng_below(&rng, (uint32_t)file.size)] = (char)pg_rng_u32(&rng);
        int code = pg_image_decode(file.data, file.size, &image);
        assert_true(code == PG_OK || code == PG_EINPUT);
        assert_true((code == PG_OK) == (image.pixels != NULL));
        read += code == PG_OK;
        refused += code != PG_OK;
        pg_image_release(&image);
        pg_buf_release(&file);
    }
    assert_true(read > 100 && refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpegs_are_those_of_pillow),   cmocka_unit_test(pngs_are_those_of_pillow),
        cmocka_unit_test(exif_turns_nothing),          cmocka_unit_test(what_is_no_image_is_refused),
        cmocka_unit_test(other_kinds_are_refused),     cmocka_unit_test(bombs_are_refused_by_their_header),
        cmocka_unit_test(truncated_files_are_refused), cmocka_unit_test(changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, pillow_start, pillow_stop);
}
