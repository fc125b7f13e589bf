/* The report: one HTML page that needs nothing else, neither files beside it nor a network.
 *
 * Written piece by piece into buffers, from plain structs; it knows no database. Every text that comes in, whatever bytes it
 * has, goes through pg_report_text. The page's Content-Security-Policy forbids all but its own style and script, by their
 * hashes (plots/report.css, plots/report.js), and pictures that stand in the page; so there are no style attributes and no
 * handlers in it. Works without the script: only sorting, filters and links that save figures are missing then. Thread-safe:
 * nothing is shared. */
#ifndef PG_PLOTS_REPORT_H
#define PG_PLOTS_REPORT_H

#include "plots/table.h"

/* Appends a text so that it is nothing but text, in elements and in quoted attributes; of characters that pg_text_add replaces,
 * what it puts there. A "\n" becomes a blank. */
void pg_report_text(const char *text, pg_buf *out);

/* A section, with a heading and an anchor to it: "s" and its number. Sections are not nested. */
void pg_report_section_begin(int number, const char *heading, pg_buf *out);
void pg_report_section_end(pg_buf *out);
void pg_report_paragraph(const char *text, pg_buf *out);
void pg_report_preformatted(const char *text, pg_buf *out); /* lines and blanks as they are */
/* What is below an <h3>, or folded away until a reader opens it. */
void pg_report_heading(const char *text, pg_buf *out);
void pg_report_fold_begin(const char *summary, bool open, pg_buf *out);
void pg_report_fold_end(pg_buf *out);

/* Keys and values; `settings`: those of a cell by which the script lets readers filter its table. */
void pg_report_facts_begin(bool settings, pg_buf *out);
void pg_report_fact(const char *key, const char *value, pg_buf *out);
void pg_report_facts_end(pg_buf *out);

/* The cells of a table, one a row, in the order in which they are added: labels, metrics with 95% intervals, images, and below
 * each, folded, where its numbers come from. A metric that no cell has is left out. Readers may sort them, and filter them by
 * the settings in their details. */
typedef struct pg_report_cells {
    const pg_table *table; /* borrowed */
    uint64_t shown;        /* bit m: metric m, of at most 64 */
} pg_report_cells;
void pg_report_cells_begin(const pg_table *table, pg_report_cells *cells, pg_buf *out);
/* `anchor`: unique in the page, of letters and digits; `state` and `details` (HTML from this header) are of the cell `id`. */
void pg_report_cell(const pg_report_cells *cells, const pg_table_entry *entry, const char *anchor, const char *id,
                    const char *state, const pg_buf *details, pg_buf *out);
/* With the table's notes behind it; PG_ENOMEM. */
int pg_report_cells_end(const pg_report_cells *cells, pg_buf *out) PG_MUST_USE;

/* A list with a heading for each column; a column without any text is left out. Readers may sort it. Numbers stand to the
 * right. Written and released at its end. */
enum { PG_REPORT_COLUMNS = 32 };
typedef struct pg_report_list {
    const char *const *heads; /* [n], borrowed; at most PG_REPORT_COLUMNS */
    size_t n;
    /* the inside */
    pg_buf texts; /* of all rows, each text with a zero byte behind it; before each row its anchor */
    size_t rows;
} pg_report_list;
void pg_report_list_begin(pg_report_list *list, const char *const *heads, size_t n);
void pg_report_list_row(pg_report_list *list, const char *const *texts,
                        const char *anchor);                /* anchor of the cell; NULL: none */
void pg_report_list_end(pg_report_list *list, pg_buf *out); /* nothing is written where there is no row */

typedef struct pg_report_picture {
    const char *type; /* "image/svg+xml" */
    const void *bytes;
    size_t size;
    const char *name, *caption; /* for who cannot see it; below it, may be NULL */
    const char *file;           /* readers may save it by this name, without its ending; NULL: no link to do so */
    const char *verdict;        /* of a gallery, where readers filter by it and by class; NULL: of none */
    const char *class;          /* name of the true class, with verdict */
    bool marked;                /* the caption stands out */
    int width, height;          /* shown, pixels; 0: its own */
} pg_report_picture;
void pg_report_pictures_begin(bool small, pg_buf *out);
void pg_report_picture_add(const pg_report_picture *picture, pg_buf *out);
void pg_report_pictures_end(pg_buf *out);

/* The whole page around `body`. PG_ENOMEM. */
int pg_report_page(const char *title, const pg_buf *body, pg_buf *out) PG_MUST_USE;

#endif
