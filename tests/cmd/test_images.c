/* Images of cells that leave the program: `patchgauge gallery` shows each with what became of it, broken ones first. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { N = 24, CELLS = 6, ATTACKED = 3 };
static const char matrix[] =
    "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-bagnet.safetensors\"\nimages = \"0:24\"\n"
    "patch = 5\n\"lavan.steps\" = 8\n[axes]\ndefense = [\"mean\", \"robust-masking\"]\nattack = [\"none\", \"lavan\"]\n"
    "\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static void ok(int code)
{
    if (code != 0)
        fail_msg("exit code %d: %s", code, program_output);
}

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, strlen(matrix));
    int code = program_run("i.db", "--quiet --cache-size 0 run %s", scratch_path("m.toml"));
    if (code != 0)
        print_error("%s\n", program_output);
    return code;
}

static char *gallery(const char *arguments)
{
    char *page;
    size_t size;
    ok(program_run("i.db", "gallery %s --force -o %s", arguments, scratch_path("g.html")));
    assert_int_equal(pg_file_read(scratch_path("g.html"), 1 << 26, &page, &size), PG_OK);
    return page;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

/* What sqlite3 counts of the outcomes. */
static size_t stored(const char *where)
{
    char line[1024];
    snprintf(line, sizeof line, "sqlite3 %s \"SELECT count(*) FROM image_result WHERE %s\"", scratch_path("i.db"), where);
    ok(program_shell(line));
    return (size_t)atoll(program_output);
}

static void every_image_stands_with_its_verdict(void **state)
{
    (void)state;
    char *page = gallery(scratch_path("m.toml"));
    size_t broken = stored("correct = 1 AND attacked <> label"), certified = stored("certified = 1");
    assert_true(broken > 0 && certified > 0);
    assert_int_equal(count(page, "<figure"), CELLS * N);
    assert_int_equal(count(page, "src=\"data:image/png;base64,"), CELLS * N);
    assert_int_equal(count(page, " data-verdict=\"broken\""), broken);
    assert_int_equal(count(page, "<figure class=\"marked\""), broken);
    assert_int_equal(count(page, " data-verdict=\"certified\""), certified);
    assert_int_equal(count(page, " data-verdict=\"misclassified\""), stored("correct = 0"));
    assert_int_equal(count(page, " data-verdict=\"correct, not certified\""),
                     CELLS * N - broken - certified - stored("correct = 0"));
    assert_int_equal(count(page, " with a patch\""), ATTACKED * N);
    assert_int_equal(count(page, "<dl class=\"settings\">"), CELLS);
    assert_int_equal(count(page, "<dt>defense</dt><dd>mean</dd>"), 2);
    free(page);
}

/* In each cell, whatever their numbers; and alone where they are asked for. */
static void broken_images_come_first(void **state)
{
    (void)state;
    char *page = gallery(scratch_path("m.toml"));
    for (const char *section = page; (section = strstr(section, "<section")) != NULL; section++) {
        const char *end = strstr(section, "</section>"), *other = strstr(section, "<figure data-verdict");
        for (const char *at = section; (at = strstr(at, "<figure class=\"marked\"")) != NULL && at < end; at++)
            assert_true(at < other);
    }
    free(page);
    page = gallery("--broken-only");
    assert_int_equal(count(page, "<figure"), stored("correct = 1 AND attacked <> label"));
    assert_int_equal(count(page, "<figure"), count(page, " data-verdict=\"broken\""));
    free(page);
}

static void choices_and_limits_hold(void **state)
{
    (void)state;
    char line[600];
    snprintf(line, sizeof line, "%s --only defense=mean --most 7", scratch_path("m.toml"));
    char *page = gallery(line);
    assert_int_equal(count(page, "<section"), 2);
    assert_int_equal(count(page, "<figure"), 2 * 7);
    assert_non_null(strstr(page, "image 6\"")); /* of the cell without an attack the first ones */
    assert_null(strstr(page, "image 7\""));
    free(page);
    page = gallery(""); /* the whole database */
    assert_int_equal(count(page, "<section"), CELLS);
    free(page);
    page = gallery("--only defense=mean --only attack=lavan");
    assert_int_equal(count(page, "<section"), 1);
    free(page);
}

static void bad_input_leaves_nothing(void **state)
{
    (void)state;
    int files = scratch_count(scratch_folder);
    assert_int_equal(program_run("i.db", "gallery"), 2);
    assert_int_equal(program_run("i.db", "gallery -S patch=2 -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("i.db", "gallery %s --only patch=9 -o %s", scratch_path("m.toml"), scratch_path("no.html")),
                     2);
    assert_int_equal(program_run("i.db", "gallery --most 0 -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("i.db", "gallery %s --only attack=none --broken-only -o %s", scratch_path("m.toml"),
                                 scratch_path("no.html")),
                     2);
    assert_non_null(strstr(program_output, "nothing to show"));
    assert_int_equal(program_run("none.db", "gallery -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("i.db", "gallery -o %s", scratch_path("m.toml")), 2);
    assert_int_equal(scratch_count(scratch_folder), files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_stands_with_its_verdict),
        cmocka_unit_test(broken_images_come_first),
        cmocka_unit_test(choices_and_limits_hold),
        cmocka_unit_test(bad_input_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
