/* Whole files, and writers that replace a file at once. See file.h. */
#include "harness/base/file.h"

#include "harness/base/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int pg_file_open(const char *path, int *fd, uint64_t *size)
{
    struct stat status;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0 && (errno == ENXIO || errno == ENODEV)) /* a socket, a device without a driver */
        return pg_fail(PG_EINPUT, "%s: not a regular file", path);
    if (*fd < 0)
        return pg_fail(errno == ENOENT || errno == ENOTDIR ? PG_EMISSING : PG_EIO, "%s: %s", path, strerror(errno));
    int code = PG_OK;
    if (fstat(*fd, &status) != 0)
        code = pg_fail(PG_EIO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode))
        code = pg_fail(PG_EINPUT, "%s: not a regular file", path);
    else if (size)
        *size = (uint64_t)status.st_size;
    if (code != PG_OK) {
        close(*fd);
        *fd = -1;
    }
    return code;
}

int pg_file_stream(const char *path, FILE **stream, uint64_t *size)
{
    int fd, code = pg_file_open(path, &fd, size);
    *stream = NULL;
    if (code != PG_OK)
        return code;
    *stream = fdopen(fd, "rbe");
    if (*stream)
        return PG_OK;
    close(fd);
    return pg_fail(PG_ENOMEM, "%s: out of memory", path);
}

int pg_file_take(const char *path, int fd, void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)to + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pg_fail(PG_EIO, "%s: cannot be read: %s", path, strerror(errno));
        if (n == 0)
            return pg_fail(PG_EIO, "%s: shrank while it was read", path);
        done += (size_t)n;
    }
    return PG_OK;
}

int pg_file_read(const char *path, size_t max, char **data, size_t *size)
{
    uint64_t total;
    int fd, code = pg_file_open(path, &fd, &total);
    if (code != PG_OK)
        return code;
    char *bytes = NULL;
    if (total > max)
        code = pg_fail(PG_EINPUT, "%s: %" PRIu64 " bytes, at most %zu are read", path, total, max);
    else if (!(bytes = malloc((size_t)total + 1)))
        code = pg_fail(PG_ENOMEM, "%s: out of memory for %" PRIu64 " bytes", path, total);
    else
        code = pg_file_take(path, fd, bytes, (size_t)total);
    close(fd);
    if (code != PG_OK) {
        free(bytes);
        return code;
    }
    bytes[total] = 0;
    *data = bytes;
    *size = (size_t)total;
    return PG_OK;
}

/* ---- What may be written over ---- */

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)                    ? "a folder"
           : S_ISFIFO(mode)                 ? "a FIFO"
           : S_ISSOCK(mode)                 ? "a socket"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                            : "no file";
}

/* *there: a regular file is. PG_EINPUT: something else is. */
static int check_kind(const char *path, bool *there, struct stat *about)
{
    struct stat link;
    *there = stat(path, about) == 0;
    if (*there && !S_ISREG(about->st_mode))
        return pg_fail(PG_EINPUT, "%s: is %s, and only a regular file is written over; name another file", path,
                       kind_of(about->st_mode));
    if (!*there && lstat(path, &link) == 0 && S_ISLNK(link.st_mode))
        return pg_fail(PG_EINPUT, "%s: is a link to nothing; remove it, or name another file", path);
    return PG_OK;
}

/* The same file as an input, or one that SQLite keeps beside it, which would be taken for part of it. */
static bool is_of_input(const char *path, const struct stat *about, const char *input)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    const char *name = strrchr(path, '/'), *beside = strrchr(input, '/');
    name = name ? name + 1 : path;
    beside = beside ? beside + 1 : input;
    for (size_t i = 0; i < 4; i++) {
        char other[PATH_MAX];
        struct stat found;
        if (snprintf(other, sizeof other, "%s%s", input, suffixes[i]) < (int)sizeof other && about &&
            stat(other, &found) == 0 && found.st_dev == about->st_dev && found.st_ino == about->st_ino)
            return true;
        if (i > 0 && strncmp(name, beside, strlen(beside)) == 0 && strcmp(name + strlen(beside), suffixes[i]) == 0)
            return true;
    }
    return false;
}

int pg_output_check(const char *path, bool replace, const char *const *inputs)
{
    struct stat about;
    bool there = false;
    if (!*path || path[strlen(path) - 1] == '/')
        return pg_fail(PG_EINPUT, "'%s' is no name of a file to write", path);
    int code = check_kind(path, &there, &about);
    for (; code == PG_OK && inputs && *inputs; inputs++)
        if (is_of_input(path, there ? &about : NULL, *inputs))
            code = pg_fail(PG_EINPUT, "%s: is read by this command as well (%s), and not written over; name another file", path,
                           *inputs);
    if (code == PG_OK && there && !replace)
        code = pg_fail(PG_EINPUT, "%s: is there already; --force replaces it, -o names another place", path);
    return code;
}

int pg_output_folder_check(const char *path)
{
    struct stat about;
    char *bare = strdup(path);
    for (size_t n = bare ? strlen(bare) : 0; n > 1 && bare[n - 1] == '/'; n--)
        bare[n - 1] = 0; /* or a link would be followed */
    bool there = bare && lstat(bare, &about) == 0;
    int code = !bare    ? pg_fail(PG_ENOMEM, "out of memory")
               : !*bare ? pg_fail(PG_EINPUT, "-o wants the name of a folder, not an empty text")
               : there ? pg_fail(PG_EINPUT, "%s: is there already, and nothing is written over it; -o names a new folder", path)
                       : PG_OK;
    free(bare);
    return code;
}

/* ---- Writers ---- */

/* The folder of a path; *new*, NULL if out of memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* What killed writers of `path` left. */
static void sweep(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = folder_of(path), *prefix = NULL;
    if (folder && asprintf(&prefix, "%s.tmp.", slash ? slash + 1 : path) >= 0) {
        pg_leftovers_remove(folder, prefix, false);
        free(prefix);
    }
    free(folder);
}

/* A new file, locked for as long as it is open; again where a sweep was faster than the lock. */
static int open_locked(const char *path)
{
    for (;;) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0 || pg_leftover_guard(path, fd))
            return fd;
        close(fd);
    }
}

int pg_file_begin(pg_file_writer *writer, const char *path)
{
    struct stat about;
    bool there = false;
    *writer = (pg_file_writer){0};
    int code = check_kind(path, &there, &about);
    if (code != PG_OK)
        return code;
    writer->path = there ? realpath(path, NULL) : strdup(path);
    if (!writer->path || asprintf(&writer->temporary, "%s.tmp.%ld", writer->path, (long)getpid()) < 0) {
        writer->temporary = NULL;
        pg_file_abort(writer);
        return pg_fail(PG_ENOMEM, "%s: out of memory", path);
    }
    sweep(writer->path);
    int fd = open_locked(writer->temporary);
    if (fd >= 0 && there)
        (void)!fchmod(fd, about.st_mode & 0777);
    if (fd >= 0 && !(writer->stream = fdopen(fd, "wb"))) {
        close(fd);
        unlink(writer->temporary);
    }
    if (!writer->stream) {
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno));
        free(writer->temporary); /* not ours, or gone already */
        writer->temporary = NULL;
        pg_file_abort(writer);
        return code;
    }
    return PG_OK;
}

static int sync_parent(const char *path)
{
    char *folder = folder_of(path);
    if (!folder)
        return -1;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0)
        return -1;
    int failed = fsync(fd);
    if (failed && (errno == EINVAL || errno == ENOTSUP)) /* file systems that cannot sync a folder */
        failed = 0;
    int error = errno;
    close(fd);
    errno = error;
    return failed;
}

/* rename() that does not replace, where the file system knows how; elsewhere by a link. */
static int move_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    return link(from, to) == 0 ? unlink(from) : -1;
}

static int commit(pg_file_writer *writer, int (*move)(const char *from, const char *to))
{
    int failed = ferror(writer->stream) || fflush(writer->stream) != 0 || fsync(fileno(writer->stream)) != 0 ||
                 move(writer->temporary, writer->path) != 0;
    int error = errno;
    fclose(writer->stream); /* and with it the lock; all is on the disk */
    writer->stream = NULL;
    int code = PG_OK;
    if (failed && error == EEXIST)
        code = pg_fail(PG_EINPUT, "%s: exists already", writer->path);
    else if (failed)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", writer->path, strerror(error ? error : EIO));
    else {
        free(writer->temporary);
        writer->temporary = NULL;
        if (sync_parent(writer->path) != 0)
            code = pg_fail(PG_EIO, "%s: its folder cannot be synchronised: %s", writer->path, strerror(errno));
    }
    pg_file_abort(writer);
    return code;
}

int pg_file_commit(pg_file_writer *writer) { return commit(writer, rename); }

int pg_file_commit_new(pg_file_writer *writer) { return commit(writer, move_new); }

void pg_file_abort(pg_file_writer *writer)
{
    if (writer->stream)
        fclose(writer->stream);
    if (writer->temporary)
        unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    *writer = (pg_file_writer){0};
}

int pg_file_write(const char *path, const void *data, size_t size)
{
    pg_file_writer writer;
    int code = pg_file_begin(&writer, path);
    if (code != PG_OK)
        return code;
    errno = 0;
    if (size && fwrite(data, 1, size, writer.stream) != size) {
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", path, strerror(errno ? errno : EIO));
        pg_file_abort(&writer);
        return code;
    }
    return pg_file_commit(&writer);
}

int64_t pg_file_size(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (int64_t)status.st_size : -1;
}

int pg_folders_begin(const char *path, char **made)
{
    char *partial = strdup(path);
    *made = NULL;
    if (!partial)
        return pg_fail(PG_ENOMEM, "%s: out of memory", path);
    int code = PG_OK;
    for (char *p = partial + (*partial == '/'); code == PG_OK; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char end = *p;
        *p = 0;
        struct stat status;
        bool fresh = *partial && mkdir(partial, 0777) == 0;
        int error = errno;
        if (*partial && !fresh && !(stat(partial, &status) == 0 && S_ISDIR(status.st_mode))) {
            if (stat(partial, &status) == 0)
                error = ENOTDIR;
            code = pg_fail(PG_EIO, "%s: folder cannot be made: %s", partial, strerror(error));
        } else if (fresh && !*made && !(*made = strdup(partial)))
            code = pg_fail(PG_ENOMEM, "%s: out of memory", path);
        *p = end;
        if (!end)
            break;
    }
    free(partial);
    if (code != PG_OK)
        pg_folders_end(path, *made, false);
    if (code != PG_OK)
        *made = NULL;
    return code;
}

/* From the folder itself up to the first one that was made; what is not empty stays, with all above it. */
void pg_folders_end(const char *path, char *made, bool keep)
{
    char *at = made && !keep ? strdup(path) : NULL;
    while (at && strlen(at) >= strlen(made)) {
        struct stat status;
        char *slash = strrchr(at, '/');
        if (rmdir(at) != 0 && stat(at, &status) == 0)
            break;
        if (!slash)
            break;
        *slash = 0;
    }
    free(at);
    free(made);
}

int pg_make_folders(const char *path)
{
    char *made = NULL;
    int code = pg_folders_begin(path, &made);
    if (code == PG_OK)
        pg_folders_end(path, made, true);
    return code;
}

/* Whether the folder, or the nearest one above it that is there, lets files be made. */
static bool can_write(const char *folder)
{
    struct stat about;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", folder);
    while (stat(path, &about) != 0) {
        if (errno != ENOENT)
            return false;
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return access(".", W_OK | X_OK) == 0;
        slash[slash == path] = '\0'; /* "/" stays */
    }
    return access(path, W_OK | X_OK) == 0;
}

int pg_folder_check(const char *path)
{
    struct stat about;
    if (strlen(path) >= PATH_MAX)
        return pg_fail(PG_EINPUT, "the name of a folder has %zu bytes, at most %d are possible", strlen(path), PATH_MAX - 1);
    bool there = stat(path, &about) == 0;
    if (there && !S_ISDIR(about.st_mode))
        return pg_fail(PG_EINPUT, "%s: is %s; -o names a folder", path,
                       S_ISREG(about.st_mode) ? "a file" : kind_of(about.st_mode));
    if (!there && lstat(path, &about) == 0)
        return pg_fail(PG_EINPUT, "%s: is a link to nothing; remove it, or name another folder", path);
    return can_write(path) ? PG_OK : pg_fail(PG_EINPUT, "%s: cannot be made or written to", path);
}
