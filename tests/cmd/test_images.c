/* Images of cells that leave the program: rows, patches and evidence of `export --images`, which are those of the store, and
 * `gallery`, which shows each image with what became of it, broken ones first. */
/* Loads libtorch. */
#include "db/store.h"
#include "harness/base/file.h"
#include "harness/data/image.h"
#include "tests/support/load_npy.h"
#include "tests/support/program.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { N = 24, CELLS = 6, ATTACKED = 3 };
static const char matrix[] =
    "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-bagnet.safetensors\"\nimages = \"0:24\"\n"
    "patch = 5\n\"lavan.steps\" = 8\n[axes]\ndefense = [\"mean\", \"robust-masking\"]\nattack = [\"none\", \"lavan\"]\n"
    "\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static void ok(int code)
{
    if (code != 0)
        fail_msg("exit code %d: %s", code, program_output);
}

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, strlen(matrix));
    int code = program_run("i.db", "--quiet --cache-size 0 run %s", scratch_path("m.toml"));
    if (code != 0)
        print_error("%s\n", program_output);
    return code;
}

static char *gallery(const char *arguments)
{
    char *page;
    size_t size;
    ok(program_run("i.db", "gallery %s --force -o %s", arguments, scratch_path("g.html")));
    assert_int_equal(pg_file_read(scratch_path("g.html"), 1 << 26, &page, &size), PG_OK);
    return page;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

/* What sqlite3 counts of the outcomes. */
static size_t stored(const char *where)
{
    char line[1024];
    snprintf(line, sizeof line, "sqlite3 %s \"SELECT count(*) FROM image_result WHERE %s\"", scratch_path("i.db"), where);
    ok(program_shell(line));
    return (size_t)atoll(program_output);
}

static void every_image_stands_with_its_verdict(void **state)
{
    (void)state;
    char *page = gallery(scratch_path("m.toml"));
    size_t broken = stored("correct = 1 AND attacked <> label"), certified = stored("certified = 1");
    assert_true(broken > 0 && certified > 0);
    assert_int_equal(count(page, "<figure"), CELLS * N);
    assert_int_equal(count(page, "src=\"data:image/png;base64,"), CELLS * N);
    assert_int_equal(count(page, " data-verdict=\"broken\""), broken);
    assert_int_equal(count(page, "<figure class=\"marked\""), broken);
    assert_int_equal(count(page, " data-verdict=\"certified\""), certified);
    assert_int_equal(count(page, " data-verdict=\"misclassified\""), stored("correct = 0"));
    assert_int_equal(count(page, " data-verdict=\"correct, not certified\""),
                     CELLS * N - broken - certified - stored("correct = 0"));
    assert_int_equal(count(page, " with a patch\""), ATTACKED * N);
    assert_int_equal(count(page, "<dl class=\"settings\">"), CELLS);
    assert_int_equal(count(page, "<dt>defense</dt><dd>mean</dd>"), 2);
    free(page);
}

/* In each cell, whatever their numbers; and alone where they are asked for. */
static void broken_images_come_first(void **state)
{
    (void)state;
    char *page = gallery(scratch_path("m.toml"));
    for (const char *section = page; (section = strstr(section, "<section")) != NULL; section++) {
        const char *end = strstr(section, "</section>"), *other = strstr(section, "<figure data-verdict");
        for (const char *at = section; (at = strstr(at, "<figure class=\"marked\"")) != NULL && at < end; at++)
            assert_true(at < other);
    }
    free(page);
    page = gallery("--broken-only");
    assert_int_equal(count(page, "<figure"), stored("correct = 1 AND attacked <> label"));
    assert_int_equal(count(page, "<figure"), count(page, " data-verdict=\"broken\""));
    free(page);
}

static void choices_and_limits_hold(void **state)
{
    (void)state;
    char line[600];
    snprintf(line, sizeof line, "%s --only defense=mean --most 7", scratch_path("m.toml"));
    char *page = gallery(line);
    assert_int_equal(count(page, "<section"), 2);
    assert_int_equal(count(page, "<figure"), 2 * 7);
    assert_non_null(strstr(page, "image 6\"")); /* of the cell without an attack the first ones */
    assert_null(strstr(page, "image 7\""));
    free(page);
    page = gallery(""); /* the whole database */
    assert_int_equal(count(page, "<section"), CELLS);
    free(page);
    page = gallery("--only defense=mean --only attack=lavan");
    assert_int_equal(count(page, "<section"), 1);
    free(page);
}

static void bad_input_leaves_nothing(void **state)
{
    (void)state;
    int files = scratch_count(scratch_folder);
    assert_int_equal(program_run("i.db", "gallery"), 2);
    assert_int_equal(program_run("i.db", "gallery -S patch=2 -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("i.db", "gallery %s --only patch=9 -o %s", scratch_path("m.toml"), scratch_path("no.html")),
                     2);
    assert_int_equal(program_run("i.db", "gallery --most 0 -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("i.db", "gallery %s --only attack=none --broken-only -o %s", scratch_path("m.toml"),
                                 scratch_path("no.html")),
                     2);
    assert_non_null(strstr(program_output, "nothing to show"));
    assert_int_equal(program_run("none.db", "gallery -o %s", scratch_path("no.html")), 2);
    assert_int_equal(program_run("i.db", "gallery -o %s", scratch_path("m.toml")), 2);
    assert_int_equal(scratch_count(scratch_folder), files);
}

/* ---- Rows ---- */

static char *export_rows(const char *arguments)
{
    ok(program_run("i.db", "--quiet export --images %s", arguments));
    return strdup(program_output);
}

enum { FIELDS = 16 };

/* The fields of the next line; text is cut up. */
static bool next_line(char **text, char *fields[FIELDS])
{
    char *line = strsep(text, "\n");
    if (line == NULL || *line == '\0')
        return false;
    for (int i = 0; i < FIELDS; i++)
        assert_non_null(fields[i] = strsep(&line, ","));
    assert_null(line);
    return true;
}

/* What SQLite prints has at most 15 digits. */
static void csv_is_the_view_row_by_row(void **state)
{
    (void)state;
    char line[1024], *rows = export_rows(""), *at = rows, *fields[FIELDS], *wanted[FIELDS];
    snprintf(
        line, sizeof line,
        "sqlite3 -csv -header %s 'SELECT i.* FROM image_result i JOIN cell c ON c.cell_id = i.cell ORDER BY c.cell, i.image'"
        " | tr -d '\\r'",
        scratch_path("i.db"));
    ok(program_shell(line));
    char *stored_rows = strdup(program_output), *stored_at = stored_rows;
    int n = 0, margins = 0, losses = 0;
    for (; next_line(&stored_at, wanted); n++) {
        assert_true(next_line(&at, fields));
        for (int i = 0; i < FIELDS; i++) {
            bool real = i == 9 || i == 15;
            if (n == 0 || !real || *wanted[i] == '\0')
                assert_string_equal(fields[i], wanted[i]);
            else
                assert_true(fabs(strtod(fields[i], NULL) - strtod(wanted[i], NULL)) <= 1e-14 * fabs(strtod(wanted[i], NULL)));
        }
        margins += *wanted[9] != '\0';
        losses += *wanted[15] != '\0';
    }
    assert_false(next_line(&at, fields));
    assert_int_equal(n, 1 + CELLS * N);
    assert_true(margins > N && losses > N);
    free(rows);
    free(stored_rows);
}

static void json_has_the_rows_of_csv(void **state)
{
    (void)state;
    char *csv = export_rows(scratch_path("m.toml")), *at = csv, *heads[FIELDS], *fields[FIELDS];
    ok(program_run("i.db", "--quiet export --images %s -f json", scratch_path("m.toml")));
    json_t *whole = json_loads(program_output, 0, NULL), *rows = json_object_get(whole, "rows"), *row;
    assert_string_equal(json_string_value(json_object_get(whole, "form")), "images");
    assert_int_equal(json_integer_value(json_object_get(whole, "version")), 1);
    assert_int_equal(json_array_size(rows), CELLS * N);
    assert_true(next_line(&at, heads));
    size_t i;
    json_array_foreach(rows, i, row)
    {
        assert_int_equal(json_object_size(row), FIELDS);
        assert_true(next_line(&at, fields));
        for (int k = 0; k < FIELDS; k++) {
            const json_t *value = json_object_get(row, heads[k]);
            assert_non_null(value);
            if (json_is_null(value))
                assert_string_equal(fields[k], "");
            else if (json_is_string(value))
                assert_string_equal(fields[k], json_string_value(value));
            else if (json_is_boolean(value))
                assert_string_equal(fields[k], json_is_true(value) ? "1" : "0");
            else
                assert_true(strtod(fields[k], NULL) == json_number_value(value));
        }
    }
    json_decref(whole);
    free(csv);
    ok(program_run("i.db", "--quiet export --images %s --only attack=lavan -f json-lines -o %s", scratch_path("m.toml"),
                   scratch_path("rows.jsonl")));
    size_t size;
    assert_int_equal(pg_file_read(scratch_path("rows.jsonl"), 1 << 24, &csv, &size), PG_OK);
    assert_int_equal(count(csv, "\n"), ATTACKED * N);
    assert_int_equal(count(csv, "{\"cell\": "), ATTACKED * N);
    free(csv);
}

/* ---- Files ---- */

static char *file_of(const char *cell, const char *name)
{
    static char path[4][PATH_MAX];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, PATH_MAX, "%s/%.12s/%s", scratch_path("files"), cell, name);
    return out;
}

/* The cells of the matrix by defense, attack and scope. */
static void cell_id(const char *where, char out[PG_HASH_HEX])
{
    char line[1024];
    snprintf(line, sizeof line, "sqlite3 %s \"SELECT cell FROM result WHERE %s\"", scratch_path("i.db"), where);
    ok(program_shell(line));
    assert_int_equal(strlen(program_output), PG_HASH_HEX); /* one, and a line end */
    snprintf(out, PG_HASH_HEX, "%s", program_output);
}

typedef struct attacks {
    const char *cell;
    pg_npy patches;
    int n;
} attacks;

static int check_attack(const pg_attack_row *a, void *context)
{
    attacks *w = context;
    char name[32], *png;
    size_t size, plane = 5 * 5;
    pg_image image;
    assert_int_equal(a->patch_size, 3 * plane);
    assert_memory_equal((const uint8_t *)w->patches.data + (size_t)w->n++ * 3 * plane, a->patch, 3 * plane);
    snprintf(name, sizeof name, "%lld.png", (long long)a->image);
    assert_int_equal(pg_file_read(file_of(w->cell, name), 1 << 20, &png, &size), PG_OK);
    assert_int_equal(pg_image_decode(png, size, &image), PG_OK);
    assert_true(image.height == 5 && image.width == 5);
    for (size_t i = 0; i < 3 * plane; i++)
        assert_int_equal(image.pixels[i], a->patch[i % 3 * plane + i / 3]);
    pg_image_release(&image);
    free(png);
    return PG_OK;
}

static void export_evidence(void)
{
    static bool done;
    if (done)
        return;
    ok(program_run("i.db", "--quiet export --images %s --files %s --evidence --threads 1", scratch_path("m.toml"),
                   scratch_path("files")));
    done = true;
}

static void patches_are_those_of_the_store(void **state)
{
    (void)state;
    char cell[PG_HASH_HEX], *rows = export_rows(scratch_path("m.toml")), *written;
    size_t size;
    pg_store *store;
    pg_npy images;
    export_evidence();
    assert_int_equal(pg_file_read(scratch_path("files/images.csv"), 1 << 24, &written, &size), PG_OK);
    assert_string_equal(written, rows);
    free(written);
    free(rows);
    cell_id("defense = 'mean' AND attack = 'lavan'", cell);
    attacks w = {.cell = cell};
    assert_int_equal(load_npy(file_of(cell, "patches.npy"), &w.patches), PG_OK);
    assert_true(w.patches.rank == 4 && w.patches.shape[0] == N && w.patches.shape[1] == 3 && w.patches.shape[2] == 5);
    assert_int_equal(pg_store_open(scratch_path("i.db"), PG_STORE_READ, &store), PG_OK);
    assert_int_equal(pg_store_each_attack(store, cell, check_attack, &w), PG_OK);
    assert_int_equal(w.n, N);
    pg_store_close(store);
    pg_npy_release(&w.patches);
    assert_int_equal(load_npy(file_of(cell, "images.npy"), &images), PG_OK);
    assert_int_equal(images.count, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(((const int64_t *)images.data)[i], i);
    pg_npy_release(&images);
}

typedef struct evidence {
    pg_npy values[2], masks[2]; /* clean, attacked; masks of mean: none */
    bool masks_too;
    int n, masked;
} evidence;

/* The class with the largest sum over what is not masked. */
static int largest(const evidence *e, int k, int *masked)
{
    int64_t positions = e->values[k].shape[1] * e->values[k].shape[2], classes = e->values[k].shape[3], best = INT64_MIN;
    const int32_t *q = (const int32_t *)e->values[k].data + e->n * positions * classes;
    int winner = -1;
    *masked = 0;
    for (int c = 0; c < classes; c++) {
        int64_t sum = 0;
        for (int64_t p = 0; p < positions; p++) {
            bool hidden = e->masks_too && ((const uint8_t *)e->masks[k].data)[e->n * positions + p];
            sum += hidden ? 0 : q[p * classes + c];
            *masked += c == 0 && hidden;
        }
        if (sum > best) {
            best = sum;
            winner = c;
        }
    }
    return winner;
}

static int check_evidence(const pg_outcome *o, void *context)
{
    evidence *e = context;
    int masked;
    assert_int_equal(largest(e, 0, &masked), o->prediction);
    assert_int_equal(masked > 0, e->masks_too && o->masked);
    assert_int_equal(largest(e, 1, &masked), o->attacked);
    e->masked += masked > 0;
    e->n++;
    return PG_OK;
}

/* Predictions follow from evidence and masks: for the mean, and where all classes share the mask. */
static void evidence_predicts_as_the_store_does(void **state)
{
    (void)state;
    static const char *const cells[] = {
        "defense = 'mean' AND attack = 'lavan'",
        "defense = 'robust-masking' AND attack = 'lavan' AND cell IN (SELECT cell FROM setting WHERE key = "
        "'robust-masking.scope' AND value = 'predicted')"};
    export_evidence();
    for (int i = 0; i < 2; i++) {
        char cell[PG_HASH_HEX];
        pg_store *store;
        evidence e = {.masks_too = i == 1};
        cell_id(cells[i], cell);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(load_npy(file_of(cell, k ? "attacked-evidence.npy" : "evidence.npy"), &e.values[k]), PG_OK);
            assert_int_equal(e.values[k].dtype, PG_NPY_I4);
            assert_int_equal(e.values[k].shape[0], N);
            if (e.masks_too)
                assert_int_equal(load_npy(file_of(cell, k ? "attacked-masks.npy" : "masks.npy"), &e.masks[k]), PG_OK);
            else
                assert_int_equal(access(file_of(cell, k ? "attacked-masks.npy" : "masks.npy"), F_OK), -1);
        }
        assert_int_equal(pg_store_open(scratch_path("i.db"), PG_STORE_READ, &store), PG_OK);
        assert_int_equal(pg_store_each_outcome(store, cell, check_evidence, &e), PG_OK);
        assert_int_equal(e.n, N);
        assert_int_equal(e.masked > 0, e.masks_too);
        pg_store_close(store);
        for (int k = 0; k < 2; k++) {
            pg_npy_release(&e.values[k]);
            if (e.masks_too)
                pg_npy_release(&e.masks[k]);
        }
    }
}

/* numpy.load reads every array, and each has one item an image. */
static void numpy_reads_the_arrays(void **state)
{
    (void)state;
    char line[2 * PATH_MAX];
    export_evidence();
    snprintf(line, sizeof line,
             "for p in python3 /usr/bin/python3; do $p -c 'import numpy' 2>/dev/null || continue; exec $p -c '\n"
             "import numpy, glob\n"
             "names = glob.glob(\"%s/*/*.npy\")\n"
             "print(len(names), {len(numpy.load(name)) for name in names})'; done; exit 77",
             scratch_path("files"));
    int code = program_shell(line);
    if (code == 77)
        skip();
    ok(code);
    /* of each cell the images and the evidence, of attacked ones the patches and evidence again, of masking ones the masks */
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%d {%d}\n", 2 * CELLS + 2 * ATTACKED + 2 + 2 + 2, N);
    assert_string_equal(program_output, wanted);
}

/* An export takes the place of an earlier one as a whole, and of nothing else. */
static void only_own_folders_are_replaced(void **state)
{
    (void)state;
    enum { CELL_FILES = 1 + N + 2 }; /* a folder, a PNG an image, two arrays */
    char folder[600], inside[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", scratch_path("again"));
    ok(program_run("i.db", "--quiet export --images --files %s", folder));
    assert_int_equal(scratch_count(folder), 1 + ATTACKED * CELL_FILES);
    ok(program_run("i.db", "--quiet export --images --only defense=mean -f json --files %s/", folder));
    assert_int_equal(scratch_count(folder), 1 + CELL_FILES);
    assert_int_equal(access(scratch_path("again/images.json"), F_OK), 0);
    snprintf(inside, sizeof inside, "%s", scratch_path("again/notes.txt"));
    assert_int_equal(pg_file_write(inside, "mine", 4), PG_OK);
    assert_int_equal(program_run("i.db", "--quiet export --images --files %s", folder), 2);
    assert_non_null(strstr(program_output, "notes.txt: is no file of an earlier export"));
    assert_int_equal(scratch_count(folder), 2 + CELL_FILES);
    assert_int_equal(unlink(inside), 0);
    char cell[PG_HASH_HEX];
    cell_id("defense = 'mean' AND attack = 'lavan'", cell);
    snprintf(inside, sizeof inside, "%s/%.12s/thesis.png", folder, cell);
    assert_int_equal(pg_file_write(inside, "mine", 4), PG_OK);
    assert_int_equal(program_run("i.db", "--quiet export --images --files %s", folder), 2);
    assert_int_equal(access(inside, F_OK), 0);
}

static void bad_exports_leave_nothing(void **state)
{
    (void)state;
    const char *no = scratch_path("no"), *m = scratch_path("m.toml");
    int files = scratch_count(scratch_folder);
    assert_int_equal(program_run("i.db", "export --images %s -S images=0:4", m), 2);
    assert_non_null(strstr(program_output, "run it first"));
    assert_int_equal(program_run("i.db", "export --images %s -S attack=none,lavan,random-search --evidence --files %s", m, no),
                     2);
    assert_non_null(strstr(program_output, "is not done"));
    assert_int_equal(program_run("i.db", "export --images %s --evidence", m), 2);
    assert_int_equal(program_run("i.db", "export --files %s", no), 2);
    assert_int_equal(program_run("i.db", "export --images --wide"), 2);
    assert_int_equal(program_run("i.db", "export --images --evidence --files %s", no), 2);
    assert_int_equal(program_run("i.db", "export --images --files %s -o %s", no, scratch_path("no.csv")), 2);
    assert_int_equal(program_run("i.db", "export --images --files %s", m), 2);
    assert_int_equal(program_run("i.db", "export --images --files ."), 2);
    assert_int_equal(program_run("i.db", "export --images -S patch=2"), 2);
    assert_int_equal(program_run("i.db", "export --images --only defense=maen --files %s", no), 2);
    assert_int_equal(program_run("none.db", "export --images --files %s", no), 2);
    assert_int_equal(program_run("i.db", "export --images -o %s", m), 2);
    assert_int_equal(scratch_count(scratch_folder), files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_is_the_view_row_by_row),     cmocka_unit_test(json_has_the_rows_of_csv),
        cmocka_unit_test(patches_are_those_of_the_store), cmocka_unit_test(evidence_predicts_as_the_store_does),
        cmocka_unit_test(numpy_reads_the_arrays),         cmocka_unit_test(only_own_folders_are_replaced),
        cmocka_unit_test(bad_exports_leave_nothing),      cmocka_unit_test(every_image_stands_with_its_verdict),
        cmocka_unit_test(broken_images_come_first),       cmocka_unit_test(choices_and_limits_hold),
        cmocka_unit_test(bad_input_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
