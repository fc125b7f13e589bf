/* The growable buffer. */
#include "harness/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void starts_as_an_empty_string(void **state)
{
    (void)state;
    pg_buf buf;
    pg_buf_init(&buf);
    assert_string_equal(buf.data, "");
    assert_int_equal(buf.size, 0);
    char *text = pg_buf_take(&buf);
    assert_string_equal(text, "");
    free(text);
    pg_buf_release(&buf);
    pg_buf_release(&buf);
}

static void appends_and_stays_terminated(void **state)
{
    (void)state;
    pg_buf buf;
    pg_buf_init(&buf);
    char expected[4001];
    for (int i = 0; i < 1000; i++) {
        pg_buf_printf(&buf, "%03d", i);
        pg_buf_puts(&buf, ",");
        snprintf(expected + (size_t)4 * (size_t)i, 5, "%03u,", (unsigned)i % 1000);
        assert_int_equal(buf.size, 4 * (i + 1));
        assert_int_equal(buf.data[buf.size], 0);
    }
    assert_string_equal(buf.data, expected);
    assert_int_equal(pg_buf_check(&buf), PG_OK);
    pg_buf_clear(&buf);
    assert_string_equal(buf.data, "");
    pg_buf_add(&buf, "a\0b", 3);
    assert_memory_equal(buf.data, "a\0b", 4);
    char *taken = pg_buf_take(&buf);
    assert_memory_equal(taken, "a\0b", 4);
    free(taken);
    assert_int_equal(buf.size, 0);
    pg_buf_release(&buf);
}

static void a_failed_append_is_kept_until_the_check(void **state)
{
    (void)state;
    pg_buf buf;
    pg_buf_init(&buf);
    pg_buf_puts(&buf, "kept");
    pg_buf_add(&buf, "x", SIZE_MAX - 2); /* overflows: never read */
    assert_true(buf.failed);
    pg_buf_puts(&buf, "ignored");
    assert_string_equal(buf.data, "kept");
    assert_int_equal(pg_buf_check(&buf), PG_ENOMEM);
    assert_null(pg_buf_take(&buf));
    assert_false(buf.failed);
    pg_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_as_an_empty_string),
        cmocka_unit_test(appends_and_stays_terminated),
        cmocka_unit_test(a_failed_append_is_kept_until_the_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
