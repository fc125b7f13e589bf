/* What a defense makes of a model: the map that its rule sees, and the window of a patch on it. At the level of features the
 * map is the model's own; at the level of images it is that of the masked images which run in an image's place.
 * harness/target/open.h opens its network. */
#ifndef PG_PLAN_DEFENDED_H
#define PG_PLAN_DEFENDED_H

#include "defenses/defense.h"
#include "models/model.h"

typedef struct pg_defended {
    const pg_defense *defense; /* NULL: a model alone */
    const void *config;        /* resolved; borrowed */
    pg_image_patch_size size;  /* the images of the model, and the patch */
} pg_defended;

/* From the geometry of the model to that of the defended one, and the window. PG_EINPUT where the defense cannot work on it. */
int pg_defended_map(const pg_defended *defended, pg_geometry *geometry, pg_window *window) PG_MUST_USE;

/* The map of a geometry; the window is cut to it. */
pg_map pg_defended_map_of(const pg_geometry *geometry, pg_window window);

/* What the measurements of the model's locality say for what the defense rests on, in passes of this type and batch;
 * `any_batch`: of an image at whatever place of whatever batch. *delta: by how much its evidence can change where a patch does
 * not reach, 0 where nothing was measured. Masked images are seen whole, of which a measurement of receptive fields says
 * nothing: they count as not measured. */
void pg_defended_delta(const pg_defended *defended, const pg_weights_info *info, pg_dtype dtype, int batch, bool any_batch,
                       pg_locality_result *found, int64_t *delta);

static inline bool pg_defended_masks_images(const pg_defended *d) { return d->defense && d->defense->level == PG_LEVEL_IMAGE; }

#endif
