/* Lists of images. See image_list.h. They are untrusted, but for what their hash in the manifest vouches for. */
#include "harness/data/image_list.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pg_image_list_release(pg_image_list *list)
{
    for (int64_t i = 0; i < list->n; i++)
        free(list->entries[i].file);
    free(list->entries);
    *list = (pg_image_list){0};
}

static bool is_file_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '/')
            return false;
    return *name && *name != '.';
}

int pg_image_list_add(pg_image_list *list, const pg_image_entry *entry)
{
    if (!is_file_name(entry->file))
        return pg_fail(PG_EINPUT, "a control character in the file's name");
    if (list->n == list->room) {
        int64_t room = list->room ? 2 * list->room : 256;
        pg_image_entry *grown = realloc(list->entries, (size_t)room * sizeof *grown);
        if (!grown)
            return pg_fail(PG_ENOMEM, "out of memory for %lld images", (long long)room);
        list->entries = grown;
        list->room = room;
    }
    char *file = strdup(entry->file);
    if (!file)
        return pg_fail(PG_ENOMEM, "out of memory for the names of images");
    list->entries[list->n] = *entry;
    list->entries[list->n++].file = file;
    return PG_OK;
}

static int by_hash(const void *left, const void *right)
{
    const pg_image_entry *a = left, *b = right;
    int order = strcmp(a->hash, b->hash);
    if (order == 0)
        order = (a->label > b->label) - (a->label < b->label);
    return order ? order : strcmp(a->file, b->file);
}

int pg_image_list_write(pg_image_list *list, const char *folder, const char *name, pg_manifest_file *file)
{
    pg_buf text = PG_BUF_EMPTY;
    char *path = NULL;
    if (list->n)
        qsort(list->entries, (size_t)list->n, sizeof *list->entries, by_hash);
    for (int64_t i = 0; i < list->n; i++) {
        const pg_image_entry *e = &list->entries[i];
        pg_buf_printf(&text, "%s %lld %d %s\n", e->hash, (long long)e->bytes, e->label, e->file);
    }
    *file = (pg_manifest_file){.bytes = (int64_t)text.size, .images = list->n};
    snprintf(file->name, sizeof file->name, "%s", name);
    int code = pg_buf_check(&text);
    if (code == PG_OK)
        code = pg_format(&path, "%s/%s", folder, name);
    if (code == PG_OK)
        code = pg_hash_bytes(text.data, text.size, file->hash);
    if (code == PG_OK)
        code = pg_file_write(path, text.data, text.size);
    free(path);
    pg_buf_release(&text);
    return code;
}

/* Cuts the line up in place. */
static int read_line(char *line, int classes, pg_image_list *out)
{
    pg_image_entry entry = {0};
    int64_t label = -1;
    char *words[3];
    for (int i = 0; i < 3; i++) {
        words[i] = line;
        if (!(line = strchr(line, ' ')))
            return PG_EDAMAGED;
        *line++ = 0;
    }
    if (strlen(words[0]) != PG_HASH_HEX - 1 || pg_parse_int(words[1], &entry.bytes) || pg_parse_int(words[2], &label) ||
        entry.bytes < 1 || entry.bytes > PG_IMAGE_BYTES || label < 0 || label >= classes)
        return PG_EDAMAGED;
    memcpy(entry.hash, words[0], PG_HASH_HEX);
    entry.label = (int32_t)label;
    entry.file = line;
    return pg_image_list_add(out, &entry);
}

static int read_lines(char *text, int classes, pg_image_list *out)
{
    for (char *line = text, *end; *line; line = end + 1) {
        if (!(end = strchr(line, '\n')))
            return pg_fail(PG_EDAMAGED, "the last line has no end");
        *end = 0;
        int code = read_line(line, classes, out);
        if (code == PG_ENOMEM)
            return code;
        if (code != PG_OK)
            return pg_fail(PG_EDAMAGED, "line %lld is not \"SHA-256 BYTES LABEL FILE\"", (long long)out->n + 1);
    }
    return PG_OK;
}

int pg_image_list_read(const char *folder, const pg_manifest *manifest, const pg_manifest_file *file, pg_image_list *out)
{
    char *path = NULL, *text = NULL, hash[PG_HASH_HEX];
    size_t size = 0;
    *out = (pg_image_list){0};
    int code = pg_format(&path, "%s/%s", folder, file->name);
    if (code == PG_OK)
        code = pg_file_read(path, (size_t)file->bytes, &text, &size);
    if (code == PG_OK) {
        code = pg_hash_bytes(text, size, hash);
        if (code == PG_OK && strcmp(hash, file->hash) != 0)
            code = pg_fail(PG_EDAMAGED, "SHA-256 is not what the manifest says");
        if (code == PG_OK)
            code = read_lines(text, manifest->n_classes, out);
        if (code == PG_OK && out->n != file->images)
            code = pg_fail(PG_EDAMAGED, "%lld images, the manifest says %lld", (long long)out->n, (long long)file->images);
        if (code != PG_OK)
            pg_fail_at(code, "%s", path);
    }
    if (code == PG_EMISSING || code == PG_EINPUT || code == PG_EDAMAGED)
        code =
            pg_fail(PG_EDAMAGED, "%s: `patchgauge data import %s FOLDER` makes it again", pg_error_message(), manifest->name);
    free(text);
    free(path);
    return code;
}
