/* safetensors files: a strict reader and a writer.
 *
 * Reader: rejects (PG_EDAMAGED) headers over 16 MiB, overlapping, out-of-range, misaligned or gapped tensors, duplicate names,
 * unknown dtypes, sizes that do not match shape and dtype, and trailing bytes. Checkpoints are untrusted input. */
#ifndef PG_BASE_SAFETENSORS_H
#define PG_BASE_SAFETENSORS_H

#include "harness/base/error.h"
#include "harness/base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pg_st_dtype { PG_ST_F16, PG_ST_BF16, PG_ST_F32, PG_ST_F64, PG_ST_I32, PG_ST_I64, PG_ST_U8 } pg_st_dtype;
enum { PG_ST_MAX_DIM = 8, PG_ST_MAX_HEADER = 16 << 20 };

/* "F16" and bytes an element. */
const char *pg_st_dtype_name(pg_st_dtype dtype);
size_t pg_st_item_size(pg_st_dtype dtype);

typedef struct pg_st_tensor {
    const char *name; /* borrowed from the file */
    pg_st_dtype dtype;
    int rank;
    int64_t shape[PG_ST_MAX_DIM];
    const void *data; /* borrowed, little endian, row-major, aligned to its element size */
    size_t size;      /* bytes */
} pg_st_tensor;

typedef struct pg_st_file pg_st_file;

/* Reads and checks a whole file; *new*, pg_st_close. The message names the path and what is wrong. */
int pg_st_open(const char *path, pg_st_file **out) PG_MUST_USE;
void pg_st_close(pg_st_file *file);
size_t pg_st_count(const pg_st_file *file);
const pg_st_tensor *pg_st_at(const pg_st_file *file, size_t i);           /* in the order of the data */
const pg_st_tensor *pg_st_find(const pg_st_file *file, const char *name); /* NULL if absent */
const char *pg_st_metadata(const pg_st_file *file, const char *key);      /* borrowed; NULL if absent */
const char *pg_st_hash(const pg_st_file *file);                           /* SHA-256 of the whole file */

/* Reads header and metadata only (tensors have data NULL): cheap for planning; the hash still covers the whole file. */
int pg_st_open_header(const char *path, pg_st_file **out) PG_MUST_USE;

/* The metadata key that pg_st_write adds wherever there is metadata: SHA-256 of the whole file, with zeros for these 64 digits.
 * Readers check it, and the older key, which covers the tensors' bytes only. */
#define PG_ST_CHECKSUM      "file_sha256"
#define PG_ST_DATA_CHECKSUM "data_sha256"
#define PG_ST_BLANK         "0000000000000000000000000000000000000000000000000000000000000000"
bool pg_st_checked(const pg_st_file *file); /* it has one of them */

/* Writes metadata sorted by key and tensors in the given order, those with larger elements first, so that each is aligned:
 * same contents, same bytes. Atomic. `keys` and `values` have n_metadata entries. PG_EINPUT for names given twice, text that
 * is not UTF-8, or a size that does not fit the shape. */
int pg_st_write(const char *path, const pg_st_tensor *tensors, size_t n, const char *const *keys, const char *const *values,
                size_t n_metadata) PG_MUST_USE;

/* Elements as float32 into out[count] from F16, BF16, F32 or F64 (PG_EINPUT for others); half values are exact. */
int pg_st_to_float(const pg_st_tensor *tensor, float *out, size_t count) PG_MUST_USE;
/* IEEE half precision, round to nearest even; overflow gives infinity. */
uint16_t pg_half_from_float(float value);
float pg_half_to_float(uint16_t bits);

#endif
