#include "harness/pipeline/supervisor.h"

#include "harness/base/log.h"
#include "harness/plan/modules.h"
#include "harness/plan/tasks.h"
#include "harness/base/process.h"
#include "harness/base/signals.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double wait_for_others_s = 0.5;
enum { POLL_MS = 100, ESTIMATE_S = 4, ESTIMATE_SHARE = 50 }; /* seconds between estimates, and times that one takes */

/* What a worker leaves in memory that is shared. */
typedef struct slot {
    pg_worker_status status;
    atomic_llong worker; /* its key in the store; 0: it has none yet */
    atomic_bool ended;   /* by itself, with this code and message */
    int code;
    char message[PG_MESSAGE_MAX];
} slot;

/* Head of the memory that is shared; a pg_broken for each forward pass and a slot for each worker follow. */
typedef struct shared_state {
    _Alignas(max_align_t) atomic_bool stopping;
    atomic_bool bar_open;
} shared_state;

typedef struct worker {
    pid_t pid;    /* 0: the slot is empty */
    int channel;  /* a byte comes when a network has opened, one goes when the store is there; closed by death */
    bool opened;  /* a network */
    bool retired; /* no network opens here: the slot stays empty */
} worker;

typedef struct supervisor {
    const pg_supervisor_request *request;
    shared_state *shared; /* stays until the program ends: signal handlers and messages use it */
    pg_broken *broken;
    int *deaths; /* of workers that opened the network; one for each forward pass */
    slot *slots;
    worker *workers;
    struct pollfd *polls;
    bool recorded;   /* the plan */
    bool answered;   /* the signal that asked to stop */
    int idle_deaths; /* in a row, of workers that had neither task nor network in hand */
    pg_run_report total;
    int64_t images; /* done before, or by workers that ended */
    pg_progress progress;
    double left_s, estimated_s, estimate_s; /* of one worker, negative: not known; when that was asked, and is asked again */
    int code;                               /* the first failure of a worker */
    char message[PG_MESSAGE_MAX];
} supervisor;

/* ---- In a worker ---- */

typedef struct child {
    const pg_supervisor_request *request;
    slot *slot;
    int channel;
    pg_store *store;
} child;

static int open_store(const pg_supervisor_request *request, pg_store **store)
{
    int code = pg_store_open(request->db_path, PG_STORE_WRITE, store);
    return code == PG_OK ? pg_plan_join(request->run.plan, *store) : code;
}

static int begin(void *context, pg_store **store)
{
    child *c = context;
    char word = 'o';
    ssize_t size = write(c->channel, &word, 1);
    if (size == 1)
        size = read(c->channel, &word, 1);
    if (size < 0 && errno != EPIPE && errno != ECONNRESET)
        return pg_fail(PG_EIO, "the supervisor of this worker cannot be reached: %s", strerror(errno));
    if (size != 1)
        return pg_fail(PG_EINTERRUPTED, "the supervisor of this worker is gone");
    int code = open_store(c->request, &c->store);
    if (code == PG_OK)
        code = pg_store_worker_start(c->store, c->request->row);
    if (code == PG_OK)
        atomic_store(&c->slot->worker, pg_store_worker(c->store));
    *store = c->store;
    return code;
}

/* Its share of the cores; more workers than cores share them. */
static void take_cores(int place, int workers)
{
    cpu_set_t all, mine;
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    int n = CPU_COUNT(&all);
    int first = workers > n ? place % n : place * n / workers, end = workers > n ? first + 1 : (place + 1) * n / workers;
    CPU_ZERO(&mine);
    for (int core = 0, i = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &all)) {
            if (i >= first && i < end)
                CPU_SET(core, &mine);
            i++;
        }
    (void)!sched_setaffinity(0, sizeof mine, &mine); /* without it the cores are shared */
}

static void work(const supervisor *s, int place, int channel)
{
    child c = {.request = s->request, .slot = &s->slots[place], .channel = channel};
    pg_run_request run = s->request->run;
    run.begin = begin;
    run.context = &c;
    run.place = place;
    run.workers = s->request->workers;
    run.broken = s->broken;
    pg_signals_leave(&c.slot->status.crashed);
    take_cores(place, s->request->workers);
    int code = pg_run(&run, &c.slot->status);
    snprintf(c.slot->message, sizeof c.slot->message, "%s", pg_error_message());
    c.slot->code = code;
    pg_store_close(c.store);
    atomic_store(&c.slot->ended, true);
}

/* ---- Starting workers ---- */

static int start(supervisor *s, int place)
{
    int channel[2] = {-1, -1};
    pid_t parent = getpid();
    memset(&s->slots[place], 0, sizeof s->slots[place]);
    fflush(NULL); /* or the worker writes it again */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0)
        return pg_fail(PG_EIO, "a worker cannot be started: %s", strerror(errno));
    pg_signals_block(true);
    pid_t pid = fork();
    if (pid == 0) {
        close(channel[0]);
        if (!pg_process_follow(parent))
            _exit(1);
        for (int i = 0; i < s->request->workers; i++)
            if (s->workers[i].pid)
                close(s->workers[i].channel);
        work(s, place, channel[1]);
        exit(0);
    }
    pg_signals_block(false);
    close(channel[1]);
    if (pid < 0) {
        close(channel[0]);
        return pg_fail(PG_EIO, "a worker cannot be started: %s", strerror(errno));
    }
    s->workers[place] = (worker){.pid = pid, .channel = channel[0]};
    return PG_OK;
}

static int count_workers(const supervisor *s)
{
    int n = 0;
    for (int i = 0; i < s->request->workers; i++)
        n += s->workers[i].pid != 0;
    return n;
}

/* Workers for this many tasks, besides those that are at work. One at least has to come up. */
static int fill_slots(supervisor *s, int64_t tasks)
{
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < s->request->workers && tasks > 0 && !pg_signals_stopping(); i++)
        if (!s->workers[i].pid && !s->workers[i].retired) {
            code = start(s, i);
            tasks--;
        }
    if (code != PG_OK && count_workers(s) > 0) {
        pg_warn("%s; going on with %d", pg_error_message(), count_workers(s));
        code = PG_OK;
    }
    return code;
}

/* ---- Ends and deaths ---- */

static void record_failure(supervisor *s, int code, const char *message)
{
    if (s->code == PG_OK) {
        s->code = code;
        snprintf(s->message, sizeof s->message, "%s", message);
    }
    pg_signals_stop(); /* the others finish what they have */
}

static void add_report(supervisor *s, const pg_run_report *r)
{
    s->total.tasks += r->tasks;
    s->total.images += r->images;
    s->total.failed += r->failed;
    s->total.retried += r->retried;
    s->total.stale += r->stale;
    s->total.broken += r->broken;
    s->images += r->images;
}

static void describe_death(int wait_status, char out[PG_REASON_MAX + 16])
{
    char how[PG_REASON_MAX];
    pg_process_describe(wait_status, how);
    snprintf(out, PG_REASON_MAX + 16, "its worker %s", how);
}

/* A network that kills whoever opens it is one that does not open. */
static void note_opening_death(supervisor *s, int network, const char *reason)
{
    const pg_forward *f = pg_plan_forward(s->request->run.plan, (size_t)network);
    pg_broken *told = &s->broken[network];
    bool last = ++s->deaths[network] >= PG_ATTEMPTS_MAX;
    pg_warn("%s: opening the network: %s; %s", f->weights, reason, last ? "given up" : "it will be tried again");
    if (!last)
        return;
    told->code = PG_ETORCH;
    snprintf(told->message, sizeof told->message, "opening the network: %s", reason);
    atomic_store(&told->taken, 1);
    atomic_store(&told->warned, 1);
    atomic_store(&told->told, 1);
    atomic_store(&told->dead, 1);
}

/* "defense 'mine' of FILE, " where the task is of a plug-in's cells, which share theirs with no others; else "". */
static void label_of(const supervisor *s, const char *cell_id, char out[PG_MODULE_LABEL_MAX + 2])
{
    const pg_cell *cell = pg_plan_find(s->request->run.plan, cell_id);
    out[0] = 0;
    if (!cell || !pg_modules_origin(&cell->defense->module))
        return;
    pg_modules_label("defense", &cell->defense->module, out);
    strcat(out, ", ");
}

/* Ends the worker in the store; *pending: tasks that are left for another one. */
static int reap(supervisor *s, int place, int64_t task, const char *reason, int64_t *pending)
{
    pg_store *store = NULL;
    pg_store_progress now = {0};
    pg_reaped reaped = {0};
    pg_death death = {.worker = atomic_load(&s->slots[place].worker), .task = task, .reason = reason};
    int code = open_store(s->request, &store);
    if (code == PG_OK && death.worker)
        code = pg_store_reap_worker(store, &death, &reaped);
    if (code == PG_OK)
        code = pg_store_progress_of(store, &now);
    *pending = now.pending;
    pg_store_close(store);
    if (code != PG_OK || !task)
        return code;
    s->total.failed += reaped.given_up;
    s->total.retried += reaped.attempt_failed && !reaped.given_up;
    char label[PG_MODULE_LABEL_MAX + 2];
    label_of(s, reaped.cell_id, label);
    pg_warn("%simages %lld to %lld: %s; %s", label, (long long)reaped.first, (long long)(reaped.first + reaped.count - 1),
            reason,
            !reaped.attempt_failed ? "another run has taken the task over"
            : reaped.given_up      ? "given up"
                                   : "will be tried again");
    if (reaped.given_up && s->request->run.fail_fast)
        pg_signals_stop();
    return PG_OK;
}

/* A worker died: what it had in hand pays, and another one takes its place. */
static int replace_dead(supervisor *s, int place, int wait_status)
{
    const pg_worker_status *status = &s->slots[place].status;
    int64_t crashed = atomic_load(&status->crashed), evaluated = atomic_load(&status->evaluated),
            task = atomic_load(&status->task), pending = 1;
    int opening = atomic_load(&status->opening), code = PG_OK;
    char reason[PG_REASON_MAX + 16];
    describe_death(wait_status, reason);
    /* _exit and SIGKILL leave no word of who it was: then the rule of a plug-in, where one was at work. */
    if (crashed || evaluated)
        task = crashed ? crashed : evaluated;
    if (opening) {
        task = 0;
        note_opening_death(s, opening - 1, reason);
    }
    s->idle_deaths = task || opening ? 0 : s->idle_deaths + 1;
    if (!task && !opening)
        pg_warn("%s; it had no task in hand", reason);
    if (s->recorded)
        code = reap(s, place, task, reason, &pending);
    if (code == PG_OK && s->idle_deaths >= PG_ATTEMPTS_MAX)
        code = pg_fail(PG_EIO, "workers die before they have a task in hand: %s", reason);
    if (code == PG_OK && pending > 0)
        code = fill_slots(s, 1);
    return code;
}

static int end_worker(supervisor *s, int place)
{
    worker *w = &s->workers[place];
    const slot *left = &s->slots[place];
    int status = 0;
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR) {
    }
    close(w->channel);
    bool opened = w->opened;
    *w = (worker){0};
    add_report(s, &left->status.report);
    if (!atomic_load(&left->ended))
        return replace_dead(s, place, status);
    if (left->code != PG_OK && !opened && s->recorded) { /* others have a network: this one is out, as a GPU that is full */
        w->retired = true;
        pg_warn("a worker has no network: %s", left->message);
    } else if (left->code != PG_OK) {
        record_failure(s, left->code, left->message);
    }
    s->idle_deaths = 0;
    return PG_OK;
}

/* ---- The loop ---- */

/* Counts what is left of the plan; what no worker could open has failed for that reason. */
static int finalize(supervisor *s, pg_store_progress *now)
{
    const pg_plan *plan = s->request->run.plan;
    pg_store *store = NULL;
    int64_t requeued = 0;
    bool more = false;
    int code = open_store(s->request, &store);
    if (code == PG_OK)
        code = pg_store_reap(store, &requeued);
    for (size_t i = 0; code == PG_OK && i < pg_plan_forwards(plan); i++)
        for (size_t k = 0; code == PG_OK && atomic_load(&s->broken[i].told) && k < pg_plan_forwards(plan); k++)
            if (strcmp(pg_plan_forward(plan, i)->clean_id, pg_plan_forward(plan, k)->clean_id) == 0)
                code = pg_store_give_up(store, pg_plan_forward(plan, k)->id, s->broken[i].message);
    if (code == PG_OK) /* what others could run may be left to them: failed, or by their death */
        code = pg_store_take(store, &more);
    if (code == PG_OK)
        code = pg_store_progress_of(store, now);
    pg_store_close(store);
    return code;
}

/* The first network opened: the store may be touched. */
static int record(supervisor *s)
{
    pg_store *store = NULL;
    pg_store_progress now = {0};
    int code = s->request->record(s->request->context);
    if (code == PG_OK)
        code = open_store(s->request, &store);
    if (code == PG_OK)
        code = pg_store_progress_of(store, &now);
    pg_store_close(store);
    if (code != PG_OK)
        return code;
    s->recorded = true;
    s->images = now.images_done;
    pg_progress_start(&s->progress, "images", now.images_done, now.images);
    s->left_s = -1;
    s->estimate_s = pg_now_s() + ESTIMATE_S;
    return fill_slots(s, now.pending - 1);
}

/* A word from a worker, or its end. */
static int hear(supervisor *s, int place)
{
    char word;
    ssize_t size = read(s->workers[place].channel, &word, 1);
    if (size < 0 && errno == EINTR)
        return PG_OK;
    if (size != 1)
        return end_worker(s, place);
    s->workers[place].opened = true;
    int code = s->recorded ? PG_OK : record(s);
    if (code == PG_OK && write(s->workers[place].channel, &word, 1) != 1 && errno != EPIPE)
        code = pg_fail(PG_EIO, "a worker cannot be told to begin: %s", strerror(errno));
    return code;
}

/* Other runs share tasks with this one, and split them. */
static void count_again(supervisor *s, const pg_store_progress *now)
{
    s->progress.total = now->images;
    s->images = now->images_done;
    for (int i = 0; i < s->request->workers; i++)
        s->images -= s->workers[i].pid ? atomic_load(&s->slots[i].status.stored) : 0;
}

/* How long the rest takes, by the speed of each forward pass: asked now and then, for passes differ by much under attack. */
static void estimate(supervisor *s)
{
    double now = pg_now_s(), left_s = NAN;
    int n = count_workers(s);
    if (now >= s->estimate_s) {
        pg_store *store = NULL;
        pg_store_progress done;
        int code = open_store(s->request, &store);
        if (code == PG_OK)
            code = pg_store_time_left(store, &left_s);
        if (code == PG_OK)
            code = pg_store_progress_of(store, &done);
        if (code == PG_OK)
            count_again(s, &done);
        pg_store_close(store);
        s->left_s = code == PG_OK && !isnan(left_s) ? left_s : -1;
        s->estimated_s = pg_now_s();
        s->estimate_s = s->estimated_s + ESTIMATE_S + ESTIMATE_SHARE * (s->estimated_s - now);
    }
    double left = n > 0 ? s->left_s / n - (now - s->estimated_s) : -1;
    s->progress.left_s = s->left_s < 0 ? -1 : left > 0 ? left : 0;
}

/* Images that are through, those of which a part is, and where an image takes seconds, what is counted meanwhile. */
static void show(supervisor *s)
{
    int64_t images = s->images, pass = 0, passes = 0;
    char note[96];
    if (!s->recorded)
        return;
    estimate(s);
    s->progress.part = 0;
    for (int i = 0; i < s->request->workers; i++) {
        const pg_worker_status *status = &s->slots[i].status;
        int64_t made = s->workers[i].pid ? atomic_load(&status->pass) : 0, all = made ? atomic_load(&status->passes) : 0;
        images += s->workers[i].pid ? atomic_load(&status->forwarded) : 0;
        if (made < all) {
            s->progress.part += (double)made / (double)all * (double)atomic_load(&status->images);
            pass += made;
            passes += all;
        }
    }
    double made = (double)(images - s->progress.first) + s->progress.part;
    snprintf(note, sizeof note, "(pass %lld of at most %lld in hand)", (long long)pass, (long long)passes);
    pg_progress_update(&s->progress, images, passes && pg_now_s() - s->progress.start_s > made ? note : NULL);
}

/* What the first signal is answered with: what is waited for, and how long by the last step of that kind. */
static void answer(supervisor *s)
{
    double left_s = -1, now_us = pg_now_s() * 1e6;
    int busy = 0;
    bool opening = false;
    char duration[32], about[64] = "";
    if (s->answered || !pg_signals_asked())
        return;
    s->answered = true;
    for (int i = 0; i < s->request->workers; i++) {
        const pg_worker_status *status = &s->slots[i].status;
        if (!s->workers[i].pid)
            continue;
        double step_us = (double)atomic_load(&status->step_us),
               left = step_us - (now_us - (double)atomic_load(&status->begun_us));
        opening |= atomic_load(&status->opening) != 0;
        busy += atomic_load(&status->task) != 0;
        if (atomic_load(&status->task) && step_us > 0 && left * 1e-6 > left_s)
            left_s = left > 0 ? left * 1e-6 : 0;
    }
    pg_duration_format(left_s < 1 ? 1 : left_s, duration);
    if (left_s >= 0)
        snprintf(about, sizeof about, ", about %s", duration);
    pg_info("stopping: waiting for %s%s; whole images are kept. A second Ctrl-C stops at once",
            busy > 1  ? "the workers to finish their batches or passes in hand"
            : busy    ? "the batch or pass in hand"
            : opening ? "a network to open"
                      : "what is being written",
            about);
}

/* Until no worker is at work. */
static int watch(supervisor *s)
{
    int code = PG_OK;
    while (code == PG_OK && count_workers(s) > 0) {
        for (int i = 0; i < s->request->workers; i++)
            s->polls[i] = (struct pollfd){.fd = s->workers[i].pid ? s->workers[i].channel : -1, .events = POLLIN};
        int n = poll(s->polls, (nfds_t)s->request->workers, POLL_MS);
        for (int i = 0; code == PG_OK && n > 0 && i < s->request->workers; i++)
            if (s->polls[i].revents && s->workers[i].pid)
                code = hear(s, i);
        answer(s);
        show(s);
    }
    return code;
}

/* Nothing is pending, but another run holds tasks: some may come back. */
static void wait_for_others(int64_t running, bool *told)
{
    if (!*told)
        pg_info("waiting for %lld tasks that another run holds", (long long)running);
    *told = true;
    nanosleep(&(struct timespec){.tv_nsec = (long)(wait_for_others_s * 1e9)}, NULL);
}

static int run_all(supervisor *s)
{
    bool told = false;
    pg_store_progress now = {.pending = 1}; /* one worker finds out whether a network opens */
    int code = PG_OK;
    for (;;) {
        if (now.pending > 0)
            code = fill_slots(s, now.pending);
        if (code == PG_OK && now.pending > 0 && count_workers(s) == 0 && !pg_signals_stopping())
            code = pg_fail(PG_EIO, "no worker is left that could run the %lld tasks that are pending", (long long)now.pending);
        if (code == PG_OK)
            code = watch(s);
        if (code != PG_OK || !s->recorded || s->code != PG_OK || pg_signals_stopping())
            break;
        code = finalize(s, &now);
        if (code != PG_OK || now.pending + now.running == 0)
            break;
        if (now.pending == 0)
            wait_for_others(now.running, &told);
    }
    return code != PG_OK || s->code == PG_OK ? code : pg_fail(s->code, "%s", s->message);
}

/* After a failure: workers that are still there end without a word. */
static void end_all(supervisor *s)
{
    for (int i = 0; s->workers && i < s->request->workers; i++)
        if (s->workers[i].pid) {
            kill(s->workers[i].pid, SIGKILL);
            while (waitpid(s->workers[i].pid, NULL, 0) < 0 && errno == EINTR) {
            }
            close(s->workers[i].channel);
        }
}

static void release(supervisor *s)
{
    end_all(s);
    free(s->workers);
    free(s->polls);
    free(s->deaths);
}

static int prepare(supervisor *s)
{
    size_t workers = (size_t)s->request->workers, forwards = pg_plan_forwards(s->request->run.plan);
    size_t size = sizeof(shared_state) + workers * sizeof(slot) + forwards * sizeof(pg_broken);
    void *memory = pg_process_memory(size);
    s->workers = calloc(workers, sizeof *s->workers);
    s->polls = calloc(workers, sizeof *s->polls);
    s->deaths = calloc(forwards + 1, sizeof *s->deaths);
    if (!memory || !s->workers || !s->polls || !s->deaths)
        return pg_fail(PG_ENOMEM, "out of memory for %zu workers", workers);
    s->shared = memory;
    s->slots = (slot *)(s->shared + 1);
    s->broken = (pg_broken *)(s->slots + workers);
    pg_signals_share(&s->shared->stopping);
    pg_log_share(&s->shared->bar_open);
    return PG_OK;
}

int pg_supervise(const pg_supervisor_request *request, pg_run_report *report)
{
    supervisor s = {.request = request};
    double begun_s = pg_now_s();
    signal(SIGCHLD, SIG_DFL); /* a parent may have left it ignored, and then there is nothing to wait for */
    int code = prepare(&s);
    if (code == PG_OK)
        code = run_all(&s);
    if (s.recorded) {
        show(&s);
        pg_progress_finish(&s.progress);
    }
    release(&s);
    *report = s.total;
    report->interrupted = pg_signals_stopping();
    report->wall_s = pg_now_s() - begun_s;
    return code;
}
