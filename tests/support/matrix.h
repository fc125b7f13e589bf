/* Matrices for tests: their text is opened as a plan, and what is printed is kept. Header-only; one test program each. */
#ifndef PG_TESTS_MATRIX_H
#define PG_TESTS_MATRIX_H

#include "harness/plan/keys.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define HEAD "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\n"

static char problems[1 << 16]; /* what the last open printed */

/* Opens a matrix of this text with overrides that end with NULL; standard error goes to `problems`. */
static int open_matrix(const char *text, const char *const *overrides, pg_plan **out)
{
    size_t n = 0;
    while (overrides && overrides[n])
        n++;
    scratch_write("m.toml", text, strlen(text));
    pg_plan_request request = {
        .matrix_path = scratch_path("m.toml"), .overrides = overrides, .n_overrides = n, .data_dir = "build/data"};
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    FILE *capture = fopen(scratch_path("stderr"), "w+");
    assert_non_null(capture);
    dup2(fileno(capture), STDERR_FILENO);
    *out = NULL;
    int code = pg_plan_open(&request, out);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(capture);
    size_t size = fread(problems, 1, sizeof problems - 1, capture);
    problems[size] = 0;
    fclose(capture);
    if (code != PG_OK)
        snprintf(problems + size, sizeof problems - size, "%s\n", pg_error_message());
    return code;
}

static pg_plan *must_open(const char *text, const char *const *overrides)
{
    pg_plan *plan = NULL;
    if (open_matrix(text, overrides, &plan) != PG_OK)
        fail_msg("%s", problems);
    return plan;
}

/* The id of the one cell of a matrix. */
static inline void id_of(const char *text, char id[PG_HASH_HEX])
{
    pg_plan *plan = must_open(text, NULL);
    assert_int_equal(pg_plan_count(plan), 1);
    memcpy(id, pg_plan_at(plan, 0)->id, PG_HASH_HEX);
    pg_plan_free(plan);
}

/* The cells as "defense/patch/threshold/seed ..." in the order of rows. */
static inline void expect_rows(const char *text, const char *const *overrides, const char *want)
{
    pg_plan *plan = must_open(text, overrides);
    pg_buf rows;
    pg_buf_init(&rows);
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_cell *c = pg_plan_at(plan, i);
        pg_buf_printf(&rows, "%s%s/%s/%s/%s", i ? " " : "", pg_cell_value(c, "defense"), pg_cell_value(c, "patch"),
                      pg_cell_value(c, "threshold"), pg_cell_value(c, "seed"));
        assert_ptr_equal(pg_plan_find(plan, c->id), c);
    }
    assert_string_equal(rows.data, want);
    pg_buf_release(&rows);
    pg_plan_free(plan);
}

/* The matrix is refused, and what is printed holds `want`. */
static inline void expect_problem(const char *text, const char *want)
{
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(text, NULL, &plan), PG_EINPUT);
    assert_null(plan);
    if (!strstr(problems, want))
        fail_msg("\"%s\" is not in\n%s", want, problems);
}

#endif
