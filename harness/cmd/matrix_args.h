/* Arguments that commands on a matrix share: MATRIX.toml and -S key=a,b. */
#ifndef PG_CMD_MATRIX_ARGS_H
#define PG_CMD_MATRIX_ARGS_H

#include "harness/cmd/command.h"
#include "harness/plan/plan.h"

enum { PG_OVERRIDES_MAX = 64 };

typedef struct pg_matrix_args {
    const char *matrix;
    const char *overrides[PG_OVERRIDES_MAX];
    size_t n_overrides;
} pg_matrix_args;

int pg_matrix_args_override(pg_matrix_args *args, const char *text) PG_MUST_USE; /* one -S */
/* After getopt_long: exactly one matrix file is left. PG_EUSAGE. */
int pg_matrix_args_file(pg_matrix_args *args, int argc, char **argv) PG_MUST_USE;
int pg_device_check(const char *text) PG_MUST_USE; /* --device of what runs a matrix; PG_EUSAGE */
int pg_matrix_args_open(const pg_context *context, const pg_matrix_args *args, pg_plan **out) PG_MUST_USE;

#endif
