/* Finding defenses by name, and whether one can mean what it says of itself. */
#include "defenses/defense.h"

#include <math.h>

const char *const pg_certificate_names[] = {
    [PG_CERTIFICATE_NONE] = "none", [PG_CERTIFICATE_SOUND] = "sound", [PG_CERTIFICATE_EXACT] = "exact"};

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
        {"masked_map, at image level and only there", images == (d->masked_map != NULL)},
        {"mask_image, at image level and only there", images == (d->mask_image != NULL)},
        {"wanted, at image level only", (images || !d->wanted)},
        {"mask_parts, at image level only", (images || !d->mask_parts)},
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

int pg_rule_check(const pg_defense *d, const void *config, int height, int width, int classes)
{
    static const size_t scratch_max = (size_t)1 << 36;
    pg_evidence_spec e = {0};
    d->evidence(config, &e);
    if (e.feature < PG_FEATURE_LOGITS || e.feature > PG_FEATURE_PREDICTION)
        return pg_fail(PG_EINPUT, "its evidence is of feature type %d, which there is not", (int)e.feature);
    if (!(e.temperature >= 0) || isinf(e.temperature) || !(e.theta >= 0 && e.theta <= 1))
        return pg_fail(PG_EINPUT, "its evidence has the temperature %g and theta %g; right would be at least 0, and 0 to 1",
                       e.temperature, e.theta);
    if (!(e.clip_lo <= e.clip_hi))
        return pg_fail(PG_EINPUT, "its evidence is clipped from %g to %g, which holds nothing", e.clip_lo, e.clip_hi);
    int worth = (int)d->certificate(config);
    if (worth < PG_CERTIFICATE_NONE || worth > PG_CERTIFICATE_EXACT)
        return pg_fail(PG_EINPUT, "its certificate is worth %d, which means nothing", worth);
    size_t scratch = d->scratch_size(height, width, classes, 1);
    return scratch <= scratch_max ? PG_OK : pg_fail(PG_EINPUT, "it asks for %zu bytes of scratch memory", scratch);
}
