/* Source: torch/serialization.py of PyTorch 1.13 and 2: _save and _legacy_save. */
#include "harness/base/pth.h"

#include "harness/base/file_kind.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { ENTRIES_MAX = 100000, ENTRY_NAME_MAX = 300, PICKLE_MAX = 16 << 20 };

static const uint64_t unpacked_max = UINT64_C(2) << 30; /* of TorchScript */

/* A storage of the older layout. */
typedef struct placed {
    const char *key; /* borrowed from the pickle */
    size_t item, at; /* bytes an element; the first byte in the file, 0: not found yet */
    int64_t count;
} placed;

struct pg_pth {
    const uint8_t *data;
    size_t size;
    pg_pickle *pickle;
    /* a zip archive: NULL where the file is none */
    zip_t *zip;
    char root[ENTRY_NAME_MAX];    /* the folder all entries lie in, with its slash */
    void *pickle_bytes, *storage; /* storage: the one read last */
    char *storage_name;
    size_t storage_size;
    /* the older layout */
    pg_pickle *keys;
    placed *places; /* by key */
    size_t n_places;
};

static int by_key(const void *left, const void *right)
{
    return strcmp(((const placed *)left)->key, ((const placed *)right)->key);
}

/* The older layout starts with the pickle of this number, then of a version. */
static const char magic[] = "119547037146038801333356";
enum { VERSION = 1001 };

/* ---- The zip archive ---- */

static int zip_failed(zip_t *zip) { return pg_fail(PG_EDAMAGED, "the zip archive is damaged: %s", zip_strerror(zip)); }

/* A name that could be told on a terminal and would stay in its folder: no such name is used, and one that is not so has a
 * purpose. */
static bool name_is_plain(const char *name)
{
    if (*name == '/' || strlen(name) >= ENTRY_NAME_MAX || strstr(name, "//") || strchr(name, '\\'))
        return false;
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            return false;
        if ((c == name || c[-1] == '/') && c[0] == '.' && (c[1] == '.' || c[1] == '/'))
            return false;
    }
    return true;
}

static int check_entry(const pg_pth *p, const zip_stat_t *s)
{
    const zip_uint64_t needed =
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if ((s->valid & needed) != needed)
        return pg_fail(PG_EDAMAGED, "the zip archive has an entry without name or size");
    if (!name_is_plain(s->name))
        return pg_fail(PG_EDAMAGED,
                       "the zip archive has an entry whose name is no plain path: right would be ARCHIVE/data/KEY");
    if (s->encryption_method != ZIP_EM_NONE)
        return pg_fail(PG_EUNSUPPORTED, "entry %s of the zip archive is encrypted", s->name);
    if (s->comp_method != ZIP_CM_STORE || s->comp_size != s->size)
        return pg_fail(PG_EUNSUPPORTED, "entry %s of the zip archive is compressed; torch.save stores entries as they are",
                       s->name);
    if (s->size > p->size)
        return pg_fail(PG_EDAMAGED, "entry %s of the zip archive states %" PRIu64 " bytes, the file has %zu", s->name,
                       (uint64_t)s->size, p->size);
    return PG_OK;
}

/* The folder that data.pkl lies in is the root; an archive without one is of somebody else. */
static int find_root(pg_pth *p, zip_int64_t n)
{
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(p->zip, (zip_uint64_t)i, 0), *slash = name ? strchr(name, '/') : NULL;
        if (!slash || strlen(name) >= ENTRY_NAME_MAX)
            continue;
        if (strcmp(slash, "/constants.pkl") == 0)
            return pg_fail(PG_EUNSUPPORTED, "this is TorchScript, a program; `model import torchscript FILE --trust` runs and "
                                            "imports it, see `patchgauge help model`");
        if (strcmp(slash, "/data.pkl") == 0 && !*p->root)
            snprintf(p->root, sizeof p->root, "%.*s", (int)(slash + 1 - name), name);
    }
    return *p->root ? PG_OK
                    : pg_fail(PG_EUNSUPPORTED, "is a zip archive that torch.save did not write: it has no entry "
                                               "ARCHIVE/data.pkl; where it holds a file of weights, unpack it");
}

/* Every entry of the archive. That no name comes twice is part of libzip's check. */
static int check_entries(pg_pth *p)
{
    zip_int64_t n = zip_get_num_entries(p->zip, 0);
    if (n < 1 || n > ENTRIES_MAX)
        return pg_fail(PG_EUNSUPPORTED, "the zip archive has %" PRId64 " entries; 1 to %d are read", (int64_t)n, ENTRIES_MAX);
    int code = find_root(p, n);
    for (zip_int64_t i = 0; code == PG_OK && i < n; i++) {
        zip_stat_t s;
        code = zip_stat_index(p->zip, (zip_uint64_t)i, 0, &s) == 0 ? check_entry(p, &s) : zip_failed(p->zip);
    }
    return code;
}

/* *new* bytes of an entry, whose checksum is right; PG_EMISSING where there is none. */
static int read_entry(pg_pth *p, const char *name, size_t max, void **out, size_t *size)
{
    zip_stat_t s;
    char *bytes = NULL;
    zip_file_t *f = NULL;
    if (zip_stat(p->zip, name, 0, &s) != 0)
        return pg_fail(PG_EMISSING, "the zip archive has no entry %s", name);
    if (s.size > max)
        return pg_fail(PG_EUNSUPPORTED, "entry %s of the zip archive has %" PRIu64 " bytes; at most %zu are read", name,
                       (uint64_t)s.size, max);
    int code = PG_OK;
    char end;
    if (!(bytes = malloc((size_t)s.size + 1)))
        code = pg_fail(PG_ENOMEM, "out of memory for %" PRIu64 " bytes", (uint64_t)s.size);
    else if (!(f = zip_fopen_index(p->zip, s.index, 0)))
        code = zip_failed(p->zip);
    else if (zip_fread(f, bytes, s.size) != (zip_int64_t)s.size ||
             zip_fread(f, &end, 1) != 0) /* the end is where the checksum is held against */
        code = pg_fail(PG_EDAMAGED, "entry %s of the zip archive is damaged: %s", name, zip_file_strerror(f));
    if (f)
        zip_fclose(f);
    if (code != PG_OK) {
        free(bytes);
        return code;
    }
    *out = bytes;
    *size = (size_t)s.size;
    return PG_OK;
}

static int check_byte_order(pg_pth *p)
{
    char name[ENTRY_NAME_MAX + 16];
    void *bytes = NULL;
    size_t size = 0;
    snprintf(name, sizeof name, "%sbyteorder", p->root);
    if (zip_name_locate(p->zip, name, 0) < 0)
        return PG_OK; /* older than torch 2.1: little endian */
    int code = read_entry(p, name, 16, &bytes, &size);
    if (code == PG_OK && (size != 6 || memcmp(bytes, "little", 6) != 0))
        code = pg_fail(PG_EUNSUPPORTED, "its elements are not little endian");
    free(bytes);
    return code;
}

/* data[size] as an archive, *borrowed*; *new*, zip_discard. */
static int open_archive(const void *data, size_t size, zip_t **out)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(data, size, 0, &error);
    *out = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error) : NULL;
    int code = *out ? PG_OK : pg_fail(PG_EDAMAGED, "the zip archive is damaged: %s", zip_error_strerror(&error));
    if (!*out && source)
        zip_source_free(source);
    zip_error_fini(&error);
    return code;
}

static int open_zip(pg_pth *p)
{
    int code = open_archive(p->data, p->size, &p->zip);
    char name[ENTRY_NAME_MAX + 16];
    size_t size = 0, used = 0;
    if (code == PG_OK)
        code = check_entries(p);
    if (code == PG_OK)
        code = check_byte_order(p);
    snprintf(name, sizeof name, "%sdata.pkl", p->root);
    if (code == PG_OK)
        code = read_entry(p, name, PICKLE_MAX, &p->pickle_bytes, &size);
    if (code == PG_OK)
        code = pg_pickle_read(p->pickle_bytes, size, &p->pickle, &used);
    if (code == PG_OK && used != size)
        code = pg_fail(PG_EDAMAGED, "%zu bytes behind the pickle", size - used);
    return code;
}

/* One storage is kept: the next tensor is often another view of it. */
static int zip_storage(pg_pth *p, const pg_pickle_storage *s, const void **out)
{
    char name[2 * ENTRY_NAME_MAX];
    size_t want = (size_t)s->count * pg_element_size(s->element);
    int n = snprintf(name, sizeof name, "%sdata/%s", p->root, s->key);
    if (n < 0 || (size_t)n >= sizeof name || strchr(s->key, '/'))
        return pg_fail(PG_EDAMAGED, "a storage whose name is no name of an entry");
    int code = PG_OK;
    if (!p->storage_name || strcmp(p->storage_name, name) != 0) {
        free(p->storage);
        free(p->storage_name);
        p->storage = NULL;
        p->storage_name = NULL;
        code = read_entry(p, name, p->size, &p->storage, &p->storage_size);
        if (code == PG_OK && !(p->storage_name = strdup(name)))
            code = pg_fail(PG_ENOMEM, "out of memory");
    }
    if (code == PG_OK && p->storage_size != want)
        code = pg_fail(PG_EDAMAGED, "storage %s has %zu bytes, the pickle states %zu", s->key, p->storage_size, want);
    *out = p->storage;
    return code == PG_EMISSING ? PG_EDAMAGED : code;
}

/* ---- The older layout: number, version, system, the pickle, a list of keys, and for each its count and elements ---- */

static bool has_text(const pg_pickle_value *v, const char *text)
{
    return v->kind == PG_PICKLE_TEXT && strcmp(v->text, text) == 0;
}

/* The dictionary of the machine that wrote the file: only its byte order matters. */
static int read_system(const pg_pth *p, size_t *at)
{
    pg_pickle *system = NULL;
    size_t used = 0;
    int code = pg_pickle_read(p->data + *at, p->size - *at, &system, &used);
    if (code != PG_OK)
        return code;
    const pg_pickle_value *root = pg_pickle_root(system);
    bool little = false;
    for (size_t i = 0; root->kind == PG_PICKLE_DICT && i < root->n; i += 2)
        if (has_text(root->items[i], "little_endian"))
            little = root->items[i + 1]->kind == PG_PICKLE_BOOL && root->items[i + 1]->integer;
    pg_pickle_free(system);
    *at += used;
    return little ? PG_OK : pg_fail(PG_EUNSUPPORTED, "its elements are not little endian");
}

/* How many elements stand at `at`, and where they end. */
static int place(pg_pth *p, size_t i, size_t *at)
{
    const pg_pickle_value *key = pg_pickle_root(p->keys)->items[i];
    const placed wanted = {.key = key->kind == PG_PICKLE_TEXT ? key->text : ""};
    placed *s = p->n_places ? bsearch(&wanted, p->places, p->n_places, sizeof *s, by_key) : NULL;
    uint64_t count = 0;
    if (!s || s->at)
        return pg_fail(PG_EDAMAGED,
                       "storage %zu of the file is no storage of the pickle, of a type that is not known, or comes twice",
                       i + 1);
    for (int k = 0; p->size - *at >= 8 && k < 8; k++)
        count |= (uint64_t)p->data[*at + k] << 8 * k;
    if (p->size - *at < 8 || count > (p->size - *at - 8) / s->item)
        return pg_fail(PG_EDAMAGED, "the file ends within storage %s", s->key);
    s->at = *at + 8;
    s->count = (int64_t)count;
    *at = s->at + (size_t)count * s->item;
    return PG_OK;
}

static int place_storages(pg_pth *p, size_t at)
{
    const pg_pickle_value *v;
    size_t n = 0;
    for (size_t i = 0; (v = pg_pickle_at(p->pickle, i)); i++)
        n += v->kind == PG_PICKLE_STORAGE;
    if (!(p->places = calloc(n + 1, sizeof *p->places)))
        return pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; (v = pg_pickle_at(p->pickle, i)); i++)
        if (v->kind == PG_PICKLE_STORAGE)
            p->places[p->n_places++] = (placed){.key = v->storage.key, .item = pg_element_size(v->storage.element)};
    qsort(p->places, n, sizeof *p->places, by_key);
    p->n_places = n ? 1 : 0;
    for (size_t i = 1; i < n; i++)
        if (by_key(&p->places[p->n_places - 1], &p->places[i]) != 0)
            p->places[p->n_places++] = p->places[i];
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_pickle_root(p->keys)->n; i++)
        code = place(p, i, &at);
    if (code == PG_OK && at != p->size)
        code = pg_fail(PG_EDAMAGED, "%zu bytes behind the last storage", p->size - at);
    return code;
}

/* The number and the version, of any protocol. */
static int read_magic(const pg_pth *p, size_t *at)
{
    bool right = true;
    for (int i = 0; i < 2; i++) {
        pg_pickle *pickle = NULL;
        size_t used = 0;
        int code = pg_pickle_read(p->data + *at, p->size - *at, &pickle, &used);
        if (code != PG_OK)
            return code;
        const pg_pickle_value *root = pg_pickle_root(pickle);
        right = i == 0 ? root->kind == PG_PICKLE_BIG && strcmp(root->text, magic) == 0
                       : right && root->kind == PG_PICKLE_INT && root->integer == VERSION;
        pg_pickle_free(pickle);
        *at += used;
        if (!right)
            return pg_fail(PG_EUNSUPPORTED, "a bare pickle, or a layout of torch that is not known; right would be a file that "
                                            "torch.save made of model.state_dict()");
    }
    return PG_OK;
}

static int open_legacy(pg_pth *p)
{
    size_t at = 0, used = 0;
    int code = read_magic(p, &at);
    if (code == PG_OK)
        code = read_system(p, &at);
    if (code == PG_OK)
        code = pg_pickle_read(p->data + at, p->size - at, &p->pickle, &used);
    at += used;
    if (code == PG_OK && !(code = pg_pickle_read(p->data + at, p->size - at, &p->keys, &used))) {
        at += used;
        code = pg_pickle_root(p->keys)->kind == PG_PICKLE_LIST ? place_storages(p, at)
                                                               : pg_fail(PG_EDAMAGED, "the list of storages is no list");
    }
    return code != PG_OK ? pg_fail_at(code, "from byte %zu on", at) : PG_OK;
}

static int legacy_storage(const pg_pth *p, const pg_pickle_storage *s, const void **out)
{
    const placed wanted = {.key = s->key},
                 *found = p->n_places ? bsearch(&wanted, p->places, p->n_places, sizeof *found, by_key) : NULL;
    if (!found || !found->at || found->count != s->count || found->item != pg_element_size(s->element))
        return pg_fail(PG_EDAMAGED, "storage %s is not in the file with the %" PRId64 " elements that the pickle states",
                       s->key, s->count);
    *out = p->data + found->at;
    return PG_OK;
}

/* ---- Both ---- */

int pg_pth_open(const void *data, size_t size, pg_pth **out)
{
    pg_pth *p = calloc(1, sizeof *p);
    if (!p)
        return pg_fail(PG_ENOMEM, "out of memory");
    p->data = data;
    p->size = size;
    int code = size >= 4 && memcmp(data, "PK\3\4", 4) == 0 ? open_zip(p) : open_legacy(p);
    if (code != PG_OK)
        pg_pth_close(p);
    else
        *out = p;
    return code;
}

void pg_pth_close(pg_pth *p)
{
    if (!p)
        return;
    pg_pickle_free(p->pickle);
    pg_pickle_free(p->keys);
    free(p->places);
    if (p->zip)
        zip_discard(p->zip);
    free(p->pickle_bytes);
    free(p->storage);
    free(p->storage_name);
    free(p);
}

const pg_pickle *pg_pth_pickle(const pg_pth *p) { return p->pickle; }

int pg_pth_storage(pg_pth *p, const pg_pickle_storage *s, const void **out)
{
    return p->zip ? zip_storage(p, s, out) : legacy_storage(p, s, out);
}

/* Elements of a view in row-major order, each `item` bytes, into out. The view lies within its storage (harness/base/pickle.h).
 */
static void gather(const pg_pickle_tensor *view, const char *storage, size_t item, size_t count, char *out)
{
    int64_t place[PG_ST_MAX_DIM] = {0};
    int64_t at = view->offset;
    for (size_t i = 0; i < count; i++) {
        memcpy(out + i * item, storage + (size_t)at * item, item);
        for (int axis = view->rank - 1; axis >= 0; axis--) {
            if (view->shape[axis] == 1)
                continue; /* its stride means nothing */
            at += view->stride[axis];
            if (++place[axis] < view->shape[axis])
                break;
            at -= view->stride[axis] * view->shape[axis];
            place[axis] = 0;
        }
    }
}

int pg_pth_floats(pg_pth *p, const pg_pickle_tensor *view, float *out, size_t count)
{
    static const pg_st_dtype types[] = {[PG_ELEMENT_F16] = PG_ST_F16,
                                        [PG_ELEMENT_BF16] = PG_ST_BF16,
                                        [PG_ELEMENT_F32] = PG_ST_F32,
                                        [PG_ELEMENT_F64] = PG_ST_F64};
    pg_element element = view->storage->element;
    if (element > PG_ELEMENT_F64)
        return pg_fail(PG_EUNSUPPORTED, "holds %s, no floating-point numbers",
                       element <= PG_ELEMENT_BOOL ? "integers" : "complex or quantized numbers");
    size_t item = pg_element_size(element);
    const void *storage = NULL;
    char *bytes = malloc(count * item + 1);
    int code = bytes ? pg_pth_storage(p, view->storage, &storage) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK) {
        gather(view, storage, item, count, bytes);
        pg_st_tensor t = {
            .name = "", .dtype = types[element], .rank = 1, .shape = {(int64_t)count}, .data = bytes, .size = count * item};
        code = pg_st_to_float(&t, out, count);
    }
    free(bytes);
    return code;
}

/* torch.storage._load_from_bytes(bytes) in the place of a storage, which pickle.dump of a tensor writes: the bytes are a file
 * of torch.save whose root is the storage. */
int pg_pth_embedded(const pg_pickle *pickle, const pg_pickle_value *v, pg_pth **out, pg_pickle_tensor *view)
{
    static const char loader[] = "torch.storage._load_from_bytes";
    const uint8_t *bytes = NULL;
    size_t size = 0;
    bool repeats = false;
    *out = NULL;
    const pg_pickle_value *storage = v->kind == PG_PICKLE_OPAQUE && v->n >= 4 ? v->items[0] : NULL;
    if (!storage || storage->kind != PG_PICKLE_OPAQUE || strcmp(storage->name, loader) != 0 || storage->n != 1 ||
        !pg_pickle_bytes(pickle, storage->items[0], &bytes, &size))
        return pg_fail(PG_EUNSUPPORTED, "pickle, byte %zu: no tensor with its elements, as pickle.dump writes it", v->at);
    int code = pg_pth_open(bytes, size, out);
    const pg_pickle_value *root = code == PG_OK ? pg_pickle_root((*out)->pickle) : NULL;
    if (root && root->kind != PG_PICKLE_STORAGE)
        code = pg_fail(PG_EDAMAGED, "its elements are not those of a storage");
    if (code == PG_OK)
        code = pg_pickle_view(&root->storage, v->items[1], v->items[2], v->items[3], view, &repeats);
    if (code == PG_OK && repeats)
        code = pg_fail(PG_EUNSUPPORTED, "a tensor that repeats elements of its storage");
    if (code == PG_OK)
        return PG_OK;
    pg_pth_close(*out);
    *out = NULL;
    return pg_fail_at(code, "tensor at byte %zu of the pickle", v->at);
}

int pg_pth_check_script(const void *data, size_t size)
{
    static const char right[] = "right would be what torch.jit.script(module).save(FILE) writes";
    const char *kind = pg_bytes_kind(data, size);
    zip_t *zip = NULL;
    if (size < 4 || memcmp(data, "PK\3\4", 4) != 0)
        return pg_fail(PG_EINPUT, "is %s, no TorchScript; %s", kind ? kind : "safetensors", right);
    int code = open_archive(data, size, &zip);
    zip_int64_t n = code != PG_OK ? 0 : zip_get_num_entries(zip, 0);
    bool script = false, tensors = false;
    uint64_t unpacked = 0;
    for (zip_int64_t i = 0; i < n; i++) {
        zip_stat_t s;
        if (zip_stat_index(zip, (zip_uint64_t)i, 0, &s) != 0 || !(s.valid & ZIP_STAT_SIZE) || !(s.valid & ZIP_STAT_NAME))
            continue;
        script |= strstr(s.name, "/code/") || strstr(s.name, "/constants.pkl") || strstr(s.name, "/model.json");
        tensors |= strstr(s.name, "/data.pkl") != NULL;
        unpacked += s.size <= unpacked_max ? s.size : unpacked_max + 1;
    }
    if (code == PG_OK && !script)
        code = pg_fail(
            PG_EINPUT,
            tensors ? "is a file of torch.save, weights without their program: `model import FILE` reads it; as TorchScript, %s"
                    : "is a zip archive, no TorchScript; %s",
            right);
    if (code == PG_OK && unpacked > unpacked_max)
        code = pg_fail(PG_EINPUT, "unpacks to more than 2 GiB");
    if (zip)
        zip_discard(zip);
    return code;
}
