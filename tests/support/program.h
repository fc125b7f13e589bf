/* For tests: run the program itself ($PATCHGAUGE, default build/patchgauge) with a database in the scratch folder. */
#ifndef PG_TESTS_PROGRAM_H
#define PG_TESTS_PROGRAM_H

#include "harness/base/safetensors.h"
#include "models/network.h"
#include "tests/support/scratch.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

/* A weights file for 32 px; `note` changes its content. It describes, but does not open: a value is not finite. */
static inline void write_weights_for(int n_classes, const char *of, const char *option, const char *name, const char *note,
                                     const char *locality)
{
    static const char *const keys[] = {"format",  "model", "model_version", "options",
                                       "classes", "input", "command",       "locality"};
    static float values[1 << 16];
    pg_st_tensor tensors[128];
    pg_parameters parameters;
    pg_geometry geometry;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const pg_model *model = pg_model_find(of);
    char version[16], options[64], number[16];
    snprintf(number, sizeof number, "%d", n_classes);
    snprintf(options, sizeof options, "%s;", option);
    snprintf(version, sizeof version, "%d", model->module.version);
    const char *texts[] = {"patchgauge.weights", of, version, options, number, "32x32", note, locality};
    if (pg_module_configure(&model->module, "model", &option, 1, config) != PG_OK ||
        pg_model_trace(model, config, 32, 32, n_classes, &parameters, &geometry) != PG_OK || parameters.n > 128)
        abort();
    values[0] = NAN;
    for (size_t i = 0; i < parameters.n; i++) {
        const pg_parameter *p = &parameters.items[i];
        tensors[i] = (pg_st_tensor){
            .name = p->name, .dtype = PG_ST_F32, .rank = p->rank, .data = values, .size = 4 * (size_t)pg_parameter_elements(p)};
        memcpy(tensors[i].shape, p->shape, sizeof p->shape);
    }
    if (pg_st_write(scratch_path(name), tensors, parameters.n, keys, texts, locality ? 8 : 7) != PG_OK)
        abort();
    pg_parameters_release(&parameters, NULL);
}
/* For ten classes, and of these a narrow resnet18. */
static inline void write_weights_of(const char *of, const char *option, const char *name, const char *note,
                                    const char *locality)
{
    write_weights_for(10, of, option, name, note, locality);
}
static inline void write_weights_as(const char *name, const char *note, const char *locality)
{
    write_weights_of("resnet18", "width=4", name, note, locality);
}
static inline void write_weights(const char *name, const char *note) { write_weights_as(name, note, NULL); }

static char program_output[1 << 20]; /* both streams of the last program_run */

static inline const char *program_path(void)
{
    const char *path = getenv("PATCHGAUGE");
    return path && *path ? path : "build/patchgauge";
}

/* Runs a command of the shell; its exit code. */
static inline int program_shell(const char *line)
{
    FILE *pipe = popen(line, "r");
    if (!pipe)
        abort();
    size_t size = fread(program_output, 1, sizeof program_output - 1, pipe);
    program_output[size] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs `PROGRAM --db SCRATCH/DB ARGUMENTS` through the shell, without --db where `db` is NULL; its exit code. */
static inline int program_run(const char *db, const char *format, ...)
{
    char arguments[2048], line[4096], store[600] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    if (db)
        snprintf(store, sizeof store, "--db '%s/%s'", scratch_folder, db);
    snprintf(line, sizeof line, "exec 2>&1; exec %s %s %s", program_path(), store, arguments);
    return program_shell(line);
}

/* The same, with a SIGINT as soon as the program catches it and `busy`, a condition of the shell on the process $p, holds as
 * well. */
static inline int program_interrupt(const char *db, const char *busy, const char *format, ...)
{
    char arguments[2048], line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    snprintf(line, sizeof line,
             "exec 2>&1; %s --db '%s/%s' %s & p=$!\n"
             "until { grep -q '^patchgauge' /proc/$p/comm && grep -q '^SigCgt:.*[2367abef]$' /proc/$p/status && %s; } ||\n"
             "    grep -q '^State:.*Z' /proc/$p/status; do\n" /* before it is the program, the shell catches what is sent */
             "    sleep 0.02\n"
             "done\n"
             "kill -INT $p; wait $p",
             program_path(), scratch_folder, db, arguments, busy);
    return program_shell(line);
}

/* Starts `PROGRAM --db SCRATCH/DB run MATRIX -j JOBS --quiet` in a process group of its own, with what is said put away; its
 * process id. */
static inline pid_t program_start_jobs(const char *db, const char *matrix, int jobs)
{
    char path[600], count[16];
    snprintf(path, sizeof path, "%s/%s", scratch_folder, db);
    snprintf(count, sizeof count, "%d", jobs);
    pid_t child = fork();
    if (child != 0)
        return child;
    setpgid(0, 0);
    if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
        execl(program_path(), program_path(), "--db", path, "run", matrix, "--task-images", "8", "--quiet", "-j", count,
              (char *)NULL);
    _exit(127);
}
static inline pid_t program_start(const char *db, const char *matrix) { return program_start_jobs(db, matrix, 1); }

static inline int program_wait(pid_t child)
{
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        abort();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
