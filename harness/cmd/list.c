/* `patchgauge list`: the modules and data sets there are. */
#include "attacks/attack.h"
#include "defenses/defense.h"
#include "harness/base/text.h"
#include "harness/cmd/command.h"
#include "harness/cmd/output.h"
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

/* What is listed: for people line by line, for programs as rows. */
typedef struct listing {
    const pg_context *context;
    const char *topic;
    json_t *rows; /* NULL: for people */
} listing;

/* `needs` NULL: nothing that is said of such a module. */
static int add_module(listing *l, const pg_module *module, const char *needs)
{
    if (!l->rows) {
        print_row(module->name, "%s%s%s", module->summary, needs ? needs : "", origin_of(module));
        return PG_OK;
    }
    const pg_plugin_file *origin = pg_modules_origin(module);
    json_t *row = json_pack("{s:s, s:o, s:o, s:i, s:o, s:o}", "topic", l->topic, "name", pg_json_text(module->name), "summary",
                            pg_json_text(module->summary), "version", module->version, "plugin",
                            origin ? pg_json_text(origin->path) : json_null(), "plugin_sha256",
                            origin ? json_string(origin->hash) : json_null());
    return json_array_append_new(l->rows, row) == 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a list");
}

static int list_models(listing *l)
{
    int code = PG_OK;
    for (int i = 0; code == PG_OK && pg_models[i]; i++)
        code = add_module(l, &pg_models[i]->module, pg_models[i]->needs_torch ? NULL : " (needs no libtorch)");
    return code;
}

static int list_attacks(listing *l)
{
    int code = PG_OK;
    for (int i = 0; code == PG_OK && pg_attacks[i]; i++)
        code = add_module(l, &pg_attacks[i]->module, pg_attacks[i]->needs_gradients ? NULL : " (needs no gradients)");
    return code;
}

static int list_defenses(listing *l)
{
    int code = PG_OK;
    for (int i = 0; code == PG_OK && pg_defenses[i]; i++)
        code = add_module(l, &pg_defenses[i]->module, NULL);
    return code;
}

static int list_split(const pg_dataset_info *info, void *context)
{
    listing *l = context;
    char spec[64];
    snprintf(spec, sizeof spec, "%s:%s", info->name, info->split);
    if (!l->rows) {
        print_row(spec, "%lld images, %d x %d px, %d classes, hash %.12s", (long long)info->images, info->height, info->width,
                  info->classes, info->hash);
        return PG_OK;
    }
    json_t *row = json_pack("{s:s, s:o, s:I, s:i, s:i, s:i, s:s}", "topic", l->topic, "name", pg_json_text(spec), "images",
                            (json_int_t)info->images, "height", info->height, "width", info->width, "classes", info->classes,
                            "hash", info->hash);
    return json_array_append_new(l->rows, row) == 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a list");
}

/* One line a split; where a data set is not there or damaged, the reason instead. */
static int list_dataset(listing *l, const char *name)
{
    int code = pg_dataset_each_split(l->context->data_dir, name, list_split, l);
    if (code != PG_EMISSING && code != PG_EDAMAGED)
        return code;
    if (!l->rows) {
        print_row("", "%s", pg_error_message());
        return PG_OK;
    }
    json_t *row =
        json_pack("{s:s, s:o, s:o}", "topic", l->topic, "name", pg_json_text(name), "error", pg_json_text(pg_error_message()));
    return json_array_append_new(l->rows, row) == 0 ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a list");
}

/* Each kind with its data set, and behind the kind that users name theirs. */
static int list_datasets(listing *l)
{
    char **names = NULL;
    int code = pg_dataset_names(l->context->data_dir, &names);
    const pg_dataset_kind *own = pg_dataset_kind_user_named();
    for (int i = 0; code == PG_OK && pg_dataset_kinds[i]; i++)
        if (pg_dataset_kinds[i] != own) {
            if (!l->rows)
                print_row(pg_dataset_kinds[i]->module.name, "%s", pg_dataset_kinds[i]->module.summary);
            code = list_dataset(l, pg_dataset_kinds[i]->module.name);
        }
    if (!l->rows)
        print_row(own->module.name, "%s", own->module.summary);
    for (int i = 0; code == PG_OK && names[i]; i++)
        if (!pg_dataset_kind_find(names[i]))
            code = list_dataset(l, names[i]);
    pg_dataset_names_free(names);
    return code;
}

static const char *const topics[] = {"models", "attacks", "defenses", "datasets", NULL};
static int (*const listers[])(listing *) = {list_models, list_attacks, list_defenses, list_datasets};

typedef struct arguments {
    int topic; /* -1: all */
    pg_output output;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "TOPIC", NULL, NULL, AT(topic), PG_CHOICE(topics), .absent = -1},
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    listing l = {.context = context};
    l.rows = pg_format_is_rows((pg_table_format)a->output.format) ? json_array() : NULL;
    int code = pg_output_begin(&a->output, (const char *const[]){NULL});
    for (int i = 0; topics[i] && code == PG_OK; i++) {
        if (a->topic >= 0 && i != a->topic)
            continue;
        if (a->topic < 0 && !l.rows)
            printf("%s:\n", topics[i]);
        l.topic = topics[i];
        code = listers[i](&l);
    }
    if (code == PG_OK && l.rows)
        code = pg_output_json(&a->output, "list", json_incref(l.rows));
    json_decref(l.rows);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_list = {
    .name = "list",
    .synopsis = "list [models|attacks|defenses|datasets] [options]",
    .summary = "the modules and data sets there are",
    .help = "Data sets are looked for in the --data folder: those that were fetched, and those imported there under a name.\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
