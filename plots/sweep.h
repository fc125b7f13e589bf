/* Accuracy against a number: what the figures threshold, clip, patch-size and receptive-field share. One panel for each kind of
 * accuracy that some cell has (clean; certified; certified as published; under attack), one line for each row.
 *
 * Data file: block 0: title, note and the text of the x axis; then for every panel and row one block: its label and, by x,
 * lines of x, value, lo, hi (percent), n; "nan" where the row has nothing to show there. */
#ifndef PG_PLOTS_SWEEP_H
#define PG_PLOTS_SWEEP_H

#include "plots/figure.h"

extern const char pg_script_sweep[];

typedef struct pg_sweep {
    const char *figure; /* its name, for messages */
    const char *axis;   /* text of the x axis: what is counted, and in which unit */
    const char *remedy; /* "give the matrix several values of ...": what to do where there are fewer than two */
    /* The number of a cell; false: it has none, and the cell is left out. */
    bool (*number)(const pg_table_entry *entry, double *x);
    /* Appends the name of a cell's place on an axis without a scale: the places are in the order of their numbers, one beside
     * the other, each with its name. NULL: the number is its place and its name. */
    void (*name)(const pg_table_entry *entry, pg_buf *out);
} pg_sweep;

/* The columns of the table are the values of the number. PG_EINPUT where no row has two of them. */
int pg_sweep_write(const pg_sweep *sweep, const pg_table *table, pg_figure_data *out) PG_MUST_USE;

/* A cell's column read as a number. */
bool pg_sweep_column(const pg_table_entry *entry, double *x);

#endif
