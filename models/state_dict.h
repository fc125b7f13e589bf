/* Named tensors in files of other programs: what torch.save writes (harness/base/pth.h) and safetensors. Reads no libtorch and
 * runs nothing. */
#ifndef PG_MODELS_STATE_DICT_H
#define PG_MODELS_STATE_DICT_H

#include "harness/base/hash.h"
#include "harness/base/pickle.h"

#include <stdbool.h>

enum { PG_STATE_TENSORS_MAX = 10000, PG_STATE_DICTS_MAX = 10000, PG_STATE_PATH = 200 };

typedef struct pg_state_tensor {
    const char *name; /* *borrowed* from the file, printable */
    int rank;
    int64_t shape[PG_ST_MAX_DIM];
    const pg_pickle_tensor *view; /* of a .pth, */
    const pg_st_tensor *whole;    /* or of a safetensors file, */
    const char *made_by;          /* or of neither: something with tensors that only this function or class can make; rank -1 */
} pg_state_tensor;

/* A dictionary that has tensors: a state dict, or one of several in the file. */
typedef struct pg_state_dict {
    char path[PG_STATE_PATH]; /* the keys that lead to it, "checkpoint.state_dict"; "" for the file's own */
    pg_state_tensor *tensors;
    size_t n;
} pg_state_dict;

/* Something else in the file: a number, an optimizer, an object of a class. */
typedef struct pg_state_beside {
    char path[PG_STATE_PATH]; /* "epoch" */
    char what[80];            /* "90", "a dictionary of 2", "argparse.Namespace" */
    bool object;              /* the last kind, */
    bool tensors;             /* with tensors inside */
} pg_state_beside;

typedef struct pg_state_file pg_state_file;

/* Reads and checks a file of at most 4 GiB; *new*, pg_state_close. The message names the path. PG_EMISSING, PG_EINPUT,
 * PG_EDAMAGED, PG_EUNSUPPORTED, PG_ENOMEM, PG_EIO. */
int pg_state_open(const char *path, pg_state_file **out) PG_MUST_USE;
void pg_state_close(pg_state_file *file);
const pg_state_dict *pg_state_at(const pg_state_file *file, size_t i); /* NULL behind the last */
/* What lies beside tensors; NULL behind the last. */
const pg_state_beside *pg_state_beside_at(const pg_state_file *file, size_t i);
/* Classes and functions that the file names and nobody ran; NULL behind the last. */
const char *pg_state_foreign(const pg_state_file *file, size_t i);
/* What the file is as a whole where it is no dictionary: "models.ResNet" of a whole model, NULL otherwise. */
const char *pg_state_object(const pg_state_file *file);
const char *pg_state_hash(const pg_state_file *file); /* SHA-256 of the file */
const char *pg_state_kind(const pg_state_file *file); /* "torch.save" or "safetensors" */

/* NULL where there is none. */
const pg_state_tensor *pg_state_find(const pg_state_dict *dict, const char *name);
/* The elements of a tensor of the file, row-major, as float32: out[count]. PG_EUNSUPPORTED for other types and for what has no
 * values here, PG_EDAMAGED where the storage is not what the file says or a value is not finite. */
int pg_state_read(pg_state_file *file, const pg_state_tensor *tensor, float *out, size_t count) PG_MUST_USE;

#endif
