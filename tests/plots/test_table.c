/* Unit tests of plots/table: layout, notes and formats, on entries made by hand. */
#include "plots/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const pg_table_entry whole = {
    .weights = "net",
    .expected = 1000,
    .n = 1000,
    .clean = 912,
    .certified = 480,
    .attacked = -1,
    .published = -1,
    .published_audited = -1,
    .cases = {-1, -1, -1, -1, -1},
    .masked = -1,
    .smallest_margin = -1,
};

static pg_table_entry entry(const char *row, const char *column)
{
    pg_table_entry e = whole;
    e.row = row;
    e.column = column;
    return e;
}

static char *print(const pg_table_entry *entries, size_t n, const char *metrics, pg_table_format format)
{
    const pg_metric *list[8];
    pg_table table = {
        .title = "demo", .row_key = "defense", .column_key = "patch", .entries = entries, .n_entries = n, .metrics = list};
    char names[128];
    strcpy(names, metrics);
    for (char *name = strtok(names, ","); name != NULL; name = strtok(NULL, ","))
        assert_int_equal(pg_metric_find(name, &list[table.n_metrics++]), PG_OK);
    pg_buf out;
    pg_buf_init(&out);
    assert_int_equal(pg_table_print(&table, format, &out), PG_OK);
    return pg_buf_take(&out);
}

static void expect(const pg_table_entry *entries, size_t n, const char *metrics, pg_table_format format, const char *want)
{
    char *got = print(entries, n, metrics, format);
    assert_string_equal(got, want);
    free(got);
}

static bool has(const pg_table_entry *entries, size_t n, pg_table_format format, const char *piece)
{
    char *got = print(entries, n, "clean,certified", format);
    bool found = strstr(got, piece) != NULL;
    free(got);
    return found;
}

static void text_lays_out_rows_columns_and_metrics(void **state)
{
    (void)state;
    const pg_table_entry e[] = {entry("mean", "2"), entry("mean", "8"), entry("ds\nrule=votes", "2"),
                                entry("ds\nrule=votes", "8")};
    expect(e, 4, "clean,certified,certified_published", PG_TABLE_TEXT,
           "demo\n"
           "% of images, 95% Wilson interval in parentheses; n = 1000 images in every cell\n"
           "\n"
           "defense     metric     patch 2           patch 8\n"
           "----------  ---------  ----------------  ----------------\n"
           "mean        clean      91.2 (89.3-92.8)  91.2 (89.3-92.8)\n"
           "            certified  48.0 (44.9-51.1)  48.0 (44.9-51.1)\n"
           "ds          clean      91.2 (89.3-92.8)  91.2 (89.3-92.8)\n"
           "rule=votes  certified  48.0 (44.9-51.1)  48.0 (44.9-51.1)\n");
}

static void attacks_stand_between_clean_and_certified(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("mean", "2"), entry("clip", "2"), entry("ds", "2")};
    e[0].attacked = 100;
    e[1].attacked = 500;
    e[0].gradient_is_of_mean = e[2].gradient_is_of_mean = true; /* that of a cell without an attack says nothing */
    expect(e, 3, "clean,attacked,certified", PG_TABLE_TEXT,
           "demo\n"
           "% of images, 95% Wilson interval in parentheses; n = 1000 images in every cell\n"
           "\n"
           "defense  metric        patch 2\n"
           "-------  ------------  ----------------\n"
           "mean     clean         91.2 (89.3-92.8)\n"
           "         under attack  10.0 (8.3-12.0)\n"
           "         certified     48.0 (44.9-51.1)\n"
           "clip     clean         91.2 (89.3-92.8)\n"
           "         under attack  50.0 (46.9-53.1)\n"
           "         certified     48.0 (44.9-51.1)\n"
           "ds       clean         91.2 (89.3-92.8)\n"
           "         certified     48.0 (44.9-51.1)\n"
           "\n"
           "- under attack: what the attack that ran leaves; a stronger one may leave less\n"
           "- attacked through the mean of the local logits, not through the defense, so\n"
           "  that the defense may do worse: mean / 2\n");
    assert_false(has(e, 3, PG_TABLE_TEXT, "BROKEN"));
    e[1].broken = 3;
    assert_true(has(e, 3, PG_TABLE_TEXT, "- CERTIFICATES BROKEN by the attack, so they are no proofs: clip / 2\n"));
}

static void markdown_escapes_what_it_would_act_on(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("a|b", "2")};
    expect(e, 1, "clean", PG_TABLE_MD,
           "**demo**\n\n"
           "% of images, 95% Wilson interval in parentheses; n = 1000 images in every cell\n"
           "\n"
           "| defense | metric | patch 2          |\n"
           "|---------|--------|------------------|\n"
           "| a\\|b    | clean  | 91.2 (89.3-92.8) |\n");
    e[0].row = "[x](y)&amp;*_`<\\~";
    assert_true(has(e, 1, PG_TABLE_MD, "| \\[x\\](y)\\&amp;\\*\\_\\`\\<\\\\\\~ |"));
    assert_true(has(e, 1, PG_TABLE_TEXT, "\n[x](y)&amp;*_`<\\~  clean"));
    e[0].delta = -1; /* notes too */
    e[0].weights = "[net]_1";
    assert_true(has(e, 1, PG_TABLE_MD, "- locality not measured for \\[net\\]\\_1: "));
    assert_true(has(e, 1, PG_TABLE_TEXT, "- locality not measured for [net]_1: "));
}

static void wide_tables_go_on_in_further_blocks(void **state)
{
    (void)state;
    pg_table_entry e[12];
    static const char *const columns[] = {"1", "2", "3", "4", "5", "6"};
    for (size_t i = 0; i < 12; i++)
        e[i] = entry(i < 6 ? "mean" : "robust-masking\nweights=ds4-resnet18", columns[i % 6]);
    for (int format = PG_TABLE_TEXT; format <= PG_TABLE_MD; format += PG_TABLE_MD - PG_TABLE_TEXT) {
        char *got = print(e, 12, "clean,certified", (pg_table_format)format);
        size_t blocks = 0, page = format == PG_TABLE_TEXT ? 80 : 104;
        for (char *line = strtok(got, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            assert_true(strlen(line) <= page);
            blocks += strstr(line, "metric") != NULL && strstr(line, "patch") != NULL;
        }
        assert_true(blocks >= 2);
        free(got);
    }
}

static void control_characters_never_reach_the_terminal(void **state)
{
    (void)state;
    const pg_table_entry e[] = {entry("me\x1b[2Jan", "2")};
    for (int format = PG_TABLE_TEXT; format <= PG_TABLE_MD; format += PG_TABLE_MD - PG_TABLE_TEXT)
        assert_true(has(e, 1, (pg_table_format)format, format == PG_TABLE_MD ? "me?\\[2Jan" : "me?[2Jan"));
    const pg_table_entry c1[] = {entry("me\xc2\x9b"
                                       "2Jan",
                                       "2")};
    assert_true(has(c1, 1, PG_TABLE_TEXT, "me?2Jan"));
}

static void titles_stay_on_one_line(void **state)
{
    (void)state;
    const pg_table_entry e[] = {entry("mean", "2")};
    const pg_metric *metric = &pg_metrics[0];
    pg_table table = {.title = "one\ntwo\x1b[2J\xff",
                      .row_key = "defense",
                      .column_key = "patch",
                      .entries = e,
                      .n_entries = 1,
                      .metrics = &metric,
                      .n_metrics = 1};
    pg_buf out;
    pg_buf_init(&out);
    assert_int_equal(pg_table_print(&table, PG_TABLE_TEXT, &out), PG_OK);
    assert_int_equal(strncmp(out.data, "one?two?[2J\xef\xbf\xbd\n%", 16), 0);
    pg_buf_clear(&out);
    assert_int_equal(pg_table_print(&table, PG_TABLE_MD, &out), PG_OK);
    assert_int_equal(strncmp(out.data, "**one?two?\\[2J\xef\xbf\xbd**\n", 20), 0);
    pg_buf_release(&out);
}

/* Overlong forms, surrogates, beyond the last code point, cut off, stray continuation, U+FFFF. */
static void bytes_that_are_no_text_are_replaced(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff", "\xc0", "\xf5", "\x80", "\xc3", "\xe2", "\xc1"};
    static const char *const good[] = {"\xc3\xa9",     "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                       "\xef\xbf\xbd", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
    static const char *const thrice[] = {"\xe0\x80\x80", "\xed\xa0\x80", "\xef\xbf\xbf", "\xef\xbf\xbe"};
    char row[64], want[64];
    for (int format = PG_TABLE_TEXT; format <= PG_TABLE_MD; format += PG_TABLE_MD - PG_TABLE_TEXT) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            snprintf(row, sizeof row, "me%san", bad[i]);
            pg_table_entry e = entry(row, "2");
            assert_true(has(&e, 1, (pg_table_format)format,
                            "me\xef\xbf\xbd"
                            "an"));
        }
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            snprintf(row, sizeof row, "me%san", good[i]);
            pg_table_entry e = entry(row, "2");
            assert_true(has(&e, 1, (pg_table_format)format, row));
        }
        for (size_t i = 0; i < sizeof thrice / sizeof *thrice; i++) {
            snprintf(row, sizeof row, "me%san", thrice[i]);
            snprintf(want, sizeof want,
                     "me\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                     "an");
            pg_table_entry e = entry(row, "2");
            assert_true(has(&e, 1, (pg_table_format)format, want));
        }
    }
}

static void cells_that_differ_in_n_show_it(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("mean", "2"), entry("mean", "8"), entry("ds", "2")};
    e[1].n = 10;
    e[1].clean = 10;
    e[1].certified = 0;
    e[2].n = 0;
    e[2].clean = e[2].certified = 0;
    expect(e, 3, "clean", PG_TABLE_TEXT,
           "demo\n"
           "% of images, 95% Wilson interval in parentheses\n"
           "\n"
           "defense  metric  patch 2            patch 8\n"
           "-------  ------  -----------------  -------------------\n"
           "mean     clean    91.2 (89.3-92.8)  100.0 (72.2-100.0)*\n"
           "         n        1000                 10\n"
           "ds       clean       -*\n"
           "         n           0\n"
           "\n"
           "- not complete, 2 of 3 cells (marked with a star; images done): mean / 8 (10 of\n"
           "  1000); ds / 2 (0 of 1000)\n");
    e[1].n = e[2].n = 1000;
    e[1].published = e[2].published = 0;
    char *got = print(e, 3, "clean,certified_published", PG_TABLE_TEXT);
    assert_null(strchr(got, '*')); /* the star means one thing only */
    free(got);
}

static void notes_say_what_certificates_assume(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("mean", "2")};
    assert_false(has(e, 1, PG_TABLE_TEXT, "locality"));
    e[0].delta = -1;
    assert_true(has(e, 1, PG_TABLE_TEXT, "locality not measured for net"));
    e[0].delta = 3;
    assert_true(has(e, 1, PG_TABLE_MD,
                    "- locality of net: outside the receptive fields evidence changed by up to 3 / 2^20; every certificate\n  "
                    "survives it (measured, not proved)\n"));
    e[0].any_batch = true;
    e[0].moved = 125;
    strcpy(e[0].batches, "1,16,64,128");
    assert_true(has(e, 1, PG_TABLE_MD,
                    "- delta=any-batch: logits of net moved by up to 125 / 2^20 at other places of a batch and in batches of\n "
                    " 1,16,64,128;"));
    assert_false(has(e, 1, PG_TABLE_TEXT, "outside the receptive fields"));
    e[0].any_batch = false;
    assert_false(has(e, 1, PG_TABLE_TEXT, "not measured"));
    e[0].elsewhere = 384;
    strcpy(e[0].elsewhere_on, "cpu avx2 in batches of 64");
    strcpy(e[0].measured_on, "cpu avx512");
    assert_true(has(e, 1, PG_TABLE_TEXT, "- locality of net counts as not measured where images ran on cpu avx2 in"));
    assert_true(has(e, 1, PG_TABLE_TEXT, "384 of 1000 images of mean / 2"));
    e[0].elsewhere = 0;
    assert_false(has(e, 1, PG_TABLE_TEXT, "no proof"));
    e[0].published = 0;
    assert_true(has(e, 1, PG_TABLE_TEXT, "published (certified_published) is no proof"));
    assert_false(has(e, 1, PG_TABLE_TEXT, "NaN"));
    e[0].nonfinite = 2;
    assert_true(has(e, 1, PG_TABLE_TEXT, "of up to 2 images a cell"));
}

/* What the grid did is told of the cells in which it did something; nothing is said of images that nobody looked
 * at but that. */
static void notes_say_what_the_grid_did(void **state)
{
    (void)state;
    pg_table_entry e[] = {entry("mean", "2"), entry("ds", "2")};
    assert_false(has(e, 2, PG_TABLE_TEXT, "grid"));
    assert_false(has(e, 2, PG_TABLE_TEXT, "double"));
    e[1].saturated = 1;
    assert_true(has(e, 2, PG_TABLE_TEXT,
                    "- values beyond 1024, where the grid of evidence ends, in up to 1 image a cell:\n  ds / 2\n"));
    e[0].differs = 12;
    assert_true(has(e, 2, PG_TABLE_TEXT, "- up to 12 images a cell predicted otherwise by the same rule in double: mean"));
    assert_false(has(e, 2, PG_TABLE_TEXT, "not counted"));
    e[1].differs = -1;
    assert_true(has(e, 2, PG_TABLE_TEXT, "were not counted:"));
    e[1].n = 0; /* nothing to count yet */
    assert_false(has(e, 2, PG_TABLE_TEXT, "not counted"));
}

/* Rows and columns in the order of their first entry, each cell at its place, whatever the order of the entries. */
static void labels_keep_the_order_of_the_entries(void **state)
{
    (void)state;
    enum { SIDE = 40 };
    static char names[SIDE][16];
    static pg_table_entry e[SIDE * SIDE];
    for (int i = 0; i < SIDE; i++)
        snprintf(names[i], sizeof names[i], "%d", (i * 7 + 3) % SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int c = i / SIDE, r = (c + i) % SIDE;
        e[i] = entry(names[r], names[c]);
        e[i].nonfinite = r * SIDE + c;
    }
    pg_table table = {.entries = e, .n_entries = SIDE * SIDE};
    const char **sides[2];
    const pg_table_entry **sorted;
    size_t n[2];
    assert_int_equal(pg_table_sort(&table, &sorted), PG_OK);
    for (int side = 0; side < 2; side++) {
        assert_int_equal(pg_table_labels(&table, side, &sides[side], &n[side]), PG_OK);
        assert_int_equal(n[side], SIDE);
        for (int i = 0; i < SIDE; i++)
            assert_string_equal(sides[side][i], names[i]);
    }
    for (int i = 0; i < SIDE * SIDE; i++)
        assert_int_equal(pg_table_at(&table, sorted, names[i / SIDE], names[i % SIDE])->nonfinite, i);
    for (int side = 0; side < 2; side++)
        free(sides[side]);
    free(sorted);
}

static void twice_the_same_place_is_an_error(void **state)
{
    (void)state;
    const pg_table_entry e[] = {entry("mean", "2"), entry("mean", "2")};
    const pg_metric *metric = &pg_metrics[0];
    pg_table table = {
        .row_key = "defense", .column_key = "patch", .entries = e, .n_entries = 2, .metrics = &metric, .n_metrics = 1};
    pg_buf out;
    pg_buf_init(&out);
    assert_int_equal(pg_table_print(&table, PG_TABLE_TEXT, &out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "row 'mean' and column '2'"));
    pg_buf_release(&out);
}

static void unknown_metrics_name_the_nearest(void **state)
{
    (void)state;
    const pg_metric *metric;
    assert_int_equal(pg_metric_find("certifed", &metric), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "certified"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lays_out_rows_columns_and_metrics),
        cmocka_unit_test(markdown_escapes_what_it_would_act_on),
        cmocka_unit_test(wide_tables_go_on_in_further_blocks),
        cmocka_unit_test(control_characters_never_reach_the_terminal),
        cmocka_unit_test(cells_that_differ_in_n_show_it),
        cmocka_unit_test(notes_say_what_certificates_assume),
        cmocka_unit_test(notes_say_what_the_grid_did),
        cmocka_unit_test(labels_keep_the_order_of_the_entries),
        cmocka_unit_test(titles_stay_on_one_line),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
        cmocka_unit_test(twice_the_same_place_is_an_error),
        cmocka_unit_test(attacks_stand_between_clean_and_certified),
        cmocka_unit_test(unknown_metrics_name_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
