/* Matrix files to cells: order of rows, zip, exclude, overrides; identity; what is reported for a bad file; reasons. */
#include "harness/base/file.h"
#include "harness/plan/tasks.h"
#include "tests/support/matrix.h"

/* The cells as "defense/patch/threshold/seed ..." in the order of rows. */
static void expect_rows(const char *text, const char *const *overrides, const char *want)
{
    pg_plan *plan = must_open(text, overrides);
    pg_buf rows;
    pg_buf_init(&rows);
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_cell *c = pg_plan_at(plan, i);
        pg_buf_printf(&rows, "%s%s/%s/%s/%s", i ? " " : "", pg_cell_value(c, "defense"), pg_cell_value(c, "patch"),
                      pg_cell_value(c, "threshold"), pg_cell_value(c, "seed"));
        assert_ptr_equal(pg_plan_find(plan, c->id), c);
    }
    assert_string_equal(rows.data, want);
    pg_buf_release(&rows);
    pg_plan_free(plan);
}

/* ---- Rows ---- */

static void test_order_of_rows(void **state)
{
    (void)state;
    expect_rows(HEAD "[axes]\ndefense = [\"mean\", \"ds\"]\npatch = [2, 5]\n", NULL, "mean/2//0 mean/5//0 ds/2//0 ds/5//0");
    expect_rows(HEAD "[axes]\npatch = [5, 2]\ndefense = [\"mean\", \"ds\"]\n", NULL, "mean/5//0 ds/5//0 mean/2//0 ds/2//0");
}

static void test_options_of_others_make_no_duplicates(void **state)
{
    (void)state;
    expect_rows(HEAD "[axes]\ndefense = [\"mean\", \"robust-masking\"]\npatch = [2]\n\"robust-masking.threshold\" = [0, 0.2, "
                     "0.20, \"0.4\"]\n",
                NULL, "mean/2//0 robust-masking/2/0/0 robust-masking/2/0.2/0 robust-masking/2/0.4/0");
    expect_rows(HEAD "[axes]\ndefense = [\"robust-masking\"]\npatch = [2]\nrobust-masking.threshold = [0, 0.2]\n", NULL,
                "robust-masking/2/0/0 robust-masking/2/0.2/0");
}

static void test_zip(void **state)
{
    (void)state;
    expect_rows(HEAD "[axes]\ndefense = [\"mean\", \"ds\"]\n[[zip]]\npatch = [2, 5, 8]\nseed = [1, 2, 3]\n", NULL,
                "mean/2//1 mean/5//2 mean/8//3 ds/2//1 ds/5//2 ds/8//3");
    expect_rows(HEAD "[[zip]]\npatch = [2, 5]\nseed = [1, 2]\n[[zip]]\ndefense = [\"mean\", \"robust-masking\"]\n"
                     "\"robust-masking.threshold\" = [0, 0.5]\n",
                NULL, "mean/2//1 robust-masking/2/0.5/1 mean/5//2 robust-masking/5/0.5/2");
}

static void test_exclude(void **state)
{
    (void)state;
    static const char text[] = HEAD "[axes]\ndefense = [\"mean\", \"ds\", \"robust-masking\"]\npatch = [2, 5, \"2.4%\", 8]\n"
                                    "\"robust-masking.threshold\" = [0, 0.2]\n"
                                    "[[exclude]]\ndefense = \"mean\"\npatch = [2, \"2.4%\"]\n"
                                    "[[exclude]]\n\"robust-masking.threshold\" = \"0.20\"\n[[exclude]]\npatch = 8\n";
    expect_rows(text, NULL, "mean/5//0 ds/2//0 ds/5//0 robust-masking/2/0/0 robust-masking/5/0/0");
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(HEAD "[axes]\ndefense = [\"mean\"]\npatch = [2]\n[[exclude]]\npatch = 2\n", NULL, &plan),
                     PG_EINPUT);
    assert_non_null(strstr(problems, "no rows"));
}

/* Rules that match nothing are problems; -S does not make them of rules that match the file. */
static void test_excludes_that_match_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *message;
    } cases[] = {
        {"defense = \"robust-maskin\"\n", "m.toml:8: [[exclude]]: the matrix has no defense \"robust-maskin\"; did you mean "
                                          "\"robust-masking\"?"},
        {"patch = 77\n", "m.toml:8: [[exclude]]: the matrix has no patch \"77\""},
        {"patch = [2, 77]\n", "m.toml:8: [[exclude]]: the matrix has no patch \"77\""},
        {"patch = []\n", "m.toml:8: [[exclude]]: \"patch\" is an empty list"},
        {"", "m.toml:7: [[exclude]] is empty"},
        {"defence = \"ds\"\n", "m.toml:8: [[exclude]] names \"defence\", which the matrix does not set; did you mean"},
    };
    pg_plan *plan = NULL;
    char text[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, HEAD "[axes]\ndefense = [\"ds\", \"robust-masking\"]\npatch = [2, 5]\n[[exclude]]\n%s",
                 cases[i].rule);
        assert_int_equal(open_matrix(text, NULL, &plan), PG_EINPUT);
        if (!strstr(problems, cases[i].message))
            fail_msg("%s", problems);
    }
    expect_rows(HEAD "[axes]\ndefense = [\"ds\", \"mean\"]\npatch = [2, 5]\n[[exclude]]\ndefense = \"mean\"\npatch = 5\n",
                (const char *[]){"defense=ds", "patch=8", NULL}, "ds/8//0");
}

/* What a rule cannot do on maps of this size is found before anything runs. */
static void test_options_that_do_not_fit_the_map(void **state)
{
    (void)state;
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(HEAD "defense = \"trimmed-mean\"\npatch = 2\ntrimmed-mean.trim = 18\n", NULL, &plan),
                     PG_EINPUT);
    if (!strstr(problems, "m.toml:4: defense trimmed-mean on null: trim=18 drops all of the 36 positions"))
        fail_msg("%s", problems);
    expect_rows(HEAD "defense = \"trimmed-mean\"\npatch = 2\ntrimmed-mean.trim = 17\n", NULL, "trimmed-mean/2//0");
}

static void test_the_page_example(void **state)
{
    (void)state;
    static const char text[] =
        "name = \"threshold\"\n" HEAD
        "[axes]\ndefense = [\"mean\", \"ds\", \"robust-masking\"]\npatch = [2, 5, \"5x8\", \"2.4%\"]\n"
        "\"robust-masking.threshold\" = [0, 0.2, 0.4]\n[[zip]]\n\"clip.clip\" = [\"0:15\", \"0:5\"]\nseed = [1, 2]\n"
        "[[exclude]]\ndefense = \"mean\"\npatch = \"2.4%\"\n";
    pg_plan *plan = must_open(text, NULL);
    assert_string_equal(pg_plan_name(plan), "threshold");
    assert_int_equal(pg_plan_count(plan), (1 + 1 + 3) * 3 * 2); /* 2.4% of 32 px is 5: the same cells */
    assert_int_equal(pg_plan_axes(plan), 5);
    assert_string_equal(pg_plan_axis(plan, 0), "defense");
    assert_string_equal(pg_plan_axis(plan, 2), "robust-masking.threshold");
    assert_string_equal(pg_plan_axis(plan, 4), "seed");
    pg_plan_free(plan);
}

static void test_overrides(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "defense = \"mean\"\n[axes]\npatch = [2, 5]\n[[zip]]\nseed = [1, 2]\nattacker = [\"input\", \"network\"]\n";
    expect_rows(text, (const char *[]){"patch=8", NULL}, "mean/8//1 mean/8//2");
    expect_rows(text, (const char *[]){"patch=8", "defense=ds,mean", "seed=4,5", NULL}, "ds/8//4 ds/8//5 mean/8//4 mean/8//5");
    expect_rows(text, (const char *[]){"patch=8", "seed=7", NULL}, "mean/8//7 mean/8//7");
    expect_rows(text, (const char *[]){"patch=8", "seed=7", "attacker=input", NULL}, "mean/8//7");
    expect_rows(text, (const char *[]){"images=0:10,10:20", "patch=8", NULL}, "mean/8//1 mean/8//1 mean/8//2 mean/8//2");
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(text, (const char *[]){"patch=8,x", NULL}, &plan), PG_EINPUT);
    assert_non_null(strstr(problems, "-S patch: patch \"x\""));
    assert_int_equal(open_matrix(text, (const char *[]){"seed=1,2,3", NULL}, &plan), PG_EINPUT);
    assert_non_null(strstr(problems, "-S seed: 3 values"));
    assert_int_equal(open_matrix(text, (const char *[]){"pach=1", NULL}, &plan), PG_EINPUT);
    assert_non_null(strstr(problems, "did you mean \"patch\""));
    assert_int_equal(open_matrix(text, (const char *[]){"patch", NULL}, &plan), PG_EUSAGE);
    assert_int_equal(open_matrix(text, (const char *[]){"patch=2", "seed=1", "patch=5", NULL}, &plan), PG_EUSAGE);
    assert_non_null(strstr(pg_error_message(), "given twice"));
    expect_rows(text, (const char *[]){"patch=8", "seed=7", "attacker=input", "images=0:10", NULL}, "mean/8//7");
}

/* ---- Patch sizes ---- */

static void test_shares_of_the_paper(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int image, side;
    } cases[] = {{"0.4%", 32, 2},  {"2.4%", 32, 5},      {"6.2%", 32, 8},    {"1%", 224, 23},   {"2%", 224, 32},
                 {"3%", 224, 39},  {"0.4%", 192, 12},    {"2.4%", 192, 30},  {"6.2%", 192, 48}, {"2%", 299, 42},
                 {"100%", 32, 32}, {"0.000001%", 32, 1}, {"12.5%", 224, 79}, {"2.4%", 224, 35}, {"12.5%", 66, 23}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int h = 0, w = 0;
        assert_int_equal(pg_patch_parse(cases[i].text, cases[i].image, cases[i].image, &h, &w), PG_OK);
        assert_int_equal(h, cases[i].side);
        assert_int_equal(w, cases[i].side);
    }
    /* steps of 0.5%, by counting: never smaller than the largest square within the share */
    for (int side = 1; side <= 512; side++)
        for (int half = 1; half <= 200; half++) {
            char text[16];
            int got[2], within = 0, near = 1;
            snprintf(text, sizeof text, "%d.%d%%", half / 2, half % 2 * 5);
            int64_t pixels = (int64_t)side * side * half; /* share times 200 */
            while ((int64_t)(within + 1) * (within + 1) * 200 <= pixels)
                within++;
            while ((int64_t)near * near * 200 * 100 < 97 * pixels)
                near++;
            assert_int_equal(pg_patch_parse(text, side, side, &got[0], &got[1]), PG_OK);
            assert_int_equal(got[0], within > near ? within : near);
            assert_int_equal(got[1], got[0]);
            if (side < 67)
                assert_int_equal(got[0], near); /* what it was before: cells keep their ids */
        }
    int h = 0, w = 0;
    assert_int_equal(pg_patch_parse("5x8", 32, 32, &h, &w), PG_OK);
    assert_int_equal(h, 5);
    assert_int_equal(w, 8);
    static const char *const bad[] = {"",     "0", "x",  "5x",   "-1",    "5.5",  "0%",
                                      "101%", "%", "33", "5x33", "2.4 %", "1e1%", "0.1234567%"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pg_patch_parse(bad[i], 32, 32, &h, &w) != PG_EINPUT)
            fail_msg("\"%s\" was taken as %d x %d", bad[i], h, w);
}

/* What a table printed for 12.5% of 224 px had an attack within 12.5%: 79x79 pixels, which are now what it is about. Shares say
 * their pixels, of one size and of two. */
static void test_shares_hold_for_all_of_them(void **state)
{
    (void)state;
    pg_plan *plan =
        must_open("[fixed]\nweights = \"null\"\nimages = \"0:10\"\ndefense = \"mean\"\nnull.height = 1\nnull.width = "
                  "224\nnull.field = 25\nnull.stride = 1\nnull.wrap = \"w\"\n"
                  "null.input_height = 224\nnull.input_width = 224\ndataset = \"synthetic:test@224\"\nattacker = \"network\"\n"
                  "[axes]\npatch = [\"12.5%\", 79, 78]\n",
                  NULL);
    assert_int_equal(pg_plan_count(plan), 2); /* the first two are one */
    assert_int_equal(pg_plan_at(plan, 0)->patch_height, 79);
    assert_int_equal(pg_plan_at(plan, 1)->patch_height, 78);
    pg_buf text;
    pg_buf_init(&text);
    pg_patch_add(plan, pg_plan_at(plan, 0), &text);
    assert_string_equal(text.data, "12.5% = 79x79 px");
    pg_buf_clear(&text);
    pg_patch_add(plan, pg_plan_at(plan, 1), &text);
    assert_string_equal(text.data, "78");
    pg_plan_free(plan);
    plan = must_open(
        "[fixed]\nweights = \"null\"\nimages = \"0:10\"\ndefense = \"mean\"\npatch = \"2.4%\"\nattacker = \"network\"\n"
        "[[zip]]\ndataset = [\"synthetic:test\", \"synthetic:test@64\"]\nnull.input_height = [32, 64]\n"
        "null.input_width = [32, 64]\n",
        NULL);
    pg_buf_clear(&text);
    pg_patch_add(plan, pg_plan_at(plan, 1), &text);
    assert_string_equal(text.data, "2.4% = 5x5 or 10x10 px");
    pg_buf_clear(&text);
    pg_patch_add(NULL, pg_plan_at(plan, 1), &text);
    assert_string_equal(text.data, "2.4% = 10x10 px");
    pg_buf_release(&text);
    pg_plan_free(plan);
}

/* A geometry whose fields lie beside the image: certificates for a window of no positions would say nothing. */
static void test_a_window_of_nothing_is_refused(void **state)
{
    (void)state;
    pg_geometry g = {.input_height = 32,
                     .input_width = 32,
                     .rows = {.positions = 4, .field = 3, .stride = 1, .padding = 3},
                     .columns = {.positions = 4, .field = 3, .stride = 1, .padding = 40},
                     .classes = 2};
    pg_defended d = {.defense = pg_defense_find("mean"), .size = {32, 32, 5, 5}};
    pg_window window;
    assert_int_equal(pg_defended_map(&d, &g, &window), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "no position of the 4x4 map sees a patch of 5x5 px"));
    g.columns.padding = 0;
    assert_int_equal(pg_defended_map(&d, &g, &window), PG_OK);
}

static void test_windows(void **state)
{
    (void)state;
    pg_plan *plan = must_open(
        HEAD "defense = \"ds\"\nnull.height = 1\nnull.width = 32\nnull.field = 4\nnull.stride = 1\nnull.wrap = \"w\"\n"
             "[axes]\npatch = [2, 5, 8, \"5x8\", \"8x5\"]\n",
        NULL);
    static const char *const windows[] = {"1x5", "1x8", "1x11", "1x11", "1x8"};
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(pg_cell_value(pg_plan_at(plan, i), "window"), windows[i]);
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 0), "locality"), "measured");
    pg_plan_free(plan);
}

/* ---- Identity ---- */

static const char *weights_matrix(const char *file, const char *rest)
{
    static char text[2048];
    snprintf(text, sizeof text, "[fixed]\ndataset = \"synthetic:test\"\nweights = \"%s\"\n%s", scratch_path(file), rest);
    return text;
}

static void test_identity(void **state)
{
    (void)state;
    static const char *const same[] = {
        "patch = 5\nrobust-masking.threshold = 0.20\n",
        "\"robust-masking.threshold\" = \"0.2\"\npatch = \"5x5\"\n",
        "patch = \"2.4%\"\nrobust-masking.threshold = 0.2\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nrobust-masking.scope = \"per-class\"\nrobust-masking.feature = "
        "\"logits\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nattack = \"none\"\nattacker = \"input\"\nseed = 0\ndtype = \"fp32\"\nbatch "
        "= 128\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nimages = \"0:2000\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nclip.clip = \"0:7\"\nmedian.feature = \"confidence\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nnull.seed = 0\nnull.sleep_us = 7\n",
    };
    static const char *const other[] = {
        "patch = 5\n",
        "patch = 4\nrobust-masking.threshold = 0.2\n",
        "patch = 5\nrobust-masking.threshold = 0.200001\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nseed = 1\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nbatch = 64\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nattacker = \"network\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nimages = \"0:1999\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nnull.seed = 1\n",
        "patch = 5\nrobust-masking.threshold = 0.2\nrobust-masking.scope = \"predicted\"\n",
        "patch = 5\nrobust-masking.threshold = 0.2\ndtype = \"bf16\"\n",
    };
    char text[1024], first[PG_HASH_HEX], id[PG_HASH_HEX];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        snprintf(text, sizeof text, HEAD "defense = \"robust-masking\"\n%s", same[i]);
        id_of(text, id);
        if (i == 0)
            memcpy(first, id, sizeof first);
        assert_string_equal(id, first);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        snprintf(text, sizeof text, HEAD "defense = \"robust-masking\"\n%s", other[i]);
        id_of(text, id);
        if (strcmp(id, first) == 0)
            fail_msg("the same id for\n%s", other[i]);
    }
}

/* The canonical form is a promise: old results are found by it. */
static void test_canonical_form(void **state)
{
    (void)state;
    pg_plan *plan = must_open(HEAD "defense = \"ds\"\npatch = \"5x8\"\nimages = \"10:20\"\n", NULL);
    const pg_cell *c = pg_plan_at(plan, 0);
    char id[PG_HASH_HEX];
    assert_int_equal(pg_hash_bytes(c->canonical, strlen(c->canonical), id), PG_OK);
    assert_string_equal(id, c->id);
    static const char *const lines[] = {
        "attack=none\n",    "\nattacker=input\n",     "\nbatch=128\n",    "\ncell=1\n",
        "\ndataset.hash=",  "\ndataset.split=test\n", "\ndefense=ds\n",   "\ndefense.version=1\n",
        "\nds.rule=",       "\ndtype=fp32\n",         "\nimages=10:20\n", "\nmodel=null\n",
        "\nmodel.seed=0\n", "\npatch=5x8\n",          "\nseed=0\n",       "\nweights.hash="};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(c->canonical, lines[i]))
            fail_msg("%s is not in\n%s", lines[i], c->canonical);
    assert_null(strstr(c->canonical, "synthetic"));
    for (const char *line = c->canonical, *next; (next = strchr(line, '\n')) && next[1]; line = next + 1)
        assert_true(strncmp(line, next + 1, strcspn(line, "\n") + 1) < 0); /* sorted, none twice */
    pg_plan_free(plan);
}

static void test_weights_by_content(void **state)
{
    (void)state;
    char first[PG_HASH_HEX], id[PG_HASH_HEX];
    write_weights("a.safetensors", "train");
    id_of(weights_matrix("a.safetensors", "defense = \"mean\"\npatch = 5\n"), first);
    assert_int_equal(rename(scratch_path("a.safetensors"), scratch_path("b c.safetensors")), 0);
    id_of(weights_matrix("b c.safetensors", "defense = \"mean\"\npatch = 5\n"), id);
    assert_string_equal(id, first);
    write_weights("b c.safetensors", "train --epochs 2");
    id_of(weights_matrix("b c.safetensors", "defense = \"mean\"\npatch = 5\n"), id);
    assert_string_not_equal(id, first);
    pg_plan *plan = must_open(weights_matrix("b c.safetensors", "defense = \"mean\"\npatch = 5\n"), NULL);
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 0), "locality"), "no position outside");
    assert_false(pg_plan_at(plan, 0)->has_delta);
    pg_plan_free(plan);
    /* two names of one content share cells and forward passes */
    char both[2048];
    write_weights("a.safetensors", "train --epochs 2");
    snprintf(both, sizeof both,
             "[fixed]\ndataset = \"synthetic:test\"\npatch = 5\ndefense = \"mean\"\n[axes]\nweights = [\"%s\", \"%s\"]\n",
             scratch_path("a.safetensors"), scratch_path("b c.safetensors"));
    id_of(both, first);
    assert_string_equal(id, first);
}

/* A measured locality becomes that of the evidence each defense reads, and is told apart from none. */
static void test_locality(void **state)
{
    (void)state;
    write_weights_of("ds-resnet18", "width=4", "l.safetensors", "", "3:1000:fp32:cpu:128");
    pg_plan *plan = must_open(weights_matrix("l.safetensors", "patch = 5\n[axes]\ndefense = [\"mean\"]\n"
                                                              "mean.feature = [\"logits\", \"confidence\", \"prediction\"]\n"),
                              NULL);
    static const int64_t want[] = {3, 4, 1 << 20};
    assert_int_equal(pg_plan_count(plan), 3);
    for (size_t i = 0; i < 3; i++) {
        const pg_cell *c = pg_plan_at(plan, i);
        assert_true(c->has_delta);
        assert_int_equal(c->delta, want[i]);
        assert_int_equal(c->logit_delta, 3);
        assert_string_equal(pg_cell_value(c, "delta.logits"), "3");
        assert_true((strstr(c->canonical, "votes=sure\n") != NULL) ==
                    (i == 2)); /* what only these cells certify otherwise than once */
        assert_string_equal(pg_cell_value(c, "locality"), "measured");
    }
    pg_plan_free(plan);
    /* measured for forward passes of 128 images in fp32, not for others */
    plan = must_open(weights_matrix("l.safetensors", "defense = \"mean\"\npatch = 5\n[axes]\nbatch = [128, 64]\n"), NULL);
    assert_true(pg_plan_at(plan, 0)->has_delta);
    assert_false(pg_plan_at(plan, 1)->has_delta);
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 1), "locality"), "not measured");
    assert_int_equal(pg_plan_at(plan, 1)->logit_delta, 0);
    pg_plan_free(plan);
}

static void write_measured(const char *weights, const char *lines)
{
    char path[512], text[2048];
    pg_weights_info info;
    snprintf(path, sizeof path, "%.480s.locality", scratch_path(weights));
    unlink(path);
    assert_int_equal(pg_weights_describe(scratch_path(weights), NULL, 0, &info), PG_OK);
    snprintf(text, sizeof text, "patchgauge.locality 1\nsha256=%s\n%s", info.hash, lines);
    assert_int_equal(pg_file_write(path, text, strlen(text)), PG_OK);
}

static void expect_refusal(const char *matrix, const char *said)
{
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(matrix, NULL, &plan), PG_EINPUT);
    if (!strstr(problems, said))
        fail_msg("%s", problems);
}

static void ids_of(const char *matrix, char ids[2][PG_HASH_HEX])
{
    pg_plan *plan = must_open(matrix, NULL);
    assert_int_equal(pg_plan_count(plan), 2);
    for (size_t i = 0; i < 2; i++)
        memcpy(ids[i], pg_plan_at(plan, i)->id, PG_HASH_HEX);
    pg_plan_free(plan);
}

/* What is measured later stands beside the weights. It leaves ids as they are, unless it found more than the weights say. */
static void test_measured_again(void **state)
{
    (void)state;
    char matrix[2048], before[2][PG_HASH_HEX], after[2][PG_HASH_HEX];
    write_weights_of("ds-resnet18", "width=4", "m.safetensors", "", "3:1000:fp32:cpu:128");
    snprintf(matrix, sizeof matrix, "%s",
             weights_matrix("m.safetensors", "defense = \"mean\"\npatch = 5\n[axes]\nbatch = [128, 64]\n"));
    ids_of(matrix, before);
    write_measured("m.safetensors", "delta=3 trials=8 outside=8 dtype=fp32 device=cpu isa=avx2 batch=128\n");
    ids_of(matrix, after);
    assert_string_equal(before[0], after[0]);
    assert_string_equal(before[1], after[1]);
    write_measured("m.safetensors",
                   "delta=4 trials=8 outside=8 dtype=fp32 device=cpu isa=avx2 batch=128\n"
                   "delta=0 trials=8 outside=0 dtype=fp32 device=cpu isa=avx2 batch=64\n"); /* no position outside: nothing */
    ids_of(matrix, after);
    assert_string_not_equal(before[0], after[0]);
    assert_string_equal(before[1], after[1]);
    pg_plan *plan = must_open(matrix, NULL);
    assert_non_null(strstr(pg_plan_at(plan, 0)->canonical, "\ndelta=place:4\n"));
    assert_null(
        strstr(pg_plan_at(plan, 0)->settings, "delta")); /* so that the one before is a stale one of the same settings */
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 0), "locality.on"), "cpu, cpu avx2");
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 1), "locality"), "no position outside");
    assert_string_equal(pg_cell_value(pg_plan_at(plan, 1), "delta"), "place");
    pg_plan_free(plan);
}

static void test_any_batch(void **state)
{
    (void)state;
    char matrix[2048], place[2][PG_HASH_HEX], first[2][PG_HASH_HEX], second[2][PG_HASH_HEX];
    static const char axes[] = "patch = 5\n[axes]\ndefense = [\"mean\", \"clip\"]\n";
    write_weights_of("ds-resnet18", "width=4", "n.safetensors", "", "3:1000:fp32:cpu:128");
    ids_of(weights_matrix("n.safetensors", axes), place);
    snprintf(matrix, sizeof matrix, "%s",
             weights_matrix("n.safetensors", "delta = \"any-batch\"\npatch = 5\n[axes]\ndefense = [\"mean\", \"clip\"]\n"));
    expect_refusal(matrix, "was not measured for fp32 in batches of 128; `patchgauge model measure` does so");
    write_measured("n.safetensors", "delta=1 trials=8 outside=8 elsewhere=5 moved=170 images=128 batches=1,16,64,128 "
                                    "dtype=fp32 device=cpu isa=avx2 batch=128\n");
    ids_of(matrix, first);
    assert_string_not_equal(first[0], place[0]);
    pg_plan *plan = must_open(matrix, NULL);
    const pg_cell *c = pg_plan_at(plan, 0);
    assert_true(c->any_batch && c->has_delta && c->delta == 175);
    assert_non_null(strstr(c->canonical, "\ndelta=any-batch:175\n"));
    assert_non_null(strstr(c->settings, "\ndelta=any-batch\n"));
    assert_string_equal(pg_cell_value(c, "delta"), "any-batch");
    assert_string_equal(pg_cell_value(c, "locality.on"), "cpu avx2");
    /* both kinds share the pass of the network */
    pg_plan *other = must_open(weights_matrix("n.safetensors", axes), NULL);
    assert_string_equal(pg_plan_at(other, 0)->forward->id, c->forward->id);
    assert_string_equal(pg_plan_at(other, 0)->id, place[0]);
    pg_plan_free(other);
    pg_plan_free(plan);
    /* the value is part of what such a cell is */
    write_measured("n.safetensors", "delta=1 trials=8 outside=8 elsewhere=5 moved=171 images=128 batches=1,16,64,128 "
                                    "dtype=fp32 device=cpu isa=avx2 batch=128\n");
    ids_of(matrix, second);
    assert_string_not_equal(first[0], second[0]);
    /* copies of an image are another matter, but for a model that computes each image on its own */
    expect_refusal(weights_matrix("n.safetensors", "delta = \"any-batch\"\ndefense = \"patchcleanser\"\npatch = 5\n"),
                   "says nothing of the copies");
    expect_refusal(weights_matrix("n.safetensors", "delta = \"any\"\ndefense = \"mean\"\npatch = 5\n"),
                   "is none of place, any-batch");
}

/* ---- Problems ---- */

static void test_all_problems_with_lines(void **state)
{
    (void)state;
    static const char text[] = "[fixed]\n"                             /* 1 */
                               "dataset = \"synthetic:tst\"\n"         /* 2 */
                               "weights = \"nowhere.safetensors\"\n"   /* 3 */
                               "bach = 64\n"                           /* 4 */
                               "batch = 0\n"                           /* 5 */
                               "images = [\"0:1\"]\n"                  /* 6 */
                               "[axis]\n"                              /* 7 */
                               "seed = [1]\n"                          /* 8 */
                               "[axes]\n"                              /* 9 */
                               "defense = [\"mean\", \"clap\"]\n"      /* 10 */
                               "patch = [0,\n"                         /* 11 */
                               "  \"120%\"]\n"                         /* 12 */
                               "\"robust-masking.treshold\" = [0]\n"   /* 13 */
                               "\"robust-masking.threshold\" = [0,\n"  /* 14 */
                               "  7,\n"                                /* 15 */
                               "  0.12345678]\n"                       /* 16 */
                               "\"robust-maskin.threshold\" = 1\n"     /* 17 */
                               "dtype = \"fp16\"\n"                    /* 18 */
                               "attack = \"lavann\"\n"                 /* 19 */
                               "attacker = [\"inptu\"]\n"              /* 20 */
                               "ds.theta = []\n"                       /* 21 */
                               "[[zip]]\n"                             /* 22 */
                               "\"clip.clip\" = [\"0:15\", \"5:0\"]\n" /* 23 */
                               "\"clip.feature\" = [\"logits\"]\n"     /* 24 */
                               "[[exclude]]\n"                         /* 25 */
                               "defence = \"mean\"\n";                 /* 26 */
    static const char *const want[] = {":2: data set synthetic has no split 'tst'",
                                       ":3: nowhere.safetensors",
                                       ":4: unknown key \"bach\", did you mean \"batch\"",
                                       ":5: batch \"0\"",
                                       ":6: \"images\" is a list",
                                       ":8: unknown section \"axis\", did you mean \"axes\"",
                                       ":10: unknown defense 'clap'",
                                       ":11: patch \"0\"",
                                       ":12: patch \"120%\"",
                                       ":13: defense robust-masking: unknown option 'treshold'",
                                       ":15: defense robust-masking: option threshold=7",
                                       ":16: defense robust-masking: option threshold=0.12345678",
                                       ":17: unknown module \"robust-maskin\"",
                                       ":18: dtype \"fp16\" is none of fp32, bf16",
                                       ":19: unknown attack 'lavann'; did you mean 'lavan'",
                                       ":20: attacker \"inptu\" is none of input, network; did you mean \"input\"",
                                       ":21: \"ds.theta\" is an empty list",
                                       ":23: defense clip: option clip=5:0",
                                       ":24: \"clip.feature\" has 1 values",
                                       ":26: [[exclude]] names \"defence\""};
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(text, NULL, &plan), PG_EINPUT);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (!strstr(problems, want[i]))
            fail_msg("\"%s\" is not in\n%s", want[i], problems);
    size_t lines = 0;
    for (const char *c = problems; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, sizeof want / sizeof *want + 1); /* each once, and the count */
    char count[32];
    snprintf(count, sizeof count, "%zu problems", sizeof want / sizeof *want);
    assert_non_null(strstr(problems, count));
}

static void expect_problem(const char *text, const char *want)
{
    pg_plan *plan = NULL;
    assert_int_equal(open_matrix(text, NULL, &plan), PG_EINPUT);
    assert_null(plan);
    if (!strstr(problems, want))
        fail_msg("\"%s\" is not in\n%s", want, problems);
}

/* BagNet-17 at 192 px on images of 32 px: 5 px before a bicubic resize change 48 px, 8 positions; 30 px behind it 6. */
static void test_patches_before_and_behind_a_resize(void **state)
{
    (void)state;
#define RESIZED                                                                                                              \
    "[fixed]\nweights = \"null\"\ndefense = \"mean\"\nnull.height = 22\nnull.width = 22\nnull.field = 17\nnull.stride = 8\n" \
    "null.input_height = 192\nnull.input_width = 192\n"
    static const struct {
        const char *rest, *window, *reach, *patch;
    } cases[] = {
        {"dataset = \"synthetic:test@192\"\npatch = 5\n", "8x8", "48x48", "5x5"},
        {"dataset = \"synthetic:test@192\"\npatch = 5\nattacker = \"input\"\n", "8x8", "48x48", "5x5"},
        {"dataset = \"synthetic:test@192:bilinear\"\npatch = 5\n", "7x7", "36x36", "5x5"},
        {"dataset = \"synthetic:test@192\"\npatch = 30\nattacker = \"network\"\n", "6x6", "", "30x30"},
        {"dataset = \"synthetic:test@192\"\npatch = \"2.4%\"\n", "8x8", "48x48", "5x5"},
        {"dataset = \"synthetic:test@192\"\npatch = \"2.4%\"\nattacker = \"network\"\n", "6x6", "", "30x30"},
        {"dataset = \"synthetic:test@192\"\npatch = 32\n", "22x22", "192x192", "32x32"},
    };
    char ids[sizeof cases / sizeof *cases][PG_HASH_HEX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        pg_plan *plan = NULL;
        snprintf(text, sizeof text, RESIZED "%s", cases[i].rest);
        if (open_matrix(text, NULL, &plan))
            fail_msg("%s", problems);
        const pg_cell *cell = pg_plan_at(plan, 0);
        assert_string_equal(pg_cell_value(cell, "window"), cases[i].window);
        assert_string_equal(pg_cell_value(cell, "reach.px"), cases[i].reach);
        assert_string_equal(pg_cell_value(cell, "patch.px"), cases[i].patch);
        memcpy(ids[i], cell->id, PG_HASH_HEX);
        pg_plan_free(plan);
    }
    assert_string_equal(ids[0], ids[1]); /* the default, said */
    for (size_t i = 1; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            assert_true((i == 1 && j == 0) || strcmp(ids[i], ids[j]) != 0);
    /* masks of images cover what a patch before the resize changes: those of 5 px are those of 48 px behind it */
    static const char *const before_behind[] = {"patch = 5\n", "patch = 48\nattacker = \"network\"\n",
                                                "patch = 5\nattacker = \"network\"\n"};
    char map[3][32], window[3][32];
    for (int i = 0; i < 3; i++) {
        char text[1024];
        pg_plan *plan = NULL;
        snprintf(text, sizeof text,
                 "[fixed]\nweights = \"null\"\ndefense = \"patchcleanser\"\nnull.input_height = 192\nnull.input_width = 192\n"
                 "dataset = \"synthetic:test@192\"\n%s",
                 before_behind[i]);
        if (open_matrix(text, NULL, &plan))
            fail_msg("%s", problems);
        const pg_cell *cell = pg_plan_at(plan, 0);
        snprintf(map[i], sizeof map[i], "%s", pg_cell_value(cell, "map"));
        snprintf(window[i], sizeof window[i], "%s", pg_cell_value(cell, "window"));
        assert_int_equal(cell->forward->masked_images.size.patch_height, i < 2 ? 48 : 5);
        assert_int_equal(cell->forward->masked_images.size.patch_width, i < 2 ? 48 : 5);
        pg_plan_free(plan);
    }
    assert_string_equal(map[0], map[1]);
    assert_string_equal(window[0], window[1]);
    expect_problem(RESIZED "dataset = \"synthetic:test@192\"\npatch = 33\n", "larger than the image (32 x 32)");
    expect_problem(RESIZED "dataset = \"synthetic:test@64\"\npatch = 3\n", "dataset = \"synthetic:test@192x192\" resizes them");
#undef RESIZED
}

static void test_single_problems(void **state)
{
    (void)state;
    expect_problem("", "\"dataset\" is missing");
    expect_problem(HEAD "patch = 5\n", "\"defense\" is missing");
    expect_problem("[fixed\n", "m.toml:1: ");
    expect_problem("[fixed]\na = 1\na = 2\n", "m.toml:3: ");
    expect_problem("[fixed]\nseed = 1979-05-27\n", "m.toml:2: expected a string");
    expect_problem("[axes]\npatch = [[1]]\n", "m.toml:2: expected a string");
    expect_problem("patch = 5\n", "m.toml:1: key \"patch\" stands outside the sections");
    expect_problem("name = 5\nname2 = 1\n", "m.toml:2: key \"name2\"");
    expect_problem("[[axes]]\npatch = [1]\n", "m.toml:2: write [axes]");
    expect_problem("[zip]\npatch = [1]\n", "m.toml:2: write [[zip]]");
    expect_problem("[fixed]\npatch = 5\n[axes]\npatch = [5]\n", "m.toml:4: \"patch\" is given twice, first in line 2");
    expect_problem(HEAD "defense = \"mean\"\npatch = 33\n",
                   "m.toml:5: patch \"33\" (33 x 33 pixels) is larger than the image (32 x 32)");
    expect_problem(HEAD "defense = \"mean\"\npatch = 3\nimages = \"0:2001\"\n", "synthetic:test has the images 0:2000");
    expect_problem(HEAD "defense = \"mean\"\npatch = 3\nimages = \"5:5\"\n", "write FIRST:END");
    expect_problem(HEAD "defense = \"mean\"\npatch = 3\nnull.classes = 7\n",
                   "m.toml:3: null has 7 classes, synthetic:test has 10");
    expect_problem(HEAD "defense = \"mean\"\npatch = 3\nnull.input_width = 64\n",
                   "dataset = \"synthetic:test@32x64\" resizes them");
    expect_problem(HEAD "defense = \"robust-masking\"\npatch = 3\nrobust-masking.clip = \"1:5\"\n",
                   "m.toml:4: defense robust-masking");
    char many[4096] = HEAD "[axes]\n";
    for (int i = 0; i < 7; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "a%d = [1,2,3,4,5,6,7,8]\n", i);
    expect_problem(many, "more than 1000000 rows");
    expect_problem("[fixed]\n\"pa\\u0000tch\" = 5\n", "m.toml:2: a zero byte in a key");
    expect_problem("[\"fi\\u0000xed\"]\npatch = 5\n", "a zero byte in a key");
    pg_plan *plan = NULL;
    scratch_write("m.toml", "a\0b", 3);
    pg_plan_request request = {.matrix_path = scratch_path("m.toml"), .data_dir = "."};
    assert_int_equal(pg_plan_open(&request, &plan), PG_EINPUT);
    request.matrix_path = scratch_path("none.toml");
    assert_int_equal(pg_plan_open(&request, &plan), PG_EMISSING);
}

/* Rows that are written otherwise and normalize to one cell: one cell of the plan, and all rows in the table. */
static void test_rows_like_others(void **state)
{
    (void)state;
    char text[1600];
    write_weights("one.safetensors", "");
    write_weights("two.safetensors", "");
    snprintf(text, sizeof text,
             "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:20\"\n[axes]\nweights = [\"%s/one.safetensors\", \"null\", "
             "\"%s/two.safetensors\"]\ndefense = [\"mean\", \"robust-masking\"]\npatch = [5, \"2.4%%\", 2]\n"
             "\"robust-masking.threshold\" = [0.2, 0.20]\n",
             scratch_folder, scratch_folder);
    pg_plan *plan = must_open(text, NULL);
    assert_int_equal(pg_plan_count(plan), 8);
    assert_int_equal(pg_plan_likes(plan), 4 + 2 * 3); /* 2.4% of both networks' defenses; all of the second file */
    for (size_t i = 0; i < pg_plan_likes(plan); i++) {
        const pg_cell *like = pg_plan_like(plan, i), *kept = pg_plan_find(plan, like->id);
        assert_non_null(kept);
        assert_true(like->row > kept->row && (i == 0 || like->row > pg_plan_like(plan, i - 1)->row));
    }
    pg_plan_free(plan);
    static const char matrix[] =
        HEAD "images = \"0:20\"\n[axes]\ndefense = [\"mean\", \"ds\"]\npatch = [\"2.4%\", 2, 5, \"2.5%\"]\n"
             "\"robust-masking.threshold\" = [0, 0.2]\n";
    scratch_write("like.toml", matrix, strlen(matrix));
    assert_int_equal(program_run("like.db", "plan %s --explain", scratch_path("like.toml")), 0);
    assert_non_null(strstr(program_output, "4 cells: 4 new"));
    assert_non_null(strstr(program_output, "4 more rows normalize to a cell that is there already"));
    assert_int_equal(program_run("like.db", "--quiet run %s", scratch_path("like.toml")), 0);
    assert_int_equal(program_run("like.db", "table %s -f csv --metrics clean", scratch_path("like.toml")), 0);
    static const char *const rows[] = {"mean,2.4%", "mean,2,", "mean,5,", "mean,2.5%", "ds,2.4%", "ds,2,", "ds,5,", "ds,2.5%"};
    const char *at = program_output;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) { /* in the order of the matrix, each once */
        at = strstr(at, rows[i]);
        assert_non_null(at);
        assert_null(strstr(at + 1, rows[i]));
    }
    assert_int_equal(program_run("like.db", "table %s", scratch_path("like.toml")), 0);
    assert_non_null(strstr(program_output, "mean / 5: same as mean / 2.4% = 5x5 px"));
    assert_non_null(strstr(program_output, "ds / 2.5% = 5x5 px: same as ds / 2.4% = 5x5 px"));
}

/* A key of many parts would end the stack of the reader; dots in texts, comments and numbers are none. */
static void test_keys_of_many_parts(void **state)
{
    (void)state;
    enum { PARTS = 50000 };
    char *text = malloc(8 * PARTS);
    for (int form = 0; form < 4; form++) {
        static const char *const starts[] = {"[fixed]\na", "[a", "[fixed]\nx = { a", "[fixed]\n'b.c'.\"d\""};
        char *at = text + sprintf(text, "%s", starts[form]);
        for (int i = 0; i < PARTS; i++)
            at += sprintf(at, "%s", form == 3 && i % 2 ? " . 'a'" : ".a");
        strcpy(at, form == 1 ? "]\n" : form == 2 ? " = 1 }\n" : " = 1\n");
        expect_problem(text, form == 1 ? "m.toml:1: a key of more than 64 parts" : "m.toml:2: a key of more than 64 parts");
    }
    char *at = text + sprintf(text, HEAD "# ");
    for (int i = 0; i < 2000; i++)
        at += sprintf(at, "a.");
    at += sprintf(at, "\nname = \"\"\"\n");
    for (int i = 0; i < 60; i++)
        at += sprintf(at, "a.");
    at += sprintf(at, "\\\"....\"\"\"\ndefense = 'ds' # ' \"\npatch = [2, \"4.5%%\"]\nseed = 1\n");
    char *axes = strstr(text, "name");
    memcpy(axes, "note", 4); /* a key that there is not: the file is read to its end */
    expect_problem(text, "\"note\"");
    free(text);
}

/* Numbers of TOML without quotes are the decimals that options read. */
static void test_numbers_are_decimals(void **state)
{
    (void)state;
    expect_rows(
        HEAD "[axes]\ndefense = [\"robust-masking\"]\npatch = [2]\nrobust-masking.threshold = [0.0001, 1e-4, 0.000001, 1.0]\n",
        NULL, "robust-masking/2/0.0001/0 robust-masking/2/0.000001/0 robust-masking/2/1/0");
    expect_rows(HEAD "[axes]\ndefense = [\"mean\"]\npatch = [2]\nseed = [100000.0, 1e6, 12345678901]\n", NULL,
                "mean/2//100000 mean/2//1000000 mean/2//12345678901");
    expect_problem("[fixed]\nseed = 1e300\n", "seed");
}

/* -S: a comma between values, a backslash before one within a value. */
static void test_commas_in_values(void **state)
{
    (void)state;
    pg_plan *plan = NULL;
    write_weights("a,b.safetensors", "");
    write_weights("c\\.safetensors", "other");
    char first[700], both[1500];
    snprintf(first, sizeof first, "%s", scratch_path("a\\,b.safetensors"));
    snprintf(both, sizeof both, "weights=%s,%s", first, scratch_path("c\\\\.safetensors"));
    const char *given[] = {both};
    scratch_write("m.toml", HEAD "defense = \"ds\"\npatch = 2\n", strlen(HEAD "defense = \"ds\"\npatch = 2\n"));
    pg_plan_request request = {.matrix_path = scratch_path("m.toml"), .overrides = given, .n_overrides = 1, .data_dir = "."};
    char path[700];
    snprintf(path, sizeof path, "%s", request.matrix_path);
    request.matrix_path = path;
    if (pg_plan_open(&request, &plan) != PG_OK)
        fail_msg("%s", pg_error_message());
    assert_int_equal(pg_plan_count(plan), 2);
    assert_non_null(strstr(pg_cell_value(pg_plan_at(plan, 0), "weights"), "/a,b.safetensors"));
    assert_non_null(strstr(pg_cell_value(pg_plan_at(plan, 1), "weights"), "/c\\.safetensors"));
    pg_plan_free(plan);
}

/* ---- Reasons ---- */

static void test_reasons(void **state)
{
    (void)state;
    static const char matrix[] = HEAD "images = \"0:40\"\ndefense = \"ds\"\npatch = 2\nbatch = 8\n";
    scratch_write("r.toml", matrix, strlen(matrix));
    assert_int_equal(program_run("r.db", "plan %s --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "1 new, 0 partial, 0 done, 0 stale, 0 failed"));
    assert_int_equal(access(scratch_path("r.db"), F_OK), -1); /* planning writes nothing */
    assert_int_equal(program_run("r.db", "run %s --quiet", scratch_path("r.toml")), 0);
    assert_int_equal(program_run("r.db", "plan %s --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "0 new, 0 partial, 1 done, 0 stale, 0 failed"));
    assert_int_equal(
        program_run("r.db", "run %s -S null.fail_image=20 -S patch=5 --task-images 8 --quiet", scratch_path("r.toml")), 1);
    assert_int_equal(program_run("r.db", "plan %s -S patch=5 --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "0 new, 0 partial, 0 done, 0 stale, 1 failed"));
    assert_non_null(strstr(program_output, "told to fail at image 20; run tries again"));
    assert_int_equal(program_run("r.db", "run %s -S patch=5 --quiet", scratch_path("r.toml")), 0);
    assert_int_equal(program_run("r.db", "plan %s -S patch=2,5,8 --explain", scratch_path("r.toml")), 0);
    assert_non_null(strstr(program_output, "1 new, 0 partial, 2 done, 0 stale, 0 failed"));
}

/* Weights of another content under the same name: stale, and the reason names the hash. */
static void test_stale(void **state)
{
    (void)state;
    pg_store *store = NULL;
    pg_explained e;
    write_weights("w.safetensors", "one");
    char text[2048];
    snprintf(text, sizeof text, "%s",
             weights_matrix("w.safetensors", "defense = \"mean\"\npatch = 5\nimages = \"0:4\"\nbatch = 4\n"));
    pg_plan *plan = must_open(text, NULL);
    assert_int_equal(pg_store_open(scratch_path("stale.db"), PG_STORE_WRITE, &store), PG_OK);
    assert_int_equal(pg_plan_record(plan, store, 4), PG_OK);
    assert_int_equal(pg_store_worker_start(store, &(pg_store_worker_row){.revision = "t", .versions = "", .device = "cpu"}),
                     PG_OK);
    pg_task task;
    bool got = false, counted = false;
    assert_int_equal(pg_store_claim(store, 0, &task, &got), PG_OK);
    assert_true(got);
    pg_outcome outcomes[4] = {{.image = 0}, {.image = 1}, {.image = 2}, {.image = 3}};
    assert_int_equal(pg_store_finish(store, &task, &(pg_attempt){.device = "cpu", .library = ""}, outcomes, NULL, &counted),
                     PG_OK);
    pg_task_release(&task);
    assert_int_equal(pg_plan_explain(pg_plan_at(plan, 0), store, &e), PG_OK);
    assert_int_equal(e.reason, PG_REASON_DONE);
    free(e.why);
    pg_plan_free(plan);
    write_weights("w.safetensors", "two");
    plan = must_open(text, NULL);
    assert_int_equal(pg_plan_explain(pg_plan_at(plan, 0), store, &e), PG_OK);
    assert_int_equal(e.reason, PG_REASON_STALE);
    assert_non_null(strstr(e.why, "weights.hash was "));
    assert_null(strstr(e.why, "dataset"));
    free(e.why);
    pg_plan_free(plan);
    write_weights("w.safetensors", "one"); /* back again: the old results count */
    plan = must_open(text, NULL);
    assert_int_equal(pg_plan_explain(pg_plan_at(plan, 0), store, &e), PG_OK);
    assert_int_equal(e.reason, PG_REASON_DONE);
    free(e.why);
    pg_plan_free(plan);
    pg_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_rows),
        cmocka_unit_test(test_options_of_others_make_no_duplicates),
        cmocka_unit_test(test_zip),
        cmocka_unit_test(test_exclude),
        cmocka_unit_test(test_excludes_that_match_nothing),
        cmocka_unit_test(test_options_that_do_not_fit_the_map),
        cmocka_unit_test(test_the_page_example),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_shares_of_the_paper),
        cmocka_unit_test(test_shares_hold_for_all_of_them),
        cmocka_unit_test(test_a_window_of_nothing_is_refused),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_canonical_form),
        cmocka_unit_test(test_weights_by_content),
        cmocka_unit_test(test_locality),
        cmocka_unit_test(test_measured_again),
        cmocka_unit_test(test_any_batch),
        cmocka_unit_test(test_all_problems_with_lines),
        cmocka_unit_test(test_patches_before_and_behind_a_resize),
        cmocka_unit_test(test_single_problems),
        cmocka_unit_test(test_rows_like_others),
        cmocka_unit_test(test_keys_of_many_parts),
        cmocka_unit_test(test_numbers_are_decimals),
        cmocka_unit_test(test_commas_in_values),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_stale),
    };
    return cmocka_run_group_tests_name("plan", tests, scratch_make, scratch_remove);
}
