/* For tests that draw: the files of a figure in the scratch folder, which PG_TEST_KEEP leaves to look at. */
#ifndef PG_TESTS_FIGURE_FILES_H
#define PG_TESTS_FIGURE_FILES_H

#include "harness/base/file.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static inline int keep_or_remove(void **state) { return getenv("PG_TEST_KEEP") != NULL ? 0 : scratch_remove(state); }

/* The file's bytes and a 0, *new*. */
static char *read_file(const char *name)
{
    char *data = NULL;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 24, &data, &size), PG_OK);
    return data;
}

#endif
