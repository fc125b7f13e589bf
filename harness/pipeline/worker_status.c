/* What a worker shows of the work in its hands. See worker.h. */
#include "harness/pipeline/worker.h"

#include "harness/base/log.h"

static long long now_us(void) { return (long long)(pg_now_s() * 1e6); }

void pg_worker_status_begin(pg_worker_status *s, int64_t images)
{
    atomic_store(&s->pass, 0);
    atomic_store(&s->passes, 0);
    atomic_store(&s->images, images);
    atomic_store(&s->begun_us, now_us());
}

static void end_step(pg_worker_status *s)
{
    long long now = now_us();
    atomic_store(&s->step_us, now - atomic_load(&s->begun_us));
    atomic_store(&s->begun_us, now);
}

void pg_worker_status_step(void *status, int64_t pass, int64_t passes)
{
    pg_worker_status *s = status;
    atomic_store(&s->passes, passes);
    atomic_store(&s->pass, pass);
    end_step(s);
}

void pg_worker_status_end(pg_worker_status *s)
{
    if (atomic_load(&s->pass) == 0) /* it was a single step */
        end_step(s);
    atomic_store(&s->images, 0);
    atomic_store(&s->pass, 0);
    atomic_store(&s->passes, 0);
}
