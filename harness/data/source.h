/* A kind of data set: how "NAME:SPLIT" is opened and read. Private to harness/data, but for the list of kinds. */
#ifndef PG_DATA_SOURCE_H
#define PG_DATA_SOURCE_H

#include "harness/data/dataset.h"

#include <stdbool.h>

enum { PG_DATA_SPLITS = 4 /* at most */ };

typedef struct pg_data_kind {
    const char *name, *summary;
    const char *const *splits; /* NULL-terminated */
    /* required: fills info (name, split and dataset->kind are set already) and state; close is called in any case */
    int (*open)(const char *data_dir, pg_dataset *dataset);
    /* required: the range is checked already */
    int (*read)(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels);
    void (*close)(pg_dataset *dataset); /* required */
} pg_data_kind;

struct pg_dataset {
    const pg_data_kind *kind;
    pg_dataset_info info;
    void *state;
};

extern const pg_data_kind pg_data_cifar10, pg_data_synthetic, pg_data_image_folder;
extern const pg_data_kind *const pg_data_kinds[];      /* those with a name of their own; NULL-terminated */
const pg_data_kind *pg_data_builtin(const char *name); /* of those, or NULL */

/* A data set by its name: of a kind of its own, or a folder of images that was imported under it. */
typedef struct pg_data_set {
    const pg_data_kind *kind;
    char name[sizeof((pg_dataset_info *)0)->name];
    const char *splits[PG_DATA_SPLITS + 1]; /* that it has; NULL-terminated */
} pg_data_set;

/* PG_EINPUT with the nearest name, PG_EDAMAGED (manifest). */
int pg_data_find(const char *data_dir, const char *name, pg_data_set *out) PG_MUST_USE;
/* Calls `each` for every split of a data set, opened; its code is passed on. As pg_data_find and pg_dataset_open. */
int pg_data_each_split(const char *data_dir, const char *name, int (*each)(const pg_dataset_info *info)) PG_MUST_USE;
/* All names there are, imported ones last and sorted: *new*, pg_data_names_free. */
int pg_data_names(const char *data_dir, char ***out) PG_MUST_USE;
void pg_data_names_free(char **names);

#endif
