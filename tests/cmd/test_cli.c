/* End to end through the program ($PATCHGAUGE, default build/patchgauge): a matrix on the null model is run, printed in every
 * format and drawn; bad input ends with exit code 2, one message and nothing written. Needs no libtorch and no real images. */
#include "harness/base/file.h"
#include "plots/figure.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { OUTPUT_MAX = 1 << 18 };

static char folder[] = "/tmp/pg-test-cli-XXXXXX";
static char output[OUTPUT_MAX];

static const char matrix[] = "name = \"small\"\n"
                             "[fixed]\n"
                             "dataset = \"synthetic:test\"\n"
                             "images = \"0:96\"\n"
                             "weights = \"null\"\n"
                             "[axes]\n"
                             "defense = [\"mean\", \"ds\", \"robust-masking\"]\n"
                             "patch = [2, 8]\n"
                             "\"robust-masking.threshold\" = [0, 0.2]\n"
                             "\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(pg_file_write(path, text, strlen(text)), PG_OK);
}

/* Exit code of `$P ARGUMENTS`, where $P is the program with the database $DIR/db, and $Q with another one; both output streams
 * in `output`. */
static int run(const char *command)
{
    char line[2048];
    const char *program = getenv("PATCHGAUGE");
    snprintf(line, sizeof line,
             "DIR=%s; B=%s; P=\"$B --db $DIR/db --cache $DIR/cache\" Q=\"$B --db $DIR/other\"; exec 2>&1; %s", folder,
             program != NULL ? program : "build/patchgauge", command);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t size = fread(output, 1, sizeof output - 1, pipe);
    output[size] = '\0';
    return WEXITSTATUS(pclose(pipe));
}

static void expect(const char *piece)
{
    if (strstr(output, piece) == NULL)
        print_error("not in the output: %s\n%s\n", piece, output);
    assert_non_null(strstr(output, piece));
}

static void ok(const char *command)
{
    int code = run(command);
    if (code != 0)
        print_error("%s: exit code %d\n%s\n", command, code, output);
    assert_int_equal(code, 0);
}

static int run_matrix(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    put("m.toml", matrix);
    int code = run("$P --quiet run $DIR/m.toml");
    if (code != 0)
        print_error("%s\n", output);
    return code;
}

static int remove_folder(void **state)
{
    (void)state;
    return run("rm -rf $DIR");
}

static void table_is_complete_and_readable(void **state)
{
    (void)state;
    ok("$P --quiet table $DIR/m.toml");
    expect("small: synthetic:test, null\n");
    expect("n = 96 images in every cell");
    expect("defense");
    expect("patch 2");
    expect("patch 8");
    expect("scope=predicted");
    expect("threshold=0.2");
    expect("(certified_published) is no proof");
    assert_null(strstr(output, "not complete"));
    for (char *line = strtok(output, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 80);
}

static void rows_columns_and_overrides_are_free(void **state)
{
    (void)state;
    ok("$P --quiet table $DIR/m.toml -S defense=robust-masking -S robust-masking.scope=per-class --rows threshold --cols patch "
       "--metrics clean");
    expect("threshold  metric  patch 2");
    expect("\n0.2        clean");
    assert_null(strstr(output, "scope"));
    ok("$P --quiet table $DIR/m.toml --metrics false_positive -f json-lines");
    expect("robust-masking");
    assert_null(strstr(output, "\"defense\": \"mean\""));
    ok("$P --quiet table $DIR/m.toml --rows patch --cols defense -S defense=mean,ds -f md");
    expect("| defense mean");
}

static void cells_without_results_are_marked(void **state)
{
    (void)state;
    ok("$P --quiet table $DIR/m.toml -S patch=2,3 -S defense=mean");
    expect("-*");
    expect("not complete, 1 of 2 cells");
    assert_int_equal(run("$P plot accuracy $DIR/m.toml -S patch=3 -o $DIR/none"), 2);
    expect("no cell of this matrix has results yet");
}

static void the_figure_is_drawn(void **state)
{
    (void)state;
    ok("$P plot accuracy $DIR/m.toml -o $DIR/figures && cd $DIR/figures && ls");
    expect("accuracy.gp\naccuracy.pdf\naccuracy.png\naccuracy.svg\naccuracy.tsv\n");
    ok("$P plot all $DIR/m.toml -o $DIR/all && test -s $DIR/all/accuracy.svg");
}

static void bad_input_is_one_message_and_writes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *command, *message;
    } rows[] = {
        {"table", "MATRIX.toml is missing"},
        {"table $DIR/absent.toml", "absent.toml"},
        {"table $DIR/m.toml -f xml", "text, csv, json, json-lines, md or latex"},
        {"table $DIR/m.toml --metrics certifed", "did you mean 'certified'"},
        {"table $DIR/m.toml --rows defens", "did you mean 'defense'"},
        {"table $DIR/m.toml --rows ''", "list of keys"},
        {"table $DIR/m.toml -S defense=means", "mean"},
        {"$Q table $DIR/m.toml", "no such database"},
        {"plot acuracy $DIR/m.toml", "did you mean 'accuracy'"},
        {"plot accuracy", "usage: patchgauge plot"},
        {"plot accuracy $DIR/m.toml -o $DIR/m.toml/x", "not one"},
        {"plot accuracy $DIR/m.toml -o $DIR/m.toml", "not one"},
        {"plot accuracy $DIR/m.toml -o ''", "-o : right would be a text that is not empty"},
        {"$Q run $DIR/absent.toml", "absent.toml"},
        {"$Q run $DIR/m.toml -S pach=2", "patch"},
        {"$Q run $DIR/m.toml -S patch=99", "patch"},
        {"tabel", "did you mean 'table'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char command[512];
        snprintf(command, sizeof command, "%s%s", rows[i].command[0] == '$' ? "" : "$P ", rows[i].command);
        int code = run(command);
        if (code != 2)
            print_error("%s: exit code %d\n%s\n", rows[i].command, code, output);
        assert_int_equal(code, 2);
        expect(rows[i].message);
    }
    assert_int_not_equal(run("ls $DIR/other"), 0);
}

/* Blanks and line ends as one blank. */
static void flatten(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (!strchr(" \n", *from))
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
}

/* The pages are written by hand; the tables they speak of are not. */
static void help_names_every_metric_figure_and_format(void **state)
{
    (void)state;
    ok("$P help table");
    for (size_t i = 0; pg_metrics[i].name != NULL; i++)
        if (strncmp(pg_metrics[i].name, "case_", 5) != 0) /* "case_0 to case_4" */
            expect(pg_metrics[i].name);
    for (size_t i = 0; pg_table_formats[i] != NULL; i++)
        expect(pg_table_formats[i]);
    ok("$P help plot");
    flatten(output);
    for (size_t i = 0; pg_figures[i] != NULL; i++) {
        expect(pg_figures[i]->name);
        expect(pg_figures[i]->summary);
        assert_non_null(pg_figures[i]->requires);
        expect(pg_figures[i]->requires);
    }
}

static void a_full_disk_is_a_system_error(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(run("$P --quiet table $DIR/m.toml >/dev/full"), 4);
}

/* Attacked cells have figures of their own; `all` draws them where there are some. */
static void figures_of_attacks_are_drawn_where_there_are_some(void **state)
{
    (void)state;
    assert_int_equal(run("$P plot vulnerability $DIR/m.toml -o $DIR/none"), 2);
    expect("images under attack");
    assert_int_equal(run("$P plot all $DIR/m.toml -o $DIR/plain && test ! -e $DIR/plain/vulnerability.svg"), 0);
#define ATTACKED "$DIR/m.toml -S attack=random-search -S random-search.steps=2 -S patch=8 -S defense=mean -S images=0:40"
    ok("$P --quiet run " ATTACKED);
    ok("$P plot all " ATTACKED
       " -o $DIR/attacked && cd $DIR/attacked && test -s accuracy.svg && test -s vulnerability.png && cat "
       "success-steps.tsv");
    expect(
        "\tdefense mean, patch 8, attack random-search, steps=2; n = 40 images"); /* what does not vary is no part of labels */
    expect("\n\"\"\n1\t");
    expect("\n3\t"); /* the start and two steps */
    ok("$P --quiet run " ATTACKED " -S random-search.places=2");
    assert_int_equal(run("$P plot vulnerability " ATTACKED " -S random-search.places=2 -o $DIR/places"), 2);
    expect("its attack tries several places on an image");
    ok("$P plot all " ATTACKED " -S random-search.places=2 -o $DIR/places && cd $DIR/places && ls");
    expect("left out: figure vulnerability cannot show the cell");
    expect("success-steps.png");
#undef ATTACKED
}

/* What is fixed and not the default stands below the title, with its module where another one has another value. */
static void subtitles_name_what_is_not_the_default(void **state)
{
    (void)state;
#define CONFIDENT "$DIR/m.toml -S mean.feature=confidence -S patch=2 -S robust-masking.scope=per-class"
    ok("$P --quiet run " CONFIDENT);
    ok("$P plot accuracy " CONFIDENT " --only defense=mean -o $DIR/one && cat $DIR/one/accuracy.tsv");
    expect("\tdefense mean, patch 2, feature=confidence; n = 96 images");
    ok("$P plot accuracy " CONFIDENT " -o $DIR/three && cat $DIR/three/accuracy.tsv");
    expect("\tpatch 2, mean.feature=confidence; n = 96 images");
    expect("\n1\tmean\n2\tds\n3\trobust-masking, threshold=0\n");
    ok("$P plot accuracy " CONFIDENT
       " -S robust-masking.feature=confidence --only defense=mean -o $DIR/one && cat $DIR/one/accuracy.tsv");
    expect("\tdefense mean, patch 2, feature=confidence; n = 96 images");
#undef CONFIDENT
}

/* Options of pictures: what they change, and what would be right. */
static void pictures_are_as_the_user_wants(void **state)
{
    (void)state;
    ok("$P plot accuracy $DIR/m.toml -o $DIR/paper --style paper --order ds,mean --label ds=Smoothing --title 'A title' "
       "--font 'DejaVu Sans,8' --width 9cm --tex && cd $DIR/paper && ls && cat accuracy.tsv && grep -o 'width=\"[0-9]*\"' "
       "accuracy.svg && "
       "grep -c fontsize{8} accuracy-tex.tex");
    expect("accuracy-tex.pdf");
    expect("A title\t");
    expect("\n1\tSmoothing\n2\tmean\n3\trobust-masking, ");
    expect("width=\"340\"");
    ok("$P plot all $DIR/m.toml --order 8,ds -o $DIR/ordered && cat $DIR/ordered/accuracy.tsv");
    expect("/ordered/threshold.svg"); /* which has no column 8 */
    expect("\n1\tds\n");
    static const char *const wrong[][2] = {
        {"--label clip", "--label clip: right would be OLD=NEW"},
        {"--label clop=x", "--label clop=x: nothing in the figure is called so; there are "},
        {"--width 85", "--width 85: right would be a length from 40mm to 1000mm with its unit"},
        {"--font 'No Such Font'", "no font 'No Such Font' is installed here"},
        {"--font 'x;y'", "right would be the family of a font"},
        {"--style papre", "did you mean 'paper'?"},
        {"--order clop", "no row, column or network is called 'clop'"},
        {"--title x --no-title", "--title and --no-title exclude each other"},
    };
    static const char *const figures[] = {"accuracy", "all"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (size_t k = 0; k < 2; k++) {
            char command[300];
            snprintf(command, sizeof command, "$P plot %s $DIR/m.toml -o $DIR/wrong %s", figures[k], wrong[i][0]);
            assert_int_equal(run(command), 2);
            expect(wrong[i][1]);
            ok("test ! -e $DIR/wrong");
        }
}

/* `all` draws what there are data for, and says of every other figure why not; numbers that are no settings are columns as
 * well. */
static void all_figures_are_drawn_or_explained(void **state)
{
    (void)state;
#define FIELDS "$DIR/m.toml -S defense=mean,robust-masking -S patch=2 -S null.field=3,7 -S robust-masking.scope=per-class"
    ok("$P --quiet --cache-size 0 run " FIELDS);
    ok("$P plot all " FIELDS " -o $DIR/fields");
    static const char *const drawn[] = {"accuracy", "receptive-field", "threshold", "time", "trade-off"};
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++) {
        char line[64];
        snprintf(line, sizeof line, "/fields/%s.svg, .png, .pdf", drawn[i]);
        expect(line);
    }
    static const char *const reasons[] = {"left out: figure clip wants two values on a line",
                                          "left out: figure patch-size wants two values on a line",
                                          "left out: figure failure-cases: no cell with results has",
                                          "left out: figure training: no weights file of this matrix",
                                          "left out: figure certified-attacked: no cell",
                                          "left out: figure success-steps: no cell",
                                          "left out: figure vulnerability: no cell"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        expect(reasons[i]);
    ok("cat $DIR/fields/receptive-field.tsv $DIR/fields/time.tsv");
    expect("\tpatch 2; n = 96 images"); /* which no label names */
    expect("\nrobust-masking, threshold=0.2\n3\t");
    expect("1\tnull, field=3\tcpu, ");
    expect(", batch 128, 3 cells at once\n");
    ok("$P --quiet table " FIELDS " --cols receptive-field --metrics clean");
    expect("receptive-field 3");
    assert_int_equal(run("$P plot clip $DIR/m.toml -S defense=mean -o $DIR/none"), 2);
    expect("figure clip: no cell of this matrix has a setting 'clip'");
#undef FIELDS
    assert_int_equal(run("$P plot all $DIR/m.toml -S patch=3 -o $DIR/none && test ! -e $DIR/none"), 2);
    expect("no figure is drawn");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_complete_and_readable),
        cmocka_unit_test(rows_columns_and_overrides_are_free),
        cmocka_unit_test(cells_without_results_are_marked),
        cmocka_unit_test(the_figure_is_drawn),
        cmocka_unit_test(bad_input_is_one_message_and_writes_nothing),
        cmocka_unit_test(help_names_every_metric_figure_and_format),
        cmocka_unit_test(a_full_disk_is_a_system_error),
        cmocka_unit_test(figures_of_attacks_are_drawn_where_there_are_some),
        cmocka_unit_test(subtitles_name_what_is_not_the_default),
        cmocka_unit_test(pictures_are_as_the_user_wants),
        cmocka_unit_test(all_figures_are_drawn_or_explained),
    };
    return cmocka_run_group_tests(tests, run_matrix, remove_folder);
}
