#include "defenses/votes.h"

#include "defenses/evidence.h"

#include <math.h>
#include <string.h>

/* From here on a change says nothing of a vote: e^-300 is as good as no confidence, and far from the end of double. */
static const double exponent_max = 300.0;

bool pg_votes_sure(const pg_defense *defense, const pg_evidence_spec *spec, int64_t logit_delta)
{
    bool of_logits = !spec->tanh_cbn && (spec->theta > 0 || spec->temperature <= 1);
    return defense->monotone && spec->feature == PG_FEATURE_PREDICTION && of_logits && logit_delta > 0;
}

size_t pg_votes_scratch(int classes) { return 3 * (size_t)classes; }

typedef struct votes {
    int label, classes;
    double change; /* 2d, in logits */
    double temperature, theta;
    int32_t none, one;     /* a vote on the grid, behind the clip */
    double *u, *e, *after; /* [classes] logits of a position, their exponentials, sums of those behind a class */
} votes;

static int32_t on_grid(const pg_evidence_spec *spec, double vote)
{
    double below = PG_MIN(vote, spec->clip_hi);
    return pg_grid(PG_MAX(below, spec->clip_lo));
}

static votes votes_of(const pg_evidence_spec *spec, int64_t logit_delta, int classes, int label, double *scratch)
{
    double d = (double)PG_MIN(logit_delta, (int64_t)2 * PG_EVIDENCE_MAX) / PG_GRID;
    return (votes){.label = label,
                   .classes = classes,
                   .change = 2 * d,
                   .temperature = spec->temperature > 0 ? spec->temperature : 1,
                   .theta = spec->theta,
                   .none = on_grid(spec, 0),
                   .one = on_grid(spec, 1),
                   .u = scratch,
                   .e = scratch + classes,
                   .after = scratch + 2 * classes};
}

static int32_t vote(const votes *v, bool has) { return has ? v->one : v->none; }

/* Nothing is known: the label has no vote for sure, everybody else may have one. */
static void nothing_known(const votes *v, int32_t *q)
{
    for (int c = 0; c < v->classes; c++)
        q[c] = vote(v, c != v->label);
}

/* theta = 0. Differences are rounded, and the bound is exact: a rounded difference above it is above it. */
static void one_vote(const votes *v, int32_t *q)
{
    double bound = v->change + 1.0 / PG_GRID, top = v->u[0], rival = -INFINITY;
    for (int c = 0; c < v->classes; c++) {
        top = PG_MAX(v->u[c], top);
        rival = c != v->label ? PG_MAX(v->u[c], rival) : rival;
    }
    for (int c = 0; c < v->classes; c++)
        q[c] = vote(v, top - v->u[c] <= bound);
    q[v->label] = vote(v, v->u[v->label] - rival > bound);
}

/* The sum over all classes but one: those before it, which the caller adds up, and those behind it. */
static void add_up_behind(const votes *v)
{
    double sum = 0;
    for (int c = v->classes - 1; c >= 0; c--) {
        v->after[c] = sum;
        sum += v->e[c];
    }
}

/* theta > 0. exp((u - m - 2d) / t), for all classes or for one. */
static double fallen(const votes *v, double u, double top) { return pg_exp((u - top - v->change) / v->temperature); }

static bool sure_above(const votes *v, double top, double room)
{
    double rest = 0, own = fallen(v, v->u[v->label], top);
    for (int c = 0; c < v->classes; c++)
        rest += c != v->label ? pg_exp((v->u[c] - top) / v->temperature) : 0;
    return own / (own + rest) >= v->theta + room;
}

static void votes_above(const votes *v, int32_t *q)
{
    double top = v->u[0], before = 0, room = (v->classes + 4096) * 0x1p-50;
    for (int c = 0; c < v->classes; c++)
        top = PG_MAX(v->u[c], top);
    for (int c = 0; c < v->classes; c++)
        v->e[c] = fallen(v, v->u[c], top);
    add_up_behind(v);
    for (int c = 0; c < v->classes; c++) {
        double own = pg_exp((v->u[c] - top) / v->temperature), most = own / (own + (before + v->after[c]));
        q[c] = vote(v, most >= v->theta - room);
        before += v->e[c];
    }
    q[v->label] = vote(v, sure_above(v, top, room));
}

/* One position, its logits in v->u. */
static void worst_of(const votes *v, int32_t *q)
{
    if (v->change >= 2.0 * 2 * PG_EVIDENCE_MAX / PG_GRID || (v->theta > 0 && !(v->change / v->temperature < exponent_max)))
        nothing_known(v, q);
    else if (v->theta > 0)
        votes_above(v, q);
    else
        one_vote(v, q);
}

void pg_votes_worst_f32(const pg_evidence_spec *spec, int64_t logit_delta, const float *logits, size_t positions, int classes,
                        int label, double *scratch, int32_t *q)
{
    votes v = votes_of(spec, logit_delta, classes, label, scratch);
    for (size_t i = 0; i < positions; i++, logits += classes, q += classes) {
        for (int c = 0; c < classes; c++)
            v.u[c] = (double)logits[c];
        worst_of(&v, q);
    }
}

void pg_votes_worst_f64(const pg_evidence_spec *spec, int64_t logit_delta, const double *logits, size_t positions, int classes,
                        int label, double *scratch, int32_t *q)
{
    votes v = votes_of(spec, logit_delta, classes, label, scratch);
    for (size_t i = 0; i < positions; i++, logits += classes, q += classes) {
        memcpy(v.u, logits, (size_t)classes * sizeof *v.u);
        worst_of(&v, q);
    }
}
