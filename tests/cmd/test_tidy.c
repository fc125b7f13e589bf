/* Results for other programs: `table` and `export` in CSV and JSON hold the same, and pandas and SQLite read them. */
#include "tests/support/tidy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Cells of several rules and of an attack, complete and not, two rows of one cell, an option that is a switch, another network.
 */
static int setup(void **state)
{
    static const char matrix[] =
        "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:40\"\nbatch = 8\n\"null.seed\" = 3\n"
        "[axes]\ndefense = [\"mean\", \"robust-masking\"]\npatch = [2, \"2.4%\", 5, \"3x5\"]\n"
        "\"robust-masking.threshold\" = [0, 0.1]\n\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n",
                      small[] =
                          "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:8\"\nbatch = 4\npatch = 3\n"
                          "defense = \"ds\"\n\"null.padding\" = 1\n";
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    scratch_write("small.toml", small, sizeof small - 1);
    return program_run("db", "--quiet run %s -S patch=2,2.4%%,5", scratch_path("m.toml")) != 0 ||
           program_run("db", "--quiet run %s", scratch_path("small.toml")) != 0;
}

/* ---- Cells of CSV ---- */

enum { COLUMNS_MAX = 200, ROWS_MAX = 400 };
typedef struct sheet {
    char *text, *fields[ROWS_MAX][COLUMNS_MAX];
    size_t rows, columns;
} sheet;

/* RFC 4180, as a reader would have it; every row with as many fields as the head. */
static void read_csv(const char *csv, sheet *out)
{
    char *to = out->text = malloc(2 * strlen(csv) + 1);
    out->rows = out->columns = 0;
    while (*csv) {
        size_t column = 0;
        for (bool more = true; more; column++) {
            out->fields[out->rows][column] = to;
            if (*csv == '"') {
                for (csv++; *csv != '"' || *++csv == '"';)
                    *to++ = *csv++;
            } else {
                while (*csv != ',' && *csv != '\n' && *csv)
                    *to++ = *csv++;
            }
            *to++ = '\0';
            more = *csv == ',';
            assert_true(more || *csv == '\n');
            csv++;
        }
        if (out->rows++ == 0)
            out->columns = column;
        assert_int_equal(column, out->columns);
    }
}

static void csv_and_json_hold_the_same(void **state)
{
    (void)state;
    static const char *const commands[] = {"table m.toml", "table m.toml --wide --metrics clean,certified,delta,differs",
                                           "export", "export --wide", "table m.toml --paper V"};
    static sheet csv;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[2048];
        snprintf(line, sizeof line, "p=$(realpath %s) && cd %s && $p --db db --quiet %s -f csv 2>/dev/null", program_path(),
                 scratch_folder, commands[i]);
        assert_int_equal(program_shell(line), 0);
        read_csv(program_output, &csv);
        assert_true(csv.rows > 8);
        snprintf(line, sizeof line, "p=$(realpath %s) && cd %s && $p --db db --quiet %s -f json 2>/dev/null", program_path(),
                 scratch_folder, commands[i]);
        assert_int_equal(program_shell(line), 0);
        json_t *all = json_loads(program_output, JSON_REJECT_DUPLICATES, NULL), *rows = json_object_get(all, "rows"), *row,
               *value;
        assert_string_equal(json_string_value(json_object_get(all, "form")), *commands[i] == 't' ? "table" : "export");
        assert_int_equal(json_integer_value(json_object_get(all, "version")), 1);
        assert_int_equal(json_array_size(rows), csv.rows - 1);
        size_t r;
        json_array_foreach(rows, r, row)
        {
            size_t c = 0;
            const char *key;
            assert_int_equal(json_object_size(row), csv.columns);
            json_object_foreach(row, key, value)
            {
                assert_string_equal(key, csv.fields[0][c]);
                if (!tidy_is(value, csv.fields[r + 1][c]))
                    fail_msg("%s, row %zu: %s is \"%s\" in CSV", commands[i], r, key, csv.fields[r + 1][c]);
                c++;
            }
        }
        json_decref(all);
        free(csv.text);
    }
}

/* ---- The form ---- */

static void rows_have_their_form(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "table %s -f json 2>/dev/null", scratch_path("m.toml")), 0);
    const char *one = "defense=robust-masking robust-masking.threshold=0.1 robust-masking.scope=predicted patch=5";
    char where[600];
    snprintf(
        where, sizeof where,
        "%s metric=clean dataset=synthetic:test weights=null model=null attack=none patch-space=image delta=place batch=8 "
        "dtype=fp32 seed=0 images=0:40 patch_height=5 patch_width=5 image_height=32 image_width=32 state=done n=40 null.seed=3",
        one);
    double count = tidy_number(where, "count"), value = tidy_number(where, "value"), lo = tidy_number(where, "lo");
    assert_true(count > 0 && fabs(value - 100 * count / 40) < 1e-12 && lo > 0 && lo < value);
    snprintf(where, sizeof where, "%s metric=certified", one);
    assert_true(tidy_number(where, "count") >= 0);
    /* another rule has no such options, a metric that a rule does not have no row, and what is not there no value */
    assert_true(isnan(tidy_number("defense=mean patch=2 metric=clean robust-masking.threshold=", "robust-masking.threshold")));
    double none;
    assert_int_equal(tidy_find("defense=mean metric=certified_published", "value", &none), 0);
    assert_true(isnan(tidy_number("defense=mean patch=3x5 metric=clean state=new n=0 count=0 lo= hi=", "value")));
    /* 5 and 2.4% are one cell: the row that comes later says so */
    assert_int_equal(tidy_find("defense=mean patch=2.4% metric=clean same_as=", "n", &none), 1);
    assert_int_equal(tidy_find("defense=mean patch=5 metric=clean same_as=", "n", &none), 0);
    assert_int_equal(tidy_find("defense=mean patch=5 metric=clean", "n", &none), 1);
    assert_int_equal(program_run("db", "table %s --wide", scratch_path("m.toml")), 2);
    assert_non_null(strstr(program_output, "--wide is for -f csv"));
}

static void the_whole_database_is_exported(void **state)
{
    (void)state;
    assert_int_equal(program_run("db", "--quiet export -f json --wide --metrics clean,delta"), 0);
    double of_matrix, delta;
    assert_int_equal(tidy_find("images=0:8 null.padding=1 defense=ds patch=3 state=done delta=place", "clean", &of_matrix), 1);
    assert_int_equal(tidy_find("defense=ds", "delta_value", &delta), 1); /* `delta` is the setting */
    assert_true(of_matrix >= 0 && fabs(delta) < 1e-12);
    double clean = tidy_number("defense=mean patch=2", "clean");
    assert_int_equal(program_run("db", "--quiet export %s -f json --wide --metrics clean", scratch_path("m.toml")), 0);
    assert_true(fabs(tidy_number("defense=mean patch=2", "clean") - clean) < 1e-12);
    assert_int_equal(program_run("db", "export -S patch=2"), 2);
    assert_int_equal(program_run("none", "export"), 2);
    assert_int_equal(program_run("db", "--quiet export --only defense=ds -f json"), 0);
    assert_null(strstr(program_output, "robust-masking")); /* columns of the cells that are chosen */
    assert_int_equal(tidy_find("defense=ds", "value", &delta), 2);
    assert_int_equal(program_run("db", "--quiet export --only defense=none"), 2);
    assert_int_equal(program_run("db", "--quiet export --metrics certified,unmeasured | wc -l"), 0);
    assert_true(atoi(program_output) > 10);
}

/* ---- Other programs ---- */

/* Whether a python3 has a module: the one in PATH, else Debian's own, linked as "python" in the scratch folder. */
static bool has_python(const char *module)
{
    char line[1024];
    snprintf(
        line, sizeof line,
        "for p in $(command -v python3) /usr/bin/python3; do $p -c 'import %s' 2>/dev/null && ln -sf $p %s/python && exit; "
        "done; exit 1",
        module, scratch_folder);
    return program_shell(line) == 0;
}

/* The lines of the manual read the CSV, the JSON is the same data, and sums that both programs make are ours. */
static void pandas_reads_it_back(void **state)
{
    (void)state;
    static const char lines[] =
        "import json, re\n"
        "manual = open('harness/MANUAL.md').read()\n"
        "code = re.search(r'```python\\n(import pandas.*?)```', manual, re.S).group(1)\n"
        "exec(code.replace('thresholds.csv', FOLDER + '/all.csv'))\n"
        "document = json.load(open(FOLDER + '/all.json'))\n"
        "assert document['form'] == 'export' and document['version'] == 1\n"
        "other = pandas.DataFrame(document['rows'])\n"
        "assert list(results.columns) == list(other.columns) and len(results) == len(other) > 20\n"
        "for name in results.columns:\n"
        "    for a, b in zip(results[name], other[name]):\n"
        "        assert (pandas.isna(a) and pandas.isna(b)) or a == b or str(a) == str(b), (name, a, b)\n"
        "assert results['value'].dtype == 'float64' and results['n'].dtype == 'int64' and results['count'].dtype == 'int64'\n"
        "assert results['robust-masking.threshold'].dtype == 'float64' and set(results['weights']) == {'null'}\n"
        "done = results[results['n'] > 0]\n"
        "assert ((done['value'] - 100 * done['count'] / done['n']).abs() < 1e-9).all() and (done['lo'] <= "
        "done['value']).all()\n"
        "print('sum', results[results['metric'] == 'certified']['count'].sum())\n";
    if (!has_python("pandas"))
        skip();
    assert_int_equal(program_run("db", "--quiet export --force -o %s", scratch_path("all.csv")), 0);
    assert_int_equal(program_run("db", "--quiet export --force -f json -o %s", scratch_path("all.json")), 0);
    char line[4096];
    snprintf(line, sizeof line, "FOLDER = '%s'\n%s", scratch_folder, lines);
    scratch_write("read.py", line, strlen(line));
    snprintf(line, sizeof line, "%s/python %s/read.py 2>&1", scratch_folder, scratch_folder);
    if (program_shell(line) != 0)
        fail_msg("%s", program_output);
    int of_pandas = atoi(strstr(program_output, "sum ") + 4);
    snprintf(
        line, sizeof line,
        "sqlite3 :memory: '.import --csv %s/all.csv result' \"SELECT sum(count) FROM result WHERE metric = 'certified'\" 2>&1",
        scratch_folder);
    assert_int_equal(program_shell(line), 0);
    assert_int_equal(atoi(program_output), of_pandas);
    snprintf(line, sizeof line, "sqlite3 %s/db 'SELECT sum(certified) FROM outcome' 2>&1", scratch_folder);
    assert_int_equal(program_shell(line), 0);
    assert_int_equal(atoi(program_output), of_pandas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_and_json_hold_the_same),
        cmocka_unit_test(rows_have_their_form),
        cmocka_unit_test(the_whole_database_is_exported),
        cmocka_unit_test(pandas_reads_it_back),
    };
    return cmocka_run_group_tests(tests, setup, scratch_remove);
}
