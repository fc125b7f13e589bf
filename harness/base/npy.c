/* .npy files. See npy.h. The header is a Python dictionary with the keys descr, fortran_order and shape, each once, in any
 * order; nothing else is accepted. The file has to be exactly as long as the header says. */
#include "harness/base/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *descr;
    size_t size;
} types[] = {
    [PG_NPY_F4] = {"<f4", 4}, [PG_NPY_F8] = {"<f8", 8}, [PG_NPY_I1] = {"|i1", 1}, [PG_NPY_I2] = {"<i2", 2},
    [PG_NPY_I4] = {"<i4", 4}, [PG_NPY_I8] = {"<i8", 8}, [PG_NPY_U1] = {"|u1", 1}, [PG_NPY_U2] = {"<u2", 2},
    [PG_NPY_U4] = {"<u4", 4}, [PG_NPY_U8] = {"<u8", 8},
};
enum { N_TYPES = sizeof types / sizeof *types };
static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

size_t pg_npy_item_size(pg_npy_dtype dtype) { return types[dtype].size; }

/* Reading --------------------------------------------------------------------------------------------------------------- */

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

/* Takes a piece of punctuation or a word, after spaces. */
static bool take(cursor *c, const char *text)
{
    skip_space(c);
    size_t n = strlen(text);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* A quoted string without escapes. */
static bool take_string(cursor *c, char *out, size_t size)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    char quote = *c->at++;
    size_t n = 0;
    for (; c->at < c->end && *c->at != quote; c->at++) {
        if (*c->at == '\\' || n + 1 >= size)
            return false;
        out[n++] = *c->at;
    }
    out[n] = 0;
    return c->at++ < c->end;
}

static bool take_dimension(cursor *c, int64_t *out)
{
    skip_space(c);
    const char *start = c->at;
    int64_t value = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (value > (INT64_MAX - 9) / 10)
            return false;
        value = 10 * value + (*c->at - '0');
    }
    *out = value;
    return c->at > start;
}

/* "()", "(3,)", "(3, 4)" */
static bool take_shape(cursor *c, pg_npy *npy)
{
    npy->rank = 0;
    if (!take(c, "("))
        return false;
    while (!take(c, ")")) {
        if (npy->rank == PG_NPY_MAX_DIM || !take_dimension(c, &npy->shape[npy->rank]))
            return false;
        npy->rank++;
        if (!take(c, ","))
            return take(c, ")");
    }
    return true;
}

static int set_dtype(const char *path, const char *descr, pg_npy *npy)
{
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].descr, descr) == 0) {
            npy->dtype = (pg_npy_dtype)i;
            return PG_OK;
        }
    return pg_fail(PG_EUNSUPPORTED, "%s: elements of type '%s'; little-endian float32, float64 and integers are supported",
                   path, descr);
}

/* The dictionary. PG_EDAMAGED with what is wrong. */
static int parse_header(const char *path, cursor c, pg_npy *npy)
{
    bool has_type = false, has_order = false, has_shape = false;
    char key[32], descr[32];
    if (!take(&c, "{"))
        return pg_fail(PG_EDAMAGED, "%s: the header is not a dictionary", path);
    while (!take(&c, "}")) {
        if (!take_string(&c, key, sizeof key) || !take(&c, ":"))
            return pg_fail(PG_EDAMAGED, "%s: the header holds something else than 'key': value", path);
        bool *has = strcmp(key, "descr") == 0           ? &has_type
                    : strcmp(key, "fortran_order") == 0 ? &has_order
                    : strcmp(key, "shape") == 0         ? &has_shape
                                                        : NULL;
        if (!has || *has)
            return pg_fail(PG_EDAMAGED, "%s: the header %s the key '%s'; descr, fortran_order and shape are expected once each",
                           path, has ? "repeats" : "holds", key);
        *has = true;
        if (has == &has_type) {
            if (!take_string(&c, descr, sizeof descr))
                return pg_fail(PG_EUNSUPPORTED, "%s: elements are records; plain numbers are supported", path);
            int code = set_dtype(path, descr, npy);
            if (code)
                return code;
        } else if (has == &has_order) {
            if (take(&c, "True"))
                return pg_fail(PG_EUNSUPPORTED, "%s: Fortran order; save with numpy.ascontiguousarray", path);
            if (!take(&c, "False"))
                return pg_fail(PG_EDAMAGED, "%s: fortran_order is neither True nor False", path);
        } else if (!take_shape(&c, npy))
            return pg_fail(PG_EDAMAGED, "%s: the shape is not a tuple of at most %d sizes", path, PG_NPY_MAX_DIM);
        if (!take(&c, ",")) {
            if (!take(&c, "}"))
                return pg_fail(PG_EDAMAGED, "%s: the header dictionary does not end", path);
            break;
        }
    }
    skip_space(&c);
    if (c.at != c.end || !has_type || !has_order || !has_shape)
        return pg_fail(PG_EDAMAGED, "%s: the header %s", path,
                       c.at != c.end ? "goes on behind its dictionary" : "lacks descr, fortran_order or shape");
    return PG_OK;
}

/* Checks the mapped bytes and fills in everything. */
static int parse(const char *path, pg_npy *npy)
{
    const unsigned char *bytes = npy->map;
    size_t size = npy->map_size, start = 10, length;
    if (size < start || memcmp(bytes, magic, sizeof magic) != 0)
        return pg_fail(PG_EDAMAGED, "%s: not a .npy file", path);
    int version = bytes[6];
    if (version < 1 || version > 3 || bytes[7] != 0)
        return pg_fail(PG_EUNSUPPORTED, "%s: .npy format %d.%d; 1.0 to 3.0 are supported", path, version, bytes[7]);
    length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1) {
        start = 12;
        if (size < start)
            return pg_fail(PG_EDAMAGED, "%s: ends inside its header", path);
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    if (length > size - start)
        return pg_fail(PG_EDAMAGED, "%s: ends inside its header", path);
    const char *text = (const char *)bytes + start;
    int code = parse_header(path, (cursor){text, text + length}, npy);
    if (code)
        return code;
    size_t item = pg_npy_item_size(npy->dtype), body = size - start - length, count = 1;
    bool empty = false, fits = true;
    for (int i = 0; i < npy->rank; i++)
        empty |= npy->shape[i] == 0;
    for (int i = 0; i < npy->rank && !empty; i++) {
        fits = fits && (size_t)npy->shape[i] <= SIZE_MAX / item / count;
        count *= fits ? (size_t)npy->shape[i] : 1;
    }
    npy->count = empty ? 0 : count;
    if (!fits || body != npy->count * item)
        return pg_fail(PG_EDAMAGED, "%s: %zu bytes of elements, but the shape in the header needs %s", path, body,
                       !fits || npy->count * item > body ? "more" : "fewer");
    npy->data = text + length;
    return PG_OK;
}

/* Elements that do not lie on a multiple of their size are copied to memory where they do. */
static int align(pg_npy *npy)
{
    size_t item = pg_npy_item_size(npy->dtype), bytes = npy->count * item;
    if ((uintptr_t)npy->data % item == 0)
        return PG_OK;
    npy->copy = malloc(bytes ? bytes : 1);
    if (!npy->copy)
        return pg_fail(PG_ENOMEM, "out of memory for %zu bytes", bytes);
    memcpy(npy->copy, npy->data, bytes);
    npy->data = npy->copy;
    return PG_OK;
}

int pg_npy_open(const char *path, pg_npy *out)
{
    *out = (pg_npy){0};
    int code = PG_OK, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pg_fail(errno == ENOENT ? PG_EMISSING : PG_EIO, "%s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(fd, &status) != 0)
        code = pg_fail(PG_EIO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode))
        code = pg_fail(PG_EINPUT, "%s: not a regular file", path);
    else if (status.st_size == 0)
        code = pg_fail(PG_EDAMAGED, "%s: empty, not a .npy file", path);
    if (code)
        goto out;
    out->map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (out->map == MAP_FAILED) {
        out->map = NULL;
        code = pg_fail(PG_EIO, "%s: %s", path, strerror(errno));
        goto out;
    }
    out->map_size = (size_t)status.st_size;
    code = parse(path, out);
    if (!code)
        code = align(out);
out:
    close(fd);
    if (code)
        pg_npy_release(out);
    return code;
}

void pg_npy_release(pg_npy *npy)
{
    if (npy->map)
        munmap(npy->map, npy->map_size);
    free(npy->copy);
    *npy = (pg_npy){0};
}

/* Writing -------------------------------------------------------------------------------------------------------------- */

int pg_npy_write_header(FILE *stream, pg_npy_dtype dtype, int rank, const int64_t *shape)
{
    /* Largest: 60 bytes of keys and 22 a dimension, well below the 65535 of format 1.0. */
    char text[512];
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", types[dtype].descr);
    for (int i = 0; i < rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%lld%s", (long long)shape[i],
                      rank == 1      ? ","
                      : i + 1 < rank ? ", "
                                     : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    /* Spaces and a newline bring the elements to a multiple of 64. */
    int length = (10 + n + 1 + 63) / 64 * 64 - 10;
    unsigned char start[10] = {0, 0, 0, 0, 0, 0, 1, 0, (unsigned char)(length & 255), (unsigned char)(length >> 8)};
    memcpy(start, magic, sizeof magic);
    if (fwrite(start, 1, sizeof start, stream) != sizeof start ||
        fprintf(stream, "%s%*s\n", text, length - n - 1, "") != length)
        return pg_fail(PG_EIO, "writing a .npy header: %s", strerror(errno));
    return PG_OK;
}
