/* Plug-ins of the other kinds, from what `new` writes to a table: an attack, a model, and a defense of images. Needs a C
 * compiler. */
/* Loads libtorch. */
#include "tests/support/program.h"
#include "tests/support/tidy.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define ZOO "models/zoo/synthetic-bagnet.safetensors"

static const char matrix[] =
    "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:32\"\nweights = \"" ZOO "\"\ndefense = \"mean\"\n"
    "patch = 7\nbatch = 32\nseed = 1\n\"random-search.batch\" = 32\n";

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    return 0;
}

static void expect(const char *piece)
{
    if (!strstr(program_output, piece))
        print_error("not in the output: %s\n%s\n", piece, program_output);
    assert_non_null(strstr(program_output, piece));
}

static void ok(int code)
{
    if (code != 0)
        fail_msg("exit code %d: %s", code, program_output);
}

/* Compiles FOLDER/NAME.c of the scratch folder to FOLDER/NAME.so. */
static void compile(const char *folder, const char *name, const char *flags)
{
    char line[2048];
    snprintf(line, sizeof line,
             "cc -std=c17 -D_GNU_SOURCE -fPIC -shared -fvisibility=hidden -I. %s -o %s/%s/%s.so %s/%s/%s.c 2>&1", flags,
             scratch_folder, folder, name, scratch_folder, folder, name);
    ok(program_shell(line));
}

/* `make test` of a folder that `new` has written. */
static void make_test(const char *folder, const char *variables)
{
    char line[2048], root[1024];
    assert_non_null(realpath(".", root));
    snprintf(line, sizeof line, "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u PATCHGAUGE make -s -C %s/%s test %s%s%s 2>&1",
             scratch_folder, folder, variables, *variables ? root : "", *variables ? "/" ZOO : "");
    ok(program_shell(line));
}

/* Of a defense and patch in the last table. */
static double number(const char *cell, const char *metric)
{
    char where[128];
    snprintf(where, sizeof where, "%s metric=%s", cell, metric);
    return tidy_number(where, "value");
}

static void an_attack_is_used_as_if_it_were_built_in(void **state)
{
    (void)state;
    ok(program_run("a.db", "new attack dots -o %s/attack", scratch_folder));
    compile("attack", "dots", "-Wall -Wextra -Werror");
    make_test("attack", "WEIGHTS=");
    expect("accuracy under attack");
    assert_int_equal(program_run("a.db", "run %s/m.toml -S attack=dots", scratch_folder), 2);
    expect("dots");
    ok(program_run("a.db", "--plugin %s/attack/dots.so run %s/m.toml -S attack=dots -S dots.steps=4", scratch_folder,
                   scratch_folder));
    ok(program_run("a.db", "--quiet --plugin %s/attack/dots.so table %s/m.toml -f json -S attack=dots -S dots.steps=4",
                   scratch_folder, scratch_folder));
    double clean = number("defense=mean patch=7", "clean"), attacked = number("defense=mean patch=7", "attacked");
    assert_true(clean > 0 && attacked < clean && attacked > 0);
    /* random pixels in five patches are weaker than a search of forty steps, which is an attack of our own */
    ok(program_run("a.db", "run %s/m.toml -S attack=random-search -S random-search.steps=40 --quiet", scratch_folder));
    ok(program_run("a.db", "--quiet table %s/m.toml -f json -S attack=random-search -S random-search.steps=40",
                   scratch_folder));
    assert_true(number("defense=mean patch=7", "attacked") <= attacked);
    compile("attack", "dots", "-O1 -g");
    ok(program_run("a.db", "--plugin %s/attack/dots.so plan %s/m.toml --explain -S attack=dots -S dots.steps=4", scratch_folder,
                   scratch_folder));
    expect("stale");
}

static void a_model_is_trained_and_measured(void **state)
{
    (void)state;
    ok(program_run("m.db", "new model tiny-net -o %s/model", scratch_folder));
    compile("model", "tiny_net", "-Wall -Wextra -Werror");
    make_test("model", "");
    expect("locality");
    ok(program_run("m.db", "--plugin %s/model/tiny_net.so model inspect %s/model/tiny_net.safetensors", scratch_folder,
                   scratch_folder));
    expect("tiny-net (version 1)");
    expect("receptive field 13 px");
    ok(program_run("m.db", "--plugin %s/model/tiny_net.so --quiet run %s/m.toml -S weights=%s/model/tiny_net.safetensors",
                   scratch_folder, scratch_folder, scratch_folder));
    ok(program_run("m.db",
                   "--plugin %s/model/tiny_net.so --quiet table %s/m.toml -S weights=%s/model/tiny_net.safetensors -f json",
                   scratch_folder, scratch_folder, scratch_folder));
    assert_true(number("defense=mean patch=7", "clean") >= 0);
    assert_int_equal(
        program_run("none.db", "run %s/m.toml -S weights=%s/model/tiny_net.safetensors", scratch_folder, scratch_folder), 2);
    expect("tiny-net");
    assert_int_equal(access(scratch_path("none.db"), F_OK), -1);
}

/* Votes of masked images that show one strip each; a patch of up to a strip's width touches two. */
static const char strips[] =
    "#include \"defenses/rule.h\"\n#include \"defenses/worst.h\"\n#include \"harness/plan/plugin.h\"\n#include <math.h>\n"
    "#include <string.h>\nenum { STRIPS = 4 };\nstatic const pg_option none[] = {{0}};\n"
    "static void evidence(const void *c, pg_evidence_spec *o) { (void)c; *o = (pg_evidence_spec){.feature = "
    "PG_FEATURE_PREDICTION, "
    ".clip_lo = -INFINITY, .clip_hi = INFINITY}; }\n"
    "static pg_certificate worth(const void *c) { (void)c; return PG_CERTIFICATE_SOUND; }\n"
    "static int map_of(const void *c, const pg_image_patch_size *f, pg_map *m) { (void)c;\n"
    "  if (f->width % STRIPS || f->patch_width > f->width / STRIPS) return pg_fail(PG_EINPUT, \"a patch wider than a "
    "strip\");\n"
    "  *m = (pg_map){.height = 1, .width = STRIPS, .window = {1, f->patch_width > 1 ? 2 : 1}}; return PG_OK; }\n"
    "static int mask(const void *c, const pg_image_patch_size *f, int row, int column, const uint8_t *pixels, uint8_t *out) { "
    "(void)c, "
    "(void)row;\n"
    "  int w = f->width / STRIPS; memset(out, 128, (size_t)(3 * f->height * f->width));\n"
    "  for (int y = 0; y < 3 * f->height; y++) memcpy(out + y * f->width + column * w, pixels + y * f->width + column * w, "
    "(size_t)w);\n"
    "  return column; }\n"
    "static const pg_defense strips = {.module = {.name = \"strips\", .summary = \"votes of strips\", .source = \"test\", "
    ".version = 1, "
    ".options = none},\n  .level = PG_LEVEL_IMAGE, .certificate = worth, .evidence = evidence, .masked_map = map_of, "
    ".mask_image = "
    "mask,\n"
    "  .certify = pg_sum_rule_certify, .scratch_size = pg_sum_rule_scratch, .predict = pg_sum_rule_predict, .worst = "
    "pg_worst_extreme};\n"
    "PG_PLUGIN(.defenses = (const pg_defense *const[]){&strips, NULL});\n";

static void a_defense_of_images_is_run_attacked_and_audited(void **state)
{
    (void)state;
    mkdir(scratch_path("strips"), 0700);
    scratch_write("strips/strips.c", strips, sizeof strips - 1);
    compile("strips", "strips", "-Wall -Wextra -Werror");
    ok(program_run(
        "s.db",
        "--plugin %s/strips/strips.so --quiet run %s/m.toml -S defense=strips -S patch=1 -S attack=none,random-search "
        "-S random-search.steps=3",
        scratch_folder, scratch_folder));
    ok(program_run(
        "s.db",
        "--plugin %s/strips/strips.so --quiet table %s/m.toml -f json -S defense=strips -S patch=1 -S attack=random-search "
        "-S random-search.steps=3",
        scratch_folder, scratch_folder));
    double clean = number("defense=strips patch=1", "clean"), certified = number("defense=strips patch=1", "certified"),
           attacked = number("defense=strips patch=1", "attacked");
    assert_true(clean > 0 && certified > 0 && certified <= attacked && attacked <= clean);
    assert_int_equal(program_run("s.db", "--plugin %s/strips/strips.so audit %s/m.toml -S defense=strips -S patch=1",
                                 scratch_folder, scratch_folder),
                     0);
    expect("feature");
    expect("locality");
    assert_int_equal(program_run("s.db", "--plugin %s/strips/strips.so run %s/m.toml -S defense=strips -S patch=9",
                                 scratch_folder, scratch_folder),
                     2);
    expect("a patch wider than a strip");
}

static void kinds_are_named(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "new atack x"), 2);
    expect("did you mean 'attack'?");
    assert_int_equal(program_run("db", "new figure x"), 2);
    expect("right would be defense, attack or model");
    assert_int_equal(program_run("db", "new attack lavan"), 2);
    expect("there is an attack of this name already");
    assert_int_equal(program_run("db", "new model Net"), 2);
    expect("small letters");
    assert_int_equal(program_run("db", "new model"), 2);
    expect("new defense|attack|model NAME");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attack_is_used_as_if_it_were_built_in),
        cmocka_unit_test(a_model_is_trained_and_measured),
        cmocka_unit_test(a_defense_of_images_is_run_attacked_and_audited),
        cmocka_unit_test(kinds_are_named),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
