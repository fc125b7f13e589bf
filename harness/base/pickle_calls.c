/* The pickle machine: names, what stands for calls of them, storages and tensors. Source: torch/_utils.py and
 * torch/serialization.py of PyTorch 0.3 to 2. */
#include "harness/base/pickle_machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOREIGN_MAX = 200, NAME_BYTES_MAX = 200 };

static const size_t sizes[] = {
    [PG_ELEMENT_F16] = 2, [PG_ELEMENT_BF16] = 2,  [PG_ELEMENT_F32] = 4, [PG_ELEMENT_F64] = 8, [PG_ELEMENT_I64] = 8,
    [PG_ELEMENT_I32] = 4, [PG_ELEMENT_I16] = 2,   [PG_ELEMENT_I8] = 1,  [PG_ELEMENT_U8] = 1,  [PG_ELEMENT_BOOL] = 1,
    [PG_ELEMENT_C64] = 8, [PG_ELEMENT_C128] = 16, [PG_ELEMENT_Q8] = 1,  [PG_ELEMENT_Q32] = 4, [PG_ELEMENT_BYTE] = 1,
};
size_t pg_element_size(pg_element element) { return sizes[element]; }

/* The names that have a meaning. None is called: they say what the arguments behind them mean. */
typedef enum known {
    DICTIONARY,
    SIZE,
    BYTES,
    NEW_OBJECT,
    RECONSTRUCT,
    TENSOR,
    PARAMETER,
    TENSOR_TYPE,
    FROM_TYPE,
    STORAGE
} known;
static const struct {
    const char *module, *name;
    known known;
    pg_element element; /* of a storage */
} names[] = {
    {"collections", "OrderedDict", DICTIONARY, 0},
    {"collections", "defaultdict", DICTIONARY, 0},
    {"torch", "Size", SIZE, 0},
    {"_codecs", "encode", BYTES, 0},          /* bytes as protocols before 3 write them */
    {"copyreg", "__newobj__", NEW_OBJECT, 0}, /* (class, ...), and its name in Python 2 */
    {"copy_reg", "__newobj__", NEW_OBJECT, 0},
    {"copyreg", "_reconstructor", RECONSTRUCT, 0}, /* (class, base, value) */
    {"copy_reg", "_reconstructor", RECONSTRUCT, 0},
    {"torch._utils", "_rebuild_tensor", TENSOR, 0}, /* up to torch 0.3 */
    {"torch._utils", "_rebuild_tensor_v2", TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", PARAMETER, 0},
    {"torch._utils", "_rebuild_parameter_with_state", PARAMETER, 0},
    {"torch._tensor", "_rebuild_from_type_v2", FROM_TYPE, 0}, /* of tensors with attributes */
    {"torch._tensor", "_rebuild_from_type", FROM_TYPE, 0},
    {"torch", "Tensor", TENSOR_TYPE, 0},
    {"torch.nn.parameter", "Parameter", TENSOR_TYPE, 0}, /* up to torch 0.3: of a tensor, as Variable */
    {"torch.autograd.variable", "Variable", TENSOR_TYPE, 0},
    {"torch", "HalfStorage", STORAGE, PG_ELEMENT_F16},
    {"torch", "BFloat16Storage", STORAGE, PG_ELEMENT_BF16},
    {"torch", "FloatStorage", STORAGE, PG_ELEMENT_F32},
    {"torch", "DoubleStorage", STORAGE, PG_ELEMENT_F64},
    {"torch", "LongStorage", STORAGE, PG_ELEMENT_I64},
    {"torch", "IntStorage", STORAGE, PG_ELEMENT_I32},
    {"torch", "ShortStorage", STORAGE, PG_ELEMENT_I16},
    {"torch", "CharStorage", STORAGE, PG_ELEMENT_I8},
    {"torch", "ByteStorage", STORAGE, PG_ELEMENT_U8},
    {"torch", "BoolStorage", STORAGE, PG_ELEMENT_BOOL},
    {"torch", "ComplexFloatStorage", STORAGE, PG_ELEMENT_C64},
    {"torch", "ComplexDoubleStorage", STORAGE, PG_ELEMENT_C128},
    {"torch", "QUInt8Storage", STORAGE, PG_ELEMENT_Q8},
    {"torch", "QInt8Storage", STORAGE, PG_ELEMENT_Q8},
    {"torch", "QInt32Storage", STORAGE, PG_ELEMENT_Q32},
    {"torch", "UntypedStorage", STORAGE, PG_ELEMENT_BYTE},
    {"torch.storage", "UntypedStorage", STORAGE, PG_ELEMENT_BYTE},
};
enum { N_NAMES = sizeof names / sizeof *names };

static bool is_known(const pg_pickle_value *v, known k) { return v->kind == PG_PICKLE_NAME && names[v->integer].known == k; }

/* ---- Names ---- */

/* Copies what can be shown of a text. */
static void shown(char out[NAME_BYTES_MAX], const char *text)
{
    size_t n = 0;
    for (; *text && n < NAME_BYTES_MAX - 1; text++)
        out[n++] = (unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ? '?' : *text;
    out[n] = 0;
}

/* The pickle's own copy of "module.name". */
static int foreign_name(pg_pickle *p, const char *module, const char *name, const char **out)
{
    char m[NAME_BYTES_MAX], n[NAME_BYTES_MAX], full[2 * NAME_BYTES_MAX];
    shown(m, module);
    shown(n, name);
    snprintf(full, sizeof full, "%s.%s", m, n);
    for (size_t i = 0; i < p->n_foreign; i++)
        if (strcmp(p->foreign[i], full) == 0) {
            *out = p->foreign[i];
            return PG_OK;
        }
    if (p->n_foreign == FOREIGN_MAX)
        return PG_PICKLE_REFUSE(
            p, PG_EUNSUPPORTED,
            "more than %d names of classes and functions; right would be a file that torch.save made of model.state_dict()",
            FOREIGN_MAX);
    char **all = realloc(p->foreign, (p->n_foreign + 1) * sizeof *all);
    if (all)
        p->foreign = all;
    if (!all || !(all[p->n_foreign] = strdup(full)))
        return pg_fail(PG_ENOMEM, "out of memory");
    *out = all[p->n_foreign++];
    return PG_OK;
}

static int push_name(pg_pickle *p, const char *module, const char *name)
{
    /* storages of a GPU, as old files name them, are those of the same name */
    const char *plain = strcmp(module, "torch.cuda") == 0 ? "torch" : module, *full = NULL;
    for (size_t i = 0; i < N_NAMES; i++)
        if (strcmp(names[i].name, name) == 0 && strcmp(names[i].module, names[i].known == STORAGE ? plain : module) == 0)
            return pg_pickle_push_integer(p, PG_PICKLE_NAME, (int64_t)i);
    int code = foreign_name(p, module, name, &full);
    return code != PG_OK ? code : pg_pickle_push_opaque(p, full, NULL, 0);
}

/* Two lines: module and name. */
static int read_global(pg_pickle *p)
{
    char text[2][NAME_BYTES_MAX];
    for (int i = 0; i < 2; i++) {
        const char *line = NULL;
        size_t length = 0;
        int code = pg_pickle_take_line(p, &line, &length);
        if (code != PG_OK)
            return code;
        if (length >= NAME_BYTES_MAX || memchr(line, 0, length))
            return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a name of more than %d bytes", NAME_BYTES_MAX - 1);
        memcpy(text[i], line, length);
        text[i][length] = 0;
    }
    return push_name(p, text[0], text[1]);
}

static int read_stack_global(pg_pickle *p)
{
    pg_pickle_value *name = NULL, *module = NULL;
    int code = pg_pickle_pop(p, &name);
    if (code == PG_OK)
        code = pg_pickle_pop(p, &module);
    if (code == PG_OK && (name->kind != PG_PICKLE_TEXT || module->kind != PG_PICKLE_TEXT))
        code = PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a name that is no text");
    return code != PG_OK ? code : push_name(p, module->text, name->text);
}

/* ---- Storages ---- */

static int push_storage(pg_pickle *p, pg_element element, const char *key, int64_t count, int64_t first, int64_t count_shown)
{
    pg_pickle_value *v = NULL;
    if (count < 0 || count > INT64_MAX / (int64_t)sizes[element])
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a storage of %" PRId64 " elements", count);
    if (first < 0 || count_shown < 0 || first > count || count_shown > count - first)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a part of a storage reaches behind it");
    int code = pg_pickle_push_new(p, PG_PICKLE_STORAGE, &v);
    if (code == PG_OK)
        v->storage =
            (pg_pickle_storage){.element = element, .key = key, .count = count, .first = first, .count_shown = count_shown};
    return code;
}

/* ("storage", type, key, place, count), and behind it in files before torch 1.6 None or the part that is meant, (key, first,
 * count).
 * ("module", class, file, source) is how those files name a class of a whole model. */
static int read_storage(pg_pickle *p)
{
    pg_pickle_value *id = NULL;
    int code = pg_pickle_pop(p, &id);
    if (code != PG_OK)
        return code;
    pg_pickle_value **x = id->items;
    bool tuple = id->kind == PG_PICKLE_TUPLE && id->n >= 2 && x[0]->kind == PG_PICKLE_TEXT;
    if (tuple && strcmp(x[0]->text, "module") == 0 && (x[1]->kind == PG_PICKLE_OPAQUE || x[1]->kind == PG_PICKLE_NAME))
        return pg_pickle_push(p, x[1]);
    bool right = tuple && (id->n == 5 || id->n == 6) && strcmp(x[0]->text, "storage") == 0 && x[2]->kind == PG_PICKLE_TEXT &&
                 x[3]->kind == PG_PICKLE_TEXT && x[4]->kind == PG_PICKLE_INT;
    if (right && x[1]->kind == PG_PICKLE_OPAQUE) { /* elements of a type that is not known */
        if (!(code = pg_pickle_push_opaque(p, x[1]->name, NULL, 0)))
            pg_pickle_top(p)->tensors = true;
        return code;
    }
    const pg_pickle_value *part = right && id->n == 6 && x[5]->kind == PG_PICKLE_TUPLE && x[5]->n == 3 ? x[5] : NULL;
    right = right && is_known(x[1], STORAGE) && (id->n == 5 || x[5]->kind == PG_PICKLE_NONE || part) &&
            (!part || (part->items[1]->kind == PG_PICKLE_INT && part->items[2]->kind == PG_PICKLE_INT));
    if (!right)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a reference that is not ('storage', TYPE, KEY, DEVICE, COUNT)");
    return push_storage(p, names[x[1]->integer].element, x[2]->text, x[4]->integer, part ? part->items[1]->integer : 0,
                        part ? part->items[2]->integer : x[4]->integer);
}

/* The same in protocol 0, which torch.save writes and torch.load cannot read: the tuple as Python prints it. */
static int read_printed_storage(pg_pickle *p)
{
    const char *line = NULL;
    char text[256], type[64], key[64];
    size_t length = 0;
    long long count;
    pg_pickle_value *v = NULL;
    int code = pg_pickle_take_line(p, &line, &length), element = -1, end = 0;
    if (code != PG_OK)
        return code;
    snprintf(text, sizeof text, "%.*s", length < sizeof text ? (int)length : 0, line);
    bool right = sscanf(text, "('storage', <class 'torch.%63[A-Za-z0-9]'>, '%63[A-Za-z0-9_]', '%*[^']', %18lld%n", type, key,
                        &count, &end) == 3 &&
                 (strcmp(text + end, ")") == 0 || strcmp(text + end, ", None)") == 0);
    for (size_t i = 0; right && i < N_NAMES; i++)
        if (names[i].known == STORAGE && strcmp(names[i].name, type) == 0)
            element = (int)names[i].element;
    if (element < 0)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a reference that is not ('storage', TYPE, KEY, DEVICE, COUNT)");
    code = pg_pickle_new_value(p, PG_PICKLE_TEXT, &v);
    if (code == PG_OK && !(v->text = strdup(key)))
        code = pg_fail(PG_ENOMEM, "out of memory");
    return code != PG_OK ? code : push_storage(p, (pg_element)element, v->text, count, 0, count);
}

/* ---- Tensors ---- */

static bool integers(const pg_pickle_value *v)
{
    bool right = v->kind == PG_PICKLE_TUPLE;
    for (size_t i = 0; right && i < v->n; i++)
        right = v->items[i]->kind == PG_PICKLE_INT && v->items[i]->integer >= 0;
    return right;
}

/* Whether every element lies in the storage; *repeats as for pg_pickle_view. */
static int check_view(const pg_pickle_tensor *t, bool *repeats)
{
    int64_t count = 1, last = t->offset, step, room = t->storage->count_shown;
    bool fits = true;
    for (int i = 0; i < t->rank; i++)
        fits = fits && !__builtin_mul_overflow(count, t->shape[i], &count);
    for (int i = 0; fits && count > 0 && i < t->rank; i++)
        fits = !__builtin_mul_overflow(t->shape[i] - 1, t->stride[i], &step) && !__builtin_add_overflow(last, step, &last);
    if (!fits || (count > 0 && last >= room) || t->offset > room)
        return pg_fail(PG_EDAMAGED, "a tensor reaches behind its storage '%s' of %" PRId64 " elements", t->storage->key, room);
    *repeats = count > room;
    return PG_OK;
}

int pg_pickle_view(const pg_pickle_storage *storage, const pg_pickle_value *offset, const pg_pickle_value *shape,
                   const pg_pickle_value *stride, pg_pickle_tensor *out, bool *repeats)
{
    if (offset->kind != PG_PICKLE_INT || offset->integer < 0 || !integers(shape) || !integers(stride) || shape->n != stride->n)
        return pg_fail(PG_EDAMAGED, "a tensor that is not made of storage, offset, shape and strides");
    if (shape->n > PG_ST_MAX_DIM)
        return pg_fail(PG_EUNSUPPORTED, "a tensor of more than %d axes", PG_ST_MAX_DIM);
    *out = (pg_pickle_tensor){.storage = storage, .offset = offset->integer, .rank = (int)shape->n};
    for (size_t i = 0; i < shape->n; i++) {
        out->shape[i] = shape->items[i]->integer;
        out->stride[i] = stride->items[i]->integer;
    }
    int code = check_view(out, repeats);
    out->offset += storage->first;
    return code;
}

/* (storage, offset, shape, stride), and from torch 0.4 on requires_grad, hooks and metadata */
static int rebuild_tensor(pg_pickle *p, pg_pickle_value *const *x, size_t n)
{
    bool right = (n == 4 || n == 6 || n == 7) && x[1]->kind == PG_PICKLE_INT && x[1]->integer >= 0 && integers(x[2]) &&
                 integers(x[3]) && x[2]->n == x[3]->n;
    if (right && x[0]->kind == PG_PICKLE_OPAQUE)
        return pg_pickle_push_opaque(p, x[0]->name, x, n);
    if (!right || x[0]->kind != PG_PICKLE_STORAGE)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a tensor that is not made of storage, offset, shape and strides");
    if (x[2]->n > PG_ST_MAX_DIM)
        return pg_pickle_push_opaque(p, "a tensor of more than 8 axes", x, n);
    pg_pickle_tensor t;
    bool repeats = false;
    pg_pickle_value *v = NULL;
    int code = pg_pickle_view(&x[0]->storage, x[1], x[2], x[3], &t, &repeats);
    if (code != PG_OK)
        return pg_fail_at(code, "pickle, byte %zu", p->opcode);
    if (repeats)
        return pg_pickle_push_opaque(p, "a tensor that repeats elements of its storage", x, n);
    if ((code = pg_pickle_push_new(p, PG_PICKLE_TENSOR, &v)))
        return code;
    v->tensor = t;
    return PG_OK;
}

/* ---- What stands for calls ---- */

/* A dictionary of pairs, as Python 2 gives them to OrderedDict. */
static int push_pairs(pg_pickle *p, const pg_pickle_value *pairs)
{
    pg_pickle_value *v = NULL;
    int code = pg_pickle_push_new(p, PG_PICKLE_DICT, &v);
    for (size_t i = 0; code == PG_OK && pairs && i < pairs->n; i++)
        code = pg_pickle_add_items(v, pairs->items[i]->items, 2);
    return code;
}

static bool are_pairs(const pg_pickle_value *v)
{
    bool right = v->kind == PG_PICKLE_LIST || v->kind == PG_PICKLE_TUPLE;
    for (size_t i = 0; right && i < v->n; i++)
        right = (v->items[i]->kind == PG_PICKLE_LIST || v->items[i]->kind == PG_PICKLE_TUPLE) && v->items[i]->n == 2;
    return right;
}

/* What `of` makes of x[n]: a value that is known, or an opaque one of its name. */
static int apply(pg_pickle *p, const pg_pickle_value *of, pg_pickle_value *const *x, size_t n)
{
    if (of->kind == PG_PICKLE_OPAQUE)
        return pg_pickle_push_opaque(p, of->name, x, n);
    if (of->kind != PG_PICKLE_NAME)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a call of something that is no name");
    switch (names[of->integer].known) {
    case DICTIONARY:
        if (n == 0 || x[0]->kind == PG_PICKLE_NAME || x[0]->kind == PG_PICKLE_OPAQUE ||
            x[0]->kind == PG_PICKLE_NONE) /* what defaultdict makes */
            return push_pairs(p, NULL);
        if (n == 1 && are_pairs(x[0]))
            return push_pairs(p, x[0]);
        break;
    case SIZE:
        if (n == 1 && x[0]->kind == PG_PICKLE_TUPLE)
            return pg_pickle_push(p, x[0]);
        break;
    case BYTES:
        return pg_pickle_push_opaque(p, "bytes", x, n);
    case NEW_OBJECT:
        if (n >= 1 && !is_known(x[0], NEW_OBJECT))
            return apply(p, x[0], x + 1, n - 1);
        break;
    case RECONSTRUCT:
        if (n >= 1 && x[0]->kind == PG_PICKLE_OPAQUE)
            return pg_pickle_push_opaque(p, x[0]->name, x + 1, n - 1);
        break;
    case TENSOR:
        return rebuild_tensor(p, x, n);
    case PARAMETER:
    case TENSOR_TYPE: /* (tensor, requires_grad, ...) */
        if (n >= 1 && x[0]->kind == PG_PICKLE_TENSOR)
            return pg_pickle_push(p, x[0]);
        if (n >= 1 && x[0]->kind == PG_PICKLE_OPAQUE)
            return pg_pickle_push_opaque(p, x[0]->name, x, n);
        break;
    case FROM_TYPE: /* (function, type, arguments, state) */
        if (n >= 3 && (is_known(x[0], TENSOR) || is_known(x[0], PARAMETER)) && is_known(x[1], TENSOR_TYPE) &&
            x[2]->kind == PG_PICKLE_TUPLE)
            return apply(p, x[0], x[2]->items, x[2]->n);
        if (n >= 2 && (x[0]->kind == PG_PICKLE_OPAQUE || x[1]->kind == PG_PICKLE_OPAQUE))
            return pg_pickle_push_opaque(p, x[x[0]->kind != PG_PICKLE_OPAQUE]->name, x, n);
        break;
    case STORAGE:
        break;
    }
    return pg_pickle_push_opaque(p, names[of->integer].name, x, n);
}

static int reduce(pg_pickle *p)
{
    pg_pickle_value *args = NULL, *of = NULL;
    int code = pg_pickle_pop(p, &args);
    if (code == PG_OK)
        code = pg_pickle_pop(p, &of);
    if (code == PG_OK && args->kind != PG_PICKLE_TUPLE)
        code = PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a call without a tuple of arguments");
    return code != PG_OK ? code : apply(p, of, args->items, args->n);
}

/* NEWOBJ_EX: with a dictionary of arguments, which no tensor has. */
static int new_object_with_names(pg_pickle *p)
{
    pg_pickle_value *keywords = NULL, *args = NULL, *of = NULL;
    int code = pg_pickle_pop(p, &keywords);
    if (code == PG_OK)
        code = pg_pickle_pop(p, &args);
    if (code == PG_OK)
        code = pg_pickle_pop(p, &of);
    if (code == PG_OK && of->kind != PG_PICKLE_OPAQUE)
        code = PG_PICKLE_REFUSE(p, PG_EDAMAGED, "an object of something that is no class");
    pg_pickle_value *const given[] = {args, keywords};
    return code != PG_OK ? code : pg_pickle_push_opaque(p, of->name, given, 2);
}

/* OBJ: the class and its arguments behind a mark; INST: the arguments, and the class in two lines. */
static int object_of_marked(pg_pickle *p, bool class_on_stack)
{
    size_t first = 0, n = 0;
    pg_pickle_value *of = NULL;
    int code = class_on_stack ? PG_OK : read_global(p);
    if (code == PG_OK && !class_on_stack)
        code = pg_pickle_pop(p, &of);
    if (code == PG_OK)
        code = pg_pickle_marked(p, &first, &n);
    if (code == PG_OK && class_on_stack && n == 0)
        code = PG_PICKLE_REFUSE(p, PG_EDAMAGED, "an object without a class");
    if (code != PG_OK)
        return code;
    p->n_stack = first - 1; /* what was above stays readable until the next push, which overwrites the mark only */
    pg_pickle_value *args = NULL;
    code = pg_pickle_new_value(p, PG_PICKLE_TUPLE, &args);
    if (code == PG_OK)
        code = pg_pickle_add_items(args, p->stack + first + class_on_stack, n - class_on_stack);
    if (code == PG_OK && class_on_stack)
        of = p->stack[first];
    return code != PG_OK ? code : apply(p, of, args->items, args->n);
}

/* The state of an object. Attributes of a state dict (its `_metadata`) and of a tensor say nothing of its values. */
static int build(pg_pickle *p)
{
    pg_pickle_value *state = NULL, *to = NULL;
    int code = pg_pickle_pop(p, &state);
    if (code != PG_OK)
        return code;
    to = pg_pickle_top(p);
    if (to && to->kind == PG_PICKLE_OPAQUE)
        return pg_pickle_add_items(to, &state, 1);
    bool right = to && (to->kind == PG_PICKLE_DICT || to->kind == PG_PICKLE_TENSOR);
    return right ? PG_OK : PG_PICKLE_REFUSE(p, PG_EDAMAGED, "sets attributes of something that has none");
}

/* An extension: a number that stands for a name elsewhere. */
static int read_extension(pg_pickle *p, size_t bytes)
{
    uint64_t number = 0;
    int code = pg_pickle_take_number(p, bytes, &number);
    return code != PG_OK ? code : pg_pickle_push_opaque(p, "an extension of pickle", NULL, 0);
}

int pg_pickle_calls(pg_pickle *p, int opcode, bool *mine)
{
    switch (opcode) {
    case 'c':
        return read_global(p);
    case 0x93:
        return read_stack_global(p);
    case 'Q':
        return read_storage(p);
    case 'P':
        return read_printed_storage(p);
    case 'R': /* REDUCE, NEWOBJ */
    case 0x81:
        return reduce(p);
    case 0x92:
        return new_object_with_names(p);
    case 'o':
        return object_of_marked(p, true);
    case 'i':
        return object_of_marked(p, false);
    case 'b':
        return build(p);
    case 0x82:
        return read_extension(p, 1);
    case 0x83:
        return read_extension(p, 2);
    case 0x84:
        return read_extension(p, 4);
    default:
        *mine = false;
        return PG_OK;
    }
}
