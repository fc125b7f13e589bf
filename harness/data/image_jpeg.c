/* JPEG by libjpeg-turbo, the library that Debian's Pillow decodes with, used as Pillow uses it: the default DCT and upsampling,
 * the library's guess of the color space, and warnings ignored. See image.h. */
#include "harness/data/image_decode.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum { MOST_SCANS = 500 }; /* each scan of a progressive file costs time for the whole image */

typedef struct work {
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    pg_image *image;
    uint8_t *cmyk; /* one row of four components, owned */
    bool out_of_memory;
    char fault[JMSG_LENGTH_MAX];
} work;

static void leave(j_common_ptr decoder)
{
    work *w = decoder->client_data;
    w->out_of_memory = decoder->err->msg_code == JERR_OUT_OF_MEMORY;
    decoder->err->format_message(decoder, w->fault);
    longjmp(w->escape, 1);
}

static void ignore(j_common_ptr decoder) { (void)decoder; }

static void count_scans(j_common_ptr decoder)
{
    work *w = decoder->client_data;
    if (w->decoder.input_scan_number <= MOST_SCANS)
        return;
    snprintf(w->fault, sizeof w->fault, "more than %d scans", MOST_SCANS);
    longjmp(w->escape, 1);
}

/* The source is the whole file, so that a decoder that asks for more has met its end. */
static boolean no_more(j_decompress_ptr decoder PG_UNUSED) { return FALSE; }

static void skip(j_decompress_ptr decoder, long n)
{
    struct jpeg_source_mgr *source = decoder->src;
    size_t most = source->bytes_in_buffer, step = n > 0 ? (size_t)n : 0;
    step = step < most ? step : most;
    source->next_input_byte += step;
    source->bytes_in_buffer -= step;
}

static void nothing(j_decompress_ptr decoder) { (void)decoder; }

static int fail_early(void) { return pg_fail(PG_EINPUT, "damaged JPEG: ends early"); }

/* Tables alone may stand in front of an image. */
static int read_header(work *w)
{
    struct jpeg_decompress_struct *d = &w->decoder;
    int found;
    while ((found = jpeg_read_header(d, FALSE)) == JPEG_HEADER_TABLES_ONLY)
        continue;
    if (found == JPEG_SUSPENDED)
        return fail_early();
    if (d->data_precision != 8)
        return pg_fail(PG_EINPUT, "a JPEG of %d bits a channel: right would be 8", d->data_precision);
    if (d->num_components != 1 && d->num_components != 3 && d->num_components != 4)
        return pg_fail(PG_EINPUT, "a JPEG of %d channels: right would be 1 (grayscale), 3 (RGB) or 4 (CMYK)",
                       d->num_components);
    d->out_color_space = d->num_components == 4 ? JCS_CMYK : JCS_RGB;
    return PG_OK;
}

/* a * b / 255, rounded, as Pillow's arithmetic has it. */
static unsigned multiply(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/* Components are stored inverted, as Adobe does: 255 is no ink. Pillow takes that for granted, whatever the file says. */
static void cmyk_to_rgb(const uint8_t *from, uint8_t *to, int n)
{
    for (; n; n--, from += 4, to += 3)
        for (int c = 0; c < 3; c++)
            to[c] = (uint8_t)(from[3] - multiply(255u - from[c], from[3]));
}

static int read_rows(work *w)
{
    struct jpeg_decompress_struct *d = &w->decoder;
    pg_image *image = w->image;
    bool cmyk = d->out_color_space == JCS_CMYK;
    if (cmyk && !(w->cmyk = malloc((size_t)image->width * 4)))
        return pg_fail(PG_ENOMEM, "out of memory for a row of pixels");
    if (!jpeg_start_decompress(d))
        return fail_early();
    while (d->output_scanline < d->output_height) {
        uint8_t *rgb = image->pixels + (size_t)d->output_scanline * (size_t)image->width * 3, *row = cmyk ? w->cmyk : rgb;
        if (jpeg_read_scanlines(d, &row, 1) != 1)
            return fail_early();
        if (cmyk)
            cmyk_to_rgb(row, rgb, image->width);
    }
    jpeg_finish_decompress(d); /* the mark of the end may be missing */
    return PG_OK;
}

static int read_jpeg(work *w, const uint8_t *bytes, size_t size)
{
    struct jpeg_decompress_struct *d = &w->decoder;
    jpeg_create_decompress(d);
    w->source = (struct jpeg_source_mgr){.next_input_byte = bytes,
                                         .bytes_in_buffer = size,
                                         .init_source = nothing,
                                         .fill_input_buffer = no_more,
                                         .skip_input_data = skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = nothing};
    w->progress.progress_monitor = count_scans;
    d->src = &w->source;
    d->progress = &w->progress;
    int code = read_header(w);
    if (code == PG_OK)
        code = pg_image_room(d->image_height, d->image_width, 3, w->image);
    return code != PG_OK ? code : read_rows(w);
}

/* Alone with setjmp: no local of it changes between there and a jump. */
static int guard_jpeg(work *w, const uint8_t *bytes, size_t size)
{
    if (setjmp(w->escape) == 0)
        return read_jpeg(w, bytes, size);
    if (w->out_of_memory)
        return pg_fail(PG_ENOMEM, "out of memory for a JPEG of %u x %u pixels", w->decoder.image_width,
                       w->decoder.image_height);
    return pg_fail(PG_EINPUT, "damaged JPEG: %s", w->fault);
}

int pg_image_decode_jpeg(const uint8_t *bytes, size_t size, pg_image *out)
{
    work *w = calloc(1, sizeof *w);
    if (!w)
        return pg_fail(PG_ENOMEM, "out of memory for a JPEG decoder");
    w->image = out;
    w->decoder.err = jpeg_std_error(&w->errors);
    w->decoder.client_data = w;
    w->errors.error_exit = leave;
    w->errors.output_message = ignore;
    int code = guard_jpeg(w, bytes, size);
    jpeg_destroy_decompress(&w->decoder);
    free(w->cmyk);
    free(w);
    return code;
}
