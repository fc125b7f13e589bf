/* double-masking: two rounds of masks over the map of local evidence, whose sums outside the masks are the scores.
 *
 * Source: Xiang et al. 2022 (PatchCleanser), algorithms 1 and 2; Xiang et al. 2024 (PatchCURE), which masks the features of a
 * network with small receptive fields as well as pixels. Masks are windows that `stride` - 1 positions more on either axis are
 * added to, and start every `stride` positions, the last one at the edge where the axis does not wrap: every window lies under
 * one of them. The class of a pair of masks is that of the largest sum outside both; two-mask agreement (agreement.h) makes a
 * prediction of them, and the certificate asks that the label leads strictly outside every pair.
 *
 * At stride 1, of evidence that is at least 0, it certifies whatever robust-masking without a threshold certifies, and more, since
 * a rival, too, loses what a second mask hides; larger masks of a stride may cost more than that. It needs no bounds of the evidence,
 * of either sign.
 *
 * Where there are none and every window is a mask, the certificate is exact up to ties and to where the grid ends: let a pair
 * of masks (i, j) give another class, and the patch be where i is, with contents so strong for that class that every other mask
 * which leaves it a position gives it. The majority is then that class, and mask i, which alone may differ, does not give the
 * label with every second mask. (Evidence near the end of the grid at +-1024 can outweigh a single position that a mask
 * leaves.)
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
    {.name = "stride",
     .type = PG_OPTION_INT,
     .offset = offsetof(double_config, stride),
     .fallback = "1",
     .min = 1,
     .max = 1024,
     .help = "positions between masks; 1: every window is one, more: fewer and larger masks"},
    {0},
};

static void double_evidence(const void *config, pg_evidence_spec *out)
{
    *out = pg_feature_spec(&((const double_config *)config)->feature, -INFINITY, INFINITY);
}

static int double_settle(void *config)
{
    pg_feature_settle(&((double_config *)config)->feature);
    return PG_OK;
}

static pg_certificate double_certificate(const void *config)
{
    const double_config *c = config;
    bool every_window = c->stride == 1, unbounded = c->feature.type == PG_FEATURE_LOGITS;
    return every_window && unbounded ? PG_CERTIFICATE_EXACT : PG_CERTIFICATE_SOUND;
}

enum { MASKS_MAX = 4096 };

static int double_check(const void *config, int height, int width, int classes)
{
    (void)classes;
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
    int64_t *prefix;  /* [rows.span + 1][columns.span + 1][classes]: sums over the unrolled map above and to the left */
    int *first;       /* [1]: the mask that `outside` is of; -1: none yet */
    int64_t *outside; /* [classes] */
    int64_t *both;    /* [classes] */
    pg_agreement agreement;
} masked_map;

static void carve(pg_arena *arena, int height, int width, int classes, masked_map *m)
{
    size_t cells = (size_t)height * (size_t)width, n = (size_t)classes;
    m->prefix = pg_arena_take(arena, 4 * cells * n, sizeof *m->prefix); /* a span is shorter than twice its axis */
    m->first = pg_arena_take(arena, 1, sizeof *m->first);
    m->outside = pg_arena_take(arena, n, sizeof *m->outside);
    m->both = pg_arena_take(arena, n, sizeof *m->both);
    pg_agreement_carve(arena, height * width, classes, &m->agreement);
}

static size_t double_scratch(int height, int width, int classes, size_t n)
{
    (void)n;
    pg_arena arena = {0};
    masked_map m;
    carve(&arena, height, width, classes, &m);
    return arena.used;
}

/* Masks along an axis. */
static int count_of(const pg_window_axis *axis, int stride)
{
    return axis->wrap ? (axis->places + stride - 1) / stride : (axis->places + stride - 2) / stride + 1;
}

static int place_of(const pg_window_axis *axis, int stride, int mask) { return PG_MIN(mask * stride, axis->places - 1); }

static size_t row_of(const masked_map *m) { return (size_t)(m->masks.columns.span + 1) * (size_t)m->evidence->classes; }

static void add_up(masked_map *m)
{
    const pg_evidence *e = m->evidence;
    const pg_window_axis *rows = &m->masks.rows, *columns = &m->masks.columns;
    size_t classes = (size_t)e->classes, row = row_of(m);
    memset(m->prefix, 0, row * sizeof *m->prefix);
    for (int r = 0; r < rows->span; r++) {
        const int32_t *source = e->q + (size_t)(r % rows->size) * (size_t)e->width * classes;
        const int64_t *above = m->prefix + (size_t)r * row;
        int64_t *to = m->prefix + (size_t)(r + 1) * row, *left = m->both; /* of the row alone */
        memset(left, 0, classes * sizeof *left);
        memset(to, 0, classes * sizeof *to);
        for (int s = 0; s < columns->span; s++) {
            const int32_t *q = source + (size_t)(s % columns->size) * classes;
            size_t at = (size_t)(s + 1) * classes;
            for (size_t c = 0; c < classes; c++) {
                left[c] += q[c];
                to[at + c] = above[at + c] + left[c];
            }
        }
    }
}

/* Adds `times` the sums over rows [top, top + height) and columns [left, left + width) of the unrolled map. */
static void add(const masked_map *m, int top, int left, int height, int width, int times, int64_t *sums)
{
    size_t classes = (size_t)m->evidence->classes, row = row_of(m);
    const int64_t *above = m->prefix + (size_t)top * row + (size_t)left * classes, *below = above + (size_t)height * row;
    size_t right = (size_t)width * classes;
    for (size_t c = 0; c < classes; c++)
        sums[c] += times * (below[right + c] - below[c] - above[right + c] + above[c]);
}

static void prepare(masked_map *m, const pg_evidence *evidence, pg_window window, const double_config *config, void *memory)
{
    pg_arena arena = {.base = memory};
    carve(&arena, evidence->height, evidence->width, evidence->classes, m);
    pg_windows windows = pg_windows_of(evidence, window);
    int more = (int)config->stride - 1;
    m->evidence = evidence;
    *m->first = -1;
    m->stride = (int)config->stride;
    m->masks = pg_windows_of(evidence, (pg_window){windows.rows.length + more, windows.columns.length + more});
    m->across = count_of(&m->masks.columns, m->stride);
    m->count = m->agreement.masks = count_of(&m->masks.rows, m->stride) * m->across;
    add_up(m);
}

/* Sums outside one mask. */
static void outside_one(const masked_map *m, int mask, int64_t *sums)
{
    const pg_window_axis *rows = &m->masks.rows, *columns = &m->masks.columns;
    int top = place_of(rows, m->stride, mask / m->across), left = place_of(columns, m->stride, mask % m->across);
    memset(sums, 0, (size_t)m->evidence->classes * sizeof *sums);
    add(m, 0, 0, rows->size, columns->size, 1, sums);
    add(m, top, left, rows->length, columns->length, -1, sums);
}

/* Where the mask at b is, as a shift from the mask at a. */
static int shift_of(const pg_window_axis *axis, int a, int b) { return axis->wrap ? (b - a + axis->size) % axis->size : b - a; }

/* Sums outside two masks, from those outside the first. */
static void outside_both(const masked_map *m, int first, int second, const int64_t *outside, int64_t *sums)
{
    const pg_window_axis *rows = &m->masks.rows, *columns = &m->masks.columns;
    int top = place_of(rows, m->stride, first / m->across), left = place_of(columns, m->stride, first % m->across);
    int down = place_of(rows, m->stride, second / m->across), along = place_of(columns, m->stride, second % m->across);
    pg_run tall[2], wide[2];
    int n_tall = pg_window_overlap(rows, shift_of(rows, top, down), tall);
    int n_wide = pg_window_overlap(columns, shift_of(columns, left, along), wide);
    memcpy(sums, outside, (size_t)m->evidence->classes * sizeof *sums);
    add(m, down, along, rows->length, columns->length, -1, sums);
    for (int i = 0; i < n_tall; i++)
        for (int j = 0; j < n_wide; j++)
            add(m, top + tall[i].start, left + wide[j].start, tall[i].length, wide[j].length, 1, sums);
}

static int class_of(const void *of, int first, int second)
{
    const masked_map *m = of;
    if (first != *m->first)
        outside_one(m, first, m->outside);
    *m->first = first;
    outside_both(m, first, second, m->outside, m->both);
    return pg_argmax(m->both, m->evidence->classes);
}

static int predict(masked_map *m)
{
    m->agreement.class = class_of;
    m->agreement.of = m;
    return pg_agreement_predict(&m->agreement);
}

static int double_predict(const pg_evidence *evidence, pg_window window, const void *config, void *memory)
{
    masked_map m;
    prepare(&m, evidence, window, config, memory);
    return predict(&m);
}

/* The smallest lead of the label over another class outside any pair; INT64_MAX where there is no other. */
static int64_t least_lead(const masked_map *m, int label)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < m->count; i++) {
        outside_one(m, i, m->outside);
        for (int j = i; j < m->count; j++) {
            outside_both(m, i, j, m->outside, m->both);
            for (int c = 0; c < m->evidence->classes; c++)
                if (c != label)
                    least = pg_margin_over(m->both[label], m->both[c], least);
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
        pg_verdict_judge(&out[i], least_lead(&m, label), m.masks.outside, delta);
        out[i].certified = out[i].certified && m.masks.outside > 0;
    }
}

/* The rule has no scores. Kind 0: the sums over all positions, which most masks follow; kind 1: those outside the masks that do
 * not follow yet. */
static int double_surrogates(const void *config)
{
    (void)config;
    return 2;
}

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
               .settle = double_settle},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .certificate = double_certificate,
    .evidence = double_evidence,
    .check = double_check,
    .certify = double_certify,
    .scratch_size = double_scratch,
    .predict = double_predict,
    .surrogates = double_surrogates,
    .surrogate = double_surrogate,
    .surrogate_version = 1,
    .worst = pg_worst_extreme,
};
