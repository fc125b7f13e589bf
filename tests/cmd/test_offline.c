/* Results are shown where weights and data sets are not: from the database and the matrix file, byte for byte as with them. No
 * network runs: what the store holds is made up. */
#include "db/internal.h"
#include "harness/plan/keys.h"
#include "harness/plan/tasks.h"
#include "tests/support/pets_fixture.h"
#include "tests/support/program.h"
#include "tests/support/tidy.h"

static const char matrix[] =
    "[fixed]\ndataset = \"pets:val@32\"\n\"random-search.steps\" = 5\n[axes]\nweights = [\"%s/one."
    "safetensors\", \"%s/two.safetensors\"]\nattack = [\"none\", \"random-search\"]\ndefense = [\"mean\", "
    "\"ds\", \"robust-masking\", \"patchcleanser\"]\npatch = [3, \"9%%\"]\npatch-space = [\"image\", "
    "\"network\"]\n";
/* No resize; several seeds, which are one entry of a table, and one cell without an attack. */
static const char plain[] = "[fixed]\ndataset = \"large:val\"\nweights = \"%s/one.safetensors\"\n[axes]\nattack = [\"none\", "
                            "\"random-search\"]\ndefense = [\"mean\", \"ds\"]\npatch = [%s]\nseed = [0, 1]\n";

static char data_dir[300];

static void write_matrix(const char *name, const char *format, const char *a, const char *b)
{
    char text[2000];
    snprintf(text, sizeof text, format, a, b);
    scratch_write(name, text, strlen(text));
}

static void write_networks(const char *note)
{
    write_weights_for(CLASSES, "ds-resnet18", "width=4", "one.safetensors", note, "3:256:fp32:cpu:128");
    write_weights_for(CLASSES, "resnet18", "width=4", "two.safetensors", "", NULL);
}

/* ---- A run without networks ---- */

static pg_outcome outcome_of(const pg_task *task, size_t cell, int64_t image)
{
    int label = (int)(image / VAL), part = (task->cell_ids[cell][0] + (int)image) % 5;
    bool right = part > 0, certified = part > 2;
    return (pg_outcome){.image = image,
                        .label = label,
                        .prediction = right ? label : (label + 1) % CLASSES,
                        .certified = certified,
                        .has_saturated = true,
                        .has_differs = true,
                        .has_margin = true,
                        .margin = certified ? 100 + part : -3,
                        .failure_case = -1};
}

static void finish(pg_store *store, const pg_task *task, bool attacked)
{
    pg_outcome *outcomes = calloc(task->n_cells * (size_t)task->count, sizeof *outcomes);
    pg_attack_row *attacks = calloc((size_t)task->count, sizeof *attacks);
    bool counted = false;
    for (size_t c = 0; c < task->n_cells; c++)
        for (int64_t i = 0; i < task->count; i++)
            outcomes[(int64_t)c * task->count + i] = outcome_of(task, c, task->first + i);
    for (int64_t i = 0; i < task->count; i++) {
        const pg_outcome *o = &outcomes[i];
        attacks[i] = (pg_attack_row){.image = o->image,
                                     .label = o->label,
                                     .top = (int)o->image % 3,
                                     .left = 1,
                                     .target = -1,
                                     .steps = 1 + o->image,
                                     .before = o->prediction,
                                     .after = o->certified || o->image % 2 ? o->prediction : (o->label + 2) % CLASSES};
    }
    const pg_attempt attempt = {
        .device = "cpu", .library = "libtorch 1.13.1; isa avx2", .threads = 1, .batch = 128, .forward_s = 1};
    assert_int_equal(pg_store_finish(store, task, task->count, &attempt, outcomes, attacked ? attacks : NULL, &counted), PG_OK);
    assert_true(counted);
    free(outcomes);
    free(attacks);
}

/* Every cell of the matrix gets outcomes. */
static void fill(const char *db, const char *name)
{
    pg_plan *plan = NULL;
    pg_store *store = NULL;
    pg_task task;
    bool got = true;
    const pg_plan_request request = {.matrix_path = scratch_path(name), .data_dir = data_dir};
    if (pg_plan_open(&request, &plan) != PG_OK)
        fail_msg("%s", pg_error_message());
    assert_int_equal(pg_store_open(scratch_path(db), PG_STORE_WRITE, &store), PG_OK);
    assert_int_equal(pg_plan_record(plan, store, PG_TASK_IMAGES), PG_OK);
    const pg_store_worker_row worker = {.revision = "test", .versions = "", .device = "cpu", .threads = 1};
    assert_int_equal(pg_store_worker_start(store, &worker), PG_OK);
    while (got) {
        assert_int_equal(pg_store_claim(store, 0, &task, &got), PG_OK);
        if (!got)
            break;
        bool attacked = false;
        for (size_t i = 0; i < pg_plan_forwards(plan); i++)
            if (strcmp(pg_plan_forward(plan, i)->id, task.forward_key) == 0)
                attacked = pg_plan_forward(plan, i)->attack != NULL;
        finish(store, &task, attacked);
        pg_task_release(&task);
    }
    pg_store_close(store);
    pg_plan_free(plan);
}

/* ---- With and without files ---- */

static void move(const char *from, const char *to) { assert_int_equal(rename(scratch_path(from), scratch_path(to)), 0); }

static void hide_data(void) { move("data", "hidden"); }
static void show_data(void) { move("hidden", "data"); }
static void hide(const char *name)
{
    char hidden[100];
    snprintf(hidden, sizeof hidden, "%s.hidden", name);
    move(name, hidden);
}
static void show(const char *name)
{
    char hidden[100];
    snprintf(hidden, sizeof hidden, "%s.hidden", name);
    move(hidden, name);
}

/* Runs a command on a matrix of the scratch folder; its exit code. Only what goes to standard output is kept. */
static int print(const char *db, const char *command, const char *name, const char *options)
{
    return program_run(db, "--data %s %s %s/%s %s 2>%s/said", data_dir, command, scratch_folder, name, options, scratch_folder);
}

static char *said(void)
{
    char *text = NULL;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path("said"), 1 << 20, &text, &size), PG_OK);
    return text;
}

static void expect_said(const char *piece)
{
    char *text = said();
    if (strstr(text, piece) == NULL)
        fail_msg("\"%s\" is not in\n%s", piece, text);
    free(text);
}

/* What every command makes of a matrix goes to FOLDER. */
static void show_all(const char *db, const char *name, const char *const *figures, const char *choice, const char *folder)
{
    static const char *const formats[] = {"text", "csv", "json", "md", "latex"};
    char file[100], options[900], command[64];
    assert_int_equal(mkdir(scratch_path(folder), 0700), 0);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        snprintf(options, sizeof options, "-f %s --metrics clean,attacked,certified,delta,unmeasured,false_positive",
                 formats[i]);
        if (print(db, "table", name, options) != 0)
            fail_msg("%s", said());
        snprintf(file, sizeof file, "%s/table.%s", folder, formats[i]);
        scratch_write(file, program_output, strlen(program_output));
    }
    for (size_t i = 0; figures[i]; i++) {
        snprintf(command, sizeof command, "plot %s", figures[i]);
        snprintf(options, sizeof options, "-o %s/%s %s", scratch_folder, folder, choice);
        if (print(db, command, name, options) != 0)
            fail_msg("%s", said());
    }
    snprintf(options, sizeof options, "--no-figures --sheet 0 -o %s/%s/report.html", scratch_folder, folder);
    if (print(db, "report", name, options) != 0)
        fail_msg("%s", said());
}

static void expect_same(const char *a, const char *b)
{
    char line[1200];
    snprintf(line, sizeof line, "exec 2>&1; diff -r %s/%s %s/%s | head -c 2000; test $(ls %s/%s | wc -l) -gt 18",
             scratch_folder, a, scratch_folder, b, scratch_folder, a);
    assert_int_equal(program_shell(line), 0);
    assert_string_equal(program_output, "");
}

static void test_nothing_is_here(void **state)
{
    (void)state;
    static const char *const figures[] = {"accuracy", "time", "vulnerability", NULL};
    static const char choice[] = "-S defense=ds,robust-masking -S patch-space=image -S patch=3";
    fill("all.db", "m.toml");
    show_all("all.db", "m.toml", figures, choice, "with");
    hide_data();
    hide("one.safetensors");
    hide("two.safetensors");
    show_all("all.db", "m.toml", figures, choice, "without");
    assert_int_equal(print("all.db", "table", "m.toml", ""), 0);
    expect_said("not on this machine, taken from the database: data set pets:val@32, weights ");
    expect_same("with", "without");
    show("two.safetensors"); /* one is here, the others are not */
    show_all("all.db", "m.toml", figures, choice, "mixed");
    expect_same("with", "mixed");
    show_data();
    show_all("all.db", "m.toml", figures, choice, "no-network");
    expect_same("with", "no-network");
    show("one.safetensors");
    assert_int_equal(print("all.db", "table", "m.toml", ""), 0);
    char *text = said();
    assert_null(strstr(text, "not on this machine"));
    free(text);
}

/* Computing asks for files, as do figures of what is in them. */
static void test_what_asks_for_files(void **state)
{
    (void)state;
    hide("one.safetensors");
    static const char *const commands[] = {"run", "plan", "audit"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_int_equal(print("all.db", commands[i], "m.toml", ""), 2);
        expect_said("one.safetensors: No such file or directory");
    }
    char options[900];
    snprintf(options, sizeof options, "-o %s/training -S weights=%s/one.safetensors", scratch_folder, scratch_folder);
    assert_int_equal(print("all.db", "plot training", "m.toml", options), 2);
    expect_said("one.safetensors is not on this machine");
    show("one.safetensors");
}

static void test_rows_without_results(void **state)
{
    (void)state;
    hide("one.safetensors");
    assert_int_equal(print("all.db", "table", "m.toml", "-S attack=none -S patch=3,4 -f csv --metrics clean"), 0);
    expect_said("4 cells of these have no results in the database: shown as new"); /* 4 px of the network's input */
    hide("two.safetensors");
    write_matrix("more.toml", matrix, scratch_folder, "elsewhere");
    assert_int_equal(print("all.db", "table", "more.toml", "-S attack=none -S patch=3 -f csv --metrics clean"), 0);
    expect_said("; nor known to it: weights elsewhere/two.safetensors");
    expect_said("8 cells of these have no results");
    write_matrix("none.toml", matrix, "nowhere", "elsewhere");
    assert_int_equal(print("all.db", "table", "none.toml", ""), 2);
    expect_said("nowhere/one.safetensors: No such file or directory, and the database has no results of these cells; it has "
                "results of /");
    expect_said("/one.safetensors, which -S weights=... shows");
    expect_said("elsewhere/two.safetensors: No such file");
    assert_int_equal(print("all.db", "table", "m.toml", "-S dataset=pest:val"), 2);
    expect_said("unknown data set 'pest': did you mean 'pets'?");
    show("one.safetensors");
    show("two.safetensors");
}

/* Cells of two contents under one name: the file decides, or a hash. */
static void test_several_contents(void **state)
{
    (void)state;
    char *before = NULL, *after = NULL, hashes[2][PG_HASH_HEX], option[200], choice[600];
    static const char table[] = "-f csv --metrics clean,certified -S attack=none";
    pg_weights_info info;
    for (int i = 0; i < 2; i++) {
        write_networks(i ? "trained again" : "");
        assert_int_equal(pg_weights_describe(scratch_path("one.safetensors"), NULL, 0, &info), PG_OK);
        memcpy(hashes[i], info.hash, PG_HASH_HEX);
        fill("two.db", "m.toml");
        assert_int_equal(print("two.db", "table", "m.toml", table), 0);
        *(i ? &after : &before) = strdup(program_output);
    }
    assert_string_not_equal(before, after);
    hide("one.safetensors");
    assert_int_equal(print("two.db", "table", "m.toml", table), 2);
    expect_said("one.safetensors is not here, and the database has results of 2 contents of that name: ");
    for (int i = 0; i < 2; i++) {
        snprintf(option, sizeof option, "%.12s (ds-resnet18, 3 classes, 32 cells, the last of 20", hashes[i]);
        expect_said(option);
    }
    for (int here = 0; here < 2; here++) { /* a file of another hash counts as missing */
        for (int i = 0; i < 2; i++) {
            snprintf(choice, sizeof choice, "%s -S weights=%s/one.safetensors -S weights.hash=%.6s", table, scratch_folder,
                     hashes[i]);
            assert_int_equal(print("two.db", "table", "m.toml", choice), 0);
            for (const char *row = strchr(program_output, '\n'); row && row[1]; row = strchr(row + 1, '\n')) {
                char *numbers = strndup(row + 1, strcspn(row + 1, "\n"));
                assert_non_null(strstr(i ? after : before, strstr(numbers, ",done,"))); /* and the metric */
                free(numbers);
            }
        }
        if (!here)
            show("one.safetensors");
    }
    assert_int_equal(print("two.db", "table", "m.toml", table), 0);
    assert_string_equal(program_output, after);
    assert_int_equal(print("two.db", "table", "m.toml", "-S weights.hash=0000"), 2);
    expect_said("and 0000 is asked for");
    assert_int_equal(print("two.db", "table", "m.toml", "-S weights.hash=xyz"), 2);
    expect_said("4 to 64 of the digits 0 to 9 and a to f");
    free(before);
    free(after);
}

/* What an older database does not know is asked for by the figures that need it alone. */
static void test_a_missing_fact(void **state)
{
    (void)state;
    static const char *const figures[] = {"accuracy", "vulnerability", "success-steps", NULL};
    static const char table[] = "-f text --metrics clean,attacked,certified,delta,unmeasured,false_positive";
    pg_store *store = NULL;
    char line[700];
    write_matrix("plain.toml", plain, scratch_folder, "3");
    write_matrix("share.toml", plain, scratch_folder, "\"0.9%\"");
    fill("plain.db", "plain.toml");
    show_all("plain.db", "plain.toml", figures, "", "plain-with");
    assert_int_equal(print("plain.db", "table", "plain.toml", "-f text -S seed=0,1,2"), 0); /* one that did not run */
    char *seeds = strdup(program_output);
    hide_data();
    hide("one.safetensors");
    show_all("plain.db", "plain.toml", figures, "", "plain-without");
    expect_same("plain-with", "plain-without");
    assert_int_equal(print("plain.db", "table", "plain.toml", "-f text -S seed=0,1,2"), 0);
    assert_string_equal(program_output, seeds);
    free(seeds);
    double height;
    assert_int_equal(print("plain.db", "table", "share.toml", "-f json"), 0);
    assert_true(tidy_find("defense=mean patch=0.9% metric=clean", "patch_height", &height) > 0);
    assert_int_equal(height, 3);
    snprintf(line, sizeof line, "-o %s/figures --rows receptive-field", scratch_folder);
    assert_int_equal(print("plain.db", "plot accuracy", "plain.toml", line), 0);
    assert_int_equal(pg_store_open(scratch_path("plain.db"), PG_STORE_WRITE, &store), PG_OK);
    assert_int_equal(pg_db_execute(store, "UPDATE dataset SET height = NULL, width = NULL", "forgetting"), PG_OK);
    pg_store_close(store);
    assert_int_equal(print("plain.db", "table", "plain.toml", table), 0);
    scratch_write("table.text", program_output, strlen(program_output));
    assert_int_equal(print("plain.db", "plot accuracy", "plain.toml", line), 2);
    expect_said("one.safetensors: it is not on this machine, and the database does not know the size of its images");
    assert_int_equal(print("plain.db", "table", "share.toml", ""), 2);
    expect_said("share.toml:7: patch \"0.9%\": large:val is not here, and the database does not know the size of its images");
    snprintf(line, sizeof line, "-o %s/figures", scratch_folder);
    assert_int_equal(print("plain.db", "plot vulnerability", "plain.toml", line), 2);
    expect_said("the database does not know the size of the images");
    snprintf(line, sizeof line, "cmp %s/table.text %s/plain-with/table.text", scratch_folder, scratch_folder);
    assert_int_equal(program_shell(line), 0);
    show_data();
    assert_int_equal(print("plain.db", "table", "share.toml", "-f csv"), 0); /* either file says it */
    hide_data();
    show("one.safetensors");
    assert_int_equal(print("plain.db", "table", "share.toml", "-f csv"), 0);
    show_data();
}

static int make(void **state)
{
    if (make_pets(state) != 0)
        return -1;
    import_again("large", &(pg_image_fit){32, 32, PG_FILTER_BILINEAR});
    snprintf(data_dir, sizeof data_dir, "%s", scratch_path("data"));
    write_networks("");
    write_matrix("m.toml", matrix, scratch_folder, scratch_folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_here),      cmocka_unit_test(test_what_asks_for_files),
        cmocka_unit_test(test_rows_without_results), cmocka_unit_test(test_several_contents),
        cmocka_unit_test(test_a_missing_fact),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
