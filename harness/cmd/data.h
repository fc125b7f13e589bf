/* What the actions of `patchgauge data` share. */
#ifndef PG_CMD_DATA_H
#define PG_CMD_DATA_H

#include "harness/base/buf.h"
#include "harness/cmd/command.h"
#include "harness/data/kind.h"

#include <getopt.h>

enum { PG_DATA_OPTIONS = 48 /* of all kinds, and of an action: at most */ };

/* The options of the kinds of data sets that are given to an action, whichever kind they are of. */
typedef struct pg_data_options {
    bool fetch; /* those of `fetch`; else of `import` */
    struct option
        rows[PG_DATA_OPTIONS]; /* of the action itself, then of the kinds, whose `val` is their place + PG_DATA_OPTION */
    const char *given[PG_DATA_OPTIONS]; /* values by row, borrowed from the command line; NULL: not given */
} pg_data_options;
enum { PG_DATA_OPTION = 256 };

/* `action`: its own rows, ended by one of zeros. */
void pg_data_options_init(pg_data_options *options, bool fetch, const struct option *action);
/* What getopt_long returned: true where it is an option of a kind, which is kept. */
bool pg_data_options_take(pg_data_options *options, int result);
/* Defaults and what was given into the configuration of a kind (PG_CONFIG_MAX bytes). PG_EUSAGE for an option of another kind,
 * PG_EINPUT for a value. */
int pg_data_options_configure(const pg_data_options *options, const pg_dataset_kind *kind, void *config) PG_MUST_USE;
/* The name of the first option of a kind that was given, NULL: none was. */
const char *pg_data_options_first(const pg_data_options *options);

/* Prints a line for each split of a data set. */
int pg_data_report(const pg_context *context, const char *name) PG_MUST_USE;

/* `data fetch`; argv[0] is "fetch" (data_fetch.c). */
int pg_data_fetch(const pg_context *context, int argc, char **argv) PG_MUST_USE;

#endif
