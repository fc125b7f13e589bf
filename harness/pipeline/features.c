/* See features.h. Images are forwarded in the batches of `run`, image i at place i % batch, so verdicts on the files are those
 * of a run. */
#include "harness/pipeline/features.h"

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/base/npy.h"
#include "harness/base/version.h"
#include "harness/data/dataset.h"
#include "models/classes.h"
#include "harness/base/signals.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "patchgauge.features.1";

typedef struct output {
    pg_file_writer features, labels, meta;
} output;

/* The outputs that are the classes, as a cell has them: *out is *new* or NULL. */
static int find_outputs(const pg_features_request *r, const pg_dataset_info *data, int n, int **out, int *classes)
{
    pg_classes labels = {0}, stored = {0};
    int code = pg_classes_of_dataset(data, &labels);
    if (code == PG_OK)
        code = pg_classes_of(r->weights, &stored);
    if (code == PG_OK)
        code = pg_outputs_choose(&(pg_outputs_request){.network = r->weights,
                                                       .outputs = n,
                                                       .classes = &stored,
                                                       .dataset = r->dataset,
                                                       .labels = &labels,
                                                       .given = r->outputs,
                                                       .how = PG_OUTPUTS_HOW},
                                 r->predicts_labels, out, classes);
    pg_classes_release(&labels);
    pg_classes_release(&stored);
    return code;
}

static int write_all(FILE *stream, const void *data, size_t size)
{
    return fwrite(data, 1, size, stream) == size ? PG_OK : pg_fail(PG_EIO, "features cannot be written: the disk may be full");
}

/* One aligned batch: read, forward, write what was asked for. */
static int write_batch(const pg_features_request *r, const pg_dataset *dataset, pg_network *network, int64_t at,
                       uint8_t *pixels, int32_t *labels, float *logits, output *out)
{
    const pg_geometry *g = &pg_network_info(network)->geometry;
    size_t tensor = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes;
    int64_t stop = at + r->batch < r->end ? at + r->batch : r->end, from = at > r->first ? at : r->first;
    int code = pg_dataset_read(dataset, at, stop - at, pixels, labels);
    if (code == PG_OK)
        code = pg_network_forward(network, pixels, at, (int)(stop - at), logits);
    if (code == PG_OK)
        code = write_all(out->features.stream, logits + (size_t)(from - at) * tensor,
                         (size_t)(stop - from) * tensor * sizeof *logits);
    if (code == PG_OK)
        code = write_all(out->labels.stream, labels + (from - at), (size_t)(stop - from) * sizeof *labels);
    return code;
}

static int write_arrays(const pg_features_request *r, const pg_dataset *dataset, pg_network *network, output *out)
{
    const pg_geometry *g = &pg_network_info(network)->geometry;
    int64_t n = r->end - r->first, shape[] = {n, g->rows.positions, g->columns.positions, g->classes};
    size_t image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width;
    size_t tensor = (size_t)shape[1] * (size_t)shape[2] * (size_t)shape[3];
    uint8_t *pixels = malloc((size_t)r->batch * image);
    int32_t *labels = malloc((size_t)r->batch * sizeof *labels);
    float *logits = malloc((size_t)r->batch * tensor * sizeof *logits);
    int code = pixels && labels && logits ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a batch of %d images", r->batch);
    if (code == PG_OK)
        code = pg_npy_write_header(out->features.stream, PG_NPY_F4, 4, shape);
    if (code == PG_OK)
        code = pg_npy_write_header(out->labels.stream, PG_NPY_I4, 1, shape);
    pg_progress progress;
    pg_progress_start(&progress, "images", 0, n);
    for (int64_t at = r->first / r->batch * r->batch; code == PG_OK && at < r->end; at += r->batch) {
        if (pg_signals_stopping()) {
            code = pg_fail(PG_EINTERRUPTED, "interrupted; no file of %s changed", r->folder);
            break;
        }
        code = write_batch(r, dataset, network, at, pixels, labels, logits, out);
        pg_progress_update(&progress, (at + r->batch < r->end ? at + r->batch : r->end) - r->first, NULL);
    }
    pg_progress_finish(&progress);
    free(pixels);
    free(labels);
    free(logits);
    return code;
}

static json_t *axis_json(const pg_axis *a)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:b}", "positions", a->positions, "field", a->field, "stride", a->stride, "padding",
                     a->padding, "wrap", a->wrap);
}

/* In grid units of logits, rounding counted; null where it was not measured for such passes on this kind of machine. */
static json_t *delta_json(pg_network *network, const pg_features_request *r, bool any_batch)
{
    pg_locality_result found;
    pg_locality_find(pg_network_info(network), r->dtype, r->batch, any_batch, &found);
    bool here = found.measured && pg_locality_names(found.kinds, pg_network_device(network), pg_network_isa(network));
    return here ? json_integer(found.delta_grid) : json_null();
}

/* Of each class; null: class i is output i. */
static json_t *outputs_json(const int *outputs, int n)
{
    json_t *list = outputs ? json_array() : json_null();
    bool failed = !list;
    for (int i = 0; outputs && !failed && i < n; i++)
        failed = json_array_append_new(list, json_integer(outputs[i])) != 0;
    if (failed)
        json_decref(list);
    return failed ? NULL : list;
}

static int write_meta(const pg_features_request *r, const pg_dataset_info *data, const int *outputs, pg_network *network,
                      FILE *stream)
{
    const pg_weights_info *info = pg_network_info(network);
    const pg_geometry *g = &info->geometry;
    json_t *delta = delta_json(network, r, false), *anywhere = delta_json(network, r, true);
    json_t *meta = json_pack(
        "{s:s, s:s, s:s%, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:s, s:s, s:o, s:o, s:[ii], s:i, s:o, s:o, s:o}",
        "format", format_name, "version", PG_VERSION, "weights", r->weights, strlen(r->weights), "weights_sha256", info->hash,
        "model", info->model, "model_version", info->model_version, "dataset", r->dataset, "dataset_sha256", data->hash,
        "split", data->split, "delta_unit", "2^-20", "first", (json_int_t)r->first, "images", (json_int_t)(r->end - r->first),
        "batch", r->batch, "dtype", pg_dtype_names[r->dtype], "device", pg_network_device(network), "delta", delta,
        "delta_any_batch", anywhere, "input", g->input_height, g->input_width, "classes", g->classes, "outputs",
        outputs_json(outputs, g->classes), "rows", axis_json(&g->rows), "columns", axis_json(&g->columns));
    if (!meta)
        return pg_fail(PG_ENOMEM, "out of memory for meta.json");
    char *text = pg_json_dump(meta, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(meta);
    int code = text ? write_all(stream, text, strlen(text)) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = write_all(stream, "\n", 1);
    free(text);
    return code;
}

static int begin(const char *folder, const char *name, pg_file_writer *writer)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_file_begin(writer, path);
    free(path);
    return code;
}

static const char *const file_names[] = {"features.npy", "labels.npy", "meta.json", NULL};

/* Whether the folder holds what an earlier `features` wrote: its meta.json says so. */
static bool is_ours(const char *folder)
{
    char path[PATH_MAX], *text = NULL;
    size_t size = 0;
    bool ours = false;
    if (snprintf(path, sizeof path, "%s/meta.json", folder) < (int)sizeof path &&
        pg_file_read(path, 1 << 20, &text, &size) == PG_OK) {
        json_t *meta = json_loadb(text, size, 0, NULL);
        const char *format = json_string_value(json_object_get(meta, "format"));
        ours = format && strcmp(format, format_name) == 0;
        json_decref(meta);
    }
    free(text);
    return ours;
}

static int check_outputs(const pg_features_request *r)
{
    const char *const inputs[] = {r->weights, NULL};
    bool replace = r->force || is_ours(r->folder);
    int code = pg_folder_check(r->folder);
    for (int i = 0; code == PG_OK && file_names[i]; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s", r->folder, file_names[i]) >= (int)sizeof path)
            return pg_fail(PG_EINPUT, "-o: the name of the folder is too long");
        code = pg_output_check(path, replace, inputs);
    }
    return code;
}

static int write_files(const pg_features_request *r, const pg_dataset *dataset, const int *outputs, pg_network *network)
{
    output out = {0};
    char *made = NULL;
    int code = pg_folders_begin(r->folder, &made);
    if (code == PG_OK)
        code = begin(r->folder, file_names[0], &out.features);
    if (code == PG_OK)
        code = begin(r->folder, file_names[1], &out.labels);
    if (code == PG_OK)
        code = begin(r->folder, file_names[2], &out.meta);
    if (code == PG_OK)
        code = write_arrays(r, dataset, network, &out);
    if (code == PG_OK)
        code = write_meta(r, pg_dataset_info_of(dataset), outputs, network, out.meta.stream);
    if (code == PG_OK) /* first: it says whose files these are, should the next one fail */
        code = pg_file_commit(&out.meta);
    if (code == PG_OK)
        code = pg_file_commit(&out.features);
    if (code == PG_OK)
        code = pg_file_commit(&out.labels);
    pg_file_abort(&out.features);
    pg_file_abort(&out.labels);
    pg_file_abort(&out.meta);
    pg_folders_end(r->folder, made, code == PG_OK);
    return code;
}

/* What can be said before anything is opened. */
static int check_request(const pg_features_request *r)
{
    if (!*r->folder)
        return pg_fail(PG_EUSAGE, "the folder for features is an empty text; name one with -o");
    int code = check_outputs(r);
    if (code != PG_OK)
        return code;
    if (r->n_pairs > 0 && strcmp(r->weights, "null") != 0)
        return pg_fail(PG_EUSAGE, "--set %s: options of %s are part of the file; only those of the null model can be set",
                       r->pairs[0], r->weights);
    errno = 0;
    json_t *name = json_string(r->weights);
    json_decref(name);
    if (errno == ENOMEM)
        return pg_fail(PG_ENOMEM, "out of memory");
    return name ? PG_OK : pg_fail(PG_EINPUT, "%s: is not UTF-8, and meta.json names it; rename the file", r->weights);
}

/* Whether images first to end - 1 of the data set are there, and the network takes them. */
static int check_fit(const pg_dataset_info *data, const char *dataset, int64_t first, int64_t end, const pg_geometry *g,
                     const char *weights)
{
    if (end > data->images || first < 0 || first >= end)
        return pg_fail(PG_EINPUT, "images %lld:%lld: %s has the images 0:%lld", (long long)first, (long long)end, dataset,
                       (long long)data->images);
    if (g->input_height != data->height || g->input_width != data->width)
        return pg_fail(PG_EINPUT, "%s takes images of %d x %d pixels, %s has %d x %d; %.*s@%dx%d resizes them", weights,
                       g->input_height, g->input_width, dataset, data->height, data->width, (int)strcspn(dataset, "@"), dataset,
                       g->input_height, g->input_width);
    return PG_OK;
}

int pg_features_write(const pg_features_request *request)
{
    pg_features_request r = *request;
    pg_weights_info info;
    pg_dataset *dataset = NULL;
    pg_network *network = NULL;
    int *outputs = NULL, classes = 0;
    int code = check_request(&r);
    if (code == PG_OK)
        code = pg_dataset_open(r.data_dir, r.dataset, &dataset);
    if (code == PG_OK && r.all) {
        r.first = 0;
        r.end = pg_dataset_info_of(dataset)->images;
    }
    if (code == PG_OK)
        code = pg_weights_describe(r.weights, r.pairs, r.n_pairs, &info);
    if (code == PG_OK)
        code = check_fit(pg_dataset_info_of(dataset), r.dataset, r.first, r.end, &info.geometry, r.weights);
    if (code == PG_OK)
        code = find_outputs(&r, pg_dataset_info_of(dataset), info.geometry.classes, &outputs, &classes);
    pg_network_options options = {
        .device = r.device, .dtype = r.dtype, .batch = r.batch, .threads = r.threads, .outputs = outputs, .n_outputs = classes};
    if (code == PG_OK)
        code = pg_network_open(r.weights, r.pairs, r.n_pairs, &options, &network);
    if (code == PG_OK)
        code = write_files(&r, dataset, outputs, network);
    free(outputs);
    pg_network_close(network);
    pg_dataset_close(dataset);
    return code;
}
