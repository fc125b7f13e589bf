/* Places that are not as expected: a locale with a decimal comma, paths of any bytes, folders that cannot be written, a full
 * disk, few files and small files. A command does all that it was asked for, or says why not and leaves nothing half done. */
#include "tests/faults/faults.h"

static const char matrix[] =
    "name = \"places\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:32\"\nbatch = 8\n"
    "[axes]\ndefense = [\"mean\", \"robust-masking\"]\npatch = [2, 5]\n"
    "\"robust-masking.threshold\" = [0, 0.25, 0.5]\n";
static char program[4096], *whole;

/* A shell command in the scratch folder, with $P the program; its exit code. What it says is in the file "said". */
static int shell(const char *format, ...)
{
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char *text_of(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    if (pg_file_read(path, 1 << 24, &text, &size) != PG_OK)
        fail_msg("%s", pg_error_message());
    return text;
}

static int make(void **state)
{
    if (!realpath(program_path(), program) || setenv("P", program, 1) != 0 || fault_make(state) != 0 ||
        chdir(scratch_folder) != 0)
        return -1;
    fault_write("m.toml", matrix);
    if (shell("$P run m.toml --db whole.db --quiet --task-images 8 2>said") != 0)
        return -1;
    return (whole = fault_dump("whole.db")) ? 0 : -1;
}

static int clean(void **state)
{
    free(whole);
    return scratch_remove(state);
}

/* ---- A decimal comma ---- */

static void test_decimal_comma(void **state)
{
    (void)state;
    static const char all[] =
        "mkdir -p %s && cd %s && cp ../m.toml . && $P run m.toml --db x.db --task-images 8 --quiet && $P plan m.toml --db x.db "
        "--explain >plan && for f in text md csv json; do $P table m.toml --db x.db -f $f >table.$f || exit 1; done && $P ls "
        "--db "
        "x.db >ls && $P show --db x.db $(tail -n 1 ls | cut -c 1-12) | grep -v -e peak -e ' s ' -e pid -e worker -e attempt "
        ">show && "
        "$P features --weights null --dataset synthetic:test --images 0:8 -o f --quiet && $P certify f/features.npy "
        "f/labels.npy "
        "--defense robust-masking --set threshold=0.25 --window 2x2 --quiet -f csv >certify && $P help defense robust-masking "
        ">help && $P plot accuracy m.toml --db x.db 2>/dev/null";
    if (shell("localedef -i de_DE -f UTF-8 ./de_DE.UTF-8 2>said && test \"$(LOCPATH=$PWD LC_ALL=de_DE.UTF-8 locale "
              "decimal_point)\" = ,") != 0)
        skip();
    assert_int_equal(shell(all, "plain", "plain"), 0);
    setenv("LOCPATH", scratch_folder, 1);
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    int code = shell(all, "comma", "comma");
    unsetenv("LOCPATH");
    unsetenv("LC_ALL");
    assert_int_equal(code, 0);
    /* a PDF holds the time at which it was made */
    if (shell("diff -r -x x.db -x '*.pdf' plain comma >said") != 0)
        fail_msg("%.2000s", text_of("said"));
    fault_expect("comma/x.db", whole);
    fault_count("a decimal comma: %d files as without", scratch_count("plain") - 1);
}

/* ---- Paths ---- */

static void test_paths(void **state)
{
    (void)state;
    static const char *const names[] = {"a b",   "it's", "a\"b",  "new\nline", "tab\there", "\xff\xfe", "\xc3\xa9t\xc3\xa9",
                                        "$HOME", "`id`", "a;b",   "a&b",       "%s%n",      "a?b#c",    "file:x?mode=ro",
                                        "*",     "\\",   "-dash", "[a]",       "~",         "a=b,c:d"};
    int commands = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char db[128];
        snprintf(db, sizeof db, "./%s/x.db", names[i]);
        setenv("D", names[i], 1);
        int code = shell(
            "mkdir -p \"./$D\" && cp m.toml \"./$D/m.toml\" && set -e; exec 2>said; cd \"./$D\"; for d in . \"../$D\"; do "
            "$P run \"$d/m.toml\" --db \"$d/x.db\" --cache \"$d/c\" --quiet --task-images 8; "
            "$P plan \"$d/m.toml\" --db \"$d/x.db\" >/dev/null; $P table \"$d/m.toml\" --db \"$d/x.db\" -f csv >\"$d/t\"; "
            "$P ls --db \"$d/x.db\" >/dev/null; $P db check --db \"$d/x.db\" >/dev/null; "
            "$P db backup \"$d/copy.db\" --force --db \"$d/x.db\" >/dev/null; "
            "$P features --weights null --dataset synthetic:test --images 0:8 -o \"$d/f\" --quiet; "
            "$P certify \"$d/f/features.npy\" \"$d/f/labels.npy\" --defense mean --window 2x2 --quiet >/dev/null; "
            "$P plot accuracy \"$d/m.toml\" --db \"$d/x.db\" -o \"$d/figures\" >/dev/null; "
            "test -s \"$d/figures/accuracy.svg\"; $P data verify synthetic --data \"$d\" >/dev/null; done");
        if (code != 0)
            fail_msg("\"%s\": %d: %.2000s", names[i], code, text_of("said"));
        fault_expect(db, whole);
        commands += 20;
    }
    assert_int_not_equal(shell("find . -name 'uid=*' | grep -q ."), 0);
    fault_count("%zu folders with spaces, quotes, newlines, bytes that are not UTF-8, ...: %d commands, 0 failed",
                sizeof names / sizeof *names, commands);
}

/* ---- Folders that cannot be written ---- */

static void test_read_only_folders(void **state)
{
    (void)state;
    /* root writes anywhere, so somebody else runs a copy of the program */
    const char *other = geteuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent" : "";
    if (*other && shell("%s true 2>/dev/null", other) != 0)
        skip();
    assert_int_equal(
        shell("chmod 755 . && mkdir ro && cp \"$P\" ./program && chmod 755 program && cp whole.db m.toml ro && mkdir "
              "ro/empty && chmod 555 ro ro/empty && chmod 444 ro/* && mkdir -m 777 open"),
        0);
    static const struct {
        const char *command;
        int code; /* -1: 2 or 4 */
        const char *says;
    } cases[] = {
        {"table ro/m.toml --db ro/whole.db -f csv", 0, ""},
        {"ls --db ro/whole.db", 0, ""},
        {"plan ro/m.toml --db ro/whole.db", 0, ""},
        {"db check --db ro/whole.db", 0, ""},
        {"run ro/m.toml --db ro/new.db --quiet", -1, "new.db"},
        {"run ro/m.toml --db ro/whole.db --quiet -S images=0:40", -1, "whole.db"},
        {"run ro/m.toml --db open/a.db --cache ro/empty --quiet", 0, ""},
        {"run ro/m.toml --db none/a.db --quiet", -1, "none/a.db"},
        {"features --weights null --dataset synthetic:test --images 0:8 -o ro/out --quiet", -1, "ro/out"},
        {"features --weights null --dataset synthetic:test --images 0:8 -o ro/empty --quiet", -1, "ro/empty"},
        {"plot accuracy ro/m.toml --db ro/whole.db -o ro/empty", -1, "ro/empty"},
        {"db backup ro/copy.db --db ro/whole.db", -1, "ro/copy.db"},
        {"ls --db ro", -1, "ro"},
        {"run ro/empty --db open/b.db", -1, "ro/empty"},
    };
    int refused = 0;
    assert_int_equal(shell("ls -lR ro >before"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = shell("%s ./program %s >out 2>said", other, cases[i].command);
        char *said = text_of("said");
        if (cases[i].code == 0 ? code != 0 : (code != 2 && code != 4) || !strstr(said, cases[i].says))
            fail_msg("%s: %d: %s", cases[i].command, code, said);
        refused += code != 0;
        free(said);
    }
    if (shell("ls -lR ro | diff before - >said") != 0)
        fail_msg("changed: %s", text_of("said"));
    assert_int_equal(shell("chmod -R u+w ro"), 0);
    fault_count("folders that cannot be written: %zu commands, %d refused by name, nothing changed",
                sizeof cases / sizeof *cases, refused);
}

/* ---- A full disk ---- */

static void test_full_disk(void **state)
{
    (void)state;
    if (shell("unshare -rm sh -c 'mkdir -p disk && mount -t tmpfs -o size=64k none disk' 2>/dev/null") != 0)
        skip();
    /* on disks of growing size: fails with 4 and a message, checks as whole, and goes on where there is room */
    static const char script[] =
        "mkdir -p disk; mount -t tmpfs -o size=$1 none disk || exit 100; cp m.toml disk; cd disk\n"
        "$P run m.toml --db x.db --quiet --task-images 8 >../said 2>&1; code=$?\n"
        "if [ $code != 0 ]; then\n"
        "    [ $code = 4 ] || exit 101; grep -q 'x.db' ../said || exit 102\n"
        "    if [ -s x.db ]; then $P db check --db x.db >../checked 2>&1; c=$?; [ $c = 0 ] || [ $c = 2 ] || exit 103; fi\n"
        "fi\n"
        "$P features --weights null --dataset synthetic:test --images 0:256 -o f --quiet >../said 2>&1; fcode=$?\n"
        "[ $fcode = 0 ] || [ $fcode = 4 ] || exit 104\n"
        "[ $fcode = 0 ] || [ ! -e f ] || [ -z \"$(find f -name '*tmp*')\" ] || exit 105\n"
        "mount -o remount,size=64m none . || exit 106\n"
        "$P run m.toml --db x.db --quiet --task-images 8 >../said 2>&1 || exit 107\n"
        "cp x.db ../after.db; [ $code = 0 ] && exit 1; exit 0\n";
    fault_write("disk.sh", script);
    int full = 0, room = 0;
    for (int kib = 16; kib <= 640; kib += kib < 128 ? 16 : 32) {
        int code = shell("unshare -rm sh disk.sh %dk", kib);
        if (code != 0 && code != 1)
            fail_msg("a disk of %d KiB: %d: %s", kib, code, text_of("said"));
        fault_expect("after.db", whole);
        full += code == 0;
        room += code == 1;
    }
    fault_count("disks of %d sizes: full on %d, 0 damaged, and the same command went on when there was room", full + room,
                full);
    assert_true(full > 3 && room > 0);
}

/* ---- Few files, and small ones ---- */

static void test_limits(void **state)
{
    (void)state;
    int refused = 0, all = 0;
    for (int i = 0; i < 40; i++) {
        bool files = i < 24;
        int limit = files ? 4 + i : 8 * (i - 24); /* with 3 files the loader finds no library */
        int code = shell("rm -rf x.db* f; (ulimit -%c %d && exec $P run m.toml --db x.db --quiet --task-images 8) >said 2>&1",
                         files ? 'n' : 'f', limit);
        if (code != 0 && code != 1 && code != 2 && code != 4)
            fail_msg("ulimit -%c %d: %d: %s", files ? 'n' : 'f', limit, code, text_of("said"));
        char *said = text_of("said");
        if (code != 0 && !*said && (files || limit > 0)) /* with 0, no message can be written either */
            fail_msg("ulimit -%c %d: ended with %d and no message", files ? 'n' : 'f', limit, code);
        free(said);
        assert_int_equal(shell("$P run m.toml --db x.db --quiet --task-images 8 >said 2>&1"), 0);
        fault_expect("x.db", whole);
        refused += code != 0;
        all++;
    }
    fault_count("%d limits of open files and file size: %d runs refused, 0 crashed, 0 damaged", all, refused);
    assert_true(refused > 2 && refused < all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal_comma), cmocka_unit_test(test_paths),  cmocka_unit_test(test_read_only_folders),
        cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("places", tests, make, clean);
}
