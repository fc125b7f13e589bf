#include "defenses/agreement.h"

#include <string.h>

void pg_agreement_layout(pg_arena *arena, int masks, int classes, pg_agreement *a)
{
    a->masks = masks;
    a->classes = classes;
    a->alone = pg_arena_take(arena, (size_t)masks, sizeof *a->alone);
    a->votes = pg_arena_take(arena, (size_t)classes, sizeof *a->votes);
}

/* Whether every second mask gives the class of mask k alone. */
static bool agreed(const pg_agreement *a, int k)
{
    for (int j = 0; j < a->masks; j++)
        if (j != k && a->class(a->of, k, j) != a->alone[k])
            return false;
    return true;
}

int pg_agreement_predict(const pg_agreement *a)
{
    int majority = 0;
    memset(a->votes, 0, (size_t)a->classes * sizeof *a->votes);
    for (int k = 0; k < a->masks; k++) {
        a->alone[k] = a->class(a->of, k, k);
        a->votes[a->alone[k]]++;
    }
    for (int c = 1; c < a->classes; c++)
        majority = a->votes[c] > a->votes[majority] ? c : majority;
    for (int k = 0; k < a->masks; k++)
        if (a->alone[k] != majority && agreed(a, k))
            return a->alone[k];
    return majority;
}
