/* What figures show besides counts: settings that are fixed, the training of networks and their maps of gradients, measured
 * times. See layout.h. */
#include "db/store.h"
#include "harness/base/memory.h"
#include "harness/base/safetensors.h"
#include "harness/cmd/layout.h"
#include "models/field_map.h"
#include "plots/figure.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { MAP_IMAGES = 64 };

/* ---- Fixed settings ---- */

/* An option of a module over all cells that have it. */
typedef struct setting {
    const pg_module *module;
    const pg_option *row;
    pg_buf value; /* of the first cell */
    bool varies, set;
} setting;

typedef struct settings {
    setting *items;
    size_t n;
    bool failed;
} settings;

/* Whether the value differs from the one that the option has where nobody sets it. */
static bool is_set(const pg_module *module, const pg_option *row, const void *config, const char *value)
{
    _Alignas(max_align_t) char copy[PG_CONFIG_MAX];
    pg_buf text = PG_BUF_EMPTY;
    memcpy(copy, config, module->config_size);
    bool set = pg_options_set(module->options, copy, module->name, row->name, row->fallback) != PG_OK ||
               (module->normalize != NULL && module->normalize(copy) != PG_OK);
    if (!set)
        pg_option_format(row, copy, &text);
    set |= strcmp(text.data, value) != 0;
    pg_buf_release(&text);
    return set;
}

static void add_option(settings *s, const pg_module *module, const pg_option *row, const void *config)
{
    pg_buf value = PG_BUF_EMPTY;
    pg_option_format(row, config, &value);
    setting *known = NULL;
    for (size_t i = 0; i < s->n && known == NULL; i++)
        known = s->items[i].row == row ? &s->items[i] : NULL;
    if (known != NULL) {
        known->varies |= strcmp(known->value.data, value.data) != 0;
        pg_buf_release(&value);
        return;
    }
    setting *items = realloc(s->items, (s->n + 1) * sizeof *items);
    if (items == NULL) {
        s->failed = true;
        pg_buf_release(&value);
        return;
    }
    s->items = items;
    s->items[s->n++] = (setting){.module = module, .row = row, .value = value, .set = is_set(module, row, config, value.data)};
}

static void add_module(settings *s, const pg_module *module, const void *config)
{
    for (const pg_option *row = module->options; row->name != NULL; row++)
        if (!row->recorded_only)
            add_option(s, module, row, config);
}

/* Another module of the matrix has this option with another value: the first one's name stands with it. */
static bool is_contested(const settings *s, const setting *one)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->items[i].row->name, one->row->name) == 0 &&
            (s->items[i].varies || strcmp(s->items[i].value.data, one->value.data) != 0))
            return true;
    return false;
}

static bool is_told(const settings *s, const setting *one)
{
    for (const setting *before = s->items; before < one; before++)
        if (strcmp(before->row->name, one->row->name) == 0)
            return true;
    return false;
}

/* Keys of the matrix that are no options, with their defaults. */
static void add_key(const pg_plan *plan, const char *key, const char *fallback, pg_buf *out)
{
    const char *value = pg_cell_value(pg_plan_at(plan, 0), key);
    for (size_t i = 1; i < pg_plan_count(plan); i++)
        if (strcmp(pg_cell_value(pg_plan_at(plan, i), key), value) != 0)
            return;
    if (value[0] != '\0' && strcmp(value, fallback) != 0)
        pg_buf_printf(out, "%s%s %s", out->size > 0 ? ", " : "", key, value);
}

void pg_layout_fixed(const pg_plan *plan, pg_buf *out)
{
    settings s = {0};
    if (pg_plan_count(plan) == 0)
        return;
    add_key(plan, "attack", "none", out);
    add_key(plan, "delta", "place", out);
    add_key(plan, "dtype", "fp32", out);
    add_key(plan, "patch-space", "image", out);
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        add_module(&s, &cell->defense->module, cell->config);
        if (cell->forward->attack != NULL)
            add_module(&s, &cell->forward->attack->module, cell->forward->attack_config);
    }
    for (size_t i = 0; i < s.n; i++) {
        const setting *one = &s.items[i];
        bool contested = is_contested(&s, one);
        if (!one->varies && one->set && (contested || !is_told(&s, one)))
            pg_buf_printf(out, "%s%s%s%s=%s", out->size > 0 ? ", " : "", contested ? one->module->name : "",
                          contested ? "." : "", one->row->name, one->value.data);
        s.failed |= one->value.failed;
    }
    out->failed |= s.failed;
    for (size_t i = 0; i < s.n; i++)
        pg_buf_release(&s.items[i].value);
    free(s.items);
}

/* ---- Networks ---- */

/* The record of model train (models/weights.h): a list of {"loss":..., "val":...}. Other records are no curve. */
static int read_epochs(const char *text, pg_table_network *out)
{
    json_error_t error;
    json_t *list = json_loads(text, 0, &error), *entry;
    size_t n = json_array_size(list), i;
    pg_table_epoch *epochs = calloc(n + 1, sizeof *epochs);
    if (epochs != NULL)
        json_array_foreach(list, i, entry)
        {
            const json_t *loss = json_object_get(entry, "loss"), *val = json_object_get(entry, "val");
            epochs[i].loss = json_is_number(loss) ? json_number_value(loss) : NAN;
            epochs[i].val = json_is_number(val) ? json_number_value(val) : NAN;
        }
    json_decref(list);
    out->epochs = epochs;
    out->n_epochs = epochs != NULL ? n : 0;
    return epochs != NULL ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for %zu epochs", n);
}

static int read_training(const char *weights, pg_table_network *out)
{
    pg_st_file *file = NULL;
    int code = pg_st_open_header(weights, &file);
    const char *record = code == PG_OK ? pg_st_metadata(file, "training") : NULL;
    if (record != NULL)
        code = read_epochs(record, out);
    pg_st_close(file);
    return code;
}

/* The network runs on the first images of the data set. */
static int measure_map(const pg_context *context, const pg_forward *f, pg_table_network *out)
{
    pg_field_map map;
    pg_field_map_request request = {
        .weights = f->weights, .data_dir = context->data_dir, .dataset = f->dataset, .device = "auto", .images = MAP_IMAGES};
    int code = pg_field_map_make(&request, &map);
    if (code != PG_OK)
        return code;
    out->map = map.values;
    out->map_height = map.height;
    out->map_width = map.width;
    out->field_top = map.field.top;
    out->field_left = map.field.left;
    out->field_height = map.field.height;
    out->field_width = map.field.width;
    out->images = map.images;
    return PG_OK;
}

int pg_layout_networks(const pg_context *context, const pg_plan *plan, unsigned reads, pg_layout *out)
{
    size_t n = pg_plan_forwards(plan);
    out->networks = calloc(n + 1, sizeof *out->networks);
    if (out->networks == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu networks", n);
    const char *elsewhere = NULL;
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        const pg_forward *f = pg_plan_forward(plan, i);
        bool here = f->weights_where == PG_WHERE_HERE;
        elsewhere = here ? elsewhere : f->weights;
        bool known = strcmp(f->weights, "null") == 0;
        for (size_t k = 0; k < i && !known; k++)
            known = strcmp(pg_plan_forward(plan, k)->weights, f->weights) == 0;
        if (known)
            continue;
        pg_buf name = PG_BUF_EMPTY;
        pg_layout_weights(plan, f->weights, &name);
        pg_table_network *network = &out->networks[out->table.n_networks++];
        network->name = pg_buf_take(&name);
        code = network->name != NULL ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a name");
        if (code == PG_OK && here && (reads & PG_READS_TRAINING))
            code = read_training(f->weights, network);
        if (code == PG_OK && (reads & PG_READS_MAPS))
            code = measure_map(context, f, network);
    }
    bool curves = false;
    for (size_t i = 0; i < out->table.n_networks; i++)
        curves |= out->networks[i].n_epochs > 0;
    if (code == PG_OK && elsewhere && !curves && (reads & PG_READS_TRAINING))
        code =
            pg_fail(PG_EINPUT, "figure training reads the record in weights files, and %s is not on this machine", elsewhere);
    return code;
}

/* ---- Times ---- */

/* Attempts with the same of all this are one entry: the network, one cell where there was one, else how many,
 * and the device. */
typedef struct time_key {
    const pg_forward *forward;
    const pg_cell *cell; /* NULL: several at once */
    int64_t cells;
    char device[96]; /* "cpu, 2 threads, batch 128, libtorch 1.13.0" */
} time_key;

typedef struct times {
    const pg_plan *plan;
    const pg_cell *cell; /* whose attempts are read */
    struct {
        int64_t task, epoch;
    } * seen; /* of this forward pass: a task serves many cells */
    size_t n_seen, seen_capacity;
    time_key *keys; /* of the layout's entries, in their order */
    pg_layout *out;
} times;

/* Whether this attempt was counted already, with another cell of its task. */
static int see(times *t, const pg_attempt_record *record, bool *before)
{
    *before = false;
    for (size_t i = t->n_seen; i-- > 0 && !*before;)
        *before = t->seen[i].task == record->task && t->seen[i].epoch == record->epoch;
    if (*before)
        return PG_OK;
    void *seen = pg_grow(t->seen, t->n_seen, &t->seen_capacity, sizeof *t->seen);
    if (seen == NULL)
        return PG_ENOMEM;
    t->seen = seen;
    t->seen[t->n_seen].task = record->task;
    t->seen[t->n_seen++].epoch = record->epoch;
    return PG_OK;
}

static int new_time(times *t, const time_key *key)
{
    pg_layout *out = t->out;
    size_t n = out->table.n_times;
    time_key *keys = realloc(t->keys, (n + 1) * sizeof *keys);
    t->keys = keys != NULL ? keys : t->keys;
    pg_table_time *list = realloc(out->times, (n + 1) * sizeof *list);
    out->times = list != NULL ? list : out->times;
    if (keys == NULL || list == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu times", n + 1);
    pg_buf label = PG_BUF_EMPTY;
    pg_layout_weights(t->plan, key->forward->weights, &label);
    for (size_t i = 0; i < key->forward->n_model_pairs; i++) /* of the null model */
        pg_buf_printf(&label, "\n%s", key->forward->model_pairs[i]);
    if (key->cell != NULL)
        pg_buf_printf(&label, "\n%s", key->cell->defense->module.name);
    keys[n] = *key;
    list[n] = (pg_table_time){.label = pg_buf_take(&label), .device = strdup(key->device), .cells = key->cells};
    out->table.n_times++;
    return list[n].label != NULL && list[n].device != NULL ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a label");
}

static int count_attempt(const pg_attempt_record *record, void *context)
{
    times *t = context;
    bool before = false;
    if (strcmp(record->result, "done") != 0 || record->cached > 0 || record->count <= 0)
        return PG_OK;
    int code = see(t, record, &before);
    if (code != PG_OK || before)
        return code;
    time_key key = {.forward = t->cell->forward, .cell = record->cells == 1 ? t->cell : NULL, .cells = record->cells};
    snprintf(key.device, sizeof key.device, "%s, %d thread%s, batch %d%s%s%.*s", record->device, record->threads,
             record->threads == 1 ? "" : "s", record->batch, key.forward->dtype == PG_DTYPE_BF16 ? ", bf16" : "",
             record->library[0] ? ", " : "", (int)strcspn(record->library, ";"), record->library);
    size_t i = 0;
    while (i < t->out->table.n_times && (t->keys[i].forward != key.forward || t->keys[i].cell != key.cell ||
                                         t->keys[i].cells != key.cells || strcmp(t->keys[i].device, key.device) != 0))
        i++;
    if (i == t->out->table.n_times)
        code = new_time(t, &key);
    if (code != PG_OK)
        return code;
    pg_table_time *time = &t->out->times[i];
    time->images += record->count;
    time->read_s += record->read_s;
    time->forward_s += record->forward_s;
    time->certify_s += record->certify_s;
    return PG_OK;
}

int pg_layout_times(pg_store *store, const pg_plan *plan, pg_layout *out)
{
    times t = {.plan = plan, .out = out};
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_forwards(plan); i++) {
        const pg_forward *f = pg_plan_forward(plan, i);
        t.n_seen = 0;
        for (size_t k = 0; code == PG_OK && f->attack == NULL && k < pg_plan_count(plan); k++) {
            t.cell = pg_plan_at(plan, k);
            if (t.cell->forward == f)
                code = pg_store_each_attempt(store, t.cell->id, count_attempt, &t);
        }
    }
    free(t.seen);
    free(t.keys);
    return code;
}

void pg_layout_more_release(pg_layout *layout)
{
    for (size_t i = 0; i < layout->table.n_networks; i++) {
        free((char *)layout->networks[i].name);
        free((pg_table_epoch *)layout->networks[i].epochs);
        free((float *)layout->networks[i].map);
    }
    for (size_t i = 0; i < layout->table.n_times; i++) {
        free((char *)layout->times[i].label);
        free((char *)layout->times[i].device);
    }
    free(layout->networks);
    free(layout->times);
}
