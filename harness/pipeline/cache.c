/* See cache.h. A file is a header line of text, the values, and 64 hexadecimal digits over both. */
#include "harness/pipeline/cache.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/log.h"
#include "models/torch/torch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static const char suffix[] = ".features";

struct pg_cache {
    char *folder;
    int64_t max_bytes, bytes; /* in files, as far as this process knows */
    char key[PG_HASH_HEX];    /* "" before the first key */
    char *key_text;
    char *processor;
    char program[PG_HASH_HEX]; /* SHA-256 of this program: another build may compute something else */
    bool complained;
};

static void complain(pg_cache *cache, const char *what)
{
    if (!cache->complained)
        pg_warn("feature cache: %s; going on without", what);
    cache->complained = true;
}

/* "model name" of the first core: other processors may round differently. */
static char *processor_name(void)
{
    char line[512], *name = NULL;
    FILE *stream = fopen("/proc/cpuinfo", "r");
    while (stream && !name && fgets(line, sizeof line, stream)) {
        char *colon = strchr(line, ':');
        if (colon && strncmp(line, "model name", 10) == 0)
            name = strndup(colon + 1, strcspn(colon + 1, "\n"));
    }
    if (stream)
        fclose(stream);
    return name ? name : strdup("unknown");
}

/* ---- Size ---- */

typedef struct entry {
    char *name;
    int64_t bytes;
    struct timespec used;
} entry;

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length > tail && strcmp(name + length - tail, end) == 0;
}

/* What a killed writer left behind counts, and goes, like an entry. */
static bool takes_room(const char *name) { return ends_in(name, suffix) || ends_in(name, ".tmp"); }

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const entry *)a)->used, *y = &((const entry *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* All entries, oldest use first; *new* with their names. Sets cache->bytes. */
static entry *list_entries(pg_cache *cache, size_t *n)
{
    entry *entries = NULL;
    size_t capacity = 0;
    *n = 0;
    cache->bytes = 0;
    DIR *folder = opendir(cache->folder);
    for (struct dirent *d; folder && (d = readdir(folder));) {
        struct stat status;
        if (!takes_room(d->d_name) || fstatat(dirfd(folder), d->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (*n == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            entry *grown = realloc(entries, capacity * sizeof *grown);
            if (!grown)
                break;
            entries = grown;
        }
        entries[*n] = (entry){strdup(d->d_name), status.st_size, status.st_mtim};
        cache->bytes += status.st_size;
        *n += entries[*n].name != NULL;
    }
    if (folder)
        closedir(folder);
    if (*n)
        qsort(entries, *n, sizeof *entries, by_use);
    return entries;
}

static char *path_of(const pg_cache *cache, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", cache->folder, name) < 0 ? NULL : path;
}

static void remove_file(const char *path)
{
    if (path)
        unlink(path);
}

/* Makes room for so many bytes, and a tenth of the whole besides, so that this is rare. */
static void make_room(pg_cache *cache, int64_t bytes)
{
    if (cache->bytes + bytes <= cache->max_bytes)
        return;
    size_t n = 0;
    entry *entries = list_entries(cache, &n);
    for (size_t i = 0; i < n; i++) {
        if (cache->bytes + bytes > cache->max_bytes - cache->max_bytes / 10) {
            char *path = path_of(cache, entries[i].name);
            remove_file(path);
            cache->bytes -= entries[i].bytes;
            free(path);
        }
        free(entries[i].name);
    }
    free(entries);
}

/* ---- Entries ---- */

pg_cache *pg_cache_new(const char *folder, int64_t max_bytes)
{
    if (max_bytes <= 0 || !folder)
        return NULL;
    pg_cache *cache = calloc(1, sizeof *cache);
    if (!cache || !(cache->folder = path_of(&(pg_cache){.folder = (char *)folder}, "features")) ||
        !(cache->processor = processor_name())) {
        pg_cache_free(cache);
        return NULL;
    }
    cache->max_bytes = max_bytes;
    return cache;
}

/* The folder is made when there is something to put into it. */
static bool prepare(pg_cache *cache)
{
    if (cache->program[0])
        return true;
    if (pg_make_folders(cache->folder) != PG_OK || pg_hash_file("/proc/self/exe", cache->program) != PG_OK) {
        complain(cache, pg_error_message());
        cache->program[0] = 0;
        return false;
    }
    size_t n = 0;
    entry *entries = list_entries(cache, &n);
    for (size_t i = 0; i < n; i++)
        free(entries[i].name);
    free(entries);
    return true;
}

void pg_cache_free(pg_cache *cache)
{
    if (!cache)
        return;
    free(cache->folder);
    free(cache->key_text);
    free(cache->processor);
    free(cache);
}

bool pg_cache_key(pg_cache *cache, const char *forward_id, const char *device, const char *library, int threads)
{
    if (!cache || cache->complained || !prepare(cache))
        return false;
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "patchgauge features 2; forward %s; device %s; %s; shim %s; program %s; threads %d;%s", forward_id,
                  device, library, pg_torch_hash(), cache->program, threads, cache->processor);
    free(cache->key_text);
    cache->key_text = pg_buf_take(&text);
    pg_buf_release(&text);
    cache->key[0] = 0;
    return cache->key_text && pg_hash_bytes(cache->key_text, strlen(cache->key_text), cache->key) == PG_OK;
}

static void entry_name(const char *key, long long first, char name[PG_HASH_HEX + 64])
{
    snprintf(name, PG_HASH_HEX + 64, "%.32s-%lld%s", key, first, suffix);
}

static char *entry_path(const pg_cache *cache, int64_t first)
{
    char name[PG_HASH_HEX + 64];
    entry_name(cache->key, first, name);
    return path_of(cache, name);
}

/* The header line of an entry; *new*. */
static char *header_of(const pg_cache *cache, int64_t first, int count, size_t floats)
{
    char *header = NULL;
    int code = asprintf(&header, "%s; images %lld; count %d; floats %zu\n", cache->key_text, (long long)first, count, floats);
    return code < 0 ? NULL : header;
}

/* "...; images FIRST; count COUNT; floats FLOATS\n": the numbers of a header line, and the text before them. */
static bool parse_header(const char *data, size_t size, size_t *key_length, size_t *header_length, long long number[3])
{
    static const char *const names[] = {"; images ", "; count ", "; floats "};
    const char *end = memchr(data, '\n', size),
               *at = end ? memmem(data, (size_t)(end - data), names[0], strlen(names[0])) : NULL;
    if (!at)
        return false;
    *key_length = (size_t)(at - data);
    *header_length = (size_t)(end - data) + 1;
    for (int i = 0; i < 3; i++) {
        char *rest = NULL;
        if (strncmp(at, names[i], strlen(names[i])) != 0)
            return false;
        number[i] = strtoll(at + strlen(names[i]), &rest, 10);
        at = rest;
    }
    return at == end && number[0] >= 0 && number[1] > 0 && number[2] >= 0 && number[2] < 1LL << 40;
}

typedef enum entry_state { USELESS, SHORTER, USABLE } entry_state;

/* Whether an entry holds the values of `count` images from `first` on, floats in all; *values: where they begin. */
static entry_state examine(const pg_cache *cache, const char *data, size_t size, int64_t first, int count, size_t floats,
                           const char **values)
{
    size_t key_length = 0, header_length = 0, tail = PG_HASH_HEX - 1;
    long long number[3];
    char hex[PG_HASH_HEX];
    if (size < tail || !parse_header(data, size - tail, &key_length, &header_length, number) ||
        key_length != strlen(cache->key_text) || memcmp(data, cache->key_text, key_length) != 0 || number[0] != first ||
        size - tail - header_length != (size_t)number[2] * sizeof(float) ||
        (size_t)number[2] * (size_t)count != floats * (size_t)number[1] || pg_hash_bytes(data, size - tail, hex) != PG_OK ||
        memcmp(data + size - tail, hex, tail) != 0)
        return USELESS;
    *values = data + header_length;
    return number[1] < count ? SHORTER : USABLE;
}

bool pg_cache_read(pg_cache *cache, int64_t first, int count, float *values, size_t floats)
{
    if (!cache || !cache->key[0])
        return false;
    char *path = entry_path(cache, first), *data = NULL;
    const char *found = NULL;
    size_t size = 0;
    entry_state state = SHORTER;
    if (path && access(path, F_OK) == 0) {
        int code = pg_file_read(path, (size_t)cache->max_bytes, &data, &size);
        state = code == PG_OK ? examine(cache, data, size, first, count, floats, &found) : USELESS;
    }
    if (state == USABLE) {
        memcpy(values, found, floats * sizeof(float));
        utimensat(AT_FDCWD, path, NULL, 0); /* used now */
    } else if (state == USELESS) {
        remove_file(path);
    }
    free(data);
    free(path);
    return state == USABLE;
}

/* Not flushed to the disk: what a crash tears, the checksum finds. */
static bool write_entry(const char *temporary, const char *path, const char *header, const float *values, size_t floats,
                        const char *hex)
{
    FILE *stream = fopen(temporary, "wbe");
    if (!stream)
        return false;
    bool good =
        fputs(header, stream) >= 0 && fwrite(values, sizeof *values, floats, stream) == floats && fputs(hex, stream) >= 0;
    good = fclose(stream) == 0 && good;
    good = good && rename(temporary, path) == 0;
    if (!good)
        unlink(temporary);
    return good;
}

static bool hash_entry(const char *header, const float *values, size_t floats, char hex[PG_HASH_HEX])
{
    pg_hash *hash = NULL;
    bool good = pg_hash_new(&hash) == PG_OK && pg_hash_add(hash, header, strlen(header)) == PG_OK &&
                pg_hash_add(hash, values, floats * sizeof *values) == PG_OK && pg_hash_finish(hash, hex) == PG_OK;
    pg_hash_free(hash);
    return good;
}

void pg_cache_write(pg_cache *cache, int64_t first, int count, const float *values, size_t floats)
{
    if (!cache || !cache->key[0] || cache->complained)
        return;
    char *path = entry_path(cache, first), *header = header_of(cache, first, count, floats), *temporary = NULL;
    char hex[PG_HASH_HEX];
    if (path && asprintf(&temporary, "%s.%ld.tmp", path, (long)getpid()) < 0)
        temporary = NULL;
    if (path && header && temporary && hash_entry(header, values, floats, hex)) {
        int64_t bytes = (int64_t)(strlen(header) + floats * sizeof *values + PG_HASH_HEX - 1);
        if (bytes <= cache->max_bytes / 4) {
            make_room(cache, bytes);
            if (write_entry(temporary, path, header, values, floats, hex))
                cache->bytes += bytes;
            else
                complain(cache, "cannot be written");
        }
    }
    free(path);
    free(header);
    free(temporary);
}

/* ---- Checking ---- */

/* NULL, or what is wrong with an entry of this name and content. */
static const char *fault_of(const char *name, const char *data, size_t size)
{
    size_t key_length = 0, header_length = 0, tail = PG_HASH_HEX - 1;
    long long number[3];
    char hex[PG_HASH_HEX], wanted[PG_HASH_HEX + 64];
    if (size < tail || pg_hash_bytes(data, size - tail, hex) != PG_OK || memcmp(data + size - tail, hex, tail) != 0)
        return "its checksum is wrong";
    if (!parse_header(data, size - tail, &key_length, &header_length, number) ||
        size - tail - header_length != (size_t)number[2] * sizeof(float) || pg_hash_bytes(data, key_length, hex) != PG_OK)
        return "its header does not fit";
    entry_name(hex, number[0], wanted);
    if (strcmp(wanted, name) == 0)
        return NULL;
    snprintf(wanted, sizeof wanted, "%.32s-%lld-%lld%s", hex, number[0], number[1],
             suffix); /* of before: never found again, no fault */
    return strcmp(wanted, name) == 0 ? NULL : "it has the name of another entry";
}

int pg_cache_check(const char *folder, void (*tell)(const char *fault, void *context), void *context, pg_cache_count *out)
{
    enum { ENTRY_MAX = 1 << 30 };
    pg_cache cache = {.folder = path_of(&(pg_cache){.folder = (char *)folder}, "features")};
    size_t n = 0;
    entry *entries = cache.folder ? list_entries(&cache, &n) : NULL;
    *out = (pg_cache_count){0};
    int code = cache.folder ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char *path = code == PG_OK && ends_in(entries[i].name, suffix) ? path_of(&cache, entries[i].name) : NULL, *data = NULL;
        size_t size = 0;
        int got = path ? pg_file_read(path, ENTRY_MAX, &data, &size) : PG_EMISSING;
        const char *fault = got == PG_OK ? fault_of(entries[i].name, data, size) : pg_error_message();
        out->entries += got != PG_EMISSING; /* those that another process just removed are no fault */
        out->bytes += (int64_t)size;
        if (got == PG_ENOMEM)
            code = got;
        else if (got != PG_EMISSING && fault) {
            out->faults++;
            pg_fail(PG_EDAMAGED, "%s/%s: %s; a run computes it again", cache.folder, entries[i].name, fault);
            tell(pg_error_message(), context);
        }
        free(data);
        free(path);
        free(entries[i].name);
    }
    free(entries);
    free(cache.folder);
    return code;
}
