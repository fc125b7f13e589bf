/* Work in a process of its own, because code that is not this program's runs in it: a plug-in that ends the process, however it
 * does, ends nothing else, and is told.
 *
 * Whoever has such work forks before any thread is started. The child dies with its parent. Signals that ask to stop go to the
 * parent (signals.h); the child sees the flag, and leaves the default action to its parent until it calls pg_signals_catch. */
#ifndef PG_BASE_PROCESS_H
#define PG_BASE_PROCESS_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { PG_REASON_MAX = 128 + PG_LIMIT_NOTE_MAX };

/* Calls `work` in a child and waits for it. PG_OK, or the code and message of `work`; where the process ended before `work`
 * returned, *died is true and the message says what was in hand and how it ended ("NOTE: its process died of SIGSEGV
 * (Segmentation fault)"): PG_EINPUT. PG_EIO, PG_ENOMEM: there is no child. */
int pg_process_run(int (*work)(void *context), void *context, bool *died) PG_MUST_USE;

/* In the child: what is in hand, for the message. Lost where there is no parent to read it. */
void pg_process_note(const char *format, ...) PG_PRINTF(1, 2);

/* How a process ended, by its wait status: "died of SIGSEGV (Segmentation fault)", "ended with exit code 0 before its time". */
void pg_process_describe(int status, char out[PG_REASON_MAX]);

/* *new* memory of this size, zeroes, that children share; it stays until the program ends. NULL with PG_ENOMEM's message. */
void *pg_process_memory(size_t size);

/* In a child: dies with `parent`, false where that is dead already. */
bool pg_process_follow(int parent);

/* In a thread that runs such code, around it: a thread that ends instead of returning (pthread_exit) crashes its process. */
void pg_process_thread_lost(void *unused);

#endif
