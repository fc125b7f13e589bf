/* Temporary files and folders: what a process that died left is removed by the next one of the same name, and what one that
 * lives holds is not. */
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

static bool is_there(const char *name) { return access(scratch_path(name), F_OK) == 0; }

/* A process that has made what `make` makes, and waits to be killed. */
static pid_t start(bool (*make)(void))
{
    int ends[2];
    char made = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        made = make();
        if (write(ends[1], &made, 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ends[0], &made, 1), 1);
    assert_true(made);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static void end(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static const char *numbered(const char *prefix, pid_t number)
{
    static char names[4][64];
    static int next;
    char *name = names[next++ % 4];
    snprintf(name, sizeof names[0], "%s%ld", prefix, (long)number);
    return name;
}

static bool make_folder(void)
{
    pg_folder folder;
    char inside[600];
    if (pg_folder_make(scratch_path("data"), "set", "import", &folder) != PG_OK)
        return false;
    snprintf(inside, sizeof inside, "%s/deep", folder.path);
    return mkdir(inside, 0777) == 0;
}

static void folders_of_the_dead_are_removed(void **state)
{
    (void)state;
    pg_folder folder, again;
    pid_t child = start(make_folder);
    assert_int_equal(mkdir(scratch_path("data/.set.import.1x"), 0777), 0);
    assert_int_equal(mkdir(scratch_path("data/.set.unpack.1"), 0777), 0);
    assert_int_equal(pg_folder_make(scratch_path("data"), "set", "import", &folder), PG_OK);
    assert_true(is_there(numbered("data/.set.import.", child))); /* it lives */
    end(child);
    assert_int_equal(pg_folder_make(scratch_path("data"), "set", "import", &again), PG_OK);
    assert_int_equal(scratch_count(scratch_path("data")),
                     4); /* these two and the next; its number may be the one that is free now */
    assert_true(is_there("data/.set.import.1x") && is_there("data/.set.unpack.1")); /* of another name */
    assert_int_equal(access(folder.path, W_OK), 0);                                 /* of this process, as the second */
    assert_string_not_equal(folder.path, again.path);
    char *path = strdup(folder.path);
    pg_folder_end(&folder);
    pg_folder_end(&folder);
    assert_int_equal(access(path, F_OK), -1);
    pg_folder_end(&again);
    assert_int_equal(scratch_count(scratch_path("data")), 2);
    free(path);
}

static bool make_scratch(void)
{
    pg_folder folder;
    return pg_scratch_make("test", &folder) == PG_OK;
}

static void scratch_folders_lie_in_tmpdir(void **state)
{
    (void)state;
    pg_folder folder;
    struct stat status;
    char *before = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
    assert_int_equal(mkdir(scratch_path("tmp"), 0777), 0);
    setenv("TMPDIR", scratch_path("tmp"), 1);
    pid_t child = start(make_scratch);
    assert_true(is_there(numbered("tmp/patchgauge-test.", child)));
    end(child);
    assert_int_equal(symlink(scratch_folder, scratch_path("tmp/patchgauge-test.7")), 0);
    assert_int_equal(pg_scratch_make("test", &folder), PG_OK);
    assert_false(is_there(numbered("tmp/patchgauge-test.", child)));
    assert_true(is_there("tmp")); /* no link is followed */
    assert_int_equal(stat(folder.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    pg_folder_end(&folder);
    setenv("TMPDIR", scratch_path("nowhere"), 1);
    assert_int_equal(pg_scratch_make("test", &folder), PG_EIO);
    assert_non_null(strstr(pg_error_message(), "TMPDIR names another place"));
    pg_folder_end(&folder);
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
}

/* While others sweep all the time, no writer loses its file. */
static bool begin_sweeping(void)
{
    pid_t parent = getpid(), child = fork();
    while (child == 0 && getppid() == parent)
        pg_leftovers_remove(scratch_folder, "kept.tmp.", false);
    if (child == 0)
        _exit(0);
    return child > 0;
}

static void no_sweeper_takes_a_file_in_use(void **state)
{
    (void)state;
    pid_t children[2] = {start(begin_sweeping), start(begin_sweeping)};
    for (int i = 0; i < 100; i++)
        assert_int_equal(pg_file_write(scratch_path("kept"), "kept", 4), PG_OK);
    assert_int_equal(mkdir(scratch_path("kept.tmp.1"), 0777), 0); /* a user's, and no file */
    assert_int_equal(pg_file_write(scratch_path("kept"), "kept", 4), PG_OK);
    assert_true(is_there("kept.tmp.1"));
    end(children[0]);
    end(children[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_of_the_dead_are_removed),
        cmocka_unit_test(scratch_folders_lie_in_tmpdir),
        cmocka_unit_test(no_sweeper_takes_a_file_in_use),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
