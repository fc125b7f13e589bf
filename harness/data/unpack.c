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
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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
        code = errno == EEXIST || errno == EISDIR ? pg_fail(PG_EDAMAGED, "%s: holds '%s' twice", archive, file->name)
                                                  : pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    int64_t size = 0;
    while (code == PG_OK) {
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
    if (code == PG_OK && size < file->min)
        code = pg_fail(PG_EDAMAGED, "%s: '%s' has %lld bytes, right would be %lld", archive, file->name, (long long)size,
                       (long long)file->min);
    if (fd >= 0 && close(fd) != 0 && code == PG_OK)
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
    while (code == PG_OK && (result = archive_read_next_header(reader, &entry)) != ARCHIVE_EOF)
        code = result == ARCHIVE_OK || result == ARCHIVE_WARN
                   ? take_entry(reader, entry, archive, inside, files, n, ignored, target)
                   : fail_archive(reader, archive);
    archive_read_free(reader);
    for (int i = 0; i < n && code == PG_OK; i++) {
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

typedef struct unpacking {
    struct archive *reader;
    int fd; /* of the archive */
    const char *archive, *target;
    int64_t bytes, most_bytes, entries, most_entries;
} unpacking;

bool pg_clutter(const char *name)
{
    static const char *const names[] = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "@eaDir"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return *name == '.';
}

/* Whether a part of a path is clutter. */
static bool has_clutter(const char *path)
{
    char part[PG_UNPACK_PATH];
    for (; *path; path += strspn(path, "/")) {
        size_t length = strcspn(path, "/");
        memcpy(part, path, length);
        part[length] = 0;
        if (pg_clutter(part))
            return true;
        path += length;
    }
    return false;
}

/* NULL, or what is wrong with a path: it has to lead down, with no part that is "..", "." or empty, but for "./" in front and a
 * '/' at the end. */
static const char *fault_of(const char *path)
{
    int depth = 0;
    if (strlen(path) >= PG_UNPACK_PATH)
        return "is too long: at most 1023 bytes";
    for (const char *part = path; *part;) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
            return "leads out of its folder";
        if (length > 255)
            return "has a name of more than 255 bytes";
        if (++depth > PG_UNPACK_DEPTH)
            return "is more than 32 folders deep";
        part += length + (part[length] == '/');
    }
    return NULL;
}

/* Makes the folders above the name in the target, and with `whole` the name itself too. */
static int make_folders(const unpacking *u, const char *name, bool whole)
{
    const char *slash = strrchr(name, '/');
    char *path = NULL;
    size_t above = strlen(u->target) + 1;
    if (asprintf(&path, "%s/%.*s", u->target, whole ? (int)strlen(name) : slash ? (int)(slash - name) : 0, name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_make_folders(path);
    struct stat status;
    for (char *end = path + above; code == PG_EIO && *end; end += *end != 0) { /* is one of them a file of the archive? */
        end += strcspn(end, "/");
        char was = *end;
        *end = 0;
        if (lstat(path, &status) == 0 && !S_ISDIR(status.st_mode))
            code = pg_fail(PG_EDAMAGED, "%s: holds '%s' as a file and as a folder", u->archive, path + above);
        *end = was;
    }
    free(path);
    return code;
}

/* Reads the contents without keeping them. */
static int drain(unpacking *u)
{
    char chunk[1 << 14];
    for (;;) {
        la_ssize_t n = archive_read_data(u->reader, chunk, sizeof chunk);
        if (n == 0)
            return PG_OK;
        if (n < 0)
            return fail_archive(u->reader, u->archive);
        if ((u->bytes += n) > u->most_bytes)
            return pg_fail(PG_EDAMAGED, "%s: has more contents than %lld bytes", u->archive, (long long)u->most_bytes);
    }
}

static int take_any(unpacking *u, struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry), *name = path && strncmp(path, "./", 2) == 0 ? path + 2 : path;
    bool folder = archive_entry_filetype(entry) == AE_IFDIR;
    const char *fault = !name || (!*name && !folder) ? "leads out of its folder" : fault_of(name);
    if (fault)
        return pg_fail(PG_EDAMAGED, "%s: holds '%.100s%s', which %s", u->archive, path ? path : "(no name)",
                       path && strlen(path) > 100 ? "..." : "", fault);
    if (++u->entries > u->most_entries)
        return pg_fail(PG_EDAMAGED, "%s: has more than %lld entries", u->archive, (long long)u->most_entries);
    if (has_clutter(name))
        return drain(u);
    if (!folder && !is_file(entry))
        return pg_fail(PG_EDAMAGED, "%s: '%s' is not a regular file", u->archive, name);
    int code = make_folders(u, name, folder);
    if (code != PG_OK || folder)
        return code;
    return write_entry(u->reader, u->archive, &(pg_unpack_file){name, 0, u->most_bytes - u->bytes}, u->target, &u->bytes);
}

static int take_all(unpacking *u)
{
    struct archive_entry *entry;
    archive_read_support_filter_gzip(u->reader);
    archive_read_support_filter_bzip2(u->reader);
    archive_read_support_filter_xz(u->reader);
    archive_read_support_filter_zstd(u->reader);
    archive_read_support_format_tar(u->reader);
    archive_read_support_format_zip(u->reader);
    int code = PG_OK, result = archive_read_open_fd(u->reader, u->fd, 1 << 16);
    if (result != ARCHIVE_OK)
        code = fail_archive(u->reader, u->archive);
    while (code == PG_OK && (result = archive_read_next_header(u->reader, &entry)) != ARCHIVE_EOF)
        code = result == ARCHIVE_OK || result == ARCHIVE_WARN ? take_any(u, entry) : fail_archive(u->reader, u->archive);
    return code;
}

int pg_unpack_folder(const char *archive, const char *target)
{
    enum { TIMES = 64, SLACK = 1 << 20, BYTES_AN_ENTRY = 64, FEW = 1 << 16 };
    unpacking u = {.archive = archive, .target = target};
    uint64_t size = 0;
    int code = pg_file_open(archive, &u.fd, &size);
    if (code != PG_OK)
        return code;
    u.most_bytes = TIMES * (int64_t)size + SLACK;
    u.most_entries = (int64_t)size / BYTES_AN_ENTRY + FEW;
    u.reader = archive_read_new();
    /* libarchive gives names in the encoding of the locale: that of this thread is UTF-8 for as long as it reads. */
    errno = 0;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = utf8 ? uselocale(utf8) : (locale_t)0;
    code = !u.reader || (!utf8 && errno == ENOMEM) ? pg_fail(PG_ENOMEM, "out of memory for an archive") : take_all(&u);
    archive_read_free(u.reader);
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    close(u.fd);
    return code;
}
