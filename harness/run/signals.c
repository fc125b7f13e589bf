/* Asking a run to stop. The flag is the one thing a signal handler may touch. See run.h. */
#include "harness/run/run.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

static atomic_bool stopping; /* lock-free, so a handler may set it */

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stopping, true);
}

void pg_signals_catch(void)
{
    struct sigaction first = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigemptyset(&first.sa_mask);
    sigaction(SIGINT, &first, NULL);
    sigaction(SIGTERM, &first, NULL);
    first.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &first, NULL);
}

bool pg_signals_stopping(void) { return atomic_load(&stopping); }

int pg_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}
