/* Batches of images for training, made ahead by threads: while one batch is computed with, the next one is read, decoded and
 * augmented. Memory is that of two batches, however large the data set is. What an image of a batch is depends on its number
 * only, and never on the threads. One thread calls these functions. */
#ifndef PG_MODELS_PREFETCH_H
#define PG_MODELS_PREFETCH_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pg_prefetch pg_prefetch;

/* Images 0 .. images - 1 of a pass, `batch` at a time; the last batch may be smaller. */
typedef struct pg_prefetch_pass {
    int64_t images, batch;
    size_t image_bytes; /* of one image */
    /* Called by several threads at a time: image i as pixels[image_bytes], with its label; scratch[image_bytes] is the
     * thread's. */
    int (*make)(const void *context, int64_t i, uint8_t *scratch, uint8_t *pixels, int64_t *label);
    const void *context; /* borrowed until the pass ends */
} pg_prefetch_pass;

/* *new*, pg_prefetch_free. Its passes have at most `batch` images a batch, of at most image_bytes. Starts as many threads as
 * there are cores, up to 8; before libtorch is loaded, which may pin the thread that loads it. PG_ENOMEM. */
int pg_prefetch_new(int64_t batch, size_t image_bytes, pg_prefetch **out) PG_MUST_USE;
void pg_prefetch_free(pg_prefetch *prefetch); /* NULL is fine */
/* Starts a pass; what is left of the one before is dropped. */
void pg_prefetch_start(pg_prefetch *prefetch, const pg_prefetch_pass *pass);
/* Waits for the next batch: pixels[n][image_bytes] and labels[n], borrowed until the next call; *n is 0 behind the last. The
 * error of `make` where it failed, with its message. */
int pg_prefetch_next(pg_prefetch *prefetch, const uint8_t **pixels, const int64_t **labels, int64_t *n) PG_MUST_USE;

#endif
