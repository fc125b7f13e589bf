/* Resolves what `patchgauge attack` was asked for: everything that can be said before the first image is said here. */
#include "harness/base/file.h"
#include "harness/plan/keys.h"
#include "harness/cmd/attack_work.h"
#include "harness/pipeline/features.h"
#include "harness/target/open.h"
#include "harness/base/signals.h"
#include "plots/figure.h"
#include "plots/sheet.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- --set ---- */

static bool is_name(const char *name, const char *text, size_t size)
{
    return strlen(name) == size && strncmp(name, text, size) == 0;
}

/* The module that "module.option=value" names ("attack" and "defense" are names too), or the one that has "option"; pairs are
 * kept without the module's name. */
static int sort_pair(pg_attack_setup *s, const char *pair)
{
    size_t key = strcspn(pair, "="), dot = strcspn(pair, ".");
    const char *names[] = {s->attack->module.name, s->defense->module.name, "null"};
    static const char *const kinds[] = {"attack", "defense", "model"};
    const pg_option *tables[] = {s->attack->module.options, s->defense->module.options, pg_model_find("null")->module.options};
    const char **lists[] = {s->attack_pairs, s->defense_pairs, s->model_pairs};
    size_t *counts[] = {&s->n_attack, &s->n_defense, &s->n_model};
    size_t modules = strcmp(s->request->weights, "null") == 0 ? 3 : 2, found = 0, owner = 0;
    bool named = dot < key;
    char option[128];
    snprintf(option, sizeof option, "%.*s", (int)key, pair);
    for (size_t i = 0; i < modules; i++)
        if (named ? is_name(names[i], pair, dot) || is_name(kinds[i], pair, dot) : pg_option_find(tables[i], option) != NULL) {
            owner = i;
            found++;
        }
    if (found > 1)
        return pg_fail(PG_EUSAGE, "--set %s: both %s and %s have this option: write %s.%s or %s.%s", pair, names[0],
                       owner == 2 ? names[owner] : names[1], names[0], pair, owner == 2 ? names[owner] : names[1], pair);
    if (found == 0)
        return pg_fail(
            PG_EUSAGE,
            "--set %s: no option of attack %s or defense %s; `patchgauge help attack %s` and `help defense %s` list them", pair,
            names[0], names[1], names[0], names[1]);
    if (*counts[owner] == sizeof s->attack_pairs / sizeof *s->attack_pairs)
        return pg_fail(PG_EUSAGE, "more than %zu --set options", sizeof s->attack_pairs / sizeof *s->attack_pairs);
    lists[owner][(*counts[owner])++] = named ? pair + dot + 1 : pair;
    return PG_OK;
}

/* meta.json holds the names. */
static int check_text(const char *option, const char *text)
{
    errno = 0;
    json_t *value = json_string(text);
    json_decref(value);
    if (errno == ENOMEM)
        return pg_fail(PG_ENOMEM, "out of memory");
    return value ? PG_OK : pg_fail(PG_EINPUT, "%s %s: is not UTF-8, and meta.json names it; rename the file", option, text);
}

static int configure(pg_attack_setup *s)
{
    const pg_attack_request *r = s->request;
    s->attack = pg_attack_find(r->attack);
    s->defense = s->attack ? pg_defense_find(r->defense) : NULL;
    if (!s->defense)
        return PG_EINPUT;
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < r->n_pairs; i++)
        code = sort_pair(s, r->pairs[i]);
    if (code == PG_OK)
        code = pg_module_configure(&s->attack->module, "attack", s->attack_pairs, s->n_attack, s->attack_config);
    if (code == PG_OK)
        code = pg_module_configure(&s->defense->module, "defense", s->defense_pairs, s->n_defense, s->config);
    return code;
}

/* ---- Images, weights, patch ---- */

const char *const pg_attack_names[] = {"results.csv",        "patches.npy",
                                       "meta.json",          "sheet.svg",
                                       "sheet.png",          "sheet.gp",
                                       "sheet.tsv",          "sheet-pixels.npy",
                                       "sheet-evidence.npy", "local-logits.svg",
                                       "local-logits.png",   "local-logits.gp",
                                       "local-logits.tsv",   NULL};

enum { RESULTS_MAX = 1 << 28 };

/* Results of an earlier attack may be replaced, files of anybody else only where the user says so. */
static int check_outputs(const pg_attack_request *r)
{
    char path[PATH_MAX], *results = NULL;
    size_t size = 0;
    const char *const inputs[] = {r->weights, NULL};
    snprintf(path, sizeof path, "%s/%s", r->folder, pg_attack_names[0]);
    int code = pg_file_read(path, RESULTS_MAX, &results, &size);
    bool ours = code == PG_OK && strncmp(results, PG_ATTACK_HEADER, sizeof PG_ATTACK_HEADER - 1) == 0;
    free(results);
    code = PG_OK;
    for (size_t i = 0; code == PG_OK && pg_attack_names[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", r->folder, pg_attack_names[i]);
        code = pg_output_check(path, ours || r->force, inputs);
    }
    return code;
}

static int check_folder(const pg_attack_request *r)
{
    if (!*r->folder)
        return pg_fail(PG_EUSAGE, "the folder for results is an empty text; name one with -o");
    int code = pg_folder_check(r->folder);
    if (code == PG_OK)
        code = check_outputs(r);
    if (code != PG_OK)
        return code;
    if (r->sheet < 0 || r->sheet > PG_SHEET_MAX)
        return pg_fail(PG_EUSAGE, "--sheet %d: a contact sheet has 0 to %d images", r->sheet, (int)PG_SHEET_MAX);
    return r->sheet > 0 ? pg_figure_check(r->folder) : PG_OK;
}

static int check_fit(pg_attack_setup *s)
{
    const pg_attack_request *r = s->request;
    const pg_dataset_info *data = pg_dataset_info_of(s->dataset);
    s->first = r->all ? 0 : r->first;
    s->end = r->all ? data->images : r->end;
    s->resize = pg_dataset_resizing(data);
    s->before_resize =
        !r->behind_resize && (s->resize.from_height != s->resize.height || s->resize.from_width != s->resize.width);
    s->image_height = s->before_resize ? s->resize.from_height : s->resize.height;
    s->image_width = s->before_resize ? s->resize.from_width : s->resize.width;
    return pg_features_check(data, r->dataset, s->first, s->end, &s->info.geometry, r->weights);
}

/* The patch, what it changes behind a resize, the window it touches, and whether attack and defense can work on them. */
static int check_patch(pg_attack_setup *s)
{
    const pg_geometry *g = &s->info.geometry;
    int code = pg_patch_parse(s->request->patch, s->image_height, s->image_width, &s->patch_height, &s->patch_width);
    s->affected_height = s->patch_height;
    s->affected_width = s->patch_width;
    if (code == PG_OK && s->before_resize)
        code = pg_resize_affected_pixels(&s->resize, s->patch_height, s->patch_width, &s->affected_height, &s->affected_width);
    if (code != PG_OK)
        return code;
    s->defended =
        (pg_defended){s->defense, s->config, {g->input_height, g->input_width, s->affected_height, s->affected_width}};
    s->at_once = pg_defended_masks_images(&s->defended) ? 1 : s->request->batch;
    code = pg_defended_map(&s->defended, &s->info.geometry, &s->window);
    if (code != PG_OK)
        return pg_fail_at(code, "defense %s", s->defense->module.name);
    code = s->attack->check(s->attack_config, s->image_height, s->image_width, s->patch_height, s->patch_width, g->classes);
    if (code == PG_OK)
        code = pg_target_check(s->attack, s->attack_config, s->dataset, s->first, s->end - s->first);
    return code == PG_OK ? code : pg_fail_at(code, "attack %s", s->attack->module.name);
}

static int open_certifier(pg_attack_setup *s)
{
    const pg_geometry *g = &s->info.geometry;
    pg_locality_result locality;
    pg_defended_delta(&s->defended, &s->info, s->request->dtype, s->request->batch, false, &locality, &s->delta);
    s->has_delta = locality.measured;
    pg_job job = {.defense = s->defense,
                  .config = s->config,
                  .window = s->window,
                  .delta = s->delta,
                  .logit_delta = s->has_delta ? locality.delta_grid : 0};
    return pg_certifier_new(&job, 1, g->rows.positions, g->columns.positions, g->classes, g->rows.wrap, g->columns.wrap,
                            &s->certifier);
}

static int open_network(pg_attack_setup *s)
{
    const pg_attack_request *r = s->request;
    pg_network_options options = {.device = r->device, .dtype = r->dtype, .batch = r->batch, .threads = r->threads};
    int code = pg_defended_open(&s->defended, r->weights, s->model_pairs, s->n_model, &options, &s->network);
    pg_attack_job job = {.network = s->network,
                         .batch = s->at_once,
                         .attack = s->attack,
                         .attack_config = s->attack_config,
                         .defense = s->defense,
                         .config = s->config,
                         .window = s->window,
                         .resize = s->before_resize ? &s->resize : NULL,
                         .patch_height = s->patch_height,
                         .patch_width = s->patch_width,
                         .seed = r->seed,
                         .data_dir = r->data_dir,
                         .dataset = r->dataset,
                         .stopping = pg_signals_stopping};
    return code == PG_OK ? pg_attacker_open(&job, &s->attacker) : code;
}

int pg_attack_setup_open(const pg_attack_request *request, pg_attack_setup *out)
{
    *out = (pg_attack_setup){.request = request};
    int code = check_folder(request);
    if (code == PG_OK)
        code = check_text("--weights", request->weights);
    if (code == PG_OK)
        code = configure(out);
    if (code == PG_OK)
        code = pg_dataset_open(request->data_dir, request->dataset, &out->dataset);
    if (code == PG_OK)
        code = pg_weights_describe(request->weights, out->model_pairs, out->n_model, &out->info);
    if (code == PG_OK)
        code = check_fit(out);
    if (code == PG_OK)
        code = check_patch(out);
    if (code == PG_OK)
        code = open_certifier(out);
    if (code == PG_OK)
        code = open_network(out);
    return code;
}

void pg_attack_setup_close(pg_attack_setup *setup)
{
    pg_attacker_close(setup->attacker);
    pg_network_close(setup->network);
    pg_certifier_free(setup->certifier);
    pg_dataset_close(setup->dataset);
}
