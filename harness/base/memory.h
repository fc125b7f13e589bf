/* Memory that is released together: an object takes its arrays from one pg_memory, and frees them by one call. */
#ifndef PG_BASE_MEMORY_H
#define PG_BASE_MEMORY_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct pg_memory {
    struct pg_memory_block *blocks;
    bool failed; /* something could not be had: a builder takes all it needs, and checks once */
} pg_memory;     /* begins as zero; one thread */

/* n items of `size` bytes, all zero, aligned to 64 bytes: good until pg_memory_free. NULL: there was no room. */
void *pg_memory_take(pg_memory *memory, size_t n, size_t size);
/* PG_OK, or PG_ENOMEM where something failed. What it was for is a format and its values: pg_memory_check(m, "%d images", n) */
#define pg_memory_check(memory, ...) ((memory)->failed ? pg_fail(PG_ENOMEM, "out of memory for " __VA_ARGS__) : PG_OK)
void pg_memory_free(pg_memory *memory); /* harmless if nothing was taken, and twice */

/* Room for one more item behind n of a list that grows with realloc: the list, perhaps moved, with *room updated. NULL where
 * memory is out, with PG_ENOMEM's message: the list is as it was. */
void *pg_grow(void *items, size_t n, size_t *room, size_t size);

#endif
