/* The pixels that a position of the map depends on: the size of the gradient of its largest local logit with respect to each
 * pixel, the mean over images and the sum over the three channels. Inside the receptive field it says how much of the field
 * counts; outside it is 0 unless the network is not local. Source: Luo et al. 2016 ("effective receptive field"); PatchGuard,
 * Figure 7. */
#ifndef PG_MODELS_FIELD_MAP_H
#define PG_MODELS_FIELD_MAP_H

#include "models/model.h"

typedef struct pg_field_map_request {
    const char *weights, *data_dir, *dataset;
    const char *device; /* "auto", "cpu", "cuda:N" */
    int64_t images;     /* the first of the data set, fewer where it has fewer */
} pg_field_map_request;

typedef struct pg_field_map {
    float *values;     /* *new* [height][width], free() */
    int height, width; /* of the image, pixels */
    pg_rect field;     /* of the position in the middle, as its geometry says; may reach over the image's edge */
    int64_t images;
} pg_field_map;

/* Runs the network, in fp32. PG_EINPUT where data set and network differ in size or the model has no gradients; as
 * pg_network_open. */
int pg_field_map_make(const pg_field_map_request *request, pg_field_map *out) PG_MUST_USE;

#endif
