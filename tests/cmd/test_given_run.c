/* Patches of files through the program: what is counted, where tasks are cut, what identity depends on, files that changed or
 * are gone, certificates, and patches that were found for another network. Needs libtorch. */
/* Loads libtorch. */
#include "harness/base/npy.h"
#include "harness/base/rng.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

enum { COUNT = 2, SIDE = 5, IMAGES = 24 };
#define DS "models/zoo/synthetic-ds.safetensors"

/* Patches of noise, whose values `seed` decides. */
static void write_patches(const char *name, uint32_t seed)
{
    int64_t shape[4] = {COUNT, 3, SIDE, SIDE};
    FILE *f = fopen(scratch_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(pg_npy_write_header(f, PG_NPY_U1, 4, shape), PG_OK);
    pg_rng rng = pg_rng_make(9, PG_STREAM_TEST, seed);
    for (int i = 0; i < COUNT * 3 * SIDE * SIDE; i++)
        fputc(pg_rng_below(&rng, 2) ? 255 : 0, f);
    fclose(f);
}

/* The matrix, with what more its fixed part says. */
static void write_matrix(const char *name, const char *more)
{
    char text[1500];
    snprintf(text, sizeof text,
             "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:%d\"\nattack = \"given\"\n\"given.file\" = \"%s\"\n"
             "\"given.rotation\" = 45\n\"given.scale\" = \"0.7:1\"\npatch = 8\nweights = \"" DS "\"\n%s\n[axes]\n"
             "defense = [\"mean\", \"robust-masking\"]\n",
             IMAGES, scratch_path("p.npy"), more);
    scratch_write(name, text, strlen(text));
}

static const char *run(const char *db, int wanted, const char *format, ...)
{
    char line[2000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    int code = program_run(db, "%s", line);
    if (code != wanted)
        fail_msg("%s: %d, %s", line, code, program_output);
    return program_output;
}

#define SAYS(text)                                              \
    do {                                                        \
        if (!strstr(program_output, (text)))                    \
            fail_msg("no '%s' in: %s", (text), program_output); \
    } while (0)

/* Copies what the program printed last. */
static char *kept(void)
{
    char *text = strdup(program_output);
    assert_non_null(text);
    return text;
}

#define ROWS                                                                                                               \
    "db sql -f csv \"SELECT r.defense, r.weights, i.image, i.attacked, i.attack_top, i.attack_left, i.attack_target FROM " \
    "image_result i JOIN result r ON r.cell = i.cell ORDER BY 1, 2, 3\""

static void results_are_counted_and_stay(void **state)
{
    (void)state;
    char *rows, *again;
    write_patches("p.npy", 0);
    write_matrix("m.toml", "\"given.target\" = 3");
    run("a.db", 0, "run %s --task-images 64 --quiet", scratch_path("m.toml"));
    run("a.db", 0, ROWS);
    rows = kept();
    /* tasks of another length: the same */
    run("b.db", 0, "run %s --task-images 7 -j 1 --quiet", scratch_path("m.toml"));
    run("b.db", 0, ROWS);
    again = kept();
    assert_string_equal(rows, again);
    free(rows);
    free(again);
    /* sums are those of the images */
    run("a.db", 0,
        "db sql -f csv \"SELECT count(*) FROM result r WHERE r.n = %d AND r.targeted_n > 10 AND r.targeted_n < %d AND"
        " r.targeted_n = (SELECT count(*) FROM image_result i WHERE i.cell = r.cell AND i.label <> 3) AND r.reached_count ="
        " (SELECT count(*) FROM image_result i WHERE i.cell = r.cell AND i.label <> 3 AND i.attacked = 3) AND r.attacked_count "
        "="
        " (SELECT count(*) FROM image_result i WHERE i.cell = r.cell AND i.correct AND i.attacked = i.label)\"",
        IMAGES, IMAGES);
    SAYS("\n2\n");
    run("a.db", 0,
        "db sql -f csv \"SELECT sum(reached_count) > 0, min(attack_target), max(attack_target) FROM result JOIN"
        " image_result USING (cell)\"");
    SAYS("\n1,3,3\n");
    /* certificates of the rectangle hold */
    run("a.db", 0, "db sql -f csv \"SELECT count(*) > 0, sum(attacked <> label) FROM image_result WHERE certified\"");
    SAYS("\n1,0\n");
    run("a.db", 0, "table %s", scratch_path("m.toml"));
    SAYS("under attack");
    SAYS("target reached");
    assert_null(strstr(program_output, "through the mean"));
    run("a.db", 0, "table %s -f csv --metrics target_reached", scratch_path("m.toml"));
    SAYS("target_reached");
    run("a.db", 0, "db check");
    run("a.db", 0, "run %s", scratch_path("m.toml"));
    SAYS("2 of 2 tasks done");
}

/* A class that is no output, and no target at all. */
static void without_a_target_nothing_is_said(void **state)
{
    (void)state;
    run("a.db", 2, "plan %s -S given.target=10", scratch_path("m.toml"));
    SAYS("target 10: there are 10 classes");
    write_matrix("none.toml", "\"given.target\" = \"none\"");
    run("c.db", 0, "run %s --quiet", scratch_path("none.toml"));
    run("c.db", 0, "table %s", scratch_path("none.toml"));
    assert_null(strstr(program_output, "target reached"));
    run("c.db", 0, "db sql -f csv \"SELECT count(*), count(targeted_n), count(reached) FROM result\"");
    SAYS("\n2,0,0\n");
}

/* Of a file with targets, of which the network has one. */
static void a_target_that_is_no_class_is_said(void **state)
{
    (void)state;
    static uint8_t pixels[COUNT * 3 * SIDE * SIDE];
    static const int64_t targets[COUNT] = {3, 99};
    const pg_st_tensor tensors[] = {
        {.name = "targets", .dtype = PG_ST_I64, .rank = 1, .shape = {COUNT}, .data = targets, .size = sizeof targets},
        {.name = "patches",
         .dtype = PG_ST_U8,
         .rank = 4,
         .shape = {COUNT, 3, SIDE, SIDE},
         .data = pixels,
         .size = sizeof pixels}};
    assert_int_equal(pg_st_write(scratch_path("far.safetensors"), tensors, 2, NULL, NULL, 0), PG_OK);
    write_matrix("far.toml", "\"given.target\" = \"file\"");
#define FAR "-S given.file=$S/far.safetensors -S weights=null -S defense=mean -S given.which="
    run("f.db", 0, "run %s --quiet " FAR "0,1", scratch_path("far.toml"));
    run("f.db", 0, "db sql -f csv \"SELECT targeted_n > 10, count(*) FROM result GROUP BY 1 ORDER BY 1\"");
    SAYS(",1\n1,1\n");
    run("f.db", 0, "table %s " FAR "0", scratch_path("far.toml"));
    SAYS("target reached");
    assert_null(strstr(program_output, "not applicable"));
    run("f.db", 0, "table %s " FAR "1", scratch_path("far.toml"));
    SAYS("target reached: not applicable");
}

static void contents_are_identity(void **state)
{
    (void)state;
    char *table;
    const char *matrix = "m.toml";
    run("a.db", 0, "table %s", scratch_path(matrix));
    table = kept();
    /* gone: the database knows */
    assert_int_equal(rename(scratch_path("p.npy"), scratch_path("q.npy")), 0);
    run("a.db", 0, "table %s", scratch_path(matrix));
    SAYS(strchr(table, '\n') + 1);
    SAYS("taken from the database: patches");
    run("a.db", 2, "plan %s", scratch_path(matrix));
    SAYS("p.npy: No such file");
    run("a.db", 2, "run %s", scratch_path(matrix));
    free(table);
    /* another content: stale, and other results; then the store has two contents of the name */
    write_patches("p.npy", 1);
    run("a.db", 0, "plan %s", scratch_path(matrix));
    SAYS("0 done, 2 stale");
    run("a.db", 0, "run %s --quiet", scratch_path(matrix));
    assert_int_equal(unlink(scratch_path("p.npy")), 0);
    run("a.db", 2, "table %s", scratch_path(matrix));
    SAYS("several contents of that name: given.file.hash");
    /* the first content again, and by another name */
    assert_int_equal(rename(scratch_path("q.npy"), scratch_path("p.npy")), 0);
    run("a.db", 0, "plan %s", scratch_path(matrix));
    SAYS("2 done, 0 stale");
    assert_int_equal(rename(scratch_path("p.npy"), scratch_path("q.npy")), 0);
    run("a.db", 0, "plan %s -S given.file=%s", scratch_path(matrix), "$S/q.npy");
    SAYS("2 done");
    assert_int_equal(rename(scratch_path("q.npy"), scratch_path("p.npy")), 0);
}

static void bad_files_end_in_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *more, *says;
    } cases[] = {{"-S patch=7", "right would be patch = \\\"8x8\\\""}, {"-S given.which=2", "has 2 patches, from 0"},
                 {"-S given.location=own", "has no places"},           {"-S given.file=missing.npy", "No such file"},
                 {"-S given.file=README.md", "right would be .npy"},   {"-S given.file=" DS, "none that is called patches"},
                 {"-S given.file=", "file of patches is missing"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char says[100];
        size_t n = 0;
        for (const char *c = cases[i].says; *c; c++)
            if (*c != '\\')
                says[n++] = *c;
        says[n] = 0;
        run("new.db", 2, "run %s %s", scratch_path("m.toml"), cases[i].more);
        SAYS(says);
        SAYS("1 problem; nothing was done");
        assert_int_equal(access(scratch_path("new.db"), F_OK), -1);
    }
    run("new.db", 2, "attack --weights null --dataset synthetic:test --images 0:3 --attack given --patch 5 -o %s",
        scratch_path("folder"));
    SAYS("file of patches is missing");
    run("a.db", 2, "audit %s --attack given -S attack.file=%s", scratch_path("m.toml"), "p.npy");
    SAYS("searches for nothing");
}

/* Whether the folders have patches, images, labels and places in common. */
static void expect_same_patches(const char *one, const char *two)
{
    char line[2500];
    snprintf(
        line, sizeof line,
        "cd '%s' && for d in %s %s; do cut -d, -f1,2,7,8 $d/results.csv >$d/places; done && cmp %s/places %s/places && cmp "
        "%s/patches.npy %s/patches.npy",
        scratch_folder, one, two, one, two, one, two);
    if (program_shell(line) != 0)
        fail_msg("%s", program_output);
}

#define TRANSFER                                                                                                         \
    "attack --weights null --dataset synthetic:test --attack given --patch 5 --defense median -S which=image --sheet 0 " \
    "--quiet"

/* What was found for images of one defended classifier is put on the same images for another, where it was. */
static void patches_of_another_network_are_transferred(void **state)
{
    (void)state;
    run("none.db", 0,
        "attack --weights null --dataset synthetic:test --images 10:20 --attack random-search --patch 5 -S steps=3 --sheet 0 "
        "--quiet -o %s",
        scratch_path("found"));
    run("none.db", 0, TRANSFER " --images 10:20 -S location=own -S file=%s -o %s", "$S/found", scratch_path("first"));
    expect_same_patches("found", "first");
    run("found/attack.db", 0, "export --images --files %s", scratch_path("files")); /* by way of export */
    run("none.db", 0, TRANSFER " --images 12:18 -S location=own -S file=$(ls -d $S/files/*/) -o %s", scratch_path("second"));
    run("none.db", 0, TRANSFER " --images 12:18 -S location=own -S file=$S/found -o %s", scratch_path("third"));
    expect_same_patches("second", "third");
    run("none.db", 2, TRANSFER " --images 9:20 -S file=$S/found -o %s", scratch_path("fourth"));
    SAYS("no patch for image 9");
    assert_int_equal(program_shell("mkdir $S/cell; cp $S/found/patches.npy $S/cell"), 0);
    run("none.db", 2, TRANSFER " --images 12:18 -S file=$S/cell -o %s", scratch_path("fourth"));
    SAYS("has no table of places");
    run("none.db", 2, TRANSFER " --images 12:18 -S file=$S/found --force -o %s",
        scratch_path("found")); /* what is read stays */
    SAYS("the patches are read from there");
    run("none.db", 2, TRANSFER " --images 2:8 -S file=$S/found/patches.npy --force -o $S/found");
    SAYS("patches.npy");
    expect_same_patches("found", "first");
}

static int make(void **state)
{
    int code = scratch_make(state);
    setenv("S", scratch_folder, 1);
    return code;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_counted_and_stay),      cmocka_unit_test(without_a_target_nothing_is_said),
        cmocka_unit_test(a_target_that_is_no_class_is_said), cmocka_unit_test(contents_are_identity),
        cmocka_unit_test(bad_files_end_in_one_line),         cmocka_unit_test(patches_of_another_network_are_transferred),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
