/* Victims of models without gradients: the whole image is forwarded for each pass, and evaluated as soon as it is scored. A
 * part of victim.h. */
#ifndef PG_TARGET_VICTIM_PLAIN_H
#define PG_TARGET_VICTIM_PLAIN_H

#include "harness/target/victim.h"

/* *new*, pg_victim_close. Sizes, classes, slots and kinds are left to the caller. PG_ENOMEM. */
int pg_victim_plain_open(const pg_victim_request *request, const pg_geometry *geometry, pg_victim **out) PG_MUST_USE;

#endif
