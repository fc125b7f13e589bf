#include "harness/cmd/matrix_args.h"

#include "db/store.h"
#include "harness/base/option.h"
#include "harness/cmd/only.h"

#include <string.h>

int pg_device_set(const char *text, void *field)
{
    int64_t index = 0;
    *(const char **)field = text;
    return strcmp(text, "auto") == 0 || strcmp(text, "cpu") == 0 || strcmp(text, "cuda") == 0 ||
                   (strncmp(text, "cuda:", 5) == 0 && pg_parse_int(text + 5, &index) == PG_OK && index >= 0 && index < 1024)
               ? PG_OK
               : PG_EUSAGE;
}

static int open_plan(const pg_context *context, const pg_matrix_args *args, pg_store *store, pg_plan **out)
{
    pg_plan_request request = {.matrix_path = args->matrix,
                               .overrides = args->overrides.items,
                               .n_overrides = args->overrides.n,
                               .data_dir = context->data_dir,
                               .store = store};
    *out = NULL;
    int code = pg_plan_open(&request, out);
    if (code == PG_OK)
        code = pg_only_choose(&args->only, *out);
    if (code != PG_OK) {
        pg_plan_free(*out);
        *out = NULL;
    }
    return code;
}

int pg_matrix_args_open(const pg_context *context, const pg_matrix_args *args, pg_plan **out)
{
    return open_plan(context, args, NULL, out);
}

int pg_matrix_args_show(const pg_context *context, const pg_matrix_args *args, pg_plan **out)
{
    pg_store *store = NULL;
    int code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK || code == PG_EMISSING) /* what is wrong with the matrix comes first */
        code = open_plan(context, args, store, out);
    pg_store_close(store);
    return code;
}
