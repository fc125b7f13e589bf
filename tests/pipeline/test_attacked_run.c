/* Running matrices with attacks: resume after kill -9 and signals, the same bytes again, ranges, the clean half unchanged, and
 * certificates that an attack breaks. */
/* Loads libtorch. */
#include "db/internal.h"
#include "harness/base/buf.h"
#include "harness/base/rng.h"
#include "harness/plan/tasks.h"
#include "harness/pipeline/worker.h"
#include "tests/support/program.h"
#include "tests/support/store_list.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>
#include <time.h>
#include <cmocka.h>

#define ZOO   "models/zoo/synthetic-ds.safetensors"
#define SMALL "models/zoo/synthetic-bagnet.safetensors" /* a step of an attack takes a tenth of the time */

/* An image takes some milliseconds: a pass of the attack is a forward pass of the null model. */
static const char null_matrix[] =
    "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:48\"\nbatch = 8\npatch = 5\nnull.sleep_us = 1000\n"
    "attack = \"random-search\"\nrandom-search.steps = 3\nrandom-search.batch = 4\n[axes]\ndefense = [\"ds\", "
    "\"robust-masking\"]\n";
#define ZOO_MATRIX(DEFENSES)                                                                                                 \
    "[fixed]\ndataset = \"synthetic:test\"\nweights = \"" ZOO                                                                \
    "\"\nimages = \"3:19\"\nbatch = 16\npatch = 8\nattack = \"lavan\"\nlavan.steps = 4\nlavan.batch = 8\n[axes]\ndefense = " \
    "[" DEFENSES "]\n"
static const char zoo_matrix[] = ZOO_MATRIX("\"ds\", \"robust-masking\""), one_matrix[] = ZOO_MATRIX("\"ds\"");

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("null.toml", null_matrix, strlen(null_matrix));
    scratch_write("zoo.toml", zoo_matrix, strlen(zoo_matrix));
    scratch_write("one.toml", one_matrix, strlen(one_matrix));
    return 0;
}

/* ---- What a store knows, as text ---- */

typedef struct dump_state {
    pg_store *store;
    pg_buf *out;
} dump_state;

static int add_outcome(const pg_outcome *o, void *out)
{
    pg_buf_printf(out, "%lld %d %d %d %lld %d %d\n", (long long)o->image, o->label, o->prediction, o->certified,
                  (long long)o->margin, o->has_attack, o->attacked);
    return PG_OK;
}

static int add_attack(const pg_attack_row *a, void *out)
{
    char hash[PG_HASH_HEX];
    assert_int_equal(pg_hash_bytes(a->patch, a->patch_size, hash), PG_OK);
    pg_buf_printf(out, "%lld %d %d %d %.17g %lld %d %d %s\n", (long long)a->image, a->top, a->left, a->target, a->loss,
                  (long long)a->steps, a->before, a->after, hash);
    return PG_OK;
}

static int add_cell(const pg_cell_result *r, void *context)
{
    dump_state *d = context;
    assert_int_equal(r->state, PG_CELL_DONE);
    pg_buf_printf(d->out, "%s %lld %lld %lld\n", r->cell_id, (long long)r->n, (long long)r->attacked_n, (long long)r->attacked);
    int code = pg_store_each_outcome(d->store, r->cell_id, add_outcome, d->out);
    return code == PG_OK ? pg_store_each_attack(d->store, r->cell_id, add_attack, d->out) : code;
}

static char *dump(const char *db)
{
    pg_buf text;
    pg_store *store = NULL;
    pg_buf_init(&text);
    if (pg_store_open(scratch_path(db), PG_STORE_READ, &store) != PG_OK || pg_store_check(store) != PG_OK)
        fail_msg("%s", pg_error_message());
    dump_state d = {store, &text};
    assert_int_equal(store_list(store, -1, add_cell, &d, NULL), PG_OK);
    pg_store_close(store);
    return pg_buf_take(&text);
}

static void run_quietly(const char *db, const char *matrix, const char *more)
{
    int code = program_run(db, "run %s --device cpu --task-images 8 --quiet %s", scratch_path(matrix), more);
    if (code != 0)
        fail_msg("%d: %s", code, program_output);
}

static void expect_same(const char *db, const char *want)
{
    char *got = dump(db);
    assert_string_equal(got, want);
    free(got);
}

static int64_t number(const char *db, const char *sql)
{
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    int64_t value = -1;
    if (sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(file, sql, -1, &row, NULL) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
        value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(file);
    return value;
}

static void sleep_s(double s) { nanosleep(&(struct timespec){(time_t)s, (long)((s - (double)(time_t)s) * 1e9)}, NULL); }

/* ---- Tests ---- */

static void test_kill_and_resume(void **state)
{
    (void)state;
    run_quietly("whole.db", "null.toml", "");
    char *whole = dump("whole.db");
    pg_rng rng = pg_rng_make(8, PG_STREAM_TEST, 0);
    int kills = 0, code = 0;
    assert_int_equal(number("whole.db", "SELECT count(*) FROM attack"), 96);
    assert_int_equal(number("whole.db", "SELECT count(*) FROM task"), 12);
    do {
        pid_t child = program_start("killed.db", scratch_path("null.toml"));
        sleep_s(0.02 + 0.3 * pg_rng_unit(&rng));
        if (kills < 12)
            kill(-child, SIGKILL);
        code = program_wait(child);
        assert_true(code == 0 || code == 128 + SIGKILL);
        kills += code != 0;
    } while (code != 0);
    print_message("%d kills\n", kills);
    assert_true(kills > 0);
    expect_same("killed.db", whole);
    assert_int_equal(number("killed.db", "SELECT count(*) FROM attempt WHERE result = 'done'"), 12);
    assert_int_equal(number("killed.db", "SELECT count(*) FROM attempt WHERE result = 'failed'"), 0);
    free(whole);
}

/* The task in hand is given back, not lost: an attack may take long. */
static void test_interrupt(void **state)
{
    (void)state;
    static const char slow[] = "sed 's/steps = 3/steps = 40/' '%s/null.toml' > '%s/slow.toml'";
    char command[1200];
    snprintf(command, sizeof command, slow, scratch_folder, scratch_folder);
    assert_int_equal(system(command), 0);
    pid_t child = program_start("stop.db", scratch_path("slow.toml"));
    for (int tries = 0; tries < 60000 && number("stop.db", "SELECT count(*) FROM task WHERE state = 'done'") < 1; tries++)
        sleep_s(0.01);
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    kill(child, SIGINT);
    assert_int_equal(program_wait(child), 3);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    print_message("stopped in %.2f s\n",
                  (double)(ended.tv_sec - begun.tv_sec) + 1e-9 * (double)(ended.tv_nsec - begun.tv_nsec));
    assert_int_equal(number("stop.db", "SELECT count(*) FROM attempt WHERE result <> 'done'"), 0);
    assert_int_equal(number("stop.db", "SELECT count(*) FROM task WHERE state = 'running'"), 0);
    int64_t done = number("stop.db", "SELECT count(*) FROM task WHERE state = 'done'");
    assert_true(done >= 1 && done < 12);
    run_quietly("stop.db", "slow.toml", "-S null.sleep_us=0");
    run_quietly("unstopped.db", "slow.toml", "-S null.sleep_us=0");
    char *want = dump("unstopped.db");
    expect_same("stop.db", want);
    free(want);
}

/* What is found for an image does not depend on the range it was asked for in, nor on the tasks. */
static void test_ranges_agree(void **state)
{
    (void)state;
    assert_int_equal(program_run("part.db", "run %s --quiet -S images=13:40 --task-images 16", scratch_path("null.toml")), 0);
    assert_int_equal(
        program_run("full.db", "run %s --quiet -S images=0:48 -S random-search.batch=4", scratch_path("null.toml")), 0);
    char *part = dump("part.db"), *full = dump("full.db");
    int lines = 0;
    for (char *line = strtok(part, "\n"); line; line = strtok(NULL, "\n"))
        if (strcspn(line, " ") < 32) { /* the lines of images */
            if (!strstr(full, line))
                fail_msg("not in the full range: %s", line);
            lines++;
        }
    assert_int_equal(lines, 2 * 2 * 27);
    free(part);
    free(full);
}

static int add_clean(const pg_outcome *o, void *out)
{
    pg_buf_printf(out, "%lld %d %d %d %lld\n", (long long)o->image, o->label, o->prediction, o->certified,
                  (long long)o->margin);
    return PG_OK;
}

static int add_clean_cell(const pg_cell_result *r, void *context)
{
    dump_state *d = context;
    return pg_store_each_outcome(d->store, r->cell_id, add_clean, d->out);
}

static char *clean_half(const char *db)
{
    pg_buf text;
    pg_store *store = NULL;
    pg_buf_init(&text);
    assert_int_equal(pg_store_open(scratch_path(db), PG_STORE_READ, &store), PG_OK);
    dump_state d = {store, &text};
    assert_int_equal(store_list(store, -1, add_clean_cell, &d, NULL), PG_OK);
    pg_store_close(store);
    return pg_buf_take(&text);
}

/* A real network: the same bytes again, killed or not; predictions and certificates as without the attack; nothing certified
 * breaks, and correct under attack is no more than right. */
static void test_a_real_network(void **state)
{
    (void)state;
    if (access(ZOO, R_OK) != 0)
        skip();
    char more[600];
    snprintf(more, sizeof more, "--threads 1 --cache %s/cache", scratch_folder);
    run_quietly("one.db", "zoo.toml", more);
    char *one = dump("one.db");
    run_quietly("two.db", "zoo.toml", "--threads 1 --cache-size 0");
    expect_same("two.db", one); /* nor does it matter where clean features come from */
    pid_t child = program_start("three.db", scratch_path("one.toml"));
    for (int tries = 0; tries < 60000 && number("three.db", "SELECT count(*) FROM task WHERE state = 'done'") < 1; tries++)
        sleep_s(0.01);
    kill(-child, SIGKILL);
    int code = program_wait(child);
    assert_true(code == 0 || code == 128 + SIGKILL);
    run_quietly("three.db", "one.toml", ""); /* as many threads as there are cores */
    char *three = dump("three.db"), *clean = NULL, *attacked = clean_half("one.db");
    run_quietly("four.db", "one.toml", "");
    expect_same("four.db", three);
    run_quietly("clean.db", "zoo.toml", "-S attack=none --threads 1");
    clean = clean_half("clean.db");
    assert_string_equal(attacked, clean);
    assert_int_equal(number("one.db", "SELECT count(*) FROM attack WHERE length(patch) = 192"), 32);
    assert_int_equal(number("one.db", "SELECT count(*) FROM summary WHERE attacked > clean OR attacked < certified"), 0);
    assert_true(number("one.db", "SELECT count(*) FROM attack WHERE steps > 0 AND before <> after") > 0);
    assert_int_equal(number("one.db",
                            "SELECT count(*) FROM attack a JOIN outcome o USING (cell, image) WHERE o.attacked <> a.after"
                            " OR o.prediction <> a.before"),
                     0);
    assert_int_equal(program_run("one.db", "table %s", scratch_path("zoo.toml")), 0);
    assert_non_null(strstr(program_output, "under attack"));
    assert_null(strstr(program_output, "BROKEN"));
    assert_int_equal(program_run("one.db", "ls"), 0);
    assert_non_null(strstr(program_output, " attack=lavan batch=8 steps=4 batch=16 images=3:19 "));
    char id[16];
    snprintf(id, sizeof id, "%.12s", strchr(program_output, '\n') + 1);
    assert_int_equal(program_run("one.db", "show %s", id), 0);
    assert_non_null(strstr(program_output, "attack lavan, through the defense"));
    assert_non_null(strstr(program_output, "certificates broken  0\n"));
    free(one);
    free(three);
    free(clean);
    free(attacked);
}

typedef struct broken_images {
    bool wrong[64];
    int n;
} broken_images;

static int note_broken(const pg_attack_row *a, void *context)
{
    broken_images *b = context;
    b->wrong[a->image] = a->after != a->label;
    b->n++;
    return PG_OK;
}

static void read_broken(const char *db, broken_images *out)
{
    char id[PG_HASH_HEX], prefix[13];
    pg_store *store = NULL;
    *out = (broken_images){0};
    assert_int_equal(program_run(db, "ls"), 0);
    snprintf(prefix, sizeof prefix, "%.12s", strchr(program_output, '\n') + 1);
    assert_int_equal(pg_store_open(scratch_path(db), PG_STORE_READ, &store), PG_OK);
    assert_int_equal(pg_store_resolve(store, prefix, id), PG_OK);
    assert_int_equal(pg_store_each_attack(store, id, note_broken, out), PG_OK);
    pg_store_close(store);
}

/* How many images are attacked at a time changes last bits of their logits, and hardly an outcome. */
static void test_batches_agree(void **state)
{
    (void)state;
    if (access(SMALL, R_OK) != 0)
        skip();
    broken_images one, many;
    static const char *const asked[] = {
        "-S weights=" SMALL " -S defense=mean -S images=0:64 -S lavan.steps=4 -S patch=12 -S lavan.batch=1 --threads 1",
        "-S weights=" SMALL " -S defense=mean -S images=0:64 -S lavan.steps=4 -S patch=12 -S lavan.batch=64 --threads 1"};
    run_quietly("batch1.db", "zoo.toml", asked[0]);
    run_quietly("batch64.db", "zoo.toml", asked[1]);
    read_broken("batch1.db", &one);
    read_broken("batch64.db", &many);
    int agree = 0, broken = 0;
    for (int i = 0; i < 64; i++) {
        agree += one.wrong[i] == many.wrong[i];
        broken += one.wrong[i];
    }
    print_message("%d of 64 outcomes agree, %d wrong\n", agree, broken);
    assert_int_equal(one.n, 64);
    assert_int_equal(many.n, 64);
    assert_true(agree >= 63 && broken > 5 && broken < 60);
}

/* A network that does not open is one message, however many passes want it; what needs another one goes on. */
static void test_network_that_does_not_open(void **state)
{
    (void)state;
    static const char shim[] = "/nonexistent/patchgauge-torch.so";
    if (access(ZOO, R_OK) != 0)
        skip();
    setenv("PATCHGAUGE_TORCH", shim, 1);
    int code = program_run("shim.db", "run %s -S defense=ds -S attack=none,random-search -S weights=" ZOO ",null",
                           scratch_path("null.toml"));
    unsetenv("PATCHGAUGE_TORCH");
    assert_int_equal(code, 1);
    const char *first = strstr(program_output, shim);
    assert_non_null(first);
    assert_null(strstr(first + 1, shim));
    assert_int_equal(program_run("shim.db",
                                 "plan %s --explain -S defense=ds -S attack=none,random-search -S weights=" ZOO ",null",
                                 scratch_path("null.toml")),
                     0);
    assert_non_null(strstr(program_output, "0 new, 0 partial, 2 done, 0 stale, 2 failed"));
}

/* Changes outcomes of a cell, and makes its checksums those of the change. */
static void falsify(const char *db, int64_t cell, const char *sql)
{
    pg_store *store = NULL;
    sqlite3_stmt *task = NULL, *row = NULL;
    pg_db_summary summary;
    int64_t n;
    assert_int_equal(pg_store_open(scratch_path(db), PG_STORE_WRITE, &store), PG_OK);
    assert_int_equal(sqlite3_exec(store->db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        pg_db_get(store,
                  "SELECT c.cell_id, t.first, t.count, t.task FROM cell c JOIN summary s ON s.cell = c.cell JOIN task t"
                  " ON t.task = s.task WHERE c.cell = :cell ORDER BY t.task",
                  &task, PG_BIND(PG_V(cell, cell))),
        PG_OK);
    assert_int_equal(pg_db_get(store, pg_db_select_summaries, &row, PG_BIND(PG_V(cell, cell))), PG_OK);
    while (pg_db_step(store, task, "testing") == 1) {
        int64_t key = sqlite3_column_int64(task, 3);
        assert_int_equal(pg_db_step(store, row, "testing"), 1);
        assert_true(pg_db_read_summary(row, &summary));
        assert_int_equal(pg_db_sum_outcomes(store, pg_db_text(task, 0), sqlite3_column_int64(task, 1),
                                            sqlite3_column_int64(task, 2), &n, &summary.outcomes),
                         PG_OK);
        assert_int_equal(pg_db_run(store, "testing",
                                   "UPDATE summary SET outcomes = :outcomes, checksum = :checksum WHERE cell = :cell AND"
                                   " task = :task",
                                   PG_BIND(PG_V(cell, cell), PG_V(task, key), PG_V(outcomes, summary.outcomes),
                                           PG_V(checksum, pg_db_summary_checksum(&summary)))),
                         PG_OK);
    }
    pg_db_done(task);
    pg_db_done(row);
    pg_store_close(store);
}

/* A certificate that an attack breaks ends every run of the matrix with exit code 5, and the table says so. */
static void test_a_broken_certificate_is_told(void **state)
{
    (void)state;
    run_quietly("broken.db", "null.toml", "");
    assert_int_equal(program_run("broken.db", "run %s", scratch_path("null.toml")), 0);
    falsify("broken.db", 2, "UPDATE outcome SET certified = 1, attacked = (prediction + 1) % 10 WHERE cell = 2 AND image = 7");
    assert_int_equal(program_run("broken.db", "run %s", scratch_path("null.toml")), 5);
    assert_non_null(strstr(program_output, "1 certificates of 1 cells are broken by an attack; the first: image 7 of cell "));
    assert_non_null(strstr(program_output, "robust-masking"));
    assert_int_equal(program_run("broken.db", "table %s", scratch_path("null.toml")), 0);
    assert_non_null(strstr(program_output, "- CERTIFICATES BROKEN by the attack, so they are no proofs: robust-masking / 5"));
    assert_int_equal(program_run("broken.db", "run %s -S defense=ds", scratch_path("null.toml")), 0);
}

/* ---- A deliberately unsound defense: certifies whatever it gets right ---- */

static void certify_all(const pg_evidence *evidence, pg_window window, int64_t delta, int label, const void *const *configs,
                        size_t n, void *scratch, pg_verdict *out)
{
    pg_defense_find("clip")->certify(evidence, window, delta, label, configs, n, scratch, out);
    for (size_t i = 0; i < n; i++) {
        out[i].certified = out[i].prediction == label;
        out[i].has_margin = false; /* a negative one would tell */
    }
}

static int begin(void *context, pg_store **store)
{
    pg_plan *plan = ((void **)context)[0];
    static const pg_store_worker_row worker = {.revision = "test", .versions = "", .device = "cpu", .threads = 1};
    int code = pg_store_open(scratch_path("unsound.db"), PG_STORE_WRITE, store);
    if (code == PG_OK)
        code = pg_plan_record(plan, *store, 32);
    if (code == PG_OK)
        code = pg_store_worker_start(*store, &worker);
    ((void **)context)[1] = *store;
    return code;
}

static void test_an_unsound_defense_is_caught(void **state)
{
    (void)state;
    if (access(SMALL, R_OK) != 0)
        skip();
    static const char *const overrides[] = {"weights=" SMALL, "defense=clip", "images=3:35", "lavan.steps=30", "patch=16"};
    pg_plan_request asked = {.matrix_path = scratch_path("zoo.toml"),
                             .overrides = overrides,
                             .n_overrides = sizeof overrides / sizeof *overrides,
                             .data_dir = "build/data"};
    pg_plan *plan = NULL;
    pg_worker_status status = {0};
    pg_broken broken[8] = {0};
    void *context[2] = {0};
    assert_int_equal(pg_plan_open(&asked, &plan), PG_OK);
    pg_cell *cell = (pg_cell *)(uintptr_t)pg_plan_at(plan, 0);
    pg_forward *forward = (pg_forward *)(uintptr_t)cell->forward;
    pg_defense unsound = *cell->defense;
    unsound.certify = certify_all;
    cell->defense = forward->defense = &unsound;
    context[0] = plan;
    const pg_forward *missing = forward;
    pg_run_request request = {.plan = plan,
                              .missing = &missing,
                              .n_missing = 1,
                              .broken = broken,
                              .begin = begin,
                              .context = context,
                              .data_dir = "build/data",
                              .device = "cpu",
                              .threads = 1,
                              .certify_threads = 1};
    if (pg_run(&request, &status) != PG_OK)
        fail_msg("%s", pg_error_message());
    int64_t count = 0, first = -1;
    assert_true(pg_plan_forwards(plan) <= 8);
    assert_int_equal(pg_store_broken(context[1], cell->id, &count, &first), PG_OK);
    print_message("%lld of 32 certificates broken\n", (long long)count);
    assert_true(count > 0 && first >= 3);
    assert_int_equal(status.report.broken, count);
    pg_store_close(context[1]);
    pg_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network_that_does_not_open),
        cmocka_unit_test(test_batches_agree),
        cmocka_unit_test(test_kill_and_resume),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_ranges_agree),
        cmocka_unit_test(test_a_broken_certificate_is_told),
        cmocka_unit_test(test_a_real_network),
        cmocka_unit_test(test_an_unsound_defense_is_caught),
    };
    return cmocka_run_group_tests_name("attacked run", tests, make, scratch_remove);
}
