/* Whole files: bounded reads, writes that appear at once or not at all. */
#ifndef PG_BASE_FILE_H
#define PG_BASE_FILE_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Opens a regular file for reading, links followed; *fd or *stream is *new* (close(), fclose()), *size (may be NULL) its bytes.
 * Never waits, and never reads from what is no regular file: pipes, devices and folders are refused. Readers of users' files open
 * them so, and read them: a file that is mapped and cut short ends the program.
 * PG_EMISSING, PG_EIO, PG_EINPUT (not a regular file). */
int pg_file_open(const char *path, int *fd, uint64_t *size) PG_MUST_USE;
int pg_file_stream(const char *path, FILE **stream, uint64_t *size) PG_MUST_USE;

/* Reads the next `size` bytes, all of them. PG_EIO, also where the file ends before. */
int pg_file_take(const char *path, int fd, void *to, size_t size) PG_MUST_USE;

/* Reads a whole regular file of at most `max` bytes into *new* memory with a zero byte behind it (free()).
 * PG_EMISSING, PG_EIO, PG_EINPUT (larger than max, or not a regular file), PG_ENOMEM. */
int pg_file_read(const char *path, size_t max, char **data, size_t *size) PG_MUST_USE;

/* Writes a file by way of a temporary one in the same folder: fsync, rename, fsync of the folder. PG_EIO. */
int pg_file_write(const char *path, const void *data, size_t size) PG_MUST_USE;

/* The same for writers that stream: begin opens "<path>.tmp.<pid>", commit makes it `path`, abort removes it. What a killed
 * writer left, the next one of the same path removes. */
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
/* Whether files could be made in a folder, or the folder where it is not there yet: said before hours of work. Makes nothing.
 * PG_EINPUT. */
int pg_folder_check(const char *path) PG_MUST_USE;

#endif
