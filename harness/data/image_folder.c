/* Reads imported folders of images. See image_folder.h. Threads: every read opens its files, so one data set serves many. */
#include "harness/data/image_folder.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/data/image_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 }; /* of what becomes of a file: raised when pixels change */

const char *const pg_image_folder_splits[] = {"train", "val", "test", NULL};

typedef struct state {
    pg_manifest manifest;
    pg_image_list list;
    char *folder; /* of the split */
} state;

/* NULL: has no such split. */
static const pg_manifest_file *list_of(const pg_manifest *manifest, const char *split)
{
    char name[32];
    snprintf(name, sizeof name, "%s.list", split);
    return pg_manifest_find(manifest, name);
}

static int check_manifest(const pg_manifest *manifest, const char *name)
{
    bool good = strcmp(manifest->name, name) == 0 && manifest->resize_px > 0 && manifest->height == manifest->width;
    for (int i = 0; i < manifest->n_classes; i++) /* they are names of folders */
        good = good && manifest->classes[i][0] != '.' && !strchr(manifest->classes[i], '/');
    for (int i = 0; i < manifest->n_files; i++)
        good = good && manifest->files[i].bytes > 0 && manifest->files[i].images > 0;
    return good ? PG_OK
                : pg_fail(PG_EDAMAGED,
                          "not the manifest of a folder of images: `patchgauge data import %s FOLDER` makes it again", name);
}

int pg_image_folder_manifest(const char *data_dir, const char *name, pg_manifest *out)
{
    char *folder = NULL;
    *out = (pg_manifest){0};
    if (asprintf(&folder, "%s/%s", data_dir, name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_manifest_read(folder, out);
    if (code == PG_OK && (code = check_manifest(out, name)))
        pg_fail_at(code, "%s/manifest.json", folder);
    free(folder);
    return code;
}

/* The identity: contents with their labels in order, class order, how they are made to fit, split. No file names, no times. */
static int hash_split(const state *s, pg_dataset_info *info)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "image-folder=%d\nsplit=%s\nshape=3x%dx%d\nresize=%d\nfilter=%s\n", VERSION, info->split, info->height,
                  info->width, s->manifest.resize_px, pg_filter_names[s->manifest.filter]);
    for (int i = 0; i < info->classes; i++)
        pg_buf_printf(&text, "class=%s\n", info->class_names[i]);
    for (int64_t i = 0; i < s->list.n; i++)
        pg_buf_printf(&text, "%s %d\n", s->list.entries[i].hash, s->list.entries[i].label);
    return pg_hash_text(&text, info->hash);
}

int pg_image_folder_open(const char *data_dir, pg_dataset *dataset)
{
    pg_dataset_info *info = &dataset->info;
    state *s = dataset->state = calloc(1, sizeof *s);
    char *folder = NULL;
    if (!s || asprintf(&folder, "%s/%s", data_dir, info->name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_image_folder_manifest(data_dir, info->name, &s->manifest);
    const pg_manifest_file *file = code != PG_OK ? NULL : list_of(&s->manifest, info->split);
    if (code == PG_OK)
        code = file ? pg_image_list_read(folder, &s->manifest, file, &s->list)
                    : pg_fail(PG_EINPUT, "%s has no split '%s'", info->name, info->split);
    if (code == PG_OK)
        code = pg_format(&s->folder, "%s/%s", folder, info->split);
    if (code == PG_OK) {
        info->images = s->list.n;
        info->height = s->manifest.height;
        info->width = s->manifest.width;
        info->classes = s->manifest.n_classes;
        info->class_names = (const char *const *)s->manifest.classes;
        code = hash_split(s, info);
    }
    free(folder);
    return code;
}

void pg_image_folder_close(pg_dataset *dataset)
{
    state *s = dataset->state;
    if (!s)
        return;
    pg_image_list_release(&s->list);
    pg_manifest_release(&s->manifest);
    free(s->folder);
    free(s);
}

/* The bytes of an image, *new*, and the same as when it was imported. PG_EDAMAGED. */
static int read_entry(const char *folder, const pg_manifest *manifest, const pg_image_entry *entry, char **path, char **bytes)
{
    char hash[PG_HASH_HEX];
    size_t size = 0;
    int code = pg_format(path, "%s/%s/%s", folder, manifest->classes[entry->label], entry->file);
    if (code == PG_OK)
        code = pg_file_read(*path, (size_t)entry->bytes, bytes, &size);
    if (code == PG_EMISSING || code == PG_EINPUT)
        return pg_fail(PG_EDAMAGED, "%s: `patchgauge data import %s FOLDER` makes it again", pg_error_message(),
                       manifest->name);
    if (code == PG_OK)
        code = pg_hash_bytes(*bytes, size, hash);
    if (code == PG_OK && strcmp(hash, entry->hash) != 0)
        code = pg_fail(PG_EDAMAGED, "%s: SHA-256 is %s, the list says %s: `patchgauge data import %s FOLDER` makes it again",
                       *path, hash, entry->hash, manifest->name);
    return code;
}

/* planes[3][side][side]; square[side][side][3] is scratch. */
static int read_image(const state *s, const pg_image_entry *entry, uint8_t *square, uint8_t *planes)
{
    char *path = NULL, *bytes = NULL;
    pg_image image = {0};
    const pg_manifest *m = &s->manifest;
    int code = read_entry(s->folder, m, entry, &path, &bytes);
    if (code == PG_OK && (code = pg_image_decode(bytes, (size_t)entry->bytes, &image)))
        pg_fail_at(code, "%s", path);
    if (code == PG_OK)
        code = pg_resize_crop(&image, m->resize_px, m->filter, m->height, square);
    for (size_t i = 0, n = (size_t)m->height * (size_t)m->width; code == PG_OK && i < n; i++)
        for (size_t c = 0; c < 3; c++)
            planes[c * n + i] = square[3 * i + c];
    pg_image_release(&image);
    free(bytes);
    free(path);
    return code;
}

int pg_image_folder_read(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels)
{
    const state *s = dataset->state;
    size_t size = 3 * (size_t)dataset->info.height * (size_t)dataset->info.width;
    uint8_t *square = pixels ? malloc(size) : NULL;
    int code = !pixels || square ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for an image");
    for (int64_t i = 0; i < count && code == PG_OK; i++) {
        if (labels)
            labels[i] = s->list.entries[first + i].label;
        if (pixels)
            code = read_image(s, &s->list.entries[first + i], square, pixels + (size_t)i * size);
    }
    free(square);
    return code;
}

int pg_image_folder_find_splits(const char *data_dir, const char *name, bool *has)
{
    pg_manifest manifest;
    int code = pg_image_folder_manifest(data_dir, name, &manifest);
    for (int i = 0; code == PG_OK && pg_image_folder_splits[i]; i++)
        has[i] = list_of(&manifest, pg_image_folder_splits[i]) != NULL;
    pg_manifest_release(&manifest);
    return code;
}

/* ---- Verification ---- */

static int verify_split(const char *folder, const pg_manifest *manifest, const char *split, pg_manifest_report *report,
                        void *context, int64_t *damaged)
{
    pg_image_list list;
    char *under = NULL;
    int64_t before = *damaged;
    int code = pg_image_list_read(folder, manifest, list_of(manifest, split), &list);
    if (code == PG_OK)
        code = pg_format(&under, "%s/%s", folder, split);
    for (int64_t i = 0; i < list.n && code == PG_OK; i++) {
        char *path = NULL, *bytes = NULL;
        code = read_entry(under, manifest, &list.entries[i], &path, &bytes);
        if (code == PG_EDAMAGED) {
            code = PG_OK;
            ++*damaged;
            report(context, path, pg_error_message());
        }
        free(bytes);
        free(path);
    }
    if (code == PG_OK && *damaged == before)
        report(context, under, NULL);
    pg_image_list_release(&list);
    free(under);
    return code;
}

int pg_image_folder_verify(const char *data_dir, const char *name, pg_manifest_report *report, void *context)
{
    pg_manifest manifest = {0};
    char *folder = NULL;
    int64_t damaged = 0;
    if (asprintf(&folder, "%s/%s", data_dir, name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_image_folder_manifest(data_dir, name, &manifest);
    if (code == PG_OK)
        code = pg_manifest_verify(folder, &manifest, report, context);
    for (int i = 0; pg_image_folder_splits[i] && code == PG_OK; i++)
        if (list_of(&manifest, pg_image_folder_splits[i]))
            code = verify_split(folder, &manifest, pg_image_folder_splits[i], report, context, &damaged);
    if (code == PG_OK && damaged)
        code = pg_fail(PG_EDAMAGED, "%s: %lld images damaged: `patchgauge data import %s FOLDER` makes it again", folder,
                       (long long)damaged, name);
    pg_manifest_release(&manifest);
    free(folder);
    return code;
}
