/* Finding defenses by name. */
#include "defenses/defense.h"

#include <stdlib.h>
#include <string.h>

const pg_defense *pg_defense_find(const char *name)
{
    size_t n = 0;
    for (; pg_defenses[n]; n++)
        if (strcmp(pg_defenses[n]->module.name, name) == 0)
            return pg_defenses[n];
    const char **names = calloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n && names; i++)
        names[i] = pg_defenses[i]->module.name;
    const char *nearest = names ? pg_nearest(name, names) : NULL;
    free(names);
    pg_fail(PG_EINPUT, "unknown defense '%s'%s%s%s; `patchgauge list defenses` names them", name,
            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}
