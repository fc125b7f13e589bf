/* patchgauge doctor: it finds what is there, and says what to do about what is not. */
#include "tests/support/program.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(const char *piece)
{
    if (!strstr(program_output, piece))
        print_error("not in the output: %s\n%s\n", piece, program_output);
    assert_non_null(strstr(program_output, piece));
}

static void a_whole_machine_is_told_so(void **state)
{
    (void)state;
    mkdir(scratch_path("data"), 0700);
    mkdir(scratch_path("data/mine"), 0700);
    scratch_write("data/mine/manifest.json", "{}", 2);
    assert_int_equal(program_run("x.db", "doctor --data %s/data --cache-size 0", scratch_folder), 0);
    expect("\nok   libtorch     libtorch ");
    expect("\nok   cores ");
    expect("\nok   gnuplot      gnuplot ");
    expect("/data: mine\n");
    expect("/x.db (made by the first run), ");
    expect("\nok   cache        off\n");
    assert_int_equal(access(scratch_path("x.db"), F_OK), -1); /* nothing is made */
}

static void what_is_missing_comes_with_advice(void **state)
{
    (void)state;
    assert_int_equal(setenv("PATCHGAUGE_TORCH", "/nowhere.so", 1), 0);
    assert_int_equal(
        program_run("none/x.db", "doctor --data %s/none --cache %s/full --cache-size 900000G", scratch_folder, scratch_folder),
        0);
    unsetenv("PATCHGAUGE_TORCH");
    expect("\ntodo libtorch ");
    expect("`make deps && make` installs");
    expect("\ntodo data ");
    expect("`patchgauge data fetch cifar10`");
    expect("\ntodo cache ");
    expect("a smaller --cache-size");
    expect("findings want something done\n");
    assert_int_equal(program_run("x.db", "doctor --data %s/none -f csv", scratch_folder), 0);
    expect("state,subject,found,advice\n");
    expect("\nok,gnuplot,gnuplot ");
    expect("\ntodo,data,");
    expect(",`patchgauge data fetch cifar10` or ");
    assert_int_equal(program_run("x.db", "doctor now"), 2);
    expect("one argument too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_machine_is_told_so),
        cmocka_unit_test(what_is_missing_comes_with_advice),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
