/* Results for programs, in the form that harness/MANUAL.md describes: a row for each cell and metric (long), or for each cell
 * (wide), with a column for each setting that some cell has.
 *
 * All cells are shown twice: first their settings, of which the columns follow, then their counts. Rows are printed as they
 * come. */
#ifndef PG_CMD_TIDY_H
#define PG_CMD_TIDY_H

#include "harness/cmd/layout.h"
#include "harness/cmd/output.h"

typedef struct pg_tidy_column pg_tidy_column;

typedef struct pg_tidy {
    const pg_output *output; /* where to; its format is one for programs */
    const char *form;        /* "table", "export" */
    const pg_metric *const *metrics;
    size_t n_metrics;
    bool wide, paper; /* paper: columns for the publication's number, and ours less it */
    /* the inside */
    pg_tidy_column *columns; /* by key */
    size_t n_columns, room;
    pg_tidy_column **shown; /* in their order */
    pg_tabular rows;        /* of 0 columns: not begun */
} pg_tidy;

/* Settings of a cell, sorted by key, and what is derived of them, as those of pg_cell_result. PG_ENOMEM. */
int pg_tidy_keys(pg_tidy *tidy, const pg_setting *settings, size_t n) PG_MUST_USE;
/* Prints the rows of a cell, of which pg_tidy_keys has seen the settings. PG_EIO, PG_ENOMEM. */
int pg_tidy_cell(pg_tidy *tidy, const pg_setting *settings, size_t n, const pg_table_entry *entry) PG_MUST_USE;
/* Prints what is behind the last row, and where there was none, the head. Then pg_tidy_release. */
int pg_tidy_end(pg_tidy *tidy) PG_MUST_USE;
void pg_tidy_release(pg_tidy *tidy);

/* All of it for a layout; its notes, for which the form has no place, go to standard error. */
int pg_tidy_layout(const pg_layout *layout, const pg_output *output, const char *form, bool wide) PG_MUST_USE;

/* clang-format off */
#define PG_TIDY_WIDE_ROW(at)                                                              \
    {0, "wide", NULL, "in csv and json: a row for each cell, with a column for each metric", NULL, (at), PG_FLAG}
/* clang-format on */

#endif
