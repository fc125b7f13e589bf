/* Fetching against a server of our own on the loopback interface, which behaves and misbehaves as a test tells it to; and
 * unpacking of archives that hold what they should not. */
#include "tests/support/cifar_fixture.h"
#include "tests/support/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { N_ENTRIES = 9 };

/* A batch of noise that does not compress, labels 0 to 9; each call another one of seven. */
static const char *noise(void)
{
    static char batches[7][FIXTURE_IMAGES * PG_CIFAR10_RECORD];
    static uint32_t x = 1;
    static int next;
    char *batch = batches[next++ % 7];
    for (size_t i = 0; i < sizeof batches[0]; i++) {
        x = x * 1664525u + 1013904223u;
        batch[i] = (char)(i % PG_CIFAR10_RECORD ? x >> 24 : i / PG_CIFAR10_RECORD);
    }
    return batch;
}

/* The layout of the official archive: folder, readme, classes, six batches. */
static void official(entry entries[N_ENTRIES])
{
    static char paths[N_ENTRIES][64];
    const size_t size = (size_t)FIXTURE_IMAGES * PG_CIFAR10_RECORD;
    entries[0] = (entry){"cifar-10-batches-bin/", NULL, 0, 'd'};
    entries[1] = (entry){"cifar-10-batches-bin/readme.html", "<a>", 3, 'f'};
    for (int i = 0; pg_cifar10_files[i]; i++) {
        snprintf(paths[i], sizeof paths[i], "cifar-10-batches-bin/%s", pg_cifar10_files[i]);
        entries[2 + i] =
            i ? (entry){paths[i], noise(), size, 'f'} : (entry){paths[i], fixture_classes, sizeof fixture_classes - 1, 'f'};
    }
}

static blob good_archive(void)
{
    entry entries[N_ENTRIES];
    official(entries);
    return pack(entries, N_ENTRIES);
}

/* ---- fetching */
static void clear_data(void)
{
    if (access(scratch_path("data"), F_OK) == 0)
        nftw(scratch_path("data"), scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int fetch_into(const pg_fetch *fetch) { return pg_cifar10_fetch(scratch_path("data"), fetch, FIXTURE_IMAGES); }

static int64_t part_size(const pg_fetch *fetch)
{
    char name[128];
    struct stat status;
    snprintf(name, sizeof name, "data/.cifar10.%.16s.part", fetch->hash);
    return stat(scratch_path(name), &status) ? -1 : status.st_size;
}

static void expect_fetched(const pg_fetch *fetch)
{
    int code = fetch_into(fetch);
    if (code != PG_OK)
        print_message("%s\n", pg_error_message());
    assert_int_equal(code, PG_OK);
    assert_int_equal(scratch_count(scratch_path("data")), 1 + 8); /* the data, the manifest and nothing else */
}

/* Fails with this code and message; of the data set nothing is there. */
static void expect_failure(const pg_fetch *fetch, int code, const char *message)
{
    int result = fetch_into(fetch);
    if (result != code || !strstr(pg_error_message(), message))
        print_message("%d %s\n", result, pg_error_message());
    assert_int_equal(result, code);
    assert_non_null(strstr(pg_error_message(), message));
    /* a folder that was made for it goes where it is empty */
    assert_int_equal(scratch_count(scratch_path("data")), part_size(fetch) >= 0                     ? 1
                                                          : access(scratch_path("data"), F_OK) == 0 ? 0
                                                                                                    : -1);
}

static void a_download_is_checked_unpacked_and_imported(void **state)
{
    (void)state;
    blob archive = good_archive();
    pg_fetch fetch = offer(&archive, SCRIPT(NORMAL));
    clear_data();
    expect_fetched(&fetch);
    assert_int_equal(server.connections, 1);
    assert_int_equal(server.ranges[0], -1);
    fetch = offer(&archive, SCRIPT(REDIRECT, NORMAL));
    expect_fetched(&fetch); /* over what is there, by way of another address */
    free(archive.data);
}

static void a_broken_connection_is_taken_up_again(void **state)
{
    (void)state;
    blob archive = good_archive();
    pg_fetch fetch = offer(&archive, SCRIPT(CUT, SILENT, CUT, NORMAL));
    long long third = (long long)(archive.size / 3), later = third + (long long)((archive.size - archive.size / 3) / 3);
    clear_data();
    expect_fetched(&fetch);
    /* curl asks once more by itself where a connection breaks before an answer begins: only the bytes count here */
    assert_true(server.connections >= 4);
    assert_int_equal(server.ranges[0], -1);
    assert_int_equal(server.ranges[1], third);
    assert_int_equal(server.ranges[server.connections - 1], later);
    free(archive.data);
}

static void a_later_run_goes_on_where_the_first_stopped(void **state)
{
    (void)state;
    blob archive = good_archive();
    pg_fetch fetch = offer(&archive, SCRIPT(CUT, SILENT));
    clear_data();
    expect_failure(&fetch, PG_EIO, "127.0.0.1");
    assert_int_equal(part_size(&fetch), archive.size / 3);
    assert_true(server.connections < 20); /* it gave up */
    fetch = offer(&archive, SCRIPT(NORMAL));
    expect_fetched(&fetch);
    assert_int_equal(server.connections, 1);
    assert_int_equal(server.ranges[0], (long long)(archive.size / 3));
    free(archive.data);
}

static void servers_without_ranges_start_anew(void **state)
{
    (void)state;
    blob archive = good_archive();
    const behaviour then[] = {NO_RANGE, REFUSE_RANGE};
    for (int i = 0; i < 2; i++) {
        pg_fetch fetch = offer(&archive, SCRIPT(CUT, then[i]));
        clear_data();
        expect_fetched(&fetch);
        assert_int_equal(server.ranges[1], (long long)(archive.size / 3));
        assert_int_equal(server.connections, 2 + i); /* refused: once more without a range */
    }
    free(archive.data);
}

/* Bytes arrive for ever, but never one more than before. */
static void servers_that_lead_nowhere_are_given_up(void **state)
{
    (void)state;
    blob archive = good_archive();
    const behaviour liars[] = {CUT_REFUSE, CUT_ANEW};
    for (int i = 0; i < 2; i++) {
        pg_fetch fetch = offer(&archive, SCRIPT(liars[i]));
        clear_data();
        expect_failure(&fetch, PG_EIO, "given up, since 3 answers brought no new byte; the ");
        assert_non_null(strstr(pg_error_message(), "bytes that arrived are kept for another try"));
        assert_true(server.connections <= 6);
        assert_true(part_size(&fetch) >= (int64_t)archive.size / 4);
        fetch = offer(&archive, SCRIPT(NORMAL));
        expect_fetched(&fetch);
        assert_true(server.ranges[0] >= (long long)archive.size / 4);
    }
    free(archive.data);
}

static void other_contents_are_refused_and_removed(void **state)
{
    (void)state;
    blob archive = good_archive();
    const struct {
        behaviour how;
        int code;
        const char *message;
    } cases[] = {{OTHER_BYTES, PG_EDAMAGED, "has SHA-256"},    {HTML, PG_EDAMAGED, "has 25 bytes"},
                 {CHUNKED_HTML, PG_EDAMAGED, "sent 25 bytes"}, {ENDLESS, PG_EDAMAGED, "more than"},
                 {NOT_FOUND, PG_EMISSING, "answered 404"},     {FAILING, PG_EIO, "answered 503"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pg_fetch fetch = offer(&archive, SCRIPT(cases[i].how));
        clear_data();
        expect_failure(&fetch, cases[i].code, cases[i].message);
        assert_int_equal(part_size(&fetch), -1); /* nothing that a later run would go on with */
    }
    free(archive.data);
}

static void wrong_ranges_are_refused(void **state)
{
    (void)state;
    blob archive = good_archive();
    pg_fetch fetch = offer(&archive, SCRIPT(CUT, WRONG_RANGE));
    clear_data();
    expect_failure(&fetch, PG_EIO, "another range");
    fetch = offer(&archive, SCRIPT(WRONG_RANGE, NORMAL));
    expect_fetched(&fetch);
    clear_data();
    fetch = offer(&archive, SCRIPT(CUT, WRONG_RANGE));
    expect_failure(&fetch, PG_EIO, "another range");
    fetch = offer(&archive, SCRIPT(WRONG_TOTAL));
    expect_failure(&fetch, PG_EDAMAGED, "right would be");
    assert_int_equal(part_size(&fetch), -1);
    free(archive.data);
}

static void a_wrong_hash_or_size_given_is_an_error(void **state)
{
    (void)state;
    blob archive = good_archive();
    pg_fetch fetch = offer(&archive, SCRIPT(NORMAL));
    fetch.hash = "0000000000000000000000000000000000000000000000000000000000000000";
    clear_data();
    expect_failure(&fetch, PG_EDAMAGED, "right would be 0000");
    fetch = offer(&archive, SCRIPT(NORMAL));
    fetch.size++;
    expect_failure(&fetch, PG_EDAMAGED, "right would be");
    fetch = offer(&archive, SCRIPT(NORMAL));
    fetch.url = "file:///etc/hostname";
    expect_failure(&fetch, PG_EINPUT, "https://");
    fetch.url = "http://127.0.0.1:1/nobody-listens";
    expect_failure(&fetch, PG_EIO, "127.0.0.1");
    free(archive.data);
}

static void a_finished_download_is_not_repeated(void **state)
{
    (void)state;
    blob archive = good_archive();
    pg_fetch fetch = offer(&archive, SCRIPT(NOT_FOUND));
    char name[128];
    clear_data();
    mkdir(scratch_path("data"), 0700);
    snprintf(name, sizeof name, "data/.cifar10.%.16s.part", fetch.hash);
    scratch_write(name, archive.data, archive.size);
    expect_fetched(&fetch);
    assert_int_equal(server.connections, 0);
    clear_data();
    mkdir(scratch_path("data"), 0700);
    fetch = offer(&archive, SCRIPT(NORMAL)); /* a part that is too large is no part of it */
    scratch_write(name, noise(), (size_t)FIXTURE_IMAGES * PG_CIFAR10_RECORD);
    assert_int_equal(truncate(scratch_path(name), (off_t)archive.size + 1), 0);
    expect_fetched(&fetch);
    assert_int_equal(server.ranges[0], -1);
    clear_data();
    mkdir(scratch_path("data"), 0700);
    archive.data[7] ^= 1; /* the part is damaged: found at the end, removed, and the next run is clean */
    scratch_write(name, archive.data, archive.size);
    archive.data[7] ^= 1;
    expect_failure(&fetch, PG_EDAMAGED, "has SHA-256");
    fetch = offer(&archive, SCRIPT(NORMAL));
    expect_fetched(&fetch);
    free(archive.data);
}

/* ---- archives with the right hash and the wrong contents */
static void expect_bad_archive(const entry *entries, size_t n, int code, const char *message)
{
    blob archive = pack(entries, n);
    pg_fetch fetch = offer(&archive, SCRIPT(NORMAL));
    clear_data();
    expect_failure(&fetch, code, message);
    assert_int_equal(part_size(&fetch), -1);
    assert_int_not_equal(access(scratch_path("escaped"), F_OK), 0);
    free(archive.data);
}

static void archives_hold_what_they_should(void **state)
{
    (void)state;
    entry entries[N_ENTRIES + 1];
    const size_t size = (size_t)FIXTURE_IMAGES * PG_CIFAR10_RECORD;
    char absolute[600];
    snprintf(absolute, sizeof absolute, "%s", scratch_path("escaped"));
    const entry extra[] = {{"../escaped", "x", 1, 'f'},
                           {"cifar-10-batches-bin/../../escaped", "x", 1, 'f'},
                           {absolute, "x", 1, 'f'},
                           {"cifar-10-batches-bin/evil.sh", "x", 1, 'f'},
                           {"test_batch.bin", noise(), size, 'f'},
                           {"cifar-10-batches-bin/sub/", NULL, 0, 'd'}};
    for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
        official(entries);
        entries[N_ENTRIES] = extra[i];
        expect_bad_archive(entries, N_ENTRIES + 1, PG_EDAMAGED, "does not belong there");
    }
    official(entries);
    entries[N_ENTRIES] = entries[4];
    expect_bad_archive(entries, N_ENTRIES + 1, PG_EDAMAGED, "twice");
    expect_bad_archive(entries, N_ENTRIES - 1, PG_EDAMAGED, "has no 'cifar-10-batches-bin/test_batch.bin'");
    entries[8] = (entry){entries[8].path, "/etc/hostname", 0, 'l'};
    expect_bad_archive(entries, N_ENTRIES, PG_EDAMAGED, "not a regular file");
    entries[8] = (entry){entries[8].path, "cifar-10-batches-bin/data_batch_1.bin", 0, 'h'};
    expect_bad_archive(entries, N_ENTRIES, PG_EDAMAGED, "not a regular file");
    official(entries);
    entries[5].size--;
    expect_bad_archive(entries, N_ENTRIES, PG_EDAMAGED, "has 30729 bytes, right would be 30730");
    char *longer = malloc(size + 1);
    memcpy(longer, noise(), size);
    longer[size] = 0;
    entries[5].data = longer;
    entries[5].size = size + 1;
    expect_bad_archive(entries, N_ENTRIES, PG_EDAMAGED, "more than 30730 bytes");
    longer[0] = 10; /* a label */
    entries[5].size = size;
    expect_bad_archive(entries, N_ENTRIES, PG_EINPUT, "label 10");
    free(longer);
}

static void archives_are_archives(void **state)
{
    (void)state;
    blob archive = good_archive();
    archive.size /= 2; /* cut, with a hash that fits */
    pg_fetch fetch = offer(&archive, SCRIPT(NORMAL));
    clear_data();
    expect_failure(&fetch, PG_EDAMAGED, "sound archive");
    memset(archive.data, 'x', archive.size);
    fetch = offer(&archive, SCRIPT(NORMAL));
    expect_failure(&fetch, PG_EDAMAGED, "sound archive");
    free(archive.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_download_is_checked_unpacked_and_imported),
        cmocka_unit_test(a_broken_connection_is_taken_up_again),
        cmocka_unit_test(a_later_run_goes_on_where_the_first_stopped),
        cmocka_unit_test(servers_without_ranges_start_anew),
        cmocka_unit_test(servers_that_lead_nowhere_are_given_up),
        cmocka_unit_test(other_contents_are_refused_and_removed),
        cmocka_unit_test(wrong_ranges_are_refused),
        cmocka_unit_test(a_wrong_hash_or_size_given_is_an_error),
        cmocka_unit_test(a_finished_download_is_not_repeated),
        cmocka_unit_test(archives_hold_what_they_should),
        cmocka_unit_test(archives_are_archives),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
