/* Options of modules and numbers: what is taken, written in canonical form and taken again is the same.
 *
 * The first byte of the input names a module, each line after it is one "key=value". */
#include "attacks/attack.h"
#include "db/store.h"
#include "defenses/defense.h"
#include "models/model.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { MOST = 32 };

static const pg_module *module_at(size_t i)
{
    size_t n = 0;
    for (size_t k = 0; pg_defenses[k]; k++)
        if (n++ == i)
            return &pg_defenses[k]->module;
    for (size_t k = 0; pg_attacks[k]; k++)
        if (n++ == i)
            return &pg_attacks[k]->module;
    for (size_t k = 0; pg_models[k]; k++)
        if (n++ == i)
            return &pg_models[k]->module;
    return n ? module_at(i % n) : NULL;
}

static size_t split(char *text, const char **lines)
{
    size_t n = 0;
    for (char *line; n < MOST && (line = strsep(&text, "\n"));)
        if (*line)
            lines[n++] = line;
    return n;
}

/* Configures by lines and appends the canonical form; false where they are refused. */
static bool configure(const pg_module *module, const char *const *lines, size_t n, pg_buf *canonical)
{
    _Alignas(16) unsigned char config[PG_CONFIG_MAX];
    int code = pg_module_configure(module, "module", lines, n, config);
    FUZZ_CHECK(code == PG_OK || (code == PG_EINPUT && *pg_error_message()));
    if (code == PG_OK)
        pg_options_canonical(module->options, config, "", false, canonical);
    return code == PG_OK;
}

static void check_module(const pg_module *module, const char *const *lines, size_t n)
{
    pg_buf once, twice, copy;
    const char *again[MOST];
    pg_buf_init(&once);
    pg_buf_init(&twice);
    pg_buf_init(&copy);
    if (configure(module, lines, n, &once)) {
        pg_buf_puts(&copy, once.data);
        FUZZ_CHECK(configure(module, again, split(copy.data, again), &twice));
        FUZZ_CHECK(strcmp(once.data, twice.data) == 0);
    }
    pg_buf_release(&once);
    pg_buf_release(&twice);
    pg_buf_release(&copy);
}

static void check_numbers(const char *text)
{
    double value, again;
    int64_t integer, ppm;
    int height, width;
    pg_buf made;
    pg_buf_init(&made);
    if (pg_parse_double(text, &value) == PG_OK) {
        pg_format_double(value, &made);
        FUZZ_CHECK(pg_parse_double(made.data, &again) == PG_OK && again == value);
    }
    if (pg_parse_int(text, &integer) == PG_OK) {
        char digits[32];
        snprintf(digits, sizeof digits, "%lld", (long long)integer);
        int64_t same;
        FUZZ_CHECK(pg_parse_int(digits, &same) == PG_OK && same == integer);
        FUZZ_CHECK(pg_parse_double(text, &value) == PG_OK && value == (double)integer);
    }
    if (pg_parse_ppm(text, &ppm) == PG_OK)
        FUZZ_CHECK(pg_parse_double(text, &value) == PG_OK && (double)ppm / 1e6 - value < 1e-3 &&
                   value - (double)ppm / 1e6 < 1e-3);
    if (pg_parse_size(text, &height, &width) == PG_OK)
        FUZZ_CHECK(height >= 1 && width >= 1);
    pg_buf_release(&made);
}

static void check_settings(const char *text)
{
    pg_setting *settings = NULL;
    size_t n = 0;
    if (pg_settings_parse(&text, 1, &settings, &n) != PG_OK)
        return;
    pg_buf made;
    pg_buf_init(&made);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(i == 0 || strcmp(settings[i - 1].key, settings[i].key) <= 0);
        FUZZ_CHECK(pg_settings_value(settings, n, settings[i].key) != NULL);
        pg_settings_add(&made, settings[i].key, settings[i].value);
    }
    pg_setting *again = NULL;
    size_t n_again = 0;
    const char *written = made.data;
    FUZZ_CHECK(pg_settings_parse(&written, 1, &again, &n_again) == PG_OK && n_again == n);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(strcmp(settings[i].key, again[i].key) == 0 && strcmp(settings[i].value, again[i].value) == 0);
    free(settings);
    free(again);
    pg_buf_release(&made);
}

PG_FUZZ(options)
{
    if (size < 1)
        return 0;
    char *text = strndup((const char *)data + 1, size - 1);
    const char *lines[MOST];
    if (!text)
        abort();
    check_settings(text);
    size_t n = split(text, lines);
    check_module(module_at(data[0]), lines, n);
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(lines[i], '=');
        check_numbers(equals ? equals + 1 : lines[i]);
    }
    free(text);
    return 0;
}
