/* Asking a program to stop, and what a crash leaves behind. */
#ifndef PG_BASE_SIGNALS_H
#define PG_BASE_SIGNALS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* From here on the first SIGINT, SIGTERM or SIGUSR1 makes pg_signals_stopping true, a second SIGINT or SIGTERM ends the
 * program at once, with the exit code of an interruption. */
void pg_signals_catch(void);
bool pg_signals_stopping(void);
bool pg_signals_asked(void); /* a signal came */
/* The first signal is answered by a line that says what is waited for. For commands that stop between images. */
void pg_signals_answer(void);
void pg_signals_stop(void); /* makes pg_signals_stopping true, as a signal does */
/* Moves the flag into memory that is shared with workers, before they are forked. It moves once: where it was shared before, it
 * stays there. */
void pg_signals_share(atomic_bool *flag);
/* The same before one child is forked that does this process's work. Until it calls pg_signals_catch, which notes it in
 * *catches, a signal does to both what it does by default. */
void pg_signals_watch(atomic_bool *flag, atomic_bool *catches);
void pg_signals_block(bool block); /* of this thread, around a fork */
/* In a worker: leaves the signals above to its supervisor, and has a crash, or an exit() by a thread that has a task in hand,
 * note the task of its thread in *crashed. */
void pg_signals_leave(atomic_llong *crashed);
void pg_signals_hold(int64_t task); /* this thread works on the task; 0: on none */

#endif
