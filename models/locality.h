/* Locality, measured: whether positions that a patch cannot reach change at all, and how far an image's logits move with its
 * place in a batch and with the batch. Certificates assume that nothing changes but by a known amount. Some convolution
 * algorithms leak across the receptive field, and kernels round the last places of a batch, or another batch, in another order;
 * which one runs depends on device, instruction set, type of number and batch. It is evidence, not proof.
 *
 * What was measured stands in two places. Training writes a line into the metadata of the weights, which are new then. Whatever
 * is measured later goes into a text file beside them, WEIGHTS.locality: the weights keep their hash, and cells their identity,
 * as long as nothing larger is found than the metadata says.
 *
 *     patchgauge.locality 1
 *     sha256=HEX                    of the weights: a file of other weights says nothing
 *     delta=0 trials=256 outside=256 elsewhere=0 moved=176 images=128 batches=1,16,64,128 dtype=fp32 device=cpu isa=avx512
 * batch=128
 *
 * One line for each dtype, device, instruction set and batch; `isa` is left out where it is not known.
 *
 * A certificate with room for `delta` = max(delta, elsewhere) + moved holds wherever the image stands in a batch (delta =
 * "any-batch" of a matrix): defenses/CERTIFICATES.md, section 4. Nothing is claimed of images that are not certified, nor of
 * batches, libraries and numbers of threads that were not measured. */
#ifndef PG_MODELS_LOCALITY_H
#define PG_MODELS_LOCALITY_H

#include "models/model.h"

typedef struct pg_locality_request {
    const char *data_dir, *dataset; /* images to patch */
    const char *device;             /* "auto", "cpu", "cuda:N" */
    pg_dtype dtype;
    int batch;      /* images a forward pass, as in evaluation */
    int threads;    /* 0: all */
    int64_t trials; /* random contents in random patches, one an image; made whole batches, so that every place has one */
    uint64_t seed;
    bool moved; /* other places and other batches as well */
} pg_locality_request;

/* Measures the weights in a file. PG_EINPUT where data set and model differ in size. */
int pg_locality_measure(const char *weights, const pg_locality_request *request, pg_locality *out) PG_MUST_USE;

/* Writes a measurement into the metadata of a weights file (another file content, another hash); atomic. */
int pg_locality_record(const char *weights, const pg_locality *locality) PG_MUST_USE;

/* Puts a measurement into the file beside the weights, in the place of one of its kind: the larger changes stay. *locality
 * becomes what stands there. Atomic. PG_EINPUT where it holds PG_LOCALITY_LINES others. */
int pg_locality_add(const char *weights, pg_locality *locality) PG_MUST_USE;
/* Reads that file into info->measured; its hash is there. No file: none. PG_EDAMAGED with file and line. */
int pg_locality_read(const char *weights, pg_weights_info *info) PG_MUST_USE;

/* Change that counts as any change: 2048, on the grid. */
#define PG_LOCALITY_MAX ((int64_t)1 << 31)

/* The most units of the grid that two values can lie apart, rounded to it, if `change` >= 0 is between them; PG_LOCALITY_MAX
 * for a NaN. Not taken of the rounded values: confidences read logits where the grid saturates, too. */
int64_t pg_locality_units(double change);

/* "DELTA:TRIALS:DTYPE:DEVICE:BATCH" and ":ISA" where it is known, as metadata has it; TRIALS are those with a
 * position outside. */
enum { PG_LOCALITY_TEXT = 144 };
void pg_locality_format(const pg_locality *locality, char text[PG_LOCALITY_TEXT]);
int pg_locality_parse(const char *text, pg_locality *out) PG_MUST_USE; /* PG_EDAMAGED */

#endif
