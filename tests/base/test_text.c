/* Text of others: UTF-8, characters a terminal would act on, columns. */
#include "harness/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void characters_have_their_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {{"", 1},
                 {"a", 1},
                 {"\xc3\xa9", 2},
                 {"\xe7\x8c\xab", 3},
                 {"\xf0\x9f\x90\x88", 4},
                 {"\xc3", 0},
                 {"\xe7\x8c", 0},
                 {"\x80", 0},
                 {"\xc0\x80", 0},
                 {"\xe0\x9f\xbf", 0},
                 {"\xed\xa0\x80", 0},
                 {"\xf4\x90\x80\x80", 0},
                 {"\xef\xbf\xbe", 0},
                 {"\xef\xbf\xbd", 3},
                 {"\xf5\x80\x80\x80", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(pg_utf8_size(cases[i].text), cases[i].size);
}

static void what_terminals_act_on_is_cleaned(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain\ttext\n", "plain\ttext\n"},
        {"\x1b[2J\x07\x7f", "?[2J??"},
        {"c1 \xc2\x9b[31m \xc2\x85.", "c1 ?[31m ?."},             /* CSI and NEL of C1, as UTF-8 */
        {"raw \x9b[31m", "raw ?[31m"},                            /* the same as a byte */
        {"caf\xc3\xa9 \xe7\x8c\xab", "caf\xc3\xa9 \xe7\x8c\xab"}, /* text */
        {"latin caf\xe9!", "latin caf\xe9!"},                     /* no UTF-8: a file's name may be so */
        {"a\xe2\x80\xae"
         "b\xe2\x81\xa6"
         "c",
         "a?b?c"}, /* right to left, isolate */
        {"\xc3", "\xc3"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        strcpy(text, cases[i][0]);
        pg_text_clean(text);
        assert_string_equal(text, cases[i][1]);
    }
    assert_false(pg_text_acts(""));
    assert_true(pg_text_acts("\n"));
    assert_false(pg_text_acts("\xc2\xa0"));
}

static void columns_are_those_of_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t columns;
    } cases[] = {
        {"", 0},         {"abc", 3},      {"caf\xc3\xa9", 4}, {"\xe7\x8c\xab.", 3}, {"e\xcc\x81", 1}, {"\xf0\x9f\x90\x88", 2},
        {"\xff\xfe", 2}, {"a\xe7\x8c", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(pg_text_columns(cases[i].text, strlen(cases[i].text)), cases[i].columns);
    assert_int_equal(pg_text_columns("\xe7\x8c\xab", 2), 2); /* a character that is cut off */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_have_their_size),
        cmocka_unit_test(what_terminals_act_on_is_cleaned),
        cmocka_unit_test(columns_are_those_of_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
