/* Votes with measured locality: which votes are sure, and which are possible.
 *
 * Let every local logit of a position change by at most d (grid units of a logit, `logit_delta`). Then a class is
 *   sure of its vote      where it has it after every such change, and
 *   possible              where it has it after some such change.
 * pg_votes_worst_* makes the worst votes for a label: those that the label is sure of, and for every other class those that are
 * possible.
 *
 * For a rule that is monotone (pg_defense.monotone), a certificate of the worst votes with a delta of one grid unit is a
 * certificate of the votes themselves with this change; defenses/CERTIFICATES.md, section 5, has the proof and the bounds.
 *
 * Votes are those of the logits themselves: not of their tanh, nor, for the largest, of a softmax at a temperature above 1;
 * either can make equal in double what lies apart. Rules of plug-ins may ask for such votes, and every one of them counts as
 * one that may flip.
 *
 * theta = 0: with margin(c, j) = u_c - u_j before the change, a class is sure where margin(c, j) > 2d + 1 for all other j, and
 * possible where margin(j, c) <= 2d + 1 for all j.
 *
 * theta > 0: the confidence of c is at least and at most
 *   least = a / (a + sum of e_j), a = exp((u_c - m - 2d) / t);   most = e_c / (e_c + sum of exp((u_j - m - 2d) / t)),
 * sums over j != c, e_j = exp((u_j - m) / t), m the largest logit, t the temperature; theta is given room for rounding,
 * (classes + 4096) * 2^-50, on either side.
 *
 * pg_votes_sure (defenses/defense.h) says whether a certificate is one of the worst votes. Pure functions, any thread. */
#ifndef PG_DEFENSES_VOTES_H
#define PG_DEFENSES_VOTES_H

#include "defenses/defense.h"

/* Doubles of scratch for maps with so many classes. */
size_t pg_votes_scratch(int classes);

/* q[positions][classes] on the grid: the worst votes for `label` of finite logits[positions][classes]. */
void pg_votes_worst_f32(const pg_evidence_spec *spec, int64_t logit_delta, const float *logits, size_t positions, int classes,
                        int label, double *scratch, int32_t *q);
void pg_votes_worst_f64(const pg_evidence_spec *spec, int64_t logit_delta, const double *logits, size_t positions, int classes,
                        int label, double *scratch, int32_t *q);

#endif
