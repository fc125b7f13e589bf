/* Reads imported CIFAR-10. See cifar10.h. Threads: reads use pread, so one data set serves many threads. */
#include "harness/data/cifar10.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/data/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PARTS = 8, CHUNK = 64, PIXELS = PG_CIFAR10_RECORD - 1 };

/* A run of images in one file. */
typedef struct part {
    const pg_manifest_file *file;
    char *path;
    int fd;
    int64_t first, count;
} part;

typedef struct state {
    pg_manifest manifest;
    part parts[MOST_PARTS];
    int n_parts;
} state;

static int open_part(state *s, const char *folder, const char *name, int64_t first, int64_t count)
{
    part *p = &s->parts[s->n_parts++];
    p->file = pg_manifest_find(&s->manifest, name);
    p->first = first;
    p->count = count;
    uint64_t size;
    int code = pg_format(&p->path, "%s/%s", folder, name);
    if (code != PG_OK)
        return code;
    if (pg_file_open(p->path, &p->fd, &size) != PG_OK)
        return pg_fail(PG_EDAMAGED, "%s: cannot be opened: `patchgauge data fetch cifar10` brings it again", p->path);
    int64_t bytes = (int64_t)size;
    if (bytes != p->file->bytes || bytes != p->file->images * PG_CIFAR10_RECORD)
        return pg_fail(PG_EDAMAGED, "%s: %lld bytes, the manifest says %lld: `patchgauge data fetch cifar10` brings it again",
                       p->path, (long long)bytes, (long long)p->file->bytes);
    return PG_OK;
}

/* Parts of images [first, first + count) of the five training files in order. */
static int open_train(state *s, const char *folder, int64_t first, int64_t count)
{
    int code = PG_OK;
    int64_t at = 0;
    for (int i = 1; i <= 5 && code == PG_OK; i++) {
        int64_t images = pg_manifest_find(&s->manifest, pg_cifar10_files[i])->images;
        int64_t lo = first > at ? first : at, hi = first + count < at + images ? first + count : at + images;
        if (lo < hi)
            code = open_part(s, folder, pg_cifar10_files[i], lo - at, hi - lo);
        at += images;
    }
    return code;
}

static int open_split(state *s, const char *folder, const char *split)
{
    int64_t train = 0;
    for (int i = 1; i <= 5; i++)
        train += pg_manifest_find(&s->manifest, pg_cifar10_files[i])->images;
    int64_t held_out = train / 10;
    if (strcmp(split, "train") == 0)
        return open_train(s, folder, 0, train);
    if (strcmp(split, "fit") == 0)
        return open_train(s, folder, 0, train - held_out);
    if (strcmp(split, "val") == 0)
        return open_train(s, folder, train - held_out, held_out);
    return open_part(s, folder, "test_batch.bin", 0, pg_manifest_find(&s->manifest, "test_batch.bin")->images);
}

static int check_manifest(const pg_manifest *manifest, const char *folder)
{
    bool good = strcmp(manifest->name, "cifar10") == 0 && manifest->height == 32 && manifest->width == 32 &&
                manifest->n_classes == PG_CIFAR10_CLASSES;
    for (int i = 0; pg_cifar10_files[i]; i++) {
        const pg_manifest_file *file = pg_manifest_find(manifest, pg_cifar10_files[i]);
        good = good && file && file->images < INT32_MAX && (i == 0 || file->images > 0);
    }
    if (!good)
        return pg_fail(PG_EDAMAGED, "%s/manifest.json is not that of cifar10: `patchgauge data fetch cifar10` brings it again",
                       folder);
    return PG_OK;
}

/* The class names of the manifest are those of the file that it was made from: each of the two stands for the other. */
static int check_classes(const pg_manifest *manifest, const char *folder)
{
    pg_manifest named = {0};
    char *path = NULL;
    if (asprintf(&path, "%s/" PG_CIFAR10_META, folder) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_cifar10_class_names(path, &named);
    if (code == PG_EINPUT || code == PG_EMISSING)
        code = pg_fail(PG_EDAMAGED, "%s: `patchgauge data fetch cifar10` brings it again", pg_error_message());
    for (int i = 0; code == PG_OK && i < PG_CIFAR10_CLASSES; i++)
        if (strcmp(named.classes[i], manifest->classes[i]) != 0)
            code = pg_fail(PG_EDAMAGED,
                           "%s: class %d is '%s', the manifest says '%s': `patchgauge data fetch cifar10` brings it again",
                           path, i, named.classes[i], manifest->classes[i]);
    pg_manifest_release(&named);
    free(path);
    return code;
}

/* The identity: content of the parts in order, class order, split. No file names, no times. */
static int hash_split(const state *s, pg_dataset_info *info)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "format=%d\ndataset=%s\nsplit=%s\nshape=3x%dx%d\n", PG_MANIFEST_FORMAT, info->name, info->split,
                  info->height, info->width);
    for (int i = 0; i < info->classes; i++)
        pg_buf_printf(&text, "class=%s\n", info->class_names[i]);
    for (int i = 0; i < s->n_parts; i++)
        pg_buf_printf(&text, "part=%s:%lld:%lld\n", s->parts[i].file->hash, (long long)s->parts[i].first,
                      (long long)s->parts[i].count);
    return pg_hash_text(&text, info->hash);
}

static int cifar10_open(const char *data_dir, pg_dataset *dataset)
{
    pg_dataset_info *info = &dataset->info;
    state *s = dataset->state = calloc(1, sizeof *s);
    char *folder = NULL;
    if (!s || asprintf(&folder, "%s/cifar10", data_dir) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_manifest_read(folder, &s->manifest);
    if (code == PG_OK)
        code = check_manifest(&s->manifest, folder);
    if (code == PG_OK)
        code = check_classes(&s->manifest, folder);
    if (code == PG_OK)
        code = open_split(s, folder, info->split);
    if (code == PG_OK) {
        info->height = s->manifest.height;
        info->width = s->manifest.width;
        info->classes = s->manifest.n_classes;
        info->class_names = (const char *const *)s->manifest.classes;
        for (int i = 0; i < s->n_parts; i++)
            info->images += s->parts[i].count;
        code = hash_split(s, info);
    }
    free(folder);
    return code;
}

static void cifar10_close(pg_dataset *dataset)
{
    state *s = dataset->state;
    if (!s)
        return;
    for (int i = 0; i < s->n_parts; i++) {
        if (s->parts[i].path && s->parts[i].fd >= 0)
            close(s->parts[i].fd);
        free(s->parts[i].path);
    }
    pg_manifest_release(&s->manifest);
    free(s);
}

static int read_bytes(const part *p, void *out, size_t size, int64_t offset)
{
    char *at = out;
    while (size) {
        ssize_t n = pread(p->fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? pg_fail(PG_EIO, "%s: cannot be read: %s", p->path, strerror(errno))
                     : pg_fail(PG_EDAMAGED, "%s: ends early: `patchgauge data fetch cifar10` brings it again", p->path);
        at += n;
        offset += n;
        size -= (size_t)n;
    }
    return PG_OK;
}

static int read_part(const part *p, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels)
{
    uint8_t *records = malloc((size_t)CHUNK * PG_CIFAR10_RECORD);
    int code = records ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (int64_t done = 0; done < count && code == PG_OK;) {
        int64_t n = count - done < CHUNK ? count - done : CHUNK, from = p->first + first + done;
        code = read_bytes(p, records, (size_t)n * PG_CIFAR10_RECORD, from * PG_CIFAR10_RECORD);
        for (int64_t i = 0; i < n && code == PG_OK; i++) {
            const uint8_t *record = records + i * PG_CIFAR10_RECORD;
            if (*record >= PG_CIFAR10_CLASSES)
                code = pg_fail(PG_EDAMAGED, "%s: image %lld has label %d, right would be 0 to 9", p->path,
                               (long long)(from + i), *record);
            else if (labels)
                labels[done + i] = *record;
            if (pixels)
                memcpy(pixels + (done + i) * PIXELS, record + 1, PIXELS);
        }
        done += n;
    }
    free(records);
    return code;
}

static int cifar10_read(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels)
{
    const state *s = dataset->state;
    int code = PG_OK;
    for (int i = 0; i < s->n_parts && count && code == PG_OK; i++) {
        const part *p = &s->parts[i];
        if (first >= p->count) {
            first -= p->count;
            continue;
        }
        int64_t n = count < p->count - first ? count : p->count - first;
        code = read_part(p, first, n, pixels, labels);
        pixels = pixels ? pixels + n * PIXELS : NULL;
        labels = labels ? labels + n : NULL;
        count -= n;
        first = 0;
    }
    return code;
}

/* ---- The kind ---- */

static int cifar10_import(const char *data_dir, const char *name PG_UNUSED, const char *source, const void *config PG_UNUSED)
{
    return pg_cifar10_import(data_dir, source, PG_CIFAR10_IMAGES);
}

static int cifar10_fetch(const char *data_dir, const char *name PG_UNUSED, const pg_fetch *given, const void *config PG_UNUSED)
{
    const pg_fetch fetch = pg_fetch_merge(&pg_cifar10_official, given);
    return pg_cifar10_fetch(data_dir, &fetch, PG_CIFAR10_IMAGES);
}

static const char *const splits[] = {"train", "test", "fit", "val", NULL};
static const pg_option no_options[] = {{0}};
PG_DATASET(cifar10)
const pg_dataset_kind pg_dataset_kind_cifar10 = {
    .module = {.name = "cifar10",
               .summary = "CIFAR-10, 32 x 32 photographs of ten classes; the files of cifar-10-binary.tar.gz",
               .source = "Krizhevsky, Learning multiple layers of features from tiny images, 2009",
               .version = 1,
               .options = no_options},
    .help = "`import cifar10 DIR` takes the six files of 10,000 images and batches.meta.txt.\n",
    .splits = splits,
    .open = cifar10_open,
    .read = cifar10_read,
    .close = cifar10_close,
    .import = cifar10_import,
    .verify = pg_manifest_verify_set,
    .fetch = cifar10_fetch,
};
