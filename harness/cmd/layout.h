/* A matrix laid out as a table: its cells by row and column, each with what the store knows of it. For `table` and `plot`. */
#ifndef PG_CMD_LAYOUT_H
#define PG_CMD_LAYOUT_H

#include "harness/cmd/command.h"
#include "harness/cmd/matrix_args.h"
#include "plots/table.h"

enum { PG_LAYOUT_METRICS = 16 };

/* What both commands read from their arguments. Everything is borrowed from argv. */
typedef struct pg_layout_request {
    pg_matrix_args matrix;
    const char *rows, *cols; /* keys, comma-separated: "defense", "defense,weights" */
    const char *metrics;     /* names, comma-separated */
    const char *figure;      /* the figure whose key `cols` is, for messages; NULL: the user's */
    unsigned reads;          /* pg_figure_reads: what the table holds besides counts */
    const pg_plan *plan;     /* the matrix, resolved already; NULL: opened here */
    const char *paper;       /* the publication's table that stands beside; NULL: none */
    bool best;
    bool likes; /* rows that are written otherwise and resolve to a cell which is there stay, beside it */
} pg_layout_request;

/* Takes the options that commands share: 'r' --rows, 'c' --cols, 'm' --metrics, 'S' -S. PG_EUSAGE: too many -S. */
int pg_layout_option(pg_layout_request *request, int option, const char *value) PG_MUST_USE;

typedef struct pg_layout {
    pg_table table; /* ready to print; its strings belong to the layout */
    pg_table_entry *entries;
    const pg_metric *metrics[PG_LAYOUT_METRICS];
    char *title, *heads[2];     /* heads of rows and columns: their keys, comma-separated */
    pg_table_network *networks; /* owned, as their strings and lists */
    pg_table_time *times;
} pg_layout;

/* Keys are the settings of cells, and "receptive-field": the pixels that a position sees, the shorter side of them, or the
 * width of a band.
 *
 * Reads the matrix, looks every cell up in the store (read only, no libtorch) and lays the cells out. Settings that vary and
 * are named neither by rows nor by cols become part of the row's label, so that no two cells are ever merged. *new* inside,
 * pg_layout_release, also after a failure. PG_EINPUT, PG_EMISSING (no matrix, no database), ... */
int pg_layout_make(const pg_context *context, const pg_layout_request *request, pg_layout *out) PG_MUST_USE;
void pg_layout_release(pg_layout *layout);

/* ---- The inside: what some figures show besides counts (layout_more.c) ---- */

/* The networks of the matrix, each once, with what `reads` asks for: the record of their training, the map of a position's
 * gradients. */
int pg_layout_networks(const pg_context *context, const pg_plan *plan, unsigned reads, pg_layout *out) PG_MUST_USE;
/* The times of the tasks that ran without an attack and without the feature cache. */
int pg_layout_times(pg_store *store, const pg_plan *plan, pg_layout *out) PG_MUST_USE;
void pg_layout_more_release(pg_layout *layout);
/* Appends a weights file's name as tables show it: its stem, unless another file of the matrix has the same one. */
void pg_layout_weights(const pg_plan *plan, const char *path, pg_buf *out);

#endif
