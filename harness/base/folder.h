/* Temporary folders beside their target: everything appears at once or not at all. And what is put in them. */
#ifndef PG_BASE_FOLDER_H
#define PG_BASE_FOLDER_H

#include "harness/base/error.h"

/* Makes DATA and in it a fresh folder ".NAME.PURPOSE.PID" (*new* path in out, free()); folders of the same purpose that dead
 * processes left are removed. PG_EIO. */
int pg_folder_make(const char *data_dir, const char *name, const char *purpose, char **out) PG_MUST_USE;
/* Removes a folder and the files and folders in it; follows no links. Harmless where it is gone. */
void pg_folder_remove(const char *path);
/* Puts `from` in the place of `to`; what was there is removed. Atomic where the file system can exchange names. PG_EIO. */
int pg_folder_replace(const char *from, const char *to) PG_MUST_USE;
/* `to`, in a temporary folder, becomes a hard link to the file `from`, links followed, or a copy where there can be none; half of
 * one where that fails. PG_EIO. */
int pg_link_or_copy(const char *from, const char *to) PG_MUST_USE;

#endif
