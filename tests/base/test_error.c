/* Error codes and messages. */
#include "harness/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void codes_have_texts_and_exit_codes(void **state)
{
    (void)state;
    assert_string_equal(pg_error_text(PG_EDAMAGED), "damaged file");
    assert_int_equal(pg_error_exit_code(PG_OK), 0);
    assert_int_equal(pg_error_exit_code(PG_ECELLS), 1);
    const int input[] = {PG_EUSAGE, PG_EINPUT, PG_EMISSING, PG_EDAMAGED, PG_EUNSUPPORTED};
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        assert_int_equal(pg_error_exit_code(input[i]), 2);
    assert_int_equal(pg_error_exit_code(PG_EINTERRUPTED), 3);
    const int system_errors[] = {PG_EIO, PG_ENOMEM, PG_EDB, PG_ETORCH, PG_ESHAPE, PG_EDEVICEMEM, -999, 7};
    for (size_t i = 0; i < sizeof system_errors / sizeof *system_errors; i++)
        assert_int_equal(pg_error_exit_code(system_errors[i]), 4);
    assert_int_equal(pg_error_exit_code(PG_EBROKEN), 5);
    assert_int_equal(pg_error_exit_code(PG_ECLOSED), 141);
    assert_string_equal(pg_error_text(-999), "unknown error");
}

static void messages_are_kept_and_prefixed(void **state)
{
    (void)state;
    assert_int_equal(pg_fail(PG_EINPUT, "value %d", 7), PG_EINPUT);
    assert_string_equal(pg_error_message(), "value 7");
    assert_int_equal(pg_fail_at(PG_EMISSING, "line %d", 3), PG_EMISSING);
    assert_string_equal(pg_error_message(), "line 3: value 7");
    assert_int_equal(pg_fail(PG_EIO, "again: %s", pg_error_message()), PG_EIO); /* its own message as argument */
    assert_string_equal(pg_error_message(), "again: line 3: value 7");
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    char text[4 * PG_MESSAGE_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    pg_fail(PG_EINPUT, "%s", text);
    assert_int_equal(strlen(pg_error_message()), PG_MESSAGE_MAX - 1);
    pg_fail_at(PG_EINPUT, "%s", text);
    assert_int_equal(strlen(pg_error_message()), PG_MESSAGE_MAX - 1);
}

static void control_characters_do_not_reach_terminals(void **state)
{
    (void)state;
    pg_fail(PG_EINPUT, "a\033[31mb\rc\nd\te\x7f");
    assert_string_equal(pg_error_message(), "a?[31mb?c\nd\te?");
}

static void *fail_elsewhere(void *unused)
{
    pg_fail(PG_EINPUT, "other thread");
    return unused;
}

static void threads_have_their_own_message(void **state)
{
    (void)state;
    pthread_t thread;
    pg_fail(PG_EINPUT, "this thread");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(pg_error_message(), "this thread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_have_texts_and_exit_codes), cmocka_unit_test(messages_are_kept_and_prefixed),
        cmocka_unit_test(long_messages_are_cut),           cmocka_unit_test(control_characters_do_not_reach_terminals),
        cmocka_unit_test(threads_have_their_own_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
