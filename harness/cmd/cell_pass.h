/* The images of one cell through its network once more, and their evidence: neither is stored. Images are forwarded in the
 * batches of `run`, image i at place i % at_once, so that local logits are those that the attack and the deployed path saw.
 * Loads libtorch: in a process of its own. One thread. */
#ifndef PG_CMD_CELL_PASS_H
#define PG_CMD_CELL_PASS_H

#include "db/store.h"
#include "defenses/evidence.h"
#include "harness/base/memory.h"
#include "harness/data/dataset.h"
#include "harness/plan/plan.h"
#include "harness/target/paste.h"

typedef struct pg_cell_pass {
    const pg_cell *cell; /* borrowed, with its plan */
    pg_dataset *dataset;
    pg_network *network;
    size_t image, positions, map, patch; /* values of one: as the network takes it, of a map, with its classes, of a patch */
    pg_outcome *outcomes;                /* [count] */
    pg_attack_row *attacks;              /* [count], their patches lie in `patches`; NULL without an attack */
    uint8_t *patches;                    /* [count][patch] */
    /* the inside */
    int64_t n_attacks, n_outcomes; /* read so far */
    size_t source;                 /* values of an image before a resize, where patches are put on there; else 0 */
    uint8_t *pixels, *attacked, *sources;
    float *logits, *after;
    pg_paste paste;
    pg_memory memory;
} pg_cell_pass;

/* One image; everything borrowed during the call. */
typedef struct pg_pass_image {
    int64_t number;                   /* of the cell, from 0 */
    const uint8_t *pixels, *attacked; /* as the network takes it; attacked and after: NULL without an attack */
    const float *logits, *after;      /* [positions][classes] */
} pg_pass_image;

/* Reads a cell that is done from the database, with all patches. *New* inside, pg_cell_pass_close, also after a failure.
 * PG_EINPUT (data set or weights changed), PG_EDAMAGED, PG_EMISSING, PG_ENOMEM. */
int pg_cell_pass_open(const pg_cell *cell, const char *db_path, const char *data_dir, const char *device, int threads,
                      pg_cell_pass *out) PG_MUST_USE;
/* Calls `each` for every image in order, with progress on standard error. Its code, or PG_EINTERRUPTED after a signal. */
int pg_cell_pass_run(pg_cell_pass *pass, int (*each)(const pg_pass_image *image, void *context), void *context) PG_MUST_USE;
void pg_cell_pass_close(pg_cell_pass *pass);

/* The evidence of one image at a time, as the defense of a cell sees it. */
typedef struct pg_cell_evidence {
    const pg_cell *cell;  /* borrowed */
    pg_evidence evidence; /* of the last image; its q is [positions][classes] */
    bool finite;          /* false: a logit is a NaN or an infinity, and there is no evidence */
    pg_window window;     /* cut to the map */
    /* the inside */
    pg_evidence_spec spec;
    int32_t *q;
    double *row;
    void *scratch;
    pg_memory memory;
} pg_cell_evidence;
/* PG_ENOMEM; pg_cell_evidence_release in any case. Stays where it is: it points into itself. */
int pg_cell_evidence_init(const pg_cell *cell, pg_cell_evidence *out) PG_MUST_USE;
void pg_cell_evidence_release(pg_cell_evidence *evidence);
void pg_cell_evidence_of(pg_cell_evidence *evidence, const float *logits);
/* The window that the rule leaves out of the score of class c; false: none. */
bool pg_cell_evidence_masked(const pg_cell_evidence *evidence, int c, int *top, int *left);

#endif
