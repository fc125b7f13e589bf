/* A subcommand is one file in harness/cmd with one descriptor; make gathers the PG_COMMAND(...) lines into the list. */
#ifndef PG_CMD_COMMAND_H
#define PG_CMD_COMMAND_H

#include "harness/base/cli.h"

#include <stdio.h>

/* Global options, accepted before and after the subcommand's name. */
typedef struct pg_context {
    const char *db_path;   /* --db */
    const char *data_dir;  /* --data, $PATCHGAUGE_DATA, ./data */
    const char *cache_dir; /* --cache, default $XDG_CACHE_HOME/patchgauge or ~/.cache/patchgauge */
    int64_t cache_bytes;   /* --cache-size */
    pg_texts plugins;      /* --plugin, as given; loaded before the command runs */
    bool quiet, trust, version, help;
} pg_context;
extern const pg_cli_row pg_global_rows[]; /* of pg_context */

typedef struct pg_command {
    const char *name;
    const char *synopsis; /* "certify FEATURES LABELS --defense NAME --window HxW [options]" */
    const char *summary;  /* one line */
    const char *help;     /* optional prose, in lines as pg_cli_prose takes them */
    const char *examples; /* optional; lines that are printed as they are */
    const pg_cli_row *rows;
    size_t request_size; /* of the struct that the rows describe */
    /* Runs the command on its request, which is released behind it. Returns an error code; main prints the message and turns it
     * into an exit code. --help is handled by main. */
    int (*run)(const pg_context *context, void *request);
    const struct pg_command *const
        *actions; /* optional, NULL-terminated, in the place of rows and run: what its first word may be */
    void (*more)(size_t width, pg_buf *out); /* optional: appends to the help what the program knows only when it runs */
} pg_command;

extern const pg_command *const pg_commands[]; /* NULL-terminated, sorted by name */
#define PG_COMMAND(id) extern const pg_command pg_command_##id;

/* The named command, or NULL with PG_EUSAGE's message (nearest name). */
const pg_command *pg_command_find(const char *name);

/* The overview, and the page of one command. PG_ENOMEM. */
int pg_help_overview(FILE *stream) PG_MUST_USE;
int pg_help_command(const pg_command *command, FILE *stream) PG_MUST_USE;

#endif
