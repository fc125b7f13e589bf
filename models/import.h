/* Weights of other programs as weights files of this one. Tensors are matched by name and shape, values are taken as they are
 * (as float32): what differs between implementations, such as the normalisation of pixels, is an option of the architecture.
 *
 * Each architecture states its layout (pg_file_layout). A prefix before all names ("module.", "1.") and dictionaries round the
 * state dict are seen through; num_batches_tracked is not needed. */
#ifndef PG_MODELS_IMPORT_H
#define PG_MODELS_IMPORT_H

#include "models/network.h"

typedef struct pg_import_job {
    const char *from, *out;
    const char *model; /* NULL: the architecture whose shapes these are */
    const char *const
        *pairs; /* its options, "key=value"; those that are not given are told by the shapes, or keep their defaults */
    size_t n_pairs;
    const char *key;     /* the dictionary, as the report names it; NULL: the one that fits best */
    const char *prefix;  /* what stands before all names of the network, where several are in one dictionary; NULL: found */
    const char *classes; /* a file with the classes (models/classes.h), which `out` stores; NULL: none */
    int input_height, input_width;
    bool ignore_rest; /* write although tensors of the file are left over */
    bool half;        /* as float16 */
    int time_limit_s; /* for loading a TorchScript module, and for each of its answers */
    bool force;       /* over whatever file is at `out`; else only over what the same import wrote */
} pg_import_job;

/* Appends to `report` what fits, what is missing, what is left over and what else the file has, also where it fails; nothing is
 * written then. PG_EINPUT where something is missing, left over or ambiguous; the errors of pg_state_open. */
int pg_import(const pg_import_job *job, pg_buf *report) PG_MUST_USE;
/* Reads job->classes for a network of so many outputs; *text is *new*, as weights files store them. */
int pg_import_classes(const pg_import_job *job, int outputs, char **text, pg_buf *report) PG_MUST_USE;
bool pg_import_asked(const pg_import_job *job, const char *option); /* whether `pairs` have it */

#endif
