/* Settling a module's options. See module.h. */
#include "harness/base/module.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pg_module_find(const char *kind, const char *name, const pg_module *(*at)(int i))
{
    int n = 0;
    for (; at(n); n++)
        if (strcmp(at(n)->name, name) == 0)
            return n;
    const char **names = calloc((size_t)n + 1, sizeof *names);
    for (int i = 0; i < n && names; i++)
        names[i] = at(i)->name;
    const char *nearest = names ? pg_nearest(name, names) : NULL;
    free(names);
    pg_fail(PG_EINPUT, "unknown %s '%s'%s%s%s; `patchgauge list %ss` names them", kind, name, nearest ? "; did you mean '" : "",
            nearest ? nearest : "", nearest ? "'?" : "", kind);
    return -1;
}

int pg_module_configure(const pg_module *module, const char *kind, const char *const *pairs, size_t n, void *config)
{
    assert(module->config_size <= PG_CONFIG_MAX);
    char owner[128];
    snprintf(owner, sizeof owner, "%s %s", kind, module->name);
    memset(config, 0, module->config_size);
    pg_options_defaults(module->options, config);
    for (size_t i = 0; i < n; i++) {
        int code = pg_options_set_pair(module->options, config, owner, pairs[i]);
        if (code)
            return code;
    }
    int code = module->settle ? module->settle(config) : PG_OK;
    return code ? pg_fail_at(code, "%s", owner) : PG_OK;
}
