#include "defenses/certifier.h"

#include "defenses/evidence.h"
#include "defenses/rule.h"
#include "defenses/votes.h"
#include "defenses/windows.h"
#include "harness/base/memory.h"

#include <assert.h>
#include <stdlib.h>

/* Jobs that one call of a certify hook serves: one defense, one window, one delta, several configurations. */
typedef struct job_batch {
    const pg_defense *defense;
    pg_window window;
    int64_t delta, logit_delta; /* the second where the worst votes are certified, else 0 */
    size_t first, n;            /* entries of the certifier's arrays */
} job_batch;

/* Batches that read the same evidence. */
typedef struct job_group {
    pg_evidence_spec spec;
    size_t first, n; /* batches */
} job_group;

struct pg_certifier {
    int height, width, classes;
    bool wrap_rows, wrap_columns;
    size_t n_jobs, n_groups, n_batches;
    job_group *groups;
    job_batch *batches;
    /* in the order of the batches */
    const void **configs;
    size_t *job; /* index of the caller */
    pg_verdict *verdicts, *room;
    int32_t *q;
    int32_t *worst; /* votes; NULL where no batch needs them, as is */
    double *worst_row;
    double *values;   /* before rounding */
    int *predictions; /* in double, in the order of the batches */
    void *scratch;
    pg_memory memory; /* of all arrays */
};

static int check_job(const pg_job *job, size_t i, int height, int width, int classes)
{
    const char *name = job->defense->module.name;
    if (job->window.height < 1 || job->window.width < 1)
        return pg_fail(PG_EINPUT, "job %zu: a window of %dx%d positions; both have to be at least 1", i, job->window.height,
                       job->window.width);
    if (job->delta < 0 || job->logit_delta < 0)
        return pg_fail(PG_EINPUT, "job %zu: locality delta is %lld; it has to be at least 0", i,
                       (long long)PG_MIN(job->delta, job->logit_delta));
    int code = job->defense->check ? job->defense->check(job->config, height, width, classes) : PG_OK;
    if (code == PG_OK)
        code = pg_rule_check(job->defense, job->config, height, width, classes);
    return code != PG_OK ? pg_fail_at(code, "defense %s", name) : PG_OK;
}

static int check_map(int height, int width, int classes)
{
    if (height < 1 || width < 1 || classes < 1)
        return pg_fail(PG_EINPUT, "a feature map of %dx%dx%d; height, width and classes have to be at least 1", height, width,
                       classes);
    if ((int64_t)height * width > PG_POSITIONS_MAX)
        return pg_fail(PG_EINPUT, "a feature map of %dx%d positions; at most %d are supported", height, width,
                       PG_POSITIONS_MAX);
    if (classes > PG_CLASSES_MAX)
        return pg_fail(PG_EINPUT, "%d classes; at most %d are supported", classes, PG_CLASSES_MAX);
    return PG_OK;
}

/* The window cut to the map, so that equal windows are found equal. */
static pg_window cut(pg_window window, int height, int width)
{
    return (pg_window){PG_MIN(window.height, height), PG_MIN(window.width, width)};
}

static bool same_batch(const job_batch *a, const job_batch *b)
{
    return a->defense == b->defense && a->window.height == b->window.height && a->window.width == b->window.width &&
           a->delta == b->delta && a->logit_delta == b->logit_delta;
}

static job_batch batch_of(const pg_certifier *c, const pg_job *job, const pg_evidence_spec *spec)
{
    return (job_batch){.defense = job->defense,
                       .window = cut(job->window, c->height, c->width),
                       .delta = job->delta,
                       .logit_delta = pg_votes_sure(job->defense, spec, job->logit_delta) ? job->logit_delta : 0};
}

/* Orders the jobs into groups and batches, in the order of their first appearance. `taken`: n_jobs flags, all false. */
static void arrange(pg_certifier *c, const pg_job *jobs, const pg_evidence_spec *specs, bool *taken)
{
    size_t placed = 0;
    for (size_t g = 0; g < c->n_jobs; g++) {
        if (taken[g])
            continue;
        job_group *group = &c->groups[c->n_groups++];
        group->spec = specs[g];
        group->first = c->n_batches;
        for (size_t b = g; b < c->n_jobs; b++) {
            if (taken[b] || !pg_evidence_same(&specs[b], &group->spec))
                continue;
            job_batch *batch = &c->batches[c->n_batches++];
            group->n++;
            *batch = batch_of(c, &jobs[b], &group->spec);
            batch->first = placed;
            for (size_t i = b; i < c->n_jobs; i++) {
                job_batch other = batch_of(c, &jobs[i], &group->spec);
                if (taken[i] || !pg_evidence_same(&specs[i], &group->spec) || !same_batch(batch, &other))
                    continue;
                taken[i] = true;
                c->configs[placed] = jobs[i].config;
                c->job[placed++] = i;
                batch->n++;
            }
        }
    }
}

static size_t largest_scratch(const pg_certifier *c)
{
    size_t largest = 64;
    for (size_t b = 0; b < c->n_batches; b++) {
        size_t size = c->batches[b].defense->scratch_size(c->height, c->width, c->classes, c->batches[b].n);
        largest = PG_MAX(size, largest);
    }
    return (largest + 63) & ~(size_t)63;
}

/* Room for the worst votes, where a batch needs them. */
static void allocate_worst(pg_certifier *c, size_t values)
{
    bool needed = false;
    for (size_t b = 0; b < c->n_batches; b++)
        needed |= c->batches[b].logit_delta > 0;
    if (!needed)
        return;
    c->worst = pg_memory_take(&c->memory, values, sizeof *c->worst);
    c->worst_row = pg_memory_take(&c->memory, pg_votes_scratch(c->classes), sizeof *c->worst_row);
    c->room = pg_memory_take(&c->memory, c->n_jobs, sizeof *c->room);
}

int pg_certifier_new(const pg_job *jobs, size_t n, int height, int width, int classes, bool wrap_rows, bool wrap_columns,
                     pg_certifier **out)
{
    *out = NULL;
    int code = check_map(height, width, classes);
    for (size_t i = 0; i < n && code == PG_OK; i++)
        code = check_job(&jobs[i], i, height, width, classes);
    if (code != PG_OK)
        return code;
    size_t values = (size_t)height * (size_t)width * (size_t)classes, slots = n ? n : 1;
    pg_certifier *c = calloc(1, sizeof *c);
    if (!c)
        return pg_fail(PG_ENOMEM, "out of memory for feature maps of %dx%dx%d", height, width, classes);
    *c = (pg_certifier){.height = height,
                        .width = width,
                        .classes = classes,
                        .wrap_rows = wrap_rows,
                        .wrap_columns = wrap_columns,
                        .n_jobs = n};
    pg_memory passing = {0}; /* for the arrangement alone */
    pg_evidence_spec *specs = pg_memory_take(&passing, slots, sizeof *specs);
    bool *taken = pg_memory_take(&passing, slots, sizeof *taken);
    c->groups = pg_memory_take(&c->memory, slots, sizeof *c->groups);
    c->batches = pg_memory_take(&c->memory, slots, sizeof *c->batches);
    c->configs = pg_memory_take(&c->memory, slots, sizeof *c->configs);
    c->job = pg_memory_take(&c->memory, slots, sizeof *c->job);
    c->verdicts = pg_memory_take(&c->memory, slots, sizeof *c->verdicts);
    c->predictions = pg_memory_take(&c->memory, slots, sizeof *c->predictions);
    c->values = pg_memory_take(&c->memory, values, sizeof *c->values);
    c->q = pg_memory_take(&c->memory, values, sizeof *c->q);
    if (!passing.failed && !c->memory.failed) {
        for (size_t i = 0; i < n; i++)
            jobs[i].defense->evidence(jobs[i].config, &specs[i]);
        arrange(c, jobs, specs, taken);
        c->scratch = pg_memory_take(&c->memory, largest_scratch(c), 1);
        allocate_worst(c, values);
    }
    c->memory.failed |= passing.failed;
    pg_memory_free(&passing);
    code = pg_memory_check(&c->memory, "feature maps of %dx%dx%d", height, width, classes);
    if (code == PG_OK)
        *out = c;
    else
        pg_certifier_free(c);
    return code;
}

void pg_certifier_free(pg_certifier *c)
{
    if (!c)
        return;
    pg_memory_free(&c->memory);
    free(c);
}

/* The hook, with what it does not say marked. */
static void ask(const pg_defense *defense, const pg_evidence *evidence, pg_window window, int64_t delta, int label,
                const void *const *configs, size_t n, void *scratch, pg_verdict *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = pg_verdict_of(PG_UNPREDICTED);
    defense->certify(evidence, window, delta, label, configs, n, scratch, out);
    for (size_t i = 0; i < n; i++) {
        out[i].saturated = out[i].differs = false; /* not the rule's to say */
        if (out[i].prediction == -1)
            out[i].prediction = PG_UNPREDICTED;
    }
}

int pg_prediction_check(int prediction, int classes)
{
    if (prediction == PG_UNPREDICTED)
        return pg_fail(PG_EINPUT, "no prediction, though every logit is a number");
    if (prediction < -1 || prediction >= classes)
        return pg_fail(PG_EINPUT, "its prediction %d is none of %d classes", prediction, classes);
    return PG_OK;
}

int pg_verdict_check(const pg_job *job, const pg_verdict *v, int label, int classes)
{
    int code = pg_prediction_check(v->prediction, classes);
    if (code != PG_OK)
        return v->certified || v->certified_published ? pg_fail(code, "certified, though %s", pg_error_message()) : code;
    if (v->certified && v->prediction != label)
        return pg_fail(PG_EINPUT, "certified, though its prediction is %d and the label %d", v->prediction, label);
    if (v->certified && job->defense->certificate(job->config) == PG_CERTIFICATE_NONE)
        return pg_fail(PG_EINPUT, "certified, though it states that its certificate is no proof");
    if (v->certified && v->has_margin && v->margin < 0)
        return pg_fail(PG_EINPUT, "certified, though its margin is negative, %lld", (long long)v->margin);
    if (v->failure_case < -1 || v->failure_case > 4)
        return pg_fail(PG_EINPUT, "failure case %d; right would be 0 to 4, or -1 for none", v->failure_case);
    return PG_OK;
}

void pg_certify(const pg_defense *defense, const pg_evidence *evidence, const int32_t *worst, pg_window window, int64_t delta,
                int label, const void *const *configs, size_t n, void *scratch, pg_verdict *out, pg_verdict *room)
{
    ask(defense, evidence, window, worst ? 0 : delta, label, configs, n, scratch, out);
    if (!worst)
        return;
    pg_evidence votes = *evidence;
    votes.q = worst;
    ask(defense, &votes, window, 1, label, configs, n, scratch, room);
    for (size_t i = 0; i < n; i++)
        out[i].certified = out[i].certified && room[i].certified;
}

/* An image: its local logits, in either type. */
typedef struct image {
    const float *f32;
    const double *f64;
    int label;
} image;

/* Into c->q; false: a logit is not finite. */
static bool make_evidence(pg_certifier *c, const job_group *group, const image *im)
{
    size_t positions = (size_t)c->height * (size_t)c->width;
    return im->f32 ? pg_evidence_f32(&group->spec, im->f32, positions, c->classes, c->values, c->q)
                   : pg_evidence_f64(&group->spec, im->f64, positions, c->classes, c->values, c->q);
}

/* Into c->values, of an image whose logits are finite. */
static void make_values(pg_certifier *c, const job_group *group, const image *im)
{
    size_t positions = (size_t)c->height * (size_t)c->width;
    bool finite = im->f32 ? pg_evidence_values_f32(&group->spec, im->f32, positions, c->classes, c->values)
                          : pg_evidence_values_f64(&group->spec, im->f64, positions, c->classes, c->values);
    assert(finite);
    (void)finite;
}

static void make_worst(pg_certifier *c, const job_group *group, int64_t logit_delta, const image *im)
{
    size_t positions = (size_t)c->height * (size_t)c->width;
    if (im->f32)
        pg_votes_worst_f32(&group->spec, logit_delta, im->f32, positions, c->classes, im->label, c->worst_row, c->worst);
    else
        pg_votes_worst_f64(&group->spec, logit_delta, im->f64, positions, c->classes, im->label, c->worst_row, c->worst);
}

static size_t count_of(const pg_certifier *c) { return (size_t)c->height * (size_t)c->width * (size_t)c->classes; }

/* Whether a value is at the end of the grid; only then can one be beyond it. */
static bool at_the_end(const pg_certifier *c)
{
    int end = 0;
    for (size_t i = 0, n = count_of(c); i < n; i++)
        end |= (c->q[i] == PG_EVIDENCE_MAX) | (c->q[i] == -PG_EVIDENCE_MAX);
    return end;
}

static bool beyond_the_end(const pg_certifier *c)
{
    int beyond = 0;
    for (size_t i = 0, n = count_of(c); i < n; i++)
        beyond |= (c->values[i] > PG_EVIDENCE_END) | (c->values[i] < -PG_EVIDENCE_END);
    return beyond;
}

/* Whether a verdict of the group can only be told by a prediction in double. */
static bool undecided(const pg_certifier *c, const job_group *group)
{
    for (size_t b = group->first; b < group->first + group->n; b++) {
        const job_batch *batch = &c->batches[b];
        for (size_t i = batch->first; i < batch->first + batch->n; i++)
            if (batch->defense->predict_double && !c->verdicts[i].decided)
                return true;
    }
    return false;
}

/* Notes in the verdicts of a group what the grid did. Most images need no arithmetic in double for it. */
static void compare(pg_certifier *c, const job_group *group, const image *im, pg_evidence *evidence)
{
    bool end = at_the_end(c);
    if (!end && !undecided(c, group))
        return;
    make_values(c, group, im);
    evidence->values = c->values;
    bool saturated = end && beyond_the_end(c);
    for (size_t b = group->first; b < group->first + group->n; b++) {
        const job_batch *batch = &c->batches[b];
        bool has = batch->defense->predict_double != NULL;
        if (has)
            batch->defense->predict_double(evidence, batch->window, c->configs + batch->first, batch->n, c->scratch,
                                           c->predictions + batch->first);
        for (size_t i = batch->first; i < batch->first + batch->n; i++) {
            c->verdicts[i].saturated = saturated;
            c->verdicts[i].differs = has && c->predictions[i] != c->verdicts[i].prediction;
        }
    }
}

/* false: a logit is not finite. */
static bool certify_group(pg_certifier *c, const job_group *group, const image *im, pg_verdict *out)
{
    int64_t made = 0; /* what the worst votes in c->worst are made for */
    pg_evidence evidence = {.q = c->q,
                            .height = c->height,
                            .width = c->width,
                            .classes = c->classes,
                            .wrap_rows = c->wrap_rows,
                            .wrap_columns = c->wrap_columns,
                            .spec = &group->spec};
    if (!make_evidence(c, group, im))
        return false;
    for (size_t b = group->first; b < group->first + group->n; b++) {
        const job_batch *batch = &c->batches[b];
        bool votes = batch->logit_delta > 0;
        if (votes && batch->logit_delta != made)
            make_worst(c, group, made = batch->logit_delta, im);
        pg_certify(batch->defense, &evidence, votes ? c->worst : NULL, batch->window, batch->delta, im->label,
                   c->configs + batch->first, batch->n, c->scratch, c->verdicts + batch->first, c->room);
    }
    compare(c, group, im, &evidence);
    for (size_t b = group->first; b < group->first + group->n; b++)
        for (size_t i = c->batches[b].first; i < c->batches[b].first + c->batches[b].n; i++)
            out[c->job[i]] = c->verdicts[i];
    return true;
}

static void certify(pg_certifier *c, const image *im, pg_verdict *out)
{
    assert(im->label >= 0 && im->label < c->classes);
    bool finite = true;
    for (size_t g = 0; g < c->n_groups && finite; g++)
        finite = certify_group(c, &c->groups[g], im, out);
    for (size_t i = 0; i < c->n_jobs && !finite; i++)
        out[i] = pg_verdict_of(-1);
}

void pg_certifier_image_f32(pg_certifier *c, const float *logits, int label, pg_verdict *out)
{
    certify(c, &(image){.f32 = logits, .label = label}, out);
}

void pg_certifier_image_f64(pg_certifier *c, const double *logits, int label, pg_verdict *out)
{
    certify(c, &(image){.f64 = logits, .label = label}, out);
}
