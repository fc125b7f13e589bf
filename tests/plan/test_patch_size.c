/* Patch sizes: shares of the image, windows, patches before and behind a resize. */
#include "tests/support/matrix.h"

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
    pg_plan *plan = must_open(
        "[fixed]\nweights = \"null\"\nimages = \"0:10\"\ndefense = \"mean\"\nnull.height = 1\nnull.width = "
        "224\nnull.field = 25\nnull.stride = 1\nnull.wrap = \"w\"\n"
        "null.input_height = 224\nnull.input_width = 224\ndataset = \"synthetic:test@224\"\npatch-space = \"network\"\n"
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
        "[fixed]\nweights = \"null\"\nimages = \"0:10\"\ndefense = \"mean\"\npatch = \"2.4%\"\npatch-space = \"network\"\n"
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

/* BagNet-17 at 192 px on images of 32 px: 5 px before a bicubic resize change 48 px, 8 positions; 30 px behind it 6. */
static void test_patches_before_and_behind_a_resize(void **state)
{
    (void)state;
#define RESIZED                                                                                                              \
    "[fixed]\nweights = \"null\"\ndefense = \"mean\"\nnull.height = 22\nnull.width = 22\nnull.field = 17\nnull.stride = 8\n" \
    "null.input_height = 192\nnull.input_width = 192\n"
    static const struct {
        const char *rest, *window, *affected, *patch;
    } cases[] = {
        {"dataset = \"synthetic:test@192\"\npatch = 5\n", "8x8", "48x48", "5x5"},
        {"dataset = \"synthetic:test@192\"\npatch = 5\npatch-space = \"image\"\n", "8x8", "48x48", "5x5"},
        {"dataset = \"synthetic:test@192:bilinear\"\npatch = 5\n", "7x7", "36x36", "5x5"},
        {"dataset = \"synthetic:test@192\"\npatch = 30\npatch-space = \"network\"\n", "6x6", "", "30x30"},
        {"dataset = \"synthetic:test@192\"\npatch = \"2.4%\"\n", "8x8", "48x48", "5x5"},
        {"dataset = \"synthetic:test@192\"\npatch = \"2.4%\"\npatch-space = \"network\"\n", "6x6", "", "30x30"},
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
        assert_string_equal(pg_cell_value(cell, "affected.px"), cases[i].affected);
        assert_string_equal(pg_cell_value(cell, "patch.px"), cases[i].patch);
        memcpy(ids[i], cell->id, PG_HASH_HEX);
        pg_plan_free(plan);
    }
    assert_string_equal(ids[0], ids[1]); /* the default, said */
    for (size_t i = 1; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            assert_true((i == 1 && j == 0) || strcmp(ids[i], ids[j]) != 0);
    /* masks of images cover what a patch before the resize changes: those of 5 px are those of 48 px behind it */
    static const char *const before_behind[] = {"patch = 5\n", "patch = 48\npatch-space = \"network\"\n",
                                                "patch = 5\npatch-space = \"network\"\n"};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_of_the_paper),
        cmocka_unit_test(test_shares_hold_for_all_of_them),
        cmocka_unit_test(test_a_window_of_nothing_is_refused),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_patches_before_and_behind_a_resize),
    };
    return cmocka_run_group_tests_name("patch size", tests, scratch_make, scratch_remove);
}
