/* For tests of `run`: a small matrix on the null model, and all that a store knows of its results as text. */
#ifndef PG_TESTS_RUN_FIXTURE_H
#define PG_TESTS_RUN_FIXTURE_H

#include "db/store.h"
#include "harness/base/buf.h"
#include "tests/support/program.h"
#include "tests/support/store_list.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>
#include <time.h>
#include <cmocka.h>

static const char matrix[] =
    "name = \"resume\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:240\"\nbatch = 8\n"
    "[axes]\ndefense = [\"mean\", \"ds\", \"median\", \"robust-masking\"]\npatch = [2, 5]\n"
    "\"robust-masking.threshold\" = [0, 0.2]\n\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static inline int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, strlen(matrix));
    return 0;
}

/* ---- Everything a store knows of results, as text ---- */

static inline int add_outcome(const pg_outcome *o, void *out)
{
    pg_buf_printf(out, "%lld %d %d %d %d %d %d %lld %d\n", (long long)o->image, o->label, o->prediction, o->certified,
                  o->certified_published, o->masked, o->has_margin, (long long)o->margin, o->failure_case);
    return PG_OK;
}

typedef struct dump_state {
    pg_store *store;
    pg_buf *out;
} dump_state;

static inline int add_cell(const pg_cell_result *r, void *context)
{
    dump_state *d = context;
    assert_int_equal(r->state, PG_CELL_DONE);
    pg_buf_printf(d->out, "%s %lld %lld %lld %lld\n", r->cell_id, (long long)r->n, (long long)r->clean, (long long)r->certified,
                  (long long)r->certified_published);
    return pg_store_each_outcome(d->store, r->cell_id, add_outcome, d->out);
}

static inline char *dump(const char *db)
{
    pg_buf text;
    pg_store *store = NULL;
    pg_buf_init(&text);
    if (pg_store_open(scratch_path(db), PG_STORE_READ, &store) != PG_OK || pg_store_check(store) != PG_OK)
        fail_msg("%s", pg_error_message());
    dump_state d = {store, &text};
    assert_int_equal(store_list(store, -1, add_cell, &d, NULL), PG_OK);
    pg_store_close(store);
    char *result = pg_buf_take(&text);
    assert_non_null(result);
    return result;
}

/* Rows of the `attempt` table with this result, over all tasks of a cell. */
static inline int count_attempt(const pg_attempt_record *a, void *context)
{
    int *counts = context;
    counts[strcmp(a->result, "done") == 0     ? 0
           : strcmp(a->result, "failed") == 0 ? 1
           : strcmp(a->result, "lost") == 0   ? 2
                                              : 3]++;
    return PG_OK;
}

typedef struct attempts_state {
    pg_store *store;
    int counts[4];
} attempts_state;

static inline int add_attempts(const pg_cell_result *r, void *context)
{
    attempts_state *s = context;
    return pg_store_each_attempt(s->store, r->cell_id, count_attempt, s->counts);
}

/* done, failed, lost, stale; summed over cells */
static inline void count_attempts(const char *db, int counts[4])
{
    attempts_state s = {0};
    assert_int_equal(pg_store_open(scratch_path(db), PG_STORE_READ, &s.store), PG_OK);
    assert_int_equal(store_list(s.store, -1, add_attempts, &s, NULL), PG_OK);
    pg_store_close(s.store);
    memcpy(counts, s.counts, sizeof s.counts);
}

static inline char *undisturbed(void)
{
    static char *text;
    if (!text) {
        int code = program_run("whole.db", "run %s --task-images 8 --quiet", scratch_path("m.toml"));
        if (code != 0)
            fail_msg("%d: %s", code, program_output);
        text = dump("whole.db");
    }
    return text;
}

static inline char *table_of(const char *db)
{
    if (program_run(db, "table %s --rows defense --cols patch -f csv 2>/dev/null", scratch_path("m.toml")) != 0)
        fail_msg("%s", program_output);
    return strdup(program_output);
}

static inline void expect_undisturbed(const char *db)
{
    char *text = dump(db), *csv = table_of(db), *want = table_of("whole.db");
    assert_string_equal(text, undisturbed());
    assert_string_equal(csv, want);
    free(text);
    free(csv);
    free(want);
}

static inline void sleep_s(double s) { nanosleep(&(struct timespec){(time_t)s, (long)((s - (double)(time_t)s) * 1e9)}, NULL); }

/* Waits until the store answers this question with a number above 0, for ten minutes: other programs may keep the
 * machine busy. */
static inline void wait_for(const char *db, const char *sql)
{
    for (int tries = 0; tries < 60000; tries++) {
        sqlite3 *file = NULL;
        sqlite3_stmt *row = NULL;
        int64_t value = 0;
        if (sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
            sqlite3_prepare_v2(file, sql, -1, &row, NULL) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
            value = sqlite3_column_int64(row, 0);
        sqlite3_finalize(row);
        sqlite3_close(file);
        if (value > 0)
            return;
        sleep_s(0.01);
    }
    fail_msg("waited in vain for: %s", sql);
}

/* A matrix whose images take this long. */
static inline void write_slow(const char *name, int microseconds)
{
    char text[2048];
    const char *axes = strstr(matrix, "[axes]");
    snprintf(text, sizeof text, "%.*snull.sleep_us = %d\n%s", (int)(axes - matrix), matrix, microseconds, axes);
    scratch_write(name, text, strlen(text));
}

#endif
