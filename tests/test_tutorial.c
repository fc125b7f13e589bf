/* The tutorial works: its commands, the indented lines of experiments/TUTORIAL.md, are run one after the other in an empty
 * folder, and leave what it says. Needs libtorch, and a Python with PyTorch and Pillow. */
#include "harness/base/file.h"
#include "tests/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The indented lines, but for those of an example between fences, as a script. */
static void write_script(void)
{
    char *page, *rest;
    size_t size;
    assert_int_equal(pg_file_read("experiments/TUTORIAL.md", 1 << 20, &page, &size), PG_OK);
    FILE *out = fopen(scratch_path("script"), "w");
    assert_non_null(out);
    rest = page;
    bool fenced = false;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        fenced ^= strncmp(line, "```", 3) == 0;
        if (!fenced && (strncmp(line, "    ", 4) == 0 || *line == '\0'))
            fprintf(out, "%s\n", *line ? line + 4 : "");
    }
    assert_int_equal(fclose(out), 0);
    free(page);
}

/* "patchgauge" and "python3" in a folder in front of PATH; 0 where there is no such Python. */
static int run_script(void)
{
    char line[4096], program[1024];
    assert_non_null(realpath(program_path(), program));
    snprintf(
        line, sizeof line,
        "exec 2>&1; cd '%s' && mkdir bin work && ln -s '%s' bin/patchgauge || exit 9\n"
        "for p in python3 /usr/bin/python3; do\n"
        "    $p -c 'import PIL, torch' 2>/dev/null && { printf '#!/bin/sh\\nexec %%s \"$@\"\\n' $p >bin/python3; break; }\n"
        "done\n"
        "[ -f bin/python3 ] || { echo none; exit 77; }\n"
        "chmod +x bin/python3\n"
        "export PATH=$PWD/bin:$PATH XDG_CACHE_HOME=$PWD/cache; unset PATCHGAUGE_DATA\n"
        "sed -i \"s:exec python3:exec $(PATH=${PATH#*:} command -v python3):\" bin/python3\n"
        "cd work && sh -eu ../script",
        scratch_folder, program);
    return program_shell(line);
}

static double number(const char *start)
{
    const char *at = strstr(program_output, start);
    if (!at)
        fail_msg("no %s in %s", start, program_output);
    return atof(at + strlen(start));
}

static void its_commands_do_what_it_says(void **state)
{
    (void)state;
    static const char *const files[] = {"net.pt",        "data/stripes/manifest.json", "net.safetensors",
                                        "patchgauge.db", "attacked/sheet.svg",         "figures/accuracy.svg",
                                        "stripes.html"};
    static const char *const said[] = {"delta 0 grid units", "no pixel changes a position outside its stated field",
                                       "under attack", "broken"};
    write_script();
    int code = run_script();
    if (code == 77)
        skip();
    if (code != 0)
        fputs(program_output, stderr);
    assert_int_equal(code, 0);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (strstr(program_output, said[i]) == NULL)
            fail_msg("nowhere: %s in %s", said[i], program_output);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "work/%s", files[i]);
        if (access(scratch_path(name), R_OK) != 0)
            fail_msg("%s is not there", files[i]);
    }
    /* the table: right on clean images, and a defense certifies what the mean cannot */
    char line[2048];
    snprintf(line, sizeof line, "cd %s/work && unset PATCHGAUGE_DATA && ../bin/patchgauge --quiet table stripes.toml -f csv",
             scratch_folder);
    assert_int_equal(program_shell(line), 0);
    assert_true(number("mean,2,clean,") > 80);
    assert_true(number("mean,2,certified,") < 20);
    assert_true(number("robust-masking,2,certified,") > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(its_commands_do_what_it_says)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
