/* Opening and closing the SQLite file. See store.h; statements are in sql.c, versions in version.c.
 *
 * Journal mode is DELETE with synchronous = EXTRA: the SQLite of Debian 12 (3.40) predates the fix of the race in WAL's reset,
 * and WAL needs shared memory that network file systems do not have. A commit is then durable when it returns, power loss
 * included. */
#include "db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether this user may do with a file what is asked for; whose it is, where not. */
static int check_rights(const pg_store *store, const struct stat *about)
{
    int wanted = store->read_only ? R_OK : R_OK | W_OK;
    if (access(store->path, wanted) == 0)
        return PG_OK;
    const char *why = strerror(errno);
    const struct passwd *owner = getpwuid(about->st_uid);
    char number[32];
    snprintf(number, sizeof number, "%ld", (long)about->st_uid);
    return pg_fail(
        PG_EIO, "%s: may not be %s: %s; it belongs to user %s and has mode %03o; name another one with --db, or ask for rights",
        store->path, access(store->path, R_OK) == 0 ? "written" : "read", why, owner ? owner->pw_name : number,
        (unsigned)about->st_mode & 0777);
}

/* Readers open for writing too where they may: rolling back the journal of a killed writer needs it. Not over a network, where
 * that journal may be of a writer that lives. */
static int open_file(pg_store *store, bool network, const char *vfs)
{
    struct stat about;
    if (store->read_only && access(store->path, F_OK) != 0)
        return pg_fail(PG_EMISSING, "%s: no such database (%s); run a matrix first, or name one with --db", store->path,
                       strerror(errno));
    bool there = stat(store->path, &about) == 0;
    if (there && !S_ISREG(about.st_mode)) /* SQLite would lay a journal beside a device */
        return pg_fail(PG_EINPUT, "%s: is not a regular file; name a database file with --db", store->path);
    int code = there ? check_rights(store, &about) : PG_OK;
    if (code != PG_OK)
        return code;
    if (!store->read_only) { /* a new one with the rights that the user's umask leaves; SQLite would take those of the group
                                away */
        int fd = open(store->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            close(fd);
    }
    int flags = store->read_only && network ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= SQLITE_OPEN_NOMUTEX | (store->read_only ? 0 : SQLITE_OPEN_CREATE);
    if (sqlite3_open_v2(store->path, &store->db, flags, vfs) != SQLITE_OK)
        return pg_db_fail(store, "opening");
    store->real = strdup(sqlite3_db_filename(store->db, "main"));
    return store->real ? PG_OK : pg_fail(PG_ENOMEM, "%s: out of memory", store->path);
}

int pg_db_open(const char *path, pg_store_mode mode, const char *vfs, pg_store **out)
{
    pg_store *store = calloc(1, sizeof *store);
    if (!store || !(store->path = strdup(path))) {
        free(store);
        return pg_fail(PG_ENOMEM, "%s: out of memory", path);
    }
    store->lock_fd = -1;
    store->read_only = mode != PG_STORE_WRITE;
    bool network = false;
    int code = pg_store_name_check(path);
    if (code == PG_OK)
        code = pg_db_place_check(path, store->read_only, &network);
    if (code == PG_OK)
        code = open_file(store, network, vfs);
    if (code == PG_OK)
        code = pg_db_configure(store);
    if (code != PG_OK) {
        pg_store_close(store);
        return code;
    }
    *out = store;
    return PG_OK;
}

int pg_store_open(const char *path, pg_store_mode mode, pg_store **out)
{
    pg_store *store = NULL;
    int code = pg_db_open(path, mode, NULL, &store);
    if (code == PG_OK && mode == PG_STORE_SNAPSHOT)
        code = pg_db_accept(store);
    if (code == PG_OK && mode == PG_STORE_SNAPSHOT)
        code = pg_db_copy_aside(store);
    if (code == PG_OK)
        code = pg_db_migrate(store, pg_migrations);
    if (code != PG_OK) {
        pg_store_close(store);
        return code;
    }
    *out = store;
    return PG_OK;
}

void pg_store_close(pg_store *store)
{
    if (!store)
        return;
    pg_store_worker_end(store);
    pg_db_close(store);
    free(store->path);
    free(store->real);
    free(store);
}
