/* What the levels of an audit share. Private to harness/audit. */
#ifndef PG_AUDIT_AUDIT_LEVEL_H
#define PG_AUDIT_AUDIT_LEVEL_H

#include "harness/data/dataset.h"
#include "harness/audit/audit.h"
#include "harness/base/memory.h"
#include "harness/base/thread_pool.h"

#include <stdatomic.h>

struct pg_attacker;

/* One cell of a group and what is known of it so far. */
typedef struct pg_audit_cell {
    const pg_cell *cell;
    size_t index;                           /* in the plan */
    pg_audit_row *rows[PG_AUDIT_LEVELS];    /* NULL: not asked for */
    int64_t witness_image[PG_AUDIT_LEVELS]; /* -1: none yet */
    struct pg_attacker *attacker;           /* pixel: NULL before the first certified image */
    pg_audited *audited;                    /* [images of the chunk]; contents of breaks are gone */
    int64_t delta, logit_delta;             /* grid units of the evidence and of a logit, for the verdicts */
} pg_audit_cell;

/* Whether the cell certifies votes by those that are sure: its locality is then one of logits, else one of evidence. */
bool pg_audit_sure_votes(const pg_cell *cell);

/* Images in hand. */
typedef struct pg_audit_chunk {
    int64_t first;
    int count;
    uint8_t *pixels;  /* [count][3][height][width] */
    int32_t *labels;  /* [count] */
    float *logits;    /* [count][H][W][N] */
    uint8_t *patched; /* locality: like pixels */
    float *after;     /* locality: like logits */
} pg_audit_chunk;

typedef struct pg_audit_group {
    const pg_audit_request *request;
    const pg_forward *forward;
    pg_network *network;
    pg_dataset *dataset;
    pg_thread_pool *pool;
    pg_audit_cell *cells;
    size_t n_cells;
    pg_audit_chunk chunk;
    pg_memory memory; /* of the cells and the chunk */
    /* where plug-ins may end the process, else NULL: the number + 1 of the cell in hand, and what is called where one cannot go
     * on */
    atomic_llong *in_hand;
    void (*give_up)(void *context, size_t cell, const char *reason);
    void *context;
} pg_audit_group;

static inline bool pg_audit_wants(const pg_cell *cell, int64_t image)
{
    return image >= cell->first && image < cell->first + cell->count;
}

/* The chunk through the network, `from` its pixels or the patched ones. */
int pg_audit_forward(pg_audit_group *group, const uint8_t *pixels, float *logits) PG_MUST_USE;

/* Fills `audited` of a cell for the images of the chunk that it wants; `attack` false: verdicts alone. */
int pg_audit_verdicts(pg_audit_group *group, pg_audit_cell *cell, bool attack) PG_MUST_USE;
/* Each adds what it found in the chunk to the cells' rows; verdicts are there. */
int pg_audit_features(pg_audit_group *group, pg_audit_cell *cell) PG_MUST_USE;
int pg_audit_locality(pg_audit_group *group) PG_MUST_USE;
int pg_audit_pixels(pg_audit_group *group, pg_audit_cell *cell) PG_MUST_USE;

#endif
