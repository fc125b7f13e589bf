/* robust-masking: the heaviest window of a class is left out of its sum when it holds more than a share T of it.
 *
 * Source: defenses/CERTIFICATES.md, sections 12 and 13; PatchGuard, Algorithm 1, and its per-class revision. Scope per-class
 * masks each class on its own and has a proof; scope predicted is the paper's Algorithm 1, which masks the heaviest window of
 * the largest class for all classes, and reports the paper's Algorithm 2 as a published certificate that is never counted. That
 * certificate knows no locality, so delta has no part in it.
 *
 * Per class, for a malicious window w: lb is the least that masking can leave the label, ub the most that it can leave a rival
 * c: ub = t_c / (1 - T), t_c the sum of c outside w; with a finite clip c_h at most t_c + k c_h, lb = t_y - B if B > T t_y, B
 * the most that any window holds outside w; else t_y less the most that a window overlapping w holds outside it that the
 * attacker can have masked (none: t_y). ub grows with t_c, so the strongest rival outside w stands for all. */
#include "defenses/mask_worst.h"
#include "defenses/masks.h"
#include "defenses/published.h"
#include "defenses/rule.h"
#include "defenses/surrogate.h"

#include <math.h>
#include <string.h>

enum { SCOPE_PER_CLASS, SCOPE_PREDICTED };
static const char *const scopes[] = {"per-class", "predicted", NULL};

typedef struct masking_config {
    int scope;
    pg_feature_choice feature;
    pg_range clip;
    int64_t threshold_ppm;
} masking_config;

static const pg_option masking_options[] = {
    {"scope", PG_OPTION_CHOICE, offsetof(masking_config, scope), "per-class", .choices = scopes,
     .help = "per-class: every class masked on its own, certified; predicted: as published, no proof"},
    PG_FEATURE_OPTIONS(masking_config),
    {"clip", PG_OPTION_RANGE, offsetof(masking_config, clip), "auto",
     .help = "bounds of a feature, the lower one 0; auto: 0:inf for logits, else 0:1"},
    {"threshold", PG_OPTION_PPM, offsetof(masking_config, threshold_ppm), "0", 0, 1,
     .help = "share T of a class's evidence above which its heaviest window is masked"},
    {0},
};

static void masking_evidence(const void *config, pg_evidence_spec *out)
{
    const masking_config *c = config;
    *out = pg_feature_spec(&c->feature, c->clip.lo, c->clip.hi);
}

static int masking_normalize(void *config)
{
    masking_config *c = config;
    if (isnan(c->clip.lo))
        c->clip = (pg_range){0.0, c->feature.type == PG_FEATURE_LOGITS ? INFINITY : 1.0};
    if (c->clip.lo != 0.0)
        return pg_fail(PG_EINPUT, "clip=%g:%g: the lower bound has to be 0, since masking takes evidence to be at least 0",
                       c->clip.lo, c->clip.hi);
    pg_evidence_spec spec;
    masking_evidence(config, &spec);
    pg_feature_normalize(&c->feature);
    c->clip = (pg_range){0.0, spec.clip_hi};
    return PG_OK;
}

static pg_certificate masking_certificate(const void *config)
{
    const masking_config *c = config;
    if (c->scope == SCOPE_PREDICTED)
        return PG_CERTIFICATE_NONE;
    return c->threshold_ppm == 0 ? PG_CERTIFICATE_EXACT : PG_CERTIFICATE_SOUND;
}

/* Whether a window holds more than the share T of a total. */
static bool exceeds(int64_t window, int64_t threshold_ppm, int64_t total)
{
    return (pg_int128)window * PG_PPM > (pg_int128)threshold_ppm * total;
}

/* Everything about an image and a window size that the thresholds share. */
typedef struct image {
    const pg_evidence *evidence;
    pg_windows windows;
    int label;
    int64_t delta;
    pg_sums sums;
    pg_plane own, other; /* of the label; of one class after the other */
    pg_disjoint disjoint;
    int64_t *score;       /* [classes] */
    int64_t *rest;        /* [windows] sum of the label outside w: t_y */
    int64_t *rival;       /* [windows] largest sum of a wrong class outside w: t_c; PG_NONE if there is no wrong class */
    int64_t *overlapping; /* [windows] most that a window overlapping w holds of the label outside w */
    int64_t *heaviest;    /* [windows] most that any window holds of the label outside w: B */
    pg_published published;
    void *work;
} image;

static void lay_out(pg_arena *arena, int height, int width, int classes, image *im)
{
    size_t windows = (size_t)height * (size_t)width;
    pg_sums_layout(arena, height, width, classes, &im->sums);
    pg_plane_layout(arena, height, width, &im->own);
    pg_plane_layout(arena, height, width, &im->other);
    pg_disjoint_layout(arena, height, width, &im->disjoint);
    im->score = pg_arena_take(arena, (size_t)classes, sizeof *im->score);
    im->rest = pg_arena_take(arena, windows, sizeof *im->rest);
    im->rival = pg_arena_take(arena, windows, sizeof *im->rival);
    im->overlapping = pg_arena_take(arena, windows, sizeof *im->overlapping);
    im->heaviest = pg_arena_take(arena, windows, sizeof *im->heaviest);
    size_t sums_work = pg_sums_work_size(height, width, classes), overlapping_work = pg_overlapping_work_size(height, width);
    im->work = pg_arena_take(arena, PG_MAX(sums_work, overlapping_work), 1);
}

/* The same before rounding, for predict_double. Nothing is ever taken away from a sum: what is 0 stays 0. */
typedef struct unrounded {
    double *along;          /* [height][columns.places][classes]: sums along one row of a window */
    double *total, *score;  /* [classes] */
    double *sum, *heaviest; /* [classes]: of one window, of the heaviest one */
    int *place;             /* [classes]: the heaviest window, the first among equals */
} unrounded;

static void lay_out_unrounded(pg_arena *arena, int height, int width, int classes, unrounded *u)
{
    size_t n = (size_t)classes;
    u->along = pg_arena_take(arena, (size_t)height * (size_t)width * n, sizeof *u->along);
    u->total = pg_arena_take(arena, n, sizeof *u->total);
    u->score = pg_arena_take(arena, n, sizeof *u->score);
    u->sum = pg_arena_take(arena, n, sizeof *u->sum);
    u->heaviest = pg_arena_take(arena, n, sizeof *u->heaviest);
    u->place = pg_arena_take(arena, n, sizeof *u->place);
}

static size_t masking_scratch(int height, int width, int classes, size_t n PG_UNUSED)
{
    pg_arena arena = {0}, worst = {0}, real = {0};
    image im;
    pg_mask_worst room;
    unrounded u;
    lay_out(&arena, height, width, classes, &im);
    pg_mask_worst_layout(&worst, height, width, &room);
    lay_out_unrounded(&real, height, width, classes, &u);
    size_t most = PG_MAX(arena.used, worst.used);
    return PG_MAX(most, real.used);
}

/* Prediction of scope per-class; `masked` (may be NULL): whether anything is. */
static int predict_per_class(const pg_sums *sums, int classes, int64_t threshold_ppm, int64_t *score, bool *masked)
{
    bool any = false;
    for (int c = 0; c < classes; c++) {
        bool mask = exceeds(sums->heaviest[c], threshold_ppm, sums->total[c]);
        score[c] = sums->total[c] - (mask ? sums->heaviest[c] : 0);
        any |= mask;
    }
    if (masked)
        *masked = any;
    return pg_argmax(score, classes);
}

/* Prediction of scope predicted (Algorithm 1). `plane` is room for the class with the largest total. */
static int predict_predicted(const pg_evidence *evidence, const pg_windows *windows, const int64_t *total,
                             int64_t threshold_ppm, pg_plane *plane, int64_t *score, bool *masked)
{
    int largest = pg_argmax(total, evidence->classes), classes = evidence->classes;
    pg_plane_run(plane, evidence, windows, largest);
    int x = pg_argmax(plane->sum, windows->count), top = x / windows->columns.places, left = x % windows->columns.places;
    bool mask = exceeds(plane->sum[x], threshold_ppm, total[largest]);
    if (masked)
        *masked = mask;
    if (!mask)
        return largest;
    for (int c = 0; c < classes; c++)
        score[c] = total[c];
    for (int r = 0; r < windows->rows.length; r++)
        for (int s = 0; s < windows->columns.length; s++) {
            int row = (top + r) % evidence->height, column = (left + s) % evidence->width;
            const int32_t *q = evidence->q + ((size_t)row * (size_t)evidence->width + (size_t)column) * (size_t)classes;
            for (int c = 0; c < classes; c++)
                score[c] -= q[c];
        }
    return pg_argmax(score, classes);
}

/* The numbers of one threshold. */
typedef struct bounds {
    int64_t threshold_ppm, keep_ppm; /* T and 1 - T */
    bool limited;                    /* c_h is finite */
    int64_t limit, window_bound;     /* c_h and k c_h on the grid */
} bounds;

/* Whether lb exceeds ub for a rival with t outside the window: it has to beat one of the two upper bounds. */
static bool beats(const bounds *b, int64_t lb, int64_t t)
{
    return (pg_int128)lb * b->keep_ppm > (pg_int128)t * PG_PPM || (b->limited && lb > t + b->window_bound);
}

/* Whether lb - ub rounded down is below `margin`; not for an unbounded rival, which certify_per_class turns away. */
static bool below(const bounds *b, int64_t lb, int64_t t, int64_t margin)
{
    bool scaled = b->keep_ppm == 0 || (pg_int128)t * PG_PPM > ((pg_int128)lb - margin) * b->keep_ppm;
    return scaled && !(b->limited && lb - (t + b->window_bound) >= margin);
}

/* lb - ub rounded down, saturating at the lower end; not for an unbounded rival. */
static int64_t difference(const bounds *b, int64_t lb, int64_t t)
{
    pg_int128 best = INT64_MIN, plain = (pg_int128)lb - t - b->window_bound;
    if (b->keep_ppm > 0) {
        pg_int128 scaled = lb - ((pg_int128)t * PG_PPM + b->keep_ppm - 1) / b->keep_ppm;
        best = PG_MAX(scaled, best);
    }
    return (int64_t)(b->limited ? PG_MAX(plain, best) : best);
}

/* The condition with measured locality: every position outside w may move by delta, against the label and for the rival. */
static bool survives(const image *im, const bounds *b, int64_t rest, int64_t heaviest, int64_t t)
{
    pg_int128 leak = (pg_int128)im->windows.outside * im->delta;
    pg_int128 label = (pg_int128)rest - heaviest - leak, rival = (pg_int128)t + leak;
    if (label <= 0)
        return false; /* also keeps the products below small */
    return label * b->keep_ppm > rival * PG_PPM || (b->limited && label > rival + b->window_bound);
}

/* lb of window w against a rival with t outside it. Where the search for windows that can be raised is needed, it is left out
 * if even the least lb beats the rival and does not lower the margin: the result is then that least lb, with which both still
 * hold. */
static int64_t lower_bound(const image *im, const bounds *b, int w, int64_t t, int64_t margin)
{
    int64_t rest = im->rest[w];
    if (exceeds(im->heaviest[w], b->threshold_ppm, rest))
        return rest - im->heaviest[w];
    /* Nothing is masked with w empty; the attacker may raise a window that overlaps w until it is. */
    int64_t least = rest - im->overlapping[w];
    if (!b->limited || (beats(b, least, t) && !below(b, least, t, margin)))
        return least;
    int columns = im->windows.columns.places;
    return rest - pg_overlapping_feasible(&im->own, w / columns, w % columns, b->limit, b->threshold_ppm, rest);
}

/* pg_verdict.decided of scope per-class. What is masked is taken for certain only where rounding cannot change it, of P values
 * in a total and k in a window; else the least and the most of a score count. */
static bool decided(const image *im, int64_t threshold_ppm, int prediction)
{
    int64_t k = im->windows.k, all = k + im->windows.outside, least = 0;
    pg_int128 room = (pg_int128)k * PG_PPM + (pg_int128)threshold_ppm * all;
    for (int i = -1; i < im->evidence->classes; i++) {
        int c = i < 0 ? prediction : i; /* the prediction first */
        int64_t total = im->sums.total[c], heaviest = im->sums.heaviest[c];
        pg_int128 above = (pg_int128)heaviest * PG_PPM - (pg_int128)threshold_ppm * total;
        if (i < 0)
            least = total - (above < -room ? 0 : heaviest) - 2 * (all + k);
        else if (i != prediction && total - (above > room ? heaviest : 0) >= least)
            return false;
    }
    return true;
}

static pg_verdict certify_per_class(const image *im, const masking_config *config)
{
    bool masked;
    pg_verdict verdict =
        pg_verdict_of(predict_per_class(&im->sums, im->evidence->classes, config->threshold_ppm, im->score, &masked));
    verdict.masked = masked;
    verdict.decided = decided(im, config->threshold_ppm, verdict.prediction);
    bounds b = {.threshold_ppm = config->threshold_ppm, .keep_ppm = PG_PPM - config->threshold_ppm};
    int64_t lo;
    b.limited = pg_evidence_range(im->evidence->spec, &lo, &b.limit);
    b.window_bound = im->windows.k * b.limit;
    if (verdict.prediction != im->label || (b.keep_ppm == 0 && !b.limited))
        return verdict;
    bool certified = im->windows.outside > 0;
    verdict.margin = INT64_MAX;
    for (int w = 0; w < im->windows.count && im->rival[w] != PG_NONE; w++) {
        int64_t t = im->rival[w], lb = lower_bound(im, &b, w, t, verdict.margin);
        certified = certified && beats(&b, lb, t) && (im->delta == 0 || survives(im, &b, im->rest[w], im->heaviest[w], t));
        if (below(&b, lb, t, verdict.margin))
            verdict.margin = difference(&b, lb, t);
    }
    verdict.has_margin = verdict.margin != INT64_MAX;
    verdict.margin = verdict.has_margin ? verdict.margin : 0;
    verdict.certified = certified;
    return verdict;
}

static pg_verdict certify_predicted(image *im, const masking_config *config)
{
    bool masked;
    pg_verdict verdict = pg_verdict_of(
        predict_predicted(im->evidence, &im->windows, im->sums.total, config->threshold_ppm, &im->other, im->score, &masked));
    verdict.masked = masked;
    verdict.failure_case = pg_published_case(&im->published, &im->windows, &im->sums, im->label, config->threshold_ppm);
    verdict.certified_published = verdict.failure_case == 4;
    return verdict;
}

/* One pass for all thresholds. */
static void examine(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                    size_t n, void *scratch, image *im)
{
    *im = (image){.evidence = evidence, .windows = pg_windows_of(evidence, window), .label = label, .delta = delta};
    pg_arena arena = {.base = scratch};
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, im);
    pg_sums_run(evidence, &im->windows, label, im->work, &im->sums);
    pg_plane_run(&im->own, evidence, &im->windows, label);
    pg_disjoint_run(&im->disjoint, &im->windows, im->own.sum);
    pg_overlapping_run(&im->own, im->work, im->overlapping);
    for (int top = 0, w = 0; top < im->windows.rows.places; top++)
        for (int left = 0; left < im->windows.columns.places; left++, w++) {
            int64_t benign = pg_heavier(im->disjoint.rows[top], im->disjoint.columns[left]).sum;
            im->heaviest[w] = PG_MAX(benign, im->overlapping[w]);
            im->rest[w] = im->sums.total[label] - im->sums.own[w];
            im->rival[w] = PG_MAX(im->sums.before[w], im->sums.after[w]);
        }
    bool published = false;
    for (size_t i = 0; i < n; i++)
        published |= ((const masking_config *)configs[i])->scope == SCOPE_PREDICTED;
    if (published)
        im->published =
            pg_published_run(evidence, &im->windows, &im->sums, label, &im->own, im->overlapping, &im->other, &im->disjoint);
}

static void masking_certify(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                            size_t n, void *scratch, pg_verdict *out)
{
    image im;
    examine(evidence, window, delta, label, configs, n, scratch, &im);
    for (size_t i = 0; i < n; i++) {
        const masking_config *config = configs[i];
        out[i] = config->scope == SCOPE_PREDICTED ? certify_predicted(&im, config) : certify_per_class(&im, config);
    }
}

static int masking_predict(const pg_evidence *evidence, pg_window window, const void *config, void *scratch)
{
    const masking_config *c = config;
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = scratch};
    image im;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, &im);
    if (c->scope == SCOPE_PREDICTED) {
        pg_totals(evidence, im.sums.total);
        return predict_predicted(evidence, &windows, im.sums.total, c->threshold_ppm, &im.own, im.score, NULL);
    }
    pg_sums_run(evidence, &windows, 0, im.work, &im.sums);
    return predict_per_class(&im.sums, evidence->classes, c->threshold_ppm, im.score, NULL);
}

static void add_values(const double *values, int classes, double *sums)
{
    for (int c = 0; c < classes; c++)
        sums[c] += values[c];
}

static void add_along(const pg_evidence *e, const pg_windows *windows, const unrounded *u)
{
    size_t classes = (size_t)e->classes, places = (size_t)windows->columns.places;
    memset(u->along, 0, (size_t)e->height * places * classes * sizeof *u->along);
    memset(u->total, 0, classes * sizeof *u->total);
    for (int row = 0; row < e->height; row++) {
        const double *values = e->values + (size_t)row * (size_t)e->width * classes;
        for (int column = 0; column < e->width; column++)
            add_values(values + (size_t)column * classes, e->classes, u->total);
        for (int left = 0; left < windows->columns.places; left++)
            for (int s = 0; s < windows->columns.length; s++)
                add_values(values + (size_t)((left + s) % e->width) * classes, e->classes,
                           u->along + ((size_t)row * places + (size_t)left) * classes);
    }
}

static void find_heaviest(const pg_evidence *e, const pg_windows *windows, const unrounded *u)
{
    size_t classes = (size_t)e->classes;
    int places = windows->columns.places;
    for (int w = 0; w < windows->count; w++) {
        memset(u->sum, 0, classes * sizeof *u->sum);
        for (int r = 0; r < windows->rows.length; r++) {
            int row = (w / places + r) % e->height;
            add_values(u->along + (size_t)(row * places + w % places) * classes, e->classes, u->sum);
        }
        for (size_t c = 0; c < classes; c++)
            if (w == 0 || u->sum[c] > u->heaviest[c]) {
                u->heaviest[c] = u->sum[c];
                u->place[c] = w;
            }
    }
}

/* The sum of a class outside a window. */
static double rest_of(const pg_evidence *e, const pg_windows *windows, int class, int window)
{
    int top = window / windows->columns.places, left = window % windows->columns.places;
    double sum = 0;
    for (int row = 0; row < e->height; row++)
        for (int column = 0; column < e->width; column++) {
            bool inside = (row - top + e->height) % e->height < windows->rows.length &&
                          (column - left + e->width) % e->width < windows->columns.length;
            if (!inside)
                sum += e->values[((size_t)row * (size_t)e->width + (size_t)column) * (size_t)e->classes + (size_t) class];
        }
    return sum;
}

static void masking_predict_double(const pg_evidence *e, pg_window window, const void *const *configs, size_t n, void *scratch,
                                   int *out)
{
    pg_windows windows = pg_windows_of(e, window);
    pg_arena arena = {.base = scratch};
    unrounded u;
    lay_out_unrounded(&arena, e->height, e->width, e->classes, &u);
    add_along(e, &windows, &u);
    find_heaviest(e, &windows, &u);
    int largest = pg_argmax_f64(u.total, e->classes);
    for (size_t i = 0; i < n; i++) {
        const masking_config *config = configs[i];
        for (int c = 0; c < e->classes; c++) {
            int by = config->scope == SCOPE_PREDICTED ? largest : c;
            bool mask = u.heaviest[by] * PG_PPM > (double)config->threshold_ppm * u.total[by];
            u.score[c] = mask ? rest_of(e, &windows, c, u.place[by]) : u.total[c];
        }
        out[i] = pg_argmax_f64(u.score, e->classes);
    }
}

static bool masking_worst(const pg_evidence *evidence, pg_window window, const void *config, const pg_worst *which,
                          void *scratch, int32_t *contents)
{
    const masking_config *c = config;
    pg_arena arena = {.base = scratch};
    pg_mask_worst room;
    pg_mask_worst_layout(&arena, evidence->height, evidence->width, &room);
    if (c->scope == SCOPE_PREDICTED)
        return pg_mask_worst_predicted(&room, evidence, window, c->threshold_ppm, which, contents);
    return pg_mask_worst_per_class(&room, evidence, window, c->threshold_ppm, which, contents);
}

static int masking_surrogates(const void *config) { return ((const masking_config *)config)->scope == SCOPE_PREDICTED ? 2 : 1; }

static pg_tensor *masking_surrogate(pg_scope *s, const void *config, int kind, const pg_map *map, pg_tensor *logits,
                                    pg_tensor *labels)
{
    const masking_config *c = config;
    pg_evidence_spec spec;
    masking_evidence(config, &spec);
    pg_soft soft = pg_soft_of(s, &spec, map, logits, labels);
    double threshold = (double)c->threshold_ppm / PG_PPM;
    if (c->scope == SCOPE_PER_CLASS)
        return pg_soft_masked(&soft, threshold);
    return kind == 0 ? pg_soft_masked_predicted(&soft, threshold) : pg_soft_masked_label(&soft);
}

/* Scope predicted leaves out one window for all classes: that of the class with the largest total. */
static bool masking_masked(const pg_evidence *evidence, pg_window window, const void *config, int c, void *scratch, int *top,
                           int *left)
{
    const masking_config *settings = config;
    pg_windows windows = pg_windows_of(evidence, window);
    pg_arena arena = {.base = scratch};
    image im;
    lay_out(&arena, evidence->height, evidence->width, evidence->classes, &im);
    pg_totals(evidence, im.sums.total);
    int by = settings->scope == SCOPE_PREDICTED ? pg_argmax(im.sums.total, evidence->classes) : c;
    pg_plane_run(&im.own, evidence, &windows, by);
    int x = pg_argmax(im.own.sum, windows.count);
    *top = x / windows.columns.places;
    *left = x % windows.columns.places;
    return exceeds(im.own.sum[x], settings->threshold_ppm, im.sums.total[by]);
}

PG_DEFENSE(robust_masking)
const pg_defense pg_defense_robust_masking = {
    .module = {.name = "robust-masking",
               .summary = "leaves the heaviest window out where it holds too large a share",
               .source = "Xiang et al. 2021 (PatchGuard), III-D and IV, and its per-class revision",
               .version = 1,
               .options = masking_options,
               .config_size = sizeof(masking_config),
               .normalize = masking_normalize},
    .level = PG_LEVEL_FEATURE,
    .monotone = true,
    .masks = true,
    .certificate = masking_certificate,
    .evidence = masking_evidence,
    .certify = masking_certify,
    .scratch_size = masking_scratch,
    .predict = masking_predict,
    .predict_double = masking_predict_double,
    .surrogates = masking_surrogates,
    .surrogate = masking_surrogate,
    .surrogate_version = 1,
    .worst = masking_worst,
    .masked = masking_masked,
};
