/* Puts patches on images, byte for byte what a network takes of them: where a resize lies between the patch and the network,
 * the image with the patch is resized as the data set does it. One thread for each pg_paste. */
#ifndef PG_TARGET_PASTE_H
#define PG_TARGET_PASTE_H

#include "harness/data/resize.h"
#include "models/model.h"

typedef struct pg_paste {
    const pg_resizing *resize;     /* borrowed until release; NULL: none */
    int image_height, image_width; /* of what the patch is put on */
    int patch_height, patch_width;
    uint8_t *scratch; /* with a resize: [3][image_height][image_width] */
} pg_paste;

/* For a network of this geometry. PG_ENOMEM; release in any case. */
int pg_paste_init(pg_paste *paste, const pg_resizing *resize, const pg_geometry *geometry, int patch_height,
                  int patch_width) PG_MUST_USE;
void pg_paste_release(pg_paste *paste);
/* image[3][image_height][image_width] with patch[3][patch_height][patch_width] at (top, left), which has to be inside ->
 * out[3][input_height][input_width]. PG_ENOMEM. */
int pg_paste_patch(pg_paste *paste, const uint8_t *image, const uint8_t *patch, int top, int left, uint8_t *out) PG_MUST_USE;

#endif
