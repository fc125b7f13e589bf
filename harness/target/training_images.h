/* Images of a data set with what the deployed path says of them, for attacks that learn first (attacks/attack.h,
 * pg_training_images). They are forwarded batch by batch when they are asked for; the batches last used are kept, and a copy of
 * the image in each slot. One thread. */
#ifndef PG_TARGET_TRAINING_IMAGES_H
#define PG_TARGET_TRAINING_IMAGES_H

#include "attacks/attack.h"
#include "harness/data/resize.h"
#include "harness/target/evaluator.h"

typedef struct pg_training_loader pg_training_loader;

/* *new*, pg_training_images_close. dataset "cifar10:train" or "cifar10:train@192", of the network's size and classes; network
 * and evaluator are borrowed until close. With `resize`, examples have the pixels before it, and what it makes of them as
 * `resized`. PG_EINPUT, PG_EMISSING, PG_ENOMEM, ... */
int pg_training_images_open(const char *data_dir, const char *dataset, pg_network *network, int batch, pg_evaluator *evaluator,
                            int slots, const pg_resizing *resize, pg_training_loader **out) PG_MUST_USE;
void pg_training_images_close(pg_training_loader *loader);
/* As attacks read them; good until close. */
const pg_training_images *pg_training_images_of(const pg_training_loader *loader);

#endif
