/* .npy files. See npy.h. The header is a Python dictionary with the keys descr, fortran_order and shape, each once, in any
 * order; nothing else is accepted. The file has to be exactly as long as the header says. Files are read and not mapped: one
 * that is cut short meanwhile is an error. */
#include "harness/base/npy.h"

#include "harness/base/npy_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *descr;
    size_t size;
} types[] = {
    [PG_NPY_F2] = {"<f2", 2}, [PG_NPY_F4] = {"<f4", 4}, [PG_NPY_F8] = {"<f8", 8}, [PG_NPY_I1] = {"|i1", 1},
    [PG_NPY_I2] = {"<i2", 2}, [PG_NPY_I4] = {"<i4", 4}, [PG_NPY_I8] = {"<i8", 8}, [PG_NPY_U1] = {"|u1", 1},
    [PG_NPY_U2] = {"<u2", 2}, [PG_NPY_U4] = {"<u4", 4}, [PG_NPY_U8] = {"<u8", 8},
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
    bool any = c->at > start;
    if (any && c->at < c->end && *c->at == 'L') /* a long of Python 2 */
        c->at++;
    *out = value;
    return any;
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
    return pg_fail(PG_EUNSUPPORTED,
                   "%s: elements of type '%s'; little-endian float16, float32, float64 and integers are supported", path,
                   descr);
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
            if (code != PG_OK)
                return code;
        } else if (has == &has_order) {
            npy->fortran = take(&c, "True");
            if (!npy->fortran && !take(&c, "False"))
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

enum { HEADER_MAX = 1 << 20 };

/* Reads what stands before the header: its size follows. */
static int read_start(const char *path, pg_npy_source *source, size_t *length)
{
    unsigned char bytes[12];
    if (pg_npy_source_left(source) < 10)
        return pg_fail(PG_EDAMAGED, "%s: not a .npy file", path);
    int code = pg_npy_source_take(source, bytes, 10);
    if (code != PG_OK)
        return code;
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return pg_fail(PG_EDAMAGED, "%s: not a .npy file", path);
    int version = bytes[6];
    if (version < 1 || version > 3 || bytes[7] != 0)
        return pg_fail(PG_EUNSUPPORTED, "%s: .npy format %d.%d; 1.0 to 3.0 are supported", path, version, bytes[7]);
    *length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1) {
        code = pg_npy_source_left(source) < 2 ? pg_fail(PG_EDAMAGED, "%s: ends inside its header", path)
                                              : pg_npy_source_take(source, bytes + 10, 2);
        *length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    if (code == PG_OK && *length > pg_npy_source_left(source))
        code = pg_fail(PG_EDAMAGED, "%s: ends inside its header", path);
    if (code == PG_OK && *length > HEADER_MAX)
        code = pg_fail(PG_EDAMAGED, "%s: a header of %zu bytes; at most %d are read", path, *length, HEADER_MAX);
    return code;
}

/* The elements that the shape makes, which have to be all that is left. */
static int check_size(const char *path, pg_npy *npy)
{
    size_t item = pg_npy_item_size(npy->dtype), count = 1;
    uint64_t body = pg_npy_source_left(npy->source);
    bool empty = false, fits = true;
    for (int i = 0; i < npy->rank; i++)
        empty |= npy->shape[i] == 0;
    for (int i = 0; i < npy->rank && !empty; i++) {
        fits = fits && (size_t)npy->shape[i] <= SIZE_MAX / item / count;
        count *= fits ? (size_t)npy->shape[i] : 1;
    }
    npy->count = empty ? 0 : count;
    if (!fits || body != npy->count * item)
        return pg_fail(PG_EDAMAGED, "%s: %llu bytes of elements, but the shape in the header needs %s", path,
                       (unsigned long long)body, !fits || npy->count * item > body ? "more" : "fewer");
    return PG_OK;
}

static int read_header(pg_npy *npy)
{
    const char *path = pg_npy_source_name(npy->source);
    size_t length = 0;
    int code = read_start(path, npy->source, &length);
    if (code != PG_OK)
        return code;
    char *text = malloc(length + 1);
    code = text ? pg_npy_source_take(npy->source, text, length) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = parse_header(path, (cursor){text, text + length}, npy);
    free(text);
    return code != PG_OK ? code : check_size(path, npy);
}

int pg_npy_open(const char *path, const char *key, const char *const *names, pg_npy *out)
{
    *out = (pg_npy){0};
    int code = pg_npy_source_open(path, key, names, &out->source);
    if (code == PG_OK)
        code = read_header(out);
    if (code != PG_OK)
        pg_npy_release(out);
    return code;
}

/* ---- Elements ---- */

/* Room for all elements; *new*. */
static void *make_room(const pg_npy *npy)
{
    size_t bytes = npy->count * pg_npy_item_size(npy->dtype);
    void *room = bytes > SIZE_MAX - 64 ? NULL : aligned_alloc(64, (bytes + 64) & ~(size_t)63);
    if (!room)
        (void)pg_fail(PG_ENOMEM, "%s: out of memory for %zu bytes", pg_npy_source_name(npy->source), bytes);
    return room;
}

/* Elements stored with the first axis fastest into those with the last one fastest. */
static void reorder(const pg_npy *npy, const unsigned char *from, unsigned char *to)
{
    size_t item = pg_npy_item_size(npy->dtype), at[PG_NPY_MAX_DIM] = {0}, stride[PG_NPY_MAX_DIM], step = item;
    for (int i = 0; i < npy->rank; i++) {
        stride[i] = step;
        step *= (size_t)npy->shape[i];
    }
    for (size_t n = 0, source = 0; n < npy->count; n++, to += item) {
        memcpy(to, from + source, item);
        for (int i = npy->rank - 1; i >= 0; i--) {
            source += stride[i];
            if (++at[i] < (size_t)npy->shape[i])
                break;
            source -= stride[i] * (size_t)npy->shape[i];
            at[i] = 0;
        }
    }
}

/* All elements in C order into npy->memory. */
static int read_all(pg_npy *npy)
{
    void *stored = make_room(npy), *ordered = NULL;
    int code = stored ? pg_npy_source_take(npy->source, stored, npy->count * pg_npy_item_size(npy->dtype)) : PG_ENOMEM;
    if (code == PG_OK && npy->fortran) {
        ordered = make_room(npy);
        code = ordered ? PG_OK : PG_ENOMEM;
    }
    if (ordered)
        reorder(npy, stored, ordered);
    if (code != PG_OK || ordered) {
        free(stored);
        stored = ordered;
    }
    npy->memory = stored;
    return code;
}

int pg_npy_next(pg_npy *npy, void *to, size_t n)
{
    size_t item = pg_npy_item_size(npy->dtype);
    int code = PG_OK;
    if (!npy->fortran && !npy->memory)
        code = pg_npy_source_take(npy->source, to, n * item);
    else if (!npy->memory)
        code = read_all(npy);
    if (code == PG_OK && npy->memory)
        memcpy(to, (unsigned char *)npy->memory + npy->taken * item, n * item);
    npy->taken += code == PG_OK ? n : 0;
    return code;
}

int pg_npy_load(pg_npy *npy)
{
    int code = npy->memory ? PG_OK : read_all(npy);
    npy->data = npy->memory;
    return code;
}

void pg_npy_release(pg_npy *npy)
{
    pg_npy_source_close(npy->source);
    free(npy->memory);
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
