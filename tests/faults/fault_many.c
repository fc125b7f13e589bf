/* A hundred thousand cells on the null model: memory and open files stay what they are from the middle of the tasks on. */
#include "tests/faults/faults.h"

#include <dirent.h>

enum { SEEDS = 200, PATCHES = 10, THRESHOLDS = 50, CELLS = SEEDS * PATCHES * THRESHOLDS };
static const int64_t growth_max = (int64_t)2 << 20; /* 40 bytes a cell of the second half; the outcomes of a task are more */

typedef struct use {
    int64_t bytes; /* resident, of all processes of the run */
    int files, processes;
} use;

static int64_t resident(pid_t pid)
{
    char path[64];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *stream = fopen(path, "r");
    if (stream && fscanf(stream, "%*d %ld", &pages) != 1)
        pages = 0;
    if (stream)
        fclose(stream);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Files that stay open: the journal comes and goes with each transaction. */
static int open_files(pid_t pid)
{
    char path[64], name[4096];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    for (struct dirent *d; folder && (d = readdir(folder));) {
        ssize_t length = readlinkat(dirfd(folder), d->d_name, name, sizeof name - 1);
        name[length > 0 ? length : 0] = 0;
        n += length > 0 && !strstr(name, "-journal") && strcmp(name, scratch_folder) != 0;
    }
    if (folder)
        closedir(folder);
    return n;
}

/* A run and its workers. */
static use look(pid_t run)
{
    char path[64];
    int child = 0;
    use all = {resident(run), open_files(run), 1};
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)run, (int)run);
    FILE *stream = fopen(path, "r");
    for (; stream && fscanf(stream, "%d", &child) == 1; all.processes++) {
        all.bytes += resident(child);
        all.files += open_files(child);
    }
    if (stream)
        fclose(stream);
    return all;
}

static void write_matrix(void)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_buf_puts(&text,
                "name = \"many\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:1\"\nbatch = 1\n"
                "null.height = 4\nnull.width = 4\nnull.sleep_us = 20000\ndefense = \"robust-masking\"\n[axes]\n"
                "patch = [2, 3, 4, 5, 6, \"2x3\", \"3x4\", \"4x5\", \"5x6\", \"6x7\"]\n\"null.seed\" = [");
    for (int i = 0; i < SEEDS; i++)
        pg_buf_printf(&text, "%s%d", i ? ", " : "", i);
    pg_buf_puts(&text, "]\n\"robust-masking.threshold\" = [");
    for (int i = 0; i < THRESHOLDS; i++)
        pg_buf_printf(&text, "%s%d.%02d", i ? ", " : "", i / 50, i * 2 % 100);
    pg_buf_puts(&text, "]\n");
    scratch_write("many.toml", text.data, text.size);
    pg_buf_release(&text);
}

static void test_many_cells(void **state)
{
    (void)state;
    write_matrix();
    pid_t run = fault_start(
        "said", (const char *const[]){"--db", scratch_path("many.db"), "run", scratch_path("many.toml"), "--quiet", NULL});
    use first = {0}, last = {0}, now;
    int64_t most = 0, done = 0;
    int looks = 0, files = 0;
    for (int status = 0; waitpid(run, &status, WNOHANG) == 0; fault_sleep(0.02)) {
        now = look(run);
        int64_t before = access(scratch_path("many.db"), F_OK) == 0
                             ? fault_number("many.db", "SELECT count(*) FROM task WHERE state = 'done'")
                             : 0;
        if (before < SEEDS / 2 || before == SEEDS || now.processes < 2)
            continue;
        done = before;
        first = first.bytes ? first : now;
        last = now;
        most = now.bytes > most ? now.bytes : most;
        files = now.files > files ? now.files : files;
        looks++;
    }
    int64_t cells = fault_number("many.db", "SELECT count(*) FROM cell"),
            outcomes = fault_number("many.db", "SELECT count(*) FROM outcome");
    fault_count(
        "%lld cells, %lld outcomes: from task %d to task %lld of %d, memory %lld to %lld KiB (at most %lld), open files %d to "
        "%d at most, %d looks",
        (long long)cells, (long long)outcomes, SEEDS / 2, (long long)done, SEEDS, (long long)first.bytes >> 10,
        (long long)last.bytes >> 10, (long long)most >> 10, first.files, files, looks);
    assert_int_equal(cells, CELLS);
    assert_int_equal(outcomes, CELLS);
    assert_true(looks > 10 && done > SEEDS * 3 / 4);
    assert_true(files <= first.files + 1); /* one that is open for a moment */
    assert_true(most - first.bytes < growth_max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_cells)};
    return cmocka_run_group_tests_name("many", tests, fault_make, scratch_remove);
}
