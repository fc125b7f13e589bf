/* Arguments that commands share: those on a matrix take MATRIX.toml and --set, those that compute a device. */
#ifndef PG_CMD_MATRIX_ARGS_H
#define PG_CMD_MATRIX_ARGS_H

#include "harness/cmd/command.h"
#include "harness/plan/plan.h"

typedef struct pg_matrix_args {
    const char *matrix;
    pg_texts overrides;
} pg_matrix_args;

/* Rows for a pg_matrix_args at an offset of the request. */
#define PG_MATRIX_ROW(at)                                                                                      \
    {                                                                                                          \
        0, NULL, "MATRIX.toml", NULL, NULL, (at) + offsetof(pg_matrix_args, matrix), PG_TEXT_FULL, PG_REQUIRED \
    }
#define PG_MATRIX_SET_ROW(at)                                                                                            \
    {                                                                                                                    \
        'S', "set", "KEY=VALUE",                                                                                         \
            "replace or add a key of the matrix, or an option as MODULE.OPTION; values with commas between them are an " \
            "axis, a comma in a value is written \\,",                                                                   \
            NULL, (at) + offsetof(pg_matrix_args, overrides), PG_TEXTS                                                   \
    }
#define PG_DEVICE_ROW(at)                                                                                                \
    {                                                                                                                    \
        0, "device", "D", "auto, cpu, cuda or cuda:N", "auto", (at), PG_CALL(pg_device_set, "auto, cpu, cuda or cuda:N") \
    }
int pg_device_set(const char *text, void *field); /* for that row */

int pg_matrix_args_override(pg_matrix_args *args, const char *text) PG_MUST_USE; /* one -S */
/* After getopt_long: exactly one matrix file is left. PG_EUSAGE. */
int pg_matrix_args_file(pg_matrix_args *args, int argc, char **argv) PG_MUST_USE;
int pg_device_check(const char *text) PG_MUST_USE; /* --device of what runs a matrix; PG_EUSAGE */
int pg_matrix_args_open(const pg_context *context, const pg_matrix_args *args, pg_plan **out) PG_MUST_USE;

#endif
