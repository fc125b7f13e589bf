/* Matrix files to rows: their order, zip, exclude, overrides, rows that are one cell. */
#include "tests/support/matrix.h"
#include "tests/support/tidy.h"

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
    assert_int_equal(pg_plan_count(plan),
                     (1 + 1 + 3) * 3); /* 2.4% of 32 px is 5, and the seed is of no matter: the same cells */
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
        HEAD "defense = \"mean\"\n[axes]\npatch = [2, 5]\n[[zip]]\nseed = [1, 2]\npatch-space = [\"image\", \"network\"]\n";
    expect_rows(text, (const char *[]){"patch=8", NULL}, "mean/8//1 mean/8//2");
    expect_rows(text, (const char *[]){"patch=8", "defense=ds,mean", "seed=4,5", NULL}, "ds/8//4 ds/8//5 mean/8//4 mean/8//5");
    expect_rows(text, (const char *[]){"patch=8", "patch-space=image", "seed=4,5", NULL}, "mean/8//4");
    expect_rows(text, (const char *[]){"patch=8", "seed=7", NULL}, "mean/8//7 mean/8//7");
    expect_rows(text, (const char *[]){"patch=8", "seed=7", "patch-space=image", NULL}, "mean/8//7");
    expect_rows(text, (const char *[]){"images=0:10,10:20", "patch=8", NULL}, "mean/8//1 mean/8//1 mean/8//2 mean/8//2");
    expect_rows(text, (const char *[]){"images=0:10,10:20", "patch=8", "patch-space=image", "seed=3", NULL},
                "mean/8//3 mean/8//3");
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
    expect_rows(text, (const char *[]){"patch=8", "seed=7", "patch-space=image", "images=0:10", NULL}, "mean/8//7");
}

/* What draws nothing at random is there once, whatever the seeds; what differs in more than the seed, and attacks, each. */
static void test_seeds_repeat_attacks_only(void **state)
{
    (void)state;
    static const char text[] = HEAD "patch = 5\n\"random-search.steps\" = 2\n[axes]\ndefense = [\"mean\", \"ds\"]\n"
                                    "attack = [\"none\", \"random-search\"]\nseed = {range = [3, 5]}\n";
    expect_rows(text, NULL, "mean/5//3 mean/5//3 mean/5//4 mean/5//5 ds/5//3 ds/5//3 ds/5//4 ds/5//5");
    expect_rows(text, (const char *[]){"attack=none", NULL}, "mean/5//3 ds/5//3");
    expect_rows(text, (const char *[]){"attack=none", "defense=ds", "seed=4", NULL}, "ds/5//4");
    static const char excluded[] = HEAD "patch = 5\ndefense = \"ds\"\n[axes]\nseed = [1, 2, 3]\n[[exclude]]\nseed = 1\n";
    expect_rows(excluded, NULL, "ds/5//2");
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

/* Rows that are written otherwise and resolve to one cell: one cell of the plan, and all rows in the table. */
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
    assert_non_null(strstr(program_output, "4 more rows resolve to a cell that is there already"));
    assert_int_equal(program_run("like.db", "--quiet run %s", scratch_path("like.toml")), 0);
    assert_int_equal(program_run("like.db", "table %s -f json --metrics clean", scratch_path("like.toml")), 0);
    static const char *const patches[] = {"2.4%", "2", "5", "2.5%", "2.4%", "2", "5", "2.5%"};
    const char *at = program_output;
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) { /* in the order of the matrix, each once */
        char want[32];
        snprintf(want, sizeof want, "\"%s\",", patches[i]);
        at = strstr(at, "\"patch\": ");
        assert_non_null(at);
        at += strlen("\"patch\": ");
        assert_int_equal(strncmp(at, want, strlen(want)), 0);
    }
    assert_null(strstr(at, "\"patch\": "));
    double value;
    assert_int_equal(tidy_find("defense=ds same_as=", "value", &value), 2); /* the others are the same as one of these */
    assert_int_equal(tidy_find("defense=ds patch=2.4% same_as=", "value", &value), 1);
    assert_int_equal(program_run("like.db", "table %s", scratch_path("like.toml")), 0);
    assert_non_null(strstr(program_output, "mean / 5: same as mean / 2.4% = 5x5 px"));
    assert_non_null(strstr(program_output, "ds / 2.5% = 5x5 px: same as ds / 2.4% = 5x5 px"));
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
        cmocka_unit_test(test_seeds_repeat_attacks_only),
        cmocka_unit_test(test_commas_in_values),
        cmocka_unit_test(test_rows_like_others),
    };
    return cmocka_run_group_tests_name("rows", tests, scratch_make, scratch_remove);
}
