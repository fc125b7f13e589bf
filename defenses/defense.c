/* Finding defenses by name. */
#include "defenses/defense.h"

#include <string.h>

enum { NAMES_MAX = 128 };

const pg_defense *pg_defense_find(const char *name)
{
    const char *names[NAMES_MAX + 1];
    size_t n = 0;
    for (; pg_defenses[n] && n < NAMES_MAX; n++) {
        names[n] = pg_defenses[n]->module.name;
        if (strcmp(names[n], name) == 0)
            return pg_defenses[n];
    }
    names[n] = NULL;
    const char *nearest = pg_nearest(name, names);
    pg_fail(PG_EINPUT, "unknown defense '%s'%s%s%s; `patchgauge list defenses` names them", name,
            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}
