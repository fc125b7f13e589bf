/* Defenses of images, from matrix to table: a network of masked images against the same images run one by one, what a run
 * stores, attacks, and the audit of all three levels. On a small network that ships with the program. */
/* Loads libtorch, also under sanitizers. */
#include "defenses/certifier.h"
#include "harness/base/file.h"
#include "harness/data/dataset.h"
#include "harness/target/open.h"
#include "tests/support/program.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>
#include <cmocka.h>

#define ZOO "models/zoo/synthetic-bagnet.safetensors"

static const char matrix[] =
    "[fixed]\ndataset = \"synthetic:test\"\nweights = \"" ZOO "\"\nimages = \"3:9\"\nbatch = 16\npatch = 5\n"
    "\"patchcleanser.masks\" = 2\ndefense = \"patchcleanser\"\n\"lavan.steps\" = 4\n\"lavan.batch\" = 2\n"
    "[axes]\nattack = [\"none\", \"lavan\"]\n";
static const char null_matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:20\"\nbatch = 8\n"
                                  "[axes]\ndefense = [\"mean\", \"patchcleanser\"]\npatch = [3, 5]\n"
                                  "\"patchcleanser.masks\" = [2, 3]\n";

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, strlen(matrix));
    scratch_write("null.toml", null_matrix, strlen(null_matrix));
    return 0;
}

/* ---- The network ---- */

enum { BATCH = 8, IMAGES = 3, CLASSES = 10 };

static void masked_images_are_run_as_images(void **state)
{
    (void)state;
    const pg_defense *defense = pg_defense_find("patchcleanser");
    const char *pair = "masks=2";
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    assert_int_equal(pg_module_configure(&defense->module, "defense", &pair, 1, config), PG_OK);
    pg_network_options options = {.device = "cpu", .batch = BATCH, .threads = 1};
    pg_defended defended = {defense, config, {32, 32, 5, 5}};
    pg_network *network = NULL, *base = NULL;
    pg_dataset *dataset = NULL;
    assert_int_equal(pg_defended_open(&defended, ZOO, NULL, 0, &options, &network), PG_OK);
    assert_int_equal(pg_network_open(ZOO, NULL, 0, &options, &base), PG_OK);
    assert_int_equal(pg_dataset_open("", "synthetic:test", &dataset), PG_OK);
    const pg_geometry *g = &pg_network_info(network)->geometry, *local = &pg_network_info(base)->geometry;
    assert_true(g->rows.positions == 4 && g->columns.positions == 4 && g->rows.wrap && g->columns.wrap &&
                g->classes == CLASSES);
    assert_true(pg_network_base(network) != network && pg_network_base(base) == base);

    static uint8_t pixels[IMAGES][3 * 32 * 32], masked[16][3 * 32 * 32];
    static float logits[IMAGES][16][CLASSES], alone[16][CLASSES], one[1 << 16];
    int32_t labels[IMAGES];
    size_t positions = (size_t)local->rows.positions * (size_t)local->columns.positions;
    assert_true(positions > 1 && positions * CLASSES <= sizeof one / sizeof *one);
    assert_int_equal(pg_dataset_read(dataset, 0, IMAGES, pixels[0], labels), PG_OK);
    assert_int_equal(pg_network_forward(network, pixels[0], 0, IMAGES, logits[0][0]), PG_OK);
    for (int i = 0; i < IMAGES; i++) {
        int run = 0;
        for (int p = 0; p < 16; p++) {
            int like = defense->mask_image(config, &defended.size, p / 4, p % 4, pixels[i], masked[p]);
            for (int c = 0; like != p && c < CLASSES; c++)
                assert_true(logits[i][p][c] == logits[i][like][c]);
            if (like != p)
                continue;
            run++;
            assert_int_equal(pg_network_forward(base, masked[p], 0, 1, one), PG_OK);
            for (int c = 0; c < CLASSES; c++) {
                double sum = 0;
                for (size_t k = 0; k < positions; k++)
                    sum += one[k * CLASSES + (size_t)c];
                assert_true(fabs(sum / (double)positions - logits[i][p][c]) < 1e-4);
            }
        }
        assert_int_equal(run, 10); /* 4 masks: 4 alone and 6 pairs; more than one batch */
        assert_int_equal(pg_network_forward(network, pixels[i], i, 1, alone[0]), PG_OK); /* the company does not matter */
        assert_memory_equal(alone, logits[i], sizeof alone);
    }
    pg_network_set_batch(network, 3); /* where memory ran out */
    assert_int_equal(pg_network_forward(network, pixels[0], 0, 1, alone[0]), PG_OK);
    for (int p = 0; p < 16; p++)
        for (int c = 0; c < CLASSES; c++)
            assert_true(fabsf(alone[p][c] - logits[0][p][c]) < 1e-4f);
    pg_network_close(network);
    pg_network_close(base);
    pg_dataset_close(dataset);
}

/* Counts masked images; stops after `most` passes. */
typedef struct watcher {
    int64_t run, passes;
    int most;
} watcher;

static bool watch(void *context, int64_t run, int64_t passes)
{
    watcher *w = context;
    w->run = run;
    w->passes = passes;
    return --w->most != 0;
}

/* The verdicts of images on the masked images that are wanted are those on all of them, and fewer run. */
static void few_masked_images_say_what_all_say(void **state)
{
    (void)state;
    enum { MANY = 48, MAP = 81, LABELS = 10 };
    const pg_defense *defense = pg_defense_find("patchcleanser");
    const char *pairs[] = {"masks=3", "pairs=certificate"};
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    static uint8_t pixels[MANY][3 * 32 * 32];
    static float few[MAP * LABELS], all[MAP * LABELS];
    int32_t labels[MANY];
    pg_network *network = NULL;
    pg_dataset *dataset = NULL;
    pg_certifier *certifier = NULL;
    assert_int_equal(pg_module_configure(&defense->module, "defense", pairs, 2, config), PG_OK);
    pg_defended defended = {defense, config, {32, 32, 5, 5}};
    assert_int_equal(
        pg_defended_open(&defended, ZOO, NULL, 0, &(pg_network_options){.device = "cpu", .batch = 16, .threads = 1}, &network),
        PG_OK);
    assert_int_equal(pg_dataset_open("", "synthetic:test", &dataset), PG_OK);
    assert_int_equal(pg_dataset_read(dataset, 0, MANY, pixels[0], labels), PG_OK);
    pg_job job = {.defense = defense, .config = config, .window = {8, 8}};
    assert_int_equal(pg_certifier_new(&job, 1, 9, 9, LABELS, true, true, &certifier), PG_OK);
    int64_t certified = 0, refuted = 0, run[3] = {0};
    watcher w = {0};
    pg_network_watch(network, watch, &w);
    for (int i = 0; i < MANY; i++) {
        pg_verdict of_all, of_few, of_prediction;
        assert_int_equal(pg_network_forward(network, pixels[i], i, 1, all), PG_OK);
        pg_certifier_image_f32(certifier, all, labels[i], &of_all);
        assert_int_equal(w.run, 45);
        assert_int_equal(w.passes, 45);
        assert_int_equal(pg_network_forward_wanted(network, pixels[i], i, 1, &labels[i], few), PG_OK);
        pg_certifier_image_f32(certifier, few, labels[i], &of_few);
        run[of_all.certified] += w.run;
        assert_true(of_few.prediction == of_all.prediction && of_few.certified == of_all.certified);
        assert_int_equal(of_few.has_margin, of_few.certified);
        assert_true(!of_few.certified || llabs(of_few.margin - of_all.margin) < 256);
        assert_int_equal(pg_network_forward_wanted(network, pixels[i], i, 1, NULL, few), PG_OK);
        pg_certifier_image_f32(certifier, few, labels[i], &of_prediction);
        run[2] += w.run;
        assert_int_equal(of_prediction.prediction, of_all.prediction);
        certified += of_all.certified;
        refuted += !of_all.certified;
    }
    assert_true(certified > 0 && refuted > 0);
    assert_int_equal(run[1], 45 * certified);
    assert_true(run[0] < 30 * refuted && run[2] < 30 * MANY);
    w.most = 2; /* 45 masked images are three passes of 15 */
    assert_int_equal(pg_network_forward(network, pixels[0], 0, 1, all), PG_EINTERRUPTED);
    assert_int_equal(w.run, 30);
    w.most = 3;
    assert_int_equal(pg_network_forward(network, pixels[0], 0, 1, all), PG_OK); /* nothing is left */
    assert_int_equal(w.run, 45);
    pg_certifier_free(certifier);
    pg_network_close(network);
    pg_dataset_close(dataset);
}

/* ---- Runs ---- */

static void expect_run(const char *db, const char *name, const char *more)
{
    int code = program_run(db, "run %s --device cpu --threads 1 --quiet %s", scratch_path(name), more);
    if (code != 0)
        fail_msg("%d: %s", code, program_output);
}

/* One line an outcome. */
static char *outcomes(const char *db, const char *where)
{
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    char sql[512];
    pg_buf text;
    pg_buf_init(&text);
    snprintf(
        sql, sizeof sql,
        "SELECT c.cell_id, o.image, o.prediction, o.certified, o.margin, o.attacked FROM outcome o JOIN cell c ON c.cell = "
        "o.cell %s ORDER BY 1, 2",
        where);
    assert_int_equal(sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(file, sql, -1, &row, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(file));
    while (sqlite3_step(row) == SQLITE_ROW) {
        for (int i = 0; i < 6; i++) {
            const char *value = (const char *)sqlite3_column_text(row, i);
            pg_buf_printf(&text, "%s ", value ? value : "-");
        }
        pg_buf_puts(&text, "\n");
    }
    sqlite3_finalize(row);
    sqlite3_close(file);
    return pg_buf_take(&text);
}

static size_t lines_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* However it is cut into tasks; with an attack or without one the clean half is the same. */
static void runs_end_alike(void **state)
{
    (void)state;
    expect_run("whole.db", "m.toml", "");
    expect_run("cut.db", "m.toml", "--task-images 2 -j 2");
    char *whole = outcomes("whole.db", ""), *cut = outcomes("cut.db", "");
    assert_int_equal(lines_of(whole), 12);
    assert_string_equal(whole, cut);
    assert_int_equal(program_run("whole.db", "table %s --rows attack -f csv", scratch_path("m.toml")), 0);
    const char *none = strstr(program_output, "none,"), *lavan = strstr(program_output, "lavan,");
    assert_true(none && lavan);
    assert_non_null(strstr(program_output, "under attack"));
    free(whole);
    free(cut);
}

/* A measurement of receptive fields says nothing of a copy, which is seen whole. */
static void locality_of_masked_images_is_not_measured(void **state)
{
    (void)state;
    static const char note[] = "locality not measured for synthetic-bagnet";
    const char *arguments = "-S attack=none -S batch=128 -S images=0:2";
    assert_int_equal(program_run("measured.db", "run %s %s", scratch_path("m.toml"), arguments), 0);
    assert_int_equal(program_run("measured.db", "table %s %s", scratch_path("m.toml"), arguments), 0);
    assert_non_null(strstr(program_output, note));
    assert_int_equal(program_run("measured.db", "run %s %s -S defense=mean", scratch_path("m.toml"), arguments), 0);
    assert_int_equal(program_run("measured.db", "table %s %s -S defense=mean", scratch_path("m.toml"), arguments), 0);
    assert_null(strstr(program_output, "locality not measured"));
}

/* Cells of one matrix with several masks and patches have passes of their own; those of features share one. */
static void passes_are_told_apart(void **state)
{
    (void)state;
    expect_run("null.db", "null.toml", "");
    expect_run("cut.null.db", "null.toml", "--task-images 3");
    char *whole = outcomes("null.db", ""), *cut = outcomes("cut.null.db", "");
    assert_int_equal(lines_of(whole), 6 * 20); /* mean has one cell a patch, whatever the masks */
    assert_string_equal(whole, cut);
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_open_v2(scratch_path("null.db"), &file, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(file, "SELECT count(*) FROM forward", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(row, 0), 5);
    sqlite3_finalize(row);
    sqlite3_close(file);
    free(whole);
    free(cut);
}

static void audits_find_nothing(void **state)
{
    (void)state;
    int code = program_run("audit.db", "audit %s --threads 1 --attack lavan --set attack.steps=3 --tries 40 --random 4 -f csv",
                           scratch_path("m.toml"));
    if (code != 0)
        fail_msg("%d: %s", code, program_output);
    static const char *const levels[] = {",feature,", ",locality,", ",pixel,"};
    for (size_t i = 0; i < 3; i++)
        assert_non_null(strstr(program_output, levels[i]));
}

static void bad_wishes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(program_run("bad.db", "run %s -S patch=32 --quiet", scratch_path("m.toml")), 2);
    assert_non_null(strstr(program_output, "leaves room for 1 mask on an image of 32x32; at least 3 are needed"));
    assert_int_equal(program_run("bad.db", "run %s -S patchcleanser.masks=1 --quiet", scratch_path("m.toml")), 2);
    assert_int_equal(pg_file_size(scratch_path("bad.db")), -1);
}

static void an_attack_is_drawn(void **state)
{
    (void)state;
    int code = program_run("a.db",
                           "attack --weights " ZOO " --dataset synthetic:test --images 0:3 --patch 5 --attack lavan "
                           "--defense patchcleanser --set masks=2 --set steps=3 --threads 1 -o %s",
                           scratch_path("attacked"));
    if (code != 0)
        fail_msg("%d: %s", code, program_output);
    assert_true(pg_file_size(scratch_path("attacked/results.csv")) > 100);
    assert_true(pg_file_size(scratch_path("attacked/sheet.png")) > 1000);
    char *meta;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path("attacked/meta.json"), 1 << 20, &meta, &size), PG_OK);
    assert_non_null(strstr(meta, "\"delta\": null"));
    free(meta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_images_are_run_as_images),
        cmocka_unit_test(few_masked_images_say_what_all_say),
        cmocka_unit_test(runs_end_alike),
        cmocka_unit_test(locality_of_masked_images_is_not_measured),
        cmocka_unit_test(passes_are_told_apart),
        cmocka_unit_test(audits_find_nothing),
        cmocka_unit_test(bad_wishes_are_refused),
        cmocka_unit_test(an_attack_is_drawn),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
