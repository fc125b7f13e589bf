/* A defense turns the local logits of an image into a prediction and a certificate.
 *
 * It is integer arithmetic on one tensor: evidence q[H][W][N] on the grid of 2^-20 (defenses/evidence.h), and knows nothing of
 * models, files or GPUs. Every rule is defined and its certificate proved in defenses/CERTIFICATES.md, in the section that its
 * file names. Hooks are pure: no state is kept between calls, so one descriptor serves every thread.
 *
 * At the level of features the tensor is the map of local logits of a model. At the level of images a defense first says which
 * masked images a model is to see, parts of them hidden, one for each position of a map of its own: the tensor is then
 * that of their logits, and all else is the same. */
#ifndef PG_DEFENSES_DEFENSE_H
#define PG_DEFENSES_DEFENSE_H

#include "harness/base/module.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pg_level { PG_LEVEL_FEATURE, PG_LEVEL_IMAGE } pg_level;
typedef enum pg_feature { PG_FEATURE_LOGITS, PG_FEATURE_CONFIDENCE, PG_FEATURE_PREDICTION } pg_feature;

/* How local logits become evidence: what has to be equal for two cells to share one integer tensor. */
typedef struct pg_evidence_spec {
    pg_feature feature;
    double temperature;      /* of the softmax behind confidences and votes: its logits are divided by it; 0 stands for 1 */
    double theta;            /* prediction only; 0: one vote for the arg max, > 0: a vote for every class at or above it */
    double clip_lo, clip_hi; /* after the feature type; -INFINITY, INFINITY: not clipped */
    bool tanh_cbn;           /* tanh(0.05 u - 1) instead of clipping (Clipped BagNet) */
} pg_evidence_spec;

/* The most that one value of evidence can change where a logit changes by at most `logit_delta` grid units (measured locality):
 * nothing moves a logit or a tanh further than the logit itself, nor a confidence further than the logit over the temperature,
 * up to one unit of rounding, and nothing further than from one end of its range to the other; a vote may flip
 * (defenses/CERTIFICATES.md, section 4). */
int64_t pg_evidence_delta(const pg_evidence_spec *spec, int64_t logit_delta);

/* The integer tensor of one image. Rows, columns, classes: q[(row * width + column) * classes + c]. */
typedef struct pg_evidence {
    const int32_t *q;
    int height, width, classes;
    bool wrap_rows, wrap_columns;
    const pg_evidence_spec *spec;
    const double *values; /* as q, before rounding; for predict_double alone, else NULL */
} pg_evidence;

typedef struct pg_window {
    int height, width; /* positions a patch can touch, each already cut to the map; >= 1 */
} pg_window;

/* The map as a surrogate sees it. */
typedef struct pg_map {
    int height, width, classes;
    bool wrap_rows, wrap_columns;
    pg_window window; /* cut to the map */
} pg_map;

/* The evidence of a map: q and spec are borrowed. */
static inline pg_evidence pg_evidence_of(const pg_map *map, const int32_t *q, const pg_evidence_spec *spec)
{
    return (pg_evidence){q, map->height, map->width, map->classes, map->wrap_rows, map->wrap_columns, spec, NULL};
}

/* One worst case that an audit asks for: the window at (top, left), for a rival of the label. */
typedef struct pg_worst {
    int label, rival, top, left;
    int variant; /* 0, 1, ...: different ways to attack the same window for the same rival */
} pg_worst;

/* An image and a patch on it, pixels. */
typedef struct pg_image_patch_size {
    int height, width, patch_height, patch_width;
} pg_image_patch_size;

/* A rectangle of pixels in which a masked image differs from its image, and the position of the masked image that differs there
 * alone. left_out: a network of tokens is to leave out those that are hidden wholly; the same for all parts. */
typedef struct pg_mask_part {
    int position, top, left, height, width;
    bool left_out;
} pg_mask_part;

/* ---- Votes with measured locality (defenses/votes.h) ---- */

struct pg_defense;
/* Whether this rule certifies this evidence, where a logit changes by at most `logit_delta` grid units, by the votes that are
 * sure. */
bool pg_votes_sure(const struct pg_defense *defense, const pg_evidence_spec *spec, int64_t logit_delta);

struct pg_scope; /* models/torch/torch.h */
struct pg_tensor;

typedef enum pg_certificate {
    PG_CERTIFICATE_NONE,  /* printed, never counted (published but unsound) */
    PG_CERTIFICATE_SOUND, /* a proof; may refuse images that no attack breaks */
    PG_CERTIFICATE_EXACT, /* a proof, and some contents of a window break every refused image: of features, not of pixels; up to
                             ties, and to the end of the grid, where what saturates may outweigh a window */
} pg_certificate;
extern const char *const pg_certificate_names[]; /* "none", "sound", "exact" */

typedef struct pg_verdict {
    int prediction;           /* class, or -1 where the tensor holds a NaN or an infinity */
    bool certified;           /* counted certificate */
    bool certified_published; /* the paper's own certificate, where the rule has one (robust-masking, predicted) */
    bool has_margin;
    bool masked;         /* masking defenses: something is masked on the clean tensor */
    int8_t failure_case; /* 0..4 for robust-masking predicted, else -1 */
    int64_t margin;      /* grid units (2^-20), if has_margin */

    /* optional: no change of up to half a unit in every value, nor rounding in sums of doubles, gives another prediction;
     * spares predict_double */
    bool decided;
    /* What the grid did to the image, set by the certifier and not by rules (defenses/certifier.h). Saturated: a value that the
     * rule reads, after feature type and clip, lies beyond +-1024, where the grid ends. Differs: predict_double, where the rule
     * has it, gives another class than `prediction`. */
    bool saturated, differs;
} pg_verdict;

typedef struct pg_defense {
    pg_module module;
    pg_level level;
    bool masks; /* optional: the rule masks; its verdicts say whether on the clean tensor, for the false-positive rate */
    bool tie_certified; /* optional: an image may be certified that an attack can bring to a tie, which the label then wins;
                           where it is not set, reaching a tie counts as broken */
    bool
        monotone; /* optional: what certifies some evidence with delta > 0 also certifies, with delta 0, every other that has at
                     least as much for the label and at most as much for every other class outside the windows. Votes are then
                     certified with measured locality by what is sure of them (defenses/votes.h); else any vote may flip */
    /* required: what the certificate of this configuration is worth; also false `available` reasons for users */
    pg_certificate (*certificate)(const void *config);
    /* required: the evidence this configuration reads */
    void (*evidence)(const void *config, pg_evidence_spec *out);
    /* optional: refuses options that make no sense on maps of this size; PG_EINPUT with a message */
    int (*check)(const void *config, int height, int width, int classes);
    /* required at image level, and only there: the map of the masked images: height, width, wrap, and as its window the
     * most positions whose masked images such a patch changes, wherever it lies. PG_EINPUT with a message where there is no
     * such map. */
    int (*masked_map)(const void *config, const pg_image_patch_size *size, pg_map *map);
    /* required at image level, and only there: the masked image at a position of that map, out[3][height][width] of pixels
     * alike. Returns the first position, row * map width + column, whose masked image is the same for every image, and writes
     * `out` where it is this one. */
    int (*mask_image)(const void *config, const pg_image_patch_size *size, int row, int column, const uint8_t *pixels,
                      uint8_t *out);
    /* optional, at image level only: the pixels in which the masked image at a position differs from the image, as at most two
     * rectangles, each with the position whose masked image differs in that one alone, and there in the same way. Returns how
     * many; 0: not stated. Where they are stated, early features of masked images are put together from those of the image and
     * of the parts (defenses/CERTIFICATES.md, section 16). */
    int (*mask_parts)(const void *config, const pg_image_patch_size *size, int row, int column, pg_mask_part parts[2]);
    /* optional, at image level only: the positions whose masked images have to be run next, next[], in the order of need.
     * Returns how many, fewer than all that it may come to want where some of them may settle the rest; 0: prediction and
     * certificate are what they would be with all positions, `evidence` being 0 where it is not `known`. label -1: for the
     * prediction alone. `next` has room for all positions; those whose masked images are the same are known together, and one
     * of them is enough. `scratch` as for certify, n = 1. NULL: all positions. */
    int (*wanted)(const pg_evidence *evidence, const bool *known, int label, const void *config, void *scratch, int *next);
    /* required: one image, `n` resolved configurations that share the evidence. label in [0, classes).
     * delta >= 0: measured locality in grid units. Writes out[n]. `scratch` has the bytes that scratch_size stated
     * and is aligned to 64 bytes. Cannot fail; what it says is checked (pg_verdict_check). */
    void (*certify)(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                    size_t n, void *scratch, pg_verdict *out);
    /* required with certify: bytes of scratch for maps up to height x width x classes and n configurations */
    size_t (*scratch_size)(int height, int width, int classes, size_t n);
    /* required: the prediction alone, the only evaluator of an audit; config resolved */
    int (*predict)(const pg_evidence *evidence, pg_window window, const void *config, void *scratch);
    /* optional: the same predictions from evidence->values, the rule computed in double, lowest class among equals; out[n].
     * Counts images that the grid changes; certificates never read it. `scratch` as for certify. NULL: no such count. */
    void (*predict_double)(const pg_evidence *evidence, pg_window window, const void *const *configs, size_t n, void *scratch,
                           int *out);
    /* required with masks: the place of the window that the rule leaves out of the score of class `c`; false, with top and left
     * unspecified, where it leaves out none. `scratch` as for certify, n = 1. For pictures. */
    bool (*masked)(const pg_evidence *evidence, pg_window window, const void *config, int c, void *scratch, int *top,
                   int *left);

    /* ---- optional: what an attacker who knows the defense does. An attack differentiates the surrogate, an audit places the
     * worst contents; `predict` alone evaluates either. */
    /* kinds of surrogate of this configuration, >= 1; NULL: 1 */
    int (*surrogates)(const void *config);
    /* Scores of all classes, built in the scope over local logits [n][classes][H][W] with labels (i64 [n]): [n][classes], on
     * the scale of one local logit. Kind 0 is the deployed score, with a gradient where the deployed one has none; further
     * kinds are other objectives. NULL hook: attacked through the mean of the local logits. */
    struct pg_tensor *(*surrogate)(struct pg_scope *s, const void *config, int kind, const pg_map *map,
                                   struct pg_tensor *logits, struct pg_tensor *labels);
    int surrogate_version; /* required with surrogate, >= 1: raised whenever the surrogate changes; part of attacked cells */
    /* Contents of one window, contents[height * width][classes] by rows of the window, on the grid and within the range of the
     * evidence (unbounded: within +-PG_EVIDENCE_MAX), that do the most harm. false: there is no such variant (variants have no
     * gaps). `evidence` is clean; `scratch` as for certify, n = 1. */
    bool (*worst)(const pg_evidence *evidence, pg_window window, const void *config, const pg_worst *which, void *scratch,
                  int32_t *contents);
} pg_defense;

/* The list that make gathers from the PG_DEFENSE(...) lines of defenses/, sorted by name, and behind them those of plug-ins;
 * NULL-terminated. It changes only where a plug-in is loaded, before any other thread starts. */
extern const pg_defense *pg_defenses[];
extern const size_t pg_defenses_max;
int pg_defense_check(const pg_defense *defense) PG_MUST_USE; /* its required hooks; PG_EINPUT */
/* Whether a rule can mean what it says of itself: the evidence that it reads, the worth of its certificate, its scratch memory.
 * PG_EINPUT with the reason; the caller names the rule. */
int pg_rule_check(const pg_defense *defense, const void *config, int height, int width, int classes) PG_MUST_USE;
/* Adds one, of a plug-in: PG_EINPUT where a required hook is missing or there is no room. Its module is checked already. */
int pg_defense_add(const pg_defense *defense) PG_MUST_USE;
/* The named defense, or NULL with PG_EINPUT's message (nearest name). */
const pg_defense *pg_defense_find(const char *name);

/* In a defense's file: PG_DEFENSE(robust_masking) names `const pg_defense pg_defense_robust_masking`. */
#define PG_DEFENSE(id) extern const pg_defense pg_defense_##id;

#endif
