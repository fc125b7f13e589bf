#include "models/checkpoint.h"

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/base/safetensors.h"
#include "models/start.h"
#include "models/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char format_name[] = "patchgauge.checkpoint.1";

static void checkpoint_path(char path[4096], const char *out) { snprintf(path, 4096, "%s.checkpoint", out); }

/* The weights that training starts from. */
typedef struct origin {
    pg_weights_info info;
    pg_classes classes; /* that they store */
    int *outputs;       /* the output of each label; NULL: the head starts from the seed */
    bool same;          /* label i is output i, and there are no others */
} origin;

static void release_origin(origin *f)
{
    pg_classes_release(&f->classes);
    free(f->outputs);
}

/* The command in canonical form: every option that changes results, the data and the weights it starts from by hash. */
static char *canonical_command(const pg_train_job *job, const pg_dataset_info *data, const origin *from, bool bf16)
{
    pg_buf b = PG_BUF_EMPTY;
    pg_buf_printf(&b, "patchgauge model train %s --dataset %s", job->model->module.name, job->data);
    if (job->val)
        pg_buf_printf(&b, " --val %s", job->val);
    if (job->from)
        pg_buf_printf(&b, " --from %s", job->from);
    pg_options_line(job->model->module.options, job->config, " --set ", "", true, &b);
    for (const pg_option *row = pg_train_option_table; row->name; row++) {
        if (row->recorded_only || pg_option_left_out(row, job->options, &b))
            continue;
        pg_buf_printf(&b, " --%s ", row->name);
        if (strcmp(row->name, "dtype") == 0)
            pg_buf_puts(&b, bf16 ? "bf16" : "fp32");
        else
            pg_option_format(row, job->options, &b);
    }
    pg_buf_printf(&b, " # data %s", data->hash);
    if (job->from)
        pg_buf_printf(&b, " from %s", from->info.hash);
    if (job->from && !from->same) {
        pg_buf_puts(&b, " outputs ");
        if (from->outputs)
            pg_outputs_text(from->outputs, data->classes, &b);
        else
            pg_buf_puts(&b, "new");
    }
    return pg_buf_take(&b);
}

/* Kaiming-normal by fan-out for convolutions, by fan-in for linear layers; see pg_parameter_kind for the rest. */
static int init_one(pg_scope *s, pg_parameter *p, uint64_t seed, uint32_t item)
{
    size_t n = (size_t)pg_parameter_elements(p);
    float *values = calloc(n, sizeof *values);
    if (!values)
        return pg_fail(PG_ENOMEM, "out of memory");
    if (p->kind == PG_PARAMETER_SCALE || p->kind == PG_PARAMETER_VAR)
        for (size_t i = 0; i < n; i++)
            values[i] = 1;
    if (p->kind == PG_PARAMETER_WEIGHT) {
        double fan = p->rank == 4 ? (double)(p->shape[0] * p->shape[2] * p->shape[3]) : 3.0 * (double)p->shape[1];
        pg_rng rng = pg_rng_make(seed, PG_STREAM_INIT, item);
        for (size_t i = 0; i < n; i++)
            values[i] = (float)(pg_rng_normal(&rng) * sqrt(2 / fan));
    }
    pg_tensor *x = s->torch->from_data(s, values, PG_T_F32, p->rank, p->shape);
    p->tensor = s->torch->keep(s, p->rank == 4 ? s->torch->channels_last(s, x) : x);
    s->torch->scope_clear(s);
    free(values);
    return pg_scope_check(s);
}

/* The same list with tensors of its own: copies, or zeros. */
static int clone_parameters(pg_scope *s, const pg_parameters *from, double scale, pg_parameters *to)
{
    const pg_torch *t = s->torch;
    *to = (pg_parameters){.items = malloc(from->n * sizeof *to->items), .n = from->n, .capacity = from->n};
    if (!to->items) {
        to->n = 0;
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    memcpy(to->items, from->items, from->n * sizeof *to->items);
    for (size_t i = 0; i < to->n; i++) {
        to->items[i].tensor = t->keep(s, t->affine(s, from->items[i].tensor, scale, 0));
        t->scope_clear(s);
    }
    return pg_scope_check(s);
}

static pg_start_target target_of(const pg_train_job *job, const pg_dataset_info *data)
{
    return (pg_start_target){.model = job->model, .config = job->config, .height = data->height, .width = data->width};
}

/* The weights to start from; of their head the rows of the labels, or rows from the seed. */
static int load_start(pg_scope *s, const pg_train_job *job, pg_dataset *images, const origin *from, pg_parameters *ps)
{
    const pg_dataset_info *data = pg_dataset_info_of(images);
    const pg_start_target target = target_of(job, data);
    int code = pg_start_load(job->from, &from->info, &target, s, images, ps);
    if (code == PG_OK && from->outputs && !from->same)
        code = pg_parameters_select(ps, s, from->outputs, data->classes);
    for (size_t i = 0; code == PG_OK && !from->outputs && i < ps->n; i++) {
        pg_parameter *p = &ps->items[i];
        if (!p->head)
            continue;
        s->torch->tensor_free(p->tensor);
        p->tensor = NULL;
        p->shape[0] = data->classes;
        code = init_one(s, p, (uint64_t)job->options->seed, (uint32_t)i);
    }
    return code;
}

static int start_fresh(pg_checkpoint *c, pg_scope *s, const pg_train_job *job, pg_dataset *images, const origin *from)
{
    const pg_dataset_info *data = pg_dataset_info_of(images);
    pg_geometry geometry;
    int code = job->model->geometry(job->config, data->height, data->width, data->classes, &geometry);
    if (code == PG_OK && job->from)
        code = load_start(s, job, images, from, &c->current);
    else if (code == PG_OK)
        code = pg_model_trace(job->model, job->config, data->height, data->width, data->classes, &c->current, &geometry);
    for (size_t i = 0; code == PG_OK && !job->from && i < c->current.n; i++)
        code = init_one(s, &c->current.items[i], (uint64_t)job->options->seed, (uint32_t)i);
    if (code == PG_OK)
        code = clone_parameters(s, &c->current, 1, &c->averaged);
    return code != PG_OK ? code : clone_parameters(s, &c->current, 0, &c->momenta);
}

static const char *const prefixes[] = {"current.", "averaged.", "momenta."};

static pg_parameters *part(pg_checkpoint *c, int which)
{
    return which == 0 ? &c->current : which == 1 ? &c->averaged : &c->momenta;
}

static int load_part(const pg_st_file *f, pg_scope *s, const char *prefix, pg_parameters *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        pg_parameter *p = &ps->items[i];
        char name[96];
        snprintf(name, sizeof name, "%s%s", prefix, p->name);
        const pg_st_tensor *st = pg_st_find(f, name);
        if (!st || st->dtype != PG_ST_F32 || !pg_parameter_has_shape(p, st->rank, st->shape))
            return pg_fail(PG_EDAMAGED, "tensor '%s' is missing or of the wrong shape", name);
        s->torch->copy(s, p->tensor, s->torch->from_data(s, st->data, PG_T_F32, st->rank, st->shape));
        s->torch->scope_clear(s);
    }
    return pg_scope_check(s);
}

static int load_curve(pg_checkpoint *c, const char *text)
{
    json_error_t error;
    json_t *curve = NULL, *entry;
    size_t i;
    int code = pg_json_load(text ? text : "", text ? strlen(text) : 0, &curve, &error);
    if (code == PG_ENOMEM)
        return code;
    if (!json_is_array(curve)) {
        json_decref(curve);
        return pg_fail(PG_EDAMAGED, "metadata 'training' is not a list of epochs");
    }
    json_array_foreach(curve, i, entry)
    {
        json_t *val = json_object_get(entry, "val");
        if (code == PG_OK)
            code = pg_checkpoint_add_epoch(c, json_number_value(json_object_get(entry, "loss")),
                                           json_is_number(val) ? json_number_value(val) : NAN);
    }
    json_decref(curve);
    return code;
}

static int resume(pg_checkpoint *c, pg_scope *s, const char *path)
{
    pg_st_file *f = NULL;
    int code = pg_st_open(path, &f);
    if (code != PG_OK)
        return code;
    const char *format = pg_st_metadata(f, "format"), *command = pg_st_metadata(f, "command");
    if (!format || strcmp(format, format_name) != 0 || !command || !pg_st_checked(f))
        code = pg_fail(PG_EDAMAGED, "no checkpoint of this program");
    else if (strcmp(command, c->command) != 0)
        code = pg_fail(PG_EINPUT, "belongs to another run (%s): choose another -o, or remove it", command);
    for (int i = 0; code == PG_OK && i < 3; i++)
        code = load_part(f, s, prefixes[i], part(c, i));
    if (code == PG_OK)
        code = load_curve(c, pg_st_metadata(f, "training"));
    pg_st_close(f);
    if (code != PG_OK)
        return pg_fail_at(code, "%s", path);
    pg_info("going on after epoch %ld", (long)c->n_epochs);
    return PG_OK;
}

/* Whether OUT holds finished weights: of this command (PG_OK, *done), or of another (PG_EINPUT). */
static int look_at_out(const char *command, const char *out, bool *done)
{
    *done = false;
    if (pg_file_size(out) < 0)
        return PG_OK;
    pg_st_file *f = NULL;
    int code = pg_st_open_header(out, &f);
    const char *found = code != PG_OK ? NULL : pg_st_metadata(f, "command");
    *done = found && strcmp(found, command) == 0;
    if (!*done)
        code = pg_fail(PG_EINPUT, "%s exists and is not of this run: choose another -o, or remove it", out);
    pg_st_close(f);
    return code;
}

/* The output of each label, where the head does not start from the seed. */
static int find_outputs(const pg_train_job *job, const pg_dataset_info *data, const pg_classes *labels, origin *from)
{
    const char *given = job->outputs ? job->outputs : "names";
    int code = pg_classes_of(job->from, &from->classes), outputs = from->info.geometry.classes;
    if (code != PG_OK || strcmp(given, "new") == 0)
        return code;
    from->outputs = malloc((size_t)labels->n * sizeof *from->outputs);
    if (!from->outputs)
        return pg_fail(PG_ENOMEM, "out of memory");
    code = pg_outputs_find(&(pg_outputs_request){.network = job->from,
                                                 .outputs = outputs,
                                                 .classes = &from->classes,
                                                 .dataset = data->name,
                                                 .labels = labels,
                                                 .given = given,
                                                 .how = "--outputs 0,217,... or a file of them; --outputs new starts the head "
                                                        "from the seed"},
                           from->outputs);
    if (code == PG_OK)
        from->same = pg_outputs_are_labels(from->outputs, labels->n, outputs);
    return code != PG_OK ? pg_fail_at(code, "--from %s", job->from) : PG_OK;
}

/* Whether the weights to start from become those of the network that is to be trained; options that leave the shapes alone, as
 * the width of bands, may differ. */
static int look_at_start(const pg_train_job *job, const pg_dataset_info *data, const pg_classes *labels, origin *from)
{
    pg_weights_info *start = &from->info;
    int code = pg_weights_describe(job->from, NULL, 0, start);
    if (code != PG_OK)
        return code;
    const pg_start_target target = target_of(job, data);
    bool same = strcmp(start->model, job->model->module.name) == 0;
    code = pg_start_check(job->from, start, &target);
    if (code == PG_OK && same && memcmp(start->config, job->config, job->model->module.config_size) != 0) {
        pg_buf options = PG_BUF_EMPTY;
        pg_options_line(job->model->module.options, start->config, "", " ", true, &options);
        pg_info("--from %s: was trained with other options: %s", job->from, options.data ? options.data : "");
        pg_buf_release(&options);
    }
    return code == PG_OK ? find_outputs(job, data, labels, from) : code;
}

static int start_from(pg_checkpoint *c, pg_scope *scope, const pg_train_job *job, pg_dataset *images, bool bf16,
                      const origin *from)
{
    char path[4096];
    checkpoint_path(path, job->out);
    int code = PG_OK;
    c->command = canonical_command(job, pg_dataset_info_of(images), from, bf16);
    if (!c->command)
        return pg_fail(PG_ENOMEM, "out of memory");
    bool resumed = pg_file_size(path) >= 0;
    code = look_at_out(c->command, job->out, &c->done);
    if (resumed) /* killed behind the last epoch: what is there is not all of it */
        c->done = false;
    if (code != PG_OK || c->done)
        return code;
    code = start_fresh(c, scope, job, images, from);
    return code != PG_OK || !resumed ? code : resume(c, scope, path);
}

int pg_checkpoint_start(pg_checkpoint *c, pg_scope *scope, const pg_train_job *job, pg_dataset *images, bool bf16)
{
    const pg_dataset_info *data = pg_dataset_info_of(images);
    origin from = {0};
    pg_classes labels = {0};
    int code = pg_classes_of_dataset(data, &labels);
    if (code == PG_OK && job->from)
        code = look_at_start(job, data, &labels, &from);
    else if (code == PG_OK && job->outputs)
        code = pg_fail(PG_EINPUT, "--outputs are those of the weights to start from: --from FILE is missing");
    if (code == PG_OK)
        code = start_from(c, scope, job, images, bf16, &from);
    /* names of the file that training starts from tell more than those of folders */
    if (code == PG_OK && from.outputs && from.classes.n)
        code = pg_classes_select(&from.classes, from.outputs, labels.n, &c->classes);
    else if (code == PG_OK)
        c->classes = labels, labels = (pg_classes){0};
    pg_classes_release(&labels);
    release_origin(&from);
    return code;
}

int pg_checkpoint_add_epoch(pg_checkpoint *c, double loss, double val_accuracy)
{
    pg_epoch *epochs = realloc(c->epochs, (size_t)(c->n_epochs + 1) * sizeof *epochs);
    if (!epochs)
        return pg_fail(PG_ENOMEM, "out of memory");
    c->epochs = epochs;
    epochs[c->n_epochs++] = (pg_epoch){loss, val_accuracy};
    return PG_OK;
}

void pg_checkpoint_curve(const pg_checkpoint *c, pg_buf *out)
{
    pg_buf_puts(out, "[");
    for (int64_t i = 0; i < c->n_epochs; i++) {
        pg_buf_puts(out, i ? ",{\"loss\":" : "{\"loss\":");
        pg_format_double(round(c->epochs[i].loss * 1e6) / 1e6, out);
        if (!isnan(c->epochs[i].val_accuracy)) {
            pg_buf_puts(out, ",\"val\":");
            pg_format_double(round(c->epochs[i].val_accuracy * 1e6) / 1e6, out);
        }
        pg_buf_puts(out, "}");
    }
    pg_buf_puts(out, "]");
}

static int save_tensors(const pg_checkpoint *c, pg_scope *s, pg_st_tensor *tensors, char (*names)[96])
{
    size_t n = c->current.n;
    for (size_t i = 0; i < 3 * n; i++) {
        int which = (int)(i / n);
        const pg_parameter *p = &part((pg_checkpoint *)c, which)->items[i % n];
        size_t count = (size_t)pg_parameter_elements(p);
        snprintf(names[i], sizeof names[i], "%s%s", prefixes[which], p->name);
        tensors[i] = pg_weights_tensor(p, names[i], malloc(4 * count));
        if (!tensors[i].data)
            return pg_fail(PG_ENOMEM, "out of memory");
        s->torch->read(s, p->tensor, (void *)tensors[i].data, PG_T_F32, (int64_t)count);
        s->torch->scope_clear(s);
        for (size_t k = 0; k < count && !s->error; k++)
            if (!isfinite(((const float *)tensors[i].data)[k]))
                return pg_fail(PG_EINPUT, "tensor '%s' holds a value that is not finite", p->name);
    }
    return pg_scope_check(s);
}

int pg_checkpoint_save(const pg_checkpoint *c, pg_scope *scope, const char *out)
{
    size_t n = 3 * c->current.n;
    char path[4096];
    checkpoint_path(path, out);
    pg_st_tensor *tensors = calloc(n, sizeof *tensors);
    char(*names)[96] = calloc(n, sizeof *names);
    pg_buf curve = PG_BUF_EMPTY;
    pg_checkpoint_curve(c, &curve);
    int code = tensors && names ? pg_buf_check(&curve) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = save_tensors(c, scope, tensors, names);
    const char *keys[] = {"format", "command", "training"}, *values[] = {format_name, c->command, curve.data};
    if (code == PG_OK)
        code = pg_st_write(path, tensors, n, keys, values, 3);
    for (size_t i = 0; tensors && i < n; i++)
        free((void *)tensors[i].data);
    free(tensors);
    free(names);
    pg_buf_release(&curve);
    return code;
}

int pg_checkpoint_remove(const char *out)
{
    char path[4096];
    checkpoint_path(path, out);
    return unlink(path) == 0 ? PG_OK : pg_fail(PG_EIO, "cannot remove %s", path);
}

void pg_checkpoint_release(pg_checkpoint *c, const pg_torch *torch)
{
    pg_parameters_release(&c->current, torch);
    pg_parameters_release(&c->averaged, torch);
    pg_parameters_release(&c->momenta, torch);
    free(c->epochs);
    free(c->command);
    pg_classes_release(&c->classes);
    *c = (pg_checkpoint){0};
}
