/* One worker: claims tasks of a plan, reads, forwards, certifies and commits them, all in overlap.
 *
 *   clerk thread: claims a task ------> reader thread: pixels, labels --+
 *        ^                                                             v
 *        +--- certify threads: verdicts <--- caller's thread: local logits, then the attack
 *
 * The clerk alone talks to the store, the caller's thread alone to libtorch. The other threads are started before the first
 * network is opened, since loading libtorch binds its thread and those started later to a core. */
#ifndef PG_RUN_RUN_H
#define PG_RUN_RUN_H

#include "harness/plan/plan.h"

typedef struct pg_run_request {
    const pg_plan *plan;
    const pg_forward *const *missing; /* forward passes with images to compute, n_missing of them; one of their networks has */
    size_t n_missing;                 /* to open before the store is asked for */
    /* Lends the store for the time of the call: open for writing, with the plan recorded and a worker started. Called once, by
     * the thread of pg_run. */
    int (*begin)(void *context, pg_store **store);
    void *context;
    const char *data_dir;
    const char *device;    /* "auto", "cpu", "cuda:N" */
    int threads;           /* of the forward pass; 0: all cores */
    int certify_threads;   /* 0: as many as cores */
    const char *cache_dir; /* folder of the feature cache, NULL for none */
    int64_t cache_bytes;   /* its size; 0: off */
} pg_run_request;

typedef struct pg_run_report {
    int64_t tasks, images; /* committed by this call; images forwarded */
    int64_t failed;        /* tasks given up by this call */
    int64_t retried;       /* attempts that failed and were followed by another */
    int64_t stale;         /* finished too late to count */
    int64_t broken;        /* certificates that an attack of this call broke */
    bool interrupted;
    double wall_s;
} pg_run_report;

/* Runs until no task of the plan is left, or a signal asked to stop (pg_signals_stopping). PG_OK also where tasks failed (see
 * the report) or it was interrupted; PG_EDB, PG_EIO, ... where the store failed: committed work is kept; the code of the
 * network where nothing at all could be run because no network opened: the store was not touched then. */
int pg_run(const pg_run_request *request, pg_run_report *report) PG_MUST_USE;

/* From here on the first SIGINT, SIGTERM or SIGUSR1 makes pg_signals_stopping true, a second SIGINT or SIGTERM ends the
 * program at once, with the exit code of an interruption. */
void pg_signals_catch(void);
bool pg_signals_stopping(void);

int pg_cores(void); /* this process may use, >= 1 */

#endif
