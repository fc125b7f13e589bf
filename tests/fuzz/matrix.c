/* Matrix files, with the overrides of -S behind a line "%%": read, expanded and resolved. A plan is the same when it is made
 * again. */
#include "harness/plan/matrix.h"
#include "harness/plan/plan.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { ROWS = 64, OVERRIDES = 8 };

/* Rows of a matrix without faults of form; 0: refused. */
static size_t expand(const char *text, size_t size, const char *const *overrides, size_t n)
{
    pg_problems problems;
    pg_matrix matrix;
    pg_problems_init(&problems, "fuzz.toml");
    int code = pg_matrix_read("fuzz.toml", text, size, overrides, n, &problems, &matrix);
    FUZZ_CHECK(code == PG_OK || code == PG_EINPUT || code == PG_EUSAGE);
    size_t rows = code == PG_OK && problems.n == 0 ? matrix.rows : 0;
    FUZZ_CHECK(rows <= PG_MATRIX_ROWS_MAX);
    const pg_toml_value **values = rows ? calloc(matrix.n_keys + 1, sizeof *values) : NULL;
    for (size_t i = 0; values && i < rows && i < ROWS; i++)
        if (pg_matrix_row(&matrix, i, values))
            for (size_t k = 0; k < matrix.n_keys; k++)
                fuzz_touch(values[k]->text, strlen(values[k]->text) + 1);
    free(values);
    if (code == PG_OK)
        pg_matrix_release(&matrix);
    pg_problems_release(&problems);
    return rows;
}

static void normalize(const char *text, const char *const *overrides, size_t n)
{
    pg_plan_request request = {
        .matrix_path = "fuzz.toml", .matrix_text = text, .overrides = overrides, .n_overrides = n, .data_dir = "/nowhere"};
    pg_plan *plan = NULL, *again = NULL;
    if (pg_plan_open(&request, &plan) != PG_OK)
        return;
    FUZZ_CHECK(pg_plan_count(plan) <= ROWS && pg_plan_open(&request, &again) == PG_OK);
    FUZZ_CHECK(pg_plan_count(plan) == pg_plan_count(again));
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        FUZZ_CHECK(strcmp(cell->id, pg_plan_at(again, i)->id) == 0 && pg_plan_find(plan, cell->id) == cell);
        FUZZ_CHECK(cell->count >= 1 && cell->first >= 0 && cell->first <= cell->forward->dataset_images - cell->count);
    }
    pg_plan_free(plan);
    pg_plan_free(again);
}

PG_FUZZ(matrix)
{
    char *text = strndup((const char *)data, size), *rest = text ? strstr(text, "\n%%\n") : NULL;
    const char *overrides[OVERRIDES];
    size_t n = 0;
    if (!text)
        abort();
    if (rest) {
        *rest = 0;
        rest += 4;
        for (char *line; n < OVERRIDES && (line = strsep(&rest, "\n"));)
            if (*line)
                overrides[n++] = line;
    }
    size_t rows = expand(text, strlen(text), overrides, n);
    if (rows >= 1 && rows <= ROWS)
        normalize(text, overrides, n);
    free(text);
    return 0;
}
