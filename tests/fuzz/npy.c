/* .npy files: what is read has every element, and is the same when it is written and read again. */
#include "harness/base/npy.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

PG_FUZZ(npy)
{
    pg_npy first, again;
    int code = pg_npy_open(fuzz_file(0, data, size), &first);
    FUZZ_CHECK(code == PG_OK || code == PG_EDAMAGED || code == PG_EUNSUPPORTED);
    if (code)
        return 0;
    size_t bytes = first.count * pg_npy_item_size(first.dtype);
    FUZZ_CHECK(bytes <= size && (uintptr_t)first.data % pg_npy_item_size(first.dtype) == 0);
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        abort();
    FUZZ_CHECK(pg_npy_write_header(stream, first.dtype, first.rank, first.shape) == PG_OK);
    fwrite(first.data, 1, bytes, stream);
    fclose(stream);
    FUZZ_CHECK(pg_npy_open(fuzz_file(1, text, length), &again) == PG_OK);
    FUZZ_CHECK(again.dtype == first.dtype && again.rank == first.rank && again.count == first.count);
    FUZZ_CHECK(memcmp(again.shape, first.shape, sizeof first.shape) == 0 && memcmp(again.data, first.data, bytes) == 0);
    pg_npy_release(&first);
    pg_npy_release(&again);
    free(text);
    return 0;
}
