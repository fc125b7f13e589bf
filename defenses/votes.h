/* Votes with measured locality: which votes are sure, and which are possible.
 *
 * Let every local logit of a position change by at most d (grid units of a logit, `logit_delta`). Then a class is
 *   sure of its vote      where it has it after every such change, and
 *   possible              where it has it after some such change.
 * pg_votes_worst_* makes the worst votes for a label: those that the label is sure of, and for every other class those that are
 * possible.
 *
 * Claim. For a rule that is monotone (pg_defense.monotone), a certificate of the worst votes with a delta of one grid unit is a
 * certificate of the votes themselves with this change. Proof: after any change, the votes outside a window hold at least what
 * the label is sure of, and of every other class at most what is possible; a monotone certificate covers all of these.
 *
 * Votes are those of the logits themselves: not of their tanh, nor, for the largest, of a softmax at a temperature above 1;
 * either can make equal in double what lies apart. Rules of plug-ins may ask for such votes, and every one of them counts as
 * one that may flip.
 *
 * The unit of delta is more than a formality: with it robust masking takes away the heaviest window of the label whether or not
 * its share is masked. Without, more votes for the label may set off its own mask, and its certificate is not monotone.
 *
 * theta = 0: one vote, for the lowest class among the largest confidences. Let lead(c, j) = u_c - u_j before the change; after
 * it, it is larger than lead(c, j) - 2d. A class is sure where lead(c, j) > 2d + 1 for all other j, and possible where lead(j,
 * c)
 * <= 2d + 1 for all j. The unit more is 2^-20, by far more than the softmax rounds (relative 2^-50): a lead of one unit is a
 * larger confidence in double, too, so that no tie by rounding gives the vote to a class that is behind.
 *
 * theta > 0: a vote for every class with a confidence of at least theta. The confidence of c is least where its own logit falls
 * by d and all others grow by d, and most the other way round:
 *   least = a / (a + sum of e_j), a = exp((u_c - m - 2d) / t);   most = e_c / (e_c + sum of exp((u_j - m - 2d) / t)),
 * sums over j != c, e_j = exp((u_j - m) / t), m the largest logit, t the temperature. All terms are positive and every one has
 * a relative error below 2^-41 (pg_exp, arguments of at most 708 after three roundings), so a confidence, computed here or by
 * the evidence, is wrong by less than (classes + 4096) * 2^-51; twice that is the room that theta is given on either side.
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
