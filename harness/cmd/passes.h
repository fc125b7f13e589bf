/* What the passes of a cell ran on, against what the locality was measured on. */
#ifndef PG_CMD_PASSES_H
#define PG_CMD_PASSES_H

#include "db/store.h"

#include <stdbool.h>

/* What a cell's measurement speaks for. */
typedef struct pg_measured {
    bool has_delta;    /* there is one */
    const char *model; /* the null model computes every position on its own, on whatever machine */
    const char *kinds; /* pg_locality_result; "": not recorded */
    int batch;         /* of the cell */
} pg_measured;
pg_measured pg_measured_of(const pg_cell_result *cell); /* as the store has it; borrowed */

typedef struct pg_passes {
    int smallest_batch;        /* images of a pass; 0: nothing counts yet */
    bool smaller_batch;        /* memory ran out: fewer than the cell's */
    int64_t images, certified; /* of passes that the measurement does not speak for; without one: of none */
    char on[112];              /* what the first of these ran on: "cpu avx2", "cpu avx2 in batches of 64" */
} pg_passes;
int pg_passes_of(pg_store *store, const char *cell_id, const pg_measured *measured, pg_passes *out) PG_MUST_USE;

#endif
