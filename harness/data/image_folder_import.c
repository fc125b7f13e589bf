/* Checks folders of images and puts them in place. See image_folder.h. */
#include "harness/data/image_folder.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/data/image_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPLITS = 3, MOST_TOLD = 20 };

typedef struct import {
    const char *data_dir, *name;
    const char *source; /* the folder with the splits */
    const char *shown;  /* what the user named: that folder, one above it, or an archive */
    pg_manifest manifest;
    pg_image_list lists[SPLITS]; /* empty: the source has no such split */
    bool has[SPLITS];
    int64_t files, refused;
    int64_t *left_out; /* NULL: a file that is refused ends the import */
    pg_buf skipped;    /* "SPLIT/CLASS/FILE<TAB>REASON" lines */
    char first_fault[PG_MESSAGE_MAX];
    pg_progress progress;
} import;

static int visible(const struct dirent *entry) { return !pg_clutter(entry->d_name); }
static int by_bytes(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name); /* alphasort would follow the locale */
}

static int image_path(char **out, const import *m, const char *folder, int split, const pg_image_entry *entry)
{
    return pg_format(out, "%s/%s/%s/%s", folder, pg_image_folder_splits[split], m->manifest.classes[entry->label], entry->file);
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Calls `take` for each visible entry of a folder by name, with its path, until one fails. */
static int each_entry(const char *folder, int (*take)(void *context, const char *path, const char *name), void *context)
{
    struct dirent **entries = NULL;
    int code = PG_OK, n = scandir(folder, &entries, visible, by_bytes);
    if (n < 0)
        return pg_fail(PG_EIO, "%s: cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (code == PG_OK)
            code = pg_format(&path, "%s/%s", folder, entries[i]->d_name);
        if (code == PG_OK)
            code = take(context, path, entries[i]->d_name);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return code;
}

/* ---- What cannot be used ---- */

/* Characters that a terminal would act on as \\xNN, so that a line stays one. */
static void put_name(pg_buf *text, const char *name)
{
    while (*name) {
        size_t size = pg_utf8_size(name);
        size = size ? size : 1;
        for (size_t i = 0; (pg_text_acts(name) || *name == '\\') && i < size; i++)
            pg_buf_printf(text, "\\x%02x", (unsigned char)name[i]);
        if (!pg_text_acts(name) && *name != '\\')
            pg_buf_add(text, name, size);
        name += size;
    }
}

/* What is wrong with a file, `path` in the source, is counted and told; the code is for failures of the system. */
static int refuse(import *m, const char *path, int code)
{
    if (code == PG_OK || code == PG_ENOMEM)
        return code;
    size_t above = strlen(m->source) + 1, whole = strlen(path);
    const char *message = pg_error_message(), /* which may begin with the path */
        *fault = strlen(message) > whole && strncmp(message + whole, ": ", 2) == 0 ? message + whole + 2 : message;
    pg_buf name = PG_BUF_EMPTY;
    put_name(&name, path + above);
    if (m->refused == 0)
        snprintf(m->first_fault, sizeof m->first_fault, "%s: %s", name.data, fault);
    if (++m->refused <= MOST_TOLD && (m->left_out || m->refused > 1))
        pg_warn("%s: %s: %s", m->left_out ? "left out" : "also refused", name.data, fault);
    pg_buf_puts(&m->skipped, name.data);
    pg_buf_puts(&m->skipped, "\t");
    put_name(&m->skipped, fault);
    pg_buf_puts(&m->skipped, "\n");
    pg_buf_release(&name);
    return PG_OK;
}

/* ---- Classes ---- */

typedef struct class_names {
    import *m;
    char *names[PG_MANIFEST_CLASSES];
    int n;
} class_names;

static bool has_control(const char *name)
{
    for (size_t size; *name; name += size ? size : 1) {
        if (pg_text_acts(name))
            return true;
        size = pg_utf8_size(name);
    }
    return false;
}

static int take_class(void *context, const char *path, const char *name)
{
    class_names *c = context;
    if (!is_folder(path)) {
        int code = pg_fail(PG_EINPUT, "%s: not a folder: right would be SPLIT/CLASS/FILE", path);
        c->m->files++;
        return c->m->left_out ? refuse(c->m, path, code) : code;
    }
    if (has_control(name))
        return pg_fail(PG_EINPUT, "%s: a control character in the name of a class: right would be printable UTF-8", path);
    if (c->n == PG_MANIFEST_CLASSES)
        return pg_fail(PG_EINPUT, "%s: more than %d classes", path, PG_MANIFEST_CLASSES);
    if (!(c->names[c->n] = strdup(name)))
        return pg_fail(PG_ENOMEM, "out of memory");
    c->n++;
    return PG_OK;
}

/* The first name that only one of two sorted lists has, NULL: they are equal. */
static const char *first_unlike(char *const *a, int n_a, char *const *b, int n_b)
{
    int i = 0;
    for (; i < n_a && i < n_b; i++) {
        int order = strcmp(a[i], b[i]);
        if (order != 0)
            return order < 0 ? a[i] : b[i];
    }
    return i < n_a ? a[i] : i < n_b ? b[i] : NULL;
}

/* The classes of the first split are those of the set; another split has to have the same. */
static int read_classes(import *m, const char *folder)
{
    class_names c = {.m = m};
    pg_manifest *manifest = &m->manifest;
    int code = each_entry(folder, take_class, &c);
    if (code == PG_OK && c.n == 0)
        code = pg_fail(PG_EINPUT, "%s: no folders of classes in it", folder);
    if (code == PG_OK && manifest->n_classes == 0) {
        if ((code = pg_manifest_set_classes(manifest, (const char *const *)c.names, c.n)))
            pg_fail_at(code, "%s", folder);
    } else if (code == PG_OK) {
        const char *odd = first_unlike(c.names, c.n, manifest->classes, manifest->n_classes);
        if (odd)
            code = pg_fail(PG_EINPUT, "%s: class '%s' is not in every split", folder, odd);
    }
    for (int i = 0; i < c.n; i++)
        free(c.names[i]);
    return code;
}

static int find_splits(import *m)
{
    if (!is_folder(m->source))
        return pg_fail(PG_EMISSING, "%s: no such folder or archive", m->source);
    bool any = false;
    int code = PG_OK;
    for (int i = 0; pg_image_folder_splits[i] && code == PG_OK; i++) {
        char *folder = NULL;
        code = pg_format(&folder, "%s/%s", m->source, pg_image_folder_splits[i]);
        if (code == PG_OK && (m->has[i] = is_folder(folder)))
            code = read_classes(m, folder);
        any = any || m->has[i];
        free(folder);
    }
    if (code == PG_OK && !any)
        code = pg_fail(PG_EMISSING, "%s: no folder train, val or test in it: right would be SPLIT/CLASS/FILE", m->source);
    return code;
}

/* ---- Images ---- */

typedef struct class_files {
    import *m;
    pg_image_list *list;
    int32_t label;
} class_files;

static int take_file(void *context, const char *path, const char *name)
{
    class_files *c = context;
    pg_image_entry entry = {.label = c->label, .file = (char *)name};
    int code = pg_image_list_add(c->list, &entry);
    c->m->files++;
    return refuse(c->m, path, code);
}

static int list_split(import *m, int split)
{
    int code = PG_OK;
    for (int i = 0; i < m->manifest.n_classes && code == PG_OK; i++) {
        class_files c = {m, &m->lists[split], i};
        char *folder = NULL;
        int64_t before = m->files;
        code = pg_format(&folder, "%s/%s/%s", m->source, pg_image_folder_splits[split], m->manifest.classes[i]);
        if (code == PG_OK)
            code = each_entry(folder, take_file, &c);
        if (code == PG_OK && m->files == before)
            code = pg_fail(PG_EINPUT, "%s: no images in it", folder);
        free(folder);
    }
    return code;
}

/* Fills in the hash and the size. */
static int read_image(const char *path, pg_image_entry *entry)
{
    pg_image image = {0};
    char *bytes = NULL;
    size_t size = 0;
    int code = pg_file_read(path, PG_IMAGE_BYTES, &bytes, &size);
    if (code == PG_OK)
        code = pg_image_decode(bytes, size, &image);
    if (code == PG_OK)
        code = pg_hash_bytes(bytes, size, entry->hash);
    entry->bytes = (int64_t)size;
    pg_image_release(&image);
    free(bytes);
    return code;
}

/* What is refused leaves the list. */
static int read_split(import *m, int split)
{
    pg_image_list *list = &m->lists[split];
    int64_t kept = 0, of_class[PG_MANIFEST_CLASSES] = {0}, i = 0;
    int code = PG_OK;
    for (; i < list->n && code == PG_OK; i++) {
        pg_image_entry entry = list->entries[i];
        char *path = NULL;
        int64_t before = m->refused;
        code = image_path(&path, m, m->source, split, &entry);
        if (code == PG_OK)
            code = refuse(m, path, read_image(path, &entry));
        free(path);
        if (code != PG_OK)
            break;
        if (m->refused > before)
            free(entry.file);
        else {
            of_class[entry.label]++;
            list->entries[kept++] = entry;
        }
        pg_progress_update(&m->progress, m->progress.done + 1, NULL);
    }
    while (i < list->n)
        list->entries[kept++] = list->entries[i++];
    list->n = kept;
    for (int c = 0; c < m->manifest.n_classes && code == PG_OK && m->left_out; c++)
        if (of_class[c] == 0)
            code = pg_fail(PG_EINPUT, "%s: no image of %s/%s can be used; the first of all: %s", m->shown,
                           pg_image_folder_splits[split], m->manifest.classes[c], m->first_fault);
    return code;
}

/* Everything that can be wrong with the source is found here, before anything is written. */
static int read_source(import *m)
{
    int code = find_splits(m);
    for (int i = 0; i < SPLITS && code == PG_OK; i++)
        if (m->has[i])
            code = list_split(m, i);
    if (code != PG_OK)
        return code;
    pg_progress_start(&m->progress, "images read", 0, m->lists[0].n + m->lists[1].n + m->lists[2].n);
    for (int i = 0; i < SPLITS && code == PG_OK; i++)
        if (m->has[i])
            code = read_split(m, i);
    pg_progress_finish(&m->progress);
    if (code == PG_OK && m->refused && !m->left_out)
        code = pg_fail(PG_EINPUT, "%s: %lld of %lld files cannot be used, nothing is imported; the first: %s", m->shown,
                       (long long)m->refused, (long long)m->files, m->first_fault);
    return code != PG_OK ? code : pg_buf_check(&m->skipped);
}

/* ---- Putting in place ---- */

static int link_image(const import *m, const char *folder, int split, const pg_image_entry *entry)
{
    char *from = NULL, *to = NULL;
    int code = image_path(&from, m, m->source, split, entry);
    if (code == PG_OK)
        code = image_path(&to, m, folder, split, entry);
    if (code == PG_OK)
        code = pg_link_or_copy(from, to);
    free(from);
    free(to);
    return code;
}

static int place_split(import *m, const char *folder, int split)
{
    const char *of = pg_image_folder_splits[split];
    char list[32];
    int code = PG_OK;
    for (int i = 0; i < m->manifest.n_classes && code == PG_OK; i++) {
        char *under = NULL;
        code = pg_format(&under, "%s/%s/%s", folder, of, m->manifest.classes[i]);
        if (code == PG_OK)
            code = pg_make_folders(under);
        free(under);
    }
    for (int64_t i = 0; i < m->lists[split].n && code == PG_OK; i++)
        code = link_image(m, folder, split, &m->lists[split].entries[i]);
    snprintf(list, sizeof list, "%s.list", of);
    return code != PG_OK ? code
                         : pg_image_list_write(&m->lists[split], folder, list, &m->manifest.files[m->manifest.n_files++]);
}

/* Beside the manifest, not in it: the set is what its lists name. */
static int write_skipped(const import *m, const char *folder)
{
    char *path = NULL;
    int code = m->refused ? pg_format(&path, "%s/%s", folder, PG_IMAGE_FOLDER_SKIPPED) : PG_OK;
    if (path)
        code = pg_file_write(path, m->skipped.data, m->skipped.size);
    free(path);
    return code;
}

static int place(import *m, const char *target)
{
    pg_folder folder;
    int code = pg_folder_make(m->data_dir, m->name, "import", &folder);
    if (code != PG_OK)
        return code;
    for (int i = 0; i < SPLITS && code == PG_OK; i++)
        if (m->has[i])
            code = place_split(m, folder.path, i);
    if (code == PG_OK)
        code = write_skipped(m, folder.path);
    if (code == PG_OK)
        code = pg_manifest_write(folder.path, &m->manifest);
    if (code == PG_OK)
        code = pg_folder_replace(folder.path, target);
    pg_folder_end(&folder);
    return code;
}

int pg_image_folder_check(const char *data_dir, const char *name, const pg_image_fit *fit)
{
    char *target = NULL;
    struct stat status;
    if (!pg_manifest_name(name))
        return pg_fail(PG_EINPUT,
                       "'%s' is no name for a data set: right would be letters, digits, '-', '_' and '.', at most 31", name);
    if (stat(data_dir, &status) == 0 && !S_ISDIR(status.st_mode))
        return pg_fail(PG_EINPUT, "%s: is a file: --data names a folder", data_dir);
    if (fit->crop_px < 1 || fit->crop_px > fit->resize_px || fit->resize_px > PG_MANIFEST_SIDE)
        return pg_fail(PG_EINPUT, "resize to %d and crop to %d: right would be 1 <= crop <= resize <= %d", fit->resize_px,
                       fit->crop_px, PG_MANIFEST_SIDE);
    int code = pg_format(&target, "%s/%s", data_dir, name);
    if (code == PG_OK && lstat(target, &status) == 0) { /* what was not imported is not ours to replace */
        pg_manifest manifest;
        code = pg_image_folder_manifest(data_dir, name, &manifest);
        pg_manifest_release(&manifest);
        if (code == PG_EMISSING || code == PG_EIO)
            code = pg_fail(PG_EINPUT, "%s: is there and was not imported: choose another name or --data folder, or move it",
                           target);
        else if (code != PG_ENOMEM)
            code = PG_OK;
    }
    free(target);
    return code;
}

static int import_folder(import *m, const pg_image_fit *fit)
{
    char *target = NULL;
    snprintf(m->manifest.name, sizeof m->manifest.name, "%s", m->name);
    m->manifest.height = m->manifest.width = fit->crop_px;
    m->manifest.resize_px = fit->resize_px;
    m->manifest.filter = fit->filter;
    m->skipped = PG_BUF_EMPTY;
    int code = pg_format(&target, "%s/%s", m->data_dir, m->name);
    if (code == PG_OK)
        code = read_source(m);
    if (code == PG_OK)
        code = place(m, target);
    if (code == PG_OK && m->left_out && (*m->left_out = m->refused) > 0)
        pg_warn("%lld of %lld files left out; %s/" PG_IMAGE_FOLDER_SKIPPED " lists them", (long long)m->refused,
                (long long)m->files, target);
    for (int i = 0; i < SPLITS; i++)
        pg_image_list_release(&m->lists[i]);
    pg_manifest_release(&m->manifest);
    pg_buf_release(&m->skipped);
    free(target);
    return code;
}

/* ---- Sources ---- */

/* Where the splits are: goes down while a folder has none, and one folder and nothing else. */
static int descend(char **folder)
{
    for (;;) {
        struct dirent **entries = NULL;
        char *down = NULL;
        int code = PG_OK;
        for (int i = 0; pg_image_folder_splits[i] && code == PG_OK; i++) {
            code = pg_format(&down, "%s/%s", *folder, pg_image_folder_splits[i]);
            bool found = code == PG_OK && is_folder(down);
            free(down);
            if (found)
                return PG_OK;
        }
        int n = code != PG_OK ? 0 : scandir(*folder, &entries, visible, NULL);
        down = NULL;
        if (n == 1)
            code = pg_format(&down, "%s/%s", *folder, entries[0]->d_name);
        for (int i = 0; i < n; i++)
            free(entries[i]);
        free(entries);
        if (code != PG_OK || n != 1 || !is_folder(down)) {
            free(down);
            return code; /* the import says what is missing */
        }
        free(*folder);
        *folder = down;
    }
}

/* A message about a temporary folder tells of it by the name of the archive. */
static int name_archive(int code, const char *folder, const char *archive)
{
    const char *text = pg_error_message(), *at = strstr(text, folder);
    return at ? pg_fail(code, "%.*s%s%s", (int)(at - text), text, archive, at + strlen(folder)) : code;
}

static int import_archive(import *m, const pg_image_fit *fit)
{
    pg_folder folder;
    int code = pg_folder_make(m->data_dir, m->name, "unpack", &folder);
    if (code != PG_OK)
        return code;
    char *source = strdup(folder.path);
    code = source ? pg_unpack_folder(m->shown, source) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = descend(&source);
    if (code == PG_OK) {
        m->source = source;
        code = import_folder(m, fit);
    }
    if (code != PG_OK)
        name_archive(code, folder.path, m->shown);
    free(source);
    pg_folder_end(&folder);
    return code;
}

int pg_image_folder_import(const char *data_dir, const char *name, const char *source, const pg_image_fit *fit,
                           int64_t *left_out)
{
import m = {.data_dir = data_dir, .name = name, .shown = source, .left_out = left_out };
    struct stat status;
    int code = pg_image_folder_check(data_dir, name, fit);
    if (code != PG_OK)
        return code;
    if (stat(source, &status) == 0 && S_ISREG(status.st_mode)) {
        bool made = access(data_dir, F_OK) != 0;
        code = import_archive(&m, fit);
        if (code != PG_OK && made)
            rmdir(data_dir); /* which only goes where it is empty */
        return code;
    }
    char *folder = strdup(source);
    code = folder ? descend(&folder) : pg_fail(PG_ENOMEM, "out of memory");
    m.source = folder;
    if (code == PG_OK)
        code = import_folder(&m, fit);
    free(folder);
    return code;
}
