/* See npy_source.h. An archive is known by its first bytes, whatever the file is called. */
#include "harness/base/npy_source.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

enum { MEMBERS_MAX = 1 << 16, LISTED = 8, DEFLATE_MOST = 1032 /* bytes for one, at most */ };

struct pg_npy_source {
    char *name;
    int fd; /* of a plain file; else -1 */
    zip_t *zip;
    zip_file_t *member;
    uint64_t left;
};

const char *pg_npy_source_name(const pg_npy_source *s) { return s->name; }
uint64_t pg_npy_source_left(const pg_npy_source *s) { return s->left; }

void pg_npy_source_close(pg_npy_source *s)
{
    if (!s)
        return;
    if (s->member)
        zip_fclose(s->member);
    if (s->zip)
        zip_discard(s->zip);
    if (s->fd >= 0)
        close(s->fd);
    free(s->name);
    free(s);
}

/* ---- Members ---- */

/* The length of the key of entry i, a name that ends in ".npy"; -1: it is no array. */
static int key_of(const pg_npy_source *s, zip_int64_t i, const char **key)
{
    *key = zip_get_name(s->zip, (zip_uint64_t)i, ZIP_FL_ENC_GUESS);
    size_t length = *key ? strlen(*key) : 0;
    return length > 4 && length < 1024 && strcmp(*key + length - 4, ".npy") == 0 ? (int)length - 4 : -1;
}

static bool is_key(const char *name, const char *key, int length)
{
    return strlen(name) == (size_t)length && strncmp(name, key, (size_t)length) == 0;
}

static bool is_among(const char *const *names, const char *key, int length)
{
    for (; names && *names; names++)
        if (is_key(*names, key, length))
            return true;
    return false;
}

/* "there are: a, b, ..." */
static int no_choice(const pg_npy_source *s, zip_int64_t entries, const char *what)
{
    pg_buf list = PG_BUF_EMPTY;
    int n = 0;
    for (zip_int64_t i = 0; i < entries; i++) {
        const char *key;
        int length = key_of(s, i, &key);
        if (length >= 0 && n++ < LISTED)
            pg_buf_printf(&list, "%s%.*s", n > 1 ? ", " : "", length, key);
    }
    int code = n ? pg_fail(PG_EINPUT, "%s: %s; there are: %s%s", s->name, what, list.data, n > LISTED ? ", ..." : "")
                 : pg_fail(PG_EINPUT, "%s: an archive without arrays: no name ends in .npy", s->name);
    pg_buf_release(&list);
    return code;
}

/* The entry that is meant; *chosen < 0 with an error code. */
static int choose(const pg_npy_source *s, const char *wanted, const char *const *names, zip_int64_t *chosen)
{
    zip_int64_t entries = zip_get_num_entries(s->zip, 0), only = -1, usual = -1;
    int arrays = 0, usuals = 0;
    *chosen = -1;
    if (entries > MEMBERS_MAX)
        return pg_fail(PG_EUNSUPPORTED, "%s: an archive of %lld entries; at most %d are read", s->name, (long long)entries,
                       MEMBERS_MAX);
    for (zip_int64_t i = 0; i < entries; i++) {
        const char *key;
        int length = key_of(s, i, &key);
        if (length < 0)
            continue;
        if (wanted && is_key(wanted, key, length))
            *chosen = i;
        arrays++;
        only = i;
        if (is_among(names, key, length)) {
            usuals++;
            usual = i;
        }
    }
    if (wanted && *chosen < 0) {
        char what[256];
        snprintf(what, sizeof what, "no array '%.200s'", wanted);
        return no_choice(s, entries, what);
    }
    if (!wanted && arrays != 1 && usuals != 1)
        return no_choice(s, entries, "the name of an array has to be given");
    if (!wanted)
        *chosen = arrays == 1 ? only : usual;
    return PG_OK;
}

static int open_member(pg_npy_source *s, const char *wanted, const char *const *names)
{
    zip_int64_t i;
    zip_stat_t about;
    const zip_uint64_t needed =
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    int code = choose(s, wanted, names, &i);
    if (code != PG_OK)
        return code;
    if (zip_stat_index(s->zip, (zip_uint64_t)i, 0, &about) != 0 || (about.valid & needed) != needed)
        return pg_fail(PG_EDAMAGED, "%s: a damaged archive: %s", s->name, zip_strerror(s->zip));
    char *name = NULL;
    if (asprintf(&name, "%s: %s", s->name, about.name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    free(s->name);
    s->name = name;
    if (about.encryption_method != ZIP_EM_NONE)
        return pg_fail(PG_EUNSUPPORTED, "%s: is encrypted", s->name);
    if (about.comp_method != ZIP_CM_STORE && about.comp_method != ZIP_CM_DEFLATE)
        return pg_fail(PG_EUNSUPPORTED, "%s: is packed otherwise than by numpy.savez and numpy.savez_compressed", s->name);
    if (about.size / DEFLATE_MOST > about.comp_size)
        return pg_fail(PG_EDAMAGED, "%s: %llu bytes cannot be packed into %llu", s->name, (unsigned long long)about.size,
                       (unsigned long long)about.comp_size);
    s->left = about.size;
    s->member = zip_fopen_index(s->zip, (zip_uint64_t)i, 0);
    return s->member ? PG_OK : pg_fail(PG_EDAMAGED, "%s: cannot be unpacked: %s", s->name, zip_strerror(s->zip));
}

static int open_archive(pg_npy_source *s)
{
    int reason;
    s->zip = zip_fdopen(s->fd, 0, &reason);
    if (s->zip) {
        s->fd = -1; /* the archive has it */
        return PG_OK;
    }
    zip_error_t error;
    zip_error_init_with_code(&error, reason);
    int code = pg_fail(PG_EDAMAGED, "%s: a damaged archive: %s", s->name, zip_error_strerror(&error));
    zip_error_fini(&error);
    return code;
}

/* ---- Either ---- */

int pg_npy_source_open(const char *path, const char *key, const char *const *names, pg_npy_source **out)
{
    *out = NULL;
    pg_npy_source *s = calloc(1, sizeof *s);
    if (!s || !(s->name = strdup(path))) {
        free(s);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    char start[4];
    int code = pg_file_open(path, &s->fd, &s->left);
    if (code == PG_OK && s->left == 0)
        code = pg_fail(PG_EDAMAGED, "%s: empty, not a .npy file", path);
    if (code == PG_OK && pread(s->fd, start, sizeof start, 0) == sizeof start && memcmp(start, "PK\3\4", 4) == 0) {
        code = open_archive(s);
        if (code == PG_OK)
            code = open_member(s, key, names);
    } else if (code == PG_OK && key) {
        code = pg_fail(PG_EINPUT, "%s: no .npz archive, so that it has no array '%s'", path, key);
    }
    if (code != PG_OK)
        pg_npy_source_close(s);
    else
        *out = s;
    return code;
}

int pg_npy_source_take(pg_npy_source *s, void *to, size_t size)
{
    if (!s->member) {
        s->left -= size;
        return pg_file_take(s->name, s->fd, to, size);
    }
    char beyond;
    for (size_t done = 0; done < size;) {
        zip_int64_t n = zip_fread(s->member, (char *)to + done, size - done);
        if (n <= 0)
            return pg_fail(PG_EDAMAGED, "%s: cannot be unpacked: %s", s->name,
                           n ? zip_file_strerror(s->member) : "it ends early");
        done += (size_t)n;
    }
    s->left -= size;
    if (s->left == 0 && zip_fread(s->member, &beyond, 1) != 0)
        return pg_fail(PG_EDAMAGED, "%s: its bytes are not those of its checksum", s->name);
    return PG_OK;
}
