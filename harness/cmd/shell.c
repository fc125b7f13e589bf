/* See shell.h. */
#include "harness/cmd/shell.h"

#include <string.h>

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
