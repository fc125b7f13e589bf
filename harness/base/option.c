/* Option tables: setting, formatting, help. See option.h. */
#include "harness/base/option.h"
#include "harness/base/names.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *field_of(const pg_option *row, void *config) { return (char *)config + row->offset; }
static const void *const_field_of(const pg_option *row, const void *config) { return (const char *)config + row->offset; }

static bool has_limits(const pg_option *row) { return row->min != 0 || row->max != 0; }
static bool allows_auto(const pg_option *row) { return row->type == PG_OPTION_RANGE && strcmp(row->fallback, "auto") == 0; }
static bool within(const pg_option *row, double value) { return !has_limits(row) || (value >= row->min && value <= row->max); }

const pg_option *pg_option_find(const pg_option *table, const char *name)
{
    char room[PG_KEY_MAX];
    name = pg_key_today(name, room);
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

void pg_option_describe(const pg_option *row, pg_buf *out)
{
    static const char *const kinds[] = {
        [PG_OPTION_BOOL] = "true or false", [PG_OPTION_INT] = "an integer",
        [PG_OPTION_DECIMAL] = "a number",   [PG_OPTION_PPM] = "a number with at most 6 decimals",
        [PG_OPTION_CHOICE] = "one of ",     [PG_OPTION_RANGE] = "a range LO:HI, LO <= HI",
        [PG_OPTION_TEXT] = "a text",        [PG_OPTION_RGB] = "R,G,B or one number for all three",
    };
    pg_buf_puts(out, kinds[row->type]);
    if (row->type == PG_OPTION_CHOICE)
        for (int i = 0; row->choices[i]; i++)
            pg_buf_printf(out, "%s%s", i ? ", " : "", row->choices[i]);
    if (row->type == PG_OPTION_TEXT)
        pg_buf_printf(out, " of at most %d printable bytes", PG_OPTION_TEXT_MAX - 1);
    bool numeric = row->type == PG_OPTION_INT || row->type == PG_OPTION_DECIMAL || row->type == PG_OPTION_PPM ||
                   row->type == PG_OPTION_RANGE || row->type == PG_OPTION_RGB;
    if (numeric && has_limits(row)) {
        pg_buf_puts(out, row->type == PG_OPTION_RANGE ? ", both from "
                         : row->type == PG_OPTION_RGB ? ", each from "
                                                      : " from ");
        pg_format_double(row->min, out);
        pg_buf_puts(out, " to ");
        pg_format_double(row->max, out);
    }
    if (allows_auto(row))
        pg_buf_puts(out, ", or auto");
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2;
            return true;
        }
    return false;
}

static bool parse_range(const pg_option *row, const char *text, pg_range *out)
{
    if (allows_auto(row) && strcmp(text, "auto") == 0) {
        *out = (pg_range){NAN, NAN};
        return true;
    }
    char lo[64];
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof lo)
        return false;
    memcpy(lo, text, (size_t)(colon - text));
    lo[colon - text] = 0;
    pg_range range;
    if (pg_parse_double(lo, &range.lo) || pg_parse_double(colon + 1, &range.hi))
        return false;
    if (!(range.lo <= range.hi) || !within(row, range.lo) || !within(row, range.hi))
        return false;
    *out = range;
    return true;
}

static bool parse_rgb(const pg_option *row, const char *text, pg_rgb *out)
{
    pg_rgb rgb;
    int n = 0;
    for (bool more = true; more; n++) {
        char number[64];
        size_t length = strcspn(text, ",");
        if (n == 3 || length >= sizeof number)
            return false;
        memcpy(number, text, length);
        number[length] = 0;
        if (pg_parse_double(number, &rgb.value[n]) || !isfinite(rgb.value[n]) || !within(row, rgb.value[n]))
            return false;
        more = text[length] == ',';
        text += length + more;
    }
    if (n == 1)
        rgb.value[1] = rgb.value[2] = rgb.value[0];
    if (n != 2)
        *out = rgb;
    return n != 2;
}

static bool parse_text(const char *text, char out[PG_OPTION_TEXT_MAX])
{
    size_t length = strlen(text);
    if (length >= PG_OPTION_TEXT_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    memset(out, 0, PG_OPTION_TEXT_MAX);
    memcpy(out, text, length);
    return true;
}

/* Reads `value` into the field; false, and nothing changed, where it does not fit the row. */
static bool parse_field(const pg_option *row, const char *value, void *field)
{
    int64_t integer;
    double number;
    switch (row->type) {
    case PG_OPTION_BOOL:
        return parse_bool(value, field);
    case PG_OPTION_INT:
        if (pg_parse_int(value, &integer) || !within(row, (double)integer))
            return false;
        *(int64_t *)field = integer;
        return true;
    case PG_OPTION_DECIMAL:
        if (pg_parse_double(value, &number) || !isfinite(number) || !within(row, number))
            return false;
        *(double *)field = number;
        return true;
    case PG_OPTION_PPM:
        if (pg_parse_ppm(value, &integer))
            return false;
        if (has_limits(row) && ((double)integer < rint(row->min * 1e6) || (double)integer > rint(row->max * 1e6)))
            return false;
        *(int64_t *)field = integer;
        return true;
    case PG_OPTION_CHOICE:
        for (int i = 0; row->choices[i]; i++)
            if (strcmp(row->choices[i], value) == 0) {
                *(int *)field = i;
                return true;
            }
        return false;
    case PG_OPTION_RANGE:
        return parse_range(row, value, field);
    case PG_OPTION_TEXT:
        return parse_text(value, field);
    case PG_OPTION_RGB:
        return parse_rgb(row, value, field);
    }
    return false;
}

void pg_options_defaults(const pg_option *table, void *config)
{
    for (; table->name; table++) {
        bool good = parse_field(table, table->fallback, field_of(table, config));
        assert(good && "the fallback of an option row does not fit the row");
        (void)good;
    }
}

static int fail_unknown(const pg_option *table, const char *owner, const char *key)
{
    enum { MOST = 128 };
    const char *names[MOST + 1];
    size_t n = 0;
    for (; table->name && n < MOST; table++)
        names[n++] = table->name;
    names[n] = NULL;
    if (n == 0)
        return pg_fail(PG_EINPUT, "%s: unknown option '%s': it has no options", owner, key);
    const char *near = pg_nearest(key, names);
    if (near)
        return pg_fail(PG_EINPUT, "%s: unknown option '%s': did you mean '%s'?", owner, key, near);
    pg_buf list = PG_BUF_EMPTY;
    for (size_t i = 0; i < n; i++)
        pg_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    int code = pg_fail(PG_EINPUT, "%s: unknown option '%s': known are %s", owner, key, list.data);
    pg_buf_release(&list);
    return code;
}

int pg_options_set(const pg_option *table, void *config, const char *owner, const char *key, const char *value)
{
    const pg_option *row = pg_option_find(table, key);
    if (!row)
        return fail_unknown(table, owner, key);
    if (parse_field(row, value, field_of(row, config)))
        return PG_OK;
    const char *near = row->type == PG_OPTION_CHOICE ? pg_nearest(value, row->choices) : NULL;
    pg_buf right = PG_BUF_EMPTY;
    pg_option_describe(row, &right);
    int code = pg_fail(PG_EINPUT, "%s: option %s=%.200s: right would be %s%s%s%s", owner, key, value, right.data,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    pg_buf_release(&right);
    return code;
}

int pg_options_set_pair(const pg_option *table, void *config, const char *owner, const char *pair)
{
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair)
        return pg_fail(PG_EINPUT, "%s: '%s' is not an option: right would be key=value", owner, pair);
    char *key = strndup(pair, (size_t)(equals - pair));
    if (!key)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_options_set(table, config, owner, key, equals + 1);
    free(key);
    return code;
}

static void format_ppm(int64_t ppm, pg_buf *out)
{
    uint64_t size = ppm < 0 ? 0 - (uint64_t)ppm : (uint64_t)ppm;
    pg_buf_printf(out, "%s%llu", ppm < 0 ? "-" : "", (unsigned long long)(size / 1000000));
    if (size % 1000000) {
        char decimals[16];
        int n = snprintf(decimals, sizeof decimals, ".%06u", (unsigned)(size % 1000000));
        while (decimals[n - 1] == '0')
            n--;
        pg_buf_add(out, decimals, (size_t)n);
    }
}

void pg_option_format(const pg_option *row, const void *config, pg_buf *out)
{
    const void *field = const_field_of(row, config);
    switch (row->type) {
    case PG_OPTION_BOOL:
        pg_buf_puts(out, *(const bool *)field ? "true" : "false");
        break;
    case PG_OPTION_INT:
        pg_buf_printf(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case PG_OPTION_DECIMAL:
        pg_format_double(*(const double *)field, out);
        break;
    case PG_OPTION_PPM:
        format_ppm(*(const int64_t *)field, out);
        break;
    case PG_OPTION_CHOICE:
        pg_buf_puts(out, row->choices[*(const int *)field]);
        break;
    case PG_OPTION_RANGE: {
        const pg_range *range = field;
        if (isnan(range->lo)) {
            pg_buf_puts(out, "auto");
            break;
        }
        pg_format_double(range->lo, out);
        pg_buf_puts(out, ":");
        pg_format_double(range->hi, out);
        break;
    }
    case PG_OPTION_TEXT:
        pg_buf_puts(out, field);
        break;
    case PG_OPTION_RGB: {
        const pg_rgb *rgb = field;
        bool grey = rgb->value[0] == rgb->value[1] && rgb->value[1] == rgb->value[2];
        for (int i = 0; i < (grey ? 1 : 3); i++) {
            pg_buf_puts(out, i ? "," : "");
            pg_format_double(rgb->value[i], out);
        }
        break;
    }
    }
}

bool pg_option_left_out(const pg_option *row, const void *config, pg_buf *out)
{
    if (!row->later)
        return false;
    pg_buf text = PG_BUF_EMPTY;
    pg_option_format(row, config, &text);
    bool same = strcmp(text.data, pg_option_before(row)) == 0;
    out->failed |= text.failed;
    pg_buf_release(&text);
    return same;
}

void pg_options_line(const pg_option *table, const void *config, const char *prefix, const char *end, bool identity_only,
                     pg_buf *out)
{
    for (; table->name; table++) {
        if (identity_only && (table->recorded_only || pg_option_left_out(table, config, out)))
            continue;
        pg_buf_printf(out, "%s%s=", prefix, table->name);
        pg_option_format(table, config, out);
        pg_buf_puts(out, end);
    }
}

void pg_options_canonical(const pg_option *table, const void *config, const char *prefix, bool identity_only, pg_buf *out)
{
    pg_options_line(table, config, prefix, "\n", identity_only, out);
}

void pg_option_note(const pg_option *row, pg_buf *out)
{
    pg_buf_printf(out, "%s (", row->help);
    pg_option_describe(row, out);
    pg_buf_printf(out, "; default %s%s)", *row->fallback ? row->fallback : "empty",
                  row->recorded_only ? "; not part of identity" : "");
}

void pg_options_help(const pg_option *table, const char *prefix, pg_buf *out)
{
    for (; table->name; table++) {
        int width = 14 - (int)strlen(prefix);
        pg_buf_printf(out, "  %s%-*s %s\n  %-14s   (", prefix, width, table->name, table->help, "");
        pg_option_describe(table, out);
        pg_buf_printf(out, "; default %s%s)\n", *table->fallback ? table->fallback : "empty",
                      table->recorded_only ? "; not part of identity" : "");
    }
}

/* Edit distance with swaps of neighbours (optimal string alignment); three rows of the table are enough. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MOST || m > MOST)
        return SIZE_MAX;
    size_t rows[3][MOST + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *pg_nearest(const char *name, const char *const *names)
{
    const char *best = NULL;
    size_t length = strlen(name), least = length < 4 ? 2 : length < 9 ? 3 : 4; /* fewer steps than this are near */
    for (; *names; names++) {
        size_t d = distance(name, *names);
        if (length >= 3 && strncmp(*names, name, length) == 0) /* the start of a name */
            d = 1;
        if (d < least && d < strlen(*names)) {
            least = d;
            best = *names;
        }
    }
    return best;
}
