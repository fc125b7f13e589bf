/* The demo's matrix says something: on the synthetic images with the shipped networks, clean accuracy of every defense lies
 * between 80 and 97%, and the best defense certifies between 20 and 80% at the larger patch. On the first 512 images; needs
 * libtorch. */
/* Loads libtorch. */
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static double at(const char *line)
{
    for (int commas = 0; commas < 3; commas++)
        line = strchr(line, ',') + 1;
    return strtod(line, NULL);
}

static void the_demo_says_something(void **state)
{
    (void)state;
    const char *arguments = "experiments/demo.toml -S images=0:512 --quiet";
    int code = program_run("demo.db", "run %s", arguments);
    if (code != 0)
        print_error("%s\n", program_output);
    assert_int_equal(code, 0);
    assert_int_equal(program_run("demo.db", "table %s -S patch=8 -f csv", arguments), 0);
    double best = 0;
    int cells = 0;
    for (char *line = strtok(program_output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strstr(line, ",clean,") != NULL) {
            cells++;
            if (at(line) < 80 || at(line) > 97)
                print_error("%s\n", line);
            assert_true(at(line) >= 80 && at(line) <= 97);
        } else if (strstr(line, ",certified,") != NULL && at(line) > best) {
            best = at(line);
        }
    }
    assert_int_equal(cells, 10);
    assert_true(best >= 20 && best <= 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_demo_says_something)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
