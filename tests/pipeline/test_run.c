/* Running plans on the null model: resume after kill -9, signals, failing tasks, several runs at once, features and certify. */
/* Loads libtorch, also under sanitizers. */
#include "db/store.h"
#include "harness/base/grid.h"
#include "tests/support/load_npy.h"
#include "harness/base/rng.h"
#include "tests/support/cifar_fixture.h"
#include "tests/support/run_fixture.h"
#include "tests/support/tidy.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>
#include <cmocka.h>

/* ---- Tests ---- */

/* Killed at random moments until it gets through: the same outcomes, each task counted once. */
static void test_kill_and_resume(void **state)
{
    (void)state;
    undisturbed();
    pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, 0);
    const char *env = getenv("PG_TEST_KILLS");
    int wanted = env ? atoi(env) : 25, kills = 0, rounds = 0;
    write_slow("paced.toml", 1000); /* a quarter of a second, however fast the machine */
    while (kills < wanted) {
        char db[32];
        snprintf(db, sizeof db, "kill%d.db", rounds++);
        int code = 0;
        do {
            pid_t child = program_start(db, scratch_path("paced.toml"));
            sleep_s(0.005 + 0.25 * pg_rng_unit(&rng));
            if (kills < wanted)
                kill(-child, SIGKILL);
            code = program_wait(child);
            assert_true(code == 0 || code == 128 + SIGKILL);
            kills += code != 0;
        } while (code != 0);
        expect_undisturbed(db);
        int counts[4], whole[4];
        count_attempts(db, counts);
        count_attempts("whole.db", whole);
        assert_int_equal(counts[0], whole[0]);
        assert_int_equal(counts[1] + counts[3], 0);
    }
    print_message("%d kills over %d databases\n", kills, rounds);
    char command[600];
    snprintf(command, sizeof command, "ls '%s' | grep -c worker-", scratch_folder);
    assert_int_not_equal(system(command), 0); /* the last run of each database has swept up */
}

static void test_interrupt(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    undisturbed();
    for (int i = 0; i < 2; i++) {
        char db[32];
        snprintf(db, sizeof db, "stop%d.db", i);
        write_slow("slow.toml", 6000); /* more than a second, however late the signal */
        pid_t child = program_start(db, scratch_path("slow.toml"));
        wait_for(db, "SELECT count(*) FROM task WHERE state = 'done'");
        kill(child, signals[i]);
        assert_int_equal(program_wait(child), 3);
        pg_store *store = NULL;
        assert_int_equal(pg_store_open(scratch_path(db), PG_STORE_READ, &store), PG_OK);
        assert_int_equal(pg_store_check(store), PG_OK);
        pg_store_close(store);
        int counts[4];
        count_attempts(db, counts);
        assert_int_equal(counts[1] + counts[2] + counts[3], 0); /* drained: nothing failed, nothing lost */
        assert_int_equal(program_run(db, "run %s --task-images 8 --quiet", scratch_path("m.toml")), 0);
        expect_undisturbed(db);
        count_attempts(db, counts);
        assert_int_equal(counts[1] + counts[2] + counts[3], 0); /* what was not begun was given back, not lost */
    }
}

static void test_second_signal_ends_at_once(void **state)
{
    (void)state;
    static const int second[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        char db[32];
        snprintf(db, sizeof db, "stuck%d.db", i);
        write_slow("stuck.toml", 4000000);
        pid_t child = program_start(db, scratch_path("stuck.toml"));
        wait_for(db, "SELECT count(*) FROM task WHERE state = 'running'");
        sleep_s(1); /* it is asleep in its first batch for half a minute */
        kill(child, SIGTERM);
        sleep_s(0.5);
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0); /* draining */
        kill(child, second[i]);
        assert_int_equal(program_wait(child), 3); /* interrupted */
    }
}

/* The exit code of an interruption, and no temporary file. */
static void test_features_interrupted(void **state)
{
    (void)state;
    assert_int_equal(program_run("none.db", "features --weights null --dataset synthetic:test --images 0:8 -o %s/cut --quiet",
                                 scratch_folder),
                     0);
    char busy[600];
    snprintf(busy, sizeof busy, "[ -e '%s/cut/meta.json.tmp.'$p ]", scratch_folder);
    assert_int_equal(
        program_interrupt("none.db", busy,
                          "features --weights null --dataset synthetic:test --images 0:400 --batch 8 -o %s/cut --quiet"
                          " --set sleep_us=100000",
                          scratch_folder),
        3);
    assert_non_null(strstr(program_output, "interrupted"));
    assert_int_equal(scratch_count(scratch_path("cut")), 3); /* the old ones */
}

/* What is wrong with a request of features is said before anything is forwarded or made. */
static void test_features_refused(void **state)
{
    (void)state;
    static const char make[] = "features --dataset synthetic:test --set fail_image=0 --images 0:8";
    scratch_write("plain", "x", 1);
    assert_int_equal(program_run("none.db", "%s --weights null -o ''", make), 2);
    assert_non_null(strstr(program_output, "empty"));
    assert_int_equal(program_run("none.db", "%s --weights null -o %s", make, scratch_path("plain")), 2);
    assert_non_null(strstr(program_output, "is a file"));
    assert_int_equal(
        program_run("none.db", "%s --weights models/zoo/synthetic-ds.safetensors -o %s/refused", make, scratch_folder), 2);
    assert_non_null(strstr(program_output, "only those of the null model"));
    write_weights("\377.safetensors", "");
    assert_int_equal(program_run("none.db", "features --dataset synthetic:test --weights %s/\377.safetensors -o %s/refused",
                                 scratch_folder, scratch_folder),
                     2);
    assert_non_null(strstr(program_output, "not UTF-8"));
    assert_int_equal(access(scratch_path("refused"), F_OK), -1);
}

/* Two runs at once share the tasks. */
static void test_two_runs(void **state)
{
    (void)state;
    undisturbed();
    for (int i = 0; i < 3; i++) {
        char db[32];
        snprintf(db, sizeof db, "two%d.db", i);
        pid_t a = program_start(db, scratch_path("m.toml")), b = program_start(db, scratch_path("m.toml"));
        assert_int_equal(program_wait(a), 0);
        assert_int_equal(program_wait(b), 0);
        expect_undisturbed(db);
    }
}

/* A task that fails is tried three times, the others go on; mended, only it is run again. */
static void test_failing_task(void **state)
{
    (void)state;
    undisturbed();
    int counts[4], whole[4];
    count_attempts("whole.db", whole);
    assert_int_equal(program_run("fail.db", "run %s --task-images 8 -S null.fail_image=100", scratch_path("m.toml")), 1);
    assert_non_null(strstr(program_output, "1 of 30 tasks failed"));
    assert_non_null(strstr(program_output, "told to fail at image 100; given up"));
    count_attempts("fail.db", counts);
    assert_int_equal(counts[0], whole[0] / 30 * 29);
    assert_int_equal(counts[1], whole[0] / 30 * 3);
    assert_int_equal(program_run("fail.db", "ls"), 0);
    assert_non_null(strstr(program_output, "failed     232/240"));
    assert_int_equal(program_run("fail.db", "run %s --quiet", scratch_path("m.toml")), 0);
    expect_undisturbed("fail.db");
}

static int count_text(const char *text)
{
    int n = 0;
    for (const char *at = program_output; (at = strstr(at, text)); at++)
        n++;
    return n;
}

/* A network that cannot be opened is one message and its exit code, and the store is not touched. */
static void test_network_that_does_not_open(void **state)
{
    (void)state;
    static const char zoo[] = "models/zoo/synthetic-ds.safetensors", shim[] = "/nonexistent/patchgauge-torch.so";
    if (access(zoo, R_OK) != 0)
        skip();
    setenv("PATCHGAUGE_TORCH", shim, 1);
    int code = program_run("torch.db", "run %s -S weights=%s", scratch_path("m.toml"), zoo);
    assert_int_equal(code, 2); /* a file that the user named and that is not there */
    assert_int_equal(count_text(shim), 1);
    assert_null(strstr(program_output, "tasks failed"));
    assert_int_equal(access(scratch_path("torch.db"), F_OK), -1);
    /* nor one that is there; where all is done, none is needed */
    assert_int_equal(program_run("torch.db", "run %s --quiet -S defense=ds", scratch_path("m.toml")), 0);
    char *before = dump("torch.db");
    assert_int_equal(program_run("torch.db", "run %s -S weights=%s", scratch_path("m.toml"), zoo), 2);
    assert_int_equal(count_text(shim), 1);
    char *after = dump("torch.db");
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(program_run("torch.db", "run %s -S defense=ds", scratch_path("m.toml")), 0);
    /* where another network runs, it goes on, and what does not open has failed for that reason */
    code = program_run("torch2.db", "run %s -S defense=ds -S weights=%s,null", scratch_path("m.toml"), zoo);
    unsetenv("PATCHGAUGE_TORCH");
    assert_int_equal(code, 1);
    assert_int_equal(count_text(shim), 1);
    assert_int_equal(
        program_run("torch2.db", "plan %s --explain -S defense=ds -S weights=%s,null", scratch_path("m.toml"), zoo), 0);
    assert_non_null(strstr(program_output, "0 new, 0 partial, 2 done, 0 stale, 2 failed"));
    assert_non_null(strstr(program_output, shim));
}

/* What to do next names the same matrix and store, quoted for a shell. */
static void test_the_hint_is_the_command(void **state)
{
    (void)state;
    assert_int_equal(program_run("my hint.db", "run %s --quiet -S images=0:8 -S null.fail_image=3", scratch_path("m.toml")), 1);
    char want[2048];
    const char *data = getenv("PATCHGAUGE_DATA");
    snprintf(want, sizeof want,
             "`patchgauge plan %s/m.toml -S images=0:8 -S null.fail_image=3 --db '%s/my hint.db'%s%s --explain`",
             scratch_folder, scratch_folder, data ? " --data " : "", data ? data : "");
    if (!strstr(program_output, want))
        fail_msg("%s", program_output);
}

/* An image whose label is none of the classes fails its task at once: reading it again would not mend it. */
static void test_bad_data_is_not_tried_again(void **state)
{
    (void)state;
    static const char cifar[] =
        "[fixed]\ndataset = \"cifar10:test\"\nweights = \"null\"\ndefense = \"ds\"\npatch = 2\nbatch = 5\n";
    scratch_write("cifar.toml", cifar, strlen(cifar));
    fixture_write("source");
    assert_int_equal(pg_cifar10_import(scratch_path("data"), scratch_path("source"), FIXTURE_IMAGES), PG_OK);
    fixture_poke("data/cifar10/test_batch.bin", 7 * PG_CIFAR10_RECORD, 200);
    int code = program_run("label.db", "run %s --data %s/data --task-images 5", scratch_path("cifar.toml"), scratch_folder);
    if (code != 1 || !strstr(program_output, "1 of 2 tasks failed"))
        fail_msg("%d: %s", code, program_output);
    assert_int_equal(count_text("tried again"), 0);
    int counts[4];
    count_attempts("label.db", counts);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
}

/* Cells that differ in one setting only are told apart by ls. */
static void test_ls_tells_cells_apart(void **state)
{
    (void)state;
    static const char many[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\ndefense = \"ds\"\npatch = 2\n[axes]\n"
        "images = [\"0:8\", \"8:16\"]\nbatch = [128, 8]\ndtype = [\"fp32\", \"bf16\"]\n"
        "patch-space = [\"image\", \"network\"]\n";
    scratch_write("many.toml", many, strlen(many));
    assert_int_equal(program_run("many.db", "run %s --quiet", scratch_path("many.toml")), 0);
    assert_int_equal(program_run("many.db", "run %s --quiet -S seed=1", scratch_path("many.toml")), 0);
    assert_int_equal(program_run("many.db", "ls | tail -n +2 | cut -c 13- | sort | uniq -d | wc -l"), 0);
    assert_int_equal(atoi(program_output), 0);
    assert_int_equal(program_run("many.db", "ls"), 0);
    assert_int_equal(count_text("\n"), 1 + 32);
    assert_int_equal(count_text(" batch=8 dtype=bf16 patch-space=network seed=1 images=8:16 "), 1);
    assert_int_equal(count_text("=fp32") + count_text("=128") + count_text("seed=0") + count_text("=input"), 0);
}

static void expect_no_control_characters(void)
{
    for (const char *p = program_output; *p; p++)
        if (*p == 0x1b || *p == 7 || *p == 0x7f)
            fail_msg("%s", program_output);
}

/* Names of the user's reach a terminal without their control characters. */
static void test_control_characters_are_replaced(void **state)
{
    (void)state;
    static const char named[] = "name = \"a\\u001b[2Jb\\u0007\"\n[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:8\"\n"
                                "weights = \"w\\u001b[1m\\u007f\"\n[axes]\ndefense = [\"ds\"]\npatch = [2]\n";
    scratch_write("named.toml", named, strlen(named));
    assert_int_equal(program_run("named.db", "run %s", scratch_path("named.toml")), 2);
    expect_no_control_characters();
    assert_int_equal(program_run("named.db", "run %s -S weights=null", scratch_path("named.toml")), 0);
    expect_no_control_characters();
    assert_non_null(strstr(program_output, "a?[2Jb?: 1 cell"));
    assert_int_equal(program_run("named.db", "plan %s --explain -S weights=null", scratch_path("named.toml")), 0);
    expect_no_control_characters();
    assert_non_null(strstr(program_output, "a?[2Jb?: 1 cell"));
    if (access("models/zoo/synthetic-ds.safetensors", R_OK) != 0)
        return;
    char line[1024];
    snprintf(line, sizeof line, "cp models/zoo/synthetic-ds.safetensors '%s/w\033.safetensors'", scratch_folder);
    assert_int_equal(system(line), 0);
    assert_int_equal(program_run("named.db", "run %s --device cpu -S weights='%s/w\033.safetensors'",
                                 scratch_path("named.toml"), scratch_folder),
                     0);
    expect_no_control_characters();
    assert_int_equal(program_run("named.db", "ls"), 0);
    expect_no_control_characters();
    const char *row = strstr(program_output, "w?.safetensors");
    assert_non_null(row);
    while (row[-1] != '\n')
        row--;
    snprintf(line, sizeof line, "show %.12s", row);
    assert_int_equal(program_run("named.db", "%s", line), 0);
    expect_no_control_characters();
    assert_non_null(strstr(program_output, "w?.safetensors"));
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    undisturbed();
    int before[4], after[4];
    count_attempts("whole.db", before);
    assert_int_equal(program_run("whole.db", "run %s", scratch_path("m.toml")), 0);
    assert_non_null(strstr(program_output, "30 of 30 tasks done"));
    assert_int_equal(program_run("whole.db", "run %s -S images=0:100 -S robust-masking.threshold=0", scratch_path("m.toml")),
                     0);
    count_attempts("whole.db", after);
    assert_true(after[0] > before[0]); /* another range is another cell */
}

/* An image's outcome does not depend on the range it was asked for in, nor on the size of tasks. */
static void test_ranges_agree(void **state)
{
    (void)state;
    assert_int_equal(program_run("part.db", "run %s --quiet -S images=13:101 -S defense=ds -S patch=5 --task-images 32",
                                 scratch_path("m.toml")),
                     0);
    assert_int_equal(program_run("full.db", "run %s --quiet -S images=0:240 -S defense=ds -S patch=5 --task-images 64",
                                 scratch_path("m.toml")),
                     0);
    char *part = dump("part.db"), *full = dump("full.db");
    int lines = 0;
    for (char *line = strtok(strchr(part, '\n') + 1, "\n"); line; line = strtok(NULL, "\n"), lines++)
        if (!strstr(full, line))
            fail_msg("not in the full range: %s", line);
    assert_int_equal(lines, 88);
    /* because a batch starts at a multiple of its size: image 9 is forwarded for image 13, though nobody asked for it */
    assert_int_equal(program_run("part2.db", "run %s --quiet -S images=13:20 -S null.fail_image=9", scratch_path("m.toml")), 1);
    assert_int_equal(program_run("part3.db", "run %s --quiet -S images=13:20 -S null.fail_image=7", scratch_path("m.toml")), 0);
    free(part);
    free(full);
}

/* Tasks of one forward pass that serve different cells, as many each. */
static void test_tasks_with_different_cells(void **state)
{
    (void)state;
    static const char zipped[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nbatch = 8\npatch = 5\n"
        "[[zip]]\nimages = [\"0:16\", \"16:32\", \"32:48\"]\ndefense = [\"ds\", \"mean\", \"median\"]\n";
    scratch_write("zip.toml", zipped, strlen(zipped));
    assert_int_equal(program_run("zip.db", "run %s --quiet --task-images 8", scratch_path("zip.toml")), 0);
    static const char *const defenses[] = {"ds", "mean", "median"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(program_run("alone.db", "run %s --quiet --task-images 8 -S defense=%s -S images=%d:%d",
                                     scratch_path("zip.toml"), defenses[i], 16 * i, 16 * i + 16),
                         0);
    char *together = dump("zip.db"), *alone = dump("alone.db");
    assert_string_equal(together, alone);
    free(together);
    free(alone);
}

/* A real network twice: the second time from the cache, with the same outcomes. */
static void test_features_from_the_cache(void **state)
{
    (void)state;
    static const char real[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-ds.safetensors\"\nbatch = 16\n"
        "images = \"5:60\"\npatch = 2\n[axes]\ndefense = [\"ds\", \"mean\", \"robust-masking\"]\n";
    if (access("models/zoo/synthetic-ds.safetensors", R_OK) != 0)
        skip();
    scratch_write("real.toml", real, strlen(real));
    for (int i = 0; i < 2; i++) {
        char db[32], id[PG_HASH_HEX];
        snprintf(db, sizeof db, "real%d.db", i);
        if (program_run(db, "run %s --quiet --device cpu --cache %s", scratch_path("real.toml"), scratch_path("cache")) != 0)
            fail_msg("%s", program_output);
        assert_int_equal(program_run(db, "ls"), 0);
        snprintf(id, sizeof id, "%.12s", strchr(program_output, '\n') + 1);
        assert_int_equal(program_run(db, "show %s", id), 0);
        assert_int_equal(strstr(program_output, "55 images from the cache") != NULL, i == 1);
    }
    char *first = dump("real0.db"), *second = dump("real1.db");
    assert_string_equal(first, second);
    free(first);
    free(second);
}

/* A pass over some images serves any range of them; images at the end of a range stand in a batch as they do within it. */
static void test_a_cached_pass_serves_any_range(void **state)
{
    (void)state;
    static const struct {
        const char *images, *say; /* NULL: none from the cache */
    } runs[] = {{"0:100", NULL},
                {"20:53", "33 images from the cache"},
                {"64:120", "32 images from the cache"},
                {"7:120", "113 images from the cache"},
                {"40:41", "1 image from the cache"}};
    static const char text[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-ds.safetensors\"\nbatch = 16\n"
        "images = \"0:100\"\npatch = 2\n[axes]\ndefense = [\"ds\", \"mean\"]\n";
    scratch_write("part.toml", text, sizeof text - 1);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char with[32], without[32], id[16];
        snprintf(with, sizeof with, "with%zu.db", i);
        snprintf(without, sizeof without, "without%zu.db", i);
        for (int cached = 0; cached < 2; cached++)
            if (program_run(cached ? with : without, "run %s -S images=%s --quiet --device cpu --cache %s --cache-size %s",
                            scratch_path("part.toml"), runs[i].images, scratch_path("part"), cached ? "10MiB" : "0") != 0)
                fail_msg("%s", program_output);
        assert_int_equal(program_run(with, "ls --most 1 --quiet"), 0);
        snprintf(id, sizeof id, "%.12s", strchr(program_output, '\n') + 1);
        assert_int_equal(program_run(with, "show %s", id), 0);
        if (runs[i].say ? !strstr(program_output, runs[i].say) : strstr(program_output, "from the cache") != NULL)
            fail_msg("%s: %s", runs[i].images, program_output);
        char *first = dump(with), *second = dump(without);
        assert_string_equal(first, second);
        free(first);
        free(second);
    }
}

/* Whoever shows results compares outcomes with labels: those of a store that took other labels for some of its cells are not
 * shown. */
static void test_other_labels_are_not_shown(void **state)
{
    (void)state;
    static const char text[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:16\"\n"
                               "defense = \"ds\"\n[axes]\npatch = [3, 5]\n";
    static const char *const readers[] = {"table %s", "plot patch-size %s", "audit %s --stored", "report %s -o l.html",
                                          "show %s",  "diff %s %s"};
    char id[2][16];
    scratch_write("l.toml", text, sizeof text - 1);
    assert_int_equal(program_run("l.db", "run %s --quiet", scratch_path("l.toml")), 0);
    assert_int_equal(program_run("l.db", "ls"), 0);
    const char *line = program_output;
    for (int i = 0; i < 2; i++) {
        line = strchr(line, '\n') + 1;
        snprintf(id[i], sizeof id[i], "%.12s", line);
    }
    sqlite3 *file = NULL;
    assert_int_equal(sqlite3_open_v2(scratch_path("l.db"), &file, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(file, "UPDATE label SET label = (label + 1) % 10 WHERE image IN (3, 4)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(file);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        bool cells = strncmp(readers[i], "show", 4) == 0 || strncmp(readers[i], "diff", 4) == 0;
        int code = program_run("l.db", readers[i], cells ? id[0] : scratch_path("l.toml"), id[1]);
        if (code != 2 ||
            (!strstr(program_output, "do not match their checksum") && !strstr(program_output, "l.db: is damaged")))
            fail_msg("%s: %d: %s", readers[i], code, program_output);
    }
}

/* Features of another instruction set are others', and an attempt says with which ones it was made. */
static void test_instruction_sets_are_kept_apart(void **state)
{
    (void)state;
    static const char text[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-ds.safetensors\"\n"
                               "images = \"0:16\"\nbatch = 16\npatch = 2\ndefense = \"mean\"\n";
    static const struct {
        const char *defense;
        bool limited, cached;
    } runs[] = {{"mean", false, false}, {"ds", true, false}, {"clip", true, true}, {"median", false, true}};
    char id[4][16], *limited = NULL;
    scratch_write("isa.toml", text, sizeof text - 1);
    for (int i = 0; i < 4; i++) {
        if (runs[i].limited)
            setenv("ATEN_CPU_CAPABILITY", "default", 1);
        else
            unsetenv("ATEN_CPU_CAPABILITY");
        if (program_run("isa.db", "run %s -S defense=%s --quiet --device cpu --cache %s", scratch_path("isa.toml"),
                        runs[i].defense, scratch_path("isa")) != 0)
            fail_msg("%s", program_output);
        assert_int_equal(program_run("isa.db", "ls --most 1 --quiet"), 0);
        snprintf(id[i], sizeof id[i], "%.12s", strchr(program_output, '\n') + 1);
        assert_int_equal(program_run("isa.db", "show %s", id[i]), 0);
        assert_int_equal(strstr(program_output, "16 images from the cache") != NULL, runs[i].cached);
        limited = strstr(program_output, "; ATen DEFAULT");
        assert_int_equal(limited != NULL, runs[i].limited);
    }
    unsetenv("ATEN_CPU_CAPABILITY");
    assert_int_equal(program_run("isa.db", "diff %s %s", id[0], id[1]), 0);
    assert_non_null(strstr(program_output, "; ATen DEFAULT"));
    assert_int_equal(program_run("isa.db", "diff %s %s", id[0], id[3]), 0);
    assert_null(strstr(program_output, "; ATen"));
}

/* An option that is no part of identity where it has its fallback is shown all the same. */
static void test_settings_at_their_fallback_are_shown(void **state)
{
    (void)state;
    static const char text[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:8\"\npatch = 5\n"
        "defense = \"mean\"\n\"mean.feature\" = \"confidence\"\n[axes]\n\"mean.temperature\" = [0.5, 1]\n";
    scratch_write("shown.toml", text, sizeof text - 1);
    assert_int_equal(program_run("shown.db", "run %s --quiet", scratch_path("shown.toml")), 0);
    assert_int_equal(program_run("shown.db", "table %s --metrics clean -f json", scratch_path("shown.toml")), 0);
    assert_true(tidy_number("mean.temperature=0.5", "n") > 0);
    assert_true(tidy_number("mean.temperature=1", "n") > 0);
}

/* A range that starts within a batch. */
static void test_features_of_a_range(void **state)
{
    (void)state;
    pg_npy whole, part;
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch_path("whole"));
    assert_int_equal(program_run("none.db",
                                 "features --weights null --dataset synthetic:test --images 0:60 --batch 16 -o %s --quiet",
                                 folder),
                     0);
    snprintf(folder, sizeof folder, "%s", scratch_path("part"));
    assert_int_equal(program_run("none.db",
                                 "features --weights null --dataset synthetic:test --images 21:50 --batch 16 -o %s --quiet",
                                 folder),
                     0);
    assert_int_equal(load_npy(scratch_path("whole/features.npy"), &whole), PG_OK);
    assert_int_equal(load_npy(scratch_path("part/features.npy"), &part), PG_OK);
    assert_int_equal(part.shape[0], 29);
    assert_memory_equal(part.data, (const float *)whole.data + 21 * 360, 29 * 360 * sizeof(float));
    pg_npy_release(&whole);
    pg_npy_release(&part);
    assert_int_equal(load_npy(scratch_path("whole/labels.npy"), &whole), PG_OK);
    assert_int_equal(load_npy(scratch_path("part/labels.npy"), &part), PG_OK);
    assert_memory_equal(part.data, (const int32_t *)whole.data + 21, 29 * sizeof(int32_t));
    pg_npy_release(&whole);
    pg_npy_release(&part);
}

/* `certify` on the files of `features` gives the verdicts of `run`. */
typedef struct verdicts {
    const char *at; /* rest of the csv */
    int64_t next;
} verdicts;

static int expect_row(const pg_outcome *o, void *context)
{
    verdicts *v = context;
    int index, label, prediction, certified, used = 0;
    char margin[64] = "", failure_case[8] = "", want_case[8] = "";
    if (sscanf(v->at, "%d,%d,%d,%d,%n", &index, &label, &prediction, &certified, &used) != 4)
        fail_msg("row %lld: %.40s", (long long)v->next, v->at);
    sscanf(v->at + used, "%63[^,\n]", margin);
    const char *comma = strchr(v->at + used, ',');
    assert_non_null(comma);
    sscanf(comma, ",%7[^\n]", failure_case);
    if (o->failure_case >= 0)
        snprintf(want_case, sizeof want_case, "%d", o->failure_case);
    assert_int_equal(index, v->next++);
    assert_int_equal(label, o->label);
    assert_int_equal(prediction, o->prediction);
    assert_int_equal(certified, o->certified);
    assert_int_equal(*margin != 0, o->has_margin);
    if (o->has_margin)
        assert_int_equal(llround(atof(margin) * PG_GRID), o->margin);
    assert_string_equal(failure_case, want_case);
    v->at = strchr(v->at, '\n') + 1;
    return PG_OK;
}

static int compare_cell(const pg_cell_result *r, void *context)
{
    const char *defense = pg_cell_result_setting(r, "defense");
    char options[512] = "";
    for (size_t i = 0; i < r->n_settings; i++)
        if (strncmp(r->settings[i].key, defense, strlen(defense)) == 0 && r->settings[i].key[strlen(defense)] == '.')
            snprintf(options + strlen(options), sizeof options - strlen(options), " --set %s=%s",
                     r->settings[i].key + strlen(defense) + 1, r->settings[i].value);
    int code = program_run("none.db", "certify %s %s --defense %s --window %s --delta 0%s -f csv --quiet 2>/dev/null",
                           scratch_path("f/features.npy"), scratch_path("f/labels.npy"), defense,
                           pg_cell_result_setting(r, "window"), options);
    if (code != 0)
        fail_msg("%s", program_output);
    verdicts v = {strchr(program_output, '\n') + 1, 0};
    assert_int_equal(pg_store_each_outcome(context, r->cell_id, expect_row, &v), PG_OK);
    assert_int_equal(v.next, 240);
    return PG_OK;
}

static void test_features_certify_as_run(void **state)
{
    (void)state;
    undisturbed();
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch_path("f"));
    assert_int_equal(program_run("none.db",
                                 "features --weights null --dataset synthetic:test --images 0:240 --batch 8 -o %s --quiet",
                                 folder),
                     0);
    assert_int_equal(scratch_count(folder), 3);
    pg_store *store = NULL;
    assert_int_equal(pg_store_open(scratch_path("whole.db"), PG_STORE_READ, &store), PG_OK);
    pg_cell_result r;
    char ids[64][PG_HASH_HEX];
    size_t n = 0;
    for (const char *line = undisturbed(); n < 64 && line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strcspn(line, " \n") == PG_HASH_HEX - 1)
            snprintf(ids[n++], PG_HASH_HEX, "%.64s", line);
    assert_int_equal(n, 14); /* mean, ds, median, and four of robust masking; two patches */
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(pg_store_cell(store, ids[i], &r), PG_OK);
        compare_cell(&r, store);
        pg_cell_result_release(&r);
    }
    pg_store_close(store);
    assert_int_equal(
        program_run("none.db", "features --weights null --dataset synthetic:test --images 0:4000 -o %s", scratch_path("g")), 2);
    assert_int_equal(access(scratch_path("g"), F_OK), -1);
    assert_int_equal(
        program_run("none.db", "features --weights null --dataset synthetic:test -o %s --set fail_image=50", folder), 4);
    assert_int_equal(scratch_count(folder), 3); /* the old files, whole */
}

static void test_nonfinite_images_are_counted(void **state)
{
    (void)state;
    assert_int_equal(
        program_run("nan.db", "run %s --quiet -S null.nan_every=10 -S defense=ds -S patch=5", scratch_path("m.toml")), 0);
    assert_int_equal(program_run("nan.db", "ls"), 0);
    char id[13] = "";
    const char *row = strchr(program_output, '\n');
    assert_non_null(row);
    snprintf(id, sizeof id, "%.12s", row + 1);
    assert_int_equal(program_run("nan.db", "show %s", id), 0);
    assert_non_null(strstr(program_output, "non-finite           24 (10.00%)"));
    assert_int_equal(program_run("nan.db", "show %.3s", id), 2);
    assert_int_equal(program_run("nowhere.db", "ls"), 2);
    assert_int_equal(program_run("nowhere.db", "show abcd"), 2);
    assert_int_equal(access(scratch_path("nowhere.db"), F_OK), -1);
}

/* What the grid did to images is counted by rule, told under tables and by whoever shows a cell, and is a metric. */
static void test_images_beyond_the_grid_are_counted(void **state)
{
    (void)state;
    static const char set[] = "-S null.large_every=10 -S defense=mean,ds -S patch=5";
    assert_int_equal(program_run("large.db", "run %s --quiet %s", scratch_path("m.toml"), set), 0);
    assert_int_equal(program_run("large.db", "table %s %s", scratch_path("m.toml"), set), 0);
    if (!strstr(program_output, "in up to 24 images a\n  cell: mean / 5\n") || strstr(program_output, "not counted"))
        fail_msg("%s", program_output);
    assert_int_equal(program_run("large.db", "table %s %s -f json --metrics saturated,differs", scratch_path("m.toml"), set),
                     0);
    assert_int_equal(tidy_number("defense=mean metric=saturated lo= n=240", "value"), 24);
    assert_int_equal(tidy_number("defense=mean metric=differs n=240", "value"), 0);
    assert_int_equal(tidy_number("defense=ds metric=saturated n=240", "count"), 0);
    assert_int_equal(program_run("large.db", "ls"), 0);
    char id[13] = "";
    snprintf(id, sizeof id, "%.12s", strstr(program_output, "\n") + 1);
    assert_int_equal(program_run("large.db", "show %s", id), 0);
    assert_non_null(strstr(program_output, "saturated            24 (10.00%)\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_and_resume),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_second_signal_ends_at_once),
        cmocka_unit_test(test_features_interrupted),
        cmocka_unit_test(test_features_refused),
        cmocka_unit_test(test_two_runs),
        cmocka_unit_test(test_failing_task),
        cmocka_unit_test(test_network_that_does_not_open),
        cmocka_unit_test(test_features_certify_as_run),
        cmocka_unit_test(test_tasks_with_different_cells),
        cmocka_unit_test(test_features_of_a_range),
        cmocka_unit_test(test_features_from_the_cache),
        cmocka_unit_test(test_a_cached_pass_serves_any_range),
        cmocka_unit_test(test_other_labels_are_not_shown),
        cmocka_unit_test(test_instruction_sets_are_kept_apart),
        cmocka_unit_test(test_the_hint_is_the_command),
        cmocka_unit_test(test_bad_data_is_not_tried_again),
        cmocka_unit_test(test_ls_tells_cells_apart),
        cmocka_unit_test(test_control_characters_are_replaced),
        cmocka_unit_test(test_settings_at_their_fallback_are_shown),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_ranges_agree),
        cmocka_unit_test(test_nonfinite_images_are_counted),
        cmocka_unit_test(test_images_beyond_the_grid_are_counted),
    };
    return cmocka_run_group_tests_name("run", tests, make, scratch_remove);
}
