/* Temporary folders: everything appears at once or not at all, and nothing stays for ever. Who makes one holds a lock on it
 * until it dies, however it dies; what nobody holds is a leftover, which whoever comes next with the same name removes. */
#ifndef PG_BASE_FOLDER_H
#define PG_BASE_FOLDER_H

#include "harness/base/error.h"
#include "harness/base/leftover.h"

typedef struct pg_folder {
    char *path; /* NULL: none */
    int lock;
    char *parent, *made; /* what was made for it (pg_folders_begin), which goes with it unless something else is in it */
} pg_folder;

/* Makes DATA and in it a fresh folder ".NAME.PURPOSE.PID", beside what it shall replace. *new*, pg_folder_end. PG_EIO. */
int pg_folder_make(const char *data_dir, const char *name, const char *purpose, pg_folder *out) PG_MUST_USE;
/* A fresh folder "patchgauge-PURPOSE.PID" in $TMPDIR, else /tmp, that nobody else may look into. *new*,
 * pg_folder_end. PG_EIO. */
int pg_scratch_make(const char *purpose, pg_folder *out) PG_MUST_USE;
/* Removes it with what is in it, unless it has been moved. Harmless on {0} and a second time. */
void pg_folder_end(pg_folder *folder);

/* Puts `from`, whose files are synced (pg_file_commit does so), in the place of `to`; what was there is removed. Atomic where
 * the file system can exchange names. PG_EIO. */
int pg_folder_replace(const char *from, const char *to) PG_MUST_USE;
/* `to`, in a temporary folder, becomes a hard link to the file `from`, links followed, or a copy where there can be none; half
 * of one where that fails. PG_EIO. */
int pg_link_or_copy(const char *from, const char *to) PG_MUST_USE;

#endif
