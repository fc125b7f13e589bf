/* Two-mask agreement: what pairs of masks say is turned into one class.
 *
 * Source: Xiang et al. 2022 (PatchCleanser), algorithm 1. Masks are such that every window of an attacker lies under at least
 * one of them. Where all masks alone agree, their class; else the first mask whose class is not that of the majority, and with
 * which every second mask gives the same class, decides; else the majority does (the lower class among equals).
 *
 * Certificate (algorithm 2): every pair of masks gives the label. defenses/CERTIFICATES.md, section 14, has the proof: nothing
 * changes of a pair with a mask that hides the attacker. */
#ifndef PG_DEFENSES_AGREEMENT_H
#define PG_DEFENSES_AGREEMENT_H

#include "defenses/windows.h"

typedef struct pg_agreement {
    int masks, classes;
    /* The class with both masks on; first = second: with one. Nothing rests on pairs being the same either way round, but where
     * one of the two hides the attacker. */
    int (*class)(const void *of, int first, int second);
    const void *of;
    int *alone; /* [masks]: private, as votes[classes] */
    int *votes;
} pg_agreement;

void pg_agreement_layout(pg_arena *arena, int masks, int classes, pg_agreement *agreement);
int pg_agreement_predict(const pg_agreement *agreement);
/* The mask whose second masks have to be known, known[first * masks + second], before the prediction is; -1: it is what it will
 * be, whatever the others are. All masks alone are known. */
int pg_agreement_open(const pg_agreement *agreement, const bool *known);

#endif
