/* Asking a run to stop. The flag is the one thing a signal handler may touch. See run.h. */
#include "harness/run/run.h"

#include <sched.h>
#include <signal.h>

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
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

bool pg_signals_stopping(void) { return stopping != 0; }

int pg_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}
