/* A plan and the store: what is done, why something is not, and the tasks that are missing. */
#ifndef PG_PLAN_TASKS_H
#define PG_PLAN_TASKS_H

#include "harness/plan/plan.h"

typedef enum pg_reason {
    PG_REASON_NEW,     /* no image has an outcome, and nothing older has */
    PG_REASON_PARTIAL, /* some images have */
    PG_REASON_DONE,
    PG_REASON_STALE,  /* the same settings have outcomes of another content or module version */
    PG_REASON_FAILED, /* a task gave up */
    PG_REASONS,
} pg_reason;
const char *
pg_reason_name(pg_reason reason); /* "new", "partial", "done", "stale", "failed": as `ls` and `status` name them, and stale */

typedef struct pg_explained {
    pg_reason reason;
    int64_t done, images; /* of the cell */
    char *why;            /* *new*: "1280 of 10000 images are done", "weights.hash was 12ab.., is 34cd.." */
} pg_explained;

/* Where a cell stands; store NULL: there is none, all is new. Writes nothing. free(out->why). */
int pg_plan_explain(const pg_cell *cell, pg_store *store, pg_explained *out) PG_MUST_USE;

/* Records the plan and creates the tasks that are missing, of about `task_images` images each (rounded up to whole batches; of
 * attacked passes and of masked images at most PG_TASK_SLOW, rounded up to whole groups of those that are
 * attacked at a time). */
int pg_plan_record(const pg_plan *plan, pg_store *store, int64_t task_images) PG_MUST_USE;
/* The same without tasks: for an audit, which asks for no outcomes. */
int pg_plan_record_cells(const pg_plan *plan, pg_store *store) PG_MUST_USE;
/* The same for a shard of the plan (NULL: the whole). */
int pg_plan_record_shard(const pg_plan *plan, pg_store *store, int64_t task_images, const pg_shard *shard) PG_MUST_USE;
/* The same tasks on another connection: of a worker, or of who counts them. Writes nothing. PG_EMISSING: not recorded. */
int pg_plan_join(const pg_plan *plan, pg_store *store) PG_MUST_USE;

enum { PG_TASK_IMAGES = 256, PG_TASK_SLOW = 64 };

#endif
