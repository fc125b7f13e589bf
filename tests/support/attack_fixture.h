/* Victims of known behaviour for tests of attacks, over libtorch, without networks and defenses.
 *
 * Scores are weights times pixels, one weight for each class, colour and pixel, so the best patch is known: every pixel is 0 or
 * 1 by the sign of its weight. TRAP rounds pixels to black and white in between, without a gradient that tells so. KINDS has a
 * second score, and only its gradient leads anywhere. Header-only; one test program each. */
#ifndef PG_TESTS_ATTACK_FIXTURE_H
#define PG_TESTS_ATTACK_FIXTURE_H

#include "attacks/attack.h"
#include "harness/base/rng.h"
#include "models/torch/torch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE_H = 9, SIDE_W = 8, CLASSES = 4, IMAGE = 3 * SIDE_H * SIDE_W, SLOTS_MAX = 64, PATCH_MAX = IMAGE };

typedef enum victim_kind { LINEAR, TRAP, KINDS, WAVES, EVALUATOR_ONLY } victim_kind;

typedef struct toy {
    pg_victim victim; /* first */
    victim_kind behaviour;
    double weights[CLASSES][IMAGE];
    const pg_example *held[SLOTS_MAX];
    int top[SLOTS_MAX], left[SLOTS_MAX];
    pg_tensor *patches; /* of the last pass */
    double scores[SLOTS_MAX][CLASSES];
    int64_t passes, images, holds, stop_after; /* counted; stop_after 0: never */
    int largest;                               /* batch seen */
    int places[SIDE_H][SIDE_W];                /* holds at each */
} toy;

static toy *toy_of(pg_victim *v) { return (toy *)(void *)v; }

static int toy_hold(pg_victim *v, int slot, const pg_example *e, int top, int left)
{
    toy *x = toy_of(v);
    assert_in_range(slot, 0, v->slots - 1);
    assert_in_range(top, 0, SIDE_H - v->patch_height);
    assert_in_range(left, 0, SIDE_W - v->patch_width);
    x->held[slot] = e;
    x->top[slot] = top;
    x->left[slot] = left;
    x->holds++;
    x->places[top][left]++;
    return PG_OK;
}

static int toy_at(const toy *x, int slot, int i) /* pixel of the image below value i of the patch */
{
    int h = x->victim.patch_height, w = x->victim.patch_width;
    return ((i / (h * w)) * SIDE_H + x->top[slot] + i / w % h) * SIDE_W + x->left[slot] + i % w;
}

/* What the deployed classifier sees, on the host in double: scores of an image with a patch rounded to 8 bits. */
static void toy_deploy(const toy *x, int slot, const float *patch, double scores[CLASSES])
{
    int size = 3 * x->victim.patch_height * x->victim.patch_width;
    for (int c = 0; c < CLASSES; c++) {
        scores[c] = 0;
        for (int i = 0; i < IMAGE; i++)
            scores[c] += x->weights[c][i] * x->held[slot]->pixels[i] / 255;
        for (int i = 0; i < size; i++) {
            int at = toy_at(x, slot, i);
            double p = round((double)patch[i] * 255) / 255;
            p = x->behaviour == TRAP ? (p >= 0.5 ? 1 : 0) : x->behaviour == WAVES ? 0.5 + 0.5 * sin(9 * p) : p;
            scores[c] += x->weights[c][at] * (p - x->held[slot]->pixels[at] / 255.0);
        }
    }
}

/* The same as a tensor [n][classes]. The clean part comes from the host; what depends on the patch is differentiable. */
static pg_tensor *toy_scores(pg_victim *v, int n, const int *slots, const float *patches, int kind)
{
    toy *x = toy_of(v);
    int size = 3 * v->patch_height * v->patch_width;
    x->passes++;
    x->images += n;
    x->largest = n > x->largest ? n : x->largest;
    for (int i = 0; i < n; i++)
        toy_deploy(x, slots[i], patches + i * size, x->scores[i]);
    if (!v->scope)
        return NULL;
    pg_scope *s = v->scope;
    const pg_torch *t = s->torch;
    float *below = malloc((size_t)(n * CLASSES * size) * sizeof *below), base[SLOTS_MAX * CLASSES];
    for (int i = 0; i < n; i++)
        for (int c = 0; c < CLASSES; c++) {
            double rest = x->scores[i][c];
            for (int k = 0; k < size; k++) {
                double p = round((double)patches[i * size + k] * 255) / 255, w = x->weights[c][toy_at(x, slots[i], k)];
                below[(i * CLASSES + c) * size + k] = (float)w;
                rest -= w * p;
            }
            base[i * CLASSES + c] = (float)rest;
        }
    pg_tensor *p = t->from_data(s, patches, PG_T_F32, 3, (const int64_t[]){n, 1, size});
    if (t->grad_mode(true)) /* as the thread records */
        t->requires_grad(s, p, true);
    else
        t->grad_mode(false);
    x->patches = p;
    pg_tensor *rounded = t->affine(s, t->round(s, t->affine(s, t->detach(s, p), 255, 0)), 1.0 / 255, 0);
    pg_tensor *q = t->add(s, p, t->sub(s, rounded, t->detach(s, p)));
    pg_tensor *w = t->from_data(s, below, PG_T_F32, 3, (const int64_t[]){n, CLASSES, size});
    free(below);
    if (x->behaviour == TRAP || (x->behaviour == KINDS && kind == 0))
        q = t->add(s, t->detach(s, q), t->affine(s, q, 0, 0)); /* a gradient that is there, and is zero */
    const int64_t last[] = {2};
    pg_tensor *sums = t->sum(s, t->mul(s, q, w), 1, last, false);
    return t->add(s, sums, t->from_data(s, base, PG_T_F32, 2, (const int64_t[]){n, CLASSES}));
}

static int toy_gradient(pg_victim *v, pg_tensor *loss, float *out)
{
    toy *x = toy_of(v);
    const pg_torch *t = v->scope->torch;
    pg_tensor *g = t->grad(v->scope, loss, x->patches);
    (void)t->read(v->scope, g, out, PG_T_F32, t->count(x->patches));
    return pg_scope_check(v->scope);
}

static int toy_predict(const double *scores)
{
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
        if (scores[c] > scores[best])
            best = c;
    return best;
}

static int toy_evaluate(pg_victim *v, int i, int *prediction)
{
    *prediction = toy_predict(toy_of(v)->scores[i]);
    return PG_OK;
}

static int toy_saliency(pg_victim *v, const pg_example *e, float *out)
{
    toy *x = toy_of(v);
    for (int i = 0; i < SIDE_H * SIDE_W; i++) {
        out[i] = 0;
        for (int k = 0; k < 3; k++)
            out[i] += (float)fabs(x->weights[e->label][k * SIDE_H * SIDE_W + i]);
    }
    return PG_OK;
}

static bool toy_stopping(pg_victim *v)
{
    toy *x = toy_of(v);
    return x->stop_after > 0 && x->passes >= x->stop_after;
}

static const pg_victim_ops toy_ops = {.hold = toy_hold,
                                      .scores = toy_scores,
                                      .gradient = toy_gradient,
                                      .evaluate = toy_evaluate,
                                      .saliency = toy_saliency,
                                      .stopping = toy_stopping};
static const pg_victim_ops evaluator_ops = {
    .hold = toy_hold, .scores = toy_scores, .evaluate = toy_evaluate, .stopping = toy_stopping};

static toy toy_make(pg_scope *scope, victim_kind behaviour, int slots, int patch_height, int patch_width)
{
    toy x = {.behaviour = behaviour};
    x.victim = (pg_victim){.ops = behaviour == EVALUATOR_ONLY ? &evaluator_ops : &toy_ops,
                           .scope = behaviour == EVALUATOR_ONLY ? NULL : scope,
                           .image_height = SIDE_H,
                           .image_width = SIDE_W,
                           .patch_height = patch_height,
                           .patch_width = patch_width,
                           .classes = CLASSES,
                           .slots = slots,
                           .kinds = behaviour == KINDS ? 2 : 1};
    pg_rng rng = pg_rng_make(11, PG_STREAM_TEST, 0);
    for (int c = 0; c < CLASSES; c++)
        for (int i = 0; i < IMAGE; i++)
            x.weights[c][i] = pg_rng_normal(&rng);
    return x;
}

/* Random images with the classifier's own prediction as label (right without a patch); index 100 + i. */
typedef struct gallery {
    int n;
    pg_example examples[80];
    uint8_t pixels[80][IMAGE];
    pg_attack_outcome found[80];
    float patches[80][PATCH_MAX];
} gallery;

static gallery *gallery_new(toy *x, int n)
{
    gallery *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->n = n;
    for (int i = 0; i < n; i++) {
        pg_rng rng = pg_rng_make(12, PG_STREAM_TEST, (uint32_t)i);
        for (int k = 0; k < IMAGE; k++)
            g->pixels[i][k] = (uint8_t)pg_rng_below(&rng, 256);
        g->examples[i] = (pg_example){.index = 100 + i, .pixels = g->pixels[i]};
        g->found[i].patch = g->patches[i];
        double scores[CLASSES];
        float own[PATCH_MAX];
        x->held[0] = &g->examples[i];
        x->top[0] = x->left[0] = 0;
        for (int k = 0; k < 3 * x->victim.patch_height * x->victim.patch_width; k++)
            own[k] = (float)g->pixels[i][toy_at(x, 0, k)] / 255;
        victim_kind behaviour = x->behaviour;
        x->behaviour = LINEAR;
        toy_deploy(x, 0, own, scores);
        x->behaviour = behaviour;
        g->examples[i].label = g->examples[i].prediction = toy_predict(scores);
    }
    return g;
}

/* An attack with its options; "key=value" strings, the last NULL. */
typedef struct setup {
    const pg_attack *attack;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
} setup;

static setup attack_with(const char *name, const char *const *pairs)
{
    setup s = {.attack = pg_attack_find(name)};
    size_t n = 0;
    while (pairs[n])
        n++;
    if (!s.attack || pg_module_configure(&s.attack->module, "attack", pairs, n, s.config) != PG_OK)
        fail_msg("%s", pg_error_message());
    return s;
}
#define ATTACK(name, ...) attack_with(name, (const char *const[]){__VA_ARGS__, NULL})

static inline void attack_all(const setup *s, toy *x, gallery *g)
{
    if (s->attack->run(s->config, NULL, 5, &x->victim, g->examples, (size_t)g->n, g->found) != PG_OK)
        fail_msg("%s", pg_error_message());
}

static inline int count_broken(const gallery *g)
{
    int broken = 0;
    for (int i = 0; i < g->n; i++)
        broken += g->found[i].broken;
    return broken;
}

/* What every attack owes its caller: a patch inside the image and in range, and a claim that the deployed
 * classifier confirms. */
static inline void check_claims(toy *x, const gallery *g)
{
    for (int i = 0; i < g->n; i++) {
        const pg_attack_outcome *f = &g->found[i];
        double scores[CLASSES];
        assert_in_range(f->top, 0, SIDE_H - x->victim.patch_height);
        assert_in_range(f->left, 0, SIDE_W - x->victim.patch_width);
        for (int k = 0; k < 3 * x->victim.patch_height * x->victim.patch_width; k++)
            assert_true(f->patch[k] >= 0 && f->patch[k] <= 1);
        x->held[0] = &g->examples[i];
        x->top[0] = f->top;
        x->left[0] = f->left;
        toy_deploy(x, 0, f->patch, scores);
        int after = toy_predict(scores);
        if (f->steps > 0)
            assert_int_equal(f->broken, f->target < 0 ? after != g->examples[i].label : after == f->target);
    }
}

/* The best other score before the label's that any patch at this place reaches, for LINEAR. */
static inline double best_margin(toy *x, const pg_example *e, int top, int left)
{
    double best = -INFINITY, scores[CLASSES];
    float patch[PATCH_MAX];
    x->held[0] = e;
    x->top[0] = top;
    x->left[0] = left;
    for (int c = 0; c < CLASSES; c++) {
        if (c == e->label)
            continue;
        for (int k = 0; k < 3 * x->victim.patch_height * x->victim.patch_width; k++)
            patch[k] = x->weights[c][toy_at(x, 0, k)] > x->weights[e->label][toy_at(x, 0, k)];
        toy_deploy(x, 0, patch, scores);
        best = fmax(best, scores[c] - scores[e->label]);
    }
    return best;
}

/* Set-up and end of a test program. */
static const pg_torch *t;
static pg_scope *scope;

static int load(void **state)
{
    (void)state;
    if (pg_torch_load(1, &t) != PG_OK)
        fail_msg("%s", pg_error_message());
    scope = t->scope_new();
    t->grad_mode(false);
    return scope ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    t->scope_free(scope);
    return 0;
}

#endif
