/* .npy files and members of .npz archives: what is read has every element, is the same in pieces as at once, and the same when
 * it is written and read again. */
#include "tests/fuzz/fuzz.h"
#include "tests/support/load_npy.h"

#include <string.h>

static void compare_pieces(const char *path, const pg_npy *whole)
{
    size_t item = pg_npy_item_size(whole->dtype);
    unsigned char piece[64];
    pg_npy npy;
    FUZZ_CHECK(pg_npy_open(path, NULL, NULL, &npy) == PG_OK);
    for (size_t i = 0; i < whole->count; i += 8) {
        size_t n = whole->count - i < 8 ? whole->count - i : 8;
        FUZZ_CHECK(pg_npy_next(&npy, piece, n) == PG_OK);
        FUZZ_CHECK(memcmp(piece, (const unsigned char *)whole->data + i * item, n * item) == 0);
    }
    pg_npy_release(&npy);
}

PG_FUZZ(npy)
{
    pg_npy first, again;
    const char *path = fuzz_file(0, data, size);
    int code = load_npy(path, &first);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EUNSUPPORTED || code == PG_EINPUT);
    if (code != PG_OK)
        return 0;
    size_t bytes = first.count * pg_npy_item_size(first.dtype);
    FUZZ_CHECK(bytes <= 1100 * size && (uintptr_t)first.data % 64 == 0);
    compare_pieces(path, &first);
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        abort();
    FUZZ_CHECK(pg_npy_write_header(stream, first.dtype, first.rank, first.shape) == PG_OK);
    fwrite(first.data, 1, bytes, stream);
    fclose(stream);
    FUZZ_CHECK(load_npy(fuzz_file(1, text, length), &again) == PG_OK);
    FUZZ_CHECK(again.dtype == first.dtype && again.rank == first.rank && again.count == first.count);
    FUZZ_CHECK(memcmp(again.shape, first.shape, sizeof first.shape) == 0 && memcmp(again.data, first.data, bytes) == 0);
    pg_npy_release(&first);
    pg_npy_release(&again);
    free(text);
    return 0;
}
