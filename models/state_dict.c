#include "models/state_dict.h"

#include "harness/base/file.h"
#include "models/pth.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pg_state_file {
    char *data; /* of a .pth */
    pg_pth *pth;
    pg_st_file *st; /* or safetensors */
    pg_state_dict *dicts;
    size_t n;
    char hash[PG_HASH_HEX];
};

static const size_t file_max = (size_t)4 << 30;

static int by_name(const void *left, const void *right)
{
    return strcmp(((const pg_state_tensor *)left)->name, ((const pg_state_tensor *)right)->name);
}

/* Room for a dictionary of n tensors. */
static int add_dict(pg_state_file *f, const char *path, size_t n, pg_state_dict **out)
{
    if (f->n == PG_STATE_DICTS_MAX || n > PG_STATE_TENSORS_MAX)
        return pg_fail(PG_EUNSUPPORTED, "more than %d dictionaries with tensors, or %zu tensors in one of them, of at most %d", PG_STATE_DICTS_MAX, n,
                       PG_STATE_TENSORS_MAX);
    pg_state_dict *dicts = realloc(f->dicts, (f->n + 1) * sizeof *dicts);
    if (!dicts)
        return pg_fail(PG_ENOMEM, "out of memory");
    f->dicts = dicts;
    *out = &dicts[f->n++];
    **out = (pg_state_dict){.tensors = calloc(n + 1, sizeof(pg_state_tensor))};
    snprintf((*out)->path, sizeof(*out)->path, "%s", path);
    return (*out)->tensors ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}

/* Sorted by name, so that they are found; a name given twice has no meaning. */
static int seal_dict(pg_state_dict *d)
{
    qsort(d->tensors, d->n, sizeof *d->tensors, by_name);
    for (size_t i = 1; i < d->n; i++)
        if (strcmp(d->tensors[i - 1].name, d->tensors[i].name) == 0)
            return pg_fail(PG_EDAMAGED, "tensor '%s' comes twice", d->tensors[i].name);
    return PG_OK;
}

/* ---- Pickles ---- */

static bool printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            return false;
    return true;
}

static int add_tensors(pg_state_file *f, const pg_pickle_value *v, const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i += 2)
        n += v->items[i]->kind == PG_PICKLE_TEXT && v->items[i + 1]->kind == PG_PICKLE_TENSOR;
    if (n == 0)
        return PG_OK;
    pg_state_dict *d = NULL;
    int code = add_dict(f, path, n, &d);
    for (size_t i = 0; !code && i < v->n; i += 2) {
        if (v->items[i]->kind != PG_PICKLE_TEXT || v->items[i + 1]->kind != PG_PICKLE_TENSOR)
            continue;
        const pg_pickle_tensor *view = &v->items[i + 1]->tensor;
        if (!printable(v->items[i]->text))
            return pg_fail(PG_EDAMAGED, "pickle, byte %zu: the name of a tensor is not printable", v->items[i]->at);
        pg_state_tensor *t = &d->tensors[d->n++];
        *t = (pg_state_tensor){.name = v->items[i]->text, .rank = view->rank, .view = view};
        memcpy(t->shape, view->shape, sizeof t->shape);
    }
    return code ? code : seal_dict(d);
}

/* Every dictionary that has tensors, but each once. The pickle has no cycles and a bounded depth; dictionaries met again are passed by. */
static int walk(pg_state_file *f, const pg_pickle_value *v, const char *path, const pg_pickle_value **met, size_t *n_met)
{
    if (v->kind != PG_PICKLE_DICT)
        return PG_OK;
    for (size_t i = 0; i < *n_met; i++)
        if (met[i] == v)
            return PG_OK;
    if (*n_met == PG_STATE_DICTS_MAX)
        return pg_fail(PG_EUNSUPPORTED, "more than %d dictionaries", PG_STATE_DICTS_MAX);
    met[(*n_met)++] = v;
    int code = add_tensors(f, v, path);
    for (size_t i = 0; !code && i < v->n; i += 2) {
        char below[200];
        const pg_pickle_value *key = v->items[i];
        if (v->items[i + 1]->kind != PG_PICKLE_DICT || key->kind != PG_PICKLE_TEXT || !printable(key->text))
            continue;
        if (snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", key->text) < (int)sizeof below)
            code = walk(f, v->items[i + 1], below, met, n_met);
    }
    return code;
}

static int open_pth(pg_state_file *f, size_t size)
{
    const pg_pickle_value *met[PG_STATE_DICTS_MAX];
    size_t n_met = 0;
    int code = pg_hash_bytes(f->data, size, f->hash);
    if (!code)
        code = pg_pth_open(f->data, size, &f->pth);
    return code ? code : walk(f, pg_pickle_root(pg_pth_pickle(f->pth)), "", met, &n_met);
}

/* ---- safetensors ---- */

static int open_st(pg_state_file *f, const char *path)
{
    int code = pg_st_open(path, &f->st);
    if (code)
        return code;
    snprintf(f->hash, sizeof f->hash, "%s", pg_st_hash(f->st));
    pg_state_dict *d = NULL;
    code = add_dict(f, "", pg_st_count(f->st), &d);
    for (size_t i = 0; !code && i < pg_st_count(f->st); i++) {
        const pg_st_tensor *whole = pg_st_at(f->st, i);
        pg_state_tensor *t = &d->tensors[d->n++];
        *t = (pg_state_tensor){.name = whole->name, .rank = whole->rank, .whole = whole};
        memcpy(t->shape, whole->shape, sizeof t->shape);
    }
    if (!code)
        code = seal_dict(d);
    return code ? pg_fail_at(code, "%s", path) : PG_OK;
}

/* ---- Both ---- */

/* The first bytes say which it is. */
static int starts_like_pth(const char *path, bool *out)
{
    char start[16];
    FILE *stream = fopen(path, "rbe");
    if (!stream)
        return pg_fail(PG_EMISSING, "%s: there is no such file, or it cannot be read", path);
    *out = pg_pth_starts(start, fread(start, 1, sizeof start, stream));
    fclose(stream);
    return PG_OK;
}

int pg_state_open(const char *path, pg_state_file **out)
{
    bool pth = false;
    size_t size = 0;
    int code = starts_like_pth(path, &pth);
    if (code)
        return code;
    pg_state_file *f = calloc(1, sizeof *f);
    if (!f)
        return pg_fail(PG_ENOMEM, "%s: out of memory", path);
    if (!pth)
        code = open_st(f, path);
    else if (!(code = pg_file_read(path, file_max, &f->data, &size)) && (code = open_pth(f, size)))
        pg_fail_at(code, "%s", path);
    if (code)
        pg_state_close(f);
    else
        *out = f;
    return code;
}

void pg_state_close(pg_state_file *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        free(f->dicts[i].tensors);
    free(f->dicts);
    pg_pth_close(f->pth);
    pg_st_close(f->st);
    free(f->data);
    free(f);
}

const pg_state_dict *pg_state_at(const pg_state_file *f, size_t i) { return i < f->n ? &f->dicts[i] : NULL; }
const char *pg_state_hash(const pg_state_file *f) { return f->hash; }
const char *pg_state_kind(const pg_state_file *f) { return f->pth ? "torch.save" : "safetensors"; }

const pg_state_tensor *pg_state_find(const pg_state_dict *d, const char *name)
{
    const pg_state_tensor wanted = {.name = name};
    return d->n ? bsearch(&wanted, d->tensors, d->n, sizeof wanted, by_name) : NULL;
}

/* Elements of a view in row-major order, each `item` bytes, into out. The view lies within its storage (models/pickle.h). */
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

static int read_view(pg_state_file *f, const pg_pickle_tensor *view, float *out, size_t count)
{
    static const pg_st_dtype types[] = {
        [PG_ELEMENT_F16] = PG_ST_F16, [PG_ELEMENT_BF16] = PG_ST_BF16, [PG_ELEMENT_F32] = PG_ST_F32, [PG_ELEMENT_F64] = PG_ST_F64};
    pg_element element = view->storage->element;
    if (element > PG_ELEMENT_F64)
        return pg_fail(PG_EUNSUPPORTED, "holds integers; weights are floating point");
    size_t item = pg_element_size(element);
    const void *storage = NULL;
    char *bytes = malloc(count * item + 1);
    int code = bytes ? pg_pth_storage(f->pth, view->storage, &storage) : pg_fail(PG_ENOMEM, "out of memory");
    if (!code) {
        gather(view, storage, item, count, bytes);
        pg_st_tensor t = {.name = "", .dtype = types[element], .rank = 1, .shape = {(int64_t)count}, .data = bytes, .size = count * item};
        code = pg_st_to_float(&t, out, count);
    }
    free(bytes);
    return code;
}

int pg_state_read(pg_state_file *f, const pg_state_tensor *t, float *out, size_t count)
{
    int code = t->view ? read_view(f, t->view, out, count) : pg_st_to_float(t->whole, out, count);
    for (size_t i = 0; !code && i < count; i++)
        if (!isfinite(out[i]))
            code = pg_fail(PG_EDAMAGED, "holds a value that is not finite, as element %zu", i);
    return code ? pg_fail_at(code, "tensor '%s'", t->name) : PG_OK;
}
