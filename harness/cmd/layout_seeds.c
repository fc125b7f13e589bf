/* Attacked cells that differ in their seed alone, as one entry of a table. See layout.h. */
#include "db/store.h"
#include "harness/base/hash_table.h"
#include "harness/cmd/layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The entries of one cell but for its seed. */
typedef struct group {
    char *key;       /* what the cell is, without the seed */
    size_t first;    /* entry */
    int32_t *counts; /* [images] seeds under which the image stays correct */
    int32_t seeds;
    double sum, squares; /* of the accuracies */
    int64_t left_out;
    UT_hash_handle hh;
} group;

typedef struct merging {
    group *groups; /* hash table */
    size_t *moved; /* where an entry is afterwards */
} merging;

static char *key_of(const pg_cell *cell)
{
    static const char line[] = "\nseed=";
    const char *text = cell->here ? cell->canonical : cell->settings; /* which are all that is known of some that are not */
    const char *seed = strstr(text, line), *rest = seed ? strchr(seed + 1, '\n') : "";
    size_t size = seed ? (size_t)(seed - text) : strlen(text);
    char *key = malloc(size + strlen(rest) + 1);
    if (key) {
        memcpy(key, text, size);
        strcpy(key + size, rest);
    }
    return key;
}

/* The group of a cell, made where there is none; NULL where memory runs out. */
static group *group_of(merging *m, const pg_cell *cell, size_t entry)
{
    group *found = NULL;
    char *key = key_of(cell);
    if (key)
        HASH_FIND_STR(m->groups, key, found);
    if (found || !key) {
        free(key);
        return found;
    }
    group *made = calloc(1, sizeof *made);
    if (made) {
        made->key = key;
        made->first = entry;
        made->counts = calloc((size_t)cell->count + 1, sizeof *made->counts);
        HASH_ADD_KEYPTR(hh, m->groups, made->key, strlen(made->key), made);
    }
    if (made && made->counts && made->hh.tbl)
        return made;
    if (made && made->hh.tbl)
        return NULL; /* freed with the others */
    free(made ? made->counts : NULL);
    free(made);
    free(key);
    return NULL;
}

typedef struct counting {
    group *of;
    int64_t first, count; /* images */
} counting;

static int count_image(const pg_outcome *o, void *context)
{
    counting *c = context;
    int64_t i = o->image - c->first;
    if (i < 0 || i >= c->count)
        return pg_fail(PG_EDAMAGED, "an outcome of image %lld, which its cell does not have", (long long)o->image);
    c->of->counts[i] += o->prediction == o->label && o->has_attack && o->attacked == o->label;
    return PG_OK;
}

static int add_seed(pg_store *store, const pg_cell *cell, const pg_table_entry *entry, group *of)
{
    if (entry->n < entry->expected) {
        of->left_out++;
        return PG_OK;
    }
    double accuracy = (double)entry->attacked / (double)entry->n;
    of->seeds++;
    of->sum += accuracy;
    of->squares += accuracy * accuracy;
    return pg_store_each_outcome(store, cell->id, count_image, &(counting){of, cell->first, cell->count});
}

/* Where no seed is complete the first stays as it is. */
static void finish(const group *g, pg_table_entry *entry)
{
    if (g->seeds == 0 || (g->seeds == 1 && g->left_out == 0))
        return;
    double mean = g->sum / g->seeds, variance = (g->squares - g->seeds * mean * mean) / (g->seeds - 1);
    entry->seeds = (pg_table_seeds){.n = g->seeds,
                                    .left_out = g->left_out,
                                    .attacked = pg_mean_of_shares(g->counts, entry->expected, g->seeds),
                                    .deviation = g->seeds > 1 ? sqrt(fmax(variance, 0)) : NAN};
    entry->attacked = llround(mean * (double)entry->expected);
}

static void free_groups(merging *m)
{
    group *g, *next;
    HASH_ITER(hh, m->groups, g, next)
    {
        HASH_DEL(m->groups, g);
        free(g->key);
        free(g->counts);
        free(g);
    }
    free(m->moved);
}

/* Takes the entry into its group, or keeps it: `n` of the entries stay so far. */
static int merge(pg_store *store, const pg_plan *plan, pg_layout *out, merging *m, size_t i, size_t *n)
{
    pg_table_entry *entry = &out->entries[i];
    const pg_cell *cell = pg_plan_find(plan, entry->cell_id);
    group *g = NULL;
    int code = PG_OK;
    if (cell->forward->attack && !entry->same_as) {
        g = group_of(m, cell, *n);
        code = g ? add_seed(store, cell, entry, g) : pg_fail(PG_ENOMEM, "out of memory for the seeds of a table");
    }
    if (!g || g->first == *n) {
        m->moved[i] = *n;
        out->entries[(*n)++] = *entry;
        return code;
    }
    pg_table_entry *first = &out->entries[g->first];
    m->moved[i] = g->first;
    if (first->n < first->expected && entry->n >= entry->expected) { /* its counts are of all images */
        pg_table_entry other = *first;
        *first = *entry;
        *entry = other;
    }
    first->broken += entry->broken;
    pg_layout_release_entry(entry);
    return code;
}

int pg_layout_merge_seeds(pg_store *store, const pg_plan *plan, pg_layout *out)
{
    size_t n = 0, before = out->table.n_entries;
    merging m = {.moved = calloc(before + 1, sizeof *m.moved)};
    int code = m.moved ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %zu cells", before);
    for (size_t i = 0; m.moved && i < before; i++) { /* to the end, so that no entry is freed twice */
        int merged = code == PG_OK ? merge(store, plan, out, &m, i, &n) : PG_OK;
        if (code != PG_OK)
            out->entries[n++] = out->entries[i];
        code = merged != PG_OK ? merged : code;
    }
    if (m.moved)
        out->table.n_entries = n;
    for (group *g = m.groups; code == PG_OK && g; g = g->hh.next)
        finish(g, &out->entries[g->first]);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        if (out->entries[i].same_as)
            out->entries[i].same_as = &out->entries[m.moved[out->entries[i].same_as - out->entries]];
    free_groups(&m);
    return code;
}
