/* Reading, writing and verifying manifests. See manifest.h. Manifests are untrusted: every field is checked. */
#include "harness/data/manifest.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_BYTES = 1 << 20 };

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* What is not could not be read again from the manifest. */
static bool is_utf8(const char *text)
{
    for (size_t size; *text; text += size)
        if ((size = pg_utf8_size(text)) == 0)
            return false;
    return true;
}

/* Without control characters. */
static bool printable(const char *text, size_t room)
{
    if (!*text || strlen(text) >= room || !is_utf8(text))
        return false;
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* Of files and data sets: what JSON can hold as it is. */
static bool plain(const char *text, size_t room) { return printable(text, room) && !strpbrk(text, "\"\\"); }

void pg_manifest_release(pg_manifest *manifest)
{
    for (int i = 0; manifest->classes && i < manifest->n_classes; i++)
        free(manifest->classes[i]);
    free(manifest->classes);
    *manifest = (pg_manifest){0};
}

int pg_manifest_set_classes(pg_manifest *manifest, const char *const *names, int n)
{
    manifest->classes = calloc((size_t)n + 1, sizeof *manifest->classes);
    if (!manifest->classes)
        return pg_fail(PG_ENOMEM, "out of memory");
    manifest->n_classes = n;
    for (int i = 0; i < n; i++) {
        if (!printable(names[i], PG_MANIFEST_CLASS))
            return pg_fail(PG_EINPUT, "class %d is named '%s': right would be 1 to %d printable bytes of UTF-8", i, names[i],
                           PG_MANIFEST_CLASS - 1);
        for (int j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return pg_fail(PG_EINPUT, "classes %d and %d have the same name '%s'", j, i, names[i]);
        if (!(manifest->classes[i] = strdup(names[i])))
            return pg_fail(PG_ENOMEM, "out of memory");
    }
    return PG_OK;
}

const pg_manifest_file *pg_manifest_find(const pg_manifest *manifest, const char *file)
{
    for (int i = 0; i < manifest->n_files; i++)
        if (strcmp(manifest->files[i].name, file) == 0)
            return &manifest->files[i];
    return NULL;
}

static bool is_hash(const char *text)
{
    return strlen(text) == PG_HASH_HEX - 1 && strspn(text, "0123456789abcdef") == PG_HASH_HEX - 1;
}

static int read_file(const json_t *entry, pg_manifest_file *out)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *hash = json_string_value(json_object_get(entry, "sha256"));
    const json_t *bytes = json_object_get(entry, "bytes"), *images = json_object_get(entry, "images");
    if (!name || !plain(name, sizeof out->name) || strchr(name, '/') || *name == '.')
        return pg_fail(PG_EDAMAGED, "a file has no plain name");
    if (!hash || !is_hash(hash))
        return pg_fail(PG_EDAMAGED, "file '%s': sha256 is not 64 lower-case hexadecimal digits", name);
    if (!json_is_integer(bytes) || !json_is_integer(images) || json_integer_value(bytes) < 0 || json_integer_value(images) < 0)
        return pg_fail(PG_EDAMAGED, "file '%s': bytes or images is not an integer of 0 or more", name);
    strcpy(out->name, name);
    strcpy(out->hash, hash);
    out->bytes = json_integer_value(bytes);
    out->images = json_integer_value(images);
    return PG_OK;
}

static int read_shape(const json_t *shape, pg_manifest *out)
{
    json_int_t side[3] = {0};
    for (size_t i = 0; i < 3; i++)
        side[i] = json_integer_value(json_array_get(shape, i));
    if (json_array_size(shape) != 3 || side[0] != 3 || side[1] < 1 || side[1] > PG_MANIFEST_SIDE || side[2] < 1 ||
        side[2] > PG_MANIFEST_SIDE)
        return pg_fail(PG_EDAMAGED, "shape is not [3, height, width] with sides from 1 to %d", PG_MANIFEST_SIDE);
    out->height = (int)side[1];
    out->width = (int)side[2];
    return PG_OK;
}

/* Both or neither. */
static int read_fit(const json_t *resize, const json_t *filter, pg_manifest *out)
{
    if (!resize && !filter)
        return PG_OK;
    json_int_t side = json_integer_value(resize);
    const char *name = json_string_value(filter);
    int i = 0;
    while (name && pg_filter_names[i] && strcmp(pg_filter_names[i], name) != 0)
        i++;
    if (side < 1 || side > PG_MANIFEST_SIDE || side < out->height || side < out->width || !name || !pg_filter_names[i])
        return pg_fail(PG_EDAMAGED, "resize is not a side from that of the images to %d, or filter is none", PG_MANIFEST_SIDE);
    out->resize_px = (int)side;
    out->filter = (pg_filter)i;
    return PG_OK;
}

static int read_classes(const json_t *classes, pg_manifest *out)
{
    size_t n = json_array_size(classes);
    if (n < 1 || n > PG_MANIFEST_CLASSES)
        return pg_fail(PG_EDAMAGED, "classes is not a list of 1 to %d names", PG_MANIFEST_CLASSES);
    const char *names[PG_MANIFEST_CLASSES];
    for (size_t i = 0; i < n; i++)
        if (!(names[i] = json_string_value(json_array_get(classes, i))))
            return pg_fail(PG_EDAMAGED, "class %zu is not a string", i);
    int code = pg_manifest_set_classes(out, names, (int)n);
    return code == PG_EINPUT ? PG_EDAMAGED : code;
}

static int read_object(const json_t *root, pg_manifest *out)
{
    const char *name = json_string_value(json_object_get(root, "name"));
    const json_t *format = json_object_get(root, "format"), *files = json_object_get(root, "files");
    if (!json_is_integer(format) || json_integer_value(format) != PG_MANIFEST_FORMAT)
        return pg_fail(PG_EDAMAGED, "format is not %d", PG_MANIFEST_FORMAT);
    if (!name || !plain(name, sizeof out->name))
        return pg_fail(PG_EDAMAGED, "name is not a plain name");
    strcpy(out->name, name);
    int code = read_shape(json_object_get(root, "shape"), out);
    if (code == PG_OK)
        code = read_fit(json_object_get(root, "resize"), json_object_get(root, "filter"), out);
    if (code == PG_OK)
        code = read_classes(json_object_get(root, "classes"), out);
    size_t n = json_array_size(files);
    if (code == PG_OK && (n < 1 || n > PG_MANIFEST_FILES))
        code = pg_fail(PG_EDAMAGED, "files is not a list of 1 to %d files", PG_MANIFEST_FILES);
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        code = read_file(json_array_get(files, i), &out->files[i]);
        if (code == PG_OK && i && strcmp(out->files[i - 1].name, out->files[i].name) >= 0)
            code = pg_fail(PG_EDAMAGED, "files are not sorted by name, each once");
        out->n_files = (int)i + 1;
    }
    return code;
}

int pg_manifest_read(const char *folder, pg_manifest *out)
{
    *out = (pg_manifest){0};
    char *path = join(folder, "manifest.json"), *text = NULL;
    size_t size = 0;
    json_error_t error;
    if (!path)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_file_read(path, MOST_BYTES, &text, &size);
    if (code == PG_OK) {
        json_t *root = NULL;
        code = pg_json_load(text, size, &root, &error);
        if (code == PG_OK)
            code = read_object(root, out);
        else if (code == PG_EDAMAGED)
            code = pg_fail(PG_EDAMAGED, "line %d: not valid JSON: %s", error.line, error.text);
        json_decref(root);
        if (code != PG_OK)
            pg_fail_at(code, "%s", path);
    }
    free(text);
    free(path);
    return code;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const pg_manifest_file *)left)->name, ((const pg_manifest_file *)right)->name);
}

static void put_string(pg_buf *text, const char *value)
{
    json_t *string = json_string(value);
    char *quoted = pg_json_dump(string, JSON_ENCODE_ANY);
    if (quoted)
        pg_buf_puts(text, quoted);
    else
        text->failed = true;
    free(quoted);
    json_decref(string);
}

int pg_manifest_check_target(const char *folder)
{
    struct stat about;
    if (lstat(folder, &about) != 0)
        return PG_OK;
    char *manifest = join(folder, "manifest.json");
    DIR *entries = opendir(folder);
    int n = 0;
    while (entries && readdir(entries))
        n++;
    if (entries)
        closedir(entries);
    bool ours = manifest && pg_file_size(manifest) >= 0, empty = entries && n <= 2; /* "." and ".." */
    free(manifest);
    return ours || empty
               ? PG_OK
               : pg_fail(PG_EINPUT,
                         "%s: is there and no data set of this program (it has no manifest.json), so it is not replaced; "
                         "move it, or take another name or --data",
                         folder);
}

int pg_manifest_write(const char *folder, pg_manifest *manifest)
{
    qsort(manifest->files, (size_t)manifest->n_files, sizeof *manifest->files, by_name);
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "{\n  \"format\": %d,\n  \"name\": \"%s\",\n  \"shape\": [3, %d, %d],\n", PG_MANIFEST_FORMAT,
                  manifest->name, manifest->height, manifest->width);
    if (manifest->resize_px)
        pg_buf_printf(&text, "  \"resize\": %d,\n  \"filter\": \"%s\",\n", manifest->resize_px,
                      pg_filter_names[manifest->filter]);
    pg_buf_puts(&text, "  \"classes\": [");
    for (int i = 0; i < manifest->n_classes; i++) {
        pg_buf_puts(&text, i ? ", " : "");
        put_string(&text, manifest->classes[i]);
    }
    pg_buf_puts(&text, "],\n  \"files\": [");
    for (int i = 0; i < manifest->n_files; i++) {
        const pg_manifest_file *file = &manifest->files[i];
        pg_buf_printf(&text, "%s\n    {\"name\": \"%s\", \"bytes\": %lld, \"images\": %lld, \"sha256\": \"%s\"}", i ? "," : "",
                      file->name, (long long)file->bytes, (long long)file->images, file->hash);
    }
    pg_buf_puts(&text, "\n  ]\n}\n");
    char *path = join(folder, "manifest.json");
    int code = path ? pg_buf_check(&text) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = pg_file_write(path, text.data, text.size);
    free(path);
    pg_buf_release(&text);
    return code;
}

/* NULL, or what is wrong with the file, in `fault`. */
static const char *fault_of(const char *path, const pg_manifest_file *file, char *fault, size_t room)
{
    int64_t bytes = pg_file_size(path);
    char hash[PG_HASH_HEX];
    if (bytes < 0)
        snprintf(fault, room, "missing");
    else if (bytes != file->bytes)
        snprintf(fault, room, "%lld bytes, the manifest says %lld", (long long)bytes, (long long)file->bytes);
    else if (pg_hash_file(path, hash))
        snprintf(fault, room, "cannot be read: %s", pg_error_message());
    else if (strcmp(hash, file->hash) != 0)
        snprintf(fault, room, "SHA-256 is %s, the manifest says %s", hash, file->hash);
    else
        return NULL;
    return fault;
}

int pg_manifest_verify(const char *folder, const pg_manifest *manifest, pg_manifest_report *report, void *context)
{
    int damaged = 0;
    for (int i = 0; i < manifest->n_files; i++) {
        char fault_text[PG_MESSAGE_MAX];
        char *path = join(folder, manifest->files[i].name);
        if (!path)
            return pg_fail(PG_ENOMEM, "out of memory");
        const char *fault = fault_of(path, &manifest->files[i], fault_text, sizeof fault_text);
        free(path);
        damaged += fault != NULL;
        if (report)
            report(context, manifest->files[i].name, fault);
    }
    if (damaged)
        return pg_fail(PG_EDAMAGED, "%s: %d of %d files damaged: `patchgauge data fetch` or `data import` makes %s again",
                       folder, damaged, manifest->n_files, manifest->name);
    return PG_OK;
}

int pg_manifest_verify_set(const char *data_dir, const char *name, pg_manifest_report *report, void *context)
{
    pg_manifest manifest = {0};
    char *folder = join(data_dir, name);
    int code = folder ? pg_manifest_read(folder, &manifest) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = pg_manifest_verify(folder, &manifest, report, context);
    pg_manifest_release(&manifest);
    free(folder);
    return code;
}

bool pg_manifest_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(name);
    return length > 0 && length < sizeof((pg_manifest *)0)->name && strspn(name, allowed) == length && !strchr("-_.", *name);
}
