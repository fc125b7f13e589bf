/* experiments/paper.sh keeps what it knows: a section of the page of results is made from the database, stands as it is where
 * the database lacks its cells and they are the same, and is gone where they are others. On matrices of the null model, in a
 * folder of their own. The best certificate is chosen on images that all rows have. */
#include "harness/base/file.h"
#include "tests/support/cifar_fixture.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char audit_matrix[] =
    "# All rules.\n# audit: yes feature,locality\n# table: --rows defense,scope\nname = \"ds\"\n[fixed]\n"
    "dataset = \"synthetic:test\"\nimages = \"0:8\"\nweights = \"null\"\npatch = 8\n"
    "[axes]\ndefense = [\"ds\", \"robust-masking\"]\n\"robust-masking.scope\" = [\"predicted\", \"per-class\"]\n";
static const char clip_matrix[] =
    "# By clipping.\n# table: --rows clip\nname = \"clip\"\n[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:8\"\n"
    "weights = \"null\"\npatch = 8\ndefense = \"clip\"\n[axes]\n\"clip.clip\" = [\"0:1\", \"0:2\"]\n";

#define CHOSEN_FROM(seed, more, defense)                                                                                   \
    "# Rows to choose from.\n" more "# table: --rows weights,defense\nname = \"x\"\n[fixed]\ndataset = \"cifar10:test\"\n" \
    "images = \"0:20\"\nweights = \"null\"\nnull.seed = " seed "\nnull.height = 100\nnull.width = 100\nnull.stride = 1\n"  \
    "patch = 1\n" defense

/* paper.sh COMMAND PROGRAM DATABASE MATRICES in the scratch folder; its exit code. */
static int results(const char *command, const char *db, const char *matrices)
{
    char line[4096], program[1024];
    assert_non_null(realpath(program_path(), program));
    snprintf(line, sizeof line,
             "exec 2>&1; cd '%s' && unset PATCHGAUGE_LOCAL_LOGITS && PATCHGAUGE_DATA=data PATCHGAUGE_WORK=work exec sh "
             "experiments/paper.sh %s '%s' %s %s",
             scratch_folder, command, program, db, matrices);
    return program_shell(line);
}

static char *page(void)
{
    char *text = NULL;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path("experiments/RESULTS.md"), 1 << 20, &text, &size), PG_OK);
    return text;
}

/* From a heading to the next one of its level: *new*. */
static char *section(const char *heading)
{
    char *text = page(), *start = strstr(text, heading);
    if (!start)
        fail_msg("no %s in %s", heading, text);
    char *end = strstr(start + 1, "\n## "), *next = strstr(start + 1, "\n### ");
    end = next && (!end || next < end) ? next : end;
    char *out = end ? strndup(start, (size_t)(end - start)) : strdup(start);
    free(text);
    return out;
}

static void assert_holds(const char *heading, const char *text, int yes)
{
    char *found = section(heading);
    if ((strstr(found, text) != NULL) != yes)
        fail_msg("'%s' %s in:\n%s", text, yes ? "is not" : "is", found);
    free(found);
}

static void assert_ends_with(int code, int wanted)
{
    if (code != wanted)
        fail_msg("ended with %d: %s", code, program_output);
}

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    char line[1024];
    snprintf(line, sizeof line,
             "here=$PWD && cd '%s' && mkdir -p plots experiments/paper experiments/audits experiments/ablations && "
             "cp \"$here/experiments/paper.sh\" experiments && cp \"$here/plots/paper.csv\" plots",
             scratch_folder);
    if (system(line) != 0)
        return -1;
    scratch_write("experiments/audits/ds.toml", audit_matrix, sizeof audit_matrix - 1);
    scratch_write("experiments/ablations/clip.toml", clip_matrix, sizeof clip_matrix - 1);
    scratch_write("experiments/paper/table05.toml", clip_matrix, sizeof clip_matrix - 1);
    return 0;
}

static void sections_are_made_from_the_database(void **state)
{
    (void)state;
    assert_ends_with(results("write", "empty.db", ""), 0);
    assert_holds("### clip\n", "Not run yet", 1);
    assert_holds("### ds\n", "Not run yet", 1);
    assert_ends_with(results("run", "full.db", "experiments/audits/ds.toml experiments/ablations/clip.toml"), 0);
    assert_ends_with(results("write", "full.db", ""), 0);
    assert_holds("### clip\n", "Not run yet", 0);
    assert_holds("### clip\n", "By clipping.\n", 1);
    assert_holds("### clip\n", "| certified", 1);
    assert_holds("### ds\n", "Not run yet", 0);
    assert_holds("### ds\n", "| robust-masking", 1);
    assert_holds("### ds\n", "patchgauge audit experiments/audits/ds.toml --stored", 1);
    assert_holds("### table05\n", "Not run yet", 0); /* the cells of ablations/clip.toml */
}

static void what_the_database_lacks_stays(void **state)
{
    (void)state;
    char *before = page();
    assert_ends_with(results("write", "full.db", ""), 0);
    char *again = page();
    assert_string_equal(before, again);
    free(again);
    assert_ends_with(results("write", "empty.db", ""), 0);
    if (!strstr(program_output, "clip: as it stands; the database lacks cells") ||
        !strstr(program_output, "ds: as it stands; the database lacks cells"))
        fail_msg("%s", program_output);
    again = page();
    assert_string_equal(before, again);
    free(again);
    free(before);
}

static void other_cells_are_not_run_yet(void **state)
{
    (void)state;
    char *before = section("### ds\n"), *changed = strdup(clip_matrix), *images = strstr(changed, "0:8");
    memcpy(images, "0:9", 3);
    scratch_write("experiments/ablations/clip.toml", changed, sizeof clip_matrix - 1);
    assert_ends_with(results("write", "empty.db", ""), 0);
    assert_holds("### clip\n", "Not run yet", 1);
    char *after = section("### ds\n");
    assert_string_equal(before, after);
    free(before);
    free(after);
    free(changed);
    assert_ends_with(results("run", "full.db", "experiments/ablations/clip.toml"), 0);
    assert_ends_with(results("write", "full.db", ""), 0);
    assert_holds("### clip\n", "Not run yet", 0);
}

/* A section is complete with the audits that it asks for, not before. */
static void cells_without_their_audit_are_lacking(void **state)
{
    (void)state;
    char *before = page();
    assert_int_equal(program_run("cells.db", "run '%s' --quiet", scratch_path("experiments/audits/ds.toml")), 0);
    assert_ends_with(results("write", "cells.db", ""), 0);
    if (!strstr(program_output, "ds: as it stands; the database lacks the audit of null"))
        fail_msg("%s", program_output);
    char *after = page();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void without_the_images_nothing_is_written(void **state)
{
    (void)state;
    char *before = page(),
         away[] = "# x\n# audit: yes\n# table: --rows defense\nname = \"ds\"\n[fixed]\ndataset = \"cifar10:test\"\n"
                  "weights = \"null\"\npatch = 8\ndefense = \"ds\"\n";
    scratch_write("experiments/audits/ds.toml", away, sizeof away - 1);
    assert_ends_with(results("write", "full.db", ""), 2);
    if (!strstr(program_output, "cifar10") || !strstr(program_output, "nothing was written"))
        fail_msg("%s", program_output);
    char *after = page();
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_ends_with(results("rewrite", "full.db", ""), 2);
}

/* Files of CIFAR-10's size, of black airplanes: the null model looks at the number of an image only. */
static void import_black_images(void)
{
    mkdir(scratch_path("source"), 0700);
    scratch_write("source/" PG_CIFAR10_META, fixture_classes, sizeof fixture_classes - 1);
    for (int f = 1; pg_cifar10_files[f]; f++) {
        char name[256];
        snprintf(name, sizeof name, "source/%s", pg_cifar10_files[f]);
        scratch_write(name, "", 0);
        assert_int_equal(truncate(scratch_path(name), 10000L * PG_CIFAR10_RECORD), 0);
    }
    char source[1024], data[1024];
    snprintf(source, sizeof source, "%s", scratch_path("source"));
    snprintf(data, sizeof data, "%s", scratch_path("data"));
    assert_int_equal(program_run("import.db", "--data '%s' data import cifar10 '%s'", data, source), 0);
}

static void best_of(const char *few, const char *db)
{
    static const char many[] = CHOSEN_FROM("49", "", "defense = \"ds\"\n");
    scratch_write("experiments/audits/ds.toml", many, sizeof many - 1);
    scratch_write("experiments/audits/few.toml", few, strlen(few));
    assert_ends_with(results("run", db, "experiments/audits/ds.toml experiments/audits/few.toml"), 0);
    assert_ends_with(results("write", db, ""), 0);
}

/* Of 20 images ds certifies 4 and robust-masking 2; of the first 10 none and 1. */
static void the_best_is_chosen_on_images_of_all_rows(void **state)
{
    (void)state;
    static const char masking[] = "defense = \"robust-masking\"\n\"robust-masking.feature\" = \"prediction\"\n";
    import_black_images();
    char text[1024];
    snprintf(text, sizeof text, CHOSEN_FROM("0", "", "%s"), masking);
    best_of(text, "all.db");
    assert_holds("## In short\n", "| null ds | 20 | 20.0 | 20 |", 1);
    snprintf(text, sizeof text, CHOSEN_FROM("0", "# validation: 0:10\n", "%s"), masking);
    best_of(text, "few.db");
    assert_holds("## In short\n", "| null robust-masking | 20 | 10.0 | 10 |", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_made_from_the_database),   cmocka_unit_test(what_the_database_lacks_stays),
        cmocka_unit_test(other_cells_are_not_run_yet),           cmocka_unit_test(cells_without_their_audit_are_lacking),
        cmocka_unit_test(without_the_images_nothing_is_written), cmocka_unit_test(the_best_is_chosen_on_images_of_all_rows),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
