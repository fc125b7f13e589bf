/* Attacks images of a cell, and evaluates what was found by the deployed path: the patch is rounded to 8 bits and pasted here,
 * the whole image goes through the network in the batches of `run`, and the integer rule of the defense predicts. The attack
 * itself is not believed: a patch that is not finite, leaves [0, 1] or lies outside the image is an error that names the
 * attack. Where a resize lies between the patch and the network, the image with the patch is resized here, byte for byte as the
 * data set does it. */
#ifndef PG_TARGET_ATTACKER_H
#define PG_TARGET_ATTACKER_H

#include "attacks/attack.h"
#include "defenses/defense.h"
#include "harness/data/resize.h"
#include "models/model.h"

typedef struct pg_attack_job {
    pg_network *network; /* borrowed until close */
    int batch;           /* images of one pass of it */
    const pg_attack *attack;
    const void *attack_config; /* resolved; borrowed */
    const pg_defense *defense;
    const void *config; /* resolved; borrowed */
    pg_window window;
    const pg_resizing *resize;     /* between the patch and the network, borrowed until close; NULL: none */
    int patch_height, patch_width; /* pixels of what it is put on */
    /* of an attack that puts patches of a file on (attacks/attack.h): the hash of what was planned, borrowed for the call;
     * NULL: any */
    const char *patches_hash;
    uint64_t seed;
    const char *data_dir, *dataset; /* "cifar10:test", "cifar10:test@192": where training images come from */
    bool (*stopping)(void);         /* optional */
    void (*progress)(void *watcher, int64_t pass, int64_t passes); /* optional: as of a victim */
    void *watcher;
} pg_attack_job;

typedef struct pg_attack_result {
    int64_t image;
    int top, left, target; /* target -1: untargeted */
    double loss;
    int64_t steps;
    int before, after; /* predictions by the deployed path; -1: not finite */
    uint8_t *patch;    /* [3][patch_height][patch_width], rounded; memory of the caller */
} pg_attack_result;

typedef struct pg_attacker pg_attacker;

/* *new*, pg_attacker_close. Prepares the attack where it learns first. */
int pg_attacker_open(const pg_attack_job *job, pg_attacker **out) PG_MUST_USE;
void pg_attacker_close(pg_attacker *attacker);
/* The prediction of the defended classifier from an image's local logits [H][W][classes]; -1: not finite. PG_EINPUT where the
 * rule of a plug-in says what is no class. */
int pg_attacker_predict(pg_attacker *attacker, const float *logits, int64_t image, int *prediction) PG_MUST_USE;
/* Attacks examples[n]; prediction and logits of each are those of the clean forward pass; with a resize, `resized` is what that
 * made of its pixels. Writes results[n] in their order. */
int pg_attacker_run(pg_attacker *attacker, const pg_example *examples, size_t n, pg_attack_result *results) PG_MUST_USE;

#endif
