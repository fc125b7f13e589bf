/* Writer of safetensors files: the same contents give the same bytes. See safetensors.h. */
#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int add_string(pg_buf *out, const char *text)
{
    errno = 0;
    json_t *checked = json_string(text);
    if (!checked && errno == ENOMEM)
        return pg_fail(PG_ENOMEM, "out of memory");
    if (!checked)
        return pg_fail(PG_EINPUT, "'%s' is not UTF-8", text);
    json_decref(checked);
    pg_buf_puts(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            pg_buf_printf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            pg_buf_printf(out, "\\u%04x", (unsigned)*text);
        else
            pg_buf_add(out, text, 1);
    }
    pg_buf_puts(out, "\"");
    return PG_OK;
}

typedef struct pair {
    const char *key, *value;
} pair;

static int by_key(const void *left, const void *right) { return strcmp(((const pair *)left)->key, ((const pair *)right)->key); }

static int add_metadata(pg_buf *out, const char *const *keys, const char *const *values, size_t n)
{
    pair *pairs = calloc(n + 1, sizeof *pairs);
    if (!pairs)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        pairs[i] = (pair){keys[i], values[i]};
    qsort(pairs, n, sizeof *pairs, by_key);
    int code = PG_OK;
    pg_buf_puts(out, "\"__metadata__\":{");
    for (size_t i = 0; i < n && code == PG_OK; i++) {
        if (i && strcmp(pairs[i - 1].key, pairs[i].key) == 0)
            code = pg_fail(PG_EINPUT, "metadata '%s' is given twice", pairs[i].key);
        pg_buf_puts(out, i ? "," : "");
        if (code == PG_OK)
            code = add_string(out, pairs[i].key);
        pg_buf_puts(out, ":");
        if (code == PG_OK)
            code = add_string(out, pairs[i].value);
    }
    pg_buf_puts(out, "}");
    free(pairs);
    return code;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int check_tensors(const pg_st_tensor *tensors, size_t n)
{
    const char **names = calloc(n + 1, sizeof *names);
    if (!names)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = PG_OK;
    for (size_t i = 0; i < n && code == PG_OK; i++) {
        const pg_st_tensor *t = &tensors[i];
        names[i] = t->name;
        size_t size = pg_st_item_size(t->dtype);
        bool good = t->rank >= 0 && t->rank <= PG_ST_MAX_DIM;
        for (int d = 0; good && d < t->rank; d++)
            good = t->shape[d] >= 0 && !__builtin_mul_overflow(size, (size_t)t->shape[d], &size);
        if (!good || size != t->size)
            code = pg_fail(PG_EINPUT, "tensor '%s': %zu bytes do not fit its shape", t->name, t->size);
        for (const char *p = t->name; *p && code == PG_OK; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                code = pg_fail(PG_EINPUT, "'%s' cannot name a tensor: a byte of it is not printable", t->name);
        if (code == PG_OK && (!*t->name || strcmp(t->name, "__metadata__") == 0))
            code = pg_fail(PG_EINPUT, "'%s' cannot name a tensor", t->name);
    }
    if (code == PG_OK)
        qsort(names, n, sizeof *names, by_name);
    for (size_t i = 1; i < n && code == PG_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            code = pg_fail(PG_EINPUT, "tensor '%s' is given twice", names[i]);
    free(names);
    return code;
}

/* Header entries, or the data, of the tensors with elements of `item` bytes. */
static int add_entries(pg_buf *out, const pg_st_tensor *tensors, size_t n, size_t item, size_t *offset, bool *first)
{
    for (size_t i = 0; i < n; i++) {
        const pg_st_tensor *t = &tensors[i];
        if (pg_st_item_size(t->dtype) != item)
            continue;
        pg_buf_puts(out, *first ? "" : ",");
        *first = false;
        int code = add_string(out, t->name);
        if (code != PG_OK)
            return code;
        pg_buf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", pg_st_dtype_name(t->dtype));
        for (int d = 0; d < t->rank; d++)
            pg_buf_printf(out, "%s%lld", d ? "," : "", (long long)t->shape[d]);
        pg_buf_printf(out, "],\"data_offsets\":[%zu,%zu]}", *offset, *offset + t->size);
        *offset += t->size;
    }
    return PG_OK;
}

static int build_header(pg_buf *out, const pg_st_tensor *tensors, size_t n, const char *const *keys, const char *const *values,
                        size_t n_metadata)
{
    static const char length_place[8];
    size_t offset = 0;
    bool first = n_metadata == 0;
    int code = check_tensors(tensors, n);
    pg_buf_add(out, length_place, 8);
    pg_buf_puts(out, "{");
    if (code == PG_OK && n_metadata)
        code = add_metadata(out, keys, values, n_metadata);
    for (size_t item = 8; item && code == PG_OK; item /= 2)
        code = add_entries(out, tensors, n, item, &offset, &first);
    pg_buf_puts(out, "}");
    while (out->size % 8 && !out->failed)
        pg_buf_puts(out, " ");
    if (code == PG_OK)
        code = pg_buf_check(out);
    if (code == PG_OK && out->size - 8 > PG_ST_MAX_HEADER)
        code = pg_fail(PG_EINPUT, "the header has %zu bytes, at most %d are allowed", out->size - 8, PG_ST_MAX_HEADER);
    for (int i = 0; i < 8 && code == PG_OK; i++)
        out->data[i] = (char)((uint64_t)(out->size - 8) >> 8 * i);
    return code;
}

/* SHA-256 of header and data in the order of the file. */
static int checksum(const pg_buf *header, const pg_st_tensor *tensors, size_t n, char hex[PG_HASH_HEX])
{
    pg_hash *hash = NULL;
    int code = pg_hash_new(&hash);
    if (code == PG_OK)
        code = pg_hash_add(hash, header->data, header->size);
    for (size_t item = 8; item && code == PG_OK; item /= 2)
        for (size_t i = 0; i < n && code == PG_OK; i++)
            if (pg_st_item_size(tensors[i].dtype) == item)
                code = pg_hash_add(hash, tensors[i].data, tensors[i].size);
    if (code == PG_OK)
        code = pg_hash_finish(hash, hex);
    pg_hash_free(hash);
    return code;
}

/* The header, with the checksum among the metadata where there are any. */
static int checked_header(pg_buf *out, const pg_st_tensor *tensors, size_t n, const char *const *keys,
                          const char *const *values, size_t n_metadata)
{
    static const char key[] = "\"" PG_ST_CHECKSUM "\":\"";
    if (!n_metadata)
        return build_header(out, tensors, n, NULL, NULL, 0);
    const char **all = calloc(2 * (n_metadata + 1), sizeof *all), **texts = all ? all + n_metadata + 1 : NULL;
    char hex[PG_HASH_HEX];
    int code = all ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; code == PG_OK && i < n_metadata; i++) {
        all[i] = keys[i];
        texts[i] = values[i];
    }
    if (code == PG_OK) {
        all[n_metadata] = PG_ST_CHECKSUM;
        texts[n_metadata] = PG_ST_BLANK;
        code = build_header(out, tensors, n, all, texts, n_metadata + 1);
    }
    if (code == PG_OK)
        code = checksum(out, tensors, n, hex);
    if (code == PG_OK) /* quotes within other texts are escaped: there is one such place */
        memcpy((char *)memmem(out->data, out->size, key, sizeof key - 1) + sizeof key - 1, hex, PG_HASH_HEX - 1);
    free(all);
    return code;
}

int pg_st_write(const char *path, const pg_st_tensor *tensors, size_t n, const char *const *keys, const char *const *values,
                size_t n_metadata)
{
    pg_file_writer writer = {0};
    pg_buf header = PG_BUF_EMPTY;
    int code = checked_header(&header, tensors, n, keys, values, n_metadata);
    if (code != PG_OK) {
        pg_fail_at(code, "%s", path);
        goto out;
    }
    code = pg_file_begin(&writer, path);
    if (code != PG_OK)
        goto out;
    errno = 0;
    bool good = fwrite(header.data, 1, header.size, writer.stream) == header.size;
    for (size_t item = 8; item && good; item /= 2)
        for (size_t i = 0; i < n && good; i++)
            if (pg_st_item_size(tensors[i].dtype) == item && tensors[i].size)
                good = fwrite(tensors[i].data, 1, tensors[i].size, writer.stream) == tensors[i].size;
    if (!good)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno ? errno : EIO));
    else
        code = pg_file_commit(&writer);
out:
    pg_file_abort(&writer);
    pg_buf_release(&header);
    return code;
}
