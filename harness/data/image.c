/* JPEG by libjpeg-turbo, PNG by libpng. See image.h. */
#include "harness/data/image.h"

#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

static int make_room(int64_t height, int64_t width, int channels, pg_image *out)
{
    if (height < 1 || width < 1 || height > PG_IMAGE_SIDE || width > PG_IMAGE_SIDE || height * width > PG_IMAGE_PIXELS)
        return pg_fail(PG_EINPUT, "%lld x %lld pixels: right would be at most %d a side and %d in all", (long long)width,
                       (long long)height, PG_IMAGE_SIDE, PG_IMAGE_PIXELS);
    out->height = (int)height;
    out->width = (int)width;
    out->pixels = malloc((size_t)height * (size_t)width * (size_t)channels);
    return out->pixels ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %d x %d pixels", out->width, out->height);
}

void pg_image_release(pg_image *image)
{
    free(image->pixels);
    *image = (pg_image){0};
}

/* What a decoder says of a file, or of memory that it did not get. */
static int fail_decoder(const char *kind, const char *text)
{
    bool memory = strcasestr(text, "memory") != NULL;
    return pg_fail(memory ? PG_ENOMEM : PG_EINPUT, "%s%s: %s", memory ? "" : "damaged ", kind, text);
}

/* ---- JPEG ---- */

/* Warnings are errors: what libjpeg-turbo warns of are bytes that are missing or make no sense. */
static int decode_jpeg(const uint8_t *bytes, size_t size, pg_image *out)
{
    int width, height, sampling, space, code;
    tjhandle decoder = tjInitDecompress();
    if (!decoder)
        return pg_fail(PG_ENOMEM, "out of memory for a JPEG decoder");
    if (tjDecompressHeader3(decoder, bytes, size, &width, &height, &sampling, &space) != 0)
        code = fail_decoder("JPEG", tjGetErrorStr2(decoder));
    else if (space == TJCS_CMYK || space == TJCS_YCCK)
        code = pg_fail(PG_EINPUT, "a CMYK image: right would be RGB or grayscale");
    else
        code = make_room(height, width, 3, out);
    if (code == PG_OK && tjDecompress2(decoder, bytes, size, out->pixels, width, 0, height, TJPF_RGB,
                                       TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS) != 0)
        code = fail_decoder("JPEG", tjGetErrorStr2(decoder));
    tjDestroy(decoder);
    return code;
}

/* ---- PNG ---- */

typedef struct png_work {
    png_structp png;
    png_infop info;
    const uint8_t *at;
    size_t left;
    pg_image *image;
    uint8_t **rows; /* owned */
    char fault[128];
} png_work;

static void read_bytes(png_structp png, png_bytep out, size_t size)
{
    png_work *w = png_get_io_ptr(png);
    if (size > w->left)
        png_error(png, "ends early");
    memcpy(out, w->at, size);
    w->at += size;
    w->left -= size;
}

static void keep_fault(png_structp png, const char *text)
{
    png_work *w = png_get_error_ptr(png);
    snprintf(w->fault, sizeof w->fault, "%s", text);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, const char *text) { (void)png, (void)text; }

/* Everything becomes RGBA first, so that transparency of every kind is seen in one place. */
static int read_png(png_work *w)
{
    png_set_read_fn(w->png, w, read_bytes);
    png_set_user_limits(w->png, INT32_MAX, INT32_MAX); /* make_room says it better */
    png_read_info(w->png, w->info);
    if (png_get_bit_depth(w->png, w->info) == 16)
        return pg_fail(PG_EINPUT, "16 bits a channel: right would be 8");
    int64_t height = png_get_image_height(w->png, w->info), width = png_get_image_width(w->png, w->info);
    int code = make_room(height, width, 4, w->image);
    if (code != PG_OK)
        return code;
    if (!(w->rows = malloc((size_t)height * sizeof *w->rows)))
        return pg_fail(PG_ENOMEM, "out of memory for %lld rows", (long long)height);
    for (int64_t y = 0; y < height; y++)
        w->rows[y] = w->image->pixels + y * width * 4;
    png_set_expand(w->png);
    png_set_gray_to_rgb(w->png);
    png_set_add_alpha(w->png, 255, PNG_FILLER_AFTER);
    png_set_interlace_handling(w->png);
    png_read_update_info(w->png, w->info);
    png_read_image(w->png, w->rows);
    png_read_end(w->png, NULL);
    return PG_OK;
}

/* Alone with setjmp: no local of it changes between there and a jump. */
static int guard_png(png_work *w)
{
    if (setjmp(png_jmpbuf(w->png)))
        return fail_decoder("PNG", w->fault);
    return read_png(w);
}

/* RGBA to RGB in place. */
static int drop_alpha(pg_image *image)
{
    const uint8_t *from = image->pixels;
    uint8_t *to = image->pixels;
    for (size_t n = (size_t)image->height * (size_t)image->width; n; n--, from += 4, to += 3) {
        if (from[3] != 255)
            return pg_fail(PG_EINPUT, "has transparent pixels: right would be an image without transparency");
        memmove(to, from, 3);
    }
    return PG_OK;
}

static int decode_png(const uint8_t *bytes, size_t size, pg_image *out)
{
    png_work w = {.at = bytes, .left = size, .image = out};
    w.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &w, keep_fault, ignore);
    w.info = w.png ? png_create_info_struct(w.png) : NULL;
    int code = w.info ? guard_png(&w) : pg_fail(PG_ENOMEM, "out of memory for a PNG decoder");
    png_destroy_read_struct(&w.png, &w.info, NULL);
    free(w.rows);
    return code ? code : drop_alpha(out);
}

int pg_image_decode(const void *bytes, size_t size, pg_image *out)
{
    static const uint8_t jpeg[] = {0xff, 0xd8, 0xff}, png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    *out = (pg_image){0};
    int code;
    if (size > PG_IMAGE_BYTES)
        code = pg_fail(PG_EINPUT, "%zu bytes: at most %d are read", size, PG_IMAGE_BYTES);
    else if (size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        code = decode_jpeg(bytes, size, out);
    else if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        code = decode_png(bytes, size, out);
    else
        code = pg_fail(PG_EINPUT, "neither a JPEG nor a PNG file%s", size ? "" : ", but empty");
    if (code != PG_OK)
        pg_image_release(out);
    return code;
}

/* ---- Writing ---- */

int pg_image_encode(const uint8_t *planes, int height, int width, void **bytes, size_t *size)
{
    size_t n = (size_t)height * (size_t)width;
    png_image png = {
        .version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height, .format = PNG_FORMAT_RGB};
    png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(png);
    uint8_t *pixels = malloc(3 * n + 1);
    *bytes = malloc(room);
    for (size_t i = 0; pixels && i < n; i++)
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = planes[c * n + i];
    int code = PG_OK;
    if (!pixels || !*bytes || !png_image_write_to_memory(&png, *bytes, &room, 0, pixels, 0, NULL))
        code = pg_fail(PG_ENOMEM, "cannot write a PNG of %d x %d pixels%s%s", width, height, *png.message ? ": " : "",
                       png.message);
    if (code != PG_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    free(pixels);
    *size = room;
    return code;
}
