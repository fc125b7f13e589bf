/* The program ($PATCHGAUGE, default build/patchgauge) as users call it: global options, help, list, data, exit codes. */
#include "tests/support/cifar_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <sys/wait.h>

static char out[1 << 16], err[1 << 14];

static void slurp(const char *name, char *text, size_t room)
{
    FILE *stream = fopen(scratch_path(name), "rb");
    size_t n = stream ? fread(text, 1, room - 1, stream) : 0;
    text[n] = 0;
    if (stream)
        fclose(stream);
}

/* Exit code of a shell line, in which $P is the program; its output in `out` and `err`. */
static int run(const char *line)
{
    char command[2048];
    const char *program = getenv("PATCHGAUGE");
    snprintf(command, sizeof command, "P=%s; DIR=%s; unset PATCHGAUGE_DATA; { %s; } >%s 2>%s </dev/null",
             program ? program : "build/patchgauge", scratch_folder, line, scratch_path("out"), scratch_path("err"));
    int status = system(command);
    slurp("out", out, sizeof out);
    slurp("err", err, sizeof err);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *line, int code, const char *in_out, const char *in_err)
{
    int result = run(line);
    if (result != code || !strstr(out, in_out) || !strstr(err, in_err))
        print_message("%s: exit code %d\n%s%s", line, result, out, err);
    assert_int_equal(result, code);
    assert_non_null(strstr(out, in_out));
    assert_non_null(strstr(err, in_err));
}

/* Exit code 2, nothing on standard output, one line on standard error. */
static void expect_usage(const char *line, const char *message)
{
    expect(line, 2, "", message);
    assert_string_equal(out, "");
    assert_int_equal(strncmp(err, "patchgauge: ", 12), 0);
    assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
}

static void help_and_version(void **state)
{
    (void)state;
    expect("$P --version", 0, "patchgauge 0.", "");
    assert_string_equal(err, "");
    expect("$P list --version", 0, "patchgauge 0.", "");
    expect("$P --help", 0, "commands:", "");
    expect("$P help", 0, "--cache-size", "");
    expect("$P -h", 0, "exit codes:", "");
    expect("$P", 2, "", "no command given");
    assert_string_equal(out, "");
    expect("$P help data", 0, "usage: patchgauge data fetch", "");
    expect("$P data --help fetch", 0, "usage: patchgauge data fetch", "");
    expect("$P --help data", 0, "usage: patchgauge data fetch", "");
}

static void every_command_has_its_page(void **state)
{
    (void)state;
    expect("$P help | sed -n '/^commands:/,/^$/s/^  \\([a-z]*\\) .*/\\1/p' | tee $DIR/names | while read -r name; do"
           " $P help $name | head -1 | grep -qx \"usage: patchgauge $name.*\" || exit 9; done",
           0, "", "");
    expect("wc -l <$DIR/names | awk '$1 >= 4 { print \"enough\" }'", 0, "enough", "");
    expect("for kind in models defenses attacks; do $P list $kind | awk '{ print $1 }' | while read -r name; do"
           " $P help ${kind%s} $name | grep -q \"^${kind%s} $name (version\" || exit 9; $P help $name >/dev/null || exit 8; "
           "done; done",
           0, "", "");
}

static void names_are_corrected(void **state)
{
    (void)state;
    expect_usage("$P lst", "unknown command 'lst': did you mean 'list'?");
    expect_usage("$P frobnicate", "`patchgauge help` lists the commands");
    expect_usage("$P --dta x list", "unknown option '--dta': did you mean '--data'?");
    expect_usage("$P --frobnicate", "unknown option '--frobnicate': `patchgauge help` lists");
    expect_usage("$P list modles", "did you mean 'models'?");
    expect_usage("$P list models defenses", "one argument too many, 'defenses'");
    expect_usage("$P help defense robust-maskin", "robust-masking");
    expect_usage("$P help model resnet81", "resnet18");
    expect_usage("$P help attack lavn", "did you mean 'lavan'?");
    expect_usage("$P help atack lavan", "help defense NAME");
    expect_usage("$P help nothing", "unknown command 'nothing'");
    expect_usage("$P help a b c", "one argument too many, 'c'");
    expect_usage("$P data ftch", "did you mean 'fetch'?");
    expect_usage("$P data", "data fetch NAME");
    expect_usage("$P data fetch --ulr x cifar10", "did you mean '--url'?");
    expect_usage("$P data fetch cifar10 --url", "'--url' requires a value");
    expect_usage("$P data fetch", "NAME|URL is missing; usage: patchgauge data fetch");
    expect_usage("$P data fetch cifar10 --sha256 12", "64 lower-case hexadecimal digits");
    expect_usage("$P data fetch cifar10 --size -1", "--size -1: right would be a whole number, 1 or more");
    expect_usage("$P data fetch synthetic", "built in");
    expect_usage("$P data import cifar01 x", "did you mean 'cifar10'?");
    expect_usage("$P data import cifar10", "DIR|ARCHIVE is missing; usage: patchgauge data import NAME");
    expect_usage("$P data verify", "data verify NAME");
    expect_usage("$P data verify mnist", "unknown data set");
}

static void global_options_stand_anywhere(void **state)
{
    (void)state;
    fixture_write("source");
    assert_int_equal(pg_cifar10_import(scratch_path("data"), scratch_path("source"), FIXTURE_IMAGES), PG_OK);
    expect("$P --data $DIR/data list datasets", 0, "cifar10:train        50 images", "");
    expect("$P list --data $DIR/data datasets", 0, "cifar10:val          5 images", "");
    expect("$P list datasets --data=$DIR/data", 0, "cifar10:test         10 images", "");
    expect("PATCHGAUGE_DATA=$DIR/data $P list datasets", 0, "cifar10:test         10 images", "");
    expect("PATCHGAUGE_DATA=$DIR/data $P list datasets --data $DIR/none", 0, "data fetch cifar10", "");
    expect("$P --cache-size 512MiB list", 0, "models:", "");
    expect("$P --cache-size=0 --db $DIR/x.db --cache $DIR/c list", 0, "datasets:", "");
    assert_int_not_equal(access(scratch_path("x.db"), F_OK), 0); /* listing makes nothing */
    assert_int_not_equal(access(scratch_path("c"), F_OK), 0);
    expect("$P list attacks", 0, "lavan", "");
    assert_string_equal(err, "");
    const char *const bad[] = {"10Q", "x", "-1", "1.5G", "''", "99999999999G", "G", "1GB"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[128];
        snprintf(line, sizeof line, "$P list --cache-size %s", bad[i]);
        expect_usage(line, "right would be a number of bytes");
    }
    expect_usage("$P list --db", "option '--db' requires a value");
    expect_usage("$P list --data=", "--data : right would be a text that is not empty");
    expect_usage("$P list -- --version",
                 "list: TOPIC --version: right would be models, attacks, defenses or datasets"); /* behind -- nothing is ours */
}

static void data_commands(void **state)
{
    (void)state;
    expect("$P --data $DIR/data data verify cifar10", 0, "data_batch_3.bin: ok", "");
    fixture_poke("data/cifar10/data_batch_3.bin", 5000, 1);
    expect("$P --data $DIR/data data verify cifar10", 2, "data_batch_3.bin: DAMAGED: SHA-256 is", "1 of 7 files damaged");
    expect("$P --data $DIR/none data verify cifar10", 2, "", "data import cifar10 DIR");
    expect("$P data verify synthetic", 0, "synthetic:test 2000 images", "");
    expect_usage("$P --data $DIR/new data import cifar10 $DIR/source", "right would be 30730000");
    expect_usage("$P --data $DIR/new data import cifar10 $DIR/nothing", "no such folder");
    assert_int_not_equal(access(scratch_path("new"), F_OK), 0);
    expect("$P --quiet --data $DIR/new data fetch cifar10 --url http://127.0.0.1:1/x", 4, "", "127.0.0.1");
    assert_int_not_equal(access(scratch_path("new"), F_OK), 0); /* what was made for it is gone */
}

static void output_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    expect("$P list >/dev/full", 4, "", "standard output cannot be written: No space left");
    expect("$P help >/dev/full", 4, "", "standard output");
    expect("$P lst >/dev/full", 2, "", "unknown command"); /* the first failure counts */
    /* a reader that goes away, as head does: no message, and the code that a shell shows for a tool that died of SIGPIPE */
    static const char *const commands[] = {"help", "help man", "list", "--db $DIR/none.db ls",
                                           "plan experiments/demo.toml --explain"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[256];
        snprintf(line, sizeof line, "{ sleep 0.2; $P %s; echo \"code $?\" >&2; } | true", commands[i]);
        expect(line, 0, "", i == 3 ? "code 2" : "code 141");
        assert_true(i == 3 || strcmp(err, "code 141\n") == 0);
    }
}

/* A file that got the number of a closed stream would be written into by messages and progress. */
static void closed_streams_are_not_files(void **state)
{
    (void)state;
    static const char make[] = "$P features --weights null --dataset synthetic:test --images 0:40 --batch 8 -o";
    char line[512];
    snprintf(line, sizeof line, "%s $DIR/open", make);
    expect(line, 0, "", "");
    static const char *const closed[] = {"2>&-", ">&-", "<&-", "<&- >&- 2>&-"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        snprintf(line, sizeof line, "%s $DIR/closed%zu %s", make, i, closed[i]);
        expect(line, 0, "", "");
        snprintf(line, sizeof line,
                 "for f in features.npy labels.npy meta.json; do cmp $DIR/open/$f $DIR/closed%zu/$f || exit 9; done", i);
        expect(line, 0, "", "");
    }
    expect("$P list >&-", 4, "", "standard output cannot be written");
    expect("$P lst 2>&-", 2, "", "");
}

/* A journal beside a device would stay there. */
static void the_database_is_a_regular_file(void **state)
{
    (void)state;
    expect_usage("mkfifo $DIR/fifo; $P ls --db $DIR/fifo", "is not a regular file");
    expect_usage("$P run experiments/demo.toml -S weights=null --db $DIR", "is not a regular file");
    expect_usage("ln -s /dev/null $DIR/device; $P run experiments/demo.toml -S weights=null --db $DIR/device",
                 "is not a regular file");
    assert_int_not_equal(access(scratch_path("device-journal"), F_OK), 0);
}

/* Torch, BLAS and OpenMP come with the shim, in workers only. */
static void no_heavy_library_is_linked(void **state)
{
    (void)state;
    assert_int_equal(run("LD_TRACE_LOADED_OBJECTS=1 $P"), 0);
    assert_non_null(strstr(out, "libc.so"));
    const char *const heavy[] = {"torch", "libc10", "blas", "libgomp", "libomp", "libmkl", "libcuda"};
    for (size_t i = 0; i < sizeof heavy / sizeof *heavy; i++)
        assert_null(strstr(out, heavy[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(every_command_has_its_page),
        cmocka_unit_test(names_are_corrected),
        cmocka_unit_test(global_options_stand_anywhere),
        cmocka_unit_test(data_commands),
        cmocka_unit_test(output_that_cannot_be_written_is_an_error),
        cmocka_unit_test(closed_streams_are_not_files),
        cmocka_unit_test(the_database_is_a_regular_file),
        cmocka_unit_test(no_heavy_library_is_linked),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
