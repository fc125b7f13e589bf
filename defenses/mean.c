/* mean: the undefended aggregation, the arg max of the sums over all positions.
 *
 * Source: PatchGuard, section III-A; defenses/CERTIFICATES.md, section 7. On logits, which have no bound, nothing is ever
 * certified; on confidences and votes the rule is that of clip with [0, 1]. */
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "defenses/worst.h"

#include <math.h>

typedef struct mean_config {
    pg_feature_choice feature;
} mean_config;

static const pg_option mean_options[] = {PG_FEATURE_OPTIONS(mean_config), {0}};

static void mean_evidence(const void *config, pg_evidence_spec *out)
{
    const mean_config *c = config;
    *out = pg_feature_spec(&c->feature, -INFINITY, INFINITY);
}

static int mean_normalize(void *config)
{
    mean_config *c = config;
    pg_feature_normalize(&c->feature);
    return PG_OK;
}

static pg_certificate mean_certificate(const void *config PG_UNUSED) { return PG_CERTIFICATE_EXACT; }

static pg_tensor *mean_surrogate(pg_scope *s, const void *config, int kind PG_UNUSED, const pg_map *map, pg_tensor *logits,
                                 pg_tensor *labels)
{
    pg_evidence_spec spec;
    mean_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    return pg_soft_sum(&soft);
}

PG_DEFENSE(mean)
const pg_defense pg_defense_mean = {
    .module = {.name = "mean",
               .summary = "no defense: the largest sum over all positions",
               .source = "Xiang et al. 2021 (PatchGuard), III-A",
               .version = 1,
               .options = mean_options,
               .config_size = sizeof(mean_config),
               .normalize = mean_normalize},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .certificate = mean_certificate,
    .evidence = mean_evidence,
    .certify = pg_sum_rule_certify,
    .scratch_size = pg_sum_rule_scratch,
    .predict = pg_sum_rule_predict,
    .predict_double = pg_sum_rule_predict_double,
    .surrogate = mean_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
