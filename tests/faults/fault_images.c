/* Images and numbers that are not what they should be: hostile image files among good ones, files damaged after their import,
 * logits that are not finite, and labels that change under their hash. */
#include "harness/base/npy.h"
#include "tests/support/cifar_fixture.h"
#include "tests/faults/faults.h"
#include "tests/support/pets_fixture.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int make(void **state) { return fault_make(state); }

/* Runs the program; its exit code, and the most memory that any run took so far. */
static long peak_mib;
static int call(const char *format, ...)
{
    char arguments[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    int code = program_run("i.db", "%s", arguments);
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    peak_mib = used.ru_maxrss >> 10;
    return code;
}

/* EXIF that says: turned by a quarter. */
static pg_buf turned(void)
{
    static const uint8_t exif[] = {0xff, 0xe1, 0,    34,   'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
                                   0,    1,    0x01, 0x12, 0,   3,   0,   0,   0, 1, 0,   6,   0, 0,  0, 0, 0, 0};
    pg_buf file = fixture_photo(20, 30, true, 0, 3);
    fixture_insert(&file, 2, exif, sizeof exif);
    return file;
}

static pg_buf cut(pg_buf file)
{
    file.size = file.size * 2 / 3;
    return file;
}

static pg_buf text_file(const char *text)
{
    pg_buf file;
    pg_buf_init(&file);
    pg_buf_puts(&file, text);
    return file;
}

/* A PNG whose header promises a little and whose data unpack to a lot more. */
static pg_buf wide_then_patched(void)
{
    pg_buf file = fixture_png_make(&(fixture_png){64, 64, 8, PNG_COLOR_TYPE_RGB, false, -1}, 2);
    file.data[23] = 1; /* height 64 becomes 1, its checksum stays */
    return file;
}

static void test_hostile_images(void **state)
{
    (void)state;
    struct {
        const char *name;
        pg_buf file;
        bool good;
    } kinds[] = {
        {"progressive", fixture_photo(40, 31, true, FIXTURE_PROGRESSIVE, 1), true},
        {"gray", fixture_photo(40, 31, false, 0, 2), true},
        {"EXIF-turned", turned(), true},
        {"palette", fixture_png_make(&(fixture_png){20, 20, 4, PNG_COLOR_TYPE_PALETTE, true, -1}, 3), true},
        {"CMYK", fixture_jpeg(20, 30, 4, "1x1,1x1,1x1,1x1", 0, 1), true},
        {"16-bit", fixture_png_make(&(fixture_png){9, 7, 16, PNG_COLOR_TYPE_RGB, false, -1}, 1), true},
        {"16-bit grayscale", fixture_png_make(&(fixture_png){9, 7, 16, PNG_COLOR_TYPE_GRAY, false, -1}, 1), false},
        {"transparent", fixture_png_make(&(fixture_png){9, 7, 8, PNG_COLOR_TYPE_RGB_ALPHA, false, 3}, 1), true},
        {"cut JPEG", cut(make_file(1)), false},
        {"cut progressive", cut(fixture_photo(40, 31, true, FIXTURE_PROGRESSIVE, 1)), false},
        {"cut PNG", cut(make_file(0)), false},
        {"bomb of 64k x 64k", fixture_png_header(65536, 65536), false},
        {"bomb of 32k x 32k", fixture_png_header(32768, 32768), false},
        {"bomb of 2G x 2G", fixture_png_header(INT32_MAX, INT32_MAX), false},
        {"patched header", wide_then_patched(), false},
        {"empty", text_file(""), false},
        {"text", text_file("<svg onload='alert(1)'/>"), false},
        {"GIF", text_file("GIF89a\1\2\3"), false},
    };
    int refused = 0, taken = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make_source();
        put("source/val/dog's/no 1.JPEG", kinds[i].file);
        int code = call("data import pets %s/source --resize 16 --crop 12 --data %s/d%zu", scratch_folder, scratch_folder, i);
        char data[64];
        snprintf(data, sizeof data, "d%zu/pets", i);
        bool there = access(scratch_path(data), F_OK) == 0;
        if (code != (kinds[i].good ? 0 : 2) || there != kinds[i].good)
            fail_msg("%s: %d: %s", kinds[i].name, code, program_output);
        if (!kinds[i].good && !strstr(program_output, "val/dog's/no 1.JPEG"))
            fail_msg("%s: does not name the file: %s", kinds[i].name, program_output);
        refused += !kinds[i].good;
        taken += kinds[i].good;
    }
    fault_count("%d kinds of images taken, %d hostile ones refused by name and nothing kept; at most %ld MiB of memory", taken,
                refused, peak_mib);
    assert_true(peak_mib < 512);
}

/* Cut short or with a bit flipped after they were imported. */
static void test_damaged_after_import(void **state)
{
    (void)state;
    enum { FLIPS = 60, CUTS = 20 };
    fault_write("pets.toml",
                "[fixed]\ndataset = \"pets:val\"\nweights = \"null\"\n\"null.input_height\" = 12\n\"null.input_width\" = 12\n"
                "\"null.classes\" = 3\nbatch = 4\npatch = 2\ndefense = \"mean\"\n");
    make_source();
    assert_int_equal(call("data import pets %s/source --resize 16 --crop 12 --data %s/data", scratch_folder, scratch_folder),
                     0);
    pg_folder_remove(scratch_path("source")); /* the data set may share its files */
    const char *name = "data/pets/val/dog's/no 1.JPEG";
    if (access(scratch_path(name), R_OK) != 0)
        fail_msg("%s is not there", name);
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 20, &bytes, &size), PG_OK);
    pg_rng rng = pg_rng_make(5, PG_STREAM_TEST, 0);
    int found = 0, stopped = 0;
    for (int i = 0; i < FLIPS + CUTS; i++) {
        size_t at = pg_rng_below(&rng, (uint32_t)size);
        char was = bytes[at];
        bytes[at] = (char)(was ^ (1 << pg_rng_below(&rng, 8)));
        scratch_write(name, bytes, i < FLIPS ? size : at);
        bytes[at] = was;
        int code = call("data verify pets --data %s/data", scratch_folder);
        found += code == 2 && strstr(program_output, "no 1.JPEG");
        remove(scratch_path("i.db"));
        code = call("run %s --data %s/data --quiet", scratch_path("pets.toml"), scratch_folder);
        if (code != 0 && code != 1 && code != 2)
            fail_msg("run ended with %d: %s", code, program_output);
        stopped += code != 0;
    }
    free(bytes);
    fault_count(
        "an imported image, %d bits flipped and %d times cut short: %d found by data verify, %d stopped a run, 0 crashes",
        FLIPS, CUTS, found, stopped);
    assert_int_equal(found, FLIPS + CUTS);
    assert_true(stopped >= CUTS);
}

/* Logits that are not finite: no certificate, no prediction. */
static void test_logits_that_are_not_finite(void **state)
{
    (void)state;
    enum { N = 24, H = 4, W = 4, C = 5, SIZE = H * W * C };
    static const char *const defenses[] = {"mean", "clip", "cbn", "ds", "median", "trimmed-mean", "robust-masking"};
    static float u[N][SIZE];
    int32_t labels[N];
    pg_rng rng = pg_rng_make(9, PG_STREAM_TEST, 0);
    const float odd[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < N; i++) {
        labels[i] = i % C;
        for (int k = 0; k < SIZE; k++)
            u[i][k] = k % C == labels[i] ? 4 : (float)pg_rng_unit(&rng);
        if (i % 2)
            u[i][pg_rng_below(&rng, SIZE)] = odd[i / 2 % 3];
    }
    FILE *f = fopen(scratch_path("u.npy"), "wb"), *l = fopen(scratch_path("l.npy"), "wb");
    assert_int_equal(pg_npy_write_header(f, PG_NPY_F4, 4, (const int64_t[]){N, H, W, C}), PG_OK);
    assert_int_equal(pg_npy_write_header(l, PG_NPY_I4, 1, (const int64_t[]){N}), PG_OK);
    assert_true(fwrite(u, sizeof u, 1, f) == 1 && fwrite(labels, sizeof labels, 1, l) == 1 && fclose(f) == 0 && fclose(l) == 0);
    int images = 0, certified = 0, sound = 0;
    for (size_t d = 0; d < sizeof defenses / sizeof *defenses; d++) {
        if (call("certify %s %s --defense %s --window 1x1 --delta 0 --quiet -f csv 2>/dev/null", scratch_path("u.npy"),
                 scratch_path("l.npy"), defenses[d]) != 0)
            fail_msg("%s: %s", defenses[d], program_output);
        char *header = strstr(program_output, "index,label");
        assert_non_null(header);
        for (char *line = strchr(header, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
            int index, label, prediction, sure;
            assert_int_equal(sscanf(line + 1, "%d,%d,%d,%d", &index, &label, &prediction, &sure), 4);
            images += index % 2;
            certified += index % 2 && (sure || prediction != -1);
            sound += index % 2 == 0 && prediction == label;
        }
    }
    fault_count("%d images with a NaN or an infinity by %zu defenses: %d predicted or certified", images,
                sizeof defenses / sizeof *defenses, certified);
    assert_int_equal(images, N / 2 * (int)(sizeof defenses / sizeof *defenses));
    assert_int_equal(certified, 0);
    assert_int_equal(sound, images); /* the others are right */
}

/* Labels permuted in the data after some of them were stored: the run says so and stores nothing of it. */
static void test_permuted_labels(void **state)
{
    (void)state;
    static const char text[] =
        "[fixed]\ndataset = \"cifar10:test\"\nweights = \"null\"\npatch = 2\nbatch = 5\n[axes]\ndefense = [\"%s\"]\n";
    char matrix[256];
    fixture_write("cifar");
    assert_int_equal(pg_cifar10_import(scratch_path("cdata"), scratch_path("cifar"), FIXTURE_IMAGES), PG_OK);
    snprintf(matrix, sizeof matrix, text, "mean");
    fault_write("labels.toml", matrix);
    assert_int_equal(program_run("l.db", "run %s --data %s/cdata --quiet", scratch_path("labels.toml"), scratch_folder), 0);
    char *before = fault_dump("l.db");
    assert_non_null(before);
    for (int i = 0; i < FIXTURE_IMAGES; i++) /* i + 6 is what it was */
        fixture_poke("cdata/cifar10/test_batch.bin", (long)i * PG_CIFAR10_RECORD, (i + 7) % 10);
    snprintf(matrix, sizeof matrix, text, "ds");
    fault_write("labels.toml", matrix);
    int code = program_run("l.db", "run %s --data %s/cdata --quiet", scratch_path("labels.toml"), scratch_folder);
    if (code == 0 || !strstr(program_output, "label"))
        fail_msg("%d: %s", code, program_output);
    char said[200];
    snprintf(said, sizeof said, "%.199s", program_output);
    int64_t stored = fault_number("l.db", "SELECT count(*) FROM outcome WHERE cell <> 1");
    int verified = program_run("l.db", "data verify cifar10 --data %s/cdata", scratch_folder);
    fault_count(
        "labels permuted in a data set in use: refused with exit code %d, %lld outcomes stored; data verify ends with %d", code,
        (long long)stored, verified);
    print_message("%s\n", said);
    assert_int_equal(stored, 0);
    assert_int_equal(verified, 2);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_images),
        cmocka_unit_test(test_damaged_after_import),
        cmocka_unit_test(test_logits_that_are_not_finite),
        cmocka_unit_test(test_permuted_labels),
    };
    return cmocka_run_group_tests_name("images", tests, make, scratch_remove);
}
