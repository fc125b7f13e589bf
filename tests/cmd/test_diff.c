/* patchgauge diff on cells of the null model: its counts against the outcomes in the store, its refusals. */
#include "db/store.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"
#include "tests/support/store_list.h"

#include <jansson.h>
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
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    if (program_run("db", "--quiet run %s/m.toml", scratch_folder) != 0 || store_list_of("db", keep_id, NULL) != PG_OK)
        return -1;
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

/* ---- Pairs ---- */

static json_t *rows_of_form(const char *form, const char *arguments)
{
    json_error_t error;
    if (program_run("db", "--quiet %s %s -f json", form, arguments) != 0)
        fail_msg("%s", program_output);
    json_t *root = json_loads(program_output, 0, &error), *rows = json_object_get(root, "rows");
    if (!rows)
        fail_msg("%s in %s", error.text, program_output);
    assert_string_equal(json_string_value(json_object_get(root, "form")), form);
    json_incref(rows);
    json_decref(root);
    return rows;
}

static json_t *rows_of(const char *arguments) { return rows_of_form("diff", arguments); }

static const char *text_at(const json_t *rows, size_t i, const char *key)
{
    const json_t *value = json_object_get(json_array_get(rows, i), key);
    if (!value)
        fail_msg("row %zu has no %s", i, key);
    return json_is_null(value) ? "null" : json_string_value(value);
}

static double number_at(const json_t *rows, size_t i, const char *key)
{
    const json_t *value = json_object_get(json_array_get(rows, i), key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void numbers_of_a_pair_are_those_for_people(void **state)
{
    (void)state;
    char ids[160], line[32];
    double share[3], p;
    int got[3];
    snprintf(ids, sizeof ids, "%s %s", mean, median);
    json_t *rows = rows_of(ids);
    assert_int_equal(json_array_size(rows), 2);
    assert_int_equal(program_run("db", "diff %s", ids), 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(line, sizeof line, "\n  %s ", text_at(rows, i, "metric"));
        assert_int_equal(
            sscanf(line_of(line), "%lf %lf %lf %d %d %d %lf", &share[0], &share[1], &share[2], &got[0], &got[1], &got[2], &p),
            7);
        assert_string_equal(text_at(rows, i, "cell_a"), mean);
        assert_string_equal(text_at(rows, i, "cell_b"), median);
        assert_string_equal(text_at(rows, i, "defense_b"), "median");
        assert_string_equal(text_at(rows, i, "patch"), "3");
        assert_int_equal(number_at(rows, i, "n"), IMAGES);
        assert_int_equal(number_at(rows, i, "both"), got[0]);
        assert_int_equal(number_at(rows, i, "only_a"), got[1]);
        assert_int_equal(number_at(rows, i, "only_b"), got[2]);
        assert_int_equal(number_at(rows, i, "neither"), IMAGES - got[0] - got[1] - got[2]);
        assert_true(fabs(number_at(rows, i, "difference") - share[2]) < 0.006);
        assert_true(fabs(number_at(rows, i, "p") - p) <= 0.006 * p);
    }
    json_decref(rows);
}

static const char wide[] =
    "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:40\"\n[axes]\n"
    "defense = [\"mean\", \"robust-masking\"]\npatch = [2, 3]\n\"robust-masking.threshold\" = [0, 0.2]\n";

/* Six cells: for each patch one of mean, which is paired with both thresholds of robust-masking. */
static void settings_of_a_matrix_are_paired(void **state)
{
    (void)state;
    char arguments[300];
    scratch_write("wide.toml", wide, sizeof wide - 1);
    assert_int_equal(program_run("db", "--quiet run %s", scratch_path("wide.toml")), 0);
    snprintf(arguments, sizeof arguments, "%s defense=mean defense=robust-masking", scratch_path("wide.toml"));
    json_t *rows = rows_of(arguments);
    assert_int_equal(json_array_size(rows), 2 * 2 * 2);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(text_at(rows, i, "patch"), i < 4 ? "2" : "3");
        assert_string_equal(text_at(rows, i, "robust-masking.threshold_b"), i % 4 < 2 ? "0" : "0.2");
        assert_string_equal(text_at(rows, i, "metric"), i % 2 ? "certified" : "clean");
        assert_string_equal(text_at(rows, i, "feature"), "logits"); /* of both defenses */
        assert_int_equal(number_at(rows, i, "n"), 40);
    }
    json_decref(rows);
    snprintf(arguments, sizeof arguments, "%s defense=mean 'defense=robust-masking threshold=0.2' --only patch=3",
             scratch_path("wide.toml"));
    rows = rows_of(arguments);
    assert_int_equal(json_array_size(rows), 2);
    json_decref(rows);
    assert_int_equal(program_run("db", "--quiet diff %s defense=mean defense=robust-masking", scratch_path("wide.toml")), 0);
    line_of("4 pairs, equal in all settings that both have but defense\n");
    line_of("\npatch  B threshold  metric ");
    line_of("\n3      0.2          certified ");
}

/* The same of the database as a whole: cells of all matrices, as --only leaves them. */
static void settings_of_the_database_are_paired(void **state)
{
    (void)state;
    json_t *rows = rows_of("defense=mean defense=robust-masking --only images=0:40 --only batch=128");
    assert_int_equal(json_array_size(rows), 2 * 2 * 2);
    assert_string_equal(text_at(rows, 0, "robust-masking.threshold_b"), "0");
    json_decref(rows);
    rows = rows_of("defense=mean defense=median --only images=0:200");
    assert_int_equal(json_array_size(rows), 2);
    assert_string_equal(text_at(rows, 0, "cell_a"), mean);
    assert_string_equal(text_at(rows, 0, "cell_b"), median);
    json_decref(rows);
    assert_int_equal(program_run("db", "diff defense=mean defense=median -S patch=3"), 2);
    line_of("-S replaces a key of a matrix file, and there is none");
    assert_int_equal(program_run("db", "diff defense=mean defense=medium"), 2);
    line_of(
        "B defense=medium: no cell has this value; of defense there is mean, median, robust-masking; did you mean 'median'?");
}

/* Files that differ in the batch; patches that only one of them has stay alone. */
static void two_files_are_paired(void **state)
{
    (void)state;
    char text[sizeof wide + 64], arguments[300], wide_path[200];
    snprintf(text, sizeof text, "%.*sbatch = 8\n%s", (int)(strstr(wide, "[axes]") - wide), wide, strstr(wide, "[axes]"));
    memcpy(strstr(text, "[2, 3]"), "[3, 4]", 6);
    scratch_write("other.toml", text, strlen(text));
    snprintf(wide_path, sizeof wide_path, "%s", scratch_path("wide.toml"));
    assert_int_equal(program_run("db", "--quiet run %s -S patch=3", scratch_path("other.toml")), 0);
    snprintf(arguments, sizeof arguments, "%s %s", wide_path, scratch_path("other.toml"));
    json_t *rows = rows_of(arguments);
    assert_int_equal(json_array_size(rows), 3 * 2 + 3 + 3);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        assert_string_equal(text_at(rows, i, "batch_a"), i < 9 ? "128" : "null");
        assert_string_equal(text_at(rows, i, "batch_b"), i < 6 || i > 8 ? "8" : "null");
        assert_string_equal(text_at(rows, i, "patch"), i < 6 ? "3" : i < 9 ? "2" : "4");
        assert_string_equal(text_at(rows, i, "metric"), i >= 6 ? "null" : i % 2 ? "certified" : "clean");
        assert_true(i < 6 ? number_at(rows, i, "only_a") == 0 && number_at(rows, i, "p") == 1
                          : json_is_null(json_object_get(json_array_get(rows, i), "p")));
    }
    json_decref(rows);
    assert_int_equal(program_run("db", "--quiet diff %s", arguments), 0);
    line_of("3 pairs, equal in all settings that both have but batch\n");
    line_of("\nonly in A: ");
    line_of(" defense=robust-masking patch=4 threshold=0.2\n");
    assert_int_equal(program_run("db", "diff %s -S patch=3 --only defense=mean -o %s", arguments, scratch_path("out")), 0);
    FILE *out = fopen(scratch_path("out"), "r");
    size_t size = out ? fread(program_output, 1, sizeof program_output - 1, out) : 0;
    assert_true(size > 0 && fclose(out) == 0);
    program_output[size] = 0;
    line_of("1 pair, equal in all settings that both have but batch\n");
    /* a pair without results is told, and not compared */
    assert_int_equal(program_run("db", "--quiet diff %s -S patch=4", arguments), 0);
    line_of("3 pairs are not compared: not complete, or of other images\n");
}

/* `show` and `plan` of the same cells: rows for programs, the one with results, the other with what is done. */
static void cells_are_shown_and_planned_in_rows(void **state)
{
    (void)state;
    static outcomes a;
    int clean = 0, certified = 0;
    read_cell(mean, &a);
    for (int i = 0; i < IMAGES; i++) {
        clean += is_clean(&a.items[i]);
        certified += is_certified(&a.items[i]);
    }
    json_t *rows = rows_of_form("show", "--only defense=mean --only images=0:200");
    assert_int_equal(json_array_size(rows), 1);
    const json_t *settings = json_object_get(json_array_get(rows, 0), "settings");
    assert_string_equal(text_at(rows, 0, "cell"), mean);
    assert_string_equal(text_at(rows, 0, "state"), "done");
    assert_int_equal(number_at(rows, 0, "clean_count"), clean);
    assert_int_equal(number_at(rows, 0, "certified_count"), certified);
    assert_true(fabs(number_at(rows, 0, "clean") - 100.0 * clean / IMAGES) < 1e-9);
    assert_true(number_at(rows, 0, "clean_lo") < number_at(rows, 0, "clean"));
    assert_string_equal(json_string_value(json_object_get(settings, "patch")), "3");
    assert_int_equal(json_array_size(json_object_get(json_array_get(rows, 0), "attempts")), 1);
    json_decref(rows);
    assert_int_equal(program_run("db", "--quiet show --only images=0:200 -f csv"), 0);
    assert_memory_equal(program_output, "cell,state,error,first,asked,n,clean_count,clean,clean_lo,clean_hi,", 67);
    line_of(",unmeasured_certified,attack,batch,"); /* settings are columns, too */
    line_of(median);
    rows = rows_of_form("plan", scratch_path("m.toml"));
    assert_int_equal(json_array_size(rows), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(text_at(rows, i, "state"), "done");
        assert_string_equal(text_at(rows, i, "defense"), i == 1 ? "median" : "mean");
        assert_int_equal(number_at(rows, i, "n"), i == 2 ? 100 : 200);
    }
    assert_string_equal(text_at(rows, 0, "cell"), mean);
    json_decref(rows);
    assert_int_equal(program_run("db", "--quiet plan %s -f csv -S patch=9", scratch_path("m.toml")), 0);
    line_of(",new,no results,100,0,none,");
    assert_int_equal(program_run("db", "show %s --only defense=mean", mean), 2);
    line_of("show: CELL and --only: leave one of them out");
    assert_int_equal(program_run("db", "log --only defense=median -f csv"), 0);
    line_of(",attempt,,0,200,done,1,");
}

static void what_makes_no_pairs_is_refused(void **state)
{
    (void)state;
    char path[200];
    snprintf(path, sizeof path, "%s", scratch_path("wide.toml"));
    assert_int_equal(program_run("db", "diff %s %s", path, path), 2);
    line_of("no cell of A has a counterpart in B");
    assert_int_equal(program_run("db", "diff %s defense=mean %s", path, path), 2);
    line_of("right would be two cells, two matrix files, or two settings, of a matrix or not");
    assert_int_equal(program_run("db", "diff %s defense=mean defense=robustmasking", path), 2);
    line_of("B defense=robustmasking: no cell has this value; of defense there is mean, robust-masking");
    assert_int_equal(program_run("db", "diff %s images=0:40 images=0:20", path), 2);
    assert_int_equal(program_run("db", "diff %s %s --only patch=3", mean, median), 2);
    line_of("-S and --only are for cells of a matrix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_outcomes),
        cmocka_unit_test(a_cell_is_equal_to_itself),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
        cmocka_unit_test(numbers_of_a_pair_are_those_for_people),
        cmocka_unit_test(settings_of_a_matrix_are_paired),
        cmocka_unit_test(settings_of_the_database_are_paired),
        cmocka_unit_test(two_files_are_paired),
        cmocka_unit_test(cells_are_shown_and_planned_in_rows),
        cmocka_unit_test(what_makes_no_pairs_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
