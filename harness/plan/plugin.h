/* What a plug-in includes: the interface of modules, and what the shared object says of itself.
 *
 * A plug-in is one C file with descriptors as a built-in module has them (defenses/defense.h, attacks/attack.h, models/model.h)
 * and PG_PLUGIN(...) at its end, built as a shared object with the headers of the program that loads it. It may call every
 * function of these headers. `patchgauge new defense NAME`, `new attack NAME` and `new model NAME`
 * write one that works. */
#ifndef PG_PLAN_PLUGIN_H
#define PG_PLAN_PLUGIN_H

#include "attacks/attack.h"
#include "defenses/defense.h"
#include "models/model.h"

#include <stdint.h>

enum { PG_PLUGIN_ABI = 5 }; /* raised whenever descriptors or the functions they use change their meaning */

typedef struct pg_plugin {
    uint32_t abi;                                                             /* PG_PLUGIN_ABI, */
    uint32_t module_size, option_size, defense_size, attack_size, model_size; /* and sizeof, of the headers it was built with */
    const pg_defense *const *defenses;                                        /* each NULL-terminated, or NULL for none */
    const pg_attack *const *attacks;
    const pg_model *const *models;
} pg_plugin;

/* At the end of a plug-in's file, as in PG_PLUGIN(.defenses = (const pg_defense *const[]){&mine, NULL}); */
#define PG_PLUGIN(...)                                                                                                \
    __attribute__((visibility("default")))                                                                            \
    const pg_plugin patchgauge_plugin = {PG_PLUGIN_ABI,     sizeof(pg_module), sizeof(pg_option), sizeof(pg_defense), \
                                         sizeof(pg_attack), sizeof(pg_model),  __VA_ARGS__}

#endif
