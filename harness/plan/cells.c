/* One row of a matrix becomes a cell: its forward pass, its defense, its window, its identity. See settle.h and plan.h.
 *
 * Identity is text: "key=value" lines in sorted order, with content hashes where the user wrote names, every option of the
 * modules in use with its settled value, and module versions. Options of other modules, names and times are not in it, so cells
 * that differ only there are the same cell. */
#include "harness/plan/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_MAX = 64 };

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

int pg_lines_sort(pg_buf *text)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < text->size; i++)
        n += text->data[i] == '\n';
    char *copy = malloc(text->size + 1), **lines = malloc((n + 1) * sizeof *lines);
    if (pg_buf_check(text) != PG_OK || !copy || !lines) {
        free(copy);
        free(lines);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    memcpy(copy, text->data, text->size + 1);
    for (char *line = copy; at < n; at++) {
        lines[at] = line;
        line += strcspn(line, "\n");
        *line++ = 0;
    }
    qsort(lines, n, sizeof *lines, by_text);
    pg_buf_clear(text);
    for (size_t i = 0; i < n; i++) {
        pg_buf_puts(text, lines[i]);
        pg_buf_puts(text, "\n");
    }
    free(copy);
    free(lines);
    return pg_buf_check(text);
}

/* The value of a known key in this row, or its default. */
static const char *value_of(const pg_settler *s, const pg_toml_value **values, pg_key_id id)
{
    int k = s->key_of[id];
    return k >= 0 ? values[k]->text : pg_keys[id].fallback;
}

static int line_of(const pg_settler *s, const pg_toml_value **values, pg_key_id id)
{
    int k = s->key_of[id];
    return k >= 0 ? values[k]->line : 1;
}

/* "option=value" for every key "MODULE.option" of the row; *new* strings. */
static int module_pairs(const pg_settler *s, const pg_toml_value **values, const char *module, char **pairs, size_t *n)
{
    size_t length = strlen(module);
    *n = 0;
    for (size_t k = 0; k < s->matrix->n_keys && *n < PAIRS_MAX; k++) {
        const char *key = s->matrix->keys[k].key;
        if (strncmp(key, module, length) != 0 || key[length] != '.')
            continue;
        if (asprintf(&pairs[*n], "%s=%s", key + length + 1, values[k]->text) < 0)
            return pg_fail(PG_ENOMEM, "out of memory");
        ++*n;
    }
    return PG_OK;
}

static void free_pairs(char **pairs, size_t n)
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
    free_pairs(f->model_pairs, f->n_model_pairs);
    free(f->model_pairs);
    free(f);
}

void pg_cell_release(pg_cell *c)
{
    free(c->canonical);
    free(c->settings);
    free(c->details);
    free(c->values);
    free(c->config);
    *c = (pg_cell){0};
}

/* ---- Forward passes ---- */

static void forward_text(const pg_forward *f, pg_buf *out)
{
    const pg_model *model = pg_model_find(f->info.model);
    pg_settings_add(out, "attack", "none");
    pg_buf_printf(out, "batch=%d\n", f->batch);
    pg_buf_printf(out, "dataset.hash=%s\n", f->dataset_hash);
    pg_settings_add(out, "dataset.split", f->dataset_split);
    pg_buf_printf(out, "dtype=%s\n", f->dtype == PG_DTYPE_BF16 ? "bf16" : "fp32");
    pg_settings_add(out, "model", f->info.model);
    pg_buf_printf(out, "model.version=%d\n", f->info.model_version);
    pg_buf_printf(out, "weights.hash=%s\n", f->info.hash);
    if (model)
        pg_options_canonical(model->module.options, f->info.config, "model.", true, out);
}

static int seal_forward(pg_forward *f)
{
    pg_buf text;
    pg_buf_init(&text);
    forward_text(f, &text);
    int code = pg_lines_sort(&text);
    if (code == PG_OK)
        code = pg_hash_bytes(text.data, text.size, f->id);
    f->canonical = pg_buf_take(&text);
    pg_buf_release(&text);
    return code == PG_OK && !f->canonical ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

/* Sizes and classes of model and data set have to agree: nothing is resized here. */
static bool check_fit(pg_settler *s, const pg_toml_value **values, const pg_forward *f)
{
    const pg_geometry *g = &f->info.geometry;
    if (g->input_height != f->dataset_height || g->input_width != f->dataset_width) {
        pg_problem(s->problems, line_of(s, values, PG_KEY_WEIGHTS), "weights",
                   "%s takes images of %d x %d pixels, %s has %d x %d; this version does not resize", f->weights,
                   g->input_height, g->input_width, f->dataset, f->dataset_height, f->dataset_width);
        return false;
    }
    if (g->classes != f->dataset_classes) {
        pg_problem(s->problems, line_of(s, values, PG_KEY_WEIGHTS), "weights", "%s has %d classes, %s has %d", f->weights,
                   g->classes, f->dataset, f->dataset_classes);
        return false;
    }
    return true;
}

static int fill_forward(pg_settler *s, const pg_toml_value **values, pg_forward *f, bool *ok)
{
    const char *weights = value_of(s, values, PG_KEY_WEIGHTS), *dataset = value_of(s, values, PG_KEY_DATASET);
    const pg_dataset_info *data = pg_settler_dataset(s, dataset);
    const pg_weights_info *info = pg_settler_weights(s, weights);
    int64_t batch = 0;
    if (!data || !info || pg_parse_int(value_of(s, values, PG_KEY_BATCH), &batch) != PG_OK)
        return PG_ENOMEM; /* both were opened before; the message is recorded */
    f->model_pairs = calloc(PAIRS_MAX, sizeof *f->model_pairs);
    f->weights = strdup(weights);
    f->dataset = strdup(dataset);
    if (!f->model_pairs || !f->weights || !f->dataset)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = module_pairs(s, values, info->model, f->model_pairs, &f->n_model_pairs);
    if (code != PG_OK)
        return code;
    f->info = *info;
    if (f->n_model_pairs && strcmp(weights, "null") != 0) {
        pg_problem(s->problems, line_of(s, values, PG_KEY_WEIGHTS), "weights",
                   "options of model %s are part of %s and cannot be set by a matrix", info->model, weights);
        *ok = false;
    } else if (f->n_model_pairs &&
               pg_weights_describe(weights, (const char *const *)f->model_pairs, f->n_model_pairs, &f->info) != PG_OK) {
        pg_problem(s->problems, line_of(s, values, PG_KEY_WEIGHTS), "weights", "%s", pg_error_message());
        *ok = false;
    }
    f->batch = (int)batch;
    f->dtype = strcmp(value_of(s, values, PG_KEY_DTYPE), "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
    memcpy(f->dataset_hash, data->hash, sizeof f->dataset_hash);
    memcpy(f->dataset_split, data->split, sizeof f->dataset_split);
    f->dataset_images = data->images;
    f->dataset_height = data->height;
    f->dataset_width = data->width;
    f->dataset_classes = data->classes;
    *ok = *ok && check_fit(s, values, f);
    return PG_OK;
}

/* What the forward pass of a row depends on, as written: rows with the same text share it without being settled again. */
static char *forward_name(const pg_settler *s, const pg_toml_value **values)
{
    static const pg_key_id ids[] = {PG_KEY_DATASET, PG_KEY_WEIGHTS, PG_KEY_DTYPE, PG_KEY_BATCH};
    pg_buf name;
    pg_buf_init(&name);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        pg_settings_add(&name, pg_keys[ids[i]].name, value_of(s, values, ids[i]));
    for (size_t k = 0; k < s->matrix->n_keys; k++) { /* options of models */
        const char *dot = strrchr(s->matrix->keys[k].key, '.');
        for (size_t m = 0; dot && pg_models[m]; m++) {
            const char *model = pg_models[m]->module.name;
            size_t length = strlen(model);
            if ((size_t)(dot - s->matrix->keys[k].key) == length && strncmp(model, s->matrix->keys[k].key, length) == 0)
                pg_settings_add(&name, s->matrix->keys[k].key, values[k]->text);
        }
    }
    char *text = pg_buf_take(&name);
    pg_buf_release(&name);
    return text;
}

static int keep_forward(pg_settler *s, pg_forward *f, char *name)
{
    pg_forward **forwards = realloc(s->forwards, (s->n_forwards + 1) * sizeof *forwards);
    if (forwards)
        s->forwards = forwards;
    char **names = realloc(s->forward_names, (s->n_forwards + 1) * sizeof *names);
    if (names)
        s->forward_names = names;
    if (!forwards || !names)
        return pg_fail(PG_ENOMEM, "out of memory");
    s->forwards[s->n_forwards] = f;
    s->forward_names[s->n_forwards++] = name;
    return PG_OK;
}

static int find_forward(pg_settler *s, const pg_toml_value **values, const pg_forward **out, bool *ok)
{
    char *name = forward_name(s, values);
    if (!name)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = s->n_forwards; i-- > 0;) {
        if (strcmp(s->forward_names[i], name) == 0) {
            free(name);
            *out = s->forwards[i];
            *ok = s->forwards[i]->canonical != NULL;
            return PG_OK;
        }
    }
    pg_forward *f = calloc(1, sizeof *f);
    int code = f ? fill_forward(s, values, f, ok) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK && *ok)
        code = seal_forward(f);
    if (code == PG_OK)
        code = keep_forward(s, f, name); /* one that does not fit is kept too, unsealed, so that it is reported once */
    if (code != PG_OK) {
        pg_forward_free(f);
        free(name);
        return code;
    }
    *out = f;
    return PG_OK;
}

/* ---- Cells ---- */

static int settle_defense(pg_settler *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    c->defense = pg_defense_find(value_of(s, values, PG_KEY_DEFENSE));
    char *pairs[PAIRS_MAX];
    size_t n = 0, size = c->defense ? c->defense->module.config_size : 0;
    c->config = calloc(1, size ? size : 1);
    if (!c->defense || !c->config)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = module_pairs(s, values, c->defense->module.name, pairs, &n);
    if (code == PG_OK &&
        pg_module_configure(&c->defense->module, "defense", (const char *const *)pairs, n, c->config) != PG_OK) {
        pg_problem(s->problems, line_of(s, values, PG_KEY_DEFENSE), "defense", "%s", pg_error_message());
        *ok = false;
    }
    free_pairs(pairs, n);
    return code;
}

static void settle_patch(pg_settler *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    const pg_forward *f = c->forward;
    const pg_geometry *g = &f->info.geometry;
    /* Model and data set have the same size here, so the patch of an attacker behind the resize is the same patch. */
    if (pg_patch_parse(value_of(s, values, PG_KEY_PATCH), f->dataset_height, f->dataset_width, &c->patch_height,
                       &c->patch_width) != PG_OK) {
        pg_problem(s->problems, line_of(s, values, PG_KEY_PATCH), "patch", "%s", pg_error_message());
        *ok = false;
        return;
    }
    c->window.height = pg_axis_window(&g->rows, g->input_height, c->patch_height);
    c->window.width = pg_axis_window(&g->columns, g->input_width, c->patch_width);
    c->has_delta = pg_locality_covers(&f->info.locality, f->dtype, f->batch);
    if (c->defense->check && c->defense->check(c->config, g->rows.positions, g->columns.positions, g->classes) != PG_OK) {
        pg_problem(s->problems, line_of(s, values, PG_KEY_DEFENSE), "defense", "defense %s on %s: %s", c->defense->module.name,
                   f->weights, pg_error_message());
        *ok = false;
        return;
    }
    pg_evidence_spec spec;
    c->defense->evidence(c->config, &spec);
    c->delta = c->has_delta ? pg_evidence_delta(&spec, f->info.locality.delta_grid) : 0;
}

static void settle_images(pg_settler *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    const char *text = value_of(s, values, PG_KEY_IMAGES);
    int64_t first = 0, end = c->forward->dataset_images;
    if (*text) {
        char copy[64];
        snprintf(copy, sizeof copy, "%s", text);
        char *colon = strchr(copy, ':');
        if (colon)
            *colon = 0;
        if (!colon || pg_parse_int(copy, &first) != PG_OK || pg_parse_int(colon + 1, &end) != PG_OK ||
            end > c->forward->dataset_images) {
            pg_problem(s->problems, line_of(s, values, PG_KEY_IMAGES), "images", "images \"%s\": %s has the images 0:%lld",
                       text, c->forward->dataset, (long long)c->forward->dataset_images);
            *ok = false;
        }
    }
    c->first = first;
    c->count = end - first;
}

static void patch_text(const pg_cell *c, char out[32])
{
    if (c->patch_height == c->patch_width)
        snprintf(out, 32, "%d", c->patch_height);
    else
        snprintf(out, 32, "%dx%d", c->patch_height, c->patch_width);
}

static void own_text(const pg_settler *s, const pg_toml_value **values, const pg_cell *c, pg_buf *out)
{
    char patch[32], prefix[80];
    int64_t seed = 0;
    int parsed = pg_parse_int(value_of(s, values, PG_KEY_SEED), &seed);
    patch_text(c, patch);
    snprintf(prefix, sizeof prefix, "%s.", c->defense->module.name);
    pg_settings_add(out, "attacker", value_of(s, values, PG_KEY_ATTACKER));
    pg_settings_add(out, "defense", c->defense->module.name);
    pg_buf_printf(out, "images=%lld:%lld\n", (long long)c->first, (long long)(c->first + c->count));
    pg_settings_add(out, "patch", patch);
    pg_buf_printf(out, "seed=%lld\n", (long long)(parsed == PG_OK ? seed : 0));
    pg_options_canonical(c->defense->module.options, c->config, prefix, true, out);
}

static int make_canonical(const pg_settler *s, const pg_toml_value **values, pg_cell *c)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_buf_puts(&text, "cell=1\n"); /* version of this form */
    pg_buf_puts(&text, c->forward->canonical);
    pg_buf_printf(&text, "defense.version=%d\n", c->defense->module.version);
    own_text(s, values, c, &text);
    int code = pg_lines_sort(&text);
    if (code == PG_OK)
        code = pg_hash_bytes(text.data, text.size, c->id);
    c->canonical = pg_buf_take(&text);
    pg_buf_release(&text);
    return code == PG_OK && !c->canonical ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

static int make_settings(const pg_settler *s, const pg_toml_value **values, pg_cell *c)
{
    static const pg_key_id ids[] = {PG_KEY_ATTACK, PG_KEY_BATCH, PG_KEY_DATASET, PG_KEY_DTYPE, PG_KEY_WEIGHTS};
    pg_buf text;
    pg_buf_init(&text);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        pg_settings_add(&text, pg_keys[ids[i]].name, value_of(s, values, ids[i]));
    own_text(s, values, c, &text);
    if (strcmp(c->forward->weights, "null") == 0) /* the null model has no file: its options are settings */
        pg_options_canonical(pg_model_find("null")->module.options, c->forward->info.config, "null.", true, &text);
    int code = pg_lines_sort(&text);
    c->settings = pg_buf_take(&text);
    pg_buf_release(&text);
    return code == PG_OK && !c->settings ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

static int make_details(pg_cell *c)
{
    static const char *const certificates[] = {"none", "sound", "exact"};
    const pg_forward *f = c->forward;
    const pg_geometry *g = &f->info.geometry;
    pg_buf text;
    pg_buf_init(&text);
    pg_settings_add(&text, "certificate", certificates[c->defense->certificate(c->config)]);
    pg_buf_printf(&text, "classes=%d\ndataset.hash=%s\n", g->classes, f->dataset_hash);
    pg_buf_printf(&text, "defense.version=%d\n", c->defense->module.version);
    if (c->has_delta)
        pg_buf_printf(&text, "delta=%lld\ndelta.logits=%lld\n", (long long)c->delta, (long long)f->info.locality.delta_grid);
    pg_buf_printf(&text, "forward=%s\nlocality=%s\n", f->id, c->has_delta ? "measured" : "not measured");
    pg_buf_printf(&text, "map=%dx%d\n", g->rows.positions, g->columns.positions);
    pg_settings_add(&text, "model", f->info.model);
    pg_buf_printf(&text, "model.version=%d\n", f->info.model_version);
    pg_buf_printf(&text, "patch.px=%dx%d\nweights.hash=%s\n", c->patch_height, c->patch_width, f->info.hash);
    pg_buf_printf(&text, "window=%dx%d\n", c->window.height, c->window.width);
    if (strcmp(f->weights, "null") != 0) {
        char prefix[80];
        snprintf(prefix, sizeof prefix, "%s.", f->info.model);
        pg_options_canonical(pg_model_find(f->info.model)->module.options, f->info.config, prefix, true, &text);
    }
    int code = pg_lines_sort(&text);
    c->details = pg_buf_take(&text);
    pg_buf_release(&text);
    return code == PG_OK && !c->details ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

/* As written comes first, so that a table shows "2.4%" where the user wrote it. */
static int make_values(const pg_settler *s, const pg_toml_value **values, pg_cell *c)
{
    pg_buf written;
    pg_buf_init(&written);
    pg_settings_add(&written, "patch", value_of(s, values, PG_KEY_PATCH));
    int code = pg_buf_check(&written);
    const char *texts[] = {written.data, c->settings, c->details};
    if (code == PG_OK)
        code = pg_settings_parse(texts, 3, &c->values, &c->n_values);
    pg_buf_release(&written);
    return code;
}

int pg_settler_cell(pg_settler *s, const pg_toml_value **values, pg_cell *out, bool *ok)
{
    *out = (pg_cell){0};
    *ok = true;
    int code = find_forward(s, values, &out->forward, ok);
    if (code == PG_OK)
        code = settle_defense(s, values, out, ok);
    if (code == PG_OK && *ok)
        settle_patch(s, values, out, ok);
    if (code == PG_OK && *ok)
        settle_images(s, values, out, ok);
    if (code == PG_OK && *ok)
        code = make_canonical(s, values, out);
    if (code == PG_OK && *ok)
        code = make_settings(s, values, out);
    if (code == PG_OK && *ok)
        code = make_details(out);
    if (code == PG_OK && *ok)
        code = make_values(s, values, out);
    if (code != PG_OK || !*ok)
        pg_cell_release(out);
    return code;
}
