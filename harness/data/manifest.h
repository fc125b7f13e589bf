/* The manifest of a data set on disk: DATA/NAME/manifest.json, written by import, read by everything else.
 *
 * One JSON object: format (1), name, shape [3, height, width], of a folder of images also how they are made to fit (resize and
 * filter), classes in label order, files sorted by name with bytes, images (0 for files without) and SHA-256. The text is
 * deterministic. */
#ifndef PG_DATA_MANIFEST_H
#define PG_DATA_MANIFEST_H

#include "harness/base/hash.h"
#include "harness/data/resize.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PG_MANIFEST_FORMAT = 1,
    PG_MANIFEST_FILES = 32,
    PG_MANIFEST_CLASSES = 1000,
    PG_MANIFEST_NAME = 64,   /* of a file, with its end */
    PG_MANIFEST_CLASS = 256, /* of a class: the longest name that a folder can have */
    PG_MANIFEST_SIDE = 4096
};

typedef struct pg_manifest_file {
    char name[PG_MANIFEST_NAME]; /* no folder in it */
    int64_t bytes, images;
    char hash[PG_HASH_HEX];
} pg_manifest_file;

typedef struct pg_manifest {
    char name[32];
    int height, width, n_classes, n_files;
    int resize_px; /* the shorter side before the crop to height x width, 0: images are stored in that size */
    pg_filter filter;
    char **classes; /* n_classes, owned */
    pg_manifest_file files[PG_MANIFEST_FILES];
} pg_manifest;

/* Reads and checks FOLDER/manifest.json. PG_EMISSING, PG_EDAMAGED; release in any case. */
int pg_manifest_read(const char *folder, pg_manifest *out) PG_MUST_USE;
/* Whether an import may put a data set there: nothing is, or an earlier data set, or an empty folder. PG_EINPUT. */
int pg_manifest_check_target(const char *folder) PG_MUST_USE;
/* Writes FOLDER/manifest.json; sorts the files. */
int pg_manifest_write(const char *folder, pg_manifest *manifest) PG_MUST_USE;
void pg_manifest_release(pg_manifest *manifest);

/* Whether a data set may have this name: letters, digits, '-', '_' and '.', a letter or digit first, at most 31. */
bool pg_manifest_name(const char *name);

/* Copies n class names. PG_EINPUT where one is empty, too long, not printable UTF-8 or there twice. */
int pg_manifest_set_classes(pg_manifest *manifest, const char *const *names, int n) PG_MUST_USE;
const pg_manifest_file *pg_manifest_find(const pg_manifest *manifest, const char *file); /* NULL if absent */

/* Rehashes every file in FOLDER. `report`, if not NULL, is told of each file: fault is NULL or says what is wrong.
 * PG_EDAMAGED if any file is missing, has another size or another hash. */
typedef void pg_manifest_report(void *context, const char *file, const char *fault);
int pg_manifest_verify(const char *folder, const pg_manifest *manifest, pg_manifest_report *report, void *context) PG_MUST_USE;
/* The same of the files that the manifest of DATA/NAME names. PG_EMISSING, PG_EDAMAGED. */
int pg_manifest_verify_set(const char *data_dir, const char *name, pg_manifest_report *report, void *context) PG_MUST_USE;

#endif
