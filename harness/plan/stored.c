/* A plan whose files are not all on this machine: what the store knows of them, and of its cells. See keys.h.
 *
 * A file is known by its name, as the settings of cells hold it, and by its hash: cells with outcomes of several hashes under
 * one name are several contents, of which the user chooses. Of a row whose files are not here, the stored cell with the same
 * settings, hashes and versions of modules is the cell; what planning derives from the files is taken from it. */
#include "harness/plan/keys.h"

#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/data/resized.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Files ---- */

/* One content of a name, with the facts of the newest of its cells. */
typedef struct content {
    char hash[PG_HASH_HEX];
    int64_t cells, key;
    pg_setting *facts; /* identity and details; owned */
    size_t n_facts;
    pg_store_forward_row dataset; /* numbers alone */
} content;

typedef struct contents {
    const char *hash_key, *hash; /* whose first digits are asked for */
    content *items;
    size_t n;
} contents;

static int keep_content(const pg_known_cell *known, int64_t cells, void *context)
{
    contents *list = context;
    pg_setting *facts = NULL;
    size_t n = 0, i = 0;
    const char *texts[] = {known->cell.canonical, known->cell.details};
    int code = pg_settings_parse(texts, 2, &facts, &n);
    const char *hash = code == PG_OK ? pg_settings_value(facts, n, list->hash_key) : "";
    if (code != PG_OK || strlen(hash) != PG_HASH_HEX - 1 || strncmp(hash, list->hash, strlen(list->hash)) != 0) {
        free(facts);
        return code;
    }
    while (i < list->n && strcmp(list->items[i].hash, hash) != 0)
        i++;
    content *grown = i == list->n ? realloc(list->items, (i + 1) * sizeof *grown) : list->items;
    if (!grown) {
        free(facts);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    list->items = grown;
    content *c = &grown[i];
    if (i == list->n)
        grown[list->n++] = (content){.key = -1};
    c->cells += cells;
    if (known->key < c->key) {
        free(facts);
        return PG_OK;
    }
    free(c->facts);
    memcpy(c->hash, hash, sizeof c->hash);
    c->key = known->key;
    c->facts = facts;
    c->n_facts = n;
    c->dataset = known->forward;
    return PG_OK;
}

static void release(contents *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i].facts);
    free(list->items);
    *list = (contents){0};
}

static const char *fact(const content *c, const char *key) { return pg_settings_value(c->facts, c->n_facts, key); }

/* What tells contents apart: their hashes, and what a user knows of them. */
static int refuse_several(const contents *list, const char *name, bool network)
{
    pg_buf text = PG_BUF_EMPTY;
    for (size_t i = 0; i < list->n; i++) {
        const content *c = &list->items[i];
        pg_buf_printf(&text, "%s%.12s (", i ? ", " : "", c->hash);
        if (network)
            pg_buf_printf(&text, "%s, %s classes", fact(c, "model"), fact(c, "classes"));
        else
            pg_buf_printf(&text, "%" PRId64 " images, %d classes", c->dataset.dataset_images, c->dataset.dataset_classes);
        pg_buf_printf(&text, ", %" PRId64 " cell%s)", c->cells, pg_plural(c->cells));
    }
    int code = pg_fail(PG_EINPUT,
                       "%s is not here, and the database has results of %zu contents of that name: %s; choose one, as -S "
                       "%s=%.12s",
                       name, list->n, text.data, list->hash_key, list->items[0].hash);
    pg_buf_release(&text);
    return code;
}

/* The one content of the name, *out NULL where there is none; it belongs to the list. */
static int find_content(pg_store *store, bool network, const char *name, contents *list, const content **out)
{
    *out = NULL;
    int code = pg_store_each_named(store, network ? "weights" : "dataset", name, keep_content, list);
    if (code == PG_OK && list->n > 1)
        code = refuse_several(list, name, network);
    if (code == PG_OK && list->n == 1)
        *out = &list->items[0];
    return code;
}

/* "32x32"; left as it is where that is not known. */
static void read_size(const char *text, int *height, int *width)
{
    int h, w;
    if (pg_parse_size(text, &h, &w) == PG_OK) {
        *height = h;
        *width = w;
    }
}

/* 0 where the store was written by an older program. */
static void fill_dataset_sizes(const content *c, const char *spec, pg_dataset_info *out)
{
    const char *at = strchr(spec, '@');
    out->height = out->source_height = c->dataset.dataset_height;
    out->width = out->source_width = c->dataset.dataset_width;
    if (!at)
        return;
    out->source_height = out->source_width = 0;
    read_size(fact(c, "image.px"), &out->source_height, &out->source_width);
    if (pg_resized_parse(at + 1, out) != PG_OK) /* it was read when the cell was planned */
        out->height = out->width = 0;
}

int pg_stored_dataset(pg_store *store, const char *spec, const char *hash, pg_dataset_info *out, bool *found)
{
    contents list = {.hash_key = "dataset.hash", .hash = hash};
    const content *c = NULL;
    int code = find_content(store, false, spec, &list, &c);
    *found = code == PG_OK && c;
    if (*found) {
        *out = (pg_dataset_info){.images = c->dataset.dataset_images, .classes = c->dataset.dataset_classes};
        memcpy(out->hash, c->hash, sizeof out->hash);
        snprintf(out->name, sizeof out->name, "%.*s", (int)strcspn(spec, ":"), spec);
        snprintf(out->split, sizeof out->split, "%s", fact(c, "dataset.split"));
        fill_dataset_sizes(c, spec, out);
    }
    release(&list);
    return code;
}

/* Options of the model, from the lines "model.OPTION=VALUE" of the identity. A model that is not in this program has none. */
static int fill_options(const content *c, pg_weights_info *out)
{
    const pg_model *model = pg_model_find(out->model);
    const char *pairs[PG_PAIRS_MAX] = {0};
    size_t n = 0;
    int code = PG_OK;
    for (size_t i = 0; model && code == PG_OK && i < c->n_facts && n < PG_PAIRS_MAX; i++) {
        const char *key = c->facts[i].key, *option = key + strlen("model.");
        bool is_option = strncmp(key, "model.", strlen("model.")) == 0 && pg_option_find(model->module.options, option);
        char *pair = NULL;
        if (is_option && asprintf(&pair, "%s=%s", option, c->facts[i].value) < 0)
            code = pg_fail(PG_ENOMEM, "out of memory");
        else if (is_option)
            pairs[n++] = pair;
    }
    if (code == PG_OK && model)
        code = pg_module_configure(&model->module, "model", pairs, n, out->config);
    pg_pairs_free((char **)pairs, n);
    return code;
}

int pg_stored_weights(pg_store *store, const char *weights, const char *hash, pg_weights_info *out, bool *found)
{
    contents list = {.hash_key = "weights.hash", .hash = hash};
    const content *c = NULL;
    int code = find_content(store, true, weights, &list, &c);
    *found = code == PG_OK && c;
    if (*found) {
        int64_t version = 0;
        *out = (pg_weights_info){.geometry.classes = c->dataset.dataset_classes};
        memcpy(out->hash, c->hash, sizeof out->hash);
        snprintf(out->model, sizeof out->model, "%s", fact(c, "model"));
        out->model_version = pg_parse_int(fact(c, "model.version"), &version) == PG_OK ? (int)version : 0;
        code = fill_options(c, out);
    }
    release(&list);
    return code;
}

/* ---- Cells ---- */

typedef struct search {
    const pg_cell_builder *builder;
    const pg_toml_value **values;
    pg_cell *cell;
    bool found;
} search;

/* Whether a line of the identity says what cannot be known here. */
static bool is_unknown(const pg_cell *c, const char *key)
{
    const pg_forward *f = c->forward;
    bool options = !pg_model_find(f->info.model) && strncmp(key, "model.", strlen("model.")) == 0;
    return options || (strcmp(key, "window") == 0 && c->window.height == 0);
}

/* Equal lines of both identities, but for those. */
static int compare(const pg_cell *c, const char *ours, const char *theirs, bool *same)
{
    pg_setting *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0, i = 0, k = 0;
    int code = pg_settings_parse(&ours, 1, &a, &n_a);
    if (code == PG_OK)
        code = pg_settings_parse(&theirs, 1, &b, &n_b);
    *same = code == PG_OK;
    while (*same && (i < n_a || k < n_b)) {
        if (i < n_a && is_unknown(c, a[i].key)) {
            i++;
        } else if (k < n_b && is_unknown(c, b[k].key)) {
            k++;
        } else {
            *same = i < n_a && k < n_b && strcmp(a[i].key, b[k].key) == 0 && strcmp(a[i].value, b[k].value) == 0;
            i++;
            k++;
        }
    }
    free(a);
    free(b);
    return code;
}

/* What measuring the weights gave when the cell was planned. */
static void take_locality(const pg_setting *facts, size_t n, const pg_known_cell *known, pg_cell *c)
{
    const char *delta = pg_settings_value(facts, n, "delta.logits"), *moved = pg_settings_value(facts, n, "locality.moved");
    c->has_delta = known->cell.has_delta;
    c->delta = c->has_delta ? known->cell.delta : 0;
    c->locality = (pg_locality_result){.measured = c->has_delta};
    c->locality.differs = strncmp(pg_settings_value(facts, n, "delta"), "place:", strlen("place:")) == 0;
    if (!c->has_delta || pg_parse_int(delta, &c->locality.delta_grid) != PG_OK)
        c->locality.delta_grid = 0;
    if (pg_parse_int(moved, &c->locality.moved_grid) != PG_OK)
        c->locality.moved_grid = 0;
    c->logit_delta = c->locality.delta_grid;
    snprintf(c->locality.kinds, sizeof c->locality.kinds, "%s", pg_settings_value(facts, n, "locality.on"));
    snprintf(c->locality.batches, sizeof c->locality.batches, "%s", pg_settings_value(facts, n, "locality.batches"));
}

/* Texts and sizes of the stored cell. */
static int take_texts(const pg_setting *facts, size_t n, const pg_known_cell *known, pg_cell *c)
{
    char *canonical = strdup(known->cell.canonical), *details = strdup(known->cell.details);
    free(c->canonical);
    free(c->details);
    c->canonical = canonical;
    c->details = details;
    memcpy(c->id, known->cell.cell_id, sizeof c->id);
    if (c->window.height == 0) {
        read_size(pg_settings_value(facts, n, "window"), &c->window.height, &c->window.width);
        read_size(pg_settings_value(facts, n, "affected.px"), &c->affected_height, &c->affected_width);
    }
    return canonical && details ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}

static int try_cell(const pg_known_cell *known, void *context)
{
    search *s = context;
    pg_cell *c = s->cell, trial = *s->cell;
    char *canonical = NULL, id[PG_HASH_HEX];
    const char *texts[] = {known->cell.canonical, known->cell.details};
    pg_setting *facts = NULL;
    size_t n = 0;
    bool same = false;
    if (s->found && (!known->cell.has_delta || (c->has_delta && known->cell.delta < c->delta)))
        return PG_OK;
    int code = pg_settings_parse(texts, 2, &facts, &n);
    if (code == PG_OK) {
        take_locality(facts, n, known, &trial);
        code = pg_cell_canonical(s->builder, s->values, &trial, &canonical, id);
    }
    if (code == PG_OK)
        code = compare(&trial, canonical, known->cell.canonical, &same);
    if (code == PG_OK && same) {
        *c = trial;
        s->found = true;
        code = take_texts(facts, n, known, c);
    }
    free(canonical);
    free(facts);
    return code;
}

int pg_cell_builder_stored(pg_cell_builder *s, const pg_toml_value **values, pg_cell *cell, bool *found)
{
    search of = {.builder = s, .values = values, .cell = cell};
    bool nowhere = cell->forward->data_where == PG_WHERE_NOWHERE || cell->forward->weights_where == PG_WHERE_NOWHERE;
    int code = nowhere ? PG_OK : pg_store_each_alike(s->store, cell->settings, try_cell, &of);
    *found = code == PG_OK && of.found;
    return code;
}

/* ---- What is told ---- */

/* The line that names a file. */
static int line_of(const pg_cell_builder *s, const pg_seen_file *f)
{
    int k = s->key_of[f->network ? PG_KEY_WEIGHTS : PG_KEY_DATASET];
    for (size_t i = 0; k >= 0 && i < s->matrix->keys[k].n; i++)
        if (strcmp(s->matrix->keys[k].values[i].text, f->name) == 0)
            return s->matrix->keys[k].values[i].line;
    return 1;
}

enum { NAMED = 3 };

/* "data set cifar10:test, weights a.safetensors and 4 more" */
static void name_files(const pg_cell_builder *s, pg_where where, pg_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_files; i++) {
        const pg_seen_file *f = s->files[i];
        if (f->where == where && n++ < NAMED)
            pg_buf_printf(out, "%s%s %s", n > 1 ? ", " : "", f->network ? "weights" : "data set", f->name);
    }
    if (n > NAMED)
        pg_buf_printf(out, " and %zu more", n - NAMED);
}

int pg_cell_builder_tell(const pg_cell_builder *s, size_t absent, bool nothing)
{
    for (size_t i = 0; nothing && i < s->n_files; i++)
        if (s->files[i]->where != PG_WHERE_HERE)
            pg_problem(s->problems, line_of(s, s->files[i]), s->files[i]->network ? "weights" : "dataset",
                       "%s; nor has the database results of these cells", s->files[i]->why);
    if (nothing)
        return pg_buf_check(&s->problems->text);
    pg_buf stored = PG_BUF_EMPTY, nowhere = PG_BUF_EMPTY;
    name_files(s, PG_WHERE_STORE, &stored);
    name_files(s, PG_WHERE_NOWHERE, &nowhere);
    int code = pg_buf_check(&stored) != PG_OK ? PG_ENOMEM : pg_buf_check(&nowhere);
    if (code == PG_OK && (stored.size || nowhere.size))
        pg_info("not on this machine%s%s%s%s%s", stored.size ? ", taken from the database: " : "",
                stored.size ? stored.data : "",
                nowhere.size ? stored.size ? "; nor known to it: " : ", nor known to the database: " : "",
                nowhere.size ? nowhere.data : "", "");
    if (code == PG_OK && absent > 0)
        pg_info("%zu cell%s of %s have no results in the database: shown as new", absent, pg_plural((int64_t)absent),
                absent == 1 ? "it" : "these");
    pg_buf_release(&stored);
    pg_buf_release(&nowhere);
    return code;
}
