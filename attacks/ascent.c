/* Starts and steps. See ascent.h. */
#include "attacks/ascent.h"

#include <math.h>

enum { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
enum { START_UNIFORM, START_IMAGE, START_GREY };
const char *const pg_schedule_names[] = {"constant", "linear", "cosine", NULL};
const char *const pg_start_names[] = {"uniform", "image", "grey", NULL};

void pg_ascent_start(const pg_ascent *a, const pg_search *search, pg_trial *trial, bool first)
{
    int start = first ? a->start : START_UNIFORM;
    if (start == START_IMAGE)
        pg_search_own_pixels(search, trial, trial->patch);
    pg_rng rng = pg_draw_make(search->seed, trial->example->index, PG_DRAW_START, (uint64_t)trial->attempt);
    for (size_t i = 0; start != START_IMAGE && i < pg_search_patch_size(search); i++)
        trial->patch[i] = start == START_GREY ? 0.5f : (float)pg_rng_unit(&rng);
}

double pg_ascent_size(int schedule, double size, int64_t step, int64_t steps)
{
    double done = (double)step / (double)steps;
    switch (schedule) {
    case SCHEDULE_LINEAR:
        return size * (1 - done);
    case SCHEDULE_COSINE:
        return size * (0.5 + 0.5 * cos(3.14159265358979323846 * done));
    default:
        return size;
    }
}

/* With momentum, gradients of mean absolute value 1 are added up (Dong et al. 2018). */
void pg_ascent_move(const pg_ascent *a, const pg_search *search, pg_trial *trial)
{
    size_t size = pg_search_patch_size(search);
    const float *direction = trial->gradient;
    float step = (float)pg_ascent_size(a->schedule, a->step, trial->pass - 1, a->steps);
    if (a->momentum > 0) {
        double sum = 0;
        for (size_t i = 0; i < size; i++)
            sum += fabs((double)trial->gradient[i]);
        double scale = sum > 0 ? (double)size / sum : 0;
        for (size_t i = 0; i < size; i++)
            trial->memory[i] = (float)(a->momentum * (double)trial->memory[i] + scale * (double)trial->gradient[i]);
        direction = trial->memory;
    }
    for (size_t i = 0; i < size; i++) {
        float moved = trial->patch[i] + (direction[i] > 0 ? step : direction[i] < 0 ? -step : 0);
        trial->patch[i] = moved < 0 ? 0 : moved > 1 ? 1 : moved;
    }
}
