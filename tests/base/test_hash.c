/* SHA-256 against the published examples (FIPS 180-4). */
#include "harness/base/hash.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void known_digests(void **state)
{
    (void)state;
    char hex[PG_HASH_HEX];
    assert_int_equal(pg_hash_bytes("", 0, hex), PG_OK);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(pg_hash_bytes("abc", 3, hex), PG_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void pieces_hash_like_the_whole(void **state)
{
    (void)state;
    enum { SIZE = 300001 };
    char *bytes = malloc(SIZE), whole[PG_HASH_HEX], pieces[PG_HASH_HEX], file[PG_HASH_HEX];
    pg_hash *hash = NULL;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    assert_int_equal(pg_hash_bytes(bytes, SIZE, whole), PG_OK);
    assert_int_equal(pg_hash_new(&hash), PG_OK);
    for (size_t at = 0, n = 1; at < SIZE; at += n, n = n * 3 % 1009) {
        n = n < SIZE - at ? n : SIZE - at;
        assert_int_equal(pg_hash_add(hash, bytes + at, n), PG_OK);
    }
    assert_int_equal(pg_hash_finish(hash, pieces), PG_OK);
    pg_hash_free(hash);
    assert_string_equal(pieces, whole);
    scratch_write("file", bytes, SIZE);
    assert_int_equal(pg_hash_file(scratch_path("file"), file), PG_OK);
    assert_string_equal(file, whole);
    free(bytes);
    pg_hash_free(NULL);
}

static void missing_files(void **state)
{
    (void)state;
    char hex[PG_HASH_HEX];
    assert_int_equal(pg_hash_file(scratch_path("nothing"), hex), PG_EMISSING);
    assert_non_null(strstr(pg_error_message(), "nothing"));
    assert_int_equal(pg_hash_file(scratch_folder, hex), PG_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_digests), cmocka_unit_test(pieces_hash_like_the_whole),
                                       cmocka_unit_test(missing_files)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
