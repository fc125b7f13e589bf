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
    const struct pg_command *actions; /* optional, in the place of rows and run: what its first word may be; the last has no
                                         name */
    /* In the place of `run`, while there are commands that read their arguments on their own. */
    int (*run_words)(const pg_context *context, int argc, char **argv);
    const struct pg_option *options;
    const char *options_title;
    void (*more)(pg_buf *out); /* optional: appends to the help what the program knows only when it runs */
} pg_command;

extern const pg_command *const pg_commands[]; /* NULL-terminated, sorted by name */
#define PG_COMMAND(id) extern const pg_command pg_command_##id;

/* The named command, or NULL with PG_EUSAGE's message (nearest name). */
const pg_command *pg_command_find(const char *name);

/* In the `val` of a row of struct option: the option may be given several times, as its page says. */
enum { PG_COMMAND_MANY = 1 << 16 };

/* getopt_long for commands, with `optind = 0` before the first call. An option that is given twice is an error ('?'), whatever
 * it is called by, unless its row is marked with PG_COMMAND_MANY, which is taken off the result; of letters without a row only
 * -S may be given again. */
struct option;
int pg_command_option_next(int argc, char **argv, const char *letters, const struct option *options) PG_MUST_USE;

/* For its '?' and ':' (main sets opterr to 0): PG_EUSAGE with the option's name, the nearest one of `options` (the struct
 * option array, may be NULL) and where help is. argv[0] is the subcommand's name. */
int pg_command_option_error(char **argv, const struct option *options, int result);

/* The overview, and the page of one command. PG_ENOMEM. */
int pg_help_overview(FILE *stream) PG_MUST_USE;
int pg_help_command(const pg_command *command, FILE *stream) PG_MUST_USE;

#endif
