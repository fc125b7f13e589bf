/* Tests of the contact sheet: pixels, texts that stay text, evidence beside it. */
#include "plots/sheet.h"
#include "tests/support/figure_files.h"
#include "tests/support/load_npy.h"

/* Up to seven images of 24 x 32 on a map of one row that wraps, or of 5 x 7. */
static bool sheet_masked = true;
static size_t sheet_won; /* of the images, the first ones */
static int draw_sheet(bool wrap, const char *name, size_t n)
{
    enum { H = 24, W = 32, N = 7 };
    static uint8_t pixels[2][3 * H * W];
    static float values[2][35];
    pg_sheet_image images[N];
    for (int i = 0; i < 3 * H * W; i++) {
        pixels[0][i] = (uint8_t)(i % W * 8);
        pixels[1][i] = (uint8_t)(i / W * 3);
    }
    for (int i = 0; i < 35; i++) {
        values[0][i] = (float)i;
        values[1][i] = (float)-i;
    }
    for (int i = 0; i < N; i++) {
        images[i] = (pg_sheet_image){.index = i,
                                     .steps = 5,
                                     .label = name,
                                     .after = "a_class^{x}",
                                     .broken = i % 2,
                                     .won = (size_t)i < sheet_won,
                                     .clean = pixels[0],
                                     .attacked = pixels[1],
                                     .patch_top = 3,
                                     .patch_left = 20,
                                     .patch_height = 5,
                                     .patch_width = 5};
        for (int m = 0; m < 2; m++)
            images[i].maps[m] = (pg_sheet_map){.class_name = m ? "another" : name,
                                               .values = values[m],
                                               .masked = sheet_masked,
                                               .left = wrap ? 28 : 2,
                                               .top = wrap ? 0 : 1,
                                               .height = 1 + !wrap,
                                               .width = wrap ? 8 : 3};
    }
    pg_sheet sheet = {.title = "a title", .subtitle = "a subtitle", .images = images, .n = n};
    sheet.rows = (pg_sheet_axis){.positions = wrap ? 1 : 5, .size = H, .start = wrap ? 0 : 2, .step = wrap ? H : 4};
    sheet.columns =
        (pg_sheet_axis){.positions = wrap ? 32 : 7, .size = W, .start = wrap ? 1 : 2, .step = wrap ? 1 : 4, .wrap = wrap};
    return pg_sheet_draw(&sheet, scratch_folder);
}

static void sheets_show_pixels_and_texts(void **state)
{
    (void)state;
    for (int wrap = 0; wrap < 2; wrap++) {
        assert_int_equal(draw_sheet(wrap, "`touch pwned`#_", 7), PG_OK);
        char path[600];
        snprintf(path, sizeof path, "%s/pwned", scratch_folder);
        assert_int_not_equal(access(path, F_OK), 0);
        char *svg = read_file("sheet.svg"), *png = read_file("sheet.png"), *script = read_file("sheet.gp");
        assert_memory_equal(png, "\x89PNG", 4);
        assert_non_null(strstr(svg, ">`touch pwned`#_<"));
        assert_non_null(strstr(svg, ">a_class^{x}<"));
        assert_null(strstr(script, "touch"));
        int pictures = 0;
        for (const char *at = svg; (at = strstr(at, "<image ")) != NULL; at++)
            pictures++;
        assert_int_equal(pictures, 7 * 4);
        free(svg);
        free(png);
        free(script);
    }
    pg_npy npy;
    char path[600];
    snprintf(path, sizeof path, "%s/sheet-evidence.npy", scratch_folder);
    assert_int_equal(load_npy(path, &npy), PG_OK);
    assert_int_equal(npy.shape[0], 7);
    assert_int_equal(npy.shape[3], 128);
    /* the map that wraps begins with the position whose field is centred on the first pixel: the last one */
    assert_true(((const float *)npy.data)[0] == 1.0f);
    assert_true(((const float *)npy.data)[4] == 0.0f);
    pg_npy_release(&npy);
}

/* One image is narrower than the line that explains the sheet. */
static void small_sheets_are_explained(void **state)
{
    (void)state;
    assert_int_equal(draw_sheet(false, "cat", 1), PG_OK);
    char *svg = read_file("sheet.svg"), *text = strstr(svg, ">evidence on the attacked image") + 1;
    int width = 0;
    assert_int_equal(sscanf(strstr(svg, "width=\""), "width=\"%d\"", &width), 1);
    assert_true(width > 7 * (int)strcspn(text, "<"));
    free(svg);
}

/* The class of the second map is the winner's where the patch breaks the image, else the runner-up's. */
static void the_rival_is_named_for_what_it_is(void **state)
{
    (void)state;
    static const char *const headings[] = {">evidence, runner-up<", ">evidence, rival<", ">evidence, winner<"};
    const size_t won[] = {0, 2, 7};
    for (int i = 0; i < 3; i++) {
        sheet_won = won[i];
        assert_int_equal(draw_sheet(false, "cat", 7), PG_OK);
        char *svg = read_file("sheet.svg");
        for (int k = 0; k < 3; k++)
            assert_int_equal(strstr(svg, headings[k]) != NULL, i == k);
        size_t winners = 0, others = 0;
        for (const char *at = svg; (at = strstr(at, ">winner ")) != NULL; at++)
            winners++;
        for (const char *at = svg; (at = strstr(at, ">runner-up ")) != NULL; at++)
            others++;
        assert_int_equal(winners, won[i]);
        assert_int_equal(others, 7 - won[i]);
        free(svg);
    }
    sheet_won = 0;
}

/* The largest evidence of a map is 34. */
static void sheets_have_a_colour_bar(void **state)
{
    (void)state;
    assert_int_equal(draw_sheet(false, "cat", 2), PG_OK);
    char *svg = read_file("sheet.svg");
    assert_non_null(strstr(svg, ">34<"));
    assert_non_null(strstr(svg, ">-34<"));
    assert_non_null(strstr(svg, ">0<"));
    free(svg);
}

static void the_legend_names_a_mask_only_where_there_is_one(void **state)
{
    (void)state;
    for (int masked = 0; masked < 2; masked++) {
        sheet_masked = masked;
        assert_int_equal(draw_sheet(false, "cat", 2), PG_OK);
        char *svg = read_file("sheet.svg");
        assert_int_equal(strstr(svg, "masked window") != NULL, masked);
        free(svg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sheets_show_pixels_and_texts),
        cmocka_unit_test(small_sheets_are_explained),
        cmocka_unit_test(the_rival_is_named_for_what_it_is),
        cmocka_unit_test(sheets_have_a_colour_bar),
        cmocka_unit_test(the_legend_names_a_mask_only_where_there_is_one),
    };
    return cmocka_run_group_tests(tests, scratch_make, keep_or_remove);
}
