/* Certificates with room for a moved image, and what counts as not measured, through the program on a shipped network. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "tests/support/program.h"
#include "tests/support/tidy.h"

#include <sqlite3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void copy_weights(void)
{
    char *data = NULL;
    size_t size = 0;
    assert_int_equal(pg_file_read("models/zoo/synthetic-bagnet.safetensors", 1 << 24, &data, &size), PG_OK);
    assert_int_equal(pg_file_write(scratch_path("net.safetensors"), data, size), PG_OK);
    free(data);
}

/* A line of another machine's, so that nothing depends on what this one rounds. */
static void write_measured(long moved, const char *isa)
{
    char text[1024];
    pg_weights_info info;
    assert_int_equal(pg_weights_describe(scratch_path("net.safetensors"), NULL, 0, &info), PG_OK);
    snprintf(text, sizeof text,
             "patchgauge.locality 1\nsha256=%s\ndelta=0 trials=128 outside=128 elsewhere=0 moved=%ld images=128 "
             "batches=1,16,64,128 dtype=fp32 "
             "device=cpu%s%s batch=128\n",
             info.hash, moved, *isa ? " isa=" : "", isa);
    assert_int_equal(pg_file_write(scratch_path("net.safetensors.locality"), text, strlen(text)), PG_OK);
}

static void write_matrix(const char *name, const char *more)
{
    char matrix[1024];
    int n = snprintf(matrix, sizeof matrix,
                     "[fixed]\ndataset = \"synthetic:test\"\nweights = \"%s/net.safetensors\"\nimages = \"0:128\"\npatch = "
                     "2\n\"clip.clip\" = \"0:15\"\n%s",
                     scratch_folder, more);
    scratch_write(name, matrix, (size_t)n);
}

static void run(int wanted, const char *arguments)
{
    int code = program_run("db", "%s", arguments);
    if (code != wanted)
        fail_msg("%s: %d: %s", arguments, code, program_output);
}

static void expect(const char *said)
{
    if (!strstr(program_output, said))
        fail_msg("\"%s\" is not in\n%s", said, program_output);
}

static const char both[] =
    "[axes]\ndefense = [\"clip\", \"robust-masking\", \"double-masking\"]\ndelta = [\"place\", \"any-batch\"]\n";

/* The images of a metric of a defense and delta in the last table. */
static long value_of(const char *defense, const char *delta, const char *metric)
{
    char where[128];
    snprintf(where, sizeof where, "defense=%s delta=%s patch=2 metric=%s", defense, delta, metric);
    return (long)tidy_number(where, "count");
}

static void room_costs_certificates_and_no_predictions(void **state)
{
    (void)state;
    char table[1024];
    write_measured(1 << 18, ""); /* a quarter: dear enough to be seen */
    write_matrix("m.toml", both);
    snprintf(table, sizeof table, "run %s --quiet --threads 1", scratch_path("m.toml"));
    run(0, table);
    snprintf(table, sizeof table, "table %s --rows defense,delta --cols patch --metrics clean,certified -f json --quiet",
             scratch_path("m.toml"));
    run(0, table);
    static const char *const rules[] = {"clip", "robust-masking", "double-masking"};
    long lost = 0;
    for (int i = 0; i < 3; i++) {
        long place = value_of(rules[i], "place", "certified"), any = value_of(rules[i], "any-batch", "certified");
        assert_int_equal(value_of(rules[i], "place", "clean"), value_of(rules[i], "any-batch", "clean"));
        assert_true(place >= any);
        lost += place - any;
    }
    assert_true(lost > 0);
    snprintf(table, sizeof table, "table %s --rows defense,delta --cols patch --quiet", scratch_path("m.toml"));
    run(0, table);
    expect("delta=any-batch: logits of net moved by up to 262144 / 2^20");
    run(0, "ls --quiet");
    expect("delta=any-batch");
    snprintf(table, sizeof table, "audit %s --threads 1 --quiet -S images=0:24", scratch_path("m.toml"));
    run(0, table);
}

/* What the store says of its attempts, as if they had been others'. */
static void change_attempts(const char *sql)
{
    sqlite3 *db = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/db", scratch_folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void another_machine_counts_as_not_measured(void **state)
{
    (void)state;
    char table[1024], rows[1200];
    write_measured(2, "avx2");
    write_matrix("m.toml", both);
    snprintf(table, sizeof table, "run %s --quiet --threads 1", scratch_path("m.toml"));
    run(0, table);
    snprintf(table, sizeof table, "table %s --rows defense,delta --cols patch --quiet", scratch_path("m.toml"));
    snprintf(rows, sizeof rows, "%s --metrics unmeasured -f json", table);
    change_attempts("UPDATE attempt SET library = 'libtorch; isa avx2'");
    run(0, table);
    assert_null(strstr(program_output, "counts as not measured"));
    run(0, rows);
    assert_true(value_of("clip", "place", "unmeasured") == 0 && value_of("clip", "any-batch", "unmeasured") == 0);
    /* AVX-512 does not take over what AVX2 measured; the older measurement, which names no instruction set, it does */
    change_attempts("UPDATE attempt SET library = 'libtorch; isa avx512'");
    run(0, table);
    expect("locality of net counts as not measured where images ran on cpu avx512 (it");
    assert_null(strstr(program_output, "on cpu)"));
    run(0, rows);
    assert_true(value_of("clip", "place", "unmeasured") == 0 && value_of("clip", "any-batch", "unmeasured") > 0);
    /* a GPU takes over neither */
    change_attempts("UPDATE attempt SET device = 'cuda:1', library = 'libtorch; isa sm_90'");
    run(0, table);
    expect("ran on cuda sm_90");
    run(0, rows);
    assert_true(value_of("clip", "place", "unmeasured") > 0);
    /* nor does a smaller batch */
    change_attempts("UPDATE attempt SET device = 'cpu', library = 'libtorch; isa avx2', batch = 64");
    run(0, table);
    expect("cpu avx2 in");
    run(0, rows);
    assert_true(value_of("clip", "place", "unmeasured") > 0 && value_of("clip", "any-batch", "unmeasured") > 0);
    char show[64];
    run(0, "ls --most 1 --quiet");
    snprintf(show, sizeof show, "show %.12s --quiet", strchr(program_output, '\n') + 1);
    run(0, show);
    expect("where the locality counts as not measured");
}

static void a_run_elsewhere_warns(void **state)
{
    (void)state;
    char line[1024];
    write_matrix("w.toml", "defense = \"clip\"\nbatch = 64\n"); /* of which the metadata says nothing */
    write_measured(2, "none-such");
    char *data = NULL, *at;
    size_t size = 0;
    assert_int_equal(pg_file_read(scratch_path("net.safetensors.locality"), 1 << 16, &data, &size), PG_OK);
    at = strstr(data, " batch=128");
    memcpy(at, " batch=64\n", 10);
    assert_int_equal(pg_file_write(scratch_path("net.safetensors.locality"), data, (size_t)(at - data) + 10), PG_OK);
    free(data);
    snprintf(line, sizeof line, "run %s --threads 1", scratch_path("w.toml"));
    run(0, line);
    expect("locality was measured on cpu none-such, this run is on cpu");
    expect("where it counts as not measured");
}

/* `model measure` leaves the weights as they are, so that what is done stays done. */
static void measuring_leaves_results_as_they_are(void **state)
{
    (void)state;
    char line[1024];
    assert_int_equal(unlink(scratch_path("net.safetensors.locality")), 0);
    write_matrix("n.toml", "[axes]\ndefense = [\"clip\", \"mean\"]\n");
    snprintf(line, sizeof line, "run %s --quiet --threads 1", scratch_path("n.toml"));
    run(0, line);
    snprintf(line, sizeof line, "model measure %s --dataset synthetic:val --trials 8 --batch 16 --quiet",
             scratch_path("net.safetensors"));
    run(0, line);
    expect("with a position outside");
    expect("in other places and in batches of 1,16,64,128");
    snprintf(line, sizeof line, "plan %s --quiet", scratch_path("n.toml"));
    run(0, line);
    expect("0 new, 0 partial, 2 done, 0 stale, 0 failed");
    snprintf(line, sizeof line, "model inspect %s", scratch_path("net.safetensors"));
    run(0, line);
    expect("instruction set not recorded");
    /* a file of other weights says nothing, and is told of */
    write_weights_of("ds-resnet18", "width=4", "net.safetensors", "", NULL);
    run(0, line);
    expect("is of other weights");
    snprintf(line, sizeof line, "plan %s", scratch_path("n.toml"));
    program_run("db", "%s", line);
    expect("net.safetensors.locality is of other weights");
    copy_weights();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_costs_certificates_and_no_predictions),
        cmocka_unit_test(another_machine_counts_as_not_measured),
        cmocka_unit_test(a_run_elsewhere_warns),
        cmocka_unit_test(measuring_leaves_results_as_they_are),
    };
    if (scratch_make(NULL) != 0)
        return 1;
    copy_weights();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(NULL);
    return failed;
}
