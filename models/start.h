/* The weights that training starts from: those of the same architecture, or of another one whose parameters have the same names
 * and, but for the head, shapes that are the same or become so:
 *
 * - channels of images that the other network does not have (the places of cells, their second half) start at zero, so that it
 *   computes what it did;
 * - a depthwise kernel that has become 1 x 1 is the centre of the other's: training that starts so has a lower loss at first
 * than with the sum of its taps.
 *
 * Files that were exported for inference have their norms folded into the convolutions: scale 1, mean 0, variance 1. Training
 * would normalise what was never normalised, so that such norms get statistics back, measured on images, and scales with which
 * the network computes what it did. */
#ifndef PG_MODELS_START_H
#define PG_MODELS_START_H

#include "harness/data/dataset.h"
#include "models/network.h"

/* Options of the architecture to train, as pg_module_configure: those that `pairs` leave out and the architecture of the file
 * has too (width, padding, mean, std) are the file's. */
int pg_start_configure(const char *path, const pg_model *model, const char *const *pairs, size_t n, void *config) PG_MUST_USE;

/* What is trained. */
typedef struct pg_start_target {
    const pg_model *model;
    const void *config; /* resolved */
    int height, width;  /* of its images */
} pg_start_target;

/* PG_EINPUT where the weights of the file do not become those of the target. */
int pg_start_check(const char *path, const pg_weights_info *from, const pg_start_target *target) PG_MUST_USE;

/* The target's parameters, *new*, with the classes of the file. `images`: those to train on, read where norms are folded. Tells
 * what it changed. */
int pg_start_load(const char *path, const pg_weights_info *from, const pg_start_target *target, pg_scope *scope,
                  pg_dataset *images, pg_parameters *parameters) PG_MUST_USE;

#endif
