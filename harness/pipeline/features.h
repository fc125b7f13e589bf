/* Local logits of a run of images, as `run` computes them, written for `certify` and other programs. */
#ifndef PG_PIPELINE_FEATURES_H
#define PG_PIPELINE_FEATURES_H

#include "harness/data/dataset.h"
#include "models/model.h"

typedef struct pg_features_request {
    const char *data_dir, *dataset;
    const char *weights;
    const char *const *pairs; /* options of the null model */
    size_t n_pairs;
    const char *device;
    int threads, batch;
    pg_dtype dtype;
    bool all;             /* the whole split; else: */
    int64_t first, end;   /* images first to end - 1 */
    const char *outputs;  /* the output of each label (models/classes.h); NULL: found by the classes that the weights store */
    bool predicts_labels; /* classes are the outputs that are labels, else all outputs */
    const char *folder;
    bool force; /* over files of the same names that are not from `features` */
} pg_features_request;

/* Writes features.npy (float32 [n][H][W][N]), labels.npy (int32 [n]) and meta.json into the folder, which is made where it is
 * missing. Each file appears whole, meta.json last; after a failure none of them changed.
 * PG_EINTERRUPTED where a signal asked to stop (pg_signals_stopping). */
int pg_features_write(const pg_features_request *request) PG_MUST_USE;

#endif
