/* What the decoders of image.h share. Private to harness/data/image*.c. */
#ifndef PG_DATA_IMAGE_DECODE_H
#define PG_DATA_IMAGE_DECODE_H

#include "harness/data/image.h"

/* Memory for an image, with at least 3 bytes a pixel, after a check of its size. PG_EINPUT, PG_ENOMEM. */
int pg_image_room(int64_t height, int64_t width, int bytes_a_pixel, pg_image *out) PG_MUST_USE;

/* Whole files in memory; pg_image_release in any case. */
int pg_image_decode_jpeg(const uint8_t *bytes, size_t size, pg_image *out) PG_MUST_USE;
/* alpha: NULL, or *new* [height][width] where the file has an opacity for each pixel (a channel, or one of the palette's
 * entries), else NULL; free() it in any case. */
int pg_image_decode_png(const uint8_t *bytes, size_t size, pg_image *out, uint8_t **alpha) PG_MUST_USE;
/* As pg_image_decode, of a PNG file with its alpha. */
int pg_image_decode_alpha(const void *bytes, size_t size, pg_image *out, uint8_t **alpha) PG_MUST_USE;

#endif
