/* Temporary folders. See folder.h. */
#include "harness/base/folder.h"

#include "harness/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    remove(path);
    return 0;
}

void pg_folder_remove(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

static void remove_stale(const char *data_dir, const char *prefix)
{
    DIR *dir = opendir(data_dir);
    if (!dir)
        return;
    size_t length = strlen(prefix);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strncmp(entry->d_name, prefix, length) != 0)
            continue;
        char *end, *path;
        long pid = strtol(entry->d_name + length, &end, 10);
        if (*end || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        if (asprintf(&path, "%s/%s", data_dir, entry->d_name) >= 0) {
            pg_folder_remove(path);
            free(path);
        }
    }
    closedir(dir);
}

int pg_folder_make(const char *data_dir, const char *name, const char *purpose, char **out)
{
    char *prefix = NULL, *path = NULL;
    int code = pg_make_folders(data_dir);
    if (code)
        return code;
    if (asprintf(&prefix, ".%s.%s.", name, purpose) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    remove_stale(data_dir, prefix);
    if (asprintf(&path, "%s/%s%ld", data_dir, prefix, (long)getpid()) < 0)
        code = pg_fail(PG_ENOMEM, "out of memory");
    free(prefix);
    if (code)
        return code;
    pg_folder_remove(path);
    if (mkdir(path, 0777) != 0) {
        code = pg_fail(PG_EIO, "%s: folder cannot be made: %s", path, strerror(errno));
        free(path);
        return code;
    }
    *out = path;
    return PG_OK;
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
    FILE *in = fopen(from, "rbe");
    if (!in)
        return pg_fail(PG_EIO, "%s: %s", from, strerror(errno));
    FILE *out = fopen(to, "wbxe");
    char *chunk = malloc(CHUNK);
    int code = PG_OK;
    if (!out)
        code = pg_fail(PG_EIO, "%s: cannot be written: %s", to, strerror(errno));
    else if (!chunk)
        code = pg_fail(PG_ENOMEM, "out of memory");
    for (size_t n; !code && (n = fread(chunk, 1, CHUNK, in)) > 0;)
        if (fwrite(chunk, 1, n, out) != n)
            code = pg_fail(PG_EIO, "%s: cannot be written: %s", to, strerror(errno));
    if (!code && ferror(in))
        code = pg_fail(PG_EIO, "%s: cannot be read: %s", from, strerror(errno));
    if (!code && (fflush(out) != 0 || fsync(fileno(out)) != 0))
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
