/* For tests: a fresh temporary folder, paths in it, small files. Everything is removed by scratch_remove. */
#ifndef PG_TESTS_SCRATCH_H
#define PG_TESTS_SCRATCH_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[256];

static inline int scratch_make(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(scratch_folder, sizeof scratch_folder, "%s/patchgauge-test-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(scratch_folder) ? 0 : -1;
}

static inline int scratch_remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static inline int scratch_remove(void **state)
{
    (void)state;
    return nftw(scratch_folder, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* FOLDER/name; good until the eighth call after this one */
static inline const char *scratch_path(const char *name)
{
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

static inline void scratch_write(const char *name, const void *bytes, size_t size)
{
    FILE *stream = fopen(scratch_path(name), "wb");
    if (!stream || fwrite(bytes, 1, size, stream) != size || fclose(stream) != 0)
        abort();
}

/* entries of a folder, hidden ones too, without . and .. */
static int scratch_entry_count;
static inline int scratch_count_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)path, (void)status, (void)kind;
    scratch_entry_count += walk->level > 0;
    return 0;
}
static inline int scratch_count(const char *path)
{
    scratch_entry_count = 0;
    return nftw(path, scratch_count_entry, 16, FTW_PHYS) ? -1 : scratch_entry_count;
}

/* hidden entries of a folder itself: what an unfinished write leaves; 0 where it is not there */
static inline int scratch_hidden(const char *path)
{
    DIR *folder = opendir(path);
    int n = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        n += entry->d_name[0] == '.' && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (folder)
        closedir(folder);
    return n;
}

#endif
