/* patchgauge diff on cells of the null model: its counts against the outcomes in the store, its refusals. */
#include "db/store.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { IMAGES = 200 };
static char mean[PG_HASH_HEX], median[PG_HASH_HEX], fewer[PG_HASH_HEX];

static int keep_id(const pg_cell_result *result, void *context)
{
    (void)context;
    const char *defense = pg_settings_value(result->settings, result->n_settings, "defense");
    char *id = result->images < IMAGES ? fewer : strcmp(defense, "mean") == 0 ? mean : median;
    memcpy(id, result->cell_id, PG_HASH_HEX);
    return PG_OK;
}

static int setup(void **state)
{
    static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\npatch = 3\n[[zip]]\n"
                                 "defense = [\"mean\", \"median\", \"mean\"]\nimages = [\"0:200\", \"0:200\", \"0:100\"]\n";
    pg_store *store = NULL;
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    if (program_run("db", "--quiet run %s/m.toml", scratch_folder) != 0 ||
        pg_store_open(scratch_path("db"), PG_STORE_READ, &store) != PG_OK ||
        pg_store_list(store, -1, 0, keep_id, NULL, NULL) != PG_OK)
        return -1;
    pg_store_close(store);
    return *mean && *median && *fewer ? 0 : -1;
}

typedef struct outcomes {
    pg_outcome items[IMAGES];
    int n;
} outcomes;

static int keep(const pg_outcome *outcome, void *context)
{
    outcomes *o = context;
    o->items[o->n++] = *outcome;
    return PG_OK;
}

static void read_cell(const char *id, outcomes *out)
{
    pg_store *store;
    out->n = 0;
    assert_int_equal(pg_store_open(scratch_path("db"), PG_STORE_READ, &store), PG_OK);
    assert_int_equal(pg_store_each_outcome(store, id, keep, out), PG_OK);
    pg_store_close(store);
    assert_int_equal(out->n, IMAGES);
}

static const char *line_of(const char *start)
{
    const char *at = strstr(program_output, start);
    if (!at)
        print_error("no line '%s' in\n%s\n", start, program_output);
    assert_non_null(at);
    return at + strlen(start);
}

static bool is_clean(const pg_outcome *o) { return o->prediction == o->label; }
static bool is_certified(const pg_outcome *o) { return o->certified; }

/* One line of the program's output against the outcomes. */
static void expect_counts(const char *line, bool (*holds)(const pg_outcome *), const outcomes *a, const outcomes *b)
{
    int both = 0, only_a = 0, only_b = 0, got[3];
    for (int i = 0; i < IMAGES; i++) {
        bool x = holds(&a->items[i]), y = holds(&b->items[i]);
        both += x && y;
        only_a += x && !y;
        only_b += y && !x;
    }
    assert_true(only_a + only_b > 0);
    double share_a, share_b, difference, p;
    assert_int_equal(
        sscanf(line_of(line), "%lf %lf %lf %d %d %d %lf", &share_a, &share_b, &difference, &got[0], &got[1], &got[2], &p), 7);
    assert_int_equal(got[0], both);
    assert_int_equal(got[1], only_a);
    assert_int_equal(got[2], only_b);
    assert_true(fabs(share_a - 100.0 * (both + only_a) / IMAGES) < 0.006);
    assert_true(fabs(share_b - 100.0 * (both + only_b) / IMAGES) < 0.006);
    assert_true(fabs(difference - (share_b - share_a)) < 0.011);
}

static void counts_are_those_of_the_outcomes(void **state)
{
    (void)state;
    static outcomes a, b;
    read_cell(mean, &a);
    read_cell(median, &b);
    int flips = 0, said;
    for (int i = 0; i < IMAGES; i++)
        flips += a.items[i].prediction != b.items[i].prediction;
    assert_true(flips > 0);
    assert_int_equal(program_run("db", "diff %.8s %.8s --flips 3", mean, median), 0);
    expect_counts("\n  clean ", is_clean, &a, &b);
    expect_counts("\n  certified ", is_certified, &a, &b);
    assert_int_equal(sscanf(line_of("predictions that differ: "), "%d", &said), 1);
    assert_int_equal(said, flips);
    char more[64];
    snprintf(more, sizeof more, "  and %d more", flips - 3);
    line_of(more);
    line_of("  defense                      mean                     median\n");
    assert_null(strstr(program_output, "under attack"));
    assert_null(strstr(program_output, "\n  patch ")); /* equal settings are not told */
}

static void a_cell_is_equal_to_itself(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "diff %s %s", mean, mean), 0);
    line_of("different settings\n  none\n");
    line_of("no difference\n");
    line_of("predictions that differ: 0\n");
}

static void what_cannot_be_compared_is_refused(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "diff %s %s", mean, fewer), 2);
    line_of("do not have the same images");
    assert_int_equal(program_run("db", "diff %s", mean), 2);
    line_of("B is missing; usage: patchgauge diff A B");
    assert_int_equal(program_run("db", "diff %s %s --flips -1", mean, median), 2);
    line_of("--flips -1: right would be");
    assert_int_equal(program_run("db", "diff %s 00000000", mean), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_outcomes),
        cmocka_unit_test(a_cell_is_equal_to_itself),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
