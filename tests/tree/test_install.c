/* What `make install` puts where: the program finds its shim there, the man page is roff without complaint, bash completes. */
/* Loads libtorch, also under sanitizers. */
#include "tests/support/program.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char output[1 << 18];

/* Exit code of a shell line; both streams in `output`. */
static int shell(const char *format, ...)
{
    char line[4096], whole[4200];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    snprintf(whole, sizeof whole, "exec 2>&1; %s", line);
    FILE *pipe = popen(whole, "r");
    assert_non_null(pipe);
    size_t size = fread(output, 1, sizeof output - 1, pipe);
    output[size] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *piece)
{
    if (!strstr(output, piece))
        print_error("not in the output: %s\n%s\n", piece, output);
    assert_non_null(strstr(output, piece));
}

static int setup(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    const char *mode = strstr(program_path(), "asan") ? "asan" : strstr(program_path(), "tsan") ? "tsan" : "release";
    int code = shell("env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s MODE=%s install DESTDIR='%s/a root' PREFIX=/usr/x", mode,
                     scratch_folder);
    if (code != 0)
        print_error("%s\n", output);
    return code;
}

static void the_program_runs_from_there(void **state)
{
    (void)state;
    assert_int_equal(shell("cd / && '%s/a root/usr/x/bin/patchgauge' --db '%s/x.db' doctor", scratch_folder, scratch_folder),
                     0);
    expect("\nok   libtorch ");
    assert_int_equal(shell("ls '%s/a root/usr/x/share/patchgauge/zoo'", scratch_folder), 0);
    expect("synthetic-ds.safetensors");
    assert_int_equal(shell("ls '%s/a root/usr/x/share/doc/patchgauge'", scratch_folder), 0);
    expect("CITATION.cff\nLICENSE\nMANUAL.md\nREADME.md");
}

static void a_plugin_is_built_against_the_installed_headers(void **state)
{
    (void)state;
    assert_int_equal(
        shell("'%s/a root/usr/x/bin/patchgauge' new defense soft-vote -o '%s/mine'", scratch_folder, scratch_folder), 0);
    assert_int_equal(shell("cd '%s/mine' && cc -std=c17 -D_GNU_SOURCE -fPIC -shared -I '%s/a root/usr/x/include/patchgauge' -o "
                           "p.so soft_vote.c",
                           scratch_folder, scratch_folder),
                     0);
    assert_int_equal(shell("'%s/a root/usr/x/bin/patchgauge' --plugin '%s/mine/p.so' help defense soft-vote", scratch_folder,
                           scratch_folder),
                     0);
    expect("theta ");
    assert_int_equal(shell("grep 'INCLUDE ?=' '%s/mine/Makefile'", scratch_folder), 0);
    expect("a root/usr/x/include/patchgauge\n");
}

/* Every command and module has its section, and groff, where it is there, has nothing to complain of. */
static void the_man_page_is_whole(void **state)
{
    (void)state;
    assert_int_equal(shell("cat '%s/a root/usr/x/share/man/man1/patchgauge.1'", scratch_folder), 0);
    static const char *const sections[] = {".SS run\n",   ".SS certify\n",       ".SS robust\\-masking\n",
                                           ".SS lavan\n", ".SS ds\\-resnet18\n", ".SH EXIT STATUS\n"};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        expect(sections[i]);
    for (const char *line = output; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        assert_true(line[0] != '\'');
        assert_true(line[0] != '.' || strchr("TSPnfBb", line[1]));
    }
    if (shell("command -v groff") == 0) {
        assert_int_equal(shell("groff -man -Tascii -ww -z '%s/a root/usr/x/share/man/man1/patchgauge.1'", scratch_folder), 0);
        assert_string_equal(output, "");
    }
}

static void completes(const char *words, int at, const char *wanted)
{
    assert_int_equal(shell("bash -c '. \"%s/a root/usr/x/share/bash-completion/completions/patchgauge\"; COMP_WORDS=(%s); "
                           "COMP_CWORD=%d; _patchgauge;"
                           " echo \"<${COMPREPLY[*]}>\"'",
                           scratch_folder, words, at),
                     0);
    expect(wanted);
}

static void bash_completes(void **state)
{
    (void)state;
    completes("patchgauge ce", 1, "<certify>");
    completes("patchgauge --db x.db cer", 3, "<certify>");
    completes("patchgauge certify --defense med", 3, "<median>");
    completes("patchgauge attack --attack la", 3, "<lavan>");
    completes("patchgauge table m.toml --met", 3, "<--metrics>");
    completes("patchgauge model train ds", 3, "<ds-mobilenet-v2 ds-resnet18 ds-resnet50>");
    completes("patchgauge model train ds-resnet18 --cutou", 4, "<--cutout --cutouts>");
    completes("patchgauge help matr", 2, "<matrix>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_runs_from_there),
        cmocka_unit_test(a_plugin_is_built_against_the_installed_headers),
        cmocka_unit_test(the_man_page_is_whole),
        cmocka_unit_test(bash_completes),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
