/* Whole files, atomic writers, folders. */
#include "harness/base/file.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <cmocka.h>

static void reads_what_was_written(void **state)
{
    (void)state;
    char *data = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_write(scratch_path("a"), "one\0two", 7), PG_OK);
    assert_int_equal(pg_file_read(scratch_path("a"), 7, &data, &size), PG_OK);
    assert_int_equal(size, 7);
    assert_memory_equal(data, "one\0two", 8); /* and a zero byte behind */
    free(data);
    assert_int_equal(pg_file_write(scratch_path("a"), "", 0), PG_OK);
    assert_int_equal(pg_file_size(scratch_path("a")), 0);
    assert_int_equal(pg_file_read(scratch_path("a"), 0, &data, &size), PG_OK);
    assert_string_equal(data, "");
    free(data);
}

static void refuses_what_is_too_large_or_no_file(void **state)
{
    (void)state;
    char *data = NULL;
    size_t size = 0;
    scratch_write("big", "12345678", 8);
    assert_int_equal(pg_file_read(scratch_path("big"), 7, &data, &size), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "at most 7"));
    assert_int_equal(pg_file_read(scratch_path("none"), 7, &data, &size), PG_EMISSING);
    assert_int_equal(pg_file_read(scratch_folder, 7, &data, &size), PG_EINPUT);
    assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
    assert_int_equal(pg_file_read(scratch_path("fifo"), 7, &data, &size), PG_EINPUT); /* and does not wait for a writer */
    assert_int_equal(pg_file_size(scratch_path("none")), -1);
    assert_int_equal(pg_file_size(scratch_folder), -1);
    assert_null(data);
    const char *const others[] = {scratch_folder, scratch_path("fifo"), "/dev/null", "/dev/zero"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        int fd = 0;
        FILE *stream = stdin;
        assert_int_equal(pg_file_open(others[i], &fd, NULL), PG_EINPUT);
        assert_non_null(strstr(pg_error_message(), "not a regular file"));
        assert_int_equal(fd, -1);
        assert_int_equal(pg_file_stream(others[i], &stream, NULL), PG_EINPUT);
        assert_null(stream);
    }
}

static void a_file_that_shrinks_is_an_error(void **state)
{
    (void)state;
    char to[8];
    int fd;
    uint64_t size;
    scratch_write("shrinks", "12345678", 8);
    assert_int_equal(pg_file_open(scratch_path("shrinks"), &fd, &size), PG_OK);
    assert_int_equal(size, 8);
    assert_int_equal(pg_file_take(scratch_path("shrinks"), fd, to, 4), PG_OK);
    assert_memory_equal(to, "1234", 4);
    assert_int_equal(truncate(scratch_path("shrinks"), 5), 0);
    assert_int_equal(pg_file_take(scratch_path("shrinks"), fd, to, 4), PG_EIO);
    assert_non_null(strstr(pg_error_message(), "shrank while it was read"));
    close(fd);
}

static void a_file_appears_at_commit_or_not_at_all(void **state)
{
    (void)state;
    pg_file_writer writer;
    scratch_write("old", "old", 3);
    int before = scratch_count(scratch_folder);
    assert_int_equal(pg_file_begin(&writer, scratch_path("old")), PG_OK);
    fputs("new contents", writer.stream);
    assert_int_equal(pg_file_size(scratch_path("old")), 3);
    assert_int_equal(scratch_count(scratch_folder), before + 1);
    pg_file_abort(&writer);
    pg_file_abort(&writer);
    assert_int_equal(scratch_count(scratch_folder), before);
    assert_int_equal(pg_file_size(scratch_path("old")), 3);
    assert_int_equal(pg_file_begin(&writer, scratch_path("old")), PG_OK);
    fputs("new contents", writer.stream);
    assert_int_equal(pg_file_commit(&writer), PG_OK);
    pg_file_abort(&writer);
    assert_int_equal(pg_file_size(scratch_path("old")), 12);
    assert_int_equal(scratch_count(scratch_folder), before);
}

static void failed_writes_leave_nothing(void **state)
{
    (void)state;
    pg_file_writer writer;
    assert_int_equal(pg_file_write(scratch_path("no/such/folder"), "x", 1), PG_EIO);
    int before = scratch_count(scratch_folder) + 1;
    assert_int_equal(pg_file_begin(&writer, scratch_path("target")), PG_OK);
    fputs("x", writer.stream);
    assert_int_equal(mkdir(scratch_path("target"), 0700), 0); /* a folder cannot be replaced by a file */
    assert_int_equal(pg_file_commit(&writer), PG_EIO);
    assert_int_equal(scratch_count(scratch_folder), before);
    assert_int_equal(pg_file_begin(&writer, scratch_path("target")), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "is a folder, and only a regular file is written over"));
    assert_int_equal(scratch_count(scratch_folder), before);
    /* the temporary name may not be somebody's link */
    char link[600];
    snprintf(link, sizeof link, "%s.tmp.%ld", scratch_path("victim"), (long)getpid());
    scratch_write("precious", "precious", 8);
    assert_int_equal(symlink(scratch_path("precious"), link), 0);
    assert_int_equal(pg_file_write(scratch_path("victim"), "x", 1), PG_EIO);
    assert_int_equal(pg_file_size(scratch_path("precious")), 8);
}

static void made_folders_are_taken_back(void **state)
{
    (void)state;
    char *made = NULL;
    assert_int_equal(mkdir(scratch_path("stays"), 0700), 0);
    int before = scratch_count(scratch_folder);
    assert_int_equal(pg_folders_begin(scratch_path("stays/a/b/"), &made), PG_OK);
    assert_string_equal(made, scratch_path("stays/a"));
    assert_int_equal(scratch_count(scratch_folder), before + 2);
    pg_folders_end(scratch_path("stays/a/b/"), made, false);
    assert_int_equal(scratch_count(scratch_folder), before);
    assert_int_equal(pg_folders_begin(scratch_path("stays/a/b"), &made), PG_OK);
    scratch_write("stays/a/mine", "x", 1);
    pg_folders_end(scratch_path("stays/a/b"), made, false); /* b goes, what somebody uses stays */
    assert_int_equal(scratch_count(scratch_folder), before + 2);
    assert_int_equal(pg_folders_begin(scratch_path("stays"), &made), PG_OK);
    assert_null(made);
    pg_folders_end(scratch_path("stays"), made, false);
    assert_int_equal(scratch_count(scratch_folder), before + 2);
    assert_int_equal(pg_folders_begin(scratch_path("stays/a/mine/c"), &made), PG_EIO);
    assert_int_equal(pg_folders_begin(scratch_path("x/y"), &made), PG_OK);
    pg_folders_end(scratch_path("x/y"), made, true);
    assert_int_equal(scratch_count(scratch_folder), before + 4);
}

/* What a killed writer left goes with the next write; a living writer is left alone, and so are other files. */
static void leftovers_of_the_dead_are_swept(void **state)
{
    (void)state;
    static const char *const others[] = {"page.tmp.", "page.tmp.1x", "page.tmp", "page2.tmp.1", "mypage.tmp.1"};
    char *data = NULL;
    size_t size = 0;
    int ready[2], go[2], status = 0, before;
    char byte = 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        scratch_write(others[i], "mine", 4);
    assert_int_equal(pipe(ready) | pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        pg_file_writer writer;
        close(go[1]); /* the test's end of it is the only one */
        bool good = pg_file_begin(&writer, scratch_path("page")) == PG_OK && fputs("hers", writer.stream) >= 0;
        good = write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1 && good;
        _exit(good && pg_file_commit(&writer) == PG_OK ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    before = scratch_count(scratch_folder);
    assert_int_equal(pg_file_write(scratch_path("page"), "ours", 4), PG_OK);
    assert_int_equal(scratch_count(scratch_folder), before + 1);
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(pg_file_read(scratch_path("page"), 10, &data, &size), PG_OK);
    assert_string_equal(data, "hers");
    free(data);
    before = scratch_count(scratch_folder);
    child = fork();
    if (child == 0) {
        pg_file_writer writer;
        bool good = pg_file_begin(&writer, scratch_path("page")) == PG_OK && write(ready[1], &byte, 1) == 1;
        close(go[1]);
        _exit(good && read(go[0], &byte, 1) == 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(scratch_count(scratch_folder), before + 1);
    assert_int_equal(pg_file_write(scratch_path("page"), "ours", 4), PG_OK);
    assert_int_equal(scratch_count(scratch_folder), before);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    pg_file_writer writer;
    assert_int_equal(pg_file_begin(&writer, scratch_path("full")), PG_OK);
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        skip();
    FILE *own = writer.stream;
    writer.stream = full;
    fputs("x", full);
    assert_int_equal(pg_file_commit(&writer), PG_EIO);
    fclose(own);
    assert_int_equal(pg_file_size(scratch_path("full")), -1);
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(pg_make_folders(scratch_path("x/y/z")), PG_OK);
    assert_int_equal(stat(scratch_path("x/y/z"), &status), 0);
    assert_int_equal(pg_make_folders(scratch_path("x/y/z/")), PG_OK);
    scratch_write("x/file", "", 0);
    assert_int_equal(pg_make_folders(scratch_path("x/file/under")), PG_EIO);
    assert_non_null(strstr(pg_error_message(), "x/file"));
}

static void folders_are_checked_before_work(void **state)
{
    (void)state;
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    assert_int_equal(pg_folder_check(scratch_path("new/below")), PG_OK);
    assert_int_equal(pg_folder_check("new"), PG_OK);
    assert_int_equal(access(scratch_path("new"), F_OK), -1);
    scratch_write("plain", "", 0);
    assert_int_equal(pg_folder_check(scratch_path("plain")), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "is a file"));
    assert_int_equal(pg_folder_check(scratch_path("plain/below")), PG_EINPUT);
    assert_int_equal(pg_folder_check(long_name), PG_EINPUT);
}

static void a_new_file_replaces_none(void **state)
{
    (void)state;
    pg_file_writer writer;
    char *data = NULL;
    size_t size = 0;
    scratch_write("kept", "old", 3);
    assert_int_equal(pg_file_begin(&writer, scratch_path("kept")), PG_OK);
    fputs("new", writer.stream);
    assert_int_equal(pg_file_commit_new(&writer), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "exists"));
    assert_int_equal(pg_file_read(scratch_path("kept"), 9, &data, &size), PG_OK);
    assert_string_equal(data, "old");
    free(data);
    int entries = scratch_count(scratch_folder);
    assert_int_equal(pg_file_begin(&writer, scratch_path("fresh")), PG_OK);
    fputs("new", writer.stream);
    assert_int_equal(pg_file_commit_new(&writer), PG_OK);
    assert_int_equal(pg_file_size(scratch_path("fresh")), 3);
    assert_int_equal(scratch_count(scratch_folder), entries + 1); /* and nothing else is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),          cmocka_unit_test(refuses_what_is_too_large_or_no_file),
        cmocka_unit_test(a_file_that_shrinks_is_an_error), cmocka_unit_test(a_file_appears_at_commit_or_not_at_all),
        cmocka_unit_test(a_new_file_replaces_none),        cmocka_unit_test(failed_writes_leave_nothing),
        cmocka_unit_test(made_folders_are_taken_back),     cmocka_unit_test(leftovers_of_the_dead_are_swept),
        cmocka_unit_test(a_full_disk_is_an_error),         cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(folders_are_checked_before_work),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
