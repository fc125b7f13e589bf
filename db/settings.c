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

/* Undoes the escapes of one line in place and cuts it at its "=". */
static int split_line(char *line, pg_setting *out)
{
    char *value = strchr(line, '=');
    if (!value)
        return pg_fail(PG_EDAMAGED, "settings: line \"%.60s\" has no '='", line);
    *value++ = 0;
    char *to = value;
    for (const char *from = value; *from; from++) {
        if (*from == '\\' && (from[1] == 'n' || from[1] == '\\'))
            *to++ = *++from == 'n' ? '\n' : '\\';
        else
            *to++ = *from;
    }
    *to = 0;
    *out = (pg_setting){.key = line, .value = value};
    return PG_OK;
}

static void sort(pg_setting *settings, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* insertion: short, nearly sorted lists, and stable */
        pg_setting moved = settings[i];
        size_t k = i;
        for (; k > 0 && strcmp(settings[k - 1].key, moved.key) > 0; k--)
            settings[k] = settings[k - 1];
        settings[k] = moved;
    }
}

int pg_settings_parse(const char *const *texts, size_t n_texts, pg_setting **out, size_t *n)
{
    pg_buf today = PG_BUF_EMPTY;
    for (size_t t = 0; t < n_texts; t++)
        pg_lines_today(texts[t], &today);
    size_t lines = 0, found = 0;
    for (const char *c = today.data; *c; c++)
        lines += *c == '\n';
    pg_setting *settings = pg_buf_check(&today) == PG_OK ? malloc(lines * sizeof *settings + today.size + 1) : NULL;
    if (!settings) {
        pg_buf_release(&today);
        return pg_fail(PG_ENOMEM, "settings: out of memory");
    }
    char *at = memcpy(settings + lines, today.data, today.size + 1);
    pg_buf_release(&today);
    for (char *line = at, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        *end++ = 0;
        if (split_line(line, &settings[found++]) != PG_OK) {
            free(settings);
            return PG_EDAMAGED;
        }
    }
    sort(settings, found);
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
