/* PNG by libpng. See image.h.
 *
 * Pillow's pixels depend on the header, the palette and the image data alone: no gamma or profile, and transparency only where
 * it is asked for. So chunks are sorted here, and libpng only unpacks the data: it is given a header that names palettes
 * grayscale, and one IDAT chunk. Checksums are held against chunks in front of the data; damage in the data shows when they are
 * unpacked. */
#include "harness/data/image_decode.h"

#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAGIC = 8, CHUNK = 8, CRC = 4, IHDR = 13, HEAD = MAGIC + CHUNK + IHDR + CRC + CHUNK };

typedef struct work {
    const uint8_t *at; /* the rest of the file */
    size_t left;
    uint32_t width, height;
    int depth, color; /* PNG_COLOR_TYPE_*; -1: no header yet */
    bool interlaced;
    const uint8_t *palette; /* within the file, of RGB entries; NULL: none */
    size_t entries;
    const uint8_t *opacities; /* within the file, of the first n_opacities entries; NULL: all are opaque */
    size_t n_opacities;
    uint8_t **alpha; /* NULL: nobody asks */
    uint8_t *data;   /* the contents of all IDAT chunks, owned */
    size_t data_size;

    png_structp png;
    png_infop info;
    uint8_t head[HEAD]; /* what libpng reads first, then `data` */
    size_t read;
    uint8_t **rows; /* owned */
    pg_image *image;
    bool whole; /* all pixels are there */
    char fault[128];
} work;

static uint32_t number(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int fail_damaged(const char *text) { return pg_fail(PG_EINPUT, "damaged PNG: %s", text); }

/* ---- Chunks ---- */

typedef struct chunk {
    const uint8_t *name, *data; /* within the file */
    size_t size;                /* as it says */
} chunk;

/* PG_EINPUT where there is none. */
static int next_chunk(work *w, chunk *out)
{
    if (w->left < CHUNK)
        return fail_damaged("ends early");
    *out = (chunk){w->at + 4, w->at + CHUNK, number(w->at)};
    for (int i = 0; i < 4; i++)
        if (out->name[i] < '0' || out->name[i] > 'z')
            return fail_damaged("a chunk without a name");
    w->at += CHUNK;
    w->left -= CHUNK;
    return PG_OK;
}

static int take_header(work *w, const chunk *c)
{
    if (c->size < IHDR)
        return fail_damaged("a header that is too short");
    w->width = number(c->data);
    w->height = number(c->data + 4);
    w->depth = c->data[8];
    w->color = c->data[9];
    w->interlaced = c->data[12] != 0;
    bool any = w->depth == 1 || w->depth == 2 || w->depth == 4 || w->depth == 8 || w->depth == 16;
    bool known = w->color == PNG_COLOR_TYPE_GRAY ? any
                 : w->color == PNG_COLOR_TYPE_PALETTE
                     ? any && w->depth <= 8
                     : (w->color == PNG_COLOR_TYPE_RGB || w->color == PNG_COLOR_TYPE_GRAY_ALPHA ||
                        w->color == PNG_COLOR_TYPE_RGB_ALPHA) &&
                           any && w->depth >= 8;
    if (!known)
        return fail_damaged("a header with a color type or depth that does not exist");
    return c->data[11] ? fail_damaged("a header with an unknown filter") : PG_OK;
}

static int take_palette(work *w, const chunk *c)
{
    if (w->color != PNG_COLOR_TYPE_PALETTE)
        return PG_OK;
    if (c->size / 3 > 256)
        return fail_damaged("a palette of more than 256 colors");
    w->palette = c->data;
    w->entries = c->size / 3;
    return PG_OK;
}

static void take_opacities(work *w, const chunk *c)
{
    if (w->color != PNG_COLOR_TYPE_PALETTE)
        return;
    w->opacities = c->data;
    w->n_opacities = c->size;
}

/* Up to the first IDAT, which becomes `first`. */
static int read_front(work *w, chunk *first)
{
    int code;
    while ((code = next_chunk(w, first)) == PG_OK && memcmp(first->name, "IDAT", 4) != 0) {
        if (memcmp(first->name, "IEND", 4) == 0)
            return fail_damaged("no image in it");
        if (w->left < CRC || first->size > w->left - CRC)
            return fail_damaged("ends early");
        uint32_t crc = (uint32_t)crc32(0, first->name, 4 + (uInt)first->size);
        if (crc != number(first->data + first->size))
            code = pg_fail(PG_EINPUT, "damaged PNG: wrong checksum of %.4s", first->name);
        else if (memcmp(first->name, "IHDR", 4) == 0)
            code = take_header(w, first);
        else if (memcmp(first->name, "PLTE", 4) == 0)
            code = take_palette(w, first);
        else if (memcmp(first->name, "tRNS", 4) == 0)
            take_opacities(w, first);
        if (code != PG_OK)
            return code;
        w->at += first->size + CRC;
        w->left -= first->size + CRC;
    }
    if (code == PG_OK && w->color < 0)
        code = fail_damaged("no header");
    return code;
}

/* Joins the IDAT chunks, of which the last one may be cut. */
static int join_data(work *w, chunk c)
{
    if (!(w->data = malloc(w->left + 1)))
        return pg_fail(PG_ENOMEM, "out of memory for the data of a PNG");
    do {
        size_t size = c.size < w->left ? c.size : w->left;
        memcpy(w->data + w->data_size, c.data, size);
        w->data_size += size;
        size = w->left - size < CRC ? w->left : size + CRC;
        w->at += size;
        w->left -= size;
    } while (next_chunk(w, &c) == PG_OK && memcmp(c.name, "IDAT", 4) == 0);
    return PG_OK;
}

/* ---- Pixels ---- */

static void record_fault(png_structp png, const char *text)
{
    work *w = png_get_error_ptr(png);
    snprintf(w->fault, sizeof w->fault, "%s", text);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, const char *text) { (void)png, (void)text; }

/* Behind the last row libpng would unpack whatever follows, of a small file a terabyte. */
static bool is_whole(const work *w)
{
    return w->interlaced ? png_get_current_pass_number(w->png) >= PNG_INTERLACE_ADAM7_PASSES
                         : png_get_current_row_number(w->png) >= w->height;
}

static void read_bytes(png_structp png, png_bytep out, size_t size)
{
    work *w = png_get_io_ptr(png);
    w->whole = is_whole(w);
    if (w->whole || size > HEAD + w->data_size - w->read)
        png_error(png, "ends early");
    while (size) {
        const uint8_t *from = w->read < HEAD ? w->head + w->read : w->data + (w->read - HEAD);
        size_t n = w->read < HEAD && size > HEAD - w->read ? HEAD - w->read : size;
        memcpy(out, from, n);
        w->read += n;
        out += n;
        size -= n;
    }
}

static void write_number(uint8_t *to, size_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void write_head(work *w)
{
    uint8_t *h = w->head, *header = h + MAGIC + CHUNK, *idat = header + IHDR + CRC;
    memcpy(h, "\x89PNG\r\n\x1a\n", MAGIC);
    write_number(h + MAGIC, IHDR);
    memcpy(h + MAGIC + 4, "IHDR", 4);
    write_number(header, w->width);
    write_number(header + 4, w->height);
    header[8] = (uint8_t)w->depth;
    header[9] = (uint8_t)(w->color == PNG_COLOR_TYPE_PALETTE ? PNG_COLOR_TYPE_GRAY : w->color);
    header[12] = w->interlaced;
    write_number(idat, w->data_size);
    memcpy(idat + 4, "IDAT", 4);
}

static int channels_of(const work *w)
{
    return (w->color == PNG_COLOR_TYPE_RGB_ALPHA || w->color == PNG_COLOR_TYPE_RGB ? 3 : 1) +
           (w->color == PNG_COLOR_TYPE_RGB_ALPHA || w->color == PNG_COLOR_TYPE_GRAY_ALPHA);
}

/* Samples of 8 bits, [height][width][channels], at `samples`. */
static int unpack(work *w, int channels, uint8_t *samples)
{
    if (!(w->rows = malloc((size_t)w->height * sizeof *w->rows)))
        return pg_fail(PG_ENOMEM, "out of memory for %u rows", w->height);
    for (size_t y = 0; y < w->height; y++)
        w->rows[y] = samples + y * w->width * (size_t)channels;
    png_set_read_fn(w->png, w, read_bytes);
    png_set_user_limits(w->png, INT32_MAX, INT32_MAX); /* pg_image_room says it better */
    png_set_chunk_malloc_max(w->png, 0);
    png_set_crc_action(w->png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE); /* the head has none */
    png_read_info(w->png, w->info);
    png_set_packing(w->png);
    png_set_strip_16(w->png);
    png_set_interlace_handling(w->png);
    png_read_update_info(w->png, w->info);
    png_read_image(w->png, w->rows);
    return PG_OK;
}

/* Alone with setjmp: no local of it changes between there and a jump. */
static int guard_png(work *w, int channels, uint8_t *samples)
{
    if (setjmp(png_jmpbuf(w->png)) == 0)
        return unpack(w, channels, samples);
    if (w->whole)
        return PG_OK;
    if (strcasestr(w->fault, "memory"))
        return pg_fail(PG_ENOMEM, "PNG: %s", w->fault);
    return fail_damaged(w->fault);
}

/* Colors of samples where there is one of them a pixel. An index without an entry is gray, as in Pillow 9.4; in 11.1 it is
 * black, but pixels have to be the same on every machine. */
static void make_colors(const work *w, uint8_t colors[256][3])
{
    int most = w->color == PNG_COLOR_TYPE_PALETTE || w->depth >= 8 ? 255 : (1 << w->depth) - 1;
    for (int i = 0; i < 256; i++)
        memset(colors[i], i * 255 / most, 3);
    if (w->entries)
        memcpy(colors, w->palette, 3 * w->entries);
}

/* From `samples` within the image's memory to its front; a pixel is read before its place is written to. */
static void to_rgb(const work *w, int channels, const uint8_t *samples, pg_image *image)
{
    uint8_t colors[256][3], *to = image->pixels;
    make_colors(w, colors);
    for (size_t n = (size_t)image->height * (size_t)image->width; n; n--, samples += channels, to += 3)
        memmove(to, channels < 3 ? colors[*samples] : samples, 3);
}

/* Before the samples are written over. */
static int take_alpha(work *w, int channels, const uint8_t *samples)
{
    size_t n = (size_t)w->height * w->width;
    if (!w->alpha || (channels % 2 == 1 && !w->opacities))
        return PG_OK;
    if (!(*w->alpha = malloc(n)))
        return pg_fail(PG_ENOMEM, "out of memory for the alpha of a PNG");
    for (size_t i = 0; i < n; i++) {
        uint8_t sample = samples[(i + 1) * (size_t)channels - 1];
        (*w->alpha)[i] = channels % 2 == 0 ? sample : sample < w->n_opacities ? w->opacities[sample] : 255;
    }
    return PG_OK;
}

static int read_pixels(work *w)
{
    if (w->color == PNG_COLOR_TYPE_GRAY && w->depth == 16)
        return pg_fail(PG_EINPUT, "a grayscale PNG of 16 bits: right would be 8 (Pillow makes every value above 255 white)");
    int channels = channels_of(w), code = pg_image_room(w->height, w->width, channels < 3 ? 3 : channels, w->image);
    if (code != PG_OK)
        return code;
    w->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, w, record_fault, ignore);
    w->info = w->png ? png_create_info_struct(w->png) : NULL;
    if (!w->info)
        return pg_fail(PG_ENOMEM, "out of memory for a PNG decoder");
    write_head(w);
    size_t behind = channels < 3 ? (size_t)(3 - channels) * w->height * w->width : 0;
    code = guard_png(w, channels, w->image->pixels + behind);
    if (code == PG_OK)
        code = take_alpha(w, channels, w->image->pixels + behind);
    if (code == PG_OK)
        to_rgb(w, channels, w->image->pixels + behind, w->image);
    return code;
}

int pg_image_decode_png(const uint8_t *bytes, size_t size, pg_image *out, uint8_t **alpha)
{
    work w = {.at = bytes + MAGIC, .left = size - MAGIC, .color = -1, .image = out, .alpha = alpha};
    chunk first;
    int code = read_front(&w, &first);
    if (code == PG_OK)
        code = join_data(&w, first);
    if (code == PG_OK)
        code = read_pixels(&w);
    png_destroy_read_struct(&w.png, &w.info, NULL);
    free(w.rows);
    free(w.data);
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
