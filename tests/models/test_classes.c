/* Classes of a network: files that name them, and the outputs that labels are. */
#include "models/classes.h"

#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static int read_text(const char *text, int outputs, pg_classes *out)
{
    scratch_write("classes", text, strlen(text));
    return pg_classes_read(scratch_path("classes"), outputs, out);
}

static void check(const char *text, int outputs, const char *const (*want)[2])
{
    pg_classes c;
    assert_int_equal(read_text(text, outputs, &c), PG_OK);
    assert_int_equal(c.n, outputs);
    for (int i = 0; i < outputs; i++) {
        assert_string_equal(c.items[i].id, want[i][0]);
        assert_string_equal(c.items[i].name, want[i][1]);
    }
    char *stored = pg_classes_text(&c);
    pg_classes again;
    assert_int_equal(pg_classes_parse(stored, outputs, &again), PG_OK);
    for (int i = 0; i < outputs; i++) {
        assert_string_equal(again.items[i].id, want[i][0]);
        assert_string_equal(again.items[i].name, want[i][1]);
    }
    free(stored);
    pg_classes_release(&again);
    pg_classes_release(&c);
}

static void files_as_they_are_published_are_read(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"", "tench, Tinca tinca"}, {"", "goldfish"}, {"", "crane"}};
    static const char *const both[][2] = {
        {"n01440764", "tench, Tinca tinca"}, {"n01443537", "goldfish"}, {"n02012849", "crane"}};
    static const char *const ids[][2] = {{"n01440764", "n01440764"}, {"n01443537", "n01443537"}};
    check("tench, Tinca tinca\ngoldfish\ncrane\n", 3, names);
    check("tench, Tinca tinca\r\n goldfish \r\ncrane", 3, names);
    check("background\ntench, Tinca tinca\ngoldfish\ncrane\n", 3, names);
    check("n01440764 tench, Tinca tinca\nn01443537\tgoldfish\nn02012849,crane\n", 3, both);
    check("background\nn01440764\nn01443537\n", 2, ids);
    check("[\"tench, Tinca tinca\", \"goldfish\", \"crane\"]", 3, names);
    check("{\"2\": \"crane\", \"0\": \"tench, Tinca tinca\", \"1\": \"goldfish\"}", 3, names);
    check("\n{\"0\": [\"n01440764\", \"tench, Tinca tinca\"], \"1\": [\"n01443537\", \"goldfish\"], \"2\": [\"n02012849\", "
          "\"crane\"]}",
          3, both);
    check("[[\"n01440764\", \"tench, Tinca tinca\"], [\"n01443537\", \"goldfish\"], [\"n02012849\", \"crane\"]]", 3, both);
    check("{\"crane\": 2, \"tench, Tinca tinca\": 0, \"goldfish\": 1}", 3, names);
    static const char *const with[][2] = {{"", "background"}, {"", "a"}};
    check("background\na\n", 2, with);
    static const char *const turned[][2] = {{"", "a\u202eb"}}; /* as a data set may be named, and cleaned where it is shown */
    check("a\u202eb\n", 1, turned);
    pg_classes c;
    pg_buf shown = PG_BUF_EMPTY;
    assert_int_equal(read_text("a\u202eb\n", 1, &c), PG_OK);
    pg_classes_describe(&c, &shown);
    assert_string_equal(shown.data, "class names  0 a?b\n");
    pg_buf_release(&shown);
    pg_classes_release(&c);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "0 lines"},
        {"a\nb\n", "2 classes, but the network has 3 outputs"},
        {"a\nb\n", "also one for an output of the background"},
        {"a\nb\nc\nd\n", "only where the first is `background`"},
        {"a\nb\nbackground\nd\n", "4 classes"},
        {"a\n\nc\n", "line 2: a name is empty"},
        {"a\n\x1b[2J\nc\n", "line 2: a name or an id is longer than 255 bytes or not printable"},
        {"a\n\xff\nc\n", "line 2"},
        {"n01440764 a\nn01440764 b\nc\n", "the id n01440764 is there twice"},
        {"{\"0\": \"a\", \"1\": \"b\", \"3\": \"c\"}", "entry \"3\": no number in 0 to 2"},
        {"{\"0\": \"a\", \"00\": \"b\", \"2\": \"c\"}", "entry \"00\": it is there twice"},
        {"{\"a\": 0, \"b\": 0, \"c\": 2}", "entry \"b\": it is there twice"},
        {"{\"a\": 0, \"b\": 7, \"c\": 2}", "entry \"b\": its number is not in 0 to 2"},
        {"[\"a\", 3, \"c\"]", "entry 1: neither a name nor [id, name]"},
        {"[\"a\", [\"b\"], \"c\"]", "entry 1: neither a name nor [id, name]"},
        {"[\"a\", ", "line 1: "},
        {"[]", "no list and no object of 1 to"},
    };
    pg_classes c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_text(cases[i][0], 3, &c), PG_EINPUT);
        if (!strstr(pg_error_message(), cases[i][1]) || !strstr(pg_error_message(), "/classes: "))
            fail_msg("case %zu: %s", i, pg_error_message());
    }
    scratch_write("classes", "a\0b\n", 4);
    assert_int_equal(pg_classes_read(scratch_path("classes"), 1, &c), PG_EINPUT);
    assert_int_equal(pg_classes_read(scratch_path("missing"), 1, &c), PG_EMISSING);
    static const char *const stored[] = {"", "{", "[\"a\"]", "[\"a\", 3]", "{\"0\":\"a\",\"1\":\"b\"}", "[\"a\", \"\"]"};
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++)
        assert_int_equal(pg_classes_parse(stored[i], 2, &c), PG_EDAMAGED);
}

static pg_classes network_classes, labels;
static pg_outputs_request request;

/* The labels of a data set on a network of six outputs. */
static int find(const char *const *names, int n, const char *given, int *out)
{
    pg_classes_release(&labels);
    assert_int_equal(pg_classes_of_dataset(&(pg_dataset_info){.classes = n, .class_names = names}, &labels), PG_OK);
    request = (pg_outputs_request){.network = "net",
                                   .outputs = 6,
                                   .classes = &network_classes,
                                   .dataset = "birds:val",
                                   .labels = &labels,
                                   .given = given,
                                   .how = "--outputs 0,217"};
    return pg_outputs_find(&request, out);
}

static void labels_are_found_by_id_and_name(void **state)
{
    (void)state;
    int out[6];
    assert_int_equal(read_text("background\ntench, Tinca tinca\ncrane\nchurch, church building\nEnglish springer\ncrane\n", 6,
                               &network_classes),
                     PG_OK);
    /* ImageNette's folders, and its names */
    assert_int_equal(find((const char *const[]){"n02102040", "n01440764", "n03028079"}, 3, "names", out), PG_OK);
    assert_memory_equal(out, ((int[]){4, 1, 3}), 3 * sizeof *out);
    assert_int_equal(find((const char *const[]){"english_springer", "Tinca tinca", "church, church building"}, 3, "names", out),
                     PG_OK);
    assert_memory_equal(out, ((int[]){4, 1, 3}), 3 * sizeof *out);
    assert_int_equal(find((const char *const[]){"tench", "springer"}, 2, "names", out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "label 1 of birds:val: no class of net has the name \"springer\""));
    assert_non_null(strstr(pg_error_message(), "right would be the output of each label, --outputs 0,217"));
    assert_int_equal(find((const char *const[]){"tench", "n02097047"}, 2, "names", out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "has the id \"n02097047\";"));
    assert_int_equal(find((const char *const[]){"tench", "n03000684"}, 2, "names", out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "has the id \"n03000684\" or the name \"chain saw\";"));
    assert_int_equal(find((const char *const[]){"crane"}, 1, "names", out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "\"crane\" is the name of the outputs 2 and 5"));
    assert_int_equal(find((const char *const[]){"tench", "tinca tinca"}, 2, "names", out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "the labels 0 and 1 of birds:val are both output 1"));
    /* an id counts more than a name */
    pg_classes_release(&network_classes);
    assert_int_equal(read_text("[[\"a1\", \"b1\"], [\"b1\", \"a1\"]]", 2, &network_classes), PG_OK);
    assert_int_equal(find((const char *const[]){"b1", "a1"}, 2, "names", out), PG_OK);
    assert_memory_equal(out, ((int[]){1, 0}), 2 * sizeof *out);
    pg_classes_release(&network_classes);
}

static void outputs_are_given(void **state)
{
    (void)state;
    int out[6];
    static const char *const names[] = {"x", "y", "z"}, *const six[] = {"a", "b", "c", "d", "e", "f"},
                             *const seven[] = {"a", "b", "c", "d", "e", "f", "g"};
    static const char *const wrong[][2] = {
        {"0,1", "2 outputs are given, birds:val has 3 labels"},
        {"0,1,2,3", "4 outputs are given"},
        {"0,1,6", "net has the outputs 0 to 5, not 6"},
        {"2 1 2", "the labels 0 and 2 of birds:val are both output 2"},
        {"99999999999999999999 1 2", "stores no classes, so \"99999999999999999999\""},
    };
    assert_int_equal(find(names, 3, "5,0 3", out), PG_OK);
    assert_memory_equal(out, ((int[]){5, 0, 3}), 3 * sizeof *out);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(find(names, 3, wrong[i][0], out), PG_EINPUT);
        if (!strstr(pg_error_message(), wrong[i][1]))
            fail_msg("case %zu: %s", i, pg_error_message());
    }
    assert_int_equal(find(names, 3, "names", out), PG_EINPUT); /* more outputs than labels */
    assert_non_null(strstr(pg_error_message(), "net has 6 outputs, birds:val 3 labels, and the weights store no classes"));
    assert_int_equal(find(six, 6, "names", out), PG_OK);
    assert_memory_equal(out, ((int[]){0, 1, 2, 3, 4, 5}), 6 * sizeof *out);
    assert_true(pg_outputs_are_labels(out, 6, 6));
    assert_false(pg_outputs_are_labels(out, 6, 7));
    assert_int_equal(find(seven, 7, "names", out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "birds:val has 7 labels, net only 6 outputs"));
    /* a file: numbers, ids and names */
    assert_int_equal(read_text("[[\"n00000001\", \"q\"], \"r\", \"s\", \"t\", \"u\", \"v\"]", 6, &network_classes), PG_OK);
    scratch_write("outputs", "v\n2\nn00000001\n", 14);
    assert_int_equal(find(names, 3, scratch_path("outputs"), out), PG_OK);
    assert_memory_equal(out, ((int[]){5, 2, 0}), 3 * sizeof *out);
    assert_false(pg_outputs_are_labels(out, 3, 3));
    scratch_write("outputs", "v\nw\nq\n", 6);
    assert_int_equal(find(names, 3, scratch_path("outputs"), out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "/outputs: line 2: net stores no class \"w\""));
    scratch_write("outputs", "v\nu\n", 4);
    assert_int_equal(find(names, 3, scratch_path("outputs"), out), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "/outputs: 2 outputs are given"));
    assert_int_equal(find(names, 3, scratch_path("none"), out), PG_EMISSING);
    pg_buf text = PG_BUF_EMPTY;
    pg_outputs_text((int[]){5, 0, 3}, 3, &text);
    assert_string_equal(text.data, "5,0,3");
    pg_buf_release(&text);
    pg_classes_release(&network_classes);
    pg_classes_release(&labels);
}

/* The list of ImageNet's names, which has the background before the 1,000. */
static void imagenette_is_found_in_the_list_of_imagenet(void **state)
{
    (void)state;
    static const char file[] = "../shared/weights/imagenet_labels_1001.txt";
    static const char *const folders[] = {"n01440764", "n02102040", "n02979186", "n03000684", "n03028079",
                                          "n03394916", "n03417042", "n03425413", "n03445777", "n03888257"};
    int out[10];
    if (access(file, R_OK) != 0)
        skip();
    assert_int_equal(pg_classes_read(file, 1000, &network_classes), PG_OK);
    assert_int_equal(pg_classes_of_dataset(&(pg_dataset_info){.classes = 10, .class_names = folders}, &labels), PG_OK);
    request = (pg_outputs_request){.network = "net",
                                   .outputs = 1000,
                                   .classes = &network_classes,
                                   .dataset = "imagenette:val",
                                   .labels = &labels,
                                   .given = "names",
                                   .how = ""};
    assert_int_equal(pg_outputs_find(&request, out), PG_OK);
    assert_memory_equal(out, ((int[]){0, 217, 482, 491, 497, 566, 569, 571, 574, 701}), sizeof out);
    pg_classes_release(&network_classes);
    pg_classes_release(&labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_as_they_are_published_are_read),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(labels_are_found_by_id_and_name),
        cmocka_unit_test(outputs_are_given),
        cmocka_unit_test(imagenette_is_found_in_the_list_of_imagenet),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
