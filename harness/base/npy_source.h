/* The bytes of an array: a .npy file, or a member of an .npz archive. Private to harness/base/npy. */
#ifndef PG_BASE_NPY_SOURCE_H
#define PG_BASE_NPY_SOURCE_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pg_npy_source pg_npy_source;

/* *new*; key and names as for pg_npy_open. */
int pg_npy_source_open(const char *path, const char *key, const char *const *names, pg_npy_source **out) PG_MUST_USE;
void pg_npy_source_close(pg_npy_source *source);

const char *pg_npy_source_name(const pg_npy_source *source); /* for messages: "a.npy", "a.npz: features.npy"; borrowed */
uint64_t pg_npy_source_left(const pg_npy_source *source);    /* bytes that were not read yet */

/* The next `size` bytes, at most what is left. Behind the last one the checksum of a member is held against its bytes. PG_EIO,
 * PG_EDAMAGED. */
int pg_npy_source_take(pg_npy_source *source, void *to, size_t size) PG_MUST_USE;

#endif
