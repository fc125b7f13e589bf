/* The kind of data sets that are folders of images, with their options and their archives. See image_folder.h. */
#include "harness/data/image_folder.h"

#include <stdio.h>

/* ---- Archives ---- */

typedef struct request {
    const char *data_dir, *name;
    const pg_image_fit *fit;
    int64_t *left_out;
} request;

static int import_archive(void *context, const char *archive)
{
    const request *r = context;
    return pg_image_folder_import(r->data_dir, r->name, archive, r->fit, r->left_out);
}

int pg_image_folder_fetch(const char *data_dir, const char *name, const pg_fetch *fetch, const pg_image_fit *fit,
                          int64_t *left_out)
{
    request r = {data_dir, name, fit, left_out};
    int code = pg_image_folder_check(data_dir, name, fit);
    return code != PG_OK ? code : pg_fetch_archive(data_dir, name, fetch, import_archive, &r);
}

/* ---- The kind ---- */

#define FIELD(name) offsetof(pg_image_folder_options, name)
const pg_option pg_image_folder_option_table[] = {
    {"resize", PG_OPTION_INT, FIELD(resize_px), "256", 1, PG_MANIFEST_SIDE,
     .help = "the shorter side is made this long, in pixels"},
    {"crop", PG_OPTION_INT, FIELD(crop_px), "224", 1, PG_MANIFEST_SIDE,
     .help = "side of the square in the middle that is used: the size of the data set's images"},
    {"filter", PG_OPTION_CHOICE, FIELD(filter), "bilinear", .choices = pg_filter_names, .help = "of the resize"},
    {"skip-damaged", PG_OPTION_BOOL, FIELD(skip_damaged), "false",
     .help = "leaves out files that cannot be used, and lists them with the reasons in NAME/" PG_IMAGE_FOLDER_SKIPPED},
    {0}};

static pg_image_fit fit_of(const pg_image_folder_options *options)
{
    return (pg_image_fit){(int)options->resize_px, (int)options->crop_px, (pg_filter)options->filter};
}

int pg_image_folder_import_with(const char *data_dir, const char *name, const char *source, const void *config)
{
    const pg_image_folder_options *options = config;
    const pg_image_fit fit = fit_of(options);
    int64_t left_out = 0;
    return pg_image_folder_import(data_dir, name, source, &fit, options->skip_damaged ? &left_out : NULL);
}

int pg_image_folder_fetch_with(const char *data_dir, const char *name, const pg_fetch *given, const void *config)
{
    const pg_image_folder_options *options = config;
    const pg_image_fit fit = fit_of(options);
    int64_t left_out = 0;
    return pg_image_folder_fetch(data_dir, name, given, &fit, options->skip_damaged ? &left_out : NULL);
}

PG_DATASET(image_folder)
const pg_dataset_kind pg_dataset_kind_image_folder = {
    .module = {.name = "image-folder",
               .summary = "photographs SPLIT/CLASS/FILE, JPEG or PNG, in a folder or an archive, under a name of your own",
               .source = "the layout of torchvision's ImageFolder, with its Resize and CenterCrop",
               .version = 1,
               .options = pg_image_folder_option_table,
               .config_size = sizeof(pg_image_folder_options)},
    .help = "`import NAME` takes photographs DIR/SPLIT/CLASS/FILE, or an archive (tar, plain or compressed, or zip) with "
            "SPLIT/CLASS/FILE at its top or in one folder. Splits are the folders train, val and test, classes the sorted "
            "names of the folders in them, files JPEG or PNG; hidden files, __MACOSX and Thumbs.db are left out. Pixels are "
            "those of Pillow's convert(\"RGB\") (orientation in EXIF is ignored, alpha dropped), made to fit as torchvision's "
            "Resize and CenterCrop do, byte for byte. The order of images is that of their SHA-256: the first n are a random "
            "sample. Files of other kinds, grayscale PNG of 16 bits and damaged files are named, and cancel the import.\n",
    .user_named = true,
    .splits = pg_image_folder_splits,
    .find_splits = pg_image_folder_find_splits,
    .open = pg_image_folder_open,
    .read = pg_image_folder_read,
    .close = pg_image_folder_close,
    .import = pg_image_folder_import_with,
    .verify = pg_image_folder_verify,
    .fetch = pg_image_folder_fetch_with,
};
