/* Evidence: local logits turned once into integers on the grid of 2^-20; these integers are the classifier.
 *
 * Source: defenses/CERTIFICATES.md, section 2; feature types: PatchGuard, section III; tanh: Clipped BagNet.
 * Every value after the per-position transform (feature type, then clip, or tanh) is computed in double from basic IEEE
 * operations alone and rounded half to even, so that the integers are the same on every machine. Pure functions, any thread. */
#ifndef PG_DEFENSES_EVIDENCE_H
#define PG_DEFENSES_EVIDENCE_H

#include "defenses/defense.h"
#include "harness/base/grid.h"

enum {
    PG_EVIDENCE_END = 1024, /* the grid ends at +-1024: values beyond it saturate */
    PG_EVIDENCE_MAX = PG_EVIDENCE_END * PG_GRID,
    PG_PPM = 1000000, /* thresholds are parts per million */
};

/* The larger and the smaller of two; the second where they are equal, or the first is a NaN. Plain arguments only. */
#define PG_MAX(a, b) ((a) > (b) ? (a) : (b))
#define PG_MIN(a, b) ((a) < (b) ? (a) : (b))

/* Margins compared with thresholds and with locality are formed in 128 bits. */
__extension__ typedef __int128 pg_int128;

/* round_half_even(x * 2^20), saturating; infinities saturate too. x is not NaN. */
int32_t pg_grid(double x);

/* exp(x) for x <= 0, relative error below 2^-51; 0 below -708. */
double pg_exp(double x);
/* tanh(x), absolute error below 2^-51; not NaN. */
double pg_tanh(double x);

/* The spec with what has no effect set to one fixed value, so that equal classifiers have equal specs: theta is 0 unless the
 * feature is prediction, the temperature 1 for logits and where one vote goes to the largest, and the clip of a confidence or a
 * vote is cut to the part that [0, 1] can reach. */
void pg_evidence_normalize(pg_evidence_spec *spec);
bool pg_evidence_same(const pg_evidence_spec *a, const pg_evidence_spec *b);

/* The range of one value that an attacker can reach, after the transform, on the grid. false: unbounded on one side. */
bool pg_evidence_range(const pg_evidence_spec *spec, int64_t *lo, int64_t *hi);

/* q[positions][classes] from logits[positions][classes]. `scratch`: `classes` doubles. Returns false, with q unspecified,
 * if any logit is a NaN or an infinity. */
bool pg_evidence_f32(const pg_evidence_spec *spec, const float *logits, size_t positions, int classes, double *scratch,
                     int32_t *q);
bool pg_evidence_f64(const pg_evidence_spec *spec, const double *logits, size_t positions, int classes, double *scratch,
                     int32_t *q);

/* The same before rounding, values[positions][classes]. */
bool pg_evidence_values_f32(const pg_evidence_spec *spec, const float *logits, size_t positions, int classes, double *values);
bool pg_evidence_values_f64(const pg_evidence_spec *spec, const double *logits, size_t positions, int classes, double *values);

#endif
