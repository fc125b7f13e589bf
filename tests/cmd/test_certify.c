/* The certify command, as users run it: output formats, every type of file, wraps, and each kind of bad input: one message,
 * exit code 2, nothing on standard output. Runs $PATCHGAUGE (default build/patchgauge). */
#include "harness/base/npy.h"
#include "tests/support/scratch.h"

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

/* Three images of 1 x 4 positions and two classes: an example as in CERTIFICATES.md, section 13, a tie, and a NaN. */
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

static void a_summary_counts_the_rows(void **state)
{
    (void)state;
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1 --summary"), 0);
    assert_string_equal(output, "metric,value,lo,hi,count,n\n"
                                "clean,33.33333333333333,6.149194472039621,79.23403991979524,1,3\n"
                                "certified,33.33333333333333,6.149194472039621,79.23403991979524,1,3\n");
    /* of image 0 every window leaves class 0, of image 1 a tie, which is class 0; image 2 has no prediction */
    assert_int_equal(certify("f4.npy i8.npy --defense mean --window 1x2 --masked --summary"), 0);
    assert_non_null(strstr(output, "\nclean,33.33333333333333,6.149194472039621,79.23403991979524,1,3\nwrong,66.66666666666666,"
                                   "20.765960080204767,93.85080552796038,2,3\n"));
    assert_non_null(strstr(output, "\nmasked,33.33333333333333,,,3,9\nchanged,0,,,0,9\n"));
    assert_int_equal(certify("f4.npy i8.npy --defense mean --window 1x2 --masked --summary -f json"), 0);
    assert_non_null(strstr(output, "\"metric\": \"masked\""));
}

static void logits_are_rounded_to_coarser_grids(void **state)
{
    (void)state;
    static const float fine[2] = {0.375f, 0.5f};
    write_npy("fine.npy", PG_NPY_F4, 4, (int64_t[]){1, 1, 1, 2}, fine);
    write_npy("fine8.npy", PG_NPY_F8, 4, (int64_t[]){1, 1, 1, 2}, (double[]){0.375, 0.5});
    write_npy("label.npy", PG_NPY_I8, 1, (int64_t[]){1}, (int64_t[]){1});
    static const char *const files[] = {"fine.npy", "fine8.npy"};
    static const struct {
        const char *grid, *row;
    } cases[] = {
        {"", "0,1,1,"}, {"--grid 3", "0,1,1,"}, {"--grid 2", "0,1,0,"} /* 1.5 of a quarter is 2 */, {"--grid 0", "0,1,0,"}};
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char line[128];
            snprintf(line, sizeof line, "%s label.npy --defense mean --window 1x1 %s", files[f], cases[i].grid);
            assert_int_equal(certify(line), 0);
            assert_non_null(strstr(output, cases[i].row));
        }
    assert_int_equal(certify("fine.npy label.npy --defense mean --window 1x1 --grid 21"), 2);
}

static void csv_is_the_contract(void **state)
{
    (void)state;
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1"), 0);
    assert_string_equal(output, "index,label,prediction,certified,margin,case\n"
                                "0,0,0,1,3.000000000,\n"
                                "1,1,0,0,,\n"
                                "2,0,-1,0,,\n");
    assert_non_null(strstr(errors, "1 image with a NaN"));
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
        output,
        "{\"form\": \"certify\", \"version\": 1, \"rows\": [\n"
        "{\"index\": 0, \"label\": 0, \"prediction\": 0, \"certified\": true, \"margin\": 3.000000000, \"case\": null},\n"
        "{\"index\": 1, \"label\": 1, \"prediction\": 0, \"certified\": false, \"margin\": null, \"case\": null},\n"
        "{\"index\": 2, \"label\": 0, \"prediction\": -1, \"certified\": false, \"margin\": null, \"case\": null}\n]}\n");
    assert_int_equal(certify("empty.npy empty-labels.npy --defense mean --window 1x1 -f json"), 0);
    assert_string_equal(output, "{\"form\": \"certify\", \"version\": 1, \"rows\": []}\n");
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
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1 --delta-grid 524287"), 0);
    assert_non_null(strstr(output, "\n0,0,0,1,3.000000000,"));
    assert_null(strstr(errors, "locality"));
    assert_int_equal(certify("f4.npy i8.npy --defense robust-masking --window 1x1 --delta-grid 524288"), 0);
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
    assert_string_equal(output,
                        "{\"form\": \"certify\", \"version\": 1, \"rows\": [\n{\"index\": 0, \"label\": 0, \"prediction\": 0, "
                        "\"windows\": 1, \"wrong\": 0, \"changed\": 0}\n]}\n");
    assert_int_equal(certify("f4.npy i8.npy --defense mean --window 1x1 --masked"),
                     0); /* the second is wrong, the third a NaN */
    assert_string_equal(output, "index,label,prediction,windows,wrong,changed\n0,0,0,4,0,0\n1,1,0,4,4,0\n2,0,-1,4,4,0\n");
    assert_non_null(strstr(errors, "1 image with a NaN"));
    assert_null(strstr(errors, "locality"));
    assert_int_equal(certify("f8.npy i8.npy --defense mean --window 1x1 --masked"), 0);
    assert_non_null(strstr(output, "0,0,0,4,0,0\n1,1,0,4,4,0\n2,0,-1,4,4,0\n"));
}

/* Rounding half to even makes two units of one: image 0, certified for a change of one unit, would be the label's; image 1 is
 * image 0 with every logit outside a window moved by one unit, and what a patch can do inside. */
static void rounding_is_counted_into_delta(void **state)
{
    (void)state;
    enum { N = 12 };
    double u[2][N][2], unit = 0x1p-20;
    for (int i = 0; i < N; i++) {
        u[0][i][0] = 3.5 * unit; /* rounds to 4 */
        u[0][i][1] = 0.5 * unit; /* to 0 */
        u[1][i][0] = u[0][i][0] - unit;
        u[1][i][1] = u[0][i][1] + unit;
    }
    u[1][0][0] = 0;
    u[1][0][1] = 1000;
    write_npy("half.npy", PG_NPY_F8, 4, (int64_t[]){2, 1, N, 2}, u);
    write_npy("zeros.npy", PG_NPY_I1, 1, (int64_t[]){2}, (int8_t[]){0, 0});
    assert_int_equal(certify("half.npy zeros.npy --defense robust-masking --window 1x1 --delta 1"), 0);
    assert_non_null(strstr(output, "\n0,0,0,0,"));
    assert_non_null(strstr(output, "\n1,0,1,0,"));
    assert_int_equal(certify("half.npy zeros.npy --defense robust-masking --window 1x1 --delta-grid 1"), 0);
    assert_non_null(strstr(output, "\n0,0,0,1,"));
    assert_null(strstr(errors, "locality"));
    assert_int_equal(certify("half.npy zeros.npy --defense robust-masking --window 1x1 --delta 0"), 0);
    assert_non_null(strstr(output, "\n0,0,0,1,"));
    assert_int_equal(certify("half.npy zeros.npy --defense robust-masking --window 1x1 --delta 9223372036854775807"), 0);
    assert_non_null(strstr(output, "\n0,0,0,0,"));
}

/* Sums beyond 1024 and below half a unit: numpy predicts 0, 1, 0. */
static void what_the_grid_bends_is_told(void **state)
{
    (void)state;
    const double u[3][2][2] = {{{3000, 1500}, {0, 1400}}, {{0, 0}, {0, 4e-7}}, {{3, 1.5}, {0, 1.4}}};
    write_npy("scale.npy", PG_NPY_F8, 4, (int64_t[]){3, 1, 2, 2}, u);
    write_npy("scale-labels.npy", PG_NPY_I1, 1, (int64_t[]){3}, (int8_t[]){0, 1, 0});
    assert_int_equal(certify("scale.npy scale-labels.npy --defense mean --window 1x1"), 0);
    assert_non_null(strstr(output, "0,0,1,0,,\n1,1,0,0,,\n2,0,0,0,,\n"));
    assert_non_null(strstr(errors, "1 image with values beyond +-1024"));
    assert_non_null(strstr(errors, "2 images predicted otherwise in double"));
    assert_int_equal(certify("scale.npy scale-labels.npy --defense clip --set clip=0:15 --window 1x1"), 0);
    assert_null(strstr(errors, "1024, where"));
    assert_non_null(strstr(errors, "1 image predicted otherwise in double"));
    assert_int_equal(certify("f4.npy i8.npy --defense mean --window 1x1"), 0);
    assert_null(strstr(errors, "double"));
}

/* The same array as float32 in both layouts, as float16, in Fortran order and in an archive gives the same rows. */
static void layouts_are_told_doubted_and_given(void **state)
{
    (void)state;
    enum { IMAGES = 2, SIDE = 5, CLASSES = 4, VALUES = IMAGES * SIDE * SIDE * CLASSES };
    static float nhwc[VALUES], nchw[VALUES];
    static uint16_t half[VALUES];
    static char first[OUTPUT_MAX];
    for (int n = 0, at = 0; n < IMAGES; n++)
        for (int p = 0; p < SIDE * SIDE; p++)
            for (int c = 0; c < CLASSES; c++, at++) {
                int value = (7 * p + 11 * c + 3 * n) % 8 + (c == 2 * n ? 4 : 0); /* 0 to 11 */
                int exponent = 0;
                while (value >> (exponent + 1))
                    exponent++;
                nhwc[at] = nchw[(n * CLASSES + c) * SIDE * SIDE + p] = (float)value;
                half[at] = value ? (uint16_t)((exponent + 15) << 10 | (value << (10 - exponent) & 1023)) : 0;
            }
    write_npy("nhwc.npy", PG_NPY_F4, 4, (int64_t[]){IMAGES, SIDE, SIDE, CLASSES}, nhwc);
    write_npy("nchw.npy", PG_NPY_F4, 4, (int64_t[]){IMAGES, CLASSES, SIDE, SIDE}, nchw);
    write_npy("half.npy", PG_NPY_F2, 4, (int64_t[]){IMAGES, SIDE, SIDE, CLASSES}, half);
    write_npy("l.npy", PG_NPY_I1, 1, (int64_t[]){IMAGES}, (int8_t[]){0, 2});
    write_npy("l3.npy", PG_NPY_I1, 1, (int64_t[]){IMAGES}, (int8_t[]){0, 3});
    assert_int_equal(certify("nhwc.npy l.npy --defense robust-masking --window 2x1"), 0);
    assert_non_null(strstr(output, "\n0,0,0,1,"));
    assert_non_null(strstr(errors, "nhwc.npy: 2 images, 5 x 5 positions, 4 classes, float32; read as nhwc"));
    strcpy(first, output);
    static const char *const same[] = {
        "nchw.npy l.npy --defense robust-masking --window 2x1 --layout nchw",
        "nhwc.npy l.npy --defense robust-masking --window 2x1 --layout nhwc",
        "half.npy l.npy --defense robust-masking --window 2x1",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(certify(same[i]), 0);
        assert_string_equal(output, first);
    }
    assert_int_equal(certify("half.npy l.npy --defense robust-masking --window 2x1"), 0);
    assert_non_null(strstr(errors, "float16"));
    assert_int_equal(certify("nchw.npy l.npy --defense mean --window 1x1"), 2);
    assert_non_null(strstr(
        errors, "[2, 4, 5, 5] looks like [images, classes, rows, columns]: right would be --layout nchw, or --layout nhwc"));
    assert_int_equal(certify("nchw.npy l3.npy --defense mean --window 1x1 --layout nhwc"), 0); /* whoever says so is believed */
    /* a label that only the other layout has */
    write_npy("wide.npy", PG_NPY_F4, 4, (int64_t[]){IMAGES, CLASSES, 1, 3}, nhwc);
    assert_int_equal(certify("wide.npy l3.npy --defense mean --window 1x1"), 2);
    assert_non_null(strstr(errors, "label 3 of image 1 is outside the classes 0 to 2"));
    assert_non_null(strstr(errors, "right would be --layout nchw"));
    assert_int_equal(certify("wide.npy l3.npy --defense mean --window 1x1 --layout nchw"), 0);
    assert_int_equal(certify("wide.npy l3.npy --defense mean --window 1x1 --layout nhwc"), 2);
    assert_null(strstr(errors, "nchw"));
}

static void archives_are_read(void **state)
{
    (void)state;
    char folder[2048], arguments[8192];
    assert_non_null(realpath("tests/reference/npz", folder));
    static const struct {
        const char *options, *text;
        int code;
    } cases[] = {
        {"%1$s/stored.npz %1$s/stored.npz", "2 images, 1 x 3 positions, 2 classes", 0},
        {"%1$s/deflated.npz %1$s/deflated.npz", "2 images", 0},
        {"%1$s/single.npz %1$s/stored.npz", "2 images", 0},
        {"%1$s/single.npz %1$s/stored.npz --features-key anything --labels-key labels", "2 images", 0},
        {"%1$s/stored.npz %1$s/stored.npz --features-key nothing",
         "stored.npz: no array 'nothing'; there are: features, labels, weights", 2},
        {"%1$s/stored.npz %1$s/stored.npz --labels-key weights", "floating point; labels are integers", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = snprintf(arguments, sizeof arguments, cases[i].options, folder);
        snprintf(arguments + n, sizeof arguments - (size_t)n, " --defense mean --window 1x1");
        int code = certify(arguments);
        if (code != cases[i].code || !strstr(errors, cases[i].text))
            fail_msg("%s: exit code %d, '%s'", arguments, code, errors);
    }
}

/* README's example: a patch of 5 on bands 4 wide at stride 1 that wrap round 32 px. */
static void windows_are_worked_out(void **state)
{
    (void)state;
    static float zeros[32 * 2];
    write_npy("bands.npy", PG_NPY_F4, 4, (int64_t[]){1, 1, 32, 2}, zeros);
    write_npy("map.npy", PG_NPY_F4, 4, (int64_t[]){1, 8, 4, 2}, zeros);
    write_npy("one.npy", PG_NPY_I1, 1, (int64_t[]){1}, (int8_t[]){0});
    static const struct {
        const char *arguments, *text;
        int code;
    } cases[] = {
        {"bands.npy one.npy --defense mean --patch 5 --field 32x4 --stride 1 --pixels 32 --wrap",
         "window 1x8 of the 1x32 positions", 0},
        {"bands.npy one.npy --defense mean --patch 5x2 --field 32x4 --stride 1 --pixels 32 --wrap", "window 1x5", 0},
        {"bands.npy one.npy --defense mean --patch 2.4% --field 32x4 --stride 1 --pixels 32x32 --wrap", "window 1x8", 0},
        {"bands.npy one.npy --defense mean --patch 32 --field 32x4 --stride 1 --pixels 32x32 --wrap", "window 1x32", 0},
        {"map.npy one.npy --defense mean --patch 3x5 --field 9x17 --stride 4x8 --pixels 32", "window 3x3 of the 8x4", 0},
        {"map.npy one.npy --defense mean --patch 4x4 --field 1x1 --stride 4x8 --pixels 30 --wrap=hw", "window 2x2", 0},
        {"map.npy one.npy --defense mean --patch 4x4 --field 1x1 --stride 4x8 --pixels 32 --wrap=hw", "window 1x1", 0},
        {"bands.npy one.npy --defense mean --patch 5 --field 32x4 --stride 1 --pixels 32 --window 1x1", "leave one out", 2},
        {"bands.npy one.npy --defense mean --patch 5 --field 32x4 --pixels 32", "--stride is missing", 2},
        {"bands.npy one.npy --defense mean --field 32x4", "--patch is missing", 2},
        {"bands.npy one.npy --defense mean --patch 0 --field 4 --stride 1 --pixels 32", "write pixels (5)", 2},
        {"bands.npy one.npy --defense mean --patch 33 --field 4 --stride 1 --pixels 32", "larger than the image", 2},
        {"bands.npy one.npy --defense mean --patch 5 --field 4 --stride 0 --pixels 32", "--stride 0", 2},
        {"bands.npy one.npy --defense mean --patch 5 --field 32x4 --stride 2 --pixels 32 --wrap", "the map has 32 columns", 2},
        {"map.npy one.npy --defense mean --patch 3 --field 1 --stride 8 --pixels 32",
         "the map has 8 rows; with fields of 1 px at a stride of 8", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = certify(cases[i].arguments);
        if (code != cases[i].code || !strstr(errors, cases[i].text) || (code != PG_OK && output[0]))
            fail_msg("%s: exit code %d, '%s'", cases[i].arguments, code, errors);
    }
}

/* What is no file is refused at once; a file that is cut short while it is read ends in an error. */
static void files_that_are_none(void **state)
{
    (void)state;
    char command[2048];
    snprintf(command, sizeof command, "cd '%s' && rm -f pipe && mkfifo pipe", scratch_folder);
    assert_int_equal(system(command), 0);
    static const char *const names[] = {"pipe", "/dev/zero", "/dev/null", ".", "/dev/stdin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int labels = 0; labels < 2; labels++) {
            char arguments[256];
            snprintf(arguments, sizeof arguments, "%s %s --defense mean --window 1x1 </dev/null", labels ? "f4.npy" : names[i],
                     labels ? names[i] : "i8.npy");
            int code = certify(arguments);
            if (code != 2 || output[0] || !strstr(errors, "not a regular file"))
                fail_msg("%s: exit code %d, '%s'", arguments, code, errors);
        }
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
        {"i8.npy i8.npy --defense mean --window 1x1", "features are float16, float32 or float64"},
        {"flat.npy i8.npy --defense mean --window 1x1", "flat.npy: an array of rank 3"},
        {"none.npy i8.npy --defense mean --window 1x1", "none.npy: 0 positions"},
        {"text.npy i8.npy --defense mean --window 1x1", "text.npy: not a .npy file"},
        {"nowhere.npy i8.npy --defense mean --window 1x1", "nowhere.npy: No such file"},
        {"f4.npy nowhere.npy --defense mean --window 1x1", "nowhere.npy: No such file"},
        {"f4.npy --defense mean --window 1x1", "LABELS is missing"},
        {"f4.npy i8.npy i8.npy --defense mean --window 1x1", "one argument too many, 'i8.npy'"},
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
        {"f4.npy i8.npy --defense mean --window 1x1 --delta-grid -1", "--delta-grid -1"},
        {"f4.npy i8.npy --defense mean --window 1x1 --delta 0 --delta-grid 0", "leave one of them out"},
        {"f4.npy i8.npy --defense mean --window 1x1 --masked --delta-grid 0", "--masked makes no certificates"},
        {"f4.npy i8.npy --defense mean --window 1x1 --layout chwn", "--layout chwn: right would be nhwc or nchw"},
        {"f4.npy i8.npy --defense mean --window 1x1 --features-key features", "f4.npy: no .npz archive"},
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
        cmocka_unit_test(a_summary_counts_the_rows),
        cmocka_unit_test(logits_are_rounded_to_coarser_grids),
        cmocka_unit_test(csv_is_the_contract),
        cmocka_unit_test(json_has_the_same_keys),
        cmocka_unit_test(margins_have_nine_decimals),
        cmocka_unit_test(every_type_of_label),
        cmocka_unit_test(wraps_are_named_by_axis),
        cmocka_unit_test(locality_is_applied),
        cmocka_unit_test(windows_that_change_a_prediction_are_counted),
        cmocka_unit_test(rounding_is_counted_into_delta),
        cmocka_unit_test(what_the_grid_bends_is_told),
        cmocka_unit_test(layouts_are_told_doubted_and_given),
        cmocka_unit_test(archives_are_read),
        cmocka_unit_test(windows_are_worked_out),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(bad_input_is_one_clear_error),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_remove);
}
