/* Victims and attackers on shipped networks: what an attack sees is what is deployed, and what it claims is not believed. */
/* Loads libtorch. */
#include "harness/base/rng.h"
#include "harness/data/dataset.h"
#include "harness/target/attacker.h"
#include "harness/target/evaluator.h"
#include "harness/target/victim.h"
#include "models/torch/torch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum {
    BATCH = 8,
    IMAGES = 20,
    SLOTS = 4,
    CLASSES_MAX = 10,
    MAP_MAX = 40 * 40 * CLASSES_MAX,
    EVALUATORS_MAX = 32,
    SIDE = 32,
    IMAGE = 3 * SIDE * SIDE
};
static const char *const zoo[] = {"models/zoo/synthetic-ds.safetensors", "models/zoo/synthetic-bagnet.safetensors"};

/* One network with images, and what the deployed path says of them. */
typedef struct bench {
    pg_network *network;
    pg_geometry geometry;
    size_t map;
    uint8_t pixels[IMAGES][IMAGE];
    int32_t labels[IMAGES];
    float logits[IMAGES][MAP_MAX];
    pg_example examples[IMAGES];
    const pg_defense *defense;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_window window;
    int patch_height, patch_width;
    pg_evaluator *evaluators[EVALUATORS_MAX]; /* of the victims that were opened */
    int n_evaluators;
} bench;
static bench b;

static void set_defense(const char *name, const char *pair)
{
    b.defense = pg_defense_find(name);
    assert_non_null(b.defense);
    assert_int_equal(pg_module_configure(&b.defense->module, "defense", &pair, pair ? 1 : 0, b.config), PG_OK);
}

static void set_patch(int height, int width)
{
    b.patch_height = height;
    b.patch_width = width;
    b.window = (pg_window){pg_axis_window(&b.geometry.rows, b.geometry.input_height, height),
                           pg_axis_window(&b.geometry.columns, b.geometry.input_width, width)};
}

static int predict(const float *logits)
{
    pg_evaluator *evaluator = NULL;
    assert_int_equal(pg_evaluator_new(&b.geometry, b.defense, b.config, b.window, &evaluator), PG_OK);
    int prediction = pg_evaluator_logits(evaluator, logits);
    pg_evaluator_free(evaluator);
    return prediction;
}

static void open_bench(const char *weights)
{
    pg_dataset *data = NULL;
    pg_network_options options = {.device = "cpu", .dtype = PG_DTYPE_F32, .batch = BATCH, .threads = 1};
    const char *const null_pairs[] = {"field=5", "stride=5"};
    bool null = strcmp(weights, "null") == 0;
    if (pg_network_open(weights, null_pairs, null ? 2 : 0, &options, &b.network) != PG_OK)
        fail_msg("%s", pg_error_message());
    b.geometry = pg_network_info(b.network)->geometry;
    b.map = (size_t)b.geometry.rows.positions * (size_t)b.geometry.columns.positions * (size_t)b.geometry.classes;
    assert_true(b.map <= MAP_MAX && b.geometry.input_height == SIDE);
    assert_int_equal(pg_dataset_open("build/data", "synthetic:test", &data), PG_OK);
    assert_int_equal(pg_dataset_read(data, 0, IMAGES, b.pixels[0], b.labels), PG_OK);
    pg_dataset_close(data);
    float *logits = malloc(BATCH * b.map * sizeof *logits);
    for (int first = 0; first < IMAGES; first += BATCH) {
        int n = IMAGES - first < BATCH ? IMAGES - first : BATCH;
        assert_int_equal(pg_network_forward(b.network, b.pixels[first], first, n, logits), PG_OK);
        for (int i = 0; i < n; i++)
            memcpy(b.logits[first + i], logits + (size_t)i * b.map, b.map * sizeof *logits);
    }
    free(logits);
    set_defense("mean", NULL);
    set_patch(5, 5);
}

static void make_examples(void)
{
    for (int i = 0; i < IMAGES; i++)
        b.examples[i] = (pg_example){
            .index = i, .label = b.labels[i], .prediction = predict(b.logits[i]), .pixels = b.pixels[i], .logits = b.logits[i]};
}

static void close_bench(void)
{
    while (b.n_evaluators > 0)
        pg_evaluator_free(b.evaluators[--b.n_evaluators]);
    pg_network_close(b.network);
    b.network = NULL;
}

/* Released with the bench. */
static pg_evaluator *make_evaluator(void)
{
    pg_evaluator **evaluator = &b.evaluators[b.n_evaluators++];
    assert_true(b.n_evaluators <= EVALUATORS_MAX);
    assert_int_equal(pg_evaluator_new(&b.geometry, b.defense, b.config, b.window, evaluator), PG_OK);
    return *evaluator;
}

static pg_victim *open_victim(bool gradient_of_mean)
{
    pg_victim *victim = NULL;
    pg_victim_request request = {.network = b.network,
                                 .evaluator = make_evaluator(),
                                 .patch_height = b.patch_height,
                                 .patch_width = b.patch_width,
                                 .slots = SLOTS,
                                 .gradient_of_mean = gradient_of_mean};
    if (pg_victim_open(&request, &victim) != PG_OK)
        fail_msg("%s", pg_error_message());
    if (victim->scope)
        victim->scope->torch->grad_mode(true);
    return victim;
}

static void random_patch(uint32_t item, float *patch, int values)
{
    pg_rng rng = pg_rng_make(1, PG_STREAM_TEST, item);
    for (int i = 0; i < values; i++)
        patch[i] = (float)pg_rng_unit(&rng);
}

/* The deployed path's logits of image i with this patch. */
static void deploy(int i, const float *patch, int top, int left, float *logits)
{
    static uint8_t pixels[IMAGE];
    memcpy(pixels, b.pixels[i], IMAGE);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < b.patch_height; y++)
            for (int x = 0; x < b.patch_width; x++)
                pixels[(c * SIDE + top + y) * SIDE + left + x] = (uint8_t)lrint((double)*patch++ * 255);
    assert_int_equal(pg_network_forward(b.network, pixels, i, 1, logits), PG_OK);
}

static double mean_of(const float *logits, int c)
{
    double sum = 0;
    size_t positions = b.map / (size_t)b.geometry.classes;
    for (size_t p = 0; p < positions; p++)
        sum += (double)logits[p * (size_t)b.geometry.classes + (size_t)c];
    return sum / (double)positions;
}

/* ---- Victims ---- */

static int place(int wanted, int side) { return wanted < 0 ? 0 : wanted > SIDE - side ? SIDE - side : wanted; }

/* Scores, local logits and the evaluator at every kind of place are those of the whole image with the rounded patch. */
static void expect_deployed(const char *weights, int height, int width, double *largest, int *evaluated)
{
    static float deployed[MAP_MAX];
    float patches[SLOTS * 3 * SIDE * SIDE], got[SLOTS * CLASSES_MAX];
    open_bench(weights);
    set_defense("robust-masking", NULL);
    set_patch(height, width);
    make_examples();
    pg_victim *v = open_victim(true);
    const pg_torch *t = v->scope->torch;
    int classes = v->classes, values = 3 * height * width, slots[SLOTS] = {2, 0, 3, 1};
    const int tops[] = {0, SIDE - height, (SIDE - height) / 2, 3}, lefts[] = {SIDE - width, 0, 1, SIDE - width - 1};
    for (int round = 0; round < 3; round++) {
        int n = SLOTS - round;
        for (int i = 0; i < n; i++)
            assert_int_equal(v->ops->hold(v, slots[i], &b.examples[4 * round + i], place(tops[(i + round) % 4], height),
                                          place(lefts[i], width)),
                             PG_OK);
        random_patch((uint32_t)round, patches, n * values);
        pg_tensor *x = v->ops->scores(v, n, slots, patches, 0);
        t->read(v->scope, x, got, PG_T_F32, n * classes);
        if (pg_scope_check(v->scope) != PG_OK)
            fail_msg("%s", pg_error_message());
        t->scope_clear(v->scope); /* the evaluator does not need what the pass left */
        for (int i = 0; i < n; i++) {
            int prediction = -2;
            assert_int_equal(v->ops->evaluate(v, i, &prediction), PG_OK);
            t->scope_clear(v->scope);
            deploy(4 * round + i, patches + i * values, place(tops[(i + round) % 4], height), place(lefts[i], width), deployed);
            for (int c = 0; c < classes; c++)
                *largest = fmax(*largest, fabs(mean_of(deployed, c) - (double)got[i * classes + c]));
            *evaluated += prediction == predict(deployed);
        }
    }
    pg_victim_close(v);
    close_bench();
}

static void a_victim_is_the_deployed_classifier(void **state)
{
    (void)state;
    for (size_t z = 0; z < sizeof zoo / sizeof *zoo; z++) {
        static const int sizes[][2] = {{5, 5}, {2, 7}, {9, 3}, {SIDE, SIDE}, {1, SIDE}};
        double largest = 0;
        int evaluated = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            expect_deployed(zoo[z], sizes[i][0], sizes[i][1], &largest, &evaluated);
        print_message("%s: largest difference of a score %.3g, %d of 45 predictions agree\n", zoo[z], largest, evaluated);
        assert_true(largest < 1e-4);
        assert_true(evaluated >= 44); /* a margin within rounding may tip */
    }
}

static void local_logits_are_those_of_the_window(void **state)
{
    (void)state;
    static float deployed[MAP_MAX];
    open_bench(zoo[0]);
    make_examples();
    pg_victim *v = open_victim(true);
    const pg_torch *t = v->scope->torch;
    float patch[3 * 25];
    random_patch(9, patch, 75);
    assert_int_equal(v->ops->hold(v, 1, &b.examples[3], 7, 30 - 5), PG_OK);
    pg_tensor *x = v->ops->local_logits(v, 1, (int[]){1}, patch);
    pg_crop crop = pg_network_crop(b.network, (pg_rect){7, 25, 5, 5});
    int positions = crop.positions.height * crop.positions.width;
    assert_int_equal(t->size(x, 1), v->classes);
    assert_int_equal(t->size(x, 2), positions);
    float got[MAP_MAX];
    t->read(v->scope, x, got, PG_T_F32, v->classes * positions);
    deploy(3, patch, 7, 25, deployed);
    double largest = 0;
    for (int c = 0; c < v->classes; c++)
        for (int p = 0; p < positions; p++) {
            int column = (crop.positions.left + p % crop.positions.width) % b.geometry.columns.positions;
            largest = fmax(largest, fabs((double)got[c * positions + p] - (double)deployed[column * v->classes + c]));
        }
    assert_true(positions < b.geometry.columns.positions);
    assert_true(largest < 1e-4);
    t->scope_clear(v->scope);
    pg_victim_close(v);
    close_bench();
}

/* Along the sign of the gradient, the score changes by the sum of its absolute values; rounding to 8 bits is stepped over. */
static void gradients_agree_with_differences(void **state)
{
    (void)state;
    for (size_t z = 0; z < sizeof zoo / sizeof *zoo; z++) {
        open_bench(zoo[z]);
        make_examples();
        pg_victim *v = open_victim(false);
        const pg_torch *t = v->scope->torch;
        double worst = 0;
        for (uint32_t i = 0; i < 6; i++) {
            float patch[75], moved[75], gradient[75];
            pg_rng rng = pg_rng_make(2, PG_STREAM_TEST, i);
            for (int k = 0; k < 75; k++)
                patch[k] = (float)(20 + pg_rng_below(&rng, 200)) / 255;
            assert_int_equal(v->ops->hold(v, 0, &b.examples[i], 3 * (int)i, 26 - 5 * (int)i), PG_OK);
            pg_tensor *x = v->ops->scores(v, 1, (int[]){0}, patch, 0);
            pg_tensor *loss = t->sum(v->scope, t->slice(v->scope, x, 1, 1, 2, 1), 0, NULL, false);
            if (v->ops->gradient(v, loss, gradient) != PG_OK)
                fail_msg("%s", pg_error_message());
            double values[2], slope = 0;
            for (int side = 0; side < 2; side++) {
                for (int k = 0; k < 75; k++)
                    moved[k] = patch[k] + (side ? 1 : -1) * (gradient[k] > 0 ? 1.0f : -1.0f) / 255;
                x = v->ops->scores(v, 1, (int[]){0}, moved, 0);
                values[side] = t->item(v->scope, t->slice(v->scope, x, 1, 1, 2, 1));
            }
            for (int k = 0; k < 75; k++)
                slope += fabs((double)gradient[k]);
            t->scope_clear(v->scope);
            double measured = (values[1] - values[0]) / (2.0 / 255);
            worst = fmax(worst, fabs(measured - slope) / slope);
        }
        print_message("%s: slopes within %.2g\n", zoo[z], worst);
        assert_true(worst < 0.2); /* the network bends between two levels of a pixel */
        pg_victim_close(v);
        close_bench();
    }
}

/* Where the gradient of the whole image is large, saliency is; it is the clean image's, whatever is in the slots. */
static void saliency_is_the_gradient_of_the_image(void **state)
{
    (void)state;
    float *map = malloc(SIDE * SIDE * sizeof *map), *gradient = malloc(IMAGE * sizeof *gradient),
          *own = malloc(IMAGE * sizeof *own);
    for (size_t z = 0; z < sizeof zoo / sizeof *zoo; z++) {
        open_bench(zoo[z]);
        make_examples();
        pg_victim *small = open_victim(true);
        assert_int_equal(small->ops->saliency(small, &b.examples[2], map), PG_OK);
        pg_victim_close(small);
        set_patch(SIDE, SIDE);
        pg_victim *v = open_victim(true);
        const pg_torch *t = v->scope->torch;
        for (int i = 0; i < IMAGE; i++)
            own[i] = (float)b.pixels[2][i] / 255;
        assert_int_equal(v->ops->hold(v, 0, &b.examples[2], 0, 0), PG_OK);
        pg_tensor *x = v->ops->scores(v, 1, (int[]){0}, own, 0);
        float scores[CLASSES_MAX];
        t->read(v->scope, x, scores, PG_T_F32, v->classes);
        int rival = -1, label = b.labels[2];
        for (int c = 0; c < v->classes; c++)
            if (c != label && (rival < 0 || scores[c] > scores[rival]))
                rival = c;
        pg_tensor *margins =
            t->sub(v->scope, t->slice(v->scope, x, 1, rival, rival + 1, 1), t->slice(v->scope, x, 1, label, label + 1, 1));
        assert_int_equal(v->ops->gradient(v, t->sum(v->scope, margins, 0, NULL, false), gradient), PG_OK);
        double largest = 0, sum = 0;
        for (int i = 0; i < SIDE * SIDE; i++) {
            double want = fabs((double)gradient[i]) + fabs((double)gradient[SIDE * SIDE + i]) +
                          fabs((double)gradient[2 * SIDE * SIDE + i]);
            largest = fmax(largest, fabs(want - (double)map[i]));
            sum += want;
        }
        assert_true(sum > 0 && largest < 1e-5);
        t->scope_clear(v->scope);
        pg_victim_close(v);
        close_bench();
    }
    free(map);
    free(gradient);
    free(own);
}

static void a_model_without_gradients_can_be_evaluated(void **state)
{
    (void)state;
    open_bench("null");
    make_examples();
    pg_victim *v = open_victim(false);
    float patches[SLOTS * 75] = {0};
    int slots[] = {3, 1}, prediction = -2;
    assert_null(v->scope);
    assert_null(v->ops->saliency);
    assert_int_equal(v->ops->hold(v, 3, &b.examples[11], 0, 0), PG_OK);
    assert_int_equal(v->ops->hold(v, 1, &b.examples[4], 27, 27), PG_OK);
    assert_null(v->ops->scores(v, 2, slots, patches, 0));
    assert_int_equal(v->ops->evaluate(v, 0, &prediction), PG_OK);
    assert_int_equal(prediction, b.examples[11].prediction);
    assert_int_equal(v->ops->evaluate(v, 1, &prediction), PG_OK);
    assert_int_equal(prediction, b.examples[4].prediction);
    pg_victim_close(v);
    close_bench();
}

/* A NaN outside of what the patch can touch stays; one inside is overwritten. */
static void clean_images_that_are_not_finite(void **state)
{
    (void)state;
    open_bench(zoo[0]);
    make_examples();
    pg_victim *v = open_victim(false);
    float patch[75];
    int prediction = -2;
    random_patch(4, patch, 75);
    pg_crop crop = pg_network_crop(b.network, (pg_rect){0, 10, 5, 5});
    for (int inside = 0; inside < 2; inside++) {
        int column = inside ? crop.positions.left : (crop.positions.left + crop.positions.width) % b.geometry.columns.positions;
        float kept = b.logits[0][column * v->classes];
        b.logits[0][column * v->classes] = NAN;
        assert_int_equal(v->ops->hold(v, 0, &b.examples[0], 0, 10), PG_OK);
        (void)v->ops->scores(v, 1, (int[]){0}, patch, 0);
        assert_int_equal(v->ops->evaluate(v, 0, &prediction), PG_OK);
        v->scope->torch->scope_clear(v->scope);
        assert_int_equal(prediction >= 0, inside);
        b.logits[0][column * v->classes] = kept;
    }
    assert_int_equal(v->ops->hold(v, 0, &b.examples[0], 28, 0), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "row 28"));
    pg_victim_close(v);
    close_bench();
}

static void pixels_are_rounded_as_deployed(void **state)
{
    (void)state;
    assert_int_equal(pg_pixel_round(NAN), 0);
    assert_int_equal(pg_pixel_round(-1), 0);
    assert_int_equal(pg_pixel_round(2), 255);
    assert_int_equal(pg_pixel_round(0.5f / 255), 0); /* half to even */
    assert_int_equal(pg_pixel_round(1.5f / 255), 2);
    for (int i = 0; i < 256; i++)
        assert_int_equal(pg_pixel_round((float)i / 255), i);
}

/* ---- Attackers: attacks made for the test ---- */

typedef struct liar {
    pg_attack_common common;
    int64_t way;
} liar;
static const pg_option liar_options[] = {PG_ATTACK_COMMON_OPTIONS(liar, "4"),
                                         {.name = "way", .type = PG_OPTION_INT, .offset = offsetof(liar, way), .fallback = "0"},
                                         {0}};
enum { TELL_OWN, TELL_WHITE, TELL_NAN, TELL_ABOVE, TELL_OUTSIDE, TELL_TARGET, TELL_STEPS, WAYS };

static int liar_check(const void *config, int h, int w, int ph, int pw, int classes)
{
    (void)config;
    return pg_attack_check_patch(h, w, ph, pw, classes);
}

static int liar_run(const void *config, const void *state, uint64_t seed, pg_victim *v, const pg_example *examples, size_t n,
                    pg_attack_outcome *found)
{
    const liar *c = config;
    (void)state;
    for (size_t i = 0; i < n; i++) {
        pg_attack_outcome *f = &found[i];
        f->broken = true;
        f->target = c->way == TELL_TARGET ? v->classes : -1;
        f->top = (int)(i % 20);
        f->left = c->way == TELL_OUTSIDE ? v->image_width - v->patch_width + 1 : (int)seed;
        f->steps = c->way == TELL_STEPS ? -1 : 3;
        f->loss = 1.5;
        for (int p = 0, y = 0; y < 3 * v->patch_height; y++)
            for (int x = 0; x < v->patch_width; x++, p++)
                f->patch[p] =
                    c->way == TELL_WHITE ? 1
                    : c->way == TELL_NAN ? NAN
                    : c->way == TELL_ABOVE
                        ? 1.001f
                        : (float)examples[i].pixels[(y / v->patch_height * v->image_height + f->top + y % v->patch_height) *
                                                        v->image_width +
                                                    f->left + x] /
                              255;
    }
    return PG_OK;
}

static const pg_attack liar_attack = {
    .module = {.name = "liar",
               .summary = "says it broke all",
               .source = "none",
               .version = 1,
               .options = liar_options,
               .config_size = sizeof(liar)},
    .check = liar_check,
    .run = liar_run,
};

static pg_attack_job job_of(const pg_attack *attack, const void *config)
{
    return (pg_attack_job){.network = b.network,
                           .batch = BATCH,
                           .attack = attack,
                           .attack_config = config,
                           .defense = b.defense,
                           .config = b.config,
                           .window = b.window,
                           .patch_height = b.patch_height,
                           .patch_width = b.patch_width,
                           .seed = 6,
                           .data_dir = "build/data",
                           .dataset = "synthetic:test"};
}

static int run_liar(int way, const pg_example *examples, size_t n, pg_attack_result *results)
{
    _Alignas(16) liar config;
    pg_attacker *attacker = NULL;
    assert_int_equal(pg_module_configure(&liar_attack.module, "attack", NULL, 0, &config), PG_OK);
    config.way = way;
    pg_attack_job job = job_of(&liar_attack, &config);
    if (pg_attacker_open(&job, &attacker) != PG_OK)
        fail_msg("%s", pg_error_message());
    int code = pg_attacker_run(attacker, examples, n, results);
    pg_attacker_close(attacker);
    return code;
}

static void attacks_are_not_believed(void **state)
{
    (void)state;
    static float deployed[MAP_MAX];
    static uint8_t patches[IMAGES][75];
    pg_attack_result results[IMAGES];
    float white[75];
    for (int k = 0; k < 75; k++)
        white[k] = 1;
    open_bench(zoo[1]);
    set_defense("median", NULL);
    make_examples();
    for (int i = 0; i < IMAGES; i++)
        results[i].patch = patches[i];
    for (int way = TELL_NAN; way < WAYS; way++) {
        assert_int_equal(run_liar(way, b.examples, 3, results), PG_EINPUT);
        assert_non_null(strstr(pg_error_message(), "attack liar, image 0: "));
    }
    assert_int_equal(run_liar(TELL_OWN, b.examples, IMAGES, results), PG_OK);
    for (int i = 0; i < IMAGES; i++)
        assert_int_equal(results[i].after, b.examples[i].prediction); /* it said broken */
    assert_int_equal(run_liar(TELL_WHITE, b.examples, IMAGES, results), PG_OK);
    int changed = 0;
    for (int i = 0; i < IMAGES; i++) {
        deploy(i, white, results[i].top, results[i].left, deployed);
        assert_int_equal(results[i].after, predict(deployed));
        assert_int_equal(results[i].before, b.examples[i].prediction);
        assert_int_equal(results[i].image, i);
        assert_int_equal(results[i].patch[74], 255);
        assert_int_equal(results[i].left, 6);
        changed += results[i].after != results[i].before;
    }
    print_message("white patches change %d of %d predictions\n", changed, IMAGES);
    /* any images in any order */
    pg_example some[] = {b.examples[17], b.examples[3], b.examples[5], b.examples[4]};
    pg_attack_result few[4];
    for (int i = 0; i < 4; i++)
        few[i].patch = patches[i];
    assert_int_equal(run_liar(TELL_WHITE, some, 4, few), PG_OK);
    for (int i = 0; i < 4; i++) {
        deploy((int)some[i].index, white, few[i].top, few[i].left, deployed);
        assert_int_equal(few[i].after, predict(deployed));
        assert_int_equal(few[i].image, some[i].index);
    }
    close_bench();
}

/* ---- Training images ---- */

static int learned[2];

static int learner_prepare(const void *config, uint64_t seed, pg_victim *v, const pg_training_images *training_images,
                           void **state)
{
    (void)config, (void)seed;
    static uint8_t first[IMAGE];
    pg_example a, other;
    assert_int_equal(training_images->count, 2000);
    assert_int_equal(training_images->read(training_images->context, 5, 0, &a), PG_OK);
    memcpy(first, a.pixels, IMAGE);
    for (int i = 0; i < 1900; i += 50) /* others in other slots leave it as it is */
        assert_int_equal(training_images->read(training_images->context, i, 1 + i % (v->slots - 1), &other), PG_OK);
    assert_memory_equal(a.pixels, first, IMAGE);
    assert_memory_equal(first, b.pixels[5], IMAGE);
    assert_int_equal(a.index, 5);
    assert_int_equal(a.label, b.labels[5]);
    assert_int_equal(a.prediction, b.examples[5].prediction);
    assert_memory_equal(a.logits, b.logits[5], b.map * sizeof(float));
    *state = learned;
    learned[0]++;
    return PG_OK;
}
static void learner_release(void *state) { ((int *)state)[1]++; }
static const char *learner_images(const void *config)
{
    (void)config;
    return "test";
}

static void training_images_are_forwarded_as_deployed(void **state)
{
    (void)state;
    open_bench(zoo[1]);
    make_examples();
    pg_attack learner = liar_attack;
    learner.training_images = learner_images;
    learner.prepare = learner_prepare;
    learner.release = learner_release;
    _Alignas(16) liar config;
    pg_attacker *attacker = NULL;
    assert_int_equal(pg_module_configure(&learner.module, "attack", NULL, 0, &config), PG_OK);
    pg_attack_job job = job_of(&learner, &config);
    if (pg_attacker_open(&job, &attacker) != PG_OK)
        fail_msg("%s", pg_error_message());
    assert_int_equal(learned[0], 1);
    pg_attacker_close(attacker);
    assert_int_equal(learned[1], 1);
    close_bench();
}

static void what_cannot_work_is_refused(void **state)
{
    (void)state;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_attacker *attacker = NULL;
    const pg_attack *lavan = pg_attack_find("lavan");
    open_bench("null");
    make_examples();
    assert_int_equal(pg_module_configure(&lavan->module, "attack", NULL, 0, config), PG_OK);
    pg_attack_job job = job_of(lavan, config);
    assert_int_equal(pg_attacker_open(&job, &attacker), PG_EUNSUPPORTED);
    assert_non_null(strstr(pg_error_message(), "lavan needs gradients"));
    assert_int_equal(pg_module_configure(&liar_attack.module, "attack", NULL, 0, config), PG_OK);
    job = job_of(&liar_attack, config);
    job.patch_height = SIDE + 1;
    assert_int_equal(pg_attacker_open(&job, &attacker), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "33"));
    close_bench();
}

/* "defense", or "mean" where it has no surrogate or the user wants it. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_rounded_as_deployed),
        cmocka_unit_test(a_victim_is_the_deployed_classifier),
        cmocka_unit_test(local_logits_are_those_of_the_window),
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(saliency_is_the_gradient_of_the_image),
        cmocka_unit_test(a_model_without_gradients_can_be_evaluated),
        cmocka_unit_test(clean_images_that_are_not_finite),
        cmocka_unit_test(attacks_are_not_believed),
        cmocka_unit_test(training_images_are_forwarded_as_deployed),
        cmocka_unit_test(what_cannot_work_is_refused),
    };
    return cmocka_run_group_tests_name("victim", tests, NULL, NULL);
}
