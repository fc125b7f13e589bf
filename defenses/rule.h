/* What the rules share: verdicts, the locality condition, and the whole rule of defenses that only add up.
 *
 * Source: defenses/CERTIFICATES.md, sections 3, 4 and 7. */
#ifndef PG_DEFENSES_RULE_H
#define PG_DEFENSES_RULE_H

#include "defenses/windows.h"

/* The names behind pg_feature, for option tables. */
extern const char *const pg_feature_names[];

/* What a defense with a choice of feature has in its configuration for it. */
typedef struct pg_feature_choice {
    int type; /* a pg_feature */
    double theta, temperature;
} pg_feature_choice;

/* The spec of a choice with these bounds (-INFINITY, INFINITY: not clipped), resolved; and the choice with what has no effect
 * set to one fixed value. */
pg_evidence_spec pg_feature_spec(const pg_feature_choice *choice, double clip_lo, double clip_hi);
void pg_feature_normalize(pg_feature_choice *choice);

/* The option rows of it; `config_type` has a pg_feature_choice named `feature`. */
/* clang-format off */
#define PG_FEATURE_OPTIONS(config_type)                                                                           \
    {"feature", PG_OPTION_CHOICE, offsetof(config_type, feature.type), "logits", .choices = pg_feature_names,     \
     .help = "what a position says about a class"},                                                               \
    {"theta", PG_OPTION_DECIMAL, offsetof(config_type, feature.theta), "0", 0, 1,                                 \
     .help = "prediction: a vote for every class of at least this confidence; 0: one vote, for the largest"},     \
    {"temperature", PG_OPTION_DECIMAL, offsetof(config_type, feature.temperature), "1", 0.01, 100, .later = true, \
     .help = "of confidences: logits are divided by it before the softmax; below 1 they come closer to votes"}
/* clang-format on */

/* A verdict with nothing but its prediction. */
pg_verdict pg_verdict_of(int prediction);

/* Fills in margin and certificate from the smallest margin of all windows and wrong classes; INT64_MAX where there is no wrong
 * class, and so nothing to survive. */
void pg_verdict_evaluate(pg_verdict *verdict, int64_t margin, int64_t values, int64_t delta);

/* Whether the largest of the scores stays it, as long as none of them moves by more than `by` units. */
bool pg_decided(const int64_t *score, int n, int64_t by);

/* The smaller of `least` and own - rival; a rival of PG_NONE is no class, and leaves `least` as it is. */
int64_t pg_margin_over(int64_t own, int64_t rival, int64_t least);

/* Whether a margin survives a change of at most delta in each of `values` values on either side; with delta 0: is positive. */
bool pg_survives(int64_t margin, int64_t values, int64_t delta);

/* Defenses that predict the arg max of the totals and whose values have the range of the evidence (mean, clip, cbn). */
size_t pg_sum_rule_scratch(int height, int width, int classes, size_t n);
void pg_sum_rule_certify(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                         size_t n, void *scratch, pg_verdict *out);
int pg_sum_rule_predict(const pg_evidence *evidence, pg_window window, const void *config, void *scratch);
void pg_sum_rule_predict_double(const pg_evidence *evidence, pg_window window, const void *const *configs, size_t n,
                                void *scratch, int *out);

#endif
