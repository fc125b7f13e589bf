/* Training. One run is a pure function of its options, seed, data and number of threads: random numbers come from counters, and
 * a checkpoint is written after every epoch, so that a run that was killed goes on from there and ends in the same bytes. */
#ifndef PG_MODELS_TRAIN_H
#define PG_MODELS_TRAIN_H

#include "models/model.h"

typedef struct pg_train_options {
    int64_t epochs, batch, warmup, crop, cutout, cutouts, hardest, positions, mask, seed;
    double rate, momentum, decay, smoothing, ema;
    bool flip, nesterov, half;
    int schedule, dtype, evidence, masking;
    int64_t threads; /* recorded only */
} pg_train_options;

enum { PG_TRAIN_LOGITS, PG_TRAIN_CONFIDENCE };     /* evidence */
enum { PG_TRAIN_MASK_LABEL, PG_TRAIN_MASK_TWICE }; /* masking */

/* Choices of schedule and dtype. */
enum { PG_SCHEDULE_COSINE, PG_SCHEDULE_STEP };
enum { PG_TRAIN_AUTO, PG_TRAIN_F32, PG_TRAIN_BF16 };

/* The option table behind pg_train_options: --epochs, --batch and so on. */
extern const pg_option pg_train_option_table[];

typedef struct pg_train_job {
    const pg_model *model;
    const void *config; /* resolved */
    const char *data_dir;
    const char *data, *val; /* data sets; val NULL: none */
    const char *from;       /* weights file to start from (models/start.h); NULL: from the seed */
    const char *outputs; /* of `from`, the output of each label (models/classes.h); "new": the head starts from the seed; NULL:
                            found by the classes that the file stores */
    const char *out;     /* weights file; OUT.checkpoint and OUT.log.csv beside it while training */
    const char *device;
    const pg_train_options *options;
} pg_train_job;

/* Trains and writes the weights. Goes on from OUT.checkpoint where it belongs to the same options (PG_EINPUT where it does
 * not). PG_EINTERRUPTED after SIGINT or SIGTERM, with the last epoch kept. */
int pg_train(const pg_train_job *job) PG_MUST_USE;

#endif
