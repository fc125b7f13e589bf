/* The demo's matrix says something: on the synthetic images with the shipped networks, clean accuracy of every defense lies
 * between 80 and 97%, and the best defense certifies between 20 and 80% at the larger patch. On the first 512 images; needs
 * libtorch. */
/* Loads libtorch. */
#include "tests/support/tidy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void the_demo_says_something(void **state)
{
    (void)state;
    const char *arguments = "experiments/demo.toml -S images=0:512 --quiet";
    int code = program_run("demo.db", "run %s", arguments);
    if (code != 0)
        print_error("%s\n", program_output);
    assert_int_equal(code, 0);
    assert_int_equal(program_run("demo.db", "table %s -S patch=8 -f json", arguments), 0);
    json_t *all = json_loads(program_output, 0, NULL), *row;
    size_t i;
    double best = 0;
    int cells = 0;
    json_array_foreach(json_object_get(all, "rows"), i, row)
    {
        double value = json_number_value(json_object_get(row, "value"));
        if (strcmp(json_string_value(json_object_get(row, "metric")), "clean") == 0) {
            cells++;
            if (value < 80 || value > 97)
                fail_msg("clean accuracy of %s: %f", json_string_value(json_object_get(row, "defense")), value);
        } else if (strcmp(json_string_value(json_object_get(row, "metric")), "certified") == 0 && value > best) {
            best = value;
        }
    }
    json_decref(all);
    assert_int_equal(cells, 10);
    assert_true(best >= 20 && best <= 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_demo_says_something)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
