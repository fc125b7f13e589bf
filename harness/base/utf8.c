#include "harness/base/utf8.h"

#include <locale.h>
#include <pthread.h>
#include <string.h>
#include <wchar.h>

size_t pg_utf8_size(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t size = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] >= 0xa0, beyond = s[0] == 0xf4 && s[1] >= 0x90;
    bool forbidden = s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe;
    return overlong || surrogate || beyond || forbidden ? 0 : size;
}

/* The code point of a character of `size` bytes. */
static unsigned code_point(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned point = size == 1 ? s[0] : s[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        point = point << 6 | (s[i] & 0x3fu);
    return point;
}

bool pg_text_acts(const char *text)
{
    size_t size = pg_utf8_size(text);
    unsigned c = size > 0 ? code_point(text, size) : (unsigned char)*text;
    bool control = (c > 0 && c < 0x20) || (c >= 0x7f && c < 0xa0);
    bool direction = size > 0 && ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069));
    return control || direction;
}

void pg_text_clean(char *text)
{
    char *to = text;
    while (*text) {
        size_t size = pg_utf8_size(text);
        size = size > 0 ? size : 1;
        if (*text != '\n' && *text != '\t' && pg_text_acts(text)) {
            *to++ = '?';
        } else {
            memmove(to, text, size);
            to += size;
        }
        text += size;
    }
    *to = 0;
}

static locale_t utf8_locale;
static pthread_once_t utf8_once = PTHREAD_ONCE_INIT;
static void make_utf8_locale(void) { utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); }

size_t pg_text_columns(const char *text, size_t size)
{
    size_t columns = 0;
    pthread_once(&utf8_once, make_utf8_locale);
    locale_t before = utf8_locale ? uselocale(utf8_locale) : (locale_t)0;
    for (const char *end = text + size; text < end;) {
        size_t bytes = pg_utf8_size(text);
        bool whole = bytes > 0 && bytes <= (size_t)(end - text);
        int width = whole && bytes > 1 && utf8_locale ? wcwidth((wchar_t)code_point(text, bytes)) : 1;
        columns += width < 0 ? 1 : (size_t)width;
        text += whole ? bytes : 1;
    }
    if (utf8_locale)
        uselocale(before);
    return columns;
}
