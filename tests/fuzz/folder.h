/* For fuzz targets that need a folder of their own: made at first use, removed at the end. */
#ifndef PG_TESTS_FUZZ_FOLDER_H
#define PG_TESTS_FUZZ_FOLDER_H

#include "tests/support/scratch.h"

static void fuzz_folder_end(void) { scratch_remove(NULL); }

/* FOLDER/name; good until the eighth call after this one. */
static inline const char *fuzz_path(const char *name)
{
    if (!*scratch_folder) {
        if (scratch_make(NULL) != 0)
            abort();
        atexit(fuzz_folder_end);
    }
    return scratch_path(name);
}

/* Writes FOLDER/name. */
static inline void fuzz_write(const char *name, const void *bytes, size_t size)
{
    fuzz_path("");
    scratch_write(name, bytes, size);
}

#endif
