/* Attacks on data sets that are resized, from matrix to store and as files: what is stored of a patch before the resize is what
 * an own paste, resize and forward pass says. The network is one that ships with the program, told to take 28 px. Needs
 * libtorch. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "tests/support/load_npy.h"
#include "harness/data/dataset.h"
#include "harness/plan/tasks.h"
#include "harness/target/evaluator.h"
#include "harness/target/open.h"
#include "harness/pipeline/worker.h"
#include "tests/support/program.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { SIDE = 28, FROM = 32, IMAGES = 12, PATCH = 14, MAP_MAX = 40 * 40 * 10 };

/* Its layers are convolutions, which any size fits. */
static void write_network(void)
{
    static const char *const keys[] = {"classes", "command", "format", "model", "model_version", "options", "input"};
    enum { KEYS = sizeof keys / sizeof *keys };
    const char *texts[KEYS];
    pg_st_tensor tensors[128];
    pg_st_file *file = NULL;
    assert_int_equal(pg_st_open("models/zoo/synthetic-bagnet.safetensors", &file), PG_OK);
    size_t n = pg_st_count(file);
    assert_true(n <= 128);
    for (size_t i = 0; i < n; i++)
        tensors[i] = *pg_st_at(file, i);
    for (size_t k = 0; k + 1 < KEYS; k++)
        assert_non_null(texts[k] = pg_st_metadata(file, keys[k]));
    texts[KEYS - 1] = "28x28";
    assert_int_equal(pg_st_write(scratch_path("net.safetensors"), tensors, n, keys, texts, KEYS), PG_OK);
    pg_st_close(file);
}

static void write_matrix(const char *name, const char *weights, const char *rest)
{
    char text[2048];
    snprintf(text, sizeof text,
             "[fixed]\ndataset = \"synthetic:test@28\"\nweights = \"%s\"\nimages = \"0:%d\"\nbatch = 4\npatch = %d\n%s",
             weights, IMAGES, PATCH, rest);
    scratch_write(name, text, strlen(text));
}

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    const char *net = scratch_path("net.safetensors");
    write_network();
    write_matrix("both.toml", net,
                 "attack = \"lavan\"\nlavan.steps = 8\nlavan.batch = 4\n[axes]\npatch-space = "
                 "[\"image\", \"network\"]\ndefense = [\"mean\", \"robust-masking\"]\n");
    write_matrix("universal.toml", net,
                 "attack = \"universal\"\nuniversal.steps = 4\nuniversal.batch = 4\nuniversal.training_images = 8\ndefense = "
                 "\"mean\"\n");
    write_matrix(
        "masked.toml", net,
        "attack = \"lavan\"\nlavan.steps = 3\nlavan.batch = 2\ndefense = \"patchcleanser\"\npatchcleanser.masks = 2\n");
    write_matrix("null.toml", "null",
                 "null.input_height = 28\nnull.input_width = 28\nattack = \"random-search\"\nrandom-search.steps = 2\ndefense "
                 "= \"mean\"\n");
    return 0;
}

static void run_quietly(const char *db, const char *matrix, const char *more)
{
    int code = program_run(db, "run %s --device cpu --threads 1 --task-images 8 --quiet %s", scratch_path(matrix), more);
    if (code != 0)
        fail_msg("%d: %s", code, program_output);
}

static pg_plan *open_plan(const char *matrix, const char *const *overrides, size_t n)
{
    pg_plan_request asked = {
        .matrix_path = scratch_path(matrix), .overrides = overrides, .n_overrides = n, .data_dir = "build/data"};
    pg_plan *plan = NULL;
    if (pg_plan_open(&asked, &plan) != PG_OK)
        fail_msg("%s", pg_error_message());
    return plan;
}

/* ---- What is stored, against an own evaluator ---- */

typedef struct check {
    pg_network *network;
    pg_evaluator *evaluator;
    pg_dataset *dataset;
    bool before; /* patches are put on before the resize */
    int patch;   /* side */
    int n, broken, beyond;
} check;

static int evaluate_own(const check *c, int64_t image, const uint8_t *patch, int top, int left)
{
    static uint8_t pixels[3 * FROM * FROM], resized[3 * FROM * FROM];
    static float logits[MAP_MAX];
    int side = c->before ? FROM : SIDE;
    const pg_resizing how = {FROM, FROM, SIDE, SIDE, PG_FILTER_BICUBIC};
    assert_int_equal(c->before ? pg_dataset_read_source(c->dataset, image, 1, pixels)
                               : pg_dataset_read(c->dataset, image, 1, pixels, NULL),
                     PG_OK);
    for (int p = 0; p < 3; p++)
        for (int y = 0; y < c->patch; y++)
            for (int x = 0; x < c->patch; x++)
                pixels[(p * side + top + y) * side + left + x] = patch[(p * c->patch + y) * c->patch + x];
    if (c->before)
        assert_int_equal(pg_resize_planes(&how, pixels, resized), PG_OK);
    assert_int_equal(pg_network_forward(c->network, c->before ? resized : pixels, image, 1, logits), PG_OK);
    return pg_evaluator_logits(c->evaluator, logits);
}

static int check_row(const pg_attack_row *a, void *context)
{
    check *c = context;
    int last = (c->before ? FROM : SIDE) - c->patch;
    assert_int_equal(a->patch_size, 3 * c->patch * c->patch);
    assert_in_range(a->top, 0, last);
    assert_in_range(a->left, 0, last);
    assert_int_equal(evaluate_own(c, a->image, a->patch, a->top, a->left), a->after);
    c->n++;
    c->broken += a->before == a->label && a->after != a->label;
    c->beyond += a->top > SIDE - c->patch || a->left > SIDE - c->patch;
    return PG_OK;
}

static check open_check(const pg_cell *cell)
{
    check c = {.before = cell->forward->before_resize, .patch = cell->forward->patch_height};
    pg_network_options options = {.device = "cpu", .batch = cell->forward->batch, .threads = 1};
    if (pg_forward_open(cell->forward, &options, &c.network) != PG_OK ||
        pg_dataset_open("build/data", cell->forward->dataset, &c.dataset) != PG_OK ||
        pg_evaluator_new(&cell->forward->info.geometry, cell->defense, cell->config, cell->window, &c.evaluator) != PG_OK)
        fail_msg("%s", pg_error_message());
    return c;
}

static void close_check(check *c)
{
    pg_evaluator_free(c->evaluator);
    pg_network_close(c->network);
    pg_dataset_close(c->dataset);
}

/* All attacks of a cell; how many images they broke. */
static check check_cell(const char *db, const pg_cell *cell)
{
    check c = open_check(cell);
    pg_store *store = NULL;
    int64_t broken = -1, first;
    assert_int_equal(pg_store_open(scratch_path(db), PG_STORE_READ, &store), PG_OK);
    assert_int_equal(pg_store_each_attack(store, cell->id, check_row, &c), PG_OK);
    assert_int_equal(pg_store_broken(store, cell->id, &broken, &first), PG_OK);
    assert_int_equal(broken, 0); /* certificates */
    pg_store_close(store);
    close_check(&c);
    return c;
}

static void both_patch_spaces_are_stored_as_they_evaluate(void **state)
{
    (void)state;
    run_quietly("both.db", "both.toml", "");
    pg_plan *plan = open_plan("both.toml", NULL, 0);
    assert_int_equal(pg_plan_count(plan), 4);
    int beyond = 0;
    for (size_t i = 0; i < 4; i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        check c = check_cell("both.db", cell);
        print_message("%s, %s: %d of %d broken\n", cell->defense->module.name, pg_cell_value(cell, "patch-space"), c.broken,
                      c.n);
        assert_int_equal(c.before, strcmp(pg_cell_value(cell, "patch-space"), "image") == 0);
        assert_int_equal(c.n, IMAGES);
        assert_true(c.broken > 0 || cell->defense != pg_defense_find("mean"));
        beyond += c.before ? c.beyond : 0;
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(cell->id, pg_plan_at(plan, j)->id);
    }
    assert_true(beyond > 0); /* places that are none behind the resize */
    pg_plan_free(plan);
    assert_int_equal(program_run("both.db", "plot vulnerability %s -S defense=mean -o %s", scratch_path("both.toml"),
                                 scratch_path("figures")),
                     0);
    assert_int_equal(
        program_run("both.db", "report %s -S defense=mean -o %s", scratch_path("both.toml"), scratch_path("r.html")), 0);
    char *page;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path("r.html"), 1 << 26, &page, &size), PG_OK);
    assert_non_null(strstr(page, "width=\"32\"")); /* images under attack, before the resize and behind it */
    assert_non_null(strstr(page, "width=\"28\""));
    free(page);
}

static void other_attacks_and_defenses_work_too(void **state)
{
    (void)state;
    static const char *const names[] = {"universal", "masked", "null"}, *const more[] = {"", "-S images=0:3", ""};
    for (int i = 0; i < 3; i++) {
        char matrix[32], db[32];
        const char *const few = "images=0:3";
        snprintf(matrix, sizeof matrix, "%s.toml", names[i]);
        snprintf(db, sizeof db, "%s.db", names[i]);
        run_quietly(db, matrix, more[i]);
        pg_plan *plan = open_plan(matrix, &few, *more[i] ? 1 : 0);
        check c = check_cell(db, pg_plan_at(plan, 0));
        print_message("%s: %d of %d broken\n", names[i], c.broken, c.n);
        assert_true(c.before && c.n == (*more[i] ? 3 : IMAGES));
        pg_plan_free(plan);
    }
}

/* ---- A deliberately unsound defense: certifies whatever it gets right ---- */

static void certify_all(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                        size_t n, void *scratch, pg_verdict *out)
{
    pg_defense_find("mean")->certify(evidence, window, delta, label, configs, n, scratch, out);
    for (size_t i = 0; i < n; i++)
        out[i].certified = out[i].prediction == label;
}

static int begin(void *context, pg_store **store)
{
    static const pg_store_worker_row worker = {.revision = "test", .versions = "", .device = "cpu", .threads = 1};
    int code = pg_store_open(scratch_path("unsound.db"), PG_STORE_WRITE, store);
    if (code == PG_OK)
        code = pg_plan_record(((void **)context)[0], *store, 32);
    if (code == PG_OK)
        code = pg_store_worker_start(*store, &worker);
    ((void **)context)[1] = *store;
    return code;
}

static void an_unsound_defense_is_caught(void **state)
{
    (void)state;
    static const char *const overrides[] = {"defense=mean", "patch-space=image"};
    pg_plan *plan = open_plan("both.toml", overrides, 2);
    pg_worker_status status = {0};
    pg_broken broken[8] = {0};
    void *context[2] = {plan, NULL};
    pg_cell *cell = (pg_cell *)(uintptr_t)pg_plan_at(plan, 0);
    pg_forward *forward = (pg_forward *)(uintptr_t)cell->forward;
    pg_defense unsound = *cell->defense;
    unsound.certify = certify_all;
    cell->defense = forward->defense = &unsound;
    const pg_forward *missing = forward;
    pg_run_request request = {.plan = plan,
                              .missing = &missing,
                              .n_missing = 1,
                              .broken = broken,
                              .begin = begin,
                              .context = context,
                              .data_dir = "build/data",
                              .device = "cpu",
                              .threads = 1,
                              .certify_threads = 1};
    assert_true(pg_plan_forwards(plan) <= 8);
    if (pg_run(&request, &status) != PG_OK)
        fail_msg("%s", pg_error_message());
    assert_true(status.report.broken > 0); /* `run` ends with exit code 5 then */
    pg_store_close(context[1]);
    pg_plan_free(plan);
}

/* ---- `patchgauge attack` ---- */

static json_t *read_meta(const char *folder)
{
    char path[600], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/meta.json", scratch_path(folder));
    assert_int_equal(pg_file_read(path, 1 << 20, &text, &size), PG_OK);
    json_t *meta = json_loads(text, 0, NULL);
    assert_non_null(meta);
    free(text);
    return meta;
}

static void expect_pair(json_t *meta, const char *key, int value)
{
    json_t *pair = json_object_get(meta, key);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(json_integer_value(json_array_get(pair, i)), value);
}

/* Rows of results.csv, whose predictions are those of an own evaluator of patches.npy; the sheet has the pixels of
 * the network. */
static void files_are_in_pixels_of_what_the_patch_is_put_on(void **state)
{
    (void)state;
    static const char *const overrides[] = {"defense=mean", "patch-space=image"};
    char path[600], *text;
    size_t size;
    pg_npy patches, sheet;
    int code = program_run("none.db",
                           "attack --weights %s --dataset synthetic:test@28 --images 0:8 --attack lavan --patch %d --batch 4 "
                           "--set steps=8 --set lavan.batch=4 --threads 1 --quiet --sheet 2 -o %s",
                           scratch_path("net.safetensors"), PATCH, scratch_path("files"));
    if (code != 0)
        fail_msg("%d: %s", code, program_output);
    json_t *meta = read_meta("files");
    assert_string_equal(json_string_value(json_object_get(meta, "patch_space")), "image");
    expect_pair(meta, "patch", PATCH);
    int affected;
    assert_int_equal(pg_resize_affected(FROM, SIDE, PG_FILTER_BICUBIC, PATCH, &affected), PG_OK);
    expect_pair(meta, "affected", affected);
    json_decref(meta);
    snprintf(path, sizeof path, "%s/patches.npy", scratch_path("files"));
    assert_int_equal(load_npy(path, &patches), PG_OK);
    assert_int_equal(patches.count, 8 * 3 * PATCH * PATCH);
    snprintf(path, sizeof path, "%s/sheet-pixels.npy", scratch_path("files"));
    assert_int_equal(load_npy(path, &sheet), PG_OK);
    assert_int_equal(sheet.count % (3 * SIDE * SIDE), 0);
    snprintf(path, sizeof path, "%s/results.csv", scratch_path("files"));
    assert_int_equal(pg_file_read(path, 1 << 20, &text, &size), PG_OK);
    pg_plan *plan = open_plan("both.toml", overrides, 2);
    check c = open_check(pg_plan_at(plan, 0));
    int n = 0;
    for (const char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1, n++) {
        int image, label, before, after, broken, certified, top, left;
        assert_int_equal(
            sscanf(line, "%d,%d,%d,%d,%d,%d,%d,%d,", &image, &label, &before, &after, &broken, &certified, &top, &left), 8);
        assert_int_equal(image, n);
        assert_int_equal(evaluate_own(&c, image, (const uint8_t *)patches.data + n * 3 * PATCH * PATCH, top, left), after);
    }
    assert_int_equal(n, 8);
    free(text);
    close_check(&c);
    pg_plan_free(plan);
    pg_npy_release(&patches);
    pg_npy_release(&sheet);
    code =
        program_run("none.db",
                    "attack --weights null --dataset synthetic:test@28 --attack random-search --patch 29 --patch-space network "
                    "--set null.input_height=28 --set null.input_width=28 -o %s",
                    scratch_path("large"));
    assert_int_equal(code, 2);
    assert_non_null(strstr(program_output, "larger than the image (28 x 28)"));
    code = program_run(
        "none.db",
        "attack --weights null --dataset synthetic:test@28 --attack random-search --patch 5 --patch-space nobody -o x");
    assert_true(code != 0);
    assert_non_null(strstr(program_output, "--patch-space nobody: right would be image or network"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_patch_spaces_are_stored_as_they_evaluate),
        cmocka_unit_test(other_attacks_and_defenses_work_too),
        cmocka_unit_test(an_unsound_defense_is_caught),
        cmocka_unit_test(files_are_in_pixels_of_what_the_patch_is_put_on),
    };
    return cmocka_run_group_tests_name("resized run", tests, make, scratch_remove);
}
