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
    const char *option = dot ? dot + 1 : key;
    for (int i = 0; i < NAMES; i++)
        for (int k = 0; k < 2; k++) {
            const char *listed = k ? names[i].today : names[i].stored, *at = key;
            if (*listed == '.') {
                listed++;
                at = option;
            }
            if (listed[0] != at[0] || listed[1] != at[1])
                continue;
            size_t length = size - (size_t)(at - key);
            if (strncmp(listed, at, length) == 0 && listed[length] == '\0')
                return true;
        }
    return false;
}

/* Appends the line from..end, without its line end, with the names of today or of the store; behind it. */
static char *translate_line(const char *from, const char *end, bool to_store, char *to)
{
    const char *equals = from, *dot = NULL;
    for (; equals < end && *equals != '='; equals++)
        if (*equals == '.')
            dot = equals;
    size_t length = (size_t)(equals - from);
    char key[PG_KEY_MAX], room[PG_KEY_MAX], value[PG_KEY_MAX];
    if (equals == end || length >= sizeof key || !is_listed(from, length, dot))
        return mempcpy(to, from, (size_t)(end - from));
    memcpy(key, from, length);
    key[length] = 0;
    const char *other = translate(key, to_store, room), *text = equals + 1;
    size_t size = (size_t)(end - text);
    to = stpcpy(stpcpy(to, other), "=");
    if (size >= sizeof value)
        return mempcpy(to, text, size);
    memcpy(value, text, size);
    value[size] = 0;
    return stpcpy(to, translate_value(to_store ? key : other, value, to_store));
}

char *pg_line_today(const char *from, const char *end, char *to) { return translate_line(from, end, false, to); }

static void add_lines(const char *lines, bool to_store, pg_buf *out)
{
    static const char longer[PG_KEY_LONGER + 1];
    for (const char *end; *lines; lines = *end ? end + 1 : end) {
        end = strchrnul(lines, '\n');
        size_t size = out->size;
        pg_buf_add(out, lines, (size_t)(end - lines)); /* room for the line, */
        pg_buf_add(out, longer, PG_KEY_LONGER + 1);    /* and for longer names */
        if (out->failed)
            return;
        char *behind = translate_line(lines, end, to_store, out->data + size);
        *behind++ = '\n';
        *behind = 0;
        out->size = (size_t)(behind - out->data);
    }
}

void pg_lines_today(const char *lines, pg_buf *out) { add_lines(lines, false, out); }
void pg_lines_stored(const char *lines, pg_buf *out) { add_lines(lines, true, out); }
