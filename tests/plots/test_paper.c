/* The publication's numbers: which one stands beside which cell, and how tables show it; LaTeX and what is best. */
#include "plots/paper.h"
#include "plots/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const pg_paper_cell mask_ds = {.dataset = "cifar10:test",
                                      .model = "ds-resnet18",
                                      .field = 4,
                                      .defense = "robust-masking",
                                      .feature = "confidence",
                                      .clip = "0:1",
                                      .scope = "predicted",
                                      .threshold = "0",
                                      .share = 25.0 / 1024};

static void cells_find_their_number(void **state)
{
    (void)state;
    double value = 0;
    assert_true(pg_paper_value("V", &mask_ds, "clean", &value));
    assert_float_equal(value, 80.0, 1e-9);
    assert_true(pg_paper_value("V", &mask_ds, "certified_published", &value));
    assert_false(pg_paper_value("V", &mask_ds, "certified", &value)); /* the publication has no proof of it */
    pg_paper_cell other = mask_ds;
    assert_false(pg_paper_value("revision", &other, "certified", &value)); /* its masks are per class */
    other.scope = "per-class";
    assert_false(pg_paper_value("V", &other, "clean", &value));
    assert_true(pg_paper_value("revision", &other, "certified", &value));
    assert_float_equal(value, 57.7, 1e-9);
    other = mask_ds;
    other.share = 64.0 / 1024; /* 6.25%, printed as 6.2% */
    assert_true(pg_paper_value("XIX", &other, "clean", &value));
    assert_float_equal(value, 77.1, 1e-9);
    other.share = 0.0635;
    assert_false(pg_paper_value("XIX", &other, "clean", &value));
    other.share = 0.05; /* 5%: no such patch */
    assert_false(pg_paper_value("V", &other, "clean", &value));
    other = mask_ds;
    other.threshold = "0.2";
    assert_false(pg_paper_value("V", &other, "clean", &value));
    other = mask_ds;
    other.feature = "logits";
    assert_false(pg_paper_value("V", &other, "clean", &value));
    other.threshold = "0.2";
    other.feature = "logits";
    other.model = "bagnet9";
    assert_true(pg_paper_value("XVII", &other, "case_1", &value)); /* the name of our metric */
    assert_float_equal(value, 41.4, 1e-9);
    other = mask_ds;
    other.dataset = "cifar10-other:test";
    assert_false(pg_paper_value("V", &other, "clean", &value));
}

/* Table V has one network of each family; table XVI three BagNets, told apart by their receptive fields. */
static void families_and_receptive_fields(void **state)
{
    (void)state;
    double a = 0, b = 0;
    pg_paper_cell c = {.dataset = "cifar10:test",
                       .model = "bagnet9",
                       .field = 7,
                       .defense = "robust-masking",
                       .feature = "logits",
                       .clip = "0:inf",
                       .scope = "predicted",
                       .threshold = "0",
                       .share = 4.0 / 1024};
    assert_true(pg_paper_value("V", &c, "clean", &a));
    assert_float_equal(a, 79.5, 1e-9);
    assert_false(pg_paper_value("XVI", &c, "clean", &a));
    c.field = 9;
    assert_true(pg_paper_value("XVI", &c, "clean", &a));
    assert_float_equal(a, 72.0, 1e-9);
    c.field = 33;
    assert_true(pg_paper_value("XVI", &c, "clean", &b));
    assert_float_equal(b, 84.0, 1e-9);
}

static void unknown_tables_are_refused(void **state)
{
    (void)state;
    assert_int_equal(pg_paper_check("V"), PG_OK);
    assert_int_equal(pg_paper_check("revision"), PG_OK);
    assert_int_equal(pg_paper_check("XXII"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "II, IV, "));
    assert_non_null(strstr(pg_error_message(), "revision"));
}

static const double beside[] = {80.0, NAN};
static const pg_table_entry entries[] = {
    {.row = "mean_1",
     .column = "5",
     .weights = "net",
     .expected = 100,
     .n = 100,
     .clean = 90,
     .certified = 10,
     .attacked = -1,
     .published = -1,
     .published_audited = -1,
     .cases = {-1, -1, -1, -1, -1},
     .masked = -1,
     .smallest_margin = -1,
     .paper = beside},
    {.row = "ds",
     .column = "5",
     .weights = "net",
     .expected = 100,
     .n = 100,
     .clean = 85,
     .certified = 60,
     .attacked = -1,
     .published = -1,
     .published_audited = -1,
     .cases = {-1, -1, -1, -1, -1},
     .masked = -1,
     .smallest_margin = -1},
    {.row = "not complete",
     .column = "5",
     .weights = "net",
     .expected = 100,
     .n = 10,
     .clean = 10,
     .certified = 10,
     .attacked = -1,
     .published = -1,
     .published_audited = -1,
     .cases = {-1, -1, -1, -1, -1},
     .masked = -1,
     .smallest_margin = -1},
};

static char *print(pg_table_format format, bool best, const char *paper)
{
    const pg_metric *metrics[2];
    assert_int_equal(pg_metric_find("clean", &metrics[0]), PG_OK);
    assert_int_equal(pg_metric_find("certified", &metrics[1]), PG_OK);
    pg_table table = {.row_key = "defense",
                      .column_key = "patch",
                      .entries = entries,
                      .n_entries = 3,
                      .metrics = metrics,
                      .n_metrics = 2,
                      .best = best,
                      .paper = paper};
    pg_buf out;
    pg_buf_init(&out);
    assert_int_equal(pg_table_print(&table, format, &out), PG_OK);
    return pg_buf_take(&out);
}

static void expect_in(pg_table_format format, bool best, const char *piece)
{
    char *text = print(format, best, "V");
    if (!strstr(text, piece))
        print_message("%s\n", text);
    assert_non_null(strstr(text, piece));
    free(text);
}

static void numbers_stand_beside_ours(void **state)
{
    (void)state;
    expect_in(PG_TABLE_TEXT, false,
              "mean_1        clean          90.0 (82.6-94.5)\n                paper        80.0\n                difference  "
              "+10.0\n");
    expect_in(PG_TABLE_LATEX, false, " & \\quad paper (difference) & 80.0 ($+10.0$) \\\\\n");
    expect_in(PG_TABLE_TEXT, false, "table V of the publication");
}

/* The best complete cell: the one of ten images is better and does not count. */
static void the_best_is_marked_on_request(void **state)
{
    (void)state;
    expect_in(PG_TABLE_MD, true, "**90.0 (82.6-94.5)**");
    expect_in(PG_TABLE_MD, true, "**60.0 (50.2-69.1)**");
    expect_in(PG_TABLE_LATEX, true, "\\textbf{60.0} (50.2--69.1)");
    expect_in(PG_TABLE_TEXT, true, "90.0 (82.6-94.5) +\n");
    expect_in(PG_TABLE_TEXT, true, "100.0 (72.2-100.0)*\n");
    char *text = print(PG_TABLE_MD, false, NULL);
    assert_null(strstr(text, "**"));
    free(text);
}

static void latex_is_one_tabular(void **state)
{
    (void)state;
    char *text = print(PG_TABLE_LATEX, false, NULL);
    assert_non_null(strstr(text, "\\begin{tabular}{llr}\n\\toprule\ndefense & metric & patch 5 \\\\\n\\midrule\nmean\\_1 & "
                                 "clean & 90.0 (82.6--94.5) \\\\\n & \\quad paper (difference) & 80.0 ($+10.0$) \\\\\n"
                                 " & certified & 10.0 (5.5--17.4) \\\\\n"));
    assert_non_null(strstr(text, "100.0 (72.2--100.0)\\textsuperscript{*} \\\\\n"));
    assert_non_null(strstr(text, "\\bottomrule\n\\end{tabular}\n% percent of n = 10 to 100 images"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_find_their_number),       cmocka_unit_test(families_and_receptive_fields),
        cmocka_unit_test(unknown_tables_are_refused),    cmocka_unit_test(numbers_stand_beside_ours),
        cmocka_unit_test(the_best_is_marked_on_request), cmocka_unit_test(latex_is_one_tabular),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
