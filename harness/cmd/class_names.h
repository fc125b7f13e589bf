/* What the classes of a cell are called: as its network's weights name the outputs, else as its data set names the labels. */
#ifndef PG_CMD_CLASS_NAMES_H
#define PG_CMD_CLASS_NAMES_H

#include "db/store.h"
#include "harness/data/dataset.h"

/* Owned, pg_class_names_release. */
typedef struct pg_class_names {
    char **names;
    int *outputs; /* of the network, one for each class */
    int n;
} pg_class_names;

/* Of a cell with these settings and details, sorted by key. Weights and data set count where they are here and the cell's own;
 * `data` may be NULL. A class that nothing names is "output 345". PG_ENOMEM. */
int pg_class_names_make(const pg_setting *settings, size_t n, const pg_dataset_info *data, pg_class_names *out) PG_MUST_USE;
void pg_class_names_release(pg_class_names *names);
/* "nothing finite" of -1. Borrowed. */
const char *pg_class_name(const pg_class_names *names, int class);

/* The outputs alone: out->names stays NULL. PG_ENOMEM. */
int pg_class_outputs(const pg_setting *settings, size_t n, pg_class_names *out) PG_MUST_USE;

#endif
