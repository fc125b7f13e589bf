#include "models/state_dict.h"

#include "harness/base/file.h"
#include "harness/base/file_kind.h"
#include "harness/base/pth.h"

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
    pg_state_beside *beside;
    size_t n_beside;
    char hash[PG_HASH_HEX];
};

enum { BESIDE_MAX = 1000, DEPTH_MAX = 64 };

static const size_t file_max = (size_t)4 << 30;

static int by_name(const void *left, const void *right)
{
    return strcmp(((const pg_state_tensor *)left)->name, ((const pg_state_tensor *)right)->name);
}

/* Room for a dictionary of n tensors. */
static int add_dict(pg_state_file *f, const char *path, size_t n, pg_state_dict **out)
{
    if (f->n == PG_STATE_DICTS_MAX || n > PG_STATE_TENSORS_MAX)
        return pg_fail(PG_EUNSUPPORTED, "more than %d dictionaries with tensors, or %zu tensors in one of them, of at most %d",
                       PG_STATE_DICTS_MAX, n, PG_STATE_TENSORS_MAX);
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

static bool is_text(const pg_pickle_value *v) { return v->kind == PG_PICKLE_TEXT && printable(v->text); }

/* A tensor, or what stands in the place of one. */
static bool is_tensor(const pg_pickle_value *v)
{
    return v->kind == PG_PICKLE_TENSOR || (v->kind == PG_PICKLE_OPAQUE && v->tensors);
}

static int add_tensors(pg_state_file *f, const pg_pickle_value *v, const char *path)
{
    size_t n = 0, whole = 0;
    for (size_t i = 0; i < v->n; i += 2) {
        bool named = v->items[i]->kind == PG_PICKLE_TEXT;
        n += named && is_tensor(v->items[i + 1]);
        whole += named && v->items[i + 1]->kind == PG_PICKLE_TENSOR;
    }
    if (whole == 0)
        return PG_OK;
    pg_state_dict *d = NULL;
    int code = add_dict(f, path, n, &d);
    for (size_t i = 0; code == PG_OK && i < v->n; i += 2) {
        const pg_pickle_value *key = v->items[i], *x = v->items[i + 1];
        if (key->kind != PG_PICKLE_TEXT || !is_tensor(x))
            continue;
        if (!printable(key->text))
            return pg_fail(PG_EDAMAGED, "pickle, byte %zu: the name of a tensor is not printable", key->at);
        pg_state_tensor *t = &d->tensors[d->n++];
        if (x->kind == PG_PICKLE_OPAQUE) {
            *t = (pg_state_tensor){.name = key->text, .rank = -1, .made_by = x->name};
            continue;
        }
        *t = (pg_state_tensor){.name = key->text, .rank = x->tensor.rank, .view = &x->tensor};
        memcpy(t->shape, x->tensor.shape, sizeof t->shape);
    }
    return code != PG_OK ? code : seal_dict(d);
}

static void describe(const pg_pickle_value *v, char *out, size_t size)
{
    static const char *const names[] = {
        [PG_PICKLE_TUPLE] = "tuple", [PG_PICKLE_LIST] = "list", [PG_PICKLE_SET] = "set", [PG_PICKLE_DICT] = "dictionary"};
    switch (v->kind) {
    case PG_PICKLE_NONE:
        snprintf(out, size, "None");
        break;
    case PG_PICKLE_BOOL:
        snprintf(out, size, v->integer ? "True" : "False");
        break;
    case PG_PICKLE_INT:
        snprintf(out, size, "%lld", (long long)v->integer);
        break;
    case PG_PICKLE_BIG:
        snprintf(out, size, "%s", v->text);
        break;
    case PG_PICKLE_FLOAT:
        snprintf(out, size, "%.6g", v->number);
        break;
    case PG_PICKLE_TEXT:
        snprintf(out, size, printable(v->text) ? "'%.40s'%s" : "a text", v->text, strlen(v->text) > 40 ? "..." : "");
        break;
    case PG_PICKLE_TUPLE:
    case PG_PICKLE_LIST:
    case PG_PICKLE_SET:
        snprintf(out, size, "a %s of %zu", names[v->kind], v->n);
        break;
    case PG_PICKLE_DICT:
        snprintf(out, size, "a %s of %zu", names[v->kind], v->n / 2);
        break;
    case PG_PICKLE_TENSOR:
        snprintf(out, size, "a tensor");
        break;
    case PG_PICKLE_STORAGE:
        snprintf(out, size, "a storage");
        break;
    case PG_PICKLE_NAME:
        snprintf(out, size, "a name of torch");
        break;
    case PG_PICKLE_OPAQUE:
        snprintf(out, size, "%s", v->name);
        break;
    }
}

/* Notes a value that is no tensor of a state dict; a list that is full says no more. */
static int note_beside(pg_state_file *f, const char *path, const pg_pickle_value *v)
{
    if (f->n_beside == BESIDE_MAX)
        return PG_OK;
    if (!f->beside && !(f->beside = calloc(BESIDE_MAX, sizeof *f->beside)))
        return pg_fail(PG_ENOMEM, "out of memory");
    pg_state_beside *b = &f->beside[f->n_beside++];
    snprintf(b->path, sizeof b->path, "%s", path);
    describe(v, b->what, sizeof b->what);
    b->object = v->kind == PG_PICKLE_OPAQUE;
    b->tensors = v->tensors;
    return PG_OK;
}

typedef struct walk {
    pg_state_file *file;
    const pg_pickle_value **met;
    size_t n_met;
} walk;

static int visit(walk *w, const pg_pickle_value *v, const char *path, int depth);

/* A value of a dictionary, or of a file that is a list. All that the file's own dictionary has is noted, and opaque values of
 * others. */
static int visit_item(walk *w, const pg_pickle_value *v, const char *path, const char *name, int depth)
{
    char below[PG_STATE_PATH];
    if (v->kind == PG_PICKLE_TENSOR ||
        snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", name) >= (int)sizeof below)
        return PG_OK;
    int code = depth == 0 || v->kind == PG_PICKLE_OPAQUE ? note_beside(w->file, below, v) : PG_OK;
    return code != PG_OK || v->kind != PG_PICKLE_DICT || depth == DEPTH_MAX ? code : visit(w, v, below, depth + 1);
}

/* Every dictionary that has tensors, but each once: dictionaries met again are passed by. */
static int visit(walk *w, const pg_pickle_value *v, const char *path, int depth)
{
    bool dict = v->kind == PG_PICKLE_DICT;
    for (size_t i = 0; i < w->n_met; i++)
        if (w->met[i] == v)
            return PG_OK;
    if (w->n_met == PG_STATE_DICTS_MAX)
        return pg_fail(PG_EUNSUPPORTED, "more than %d dictionaries", PG_STATE_DICTS_MAX);
    w->met[w->n_met++] = v;
    int code = dict ? add_tensors(w->file, v, path) : PG_OK;
    for (size_t i = 0; code == PG_OK && i < v->n; i += dict ? 2 : 1) {
        char place[24];
        snprintf(place, sizeof place, "%zu", i);
        if (!dict || is_text(v->items[i]))
            code = visit_item(w, v->items[i + dict], path, dict ? v->items[i]->text : place, depth);
    }
    return code;
}

static int open_pth(pg_state_file *f, size_t size)
{
    int code = pg_hash_bytes(f->data, size, f->hash);
    if (code == PG_OK)
        code = pg_pth_open(f->data, size, &f->pth);
    if (code != PG_OK)
        return code;
    const pg_pickle_value *root = pg_pickle_root(pg_pth_pickle(f->pth));
    walk w = {.file = f, .met = malloc(PG_STATE_DICTS_MAX * sizeof *w.met)};
    if (!w.met)
        return pg_fail(PG_ENOMEM, "out of memory");
    if (root->kind == PG_PICKLE_DICT || root->kind == PG_PICKLE_LIST || root->kind == PG_PICKLE_TUPLE)
        code = visit(&w, root, "", 0);
    free(w.met);
    return code;
}

/* ---- safetensors ---- */

static int open_st(pg_state_file *f, const char *path)
{
    int code = pg_st_open(path, &f->st);
    if (code != PG_OK)
        return code;
    snprintf(f->hash, sizeof f->hash, "%s", pg_st_hash(f->st));
    pg_state_dict *d = NULL;
    code = add_dict(f, "", pg_st_count(f->st), &d);
    for (size_t i = 0; code == PG_OK && i < pg_st_count(f->st); i++) {
        const pg_st_tensor *whole = pg_st_at(f->st, i);
        pg_state_tensor *t = &d->tensors[d->n++];
        *t = (pg_state_tensor){.name = whole->name, .rank = whole->rank, .whole = whole};
        memcpy(t->shape, whole->shape, sizeof t->shape);
    }
    if (code == PG_OK)
        code = seal_dict(d);
    return code != PG_OK ? pg_fail_at(code, "%s", path) : PG_OK;
}

/* ---- Both ---- */

/* What the first bytes say: a file of torch.save, or safetensors, or a file that is neither. */
static int choose_reader(const char *path, bool *pth)
{
    const char *kind = pg_file_kind(path);
    *pth = kind &&
           (strcmp(kind, "a file of torch.save") == 0 || strcmp(kind, "a pickle") == 0 || strcmp(kind, "a zip archive") == 0);
    if (!kind || *pth)
        return PG_OK;
    return pg_fail(
        PG_EUNSUPPORTED,
        "%s: is %s, no file of weights; right would be one that torch.save made of model.state_dict(), or safetensors", path,
        kind);
}

int pg_state_open(const char *path, pg_state_file **out)
{
    bool pth = false;
    size_t size = 0;
    int code = choose_reader(path, &pth);
    if (code != PG_OK)
        return code;
    pg_state_file *f = calloc(1, sizeof *f);
    if (!f)
        return pg_fail(PG_ENOMEM, "%s: out of memory", path);
    if (!pth)
        code = open_st(f, path);
    else if (!(code = pg_file_read(path, file_max, &f->data, &size)) && (code = open_pth(f, size)))
        pg_fail_at(code, "%s", path);
    if (code != PG_OK)
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
    free(f->beside);
    pg_pth_close(f->pth);
    pg_st_close(f->st);
    free(f->data);
    free(f);
}

const pg_state_dict *pg_state_at(const pg_state_file *f, size_t i) { return i < f->n ? &f->dicts[i] : NULL; }
const pg_state_beside *pg_state_beside_at(const pg_state_file *f, size_t i) { return i < f->n_beside ? &f->beside[i] : NULL; }
const char *pg_state_foreign(const pg_state_file *f, size_t i)
{
    return f->pth ? pg_pickle_foreign(pg_pth_pickle(f->pth), i) : NULL;
}

const char *pg_state_object(const pg_state_file *f)
{
    const pg_pickle_value *root = f->pth ? pg_pickle_root(pg_pth_pickle(f->pth)) : NULL;
    return root && root->kind == PG_PICKLE_OPAQUE ? root->name : NULL;
}

const char *pg_state_hash(const pg_state_file *f) { return f->hash; }
const char *pg_state_kind(const pg_state_file *f) { return f->pth ? "torch.save" : "safetensors"; }

const pg_state_tensor *pg_state_find(const pg_state_dict *d, const char *name)
{
    const pg_state_tensor wanted = {.name = name};
    return d->n ? bsearch(&wanted, d->tensors, d->n, sizeof wanted, by_name) : NULL;
}

int pg_state_read(pg_state_file *f, const pg_state_tensor *t, float *out, size_t count)
{
    if (t->made_by)
        return pg_fail(PG_EUNSUPPORTED, "tensor '%s' is given as %s, which is not read here; nothing of it was run", t->name,
                       t->made_by);
    int code = t->view ? pg_pth_floats(f->pth, t->view, out, count) : pg_st_to_float(t->whole, out, count);
    for (size_t i = 0; code == PG_OK && i < count; i++)
        if (!isfinite(out[i]))
            code = pg_fail(PG_EDAMAGED, "holds a value that is not finite, as element %zu", i);
    return code != PG_OK ? pg_fail_at(code, "tensor '%s'", t->name) : PG_OK;
}
