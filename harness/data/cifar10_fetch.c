/* CIFAR-10 from its official archive. See cifar10.h. */
#include "harness/data/cifar10.h"

#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/data/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FILES = 8, META_MAX = 4096 };

const pg_fetch pg_cifar10_official = {
    .url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    .hash = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    .size = 170052171,
    .label = "cifar10 (bytes)",
};

static int unpack_and_import(const char *data_dir, const char *archive, int64_t images)
{
    static const char *const ignored[] = {"readme.html", NULL};
    pg_unpack_file files[MOST_FILES];
    int n = 0;
    for (; pg_cifar10_files[n]; n++) {
        bool batch = strcmp(pg_cifar10_files[n], PG_CIFAR10_META) != 0;
        int64_t bytes = images * PG_CIFAR10_RECORD;
        files[n] = (pg_unpack_file){pg_cifar10_files[n], batch ? bytes : 1, batch ? bytes : META_MAX};
    }
    pg_folder folder;
    int code = pg_folder_make(data_dir, "cifar10", "unpack", &folder);
    if (code)
        return code;
    code = pg_unpack(archive, "cifar-10-batches-bin", files, n, ignored, folder.path);
    if (!code)
        code = pg_cifar10_import(data_dir, folder.path, images);
    pg_folder_end(&folder);
    return code;
}

int pg_cifar10_fetch(const char *data_dir, const pg_fetch *fetch, int64_t images_per_file)
{
    char *path = NULL, *made = NULL;
    int code = pg_fetch_check(fetch);
    if (!code)
        code = pg_folders_begin(data_dir, &made);
    if (code)
        return code;
    /* Named by the hash: what is left of another archive is never gone on with. */
    if (asprintf(&path, "%s/.cifar10.%.16s.part", data_dir, fetch->hash) < 0)
        code = pg_fail(PG_ENOMEM, "out of memory");
    if (!code)
        code = pg_fetch_run(fetch, path);
    if (!code) {
        code = unpack_and_import(data_dir, path, images_per_file);
        if (!code || code == PG_EDAMAGED || code == PG_EINPUT)
            unlink(path);
    }
    pg_folders_end(data_dir, made, !code);
    free(path);
    return code;
}
