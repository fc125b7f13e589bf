/* What is read of a matrix file, and every problem in a bad one, with its line. */
#include "tests/support/matrix.h"

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
                               "patch-space = [\"imgae\"]\n"           /* 20 */
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
                                       ":20: patch-space \"imgae\" is none of image, network; did you mean \"image\"",
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
                   "m.toml:3: synthetic:test has 10 labels, null only 7 outputs");
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
    expect_rows(HEAD
                "attack = \"random-search\"\n[axes]\ndefense = [\"mean\"]\npatch = [2]\nseed = [100000.0, 1e6, 12345678901]\n",
                NULL, "mean/2//100000 mean/2//1000000 mean/2//12345678901");
    expect_problem("[fixed]\nseed = 1e300\n", "seed");
}

/* A range is the list of its numbers. */
static void test_ranges(void **state)
{
    (void)state;
    static const char head[] = HEAD "[axes]\ndefense = [\"robust-masking\"]\n";
    static const struct {
        const char *rest, *want;
    } cases[] = {
        {"patch = {range = [2, 4]}\n", "robust-masking/2/0/0 robust-masking/3/0/0 robust-masking/4/0/0"},
        {"patch = [8, {range = [2, 6, 4]}]\n", "robust-masking/8/0/0 robust-masking/2/0/0 robust-masking/6/0/0"},
        {"patch = { range = [5, 5] }\n", "robust-masking/5/0/0"},
        {"patch = [2]\nrobust-masking.threshold = {range = [0.1, 0.4, 0.1]}\n",
         "robust-masking/2/0.1/0 robust-masking/2/0.2/0 robust-masking/2/0.3/0 robust-masking/2/0.4/0"},
        {"patch = [2]\nrobust-masking.threshold = {range = [0, 1.0, 0.5]}\n",
         "robust-masking/2/0/0 robust-masking/2/0.5/0 robust-masking/2/1/0"},
    };
    static const struct {
        const char *value, *want;
    } bad[] = {
        {"{range = [5, 2]}", "with FIRST <= LAST"},
        {"{range = [1, 5, 0]}", "STEP > 0"},
        {"{range = [1, 5, -1]}", "STEP > 0"},
        {"{range = [1]}", "a range is {range = [FIRST, LAST]}"},
        {"{range = 5}", "a range is {range = [FIRST, LAST]}"},
        {"{range = [1, 2, 3, 4]}", "a range is {range = [FIRST, LAST]}"},
        {"{range = [1, \"5\"]}", "a range takes numbers"},
        {"{range = [0.0000001, 1]}", "a range takes numbers"},
        {"{range = [1, 1e300]}", "a range takes numbers"},
        {"{range = [1, inf]}", "a range takes numbers"},
        {"{range = [0, 1, 0.3]}", "end at its last number"},
        {"{range = [1, 9223372036854775807]}", "more than 1000000 numbers"},
        {"{range = [-9223372036854775808, 9223372036854775807]}", "more than 1000000 numbers"},
        {"{range = [0.5, 9223372036854775807]}", "a range takes numbers"},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "%s%s", head, cases[i].rest);
        expect_rows(text, NULL, cases[i].want);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, HEAD "defense = \"ds\"\n[axes]\npatch = %s\n", bad[i].value);
        expect_problem(text, bad[i].want);
    }
    expect_problem(HEAD "defense = \"ds\"\npatch = {range = [1, 2]}\n", "lists stand under [axes]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_problems_with_lines),
        cmocka_unit_test(test_single_problems),
        cmocka_unit_test(test_keys_of_many_parts),
        cmocka_unit_test(test_numbers_are_decimals),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests_name("toml", tests, scratch_make, scratch_remove);
}
