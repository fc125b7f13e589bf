/* Download of one archive: resumable, checked, and its unpacking into expected files only. */
#ifndef PG_DATA_FETCH_H
#define PG_DATA_FETCH_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pg_fetch {
    const char *url;    /* http or https */
    const char *sha256; /* 64 lower-case hexadecimal digits */
    int64_t size;       /* bytes, exactly */
    const char *label;  /* of the progress bar */
} pg_fetch;

/* Downloads to `path`, going on from what an earlier, interrupted download left there; at the end the file has the right size
 * and hash. A connection that breaks is taken up again a few times. What cannot belong to the archive is removed.
 * PG_EMISSING (404 and other refusals), PG_EDAMAGED (another size or hash), PG_EIO (network, disk). One process at a time. */
int pg_fetch_run(const pg_fetch *fetch, const char *path) PG_MUST_USE;

/* A file that an archive must hold, "FOLDER/NAME" inside it. */
typedef struct pg_unpack_file {
    const char *name;
    int64_t min, max; /* bytes */
} pg_unpack_file;

/* Unpacks exactly the `n` files, out of `inside` in the archive (tar, plain or gzip), into the existing folder `target`.
 * Names in `ignored` (NULL-terminated) are skipped; any other name, a second copy, a file that is not regular, a size out of
 * range or a missing file is PG_EDAMAGED. */
int pg_unpack(const char *archive, const char *inside, const pg_unpack_file *files, int n, const char *const *ignored,
              const char *target) PG_MUST_USE;

#endif
