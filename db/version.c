/* Versions of a store: what a file says it is, and bringing it up to this program's format. See store.h.
 *
 * A released schema file never changes; db/migrate-N.sql brings a store from version N - 1 to N, in the one transaction of all
 * that are due. Who opens an older store for writing migrates it. Who only reads migrates a private copy, which SQLite keeps in
 * a temporary file: reading changes nothing, and works where nothing can be written. */
#include "db/internal.h"

#include <stdio.h>

static int pragma_int(pg_store *store, const char *sql, int *out)
{
    sqlite3_stmt *statement = NULL;
    int code = pg_db_get(store, sql, &statement, NULL);
    if (code == PG_OK) {
        int step = pg_db_step(store, statement, "opening");
        code = step < 0 ? step : PG_OK;
        *out = step == 1 ? sqlite3_column_int(statement, 0) : 0;
    }
    pg_db_done(statement);
    return code;
}

static int write_store_id(pg_store *store)
{
    return pg_db_run(store, "naming the store",
                     "INSERT OR IGNORE INTO meta (key, value) VALUES ('store_id', lower(hex(randomblob(16))))", NULL);
}

/* What the file says it is, read at one moment: another process may be creating it just now. */
static int identify(pg_store *store, int *version, int *application, int *objects)
{
    int code = pg_db_execute(store, "BEGIN", "opening");
    if (code != PG_OK)
        return code;
    code = pragma_int(store, "PRAGMA user_version", version);
    if (code == PG_OK)
        code = pragma_int(store, "PRAGMA application_id", application);
    if (code == PG_OK)
        code = pragma_int(store, "SELECT count(*) FROM sqlite_schema", objects);
    return pg_db_end(store, code);
}

/* A file that is ours and not newer. *version 0: it is empty. */
static int accept(pg_store *store, int last, int *version)
{
    int application = 0, objects = 0;
    int code = identify(store, version, &application, &objects);
    if (code != PG_OK)
        return code;
    bool empty = objects == 0 && *version == 0 && application == 0;
    if (!empty && application != PG_DB_APPLICATION_ID)
        return pg_fail(PG_EDAMAGED, "%s: is an SQLite file, but not of patchgauge; name another one with --db", store->path);
    if (*version > last)
        return pg_fail(PG_EUNSUPPORTED,
                       "%s: written by a newer patchgauge (format %d, this one knows up to %d); update the program",
                       store->path, *version, last);
    if (!empty && *version < 1)
        return pg_fail(PG_EDAMAGED, "%s: says that its format is %d; restore a backup", store->path, *version);
    if (empty && store->read_only)
        return pg_fail(PG_EMISSING, "%s: holds no results yet; run a matrix first", store->path);
    return PG_OK;
}

static int last_version(const pg_migration *list)
{
    int last = 0;
    for (; list->version; list++)
        last = list->version;
    return last;
}

/* One transaction: all that are due, or none. */
static int apply(pg_store *store, const pg_migration *list)
{
    int version = 0;
    char pragma[64];
    int code = pg_db_begin(store);
    if (code != PG_OK)
        return code;
    code = pragma_int(store, "PRAGMA user_version", &version); /* again: another process may have been faster */
    for (const pg_migration *m = list; code == PG_OK && m->version; m++) {
        if (m->version <= version)
            continue;
        snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", m->version);
        code = pg_db_execute(store, m->sql, "bringing the format up to date");
        if (code == PG_OK && m->fill)
            code = m->fill(store);
        if (code == PG_OK)
            code = pg_db_execute(store, pragma, "bringing the format up to date");
    }
    if (code == PG_OK) {
        snprintf(pragma, sizeof pragma, "PRAGMA application_id = %d", (int)PG_DB_APPLICATION_ID);
        code = pg_db_execute(store, pragma, "creating");
    }
    if (code == PG_OK)
        code = write_store_id(store);
    return pg_db_end(store, code);
}

int pg_db_copy(pg_store *from, sqlite3 *to, const char *doing)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from->db, "main");
    int result = SQLITE_ERROR, waited_ms = 0;
    while (backup) { /* all pages at once: a moment of the store */
        result = sqlite3_backup_step(backup, -1);
        if ((result != SQLITE_BUSY && result != SQLITE_LOCKED) || waited_ms >= PG_DB_BUSY_MS)
            break;
        waited_ms += 10;
        sqlite3_sleep(10);
    }
    if (backup)
        sqlite3_backup_finish(backup);
    return result == SQLITE_DONE ? PG_OK : pg_db_fail_as(from, result, sqlite3_errmsg(to), doing);
}

int pg_db_copy_aside(pg_store *store)
{
    static const char doing[] = "copying it aside";
    sqlite3 *copy = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2("", &copy, flags, NULL) == SQLITE_OK ? PG_OK : pg_fail(PG_EIO, "%s: %s", store->path, doing);
    if (code == PG_OK)
        code = pg_db_copy(store, copy, doing);
    if (code != PG_OK) {
        sqlite3_close(copy);
        return code;
    }
    pg_db_close(store);
    store->db = copy;
    store->aside = true;
    return pg_db_configure(store);
}

int pg_db_accept(pg_store *store)
{
    int version = 0;
    return accept(store, last_version(pg_migrations), &version);
}

int pg_db_migrate(pg_store *store, const pg_migration *list)
{
    int version = 0, last = last_version(list);
    int code = accept(store, last, &version);
    if (code != PG_OK || version == last)
        return code;
    bool read_only = store->read_only;
    store->read_only = false;
    if (read_only)
        code = store->aside ? pg_db_configure(store) : pg_db_copy_aside(store);
    if (code == PG_OK)
        code = apply(store, list);
    store->read_only = read_only;
    return code == PG_OK && read_only ? pg_db_configure(store) : code;
}
