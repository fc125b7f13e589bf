/* Download of one file: resumable, checked; and the unpacking of archives, into expected files only or into a folder. */
#ifndef PG_DATA_FETCH_H
#define PG_DATA_FETCH_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pg_fetch {
    const char *url;   /* https; http for this machine only */
    const char *hash;  /* lower-case hexadecimal: SHA-256, or, where its makers publish nothing better, MD5 */
    int64_t size;      /* bytes, exactly; 0: as the server says */
    const char *label; /* of the progress bar */
} pg_fetch;

/* Downloads to `path`, going on from what an earlier, interrupted download left there; at the end the file has the right size
 * and hash. A connection that breaks is taken up again, until three answers have brought no byte that is new; what arrived is
 * kept. What cannot belong to the archive is removed. PG_EINPUT (address), PG_EMISSING (404 and other refusals), PG_EDAMAGED
 * (another size or hash), PG_EIO (network, disk). One process at a time. */
int pg_fetch_run(const pg_fetch *fetch, const char *path) PG_MUST_USE;

/* Downloads to a hidden file beside `path`, whose name holds the hash, and moves it there. A file with the right contents is
 * left as it is, another one is never replaced: PG_EINPUT. Errors of pg_fetch_run. */
int pg_fetch_file(const pg_fetch *fetch, const char *path) PG_MUST_USE;

/* Downloads an archive to a hidden file in DATA, whose name holds NAME and the hash, and gives its path to `take`. What arrived
 * before an interruption is kept and used by the next call; an archive that was taken, or whose contents are wrong, is removed.
 * Errors of pg_fetch_run and of `take`. */
int pg_fetch_archive(const char *data_dir, const char *name, const pg_fetch *fetch,
                     int (*take)(void *context, const char *archive), void *context) PG_MUST_USE;

/* The official archive, with what the user says in its place: another address, hash or size; NULL and 0 change nothing. */
pg_fetch pg_fetch_merge(const pg_fetch *official, const pg_fetch *given);

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

/* Unpacks the files and folders of an archive (tar, plain or compressed, or zip) into the existing folder `target`, which
 * nobody else writes to; names are UTF-8 in any locale, and clutter is left out. A path that is absolute, has a part "..", more
 * than PG_UNPACK_DEPTH parts or a part of more than 255 bytes, a file twice or where a folder is, a link, a device, and more
 * contents or more entries than an archive of its size has are PG_EDAMAGED. */
enum { PG_UNPACK_DEPTH = 32, PG_UNPACK_PATH = 1024 /* bytes */ };
int pg_unpack_folder(const char *archive, const char *target) PG_MUST_USE;

/* Whether a name is hidden, or one that file managers put beside files: "__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir". */
bool pg_clutter(const char *name);

#endif
