/* my-attack: random pixels, again and again; the best of them is kept. (Say here what your attack does, its source, and where
 * it differs.)
 *
 * The loop of attacks/search.h does the rest: it asks the evaluator after every pass, keeps the patch with the largest margin,
 * and goes to the next image. An attack is a first patch and a next patch. One with gradients sets .gradients and
 * .needs_gradients and reads trial->gradient, d margin / d patch, in `my_attack_move`. */
#include "attacks/search.h"
#include "harness/plan/plugin.h"

/* The resolved options; one row of the table for each field. */
typedef struct my_attack_config {
    pg_attack_common common;
    pg_location location;
    pg_objective objective;
    int64_t steps;
} my_attack_config;

static const pg_option my_attack_options[] = {
    PG_ATTACK_COMMON_OPTIONS(my_attack_config, "64"),
    PG_LOCATION_OPTIONS(my_attack_config),
    PG_TARGET_OPTION(my_attack_config),
    PG_LOSS_OPTION(my_attack_config, "margin"),
    {"steps", PG_OPTION_INT, offsetof(my_attack_config, steps), "20", 0, 1000000,
     .help = "patches tried at a place, besides the first"},
    {0},
};

static int my_attack_normalize(void *config)
{
    my_attack_config *c = config;
    pg_location_normalize(&c->location);
    return pg_objective_normalize(&c->objective);
}

/* What cannot work is refused before any work. */
static int my_attack_check(const void *config, int image_height, int image_width, int patch_height, int patch_width,
                           int classes)
{
    const my_attack_config *c = config;
    int code = pg_location_check(&c->location, image_height, image_width, patch_height, patch_width, classes);
    return code == PG_OK ? pg_objective_check(&c->objective, classes) : code;
}

/* Draws depend on seed, image and pass alone, so that what is found for an image never depends on the others. */
static void my_attack_draw(const pg_search *search, pg_trial *trial)
{
    const my_attack_config *c = search->config;
    uint64_t number = (uint64_t)(trial->attempt * (c->steps + 1) + trial->pass);
    pg_rng rng = pg_draw_make(search->seed, trial->example->index, PG_DRAW_MOVE, number);
    for (size_t i = 0; i < pg_search_patch_size(search); i++)
        trial->patch[i] = (float)pg_rng_unit(&rng);
}

/* The place and the first patch of an attempt. */
static int my_attack_begin(pg_search *search, pg_trial *trial, bool *more)
{
    const my_attack_config *c = search->config;
    int64_t round = 0;
    int code = pg_search_next_place(search, trial, &c->location, 1, &round, more);
    if (code == PG_OK && *more)
        my_attack_draw(search, trial);
    return code;
}

/* The next patch, in [0, 1]. */
static void my_attack_move(pg_search *search, pg_trial *trial) { my_attack_draw(search, trial); }

static int my_attack_run(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples,
                         size_t n, pg_attack_outcome *outcome)
{
    const my_attack_config *c = config;
    pg_search search = {.config = config,
                        .state = state,
                        .seed = seed,
                        .victim = victim,
                        .check = my_attack_check,
                        .objective = &c->objective,
                        .steps = c->steps,
                        .begin = my_attack_begin,
                        .move = my_attack_move};
    return pg_search_run(&search, examples, n, outcome);
}

static int my_attack_target(const void *config) { return pg_objective_class(&((const my_attack_config *)config)->objective); }

static const pg_attack my_attack = {
    .module = {.name = "my-attack",
               .summary = "random pixels, the best of many",
               .source = "where it was published, or: unpublished",
               .version = 1, /* raise it whenever results change */
               .options = my_attack_options,
               .config_size = sizeof(my_attack_config),
               .normalize = my_attack_normalize},
    .check = my_attack_check,
    .fixed_target = my_attack_target,
    .run = my_attack_run,
};

PG_PLUGIN(.attacks = (const pg_attack *const[]){&my_attack, NULL});
