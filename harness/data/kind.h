/* A kind of data set: how "NAME:SPLIT" is found, opened and read, and how its files get into the --data folder.
 *
 * A kind is a data set of a fixed name, or all those that users name; it is no file format. Kinds whose files have one format
 * share hooks, as imagenette.c does with image_folder.h, and may share a file. A new kind takes its name from data sets that
 * users gave it. A kind is one `const pg_dataset_kind` in a file of harness/data, behind a line PG_DATASET(id); make gathers
 * these lines into pg_dataset_kinds, and from there come `list datasets`, `data fetch|import|verify`, their options, `help` and
 * completion. Hooks are called from any thread; open data sets are read by several at once. */
#ifndef PG_DATA_KIND_H
#define PG_DATA_KIND_H

#include "harness/base/module.h"
#include "harness/data/dataset.h"
#include "harness/data/fetch.h"
#include "harness/data/manifest.h"

enum { PG_DATASET_SPLITS = 4 /* at most */ };

typedef struct pg_dataset_kind {
    pg_module module; /* its name is that of the data set, unless users name them; options are those of `import` and `fetch` */
    const pg_option *fetch_options; /* optional: more of them, in the same struct, of `fetch` alone */
    const char *help;               /* optional: what `import` takes, a line or more for `help data` */
    bool user_named;                /* data sets are imported under names that users choose; one kind at most */
    const char *const *splits;      /* required: all there may be; NULL-terminated */
    /* optional: which of the splits the imported data set has; without it, all. PG_EMISSING (it is not there), PG_EDAMAGED */
    int (*find_splits)(const char *data_dir, const char *name, bool *has);
    /* required: fills info (name, split and dataset->kind are set already) and state; close is called in any case.
     * PG_EMISSING (it is not there), PG_EDAMAGED */
    int (*open)(const char *data_dir, pg_dataset *dataset);
    /* required: the range is checked already */
    int (*read)(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels);
    void (*close)(pg_dataset *dataset); /* optional: releases what open made */
    /* What follows is optional; a kind that imports or fetches has `verify`. `config` is the struct of the options. */
    /* checks what `source` names and puts it to DATA/NAME, all or nothing; without it, the data set has no files */
    int (*import)(const char *data_dir, const char *name, const char *source, const void *config);
    /* rehashes every file and reports each; PG_EDAMAGED, PG_EMISSING */
    int (*verify)(const char *data_dir, const char *name, pg_manifest_report *report, void *context);
    /* downloads an archive and imports it; `given` is what the user says of it, in place of the official one */
    int (*fetch)(const char *data_dir, const char *name, const pg_fetch *given, const void *config);
} pg_dataset_kind;

struct pg_dataset {
    const pg_dataset_kind *kind;
    pg_dataset_info info;
    void *state;
    pg_dataset *source; /* the data set before a resize, owned; NULL: this one is not resized */
};

extern const pg_dataset_kind *const pg_dataset_kinds[]; /* NULL-terminated, sorted by identifier */
#define PG_DATASET(id) extern const pg_dataset_kind pg_dataset_kind_##id;

#endif
