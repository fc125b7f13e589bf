/* Result tables for people: cells laid out by row and column, several metrics each, as text, Markdown or LaTeX.
 *
 * A table is built from plain entries, one per cell of the matrix, so that it knows nothing of matrices or databases. Shares
 * are printed in percent with their 95% Wilson interval and with n, the number of images behind them. Below a text or Markdown
 * table stand notes on everything a reader must know to trust it: cells that are not complete, certificates that assume an
 * unmeasured locality, certificates that are no proofs, images that could not be evaluated. Thread-safe: nothing is shared. */
#ifndef PG_PLOTS_TABLE_H
#define PG_PLOTS_TABLE_H

#include "harness/base/hash.h"
#include "plots/tabular.h"
#include "harness/base/stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PG_TABLE_CASES = 5 };

/* One image of a cell with an attack. */
typedef struct pg_table_attack {
    int64_t steps;
    int top, left; /* of the patch, pixels */
    bool correct;  /* without the patch */
    bool broken;   /* correct without the patch, misclassified with it */
} pg_table_attack;

/* Cells that differ in their seed alone and are shown as one: those that are complete. */
typedef struct pg_table_seeds {
    int64_t n;            /* 0: one cell; else the counts below are those of the first */
    int64_t left_out;     /* not complete */
    pg_interval attacked; /* mean accuracy under attack, with its interval over images (pg_mean_of_shares) */
    double deviation;     /* standard deviation of the accuracies, shares; NaN for one seed */
} pg_table_seeds;

/* One cell of the matrix with the sums of its outcomes. Strings are borrowed and outlive the table. Counts are negative where
 * the cell has no such number: certified as published only where the rule has such a certificate, and so on. */
typedef struct pg_table_entry {
    char cell_id[PG_HASH_HEX];            /* "": of no cell */
    const struct pg_table_entry *same_as; /* the entry of the same cell that is written in another way; NULL: none before it */
    const char *row, *column;             /* labels; "\n" separates the parts of a label */
    const char *weights;                  /* short name, for notes */
    const char *state;                    /* "new", "partial", "done", "failed"; static */
    int64_t expected;                     /* images the cell is to have */
    int64_t n;                            /* images it has */
    int64_t clean, certified;             /* of n */
    int64_t attacked;                     /* correct without a patch and under attack */
    int64_t targeted, reached;            /* attacked images of another class than the target, and those that predict it */
    pg_table_seeds seeds;
    int64_t broken;                 /* certified and wrong under attack; more than 0: the certificate is no proof */
    bool smaller_batch;             /* memory ran out: computed with fewer images at a time than the cell asks for */
    bool target_unreachable;        /* the patches have a target, which is none of the classes that are predicted */
    bool gradient_is_of_mean;       /* the attack differentiates the mean of the local logits, not the defense */
    int64_t published;              /* certified as published */
    int64_t published_audited;      /* of these, what an audit of all images by features did not break */
    int64_t cases[PG_TABLE_CASES];  /* failure cases of the published certificate */
    int64_t masked;                 /* clean images on which a masking rule masks something */
    int64_t nonfinite;              /* images with a NaN or an infinity */
    int64_t saturated, differs;     /* images with values beyond the grid's end; predicted otherwise by the rule in double.
                                       Negative:     not counted of all n */
    int64_t smallest_margin;        /* grid units (2^-20) */
    int64_t delta;                  /* measured locality, grid units, that every certificate survives; negative: not measured */
    bool any_batch;                 /* with room for what an image moves with its place and its batch, */
    int64_t moved;                  /* which of logits is this, grid units, */
    char batches[48];               /* tried in these: "1,16,64,128" */
    char measured_on[256];          /* kinds of machines: "cpu avx512"; "": not recorded */
    int64_t unmeasured;             /* certified images that rest on no measurement */
    int64_t elsewhere;              /* images that ran on what the measurement does not speak for, */
    char elsewhere_on[112];         /* on this, or in part: "cuda sm_90", "cpu avx2 in batches of 64" */
    const pg_table_attack *attacks; /* images under attack, read for figures that show them; else NULL */
    size_t n_attacks;
    /* the publication's number for each metric of the table, percent; NaN: none. NULL: no such comparison */
    const double *paper;
    bool several_places; /* the attack tries several places on an image, and ends at the first that breaks it */
    int image_height, image_width, patch_height, patch_width; /* pixels; 0: not known */
} pg_table_entry;

/* One epoch of a network's training. */
typedef struct pg_table_epoch {
    double loss, val; /* val: share of the validation images; NaN: not measured */
} pg_table_epoch;

/* A network of the matrix, for figures that show networks. */
typedef struct pg_table_network {
    const char *name; /* short, as a table shows it */
    const pg_table_epoch *epochs;
    size_t n_epochs;
    /* [map_height][map_width] mean size of d local logit / d pixel, for the position in the middle; NULL: none */
    const float *map;
    int map_height, map_width;
    int field_top, field_left, field_height, field_width; /* the position's receptive field, pixels; it may wrap */
    int64_t images;                                       /* that the map is a mean of */
} pg_table_network;

/* Measured times: tasks whose local logits all came from the network, not from a cache. */
typedef struct pg_table_time {
    const char *label;  /* the network; "\n" separates the parts */
    const char *device; /* "cpu, 2 threads, batch 128, libtorch 1.13.0" */
    int64_t images;
    double read_s, forward_s, certify_s; /* of all of them */
    int64_t cells;                       /* that a task certified at once */
} pg_table_time;

typedef enum pg_metric_kind {
    PG_METRIC_SHARE, /* a count of images, shown in percent of n with an interval */
    PG_METRIC_COUNT, /* a count, shown as it is */
    PG_METRIC_GRID,  /* grid units, shown in units of evidence */
} pg_metric_kind;

typedef struct pg_metric {
    const char *name;    /* as in --metrics and in rows for programs */
    const char *label;   /* as tables for people show it */
    const char *summary; /* one line */
    pg_metric_kind kind;
    size_t offset; /* of the int64_t in pg_table_entry; negative: not defined for this cell */
    int better;    /* 1: larger is better, -1: smaller; 0: neither */
} pg_metric;

extern const pg_metric pg_metrics[]; /* ends with name NULL */

/* PG_EINPUT with the nearest name. */
int pg_metric_find(const char *name, const pg_metric **out) PG_MUST_USE;
int64_t pg_metric_of(const pg_metric *metric, const pg_table_entry *entry);
/* The images that a share is of: n, or fewer. */
int64_t pg_metric_base(const pg_metric *metric, const pg_table_entry *entry);
/* A share with its interval, of an entry that has the metric: Wilson's, or over the seeds. All NaN without images. */
pg_interval pg_table_share(const pg_metric *metric, const pg_table_entry *entry);
/* Whether this metric of this entry is a mean over seeds. */
bool pg_table_is_mean(const pg_metric *metric, const pg_table_entry *entry);

/* Rows and columns appear in the order of their first entry. Everything is borrowed. */
typedef struct pg_table {
    const char *title; /* one line above text and Markdown; may be NULL */
    const char *fixed; /* settings that all cells share, not at their default: "feature=confidence"; may be NULL */
    const char *row_key, *column_key; /* headings: "defense", "patch" */
    const pg_table_entry *entries;    /* at most one per row and column */
    size_t n_entries;
    const pg_metric *const *metrics;
    size_t n_metrics;
    const char *paper;                /* the publication's table whose numbers stand beside; NULL: none */
    size_t text_width;                /* characters in a line of text; 0: 80 */
    bool best;                        /* the best share of a column in bold, in text with a + behind it */
    const char *caption, *label;      /* LaTeX: of a table environment; NULL: none */
    bool siunitx;                     /* LaTeX: columns of numbers for the package siunitx */
    const pg_table_network *networks; /* for figures, where they ask for them */
    size_t n_networks;
    const pg_table_time *times;
    size_t n_times;
} pg_table;

/* Appends the whole table with its notes, in a format for people (table_print.c). PG_EINPUT where two entries share row and
 * column; PG_ENOMEM. */
int pg_table_print(const pg_table *table, pg_table_format format, pg_buf *out) PG_MUST_USE;

/* Appends the notes alone, one a line; Markdown's are escaped (table_notes.c). */
void pg_table_notes(const pg_table *table, pg_table_format format, pg_buf *out);

/* ---- Shared by the writers -------------------------------------------------------------------------------------------- */

/* The labels of one side in the order of their first appearance; *new* array of borrowed strings, free(). PG_ENOMEM. */
int pg_table_labels(const pg_table *table, bool columns, const char ***labels, size_t *n) PG_MUST_USE;
/* The entries by row and column; *new* array of borrowed pointers, free(). PG_EINPUT where two share row and
 * column; PG_ENOMEM. */
int pg_table_sort(const pg_table *table, const pg_table_entry ***sorted) PG_MUST_USE;
/* The entry of a row and column among the sorted ones, NULL if there is none. */
const pg_table_entry *pg_table_at(const pg_table *table, const pg_table_entry *const *sorted, const char *row,
                                  const char *column);
/* The largest share (smallest, where that is better) of metric m in column c among complete cells: *new*
 * [n_metrics][n_columns], NaN where nothing is best; free(). */
int pg_table_best(const pg_table *table, const pg_table_entry *const *sorted, const char *const *rows, size_t n_rows,
                  const char *const *columns, size_t n_columns, double **best) PG_MUST_USE;
bool pg_table_is_best(const pg_metric *metric, const pg_table_entry *entry, double best);
/* Whether metric m of this entry of the table is the best in its column; several may be. */
bool pg_table_leads(const pg_table *table, size_t m, const pg_table_entry *entry);

#endif
