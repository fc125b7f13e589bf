/* Victims behind a defense of images: the gradient is that of the undefended network, since a pass through all masked images
 * would cost hundreds of passes a step; the evaluator is the defense itself, on all masked images, asked wherever the
 * undefended network errs. A part of victim.h. */
#ifndef PG_TARGET_VICTIM_MASKED_H
#define PG_TARGET_VICTIM_MASKED_H

#include "harness/target/victim.h"

/* *new*, pg_victim_close; the request's network is one of masked images. Sizes, classes, slots and kinds are left to the
 * caller. */
int pg_victim_masked_open(const pg_victim_request *request, pg_victim **out) PG_MUST_USE;

#endif
