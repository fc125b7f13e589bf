/* median: the class with the largest lower median over all positions.
 *
 * Source: PatchGuard, section VI-B and appendix F; defenses/CERTIFICATES.md, section 10. With L = (m - 1) / 2 rounded down, a
 * window of k positions can lower the label's median to the (L - k)-th smallest of the m - k values outside it, and raise a
 * rival's to the L-th. If k > L the attacker owns the median and nothing is certified; otherwise L < m - k holds by itself. */
#include "defenses/order.h"
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "defenses/worst.h"

#include <math.h>

typedef struct median_config {
    pg_feature_choice feature;
} median_config;

static const pg_option median_options[] = {PG_FEATURE_OPTIONS(median_config), {0}};

static void median_evidence(const void *config, pg_evidence_spec *out)
{
    const median_config *c = config;
    *out = pg_feature_spec(&c->feature, -INFINITY, INFINITY);
}

static int median_normalize(void *config)
{
    median_config *c = config;
    pg_feature_normalize(&c->feature);
    return PG_OK;
}

static pg_certificate median_certificate(const void *config PG_UNUSED) { return PG_CERTIFICATE_EXACT; }

typedef struct scratch {
    pg_order order;
    int64_t *score;           /* [classes] medians */
    int64_t *own, *rival;     /* [windows] the label's worst median, the best one of a rival */
    double *sorted, *medians; /* [positions], [classes]: of the values before rounding */
} scratch;

static void lay_out(pg_arena *arena, int height, int width, int classes, scratch *s)
{
    size_t windows = (size_t)height * (size_t)width;
    pg_order_layout(arena, height, width, &s->order);
    s->score = pg_arena_take(arena, (size_t)classes, sizeof *s->score);
    s->own = pg_arena_take(arena, windows, sizeof *s->own);
    s->rival = pg_arena_take(arena, windows, sizeof *s->rival);
    s->sorted = pg_arena_take(arena, windows, sizeof *s->sorted);
    s->medians = pg_arena_take(arena, (size_t)classes, sizeof *s->medians);
}

static size_t median_scratch(int height, int width, int classes, size_t n PG_UNUSED)
{
    pg_arena arena = {0};
    scratch s;
    lay_out(&arena, height, width, classes, &s);
    return arena.used;
}

static int lower_median(const pg_evidence *evidence) { return (evidence->height * evidence->width - 1) / 2; }

/* The r-th value outside every window, into `to`: kept where larger than what is there. */
static void raise_to_outside(const pg_order *order, int r, int64_t *to)
{
    for (int top = 0; top < order->windows->rows.places; top++)
        for (int left = 0; left < order->windows->columns.places; left++, to++) {
            int64_t value = order->value[pg_order_outside(order, top, left, r)];
            *to = PG_MAX(value, *to);
        }
}

static void median_certify(const pg_evidence *evidence, pg_window window, int64_t delta, int label,
                           const void *const *configs PG_UNUSED, size_t n, void *memory, pg_verdict *out)
{
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = memory};
    scratch s;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, &s);
    for (int w = 0; w < windows.count; w++)
        s.own[w] = s.rival[w] = PG_NONE;
    int middle = lower_median(evidence);
    bool attackable = windows.k > middle;
    for (int c = 0; c < evidence->classes; c++) {
        pg_order_sort(&s.order, evidence, &windows, c);
        s.score[c] = s.order.value[middle];
        if (!attackable)
            raise_to_outside(&s.order, c == label ? middle - (int)windows.k : middle, c == label ? s.own : s.rival);
    }
    pg_verdict verdict = pg_verdict_of(pg_argmax(s.score, evidence->classes));
    verdict.decided = pg_decided(s.score, evidence->classes, 1);
    if (verdict.prediction == label && !attackable) {
        int64_t least = INT64_MAX;
        for (int w = 0; w < windows.count; w++)
            least = pg_margin_over(s.own[w], s.rival[w], least);
        pg_verdict_evaluate(&verdict, least, 1, delta);
    }
    for (size_t i = 0; i < n; i++)
        out[i] = verdict;
}

static int median_predict(const pg_evidence *evidence, pg_window window, const void *config PG_UNUSED, void *memory)
{
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = memory};
    scratch s;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, &s);
    for (int c = 0; c < evidence->classes; c++) {
        pg_order_sort(&s.order, evidence, &windows, c);
        s.score[c] = s.order.value[lower_median(evidence)];
    }
    return pg_argmax(s.score, evidence->classes);
}

static void median_predict_double(const pg_evidence *evidence, pg_window window PG_UNUSED, const void *const *configs PG_UNUSED,
                                  size_t n, void *memory, int *out)
{
    pg_arena arena = {.base = memory};
    scratch s;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, &s);
    for (int c = 0; c < evidence->classes; c++) {
        pg_order_values(evidence, c, s.sorted);
        s.medians[c] = s.sorted[lower_median(evidence)];
    }
    int prediction = pg_argmax_f64(s.medians, evidence->classes);
    for (size_t i = 0; i < n; i++)
        out[i] = prediction;
}

static pg_tensor *median_surrogate(pg_scope *s, const void *config, int kind PG_UNUSED, const pg_map *map, pg_tensor *logits,
                                   pg_tensor *labels)
{
    pg_evidence_spec spec;
    median_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    return pg_soft_median(&soft);
}

PG_DEFENSE(median)
const pg_defense pg_defense_median = {
    .module = {.name = "median",
               .summary = "the largest median over all positions",
               .source = "Xiang et al. 2021 (PatchGuard), VI-B and appendix F",
               .version = 1,
               .options = median_options,
               .config_size = sizeof(median_config),
               .normalize = median_normalize},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .certificate = median_certificate,
    .evidence = median_evidence,
    .certify = median_certify,
    .scratch_size = median_scratch,
    .predict = median_predict,
    .predict_double = median_predict_double,
    .surrogate = median_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
