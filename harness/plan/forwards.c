/* Forward passes of a matrix: what cells share, and what a defense of images or an attack makes of one. See keys.h and
 * plan.h.
 *
 * A pass is data, model, weights, type of number and batch. Copies of an image and an attack depend on the defended classifier
 * as well, so theirs is the pass of one defense with its options, one patch, window and seed; cells that share it differ in
 * images only. */
#include "harness/plan/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Found by name ---- */

static pg_forward *find(const pg_cell_builder *s, const char *name)
{
    pg_forward_name *found = NULL;
    HASH_FIND_STR(s->names, name, found);
    return found ? found->forward : NULL;
}

static int add_to_index(pg_cell_builder *s, const char *name, pg_forward *f)
{
    if (find(s, name))
        return PG_OK;
    size_t size = strlen(name) + 1;
    pg_forward_name *added = calloc(1, sizeof *added + size);
    if (added) {
        added->forward = f;
        memcpy(added->name, name, size);
        HASH_ADD_STR(s->names, name, added);
    }
    if (added && added->hh.tbl)
        return PG_OK;
    free(added);
    return pg_fail(PG_ENOMEM, "planning: out of memory");
}

/* Takes the pass over. */
static int add(pg_cell_builder *s, pg_forward *f)
{
    pg_forward **forwards = realloc(s->forwards, (s->n_forwards + 1) * sizeof *forwards);
    if (!forwards) {
        pg_forward_free(f);
        return pg_fail(PG_ENOMEM, "planning: out of memory");
    }
    s->forwards = forwards;
    f->index = s->n_forwards;
    s->forwards[s->n_forwards++] = f;
    return PG_OK;
}

/* ---- Forward passes ---- */

void pg_forward_outputs_text(const pg_forward *f, pg_buf *out)
{
    if (!f->outputs)
        return;
    pg_buf_puts(out, "label.outputs=");
    pg_outputs_text(f->outputs, f->dataset_classes, out);
    pg_buf_printf(out, "\npredict=%s\n",
                  pg_predicts[f->info.geometry.classes == f->dataset_classes ? PG_PREDICT_DATASET : PG_PREDICT_ALL]);
}

static void forward_text(const pg_forward *f, pg_buf *out)
{
    const pg_model *model = pg_model_find(f->info.model);
    if (f->data_where == PG_WHERE_NOWHERE) /* names, where nobody knows the hashes */
        pg_settings_add(out, "dataset", f->dataset);
    if (f->weights_where == PG_WHERE_NOWHERE)
        pg_settings_add(out, "weights", f->weights);
    pg_settings_add(out, "attack", f->attack ? f->attack->module.name : "none");
    pg_buf_printf(out, "batch=%d\n", f->batch);
    pg_buf_printf(out, "dataset.hash=%s\n", f->dataset_hash);
    pg_settings_add(out, "dataset.split", f->dataset_split);
    pg_buf_printf(out, "dtype=%s\n", pg_dtype_names[f->dtype]);
    pg_settings_add(out, "model", f->info.model);
    if (model)
        pg_modules_plugin("model", &model->module, out);
    pg_buf_printf(out, "model.version=%d\n", f->info.model_version);
    pg_buf_printf(out, "weights.hash=%s\n", f->info.hash);
    if (model)
        pg_options_canonical(model->module.options, f->info.config, "model.", true, out);
    pg_forward_outputs_text(f, out);
}

/* The sorted lines are the identity of the pass; releases them. */
static int seal_forward(pg_forward *f, pg_buf *lines)
{
    int code = pg_lines_canonical(lines);
    if (code == PG_OK)
        code = pg_hash_bytes(lines->data, lines->size, f->id);
    f->canonical = pg_buf_take(lines);
    pg_buf_release(lines);
    return code == PG_OK && !f->canonical ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

/* Sizes of model and data set have to agree: nothing is resized that is not said. */
static bool check_fit(pg_cell_builder *s, const pg_toml_value **values, const pg_forward *f)
{
    const pg_geometry *g = &f->info.geometry;
    if (f->dataset_height == 0 || g->input_height == 0) /* one of them is not here, and nobody knows */
        return true;
    if (g->input_height != f->dataset_height || g->input_width != f->dataset_width) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_WEIGHTS), "weights",
                   "%s takes images of %d x %d pixels, %s has %d x %d; dataset = \"%.*s@%dx%d\" resizes them", f->weights,
                   g->input_height, g->input_width, f->dataset, f->dataset_height, f->dataset_width,
                   (int)strcspn(f->dataset, "@"), f->dataset, g->input_height, g->input_width);
        return false;
    }
    return true;
}

/* The output of each class: those of the labels, and behind them the others, where these are predicted, too. */
static int find_outputs(pg_cell_builder *s, const pg_toml_value **values, const pg_seen_file *set, const pg_seen_file *network,
                        pg_forward *f, bool *ok)
{
    const char *given = pg_row_value(s, values, PG_KEY_OUTPUTS);
    if (f->data_where != PG_WHERE_HERE || f->weights_where != PG_WHERE_HERE)
        return PG_OK;
    bool labels_only = strcmp(pg_row_value(s, values, PG_KEY_PREDICT), pg_predicts[PG_PREDICT_DATASET]) == 0;
    int code = pg_outputs_choose(
        &(pg_outputs_request){.network = f->weights,
                              .outputs = f->info.geometry.classes,
                              .classes = &network->classes,
                              .dataset = f->dataset,
                              .labels = &set->classes,
                              .given = given,
                              .how = s->problems->options ? PG_OUTPUTS_HOW : "outputs = \"0 217 ...\" or a file"},
        labels_only, &f->outputs, &f->info.geometry.classes);
    if (code == PG_OK || code == PG_ENOMEM)
        return code;
    pg_key_id key = strcmp(given, pg_keys[PG_KEY_OUTPUTS].fallback) != 0 ? PG_KEY_OUTPUTS : PG_KEY_WEIGHTS;
    pg_problem(s->problems, pg_row_line(s, values, key), pg_keys[key].name, "%s", pg_error_message());
    *ok = false;
    return PG_OK;
}

/* Most files were looked at before; those that a hash chooses were not. The message is recorded. */
static int refuse(pg_cell_builder *s, int line, const char *key, bool *ok)
{
    pg_problem(s->problems, line, key, "%s", pg_error_message());
    *ok = false;
    return pg_buf_check(&s->problems->text);
}

/* Sizes that the file which is here knows of the other; the geometry follows from size and options. */
static int fill_sizes(pg_forward *f)
{
    pg_geometry *g = &f->info.geometry;
    const pg_model *model = *f->info.model ? pg_model_find(f->info.model) : NULL;
    if (f->data_where != PG_WHERE_HERE && f->dataset_height == 0 && g->input_height > 0) {
        f->dataset_height = f->resize.height = g->input_height;
        f->dataset_width = f->resize.width = g->input_width;
        if (!strchr(f->dataset, '@')) {
            f->resize.from_height = f->dataset_height;
            f->resize.from_width = f->dataset_width;
        }
    }
    if (f->data_where == PG_WHERE_NOWHERE)
        f->dataset_classes = g->classes;
    if (f->weights_where == PG_WHERE_NOWHERE)
        g->classes = f->dataset_classes;
    if (f->weights_where != PG_WHERE_STORE || !model || f->dataset_height == 0)
        return PG_OK;
    return model->geometry(f->info.config, f->dataset_height, f->dataset_width, g->classes, g);
}

static int fill_forward(pg_cell_builder *s, const pg_toml_value **values, pg_forward *f, bool *ok)
{
    const char *weights = pg_row_value(s, values, PG_KEY_WEIGHTS), *dataset = pg_row_value(s, values, PG_KEY_DATASET);
    int64_t batch = 0;
    int parsed = pg_parse_int(pg_row_value(s, values, PG_KEY_BATCH), &batch);
    const pg_seen_file *set = pg_cell_builder_dataset(s, dataset, pg_row_value(s, values, PG_KEY_DATASET_HASH));
    if (!set || parsed != PG_OK)
        return refuse(s, pg_row_line(s, values, PG_KEY_DATASET), "dataset", ok);
    const pg_seen_file *network = pg_cell_builder_weights(s, weights, pg_row_value(s, values, PG_KEY_WEIGHTS_HASH));
    if (!network)
        return refuse(s, pg_row_line(s, values, PG_KEY_WEIGHTS), "weights", ok);
    const pg_dataset_info *data = &set->dataset;
    const pg_weights_info *info = &network->weights;
    f->model_pairs = calloc(PG_PAIRS_MAX, sizeof *f->model_pairs);
    f->weights = strdup(weights);
    f->dataset = strdup(dataset);
    if (!f->model_pairs || !f->weights || !f->dataset)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_row_pairs(s, values, info->model, f->model_pairs, &f->n_model_pairs);
    if (code != PG_OK)
        return code;
    f->info = *info;
    if (f->n_model_pairs && strcmp(weights, "null") != 0) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_WEIGHTS), "weights",
                   "options of model %s are part of %s and cannot be set by a matrix", info->model, weights);
        *ok = false;
    } else if (f->n_model_pairs &&
               pg_weights_describe(weights, (const char *const *)f->model_pairs, f->n_model_pairs, &f->info) != PG_OK) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_WEIGHTS), "weights", "%s", pg_error_message());
        *ok = false;
    }
    f->batch = f->at_once = (int)batch;
    f->dtype = strcmp(pg_row_value(s, values, PG_KEY_DTYPE), "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
    memcpy(f->dataset_hash, data->hash, sizeof f->dataset_hash);
    memcpy(f->dataset_split, data->split, sizeof f->dataset_split);
    f->dataset_images = data->images;
    f->dataset_height = data->height;
    f->dataset_width = data->width;
    f->dataset_classes = data->classes;
    f->resize = pg_dataset_resizing(data);
    f->data_where = set->where;
    f->weights_where = network->where;
    code = fill_sizes(f);
    *ok = *ok && code == PG_OK && check_fit(s, values, f);
    return *ok ? find_outputs(s, values, set, network, f, ok) : code;
}

/* What the forward pass of a row depends on, as written: rows with the same text share it without being resolved again. */
static char *forward_name(const pg_cell_builder *s, const pg_toml_value **values)
{
    static const pg_key_id ids[] = {PG_KEY_DATASET, PG_KEY_DATASET_HASH, PG_KEY_WEIGHTS, PG_KEY_WEIGHTS_HASH,
                                    PG_KEY_DTYPE,   PG_KEY_BATCH,        PG_KEY_OUTPUTS, PG_KEY_PREDICT};
    pg_buf name = PG_BUF_EMPTY;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        pg_settings_add(&name, pg_keys[ids[i]].name, pg_row_value(s, values, ids[i]));
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

int pg_cell_builder_forward(pg_cell_builder *s, const pg_toml_value **values, const pg_forward **out, bool *ok)
{
    char *name = forward_name(s, values);
    if (!name)
        return pg_fail(PG_ENOMEM, "out of memory");
    pg_forward *f = find(s, name), *like = NULL;
    if (f) {
        free(name);
        *out = f;
        *ok = f->canonical != NULL;
        return PG_OK;
    }
    f = calloc(1, sizeof *f);
    int code = f ? fill_forward(s, values, f, ok) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK && *ok) {
        pg_buf text = PG_BUF_EMPTY;
        forward_text(f, &text);
        code = seal_forward(f, &text);
        memcpy(f->clean_id, f->id, sizeof f->clean_id);
        like = code == PG_OK ? find(s, f->id) : NULL;
    }
    if (code != PG_OK || like) { /* rows that name the same content in different ways share one pass */
        pg_forward_free(f);
        f = like;
    } else {
        code = add(s, f); /* one that does not fit is kept too, unsealed, so that it is reported once */
    }
    if (code == PG_OK)
        code = add_to_index(s, name, f);
    if (code == PG_OK && f->canonical)
        code = add_to_index(s, f->id, f);
    free(name);
    *out = f;
    return code;
}

/* ---- Passes of a defended classifier ---- */

static void *copy_of(const void *bytes, size_t size)
{
    void *copy = calloc(1, size ? size : 1);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

/* The same network and images, and the defended classifier of the cell. */
static int copy_forward(const pg_forward *from, const pg_cell *c, pg_forward *f)
{
    *f = *from;
    f->canonical = NULL;
    f->attack_config = NULL;
    f->outputs = from->outputs ? copy_of(from->outputs, (size_t)from->info.geometry.classes * sizeof *f->outputs) : NULL;
    f->dataset = strdup(from->dataset);
    f->weights = strdup(from->weights);
    f->model_pairs = calloc(PG_PAIRS_MAX, sizeof *f->model_pairs);
    f->n_model_pairs = 0;
    f->defense = c->defense;
    f->config = copy_of(c->config, c->defense->module.config_size);
    f->masked_images.config = f->config;
    f->window = c->window;
    f->patch_height = c->affected_height;
    f->patch_width = c->affected_width;
    bool good = f->dataset && f->weights && f->model_pairs && f->config && (f->outputs || !from->outputs);
    for (size_t i = 0; good && i < from->n_model_pairs; i++)
        good = (f->model_pairs[f->n_model_pairs++] = strdup(from->model_pairs[i])) != NULL;
    return good ? PG_OK : pg_fail(PG_ENOMEM, "planning: out of memory");
}

/* PG_EINPUT where an image of the range has the label `target`. */
static int check_labels(const pg_dataset *dataset, int64_t first, int64_t count, int target)
{
    int32_t *labels = malloc((size_t)count * sizeof *labels);
    int code = labels ? pg_dataset_read(dataset, first, count, NULL, labels) : pg_fail(PG_ENOMEM, "planning: out of memory");
    for (int64_t i = 0; code == PG_OK && i < count; i++)
        if (labels[i] == target)
            code = pg_fail(PG_EINPUT,
                           "image %lld has the label %d, which is the target: choose another target, or leave such images out",
                           (long long)(first + i), target);
    free(labels);
    return code;
}

/* A target that is a class: no image of the cell may have it. */
static bool target_fits(pg_cell_builder *s, int line, const pg_cell *c, const pg_forward *f)
{
    int target = f->attack->fixed_target ? f->attack->fixed_target(f->attack_config) : -1;
    if (target < 0 || f->data_where != PG_WHERE_HERE)
        return true;
    pg_dataset *dataset = NULL;
    int code = pg_dataset_open(s->data_dir, f->dataset, &dataset);
    if (code == PG_OK)
        code = check_labels(dataset, c->first, c->count, target);
    pg_dataset_close(dataset);
    if (code != PG_OK)
        pg_problem(s->problems, line, "attack", "attack %s: %s", f->attack->module.name, pg_error_message());
    return code == PG_OK;
}

/* The file of patches that the attack puts on, and whether they can be put on the images of the cell. */
static int take_patches(pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c, pg_forward *f, bool *ok)
{
    const pg_attack *attack = f->attack;
    int line = pg_row_line(s, values, PG_KEY_ATTACK), code = PG_EINPUT;
    const char *path = attack->patches(f->attack_config);
    if (!*path)
        pg_fail(code, "file: the name of a file of patches is missing");
    const pg_seen_file *file = *path ? pg_cell_builder_patches(s, path, c->image_height, c->image_width) : NULL;
    if (file && file->patches)
        code = attack->check_patches(f->attack_config, file->patches, c->image_height, c->image_width, c->patch_height,
                                     c->patch_width, c->first, c->count);
    if (!file || (file->patches && code != PG_OK)) {
        pg_problem(s->problems, line, "attack", "attack %s: %s", attack->module.name, pg_error_message());
        *ok = false;
        return pg_buf_check(&s->problems->text);
    }
    f->patches_where = file->where;
    f->patches_targeted = file->patches && file->patches->targets;
    if (file->patches)
        memcpy(f->patches_hash, file->patches->hash, sizeof f->patches_hash);
    return PG_OK;
}

/* Options of the attack, and whether it can work on this cell. */
static int configure(pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c, pg_forward *f, bool *ok)
{
    const pg_attack *attack = pg_cell_builder_attack_named(s, pg_row_value(s, values, PG_KEY_ATTACK));
    const pg_model *model = pg_model_find(f->info.model);
    char *pairs[PG_PAIRS_MAX];
    size_t n = 0;
    f->attack = attack;
    f->attack_config = attack ? calloc(1, attack->module.config_size ? attack->module.config_size : 1) : NULL;
    if (!f->attack_config)
        return pg_fail(PG_ENOMEM, "planning: out of memory");
    int line = pg_row_line(s, values, PG_KEY_ATTACK), code = pg_row_pairs(s, values, attack->module.name, pairs, &n);
    bool fits = true;
    if (code == PG_OK && attack->needs_gradients && model && !model->needs_torch) {
        pg_problem(s->problems, line, "attack", "attack %s needs gradients, which model %s has not", attack->module.name,
                   f->info.model);
        fits = false;
    } else if (code == PG_OK && !pg_module_is_placeholder(&attack->module) &&
               pg_module_configure(&attack->module, "attack", (const char *const *)pairs, n, f->attack_config) != PG_OK) {
        pg_problem(s->problems, line, "attack", "%s", pg_error_message());
        fits = false;
    } else if (code == PG_OK && c->image_height > 0 && f->info.geometry.classes > 0 &&
               attack->check(f->attack_config, c->image_height, c->image_width, c->patch_height, c->patch_width,
                             f->info.geometry.classes) != PG_OK) {
        pg_problem(s->problems, line, "attack", "attack %s: %s", attack->module.name, pg_error_message());
        fits = false;
    } else if (code == PG_OK) {
        fits = target_fits(s, line, c, f);
    }
    *ok = *ok && fits;
    pg_pairs_free(pairs, n);
    return code == PG_OK && *ok && attack->patches ? take_patches(s, values, c, f, ok) : code;
}

const char *pg_forward_gradient(const pg_forward *f)
{
    const pg_attack_common *common = f->attack_config;
    return f->defense->surrogate && common->gradient == PG_GRADIENT_DEFENSE ? "defense" : "mean";
}

static void defended_text(const pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c, pg_buf *out)
{
    pg_modules_identity("defense", &c->defense->module, out);
    pg_cell_defended_text(s, values, c, out);
}

static void attack_text(const pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c, const pg_forward *f,
                        pg_buf *out)
{
    char prefix[80];
    forward_text(f, out);
    snprintf(prefix, sizeof prefix, "%s.", f->attack->module.name);
    pg_modules_identity("attack", &f->attack->module, out);
    if (!f->attack->patches)
        pg_buf_printf(out, "attack.gradient=%s\n", pg_forward_gradient(f));
    if (!f->attack->patches && strcmp(pg_forward_gradient(f), "defense") == 0)
        pg_buf_printf(out, "attack.surrogate=%d\n", f->defense->surrogate_version);
    pg_options_canonical(f->attack->module.options, f->attack_config, prefix, true, out);
    if (*f->patches_hash)
        pg_buf_printf(out, "%sfile.hash=%s\n", prefix, f->patches_hash);
    pg_buf_printf(out, "window=%dx%d\n", f->window.height, f->window.width);
    defended_text(s, values, c, out);
}

/* The sorted lines are the identity of a pass that a cell was given: the cell's from here on, or one like it that is there
 * already. Takes both over. */
static int intern(pg_cell_builder *s, pg_forward *f, pg_buf *lines, pg_cell *c)
{
    int code = seal_forward(f, lines);
    if (code == PG_OK && !f->attack)
        memcpy(f->clean_id, f->id, sizeof f->clean_id);
    pg_forward *like = code == PG_OK ? find(s, f->id) : NULL;
    if (code != PG_OK || like) {
        pg_forward_free(f);
        f = like;
    } else {
        code = add(s, f);
        if (code == PG_OK)
            code = add_to_index(s, f->id, f);
    }
    if (code == PG_OK)
        c->forward = f;
    return code;
}

int pg_cell_builder_masked(pg_cell_builder *s, const pg_toml_value **values, pg_cell *c)
{
    pg_forward *f = calloc(1, sizeof *f);
    int code = f ? copy_forward(c->forward, c, f) : pg_fail(PG_ENOMEM, "planning: out of memory");
    if (code == PG_OK) {
        f->at_once = 1;
        f->masked_images =
            (pg_defended){f->defense, f->config, {f->dataset_height, f->dataset_width, f->patch_height, f->patch_width}};
        if (f->dataset_height > 0)
            code = pg_defended_map(&f->masked_images, &f->info.geometry, &f->window);
    }
    if (code != PG_OK) {
        pg_forward_free(f);
        return code;
    }
    pg_buf text = PG_BUF_EMPTY;
    forward_text(f, &text);
    defended_text(s, values, c, &text);
    return intern(s, f, &text, c);
}

int pg_cell_builder_attack(pg_cell_builder *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    if (strcmp(pg_row_value(s, values, PG_KEY_ATTACK), "none") == 0)
        return PG_OK;
    pg_forward *f = calloc(1, sizeof *f);
    int64_t seed = 0;
    int code = f ? copy_forward(c->forward, c, f) : pg_fail(PG_ENOMEM, "planning: out of memory");
    if (code == PG_OK) {
        f->patch_height = c->patch_height; /* where it is put on; what it changes is the window's matter */
        f->patch_width = c->patch_width;
        f->before_resize = c->image_height != f->dataset_height || c->image_width != f->dataset_width;
        code = configure(s, values, c, f, ok);
    }
    if (code == PG_OK && *ok)
        code = pg_parse_int(pg_row_value(s, values, PG_KEY_SEED), &seed);
    if (code != PG_OK || !*ok) {
        pg_forward_free(f);
        return code;
    }
    pg_buf text = PG_BUF_EMPTY;
    f->seed = (uint64_t)seed;
    attack_text(s, values, c, f, &text);
    return intern(s, f, &text, c);
}
