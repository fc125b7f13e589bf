/* Finding defenses by name. */
#include "defenses/defense.h"

static const pg_module *at(int i) { return pg_defenses[i] ? &pg_defenses[i]->module : NULL; }

const pg_defense *pg_defense_find(const char *name)
{
    int i = pg_module_find("defense", name, at);
    return i < 0 ? NULL : pg_defenses[i];
}
