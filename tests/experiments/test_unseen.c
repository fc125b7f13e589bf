/* experiments/unseen.sh puts ImageNet's validation images into test, whatever their split, and no image into two splits. */
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int unseen(const char *more)
{
    char line[4096];
    snprintf(line, sizeof line, "exec 2>&1; sh experiments/unseen.sh '%s/source' '%s/out' %s", scratch_folder, scratch_folder,
             more);
    return program_shell(line);
}

static int list(void)
{
    char line[4096];
    snprintf(line, sizeof line, "cd '%s/out' && find . -type f | sort | tr '\\n' ' '", scratch_folder);
    return program_shell(line);
}

static int make(void **state)
{
    char line[4096];
    if (scratch_make(state) != 0)
        return -1;
    /* in the order of SHA-256: four, five, six */
    snprintf(
        line, sizeof line,
        "cd '%s' && mkdir -p source/train/a source/train/b source/val/a && printf one >source/val/a/ILSVRC2012_val_1.JPEG && "
        "printf two >source/train/b/ILSVRC2012_val_2.JPEG && printf three >source/val/a/n01_3.JPEG && "
        "printf four >source/train/a/n01_4.JPEG && printf five >source/train/a/n01_5.JPEG && "
        "printf six >source/train/b/n02_6.JPEG",
        scratch_folder);
    return system(line) == 0 ? 0 : -1;
}

static void images_are_split_by_name_and_hash(void **state)
{
    (void)state;
    assert_int_equal(unseen("1"), 0);
    assert_string_equal(program_output, "train: 2 images\nval: 1 images\ntest: 2 images\n");
    assert_int_equal(list(), 0);
    assert_string_equal(program_output, "./test/a/ILSVRC2012_val_1.JPEG ./test/b/ILSVRC2012_val_2.JPEG ./train/a/n01_5.JPEG "
                                        "./train/b/n02_6.JPEG ./val/a/n01_4.JPEG ");
    assert_int_equal(unseen("1"), 2); /* never over what is there */
    assert_non_null(strstr(program_output, "out exists"));
}

static void a_folder_without_splits_is_refused(void **state)
{
    (void)state;
    char line[4096];
    snprintf(line, sizeof line, "exec 2>&1; sh experiments/unseen.sh '%s/source/train' '%s/other'", scratch_folder,
             scratch_folder);
    assert_int_equal(program_shell(line), 2);
    assert_non_null(strstr(program_output, "with train and val is needed"));
    snprintf(line, sizeof line, "test ! -e '%s/other'", scratch_folder);
    assert_int_equal(program_shell(line), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(images_are_split_by_name_and_hash, make, scratch_remove),
        cmocka_unit_test_setup_teardown(a_folder_without_splits_is_refused, make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
