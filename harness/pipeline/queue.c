#include "harness/pipeline/queue.h"

#include <time.h>

void pg_queue_init(pg_queue *q, size_t capacity)
{
    *q = (pg_queue){.capacity = capacity < 1 ? 1 : capacity > PG_QUEUE_MAX ? PG_QUEUE_MAX : capacity};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void pg_queue_release(pg_queue *q)
{
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->mutex);
}

bool pg_queue_push(pg_queue *q, void *item)
{
    pthread_mutex_lock(&q->mutex);
    while (q->n == q->capacity && !q->closed)
        pthread_cond_wait(&q->changed, &q->mutex);
    bool taken = !q->closed;
    if (taken)
        q->items[(q->first + q->n++) % q->capacity] = item;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->mutex);
    return taken;
}

static void *take(pg_queue *q)
{
    void *item = NULL;
    if (q->n > 0) {
        item = q->items[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->n--;
        pthread_cond_broadcast(&q->changed);
    }
    return item;
}

void *pg_queue_pop(pg_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    while (q->n == 0 && !q->closed)
        pthread_cond_wait(&q->changed, &q->mutex);
    void *item = take(q);
    pthread_mutex_unlock(&q->mutex);
    return item;
}

void *pg_queue_pop_within(pg_queue *q, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double nanoseconds = (double)until.tv_nsec + seconds * 1e9;
    until.tv_sec += (time_t)(nanoseconds / 1e9);
    until.tv_nsec = (long)(nanoseconds - 1e9 * (double)(time_t)(nanoseconds / 1e9));
    pthread_mutex_lock(&q->mutex);
    int late = 0;
    while (q->n == 0 && !q->closed && !q->nudged && !late)
        late = pthread_cond_timedwait(&q->changed, &q->mutex, &until);
    q->nudged = false;
    void *item = take(q);
    pthread_mutex_unlock(&q->mutex);
    return item;
}

void pg_queue_nudge(pg_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->nudged = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->mutex);
}

void pg_queue_close(pg_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->mutex);
}
