/* Inside `model import torchscript`: what is asked of a module, and the process in which it runs. */
#ifndef PG_MODELS_SCRIPT_TRIAL_H
#define PG_MODELS_SCRIPT_TRIAL_H

#include "models/import.h"
#include "models/layers.h"

typedef struct pg_script_findings {
    int64_t shape[4]; /* of the answer to one image: [1][classes][rows][columns] */
    int images;       /* that were tried */
    bool gradients;   /* reach the pixels */
} pg_script_findings;

/* Options and geometry of a module whose answer has that shape. PG_EINPUT. */
typedef struct pg_script_setup {
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_geometry geometry;
    pg_normalisation pixels;
} pg_script_setup;
int pg_script_configure(const pg_import_job *job, size_t bytes, const int64_t shape[4], pg_script_setup *out) PG_MUST_USE;

/* Loads the module of bytes[size] and tries it, in the calling process. PG_EINPUT where it is no network with the stated
 * geometry. `tell` hears how many passes are done. */
int pg_script_try(const pg_import_job *job, const char *bytes, size_t size,
                  void (*tell)(void *context, int64_t done, int64_t total), void *context, pg_script_findings *out) PG_MUST_USE;
/* The same in a process of its own, which may loop, crash, print and take memory: it has all memory that is available, and
 * job->time_limit_s seconds for loading and for each answer. Shows progress. PG_EINPUT, PG_EINTERRUPTED. */
int pg_script_try_in_child(const pg_import_job *job, const char *bytes, size_t size, pg_script_findings *out) PG_MUST_USE;

#endif
