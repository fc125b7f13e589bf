/* Opens the network of a defended classifier. */
#ifndef PG_TARGET_OPEN_H
#define PG_TARGET_OPEN_H

#include "harness/plan/plan.h"

/* *new*, pg_network_close: the network of `weights` (models/model.h), with masked images in an image's place where the defense
 * is one of images. `defended` is borrowed until then. */
int pg_defended_open(const pg_defended *defended, const char *weights, const char *const *pairs, size_t n,
                     const pg_network_options *options, pg_network **out) PG_MUST_USE;

/* The network of a forward pass; PG_EINPUT where its weights file is no longer the one that was planned. */
int pg_forward_open(const pg_forward *forward, const pg_network_options *options, pg_network **out) PG_MUST_USE;

#endif
