/* Patches before a resize: what a victim sees of them is what pg_resize makes of the image with the patch, its gradients are
 * those of that, and attackers evaluator what is deployed. The networks take 32 px: images of other sizes are resized to that.
 * Needs libtorch. */
/* Loads libtorch. */
#include "harness/base/rng.h"
#include "harness/data/dataset.h"
#include "harness/target/attacker.h"
#include "harness/target/evaluator.h"
#include "harness/target/victim.h"
#include "harness/target/resized_patch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE_MAX = 60, IMAGE_MAX = 3 * SIDE_MAX * SIDE_MAX };

static const pg_torch *t;
static pg_scope *scope;

static int load(void **state)
{
    (void)state;
    if (pg_torch_load(1, &t) != PG_OK)
        fail_msg("%s", pg_error_message());
    scope = t->scope_new();
    return scope ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    t->scope_free(scope);
    return 0;
}

/* ---- Regions ---- */

static const pg_resizing resizings[] = {
    {32, 32, 48, 48, PG_FILTER_BILINEAR}, {32, 32, 48, 48, PG_FILTER_BICUBIC}, {48, 40, 32, 30, PG_FILTER_BILINEAR},
    {48, 40, 32, 30, PG_FILTER_BICUBIC},  {20, 24, 60, 24, PG_FILTER_BICUBIC}, {50, 20, 32, 57, PG_FILTER_BICUBIC},
    {24, 24, 60, 60, PG_FILTER_BILINEAR}, {60, 60, 17, 23, PG_FILTER_BICUBIC},
};
enum { RESIZINGS = sizeof resizings / sizeof *resizings, PATCH_H = 5, PATCH_W = 4, PATCH = 3 * PATCH_H * PATCH_W, PLACES = 7 };

/* Corners, edges, and one within. */
static void place_of(const pg_resizing *how, int i, int *top, int *left)
{
    int last_top = how->from_height - PATCH_H, last_left = how->from_width - PATCH_W;
    *top = i < 2 ? 0 : i < 4 ? last_top : i == 4 ? last_top / 2 : i == 5 ? 1 : last_top - 2;
    *left = i < 4 ? i % 2 * last_left : i == 4 ? last_left / 3 : i == 5 ? last_left - 1 : 3;
}

/* Bytes; every other time black and white, which overshoots. */
static void random_bytes(uint32_t item, uint8_t *out, size_t n)
{
    pg_rng rng = pg_rng_make(31, PG_STREAM_TEST, item);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(item % 2 ? 255 * pg_rng_below(&rng, 2) : pg_rng_below(&rng, 256));
}

static void paste(uint8_t *image, int height, int width, const uint8_t *patch, int patch_height, int patch_width, int top,
                  int left)
{
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < patch_height; y++)
            for (int x = 0; x < patch_width; x++)
                image[(c * height + top + y) * width + left + x] = *patch++;
}

/* The resized image with the region in it, against pg_resize of the image with the patch: largest difference, and how many
 * bytes differ. */
static int compare(const pg_resizing *how, const uint8_t *clean, const uint8_t *pasted, pg_rect place, const float *region,
                   int *differ)
{
    static uint8_t before[IMAGE_MAX], behind[IMAGE_MAX];
    int largest = 0;
    assert_int_equal(pg_resize_planes(how, clean, before), PG_OK);
    assert_int_equal(pg_resize_planes(how, pasted, behind), PG_OK);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < how->height; y++)
            for (int x = 0; x < how->width; x++) {
                int at = (c * how->height + y) * how->width + x, got = before[at], row = y - place.top, column = x - place.left;
                if (row >= 0 && row < place.height && column >= 0 && column < place.width)
                    got = (int)lrintf(255 * region[(c * place.height + row) * place.width + column]);
                largest = abs(got - behind[at]) > largest ? abs(got - behind[at]) : largest;
                *differ += got != behind[at];
            }
    return largest;
}

static void regions_are_what_a_resize_makes_of_patches(void **state)
{
    (void)state;
    static uint8_t clean[PLACES][IMAGE_MAX], pasted[PLACES][IMAGE_MAX], patches[PLACES][PATCH];
    static float values[PLACES * PATCH], regions[PLACES * IMAGE_MAX];
    for (uint32_t k = 0; k < RESIZINGS; k++) {
        const pg_resizing *how = &resizings[k];
        size_t image = (size_t)(3 * how->from_height * how->from_width);
        pg_resized_patch *s = NULL;
        pg_rect places[PLACES];
        int slots[PLACES], largest = 0, differ = 0;
        if (pg_resized_patch_new(how, PATCH_H, PATCH_W, PLACES, scope, &s) != PG_OK)
            fail_msg("%s", pg_error_message());
        size_t region = (size_t)(3 * pg_resized_patch_size(s).height * pg_resized_patch_size(s).width);
        for (int i = 0; i < PLACES; i++) {
            int top, left, slot = slots[i] = PLACES - 1 - i;
            place_of(how, i, &top, &left);
            random_bytes(100 * k + (uint32_t)i, clean[i], image);
            random_bytes(100 * k + 50 + (uint32_t)(i / 2), patches[i], PATCH);
            memcpy(pasted[i], clean[i], image);
            paste(pasted[i], how->from_height, how->from_width, patches[i], PATCH_H, PATCH_W, top, left);
            assert_int_equal(pg_resized_patch_hold(s, slot, clean[i], top, left, &places[i]), PG_OK);
            assert_true(places[i].top >= 0 && places[i].top + places[i].height <= how->height);
            assert_true(places[i].left >= 0 && places[i].left + places[i].width <= how->width);
            for (int p = 0; p < PATCH; p++)
                values[i * PATCH + p] = (float)patches[i][p] * (1.0f / 255);
        }
        pg_resized_patch_batch(s, PLACES, slots);
        pg_tensor *x = t->from_data(scope, values, PG_T_F32, 3, (const int64_t[]){PLACES, 3, PATCH_H * PATCH_W});
        t->read(scope, pg_resized_patch_pixels(s, x), regions, PG_T_F32, (int64_t)((size_t)PLACES * region));
        if (pg_scope_check(scope) != PG_OK)
            fail_msg("%s", pg_error_message());
        t->scope_clear(scope);
        for (int i = 0; i < PLACES; i++) {
            int most = compare(how, clean[i], pasted[i], places[i], regions + (size_t)i * region, &differ);
            largest = most > largest ? most : largest;
        }
        print_message("%dx%d to %dx%d, %s: largest difference %d, %d of %d bytes differ\n", how->from_height, how->from_width,
                      how->height, how->width, pg_filter_names[how->filter], largest, differ,
                      PLACES * 3 * how->height * how->width);
        assert_int_equal(largest, 0);
        pg_resized_patch_free(s);
    }
}

/* Where nothing is clipped, a change of the patch changes the region by the weights of its rows and columns. */
static void gradients_are_the_weights(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < RESIZINGS; k++) {
        const pg_resizing *how = &resizings[k];
        static uint8_t clean[IMAGE_MAX];
        static float values[PATCH], objectives[IMAGE_MAX], gradient[PATCH];
        float *rows = malloc((size_t)how->height * (size_t)how->from_height * sizeof *rows);
        float *columns = malloc((size_t)how->width * (size_t)how->from_width * sizeof *columns);
        pg_resized_patch *s = NULL;
        pg_rect place;
        int top, left;
        place_of(how, (int)k % PLACES, &top, &left);
        assert_int_equal(pg_resize_weights(how->from_height, how->height, how->filter, rows), PG_OK);
        assert_int_equal(pg_resize_weights(how->from_width, how->width, how->filter, columns), PG_OK);
        assert_int_equal(pg_resized_patch_new(how, PATCH_H, PATCH_W, 1, scope, &s), PG_OK);
        pg_rng rng = pg_rng_make(32, PG_STREAM_TEST, k);
        for (int i = 0; i < IMAGE_MAX; i++) {
            clean[i] = (uint8_t)(110 + pg_rng_below(&rng, 40));
            objectives[i] = (float)(pg_rng_unit(&rng) - 0.5);
        }
        for (int i = 0; i < PATCH; i++)
            values[i] = (float)(110 + pg_rng_below(&rng, 40)) / 255;
        assert_int_equal(pg_resized_patch_hold(s, 0, clean, top, left, &place), PG_OK);
        pg_resized_patch_batch(s, 1, (int[]){0});
        bool recorded = t->grad_mode(true);
        pg_tensor *leaf = t->from_data(scope, values, PG_T_F32, 3, (const int64_t[]){1, 3, PATCH_H * PATCH_W});
        t->requires_grad(scope, leaf, true);
        pg_tensor *weights = t->from_data(scope, objectives, PG_T_F32, 3, (const int64_t[]){1, 3, place.height * place.width});
        pg_tensor *loss = t->sum(scope, t->mul(scope, pg_resized_patch_pixels(s, leaf), weights), 0, NULL, false);
        t->read(scope, t->grad(scope, loss, leaf), gradient, PG_T_F32, PATCH);
        if (pg_scope_check(scope) != PG_OK)
            fail_msg("%s", pg_error_message());
        t->scope_clear(scope);
        t->grad_mode(recorded);
        double worst = 0;
        for (int p = 0; p < PATCH; p++) {
            int c = p / (PATCH_H * PATCH_W), y = top + p / PATCH_W % PATCH_H, x = left + p % PATCH_W;
            double want = 0;
            for (int i = 0; i < how->height; i++)
                for (int j = 0; j < how->width; j++) {
                    int row = i - place.top, column = j - place.left;
                    double weight = (double)rows[i * how->from_height + y] * (double)columns[j * how->from_width + x];
                    if (row < 0 || row >= place.height || column < 0 || column >= place.width)
                        assert_true(weight == 0); /* the region is all that the patch changes */
                    else
                        want += weight * (double)objectives[(c * place.height + row) * place.width + column];
                }
            worst = fmax(worst, fabs(want - (double)gradient[p]));
        }
        assert_true(worst < 1e-4);
        pg_resized_patch_free(s);
        free(rows);
        free(columns);
    }
}

/* ---- Victims ---- */

enum { SIDE = 32, SLOTS = 3, IMAGES = 12, CLASSES_MAX = 10, MAP_MAX = 40 * 40 * CLASSES_MAX, EVALUATORS_MAX = 32 };
static const char *const zoo[] = {"models/zoo/synthetic-ds.safetensors", "models/zoo/synthetic-bagnet.safetensors"};
static const struct {
    const char *dataset;
    pg_resizing how;
} cases[] = {{"synthetic:test@48", {48, 48, SIDE, SIDE, PG_FILTER_BICUBIC}},
             {"synthetic:test@20x24", {20, 24, SIDE, SIDE, PG_FILTER_BILINEAR}},
             {"synthetic:test@20", {20, 20, SIDE, SIDE, PG_FILTER_BICUBIC}}};
enum { CASES = sizeof cases / sizeof *cases };

/* A network with images that are resized to what it takes, and what the deployed path says of them. */
typedef struct bench {
    pg_network *network;
    pg_geometry geometry;
    const pg_resizing *how;
    size_t map;
    uint8_t pixels[IMAGES][IMAGE_MAX], resized[IMAGES][3 * SIDE * SIDE];
    int32_t labels[IMAGES];
    float logits[IMAGES][MAP_MAX];
    pg_example examples[IMAGES];
    const pg_defense *defense;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_window window;
    pg_evaluator *evaluators[EVALUATORS_MAX]; /* of the victims that were opened */
    int n_evaluators;
} bench;
static bench b;

static int predict(const float *logits)
{
    pg_evaluator *evaluator = NULL;
    assert_int_equal(pg_evaluator_new(&b.geometry, b.defense, b.config, b.window, &evaluator), PG_OK);
    int prediction = pg_evaluator_logits(evaluator, logits);
    pg_evaluator_free(evaluator);
    return prediction;
}

static void set_window(int patch_height, int patch_width)
{
    int height, width;
    assert_int_equal(pg_resize_affected(b.how->from_height, SIDE, b.how->filter, patch_height, &height), PG_OK);
    assert_int_equal(pg_resize_affected(b.how->from_width, SIDE, b.how->filter, patch_width, &width), PG_OK);
    b.window = (pg_window){pg_axis_window(&b.geometry.rows, SIDE, height), pg_axis_window(&b.geometry.columns, SIDE, width)};
}

static void open_bench(int network, int which, const char *defense)
{
    pg_dataset *data = NULL;
    pg_network_options options = {.device = "cpu", .dtype = PG_DTYPE_F32, .batch = IMAGES, .threads = 1};
    if (pg_network_open(zoo[network], NULL, 0, &options, &b.network) != PG_OK)
        fail_msg("%s", pg_error_message());
    b.how = &cases[which].how;
    b.geometry = pg_network_info(b.network)->geometry;
    b.map = (size_t)b.geometry.rows.positions * (size_t)b.geometry.columns.positions * (size_t)b.geometry.classes;
    size_t image = (size_t)(3 * b.how->from_height * b.how->from_width);
    static uint8_t pixels[IMAGES * IMAGE_MAX];
    assert_int_equal(pg_dataset_open("build/data", cases[which].dataset, &data), PG_OK);
    assert_int_equal(pg_dataset_read(data, 0, IMAGES, pixels, b.labels), PG_OK);
    pg_dataset_close(data);
    for (int i = 0; i < IMAGES; i++) {
        memcpy(b.pixels[i], pixels + (size_t)i * image, image);
        assert_int_equal(pg_resize_planes(b.how, b.pixels[i], b.resized[i]), PG_OK);
    }
    float *logits = malloc(IMAGES * b.map * sizeof *logits);
    assert_int_equal(pg_network_forward(b.network, b.resized[0], 0, IMAGES, logits), PG_OK);
    b.defense = pg_defense_find(defense);
    assert_int_equal(pg_module_configure(&b.defense->module, "defense", NULL, 0, b.config), PG_OK);
    set_window(4, 4);
    for (int i = 0; i < IMAGES; i++) {
        memcpy(b.logits[i], logits + (size_t)i * b.map, b.map * sizeof *logits);
        b.examples[i] = (pg_example){.index = i,
                                     .label = b.labels[i],
                                     .prediction = predict(b.logits[i]),
                                     .pixels = b.pixels[i],
                                     .logits = b.logits[i],
                                     .resized = b.resized[i]};
    }
    free(logits);
}

static void close_bench(void)
{
    while (b.n_evaluators > 0)
        pg_evaluator_free(b.evaluators[--b.n_evaluators]);
    pg_network_close(b.network);
}

/* Released with the bench. */
static pg_evaluator *make_evaluator(void)
{
    pg_evaluator **evaluator = &b.evaluators[b.n_evaluators++];
    assert_true(b.n_evaluators <= EVALUATORS_MAX);
    assert_int_equal(pg_evaluator_new(&b.geometry, b.defense, b.config, b.window, evaluator), PG_OK);
    return *evaluator;
}

static pg_victim *open_victim(int patch_height, int patch_width, bool gradient_of_mean)
{
    pg_victim *victim = NULL;
    set_window(patch_height, patch_width);
    pg_victim_request request = {.network = b.network,
                                 .evaluator = make_evaluator(),
                                 .resize = b.how,
                                 .patch_height = patch_height,
                                 .patch_width = patch_width,
                                 .slots = SLOTS,
                                 .gradient_of_mean = gradient_of_mean};
    if (pg_victim_open(&request, &victim) != PG_OK)
        fail_msg("%s", pg_error_message());
    victim->scope->torch->grad_mode(true);
    return victim;
}

/* The deployed path's logits of image i with this patch: pasted, resized, forwarded. */
static void deploy(int i, const uint8_t *patch, int height, int width, int top, int left, float *logits)
{
    static uint8_t pasted[IMAGE_MAX], resized[3 * SIDE * SIDE];
    memcpy(pasted, b.pixels[i], (size_t)(3 * b.how->from_height * b.how->from_width));
    paste(pasted, b.how->from_height, b.how->from_width, patch, height, width, top, left);
    assert_int_equal(pg_resize_planes(b.how, pasted, resized), PG_OK);
    assert_int_equal(pg_network_forward(b.network, resized, i, 1, logits), PG_OK);
}

static double mean_of(const float *logits, int c)
{
    double sum = 0;
    size_t positions = b.map / (size_t)b.geometry.classes;
    for (size_t p = 0; p < positions; p++)
        sum += (double)logits[p * (size_t)b.geometry.classes + (size_t)c];
    return sum / (double)positions;
}

static void a_victim_is_the_deployed_classifier(void **state)
{
    (void)state;
    static float deployed[MAP_MAX];
    for (int network = 0; network < 2; network++)
        for (int which = 0; which < CASES; which++) {
            open_bench(network, which, "robust-masking");
            pg_victim *v = open_victim(4, 4, true);
            int from_height = b.how->from_height, from_width = b.how->from_width, evaluated = 0;
            assert_true(v->image_height == from_height && v->image_width == from_width && v->patch_height == 4);
            double largest = 0;
            for (int round = 0; round < 2; round++) {
                uint8_t patch[SLOTS][48];
                float values[SLOTS * 48], got[SLOTS * CLASSES_MAX];
                int slots[] = {2, 0, 1}, tops[] = {0, from_height - 4, 3 + round}, lefts[] = {from_width - 4, 2 * round, 0};
                for (int i = 0; i < SLOTS; i++) {
                    random_bytes((uint32_t)(10 * round + i), patch[i], 48);
                    for (int k = 0; k < 48; k++)
                        values[48 * i + k] = (float)patch[i][k] / 255;
                    assert_int_equal(v->ops->hold(v, slots[i], &b.examples[SLOTS * round + i], tops[i], lefts[i]), PG_OK);
                }
                t->read(v->scope, v->ops->scores(v, SLOTS, slots, values, 0), got, PG_T_F32, SLOTS * v->classes);
                if (pg_scope_check(v->scope) != PG_OK)
                    fail_msg("%s", pg_error_message());
                t->scope_clear(v->scope);
                for (int i = 0; i < SLOTS; i++) {
                    int prediction = -2;
                    assert_int_equal(v->ops->evaluate(v, i, &prediction), PG_OK);
                    t->scope_clear(v->scope);
                    deploy(SLOTS * round + i, patch[i], 4, 4, tops[i], lefts[i], deployed);
                    for (int c = 0; c < v->classes; c++)
                        largest = fmax(largest, fabs(mean_of(deployed, c) - (double)got[i * v->classes + c]));
                    evaluated += prediction == predict(deployed);
                }
            }
            print_message("%s, %s: largest difference of a score %.3g, %d of 6 predictions agree\n", zoo[network],
                          cases[which].dataset, largest, evaluated);
            assert_true(largest < 1e-4 && evaluated >= 5);
            assert_int_equal(v->ops->hold(v, 0, &b.examples[0], from_height - 3, 0), PG_EINPUT);
            assert_int_equal(v->ops->hold(v, 0, &b.examples[0], 0, -1), PG_EINPUT);
            pg_victim_close(v);
            close_bench();
        }
}

enum { VALUES = 3 * 6 * 6, LEVELS = 4, TRIED = 4 };

/* The score of class 1 at this patch; its gradient. */
static double score_at(pg_victim *v, const float *patch, float *gradient)
{
    pg_tensor *x = v->ops->scores(v, 1, (int[]){0}, patch, 0);
    pg_tensor *loss = t->sum(v->scope, t->slice(v->scope, x, 1, 1, 2, 1), 0, NULL, false);
    double score = t->item(v->scope, loss);
    if (v->ops->gradient(v, loss, gradient) != PG_OK)
        fail_msg("%s", pg_error_message());
    t->scope_clear(v->scope);
    return score;
}

/* Along the signs of its gradient, the score changes by the slopes on the way (Simpson); steps of some levels step over
 * rounding. */
static void gradients_agree_with_differences(void **state)
{
    (void)state;
    for (int network = 0; network < 2; network++)
        for (int which = 0; which < CASES; which++) {
            open_bench(network, which, "mean");
            pg_victim *v = open_victim(6, 6, false);
            double changes = 0, errors = 0;
            for (int i = 0; i < TRIED; i++) {
                float patch[VALUES], direction[VALUES], moved[VALUES], gradient[VALUES];
                double scores[3], slopes[3] = {0};
                pg_rng rng = pg_rng_make(2, PG_STREAM_TEST, (uint32_t)i);
                for (int k = 0; k < VALUES; k++)
                    patch[k] = (float)(100 + pg_rng_below(&rng, 60)) / 255;
                assert_int_equal(v->ops->hold(v, 0, &b.examples[i], 3 * i, b.how->from_width - 6 - i), PG_OK);
                (void)score_at(v, patch, direction);
                for (int k = 0; k < VALUES; k++)
                    direction[k] = direction[k] > 0 ? 1 : -1;
                for (int step = 0; step < 3; step++) {
                    for (int k = 0; k < VALUES; k++)
                        moved[k] = patch[k] + (float)(step - 1) * direction[k] * LEVELS / 255;
                    scores[step] = score_at(v, moved, gradient);
                    for (int k = 0; k < VALUES; k++)
                        slopes[step] += (double)gradient[k] * (double)direction[k];
                }
                double foretold = (slopes[0] + 4 * slopes[1] + slopes[2]) / 6 * (2.0 * LEVELS / 255);
                changes += fabs(scores[2] - scores[0]);
                errors += fabs(scores[2] - scores[0] - foretold);
            }
            print_message("%s, %s: changes of %.3g, foretold within %.2g\n", zoo[network], cases[which].dataset,
                          changes / TRIED, errors / TRIED);
            assert_true(changes > 0 && errors < 0.25 * changes); /* the network bends within these levels */
            pg_victim_close(v);
            close_bench();
        }
}

/* That of a patch as large as the image, which is the image. */
static void saliency_is_the_gradient_of_the_image(void **state)
{
    (void)state;
    static float map[SIDE_MAX * SIDE_MAX], own[IMAGE_MAX], gradient[IMAGE_MAX];
    for (int network = 0; network < 2; network++)
        for (int which = 0; which < CASES; which++) {
            open_bench(network, which, "mean");
            int height = b.how->from_height, width = b.how->from_width, n = height * width, label = b.labels[2], rival = -1;
            pg_victim *small = open_victim(4, 4, true);
            assert_int_equal(small->ops->saliency(small, &b.examples[2], map), PG_OK);
            pg_victim_close(small);
            pg_victim *v = open_victim(height, width, true);
            float scores[CLASSES_MAX];
            for (int i = 0; i < 3 * n; i++)
                own[i] = (float)b.pixels[2][i] / 255;
            assert_int_equal(v->ops->hold(v, 0, &b.examples[2], 0, 0), PG_OK);
            pg_tensor *x = v->ops->scores(v, 1, (int[]){0}, own, 0);
            t->read(v->scope, x, scores, PG_T_F32, v->classes);
            for (int c = 0; c < v->classes; c++)
                if (c != label && (rival < 0 || scores[c] > scores[rival]))
                    rival = c;
            pg_tensor *margins =
                t->sub(v->scope, t->slice(v->scope, x, 1, rival, rival + 1, 1), t->slice(v->scope, x, 1, label, label + 1, 1));
            assert_int_equal(v->ops->gradient(v, t->sum(v->scope, margins, 0, NULL, false), gradient), PG_OK);
            double difference = 0, sum = 0;
            for (int i = 0; i < n; i++) {
                double want = fabs((double)gradient[i]) + fabs((double)gradient[n + i]) + fabs((double)gradient[2 * n + i]);
                difference += fabs(want - (double)map[i]);
                sum += want;
            }
            print_message("%s, %s: saliencies differ by %.2g of their sum\n", zoo[network], cases[which].dataset,
                          difference / sum);
            assert_true(sum > 0 && difference < 0.01 * sum); /* pixels that are clipped */
            t->scope_clear(v->scope);
            pg_victim_close(v);
            close_bench();
        }
}

/* ---- Attackers ---- */

static pg_attack_job job_of(const pg_attack *attack, const void *config, const char *dataset, int side)
{
    set_window(side, side);
    return (pg_attack_job){.network = b.network,
                           .batch = IMAGES,
                           .attack = attack,
                           .attack_config = config,
                           .defense = b.defense,
                           .config = b.config,
                           .window = b.window,
                           .resize = b.how,
                           .patch_height = side,
                           .patch_width = side,
                           .seed = 3,
                           .data_dir = "build/data",
                           .dataset = dataset};
}

/* What is found lies in the image before the resize, and breaks what an own paste, resize and forward pass breaks. */
static void attackers_evaluate_what_is_deployed(void **state)
{
    (void)state;
    static float deployed[MAP_MAX];
    static uint8_t patches[IMAGES][IMAGE_MAX];
    static const char *const locations[] = {"location=random", "location=gradient", "location=grid"};
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const pg_attack *lavan = pg_attack_find("lavan");
    enum { ATTACKED = 6 };
    int broken = 0, beyond = 0;
    for (int which = 0; which < CASES; which++) {
        const char *const pairs[] = {"steps=6", "batch=6", locations[which]};
        pg_attacker *attacker = NULL;
        pg_attack_result results[IMAGES];
        open_bench(1, which, "mean");
        assert_int_equal(pg_module_configure(&lavan->module, "attack", pairs, 3, config), PG_OK);
        pg_attack_job job = job_of(lavan, config, cases[which].dataset, b.how->from_width / 2);
        int side = job.patch_height, last_top = b.how->from_height - side, last_left = b.how->from_width - side;
        for (int i = 0; i < IMAGES; i++)
            results[i].patch = patches[i];
        if (pg_attacker_open(&job, &attacker) != PG_OK || pg_attacker_run(attacker, b.examples, ATTACKED, results) != PG_OK)
            fail_msg("%s", pg_error_message());
        for (int i = 0; i < ATTACKED; i++) {
            const pg_attack_result *r = &results[i];
            assert_true(r->top >= 0 && r->left >= 0 && r->top <= last_top && r->left <= last_left);
            deploy(i, r->patch, side, side, r->top, r->left, deployed);
            assert_int_equal(r->after, predict(deployed));
            broken += r->before == b.labels[i] && r->after != b.labels[i];
            beyond += r->top > SIDE - side || r->left > SIDE - side;
        }
        pg_attacker_close(attacker);
        close_bench();
    }
    print_message("%d of %d images broken\n", broken, CASES * ATTACKED);
    assert_true(broken > 0 && beyond > 0);
}

/* An attack that names a place which is inside what the network takes, and outside the image. */
typedef struct stray_config {
    pg_attack_common common;
} stray_config;

static int stray_check(const void *config, int height, int width, int patch_height, int patch_width, int classes)
{
    (void)config;
    assert_true(height == b.how->from_height && width == b.how->from_width);
    return pg_attack_check_patch(height, width, patch_height, patch_width, classes);
}

static int stray_run(const void *config, const void *state, uint64_t seed, pg_victim *v, const pg_example *examples, size_t n,
                     pg_attack_outcome *found)
{
    (void)config, (void)state, (void)seed, (void)v, (void)examples;
    for (size_t i = 0; i < n; i++) {
        found[i].top = b.how->from_height - 3;
        memset(found[i].patch, 0, 48 * sizeof(float));
    }
    return PG_OK;
}

static void places_outside_the_image_are_refused(void **state)
{
    (void)state;
    static const pg_option options[] = {PG_ATTACK_COMMON_OPTIONS(stray_config, "2"), {0}};
    const pg_attack stray = {.module = {.name = "stray",
                                        .summary = "outside",
                                        .source = "none",
                                        .version = 1,
                                        .options = options,
                                        .config_size = sizeof(stray_config)},
                             .check = stray_check,
                             .run = stray_run};
    _Alignas(16) uint8_t config[PG_CONFIG_MAX], patch[48];
    pg_attacker *attacker = NULL;
    pg_attack_result result = {.patch = patch};
    open_bench(1, 2, "mean");
    assert_int_equal(pg_module_configure(&stray.module, "attack", NULL, 0, config), PG_OK);
    pg_attack_job job = job_of(&stray, config, cases[2].dataset, 4);
    assert_int_equal(pg_attacker_open(&job, &attacker), PG_OK);
    assert_int_equal(pg_attacker_run(attacker, b.examples, 1, &result), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "does not lie in the image"));
    pg_attacker_close(attacker);
    job.patch_height = 21;
    assert_int_equal(pg_attacker_open(&job, &attacker), PG_EINPUT);
    close_bench();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_what_a_resize_makes_of_patches), cmocka_unit_test(gradients_are_the_weights),
        cmocka_unit_test(a_victim_is_the_deployed_classifier),        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(saliency_is_the_gradient_of_the_image),      cmocka_unit_test(attackers_evaluate_what_is_deployed),
        cmocka_unit_test(places_outside_the_image_are_refused),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
