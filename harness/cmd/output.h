/* Where results go: the options -f, -o and --force of all commands that print some.
 *
 * Between begin and end, standard output is the file of -o where there is one, so that a command prints as it always does; the
 * file appears at once with the end, or not at all. */
#ifndef PG_CMD_OUTPUT_H
#define PG_CMD_OUTPUT_H

#include "harness/base/cli.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "plots/tabular.h"

typedef struct pg_output {
    int format;       /* pg_table_format */
    const char *file; /* borrowed from the command line; NULL: standard output */
    bool force;
    /* the inside */
    bool open;
    pg_file_writer writer;
    int stdout_fd; /* a copy of standard output */
} pg_output;

/* Rows for a pg_output at an offset of the request. `formats`: pg_row_formats or pg_table_formats. */
#define PG_OUTPUT_FORMAT_ROW(at, formats) PG_OUTPUT_FORMAT_ROW_OF(at, formats, "text")
#define PG_OUTPUT_FORMAT_ROW_OF(at, formats, usual)                                                             \
    {                                                                                                           \
        'f', "format", "FORMAT", "of the output", usual, (at) + offsetof(pg_output, format), PG_CHOICE(formats) \
    }
#define PG_OUTPUT_FILE_ROW(at)                                                                                                 \
    {                                                                                                                          \
        'o', "output", "FILE", "print to this file, whole or not at all", NULL, (at) + offsetof(pg_output, file), PG_TEXT_FULL \
    }
#define PG_OUTPUT_FORCE_ROW(at)                                                            \
    {                                                                                      \
        0, "force", NULL, "replace FILE", NULL, (at) + offsetof(pg_output, force), PG_FLAG \
    }

/* Checks the file and opens it. `inputs` as pg_output_check: what the command reads, and its database. A command that computes
 * for long calls pg_output_check first, and this when it has something to print. PG_EINPUT, PG_EIO. */
int pg_output_begin(pg_output *output, const char *const *inputs) PG_MUST_USE;
/* Prints the rows so far of a long list (pg_tabular_flush), and a whole table with its notes. PG_EIO, PG_ENOMEM. */
int pg_output_rows(const pg_output *output, pg_tabular *rows) PG_MUST_USE;
int pg_output_table(const pg_output *output, pg_tabular *table) PG_MUST_USE;
int pg_output_text(const pg_output *output, const pg_buf *text) PG_MUST_USE; /* as it is */
/* Prints a JSON array of objects in a format for programs. CSV has a column for each key that occurs, in the order in which
 * keys come; an object within a row is spread into the row, a list is left out. Takes `rows` over; NULL: PG_ENOMEM. */
int pg_output_json(const pg_output *output, const char *form, json_t *rows) PG_MUST_USE;
/* Puts the file in its place, or, after a failure `code`, removes what there is of it. The code, or PG_EIO; harmless where
 * begin failed or was not called. */
int pg_output_end(pg_output *output, int code) PG_MUST_USE;

#endif
