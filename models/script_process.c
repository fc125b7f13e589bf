/* The process in which a TorchScript module is tried. See script_trial.h. */
#include "models/script_trial.h"

#include "harness/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* One message of the process: how far it is, or its end. */
typedef struct note {
    int64_t done, total;
    int ended, code;
    pg_script_findings findings;
    char message[PG_MESSAGE_MAX];
} note;
_Static_assert(sizeof(note) <= PIPE_BUF, "a note is written whole");

static volatile sig_atomic_t stop_asked;
static void on_signal(int signal_number PG_UNUSED) { stop_asked = 1; }

/* ---- In the process ---- */

static void send(int file, const note *n)
{
    while (write(file, n, sizeof *n) < 0 && errno == EINTR)
        ;
}

static void tell(void *context, int64_t done, int64_t total)
{
    send(*(const int *)context, &(note){.done = done, .total = total});
}

/* Bytes of memory that the process has (its data, as the limit counts it) and can have without pushing others
 * out; 0: unknown. */
static rlim_t most_memory(void)
{
    char line[128];
    unsigned long long kib = 0, pages = 0;
    FILE *own = fopen("/proc/self/statm", "re");
    bool known = own && fscanf(own, "%*s %*s %*s %*s %*s %llu", &pages) == 1;
    if (own)
        fclose(own);
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu kB", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return known && kib ? ((rlim_t)kib << 10) + (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) : 0;
}

static void limit(int what, rlim_t to)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) == 0 && to < now.rlim_max)
        setrlimit((__rlimit_resource_t)what, &(struct rlimit){to, to});
}

static _Noreturn void work(const pg_import_job *job, const char *bytes, size_t size, int file, pid_t parent)
{
    note end = {.ended = 1};
    rlim_t memory = most_memory();
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    if (null >= 0)
        dup2(null, STDOUT_FILENO);
    limit(RLIMIT_CORE, 0);
    if (memory)
        limit(RLIMIT_DATA, memory);
    end.code = pg_script_try(job, bytes, size, tell, &file, &end.findings);
    snprintf(end.message, sizeof end.message, "%s", end.code ? pg_error_message() : "");
    send(file, &end);
    _exit(0);
}

/* ---- Outside ---- */

static int gone(const pg_import_job *job, pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return pg_fail(PG_EINPUT, "%s: the module's process was killed, as a system does that runs out of memory", job->from);
    if (WIFSIGNALED(status))
        return pg_fail(PG_EINPUT, "%s: the module crashed its process: %s", job->from, strsignal(WTERMSIG(status)));
    return pg_fail(PG_EINPUT, "%s: the module ended its process with exit code %d", job->from, WEXITSTATUS(status));
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int read_note(int file, note *out)
{
    size_t have = 0;
    while (have < sizeof *out) {
        ssize_t n = read(file, (char *)out + have, sizeof *out - have);
        if (n == 0 || (n < 0 && errno != EINTR))
            return PG_EIO;
        have += n > 0 ? (size_t)n : 0;
    }
    return PG_OK;
}

/* Follows the process to its end, which is the result; `before`: the signals that were blocked. */
static int follow(const pg_import_job *job, pid_t child, int file, const sigset_t *before, pg_script_findings *out)
{
    pg_progress bar;
    note n = {0};
    pg_progress_start(&bar, "images tried", 0, 1);
    for (;;) {
        struct timespec limit = {.tv_sec = job->time_limit_s};
        int ready = ppoll(&(struct pollfd){.fd = file, .events = POLLIN}, 1, &limit, before);
        const char *at = n.total ? "while it answered" : "while it was loaded";
        if (stop_asked) {
            end(child);
            return pg_fail(PG_EINTERRUPTED, "%s: interrupted %s; nothing was written", job->from, at);
        }
        if (ready == 0) {
            end(child);
            return pg_fail(PG_EINPUT, "%s: the module was stopped: %s it took more than %d s; --time-limit allows more",
                           job->from, at, job->time_limit_s);
        }
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0 || read_note(file, &n))
            return gone(job, child);
        if (n.ended)
            break;
        bar.total = n.total;
        pg_progress_update(&bar, n.done, NULL);
    }
    end(child);
    *out = n.findings;
    if (n.code)
        return pg_fail(n.code, "%s", n.message);
    pg_progress_finish(&bar);
    return PG_OK;
}

int pg_script_try_in_child(const pg_import_job *job, const char *bytes, size_t size, pg_script_findings *out)
{
    int ends[2];
    struct sigaction action = {.sa_handler = on_signal}, before_int, before_term;
    sigset_t asked, before;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return pg_fail(PG_EIO, "no pipe: %s", strerror(errno));
    stop_asked = 0;
    sigemptyset(&asked);
    sigaddset(&asked, SIGINT);
    sigaddset(&asked, SIGTERM);
    sigprocmask(SIG_BLOCK, &asked, &before);
    sigaction(SIGINT, &action, &before_int);
    sigaction(SIGTERM, &action, &before_term);
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        work(job, bytes, size, ends[1], parent);
    }
    close(ends[1]);
    int code = child < 0 ? pg_fail(PG_EIO, "no process for the module: %s", strerror(errno))
                         : follow(job, child, ends[0], &before, out);
    close(ends[0]);
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}
