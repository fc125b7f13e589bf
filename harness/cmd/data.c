/* `patchgauge data`: fetch, import and verify data sets. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/cmd/data.h"
#include "harness/cmd/print.h"
#include "harness/data/cifar10.h"
#include "harness/data/image_folder.h"
#include "harness/data/source.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(data)

static int report_split(const pg_dataset_info *info)
{
    printf("%s:%s %lld images %s\n", info->name, info->split, (long long)info->images, info->hash);
    return PG_OK;
}

int pg_data_report(const pg_context *context, const char *name)
{
    return pg_data_each_split(context->data_dir, name, report_split);
}

static int set_side(const char *verb, const char *option, const char *text, int *out)
{
    int64_t side = 0;
    if (pg_parse_int(text, &side) || side < 1 || side > PG_MANIFEST_SIDE)
        return pg_fail(PG_EUSAGE, "data %s: %s %s: right would be 1 to %d pixels", verb, option, text, PG_MANIFEST_SIDE);
    *out = (int)side;
    return PG_OK;
}

static int set_filter(const char *verb, const char *text, pg_filter *out)
{
    for (int i = 0; pg_filter_names[i]; i++)
        if (strcmp(text, pg_filter_names[i]) == 0) {
            *out = (pg_filter)i;
            return PG_OK;
        }
    return pg_fail(PG_EUSAGE, "data %s: --filter %s: right would be bilinear or bicubic", verb, text);
}

int pg_data_set_fit(const char *verb, int option, const char *text, pg_image_fit *fit)
{
    if (option == 'f')
        return set_filter(verb, text, &fit->filter);
    return set_side(verb, option == 'r' ? "--resize" : "--crop", text, option == 'r' ? &fit->resize_px : &fit->crop_px);
}

/* A name that is near to that of a set of its own kind may be a slip: said where there is nothing to import. */
static int import_folder(const pg_context *context, const char *name, const char *source, const pg_image_fit *fit,
                         int64_t *left_out)
{
    const char *known[] = {pg_data_cifar10.name, NULL}, *near = pg_nearest(name, known);
    int code = pg_image_folder_import(context->data_dir, name, source, fit, left_out);
    if (code == PG_EMISSING && near)
        pg_fail(code, "%s; and for the name of the data set, did you mean '%s'?", pg_error_message(), near);
    return code;
}

static int run_import(const pg_context *context, int argc, char **argv)
{
    static const struct option options[] = {PG_DATA_FIT_OPTIONS, {0}};
    static char name[] = "data"; /* for messages */
    pg_image_fit fit = PG_DATA_FIT;
    bool fitted = false, skip = false;
    int64_t left_out = 0;
    int code = PG_OK, result;
    argv[0] = name;
    optind = 0;
    while (!code && (result = pg_command_option_next(argc, argv, ":", options)) != -1) {
        fitted = true;
        skip = skip || result == 'k';
        code = result == 'k'           ? PG_OK
               : strchr("rcf", result) ? pg_data_set_fit("import", result, optarg, &fit)
                                       : pg_command_option_error(argv, options, result);
    }
    if (code)
        return code;
    if (optind != argc - 2)
        return pg_fail(PG_EUSAGE, "data import: right would be `data import cifar10 DIR`, the folder with data_batch_1.bin, or "
                                  "`data import NAME DIR`, a folder or an archive of images SPLIT/CLASS/FILE");
    const pg_data_kind *kind = pg_data_builtin(argv[optind]);
    if (kind && kind != &pg_data_cifar10)
        return pg_fail(PG_EINPUT, "data import: %s is built in and needs no files", kind->name);
    if (kind && fitted)
        return pg_fail(PG_EUSAGE,
                       "data import: --resize, --crop, --filter and --skip-damaged are for folders of images, not for %s",
                       kind->name);
    if (kind)
        code = pg_cifar10_import(context->data_dir, argv[optind + 1], PG_CIFAR10_IMAGES);
    else
        code = import_folder(context, argv[optind], argv[optind + 1], &fit, skip ? &left_out : NULL);
    return code ? code : pg_data_report(context, argv[optind]);
}

static void print_fault(void *unused, const char *file, const char *fault)
{
    (void)unused;
    if (fault)
        pg_print("%s: DAMAGED: %s\n", file, fault);
    else
        pg_print("%s: ok\n", file);
}

static int verify_cifar10(const pg_context *context)
{
    const char *name = pg_data_cifar10.name;
    char *folder = NULL;
    pg_manifest manifest;
    if (asprintf(&folder, "%s/%s", context->data_dir, name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_manifest_read(folder, &manifest);
    if (code == PG_EMISSING)
        pg_fail(code, "%s is not in %s: `patchgauge data fetch %s` or `patchgauge data import %s DIR` puts it there", name,
                context->data_dir, name, name);
    if (!code)
        code = pg_manifest_verify(folder, &manifest, print_fault, NULL);
    pg_manifest_release(&manifest);
    free(folder);
    return code;
}

static int run_verify(const pg_context *context, int argc, char **argv)
{
    pg_data_set set;
    if (argc != 2)
        return pg_fail(PG_EUSAGE, "data verify: right would be `data verify NAME`, as `data verify cifar10`");
    int code = pg_data_find(context->data_dir, argv[1], &set);
    if (!code && set.kind == &pg_data_cifar10)
        code = verify_cifar10(context);
    if (!code && set.kind == &pg_data_image_folder)
        code = pg_image_folder_verify(context->data_dir, set.name, print_fault, NULL);
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

const pg_command pg_command_data = {
    .name = "data",
    .synopsis = "data fetch cifar10|imagenette|URL | data import NAME DIR|ARCHIVE | data verify NAME",
    .summary = "fetch, import or verify data sets",
    .help = "fetch   downloads an official archive into the --data folder, checks its hash, and imports it: the photographs of "
            "imagenette\n"
            "        as `import` does, with its options. An interrupted download goes on where it stopped, until three answers "
            "have\n"
            "        brought nothing new. `fetch URL` takes a file or a data set from anywhere. Addresses are https:// "
            "(http:// for this\n"
            "        machine only).\n"
            "  --side PX        imagenette: the archive whose shorter sides are 320 (default) or 160, or full: as they are\n"
            "  --url URL        another place of the archive\n"
            "  --sha256 HEX     and its SHA-256; `fetch URL` always wants it\n"
            "  --size BYTES     and its size, where it is another archive of the same layout\n"
            "  --name NAME      fetch URL: an archive of images, as import takes it, becomes this data set\n"
            "  -o, --output FILE  fetch URL: the file is put here, weights for instance; another file is never replaced\n"
            "import  checks the files in DIR and puts them into the --data folder, as hard links where the file system allows "
            "them,\n"
            "        all or nothing. `import cifar10 DIR` takes the six files of 10,000 images and batches.meta.txt. Any other "
            "NAME\n"
            "        becomes a data set of the photographs DIR/SPLIT/CLASS/FILE, or of an archive (tar, plain or compressed, "
            "or zip) with\n"
            "        SPLIT/CLASS/FILE at its top or in one folder. Splits are the folders train, val and test, classes the "
            "sorted names of\n"
            "        the folders in them, files JPEG or PNG; hidden files, __MACOSX and Thumbs.db are left out. Pixels are "
            "those of\n"
            "        Pillow's convert(\"RGB\") (orientation in EXIF is ignored, alpha dropped), made to fit as torchvision's "
            "Resize and\n"
            "        CenterCrop do, byte for byte. The order of images is that of their SHA-256: the first n are a random "
            "sample. Files\n"
            "        of other kinds, grayscale PNG of 16 bits and damaged files are named, and cancel the import.\n"
            "  --resize PX      the shorter side is made this long; default 256\n"
            "  --crop PX        side of the square in the middle that is used, the size of the data set's images; default 224\n"
            "  --filter NAME    bilinear (default) or bicubic\n"
            "  --skip-damaged   leaves out files that cannot be used, and lists them with the reasons in NAME/skipped.txt; the "
            "data set is\n"
            "                   the one that the other files make\n"
            "verify  reads every file again and compares its SHA-256 with the manifest; names each damaged file.\n"
            "\n"
            "examples:\n"
            "  patchgauge data fetch cifar10\n"
            "  patchgauge data fetch imagenette --resize 224        # then imagenette:val in a matrix\n"
            "  patchgauge data fetch https://HOST/pets.tgz --sha256 HEX --name pets\n"
            "  patchgauge --data /big/disk data import cifar10 cifar-10-batches-bin\n"
            "  patchgauge data import pets photos --resize 256      # photos/val/cat/1.jpg; then pets:val in a matrix\n"
            "  patchgauge data verify pets\n",
    .run_words = run,
};
