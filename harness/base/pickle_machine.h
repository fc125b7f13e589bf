/* Inside the pickle reader: the state of a machine, and what its files (pickle_values.c, pickle_calls.c, pickle.c) share. */
#ifndef PG_BASE_PICKLE_MACHINE_H
#define PG_BASE_PICKLE_MACHINE_H

#include "harness/base/pickle.h"

enum { PG_PICKLE_BLOCK = 256 }; /* values that are allocated together */

struct pg_pickle {
    const uint8_t *data;
    size_t size, next; /* next: the byte to read */
    size_t opcode;     /* where the current one stands */
    pg_pickle_value **blocks, *root;
    size_t n_values;
    pg_pickle_value **stack, **memo;                /* NULL on the stack: a mark */
    size_t n_stack, stack_room, n_memo, remembered; /* remembered: places of the memo that are filled */
    char **foreign;
    size_t n_foreign;
};

#define PG_PICKLE_REFUSE(p, code, ...) pg_fail_at(pg_fail(code, __VA_ARGS__), "pickle, byte %zu", (p)->opcode)

/* ---- Values */
bool pg_pickle_is_container(const pg_pickle_value *v); /* it has items */
int pg_pickle_new_value(pg_pickle *p, pg_pickle_kind kind, pg_pickle_value **out) PG_MUST_USE;
int pg_pickle_add_items(pg_pickle_value *to, pg_pickle_value *const *items, size_t n) PG_MUST_USE;

/* ---- The stack */
int pg_pickle_push(pg_pickle *p, pg_pickle_value *v) PG_MUST_USE;
int pg_pickle_push_new(pg_pickle *p, pg_pickle_kind kind, pg_pickle_value **out) PG_MUST_USE;
int pg_pickle_push_integer(pg_pickle *p, pg_pickle_kind kind, int64_t integer) PG_MUST_USE;
int pg_pickle_push_opaque(pg_pickle *p, const char *name, pg_pickle_value *const *items,
                          size_t n) PG_MUST_USE; /* name: borrowed */
int pg_pickle_pop(pg_pickle *p, pg_pickle_value **out) PG_MUST_USE;
pg_pickle_value *pg_pickle_top(const pg_pickle *p); /* NULL: nothing, or a mark */
/* The values behind the last mark: stack[*first] on, n of them; the caller takes them and the mark away. */
int pg_pickle_marked(pg_pickle *p, size_t *first, size_t *n) PG_MUST_USE;

/* ---- Bytes */
int pg_pickle_take(pg_pickle *p, uint64_t n, const uint8_t **out) PG_MUST_USE; /* the next n, borrowed */
int pg_pickle_take_number(pg_pickle *p, size_t bytes, uint64_t *out) PG_MUST_USE;
int pg_pickle_take_line(pg_pickle *p, const char **out, size_t *length) PG_MUST_USE; /* borrowed, without its end */

/* ---- Groups of opcodes: *mine false where the opcode is of another */
int pg_pickle_scalars(pg_pickle *p, int opcode, bool *mine) PG_MUST_USE;
int pg_pickle_memory(pg_pickle *p, int opcode, bool *mine) PG_MUST_USE;
int pg_pickle_calls(pg_pickle *p, int opcode, bool *mine) PG_MUST_USE;

#endif
