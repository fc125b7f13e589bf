/* Data sets: images as 8-bit RGB planes with labels, named "NAME:SPLIT" ("cifar10:test", "synthetic:train"), or resized,
 * "NAME:SPLIT@SIZE[:FILTER]" ("cifar10:test@192"; harness/data/resized.h).
 *
 * A data set is what its manifest says: one SHA-256 per file, class order included. Opening checks the manifest and sizes;
 * `data verify` rehashes the files. The built-in synthetic set has no files: its manifest is its generator's
 * version and seed. */
#ifndef PG_DATA_DATASET_H
#define PG_DATA_DATASET_H

#include "harness/base/hash.h"
#include "harness/data/resize.h"

#include <stdint.h>

typedef struct pg_dataset pg_dataset;

typedef struct pg_dataset_info {
    char name[32], split[16];
    char hash[PG_HASH_HEX]; /* of the manifest: part of identity */
    int64_t images;
    int height, width;               /* pixels; three planes R, G, B */
    int source_height, source_width; /* before the resize; the same where there is none */
    pg_filter filter;                /* of the resize */
    int classes;
    const char *const *class_names; /* classes entries, borrowed from the data set */
} pg_dataset_info;

/* From the size before a resize to that of the images; where there is none, the same size twice. */
static inline pg_resizing pg_dataset_resizing(const pg_dataset_info *info)
{
    return (pg_resizing){info->source_height, info->source_width, info->height, info->width, info->filter};
}

/* *new*. `data_dir` is the --data folder. PG_EINPUT for an unknown name or split (nearest), PG_EMISSING with the command that
 * would fetch it, PG_EDAMAGED where files do not match the manifest in size. */
int pg_dataset_open(const char *data_dir, const char *spec, pg_dataset **out) PG_MUST_USE;
void pg_dataset_close(pg_dataset *dataset);
const pg_dataset_info *pg_dataset_info_of(const pg_dataset *dataset);

/* pixels[count][3][height][width], labels[count] (either may be NULL). PG_EINPUT outside the range; PG_EDAMAGED where a label
 * is outside the classes. Thread-safe. */
int pg_dataset_read(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels) PG_MUST_USE;
/* The same images before a resize: pixels[count][3][source_height][source_width]; where there is none, those of
 * pg_dataset_read. */
int pg_dataset_read_source(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels) PG_MUST_USE;

#endif
