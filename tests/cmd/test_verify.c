/* patchgauge verify: a submission written from a store, computed again: as it is, falsified, and with contents
 * that changed. */
/* Loads libtorch. */
#include "db/store.h"
#include "harness/base/file.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"
#include "tests/support/store_list.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FIRST = 70, IMAGES = 400 };
static char masking[PG_HASH_HEX], roomy[PG_HASH_HEX];

static int keep_id(const pg_cell_result *result, void *context)
{
    (void)context;
    char *id = strcmp(pg_cell_result_setting(result, "defense"), "ds") == 0 ? roomy : masking;
    memcpy(id, result->cell_id, PG_HASH_HEX);
    return PG_OK;
}

static int setup(void **state)
{
    static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\npatch = 3\nimages = \"70:470\"\n"
                                 "\"null.seed\" = 5\n\"robust-masking.threshold\" = 0.2\nbatch = 64\n[[zip]]\n"
                                 "defense = [\"robust-masking\", \"ds\"]\ndelta = [\"place\", \"any-batch\"]\n";
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    if (program_run("db", "--quiet run %s/m.toml", scratch_folder) != 0 || store_list_of("db", keep_id, NULL) != PG_OK)
        return -1;
    return *masking && *roomy ? 0 : -1;
}

static json_t *submission(const char *cell)
{
    assert_int_equal(program_run("db", "export --submission %.12s -o %s/whole.json --force", cell, scratch_folder), 0);
    json_t *root = json_load_file(scratch_path("whole.json"), 0, NULL);
    assert_non_null(root);
    return root;
}

static void save(json_t *root)
{
    char *text = json_dumps(root, 0);
    scratch_write("s.json", text, strlen(text));
    free(text);
    json_decref(root);
}

static int verify(const char *options) { return program_run(NULL, "--quiet verify %s/s.json %s", scratch_folder, options); }

static void expect_output(const char *part)
{
    if (!strstr(program_output, part))
        fail_msg("\"%s\" is not in\n%s", part, program_output);
}

/* What a reader of the file finds: counts as the store has them, one value an image, the threat model, how to make it again. */
static void test_the_file_holds_the_cell(void **state)
{
    (void)state;
    json_t *root = submission(masking);
    const char *form, *cell, *name, *patch_px, *matrix, *sha;
    json_int_t version, n, first, count;
    json_t *certified, *clean, *images;
    assert_int_equal(json_unpack(root, "{s:s,s:I,s:s,s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:{s:I},s:o,s:o},s:o}", "form", &form,
                                 "version", &version, "cell", &cell, "defense", "name", &name, "threat_model", "patch_px",
                                 &patch_px, "reproduce", "matrix", &matrix, "model", "sha256", &sha, "results", "clean", "n",
                                 &n, "certified_recovery", &certified, "clean", &clean, "images", &images),
                     0);
    assert_string_equal(form, "submission");
    assert_int_equal(version, 1);
    assert_string_equal(cell, masking);
    assert_string_equal(name, "robust-masking");
    assert_string_equal(patch_px, "3x3");
    assert_int_equal(strlen(sha), 64);
    assert_int_equal(n, IMAGES);
    assert_int_equal(json_unpack(images, "{s:I,s:I}", "first", &first, "count", &count), 0);
    assert_int_equal(first, FIRST);
    assert_int_equal(count, IMAGES);
    json_int_t counted[2] = {0, 0};
    for (size_t i = 0; i < IMAGES; i++) {
        json_int_t label = json_integer_value(json_array_get(json_object_get(images, "label"), i)),
                   prediction = json_integer_value(json_array_get(json_object_get(images, "prediction"), i));
        counted[0] += label == prediction;
        counted[1] += json_is_true(json_array_get(json_object_get(images, "certified"), i));
    }
    assert_int_equal(json_integer_value(json_object_get(clean, "count")), counted[0]);
    assert_int_equal(json_integer_value(json_object_get(certified, "count")), counted[1]);
    assert_true(counted[1] > 0 && counted[1] < IMAGES);
    /* the matrix makes the same cell */
    scratch_write("again.toml", matrix, strlen(matrix));
    assert_int_equal(program_run("db", "plan %s/again.toml", scratch_folder), 0);
    expect_output("1 cell: 0 new, 0 partial, 1 done");
    json_decref(root);
}

static void test_what_is_true_agrees(void **state)
{
    (void)state;
    save(submission(masking));
    assert_int_equal(verify("--images 1000000"), 0);
    expect_output("400 of 400 images computed again: 400 agree, 0 near, 0 disagree");
    assert_int_equal(verify("--images 65 --seed 3"), 0); /* batches from 64 on: the first and the last are not whole */
    expect_output(" agree, 0 near, 0 disagree");
    assert_null(strstr(program_output, "400 of 400"));
    save(submission(roomy));
    assert_int_equal(verify("--images 1000000"), 0);
    expect_output("400 of 400 images computed again: 400 agree, 0 near, 0 disagree");
}

static void test_what_is_false_disagrees(void **state)
{
    (void)state;
    json_t *root = submission(masking), *images = json_object_get(root, "images");
    json_t *certified = json_object_get(images, "certified"), *predictions = json_object_get(images, "prediction");
    bool was = json_is_true(json_array_get(certified, 17));
    (void)json_array_set_new(certified, 17, json_boolean(!was));
    (void)json_array_set_new(predictions, 399, json_integer((json_integer_value(json_array_get(predictions, 399)) + 1) % 10));
    save(root);
    assert_int_equal(verify("--images 1000000"), 1);
    expect_output("disagrees image 87: ");
    expect_output("disagrees image 469: ");
    expect_output("398 agree, 0 near, 2 disagree");
}

/* A certificate that the measured change explains is near; one that it does not explain, or that was not measured, is not. The
 * record beside the weights says that logits move by 0.1. */
static void test_what_rounding_explains_is_near(void **state)
{
    (void)state;
    enum { MOVED = 100000, POSITIONS = 144 };
    static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"%s\"\npatch = 3\nimages = \"0:128\"\n"
                                 "defense = \"robust-masking\"\n";
    char text[1024], sha[PG_HASH_HEX];
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read("models/zoo/synthetic-bagnet.safetensors", 1 << 24, &bytes, &size), PG_OK);
    scratch_write("b.safetensors", bytes, size);
    free(bytes);
    snprintf(text, sizeof text, matrix, scratch_path("b.safetensors"));
    scratch_write("near.toml", text, strlen(text));
    for (int measured = 0; measured < 2; measured++) {
        if (measured) {
            assert_int_equal(pg_hash_file(scratch_path("b.safetensors"), sha), PG_OK);
            snprintf(text, sizeof text,
                     "patchgauge.locality 1\nsha256=%s\ndelta=0 trials=256 outside=256 elsewhere=0 moved=%d images=128 "
                     "batches=1,16,64,128 dtype=fp32 device=cpu batch=128\n",
                     sha, MOVED);
            scratch_write("b.safetensors.locality", text, strlen(text));
        }
        assert_int_equal(program_run("near", "--quiet run %s/near.toml", scratch_folder), 0);
        assert_int_equal(program_run("near", "ls --most 1"), 0);
        char id[13];
        snprintf(id, sizeof id, "%.12s", strchr(program_output, '\n') + 1);
        assert_int_equal(program_run("near", "export --submission %s -o %s/whole.json --force", id, scratch_folder), 0);
        json_t *root = json_load_file(scratch_path("whole.json"), 0, NULL), *images = json_object_get(root, "images");
        json_t *certified = json_object_get(images, "certified"), *margins = json_object_get(images, "margin");
        int within = 0, beyond = 0;
        for (size_t i = 0; i < 128; i++) {
            json_int_t margin = json_integer_value(json_array_get(margins, i));
            bool is = json_is_integer(json_array_get(margins, i)) && llabs(margin) <= 2LL * POSITIONS * MOVED;
            int *seen = is ? &within : &beyond;
            if ((*seen)++ == 0) /* the first of each kind is falsified */
                (void)json_array_set_new(certified, i, json_boolean(!json_is_true(json_array_get(certified, i))));
        }
        assert_true(within > 0 && beyond > 0);
        save(root);
        assert_int_equal(verify(""), 1);
        expect_output(measured ? "126 agree, 1 near, 1 disagree" : "126 agree, 0 near, 2 disagree; the change");
    }
}

static void test_other_contents_are_refused(void **state)
{
    (void)state;
    static const char *const objects[] = {"model", "dataset"};
    for (size_t i = 0; i < 2; i++) {
        json_t *root = submission(masking);
        (void)json_object_set_new(json_object_get(root, objects[i]), "sha256",
                                  json_string("00000000000000000000000000000000000000000000000000000000000000aa"));
        save(root);
        assert_int_equal(verify(""), 2);
        expect_output("has other contents");
    }
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *key;           /* of the root, removed */
        const char *inner, *value; /* else replaced by this JSON */
        const char *want;
    } cases[] = {
        {"form", NULL, NULL, "is no submission"},
        {"version", NULL, "2", "a submission of version 2"},
        {"model", NULL, NULL, "no hashes"},
        {"settings", NULL, NULL, "no weights, data set and attack"},
        {"settings", "batch", "\"0\"", "no batch"},
        {"images", NULL, NULL, "names no images"},
        {"images", "first", "-1", "names no images"},
        {"images", "count", "399", "not as long"},
        {"images", "prediction", "[1]", "not as long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = submission(masking), *object = cases[i].inner ? json_object_get(root, cases[i].key) : root;
        const char *key = cases[i].inner ? cases[i].inner : cases[i].key;
        if (cases[i].value)
            (void)json_object_set_new(object, key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        else
            (void)json_object_del(object, key);
        save(root);
        assert_int_equal(verify(""), 2);
        expect_output(cases[i].want);
    }
    json_t *root = submission(masking);
    (void)json_array_set_new(json_object_get(json_object_get(root, "images"), "certified"), 5, json_integer(1));
    save(root);
    assert_int_equal(verify(""), 2);
    expect_output("has no prediction, certificate and margin");
    scratch_write("s.json", "{\n\"form\"", 8);
    assert_int_equal(verify(""), 2);
    expect_output("s.json:2: ");
}

static void test_what_is_not_done_is_no_submission(void **state)
{
    (void)state;
    static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\npatch = 3\nimages = \"0:64\"\n"
                                 "defense = \"mean\"\n\"null.nan_every\" = 0\n";
    scratch_write("half.toml", matrix, sizeof matrix - 1);
    assert_int_equal(program_run("half", "--quiet run %s/half.toml --shard 1/2", scratch_folder), 0);
    assert_int_equal(program_run("half", "ls", ""), 0);
    char *line = strchr(program_output, '\n');
    assert_non_null(line);
    char id[13];
    snprintf(id, sizeof id, "%.12s", line + 1);
    assert_int_equal(program_run("half", "export --submission %s -o %s/none.json", id, scratch_folder), 2);
    expect_output("0 of 64 images: only a cell that is done");
    assert_int_equal(access(scratch_path("none.json"), F_OK), -1);
    assert_int_equal(program_run("db", "export --submission 00000000 -o %s/none.json", scratch_folder), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_holds_the_cell),           cmocka_unit_test(test_what_is_true_agrees),
        cmocka_unit_test(test_what_is_false_disagrees),           cmocka_unit_test(test_what_rounding_explains_is_near),
        cmocka_unit_test(test_other_contents_are_refused),        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_what_is_not_done_is_no_submission),
    };
    return cmocka_run_group_tests_name("verify", tests, setup, scratch_remove);
}
