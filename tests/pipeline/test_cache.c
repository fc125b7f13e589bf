/* The feature cache: what is found, what is not, damage, size, and folders that cannot be written. */
#include "harness/base/file.h"
#include "harness/pipeline/cache.h"
#include "tests/support/scratch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

enum { FLOATS = 1000, MIB = 1 << 20 };
static float values[FLOATS], back[FLOATS];
static const char key_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char key_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static int make(void **state)
{
    for (int i = 0; i < FLOATS; i++)
        values[i] = (float)i * 0.37f - 5;
    return scratch_make(state);
}

static pg_cache *open_cache(const char *name, int64_t bytes)
{
    pg_cache *cache = pg_cache_new(scratch_path(name), bytes);
    assert_non_null(cache);
    assert_true(pg_cache_key(cache, key_a, "cpu", "libtorch 1", 2));
    return cache;
}

static bool has(pg_cache *cache, int64_t first)
{
    memset(back, 0, sizeof back);
    bool found = pg_cache_read(cache, first, 10, back, FLOATS);
    if (found)
        assert_memory_equal(back, values, sizeof values);
    return found;
}

static void test_found_again(void **state)
{
    (void)state;
    pg_cache *cache = open_cache("a", MIB);
    assert_false(has(cache, 0));
    pg_cache_write(cache, 0, 10, values, FLOATS);
    assert_true(has(cache, 0));
    pg_cache_free(cache);
    cache = open_cache("a", MIB);
    assert_true(has(cache, 0));
    pg_cache_free(cache);
}

static void test_only_for_the_same(void **state)
{
    (void)state;
    pg_cache *cache = open_cache("b", MIB);
    pg_cache_write(cache, 0, 10, values, FLOATS);
    assert_false(pg_cache_read(cache, 10, 10, back, FLOATS));
    static const struct {
        const char *forward, *device, *library;
        int threads;
    } others[] = {{key_b, "cpu", "libtorch 1", 2},
                  {key_a, "cuda:0", "libtorch 1", 2},
                  {key_a, "cpu", "libtorch 2", 2},
                  {key_a, "cpu", "libtorch 1", 1}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_true(pg_cache_key(cache, others[i].forward, others[i].device, others[i].library, others[i].threads));
        assert_false(has(cache, 0));
    }
    assert_true(pg_cache_key(cache, key_a, "cpu", "libtorch 1", 2));
    assert_true(has(cache, 0));
    assert_false(pg_cache_read(cache, 0, 10, back, FLOATS - 1)); /* another shape: removed */
    assert_false(has(cache, 0));
    pg_cache_free(cache);
}

/* The first images of a batch are found in an entry of all of it; of all of it none in an entry of the first ones, which stays
 * until the whole is written. */
static void test_any_number_of_a_batch(void **state)
{
    (void)state;
    enum { EACH = FLOATS / 10 };
    pg_cache *cache = open_cache("g", MIB);
    pg_cache_write(cache, 20, 4, values, 4 * EACH);
    for (int round = 0; round < 2; round++) {
        int whole = round == 0 ? 4 : 10;
        for (int count = 1; count <= 10; count++) {
            memset(back, 0, sizeof back);
            bool found = pg_cache_read(cache, 20, count, back, (size_t)count * EACH);
            assert_int_equal(found, count <= whole);
            assert_memory_equal(back, values, found ? (size_t)count * EACH * sizeof *back : 0);
            assert_true(back[count * EACH % FLOATS] == 0 || count == 10); /* and no value more */
        }
        assert_false(pg_cache_read(cache, 21, 3, back, 3 * EACH)); /* another place in the batch */
        pg_cache_write(cache, 20, 10, values, FLOATS);
    }
    assert_int_equal(scratch_count(scratch_path("g/features")), 1);
    pg_cache_free(cache);
}

/* The one entry of a cache. */
static const char *entry_of(const char *name)
{
    static char path[1024];
    char folder[600];
    snprintf(folder, sizeof folder, "%s/features", scratch_path(name));
    DIR *entries = opendir(folder);
    path[0] = 0;
    for (struct dirent *d; entries && (d = readdir(entries));)
        if (d->d_name[0] != '.')
            snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
    if (entries)
        closedir(entries);
    return path;
}

static void test_damaged_entries_are_removed(void **state)
{
    (void)state;
    pg_cache *cache = open_cache("c", MIB);
    pg_cache_write(cache, 0, 10, values, FLOATS);
    char *bytes = NULL, path[1024];
    size_t size = 0;
    snprintf(path, sizeof path, "%s", entry_of("c"));
    assert_int_equal(pg_file_read(path, MIB, &bytes, &size), PG_OK);
    for (size_t at = 0; at < size; at += 41) {
        bytes[at] ^= 4;
        assert_int_equal(pg_file_write(path, bytes, size), PG_OK);
        bytes[at] ^= 4;
        if (has(cache, 0))
            fail_msg("a flipped bit at %zu was not seen", at);
        assert_int_equal(access(path, F_OK), -1);
    }
    for (size_t keep = 0; keep < size; keep += 97) {
        assert_int_equal(pg_file_write(path, bytes, keep), PG_OK);
        assert_false(has(cache, 0));
    }
    assert_int_equal(pg_file_write(path, bytes, size), PG_OK);
    assert_true(has(cache, 0));
    free(bytes);
    pg_cache_free(cache);
}

/* What was used last stays. */
static void test_size_is_kept(void **state)
{
    (void)state;
    enum { ENTRY = FLOATS * 4 + 64 + 200 };
    pg_cache *cache = open_cache("d", 20 * ENTRY);
    for (int i = 0; i < 100; i++) {
        pg_cache_write(cache, i, 10, values, FLOATS);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); /* times of files are coarse */
        assert_true(i < 10 || has(cache, 5));
    }
    assert_true(scratch_count(scratch_path("d/features")) <= 22); /* 200 is about the length of a header */
    assert_true(scratch_count(scratch_path("d/features")) >= 12);
    assert_true(has(cache, 99));
    assert_true(has(cache, 5));
    assert_false(has(cache, 6));
    pg_cache_free(cache);
    cache = open_cache("e", ENTRY); /* one entry would be most of it */
    pg_cache_write(cache, 0, 10, values, FLOATS);
    assert_false(has(cache, 0));
    pg_cache_free(cache);
}

static void test_off(void **state)
{
    (void)state;
    pg_cache *cache = pg_cache_new(scratch_path("f"), 0);
    assert_null(cache);
    assert_false(pg_cache_key(cache, key_a, "cpu", "", 1));
    pg_cache_write(cache, 0, 10, values, FLOATS);
    assert_false(has(cache, 0));
    pg_cache_free(cache);
    cache = pg_cache_new(scratch_path("f"), MIB);
    assert_int_equal(access(scratch_path("f"), F_OK), -1); /* made when there is something to keep */
    pg_cache_free(cache);
}

static void test_a_folder_that_cannot_be_made(void **state)
{
    (void)state;
    scratch_write("file", "x", 1);
    pg_cache *cache = pg_cache_new(scratch_path("file"), MIB);
    assert_false(pg_cache_key(cache, key_a, "cpu", "", 1));
    pg_cache_write(cache, 0, 10, values, FLOATS);
    assert_false(has(cache, 0));
    pg_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_only_for_the_same),
        cmocka_unit_test(test_any_number_of_a_batch),
        cmocka_unit_test(test_damaged_entries_are_removed),
        cmocka_unit_test(test_size_is_kept),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_a_folder_that_cannot_be_made),
    };
    return cmocka_run_group_tests_name("cache", tests, make, scratch_remove);
}
