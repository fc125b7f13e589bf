/* Unit tests of harness/base/npy: what is read, what is refused and why, and that what is written is read back. */
#include "tests/support/load_npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/patchgauge-npy-XXXXXX";

/* Writes a file of this version, header text and body; the header's length field says `said` (0: the truth). */
static void write_file(int version, const char *header, size_t said, const void *body, size_t size)
{
    FILE *f = fopen(path, "wb");
    size_t length = said ? said : strlen(header);
    assert_non_null(f);
    fwrite("\x93NUMPY", 1, 6, f);
    fputc(version, f);
    fputc(0, f);
    for (int i = 0; i < (version == 1 ? 2 : 4); i++)
        fputc((int)(length >> 8 * i & 255), f);
    fwrite(header, 1, strlen(header), f);
    fwrite(body, 1, size, f);
    fclose(f);
}

static void expect_code(int code, const char *text)
{
    pg_npy npy;
    assert_int_equal(load_npy(path, &npy), code);
    assert_null(npy.data);
    if (!strstr(pg_error_message(), text) || !strstr(pg_error_message(), path))
        fail_msg("'%s' does not say '%s' with the path", pg_error_message(), text);
}

static void every_version_and_alignment(void **state)
{
    (void)state;
    static const char *const pads[] = {"\n", " \n", "  \n", "   \n", "       \n"};
    const double values[6] = {1, 2, 3, 4, 5, -6.5};
    for (int version = 1; version <= 3; version++)
        for (size_t i = 0; i < sizeof pads / sizeof *pads; i++) {
            char header[128];
            snprintf(header, sizeof header, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }%s", pads[i]);
            write_file(version, header, 0, values, sizeof values);
            pg_npy npy;
            assert_int_equal(load_npy(path, &npy), PG_OK);
            assert_int_equal(npy.dtype, PG_NPY_F8);
            assert_int_equal(npy.rank, 2);
            assert_int_equal(npy.shape[0], 2);
            assert_int_equal(npy.shape[1], 3);
            assert_int_equal(npy.count, 6);
            assert_int_equal((uintptr_t)npy.data % 8, 0);
            assert_memory_equal(npy.data, values, sizeof values);
            pg_npy_release(&npy);
            pg_npy_release(&npy); /* harmless */
        }
}

static void other_spellings_of_the_header(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{'shape': (3,), 'descr': '|u1', 'fortran_order': False}",
        "{\"descr\":\"|u1\",\"fortran_order\":False,\"shape\":(3,)}   \n",
        " { 'descr' : '|u1' , 'fortran_order' : False , 'shape' : ( 3 , ) , } ",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 1)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3)}",
        "{'descr': '|u1', 'fortran_order': True, 'shape': (3,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3L,)}", /* numpy of Python 2 */
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1L, 3L), }",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        write_file(1, good[i], 0, "abc", 3);
        pg_npy npy;
        if (load_npy(path, &npy))
            fail_msg("%s", pg_error_message());
        assert_int_equal(npy.count, 3);
        pg_npy_release(&npy);
    }
}

static void scalars_and_empty_arrays(void **state)
{
    (void)state;
    pg_npy npy;
    write_file(1, "{'descr': '<i4', 'fortran_order': False, 'shape': ()}\n", 0, "abcd", 4);
    assert_int_equal(load_npy(path, &npy), PG_OK);
    assert_int_equal(npy.rank, 0);
    assert_int_equal(npy.count, 1);
    pg_npy_release(&npy);
    /* a zero makes everything else small, whatever it would have been */
    write_file(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (4611686018427387905, 0, 4)}\n", 0, "", 0);
    assert_int_equal(load_npy(path, &npy), PG_OK);
    assert_int_equal(npy.count, 0);
    pg_npy_release(&npy);
}

static void damaged_files_say_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *header, *text;
        int code;
    } bad[] = {
        {"", "not a dictionary", PG_EDAMAGED},
        {"'descr'", "not a dictionary", PG_EDAMAGED},
        {"{}", "lacks", PG_EDAMAGED},
        {"{'descr': '<f4', 'shape': (1,)}", "lacks", PG_EDAMAGED},
        {"{'fortran_order': False, 'shape': (1,)}", "lacks", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False}", "lacks", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", "does not end", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "goes on", PG_EDAMAGED},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", "repeats the key 'descr'", PG_EDAMAGED},
        {"{'descr': '<f4', 'order': False, 'shape': (1,)}", "holds the key 'order'", PG_EDAMAGED},
        {"{'descr' '<f4'}", "something else", PG_EDAMAGED},
        {"{descr: '<f4'}", "something else", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "neither True nor False", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [1]}", "shape is not", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "shape is not", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}", "shape is not", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "shape is not", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "at most 8", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "shape is not", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905,)}", "more", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "more", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "needs more", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", "needs fewer", PG_EDAMAGED},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}", "needs fewer", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1l,)}", "shape is not", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1LL,)}", "shape is not", PG_EDAMAGED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (L,)}", "shape is not", PG_EDAMAGED},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", "type '>f4'", PG_EUNSUPPORTED},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "type '|O'", PG_EUNSUPPORTED},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", "records", PG_EUNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(1, bad[i].header, 0, "abcd", 4);
        expect_code(bad[i].code, bad[i].text);
    }
    write_file(4, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 0, "abcd", 4);
    expect_code(PG_EUNSUPPORTED, "format 4.0");
    write_file(1, "{'descr'", 9, "", 0);
    expect_code(PG_EDAMAGED, "ends inside its header");
    write_file(2, "{'descr'", 0xffffffff, "", 0);
    expect_code(PG_EDAMAGED, "ends inside its header");
}

/* Every file cut short is refused, never read beyond its end. */
static void every_prefix_is_refused(void **state)
{
    (void)state;
    for (int version = 1; version <= 2; version++) {
        const char *header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n";
        write_file(version, header, 0, "abcdefgh", 8);
        long size = 8 + (version == 1 ? 2 : 4) + (long)strlen(header) + 8;
        for (long n = size - 1; n >= 0; n--) {
            pg_npy npy;
            assert_int_equal(truncate(path, n), 0);
            assert_int_equal(load_npy(path, &npy), PG_EDAMAGED);
        }
    }
}

/* A mapped file would end the program here. */
static void a_file_cut_short_meanwhile_is_an_error(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    static double values[N];
    char header[128];
    for (int fortran = 0; fortran < 2; fortran++) {
        pg_npy npy;
        snprintf(header, sizeof header, "{'descr': '<f8', 'fortran_order': %s, 'shape': (%d, 1)}", fortran ? "True" : "False",
                 N);
        write_file(1, header, 0, values, sizeof values);
        assert_int_equal(pg_npy_open(path, NULL, NULL, &npy), PG_OK);
        if (!fortran)
            assert_int_equal(pg_npy_next(&npy, values, N / 2), PG_OK);
        assert_int_equal(truncate(path, 8), 0);
        assert_int_equal(pg_npy_next(&npy, values, N / 2), PG_EIO);
        assert_non_null(strstr(pg_error_message(), path));
        pg_npy_release(&npy);
    }
}

static void missing_files_and_folders(void **state)
{
    (void)state;
    pg_npy npy;
    assert_int_equal(load_npy("/nowhere/at/all.npy", &npy), PG_EMISSING);
    assert_non_null(strstr(pg_error_message(), "/nowhere/at/all.npy"));
    assert_int_equal(load_npy("/tmp", &npy), PG_EINPUT);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const int64_t shape[PG_NPY_MAX_DIM] = {2, 1, 3, 1, 1, 2, 1, 1};
    for (pg_npy_dtype dtype = PG_NPY_F2; dtype <= PG_NPY_U8; dtype++)
        for (int rank = 0; rank <= PG_NPY_MAX_DIM; rank++) {
            FILE *f = fopen(path, "wb");
            size_t count = 1;
            for (int i = 0; i < rank; i++)
                count *= (size_t)shape[i];
            assert_int_equal(pg_npy_write_header(f, dtype, rank, shape), PG_OK);
            assert_int_equal(ftell(f) % 64, 0);
            for (size_t i = 0; i < count * pg_npy_item_size(dtype); i++)
                fputc((int)i, f);
            fclose(f);
            pg_npy npy;
            if (load_npy(path, &npy))
                fail_msg("%s", pg_error_message());
            assert_int_equal(npy.dtype, dtype);
            assert_int_equal(npy.rank, rank);
            assert_int_equal(npy.count, count);
            assert_int_equal(((const unsigned char *)npy.data)[count - 1], count - 1);
            pg_npy_release(&npy);
        }
    static const size_t sizes[] = {2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
    for (pg_npy_dtype dtype = PG_NPY_F2; dtype <= PG_NPY_U8; dtype++)
        assert_int_equal(pg_npy_item_size(dtype), sizes[dtype]);
    FILE *full = fopen("/dev/full", "wb");
    if (full) {
        setvbuf(full, NULL, _IONBF, 0);
        assert_int_equal(pg_npy_write_header(full, PG_NPY_F4, 1, shape), PG_EIO);
        fclose(full);
    }
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* Element (i, j, k) of 2 x 3 x 2 is 100 i + 10 j + k, whichever axis is fastest in the file, all at once or in pieces. */
static void fortran_order_is_put_right(void **state)
{
    (void)state;
    int16_t stored[12], taken[12];
    for (int k = 0, n = 0; k < 2; k++)
        for (int j = 0; j < 3; j++)
            for (int i = 0; i < 2; i++)
                stored[n++] = (int16_t)(100 * i + 10 * j + k);
    write_file(1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3, 2)}", 0, stored, sizeof stored);
    for (int piece = 0; piece <= 12; piece++) {
        pg_npy npy;
        assert_int_equal(piece ? pg_npy_open(path, NULL, NULL, &npy) : load_npy(path, &npy), PG_OK);
        assert_true(npy.fortran);
        for (int n = 0; piece && n < 12; n += piece)
            assert_int_equal(pg_npy_next(&npy, taken + n, (size_t)(n + piece < 12 ? piece : 12 - n)), PG_OK);
        const int16_t *got = piece ? taken : npy.data;
        for (int n = 0; n < 12; n++)
            assert_int_equal(got[n], 100 * (n / 6) + 10 * (n / 2 % 3) + n % 2);
        pg_npy_release(&npy);
    }
}

/* Files of numpy.savez and numpy.savez_compressed: features f4[2, 1, 3, 2] = 0, 1, ... and labels i8[2] = 1, 0; one has weights
 * as well, one is of a single array. */
static void members_of_archives(void **state)
{
    (void)state;
    static const char *const usual[] = {"features", "logits", NULL};
    static const struct {
        const char *file, *key;
        int code;
        const char *text;
    } cases[] = {
        {"stored", "features", PG_OK, NULL},
        {"deflated", "features", PG_OK, NULL},
        {"deflated", NULL, PG_OK, NULL},
        {"single", NULL, PG_OK, NULL},
        {"single", "anything", PG_OK, NULL},
        {"stored", "feature", PG_EINPUT, "no array 'feature'; there are: features, labels, weights"},
        {"stored", "features.npy", PG_EINPUT, "no array 'features.npy'"},
        {"single", "", PG_EINPUT, "no array ''; there are: anything"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[128];
        pg_npy npy;
        snprintf(name, sizeof name, "tests/reference/npz/%s.npz", cases[i].file);
        int code = pg_npy_open(name, cases[i].key, usual, &npy);
        if (code != cases[i].code || (code != PG_OK && !strstr(pg_error_message(), cases[i].text)))
            fail_msg("%s %s: %d, %s", name, cases[i].key ? cases[i].key : "-", code, pg_error_message());
        if (code != PG_OK)
            continue;
        assert_int_equal(npy.rank, 4);
        assert_int_equal(npy.count, 12);
        assert_int_equal(pg_npy_load(&npy), PG_OK);
        for (int j = 0; j < 12; j++)
            assert_true(((const float *)npy.data)[j] == (float)j);
        pg_npy_release(&npy);
    }
    pg_npy npy;
    assert_int_equal(pg_npy_open("tests/reference/npz/stored.npz", NULL, NULL, &npy), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "has to be given; there are: features, labels, weights"));
    write_file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}", 0, "abc", 3);
    assert_int_equal(pg_npy_open(path, "features", NULL, &npy), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "no .npz archive"));
}

/* Every byte of an archive changed, and every part of it cut off: an error, or the very same array. */
static void damaged_archives_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"tests/reference/npz/single.npz", "tests/reference/npz/deflated.npz"};
    for (int which = 0; which < 2; which++) {
        static unsigned char bytes[8192];
        FILE *f = fopen(names[which], "rb");
        assert_non_null(f);
        size_t size = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        assert_in_range(size, 100, sizeof bytes - 1);
        int refused = 0;
        for (size_t at = 0; at < 2 * size; at++) {
            bool cut = at >= size;
            f = fopen(path, "wb");
            bytes[at % size] ^= cut ? 0 : 0x11;
            fwrite(bytes, 1, cut ? at - size : size, f);
            bytes[at % size] ^= cut ? 0 : 0x11;
            fclose(f);
            pg_npy npy;
            int code = pg_npy_open(path, which ? "features" : NULL, NULL, &npy);
            if (code == PG_OK) {
                code = pg_npy_load(&npy);
                for (size_t j = 0; code == PG_OK && j < npy.count && npy.dtype == PG_NPY_F4; j++)
                    assert_true(((const float *)npy.data)[j] == (float)j);
                pg_npy_release(&npy);
            }
            refused += code != PG_OK;
        }
        assert_true(refused > (int)size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_and_alignment),
        cmocka_unit_test(other_spellings_of_the_header),
        cmocka_unit_test(scalars_and_empty_arrays),
        cmocka_unit_test(damaged_files_say_what_is_wrong),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(missing_files_and_folders),
        cmocka_unit_test(a_file_cut_short_meanwhile_is_an_error),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(fortran_order_is_put_right),
        cmocka_unit_test(members_of_archives),
        cmocka_unit_test(damaged_archives_are_refused),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
