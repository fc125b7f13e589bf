/* What commands write: never over something that is no regular file, over what they read, or over files of others unless they
 * are told to; their own are replaced. Every command with an output is walked through the same targets. */
#include "harness/base/hash.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <cmocka.h>

enum { LINE = 2048 };

/* ---- The commands ---- */

typedef struct writer {
    const char *command; /* %s: where it writes */
    const char *file;    /* in the folder that it is given; NULL: it is given a file */
    const char *input;   /* that it reads, in the scratch folder; NULL: none */
    bool forced;         /* it has --force */
} writer;

#define FEATURES "features --weights null --dataset synthetic:test --images 0:4 -o %s"
#define ATTACK                                                                                                                 \
    "attack --weights null --dataset synthetic:test --images 0:2 --attack random-search --patch 3 --set steps=2 --sheet 0 -o " \
    "%s"
#define IMPORT "model import ds-resnet18 ../w.safetensors --input 32x32 --set band=4 -o %s"
#define TRAIN  "model train ds-resnet18 --dataset synthetic:train -o %s"
#define FETCH  "data fetch http://127.0.0.1:1/x --sha256 0000000000000000000000000000000000000000000000000000000000000000 -o %s"

static const writer writers[] = {
    {"report ../m.toml -o %s", NULL, "db", true},
    {"report ../m.toml --no-figures -o %s", NULL, "m.toml", true},
    {"gallery ../m.toml -o %s", NULL, "m.toml", true},
    {"db backup %s", NULL, "db", true},
    {IMPORT, NULL, "w.safetensors", true},
    {TRAIN, NULL, NULL, false},
    {FETCH, NULL, NULL, false},
    {FEATURES, "features.npy", NULL, true},
    {FEATURES, "labels.npy", NULL, true},
    {FEATURES, "meta.json", NULL, true},
    {ATTACK, "results.csv", NULL, true},
    {ATTACK, "patches.npy", NULL, true},
    {ATTACK, "local-logits.svg", NULL, true},
    {"plot accuracy ../m.toml -o %s", "accuracy.svg", "db", true},
    {"plot accuracy ../m.toml -o %s", "accuracy.gp", "m.toml", true},
    {"plot all ../m.toml -o %s", "accuracy.tsv", "db", true},
};
enum { WRITERS = sizeof writers / sizeof *writers };

/* Given a folder, which has to be new for the last two. */
static const char *const folder_writers[] = {FEATURES,
                                             ATTACK,
                                             "plot accuracy ../m.toml -o %s",
                                             "audit ../m.toml -S images=0:2 --witnesses %s",
                                             "new defense mine -o %s",
                                             "submit ../m2.toml --tasks 2 --print -o %s"};
enum { FOLDER_WRITERS = sizeof folder_writers / sizeof *folder_writers, NEW_FOLDERS = 2 };

/* ---- The targets ---- */

typedef enum target {
    FOREIGN,
    INPUT,
    LINK_TO_INPUT,
    FOLDER,
    DEVICE,
    LINK_TO_DEVICE,
    FIFO,
    SOCKET,
    LINK_TO_NOTHING,
    TARGETS
} target;
static const char *const target_names[] = {
    "a file of somebody else", "an input", "a link to an input", "a folder",         "a device",
    "a link to a device",      "a FIFO",   "a socket",           "a link to nothing"};

/* False: it cannot be made here, or there is none. */
static bool make_target(target t, const char *path, const char *input)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char from[LINE];
    int fd = -1;
    bool good = true;
    snprintf(from, sizeof from, "%s/%s", scratch_folder, input ? input : "");
    switch (t) {
    case FOREIGN: {
        FILE *f = fopen(path, "w");
        good = f && fputs("my only copy\n", f) >= 0 && fclose(f) == 0;
        break;
    }
    case INPUT:
        return input && link(from, path) == 0;
    case LINK_TO_INPUT:
        return input && symlink(from, path) == 0;
    case FOLDER:
        return mkdir(path, 0700) == 0;
    case DEVICE:
        return mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0; /* root's */
    case LINK_TO_DEVICE:
        return symlink("/dev/null", path) == 0;
    case FIFO:
        return mkfifo(path, 0600) == 0;
    case SOCKET:
        snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        good = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
        break;
    default:
        return symlink("nowhere", path) == 0;
    }
    return good;
}

/* All that is in the folder, and the files that commands read: kinds, modes, owners, times of change and contents. */
static void take_stock(char out[PG_HASH_HEX])
{
    char line[LINE];
    snprintf(line, sizeof line,
             "cd %s && { find there -printf '%%p %%y %%m %%U %%i %%s %%l\\n'; find there db m.toml w.safetensors -type f -exec "
             "sha256sum {} +; } 2>&1 | sort",
             scratch_folder);
    assert_int_equal(program_shell(line), 0);
    assert_int_equal(pg_hash_bytes(program_output, strlen(program_output), out), PG_OK);
}

static int setup(void **state)
{
    static const char matrix[] = "fixed = { dataset = \"synthetic:test\", weights = \"null\", images = \"0:8\" }\n"
                                 "axes = { defense = [\"ds\"], patch = [3] }\n";
    static const char other[] = "fixed = { dataset = \"synthetic:test\", weights = \"null\", images = \"0:9\" }\n"
                                "axes = { defense = [\"ds\"], patch = [3] }\n";
    char line[LINE];
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    scratch_write("m2.toml", other, sizeof other - 1);
    snprintf(line, sizeof line, "cp models/zoo/synthetic-ds.safetensors %s/w.safetensors", scratch_folder);
    return program_shell(line) == 0 && program_run("db", "run %s/m.toml", scratch_folder) == 0 ? 0 : -1;
}

/* In the folder "there", empty, of the scratch folder. */
static int run_there(const char *command, const char *at, const char *more)
{
    char line[2 * LINE], arguments[LINE], *program = realpath(program_path(), NULL);
    snprintf(arguments, sizeof arguments, command, at); /* the table's own formats */
    snprintf(line, sizeof line, "exec 2>&1; cd %s/there && exec %s --quiet --db ../db %s %s", scratch_folder, program,
             arguments, more);
    free(program);
    return program_shell(line);
}

static void clear(void)
{
    char line[LINE];
    snprintf(line, sizeof line, "rm -rf %s/there && mkdir %s/there", scratch_folder, scratch_folder);
    assert_int_equal(program_shell(line), 0);
}

static void expect_untouched(const char *command, const char *at, const char *more, const char *what)
{
    char before[PG_HASH_HEX], after[PG_HASH_HEX];
    take_stock(before);
    int code = run_there(command, at, more);
    bool one_line = *program_output && strchr(program_output, '\n') == program_output + strlen(program_output) - 1;
    if (code != 2 || !one_line)
        fail_msg("%s %s, over %s: exit code %d\n%s", command, more, what, code, program_output);
    take_stock(after);
    if (strcmp(before, after) != 0)
        fail_msg("%s %s, over %s: something changed\n%s", command, more, what, program_output);
}

static void nothing_is_written_over(void **state)
{
    (void)state;
    for (size_t i = 0; i < WRITERS; i++)
        for (target t = 0; t < TARGETS; t++)
            for (int forced = 0; forced <= (writers[i].forced && t != FOREIGN); forced++) {
                const writer *w = &writers[i];
                char path[LINE];
                clear();
                if (w->file)
                    mkdir(scratch_path("there/out"), 0700);
                snprintf(path, sizeof path, "%s/there/out%s%s", scratch_folder, w->file ? "/" : "", w->file ? w->file : "");
                if (make_target(t, path, w->input))
                    expect_untouched(w->command, "out", forced ? "--force" : "", target_names[t]);
            }
}

/* SQLite would take what lies there for part of the database. */
static void a_journal_is_not_made_of_a_page(void **state)
{
    (void)state;
    static const char *const names[] = {"../db-journal", "../db-wal", "../there/../db-shm"};
    for (size_t i = 0; i < 3; i++) {
        clear();
        expect_untouched("report ../m.toml --no-figures -o %s", names[i], "--force", "a journal of the database");
        assert_int_equal(access(scratch_path("db-journal"), F_OK), -1);
    }
}

static void no_folder_is_made_of_something_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < FOLDER_WRITERS; i++)
        for (target t = 0; t < TARGETS; t++) {
            char path[LINE];
            clear();
            snprintf(path, sizeof path, "%s/there/out", scratch_folder);
            if ((t == FOLDER && i < FOLDER_WRITERS - NEW_FOLDERS) || !make_target(t, path, "db"))
                continue;
            expect_untouched(folder_writers[i], "out", "", target_names[t]);
        }
}

/* ---- What is replaced ---- */

static void expect_replaced(const char *command, const char *more)
{
    int code = run_there(command, "out", more);
    if (code != 0)
        fail_msg("%s %s: exit code %d\n%s", command, more, code, program_output);
}

static void own_files_are_replaced(void **state)
{
    (void)state;
    static const char *const commands[] = {FEATURES, ATTACK, IMPORT, "plot accuracy ../m.toml -o %s",
                                           "plot all ../m.toml -o %s"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        clear();
        expect_replaced(commands[i], "");
        expect_replaced(commands[i], "");
    }
    clear(); /* another import is somebody else's */
    expect_replaced(IMPORT, "");
    char before[PG_HASH_HEX], after[PG_HASH_HEX];
    take_stock(before);
    assert_int_equal(run_there(IMPORT, "out", "--half"), 2); /* behind the report of what fits */
    assert_non_null(strstr(program_output, "out: is there already; --force replaces it"));
    take_stock(after);
    assert_string_equal(before, after);
}

static void others_are_replaced_where_that_is_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < WRITERS; i++) {
        const writer *w = &writers[i];
        char path[LINE], text[16] = "";
        if (!w->forced)
            continue;
        clear();
        if (w->file)
            mkdir(scratch_path("there/out"), 0700);
        snprintf(path, sizeof path, "%s/there/out%s%s", scratch_folder, w->file ? "/" : "", w->file ? w->file : "");
        assert_true(make_target(FOREIGN, path, NULL));
        expect_replaced(w->command, "--force");
        FILE *f = fopen(path, "r"); /* NULL: a picture that --sheet 0 leaves out is taken away */
        if (f)
            (void)!fgets(text, sizeof text, f);
        if (f)
            fclose(f);
        assert_string_not_equal(text, "my only copy\n");
    }
}

/* A link to a file stays a link, and the file's permissions stay. */
static void links_are_followed(void **state)
{
    (void)state;
    static const char *const commands[] = {"report ../m.toml --no-figures -o %s", "db backup %s", IMPORT};
    for (size_t i = 0; i < 3; i++) {
        struct stat link, file;
        clear();
        assert_true(make_target(FOREIGN, scratch_path("there/file"), NULL));
        assert_int_equal(chmod(scratch_path("there/file"), 0640), 0);
        assert_int_equal(symlink("file", scratch_path("there/out")), 0);
        expect_untouched(commands[i], "out", "", "a link to a file of somebody else");
        expect_replaced(commands[i], "--force");
        assert_int_equal(lstat(scratch_path("there/out"), &link), 0);
        assert_true(S_ISLNK(link.st_mode));
        assert_int_equal(stat(scratch_path("there/file"), &file), 0);
        assert_true(file.st_size > 100);
        assert_int_equal(file.st_mode & 0777, 0640);
    }
}

/* What training keeps beside its weights. */
static void what_stands_beside_weights_is_kept(void **state)
{
    (void)state;
    static const char *const ends[] = {"checkpoint", "log.csv", "lock"};
    for (size_t i = 0; i < 3; i++)
        for (target t = 0; t < TARGETS; t++) {
            char name[64];
            clear();
            snprintf(name, sizeof name, "there/out.%s", ends[i]);
            if (make_target(t, scratch_path(name), NULL))
                expect_untouched(TRAIN, "out", "--epochs 1", target_names[t]);
        }
}

/* ---- What fails leaves no folder ---- */

static void what_fails_leaves_no_folder(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "features --weights ../w.safetensors --dataset synthetic:test@64 --images 0:4 -o %s",
        "features --weights ../w.safetensors --dataset synthetic:test --images 0:4 --device cuda:99 -o %s",
        "attack --weights null --dataset synthetic:test --attack random-search --patch 99 --sheet 0 -o %s",
        "plot accuracy ../m2.toml -o %s",
        "plot threshold ../m.toml -o %s",
        "audit ../m.toml -S images=0:2 --level pixel --attack lavan --set lavan.steps=-1 --witnesses %s",
        "new defense Mine -o %s",
        "data import pets ../db --data %s",
        "data import cifar10 .. --data %s",
        "data fetch http://127.0.0.1:1/x --sha256 0000000000000000000000000000000000000000000000000000000000000000 --name pets "
        "--data %s",
        "data fetch cifar10 --url http://127.0.0.1:1/x --data %s",
        "submit ../m2.toml --tasks 2 -o %s/out.slurm",
    };
    char path[256];
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        clear();
        int code = run_there(commands[i], "a/b", "");
        if (code == 0 || access(scratch_path("there/a"), F_OK) == 0)
            fail_msg("%s: exit code %d, and the folder is %s\n%s", commands[i], code,
                     access(scratch_path("there/a"), F_OK) == 0 ? "there" : "not there", program_output);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_written_over),
        cmocka_unit_test(a_journal_is_not_made_of_a_page),
        cmocka_unit_test(no_folder_is_made_of_something_else),
        cmocka_unit_test(own_files_are_replaced),
        cmocka_unit_test(others_are_replaced_where_that_is_said),
        cmocka_unit_test(links_are_followed),
        cmocka_unit_test(what_stands_beside_weights_is_kept),
        cmocka_unit_test(what_fails_leaves_no_folder),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
