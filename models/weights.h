/* Weights files: safetensors with a record of what they are and how they came to be.
 *
 * Metadata keys: format ("patchgauge.weights"), model, model_version, options (canonical "key=value;..."), classes,
 * class_names (models/classes.h), input ("HxW"), dataset, dataset_hash, command, seed, training (JSON: one entry an epoch),
 * source (of imported ones), locality (models/locality.h). */
#ifndef PG_MODELS_WEIGHTS_H
#define PG_MODELS_WEIGHTS_H

#include "harness/base/safetensors.h"
#include "models/locality.h"
#include "models/network.h"

/* Those keys, but for locality, which is added to a finished file; NULL-terminated. */
enum { PG_WEIGHTS_KEYS_MAX = 16 };
extern const char *const pg_weights_keys[];

/* What a file says besides its tensors; strings *new* where given, NULL where unknown. */
typedef struct pg_weights_record {
    const pg_model *model;
    const void *config;
    int input_height, input_width, classes;
    const char *class_names; /* pg_classes_text */
    const char *dataset, *dataset_hash, *command, *training;
    const char *source; /* the file of another program that it was made of; such weights have no seed */
    uint64_t seed;
} pg_weights_record;

/* Fills the traced parameters with new tensors of the scope's device, float32. PG_EDAMAGED where names, shapes or types differ,
 * or a value is not finite. */
int pg_weights_load(const char *path, pg_scope *scope, pg_parameters *parameters) PG_MUST_USE;

/* Whether weights of this command may be written there: PG_EINPUT where a file is that neither `force` lets go nor the same
 * command wrote. `command` NULL: not known yet, any import of this program passes. */
int pg_weights_check_output(const char *path, bool force, const char *command) PG_MUST_USE;
/* Writes the parameters and their record, atomically; half: as float16 (PG_EINPUT where a value overflows). Same content, same
 * bytes. */
int pg_weights_save(const char *path, pg_scope *scope, const pg_parameters *parameters, const pg_weights_record *record,
                    bool half) PG_MUST_USE;

/* The same from tensors in memory; needs no libtorch. */
int pg_weights_write(const char *path, const pg_st_tensor *tensors, size_t n, const pg_weights_record *record) PG_MUST_USE;
/* A parameter as a tensor of such a file: its values as float32, owned by the tensor. */
pg_st_tensor pg_weights_tensor(const pg_parameter *parameter, const char *name, float *values);
/* Its values become halves; PG_EINPUT where one overflows. */
int pg_weights_to_half(pg_st_tensor *tensor) PG_MUST_USE;

/* The device for "auto", "cpu" or "cuda:N". */
int pg_device_choose(const pg_torch *torch, const char *asked, int place, char device[16]) PG_MUST_USE;

#endif
