/* Statements: errors, values by name, transactions, what a connection is set to. See internal.h. */
#include "db/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

/* ---- Values by name ---- */

static int64_t integer_at(pg_db_type type, const void *at)
{
    return type == PG_DB_INT64  ? *(const int64_t *)at
           : type == PG_DB_INT  ? *(const int *)at
           : type == PG_DB_INT8 ? *(const int8_t *)at
                                : *(const bool *)at;
}

static void put_integer(pg_db_type type, int64_t value, void *at)
{
    if (type == PG_DB_INT64)
        *(int64_t *)at = value;
    else if (type == PG_DB_INT)
        *(int *)at = (int)value;
    else if (type == PG_DB_INT8)
        *(int8_t *)at = (int8_t)value;
    else
        *(bool *)at = value != 0;
}

static int bind_text(sqlite3_stmt *statement, int i, const char *text)
{
    return text ? sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC) : sqlite3_bind_null(statement, i);
}

static int bind_member(sqlite3_stmt *statement, int i, const pg_db_column *c, const char *row)
{
    const void *at = row + c->offset;
    if (c->type == PG_DB_REAL)
        return sqlite3_bind_double(statement, i, *(const double *)at); /* of NaN it makes NULL */
    if (c->type == PG_DB_TEXT) {
        const char *text = *(const char *const *)at;
        return bind_text(statement, i, c->null == PG_DB_EMPTY && !*text ? NULL : text);
    }
    if (c->type == PG_DB_BLOB) {
        const void *bytes = *(const void *const *)at;
        return bytes ? sqlite3_bind_blob64(statement, i, bytes, *(const size_t *)(row + c->has), SQLITE_STATIC)
                     : sqlite3_bind_null(statement, i);
    }
    int64_t value = integer_at(c->type, at);
    bool null = (c->has && !*(const bool *)(row + c->has)) || (c->null == PG_DB_NEGATIVE && value < 0) ||
                (c->null == PG_DB_ZERO && value == 0);
    return null ? sqlite3_bind_null(statement, i) : sqlite3_bind_int64(statement, i, value);
}

/* Every value has a parameter of its name, and every parameter a value. */
static int bind_all(sqlite3_stmt *statement, const pg_db_value *values)
{
    int code = SQLITE_OK, n = 0;
    for (const pg_db_value *v = values; v && v->kind && code == SQLITE_OK; v++) {
        if (v->kind == PG_DB_VALUE_INTEGER)
            code = sqlite3_bind_int64(statement, sqlite3_bind_parameter_index(statement, v->name), v->integer);
        else if (v->kind == PG_DB_VALUE_TEXT)
            code = bind_text(statement, sqlite3_bind_parameter_index(statement, v->name), v->text);
        for (const pg_db_column *c = v->columns; c && c->name && code == SQLITE_OK; c++, n++)
            code = bind_member(statement, sqlite3_bind_parameter_index(statement, c->name), c, v->row);
        n += !v->columns;
    }
    return code == SQLITE_OK && n != sqlite3_bind_parameter_count(statement) ? SQLITE_RANGE : code;
}

void pg_db_read(sqlite3_stmt *row, int first, const pg_db_column *columns, void *out)
{
    for (int i = first; columns->name; columns++, i++) {
        bool null = sqlite3_column_type(row, i) == SQLITE_NULL;
        char *at = (char *)out + columns->offset;
        if (columns->type == PG_DB_TEXT) {
            *(const char **)at = null && columns->null == PG_DB_POINTER ? NULL : pg_db_text(row, i);
        } else if (columns->type == PG_DB_REAL) {
            *(double *)at = null ? NAN : sqlite3_column_double(row, i);
        } else if (columns->type == PG_DB_BLOB) {
            *(const void **)at = sqlite3_column_blob(row, i);
            *(size_t *)((char *)out + columns->has) = (size_t)sqlite3_column_bytes(row, i);
        } else {
            put_integer(columns->type, null && columns->null == PG_DB_NEGATIVE ? -1 : sqlite3_column_int64(row, i), at);
            if (columns->has)
                *(bool *)((char *)out + columns->has) = !null;
        }
    }
}

int pg_db_get(pg_store *store, const char *sql, sqlite3_stmt **out, const pg_db_value *values)
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
    if (bind_all(statement, values) != SQLITE_OK)
        return pg_db_fail(store, "binding a value");
    *out = statement;
    return PG_OK;
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

bool pg_db_next(pg_store *store, sqlite3_stmt *row, const char *doing, int *code)
{
    int step = *code == PG_OK ? pg_db_step(store, row, doing) : 0;
    if (step != 1)
        pg_db_done(row);
    *code = step < 0 ? step : *code;
    return step == 1;
}

int pg_db_run(pg_store *store, const char *doing, const char *sql, const pg_db_value *values)
{
    sqlite3_stmt *statement = NULL;
    int code = pg_db_get(store, sql, &statement, values);
    while (code == PG_OK) {
        int step = pg_db_step(store, statement, doing);
        if (step == 0)
            break;
        code = step < 0 ? step : PG_OK;
    }
    pg_db_done(statement);
    return code;
}

int pg_db_one(pg_store *store, const char *doing, const char *sql, const pg_db_value *values, int64_t *out)
{
    sqlite3_stmt *row = NULL;
    *out = 0;
    int code = pg_db_get(store, sql, &row, values);
    int step = code == PG_OK ? pg_db_step(store, row, doing) : code;
    if (step == 1)
        *out = sqlite3_column_int64(row, 0);
    pg_db_done(row);
    return step == 1 ? PG_OK : step < 0 ? step : pg_fail(PG_EDB, "%s: %s: the row is not there", store->path, doing);
}

int pg_db_begin(pg_store *store)
{
    if (store->read_only)
        return pg_fail(PG_EDB, "%s: is open for reading only", store->path);
    return pg_db_run(store, "starting a transaction", "BEGIN IMMEDIATE", NULL);
}

int pg_db_end(pg_store *store, int code)
{
    if (code == PG_OK) {
        code = pg_db_run(store, "committing", "COMMIT", NULL);
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
    if (pg_db_add_functions(store->db) != SQLITE_OK)
        return pg_db_fail(store, "opening");
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
