/* Models turn images into local logits u[H][W][N] and state their geometry. They know nothing of defenses.
 *
 * An architecture is a const descriptor (pg_model); a network is an architecture with weights, ready to run. Describing a
 * weights file reads its header only and needs no libtorch; opening a network loads libtorch on first use. */
#ifndef PG_MODELS_MODEL_H
#define PG_MODELS_MODEL_H

#include "harness/base/hash.h"
#include "harness/base/module.h"

#include <stdbool.h>
#include <stdint.h>

/* One axis of the map: how positions see the input. */
typedef struct pg_axis {
    int positions; /* size of the map along this axis */
    int field;     /* receptive field, pixels; 0: every position sees the whole image, no window is smaller than the map */
    int stride;    /* pixels between neighbouring positions */
    int padding;   /* pixels before the first field starts */
    bool wrap;     /* fields wrap round the image's edge */
} pg_axis;
/* The axes that wrap, as an option's choice: the number of each is a set. */
enum { PG_WRAP_COLUMNS = 1, PG_WRAP_ROWS = 2 };
extern const char *const pg_wraps[]; /* "none", "w", "h", "hw", then NULL */

typedef struct pg_geometry {
    int input_height, input_width; /* pixels */
    pg_axis rows, columns;
    int classes;
} pg_geometry;

/* Whether a position of the axis sees any of the input pixels [start, start + length). */
bool pg_axis_meets(const pg_axis *axis, int input_px, int position, int start, int length);

/* Positions of one axis that a patch of `patch_px` input pixels can touch at the worst place, cut to the map.
 * PatchGuard, Eq. 2, but counted position by position, so that wrapping axes and edges are exact. */
int pg_axis_window(const pg_axis *axis, int input_px, int patch_px);
/* The most that this can be where the padding is not known: `padding` of the axis is not read. */
int pg_axis_window_most(const pg_axis *axis, int input_px, int patch_px);

typedef enum pg_dtype { PG_DTYPE_F32, PG_DTYPE_BF16 } pg_dtype;
extern const char *const pg_dtype_names[]; /* "fp32", "bf16", then NULL */

/* One measurement of a network's locality; see models/locality.h. Changes are of logits, in units of 2^-20. */
typedef struct pg_locality {
    bool measured;
    int64_t delta_grid; /* largest change at positions that do not depend on the patch, at the same place of the same batch */
    int64_t trials;     /* patches, */
    int64_t outside;    /* and those that some position does not depend on; -1: not recorded */
    pg_dtype dtype;     /* of the forward passes that were measured, */
    char device[8];     /* "cpu" or "cuda", */
    char isa[48];       /* the kind of its instruction set, "avx512"; "": not recorded, */
    int batch;          /* and their batch; 0: the model computes each position on its own, whatever these are */
    bool moved;         /* images were also run at other places of the batch and in the batches of `batches`: */
    int64_t elsewhere_grid; /* the first one there, */
    int64_t moved_grid;     /* and of an image without a patch, at any position, from what it has at its own place */
    int64_t images;
    char batches[48]; /* "1,16,64,128" */
} pg_locality;

enum { PG_LOCALITY_LINES = 16 };

/* What a weights file says of itself, from its header, and what was measured of it since. */
typedef struct pg_weights_info {
    char model[64]; /* architecture: pg_model name */
    int model_version;
    char hash[PG_HASH_HEX];                     /* SHA-256 of the file: part of identity */
    _Alignas(16) uint8_t config[PG_CONFIG_MAX]; /* resolved options of the architecture */
    pg_geometry geometry;
    char dataset_hash[PG_HASH_HEX];          /* of the training data, "" if unknown */
    pg_locality locality;                    /* of its metadata */
    pg_locality measured[PG_LOCALITY_LINES]; /* of the file of measurements beside it, n_measured of them */
    int n_measured;
    bool measured_of_another; /* there is such a file, and it is of other weights: nothing is taken from it */
} pg_weights_info;

/* What the measurements of a network say of passes of one type and batch: the largest change that any of them found, whatever
 * machine it was made on, so that all machines plan the same cells. */
typedef struct pg_locality_result {
    bool measured;
    bool none_outside;  /* not measured, since all positions depended on the patch in every trial */
    bool differs;       /* from what the metadata alone says */
    int64_t delta_grid; /* any_batch: with room for both changes */
    int64_t moved_grid; /* any_batch only */
    char batches[48];   /* any_batch only: tried */
    char kinds[256];    /* machines that it was measured on: "cpu avx2, cpu avx512"; "cpu": whatever instruction set; "": any
                           machine */
} pg_locality_result;
void pg_locality_find(const pg_weights_info *info, pg_dtype dtype, int batch, bool any_batch, pg_locality_result *out);
/* Whether such a list names this kind of machine. device: "cpu", "cuda:0"; isa "": not known, which only a kind without one
 * covers. */
bool pg_locality_names(const char *kinds, const char *device, const char *isa);

/* Describes weights: a safetensors file, or "null" for the built-in null model (options from `pairs`, n of them, "key=value").
 * PG_EMISSING, PG_EDAMAGED, PG_EINPUT. */
int pg_weights_describe(const char *weights, const char *const *pairs, size_t n, pg_weights_info *out) PG_MUST_USE;

#define PG_BATCH_DEFAULT 128 /* of evaluation, and so of locality */

typedef struct pg_network_options {
    const char *device; /* "auto", "cpu", "cuda", "cuda:N" */
    int place;          /* of this process among its like: "auto" and "cuda" take the GPU of this number, modulo those there */
    pg_dtype dtype;
    int batch;          /* images per forward pass; a smaller last batch is padded to it, so that results are reproducible */
    int threads;        /* 0: all cores this process may use */
    const int *outputs; /* of the network, n_outputs of them: these are its classes, in this order; NULL: all outputs are */
    int n_outputs;
} pg_network_options;

typedef struct pg_network pg_network;

/* *new*, pg_network_close. Weights as in pg_weights_describe; options are borrowed for the call. */
int pg_network_open(const char *weights, const char *const *pairs, size_t n, const pg_network_options *options,
                    pg_network **out) PG_MUST_USE;
void pg_network_close(pg_network *network);
const pg_weights_info *pg_network_info(const pg_network *network); /* borrowed */
/* The output that each class is; NULL: class i is output i. Borrowed. */
const int *pg_network_outputs(const pg_network *network);
const char *pg_network_device(const pg_network *network); /* "cpu", "cuda:0"; borrowed */
const char *
pg_network_isa(const pg_network *network); /* the kind of instruction set in effect, "avx512"; "": not known; borrowed */

/* Local logits of count <= batch images: pixels[count][3][input_height][input_width] as read from the data set, result
 * logits[count][H][W][N]. `first` is the index of the first image in its data set (only the null model looks at it). */
int pg_network_forward(pg_network *network, const uint8_t *pixels, int64_t first, int count, float *logits) PG_MUST_USE;
/* The same; of masked images only those that are wanted (pg_masked_images), for the certificates of labels[count], or for
 * predictions alone where labels is NULL. Local logits at positions that are not are 0. */
int pg_network_forward_wanted(pg_network *network, const uint8_t *pixels, int64_t first, int count, const int32_t *labels,
                              float *logits) PG_MUST_USE;
/* From here on at most this many images, 1 to batch, run at a time: where memory ran out. Fewer than the batch change the last
 * bits of local logits. Frees what a pass that failed left on the device. */
void pg_network_set_batch(pg_network *network, int images);

/* ---- What a patch can touch, differentiable: for attacks ---- */

/* Pixels or positions. On an axis that wraps, left + width may exceed the axis: the rest lies at its start. */
typedef struct pg_rect {
    int top, left, height, width;
} pg_rect;

/* `positions`: every position whose field meets the patch, and perhaps a few more; `pixels`: all that these positions see.
 * Patches of one size have crops of one size, wherever they lie, so that they make a batch. Pixels of the patch that no
 * position sees (the last rows and columns of some maps) may lie outside `pixels`. */
typedef struct pg_crop {
    pg_rect pixels, positions;
} pg_crop;
pg_crop pg_network_crop(const pg_network *network, pg_rect patch);

/* ---- Masked images in the place of an image: what an image-level defense makes of a network ---- */

/* Where a masked image differs from its image: pixels that the one at `position` differs in alone, and in the same way. */
typedef struct pg_masked_part {
    int position;
    pg_rect pixels;
    bool left_out; /* tokens that are hidden wholly are left out; PG_EINPUT where a network has no tokens */
} pg_masked_part;

typedef struct pg_masked_images {
    pg_axis rows, columns; /* of the map that results, one masked image a position; of these positions and wrap */
    /* The masked image [3][input_height][input_width] at a position. Returns the first position, row * columns.positions +
     * column, with the same masked image for every image; `out` is written where that is this one. */
    int (*mask_image)(void *context, int row, int column, const uint8_t *pixels, uint8_t *out);
    /* optional: the positions to run next, as `wanted` of a defense, from logits[positions][classes] that are 0 where they are
     * not known. label -1: for the prediction alone. NULL: all are wanted. */
    int (*wanted)(void *context, const float *logits, const bool *known, int label, int *next);
    /* optional: where the masked image at a position differs from the image: the number of parts, at most two; 0: anywhere.
     * Then a network with a cut (models/mosaic.h) computes what lies before it once for each image and part. */
    int (*parts)(void *context, int row, int column, pg_masked_part parts[2]);
    void (*release)(void *context); /* optional: when the network is closed */
    void *context;                  /* the network's from pg_network_masked on */
} pg_masked_images;

/* *new*: a network whose local logits at a position are those of the masked image there, averaged over the positions of `base`.
 * It takes base and context over, also where it fails. Those that are wanted run in as few passes as the batch allows, all of
 * one size up to one image. PG_ENOMEM. */
int pg_network_masked(pg_network *base, const pg_masked_images *masked, pg_network **out) PG_MUST_USE;
/* How many masked images a network of these weights runs at a time on a processor, with this batch, and the bytes that their
 * features take, at most; 0: not known. PG_EINPUT where the architecture does not fit. */
int pg_network_masked_memory(const pg_weights_info *info, int batch, int *images, int64_t *bytes) PG_MUST_USE;
/* The network that runs the masked images; without masked images the network itself. Borrowed. */
pg_network *pg_network_base(pg_network *network);

struct pg_scope;
struct pg_tensor;
/* A network of masked images: `watch` is called after each pass with how many masked images were run, of how many there are;
 * where it says false and more are wanted, the forward pass ends with PG_EINTERRUPTED. NULL: nobody watches. */
void pg_network_watch(pg_network *network, bool (*watch)(void *context, int64_t pass, int64_t passes), void *context);

/* The scope of this network's tensors, on its device; pg_network_forward clears it. NULL: a model without libtorch has no
 * gradients, nor has a network of masked images. Borrowed. */
struct pg_scope *pg_network_scope(pg_network *network);
/* Local logits of the positions of n crops of one size: pixels [n][3][crops->pixels.height][crops->pixels.width], f32 in [0,
 * 1], on the network's device -> f32 [n][classes][crops->positions.height][crops->positions.width], in the network's scope and
 * of its dtype's accuracy, recorded for gradients where the thread records (grad_mode). They are those of the full image up to
 * the last bits. NULL after a failure of the scope. */
struct pg_tensor *pg_network_crop_logits(pg_network *network, struct pg_tensor *pixels, const pg_crop *crops, int n);

/* Architecture descriptor. */
typedef struct pg_model {
    pg_module module;
    bool needs_torch;
    /* required: from resolved options, input size and classes; PG_EINPUT where they do not fit */
    int (*geometry)(const void *config, int input_height, int input_width, int classes, pg_geometry *out);
    const struct pg_model_hooks *hooks; /* the part that runs; see models/network.h */
} pg_model;

/* Gathered by make from PG_MODEL(...) lines, sorted, and behind them those of plug-ins; NULL-terminated. */
extern const pg_model *pg_models[];
extern const size_t pg_models_max;
int pg_model_check(const pg_model *model) PG_MUST_USE;
int pg_model_add(const pg_model *model) PG_MUST_USE; /* PG_EINPUT where a required hook is missing or there is no room */
const pg_model *pg_model_find(const char *name);     /* NULL with PG_EINPUT's message (nearest name) */
#define PG_MODEL(id) extern const pg_model pg_model_##id;

#endif
