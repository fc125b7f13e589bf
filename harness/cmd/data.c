/* `patchgauge data`: fetch, import and verify data sets. */
#include "harness/base/option.h"
#include "harness/cmd/data.h"
#include "harness/cmd/print.h"
#include "harness/data/catalog.h"

#include <stdio.h>
#include <string.h>

PG_COMMAND(data)

typedef struct import_arguments {
    const char *name, *source;
    pg_texts options; /* of kinds: names and values in turns */
} import_arguments;

#define AT(field) offsetof(import_arguments, field)
static const pg_cli_row import_rows[] = {
    {0, NULL, "NAME", NULL, NULL, AT(name), PG_TEXT, PG_REQUIRED},
    {0, NULL, "DIR|ARCHIVE", NULL, NULL, AT(source), PG_TEXT, PG_REQUIRED},
    {.offset = AT(options), PG_TABLES(pg_data_import_table)},
    PG_CLI_END,
};

/* A name that is near to that of a kind may be a slip: said where there is nothing to import. */
static int explain_import(int code, const pg_dataset_kind *kind, const char *name)
{
    const pg_dataset_kind *near = pg_dataset_kind_nearest(name, false);
    if (code == PG_EMISSING && kind->user_named && near)
        pg_fail(code, "%s; and for the name of the data set, did you mean '%s'?", pg_error_message(), near->module.name);
    return code;
}

static int run_import(const pg_context *context, void *request)
{
    const import_arguments *a = request;
    const char *name = a->name;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const pg_dataset_kind *kind = pg_dataset_kind_find(name);
    kind = kind ? kind : pg_dataset_kind_user_named();
    if (!kind->import)
        return pg_fail(PG_EINPUT, "data import: %s is built in and needs no files", name);
    int code = pg_data_options_configure(&a->options, false, kind, config);
    if (code == PG_OK)
        code = explain_import(kind->import(context->data_dir, name, a->source, config), kind, name);
    return code != PG_OK ? code : pg_data_report(context, name);
}

static void print_fault(void *unused PG_UNUSED, const char *file, const char *fault)
{
    if (fault)
        pg_print("%s: DAMAGED: %s\n", file, fault);
    else
        pg_print("%s: ok\n", file);
}

static const pg_cli_row verify_rows[] = {{0, NULL, "NAME", NULL, NULL, 0, PG_TEXT, PG_REQUIRED}, PG_CLI_END};

static int run_verify(const pg_context *context, void *request)
{
    const char *name = *(const char **)request;
    int code = pg_dataset_verify(context->data_dir, name, print_fault, NULL);
    return code != PG_OK ? code : pg_data_report(context, name);
}

/* ---- Help ---- */

static void put_kind(const pg_dataset_kind *kind, size_t width, pg_buf *out)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "  %-13s  %s\n", kind->user_named ? "NAME" : kind->module.name, kind->module.summary);
    for (const char *line = kind->help; line && *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL))
        pg_buf_printf(&text, "      %.*s\n", (int)strcspn(line, "\n"), line);
    pg_cli_prose(text.data, width, out);
    out->failed |= text.failed;
    pg_buf_release(&text);
}

/* The options of a table, under the names of all kinds that have it. */
static void put_table(const pg_option *table, size_t width, pg_buf *out)
{
    if (!table || !table->name)
        return;
    pg_buf_puts(out, "\noptions of ");
    for (int i = 0, n = 0; pg_dataset_kinds[i]; i++) {
        const pg_dataset_kind *kind = pg_dataset_kinds[i];
        if (kind->module.options == table || kind->fetch_options == table)
            pg_buf_printf(out, "%s%s%s", n++ ? ", " : "", kind->module.name,
                          kind->fetch_options == table ? " (fetch only)" : "");
    }
    pg_buf_puts(out, ":\n");
    pg_cli_help_table(table, "--", width, out);
}

static void help_kinds(size_t width, pg_buf *out)
{
    pg_buf_puts(out, "data sets (`patchgauge help dataset KIND` says more):\n");
    for (int i = 0; pg_dataset_kinds[i]; i++)
        put_kind(pg_dataset_kinds[i], width, out);
    for (int i = 0; pg_dataset_kinds[i]; i++) {
        bool told = false;
        for (int before = 0; before < i; before++)
            told |= pg_dataset_kinds[before]->module.options == pg_dataset_kinds[i]->module.options;
        if (!told)
            put_table(pg_dataset_kinds[i]->module.options, width, out);
        put_table(pg_dataset_kinds[i]->fetch_options, width, out);
    }
}

static const pg_command *const actions[] = {
    &pg_data_fetch,
    &(const pg_command){.name = "import",
                        .synopsis = "data import NAME DIR|ARCHIVE [options]",
                        .summary = "Checks the files in DIR and puts them into the --data folder, as hard links where the file "
                                   "system allows them, all or nothing.",
                        .rows = import_rows,
                        .request_size = sizeof(import_arguments),
                        .run = run_import},
    &(const pg_command){.name = "verify",
                        .synopsis = "data verify NAME",
                        .summary =
                            "Reads every file again and compares its SHA-256 with the manifest; names each damaged file.",
                        .rows = verify_rows,
                        .request_size = sizeof(const char *),
                        .run = run_verify},
    NULL,
};

const pg_command pg_command_data = {
    .name = "data",
    .synopsis = "data fetch NAME|URL | data import NAME DIR|ARCHIVE | data verify NAME",
    .summary = "fetch, import or verify data sets",
    .examples = "  patchgauge data fetch cifar10\n"
                "  patchgauge data fetch imagenette --resize 224        # then imagenette:val in a matrix\n"
                "  patchgauge data fetch https://HOST/pets.tgz --sha256 HEX --name pets\n"
                "  patchgauge --data /big/disk data import cifar10 cifar-10-batches-bin\n"
                "  patchgauge data import pets photos --resize 256      # photos/val/cat/1.jpg; then pets:val in a matrix\n"
                "  patchgauge data verify pets\n",
    .more = help_kinds,
    .actions = actions,
};
