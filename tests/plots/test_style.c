/* Tests of what users ask of all figures: widths, fonts, labels, order, LaTeX, paper; and of names that would be code
 * elsewhere.
 */
#include "plots/figure.h"
#include "tests/support/figure_files.h"
#include "tests/support/figure_table.h"
#include "tests/support/svg_texts.h"

#include <math.h>

PG_FIGURE(accuracy)

static char *read_end(const pg_figure *figure, const char *end)
{
    char path[100];
    snprintf(path, sizeof path, "%s.%s", figure->name, end);
    return read_file(path);
}

static void expect_drawn(int code, const pg_figure *figure)
{
    if (code != PG_OK)
        print_error("%s: %s\n", figure->name, pg_error_message());
    assert_int_equal(code, PG_OK);
}

/* ---- What may be asked ---- */

static void widths_have_a_unit(void **state)
{
    (void)state;
    double mm;
    assert_int_equal(pg_figure_width("85mm", &mm), PG_OK);
    assert_true(mm == 85);
    assert_int_equal(pg_figure_width("8.5cm", &mm), PG_OK);
    assert_true(mm == 85);
    assert_int_equal(pg_figure_width("3.5in", &mm), PG_OK);
    assert_true(fabs(mm - 88.9) < 1e-9);
    static const char *const bad[] = {"", "85", "mm", "85px", "39mm", "1001mm", "-85mm", "nanmm", "infcm", "8 5mm", "85mm "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pg_figure_width(bad[i], &mm), PG_EUSAGE);
        assert_non_null(strstr(pg_error_message(), "as 85mm, 8.5cm or 3.35in"));
    }
}

static void fonts_are_installed_and_no_code(void **state)
{
    (void)state;
    pg_figure_style style = {.font = ""};
    assert_int_equal(pg_figure_font("DejaVu Sans,8.5", &style), PG_OK);
    assert_string_equal(style.font, "DejaVu Sans");
    assert_true(style.font_pt == 8.5);
    assert_int_equal(pg_figure_font("DejaVu Sans", &style), PG_OK);
    assert_true(style.font_pt == 0);
    assert_int_equal(pg_figure_font("DejaVu Snas", &style), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "did you mean 'DejaVu Sans'"));
    static const char *const bad[] = {
        "",     ",8",  "DejaVu Sans,", "DejaVu Sans,4", "DejaVu Sans,41", "DejaVu Sans,8pt", "a'b", "a\"; system('x')",
        "a\nb", "a`b`"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pg_figure_font(bad[i], &style), PG_EUSAGE);
}

static void order_moves_rows_and_columns(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("a", "2", 1, 1), entry("a", "5", 2, 2), entry("b\nx=1", "2", 3, 3), entry("b\nx=1", "5", 4, 4),
                          entry("c", "2", 5, 5)};
    e[4].same_as = &e[2];
    pg_table table = {.row_key = "defense", .column_key = "patch", .entries = e, .n_entries = 5};
    assert_int_equal(pg_figure_order("c,x=1,5", e, NULL, NULL, &table), PG_OK);
    static const int64_t want[] = {5, 4, 3, 2, 1}; /* clean counts: rows c, b, a, of each column 5 first */
    for (int i = 0; i < 5; i++)
        assert_int_equal(e[i].clean, want[i]);
    assert_ptr_equal(e[0].same_as, &e[2]);
    assert_int_equal(pg_figure_order("c,d", e, NULL, NULL, &table), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "called 'd'; the rows begin with c, b, a"));
    assert_int_equal(pg_figure_order("c,,a", e, NULL, NULL, &table), PG_EUSAGE);
}

static int draw_labels(const char *const *labels, size_t n, bool tex)
{
    const pg_table_entry e[] = {entry("a_b\nx=1", "2", 900, 500), entry("a_b\nx=2", "2", 900, 400)};
    const pg_table table = {.title = "50% & more",
                            .fixed = "feature=confidence",
                            .row_key = "defense",
                            .column_key = "patch",
                            .entries = e,
                            .n_entries = 2};
    const pg_figure_style style = {.labels = labels, .n_labels = n, .tex = tex};
    return pg_figure_draw(&pg_figure_accuracy, &table, &style, scratch_folder);
}

static void labels_and_words_are_renamed(void **state)
{
    (void)state;
    static const char *const labels[] = {"a_b=Ours", "x=2=second", "clean=`no attack`", "Accuracy (%)=Correct (%)", "patch 2="};
    assert_int_equal(draw_labels(labels, 5, false), PG_OK);
    char *svg = read_end(&pg_figure_accuracy, "svg"), *script = read_end(&pg_figure_accuracy, "gp"),
         *data = read_end(&pg_figure_accuracy, "tsv");
    assert_non_null(strstr(svg, ">Ours, x=1<"));
    assert_non_null(strstr(svg, ">Ours, second<"));
    assert_non_null(strstr(svg, ">`no attack`<"));
    assert_non_null(strstr(svg, ">Correct (%)<"));
    assert_non_null(strstr(svg, ">certified<"));
    assert_null(strstr(svg, ">clean<"));
    assert_null(strstr(svg, "patch 2"));
    assert_null(strstr(script, "no attack")); /* what users write is data */
    assert_non_null(strstr(data, "50% & more\tfeature=confidence; n = 1000 images; bars: 95% Wilson intervals\n"
                                 "clean\t`no attack`\n"));
    free(svg);
    free(script);
    free(data);
    assert_int_equal(draw_labels((const char *const[]){"clear=x"}, 1, false), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "--label clear=x: nothing in the figure is called so; there are "));
    assert_non_null(strstr(pg_error_message(), "'a_b', 'x=1', 'x=2'"));
    assert_non_null(strstr(pg_error_message(), "'clean'"));
}

/* LaTeX takes the text as text, and finds the picture beside it. */
static void latex_gets_no_code(void **state)
{
    (void)state;
    assert_int_equal(draw_labels((const char *const[]){"x=1=\\input{/etc/passwd}$&#^_~%"}, 1, true), PG_OK);
    char *tex = read_file("accuracy-tex.tex"), *pdf = read_file("accuracy-tex.pdf");
    assert_memory_equal(pdf, "%PDF-", 5);
    assert_non_null(strstr(tex, "{accuracy-tex}}"));
    assert_null(strstr(tex, ".plot."));
    assert_non_null(strstr(tex, "50\\% \\& more"));
    assert_non_null(strstr(tex, "a\\_b, /input\\{/etc/passwd\\}\\$\\&\\#\\textasciicircum{}\\_\\textasciitilde{}\\%"));
    assert_non_null(strstr(tex, "\\fontsize{9}{10.8}\\selectfont"));
    free(tex);
    free(pdf);
}

static void titles_are_replaced_or_left_out(void **state)
{
    (void)state;
    const pg_figure_style other = {.title = "Another"}, none = {.untitled = true};
    for (size_t i = 0; pg_figures[i] != NULL; i++) {
        expect_drawn(draw_with_all(pg_figures[i], "name", &other), pg_figures[i]);
        char *svg = read_end(pg_figures[i], "svg");
        assert_non_null(strstr(svg, ">Another<"));
        free(svg);
        expect_drawn(draw_with_all(pg_figures[i], "name", &none), pg_figures[i]);
        svg = read_end(pg_figures[i], "svg");
        assert_null(strstr(svg, "font-size=\"14")); /* that of titles */
        assert_null(strstr(svg, "Wilson"));
        free(svg);
    }
}

/* ---- Paper ---- */

/* The size of the first page, points. */
static void page_size(const char *name, double size[2])
{
    char *pdf = NULL;
    size_t bytes;
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 24, &pdf, &bytes), PG_OK);
    const char *box = memmem(pdf, bytes, "/MediaBox [ 0 0 ", 16);
    assert_non_null(box);
    assert_int_equal(sscanf(box + 16, "%lf %lf", &size[0], &size[1]), 2);
    free(pdf);
}

/* Texts of a picture lie within it and are at least `least` pixels high. */
static void expect_texts(const pg_figure *figure, double least)
{
    char *svg = read_end(figure, "svg");
    double width, height;
    int texts = 0;
    assert_int_equal(sscanf(strstr(svg, " width=\""), " width=\"%lf\" height=\"%lf\"", &width, &height), 2);
    svg_text t;
    for (const char *at = svg; svg_next_text(&at, &t); texts++) {
        bool good = svg_text_fits(&t, width, height) && t.size >= least;
        if (!good)
            print_error("%s, %g x %g: '%s' at %g, %g, size %g, %c\n", figure->name, width, height, t.text, t.x, t.y, t.size,
                        t.anchor);
        assert_true(good);
    }
    assert_true(texts > 5);
    free(svg);
}

static void figures_fit_a_column(void **state)
{
    (void)state;
    static const char *const names[] = {
        "mean", "a rather long name of a defense with its many settings, scope=predicted, threshold=0.2"};
    static const pg_figure_style paper = {.paper = true}, narrow = {.width_mm = 60}, wide = {.paper = true, .width_mm = 180};
    for (size_t i = 0; pg_figures[i] != NULL; i++)
        for (size_t k = 0; k < 2; k++) {
            const pg_figure *figure = pg_figures[i];
            double size[2];
            char pdf[100];
            snprintf(pdf, sizeof pdf, "%s.pdf", figure->name);
            expect_drawn(draw_with_all(figure, names[k], &paper), figure);
            char *svg = read_end(figure, "svg");
            int width = 0;
            assert_int_equal(sscanf(strstr(svg, " width=\""), " width=\"%d\"", &width), 1);
            assert_int_equal(width, 321); /* of 96 an inch: 85 mm */
            free(svg);
            page_size(pdf, size);
            assert_true(fabs(size[0] / 72 * 25.4 - 85) < 0.2);
            expect_texts(figure, 7 * 96 / 72.0 - 0.01);
            expect_drawn(draw_with_all(figure, names[k], &narrow), figure);
            page_size(pdf, size);
            assert_true(fabs(size[0] / 72 * 25.4 - 60) < 0.2);
            expect_texts(figure, 0);
            expect_drawn(draw_with_all(figure, names[k], &wide), figure);
            page_size(pdf, size);
            assert_true(fabs(size[0] / 72 * 25.4 - 180) < 0.2);
            expect_texts(figure, 7 * 96 / 72.0 - 0.01);
            expect_drawn(draw_with_all(figure, names[k], NULL), figure);
            expect_texts(figure, 0);
        }
}

/* ---- Names ---- */

static void names_are_never_code_in_any_figure(void **state)
{
    (void)state;
    static const char *const names[] = {"#`touch pwned`\"@\\^_{a}%d", "'; system('touch pwned'); '",
                                        "]]><script>x</script>\t\xff"};
    for (size_t i = 0; pg_figures[i] != NULL; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            const pg_figure *figure = pg_figures[i];
            int code = draw_with_all(figure, names[k], NULL);
            if (code != PG_OK)
                print_error("%s: %s\n", figure->name, pg_error_message());
            assert_int_equal(code, PG_OK);
            char path[600];
            snprintf(path, sizeof path, "%s/pwned", scratch_folder);
            assert_int_not_equal(access(path, F_OK), 0);
            char *svg = read_end(figure, "svg"), *script = read_end(figure, "gp"), *pdf = read_end(figure, "pdf");
            assert_null(strstr(script, "pwned"));
            assert_null(strstr(script, "script>x"));
            assert_null(strstr(svg, "<script>x"));
            if (k == 0)
                assert_non_null(strstr(svg, "`touch pwned`'@/^_{a}%d"));
            assert_non_null(strstr(svg, "DejaVu Sans"));
            assert_memory_equal(pdf, "%PDF-", 5);
            free(svg);
            free(script);
            free(pdf);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_have_a_unit),           cmocka_unit_test(fonts_are_installed_and_no_code),
        cmocka_unit_test(order_moves_rows_and_columns), cmocka_unit_test(labels_and_words_are_renamed),
        cmocka_unit_test(latex_gets_no_code),           cmocka_unit_test(titles_are_replaced_or_left_out),
        cmocka_unit_test(figures_fit_a_column),         cmocka_unit_test(names_are_never_code_in_any_figure),
    };
    return cmocka_run_group_tests(tests, scratch_make, keep_or_remove);
}
