/* Folders of images from archives. See image_folder.h. */
#include "harness/data/image_folder.h"

#include "harness/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PLACE "https://s3.amazonaws.com/fast-ai-imageclas/"
const pg_imagenette pg_imagenettes[] = {
    {"320", {.url = PLACE "imagenette2-320.tgz", .hash = "3df6f0d01a2c9592104656642f5e78a3", .label = "imagenette (bytes)"}},
    {"160", {.url = PLACE "imagenette2-160.tgz", .hash = "e793b78cc4c9e9a4ccc0c1155377a412", .label = "imagenette (bytes)"}},
    {"full", {.url = PLACE "imagenette2.tgz", .hash = "fe2fc210e6bb7c5664d602c3cd71e612", .label = "imagenette (bytes)"}},
    {NULL, {0}},
};

int pg_image_folder_fetch(const char *data_dir, const char *name, const pg_fetch *fetch, const pg_image_fit *fit,
                          int64_t *left_out)
{
    char *path = NULL, *made = NULL;
    int code = pg_image_folder_check(data_dir, name, fit);
    if (!code)
        code = pg_fetch_check(fetch);
    if (!code)
        code = pg_folders_begin(data_dir, &made);
    if (code)
        return code;
    /* Named by the hash: what is left of another archive is never gone on with. */
    if (asprintf(&path, "%s/.%s.%.16s.part", data_dir, name, fetch->hash) < 0)
        code = pg_fail(PG_ENOMEM, "out of memory");
    if (!code)
        code = pg_fetch_run(fetch, path);
    if (!code) {
        code = pg_image_folder_import(data_dir, name, path, fit, left_out);
        if (!code || code == PG_EDAMAGED || code == PG_EINPUT || code == PG_EMISSING)
            unlink(path);
    }
    pg_folders_end(data_dir, made, !code);
    free(path);
    return code;
}
