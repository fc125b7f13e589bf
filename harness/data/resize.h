/* Resizing as Pillow's Image.resize does it, byte for byte: 8 bits a channel, the filter widened where the image shrinks, the
 * width first and the height after it, weights in fixed point of 22 bits. Thread-safe. */
#ifndef PG_DATA_RESIZE_H
#define PG_DATA_RESIZE_H

#include "harness/data/image.h"

typedef enum pg_filter { PG_FILTER_BILINEAR, PG_FILTER_BICUBIC } pg_filter; /* bicubic with a = -0.5 */
extern const char *const pg_filter_names[];                                 /* by pg_filter, NULL-terminated */

/* A part of the resized image: only its pixels are computed. */
typedef struct pg_part {
    int top, left, height, width;
} pg_part;

/* How images of one size get another. */
typedef struct pg_resizing {
    int from_height, from_width, height, width;
    pg_filter filter;
} pg_resizing;

/* The image as `height` x `width` pixels, and of that the part: out[part.height][part.width][3]. PG_ENOMEM. */
int pg_resize(const pg_image *image, int height, int width, pg_filter filter, pg_part part, uint8_t *out) PG_MUST_USE;

/* The same of a whole image in planes: planes[3][from_height][from_width] -> out[3][height][width]. PG_ENOMEM. */
int pg_resize_planes(const pg_resizing *how, const uint8_t *planes, uint8_t *out) PG_MUST_USE;

/* Along one axis that is resized from `in` to `out` pixels: the most neighbouring pixels of the result that can change when
 * `length` neighbouring pixels of the image do, wherever these lie. 1 <= length <= in. PG_ENOMEM. */
int pg_resize_affected(int in, int out, pg_filter filter, int length, int *affected) PG_MUST_USE;
/* Along both axes, of a patch of height x width pixels wherever it lies. PG_ENOMEM. */
int pg_resize_affected_pixels(const pg_resizing *how, int height, int width, int *affected_height,
                              int *affected_width) PG_MUST_USE;
/* Of one axis, for the pixels [start, start + length) of the image: the pixels [*from, *from + *count) of the result.
 * PG_ENOMEM. */
int pg_resize_touched(int in, int out, pg_filter filter, int start, int length, int *from, int *count) PG_MUST_USE;
/* weights[out][in]: how much each pixel of the image weighs in each of the result, exactly as pg_resize has it. PG_ENOMEM. */
int pg_resize_weights(int in, int out, pg_filter filter, float *weights) PG_MUST_USE;

/* The shorter side becomes `side_px`, the longer one follows, rounded down; of that the `crop_px` <= side_px square in the
 * middle: torchvision's Resize and CenterCrop. out[crop_px][crop_px][3]. PG_ENOMEM. */
int pg_resize_crop(const pg_image *image, int side_px, pg_filter filter, int crop_px, uint8_t *out) PG_MUST_USE;

#endif
