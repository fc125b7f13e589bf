/* Random search: an attack that uses no gradient, to see whether gradients are masked.
 *
 * Source: Andriushchenko et al. 2020 (Square Attack), inside a patch as in Croce et al. 2022 (Sparse-RS): the patch starts as
 * vertical stripes of extreme colours; each query repaints one random square inside it with one extreme colour, and is kept
 * where the score does not get worse; squares shrink by the schedule of Square Attack. With feedback "decision" only the
 * prediction is seen: as long as nothing is broken every query is kept, a random walk. */
#include "attacks/search.h"

#include <math.h>
#include <string.h>

enum { FEEDBACK_SCORES, FEEDBACK_DECISION };
static const char *const feedbacks[] = {"scores", "decision", NULL};

typedef struct random_search {
    pg_attack_common common;
    pg_location location;
    int64_t steps, restarts;
    double share;
    int feedback;
    pg_objective objective;
} random_search;

static const pg_option options[] = {
    PG_ATTACK_COMMON_OPTIONS(random_search, "64"),
    PG_LOCATION_OPTIONS(random_search),
    PG_TARGET_OPTION(random_search),
    PG_LOSS_OPTION(random_search, "margin"),
    {"steps", PG_OPTION_INT, offsetof(random_search, steps), "1000", 0, 1000000,
     .help = "squares tried in an attempt; 0: the start alone"},
    {"share", PG_OPTION_DECIMAL, offsetof(random_search, share), "0.4", 0, 1,
     .help = "share of the patch that the first squares cover"},
    {"restarts", PG_OPTION_INT, offsetof(random_search, restarts), "1", 1, 100000, .help = "attempts at each place"},
    {"feedback", PG_OPTION_CHOICE, offsetof(random_search, feedback), "scores", .choices = feedbacks,
     .help = "what a query tells: the scores, or the decision alone"},
    {0},
};

static int normalize(void *config)
{
    random_search *c = config;
    pg_location_normalize(&c->location);
    return pg_objective_normalize(&c->objective);
}

static int check(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    const random_search *c = config;
    int code = pg_location_check(&c->location, image_height, image_width, patch_height, patch_width, classes);
    return code == PG_OK ? pg_objective_check(&c->objective, classes) : code;
}

static int begin(pg_search *search, pg_trial *trial, bool *more)
{
    const random_search *c = search->config;
    const pg_victim *v = search->victim;
    int64_t round = 0;
    int code = pg_search_next_place(search, trial, &c->location, c->restarts, &round, more);
    if (code != PG_OK || !*more)
        return code;
    pg_rng rng = pg_draw_make(search->seed, trial->example->index, PG_DRAW_START, (uint64_t)trial->attempt);
    for (int i = 0; i < 3; i++)
        for (int x = 0; x < v->patch_width; x++) {
            float value = (float)pg_rng_below(&rng, 2);
            for (int y = 0; y < v->patch_height; y++)
                trial->patch[(i * v->patch_height + y) * v->patch_width + x] = value;
        }
    return PG_OK;
}

/* Square Attack halves the share at these of 10,000 queries. */
static double share_at(const random_search *c, int64_t step)
{
    static const int halvings[] = {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000};
    double share = c->share, of_10000 = (double)step * 10000 / (double)c->steps;
    for (size_t i = 0; i < sizeof halvings / sizeof *halvings; i++)
        share = of_10000 > halvings[i] ? share / 2 : share;
    return share;
}

static void move(pg_search *search, pg_trial *trial)
{
    const random_search *c = search->config;
    int h = search->victim->patch_height, w = search->victim->patch_width, least = h < w ? h : w;
    size_t bytes = pg_search_patch_size(search) * sizeof *trial->patch;
    bool kept = c->feedback == FEEDBACK_DECISION || !(trial->margin < trial->best);
    if (kept) {
        trial->best = trial->margin;
        memcpy(trial->memory, trial->patch, bytes);
    } else
        memcpy(trial->patch, trial->memory, bytes);
    int side = (int)lrint(sqrt(share_at(c, trial->pass) * h * w));
    side = side < 1 ? 1 : side > least ? least : side;
    uint64_t number = (uint64_t)trial->attempt * (uint64_t)(c->steps + 1) + (uint64_t)trial->pass;
    pg_rng rng = pg_draw_make(search->seed, trial->example->index, PG_DRAW_MOVE, number);
    int top = (int)pg_rng_below(&rng, (uint32_t)(h - side + 1)), left = (int)pg_rng_below(&rng, (uint32_t)(w - side + 1));
    uint32_t colour = pg_rng_below(&rng, 8);
    for (int i = 0; i < 3; i++)
        for (int y = top; y < top + side; y++)
            for (int x = left; x < left + side; x++)
                trial->patch[(i * h + y) * w + x] = (float)(colour >> i & 1);
}

static int run(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples, size_t n,
               pg_attack_outcome *outcome)
{
    const random_search *c = config;
    pg_search search = {.config = config,
                        .state = state,
                        .seed = seed,
                        .victim = victim,
                        .check = check,
                        .objective = &c->objective,
                        .steps = c->steps,
                        .attempts = c->restarts * pg_location_places(&c->location, victim->image_height, victim->image_width,
                                                                     victim->patch_height, victim->patch_width),
                        .begin = begin,
                        .move = move};
    return pg_search_run(&search, examples, n, outcome);
}

static int fixed_target(const void *config) { return pg_objective_class(&((const random_search *)config)->objective); }

PG_ATTACK(random_search)
const pg_attack pg_attack_random_search = {
    .module = {.name = "random-search",
               .summary = "black box: random squares inside one patch, kept where they help",
               .source = "Andriushchenko et al. 2020 (Square Attack); Croce et al. 2022 (Sparse-RS)",
               .version = 1,
               .options = options,
               .config_size = sizeof(random_search),
               .normalize = normalize},
    .check = check,
    .fixed_target = fixed_target,
    .run = run,
};
