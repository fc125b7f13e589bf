/* double-masking: two rounds of masks over the map of local evidence, whose sums outside the masks are the scores.
 *
 * Source: Xiang et al. 2022 (PatchCleanser), algorithms 1 and 2; Xiang et al. 2024 (PatchCURE), which masks the features of a
 * network with small receptive fields as well as pixels. Masks are windows that `stride` - 1 positions more on either axis are
 * added to, and start every `stride` positions, the last one at the edge where the axis does not wrap: every window lies under
 * one of them. The class of a pair of masks is that of the largest sum outside both; two-mask agreement (agreement.h) makes a
 * prediction of them, and the certificate asks that the label leads strictly outside every pair.
 *
 * At stride 1, of evidence that is at least 0, it certifies whatever robust-masking without a threshold certifies, and more,
 * since a rival, too, loses what a second mask hides; larger masks of a stride may cost more than that. It needs no bounds of
 * the evidence, of either sign.
 *
 * Where there are none and every window is a mask, the certificate is exact up to ties and to where the grid ends
 * (defenses/CERTIFICATES.md, section 15).
 *
 * Sums are taken from prefix sums of the unrolled map, classes innermost: a pair costs a few operations a class, whatever the
 * size of its masks. Pairs are as many as the square of the masks; `stride` makes fewer of them. */
#include "defenses/agreement.h"
#include "defenses/rule.h"
#include "defenses/surrogate.h"
#include "defenses/worst.h"

#include <math.h>
#include <string.h>

typedef struct double_config {
    pg_feature_choice feature;
    int64_t stride;
} double_config;

static const pg_option options[] = {
    PG_FEATURE_OPTIONS(double_config),
    {"stride", PG_OPTION_INT, offsetof(double_config, stride), "1", 1, 1024,
     .help = "positions between masks; 1: every window is one, more: fewer and larger masks"},
    {0},
};

static void double_evidence(const void *config, pg_evidence_spec *out)
{
    *out = pg_feature_spec(&((const double_config *)config)->feature, -INFINITY, INFINITY);
}

static int double_normalize(void *config)
{
    pg_feature_normalize(&((double_config *)config)->feature);
    return PG_OK;
}

static pg_certificate double_certificate(const void *config)
{
    const double_config *c = config;
    bool every_window = c->stride == 1, unbounded = c->feature.type == PG_FEATURE_LOGITS;
    return every_window && unbounded ? PG_CERTIFICATE_EXACT : PG_CERTIFICATE_SOUND;
}

enum { MASKS_MAX = 4096 };

static int double_check(const void *config, int height, int width, int classes PG_UNUSED)
{
    int64_t stride = ((const double_config *)config)->stride;
    int64_t down = (height + stride - 1) / stride, across = (width + stride - 1) / stride, least = stride;
    if (down * across <= MASKS_MAX)
        return PG_OK;
    while ((height + least - 1) / least * ((width + least - 1) / least) > MASKS_MAX)
        least++;
    return pg_fail(
        PG_EINPUT,
        "stride=%d makes up to %lld masks on a map of %dx%d, and a second one for each; right would be stride=%lld or more",
        (int)stride, (long long)(down * across), height, width, (long long)least);
}

/* The masks of an image and what the map holds. */
typedef struct masked_map {
    const pg_evidence *evidence;
    pg_windows masks;   /* all places; every stride-th of them is a mask */
    int stride, across; /* `across` masks along a row of the map */
    int count;
    int *first; /* [1]: the mask that `outside` is of; -1: none yet */
    struct {
        int64_t *prefix;  /* [rows.span + 1][columns.span + 1][classes]: sums over the unrolled map above and to the left */
        int64_t *outside; /* [classes] */
        int64_t *both;    /* [classes] */
    } grid;
    struct {
        double *prefix, *outside, *both; /* the same of the values before rounding */
    } real;
    pg_agreement agreement;
} masked_map;

static void lay_out(pg_arena *arena, int height, int width, int classes, masked_map *m)
{
    size_t cells = (size_t)height * (size_t)width, n = (size_t)classes;
    void *prefix = pg_arena_take(arena, 4 * cells * n, 8); /* a span is shorter than twice its axis */
    void *outside = pg_arena_take(arena, n, 8), *both = pg_arena_take(arena, n, 8);
    m->grid.prefix = prefix; /* one or the other */
    m->real.prefix = prefix;
    m->grid.outside = outside;
    m->real.outside = outside;
    m->grid.both = both;
    m->real.both = both;
    m->first = pg_arena_take(arena, 1, sizeof *m->first);
    pg_agreement_layout(arena, height * width, classes, &m->agreement);
}

static size_t double_scratch(int height, int width, int classes, size_t n PG_UNUSED)
{
    pg_arena arena = {0};
    masked_map m;
    lay_out(&arena, height, width, classes, &m);
    return arena.used;
}

/* Masks along an axis. */
static int count_of(const pg_window_axis *axis, int stride)
{
    return axis->wrap ? (axis->places + stride - 1) / stride : (axis->places + stride - 2) / stride + 1;
}

static int place_of(const pg_window_axis *axis, int stride, int mask) { return PG_MIN(mask * stride, axis->places - 1); }

static size_t row_of(const masked_map *m) { return (size_t)(m->masks.columns.span + 1) * (size_t)m->evidence->classes; }

/* Where the mask at b is, as a shift from the mask at a. */
static int shift_of(const pg_window_axis *axis, int a, int b) { return axis->wrap ? (b - a + axis->size) % axis->size : b - a; }

#define SUM     int64_t
#define VALUE   int32_t
#define SOURCE  q
#define PLANES  grid
#define ARGMAX  pg_argmax
#define NAME(x) x##_grid
#include "defenses/double_masking_sums.h"

#define SUM     double
#define VALUE   double
#define SOURCE  values
#define PLANES  real
#define ARGMAX  pg_argmax_f64
#define NAME(x) x##_real
#include "defenses/double_masking_sums.h"

static void prepare(masked_map *m, const pg_evidence *evidence, pg_window window, const double_config *config, void *memory)
{
    pg_arena arena = {.base = memory};
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, m);
    pg_windows windows = pg_windows_of(evidence, window);
    int more = (int)config->stride - 1;
    m->evidence = evidence;
    *m->first = -1;
    m->stride = (int)config->stride;
    m->masks = pg_windows_of(evidence, (pg_window){windows.rows.length + more, windows.columns.length + more});
    m->across = count_of(&m->masks.columns, m->stride);
    m->count = m->agreement.masks = count_of(&m->masks.rows, m->stride) * m->across;
}

static int predict(masked_map *m)
{
    add_up_grid(m);
    m->agreement.class = class_of_grid;
    m->agreement.of = m;
    return pg_agreement_predict(&m->agreement);
}

static int double_predict(const pg_evidence *evidence, pg_window window, const void *config, void *memory)
{
    masked_map m;
    prepare(&m, evidence, window, config, memory);
    return predict(&m);
}

static void double_predict_double(const pg_evidence *evidence, pg_window window, const void *const *configs, size_t n,
                                  void *memory, int *out)
{
    for (size_t i = 0; i < n; i++) {
        masked_map m;
        prepare(&m, evidence, window, configs[i], memory);
        add_up_real(&m);
        m.agreement.class = class_of_real;
        m.agreement.of = &m;
        out[i] = pg_agreement_predict(&m.agreement);
    }
}

/* The smallest margin of the label over another class outside any pair; INT64_MAX where there is no other. */
static int64_t least_margin(const masked_map *m, int label)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < m->count; i++) {
        outside_one_grid(m, i, m->grid.outside);
        for (int j = i; j < m->count; j++) {
            outside_both_grid(m, i, j, m->grid.outside, m->grid.both);
            for (int c = 0; c < m->evidence->classes; c++)
                if (c != label)
                    least = pg_margin_over(m->grid.both[label], m->grid.both[c], least);
        }
    }
    return least;
}

static void double_certify(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                           size_t n, void *memory, pg_verdict *out)
{
    for (size_t i = 0; i < n; i++) {
        masked_map m;
        prepare(&m, evidence, window, configs[i], memory);
        out[i] = pg_verdict_of(predict(&m));
        if (out[i].prediction != label)
            continue;
        int64_t least = least_margin(&m, label);
        pg_verdict_evaluate(&out[i], least, m.masks.outside, delta);
        out[i].decided = least > 2 * (int64_t)evidence->height * evidence->width;
        out[i].certified = out[i].certified && m.masks.outside > 0;
    }
}

/* The rule has no scores. Kind 0: the sums over all positions, which most masks follow; kind 1: those outside the masks that do
 * not follow yet. */
static int double_surrogates(const void *config PG_UNUSED) { return 2; }

static pg_tensor *double_surrogate(pg_scope *s, const void *config, int kind, const pg_map *map, pg_tensor *logits,
                                   pg_tensor *labels)
{
    pg_evidence_spec spec;
    double_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    return kind == 0 ? pg_soft_sum(&soft) : pg_soft_held(&soft);
}

PG_DEFENSE(double_masking)
const pg_defense pg_defense_double_masking = {
    .module = {.name = "double-masking",
               .summary = "two rounds of masks over the map: the class that every second mask agrees on",
               .source = "Xiang et al. 2022 (PatchCleanser); Xiang et al. 2024 (PatchCURE)",
               .version = 1,
               .options = options,
               .config_size = sizeof(double_config),
               .normalize = double_normalize},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .certificate = double_certificate,
    .evidence = double_evidence,
    .check = double_check,
    .certify = double_certify,
    .scratch_size = double_scratch,
    .predict = double_predict,
    .predict_double = double_predict_double,
    .surrogates = double_surrogates,
    .surrogate = double_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
