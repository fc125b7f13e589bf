/* trimmed-mean: the class with the largest sum after its t smallest and t largest values are dropped.
 * Source: defenses/CERTIFICATES.md, section 11. A window of k <= t positions can at worst put k values of the label at the
 * bottom and k of a rival at the top: of the m - k values outside it, sorted, the label keeps [t - k, m - k - t) and the rival
 * [t, m - t). With k > t nothing is certified; for confidences and votes, whose values are bounded, that refuses more than an
 * attack can reach, which is why only logits are called exact. */
#include "defenses/order.h"
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "defenses/worst.h"

#include <math.h>

typedef struct trimmed_config {
    pg_feature_choice feature;
    int64_t trim;
} trimmed_config;

static const pg_option trimmed_options[] = {
    PG_FEATURE_OPTIONS(trimmed_config),
    {"trim", PG_OPTION_INT, offsetof(trimmed_config, trim), "4", 0, PG_POSITIONS_MAX,
     .help = "values dropped at either end; certifies windows of at most this many positions"},
    {0},
};

static void trimmed_evidence(const void *config, pg_evidence_spec *out)
{
    const trimmed_config *c = config;
    *out = pg_feature_spec(&c->feature, -INFINITY, INFINITY);
}

static int trimmed_normalize(void *config)
{
    trimmed_config *c = config;
    pg_feature_normalize(&c->feature);
    return PG_OK;
}

static int trimmed_check(const void *config, int height, int width, int classes PG_UNUSED)
{
    long long trim = (long long)((const trimmed_config *)config)->trim, positions = (long long)height * width;
    if (2 * trim < positions)
        return PG_OK;
    return pg_fail(PG_EINPUT, "trim=%lld drops all of the %lld positions of a %dx%d map; at most %lld leaves one", trim,
                   positions, height, width, (positions - 1) / 2);
}

static pg_certificate trimmed_certificate(const void *config)
{
    return ((const trimmed_config *)config)->feature.type == PG_FEATURE_LOGITS ? PG_CERTIFICATE_EXACT : PG_CERTIFICATE_SOUND;
}

typedef struct scratch {
    pg_order order;
    int64_t *score;        /* [n][classes] trimmed sums */
    int64_t *own, *rival;  /* [n][windows] the label's worst sum, the best one of a rival */
    double *sorted, *sums; /* [positions], [n][classes]: of the values before rounding */
} scratch;

static void lay_out(pg_arena *arena, int height, int width, int classes, size_t n, scratch *s)
{
    size_t windows = (size_t)height * (size_t)width;
    pg_order_layout(arena, height, width, &s->order);
    s->score = pg_arena_take(arena, n * (size_t)classes, sizeof *s->score);
    s->own = pg_arena_take(arena, n * windows, sizeof *s->own);
    s->rival = pg_arena_take(arena, n * windows, sizeof *s->rival);
    s->sorted = pg_arena_take(arena, windows, sizeof *s->sorted);
    s->sums = pg_arena_take(arena, n * (size_t)classes, sizeof *s->sums);
}

static size_t trimmed_scratch(int height, int width, int classes, size_t n)
{
    pg_arena arena = {0};
    scratch s;
    lay_out(&arena, height, width, classes, n, &s);
    return arena.used;
}

static int64_t trimmed_sum(const pg_order *order, int trim)
{
    return order->prefix[order->positions - trim] - order->prefix[trim];
}

/* The sum of the outside ranks [from, to) for every window, into `sums`: kept where larger than what is there. */
static void raise_to_outside(const pg_order *order, int from, int to, int64_t *sums)
{
    for (int top = 0; top < order->windows->rows.places; top++)
        for (int left = 0; left < order->windows->columns.places; left++, sums++) {
            int64_t sum = pg_order_outside_sum(order, top, left, from, to);
            *sums = PG_MAX(sum, *sums);
        }
}

static pg_verdict evaluate(const pg_evidence *evidence, const pg_windows *windows, int64_t delta, int label, int64_t trim,
                           const int64_t *score, const int64_t *own, const int64_t *rival)
{
    pg_verdict verdict = pg_verdict_of(pg_argmax(score, evidence->classes));
    verdict.decided = pg_decided(score, evidence->classes, (int64_t)evidence->height * evidence->width);
    if (verdict.prediction != label || windows->k > trim)
        return verdict;
    int64_t least = INT64_MAX;
    for (int w = 0; w < windows->count; w++)
        least = pg_margin_over(own[w], rival[w], least);
    pg_verdict_evaluate(&verdict, least, windows->outside, delta);
    return verdict;
}

static void trimmed_certify(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                            size_t n, void *memory, pg_verdict *out)
{
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = memory};
    scratch s;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, n, &s);
    size_t count = (size_t)windows.count, classes = (size_t)evidence->classes;
    int m = evidence->height * evidence->width, k = (int)windows.k;
    for (size_t i = 0; i < n * count; i++)
        s.own[i] = s.rival[i] = PG_NONE;
    for (int c = 0; c < evidence->classes; c++) {
        pg_order_sort(&s.order, evidence, &windows, c);
        for (size_t i = 0; i < n; i++) {
            int trim = (int)((const trimmed_config *)configs[i])->trim;
            s.score[i * classes + (size_t)c] = trimmed_sum(&s.order, trim);
            if (k <= trim && c == label)
                raise_to_outside(&s.order, trim - k, m - k - trim, s.own + i * count);
            else if (k <= trim)
                raise_to_outside(&s.order, trim, m - trim, s.rival + i * count);
        }
    }
    for (size_t i = 0; i < n; i++)
        out[i] = evaluate(evidence, &windows, delta, label, ((const trimmed_config *)configs[i])->trim, s.score + i * classes,
                          s.own + i * count, s.rival + i * count);
}

static int trimmed_predict(const pg_evidence *evidence, pg_window window, const void *config, void *memory)
{
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = memory};
    scratch s;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, 1, &s);
    for (int c = 0; c < evidence->classes; c++) {
        pg_order_sort(&s.order, evidence, &windows, c);
        s.score[c] = trimmed_sum(&s.order, (int)((const trimmed_config *)config)->trim);
    }
    return pg_argmax(s.score, evidence->classes);
}

static void trimmed_predict_double(const pg_evidence *evidence, pg_window window PG_UNUSED, const void *const *configs,
                                   size_t n, void *memory, int *out)
{
    pg_arena arena = {.base = memory};
    scratch s;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, n, &s);
    size_t classes = (size_t)evidence->classes;
    int m = evidence->height * evidence->width;
    for (size_t c = 0; c < classes; c++) {
        pg_order_values(evidence, (int)c, s.sorted);
        for (size_t i = 0; i < n; i++) {
            int trim = (int)((const trimmed_config *)configs[i])->trim;
            s.sums[i * classes + c] = 0;
            for (int r = trim; r < m - trim; r++)
                s.sums[i * classes + c] += s.sorted[r];
        }
    }
    for (size_t i = 0; i < n; i++)
        out[i] = pg_argmax_f64(s.sums + i * classes, evidence->classes);
}

static pg_tensor *trimmed_surrogate(pg_scope *s, const void *config, int kind PG_UNUSED, const pg_map *map, pg_tensor *logits,
                                    pg_tensor *labels)
{
    pg_evidence_spec spec;
    trimmed_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    return pg_soft_trimmed(&soft, ((const trimmed_config *)config)->trim);
}

PG_DEFENSE(trimmed_mean)
const pg_defense pg_defense_trimmed_mean = {
    .module = {.name = "trimmed-mean",
               .summary = "the largest sum without the t smallest and t largest values of a class",
               .source = "defenses/CERTIFICATES.md, section 11",
               .version = 1,
               .options = trimmed_options,
               .config_size = sizeof(trimmed_config),
               .normalize = trimmed_normalize},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .certificate = trimmed_certificate,
    .evidence = trimmed_evidence,
    .check = trimmed_check,
    .certify = trimmed_certify,
    .scratch_size = trimmed_scratch,
    .predict = trimmed_predict,
    .predict_double = trimmed_predict_double,
    .surrogate = trimmed_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
