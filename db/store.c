/* Opening and talking to the SQLite file. See store.h; versions are in version.c, queries in query.c, tasks in queue.c,
 * planning in plan.c.
 *
 * Journal mode is DELETE with synchronous = EXTRA: the SQLite of Debian 12 (3.40) predates the fix of the race in WAL's reset,
 * and WAL needs shared memory that network file systems do not have. A commit is then durable when it returns, power loss
 * included. */
#include "db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int error_code(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return PG_EDAMAGED;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_IOERR:
    case SQLITE_FULL:
        return PG_EIO;
    case SQLITE_NOMEM:
        return PG_ENOMEM;
    default:
        return PG_EDB;
    }
}

static const char *hint(int sqlite_code)
{
    if (sqlite_code == SQLITE_READONLY_ROLLBACK) /* on a network file system, see open_file */
        return "; a commit is under way or was cut short: open it on the machine that writes it";
    switch (sqlite_code & 0xff) {
    case SQLITE_BUSY:
        return "; another process has held the database for a minute";
    case SQLITE_FULL:
        return "; free some space and run again, finished work is kept";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return "; file and folder must be writable";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "; restore a backup, or move the file away and run again";
    default:
        return "";
    }
}

int pg_db_fail_as(const pg_store *store, int sqlite_code, const char *message, const char *doing)
{
    return pg_fail(error_code(sqlite_code), "%s: %s: %s%s", store->path, doing, message, hint(sqlite_code));
}

int pg_db_fail(pg_store *store, const char *doing)
{
    if (!store->db)
        return pg_db_fail_as(store, SQLITE_NOMEM, "out of memory", doing);
    return pg_db_fail_as(store, sqlite3_extended_errcode(store->db), sqlite3_errmsg(store->db), doing);
}

static int bind_all(sqlite3_stmt *statement, const char *types, va_list args)
{
    int code = SQLITE_OK;
    for (int i = 1; *types && code == SQLITE_OK; types++, i++) {
        if (*types == 'i') {
            code = sqlite3_bind_int64(statement, i, va_arg(args, int64_t));
        } else if (*types == 'b') {
            code = sqlite3_bind_int(statement, i, va_arg(args, int));
        } else if (*types == 'd') {
            code = sqlite3_bind_double(statement, i, va_arg(args, double));
        } else if (*types == 't') {
            const char *text = va_arg(args, const char *);
            code = text ? sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC) : sqlite3_bind_null(statement, i);
        } else if (*types == 'x') {
            const void *bytes = va_arg(args, const void *);
            size_t size = va_arg(args, size_t);
            code = bytes ? sqlite3_bind_blob64(statement, i, bytes, size, SQLITE_STATIC) : sqlite3_bind_null(statement, i);
        } else {
            const int64_t *value = va_arg(args, const int64_t *);
            code = value ? sqlite3_bind_int64(statement, i, *value) : sqlite3_bind_null(statement, i);
        }
    }
    return code;
}

static int get_bound(pg_store *store, const char *sql, sqlite3_stmt **out, const char *types, va_list args)
{
    size_t i = 0;
    while (i < PG_DB_STATEMENTS - 1 && store->cache[i].sql && store->cache[i].sql != sql)
        i++;
    if (store->cache[i].sql != sql) { /* the last place is taken over where all are in use */
        sqlite3_finalize(store->cache[i].statement);
        store->cache[i].sql = NULL;
        store->cache[i].statement = NULL;
        if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &store->cache[i].statement, NULL) != SQLITE_OK)
            return pg_db_fail(store, "preparing a statement");
        store->cache[i].sql = sql;
    }
    sqlite3_stmt *statement = store->cache[i].statement;
    sqlite3_reset(statement);
    if (bind_all(statement, types, args) != SQLITE_OK)
        return pg_db_fail(store, "binding a value");
    *out = statement;
    return PG_OK;
}

int pg_db_get(pg_store *store, const char *sql, sqlite3_stmt **out, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    int code = get_bound(store, sql, out, types, args);
    va_end(args);
    return code;
}

int pg_db_step(pg_store *store, sqlite3_stmt *statement, const char *doing)
{
    int code = sqlite3_step(statement);
    return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : pg_db_fail(store, doing);
}

void pg_db_done(sqlite3_stmt *statement)
{
    if (statement)
        sqlite3_reset(statement);
}

int pg_db_run(pg_store *store, const char *doing, const char *sql, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    sqlite3_stmt *statement = NULL;
    int code = get_bound(store, sql, &statement, types, args);
    va_end(args);
    while (code == PG_OK) {
        int step = pg_db_step(store, statement, doing);
        if (step == 0)
            break;
        code = step < 0 ? step : PG_OK;
    }
    pg_db_done(statement);
    return code;
}

int pg_db_begin(pg_store *store)
{
    if (store->read_only)
        return pg_fail(PG_EDB, "%s: is open for reading only", store->path);
    return pg_db_run(store, "starting a transaction", "BEGIN IMMEDIATE", "");
}

int pg_db_end(pg_store *store, int code)
{
    if (code == PG_OK) {
        code = pg_db_run(store, "committing", "COMMIT", "");
        if (code == PG_OK)
            return PG_OK;
    }
    char message[PG_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", pg_error_message());
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return pg_fail(code, "%s", message);
}

int pg_db_execute(pg_store *store, const char *sql, const char *doing)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? PG_OK : pg_db_fail(store, doing);
}

const char *pg_db_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

uint64_t pg_fnv_text(uint64_t hash, const char *text)
{
    do
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    while (*text++); /* the zero byte counts, so that neighbouring texts cannot trade letters */
    return hash;
}

uint64_t pg_fnv_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t pg_fnv_int(uint64_t hash, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    for (int i = 0; i < 8; i++, bits >>= 8)
        hash = (hash ^ (bits & 0xff)) * UINT64_C(0x100000001b3);
    return hash;
}

void pg_db_time(char out[32])
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

int pg_db_configure(pg_store *store)
{
    sqlite3_busy_timeout(store->db, PG_DB_BUSY_MS);
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    int code = pg_db_execute(store,
                             "PRAGMA foreign_keys = ON; PRAGMA synchronous = EXTRA; PRAGMA temp_store = MEMORY;"
                             "PRAGMA cell_size_check = ON; PRAGMA cache_size = -65536;",
                             "opening");
    if (code == PG_OK)
        code = store->read_only ? pg_db_execute(store, "PRAGMA query_only = ON", "opening")
                                : pg_db_execute(store, "PRAGMA query_only = OFF; PRAGMA journal_mode = DELETE", "opening");
    return code;
}

void pg_db_close(pg_store *store)
{
    for (size_t i = 0; i < PG_DB_STATEMENTS; i++) {
        sqlite3_finalize(store->cache[i].statement);
        store->cache[i].sql = NULL;
        store->cache[i].statement = NULL;
    }
    sqlite3_close(store->db);
    store->db = NULL;
}

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
