/* Numbers as text, independent of the locale: strict readers and the shortest writer. Declared in option.h. */
#include "harness/base/option.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static void make_c_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static double read_double(const char *text)
{
    pthread_once(&c_locale_once, make_c_locale);
    return strtod_l(text, NULL, c_locale);
}

static const char *digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* [+-] digits [. digits] [e [+-] digits], with at least one digit before or after the point, and digits behind a point */
static bool is_decimal(const char *text)
{
    const char *p = text + (*text == '+' || *text == '-'), *whole = p;
    p = digits(p);
    bool any = p > whole;
    if (*p == '.') {
        const char *fraction = ++p;
        p = digits(p);
        any = p > fraction;
    }
    if (!any)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        const char *exponent = p;
        p = digits(p);
        if (p == exponent)
            return false;
    }
    return *p == 0;
}

int pg_parse_double(const char *text, double *out)
{
    const char *unsigned_text = text + (*text == '+' || *text == '-');
    if (strcmp(unsigned_text, "inf") == 0) {
        *out = *text == '-' ? -INFINITY : INFINITY;
        return PG_OK;
    }
    double value = is_decimal(text) ? read_double(text) : NAN;
    if (!isfinite(value))
        return pg_fail(PG_EINPUT, "'%s' is not a number", text);
    *out = value;
    return PG_OK;
}

int pg_parse_int(const char *text, int64_t *out)
{
    const char *p = text + (*text == '+' || *text == '-');
    bool negative = *text == '-';
    uint64_t value = 0, limit = (uint64_t)INT64_MAX + negative;
    bool good = *p != 0 && *digits(p) == 0;
    for (; good && *p; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        good = value <= (limit - digit) / 10;
        value = 10 * value + digit;
    }
    if (!good)
        return pg_fail(PG_EINPUT, "'%s' is not an integer", text);
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return PG_OK;
}

int pg_parse_ppm(const char *text, int64_t *out)
{
    const int64_t limit = INT64_C(1000000000000); /* whole part */
    const char *p = text + (*text == '+' || *text == '-');
    int64_t value = 0;
    bool any = false, good = true;
    for (; good && *p >= '0' && *p <= '9'; p++, any = true) {
        value = 10 * value + (*p - '0');
        good = value <= limit;
    }
    int decimals = 0;
    if (good && *p == '.') {
        for (p++; decimals < 6 && *p >= '0' && *p <= '9'; p++, decimals++)
            value = 10 * value + (*p - '0');
        any = decimals > 0;
    }
    if (!good || !any || *p)
        return pg_fail(PG_EINPUT, "'%s' is not a decimal number with at most 6 decimals", text);
    for (; decimals < 6; decimals++)
        value *= 10;
    *out = *text == '-' ? -value : value;
    return PG_OK;
}

int pg_parse_size(const char *text, int *height, int *width)
{
    const int64_t limit = 1000000;
    char first[16];
    const char *x = strchr(text, 'x');
    size_t length = x ? (size_t)(x - text) : strlen(text);
    int64_t h = 0, w = 0;
    bool good = length > 0 && length < sizeof first && *text != '+';
    if (good) {
        memcpy(first, text, length);
        first[length] = 0;
        good = !pg_parse_int(first, &h);
        w = h;
    }
    if (good && x)
        good = x[1] != '+' && !pg_parse_int(x + 1, &w);
    if (!good || h < 1 || w < 1 || h > limit || w > limit)
        return pg_fail(PG_EINPUT, "'%s' is not a size: right would be 5 or 5x8 (height x width)", text);
    *height = (int)h;
    *width = (int)w;
    return PG_OK;
}

void pg_format_double(double value, pg_buf *out)
{
    char text[64];
    if (isnan(value)) {
        pg_buf_puts(out, "nan");
        return;
    }
    if (isinf(value)) {
        pg_buf_puts(out, value < 0 ? "-inf" : "inf");
        return;
    }
    if (value == trunc(value) && fabs(value) < 1e15) {
        pg_buf_printf(out, "%lld", (long long)value); /* and no sign on zero */
        return;
    }
    pthread_once(&c_locale_once, make_c_locale);
    locale_t before = uselocale(c_locale);
    /* Fifteen digits tell all that a decimal number of so few has, without its zeros; of numbers below DBL_MIN fewer do. */
    for (int precision = fabs(value) < DBL_MIN ? 1 : DBL_DIG; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, value);
        if (read_double(text) == value)
            break;
    }
    uselocale(before);
    pg_buf_puts(out, text);
}
