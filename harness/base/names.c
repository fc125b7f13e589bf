/* See names.h. */
#include "harness/base/names.h"

#include <stdio.h>
#include <string.h>

typedef struct name {
    const char *stored, *today;             /* keys; ".option" stands for this option of every module */
    const char *stored_value, *today_value; /* the value that has another name, NULL: none */
} name;

static const name names[] = {
    {"attacker", "patch-space", "input", "image"},
    {".through", ".gradient", NULL, NULL},
    {".lessons", ".training_images", NULL, NULL},
    {"reach.px", "affected.px", NULL, NULL},
};
enum { NAMES = sizeof names / sizeof *names };

/* Where `from` begins in `key`, which it ends; NULL: it is another key. An option is also known without its module. */
static const char *match(const char *key, const char *from)
{
    const char *dot = strrchr(key, '.');
    if (*from == '.' && !dot)
        return strcmp(key, from + 1) == 0 ? key : NULL;
    const char *at = *from == '.' ? dot : key;
    return strcmp(at, from) == 0 ? at : NULL;
}

static const char *translate(const char *key, bool to_store, char room[PG_KEY_MAX])
{
    for (int i = 0; i < NAMES; i++) {
        const char *from = to_store ? names[i].today : names[i].stored, *to = to_store ? names[i].stored : names[i].today;
        const char *at = match(key, from);
        if (!at)
            continue;
        int length = snprintf(room, PG_KEY_MAX, "%.*s%s", (int)(at - key), key, to + (*to == '.' && *at != '.'));
        return length < PG_KEY_MAX ? room : key;
    }
    return key;
}

const char *pg_key_today(const char *key, char room[PG_KEY_MAX]) { return translate(key, false, room); }

static const char *translate_value(const char *key_today, const char *value, bool to_store)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].stored_value && strcmp(key_today, names[i].today) == 0 &&
            strcmp(value, to_store ? names[i].today_value : names[i].stored_value) == 0)
            return to_store ? names[i].stored_value : names[i].today_value;
    return value;
}

const char *pg_value_today(const char *key, const char *value) { return translate_value(key, value, false); }

/* Whether key[0..size) is a name of the table, of the store or of today: whatever else is written as it is. */
static bool is_listed(const char *key, size_t size, const char *dot)
{
    for (int i = 0; i < NAMES; i++)
        for (int k = 0; k < 2; k++) {
            const char *listed = k ? names[i].today : names[i].stored, *at = *listed == '.' && dot ? dot : key;
            size_t length = size - (size_t)(at - key);
            listed += *listed == '.' && !dot;
            if (*listed == *at && strncmp(listed, at, length) == 0 && listed[length] == '\0')
                return true;
        }
    return false;
}

static void add_lines(const char *lines, bool to_store, pg_buf *out)
{
    for (const char *end; *lines; lines = *end ? end + 1 : end) {
        const char *equals = lines, *dot = NULL;
        for (; *equals && *equals != '=' && *equals != '\n'; equals++)
            if (*equals == '.')
                dot = equals;
        end = strchrnul(equals, '\n');
        size_t length = (size_t)(equals - lines);
        char key[PG_KEY_MAX], room[PG_KEY_MAX], value[PG_KEY_MAX];
        if (*equals != '=' || length >= sizeof key || !is_listed(lines, length, dot)) {
            pg_buf_add(out, lines, (size_t)(end - lines));
            pg_buf_puts(out, "\n");
            continue;
        }
        memcpy(key, lines, length);
        key[length] = 0;
        const char *other = translate(key, to_store, room), *text = equals + 1;
        pg_buf_printf(out, "%s=", other);
        if ((size_t)(end - text) < sizeof value) {
            memcpy(value, text, (size_t)(end - text));
            value[end - text] = 0;
            pg_buf_puts(out, translate_value(to_store ? key : other, value, to_store));
        } else {
            pg_buf_add(out, text, (size_t)(end - text));
        }
        pg_buf_puts(out, "\n");
    }
}

void pg_lines_today(const char *lines, pg_buf *out) { add_lines(lines, false, out); }
void pg_lines_stored(const char *lines, pg_buf *out) { add_lines(lines, true, out); }
