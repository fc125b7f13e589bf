/* `patchgauge data`: fetch, import and verify data sets. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/cmd/command.h"
#include "harness/data/cifar10.h"
#include "harness/data/manifest.h"
#include "harness/data/source.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(data)

/* cifar10 is the one data set that is fetched and imported; PG_EINPUT for the built-in one. */
static int check_importable(const char *name, const char *verb)
{
    const pg_data_kind *kind = pg_data_find(name);
    if (!kind)
        return PG_EINPUT;
    if (kind != &pg_data_cifar10)
        return pg_fail(PG_EINPUT, "data %s: %s is built in and needs no files", verb, name);
    return PG_OK;
}

static int report_splits(const pg_context *context, const pg_data_kind *kind)
{
    for (int i = 0; kind->splits[i]; i++) {
        char spec[64];
        pg_dataset *dataset = NULL;
        snprintf(spec, sizeof spec, "%s:%s", kind->name, kind->splits[i]);
        int code = pg_dataset_open(context->data_dir, spec, &dataset);
        if (code)
            return code;
        const pg_dataset_info *info = pg_dataset_info_of(dataset);
        printf("%s %lld images %s\n", spec, (long long)info->images, info->hash);
        pg_dataset_close(dataset);
    }
    return PG_OK;
}

static int run_import(const pg_context *context, int argc, char **argv)
{
    if (argc != 3 || argv[2][0] == '-')
        return pg_fail(PG_EUSAGE, "data import: right would be `data import cifar10 DIR`, the folder with data_batch_1.bin");
    int code = check_importable(argv[1], "import");
    if (!code)
        code = pg_cifar10_import(context->data_dir, argv[2], PG_CIFAR10_IMAGES);
    return code ? code : report_splits(context, &pg_data_cifar10);
}

static int set_hash(const char *text, pg_fetch *fetch)
{
    if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
        return pg_fail(PG_EUSAGE, "data fetch: --sha256 %s: right would be 64 lower-case hexadecimal digits", text);
    fetch->sha256 = text;
    return PG_OK;
}

static int set_size(const char *text, pg_fetch *fetch)
{
    if (pg_parse_int(text, &fetch->size) || fetch->size < 1)
        return pg_fail(PG_EUSAGE, "data fetch: --size %s: right would be the archive's size in bytes", text);
    return PG_OK;
}

static int run_fetch(const pg_context *context, int argc, char **argv)
{
    static const struct option options[] = {{"url", required_argument, NULL, 'u'},
                                            {"sha256", required_argument, NULL, 'h'},
                                            {"size", required_argument, NULL, 's'},
                                            {0}};
    static char name[] = "data"; /* for messages */
    pg_fetch fetch = pg_cifar10_official;
    int code = PG_OK, result;
    argv[0] = name;
    optind = 0;
    while (!code && (result = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (result == 'u')
            fetch.url = optarg;
        else if (result == 'h')
            code = set_hash(optarg, &fetch);
        else if (result == 's')
            code = set_size(optarg, &fetch);
        else
            code = pg_command_option_error(argv, options, result);
    }
    if (!code && optind != argc - 1)
        code = pg_fail(PG_EUSAGE, "data fetch: right would be `data fetch cifar10`");
    if (!code)
        code = check_importable(argv[optind], "fetch");
    if (!code)
        code = pg_cifar10_fetch(context->data_dir, &fetch, PG_CIFAR10_IMAGES);
    return code ? code : report_splits(context, &pg_data_cifar10);
}

static void print_fault(void *unused, const pg_manifest_file *file, const char *fault)
{
    (void)unused;
    if (fault)
        printf("%s: DAMAGED: %s\n", file->name, fault);
    else
        printf("%s: ok\n", file->name);
}

static int run_verify(const pg_context *context, int argc, char **argv)
{
    if (argc != 2)
        return pg_fail(PG_EUSAGE, "data verify: right would be `data verify NAME`, as `data verify cifar10`");
    const pg_data_kind *kind = pg_data_find(argv[1]);
    if (!kind)
        return PG_EINPUT;
    if (kind != &pg_data_cifar10)
        return report_splits(context, kind);
    char *folder = NULL;
    pg_manifest manifest;
    if (asprintf(&folder, "%s/%s", context->data_dir, kind->name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_manifest_read(folder, &manifest);
    if (code == PG_EMISSING)
        pg_fail(code, "%s is not in %s: `patchgauge data fetch %s` or `patchgauge data import %s DIR` puts it there",
                kind->name, context->data_dir, kind->name, kind->name);
    if (!code)
        code = pg_manifest_verify(folder, &manifest, print_fault, NULL);
    if (!code)
        code = report_splits(context, kind);
    pg_manifest_release(&manifest);
    free(folder);
    return code;
}

static int run(const pg_context *context, int argc, char **argv)
{
    static const char *const verbs[] = {"fetch", "import", "verify", NULL};
    static int (*const runners[])(const pg_context *, int, char **) = {run_fetch, run_import, run_verify};
    if (argc < 2)
        return pg_fail(PG_EUSAGE, "data: right would be `data fetch NAME`, `data import NAME DIR` or `data verify NAME`");
    for (int i = 0; verbs[i]; i++)
        if (strcmp(argv[1], verbs[i]) == 0)
            return runners[i](context, argc - 1, argv + 1);
    const char *near = pg_nearest(argv[1], verbs);
    return pg_fail(PG_EUSAGE, "data: unknown action '%s': %s%s%s", argv[1], near ? "did you mean '" : "right would be ",
                   near ? near : "fetch, import or verify", near ? "'?" : "");
}

const pg_command pg_command_data = {
    .name = "data",
    .synopsis = "data fetch cifar10 | data import cifar10 DIR | data verify NAME",
    .summary = "fetch, import or verify data sets",
    .help =
        "fetch   downloads the official archive into the --data folder, checks its size and SHA-256, and imports it.\n"
        "        An interrupted download goes on where it stopped.\n"
        "  --url URL      another place of the archive\n"
        "  --sha256 HEX   and its SHA-256\n"
        "  --size BYTES   and its size, where it is another archive of the same layout\n"
        "import  checks the files in DIR (six of 10,000 images, and batches.meta.txt) and puts them into the --data folder,\n"
        "        as hard links where the file system allows them, all or nothing.\n"
        "verify  reads every file again and compares its SHA-256 with the manifest; names each damaged file.\n"
        "\n"
        "examples:\n"
        "  patchgauge data fetch cifar10\n"
        "  patchgauge --data /big/disk data import cifar10 cifar-10-batches-bin\n"
        "  patchgauge data verify cifar10\n",
    .run = run,
};
