/* patchgauge doctor: what this machine has, and what to do about what it has not. */
#include "db/store.h"
#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/version.h"
#include "harness/cmd/command.h"
#include "harness/cmd/output.h"
#include "harness/cmd/print.h"
#include "harness/base/thread_pool.h"
#include "models/torch/torch.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

PG_COMMAND(doctor)

static const double gib = 1.0 / (1 << 30);

/* One finding: `advice` is empty where all is well. */
typedef struct report {
    int findings, problems;
    json_t *rows; /* NULL: for people */
    bool failed;  /* out of memory for rows */
} report;

static PG_PRINTF(4, 5) void say(report *r, const char *subject, const char *advice, const char *format, ...)
{
    char found[512];
    va_list args;
    va_start(args, format);
    vsnprintf(found, sizeof found, format, args);
    va_end(args);
    r->findings++;
    r->problems += *advice != 0;
    if (r->rows) {
        json_t *row = json_pack("{s:s, s:s, s:o, s:o}", "state", *advice ? "todo" : "ok", "subject", subject, "found",
                                pg_json_text(found), "advice", *advice ? pg_json_text(advice) : json_null());
        r->failed |= json_array_append_new(r->rows, row) != 0;
        return;
    }
    pg_print_hanging(18, "%-4s %-12s %s\n", *advice ? "todo" : "ok", subject, found);
    if (*advice)
        pg_print_hanging(21, "%-17s -> %s\n", "", advice);
}

/* First line that a command prints, from either stream; false where it cannot be run. The commands are fixed texts. */
static bool first_line(const char *command, char line[256])
{
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return false;
    line[0] = '\0';
    bool read = fgets(line, 256, pipe) != NULL;
    line[strcspn(line, "\n")] = '\0';
    while (fgetc(pipe) != EOF) {
    }
    return pclose(pipe) == 0 && read;
}

/* Whether a file that this process has mapped carries the name; its path in `path`. */
static bool is_mapped(const char *name, char path[512])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024];
    bool found = false;
    while (maps && !found && fgets(line, sizeof line, maps)) {
        const char *file = strchr(line, '/');
        found = file && strstr(file, name);
        if (found)
            snprintf(path, 512, "%.*s", (int)strcspn(file, "\n"), file);
    }
    if (maps)
        fclose(maps);
    return found;
}

static void look_at_blas(report *r)
{
    char path[512];
    const char *set = getenv("OPENBLAS_NUM_THREADS");
    if (is_mapped("openblas", path))
        say(r, "BLAS", "", "%s, %s thread%s of its own", path, set && *set ? set : "all",
            set && strcmp(set, "1") == 0 ? "" : "s");
    else if (is_mapped("mkl", path))
        say(r, "BLAS", "", "%s", path);
    else if (is_mapped("libblas", path))
        say(r, "BLAS", "apt-get install libopenblas0-pthread: the reference BLAS is many times slower", "%s", path);
    else
        say(r, "BLAS", "", "none beside libtorch's own");
}

static void look_at_gpu(report *r, const pg_torch *t)
{
    char line[256];
    int n = t->cuda_devices();
    bool driver = access("/dev/nvidiactl", F_OK) == 0;
    if (n > 0)
        say(r, "GPU", "", "%d, used by --device auto", n);
    else if (driver)
        say(r, "GPU", "build the shim against a libtorch with CUDA: make torch LIBTORCH=DIR",
            "%s, and this libtorch has no CUDA", first_line("nvidia-smi -L 2>/dev/null", line) ? line : "an NVIDIA driver");
    else
        say(r, "GPU", "", "none; everything runs on the CPU");
}

static void look_at_torch(report *r)
{
    const pg_torch *t = NULL;
    int cores = pg_cores(); /* before OpenMP pins this thread */
    if (pg_torch_load(0, &t) != PG_OK) {
        say(r, "libtorch", "needed for models, training and attacks; `make deps && make` installs and builds it", "%s",
            pg_error_message());
        return;
    }
    say(r, "libtorch", "", "%s, shim %.12s", t->library, pg_torch_hash());
    say(r, "cores", "", "%d of %ld, %d for an operation%s", cores, sysconf(_SC_NPROCESSORS_ONLN), t->threads(),
        pg_cpu_has_fast_bf16() ? "; fast bf16" : "; bf16 is not fast here");
    pg_kernels kernels;
    t->kernels("cpu", &kernels);
    say(r, "kernels", "", "%s", kernels.text);
    look_at_blas(r);
    look_at_gpu(r, t);
}

static void look_at_memory(report *r)
{
    double free_gib = (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) * gib;
    double all_gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) * gib;
    say(r, "memory", all_gib < 2 ? "less than 2 GiB: take a smaller --batch" : "", "%.1f GiB, %.1f of it unused", all_gib,
        free_gib);
}

static void look_at_gnuplot(report *r)
{
    char line[256];
    if (first_line("gnuplot --version 2>/dev/null", line))
        say(r, "gnuplot", "", "%s", line);
    else
        say(r, "gnuplot", "apt-get install gnuplot-nox: figures and contact sheets need it", "not found");
}

/* The folder that a file is in, or would be in. */
static void folder_of(const char *path, char folder[4096])
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, 4096, "%.*s", slash ? (int)(slash - path > 0 ? slash - path : 1) : 1, slash ? path : ".");
}

static double free_space(const char *folder)
{
    struct statvfs about;
    return statvfs(folder, &about) == 0 ? (double)about.f_bavail * (double)about.f_frsize * gib : -1;
}

static void look_at_database(report *r, const pg_context *context)
{
    char folder[4096];
    const char *kind = pg_store_network_kind(context->db_path);
    folder_of(context->db_path, folder);
    double room = free_space(folder);
    if (pg_folder_check(folder) != PG_OK)
        say(r, "database", "name one in a folder that can be written with --db", "%s", pg_error_message());
    else if (kind)
        say(r, "database",
            "keep it on a local disk (--db), and let machines of a cluster write their own: help submit, help merge",
            "%s lies on %s, where several processes cannot share it", context->db_path, kind);
    else
        say(r, "database", room < 1 ? "less than 1 GiB is free" : "", "%s%s, %.1f GiB free", context->db_path,
            access(context->db_path, F_OK) == 0 ? "" : " (made by the first run)", room);
}

static void look_at_cache(report *r, const pg_context *context)
{
    double wanted = (double)context->cache_bytes * gib;
    if (context->cache_bytes == 0) {
        say(r, "cache", "", "off");
        return;
    }
    if (pg_folder_check(context->cache_dir) != PG_OK) {
        say(r, "cache", "name another with --cache, or turn it off with --cache-size 0", "%s", pg_error_message());
        return;
    }
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", context->cache_dir);
    while (access(folder, F_OK) != 0 && strrchr(folder, '/') > folder)
        *strrchr(folder, '/') = '\0';
    double room = free_space(folder);
    say(r, "cache", room < wanted ? "a smaller --cache-size, or another --cache" : "", "%s, up to %.1f GiB, %.1f GiB free",
        context->cache_dir, wanted, room);
}

static void look_at_data(report *r, const pg_context *context)
{
    char path[4096 + 300];
    pg_buf found = PG_BUF_EMPTY;
    DIR *folder = opendir(context->data_dir);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(path, sizeof path, "%s/%s/manifest.json", context->data_dir, entry->d_name);
        if (entry->d_name[0] != '.' && pg_file_size(path) > 0)
            pg_buf_printf(&found, "%s%s", found.size ? ", " : "", entry->d_name);
    }
    if (folder)
        closedir(folder);
    say(r, "data",
        found.size ? "" : "`patchgauge data fetch cifar10` or `data import`; the built-in synthetic set needs neither",
        "%s: %s", context->data_dir, found.size ? found.data : "no imported data set");
    pg_buf_release(&found);
}

static void look_at_slurm(report *r)
{
    char line[256];
    say(r, "Slurm", "", "%s", first_line("sbatch --version 2>/dev/null", line) ? line : "none; `run` does without");
}

static const pg_cli_row options[] = {
    PG_OUTPUT_FORMAT_ROW(0, pg_row_formats),
    PG_OUTPUT_FILE_ROW(0),
    PG_OUTPUT_FORCE_ROW(0),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    pg_output *output = request;
    report r = {.rows = pg_format_is_rows((pg_table_format)output->format) ? json_array() : NULL};
    int code = pg_output_begin(output, (const char *const[]){context->db_path, NULL});
    if (code != PG_OK) {
        json_decref(r.rows);
        return code;
    }
    if (!r.rows)
        pg_print("patchgauge %s\n", PG_VERSION);
    look_at_torch(&r);
    look_at_memory(&r);
    look_at_gnuplot(&r);
    look_at_data(&r, context);
    look_at_database(&r, context);
    look_at_cache(&r, context);
    look_at_slurm(&r);
    if (r.failed)
        code = pg_fail(PG_ENOMEM, "out of memory for the findings");
    else if (r.rows)
        code = pg_output_json(output, "doctor", json_incref(r.rows));
    else
        pg_print(r.problems ? "%d of %d findings want something done\n" : "nothing to do\n", r.problems, r.findings);
    json_decref(r.rows);
    return pg_output_end(output, code);
}

const pg_command pg_command_doctor = {
    .name = "doctor",
    .synopsis = "doctor [options]",
    .summary = "what this machine has, and what to do about what it has not",
    .help =
        "Looks at libtorch, BLAS, cores, GPU, memory, gnuplot, data sets, the places of database and cache, and Slurm. A line "
        "that begins with todo is followed by what to do about it. Changes nothing; exit code 0 whatever it finds.\n",
    .rows = options,
    .request_size = sizeof(pg_output),
    .run = run,
};
