/* Keys and single values of a matrix: what is known, what is in range. Rows are resolved in cells.c. See keys.h. */
#include "harness/plan/keys.h"

#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/plan/modules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const pg_key pg_keys[PG_KEYS + 1] = {
    [PG_KEY_ATTACK] = {"attack", "none", "none (clean images and certificates), or a name of `patchgauge list attacks`"},
    [PG_KEY_BATCH] = {"batch", PG_STRING(PG_BATCH_DEFAULT), "images of a forward pass, 1 to 4096"},
    [PG_KEY_DATASET] = {"dataset", NULL, "NAME:SPLIT, as in `patchgauge list datasets`; NAME:SPLIT@SIZE resizes its images"},
    [PG_KEY_DATASET_HASH] = {"dataset.hash", "", "the content that is meant, by the first digits of its hash, 4 or more"},
    [PG_KEY_DEFENSE] = {"defense", NULL, "a name of `patchgauge list defenses`"},
    [PG_KEY_DELTA] = {"delta", "place",
                      "place or any-batch: certificates for an image at its place of a batch, or wherever it stands in one"},
    [PG_KEY_DTYPE] = {"dtype", "fp32", "fp32 or bf16"},
    [PG_KEY_IMAGES] = {"images", "", "FIRST:END, images FIRST to END - 1 of the split"},
    [PG_KEY_OUTPUTS] = {"outputs", "names",
                        "the output of the network for each label: names (by the classes that the weights store), numbers (\"0 "
                        "217 482\"), or a file with a line for each label"},
    [PG_KEY_PATCH] = {"patch", NULL, "pixels (5), height x width (5x8) or a share of the image (2.4%, a square: of 32 px 5x5)"},
    [PG_KEY_PATCH_SPACE] = {"patch-space", "image", "image or network: the patch is applied before or after a resize"},
    [PG_KEY_PREDICT] = {"predict", "all",
                        "all or dataset: one of all outputs of the network is predicted, or one of those that are labels"},
    [PG_KEY_SEED] = {"seed", "0", "a whole number from 0"},
    [PG_KEY_WEIGHTS] = {"weights", NULL, "a weights file, or null for the built-in null model"},
    [PG_KEY_WEIGHTS_HASH] = {"weights.hash", "", "the same of the weights file"},
};

static const char *const deltas[] = {"place", "any-batch", NULL};
const char *const pg_predicts[] = {"all", [PG_PREDICT_DATASET] = "dataset", NULL};
static const char *const patch_spaces[] = {"image", "network", NULL};

void pg_plan_keys_help(pg_buf *text)
{
    for (const pg_key *key = pg_keys; key->name; key++) {
        pg_buf_printf(text, "  %-12s %s ", key->name, key->help);
        if (!key->fallback)
            pg_buf_puts(text, "(required)\n");
        else
            pg_buf_printf(text, "(default %s)\n", *key->fallback ? key->fallback : "all");
    }
}

/* ---- Names ---- */

enum { NAMES_MAX = 256 };

static size_t module_names(const char **names)
{
    size_t n = 0;
    for (const pg_module_kind *k = pg_module_kinds; k->name; k++)
        for (int i = 0; k->at(i) && n < NAMES_MAX; i++)
            names[n++] = k->at(i)->name;
    names[n] = NULL;
    return n;
}

static int find_key(const char *name)
{
    for (int i = 0; i < PG_KEYS; i++)
        if (strcmp(pg_keys[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- Values ---- */

/* The side of the square for a share of `ppm` / 10^8 of an image, exact: both products are below 2^63 on images of up to
 * PG_SIDE_MAX^2 pixels. */
static int side_of_share(int64_t ppm, int64_t pixels)
{
    int64_t side = 1;
    while (side * side * INT64_C(10000000000) < INT64_C(97) * ppm * pixels)
        side++;
    while ((side + 1) * (side + 1) * INT64_C(100000000) <= ppm * pixels)
        side++;
    return (int)side;
}

int pg_patch_parse(const char *text, int height, int width, int *patch_height, int *patch_width)
{
    size_t length = strlen(text);
    if (length > 1 && text[length - 1] == '%' && length < 16) {
        char number[16];
        int64_t ppm;
        memcpy(number, text, length - 1);
        number[length - 1] = 0;
        if (pg_parse_ppm(number, &ppm) != PG_OK || ppm <= 0 || ppm > 100000000)
            return pg_fail(PG_EINPUT, "patch \"%s\": a share is more than 0%% and at most 100%%, with at most 6 decimals",
                           text);
        *patch_height = *patch_width = side_of_share(ppm, (int64_t)height * width);
    } else if (pg_parse_size(text, patch_height, patch_width) != PG_OK) {
        return pg_fail(PG_EINPUT, "patch \"%s\": write pixels (5), height x width (5x8) or a share of the image (2.4%%)", text);
    }
    if (*patch_height > height || *patch_width > width)
        return pg_fail(PG_EINPUT, "patch \"%s\" (%d x %d pixels) is larger than the image (%d x %d)", text, *patch_height,
                       *patch_width, height, width);
    return PG_OK;
}

static void check_choice(pg_cell_builder *s, const pg_toml_value *v, const char *key, const char *const *choices)
{
    pg_buf list = PG_BUF_EMPTY;
    for (int i = 0; choices[i]; i++) {
        if (strcmp(choices[i], v->text) == 0) {
            pg_buf_release(&list);
            return;
        }
        pg_buf_printf(&list, "%s%s", i ? ", " : "", choices[i]);
    }
    const char *near = pg_nearest(v->text, choices);
    pg_problem(s->problems, v->line, key, "%s \"%s\" is none of %s%s%s%s", key, v->text, list.data,
               near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    pg_buf_release(&list);
}

static void check_int(pg_cell_builder *s, const pg_toml_value *v, const char *key, int64_t most, int64_t least)
{
    int64_t value;
    if (pg_parse_int(v->text, &value) != PG_OK || value < least || value > most)
        pg_problem(s->problems, v->line, key, "%s \"%s\": a whole number from %lld to %lld is needed", key, v->text,
                   (long long)least, (long long)most);
}

static void check_images(pg_cell_builder *s, const pg_toml_value *v)
{
    char *colon = strchr(v->text, ':');
    int64_t first = 0, end = 0;
    bool good = colon != NULL;
    if (good) {
        *colon = 0;
        good = pg_parse_int(v->text, &first) == PG_OK && pg_parse_int(colon + 1, &end) == PG_OK && first >= 0 && end > first;
        *colon = ':';
    }
    if (!good)
        pg_problem(s->problems, v->line, "images", "images \"%s\": write FIRST:END with 0 <= FIRST < END", v->text);
}

static void check_defense(pg_cell_builder *s, const pg_toml_value *v)
{
    if (!pg_cell_builder_defense(s, v->text))
        pg_problem(s->problems, v->line, "defense", "%s", pg_error_message());
}

static void check_hash(pg_cell_builder *s, const char *key, const pg_toml_value *v)
{
    size_t length = strlen(v->text);
    if (length < 4 || length >= PG_HASH_HEX || strspn(v->text, "0123456789abcdef") != length)
        pg_problem(s->problems, v->line, key, "%s \"%s\": 4 to 64 of the digits 0 to 9 and a to f are needed", key, v->text);
}

static bool is_given(const pg_cell_builder *s, pg_key_id id)
{
    bool given = false;
    for (size_t k = 0; k < s->matrix->n_keys && !given; k++)
        given = strcmp(s->matrix->keys[k].key, pg_keys[id].name) == 0;
    return given;
}

static void check_known_value(pg_cell_builder *s, pg_key_id id, const pg_toml_value *v)
{
    int height, width;
    switch (id) {
    case PG_KEY_ATTACK:
        if (strcmp(v->text, "none") != 0 && !pg_cell_builder_attack_named(s, v->text))
            pg_problem(s->problems, v->line, "attack", "%s", pg_error_message());
        break;
    case PG_KEY_BATCH:
        check_int(s, v, "batch", 4096, 1);
        break;
    case PG_KEY_DEFENSE:
        check_defense(s, v);
        break;
    case PG_KEY_DELTA:
        check_choice(s, v, "delta", deltas);
        break;
    case PG_KEY_DTYPE:
        check_choice(s, v, "dtype", pg_dtype_names);
        break;
    case PG_KEY_IMAGES:
        check_images(s, v);
        break;
    case PG_KEY_PATCH:
        if (pg_patch_parse(v->text, PG_SIDE_MAX, PG_SIDE_MAX, &height, &width) != PG_OK)
            pg_problem(s->problems, v->line, "patch", "%s", pg_error_message());
        break;
    case PG_KEY_PATCH_SPACE:
        check_choice(s, v, "patch-space", patch_spaces);
        break;
    case PG_KEY_PREDICT:
        check_choice(s, v, "predict", pg_predicts);
        break;
    case PG_KEY_SEED:
        check_int(s, v, "seed", INT64_MAX, 0);
        break;
    case PG_KEY_DATASET: /* with a hash it is looked at with its row */
        if (!is_given(s, PG_KEY_DATASET_HASH) && !pg_cell_builder_dataset(s, v->text, ""))
            pg_problem(s->problems, v->line, "dataset", "%s", pg_error_message());
        break;
    case PG_KEY_WEIGHTS:
        if (!is_given(s, PG_KEY_WEIGHTS_HASH) && !pg_cell_builder_weights(s, v->text, ""))
            pg_problem(s->problems, v->line, "weights", "%s", pg_error_message());
        break;
    case PG_KEY_DATASET_HASH:
    case PG_KEY_WEIGHTS_HASH:
        check_hash(s, pg_keys[id].name, v);
        break;
    default:
        break;
    }
}

/* "MODULE.option": the module's own table decides. */
static void check_option(pg_cell_builder *s, const pg_matrix_key *key)
{
    const char *dot = strrchr(key->key, '.'), *kind = "", *names[NAMES_MAX + 1];
    char *name = strndup(key->key, (size_t)(dot - key->key));
    if (!name) { /* which the check of the problems says */
        s->problems->text.failed = true;
        return;
    }
    const pg_module *module = pg_modules_find(name, &kind);
    _Alignas(max_align_t) unsigned char config[PG_CONFIG_MAX] = {0};
    if (!module && pg_cell_builder_has_placeholder(s, name)) { /* what it takes is not known */
        free(name);
        return;
    }
    if (!module) {
        module_names(names);
        const char *near = pg_nearest(name, names);
        pg_problem(s->problems, key->line, key->key, "unknown module \"%s\" in \"%s\"%s%s%s", name, key->key,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        free(name);
        return;
    }
    char owner[160];
    snprintf(owner, sizeof owner, "%s %s", kind, module->name);
    pg_options_defaults(module->options, config);
    for (size_t i = 0; i < key->n; i++)
        if (pg_options_set(module->options, config, owner, dot + 1, key->values[i].text) != PG_OK)
            pg_problem(s->problems, key->values[i].line, key->key, "%s", pg_error_message());
    free(name);
}

static void check_key(pg_cell_builder *s, size_t index)
{
    const pg_matrix_key *key = &s->matrix->keys[index];
    int id = find_key(key->key);
    if (id >= 0) {
        s->key_of[id] = (int)index;
        for (size_t i = 0; i < key->n; i++)
            check_known_value(s, (pg_key_id)id, &key->values[i]);
    } else if (strchr(key->key, '.')) {
        check_option(s, key);
    } else {
        const char *names[PG_KEYS + 1] = {0};
        for (int i = 0; i < PG_KEYS; i++)
            names[i] = pg_keys[i].name;
        const char *near = pg_nearest(key->key, names);
        pg_problem(s->problems, key->line, key->key, "unknown key \"%s\"%s%s%s; options of modules are written MODULE.option",
                   key->key, near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

static void check_excluded_key(pg_cell_builder *s, const pg_toml_entry *e)
{
    const pg_matrix *m = s->matrix;
    const char **names = calloc(m->n_keys + 1, sizeof *names);
    for (size_t k = 0; names && k < m->n_keys; k++)
        names[k] = m->keys[k].key;
    const char *near = names ? pg_nearest(e->key, names) : NULL;
    pg_problem(s->problems, e->line, e->key, "[[exclude]] names \"%s\", which the matrix does not set%s%s%s", e->key,
               near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    free(names);
}

/* Values of a key are those in force and those of the file: -S leaves a rule of the file right. */
static size_t values_of(const pg_matrix *m, const char *key, const char **out)
{
    size_t n = 0;
    for (size_t k = 0; k < m->n_keys; k++)
        for (size_t i = 0; strcmp(m->keys[k].key, key) == 0 && i < m->keys[k].n; i++, n++)
            if (out)
                out[n] = m->keys[k].values[i].text;
    for (size_t j = 0; j < m->toml.n; j++) {
        const pg_toml_entry *e = &m->toml.entries[j];
        bool counts = strcmp(e->section, "exclude") != 0 && strcmp(e->key, key) == 0;
        for (size_t i = 0; counts && i < e->n; i++, n++)
            if (out)
                out[n] = e->values[i].text;
    }
    return n;
}

static void check_excluded_values(pg_cell_builder *s, const pg_toml_entry *e, const char **values, size_t n)
{
    for (size_t i = 0; i < e->n; i++) {
        bool found = false;
        for (size_t k = 0; k < n; k++)
            found |= pg_matrix_same_value(values[k], e->values[i].text);
        if (found)
            continue;
        const char *near = pg_nearest(e->values[i].text, values);
        pg_problem(s->problems, e->values[i].line, e->key, "[[exclude]]: the matrix has no %s \"%s\"; %s \"%s\"%s", e->key,
                   e->values[i].text, near ? "did you mean" : "it has", near ? near : values[0],
                   near    ? "?"
                   : n > 1 ? ", ..."
                           : "");
    }
}

/* A rule that can match no row would silently exclude nothing. */
static void check_excludes(pg_cell_builder *s)
{
    const pg_matrix *m = s->matrix;
    for (size_t i = 0; i < m->toml.n; i++) {
        const pg_toml_entry *e = &m->toml.entries[i];
        if (strcmp(e->section, "exclude") != 0)
            continue;
        size_t n = values_of(m, e->key, NULL);
        const char **values = calloc(n + 1, sizeof *values);
        if (values)
            values_of(m, e->key, values);
        if (!*e->key)
            pg_problem(s->problems, e->line, e->key, "[[exclude]] is empty; write KEY = VALUE under it");
        else if (n == 0)
            check_excluded_key(s, e);
        else if (e->n == 0)
            pg_problem(s->problems, e->line, e->key, "[[exclude]]: \"%s\" is an empty list, which matches nothing", e->key);
        else if (values)
            check_excluded_values(s, e, values, n);
        free(values);
    }
}

int pg_cell_builder_init(pg_cell_builder *s, const pg_plan_request *request, const pg_matrix *matrix, pg_problems *problems)
{
    *s = (pg_cell_builder){.data_dir = request->data_dir, .store = request->store, .matrix = matrix, .problems = problems};
    for (int i = 0; i < PG_KEYS; i++)
        s->key_of[i] = -1;
    for (size_t i = 0; i < matrix->n_keys; i++)
        check_key(s, i);
    check_excludes(s);
    for (int i = 0; i < PG_KEYS; i++)
        if (s->key_of[i] < 0 && !pg_keys[i].fallback)
            pg_problem(problems, 1, pg_keys[i].name, "\"%s\" is missing: %s", pg_keys[i].name, pg_keys[i].help);
    return pg_buf_check(&problems->text);
}

/* ---- Files ---- */

/* The one that was looked at; `like` has role, name, hash and size of images. */
static pg_seen_file *find_file(const pg_cell_builder *s, const pg_seen_file *like)
{
    for (size_t i = 0; i < s->n_files; i++) {
        pg_seen_file *f = s->files[i];
        if (f->role == like->role && f->image_height == like->image_height && f->image_width == like->image_width &&
            strcmp(f->name, like->name) == 0 && strcmp(f->hash, like->hash) == 0)
            return f;
    }
    return NULL;
}

static void free_file(pg_seen_file *f)
{
    if (!f)
        return;
    free(f->name);
    free(f->hash);
    free(f->why);
    pg_patches_free(f->patches);
    pg_classes_release(&f->classes);
    free(f);
}

static int open_file(const pg_cell_builder *s, pg_seen_file *f)
{
    if (f->role == PG_FILE_PATCHES)
        return pg_patches_open(f->name, f->image_height, f->image_width, &f->patches);
    if (f->role == PG_FILE_WEIGHTS) {
        int code = pg_weights_describe(f->name, NULL, 0, &f->weights);
        if (code == PG_OK)
            code = pg_classes_of(f->name, &f->classes);
        if (code == PG_OK && f->weights.measured_of_another)
            pg_warn("%s.locality is of other weights: nothing is taken from it; `patchgauge model measure` writes a new one",
                    f->name);
        return code;
    }
    pg_dataset *dataset = NULL;
    int code = pg_dataset_open(s->data_dir, f->name, &dataset);
    if (code == PG_OK) {
        f->dataset = *pg_dataset_info_of(dataset);
        code = pg_classes_of_dataset(&f->dataset, &f->classes);
        f->dataset.class_names = NULL;
    }
    pg_dataset_close(dataset);
    return code;
}

/* One that is here, but with another hash than is asked for, is not the one. */
static int check_hash_of(const pg_seen_file *f)
{
    const char *hash = f->role == PG_FILE_WEIGHTS ? f->weights.hash : f->dataset.hash;
    if (strncmp(hash, f->hash, strlen(f->hash)) == 0)
        return PG_OK;
    return pg_fail(PG_EMISSING, "%s: its hash is %.16s, and %s is asked for", f->name, hash, f->hash);
}

/* Whether the store knows it, where it could not be opened for this reason: the message is recorded. A name that is wrong
 * everywhere is no file that lies elsewhere. */
static int look_in_store(const pg_cell_builder *s, int opening, pg_seen_file *f)
{
    bool found = false;
    f->where = PG_WHERE_NOWHERE;
    f->why = strdup(pg_error_message());
    if (!s->store || !f->why || (opening != PG_EMISSING && opening != PG_EINPUT))
        return opening;
    if (f->role ==
        PG_FILE_PATCHES) { /* the stored cell with these settings tells their hash; other faults are of a file that is here */
        f->where = PG_WHERE_STORE;
        return opening == PG_EMISSING ? PG_OK : opening;
    }
    int code = f->role == PG_FILE_WEIGHTS ? pg_stored_weights(s->store, f->name, f->hash, &f->weights, &found)
                                          : pg_stored_dataset(s->store, f->name, f->hash, &f->dataset, &found);
    if (code == PG_OK && found)
        f->where = PG_WHERE_STORE;
    return code != PG_OK || found || opening == PG_EMISSING ? code : pg_fail(opening, "%s", f->why);
}

static const pg_seen_file *look_at(pg_cell_builder *s, pg_seen_file like)
{
    pg_seen_file *f = find_file(s, &like);
    if (f)
        return f;
    pg_seen_file **grown = realloc(s->files, (s->n_files + 1) * sizeof *grown);
    s->files = grown ? grown : s->files;
    f = calloc(1, sizeof *f);
    if (f) {
        *f = like;
        f->name = strdup(like.name);
        f->hash = strdup(like.hash);
    }
    int code = grown && f && f->name && f->hash ? open_file(s, f) : pg_fail(PG_ENOMEM, "out of memory");
    bool null = like.role == PG_FILE_WEIGHTS && strcmp(like.name, "null") == 0;
    if (code == PG_OK && !null && like.role != PG_FILE_PATCHES)
        code = check_hash_of(f);
    if (code == PG_EMISSING || code == PG_EINPUT)
        code = look_in_store(s, code, f);
    if (code != PG_OK) {
        free_file(f);
        return NULL;
    }
    return s->files[s->n_files++] = f;
}

const pg_seen_file *pg_cell_builder_dataset(pg_cell_builder *s, const char *spec, const char *hash)
{
    return look_at(s, (pg_seen_file){.name = (char *)spec, .hash = (char *)hash, .role = PG_FILE_DATASET});
}

const pg_seen_file *pg_cell_builder_weights(pg_cell_builder *s, const char *weights, const char *hash)
{
    return look_at(s, (pg_seen_file){.name = (char *)weights, .hash = (char *)hash, .role = PG_FILE_WEIGHTS});
}

const pg_seen_file *pg_cell_builder_patches(pg_cell_builder *s, const char *path, int image_height, int image_width)
{
    return look_at(s, (pg_seen_file){.name = (char *)path,
                                     .hash = "",
                                     .role = PG_FILE_PATCHES,
                                     .image_height = image_height,
                                     .image_width = image_width});
}

void pg_pairs_free(char **pairs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(pairs[i]);
}

void pg_forward_free(pg_forward *f)
{
    if (!f)
        return;
    free(f->canonical);
    free(f->dataset);
    free(f->weights);
    pg_pairs_free(f->model_pairs, f->n_model_pairs);
    free(f->model_pairs);
    free(f->outputs);
    free(f->attack_config);
    free(f->config);
    free(f);
}

void pg_cell_builder_release(pg_cell_builder *s)
{
    for (size_t i = 0; i < s->n_files; i++)
        free_file(s->files[i]);
    for (size_t i = 0; s->forwards && i < s->n_forwards; i++)
        pg_forward_free(s->forwards[i]);
    pg_forward_name *name, *next;
    HASH_ITER(hh, s->names, name, next)
    {
        HASH_DEL(s->names, name);
        free(name);
    }
    free(s->files);
    free(s->forwards);
    *s = (pg_cell_builder){0};
}
