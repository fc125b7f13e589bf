/* Files of patches against what NumPy, PyTorch and Pillow wrote into them (tests/data/patches_reference.py), and files that are
 * none; ImageNet-Patch as it is published, where the file lies beside the clone. */
#include "harness/data/patches.h"

#include "harness/base/file.h"
#include "tests/support/python.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { LINE = 2000, FIELDS = 9 };

static int read_reference(const char *path, int side, pg_patches **out) { return pg_patches_open(path, side, side, out); }

/* good|NAME|SIDE|COUNT|HEIGHT|WIDTH|TOP|LEFT */
static void check_good(char *const *field)
{
    char raw[300], *wanted = NULL, hash[PG_HASH_HEX];
    size_t size = 0;
    pg_patches *p = NULL;
    if (read_reference(scratch_path(field[1]), atoi(field[2]), &p) != PG_OK)
        fail_msg("%s: %s", field[1], pg_error_message());
    if (p->count != atoi(field[3]) || p->height != atoi(field[4]) || p->width != atoi(field[5]))
        fail_msg("%s: %d patches of %d x %d", field[1], p->count, p->height, p->width);
    size_t texels = (size_t)p->count * (size_t)p->height * (size_t)p->width, n = (size_t)p->count;
    snprintf(raw, sizeof raw, "%s.raw", field[1]);
    assert_int_equal(pg_file_read(scratch_path(raw), 1 << 24, &wanted, &size), PG_OK);
    assert_int_equal(size, 13 * texels + 8 * n);
    if (memcmp(p->pixels, wanted, 12 * texels) != 0)
        fail_msg("%s: other pixels", field[1]);
    for (size_t i = 0; i < texels; i++)
        if ((p->masks ? p->masks[i] : 1) != wanted[12 * texels + i])
            fail_msg("%s: another mask at %zu", field[1], i);
    for (size_t i = 0; i < n; i++) {
        int64_t target;
        memcpy(&target, wanted + 13 * texels + 8 * i, 8);
        assert_int_equal(p->targets ? p->targets[i] : -1, target);
        assert_int_equal(p->tops ? p->tops[i] : -1, atoi(field[6]));
        assert_int_equal(p->lefts ? p->lefts[i] : -1, atoi(field[7]));
    }
    assert_null(p->images);
    assert_int_equal(pg_hash_file(scratch_path(field[1]), hash), PG_OK);
    assert_string_equal(hash, p->hash);
    free(wanted);
    pg_patches_free(p);
}

/* bad|NAME|MESSAGE: one line that names the file and the fault. */
static void check_bad(char *const *field)
{
    pg_patches *p = NULL;
    int code = read_reference(scratch_path(field[1]), 32, &p);
    const char *message = pg_error_message();
    if (code == PG_OK || p)
        fail_msg("%s is read", field[1]);
    if (code == PG_ENOMEM || pg_error_exit_code(code) != 2)
        fail_msg("%s: %d, %s", field[1], code, message);
    if (strncmp(message, scratch_path(field[1]), strlen(scratch_path(field[1]))) != 0 || !strstr(message, field[2]) ||
        strchr(message, '\n') || strstr(message + 1, scratch_path(field[1])))
        fail_msg("%s: wants '%s', says: %s", field[1], field[2], message);
}

static void files_hold_what_others_wrote(void **state)
{
    (void)state;
    char line[LINE];
    int good = 0, bad = 0;
    FILE *answer = python_reference("torch, numpy, PIL", "tests/data/patches_reference.py", "");
    if (!answer)
        skip();
    char *lines[200];
    int n = 0;
    while (n < 200 && fgets(line, sizeof line, answer))
        lines[n++] = strdup(line);
    assert_int_equal(pclose(answer), 0);
    for (int i = 0; i < n; i++) {
        char *field[FIELDS] = {NULL}, *rest = lines[i];
        lines[i][strcspn(lines[i], "\n")] = 0;
        for (int k = 0; k < FIELDS && rest; k++)
            field[k] = strsep(&rest, "|");
        bool is_good = strcmp(field[0], "good") == 0;
        (is_good ? check_good : check_bad)(field);
        good += is_good;
        bad += !is_good;
    }
    for (int i = 0; i < n; i++)
        free(lines[i]);
    assert_int_equal(access(scratch_path("was-run"), F_OK), -1);
    print_message("count: %d files read, %d refused\n", good, bad);
    assert_int_equal(good, 21);
    assert_int_equal(bad, 33);
}

static void imagenet_patch_is_read(void **state)
{
    (void)state;
    static const int64_t targets[] = {804, 513, 923, 954, 968, 878, 546, 585, 806, 487};
    static const char path[] = "../shared/weights/imagenet_patch.gz";
    pg_patches *p = NULL;
    if (access(path, R_OK) != 0)
        skip();
    if (pg_patches_open(path, 224, 224, &p) != PG_OK)
        fail_msg("%s", pg_error_message());
    assert_int_equal(p->count, 10);
    assert_int_equal(p->height, 50);
    assert_int_equal(p->width, 50);
    assert_null(p->masks);
    for (int i = 0; i < 10; i++) {
        int black = 0;
        assert_int_equal(p->targets[i], targets[i]);
        assert_int_equal(p->tops[i], 87);
        assert_int_equal(p->lefts[i], 87);
        for (int k = 0; k < 2500; k++) {
            const float *x = p->pixels + (size_t)i * 7500 + k;
            black += !(x[0] > 0) && !(x[2500] > 0) && !(x[5000] > 0);
        }
        assert_in_range(black, 28, 134);
    }
    pg_patches_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_hold_what_others_wrote),
        cmocka_unit_test(imagenet_patch_is_read),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
