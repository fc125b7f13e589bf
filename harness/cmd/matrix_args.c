/* See matrix_args.h. */
#include "harness/cmd/matrix_args.h"

#include "harness/base/option.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

int pg_matrix_args_override(pg_matrix_args *args, const char *text)
{
    const char **items = realloc(args->overrides.items, (args->overrides.n + 1) * sizeof *items);
    if (!items)
        return pg_fail(PG_ENOMEM, "out of memory");
    items[args->overrides.n++] = text;
    args->overrides.items = items;
    return PG_OK;
}

int pg_matrix_args_file(pg_matrix_args *args, int argc, char **argv)
{
    if (optind + 1 != argc)
        return pg_fail(PG_EUSAGE, "%s; usage: patchgauge %s MATRIX.toml",
                       optind >= argc ? "no matrix file is given" : "one matrix file only", argv[0]);
    args->matrix = argv[optind];
    return PG_OK;
}

int pg_device_set(const char *text, void *field)
{
    int64_t index = 0;
    *(const char **)field = text;
    return strcmp(text, "auto") == 0 || strcmp(text, "cpu") == 0 || strcmp(text, "cuda") == 0 ||
                   (strncmp(text, "cuda:", 5) == 0 && pg_parse_int(text + 5, &index) == PG_OK && index >= 0 && index < 1024)
               ? PG_OK
               : PG_EUSAGE;
}

int pg_device_check(const char *text)
{
    const char *same;
    return pg_device_set(text, &same) == PG_OK
               ? PG_OK
               : pg_fail(PG_EUSAGE, "--device %s: right would be auto, cpu, cuda or cuda:N", text);
}

int pg_matrix_args_open(const pg_context *context, const pg_matrix_args *args, pg_plan **out)
{
    pg_plan_request request = {.matrix_path = args->matrix,
                               .overrides = args->overrides.items,
                               .n_overrides = args->overrides.n,
                               .data_dir = context->data_dir};
    return pg_plan_open(&request, out);
}
