/* Whole files: bounded reads, writes that appear at once or not at all. */
#ifndef PG_BASE_FILE_H
#define PG_BASE_FILE_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Opens a regular file for reading, links followed; *fd or *stream is *new* (close(), fclose()), *size (may be NULL) its bytes.
 * Never waits, and never reads from what is no regular file: pipes, devices and folders are refused. Readers of users' files
 * open them so, and read them: a file that is mapped and cut short ends the program. PG_EMISSING, PG_EIO, PG_EINPUT (not a
 * regular file). */
int pg_file_open(const char *path, int *fd, uint64_t *size) PG_MUST_USE;
int pg_file_stream(const char *path, FILE **stream, uint64_t *size) PG_MUST_USE;

/* Reads the next `size` bytes, all of them. PG_EIO, also where the file ends before. */
int pg_file_take(const char *path, int fd, void *to, size_t size) PG_MUST_USE;

/* Reads a whole regular file of at most `max` bytes into *new* memory with a zero byte behind it (free()).
 * PG_EMISSING, PG_EIO, PG_EINPUT (larger than max, or not a regular file), PG_ENOMEM. */
int pg_file_read(const char *path, size_t max, char **data, size_t *size) PG_MUST_USE;

/* Whether a command may write a file there; said before work begins, and nothing is made. A link is followed. PG_EINPUT where
 * something else than a regular file is in the way (a folder, a device, a FIFO, a link to nothing), one of `inputs` (files that
 * the command reads and its database; NULL-terminated, may be NULL; the same file under another name counts, and a journal of
 * it), or, unless `replace`, any file: `replace` where the user asks for it (--force), or the file is known as one that this
 * command wrote before. */
int pg_output_check(const char *path, bool replace, const char *const *inputs) PG_MUST_USE;
/* The same for a folder that is to be new: PG_EINPUT where anything is there. */
int pg_output_folder_check(const char *path) PG_MUST_USE;

/* Writes a file by way of a temporary one in the same folder: fsync, rename, fsync of the folder. PG_EIO. */
int pg_file_write(const char *path, const void *data, size_t size) PG_MUST_USE;

/* The same for writers that stream: begin opens "<path>.tmp.<pid>", commit makes it `path`, abort removes it. What a killed
 * writer left, the next one of the same path removes. A link is followed, a file that is replaced hands on its permissions, and
 * what is no regular file is not written over: PG_EINPUT. */
typedef struct pg_file_writer {
    FILE *stream;
    char *path, *temporary;
} pg_file_writer;
int pg_file_begin(pg_file_writer *writer, const char *path) PG_MUST_USE;
int pg_file_commit(pg_file_writer *writer) PG_MUST_USE;     /* on failure the temporary file is gone */
int pg_file_commit_new(pg_file_writer *writer) PG_MUST_USE; /* the same, and PG_EINPUT where `path` exists by now */
void pg_file_abort(pg_file_writer *writer);                 /* harmless after commit */

int64_t pg_file_size(const char *path);            /* -1 if there is no such regular file */
int pg_make_folders(const char *path) PG_MUST_USE; /* mkdir -p */
/* The same for a folder that shall not stay if what goes into it fails: *made is *new*, the first folder that was not there,
 * NULL where all were. To be followed by pg_folders_end, which frees it, and, unless `keep`, removes what was made and is
 * empty. */
int pg_folders_begin(const char *path, char **made) PG_MUST_USE;
void pg_folders_end(const char *path, char *made, bool keep);
/* Whether files could be made in a folder, or the folder where it is not there yet: said before hours of work. Makes nothing.
 * PG_EINPUT. */
int pg_folder_check(const char *path) PG_MUST_USE;

#endif
