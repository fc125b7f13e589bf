/* The pickle machine: containers, and the loop over opcodes. Source: Python's pickletools, which documents every opcode. */
#include "harness/base/pickle_machine.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BYTES_MAX = 16 << 20, PROTOCOL_MAX = 5 };

/* ---- Containers ---- */

/* A container of stack[first..first + n) in their place; `below`: what else to take away (the mark). */
static int gather(pg_pickle *p, pg_pickle_kind kind, size_t first, size_t n, size_t below)
{
    pg_pickle_value *v = NULL;
    if (kind == PG_PICKLE_DICT && n % 2)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a key of a dictionary without its value");
    int code = pg_pickle_new_value(p, kind, &v);
    if (code == PG_OK)
        code = pg_pickle_add_items(v, p->stack + first, n);
    if (code == PG_OK) {
        p->n_stack = first - below;
        code = pg_pickle_push(p, v);
    }
    return code;
}

static int gather_marked(pg_pickle *p, pg_pickle_kind kind)
{
    size_t first = 0, n = 0;
    int code = pg_pickle_marked(p, &first, &n);
    return code != PG_OK ? code : gather(p, kind, first, n, 1);
}

/* Whether n values lie on the stack, without a mark between. */
static int check_last(pg_pickle *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p->n_stack <= i || !p->stack[p->n_stack - 1 - i])
            return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "an opcode wants %zu values and finds fewer", n);
    return PG_OK;
}

static int small_tuple(pg_pickle *p, size_t n)
{
    int code = check_last(p, n);
    return code != PG_OK ? code : gather(p, PG_PICKLE_TUPLE, p->n_stack - n, n, 0);
}

/* Appends stack[first..first + n) to the container below them, or to an object that is one; `below`: what else to take away
 * (the mark). */
static int extend(pg_pickle *p, pg_pickle_kind kind, size_t first, size_t n, size_t below)
{
    size_t at = first - below;
    pg_pickle_value *to = at > 0 ? p->stack[at - 1] : NULL;
    if (!to || (to->kind != kind && to->kind != PG_PICKLE_OPAQUE) || (kind == PG_PICKLE_DICT && n % 2))
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "entries of a %s that is not there",
                                kind == PG_PICKLE_DICT  ? "dictionary"
                                : kind == PG_PICKLE_SET ? "set"
                                                        : "list");
    int code = pg_pickle_add_items(to, p->stack + first, n);
    p->n_stack = at;
    return code;
}

static int extend_marked(pg_pickle *p, pg_pickle_kind kind)
{
    size_t first = 0, n = 0;
    int code = pg_pickle_marked(p, &first, &n);
    return code != PG_OK ? code : extend(p, kind, first, n, 1);
}

static int extend_last(pg_pickle *p, pg_pickle_kind kind, size_t n)
{
    int code = check_last(p, n);
    return code != PG_OK ? code : extend(p, kind, p->n_stack - n, n, 0);
}

static int containers(pg_pickle *p, int opcode, bool *mine)
{
    pg_pickle_value *v = NULL;
    switch (opcode) {
    case '}':
        return pg_pickle_push_new(p, PG_PICKLE_DICT, &v);
    case ']':
        return pg_pickle_push_new(p, PG_PICKLE_LIST, &v);
    case ')':
        return pg_pickle_push_new(p, PG_PICKLE_TUPLE, &v);
    case 0x8f:
        return pg_pickle_push_new(p, PG_PICKLE_SET, &v);
    case 'd':
        return gather_marked(p, PG_PICKLE_DICT);
    case 'l':
        return gather_marked(p, PG_PICKLE_LIST);
    case 't':
        return gather_marked(p, PG_PICKLE_TUPLE);
    case 0x91: /* FROZENSET */
        return gather_marked(p, PG_PICKLE_SET);
    case 0x85:
        return small_tuple(p, 1);
    case 0x86:
        return small_tuple(p, 2);
    case 0x87:
        return small_tuple(p, 3);
    case 'a':
        return extend_last(p, PG_PICKLE_LIST, 1);
    case 'e':
        return extend_marked(p, PG_PICKLE_LIST);
    case 's':
        return extend_last(p, PG_PICKLE_DICT, 2);
    case 'u':
        return extend_marked(p, PG_PICKLE_DICT);
    case 0x90:
        return extend_marked(p, PG_PICKLE_SET);
    default:
        *mine = false;
        return PG_OK;
    }
}

/* ---- The machine ---- */

static int pop_marked(pg_pickle *p)
{
    size_t first = 0, n = 0;
    int code = pg_pickle_marked(p, &first, &n);
    if (code == PG_OK)
        p->n_stack = first - 1;
    return code;
}

/* POP takes away a value, or a mark. */
static int pop_any(pg_pickle *p)
{
    if (p->n_stack == 0)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "an opcode finds nothing to work on");
    p->n_stack--;
    return PG_OK;
}

static int head(pg_pickle *p, int opcode, bool *mine)
{
    uint64_t n = 0;
    int code;
    switch (opcode) {
    case '(':
        return pg_pickle_push(p, NULL);
    case '0':
        return pop_any(p);
    case '1':
        return pop_marked(p);
    case '2':
        code = check_last(p, 1);
        return code != PG_OK ? code : pg_pickle_push(p, pg_pickle_top(p));
    case 0x80:
        code = pg_pickle_take_number(p, 1, &n);
        return code != PG_OK || n <= PROTOCOL_MAX
                   ? code
                   : PG_PICKLE_REFUSE(p, PG_EUNSUPPORTED, "protocol %" PRIu64 "; 0 to %d are read", n, PROTOCOL_MAX);
    case 0x95: /* FRAME: only a hint for reading ahead */
        return pg_pickle_take_number(p, 8, &n);
    default:
        *mine = false;
        return PG_OK;
    }
}

static int step(pg_pickle *p, int opcode)
{
    static int (*const groups[])(pg_pickle *, int, bool *) = {pg_pickle_scalars, pg_pickle_memory, containers, pg_pickle_calls,
                                                              head};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        bool mine = true;
        int code = groups[i](p, opcode, &mine);
        if (code != PG_OK || mine)
            return code;
    }
    return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "byte 0x%02x, which is no opcode of a file", (unsigned)opcode);
}

static int run(pg_pickle *p)
{
    int code = PG_OK;
    if (p->size > BYTES_MAX)
        p->size = BYTES_MAX;
    while (code == PG_OK) {
        const uint8_t *opcode = NULL;
        p->opcode = p->next;
        if (p->next == p->size)
            return pg_fail(PG_EDAMAGED, "pickle: it ends at byte %zu without an end", p->size);
        code = pg_pickle_take(p, 1, &opcode);
        if (code == PG_OK && *opcode == '.')
            break;
        if (code == PG_OK)
            code = step(p, *opcode);
    }
    if (code == PG_OK)
        code = pg_pickle_pop(p, &p->root);
    if (code == PG_OK && p->n_stack > 0)
        code = PG_PICKLE_REFUSE(p, PG_EDAMAGED, "%zu values are left behind its end", p->n_stack);
    return code;
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
    if (code != PG_OK) {
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
        pg_pickle_value *v = &p->blocks[i / PG_PICKLE_BLOCK][i % PG_PICKLE_BLOCK];
        if (pg_pickle_is_container(v))
            free(v->items);
        else if (v->kind == PG_PICKLE_TEXT || v->kind == PG_PICKLE_BIG)
            free(v->text);
    }
    for (size_t i = 0; i * PG_PICKLE_BLOCK < p->n_values; i++)
        free(p->blocks[i]);
    for (size_t i = 0; i < p->n_foreign; i++)
        free(p->foreign[i]);
    free(p->blocks);
    free(p->foreign);
    free(p);
}

const pg_pickle_value *pg_pickle_root(const pg_pickle *p) { return p->root; }

const pg_pickle_value *pg_pickle_at(const pg_pickle *p, size_t i)
{
    return i < p->n_values ? &p->blocks[i / PG_PICKLE_BLOCK][i % PG_PICKLE_BLOCK] : NULL;
}

const char *pg_pickle_foreign(const pg_pickle *p, size_t i) { return i < p->n_foreign ? p->foreign[i] : NULL; }
