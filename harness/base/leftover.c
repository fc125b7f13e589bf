#include "harness/base/leftover.h"

#include "harness/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *status PG_UNUSED, int kind PG_UNUSED, struct FTW *walk PG_UNUSED)
{
    remove(path);
    return 0;
}

void pg_folder_remove(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

/* Under the lock of the file that was opened there, this stays as it is: only who holds it renames or removes it. */
static bool is_still(const char *path, int fd, struct stat *mine)
{
    struct stat there;
    return fstat(fd, mine) == 0 && lstat(path, &there) == 0 && mine->st_dev == there.st_dev && mine->st_ino == there.st_ino;
}

bool pg_leftover_guard(const char *path, int fd)
{
    struct stat mine;
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) { /* held for as long as a removal takes */
    }
    return is_still(path, fd, &mine);
}

/* Removes a file or folder of this user whose lock nobody holds. */
static void remove_leftover(const char *path, bool folder)
{
    struct stat mine;
    int fd = open(path, (folder ? O_RDONLY | O_DIRECTORY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_still(path, fd, &mine) && mine.st_uid == geteuid())
        pg_folder_remove(path);
    close(fd);
}

void pg_leftovers_remove(const char *folder, const char *prefix, bool folders)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    size_t length = strlen(prefix);
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *number = entry->d_name + length;
        char *path;
        if (strncmp(entry->d_name, prefix, length) != 0 || !*number || number[strspn(number, "0123456789")] ||
            asprintf(&path, "%s/%s", folder, entry->d_name) < 0)
            continue;
        remove_leftover(path, folders);
        free(path);
    }
    closedir(dir);
}
