/* One row of a matrix becomes a cell: its defense, its window, its identity. See keys.h and plan.h.
 *
 * Identity is text: "key=value" lines in sorted order, with content hashes where the user wrote names, every option of the
 * modules in use with its resolved value, and module versions. Options of other modules, names and times are not in it, so
 * cells that differ only there are the same cell. */
#include "harness/plan/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pg_cell_release(pg_cell *c)
{
    free(c->canonical);
    free(c->settings);
    free(c->details);
    free(c->values);
    free(c->config);
    *c = (pg_cell){0};
}

/* ---- Cells ---- */

static int resolve_defense(pg_cell_builder *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    c->defense = pg_cell_builder_defense(s, pg_row_value(s, values, PG_KEY_DEFENSE));
    char *pairs[PG_PAIRS_MAX];
    size_t n = 0, size = c->defense ? c->defense->module.config_size : 0;
    c->config = calloc(1, size ? size : 1);
    if (!c->defense || !c->config)
        return pg_fail(PG_ENOMEM, "out of memory");
    if (pg_module_is_placeholder(&c->defense->module))
        return PG_OK;
    int code = pg_row_pairs(s, values, c->defense->module.name, pairs, &n);
    if (code == PG_OK &&
        pg_module_configure(&c->defense->module, "defense", (const char *const *)pairs, n, c->config) != PG_OK) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_DEFENSE), "defense", "%s", pg_error_message());
        *ok = false;
    }
    pg_pairs_free(pairs, n);
    return code;
}

/* What a patch changes of an axis that is resized to `out` pixels behind the attacker. An axis of the same size is not touched,
 * as with every filter of weight 1 at the pixel itself. */
static int affected_pixels(int in, int out, pg_filter filter, int patch, int *affected)
{
    *affected = patch;
    return in == out ? PG_OK : pg_resize_affected(in, out, filter, patch, affected);
}

/* Certificates with room for a change want a measurement of it. */
static bool refuse_any_batch(pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c)
{
    const pg_forward *f = c->forward;
    int line = pg_row_line(s, values, PG_KEY_DELTA);
    if (c->defense->level == PG_LEVEL_IMAGE)
        pg_problem(s->problems, line, "delta",
                   "delta \"any-batch\": what is measured of %s says nothing of the masked images that %s runs; write place",
                   f->weights, c->defense->module.name);
    else
        pg_problem(s->problems, line, "delta",
                   "delta \"any-batch\": how far the logits of %s move with place and batch was not measured%s for %s in "
                   "batches of %d; `patchgauge model measure` does so",
                   f->weights, c->locality.none_outside ? " (no position lies outside a patch's reach)" : "",
                   pg_dtype_names[f->dtype], f->batch);
    return false;
}

/* Where size, geometry or defense is not known: the pixels are as written, and what follows from them is left to the stored
 * cell. */
static void patch_of_unknown(pg_cell_builder *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    const pg_forward *f = c->forward;
    const char *patch = pg_row_value(s, values, PG_KEY_PATCH);
    bool sized = c->image_height > 0, share = strchr(patch, '%') != NULL;
    int height = sized ? c->image_height : PG_SIDE_MAX, width = sized ? c->image_width : PG_SIDE_MAX;
    c->any_batch = strcmp(pg_row_value(s, values, PG_KEY_DELTA), "any-batch") == 0;
    if (share && !sized && f->data_where == PG_WHERE_NOWHERE)
        return;
    if (share && !sized) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_PATCH), "patch",
                   "patch \"%s\": %s is not here, and the database does not know the size of its images; write the patch in "
                   "pixels",
                   patch, f->dataset);
        *ok = false;
    } else if (pg_patch_parse(patch, height, width, &c->patch_height, &c->patch_width) != PG_OK) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_PATCH), "patch", "%s", pg_error_message());
        *ok = false;
    }
    c->affected_height = c->patch_height;
    c->affected_width = c->patch_width;
}

static void resolve_patch(pg_cell_builder *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    const pg_forward *f = c->forward;
    pg_geometry g = f->info.geometry;
    bool before = strcmp(pg_row_value(s, values, PG_KEY_PATCH_SPACE), "image") == 0;
    c->image_height = before ? f->resize.from_height : f->dataset_height;
    c->image_width = before ? f->resize.from_width : f->dataset_width;
    if (pg_module_is_placeholder(&c->defense->module) ||
        (!pg_forward_is_here(f) && (c->image_height == 0 || g.rows.positions == 0))) {
        patch_of_unknown(s, values, c, ok);
        return;
    }
    if (pg_patch_parse(pg_row_value(s, values, PG_KEY_PATCH), c->image_height, c->image_width, &c->patch_height,
                       &c->patch_width) != PG_OK ||
        affected_pixels(c->image_height, f->dataset_height, f->resize.filter, c->patch_height, &c->affected_height) != PG_OK ||
        affected_pixels(c->image_width, f->dataset_width, f->resize.filter, c->patch_width, &c->affected_width) != PG_OK) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_PATCH), "patch", "%s", pg_error_message());
        *ok = false;
        return;
    }
    pg_defended defended = {
        c->defense, c->config, {f->dataset_height, f->dataset_width, c->affected_height, c->affected_width}};
    if (pg_defended_map(&defended, &g, &c->window) != PG_OK ||
        pg_rule_check(c->defense, c->config, g.rows.positions, g.columns.positions, g.classes) != PG_OK) {
        pg_problem(s->problems, pg_row_line(s, values, PG_KEY_DEFENSE), "defense", "defense %s on %s: %s",
                   c->defense->module.name, f->weights, pg_error_message());
        *ok = false;
        return;
    }
    c->any_batch = strcmp(pg_row_value(s, values, PG_KEY_DELTA), "any-batch") == 0;
    pg_defended_delta(&defended, &f->info, f->dtype, f->batch, c->any_batch, &c->locality, &c->delta);
    c->has_delta = c->locality.measured;
    c->logit_delta = c->has_delta ? c->locality.delta_grid : 0;
    if (c->any_batch && !c->has_delta && f->weights_where == PG_WHERE_HERE)
        *ok = refuse_any_batch(s, values, c);
}

static void resolve_images(pg_cell_builder *s, const pg_toml_value **values, pg_cell *c, bool *ok)
{
    const char *text = pg_row_value(s, values, PG_KEY_IMAGES);
    int64_t first = 0, end = c->forward->dataset_images;
    if (*text) {
        char copy[64];
        snprintf(copy, sizeof copy, "%s", text);
        char *colon = strchr(copy, ':');
        if (colon)
            *colon = 0;
        if (!colon || pg_parse_int(copy, &first) != PG_OK || pg_parse_int(colon + 1, &end) != PG_OK ||
            (end > c->forward->dataset_images && c->forward->data_where != PG_WHERE_NOWHERE)) {
            pg_problem(s->problems, pg_row_line(s, values, PG_KEY_IMAGES), "images", "images \"%s\": %s has the images 0:%lld",
                       text, c->forward->dataset, (long long)c->forward->dataset_images);
            *ok = false;
        }
    }
    c->first = first;
    c->count = end - first;
}

static void images_text(const pg_cell *c, pg_buf *out)
{
    pg_buf_printf(out, "images=%lld:%lld\n", (long long)c->first, (long long)(c->first + c->count));
}

/* With measured locality, votes are certified by those that are sure. Not so once: then every vote counted as one that may
 * flip, and cells of that kind have another id. */
static void votes_text(const pg_cell *c, pg_buf *out)
{
    pg_evidence_spec spec;
    c->defense->evidence(c->config, &spec);
    if (pg_votes_sure(c->defense, &spec, c->logit_delta))
        pg_buf_puts(out, "votes=sure\n");
}

/* A measurement is part of identity where it gives another delta than the metadata of the weights, which their hash covers. */
static void locality_text(const pg_cell *c, pg_buf *out)
{
    if (c->any_batch)
        pg_buf_printf(out, "delta=any-batch:%lld\n", (long long)c->locality.delta_grid);
    else if (c->has_delta && c->locality.differs)
        pg_buf_printf(out, "delta=place:%lld\n", (long long)c->locality.delta_grid);
}

static int placeholder_settings(const pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c, pg_buf *out)
{
    int code = pg_placeholder_settings(s, values, &c->defense->module, out);
    return code == PG_OK && c->forward->attack ? pg_placeholder_settings(s, values, &c->forward->attack->module, out) : code;
}

int pg_cell_canonical(const pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c, char **canonical,
                      char id[PG_HASH_HEX])
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_puts(&text, "cell=1\n"); /* version of this form */
    pg_buf_puts(&text, c->forward->canonical);
    images_text(c, &text);
    votes_text(c, &text);
    if (!c->forward->defense) { /* a pass of the defended classifier holds these itself */
        pg_modules_identity("defense", &c->defense->module, &text);
        pg_cell_defended_text(s, values, c, &text);
    }
    locality_text(c, &text);
    int code = placeholder_settings(s, values, c, &text);
    if (code == PG_OK)
        code = pg_lines_canonical(&text);
    if (code == PG_OK)
        code = pg_hash_bytes(text.data, text.size, id);
    *canonical = pg_buf_take(&text);
    pg_buf_release(&text);
    return code == PG_OK && !*canonical ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

static int make_settings(const pg_cell_builder *s, const pg_toml_value **values, pg_cell *c)
{
    static const pg_key_id ids[] = {PG_KEY_ATTACK, PG_KEY_BATCH, PG_KEY_DATASET, PG_KEY_DTYPE, PG_KEY_WEIGHTS};
    pg_buf text = PG_BUF_EMPTY;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        pg_settings_add(&text, pg_keys[ids[i]].name, pg_row_value(s, values, ids[i]));
    images_text(c, &text);
    if (c->any_batch)
        pg_settings_add(&text, "delta", "any-batch");
    static const pg_key_id of_classes[] = {PG_KEY_OUTPUTS, PG_KEY_PREDICT};
    for (size_t i = 0; i < sizeof of_classes / sizeof *of_classes; i++) {
        const char *value = pg_row_value(s, values, of_classes[i]);
        if (strcmp(value, pg_keys[of_classes[i]].fallback) != 0)
            pg_settings_add(&text, pg_keys[of_classes[i]].name, value);
    }
    pg_cell_defended_text(s, values, c, &text);
    if (c->forward->attack) {
        char prefix[80];
        snprintf(prefix, sizeof prefix, "%s.", c->forward->attack->module.name);
        pg_options_canonical(c->forward->attack->module.options, c->forward->attack_config, prefix, true, &text);
        pg_patches_setting(c->forward, &text);
    }
    if (strcmp(c->forward->weights, "null") == 0) /* the null model has no file: its options are settings */
        pg_options_canonical(pg_model_find("null")->module.options, c->forward->info.config, "null.", true, &text);
    int code = placeholder_settings(s, values, c, &text);
    if (code == PG_OK)
        code = pg_lines_canonical(&text);
    c->settings = pg_buf_take(&text);
    pg_buf_release(&text);
    return code == PG_OK && !c->settings ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

static void details_of_locality(const pg_cell *c, pg_buf *out)
{
    const pg_locality_result *l = &c->locality;
    pg_settings_add(out, "locality", l->none_outside ? "no position outside" : c->has_delta ? "measured" : "not measured");
    if (!c->has_delta)
        return;
    pg_buf_printf(out, "delta.evidence=%lld\ndelta.logits=%lld\n", (long long)c->delta, (long long)l->delta_grid);
    if (*l->kinds)
        pg_settings_add(out, "locality.on", l->kinds);
    if (c->any_batch)
        pg_buf_printf(out, "locality.moved=%lld\nlocality.batches=%s\n", (long long)l->moved_grid, l->batches);
}

static int make_details(pg_cell *c)
{
    const pg_forward *f = c->forward;
    const pg_geometry *g = &f->info.geometry;
    pg_buf text = PG_BUF_EMPTY;
    if (f->attack) {
        if (!f->attack->patches) /* which differentiates nothing */
            pg_buf_printf(&text, "attack.gradient=%s\n", pg_forward_gradient(f));
        pg_modules_identity("attack", &f->attack->module, &text);
        if (*f->patches_hash)
            pg_buf_printf(&text, "%s.file.hash=%s\n", f->attack->module.name, f->patches_hash);
    }
    pg_settings_add(&text, "certificate", pg_certificate_names[c->defense->certificate(c->config)]);
    pg_buf_printf(&text, "classes=%d\ndataset.hash=%s\n", g->classes, f->dataset_hash);
    pg_modules_identity("defense", &c->defense->module, &text);
    pg_buf_printf(&text, "forward=%s\n", f->id);
    details_of_locality(c, &text);
    pg_buf_printf(&text, "map=%dx%d\n", g->rows.positions, g->columns.positions);
    pg_settings_add(&text, "model", f->info.model);
    pg_buf_printf(&text, "model.version=%d\n", f->info.model_version);
    pg_buf_printf(&text, "patch.px=%dx%d\nweights.hash=%s\n", c->patch_height, c->patch_width, f->info.hash);
    if (f->resize.from_height != f->dataset_height || f->resize.from_width != f->dataset_width)
        pg_buf_printf(&text, "image.px=%dx%d\n", f->resize.from_height, f->resize.from_width);
    if (c->affected_height != c->patch_height || c->affected_width != c->patch_width)
        pg_buf_printf(&text, "affected.px=%dx%d\n", c->affected_height, c->affected_width);
    pg_buf_printf(&text, "window=%dx%d\n", c->window.height, c->window.width);
    pg_forward_outputs_text(f, &text);
    for (const pg_option *row = c->defense->module.options; row->name; row++)
        if (pg_option_left_out(row, c->config, &text)) /* of the settings too, since it is no part of identity */
            pg_buf_printf(&text, "%s.%s=%s\n", c->defense->module.name, row->name, pg_option_before(row));
    const pg_model *model = pg_model_find(f->info.model);
    if (strcmp(f->weights, "null") != 0 && model) {
        char prefix[80];
        snprintf(prefix, sizeof prefix, "%s.", f->info.model);
        pg_options_canonical(model->module.options, f->info.config, prefix, true, &text);
    }
    int code = pg_lines_canonical(&text);
    c->details = pg_buf_take(&text);
    pg_buf_release(&text);
    return code == PG_OK && !c->details ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

/* As written comes first, so that a table shows "2.4%" where the user wrote it, and a default that the settings leave out. */
static int make_values(const pg_cell_builder *s, const pg_toml_value **values, pg_cell *c)
{
    pg_buf written = PG_BUF_EMPTY;
    pg_settings_add(&written, "patch", pg_row_value(s, values, PG_KEY_PATCH));
    pg_settings_add(&written, "delta", c->any_batch ? "any-batch" : "place");
    if (s->key_of[PG_KEY_PREDICT] >= 0)
        pg_settings_add(&written, "predict", pg_row_value(s, values, PG_KEY_PREDICT));
    static const pg_key_id hashes[] = {PG_KEY_DATASET_HASH, PG_KEY_WEIGHTS_HASH};
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        if (*pg_row_value(s, values, hashes[i]))
            pg_settings_add(&written, pg_keys[hashes[i]].name, pg_row_value(s, values, hashes[i]));
    int code = pg_buf_check(&written);
    const char *texts[] = {written.data, c->settings, c->details};
    if (code == PG_OK)
        code = pg_settings_parse(texts, 3, &c->values, &c->n_values);
    pg_buf_release(&written);
    return code;
}

static bool is_here(const pg_cell *c)
{
    return pg_forward_is_here(c->forward) && !pg_module_is_placeholder(&c->defense->module) &&
           !(c->forward->attack && pg_module_is_placeholder(&c->forward->attack->module));
}

int pg_cell_builder_cell(pg_cell_builder *s, const pg_toml_value **values, pg_cell *out, bool *ok)
{
    *out = (pg_cell){0};
    *ok = true;
    int code = pg_cell_builder_forward(s, values, &out->forward, ok);
    if (code == PG_OK)
        code = resolve_defense(s, values, out, ok);
    if (code == PG_OK && *ok)
        resolve_patch(s, values, out, ok);
    if (code == PG_OK && *ok && out->defense->level == PG_LEVEL_IMAGE)
        code = pg_cell_builder_masked(s, values, out);
    if (code == PG_OK && *ok)
        resolve_images(s, values, out, ok);
    if (code == PG_OK && *ok)
        code = pg_cell_builder_attack(s, values, out, ok);
    if (code == PG_OK && *ok)
        code = make_settings(s, values, out);
    bool stored = false;
    out->here = code == PG_OK && *ok && is_here(out);
    if (code == PG_OK && *ok && !out->here)
        code = pg_cell_builder_stored(s, values, out, ok, &stored);
    out->absent = code == PG_OK && *ok && !out->here && !stored;
    if (code == PG_OK && *ok && !stored)
        code = pg_cell_canonical(s, values, out, &out->canonical, out->id);
    if (code == PG_OK && *ok && !stored)
        code = make_details(out);
    if (code == PG_OK && *ok)
        code = make_values(s, values, out);
    if (code != PG_OK || !*ok)
        pg_cell_release(out);
    return code;
}
