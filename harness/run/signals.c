/* Asking a run to stop, and what a crash leaves behind: all that signal handlers touch. See run.h. */
#include "harness/run/run.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

static atomic_bool own_flag;                       /* lock-free, so a handler may set it */
static atomic_bool *volatile stopping = &own_flag; /* moved once, before workers are started */
static atomic_int ends;                            /* SIGINT and SIGTERM so far */
static atomic_llong *crash_note;               /* of a worker: where a handler writes the task that the crashing thread had */
static _Thread_local volatile int64_t in_hand; /* task, 0: none */

static void on_signal(int number)
{
    if (number != SIGUSR1 && atomic_fetch_add(&ends, 1) > 0)
        _exit(pg_error_exit_code(PG_EINTERRUPTED)); /* workers die with it; what was committed is kept, as after a crash */
    atomic_store(stopping, true);
}

static void on_crash(int number)
{
    if (in_hand)
        atomic_store(crash_note, in_hand);
    raise(number); /* the default action is back: once more, and for good */
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static const int asking[] = {SIGINT, SIGTERM, SIGUSR1};

void pg_signals_catch(void)
{
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        handle(asking[i], on_signal, SA_RESTART);
}

void pg_signals_share(atomic_bool *flag)
{
    stopping = flag;
    if (atomic_load(&own_flag))
        atomic_store(flag, true);
}

void pg_signals_leave(atomic_llong *crashed)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        handle(asking[i], SIG_IGN, 0);
    crash_note = crashed;
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        struct sigaction there;
        if (sigaction(crashes[i], NULL, &there) == 0 && there.sa_handler == SIG_DFL) /* a sanitizer's own stays */
            handle(crashes[i], on_crash, (int)SA_RESETHAND);
    }
}

void pg_signals_hold(int64_t task) { in_hand = task; }

void pg_signals_stop(void) { atomic_store(stopping, true); }
bool pg_signals_stopping(void) { return atomic_load(stopping); }

int pg_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}
