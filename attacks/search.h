/* The loop that attacks share: images take slots of the victim, every pass moves all slots, and an image that is done makes
 * room for the next one.
 *
 * An image is attacked in **attempts**, one after the other. An attempt begins with a patch of the attack's choice, is moved
 * after each pass, and ends after `steps` moves, that is after steps + 1 passes. The victim's evaluator is asked after every
 * pass, and the first patch that it says is broken ends the image. Otherwise the patch with the largest margin
 * (attacks/objective.h) is what the attempt leaves.
 *
 * What one image goes through never depends on the others. */
#ifndef PG_ATTACKS_SEARCH_H
#define PG_ATTACKS_SEARCH_H

#include "attacks/objective.h"
#include "attacks/draw.h"
#include "attacks/location.h"

/* One image on its way. Arrays have the size of a patch, [3][patch_height][patch_width]. */
typedef struct pg_trial {
    const pg_example *example;
    pg_attack_outcome *outcome; /* the best of all attempts so far */
    int slot;                   /* of the victim */
    int64_t attempt;            /* this one: 0, 1, ... */
    int64_t pass;               /* passes of this attempt */
    int kind, top, left;        /* of this attempt */
    int target;                 /* a class or PG_TARGET_NONE; PG_TARGET_RUNNER_UP until the first attempt has begun */
    double margin;              /* of the last pass; 0 where the victim has no scores */
    double best;                /* for the attack: -INFINITY when an attempt begins */
    int prediction;             /* of the last pass, by the evaluator */
    float *patch;               /* of the next pass, in [0, 1] */
    float *gradient;            /* d margin / d patch of the last pass */
    float *memory;              /* for the attack: zero when an attempt begins */
    void *own;                  /* for the attack: NULL when an image begins, given to free() when it ends */
    pg_place *ranked;           /* location gradient: n_ranked places, best first */
    int n_ranked;
    bool held; /* the victim holds this image at (top, left) */
} pg_trial;

typedef struct pg_search pg_search;
struct pg_search {
    /* what `run` of the attack is given */
    const void *config, *state;
    uint64_t seed;
    pg_victim *victim;
    /* of the attack: asked before any work */
    int (*check)(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes);
    const pg_objective *objective;
    int64_t steps;
    int64_t attempts; /* of an image, at most; 0: not known. For progress alone */
    bool gradients;   /* `move` wants them */
    bool every_image; /* also those that need no patch */
    bool pass_over;   /* images whose label is the target are left alone, not broken; without it they are an error */

    /* Chooses the place (pg_search_hold, pg_search_next_place) and writes the first patch of trial->attempt; *more false: there
     * is no such attempt. */
    int (*begin)(pg_search *search, pg_trial *trial, bool *more);
    /* The next patch after a pass that was not the last of the attempt; NULL where steps is 0. */
    void (*move)(pg_search *search, pg_trial *trial);
    /* optional: one pass that yields other scores [n][classes] than the victim's; NULL after a failure of the
     * scope or of *code */
    pg_tensor *(*scores)(pg_search *search, int n, pg_trial *const *trials, const int *slots, const float *patches, int *code);
    /* optional: takes note of a pass in trial->outcome, and says whether image or attempt are done; the rule told above without
     * it */
    void (*note)(pg_search *search, pg_trial *trial, bool *attempt_done, bool *image_done);

    double *margins; /* of the loop: what was found for the image of each slot */
};

/* Attacks all examples; fills in what attack.h asks for. search->margins is the loop's own. */
int pg_search_run(pg_search *search, const pg_example *examples, size_t n, pg_attack_outcome *outcome) PG_MUST_USE;

/* ---- For `begin` */

/* Puts the image into its slot with the patch there, unless it is there already. */
int pg_search_hold(pg_search *search, pg_trial *trial, int top, int left) PG_MUST_USE;
/* Attempts go through all places of the image first, then through them again: `rounds` times. Sets *round of this attempt and
 * holds the image at its place. */
int pg_search_next_place(pg_search *search, pg_trial *trial, const pg_location *location, int64_t rounds, int64_t *round,
                         bool *more) PG_MUST_USE;
/* Writes the image's own pixels at the place of the trial, as if there were no patch. */
void pg_search_own_pixels(const pg_search *search, const pg_trial *trial, float *patch);
size_t pg_search_patch_size(const pg_search *search); /* values in a patch */

/* What a pass has found, by the rule above; for `note`. */
void pg_search_keep(pg_search *search, pg_trial *trial, double margin, bool broken);

#endif
