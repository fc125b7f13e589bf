/* LaVAN: signed gradient ascent over the pixels of one patch.
 *
 * Source: Karmon, Zoran & Goldberg 2018 (LaVAN), as PatchGuard runs it (Appendix A): cross-entropy of the defended score, step
 * 0.05 in [0, 1] pixel units, 500 steps, a uniform random start inside the patch, the best iterate kept. Differs: the place is
 * uniform over all places of the image; each iterate is rounded to 8 bits before it is judged, and an image ends at the first
 * one that is broken; the score of the defense is differentiated, and where a defense can be aimed at in several ways (kinds),
 * they take turns over the restarts. */
#include "attacks/search.h"

#include <math.h>
#include <string.h>

enum { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
enum { START_UNIFORM, START_IMAGE, START_GREY };
static const char *const schedules[] = {"constant", "linear", "cosine", NULL};
static const char *const starts[] = {"uniform", "image", "grey", NULL};

typedef struct lavan {
    pg_attack_common common;
    pg_location location;
    int64_t steps, restarts;
    double step, momentum;
    int schedule, start;
    pg_aim aim;
} lavan;

/* clang-format off */
static const pg_option options[] = {
    PG_ATTACK_COMMON_OPTIONS(lavan, "64"),
    PG_LOCATION_OPTIONS(lavan),
    PG_TARGET_OPTION(lavan),
    PG_LOSS_OPTION(lavan, "cross-entropy"),
    {.name = "steps", .type = PG_OPTION_INT, .offset = offsetof(lavan, steps), .fallback = "500", .min = 0, .max = 1000000,
     .help = "steps of an attempt; 0: the start alone"},
    {.name = "step", .type = PG_OPTION_DECIMAL, .offset = offsetof(lavan, step), .fallback = "0.05", .min = 0, .max = 1,
     .help = "size of a step, where pixels are 0 to 1"},
    {.name = "schedule", .type = PG_OPTION_CHOICE, .offset = offsetof(lavan, schedule), .fallback = "constant",
     .choices = schedules, .help = "how the size of the steps falls towards the last one"},
    {.name = "momentum", .type = PG_OPTION_DECIMAL, .offset = offsetof(lavan, momentum), .fallback = "0", .min = 0, .max = 1,
     .help = "share of the steps before in the direction of a step; 0: the gradient alone"},
    {.name = "restarts", .type = PG_OPTION_INT, .offset = offsetof(lavan, restarts), .fallback = "1", .min = 1, .max = 100000,
     .help = "attempts at each place; at least one for each way to aim at the defense"},
    {.name = "start", .type = PG_OPTION_CHOICE, .offset = offsetof(lavan, start), .fallback = "uniform", .choices = starts,
     .help = "the patch that the first attempts at a place start from; later ones start uniform"},
    {0},
};
/* clang-format on */

static int settle(void *config)
{
    lavan *c = config;
    pg_location_settle(&c->location);
    return pg_aim_settle(&c->aim);
}

static int check(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    const lavan *c = config;
    int code = pg_location_check(&c->location, image_height, image_width, patch_height, patch_width, classes);
    return code == PG_OK ? pg_aim_check(&c->aim, classes) : code;
}

static int begin(pg_search *search, pg_trial *trial, bool *more)
{
    const lavan *c = search->config;
    int kinds = search->victim->kinds;
    int64_t rounds = c->restarts > kinds ? c->restarts : kinds, round = 0;
    int code = pg_search_next_place(search, trial, &c->location, rounds, &round, more);
    if (code != PG_OK || !*more)
        return code;
    trial->kind = (int)(round % kinds);
    int start = round < kinds ? c->start : START_UNIFORM;
    if (start == START_IMAGE)
        pg_search_own_pixels(search, trial, trial->patch);
    pg_rng rng = pg_draw_make(search->seed, trial->example->index, PG_DRAW_START, (uint64_t)trial->attempt);
    for (size_t i = 0; start != START_IMAGE && i < pg_search_patch_size(search); i++)
        trial->patch[i] = start == START_GREY ? 0.5f : (float)pg_rng_unit(&rng);
    return PG_OK;
}

static double step_size(const lavan *c, int64_t step)
{
    double done = (double)step / (double)c->steps;
    switch (c->schedule) {
    case SCHEDULE_LINEAR:
        return c->step * (1 - done);
    case SCHEDULE_COSINE:
        return c->step * (0.5 + 0.5 * cos(3.14159265358979323846 * done));
    default:
        return c->step;
    }
}

/* With momentum, gradients of mean absolute value 1 are added up (Dong et al. 2018). */
static void move(pg_search *search, pg_trial *trial)
{
    const lavan *c = search->config;
    size_t size = pg_search_patch_size(search);
    const float *direction = trial->gradient;
    float step = (float)step_size(c, trial->pass - 1);
    if (c->momentum > 0) {
        double sum = 0;
        for (size_t i = 0; i < size; i++)
            sum += fabs((double)trial->gradient[i]);
        for (size_t i = 0; i < size; i++)
            trial->memory[i] = (float)(c->momentum * (double)trial->memory[i] +
                                       (sum > 0 ? (double)trial->gradient[i] * (double)size / sum : 0));
        direction = trial->memory;
    }
    for (size_t i = 0; i < size; i++) {
        float moved = trial->patch[i] + (direction[i] > 0 ? step : direction[i] < 0 ? -step : 0);
        trial->patch[i] = moved < 0 ? 0 : moved > 1 ? 1 : moved;
    }
}

static int run(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples, size_t n,
               pg_found *found)
{
    const lavan *c = config;
    pg_search search = {.config = config,
                        .state = state,
                        .seed = seed,
                        .victim = victim,
                        .aim = &c->aim,
                        .steps = c->steps,
                        .gradients = true,
                        .begin = begin,
                        .move = move};
    int code =
        check(config, victim->image_height, victim->image_width, victim->patch_height, victim->patch_width, victim->classes);
    return code == PG_OK ? pg_search_run(&search, examples, n, found) : code;
}

PG_ATTACK(lavan)
const pg_attack pg_attack_lavan = {
    .module = {.name = "lavan",
               .summary = "signed gradient ascent over the pixels of one patch",
               .source = "Karmon et al. 2018 (LaVAN); Xiang et al. 2021 (PatchGuard), Appendix A",
               .version = 1,
               .options = options,
               .config_size = sizeof(lavan),
               .settle = settle},
    .needs_gradients = true,
    .check = check,
    .run = run,
};
