/* Files of torch.save, tensor by tensor against what Debian's PyTorch reads of them (tests/base/pickle_reference.py):
 * protocols 0 to 5, the container of today and the one before torch 1.6, files as torch 0.3 wrote them, and all kinds of values
 * beside the tensors. */
#include "models/state_dict.h"

#include "harness/base/file.h"
#include "tests/support/program.h"
#include "tests/support/python.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { LINE = 2000, CHARACTERS = 200 };

/* The dictionary with the most tensors: the state dict of a reference file. */
static const pg_state_dict *largest(const pg_state_file *f)
{
    const pg_state_dict *d, *best = NULL;
    for (size_t i = 0; (d = pg_state_at(f, i)); i++)
        best = !best || d->n > best->n ? d : best;
    return best;
}

/* One tensor of a .tensors file at *at; returns the bytes up to the next. */
static void check_tensor(pg_state_file *f, const pg_state_dict *d, const char **at)
{
    char name[CHARACTERS] = "";
    int32_t length, rank;
    int64_t shape[PG_ST_MAX_DIM], count = 1;
    memcpy(&length, *at, 4);
    assert_in_range(length, 1, CHARACTERS - 1);
    memcpy(name, *at + 4, (size_t)length);
    memcpy(&rank, *at + 4 + length, 4);
    memcpy(shape, *at + 8 + length, 8 * (size_t)rank);
    const pg_state_tensor *t = pg_state_find(d, name);
    if (!t || t->rank != rank)
        fail_msg("tensor '%s' is not there, or has another rank", name);
    for (int i = 0; i < rank; i++) {
        assert_int_equal(t->shape[i], shape[i]);
        count *= shape[i];
    }
    *at += 8 + length + 8 * rank;
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    assert_int_equal(pg_state_read(f, t, values, (size_t)count), PG_OK);
    for (int64_t i = 0; i < count; i++, *at += 8) {
        double wanted;
        memcpy(&wanted, *at, 8);
        float rounded = (float)wanted; /* as doubles become float32 */
        assert_memory_equal(&values[i], &rounded, 4);
    }
    free(values);
}

static size_t check_file(const char *name)
{
    char path[CHARACTERS], *wanted = NULL;
    size_t size = 0, n = 0;
    pg_state_file *f = NULL;
    if (pg_state_open(scratch_path(name), &f) != PG_OK)
        fail_msg("%s", pg_error_message());
    snprintf(path, sizeof path, "%s.tensors", name);
    assert_int_equal(pg_file_read(scratch_path(path), 1 << 24, &wanted, &size), PG_OK);
    const pg_state_dict *d = largest(f);
    assert_non_null(d);
    for (const char *at = wanted; at < wanted + size; n++)
        check_tensor(f, d, &at);
    assert_int_equal(d->n, n);
    free(wanted);
    pg_state_close(f);
    return n;
}

/* Whether "PATH, WHAT" is said of something beside the tensors. */
static bool is_beside(const pg_state_file *f, const char *wanted)
{
    const pg_state_beside *b;
    for (size_t i = 0; (b = pg_state_beside_at(f, i)); i++) {
        char line[2 * CHARACTERS];
        snprintf(line, sizeof line, "%s, %s", b->path, b->what);
        if (strcmp(line, wanted) == 0)
            return true;
    }
    return false;
}

static void tensors_are_those_of_pytorch(void **state)
{
    (void)state;
    char line[LINE];
    size_t files = 0, tensors = 0;
    FILE *answer = python_reference("torch, numpy", "tests/base/pickle_reference.py", "");
    if (!answer)
        skip();
    while (fgets(line, sizeof line, answer)) {
        char *rest = line, *name;
        pg_state_file *f = NULL;
        line[strcspn(line, "\n")] = 0;
        name = strsep(&rest, "|");
        tensors += check_file(name);
        assert_int_equal(pg_state_open(scratch_path(name), &f), PG_OK);
        for (char *part; (part = strsep(&rest, "|"));)
            if (!is_beside(f, part))
                fail_msg("%s: nothing says '%s'", name, part);
        pg_state_close(f);
        files++;
    }
    assert_int_equal(pclose(answer), 0);
    print_message("%zu files, %zu tensors, bit by bit\n", files, tensors);
    assert_int_equal(files, 33);
    assert_true(tensors > 240);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_those_of_pytorch),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
