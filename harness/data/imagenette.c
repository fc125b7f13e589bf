/* ImageNette: a folder of images (image_folder.h) with official archives. */
#include "harness/data/imagenette.h"

#include "harness/data/image_folder.h"

#include <string.h>

typedef struct options {
    pg_image_folder_options images;
    int side; /* of the archive: index into archives */
} options;

#define PLACE "https://s3.amazonaws.com/fast-ai-imageclas/"
#define LABEL .label = "imagenette (bytes)"
static const pg_fetch archives[] = {
    {.url = PLACE "imagenette2-320.tgz", .hash = "3df6f0d01a2c9592104656642f5e78a3", LABEL},
    {.url = PLACE "imagenette2-160.tgz", .hash = "e793b78cc4c9e9a4ccc0c1155377a412", LABEL},
    {.url = PLACE "imagenette2.tgz", .hash = "fe2fc210e6bb7c5664d602c3cd71e612", LABEL},
};
static const char *const sides[] = {"320", "160", "full", NULL};

static const pg_option fetch_options[] = {
    {"side", PG_OPTION_CHOICE, offsetof(options, side), "320", .choices = sides,
     .help = "the archive whose images have a shorter side of so many pixels; full: as they were taken"},
    {0}};

static int imagenette_fetch(const char *data_dir, const char *name, const pg_fetch *given, const void *config)
{
    const options *o = config;
    const pg_fetch fetch = pg_fetch_merge(&archives[o->side], given);
    return pg_image_folder_fetch_with(data_dir, name, &fetch, &o->images);
}

const char *pg_imagenette_name(const char *id)
{
    static const char *const names[][2] = {
        {"n01440764", "tench"},         {"n02102040", "English springer"}, {"n02979186", "cassette player"},
        {"n03000684", "chain saw"},     {"n03028079", "church"},           {"n03394916", "French horn"},
        {"n03417042", "garbage truck"}, {"n03425413", "gas pump"},         {"n03445777", "golf ball"},
        {"n03888257", "parachute"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], id) == 0)
            return names[i][1];
    return NULL;
}

PG_DATASET(imagenette)
const pg_dataset_kind pg_dataset_kind_imagenette = {
    .module = {.name = "imagenette",
               .summary = "ten classes of ImageNet, photographs; a folder of images with the splits train and val",
               .source = "Howard, Imagenette, https://github.com/fastai/imagenette",
               .version = 1,
               .options = pg_image_folder_option_table,
               .config_size = sizeof(options)},
    .fetch_options = fetch_options,
    .splits = pg_image_folder_splits,
    .find_splits = pg_image_folder_find_splits,
    .open = pg_image_folder_open,
    .read = pg_image_folder_read,
    .close = pg_image_folder_close,
    .import = pg_image_folder_import_with,
    .verify = pg_image_folder_verify,
    .fetch = imagenette_fetch,
};
