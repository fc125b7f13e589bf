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
    char finished[32]; /* the last of its cells */
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
    if (strcmp(known->finished, c->finished) > 0) /* the same form throughout */
        snprintf(c->finished, sizeof c->finished, "%s", known->finished);
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
        pg_buf_printf(&text, ", %" PRId64 " cell%s, the last of %.10s)", c->cells, pg_plural(c->cells), c->finished);
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

static bool is_among(const char *key, const char *const *keys)
{
    while (*keys && strcmp(*keys, key) != 0)
        keys++;
    return *keys;
}

typedef struct search {
    const pg_cell_builder *builder;
    const pg_toml_value **values;
    pg_cell *cell;
    const char *settings; /* of the row: the cell's own become those of what is found */
    bool found, window_known;
    pg_buf several; /* a line of a placeholder, and the values of it that match */
} search;

static bool is_option_of(const pg_module *module, const char *key)
{
    size_t length = strlen(module->name);
    return pg_module_is_placeholder(module) && strncmp(key, module->name, length) == 0 && key[length] == '.';
}

/* A line of settings or identity that a module which is not here would say. */
static bool is_of_placeholder(const pg_cell *c, const char *key)
{
    static const char *const of_attack[] = {"attack.plugin", "attack.version", NULL};
    static const char *const of_defense[] = {"defense.plugin", "defense.version", "votes", NULL};
    static const char *const of_both[] = {"attack.gradient", "attack.surrogate", NULL};
    const pg_attack *attack = c->forward->attack;
    bool no_defense = pg_module_is_placeholder(&c->defense->module),
         no_attack = attack && pg_module_is_placeholder(&attack->module);
    return is_option_of(&c->defense->module, key) || (attack && is_option_of(&attack->module, key)) ||
           (no_attack && is_among(key, of_attack)) || (no_defense && is_among(key, of_defense)) ||
           ((no_attack || no_defense) && is_among(key, of_both));
}

/* Whether a line of the identity says what cannot be known here. */
static bool is_unknown(const search *s, const char *key)
{
    const pg_cell *c = s->cell;
    bool options = !pg_model_find(c->forward->info.model) && strncmp(key, "model.", strlen("model.")) == 0;
    bool patches = c->forward->patches_where != PG_WHERE_HERE && pg_is_patches_hash(c->forward, key);
    bool outputs = !pg_forward_is_here(c->forward) && (strcmp(key, "label.outputs") == 0 || strcmp(key, "predict") == 0);
    return options || patches || outputs || (strcmp(key, "window") == 0 && !s->window_known) || is_of_placeholder(c, key);
}

static bool identities_agree(const search *s, const pg_setting *a, size_t n_a, const pg_setting *b, size_t n_b)
{
    size_t i = 0, k = 0;
    bool same = true;
    while (same && (i < n_a || k < n_b)) {
        if (i < n_a && is_unknown(s, a[i].key)) {
            i++;
        } else if (k < n_b && is_unknown(s, b[k].key)) {
            k++;
        } else {
            same = i < n_a && k < n_b && strcmp(a[i].key, b[k].key) == 0 && strcmp(a[i].value, b[k].value) == 0;
            i++;
            k++;
        }
    }
    return same;
}

/* Options of a placeholder that the row leaves out match any value. */
static bool settings_agree(const search *s, const pg_setting *row, size_t n_row, const pg_setting *cell, size_t n_cell)
{
    const pg_cell *c = s->cell;
    bool same = true;
    size_t shared = 0;
    for (size_t i = 0; same && i < n_cell; i++) {
        const char *key = cell[i].key, *value = pg_settings_value(row, n_row, key);
        bool option =
            is_option_of(&c->defense->module, key) || (c->forward->attack && is_option_of(&c->forward->attack->module, key));
        shared += *value != '\0' || *cell[i].value == '\0';
        same = option ? !*value || pg_matrix_same_value(value, cell[i].value) : strcmp(value, cell[i].value) == 0;
    }
    return same && shared == n_row;
}

static int agree(const search *s, bool (*lists)(const search *, const pg_setting *, size_t, const pg_setting *, size_t),
                 const char *ours, const char *theirs, bool *same)
{
    pg_setting *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0;
    int code = pg_settings_parse(&ours, 1, &a, &n_a);
    if (code == PG_OK)
        code = pg_settings_parse(&theirs, 1, &b, &n_b);
    *same = code == PG_OK && lists(s, a, n_a, b, n_b);
    free(a);
    free(b);
    return code;
}

/* Records a line of a placeholder in which a second cell, of other options or another build, differs. */
static int tell_apart(search *s, const pg_setting *facts, size_t n)
{
    pg_setting *first = NULL;
    size_t n_first = 0;
    const char *text = s->cell->canonical;
    int code = pg_settings_parse(&text, 1, &first, &n_first);
    for (size_t i = 0; code == PG_OK && s->several.size == 0 && i < n_first; i++) {
        const char *key = first[i].key, *other = pg_settings_value(facts, n, key);
        if ((is_of_placeholder(s->cell, key) || pg_is_patches_hash(s->cell->forward, key)) &&
            strcmp(first[i].value, other) != 0)
            pg_buf_printf(&s->several, "%s %.12s and %.12s", key, first[i].value, other);
    }
    free(first);
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
static int take_texts(const pg_setting *facts, size_t n, const pg_known_cell *known, bool window_known, pg_cell *c)
{
    const char *const from[] = {known->cell.canonical, known->cell.settings, known->cell.details};
    char **const to[] = {&c->canonical, &c->settings, &c->details};
    bool good = true;
    for (int i = 0; i < 3; i++) {
        char *copy = strdup(from[i]);
        good = good && copy;
        free(*to[i]);
        *to[i] = copy;
    }
    memcpy(c->id, known->cell.cell_id, sizeof c->id);
    if (!window_known) {
        read_size(pg_settings_value(facts, n, "window"), &c->window.height, &c->window.width);
        read_size(pg_settings_value(facts, n, "affected.px"), &c->affected_height, &c->affected_width);
    }
    return good ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
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
    int code = pg_settings_parse(texts, 2, &facts, &n);
    if (code == PG_OK)
        code = agree(s, settings_agree, s->settings, known->cell.settings, &same);
    if (code == PG_OK && same) {
        take_locality(facts, n, known, &trial);
        code = pg_cell_canonical(s->builder, s->values, &trial, &canonical, id);
    }
    if (code == PG_OK && same)
        code = agree(s, identities_agree, canonical, known->cell.canonical, &same);
    if (code == PG_OK && same && s->found)
        code = tell_apart(s, facts, n);
    bool larger = known->cell.has_delta && (!c->has_delta || known->cell.delta >= c->delta);
    if (code == PG_OK && same && (!s->found || larger || !c->has_delta)) {
        *c = trial;
        s->found = true;
        code = take_texts(facts, n, known, s->window_known, c);
    }
    free(canonical);
    free(facts);
    return code;
}

/* The row may lack options of a placeholder, so settings do not find its cells. */
static int each_candidate(search *of)
{
    const pg_cell *c = of->cell;
    const pg_attack *attack = c->forward->attack;
    if (pg_module_is_placeholder(&c->defense->module))
        return pg_store_each_with(of->builder->store, "defense", c->defense->module.name, try_cell, of);
    if (attack && pg_module_is_placeholder(&attack->module))
        return pg_store_each_with(of->builder->store, "attack", attack->module.name, try_cell, of);
    return pg_store_each_alike(of->builder->store, of->settings, try_cell, of);
}

int pg_cell_builder_stored(pg_cell_builder *s, const pg_toml_value **values, pg_cell *cell, bool *ok, bool *found)
{
    search of = {
        .builder = s, .values = values, .cell = cell, .window_known = cell->window.height > 0, .several = PG_BUF_EMPTY};
    bool nowhere = cell->forward->data_where == PG_WHERE_NOWHERE || cell->forward->weights_where == PG_WHERE_NOWHERE;
    char *settings = strdup(cell->settings);
    of.settings = settings;
    int code = !settings ? pg_fail(PG_ENOMEM, "out of memory") : nowhere ? PG_OK : each_candidate(&of);
    *found = code == PG_OK && of.found;
    if (code == PG_OK && of.several.size > 0) {
        const pg_forward *f = cell->forward;
        if (f->attack && f->patches_where != PG_WHERE_HERE && !pg_module_is_placeholder(&cell->defense->module))
            pg_problem(s->problems, pg_row_line(s, values, PG_KEY_ATTACK), "attack",
                       "%s is not here, and the database has results of several contents of that name: %s; bring the file here",
                       f->attack->patches(f->attack_config), of.several.data);
        else
            pg_problem(
                s->problems, pg_row_line(s, values, PG_KEY_DEFENSE), "defense",
                "%s is not in this program, and the database has cells of it with %s: choose an option by -S, or load the "
                "plug-in with --plugin FILE",
                pg_module_is_placeholder(&cell->defense->module) ? cell->defense->module.name
                                                                 : cell->forward->attack->module.name,
                of.several.data);
        *ok = false;
    }
    if (code == PG_OK)
        code = pg_buf_check(&of.several);
    pg_buf_release(&of.several);
    free(settings);
    return code;
}

/* ---- Messages ---- */

/* The line that names a file. */
static int line_of(const pg_cell_builder *s, const pg_seen_file *f)
{
    static const pg_key_id keys[] = {
        [PG_FILE_DATASET] = PG_KEY_DATASET, [PG_FILE_WEIGHTS] = PG_KEY_WEIGHTS, [PG_FILE_PATCHES] = PG_KEY_ATTACK};
    int k = s->key_of[keys[f->role]];
    for (size_t i = 0; k >= 0 && i < s->matrix->keys[k].n; i++)
        if (strcmp(s->matrix->keys[k].values[i].text, f->name) == 0)
            return s->matrix->keys[k].values[i].line;
    return 1;
}

enum { NAMED = 3 };

static const char *const roles[] = {"data set", "weights", "patches"};

/* "data set cifar10:test, weights a.safetensors and 4 more" */
static void name_files(const pg_cell_builder *s, pg_where where, pg_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_files; i++) {
        const pg_seen_file *f = s->files[i];
        if (f->where == where && n++ < NAMED)
            pg_buf_printf(out, "%s%s %s%s%s%s", n > 1 ? ", " : "", roles[f->role], f->name, *f->hash ? " (" : "", f->hash,
                          *f->hash ? ")" : "");
    }
    for (size_t i = 0; where == PG_WHERE_STORE && i < s->n_placeholders; i++)
        if (n++ < NAMED)
            pg_buf_printf(out, "%splug-in of %s", n > 1 ? ", " : "", s->placeholders[i]->name);
    if (n > NAMED)
        pg_buf_printf(out, " and %zu more", n - NAMED);
}

/* Weights of the store whose file has the same name as one that nobody knows. */
typedef struct namesakes {
    const char *name;
    pg_buf found;
} namesakes;

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int keep_namesake(const char *key, const char *value, void *context)
{
    namesakes *n = context;
    (void)key;
    if (strcmp(base_of(value), base_of(n->name)) == 0)
        pg_buf_printf(&n->found, "%s%s", n->found.size ? ", " : "", value);
    return PG_OK;
}

/* "; it has results of a/net.safetensors: -S weights=a/net.safetensors shows them" */
static int add_namesakes(const pg_cell_builder *s, const pg_seen_file *f, pg_buf *out)
{
    namesakes n = {f->name, PG_BUF_EMPTY};
    int code = f->role == PG_FILE_WEIGHTS ? pg_store_each_value(s->store, "weights", keep_namesake, &n) : PG_OK;
    if (code == PG_OK && n.found.size)
        pg_buf_printf(out, "; it has results of %s, which -S weights=... shows", n.found.data);
    if (code == PG_OK)
        code = pg_buf_check(&n.found);
    pg_buf_release(&n.found);
    return code;
}

static const char *const roles_of_keys[] = {"dataset", "weights", "attack"};

/* A file that is not here, and of which nothing is stored, is among the problems. */
static int refuse_file(const pg_cell_builder *s, const pg_seen_file *f)
{
    pg_buf more = PG_BUF_EMPTY;
    int code = f->where == PG_WHERE_NOWHERE ? add_namesakes(s, f, &more) : PG_OK;
    if (code == PG_OK)
        code = pg_buf_check(&more);
    if (code == PG_OK)
        pg_problem(s->problems, line_of(s, f), roles_of_keys[f->role], "%s, and the database has no results of these cells%s",
                   f->why, more.data ? more.data : "");
    pg_buf_release(&more);
    return code;
}

int pg_cell_builder_tell(const pg_cell_builder *s, size_t absent, bool nothing)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && nothing && i < s->n_files; i++)
        if (s->files[i]->where != PG_WHERE_HERE)
            code = refuse_file(s, s->files[i]);
    if (code != PG_OK || nothing)
        return code != PG_OK ? code : pg_buf_check(&s->problems->text);
    pg_buf stored = PG_BUF_EMPTY, nowhere = PG_BUF_EMPTY;
    name_files(s, PG_WHERE_STORE, &stored);
    name_files(s, PG_WHERE_NOWHERE, &nowhere);
    code = pg_buf_check(&stored) != PG_OK ? PG_ENOMEM : pg_buf_check(&nowhere);
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
