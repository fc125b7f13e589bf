/* A kind of data set: how "NAME:SPLIT" is opened and read. Private to harness/data, but for the list of kinds. */
#ifndef PG_DATA_SOURCE_H
#define PG_DATA_SOURCE_H

#include "harness/data/dataset.h"

#include <stdbool.h>

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

extern const pg_data_kind pg_data_cifar10, pg_data_synthetic;
extern const pg_data_kind *const pg_data_kinds[];   /* NULL-terminated */
const pg_data_kind *pg_data_find(const char *name); /* NULL with PG_EINPUT's message (nearest name) */

#endif
