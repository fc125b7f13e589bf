/* Backups: SQLite's backup into a temporary file, a check of the copy, and a rename. See store.h. */
#include "db/internal.h"

#include "harness/base/file.h"

#include <string.h>
#include <unistd.h>

/* A journal belongs to the database that lies there: one put in its place would be rolled back by it. */
static int check_journals(const char *to)
{
    static const char *const suffixes[] = {"-journal", "-wal"};
    for (size_t i = 0; i < 2; i++) {
        pg_buf path = PG_BUF_EMPTY;
        pg_buf_printf(&path, "%s%s", to, suffixes[i]);
        int code = pg_buf_check(&path);
        if (code == PG_OK && access(path.data, F_OK) == 0)
            code = pg_fail(PG_EINPUT,
                           "%s: is there, so the database %s is in use or was left in a commit; open it once, or name another "
                           "file for the backup",
                           path.data, to);
        pg_buf_release(&path);
        if (code != PG_OK)
            return code;
    }
    return PG_OK;
}

static int check_target(const char *from, const char *to, bool replace)
{
    const char *const inputs[] = {from, NULL};
    int code = pg_output_check(to, replace, inputs);
    return code == PG_OK ? check_journals(to) : code;
}

/* The file is ours alone: no locks, no journal, and whoever commits it makes it durable. */
static int copy_to(pg_store *store, const char *path)
{
    static const char doing[] = "copying";
    sqlite3 *copy = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    int code = PG_OK;
    if (sqlite3_open_v2(path, &copy, flags, PG_DB_UNLOCKED) != SQLITE_OK ||
        sqlite3_exec(copy, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL) != SQLITE_OK)
        code = pg_fail(PG_EIO, "%s: %s", path, copy ? sqlite3_errmsg(copy) : "out of memory");
    if (code == PG_OK)
        code = pg_db_copy(store, copy, doing);
    if (sqlite3_close(copy) != SQLITE_OK && code == PG_OK)
        code = pg_fail(PG_EIO, "%s: cannot be closed", path);
    return code;
}

static int check_copy(const char *from, const char *copy)
{
    pg_store *store = NULL;
    int code = pg_db_open(copy, PG_STORE_READ, PG_DB_UNLOCKED, &store);
    if (code == PG_OK)
        code = pg_db_migrate(store, pg_migrations);
    if (code == PG_OK)
        code = pg_store_check(store);
    pg_store_close(store);
    if (code == PG_EDAMAGED)
        code = pg_fail(PG_EDAMAGED, "%s: is damaged, so no backup is made; `patchgauge db check` tells how", from);
    return code;
}

int pg_store_backup(const char *from, const char *to, bool replace)
{
    pg_store *store = NULL;
    pg_file_writer writer = {0};
    int code = pg_db_open(from, PG_STORE_READ, NULL, &store);
    if (code == PG_OK)
        code = pg_db_accept(store);
    if (code == PG_OK)
        code = pg_store_name_check(to);
    if (code == PG_OK)
        code = check_target(from, to, replace);
    if (code == PG_OK)
        code = pg_file_begin(&writer, to);
    if (code == PG_OK)
        code = copy_to(store, writer.temporary);
    if (code == PG_OK)
        code = check_copy(from, writer.temporary);
    if (code == PG_OK)
        code = replace ? pg_file_commit(&writer) : pg_file_commit_new(&writer);
    pg_file_abort(&writer);
    pg_store_close(store);
    return code;
}
