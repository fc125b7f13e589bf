/* A data set whose images are resized to what a network takes: "cifar10:test@192", "cifar10:test@192x224:bilinear". Everything
 * that reads a data set reads it so, and its hash is one of its own. Where a patch is put on before the resize, it changes more
 * than its pixels times the scale: pg_resize_affected says how many (defenses/CERTIFICATES.md, section 6). */
#ifndef PG_DATA_RESIZED_H
#define PG_DATA_RESIZED_H

#include "harness/data/dataset.h"

/* What follows the '@', SIZE or SIZE:FILTER, into height, width and filter of the info; its names are for messages. PG_EINPUT.
 */
int pg_resized_parse(const char *suffix, pg_dataset_info *info) PG_MUST_USE;

/* *new*; `inner` is taken over, and closed where this fails. PG_EINPUT. */
int pg_resized_open(pg_dataset *inner, const char *suffix, pg_dataset **out) PG_MUST_USE;

#endif
