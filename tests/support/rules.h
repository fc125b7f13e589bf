/* Every rule there is, as options of its defense and as a rule of the oracle; random evidence in the range that
 * the rule reads. */
#ifndef PG_TESTS_RULES_H
#define PG_TESTS_RULES_H

#include "defenses/defense.h"
#include "defenses/evidence.h"
#include "harness/base/rng.h"
#include "tests/support/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* Where evidence of a rule lies. */
typedef enum rule_values { VALUES_ANY, VALUES_CLIPPED, VALUES_UNIT, VALUES_VOTES, VALUES_POSITIVE } rule_values;

typedef struct rule_case {
    const char *id, *defense, *options; /* options separated by blanks */
    rule_values values;
    oracle_rule oracle;
} rule_case;

#define RULE_UNIT (1 << 20)
static const rule_case rule_cases[] = {
    {"mean", "mean", "", VALUES_ANY, {ORACLE_SUM, false, 0, 0, 0, 0, 0}},
    {"mean-confidence", "mean", "feature=confidence", VALUES_UNIT, {ORACLE_SUM, true, 0, RULE_UNIT, 0, 0, 0}},
    {"mean-prediction", "mean", "feature=prediction theta=0.3", VALUES_VOTES, {ORACLE_SUM, true, 0, RULE_UNIT, 0, 0, 0}},
    {"clip", "clip", "clip=-2:3", VALUES_CLIPPED, {ORACLE_SUM, true, -2 * RULE_UNIT, 3 * RULE_UNIT, 0, 0, 0}},
    {"clip-inf", "clip", "clip=0:inf", VALUES_POSITIVE, {ORACLE_SUM, false, 0, 0, 0, 0, 0}},
    {"clip-confidence", "clip", "feature=confidence clip=-1:5", VALUES_UNIT, {ORACLE_SUM, true, 0, RULE_UNIT, 0, 0, 0}},
    {"cbn", "cbn", "", VALUES_CLIPPED, {ORACLE_SUM, true, -RULE_UNIT, RULE_UNIT, 0, 0, 0}},
    {"ds-votes", "ds", "", VALUES_VOTES, {ORACLE_VOTES, true, 0, RULE_UNIT, 0, 0, 0}},
    {"ds-window", "ds", "rule=window theta=0", VALUES_VOTES, {ORACLE_WINDOW, true, 0, RULE_UNIT, 0, 0, 0}},
    {"median", "median", "", VALUES_ANY, {ORACLE_MEDIAN, false, 0, 0, 0, 0, 0}},
    {"median-confidence", "median", "feature=confidence", VALUES_UNIT, {ORACLE_MEDIAN, true, 0, RULE_UNIT, 0, 0, 0}},
    {"trimmed-0", "trimmed-mean", "trim=0", VALUES_ANY, {ORACLE_TRIM, false, 0, 0, 0, 0, 0}},
    {"trimmed-1", "trimmed-mean", "trim=1", VALUES_ANY, {ORACLE_TRIM, false, 0, 0, 1, 0, 0}},
    {"trimmed-4", "trimmed-mean", "trim=4", VALUES_ANY, {ORACLE_TRIM, false, 0, 0, 4, 0, 0}},
    {"trimmed-2-votes", "trimmed-mean", "trim=2 feature=prediction", VALUES_VOTES, {ORACLE_TRIM, true, 0, RULE_UNIT, 2, 0, 0}},
    {"mask-0", "robust-masking", "", VALUES_POSITIVE, {ORACLE_MASK, false, 0, 0, 0, 0, 0}},
    {"mask-0.2", "robust-masking", "threshold=0.2", VALUES_POSITIVE, {ORACLE_MASK, false, 0, 0, 0, 200000, 0}},
    {"mask-0.5", "robust-masking", "threshold=0.5", VALUES_POSITIVE, {ORACLE_MASK, false, 0, 0, 0, 500000, 0}},
    {"mask-1", "robust-masking", "threshold=1", VALUES_POSITIVE, {ORACLE_MASK, false, 0, 0, 0, 1000000, 0}},
    {"mask-clip-0", "robust-masking", "clip=0:3", VALUES_CLIPPED, {ORACLE_MASK, true, 0, 3 * RULE_UNIT, 0, 0, 0}},
    {"mask-clip-0.2",
     "robust-masking",
     "clip=0:3 threshold=0.2",
     VALUES_CLIPPED,
     {ORACLE_MASK, true, 0, 3 * RULE_UNIT, 0, 200000, 0}},
    {"mask-clip-0.5",
     "robust-masking",
     "clip=0:3 threshold=0.5",
     VALUES_CLIPPED,
     {ORACLE_MASK, true, 0, 3 * RULE_UNIT, 0, 500000, 0}},
    {"mask-clip-1",
     "robust-masking",
     "clip=0:3 threshold=1",
     VALUES_CLIPPED,
     {ORACLE_MASK, true, 0, 3 * RULE_UNIT, 0, 1000000, 0}},
    {"mask-confidence-0.999999",
     "robust-masking",
     "feature=confidence threshold=0.999999",
     VALUES_UNIT,
     {ORACLE_MASK, true, 0, RULE_UNIT, 0, 999999, 0}},
    {"mask-confidence-sharp",
     "robust-masking",
     "feature=confidence temperature=0.3",
     VALUES_UNIT,
     {ORACLE_MASK, true, 0, RULE_UNIT, 0, 0, 0}},
    {"mask-votes-0.3",
     "robust-masking",
     "feature=prediction threshold=0.3",
     VALUES_VOTES,
     {ORACLE_MASK, true, 0, RULE_UNIT, 0, 300000, 0}},
    {"predicted-0", "robust-masking", "scope=predicted", VALUES_POSITIVE, {ORACLE_PREDICTED, false, 0, 0, 0, 0, 0}},
    {"predicted-0.2",
     "robust-masking",
     "scope=predicted threshold=0.2",
     VALUES_POSITIVE,
     {ORACLE_PREDICTED, false, 0, 0, 0, 200000, 0}},
    {"predicted-0.6",
     "robust-masking",
     "scope=predicted threshold=0.6",
     VALUES_POSITIVE,
     {ORACLE_PREDICTED, false, 0, 0, 0, 600000, 0}},
    {"predicted-votes-0",
     "robust-masking",
     "scope=predicted feature=prediction",
     VALUES_VOTES,
     {ORACLE_PREDICTED, true, 0, RULE_UNIT, 0, 0, 0}},
    {"double", "double-masking", "", VALUES_ANY, {ORACLE_DOUBLE, false, 0, 0, 1, 0, 0}},
    {"double-2", "double-masking", "stride=2", VALUES_ANY, {ORACLE_DOUBLE, false, 0, 0, 2, 0, 0}},
    {"double-3", "double-masking", "stride=3", VALUES_ANY, {ORACLE_DOUBLE, false, 0, 0, 3, 0, 0}},
    {"double-confidence", "double-masking", "feature=confidence", VALUES_UNIT, {ORACLE_DOUBLE, true, 0, RULE_UNIT, 1, 0, 0}},
    {"double-votes", "double-masking", "feature=prediction", VALUES_VOTES, {ORACLE_DOUBLE, true, 0, RULE_UNIT, 1, 0, 0}},
};
enum { N_RULE_CASES = sizeof rule_cases / sizeof *rule_cases };

/* The resolved configuration of a defense from options separated by blanks. */
static inline void rule_configure(const pg_defense *defense, const char *options, void *config)
{
    char text[256];
    const char *pairs[8];
    size_t n = 0;
    if (!defense)
        fail_msg("a row of tests/support/rules.h names no defense: %s", pg_error_message());
    snprintf(text, sizeof text, "%s", options);
    for (char *save, *pair = strtok_r(text, " ", &save); pair; pair = strtok_r(NULL, " ", &save))
        pairs[n++] = pair;
    if (pg_module_configure(&defense->module, "defense", pairs, n, config))
        fail_msg("%s", pg_error_message());
}

/* One value: few distinct ones, so that there are ties, or many, or those at the ends of the range. */
static inline int32_t rule_value(pg_rng *rng, rule_values values, const oracle_rule *rule, int style)
{
    int32_t least = values == VALUES_ANY ? -PG_EVIDENCE_MAX : 0, most = PG_EVIDENCE_MAX;
    if (values == VALUES_VOTES)
        return pg_rng_below(rng, 3) == 0 ? RULE_UNIT : 0;
    if (values == VALUES_UNIT)
        most = RULE_UNIT;
    if (values == VALUES_CLIPPED) {
        least = (int32_t)rule->lo;
        most = (int32_t)rule->hi;
    }
    if (style == 0)
        return least + (int32_t)pg_rng_below(rng, 4) * (values == VALUES_UNIT ? RULE_UNIT / 3 : RULE_UNIT / 2) +
               (least ? -least : 0);
    if (style == 1)
        return least + (int32_t)((int64_t)pg_rng_below(rng, 1u << 30) * ((int64_t)most - least) >> 30);
    if (style == 2)
        return pg_rng_below(rng, 2) ? most : least;
    return pg_rng_below(rng, 6) ? 0 : (int32_t)pg_rng_below(rng, RULE_UNIT);
}

/* Evidence in which the label usually stands out, so that there is something to certify. */
static inline void rule_fill(pg_rng *rng, rule_values values, const oracle_rule *rule, int positions, int classes, int label,
                             int32_t *q)
{
    int style = (int)pg_rng_below(rng, 4), help = (int)pg_rng_below(rng, 4);
    for (int p = 0; p < positions; p++)
        for (int c = 0; c < classes; c++) {
            int32_t value = rule_value(rng, values, rule, style);
            for (int i = 0; i < help; i++) {
                int32_t other = rule_value(rng, values, rule, style);
                value = (c == label) == (other > value) ? other : value;
            }
            q[p * classes + c] = value;
        }
}

#endif
