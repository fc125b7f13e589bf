/* A growable byte buffer. See buf.h. */
#include "harness/base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char pg_buf_no_bytes[1];

void pg_buf_init(pg_buf *buf) { *buf = PG_BUF_EMPTY; }

void pg_buf_release(pg_buf *buf)
{
    if (buf->data != pg_buf_no_bytes)
        free(buf->data);
    pg_buf_init(buf);
}

void pg_buf_clear(pg_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
    if (buf->data != pg_buf_no_bytes)
        buf->data[0] = 0;
}

static bool reserve(pg_buf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (more < buf->capacity - buf->size && buf->data != pg_buf_no_bytes)
        return true;
    size_t need = buf->size + more + 1, capacity = buf->capacity ? buf->capacity : 64;
    if (need < buf->size)
        return !(buf->failed = true);
    if (capacity < need) /* at least twice what it was, so that appending costs the same however long it is */
        capacity = capacity > need / 2 && capacity <= SIZE_MAX / 2 ? 2 * capacity : need;
    char *data = realloc(buf->data == pg_buf_no_bytes ? NULL : buf->data, capacity);
    if (!data)
        return !(buf->failed = true);
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void pg_buf_add(pg_buf *buf, const void *bytes, size_t size)
{
    if (!reserve(buf, size))
        return;
    if (size)
        memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
    buf->data[buf->size] = 0;
}

void pg_buf_puts(pg_buf *buf, const char *text) { pg_buf_add(buf, text, strlen(text)); }

void pg_buf_printf(pg_buf *buf, const char *format, ...)
{
    va_list args, again;
    size_t room = buf->failed || buf->data == pg_buf_no_bytes ? 0 : buf->capacity - buf->size;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(room > 0 ? buf->data + buf->size : NULL, room, format, args); /* mostly there is room */
    va_end(args);
    if (length < 0)
        buf->failed = true;
    else if ((size_t)length < room)
        buf->size += (size_t)length;
    else if (reserve(buf, (size_t)length)) {
        vsnprintf(buf->data + buf->size, (size_t)length + 1, format, again);
        buf->size += (size_t)length;
    }
    if (buf->data != pg_buf_no_bytes)
        buf->data[buf->size] = 0; /* also where a text was cut */
    va_end(again);
}

int pg_buf_check(const pg_buf *buf) { return buf->failed ? pg_fail(PG_ENOMEM, "out of memory") : PG_OK; }

char *pg_buf_take(pg_buf *buf)
{
    char *text = NULL;
    if (!buf->failed && (buf->data != pg_buf_no_bytes || reserve(buf, 0))) {
        text = buf->data;
        text[buf->size] = 0;
        buf->data = pg_buf_no_bytes;
    }
    pg_buf_release(buf);
    return text;
}

int pg_format(char **out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool made = vasprintf(out, format, args) >= 0;
    va_end(args);
    *out = made ? *out : NULL;
    return made ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}
