/* Tests of what the figures show: the data of each from tables whose numbers are known, what they refuse, and names that would
 * be code elsewhere. The driver and the first figures: test_figure.c. */
#include "plots/figure.h"
#include "tests/support/figure_files.h"
#include "tests/support/figure_table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const pg_figure *figure_of(const char *name)
{
    const pg_figure *figure = NULL;
    assert_int_equal(pg_figure_find(name, &figure), PG_OK);
    return figure;
}

static char *read_end(const char *name, const char *end)
{
    char path[128];
    snprintf(path, sizeof path, "%s.%s", name, end);
    return read_file(path);
}

/* Block `index` of a data file, as gnuplot counts them: up to the next two blank lines, or the end. */
static char *block(const char *data, int index)
{
    for (int i = 0; i < index; i++) {
        data = strstr(data, "\n\n\n");
        assert_non_null(data);
        data += 3;
    }
    const char *end = strstr(data, "\n\n\n");
    return end != NULL ? strndup(data, (size_t)(end - data) + 1) : strdup(data);
}

static void expect_block(const char *data, int index, const char *want)
{
    char *got = block(data, index);
    assert_string_equal(got, want);
    free(got);
}

static int draw(const char *figure, const pg_table_entry *entries, size_t n, const char *column_key)
{
    pg_table table = {.title = "a title", .row_key = "defense", .column_key = column_key, .entries = entries, .n_entries = n};
    return pg_figure_draw(figure_of(figure), &table, NULL, scratch_folder);
}

/* ---- Accuracy against a number ---- */

static void lines_go_by_the_number(void **state)
{
    (void)state;
    pg_table_entry e[] = {
        entry("robust-masking", "0.5", 600, 100),
        entry("robust-masking", "0", 500, 200),
        published("published", "0.1", 700, 300),
        entry("robust-masking", "0.1", 550, 150),
        entry("mean", "-", 900, 0),
        published("published", "0", 650, 320),
    };
    e[1].attacked = 400;
    assert_int_equal(draw("threshold", e, 6, "threshold"), PG_OK);
    char *data = read_end("threshold", "tsv"), *script = read_end("threshold", "gp"), *svg = read_end("threshold", "svg");
    expect_block(data, 0, "a title\tn = 1000 images; bars: 95% Wilson intervals\tThreshold T (share of a class's evidence)\n");
    /* clean: both rows, by the number; a cell without a number has no place */
    expect_block(data, 1,
                 "robust-masking\n0\t50.0000\t46.9070\t53.0930\t1000\n0.1\t55.0000\t51.9033\t58.0585\t1000\n"
                 "0.5\t60.0000\t56.9309\t62.9925\t1000\n");
    assert_null(strstr(data, "mean"));
    /* certified: the published certificate is none, and no 0 */
    expect_block(data, 4, "published\nnan\tnan\tnan\tnan\t0\n");
    expect_block(data, 5, "robust-masking\nnan\tnan\tnan\tnan\t0\n");
    char *last = block(data, 7);
    assert_memory_equal(last, "robust-masking\n0\t40.0000\t", 25);
    free(last);
    assert_non_null(strstr(script, "panels = 4\narray kind[4] = [1, 2, 3, 4]"));
    assert_non_null(strstr(script, "tics = 3\narray tic[3] = [0, 0.1, 0.5]\narray tic_name[3] = [\"0\", \"0.1\", \"0.5\"]\n"));
    assert_non_null(strstr(script, "high = 80\n"));
    assert_non_null(strstr(svg, ">under attack<"));
    free(data);
    free(script);
    free(svg);
}

/* What all lines share stands below the title alone. */
static void lines_are_called_by_what_varies(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("clip\nnet\n2", "0:1", 600, 100), entry("clip\nnet\n2", "0:2", 500, 200),
                          entry("clip\nnet\n4", "0:1", 550, 150), entry("mean\nother\n4", "-", 700, 0)};
    pg_table table = {
        .title = "a title", .row_key = "defense,weights,patch", .column_key = "clip", .entries = e, .n_entries = 4};
    assert_int_equal(pg_figure_draw(figure_of("clip"), &table, NULL, scratch_folder), PG_OK);
    char *data = read_end("clip", "tsv"), *first = block(data, 1), *second = block(data, 2);
    assert_memory_equal(data, "a title\tclip, net; n = 1000 images", 34);
    assert_memory_equal(first, "patch 2\n", 8);
    assert_memory_equal(second, "patch 4\n", 8);
    free(data);
    free(first);
    free(second);
}

static void a_number_wants_two_values(void **state)
{
    (void)state;
    pg_table_entry e[14] = {entry("a", "0.1", 1, 1), entry("b", "0.2", 1, 1)};
    assert_int_equal(draw("threshold", e, 2, "threshold"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "several values of robust-masking.threshold"));
    e[0].n = e[1].n = 0;
    assert_int_equal(draw("threshold", e, 2, "threshold"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "no cell of this matrix has results yet"));
    static char names[7][8];
    for (int i = 0; i < 14; i++) {
        snprintf(names[i / 2], sizeof names[0], "row %d", i / 2);
        e[i] = entry(names[i / 2], i % 2 ? "1" : "0", 500, 100);
    }
    assert_int_equal(draw("threshold", e, 14, "threshold"), PG_OK);
}

static void bounds_and_sides_are_numbers(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("clip", "0:15", 600, 100), entry("clip", "0:2.5", 500, 200), entry("clip", "-1:4", 550, 150),
                          entry("clip", "0:inf", 700, 0)};
    assert_int_equal(draw("clip", e, 4, "clip"), PG_OK);
    char *data = read_end("clip", "tsv");
    expect_block(data, 0, "a title\tclip; n = 1000 images; bars: 95% Wilson intervals\tUpper bound of a feature\n");
    expect_block(data, 2, "\"\"\n2.5\t20.0000\t17.6377\t22.5919\t1000\n15\t10.0000\t8.2909\t12.0152\t1000\n");
    free(data);
    pg_table_entry p[] = {entry("mean", "5", 600, 100), entry("mean", "2.4%", 500, 200), entry("mean", "2x8", 400, 300)};
    p[1].patch_width = p[1].patch_height = 6;
    p[2].patch_height = 2;
    p[2].patch_width = 8;
    assert_int_equal(draw("patch-size", p, 3, "patch"), PG_OK);
    data = read_end("patch-size", "tsv");
    char *clean = block(data, 1);
    assert_non_null(strstr(clean, "\"\"\n1\t40.0")); /* by area: 2x8, 5x5, 6x6 */
    assert_non_null(strstr(clean, "\n2\t60.0"));
    assert_non_null(strstr(clean, "\n3\t50.0"));
    free(clean);
    free(data);
    p[1].patch_width = p[1].patch_height = 5; /* as many pixels under another name */
    assert_int_equal(draw("patch-size", p, 2, "patch"), PG_EINPUT);
}

/* The axis says where a patch is no square. */
static void axes_say_what_they_count(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("mean", "5", 600, 100), entry("mean", "3", 500, 200)};
    e[1].patch_height = e[1].patch_width = 3;
    assert_int_equal(draw("patch-size", e, 2, "patch"), PG_OK);
    char *data = read_end("patch-size", "tsv");
    assert_non_null(strstr(data, "\tPatch side (px)\n"));
    free(data);
    e[1].patch_width = 8;
    assert_int_equal(draw("patch-size", e, 2, "patch"), PG_OK);
    data = read_end("patch-size", "tsv");
    assert_non_null(strstr(data, "\tPatch height x width (px), by area\n"));
    free(data);
}

static char *script_of_bounds(const char *const *bounds, size_t n)
{
    pg_table_entry e[20];
    for (size_t i = 0; i < n; i++)
        e[i] = entry("clip", bounds[i], 600, 100);
    assert_int_equal(draw("clip", e, n, "clip"), PG_OK);
    return read_end("clip", "gp");
}

/* What stands at the tics of the first axis of a picture, each with a blank behind it. */
static void expect_tics(const char *svg, const char *want)
{
    char got[200] = "";
    const char *end = strstr(svg, " rotate(270)"); /* the text of the other axis */
    assert_non_null(end);
    for (const char *at = svg; (at = strstr(at, "text-anchor=\"middle\">")) != NULL && at < end; at++) {
        const char *text = strstr(at, "<text><tspan font-family=\"DejaVu Sans\" >");
        if (text != NULL && text < strstr(at, "</g>"))
            snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)strcspn(text + 40, "<"), text + 40);
    }
    assert_string_equal(got, want);
}

/* All values are tics of the script, which shows those whose numbers do not cover each other, the first and the last among
 * them. */
static void tics_have_room(void **state)
{
    (void)state;
    static const char *const orders[] = {"0:50", "0:2", "0:5", "0:15", "0:5.6568542"},
                             *const near[] = {"0:1", "0:1.001", "0:3"}, *const long_ones[] = {"0:1.125", "0:1.25",  "0:1.375",
                                                                                              "0:1.5",   "0:1.625", "0:1.75",
                                                                                              "0:1.875", "0:2.125"};
    char *script = script_of_bounds(orders, 4), *svg = read_end("clip", "svg");
    assert_non_null(strstr(script, "lo = 2\nhi = 50\nlogarithmic = 1\ntics = 4\narray tic[4] = [2, 5, 15, 50]\n"));
    expect_tics(svg, "2 5 15 50 ");
    free(script);
    free(svg);
    script = script_of_bounds(orders, 5);
    svg = read_end("clip", "svg");
    assert_non_null(strstr(script, "tics = 5\n"));
    expect_tics(svg, "2 5 15 50 ");
    free(script);
    free(svg);
    script = script_of_bounds(near, 3);
    svg = read_end("clip", "svg");
    assert_non_null(strstr(script, "logarithmic = 0\ntics = 3\n"));
    expect_tics(svg, "1 3 ");
    free(script);
    free(svg);
    script = script_of_bounds(long_ones, 8);
    svg = read_end("clip", "svg");
    expect_tics(svg, "1.125 1.375 1.625 1.875 2.125 ");
    free(script);
    free(svg);
}

/* ---- Bars and points ---- */

/* How light a colour is, 0 to 255. */
static double grey(long rgb)
{
    return 0.299 * (double)(rgb >> 16) + 0.587 * (double)(rgb >> 8 & 255) + 0.114 * (double)(rgb & 255);
}

static void expect_greys_apart(const char *figure)
{
    char *script = read_end(figure, "gp"), *at = strstr(script, "array shade[");
    assert_non_null(at);
    at = strstr(at, "] = [") + 5;
    double greys[8];
    size_t n = 0;
    for (bool more = true; more && n < 8; n++) {
        greys[n] = grey(strtol(at, &at, 16));
        more = *at == ',';
        at++;
        for (size_t i = 0; i < n; i++)
            assert_true(fabs(greys[i] - greys[n]) > 20);
    }
    assert_true(n >= 3);
    free(script);
}

/* Two cells with the same point would hide each other. */
static void equal_points_stand_side_by_side(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("a", "5", 900, 100), entry("b", "5", 900, 100), entry("c", "5", 800, 100),
                          entry("a", "8", 900, 100)};
    assert_int_equal(draw("trade-off", e, 4, "patch"), PG_OK);
    char *data = read_end("trade-off", "tsv");
    static const char *const places[] = {"\t1\t0\n", "\t1\t1\n", "\t1\t0\n", "\t1\t0\n"};
    for (int i = 0; i < 4; i++) {
        char *point = block(data, 4 + i);
        assert_non_null(strstr(point, places[i]));
        free(point);
    }
    assert_non_null(strstr(data, "; equal points side by side\n"));
    free(data);
    assert_int_equal(draw("trade-off", &e[1], 3, "patch"), PG_OK);
    data = read_end("trade-off", "tsv");
    assert_null(strstr(data, "side by side"));
    free(data);
}

static void failure_cases_make_the_whole(void **state)
{
    (void)state;
    pg_table_entry e[] = {published("one", "0.3", 900, 100), published("one", "0", 900, 400), entry("proof", "0", 900, 100)};
    assert_int_equal(draw("failure-cases", e, 3, "threshold"), PG_OK);
    char *data = read_end("failure-cases", "tsv"), *svg = read_end("failure-cases", "svg");
    assert_non_null(strstr(data, "a title\tone; n = 1000 images")); /* no label names what all panels share */
    expect_block(data, 1, "1\t\"\"\n");
    expect_block(data, 2,
                 "1\t0\t40.0000\t0.0000\t15.0000\t30.0000\t15.0000\t1000\n"
                 "2\t0.3\t10.0000\t0.0000\t22.5000\t45.0000\t22.5000\t1000\n");
    assert_non_null(strstr(svg, "certified as published (no proof)"));
    expect_greys_apart("failure-cases");
    assert_int_equal(draw("failure-cases", &e[2], 1, "threshold"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "scope=predicted"));
    free(data);
    free(svg);
}

/* Three cells on the front; one below it; one certificate that is no proof above it. */
static void the_front_is_what_nothing_beats(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("a", "5", 900, 100), entry("b", "5", 700, 400),     entry("c", "5", 650, 350),
                          entry("d", "5", 500, 600), published("e", "5", 800, 700), entry("none", "5", 950, 0)};
    assert_int_equal(draw("trade-off", e, 6, "patch"), PG_OK);
    char *data = read_end("trade-off", "tsv"), *script = read_end("trade-off", "gp");
    expect_block(data, 1, "1\tpatch 5\n");
    expect_block(data, 2,
                 "90.0000\t0.0000\n90.0000\t10.0000\n70.0000\t10.0000\n70.0000\t40.0000\n50.0000\t40.0000\n50.0000\t60.0000\n"
                 "0\t60.0000\n");
    char *last = block(data, 7);
    assert_memory_equal(last, "e\n80.0000\t", 10);
    assert_non_null(strstr(last, "\t70.0000\t"));
    assert_non_null(strstr(last, "\t0\t0\n"));
    assert_null(strstr(data, "none"));
    assert_non_null(strstr(script, "array proof[5] = [1, 1, 1, 1, 0]"));
    assert_int_equal(draw("trade-off", &e[5], 1, "patch"), PG_EINPUT);
    free(last);
    free(data);
    free(script);
}

static void broken_certificates_stand_out(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("mean", "5", 900, 100), entry("clean only", "5", 900, 0), entry("clip", "5", 800, 300)};
    e[0].attacked = 150;
    e[2].attacked = 310;
    assert_int_equal(draw("certified-attacked", e, 3, "patch"), PG_OK);
    char *data = read_end("certified-attacked", "tsv");
    assert_non_null(strstr(data, "no certificate is broken"));
    expect_block(data, 1, "1\tmean, patch 5\n2\tclip, patch 5\n");
    expect_block(data, 5, "1\t10.0000\t90.0000\n2\t30.0000\t80.0000\n");
    expect_block(data, 6, "nan\tnan\n");
    free(data);
    e[2].attacked = 290; /* fewer than are certified: there is one that is broken, counted or not */
    e[0].broken = 1;
    assert_int_equal(draw("certified-attacked", e, 3, "patch"), PG_OK);
    data = read_end("certified-attacked", "tsv");
    assert_non_null(strstr(data, "BROKEN certificates in 2 of 2 lines"));
    expect_block(data, 6, "1\t10.0000\n2\t30.0000\n");
    assert_int_equal(draw("certified-attacked", &e[1], 1, "patch"), PG_EINPUT);
    free(data);
}

/* ---- Networks and times ---- */

static void training_is_drawn_by_epoch(void **state)
{
    (void)state;
    const pg_table_epoch epochs[] = {{2.5, 0.25}, {1.5, NAN}, {1, 0.75}};
    const pg_table_network nets[] = {{.name = "one", .epochs = epochs, .n_epochs = 3}, {.name = "imported"}};
    pg_table table = {.title = "other", .networks = nets, .n_networks = 2};
    assert_true(figure_of("training")->reads & PG_READS_TRAINING);
    assert_int_equal(pg_figure_draw(figure_of("training"), &table, NULL, scratch_folder), PG_OK);
    char *data = read_end("training", "tsv");
    expect_block(data, 1, "one: 75.0% after 3 epochs\n1\t2.5\t25.0000\t0\n2\t1.5\tnan\t0\n3\t1\t75.0000\t1\n");
    assert_null(strstr(data, "imported"));
    char *svg = read_end("training", "svg");
    assert_non_null(strstr(svg, ">Validation accuracy (%)<"));
    free(svg);
    const pg_table_epoch lost[] = {{2.5, NAN}, {1.5, NAN}};
    table.networks = &(pg_table_network){.name = "two", .epochs = lost, .n_epochs = 2};
    table.n_networks = 1;
    assert_int_equal(pg_figure_draw(figure_of("training"), &table, NULL, scratch_folder), PG_OK);
    svg = read_end("training", "svg");
    assert_null(strstr(svg, ">Validation accuracy (%)<")); /* no empty panel */
    free(svg);
    table.networks = &nets[1];
    table.n_networks = 1;
    assert_int_equal(pg_figure_draw(figure_of("training"), &table, NULL, scratch_folder), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "record of its training"));
    free(data);
}

static void times_are_those_of_an_image(void **state)
{
    (void)state;
    const pg_table_time times[] = {{.label = "net",
                                    .device = "cpu, 2 threads",
                                    .images = 200,
                                    .read_s = 0.002,
                                    .forward_s = 4,
                                    .certify_s = 0.5,
                                    .cells = 12},
                                   {.label = "null\nmean",
                                    .device = "cpu, 1 thread",
                                    .images = 100,
                                    .read_s = 0,
                                    .forward_s = 0.1,
                                    .certify_s = 0.01,
                                    .cells = 1}};
    pg_table table = {.title = "a title", .times = times, .n_times = 2};
    assert_true(figure_of("time")->reads & PG_READS_TIMES);
    assert_int_equal(pg_figure_draw(figure_of("time"), &table, NULL, scratch_folder), PG_OK);
    char *data = read_end("time", "tsv");
    expect_block(data, 1, "1\tnet\tcpu, 2 threads, 12 cells at once\n2\tnull, mean\tcpu, 1 thread, one defense\n");
    expect_block(data, 2, "1\t0.01\t20\t2.5\t200\n2\t0\t1\t0.1\t100\n");
    expect_greys_apart("time");
    table.n_times = 0;
    assert_int_equal(pg_figure_draw(figure_of("time"), &table, NULL, scratch_folder), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "feature cache"));
    free(data);
}

/* A field of 3 x 3 in a map of 5 x 6: half of the sum lies in its middle, some outside; a band of two columns. */
static void maps_say_how_much_of_the_field_counts(void **state)
{
    (void)state;
    float maps[2][30] = {{0}};
    maps[0][2 * 6 + 2] = 6;
    maps[0][1 * 6 + 1] = 5;
    maps[0][4 * 6 + 5] = 1;
    for (int y = 0; y < 5; y++)
        maps[1][y * 6 + 2] = maps[1][y * 6 + 3] = 1;
    pg_table_network nets[] = {
        {.name = "square", .map = maps[0], .field_top = 1, .field_left = 1, .field_height = 3, .field_width = 3},
        {.name = "band", .map = maps[1], .field_left = 1, .field_height = 5, .field_width = 4},
        {.name = "not run"}};
    for (int i = 0; i < 2; i++) {
        nets[i].map_height = 5;
        nets[i].map_width = 6;
        nets[i].images = 64;
    }
    pg_table table = {.networks = nets, .n_networks = 3};
    const pg_figure *figure = figure_of("receptive-field-map");
    assert_true(figure->computes && figure->reads == PG_READS_MAPS);
    assert_int_equal(pg_figure_draw(figure, &table, NULL, scratch_folder), PG_OK);
    char *data = read_end(figure->name, "tsv"), *script = read_end(figure->name, "gp");
    expect_block(data, 1,
                 "1\tsquare\tfield (frame): 3 x 3 px\thalf within 1 x 1 px; outside: 8.3%\n"
                 "2\tband\tfield (frame): 5 x 4 px\thalf within 5 x 2 px; outside: nothing\n");
    expect_block(data, 3, "0.5\t0.5\n3.5\t0.5\n3.5\t3.5\n0.5\t3.5\n0.5\t0.5\n");
    char *values = block(data, 2);
    assert_non_null(strstr(values, "2\t2\t1\n"));
    assert_non_null(strstr(values, "5\t4\t0.166667\n"));
    assert_non_null(strstr(script, "array box[8] = [0, 6, 0, 5, 0, 6, 0, 5]"));
    table.networks = &nets[2];
    table.n_networks = 1;
    assert_int_equal(pg_figure_draw(figure, &table, NULL, scratch_folder), PG_EINPUT);
    free(values);
    free(data);
    free(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_go_by_the_number),
        cmocka_unit_test(lines_are_called_by_what_varies),
        cmocka_unit_test(a_number_wants_two_values),
        cmocka_unit_test(bounds_and_sides_are_numbers),
        cmocka_unit_test(axes_say_what_they_count),
        cmocka_unit_test(tics_have_room),
        cmocka_unit_test(equal_points_stand_side_by_side),
        cmocka_unit_test(failure_cases_make_the_whole),
        cmocka_unit_test(the_front_is_what_nothing_beats),
        cmocka_unit_test(broken_certificates_stand_out),
        cmocka_unit_test(training_is_drawn_by_epoch),
        cmocka_unit_test(times_are_those_of_an_image),
        cmocka_unit_test(maps_say_how_much_of_the_field_counts),
    };
    return cmocka_run_group_tests(tests, scratch_make, keep_or_remove);
}
