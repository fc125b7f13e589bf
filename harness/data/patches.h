/* Patches that others made, of a file:
 *
 * - an array of [n][3][height][width] or [3][height][width], uint8 or floating point in 0 to 1: a .npy file; or an .npz archive
 * or safetensors with `patches` (or one array alone), and where they are there `masks` [n][height][width] (0: the image shows)
 * and `targets` [n];
 * - a PNG image: transparent pixels (alpha below 128) show the image;
 * - a pickle, or its gzip, of a tuple of PyTorch tensors: patches, and targets behind them, as ImageNet-Patch is published
 *   (Pintor et al. 2023). Nothing of it is executed (harness/base/pickle.h);
 * - a folder of `attack -o` or of a cell of `export --images --files`: each patch with its place and its image.
 *
 * Arrays and images of the size of the images that they are for are *canvases*: the patch is the smallest rectangle that holds
 * all that is not zero in any of them (where there are masks or alpha: all that is not masked), and this is its own place.
 *
 * Files are untrusted: sizes are checked before memory is taken. Thread-safe: nothing is shared. */
#ifndef PG_DATA_PATCHES_H
#define PG_DATA_PATCHES_H

#include "harness/base/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum { PG_PATCHES_MAX = 1000000, PG_PATCHES_VALUES_MAX = 1 << 26, PG_PATCHES_BYTES_MAX = 1 << 28 };

typedef struct pg_patches {
    int count, height, width; /* each at least 1 */
    float *pixels;            /* [count][3][height][width] in 0 to 1; owned, as all below */
    uint8_t *masks;           /* [count][height][width], 1 where the patch covers the image, else 0; NULL: everywhere */
    int64_t *targets;         /* [count] outputs of a network, -1: none; NULL: the file names none */
    bool targets_are_classes; /* they are classes of the cell that the patches were made for (harness/plan/plan.h) instead */
    int64_t *images;          /* [count] the image that each was made for, increasing; NULL: the file names none */
    int *tops, *lefts;        /* [count] their own places in an image, pixels; NULL: they have none */
    char hash[PG_HASH_HEX];   /* SHA-256 of the file; of a folder, of those of its files */
} pg_patches;

/* Reads a file or folder for images of this size (0 x 0: not known, so that nothing is a canvas); *out is *new*,
 * pg_patches_free. PG_EMISSING, PG_EIO, PG_EINPUT (neither of these formats; shapes that do not fit each other; a value that is
 * not finite or not in 0 to 1; nothing that covers an image), PG_EDAMAGED, PG_EUNSUPPORTED, PG_ENOMEM: the message names the
 * file and the fault. */
int pg_patches_open(const char *path, int image_height, int image_width, pg_patches **out) PG_MUST_USE;
void pg_patches_free(pg_patches *patches);

/* ---- For the files of this reader ---- */

/* Room for `count` patches of this size: PG_EINPUT where they are none or too many, PG_ENOMEM. */
int pg_patches_room(pg_patches *patches, int64_t count, int64_t height, int64_t width) PG_MUST_USE;
/* data[size]: a pickle, or its gzip (patches_pickle.c). */
int pg_patches_read_pickle(const void *data, size_t size, pg_patches *patches) PG_MUST_USE;
/* Places, images and targets of the patches of a folder (patches_folder.c). */
int pg_patches_read_places(const char *folder, pg_patches *patches) PG_MUST_USE;
/* The files of a folder whose contents are its patches: "FOLDER/patches.npy" and its table, *new*, free(). PG_EMISSING,
 * PG_EINPUT. */
int pg_patches_folder_files(const char *folder, char **array, char **table) PG_MUST_USE;

#endif
