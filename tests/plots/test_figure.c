/* Tests of the figures and the gnuplot driver: files side by side, pictures that open, text that stays text, clear errors. */
#include "harness/base/file.h"
#include "tests/support/load_npy.h"
#include "harness/base/rng.h"
#include "plots/figure.h"
#include "plots/local_logits.h"
#include "tests/support/figure_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <cmocka.h>

PG_FIGURE(accuracy)
PG_FIGURE(success_steps)
PG_FIGURE(vulnerability)

enum { ROWS = 6 };

/* How far below the upper edge of a picture the text stands that begins so, pixels. */
static double height_of(const char *svg, const char *text)
{
    const char *end = strstr(svg, text), *at = NULL;
    double y = 0;
    assert_non_null(end);
    for (const char *next = svg; (next = strstr(next, "translate(")) != NULL && next < end; next++)
        at = next;
    assert_non_null(at);
    assert_int_equal(sscanf(at, "translate(%*f,%lf)", &y), 1);
    return y;
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
                .published_audited = -1,
                .published = r == 5 ? 600 - 100 * (int64_t)c : -1,
            };
    return n;
}

static int draw(const char *name, size_t columns, const char *where)
{
    pg_table_entry entries[ROWS * 7];
    pg_table table = {.title = "a title", .row_key = "defense", .column_key = "patch", .entries = entries};
    table.n_entries = make_entries(name, columns, entries);
    return pg_figure_draw(&pg_figure_accuracy, &table, NULL, where);
}

static size_t file_bytes(const char *name)
{
    char path[600];
    struct stat found;
    snprintf(path, sizeof path, "%s/%s", scratch_folder, name);
    assert_int_equal(stat(path, &found), 0);
    return (size_t)found.st_size;
}

static void the_files_lie_side_by_side(void **state)
{
    (void)state;
    assert_int_equal(draw("mean", 2, scratch_folder), PG_OK);
    char *svg = read_file("accuracy.svg"), *png = read_file("accuracy.png"), *data = read_file("accuracy.tsv");
    assert_non_null(strstr(svg, "</svg>"));
    assert_non_null(strstr(svg, "DejaVu Sans"));
    assert_memory_equal(png, "\x89PNG", 4);
    char *pdf = read_file("accuracy.pdf");
    assert_memory_equal(pdf, "%PDF-", 5);
    free(pdf);
    assert_non_null(strstr(data, "a title\tn = 1000 images; bars: 95% Wilson intervals\n"));
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

/* One row has room between the lines above and the axis, and six legends between the axis and the lower edge. */
static void small_and_wide_tables_have_room(void **state)
{
    (void)state;
    pg_table_entry entries[ROWS * 7];
    pg_table table = {.row_key = "defense", .column_key = "patch", .entries = entries, .n_entries = 1};
    make_entries("mean", 1, entries);
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, NULL, scratch_folder), PG_OK);
    char *svg = read_file("accuracy.svg");
    assert_true(height_of(svg, ">mean<") > height_of(svg, ">n = 1000 images") + 20);
    assert_non_null(strstr(svg, ">50<")); /* in the middle below its tic, without a blank */
    free(svg);
    assert_int_equal(draw("mean", 6, scratch_folder), PG_OK);
    svg = read_file("accuracy.svg");
    assert_true(height_of(svg, "<text>patch 2<") > height_of(svg, ">Accuracy (%)<") + 15);
    free(svg);
}

static void the_same_table_gives_the_same_picture(void **state)
{
    (void)state;
    assert_int_equal(draw("mean", 3, scratch_folder), PG_OK);
    char *first = read_file("accuracy.svg");
    assert_int_equal(draw("mean", 3, scratch_folder), PG_OK);
    char *second = read_file("accuracy.svg");
    assert_string_equal(first, second);
    free(first);
    free(second);
    /* a PDF does not say when it was made */
    assert_int_equal(draw("mean", 3, scratch_folder), PG_OK);
    char *pdf = read_file("accuracy.pdf");
    size_t size = file_bytes("accuracy.pdf");
    assert_null(memmem(pdf, size, "CreationDate", 12));
    free(pdf);
}

/* A character that no font has is drawn as a question mark, and the picture is whole; the data keep it. */
static void characters_without_a_font_are_drawn_as_question_marks(void **state)
{
    (void)state;
    static const char nobody[] = "net \xf3\xa0\x84\xa1\xf4\x8f\xbf\xbd"; /* of planes that no font fills */
    assert_int_equal(draw(nobody, 1, scratch_folder), PG_OK);
    char *svg = read_file("accuracy.svg"), *data = read_file("accuracy.tsv");
    assert_non_null(strstr(data, nobody));
    assert_null(strstr(svg, nobody));
    assert_non_null(strstr(svg, "net ?"));
    free(svg);
    free(data);
    assert_int_equal(draw("caf\xc3\xa9 \xce\xb4", 1, scratch_folder), PG_OK);
    svg = read_file("accuracy.svg");
    assert_non_null(strstr(svg, "caf\xc3\xa9 \xce\xb4"));
    free(svg);
}

static void a_gnuplot_that_hangs_is_ended(void **state)
{
    (void)state;
    char path[600], folder[700], *old = strdup(getenv("PATH"));
    static const char fake[] = "#!/bin/sh\nexec sleep 1000\n";
    snprintf(path, sizeof path, "%s/gnuplot", scratch_folder);
    assert_int_equal(pg_file_write(path, fake, sizeof fake - 1), PG_OK);
    assert_int_equal(chmod(path, 0755), 0);
    snprintf(folder, sizeof folder, "%s:%s", scratch_folder, old);
    setenv("PATH", folder, 1);
    setenv("PATCHGAUGE_GNUPLOT_SECONDS", "0.3", 1);
    int code = pg_gnuplot_run(scratch_folder, "any.gp");
    setenv("PATH", old, 1);
    unsetenv("PATCHGAUGE_GNUPLOT_SECONDS");
    unlink(path);
    free(old);
    assert_int_equal(code, PG_EIO);
    assert_non_null(strstr(pg_error_message(), "gnuplot did not end within"));
}

/* What would run a command, or break out of a string or of the SVG, arrives as text. */
static void labels_are_never_code(void **state)
{
    (void)state;
    const char *evil = "`touch pwned`\"; system('touch pwned')#\t@x\\", *markup = "<script>x</script>&_{a}^b";
    assert_int_equal(draw(evil, 2, scratch_folder), PG_OK);
    char path[600];
    snprintf(path, sizeof path, "%s/pwned", scratch_folder);
    assert_int_not_equal(access(path, F_OK), 0);
    char *script = read_file("accuracy.gp"), *svg = read_file("accuracy.svg");
    assert_null(strstr(script, "touch"));
    assert_non_null(strstr(svg, "`touch pwned`'; system("));
    free(svg);
    assert_int_equal(draw(markup, 2, scratch_folder), PG_OK);
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
        assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, NULL, scratch_folder), PG_OK);
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
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, NULL, scratch_folder), PG_OK);
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
             scratch_folder),
        PG_OK);
    char *data = read_file("accuracy.tsv");
    assert_non_null(strstr(data, "\n1\t01234567890123456789012345678901234567890123456789012345678901234567\xc3\xa9...\n"));
    free(data);
}

static void too_many_columns_and_no_results_are_refused(void **state)
{
    (void)state;
    char where[600];
    snprintf(where, sizeof where, "%s/none", scratch_folder);
    assert_int_equal(draw("mean", 7, where), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "at most 6 columns, not 7"));
    pg_table_entry entry = {.row = "mean", .column = "2", .weights = "net", .expected = 10};
    pg_table table = {.row_key = "defense", .column_key = "patch", .entries = &entry, .n_entries = 1};
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, NULL, where), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "figure accuracy: ")); /* `plot all` says which it leaves out */
    assert_int_not_equal(access(where, F_OK), 0);                     /* nothing written */
}

static void rows_have_room_or_are_refused(void **state)
{
    (void)state;
    enum { MANY = 640 };
    static char names[MANY][16];
    static pg_table_entry e[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "%d", i + 1);
        e[i] = (pg_table_entry){.row = names[i],
                                .column = "mean",
                                .weights = "net",
                                .expected = 10,
                                .n = 10,
                                .published = -1,
                                .published_audited = -1};
    }
    const char *title = "TITLE OF NINETY CAPITALS, TITLE OF NINETY CAPITALS, TITLE OF NINETY CAPITALS, TITLE OF NINETY";
    pg_table table = {.title = title, .row_key = "patch", .column_key = "defense", .entries = e, .n_entries = MANY};
    char where[600];
    snprintf(where, sizeof where, "%s/none", scratch_folder);
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, NULL, where), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "at most 632 rows of 1 columns, not 640"));
    assert_int_not_equal(access(where, F_OK), 0);
    table.n_entries = 632;
    assert_int_equal(pg_figure_draw(&pg_figure_accuracy, &table, NULL, scratch_folder), PG_OK);
    char *svg = read_file("accuracy.svg");
    assert_non_null(strstr(svg, ">patch 2<"));
    int width = 0, height = 0;
    assert_int_equal(sscanf(strstr(svg, "width=\""), "width=\"%d\" height=\"%d\"", &width, &height), 2);
    assert_true(height > 15900 && height <= 16000);
    assert_non_null(
        strstr(svg, ">TITLE OF NINETY CAPITALS, TITLE OF NINETY CAPITALS, TITLE OF NINETY<")); /* in lines that fit */
    free(svg);
}

static void gnuplot_errors_are_reported(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s/bad.gp", scratch_folder);
    assert_int_equal(pg_file_write(path, "plot nonsense(\n", 15), PG_OK);
    assert_int_equal(pg_gnuplot_run(scratch_folder, "bad.gp"), PG_EIO);
    assert_non_null(strstr(pg_error_message(), "bad.gp"));
    assert_non_null(strstr(pg_error_message(), "line 1"));
    char *old = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    int code = pg_gnuplot_run(scratch_folder, "bad.gp");
    setenv("PATH", old, 1);
    free(old);
    assert_int_equal(code, PG_EMISSING);
    assert_non_null(strstr(pg_error_message(), "gnuplot-nox"));
}

static void without_gnuplot_nothing_is_left_behind(void **state)
{
    (void)state;
    char where[600];
    snprintf(where, sizeof where, "%s/none", scratch_folder);
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
    char file[600], below[700];
    snprintf(file, sizeof file, "%s/file", scratch_folder);
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

/* ---- Figures of attacks ---- */

enum { ATTACKED = 600 };

/* Images of 32 x 32 pixels under a patch of 5; what lies in the middle breaks more often, and `strength` percent in all. */
static void make_attacks(uint32_t strength, pg_table_attack *out)
{
    for (uint32_t i = 0; i < ATTACKED; i++) {
        pg_rng rng = pg_rng_make(1, PG_STREAM_TEST, i);
        pg_table_attack a = {
            .top = (int)pg_rng_below(&rng, 28), .left = (int)pg_rng_below(&rng, 28), .correct = pg_rng_below(&rng, 10) > 0};
        uint32_t far = (uint32_t)((a.top - 14) * (a.top - 14) + (a.left - 14) * (a.left - 14));
        a.broken = a.correct && pg_rng_below(&rng, 100) < strength * 200 / (200 + far);
        a.steps = !a.correct ? 0 : a.broken ? 1 + (int64_t)pg_rng_below(&rng, 20) * (int64_t)pg_rng_below(&rng, 20) : 500;
        out[i] = a;
    }
}

/* Draws with two cells; `name` is the first one's row. */
static int draw_attacks(const pg_figure *figure, const char *name, bool empty)
{
    static pg_table_attack attacks[2][ATTACKED];
    pg_table_entry entries[3] = {{.row = name}, {.row = "robust-masking\nscope=predicted"}, {.row = "not attacked"}};
    for (size_t i = 0; i < 3; i++) {
        entries[i].column = "5";
        entries[i].weights = "net";
        entries[i].expected = entries[i].n = ATTACKED;
        entries[i].certified = (int64_t)i * 60;
        entries[i].image_height = entries[i].image_width = 32;
        entries[i].patch_height = entries[i].patch_width = 5;
        if (i < 2 && !empty) {
            make_attacks(i == 0 ? 95 : 40, attacks[i]);
            entries[i].attacks = attacks[i];
            entries[i].n_attacks = ATTACKED;
        }
    }
    pg_table table = {.title = "a title", .row_key = "defense", .column_key = "patch", .entries = entries, .n_entries = 3};
    return pg_figure_draw(figure, &table, NULL, scratch_folder);
}

static void accuracy_falls_with_the_steps(void **state)
{
    (void)state;
    assert_int_equal(draw_attacks(&pg_figure_success_steps, "mean", false), PG_OK);
    char *svg = read_file("success-steps.svg"), *data = read_file("success-steps.tsv");
    assert_non_null(strstr(svg, ">mean, patch 5<"));
    assert_non_null(strstr(svg, ">robust-masking, scope=predicted, patch 5<"));
    assert_null(strstr(svg, "not attacked"));
    assert_non_null(strstr(data, "a title\tn = 600 images;"));
    assert_non_null(strstr(svg, ">end<")); /* no number of steps stands below the intervals */
    /* a curve never rises, starts with the images that are right and ends with those that are never broken */
    pg_table_attack attacks[ATTACKED];
    make_attacks(95, attacks);
    int right = 0, left = 0, lines = 0;
    for (size_t i = 0; i < ATTACKED; i++) {
        right += attacks[i].correct;
        left += attacks[i].correct && !attacks[i].broken;
    }
    double before = 100.0 * right / ATTACKED, steps, value;
    for (char *line = strstr(data, "mean, patch 5\n") + 14; *line != '\n'; line = strchr(line, '\n') + 1) {
        assert_int_equal(sscanf(line, "%lf\t%lf", &steps, &value), 2);
        assert_true(lines > 0 ? value <= before + 1e-3 : fabs(value - before) < 1e-3);
        before = value;
        lines++;
    }
    assert_true(lines > 20);
    assert_true(fabs(before - 100.0 * left / ATTACKED) < 1e-3);
    free(svg);
    free(data);
}

static void squares_hold_every_attacked_image(void **state)
{
    (void)state;
    assert_int_equal(draw_attacks(&pg_figure_vulnerability, "mean", false), PG_OK);
    char *svg = read_file("vulnerability.svg"), *data = read_file("vulnerability.tsv");
    assert_non_null(strstr(svg, ">mean, patch 5<"));
    assert_non_null(strstr(svg, ">robust-masking, scope=predicted,<"));
    assert_non_null(strstr(svg, ">patch 5<")); /* on a line of its own */
    assert_non_null(strstr(svg, " in a square<"));
    pg_table_attack attacks[ATTACKED];
    int64_t right = 0, sum = 0;
    for (int cell = 0; cell < 2; cell++) {
        make_attacks(cell == 0 ? 95 : 40, attacks);
        for (size_t i = 0; i < ATTACKED; i++)
            right += attacks[i].correct;
    }
    char *line = data;
    for (int block = 0; block < 2; block++)
        line = strstr(line, "\n\n\n") + 3;
    for (double v[8]; *line != '\n'; line = strchr(line, '\n') + 1) {
        assert_int_equal(
            sscanf(line, "%*d\t%lf\t%lf\t%lf\t%lf\t%lf\t%lf\t%lf\t%lf", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]),
            8);
        assert_true(v[6] >= 0 && v[6] <= 100 && v[3] > v[2] && v[5] > v[4]);
        sum += (int64_t)v[7];
    }
    assert_int_equal(sum, right);
    free(svg);
    free(data);
}

/* An attack that ends at the first place that works says nothing of the others. */
static void places_tried_in_turn_make_no_map(void **state)
{
    (void)state;
    pg_table_attack attacks[ATTACKED];
    make_attacks(50, attacks);
    pg_table_entry entry = {.row = "mean\nlocation=all",
                            .column = "5",
                            .attacks = attacks,
                            .n_attacks = ATTACKED,
                            .several_places = true,
                            .image_height = 32,
                            .image_width = 32,
                            .patch_height = 5,
                            .patch_width = 5};
    pg_table table = {.row_key = "defense", .column_key = "patch", .entries = &entry, .n_entries = 1};
    assert_int_equal(pg_figure_draw(&pg_figure_vulnerability, &table, NULL, scratch_folder), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "cannot show 'mean location=all': its attack tries several places"));
    entry.several_places = false;
    assert_int_equal(pg_figure_draw(&pg_figure_vulnerability, &table, NULL, scratch_folder), PG_OK);
}

static void attack_figures_want_attacks_and_take_any_text(void **state)
{
    (void)state;
    static const pg_figure *const figures[] = {&pg_figure_success_steps, &pg_figure_vulnerability};
    for (size_t i = 0; i < 2; i++) {
        assert_true(figures[i]->reads & PG_READS_ATTACKS);
        assert_int_equal(draw_attacks(figures[i], "mean", true), PG_EINPUT);
        assert_non_null(strstr(pg_error_message(), "images under attack"));
        assert_int_equal(draw_attacks(figures[i], "#`touch pwned`\"@\\^_{a}", false), PG_OK);
        char path[600];
        snprintf(path, sizeof path, "%s/pwned", scratch_folder);
        assert_int_not_equal(access(path, F_OK), 0);
        snprintf(path, sizeof path, "%s.svg", figures[i]->name);
        char *svg = read_file(path);
        assert_non_null(strstr(svg, "`touch pwned`'@/^_{a}"));
        free(svg);
    }
}

static void local_logits_are_counted(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float clean[N], attacked[N];
    for (uint32_t i = 0; i < N; i++) {
        pg_rng rng = pg_rng_make(2, PG_STREAM_TEST, i);
        clean[i] = (float)(4 + 1.5 * pg_rng_normal(&rng));
        attacked[i] = i % 25 ? clean[i] : (float)(30 + 5 * pg_rng_normal(&rng));
    }
    clean[7] = NAN;
    pg_local_logits logits = {.title = "@title", .subtitle = "#5,000 vectors", .clean = clean, .attacked = attacked, .n = N};
    assert_int_equal(pg_local_logits_draw(&logits, scratch_folder), PG_OK);
    char *svg = read_file("local-logits.svg"), *data = read_file("local-logits.tsv"), *line = data;
    assert_non_null(strstr(svg, ">@title<"));
    assert_non_null(strstr(svg, ">#5,000 vectors<"));
    for (int block = 0; block < 2; block++) {
        long long sum = 0, count;
        double lo, share;
        line = strstr(line, "\n\n\n") + 3;
        for (; *line != '\n' && *line != '\0'; line = strchr(line, '\n') + 1) {
            assert_int_equal(sscanf(line, "%lf\t%lf\t%lld", &lo, &share, &count), 3);
            sum += count;
        }
        assert_int_equal(sum, N - (block == 0));
        line--;
    }
    free(svg);
    free(data);
    logits.n = 0;
    assert_int_equal(pg_local_logits_draw(&logits, scratch_folder), PG_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_lie_side_by_side),
        cmocka_unit_test(small_and_wide_tables_have_room),
        cmocka_unit_test(the_same_table_gives_the_same_picture),
        cmocka_unit_test(characters_without_a_font_are_drawn_as_question_marks),
        cmocka_unit_test(a_gnuplot_that_hangs_is_ended),
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
        cmocka_unit_test(accuracy_falls_with_the_steps),
        cmocka_unit_test(squares_hold_every_attacked_image),
        cmocka_unit_test(places_tried_in_turn_make_no_map),
        cmocka_unit_test(attack_figures_want_attacks_and_take_any_text),
        cmocka_unit_test(local_logits_are_counted),
    };
    return cmocka_run_group_tests(tests, scratch_make, keep_or_remove);
}
