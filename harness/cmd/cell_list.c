/* See cell_list.h. */
#include "harness/cmd/cell_list.h"

#include "harness/base/memory.h"
#include "harness/cmd/only.h"

#include <stdlib.h>
#include <string.h>

static int add_id(const char *id, pg_cell_list *out)
{
    void *more = pg_grow(out->ids, out->n, &out->room, sizeof *out->ids);
    if (more == NULL)
        return PG_ENOMEM;
    out->ids = more;
    memcpy(out->ids[out->n++], id, PG_HASH_HEX);
    return PG_OK;
}

static int add_line(const pg_cell_line *line, void *context) { return add_id(line->cell_id, context); }

static int add_stored(const pg_texts *only, pg_store *store, pg_cell_list *out)
{
    pg_cell_set set = {0};
    int code = pg_only_choose_stored("--only", only, store, -1, &set);
    if (code == PG_OK)
        code = pg_store_each_line(store, set.cells, set.n, add_line, out);
    pg_cell_set_release(&set);
    return code;
}

static int add_known(pg_store *store, const char *id, pg_cell_list *out)
{
    pg_cell_result result;
    int code = pg_store_cell(store, id, &result);
    if (code == PG_OK && result.known)
        code = add_id(id, out);
    pg_cell_result_release(&result);
    return code;
}

int pg_cell_list_of(const pg_context *context, const pg_matrix_args *args, bool shown, pg_store *store, pg_cell_list *out)
{
    *out = (pg_cell_list){0};
    if (args->matrix == NULL && args->overrides.n > 0)
        return pg_fail(PG_EUSAGE, "-S, --set replaces a key of a matrix file, and there is none");
    if (args->matrix == NULL)
        return add_stored(&args->only, store, out);
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
