/* For tests: image files of every kind, made here. Contents are smooth pictures with some noise, by seed. */
#ifndef PG_TESTS_IMAGE_FIXTURE_H
#define PG_TESTS_IMAGE_FIXTURE_H

#include "harness/base/buf.h"
#include "harness/data/image.h"

#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

/* pixels[height][width][channels], *new* */
static inline uint8_t *fixture_pixels(int height, int width, int channels, unsigned seed)
{
    uint8_t *pixels = malloc((size_t)height * (size_t)width * (size_t)channels), *at = pixels;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                seed = seed * 1103515245u + 12345u;
                *at++ = (uint8_t)(seed % 7 * 8 + (unsigned)(x * (c + 2) + y * (3 - c)) + (seed >> 16) % 16);
            }
    return pixels;
}

enum { /* flags of fixture_jpeg */
       FIXTURE_PROGRESSIVE = 1,
       FIXTURE_ARITHMETIC = 2,
       FIXTURE_UNCHANGED = 4, /* RGB and CMYK stay so; otherwise they are stored as YCbCr and YCCK */
       FIXTURE_RESTART = 8,   /* marks after each second row of blocks */
       FIXTURE_JFIF = 16,     /* CMYK with a JFIF mark and without Adobe's */
};

/* *new* bytes, pg_buf_release. 1 (grayscale), 3 (RGB), 4 (CMYK) or 2 channels; `sampling` of each as "2x2,1x1,1x1", horizontal
 * first. */
static inline pg_buf fixture_jpeg(int height, int width, int channels, const char *sampling, int flags, unsigned seed)
{
    pg_buf out;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    uint8_t *pixels = fixture_pixels(height, width, channels, seed);
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct encoder = {.err = jpeg_std_error(&errors)}; /* ends the program on an error */
    jpeg_create_compress(&encoder);
    jpeg_mem_dest(&encoder, &bytes, &size);
    encoder.image_height = (JDIMENSION)height;
    encoder.image_width = (JDIMENSION)width;
    encoder.input_components = channels;
    encoder.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : channels == 4 ? JCS_CMYK : JCS_UNKNOWN;
    jpeg_set_defaults(&encoder);
    if (flags & FIXTURE_UNCHANGED)
        jpeg_set_colorspace(&encoder, encoder.in_color_space);
    else if (channels == 4)
        jpeg_set_colorspace(&encoder, JCS_YCCK);
    jpeg_set_quality(&encoder, 90, TRUE);
    encoder.arith_code = (flags & FIXTURE_ARITHMETIC) != 0;
    encoder.restart_in_rows = flags & FIXTURE_RESTART ? 2 : 0;
    if (flags & FIXTURE_JFIF) {
        encoder.write_JFIF_header = TRUE;
        encoder.write_Adobe_marker = FALSE;
    }
    if (flags & FIXTURE_PROGRESSIVE)
        jpeg_simple_progression(&encoder);
    for (int c = 0; c < channels; c++, sampling += *sampling && sampling[3] ? 4 : 3) {
        encoder.comp_info[c].h_samp_factor = sampling[0] - '0';
        encoder.comp_info[c].v_samp_factor = sampling[2] - '0';
    }
    jpeg_start_compress(&encoder, TRUE);
    for (int y = 0; y < height; y++) {
        JSAMPROW row = pixels + (size_t)y * (size_t)(width * channels);
        jpeg_write_scanlines(&encoder, &row, 1);
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    pg_buf_init(&out);
    pg_buf_add(&out, bytes, size);
    free(bytes);
    free(pixels);
    return out;
}

/* Grayscale or RGB, chroma of half the resolution, as most files are. */
static inline pg_buf fixture_photo(int height, int width, bool color, int flags, unsigned seed)
{
    return fixture_jpeg(height, width, color ? 3 : 1, color ? "2x2,1x1,1x1" : "1x1", flags, seed);
}

typedef struct fixture_png {
    int height, width, depth, color; /* PNG_COLOR_TYPE_* */
    bool interlaced;
    int clear; /* the value that is transparent (tRNS), -1: none; with an alpha channel the alpha of one pixel, -1: all 255 */
} fixture_png;

static inline void fixture_png_write(png_structp png, png_bytep bytes, size_t size)
{
    pg_buf_add(png_get_io_ptr(png), bytes, size);
}
static inline void fixture_png_flush(png_structp png) { (void)png; }

static inline int fixture_png_channels(int color)
{
    return (color & PNG_COLOR_MASK_PALETTE ? 1 : color & PNG_COLOR_MASK_COLOR ? 3 : 1) + (color & PNG_COLOR_MASK_ALPHA ? 1 : 0);
}

static inline void fixture_png_transparency(png_structp png, png_infop info, const fixture_png *f)
{
    png_color palette[256];
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(png_byte)(i * 7), (png_byte)(255 - i), (png_byte)(i * i)};
    if (f->color & PNG_COLOR_MASK_PALETTE)
        png_set_PLTE(png, info, palette, 1 << f->depth);
    if (f->clear < 0 || f->color & PNG_COLOR_MASK_ALPHA)
        return;
    png_byte alphas[256];
    memset(alphas, 255, sizeof alphas);
    alphas[f->clear & 255] = 7;
    png_uint_16 value = (png_uint_16)f->clear;
    png_color_16 color = {(png_byte)value, value, value, value, value};
    png_set_tRNS(png, info, alphas, 1 << f->depth, &color);
}

/* *new* bytes, pg_buf_release. */
static inline pg_buf fixture_png_make(const fixture_png *f, unsigned seed)
{
    pg_buf out;
    pg_buf_init(&out);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    int channels = fixture_png_channels(f->color), bytes = f->depth == 16 ? 2 : 1;
    uint8_t *pixels = fixture_pixels(f->height, f->width, channels * bytes, seed);
    size_t n = (size_t)f->height * (size_t)f->width;
    if (f->color & PNG_COLOR_MASK_ALPHA && bytes == 1)
        for (size_t i = 0; i < n; i++)
            pixels[(i + 1) * (size_t)channels - 1] = (uint8_t)(i == n / 2 && f->clear >= 0 ? f->clear : 255);
    for (size_t i = 0; f->depth < 8 && i < n; i++)
        pixels[i] &= (uint8_t)((1 << f->depth) - 1);
    png_set_write_fn(png, &out, fixture_png_write, fixture_png_flush);
    png_set_IHDR(png, info, (png_uint_32)f->width, (png_uint_32)f->height, f->depth, f->color,
                 f->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    fixture_png_transparency(png, info, f);
    png_write_info(png, info);
    if (f->depth < 8)
        png_set_packing(png);
    png_bytepp rows = malloc((size_t)f->height * sizeof *rows);
    for (int y = 0; y < f->height; y++)
        rows[y] = pixels + (size_t)y * (size_t)(f->width * channels * bytes);
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(rows);
    free(pixels);
    return out;
}

/* A header that promises this size, and hardly anything behind it. *new* bytes, pg_buf_release. */
static inline pg_buf fixture_png_header(uint32_t height, uint32_t width)
{
    pg_buf out;
    pg_buf_init(&out);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_user_limits(png, INT32_MAX, INT32_MAX);
    png_set_write_fn(png, &out, fixture_png_write, fixture_png_flush);
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_write_chunk(png, (png_const_bytep) "IDAT", (png_const_bytep) "x", 1);
    png_destroy_write_struct(&png, &info);
    return out;
}

/* Puts a segment behind the first `at` bytes of a file. */
static inline void fixture_insert(pg_buf *file, size_t at, const void *bytes, size_t size)
{
    pg_buf whole;
    pg_buf_init(&whole);
    pg_buf_add(&whole, file->data, at);
    pg_buf_add(&whole, bytes, size);
    pg_buf_add(&whole, file->data + at, file->size - at);
    pg_buf_release(file);
    *file = whole;
}

/* EXIF that says: turn by 90 degrees. To be put behind the first two bytes of a JPEG file. */
static const uint8_t fixture_exif[] = {0xff, 0xe1, 0,    34,   'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0,
                                       1,    0,    0x12, 0x01, 3,   0,   1,   0,   0, 0, 6,   0,   0,  0, 0, 0, 0, 0};

#endif
