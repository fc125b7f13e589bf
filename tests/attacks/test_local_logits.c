/* Attacks on local logits: the share of positions that can be corrupted is known where every row of the image is a position of
 * its own and its local logits are linear. */
/* Loads libtorch. */
#include "tests/support/attack_fixture.h"

/* Local logits of one row of the image, double on the host: patch NULL: as the image is. */
static void row_logits(const toy *x, int slot, const float *patch, int row, double out[CLASSES])
{
    int h = x->victim.patch_height, w = x->victim.patch_width;
    for (int c = 0; c < CLASSES; c++) {
        out[c] = 0;
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < SIDE_W; i++) {
                int at = (k * SIDE_H + row) * SIDE_W + i, py = row - x->top[slot], px = i - x->left[slot];
                bool below = patch && py >= 0 && py < h && px >= 0 && px < w;
                double value =
                    below ? round((double)patch[(k * h + py) * w + px] * 255) / 255 : x->held[slot]->pixels[at] / 255.0;
                out[c] += x->weights[c][at] * value;
            }
    }
}

/* [n][CLASSES][rows of the patch] */
static pg_tensor *toy_local(pg_victim *v, int n, const int *slots, const float *patches)
{
    toy *x = toy_of(v);
    int h = v->patch_height, w = v->patch_width, size = 3 * h * w;
    x->passes++;
    x->images += n;
    float *weights = malloc((size_t)(n * CLASSES * size) * sizeof *weights),
          *rest = malloc((size_t)(n * CLASSES * h) * sizeof *rest);
    for (int i = 0; i < n; i++) {
        const float *patch = patches + i * size;
        toy_deploy(x, slots[i], patch, x->scores[i]);
        for (int row = 0; row < h; row++) {
            double logits[CLASSES];
            row_logits(x, slots[i], patch, x->top[slots[i]] + row, logits);
            for (int c = 0; c < CLASSES; c++)
                rest[(i * CLASSES + c) * h + row] = (float)logits[c];
        }
        for (int c = 0; c < CLASSES; c++)
            for (int k = 0; k < size; k++)
                weights[(i * CLASSES + c) * size + k] = (float)x->weights[c][toy_at(x, slots[i], k)];
    }
    pg_tensor *p = x->patches = t->from_data(scope, patches, PG_T_F32, 5, (const int64_t[]){n, 1, 3, h, w});
    t->requires_grad(scope, p, true);
    pg_tensor *change = t->sub(scope, p, t->detach(scope, p)); /* zero, with a gradient */
    pg_tensor *m = t->from_data(scope, weights, PG_T_F32, 5, (const int64_t[]){n, CLASSES, 3, h, w});
    const int64_t dims[] = {2, 4};
    pg_tensor *sums = t->sum(scope, t->mul(scope, change, m), 2, dims, false);
    pg_tensor *out = t->add(scope, sums, t->from_data(scope, rest, PG_T_F32, 3, (const int64_t[]){n, CLASSES, h}));
    free(weights);
    free(rest);
    return out;
}

static const pg_victim_ops local_ops = {.hold = toy_hold,
                                        .scores = toy_scores,
                                        .local_logits = toy_local,
                                        .gradient = toy_gradient,
                                        .evaluate = toy_evaluate,
                                        .saliency = toy_saliency,
                                        .stopping = toy_stopping};

static bool wrong(const double *logits, int label) { return toy_predict(logits) != label; }

/* Whether some patch at this place makes the row's local prediction wrong. */
static bool can_be_wrong(toy *x, int row, int label)
{
    int h = x->victim.patch_height, w = x->victim.patch_width;
    for (int c = 0; c < CLASSES; c++) {
        float patch[PATCH_MAX];
        double logits[CLASSES];
        for (int k = 0; k < 3 * h * w; k++)
            patch[k] = x->weights[c][toy_at(x, 0, k)] > x->weights[label][toy_at(x, 0, k)];
        row_logits(x, 0, patch, row, logits);
        if (c != label && logits[c] > logits[label])
            return true;
    }
    return false;
}

static void every_local_vector_is_attacked_on_its_own(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 16, 4, 2);
    x.victim.ops = &local_ops;
    gallery *g = gallery_new(&x, 50);
    g->examples[7].prediction = (g->examples[7].label + 1) % CLASSES; /* wrong already: attacked all the same */
    setup s = ATTACK("local-logits", "steps=30", "loss=margin", "restarts=2"),
          clean = ATTACK("local-logits", "steps=0", "start=image");
    attack_all(&clean, &x, g);
    int before = 0, after = 0, possible = 0, at_once = 0;
    for (int i = 0; i < g->n; i++) {
        x.held[0] = &g->examples[i];
        x.top[0] = g->found[i].top;
        x.left[0] = g->found[i].left;
        int rows = 0;
        for (int row = 0; row < 4; row++) {
            double logits[CLASSES];
            row_logits(&x, 0, NULL, g->found[i].top + row, logits);
            rows += wrong(logits, g->examples[i].label);
        }
        assert_true(g->found[i].loss == rows / 4.0); /* the share on the clean image */
        before += rows;
    }
    attack_all(&s, &x, g);
    for (int i = 0; i < g->n; i++) {
        const pg_attack_outcome *f = &g->found[i];
        double scores[CLASSES];
        int rows = 0, now = 0;
        x.held[0] = &g->examples[i];
        x.top[0] = f->top;
        x.left[0] = f->left;
        for (int row = 0; row < 4; row++) {
            double clean_row[CLASSES], logits[CLASSES];
            row_logits(&x, 0, NULL, f->top + row, clean_row);
            row_logits(&x, 0, f->patch, f->top + row, logits);
            rows += wrong(clean_row, g->examples[i].label) || can_be_wrong(&x, f->top + row, g->examples[i].label);
            now += wrong(logits, g->examples[i].label);
        }
        assert_true(f->loss <= rows / 4.0); /* never more than can be */
        assert_true(f->loss >= now / 4.0);  /* and at least what the one patch does at once */
        toy_deploy(&x, 0, f->patch, scores);
        assert_int_equal(f->broken, f->steps > 1 && now > 0 ? toy_predict(scores) != g->examples[i].label
                                                            : g->examples[i].prediction != g->examples[i].label);
        assert_true(f->steps >= 1 && f->target == -1);
        after += (int)lrint(f->loss * 4);
        possible += rows;
        at_once += now;
    }
    print_message("local predictions wrong: %d of %d clean, %d attacked, %d possible, %d at once\n", before, 4 * g->n, after,
                  possible, at_once);
    assert_true(after >= possible - possible / 25 && after > before + 20);
    free(g);
}

static void batches_and_seeds(void **state)
{
    (void)state;
    toy x = toy_make(scope, LINEAR, 16, 3, 3), one = toy_make(scope, LINEAR, 1, 3, 3);
    x.victim.ops = one.victim.ops = &local_ops;
    gallery *all = gallery_new(&x, 40), *alone = gallery_new(&one, 40);
    setup s = ATTACK("local-logits", "steps=10");
    attack_all(&s, &x, all);
    attack_all(&s, &one, alone);
    int same = 0;
    for (int i = 0; i < 40; i++)
        same +=
            all->found[i].loss == alone->found[i].loss && memcmp(all->patches[i], alone->patches[i], 27 * sizeof(float)) == 0;
    assert_true(same >= 39);
    int64_t steps = 0;
    for (int i = 0; i < 40; i++)
        steps += all->found[i].steps;
    assert_int_equal(steps, x.images);
    x.stop_after = x.passes + 2;
    assert_int_equal(s.attack->run(s.config, NULL, 5, &x.victim, all->examples, 40, all->found), PG_EINTERRUPTED);
    free(all);
    free(alone);
}

static void one_place_an_image(void **state)
{
    (void)state;
    const pg_attack *a = pg_attack_find("local-logits");
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const char *const pairs[] = {"location=all", "location=grid"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pg_module_configure(&a->module, "attack", &pairs[i], 1, config), PG_EINPUT);
        assert_non_null(strstr(pg_error_message(), "random, fixed, centre or gradient"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_local_vector_is_attacked_on_its_own),
        cmocka_unit_test(batches_and_seeds),
        cmocka_unit_test(one_place_an_image),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
