/* The bytes of result tables and of audits in every format, as tests/reference/tabular has them. */
#include "harness/base/file.h"
#include "plots/table.h"
#include "tests/support/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* PG_TABULAR_OUT=FOLDER: what differs is written there, to be looked at. */
static void expect_file(const char *name, const char *format, const char *got, size_t got_size)
{
    char path[128];
    char *want = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "tests/reference/tabular/%s.%s", name, format);
    int code = pg_file_read(path, 1 << 20, &want, &size);
    bool same = code == PG_OK && size == got_size && memcmp(want, got, size) == 0;
    free(want);
    if (same)
        return;
    const char *folder = getenv("PG_TABULAR_OUT");
    if (folder) {
        snprintf(path, sizeof path, "%s/%s.%s", folder, name, format);
        assert_int_equal(pg_file_write(path, got, got_size), PG_OK);
    }
    print_message("%s\n", got);
    if (folder)
        return;
    fail_msg("%s is not what tests/reference/tabular has", path);
}

/* ---- A result table: labels of several parts and of hostile text, two blocks of columns, cells that are missing, partial and
 * empty, every kind of metric, the publication's numbers in one block only, notes ---- */

enum { ROWS = 4, COLUMNS = 8 };
static const char *const rows[ROWS] = {"mean", "robust-masking\nthreshold=0.2\nweights=\xc3\xa4 net_1\nscope=per-class",
                                       "a|b, \"c\" <d>\x1b[2J\xff", "clip\n50%"};
static const char *const columns[COLUMNS] = {"2", "3\nseed=1", "5", "8", "12", "16", "5x8", "24"};
static pg_table_entry entries[ROWS * COLUMNS];
static double papers[3][5];

static void fill(void)
{
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        int c = i % COLUMNS, r = i / COLUMNS;
        entries[i] = (pg_table_entry){.row = rows[r],
                                      .column = columns[c],
                                      .weights = r == 1 ? "net_1" : "net",
                                      .expected = 512,
                                      .n = 512,
                                      .clean = 511 - 7 * i,
                                      .certified = r == 0 ? 0 : 400 - 11 * i,
                                      .attacked = r == 1 ? 450 - 9 * i : -1,
                                      .broken = i == 9,
                                      .published = r == 1 ? 420 - 9 * i : -1,
                                      .published_audited = c == 2 && r == 1 ? 30 : -1,
                                      .cases = {-1, -1, -1, -1, -1},
                                      .masked = r == 1 ? 3 : -1,
                                      .smallest_margin = i % 3 ? 1 + 77777 * i : -1,
                                      .delta = i == 20 ? -1 : r,
                                      .unmeasured = i == 20 ? 100 : 0,
                                      .saturated = i == 4 ? 2 : 0};
    }
    entries[3].n = 37, entries[3].clean = 37, entries[3].certified = 0;
    entries[12].n = entries[12].clean = entries[12].certified = entries[12].attacked = entries[12].published = 0;
    entries[30].n = entries[30].expected = 10000, entries[30].clean = 10000;
    entries[6].same_as = &entries[5];
    for (int i = 0; i < 3; i++)
        for (int m = 0; m < 5; m++)
            papers[i][m] = m == 0 || (m == 2 && i == 1) ? 61.25 + i : NAN;
    entries[1].paper = papers[0], entries[8].paper = papers[1], entries[12].paper = papers[2];
}

static void print_table(pg_table_format format, bool sparse, bool best, const char *paper, const char *name)
{
    static const char *const names[] = {"clean", "attacked", "certified", "nonfinite", "smallest_margin"};
    const pg_metric *metrics[5];
    pg_table_entry some[ROWS * COLUMNS];
    size_t n = 0;
    for (size_t m = 0; m < 5; m++)
        assert_int_equal(pg_metric_find(names[m], &metrics[m]), PG_OK);
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        if (!sparse || (i % 5 != 2 && i % COLUMNS < 3))
            some[n++] = entries[i];
    pg_table table = {.title = "demo: synthetic:test, \xc3\xa4_net",
                      .row_key = "defense,robust_masking",
                      .column_key = "patch,seed",
                      .entries = some,
                      .n_entries = n,
                      .metrics = metrics,
                      .n_metrics = sparse ? 1 : 5,
                      .paper = paper,
                      .text_width = sparse ? 40 : 0,
                      .best = best};
    pg_buf out;
    pg_buf_init(&out);
    assert_int_equal(pg_table_print(&table, format, &out), PG_OK);
    expect_file(name, pg_table_formats[format], out.data, out.size);
    pg_buf_release(&out);
}

static void tables_have_their_bytes(void **state)
{
    (void)state;
    fill();
    for (int format = PG_TABLE_TEXT; format <= PG_TABLE_LATEX; format += format < PG_TABLE_MD ? PG_TABLE_MD : 1) {
        print_table((pg_table_format)format, false, true, "V", "table");
        print_table((pg_table_format)format, true, false, NULL, "sparse"); /* labels on lines of their own */
    }
}

/* ---- Rows for programs ---- */

static void fill_row(pg_tabular *t, int64_t i)
{
    pg_tabular_integer(t, i - 1);
    pg_tabular_real(t, i == 2 ? NAN : 0.1 * (double)i);
    pg_tabular_bool(t, i % 2 == 1);
    pg_tabular_words(t, i == 0 ? "a, \"b\"\\" : i == 1 ? "two\nlines\x1b\xff \xc3\xa4" : NULL);
    pg_tabular_number(t, i - 1);
}

static void rows_are_typed(void **state)
{
    (void)state;
    static const struct {
        pg_table_format format;
        const char *form, *want;
    } cases[] = {
        {PG_TABLE_CSV, NULL,
         "integer,real,bool,words,\"count, n\"\n-1,0,0,\"a, \"\"b\"\"\\\",\n0,0.1,1,\"two lines?\xef\xbf\xbd "
         "\xc3\xa4\",0\n1,,0,,1\n"},
        {PG_TABLE_JSON, "test",
         "{\"form\": \"test\", \"version\": 1, \"rows\": [\n"
         "{\"integer\": -1, \"real\": 0, \"bool\": false, \"words\": \"a, \\\"b\\\"\\\\\", \"count, n\": null},\n"
         "{\"integer\": 0, \"real\": 0.1, \"bool\": true, \"words\": \"two\\nlines?\xef\xbf\xbd \xc3\xa4\", \"count, n\": 0},\n"
         "{\"integer\": 1, \"real\": null, \"bool\": false, \"words\": null, \"count, n\": 1}\n]}\n"},
        {PG_TABLE_JSON_LINES, "test",
         "{\"integer\": -1, \"real\": 0, \"bool\": false, \"words\": \"a, \\\"b\\\"\\\\\", \"count, n\": null}\n"
         "{\"integer\": 0, \"real\": 0.1, \"bool\": true, \"words\": \"two\\nlines?\xef\xbf\xbd \xc3\xa4\", \"count, n\": 0}\n"
         "{\"integer\": 1, \"real\": null, \"bool\": false, \"words\": null, \"count, n\": 1}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int flush = 0; flush < 2; flush++) {
            pg_tabular t;
            pg_buf out = PG_BUF_EMPTY;
            pg_tabular_init(&t, cases[i].format, 5, 1);
            t.form = cases[i].form;
            for (size_t k = 0; k < 5; k++)
                pg_tabular_words(&t, (const char *const[]){"integer", "real", "bool", "words", "count, n"}[k]);
            for (int64_t row = 0; row < 3; row++) {
                fill_row(&t, row);
                if (flush)
                    pg_tabular_flush(&t, &out);
            }
            assert_int_equal(pg_tabular_print(&t, &out), PG_OK);
            assert_string_equal(out.data, cases[i].want);
            pg_tabular_release(&t);
            pg_buf_release(&out);
        }
}

/* ---- Audits: by the program, on the null model, so that numbers are the same everywhere ---- */

static void audits_have_their_bytes(void **state)
{
    (void)state;
    static const char text[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:120\"\nbatch = 16\n\"null.height\" = 1\n"
        "\"null.width\" = 10\n\"null.field\" = 4\n\"null.stride\" = 3\n\"null.wrap\" = \"w\"\n[axes]\n"
        "defense = [\"ds\", \"robust-masking\"]\npatch = [\"3\", \"5x8\"]\n"
        "\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";
    static const char *const formats[] = {"text", "md", "csv", "json"},
                             *const arguments[] = {"--tries 7", "--level feature -S defense=ds -S patch=3"},
                             *const names[] = {"audit", "audit-ds"};
    scratch_write("m.toml", text, sizeof text - 1);
    for (size_t few = 0; few < 2; few++)
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(
                program_run("a.db", "--quiet audit %s %s -f %s", scratch_path("m.toml"), arguments[few], formats[i]), 0);
            expect_file(names[few], formats[i], program_output, strlen(program_output));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_have_their_bytes),
        cmocka_unit_test(rows_are_typed),
        cmocka_unit_test(audits_have_their_bytes),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
