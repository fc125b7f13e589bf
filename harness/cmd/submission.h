/* What `submit` hands to Slurm: two scripts, and the arguments of sbatch. */
#ifndef PG_CMD_SUBMISSION_H
#define PG_CMD_SUBMISSION_H

#include "harness/cmd/matrix_args.h"

typedef struct pg_submission {
    const pg_context *context;
    pg_matrix_args matrix;
    int64_t tasks, parallel;  /* of the array; at a time, 0: all */
    int64_t workers, threads; /* of a task; threads -1: as many as Slurm gives */
    int64_t task_images, save_s;
    const char *device;
    pg_texts args;                /* of the user, for both jobs */
    bool remote;                  /* the database lies on a network file system */
    char *program, *cwd, *folder; /* absolute */
    const char *name;             /* of the plan */
} pg_submission;

/* The script of a task of the array, and of the job that merges. */
void pg_submission_task(const pg_submission *s, pg_buf *out);
void pg_submission_merge(const pg_submission *s, pg_buf *out);

/* sbatch for the array, or for the merge after the job named: words, each with a zero byte behind it, and their number. */
size_t pg_submission_sbatch(const pg_submission *s, const char *after, pg_buf *out);

#endif
