#include "harness/audit/auditor.h"

#include "defenses/votes.h"
#include "harness/audit/contents.h"
#include "harness/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { VARIANTS_MAX = 1000000 }; /* of the worst contents of one window and class: more are a loop without an end */

struct pg_auditor {
    pg_job job;
    pg_audit_effort effort;
    pg_certificate kind;
    pg_evidence_spec spec;
    pg_evidence evidence; /* of the image; its q is `clean` */
    pg_windows windows;
    bool trades; /* the label trades places with the last class, so that a tie shows */
    bool votes;
    bool unbounded;            /* only the end of the grid bounds a value */
    bool sure;                 /* with locality, the worst votes are certified */
    int64_t lo, hi;            /* of a value */
    int32_t *clean;            /* as the image has it */
    int32_t *base;             /* as it is evaluated: classes traded, perhaps shifted */
    int32_t *now;              /* base with contents in a window */
    int32_t *worst;            /* where `sure`: the worst votes for the label */
    int32_t *contents, *first; /* those to be evaluated; variant 0 of the general ones */
    double *row, *worst_row;
    int64_t *total;
    int *rivals; /* wrong classes as `base` has them, the strongest first */
    void *scratch;
    pg_memory memory; /* of these arrays */
    /* the image in hand */
    int64_t image;
    int label, evaluated; /* the label's place in `clean` and in `base` */
    int worst_prediction; /* of the rule: one that is no class, where there was one; else 0 */
    bool shifted;
    pg_audited *out;
};

static int check(const pg_job *job, int height, int width, int classes)
{
    const pg_defense *d = job->defense;
    if (job->window.height < 1 || job->window.width < 1 || job->delta < 0 || job->logit_delta < 0 || height < 1 || width < 1 ||
        classes < 1)
        return pg_fail(PG_EINPUT, "a map of %dx%dx%d, a window of %dx%d and delta %lld cannot be audited", height, width,
                       classes, job->window.height, job->window.width, (long long)job->delta);
    int code = d->check ? d->check(job->config, height, width, classes) : PG_OK;
    if (code == PG_OK)
        code = pg_rule_check(d, job->config, height, width, classes);
    return code != PG_OK ? pg_fail_at(code, "defense %s", d->module.name) : PG_OK;
}

static int allocate(pg_auditor *a)
{
    const pg_evidence *e = &a->evidence;
    size_t classes = (size_t)e->classes, values = (size_t)e->height * (size_t)e->width * classes;
    size_t inside = (size_t)a->windows.k * classes;
    size_t scratch = a->job.defense->scratch_size(e->height, e->width, e->classes, 1);
    a->clean = pg_memory_take(&a->memory, values, sizeof *a->clean);
    a->base = pg_memory_take(&a->memory, values, sizeof *a->base);
    a->now = pg_memory_take(&a->memory, values, sizeof *a->now);
    if (a->sure) {
        a->worst = pg_memory_take(&a->memory, values, sizeof *a->worst);
        a->worst_row = pg_memory_take(&a->memory, pg_votes_scratch(e->classes), sizeof *a->worst_row);
    }
    a->contents = pg_memory_take(&a->memory, inside, sizeof *a->contents);
    a->first = pg_memory_take(&a->memory, inside, sizeof *a->first);
    a->row = pg_memory_take(&a->memory, classes, sizeof *a->row);
    a->total = pg_memory_take(&a->memory, classes, sizeof *a->total);
    a->rivals = pg_memory_take(&a->memory, classes, sizeof *a->rivals);
    a->scratch = pg_memory_take(&a->memory, scratch, 1);
    a->evidence.q = a->clean;
    return pg_memory_check(&a->memory, "the audit of maps of %dx%dx%d", e->height, e->width, e->classes);
}

int pg_auditor_new(const pg_job *job, const pg_audit_effort *effort, int height, int width, int classes, bool wrap_rows,
                   bool wrap_columns, pg_auditor **out)
{
    *out = NULL;
    int code = check(job, height, width, classes);
    if (code != PG_OK)
        return code;
    pg_auditor *a = calloc(1, sizeof *a);
    if (!a)
        return pg_fail(PG_ENOMEM, "out of memory for an audit");
    *a = (pg_auditor){.job = *job, .effort = *effort, .kind = job->defense->certificate(job->config)};
    a->job.window.height = PG_MIN(job->window.height, height);
    a->job.window.width = PG_MIN(job->window.width, width);
    job->defense->evidence(job->config, &a->spec);
    a->evidence = (pg_evidence){.height = height,
                                .width = width,
                                .classes = classes,
                                .wrap_rows = wrap_rows,
                                .wrap_columns = wrap_columns,
                                .spec = &a->spec};
    a->windows = pg_windows_of(&a->evidence, a->job.window);
    a->trades = a->kind != PG_CERTIFICATE_NONE && !job->defense->tie_certified;
    a->votes = a->spec.feature == PG_FEATURE_PREDICTION;
    a->sure = pg_votes_sure(job->defense, &a->spec, job->logit_delta);
    a->unbounded = !pg_evidence_range(&a->spec, &a->lo, &a->hi);
    code = allocate(a);
    if (code == PG_OK)
        *out = a;
    else
        pg_auditor_free(a);
    return code;
}

void pg_auditor_free(pg_auditor *a)
{
    if (!a)
        return;
    pg_memory_free(&a->memory);
    free(a);
}

pg_window pg_auditor_window(const pg_auditor *a) { return a->job.window; }

const pg_evidence *pg_auditor_evidence(pg_auditor *a, const float *logits)
{
    const pg_evidence *e = &a->evidence;
    size_t positions = (size_t)e->height * (size_t)e->width;
    return pg_evidence_f32(&a->spec, logits, positions, e->classes, a->row, a->clean) ? e : NULL;
}

int pg_auditor_predict(pg_auditor *a, const pg_evidence *evidence)
{
    int prediction = a->job.defense->predict(evidence, a->job.window, a->job.config, a->scratch);
    prediction = prediction == -1 ? PG_UNPREDICTED : prediction;
    if (prediction < 0 || prediction >= evidence->classes)
        a->worst_prediction = prediction;
    return prediction;
}

/* ---- One tensor, one window, one set of contents ---- */

static size_t values_of(const pg_auditor *a)
{
    return (size_t)a->evidence.height * (size_t)a->evidence.width * (size_t)a->evidence.classes;
}

static int other_place(const pg_auditor *a, int class)
{
    int last = a->evidence.classes - 1;
    return !a->trades ? class : class == a->label ? last : class == last ? a->label : class;
}

/* Trades two classes in rows of all classes. */
static void trade(const pg_auditor *a, int32_t *rows, size_t n)
{
    size_t classes = (size_t)a->evidence.classes;
    int from = a->label, to = a->evidence.classes - 1;
    for (size_t i = 0; a->trades && i < n; i++) {
        int32_t keep = rows[i * classes + (size_t)from];
        rows[i * classes + (size_t)from] = rows[i * classes + (size_t)to];
        rows[i * classes + (size_t)to] = keep;
    }
}

/* Copies a window's positions into `to`, from contents, or (NULL) from the base. */
static void place(const pg_auditor *a, int top, int left, const int32_t *contents, int32_t *to)
{
    const pg_evidence *e = &a->evidence;
    size_t classes = (size_t)e->classes;
    for (int r = 0; r < a->windows.rows.length; r++)
        for (int s = 0; s < a->windows.columns.length; s++) {
            size_t at = ((size_t)((top + r) % e->height) * (size_t)e->width + (size_t)((left + s) % e->width)) * classes;
            size_t from = ((size_t)r * (size_t)a->windows.columns.length + (size_t)s) * classes;
            memcpy(to + at, contents ? contents + from : a->base + at, classes * sizeof *to);
        }
}

static int predict(pg_auditor *a, const int32_t *q)
{
    pg_evidence e = a->evidence;
    e.q = q;
    return pg_auditor_predict(a, &e);
}

/* Notes how the image broke, in the order of classes that the image has. */
static void note(pg_auditor *a, const pg_contents_case *c, const char *by)
{
    memcpy(a->now, a->base, values_of(a) * sizeof *a->now);
    place(a, c->top, c->left, a->contents, a->now);
    trade(a, a->now, values_of(a) / (size_t)a->evidence.classes);
    trade(a, a->contents, (size_t)a->windows.k);
    int prediction = predict(a, a->now);
    a->out->broken = true;
    a->out->how = (pg_audit_break){.by = by,
                                   .tie = prediction == a->label,
                                   .shifted = a->shifted,
                                   .top = c->top,
                                   .left = c->left,
                                   .rival = other_place(a, c->rival),
                                   .prediction = prediction,
                                   .contents = a->contents};
}

/* Whether a->contents break the image; if so it is noted. */
static bool breaks(pg_auditor *a, const pg_contents_case *c, const char *by)
{
    place(a, c->top, c->left, a->contents, a->now);
    a->out->contents++;
    bool broken = predict(a, a->now) != a->evaluated;
    place(a, c->top, c->left, NULL, a->now);
    if (broken)
        note(a, c, by);
    return broken;
}

/* Contents of a hook are believed in nothing: not even in their range. */
static int check_contents(const pg_auditor *a, const pg_worst *which)
{
    size_t n = (size_t)a->windows.k * (size_t)a->evidence.classes;
    if (which->variant == VARIANTS_MAX)
        return pg_fail(PG_EINPUT, "its worst contents have %d variants and more; a hook has to say that there are no more",
                       (int)VARIANTS_MAX);
    for (size_t i = 0; i < n; i++) {
        int64_t v = a->contents[i];
        if (v < a->lo || v > a->hi || (a->votes && v != a->lo && v != a->hi))
            return pg_fail(PG_EINPUT, "variant %d of its worst contents holds %lld, outside its evidence's range %lld to %lld",
                           which->variant, (long long)v, (long long)a->lo, (long long)a->hi);
    }
    return PG_OK;
}

/* ---- All windows and classes ---- */

static pg_contents_case case_of(const pg_auditor *a, const pg_evidence *base, int window, int rival)
{
    int places = a->windows.columns.places;
    return (pg_contents_case){.evidence = base,
                              .windows = &a->windows,
                              .label = a->evaluated,
                              .rival = rival,
                              .top = window / places,
                              .left = window % places,
                              .lo = a->lo,
                              .hi = a->hi,
                              .votes = a->votes};
}

/* What has to be tried for a window and a rival: the first general contents, and all that the rule's hook names. */
static int try_pair(pg_auditor *a, const pg_contents_case *c)
{
    size_t bytes = (size_t)a->windows.k * (size_t)a->evidence.classes * sizeof *a->contents;
    pg_contents_fill(c, 0, a->first);
    memcpy(a->contents, a->first, bytes);
    if (breaks(a, c, "general") || !a->job.defense->worst)
        return PG_OK;
    pg_worst which = {.label = c->label, .rival = c->rival, .top = c->top, .left = c->left};
    for (; a->job.defense->worst(c->evidence, a->job.window, a->job.config, &which, a->scratch, a->contents); which.variant++) {
        int code = check_contents(a, &which);
        if (code != PG_OK)
            return code;
        if (memcmp(a->contents, a->first, bytes) != 0 && breaks(a, c, "worst"))
            return PG_OK;
    }
    return PG_OK;
}

static int try_pairs(pg_auditor *a, const pg_evidence *base, int n_rivals, pg_rng *rng)
{
    int64_t pairs = (int64_t)a->windows.count * n_rivals;
    bool all = a->effort.tries == 0 || pairs <= a->effort.tries;
    int code = PG_OK;
    a->out->sampled |= !all;
    for (int64_t i = 0; code == PG_OK && !a->out->broken && i < (all ? pairs : a->effort.tries); i++) {
        int64_t rival = all ? i / a->windows.count : pg_rng_below(rng, (uint32_t)n_rivals);
        int window = all ? (int)(i % a->windows.count) : (int)pg_rng_below(rng, (uint32_t)a->windows.count);
        pg_contents_case c = case_of(a, base, window, a->rivals[rival]);
        code = try_pair(a, &c);
    }
    return code;
}

/* The general contents: all of them where the effort allows it, else some, and noise. */
static void try_general(pg_auditor *a, const pg_evidence *base, int n_rivals, pg_rng *rng)
{
    int64_t variants = pg_contents_variants(&a->windows) - 1, pairs = (int64_t)a->windows.count * n_rivals;
    bool all = pairs * variants <= a->effort.random;
    for (int64_t i = 0; all && !a->out->broken && i < pairs * variants; i++) {
        int64_t pair = i / variants;
        pg_contents_case c = case_of(a, base, (int)(pair % a->windows.count), a->rivals[pair / a->windows.count]);
        pg_contents_fill(&c, 1 + (int)(i % variants), a->contents);
        breaks(a, &c, "general");
    }
    for (int64_t i = all ? pairs * variants : 0; !a->out->broken && i < a->effort.random; i++) {
        int rival = a->rivals[pg_rng_below(rng, (uint32_t)n_rivals)];
        pg_contents_case c = case_of(a, base, (int)pg_rng_below(rng, (uint32_t)a->windows.count), rival);
        bool noise = all || pg_rng_below(rng, 2);
        if (noise)
            pg_contents_random(&c, rng, a->contents);
        else
            pg_contents_fill(&c, 1 + (int)pg_rng_below(rng, (uint32_t)variants), a->contents);
        breaks(a, &c, noise ? "random" : "general");
    }
}

/* Wrong classes by their totals, the strongest first: what breaks is found early. Insertion keeps equal ones in order. */
static int order_rivals(pg_auditor *a, const pg_evidence *base)
{
    int n = 0;
    pg_totals(base, a->total);
    for (int c = 0; c < base->classes; c++) {
        if (c == a->evaluated)
            continue;
        int at = n++;
        for (; at > 0 && a->total[a->rivals[at - 1]] < a->total[c]; at--)
            a->rivals[at] = a->rivals[at - 1];
        a->rivals[at] = c;
    }
    return n;
}

/* A value of the base, moved by delta within its range; a vote becomes the worst one. */
static int32_t moved(const pg_auditor *a, size_t at, int64_t by)
{
    int64_t value = a->base[at] + by, below = PG_MIN(value, a->hi);
    return a->sure ? a->worst[at] : (int32_t)PG_MAX(below, a->lo);
}

/* Everything against one rival with the outside moved against the label: what a certificate with locality has to survive. */
static int try_shifted(pg_auditor *a, pg_evidence *base, pg_rng *rng)
{
    int n = order_rivals(a, base), code = PG_OK;
    size_t positions = (size_t)base->height * (size_t)base->width, classes = (size_t)base->classes;
    a->shifted = true;
    if (a->sure)
        trade(a, a->worst, positions);
    for (int r = 0; code == PG_OK && !a->out->broken && r < n; r++) {
        int rival = a->rivals[r];
        memcpy(a->base, a->clean, values_of(a) * sizeof *a->base);
        trade(a, a->base, positions);
        for (size_t i = 0; i < positions; i++) {
            size_t own = i * classes + (size_t)a->evaluated, other = i * classes + (size_t)rival;
            a->base[own] = moved(a, own, -a->job.delta);
            a->base[other] = moved(a, other, a->job.delta);
        }
        memcpy(a->now, a->base, values_of(a) * sizeof *a->now);
        int keep = a->rivals[0];
        a->rivals[0] = rival;
        code = try_pairs(a, base, 1, rng);
        a->rivals[0] = keep;
    }
    a->shifted = false;
    return code;
}

/* The binary digits that evidence up to `largest` has to lose, so that one value at the end of the grid outweighs all positions
 * by two to one. */
static int end_shift(int32_t largest, size_t positions)
{
    int shift = 0;
    while ((2 * (int64_t)positions * largest) >> shift > PG_EVIDENCE_MAX)
        shift++;
    return shift;
}

/* Whether the end of the grid alone keeps contents from breaking a refused image: rules without bounds do not change where all
 * evidence is scaled, and scaled down there is room for larger contents beside it. Asked only where evidence is so large that
 * it may outweigh a window, and scaled by no more than that takes: what rounding makes of margins below that counts for the
 * rule. */
static int try_scaled(pg_auditor *a, pg_evidence *base, int rivals, pg_rng *rng)
{
    size_t n = values_of(a);
    int32_t largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = PG_MAX(abs(a->base[i]), largest);
    int shift = end_shift(largest, n / (size_t)base->classes);
    if (shift == 0)
        return PG_OK;
    int64_t half = INT64_C(1) << (shift - 1), whole = INT64_C(1) << shift;
    for (size_t i = 0; i < n; i++)
        a->base[i] = (int32_t)((a->base[i] + (a->base[i] < 0 ? -half : half)) / whole);
    memcpy(a->now, a->base, n * sizeof *a->now);
    if (predict(a, a->now) != a->evaluated)
        return PG_OK;
    int code = try_pairs(a, base, rivals, rng);
    a->out->at_end = a->out->broken;
    a->out->broken = false;
    return code;
}

static int attack_image(pg_auditor *a)
{
    pg_rng rng = pg_rng_make(a->effort.seed, PG_STREAM_AUDIT, (uint32_t)a->image);
    pg_evidence base = a->evidence;
    base.q = a->base;
    a->evaluated = other_place(a, a->label);
    memcpy(a->base, a->clean, values_of(a) * sizeof *a->base);
    trade(a, a->base, values_of(a) / (size_t)a->evidence.classes);
    memcpy(a->now, a->base, values_of(a) * sizeof *a->now);
    int n = order_rivals(a, &base);
    if (n == 0)
        return PG_OK;
    int code = try_pairs(a, &base, n, &rng);
    if (code == PG_OK && !a->out->broken)
        try_general(a, &base, n, &rng);
    if (code == PG_OK && !a->out->broken && a->job.delta > 0 && a->out->verdict.certified)
        code = try_shifted(a, &base, &rng);
    if (code == PG_OK && !a->out->broken && a->unbounded && a->kind == PG_CERTIFICATE_EXACT && !a->out->claimed)
        code = try_scaled(a, &base, n, &rng);
    return code;
}

int pg_auditor_image(pg_auditor *a, const float *logits, int64_t image, int label, bool attack, pg_audited *out)
{
    assert(label >= 0 && label < a->evidence.classes);
    *out = (pg_audited){.verdict = {.prediction = -1, .failure_case = -1}, .broken = true};
    a->out = out;
    a->image = image;
    a->label = label;
    a->worst_prediction = 0;
    if (!pg_auditor_evidence(a, logits))
        return PG_OK;
    pg_verdict plain, room;
    const void *config = a->job.config;
    pg_certify(a->job.defense, &a->evidence, NULL, a->job.window, 0, label, &config, 1, a->scratch, &plain, &room);
    int code = pg_verdict_check(&a->job, &plain, label, a->evidence.classes);
    out->verdict = plain;
    if (a->sure)
        pg_votes_worst_f32(&a->spec, a->job.logit_delta, logits, values_of(a) / (size_t)a->evidence.classes,
                           a->evidence.classes, label, a->worst_row, a->worst);
    if (code == PG_OK && a->job.delta > 0) {
        pg_certify(a->job.defense, &a->evidence, a->worst, a->job.window, a->job.delta, label, &config, 1, a->scratch,
                   &out->verdict, &room);
        code = pg_verdict_check(&a->job, &out->verdict, label, a->evidence.classes);
    }
    if (code != PG_OK)
        return code;
    out->correct = predict(a, a->clean) == label;
    out->claimed = out->verdict.certified || plain.certified;
    /* A certificate of an image that is wrong already is broken without a patch. */
    out->broken = !out->correct;
    if (out->broken && (out->claimed || out->verdict.certified_published))
        out->how = (pg_audit_break){.by = "no patch", .rival = predict(a, a->clean), .prediction = predict(a, a->clean)};
    code = attack && out->correct ? attack_image(a) : PG_OK;
    return code == PG_OK ? pg_prediction_check(a->worst_prediction, a->evidence.classes) : code;
}
