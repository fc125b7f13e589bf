/* NumPy .npy files (format 1.0 to 3.0, C order, little endian): strict reader, streaming writer. */
#ifndef PG_BASE_NPY_H
#define PG_BASE_NPY_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum pg_npy_dtype {
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
    const void *data; /* borrowed from the file (memory mapped, or copied), aligned to its element size */
    size_t count;     /* elements */
    void *map, *copy; /* private */
    size_t map_size;
} pg_npy;

size_t pg_npy_item_size(pg_npy_dtype dtype);

/* PG_EMISSING, PG_EDAMAGED (the message names the path and the fault), PG_EUNSUPPORTED (Fortran order, big endian, object). */
int pg_npy_open(const char *path, pg_npy *out) PG_MUST_USE;
void pg_npy_release(pg_npy *npy);

/* Writes the header of a C-order array of this shape; the caller writes the elements behind it. */
int pg_npy_write_header(FILE *stream, pg_npy_dtype dtype, int rank, const int64_t *shape) PG_MUST_USE;

#endif
