/* patchgauge best on cells of the null model: which row, chosen on which images, and what it refuses. */
#include "tests/support/program.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void write_matrix(const char *name, const char *defenses)
{
    char text[256];
    int size = snprintf(text, sizeof text,
                        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:200\"\n[axes]\n"
                        "defense = [%s]\npatch = [3, 2]\n",
                        defenses);
    scratch_write(name, text, (size_t)size);
}

/* Both matrices on 200 test images and on the first 20 and 50 of validation; the first on 100 of these, too. */
static int setup(void **state)
{
    static const char *const runs[] = {"a.toml",
                                       "b.toml",
                                       "a.toml -S dataset=synthetic:val -S images=0:20",
                                       "b.toml -S dataset=synthetic:val -S images=0:20",
                                       "a.toml -S dataset=synthetic:val -S images=0:50",
                                       "b.toml -S dataset=synthetic:val -S images=0:50",
                                       "a.toml -S dataset=synthetic:val -S images=0:100"};
    if (scratch_make(state) != 0)
        return -1;
    write_matrix("a.toml", "\"mean\", \"median\", \"clip\"");
    write_matrix("b.toml", "\"robust-masking\", \"ds\"");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (program_run("db", "--quiet run %s/%s", scratch_folder, runs[i]) != 0)
            return -1;
    return 0;
}

static int best(const char *matrices, const char *options)
{
    char files[1024] = "";
    for (const char *m = matrices; *m; m++)
        snprintf(files + strlen(files), sizeof files - strlen(files), "%s/%c.toml ", scratch_folder, *m);
    return program_run("db", "best %s -f csv %s", files, options);
}

#define HEAD "patch,row,metric,value,lo,hi,n,clean,by,of\n"

static void the_row_that_certifies_most(void **state)
{
    (void)state;
    assert_int_equal(best("ab", "-S patch=2"), 0);
    assert_string_equal(program_output,
                        HEAD "2,robust-masking,certified,11,7.377244460125302,16.092690997301492,200,11.5,11,200\n");
    assert_int_equal(best("a", "-S patch=2"), 0);
    assert_string_equal(program_output, HEAD "2,median,certified,8.5,5.374575017747561,13.189587071565567,200,11,8.5,200\n");
    assert_int_equal(best("a", "-S patch=2 --metric clean"), 0); /* the first of several */
    assert_string_equal(program_output, HEAD "2,mean,clean,11.5,7.786373232561955,16.664716898487573,200,11.5,11.5,200\n");
    assert_int_equal(best("ab", ""), 0); /* patches by their numbers */
    const char *two = strstr(program_output, "\n2,"), *three = strstr(program_output, "\n3,");
    assert_true(two && three && two < three);
}

static void rows_are_chosen_on_images_that_all_of_them_have(void **state)
{
    (void)state;
#define BY(images) "--by 'dataset=synthetic:val images=0:" #images "' "
    assert_int_equal(best("ab", "-S patch=2 " BY(20) BY(100) BY(50)), 0); /* not 100: only the first matrix has them */
    assert_string_equal(program_output, HEAD "2,median,certified,8.5,5.374575017747561,13.189587071565567,200,11,4,50\n");
    assert_int_equal(best("a", "-S patch=2 " BY(20) BY(100) BY(50)), 0);
    assert_non_null(strstr(program_output, ",100\n"));
    assert_int_equal(best("b", "-S patch=2 " BY(100)), 0); /* nobody has those */
    assert_string_equal(program_output, HEAD);
}

static void what_is_incomplete_is_left_out(void **state)
{
    (void)state;
    assert_int_equal(best("ab", "-S patch=2 -S images=0:300"), 0);
    assert_string_equal(program_output, HEAD);
    assert_int_equal(best("ab", "-S patch=2 --metric attacked"), 0); /* no cell has an attack */
    assert_string_equal(program_output, HEAD);
}

static void requests_without_an_answer_are_refused(void **state)
{
    (void)state;
    assert_int_equal(best("", ""), 2);
    assert_int_equal(best("a", "--metric saturated"), 2);
    assert_non_null(strstr(program_output, "a share of images"));
    assert_int_equal(best("a", "--metric certifed"), 2);
    assert_int_equal(best("a", "--by nonsense"), 2);
    assert_int_equal(best("c", ""), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_row_that_certifies_most),
        cmocka_unit_test(rows_are_chosen_on_images_that_all_of_them_have),
        cmocka_unit_test(what_is_incomplete_is_left_out),
        cmocka_unit_test(requests_without_an_answer_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
