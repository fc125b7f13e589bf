/* Settling a module's options. See module.h. */
#include "harness/base/module.h"
#include "harness/base/names.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pg_module_find(const char *kind, const char *name, const pg_module *(*at)(int i))
{
    int n = 0;
    for (; at(n); n++)
        if (strcmp(at(n)->name, name) == 0)
            return n;
    const char **names = calloc((size_t)n + 1, sizeof *names);
    for (int i = 0; i < n && names; i++)
        names[i] = at(i)->name;
    const char *nearest = names ? pg_nearest(name, names) : NULL;
    free(names);
    pg_fail(PG_EINPUT, "unknown %s '%s'%s%s%s; `patchgauge list %ss` names them", kind, name, nearest ? "; did you mean '" : "",
            nearest ? nearest : "", nearest ? "'?" : "", kind);
    return -1;
}

/* ---- What a module states ---- */

/* Lower-case letters, digits and dashes; names of options may have underscores as well. */
static bool is_name(const char *name, const char *more)
{
    if (!name || !islower((unsigned char)name[0]) || strlen(name) > 40)
        return false;
    for (; *name; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && *name != '-' && !strchr(more, *name))
            return false;
    return true;
}

static bool is_line(const char *text) { return text && *text && !strchr(text, '\n'); }

static size_t field_size(pg_option_type type)
{
    static const size_t sizes[] = {
        [PG_OPTION_BOOL] = sizeof(bool),   [PG_OPTION_INT] = sizeof(int64_t),    [PG_OPTION_DECIMAL] = sizeof(double),
        [PG_OPTION_PPM] = sizeof(int64_t), [PG_OPTION_CHOICE] = sizeof(int),     [PG_OPTION_RANGE] = sizeof(pg_range),
        [PG_OPTION_RGB] = sizeof(pg_rgb),  [PG_OPTION_TEXT] = PG_OPTION_TEXT_MAX};
    return (size_t)type < sizeof sizes / sizeof *sizes ? sizes[type] : 0;
}

/* The store would take an option of that name for the one that had it. */
static bool is_old_name(const char *name)
{
    char room[PG_KEY_MAX];
    return strcmp(pg_key_today(name, room), name) != 0;
}

/* What is wrong with a row by itself; NULL: nothing. */
static const char *row_fault(const pg_option *row, size_t config_size)
{
    size_t size = field_size(row->type);
    return !is_name(row->name, "_")                                        ? "its name is none"
           : is_old_name(row->name)                                        ? "its name is the old one of another option"
           : !size                                                         ? "its type is unknown"
           : !is_line(row->help)                                           ? "it has no help of one line"
           : !row->fallback                                                ? "it has no default"
           : row->offset > config_size || size > config_size - row->offset ? "it lies outside the configuration"
           : (row->type == PG_OPTION_CHOICE) != (row->choices != NULL)     ? "choices belong to choices, and only to them"
           : row->min > row->max                                           ? "its range is empty"
           : row->before && !row->later                                    ? "what was before belongs to later options"
                                                                           : NULL;
}

static int check_row(const pg_module *m, const char *kind, const pg_option *row)
{
    const char *fault = row_fault(row, m->config_size);
    for (const pg_option *other = m->options; !fault && other != row; other++) {
        bool disjoint =
            other->offset + field_size(other->type) <= row->offset || row->offset + field_size(row->type) <= other->offset;
        fault = strcmp(other->name, row->name) == 0 ? "it is there twice" : !disjoint ? "it shares memory with another" : NULL;
    }
    if (fault)
        return pg_fail(PG_EINPUT, "%s %s, option %s: %s", kind, m->name, row->name, fault);
    _Alignas(16) uint8_t config[PG_CONFIG_MAX] = {0};
    int code = pg_options_set(m->options, config, kind, row->name, row->fallback);
    return code == PG_OK ? pg_options_set(m->options, config, kind, row->name, pg_option_before(row)) : code;
}

int pg_module_check(const pg_module *m, const char *kind)
{
    if (!is_name(m->name, ""))
        return pg_fail(PG_EINPUT, "a %s has no name of at most 40 small letters, digits and dashes", kind);
    const char *fault = !is_line(m->summary) || strlen(m->summary) > 100 ? "summary of one line of at most 100 characters"
                        : !is_line(m->source)                            ? "source"
                        : m->version < 1                                 ? "version of 1 or more"
                        : !m->options                                    ? "option table (an empty one for none)"
                        : m->config_size > PG_CONFIG_MAX                 ? "configuration of at most 512 bytes"
                                                                         : NULL;
    if (fault)
        return pg_fail(PG_EINPUT, "%s %s has no %s", kind, m->name, fault);
    int code = PG_OK;
    for (const pg_option *row = m->options; code == PG_OK && row->name; row++)
        code = check_row(m, kind, row);
    return code;
}

int pg_module_check_hooks(const pg_module *m, const char *kind, const pg_hook *hooks)
{
    while (hooks->name && hooks->there)
        hooks++;
    return hooks->name ? pg_fail(PG_EINPUT, "%s %s: a required hook is missing: %s", kind, m->name, hooks->name) : PG_OK;
}

int pg_module_place(const pg_module *m, const char *kind, const pg_module *(*at)(int i), size_t max)
{
    int n = 0;
    while (at(n))
        n++;
    if ((size_t)n < max)
        return n;
    pg_fail(PG_EINPUT, "%s %s: there is no room for more than %zu", kind, m->name, max);
    return -1;
}

static const char *key_of_pair(const char *pair, char room[2][PG_KEY_MAX])
{
    snprintf(room[0], PG_KEY_MAX, "%.*s", (int)strcspn(pair, "="), pair);
    return pg_key_today(room[0], room[1]);
}

/* An earlier pair of the same key, or NULL. */
static const char *pair_before(const char *const *pairs, size_t i)
{
    char rooms[2][2][PG_KEY_MAX];
    const char *key = key_of_pair(pairs[i], rooms[0]);
    for (size_t j = 0; strchr(pairs[i], '=') && j < i; j++)
        if (strchr(pairs[j], '=') && strcmp(key_of_pair(pairs[j], rooms[1]), key) == 0)
            return pairs[j];
    return NULL;
}

int pg_module_configure(const pg_module *module, const char *kind, const char *const *pairs, size_t n, void *config)
{
    assert(module->config_size <= PG_CONFIG_MAX);
    char owner[128];
    snprintf(owner, sizeof owner, "%s %s", kind, module->name);
    memset(config, 0, module->config_size);
    pg_options_defaults(module->options, config);
    for (size_t i = 0; i < n; i++) {
        const char *before = pair_before(pairs, i);
        if (before)
            return pg_fail(PG_EINPUT, "%s: one option is given twice, as '%s' and '%s': leave one of them out", owner, before,
                           pairs[i]);
        int code = pg_options_set_pair(module->options, config, owner, pairs[i]);
        if (code != PG_OK)
            return code;
    }
    pg_fail(PG_EINPUT, "these options are refused, and it does not say why"); /* unless it does */
    int code = module->normalize && module->normalize(config) != PG_OK ? PG_EINPUT : PG_OK;
    return code != PG_OK ? pg_fail_at(code, "%s", owner) : PG_OK;
}
