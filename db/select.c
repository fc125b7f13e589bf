/* SQL of users. See store.h.
 *
 * Three things keep a statement from changing anything: the connection is open for reading, an authorizer lets only reading
 * through, and a statement that SQLite does not call read-only is not run. */
#include "db/internal.h"

#include "harness/base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LISTED "; `patchgauge db sql` lists the views and their columns"

enum { STEPS_BETWEEN_LOOKS = 20000 }; /* of SQLite's machine, a millisecond or less */
static const double limit_s = 2;      /* on the database itself, whose writers wait meanwhile */

typedef struct selection {
    pg_store *store;
    const pg_sql_reader *reader;
    double until; /* pg_now_s */
    bool late, stopped;
} selection;

static int look(void *context)
{
    selection *s = context;
    s->stopped = s->reader->stopping && s->reader->stopping();
    s->late = pg_now_s() > s->until;
    return s->stopped || s->late;
}

/* Pragmas that tell of the schema and change nothing whatever they are given. */
static const char *const pragmas[] = {"table_info", "table_xinfo", "table_list",       "index_list",
                                      "index_info", "index_xinfo", "foreign_key_list", "function_list"};
enum { PRAGMAS = sizeof pragmas / sizeof *pragmas };

/* Table-valued functions are declared when they are first used, which the authorizer would refuse. */
static int declare_functions(pg_store *store)
{
    static const char declare[] = "SELECT 1 FROM json_each('[]'), json_tree('[]'), pragma_table_info('x'),"
                                  " pragma_table_xinfo('x'), pragma_table_list, pragma_index_list('x'), pragma_index_info('x'),"
                                  " pragma_index_xinfo('x'), pragma_foreign_key_list('x'), pragma_function_list";
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, declare, -1, &statement, NULL);
    sqlite3_finalize(statement);
    return code == SQLITE_OK ? PG_OK : pg_db_fail(store, "preparing for SQL");
}

static int authorize(void *context PG_UNUSED, int action, const char *name, const char *argument PG_UNUSED,
                     const char *database PG_UNUSED, const char *trigger PG_UNUSED)
{
    if (action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION || action == SQLITE_RECURSIVE)
        return SQLITE_OK;
    for (size_t i = 0; action == SQLITE_PRAGMA && i < PRAGMAS; i++)
        if (sqlite3_stricmp(name, pragmas[i]) == 0)
            return SQLITE_OK;
    return SQLITE_DENY;
}

/* The user's mistake, or a failure of the database. */
static int fail(selection *s, int code)
{
    switch (code & 0xff) {
    case SQLITE_INTERRUPT:
        return pg_fail(PG_EINTERRUPTED, "SQL: interrupted");
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return pg_fail(PG_EINPUT, "SQL: only statements that read are run, SELECT, VALUES, WITH or EXPLAIN" LISTED);
    case SQLITE_ERROR:
    case SQLITE_RANGE:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
        return pg_fail(PG_EINPUT, "SQL: %s" LISTED, sqlite3_errmsg(s->store->db));
    default:
        return pg_db_fail(s->store, "running SQL");
    }
}

/* The one statement of a text: *out is *new*, sqlite3_finalize. */
static int prepare(selection *s, const char *sql, sqlite3_stmt **out)
{
    const char *rest = sql;
    sqlite3_stmt *more = NULL;
    int code = SQLITE_OK;
    while (code == SQLITE_OK && !*out && *rest) /* blanks and comments are none */
        code = sqlite3_prepare_v2(s->store->db, rest, -1, out, &rest);
    if (code != SQLITE_OK)
        return fail(s, code);
    if (!*out)
        return pg_fail(PG_EINPUT, "SQL: there is no statement in it" LISTED);
    while (code == SQLITE_OK && !more && *rest)
        code = sqlite3_prepare_v2(s->store->db, rest, -1, &more, &rest);
    sqlite3_finalize(more);
    if (code != SQLITE_OK || more)
        return pg_fail(PG_EINPUT, "SQL: one statement at a time");
    if (!sqlite3_stmt_readonly(*out))
        return fail(s, SQLITE_READONLY);
    if (sqlite3_bind_parameter_count(*out) > 0)
        return pg_fail(PG_EINPUT, "SQL: write values in the place of parameters such as %s",
                       sqlite3_bind_parameter_name(*out, 1) ? sqlite3_bind_parameter_name(*out, 1) : "?");
    return PG_OK;
}

static void read_value(sqlite3_stmt *statement, int i, pg_sql_value *out)
{
    int type = sqlite3_column_type(statement, i);
    *out = (pg_sql_value){.type = PG_SQL_NULL, .real = NAN};
    if (type == SQLITE_INTEGER) {
        out->type = PG_SQL_INTEGER;
        out->integer = sqlite3_column_int64(statement, i);
    } else if (type == SQLITE_FLOAT) {
        out->type = PG_SQL_REAL;
        out->real = sqlite3_column_double(statement, i);
    } else if (type != SQLITE_NULL) {
        out->type = type == SQLITE_TEXT ? PG_SQL_TEXT : PG_SQL_BLOB;
        out->bytes = type == SQLITE_TEXT ? (const char *)sqlite3_column_text(statement, i) : sqlite3_column_blob(statement, i);
        out->size = (size_t)sqlite3_column_bytes(statement, i);
    }
}

static int read_rows(selection *s, sqlite3_stmt *statement, bool last)
{
    size_t n = (size_t)sqlite3_column_count(statement);
    const char **names = calloc(n + 1, sizeof *names);
    pg_sql_value *values = calloc(n + 1, sizeof *values);
    int code = names && values ? PG_OK : pg_fail(PG_ENOMEM, "SQL: out of memory"), step = SQLITE_ROW;
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        names[i] = sqlite3_column_name(statement, (int)i);
        code = names[i] ? PG_OK : pg_fail(PG_ENOMEM, "SQL: out of memory");
    }
    if (code == PG_OK)
        code = s->reader->begin(names, n, last, s->reader->context);
    while (code == PG_OK && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        for (size_t i = 0; i < n; i++) {
            read_value(statement, (int)i, &values[i]);
            if (values[i].type >= PG_SQL_TEXT && !values[i].bytes && values[i].size > 0)
                code = pg_fail(PG_ENOMEM, "SQL: out of memory");
        }
        if (code == PG_OK)
            code = s->reader->row(values, n, s->reader->context);
    }
    free(names);
    free(values);
    return code == PG_OK && step != SQLITE_DONE ? fail(s, step) : code;
}

/* *late: it took too long, and is to start over on a copy. */
static int select_from(const char *path, pg_store_mode mode, const char *sql, const pg_sql_reader *reader, bool *late)
{
    selection s = {.reader = reader, .until = INFINITY};
    sqlite3_stmt *statement = NULL;
    int code = pg_store_open(path, mode, &s.store);
    if (code != PG_OK)
        return code;
    bool last = s.store->aside; /* which an older database always is */
    s.until = last ? INFINITY : pg_now_s() + limit_s;
    code = declare_functions(s.store);
    sqlite3_set_authorizer(s.store->db, authorize, NULL);
    sqlite3_progress_handler(s.store->db, STEPS_BETWEEN_LOOKS, look, &s);
    if (code == PG_OK)
        code = prepare(&s, sql, &statement);
    if (code == PG_OK)
        code = read_rows(&s, statement, last);
    sqlite3_finalize(statement);
    sqlite3_progress_handler(s.store->db, 0, NULL, NULL);
    sqlite3_set_authorizer(s.store->db, NULL, NULL);
    pg_store_close(s.store);
    *late = code == PG_EINTERRUPTED && s.late && !s.stopped;
    return code;
}

int pg_store_select(const char *path, const char *sql, const pg_sql_reader *reader)
{
    bool late = false;
    int code = select_from(path, PG_STORE_READ, sql, reader, &late);
    return late ? select_from(path, PG_STORE_SNAPSHOT, sql, reader, &late) : code;
}
