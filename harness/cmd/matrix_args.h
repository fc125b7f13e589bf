/* Arguments that commands share: those on a matrix take MATRIX.toml and --set, those that compute a device. */
#ifndef PG_CMD_MATRIX_ARGS_H
#define PG_CMD_MATRIX_ARGS_H

#include "harness/base/text.h"
#include "harness/cmd/command.h"
#include "harness/plan/plan.h"

typedef struct pg_matrix_args {
    const char *matrix;
    pg_texts overrides, only; /* --set, --only */
} pg_matrix_args;

/* clang-format off */
/* Rows for a pg_matrix_args at an offset of the request. */
#define PG_MATRIX_ROW(at)                                                                                    \
    {0, NULL, "MATRIX.toml", NULL, NULL, (at) + offsetof(pg_matrix_args, matrix), PG_TEXT_FULL, PG_REQUIRED}
#define PG_MATRIX_SET_ROW(at)                                                                                     \
    {'S', "set", "KEY=VALUE",                                                                                     \
     "replace or add a key of the matrix, or an option as MODULE.OPTION; values with commas between them are an " \
     "axis, a comma in a value is written \\,", NULL, (at) + offsetof(pg_matrix_args, overrides), PG_TEXTS}
/* --only, see only.h: for a pg_texts at an offset of the request, and for that of a pg_matrix_args. */
#define PG_ONLY_ROW(at)                                                                                                    \
    {0, "only", "KEY=VALUE",                                                                                               \
     "only cells with this setting; may be given several times: any of the values of one key, and each of several keys",  \
     NULL, (at), PG_TEXTS}
#define PG_MATRIX_ONLY_ROW(at) PG_ONLY_ROW((at) + offsetof(pg_matrix_args, only))
#define PG_DEVICE_ROW(at)                                                                     \
    {0, "device", "D", "auto, cpu, cuda:N, or cuda: all GPUs, one to a worker", "auto", (at), \
     PG_CALL(pg_device_set, "auto, cpu, cuda or cuda:N")}
/* Of what computes; int64_t each. */
#define PG_THREADS_ROW(at) {0, "threads", "N", "cores of a forward pass; 0: all", "0", (at), PG_INT(0, 1024)}
#define PG_BATCH_ROW(at) {0, "batch", "N", "images of a forward pass", PG_STRING(PG_BATCH_DEFAULT), (at), PG_INT(1, 4096)}
#define PG_JOBS_ROW(at) {'j', "jobs", "N", "workers, each with its share of the cores", "1", (at), PG_INT(1, 1024)}
#define PG_TASK_IMAGES_ROW(at)                                                                                      \
    {0, "task-images", "N",                                                                                         \
     "images of a task, rounded up to whole batches; under attack at most 64, rounded up to whole groups of those " \
     "that are attacked at a time", "256", (at), PG_INT(1, 1000000)}
/* As keys of a matrix: text, and an index into pg_predicts. */
#define PG_OUTPUTS_ROW(at)                                                                                            \
    {0, "outputs", "LIST",                                                                                            \
     "the output of the network for each label: numbers, \"0 217 482\", or a file with a line for each label: a number, " \
     "an id or a name; without it labels are found among the classes that the weights store", NULL, (at), PG_TEXT_FULL}
#define PG_PREDICT_ROW(at)                                                                                  \
    {0, "predict", "P", "one of all outputs of the network is predicted, or one of those that are labels", \
     "all", (at), PG_CHOICE(pg_predicts)}
#define PG_DTYPE_ROW(at) {0, "dtype", "T", "of the network", "fp32", (at), PG_CHOICE(pg_dtype_names)}
/* Options of modules, where there is no matrix: no axes, commas belong to the value. */
#define PG_SET_ROW(at, text) {'S', "set", "KEY=VALUE", (text), NULL, (at), PG_TEXTS}
/* clang-format on */

int pg_device_set(const char *text, void *field); /* for PG_DEVICE_ROW */

/* The plan, with the cells that --only chooses. */
int pg_matrix_args_open(const pg_context *context, const pg_matrix_args *args, pg_plan **out) PG_MUST_USE;
/* The same for who shows results alone: weights and data sets need not be on this machine (pg_plan_request). */
int pg_matrix_args_show(const pg_context *context, const pg_matrix_args *args, pg_plan **out) PG_MUST_USE;

#endif
