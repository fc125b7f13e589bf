#include "defenses/rule.h"

#include "defenses/clones.h"

#include <math.h>

const char *const pg_feature_names[] = {
    [PG_FEATURE_LOGITS] = "logits", [PG_FEATURE_CONFIDENCE] = "confidence", [PG_FEATURE_PREDICTION] = "prediction", NULL};

pg_evidence_spec pg_feature_spec(const pg_feature_choice *choice, double clip_lo, double clip_hi)
{
    pg_evidence_spec spec = {.feature = (pg_feature)choice->type,
                             .theta = choice->theta,
                             .temperature = choice->temperature,
                             .clip_lo = clip_lo,
                             .clip_hi = clip_hi};
    pg_evidence_normalize(&spec);
    return spec;
}

void pg_feature_normalize(pg_feature_choice *choice)
{
    pg_evidence_spec spec = pg_feature_spec(choice, -INFINITY, INFINITY);
    choice->theta = spec.theta;
    choice->temperature = spec.temperature;
}

pg_verdict pg_verdict_of(int prediction) { return (pg_verdict){.prediction = prediction, .failure_case = -1}; }

bool pg_survives(int64_t margin, int64_t values, int64_t delta) { return margin > (pg_int128)2 * values * delta; }

bool pg_decided(const int64_t *score, int n, int64_t by)
{
    int best = pg_argmax(score, n);
    for (int c = 0; c < n; c++)
        if (c != best && score[best] - score[c] <= 2 * by)
            return false;
    return true;
}

int64_t pg_margin_over(int64_t own, int64_t rival, int64_t least)
{
    int64_t margin = own - rival;
    return rival == PG_NONE ? least : PG_MIN(margin, least);
}

void pg_verdict_evaluate(pg_verdict *verdict, int64_t margin, int64_t values, int64_t delta)
{
    verdict->has_margin = margin != INT64_MAX;
    verdict->margin = verdict->has_margin ? margin : 0;
    verdict->certified = !verdict->has_margin || pg_survives(margin, values, delta);
}

size_t pg_sum_rule_scratch(int height, int width, int classes, size_t n PG_UNUSED)
{
    pg_arena arena = {0};
    pg_sums sums;
    pg_sums_layout(&arena, height, width, classes, &sums);
    return arena.used + pg_sums_work_size(height, width, classes);
}

/* Nothing of the condition depends on options beyond the evidence, so all configurations get one verdict. */
static pg_verdict certify_one(const pg_evidence *evidence, pg_window window, int64_t delta, int label, void *scratch)
{
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = scratch};
    pg_sums sums;
    pg_sums_layout(&arena, evidence->height, evidence->width, evidence->classes, &sums);
    pg_sums_run(evidence, &windows, label, arena.base + arena.used, &sums);
    pg_verdict verdict = pg_verdict_of(pg_argmax(sums.total, evidence->classes));
    verdict.decided = pg_decided(sums.total, evidence->classes, (int64_t)evidence->height * evidence->width);
    int64_t lo, hi;
    if (verdict.prediction != label || !pg_evidence_range(evidence->spec, &lo, &hi))
        return verdict;
    int64_t least = INT64_MAX;
    for (int w = 0; w < windows.count; w++) {
        int64_t rival = PG_MAX(sums.before[w], sums.after[w]);
        least = pg_margin_over(sums.total[label] - sums.own[w] + windows.k * (lo - hi), rival, least);
    }
    pg_verdict_evaluate(&verdict, least, windows.outside, delta);
    verdict.certified = verdict.certified && windows.outside > 0;
    return verdict;
}

void pg_sum_rule_certify(const pg_evidence *evidence, pg_window window, int64_t delta, int label,
                         const void *const *configs PG_UNUSED, size_t n, void *scratch, pg_verdict *out)
{
    pg_verdict verdict = certify_one(evidence, window, delta, label, scratch);
    for (size_t i = 0; i < n; i++)
        out[i] = verdict;
}

int pg_sum_rule_predict(const pg_evidence *evidence, pg_window window PG_UNUSED, const void *config PG_UNUSED, void *scratch)
{
    int64_t *total = scratch;
    pg_totals(evidence, total);
    return pg_argmax(total, evidence->classes);
}

PG_CLONES static void totals_double(const pg_evidence *evidence, double *restrict total)
{
    int classes = evidence->classes;
    size_t positions = (size_t)evidence->height * (size_t)evidence->width;
    const double *values = evidence->values;
    for (int c = 0; c < classes; c++)
        total[c] = 0;
    for (size_t i = 0; i < positions; i++, values += classes)
        for (int c = 0; c < classes; c++)
            total[c] += values[c];
}

void pg_sum_rule_predict_double(const pg_evidence *evidence, pg_window window PG_UNUSED, const void *const *configs PG_UNUSED,
                                size_t n, void *scratch, int *out)
{
    double *total = scratch; /* as much room as that of an integer sum */
    totals_double(evidence, total);
    int prediction = pg_argmax_f64(total, evidence->classes);
    for (size_t i = 0; i < n; i++)
        out[i] = prediction;
}
