/* See leaderboard.h. */
#include "harness/cmd/leaderboard.h"

#include "attacks/attack.h"
#include "defenses/defense.h"
#include "harness/base/file.h"
#include "harness/base/grid.h"
#include "harness/base/option.h"
#include "harness/base/stats.h"
#include "harness/base/utf8.h"
#include "harness/base/version.h"
#include "harness/plan/keys.h"

#include <jansson.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FORM_VERSION = 1 };
enum { FILE_BYTES_MAX = 256 << 20, IMAGES_MAX = 10000000 };

static int no_memory(void) { return pg_fail(PG_ENOMEM, "out of memory for a submission"); }

static const char *setting(const pg_cell_result *r, const char *key) { return pg_cell_result_setting(r, key); }

/* ---- Settings ---- */

static bool is_option_of(const pg_module *module, const char *key)
{
    size_t length = strlen(module->name);
    return strncmp(key, module->name, length) == 0 && key[length] == '.' && pg_option_find(module->options, key + length + 1);
}

/* Whether a matrix with this key makes the cell: keys of their own, and options of its defense, its attack and the null model,
 * whose weights are its options. */
static bool is_of_matrix(const pg_cell_result *r, const char *key)
{
    if (strcmp(key, "delta") == 0 && strcmp(setting(r, key), "any-batch") != 0)
        return false; /* the default, or the number that older cells have under this name */
    for (const pg_key *k = pg_keys; k->name; k++)
        if (strcmp(k->name, key) == 0)
            return k != &pg_keys[PG_KEY_IMAGES];
    const pg_defense *defense = pg_defense_find(setting(r, "defense"));
    if (defense && is_option_of(&defense->module, key))
        return true;
    for (size_t i = 0; pg_attacks[i]; i++)
        if (strcmp(pg_attacks[i]->module.name, setting(r, "attack")) == 0 && is_option_of(&pg_attacks[i]->module, key))
            return true;
    return strcmp(setting(r, "weights"), "null") == 0 && strncmp(key, "null.", 5) == 0;
}

/* JSON holds UTF-8; file names may be anything. */
static int check_text(const pg_cell_result *r)
{
    for (size_t i = 0; i < r->n_settings; i++) {
        const char *at = r->settings[i].value;
        for (size_t size; *at && (size = pg_utf8_size(at)) > 0; at += size) {
        }
        if (*at)
            return pg_fail(PG_EINPUT, "cell %.12s: its %s is not UTF-8, which a submission is; rename the file", r->cell_id,
                           r->settings[i].key);
    }
    return PG_OK;
}

static json_t *make_settings(const pg_cell_result *r)
{
    json_t *settings = json_object();
    for (size_t i = 0; i < r->n_settings; i++)
        if (is_of_matrix(r, r->settings[i].key))
            (void)json_object_set_new(settings, r->settings[i].key, json_string(r->settings[i].value));
    const char *outputs = setting(r, "label.outputs"); /* as they were found, since a file may be elsewhere */
    if (*outputs)
        (void)json_object_set_new(settings, "outputs", json_string(outputs));
    return settings;
}

/* The options of a module, "MODULE." taken off. */
static json_t *make_options(const pg_cell_result *r, const char *module)
{
    json_t *options = json_object();
    size_t length = strlen(module);
    for (size_t i = 0; *module && i < r->n_settings; i++) {
        const char *key = r->settings[i].key;
        if (strncmp(key, module, length) == 0 && key[length] == '.' && strcmp(key + length + 1, "version") != 0)
            (void)json_object_set_new(options, key + length + 1, json_string(r->settings[i].value));
    }
    return options;
}

static void add_toml(pg_buf *out, const char *key, const char *value)
{
    pg_matrix_string(out, key);
    pg_buf_puts(out, " = ");
    pg_matrix_string(out, value);
    pg_buf_puts(out, "\n");
}

/* ---- Numbers ---- */

static json_t *make_share(int64_t count, int64_t n)
{
    if (n <= 0)
        return json_null();
    pg_interval share = pg_wilson(count, n);
    return json_pack("{s:I,s:I,s:f,s:f,s:f}", "count", (json_int_t)count, "n", (json_int_t)n, "value", 100 * share.value, "lo",
                     100 * share.lo, "hi", 100 * share.hi);
}

static json_t *make_results(const pg_cell_result *r)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o}", "unit", "percent of images, 95% Wilson interval", "clean",
                     make_share(r->clean, r->n), "certified_recovery", make_share(r->certified, r->n), "certified_published",
                     r->has_published ? make_share(r->certified_published, r->n) : json_null(), "under_attack",
                     make_share(r->attacked, r->attacked_n), "smallest_margin",
                     r->has_smallest_margin ? json_real(pg_grid_value(r->smallest_margin)) : json_null());
}

static int add_audit(const pg_audit_record *a, void *context)
{
    return json_array_append_new(context,
                                 json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "level", a->level, "n", (json_int_t)a->n,
                                           "certified", (json_int_t)a->certified, "broken", (json_int_t)a->broken, "unbroken",
                                           (json_int_t)a->unbroken, "published_broken", (json_int_t)a->published_broken,
                                           "settings", a->settings, "finished", a->finished)) == 0
               ? PG_OK
               : no_memory();
}

/* Times of the attempts that computed all their local logits; the certificates of a task are shared by its cells. */
typedef struct cost {
    int64_t images;
    double read_s, forward_s, certify_s;
    char device[64], library[256], revision[64];
    int threads, batch;
} cost;

static int add_cost(const pg_attempt_record *a, void *context)
{
    cost *c = context;
    if (strcmp(a->result, "done") != 0 || a->cached > 0 || a->cells < 1)
        return PG_OK;
    c->images += a->count;
    c->read_s += a->read_s;
    c->forward_s += a->forward_s;
    c->certify_s += a->certify_s / (double)a->cells;
    snprintf(c->device, sizeof c->device, "%s", a->device);
    snprintf(c->library, sizeof c->library, "%s", a->library);
    snprintf(c->revision, sizeof c->revision, "%s", a->revision);
    c->threads = a->threads;
    c->batch = a->batch;
    return PG_OK;
}

static json_t *make_cost(const cost *c)
{
    if (c->images == 0)
        return json_null();
    double ms = 1000 / (double)c->images;
    return json_pack("{s:I,s:f,s:f,s:f,s:s,s:s,s:s,s:i,s:i}", "images", (json_int_t)c->images, "read_ms", ms * c->read_s,
                     "forward_ms", ms * c->forward_s, "certify_ms", ms * c->certify_s, "device", c->device, "library",
                     c->library, "revision", c->revision, "threads", c->threads, "batch", c->batch);
}

/* ---- Images ---- */

typedef struct image_lists {
    json_t *labels, *predictions, *certified, *margins;
} image_lists;

static int add_image(const pg_outcome *o, void *context)
{
    image_lists *l = context;
    bool added = json_array_append_new(l->labels, json_integer(o->label)) == 0 &&
                 json_array_append_new(l->predictions, json_integer(o->prediction)) == 0 &&
                 json_array_append_new(l->certified, json_boolean(o->certified)) == 0 &&
                 json_array_append_new(l->margins, o->has_margin ? json_integer(o->margin) : json_null()) == 0;
    return added ? PG_OK : no_memory();
}

static int make_images(pg_store *store, const pg_cell_result *r, json_t **out)
{
    image_lists l = {json_array(), json_array(), json_array(), json_array()};
    int code = pg_store_each_outcome(store, r->cell_id, add_image, &l);
    *out = json_pack("{s:I,s:I,s:o,s:o,s:o,s:o}", "first", (json_int_t)r->first, "count", (json_int_t)r->images, "label",
                     l.labels, "prediction", l.predictions, "certified", l.certified, "margin", l.margins);
    return code == PG_OK && !*out ? no_memory() : code;
}

/* ---- The file ---- */

static json_t *make_model(const pg_cell_result *r)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "name", setting(r, "model"), "version", setting(r, "model.version"),
                     "weights", setting(r, "weights"), "sha256", setting(r, "weights.hash"), "map", setting(r, "map"),
                     "options", make_options(r, setting(r, "model")));
}

static json_t *make_defense(const pg_cell_result *r)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:o}", "name", setting(r, "defense"), "version", setting(r, "defense.version"),
                     "certificate", setting(r, "certificate"), "window", setting(r, "window"), "options",
                     make_options(r, setting(r, "defense")));
}

static json_t *make_threat_model(const pg_cell_result *r)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "attacker",
                     "knows everything; any contents of 8 bits, at any place inside "
                     "the image",
                     "shape", "one axis-aligned rectangle", "patch", setting(r, "patch"), "patch_px", setting(r, "patch.px"),
                     "patch_space", setting(r, "patch-space"), "wins", "the prediction is not the label");
}

static json_t *make_locality(const pg_cell_result *r)
{
    return json_pack("{s:s,s:o,s:s,s:s}", "state", setting(r, "locality"), "delta",
                     r->has_delta ? json_real(pg_grid_value(r->delta)) : json_null(), "measured_on", setting(r, "locality.on"),
                     "place", setting(r, "delta"));
}

static json_t *make_reproduction(const pg_cell_result *r, const json_t *settings)
{
    pg_buf matrix;
    pg_buf_init(&matrix);
    pg_buf_puts(&matrix, "name = \"submission\"\n[fixed]\n");
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)settings, key, value) add_toml(&matrix, key, json_string_value(value));
    pg_buf_printf(&matrix, "images = \"%" PRId64 ":%" PRId64 "\"\n", r->first, r->first + r->images);
    json_t *made =
        json_pack("{s:s,s:[s,s,s]}", "matrix", matrix.data ? matrix.data : "", "commands",
                  "patchgauge run submission.toml --db submission.db", "patchgauge table submission.toml --db submission.db",
                  "patchgauge verify submission.json --images 1000000");
    pg_buf_release(&matrix);
    return made;
}

int pg_leaderboard_write(pg_store *store, const char *cell_id, pg_buf *out)
{
    pg_cell_result r;
    cost times = {0};
    json_t *images = NULL, *audits = json_array(), *root = NULL;
    char now[32];
    time_t at = time(NULL);
    struct tm parts;
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &parts));
    int code = pg_store_cell_checked(store, cell_id, &r);
    if (code == PG_OK && r.state != PG_CELL_DONE)
        code = pg_fail(PG_EINPUT, "cell %.12s has %" PRId64 " of %" PRId64 " images: only a cell that is done can be submitted",
                       cell_id, r.n, r.images);
    if (code == PG_OK)
        code = check_text(&r);
    if (code == PG_OK)
        code = pg_store_each_audit(store, cell_id, add_audit, audits);
    if (code == PG_OK)
        code = pg_store_each_attempt(store, cell_id, add_cost, &times);
    if (code == PG_OK)
        code = make_images(store, &r, &images);
    if (code == PG_OK) {
        json_t *settings = make_settings(&r);
        root = json_pack("{s:s,s:i,s:s,s:s,s:s,s:o,s:o,s:{s:s,s:s,s:s},s:o,s:o,s:o,s:o,s:O,s:o,s:o,s:O}", "form", "submission",
                         "version", FORM_VERSION, "program", "patchgauge " PG_VERSION, "written", now, "cell", cell_id, "model",
                         make_model(&r), "defense", make_defense(&r), "dataset", "name", setting(&r, "dataset"), "sha256",
                         setting(&r, "dataset.hash"), "classes", setting(&r, "classes"), "threat_model", make_threat_model(&r),
                         "locality", make_locality(&r), "results", make_results(&r), "cost", make_cost(&times), "audits",
                         audits, "settings", settings, "reproduce", make_reproduction(&r, settings), "images", images);
        char *text = root ? json_dumps(root, JSON_INDENT(0)) : NULL;
        if (text)
            pg_buf_printf(out, "%s\n", text);
        code = text ? pg_buf_check(out) : no_memory();
        free(text);
    }
    json_decref(root);
    json_decref(images);
    json_decref(audits);
    pg_cell_result_release(&r);
    return code;
}

/* ---- Reading ---- */

static int bad(const char *path, const char *what)
{
    return pg_fail(PG_EINPUT, "%s: %s; right would be a file that `patchgauge export --submission` wrote", path, what);
}

/* A string of an object; NULL where there is none. */
static const char *text_of(const json_t *object, const char *key) { return json_string_value(json_object_get(object, key)); }

static bool is_hash(const char *text)
{
    return text && strlen(text) == PG_HASH_HEX - 1 && strspn(text, "0123456789abcdef") == PG_HASH_HEX - 1;
}

/* The settings that make predictions and certificates: all but the data set, the weights, and what belongs to the attack. */
static int read_settings(const char *path, const json_t *settings, pg_leaderboard *out)
{
    static const char *const others[] = {"dataset", "weights", "images", "attack", "seed", "delta", NULL};
    const char *key, *attack = text_of(settings, "attack"), *weights = text_of(settings, "weights"),
                     *dataset = text_of(settings, "dataset"), *batch = text_of(settings, "batch"),
                     *delta = text_of(settings, "delta");
    json_t *value;
    pg_buf text;
    if (!json_is_object(settings) || !weights || !dataset || !attack)
        return bad(path, "its settings name no weights, data set and attack");
    if (!batch || pg_parse_int(batch, &out->batch) != PG_OK || out->batch < 1 || out->batch > 4096)
        return bad(path, "its settings have no batch from 1 to 4096");
    out->any_batch = delta && strcmp(delta, "any-batch") == 0;
    pg_buf_init(&text);
    json_object_foreach((json_t *)settings, key, value)
    {
        bool other = strncmp(key, attack, strlen(attack)) == 0 && key[strlen(attack)] == '.';
        for (size_t i = 0; others[i]; i++)
            other |= strcmp(key, others[i]) == 0;
        if (!other && json_is_string(value))
            add_toml(&text, key, json_string_value(value));
    }
    out->weights = strdup(weights);
    out->dataset = strdup(dataset);
    out->matrix = pg_buf_take(&text);
    return out->weights && out->dataset && out->matrix ? PG_OK : no_memory();
}

static bool read_image(const json_t *images, const char *const lists[3], size_t i, pg_leaderboard_image *out)
{
    const json_t *prediction = json_array_get(json_object_get(images, lists[0]), i),
                 *certified = json_array_get(json_object_get(images, lists[1]), i),
                 *margin = json_array_get(json_object_get(images, lists[2]), i);
    if (!json_is_integer(prediction) || !json_is_boolean(certified) || !(json_is_integer(margin) || json_is_null(margin)))
        return false;
    json_int_t class = json_integer_value(prediction);
    *out = (pg_leaderboard_image){.prediction = class >= -1 && class <= INT32_MAX ? (int)class : -1,
                                  .certified = json_is_true(certified),
                                  .has_margin = json_is_integer(margin),
                                  .margin = json_integer_value(margin)};
    return class >= -1 && class <= INT32_MAX;
}

static int read_images(const char *path, const json_t *images, pg_leaderboard *out)
{
    static const char *const lists[3] = {"prediction", "certified", "margin"};
    json_int_t first = json_integer_value(json_object_get(images, "first")),
               count = json_integer_value(json_object_get(images, "count"));
    if (first < 0 || first > INT32_MAX || count < 1 || count > IMAGES_MAX)
        return bad(path, "it names no images");
    for (size_t i = 0; i < 3; i++)
        if (json_array_size(json_object_get(images, lists[i])) != (size_t)count)
            return bad(path, "its lists of images are not as long as it says");
    out->first = first;
    out->count = count;
    out->images = calloc((size_t)count, sizeof *out->images);
    if (!out->images)
        return no_memory();
    for (size_t i = 0; i < (size_t)count; i++)
        if (!read_image(images, lists, i, &out->images[i]))
            return bad(path, "an image has no prediction, certificate and margin");
    return PG_OK;
}

static int read_root(const char *path, const json_t *root, pg_leaderboard *out)
{
    const char *form = text_of(root, "form"), *weights = text_of(json_object_get(root, "model"), "sha256"),
               *dataset = text_of(json_object_get(root, "dataset"), "sha256");
    if (!form || strcmp(form, "submission") != 0)
        return bad(path, "is no submission");
    if (json_integer_value(json_object_get(root, "version")) != FORM_VERSION)
        return pg_fail(PG_EUNSUPPORTED, "%s: a submission of version %lld; this program knows version %d", path,
                       (long long)json_integer_value(json_object_get(root, "version")), FORM_VERSION);
    if (!is_hash(weights) || !is_hash(dataset))
        return bad(path, "it has no hashes of weights and data set");
    memcpy(out->weights_hash, weights, PG_HASH_HEX);
    memcpy(out->dataset_hash, dataset, PG_HASH_HEX);
    int code = read_settings(path, json_object_get(root, "settings"), out);
    return code == PG_OK ? read_images(path, json_object_get(root, "images"), out) : code;
}

int pg_leaderboard_read(const char *path, pg_leaderboard *out)
{
    char *text = NULL;
    size_t size = 0;
    json_error_t error;
    *out = (pg_leaderboard){0};
    int code = pg_file_read(path, FILE_BYTES_MAX, &text, &size);
    if (code != PG_OK)
        return code;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    code = root ? read_root(path, root, out) : pg_fail(PG_EINPUT, "%s:%d: %s", path, error.line, error.text);
    json_decref(root);
    if (code != PG_OK)
        pg_leaderboard_release(out);
    return code;
}

void pg_leaderboard_release(pg_leaderboard *entry)
{
    free(entry->matrix);
    free(entry->weights);
    free(entry->dataset);
    free(entry->images);
    *entry = (pg_leaderboard){0};
}
