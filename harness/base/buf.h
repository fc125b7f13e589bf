/* A growable byte buffer that always ends in a zero byte, so that it is a C string as well.
 *
 * Invariants: `data` is never NULL after PG_BUF_EMPTY or pg_buf_init; data[size] == 0. A failed allocation sets `failed`,
 * leaves the contents as they are and makes later appends do nothing, so that a builder checks once at the end with
 * pg_buf_check. */
#ifndef PG_BASE_BUF_H
#define PG_BASE_BUF_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct pg_buf {
    char *data;
    size_t size, capacity;
    bool failed;
} pg_buf;

/* What a buffer starts as. */
#define PG_BUF_EMPTY ((pg_buf){.data = pg_buf_no_bytes})
extern char pg_buf_no_bytes[1]; /* a zero byte that nobody changes */
void pg_buf_init(pg_buf *buf);
void pg_buf_release(pg_buf *buf);
void pg_buf_clear(pg_buf *buf); /* keeps the memory */
void pg_buf_add(pg_buf *buf, const void *bytes, size_t size);
void pg_buf_puts(pg_buf *buf, const char *text);
void pg_buf_printf(pg_buf *buf, const char *format, ...) PG_PRINTF(2, 3);

/* PG_OK, or PG_ENOMEM with a message if any append failed. */
int pg_buf_check(const pg_buf *buf) PG_MUST_USE;

/* Gives the string away: *new*, release with free(); NULL if an append failed. The buffer is empty afterwards. */
char *pg_buf_take(pg_buf *buf);

/* One string: *out is *new*, free(). PG_ENOMEM with a message, and *out NULL. */
int pg_format(char **out, const char *format, ...) PG_PRINTF(2, 3) PG_MUST_USE;

#endif
