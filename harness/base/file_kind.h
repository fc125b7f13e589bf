/* What a file is that is not what was asked for, told by its first bytes: for messages. */
#ifndef PG_BASE_FILE_KIND_H
#define PG_BASE_FILE_KIND_H

#include <stddef.h>

/* "a PNG image", "text", "empty", "a directory", "a file of torch.save", "of no known kind": to stand behind "is". NULL where
 * the file starts like safetensors or cannot be opened. */
const char *pg_file_kind(const char *path);
/* The same of the first bytes of a file that has all[size] or starts with them; 512 are enough. */
const char *pg_bytes_kind(const void *start, size_t size);

#endif
