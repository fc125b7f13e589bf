/* `patchgauge list`: the modules and data sets there are. */
#include "attacks/attack.h"
#include "defenses/defense.h"
#include "harness/base/text.h"
#include "harness/cmd/command.h"
#include "harness/cmd/print.h"
#include "harness/data/catalog.h"
#include "harness/plan/modules.h"
#include "models/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

PG_COMMAND(list)

/* Where a module comes from, "" for what is built in; good until the next call. One thread. */
static const char *origin_of(const pg_module *module)
{
    static char text[4096 + 64];
    const pg_plugin_file *origin = pg_modules_origin(module);
    text[0] = '\0';
    if (origin)
        snprintf(text, sizeof text, " (plug-in %s, sha256 %.12s)", origin->path, origin->hash);
    return text;
}

/* "  NAME   TEXT" */
static void PG_PRINTF(2, 3) print_row(const char *name, const char *format, ...)
{
    char text[8192], line[sizeof text + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(line, sizeof line, "  %-20s %s\n", name, text);
    for (char *at = line; at[0] && at[1]; at++)
        *at = *at == '\n' ? ' ' : *at;
    pg_text_clean(line); /* names of files may hold anything */
    pg_print_fitted(line, stdout);
}

static int list_models(const pg_context *context PG_UNUSED)
{
    for (int i = 0; pg_models[i]; i++)
        print_row(pg_models[i]->module.name, "%s%s%s", pg_models[i]->module.summary,
                  pg_models[i]->needs_torch ? "" : " (needs no libtorch)", origin_of(&pg_models[i]->module));
    return PG_OK;
}

static int list_attacks(const pg_context *context PG_UNUSED)
{
    for (int i = 0; pg_attacks[i]; i++)
        print_row(pg_attacks[i]->module.name, "%s%s%s", pg_attacks[i]->module.summary,
                  pg_attacks[i]->needs_gradients ? "" : " (needs no gradients)", origin_of(&pg_attacks[i]->module));
    return PG_OK;
}

static int list_defenses(const pg_context *context PG_UNUSED)
{
    for (int i = 0; pg_defenses[i]; i++)
        print_row(pg_defenses[i]->module.name, "%s%s", pg_defenses[i]->module.summary, origin_of(&pg_defenses[i]->module));
    return PG_OK;
}

static int list_split(const pg_dataset_info *info)
{
    char spec[64];
    snprintf(spec, sizeof spec, "%s:%s", info->name, info->split);
    print_row(spec, "%lld images, %d x %d px, %d classes, hash %.12s", (long long)info->images, info->height, info->width,
              info->classes, info->hash);
    return PG_OK;
}

/* One line a split; where a data set is not there or damaged, the reason instead. */
static int list_dataset(const pg_context *context, const char *name)
{
    int code = pg_dataset_each_split(context->data_dir, name, list_split);
    if (code == PG_EMISSING || code == PG_EDAMAGED) {
        print_row("", "%s", pg_error_message());
        code = PG_OK;
    }
    return code;
}

/* Each kind with its data set, and behind the kind that users name theirs. */
static int list_datasets(const pg_context *context)
{
    char **names = NULL;
    int code = pg_dataset_names(context->data_dir, &names);
    const pg_dataset_kind *own = pg_dataset_kind_user_named();
    for (int i = 0; code == PG_OK && pg_dataset_kinds[i]; i++)
        if (pg_dataset_kinds[i] != own) {
            print_row(pg_dataset_kinds[i]->module.name, "%s", pg_dataset_kinds[i]->module.summary);
            code = list_dataset(context, pg_dataset_kinds[i]->module.name);
        }
    print_row(own->module.name, "%s", own->module.summary);
    for (int i = 0; code == PG_OK && names[i]; i++)
        if (!pg_dataset_kind_find(names[i]))
            code = list_dataset(context, names[i]);
    pg_dataset_names_free(names);
    return code;
}

static const char *const topics[] = {"models", "attacks", "defenses", "datasets", NULL};
static int (*const listers[])(const pg_context *) = {list_models, list_attacks, list_defenses, list_datasets};

typedef struct arguments {
    int topic; /* -1: all */
} arguments;

static const pg_cli_row options[] = {
    {0, NULL, "TOPIC", NULL, NULL, offsetof(arguments, topic), PG_CHOICE(topics), .absent = -1},
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    int asked = ((const arguments *)request)->topic, code = PG_OK;
    for (int i = 0; topics[i] && code == PG_OK; i++) {
        if (asked >= 0 && i != asked)
            continue;
        if (asked < 0)
            printf("%s:\n", topics[i]);
        code = listers[i](context);
    }
    return code;
}

const pg_command pg_command_list = {
    .name = "list",
    .synopsis = "list [models|attacks|defenses|datasets]",
    .summary = "the modules and data sets there are",
    .help = "Data sets are looked for in the --data folder: those that were fetched, and those imported there under a name.\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
