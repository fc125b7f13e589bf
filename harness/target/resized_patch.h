/* A patch that is put on before a resize, for a victim that sees what lies behind it (victim.h).
 *
 * A resize is linear along rows and along columns, but for rounding and clipping after each of the two (harness/data/resize.h).
 * So a patch P of one colour, at its place, changes a region of the resized image that is
 *
 *     byte(base + A byte(beside + P B)),   byte(x) = x rounded to a whole number from 0 to 255
 *
 * with the weights B[patch_width][width] of its columns and A[height][patch_height] of its rows, and with what the rest of the
 * image adds: `beside` its rows, `base` above and below. Gradients pass through the rounding, and not through the clipping. One
 * thread. */
#ifndef PG_TARGET_RESIZED_PATCH_H
#define PG_TARGET_RESIZED_PATCH_H

#include "harness/data/resize.h"
#include "models/model.h"
#include "models/torch/torch.h"

typedef struct pg_resized_patch pg_resized_patch;

/* *new*, pg_resized_patch_free: room for patches of one size in `slots` slots. The scope is borrowed until then. PG_ENOMEM. */
int pg_resized_patch_new(const pg_resizing *how, int patch_height, int patch_width, int slots, pg_scope *scope,
                         pg_resized_patch **out) PG_MUST_USE;
void pg_resized_patch_free(pg_resized_patch *patch);
pg_rect pg_resized_patch_size(const pg_resized_patch *patch); /* height and width of the regions, wherever the patch lies */

/* The patch lies at (top, left) of this image, which has to be inside: pixels[3][from_height][from_width], read now. *place is
 * its region of the resized image. PG_ENOMEM. */
int pg_resized_patch_hold(pg_resized_patch *patch, int slot, const uint8_t *pixels, int top, int left,
                          pg_rect *place) PG_MUST_USE;
/* Puts together what pg_resized_patch_pixels needs of n slots; failures are the scope's. */
void pg_resized_patch_batch(pg_resized_patch *patch, int n, const int *slots);
/* The regions of these slots with patches [n][3][patch_height * patch_width] in [0, 1] in them: [n][3][height * width], in [0,
 * 1] too. */
pg_tensor *pg_resized_patch_pixels(pg_resized_patch *patch, pg_tensor *patches);

/* From d / d pixels of the resized image, gradient[3][height][width] of a whole one, to the sum over colours of |d / d pixel|
 * of the image before, out[from_height][from_width]; clipping is left out. PG_ENOMEM. */
int pg_resized_patch_saliency(const pg_resized_patch *patch, const float *gradient, float *out) PG_MUST_USE;

#endif
