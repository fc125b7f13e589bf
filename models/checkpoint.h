/* The state of a training run between epochs, and its file. */
#ifndef PG_MODELS_CHECKPOINT_H
#define PG_MODELS_CHECKPOINT_H

#include "models/classes.h"
#include "models/network.h"
#include "models/train.h"

typedef struct pg_epoch {
    double loss, val_accuracy; /* NaN: not validated */
} pg_epoch;

typedef struct pg_checkpoint {
    pg_parameters current, averaged, momenta; /* the same names and shapes */
    pg_epoch *epochs;
    int64_t n_epochs;
    bool done;          /* OUT holds the weights of this very command: nothing is left to do */
    char *command;      /* canonical: what has to be equal for a run to go on, and what the weights record */
    pg_classes classes; /* that the weights record */
} pg_checkpoint;

/* A fresh start on images to train on (weights from the seed, or those of job->from), or the state in OUT.checkpoint. PG_EINPUT
 * where that file belongs to another command, PG_EDAMAGED where it is not whole. */
int pg_checkpoint_start(pg_checkpoint *c, pg_scope *scope, const pg_train_job *job, pg_dataset *images, bool bf16) PG_MUST_USE;
/* PG_EINPUT, and nothing written, where a value is not finite. */
int pg_checkpoint_save(const pg_checkpoint *c, pg_scope *scope, const char *out) PG_MUST_USE;
int pg_checkpoint_add_epoch(pg_checkpoint *c, double loss, double val_accuracy) PG_MUST_USE;
/* Appends [{"loss":..,"val":..},..]. */
void pg_checkpoint_curve(const pg_checkpoint *c, pg_buf *out);
int pg_checkpoint_remove(const char *out) PG_MUST_USE;
void pg_checkpoint_release(pg_checkpoint *c, const pg_torch *torch);

#endif
