/* What every module (defense, attack, model, data set kind) states about itself: the first member of each descriptor. */
#ifndef PG_BASE_MODULE_H
#define PG_BASE_MODULE_H

#include "harness/base/option.h"

#include <stdbool.h>

/* Resolved copies of a module's options fit into this many bytes. */
enum { PG_CONFIG_MAX = 512 };

typedef struct pg_module {
    const char *name;         /* required: as users write it, for ever: "robust-masking" */
    const char *summary;      /* required: one line */
    const char *source;       /* required: paper and section */
    int version;              /* required, >= 1: raised whenever results change */
    const pg_option *options; /* required (an empty table for none) */
    size_t config_size;       /* size of the struct behind the options, <= PG_CONFIG_MAX */
    /* optional: resolves "auto" values and checks combinations after all options are set; PG_EINPUT with a message */
    int (*normalize)(void *config);
} pg_module;

/* The place of the named module in a list that `at` tells by place, NULL behind its end; -1 with PG_EINPUT's message (nearest
 * name). `kind` is "defense", "attack" or "model". */
int pg_module_find(const char *kind, const char *name, const pg_module *(*at)(int i));

/* What a module states is whole: name, summary, source, version, a table of options whose rows lie in the configuration, do not
 * overlap, and whose defaults are accepted. PG_EINPUT says what is wrong. */
int pg_module_check(const pg_module *module, const char *kind) PG_MUST_USE;

/* PG_EINPUT names the first of the required hooks that is not there. */
typedef struct pg_hook {
    const char *name; /* NULL ends a list */
    bool there;
} pg_hook;
int pg_module_check_hooks(const pg_module *module, const char *kind, const pg_hook *hooks) PG_MUST_USE;

/* Lists take modules of plug-ins, PG_MODULES_ROOM of them behind those that are built in. The place behind the last, where
 * fewer than `max` are there; -1 with PG_EINPUT's message where the list is full. */
enum { PG_MODULES_ROOM = 32 };
int pg_module_place(const pg_module *module, const char *kind, const pg_module *(*at)(int i), size_t max);

/* Defaults, then `n` "key=value" pairs, each key once, then normalize. `kind` is "defense", "attack" or "model",
 * for messages. */
int pg_module_configure(const pg_module *module, const char *kind, const char *const *pairs, size_t n,
                        void *config) PG_MUST_USE;

#endif
