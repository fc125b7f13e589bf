/* Finding attacks by name, and what all of them refuse. */
#include "attacks/attack.h"

#include <stdlib.h>
#include <string.h>

const char *const pg_attack_through_names[] = {"defense", "mean", NULL};

const pg_attack *pg_attack_find(const char *name)
{
    size_t n = 0;
    for (; pg_attacks[n]; n++)
        if (strcmp(pg_attacks[n]->module.name, name) == 0)
            return pg_attacks[n];
    const char **names = calloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n && names; i++)
        names[i] = pg_attacks[i]->module.name;
    const char *nearest = names ? pg_nearest(name, names) : NULL;
    free(names);
    pg_fail(PG_EINPUT, "unknown attack '%s'%s%s%s; `patchgauge list attacks` names them", name,
            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}

int pg_attack_check_patch(int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    if (patch_height < 1 || patch_width < 1 || patch_height > image_height || patch_width > image_width)
        return pg_fail(PG_EINPUT, "a patch of %d x %d px does not fit into images of %d x %d px", patch_height, patch_width,
                       image_height, image_width);
    if (classes < 2)
        return pg_fail(PG_EINPUT, "%d class: an attack needs at least 2", classes);
    return PG_OK;
}
