/* The audit of plans, by the program and by the library: tables, what is stored, witnesses, exit codes, bad input. On the null
 * model; with attacks on a small network that ships with the program. */
/* Loads libtorch. */
#include "db/store.h"
#include "harness/base/file.h"
#include "harness/base/grid.h"
#include "tests/support/load_npy.h"
#include "harness/plan/tasks.h"
#include "harness/audit/audit.h"
#include "models/locality.h"
#include "models/torch/torch.h"
#include "tests/support/program.h"
#include "tests/support/store_list.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char matrix[] =
    "name = \"audited\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:120\"\n"
    "batch = 16\n\"null.height\" = 1\n\"null.width\" = 10\n\"null.field\" = 4\n\"null.stride\" = 3\n"
    "\"null.wrap\" = \"w\"\n[axes]\ndefense = [\"ds\", \"robust-masking\"]\npatch = [3, 5]\n"
    "\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static void expect(int code, int wanted)
{
    if (code != wanted)
        fail_msg("exit code %d, not %d: %s", code, wanted, program_output);
}

static void expect_text(const char *text)
{
    if (!strstr(program_output, text))
        fail_msg("not told: %s\n%s", text, program_output);
}

static int set_up(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    return 0;
}

/* ---- The program ---- */

static int64_t number(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
}

/* The rows of a document; *new*. */
static json_t *json_of(const char *text)
{
    json_error_t error;
    const char *start = strpbrk(text, "{[");
    json_t *root = start ? json_loads(start, 0, &error) : NULL, *rows = json_object_get(root, "rows");
    if (!root)
        fail_msg("no JSON: %s", text);
    if (!rows)
        return root;
    json_incref(rows);
    json_decref(root);
    return rows;
}

static void a_matrix_is_audited(void **state)
{
    (void)state;
    expect(program_run("a.db", "--quiet audit %s -f json", scratch_path("m.toml")), 0);
    json_t *rows = json_of(program_output), *row;
    size_t i;
    int64_t certified = 0, published_broken = 0;
    assert_int_equal(json_array_size(rows), 2 * 6); /* ds once, robust-masking twice, two patches, two levels */
    json_array_foreach(rows, i, row)
    {
        const char *certificate = json_string_value(json_object_get(row, "certificate"));
        bool feature = strcmp(json_string_value(json_object_get(row, "level")), "feature") == 0;
        bool none = strcmp(certificate, "none") == 0;
        assert_int_equal(number(row, "images"), 120);
        assert_int_equal(number(row, "broken"), none ? -1 : 0);
        assert_int_equal(number(row, "delta"), feature ? -1 : 0);
        assert_true(number(row, "correct") > 0 && number(row, "correct") < 120);
        if (feature && strcmp(certificate, "exact") == 0)
            assert_int_equal(number(row, "unbroken"), 0);
        if (feature && none) {
            assert_int_equal(number(row, "published"), number(row, "published_broken"));
            published_broken += number(row, "published_broken");
            assert_true(json_is_string(json_object_get(row, "witness")));
        }
        certified += none ? 0 : number(row, "certified");
    }
    assert_true(certified > 0);
    assert_true(published_broken > 0);
    json_decref(rows);
}

static char *csv_of(const char *more)
{
    char *text;
    expect(program_run("b.db", "--quiet audit %s -f csv %s", scratch_path("m.toml"), more), 0);
    text = strdup(program_output);
    assert_non_null(text);
    return text;
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    char *one = csv_of("--threads 1"), *three = csv_of("--threads 3"), *other = csv_of("--seed 1 --tries 5");
    assert_string_equal(one, three);
    assert_string_not_equal(one, other); /* "sampled" */
    assert_non_null(strstr(one, "cell,defense,patch,robust-masking.scope,certificate,level,images,correct,certified,broken,"));
    free(one);
    free(three);
    free(other);
}

/* The same lines, but for what a store does not keep; with the counts of a run where there is one. */
static void stored_audits_are_printed(void **state)
{
    (void)state;
    const char *file = scratch_path("m.toml");
    static const char *const kept[] = {"images", "certified", "broken", "unbroken", "published_broken", "delta"};
    static const char *const of_run[] = {"correct", "published"};
    expect(program_run("k.db", "--quiet audit %s --stored", file), 2);
    expect(program_run("k.db", "--quiet audit %s -f json", file), 0);
    json_t *rows = json_of(program_output), *row;
    for (int run = 0; run < 2; run++) {
        if (run)
            expect(program_run("k.db", "--quiet run %s", file), 0);
        expect(program_run("k.db", "--quiet audit %s --stored -f json", file), 0);
        json_t *stored = json_of(program_output);
        size_t i;
        assert_int_equal(json_array_size(stored), json_array_size(rows));
        json_array_foreach(rows, i, row)
        {
            json_t *other = json_array_get(stored, i);
            for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
                assert_int_equal(number(other, kept[k]), number(row, kept[k]));
            for (size_t k = 0; k < sizeof of_run / sizeof *of_run; k++)
                assert_int_equal(number(other, of_run[k]), run ? number(row, of_run[k]) : -1);
            assert_true(json_equal(json_object_get(other, "witness"), json_object_get(row, "witness")));
            assert_int_equal(number(other, "tried"), -1);
        }
        json_decref(stored);
    }
    json_decref(rows);
    expect(program_run("k.db", "--quiet audit %s --stored --level feature -f md", file), 0);
    expect_text("| defense | patch | robust-masking.scope | certificate | level | images | correct | certified |");
    expect_text("- broken: certified images");
    assert_null(strstr(program_output, "locality"));
    assert_null(strstr(program_output, "tried"));
}

static double share_of(const json_t *rows, const char *metric)
{
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "metric")), metric) == 0)
            return json_number_value(json_object_get(row, "value"));
    }
    return -1;
}

/* A table shows what an audit by features left of the published certificates, once there is one of all images. */
static void tables_show_what_audits_left(void **state)
{
    (void)state;
    const char
        *file = scratch_path("m.toml"),
        *cells = "-S defense=robust-masking -S robust-masking.scope=predicted -S robust-masking.feature=confidence -S patch=2";
    expect(program_run("t.db", "--quiet run %s %s", file, cells), 0);
    expect(program_run("t.db", "--quiet audit %s %s --level locality", file, cells), 0);
    expect(program_run("t.db", "--quiet table %s %s -f json", file, cells), 0);
    json_t *rows = json_of(program_output);
    assert_true(share_of(rows, "certified_published") > 0);
    assert_true(share_of(rows, "published_audited") < 0); /* random patches are no audit by features */
    json_decref(rows);
    expect(program_run("t.db", "--quiet audit %s %s --level feature -f json", file, cells), 0);
    rows = json_of(program_output);
    int64_t published = number(json_array_get(rows, 0), "published"),
            broken = number(json_array_get(rows, 0), "published_broken");
    assert_true(broken > 0 && broken < published);
    json_decref(rows);
    expect(program_run("t.db", "--quiet table %s %s -f json", file, cells), 0);
    rows = json_of(program_output);
    assert_true(fabs(share_of(rows, "published_audited") - 100.0 * (double)(published - broken) / 120) < 1e-5);
    json_decref(rows);
    expect(program_run("t.db", "--quiet table %s %s -f md", file, cells), 0);
    expect_text("published, audited: without those that the audit broke");
}

static int first_cell(const pg_cell_result *result, void *context)
{
    memcpy(context, result->cell_id, PG_HASH_HEX);
    return PG_OK;
}

/* What is stored is evaluated like what was just found, and says where windows and classes were sampled. */
static void stored_audits_set_the_exit_code(void **state)
{
    (void)state;
    static const char *const settings[] = {"random=64\nseed=0\ntries=0\n", "random=64\nseed=1\ntries=20\n"};
    const char *file = scratch_path("m.toml"), *only = "-S defense=ds -S ds.rule=window -S patch=3";
    expect(program_run("j.db", "--quiet run %s %s", file, only), 0);
    for (int sampled = 1; sampled >= 0; sampled--) {
        pg_store *store;
        char id[PG_HASH_HEX] = "";
        assert_int_equal(pg_store_open(scratch_path("j.db"), PG_STORE_WRITE, &store), PG_OK);
        assert_int_equal(store_list(store, -1, first_cell, id, NULL), PG_OK);
        pg_audit_record record = {.level = "feature", .settings = settings[sampled], .n = 120, .certified = 9, .unbroken = 2};
        assert_int_equal(pg_store_audit(store, id, &record), PG_OK);
        pg_store_close(store);
        expect(program_run("j.db", "--quiet audit %s %s --stored", file, only), sampled ? 0 : 1);
        expect_text("sampled: images on which --tries");
        if (!sampled)
            expect_text("marked exact, but 2 refused images were not broken");
    }
}

static void a_network_is_audited_without_a_matrix(void **state)
{
    (void)state;
    expect(program_run("c.db",
                       "audit --weights null --dataset synthetic:test --patch 5 --patch 3 --defense ds --defense median "
                       "--images 0:40 --set null.wrap=w --set ds.rule=window --witnesses %s",
                       scratch_path("w")),
           0);
    expect_text("median");
    expect_text("exact");
    expect_text("broken: certified images");
    /* -o FILE is the table; --only needs a matrix */
    expect(program_run("c.db", "--quiet audit %s --only defense=ds --only patch=3 --stored -o %s", scratch_path("m.toml"),
                       scratch_path("audit.txt")),
           2);
    expect_text("holds no audit of these cells");
    assert_int_equal(access(scratch_path("audit.txt"), F_OK), -1);
    expect(program_run("c.db", "--quiet audit %s --only defense=ds --only patch=3 --level feature -f csv -o %s",
                       scratch_path("m.toml"), scratch_path("audit.txt")),
           0);
    assert_string_equal(program_output, "");
    char line[512];
    snprintf(line, sizeof line, "cat %s", scratch_path("audit.txt"));
    assert_int_equal(program_shell(line), 0);
    expect_text("cell,defense,patch,");
    expect_text(",ds,3,");
    expect(program_run("c.db", "audit --weights null --dataset synthetic:test --patch 5 --only defense=ds"), 2);
    expect_text("--only chooses cells of a matrix file");
    expect(program_run("c.db", "--quiet audit --weights null --dataset synthetic:test --patch 5 --images 0:10 --level feature"),
           0);
    for (size_t i = 0; pg_defenses[i]; i++) /* all, where none is named */
        if (pg_defenses[i]->level == PG_LEVEL_FEATURE)
            expect_text(pg_defenses[i]->module.name);
}

typedef struct stored {
    pg_store *store;
    int rows, feature, published;
} stored;

static int count_audit(const pg_audit_record *r, void *context)
{
    stored *s = context;
    assert_int_equal(r->n, 120);
    assert_true(strstr(r->settings, "seed=0\n") != NULL);
    assert_int_equal(r->has_delta, strcmp(r->level, "locality") == 0);
    assert_int_equal(strlen(r->finished), 20);
    s->rows++;
    s->feature += strcmp(r->level, "feature") == 0;
    s->published += r->published_broken > 0 && r->witness && strstr(r->witness, "image=");
    return PG_OK;
}

static int count_cell(const pg_cell_result *r, void *context)
{
    stored *s = context;
    return pg_store_each_audit(s->store, r->cell_id, count_audit, s);
}

static void audits_are_stored(void **state)
{
    (void)state;
    stored s = {0};
    for (int again = 0; again < 2; again++) /* in the place of the first */
        expect(program_run("d.db", "--quiet audit %s", scratch_path("m.toml")), 0);
    assert_int_equal(pg_store_open(scratch_path("d.db"), PG_STORE_READ, &s.store), PG_OK);
    assert_int_equal(store_list(s.store, -1, count_cell, &s, NULL), PG_OK);
    assert_int_equal(s.rows, 12);
    assert_int_equal(s.feature, 6);
    assert_true(s.published >= 2);
    pg_audit_record row = {.level = "feature", .settings = ""};
    pg_store_close(s.store);
    assert_int_equal(pg_store_open(scratch_path("d.db"), PG_STORE_WRITE, &s.store), PG_OK);
    assert_int_equal(pg_store_audit(s.store, "nothing", &row), PG_EMISSING);
    pg_store_close(s.store);
    expect(program_run("d.db", "--quiet run %s", scratch_path("m.toml")), 0); /* a run goes on from there */
}

static void bad_input_is_one_error(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *text;
    } trials[] = {
        {"", "no matrix file is given"},
        {"%s --level pixels", "right would be feature, locality or pixel"},
        {"%s --level feature,", "right would be feature, locality or pixel"},
        {"%s --level pixel", "name the attack with --attack"},
        {"%s --attack lawan", "did you mean"},
        {"%s --attack lavan --set attack.stepps=4", "stepps"},
        {"%s --set attack.steps=4", "there is no attack"},
        {"%s --tries -1", "--tries -1: right would be"},
        {"m.toml -f latex", "right would be text, csv, json, json-lines or md"},
        {"m.toml -o ''", "-o : right would be a text that is not empty"},
        {"%s -o /dev/full", "/dev/full: is a device"},
        {"%s --weights null", "not both"},
        {"--weights null --dataset synthetic:test", "--patch is missing"},
        {"--weights null --patch 5", "--dataset is missing"},
        {"--dataset synthetic:test --patch 5", "--weights is missing"},
        {"--weights null --dataset synthetic:test --patch 50", "--patch: patch \"50\""},
        {"--weights null --dataset synthetic:test --patch 5 --defense dss", "--defense: unknown defense 'dss'; did you mean"},
        {"--weights null --dataset synthetic:test --patch 5 --images 0:999999", "has the images"},
        {"--weights 'no\"thing\\' --dataset synthetic:test --patch 5", "no\"thing"},
        {"%s --broken x", "unknown option"},
    };
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        char arguments[1024]; /* "%s" is the matrix file */
        const char *rest = trials[i].arguments + (strncmp(trials[i].arguments, "%s", 2) == 0 ? 2 : 0);
        snprintf(arguments, sizeof arguments, "%s%s", rest != trials[i].arguments ? scratch_path("m.toml") : "", rest);
        int code = program_run("none.db", "audit %s", arguments);
        if (code != 2 || !strstr(program_output, trials[i].text))
            fail_msg("audit %s: exit code %d: %s", trials[i].arguments, code, program_output);
        assert_int_not_equal(access(scratch_path("none.db"), F_OK), 0);
    }
}

/* ---- The library, with a defense that is none ---- */

static void certify_all(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n,
                        void *scratch, pg_verdict *out)
{
    pg_defense_find("ds")->certify(e, window, delta, label, configs, n, scratch, out);
    out->certified = out->prediction == label;
    out->has_margin = false; /* a negative one would tell */
}

static pg_store *store;

static int begin(void *context, pg_store **out)
{
    int code = pg_store_open(scratch_path("library.db"), PG_STORE_WRITE, &store);
    if (code == PG_OK)
        code = pg_plan_record_cells(context, store);
    *out = store;
    return code;
}

/* A plan of one cell whose defense is ds with a certificate of its own. */
static pg_plan *open_plan(pg_defense *unsound)
{
    static const char *const overrides[] = {"defense=ds", "patch=9", "images=5:120"};
    pg_plan *plan;
    pg_plan_request request = {
        .matrix_path = scratch_path("m.toml"), .overrides = overrides, .n_overrides = 3, .data_dir = "."};
    assert_int_equal(pg_plan_open(&request, &plan), PG_OK);
    assert_int_equal(pg_plan_count(plan), 1);
    *unsound = *pg_defense_find("ds");
    unsound->certify = certify_all;
    memcpy((char *)pg_plan_at(plan, 0) + offsetof(pg_cell, defense), &(const pg_defense *){unsound}, sizeof unsound);
    return plan;
}

static void an_unsound_defense_ends_with_a_witness(void **state)
{
    (void)state;
    pg_defense unsound;
    pg_plan *plan = open_plan(&unsound);
    pg_audit_request request = {.plan = plan,
                                .levels = {[PG_AUDIT_FEATURE] = true},
                                .effort = {.random = 8},
                                .data_dir = ".",
                                .device = "cpu",
                                .threads = 1, /* LeakSanitizer falls over more threads of libtorch */
                                .folder = scratch_path("witness"),
                                .begin = begin,
                                .context = plan};
    pg_audit_row *rows;
    size_t n;
    if (pg_audit_run(&request, &rows, &n) != PG_OK)
        fail_msg("%s", pg_error_message());
    assert_int_equal(n, 1);
    assert_true(rows[0].certified > 5 && rows[0].broken > 1);
    assert_int_equal(rows[0].n, 115);
    assert_int_equal(pg_audit_conclude(rows, n), PG_EBROKEN);
    assert_int_equal(pg_error_exit_code(PG_EBROKEN), 5);
    assert_non_null(strstr(pg_error_message(), "certified images broke; the first: by=general"));
    assert_non_null(strstr(rows[0].witness, "window.left="));
    assert_non_null(strstr(rows[0].witness, "class="));
    char path[600];
    assert_int_equal(sscanf(strstr(rows[0].witness, "contents="), "contents=%599s", path), 1);
    pg_npy contents;
    assert_int_equal(load_npy(path, &contents), PG_OK);
    assert_int_equal(contents.rank, 3);
    assert_int_equal(contents.dtype, PG_NPY_I4);
    assert_int_equal(contents.shape[0], 1);
    assert_int_equal(contents.shape[1], pg_plan_at(plan, 0)->window.width);
    assert_int_equal(contents.shape[2], 10);
    for (size_t i = 0; i < contents.count; i++)
        assert_true(((const int32_t *)contents.data)[i] == 0 || ((const int32_t *)contents.data)[i] == PG_GRID);
    pg_npy_release(&contents);
    pg_audit_rows_free(rows, n);
    pg_store_close(store);
    pg_plan_free(plan);
}

/* Where its file cannot be written, a broken certificate is told all the same. */
static void a_witness_without_a_file_is_told(void **state)
{
    (void)state;
    pg_defense unsound;
    pg_plan *plan = open_plan(&unsound);
    pg_audit_request request = {.plan = plan,
                                .levels = {[PG_AUDIT_FEATURE] = true},
                                .effort = {.random = 8},
                                .data_dir = ".",
                                .device = "cpu",
                                .folder = "/dev/full/witness",
                                .begin = begin,
                                .context = plan};
    pg_audit_row *rows;
    size_t n;
    assert_int_equal(pg_audit_run(&request, &rows, &n), PG_OK);
    assert_int_equal(n, 1);
    assert_non_null(strstr(rows[0].witness, "image="));
    assert_null(strstr(rows[0].witness, "contents="));
    assert_int_equal(pg_audit_conclude(rows, n), PG_EBROKEN);
    pg_audit_rows_free(rows, n);
    pg_store_close(store);
    pg_plan_free(plan);
}

/* A rule that calls itself exact, and is too careful. */
static pg_certificate says_exact(const void *config)
{
    (void)config;
    return PG_CERTIFICATE_EXACT;
}

static void certify_none(const pg_evidence *e, pg_window window, int64_t delta, int label, const void *const *configs, size_t n,
                         void *scratch, pg_verdict *out)
{
    pg_defense_find("ds")->certify(e, window, delta, label, configs, n, scratch, out);
    out->certified = false;
}

static void refused_images_of_exact_rules_have_to_break(void **state)
{
    (void)state;
    pg_defense careful;
    pg_plan *plan = open_plan(&careful);
    careful.certify = certify_none;
    careful.certificate = says_exact;
    pg_audit_request request = {
        .plan = plan, .levels = {[PG_AUDIT_FEATURE] = true}, .data_dir = ".", .device = "cpu", .begin = begin, .context = plan};
    pg_audit_row *rows;
    size_t n;
    assert_int_equal(pg_audit_run(&request, &rows, &n), PG_OK);
    assert_int_equal(n, 1);
    assert_true(rows[0].unbroken > 3);
    assert_int_equal(rows[0].broken, 0);
    assert_int_equal(pg_audit_conclude(rows, n), PG_ECELLS);
    pg_audit_rows_free(rows, n);
    pg_store_close(store);
    pg_plan_free(plan);
}

/* ---- Attacks and locality on a network ---- */

static void a_network_is_attacked(void **state)
{
    (void)state;
    int code = program_run("n.db", "--quiet audit --weights models/zoo/synthetic-bagnet.safetensors --dataset synthetic:test "
                                   "--patch 4 --images 0:24 --defense robust-masking --defense clip -S batch=8 "
                                   "--attack lavan --set attack.steps=3 --set attack.batch=4 --device cpu --threads 1 -f json");
    expect(code, 0);
    json_t *rows = json_of(program_output), *row;
    size_t i;
    int pixel = 0;
    assert_int_equal(json_array_size(rows), 2 * 3);
    json_array_foreach(rows, i, row)
    {
        bool attacked = strcmp(json_string_value(json_object_get(row, "level")), "pixel") == 0;
        pixel += attacked;
        assert_int_equal(number(row, "broken"), 0);
        if (attacked)
            assert_int_equal(number(row, "tried"), number(row, "certified"));
    }
    assert_int_equal(pixel, 2);
    json_decref(rows);
}

/* Votes with measured locality, in bf16 where the processor has it: what is certified is attacked by the worst votes, by
 * patches and by random contents, on the network as it is deployed. */
static void votes_are_attacked_in_bf16(void **state)
{
    (void)state;
    static const char weights[] = "models/zoo/synthetic-ds.safetensors";
    const bool bf16 = pg_cpu_has_fast_bf16();
    char *data;
    size_t size;
    assert_int_equal(pg_file_read(weights, 1 << 24, &data, &size), PG_OK);
    scratch_write("ds.safetensors", data, size);
    free(data);
    const pg_locality locality = {.measured = true,
                                  .delta_grid = 2000,
                                  .trials = 100,
                                  .dtype = bf16 ? PG_DTYPE_BF16 : PG_DTYPE_F32,
                                  .device = "cpu",
                                  .batch = 8};
    assert_int_equal(pg_locality_record(scratch_path("ds.safetensors"), &locality), PG_OK);
    int code = program_run("v.db",
                           "--quiet audit --weights %s --dataset synthetic:test --patch 3 --images 0:24 --defense ds "
                           "--defense robust-masking -S ds.rule=votes,window -S batch=8 -S dtype=%s "
                           "--attack random-search --set attack.steps=40 --device cpu --threads 1 -f json",
                           scratch_path("ds.safetensors"), bf16 ? "bf16" : "fp32");
    expect(code, 0);
    json_t *rows = json_of(program_output), *row;
    size_t i;
    int64_t certified = 0, attacked = 0;
    json_array_foreach(rows, i, row)
    {
        const char *level = json_string_value(json_object_get(row, "level"));
        assert_int_equal(number(row, "broken"), 0);
        if (strcmp(level, "feature") == 0)
            assert_true(number(row, "certified") > 5);
        certified += strcmp(level, "feature") == 0 ? number(row, "certified") : 0;
        attacked += strcmp(level, "pixel") == 0 ? number(row, "tried") : 0;
    }
    assert_true(certified > 24);
    assert_int_equal(attacked, certified);
    json_decref(rows);
}

/* A plan of the small network on 32 images, whose geometry a test may bend. *forward: of its only cell. */
static pg_plan *open_network_plan(pg_forward **forward)
{
    static const char *const overrides[] = {"defense=robust-masking", "patch=3", "images=0:32", "batch=8"};
    pg_plan *plan;
    static const char text[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-bagnet.safetensors\"\n";
    pg_plan_request request = {
        .matrix_path = "m", .matrix_text = text, .overrides = overrides, .n_overrides = 4, .data_dir = "."};
    assert_int_equal(pg_plan_open(&request, &plan), PG_OK);
    memcpy(forward, (const char *)pg_plan_at(plan, 0) + offsetof(pg_cell, forward), sizeof *forward);
    return plan;
}

static int audit_network(pg_plan *plan, pg_audit_row **rows, size_t *n)
{
    pg_audit_request request = {.plan = plan,
                                .levels = {[PG_AUDIT_FEATURE] = true, [PG_AUDIT_LOCALITY] = true},
                                .effort = {.tries = 5},
                                .data_dir = ".",
                                .device = "cpu",
                                .threads = 1, /* LeakSanitizer falls over more threads of libtorch */
                                .folder = scratch_path("witness"),
                                .begin = begin,
                                .context = plan};
    int code = pg_audit_run(&request, rows, n);
    pg_store_close(store);
    store = NULL;
    return code;
}

/* Fields that are larger than the network says: the change outside is measured, and certificates are evaluated by it. */
static void a_leak_is_measured(void **state)
{
    (void)state;
    for (int bent = 0; bent < 2; bent++) {
        pg_forward *forward;
        pg_plan *plan = open_network_plan(&forward);
        pg_audit_row *rows;
        size_t n;
        if (bent)
            forward->info.geometry.rows.field = forward->info.geometry.columns.field = 1;
        if (audit_network(plan, &rows, &n) != PG_OK)
            fail_msg("%s", pg_error_message());
        assert_int_equal(n, 2);
        assert_int_equal(rows[1].level, PG_AUDIT_LOCALITY);
        assert_true(rows[0].certified > 0);
        print_message("delta %lld: %lld of %lld certificates survive\n", (long long)rows[1].delta, (long long)rows[1].certified,
                      (long long)rows[0].certified);
        assert_true(bent ? rows[1].delta > 1 << 10 : rows[1].delta < 1 << 10);
        assert_true(bent ? rows[1].certified < rows[0].certified : rows[1].certified <= rows[0].certified);
        pg_audit_rows_free(rows, n);
        pg_plan_free(plan);
    }
}

static void a_window_that_is_too_small_is_seen(void **state)
{
    (void)state;
    pg_forward *forward;
    pg_plan *plan = open_network_plan(&forward);
    pg_audit_row *rows;
    size_t n;
    pg_window window = pg_plan_at(plan, 0)->window;
    window.width--;
    memcpy((char *)pg_plan_at(plan, 0) + offsetof(pg_cell, window), &window, sizeof window);
    assert_int_equal(audit_network(plan, &rows, &n), PG_EBROKEN);
    assert_non_null(strstr(pg_error_message(), "positions, the window has"));
    assert_int_equal(n, 0); /* not finished, not stored */
    pg_audit_rows_free(rows, n);
    pg_plan_free(plan);
}

static void a_signal_ends_it(void **state)
{
    (void)state;
    expect(program_run(
               "s.db", /* which is there when signals are caught */
               "--quiet audit %s -S null.sleep_us=50000 & p=$!; while [ ! -e '%s' ]; do sleep 0.1; done; kill -INT $p; wait $p",
               scratch_path("m.toml"), scratch_path("s.db")),
           3);
    expect_text("interrupted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_matrix_is_audited),
        cmocka_unit_test(stored_audits_are_printed),
        cmocka_unit_test(tables_show_what_audits_left),
        cmocka_unit_test(stored_audits_set_the_exit_code),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(a_network_is_audited_without_a_matrix),
        cmocka_unit_test(audits_are_stored),
        cmocka_unit_test(bad_input_is_one_error),
        cmocka_unit_test(an_unsound_defense_ends_with_a_witness),
        cmocka_unit_test(a_witness_without_a_file_is_told),
        cmocka_unit_test(refused_images_of_exact_rules_have_to_break),
        cmocka_unit_test(a_network_is_attacked),
        cmocka_unit_test(votes_are_attacked_in_bf16),
        cmocka_unit_test(a_leak_is_measured),
        cmocka_unit_test(a_window_that_is_too_small_is_seen),
        cmocka_unit_test(a_signal_ends_it),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_remove);
}
