/* Unpacks expected files from an untrusted archive by libarchive. See fetch.h.
 *
 * Only names from our own table are ever opened for writing, and bytes are counted while they are written, so that neither a
 * path nor a size in the archive is trusted. */
#include "harness/data/fetch.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_archive(struct archive *reader, const char *path)
{
    const char *text = archive_error_string(reader);
    return pg_fail(archive_errno(reader) == ENOMEM ? PG_ENOMEM : PG_EDAMAGED, "%s: not a sound archive: %s", path,
                   text ? text : "unknown fault");
}

/* The part of an entry's name behind "INSIDE/", or NULL. */
static const char *name_inside(const char *path, const char *inside)
{
    size_t length = strlen(inside);
    if (strncmp(path, "./", 2) == 0)
        path += 2;
    return strncmp(path, inside, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

static int write_entry(struct archive *reader, const char *archive, const pg_unpack_file *file, const char *target)
{
    enum { CHUNK = 1 << 16 };
    char *path = NULL, *chunk = malloc(CHUNK);
    if (!chunk || asprintf(&path, "%s/%s", target, file->name) < 0) {
        free(chunk);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    int code = PG_OK, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        code = errno == EEXIST ? pg_fail(PG_EDAMAGED, "%s: holds '%s' twice", archive, file->name)
                               : pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    int64_t size = 0;
    while (!code) {
        la_ssize_t n = archive_read_data(reader, chunk, CHUNK);
        if (n == 0)
            break;
        if (n < 0)
            code = fail_archive(reader, archive);
        else if ((size += n) > file->max)
            code = pg_fail(PG_EDAMAGED, "%s: '%s' has more than %lld bytes", archive, file->name, (long long)file->max);
        else if (write(fd, chunk, (size_t)n) != n)
            code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    }
    if (!code && size < file->min)
        code = pg_fail(PG_EDAMAGED, "%s: '%s' has %lld bytes, right would be %lld", archive, file->name, (long long)size,
                       (long long)file->min);
    if (fd >= 0 && close(fd) != 0 && !code)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    free(path);
    free(chunk);
    return code;
}

static int take_entry(struct archive *reader, struct archive_entry *entry, const char *archive, const char *inside,
                      const pg_unpack_file *files, int n, const char *const *ignored, const char *target)
{
    const char *path = archive_entry_pathname(entry), *name = path ? name_inside(path, inside) : NULL;
    bool regular = archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry) && !archive_entry_symlink(entry);
    if (name && !*name && archive_entry_filetype(entry) == AE_IFDIR)
        return PG_OK;
    for (int i = 0; name && ignored[i]; i++)
        if (strcmp(name, ignored[i]) == 0)
            return PG_OK;
    for (int i = 0; name && i < n; i++)
        if (strcmp(name, files[i].name) == 0)
            return regular ? write_entry(reader, archive, &files[i], target)
                           : pg_fail(PG_EDAMAGED, "%s: '%s' is not a regular file", archive, name);
    return pg_fail(PG_EDAMAGED, "%s: holds '%s', which does not belong there", archive, path ? path : "(no name)");
}

int pg_unpack(const char *archive, const char *inside, const pg_unpack_file *files, int n, const char *const *ignored,
              const char *target)
{
    struct archive *reader = archive_read_new();
    struct archive_entry *entry;
    if (!reader)
        return pg_fail(PG_ENOMEM, "out of memory");
    archive_read_support_filter_gzip(reader);
    archive_read_support_format_tar(reader);
    int code = PG_OK, result = archive_read_open_filename(reader, archive, 1 << 16);
    if (result != ARCHIVE_OK)
        code = fail_archive(reader, archive);
    while (!code && (result = archive_read_next_header(reader, &entry)) != ARCHIVE_EOF)
        code = result == ARCHIVE_OK || result == ARCHIVE_WARN
                   ? take_entry(reader, entry, archive, inside, files, n, ignored, target)
                   : fail_archive(reader, archive);
    archive_read_free(reader);
    for (int i = 0; i < n && !code; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s", target, files[i].name) < 0)
            return pg_fail(PG_ENOMEM, "out of memory");
        if (access(path, F_OK) != 0)
            code = pg_fail(PG_EDAMAGED, "%s: has no '%s/%s'", archive, inside, files[i].name);
        free(path);
    }
    return code;
}
