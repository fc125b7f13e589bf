/* Plans: the identity of cells, and why a cell is new, done, stale or failed. */
#include "harness/base/file.h"
#include "harness/plan/tasks.h"
#include "tests/support/matrix.h"

/* ---- Identity ---- */

static const char *weights_matrix(const char *file, const char *rest)
{
    static char text[2048];
    snprintf(text, sizeof text, "[fixed]\ndataset = \"synthetic:test\"\nweights = \"%s\"\n%s", scratch_path(file), rest);
    return text;
}

static void test_identity(void **state)
{
    (void)state;
    static const char *const same[] = {
        "patch = 5\nrobust-masking.threshold = 0.20\n",
        "\"robust-masking.threshold\" = \"0.2\"\npatch = \"5x5\"\n",
        "patch = \"2.4%\"\nrobust-masking.threshold = 0.2\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nrobust-masking.scope = \"per-class\"\nrobust-masking.feature = "
        "\"logits\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nattack = \"none\"\npatch-space = \"image\"\nseed = 0\ndtype = "
        "\"fp32\"\nbatch "
        "= 128\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nimages = \"0:2000\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nclip.clip = \"0:7\"\nmedian.feature = \"confidence\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nnull.seed = 0\nnull.sleep_us = 7\n",
    };
    static const char *const other[] = {
        "patch = 5\n",
        "patch = 4\nrobust-masking.threshold = 0.2\n",
        "patch = 5\nrobust-masking.threshold = 0.200001\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nseed = 1\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nbatch = 64\n",
        "patch = 5\nrobust-masking.threshold = 0.2\npatch-space = \"network\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nimages = \"0:1999\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nnull.seed = 1\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nrobust-masking.scope = \"predicted\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\ndtype = \"bf16\"\n",
    };
    char text[1024], first[PG_HASH_HEX], id[PG_HASH_HEX];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        snprintf(text, sizeof text, HEAD "defense = \"robust-masking\"\n%s", same[i]);
        id_of(text, id);
        if (i == 0)
            memcpy(first, id, sizeof first);
        assert_string_equal(id, first);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        snprintf(text, sizeof text, HEAD "defense = \"robust-masking\"\n%s", other[i]);
        id_of(text, id);
        if (strcmp(id, first) == 0)
            fail_msg("the same id for\n%s", other[i]);
    }
}

/* The canonical form is a promise: old results are found by it. */
static void test_canonical_form(void **state)
{
    (void)state;
    pg_plan *plan = must_open(HEAD "defense = \"ds\"\npatch = \"5x8\"\nimages = \"10:20\"\n", NULL);
    const pg_cell *c = pg_plan_at(plan, 0);
    char id[PG_HASH_HEX];
    assert_int_equal(pg_hash_bytes(c->canonical, strlen(c->canonical), id), PG_OK);
    assert_string_equal(id, c->id);
    static const char *const lines[] = {
        "attack=none\n",    "\nattacker=input\n",     "\nbatch=128\n",    "\ncell=1\n",
        "\ndataset.hash=",  "\ndataset.split=test\n", "\ndefense=ds\n",   "\ndefense.version=1\n",
        "\nds.rule=",       "\ndtype=fp32\n",         "\nimages=10:20\n", "\nmodel=null\n",
        "\nmodel.seed=0\n", "\npatch=5x8\n",          "\nseed=0\n",       "\nweights.hash="};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(c->canonical, lines[i]))
            fail_msg("%s is not in\n%s", lines[i], c->canonical);
    assert_null(strstr(c->canonical, "synthetic"));
    for (const char *line = c->canonical, *next; (next = strchr(line, '\n')) && next[1]; line = next + 1)
        assert_true(strncmp(line, next + 1, strcspn(line, "\n") + 1) < 0); /* sorted, none twice */
    pg_plan_free(plan);
}

static void test_weights_by_content(void **state)
{
    (void)state;
    char first[PG_HASH_HEX], id[PG_HASH_HEX];
    write_weights("a.safetensors", "train");
    id_of(weights_matrix("a.safetensors", "defense = \"mean\"\npatch = 5\n"), first);
    assert_int_equal(rename(scratch_path("a.safetensors"), scratch_path("b c.safetensors")), 0);
    id_of(weights_matrix("b c.safetensors", "defense = \"mean\"\npatch = 5\n"), id);
    assert_string_equal(id, first);
    write_weights("b c.safetensors", "train --epochs 2");
    id_of(weights_matrix("b c.safetensors", "defense = \"mean\"\npatch = 5\n"), id);
    assert_string_not_equal(id, first);
    pg_plan *plan = must_open(weights_matrix("b c.safetensors", "defense = \"mean\"\npatch = 5\n"), NULL);
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 0), "locality"), "no position outside");
    assert_false(pg_plan_at(plan, 0)->has_delta);
    pg_plan_free(plan);
    /* two names of one content share cells and forward passes */
    char both[2048];
    write_weights("a.safetensors", "train --epochs 2");
    snprintf(both, sizeof both,
             "[fixed]\ndataset = \"synthetic:test\"\npatch = 5\ndefense = \"mean\"\n[axes]\nweights = [\"%s\", \"%s\"]\n",
             scratch_path("a.safetensors"), scratch_path("b c.safetensors"));
    id_of(both, first);
    assert_string_equal(id, first);
}

/* A measured locality becomes that of the evidence each defense reads, and is told apart from none. */
static void test_locality(void **state)
{
    (void)state;
    write_weights_of("ds-resnet18", "width=4", "l.safetensors", "", "3:1000:fp32:cpu:128");
    pg_plan *plan = must_open(weights_matrix("l.safetensors", "patch = 5\n[axes]\ndefense = [\"mean\"]\n"
                                                              "mean.feature = [\"logits\", \"confidence\", \"prediction\"]\n"),
                              NULL);
    static const int64_t want[] = {3, 4, 1 << 20};
    assert_int_equal(pg_plan_count(plan), 3);
    for (size_t i = 0; i < 3; i++) {
        const pg_cell *c = pg_plan_at(plan, i);
        assert_true(c->has_delta);
        assert_int_equal(c->delta, want[i]);
        assert_int_equal(c->logit_delta, 3);
        assert_string_equal(pg_cell_value(c, "delta.logits"), "3");
        assert_true((strstr(c->canonical, "votes=sure\n") != NULL) ==
                    (i == 2)); /* what only these cells certify otherwise than once */
        assert_string_equal(pg_cell_value(c, "locality"), "measured");
    }
    pg_plan_free(plan);
    /* measured for forward passes of 128 images in fp32, not for others */
    plan = must_open(weights_matrix("l.safetensors", "defense = \"mean\"\npatch = 5\n[axes]\nbatch = [128, 64]\n"), NULL);
    assert_true(pg_plan_at(plan, 0)->has_delta);
    assert_false(pg_plan_at(plan, 1)->has_delta);
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 1), "locality"), "not measured");
    assert_int_equal(pg_plan_at(plan, 1)->logit_delta, 0);
    pg_plan_free(plan);
}

static void write_measured(const char *weights, const char *lines)
{
    char path[512], text[2048];
    pg_weights_info info;
    snprintf(path, sizeof path, "%.480s.locality", scratch_path(weights));
    unlink(path);
    assert_int_equal(pg_weights_describe(scratch_path(weights), NULL, 0, &info), PG_OK);
    snprintf(text, sizeof text, "patchgauge.locality 1\nsha256=%s\n%s", info.hash, lines);
    assert_int_equal(pg_file_write(path, text, strlen(text)), PG_OK);
}

static void ids_of(const char *matrix, char ids[2][PG_HASH_HEX])
{
    pg_plan *plan = must_open(matrix, NULL);
    assert_int_equal(pg_plan_count(plan), 2);
    for (size_t i = 0; i < 2; i++)
        memcpy(ids[i], pg_plan_at(plan, i)->id, PG_HASH_HEX);
    pg_plan_free(plan);
}

/* What is measured later stands beside the weights. It leaves ids as they are, unless it found more than the weights say. */
static void test_measured_again(void **state)
{
    (void)state;
    char matrix[2048], before[2][PG_HASH_HEX], after[2][PG_HASH_HEX];
    write_weights_of("ds-resnet18", "width=4", "m.safetensors", "", "3:1000:fp32:cpu:128");
    snprintf(matrix, sizeof matrix, "%s",
             weights_matrix("m.safetensors", "defense = \"mean\"\npatch = 5\n[axes]\nbatch = [128, 64]\n"));
    ids_of(matrix, before);
    write_measured("m.safetensors", "delta=3 trials=8 outside=8 dtype=fp32 device=cpu isa=avx2 batch=128\n");
    ids_of(matrix, after);
    assert_string_equal(before[0], after[0]);
    assert_string_equal(before[1], after[1]);
    write_measured("m.safetensors",
                   "delta=4 trials=8 outside=8 dtype=fp32 device=cpu isa=avx2 batch=128\n"
                   "delta=0 trials=8 outside=0 dtype=fp32 device=cpu isa=avx2 batch=64\n"); /* no position outside: nothing */
    ids_of(matrix, after);
    assert_string_not_equal(before[0], after[0]);
    assert_string_equal(before[1], after[1]);
    pg_plan *plan = must_open(matrix, NULL);
    assert_non_null(strstr(pg_plan_at(plan, 0)->canonical, "\ndelta=place:4\n"));
    assert_null(
        strstr(pg_plan_at(plan, 0)->settings, "delta")); /* so that the one before is a stale one of the same settings */
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 0), "locality.on"), "cpu, cpu avx2");
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 1), "locality"), "no position outside");
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 1), "delta"), "place");
    pg_plan_free(plan);
}

static void test_any_batch(void **state)
{
    (void)state;
    char matrix[2048], place[2][PG_HASH_HEX], first[2][PG_HASH_HEX], second[2][PG_HASH_HEX];
    static const char axes[] = "patch = 5\n[axes]\ndefense = [\"mean\", \"clip\"]\n";
    write_weights_of("ds-resnet18", "width=4", "n.safetensors", "", "3:1000:fp32:cpu:128");
    ids_of(weights_matrix("n.safetensors", axes), place);
    snprintf(matrix, sizeof matrix, "%s",
             weights_matrix("n.safetensors", "delta = \"any-batch\"\npatch = 5\n[axes]\ndefense = [\"mean\", \"clip\"]\n"));
    expect_problem(matrix, "was not measured for fp32 in batches of 128; `patchgauge model measure` does so");
    write_measured("n.safetensors", "delta=1 trials=8 outside=8 elsewhere=5 moved=170 images=128 batches=1,16,64,128 "
                                    "dtype=fp32 device=cpu isa=avx2 batch=128\n");
    ids_of(matrix, first);
    assert_string_not_equal(first[0], place[0]);
    pg_plan *plan = must_open(matrix, NULL);
    const pg_cell *c = pg_plan_at(plan, 0);
    assert_true(c->any_batch && c->has_delta && c->delta == 175);
    assert_non_null(strstr(c->canonical, "\ndelta=any-batch:175\n"));
    assert_non_null(strstr(c->settings, "\ndelta=any-batch\n"));
    assert_string_equal(pg_cell_value(c, "delta"), "any-batch");
    assert_string_equal(pg_cell_value(c, "locality.on"), "cpu avx2");
    /* both kinds share the pass of the network */
    pg_plan *other = must_open(weights_matrix("n.safetensors", axes), NULL);
    assert_string_equal(pg_plan_at(other, 0)->forward->id, c->forward->id);
    assert_string_equal(pg_plan_at(other, 0)->id, place[0]);
    pg_plan_free(other);
    pg_plan_free(plan);
    /* the value is part of what such a cell is */
    write_measured("n.safetensors", "delta=1 trials=8 outside=8 elsewhere=5 moved=171 images=128 batches=1,16,64,128 "
                                    "dtype=fp32 device=cpu isa=avx2 batch=128\n");
    ids_of(matrix, second);
    assert_string_not_equal(first[0], second[0]);
    /* masked images are another matter, but for a model that computes each image on its own */
    expect_problem(weights_matrix("n.safetensors", "delta = \"any-batch\"\ndefense = \"patchcleanser\"\npatch = 5\n"),
                   "says nothing of the masked images");
    expect_problem(weights_matrix("n.safetensors", "delta = \"any\"\ndefense = \"mean\"\npatch = 5\n"),
                   "is none of place, any-batch");
}

/* ---- Reasons ---- */

static void test_reasons(void **state)
{
    (void)state;
    static const char matrix[] = HEAD "images = \"0:40\"\ndefense = \"ds\"\npatch = 2\nbatch = 8\n";
    scratch_write("r.toml", matrix, strlen(matrix));
    assert_int_equal(program_run("r.db", "plan %s --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "1 new, 0 partial, 0 done, 0 stale, 0 failed"));
    assert_int_equal(access(scratch_path("r.db"), F_OK), -1); /* planning writes nothing */
    assert_int_equal(program_run("r.db", "run %s --quiet", scratch_path("r.toml")), 0);
    assert_int_equal(program_run("r.db", "plan %s --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "0 new, 0 partial, 1 done, 0 stale, 0 failed"));
    assert_int_equal(
        program_run("r.db", "run %s -S null.fail_image=20 -S patch=5 --task-images 8 --quiet", scratch_path("r.toml")), 1);
    assert_int_equal(program_run("r.db", "plan %s -S patch=5 --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "0 new, 0 partial, 0 done, 0 stale, 1 failed"));
    assert_non_null(strstr(program_output, "told to fail at image 20; run tries again"));
    assert_int_equal(program_run("r.db", "run %s -S patch=5 --quiet", scratch_path("r.toml")), 0);
    assert_int_equal(program_run("r.db", "plan %s -S patch=2,5,8 --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "1 new, 0 partial, 2 done, 0 stale, 0 failed"));
}

/* Weights of another content under the same name: stale, and the reason names the hash. */
static void test_stale(void **state)
{
    (void)state;
    pg_store *store = NULL;
    pg_explained e;
    write_weights("w.safetensors", "one");
    char text[2048];
    snprintf(text, sizeof text, "%s",
             weights_matrix("w.safetensors", "defense = \"mean\"\npatch = 5\nimages = \"0:4\"\nbatch = 4\n"));
    pg_plan *plan = must_open(text, NULL);
    assert_int_equal(pg_store_open(scratch_path("stale.db"), PG_STORE_WRITE, &store), PG_OK);
    assert_int_equal(pg_plan_record(plan, store, 4), PG_OK);
    assert_int_equal(pg_store_worker_start(store, &(pg_store_worker_row){.revision = "t", .versions = "", .device = "cpu"}),
                     PG_OK);
    pg_task task;
    bool got = false, counted = false;
    assert_int_equal(pg_store_claim(store, 0, &task, &got), PG_OK);
    assert_true(got);
    pg_outcome outcomes[4] = {{.image = 0}, {.image = 1}, {.image = 2}, {.image = 3}};
    assert_int_equal(
        pg_store_finish(store, &task, task.count, &(pg_attempt){.device = "cpu", .library = ""}, outcomes, NULL, &counted),
        PG_OK);
    pg_task_release(&task);
    assert_int_equal(pg_plan_explain(pg_plan_at(plan, 0), store, &e), PG_OK);
    assert_int_equal(e.reason, PG_REASON_DONE);
    free(e.why);
    pg_plan_free(plan);
    write_weights("w.safetensors", "two");
    plan = must_open(text, NULL);
    assert_int_equal(pg_plan_explain(pg_plan_at(plan, 0), store, &e), PG_OK);
    assert_int_equal(e.reason, PG_REASON_STALE);
    assert_non_null(strstr(e.why, "weights.hash was "));
    assert_null(strstr(e.why, "dataset"));
    free(e.why);
    pg_plan_free(plan);
    write_weights("w.safetensors", "one"); /* back again: the old results count */
    plan = must_open(text, NULL);
    assert_int_equal(pg_plan_explain(pg_plan_at(plan, 0), store, &e), PG_OK);
    assert_int_equal(e.reason, PG_REASON_DONE);
    free(e.why);
    pg_plan_free(plan);
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity), cmocka_unit_test(test_canonical_form), cmocka_unit_test(test_weights_by_content),
        cmocka_unit_test(test_locality), cmocka_unit_test(test_measured_again), cmocka_unit_test(test_any_batch),
        cmocka_unit_test(test_reasons),  cmocka_unit_test(test_stale),
    };
    return cmocka_run_group_tests_name("plan", tests, scratch_make, scratch_remove);
}
