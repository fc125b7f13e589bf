/* Fuzz targets: each feeds bytes to one reader of files or text from strangers.
 *
 * A target is tests/fuzz/NAME.c with PG_FUZZ(NAME), a function of (data, size). It aborts where the reader breaks a promise
 * of its header; the sanitizers see the rest. `make fuzz` drives it with libFuzzer; tests/tree/test_fuzz.c replays the stored
 * inputs of tests/fuzz/corpus/NAME with any compiler. */
#ifndef PG_TESTS_FUZZ_FUZZ_H
#define PG_TESTS_FUZZ_FUZZ_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef PG_LIBFUZZER
#define PG_FUZZ(name)                                             \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
#else
#define PG_FUZZ(name)                                     \
    int pg_fuzz_##name(const uint8_t *data, size_t size); \
    int pg_fuzz_##name(const uint8_t *data, size_t size)
#endif

/* A promise of the code under test; `code` and message of the last failure are shown where it is broken. */
#define FUZZ_CHECK(truth)                                                                                              \
    do {                                                                                                               \
        if (!(truth)) {                                                                                                \
            fprintf(stderr, "%s:%d: broken: %s (last message: %s)\n", __FILE__, __LINE__, #truth, pg_error_message()); \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The path of a file in memory with these bytes, good until the next call with the same slot (0 or 1). */
static inline const char *fuzz_file(int slot, const void *data, size_t size)
{
    static int files[2] = {-1, -1};
    static char paths[2][32];
    int *fd = &files[slot];
    if (*fd < 0)
        *fd = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(paths[slot], sizeof paths[slot], "/proc/self/fd/%d", *fd);
    if (*fd < 0 || ftruncate(*fd, 0) != 0 || pwrite(*fd, data, size, 0) != (ssize_t)size)
        abort();
    return paths[slot];
}

/* Reads every byte, so that a sanitizer sees one that is not there. */
static inline void fuzz_touch(const void *data, size_t size)
{
    const volatile uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        (void)bytes[i];
}

#endif
