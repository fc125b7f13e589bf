/* Settings as text: "key=value" lines, sorted by key when read. Pure functions. */
#include "db/store.h"
#include "harness/base/names.h"

#include <stdlib.h>
#include <string.h>

void pg_settings_add(pg_buf *text, const char *key, const char *value)
{
    pg_buf_puts(text, key);
    pg_buf_puts(text, "=");
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            pg_buf_puts(text, "\\n");
        else if (*c == '\\')
            pg_buf_puts(text, "\\\\");
        else
            pg_buf_add(text, c, 1);
    }
    pg_buf_puts(text, "\n");
}

/* Undoes the escapes of a value in place. */
static void unescape(char *value)
{
    char *to = strchr(value, '\\');
    for (const char *from = to; from && *from; from++) {
        if (*from == '\\' && (from[1] == 'n' || from[1] == '\\'))
            *to++ = *++from == 'n' ? '\n' : '\\';
        else
            *to++ = *from;
    }
    if (to)
        *to = 0;
}

/* Settings that ascend from `at` on end here. */
static size_t run_of(const pg_setting *settings, size_t at, size_t n)
{
    while (++at < n && strcmp(settings[at - 1].key, settings[at].key) <= 0)
        ;
    return at < n ? at : n;
}

/* Merges ascending runs until there is one: stable, and quick for the few sorted texts that there are. `room`: for n. */
static void sort(pg_setting *settings, size_t n, pg_setting *room)
{
    for (size_t middle = run_of(settings, 0, n); middle < n; middle = run_of(settings, 0, n)) {
        size_t end = run_of(settings, middle, n), a = 0, b = middle, k = 0;
        while (k < end)
            room[k++] =
                b == end || (a < middle && strcmp(settings[a].key, settings[b].key) <= 0) ? settings[a++] : settings[b++];
        memcpy(settings, room, end * sizeof *settings);
    }
}

/* Room for the lines of texts, and how many there are. */
static size_t measure(const char *const *texts, size_t n_texts, size_t *lines)
{
    size_t size = 0;
    for (size_t t = 0; t < n_texts; t++)
        for (const char *at = texts[t], *end; *at; at = *end ? end + 1 : end) {
            end = strchrnul(at, '\n');
            size += (size_t)(end - at) + 1 + PG_KEY_LONGER;
            ++*lines;
        }
    return size;
}

int pg_settings_parse(const char *const *texts, size_t n_texts, pg_setting **out, size_t *n)
{
    size_t lines = 0, found = 0, size = measure(texts, n_texts, &lines);
    pg_setting *settings = malloc(2 * lines * sizeof *settings + size + 1);
    if (!settings)
        return pg_fail(PG_ENOMEM, "settings: out of memory");
    char *to = (char *)(settings + 2 * lines);
    for (size_t t = 0; t < n_texts; t++)
        for (const char *at = texts[t], *end; *at; at = *end ? end + 1 : end) {
            end = strchrnul(at, '\n');
            char *line = to;
            to = pg_line_today(at, end, to);
            *to++ = 0;
            char *value = strchr(line, '=');
            if (!value) {
                int code = pg_fail(PG_EDAMAGED, "settings: line \"%.60s\" has no '='", line);
                free(settings);
                return code;
            }
            *value++ = 0;
            unescape(value);
            settings[found++] = (pg_setting){.key = line, .value = value};
        }
    sort(settings, found, settings + lines);
    *out = settings;
    *n = found;
    return PG_OK;
}

/* strcmp(key, "module.option"), or with the key alone where module is "". */
static int compare(const char *key, const char *module, const char *option)
{
    size_t length = strlen(module);
    if (length == 0)
        return strcmp(key, option);
    int order = strncmp(key, module, length);
    if (order == 0)
        order = (unsigned char)key[length] - '.';
    return order ? order : strcmp(key + length + 1, option);
}

/* Of the first of equal keys; settings are sorted. NULL: there is none. */
static const char *find(const pg_setting *settings, size_t n, const char *module, const char *option)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(settings[middle].key, module, option) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && compare(settings[low].key, module, option) == 0 ? settings[low].value : NULL;
}

const char *pg_settings_value(const pg_setting *settings, size_t n, const char *key)
{
    const char *value = find(settings, n, "", key);
    const char *defense = value || strchr(key, '.') ? NULL : find(settings, n, "", "defense");
    if (defense)
        value = find(settings, n, defense, key);
    const char *attack = value || strchr(key, '.') ? NULL : find(settings, n, "", "attack");
    if (attack)
        value = find(settings, n, attack, key);
    return value ? value : "";
}
