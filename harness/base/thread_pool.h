/* Threads that share a loop. They are started once, before the first network is opened: loading libtorch binds its thread and
 * those started later to a core. The caller's thread waits; one loop at a time. */
#ifndef PG_BASE_THREAD_POOL_H
#define PG_BASE_THREAD_POOL_H

#include "harness/base/error.h"

#include <stdint.h>

typedef struct pg_crew pg_crew;

enum { PG_CREW_MAX = 64 };

/* *new*, pg_crew_free. threads 0: as many as cores. */
int pg_crew_new(int threads, pg_crew **out) PG_MUST_USE;
void pg_crew_free(pg_crew *crew);
int pg_crew_threads(const pg_crew *crew);

/* Calls step(context, worker, i) for i in [0, n), in any order, each once; worker in [0, threads) tells the threads apart.
 * After a failure no more calls are begun; its code and message become the caller's. */
int pg_crew_run(pg_crew *crew, int64_t n, int (*step)(void *context, int worker, int64_t i), void *context) PG_MUST_USE;

int pg_cores(void); /* this process may use, >= 1 */

#endif
