#include "models/weights.h"
#include "models/torchscript.h"

#include "harness/base/file.h"
#include "harness/base/file_kind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "patchgauge.weights";

const char *const pg_weights_keys[] = {"format", "model",   "model_version", "options", "classes",  "class_names",
                                       "input",  "dataset", "dataset_hash",  "command", "training", "seed",
                                       "source", NULL};

/* "key=value;key=value" -> resolved config. */
static int parse_options(const pg_model *model, const char *text, void *config)
{
    char *copy = strdup(text ? text : ""), *pairs[32], *rest = copy;
    size_t n = 0;
    if (!copy)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (char *pair; (pair = strsep(&rest, ";")) && n < 32;)
        if (*pair)
            pairs[n++] = pair;
    int code = pg_module_configure(&model->module, "model", (const char *const *)pairs, n, config);
    free(copy);
    return code;
}

static int metadata_int(const pg_st_file *f, const char *key, int64_t lo, int64_t hi, int64_t *out)
{
    const char *text = pg_st_metadata(f, key);
    if (!text || pg_parse_int(text, out) || *out < lo || *out > hi)
        return pg_fail(PG_EDAMAGED, "metadata '%s' is %s%s%s; a whole number from %ld to %ld is needed", key,
                       text ? "'" : "missing", text ? text : "", text ? "'" : "", (long)lo, (long)hi);
    return PG_OK;
}

/* Names, number and shapes of the tensors against those of the architecture. */
static int check_tensors(const pg_st_file *f, const pg_model *model, const pg_weights_info *info)
{
    pg_parameters ps;
    pg_geometry traced;
    const pg_geometry *g = &info->geometry;
    int code = pg_model_trace(model, info->config, g->input_height, g->input_width, g->classes, &ps, &traced);
    if (code != PG_OK)
        return code;
    if (pg_st_count(f) != ps.n)
        code = pg_fail(PG_EDAMAGED, "%zu tensors, but the architecture has %zu", pg_st_count(f), ps.n);
    for (size_t i = 0; code == PG_OK && i < ps.n; i++) {
        const pg_st_tensor *st = pg_st_find(f, ps.items[i].name);
        if (!st)
            code = pg_fail(PG_EDAMAGED, "tensor '%s' is missing", ps.items[i].name);
        else if (!pg_parameter_has_shape(&ps.items[i], st->rank, st->shape))
            code = pg_fail(PG_EDAMAGED, "tensor '%s' has another shape than the architecture and its options say",
                           ps.items[i].name);
    }
    pg_parameters_release(&ps, NULL);
    return code;
}

static int describe_file(const pg_st_file *f, pg_weights_info *out)
{
    const char *format = pg_st_metadata(f, "format"), *name = pg_st_metadata(f, "model"), *size = pg_st_metadata(f, "input");
    const char *dataset_hash = pg_st_metadata(f, "dataset_hash");
    if (!format || strcmp(format, format_name) != 0 || !name)
        return pg_fail(
            PG_EINPUT,
            "no weights of this program: the metadata record (format = %s) is missing; `patchgauge model train` writes it",
            format_name);
    if (!pg_st_checked(f))
        return pg_fail(PG_EDAMAGED, "its checksum is missing");
    const pg_model *model = pg_model_find(name);
    if (!model)
        return PG_EINPUT;
    if (!model->hooks->forward)
        return pg_fail(PG_EDAMAGED, "names the model %s, which has no weights; name it `%s` in the place of a file", name,
                       name);
    int64_t version, classes;
    int height, width;
    int code = metadata_int(f, "model_version", 1, 1000000, &version);
    if (code == PG_OK)
        code = metadata_int(f, "classes", 2, 100000, &classes);
    if (code == PG_OK && (!size || pg_parse_size(size, &height, &width) || height > 4096 || width > 4096))
        code = pg_fail(PG_EDAMAGED, "metadata 'input' is '%s'; HxW up to 4096 is needed", size ? size : "");
    if (code == PG_OK && version != model->module.version)
        code = pg_fail(PG_EUNSUPPORTED, "made for version %ld of model %s; this program has version %d", (long)version, name,
                       model->module.version);
    if (code == PG_OK)
        code = parse_options(model, pg_st_metadata(f, "options"), out->config);
    if (code == PG_OK)
        code = model->geometry(out->config, height, width, (int)classes, &out->geometry);
    const char *locality = pg_st_metadata(f, "locality");
    if (code == PG_OK && locality)
        code = pg_locality_parse(locality, &out->locality);
    if (code == PG_OK)
        code = check_tensors(f, model, out);
    if (code != PG_OK)
        return code;
    snprintf(out->model, sizeof out->model, "%s", name);
    snprintf(out->hash, sizeof out->hash, "%s", pg_st_hash(f));
    snprintf(out->dataset_hash, sizeof out->dataset_hash, "%s", dataset_hash ? dataset_hash : "");
    out->model_version = (int)version;
    return PG_OK;
}

/* The null model's "weights" are its options: their hash stands for the content. */
static int describe_null(const char *const *pairs, size_t n, pg_weights_info *out)
{
    const pg_model *model = pg_model_find("null");
    if (!model)
        return PG_EINPUT;
    int code = pg_module_configure(&model->module, "model", pairs, n, out->config);
    if (code == PG_OK)
        code = model->geometry(out->config, 0, 0, 0, &out->geometry);
    pg_buf text = PG_BUF_EMPTY;
    pg_options_canonical(model->module.options, out->config, "null.", true, &text);
    int hashed = pg_hash_text(&text, out->hash);
    code = code == PG_OK ? hashed : code;
    snprintf(out->model, sizeof out->model, "null");
    out->model_version = model->module.version;
    out->locality = (pg_locality){.measured = true, .outside = -1}; /* logits of a position depend on nothing else */
    return code;
}

int pg_weights_describe(const char *weights, const char *const *pairs, size_t n, pg_weights_info *out)
{
    memset(out, 0, sizeof *out);
    if (strcmp(weights, "null") == 0)
        return describe_null(pairs, n, out);
    pg_st_file *f = NULL;
    const char *kind = pg_file_kind(weights);
    if (kind)
        return pg_fail(PG_EUNSUPPORTED, "%s: is %s, no weights file; %s", weights, kind,
                       strcmp(kind, "a file of torch.save") == 0
                           ? "`patchgauge model import` makes one of it"
                           : "right would be one that `patchgauge model train` or `patchgauge model import` wrote");
    int code = pg_st_open_header(weights, &f);
    if (code == PG_OK && (code = describe_file(f, out)))
        pg_fail_at(code, "%s", weights);
    pg_st_close(f);
    return code != PG_OK ? code : pg_locality_read(weights, out);
}

static int load_one(const pg_st_file *f, pg_scope *s, pg_parameter *p)
{
    const pg_st_tensor *st = pg_st_find(f, p->name);
    if (!st || !pg_parameter_has_shape(p, st->rank, st->shape) || (p->kind == PG_PARAMETER_SCRIPT && st->dtype != PG_ST_U8))
        return pg_fail(PG_EDAMAGED, "tensor '%s' is missing or of another shape than the architecture's", p->name);
    if (p->kind == PG_PARAMETER_SCRIPT) {
        int code = pg_script_trusted("it");
        return code != PG_OK ? code : pg_script_open(s, st->data, st->size, &p->script);
    }
    size_t count = (size_t)pg_parameter_elements(p);
    float *values = malloc(count * sizeof *values);
    if (!values)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_st_to_float(st, values, count);
    for (size_t i = 0; code == PG_OK && i < count; i++)
        if (!isfinite(values[i]))
            code = pg_fail(PG_EDAMAGED, "tensor '%s' holds a value that is not finite", p->name);
    if (code == PG_OK) {
        const pg_torch *t = s->torch;
        pg_tensor *x = t->from_data(s, values, PG_T_F32, p->rank, p->shape);
        p->tensor = t->keep(s, p->rank == 4 ? t->channels_last(s, x) : x);
        code = pg_scope_check(s);
        t->scope_clear(s);
    }
    free(values);
    return code;
}

int pg_weights_load(const char *path, pg_scope *scope, pg_parameters *parameters)
{
    pg_st_file *f = NULL;
    int code = pg_st_open(path, &f);
    if (code != PG_OK)
        return code;
    if (pg_st_count(f) != parameters->n)
        code = pg_fail(PG_EDAMAGED, "%zu tensors, but the architecture has %zu", pg_st_count(f), parameters->n);
    for (size_t i = 0; code == PG_OK && i < parameters->n; i++)
        code = load_one(f, scope, &parameters->items[i]);
    pg_st_close(f);
    return code != PG_OK ? pg_fail_at(code, "%s", path) : PG_OK;
}

pg_st_tensor pg_weights_tensor(const pg_parameter *p, const char *name, float *values)
{
    pg_st_tensor t = {
        .name = name, .dtype = PG_ST_F32, .rank = p->rank, .data = values, .size = 4 * (size_t)pg_parameter_elements(p)};
    memcpy(t.shape, p->shape, sizeof p->shape);
    return t;
}

int pg_weights_to_half(pg_st_tensor *t)
{
    const float *values = t->data;
    size_t count = t->size / sizeof *values;
    uint16_t *half = malloc(count * sizeof *half);
    int code = half ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; code == PG_OK && i < count; i++) {
        half[i] = pg_half_from_float(values[i]);
        if (!isfinite(pg_half_to_float(half[i])))
            code = pg_fail(PG_EINPUT, "tensor '%s' holds %g, which half precision cannot hold", t->name, (double)values[i]);
    }
    free((void *)t->data);
    t->data = half;
    t->dtype = PG_ST_F16;
    t->size = count * sizeof *half;
    return code;
}

/* Reads one parameter back; *new* bytes in out->data, row-major. */
static int save_one(pg_scope *s, const pg_parameter *p, bool half, pg_st_tensor *out)
{
    size_t count = (size_t)pg_parameter_elements(p);
    float *values = malloc(count * sizeof *values);
    *out = pg_weights_tensor(p, p->name, values);
    if (!values)
        return pg_fail(PG_ENOMEM, "out of memory");
    s->torch->read(s, p->tensor, values, PG_T_F32, (int64_t)count);
    s->torch->scope_clear(s);
    int code = pg_scope_check(s);
    return code == PG_OK && half ? pg_weights_to_half(out) : code;
}

typedef struct metadata {
    const char *keys[PG_WEIGHTS_KEYS_MAX], *values[PG_WEIGHTS_KEYS_MAX];
    size_t n;
} metadata;

static void put(metadata *m, const char *key, const char *value)
{
    if (value) {
        m->keys[m->n] = key;
        m->values[m->n++] = value;
    }
}

int pg_weights_check_output(const char *path, bool force, const char *command)
{
    static const char import[] = "patchgauge model import ";
    pg_st_file *f = NULL;
    const char *found = NULL;
    if (!force && pg_file_size(path) >= 0 && pg_st_open_header(path, &f) == PG_OK)
        found = pg_st_metadata(f, "command");
    bool ours = found && (command ? strcmp(found, command) == 0 : strncmp(found, import, sizeof import - 1) == 0);
    pg_st_close(f);
    return pg_output_check(path, force || ours, NULL);
}

int pg_weights_write(const char *path, const pg_st_tensor *tensors, size_t n, const pg_weights_record *r)
{
    char version[16], classes[16], input[32], seed[24];
    snprintf(version, sizeof version, "%d", r->model->module.version);
    snprintf(classes, sizeof classes, "%d", r->classes);
    snprintf(input, sizeof input, "%dx%d", r->input_height, r->input_width);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->seed);
    pg_buf options = PG_BUF_EMPTY;
    pg_options_line(r->model->module.options, r->config, "", ";", true, &options);
    metadata m = {0};
    put(&m, "format", format_name);
    put(&m, "model", r->model->module.name);
    put(&m, "model_version", version);
    put(&m, "options", options.data);
    put(&m, "classes", classes);
    put(&m, "class_names", r->class_names);
    put(&m, "input", input);
    put(&m, "dataset", r->dataset);
    put(&m, "dataset_hash", r->dataset_hash);
    put(&m, "command", r->command);
    put(&m, "seed", r->source ? NULL : seed);
    put(&m, "source", r->source);
    put(&m, "training", r->training);
    int code = pg_buf_check(&options);
    if (code == PG_OK)
        code = pg_st_write(path, tensors, n, m.keys, m.values, m.n);
    pg_buf_release(&options);
    return code;
}

int pg_locality_record(const char *weights, const pg_locality *l)
{
    pg_st_file *f = NULL;
    int code = pg_st_open(weights, &f);
    if (code != PG_OK)
        return code;
    char text[PG_LOCALITY_TEXT];
    pg_locality_format(l, text);
    const char *keys[PG_WEIGHTS_KEYS_MAX], *values[PG_WEIGHTS_KEYS_MAX];
    size_t n = 0, tensors = pg_st_count(f);
    for (const char *const *key = pg_weights_keys; *key; key++)
        if (pg_st_metadata(f, *key)) {
            keys[n] = *key;
            values[n++] = pg_st_metadata(f, *key);
        }
    keys[n] = "locality";
    values[n++] = text;
    pg_st_tensor *copies = malloc((tensors ? tensors : 1) * sizeof *copies);
    if (!copies)
        code = pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; code == PG_OK && i < tensors; i++)
        copies[i] = *pg_st_at(f, i);
    if (code == PG_OK)
        code = pg_st_write(weights, copies, tensors, keys, values, n);
    free(copies);
    pg_st_close(f);
    return code;
}

int pg_weights_save(const char *path, pg_scope *scope, const pg_parameters *parameters, const pg_weights_record *record,
                    bool half)
{
    pg_st_tensor *tensors = calloc(parameters->n, sizeof *tensors);
    int code = tensors ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; code == PG_OK && i < parameters->n; i++)
        code = save_one(scope, &parameters->items[i], half, &tensors[i]);
    if (code == PG_OK)
        code = pg_weights_write(path, tensors, parameters->n, record);
    for (size_t i = 0; tensors && i < parameters->n; i++)
        free((void *)tensors[i].data);
    free(tensors);
    return code;
}
