/* Networks with more outputs than a data set has labels: which output a label is, and which outputs are predicted. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "tests/support/load_npy.h"
#include "tests/support/program.h"
#include "tests/support/random_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { IMAGES = 40, OUTPUTS = 13, LABELS = 10 };
static const int outputs[OUTPUTS] = {3, 0, 12, 7, 4, 5, 9, 8, 11, 1, /* of the labels; then the others: */ 2, 6, 10};
#define LIST       "3 0 12 7 4 5 9 8 11 1"
#define NULL_MODEL "--weights null -S classes=13 -S height=2 -S width=3 --dataset synthetic:val --images 0:40"

static void run_well(const char *db, const char *format, ...)
{
    char arguments[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    if (program_run(db, "%s", arguments) != 0)
        fail_msg("%s: %s", arguments, program_output);
}

static const float *load(const char *folder, pg_npy *array, int classes)
{
    char path[64];
    snprintf(path, sizeof path, "%s/features.npy", folder);
    assert_int_equal(load_npy(scratch_path(path), array), PG_OK);
    assert_int_equal(array->shape[3], classes);
    return array->data;
}

/* The classes of a cell are the labels in their order, and behind them the other outputs. */
static void features_have_the_outputs_of_the_labels_first(void **state)
{
    (void)state;
    pg_npy same, all, labels;
    run_well(NULL, "features " NULL_MODEL " --outputs '0 1 2 3 4 5 6 7 8 9' -o '%s'", scratch_path("same"));
    run_well(NULL, "features " NULL_MODEL " --outputs '" LIST "' -o '%s'", scratch_path("all"));
    run_well(NULL, "features " NULL_MODEL " --outputs '" LIST "' --predict dataset -o '%s'", scratch_path("labels"));
    const float *s = load("same", &same, OUTPUTS), *a = load("all", &all, OUTPUTS), *l = load("labels", &labels, LABELS);
    for (int i = 0; i < IMAGES * 6; i++)
        for (int c = 0; c < OUTPUTS; c++) {
            assert_true(a[i * OUTPUTS + c] == s[i * OUTPUTS + outputs[c]]);
            assert_true(c >= LABELS || l[i * LABELS + c] == s[i * OUTPUTS + outputs[c]]);
        }
    pg_npy_release(&same);
    pg_npy_release(&all);
    pg_npy_release(&labels);
    char *meta = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("all/meta.json"), 1 << 20, &meta, &size), PG_OK);
    const char *list = strstr(meta, "\"outputs\": [");
    assert_non_null(list);
    for (int c = 0; c < OUTPUTS; c++, list = strchr(list, '\n') + 1)
        assert_int_equal(strtol(c ? list : (list = strchr(list, '\n') + 1), NULL, 10), outputs[c]);
    free(meta);
    assert_int_equal(program_run(NULL, "features " NULL_MODEL " -o '%s'", scratch_path("none")), 2);
    assert_non_null(strstr(program_output, "null has 13 outputs, synthetic:val 10 labels, and the weights store no classes"));
    assert_true(access(scratch_path("none"), F_OK) != 0);
}

static void write_matrix(const char *name, const char *more)
{
    char text[1400];
    snprintf(text, sizeof text,
             "[fixed]\ndataset = \"synthetic:val\"\nweights = \"null\"\nnull.classes = 13\nnull.height = 2\nnull.width = 3\n"
             "defense = \"mean\"\npatch = 4\nimages = \"0:40\"\nseed = 0\n%s",
             more);
    scratch_write(name, text, strlen(text));
}

/* The class with the largest sum of an image's logits. */
static int largest(const float *logits, int classes)
{
    int best = 0;
    double most = -1e30;
    for (int c = 0; c < classes; c++) {
        double sum = 0;
        for (int p = 0; p < 6; p++)
            sum += (double)logits[p * classes + c];
        if (sum > most) {
            most = sum;
            best = c;
        }
    }
    return best;
}

/* Rows of `export --images` of one meaning against the features of before. */
static void check_predictions(const char *predict, const char *folder, int classes)
{
    pg_npy array;
    const float *logits = load(folder, &array, classes);
    run_well("db", "export --images '%s' --only predict=%s -f csv", scratch_path("two.toml"), predict);
    char *line = strchr(program_output, '\n') + 1;
    int beyond = 0;
    for (int i = 0; i < IMAGES; i++, line = strchr(line, '\n') + 1) {
        int image, label, prediction;
        assert_int_equal(sscanf(line, "%*[^,],%d,%d,%d,", &image, &label, &prediction), 3);
        assert_int_equal(image, i);
        assert_in_range(label, 0, LABELS - 1);
        assert_int_equal(prediction, largest(logits + (size_t)i * 6 * (size_t)classes, classes));
        beyond += prediction >= LABELS;
    }
    assert_true(classes == LABELS ? beyond == 0 : beyond > 0);
    pg_npy_release(&array);
}

static void both_meanings_are_cells_of_one_matrix(void **state)
{
    (void)state;
    write_matrix("two.toml", "outputs = \"" LIST "\"\n[axes]\npredict = [\"all\", \"dataset\"]\n");
    run_well("db", "run '%s' --quiet", scratch_path("two.toml"));
    check_predictions("all", "all", OUTPUTS);
    check_predictions("dataset", "labels", LABELS);
    run_well("db", "table '%s'", scratch_path("two.toml"));
    assert_non_null(strstr(program_output, "predict=all"));
    assert_non_null(strstr(program_output, "predict=dataset"));
    run_well("db", "gallery '%s' -o '%s'", scratch_path("two.toml"), scratch_path("page.html"));
    char *page = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("page.html"), 1 << 26, &page, &size), PG_OK);
    assert_non_null(strstr(page, "predicted as output 10"));
    assert_null(strstr(page, "predicted as output 12")); /* that is label 2 */
    assert_non_null(strstr(page, "predicted as glyph-2"));
    free(page);
    run_well("db", "audit '%s' --level feature", scratch_path("two.toml"));
}

/* Submissions name the outputs that were found, and are computed again by these. */
static void submissions_name_outputs(void **state)
{
    (void)state;
    char line[300], *id;
    run_well("db", "plan '%s' --explain", scratch_path("two.toml"));
    for (int i = 0; i < 2; i++) {
        id = strstr(i ? id + 1 : program_output, "done    ");
        assert_non_null(id);
        snprintf(line, sizeof line, "export --submission %.12s -o '%s' --force", id + 8, scratch_path("submission.json"));
        char *rest = strdup(id);
        run_well("db", "%s", line);
        char *text = NULL;
        size_t size = 0;
        assert_int_equal(pg_file_read(scratch_path("submission.json"), 1 << 24, &text, &size), PG_OK);
        assert_non_null(strstr(text, "\"outputs\": \"3,0,12,7,4,5,9,8,11,1\""));
        assert_non_null(strstr(text, i ? "\"predict\": \"dataset\"" : "\"predict\": \"all\""));
        free(text);
        run_well(NULL, "verify '%s' --images 20", scratch_path("submission.json"));
        assert_non_null(strstr(program_output, " agree, 0 near, 0 disagree"));
        snprintf(program_output, sizeof program_output, "%s", rest);
        free(rest);
        id = program_output;
    }
}

/* The same outputs by another way are the same cells; others are not. */
static void what_is_resolved_is_the_identity(void **state)
{
    (void)state;
    char first[4096];
    static const char list[] = "3\n0\n12\n7\n4\n5\n9\n8\n11\n1\n";
    scratch_write("list", list, sizeof list - 1);
    snprintf(first, sizeof first, "plan '%s' -S outputs='%s'", scratch_path("two.toml"), scratch_path("list"));
    run_well("db", "%s", first);
    assert_non_null(strstr(program_output, "2 cells: 0 new, 0 partial, 2 done"));
    run_well("db", "plan '%s' -S outputs='3 0 12 7 4 5 9 8 1 11'", scratch_path("two.toml"));
    assert_non_null(strstr(program_output, "2 cells: 2 new"));
    /* where labels are outputs, the keys change nothing */
    run_well("db", "plan '%s' -S null.classes=10 -S outputs='0 1 2 3 4 5 6 7 8 9' --explain", scratch_path("two.toml"));
    assert_non_null(strstr(program_output, "1 cell: 1 new"));
    char *id = strstr(program_output, "new     "), with[16];
    assert_non_null(id);
    snprintf(with, sizeof with, "%.12s", id + 8);
    write_matrix("plain.toml", "");
    run_well("db", "plan '%s' -S null.classes=10 --explain", scratch_path("plain.toml"));
    assert_non_null(strstr(program_output, with));
}

static void what_cannot_be_resolved_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"", "plain.toml:3: null has 13 outputs, synthetic:val 10 labels, and the weights store no classes; right would be the "
             "output of each label, outputs = \"0 217 ...\" or a file, or an import with --classes FILE"},
        {"-S outputs='0 1'", "-S outputs: 2 outputs are given, synthetic:val has 10 labels"},
        {"-S outputs='0 1 2 3 4 5 6 7 8 13'", "-S outputs: null has the outputs 0 to 12, not 13"},
        {"-S outputs='0 1 2 3 4 5 6 7 8 8'", "-S outputs: the labels 8 and 9 of synthetic:val are both output 8"},
        {"-S outputs=nowhere", "-S outputs: nowhere"},
        {"-S predict=labels -S outputs='" LIST "'", "predict \"labels\" is none of all, dataset"},
        {"-S null.classes=7", "synthetic:val has 10 labels, null only 7 outputs"},
    };
    write_matrix("plain.toml", "");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(program_run("other", "run '%s' %s", scratch_path("plain.toml"), wrong[i][0]), 2);
        if (!strstr(program_output, wrong[i][1]) || !strstr(program_output, "1 problem;"))
            fail_msg("case %zu: %s", i, program_output);
        assert_true(access(scratch_path("other"), F_OK) != 0);
    }
}

/* Memory grows with the classes: a plan says so where it is much. */
static void much_memory_is_told(void **state)
{
    (void)state;
    static const char large[] = "plan '%s' -S null.classes=1000 -S null.height=20 -S null.width=20 -S outputs='" LIST "'";
    write_matrix("plain.toml", "");
    run_well("db", large, scratch_path("plain.toml"));
    assert_non_null(strstr(program_output, "null: local logits of 20 x 20 positions and 1000 classes take up to "));
    assert_non_null(strstr(program_output, "smaller batches than 128 take less"));
    run_well("db", "plan '%s' -S predict=dataset -S null.classes=1000 -S outputs='" LIST "'", scratch_path("plain.toml"));
    assert_null(strstr(program_output, "local logits"));
}

/* Targets are classes of the cell, and those that are no label can be reached. */
static void attacks_aim_at_classes_of_the_cell(void **state)
{
    (void)state;
    run_well(NULL,
             "attack " NULL_MODEL " --outputs '" LIST "' --attack random-search --patch 4 --sheet 0 -S target=12 -S steps=2 -o "
             "'%s'",
             scratch_path("attack"));
    char *meta = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("attack/meta.json"), 1 << 20, &meta, &size), PG_OK);
    assert_non_null(strstr(meta, "\"glyph-9\",\n    \"output 2\",\n    \"output 6\",\n    \"output 10\"\n"));
    free(meta);
    assert_int_equal(program_run(NULL,
                                 "attack " NULL_MODEL " --outputs '" LIST
                                 "' --predict dataset --attack random-search --patch 4 --sheet 0 -S target=12 -o '%s'",
                                 scratch_path("wrong")),
                     2);
    assert_non_null(strstr(program_output, "target 12: the classes are 0 to 9"));
}

/* Files of others name outputs of a network. */
static void targets_of_files_are_outputs(void **state)
{
    (void)state;
    static float pixels[2 * 3 * 4 * 4];
    static const int64_t targets[] = {6, 12};
    const pg_st_tensor tensors[] = {
        {.name = "patches", .dtype = PG_ST_F32, .rank = 4, .shape = {2, 3, 4, 4}, .data = pixels, .size = sizeof pixels},
        {.name = "targets", .dtype = PG_ST_I64, .rank = 1, .shape = {2}, .data = targets, .size = sizeof targets}};
    char more[700];
    assert_int_equal(pg_st_write(scratch_path("given.safetensors"), tensors, 2, NULL, NULL, 0), PG_OK);
    snprintf(more, sizeof more,
             "outputs = \"" LIST "\"\nattack = \"given\"\ngiven.file = \"%s\"\n[axes]\npredict = [\"all\", \"dataset\"]\n"
             "given.which = [0, 1]\n",
             scratch_path("given.safetensors"));
    write_matrix("given.toml", more);
    run_well("given", "run '%s' --quiet", scratch_path("given.toml"));
    /* 6 is the second of the others, 12 is label 2 */
    static const char *const wanted[2][2] = {{",11,1,", ",2,1,"}, {",,1,", ",2,1,"}};
    for (int i = 0; i < 4; i++) {
        run_well("given", "export --images '%s' --only predict=%s --only which=%d -f csv", scratch_path("given.toml"),
                 i / 2 ? "dataset" : "all", i % 2);
        assert_non_null(strstr(program_output, wanted[i / 2][i % 2]));
        assert_true(i != 2 || !strstr(program_output, ",11,1,"));
    }
}

/* A network whose weights name its classes; its cells are found where the file is gone. */
static void classes_of_weights_find_the_labels(void **state)
{
    (void)state;
    static const char names[] = "glyph-1\nglyph-0\nx\nglyph-2\nGLYPH-3\nglyph-9, nine\nglyph-8\nglyph-7\nglyph-6\nglyph-5\n"
                                "glyph-4\ny\nglyph-10\n";
    static const char *const width[] = {"width=4"};
    const pg_torch *t = NULL;
    assert_int_equal(pg_torch_load(1, &t), PG_OK);
    random_net net = random_net_new(t, "resnet18", 32, 32, OUTPUTS, 1, width);
    random_net_save(&net, scratch_path("net"), false);
    random_net_release(&net, t);
    scratch_write("names", names, sizeof names - 1);
    run_well(NULL, "model import resnet18 '%s' --input 32x32 -S mean=0.5 -S std=0.25 --classes '%s' -o '%s'",
             scratch_path("net"), scratch_path("names"), scratch_path("named"));
    run_well(NULL, "model classes '%s' -f csv", scratch_path("named"));
    assert_non_null(strstr(program_output, "class,output,id,name\n0,0,,glyph-1\n"));
    assert_non_null(strstr(program_output, "\n5,5,,\"glyph-9, nine\"\n"));
    run_well(NULL, "model classes '%s' --dataset synthetic:val -f csv", scratch_path("named"));
    assert_non_null(strstr(program_output, "class,output,id,name\n0,1,,glyph-0\n1,0,,glyph-1\n2,3,,glyph-2\n3,4,,GLYPH-3\n"));
    assert_non_null(strstr(program_output, "\n9,5,,\"glyph-9, nine\"\n10,2,,x\n11,11,,y\n12,12,,glyph-10\n"));
    run_well(NULL, "model classes '%s' --dataset synthetic:val --predict dataset --outputs '2 3 4 5 6 7 8 9 10 11' -f csv",
             scratch_path("named"));
    assert_non_null(strstr(program_output, "\n8,10,,glyph-4\n9,11,,y\n"));
    assert_null(strstr(program_output, "\n10,"));
    assert_int_equal(program_run(NULL, "model classes '%s'", scratch_path("net")), 2);
    assert_non_null(strstr(program_output, "stores no names of classes"));
    char text[600];
    snprintf(text, sizeof text,
             "fixed = { dataset = \"synthetic:val\", weights = \"%s\", defense = \"mean\", patch = 4, images = \"0:8\", batch "
             "= 8 }\n"
             "axes = { predict = [\"all\", \"dataset\"] }\n",
             scratch_path("named"));
    scratch_write("named.toml", text, strlen(text));
    run_well("named.db", "run '%s' --quiet", scratch_path("named.toml"));
    run_well("named.db", "plan '%s' -S outputs='1 0 3 4 10 9 8 7 6 5'", scratch_path("named.toml"));
    assert_non_null(strstr(program_output, "2 cells: 0 new, 0 partial, 2 done"));
    run_well("named.db", "gallery '%s' -o '%s'", scratch_path("named.toml"), scratch_path("named.html"));
    char *page = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("named.html"), 1 << 26, &page, &size), PG_OK);
    assert_non_null(strstr(page, "predicted as "));
    assert_null(strstr(page, "predicted as output"));
    free(page);
    run_well("named.db", "table '%s' -f csv --quiet", scratch_path("named.toml"));
    char *before = strdup(program_output);
    assert_int_equal(rename(scratch_path("named"), scratch_path("away")), 0);
    run_well("named.db", "table '%s' -f csv --quiet", scratch_path("named.toml"));
    assert_string_equal(program_output, before);
    free(before);
    /* a name that no class has */
    char other[sizeof names];
    memcpy(other, names, sizeof names);
    other[sizeof "glyph-1\nglyph-0" - 2] = 'O';
    scratch_write("names", other, sizeof other - 1);
    run_well(NULL, "model import resnet18 '%s' --input 32x32 -S mean=0.5 -S std=0.25 --classes '%s' -o '%s'",
             scratch_path("net"), scratch_path("names"), scratch_path("named"));
    assert_int_equal(program_run("named.db", "run '%s'", scratch_path("named.toml")), 2);
    assert_non_null(strstr(program_output, "label 0 of synthetic:val: no class of "));
    assert_non_null(strstr(program_output, "has the name \"glyph-0\"; right would be the output of each label, outputs = "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_have_the_outputs_of_the_labels_first),
        cmocka_unit_test(both_meanings_are_cells_of_one_matrix),
        cmocka_unit_test(submissions_name_outputs),
        cmocka_unit_test(what_is_resolved_is_the_identity),
        cmocka_unit_test(what_cannot_be_resolved_is_refused),
        cmocka_unit_test(much_memory_is_told),
        cmocka_unit_test(attacks_aim_at_classes_of_the_cell),
        cmocka_unit_test(targets_of_files_are_outputs),
        cmocka_unit_test(classes_of_weights_find_the_labels),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
