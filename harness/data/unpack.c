/* Unpacks untrusted archives by libarchive. See fetch.h.
 *
 * Only names from our own table, or names that lead down from the target folder, where no link is ever made, are opened for
 * writing, and bytes are counted while they are written, so that neither a path nor a size in the archive is trusted. */
#include "harness/data/fetch.h"

#include "harness/base/file.h"

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

/* Its bytes are added to `total`. */
static int write_entry(struct archive *reader, const char *archive, const pg_unpack_file *file, const char *target,
                       int64_t *total)
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
    *total += size;
    free(path);
    free(chunk);
    return code;
}

static bool is_file(struct archive_entry *entry)
{
    return archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry) && !archive_entry_symlink(entry);
}

static int take_entry(struct archive *reader, struct archive_entry *entry, const char *archive, const char *inside,
                      const pg_unpack_file *files, int n, const char *const *ignored, const char *target)
{
    const char *path = archive_entry_pathname(entry), *name = path ? name_inside(path, inside) : NULL;
    int64_t total = 0;
    if (name && !*name && archive_entry_filetype(entry) == AE_IFDIR)
        return PG_OK;
    for (int i = 0; name && ignored[i]; i++)
        if (strcmp(name, ignored[i]) == 0)
            return PG_OK;
    for (int i = 0; name && i < n; i++)
        if (strcmp(name, files[i].name) == 0)
            return is_file(entry) ? write_entry(reader, archive, &files[i], target, &total)
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

/* ---- Any files, below one folder ---- */

/* Whether a path leads down: no absolute path, and no part that is "..", "." or empty, but for "./" in front and a '/' at the
 * end. */
static bool leads_down(const char *path)
{
    for (const char *part = path; *part;) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += length + (part[length] == '/');
    }
    return true;
}

/* Makes the folders above the name in `target`, and with `whole` the name itself too. */
static int make_folders(const char *target, const char *name, bool whole)
{
    const char *slash = strrchr(name, '/');
    char *path = NULL;
    if (asprintf(&path, "%s/%.*s", target, whole ? (int)strlen(name) : slash ? (int)(slash - name) : 0, name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_make_folders(path);
    free(path);
    return code;
}

static int take_any(struct archive *reader, struct archive_entry *entry, const char *archive, const char *target,
                    int64_t *total, int64_t most)
{
    const char *path = archive_entry_pathname(entry), *name = path && strncmp(path, "./", 2) == 0 ? path + 2 : path;
    bool folder = archive_entry_filetype(entry) == AE_IFDIR;
    if (!name || !leads_down(name) || (!*name && !folder))
        return pg_fail(PG_EDAMAGED, "%s: holds '%s', which leads out of its folder", archive, path ? path : "(no name)");
    if (!folder && !is_file(entry))
        return pg_fail(PG_EDAMAGED, "%s: '%s' is not a regular file", archive, name);
    int code = make_folders(target, name, folder);
    return code || folder ? code : write_entry(reader, archive, &(pg_unpack_file){name, 0, most - *total}, target, total);
}

int pg_unpack_folder(const char *archive, const char *target)
{
    enum { TIMES = 64, SLACK = 1 << 20 };
    struct archive *reader = archive_read_new();
    struct archive_entry *entry;
    int64_t total = 0, most = TIMES * pg_file_size(archive) + SLACK;
    if (!reader)
        return pg_fail(PG_ENOMEM, "out of memory");
    archive_read_support_filter_gzip(reader);
    archive_read_support_filter_bzip2(reader);
    archive_read_support_filter_xz(reader);
    archive_read_support_filter_zstd(reader);
    archive_read_support_format_tar(reader);
    archive_read_support_format_zip(reader);
    int code = PG_OK, result = archive_read_open_filename(reader, archive, 1 << 16);
    if (result != ARCHIVE_OK)
        code = fail_archive(reader, archive);
    while (!code && (result = archive_read_next_header(reader, &entry)) != ARCHIVE_EOF)
        code = result == ARCHIVE_OK || result == ARCHIVE_WARN ? take_any(reader, entry, archive, target, &total, most)
                                                              : fail_archive(reader, archive);
    archive_read_free(reader);
    return code;
}
