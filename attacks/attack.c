/* Finding attacks by name, and what all of them refuse. */
#include "attacks/attack.h"

const char *const pg_attack_gradient_names[] = {"defense", "mean", NULL};

static const pg_module *at(int i) { return pg_attacks[i] ? &pg_attacks[i]->module : NULL; }

const pg_attack *pg_attack_find(const char *name)
{
    int i = pg_module_find("attack", name, at);
    return i < 0 ? NULL : pg_attacks[i];
}

int pg_victim_class(const pg_victim *v, int64_t output)
{
    for (int i = 0; v->outputs && i < v->classes; i++)
        if (v->outputs[i] == output)
            return i;
    return !v->outputs && output >= 0 && output < v->classes ? (int)output : -1;
}

int pg_attack_check(const pg_attack *a)
{
    const pg_hook hooks[] = {{"check", a->check},
                             {"run", a->run},
                             {"training_images and release, with prepare", !a->prepare || (a->training_images && a->release)},
                             {"check_patches and no prepare, with patches", !a->patches || (a->check_patches && !a->prepare)},
                             {NULL, false}};
    return pg_module_check_hooks(&a->module, "attack", hooks);
}

int pg_attack_add(const pg_attack *a)
{
    int i = pg_attack_check(a) == PG_OK ? pg_module_place(&a->module, "attack", at, pg_attacks_max) : -1;
    if (i >= 0)
        pg_attacks[i] = a;
    return i >= 0 ? PG_OK : PG_EINPUT;
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
