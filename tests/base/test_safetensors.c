/* safetensors: round trips, canonical bytes, and a file for every way to be damaged; half precision. */
#include "harness/base/file.h"
#include "harness/base/safetensors.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>

/* A file of this header and so many bytes of data. */
static void put(const char *header, size_t data)
{
    size_t length = strlen(header);
    unsigned char *file = calloc(1, 8 + length + data);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(file + 8, header, length);
    scratch_write("damaged", file, 8 + length + data);
    free(file);
}

static void expect_damaged(const char *header, size_t data, const char *message)
{
    put(header, data);
    for (int whole = 0; whole < 2; whole++) {
        pg_st_file *file = NULL;
        int code = whole ? pg_st_open(scratch_path("damaged"), &file) : pg_st_open_header(scratch_path("damaged"), &file);
        if (code != PG_EDAMAGED || !strstr(pg_error_message(), message) || !strstr(pg_error_message(), "damaged"))
            print_message("header %s: code %d, message '%s'\n", header, code, code != PG_OK ? pg_error_message() : "");
        assert_int_equal(code, PG_EDAMAGED);
        assert_non_null(strstr(pg_error_message(), message));
        assert_non_null(strstr(pg_error_message(), "damaged")); /* the path */
        assert_null(file);
    }
}

#define F32_4(name, from, to) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[" #from "," #to "]}"

static void sound_files_of_others_are_read(void **state)
{
    (void)state;
    pg_st_file *file = NULL;
    /* another order than the data's, padding, an empty tensor, a scalar, metadata between */
    put("{" F32_4("b", 16, 32) ",\"__metadata__\":{\"k\":\"v\"},\"e\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[16,"
                               "16]}," F32_4("a", 0,
                                             16) ",\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[32,40]}}    ",
        40);
    assert_int_equal(pg_st_open(scratch_path("damaged"), &file), PG_OK);
    assert_int_equal(pg_st_count(file), 4);
    const char *const order[] = {"a", "e", "b", "s"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(pg_st_at(file, i)->name, order[i]);
    assert_string_equal(pg_st_metadata(file, "k"), "v");
    assert_null(pg_st_metadata(file, "x"));
    assert_null(pg_st_find(file, "x"));
    assert_int_equal(pg_st_find(file, "s")->rank, 0);
    assert_int_equal(pg_st_find(file, "s")->size, 8);
    pg_st_close(file);
    pg_st_close(NULL);
    put("{}", 0);
    assert_int_equal(pg_st_open(scratch_path("damaged"), &file), PG_OK);
    assert_int_equal(pg_st_count(file), 0);
    pg_st_close(file);
}

static void damaged_headers(void **state)
{
    (void)state;
    expect_damaged("", 0, "does not start");
    expect_damaged("[1, 2]  ", 0, "does not start");
    expect_damaged(" {}", 0, "does not start");
    expect_damaged("{", 0, "not valid JSON");
    expect_damaged("{} {}", 0, "not valid JSON");
    expect_damaged("{\"a\":1,}", 0, "not valid JSON");
    expect_damaged("{" F32_4("a", 0, 16) "," F32_4("a", 16, 32) "}", 32, "duplicate");
    expect_damaged("{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
                   "not valid JSON"); /* not UTF-8 */
    expect_damaged("{\"__metadata__\":[]}", 0, "__metadata__");
    expect_damaged("{\"__metadata__\":{\"k\":1}}", 0, "__metadata__");
    expect_damaged("{\"a\":{}}", 0, "exactly dtype, shape and data_offsets");
    expect_damaged("{\"a\":{\"type\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "exactly");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"form\":[4],\"data_offsets\":[0,16]}}", 16, "exactly");
    expect_damaged("{\"a\":7}", 0, "exactly dtype, shape and data_offsets");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"x\":1}}", 16, "exactly");
    expect_damaged("{" F32_4("", 0, 16) "}", 16, "empty");
    expect_damaged("{" F32_4("a\\u0007", 0, 16) "}", 16, "not printable");
}

static void damaged_tensors(void **state)
{
    (void)state;
    expect_damaged("{\"a\":{\"dtype\":\"F31\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "dtype 'F31'");
    expect_damaged("{\"a\":{\"dtype\":4,\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "dtype (no string)");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]}}", 16, "shape");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", 16, "shape");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]}}", 16, "shape");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,16]}}", 16, "at most 8");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,16]}}", 16,
                   "larger than any file");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
                   "larger than any file");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}", 16, "pair");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":\"0,16\"}}", 16, "pair");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[\"0\",16]}}", 16, "pair");
    expect_damaged("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,16]}}", 16, "pair");
    expect_damaged("{" F32_4("a", -16, 0) "}", 16, "outside");
    expect_damaged("{" F32_4("a", 16, 0) "}", 16, "outside");
    expect_damaged("{" F32_4("a", 0, 16) "}", 15, "outside");       /* truncated */
    expect_damaged("{" F32_4("a", 0, 12) "}", 12, "span 12 bytes"); /* wrong size */
    expect_damaged("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}," F32_4("b", 2, 18) "}", 18, "misaligned");
    expect_damaged("{" F32_4("a", 0, 16) "," F32_4("b", 8, 24) "}", 24, "overlaps");
    expect_damaged("{" F32_4("a", 0, 16) "," F32_4("b", 0, 16) "}", 16, "overlaps");
    expect_damaged("{" F32_4("a", 0, 16) "," F32_4("b", 20, 36) "}", 36, "4 bytes before");
    expect_damaged("{" F32_4("a", 4, 20) "}", 20, "4 bytes before");
    expect_damaged("{" F32_4("a", 0, 16) "}", 17, "1 bytes behind");
    expect_damaged("{}", 1, "1 bytes behind");
}

static void damaged_lengths(void **state)
{
    (void)state;
    pg_st_file *file = NULL;
    const unsigned char huge[10] = {1, 0, 0, 1, 0, 0, 0, 0, '{', '}'}, beyond[10] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'},
                        enormous[10] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
    scratch_write("length", huge, sizeof huge);
    assert_int_equal(pg_st_open(scratch_path("length"), &file), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "at most 16777216"));
    scratch_write("length", enormous, sizeof enormous);
    assert_int_equal(pg_st_open_header(scratch_path("length"), &file), PG_EDAMAGED);
    scratch_write("length", beyond, sizeof beyond);
    assert_int_equal(pg_st_open(scratch_path("length"), &file), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "has 10 in all"));
    for (size_t size = 0; size < 8; size++) {
        scratch_write("length", beyond, size);
        assert_int_equal(pg_st_open(scratch_path("length"), &file), PG_EDAMAGED);
    }
    assert_int_equal(pg_st_open(scratch_path("nothing"), &file), PG_EMISSING);
    assert_int_equal(pg_st_open(scratch_folder, &file), PG_EINPUT);
    assert_null(file);
}

static const float weights[6] = {1, -2.5f, 0, 3e-8f, 65504, -0.0f};
static const uint16_t halves[3] = {0x3c00, 0x0001, 0xfc00};
static const double doubles[2] = {0.1, -1e300};
static const pg_st_tensor tensors[] = {
    {.name = "odd", .dtype = PG_ST_F16, .rank = 1, .shape = {3}, .data = halves, .size = 6},
    {.name = "w", .dtype = PG_ST_F32, .rank = 2, .shape = {2, 3}, .data = weights, .size = 24},
    {.name = "d \"quoted\" \\ ü", .dtype = PG_ST_F64, .rank = 1, .shape = {2}, .data = doubles, .size = 16},
    {.name = "none", .dtype = PG_ST_I64, .rank = 2, .shape = {0, 5}, .data = NULL, .size = 0},
};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static void what_is_written_is_read(void **state)
{
    (void)state;
    const char *const keys[] = {"z", "a", "text"}, *const values[] = {"last", "first", "two\nlines\t\"quoted\" \\ \x01 é"};
    pg_st_file *file = NULL, *header = NULL;
    assert_int_equal(pg_st_write(scratch_path("w"), tensors, N_TENSORS, keys, values, 3), PG_OK);
    assert_int_equal(pg_st_open(scratch_path("w"), &file), PG_OK);
    assert_int_equal(pg_st_open_header(scratch_path("w"), &header), PG_OK);
    assert_int_equal(pg_st_count(file), N_TENSORS);
    for (size_t i = 0; i < N_TENSORS; i++) {
        const pg_st_tensor *t = pg_st_find(file, tensors[i].name), *h = pg_st_find(header, tensors[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->rank, tensors[i].rank);
        assert_memory_equal(t->shape, tensors[i].shape, sizeof t->shape);
        assert_int_equal(t->size, tensors[i].size);
        assert_int_equal((uintptr_t)t->data % pg_st_item_size(t->dtype), 0);
        if (t->size)
            assert_memory_equal(t->data, tensors[i].data, t->size);
        assert_non_null(h);
        assert_null(h->data);
        assert_int_equal(h->size, t->size);
    }
    for (int i = 0; i < 3; i++)
        assert_string_equal(pg_st_metadata(file, keys[i]), values[i]);
    char hash[PG_HASH_HEX];
    assert_int_equal(pg_hash_file(scratch_path("w"), hash), PG_OK);
    assert_string_equal(pg_st_hash(file), hash);
    assert_string_equal(pg_st_hash(header), hash);
    pg_st_close(file);
    pg_st_close(header);
}

static void the_same_contents_give_the_same_bytes(void **state)
{
    (void)state;
    const char *const keys[] = {"b", "a"}, *const values[] = {"2", "1"}, *const sorted_keys[] = {"a", "b"},
                      *const sorted_values[] = {"1", "2"};
    char one[PG_HASH_HEX], two[PG_HASH_HEX];
    assert_int_equal(pg_st_write(scratch_path("one"), tensors, N_TENSORS, keys, values, 2), PG_OK);
    assert_int_equal(pg_st_write(scratch_path("two"), tensors, N_TENSORS, sorted_keys, sorted_values, 2), PG_OK);
    assert_int_equal(pg_hash_file(scratch_path("one"), one), PG_OK);
    assert_int_equal(pg_hash_file(scratch_path("two"), two), PG_OK);
    assert_string_equal(one, two);
    /* pinned: header text of the canonical form */
    FILE *stream = fopen(scratch_path("one"), "rb");
    char text[1024];
    size_t n = fread(text, 1, sizeof text - 1, stream);
    fclose(stream);
    text[n] = 0;
    char checksum[PG_HASH_HEX], expected[1024], blank[1024], *digits = strstr(text + 8, "sha256\":\"") + strlen("sha256\":\"");
    memcpy(blank, text, n);
    memset(blank + (digits - text), '0', PG_HASH_HEX - 1);
    assert_int_equal(pg_hash_bytes(blank, n, checksum), PG_OK); /* of the whole file, without the digits */
    snprintf(expected, sizeof expected,
             "{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\","
             "\"file_sha256\":\"%s\"},\"d \\\"quoted\\\" \\\\ ü\":{\"dtype\":\"F64\",\"shape\":[2],"
             "\"data_offsets\":[0,16]},\"none\":{\"dtype\":\"I64\",\"shape\":[0,5],\"data_offsets\":[16,16]},"
             "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[16,40]},"
             "\"odd\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[40,46]}}",
             checksum);
    assert_memory_equal(text + 8, expected, strlen(expected));
    assert_int_equal((n - 46) % 8, 0);
    /* one bit of a tensor */
    text[n - 7] ^= 1;
    assert_int_equal(pg_file_write(scratch_path("bad"), text, n), PG_OK);
    pg_st_file *file = NULL;
    assert_int_equal(pg_st_open(scratch_path("bad"), &file), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "checksum"));
    assert_int_equal(pg_st_open_header(scratch_path("bad"), &file), PG_EDAMAGED);
    /* one of the metadata, and one in the key of the checksum: it has none then */
    text[n - 7] ^= 1;
    char *value = strstr(text + 8, "\"a\":\"1\"");
    assert_non_null(value);
    value[5] = '7';
    assert_int_equal(pg_file_write(scratch_path("bad"), text, n), PG_OK);
    assert_int_equal(pg_st_open(scratch_path("bad"), &file), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "checksum"));
    digits[-4] ^= 1;
    assert_int_equal(pg_file_write(scratch_path("bad"), text, n), PG_OK);
    assert_int_equal(pg_st_open(scratch_path("bad"), &file), PG_OK);
    assert_false(pg_st_checked(file));
    pg_st_close(file);
}

/* Files of before have a checksum of their tensors only. */
static void the_older_checksum_is_read(void **state)
{
    (void)state;
    static const char format[] = "{\"__metadata__\":{\"data_sha256\":\"%s\"},\"w\":{\"dtype\":\"U8\",\"shape\":[4],"
                                 "\"data_offsets\":[0,4]}}";
    for (int damaged = 0; damaged < 2; damaged++) {
        char text[512] = {0}, hex[PG_HASH_HEX];
        assert_int_equal(pg_hash_bytes("abcd", 4, hex), PG_OK);
        int n = snprintf(text + 8, sizeof text - 8, format, hex);
        text[0] = (char)n;
        text[1] = (char)(n >> 8);
        memcpy(text + 8 + n, damaged ? "abce" : "abcd", 4);
        assert_int_equal(pg_file_write(scratch_path("older"), text, (size_t)n + 12), PG_OK);
        pg_st_file *file = NULL;
        assert_int_equal(pg_st_open(scratch_path("older"), &file), damaged ? PG_EDAMAGED : PG_OK);
        assert_true(damaged || pg_st_checked(file));
        pg_st_close(file);
    }
}

static void the_writer_refuses_bad_tensors(void **state)
{
    (void)state;
    pg_st_tensor bad[2] = {tensors[1], tensors[1]};
    const char *const twice[] = {"a", "a"}, *const values[] = {"1", "2"}, *const not_utf8[] = {"\xff"};
    int before = scratch_count(scratch_folder);
    assert_int_equal(pg_st_write(scratch_path("bad"), bad, 2, NULL, NULL, 0), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "twice"));
    assert_int_equal(pg_st_write(scratch_path("bad"), tensors, 1, twice, values, 2), PG_EINPUT);
    assert_int_equal(pg_st_write(scratch_path("bad"), tensors, 1, not_utf8, values, 1), PG_EINPUT);
    bad[0].size = 20;
    assert_int_equal(pg_st_write(scratch_path("bad"), bad, 1, NULL, NULL, 0), PG_EINPUT);
    bad[0] = tensors[1];
    const char *const names[] = {"", "__metadata__", "a\n"};
    for (int i = 0; i < 3; i++) {
        bad[0].name = names[i];
        assert_int_equal(pg_st_write(scratch_path("bad"), bad, 1, NULL, NULL, 0), PG_EINPUT);
    }
    pg_st_file *file = NULL;
    bad[0] = (pg_st_tensor){.name = "scalar", .dtype = PG_ST_U8, .rank = 0, .data = "x", .size = 1};
    assert_int_equal(pg_st_write(scratch_path("scalar"), bad, 1, NULL, NULL, 0), PG_OK); /* no bad one */
    assert_int_equal(pg_st_open(scratch_path("scalar"), &file), PG_OK);
    assert_memory_equal(pg_st_find(file, "scalar")->data, "x", 1);
    pg_st_close(file);
    unlink(scratch_path("scalar"));
    assert_int_equal(pg_st_write(scratch_path("no/folder"), tensors, 1, NULL, NULL, 0), PG_EIO);
    assert_int_equal(scratch_count(scratch_folder), before);
}

static void every_half_comes_back(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = pg_half_to_float((uint16_t)bits);
        uint16_t back = pg_half_from_float(value);
        if (isnan(value))
            assert_true((back & 0x7fff) > 0x7c00);
        else
            assert_int_equal(back, bits);
    }
    assert_true(pg_half_to_float(0x3555) == 0x1.554p-2f && pg_half_to_float(0x0001) == 0x1p-24f &&
                pg_half_to_float(0x7bff) == 65504);
}

static void halves_are_rounded_to_nearest_even(void **state)
{
    (void)state;
    const struct {
        float value;
        uint16_t bits;
    } known[] = {{1 + 0x1p-11f, 0x3c00}, {1 + 0x1.8p-10f, 0x3c02},  {1 + 0x1.004p-11f, 0x3c01}, {65519.996f, 0x7bff},
                 {65520, 0x7c00},        {65536, 0x7c00},           {FLT_MAX, 0x7c00},          {-INFINITY, 0xfc00},
                 {0x1p-25f, 0x0000},     {0x1.000002p-25f, 0x0001}, {0x1.8p-24f, 0x0002},       {0x1p-14f, 0x0400},
                 {0x1.ffbp-15f, 0x03ff}, {0x1.ffcp-15f, 0x0400},    {-0x1p-30f, 0x8000},        {FLT_TRUE_MIN, 0}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(pg_half_from_float(known[i].value), known[i].bits);
    /* every value between two neighbours goes to the nearer one */
    for (uint32_t bits = 0; bits < 0x7bff; bits++) {
        float lo = pg_half_to_float((uint16_t)bits), hi = pg_half_to_float((uint16_t)(bits + 1)), middle = lo + (hi - lo) / 2;
        assert_int_equal(pg_half_from_float(middle), bits + (bits & 1));
        assert_int_equal(pg_half_from_float(nextafterf(middle, 0)), bits);
        assert_int_equal(pg_half_from_float(nextafterf(middle, INFINITY)), bits + 1);
    }
}

static void tensors_become_floats(void **state)
{
    (void)state;
    float out[6];
    const uint16_t bf16[2] = {0x3fc0, 0xff80};
    pg_st_tensor t = {.name = "b", .dtype = PG_ST_BF16, .rank = 1, .shape = {2}, .data = bf16, .size = 4};
    assert_int_equal(pg_st_to_float(&t, out, 2), PG_OK);
    assert_true(out[0] == 1.5f && out[1] == -INFINITY);
    assert_int_equal(pg_st_to_float(&tensors[0], out, 3), PG_OK);
    assert_true(out[0] == 1 && out[1] == 0x1p-24f && out[2] == -INFINITY);
    assert_int_equal(pg_st_to_float(&tensors[1], out, 6), PG_OK);
    assert_memory_equal(out, weights, sizeof weights);
    assert_int_equal(pg_st_to_float(&tensors[2], out, 2), PG_OK);
    assert_true(out[0] == 0.1f && out[1] == -INFINITY);
    assert_int_equal(pg_st_to_float(&tensors[1], out, 5), PG_EINPUT);
    t.dtype = PG_ST_I32;
    assert_int_equal(pg_st_to_float(&t, out, 1), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "I32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files_of_others_are_read),
        cmocka_unit_test(damaged_headers),
        cmocka_unit_test(damaged_tensors),
        cmocka_unit_test(damaged_lengths),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_same_contents_give_the_same_bytes),
        cmocka_unit_test(the_older_checksum_is_read),
        cmocka_unit_test(the_writer_refuses_bad_tensors),
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(halves_are_rounded_to_nearest_even),
        cmocka_unit_test(tensors_become_floats),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
