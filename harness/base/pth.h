/* What torch.save writes: a zip archive with a pickle and one entry for each storage, or, before torch 1.6, pickles and
 * storages in a row. Entries are read as they are stored, never unpacked to disk, and their names are only compared. */
#ifndef PG_BASE_PTH_H
#define PG_BASE_PTH_H

#include "harness/base/pickle.h"

typedef struct pg_pth pg_pth;

/* data[size]: the whole file, *borrowed* as long as the result lives; *new*, pg_pth_close. PG_EDAMAGED, PG_EUNSUPPORTED,
 * PG_ENOMEM. */
int pg_pth_open(const void *data, size_t size, pg_pth **out) PG_MUST_USE;
void pg_pth_close(pg_pth *pth);
const pg_pickle *pg_pth_pickle(const pg_pth *pth); /* borrowed */
/* The elements of a storage of this file, little endian; *borrowed* until the next call. */
int pg_pth_storage(pg_pth *pth, const pg_pickle_storage *storage, const void **out) PG_MUST_USE;

/* The elements of a view, row-major, as float32: out[count], as many as its shape has. PG_EUNSUPPORTED for other types than
 * floating point, PG_EDAMAGED where the storage is not what the file says. */
int pg_pth_floats(pg_pth *pth, const pg_pickle_tensor *view, float *out, size_t count) PG_MUST_USE;
/* A value of a pickle that is a tensor with its elements inside, as pickle.dump (not torch.save) writes it: *new* file of these
 * elements, pg_pth_close, and their view. The data of the pickle stay *borrowed*. PG_EUNSUPPORTED where the value is no such
 * tensor, and as pg_pth_open. */
int pg_pth_embedded(const pg_pickle *pickle, const pg_pickle_value *value, pg_pth **out, pg_pickle_tensor *view) PG_MUST_USE;

/* Whether data[size], a whole file, is an archive of TorchScript that unpacks to no more than a file of 2 GiB. PG_EINPUT,
 * PG_EDAMAGED. */
int pg_pth_check_script(const void *data, size_t size) PG_MUST_USE;

#endif
