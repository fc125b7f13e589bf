/* The result of one cell as a file that others can check: `export --submission` writes it, `verify` reads it.
 *
 * JSON of the form "submission", version 1 (harness/MANUAL.md): program, model, data set and defense with their hashes, threat
 * model, counts with 95% Wilson intervals, audits, cost, the matrix and the commands that make it again, and for every image
 * prediction, certificate and margin. */
#ifndef PG_CMD_LEADERBOARD_H
#define PG_CMD_LEADERBOARD_H

#include "db/store.h"

typedef struct pg_leaderboard_image {
    int prediction; /* -1: non-finite */
    bool certified, has_margin;
    int64_t margin; /* grid units of 2^-20 */
} pg_leaderboard_image;

typedef struct pg_leaderboard {
    char *matrix; /* text of a matrix file of this one cell, without data set, weights, images, delta and attack */
    char *weights, *dataset;
    char weights_hash[PG_HASH_HEX], dataset_hash[PG_HASH_HEX];
    int64_t batch;                /* images of a forward pass */
    bool any_batch;               /* certificates with room for what moves with place and batch */
    int64_t first, count;         /* images of the split */
    pg_leaderboard_image *images; /* [count] */
} pg_leaderboard;

/* Appends the file of a cell that is done. PG_EINPUT where it is not; as the store's functions. */
int pg_leaderboard_write(pg_store *store, const char *cell_id, pg_buf *out) PG_MUST_USE;

/* *new* inside, pg_leaderboard_release. PG_EINPUT with what is wrong, PG_EMISSING. */
int pg_leaderboard_read(const char *path, pg_leaderboard *out) PG_MUST_USE;
void pg_leaderboard_release(pg_leaderboard *entry);

#endif
