/* The pickle machine. Source: Python's pickletools, which documents every opcode, and what torch.save writes (protocol 2; the
 * opcodes of 3 to 5 that write the same values are known too). */
#include "models/pickle.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 16 << 20, VALUES_MAX = 1 << 20, MEMO_MAX = 1 << 20, DEPTH_MAX = 32, BLOCK = 256, NAME_BYTES_MAX = 200 };

static const size_t sizes[] = {
    [PG_ELEMENT_F16] = 2, [PG_ELEMENT_BF16] = 2, [PG_ELEMENT_F32] = 4, [PG_ELEMENT_F64] = 8, [PG_ELEMENT_I64] = 8,
    [PG_ELEMENT_I32] = 4, [PG_ELEMENT_I16] = 2,  [PG_ELEMENT_I8] = 1,  [PG_ELEMENT_U8] = 1,  [PG_ELEMENT_BOOL] = 1,
};
size_t pg_element_size(pg_element element) { return sizes[element]; }

/* The names that may stand in a pickle. None is called: they say what the arguments behind them mean. */
typedef enum known { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, SIZE, STORAGE } known;
static const struct {
    const char *module, *name;
    known known;
    pg_element element;
} names[] = {
    {"collections", "OrderedDict", ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, 0},
    {"torch", "Size", SIZE, 0},
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
};

struct pg_pickle {
    const uint8_t *data;
    size_t size, next; /* next: the byte to read */
    size_t opcode;     /* where the current one stands */
    pg_pickle_value **blocks, *root;
    size_t n_values;
    pg_pickle_value **stack, **memo; /* NULL on the stack: a mark */
    size_t n_stack, stack_room, n_memo, remembered; /* remembered: places of the memo that are filled */
};

#define REFUSE(p, code, ...) pg_fail_at(pg_fail(code, __VA_ARGS__), "pickle, byte %zu", (p)->opcode)

/* ---- Values ---- */

static int new_value(pg_pickle *p, pg_pickle_kind kind, pg_pickle_value **out)
{
    if (p->n_values == VALUES_MAX)
        return REFUSE(p, PG_EUNSUPPORTED, "more than %d values", VALUES_MAX);
    if (p->n_values % BLOCK == 0) {
        size_t n = p->n_values / BLOCK;
        pg_pickle_value **blocks = realloc(p->blocks, (n + 1) * sizeof *blocks);
        if (blocks)
            p->blocks = blocks;
        if (!blocks || !(blocks[n] = calloc(BLOCK, sizeof **blocks)))
            return pg_fail(PG_ENOMEM, "out of memory");
    }
    *out = &p->blocks[p->n_values / BLOCK][p->n_values % BLOCK];
    p->n_values++;
    (*out)->kind = kind;
    (*out)->at = p->opcode;
    return PG_OK;
}

static bool is_container(const pg_pickle_value *v)
{
    return v->kind == PG_PICKLE_TUPLE || v->kind == PG_PICKLE_LIST || v->kind == PG_PICKLE_DICT;
}

static int add_items(pg_pickle_value *to, pg_pickle_value *const *items, size_t n)
{
    if (to->n + n > to->room) {
        size_t room = to->room ? 2 * to->room : 4;
        room = room < to->n + n ? to->n + n : room;
        pg_pickle_value **all = realloc(to->items, room * sizeof *all);
        if (!all)
            return pg_fail(PG_ENOMEM, "out of memory");
        to->items = all;
        to->room = room;
    }
    for (size_t i = 0; i < n; i++)
        to->items[to->n++] = items[i];
    return PG_OK;
}

/* ---- Stack and memo ---- */

static int push(pg_pickle *p, pg_pickle_value *v)
{
    if (p->n_stack == p->stack_room) {
        size_t room = p->stack_room ? 2 * p->stack_room : 64;
        pg_pickle_value **stack = realloc(p->stack, room * sizeof *stack);
        if (!stack)
            return pg_fail(PG_ENOMEM, "out of memory");
        p->stack = stack;
        p->stack_room = room;
    }
    p->stack[p->n_stack++] = v;
    return PG_OK;
}

static int push_new(pg_pickle *p, pg_pickle_kind kind, pg_pickle_value **out)
{
    int code = new_value(p, kind, out);
    return code ? code : push(p, *out);
}

static int pop(pg_pickle *p, pg_pickle_value **out)
{
    if (p->n_stack == 0 || !p->stack[p->n_stack - 1])
        return REFUSE(p, PG_EDAMAGED, "an opcode finds nothing to work on");
    *out = p->stack[--p->n_stack];
    return PG_OK;
}

/* The values behind the last mark: stack[*first] on, n of them; the caller takes them and the mark away. */
static int marked(pg_pickle *p, size_t *first, size_t *n)
{
    size_t at = p->n_stack;
    while (at > 0 && p->stack[at - 1])
        at--;
    if (at == 0)
        return REFUSE(p, PG_EDAMAGED, "an opcode wants a mark and there is none");
    *first = at;
    *n = p->n_stack - at;
    return PG_OK;
}

static int memo_put(pg_pickle *p, uint64_t place)
{
    if (p->n_stack == 0 || !p->stack[p->n_stack - 1])
        return REFUSE(p, PG_EDAMAGED, "nothing to remember");
    if (place >= MEMO_MAX)
        return REFUSE(p, PG_EUNSUPPORTED, "place %" PRIu64 " of the memo; at most %d are kept", place, MEMO_MAX);
    if (place >= p->n_memo) {
        size_t n = (size_t)place + 1 + (size_t)place / 2;
        pg_pickle_value **memo = realloc(p->memo, n * sizeof *memo);
        if (!memo)
            return pg_fail(PG_ENOMEM, "out of memory");
        memset(memo + p->n_memo, 0, (n - p->n_memo) * sizeof *memo);
        p->memo = memo;
        p->n_memo = n;
    }
    p->remembered += !p->memo[place];
    p->memo[place] = p->stack[p->n_stack - 1];
    return PG_OK;
}

static int memo_get(pg_pickle *p, uint64_t place)
{
    if (place >= p->n_memo || !p->memo[place])
        return REFUSE(p, PG_EDAMAGED, "asks for place %" PRIu64 " of the memo, where nothing is", place);
    return push(p, p->memo[place]);
}

/* ---- Bytes ---- */

/* The next n bytes, borrowed. */
static int take(pg_pickle *p, uint64_t n, const uint8_t **out)
{
    if (n > p->size - p->next)
        return REFUSE(p, PG_EDAMAGED, "it ends within a value: %" PRIu64 " more bytes are stated, %zu are there", n, p->size - p->next);
    *out = p->data + p->next;
    p->next += (size_t)n;
    return PG_OK;
}

static int take_number(pg_pickle *p, size_t bytes, uint64_t *out)
{
    const uint8_t *b = NULL;
    int code = take(p, bytes, &b);
    *out = 0;
    for (size_t i = 0; !code && i < bytes; i++)
        *out |= (uint64_t)b[i] << 8 * i;
    return code;
}

static int push_integer(pg_pickle *p, pg_pickle_kind kind, int64_t integer)
{
    pg_pickle_value *v = NULL;
    int code = push_new(p, kind, &v);
    if (!code)
        v->integer = integer;
    return code;
}

/* Little endian, two's complement, of `bytes` bytes; `sign`: the highest bit is one. */
static int push_bytes_integer(pg_pickle *p, size_t bytes, bool sign)
{
    uint64_t n = 0;
    if (bytes > 8)
        return REFUSE(p, PG_EUNSUPPORTED, "an integer of %zu bytes; at most 8 are read", bytes);
    int code = take_number(p, bytes, &n);
    if (sign && bytes > 0 && bytes < 8 && n >> (8 * bytes - 1))
        n |= ~UINT64_C(0) << 8 * bytes;
    return code ? code : push_integer(p, PG_PICKLE_INT, (int64_t)n);
}

static int push_float(pg_pickle *p)
{
    const uint8_t *b = NULL;
    pg_pickle_value *v = NULL;
    uint64_t bits = 0;
    int code = take(p, 8, &b);
    for (size_t i = 0; !code && i < 8; i++)
        bits = bits << 8 | b[i];
    if (!code)
        code = push_new(p, PG_PICKLE_FLOAT, &v);
    if (!code)
        memcpy(&v->number, &bits, sizeof bits);
    return code;
}

/* A text whose length stands in `bytes` bytes. Texts are names and keys here, so no zero byte may be in them. */
static int push_text(pg_pickle *p, size_t bytes)
{
    const uint8_t *b = NULL;
    pg_pickle_value *v = NULL;
    uint64_t length = 0;
    int code = take_number(p, bytes, &length);
    if (!code)
        code = take(p, length, &b);
    if (!code && memchr(b, 0, (size_t)length))
        code = REFUSE(p, PG_EUNSUPPORTED, "a text with a zero byte in it");
    if (!code)
        code = push_new(p, PG_PICKLE_TEXT, &v);
    if (!code && !(v->text = strndup((const char *)b, (size_t)length)))
        code = pg_fail(PG_ENOMEM, "out of memory");
    return code;
}

/* ---- Names ---- */

/* Copies what can be shown of a text. */
static void shown(char out[NAME_BYTES_MAX], const char *text)
{
    size_t n = 0;
    for (; *text && n < NAME_BYTES_MAX - 1; text++)
        out[n++] = (unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ? '?' : *text;
    out[n] = 0;
}

static int push_name(pg_pickle *p, const char *module, const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].module, module) == 0 && strcmp(names[i].name, name) == 0)
            return push_integer(p, PG_PICKLE_NAME, (int64_t)i);
    char m[NAME_BYTES_MAX], n[NAME_BYTES_MAX];
    shown(m, module);
    shown(n, name);
    return REFUSE(p, PG_EUNSUPPORTED,
                  "names %s.%s, which is no tensor or container of tensors; nothing of it was run. Right would be a file that "
                  "torch.save made of model.state_dict() alone",
                  m, n);
}

/* Two lines: module and name. */
static int read_global(pg_pickle *p)
{
    char text[2][NAME_BYTES_MAX];
    for (int i = 0; i < 2; i++) {
        const uint8_t *start = p->data + p->next, *end = memchr(start, '\n', p->size - p->next);
        size_t length = end ? (size_t)(end - start) : 0;
        if (!end || length >= NAME_BYTES_MAX || memchr(start, 0, length))
            return REFUSE(p, PG_EDAMAGED, "a name without an end, or of more than %d bytes", NAME_BYTES_MAX - 1);
        memcpy(text[i], start, length);
        text[i][length] = 0;
        p->next += length + 1;
    }
    return push_name(p, text[0], text[1]);
}

static int read_stack_global(pg_pickle *p)
{
    pg_pickle_value *name = NULL, *module = NULL;
    int code = pop(p, &name);
    if (!code)
        code = pop(p, &module);
    if (!code && (name->kind != PG_PICKLE_TEXT || module->kind != PG_PICKLE_TEXT))
        code = REFUSE(p, PG_EDAMAGED, "a name that is no text");
    return code ? code : push_name(p, module->text, name->text);
}

/* ---- Storages and tensors ---- */

/* ("storage", type, key, place, count), and None behind it in files before torch 1.6. */
static int read_storage(pg_pickle *p)
{
    pg_pickle_value *id = NULL, *v = NULL;
    int code = pop(p, &id);
    if (code)
        return code;
    pg_pickle_value **x = id->items;
    bool right = id->kind == PG_PICKLE_TUPLE && (id->n == 5 || (id->n == 6 && x[5]->kind == PG_PICKLE_NONE)) &&
                 x[0]->kind == PG_PICKLE_TEXT && strcmp(x[0]->text, "storage") == 0 && x[1]->kind == PG_PICKLE_NAME &&
                 names[x[1]->integer].known == STORAGE && x[2]->kind == PG_PICKLE_TEXT && x[3]->kind == PG_PICKLE_TEXT &&
                 x[4]->kind == PG_PICKLE_INT;
    if (!right)
        return REFUSE(p, PG_EDAMAGED, "a reference that is not ('storage', TYPE, KEY, DEVICE, COUNT)");
    pg_element element = names[x[1]->integer].element;
    if (x[4]->integer < 0 || x[4]->integer > INT64_MAX / (int64_t)sizes[element])
        return REFUSE(p, PG_EDAMAGED, "a storage of %" PRId64 " elements", x[4]->integer);
    code = push_new(p, PG_PICKLE_STORAGE, &v);
    if (!code)
        v->storage = (pg_pickle_storage){.element = element, .key = x[2]->text, .count = x[4]->integer};
    return code;
}

static bool integers(const pg_pickle_value *v)
{
    bool right = v->kind == PG_PICKLE_TUPLE && v->n <= PG_ST_MAX_DIM;
    for (size_t i = 0; right && i < v->n; i++)
        right = v->items[i]->kind == PG_PICKLE_INT && v->items[i]->integer >= 0;
    return right;
}

/* Whether every element lies in the storage; a view cannot have more elements than its storage, so that sizes stay those of the file. */
static int check_view(pg_pickle *p, const pg_pickle_tensor *t)
{
    int64_t count = 1, last = t->offset, step;
    bool fits = true;
    for (int i = 0; i < t->rank; i++)
        fits = fits && !__builtin_mul_overflow(count, t->shape[i], &count);
    for (int i = 0; fits && count > 0 && i < t->rank; i++)
        fits = !__builtin_mul_overflow(t->shape[i] - 1, t->stride[i], &step) && !__builtin_add_overflow(last, step, &last);
    if (!fits || (count > 0 && last >= t->storage->count) || t->offset > t->storage->count)
        return REFUSE(p, PG_EDAMAGED, "a tensor reaches behind its storage '%s' of %" PRId64 " elements", t->storage->key, t->storage->count);
    if (count > t->storage->count)
        return REFUSE(p, PG_EUNSUPPORTED, "a tensor of %" PRId64 " elements repeats those of its storage of %" PRId64, count, t->storage->count);
    return PG_OK;
}

/* _rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks[, metadata]) */
static int rebuild_tensor(pg_pickle *p, const pg_pickle_value *args)
{
    pg_pickle_value *const *x = args->items, *v = NULL;
    bool right = (args->n == 6 || args->n == 7) && x[0]->kind == PG_PICKLE_STORAGE && x[1]->kind == PG_PICKLE_INT && x[1]->integer >= 0 &&
                 integers(x[2]) && integers(x[3]) && x[2]->n == x[3]->n;
    if (!right)
        return REFUSE(p, PG_EDAMAGED, "a tensor that is not made of storage, offset, shape and strides of at most %d axes", PG_ST_MAX_DIM);
    int code = push_new(p, PG_PICKLE_TENSOR, &v);
    if (code)
        return code;
    v->tensor = (pg_pickle_tensor){.storage = &x[0]->storage, .offset = x[1]->integer, .rank = (int)x[2]->n};
    for (size_t i = 0; i < x[2]->n; i++) {
        v->tensor.shape[i] = x[2]->items[i]->integer;
        v->tensor.stride[i] = x[3]->items[i]->integer;
    }
    return check_view(p, &v->tensor);
}

/* What stands for a call: the name says what its arguments mean. */
static int reduce(pg_pickle *p)
{
    pg_pickle_value *args = NULL, *name = NULL, *v = NULL;
    int code = pop(p, &args);
    if (!code)
        code = pop(p, &name);
    if (code)
        return code;
    if (name->kind != PG_PICKLE_NAME || args->kind != PG_PICKLE_TUPLE)
        return REFUSE(p, PG_EUNSUPPORTED, "a call of something that is no name; nothing is called here");
    switch (names[name->integer].known) {
    case ORDERED_DICT:
        if (args->n == 0)
            return push_new(p, PG_PICKLE_DICT, &v);
        break;
    case REBUILD_TENSOR:
        return rebuild_tensor(p, args);
    case REBUILD_PARAMETER: /* (tensor, requires_grad, hooks) */
        if (args->n == 3 && args->items[0]->kind == PG_PICKLE_TENSOR)
            return push(p, args->items[0]);
        break;
    case SIZE:
        if (args->n == 1 && args->items[0]->kind == PG_PICKLE_TUPLE)
            return push(p, args->items[0]);
        break;
    case STORAGE:
        break;
    }
    return REFUSE(p, PG_EUNSUPPORTED, "%s.%s with arguments that are not its usual ones", names[name->integer].module, names[name->integer].name);
}

/* ---- Containers ---- */

static int push_tuple(pg_pickle *p, size_t first, size_t n)
{
    pg_pickle_value *v = NULL;
    int code = new_value(p, PG_PICKLE_TUPLE, &v);
    if (!code)
        code = add_items(v, p->stack + first, n);
    if (!code) {
        p->n_stack = first;
        code = push(p, v);
    }
    return code;
}

static int marked_tuple(pg_pickle *p)
{
    size_t first = 0, n = 0;
    int code = marked(p, &first, &n);
    if (code)
        return code;
    code = push_tuple(p, first, n);
    if (!code) { /* over the mark */
        p->stack[first - 1] = p->stack[first];
        p->n_stack--;
    }
    return code;
}

static int small_tuple(pg_pickle *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p->n_stack <= i || !p->stack[p->n_stack - 1 - i])
            return REFUSE(p, PG_EDAMAGED, "a tuple wants %zu values", n);
    return push_tuple(p, p->n_stack - n, n);
}

/* Appends stack[first..first + n) to the container below them; `below`: what else to take away (the mark). */
static int extend(pg_pickle *p, pg_pickle_kind kind, size_t first, size_t n, size_t below)
{
    size_t at = first - below;
    pg_pickle_value *to = at > 0 ? p->stack[at - 1] : NULL;
    if (!to || to->kind != kind || (kind == PG_PICKLE_DICT && n % 2))
        return REFUSE(p, PG_EDAMAGED, "entries of a %s that is not there", kind == PG_PICKLE_DICT ? "dictionary" : "list");
    int code = add_items(to, p->stack + first, n);
    p->n_stack = at;
    return code;
}

static int extend_marked(pg_pickle *p, pg_pickle_kind kind)
{
    size_t first = 0, n = 0;
    int code = marked(p, &first, &n);
    return code ? code : extend(p, kind, first, n, 1);
}

static int extend_last(pg_pickle *p, pg_pickle_kind kind, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p->n_stack <= i || !p->stack[p->n_stack - 1 - i])
            return REFUSE(p, PG_EDAMAGED, "an entry without its value");
    return extend(p, kind, p->n_stack - n, n, 0);
}

/* The attributes of a state dict (its `_metadata`) say nothing of its tensors. */
static int build(pg_pickle *p)
{
    pg_pickle_value *state = NULL;
    int code = pop(p, &state);
    if (!code && (p->n_stack == 0 || !p->stack[p->n_stack - 1] || p->stack[p->n_stack - 1]->kind != PG_PICKLE_DICT || state->kind != PG_PICKLE_DICT))
        code = REFUSE(p, PG_EUNSUPPORTED, "sets attributes of something that is no dictionary");
    return code;
}

/* ---- The machine ---- */

static int numbers(pg_pickle *p, int opcode, bool *mine)
{
    uint64_t n = 0;
    int code;
    switch (opcode) {
    case 'J': return push_bytes_integer(p, 4, true);
    case 'K': return push_bytes_integer(p, 1, false);
    case 'M': return push_bytes_integer(p, 2, false);
    case 0x8a: /* LONG1 */
        code = take_number(p, 1, &n);
        return code ? code : push_bytes_integer(p, (size_t)n, true);
    case 'G': return push_float(p);
    case 'N': return push_integer(p, PG_PICKLE_NONE, 0);
    case 0x88: return push_integer(p, PG_PICKLE_BOOL, 1);
    case 0x89: return push_integer(p, PG_PICKLE_BOOL, 0);
    case 'X': /* BINUNICODE, BINSTRING, and the short ones and the long one */
    case 'T': return push_text(p, 4);
    case 'U':
    case 0x8c: return push_text(p, 1);
    case 0x8d: return push_text(p, 8);
    default: *mine = false; return PG_OK;
    }
}

static int memory(pg_pickle *p, int opcode, bool *mine)
{
    uint64_t n = 0;
    int code = PG_OK;
    switch (opcode) {
    case 'q': code = take_number(p, 1, &n); return code ? code : memo_put(p, n);
    case 'r': code = take_number(p, 4, &n); return code ? code : memo_put(p, n);
    case 'h': code = take_number(p, 1, &n); return code ? code : memo_get(p, n);
    case 'j': code = take_number(p, 4, &n); return code ? code : memo_get(p, n);
    case 0x94: /* MEMOIZE */ return memo_put(p, p->remembered);
    default: *mine = false; return PG_OK;
    }
}

static int objects(pg_pickle *p, int opcode, bool *mine)
{
    pg_pickle_value *v = NULL;
    switch (opcode) {
    case '(': return push(p, NULL);
    case '}': return push_new(p, PG_PICKLE_DICT, &v);
    case ']': return push_new(p, PG_PICKLE_LIST, &v);
    case ')': return push_new(p, PG_PICKLE_TUPLE, &v);
    case 't': return marked_tuple(p);
    case 0x85: return small_tuple(p, 1);
    case 0x86: return small_tuple(p, 2);
    case 0x87: return small_tuple(p, 3);
    case 'a': return extend_last(p, PG_PICKLE_LIST, 1);
    case 'e': return extend_marked(p, PG_PICKLE_LIST);
    case 's': return extend_last(p, PG_PICKLE_DICT, 2);
    case 'u': return extend_marked(p, PG_PICKLE_DICT);
    case 'b': return build(p);
    case 'c': return read_global(p);
    case 0x93: return read_stack_global(p);
    case 'Q': return read_storage(p);
    case 'R': return reduce(p);
    default: *mine = false; return PG_OK;
    }
}

static int head(pg_pickle *p, int opcode, bool *mine)
{
    uint64_t n = 0;
    int code;
    switch (opcode) {
    case 0x80:
        code = take_number(p, 1, &n);
        return code || (n >= 2 && n <= 5) ? code : REFUSE(p, PG_EUNSUPPORTED, "protocol %" PRIu64 "; 2 to 5 are read", n);
    case 0x95: /* FRAME: only a hint for reading ahead */ return take_number(p, 8, &n);
    default: *mine = false; return PG_OK;
    }
}

static int step(pg_pickle *p, int opcode)
{
    static int (*const groups[])(pg_pickle *, int, bool *) = {numbers, memory, objects, head};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        bool mine = true;
        int code = groups[i](p, opcode, &mine);
        if (code || mine)
            return code;
    }
    return REFUSE(p, PG_EUNSUPPORTED, "opcode 0x%02x, which no pickle of tensors needs", (unsigned)opcode);
}

/* Depth first: no container holds itself, and none lies deeper than DEPTH_MAX. */
static int check_shape(const pg_pickle *p, pg_pickle_value *v, int depth)
{
    int code = PG_OK;
    if (!is_container(v) || v->seen == 2)
        return PG_OK;
    if (v->seen == 1)
        return pg_fail(PG_EDAMAGED, "pickle, byte %zu: a container holds itself", v->at);
    if (depth == DEPTH_MAX)
        return pg_fail(PG_EUNSUPPORTED, "pickle, byte %zu: containers in containers, more than %d deep", v->at, DEPTH_MAX);
    v->seen = 1;
    for (size_t i = 0; !code && i < v->n; i++)
        code = check_shape(p, v->items[i], depth + 1);
    v->seen = 2;
    return code;
}

static int run(pg_pickle *p)
{
    int code = PG_OK;
    if (p->size > BYTES_MAX)
        p->size = BYTES_MAX;
    if (p->size < 2 || p->data[0] != 0x80)
        return pg_fail(PG_EDAMAGED, "pickle: it does not start like one of protocol 2 or later");
    while (!code) {
        const uint8_t *opcode = NULL;
        p->opcode = p->next;
        if (p->next == p->size)
            return pg_fail(PG_EDAMAGED, "pickle: it ends at byte %zu without an end", p->size);
        code = take(p, 1, &opcode);
        if (!code && *opcode == '.')
            break;
        if (!code)
            code = step(p, *opcode);
    }
    if (!code)
        code = pop(p, &p->root);
    if (!code && p->n_stack > 0)
        code = REFUSE(p, PG_EDAMAGED, "%zu values are left behind its end", p->n_stack);
    return code ? code : check_shape(p, p->root, 0);
}

int pg_pickle_read(const void *data, size_t size, pg_pickle **out, size_t *used)
{
    pg_pickle *p = calloc(1, sizeof *p);
    if (!p)
        return pg_fail(PG_ENOMEM, "out of memory");
    p->data = data;
    p->size = size;
    int code = run(p);
    free(p->stack);
    free(p->memo);
    p->stack = p->memo = NULL;
    if (code) {
        pg_pickle_free(p);
        return code;
    }
    if (used)
        *used = p->next;
    *out = p;
    return PG_OK;
}

void pg_pickle_free(pg_pickle *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_values; i++) {
        pg_pickle_value *v = &p->blocks[i / BLOCK][i % BLOCK];
        if (is_container(v))
            free(v->items);
        else if (v->kind == PG_PICKLE_TEXT)
            free(v->text);
    }
    for (size_t i = 0; i * BLOCK < p->n_values; i++)
        free(p->blocks[i]);
    free(p->blocks);
    free(p);
}

const pg_pickle_value *pg_pickle_root(const pg_pickle *p) { return p->root; }

const pg_pickle_value *pg_pickle_at(const pg_pickle *p, size_t i)
{
    return i < p->n_values ? &p->blocks[i / BLOCK][i % BLOCK] : NULL;
}
