/* Finding defenses by name. */
#include "defenses/defense.h"

static const pg_module *at(int i) { return pg_defenses[i] ? &pg_defenses[i]->module : NULL; }

const pg_defense *pg_defense_find(const char *name)
{
    int i = pg_module_find("defense", name, at);
    return i < 0 ? NULL : pg_defenses[i];
}

int pg_defense_check(const pg_defense *d)
{
    bool images = d->level == PG_LEVEL_IMAGE;
    const pg_hook hooks[] = {
        {"certificate", d->certificate},
        {"predict", d->predict},
        {"evidence", d->evidence},
        {"certify", d->certify},
        {"scratch_size", d->scratch_size},
        {"level, of features or images", (images || d->level == PG_LEVEL_FEATURE)},
        {"copies, at image level and only there", images == (d->copies != NULL)},
        {"copy, at image level and only there", images == (d->copy != NULL)},
        {"masked, with masks and only then", d->masks == (d->masked != NULL)},
        {"surrogate_version, with surrogate and only then", (d->surrogate != NULL) == (d->surrogate_version >= 1)},
        {.name = NULL}};
    return pg_module_check_hooks(&d->module, "defense", hooks);
}

int pg_defense_add(const pg_defense *d)
{
    int i = pg_defense_check(d) == PG_OK ? pg_module_place(&d->module, "defense", at, pg_defenses_max) : -1;
    if (i >= 0)
        pg_defenses[i] = d;
    return i >= 0 ? PG_OK : PG_EINPUT;
}
