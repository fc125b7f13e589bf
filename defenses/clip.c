/* clip: the arg max of the sums of clipped features.
 *
 * Source: PatchGuard, section VI-B and Table XXI (logits clipped to [0, 15]); defenses/CERTIFICATES.md, section 7: the label
 * must win with every position of a window at the lower bound for it and at the upper bound for a rival. The bounds of a
 * confidence or a vote are cut to [0, 1], which is all that an attacker can reach. With an infinite bound nothing
 * is certified. */
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "defenses/worst.h"

typedef struct clip_config {
    pg_feature_choice feature;
    pg_range clip;
} clip_config;

static const pg_option clip_options[] = {
    PG_FEATURE_OPTIONS(clip_config),
    {"clip", PG_OPTION_RANGE, offsetof(clip_config, clip), "0:15",
     .help = "bounds of a feature; inf for none, which certifies nothing"},
    {0},
};

static void clip_evidence(const void *config, pg_evidence_spec *out)
{
    const clip_config *c = config;
    *out = pg_feature_spec(&c->feature, c->clip.lo, c->clip.hi);
}

static int clip_normalize(void *config)
{
    clip_config *c = config;
    pg_evidence_spec spec;
    clip_evidence(config, &spec);
    pg_feature_normalize(&c->feature);
    c->clip = (pg_range){spec.clip_lo, spec.clip_hi};
    return PG_OK;
}

static pg_certificate clip_certificate(const void *config PG_UNUSED) { return PG_CERTIFICATE_EXACT; }

static pg_tensor *clip_surrogate(pg_scope *s, const void *config, int kind PG_UNUSED, const pg_map *map, pg_tensor *logits,
                                 pg_tensor *labels)
{
    pg_evidence_spec spec;
    clip_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    return pg_soft_sum(&soft);
}

PG_DEFENSE(clip)
const pg_defense pg_defense_clip = {
    .module = {.name = "clip",
               .summary = "the largest sum of clipped features",
               .source = "Xiang et al. 2021 (PatchGuard), VI-B",
               .version = 1,
               .options = clip_options,
               .config_size = sizeof(clip_config),
               .normalize = clip_normalize},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .certificate = clip_certificate,
    .evidence = clip_evidence,
    .certify = pg_sum_rule_certify,
    .scratch_size = pg_sum_rule_scratch,
    .predict = pg_sum_rule_predict,
    .predict_double = pg_sum_rule_predict_double,
    .surrogate = clip_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
