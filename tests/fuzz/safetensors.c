/* safetensors files: what is read has every byte, agrees with a reader of the header alone, and is the same when it is written
 * and read again. */
#include "harness/base/safetensors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/folder.h"

#include <string.h>

static void write_again(const pg_st_file *file)
{
    size_t n = pg_st_count(file);
    pg_st_tensor *tensors = calloc(n + 1, sizeof *tensors);
    pg_st_file *again = NULL;
    const char *path = fuzz_path("again.safetensors");
    if (!tensors)
        abort();
    for (size_t i = 0; i < n; i++)
        tensors[i] = *pg_st_at(file, i);
    FUZZ_CHECK(pg_st_write(path, tensors, n, NULL, NULL, 0) == PG_OK);
    FUZZ_CHECK(pg_st_open(path, &again) == PG_OK && pg_st_count(again) == n);
    for (size_t i = 0; i < n; i++) {
        const pg_st_tensor *a = &tensors[i], *b = pg_st_find(again, a->name);
        FUZZ_CHECK(b && b->dtype == a->dtype && b->rank == a->rank && b->size == a->size);
        FUZZ_CHECK(memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0 &&
                   memcmp(a->data, b->data, a->size) == 0);
    }
    pg_st_close(again);
    free(tensors);
}

static void read_floats(const pg_st_tensor *tensor)
{
    size_t count = tensor->size / pg_st_item_size(tensor->dtype);
    float *values = malloc(count * sizeof *values + 1);
    if (!values)
        abort();
    int code = pg_st_to_float(tensor, values, count);
    bool real = tensor->dtype <= PG_ST_F64;
    FUZZ_CHECK(real ? code == PG_OK : code == PG_EINPUT);
    free(values);
}

PG_FUZZ(safetensors)
{
    pg_st_file *header = NULL, *whole = NULL;
    const char *path = fuzz_file(0, data, size);
    int code_header = pg_st_open_header(path, &header), code = pg_st_open(path, &whole);
    FUZZ_CHECK(code == code_header && (code == PG_OK || code == PG_EDAMAGED));
    if (code != PG_OK)
        return 0;
    FUZZ_CHECK(pg_st_count(header) == pg_st_count(whole) && strcmp(pg_st_hash(header), pg_st_hash(whole)) == 0);
    size_t bytes = 0;
    for (size_t i = 0; i < pg_st_count(whole); i++) {
        const pg_st_tensor *tensor = pg_st_at(whole, i);
        FUZZ_CHECK(pg_st_find(whole, tensor->name) == tensor && pg_st_at(header, i)->data == NULL);
        FUZZ_CHECK((uintptr_t)tensor->data % pg_st_item_size(tensor->dtype) == 0);
        fuzz_touch(tensor->data, tensor->size);
        read_floats(tensor);
        bytes += tensor->size;
    }
    FUZZ_CHECK(bytes < size);
    write_again(whole);
    pg_st_close(header);
    pg_st_close(whole);
    return 0;
}
