#include "defenses/agreement.h"

#include <string.h>

void pg_agreement_layout(pg_arena *arena, int masks, int classes, pg_agreement *a)
{
    a->masks = masks;
    a->classes = classes;
    a->alone = pg_arena_take(arena, (size_t)masks, sizeof *a->alone);
    a->votes = pg_arena_take(arena, (size_t)classes, sizeof *a->votes);
}

/* Whether every second mask that is known gives the class of mask k alone. NULL: all are. */
static bool agreed(const pg_agreement *a, int k, const bool *known)
{
    for (int j = 0; j < a->masks; j++)
        if (j != k && (!known || known[k * a->masks + j]) && a->class(a->of, k, j) != a->alone[k])
            return false;
    return true;
}

/* Fills in what each mask gives alone. */
static int majority_of(const pg_agreement *a)
{
    int majority = 0;
    memset(a->votes, 0, (size_t)a->classes * sizeof *a->votes);
    for (int k = 0; k < a->masks; k++) {
        a->alone[k] = a->class(a->of, k, k);
        a->votes[a->alone[k]]++;
    }
    for (int c = 1; c < a->classes; c++)
        majority = a->votes[c] > a->votes[majority] ? c : majority;
    return majority;
}

int pg_agreement_predict(const pg_agreement *a)
{
    int majority = majority_of(a);
    for (int k = 0; k < a->masks; k++)
        if (a->alone[k] != majority && agreed(a, k, NULL))
            return a->alone[k];
    return majority;
}

int pg_agreement_open(const pg_agreement *a, const bool *known)
{
    int majority = majority_of(a);
    for (int k = 0; k < a->masks; k++)
        if (a->alone[k] != majority && agreed(a, k, known))
            return memchr(known + (ptrdiff_t)k * a->masks, false, (size_t)a->masks) ? k : -1;
    return -1;
}
