/* cbn: Clipped BagNet, the arg max of the sums of tanh(0.05 u - 1) over local logits u.
 *
 * Source: Zhang et al. 2020 (Clipped BagNet); PatchGuard, section VI-A; defenses/CERTIFICATES.md, section 7. Differs from the
 * published check, which compares with the runner-up alone: every rival is compared, each outside the window. */
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "defenses/worst.h"

#include <math.h>

static const pg_option cbn_options[] = {{0}};

static void cbn_evidence(const void *config PG_UNUSED, pg_evidence_spec *out)
{
    *out = (pg_evidence_spec){.feature = PG_FEATURE_LOGITS, .clip_lo = -INFINITY, .clip_hi = INFINITY, .tanh_cbn = true};
}

static pg_certificate cbn_certificate(const void *config PG_UNUSED) { return PG_CERTIFICATE_EXACT; }

static pg_tensor *cbn_surrogate(pg_scope *s, const void *config, int kind PG_UNUSED, const pg_map *map, pg_tensor *logits,
                                pg_tensor *labels)
{
    pg_evidence_spec spec;
    cbn_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    return pg_soft_sum(&soft);
}

PG_DEFENSE(cbn)
const pg_defense pg_defense_cbn = {
    .module = {.name = "cbn",
               .summary = "Clipped BagNet: the largest sum of tanh(0.05 u - 1)",
               .source = "Zhang et al. 2020 (Clipped BagNet)",
               .version = 1,
               .options = cbn_options,
               .config_size = 0},
    .level = PG_LEVEL_FEATURE,
    .certificate = cbn_certificate,
    .evidence = cbn_evidence,
    .certify = pg_sum_rule_certify,
    .scratch_size = pg_sum_rule_scratch,
    .predict = pg_sum_rule_predict,
    .predict_double = pg_sum_rule_predict_double,
    .surrogate = cbn_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
