/* Tests of the report: text of others is nothing but text, every number of the table is in the page, the policy fits what
 * stands in it, nothing points elsewhere, equal databases make equal pages, and nothing is overwritten. */
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/data/image.h"
#include "plots/report.h"
#include "tests/support/program.h"

#include <math.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const char matrix[] =
    "name = \"<b>&\\\"'report\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:64\"\nbatch = 8\n"
    "[axes]\ndefense = [\"mean\", \"ds\", \"robust-masking\"]\npatch = [2, 5]\n"
    "\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, strlen(matrix));
    return 0;
}

static void ok(int code)
{
    if (code != 0)
        fail_msg("exit code %d: %s", code, program_output);
}

static char *read_page(const char *name)
{
    char *data;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 26, &data, &size), PG_OK);
    return data;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

/* Clean and attacked cells, run once. */
static void run_matrix(void)
{
    static bool done;
    if (done)
        return;
    ok(program_run("t.db", "--quiet --cache-size 0 run %s", scratch_path("m.toml")));
    ok(program_run("t.db", "--quiet --cache-size 0 run %s -S attack=random-search -S random-search.steps=2 -S seed=1",
                   scratch_path("m.toml")));
    done = true;
}

static char *report(const char *arguments, const char *name)
{
    run_matrix();
    ok(program_run("t.db", "report %s --force -o %s", arguments, scratch_path(name)));
    return read_page(name);
}

/* ---- Text ---- */

static const char hostile[] = "</style><script>alert(1)</script>\"'&\x01\x1b[31m\xff\xc3(\xef\xbf\xbf"
                              "end";
static const char harmless[] = "&lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;??[31m"
                               "\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd";

static void text_is_nothing_but_text(void **state)
{
    (void)state;
    pg_buf out;
    pg_buf_init(&out);
    pg_report_text(hostile, &out);
    assert_memory_equal(out.data, harmless, strlen(harmless));
    assert_string_equal(out.data + out.size - 3, "end");
    pg_buf_release(&out);
}

/* Whatever part of the page a text is put into, the characters that mean something to HTML never arrive. */
static void hostile_text_is_escaped_everywhere(void **state)
{
    (void)state;
    const pg_metric *metric;
    assert_int_equal(pg_metric_find("clean", &metric), PG_OK);
    pg_table_entry entry = {
        .row = hostile, .column = hostile, .weights = hostile, .expected = 10, .n = 5, .clean = 3, .delta = 4, .broken = 1};
    pg_table table = {.title = hostile,
                      .row_key = hostile,
                      .column_key = hostile,
                      .entries = &entry,
                      .n_entries = 1,
                      .metrics = &metric,
                      .n_metrics = 1};
    const char *const texts[2] = {hostile, hostile};
    pg_report_cells cells;
    pg_report_list list;
    pg_buf body, page, nothing;
    pg_buf_init(&body);
    pg_buf_init(&page);
    pg_buf_init(&nothing);
    pg_report_section_begin(1, hostile, &body);
    pg_report_paragraph(hostile, &body);
    pg_report_preformatted(hostile, &body);
    pg_report_heading(hostile, &body);
    pg_report_fold_begin(hostile, true, &body);
    pg_report_fold_end(&body);
    pg_report_facts_begin(true, &body);
    pg_report_fact(hostile, hostile, &body);
    pg_report_facts_end(&body);
    pg_report_cells_begin(&table, &cells, &body);
    pg_report_cell(&cells, &entry, "a1", "0123456789abcdef", "new", &nothing, &body);
    assert_int_equal(pg_report_cells_end(&cells, &body), PG_OK);
    pg_report_list_begin(&list, texts, 2);
    pg_report_list_row(&list, texts, "a1");
    pg_report_list_end(&list, &body);
    pg_report_picture_add(
        &(pg_report_picture){
            .type = "image/png", .bytes = "x", .size = 1, .name = hostile, .caption = hostile, .file = hostile},
        &body);
    pg_report_section_end(&body);
    assert_int_equal(pg_report_page(hostile, &body, &page), PG_OK);
    assert_null(strstr(page.data, "<script>alert"));
    assert_null(strpbrk(page.data, "\x01\x1b\xff"));
    assert_int_equal(count(page.data, "alert(1)"), count(page.data, harmless));
    assert_true(count(page.data, harmless) >= 22);
    assert_int_equal(count(page.data, "</script>"), 1);
    assert_int_equal(count(page.data, "</style>"), 1);
    pg_buf_release(&body);
    pg_buf_release(&page);
    pg_buf_release(&nothing);
}

/* ---- The page of a run ---- */

static void every_number_of_the_table_is_in_the_page(void **state)
{
    (void)state;
    char *page = report(scratch_path("m.toml"), "numbers.html"), *line, *rest = NULL, want[200];
    ok(program_run("t.db", "table %s -f json-lines 2>%s", scratch_path("m.toml"), scratch_path("notes")));
    char *lines = strdup(program_output);
    int numbers = 0;
    for (line = strtok_r(lines, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        double value, lo, hi;
        const char *at = strstr(line, "\"value\": ");
        if (sscanf(at, "\"value\": %lf, \"lo\": %lf, \"hi\": %lf,", &value, &lo, &hi) != 3)
            continue;
        snprintf(want, sizeof want, "data-v=\"%.6f\">%.2f <small>%.2f&#8211;%.2f</small>", value,
                 floor(100 * value + 0.500001) / 100, lo, hi);
        if (strstr(page, want) == NULL)
            fail_msg("not in the page: %s (%s)", want, line);
        numbers++;
    }
    assert_true(numbers >= 16);
    /* and each row has its origin: id, hashes, attempt */
    assert_int_equal(count(page, "<tr class=\"more\">"), 16); /* the second table's cells, too */
    assert_int_equal(count(page, "<dt>dataset.hash</dt>"), 16);
    assert_true(count(page, "<th scope=\"col\">revision</th>") == 16);
    free(lines);
    free(page);
}

/* As in `table`: the best complete share of each column, and the publication's number with the difference. */
static void the_best_and_the_publication_stand_beside(void **state)
{
    (void)state;
    const double paper[] = {12.5, NAN};
    const pg_table_entry entries[] = {
        {.row = "a", .column = "2", .expected = 100, .n = 100, .clean = 20, .certified = 7, .paper = paper},
        {.row = "b", .column = "2", .expected = 100, .n = 100, .clean = 10, .certified = 9},
        {.row = "a", .column = "4", .expected = 100, .n = 100, .clean = 5, .certified = 3},
        {.row = "b", .column = "4", .expected = 100, .n = 50, .clean = 50, .certified = 50}, /* not complete: leads nothing */
    };
    const pg_metric *metrics[2];
    pg_buf out, nothing;
    pg_report_cells cells;
    assert_int_equal(pg_metric_find("clean", &metrics[0]), PG_OK);
    assert_int_equal(pg_metric_find("certified", &metrics[1]), PG_OK);
    pg_table table = {
        .row_key = "r", .column_key = "c", .entries = entries, .n_entries = 4, .metrics = metrics, .n_metrics = 2};
    pg_buf_init(&nothing);
    pg_buf_puts(&nothing, "");
    for (int best = 0; best < 2; best++) {
        table.best = best;
        pg_buf_init(&out);
        pg_report_cells_begin(&table, &cells, &out);
        for (size_t i = 0; i < 4; i++)
            pg_report_cell(&cells, &entries[i], "x", "0123456789abcdef", "done", &nothing, &out);
        assert_int_equal(pg_buf_check(&out), PG_OK);
        assert_int_equal(count(out.data, "<b>"), best ? 4 : 0);
        assert_int_equal(count(out.data, "<b>20.00</b>") + count(out.data, "<b>9.00</b>") + count(out.data, "<b>5.00</b>") +
                             count(out.data, "<b>3.00</b>"),
                         best ? 4 : 0);
        assert_int_equal(count(out.data, "<small>paper 12.5, +7.5</small>"), 1);
        assert_int_equal(count(out.data, "paper"), 1);
        pg_buf_release(&out);
    }
    pg_buf_release(&nothing);
}

/* A metric that no cell has, a column of a list without a text; a cell that has no number keeps its place in a shown one. */
static void empty_columns_are_left_out(void **state)
{
    (void)state;
    const pg_metric *metrics[3];
    const pg_table_entry entries[] = {
        {.row = "a", .column = "2", .expected = 9, .n = 9, .clean = 7, .attacked = -1, .certified = 3, .published = -1},
        {.row = "b", .column = "2", .expected = 9, .n = 9, .clean = 7, .attacked = 5, .certified = 3, .published = -1},
        {.row = "c", .column = "2", .expected = 9, .published = 8}, /* of no image */
    };
    static const char *const heads[] = {"first", "never", "last"}, *const row[] = {"1", "", "z"},
                             *const other[] = {"", "", "y"};
    pg_report_cells cells;
    pg_report_list list;
    pg_buf out = PG_BUF_EMPTY, nothing = PG_BUF_EMPTY;
    assert_int_equal(pg_metric_find("clean", &metrics[0]), PG_OK);
    assert_int_equal(pg_metric_find("attacked", &metrics[1]), PG_OK);
    assert_int_equal(pg_metric_find("certified_published", &metrics[2]), PG_OK);
    pg_table table = {
        .row_key = "r", .column_key = "c", .entries = entries, .n_entries = 3, .metrics = metrics, .n_metrics = 3};
    pg_report_cells_begin(&table, &cells, &out);
    for (size_t i = 0; i < 3; i++)
        pg_report_cell(&cells, &entries[i], "x", "0123456789abcdef", "done", &nothing, &out);
    assert_int_equal(count(out.data, "data-l=\"clean\""), 3);
    assert_int_equal(count(out.data, "data-l=\"under attack\""), 3);
    assert_int_equal(count(out.data, "data-l=\"published\""), 0);
    assert_int_equal(count(out.data, "<th scope=\"col\""), 5);
    assert_int_equal(count(out.data, "colspan=\"5\""), 3);
    assert_int_equal(pg_report_cells_end(&cells, &out), PG_OK);
    pg_buf_clear(&out);
    pg_report_list_begin(&list, heads, 3);
    pg_report_list_row(&list, row, NULL);
    pg_report_list_row(&list, other, NULL);
    pg_report_list_end(&list, &out);
    assert_null(strstr(out.data, "never"));
    assert_int_equal(count(out.data, "<th scope=\"col\">"), 2);
    assert_non_null(strstr(out.data, "<tr><td class=\"n\" data-v=\"1\">1</td><td>z</td></tr>"));
    assert_non_null(strstr(out.data, "<tr><td></td><td>y</td></tr>"));
    pg_buf_clear(&out);
    pg_report_list_begin(&list, heads, 3);
    pg_report_list_end(&list, &out); /* of no row */
    assert_int_equal(out.size, 0);
    pg_buf_release(&out);
    pg_buf_release(&nothing);
}

/* Cells that -S made of the matrix file stand in a table of their own, once; those of the first table do not. */
static void cells_of_other_values_are_there(void **state)
{
    (void)state;
    char *page = report(scratch_path("m.toml"), "more.html"), *more = strstr(page, "with other values for -S</h2>");
    assert_non_null(more);
    assert_int_equal(count(more, "<tr class=\"more\">"), 8);
    assert_int_equal(count(more, "<dt>seed</dt><dd>1</dd>"), 8);
    assert_int_equal(count(page, "<dt>seed</dt><dd>1</dd>"), 8);
    free(page);
    page = report("--only patch=2 --only seed=1 --no-figures", "more.html"); /* of the whole database */
    assert_non_null(strstr(page, ">Chosen cells</h2>"));
    assert_int_equal(count(page, "<tr class=\"more\">"), 4);
    free(page);
    ok(program_run("t.db", "report %s --only patch=2 --force --no-figures -o %s", scratch_path("m.toml"),
                   scratch_path("more.html")));
    page = read_page("more.html");
    assert_null(strstr(page, "with other values"));
    assert_int_equal(count(page, "<tr class=\"more\">"), 4);
    free(page);
    ok(program_run("t.db", "report %s -S attack=random-search -S random-search.steps=2 -S seed=1 --force --no-figures -o %s",
                   scratch_path("m.toml"), scratch_path("more.html")));
    page = read_page("more.html");
    assert_null(strstr(page, "with other values"));
    assert_non_null(strstr(page, "<p>With keys replaced by -S: attack=random-search random-search.steps=2 seed=1"));
    free(page);
}

/* The whole database has the figures that its table makes; the others say what they want. */
static void the_whole_database_has_figures(void **state)
{
    (void)state;
    char *page = report("--best", "whole.html");
    assert_int_equal(count(page, ">All cells</h2>"), 1);
    assert_true(count(page, "src=\"data:image/svg+xml;base64,") >= 2);
    assert_true(count(page, "<b>") >= 4);
    assert_int_equal(count(page, "<dt>training</dt><dd>shows more than counts: give a matrix file</dd>"), 1);
    assert_int_equal(count(page, "<dt>threshold</dt><dd>is drawn by threshold: give a matrix file</dd>"), 1);
    free(page);
}

/* "'sha256-...'" of what stands between two marks. */
static void expect_source(const char *page, const char *kind, const char *begin, const char *end)
{
    unsigned char hash[32], text[64];
    char want[128], hex[PG_HASH_HEX];
    const char *from = strstr(page, begin) + strlen(begin);
    assert_int_equal(pg_hash_bytes(from, (size_t)(strstr(from, end) - from), hex), PG_OK);
    for (int i = 0; i < 32; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        hash[i] = (unsigned char)byte;
    }
    EVP_EncodeBlock(text, hash, 32);
    snprintf(want, sizeof want, "; %s 'sha256-%s'; ", kind, (char *)text);
    if (strstr(page, want) == NULL)
        fail_msg("the policy does not have %s", want);
}

static void the_policy_allows_what_stands_in_the_page_and_no_more(void **state)
{
    (void)state;
    char *page = report(scratch_path("m.toml"), "policy.html");
    assert_int_equal(count(page, "content=\"default-src 'none'; "), 1);
    expect_source(page, "style-src", "<style>", "</style>");
    expect_source(page, "script-src", "<script>", "</script>");
    assert_int_equal(count(page, "<script"), 1);
    assert_int_equal(count(page, "<style"), 1);
    assert_null(strstr(page, " style="));
    assert_null(strstr(page, " onclick="));
    assert_null(strstr(page, "unsafe"));
    assert_null(strstr(page, "<b>"));
    assert_non_null(strstr(page, "&lt;b&gt;&amp;&quot;&#39;report"));
    static const char *const elsewhere[] = {"http:", "https:", "src=\"/", "href=\"/", "file:", "<link", "@import", "url("};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (strstr(page, elsewhere[i]) != NULL)
            fail_msg("the page has %s", elsewhere[i]);
    assert_int_equal(count(page, " src=\""), count(page, " src=\"data:image/"));
    assert_true(count(page, "src=\"data:image/svg+xml;base64,") >= 1);
    free(page);
}

static void attacked_images_are_shown(void **state)
{
    (void)state;
    char *page = report("--sheet 3 --no-figures", "sheet.html");
    size_t cells = count(page, "that random-search worked on</summary>"),
           pictures = count(page, "src=\"data:image/png;base64,");
    assert_true(cells >= 1 && cells <= 8);
    assert_true(pictures >= cells && pictures <= 3 * cells);
    assert_true(count(page, ": the first 3 that random-search worked on") >= 1);
    assert_null(strstr(page, ": the first 4 that"));
    /* the first of them is a PNG of the data set's size */
    const char *at = strstr(page, "image/png;base64,") + strlen("image/png;base64,");
    size_t size = strcspn(at, "\"");
    unsigned char *png = malloc(size);
    assert_non_null(png);
    assert_int_equal(EVP_DecodeBlock(png, (const unsigned char *)at, (int)size), size / 4 * 3);
    size_t padding = (at[size - 1] == '=') + (at[size - 2] == '=');
    pg_image image;
    assert_int_equal(pg_image_decode(png, size / 4 * 3 - padding, &image), PG_OK);
    assert_int_equal(image.height, 32);
    assert_int_equal(image.width, 32);
    pg_image_release(&image);
    free(png);
    free(page);
    page = report("--sheet 3 --broken-only --no-figures", "sheet.html");
    size_t shown = count(page, "src=\"data:image/png;base64,"), broken = count(page, ", broken: seen as ");
    assert_int_equal(shown, broken);
    assert_int_equal(count(page, "that random-search worked on"), 0);
    free(page);
    page = report("--sheet 0 --no-figures", "sheet.html");
    assert_null(strstr(page, "<img"));
    free(page);
}

static void planes_become_a_png(void **state)
{
    (void)state;
    enum { H = 5, W = 7 };
    uint8_t planes[3 * H * W];
    void *png;
    size_t size;
    pg_image image;
    for (int i = 0; i < 3 * H * W; i++)
        planes[i] = (uint8_t)(i * 37 + 11);
    assert_int_equal(pg_image_encode(planes, H, W, &png, &size), PG_OK);
    assert_int_equal(pg_image_decode(png, size, &image), PG_OK);
    assert_int_equal(image.height, H);
    assert_int_equal(image.width, W);
    for (int i = 0; i < H * W; i++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(image.pixels[3 * i + c], planes[c * H * W + i]);
    pg_image_release(&image);
    free(png);
}

static void equal_databases_make_equal_pages(void **state)
{
    (void)state;
    char *first = report(scratch_path("m.toml"), "first.html"), *second = report(scratch_path("m.toml"), "second.html");
    assert_string_equal(first, second);
    free(first);
    free(second);
    first = report("", "first.html");
    second = report("", "second.html");
    assert_string_equal(first, second);
    assert_int_equal(count(first, "<tr class=\"more\">"), 16);
    free(first);
    free(second);
}

/* Of the failed task: the list, and the cells that it serves. */
static void failed_cells_have_their_reason(void **state)
{
    (void)state;
    int code = program_run("f.db", "--quiet --cache-size 0 run %s -S images=0:8 -S null.fail_image=3", scratch_path("m.toml"));
    assert_int_equal(code, 1);
    ok(program_run("f.db", "report -o %s", scratch_path("f.html")));
    char *page = read_page("f.html");
    assert_non_null(strstr(page, "8 failed</dd>"));
    assert_non_null(strstr(page, ">Failed</h2>"));
    assert_int_equal(count(page, "<span class=\"failed\">failed</span>"), 8);
    assert_int_equal(count(page, "<dt>reason</dt>"), 8);
    assert_int_equal(count(page, "<td>0:8</td>"), 1 + 3 * 8); /* the task, and three attempts of each cell */
    free(page);
}

static void audits_are_listed(void **state)
{
    (void)state;
    ok(program_run("a.db", "--quiet --cache-size 0 run %s -S images=0:8 -S defense=mean,ds -S patch=2",
                   scratch_path("m.toml")));
    ok(program_run("a.db", "report %s -S images=0:8 -S defense=mean,ds -S patch=2 -o %s", scratch_path("m.toml"),
                   scratch_path("a.html")));
    char *page = read_page("a.html");
    assert_null(strstr(page, "<h3>Audits</h3>"));
    free(page);
    ok(program_run("a.db", "--quiet audit %s -S images=0:8 -S defense=mean,ds -S patch=2", scratch_path("m.toml")));
    ok(program_run("a.db", "report %s -S images=0:8 -S defense=mean,ds -S patch=2 --force -o %s", scratch_path("m.toml"),
                   scratch_path("a.html")));
    page = read_page("a.html");
    assert_non_null(strstr(page, "<h3>Audits</h3>"));
    assert_non_null(strstr(page, "<a href=\"#s1c0\">mean / 2</a></td><td>feature</td><td class=\"n\" data-v=\"8\">8</td>"));
    assert_non_null(strstr(page, "<details id=\"s1c0\">"));
    free(page);
    /* of cells that were audited only: of the matrix by -S, and in the whole database */
    ok(program_run("a.db", "--quiet audit %s -S images=0:5 -S defense=mean -S patch=2", scratch_path("m.toml")));
    for (int whole = 0; whole < 2; whole++) {
        ok(program_run("a.db", "report %s --no-figures --force -o %s", whole ? "" : scratch_path("m.toml"),
                       scratch_path("a.html")));
        page = read_page("a.html");
        assert_int_equal(count(page, "<span class=\"audited\">audited</span>"), 1);
        assert_non_null(strstr(page, "</a></td><td>feature</td><td class=\"n\" data-v=\"5\">5</td>"));
        assert_null(strstr(page, "(0 of 5)")); /* it is not called incomplete */
        free(page);
    }
}

static void nothing_is_overwritten_or_half_written(void **state)
{
    (void)state;
    run_matrix();
    scratch_write("mine.html", "mine", 4);
    assert_int_equal(program_run("t.db", "report -o %s", scratch_path("mine.html")), 2);
    assert_non_null(strstr(program_output, "--force"));
    char *mine = read_page("mine.html");
    assert_string_equal(mine, "mine");
    free(mine);
    int files = scratch_count(scratch_folder);
    assert_int_equal(program_run("t.db", "report"), 2);
    assert_int_equal(program_run("t.db", "report --sheet 65 -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("t.db", "report --paper V -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("t.db", "report %s --paper III -o %s", scratch_path("m.toml"), scratch_path("no.html")), 2);
    assert_int_equal(program_run("t.db", "report -S patch=2 -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("t.db", "report %s -o %s", scratch_path("none.toml"), scratch_path("no.html")), 2);
    assert_int_equal(program_run("none.db", "report -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("t.db", "report --metrics clena %s -o %s", scratch_path("m.toml"), scratch_path("no.html")),
                     2);
    assert_int_equal(scratch_count(scratch_folder), files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_nothing_but_text),
        cmocka_unit_test(hostile_text_is_escaped_everywhere),
        cmocka_unit_test(every_number_of_the_table_is_in_the_page),
        cmocka_unit_test(the_best_and_the_publication_stand_beside),
        cmocka_unit_test(empty_columns_are_left_out),
        cmocka_unit_test(cells_of_other_values_are_there),
        cmocka_unit_test(the_whole_database_has_figures),
        cmocka_unit_test(the_policy_allows_what_stands_in_the_page_and_no_more),
        cmocka_unit_test(attacked_images_are_shown),
        cmocka_unit_test(planes_become_a_png),
        cmocka_unit_test(equal_databases_make_equal_pages),
        cmocka_unit_test(failed_cells_have_their_reason),
        cmocka_unit_test(audits_are_listed),
        cmocka_unit_test(nothing_is_overwritten_or_half_written),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
