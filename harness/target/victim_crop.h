/* Victims of networks with gradients: a pass computes what a patch affects of an image, its crop, and the rest of the map is
 * that of the clean image. A part of victim.h. */
#ifndef PG_TARGET_VICTIM_CROP_H
#define PG_TARGET_VICTIM_CROP_H

#include "harness/target/victim.h"

/* *new*, pg_victim_close. Sizes, classes, slots and kinds are left to the caller. PG_ENOMEM, PG_EINPUT. */
int pg_victim_crop_open(const pg_victim_request *request, const pg_geometry *geometry, pg_victim **out) PG_MUST_USE;

#endif
