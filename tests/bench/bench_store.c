/* Speed of the commands that look at a large store: 100,000 cells with settings as long as those of attacked cells, 5,000
 * forward passes, 10,000 tasks, of which some are open, running and failed. Prints the median wall time of the program
 * ($PATCHGAUGE, else build/patchgauge) from its start to its end, with its output in a pipe that is read. */
#include "db/internal.h"
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FORWARDS = 5000,
    EACH = 20,
    CELLS = FORWARDS * EACH,
    IMAGES = 8,
    CHUNK = 4,
    TASKS = FORWARDS * IMAGES / CHUNK,
    ROUNDS = 9
};

static void must(int code, const char *what)
{
    if (code != PG_OK) {
        fprintf(stderr, "%s: %s\n", what, pg_error_message());
        exit(1);
    }
}

/* *new* text of about `size` bytes: the lines given, and options as attacks have them. */
static char *text_of(const char *lines, size_t size)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_buf_puts(&text, lines);
    for (int i = 0; text.size < size; i++)
        pg_buf_printf(&text, "lavan.option%02d=%d\n", i, i * 7); /* sorted, as all texts are */
    must(pg_buf_check(&text), "text");
    return pg_buf_take(&text);
}

static pg_store_cell_row make_cell(size_t i)
{
    char lines[512], *id = malloc(PG_HASH_HEX);
    snprintf(
        lines, sizeof lines,
        "attack=lavan\nattacker=input\nbatch=128\ncell=%zu\ndataset=synthetic:test\ndefense=%s\ndtype=fp32\n"
        "images=0:%d\npatch=%zu\nrobust-masking.clip=0:inf\nrobust-masking.feature=logits\nrobust-masking.threshold=0.%zu\n"
        "seed=%zu\nweights=models/zoo/synthetic-ds.safetensors\n",
        i, i % EACH == 19 ? "ds" : "robust-masking", IMAGES, i % 17 + 1, i % EACH, i / EACH);
    char *canonical = text_of(lines, 860);
    must(pg_hash_bytes(canonical, strlen(canonical), id), "id");
    return (pg_store_cell_row){.cell_id = id,
                               .canonical = canonical,
                               .settings = text_of(lines, 560),
                               .details = text_of("attack.through=defense\ncertificate=exact\nwindow=1x7\n", 510),
                               .count = IMAGES,
                               .has_delta = true,
                               .forward = i / EACH};
}

static void plan(pg_store *store)
{
    pg_store_forward_row *forwards = calloc(FORWARDS, sizeof *forwards);
    pg_store_cell_row *cells = calloc(CELLS, sizeof *cells);
    static const char hash[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (size_t i = 0; i < FORWARDS; i++) {
        char text[64], *key = malloc(PG_HASH_HEX);
        snprintf(text, sizeof text, "forward=%zu\n", i);
        must(pg_hash_bytes(text, strlen(text), key), "key");
        forwards[i] = (pg_store_forward_row){.forward_key = key,
                                             .canonical = strdup(text),
                                             .dataset_hash = hash,
                                             .dataset_split = "test",
                                             .dataset_name = "synthetic:test",
                                             .dataset_images = 1000,
                                             .dataset_classes = 10,
                                             .chunk = CHUNK};
    }
    for (size_t i = 0; i < CELLS; i++)
        cells[i] = make_cell(i);
    pg_store_plan_row row = {.name = "bench",
                             .matrix = "",
                             .overrides = "",
                             .forwards = forwards,
                             .n_forwards = FORWARDS,
                             .cells = cells,
                             .n_cells = CELLS};
    must(pg_store_plan(store, &row), "plan");
    for (size_t i = 0; i < FORWARDS; i++) {
        free((char *)forwards[i].forward_key);
        free((char *)forwards[i].canonical);
    }
    for (size_t i = 0; i < CELLS; i++) {
        free((char *)cells[i].cell_id);
        free((char *)cells[i].canonical);
        free((char *)cells[i].settings);
        free((char *)cells[i].details);
    }
    free(forwards);
    free(cells);
}

static void work(pg_store *store)
{
    static const pg_attempt attempt = {
        .device = "cpu", .library = "libtorch", .threads = 2, .batch = 128, .wall_s = 1, .forward_s = 1};
    static pg_outcome outcomes[EACH * CHUNK];
    bool got = true, flag;
    for (int n = 0; n < TASKS - TASKS / 10 && got; n++) {
        pg_task task;
        must(pg_store_claim(store, 0, &task, &got), "claim");
        for (int i = 0; got && i < EACH * CHUNK; i++)
            outcomes[i] = (pg_outcome){.image = task.first + i % CHUNK,
                                       .label = i % 10,
                                       .prediction = i % 10,
                                       .certified = i % 3 == 0,
                                       .has_margin = true,
                                       .margin = 1000 + i,
                                       .failure_case = -1};
        for (int i = 0; got && i < EACH * CHUNK; i++)
            outcomes[i].label = outcomes[i].prediction = (int)(outcomes[i].image % 10);
        if (got && n % 500 == 499)
            must(pg_store_fail(store, &task, &attempt, "no luck at all", false, &flag), "fail");
        else if (got && n % 500 != 250) /* those stay with this worker */
            must(pg_store_finish(store, &task, task.count, &attempt, outcomes, NULL, &flag), "finish");
        pg_task_release(&task);
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of the processor that this process has used. */
static double own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* One run of the program: wall and processor seconds, and the bytes that it printed. */
static bool run_once(const char *line, double *wall_s, double *cpu_s, size_t *bytes)
{
    static char buffer[1 << 16];
    int ends[2], status = -1;
    struct rusage usage;
    double start = pg_now_s();
    if (pipe(ends) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *bytes = 0;
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
        *bytes += (size_t)n;
    close(ends[0]);
    if (wait4(child, &status, 0, &usage) != child)
        return false;
    *wall_s = pg_now_s() - start;
    *cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
             1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return status == 0;
}

/* `shown`: what the line says it measures. */
static void measure(const char *path, const char *shown, const char *arguments)
{
    const char *program = getenv("PATCHGAUGE");
    char line[1024];
    double wall[ROUNDS], cpu[ROUNDS];
    size_t bytes = 0;
    bool good = true;
    snprintf(line, sizeof line, "exec %s --quiet --db '%s' %s", program && *program ? program : "build/patchgauge", path,
             arguments);
    for (int i = 0; i < ROUNDS; i++)
        good &= run_once(line, &wall[i], &cpu[i], &bytes);
    qsort(wall, ROUNDS, sizeof *wall, ascending);
    qsort(cpu, ROUNDS, sizeof *cpu, ascending);
    printf("  %-20s %8.1f ms, of the processor %8.1f ms (fastest %8.1f and %8.1f), %9zu bytes%s\n", shown,
           1e3 * wall[ROUNDS / 2], 1e3 * cpu[ROUNDS / 2], 1e3 * wall[0], 1e3 * cpu[0], bytes, good ? "" : ", and FAILED");
}

/* Tables of 2,400 cells of a matrix among the others, which are run first. */
static void measure_tables(const char *path, const char *folder)
{
    static const char text[] =
        "fixed = { dataset = \"synthetic:test\", weights = \"null\", images = \"0:8\", batch = 8, defense = \"robust-masking\" "
        "}\n"
        "[axes]\npatch = [1, 2, 3, 4, 5, 6]\n\"robust-masking.threshold\" = { range = [0, 0.49, 0.01] }\n"
        "\"null.seed\" = { range = [0, 7] }\n";
    const char *program = getenv("PATCHGAUGE");
    char matrix[700], line[1600];
    snprintf(matrix, sizeof matrix, "%s/table.toml", folder);
    must(pg_file_write(matrix, text, sizeof text - 1), "matrix");
    snprintf(line, sizeof line, "%s --quiet --db '%s' run '%s'", program && *program ? program : "build/patchgauge", path,
             matrix);
    if (system(line) != 0)
        must(pg_fail(PG_EINPUT, "its exit code is not 0"), line);
    for (int i = 0; i < 3; i++) {
        const char *format = (const char *const[]){"text", "csv", "json"}[i];
        char shown[64];
        snprintf(shown, sizeof shown, "table -f %s, of 2,400 cells", format);
        snprintf(line, sizeof line, "table '%s' -f %s", matrix, format);
        measure(path, shown, line);
    }
}

int main(void)
{
    static const pg_store_worker_row worker = {.revision = "bench", .versions = "", .device = "cpu", .threads = 2};
    pg_folder folder;
    char path[600];
    struct stat about;
    pg_store *store = NULL;
    must(pg_scratch_make("bench", &folder), "scratch");
    snprintf(path, sizeof path, "%s/bench.db", folder.path);
    must(pg_store_open(path, PG_STORE_WRITE, &store), "open");
    sqlite3_exec(store->db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY", NULL, NULL, NULL); /* to build it soon */
    double start = own_cpu_s();
    plan(store);
    double planned = own_cpu_s();
    must(pg_store_worker_start(store, &worker), "worker");
    work(store);
    double worked = own_cpu_s();
    stat(path, &about);
    printf("%d cells, %d tasks, %.0f MB: planned in %.1f s, outcomes stored in %.1f s of the processor (not synchronised)\n",
           (int)CELLS, (int)TASKS, (double)about.st_size / 1e6, planned - start, worked - planned);
    static const char *const commands[] = {
        "--version",
        "ls",
        "ls --state failed",
        "status",
        "status -f json",
        "ls --most 0",
        "ls --most 0 -f json",
        "ls --only patch=5 -f csv",
        "ls --only threshold=0.3 --only seed=7",
        "db sql \"SELECT * FROM result WHERE defense = 'ds'\" -f csv",
        "db sql \"SELECT patch, max(certified) FROM result WHERE defense = 'ds' GROUP BY patch\"",
        "db sql \"SELECT count(*) FROM result WHERE certified > 30\""};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        measure(path, commands[i], commands[i]);
    measure_tables(path, folder.path);
    pg_store_close(store);
    pg_folder_end(&folder);
    return 0;
}
