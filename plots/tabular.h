/* Cells in rows and columns, with a head above and notes below, for people (text, Markdown, LaTeX) and for programs (CSV,
 * JSON): the one writer behind all tables that commands print in several formats.
 *
 * Cells are added row by row; the first row holds the headings. In text, Markdown and LaTeX cells are in the format's own
 * markup (pg_tabular_escape makes it of any text); CSV and JSON escape plain text themselves, and JSON takes the headings as
 * keys: an object a row, one a line. Rows may form groups: the first cell of a group is its label, whose lines go down beside
 * the group's rows. Text and Markdown are cut into blocks of columns that fit a page. Thread-safe: nothing is shared. */
#ifndef PG_PLOTS_TABULAR_H
#define PG_PLOTS_TABULAR_H

#include "harness/base/buf.h"

#include <stdint.h>

typedef enum pg_table_format {
    PG_TABLE_TEXT,
    PG_TABLE_CSV,
    PG_TABLE_JSON,
    PG_TABLE_JSON_LINES,
    PG_TABLE_MD,
    PG_TABLE_LATEX
} pg_table_format;
/* Names in the order of the enum, then NULL: all of them, and text with the formats for programs. */
extern const char *const pg_table_formats[], *const pg_row_formats[];
bool pg_format_is_rows(pg_table_format format); /* for programs */

typedef enum pg_tabular_kind {
    PG_TABULAR_WORDS,
    PG_TABULAR_NUMBER, /* an integer or a real; of a heading: the numbers of its column stand to the right */
    PG_TABULAR_BOOL,
    PG_TABULAR_ABSENT,
} pg_tabular_kind;

typedef enum pg_tabular_row_kind {
    PG_TABULAR_GROUP,    /* begins a group: its first cell is the label */
    PG_TABULAR_LABEL,    /* the same of a group without rows: the label alone */
    PG_TABULAR_MEMBER,   /* goes on with the group */
    PG_TABULAR_OPTIONAL, /* the same, and is left out of a block in which all its cells are empty */
} pg_tabular_row_kind;

typedef struct pg_tabular_cell {
    size_t at; /* of its text */
    pg_tabular_kind kind;
    pg_tabular_row_kind row; /* of the row that it begins */
} pg_tabular_cell;

typedef struct pg_tabular {
    pg_table_format format;
    const char *form;      /* what the rows are, in JSON: {"form": "table", "version": 1, "rows": [...]} */
    size_t columns, fixed; /* the first `fixed` columns stand in every block, and are words in LaTeX; at least 1 */
    size_t page;           /* characters of a line; 0: as wide as the cells, nothing padded or ruled that need not be */
    const char *absent;    /* what text has for an absent cell */
    /* LaTeX: texts for \\caption and \\label, escaped here, around which a table environment stands; NULL: none. `siunitx`:
     * each column behind the fixed ones is two, numbers of the package siunitx, and behind a tab in a cell what follows its
     * number */
    const char *caption, *label;
    bool siunitx;
    pg_buf head, notes; /* lines; of notes in text, Markdown and LaTeX only */
    /* the inside */
    pg_buf text;  /* of all cells, each behind a zero byte */
    pg_buf heads; /* as JSON has them before values, each with a zero byte behind it */
    pg_tabular_cell *cells;
    size_t n, capacity;
    pg_tabular_row_kind next; /* kind of the row that begins */
    size_t written;           /* rows that pg_tabular_flush forgot, with that of the headings */
} pg_tabular;

/* *new* inside, pg_tabular_release. Memory that runs out is told by pg_tabular_print. */
void pg_tabular_init(pg_tabular *t, pg_table_format format, size_t columns, size_t fixed);
void pg_tabular_release(pg_tabular *t);
void pg_tabular_row(pg_tabular *t, pg_tabular_row_kind kind); /* the next cell begins such a row; else it is PG_TABULAR_GROUP */
/* Begins the next cell. Its text is what is appended to the buffer until the next one begins. */
pg_buf *pg_tabular_add(pg_tabular *t, pg_tabular_kind kind);
void pg_tabular_number(pg_tabular *t, int64_t value);   /* a count; negative: absent */
void pg_tabular_integer(pg_tabular *t, int64_t value);  /* any */
void pg_tabular_real(pg_tabular *t, double value);      /* shortest digits that read back the same; not finite: absent */
void pg_tabular_bool(pg_tabular *t, bool value);        /* true or false in JSON, 1 or 0 in CSV, yes or no for people */
void pg_tabular_words(pg_tabular *t, const char *text); /* as it is; NULL: absent */

/* Appends a text with nothing in it that a reader of the format acts on, with `newline` for every line end. */
void pg_tabular_escape(pg_table_format format, const char *text, const char *newline, pg_buf *out);
/* For programs: appends the rows so far and forgets them, but for the headings, so that a list of any length needs little
 * memory; between rows. Does nothing in formats for people. */
void pg_tabular_flush(pg_tabular *t, pg_buf *out);
/* Appends all of it, or what pg_tabular_flush left; once. PG_ENOMEM. */
int pg_tabular_print(pg_tabular *t, pg_buf *out) PG_MUST_USE;

#endif
