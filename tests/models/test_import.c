/* Weights of other programs: local logits of networks that Debian's PyTorch wrote and ran (tests/models/import_reference.py),
 * and files that have to be refused (tests/models/import_hostile.py). */
/* Loads libtorch, also under sanitizers. */
#include "models/state_dict.h"

#include "harness/base/file.h"
#include "tests/support/program.h"
#include "tests/support/python.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { LINE = 600 };

static void *bytes_of(const char *name, const char *suffix, size_t size)
{
    char file[128], *data = NULL;
    size_t found = 0;
    snprintf(file, sizeof file, "%s%s", name, suffix);
    assert_int_equal(pg_file_read(scratch_path(file), size, &data, &found), PG_OK);
    assert_int_equal(found, size);
    return data;
}

/* The largest difference of local logits between the imported network and its reference, as a share of the largest of them, or
 * of 1. */
static double difference(const char *name, int n, int h, int w, int rows, int columns, int classes)
{
    pg_network *network = NULL;
    const pg_network_options options = {.device = "cpu", .batch = n, .threads = 1};
    assert_int_equal(pg_network_open(scratch_path("out.safetensors"), NULL, 0, &options, &network), PG_OK);
    const pg_geometry *g = &pg_network_info(network)->geometry;
    assert_int_equal(g->rows.positions, rows);
    assert_int_equal(g->columns.positions, columns);
    assert_int_equal(g->classes, classes);
    size_t count = (size_t)n * rows * columns * classes;
    uint8_t *pixels = bytes_of(name, ".pixels", (size_t)n * 3 * h * w);
    float *wanted = bytes_of(name, ".logits", 4 * count), *logits = malloc(4 * count);
    assert_int_equal(pg_network_forward(network, pixels, 0, n, logits), PG_OK);
    double most = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fabs((double)logits[i] - wanted[i]));
        largest = fmax(largest, fabs(wanted[i]));
    }
    assert_true(largest > 0.1); /* a reference of zeros would fit anything */
    free(pixels);
    free(wanted);
    free(logits);
    pg_network_close(network);
    return most / fmax(1, largest);
}

/* Imports each network that import_reference.py emits, and compares local logits; returns how many they are. */
static int compare_with_pytorch(const char *folder)
{
    char line[LINE], name[64], model[64], arguments[LINE];
    int n, h, w, rows, columns, classes, cases = 0;
    FILE *answer = python_reference("torch", "tests/models/import_reference.py", folder);
    if (!answer)
        skip();
    for (; fgets(line, sizeof line, answer); cases++) {
        assert_int_equal(sscanf(line, "%63s %d %d %d %d %d %d %63s %599[^\n]", name, &n, &h, &w, &rows, &columns, &classes,
                                model, arguments),
                         9);
        int code = program_run("db", "model import %s '%s' --input %dx%d -o '%s' %s", *model == '-' ? "" : model,
                               scratch_path(name), h, w, scratch_path("out.safetensors"), arguments);
        if (code)
            print_message("%s\n", program_output);
        assert_int_equal(code, 0);
        assert_null(strstr(program_output, "missing"));
        double most = difference(name, n, h, w, rows, columns, classes);
        const char *fits = strstr(program_output, "fits");
        print_message("%-26s %.*s, largest difference %.2g\n", name, fits ? (int)strcspn(fits, "\n") : 0, fits ? fits : "",
                      most);
        assert_true(most <= 1e-5);
        assert_int_equal(remove(scratch_path("out.safetensors")), 0);
    }
    assert_int_equal(pclose(answer), 0);
    return cases;
}

/* What the shapes of a transformer do not tell is stated, or one error says what would be right. */
static void options_of_transformers_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"vit '%s' --input 48x64", "a width of 24 is no multiple of 64: right would be heads=N"},
        {"vit '%s' --input 48x64 --set heads=5", "a width of 24 is no multiple of its 5 heads"},
        {"'%s' --input 48x63 --set heads=3", "images of 48 x 63 pixels are no whole tokens: right would be multiples of 16"},
        {"'%s' --input 64x64 --set heads=3", "pos_embed is of images of another size than 64x64: right would be the --input"},
        {"smoothed-vit '%s' --input 48x64 --set heads=3", "the width of its bands: --set band=... is missing"},
        {"smoothed-vit '%s' --input 48x64 --set heads=3 --set band=65", "a band of 65 columns is wider than the image of 64"},
    };
    if (pg_file_size(scratch_path("vit.pth")) < 0)
        skip();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char command[LINE], line[LINE];
        snprintf(command, sizeof command, "model import %s --set mean=0 --set std=1 -o '%%s'", wrong[i][0]);
        snprintf(line, sizeof line, "%s", scratch_path("vit.pth"));
        assert_int_equal(program_run("db", command, line, scratch_path("out.safetensors")), 2);
        if (!strstr(program_output, wrong[i][1]))
            fail_msg("%s", program_output);
        assert_true(pg_file_size(scratch_path("out.safetensors")) < 0);
    }
    assert_int_equal(program_run("db", "model import '%s' --input 48x64 --set heads=3 --set mean=0 --set std=1 -o '%s'",
                                 scratch_path("vit.pth"), scratch_path("out.safetensors")),
                     0);
    assert_non_null(strstr(program_output, "epsilon=1e-06  (default: the file does not tell)"));
    assert_int_equal(program_run("db", "model inspect '%s'", scratch_path("out.safetensors")), 0);
    assert_non_null(strstr(program_output, "heads=3 hidden=96 patch=16 epsilon=1e-06"));
    assert_int_equal(remove(scratch_path("out.safetensors")), 0);
}

/* Networks as their authors published them, which are no part of the tree. */
static void published_weights_are_read(void **state)
{
    (void)state;
    if (pg_file_size("../shared/weights/README.md") < 0)
        skip();
    assert_int_equal(compare_with_pytorch("../shared/weights"), 3);
}

static void local_logits_are_those_of_pytorch(void **state)
{
    (void)state;
    assert_int_equal(compare_with_pytorch(""), 44);
    /* two state dicts of one network: nobody guesses which is meant */
    assert_int_equal(program_run("db", "model import '%s' --input 65x97 -o '%s' --set mean=0 --set std=1",
                                 scratch_path("bagnet17.pth"), scratch_path("out.safetensors")),
                     2);
    assert_non_null(
        strstr(program_output, "2 networks of the file fit alike; choose one: --key 'state_dict', --key 'state_dict_ema'"));
    assert_int_equal(pg_file_size(scratch_path("out.safetensors")), -1);
}

/* *new*: one space in the place of many. */
static char *squeezed(const char *text)
{
    char *out = malloc(strlen(text) + 1), *to = out;
    for (; out && *text; text++)
        if (*text != ' ' || to == out || to[-1] != ' ')
            *to++ = *text;
    if (!out)
        abort();
    *to = 0;
    return out;
}

/* Every hostile file: one error that names it, and nothing written or run. */
static void hostile_files_are_refused(void **state)
{
    (void)state;
    char line[LINE], name[64], wanted[LINE];
    int refused = 0, wrong = 0;
    FILE *answer = python_reference("zipfile", "tests/models/import_hostile.py", "");
    if (!answer)
        skip();
    while (fgets(line, sizeof line, answer)) {
        assert_int_equal(sscanf(line, "%63s %599[^\n]", name, wanted), 2);
        bool sound = *wanted == '-';
        int code = program_run("db", "model import '%s' --input 32x32 -o '%s' --set mean=0 --set std=1", scratch_path(name),
                               scratch_path("out.safetensors"));
        const char *first = strstr(program_output, "patchgauge: ");
        char *report = squeezed(program_output);
        bool right =
            sound ? code == 0 && strstr(report, wanted + 1)
                  : code == 2 && first && strstr(first, wanted) && strstr(first, name) && !strstr(first + 1, "patchgauge: ");
        right &= (pg_file_size(scratch_path("out.safetensors")) >= 0) == sound && pg_file_size(scratch_path("owned")) < 0;
        if (!right)
            print_message("%s: exit code %d, wanted '%s':\n%s\n", name, code, wanted, program_output);
        free(report);
        wrong += !right;
        refused += !sound;
        remove(scratch_path("out.safetensors"));
    }
    assert_int_equal(pclose(answer), 0);
    print_message("%d files, %d not as wanted\n", refused, wrong);
    assert_int_equal(wrong, 0);
    assert_true(refused >= 70);
}

/* Cut anywhere, or with any byte changed, a file is read or refused. */
static void damaged_files_are_read_or_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"sound", "old-sound"};
    for (size_t k = 0; k < 2; k++) {
        char *data = NULL;
        size_t size = 0, opened = 0, tried = 0;
        if (pg_file_read(scratch_path(names[k]), 1 << 24, &data, &size) != PG_OK)
            skip();
        for (size_t at = 0; at < size; at += at < 4000 ? 7 : 4099) {
            for (int way = 0; way < 2; way++) {
                pg_state_file *f = NULL;
                char kept = data[at];
                data[at] = (char)(data[at] ^ (1 << at % 8));
                scratch_write("damaged", data, way ? size : at);
                data[at] = kept;
                int code = pg_state_open(scratch_path("damaged"), &f);
                assert_true(code == PG_OK || code == PG_EDAMAGED || code == PG_EUNSUPPORTED);
                assert_true(code == PG_OK || strstr(pg_error_message(), "damaged"));
                opened += code == PG_OK;
                tried++;
                pg_state_close(f);
            }
        }
        print_message("%s: %zu of %zu opened\n", names[k], opened, tried);
        assert_true(opened < tried);
        free(data);
    }
}

/* The weights file says where it came from, and the same import gives the same bytes. */
static void provenance_is_recorded(void **state)
{
    (void)state;
    char hash[2][PG_HASH_HEX], source[PG_HASH_HEX], wanted[200];
    if (pg_hash_file(scratch_path("sound"), source) != PG_OK)
        skip();
    for (int i = 0; i < 2; i++) {
        const char *out = scratch_path(i ? "b.safetensors" : "a.safetensors");
        assert_int_equal(program_run("db",
                                     "model import resnet18 '%s' --input 32x32 -o '%s' --set mean=0.1,0.2,0.3 --set std=1",
                                     scratch_path("sound"), out),
                         0);
        assert_int_equal(pg_hash_file(out, hash[i]), PG_OK);
    }
    assert_string_equal(hash[0], hash[1]);
    assert_int_equal(program_run("db", "model inspect '%s'", scratch_path("a.safetensors")), 0);
    snprintf(wanted, sizeof wanted, "sound sha256 %s", source);
    assert_non_null(strstr(program_output, wanted));
    assert_non_null(strstr(program_output, "width=4 stem=small mean=0.1,0.2,0.3 std=1"));
    assert_non_null(
        strstr(program_output, "patchgauge model import resnet18 sound --input 32x32 --set width=4 --set stem=small"));
    /* what no tensor tells is asked for; an architecture that does not fit says what is missing */
    assert_int_equal(
        program_run("db", "model import '%s' --input 32x32 -o '%s'", scratch_path("sound"), scratch_path("c.safetensors")), 2);
    assert_non_null(strstr(program_output, "--set mean=... is missing"));
    assert_int_equal(program_run("db", "model import ds-resnet18 '%s' --input 32x32 -o '%s' --set band=4",
                                 scratch_path("sound"), scratch_path("c.safetensors")),
                     2);
    assert_non_null(strstr(program_output, "conv1.weight 64x5x3x3; the file has 4x3x3x3"));
    assert_int_equal(pg_file_size(scratch_path("c.safetensors")), -1);
}

/* Names of the outputs come from a file of others. */
static void classes_are_stored(void **state)
{
    (void)state;
    char list[400] = "background\n", command[LINE];
    if (pg_file_size(scratch_path("a.safetensors")) < 0)
        skip();
    snprintf(command, sizeof command, "model import '%s' --input 32x32 -o '%s' --set mean=0 --set std=1 --classes '%s'",
             scratch_path("sound"), scratch_path("c.safetensors"), scratch_path("classes"));
    assert_int_equal(program_run("db", "model inspect '%s'", scratch_path("a.safetensors")), 0);
    int classes = atoi(strstr(program_output, "pixels, ") + 8);
    assert_null(strstr(program_output, "class names"));
    for (int i = 0; i < classes - 1; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "n0144%04d bird %d\n", i, i);
    scratch_write("classes", list + sizeof "background", strlen(list) - sizeof "background"); /* one too few */
    assert_int_equal(program_run("db", "%s", command), 2);
    assert_non_null(strstr(program_output, "also one for an output of the background"));
    snprintf(list + strlen(list), sizeof list - strlen(list), "last, crane\n");
    scratch_write("classes", list, strlen(list));
    assert_int_equal(program_run("db", "%s", command), 0);
    assert_non_null(strstr(program_output, "class names  0 bird 0 (n01440000); "));
    assert_int_equal(program_run("db", "model inspect '%s'", scratch_path("c.safetensors")), 0);
    assert_non_null(strstr(program_output, "class names  0 bird 0 (n01440000); "));
    assert_non_null(strstr(program_output, "last, crane"));
    assert_non_null(strstr(program_output, "--classes classes"));
}

/* Two networks in one dictionary: the message says how to choose, and the one that is chosen is whole. */
static void a_prefix_chooses(void **state)
{
    (void)state;
    static const char *const chosen[] = {"module.model", "module.attacker.model."};
    char hash[2][PG_HASH_HEX];
    if (pg_file_size(scratch_path("prefixes")) < 0)
        skip();
    int code = program_run("db", "model import '%s' --input 32x32 -o '%s' --set mean=0 --set std=1", scratch_path("prefixes"),
                           scratch_path("a"));
    assert_int_equal(code, 2);
    assert_non_null(
        strstr(program_output,
               "2 networks of the file fit alike; choose one: --prefix 'module.attacker.model.', --prefix 'module.model.'"));
    for (int i = 0; i < 2; i++) {
        code = program_run("db", "model import '%s' --input 32x32 -o '%s' --set mean=0 --set std=1 --prefix %s",
                           scratch_path("prefixes"), scratch_path("a"), chosen[i]);
        if (code)
            fail_msg("%s", program_output);
        assert_non_null(strstr(program_output, "fits         102 of 102 tensors"));
        assert_non_null(strstr(program_output, "not chosen   102 tensors without the prefix"));
        assert_int_equal(pg_hash_file(scratch_path("a"), hash[i]), PG_OK);
        assert_int_equal(remove(scratch_path("a")), 0);
    }
    assert_string_not_equal(hash[0], hash[1]);
    code = program_run("db", "model import '%s' --input 32x32 -o '%s' --set mean=0 --set std=1 --prefix model",
                       scratch_path("prefixes"), scratch_path("b"));
    assert_int_equal(code, 2);
    assert_non_null(strstr(program_output, "the file has: --key '' --prefix 'module.attacker.model.'"));
    assert_int_equal(pg_file_size(scratch_path("b")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(damaged_files_are_read_or_refused),
        cmocka_unit_test(provenance_is_recorded),
        cmocka_unit_test(classes_are_stored),
        cmocka_unit_test(a_prefix_chooses),
        cmocka_unit_test(local_logits_are_those_of_pytorch),
        cmocka_unit_test(options_of_transformers_are_checked),
        cmocka_unit_test(published_weights_are_read),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
