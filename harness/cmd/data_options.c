/* The options of `data import` and `data fetch` that the kinds of data sets have, and what both print. See data.h. */
#include "harness/base/option.h"
#include "harness/cmd/data.h"
#include "harness/data/catalog.h"

#include <stdio.h>
#include <string.h>

/* The tables of all kinds that have the action, each once. */
static const pg_option *table_at(bool fetch, size_t at)
{
    for (int i = 0; pg_dataset_kinds[i]; i++) {
        const pg_dataset_kind *kind = pg_dataset_kinds[i];
        const pg_option *tables[] = {(fetch ? kind->fetch != NULL : kind->import != NULL) ? kind->module.options : NULL,
                                     fetch ? kind->fetch_options : NULL};
        for (int k = 0; k < 2; k++) {
            bool before = !tables[k];
            for (int j = 0; j < i && k == 0; j++)
                before |= pg_dataset_kinds[j]->module.options == tables[0] &&
                          (fetch ? pg_dataset_kinds[j]->fetch != NULL : pg_dataset_kinds[j]->import != NULL);
            if (!before && at-- == 0)
                return tables[k];
        }
    }
    return NULL;
}

const pg_option *pg_data_fetch_table(size_t at) { return table_at(true, at); }
const pg_option *pg_data_import_table(size_t at) { return table_at(false, at); }

int pg_data_options_configure(const pg_texts *given, bool fetch, const pg_dataset_kind *kind, void *config)
{
    const pg_option *more = fetch ? kind->fetch_options : NULL;
    char owner[64];
    int code = PG_OK;
    snprintf(owner, sizeof owner, "data set %s", kind->module.name);
    memset(config, 0, PG_CONFIG_MAX);
    pg_options_defaults(kind->module.options, config);
    if (more)
        pg_options_defaults(more, config);
    for (size_t i = 0; i < given->n && code == PG_OK; i += 2) {
        const char *name = given->items[i];
        const pg_option *table = pg_option_find(kind->module.options, name) ? kind->module.options : more;
        if (!table || !pg_option_find(table, name))
            return pg_fail(PG_EUSAGE, "data %s: --%s is not for %s", fetch ? "fetch" : "import", name, kind->module.name);
        code = pg_options_set(table, config, owner, name, given->items[i + 1]);
    }
    return code == PG_OK && kind->module.normalize ? kind->module.normalize(config) : code;
}

static int report_split(const pg_dataset_info *info, void *context PG_UNUSED)
{
    printf("%s:%s %lld images %s\n", info->name, info->split, (long long)info->images, info->hash);
    return PG_OK;
}

int pg_data_report(const pg_context *context, const char *name)
{
    return pg_dataset_each_split(context->data_dir, name, report_split, NULL);
}
