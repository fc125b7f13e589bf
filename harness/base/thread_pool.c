#include "harness/base/thread_pool.h"

#include "harness/base/process.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct member {
    pg_thread_pool *pool;
    int worker;
    pthread_t thread;
} member;

struct pg_thread_pool {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    member members[PG_THREAD_POOL_MAX];
    int threads, idle; /* idle: waiting for a loop, or for the end */
    uint64_t loop;     /* number of the loop in hand */
    bool ended;
    int64_t next, n;
    int (*step)(void *context, int worker, int64_t i);
    void *context;
    int code; /* the first failure */
    char message[PG_MESSAGE_MAX];
};

/* The next step of the loop in hand; false: none is left. The mutex is held. */
static bool take(pg_thread_pool *c, int64_t *i)
{
    if (c->code != PG_OK || c->next == c->n)
        return false;
    *i = c->next++;
    return true;
}

static void work(pg_thread_pool *c, int worker)
{
    for (int64_t i; take(c, &i);) {
        pthread_mutex_unlock(&c->mutex);
        int code;
        pthread_cleanup_push(pg_process_thread_lost, NULL);
        code = c->step(c->context, worker, i);
        pthread_cleanup_pop(0);
        pthread_mutex_lock(&c->mutex);
        if (code == PG_OK || c->code != PG_OK)
            continue;
        c->code = code;
        snprintf(c->message, sizeof c->message, "%s", pg_error_message());
    }
}

static void *member_main(void *context)
{
    member *m = context;
    pg_thread_pool *c = m->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&c->mutex);
    for (;;) {
        c->idle++;
        pthread_cond_broadcast(&c->changed);
        while (!c->ended && c->loop == seen)
            pthread_cond_wait(&c->changed, &c->mutex);
        if (c->ended)
            break;
        seen = c->loop;
        work(c, m->worker);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

int pg_thread_pool_new(int threads, pg_thread_pool **out)
{
    int wanted = threads > 0 ? threads : pg_cores();
    pg_thread_pool *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return pg_fail(PG_ENOMEM, "out of memory for threads");
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->changed, NULL);
    for (bool good = true; good && c->threads < wanted && c->threads < PG_THREAD_POOL_MAX; c->threads += good) {
        member *m = &c->members[c->threads];
        *m = (member){.pool = c, .worker = c->threads};
        good = pthread_create(&m->thread, NULL, member_main, m) == 0;
    }
    if (c->threads == 0) {
        pg_thread_pool_free(c);
        return pg_fail(PG_ENOMEM, "threads cannot be started");
    }
    *out = c;
    return PG_OK;
}

void pg_thread_pool_free(pg_thread_pool *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->mutex);
    c->ended = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
    for (int i = 0; i < c->threads; i++)
        pthread_join(c->members[i].thread, NULL);
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->changed);
    free(c);
}

int pg_thread_pool_run(pg_thread_pool *c, int64_t n, int (*step)(void *context, int worker, int64_t i), void *context)
{
    pthread_mutex_lock(&c->mutex);
    while (c->idle < c->threads) /* those just started */
        pthread_cond_wait(&c->changed, &c->mutex);
    c->step = step;
    c->context = context;
    c->next = 0;
    c->n = n;
    c->code = PG_OK;
    c->idle = 0;
    c->loop++;
    pthread_cond_broadcast(&c->changed);
    while (c->idle < c->threads)
        pthread_cond_wait(&c->changed, &c->mutex);
    int code = c->code;
    pthread_mutex_unlock(&c->mutex);
    return code == PG_OK ? PG_OK : pg_fail(code, "%s", c->message);
}

int pg_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}
