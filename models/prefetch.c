/* see prefetch.h. Threads take the images of a pass one after the other, as long as they belong to the batch in use or the one
 * after it. */
#include "models/prefetch.h"

#include "harness/base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 2, THREADS_MAX = 8 };

struct pg_prefetch {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t threads[THREADS_MAX];
    int n_threads;
    uint8_t *pixels[AHEAD], *scratch; /* scratch: one image for each thread */
    int64_t *labels[AHEAD];
    size_t image_bytes; /* the most there is room for */
    /* under the mutex */
    pg_prefetch_pass pass;
    int64_t taken;       /* images that threads have begun, */
    int64_t made[AHEAD]; /* and have made of the batches in each place */
    int64_t batch;       /* in use: the last that pg_prefetch_next gave; -1 before the first */
    int busy;            /* threads that make an image */
    bool ends;
    int error; /* the first */
    char message[PG_MESSAGE_MAX];
    int started;      /* threads that have taken their scratch */
    pg_memory memory; /* of all arrays */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Under the mutex: whether an image is there to be made, and room for it. */
static bool has_work(const pg_prefetch *f)
{
    return !f->error && f->taken < f->pass.images && f->taken / f->pass.batch < f->batch + AHEAD + (f->batch < 0);
}

static void *work(void *arg)
{
    pg_prefetch *f = arg;
    pthread_mutex_lock(&f->mutex);
    uint8_t *scratch = f->scratch + (size_t)f->started++ * f->image_bytes;
    while (!f->ends) {
        if (!has_work(f)) {
            pthread_cond_wait(&f->changed, &f->mutex);
            continue;
        }
        const pg_prefetch_pass p = f->pass;
        int64_t i = f->taken++, place = i / p.batch % AHEAD, at = i % p.batch;
        f->busy++;
        pthread_mutex_unlock(&f->mutex);
        int code = p.make(p.context, i, scratch, f->pixels[place] + (size_t)at * p.image_bytes, &f->labels[place][at]);
        pthread_mutex_lock(&f->mutex);
        f->busy--;
        f->made[place]++;
        if (code != PG_OK && !f->error) {
            f->error = code;
            snprintf(f->message, sizeof f->message, "%s", pg_error_message());
        }
        if (f->error || f->busy == 0 || f->made[place] == least(p.batch, p.images - i / p.batch * p.batch))
            pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

static int cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int pg_prefetch_new(int64_t batch, size_t image_bytes, pg_prefetch **out)
{
    int threads = (int)least(cores(), THREADS_MAX);
    pg_prefetch *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f)
        return pg_fail(PG_ENOMEM, "out of memory");
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->image_bytes = image_bytes;
    f->scratch = pg_memory_take(&f->memory, (size_t)threads, image_bytes);
    for (int i = 0; i < AHEAD; i++) {
        f->pixels[i] = pg_memory_take(&f->memory, (size_t)batch, image_bytes);
        f->labels[i] = pg_memory_take(&f->memory, (size_t)batch, sizeof *f->labels[i]);
    }
    while (!f->memory.failed && f->n_threads < threads && pthread_create(&f->threads[f->n_threads], NULL, work, f) == 0)
        f->n_threads++;
    if (f->n_threads == 0) {
        pg_prefetch_free(f);
        return pg_fail(PG_ENOMEM, "no memory for two batches of %lld images, or no thread to read them", (long long)batch);
    }
    *out = f;
    return PG_OK;
}

void pg_prefetch_free(pg_prefetch *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->mutex);
    f->ends = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    for (int i = 0; i < f->n_threads; i++)
        pthread_join(f->threads[i], NULL);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
    pg_memory_free(&f->memory);
    free(f);
}

void pg_prefetch_start(pg_prefetch *f, const pg_prefetch_pass *pass)
{
    pthread_mutex_lock(&f->mutex);
    f->taken = f->pass.images; /* nobody begins another one */
    while (f->busy > 0)
        pthread_cond_wait(&f->changed, &f->mutex);
    f->pass = *pass;
    f->taken = f->error = 0;
    memset(f->made, 0, sizeof f->made);
    f->batch = -1;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

int pg_prefetch_next(pg_prefetch *f, const uint8_t **pixels, const int64_t **labels, int64_t *n)
{
    pthread_mutex_lock(&f->mutex);
    if (f->batch >= 0)
        f->made[f->batch % AHEAD] = 0; /* the place is free for the batch after the next */
    f->batch++;
    pthread_cond_broadcast(&f->changed);
    int64_t place = f->batch % AHEAD, left = f->pass.images - f->batch * f->pass.batch;
    *n = left < 0 ? 0 : least(left, f->pass.batch);
    while (!f->error && f->made[place] < *n)
        pthread_cond_wait(&f->changed, &f->mutex);
    int code = f->error;
    if (code != PG_OK)
        pg_fail(code, "%s", f->message);
    *pixels = f->pixels[place];
    *labels = f->labels[place];
    pthread_mutex_unlock(&f->mutex);
    return code;
}
