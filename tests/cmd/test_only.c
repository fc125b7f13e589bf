/* --only: which cells of a matrix are chosen, and what is refused. The cells are read from `plan --explain`. */
#include "defenses/defense.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Ten cells: mean and ds without a threshold, robust-masking with two; "2.4%" of 32 px is 5 px, written in two ways. */
static int setup(void **state)
{
    static const char matrix[] = "name = \"m\"\n[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:20\"\nweights = \"null\"\n"
                                 "[axes]\ndefense = [\"mean\", \"ds\", \"robust-masking\"]\npatch = [\"2.4%\", 5, \"4x8\"]\n"
                                 "\"robust-masking.threshold\" = [0, 0.2]\nbatch = [8, 16]\n"
                                 "[[exclude]]\ndefense = \"mean\"\nbatch = 16\n[[exclude]]\ndefense = \"ds\"\nbatch = 16\n"
                                 "[[exclude]]\ndefense = \"robust-masking\"\npatch = \"4x8\"\n";
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    return 0;
}

static int plan(const char *options) { return program_run("db", "plan %s --explain %s", scratch_path("m.toml"), options); }

/* How many rows are left: cells, and rows like them; each line of them holds `text`. */
static void expect(const char *options, int cells, int likes, const char *text)
{
    int found[2] = {0};
    assert_int_equal(plan(options), 0);
    for (const char *line = program_output; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        bool new = strncmp(line, "new ", 4) == 0, same = strncmp(line, "same ", 5) == 0;
        found[0] += new;
        found[1] += same;
        const char *at = strstr(line, text), *end = strchr(line, '\n');
        if ((new || same) && (!at || at > end))
            fail_msg("%s: '%s' is not in each line of\n%s", options, text, program_output);
    }
    if (found[0] != cells || found[1] != likes)
        fail_msg("%s: %d cells and %d like them, not %d and %d:\n%s", options, found[0], found[1], cells, likes,
                 program_output);
}

static void a_setting_chooses(void **state)
{
    (void)state;
    expect("", 8, 6, "");
    expect("--only defense=ds", 2, 1, " ds ");
    expect("--only defense=ds --only defense=mean", 4, 2, "");
    expect("--only defense=robust-masking --only threshold=0.2", 2, 2, "robust-masking.threshold=0.2");
    expect("--only batch=16", 2, 2, " batch=16");
}

static void keys_and_values_have_several_names(void **state)
{
    (void)state;
    expect("--only threshold=0.20", 2, 2, "robust-masking.threshold=0.2");
    expect("--only robust-masking.threshold=0.2", 2, 2, "robust-masking.threshold=0.2");
    expect("--only patch-space=image --only attacker=input --only delta=place --only weights=null", 8, 6, "");
    expect("--only patch=4x8", 2, 0, "patch=4x8");
    expect("--only patch=5x5", 6, 6, "");
}

/* Both rows of a cell that is written in two ways are its own; a choice by one way leaves that one. */
static void rows_like_a_cell_are_chosen_by_what_they_say(void **state)
{
    (void)state;
    expect("--only patch=2.4%", 6, 0, "patch=2.4% = 5x5 px");
    expect("--only patch=5", 6, 6, "");
    assert_int_equal(plan("--only patch=2.4%"), 0);
    char first[32];
    snprintf(first, sizeof first, "%.20s", program_output);
    assert_int_equal(plan("--only patch=5"), 0);
    assert_memory_equal(first, program_output, 20); /* the same cell */
}

static void expect_refused(const char *options, const char *why)
{
    assert_int_equal(plan(options), 2);
    if (!strstr(program_output, why))
        fail_msg("%s: no '%s' in %s", options, why, program_output);
}

static void what_no_cell_has_is_refused(void **state)
{
    (void)state;
    expect_refused("--only threshhold=0.2", "no cell has a setting 'threshhold'; did you mean 'threshold'?");
    expect_refused("--only robust-masking.treshold=0.2", "did you mean 'robust-masking.threshold'?");
    expect_refused("--only patch=7", "no cell has this value; of patch there is 2.4%, 4x8, 5");
    expect_refused("--only defense=robust-maskin",
                   "of defense there is ds, mean, robust-masking; did you mean 'robust-masking'?");
    expect_refused("--only defense=mean --only threshold=0.2", "m: no cell has all of what --only asks for");
    expect_refused("--only defense", "--only defense: right would be KEY=VALUE");
    expect_refused("--only =1", "right would be KEY=VALUE");
    expect_refused("--only seed=", "right would be KEY=VALUE");
}

/* ---- Cells of a database ---- */

/* `ls` finds so many cells, each line with the text; the same `log` tells of. */
static void expect_stored(const char *options, int cells, const char *text)
{
    int lines = 0, logs = 0;
    assert_int_equal(program_run("db", "--quiet ls %s -f csv", options), 0);
    for (const char *line = strchr(program_output, '\n') + 1; *line; line = strchr(line, '\n') + 1, lines++) {
        const char *at = strstr(line, text);
        if (!at || at > strchr(line, '\n'))
            fail_msg("%s: '%s' is not in each line of\n%s", options, text, program_output);
    }
    if (lines != cells)
        fail_msg("%s: %d cells, not %d:\n%s", options, lines, cells, program_output);
    assert_int_equal(program_run("db", "--quiet log %s", options), 0);
    for (const char *at = program_output; (at = strstr(at, "cell ")); at++)
        logs += at == program_output || at[-1] == '\n';
    assert_int_equal(logs, cells);
}

static void stored_cells_are_chosen_alike(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "--quiet run %s", scratch_path("m.toml")), 0);
    expect_stored("--only patch-space=image", 8, "");
    expect_stored("--only defense=ds", 2, ",ds,");
    expect_stored("--only defense=ds --only defense=mean", 4, "");
    expect_stored("--only threshold=0.20", 2, ",robust-masking,");
    expect_stored("--only robust-masking.threshold=0.2 --only batch=8", 1, ",8,");
    expect_stored("--only patch=5x5 --only attacker=input --only delta=place", 6, ",5,");
    expect_stored("--only patch=4x8", 2, ",4x8,");
    assert_int_equal(program_run("db", "ls --only threshhold=0.2"), 2);
    assert_non_null(strstr(program_output, "no cell has a setting 'threshhold'; did you mean 'threshold'?"));
    assert_int_equal(program_run("db", "ls --only robust-masking.treshold=0.2"), 2);
    assert_non_null(strstr(program_output, "did you mean 'robust-masking.threshold'?"));
    assert_int_equal(program_run("db", "ls --only threshold=0.3"), 2);
    assert_non_null(strstr(program_output, "of threshold there is 0, 0.2; did you mean '0.2'?"));
    assert_int_equal(program_run("db", "log --only defense=mean --only threshold=0.2"), 2);
    assert_non_null(strstr(program_output, "no cell has all of what --only asks for"));
    assert_int_equal(program_run("db", "log"), 2);
    assert_non_null(strstr(program_output, "log: CELL is missing, or --only"));
    assert_int_equal(program_run("db", "--quiet ls --state failed --only defense=ds -f csv"), 0); /* none is */
    assert_null(strchr(strchr(program_output, '\n') + 1, '\n'));
}

/* A row like a cell names its own cell, wherever that is among those chosen. */
static void rows_like_a_cell_find_it(void **state)
{
    (void)state;
    int likes = 0;
    assert_int_equal(program_run("db",
                                 "--quiet table %s --only defense=ds --only threshold=0.2 --only threshold=0 --metrics clean "
                                 "-f csv",
                                 scratch_path("m.toml")),
                     2); /* no cell of ds has a threshold */
    assert_int_equal(program_run("db",
                                 "--quiet table %s --only defense=ds --only defense=robust-masking --metrics clean -f csv",
                                 scratch_path("m.toml")),
                     0);
    for (char *rest = NULL, *line = strtok_r(program_output, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *same_as = strrchr(line, ',');
        if (strlen(same_as) != 65)
            continue;
        likes++;
        *same_as++ = 0;
        assert_non_null(strstr(line, same_as));
    }
    assert_int_equal(likes, 1 + 4);
}

/* Only columns of what is listed; the default of a key that a store leaves out is no column. */
static void columns_are_the_settings_that_occur(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "--quiet ls --only defense=ds -f csv"), 0);
    const char head[] =
        "cell,state,asked,n,clean,certified,certified_published,attacked_n,attacked,attack,batch,dataset,defense,"
        "ds.feature,ds.rule,ds.theta,dtype,images,";
    assert_memory_equal(program_output, head, sizeof head - 1);
    assert_null(strstr(program_output, "threshold"));
    assert_int_equal(program_run("db", "--quiet ls --most 0 -f csv"), 0);
    assert_non_null(strstr(program_output, ",robust-masking.threshold,"));
    assert_null(strstr(program_output, ".version"));
    assert_null(strstr(program_output, "window"));
}

/* `list` as rows: modules with their topic, splits with their sizes. */
static void modules_and_data_sets_are_rows(void **state)
{
    (void)state;
    const char head[] = "topic,name,summary,version,plugin,plugin_sha256,error,images,height,width,classes,hash\n";
    assert_int_equal(program_run(NULL, "list -f csv --data %s", scratch_folder), 0);
    assert_memory_equal(program_output, head, sizeof head - 1);
    for (size_t i = 0; pg_defenses[i]; i++) {
        char line[128];
        snprintf(line, sizeof line, "\ndefenses,%s,", pg_defenses[i]->module.name);
        assert_non_null(strstr(program_output, line));
    }
    assert_non_null(strstr(program_output, "\ndatasets,synthetic:test,,,,,,2000,32,32,10,dca5036221c0"));
    assert_non_null(strstr(program_output, "\ndatasets,cifar10,,,,,cifar10 is not in "));
    assert_int_equal(program_run(NULL, "list attacks -f json"), 0);
    assert_non_null(strstr(program_output, "{\"form\": \"list\", \"version\": 1, \"rows\": [\n{\"topic\": \"attacks\", "));
    assert_null(strstr(program_output, "defenses"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setting_chooses),
        cmocka_unit_test(keys_and_values_have_several_names),
        cmocka_unit_test(rows_like_a_cell_are_chosen_by_what_they_say),
        cmocka_unit_test(what_no_cell_has_is_refused),
        cmocka_unit_test(stored_cells_are_chosen_alike),
        cmocka_unit_test(rows_like_a_cell_find_it),
        cmocka_unit_test(columns_are_the_settings_that_occur),
        cmocka_unit_test(modules_and_data_sets_are_rows),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
