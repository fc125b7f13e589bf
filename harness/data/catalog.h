/* Data sets by their names: those of the kinds that there are (kind.h), and those that users have imported under names of their
 * own. */
#ifndef PG_DATA_CATALOG_H
#define PG_DATA_CATALOG_H

#include "harness/data/kind.h"

typedef struct pg_dataset_entry {
    const pg_dataset_kind *kind;
    char name[sizeof((pg_dataset_info *)0)->name];
    const char *splits[PG_DATASET_SPLITS + 1]; /* that it has; NULL-terminated */
} pg_dataset_entry;

/* The kind whose data set has this name, whether or not it is there; NULL: none, users may give the name. */
const pg_dataset_kind *pg_dataset_kind_find(const char *name);
/* The kind of the data sets that users name. */
const pg_dataset_kind *pg_dataset_kind_user_named(void);
/* The kind that is nearest in name among those that users do not name and that have a hook `fetch`, or else `import`; NULL. */
const pg_dataset_kind *pg_dataset_kind_nearest(const char *name, bool fetch);

/* PG_EINPUT with the nearest name, PG_EMISSING with the command that brings it, PG_EDAMAGED (manifest). */
int pg_dataset_find(const char *data_dir, const char *name, pg_dataset_entry *out) PG_MUST_USE;
/* Calls `each` for every split of a data set, opened; its code is passed on. As pg_dataset_find and pg_dataset_open. */
int pg_dataset_each_split(const char *data_dir, const char *name, int (*each)(const pg_dataset_info *info, void *context),
                          void *context) PG_MUST_USE;
/* All names there are, those that users gave last and sorted: *new*, pg_dataset_names_free. */
int pg_dataset_names(const char *data_dir, char ***out) PG_MUST_USE;
void pg_dataset_names_free(char **names);

/* Rehashes the files of a data set, if it has any. As pg_dataset_find, and PG_EDAMAGED. */
int pg_dataset_verify(const char *data_dir, const char *name, pg_manifest_report *report, void *context) PG_MUST_USE;

/* Whether a kind is whole: what it states, required hooks, and hooks and splits that go together. PG_EINPUT says what is
 * wrong. */
int pg_dataset_kind_check(const pg_dataset_kind *kind) PG_MUST_USE;

#endif
