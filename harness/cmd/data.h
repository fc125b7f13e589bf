/* What the actions of `patchgauge data` share. */
#ifndef PG_CMD_DATA_H
#define PG_CMD_DATA_H

#include "harness/base/buf.h"
#include "harness/cmd/command.h"
#include "harness/data/kind.h"

/* The options of the kinds of data sets, for PG_TABLES rows of the two actions. */
const pg_option *pg_data_fetch_table(size_t at);
const pg_option *pg_data_import_table(size_t at);
/* Defaults and what was given, names and values in turns, into the configuration of a kind (PG_CONFIG_MAX bytes). PG_EUSAGE for
 * an option of another kind, PG_EINPUT for a value. */
int pg_data_options_configure(const pg_texts *given, bool fetch, const pg_dataset_kind *kind, void *config) PG_MUST_USE;

/* Prints a line for each split of a data set. */
int pg_data_report(const pg_context *context, const char *name) PG_MUST_USE;

extern const pg_command pg_data_fetch; /* the action (data_fetch.c) */

#endif
