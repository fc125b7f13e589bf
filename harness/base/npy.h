/* NumPy arrays: .npy files (format 1.0 to 3.0, little endian, C or Fortran order) and members of .npz archives. A strict reader
 * that hands elements out in C order, as many at a time as are wanted, and a streaming writer. */
#ifndef PG_BASE_NPY_H
#define PG_BASE_NPY_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum pg_npy_dtype {
    PG_NPY_F2, /* pg_half_to_float (harness/base/safetensors.h) */
    PG_NPY_F4,
    PG_NPY_F8,
    PG_NPY_I1,
    PG_NPY_I2,
    PG_NPY_I4,
    PG_NPY_I8,
    PG_NPY_U1,
    PG_NPY_U2,
    PG_NPY_U4,
    PG_NPY_U8,
} pg_npy_dtype;
enum { PG_NPY_MAX_DIM = 8 };

typedef struct pg_npy {
    pg_npy_dtype dtype;
    int rank;
    int64_t shape[PG_NPY_MAX_DIM];
    size_t count;                 /* elements */
    bool fortran;                 /* how they are stored: such an array is held in memory whole while it is read */
    const void *data;             /* pg_npy_load: all of them, aligned to 64 bytes; else NULL */
    struct pg_npy_source *source; /* private, */
    void *memory;                 /* as this: elements in C order, */
    size_t taken;                 /* and elements taken */
} pg_npy;

size_t pg_npy_item_size(pg_npy_dtype dtype);

/* Opens an array and reads its header. `key` names the member of an .npz, without ".npy"; NULL: the only one, else the one
 * whose name is among `names` (NULL-terminated; may be NULL). PG_EMISSING, PG_EIO, PG_EINPUT (no regular file; no such member,
 * or none that stands out), PG_EDAMAGED, PG_EUNSUPPORTED (big endian, objects, encryption): the message names the file and the
 * fault. */
int pg_npy_open(const char *path, const char *key, const char *const *names, pg_npy *out) PG_MUST_USE;
/* The next `n` elements, of those that are left, into `to`. PG_EIO, PG_EDAMAGED (an .npz is damaged), PG_ENOMEM. */
int pg_npy_next(pg_npy *npy, void *to, size_t n) PG_MUST_USE;
/* All elements into npy->data, before any was taken. The same, and PG_ENOMEM. */
int pg_npy_load(pg_npy *npy) PG_MUST_USE;
void pg_npy_release(pg_npy *npy);

/* Writes the header of a C-order array of this shape; the caller writes the elements behind it. */
int pg_npy_write_header(FILE *stream, pg_npy_dtype dtype, int rank, const int64_t *shape) PG_MUST_USE;

#endif
