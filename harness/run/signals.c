/* Asking a run to stop. The flag is the one thing a signal handler may touch. See run.h. */
#include "harness/run/run.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool stopping; /* lock-free, so a handler may set them */
static atomic_int ends;      /* SIGINT and SIGTERM so far */

static void on_signal(int number)
{
    if (number != SIGUSR1 && atomic_fetch_add(&ends, 1) > 0)
        _exit(pg_error_exit_code(PG_EINTERRUPTED)); /* what was committed is kept, as after a crash */
    atomic_store(&stopping, true);
}

void pg_signals_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

bool pg_signals_stopping(void) { return atomic_load(&stopping); }

int pg_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}
