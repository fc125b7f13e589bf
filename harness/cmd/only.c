#include "harness/cmd/only.h"

#include "harness/base/names.h"
#include "harness/base/option.h"
#include "harness/plan/keys.h"
#include "harness/plan/matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(void) { return pg_fail(PG_ENOMEM, "out of memory for a choice of cells"); }

/* ---- Values that there are ---- */

/* Keys with values, each pair once. */
typedef struct list {
    pg_setting *items;
    size_t n;
} list;

static void release_list(list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free((char *)l->items[i].key);
        free((char *)l->items[i].value);
    }
    free(l->items);
    *l = (list){0};
}

static int add(const char *key, const char *value, void *context)
{
    list *l = context;
    if ((l->n & (l->n - 1)) == 0) { /* grows at powers of two */
        pg_setting *items = realloc(l->items, (l->n ? 2 * l->n : 1) * sizeof *items);
        if (!items)
            return no_memory();
        l->items = items;
    }
    pg_setting *item = &l->items[l->n++];
    *item = (pg_setting){.key = strdup(key), .value = strdup(value)};
    return item->key && item->value ? PG_OK : no_memory();
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static const pg_cell *cell_or_like(const pg_plan *plan, size_t i)
{
    size_t cells = pg_plan_count(plan);
    return i < cells ? pg_plan_at(plan, i) : pg_plan_like(plan, i - cells);
}

/* The values of a key in the cells of a plan. */
static int values_of_plan(const pg_plan *plan, const char *key, list *out)
{
    size_t cells = pg_plan_count(plan) + pg_plan_likes(plan), n = 0;
    const char **values = malloc((cells + 1) * sizeof *values);
    int code = values ? PG_OK : no_memory();
    for (size_t i = 0; code == PG_OK && i < cells; i++) {
        values[n] = pg_cell_value(cell_or_like(plan, i), key);
        n += *values[n] != '\0';
    }
    if (n > 0)
        qsort(values, n, sizeof *values, by_text);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        if (i == 0 || strcmp(values[i - 1], values[i]) != 0)
            code = add(key, values[i], out);
    free(values);
    return code;
}

/* The keys of the cells of a plan, options also without their module. */
static int keys_of_plan(const pg_plan *plan, list *out)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(plan); i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        for (size_t k = 0; code == PG_OK && k < cell->n_values; k++) {
            const char *key = cell->values[k].key;
            size_t known = 0;
            while (known < out->n && strcmp(out->items[known].key, key) != 0)
                known++;
            if (known == out->n)
                code = add(key, "", out);
        }
    }
    return code;
}

/* The cells that are chosen from: of one of the two. */
typedef struct source {
    const pg_plan *plan;
    pg_store *store;
} source;

static int values_of(const source *from, const char *key, list *out)
{
    return from->plan ? values_of_plan(from->plan, key, out) : pg_store_each_value(from->store, key, add, out);
}

static int keys_of(const source *from, list *out)
{
    return from->plan ? keys_of_plan(from->plan, out) : pg_store_each_key(from->store, add, out);
}

/* ---- Resolving ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

/* Whether a cell's value is the one that was given. */
static bool is_meant(const char *key, const char *value, const char *given)
{
    char square[64];
    if (pg_matrix_same_value(pg_value_today(key, given), value))
        return true;
    if (strcmp(key, "weights") == 0) {
        const char *slash = strrchr(value, '/'), *name = slash ? slash + 1 : value;
        size_t size = strlen(name) - (ends_with(name, ".safetensors") ? strlen(".safetensors") : 0);
        return strlen(given) == size && strncmp(name, given, size) == 0;
    }
    if (strcmp(key, "patch.px") == 0 && strspn(given, "0123456789") == strlen(given)) {
        snprintf(square, sizeof square, "%.24sx%.24s", given, given);
        return strcmp(value, square) == 0;
    }
    return false;
}

static const pg_key *key_of_matrix(const char *name)
{
    for (const pg_key *key = pg_keys; key->name; key++)
        if (strcmp(key->name, name) == 0)
            return key;
    return NULL;
}

bool pg_only_is_setting(const char *key, const pg_setting *settings, size_t n)
{
    const char *dot = strchr(key, '.'), *const modules[] = {pg_settings_value(settings, n, "defense"),
                                                            pg_settings_value(settings, n, "attack"), "null"};
    bool is = !dot && key_of_matrix(key);
    for (size_t i = 0; dot && !is && i < sizeof modules / sizeof *modules; i++)
        is = strlen(modules[i]) == (size_t)(dot - key) && strncmp(key, modules[i], (size_t)(dot - key)) == 0;
    return is;
}

/* "did you mean 'NEAR'?" where one of the names is near. */
static void add_near(const char *name, const list *l, bool of_keys, pg_buf *out)
{
    const char **names = malloc((2 * l->n + 1) * sizeof *names);
    size_t n = 0;
    for (size_t i = 0; names && i < l->n; i++) {
        const char *text = of_keys ? l->items[i].key : l->items[i].value, *dot = of_keys ? strchr(text, '.') : NULL;
        if (!dot || strchr(name, '.'))
            names[n++] = text;
        else
            names[n++] = dot + 1;
    }
    if (names)
        names[n] = NULL;
    const char *near = names ? pg_nearest(name, names) : NULL;
    if (near)
        pg_buf_printf(out, "; did you mean '%s'?", near);
    free(names);
}

enum { SHOWN = 12 };

static int fail_key(const char *option, const char *given, const char *key, const source *from)
{
    list keys = {0};
    pg_buf near;
    pg_buf_init(&near);
    int code = keys_of(from, &keys);
    if (code == PG_OK) {
        add_near(key, &keys, true, &near);
        code = pg_fail(PG_EINPUT, "%s %s: no cell has a setting '%s'%s", option, given, key, near.data);
    }
    release_list(&keys);
    pg_buf_release(&near);
    return code;
}

static int fail_value(const char *option, const char *given, const char *key, const char *value, const list *values)
{
    pg_buf text;
    pg_buf_init(&text);
    for (size_t i = 0; i < values->n && i < SHOWN; i++)
        pg_buf_printf(&text, "%s%s", i ? ", " : "", values->items[i].value);
    if (values->n > SHOWN)
        pg_buf_printf(&text, " and %zu more", values->n - SHOWN);
    add_near(value, values, false, &text);
    int code = pg_fail(PG_EINPUT, "%s %s: no cell has this value; of %s there is %s", option, given, key, text.data);
    pg_buf_release(&text);
    return code;
}

static int term_of(const char *key, pg_only *only, pg_only_term **out)
{
    for (size_t i = 0; i < only->n; i++)
        if (strcmp(only->terms[i].key, key) == 0) {
            *out = &only->terms[i];
            return PG_OK;
        }
    pg_only_term *terms = realloc(only->terms, (only->n + 1) * sizeof *terms);
    only->terms = terms ? terms : only->terms;
    char *copy = terms ? strdup(key) : NULL;
    if (!copy)
        return no_memory();
    *out = &terms[only->n++];
    **out = (pg_only_term){.key = copy};
    return PG_OK;
}

static int resolve_one(const char *option, const char *given, const source *from, pg_only *out)
{
    char key[PG_KEY_MAX], room[PG_KEY_MAX];
    const char *equals = strchr(given, '=');
    size_t size = equals ? (size_t)(equals - given) : 0;
    if (size == 0 || size >= sizeof key || !equals[1])
        return pg_fail(PG_EUSAGE, "%s %s: right would be KEY=VALUE", option, given);
    snprintf(key, sizeof key, "%.*s", (int)size, given);
    snprintf(key, sizeof key, "%s", pg_key_today(memcpy(room, key, sizeof key), (char[PG_KEY_MAX]){0}));
    const pg_key *of_matrix = key_of_matrix(key);
    list values = {0}, pixels = {0};
    pg_only_term *term = NULL;
    int code = values_of(from, key, &values);
    if (code == PG_OK && strcmp(key, "patch") == 0)
        code = values_of(from, "patch.px", &pixels);
    if (code == PG_OK)
        code = term_of(key, out, &term);
    bool found = code == PG_OK && of_matrix && of_matrix->fallback && strcmp(of_matrix->fallback, equals + 1) == 0;
    if (found)
        term->absent = true;
    list chosen = {.items = term ? term->of : NULL, .n = term ? term->n : 0};
    const list *sources[] = {&values, &pixels};
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; code == PG_OK && i < sources[s]->n; i++) {
            const pg_setting *is = &sources[s]->items[i];
            if (!is_meant(is->key, is->value, equals + 1))
                continue;
            found = true;
            code = add(is->key, is->value, &chosen);
        }
    if (term) {
        term->of = chosen.items;
        term->n = chosen.n;
    }
    if (code == PG_OK && !found)
        code = values.n > 0 ? fail_value(option, given, key, equals + 1, &values) : fail_key(option, given, key, from);
    release_list(&values);
    release_list(&pixels);
    return code;
}

static int resolve(const char *option, const pg_texts *given, const source *from, pg_only *out)
{
    int code = PG_OK;
    *out = (pg_only){0};
    for (size_t i = 0; code == PG_OK && i < given->n; i++)
        code = resolve_one(option, given->items[i], from, out);
    return code;
}

int pg_only_resolve(const char *option, const pg_texts *given, const pg_plan *plan, pg_only *out)
{
    return resolve(option, given, &(source){.plan = plan}, out);
}

void pg_only_release(pg_only *only)
{
    for (size_t i = 0; i < only->n; i++) {
        release_list(&(list){.items = only->terms[i].of, .n = only->terms[i].n});
        free(only->terms[i].key);
    }
    free(only->terms);
    *only = (pg_only){0};
}

/* ---- Choosing ---- */

static bool term_holds(const pg_only_term *term, const pg_setting *settings, size_t n)
{
    bool holds = term->absent && *pg_settings_value(settings, n, term->key) == '\0';
    for (size_t i = 0; !holds && i < term->n; i++)
        holds = strcmp(pg_settings_value(settings, n, term->of[i].key), term->of[i].value) == 0;
    return holds;
}

bool pg_only_holds(const pg_only *only, const pg_setting *settings, size_t n)
{
    bool holds = true;
    for (size_t i = 0; holds && i < only->n; i++)
        holds = term_holds(&only->terms[i], settings, n);
    return holds;
}

static bool is_chosen(const pg_setting *settings, size_t n, void *context) { return pg_only_holds(context, settings, n); }

int pg_only_choose(const pg_texts *given, pg_plan *plan)
{
    pg_only only = {0};
    int code = given->n > 0 ? pg_only_resolve("--only", given, plan, &only) : PG_OK;
    if (code == PG_OK && given->n > 0)
        pg_plan_choose(plan, is_chosen, &only);
    if (code == PG_OK && pg_plan_count(plan) == 0)
        code = pg_fail(PG_EINPUT, "%s: no cell has all of what --only asks for", pg_plan_name(plan));
    pg_only_release(&only);
    return code;
}

int pg_only_choose_stored(const char *option, const pg_texts *given, pg_store *store, int state, pg_cell_set *out)
{
    pg_only only;
    *out = (pg_cell_set){0};
    int code = resolve(option, given, &(source){.store = store}, &only);
    pg_cell_term *terms = calloc(only.n + 1, sizeof *terms);
    if (code == PG_OK && !terms)
        code = no_memory();
    for (size_t i = 0; code == PG_OK && i < only.n; i++)
        terms[i] = (pg_cell_term){only.terms[i].of, only.terms[i].n, only.terms[i].absent ? only.terms[i].key : NULL};
    if (code == PG_OK)
        code = pg_store_choose(store, state, terms, only.n, out);
    if (code == PG_OK && given->n > 0 && state < 0 && out->n == 0)
        code = pg_fail(PG_EINPUT, "no cell has all of what %s asks for", option);
    free(terms);
    pg_only_release(&only);
    return code;
}

typedef struct ids {
    char (*of)[PG_HASH_HEX];
    size_t n;
} ids;

static int add_id(const pg_cell_line *line, void *context)
{
    ids *out = context;
    memcpy(out->of[out->n++], line->cell_id, PG_HASH_HEX);
    return PG_OK;
}

int pg_only_each(const char *command, const char *cell, const pg_texts *only, pg_store *store,
                 int (*each)(pg_store *store, const char *cell_id, void *context), void *context)
{
    if (!cell == (only->n == 0))
        return pg_fail(PG_EUSAGE, "%s: %s", command,
                       cell ? "CELL and --only: leave one of them out" : "CELL is missing, or --only");
    char one[PG_HASH_HEX];
    if (cell) {
        int code = pg_store_resolve(store, cell, one);
        return code == PG_OK ? each(store, one, context) : code;
    }
    pg_cell_set set = {0};
    ids chosen = {0};
    int code = pg_only_choose_stored("--only", only, store, -1, &set);
    if (code == PG_OK && !(chosen.of = calloc(set.n + 1, sizeof *chosen.of)))
        code = no_memory();
    if (code == PG_OK)
        code = pg_store_each_line(store, set.cells, set.n, add_id, &chosen);
    for (size_t i = 0; code == PG_OK && i < chosen.n; i++)
        code = each(store, chosen.of[i], context);
    free(chosen.of);
    pg_cell_set_release(&set);
    return code;
}
