/* What the fault tests share: a run in a process group of its own, all results of a store as text, and counts that are shown.
 * Header-only; one test program each. */
#ifndef PG_TESTS_FAULTS_H
#define PG_TESTS_FAULTS_H

#include "db/store.h"
#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/rng.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <time.h>
#include <cmocka.h>

/* scratch_make, in memory where there is room: thousands of small stores are made, and no power fails here. */
static inline int fault_make(void **state)
{
    struct statvfs room;
    if (!getenv("TMPDIR") && statvfs("/dev/shm", &room) == 0 && (double)room.f_bavail * (double)room.f_frsize > 256e6)
        setenv("TMPDIR", "/dev/shm", 1);
    return scratch_make(state);
}

/* A line that tests/run.sh shows also where all is well. */
static inline void fault_count(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    printf("count: %s\n", line);
    fflush(stdout);
}

static inline double fault_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline void fault_sleep(double s)
{
    nanosleep(&(struct timespec){(time_t)s, (long)((s - (double)(time_t)s) * 1e9)}, NULL);
}

static inline void fault_write(const char *name, const char *text) { scratch_write(name, text, strlen(text)); }

/* Starts PROGRAM with arguments that end with NULL in a process group of its own; what it says goes to the file `said` (NULL:
 * nowhere). Its process id. */
static inline pid_t fault_start(const char *said, const char *const *arguments)
{
    const char *path = said ? scratch_path(said) : "/dev/null";
    const char *argv[32] = {program_path()};
    for (int i = 0; i < 30 && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    pid_t child = fork();
    if (child != 0)
        return child;
    setpgid(0, 0);
    if (freopen(path, "w", stdout) && freopen(path, "a", stderr))
        execv(argv[0], (char *const *)argv);
    _exit(127);
}

/* The first number that a store answers with; -1 where it does not. */
static inline int64_t fault_number(const char *db, const char *sql)
{
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    int64_t value = -1;
    if (sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(file, 60000) == SQLITE_OK && sqlite3_prepare_v2(file, sql, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW)
        value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(file);
    return value;
}

static inline int fault_dump_row(void *out, int n, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < n; i++)
        pg_buf_printf(out, "%s%c", values[i] ? values[i] : "NULL", i + 1 < n ? '|' : '\n');
    return 0;
}

static inline char *fault_dump_some(const char *db, bool tasks)
{
    static const char *const questions[] = {
        "SELECT c.cell_id, t.first, t.count, s.n, s.clean, s.certified, s.published, s.nonfinite, s.masked, s.case0, s.case1,"
        " s.case2, s.case3, s.case4, s.attacked_n, s.attacked, s.margin, s.outcomes, s.checksum FROM summary s"
        " JOIN cell c USING (cell) JOIN task t USING (task) ORDER BY c.cell_id, t.first",
        "SELECT cell_id, first, count, canonical, settings, settings_id, details, delta, checksum FROM cell ORDER BY cell_id",
        "SELECT c.cell_id, o.image, o.prediction, o.certified, o.published, o.masked, o.margin, o.failure_case, o.attacked"
        " FROM outcome o JOIN cell c USING (cell) ORDER BY c.cell_id, o.image",
        "SELECT c.cell_id, a.image, a.top, a.\"left\", a.target, a.loss, a.steps, a.before, a.after, hex(a.patch)"
        " FROM attack a JOIN cell c USING (cell) ORDER BY c.cell_id, a.image",
        "SELECT d.hash, d.split, d.images, d.classes, l.image, l.label FROM label l JOIN dataset d USING (dataset)"
        " ORDER BY d.hash, d.split, l.image",
        "SELECT p.plan_id, pc.position, c.cell_id FROM plan p JOIN plan_cell pc USING (plan) JOIN cell c USING (cell)"
        " ORDER BY p.plan_id, pc.position"};
    pg_store *store = NULL;
    int code = pg_store_open(scratch_path(db), PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_check(store);
    pg_store_close(store);
    sqlite3 *file = NULL;
    pg_buf text;
    pg_buf_init(&text);
    if (code == PG_OK && sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        code = pg_fail(PG_EDB, "%s", sqlite3_errmsg(file));
    for (size_t i = tasks ? 0 : 1; code == PG_OK && i < sizeof questions / sizeof *questions; i++)
        if (sqlite3_exec(file, questions[i], fault_dump_row, &text, NULL) != SQLITE_OK)
            code = pg_fail(PG_EDB, "%s", sqlite3_errmsg(file));
    sqlite3_close(file);
    char *result = code == PG_OK ? pg_buf_take(&text) : NULL;
    pg_buf_release(&text);
    return result;
}

/* All that results are made of, without keys, times and attempts, which may differ from run to run; *new*, NULL where the store
 * does not open or is found damaged (with the message). */
static inline char *fault_dump(const char *db) { return fault_dump_some(db, true); }
/* The same without what depends on the images of a task. */
static inline char *fault_dump_outcomes(const char *db) { return fault_dump_some(db, false); }

/* The store against a dump: fails the test with the first line that differs. */
static inline void fault_expect(const char *db, const char *want)
{
    char *have = fault_dump(db);
    if (!have)
        fail_msg("%s", pg_error_message());
    size_t at = 0;
    while (have[at] && have[at] == want[at])
        at++;
    if (have[at] != want[at])
        fail_msg("%s differs at byte %zu: \"%.200s\", right would be \"%.200s\"", db, at, have + at, want + at);
    free(have);
}

#endif
