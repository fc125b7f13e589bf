/* `patchgauge data`: fetch, import and verify data sets. */
#include "harness/base/option.h"
#include "harness/cmd/data.h"
#include "harness/cmd/print.h"
#include "harness/data/catalog.h"

#include <stdio.h>
#include <string.h>

PG_COMMAND(data)

static int read_import(int argc, char **argv, pg_data_options *options)
{
    static const struct option none[] = {{0}};
    static char name[] = "data"; /* for messages */
    int result;
    pg_data_options_init(options, false, none);
    argv[0] = name;
    optind = 0;
    while ((result = pg_command_option_next(argc, argv, ":", options->rows)) != -1)
        if (!pg_data_options_take(options, result))
            return pg_command_option_error(argv, options->rows, result);
    if (optind != argc - 2)
        return pg_fail(PG_EUSAGE, "data import: right would be `data import NAME DIR`, as `data import cifar10 DIR` with the "
                                  "folder that has data_batch_1.bin, or a folder or an archive of images SPLIT/CLASS/FILE");
    return PG_OK;
}

/* A name that is near to that of a kind may be a slip: said where there is nothing to import. */
static int explain_import(int code, const pg_dataset_kind *kind, const char *name)
{
    const pg_dataset_kind *near = pg_dataset_kind_nearest(name, false);
    if (code == PG_EMISSING && kind->user_named && near)
        pg_fail(code, "%s; and for the name of the data set, did you mean '%s'?", pg_error_message(), near->module.name);
    return code;
}

static int run_import(const pg_context *context, int argc, char **argv)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_data_options options;
    int code = read_import(argc, argv, &options);
    if (code)
        return code;
    const char *name = argv[optind], *source = argv[optind + 1];
    const pg_dataset_kind *kind = pg_dataset_kind_find(name);
    kind = kind ? kind : pg_dataset_kind_user_named();
    if (!kind->import)
        return pg_fail(PG_EINPUT, "data import: %s is built in and needs no files", name);
    code = pg_data_options_configure(&options, kind, config);
    if (!code)
        code = explain_import(kind->import(context->data_dir, name, source, config), kind, name);
    return code ? code : pg_data_report(context, name);
}

static void print_fault(void *unused, const char *file, const char *fault)
{
    (void)unused;
    if (fault)
        pg_print("%s: DAMAGED: %s\n", file, fault);
    else
        pg_print("%s: ok\n", file);
}

static int run_verify(const pg_context *context, int argc, char **argv)
{
    if (argc != 2)
        return pg_fail(PG_EUSAGE, "data verify: right would be `data verify NAME`, as `data verify cifar10`");
    int code = pg_dataset_verify(context->data_dir, argv[1], print_fault, NULL);
    return code ? code : pg_data_report(context, argv[1]);
}

static int run(const pg_context *context, int argc, char **argv)
{
    static const char *const verbs[] = {"fetch", "import", "verify", NULL};
    static int (*const runners[])(const pg_context *, int, char **) = {pg_data_fetch, run_import, run_verify};
    if (argc < 2)
        return pg_fail(PG_EUSAGE, "data: right would be `data fetch NAME|URL`, `data import NAME DIR` or `data verify NAME`");
    for (int i = 0; verbs[i]; i++)
        if (strcmp(argv[1], verbs[i]) == 0)
            return runners[i](context, argc - 1, argv + 1);
    const char *near = pg_nearest(argv[1], verbs);
    return pg_fail(PG_EUSAGE, "data: unknown action '%s': %s%s%s", argv[1], near ? "did you mean '" : "right would be ",
                   near ? near : "fetch, import or verify", near ? "'?" : "");
}

/* ---- Help ---- */

static void put_kind(const pg_dataset_kind *kind, pg_buf *out)
{
    pg_buf_printf(out, "  %-13s %s\n", kind->user_named ? "NAME" : kind->module.name, kind->module.summary);
    if (kind->help)
        for (const char *line = kind->help; *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL))
            pg_buf_printf(out, "      %.*s\n", (int)strcspn(line, "\n"), line);
}

/* The options of a table, under the names of all kinds that have it. */
static void put_table(const pg_option *table, pg_buf *out)
{
    if (!table || !table->name)
        return;
    pg_buf names;
    pg_buf_init(&names);
    for (int i = 0; pg_dataset_kinds[i]; i++) {
        const pg_dataset_kind *kind = pg_dataset_kinds[i];
        if (kind->module.options == table || kind->fetch_options == table)
            pg_buf_printf(&names, "%s%s%s", names.size ? ", " : "", kind->module.name,
                          kind->fetch_options == table ? " (fetch only)" : "");
    }
    pg_buf_printf(out, "\noptions of %s:\n", names.data ? names.data : "");
    pg_options_help(table, "--", out);
    pg_buf_release(&names);
}

static void help_kinds(pg_buf *out)
{
    pg_buf_puts(out, "data sets (`patchgauge help dataset KIND` says more):\n");
    for (int i = 0; pg_dataset_kinds[i]; i++)
        put_kind(pg_dataset_kinds[i], out);
    for (int i = 0; pg_dataset_kinds[i]; i++) {
        bool told = false;
        for (int before = 0; before < i; before++)
            told |= pg_dataset_kinds[before]->module.options == pg_dataset_kinds[i]->module.options;
        if (!told)
            put_table(pg_dataset_kinds[i]->module.options, out);
        put_table(pg_dataset_kinds[i]->fetch_options, out);
    }
}

const pg_command pg_command_data = {
    .name = "data",
    .synopsis = "data fetch NAME|URL | data import NAME DIR|ARCHIVE | data verify NAME",
    .summary = "fetch, import or verify data sets",
    .help =
        "fetch   downloads an official archive into the --data folder, checks its hash, and imports it as `import` does, with "
        "its\n"
        "        options. An interrupted download goes on where it stopped, until three answers have brought nothing new.\n"
        "        `fetch URL` takes a file or a data set from anywhere. Addresses are https:// (http:// for this machine "
        "only).\n"
        "  --url URL        another place of the archive\n"
        "  --sha256 HEX     and its SHA-256; `fetch URL` always wants it\n"
        "  --size BYTES     and its size, where it is another archive of the same layout\n"
        "  --name NAME      fetch URL: an archive, as import takes it under a name of your own, becomes this data set\n"
        "  -o, --output FILE  fetch URL: the file is put here, weights for instance; another file is never replaced\n"
        "import  checks the files in DIR and puts them into the --data folder, as hard links where the file system allows "
        "them,\n"
        "        all or nothing.\n"
        "verify  reads every file again and compares its SHA-256 with the manifest; names each damaged file.\n"
        "\n"
        "examples:\n"
        "  patchgauge data fetch cifar10\n"
        "  patchgauge data fetch imagenette --resize 224        # then imagenette:val in a matrix\n"
        "  patchgauge data fetch https://HOST/pets.tgz --sha256 HEX --name pets\n"
        "  patchgauge --data /big/disk data import cifar10 cifar-10-batches-bin\n"
        "  patchgauge data import pets photos --resize 256      # photos/val/cat/1.jpg; then pets:val in a matrix\n"
        "  patchgauge data verify pets\n",
    .more = help_kinds,
    .run_words = run,
};
