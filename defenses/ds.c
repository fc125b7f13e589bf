/* ds: de-randomized smoothing, the class with the most votes.
 *
 * Source: defenses/CERTIFICATES.md, sections 8 and 9; Levine & Feizi 2020 (rule votes: the label leads by more than twice the
 * positions of a window, or by as many and comes first); PatchGuard, appendix E (rule window: it leads outside every window by
 * more than the positions of one). Ties go to the lower class index, as in the prediction, so a tie may be certified: with
 * margin 0. Where votes may flip (delta of a whole vote) the margin has to be strictly larger, ties included; a delta of less
 * moves no vote. */
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "defenses/worst.h"

#include <math.h>

enum { DS_VOTES, DS_WINDOW };
static const char *const rules[] = {"votes", "window", NULL};
static const char *const features[] = {"prediction", NULL};

typedef struct ds_config {
    int rule, feature;
    double theta;
} ds_config;

static const pg_option ds_options[] = {
    {"rule", PG_OPTION_CHOICE, offsetof(ds_config, rule), "votes", .choices = rules,
     .help = "certificate: votes counts them (Levine & Feizi), window also where they lie"},
    {"feature", PG_OPTION_CHOICE, offsetof(ds_config, feature), "prediction", .choices = features,
     .help = "votes are all that ds reads"},
    {"theta", PG_OPTION_DECIMAL, offsetof(ds_config, theta), "0.2", 0, 1,
     .help = "a vote for every class of at least this confidence; 0: one vote, for the largest"},
    {0},
};

static void ds_evidence(const void *config, pg_evidence_spec *out)
{
    const ds_config *c = config;
    *out = (pg_evidence_spec){.feature = PG_FEATURE_PREDICTION, .theta = c->theta, .clip_lo = -INFINITY, .clip_hi = INFINITY};
    pg_evidence_normalize(out);
}

static pg_certificate ds_certificate(const void *config)
{
    return ((const ds_config *)config)->rule == DS_WINDOW ? PG_CERTIFICATE_EXACT : PG_CERTIFICATE_SOUND;
}

/* The margins of the label over its strongest rivals before and after it, less what a window is worth; smallest
 * over all cases. */
typedef struct margins {
    int64_t before, after; /* INT64_MAX: no such rival */
} margins;

static margins margin_votes(const pg_evidence *evidence, const pg_windows *windows, int label, const pg_sums *sums)
{
    margins l = {INT64_MAX, INT64_MAX};
    for (int c = 0; c < evidence->classes; c++) {
        int64_t *side = c < label ? &l.before : &l.after;
        if (c != label)
            *side = pg_margin_over(sums->total[label] - 2 * windows->k * PG_GRID, sums->total[c], *side);
    }
    return l;
}

static margins margin_window(const pg_windows *windows, int label, const pg_sums *sums)
{
    margins l = {INT64_MAX, INT64_MAX};
    for (int w = 0; w < windows->count; w++) {
        int64_t own = sums->total[label] - sums->own[w] - windows->k * PG_GRID;
        l.before = pg_margin_over(own, sums->before[w], l.before);
        l.after = pg_margin_over(own, sums->after[w], l.after);
    }
    return l;
}

static pg_verdict evaluate(int prediction, const pg_windows *windows, int64_t delta, margins l)
{
    pg_verdict verdict = pg_verdict_of(prediction);
    int64_t margin = PG_MIN(l.before, l.after);
    bool certified = windows->outside > 0 && l.before > 0 && l.after >= 0;
    if (margin != INT64_MAX) {
        verdict.has_margin = true;
        verdict.margin = margin;
        certified = certified && (delta < PG_GRID || pg_survives(margin, windows->outside, delta));
    }
    verdict.certified = certified;
    return verdict;
}

static void ds_certify(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                       size_t n, void *scratch, pg_verdict *out)
{
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = scratch};
    pg_sums sums;
    pg_sums_layout(&arena, evidence->height, evidence->width, evidence->classes, &sums);
    pg_sums_run(evidence, &windows, label, arena.base + arena.used, &sums);
    int prediction = pg_argmax(sums.total, evidence->classes);
    bool decided = pg_decided(sums.total, evidence->classes, (int64_t)evidence->height * evidence->width);
    for (size_t i = 0; i < n; i++) {
        const ds_config *config = configs[i];
        if (prediction != label)
            out[i] = pg_verdict_of(prediction);
        else if (config->rule == DS_WINDOW)
            out[i] = evaluate(prediction, &windows, delta, margin_window(&windows, label, &sums));
        else
            out[i] = evaluate(prediction, &windows, delta, margin_votes(evidence, &windows, label, &sums));
        out[i].decided = decided;
    }
}

static pg_tensor *ds_surrogate(pg_scope *s, const void *config, int kind PG_UNUSED, const pg_map *map, pg_tensor *logits,
                               pg_tensor *labels)
{
    pg_evidence_spec spec;
    ds_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    return pg_soft_sum(&soft);
}

PG_DEFENSE(ds)
const pg_defense pg_defense_ds = {
    .module = {.name = "ds",
               .summary = "de-randomized smoothing: the class with the most votes",
               .source = "Levine & Feizi 2020; Xiang et al. 2021 (PatchGuard), appendix E",
               .version = 1,
               .options = ds_options,
               .config_size = sizeof(ds_config)},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .tie_certified = true,
    .certificate = ds_certificate,
    .evidence = ds_evidence,
    .certify = ds_certify,
    .scratch_size = pg_sum_rule_scratch,
    .predict = pg_sum_rule_predict,
    .predict_double = pg_sum_rule_predict_double,
    .surrogate = ds_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
