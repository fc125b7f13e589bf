/* A bounded queue of pointers between threads. push waits while it is full, pop while it is empty; after close, push returns
 * false and pop empties the queue, then returns NULL. */
#ifndef PG_PIPELINE_QUEUE_H
#define PG_PIPELINE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { PG_QUEUE_MAX = 32 };

typedef struct pg_queue {
    void *items[PG_QUEUE_MAX];
    size_t first, n, capacity;
    bool closed, nudged;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} pg_queue;

void pg_queue_init(pg_queue *queue, size_t capacity); /* 1 to PG_QUEUE_MAX */
void pg_queue_release(pg_queue *queue);               /* no thread may be in it; items are not freed */
bool pg_queue_push(pg_queue *queue, void *item);
void *pg_queue_pop(pg_queue *queue);
/* Waits at most this long; NULL also after the time, and once after a nudge. */
void *pg_queue_pop_within(pg_queue *queue, double seconds);
void pg_queue_nudge(pg_queue *queue);
void pg_queue_close(pg_queue *queue);

#endif
