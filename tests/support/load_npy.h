/* A whole array in memory. */
#ifndef PG_TESTS_LOAD_NPY_H
#define PG_TESTS_LOAD_NPY_H

#include "harness/base/npy.h"

/* PG_OK, or what pg_npy_open and pg_npy_load fail with: then *out is released. */
static inline int load_npy(const char *path, pg_npy *out)
{
    int code = pg_npy_open(path, NULL, NULL, out);
    if (code == PG_OK)
        code = pg_npy_load(out);
    if (code != PG_OK)
        pg_npy_release(out);
    return code;
}

#endif
