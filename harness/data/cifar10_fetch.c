/* CIFAR-10 from its official archive. See cifar10.h. */
#include "harness/data/cifar10.h"

#include "harness/base/folder.h"
#include "harness/data/fetch.h"

#include <string.h>

enum { MOST_FILES = 8, META_MAX = 4096 };

const pg_fetch pg_cifar10_official = {
    .url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    .hash = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    .size = 170052171,
    .label = "cifar10 (bytes)",
};

typedef struct request {
    const char *data_dir;
    int64_t images; /* in each file */
} request;

static int unpack_and_import(void *context, const char *archive)
{
    static const char *const ignored[] = {"readme.html", NULL};
    const request *r = context;
    pg_unpack_file files[MOST_FILES];
    int n = 0;
    for (; pg_cifar10_files[n]; n++) {
        bool batch = strcmp(pg_cifar10_files[n], PG_CIFAR10_META) != 0;
        int64_t bytes = r->images * PG_CIFAR10_RECORD;
        files[n] = (pg_unpack_file){pg_cifar10_files[n], batch ? bytes : 1, batch ? bytes : META_MAX};
    }
    pg_folder folder;
    int code = pg_folder_make(r->data_dir, "cifar10", "unpack", &folder);
    if (code != PG_OK)
        return code;
    code = pg_unpack(archive, "cifar-10-batches-bin", files, n, ignored, folder.path);
    if (code == PG_OK)
        code = pg_cifar10_import(r->data_dir, folder.path, r->images);
    pg_folder_end(&folder);
    return code;
}

int pg_cifar10_fetch(const char *data_dir, const pg_fetch *fetch, int64_t images_per_file)
{
    request r = {data_dir, images_per_file};
    return pg_fetch_archive(data_dir, "cifar10", fetch, unpack_and_import, &r);
}
