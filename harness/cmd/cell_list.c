/* See cell_list.h. */
#include "harness/cmd/cell_list.h"

#include "harness/base/memory.h"

#include <stdlib.h>
#include <string.h>

static int add_id(const pg_cell_result *result, void *context)
{
    pg_cell_list *list = context;
    void *more = pg_grow(list->ids, list->n, &list->room, sizeof *list->ids);
    if (more == NULL)
        return PG_ENOMEM;
    list->ids = more;
    memcpy(list->ids[list->n++], result->cell_id, PG_HASH_HEX);
    return PG_OK;
}

static int add_known(pg_store *store, const char *id, pg_cell_list *out)
{
    pg_cell_result result;
    int code = pg_store_cell(store, id, &result);
    if (code == PG_OK && result.known)
        code = add_id(&result, out);
    pg_cell_result_release(&result);
    return code;
}

int pg_cell_list_of(const pg_context *context, const pg_matrix_args *args, bool shown, pg_store *store, pg_cell_list *out)
{
    *out = (pg_cell_list){0};
    if (args->matrix == NULL && args->overrides.n > 0)
        return pg_fail(PG_EUSAGE, "-S, --set replaces a key of a matrix file, and there is none");
    if (args->matrix == NULL && args->only.n > 0)
        return pg_fail(PG_EUSAGE, "--only chooses cells of a matrix file, and there is none");
    if (args->matrix == NULL)
        return pg_store_list(store, -1, 0, add_id, out, NULL);
    int code = shown ? pg_matrix_args_show(context, args, &out->plan) : pg_matrix_args_open(context, args, &out->plan);
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(out->plan); i++)
        code = add_known(store, pg_plan_at(out->plan, i)->id, out);
    return code;
}

void pg_cell_list_release(pg_cell_list *list)
{
    pg_plan_free(list->plan);
    free(list->ids);
    *list = (pg_cell_list){0};
}
