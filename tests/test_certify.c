/* The certify command, as users run it: output formats, every type of file, wraps, and each kind of bad input: one message,
 * exit code 2, nothing on standard output. Runs $PATCHGAUGE (default build/patchgauge). */
#include "harness/base/npy.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { OUTPUT_MAX = 1 << 16 };
static char output[OUTPUT_MAX], errors[OUTPUT_MAX];

static void read_file(const char *name, char *to)
{
    FILE *f = fopen(scratch_path(name), "rb");
    assert_non_null(f);
    to[fread(to, 1, OUTPUT_MAX - 1, f)] = 0;
    fclose(f);
}

/* Runs `patchgauge certify` with these arguments in the scratch folder. Returns the exit code. */
static int certify(const char *arguments)
{
    const char *program = getenv("PATCHGAUGE");
    char command[4096], absolute[2048];
    if (!realpath(program && *program ? program : "build/patchgauge", absolute))
        fail_msg("no program at %s", program ? program : "build/patchgauge");
    snprintf(command, sizeof command, "cd '%s' && '%s' certify %s >out 2>err", scratch_folder, absolute, arguments);
    int status = system(command);
    read_file("out", output);
    read_file("err", errors);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void write_npy(const char *name, pg_npy_dtype dtype, int rank, const int64_t *shape, const void *data)
{
    FILE *f = fopen(scratch_path(name), "wb");
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= (size_t)shape[i];
    assert_int_equal(pg_npy_write_header(f, dtype, rank, shape), PG_OK);
    assert_int_equal(fwrite(data, pg_npy_item_size(dtype), count, f), count);
    fclose(f);
}

/* Three images of 1 x 4 positions and two classes: the example of the definitions, a tie, and a NaN. */
static const float features[24] = {4, 0, 3, 0, 3, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0};
static const int64_t features_shape[4] = {3, 1, 4, 2}, labels_shape[1] = {3};

static int set_up(void **state)
{
    if (scratch_make(state))
        return -1;
    float f[24];
    double d[24];
    memcpy(f, features, sizeof f);
    uint32_t nan_bits = 0x7fc00000;
    memcpy(&f[23], &nan_bits, sizeof nan_bits);
    for (int i = 0; i < 24; i++)
        d[i] = (double)f[i];
    write_npy("f4.npy", PG_NPY_F4, 4, features_shape, f);
    write_npy("f8.npy", PG_NPY_F8, 4, features_shape, d);
    write_npy("i8.npy", PG_NPY_I8, 1, labels_shape, (int64_t[]){0, 1, 0});
    write_npy("i4.npy", PG_NPY_I4, 1, labels_shape, (int32_t[]){0, 1, 0});
    write_npy("i2.npy", PG_NPY_I2, 1, labels_shape, (int16_t[]){0, 1, 0});
    write_npy("i1.npy", PG_NPY_I1, 1, labels_shape, (int8_t[]){0, 1, 0});
    write_npy("u8.npy", PG_NPY_U8, 1, labels_shape, (uint64_t[]){0, 1, 0});
    write_npy("u4.npy", PG_NPY_U4, 1, labels_shape, (uint32_t[]){0, 1, 0});
    write_npy("u2.npy", PG_NPY_U2, 1, labels_shape, (uint16_t[]){0, 1, 0});
    write_npy("u1.npy", PG_NPY_U1, 1, labels_shape, (uint8_t[]){0, 1, 0});
    write_npy("two.npy", PG_NPY_I8, 1, (int64_t[]){2}, (int64_t[]){0, 1});
    write_npy("negative.npy", PG_NPY_I8, 1, labels_shape, (int64_t[]){0, -1, 0});
    write_npy("huge.npy", PG_NPY_U8, 1, labels_shape, (uint64_t[]){0, 1, UINT64_MAX});
    write_npy("third.npy", PG_NPY_I8, 1, labels_shape, (int64_t[]){0, 1, 2});
    write_npy("column.npy", PG_NPY_I8, 2, (int64_t[]){3, 1}, (int64_t[]){0, 1, 0});
    write_npy("flat.npy", PG_NPY_F4, 3, (int64_t[]){3, 4, 2}, f);
    write_npy("none.npy", PG_NPY_F4, 4, (int64_t[]){3, 0, 4, 2}, f);
    write_npy("empty.npy", PG_NPY_F4, 4, (int64_t[]){0, 1, 4, 2}, f);
    write_npy("empty-labels.npy", PG_NPY_I8, 1, (int64_t[]){0}, f);
    scratch_write("text.npy", "not an array", 12);
    return 0;
}

static void csv_is_the_contract(void **state)
{
    (void)state;
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1"), 0);
    assert_string_equal(output, "index,label,prediction,certified,margin,case\n"
                                "0,0,0,1,3.000000000,\n"
                                "1,1,0,0,,\n"
                                "2,0,-1,0,,\n");
    assert_non_null(strstr(errors, "1 images hold a NaN"));
    assert_int_equal(certify("f8.npy u1.npy --defense robust-masking --window 1x1 --set scope=predicted -f csv"), 0);
    assert_string_equal(output, "index,label,prediction,certified,margin,case\n"
                                "0,0,0,0,,4\n"
                                "1,1,0,0,,0\n"
                                "2,0,-1,0,,\n");
    assert_non_null(strstr(errors, "not a proof"));
}

static void json_has_the_same_keys(void **state)
{
    (void)state;
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1 -f json"), 0);
    assert_string_equal(
        output, "[{\"index\": 0, \"label\": 0, \"prediction\": 0, \"certified\": 1, \"margin\": 3.000000000, \"case\": null},\n"
                " {\"index\": 1, \"label\": 1, \"prediction\": 0, \"certified\": 0, \"margin\": null, \"case\": null},\n"
                " {\"index\": 2, \"label\": 0, \"prediction\": -1, \"certified\": 0, \"margin\": null, \"case\": null}]\n");
    assert_int_equal(certify("empty.npy empty-labels.npy --defense mean --window 1x1 -f json"), 0);
    assert_string_equal(output, "[]\n");
    assert_int_equal(certify("empty.npy empty-labels.npy --defense mean --window 1x1"), 0);
    assert_string_equal(output, "index,label,prediction,certified,margin,case\n");
}

/* 9 decimals say which point of the grid it is. */
static void margins_have_nine_decimals(void **state)
{
    (void)state;
    const double u[4] = {0x1p-20, 0, 0, 0};
    write_npy("fine.npy", PG_NPY_F8, 4, (int64_t[]){1, 1, 2, 2}, u);
    write_npy("one.npy", PG_NPY_I1, 1, (int64_t[]){1}, (int8_t[]){0});
    assert_int_equal(certify("fine.npy one.npy --defense clip --window 1x1 --set clip=0:1"), 0);
    assert_non_null(strstr(output, "\n0,0,0,0,-1.000000000,\n"));
    assert_int_equal(certify("fine.npy one.npy --defense clip --window 1x1 --set clip=0:0.000003"), 0);
    assert_non_null(strstr(output, "\n0,0,0,0,-0.000002861,\n")); /* 3 grid units */
    assert_int_equal(certify("fine.npy one.npy --defense clip --window 1x1 --set clip=0.000001:0.000003"), 0);
    assert_non_null(strstr(output, "\n0,0,0,0,-0.000001907,\n"));
}

static void every_type_of_label(void **state)
{
    (void)state;
    static const char *const names[] = {"i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"};
    static char first[OUTPUT_MAX];
    for (int i = 0; i < 16; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "f%d.npy %s.npy --defense ds --window 1x2 --set theta=0.3", i % 2 ? 8 : 4,
                 names[i / 2]);
        assert_int_equal(certify(arguments), 0);
        if (i == 0)
            strcpy(first, output);
        assert_string_equal(output, first);
    }
}

static void wraps_are_named_by_axis(void **state)
{
    (void)state;
    /* the label holds both ends of the ring, which one window covers only if it wraps */
    const float ring[8] = {4, 0, 0, 1, 0, 1, 4, 0};
    write_npy("row.npy", PG_NPY_F4, 4, (int64_t[]){1, 1, 4, 2}, ring);
    write_npy("column4.npy", PG_NPY_F4, 4, (int64_t[]){1, 4, 1, 2}, ring);
    write_npy("one.npy", PG_NPY_I1, 1, (int64_t[]){1}, (int8_t[]){0});
    static const struct {
        const char *file, *window, *wrap;
        bool wraps;
    } cases[] = {
        {"row", "1x2", "", false},           {"row", "1x2", "--wrap", true},       {"row", "1x2", "--wrap=w", true},
        {"row", "1x2", "--wrap=h", false},   {"row", "1x2", "--wrap=hw", true},    {"column4", "2x1", "", false},
        {"column4", "2x1", "--wrap", false}, {"column4", "2x1", "--wrap=h", true}, {"column4", "2x1", "--wrap=hw", true},
        {"column4", "2", "--wrap=wh", true}, {"column4", "2", "--wrap=w", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "%s.npy one.npy --defense robust-masking --window %s %s", cases[i].file,
                 cases[i].window, cases[i].wrap);
        assert_int_equal(certify(arguments), 0);
        assert_non_null(strstr(output, cases[i].wraps ? "0,0,0,0,-2.000000000," : "0,0,0,0,-1.000000000,"));
    }
}

static void locality_is_applied(void **state)
{
    (void)state;
    /* margin 3, three positions outside on either side: delta has to stay below 3 / 6 */
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1 --delta 524287"), 0);
    assert_non_null(strstr(output, "\n0,0,0,1,3.000000000,"));
    assert_null(strstr(errors, "locality"));
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1 --delta 524288"), 0);
    assert_non_null(strstr(output, "\n0,0,0,0,3.000000000,"));
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1"), 0);
    assert_non_null(strstr(errors, "locality not measured"));
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1 --delta 0"), 0);
    assert_null(strstr(errors, "locality"));
    /* votes outside the window may flip, however little the logits change */
    assert_int_equal(certify("f4.npy i8.npy --defense mean --set feature=prediction --window 1x1 --delta 0"), 0);
    assert_non_null(strstr(output, "\n0,0,0,1,"));
    assert_int_equal(certify("f4.npy i8.npy --defense mean --set feature=prediction --window 1x1 --delta 5"), 0);
    assert_non_null(strstr(output, "\n0,0,0,0,"));
}

/* Both ends of the ring hold the label: only the window over both of them, which wraps, turns the prediction. */
static void windows_that_change_a_prediction_are_counted(void **state)
{
    (void)state;
    const float ring[8] = {4, 0, 0, 1, 0, 1, 4, 0};
    write_npy("row.npy", PG_NPY_F4, 4, (int64_t[]){1, 1, 4, 2}, ring);
    write_npy("one.npy", PG_NPY_I1, 1, (int64_t[]){1}, (int8_t[]){0});
    assert_int_equal(certify("row.npy one.npy --defense mean --window 1x2 --masked --wrap"), 0);
    assert_string_equal(output, "index,label,prediction,windows,wrong,changed\n0,0,0,4,1,1\n");
    assert_int_equal(certify("row.npy one.npy --defense mean --window 1x2 --masked"), 0);
    assert_string_equal(output, "index,label,prediction,windows,wrong,changed\n0,0,0,3,0,0\n");
    assert_int_equal(certify("row.npy one.npy --defense mean --window 5 --masked -f json"), 0); /* all: a tie, class 0 */
    assert_string_equal(output, "[{\"index\": 0, \"label\": 0, \"prediction\": 0, \"windows\": 1, \"wrong\": 0, \"changed\": 0}]\n");
    assert_int_equal(certify("f4.npy i8.npy --defense mean --window 1x1 --masked"), 0); /* the second is wrong, the third a NaN */
    assert_string_equal(output, "index,label,prediction,windows,wrong,changed\n0,0,0,4,0,0\n1,1,0,4,4,0\n2,0,-1,4,4,0\n");
    assert_non_null(strstr(errors, "1 images hold a NaN"));
    assert_null(strstr(errors, "locality"));
    assert_int_equal(certify("f8.npy i8.npy --defense mean --window 1x1 --masked"), 0);
    assert_non_null(strstr(output, "0,0,0,4,0,0\n1,1,0,4,4,0\n2,0,-1,4,4,0\n"));
}

static void bad_input_is_one_clear_error(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *text;
    } cases[] = {
        {"f4.npy two.npy --defense mean --window 1x1", "two.npy: rank 1 with 2 entries; 3 features"},
        {"f4.npy column.npy --defense mean --window 1x1", "column.npy: rank 2"},
        {"f4.npy negative.npy --defense mean --window 1x1", "negative.npy: label -1 of image 1 is outside the classes 0 to 1"},
        {"f4.npy third.npy --defense mean --window 1x1", "third.npy: label 2 of image 2"},
        {"f4.npy huge.npy --defense mean --window 1x1", "huge.npy: label 9223372036854775807 of image 2"},
        {"f4.npy f4.npy --defense mean --window 1x1", "labels are integers"},
        {"i8.npy i8.npy --defense mean --window 1x1", "features are float32 or float64"},
        {"flat.npy i8.npy --defense mean --window 1x1", "flat.npy: an array of rank 3"},
        {"none.npy i8.npy --defense mean --window 1x1", "none.npy: 0 positions"},
        {"text.npy i8.npy --defense mean --window 1x1", "text.npy: not a .npy file"},
        {"nowhere.npy i8.npy --defense mean --window 1x1", "nowhere.npy: No such file"},
        {"f4.npy nowhere.npy --defense mean --window 1x1", "nowhere.npy: No such file"},
        {"f4.npy --defense mean --window 1x1", "1 files given"},
        {"f4.npy i8.npy i8.npy --defense mean --window 1x1", "3 files given"},
        {"f4.npy i8.npy --window 1x1", "--defense is missing"},
        {"f4.npy i8.npy --defense mean", "--window is missing"},
        {"f4.npy i8.npy --defense meen --window 1x1", "did you mean 'mean'?"},
        {"f4.npy i8.npy --defense mean --window 0x1", "--window 0x1"},
        {"f4.npy i8.npy --defense mean --window 1x0", "--window 1x0"},
        {"f4.npy i8.npy --defense mean --window 0", "--window 0"},
        {"f4.npy i8.npy --defense mean --window -1x1", "--window -1x1"},
        {"f4.npy i8.npy --defense mean --window 1x1x1", "--window 1x1x1"},
        {"f4.npy i8.npy --defense mean --window 1x1 --wrap=x", "--wrap=x"},
        {"f4.npy i8.npy --defense mean --window 1x1 --delta -1", "--delta -1"},
        {"f4.npy i8.npy --defense mean --window 1x1 --delta 0.5", "--delta 0.5"},
        {"f4.npy i8.npy --defense mean --window 1x1 --masked --delta 0", "--masked makes no certificates"},
        {"f4.npy i8.npy --defense mean --window 1x1 -f xml", "-f xml"},
        {"f4.npy i8.npy --defense mean --window 1x1 --wrapp", "did you mean '--wrap'?"},
        {"f4.npy i8.npy --defense mean --window 1x1 --set fature=logits", "feature"},
        {"f4.npy i8.npy --defense mean --window 1x1 --set feature", "feature"},
        {"f4.npy i8.npy --defense robust-masking --window 1x1 --set threshold=2", "threshold"},
        {"f4.npy i8.npy --defense robust-masking --window 1x1 --set clip=-1:2", "lower bound has to be 0"},
        {"f4.npy i8.npy --defense trimmed-mean --window 1x1 --set trim=2", "trim=2 drops all of the 4 positions"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = certify(cases[i].arguments);
        if (code != 2 || output[0] || !strstr(errors, cases[i].text))
            fail_msg("certify %s: exit code %d, '%s' on standard output, '%s' does not say '%s'", cases[i].arguments, code,
                     output, errors, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_is_the_contract),          cmocka_unit_test(json_has_the_same_keys),
        cmocka_unit_test(margins_have_nine_decimals),   cmocka_unit_test(every_type_of_label),
        cmocka_unit_test(wraps_are_named_by_axis),      cmocka_unit_test(locality_is_applied),
        cmocka_unit_test(windows_that_change_a_prediction_are_counted),
        cmocka_unit_test(bad_input_is_one_clear_error),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_remove);
}
