/* Early features of masked images, put together.
 *
 * The layers before a network's cut (pg_layer_cut) see a small field of pixels. A masked image differs from its image in at
 * most two rectangles. So at each position of the cut the features of a masked image are those of the image, where the position
 * sees neither rectangle; those of the masked image with one rectangle alone, where it sees that one; and only where it sees
 * both do they have to be computed for this masked image. Features are computed from crops of pixels that hold all that their
 * positions see, one crop at a time, so that they depend on nothing else. defenses/CERTIFICATES.md, section 16, says what that
 * means for a certificate. One thread. */
#ifndef PG_MODELS_MOSAIC_H
#define PG_MODELS_MOSAIC_H

#include "models/network.h"

/* What runs the layers; all borrowed. */
typedef struct pg_mosaic_network {
    const pg_model *model;
    const void *config;
    const pg_geometry *geometry;
    pg_footprint footprint;
    pg_parameters *parameters;
    pg_scope *scope;
    bool bf16;
} pg_mosaic_network;

typedef struct pg_mosaic pg_mosaic;

/* *new*, pg_mosaic_free: for up to `images` masked images at a time. NULL where there is none: the network has no cut, its
 * stride there does not divide the sides of the image, parts are not stated, or crops are too large a share of the pixels to
 * spare anything. PG_ENOMEM. */
int pg_mosaic_new(const pg_mosaic_network *network, const pg_masked_images *masked, int images, pg_mosaic **out) PG_MUST_USE;
void pg_mosaic_free(pg_mosaic *mosaic);

/* The features of an image, pixels[3][height][width], which stay until the next one. */
int pg_mosaic_begin(pg_mosaic *mosaic, const uint8_t *pixels) PG_MUST_USE;
/* Local logits of the masked images at `n` positions of the map, in the scope: NULL after a failure of it. */
pg_tensor *pg_mosaic_logits(pg_mosaic *mosaic, const int *positions, int n);

#endif
