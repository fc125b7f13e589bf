/* Threads that share a loop. They are started once, before the first network is opened: loading libtorch binds its thread and
 * those started later to a core. The caller's thread waits; one loop at a time. */
#ifndef PG_BASE_THREAD_POOL_H
#define PG_BASE_THREAD_POOL_H

#include "harness/base/error.h"

#include <stdint.h>

typedef struct pg_thread_pool pg_thread_pool;

enum { PG_THREAD_POOL_MAX = 64 };

/* *new*, pg_thread_pool_free. threads 0: as many as cores. */
int pg_thread_pool_new(int threads, pg_thread_pool **out) PG_MUST_USE;
void pg_thread_pool_free(pg_thread_pool *pool);

/* Calls step(context, worker, i) for i in [0, n), in any order, each once; worker in [0, threads) tells the threads apart.
 * After a failure no more calls are begun; its code and message become the caller's. */
int pg_thread_pool_run(pg_thread_pool *pool, int64_t n, int (*step)(void *context, int worker, int64_t i),
                       void *context) PG_MUST_USE;

int pg_cores(void); /* this process may use, >= 1 */

#endif
