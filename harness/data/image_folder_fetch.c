/* Folders of images from archives. See image_folder.h. */
#include "harness/data/image_folder.h"

#include "harness/base/file.h"
#include "harness/base/folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "https://s3.amazonaws.com/fast-ai-imageclas/"
const pg_imagenette pg_imagenettes[] = {
    {"320", {.url = PLACE "imagenette2-320.tgz", .hash = "3df6f0d01a2c9592104656642f5e78a3", .label = "imagenette (bytes)"}},
    {"160", {.url = PLACE "imagenette2-160.tgz", .hash = "e793b78cc4c9e9a4ccc0c1155377a412", .label = "imagenette (bytes)"}},
    {"full", {.url = PLACE "imagenette2.tgz", .hash = "fe2fc210e6bb7c5664d602c3cd71e612", .label = "imagenette (bytes)"}},
    {NULL, {0}},
};

static int unlike_hidden(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static bool has_folder(const char *folder, const char *name)
{
    char *path = NULL;
    struct stat status;
    bool there = asprintf(&path, "%s/%s", folder, name) >= 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    free(path);
    return there;
}

/* Archives have a folder of their own name round the splits, or none: goes down while a folder has no split and one entry. */
static int find_splits(char **folder)
{
    for (;;) {
        struct dirent **entries = NULL;
        for (int i = 0; pg_image_folder_splits[i]; i++)
            if (has_folder(*folder, pg_image_folder_splits[i]))
                return PG_OK;
        int n = scandir(*folder, &entries, unlike_hidden, NULL);
        char *down = NULL;
        bool only = n == 1 && has_folder(*folder, entries[0]->d_name),
             full = only && asprintf(&down, "%s/%s", *folder, entries[0]->d_name) < 0;
        for (int i = 0; i < n; i++)
            free(entries[i]);
        free(entries);
        if (full)
            return pg_fail(PG_ENOMEM, "out of memory");
        if (!only)
            return PG_OK; /* the import says what is missing */
        free(*folder);
        *folder = down;
    }
}

static int unpack_and_import(const char *data_dir, const char *name, const char *archive, const pg_image_fit *fit)
{
    pg_folder folder;
    int code = pg_folder_make(data_dir, name, "unpack", &folder);
    if (code)
        return code;
    char *source = strdup(folder.path);
    code = source ? pg_unpack_folder(archive, source) : pg_fail(PG_ENOMEM, "out of memory");
    if (!code)
        code = find_splits(&source);
    if (!code)
        code = pg_image_folder_import(data_dir, name, source, fit);
    free(source);
    pg_folder_end(&folder);
    return code;
}

int pg_image_folder_fetch(const char *data_dir, const char *name, const pg_fetch *fetch, const pg_image_fit *fit)
{
    char *path = NULL;
    int code = pg_image_folder_check(data_dir, name, fit);
    if (!code)
        code = pg_fetch_check(fetch);
    if (!code)
        code = pg_make_folders(data_dir);
    if (code)
        return code;
    /* Named by the hash: what is left of another archive is never gone on with. */
    if (asprintf(&path, "%s/.%s.%.16s.part", data_dir, name, fetch->hash) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    code = pg_fetch_run(fetch, path);
    if (!code) {
        code = unpack_and_import(data_dir, name, path, fit);
        if (!code || code == PG_EDAMAGED || code == PG_EINPUT || code == PG_EMISSING)
            unlink(path);
    }
    free(path);
    return code;
}
