/* Every registered attack on a shipped network, by the deployed path: batches and seeds, black box against white box, the
 * defense against the mean. The built-in data set is enough. */
/* Loads libtorch. */
#include "defenses/defense.h"
#include "harness/base/npy.h"
#include "harness/data/dataset.h"
#include "harness/target/attacker.h"
#include "harness/target/evaluator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 64, PATCH = 6, VALUES = 3 * PATCH * PATCH };
static const char weights[] = "models/zoo/synthetic-bagnet.safetensors", dataset[] = "synthetic:test";

static char patches[] = "/tmp/pg-attacks-XXXXXX"; /* one patch of 4 x 4 px, for `given` */
static pg_network *network;
static uint8_t *pixels;
static int32_t labels[N];
static float *logits;

/* What an attack did to the first `n` images under one defense. */
typedef struct outcome {
    int n;
    pg_attack_result results[N];
    uint8_t patches[N][VALUES];
    int clean, right; /* images predicted as their label, without and with the patch */
} outcome;

static void must(int code)
{
    if (code != PG_OK)
        fail_msg("%s", pg_error_message());
}

static void write_patch(void)
{
    static const int64_t shape[] = {3, 4, 4};
    float values[48];
    for (int i = 0; i < 48; i++)
        values[i] = (float)(i * 7 % 48) / 48;
    int file = mkstemp(patches);
    FILE *f = file < 0 ? NULL : fdopen(file, "wb");
    assert_non_null(f);
    must(pg_npy_write_header(f, PG_NPY_F4, 3, shape));
    assert_int_equal(fwrite(values, sizeof values, 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

static int load(void **state)
{
    (void)state;
    write_patch();
    must(pg_network_open(weights, NULL, 0, &(pg_network_options){.device = "cpu", .batch = N, .threads = 1}, &network));
    const pg_geometry *g = &pg_network_info(network)->geometry;
    size_t image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width;
    size_t map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    pg_dataset *data;
    pixels = malloc(N * image);
    logits = malloc(N * map * sizeof *logits);
    must(pg_dataset_open(".", dataset, &data));
    must(pg_dataset_read(data, 0, N, pixels, labels));
    must(pg_network_forward(network, pixels, 0, N, logits));
    pg_dataset_close(data);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    unlink(patches);
    pg_network_close(network);
    free(pixels);
    free(logits);
    return 0;
}

/* *new*, free(). Options of the attack: one string, separated by spaces; file=PATCHES is the file of patches. */
static outcome *attack(const char *name, const char *options, const char *defense, int n_images, uint64_t seed)
{
    char text[256], file[64];
    const char *pairs[16];
    size_t n = 0;
    snprintf(text, sizeof text, "%s", options);
    snprintf(file, sizeof file, "file=%s", patches);
    for (char *pair = strtok(text, " "); pair; pair = strtok(NULL, " "))
        pairs[n++] = strcmp(pair, "file=PATCHES") == 0 ? file : pair;
    const pg_geometry *g = &pg_network_info(network)->geometry;
    size_t image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width;
    size_t map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    const pg_attack *a = pg_attack_find(name);
    const pg_defense *d = pg_defense_find(defense);
    assert_true(a && d);
    _Alignas(16) uint8_t attack_config[PG_CONFIG_MAX], config[PG_CONFIG_MAX];
    must(pg_module_configure(&a->module, "attack", pairs, n, attack_config));
    must(pg_module_configure(&d->module, "defense", NULL, 0, config));
    pg_window window = {pg_axis_window(&g->rows, g->input_height, PATCH), pg_axis_window(&g->columns, g->input_width, PATCH)};
    pg_attack_job job = {.network = network,
                         .batch = N,
                         .attack = a,
                         .attack_config = attack_config,
                         .defense = d,
                         .config = config,
                         .window = window,
                         .patch_height = PATCH,
                         .patch_width = PATCH,
                         .seed = seed,
                         .data_dir = ".",
                         .dataset = dataset};
    outcome *o = calloc(1, sizeof *o);
    o->n = n_images;
    pg_example examples[N];
    pg_evaluator *evaluator;
    pg_attacker *attacker;
    must(pg_evaluator_new(g, d, config, window, &evaluator));
    for (int i = 0; i < n_images; i++) {
        examples[i] = (pg_example){
            .index = i, .label = labels[i], .pixels = pixels + (size_t)i * image, .logits = logits + (size_t)i * map};
        examples[i].prediction = pg_evaluator_logits(evaluator, examples[i].logits);
        o->results[i].patch = o->patches[i];
    }
    must(pg_attacker_open(&job, &attacker));
    must(pg_attacker_run(attacker, examples, n_images, o->results));
    for (int i = 0; i < n_images; i++) {
        o->clean += examples[i].prediction == labels[i];
        o->right += examples[i].prediction == labels[i] && o->results[i].after == labels[i];
    }
    pg_attacker_close(attacker);
    pg_evaluator_free(evaluator);
    return o;
}

static int same_bytes(const outcome *a, const outcome *b)
{
    int same = 0;
    for (int i = 0; i < a->n; i++)
        same += a->results[i].after == b->results[i].after && a->results[i].steps == b->results[i].steps &&
                a->results[i].top == b->results[i].top && a->results[i].left == b->results[i].left &&
                memcmp(a->patches[i], b->patches[i], VALUES) == 0;
    return same;
}

static int same_outcomes(const outcome *a, const outcome *b)
{
    int same = 0;
    for (int i = 0; i < a->n; i++)
        same += (a->results[i].after == labels[i]) == (b->results[i].after == labels[i]);
    return same;
}

static const struct {
    const char *name, *options, *alone; /* alone: the same with batch 1 */
    int images;                         /* fewer for what passes over every position */
} every[] = {{"lavan", "steps=5 step=0.1", "steps=5 step=0.1 batch=1", N},
             {"random-search", "steps=10", "steps=10 batch=1", N},
             {"universal", "steps=8 training_images=32", "steps=8 training_images=32",
              N}, /* its training images are a batch: another one learns another patch */
             {"local-logits", "steps=1 step=0.2", "steps=1 step=0.2 batch=1", N / 2},
             {"given", "file=PATCHES rotation=30", "file=PATCHES rotation=30", N}};

static void every_attack_is_tested_here(void **state)
{
    (void)state;
    size_t n = sizeof every / sizeof *every, found = 0;
    for (size_t i = 0; pg_attacks[i]; i++)
        for (size_t k = 0; k < n; k++)
            found += strcmp(pg_attacks[i]->module.name, every[k].name) == 0;
    assert_int_equal(found, n);
    assert_null(pg_attacks[n]);
}

static void batches_and_seeds(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof every / sizeof *every; k++) {
        int n = every[k].images;
        outcome *a = attack(every[k].name, every[k].options, "clip", n, 0),
                *again = attack(every[k].name, every[k].options, "clip", n, 0);
        outcome *alone = attack(every[k].name, every[k].alone, "clip", n, 0),
                *other = attack(every[k].name, every[k].options, "clip", n, 1);
        print_message("%-13s %d of %d right, %d attacked; batch 1 and 64: %d the same outcome, %d the same bytes\n",
                      every[k].name, a->clean, n, a->right, same_outcomes(a, alone), same_bytes(a, alone));
        assert_int_equal(same_bytes(a, again), n);
        assert_true(same_outcomes(a, alone) >= n - 1);
        assert_true(same_bytes(a, other) < n / 2);
        free(a);
        free(again);
        free(alone);
        free(other);
    }
}

/* A search without gradients that breaks more would say that the gradients are masked. */
static void gradients_are_not_masked(void **state)
{
    (void)state;
    static const char *const defenses[] = {"mean", "clip", "median", "robust-masking"};
    for (size_t k = 0; k < sizeof defenses / sizeof *defenses; k++) {
        outcome *white = attack("lavan", "steps=20 schedule=linear step=0.25 momentum=0.75", defenses[k], N, 0),
                *black = attack("random-search", "steps=40", defenses[k], N, 0),
                *noise = attack("lavan", "steps=0", defenses[k], N, 0);
        print_message("%-15s %d of %d right; noise leaves %d, random search %d, LaVAN %d\n", defenses[k], white->clean, N,
                      noise->right, black->right, white->right);
        assert_true(white->right <= black->right && white->right < noise->right);
        free(white);
        free(black);
        free(noise);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attack_is_tested_here),
        cmocka_unit_test(batches_and_seeds),
        cmocka_unit_test(gradients_are_not_masked),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
