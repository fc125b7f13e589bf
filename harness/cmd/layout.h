/* A matrix laid out as a table: its cells by row and column, each with what the store knows of it. For `table` and `plot`. */
#ifndef PG_CMD_LAYOUT_H
#define PG_CMD_LAYOUT_H

#include "harness/cmd/command.h"
#include "harness/cmd/matrix_args.h"
#include "plots/table.h"

enum { PG_LAYOUT_METRICS = 16 };

/* What both commands read from their arguments. Everything is borrowed from the command line. */
typedef struct pg_layout_request {
    pg_matrix_args matrix;
    const char *rows, *cols; /* keys, comma-separated: "defense", "defense,weights" */
    const char *metrics;     /* names, comma-separated */
    const char *figure;      /* the figure whose key `cols` is, for messages; NULL: the user's */
    unsigned reads;          /* pg_figure_reads: what the table holds besides counts */
    const pg_plan *plan;     /* the matrix, resolved already; NULL: opened here */
    const char *paper;       /* the publication's table that stands beside; NULL: none */
    bool best;
    bool each_seed; /* cells that differ in the seed alone are entries of their own, as where rows or cols name it */
    bool varying;   /* settings that do not vary are no part of labels: the table's `fixed` names them */
    bool likes;     /* rows that are written otherwise and resolve to a cell which is there stay, beside it */
} pg_layout_request;

/* Options that commands share, for a pg_layout_request at an offset of the request. */
/* clang-format off */
#define PG_LAYOUT_ROWS_ROW(at)                                                     \
    {0, "rows", "KEYS", "settings that make the rows, comma-separated", "defense", \
     (at) + offsetof(pg_layout_request, rows), PG_TEXT}
#define PG_LAYOUT_COLS_ROW(at)                                                                                       \
    {0, "cols", "KEYS", "settings that make the columns; what else varies becomes part of the row's label", "patch", \
     (at) + offsetof(pg_layout_request, cols), PG_TEXT}
#define PG_LAYOUT_METRICS_ROW(at, text)                                                               \
    {0, "metrics", "NAMES", (text), "clean,attacked,target_reached,certified,certified_published,published_audited", \
     (at) + offsetof(pg_layout_request, metrics), PG_TEXT}
#define PG_LAYOUT_PAPER_ROW(at)                                                                                     \
    {0, "paper", "TABLE",                                                                                           \
     "the publication's numbers beside ours, with the difference: II, IV to XXI, or revision (the per-class "       \
     "certificates of its later revision); cells of the same data set, family of networks, defense, feature type, " \
     "threshold and share of the patch are compared",                                                               \
     NULL, (at) + offsetof(pg_layout_request, paper), PG_TEXT}
/* clang-format on */

typedef struct pg_layout {
    pg_table table; /* ready to print; its strings belong to the layout */
    pg_table_entry *entries;
    const pg_cell **cells; /* of the entries with each_seed, with the settings as the row is written; borrowed from the plan */
    pg_plan *plan;         /* NULL: the request's */
    const pg_metric *metrics[PG_LAYOUT_METRICS];
    char *title, *fixed, *heads[2]; /* heads of rows and columns: their keys, comma-separated */
    pg_table_network *networks;     /* owned, as their strings and lists */
    pg_table_time *times;
} pg_layout;

/* Keys are the settings of cells, and "receptive-field": the pixels that a position sees, the shorter side of them, or the
 * width of a band.
 *
 * Reads the matrix, looks every cell up in the store (read only, no libtorch) and lays the cells out. Settings that vary and
 * are named neither by rows nor by cols become part of the row's label, so that no two cells are ever merged, but for the seeds
 * of attacked cells (each_seed, and reads without attacks). *new* inside, pg_layout_release, also after a failure. PG_EINPUT,
 * PG_EMISSING (no matrix, no database), ... */
int pg_layout_make(const pg_context *context, const pg_layout_request *request, pg_layout *out) PG_MUST_USE;
void pg_layout_release(pg_layout *layout);

/* The names of metrics, comma-separated, at most PG_LAYOUT_METRICS. PG_EUSAGE, PG_EINPUT. */
int pg_layout_metrics(const char *list, const pg_metric *metrics[PG_LAYOUT_METRICS], size_t *n) PG_MUST_USE;
/* Fills the metrics of an entry but `unmeasured` and `published_audited` from what the store knows of the cell, and that one.
 * `attacked`: the cell has an attack; `masks`: its defense does. */
void pg_layout_counts(const pg_cell_result *result, bool attacked, bool masks, pg_table_entry *entry);
int pg_layout_audited(pg_store *store, const char *cell_id, pg_table_entry *entry) PG_MUST_USE;

/* ---- The inside ---- */

/* Entries of attacked cells that differ in their seed alone become one, the first of them, with the mean of those that are
 * complete (layout_seeds.c). */
int pg_layout_merge_seeds(pg_store *store, const pg_plan *plan, pg_layout *out) PG_MUST_USE;
void pg_layout_release_entry(pg_table_entry *entry);

/* What some figures show besides counts (layout_more.c). */

/* The networks of the matrix, each once, with what `reads` asks for: the record of their training, the map of a position's
 * gradients. */
int pg_layout_networks(const pg_context *context, const pg_plan *plan, unsigned reads, pg_layout *out) PG_MUST_USE;
/* The times of the tasks that ran without an attack and without the feature cache. */
int pg_layout_times(pg_store *store, const pg_plan *plan, pg_layout *out) PG_MUST_USE;
void pg_layout_more_release(pg_layout *layout);
/* Appends "attack lavan, steps=20, feature=confidence": options and keys that have one value in all cells that have them,
 * another one than they would have if nobody had set them; an option with its module's name where other modules have another
 * value of it. */
void pg_layout_fixed(const pg_plan *plan, pg_buf *out);
/* Appends a weights file's name as tables show it: its stem, unless another file of the matrix has the same one. */
void pg_layout_weights(const pg_plan *plan, const char *path, pg_buf *out);

#endif
