#include "defenses/evidence.h"

#include "defenses/clones.h"

#include <math.h>
#include <string.h>

/* Adding and taking away 1.5 * 2^52 rounds half to even in the default rounding mode, for |x| <= 2^51. */
static const double rounder = 0x1.8p52;

static inline double clamp(double x, double lo, double hi)
{
    double below = PG_MIN(x, hi);
    return PG_MAX(below, lo);
}

static inline int32_t grid(double x)
{
    double scaled = clamp(x, -PG_EVIDENCE_END, PG_EVIDENCE_END) * PG_GRID;
    return (int32_t)((scaled + rounder) - rounder);
}

int32_t pg_grid(double x) { return grid(x); }

/* exp(x) = 2^k exp(r), r = x - k ln 2 in two parts (the first times k is exact), Taylor series to r^13 (|r| <= 0.347). */
static inline double exp_negative(double x)
{
    static const double log2_e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    double shifted = x * log2_e + rounder, k = shifted - rounder;
    double r = (x - k * ln2_high) - k * ln2_low;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    /* The low bits of `shifted` hold k: move k + 1023 into the exponent. */
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return x < -708.0 ? 0.0 : p * power;
}

double pg_exp(double x) { return exp_negative(x); }

static inline double tanh_by_exp(double x)
{
    double e = exp_negative(-2.0 * fabs(x)), t = (1.0 - e) / (1.0 + e);
    return x < 0.0 ? -t : t;
}

double pg_tanh(double x) { return tanh_by_exp(x); }

static double temperature_of(const pg_evidence_spec *spec) { return spec->temperature > 0.0 ? spec->temperature : 1.0; }

void pg_evidence_normalize(pg_evidence_spec *spec)
{
    if (spec->feature != PG_FEATURE_PREDICTION)
        spec->theta = 0.0;
    bool softmax_counts =
        spec->feature == PG_FEATURE_CONFIDENCE || (spec->feature == PG_FEATURE_PREDICTION && spec->theta > 0.0);
    spec->temperature = softmax_counts ? temperature_of(spec) : 1.0;
    if (spec->feature != PG_FEATURE_LOGITS) {
        double lo = clamp(0.0, spec->clip_lo, spec->clip_hi), hi = clamp(1.0, spec->clip_lo, spec->clip_hi);
        spec->clip_lo = lo;
        spec->clip_hi = hi;
    }
}

bool pg_evidence_same(const pg_evidence_spec *a, const pg_evidence_spec *b)
{
    return a->feature == b->feature && temperature_of(a) == temperature_of(b) && a->theta == b->theta &&
           a->clip_lo == b->clip_lo && a->clip_hi == b->clip_hi && a->tanh_cbn == b->tanh_cbn;
}

bool pg_evidence_range(const pg_evidence_spec *spec, int64_t *lo, int64_t *hi)
{
    pg_evidence_spec resolved = *spec;
    pg_evidence_normalize(&resolved);
    if (resolved.tanh_cbn) {
        *lo = -PG_GRID;
        *hi = PG_GRID;
        return true;
    }
    *lo = pg_grid(resolved.clip_lo);
    *hi = pg_grid(resolved.clip_hi);
    return isfinite(resolved.clip_lo) && isfinite(resolved.clip_hi);
}

int64_t pg_evidence_delta(const pg_evidence_spec *spec, int64_t logit_delta)
{
    if (logit_delta == 0)
        return 0;
    if (spec->feature == PG_FEATURE_PREDICTION)
        return PG_GRID;
    if (spec->feature == PG_FEATURE_CONFIDENCE)
        return (int64_t)fmin(ceil((double)logit_delta / temperature_of(spec)) + 1, PG_GRID);
    return PG_MIN(logit_delta, (int64_t)2 * PG_EVIDENCE_MAX) + (spec->tanh_cbn ? 1 : 0);
}

/* values[classes]: logits of one position become confidences. The sum runs in the order of the classes. */
PG_CLONES static void softmax(double temperature, double *values, int classes)
{
    double top = values[0], sum = 0.0;
    for (int c = 1; c < classes; c++)
        top = PG_MAX(values[c], top);
    for (int c = 0; c < classes; c++)
        values[c] = exp_negative((values[c] - top) / temperature);
    for (int c = 0; c < classes; c++)
        sum += values[c];
    for (int c = 0; c < classes; c++)
        values[c] /= sum;
}

/* values[classes]: confidences become votes. */
static void vote(double theta, double *values, int classes)
{
    if (theta > 0.0) {
        for (int c = 0; c < classes; c++)
            values[c] = values[c] >= theta ? 1.0 : 0.0;
        return;
    }
    int best = 0;
    for (int c = 1; c < classes; c++)
        best = values[c] > values[best] ? c : best;
    memset(values, 0, (size_t)classes * sizeof *values);
    values[best] = 1.0;
}

PG_CLONES static void squash(double *values, int classes)
{
    for (int c = 0; c < classes; c++)
        values[c] = tanh_by_exp(0.05 * values[c] - 1.0);
}

/* values[classes]: logits of one position become values of evidence. */
static void transform(const pg_evidence_spec *spec, double *values, int classes)
{
    if (spec->tanh_cbn)
        squash(values, classes);
    if (spec->feature != PG_FEATURE_LOGITS)
        softmax(temperature_of(spec), values, classes);
    if (spec->feature == PG_FEATURE_PREDICTION)
        vote(spec->theta, values, classes);
    for (int c = 0; c < classes; c++)
        values[c] = clamp(values[c], spec->clip_lo, spec->clip_hi);
}

static inline bool row_finite(const double *values, int classes)
{
    int bad = 0;
    for (int c = 0; c < classes; c++)
        bad |= !(fabs(values[c]) <= 0x1.fffffffffffffp1023);
    return !bad;
}

/* Clipped logits from floats. Scaling by 2^20 is exact in float, and rounding keeps order, so the bounds may be applied to the
 * integers: the result is that of the path through double. Returns nonzero if a logit is not finite. */
PG_CLONES static int clipped_f32(const float *restrict logits, size_t n, int32_t lo, int32_t hi, int32_t *restrict q)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        float x = logits[i];
        bad |= !(__builtin_fabsf(x) <= 0x1.fffffep127f);
        x = PG_MIN(x, (float)PG_EVIDENCE_END);
        x = PG_MAX(x, -(float)PG_EVIDENCE_END);
        int32_t v = (int32_t)__builtin_rintf(x * (float)PG_GRID);
        v = PG_MIN(v, hi);
        q[i] = PG_MAX(v, lo);
    }
    return bad;
}

bool pg_evidence_values_f64(const pg_evidence_spec *spec, const double *logits, size_t positions, int classes, double *values)
{
    for (size_t i = 0; i < positions; i++, logits += classes, values += classes) {
        memcpy(values, logits, (size_t)classes * sizeof *values);
        if (!row_finite(values, classes))
            return false;
        transform(spec, values, classes);
    }
    return true;
}

bool pg_evidence_values_f32(const pg_evidence_spec *spec, const float *logits, size_t positions, int classes, double *values)
{
    for (size_t i = 0; i < positions; i++, logits += classes, values += classes) {
        for (int c = 0; c < classes; c++)
            values[c] = (double)logits[c];
        if (!row_finite(values, classes))
            return false;
        transform(spec, values, classes);
    }
    return true;
}

bool pg_evidence_f32(const pg_evidence_spec *spec, const float *logits, size_t positions, int classes, double *scratch,
                     int32_t *q)
{
    if (spec->feature == PG_FEATURE_LOGITS && !spec->tanh_cbn)
        return !clipped_f32(logits, positions * (size_t)classes, pg_grid(spec->clip_lo), pg_grid(spec->clip_hi), q);
    for (size_t i = 0; i < positions; i++, logits += classes, q += classes) {
        if (!pg_evidence_values_f32(spec, logits, 1, classes, scratch))
            return false;
        for (int c = 0; c < classes; c++)
            q[c] = grid(scratch[c]);
    }
    return true;
}

bool pg_evidence_f64(const pg_evidence_spec *spec, const double *logits, size_t positions, int classes, double *scratch,
                     int32_t *q)
{
    for (size_t i = 0; i < positions; i++, logits += classes, q += classes) {
        if (!pg_evidence_values_f64(spec, logits, 1, classes, scratch))
            return false;
        for (int c = 0; c < classes; c++)
            q[c] = grid(scratch[c]);
    }
    return true;
}
