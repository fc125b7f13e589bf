/* Files that are something else are named by their first bytes. */
#include "harness/base/file_kind.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

static void kinds_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *kind;
    } cases[] = {
        {"", 0, "empty"},
        {"# A page\n", 9, "text"},
        {"\n<!DOCTYPE html>\n", 17, "an HTML page"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "a Git LFS pointer: `git lfs pull` fetches the file itself"},
        {"\x89PNG\r\n\x1a\n", 8, "a PNG image"},
        {"\xff\xd8\xff\xe0", 4, "a JPEG image"},
        {"\x93NUMPY\1\0", 8, "an array of NumPy"},
        {"PK\3\4............................x/data.pkl", 43, "a file of torch.save"},
        {"PK\3\4............................logits.npy", 43, "a file of numpy.savez"},
        {"PK\3\4............................a.txt", 38, "a zip archive"},
        {"\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15, "a file of torch.save"},
        {"L119547037146038801333356L\n.", 28, "a file of torch.save"},
        {"\x80\2}q\0.", 6, "a pickle"},
        {"\x80\2\0\0\0\0\0\0{\"__metadata__\"", 24, NULL}, /* safetensors with a header of 640 bytes */
        {"\1\2\3\4\5\6\7\x08\x09", 9, "of no known kind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_write("file", cases[i].bytes, cases[i].size);
        const char *kind = pg_file_kind(scratch_path("file"));
        if (!cases[i].kind)
            assert_null(kind);
        else if (!kind || strcmp(kind, cases[i].kind) != 0)
            fail_msg("case %zu: %s, not %s", i, kind ? kind : "nothing", cases[i].kind);
    }
    assert_string_equal(pg_file_kind(scratch_folder), "a directory");
    assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
    assert_string_equal(pg_file_kind(scratch_path("fifo")), "no regular file"); /* and does not wait for a writer */
    assert_null(pg_file_kind(scratch_path("absent")));
}

/* A matrix that names something else as its weights. */
static void weights_that_are_none_are_named(void **state)
{
    (void)state;
    static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"README.md\"\nimages = \"0:6\"\npatch = "
                                 "4\ndefense = \"robust-masking\"\n";
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    assert_int_equal(program_run("db", "run '%s'", scratch_path("m.toml")), 2);
    assert_non_null(
        strstr(program_output, "README.md: is text, no weights file; right would be one that `patchgauge model train`"));
    assert_int_equal(program_run("db", "model import README.md --input 32x32 -o '%s'", scratch_path("out")), 2);
    assert_non_null(strstr(program_output, "README.md: is text, no file of weights; right would be one that torch.save made"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_told),
        cmocka_unit_test(weights_that_are_none_are_named),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
