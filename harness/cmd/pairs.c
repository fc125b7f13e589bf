/* See pairs.h. */
#include "harness/cmd/pairs.h"

#include "harness/cmd/only.h"
#include "harness/plan/keys.h"

#include <stdlib.h>
#include <string.h>

static const pg_key *key_of_matrix(const char *name)
{
    for (const pg_key *key = pg_keys; key->name; key++)
        if (strcmp(key->name, name) == 0)
            return key;
    return NULL;
}

const char *pg_side_value(const pg_side_cell *cell, const char *name)
{
    const char *value = pg_settings_value(cell->settings, cell->n, name);
    const pg_key *key = *value ? NULL : key_of_matrix(name);
    return key && key->fallback ? key->fallback : value;
}

/* What cells are compared by: a patch by its pixels, however it is written. */
static const char *compared(const pg_side_cell *cell, const char *name)
{
    const char *pixels = strcmp(name, "patch") == 0 ? pg_settings_value(cell->settings, cell->n, "patch.px") : "";
    return *pixels ? pixels : pg_side_value(cell, name);
}

/* ---- Names of settings ---- */

typedef struct names {
    const char **items;
    size_t n, room;
} names;

static int add_name(const char *name, names *out)
{
    for (size_t i = 0; i < out->n; i++)
        if (strcmp(out->items[i], name) == 0)
            return PG_OK;
    const char **items = pg_grow(out->items, out->n, &out->room, sizeof *items);
    if (!items)
        return PG_ENOMEM;
    out->items = items;
    items[out->n++] = name;
    return PG_OK;
}

/* The name of a stored key as a setting; NULL for details. */
static const char *name_of(const pg_side_cell *cell, const pg_setting *s)
{
    const char *dot = strchr(s->key, '.');
    if (!pg_only_is_setting(s->key, cell->settings, cell->n))
        return NULL;
    return dot && pg_settings_value(cell->settings, cell->n, dot + 1) == s->value ? dot + 1 : s->key;
}

/* Keys of matrix files first, in their order, then options as cells have them. */
static int names_of(const pg_side *side, names *out)
{
    int code = PG_OK;
    for (const pg_key *key = pg_keys; code == PG_OK && key->name; key++)
        code = add_name(key->name, out);
    for (size_t i = 0; i < side->n; i++)
        for (size_t k = 0; code == PG_OK && k < side->cells[i].n; k++) {
            const char *name = name_of(&side->cells[i], &side->cells[i].settings[k]);
            if (name)
                code = add_name(name, out);
        }
    return code;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The values of a setting in a side, sorted, without those that are empty. */
static size_t values_of(const pg_side *side, const char *name, const char **out)
{
    size_t n = 0;
    for (size_t i = 0; i < side->n; i++) {
        out[n] = compared(&side->cells[i], name);
        n += *out[n] != '\0';
    }
    if (n > 0)
        qsort(out, n, sizeof *out, by_text);
    return n;
}

static bool share_a_value(const char **a, size_t n_a, const char **b, size_t n_b)
{
    int order = 1;
    for (size_t i = 0, k = 0; i < n_a && k < n_b && order != 0;) {
        order = strcmp(a[i], b[k]);
        i += order < 0;
        k += order > 0;
    }
    return order == 0;
}

/* Sorts the names of both sides into those that pair cells, those that do not, and data sets that cannot be compared. */
static int split_names(const pg_side *a, const pg_side *b, const names *all, pg_pairs *out)
{
    const char **of_a = malloc((a->n + 1) * sizeof *of_a), **of_b = malloc((b->n + 1) * sizeof *of_b);
    int code = of_a && of_b ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %zu cells", a->n + b->n);
    for (size_t i = 0; code == PG_OK && i < all->n; i++) {
        const char *name = all->items[i];
        size_t n_a = values_of(a, name, of_a), n_b = values_of(b, name, of_b);
        bool shared = share_a_value(of_a, n_a, of_b, n_b), images = strcmp(name, "dataset") == 0 || strcmp(name, "images") == 0;
        if (images && !shared && n_a > 0 && n_b > 0)
            code = pg_fail(PG_EINPUT, "only equal images can be compared: A has %s %s%s, B %s%s", name, of_a[0],
                           n_a > 1 ? ", ..." : "", of_b[0], n_b > 1 ? ", ..." : "");
        if (shared)
            out->same[out->n_same++] = name;
        else if (n_a + n_b > 0)
            out->other[out->n_other++] = name;
    }
    free(of_a);
    free(of_b);
    return code;
}

/* ---- Pairs ---- */

typedef struct keyed {
    const pg_side_cell *cell;
    const char *key; /* the settings that pair, "value\nvalue\n" */
    size_t place;    /* in its side */
    bool paired;
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static keyed *key_side(const pg_side *side, pg_pairs *p)
{
    keyed *list = pg_memory_take(&p->memory, side->n + 1, sizeof *list);
    for (size_t i = 0; list && i < side->n; i++) {
        size_t size = 1;
        for (size_t k = 0; k < p->n_same; k++)
            size += strlen(compared(&side->cells[i], p->same[k])) + 1;
        char *key = pg_memory_take(&p->memory, size, 1), *at = key;
        for (size_t k = 0; key && k < p->n_same; k++) {
            at = stpcpy(at, compared(&side->cells[i], p->same[k]));
            *at++ = '\n';
        }
        list[i] = (keyed){.cell = &side->cells[i], .key = key, .place = i};
    }
    return p->memory.failed ? NULL : list;
}

static int add_pair(const pg_side_cell *a, const pg_side_cell *b, size_t *room, pg_pairs *out)
{
    pg_pair *items = pg_grow(out->items, out->n, room, sizeof *items);
    if (!items)
        return PG_ENOMEM;
    out->items = items;
    items[out->n++] = (pg_pair){a, b};
    return PG_OK;
}

/* The first of the sorted list whose key is not less. */
static size_t find_key(const keyed *list, size_t n, const char *key)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int pair_cells(keyed *a, size_t n_a, keyed *b, size_t n_b, pg_pairs *out)
{
    size_t room = 0;
    int code = PG_OK;
    qsort(b, n_b, sizeof *b, by_key);
    for (size_t i = 0; code == PG_OK && i < n_a; i++)
        for (size_t k = find_key(b, n_b, a[i].key); code == PG_OK && k < n_b && strcmp(b[k].key, a[i].key) == 0; k++) {
            if (strcmp(a[i].cell->id, b[k].cell->id) == 0 && n_a + n_b > 2)
                continue; /* a cell of both sides */
            a[i].paired = b[k].paired = true;
            code = add_pair(a[i].cell, b[k].cell, &room, out);
        }
    out->paired = out->n;
    for (size_t i = 0; code == PG_OK && i < n_a; i++)
        if (!a[i].paired)
            code = add_pair(a[i].cell, NULL, &room, out);
    for (size_t i = 0; code == PG_OK && i < n_b; i++)
        if (!b[i].paired)
            code = add_pair(NULL, b[i].cell, &room, out);
    return code;
}

int pg_pairs_make(const pg_side *a, const pg_side *b, pg_pairs *out)
{
    *out = (pg_pairs){0};
    names all = {0};
    int code = names_of(a, &all);
    if (code == PG_OK)
        code = names_of(b, &all);
    out->same = pg_memory_take(&out->memory, all.n + 1, sizeof *out->same);
    out->other = pg_memory_take(&out->memory, all.n + 1, sizeof *out->other);
    if (code == PG_OK)
        code = pg_memory_check(&out->memory, "%zu settings", all.n);
    if (code == PG_OK)
        code = split_names(a, b, &all, out);
    free(all.items);
    keyed *of_a = code == PG_OK ? key_side(a, out) : NULL, *of_b = code == PG_OK ? key_side(b, out) : NULL;
    if (code == PG_OK)
        code = pg_memory_check(&out->memory, "%zu cells", a->n + b->n);
    if (code == PG_OK)
        code = pair_cells(of_a, a->n, of_b, b->n, out);
    if (code == PG_OK && out->paired == 0)
        code = pg_fail(PG_EINPUT,
                       "no cell of A has a counterpart in B: another cell, with the same settings but those that differ "
                       "overall");
    return code;
}

void pg_pairs_release(pg_pairs *pairs)
{
    free(pairs->items);
    pg_memory_free(&pairs->memory);
    *pairs = (pg_pairs){0};
}

bool pg_pairs_vary(const pg_pairs *pairs, const char *name, bool b)
{
    const char *first = NULL;
    bool vary = false;
    for (size_t i = 0; i < pairs->paired && !vary; i++) {
        const char *value = pg_side_value(b ? pairs->items[i].b : pairs->items[i].a, name);
        vary = first && strcmp(first, value) != 0;
        first = value;
    }
    return vary;
}

bool pg_pairs_tells(const pg_pairs *pairs, const char *name)
{
    const char *first = NULL;
    bool tells = false;
    for (size_t i = 0; i < pairs->n && !tells; i++)
        for (int b = 0; b < 2; b++) {
            const pg_side_cell *cell = b ? pairs->items[i].b : pairs->items[i].a;
            const char *value = cell ? pg_side_value(cell, name) : first;
            tells |= first && strcmp(first, value) != 0;
            first = value;
        }
    return tells;
}

bool pg_pairs_differ(const pg_pairs *pairs, const char *name)
{
    bool of_a = false, of_b = false, paired = false;
    for (size_t i = 0; i < pairs->n_same; i++)
        paired |= pairs->same[i] == name;
    for (size_t i = 0; i < pairs->paired; i++) {
        of_a |= *pg_side_value(pairs->items[i].a, name) != '\0';
        of_b |= *pg_side_value(pairs->items[i].b, name) != '\0';
    }
    return !paired && of_a && of_b;
}

/* The key that a cell has for the name of a setting. */
static const char *key_of_cell(const pg_side_cell *cell, const char *name)
{
    const char *value = pg_settings_value(cell->settings, cell->n, name);
    for (size_t i = 0; i < cell->n; i++)
        if (cell->settings[i].value == value)
            return cell->settings[i].key;
    return NULL;
}

const char *pg_pairs_key(const pg_pairs *pairs, const char *name, bool of_a, bool of_b)
{
    const char *key = NULL;
    for (size_t i = 0; i < pairs->n; i++)
        for (int b = 0; b < 2; b++) {
            const pg_side_cell *cell = b ? (of_b ? pairs->items[i].b : NULL) : (of_a ? pairs->items[i].a : NULL);
            const char *other = cell ? key_of_cell(cell, name) : NULL;
            if (other && key && strcmp(other, key) != 0)
                return name;
            key = other ? other : key;
        }
    return key ? key : name;
}
