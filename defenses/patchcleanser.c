/* patchcleanser: two rounds of masks over any classifier.
 *
 * Source: Xiang et al. 2022 (PatchCleanser), algorithms 1 and 2. Masks are one size and lie on a grid such that every place of
 * the patch is hidden by at least one of them. Position (i, j) of the map is the image with masks i and j, its class the arg
 * max of the logits (the lower index among equals). Prediction and certificate: two-mask agreement (agreement.h). A patch that
 * mask i hides changes nothing of row i and column i. The margin is the smallest margin of the label in a pair. Proof:
 * defenses/CERTIFICATES.md, section 16.
 *
 * Few masked images decide most images (DIFFERS: the publication runs all): pairs are asked for hardest first, until one
 * refutes the certificate, which then has no margin; a prediction alone needs the masks alone and few rows of pairs. */
#include "defenses/agreement.h"
#include "defenses/rule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct cleanser_config {
    int64_t masks, fill;
    int pairs, tokens;
} cleanser_config;

enum { PAIRS_CERTIFICATE, PAIRS_ALL, PAIRS_PREDICTION };
enum { TOKENS_FILL, TOKENS_DROP };
static const char *const tokens_names[] = {"fill", "drop", NULL};
static const char *const pairs_names[] = {"certificate", "all", "prediction", NULL};

static const pg_option options[] = {
    {"fill", PG_OPTION_INT, offsetof(cleanser_config, fill), "128", 0, 255, .help = "what stands under a mask, in all colours"},
    {"masks", PG_OPTION_INT, offsetof(cleanser_config, masks), "6", 2, 16,
     .help = "masks along either axis, at most; the model runs once for each pair of all masks"},
    {"pairs", PG_OPTION_CHOICE, offsetof(cleanser_config, pairs), "certificate", .choices = pairs_names, .later = true,
     .before = "all",
     .help = "that run: until one refutes the certificate, which then has no margin; all; or for the prediction alone"},
    {"tokens", PG_OPTION_CHOICE, offsetof(cleanser_config, tokens), "fill", .choices = tokens_names, .later = true,
     .help = "of a vision transformer that a mask hides wholly: filled as other pixels, or dropped"},
    {0},
};

/* ---- Masks ---- */

/* The masks along one axis of `size` pixels: they start every `step` pixels, the last one at the edge. */
typedef struct mask_axis {
    int size, length, step, count;
} mask_axis;

static mask_axis masks_of(const cleanser_config *c, int size, int patch)
{
    int places = size - patch + 1, masks = (int)c->masks, step = (places + masks - 1) / masks;
    return (mask_axis){.size = size, .length = patch + step - 1, .step = step, .count = (places + step - 1) / step};
}

/* The pixels of a mask of `masks`. */
static pg_mask_part mask_at(const cleanser_config *c, const pg_image_patch_size *f, int mask, int masks)
{
    mask_axis y = masks_of(c, f->height, f->patch_height), x = masks_of(c, f->width, f->patch_width);
    return (pg_mask_part){.position = mask * (masks + 1),
                          .top = PG_MIN(mask / x.count * y.step, y.size - y.length),
                          .left = PG_MIN(mask % x.count * x.step, x.size - x.length),
                          .height = y.length,
                          .width = x.length,
                          .left_out = c->tokens == TOKENS_DROP};
}

static void fill_mask(const cleanser_config *c, const pg_image_patch_size *f, int mask, uint8_t *pixels)
{
    pg_mask_part m = mask_at(c, f, mask, 0);
    for (int plane = 0; plane < 3; plane++)
        for (int row = m.top; row < m.top + m.height; row++)
            memset(pixels + ((size_t)plane * (size_t)f->height + (size_t)row) * (size_t)f->width + m.left, (int)c->fill,
                   (size_t)m.width);
}

static int cleanser_map(const void *config, const pg_image_patch_size *f, pg_map *map)
{
    mask_axis y = masks_of(config, f->height, f->patch_height), x = masks_of(config, f->width, f->patch_width);
    int masks = y.count * x.count;
    if (masks < 3)
        return pg_fail(PG_EINPUT,
                       "a patch of %dx%d pixels leaves room for %d mask%s on an image of %dx%d; at least 3 are needed",
                       f->patch_height, f->patch_width, masks, masks == 1 ? "" : "s", f->height, f->width);
    *map = (pg_map){.height = masks,
                    .width = masks,
                    .wrap_rows = true,
                    .wrap_columns = true,
                    .window = {masks - 1, masks - 1}}; /* all but the row and the column of the mask that hides the patch */
    return PG_OK;
}

static int cleanser_mask(const void *config, const pg_image_patch_size *f, int row, int column, const uint8_t *pixels,
                         uint8_t *out)
{
    mask_axis y = masks_of(config, f->height, f->patch_height), x = masks_of(config, f->width, f->patch_width);
    int masks = y.count * x.count;
    if (column < row)
        return column * masks + row;
    memcpy(out, pixels, (size_t)3 * (size_t)f->height * (size_t)f->width);
    fill_mask(config, f, row, out);
    fill_mask(config, f, column, out);
    return row * masks + column;
}

static int pairs_of(const void *config) { return ((const cleanser_config *)config)->pairs; }

/* With all pairs, networks run on whole masked images, as results from before the other choices have it. */
static int cleanser_parts(const void *config, const pg_image_patch_size *f, int row, int column, pg_mask_part parts[2])
{
    mask_axis y = masks_of(config, f->height, f->patch_height), x = masks_of(config, f->width, f->patch_width);
    int masks = y.count * x.count;
    if (pairs_of(config) == PAIRS_ALL && ((const cleanser_config *)config)->tokens == TOKENS_FILL)
        return 0;
    parts[0] = mask_at(config, f, row, masks);
    parts[1] = mask_at(config, f, column, masks);
    return row == column ? 1 : 2;
}

/* ---- The rule ---- */

static int cleanser_check(const void *config PG_UNUSED, int height, int width, int classes PG_UNUSED)
{
    return height == width && height >= 3
               ? PG_OK
               : pg_fail(PG_EINPUT, "a map of %dx%d; pairs of masks make a square one, of at least 3x3", height, width);
}

static void cleanser_evidence(const void *config PG_UNUSED, pg_evidence_spec *out)
{
    *out = (pg_evidence_spec){.feature = PG_FEATURE_LOGITS, .clip_lo = -INFINITY, .clip_hi = INFINITY};
    pg_evidence_normalize(out);
}

static pg_certificate cleanser_certificate(const void *config)
{
    return pairs_of(config) == PAIRS_PREDICTION ? PG_CERTIFICATE_NONE
                                                : PG_CERTIFICATE_EXACT; /* of predictions that a patch may choose freely for
                                                                           each pair it touches; pixels may not allow it */
}

/* A pair of masks that has not run. */
typedef struct candidate {
    int64_t sum; /* of the label's margins with either mask alone */
    int position;
} candidate;

static void lay_out(pg_arena *arena, int masks, int classes, pg_agreement *a, candidate **candidates)
{
    pg_agreement_layout(arena, masks, classes, a);
    *candidates = pg_arena_take(arena, (size_t)masks * (size_t)masks, sizeof **candidates);
}

static size_t cleanser_scratch(int height, int width, int classes, size_t n PG_UNUSED)
{
    pg_arena arena = {0};
    pg_agreement a;
    candidate *candidates;
    lay_out(&arena, PG_MAX(height, width), classes, &a, &candidates);
    return arena.used;
}

static int class_of(const void *of, int first, int second)
{
    const pg_evidence *e = of;
    const int32_t *q = e->q + (size_t)(first * e->width + second) * (size_t)e->classes;
    int best = 0;
    for (int c = 1; c < e->classes; c++)
        best = q[c] > q[best] ? c : best;
    return best;
}

static int cleanser_predict(const pg_evidence *e, pg_window window PG_UNUSED, const void *config PG_UNUSED, void *memory)
{
    pg_arena arena = {.base = memory};
    pg_agreement a = {.class = class_of, .of = e};
    pg_agreement_layout(&arena, e->height, e->classes, &a);
    return pg_agreement_predict(&a);
}

static int class_of_values(const void *of, int first, int second)
{
    const pg_evidence *e = of;
    return pg_argmax_f64(e->values + (size_t)(first * e->width + second) * (size_t)e->classes, e->classes);
}

static void cleanser_predict_double(const pg_evidence *e, pg_window window PG_UNUSED, const void *const *configs PG_UNUSED,
                                    size_t n, void *memory, int *out)
{
    pg_arena arena = {.base = memory};
    pg_agreement a = {.class = class_of_values, .of = e};
    pg_agreement_layout(&arena, e->height, e->classes, &a);
    int prediction = pg_agreement_predict(&a);
    for (size_t i = 0; i < n; i++)
        out[i] = prediction;
}

/* The margin of a class over the next at a position; INT64_MAX where there is no other. */
static int64_t margin_at(const pg_evidence *e, int position, int class)
{
    const int32_t *q = e->q + (size_t)position * (size_t)e->classes;
    int64_t least = INT64_MAX;
    for (int c = 0; c < e->classes; c++)
        if (c != class)
            least = pg_margin_over(q[class], q[c], least);
    return least;
}

/* The smallest margin of the label over another class in any pair; INT64_MAX where there is no other. */
static int64_t least_margin(const pg_evidence *e, int label)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < e->height * e->width; i++) {
        int64_t margin = margin_at(e, i, label);
        least = PG_MIN(margin, least);
    }
    return least;
}

static void cleanser_certify(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs,
                             size_t n, void *memory, pg_verdict *out)
{
    pg_windows windows = pg_windows_of(e, window);
    pg_verdict bare = pg_verdict_of(cleanser_predict(e, window, configs[0], memory)), verdict = bare;
    if (verdict.prediction == label) {
        int64_t least = least_margin(e, label);
        pg_verdict_evaluate(&verdict, least, 1, delta);
        verdict.decided = bare.decided = least > 1;
        /* some mask has to be left whole, with all second masks */
        verdict.certified = verdict.certified && windows.rows.length < e->height && windows.columns.length < e->width;
    }
    for (size_t i = 0; i < n; i++) {
        int pairs = pairs_of(configs[i]);
        out[i] = pairs == PAIRS_ALL || (pairs == PAIRS_CERTIFICATE && verdict.certified) ? verdict : bare;
    }
}

/* ---- Which masked images are needed ---- */

/* Of all masks alone, or of all pairs: those that are not known, each pair once. */
static int unknown(int masks, const bool *known, bool pairs, int *next)
{
    int n = 0;
    for (int i = 0; i < masks; i++)
        for (int j = i; j < (pairs ? masks : i + 1); j++)
            if (!known[i * masks + j])
                next[n++] = i * masks + j;
    return n;
}

/* Whether rounding to the grid may decide what a pair gives: then the rule in double may ask for other pairs. */
static bool is_close(const pg_evidence *e, const bool *known)
{
    for (int i = 0; i < e->width * e->width; i++)
        if (known[i] && margin_at(e, i, class_of(e, i / e->width, i % e->width)) <= 1)
            return true;
    return false;
}

/* No two classes are close. */
static bool is_refuted(const pg_evidence *e, const bool *known, int label)
{
    for (int i = 0; i < e->width * e->width; i++)
        if (known[i] && class_of(e, i / e->width, i % e->width) != label)
            return true;
    return false;
}

static int harder(const void *first, const void *second)
{
    const candidate *a = first, *b = second;
    return a->sum != b->sum ? (a->sum > b->sum) - (a->sum < b->sum) : (a->position > b->position) - (a->position < b->position);
}

/* As many of the hardest pairs as masked images have run, so that few run for nothing once one refutes. */
static int hardest(const pg_evidence *e, const bool *known, int label, candidate *candidates, int *next)
{
    static const int64_t most = (int64_t)1 << 32; /* above any margin, but where there is one class */
    int masks = e->width, n = unknown(masks, known, true, next), run = masks * (masks + 1) / 2 - n;
    for (int i = 0; i < n; i++) {
        int64_t first = margin_at(e, next[i] / masks * (masks + 1), label),
                second = margin_at(e, next[i] % masks * (masks + 1), label);
        candidates[i] = (candidate){PG_MIN(first, most) + PG_MIN(second, most), next[i]};
    }
    qsort(candidates, (size_t)n, sizeof *candidates, harder);
    n = PG_MIN(n, run);
    for (int i = 0; i < n; i++)
        next[i] = candidates[i].position;
    return n;
}

static int cleanser_wanted(const pg_evidence *e, const bool *known, int label, const void *config, void *memory, int *next)
{
    int masks = e->width, pairs = label < 0 ? PAIRS_PREDICTION : pairs_of(config), n = 0;
    pg_arena arena = {.base = memory};
    pg_agreement a = {.class = class_of, .of = e};
    candidate *candidates;
    lay_out(&arena, masks, e->classes, &a, &candidates);
    if (pairs == PAIRS_ALL)
        return unknown(masks, known, true, next);
    n = unknown(masks, known, false, next);
    if (n > 0)
        return n;
    if (is_close(e, known))
        return unknown(masks, known, true, next);
    if (pairs == PAIRS_CERTIFICATE && !is_refuted(e, known, label))
        return hardest(e, known, label, candidates, next);
    int open = pg_agreement_open(&a, known);
    for (int j = 0; open >= 0 && j < masks; j++)
        if (!known[open * masks + j])
            next[n++] = open * masks + j;
    return n;
}

/* All pairs that the patch touches give the rival. */
static bool cleanser_worst(const pg_evidence *e, pg_window window, const void *config PG_UNUSED, const pg_worst *which,
                           void *memory PG_UNUSED, int32_t *contents)
{
    pg_windows windows = pg_windows_of(e, window);
    for (int64_t i = 0; i < windows.k * e->classes; i++)
        contents[i] = i % e->classes == which->rival ? PG_EVIDENCE_MAX : -PG_EVIDENCE_MAX;
    return which->variant == 0;
}

PG_DEFENSE(patchcleanser)
const pg_defense pg_defense_patchcleanser = {
    .module = {.name = "patchcleanser",
               .summary = "two rounds of masks over any classifier",
               .source = "Xiang et al. 2022 (PatchCleanser)",
               .version = 1,
               .options = options,
               .config_size = sizeof(cleanser_config)},
    .level = PG_LEVEL_IMAGE,
    .certificate = cleanser_certificate,
    .evidence = cleanser_evidence,
    .check = cleanser_check,
    .masked_map = cleanser_map,
    .mask_image = cleanser_mask,
    .mask_parts = cleanser_parts,
    .wanted = cleanser_wanted,
    .certify = cleanser_certify,
    .scratch_size = cleanser_scratch,
    .predict = cleanser_predict,
    .predict_double = cleanser_predict_double,
    .worst = cleanser_worst,
};
