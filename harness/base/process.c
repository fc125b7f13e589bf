#include "harness/base/process.h"

#include "harness/base/log.h"
#include "harness/base/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child leaves to its parent. */
typedef struct legacy {
    _Alignas(max_align_t) atomic_bool stopping; /* asked to stop; */
    atomic_bool catches;                        /* and the child heeds that */
    atomic_bool bar_open;
    atomic_bool ended; /* `work` returned, with this code and message */
    atomic_llong thread;
    int code;
    char message[PG_MESSAGE_MAX], note[PG_MESSAGE_MAX];
} legacy;

static legacy *mine; /* of this process as a child; NULL: it is none */

void pg_process_note(const char *format, ...)
{
    if (!mine)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(mine->note, sizeof mine->note, format, arguments);
    va_end(arguments);
}

/* A library that gets no memory may crash rather than say so. */
void pg_process_describe(int status, char out[PG_REASON_MAX])
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const char *name = number ? sigabbrev_np(number) : NULL;
    char limit[PG_LIMIT_NOTE_MAX] = "";
    if (number == SIGSEGV || number == SIGBUS || number == SIGABRT)
        pg_limit_note(limit);
    if (name)
        snprintf(out, PG_REASON_MAX, "died of SIG%s (%s)%s", name, sigdescr_np(number), limit);
    else if (number)
        snprintf(out, PG_REASON_MAX, "died of signal %d", number);
    else
        snprintf(out, PG_REASON_MAX, "ended with exit code %d before its time", WEXITSTATUS(status));
}

void *pg_process_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED)
        return memory;
    pg_fail(PG_ENOMEM, "out of memory for %zu bytes that processes share", size);
    return NULL;
}

bool pg_process_follow(int parent) { return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent; }

void pg_process_thread_lost(void *unused PG_UNUSED) { abort(); }

static void work_in_child(legacy *left, int (*work)(void *context), void *context)
{
    mine = left;
    pg_signals_leave(&left->thread);
    int code = work(context);
    snprintf(left->message, sizeof left->message, "%s", pg_error_message());
    left->code = code;
    atomic_store(&left->ended, true);
}

int pg_process_run(int (*work)(void *context), void *context, bool *died)
{
    int status = 0;
    char reason[PG_REASON_MAX];
    pid_t parent = getpid();
    legacy *left = pg_process_memory(sizeof *left);
    *died = false;
    if (!left)
        return PG_ENOMEM;
    signal(SIGCHLD, SIG_DFL); /* a parent may have left it ignored, and then there is nothing to wait for */
    pg_log_share(&left->bar_open);
    pg_signals_block(true);
    pg_signals_watch(&left->stopping, &left->catches);
    fflush(NULL); /* or the child writes it again */
    pid_t child = fork();
    if (child == 0) {
        if (!pg_process_follow(parent))
            _exit(1);
        work_in_child(left, work, context);
        exit(0);
    }
    pg_signals_block(false);
    if (child < 0)
        return pg_fail(PG_EIO, "a process cannot be started: %s", strerror(errno));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (atomic_load(&left->ended) && status == 0)
        return left->code == PG_OK ? PG_OK : pg_fail(left->code, "%s", left->message);
    *died = true;
    pg_process_describe(status, reason);
    return pg_fail(PG_EINPUT, "%s%sits process %s", left->note, *left->note ? ": " : "", reason);
}
