/* my-defense: the class with the most votes, where a position votes for every class that it is confident of. (Say here what
 * your rule is, its source, and where it differs.)
 *
 * The certificate is the one of every rule that only adds up: a patch changes the positions of one window, where the label then
 * gets nothing and a rival all. For a rule that does more, write certify and predict yourself: defenses/defense.h says what
 * they owe. */
#include "defenses/rule.h"
#include "defenses/worst.h"
#include "harness/plan/plugin.h"

#include <math.h>

/* The resolved options; one row of the table for each field. */
typedef struct my_defense_config {
    double theta;
} my_defense_config;

static const pg_option my_defense_options[] = {
    {"theta", PG_OPTION_DECIMAL, offsetof(my_defense_config, theta), "0.5", 0.05, 1,
     .help = "a position votes for every class of at least this confidence"},
    {0},
};

/* What the rule reads: the only place where floating point ends. */
static void my_defense_evidence(const void *config, pg_evidence_spec *out)
{
    const my_defense_config *c = config;
    *out = (pg_evidence_spec){.feature = PG_FEATURE_PREDICTION, .theta = c->theta, .clip_lo = -INFINITY, .clip_hi = INFINITY};
}

/* What the certificate is worth. Do not round up: an audit attacks it. */
static pg_certificate my_defense_certificate(const void *config PG_UNUSED) { return PG_CERTIFICATE_SOUND; }

static const pg_defense my_defense = {
    .module = {.name = "my-defense",
               .summary = "the class with the most votes of positions that are confident of it",
               .source = "where it was published, or: unpublished",
               .version = 1, /* raise it whenever results change */
               .options = my_defense_options,
               .config_size = sizeof(my_defense_config)},
    .level = PG_LEVEL_FEATURE,
    .certificate = my_defense_certificate,
    .evidence = my_defense_evidence,
    .certify = pg_sum_rule_certify,
    .scratch_size = pg_sum_rule_scratch,
    .predict = pg_sum_rule_predict,
    .predict_double = pg_sum_rule_predict_double,
    .worst = pg_worst_extreme, /* the contents of a window that an audit tries besides random ones */
};

PG_PLUGIN(.defenses = (const pg_defense *const[]){&my_defense, NULL});
