/* JPEG and PNG files: Pillow's pixels for every kind that is read, and a reason for every kind that is not. */
#include "harness/base/rng.h"
#include "tests/support/image_fixture.h"
#include "tests/support/pillow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>
#include <cmocka.h>

/* Pillow's pixels, or none where it refuses the file. */
static pg_image pillow_decode(const pg_buf *file) { return pillow_ask(file->data, file->size, "decode %zu", file->size); }

static bool same(const pg_image *a, const pg_image *b)
{
    return a->height == b->height && a->width == b->width &&
           memcmp(a->pixels, b->pixels, (size_t)a->height * (size_t)a->width * 3) == 0;
}

static void expect_pillow(const char *name, const pg_buf *file)
{
    pg_image image, expected = pillow_decode(file);
    int code = pg_image_decode(file->data, file->size, &image);
    if (code != PG_OK)
        fail_msg("%s: %s", name, pg_error_message());
    if (!expected.pixels)
        fail_msg("%s: Pillow does not read it", name);
    if (!same(&image, &expected))
        fail_msg("%s: pixels are not Pillow's", name);
    pg_image_release(&expected);
    pg_image_release(&image);
}

static void expect_refusal(const pg_buf *file, const char *reason)
{
    pg_image image;
    int code = pg_image_decode(file->data, file->size, &image);
    if (code != PG_EINPUT || !strstr(pg_error_message(), reason))
        fail_msg("%d %s, not: %s", code, code != PG_OK ? pg_error_message() : "", reason);
    assert_null(image.pixels);
}

static void expect_jpegs(int channels, const char *const *samplings, const int *flags, int n)
{
    const int sides[][2] = {{1, 1}, {1, 17}, {33, 2}, {61, 47}, {224, 224}};
    for (int i = 0; i < 5; i++)
        for (int s = 0; samplings[s]; s++)
            for (int f = 0; f < n; f++) {
                char name[100];
                pg_buf file = fixture_jpeg(sides[i][0], sides[i][1], channels, samplings[s], flags[f], (unsigned)(i + s));
                snprintf(name, sizeof name, "%d x %d, %d channels, sampling %s, flags %d", sides[i][1], sides[i][0], channels,
                         samplings[s], flags[f]);
                if (file.size < 1 << 16 ||
                    !(flags[f] & FIXTURE_ARITHMETIC)) /* Pillow reads pieces, which that decoder cannot */
                    expect_pillow(name, &file);
                pg_buf_release(&file);
            }
}

static void jpegs_are_those_of_pillow(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    static const char *const gray[] = {"1x1", "2x2", NULL};
    static const char *const color[] = {"1x1,1x1,1x1", "2x1,1x1,1x1", "2x2,1x1,1x1", "1x2,1x1,1x1",
                                        "4x1,1x1,1x1", "4x2,1x1,1x1", "1x4,1x1,1x1", "2x2,2x1,1x1",
                                        "2x2,1x2,2x1", "1x1,2x2,2x2", "3x1,1x1,1x1", NULL};
    static const char *const cmyk[] = {"1x1,1x1,1x1,1x1", "2x2,1x1,1x1,2x2", "2x1,1x1,1x1,2x1", NULL};
    const int flags[] = {0,
                         FIXTURE_PROGRESSIVE,
                         FIXTURE_ARITHMETIC,
                         FIXTURE_PROGRESSIVE | FIXTURE_ARITHMETIC,
                         FIXTURE_RESTART,
                         FIXTURE_UNCHANGED,
                         FIXTURE_UNCHANGED | FIXTURE_JFIF};
    expect_jpegs(1, gray, flags, 5);
    expect_jpegs(3, color, flags, 6);
    expect_jpegs(4, cmyk, flags, 7);
}

static void pngs_are_those_of_pillow(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    const int kinds[][2] = {{1, PNG_COLOR_TYPE_GRAY},        {2, PNG_COLOR_TYPE_GRAY},      {4, PNG_COLOR_TYPE_GRAY},
                            {8, PNG_COLOR_TYPE_GRAY},        {1, PNG_COLOR_TYPE_PALETTE},   {2, PNG_COLOR_TYPE_PALETTE},
                            {4, PNG_COLOR_TYPE_PALETTE},     {8, PNG_COLOR_TYPE_PALETTE},   {8, PNG_COLOR_TYPE_RGB},
                            {8, PNG_COLOR_TYPE_GRAY_ALPHA},  {8, PNG_COLOR_TYPE_RGB_ALPHA}, {16, PNG_COLOR_TYPE_RGB},
                            {16, PNG_COLOR_TYPE_GRAY_ALPHA}, {16, PNG_COLOR_TYPE_RGB_ALPHA}};
    const int sides[][2] = {{1, 1}, {3, 50}, {47, 61}}, clear[] = {-1, 0, 3};
    for (int i = 0; i < 3 * 3 * 2; i++)
        for (int k = 0; k < 14; k++) {
            char name[64];
            fixture_png f = {sides[i % 3][0], sides[i % 3][1], kinds[k][0], kinds[k][1], i % 2, clear[i / 6]};
            if (f.clear >> f.depth > 0)
                continue; /* not a value of this depth */
            pg_buf file = fixture_png_make(&f, (unsigned)k);
            snprintf(name, sizeof name, "size %d, depth %d, color type %d, interlaced %d, clear %d", i % 3, f.depth, f.color,
                     f.interlaced, f.clear);
            expect_pillow(name, &file);
            pg_buf_release(&file);
        }
}

/* ---- PNG files by hand ---- */

static void add_chunk(pg_buf *file, const char *name, const void *data, size_t size)
{
    const uint32_t crc = (uint32_t)crc32(crc32(0, (const Bytef *)name, 4), size ? data : (const void *)"", (uInt)size);
    const uint8_t head[] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};
    const uint8_t tail[] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    pg_buf_add(file, head, 4);
    pg_buf_add(file, name, 4);
    if (size)
        pg_buf_add(file, data, size);
    pg_buf_add(file, tail, 4);
}

/* Of 8 x 8 pixels, up to its image data; with 8 bits pixel i has the value 37 i. */
static pg_buf begin_png(int depth, int color)
{
    pg_buf file;
    const uint8_t header[] = {0, 0, 0, 8, 0, 0, 0, 8, (uint8_t)depth, (uint8_t)color, 0, 0, 0};
    pg_buf_init(&file);
    pg_buf_add(&file, "\x89PNG\r\n\x1a\n", 8);
    add_chunk(&file, "IHDR", header, sizeof header);
    return file;
}

/* In chunks of `piece` bytes. */
static void end_png(pg_buf *file, int bits, size_t piece)
{
    uint8_t rows[8 * 9], data[200];
    uLongf size = sizeof data;
    for (int i = 0; i < 8 * (bits + 1); i++)
        rows[i] = (uint8_t)(i % (bits + 1) ? (i / (bits + 1) * bits + i % (bits + 1) - 1) * 37 : 0);
    assert_int_equal(compress(data, &size, rows, 8 * ((uLong)bits + 1)), Z_OK);
    for (size_t at = 0; at < size; at += piece)
        add_chunk(file, "IDAT", data + at, at + piece < size ? piece : size - at);
    add_chunk(file, "IEND", NULL, 0);
}

/* Whether this Pillow makes an index without an entry gray (9.4) and not black (11.1). */
static bool pillow_is_gray(void)
{
    if (!pillow_ready())
        return false;
    pg_buf file = begin_png(8, PNG_COLOR_TYPE_PALETTE);
    end_png(&file, 8, 1000);
    pg_image image = pillow_decode(&file);
    assert_non_null(image.pixels);
    bool gray = image.pixels[6] == 74;
    pg_image_release(&image);
    pg_buf_release(&file);
    return gray;
}

/* An index without an entry is gray, white if it is 255, as in Pillow 9.4. */
static void palettes_of_any_size_are_those_of_pillow(void **state)
{
    (void)state;
    uint8_t colors[258 * 3];
    const bool gray = pillow_is_gray();
    for (size_t i = 0; i < sizeof colors; i++)
        colors[i] = (uint8_t)(i * i + 7);
    const size_t sizes[] = {0, 1, 3, 4, 6, 60, 255 * 3, 256 * 3};
    for (int depth = 1; depth <= 8; depth *= 2)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char name[64];
            pg_image image;
            pg_buf file = begin_png(depth, PNG_COLOR_TYPE_PALETTE);
            add_chunk(&file, "PLTE", colors, sizes[i]);
            if (i % 2)
                add_chunk(&file, "tRNS", "\0\7", sizes[i] > 1 ? 2 : 1);
            end_png(&file, depth, 1000);
            snprintf(name, sizeof name, "%d bits, palette of %zu bytes", depth, sizes[i]);
            assert_int_equal(pg_image_decode(file.data, file.size, &image), PG_OK);
            assert_int_equal(image.pixels[1], sizes[i] >= 3 ? colors[1] : 0);
            if (depth == 8 && sizes[i] < 60) /* pixel 7 has the value 3, pixel 2 the value 74 */
                assert_memory_equal(image.pixels + 6, "\x4a\x4a\x4a", 3);
            pg_image_release(&image);
            if (gray || (pillow_ready() && sizes[i] >= 3u << depth))
                expect_pillow(name, &file);
            pg_buf_release(&file);
        }
    pg_buf file = begin_png(8, PNG_COLOR_TYPE_PALETTE); /* none at all */
    end_png(&file, 8, 1000);
    if (gray)
        expect_pillow("no palette", &file);
    pg_buf_release(&file);
    file = begin_png(8, PNG_COLOR_TYPE_PALETTE);
    add_chunk(&file, "PLTE", colors, sizeof colors);
    end_png(&file, 8, 1000);
    expect_refusal(&file, "a palette of more than 256 colors");
    pg_buf_release(&file);
}

/* Chunks that are strange and do no harm, as Pillow sees it; chunks in front of the image that are damaged. */
static void odd_pngs_are_those_of_pillow(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    static const char *const strange[] = {"prIV", "CRIT", "gAMA", "PLTE", "IHDR"};
    for (size_t i = 0; i < 5; i++) {
        pg_buf file = begin_png(8, PNG_COLOR_TYPE_GRAY);
        add_chunk(&file, strange[i], "\0\0\0\x8\0\0\0\x8\x8\0\0\0\0", 13);
        end_png(&file, 8, i ? 7 * i : 1);
        expect_pillow(strange[i], &file);
        for (size_t k = file.size - 20; k < file.size; k++) /* of the data and behind it: one byte less, and one flipped */
            file.data[k] ^= 1;
        pg_image image, expected = pillow_decode(&file);
        assert_int_equal(pg_image_decode(file.data, file.size, &image) == PG_OK, expected.pixels != NULL);
        pg_image_release(&image);
        pg_image_release(&expected);
        pg_buf_release(&file);
        file = begin_png(8, PNG_COLOR_TYPE_GRAY);
        add_chunk(&file, strange[i], "\0\0\0\x8\0\0\0\x8\x8\0\0\0\0", 13);
        file.data[file.size - 1] ^= 1;
        end_png(&file, 8, 1000);
        expect_refusal(&file, "wrong checksum of ");
        pg_buf_release(&file);
    }
    const struct {
        int depth, color;
    } unknown[] = {{3, 0}, {16, 3}, {4, 2}, {8, 1}, {8, 5}, {0, 0}, {32, 2}};
    for (int i = 0; i < 7; i++) {
        pg_buf file = begin_png(unknown[i].depth, unknown[i].color);
        end_png(&file, 8, 1000);
        expect_refusal(&file, "color type or depth");
        pg_buf_release(&file);
    }
}

/* Data of fewer rows than the header says: Pillow makes the rest black. */
static void missing_rows_are_refused(void **state)
{
    (void)state;
    for (int color = 0; color < 4; color += 3) {
        pg_buf file = begin_png(8, color);
        file.data[23] = 9; /* the height */
        file.size -= 25;   /* the header again, with its checksum */
        pg_buf header;
        pg_buf_init(&header);
        pg_buf_add(&header, file.data + 16, 13);
        add_chunk(&file, "IHDR", header.data, 13);
        pg_buf_release(&header);
        end_png(&file, 8, 1000);
        expect_refusal(&file, "damaged PNG: ");
        pg_buf_release(&file);
    }
}

/* ---- JPEG files that libjpeg warns of ---- */

/* Where the marker begins; it has to be there. */
static size_t find_marker(const pg_buf *file, int marker)
{
    for (size_t i = 0; i + 1 < file->size; i++)
        if ((uint8_t)file->data[i] == 0xff && (uint8_t)file->data[i + 1] == marker)
            return i;
    fail_msg("no marker %x", (unsigned)marker);
    return 0;
}

static void warnings_are_no_errors(void **state)
{
    (void)state;
    if (!pillow_ready())
        skip();
    for (int i = 0; i < 6; i++) {
        static const char *const names[] = {"bytes before a marker",  "JFIF of the future", "a damaged scan",
                                            "bytes behind the image", "tables in front",    "no end"};
        pg_buf file = fixture_photo(40, 50, true, i == 5 ? 0 : i % 2 ? FIXTURE_PROGRESSIVE : 0, 5);
        if (i == 0)
            fixture_insert(&file, find_marker(&file, 0xdb), "junk", 4);
        else if (i == 1)
            file.data[find_marker(&file, 0xe0) + 9] = 7; /* the major version */
        else if (i == 2)
            memset(file.data + find_marker(&file, 0xda) + 100, 0x5a, 60);
        else if (i == 3)
            pg_buf_add(&file, "more than an image", 18);
        else if (i == 4)
            fixture_insert(&file, 0, "\xff\xd8\xff\xdd\0\4\0\0\xff\xd9", 10);
        else { /* enough of other bytes in its place that the last row is whole */
            memcpy(file.data + file.size - 2, "\0\0", 2);
            pg_buf_add(&file, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        }
        expect_pillow(names[i], &file);
        pg_buf_release(&file);
    }
}

static void tables_alone_are_no_image(void **state)
{
    (void)state;
    pg_buf file = fixture_photo(8, 8, true, 0, 1);
    size_t end = find_marker(&file, 0xc0);
    memcpy(file.data + end, "\xff\xd9", 2);
    file.size = end + 2;
    expect_refusal(&file, "damaged JPEG: ends early");
    file.size = 3;
    expect_refusal(&file, "damaged JPEG: ends early");
    pg_buf_release(&file);
}

/* A small file that would decode a whole image again and again. */
static void scans_are_counted(void **state)
{
    (void)state;
    pg_buf file = fixture_photo(8, 8, false, FIXTURE_PROGRESSIVE, 1), many;
    size_t at = find_marker(&file, 0xda), length = 10;
    static const char scan[] = "\xff\xda\0\x08\1\1\0\0\0\0"; /* the first bits of DC, once more, without contents */
    pg_buf_init(&many);
    pg_buf_add(&many, file.data, at);
    for (int i = 0; i < 600; i++)
        pg_buf_add(&many, scan, length);
    pg_buf_add(&many, "\xff\xd9", 2);
    expect_refusal(&many, "more than 500 scans");
    pg_buf_release(&many);
    pg_buf_release(&file);
}

/* As Pillow's open: the pixels as they lie in the file. */
static void exif_turns_nothing(void **state)
{
    (void)state;
    pg_image plain, turned;
    pg_buf file = fixture_photo(20, 30, true, 0, 1);
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
    const char *const texts[] = {"", "\xff\xd8", "\x89PNG", "hello", "GIF", "\xff"};
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
    assert_non_null(strstr(pg_error_message(), "at most 268435456"));
}

static void other_kinds_are_named(void **state)
{
    (void)state;
    const struct {
        const char bytes[33];
        const char *name;
    } kinds[] = {{"GIF89a", "a GIF image"},
                 {"RIFF\x10\0\0\0WEBPVP8 ", "a WebP image"},
                 {"II*\0\x8", "a TIFF image"},
                 {"MM\0*\0", "a TIFF image"},
                 {"BM\x36\0", "a BMP image"},
                 {"\0\0\0\x1c"
                  "ftypavif",
                  "an AVIF image"},
                 {"\0\0\0\x1c"
                  "ftypheic",
                  "a HEIC image"},
                 {"\xff\x0a\xff", "a JPEG XL image"},
                 {"\0\0\0\x0cjP  \r\n", "a JPEG 2000 image"},
                 {"8BPS\0\1", "a Photoshop file"},
                 {"%PDF-1.4", "a PDF"},
                 {"<!DOCTYPE html>", "an HTML page"},
                 {"PK\3\4", "a zip archive"},
                 {"version https://git-lfs.github.c", "a Git LFS pointer"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        pg_buf file;
        pg_buf_init(&file);
        pg_buf_add(&file, kinds[i].bytes, sizeof kinds[i].bytes - 1);
        expect_refusal(&file, kinds[i].name);
        expect_refusal(&file, "right would be a JPEG or PNG file");
        pg_buf_release(&file);
    }
}

static void depths_that_pillow_spoils_are_refused(void **state)
{
    (void)state;
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        pg_buf file = fixture_png_make(&(fixture_png){9, 7, 16, PNG_COLOR_TYPE_GRAY, interlaced, -1}, 1);
        expect_refusal(&file, "a grayscale PNG of 16 bits: right would be 8");
        pg_buf_release(&file);
    }
    pg_buf file = fixture_photo(20, 30, true, 0, 1);
    file.data[find_marker(&file, 0xc0) + 4] = 12; /* the precision in SOF */
    expect_refusal(&file, "12");
    pg_buf_release(&file);
    file = fixture_jpeg(20, 30, 2, "1x1,1x1", 0, 1);
    expect_refusal(&file, "a JPEG of 2 channels");
    pg_buf_release(&file);
}

/* Headers that promise more pixels than memory is taken for; the files are tiny. */
static void bombs_are_refused_by_their_header(void **state)
{
    (void)state;
    const uint32_t sides[][2] = {{32768, 32768}, {INT32_MAX, INT32_MAX}, {65536, 1}, {1, 65536}, {9459, 9460}};
    for (int i = 0; i < 5; i++) {
        pg_buf file = fixture_png_header(sides[i][0], sides[i][1]);
        expect_refusal(&file, "right would be at most 65535 a side and 89478485 in all");
        pg_buf_release(&file);
    }
    pg_buf file = fixture_photo(16, 16, true, FIXTURE_PROGRESSIVE, 1);
    memcpy(file.data + find_marker(&file, 0xc2) + 5, "\xfd\xe8\xfd\xe8", 4);
    expect_refusal(&file, "65000 x 65000 pixels: right would be");
    pg_buf_release(&file);
}

enum { KINDS = 9 };
static pg_buf some_file(int kind)
{
    const int colors[] = {PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_PALETTE, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB_ALPHA};
    if (kind < 4)
        return fixture_photo(24, 24, kind != 2,
                             (const int[]){0, FIXTURE_PROGRESSIVE, FIXTURE_ARITHMETIC, FIXTURE_RESTART}[kind], 5);
    if (kind == 4)
        return fixture_jpeg(24, 24, 4, "2x2,1x1,1x1,2x2", 0, 5);
    return fixture_png_make(&(fixture_png){24, 24, 8, colors[kind - 5], kind % 2, 4}, 5);
}

/* Cut anywhere, a file is read where Pillow reads it, which is at its very end only. */
static void truncated_files_are_refused(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        pg_buf file = some_file(kind);
        for (size_t size = 0; size < file.size; size++) {
            pg_image image, expected = {0};
            pg_buf cut;
            pg_buf_init(&cut);
            pg_buf_add(&cut, file.data, size);
            char *exact = malloc(size + 1); /* of its own, so that reading on would be seen */
            memcpy(exact, file.data, size);
            int code = pg_image_decode(exact, size, &image);
            if (code != PG_OK && (code != PG_EINPUT || image.pixels))
                fail_msg("kind %d, %zu of %zu bytes: %d", kind, size, file.size, code);
            if (code == PG_OK && size + 24 < file.size)
                fail_msg("kind %d, %zu of %zu bytes: read", kind, size, file.size);
            if (pillow_ready()) {
                expected = pillow_decode(&cut);
                if ((code == PG_OK) != (expected.pixels != NULL) || (code == PG_OK && !same(&image, &expected)))
                    fail_msg("kind %d, %zu of %zu bytes: Pillow does otherwise", kind, size, file.size);
            }
            pg_image_release(&expected);
            pg_image_release(&image);
            pg_buf_release(&cut);
            free(exact);
        }
        pg_buf_release(&file);
    }
}

/* What Pillow reads and is refused here. */
static bool refused_by_name(void) { return strstr(pg_error_message(), "16 bits") || strstr(pg_error_message(), "in all"); }

/* A changed byte gives Pillow's image or a refusal, never anything else. */
static void changed_bytes_do_no_harm(void **state)
{
    (void)state;
    pg_rng rng = pg_rng_make(2, PG_STREAM_TEST, 0);
    int read = 0, refused = 0, more = 0;
    for (int round = 0; round < 9000; round++) {
        pg_image image, expected = {0};
        pg_buf file = some_file(round % KINDS);
        for (int n = 1 + round % 3; n; n--)
            file.data[pg_rng_below(&rng, (uint32_t)file.size)] = (char)pg_rng_u32(&rng);
        int code = pg_image_decode(file.data, file.size, &image);
        assert_true(code == PG_OK || code == PG_EINPUT);
        assert_true((code == PG_OK) == (image.pixels != NULL));
        if (pillow_ready()) {
            expected = pillow_decode(&file);
            if (expected.pixels && code != PG_OK && !refused_by_name())
                fail_msg("round %d: Pillow reads it: %s", round, pg_error_message());
            if (expected.pixels && code == PG_OK && !same(&image, &expected))
                fail_msg("round %d: pixels are not Pillow's", round);
            more += !expected.pixels && code == PG_OK;
        }
        read += code == PG_OK;
        refused += code != PG_OK;
        pg_image_release(&expected);
        pg_image_release(&image);
        pg_buf_release(&file);
    }
    print_message("%d read, %d refused, %d read that Pillow refuses\n", read, refused, more);
    assert_true(read > 1000 && refused > 1000);
    assert_true(more < read / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpegs_are_those_of_pillow),
        cmocka_unit_test(pngs_are_those_of_pillow),
        cmocka_unit_test(palettes_of_any_size_are_those_of_pillow),
        cmocka_unit_test(odd_pngs_are_those_of_pillow),
        cmocka_unit_test(missing_rows_are_refused),
        cmocka_unit_test(warnings_are_no_errors),
        cmocka_unit_test(tables_alone_are_no_image),
        cmocka_unit_test(scans_are_counted),
        cmocka_unit_test(exif_turns_nothing),
        cmocka_unit_test(what_is_no_image_is_refused),
        cmocka_unit_test(other_kinds_are_named),
        cmocka_unit_test(depths_that_pillow_spoils_are_refused),
        cmocka_unit_test(bombs_are_refused_by_their_header),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, pillow_start, pillow_stop);
}
