/* What the stages of a worker share. Private to harness/pipeline. */
#ifndef PG_PIPELINE_PIPELINE_H
#define PG_PIPELINE_PIPELINE_H

#include "defenses/certifier.h"
#include "harness/target/attacker.h"
#include "harness/data/dataset.h"
#include "harness/pipeline/queue.h"
#include "harness/pipeline/worker.h"

#include <semaphore.h>
#include <stdatomic.h>

enum { PG_LIBRARY_MAX = 320 }; /* of "libtorch 1.13.1; OpenBLAS ...", what computed; "" for models without one */

/* Ahead: claimed before the network is free for them, so that it never waits; few, so that other workers find something. */
enum { PG_TASKS_IN_FLIGHT = 4, PG_TASKS_AHEAD = 1, PG_BATCHES_IN_FLIGHT = 4, PG_CERTIFY_THREADS_MAX = 64 };

/* A task on its way. Every stage hands it on, failed or not; the store thread ends it. */
typedef struct pg_work {
    pg_task task;
    const pg_forward *forward;
    pg_job *jobs; /* one per cell of the task, in its order */
    /* read and forwarded: from a multiple of at_once on, so that image i is always at place i % at_once */
    int64_t start, images;
    uint8_t *pixels;      /* [images][3][height][width] */
    uint8_t *sources;     /* the same before their resize, where an attack puts patches on there; else NULL */
    int32_t *labels;      /* [images] */
    pg_outcome *outcomes; /* [cells][task.count] */
    /* under attack only, each [task.count]: */
    float *logits;          /* of the clean images, [H][W][N] each */
    uint8_t *patches;       /* [3][patch height][patch width] each */
    pg_attack_row *attacks; /* what was found */
    atomic_int open;       /* batches not yet certified, and one for the forward stage; who closes the last hands the task on */
    pthread_mutex_t mutex; /* of what follows */
    int code;              /* the first failure, and its message */
    char message[PG_MESSAGE_MAX];
    bool foreign;  /* a rule of its cells is a plug-in's */
    bool unopened; /* its network does not open: trying again is no use */
    bool returned; /* none of its images is whole: the run stops */
    int64_t whole; /* images from its first one on that are through network and attack: all, or fewer where the run stops */
    double begun_s, read_s, forward_s, certify_s; /* forward: with the attack */
    char device[16];
    char library[PG_LIBRARY_MAX];
    int threads, cached; /* cached: images whose features came from the cache */
    int batch;           /* images of a forward pass: those of the plan, or fewer where memory ran out */
    int64_t forwarded;   /* images that count in the progress */
} pg_work;

typedef struct pg_batch {
    pg_work *work;
    int64_t first; /* image */
    int count;
    float *logits; /* [count][H][W][N], behind `skip` images that the task does not want */
    int skip;
} pg_batch;

typedef struct pg_pipeline {
    const pg_run_request *request;
    pg_store *store; /* NULL: the run does not begin; of the store thread from `begun` on */
    sem_t begun;     /* posted once it is known whether the run begins */
    pg_queue to_read, to_forward, to_certify, to_commit;
    atomic_int ahead;         /* tasks that were claimed and are not yet in the hands of the network */
    pg_worker_status *status; /* the report is the store thread's, `forwarded` everybody's, the rest of who runs the network */
    int code;                 /* of the store thread: the store failed */
    char message[PG_MESSAGE_MAX];
} pg_pipeline;

pg_work *pg_work_new(const pg_plan *plan, pg_task *task); /* takes the task over; NULL with a message */
void pg_work_free(pg_work *work);
void pg_work_fail(pg_work *work, int code);               /* with the thread's message; the first one counts */
void pg_work_close(pg_pipeline *pipeline, pg_work *work); /* closes one of `open` */
void pg_work_forwarded(pg_pipeline *pipeline, pg_work *work, int64_t images); /* negative: they do not count after all */

/* The attack of a forward pass on the network that is open; of the thread that runs the network. */
typedef struct pg_attack_stage {
    const pg_forward *forward; /* NULL: none is open */
    pg_attacker *attacker;
} pg_attack_stage;
void pg_attack_stage_close(pg_attack_stage *stage); /* before its network is closed */
/* Attacks the images of a task whose clean logits are there, from work->whole on: work->attacks. PG_EINTERRUPTED where the run
 * stops. */
int pg_attack_stage_run(pg_attack_stage *stage, pg_pipeline *pipeline, pg_network *network, pg_work *work) PG_MUST_USE;

void *pg_reader_main(void *pipeline);
void *pg_certify_main(void *pipeline);
void *pg_store_thread_main(void *pipeline);

#endif
