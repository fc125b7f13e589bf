/* Option tables, numbers as text, nearest names, module settings. */
#include "harness/base/module.h"
#include "harness/base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct config {
    bool flag;
    int64_t count;
    double rate;
    int64_t threshold_ppm;
    int rule;
    pg_range clip, limits;
    char text[PG_OPTION_TEXT_MAX];
    pg_rgb colour;
    int pairs;
} config;

static const char *const rules[] = {"votes", "window", NULL};
static const char *const pairs[] = {"all", "some", NULL};
static const pg_option table[] = {
    {.name = "flag", .type = PG_OPTION_BOOL, .offset = offsetof(config, flag), .fallback = "no", .help = "a flag"},
    {.name = "count",
     .type = PG_OPTION_INT,
     .offset = offsetof(config, count),
     .fallback = "3",
     .min = 1,
     .max = 8,
     .help = "a count"},
    {.name = "rate",
     .type = PG_OPTION_DECIMAL,
     .offset = offsetof(config, rate),
     .fallback = "0.1",
     .min = 0,
     .max = 2,
     .help = "a rate"},
    {.name = "threshold",
     .type = PG_OPTION_PPM,
     .offset = offsetof(config, threshold_ppm),
     .fallback = "0.2",
     .min = 0,
     .max = 1,
     .help = "a threshold"},
    {.name = "rule",
     .type = PG_OPTION_CHOICE,
     .offset = offsetof(config, rule),
     .fallback = "votes",
     .choices = rules,
     .help = "a rule"},
    {.name = "clip", .type = PG_OPTION_RANGE, .offset = offsetof(config, clip), .fallback = "auto", .help = "a range"},
    {.name = "limits",
     .type = PG_OPTION_RANGE,
     .offset = offsetof(config, limits),
     .fallback = "0:15",
     .min = -20,
     .max = 20,
     .help = "a bounded range"},
    {.name = "text",
     .type = PG_OPTION_TEXT,
     .offset = offsetof(config, text),
     .fallback = "",
     .recorded_only = true,
     .help = "a text"},
    {.name = "colour",
     .type = PG_OPTION_RGB,
     .offset = offsetof(config, colour),
     .fallback = "0.5",
     .min = 0,
     .max = 1,
     .later = true,
     .help = "a colour"},
    {.name = "pairs",
     .type = PG_OPTION_CHOICE,
     .offset = offsetof(config, pairs),
     .fallback = "some",
     .choices = pairs,
     .later = true,
     .before = "all",
     .help = "pairs"},
    {0},
};

/* the value of one row after it was set, or "error" */
static const char *set(const char *key, const char *value)
{
    static char shown[256];
    config c, before;
    memset(&c, 0, sizeof c);
    pg_options_defaults(table, &c);
    before = c;
    int code = pg_options_set(table, &c, "defense test", key, value);
    if (code != PG_OK) {
        assert_int_equal(code, PG_EINPUT);
        assert_memory_equal(&c, &before, sizeof c);
        assert_non_null(strstr(pg_error_message(), "defense test"));
        return "error";
    }
    pg_buf out;
    pg_buf_init(&out);
    pg_option_format(pg_option_find(table, key), &c, &out);
    snprintf(shown, sizeof shown, "%s", out.data);
    pg_buf_release(&out);
    return shown;
}

static void every_type_takes_its_values(void **state)
{
    (void)state;
    const char *const good[][3] = {
        {"flag", "true", "true"},
        {"flag", "no", "false"},
        {"flag", "on", "true"},
        {"flag", "0", "false"},
        {"flag", "1", "true"},
        {"flag", "off", "false"},
        {"flag", "yes", "true"},
        {"count", "1", "1"},
        {"count", "8", "8"},
        {"count", "+2", "2"},
        {"count", "007", "7"},
        {"rate", "0", "0"},
        {"rate", "2", "2"},
        {"rate", "1e-3", "0.001"},
        {"rate", "0.10", "0.1"},
        {"rate", ".5", "0.5"},
        {"threshold", "0.2", "0.2"},
        {"threshold", "0.200000", "0.2"},
        {"threshold", "1", "1"},
        {"threshold", "0.000001", "0.000001"},
        {"threshold", "0", "0"},
        {"threshold", "0.987659", "0.987659"},
        {"rule", "window", "window"},
        {"rule", "votes", "votes"},
        {"clip", "auto", "auto"},
        {"clip", "0:inf", "0:inf"},
        {"clip", "-inf:inf", "-inf:inf"},
        {"clip", "-1.5:2", "-1.5:2"},
        {"clip", "3:3", "3:3"},
        {"limits", "-20:20", "-20:20"},
        {"text", "any text, even =", "any text, even ="},
        {"text", "", ""},
        {"colour", "0.1,0.20,1", "0.1,0.2,1"},
        {"colour", ".25", "0.25"},
        {"colour", "0.3,0.3,0.30", "0.3"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_string_equal(set(good[i][0], good[i][1]), good[i][2]);
}

static void every_type_refuses_other_values(void **state)
{
    (void)state;
    const char *const bad[][2] = {
        {"flag", ""},
        {"flag", "TRUE"},
        {"flag", "2"},
        {"count", "0"},
        {"count", "9"},
        {"count", "1.0"},
        {"count", ""},
        {"count", " 1"},
        {"count", "1 "},
        {"count", "0x1"},
        {"count", "99999999999999999999"},
        {"rate", "-0.1"},
        {"rate", "2.0001"},
        {"rate", "inf"},
        {"rate", "nan"},
        {"rate", "0,1"},
        {"rate", "0x1p0"},
        {"rate", "1."},
        {"rate", "."},
        {"rate", "1e"},
        {"rate", "1e400"},
        {"rate", "--1"},
        {"threshold", "0.1234567"},
        {"threshold", "0.0000001"},
        {"threshold", "1.000001"},
        {"threshold", "-0.1"},
        {"threshold", "1e-1"},
        {"threshold", ""},
        {"threshold", "0."},
        {"threshold", "-"},
        {"rule", "vote"},
        {"rule", ""},
        {"clip", "1"},
        {"clip", "2:1"},
        {"clip", "a:b"},
        {"clip", ":"},
        {"clip", "1:2:3"},
        {"clip", "nan:1"},
        {"limits", "auto"},
        {"limits", "0:21"},
        {"limits", "-inf:0"},
        {"text", "two\nlines"},
        {"text", "bell\a"},
        {"colour", "0.1,0.2"},
        {"colour", "0.1,0.2,0.3,0.4"},
        {"colour", "0.1,0.2,"},
        {"colour", "0.1,0.2,1.5"},
        {"colour", "0.1,0.2,nan"},
        {"colour", ""},
        {"nothing", "1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(set(bad[i][0], bad[i][1]), "error");
    char longest[PG_OPTION_TEXT_MAX + 1];
    memset(longest, 'x', sizeof longest);
    longest[PG_OPTION_TEXT_MAX - 1] = 0;
    assert_string_equal(set("text", longest), longest);
    longest[PG_OPTION_TEXT_MAX - 1] = 'x';
    longest[PG_OPTION_TEXT_MAX] = 0;
    assert_string_equal(set("text", longest), "error");
}

static void errors_say_what_would_be_right(void **state)
{
    (void)state;
    set("count", "9");
    assert_string_equal(pg_error_message(), "defense test: option count=9: right would be an integer from 1 to 8");
    set("threshold", "2");
    assert_string_equal(pg_error_message(),
                        "defense test: option threshold=2: right would be a number with at most 6 decimals from 0 to 1");
    set("rule", "windw");
    assert_string_equal(pg_error_message(),
                        "defense test: option rule=windw: right would be one of votes, window; did you mean 'window'?");
    set("treshold", "1");
    assert_string_equal(pg_error_message(), "defense test: unknown option 'treshold': did you mean 'threshold'?");
    set("qqqq", "1");
    assert_string_equal(
        pg_error_message(),
        "defense test: unknown option 'qqqq': known are flag, count, rate, threshold, rule, clip, limits, text, colour, pairs");
    config c;
    pg_options_defaults(table, &c);
    assert_int_equal(pg_options_set_pair(table, &c, "defense test", "count"), PG_EINPUT);
    assert_int_equal(pg_options_set_pair(table, &c, "defense test", "=1"), PG_EINPUT);
    assert_int_equal(pg_options_set_pair(table, &c, "defense test", "count=5"), PG_OK);
    assert_int_equal(c.count, 5);
}

static void canonical_form_and_help(void **state)
{
    (void)state;
    config c;
    pg_buf out;
    pg_buf_init(&out);
    pg_options_defaults(table, &c);
    pg_options_canonical(table, &c, "test.", true, &out);
    assert_string_equal(out.data,
                        "test.flag=false\ntest.count=3\ntest.rate=0.1\ntest.threshold=0.2\ntest.rule=votes\ntest.clip=auto\n"
                        "test.limits=0:15\ntest.pairs=some\n");
    pg_buf_clear(&out);
    pg_options_canonical(table, &c, "", false, &out);
    assert_non_null(strstr(out.data, "\ntext=\ncolour=0.5\npairs=some\n"));
    pg_buf_clear(&out);
    assert_int_equal(pg_options_set_pair(table, &c, "test", "colour=0.5,0.5,0.6"), PG_OK); /* later, and not at its fallback */
    pg_options_canonical(table, &c, "test.", true, &out);
    assert_non_null(strstr(out.data, "test.limits=0:15\ntest.colour=0.5,0.5,0.6\ntest.pairs=some\n"));
    pg_buf_clear(&out);
    assert_int_equal(pg_options_set_pair(table, &c, "test", "pairs=all"), PG_OK); /* later, and as it was before */
    pg_options_canonical(table, &c, "test.", true, &out);
    assert_null(strstr(out.data, "pairs"));
    pg_buf_clear(&out);
    pg_options_help(table, "--", &out);
    for (const pg_option *row = table; row->name; row++) {
        char name[64];
        snprintf(name, sizeof name, "  --%s ", row->name);
        assert_non_null(strstr(out.data, name));
        assert_non_null(strstr(out.data, row->help));
    }
    assert_non_null(strstr(out.data, "an integer from 1 to 8; default 3"));
    assert_non_null(strstr(out.data, "not part of identity"));
    pg_buf_release(&out);
}

static void doubles_are_shortest_and_read_back(void **state)
{
    (void)state;
    const struct {
        double value;
        const char *text;
    } known[] = {{0.2, "0.2"},
                 {15, "15"},
                 {100, "100"},
                 {-0.0, "0"},
                 {1e-7, "1e-07"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"},
                 {1e22, "1e+22"},
                 {123456789.5, "123456789.5"},
                 {DBL_MAX, "1.7976931348623157e+308"},
                 {5e-324, "5e-324"}};
    pg_buf out;
    pg_buf_init(&out);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double back = NAN;
        pg_buf_clear(&out);
        pg_format_double(known[i].value, &out);
        assert_string_equal(out.data, known[i].text);
        assert_int_equal(pg_parse_double(out.data, &back), PG_OK);
        assert_true(back == known[i].value);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        double value, back = NAN;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        pg_buf_clear(&out);
        pg_format_double(value, &out);
        assert_int_equal(pg_parse_double(out.data, &back), PG_OK);
        assert_true(back == value);
    }
    pg_buf_release(&out);
}

static void integers_sizes_and_parts_per_million(void **state)
{
    (void)state;
    int64_t n;
    int h, w;
    assert_int_equal(pg_parse_int("-9223372036854775808", &n), PG_OK);
    assert_true(n == INT64_MIN);
    assert_int_equal(pg_parse_int("9223372036854775807", &n), PG_OK);
    assert_true(n == INT64_MAX);
    assert_int_equal(pg_parse_int("9223372036854775808", &n), PG_EINPUT);
    assert_int_equal(pg_parse_int("-9223372036854775809", &n), PG_EINPUT);
    assert_int_equal(pg_parse_int("-", &n), PG_EINPUT);
    assert_int_equal(pg_parse_ppm("-1.5", &n), PG_OK);
    assert_int_equal(n, -1500000);
    assert_int_equal(pg_parse_ppm("99999999999999", &n), PG_EINPUT);
    assert_int_equal(pg_parse_size("5", &h, &w), PG_OK);
    assert_true(h == 5 && w == 5);
    assert_int_equal(pg_parse_size("5x8", &h, &w), PG_OK);
    assert_true(h == 5 && w == 8);
    const char *const bad[] = {
        "", "0", "x", "5x", "x8", "5x0", "5x8x2", "-5", "5x-8", "5 x8", "+5", "5x+8", "1000001", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pg_parse_size(bad[i], &h, &w), PG_EINPUT);
}

static void numbers_do_not_follow_the_locale(void **state)
{
    (void)state;
    const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL;
    double value = 0;
    pg_buf out;
    pg_buf_init(&out);
    assert_int_equal(pg_parse_double("0.25", &value), PG_OK);
    assert_true(value == 0.25);
    assert_int_equal(pg_parse_double("0,25", &value), PG_EINPUT);
    pg_format_double(0.25, &out);
    assert_string_equal(out.data, "0.25");
    pg_buf_release(&out);
    if (found)
        assert_string_equal(localeconv()->decimal_point, ","); /* and the locale is as it was */
    setlocale(LC_ALL, "C");
}

static void nearest_names(void **state)
{
    (void)state;
    const char *const names[] = {"clip", "cbn", "median", "robust-masking", "run", NULL};
    assert_string_equal(pg_nearest("clp", names), "clip");
    assert_string_equal(pg_nearest("lcip", names), "clip");
    assert_string_equal(pg_nearest("clipp", names), "clip");
    assert_string_equal(pg_nearest("cllipx", names), "clip");
    assert_null(pg_nearest("cllipxx", names)); /* three steps are too many for seven letters */
    assert_string_equal(pg_nearest("robustmasking", names), "robust-masking");
    assert_string_equal(pg_nearest("robust", names), "robust-masking"); /* the start of a name */
    assert_string_equal(pg_nearest("rn", names), "run");
    assert_null(pg_nearest("zebra", names));
    assert_null(pg_nearest("", names));
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_null(pg_nearest(longest, names));
}

static int normalize(void *raw)
{
    config *c = raw;
    if (c->count == 8)
        return pg_fail(PG_EINPUT, "eight is too many");
    if (isnan(c->clip.lo))
        c->clip = (pg_range){0, 1};
    return PG_OK;
}

static void modules_are_configured_and_normalized(void **state)
{
    (void)state;
    const pg_module module = {.name = "test",
                              .summary = "",
                              .source = "",
                              .version = 1,
                              .options = table,
                              .config_size = sizeof(config),
                              .normalize = normalize};
    config c;
    const char *const good[] = {"count=4", "rule=window"}, *const bad[] = {"count=8"}, *const unknown[] = {"cout=8"},
                      *const twice[] = {"count=2", "rule=window", "count=4"};
    assert_int_equal(pg_module_configure(&module, "defense", good, 2, &c), PG_OK);
    assert_true(c.count == 4 && c.rule == 1 && c.clip.lo == 0 && c.clip.hi == 1 && c.threshold_ppm == 200000);
    assert_int_equal(pg_module_configure(&module, "defense", bad, 1, &c), PG_EINPUT);
    assert_string_equal(pg_error_message(), "defense test: eight is too many");
    assert_int_equal(pg_module_configure(&module, "model", unknown, 1, &c), PG_EINPUT);
    assert_string_equal(pg_error_message(), "model test: unknown option 'cout': did you mean 'count'?");
    assert_int_equal(pg_module_configure(&module, "model", twice, 3, &c), PG_EINPUT);
    assert_string_equal(pg_error_message(),
                        "model test: one option is given twice, as 'count=2' and 'count=4': leave one of them out");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_takes_its_values),           cmocka_unit_test(every_type_refuses_other_values),
        cmocka_unit_test(errors_say_what_would_be_right),        cmocka_unit_test(canonical_form_and_help),
        cmocka_unit_test(doubles_are_shortest_and_read_back),    cmocka_unit_test(integers_sizes_and_parts_per_million),
        cmocka_unit_test(numbers_do_not_follow_the_locale),      cmocka_unit_test(nearest_names),
        cmocka_unit_test(modules_are_configured_and_normalized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
