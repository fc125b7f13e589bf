/* TorchScript modules that loop, take memory, raise, print, answer with something else, keep a state or lie about their
 * geometry, and files that are none (tests/models/script_hostile.py): each ends with one line and its exit code, and leaves
 * nothing. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "tests/support/program.h"
#include "tests/support/python.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { LINE = 600 };

#define FIELD "--set row_field=5 --set column_field=5 --set row_stride=2 --set column_stride=2 --set mean=0 --set std=1"

static bool there;

/* Whether it went as the line NAME|EXIT CODE|PART OF THE OUTPUT|ARGUMENTS says. */
static bool as_wanted(char *line)
{
    char *name = strsep(&line, "|"), *code = strsep(&line, "|"), *said = strsep(&line, "|"), *arguments = line;
    const char *out = scratch_path("out.safetensors"), *size = strstr(arguments, "--input") ? "" : "--input 32x32";
    int found =
        program_run("db", "model import torchscript '%s/%s' --trust %s %s -o '%s'", scratch_folder, name, size, arguments, out);
    const char *first = strstr(program_output, "patchgauge: ");
    bool right = found == atoi(code) && strstr(program_output, said) && !strstr(program_output, "spoken by the module");
    right &= found == 0 || (first && strstr(first, name) && !strstr(first + 1, "patchgauge: ") &&
                            strchr(first, '\n') == first + strlen(first) - 1);
    right &= (pg_file_size(out) >= 0) == (found == 0);
    if (!right)
        print_message("%s: exit code %d, wanted %s and '%s':\n%s\n", name, found, code, said, program_output);
    remove(out);
    return right;
}

static void hostile_modules_end_in_one_line(void **state)
{
    (void)state;
    char line[LINE];
    int tried = 0, wrong = 0;
    FILE *answer = python_reference("torch", "tests/models/script_hostile.py", "");
    there = answer != NULL;
    for (; there && fgets(line, sizeof line, answer); tried++) {
        line[strcspn(line, "\n")] = 0;
        wrong += !as_wanted(line);
    }
    if (!there)
        skip();
    assert_int_equal(pclose(answer), 0);
    print_message("%d modules and files, %d not as wanted\n", tried, wrong);
    assert_int_equal(wrong, 0);
    assert_int_equal(tried, 54);
}

/* The first Ctrl-C ends a module that loops, and its process with it. */
static void a_module_that_loops_is_interrupted(void **state)
{
    (void)state;
    if (!there)
        skip();
    assert_int_equal(program_interrupt("db", "true",
                                       "model import torchscript '%s/loop' --trust --input 32x32 -o '%s/out' " FIELD,
                                       scratch_folder, scratch_folder),
                     3);
    assert_non_null(strstr(program_output, "interrupted while it "));
    assert_int_equal(pg_file_size(scratch_path("out")), -1);
}

/* Without gradients a module can be certified and attacked by random-search; other attacks say so. */
static void detached_modules_want_random_search(void **state)
{
    (void)state;
    if (!there)
        skip();
    static const char *const attacks[] = {"lavan", "random-search"};
    assert_int_equal(
        program_run("db", "model import torchscript '%s/detached' --trust --input 32x32 -o '%s/detached.safetensors' " FIELD,
                    scratch_folder, scratch_folder),
        0);
    for (int i = 0; i < 2; i++) {
        int code = program_run("db",
                               "attack --trust --weights '%s/detached.safetensors' --dataset synthetic:test --images 0:32 "
                               "--patch 12 --batch 8 --threads 1 --attack %s "
                               "--set steps=2 --sheet 0 --defense mean -o '%s/attacked%d'",
                               scratch_folder, attacks[i], scratch_folder, i);
        if (code != (i ? 0 : 1) ||
            !strstr(program_output, i ? "accuracy under attack" : "no gradients reach the pixels: use random-search"))
            fail_msg("%s: %d: %s", attacks[i], code, program_output);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_modules_end_in_one_line),
        cmocka_unit_test(a_module_that_loops_is_interrupted),
        cmocka_unit_test(detached_modules_want_random_search),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
