/* Batches made ahead by threads: what they hold, how far ahead they are, and what becomes of errors and of passes that are
 * dropped. */
#include "models/prefetch.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES = 1000, BATCH = 7 };

typedef struct source {
    int64_t fails_at, key;
    _Atomic int64_t made, furthest;
} source;

static int make(const void *context, int64_t i, uint8_t *scratch, uint8_t *pixels, int64_t *label)
{
    source *s = (source *)(uintptr_t)context;
    if (i == s->fails_at)
        return pg_fail(PG_EDAMAGED, "image %lld is damaged", (long long)i);
    for (int k = 0; k < BYTES; k++) /* through the scratch: two threads in one would mix images */
        scratch[k] = (uint8_t)(i * 31 + k * 7 + s->key);
    sched_yield();
    memcpy(pixels, scratch, BYTES);
    *label = i * 3 + s->key;
    atomic_fetch_add(&s->made, 1);
    int64_t far = atomic_load(&s->furthest);
    while (far < i && !atomic_compare_exchange_weak(&s->furthest, &far, i))
        ;
    return PG_OK;
}

/* Takes `batches` batches, and checks all that is in them. */
static void take(pg_prefetch *prefetch, source *s, int64_t images, int64_t batches)
{
    const uint8_t *pixels;
    const int64_t *labels;
    int64_t n, at = 0;
    for (int64_t b = 0; b < batches; b++) {
        assert_int_equal(pg_prefetch_next(prefetch, &pixels, &labels, &n), PG_OK);
        assert_int_equal(n, images - at < BATCH ? images - at : BATCH);
        assert_true(atomic_load(&s->furthest) < (b + 2) * BATCH); /* two batches, never more */
        for (int64_t i = 0; i < n; i++, at++) {
            assert_int_equal(labels[i], at * 3 + s->key);
            for (int k = 0; k < BYTES; k++)
                if (pixels[i * BYTES + k] != (uint8_t)(at * 31 + k * 7 + s->key))
                    fail_msg("image %lld, byte %d", (long long)at, k);
        }
    }
}

static pg_prefetch_pass pass_of(source *s, int64_t images) { return (pg_prefetch_pass){images, BATCH, BYTES, make, s}; }

static void passes_hold_every_image_in_order(void **state)
{
    (void)state;
    pg_prefetch *prefetch = NULL;
    assert_int_equal(pg_prefetch_new(BATCH, BYTES, &prefetch), PG_OK);
    static const int64_t sizes[] = {0, 1, 6, 7, 8, 14, 15, 100, 700};
    for (size_t k = 0; k < 2 * sizeof sizes / sizeof *sizes; k++) {
        source s = {.fails_at = -1, .key = (int64_t)k, .furthest = -1};
        int64_t images = sizes[k / 2];
        pg_prefetch_start(prefetch, &(pg_prefetch_pass){images, BATCH, BYTES, make, &s});
        take(prefetch, &s, images, (images + BATCH - 1) / BATCH + 1); /* the one behind the last is empty */
        assert_int_equal(atomic_load(&s.made), images);
    }
    pg_prefetch_free(prefetch);
    pg_prefetch_free(NULL);
}

/* A pass that ends early leaves nothing behind for the next one, nor a thread that still writes. */
static void passes_can_be_dropped(void **state)
{
    (void)state;
    pg_prefetch *prefetch = NULL;
    assert_int_equal(pg_prefetch_new(BATCH, BYTES, &prefetch), PG_OK);
    for (int k = 0; k < 50; k++) {
        source *s = calloc(1, sizeof *s);
        assert_non_null(s);
        *s = (source){.fails_at = -1, .key = k, .furthest = -1};
        pg_prefetch_pass pass = pass_of(s, 100);
        pg_prefetch_start(prefetch, &pass);
        take(prefetch, s, 100, k % 4);
        pg_prefetch_pass none = {0, 1, BYTES, make, NULL};
        pg_prefetch_start(prefetch, &none);
        int64_t made = atomic_load(&s->made);
        memset(s, 0, sizeof *s); /* nobody looks any more */
        free(s);
        assert_true(made <= 100);
    }
    pg_prefetch_free(prefetch);
}

static void errors_come_with_their_message(void **state)
{
    (void)state;
    pg_prefetch *prefetch = NULL;
    assert_int_equal(pg_prefetch_new(BATCH, BYTES, &prefetch), PG_OK);
    source s = {.fails_at = 3 * BATCH + 2, .furthest = -1};
    pg_prefetch_pass pass = pass_of(&s, 100);
    const uint8_t *pixels;
    const int64_t *labels;
    int64_t n;
    int code = PG_OK, batches = 0;
    pg_prefetch_start(prefetch, &pass);
    while (!(code = pg_prefetch_next(prefetch, &pixels, &labels, &n)))
        assert_true(++batches <= 3);
    assert_int_equal(code, PG_EDAMAGED);
    assert_string_equal(pg_error_message(), "image 23 is damaged");
    assert_true(batches >= 2); /* those before it came whole; the one in use when it was met too */
    source sound = {.fails_at = -1, .furthest = -1};
    pass = pass_of(&sound, 100);
    pg_prefetch_start(prefetch, &pass);
    take(prefetch, &sound, 100, 15);
    pg_prefetch_free(prefetch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_hold_every_image_in_order),
        cmocka_unit_test(passes_can_be_dropped),
        cmocka_unit_test(errors_come_with_their_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
