/* `patchgauge attack` through the program: files that agree with each other and with the images, pictures, folders of others,
 * bad input that leaves nothing behind, and an interrupted attack that goes on. Needs libtorch. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "tests/support/load_npy.h"
#include "harness/data/dataset.h"
#include "tests/faults/faults.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>

#define BAGNET "models/zoo/synthetic-bagnet.safetensors"
#define ATTACK "attack --dataset synthetic:test --threads 1 --quiet"
#define COMMON ATTACK " --weights " BAGNET " --patch 5"
#define BLACK  ATTACK " --weights null --attack random-search --patch 5 --set random-search.steps=3" /* without libtorch */

enum { FIRST = 120, END = 150, N = END - FIRST, PATCH = 3 * 5 * 5 };

typedef struct row {
    int image, label, before, after, broken, certified, top, left, steps;
    double loss, largest[2];
    int wrong[2];
} row;

static void attack(const char *out, const char *more)
{
    int code = program_run("none.db", COMMON " --images %d:%d --attack lavan %s %s -o %s", FIRST, END,
                           strstr(more, " steps=") ? "" : "--set steps=8", more, scratch_path(out));
    if (code != 0)
        print_error("%s\n", program_output);
    assert_int_equal(code, 0);
}

/* On the null model, whose logits no patch changes. */
static void attack_null(const char *out, const char *more)
{
    int code = program_run("none.db", BLACK " %s -o %s", more, scratch_path(out));
    if (code != 0)
        fail_msg("%s: %d: %s", more, code, program_output);
}

static char *read_text(const char *folder, const char *name)
{
    char path[600], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", scratch_path(folder), name);
    assert_int_equal(pg_file_read(path, 1 << 24, &text, &size), PG_OK);
    return text;
}

static int read_rows(const char *folder, row *rows)
{
    char *text = read_text(folder, "results.csv");
    int n = 0;
    for (char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        row *r = &rows[n++];
        assert_true(n <= N);
        assert_int_equal(sscanf(line, "%d,%d,%d,%d,%d,%d,%d,%d,,%lf,%d,%lf,%lf,%d,%d", &r->image, &r->label, &r->before,
                                &r->after, &r->broken, &r->certified, &r->top, &r->left, &r->loss, &r->steps, &r->largest[0],
                                &r->largest[1], &r->wrong[0], &r->wrong[1]),
                         14);
    }
    free(text);
    return n;
}

static int64_t count_of(const char *folder, const char *key)
{
    char *text = read_text(folder, "meta.json");
    json_t *meta = json_loads(text, 0, NULL);
    assert_non_null(meta);
    json_t *value = json_object_get(json_object_get(meta, "counts"), key);
    assert_non_null(value);
    int64_t count = json_integer_value(value);
    json_decref(meta);
    free(text);
    return count;
}

/* Rows, patches and counts agree; an image that needs no patch keeps its own pixels. */
static void the_files_agree(void **state)
{
    (void)state;
    row rows[N];
    int64_t clean = 0, right = 0, broken = 0, certified = 0;
    attack("one", "--defense robust-masking --set robust-masking.threshold=0.2");
    assert_int_equal(read_rows("one", rows), N);
    pg_npy patches;
    char path[600];
    snprintf(path, sizeof path, "%s/patches.npy", scratch_path("one"));
    assert_int_equal(load_npy(path, &patches), PG_OK);
    assert_int_equal(patches.count, N * PATCH);
    static uint8_t pixels[N][3][32][32];
    pg_dataset *dataset;
    assert_int_equal(pg_dataset_open("", "synthetic:test", &dataset), PG_OK);
    assert_int_equal(pg_dataset_read(dataset, FIRST, N, &pixels[0][0][0][0], NULL), PG_OK);
    pg_dataset_close(dataset);
    for (int i = 0; i < N; i++) {
        const row *r = &rows[i];
        const uint8_t *patch = (const uint8_t *)patches.data + i * PATCH;
        assert_int_equal(r->image, FIRST + i);
        assert_int_equal(r->broken, r->before == r->label && r->after != r->label);
        assert_true(r->top >= 0 && r->left >= 0 && r->top <= 27 && r->left <= 27);
        assert_true(!r->certified || r->after == r->label);
        assert_int_equal(r->steps == 0, r->before != r->label);
        int same = 0;
        for (int k = 0; k < PATCH; k++)
            same += patch[k] == pixels[i][k / 25][r->top + k / 5 % 5][r->left + k % 5];
        assert_true(r->steps > 0 || same == PATCH);
        clean += r->before == r->label;
        right += r->before == r->label && r->after == r->label;
        broken += r->broken;
        certified += r->certified;
    }
    pg_npy_release(&patches);
    assert_true(clean > 0 && broken > 0);
    assert_int_equal(count_of("one", "clean"), clean);
    assert_int_equal(count_of("one", "attacked"), right);
    assert_int_equal(count_of("one", "broken"), broken);
    assert_int_equal(count_of("one", "certified"), certified);
    assert_true(certified <= right);
}

static void pictures_stand_beside(void **state)
{
    (void)state;
    static const char *const names[] = {"sheet", "local-logits"}, *const ends[] = {"svg", "png", "gp", "tsv"};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 4; k++) {
            char path[600];
            snprintf(path, sizeof path, "%s/%s.%s", scratch_path("one"), names[i], ends[k]);
            assert_true(pg_file_size(path) > 100);
        }
    char *svg = read_text("one", "sheet.svg");
    assert_non_null(strstr(svg, "lavan on robust-masking, synthetic-bagnet, synthetic:test, patch 5 x 5"));
    assert_non_null(strstr(svg, ">glyph-"));
    int pictures = 0;
    for (const char *at = svg; (at = strstr(at, "<image ")) != NULL; at++)
        pictures++;
    assert_int_equal(pictures, 16 * 4);
    free(svg);
}

/* Images on the sheet with `--broken-only`: those that results.csv calls broken. */
static void broken_images_alone_are_shown(void **state)
{
    (void)state;
    int shown = 0;
    attack("broken", "--broken-only --sheet 64");
    int broken = (int)count_of("broken", "broken");
    assert_true(broken > 0 && broken < count_of("broken", "clean"));
    char *text = read_text("broken", "sheet.tsv");
    for (const char *at = text; (at = strstr(at, "\timage ")) != NULL; at++)
        shown++;
    assert_int_equal(shown, broken);
    assert_null(strstr(text, "runner-up"));
    free(text);
}

enum { BLACK_IMAGES = 100 };

/* Sums of the evidence for the label on the sheet, by image; 0 for images that are not there. */
static void read_sums(const char *folder, double sums[BLACK_IMAGES])
{
    char *text = read_text(folder, "sheet.tsv"), *line = text;
    int image = -1;
    memset(sums, 0, BLACK_IMAGES * sizeof *sums);
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        double sum;
        *end = '\0';
        (void)sscanf(line, "%*f %*f image %d", &image);
        if (image >= 0 && image < BLACK_IMAGES && sums[image] == 0 && sscanf(line, "%*f %*f sum %lf", &sum) == 1)
            sums[image] = sum;
    }
    free(text);
}

/* Of one network: a mask takes the heaviest window out of the sum, and so takes it down. */
static void what_is_masked_is_not_in_the_sums(void **state)
{
    (void)state;
    double masked[BLACK_IMAGES], whole[BLACK_IMAGES];
    attack_null("masked", "--images 0:100 --defense robust-masking --set threshold=0 --sheet 12");
    attack_null("whole-sums", "--images 0:100 --defense robust-masking --set threshold=1 --sheet 12");
    read_sums("masked", masked);
    read_sums("whole-sums", whole);
    int both = 0;
    for (int i = 0; i < BLACK_IMAGES; i++) {
        both += masked[i] > 0 && whole[i] > 0;
        assert_true(masked[i] == 0 || whole[i] == 0 || masked[i] < whole[i]);
    }
    assert_true(both >= 10);
}

/* Also where options are named by kind, and without pictures. */
static void the_same_command_gives_the_same_bytes(void **state)
{
    (void)state;
    attack_null("two", "--images 0:100 --defense robust-masking --set defense.threshold=0 --set attack.batch=64 --sheet 0");
    static const char *const names[] = {"results.csv", "meta.json"};
    for (int i = 0; i < 2; i++) {
        char *a = read_text("masked", names[i]), *b = read_text("two", names[i]);
        assert_string_equal(a, b);
        free(a);
        free(b);
    }
    assert_int_equal(scratch_count(scratch_path("two")), 4); /* and the database */
}

/* An attack that needs no gradients runs on the null model, whose logits no patch changes. */
static void black_boxes_run_without_gradients(void **state)
{
    (void)state;
    attack_null("null", "--images 0:20 --sheet 1");
    assert_non_null(strstr(program_output, "accuracy under attack"));
    assert_int_equal(count_of("null", "broken"), 0);
}

/* One image that is wrong already: nothing is attacked; pictures of an attack before go. */
static void no_sheet_where_nothing_was_attacked(void **state)
{
    (void)state;
    char one[64];
    row rows[N];
    int wrong = 0;
    assert_int_equal(access(scratch_path("null/sheet.svg"), F_OK), 0);
    assert_int_equal(read_rows("null", rows), 20);
    while (wrong < 20 && rows[wrong].before == rows[wrong].label)
        wrong++;
    assert_true(wrong < 20);
    snprintf(one, sizeof one, "--images %d:%d --force", wrong, wrong + 1);
    attack_null("null", one);
    assert_int_not_equal(access(scratch_path("null/sheet.svg"), F_OK), 0);
    assert_int_equal(access(scratch_path("null/local-logits.svg"), F_OK), 0);
}

static void bad_input_is_one_error_and_leaves_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *says;
    } cases[] = {
        {"--attack lavan --patch 40", "larger than the image"},
        {"--attack lavan --patch 0", "patch"},
        {"--attack lavna", "did you mean 'lavan'"},
        {"--attack lavan --defense mea", "did you mean 'mean'"},
        {"--attack lavan --set location=everywhere", "random, fixed, centre, grid, all, gradient"},
        {"--attack lavan --set stepz=5", "no option of attack lavan or defense mean"},
        {"--attack lavan --set clip.clip=0:5", "no option of attack lavan or defense mean"},
        {"--attack lavan --set lavan.stepz=5", "--set lavan.stepz: "},
        {"--attack lavan --set steps=5 --set lavan.steps=6", "given twice, as 'steps=5' and 'lavan.steps=6'"},
        {"--attack lavan --set steps", "right would be KEY=VALUE"},
        {"--attack lavan --set 'target=x\"\\y'", "target"},
        {"--attack none", "attacks nothing"},
        {"--attack lavan --set target=0 --images 0:40", "has the label 0, which is the target"},
        {"--attack lavan --set target=0 --set steps=1000000 --images 0:2000", "has the label 0, which is the target"},
        {"--attack lavan --set target=99", "classes"},
        {"--attack lavan --images 10:2", "FIRST < END"},
        {"--attack lavan --images 0:99999", "has the images 0:2000"},
        {"--attack lavan --sheet 65", "from 0 to 64"},
        {"--attack lavan --weights null", "needs gradients"},
        {"--attack lavan --weights $(printf 'a\\377')", "is not UTF-8"},
        {"", "--attack is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *more = cases[i].arguments, *weights = strstr(more, "--weights") ? "" : "--weights " BAGNET,
                   *patch = strstr(more, "--patch") ? "" : "--patch 5";
        assert_int_equal(program_run("none.db", ATTACK " %s %s -o %s %s", weights, patch, scratch_path("bad"), more), 2);
        if (strstr(program_output, cases[i].says) == NULL)
            print_error("%s: %s\n", cases[i].arguments, program_output);
        assert_non_null(strstr(program_output, cases[i].says));
        const char *line = strchr(program_output, '\n');
        assert_true(line != NULL && line[1] == '\0');
        assert_int_not_equal(access(scratch_path("bad"), F_OK), 0);
    }
    scratch_write("file", "mine", 4);
    assert_int_equal(program_run("none.db", COMMON " --attack lavan -o %s", scratch_path("file")), 2);
    assert_non_null(strstr(program_output, "is a file"));
    assert_int_not_equal(access(scratch_path("none.db"), F_OK), 0);
}

/* Images of the target's own class have nothing to reach. */
static void targets_are_reached_from_other_classes(void **state)
{
    (void)state;
    enum { TARGET = 3 };
    int others = 0, reached = 0, own = 0;
    char told[80];
    assert_int_equal(program_run("none.db",
                                 COMMON
                                 " --images 0:60 --attack universal --set steps=0 --set training_images=8 --set target=%d "
                                 "--sheet 0 -o %s",
                                 TARGET, scratch_path("targeted")),
                     0);
    char *text = read_text("targeted", "results.csv");
    for (char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        int image, label, before, after;
        assert_int_equal(sscanf(line, "%d,%d,%d,%d", &image, &label, &before, &after), 4);
        own += label == TARGET && after == TARGET;
        others += label != TARGET;
        reached += label != TARGET && after == TARGET;
    }
    free(text);
    assert_true(own > 0);
    snprintf(told, sizeof told, ", %d of %d images of another class", reached, others);
    assert_non_null(strstr(program_output, told));
}

static void expect_text(const char *folder, const char *name, const char *expected)
{
    char *text = read_text(folder, name);
    assert_string_equal(text, expected);
    free(text);
}

static void expect_refused(const char *out, const char *more)
{
    assert_int_equal(program_run("none.db", BLACK " --images 0:2 --sheet 0 %s -o %s", more, scratch_path(out)), 2);
    assert_non_null(strstr(program_output, "holds something else than this attack; --force replaces"));
}

/* A folder that holds anything but this attack is refused before the work. */
static void files_of_others_stay(void **state)
{
    (void)state;
    static const char *const names[] = {"results.csv", "sheet.tsv", "attack.db", "thesis.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char folder[32], path[64];
        snprintf(folder, sizeof folder, "others%zu", i);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(mkdir(scratch_path(folder), 0777), 0);
        scratch_write(path, "mine", 4);
        expect_refused(folder, "");
        expect_text(folder, names[i], "mine");
        assert_int_equal(scratch_count(scratch_path(folder)), 1);
        attack_null(folder, "--images 0:2 --sheet 0 --force");
        bool ours = strcmp(names[i], "thesis.txt") != 0;
        assert_int_equal(scratch_count(scratch_path(folder)), 4 + !ours);
        if (!ours)
            expect_text(folder, names[i], "mine");
    }
    char *before = read_text("others0", "results.csv"); /* so is one with another attack */
    expect_refused("others0", "--seed 1");
    expect_text("others0", "results.csv", before);
    attack_null("others0", "--images 0:2 --sheet 0 --seed 1 --force");
    char *after = read_text("others0", "results.csv");
    assert_string_not_equal(before, after);
    attack_null("others0", "--images 0:2 --sheet 0 --seed 1"); /* but this one is not */
    expect_text("others0", "results.csv", after);
    free(before);
    free(after);
}

/* A disk that is full leaves the files that were there, all of them. */
static void results_are_replaced_as_a_whole(void **state)
{
    (void)state;
    static const char *const names[] = {"results.csv", "meta.json"};
    char line[2048];
    attack_null("whole", "--images 0:60 --sheet 0");
    char *whole[2];
    for (int i = 0; i < 2; i++) {
        char path[64];
        whole[i] = read_text("whole", names[i]);
        snprintf(path, sizeof path, "whole/%s", names[i]);
        scratch_write(path, "old", 3);
    }
    snprintf(line, sizeof line, "trap '' XFSZ; ulimit -f 8; %s " BLACK " --images 0:60 --sheet 0 -o %s/whole 2>&1",
             program_path(), scratch_folder); /* 60 patches of 75 bytes do not fit into 8 blocks, the other files do */
    int code = program_shell(line);
    if (code != 4)
        fail_msg("%d: %s", code, program_output);
    for (int i = 0; i < 2; i++)
        expect_text("whole", names[i], "old");
    assert_int_equal(scratch_count(scratch_path("whole")), 4);
    attack_null("whole", "--images 0:60 --sheet 0");
    for (int i = 0; i < 2; i++) {
        expect_text("whole", names[i], whole[i]);
        free(whole[i]);
    }
}

/* Before the first image is done. */
static void an_interruption_may_leave_nothing(void **state)
{
    (void)state;
    char busy[700];
    snprintf(busy, sizeof busy, "[ -s %s/stopped/attack.db ]", scratch_folder);
    int code = program_interrupt("none.db", busy, BLACK " --set null.sleep_us=500 --set restarts=100000 -o %s/stopped",
                                 scratch_folder);
    assert_int_equal(code, 3);
    assert_non_null(strstr(program_output, "interrupted"));
    assert_int_not_equal(access(scratch_path("stopped"), F_OK), 0);
}

/* The first Ctrl-C is answered; what is done by then is kept, and the same command ends with the files of an attack that nobody
 * stopped. */
static void an_interrupted_attack_goes_on(void **state)
{
    (void)state;
    static const char *const options[] = {"--images 3:83", "--set null.sleep_us=1000", "--set random-search.batch=8",
                                          "--sheet 0"};
    char command[512] = "", path[600];
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        strcat(strcat(command, " "), options[i]);
    attack_null("undisturbed", command);
    snprintf(path, sizeof path, "%s/resumed", scratch_folder);
    pid_t child = fault_start("said", (const char *const[]){"attack",
                                                            "--dataset",
                                                            "synthetic:test",
                                                            "--weights",
                                                            "null",
                                                            "--attack",
                                                            "random-search",
                                                            "--patch",
                                                            "5",
                                                            "--set",
                                                            "random-search.steps=3",
                                                            "--images",
                                                            "3:83",
                                                            "--set",
                                                            "null.sleep_us=1000",
                                                            "--set",
                                                            "random-search.batch=8",
                                                            "--threads",
                                                            "1",
                                                            "--sheet",
                                                            "0",
                                                            "-o",
                                                            path,
                                                            NULL});
    while (access(scratch_path("resumed/attack.db"), F_OK) != 0 ||
           fault_number("resumed/attack.db", "SELECT count(*) FROM task WHERE state = 'done'") < 1)
        fault_sleep(0.005);
    kill(child, SIGINT);
    assert_int_equal(program_wait(child), 3);
    char *said = read_text(".", "said");
    assert_non_null(strstr(said, "stopping: waiting for "));
    assert_non_null(strstr(said, "interrupted: "));
    assert_non_null(strstr(said, "; the same command goes on"));
    free(said);
    int64_t done = fault_number("resumed/attack.db", "SELECT count(*) FROM outcome");
    assert_true(done > 0 && done < 80);
    assert_int_not_equal(access(scratch_path("resumed/results.csv"), F_OK), 0);
    attack_null("resumed", command);
    static const char *const names[] = {"results.csv", "meta.json"};
    for (int i = 0; i < 2; i++) {
        char *whole = read_text("undisturbed", names[i]);
        expect_text("resumed", names[i], whole);
        free(whole);
    }
    assert_int_equal(fault_number("resumed/attack.db", "SELECT count(*) FROM outcome"), 80);
    assert_true(fault_number("resumed/attack.db", "SELECT count(DISTINCT worker) FROM attempt") == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_agree),
        cmocka_unit_test(pictures_stand_beside),
        cmocka_unit_test(broken_images_alone_are_shown),
        cmocka_unit_test(what_is_masked_is_not_in_the_sums),
        cmocka_unit_test(the_same_command_gives_the_same_bytes),
        cmocka_unit_test(black_boxes_run_without_gradients),
        cmocka_unit_test(no_sheet_where_nothing_was_attacked),
        cmocka_unit_test(bad_input_is_one_error_and_leaves_nothing),
        cmocka_unit_test(targets_are_reached_from_other_classes),
        cmocka_unit_test(files_of_others_stay),
        cmocka_unit_test(results_are_replaced_as_a_whole),
        cmocka_unit_test(an_interruption_may_leave_nothing),
        cmocka_unit_test(an_interrupted_attack_goes_on),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
