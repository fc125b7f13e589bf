/* The cells that a command takes whose matrix file is optional: those of the matrix, or of the whole database, that --only
 * chooses. */
#ifndef PG_CMD_CELL_LIST_H
#define PG_CMD_CELL_LIST_H

#include "harness/cmd/matrix_args.h"

typedef struct pg_cell_list {
    char (*ids)[PG_HASH_HEX]; /* in the order of rows, or of creation; all of them are in the store */
    size_t n, room;
    pg_plan *plan; /* the matrix; NULL: none was given */
} pg_cell_list;

/* *new* inside, pg_cell_list_release, also after a failure. `shown`: weights and data sets of a matrix need not be here
 * (pg_matrix_args_show). PG_EUSAGE (-S without a matrix), and as pg_matrix_args_open. */
int pg_cell_list_of(const pg_context *context, const pg_matrix_args *args, bool shown, pg_store *store,
                    pg_cell_list *out) PG_MUST_USE;
void pg_cell_list_release(pg_cell_list *list);

#endif
