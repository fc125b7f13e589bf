/* Import and verification: bad input is one error and nothing written; what is imported is whole; damage is found. */
#include "harness/data/manifest.h"
#include "tests/support/cifar_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int import(int64_t images) { return pg_cifar10_import(scratch_path("data"), scratch_path("source"), images); }

/* The import fails with this code and message, and there is no DATA folder, not even a temporary one. */
static void expect_refusal(int code, const char *message)
{
    int result = import(FIXTURE_IMAGES);
    if (result != code || !strstr(pg_error_message(), message))
        print_message("%d %s\n", result, pg_error_message());
    assert_int_equal(result, code);
    assert_non_null(strstr(pg_error_message(), message));
    assert_int_not_equal(access(scratch_path("data"), F_OK), 0);
    fixture_write("source");
}

static void bad_input_writes_nothing(void **state)
{
    (void)state;
    expect_refusal(PG_EMISSING, "no such folder");
    fixture_write("source");
    unlink(scratch_path("source/" PG_CIFAR10_META));
    expect_refusal(PG_EMISSING, PG_CIFAR10_META);
    unlink(scratch_path("source/data_batch_4.bin"));
    expect_refusal(PG_EMISSING, "data_batch_4.bin");
    assert_int_equal(truncate(scratch_path("source/data_batch_2.bin"), FIXTURE_IMAGES * PG_CIFAR10_RECORD - 1), 0);
    expect_refusal(PG_EINPUT, "data_batch_2.bin: 30729 bytes, not a whole number of images, right would be 30730");
    assert_int_equal(truncate(scratch_path("source/test_batch.bin"), (FIXTURE_IMAGES - 1) * PG_CIFAR10_RECORD), 0);
    expect_refusal(PG_EINPUT, "test_batch.bin: 27657 bytes, right would be 30730");
    fixture_poke("source/data_batch_5.bin", 7 * PG_CIFAR10_RECORD, 10);
    expect_refusal(PG_EINPUT, "data_batch_5.bin: image 7 has label 10, right would be 0 to 9");
    fixture_poke("source/test_batch.bin", 9 * PG_CIFAR10_RECORD, 255);
    expect_refusal(PG_EINPUT, "image 9 has label 255");
}

static void bad_class_names_write_nothing(void **state)
{
    (void)state;
    const struct {
        const char *text, *message;
    } bad[] = {{"", "fewer than 10"},
               {"a\nb\nc\nd\ne\nf\ng\nh\ni\n", "fewer than 10"},
               {"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n", "more than 10"},
               {"a\nb\nc\nd\ne\nf\ng\nh\ni\na\n", "same name 'a'"},
               {"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\x1b[0m\n", "printable"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scratch_write("source/" PG_CIFAR10_META, bad[i].text, strlen(bad[i].text));
        expect_refusal(PG_EINPUT, bad[i].message);
    }
    char large[5000];
    memset(large, '\n', sizeof large);
    scratch_write("source/" PG_CIFAR10_META, large, sizeof large);
    expect_refusal(PG_EINPUT, "at most 4096");
}

static void an_official_size_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(import(PG_CIFAR10_IMAGES), PG_EINPUT); /* 10 images a file are not CIFAR-10 */
    assert_non_null(strstr(pg_error_message(), "right would be 30730000"));
    assert_int_not_equal(access(scratch_path("data"), F_OK), 0);
}

typedef struct tally {
    int ok, damaged;
    char names[256];
} tally;

static void count(void *context, const char *file, const char *fault)
{
    tally *t = context;
    t->ok += fault == NULL;
    t->damaged += fault != NULL;
    if (fault)
        snprintf(t->names + strlen(t->names), sizeof t->names - strlen(t->names), "%s %s;", file, fault);
}

static tally verify(int code)
{
    pg_manifest manifest;
    tally t = {0};
    assert_int_equal(pg_manifest_read(scratch_path("data/cifar10"), &manifest), PG_OK);
    assert_int_equal(pg_manifest_verify(scratch_path("data/cifar10"), &manifest, count, &t), code);
    pg_manifest_release(&manifest);
    return t;
}

static void an_import_is_whole_and_repeatable(void **state)
{
    (void)state;
    char first[PG_HASH_HEX], second[PG_HASH_HEX];
    assert_int_equal(import(FIXTURE_IMAGES), PG_OK);
    assert_int_equal(scratch_count(scratch_path("data")), 1 + 8); /* the folder, seven files, the manifest; nothing temporary */
    tally t = verify(PG_OK);
    assert_int_equal(t.ok, 7);
    assert_int_equal(pg_hash_file(scratch_path("data/cifar10/manifest.json"), first), PG_OK);
    scratch_write("data/cifar10/leftover", "x", 1);
    assert_int_equal(import(FIXTURE_IMAGES), PG_OK); /* replaces what is there */
    assert_int_equal(scratch_count(scratch_path("data")), 1 + 8);
    assert_int_equal(pg_hash_file(scratch_path("data/cifar10/manifest.json"), second), PG_OK);
    assert_string_equal(first, second);
    unlink(scratch_path("source/data_batch_1.bin"));
    assert_int_equal(import(FIXTURE_IMAGES), PG_EMISSING); /* and keeps it where the new source is bad */
    assert_int_equal(verify(PG_OK).ok, 7);
    fixture_write("source");
}

static void links_are_followed_and_not_kept(void **state)
{
    (void)state;
    struct stat status;
    mkdir(scratch_path("links"), 0700);
    for (int i = 0; pg_cifar10_files[i]; i++) {
        char from[128], to[128];
        snprintf(from, sizeof from, "source/%s", pg_cifar10_files[i]);
        snprintf(to, sizeof to, "links/%s", pg_cifar10_files[i]);
        assert_int_equal(symlink(scratch_path(from), scratch_path(to)), 0);
    }
    assert_int_equal(pg_cifar10_import(scratch_path("data2"), scratch_path("links"), FIXTURE_IMAGES), PG_OK);
    assert_int_equal(lstat(scratch_path("data2/cifar10/test_batch.bin"), &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

/* Where the two folders are on one file system files are linked, else copied: memory is another one on most machines. */
static void files_of_another_file_system_are_copied(void **state)
{
    (void)state;
    char memory[] = "/dev/shm/patchgauge-test-XXXXXX", own[sizeof scratch_folder];
    if (!mkdtemp(memory))
        return;
    memcpy(own, scratch_folder, sizeof own);
    snprintf(scratch_folder, sizeof scratch_folder, "%s", memory);
    fixture_write("source");
    memcpy(scratch_folder, own, sizeof own);
    char source[300];
    snprintf(source, sizeof source, "%s/source", memory);
    int code = pg_cifar10_import(scratch_path("data4"), source, FIXTURE_IMAGES);
    nftw(memory, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(code, PG_OK);
    assert_int_equal(scratch_count(scratch_path("data4")), 1 + 8);
    fixture_write("source");
    assert_int_equal(import(FIXTURE_IMAGES), PG_OK); /* the same contents from here */
    char first[PG_HASH_HEX], second[PG_HASH_HEX];
    assert_int_equal(pg_hash_file(scratch_path("data/cifar10/manifest.json"), first), PG_OK);
    assert_int_equal(pg_hash_file(scratch_path("data4/cifar10/manifest.json"), second), PG_OK);
    assert_string_equal(first, second);
}

static void verify_names_each_damaged_file(void **state)
{
    (void)state;
    fixture_write("source");
    assert_int_equal(import(FIXTURE_IMAGES), PG_OK);
    fixture_poke("data/cifar10/data_batch_3.bin", 1000, 1);
    assert_int_equal(truncate(scratch_path("data/cifar10/test_batch.bin"), 5), 0);
    unlink(scratch_path("data/cifar10/data_batch_1.bin"));
    tally t = verify(PG_EDAMAGED);
    assert_int_equal(t.ok, 4);
    assert_int_equal(t.damaged, 3);
    assert_non_null(strstr(t.names, "data_batch_1.bin missing;"));
    assert_non_null(strstr(t.names, "data_batch_3.bin SHA-256 is "));
    assert_non_null(strstr(t.names, "test_batch.bin 5 bytes, the manifest says 30730;"));
    assert_non_null(strstr(pg_error_message(), "3 of 7 files damaged"));
    pg_manifest manifest;
    assert_int_equal(pg_manifest_read(scratch_path("nowhere"), &manifest), PG_EMISSING);
    pg_manifest_release(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input_writes_nothing),
        cmocka_unit_test(bad_class_names_write_nothing),
        cmocka_unit_test(an_official_size_is_asked_for),
        cmocka_unit_test(an_import_is_whole_and_repeatable),
        cmocka_unit_test(links_are_followed_and_not_kept),
        cmocka_unit_test(verify_names_each_damaged_file),
        cmocka_unit_test(files_of_another_file_system_are_copied),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
