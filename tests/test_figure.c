/* Tests of the figures and the gnuplot driver: files side by side, pictures that open, text that stays text, clear errors. */
#include "harness/base/file.h"
#include "plots/figure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

PG_FIGURE(accuracy)

enum { ROWS = 6 };
static char folder[] = "/tmp/pg-test-figure-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    if (getenv("PG_TEST_KEEP") != NULL)
        return 0;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* A table of `columns` patch sizes whose first row is called `name`. */
static size_t make_entries(const char *name, size_t columns, pg_table_entry *out)
{
    static const char *const names[ROWS] = {"mean", "clip", "cbn", "ds", "median", "robust-masking\nscope=predicted"};
    static const char *const patches[] = {"2", "5", "8", "2.4%", "3x4", "9", "10"};
    size_t n = 0;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < columns; c++)
            out[n++] = (pg_table_entry){
                .row = r == 0 ? name : names[r],
                .column = patches[c],
                .weights = "net",
                .expected = 1000,
                .n = 1000,
                .clean = 900 - 17 * (int64_t)r,
                .certified = r == 0 || r == 5 ? 0 : 700 - 60 * (int64_t)(r + 3 * c),
                .published = r == 5 ? 600 - 100 * (int64_t)c : -1,
            };
    return n;
}

static int draw(const char *name, size_t columns, const char *where)
{
    pg_table_entry entries[ROWS * 7];
    pg_table table = {.title = "a title", .row_key = "defense", .column_key = "patch", .entries = entries};
    table.n_entries = make_entries(name, columns, entries);
    return pg_figure_draw(&pg_figure_accuracy, &table, where);
}

static char *read_file(const char *name)
{
    char path[128], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(pg_file_read(path, 1 << 24, &data, &size), PG_OK);
    return data;
}

static void the_files_lie_side_by_side(void **state)
{
    (void)state;
    assert_int_equal(draw("mean", 2, folder), PG_OK);
    char *svg = read_file("accuracy.svg"), *png = read_file("accuracy.png"), *data = read_file("accuracy.tsv");
    assert_non_null(strstr(svg, "</svg>"));
    assert_non_null(strstr(svg, "DejaVu Sans"));
    assert_memory_equal(png, "\x89PNG", 4);
    assert_non_null(strstr(data, "a title\tn = 1000 images\n"));
    assert_non_null(strstr(data, "\n6\trobust-masking, scope=predicted\n"));
    assert_non_null(strstr(data, "\n\n6\t60.0000\t"));
    static const char *const words[] = {
        ">mean<", ">robust-masking, scope=predicted<", ">a title<", ">patch 2<", ">patch 5<", "n = 1000 images", "no proof"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_non_null(strstr(svg, words[i]));
    free(svg);
    free(png);
    free(data);
}

static void the_same_table_gives_the_same_picture(void **state)
{
    (void)state;
    assert_int_equal(draw("mean", 3, folder), PG_OK);
    char *first = read_file("accuracy.svg");
    assert_int_equal(draw("mean", 3, folder), PG_OK);
    char *second = read_file("accuracy.svg");
    assert_string_equal(first, second);
    free(first);
    free(second);
}

/* What would run a command, or break out of a string or of the SVG, arrives as text. */
static void labels_are_never_code(void **state)
{
    (void)state;
    const char *evil = "`touch pwned`\"; system('touch pwned')#\t@x\\", *markup = "<script>x</script>&_{a}^b";
    assert_int_equal(draw(evil, 2, folder), PG_OK);
    char path[128];
    snprintf(path, sizeof path, "%s/pwned", folder);
    assert_int_not_equal(access(path, F_OK), 0);
    char *script = read_file("accuracy.gp"), *svg = read_file("accuracy.svg");
    assert_null(strstr(script, "touch"));
    assert_non_null(strstr(svg, "`touch pwned`'; system("));
    free(svg);
    assert_int_equal(draw(markup, 2, folder), PG_OK);
    svg = read_file("accuracy.svg");
    assert_null(strstr(svg, "<script>"));
    assert_non_null(strstr(svg, "_{a}^b"));
    free(script);
    free(svg);
}

/* What gnuplot takes for comments, missing values or quotes in other files. */
static void texts_may_start_with_any_character(void **state)
{
    (void)state;
    static const char *const names[] = {"#3 baseline", "!3 baseline", "?", "nan", "'3 baseline"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pg_table_entry entries[ROWS * 7];
        pg_table table = {.title = names[i], .row_key = "defense", .column_key = "#patch", .entries = entries};
        table.n_entries = make_entries(names[i], 2, entries);
        assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, folder), PG_OK);
        char *svg = read_file("accuracy.svg"), text[64];
        snprintf(text, sizeof text, ">%s<", names[i]);
        const char *first = strstr(svg, text);
        if (first == NULL)
            print_error("not drawn: %s\n", names[i]);
        assert_non_null(first);
        assert_non_null(strstr(first + 1, text)); /* the row and the title */
        assert_non_null(strstr(svg, ">clip<"));
        assert_non_null(strstr(svg, ">#patch 5<"));
        assert_non_null(strstr(svg, "n = 1000 images"));
        assert_non_null(strstr(svg, "<use xlink:href='#gpPt6'"));
        free(svg);
    }
}

/* In rows, titles and legends. */
static void pictures_are_well_formed(void **state)
{
    (void)state;
    const char *name = "a]]>b\xff\xed\xa0\x80\x01 [c]]]>d\xc3\xa9";
    pg_table_entry entries[ROWS * 7];
    pg_table table = {.title = name, .row_key = "defense", .column_key = "]]>\xfe", .entries = entries};
    table.n_entries = make_entries(name, 2, entries);
    for (size_t i = 0; i < table.n_entries; i++)
        if (entries[i].column[0] == '2')
            entries[i].column = "]]>\xff";
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, folder), PG_OK);
    char *svg = read_file("accuracy.svg");
    assert_null(strstr(svg, "]]>"));
    assert_null(strpbrk(svg, "\xff\xfe\xed\x01"));
    assert_non_null(strstr(svg, ">a]] >b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd? [c]]] >d\xc3\xa9<"));
    free(svg);
}

static void long_labels_are_cut(void **state)
{
    (void)state;
    assert_int_equal(
        draw("01234567890123456789012345678901234567890123456789012345678901234567\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 2,
             folder),
        PG_OK);
    char *data = read_file("accuracy.tsv");
    assert_non_null(strstr(data, "\n1\t01234567890123456789012345678901234567890123456789012345678901234567\xc3\xa9...\n"));
    free(data);
}

static void too_many_columns_and_no_results_are_refused(void **state)
{
    (void)state;
    char where[128];
    snprintf(where, sizeof where, "%s/none", folder);
    assert_int_equal(draw("mean", 7, where), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "at most 6 columns, not 7"));
    pg_table_entry entry = {.row = "mean", .column = "2", .weights = "net", .expected = 10};
    pg_table table = {.row_key = "defense", .column_key = "patch", .entries = &entry, .n_entries = 1};
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, where), PG_EINPUT);
    assert_int_not_equal(access(where, F_OK), 0); /* nothing written */
}

static void rows_have_room_or_are_refused(void **state)
{
    (void)state;
    enum { MANY = 640 };
    static char names[MANY][16];
    static pg_table_entry e[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "%d", i + 1);
        e[i] = (pg_table_entry){.row = names[i], .column = "mean", .weights = "net", .expected = 10, .n = 10, .published = -1};
    }
    const char *title = "TITLE OF NINETY CAPITALS, TITLE OF NINETY CAPITALS, TITLE OF NINETY CAPITALS, TITLE OF NINETY";
    pg_table table = {.title = title, .row_key = "patch", .column_key = "defense", .entries = e, .n_entries = MANY};
    char where[128];
    snprintf(where, sizeof where, "%s/none", folder);
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, where), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "at most 632 rows of 1 columns, not 640"));
    assert_int_not_equal(access(where, F_OK), 0);
    table.n_entries = 632;
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, folder), PG_OK);
    char *svg = read_file("accuracy.svg");
    assert_non_null(strstr(svg, ">patch 2<"));
    int width = 0, height = 0;
    assert_int_equal(sscanf(strstr(svg, "width=\""), "width=\"%d\" height=\"%d\"", &width, &height), 2);
    assert_int_equal(height, 15980);
    assert_true(width >= 90 * 11); /* the whole title */
    free(svg);
}

static void gnuplot_errors_are_reported(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/bad.gp", folder);
    assert_int_equal(pg_file_write(path, "plot nonsense(\n", 15), PG_OK);
    assert_int_equal(pg_gnuplot_run(folder, "bad.gp"), PG_EIO);
    assert_non_null(strstr(pg_error_message(), "bad.gp"));
    assert_non_null(strstr(pg_error_message(), "line 1"));
    char *old = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    int code = pg_gnuplot_run(folder, "bad.gp");
    setenv("PATH", old, 1);
    free(old);
    assert_int_equal(code, PG_EMISSING);
    assert_non_null(strstr(pg_error_message(), "gnuplot-nox"));
}

static void without_gnuplot_nothing_is_left_behind(void **state)
{
    (void)state;
    char where[128];
    snprintf(where, sizeof where, "%s/none", folder);
    char *old = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    int code = draw("mean", 2, where);
    setenv("PATH", old, 1);
    free(old);
    assert_int_equal(code, PG_EMISSING);
    assert_int_not_equal(access(where, F_OK), 0);
}

static void files_and_nameless_folders_are_refused(void **state)
{
    (void)state;
    char file[128], below[160];
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(below, sizeof below, "%s/figures", file);
    assert_int_equal(pg_file_write(file, "mine", 4), PG_OK);
    assert_int_equal(draw("mean", 2, file), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "file' is not one"));
    assert_int_equal(draw("mean", 2, below), PG_EINPUT);
    assert_int_equal(draw("mean", 2, ""), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "empty name"));
    assert_int_equal(pg_file_size(file), 4);
}

static void unknown_figures_name_the_nearest(void **state)
{
    (void)state;
    const pg_figure *figure;
    assert_int_equal(pg_figure_find("acuracy", &figure), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "'accuracy'"));
    assert_int_equal(pg_figure_find("accuracy", &figure), PG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_lie_side_by_side),
        cmocka_unit_test(the_same_table_gives_the_same_picture),
        cmocka_unit_test(labels_are_never_code),
        cmocka_unit_test(texts_may_start_with_any_character),
        cmocka_unit_test(pictures_are_well_formed),
        cmocka_unit_test(long_labels_are_cut),
        cmocka_unit_test(too_many_columns_and_no_results_are_refused),
        cmocka_unit_test(rows_have_room_or_are_refused),
        cmocka_unit_test(gnuplot_errors_are_reported),
        cmocka_unit_test(without_gnuplot_nothing_is_left_behind),
        cmocka_unit_test(files_and_nameless_folders_are_refused),
        cmocka_unit_test(unknown_figures_name_the_nearest),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
