/* Photographs: JPEG and PNG files, read in memory, as 8-bit RGB.
 *
 * The pixels are those of Pillow's Image.open(FILE).convert("RGB"), byte for byte, of every file that it opens: grayscale,
 * palettes and CMYK become RGB, of 16 bits the upper 8 count, alpha is dropped, a palette index without an entry is gray
 * (white: 255); profiles, gamma and the orientation in EXIF are not applied, and what libjpeg warns of is no error. What a file
 * is follows from its first bytes, never from its name. Files are untrusted: sizes are read from the header, before memory is
 * taken for pixels. Thread-safe. */
#ifndef PG_DATA_IMAGE_H
#define PG_DATA_IMAGE_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* The largest file and the largest image that are read: from one more pixel on Pillow warns of a decompression bomb. Reading
 * takes at most about ten bytes a pixel. */
enum { PG_IMAGE_BYTES = 1 << 28, PG_IMAGE_PIXELS = (1 << 28) / 3, PG_IMAGE_SIDE = 65535 };

typedef struct pg_image {
    int height, width;
    uint8_t *pixels; /* [height][width][3], owned */
} pg_image;

/* *new* pixels, pg_image_release. PG_EINPUT with the reason for what is refused: neither JPEG nor PNG (by the name of its kind
 * where it is known), 12 bits a channel, grayscale of 16 bits (which Pillow makes white), too many pixels, files that end early
 * or whose pixels cannot be unpacked. PG_ENOMEM. */
int pg_image_decode(const void *bytes, size_t size, pg_image *out) PG_MUST_USE;
void pg_image_release(pg_image *image);

/* planes[3][height][width] as a PNG file in memory: *new* bytes, free(). PG_ENOMEM. */
int pg_image_encode(const uint8_t *planes, int height, int width, void **bytes, size_t *size) PG_MUST_USE;

#endif
