/* Checks CIFAR-10 files and puts them in place. See cifar10.h. */
#include "harness/data/cifar10.h"

#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/data/manifest.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { META_MAX = 4096 };

const char *const pg_cifar10_files[] = {PG_CIFAR10_META,    "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                        "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin",   NULL};

int pg_cifar10_class_names(const char *path, pg_manifest *manifest)
{
    char *text = NULL, *rest = NULL;
    size_t size = 0;
    const char *names[PG_CIFAR10_CLASSES + 1];
    int n = 0;
    int code = pg_file_read(path, META_MAX, &text, &size);
    if (code != PG_OK)
        return code;
    for (char *line = strtok_r(text, "\r\n", &rest); line && n <= PG_CIFAR10_CLASSES; line = strtok_r(NULL, "\r\n", &rest))
        names[n++] = line;
    if (n != PG_CIFAR10_CLASSES)
        code = pg_fail(PG_EINPUT, "%s: %s10 class names, right would be 10 lines with one each", path,
                       n < PG_CIFAR10_CLASSES ? "fewer than " : "more than ");
    else {
        code = pg_manifest_set_classes(manifest, names, n);
        if (code != PG_OK)
            pg_fail_at(code, "%s", path);
    }
    free(text);
    return code;
}

static int check_labels(const char *path, int64_t images)
{
    FILE *stream;
    int code = pg_file_stream(path, &stream, NULL);
    if (code != PG_OK)
        return code;
    unsigned char record[PG_CIFAR10_RECORD];
    for (int64_t i = 0; i < images && code == PG_OK; i++)
        if (fread(record, sizeof record, 1, stream) != 1)
            code = pg_fail(PG_EIO, "%s: cannot be read to its end", path);
        else if (record[0] >= PG_CIFAR10_CLASSES)
            code = pg_fail(PG_EINPUT, "%s: image %lld has label %d, right would be 0 to %d", path, (long long)i, record[0],
                           PG_CIFAR10_CLASSES - 1);
    fclose(stream);
    return code;
}

static int check_source(const char *path, int64_t images)
{
    int64_t bytes = pg_file_size(path);
    if (bytes < 0)
        return pg_fail(PG_EMISSING, "%s: no such file: the folder of cifar-10-binary.tar.gz has it", path);
    if (images && bytes != images * PG_CIFAR10_RECORD)
        return pg_fail(PG_EINPUT, "%s: %lld bytes%s, right would be %lld (%lld images of %d bytes)", path, (long long)bytes,
                       bytes % PG_CIFAR10_RECORD ? ", not a whole number of images" : "",
                       (long long)(images * PG_CIFAR10_RECORD), (long long)images, PG_CIFAR10_RECORD);
    return PG_OK;
}

/* Everything that can be wrong with the source is found here, before anything is written. */
static int check_all(const char *source, int64_t images, pg_manifest *manifest)
{
    struct stat status;
    if (stat(source, &status) != 0 || !S_ISDIR(status.st_mode))
        return pg_fail(PG_EMISSING, "%s: no such folder", source);
    int code = PG_OK;
    for (int pass = 0; pass < 2 && code == PG_OK; pass++) /* cheap checks of all files first */
        for (int i = 0; pg_cifar10_files[i] && code == PG_OK; i++) {
            char *path = NULL;
            bool batch = strcmp(pg_cifar10_files[i], PG_CIFAR10_META) != 0;
            code = pg_format(&path, "%s/%s", source, pg_cifar10_files[i]);
            if (code == PG_OK && pass == 0)
                code = check_source(path, batch ? images : 0);
            if (code == PG_OK && pass == 0 && !batch)
                code = pg_cifar10_class_names(path, manifest);
            if (code == PG_OK && pass == 1 && batch)
                code = check_labels(path, images);
            free(path);
        }
    return code;
}

static int take_file(const char *source, const char *target, const char *name, int64_t images, pg_manifest_file *file)
{
    char *from = NULL, *to = NULL;
    int code = pg_format(&from, "%s/%s", source, name);
    if (code == PG_OK)
        code = pg_format(&to, "%s/%s", target, name);
    if (code == PG_OK)
        code = pg_link_or_copy(from, to);
    if (code == PG_OK)
        code = pg_hash_file(to, file->hash);
    if (code == PG_OK) {
        snprintf(file->name, sizeof file->name, "%s", name);
        file->images = images;
        file->bytes = pg_file_size(to);
        if (images && file->bytes != images * PG_CIFAR10_RECORD)
            code = pg_fail(PG_EIO, "%s: changed while it was imported", from);
    }
    free(from);
    free(to);
    return code;
}

int pg_cifar10_import(const char *data_dir, const char *source, int64_t images_per_file)
{
    pg_folder folder = {0};
    char *target = NULL;
    pg_manifest manifest = {.name = "cifar10", .height = 32, .width = 32};
    int code = check_all(source, images_per_file, &manifest);
    if (code == PG_OK)
        code = pg_format(&target, "%s/cifar10", data_dir);
    if (code == PG_OK)
        code = pg_manifest_check_target(target);
    if (code == PG_OK)
        code = pg_folder_make(data_dir, "cifar10", "import", &folder);
    if (code != PG_OK)
        goto out;
    for (int i = 0; pg_cifar10_files[i] && code == PG_OK; i++) {
        bool batch = strcmp(pg_cifar10_files[i], PG_CIFAR10_META) != 0;
        code = take_file(source, folder.path, pg_cifar10_files[i], batch ? images_per_file : 0,
                         &manifest.files[manifest.n_files++]);
    }
    if (code == PG_OK)
        code = pg_manifest_write(folder.path, &manifest);
    if (code == PG_OK)
        code = pg_folder_replace(folder.path, target);
out:
    pg_folder_end(&folder);
    pg_manifest_release(&manifest);
    free(target);
    return code;
}
