#include "harness/base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

struct pg_memory_block {
    struct pg_memory_block *next;
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

void *pg_memory_take(pg_memory *memory, size_t n, size_t size)
{
    struct pg_memory_block *block;
    void *start = NULL;
    bool fits = size == 0 || n <= SIZE_MAX / 2 / size;
    if (!fits || posix_memalign(&start, ALIGNMENT, sizeof *block + n * size) != 0) {
        memory->failed = true;
        return NULL;
    }
    block = start;
    block->next = memory->blocks;
    memory->blocks = block;
    return memset(block->bytes, 0, n * size);
}

void pg_memory_free(pg_memory *memory)
{
    for (struct pg_memory_block *block = memory->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *memory = (pg_memory){0};
}

void *pg_grow(void *items, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return items;
    size_t more = *room ? 2 * *room : 64;
    void *grown = realloc(items, more * size);
    if (grown)
        *room = more;
    else
        pg_fail(PG_ENOMEM, "out of memory for %zu items of a list", more);
    return grown;
}
