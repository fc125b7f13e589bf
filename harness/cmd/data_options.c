/* The options of `data import` and `data fetch` that the kinds of data sets have, and what both print. See data.h. */
#include "harness/base/option.h"
#include "harness/cmd/data.h"
#include "harness/data/catalog.h"

#include <stdio.h>
#include <string.h>

static bool has_row(const struct option *rows, const char *name)
{
    for (; rows->name; rows++)
        if (strcmp(rows->name, name) == 0)
            return true;
    return false;
}

static int add_rows(struct option *rows, int n, const pg_option *table)
{
    for (; table && table->name; table++)
        if (!has_row(rows, table->name) && n + 1 < PG_DATA_OPTIONS) {
            rows[n] = (struct option){table->name, table->type == PG_OPTION_BOOL ? no_argument : required_argument, NULL,
                                      PG_DATA_OPTION + n};
            n++;
        }
    return n;
}

void pg_data_options_init(pg_data_options *options, bool fetch, const struct option *action)
{
    int n = 0;
    *options = (pg_data_options){.fetch = fetch};
    for (; action->name; action++)
        options->rows[n++] = *action;
    for (int i = 0; pg_dataset_kinds[i]; i++) {
        const pg_dataset_kind *kind = pg_dataset_kinds[i];
        if (fetch ? kind->fetch != NULL : kind->import != NULL)
            n = add_rows(options->rows, n, kind->module.options);
        if (fetch)
            n = add_rows(options->rows, n, kind->fetch_options);
    }
}

bool pg_data_options_take(pg_data_options *options, int result)
{
    int row = result - PG_DATA_OPTION;
    if (row < 0 || row >= PG_DATA_OPTIONS)
        return false;
    options->given[row] = options->rows[row].has_arg == no_argument ? "true" : optarg;
    return true;
}

const char *pg_data_options_first(const pg_data_options *options)
{
    for (int i = 0; options->rows[i].name; i++)
        if (options->given[i])
            return options->rows[i].name;
    return NULL;
}

int pg_data_options_configure(const pg_data_options *options, const pg_dataset_kind *kind, void *config)
{
    const pg_option *more = options->fetch ? kind->fetch_options : NULL;
    char owner[64];
    int code = PG_OK;
    snprintf(owner, sizeof owner, "data set %s", kind->module.name);
    memset(config, 0, PG_CONFIG_MAX);
    pg_options_defaults(kind->module.options, config);
    if (more)
        pg_options_defaults(more, config);
    for (int i = 0; options->rows[i].name && code == PG_OK; i++) {
        const char *name = options->rows[i].name;
        const pg_option *table = pg_option_find(kind->module.options, name) ? kind->module.options : more;
        if (options->given[i] && (!table || !pg_option_find(table, name)))
            return pg_fail(PG_EUSAGE, "data %s: --%s is not for %s", options->fetch ? "fetch" : "import", name,
                           kind->module.name);
        if (options->given[i])
            code = pg_options_set(table, config, owner, name, options->given[i]);
    }
    return code == PG_OK && kind->module.normalize ? kind->module.normalize(config) : code;
}

static int report_split(const pg_dataset_info *info)
{
    printf("%s:%s %lld images %s\n", info->name, info->split, (long long)info->images, info->hash);
    return PG_OK;
}

int pg_data_report(const pg_context *context, const char *name)
{
    return pg_dataset_each_split(context->data_dir, name, report_split);
}
