/* Asking a run to stop, and what a crash leaves behind: all that signal handlers touch. See signals.h. */
#include "harness/base/signals.h"

#include "harness/base/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_bool own_flag;                       /* lock-free, so a handler may set it */
static atomic_bool *volatile stopping = &own_flag; /* moved once, before workers are started */
static bool shared;                                /* it was: for processes that this one forks, or that forked it */
static atomic_int ends;                            /* SIGINT and SIGTERM so far */
static atomic_bool asked;                          /* by a signal */
static const char *volatile answer;                /* to the first one; NULL: somebody else answers */
static atomic_bool *caught;      /* whether the child that this process waits for heeds the flag; NULL: there is none */
static atomic_bool *heeds;       /* of this process, as such a child */
static atomic_llong *crash_note; /* of a worker: where a handler writes the task that the crashing thread had */
static _Thread_local volatile int64_t in_hand; /* task, 0: none */

static void on_signal(int number)
{
    if (caught && !atomic_load(caught)) { /* what it would do without us */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    if (number != SIGUSR1 && atomic_fetch_add(&ends, 1) > 0)
        _exit(pg_error_exit_code(PG_EINTERRUPTED)); /* workers die with it; what was committed is kept, as after a crash */
    if (!atomic_exchange(&asked, true) && answer)
        (void)!write(STDERR_FILENO, answer, strlen(answer));
    atomic_store(stopping, true);
}

static void on_crash(int number)
{
    if (in_hand)
        atomic_store(crash_note, in_hand);
    raise(number); /* the default action is back: once more, and for good */
}

/* exit() by a thread that has a task in hand: the rest of the process is not waited for. */
static void on_exit_of_task(int status, void *unused PG_UNUSED)
{
    if (!in_hand)
        return;
    atomic_store(crash_note, in_hand);
    _exit(status);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static const int asking[] = {SIGINT, SIGTERM, SIGUSR1};

void pg_signals_block(bool block)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        sigaddset(&set, asking[i]);
    sigprocmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

void pg_signals_catch(void)
{
    if (heeds) {
        atomic_store(heeds, true);
        return;
    }
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        handle(asking[i], on_signal, SA_RESTART);
}

void pg_signals_watch(atomic_bool *flag, atomic_bool *catches)
{
    struct sigaction there;
    bool catching = heeds ? atomic_load(heeds) : sigaction(SIGINT, NULL, &there) == 0 && there.sa_handler == on_signal;
    pg_signals_share(flag);
    if (heeds || catching) { /* who forked this one listens, or this one does already */
        atomic_store(catches, catching);
        return;
    }
    caught = catches;
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        handle(asking[i], on_signal, SA_RESTART);
}

void pg_signals_share(atomic_bool *flag)
{
    if (shared)
        return;
    shared = true;
    stopping = flag;
    if (atomic_load(&own_flag))
        atomic_store(flag, true);
}

void pg_signals_leave(atomic_llong *crashed)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        handle(asking[i], SIG_IGN, 0);
    pg_signals_block(false); /* as they were around the fork */
    if (caught)
        heeds = caught;
    caught = NULL;
    crash_note = crashed;
    on_exit(on_exit_of_task, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        struct sigaction there;
        if (sigaction(crashes[i], NULL, &there) == 0 && there.sa_handler == SIG_DFL) /* a sanitizer's own stays */
            handle(crashes[i], on_crash, (int)SA_RESETHAND);
    }
}

void pg_signals_hold(int64_t task) { in_hand = task; }

void pg_signals_answer(void)
{
    if (!pg_log_is_quiet())
        answer = "\nstopping after the images in hand; a second Ctrl-C stops at once\n";
}

bool pg_signals_asked(void) { return atomic_load(&asked); }
void pg_signals_stop(void) { atomic_store(stopping, true); }
bool pg_signals_stopping(void) { return atomic_load(stopping); }
