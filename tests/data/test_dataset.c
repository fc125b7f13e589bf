/* Data sets: names, splits, ranges, identity, and what happens where files are damaged. */
#include "harness/data/dataset.h"
#include "tests/support/cifar_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

enum { PIXELS = 3 * 32 * 32 };

static int import_fixture(void **state)
{
    if (scratch_make(state))
        return -1;
    fixture_write("source");
    return pg_cifar10_import(scratch_path("data"), scratch_path("source"), FIXTURE_IMAGES);
}

static pg_dataset *open_ok(const char *spec)
{
    pg_dataset *dataset = NULL;
    int code = pg_dataset_open(scratch_path("data"), spec, &dataset);
    if (code != PG_OK)
        print_message("%s\n", pg_error_message());
    assert_int_equal(code, PG_OK);
    return dataset;
}

static void expect_image(const uint8_t *pixels, int32_t label, int file, int image)
{
    assert_int_equal(label, (image + file) % 10);
    for (int k = 0; k < PIXELS; k++)
        assert_int_equal(pixels[k], fixture_pixel(file, image, k));
}

static void splits_hold_their_images(void **state)
{
    (void)state;
    const struct {
        const char *spec;
        int images, first; /* of the 50 training images; test: 50 and on */
    } splits[] = {{"cifar10:train", 50, 0}, {"cifar10:fit", 45, 0}, {"cifar10:val", 5, 45}, {"cifar10:test", 10, 50}};
    uint8_t *pixels = malloc((size_t)50 * PIXELS);
    int32_t labels[50];
    for (size_t s = 0; s < 4; s++) {
        pg_dataset *dataset = open_ok(splits[s].spec);
        const pg_dataset_info *info = pg_dataset_info_of(dataset);
        assert_int_equal(info->images, splits[s].images);
        assert_true(info->height == 32 && info->width == 32 && info->classes == 10);
        assert_string_equal(info->class_names[9], "truck");
        assert_string_equal(info->name, "cifar10");
        assert_int_equal(pg_dataset_read(dataset, 0, info->images, pixels, labels), PG_OK);
        for (int i = 0; i < info->images; i++)
            expect_image(pixels + i * PIXELS, labels[i], 1 + (splits[s].first + i) / 10, (splits[s].first + i) % 10);
        pg_dataset_close(dataset);
    }
    pg_dataset_close(NULL);
    free(pixels);
}

static void parts_can_be_read_alone(void **state)
{
    (void)state;
    pg_dataset *dataset = open_ok("cifar10:train");
    uint8_t pixels[4 * PIXELS];
    int32_t labels[25] = {0};
    assert_int_equal(pg_dataset_read(dataset, 18, 4, pixels, labels), PG_OK); /* over the border of two files */
    for (int i = 0; i < 4; i++)
        expect_image(pixels + i * PIXELS, labels[i], 1 + (18 + i) / 10, (18 + i) % 10);
    assert_int_equal(pg_dataset_read(dataset, 5, 25, NULL, labels), PG_OK);
    assert_int_equal(labels[24], (29 % 10 + 3) % 10);
    assert_int_equal(pg_dataset_read(dataset, 49, 1, pixels, NULL), PG_OK);
    expect_image(pixels, 4, 5, 9);
    assert_int_equal(pg_dataset_read(dataset, 50, 0, NULL, NULL), PG_OK);
    const int64_t outside[][2] = {{-1, 1}, {50, 1}, {49, 2}, {0, 51}, {0, -1}, {INT64_MAX, 1}, {1, INT64_MAX}};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_int_equal(pg_dataset_read(dataset, outside[i][0], outside[i][1], pixels, labels), PG_EINPUT);
    pg_dataset_close(dataset);
}

static void *read_all(void *dataset)
{
    uint8_t pixels[PIXELS];
    int32_t label;
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < 50; i++)
            if (pg_dataset_read(dataset, i, 1, pixels, &label) || pixels[77] != fixture_pixel(1 + i / 10, i % 10, 77))
                return dataset;
    return NULL;
}

static void threads_read_at_once(void **state)
{
    (void)state;
    pg_dataset *dataset = open_ok("cifar10:train");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, dataset), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    pg_dataset_close(dataset);
}

static void expect_error(const char *data, const char *spec, int code, const char *message)
{
    pg_dataset *dataset = NULL;
    int result = pg_dataset_open(data, spec, &dataset);
    if (result != code || !strstr(pg_error_message(), message))
        print_message("%s: %d %s\n", spec, result, pg_error_message());
    assert_int_equal(result, code);
    assert_non_null(strstr(pg_error_message(), message));
    assert_null(dataset);
}

static void wrong_names_are_explained(void **state)
{
    (void)state;
    const char *data = scratch_path("data");
    expect_error(data, "cifar01:test", PG_EINPUT, "did you mean 'cifar10'");
    expect_error(data, "mnist:test", PG_EINPUT, "list datasets");
    expect_error(data, "cifar10:tset", PG_EINPUT, "did you mean 'cifar10:test'");
    expect_error(data, "cifar10:everything", PG_EINPUT, "one of train, test, fit, val");
    expect_error(data, "cifar10", PG_EINPUT, "NAME:SPLIT");
    expect_error(data, "synthetic:", PG_EINPUT, "one of train, val, test");
    expect_error(data, "a name that is longer than any data set's name:test", PG_EINPUT, "NAME:SPLIT");
    expect_error(scratch_path("empty"), "cifar10:test", PG_EMISSING, "data fetch cifar10");
}

static void hash_of(const char *spec, char hash[PG_HASH_HEX])
{
    pg_dataset *dataset = open_ok(spec);
    strcpy(hash, pg_dataset_info_of(dataset)->hash);
    pg_dataset_close(dataset);
}

static void import_again(void)
{
    int code = pg_cifar10_import(scratch_path("data"), scratch_path("source"), FIXTURE_IMAGES);
    assert_int_equal(code, PG_OK);
}

static void identity_is_content(void **state)
{
    (void)state;
    char train[PG_HASH_HEX], fit[PG_HASH_HEX], test[PG_HASH_HEX], again[PG_HASH_HEX];
    hash_of("cifar10:train", train);
    hash_of("cifar10:fit", fit);
    hash_of("cifar10:test", test);
    assert_string_not_equal(train, fit);
    assert_string_not_equal(train, test);
    import_again();
    hash_of("cifar10:train", again);
    assert_string_equal(train, again);
    fixture_write("source"); /* fresh files: imported ones may share theirs */
    unlink(scratch_path("source/data_batch_5.bin"));
    fixture_write("source");
    fixture_poke("source/data_batch_5.bin", 99, 1);
    import_again();
    hash_of("cifar10:train", again);
    assert_string_not_equal(train, again); /* one pixel */
    hash_of("cifar10:test", again);
    assert_string_equal(test, again); /* not in this split */
    fixture_write("source");
    scratch_write("source/" PG_CIFAR10_META, "automobile\nairplane\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n",
                  sizeof fixture_classes - 1);
    import_again();
    hash_of("cifar10:test", again);
    assert_string_not_equal(test, again); /* class order */
    fixture_write("source");
    fixture_poke("source/" PG_CIFAR10_META, 0, 'A');
    import_again();
    hash_of("cifar10:test", again);
    assert_string_not_equal(test, again); /* a name */
    scratch_write("source/" PG_CIFAR10_META, fixture_classes, sizeof fixture_classes - 1);
    fixture_write("source");
    import_again();
    hash_of("cifar10:test", again);
    assert_string_equal(test, again);
}

static void damaged_files_are_found(void **state)
{
    (void)state;
    const char *data = scratch_path("data");
    pg_dataset *dataset = open_ok("cifar10:test");
    int32_t labels[10];
    fixture_poke("data/cifar10/test_batch.bin", 3 * PG_CIFAR10_RECORD, 10);
    assert_int_equal(pg_dataset_read(dataset, 0, 3, NULL, labels), PG_OK);
    assert_int_equal(pg_dataset_read(dataset, 0, 4, NULL, labels), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "image 3 has label 10"));
    fixture_poke("data/cifar10/test_batch.bin", 3 * PG_CIFAR10_RECORD, 9);
    assert_int_equal(truncate(scratch_path("data/cifar10/test_batch.bin"), 5 * PG_CIFAR10_RECORD), 0);
    assert_int_equal(pg_dataset_read(dataset, 0, 10, NULL, labels), PG_EDAMAGED); /* it shrank while open */
    pg_dataset_close(dataset);
    expect_error(data, "cifar10:test", PG_EDAMAGED, "test_batch.bin");
    unlink(scratch_path("data/cifar10/test_batch.bin"));
    expect_error(data, "cifar10:test", PG_EDAMAGED, "test_batch.bin");
    pg_dataset_close(open_ok("cifar10:train")); /* has no part in that file */
    fixture_write("source");
    import_again();
}

static void damaged_manifests_are_found(void **state)
{
    (void)state;
    const char *const name = "data/cifar10/manifest.json";
    const struct {
        const char *from, *to;
    } edits[] = {{"{", "["},
                 {"\"format\": 1", "\"format\": 2"},
                 {"\"name\": \"cifar10\"", "\"name\": \"cifar11\""},
                 {"[3, 32, 32]", "[3, 32, 33]"},
                 {"[3, 32, 32]", "[1, 32, 32]"},
                 {"\"airplane\", ", ""},
                 {"\"bird\"", "\"cat\""},
                 {"\"bird\"", "7"},
                 {"data_batch_2", "data_batch_9"},
                 {"data_batch_2", "../data_ba_2"},
                 {"data_batch_2", "data/batch_2"},
                 {"test_batch.bin", "trial_batch.bin"},
                 {"\"images\": 10", "\"images\": 0"},
                 {"\"images\": 10", "\"images\": \"10\""},
                 {"\"bytes\": 30730", "\"bytes\": 30730.0"},
                 {"\"bytes\": 30730", "\"bytes\": -3073"},
                 {"\"images\": 10", "\"images\": 11"},
                 {"\"sha256\": \"", "\"sha256\": \"G"},
                 {"\"format\": 1,", "\"format\": 1, \"format\": 1,"}};
    char text[8192], damaged[8300];
    FILE *stream = fopen(scratch_path(name), "rb");
    size_t size = fread(text, 1, sizeof text - 1, stream);
    text[size] = 0;
    fclose(stream);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const char *at = strstr(text, edits[i].from);
        assert_non_null(at);
        int n = snprintf(damaged, sizeof damaged, "%.*s%s%s", (int)(at - text), text, edits[i].to, at + strlen(edits[i].from));
        scratch_write(name, damaged, (size_t)n);
        expect_error(scratch_path("data"), "cifar10:train", PG_EDAMAGED, "cifar10");
    }
    scratch_write(name, text, size);
    pg_dataset_close(open_ok("cifar10:train"));
}

static void the_synthetic_set_is_pinned(void **state)
{
    (void)state;
    const struct {
        const char *spec;
        int images;
        const char *hash, *first100;
    } pinned[] = {
        {"synthetic:train", 20000, "eba44d1ce2ddee1ec4dcb168c1f00285b2288b29dd9ba260facb13d0313130ed",
         "9832ac79e4047d69682a155496b05eb7397a6872e4403a3a8624cb253fa3ba42"},
        {"synthetic:val", 2000, "eb3e48ac5f4a32a76ec317e5b8d3cb42d7eb53b94c1b788c16583c429243d7ff",
         "aa6929ce2545586eb72be8d92ad27bb02de987d27221afb250b8162218ce45bd"},
        {"synthetic:test", 2000, "dca5036221c06eb56eb0c8a04a6025636436cc80d2d58d69ff52a6736628008b",
         "464367309d2b291f5194f31d47816a12d5906ca26260faba65109ee35fa04cea"},
    };
    enum { N = 100 };
    uint8_t *pixels = malloc((size_t)N * PIXELS);
    int32_t labels[N];
    for (size_t s = 0; s < 3; s++) {
        pg_dataset *dataset = open_ok(pinned[s].spec);
        pg_hash *hash = NULL;
        char hex[PG_HASH_HEX];
        assert_int_equal(pg_dataset_info_of(dataset)->images, pinned[s].images);
        assert_int_equal(pg_dataset_info_of(dataset)->classes, 10);
        assert_string_equal(pg_dataset_info_of(dataset)->hash, pinned[s].hash);
        assert_int_equal(pg_dataset_read(dataset, 0, N, pixels, labels), PG_OK);
        assert_int_equal(pg_hash_new(&hash), PG_OK);
        assert_int_equal(pg_hash_add(hash, pixels, (size_t)N * PIXELS), PG_OK);
        for (int i = 0; i < N; i++)
            assert_int_equal(pg_hash_add(hash, &(unsigned char){(unsigned char)labels[i]}, 1), PG_OK);
        assert_int_equal(pg_hash_finish(hash, hex), PG_OK);
        pg_hash_free(hash);
        assert_string_equal(hex, pinned[s].first100);
        /* an image does not depend on what was read before it, nor its label on the pixels being asked for */
        uint8_t one[PIXELS];
        int32_t label = -1;
        assert_int_equal(pg_dataset_read(dataset, 57, 1, one, NULL), PG_OK);
        assert_memory_equal(one, pixels + 57 * PIXELS, PIXELS);
        assert_int_equal(pg_dataset_read(dataset, 99, 1, NULL, &label), PG_OK);
        assert_int_equal(label, labels[99]);
        assert_int_equal(pg_dataset_read(dataset, pinned[s].images, 1, one, NULL), PG_EINPUT);
        pg_dataset_close(dataset);
    }
    free(pixels);
}

static void the_synthetic_classes_are_balanced(void **state)
{
    (void)state;
    enum { N = 20000 };
    static int32_t labels[N];
    int counts[10] = {0};
    pg_dataset *dataset = open_ok("synthetic:train");
    assert_int_equal(pg_dataset_read(dataset, 0, N, NULL, labels), PG_OK);
    for (int i = 0; i < N; i++) {
        assert_in_range(labels[i], 0, 9);
        counts[labels[i]]++;
    }
    for (int c = 0; c < 10; c++)
        assert_in_range(counts[c], N / 10 - 200, N / 10 + 200);
    pg_dataset_close(dataset);
}

/* The real data, where they are. */
static void cifar10_is_whole(void **state)
{
    (void)state;
    const char *base = getenv("PATCHGAUGE_TEST_DATA");
    char source[600];
    snprintf(source, sizeof source, "%s/cifar-10-batches-bin", base && *base ? base : "build/data");
    if (access(source, R_OK) != 0)
        skip();
    static int32_t labels[50000];
    assert_int_equal(pg_cifar10_import(scratch_path("real"), source, PG_CIFAR10_IMAGES), PG_OK);
    const char *const specs[] = {"cifar10:train", "cifar10:test", "cifar10:fit", "cifar10:val"};
    const int images[] = {50000, 10000, 45000, 5000};
    for (int s = 0; s < 4; s++) {
        pg_dataset *dataset = NULL;
        int counts[10] = {0};
        assert_int_equal(pg_dataset_open(scratch_path("real"), specs[s], &dataset), PG_OK);
        assert_int_equal(pg_dataset_info_of(dataset)->images, images[s]);
        assert_int_equal(pg_dataset_read(dataset, 0, images[s], NULL, labels), PG_OK);
        for (int i = 0; i < images[s]; i++)
            counts[labels[i]]++;
        for (int c = 0; c < 10 && s < 2; c++)
            assert_int_equal(counts[c], images[s] / 10);
        pg_dataset_close(dataset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_hold_their_images),
        cmocka_unit_test(parts_can_be_read_alone),
        cmocka_unit_test(threads_read_at_once),
        cmocka_unit_test(wrong_names_are_explained),
        cmocka_unit_test(identity_is_content),
        cmocka_unit_test(damaged_files_are_found),
        cmocka_unit_test(damaged_manifests_are_found),
        cmocka_unit_test(the_synthetic_set_is_pinned),
        cmocka_unit_test(the_synthetic_classes_are_balanced),
        cmocka_unit_test(cifar10_is_whole),
    };
    return cmocka_run_group_tests(tests, import_fixture, scratch_remove);
}
