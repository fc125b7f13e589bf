/* TorchScript modules as networks: local logits against PyTorch's, trust, geometries that are not what is stated, and a run
 * with certificates and an attack. The modules are made by tests/models/script_reference.py. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "models/locality.h"
#include "tests/support/load_npy.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { LINE = 600, CLASSES = 10 };

typedef struct reference {
    char name[32], arguments[LINE];
    int height, width, rows, columns;
} reference;
static reference references[3];
static bool there;

static int make(void **state)
{
    char line[LINE + 64];
    if (scratch_make(state) != 0)
        return -1;
    snprintf(
        line, sizeof line,
        "for p in python3 /usr/bin/python3; do $p -c 'import torch' 2>/dev/null && exec $p tests/models/script_reference.py "
        "'%s'; done",
        scratch_folder);
    FILE *answer = popen(line, "r");
    for (int i = 0; answer && i < 3 && fgets(line, sizeof line, answer); i++) {
        reference *r = &references[i];
        there = sscanf(line, "%31s %d %d %d %d %599[^\n]", r->name, &r->height, &r->width, &r->rows, &r->columns,
                       r->arguments) == 6;
    }
    return answer && pclose(answer) == 0 ? 0 : -1;
}

static int import(const reference *r, const char *trust, const char *arguments)
{
    char module[512], out[512];
    snprintf(module, sizeof module, "%s/%s.pt", scratch_folder, r->name);
    snprintf(out, sizeof out, "%s/%s.safetensors", scratch_folder, r->name);
    return program_run("db", "model import torchscript '%s' %s --input %dx%d -o '%s' %s", module, trust, r->height, r->width,
                       out, arguments);
}

static void *bytes_of(const char *name, const char *suffix, size_t size)
{
    char file[128], *data = NULL;
    size_t found = 0;
    snprintf(file, sizeof file, "%s%s", name, suffix);
    assert_int_equal(pg_file_read(scratch_path(file), size, &data, &found), PG_OK);
    assert_int_equal(found, size);
    return data;
}

static void logits_are_those_of_pytorch(void **state)
{
    (void)state;
    if (!there)
        skip();
    setenv("PATCHGAUGE_TRUST", "1", 1);
    for (int i = 0; i < 3; i++) {
        const reference *r = &references[i];
        char file[64];
        if (import(r, "--trust", r->arguments) != 0)
            fail_msg("%s", program_output);
        assert_non_null(strstr(program_output, "no pixel changes a position outside its stated field"));
        snprintf(file, sizeof file, "%.31s.safetensors", r->name);
        pg_network *network = NULL;
        const pg_network_options options = {.device = "cpu", .batch = 3, .threads = 1};
        assert_int_equal(pg_network_open(scratch_path(file), NULL, 0, &options, &network), PG_OK);
        const pg_geometry *g = &pg_network_info(network)->geometry;
        assert_true(g->rows.positions == r->rows && g->columns.positions == r->columns && g->classes == CLASSES);
        size_t values = (size_t)3 * (size_t)r->rows * (size_t)r->columns * CLASSES;
        uint8_t *pixels = bytes_of(r->name, ".pixels", (size_t)9 * (size_t)r->height * (size_t)r->width);
        float *wanted = bytes_of(r->name, ".logits", 4 * values), *logits = malloc(4 * values);
        double most = 0, largest = 0;
        assert_int_equal(pg_network_forward(network, pixels, 0, 3, logits), PG_OK);
        for (size_t k = 0; k < values; k++) {
            most = fmax(most, fabs((double)logits[k] - wanted[k]));
            largest = fmax(largest, fabs(wanted[k]));
        }
        print_message("%s: largest difference %.2g\n", r->name, most);
        assert_true(most <= 1e-5 && largest > 0.1);
        free(pixels);
        free(wanted);
        free(logits);
        pg_network_close(network);
    }
    unsetenv("PATCHGAUGE_TRUST");
}

static void nothing_runs_without_trust(void **state)
{
    (void)state;
    if (!there)
        skip();
    const reference *r = &references[0];
    assert_int_equal(remove(scratch_path("local.safetensors")), 0);
    assert_int_equal(import(r, "", r->arguments), 2);
    assert_non_null(strstr(program_output, "--trust lets it run"));
    assert_int_equal(pg_file_size(scratch_path("local.safetensors")), -1);
    assert_int_equal(import(r, "--trust", r->arguments), 0);
    assert_int_equal(program_run("db", "model inspect '%s'", scratch_path("local.safetensors")), 0); /* reads the header only */
    char features[1024];
    snprintf(features, sizeof features,
             "features --weights '%s/local.safetensors' --dataset synthetic:test --images 0:4 --threads 1 -o '%s/dump'",
             scratch_folder, scratch_folder);
    assert_int_equal(program_run("db", "%s", features), 2);
    assert_non_null(strstr(program_output, "--trust lets it run"));
    assert_int_equal(program_run("db", "%s --trust", features), 0);
}

static void false_geometries_are_refused(void **state)
{
    (void)state;
    if (!there)
        skip();
    static const struct {
        int reference;
        const char *arguments, *said;
    } cases[] = {
        {1,
         "--set row_field=5 --set column_field=5 --set row_stride=2 --set column_stride=2 --set row_padding=1 --set "
         "column_padding=1 "
         "--set mean=0 --set std=1",
         "does not see it with the stated geometry"},
        {0, "--set row_field=6 --set column_field=7 --set row_stride=2 --set column_stride=2 --set mean=0 --set std=1",
         "13 rows: a field of 6 px"},
        {0, "--set row_field=7 --set column_field=7 --set row_stride=2 --set column_stride=2 --set mean=0",
         "--set std=... is missing"},
        {0, "--set column_field=7 --set mean=0 --set std=1", "--set row_field=... is missing"},
        {0, "--set rows=3 --set row_field=0 --set column_field=0 --set mean=0 --set std=1", "the module itself tells"},
        {0, "--set row_field=0 --set column_field=0 --set wrap=w --set mean=0 --set std=1", "do not wrap"},
    };
    reference r = references[0];
    assert_int_equal(remove(scratch_path("local.safetensors")), 0);
    assert_int_equal(remove(scratch_path("padded.safetensors")), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = import(&references[cases[i].reference], "--trust", cases[i].arguments);
        if (code != 2 || !strstr(program_output, cases[i].said))
            fail_msg("case %zu: %d: %s", i, code, program_output);
        assert_int_equal(pg_file_size(scratch_path("local.safetensors")), -1);
        assert_int_equal(pg_file_size(scratch_path("padded.safetensors")), -1);
    }
    snprintf(r.name, sizeof r.name, "vector");
    assert_int_equal(import(&r, "--trust", references[2].arguments), 2);
    assert_non_null(strstr(program_output, "a tensor of rank 2, [1][3]"));
    snprintf(r.name, sizeof r.name, "mixing");
    assert_int_equal(import(&r, "--trust", references[2].arguments), 2);
    assert_non_null(strstr(program_output, "when another image is in its batch"));
    scratch_write("noise.pt", "PK no module", 12);
    snprintf(r.name, sizeof r.name, "noise");
    assert_int_equal(import(&r, "--trust", references[2].arguments), 2);
    assert_true(strstr(program_output, "the zip archive is damaged") || strstr(program_output, "no TorchScript"));
    assert_int_equal(import(&references[0], "--trust", references[0].arguments), 0);
    assert_int_equal(program_run("db", "model train torchscript --dataset synthetic:train -o '%s'", scratch_path("trained")),
                     2);
    assert_non_null(strstr(program_output, "nothing to train"));
}

/* Certificates, an attack with gradients through the module, and the audit's levels. */
static void modules_are_networks(void **state)
{
    (void)state;
    if (!there)
        skip();
    char matrix[1024];
    int n = snprintf(
        matrix, sizeof matrix,
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"%s/local.safetensors\"\nimages = \"0:6\"\nbatch = 6\npatch = 4\n"
        "defense = \"robust-masking\"\n\"lavan.steps\" = 3\n[axes]\nattack = [\"none\", \"lavan\"]\n",
        scratch_folder);
    scratch_write("m.toml", matrix, (size_t)n);
    assert_int_equal(program_run("run.db", "run %s --threads 1 --quiet", scratch_path("m.toml")), 2);
    assert_non_null(strstr(program_output, "--trust lets it run"));
    int code = program_run("run.db", "run %s --threads 1 --quiet --trust", scratch_path("m.toml"));
    if (code)
        fail_msg("%d: %s", code, program_output);
    code = program_run("run.db", "audit %s --threads 1 --trust --attack lavan --set attack.steps=2", scratch_path("m.toml"));
    if (code)
        fail_msg("%d: %s", code, program_output);
}

/* Which outputs are the classes is chosen behind the module, also under attack. */
static void outputs_are_chosen(void **state)
{
    (void)state;
    static const int outputs[] = {7, 1, 2, 0, 4, 5, 6, 3, 9, 8};
    static const char *const given[] = {"names", "7 1 2 0 4 5 6 3 9 8"}, *const folders[] = {"plain", "chosen"};
    pg_npy arrays[2];
    if (!there)
        skip();
    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/features.npy", folders[i]);
        int code =
            program_run("db",
                        "features --trust --weights '%s/local.safetensors' --dataset synthetic:test --images 0:3 --batch 3 "
                        "--threads 1 --outputs '%s' -o '%s'",
                        scratch_folder, given[i], scratch_path(folders[i]));
        if (code != 0)
            fail_msg("%d: %s", code, program_output);
        assert_int_equal(load_npy(scratch_path(path), &arrays[i]), PG_OK);
    }
    const float *plain = arrays[0].data, *chosen = arrays[1].data;
    for (size_t i = 0; i < arrays[0].count; i++)
        assert_true(chosen[i] == plain[i / 10 * 10 + (size_t)outputs[i % 10]]);
    for (int i = 0; i < 2; i++)
        pg_npy_release(&arrays[i]);
    int code =
        program_run("db",
                    "attack --trust --weights '%s/local.safetensors' --dataset synthetic:test --images 0:2 --patch 4 --batch 2 "
                    "--threads 1 --attack lavan -S steps=1 --sheet 0 --outputs '%s' -o '%s'",
                    scratch_folder, given[1], scratch_path("chosen-attack"));
    if (code != 0)
        fail_msg("%d: %s", code, program_output);
}

/* A module that adds i / 2^18, 4 units of the grid, at place i of a batch, and leaks in batches of 16: every place and every
 * batch is tried. */
static void what_moves_with_the_place_is_measured(void **state)
{
    (void)state;
    if (!there)
        skip();
    reference r = references[0];
    snprintf(r.name, sizeof r.name, "placed");
    if (import(&r, "--trust",
               "--set row_field=5 --set column_field=5 --set row_stride=2 --set column_stride=2 --set mean=0 --set std=1") != 0)
        fail_msg("%s", program_output);
    setenv("PATCHGAUGE_TRUST", "1", 1);
    pg_locality found;
    pg_locality_request request = {.data_dir = "unused",
                                   .dataset = "synthetic:val",
                                   .device = "cpu",
                                   .batch = 8,
                                   .threads = 1,
                                   .trials = 8,
                                   .seed = 1,
                                   .moved = true};
    assert_int_equal(pg_locality_measure(scratch_path("placed.safetensors"), &request, &found), PG_OK);
    assert_true(found.delta_grid == 0 && found.outside == found.trials);
    print_message("moved %ld, elsewhere %ld\n", (long)found.moved_grid, (long)found.elsewhere_grid);
    /* image 0 at the last place of 128, and a few units of rounding; the batch of 16 adds less */
    assert_true(found.moved_grid >= 127 * 4 - 4 && found.moved_grid <= 127 * 4 + 4);
    assert_true(found.elsewhere_grid >= 2 && found.elsewhere_grid <= 256);
    assert_string_equal(found.batches, "1,8,16,64,128");
    /* an audit of certificates for any place runs its patches at other ones, and finds no more than was measured */
    assert_int_equal(pg_locality_add(scratch_path("placed.safetensors"), &found), PG_OK);
    static const char *const deltas[] = {"place", "any-batch"};
    for (int i = 0; i < 2; i++) {
        int code = program_run("moved.db",
                               "audit --trust --quiet --weights '%s/placed.safetensors' --dataset synthetic:test --images 0:20 "
                               "--patch 3 --defense mean "
                               "--level locality --threads 1 -S batch=8 -S delta=%s -f json",
                               scratch_folder, deltas[i]);
        const char *delta = strstr(program_output, "\"delta\":");
        if (code || !delta)
            fail_msg("%d: %s", code, program_output);
        long value = atol(delta + 8);
        assert_true(i == 0 ? value == 0 : value >= 7 * 4 - 4 && value <= found.moved_grid); /* image 0 at place 7 */
    }
    /* that of 16 is not tried twice where it is the own one, whose leak is one at the place then */
    request.batch = 16;
    assert_int_equal(pg_locality_measure(scratch_path("placed.safetensors"), &request, &found), PG_OK);
    assert_true(found.delta_grid >= 2);
    assert_string_equal(found.batches, "1,16,64,128");
    unsetenv("PATCHGAUGE_TRUST");
}

/* A patch that makes logits which are no numbers is a patch like any other: what is certified stays. */
static void what_is_no_number_breaks_no_certificate(void **state)
{
    (void)state;
    if (!there)
        skip();
    reference r = references[0];
    snprintf(r.name, sizeof r.name, "scaled");
    if (import(&r, "--trust",
               "--set row_field=5 --set column_field=5 --set row_stride=2 --set column_stride=2 --set mean=0 --set std=1") != 0)
        fail_msg("%s", program_output);
    static const char *const defenses[] = {"robust-masking", "patchcleanser --set masks=2 --set fill=100"};
    for (size_t i = 0; i < sizeof defenses / sizeof *defenses; i++) {
        int code = program_run("db",
                               "attack --trust --weights '%s/scaled.safetensors' --dataset synthetic:test --images 0:16 "
                               "--patch 6 --batch 8 --threads 1 "
                               "--attack lavan --set start=grey --set steps=1 --sheet 0 --defense %s -o '%s/grey%zu'",
                               scratch_folder, defenses[i], scratch_folder, i);
        if (code != 0)
            fail_msg("%d: %s", code, program_output);
        assert_non_null(strstr(program_output, "certified accuracy"));
        assert_null(strstr(program_output, "certified accuracy           0.0%"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_pytorch),
        cmocka_unit_test(nothing_runs_without_trust),
        cmocka_unit_test(false_geometries_are_refused),
        cmocka_unit_test(modules_are_networks),
        cmocka_unit_test(outputs_are_chosen),
        cmocka_unit_test(what_moves_with_the_place_is_measured),
        cmocka_unit_test(what_is_no_number_breaks_no_certificate),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
