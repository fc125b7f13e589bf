/* A thousand tasks on the null model: resident memory and open files of a run are those after ten. */
#include "tests/faults/faults.h"

#include <dirent.h>

enum { IMAGES = 220, SEEDS = 5, TASKS = IMAGES * SEEDS, EARLY = 10, LATE = 1000 };

typedef struct use {
    int64_t bytes; /* resident, of all processes of the run */
    int files, processes;
} use;

static void add_process(pid_t pid, use *all)
{
    char path[64], name[4096];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *stream = fopen(path, "r");
    if (stream && fscanf(stream, "%*d %ld", &pages) == 1)
        all->bytes += (int64_t)pages * sysconf(_SC_PAGESIZE);
    if (stream)
        fclose(stream);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    for (struct dirent *d; folder && (d = readdir(folder));) { /* the journal comes and goes with each transaction */
        ssize_t length = readlinkat(dirfd(folder), d->d_name, name, sizeof name - 1);
        name[length > 0 ? length : 0] = 0;
        all->files += length > 0 && !strstr(name, "-journal") && strcmp(name, scratch_folder) != 0;
    }
    if (folder)
        closedir(folder);
    all->processes++;
}

/* A run and its workers. */
static use look(pid_t run)
{
    char path[64];
    int child = 0;
    use all = {0};
    add_process(run, &all);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)run, (int)run);
    FILE *stream = fopen(path, "r");
    while (stream && fscanf(stream, "%d", &child) == 1)
        add_process(child, &all);
    if (stream)
        fclose(stream);
    return all;
}

static int64_t done(void)
{
    return access(scratch_path("tasks.db"), F_OK) == 0
               ? fault_number("tasks.db", "SELECT count(*) FROM task WHERE state = 'done'")
               : 0;
}

static void test_a_thousand_tasks(void **state)
{
    (void)state;
    static const char matrix[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:220\"\nbatch = 1\npatch = 5\n"
        "null.sleep_us = 2000\n[axes]\ndefense = [\"mean\", \"robust-masking\"]\n\"null.seed\" = [0, 1, 2, 3, 4]\n";
    scratch_write("tasks.toml", matrix, sizeof matrix - 1);
    pid_t run = fault_start("said", (const char *const[]){"--db", scratch_path("tasks.db"), "run", scratch_path("tasks.toml"),
                                                          "--quiet", "--task-images", "1", NULL});
    use early = {0}, late = {0}, now;
    int64_t at = 0, until = 0;
    int status = 0, early_files = 0, late_files = 0;
    for (; waitpid(run, &status, WNOHANG) == 0; fault_sleep(0.02)) {
        int64_t n = done();
        now = look(run);
        if (now.processes < 2 || n < EARLY || n == TASKS)
            continue;
        if (!at || n < 5 * EARLY) { /* files that are open for a moment: the most of several looks */
            early = at ? early : now;
            at = at ? at : n;
            early_files = now.files > early_files ? now.files : early_files;
        }
        if (n >= LATE) {
            late = now;
            until = n;
            late_files = now.files > late_files ? now.files : late_files;
        }
    }
    fault_count("%d tasks: after %lld %lld KiB and %d files, after %lld %lld KiB and %d files", TASKS, (long long)at,
                (long long)early.bytes >> 10, early_files, (long long)until, (long long)late.bytes >> 10, late_files);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(done(), TASKS);
    assert_true(at >= EARLY && at < LATE / 10 && until >= LATE);
    assert_true(late_files <= early_files);
    assert_true(late.bytes <= early.bytes + early.bytes / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_thousand_tasks)};
    return cmocka_run_group_tests_name("tasks", tests, fault_make, scratch_remove);
}
