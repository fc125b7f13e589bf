/* Signed gradient ascent over pixels, for attacks on pg_search: where it starts, and how it steps. */
#ifndef PG_ATTACKS_ASCENT_H
#define PG_ATTACKS_ASCENT_H

#include "attacks/search.h"

extern const char *const pg_schedule_names[]; /* constant, linear, cosine */
extern const char *const pg_start_names[];    /* uniform, image, grey */

typedef struct pg_ascent {
    int64_t steps;
    double step, momentum;
    int schedule, start;
} pg_ascent;

/* clang-format off */
#define PG_ASCENT_OPTIONS(config_type, steps_default)                                                                \
    {"steps", PG_OPTION_INT, offsetof(config_type, ascent.steps), steps_default, 0, 1000000,                         \
     .help = "steps of an attempt; 0: the start alone"},                                                             \
    {"step", PG_OPTION_DECIMAL, offsetof(config_type, ascent.step), "0.05", 0, 1,                                    \
     .help = "size of a step, where pixels are 0 to 1"},                                                             \
    {"schedule", PG_OPTION_CHOICE, offsetof(config_type, ascent.schedule), "constant", .choices = pg_schedule_names, \
     .help = "how the size of the steps falls towards the last one"},                                                \
    {"momentum", PG_OPTION_DECIMAL, offsetof(config_type, ascent.momentum), "0", 0, 1,                               \
     .help = "share of the steps before in the direction of a step; 0: the gradient alone"},                         \
    {"start", PG_OPTION_CHOICE, offsetof(config_type, ascent.start), "uniform", .choices = pg_start_names,           \
     .help = "what the first attempts start from; restarts start uniform"}
/* clang-format on */

/* The first patch of trial->attempt; `first`: as the option says, else uniform. */
void pg_ascent_start(const pg_ascent *ascent, const pg_search *search, pg_trial *trial, bool first);
/* The next patch, from trial->gradient. */
void pg_ascent_move(const pg_ascent *ascent, const pg_search *search, pg_trial *trial);
/* The size of step number `step` of `steps`. */
double pg_ascent_size(int schedule, double size, int64_t step, int64_t steps);

#endif
