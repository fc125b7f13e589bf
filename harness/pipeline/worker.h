/* One worker: claims tasks of a plan, reads, forwards, certifies and commits them, all in overlap. supervisor.h runs it, once
 * or many times, in a process of its own.
 *
 *   store thread: claims a task ------> reader thread: pixels, labels --+
 *        ^                                                             v
 *        +--- certify threads: verdicts <--- caller's thread: local logits, then the attack
 *
 * The store thread alone talks to the store, the caller's thread alone to libtorch. The other threads are started before the
 * first network is opened, since loading libtorch binds its thread and those started later to a core. */
#ifndef PG_PIPELINE_WORKER_H
#define PG_PIPELINE_WORKER_H

#include "harness/plan/plan.h"

#include <stdatomic.h>

/* Why a network could not be opened. In memory that workers share. */
typedef struct pg_broken {
    atomic_int taken;  /* a worker found it so, and writes what stands below */
    atomic_int told;   /* it is written */
    atomic_int warned; /* the user knows */
    atomic_int dead;   /* opening it kills: no worker tries again */
    int code;
    char message[PG_MESSAGE_MAX];
} pg_broken;

typedef struct pg_run_request {
    const pg_plan *plan;
    const pg_forward *const *missing; /* forward passes with images to compute, n_missing of them; one of their networks has */
    size_t n_missing;                 /* to open before the store is asked for */
    /* Lends the store for the time of the call: open for writing, with the plan recorded and a worker started. Called once, by
     * the thread of pg_run. */
    int (*begin)(void *context, pg_store **store);
    void *context;
    const char *data_dir;
    const char *device;    /* "auto", "cpu", "cuda", "cuda:N" */
    int workers;           /* of this run, this one among them; 0 counts as one */
    int place;             /* of this worker among others: "auto" and "cuda" are the GPU of this number, modulo those there */
    pg_broken *broken;     /* one for each forward pass of the plan; the first pass with a network keeps what is known of it */
    bool fail_fast;        /* the first task that is given up stops the run */
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

/* What a worker shows while it runs, and what is left of it should it crash. Starts as zero; only the worker writes. */
typedef struct pg_worker_status {
    pg_run_report report;   /* so far */
    atomic_llong forwarded; /* images of this worker; those of tasks that failed are taken out again */
    atomic_llong stored;    /* of these, committed */
    atomic_llong task;      /* in the hands of the network; 0: none */
    atomic_llong crashed;   /* in the hands of the thread that crashed; 0: none */
    atomic_llong evaluated; /* the last task whose images went to a plug-in's rule, while it is open; 0: none */
    atomic_int opening;     /* index of the forward pass whose network is being opened, + 1; 0: none */
    /* The stretch of work in hand, between whose steps the run can stop: */
    atomic_llong images;            /* that are through with it; 0: it is over, or its images take another one */
    atomic_llong pass, passes;      /* made, and at most to be made; 0: not known */
    atomic_llong step_us, begun_us; /* what the last step took, 0: not known; when this one began, monotonic */
} pg_worker_status;

void pg_worker_status_begin(pg_worker_status *status, int64_t images);
void pg_worker_status_step(void *status, int64_t pass, int64_t passes); /* a step was made */
void pg_worker_status_end(pg_worker_status *status);                    /* the last one was */

/* What local logits of a pass take in a worker at most, bytes: of the batches between the network and the certify threads, as
 * many of these as given (0: as cores), and under attack of the images of a task. */
int64_t pg_worker_logits_bytes(const pg_forward *forward, int certify_threads);

/* Runs until no task of the plan is pending, or the run is to stop (pg_signals_stopping). PG_OK also where tasks failed (see
 * the report) or it was interrupted; PG_EDB, PG_EIO, ... where the store failed: committed work is kept; the code of the first
 * network where none opened: the store was not touched then. Tasks whose network does not open stay pending. */
int pg_run(const pg_run_request *request, pg_worker_status *status) PG_MUST_USE;

#endif
