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

/* Whether data[size], a whole file, is an archive of TorchScript that unpacks to no more than a file of 2 GiB. PG_EINPUT,
 * PG_EDAMAGED. */
int pg_pth_check_script(const void *data, size_t size) PG_MUST_USE;

#endif
