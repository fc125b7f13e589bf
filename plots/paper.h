/* The publication's numbers (PatchGuard, tables II and IV to XXI), to stand beside ours: plots/paper.csv, built into the
 * program.
 *
 * A row of that file is one number: table, data set, model, defense with its feature type and perhaps an option, patch as a
 * share of the image, metric by the name that ours has. The publication's certificate of robust masking is no proof, so it
 * stands beside certified_published. "revision" is no table: it holds the per-class certificates of the authors' later
 * revision, as recalled in the literature. Pure functions; thread-safe. */
#ifndef PG_PLOTS_PAPER_H
#define PG_PLOTS_PAPER_H

#include "harness/base/error.h"

#include <stdbool.h>

/* A cell of ours, as far as it decides which number stands beside it. Strings are borrowed. */
typedef struct pg_paper_cell {
    const char *dataset;                                      /* "cifar10:test" */
    const char *model;                                        /* architecture: "bagnet17" */
    int field;                                                /* receptive field, pixels; 0: everything */
    const char *defense, *feature, *clip, *threshold, *scope; /* "" where the defense has no such option */
    double share;                                             /* of the patch in the image, 0 to 1 */
} pg_paper_cell;

/* PG_EINPUT names the tables that there are. */
int pg_paper_check(const char *table) PG_MUST_USE;
/* The number beside a cell, in percent. Models count as equal where their family is ("bagnet", "ds-resnet", "resnet"); in a
 * table with several networks of a family only the one with the same receptive field does. */
bool pg_paper_value(const char *table, const pg_paper_cell *cell, const char *metric, double *value);

#endif
