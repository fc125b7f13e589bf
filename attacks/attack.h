/* An attack finds the pixels of a patch that make a defended classifier err.
 *
 * It sees images and a *victim*: the defended classifier as an attacker has it, with scores that have gradients and an
 * evaluator. How model and defense are made it never sees; tests give it victims of their own. What an attack finds is only a
 * claim: the harness pastes the patch into the image, rounded to 8 bits, and asks the deployed path again.
 *
 * Random numbers come from pg_rng by (seed, PG_STREAM_ATTACK, index of the image), so they depend neither on batch size nor on
 * threads nor on what else is attacked. One victim and one attack run per thread. */
#ifndef PG_ATTACKS_ATTACK_H
#define PG_ATTACKS_ATTACK_H

#include "harness/base/module.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_patches; /* harness/data/patches.h */
struct pg_scope;
struct pg_tensor;

/* An image as an attack gets it; everything borrowed. */
typedef struct pg_example {
    int64_t index; /* in its data set */
    int label;
    int prediction;        /* of the defended classifier, without a patch */
    const uint8_t *pixels; /* [3][image_height][image_width] of the victim */
    const float *logits;   /* clean local logits [H][W][classes], for the victim; NULL where the victim needs none */
    /* the image as the network takes it, for the victim, where the patch is put on before a resize; NULL: `pixels` is that */
    const uint8_t *resized;
} pg_example;

/* What was found for an image. */
typedef struct pg_attack_outcome {
    bool broken;   /* the victim's evaluator said so at this patch; untargeted: not the label, targeted: the target */
    int top, left; /* where the patch lies */
    int target;    /* -1: untargeted */
    double loss;   /* of the attack at this patch: larger is closer to success; 0 where there was nothing to do */
    int64_t steps; /* forward passes that this image took, all places and restarts together; 0: there was nothing to do */
    float *patch;  /* [3][patch_height][patch_width] in [0, 1]; memory of the caller */
} pg_attack_outcome;

/* The defended classifier. Filled in by the harness (harness/target/victim.h) or by a test; an attack only calls it.
 *
 * A victim holds up to `slots` images at a time, each with the place of its patch; everything outside what the patch can touch
 * is computed once, when the image is put there. Codes: PG_OK or a failure with its message; tensors are NULL after a failure
 * of the scope (check with pg_scope_check, then clear the scope). */
typedef struct pg_victim pg_victim;

/* What a kind of victim does. */
typedef struct pg_victim_ops {
    /* Puts an image into a slot, with the patch at (top, left). The example stays valid until the slot is filled again. */
    int (*hold)(pg_victim *victim, int slot, const pg_example *example, int top, int left);
    /* One forward pass over n <= slots images: patches[n][3][patch_height][patch_width] in [0, 1], which are rounded to 8 bits
     * first. Scores [n][classes], on the scale of one local logit, differentiable with respect to the patches. */
    struct pg_tensor *(*scores)(pg_victim *victim, int n, const int *slots, const float *patches, int kind);
    /* The same pass, but the local logits that the patches can touch: [n][classes][positions]. */
    struct pg_tensor *(*local_logits)(pg_victim *victim, int n, const int *slots, const float *patches);
    /* d loss / d patches of the last pass: out[n][3][patch_height][patch_width]. loss: one element. */
    int (*gradient)(pg_victim *victim, struct pg_tensor *loss, float *out);
    /* Image i of the last pass: the prediction of the defended classifier itself. -1: not finite. */
    int (*evaluate)(pg_victim *victim, int i, int *prediction);
    /* How much each pixel matters on the clean image: sum over colours of |d (best wrong score - score of the label) / d
     * pixel|, out[image_height][image_width]. NULL without gradients. */
    int (*saliency)(pg_victim *victim, const pg_example *example, float *out);
    bool (*stopping)(pg_victim *victim); /* optional; a signal asked to stop: run returns PG_EINTERRUPTED */
    void (*close)(pg_victim *victim);    /* the owner calls it, an attack never does */
} pg_victim_ops;

struct pg_victim {
    const pg_victim_ops *ops;
    /* of the tensors; the caller of a pass clears it. NULL: no gradients, scores come by `evaluate` */
    struct pg_scope *scope;
    int image_height, image_width, patch_height, patch_width; /* pixels of what the patch is put on */
    int classes;
    const int *outputs; /* the output of the network that each class is; NULL: class i is output i */
    int slots;          /* >= 1 */
    int kinds; /* >= 1: ways to score, each another objective of an attacker who knows the defense; kind 0 is the plain one */
    /* optional: told after each pass how many there were for the images in hand, and at most will be; 0: not known */
    void (*progress)(void *watcher, int64_t pass, int64_t passes);
    void *watcher;
};

/* The class that is this output of the network; -1: none is. */
int pg_victim_class(const pg_victim *victim, int64_t output);

/* What every attack lets its user choose; the first member of every attack's config. */
enum { PG_GRADIENT_DEFENSE, PG_GRADIENT_MEAN };
extern const char *const pg_attack_gradient_names[]; /* "defense", "mean" */
typedef struct pg_attack_common {
    int64_t batch; /* slots of the victim */
    int gradient;  /* of what the loss is computed and differentiated: the defense's surrogate (adaptive), or the mean of the
                      local logits */
} pg_attack_common;
/* clang-format off */
#define PG_ATTACK_COMMON_OPTIONS(config_type, batch_default)                                   \
    {"batch", PG_OPTION_INT, offsetof(config_type, common.batch), batch_default, 1, 4096,      \
     .help = "images attacked at a time"},                                                     \
    {"gradient", PG_OPTION_CHOICE, offsetof(config_type, common.gradient), "defense",          \
     .choices = pg_attack_gradient_names,                                                      \
     .help = "what is differentiated: the defense (adaptive) or the mean of the local logits"}
/* clang-format on */

/* Images that an attack may learn from before it is run (universal patches). */
typedef struct pg_training_images {
    int64_t count;
    void *context;
    /* 0 <= i < count, 0 <= slot < slots of the victim; valid until this slot is read again */
    int (*read)(void *context, int64_t i, int slot, pg_example *out);
} pg_training_images;

typedef struct pg_attack {
    pg_module module;
    bool needs_gradients; /* refuses victims without a scope */
    /* optional: split of the same data set whose images `prepare` learns from; required with prepare */
    const char *(*training_images)(const void *config);
    /* optional: learns a state that `run` uses for every image; *new*, release. PG_EINTERRUPTED, PG_EINPUT, ... */
    int (*prepare)(const void *config, uint64_t seed, pg_victim *victim, const pg_training_images *training_images,
                   void **state);
    void (*release)(void *state);
    /* required: refuses what cannot work on this victim before any work (a patch larger than the image: pg_attack_check_patch);
     * PG_EINPUT with a message */
    int (*check)(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes);
    /* optional: the class that no attacked image may have, where the options name one as the target of every image; -1: none */
    int (*fixed_target)(const void *config);
    /* optional: the file of patches that the attack puts on images, as the user wrote its name ("": none was given). The
     * harness reads it, makes its contents a part of identity, and hands it to `run` as the state. Such an attack asks no
     * victim (`run` gets one of sizes alone, and what it writes into `broken` does not count), has no prepare, and its
     * normalize sets `common` */
    const char *(*patches)(const void *config);
    /* required with patches: refuses what cannot work on images [first, first + count); 0 x 0 pixels: not known. PG_EINPUT */
    int (*check_patches)(const void *config, const struct pg_patches *patches, int image_height, int image_width,
                         int patch_height, int patch_width, int64_t first, int64_t count);
    /* required: attacks examples[n], in any order and any grouping; writes outcome[n]. An image that needs no patch
     * (untargeted: wrong already; targeted: the target already) is left alone: broken, 0 steps, and a patch of its own pixels;
     * not so where the objective is another than the prediction (local-logits). What is found for an image does not depend on n
     * or on the other examples, up to last bits that depend on its place in a batch. PG_EINPUT also where the target is the
     * label of an image, PG_EINTERRUPTED where the victim says so: nothing found counts then. */
    int (*run)(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples, size_t n,
               pg_attack_outcome *outcome);
} pg_attack;

/* The list that make gathers from the PG_ATTACK(...) lines of attacks/, sorted by name, and behind them those of plug-ins;
 * NULL-terminated. */
extern const pg_attack *pg_attacks[];
extern const size_t pg_attacks_max;
int pg_attack_check(const pg_attack *attack) PG_MUST_USE;
int pg_attack_add(const pg_attack *attack) PG_MUST_USE; /* as pg_defense_add */
/* The named attack, or NULL with PG_EINPUT's message (nearest name). "none" is no attack. */
const pg_attack *pg_attack_find(const char *name);

/* PG_OK, or PG_EINPUT where the patch does not fit into the image, or there is one class only. */
int pg_attack_check_patch(int image_height, int image_width, int patch_height, int patch_width, int classes) PG_MUST_USE;

#define PG_ATTACK(id) extern const pg_attack pg_attack_##id;

#endif
