/* Two headers never define one name: all headers of the sources go into one C file, which has to compile without a warning.
 * Left out are templates, which have no guard because they are included several times, and headers of C++. */
#include "harness/base/file.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* The exit code of the compiler, or of the search for macros that two headers define alike, which no compiler minds. */
static int compile(const char *folders)
{
    char line[2048];
    snprintf(
        line, sizeof line,
        "find %s -name '*.h' | LC_ALL=C sort | xargs grep -l '^#ifndef PG_' | xargs grep -L noexcept |"
        " sed 's/.*/#include \"&\"/' >%s/all.c\n"
        "compile=\"${CC:-cc} ${CPPFLAGS:--I. -D_GNU_SOURCE} -std=c17 %s/all.c\"\n"
        "$compile -Wall -Wextra -Wpedantic -Wredundant-decls -Werror -fsyntax-only 2>&1 &&"
        " $compile -E -dD | awk '/^# [0-9]+ \"/ { file = $3 } /^#define PG_/ { name = $2; sub(/\\(.*/, \"\", name);"
        " if (name in at && at[name] != file) { print file \": \" name \" is defined in \" at[name] \" as well\"; bad = 1 }"
        " at[name] = file } END { exit bad }'",
        folders, scratch_folder, scratch_folder);
    return program_shell(line);
}

static void all_headers_fit_into_one_file(void **state)
{
    (void)state;
    int code = compile("attacks db defenses harness models plots"), n = 0;
    if (code != 0)
        fail_msg("exit code %d: %s", code, program_output);
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("all.c"), 1 << 20, &text, &size), PG_OK);
    for (size_t i = 0; i < size; i++)
        n += text[i] == '\n';
    assert_true(n > 100);
    free(text);
}

static void two_of_a_name_are_seen(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"int pg_x(int a);", "double pg_x(void);"},
                                           {"int pg_x(int a);", "int pg_x(int a);"},
                                           {"typedef struct pg_x { int a; } pg_x;", "typedef struct pg_x { int a; } pg_x;"},
                                           {"enum { PG_X };", "enum { PG_X = 1 };"},
                                           {"#define PG_X 1", "#define PG_X 2"},
                                           {"#define PG_X(a) (a)", "#define PG_X(a) (a)"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[256];
        for (int k = 0; k < 2; k++)
            scratch_write(
                k ? "b.h" : "a.h", text,
                (size_t)snprintf(text, sizeof text, "#ifndef PG_%d_H\n#define PG_%d_H\n%s\n#endif\n", k, k, pairs[i][k]));
        if (compile(scratch_folder) == 0)
            fail_msg("not seen: %s and %s", pairs[i][0], pairs[i][1]);
        static const char other[] = "#ifndef PG_1_H\n#define PG_1_H\nextern int pg_y;\n#endif\n";
        scratch_write("b.h", other, sizeof other - 1);
        assert_int_equal(compile(scratch_folder), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_headers_fit_into_one_file),
                                       cmocka_unit_test(two_of_a_name_are_seen)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
