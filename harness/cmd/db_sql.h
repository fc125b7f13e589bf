/* The action `sql` of `patchgauge db`. */
#ifndef PG_CMD_DB_SQL_H
#define PG_CMD_DB_SQL_H

#include "harness/cmd/command.h"

extern const pg_command pg_db_sql;

#endif
