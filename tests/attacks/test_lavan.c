/* LaVAN and the loop over images: known optimum, determinism, places, targets, early stop, refill, traps, errors. */
/* Loads libtorch. */
#include "tests/support/attack_fixture.h"

#include "attacks/objective.h"
#include "attacks/location.h"

/* Linear scores: 25 steps of 0.05 reach 0 or 1 from anywhere, so what is found is the optimum, or a break before it. */
static void a_known_optimum_is_found(void **state)
{
    (void)state;
    for (int patch = 1; patch <= 3; patch++) {
        toy x = toy_make(scope, LINEAR, 16, patch, patch + 1);
        gallery *g = gallery_new(&x, 60);
        setup s = ATTACK("lavan", "steps=25", "loss=margin");
        attack_all(&s, &x, g);
        check_claims(&x, g);
        int possible = 0;
        for (int i = 0; i < g->n; i++) {
            double best = best_margin(&x, &g->examples[i], g->found[i].top, g->found[i].left);
            possible += best > 0;
            if (g->found[i].broken)
                assert_true(best > 0);
            else {
                assert_int_equal(g->found[i].steps, 26);
                assert_true(g->found[i].loss <= best + 1e-4);
            }
        }
        /* signs follow the rival that leads at each step, which need not be the one that could get furthest */
        print_message("patch %d x %d: %d of 60 can be broken, %d were\n", patch, patch + 1, possible, count_broken(g));
        assert_true(possible > 5 && count_broken(g) >= possible - 3);
        free(g);
    }
}

/* Towards a class there is one optimum, and no iterate before the last may be better. */
static void a_target_has_one_optimum(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 8, 2, 2);
    gallery *g = gallery_new(&x, 40);
    setup s = ATTACK("lavan", "steps=25", "loss=margin", "target=random");
    attack_all(&s, &x, g);
    check_claims(&x, g);
    int unbroken = 0;
    for (int i = 0; i < g->n; i++) {
        const pg_attack_outcome *f = &g->found[i];
        int label = g->examples[i].label;
        assert_in_range(f->target, 0, CLASSES - 1);
        assert_int_not_equal(f->target, label);
        if (f->broken)
            continue;
        unbroken++;
        double best = -INFINITY, scores[CLASSES];
        x.held[0] = &g->examples[i];
        x.top[0] = f->top;
        x.left[0] = f->left;
        for (int rival = 0; rival < CLASSES; rival++) { /* the bound by the rival that is hardest to pass */
            float patch[PATCH_MAX];
            if (rival == f->target)
                continue;
            for (int k = 0; k < 12; k++)
                patch[k] = x.weights[f->target][toy_at(&x, 0, k)] > x.weights[rival][toy_at(&x, 0, k)];
            toy_deploy(&x, 0, patch, scores);
            best = rival == 0 || best == -INFINITY ? scores[f->target] - scores[rival]
                                                   : fmin(best, scores[f->target] - scores[rival]);
        }
        assert_true(f->loss <= best + 1e-4);
    }
    assert_true(unbroken > 3 && unbroken < 37);
    free(g);
}

/* The same bytes whatever else is attacked, in which order and in what batches; other bytes for another seed. */
static void what_is_found_depends_on_the_image_alone(void **state)
{
    (void)state;
    toy x = toy_make(scope, WAVES, 64, 3, 3), one = toy_make(scope, WAVES, 1, 3, 3), few = toy_make(scope, WAVES, 7, 3, 3);
    gallery *all = gallery_new(&x, 64), *alone = gallery_new(&one, 64), *turned = gallery_new(&few, 64);
    setup s = ATTACK("lavan", "steps=12", "restarts=2", "places=2", "target=random");
    attack_all(&s, &x, all);
    assert_int_equal(x.largest, 64);
    attack_all(&s, &one, alone);
    assert_int_equal(one.largest, 1);
    for (int i = 0; i < 32; i++) {
        pg_example kept = turned->examples[i];
        turned->examples[i] = turned->examples[63 - i];
        turned->examples[63 - i] = kept;
    }
    attack_all(&s, &few, turned);
    int same = 0, outcomes = 0;
    for (int i = 0; i < 64; i++) {
        const pg_attack_outcome *a = &all->found[i], *b = &alone->found[i], *c = &turned->found[63 - i];
        bool equal = a->broken == b->broken && a->steps == b->steps && memcmp(a->patch, b->patch, 27 * sizeof(float)) == 0;
        same += equal && a->broken == c->broken && a->steps == c->steps && memcmp(a->patch, c->patch, 27 * sizeof(float)) == 0;
        outcomes += a->broken == b->broken;
        assert_int_equal(a->target, b->target);
    }
    print_message("batch 64, 7 and 1: %d of 64 the same bytes, %d the same outcome\n", same, outcomes);
    assert_true(outcomes >= 63 && same >= 60);
    gallery *again = gallery_new(&x, 64);
    attack_all(&s, &x, again);
    for (int i = 0; i < 64; i++)
        assert_memory_equal(again->patches[i], all->patches[i], 27 * sizeof(float));
    assert_int_equal(s.attack->run(s.config, NULL, 6, &x.victim, again->examples, 64, again->found), PG_OK);
    assert_memory_not_equal(again->patches, all->patches, sizeof all->patches);
    free(all);
    free(alone);
    free(turned);
    free(again);
}

/* Every place is reached, the last row and column too, each about as often; the modes that go through places do so. */
static void every_place_is_reached(void **state)
{
    (void)state;
    enum { ROWS = SIDE_H - 2, COLUMNS = SIDE_W - 3, DRAWS = 200 * ROWS * COLUMNS };
    static int counts[ROWS][COLUMNS];
    pg_location random = {.mode = PG_LOCATION_RANDOM, .places = 1};
    for (int64_t i = 0; i < DRAWS; i++) {
        pg_place p = pg_location_at(&random, 3, i, ROWS, COLUMNS, 0);
        assert_in_range(p.top, 0, ROWS - 1);
        assert_in_range(p.left, 0, COLUMNS - 1);
        counts[p.top][p.left]++;
    }
    double chi2 = 0;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        chi2 += pow(counts[i / COLUMNS][i % COLUMNS] - 200, 2) / 200;
    print_message("chi2 of places: %.1f at %d degrees of freedom\n", chi2, ROWS * COLUMNS - 1);
    assert_true(chi2 < 66); /* 34 degrees of freedom, 0.999 */

    toy x = toy_make(scope, TRAP, 4, 3, 4); /* hardly anything breaks: all attempts are made */
    gallery *g = gallery_new(&x, 1);
    for (int c = 0; c < CLASSES; c++)
        for (int i = 0; i < IMAGE; i++)
            x.weights[c][i] = c == g->examples[0].label;
    setup s = ATTACK("lavan", "steps=0", "location=all", "restarts=2");
    attack_all(&s, &x, g);
    assert_int_equal(g->found[0].steps, 2 * ROWS * COLUMNS);
    for (int y = 0; y < SIDE_H; y++)
        for (int k = 0; k < SIDE_W; k++)
            assert_int_equal(x.places[y][k], y < ROWS && k < COLUMNS ? 2 : 0);
    free(g);
}

static void grids_reach_the_edges(void **state)
{
    (void)state;
    pg_location grid = {.mode = PG_LOCATION_GRID, .grid = 3};
    assert_int_equal(pg_location_count(&grid, 28, 5), 9);
    static const int tops[] = {0, 14, 27}, lefts[] = {0, 2, 4};
    for (int i = 0; i < 9; i++) {
        pg_place p = pg_location_at(&grid, 0, 0, 28, 5, i);
        assert_int_equal(p.top, tops[i / 3]);
        assert_int_equal(p.left, lefts[i % 3]);
    }
    grid.grid = 10; /* more than there are: each once */
    assert_int_equal(pg_location_count(&grid, 1, 4), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pg_location_at(&grid, 0, 0, 1, 4, i).left, i);
    grid.grid = 1;
    assert_int_equal(pg_location_at(&grid, 0, 0, 28, 28, 0).top, 13);
    pg_location centre = {.mode = PG_LOCATION_CENTRE}, fixed = {.mode = PG_LOCATION_FIXED, .top = 4, .left = 2};
    pg_place p = pg_location_at(&centre, 0, 0, 28, 5, 0), q = pg_location_at(&fixed, 0, 0, 28, 5, 0);
    assert_true(p.top == 13 && p.left == 2 && q.top == 4 && q.left == 2);
}

static void sensitive_places_come_first(void **state)
{
    (void)state;
    float saliency[6 * 7] = {0};
    saliency[5 * 7 + 6] = 5; /* the last corner: only the last place covers it */
    saliency[2 * 7 + 2] = 3;
    saliency[0] = 1;
    pg_place p[8];
    assert_int_equal(pg_location_rank(saliency, 6, 7, 2, 2, 3, p), 3);
    assert_true(p[0].top == 4 && p[0].left == 5);
    assert_true(p[1].top == 1 && p[1].left == 1);
    assert_true(p[2].top != 0 || p[2].left != 0); /* that covers half of the one before along both axes */
    assert_int_equal(pg_location_rank(saliency, 6, 7, 6, 7, 8, p), 1);
    saliency[3] = NAN;
    assert_int_equal(pg_location_rank(saliency, 6, 7, 2, 2, 1, p), 1);
    assert_true(p[0].top == 4 && p[0].left == 5);

    toy x = toy_make(scope, LINEAR, 4, 2, 2);
    gallery *g = gallery_new(&x, 12);
    for (int c = 0; c < CLASSES; c++)
        x.weights[c][3 * SIDE_W + 5] = c == 0 ? -60 : 60;
    for (int i = 0; i < g->n; i++)
        g->examples[i].label = g->examples[i].prediction = 0;
    setup s = ATTACK("lavan", "steps=30", "location=gradient");
    attack_all(&s, &x, g);
    for (int i = 0; i < g->n; i++)
        assert_true(g->found[i].steps == 0 ||
                    (g->found[i].top >= 2 && g->found[i].top <= 3 && g->found[i].left >= 4 && g->found[i].left <= 5));
    free(g);
}

/* An image that is broken makes room at once, and costs no more passes. */
static void early_stop_refills_the_batch(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 4, 4, 4);
    gallery *g = gallery_new(&x, 40);
    setup s = ATTACK("lavan", "steps=60");
    attack_all(&s, &x, g);
    check_claims(&x, g);
    int64_t steps = 0, longest = 0;
    for (int i = 0; i < g->n; i++) {
        steps += g->found[i].steps;
        longest = g->found[i].steps > longest ? g->found[i].steps : longest;
    }
    assert_int_equal(x.images, steps); /* no pass without a reason */
    assert_int_equal(x.largest, 4);
    print_message("%d of 40 broken, %lld images in %lld passes of at most 4\n", count_broken(g), (long long)steps,
                  (long long)x.passes);
    assert_true(count_broken(g) > 20 && steps < 40 * 10);
    assert_true(x.passes <= (steps + 3) / 4 + longest); /* full but for the end */
    gallery *h = gallery_new(&x, 40);
    int later = 0;
    for (int i = 0; i < g->n; i++) { /* one pass fewer, and it is not broken */
        char pair[32];
        if (!g->found[i].broken || g->found[i].steps < 2 || later == 5)
            continue;
        snprintf(pair, sizeof pair, "steps=%d", (int)g->found[i].steps - 2);
        setup fewer = ATTACK("lavan", pair);
        attack_all(&fewer, &x, h);
        assert_false(h->found[i].broken);
        later++;
    }
    assert_true(later > 2);
    free(h);
    free(g);
}

static void images_that_are_wrong_are_left_alone(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 3, 2, 2);
    gallery *g = gallery_new(&x, 9);
    for (int i = 0; i < 9; i += 2)
        g->examples[i].label = (g->examples[i].prediction + 1) % CLASSES;
    g->examples[2].prediction = -1;
    setup s = ATTACK("lavan", "steps=3");
    attack_all(&s, &x, g);
    for (int i = 0; i < 9; i++) {
        const pg_attack_outcome *f = &g->found[i];
        assert_true((f->steps == 0) == (i % 2 == 0));
        if (i % 2)
            continue;
        assert_true(f->broken && f->loss == 0 && f->target == -1);
        for (int k = 0; k < 12; k++)
            assert_true(f->patch[k] ==
                        (float)g->pixels[i][((k / 4) * SIDE_H + f->top + k / 2 % 2) * SIDE_W + f->left + k % 2] / 255);
    }
    for (int i = 0; i < 9; i++) /* nothing to do at all: no pass */
        g->examples[i].label = (g->examples[i].prediction + 1) % CLASSES;
    x.passes = 0;
    attack_all(&s, &x, g);
    assert_int_equal(x.passes, 0);
    g->n = 0;
    attack_all(&s, &x, g);
    free(g);
}

static void targets_are_as_asked_for(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 5, 2, 2);
    gallery *g = gallery_new(&x, 30);
    setup s = ATTACK("lavan", "steps=3", "target=runner-up");
    attack_all(&s, &x, g);
    for (int i = 0; i < g->n; i++) {
        double scores[CLASSES];
        float own[12];
        x.held[0] = &g->examples[i];
        x.top[0] = x.left[0] = 0;
        for (int k = 0; k < 12; k++)
            own[k] = (float)g->pixels[i][toy_at(&x, 0, k)] / 255;
        toy_deploy(&x, 0, own, scores);
        scores[g->examples[i].label] = -INFINITY;
        assert_int_equal(g->found[i].target, toy_predict(scores));
    }
    g->n = 1;
    char pair[32];
    int label = g->examples[0].label, other = (label + 1) % CLASSES;
    snprintf(pair, sizeof pair, "target=0%d", other);
    s = ATTACK("lavan", "steps=30", pair, "location=centre");
    attack_all(&s, &x, g);
    assert_int_equal(g->found[0].target, other);
    snprintf(pair, sizeof pair, "target=%d", label);
    s = ATTACK("lavan", pair);
    x.passes = 0;
    assert_int_equal(s.attack->run(s.config, NULL, 5, &x.victim, g->examples, 1, g->found), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "image 100 has the label"));
    assert_int_equal(x.passes, 0);
    g->examples[0].label = other; /* wrong already: what is predicted comes before all but the label */
    s = ATTACK("lavan", "target=runner-up");
    attack_all(&s, &x, g);
    assert_true(g->found[0].broken && g->found[0].steps == 0 && g->found[0].target == label);
    g->examples[0].label = label;
    g->examples[0].prediction = other; /* wrong already, and as wanted */
    snprintf(pair, sizeof pair, "target=%d", other);
    s = ATTACK("lavan", pair);
    attack_all(&s, &x, g);
    assert_true(g->found[0].broken && g->found[0].steps == 0);
    free(g);
}

/* The gradient of TRAP is zero: no step moves. A start inside the right corner is all there is, so restarts find some. */
static void restarts_find_what_gradients_do_not(void **state)
{
    (void)state;
    toy x = toy_make(scope, TRAP, 8, 2, 2);
    gallery *g = gallery_new(&x, 60);
    setup once = ATTACK("lavan", "steps=5", "location=centre"),
          often = ATTACK("lavan", "steps=5", "restarts=60", "location=centre");
    attack_all(&once, &x, g);
    check_claims(&x, g);
    int first = count_broken(g);
    attack_all(&often, &x, g);
    check_claims(&x, g);
    print_message("trap: %d of 60 broken at the first start, %d after 60\n", first, count_broken(g));
    assert_true(count_broken(g) >= first + 5);
    free(g);
}

/* KINDS: the first kind has no gradient, the second has. Kinds take turns even without restarts. */
static void kinds_take_turns(void **state)
{
    (void)state;
    toy x = toy_make(scope, KINDS, 6, 3, 3), plain = toy_make(scope, LINEAR, 6, 3, 3);
    gallery *g = gallery_new(&x, 30), *h = gallery_new(&plain, 30);
    setup s = ATTACK("lavan", "steps=25", "loss=margin", "start=grey", "location=centre");
    attack_all(&s, &x, g);
    attack_all(&s, &plain, h);
    check_claims(&x, g);
    assert_true(count_broken(h) > 5);
    for (int i = 0; i < g->n; i++) { /* 26 passes that lead nowhere, then the same as without */
        assert_int_equal(g->found[i].broken, h->found[i].broken);
        assert_int_equal(g->found[i].steps, h->found[i].steps + (h->found[i].steps == 1 ? 0 : 26));
    }
    free(g);
    free(h);
}

/* Leads against their definition, their gradients against differences, and no gradient that vanishes. */
static void leads_are_differentiable(void **state)
{
    (void)state;
    static const float values[] = {0.3f, -1.2f, 0.9f, 2.0f, 150.0f, 1.0f, 0.5f, -70.0f};
    const int64_t labels[] = {3, 0}, none[] = {-1, -1}, wanted[] = {1, 1}, shape[] = {2, CLASSES};
    for (int loss = PG_LOSS_CROSS_ENTROPY; loss <= PG_LOSS_MARGIN; loss++)
        for (int targeted = 0; targeted < 2; targeted++) {
            float grad[8];
            double margins[2], moved[2][2], ends[2];
            t->grad_mode(true);
            pg_tensor *x = t->from_data(scope, values, PG_T_F32, 2, shape);
            t->requires_grad(scope, x, true);
            pg_tensor *x_margins = pg_objective_margins(scope, x, 2, labels, targeted ? wanted : none, loss);
            t->read(scope, x_margins, margins, PG_T_F64, 2);
            t->read(scope, t->grad(scope, t->sum(scope, x_margins, 0, NULL, false), x), grad, PG_T_F32, 8);
            t->grad_mode(false);
            assert_int_equal(pg_scope_check(scope), PG_OK);
            for (int i = 0; i < 2; i++) {
                const float *v = values + 4 * i;
                int own = (int)(targeted ? wanted[i] : labels[i]);
                double top = -INFINITY, sum = 0;
                for (int c = 0; c < CLASSES; c++)
                    if (c != own)
                        top = fmax(top, (double)v[c]), sum += exp((double)v[c] - 150);
                top = loss == PG_LOSS_MARGIN ? top : 150 + log(sum);
                double margin = targeted ? (double)v[own] - top : top - (double)v[own];
                assert_true(fabs(margins[i] - margin) < 1e-4 * fmax(1, fabs(margin)));
                double ce = -(double)v[own] + log(exp((double)v[own] - 150) + sum) + 150;
                double want = loss == PG_LOSS_MARGIN ? margin : targeted ? -ce : ce;
                assert_true(fabs(pg_objective_loss(loss, targeted ? own : -1, margin) - want) < 1e-6 * fmax(1, fabs(want)));
                assert_true(fabs(fabs((double)grad[4 * i + own]) - 1) < 1e-6);
            }
            for (int k = 0; k < 8; k++) {
                for (int side = 0; side < 2; side++) {
                    float at[8];
                    memcpy(at, values, sizeof at);
                    at[k] += side ? 1e-2f : -1e-2f;
                    ends[side] = (double)at[k];
                    t->read(scope,
                            pg_objective_margins(scope, t->from_data(scope, at, PG_T_F32, 2, shape), 2, labels,
                                                 targeted ? wanted : none, loss),
                            moved[side], PG_T_F64, 2);
                }
                double difference = (moved[1][k / 4] - moved[0][k / 4]) / (ends[1] - ends[0]);
                assert_true(fabs(difference - (double)grad[k]) < 2e-2);
            }
            t->scope_clear(scope);
        }
}

static void interruptions_end_the_run(void **state)
{
    (void)state;
    toy x = toy_make(scope, TRAP, 4, 2, 2);
    gallery *g = gallery_new(&x, 8);
    setup s = ATTACK("lavan", "steps=50");
    x.stop_after = 3;
    assert_int_equal(s.attack->run(s.config, NULL, 5, &x.victim, g->examples, 8, g->found), PG_EINTERRUPTED);
    assert_int_equal(x.passes, 3);
    free(g);
}

static void bad_input_is_one_clear_error(void **state)
{
    (void)state;
    const pg_attack *a = pg_attack_find("lavan");
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    static const struct {
        const char *pair, *says;
    } bad[] = {{"location=middle", "one of random, fixed, centre, grid, all, gradient"},
               {"target=cat", "target 'cat': none, random, runner-up, or the number of a class"},
               {"target=-1", "target '-1'"},
               {"target=", "target ''"},
               {"steps=-1", "steps"},
               {"schedule=step", "one of constant, linear, cosine"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pg_module_configure(&a->module, "attack", &bad[i].pair, 1, config), PG_EINPUT);
        if (!strstr(pg_error_message(), bad[i].says))
            fail_msg("%s: %s", bad[i].pair, pg_error_message());
    }
    setup s = ATTACK("lavan", "target=10");
    assert_int_equal(a->check(s.config, 32, 32, 5, 5, 10), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "target 10: the classes are 0 to 9"));
    s = ATTACK("lavan", "location=fixed", "top=27", "left=27");
    assert_int_equal(a->check(s.config, 32, 32, 5, 5, 10), PG_OK);
    s = ATTACK("lavan", "location=fixed", "top=28");
    assert_int_equal(a->check(s.config, 32, 32, 5, 5, 10), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "top at most 27, left at most 27"));
    toy x = toy_make(scope, LINEAR, 2, 2, 2), evaluator = toy_make(scope, EVALUATOR_ONLY, 2, 2, 2);
    gallery *g = gallery_new(&x, 2);
    x.victim.patch_height = SIDE_H + 1;
    s = ATTACK("lavan", "steps=1");
    assert_int_equal(a->run(s.config, NULL, 5, &x.victim, g->examples, 2, g->found), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "a patch of 10 x 2 px does not fit into images of 9 x 8 px"));
    assert_int_equal(a->run(s.config, NULL, 5, &evaluator.victim, g->examples, 2, g->found), PG_EUNSUPPORTED);
    assert_non_null(strstr(pg_error_message(), "random-search"));
    free(g);
}

/* Options without effect make no difference. */
static void equal_attacks_are_equal(void **state)
{
    (void)state;
    setup a = ATTACK("lavan", "target=007", "places=3"), b = ATTACK("lavan", "target=7", "top=5", "grid=8", "places=3");
    assert_memory_equal(a.config, b.config, a.attack->module.config_size);
    a = ATTACK("lavan", "location=centre", "places=3");
    b = ATTACK("lavan", "location=centre");
    assert_memory_equal(a.config, b.config, a.attack->module.config_size);
}

/* Steps get smaller, and the best iterate is not the last: with a constant step it overshoots on waves. */
static void schedules_and_momentum_work(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"schedule=constant", "momentum=0"},
                                           {"schedule=linear", "momentum=0"},
                                           {"schedule=cosine", "momentum=0.5"},
                                           {"schedule=cosine", "start=image"}};
    float patches[4][PATCH_MAX];
    for (int i = 0; i < 4; i++) {
        toy x = toy_make(scope, LINEAR, 10, 1, 2);
        gallery *g = gallery_new(&x, 40);
        setup s = ATTACK("lavan", "steps=60", "location=centre", pairs[i][0], pairs[i][1]);
        attack_all(&s, &x, g);
        check_claims(&x, g);
        int optimal = 0, unbroken = 0;
        for (int k = 0; k < g->n; k++)
            if (!g->found[k].broken) {
                unbroken++;
                int extreme = 0;
                for (int j = 0; j < 6; j++)
                    extreme += g->found[k].patch[j] <= 0.03f || g->found[k].patch[j] >= 0.97f;
                optimal += extreme >= 5;
            }
        print_message("%s %s: %d of %d unbroken images at a corner\n", pairs[i][0], pairs[i][1], optimal, unbroken);
        assert_true(unbroken > 10 && optimal * 10 >= unbroken * 7);
        memcpy(patches[i], g->patches[0], sizeof patches[i]);
        free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_optimum_is_found),
        cmocka_unit_test(a_target_has_one_optimum),
        cmocka_unit_test(what_is_found_depends_on_the_image_alone),
        cmocka_unit_test(every_place_is_reached),
        cmocka_unit_test(grids_reach_the_edges),
        cmocka_unit_test(sensitive_places_come_first),
        cmocka_unit_test(early_stop_refills_the_batch),
        cmocka_unit_test(images_that_are_wrong_are_left_alone),
        cmocka_unit_test(targets_are_as_asked_for),
        cmocka_unit_test(restarts_find_what_gradients_do_not),
        cmocka_unit_test(kinds_take_turns),
        cmocka_unit_test(leads_are_differentiable),
        cmocka_unit_test(interruptions_end_the_run),
        cmocka_unit_test(bad_input_is_one_clear_error),
        cmocka_unit_test(equal_attacks_are_equal),
        cmocka_unit_test(schedules_and_momentum_work),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
