/* Computes what a store lacks of a plan: opens a network, records the plan, lets workers run (supervisor.h), and says how it
 * ended. What `run` and `attack` do. Call it before any thread is started. */
#ifndef PG_PIPELINE_COMPUTE_H
#define PG_PIPELINE_COMPUTE_H

#include "harness/plan/plan.h"

typedef struct pg_compute_request {
    const pg_plan *plan;
    const char *db_path, *data_dir;
    const char *cache_dir; /* NULL: no cache */
    int64_t cache_bytes;
    const char *device; /* "auto", "cpu", "cuda", "cuda:N" */
    int64_t workers, threads, task_images;
    bool fail_fast;
    const pg_shard *shard; /* NULL: the whole plan */
    /* optional: called once, when a network has opened and before the store is opened for writing, or made */
    int (*begin)(void *context);
    void *context;
    bool fresh;          /* what lies at db_path does not count: `begin` takes it away */
    const char *explain; /* "plan m.toml": the command that says why tasks failed; NULL: the message gives the first reason */
} pg_compute_request;

/* PG_OK: all images of the plan have outcomes. PG_ECELLS: tasks failed; PG_EINTERRUPTED: a signal asked to stop; what is done
 * is kept. Then *store is *new* (pg_store_close), and NULL after other failures: those of the first network, where none opened
 * (the store was not touched then), of a store, of workers that cannot be started. */
int pg_compute(const pg_compute_request *request, pg_store **store) PG_MUST_USE;

#endif
