#include "harness/base/text.h"

#include <string.h>

size_t pg_text_add(const char *text, pg_buf *out)
{
    size_t size = pg_utf8_size(text);
    if (size == 0)
        pg_buf_puts(out, "\xef\xbf\xbd");
    else if (*text == '\0' || pg_text_acts(text))
        pg_buf_puts(out, "?");
    else
        pg_buf_add(out, text, size);
    return size > 0 ? size : 1;
}

void pg_text_flat(const char *text, const char *newline, bool markdown, pg_buf *out)
{
    while (*text != '\0') {
        if (*text == '\n') {
            pg_buf_puts(out, newline);
            text++;
            continue;
        }
        if (markdown && strchr("|*_`<\\[]&~", *text) != NULL)
            pg_buf_puts(out, "\\");
        text += pg_text_add(text, out);
    }
}

void pg_shell_word(pg_buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,%+@";
    if (*text && text[strspn(text, plain)] == 0) {
        pg_buf_puts(out, text);
        return;
    }
    pg_buf_puts(out, "'");
    for (; *text; text++)
        pg_buf_printf(out, *text == '\'' ? "'\\''" : "%c", *text);
    pg_buf_puts(out, "'");
}
