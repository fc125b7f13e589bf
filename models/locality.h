/* Locality, measured: whether positions that a patch cannot reach change at all. Certificates assume that they do not; some
 * convolution algorithms leak across the receptive field, and which one runs depends on device, type of number and batch. A
 * measurement counts for its own type and batch; the device is told, and does not decide. It is evidence, not proof. */
#ifndef PG_MODELS_LOCALITY_H
#define PG_MODELS_LOCALITY_H

#include "models/model.h"

typedef struct pg_locality_request {
    const char *data_dir, *dataset; /* images to patch */
    const char *device;             /* "auto", "cpu", "cuda:N" */
    pg_dtype dtype;
    int batch;                      /* images a forward pass, as in evaluation */
    int threads;                    /* 0: all */
    int64_t trials;                 /* random contents in random patches, one an image */
    uint64_t seed;
} pg_locality_request;

/* Measures the weights in a file. PG_EINPUT where data set and model differ in size. */
int pg_locality_measure(const char *weights, const pg_locality_request *request, pg_locality *out) PG_MUST_USE;

/* Writes a measurement into the record of a weights file (another file content, another hash); atomic. */
int pg_locality_record(const char *weights, const pg_locality *locality) PG_MUST_USE;

/* Change that counts as any change: 2048, on the grid. */
#define PG_LOCALITY_MAX ((int64_t)1 << 31)

/* The most units of the grid that two values can lie apart, rounded to it, if `change` >= 0 is between them; PG_LOCALITY_MAX for a
 * NaN. Not taken of the rounded values: confidences read logits where the grid saturates, too. */
int64_t pg_locality_units(double change);

/* "DELTA:TRIALS:DTYPE:DEVICE:BATCH", as weights files record it. */
enum { PG_LOCALITY_TEXT = 96 };
void pg_locality_format(const pg_locality *locality, char text[PG_LOCALITY_TEXT]);
int pg_locality_parse(const char *text, pg_locality *out) PG_MUST_USE; /* PG_EDAMAGED */

#endif
