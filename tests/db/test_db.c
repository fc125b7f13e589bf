/* `patchgauge db`: what check finds in the database and in the feature cache, and backups while others write. */
#include "harness/pipeline/cache.h"
#include "tests/support/program.h"
#include "tests/support/store_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

static char cache_option[600]; /* "--cache SCRATCH/cache" */

static int make_with_cache(void **state)
{
    int code = make(state);
    snprintf(cache_option, sizeof cache_option, "--cache '%s/cache'", scratch_folder);
    return code;
}

static int clean_all(void **state)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'/*", scratch_folder);
    assert_int_equal(system(command), 0);
    return clean(state);
}

static int check_db(void) { return program_run("t.db", "db check %s", cache_option); }

static void damage(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(scratch_path("t.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int count_lines(const char *needle)
{
    int n = 0;
    for (const char *at = program_output; (at = strstr(at, needle)); at += strlen(needle))
        n++;
    return n;
}

/* ---- check ---- */

static void test_a_sound_store(void **state)
{
    (void)state;
    pg_store_close(fill_attacked(true));
    char before[PG_HASH_HEX], after[PG_HASH_HEX];
    assert_int_equal(pg_hash_file(scratch_path("t.db"), before), PG_OK);
    int entries = scratch_count(scratch_folder);
    assert_int_equal(check_db(), 0);
    assert_non_null(strstr(program_output, "3 cells, 3 tasks, 30 outcomes, 30 attacked images, 0 audits: all is well"));
    assert_non_null(strstr(program_output, "feature cache: empty"));
    assert_int_equal(pg_hash_file(scratch_path("t.db"), after), PG_OK);
    assert_string_equal(before, after);
    assert_int_equal(scratch_count(scratch_folder), entries);
}

/* One run tells every fault, each for itself. */
static void test_every_fault_is_told(void **state)
{
    (void)state;
    pg_store_close(fill_attacked(true));
    damage("UPDATE outcome SET prediction = prediction + 1 WHERE image = 3 AND cell = 1;"
           "UPDATE outcome SET margin = 17 WHERE image = 4 AND cell = 1;"
           "UPDATE cell SET details = 'window=2x2' WHERE cell = 2;"
           "UPDATE cell SET canonical = 'other' WHERE cell = 3;"
           "UPDATE total SET clean = 4 WHERE cell = 3;"
           "INSERT INTO task (forward, first, count) VALUES (1, 0, 4);"
           "INSERT INTO audit SELECT 77, 'feature', '', 1, 1, 0, 0, 0, NULL, NULL, '';"
           "UPDATE attempt SET result = 'lost' WHERE attempt = 1");
    assert_int_equal(check_db(), 2);
    assert_int_equal(count_lines("do not match their checksum"), 2); /* images 0:4 and 4:8 of cell 1 */
    assert_int_equal(count_lines("its row does not match its checksum"), 2);
    assert_int_equal(count_lines("is not the hash of its text"), 1);
    assert_int_equal(count_lines("wrong totals of cell"), 1);
    assert_int_equal(count_lines("a task without cells: task 4"), 1);
    assert_int_equal(count_lines("a row points nowhere in table: audit"), 1);
    assert_int_equal(count_lines("results without the attempt that made them"), 3); /* of three cells */
    assert_int_equal(count_lines("11 faults; restore a backup"), 1);
}

static void test_many_faults_are_cut_short(void **state)
{
    (void)state;
    pg_store_close(fill());
    damage("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
           " INSERT INTO task (forward, first, count) SELECT 1, i, 1 FROM n");
    assert_int_equal(check_db(), 2);
    assert_int_equal(count_lines("a task without cells"), 50);
    assert_int_equal(count_lines("200 faults"), 1);
}

/* A page of nonsense: SQLite's own check names it, and the rest is still looked at. */
static void test_a_damaged_page(void **state)
{
    (void)state;
    pg_store *store = fill();
    int64_t page = number(store, "SELECT rootpage FROM sqlite_schema WHERE name = 'outcome'");
    pg_store_close(store);
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("t.db"), 1 << 24, &bytes, &size), PG_OK);
    memset(bytes + (page - 1) * 4096 + 8, 0xee, 300);
    scratch_write("t.db", bytes, size);
    free(bytes);
    assert_int_equal(check_db(), 2);
    assert_int_not_equal(count_lines("restore a backup"), 0);
}

static void test_no_store(void **state)
{
    (void)state;
    assert_int_equal(check_db(), 2);
    assert_non_null(strstr(program_output, "no such database"));
    scratch_write("t.db", "no database at all, but a text of some length", 45);
    assert_int_equal(check_db(), 2);
    assert_int_equal(program_run("t.db", "db"), 2);
    assert_int_equal(program_run("t.db", "db chekc"), 2);
    assert_int_equal(program_run("t.db", "db check twice"), 2);
}

/* A value without a parameter and a parameter without a value are both told. */
static void test_values_are_bound_by_name(void **state)
{
    (void)state;
    pg_store *store = fill();
    sqlite3_stmt *row = NULL;
    static const char two[] = "SELECT :first + :count, :first", misspelled[] = "SELECT :frist";
    int64_t sum = 0;
    assert_int_equal(pg_db_one(store, "adding", two, PG_BIND(PG_V(count, 2), PG_V(first, 40)), &sum), PG_OK);
    assert_int_equal(sum, 42);
    assert_int_equal(pg_db_get(store, two, &row, PG_BIND(PG_V(first, 40))), PG_EDB);
    assert_int_equal(pg_db_get(store, two, &row, NULL), PG_EDB);
    assert_int_equal(pg_db_get(store, misspelled, &row, PG_BIND(PG_V(first, 40))), PG_EDB);
    pg_store_close(store);
}

/* The check holds nobody up: while it reads its copy, a worker claims and commits. */
static void test_check_holds_no_lock(void **state)
{
    (void)state;
    pg_store_close(fill());
    pg_store *snapshot = NULL;
    assert_int_equal(pg_store_open(scratch_path("t.db"), PG_STORE_SNAPSHOT, &snapshot), PG_OK);
    sqlite3_stmt *row = NULL;
    assert_int_equal(pg_db_get(snapshot, "SELECT * FROM outcome", &row, NULL), PG_OK);
    assert_int_equal(pg_db_step(snapshot, row, "reading"), 1); /* in the middle of reading */
    pg_store *worker = open_worker();
    sqlite3_busy_timeout(worker->db, 0);
    pg_task task;
    plan(worker, (const int[]){5}, 1, 0, IMAGES);
    while (claim(worker, &task)) {
        assert_true(finish(worker, &task));
        pg_task_release(&task);
    }
    pg_store_close(worker);
    pg_db_done(row);
    assert_int_equal(number(snapshot, "SELECT count(*) FROM cell"), CELLS);
    assert_int_equal(pg_store_check(snapshot), PG_OK);
    assert_int_not_equal(sqlite3_exec(snapshot->db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_OK);
    pg_store_close(snapshot);
}

/* ---- the feature cache ---- */

enum { FLOATS = 500 };

static void fill_cache(void)
{
    float values[FLOATS];
    for (int i = 0; i < FLOATS; i++)
        values[i] = (float)i;
    pg_cache *cache = pg_cache_new(scratch_path("cache"), 1 << 20);
    assert_true(pg_cache_key(cache, hash_a, "cpu", "libtorch 1", 2));
    for (int i = 0; i < 4; i++)
        pg_cache_write(cache, 10 * i, 10, values, FLOATS);
    pg_cache_free(cache);
}

/* Path of entry i, by its first image. */
static const char *entry_path(int i)
{
    static char path[1024];
    char command[700];
    snprintf(command, sizeof command, "ls '%s'/cache/features/*-%d.features", scratch_folder, 10 * i);
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(path, sizeof path, pipe))
        fail_msg("no entry %d", i);
    pclose(pipe);
    path[strcspn(path, "\n")] = 0;
    return path;
}

static void test_cache_entries(void **state)
{
    (void)state;
    pg_store_close(fill());
    fill_cache();
    assert_int_equal(check_db(), 0);
    assert_non_null(strstr(program_output, "feature cache: 4 entries"));
    char *bytes = NULL, path[1024], other[1100];
    size_t size = 0;
    snprintf(path, sizeof path, "%s", entry_path(1));
    assert_int_equal(pg_file_read(path, 1 << 20, &bytes, &size), PG_OK);
    for (size_t at = 0; at < size; at += 97) { /* any byte */
        bytes[at] ^= 1;
        assert_int_equal(pg_file_write(path, bytes, size), PG_OK);
        bytes[at] ^= 1;
        assert_int_equal(check_db(), 2);
        assert_non_null(strstr(program_output, "its checksum is wrong"));
        assert_non_null(strstr(program_output, "has 1 damaged entries"));
        assert_non_null(strstr(program_output, "all is well")); /* the database */
    }
    assert_int_equal(pg_file_write(path, bytes, size - 1), PG_OK);
    assert_int_equal(check_db(), 2);
    assert_int_equal(pg_file_write(path, bytes, 0), PG_OK);
    assert_int_equal(check_db(), 2);
    assert_int_equal(pg_file_write(path, bytes, size), PG_OK);
    assert_int_equal(check_db(), 0);
    snprintf(other, sizeof other, "%.*s-10-10.features", (int)(strstr(path, "-10.features") - path), path);
    assert_int_equal(rename(path, other), 0); /* a name of before */
    assert_int_equal(check_db(), 0);
    assert_int_equal(rename(other, path), 0);
    snprintf(other, sizeof other, "%.*s-99.features", (int)(strstr(path, "-10.features") - path), path);
    assert_int_equal(rename(path, other), 0); /* whole, but in the place of other images */
    assert_int_equal(check_db(), 2);
    assert_non_null(strstr(program_output, "the name of another entry"));
    assert_int_equal(access(other, F_OK), 0); /* told, not removed */
    free(bytes);
}

/* What a killed writer left is no entry to check, but it takes room and goes in its turn. */
static void test_cache_leftovers(void **state)
{
    (void)state;
    static float values[FLOATS];
    char junk[40000] = {0}, left[700];
    pg_store_close(fill());
    fill_cache();
    snprintf(left, sizeof left, "%s.123.tmp", entry_path(0));
    assert_int_equal(pg_file_write(left, junk, sizeof junk), PG_OK);
    assert_int_equal(check_db(), 0);
    assert_non_null(strstr(program_output, "feature cache: 4 entries"));
    assert_int_equal(utimensat(AT_FDCWD, left, (const struct timespec[]){{1, 0}, {1, 0}}, 0), 0);
    pg_cache *cache = pg_cache_new(scratch_path("cache"), 50000);
    assert_true(pg_cache_key(cache, hash_a, "cpu", "libtorch 1", 2));
    pg_cache_write(cache, 900, 10, values, FLOATS);
    pg_cache_free(cache);
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(check_db(), 0);
}

/* ---- names that SQLite takes for something else than files ---- */

/* Refused wherever a database is named, and nothing is made. */
static void test_names_of_no_file(void **state)
{
    (void)state;
    static const char *const names[] = {":memory:", "file:x.db", "file:y?mode=memory", "file:"};
    static const char *const commands[] = {"--db '%s' ls",
                                           "--db '%s' db check",
                                           "--db '%s' merge t.db",
                                           "--db t.db merge '%s'",
                                           "--db t.db db backup --force '%s'",
                                           "--db '%s' run m.toml",
                                           "doctor --db '%s'"};
    char command[200], line[1200], program[512];
    pg_store_close(fill());
    static const char text[] =
        "fixed = { dataset = \"synthetic:test\", weights = \"null\", images = \"0:4\", patch = 3, defense = \"ds\" }\n";
    scratch_write("m.toml", text, sizeof text - 1);
    assert_non_null(realpath(program_path(), program));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; k < sizeof commands / sizeof *commands; k++) {
            snprintf(command, sizeof command, commands[k], names[i]);
            snprintf(line, sizeof line, "cd '%s' && exec 2>&1; exec '%s' %s", scratch_folder, program, command);
            int code = program_shell(line);
            if (code != 2 || strncmp(program_output, "patchgauge: ", 12) != 0 || !strstr(program_output, "a file of th"))
                fail_msg("%s: %d: %s", command, code, program_output);
            assert_int_equal(scratch_count(scratch_folder), 2);
        }
    snprintf(line, sizeof line, "cd '%s' && exec 2>&1; '%s' --db ./file:x.db run m.toml --quiet && test -f file:x.db",
             scratch_folder, program);
    assert_int_equal(program_shell(line), 0);
}

/* ---- rights ---- */

static unsigned mode_of(const char *name)
{
    struct stat about;
    assert_int_equal(stat(scratch_path(name), &about), 0);
    return about.st_mode & 0777;
}

/* Files are made with the rights that the user's umask leaves, lock files of workers too. */
static void test_umask(void **state)
{
    (void)state;
    static const unsigned masks[] = {022, 002, 077, 027};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        mode_t before = umask(masks[i]);
        pg_store *store = fill();
        glob_t locks = {0};
        char pattern[600];
        assert_int_equal(pg_store_worker_start(store, &some_worker), PG_OK);
        snprintf(pattern, sizeof pattern, "%s.worker-*", scratch_path("t.db"));
        assert_int_equal(glob(pattern, 0, NULL, &locks), 0);
        struct stat about;
        assert_int_equal(stat(locks.gl_pathv[0], &about), 0);
        assert_int_equal(about.st_mode & 0777, 0666 & ~masks[i]);
        globfree(&locks);
        pg_store_close(store);
        assert_int_equal(program_run("t.db", "db backup '%s/b.db'", scratch_folder), 0);
        fill_cache();
        umask(before);
        assert_int_equal(mode_of("t.db"), 0666 & ~masks[i]);
        assert_int_equal(mode_of("b.db"), 0666 & ~masks[i]);
        assert_int_equal(stat(entry_path(0), &about), 0);
        assert_int_equal(about.st_mode & 0777, 0666 & ~masks[i]);
        assert_int_equal(clean_all(NULL), 0);
    }
}

/* A database of another user: read where it may be, and else one message that says whose it is; nothing is made. */
static void test_of_another_user(void **state)
{
    (void)state;
    static const struct {
        unsigned mode;
        const char *command;
        int code;
    } cases[] = {{0644, "ls", 0},         {0644, "db check --cache none", 0},
                 {0600, "ls", 4},         {0600, "db check", 4},
                 {0644, "merge t.db", 2}, {0644, "run m.toml", 4},
                 {0600, "run m.toml", 4}};
    char line[1300], program[512];
    if (geteuid() != 0)
        skip(); /* needs to become somebody else */
    static const char text[] =
        "fixed = { dataset = \"synthetic:test\", weights = \"null\", images = \"0:4\", patch = 3, defense = \"ds\" }\n";
    pg_store_close(fill());
    scratch_write("m.toml", text, sizeof text - 1);
    snprintf(line, sizeof line, "cp '%s' '%s/program' && chmod 755 '%s' '%s/program'", program_path(), scratch_folder,
             scratch_folder, scratch_folder);
    assert_int_equal(system(line), 0);
    snprintf(program, sizeof program, "setpriv --reuid=65534 --regid=65534 --clear-groups ./program --db t.db");
    int entries = scratch_count(scratch_folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(chmod(scratch_path("t.db"), cases[i].mode), 0);
        snprintf(line, sizeof line, "cd '%s' && exec 2>&1; exec %s %s", scratch_folder, program, cases[i].command);
        int code = program_shell(line);
        if (code != cases[i].code || (code == 4 && !strstr(program_output, "it belongs to user root and has mode 6")))
            fail_msg("%o %s: %d: %s", cases[i].mode, cases[i].command, code, program_output);
        assert_int_equal(scratch_count(scratch_folder), entries);
    }
}

/* ---- backup ---- */

static void expect_whole(const char *name, int cells)
{
    pg_store *store = NULL;
    assert_int_equal(pg_store_open(scratch_path(name), PG_STORE_READ, &store), PG_OK);
    assert_int_equal(pg_store_check(store), PG_OK);
    assert_int_equal(number(store, "SELECT count(*) FROM cell"), cells);
    pg_store_close(store);
}

static void test_backup(void **state)
{
    (void)state;
    pg_store_close(fill_attacked(true));
    assert_int_equal(program_run("t.db", "db backup '%s/b.db'", scratch_folder), 0);
    expect_whole("b.db", CELLS);
    assert_int_equal(scratch_count(scratch_folder), 2);
    assert_int_equal(program_run("t.db", "db backup '%s/b.db'", scratch_folder), 2);
    assert_non_null(strstr(program_output, "--force"));
    scratch_write("b.db", "mine", 4);
    assert_int_equal(program_run("t.db", "db backup '%s/b.db'", scratch_folder), 2);
    assert_int_equal(pg_file_size(scratch_path("b.db")), 4);
    assert_int_equal(program_run("t.db", "db backup --force '%s/b.db'", scratch_folder), 0);
    expect_whole("b.db", CELLS);
    assert_int_equal(program_run("b.db", "ls"), 0); /* and it is a database like any other */
    assert_int_equal(count_lines("10/10"), CELLS);
    assert_int_equal(program_run("t.db", "db backup"), 2);
    assert_int_equal(program_run("t.db", "db backup '%s/c.db' '%s/d.db'", scratch_folder, scratch_folder), 2);
    assert_int_equal(program_run("t.db", "db backup '%s/no/c.db'", scratch_folder), 4);
    assert_int_equal(program_run("none.db", "db backup '%s/c.db'", scratch_folder), 2);
    assert_int_equal(program_run("t.db", "db backup --force '%s'", scratch_folder), 2);
    assert_int_equal(scratch_count(scratch_folder), 2);
}

static void test_backup_onto_itself(void **state)
{
    (void)state;
    pg_store_close(fill());
    assert_int_equal(symlink("t.db", scratch_path("same.db")), 0);
    assert_int_equal(program_run("t.db", "db backup --force '%s/t.db'", scratch_folder), 2);
    assert_non_null(strstr(program_output, "is read by this command as well"));
    assert_int_equal(program_run("t.db", "db backup --force '%s/same.db'", scratch_folder), 2);
    expect_whole("t.db", CELLS);
}

/* A file under a journal of another database would be changed by it. */
static void test_backup_under_a_journal(void **state)
{
    (void)state;
    pg_store_close(fill());
    scratch_write("b.db-journal", "x", 1);
    assert_int_equal(program_run("t.db", "db backup '%s/b.db'", scratch_folder), 2);
    assert_non_null(strstr(program_output, "in use"));
    assert_int_equal(access(scratch_path("b.db"), F_OK), -1);
}

static void test_backup_of_a_damaged_store(void **state)
{
    (void)state;
    pg_store_close(fill());
    damage("UPDATE outcome SET prediction = prediction + 1 WHERE image = 3 AND cell = 1");
    scratch_write("b.db", "older", 5);
    assert_int_equal(program_run("t.db", "db backup --force '%s/b.db'", scratch_folder), 2);
    assert_non_null(strstr(program_output, "db check"));
    assert_int_equal(pg_file_size(scratch_path("b.db")), 5);
    assert_int_equal(scratch_count(scratch_folder), 2);
}

/* Every backup made while a worker commits is whole, and holds what some moment held. */
static void test_backups_while_a_worker_writes(void **state)
{
    (void)state;
    enum { MOST = 2000 };
    pg_store *store = open_worker();
    plan(store, (const int[]){0, 1, 2}, CELLS, 0, 100);
    pg_store_close(store);
    pid_t child = fork();
    if (child == 0) {
        store = open_worker();
        pg_task task;
        for (int round = 0;; round++) { /* until it is ended; labels of images are those of the fixture */
            plan(store, (const int[]){0, 1, 2}, CELLS, 0, 100);
            while (claim(store, &task)) {
                finish(store, &task);
                pg_task_release(&task);
                usleep(1000);
            }
            exec(store,
                 "BEGIN IMMEDIATE; DELETE FROM summary; DELETE FROM outcome; UPDATE task SET state = 'pending', owner = NULL;"
                 "DELETE FROM attempt; DELETE FROM total; INSERT INTO total (cell, images) SELECT cell, count FROM cell; "
                 "COMMIT");
        }
    }
    int taken = 0;
    int64_t least = MOST, largest = -1;
    for (int i = 0; i < 40; i++) {
        int code = pg_store_backup(scratch_path("t.db"), scratch_path("b.db"), true);
        if (code != PG_OK)
            print_error("%s\n", pg_error_message());
        taken += code == PG_OK;
        pg_store *copy = NULL;
        if (code == PG_OK && pg_store_open(scratch_path("b.db"), PG_STORE_READ, &copy) == PG_OK) {
            int64_t n = number(copy, "SELECT sum(n) FROM total");
            least = n < least ? n : least;
            largest = n > largest ? n : largest;
        }
        pg_store_close(copy);
    }
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); /* the writer saw no error */
    assert_int_equal(taken, 40);
    assert_true(largest > least); /* moments that differ */
}

/* Killed at any moment: the backup of before is there, or the new one, never a part. */
static void test_killed_backups(void **state)
{
    (void)state;
    enum { ROUNDS = 30 };
    pg_store_close(fill());
    assert_int_equal(pg_store_backup(scratch_path("t.db"), scratch_path("b.db"), false), PG_OK);
    pg_store *store = open_worker();
    pg_task task;
    plan(store, (const int[]){5}, 1, 0, 100);
    while (claim(store, &task)) {
        assert_true(finish(store, &task));
        pg_task_release(&task);
    }
    pg_store_close(store);
    char before[PG_HASH_HEX], after[PG_HASH_HEX], temporary[64];
    glob_t left;
    assert_int_equal(pg_hash_file(scratch_path("b.db"), before), PG_OK);
    pg_rng rng = pg_rng_make(5, PG_STREAM_TEST, 0);
    int killed = 0, kept = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            _exit(pg_store_backup(scratch_path("t.db"), scratch_path("b.db"), true) != PG_OK);
        snprintf(temporary, sizeof temporary, "b.db.tmp.%ld", (long)child);
        while (access(scratch_path(temporary), F_OK) != 0 && waitpid(child, &status, WNOHANG) == 0)
            continue;
        usleep(pg_rng_below(&rng, 2000));
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status);
        assert_int_equal(pg_hash_file(scratch_path("b.db"), after), PG_OK);
        bool old = strcmp(before, after) == 0;
        kept += old;
        expect_whole("b.db", old ? CELLS : CELLS + 1);
    }
    assert_int_equal(pg_store_backup(scratch_path("t.db"), scratch_path("b.db"), true), PG_OK);
    assert_int_equal(glob(scratch_path("b.db.tmp.*"), 0, NULL, &left), GLOB_NOMATCH);
    print_message("%d of %d killed, the earlier one kept in %d\n", killed, (int)ROUNDS, kept);
    assert_true(killed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_sound_store, clean_all),
        cmocka_unit_test_teardown(test_every_fault_is_told, clean_all),
        cmocka_unit_test_teardown(test_many_faults_are_cut_short, clean_all),
        cmocka_unit_test_teardown(test_a_damaged_page, clean_all),
        cmocka_unit_test_teardown(test_no_store, clean_all),
        cmocka_unit_test_teardown(test_check_holds_no_lock, clean_all),
        cmocka_unit_test_teardown(test_cache_entries, clean_all),
        cmocka_unit_test_teardown(test_cache_leftovers, clean_all),
        cmocka_unit_test_teardown(test_names_of_no_file, clean_all),
        cmocka_unit_test_teardown(test_umask, clean_all),
        cmocka_unit_test_teardown(test_of_another_user, clean_all),
        cmocka_unit_test_teardown(test_backup, clean_all),
        cmocka_unit_test_teardown(test_backup_onto_itself, clean_all),
        cmocka_unit_test_teardown(test_backup_under_a_journal, clean_all),
        cmocka_unit_test_teardown(test_backup_of_a_damaged_store, clean_all),
        cmocka_unit_test_teardown(test_backups_while_a_worker_writes, clean_all),
        cmocka_unit_test_teardown(test_killed_backups, clean_all),
        cmocka_unit_test_teardown(test_values_are_bound_by_name, clean_all),
    };
    return cmocka_run_group_tests_name("db", tests, make_with_cache, scratch_remove);
}
