/* LaVAN: signed gradient ascent over the pixels of one patch.
 *
 * Source: Karmon, Zoran & Goldberg 2018 (LaVAN), as PatchGuard runs it: cross-entropy of the defended score, step 0.05 where
 * pixels are 0 to 1, 500 steps, a uniform random start inside the patch, the best iterate kept. Differs: the place is uniform
 * over all places of the image; each iterate is rounded to 8 bits before it is evaluated, and an image ends at the first one
 * that is broken; the score of the defense is differentiated, and where a defense can be aimed at in several ways (kinds), they
 * take turns over the restarts.
 *
 * Steps of one size end up going back and forth about an optimum: schedule=cosine step=0.25 momentum=0.75 gets further in 100
 * steps than the settings above do in 500. */
#include "attacks/ascent.h"

typedef struct lavan {
    pg_attack_common common;
    pg_location location;
    pg_ascent ascent;
    int64_t restarts;
    pg_objective objective;
} lavan;

static const pg_option options[] = {
    PG_ATTACK_COMMON_OPTIONS(lavan, "64"),
    PG_LOCATION_OPTIONS(lavan),
    PG_TARGET_OPTION(lavan),
    PG_LOSS_OPTION(lavan, "cross-entropy"),
    PG_ASCENT_OPTIONS(lavan, "500"),
    {"restarts", PG_OPTION_INT, offsetof(lavan, restarts), "1", 1, 100000,
     .help = "attempts at each place; at least one for each objective against the defense"},
    {0},
};

static int normalize(void *config)
{
    lavan *c = config;
    pg_location_normalize(&c->location);
    return pg_objective_normalize(&c->objective);
}

static int check(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    const lavan *c = config;
    int code = pg_location_check(&c->location, image_height, image_width, patch_height, patch_width, classes);
    return code == PG_OK ? pg_objective_check(&c->objective, classes) : code;
}

static int64_t rounds_of(const lavan *c, const pg_victim *v) { return c->restarts > v->kinds ? c->restarts : v->kinds; }

static int begin(pg_search *search, pg_trial *trial, bool *more)
{
    const lavan *c = search->config;
    int kinds = search->victim->kinds;
    int64_t round = 0;
    int code = pg_search_next_place(search, trial, &c->location, rounds_of(c, search->victim), &round, more);
    if (code != PG_OK || !*more)
        return code;
    trial->kind = (int)(round % kinds);
    pg_ascent_start(&c->ascent, search, trial, round < kinds);
    return PG_OK;
}

static void move(pg_search *search, pg_trial *trial)
{
    const lavan *c = search->config;
    pg_ascent_move(&c->ascent, search, trial);
}

static int run(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples, size_t n,
               pg_attack_outcome *outcome)
{
    const lavan *c = config;
    pg_search search = {.config = config,
                        .state = state,
                        .seed = seed,
                        .victim = victim,
                        .check = check,
                        .objective = &c->objective,
                        .steps = c->ascent.steps,
                        .attempts =
                            rounds_of(c, victim) * pg_location_places(&c->location, victim->image_height, victim->image_width,
                                                                      victim->patch_height, victim->patch_width),
                        .gradients = true,
                        .begin = begin,
                        .move = move};
    return pg_search_run(&search, examples, n, outcome);
}

static int fixed_target(const void *config) { return pg_objective_class(&((const lavan *)config)->objective); }

PG_ATTACK(lavan)
const pg_attack pg_attack_lavan = {
    .module = {.name = "lavan",
               .summary = "signed gradient ascent over the pixels of one patch",
               .source = "Karmon et al. 2018 (LaVAN); Xiang et al. 2021 (PatchGuard), V-A",
               .version = 1,
               .options = options,
               .config_size = sizeof(lavan),
               .normalize = normalize},
    .needs_gradients = true,
    .check = check,
    .fixed_target = fixed_target,
    .run = run,
};
