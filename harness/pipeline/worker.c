/* A worker: starts the stages, and is itself the one that runs the network. See worker.h. */
#include "harness/pipeline/cache.h"
#include "harness/plan/tasks.h"
#include "harness/target/open.h"
#include "harness/pipeline/pipeline.h"

#include "harness/base/log.h"
#include "harness/base/signals.h"
#include "harness/base/thread_pool.h"
#include "models/torch/torch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The network that is open, and those that could not be opened. */
typedef struct forward_state {
    pg_network *network;
    const pg_forward *forward;
    char library[PG_LIBRARY_MAX];
    int threads;
    pg_attack_stage attack;
    pg_cache *cache; /* NULL: off */
    bool cacheable;  /* what the open network computes */
    bool attacking;  /* what is counted are the passes of the attack */
    bool *refused;   /* networks that this worker could not open */
    pg_worker_status *status;
} forward_state;

/* Worth keeping: computed by libtorch on a processor that has a name, and small enough not to push itself out. */
static bool is_cacheable(const pg_run_request *request, const pg_forward *f, const forward_state *s)
{
    const pg_geometry *g = &f->info.geometry;
    double bytes = (double)g->rows.positions * g->columns.positions * g->classes * sizeof(float) * (double)f->dataset_images;
    return s->cache && *s->library && strcmp(pg_network_device(s->network), "cpu") == 0 &&
           bytes < 0.5 * (double)request->cache_bytes && pg_cache_key(s->cache, f->clean_id, "cpu", s->library, s->threads);
}

int64_t pg_worker_logits_bytes(const pg_forward *f, int certify_threads)
{
    const pg_geometry *g = &f->info.geometry;
    int64_t threads = certify_threads > 0 ? certify_threads : pg_cores(), batches = PG_BATCHES_IN_FLIGHT + threads + 1;
    int64_t tasks = f->attack ? PG_TASKS_IN_FLIGHT : 0;
    return (batches * f->at_once + tasks * PG_TASK_SLOW) * g->rows.positions * g->columns.positions * g->classes *
           (int64_t)sizeof(float);
}

/* The measurement of another kind of machine says nothing of this one. */
static void warn_of_kind(const pg_forward *f, const pg_network *network)
{
    pg_locality_result found;
    const char *device = pg_network_device(network), *isa = pg_network_isa(network);
    pg_locality_find(&f->info, f->dtype, f->batch, false, &found);
    if (found.measured && !found.none_outside && !pg_defended_masks_images(&f->masked_images) &&
        !pg_locality_names(found.kinds, device, isa))
        pg_warn("%s: locality was measured on %s, this run is on %.*s%s%s, where it counts as not measured; `patchgauge model "
                "measure` "
                "measures it here",
                f->weights, found.kinds, (int)strcspn(device, ":"), device, *isa ? " " : "", isa);
}

/* After each pass over masked images: whether to go on. */
static bool watch_passes(void *state, int64_t pass, int64_t passes)
{
    forward_state *s = state;
    if (!s->attacking)
        pg_worker_status_step(s->status, pass, passes);
    return !pg_signals_stopping();
}

static int open_network(const pg_run_request *request, const pg_forward *f, forward_state *s)
{
    pg_attack_stage_close(&s->attack);
    pg_network_close(s->network);
    s->network = NULL;
    s->forward = NULL;
    s->library[0] = 0;
    s->threads = 1;
    s->cacheable = false;
    pg_network_options options = {
        .device = request->device, .place = request->place, .dtype = f->dtype, .batch = f->batch, .threads = request->threads};
    int code = pg_forward_open(f, &options, &s->network);
    if (code != PG_OK)
        return code;
    const pg_weights_info *info = pg_network_info(s->network);
    const pg_model *model = pg_model_find(info->model);
    const pg_torch *torch = NULL;
    if (model && model->needs_torch && pg_torch_load(request->threads, &torch) == PG_OK) {
        pg_kernels kernels;
        torch->kernels(pg_network_device(s->network), &kernels);
        snprintf(s->library, sizeof s->library, "%s; %s" PG_LIBRARY_ISA "%s", torch->library, kernels.text, kernels.isa);
        s->threads = torch->threads();
    }
    warn_of_kind(f, s->network);
    pg_network_watch(s->network, watch_passes, s);
    s->forward = f;
    s->cacheable = is_cacheable(request, f, s);
    return PG_OK;
}

/* Passes with and without an attack run the same network. */
static bool is_same_network(const pg_forward *a, const pg_forward *b) { return a && strcmp(a->clean_id, b->clean_id) == 0; }

/* What is known of the network of a pass: kept with the first pass of the plan that has it. */
static size_t network_of(const pg_run_request *request, const pg_forward *f)
{
    size_t i = 0;
    while (!is_same_network(pg_plan_forward(request->plan, i), f))
        i++;
    return i;
}

static void refuse(const pg_run_request *request, forward_state *s, size_t network, int code)
{
    pg_broken *told = &request->broken[network];
    s->refused[network] = true;
    if (atomic_exchange(&told->taken, 1))
        return;
    told->code = code;
    snprintf(told->message, sizeof told->message, "%s", pg_error_message());
    atomic_store(&told->told, 1);
}

/* Opens the network of a forward pass, where it is not open; one that could not be opened is not tried again for every task. */
static int choose_network(const pg_run_request *request, const pg_forward *f, forward_state *s)
{
    if (is_same_network(s->forward, f))
        return PG_OK;
    size_t network = network_of(request, f);
    if (s->refused[network] || atomic_load(&request->broken[network].dead))
        return PG_ETORCH; /* told before */
    atomic_store(&s->status->opening, (int)network + 1);
    int code = open_network(request, f, s);
    atomic_store(&s->status->opening, 0);
    if (code != PG_OK)
        refuse(request, s, network, code);
    return code;
}

/* Once for all workers. */
static void warn_broken(const pg_run_request *request, const pg_forward *f)
{
    pg_broken *told = &request->broken[network_of(request, f)];
    if (atomic_load(&told->told) && !atomic_exchange(&told->warned, 1))
        pg_warn("%s: %s", f->weights, told->message);
}

/* Opens the first network that opens, before the store is touched. Where none does, the first one's failure is the result;
 * the others are warnings. */
static int open_first(const pg_run_request *request, forward_state *s)
{
    int code = PG_OK;
    size_t tried = 0;
    while (tried < request->n_missing && (code = choose_network(request, request->missing[tried], s)) != PG_OK)
        tried++;
    if (code == PG_OK)
        for (size_t i = 0; i < tried; i++)
            warn_broken(request, request->missing[i]);
    if (code == PG_OK)
        return PG_OK;
    const pg_broken *first = &request->broken[network_of(request, request->missing[0])];
    for (size_t i = 1; i < tried; i++)
        if (!is_same_network(request->missing[0], request->missing[i]))
            warn_broken(request, request->missing[i]);
    return pg_fail(first->code, "%s", first->message);
}

/* Local logits of a batch, from the cache or from the network. */
static int compute(forward_state *s, pg_work *work, const pg_batch *batch, const uint8_t *pixels, size_t tensor)
{
    size_t floats = (size_t)batch->count * tensor;
    if (s->cacheable && pg_cache_read(s->cache, batch->first, batch->count, batch->logits, floats)) {
        work->cached += batch->count - batch->skip;
        return PG_OK;
    }
    const int32_t *labels = work->labels + (batch->first - work->start);
    int code = pg_network_forward_wanted(s->network, pixels, batch->first, batch->count, labels, batch->logits);
    if (code == PG_OK && s->cacheable && work->batch == work->forward->batch)
        pg_cache_write(s->cache, batch->first, batch->count, batch->logits, floats);
    return code;
}

/* One batch through the network and on to the certify threads. */
static int forward_batch(pg_pipeline *p, pg_work *work, forward_state *s, int64_t first)
{
    const pg_forward *f = work->forward;
    const pg_geometry *g = &f->info.geometry;
    int64_t end = work->task.first + work->task.count, left = end - first;
    size_t image = (size_t)3 * (size_t)f->dataset_height * (size_t)f->dataset_width;
    size_t tensor = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    pg_batch *batch = calloc(1, sizeof *batch);
    if (batch) {
        *batch = (pg_batch){.work = work, .first = first, .count = left < f->at_once ? (int)left : f->at_once};
        batch->skip = work->task.first > first ? (int)(work->task.first - first) : 0;
        batch->logits = malloc((size_t)batch->count * tensor * sizeof(float));
    }
    int code = batch && batch->logits ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for the logits of a batch");
    if (code == PG_OK)
        code = compute(s, work, batch, work->pixels + (size_t)(first - work->start) * image, tensor);
    if (code != PG_OK) {
        if (batch)
            free(batch->logits);
        free(batch);
        return code;
    }
    if (work->logits)
        memcpy(work->logits + (size_t)(first + batch->skip - work->task.first) * tensor,
               batch->logits + (size_t)batch->skip * tensor, (size_t)(batch->count - batch->skip) * tensor * sizeof(float));
    else
        pg_work_forwarded(p, work, batch->count - batch->skip);
    atomic_fetch_add(&work->open, 1);
    pg_queue_push(&p->to_certify, batch);
    return PG_OK;
}

/* Memory ran out: half as many images at a time for the rest of the task. Its results may then differ in their last bits. */
static bool can_shrink(pg_work *work, forward_state *s, int code)
{
    if ((code != PG_ENOMEM && code != PG_EDEVICEMEM) || work->batch == 1)
        return false;
    work->batch /= 2;
    pg_network_set_batch(s->network, work->batch);
    pg_warn("images %lld to %lld: %s; going on with a batch of %d", (long long)work->task.first,
            (long long)(work->task.first + work->task.count - 1), pg_error_message(), work->batch);
    return true;
}

/* PG_EINTERRUPTED where the run stops before the last image is through: work->whole are. */
static int forward_batches(pg_pipeline *p, pg_work *work, forward_state *s)
{
    const pg_forward *f = work->forward;
    int64_t end = work->start + work->images;
    int code = PG_OK;
    pg_network_set_batch(s->network, work->batch);
    for (int64_t at = work->start; code == PG_OK && at < end; at += f->at_once) {
        if (at > work->start && pg_signals_stopping())
            return pg_fail(PG_EINTERRUPTED, "stopped between two batches");
        pg_worker_status_begin(s->status, f->attack ? 0 : f->at_once);
        do
            code = forward_batch(p, work, s, at);
        while (code != PG_OK && can_shrink(work, s, code));
        pg_worker_status_end(s->status);
        if (code == PG_OK && !f->attack)
            work->whole = (at + f->at_once < end ? at + f->at_once : end) - work->task.first;
    }
    if (code != PG_OK || !f->attack)
        return code;
    s->attacking = true;
    do
        code = pg_attack_stage_run(&s->attack, p, s->network, work);
    while (code != PG_OK && can_shrink(work, s, code));
    s->attacking = false;
    return code;
}

static void forward_work(pg_pipeline *p, pg_work *work, forward_state *s)
{
    int code = choose_network(p->request, work->forward, s);
    if (code != PG_OK) {
        warn_broken(p->request, work->forward);
        work->unopened = true;
        return;
    }
    double begun_s = pg_now_s();
    snprintf(work->device, sizeof work->device, "%s", pg_network_device(s->network));
    snprintf(work->library, sizeof work->library, "%s", s->library);
    work->threads = s->threads;
    code = forward_batches(p, work, s);
    work->forward_s = pg_now_s() - begun_s;
    if (code == PG_EINTERRUPTED)
        work->returned = work->whole == 0;
    else if (code != PG_OK)
        pg_work_fail(work, code);
    free(work->pixels);
    free(work->sources);
    work->pixels = work->sources = NULL;
}

static void forward_all(pg_pipeline *p, forward_state *s)
{
    for (pg_work *work; (work = pg_queue_pop(&p->to_forward));) {
        pg_signals_hold(work->task.task);
        atomic_store(&s->status->task, work->task.task);
        atomic_fetch_sub(&p->ahead, 1);
        pg_queue_nudge(&p->to_commit); /* the store thread may claim the next one */
        if (pg_signals_stopping())
            work->returned = true;
        else if (work->code == PG_OK)
            forward_work(p, work, s);
        atomic_store(&s->status->task, 0);
        pg_signals_hold(0);
        pg_work_close(p, work);
        pg_queue_nudge(&p->to_commit);
    }
}

/* ---- Threads ---- */

typedef struct pool {
    pthread_t store_thread, reader, certify[PG_CERTIFY_THREADS_MAX];
    int n_certify;
    bool has_store_thread, has_reader;
} pool;

static int start_pool(pg_pipeline *p, pool *c)
{
    int wanted = p->request->certify_threads > 0 ? p->request->certify_threads : pg_cores();
    wanted = wanted > PG_CERTIFY_THREADS_MAX ? PG_CERTIFY_THREADS_MAX : wanted;
    bool good = true;
    for (; good && c->n_certify < wanted; c->n_certify += good)
        good = pthread_create(&c->certify[c->n_certify], NULL, pg_certify_main, p) == 0;
    good = c->n_certify > 0;
    c->has_reader = good && pthread_create(&c->reader, NULL, pg_reader_main, p) == 0;
    c->has_store_thread = c->has_reader && pthread_create(&c->store_thread, NULL, pg_store_thread_main, p) == 0;
    if (c->has_store_thread)
        return PG_OK;
    pg_queue_close(&p->to_read);
    return pg_fail(PG_ENOMEM, "threads cannot be started");
}

static void end_pool(pg_pipeline *p, pool *c)
{
    if (c->has_store_thread)
        pthread_join(c->store_thread, NULL);
    if (c->has_reader)
        pthread_join(c->reader, NULL);
    pg_queue_close(&p->to_certify);
    for (int i = 0; i < c->n_certify; i++)
        pthread_join(c->certify[i], NULL);
}

/* A network first, then the store; the store thread waits for both. */
static int begin(pg_pipeline *p, forward_state *s)
{
    pg_store *store = NULL;
    int code = open_first(p->request, s);
    if (code == PG_OK)
        code = p->request->begin(p->request->context, &store);
    p->store = code == PG_OK ? store : NULL;
    sem_post(&p->begun);
    return code;
}

int pg_run(const pg_run_request *request, pg_worker_status *status)
{
    pg_pipeline *p = calloc(1, sizeof *p);
    forward_state state = {.refused = calloc(pg_plan_forwards(request->plan) + 1, sizeof *state.refused), .status = status};
    pool threads = {0};
    double begun_s = pg_now_s();
    int code = p && state.refused ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK) {
        p->request = request;
        p->status = status;
        state.cache = pg_cache_new(request->cache_dir, request->cache_bytes);
        sem_init(&p->begun, 0, 0);
        pg_queue_init(&p->to_read, PG_TASKS_IN_FLIGHT);
        pg_queue_init(&p->to_forward, PG_TASKS_IN_FLIGHT);
        pg_queue_init(&p->to_certify, PG_BATCHES_IN_FLIGHT);
        pg_queue_init(&p->to_commit, PG_TASKS_IN_FLIGHT);
        code = start_pool(p, &threads);
        if (code == PG_OK)
            code = begin(p, &state);
        if (code == PG_OK)
            forward_all(p, &state);
        end_pool(p, &threads);
        if (code == PG_OK && p->code != PG_OK)
            code = pg_fail(p->code, "%s", p->message);
        status->report.wall_s = pg_now_s() - begun_s;
        pg_queue_release(&p->to_read);
        pg_queue_release(&p->to_forward);
        pg_queue_release(&p->to_certify);
        pg_queue_release(&p->to_commit);
        sem_destroy(&p->begun);
    }
    pg_attack_stage_close(&state.attack);
    pg_network_close(state.network);
    pg_cache_free(state.cache);
    free(state.refused);
    free(p);
    return code;
}
