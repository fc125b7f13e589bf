/* Files and folders that a process makes for a while and may leave behind when it ends: it holds a lock on each until it dies,
 * so that others see which of them nobody uses any more. */
#ifndef PG_BASE_LEFTOVER_H
#define PG_BASE_LEFTOVER_H

#include <stdbool.h>

/* Takes the lock of a file or folder that this process has just made and opened. False: it was taken for a leftover first, and
 * is gone; make another. A file system without locks is no error: nobody takes leftovers there. */
bool pg_leftover_guard(const char *path, int fd);
/* Removes from a folder this user's files, or its folders, whose names are this prefix and a number and whose lock nobody
 * holds. */
void pg_leftovers_remove(const char *folder, const char *prefix, bool folders);

/* Removes a folder and the files and folders in it; follows no links. Harmless where it is gone. */
void pg_folder_remove(const char *path);

#endif
