/* Temporary folders. See folder.h. */
#include "harness/base/folder.h"

#include "harness/base/buf.h"
#include "harness/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make(const char *parent, const char *prefix, mode_t mode, pg_folder *out)
{
    pg_leftovers_remove(parent, prefix, true);
    for (long number = getpid();; number++) { /* of another machine or user, the same number may be there */
        int code = pg_format(&out->path, "%s/%s%ld", parent, prefix, number);
        if (code != PG_OK)
            return code;
        bool made = mkdir(out->path, mode) == 0;
        if (!made && errno != EEXIST)
            break;
        out->lock = made ? open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (made && out->lock < 0)
            break;
        if (made && pg_leftover_guard(out->path, out->lock))
            return PG_OK;
        if (made)
            close(out->lock);
        free(out->path);
    }
    int code = pg_fail(PG_EIO, "%s: folder cannot be made: %s", out->path, strerror(errno));
    free(out->path);
    *out = (pg_folder){0};
    return code;
}

int pg_folder_make(const char *data_dir, const char *name, const char *purpose, pg_folder *out)
{
    char *prefix = NULL;
    char *parent = strdup(data_dir), *made = NULL;
    *out = (pg_folder){0};
    int code = parent ? pg_folders_begin(data_dir, &made) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = pg_format(&prefix, ".%s.%s.", name, purpose);
    if (code == PG_OK)
        code = make(data_dir, prefix, 0777, out);
    free(prefix);
    if (code != PG_OK) {
        pg_folders_end(data_dir, made, false);
        free(parent);
        return code;
    }
    out->parent = parent;
    out->made = made;
    return PG_OK;
}

int pg_scratch_make(const char *purpose, pg_folder *out)
{
    const char *base = getenv("TMPDIR");
    char *prefix = NULL;
    *out = (pg_folder){0};
    if (asprintf(&prefix, "patchgauge-%s.", purpose) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = make(base && *base ? base : "/tmp", prefix, 0700, out);
    if (code == PG_EIO)
        code = pg_fail(PG_EIO, "%s; TMPDIR names another place", pg_error_message());
    free(prefix);
    return code;
}

void pg_folder_end(pg_folder *folder)
{
    if (!folder->path)
        return;
    pg_folder_remove(folder->path);
    close(folder->lock);
    free(folder->path);
    if (folder->parent)
        pg_folders_end(folder->parent, folder->made, false);
    free(folder->parent);
    *folder = (pg_folder){0};
}

int pg_folder_replace(const char *from, const char *to)
{
    struct stat status;
    char *aside = NULL;
    if (lstat(to, &status) != 0) {
        if (rename(from, to) == 0)
            return PG_OK;
        return pg_fail(PG_EIO, "%s: cannot be moved into place: %s", to, strerror(errno));
    }
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0) {
        pg_folder_remove(from);
        return PG_OK;
    }
    if (asprintf(&aside, "%s.old", from) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = PG_OK;
    if (rename(to, aside) != 0 || rename(from, to) != 0) {
        code = pg_fail(PG_EIO, "%s: cannot be replaced: %s", to, strerror(errno));
        if (lstat(to, &status) != 0 && rename(aside, to) != 0)
            code = pg_fail(PG_EIO, "%s: was left at %s", to, aside);
    } else
        pg_folder_remove(aside);
    free(aside);
    return code;
}

static int copy_file(const char *from, const char *to)
{
    enum { CHUNK = 1 << 17 };
    FILE *in;
    int code = pg_file_stream(from, &in, NULL);
    if (code != PG_OK)
        return code;
    FILE *out = fopen(to, "wbxe");
    char *chunk = malloc(CHUNK);
    if (!out)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", to, strerror(errno));
    else if (!chunk)
        code = pg_fail(PG_ENOMEM, "out of memory");
    for (size_t n; code == PG_OK && (n = fread(chunk, 1, CHUNK, in)) > 0;)
        if (fwrite(chunk, 1, n, out) != n)
            code = pg_fail(PG_EIO, "%s: cannot be written: %s", to, strerror(errno));
    if (code == PG_OK && ferror(in))
        code = pg_fail(PG_EIO, "%s: cannot be read: %s", from, strerror(errno));
    if (code == PG_OK && (fflush(out) != 0 || fsync(fileno(out)) != 0))
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", to, strerror(errno));
    if (out)
        fclose(out);
    free(chunk);
    fclose(in);
    return code;
}

int pg_link_or_copy(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0 ? PG_OK : copy_file(from, to);
}
