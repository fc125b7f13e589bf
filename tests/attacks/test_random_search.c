/* Random search: what gradients do not show, victims that only decide, known optimum, determinism. */
/* Loads libtorch. */
#include "tests/support/attack_fixture.h"

/* The masked-gradient trap: the gradient says nothing, so LaVAN does not get beyond its start; the search finds
 * what there is. */
static void a_masked_gradient_is_found_out(void **state)
{
    (void)state;
    toy x = toy_make(scope, TRAP, 16, 2, 2);
    gallery *g = gallery_new(&x, 60);
    setup gradient = ATTACK("lavan", "steps=300", "location=centre"),
          search = ATTACK("random-search", "steps=300", "location=centre");
    attack_all(&gradient, &x, g);
    check_claims(&x, g);
    int by_gradient = count_broken(g), possible = 0, found = 0, first = 0;
    for (int i = 0; i < g->n; i++)
        first += g->found[i].broken && g->found[i].steps == 1;
    assert_int_equal(by_gradient, first);
    attack_all(&search, &x, g);
    check_claims(&x, g);
    for (int i = 0; i < g->n; i++) {
        double best = best_margin(&x, &g->examples[i], g->found[i].top, g->found[i].left);
        possible += best > 0;
        found += g->found[i].broken && best > 0;
    }
    print_message("trap: LaVAN %d of 60, random search %d, possible %d\n", by_gradient, found, possible);
    assert_int_equal(found, count_broken(g));
    assert_true(found >= possible - 1 && found >= 2 * by_gradient);
    free(g);
}

/* Without a trap it gets no further than the optimum, and close to it. */
static void the_optimum_bounds_it(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 32, 1, 2);
    gallery *g = gallery_new(&x, 60);
    setup s = ATTACK("random-search", "steps=120");
    attack_all(&s, &x, g);
    check_claims(&x, g);
    int reached = 0, unbroken = 0;
    for (int i = 0; i < g->n; i++) {
        double best = best_margin(&x, &g->examples[i], g->found[i].top, g->found[i].left);
        assert_true(g->found[i].broken ? best > 0 : g->found[i].loss <= best + 1e-4);
        unbroken += !g->found[i].broken;
        reached += !g->found[i].broken && g->found[i].loss > best - 0.2;
    }
    print_message("%d of %d unbroken images at their optimum\n", reached, unbroken);
    assert_true(unbroken > 10 && reached * 10 >= unbroken * 9);
    free(g);
}

/* A victim without gradients and scores: the evaluator is enough. */
static void an_evaluator_alone_is_enough(void **state)
{
    (void)state;
    toy evaluator = toy_make(scope, EVALUATOR_ONLY, 16, 2, 2), open = toy_make(scope, LINEAR, 16, 2, 2);
    gallery *g = gallery_new(&evaluator, 60), *h = gallery_new(&open, 60);
    setup s = ATTACK("random-search", "steps=200", "feedback=decision", "location=centre"),
          start = ATTACK("random-search", "steps=0", "location=centre");
    attack_all(&start, &evaluator, g);
    int at_start = count_broken(g);
    attack_all(&s, &evaluator, g);
    check_claims(&evaluator, g);
    attack_all(&s, &open, h); /* which has scores, and does not use them */
    for (int i = 0; i < g->n; i++) {
        assert_int_equal(g->found[i].steps, h->found[i].steps);
        assert_int_equal(g->found[i].broken, h->found[i].broken);
    }
    print_message("decisions alone: %d of 60 at the start, %d after 200\n", at_start, count_broken(g));
    assert_true(count_broken(g) > at_start + 5);
    setup runner_up = ATTACK("random-search", "target=runner-up");
    assert_int_equal(runner_up.attack->run(runner_up.config, NULL, 1, &evaluator.victim, g->examples, 2, g->found),
                     PG_EUNSUPPORTED);
    assert_non_null(strstr(pg_error_message(), "no scores"));
    setup gradient = ATTACK("random-search", "location=gradient");
    assert_int_equal(gradient.attack->run(gradient.config, NULL, 1, &evaluator.victim, g->examples, 2, g->found),
                     PG_EUNSUPPORTED);
    assert_non_null(strstr(pg_error_message(), "choose another location"));
    free(g);
    free(h);
}

static void batches_do_not_matter(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 64, 3, 2), one = toy_make(scope, LINEAR, 1, 3, 2);
    gallery *all = gallery_new(&x, 64), *alone = gallery_new(&one, 64);
    setup s = ATTACK("random-search", "steps=40", "restarts=2", "target=random");
    attack_all(&s, &x, all);
    attack_all(&s, &one, alone);
    int same = 0;
    for (int i = 0; i < 64; i++)
        same += all->found[i].broken == alone->found[i].broken &&
                memcmp(all->patches[i], alone->patches[i], 18 * sizeof(float)) == 0;
    print_message("batch 64 and 1: %d of 64 the same bytes\n", same);
    assert_true(same >= 63);
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < 18; k++)
            assert_true(all->patches[i][k] == 0 || all->patches[i][k] == 1);
    free(all);
    free(alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_masked_gradient_is_found_out),
        cmocka_unit_test(the_optimum_bounds_it),
        cmocka_unit_test(an_evaluator_alone_is_enough),
        cmocka_unit_test(batches_do_not_matter),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
