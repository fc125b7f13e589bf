/* What every module (defense, attack, model) states about itself: the first member of each descriptor. */
#ifndef PG_BASE_MODULE_H
#define PG_BASE_MODULE_H

#include "harness/base/option.h"

/* Settled copies of a module's options fit into this many bytes. */
enum { PG_CONFIG_MAX = 512 };

typedef struct pg_module {
    const char *name;         /* required: as users write it, for ever: "robust-masking" */
    const char *summary;      /* required: one line */
    const char *source;       /* required: paper and section */
    int version;              /* required, >= 1: raised whenever results change */
    const pg_option *options; /* required (an empty table for none) */
    size_t config_size;       /* size of the struct behind the options, <= PG_CONFIG_MAX */
    /* optional: resolves "auto" values and checks combinations after all options are set; PG_EINPUT with a message */
    int (*settle)(void *config);
} pg_module;

/* The place of the named module in a list that `at` tells by place, NULL behind its end; -1 with PG_EINPUT's message (nearest
 * name). `kind` is "defense", "attack" or "model". */
int pg_module_find(const char *kind, const char *name, const pg_module *(*at)(int i));

/* Defaults, then `n` "key=value" pairs, then settle. `kind` is "defense", "attack" or "model", for messages. */
int pg_module_configure(const pg_module *module, const char *kind, const char *const *pairs, size_t n,
                        void *config) PG_MUST_USE;

#endif
