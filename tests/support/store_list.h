/* For tests: the results of all cells of a store. */
#ifndef PG_TESTS_STORE_LIST_H
#define PG_TESTS_STORE_LIST_H

#include "db/store.h"
#include "tests/support/scratch.h"

/* The cells in a state (-1: any) in the order of creation; *matching: how many, NULL: not asked. Codes of the store and of
 * `each`. */
static inline int store_list(pg_store *store, int state, int (*each)(const pg_cell_result *result, void *context),
                             void *context, int64_t *matching)
{
    pg_cell_set set = {0};
    int code = pg_store_choose(store, state, NULL, 0, &set);
    if (code == PG_OK && matching)
        *matching = (int64_t)set.n;
    if (code == PG_OK)
        code = pg_store_each_cell(store, set.cells, set.n, each, context);
    pg_cell_set_release(&set);
    return code;
}

/* The same of all cells of a database in the scratch folder. */
static inline int store_list_of(const char *name, int (*each)(const pg_cell_result *result, void *context), void *context)
{
    pg_store *store = NULL;
    int code = pg_store_open(scratch_path(name), PG_STORE_READ, &store);
    if (code == PG_OK)
        code = store_list(store, -1, each, context, NULL);
    pg_store_close(store);
    return code;
}

#endif
