/* Strict reader of safetensors files: 8 bytes of header length, a JSON header, the data.
 *
 * Source: the format's own description (huggingface/safetensors, README). Stricter in this: offsets are aligned to the element
 * size, dtypes are those that patchgauge uses, names are printable. Files are untrusted: every number is checked before use. */
#include "harness/base/safetensors.h"

#include "harness/base/file.h"
#include "harness/base/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are handed out as they lie in the file");

struct pg_st_file {
    json_t *root; /* owns names and metadata */
    pg_st_tensor *tensors;
    size_t *begins; /* first byte of each tensor behind the header */
    size_t count;
    char *data; /* NULL for header only */
    size_t data_size;
    char hash[PG_HASH_HEX];
};

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [PG_ST_F16] = {"F16", 2}, [PG_ST_BF16] = {"BF16", 2}, [PG_ST_F32] = {"F32", 4}, [PG_ST_F64] = {"F64", 8},
    [PG_ST_I32] = {"I32", 4}, [PG_ST_I64] = {"I64", 8},   [PG_ST_U8] = {"U8", 1},
};

const char *pg_st_dtype_name(pg_st_dtype dtype) { return dtypes[dtype].name; }
size_t pg_st_item_size(pg_st_dtype dtype) { return dtypes[dtype].size; }

static bool printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static int read_dtype(const json_t *value, const char *name, pg_st_dtype *out)
{
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            *out = (pg_st_dtype)i;
            return PG_OK;
        }
    return pg_fail(PG_EDAMAGED, "tensor '%s': dtype %s%s%s is not one of F16, BF16, F32, F64, I32, I64, U8", name,
                   text ? "'" : "", text ? text : "(no string)", text ? "'" : "");
}

/* Shape and the size in bytes that follows from it. */
static int read_shape(const json_t *value, pg_st_tensor *tensor)
{
    if (!json_is_array(value) || json_array_size(value) > PG_ST_MAX_DIM)
        return pg_fail(PG_EDAMAGED, "tensor '%s': shape is not a list of at most %d integers", tensor->name, PG_ST_MAX_DIM);
    tensor->rank = (int)json_array_size(value);
    size_t size = dtypes[tensor->dtype].size;
    bool overflow = false;
    for (int i = 0; i < tensor->rank; i++) {
        const json_t *extent = json_array_get(value, (size_t)i);
        tensor->shape[i] = json_integer_value(extent);
        if (!json_is_integer(extent) || tensor->shape[i] < 0)
            return pg_fail(PG_EDAMAGED, "tensor '%s': shape holds something that is not an integer of 0 or more", tensor->name);
        overflow |= __builtin_mul_overflow(size, (size_t)tensor->shape[i], &size);
    }
    if (overflow)
        return pg_fail(PG_EDAMAGED, "tensor '%s': its shape is larger than any file", tensor->name);
    tensor->size = size;
    return PG_OK;
}

static int read_offsets(const json_t *value, pg_st_tensor *tensor, size_t data_size, size_t *begin_out)
{
    const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return pg_fail(PG_EDAMAGED, "tensor '%s': data_offsets is not a pair of integers", tensor->name);
    json_int_t b = json_integer_value(begin), e = json_integer_value(end);
    if (b < 0 || e < b || (uintmax_t)e > data_size)
        return pg_fail(PG_EDAMAGED,
                       "tensor '%s': data_offsets %lld to %lld lie outside the %zu bytes of data (is the file cut short?)",
                       tensor->name, (long long)b, (long long)e, data_size);
    if ((size_t)(e - b) != tensor->size)
        return pg_fail(PG_EDAMAGED, "tensor '%s': data_offsets span %lld bytes, its shape and dtype %zu", tensor->name,
                       (long long)(e - b), tensor->size);
    if ((size_t)b % dtypes[tensor->dtype].size)
        return pg_fail(PG_EDAMAGED, "tensor '%s': misaligned: it begins at byte %lld and has elements of %zu bytes",
                       tensor->name, (long long)b, dtypes[tensor->dtype].size);
    *begin_out = (size_t)b;
    return PG_OK;
}

static int read_tensor(const char *name, const json_t *entry, size_t data_size, pg_st_tensor *tensor, size_t *begin)
{
    tensor->name = name;
    if (!*name || !printable(name))
        return pg_fail(PG_EDAMAGED, "a tensor's name is empty or not printable: '%s'", name);
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!dtype || !shape || !offsets || json_object_size(entry) != 3)
        return pg_fail(PG_EDAMAGED, "tensor '%s': right would be exactly dtype, shape and data_offsets", name);
    int code = read_dtype(dtype, name, &tensor->dtype);
    if (code == PG_OK)
        code = read_shape(shape, tensor);
    return code != PG_OK ? code : read_offsets(offsets, tensor, data_size, begin);
}

static int check_metadata(json_t *metadata)
{
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata))
        return pg_fail(PG_EDAMAGED, "__metadata__ is not an object");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return pg_fail(
        PG_EDAMAGED, "__metadata__: '%s' is not a string", key);
    return PG_OK;
}

typedef struct placed {
    pg_st_tensor tensor;
    size_t begin;
} placed;

static int by_place(const void *left, const void *right)
{
    const placed *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->tensor.size != b->tensor.size)
        return a->tensor.size < b->tensor.size ? -1 : 1;
    return strcmp(a->tensor.name, b->tensor.name);
}

/* Every byte of the data belongs to exactly one tensor. */
static int check_cover(const placed *all, size_t count, size_t data_size)
{
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = all[i].tensor.name;
        if (all[i].begin < end)
            return pg_fail(PG_EDAMAGED, "tensor '%s' begins at byte %zu and overlaps '%s', which ends at %zu", name,
                           all[i].begin, all[i - 1].tensor.name, end);
        if (all[i].begin > end)
            return pg_fail(PG_EDAMAGED, "%zu bytes before tensor '%s' belong to no tensor", all[i].begin - end, name);
        end += all[i].tensor.size;
    }
    if (end != data_size)
        return pg_fail(PG_EDAMAGED, "%zu bytes behind the last tensor", data_size - end);
    return PG_OK;
}

static int read_tensors(pg_st_file *file)
{
    json_t *metadata = json_object_get(file->root, "__metadata__"), *entry;
    int code = check_metadata(metadata);
    if (code != PG_OK)
        return code;
    size_t count = json_object_size(file->root) - (metadata != NULL), n = 0;
    placed *all = calloc(count + 1, sizeof *all);
    file->tensors = calloc(count + 1, sizeof *file->tensors);
    file->begins = calloc(count + 1, sizeof *file->begins);
    if (!all || !file->tensors || !file->begins) {
        code = pg_fail(PG_ENOMEM, "out of memory for %zu tensors", count);
        goto out;
    }
    const char *name;
    json_object_foreach(file->root, name, entry)
    {
        if (entry == metadata)
            continue;
        code = read_tensor(name, entry, file->data_size, &all[n].tensor, &all[n].begin);
        if (code != PG_OK)
            goto out;
        n++;
    }
    qsort(all, n, sizeof *all, by_place);
    code = check_cover(all, n, file->data_size);
    for (size_t i = 0; i < n; i++) {
        file->tensors[i] = all[i].tensor;
        file->begins[i] = all[i].begin;
    }
    file->count = n;
out:
    free(all);
    return code;
}

static int parse_header(pg_st_file *file, const char *header, size_t size)
{
    json_error_t error;
    if (size < 1 || header[0] != '{')
        return pg_fail(PG_EDAMAGED, "its header does not start with '{'");
    int code = pg_json_load(header, size, &file->root, &error);
    if (code == PG_EDAMAGED)
        return pg_fail(PG_EDAMAGED, "its header is not valid JSON at byte %d: %s", error.position, error.text);
    return code != PG_OK ? code : read_tensors(file);
}

/* Reads `size` bytes into `out`, or past them where out is NULL, and adds them to the hash and to `also` (may be NULL). */
static int take(FILE *stream, pg_hash *hash, pg_hash *also, char *out, size_t size)
{
    char chunk[1 << 14];
    while (size) {
        size_t want = size;
        if (!out && want > sizeof chunk)
            want = sizeof chunk;
        if (out && want > 1 << 20)
            want = 1 << 20;
        size_t n = fread(out ? out : chunk, 1, want, stream);
        if (n != want)
            return ferror(stream) ? pg_fail(PG_EIO, "cannot be read: %s", strerror(errno))
                                  : pg_fail(PG_EDAMAGED, "ends %zu bytes early", size - n);
        int code = pg_hash_add(hash, out ? out : chunk, n);
        if (code == PG_OK && also)
            code = pg_hash_add(also, out ? out : chunk, n);
        if (code != PG_OK)
            return code;
        out = out ? out + n : NULL;
        size -= n;
    }
    return PG_OK;
}

/* What the checksum covers before the tensors: everything, but zeros for its own digits. */
static int hash_header(pg_hash *hash, const char *start, const char *header, size_t length)
{
    static const char key[] = "\"" PG_ST_CHECKSUM "\":\"", zeros[] = PG_ST_BLANK;
    const char *digits = memmem(header, length, key, sizeof key - 1);
    size_t before = digits ? (size_t)(digits - header) + sizeof key - 1 : 0, blank = sizeof zeros - 1;
    if (!digits || length - before < blank)
        return pg_fail(PG_EDAMAGED, "its checksum is not where it is written");
    int code = pg_hash_add(hash, start, 8);
    if (code == PG_OK)
        code = pg_hash_add(hash, header, before);
    if (code == PG_OK)
        code = pg_hash_add(hash, zeros, blank);
    return code != PG_OK ? code : pg_hash_add(hash, header + before + blank, length - before - blank);
}

/* The tensors, and the checksum that the writer put into the metadata; other programs' files have none. */
static int take_data(pg_st_file *file, FILE *stream, pg_hash *hash, const char *start, const char *header, size_t length)
{
    const char *want = pg_st_metadata(file, PG_ST_CHECKSUM), *of_data = pg_st_metadata(file, PG_ST_DATA_CHECKSUM);
    pg_hash *covered = NULL;
    char found[PG_HASH_HEX];
    int code = pg_hash_new(&covered);
    if (code == PG_OK && want)
        code = hash_header(covered, start, header, length);
    if (code == PG_OK)
        code = take(stream, hash, covered, file->data, file->data_size);
    if (code == PG_OK)
        code = pg_hash_finish(covered, found);
    want = want ? want : of_data;
    if (code == PG_OK && want && strcmp(want, found) != 0)
        code = pg_fail(PG_EDAMAGED, "it does not match its checksum");
    pg_hash_free(covered);
    return code;
}

static int read_stream(pg_st_file *file, FILE *stream, size_t file_size, bool header_only)
{
    pg_hash *hash = NULL;
    unsigned char length_bytes[8] = {0};
    uint64_t length = 0;
    char *header = NULL;
    int code = pg_hash_new(&hash);
    if (code == PG_OK && file_size < 8)
        code = pg_fail(PG_EDAMAGED, "%zu bytes are no safetensors file", file_size);
    if (code == PG_OK)
        code = take(stream, hash, NULL, (char *)length_bytes, 8);
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)length_bytes[i] << 8 * i;
    if (code == PG_OK && length > PG_ST_MAX_HEADER)
        code = pg_fail(PG_EDAMAGED, "states a header of %llu bytes, at most %d are read", (unsigned long long)length,
                       PG_ST_MAX_HEADER);
    if (code == PG_OK && length > file_size - 8)
        code = pg_fail(PG_EDAMAGED, "states a header of %llu bytes and has %zu in all", (unsigned long long)length, file_size);
    if (code == PG_OK && !(header = malloc((size_t)length + 1)))
        code = pg_fail(PG_ENOMEM, "out of memory for the header");
    if (code == PG_OK)
        code = take(stream, hash, NULL, header, (size_t)length);
    if (code == PG_OK) {
        file->data_size = file_size - 8 - (size_t)length;
        code = parse_header(file, header, (size_t)length);
    }
    if (code == PG_OK && !header_only && !(file->data = malloc(file->data_size + 1)))
        code = pg_fail(PG_ENOMEM, "out of memory for %zu bytes of tensors", file->data_size);
    if (code == PG_OK)
        code = take_data(file, stream, hash, (const char *)length_bytes, header, (size_t)length);
    if (code == PG_OK && fgetc(stream) != EOF)
        code = pg_fail(PG_EDAMAGED, "grew while it was read");
    if (code == PG_OK)
        code = pg_hash_finish(hash, file->hash);
    for (size_t i = 0; code == PG_OK && file->data && i < file->count; i++)
        file->tensors[i].data = file->data + file->begins[i];
    free(header);
    pg_hash_free(hash);
    return code;
}

static int open_file(const char *path, bool header_only, pg_st_file **out)
{
    FILE *stream;
    uint64_t size;
    int code = pg_file_stream(path, &stream, &size);
    if (code != PG_OK)
        return code;
    pg_st_file *file = calloc(1, sizeof *file);
    code = file ? read_stream(file, stream, (size_t)size, header_only) : pg_fail(PG_ENOMEM, "out of memory");
    fclose(stream);
    if (code != PG_OK) {
        pg_st_close(file);
        return pg_fail_at(code, "%s", path);
    }
    *out = file;
    return PG_OK;
}

int pg_st_open(const char *path, pg_st_file **out) { return open_file(path, false, out); }
int pg_st_open_header(const char *path, pg_st_file **out) { return open_file(path, true, out); }

void pg_st_close(pg_st_file *file)
{
    if (!file)
        return;
    json_decref(file->root);
    free(file->tensors);
    free(file->begins);
    free(file->data);
    free(file);
}

size_t pg_st_count(const pg_st_file *file) { return file->count; }
const pg_st_tensor *pg_st_at(const pg_st_file *file, size_t i) { return &file->tensors[i]; }

const pg_st_tensor *pg_st_find(const pg_st_file *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *pg_st_metadata(const pg_st_file *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->root, "__metadata__"), key));
}

bool pg_st_checked(const pg_st_file *file)
{
    return pg_st_metadata(file, PG_ST_CHECKSUM) || pg_st_metadata(file, PG_ST_DATA_CHECKSUM);
}

const char *pg_st_hash(const pg_st_file *file) { return file->hash; }
