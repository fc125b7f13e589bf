/* Runs a plan with several workers, each a process of its own, so that a crash costs one attempt of one task.
 *
 *     supervisor: plans, records, forks, counts, reaps ---- socket ----> worker 0: pg_run
 *        no threads, no libtorch, no open store while it forks   \------> worker 1: pg_run ...
 *
 * A worker opens a network, says so, and waits for a word: the store is not touched before a first network opened. From then on
 * it talks to the store alone, by a connection and a lock file of its own; the supervisor sees from memory that is shared how
 * far it is. What ends a worker: nothing is pending, the run is to stop, or death. Who dies is reaped (pg_store_reap_worker)
 * and replaced. Workers die with their supervisor. */
#ifndef PG_PIPELINE_SUPERVISOR_H
#define PG_PIPELINE_SUPERVISOR_H

#include "harness/pipeline/worker.h"

typedef struct pg_supervisor_request {
    pg_run_request run; /* of every worker; begin, context, place and broken are the supervisor's */
    int workers;        /* at most, >= 1; each has its share of the cores */
    const char *db_path;
    const pg_store_worker_row *row;
    int (*record)(void *context); /* records the plan in the store and closes it; called once, when a network has opened */
    void *context;
} pg_supervisor_request;

/* PG_OK and codes as pg_run, for all workers together: the first failure of a store or of the networks; PG_EIO where workers
 * cannot be started, or die again and again before they have a task. Call it before any thread is started. */
int pg_supervise(const pg_supervisor_request *request, pg_run_report *report) PG_MUST_USE;

#endif
