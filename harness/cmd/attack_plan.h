/* What `patchgauge attack` is asked for, as a plan of one cell: what a matrix with these values would have. */
#ifndef PG_CMD_ATTACK_PLAN_H
#define PG_CMD_ATTACK_PLAN_H

#include "harness/base/cli.h"
#include "harness/plan/plan.h"

typedef struct pg_attack_request {
    const char *data_dir, *dataset, *weights;
    const char *attack, *defense, *patch; /* names; "5", "5x8", "2.4%" */
    const char *images;                   /* "FIRST:END"; NULL: the whole split */
    const char *outputs;                  /* as the key of a matrix; NULL: not given */
    int predict;                          /* index into pg_predicts */
    pg_texts pairs;                       /* "option=value" or "module.option=value" of attack, defense or the null model */
    bool behind_resize; /* the patch is put on what the network takes, also where the data set is resized to that */
    int dtype;          /* pg_dtype */
    const char *device;
    int64_t threads, batch; /* batch: of the network, as in `run` */
    int64_t seed;
    int64_t sheet;    /* images of the contact sheet, 0 to PG_SHEET_MAX; 0: no pictures */
    bool broken_only; /* of those that the attack broke */
    const char *folder;
    bool force; /* into a folder that holds something else */
} pg_attack_request;

/* *new*, pg_plan_free. PG_EINPUT, PG_EMISSING, ... with one message that says all. */
int pg_attack_plan_open(const pg_attack_request *request, pg_plan **out) PG_MUST_USE;

#endif
