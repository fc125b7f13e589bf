/* What the parts of `patchgauge report` share: the page as it grows, and the copy of the database that all of it
 * is read from. */
#ifndef PG_CMD_REPORT_H
#define PG_CMD_REPORT_H

#include "db/store.h"
#include "harness/cmd/layout.h"
#include "harness/cmd/pictures.h"
#include "plots/report.h"

enum { PG_REPORT_ORIGINS = 64, PG_REPORT_ANCHOR = 32, PG_REPORT_PICTURE_BYTES = 16 << 20 };

typedef struct pg_report_work {
    pg_context context; /* its database is the copy */
    pg_store *store;
    const char *scratch; /* folder for what figures leave */
    bool figures;        /* draw them */
    int sheet;           /* images of a contact sheet, */
    bool broken_only;    /* of those that the attack broke */
    pg_buf body, nav;
    int sections;
    size_t picture_bytes;             /* of contact sheets, so far */
    char *origins[PG_REPORT_ORIGINS]; /* revision, library and machine of attempts, each once; owned */
    size_t n_origins;
    pg_pictures pictures;
} pg_report_work;

/* One table with the ids of its entries' cells, "s1c0" being the anchor of the first entry of section 1. */
typedef struct pg_report_part {
    const pg_table *table;
    const char *const *ids; /* [n_entries] */
    int section;
} pg_report_part;

/* Appends the cells with their origin, then their audits where there are any (report_cells.c). */
int pg_report_add_cells(pg_report_work *work, const pg_report_part *part) PG_MUST_USE;
/* Appends every figure that a matrix has data for, and which are left out and why (report_pictures.c). */
int pg_report_add_figures(pg_report_work *work, const pg_layout_request *request) PG_MUST_USE;
/* Appends the contact sheets of cells with an attack, where patches were kept and the data set can be read. */
int pg_report_add_sheets(pg_report_work *work, const pg_report_part *part) PG_MUST_USE;
/* Appends the figures that a table alone makes: of counts, whose columns are as they are. */
int pg_report_add_table_figures(pg_report_work *work, const pg_table *table) PG_MUST_USE;
/* Begins the next section, named in the page's list of them. */
void pg_report_begin_section(pg_report_work *work, const char *name, const char *heading);
/* A key that a user chooses: one of a matrix file, or an option of the cell's modules (report_all.c). */
bool pg_report_is_choice(const pg_cell_result *result, const char *key);
/* The section of all cells of the database, or of those that --only chooses, the newest `most` of them. */
int pg_report_add_all(pg_report_work *work, const pg_texts *only, int64_t most, bool best) PG_MUST_USE;
/* The section of the cells of a matrix file that -S added: those that are not in the plan. None: nothing is added. */
int pg_report_add_changed(pg_report_work *work, const pg_plan *plan, int64_t most, bool best) PG_MUST_USE;

#endif
