/* Architectures: their list, their parameters, tracing. See model.h and network.h. */
#include "models/layers.h"
#include "models/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pg_dtype_names[] = {[PG_DTYPE_F32] = "fp32", [PG_DTYPE_BF16] = "bf16", NULL};
const char *const pg_wraps[] = {"none", [PG_WRAP_COLUMNS] = "w", [PG_WRAP_ROWS] = "h", [PG_WRAP_COLUMNS | PG_WRAP_ROWS] = "hw",
                                NULL};

/* ---- The list ---- */

static const pg_module *at(int i) { return pg_models[i] ? &pg_models[i]->module : NULL; }

const pg_model *pg_model_find(const char *name)
{
    int i = pg_module_find("model", name, at);
    return i < 0 ? NULL : pg_models[i];
}

int pg_model_check(const pg_model *m)
{
    const pg_hook hooks[] = {{"geometry", m->geometry},
                             {"hooks", m->hooks},
                             {"forward", m->hooks && (!m->needs_torch || m->hooks->forward)},
                             {"compute", m->hooks && (m->needs_torch || m->hooks->compute)},
                             {NULL, false}};
    return pg_module_check_hooks(&m->module, "model", hooks);
}

int pg_model_add(const pg_model *m)
{
    int i = pg_model_check(m) == PG_OK ? pg_module_place(&m->module, "model", at, pg_models_max) : -1;
    if (i >= 0)
        pg_models[i] = m;
    return i >= 0 ? PG_OK : PG_EINPUT;
}

/* ---- Parameters and passes ---- */

void pg_parameters_release(pg_parameters *ps, const pg_torch *torch)
{
    for (size_t i = 0; torch && i < ps->n; i++) {
        torch->tensor_free(ps->items[i].tensor);
        torch->tensor_free(ps->items[i].folded);
        torch->tensor_free(ps->items[i].folded_bias);
        torch->script_close(ps->items[i].script);
    }
    free(ps->items);
    *ps = (pg_parameters){0};
}

bool pg_parameter_has_shape(const pg_parameter *p, int rank, const int64_t *shape)
{
    return p->rank == rank && memcmp(p->shape, shape, (size_t)rank * sizeof *shape) == 0;
}

int64_t pg_parameter_elements(const pg_parameter *p)
{
    int64_t n = 1;
    for (int i = 0; i < p->rank; i++)
        n *= p->shape[i];
    return n;
}

int pg_parameters_select(pg_parameters *ps, pg_scope *s, const int *outputs, int n)
{
    const pg_torch *t = s->torch;
    const int64_t count = n;
    size_t heads = 0;
    for (size_t i = 0; i < ps->n; i++) {
        pg_parameter *p = &ps->items[i];
        if (!p->head)
            continue;
        pg_tensor *index = t->from_data(s, outputs, PG_T_I32, 1, &count);
        pg_tensor *rows = t->keep(s, t->index_select(s, p->tensor, 0, t->to_type(s, index, PG_T_I64)));
        t->scope_clear(s);
        t->tensor_free(p->tensor);
        p->tensor = rows;
        p->shape[0] = n;
        heads++;
    }
    return heads ? pg_scope_check(s) : pg_fail(PG_EINPUT, "the architecture has no head whose rows are its outputs");
}

static int trace(pg_builder *b, const pg_model *model, const void *config, int height, int width, pg_parameters *parameters,
                 pg_geometry *geometry)
{
    *parameters = (pg_parameters){0};
    pg_value out = model->hooks->forward(b, config, pg_layer_input(b, NULL, 3, height, width));
    if (b->error) {
        pg_parameters_release(parameters, NULL);
        return b->error;
    }
    *geometry = (pg_geometry){
        .input_height = height, .input_width = width, .rows = out.rows, .columns = out.columns, .classes = b->classes};
    return PG_OK;
}

int pg_model_trace(const pg_model *model, const void *config, int height, int width, int classes, pg_parameters *parameters,
                   pg_geometry *geometry)
{
    pg_builder b = {.pass = PG_PASS_TRACE, .parameters = parameters, .classes = classes};
    return trace(&b, model, config, height, width, parameters, geometry);
}

int pg_model_footprint(const pg_model *model, const void *config, const pg_geometry *g, pg_footprint *out)
{
    pg_parameters parameters;
    pg_geometry traced;
    pg_builder b = {.pass = PG_PASS_TRACE, .parameters = &parameters, .classes = g->classes};
    int code = trace(&b, model, config, g->input_height, g->input_width, &parameters, &traced);
    *out = (pg_footprint){b.cut, b.values, b.early};
    if (code == PG_OK)
        pg_parameters_release(&parameters, NULL);
    return code;
}

int pg_model_traced_geometry(const pg_model *model, const void *config, int height, int width, int classes, pg_geometry *out)
{
    pg_parameters parameters;
    int code = pg_model_trace(model, config, height, width, classes, &parameters, out);
    if (code == PG_OK)
        pg_parameters_release(&parameters, NULL);
    return code;
}

/* u8 pixels to [0, 1]; floats as they are. */
static pg_value input(pg_builder *b, pg_tensor *pixels)
{
    const pg_torch *t = b->scope->torch;
    if (pixels && t->type(pixels) == PG_T_U8)
        pixels = t->affine(b->scope, t->to_type(b->scope, pixels, PG_T_F32), 1.0 / 255, 0);
    if (t->rank(pixels) == 4 && t->size(pixels, 1) == 3)
        return pg_layer_input(b, pixels, 3, (int)t->size(pixels, 2), (int)t->size(pixels, 3));
    if (!b->scope->error) {
        b->scope->error = PG_ESHAPE;
        snprintf(b->scope->message, sizeof b->scope->message, "a model wants pixels of shape [n][3][height][width]");
    }
    return pg_layer_input(b, NULL, 3, 1, 1);
}

/* Layers may overwrite what only they read, unless this thread records gradients. */
static pg_builder evaluation(pg_pass pass, pg_scope *scope, pg_parameters *parameters, int classes)
{
    const pg_torch *t = scope->torch;
    bool recorded = t->grad_mode(false);
    t->grad_mode(recorded);
    return (pg_builder){.pass = pass,
                        .scope = scope,
                        .parameters = parameters,
                        .classes = classes,
                        .overwrites = pass == PG_PASS_EVAL && !recorded};
}

pg_tensor *pg_model_forward(const pg_model *model, const void *config, pg_pass pass, pg_scope *scope, pg_parameters *parameters,
                            int classes, pg_tensor *pixels)
{
    pg_builder b = evaluation(pass, scope, parameters, classes);
    pg_value x = input(&b, pixels);
    return scope->error ? NULL : model->hooks->forward(&b, config, x).tensor;
}

pg_tensor *pg_model_forward_masked(const pg_model *model, const void *config, pg_scope *scope, pg_parameters *parameters,
                                   int classes, pg_tensor *pixels, const uint8_t *hidden)
{
    pg_builder b = evaluation(PG_PASS_EVAL, scope, parameters, classes);
    pg_value x = input(&b, pixels);
    return scope->error ? NULL : model->hooks->masked(&b, config, x, hidden).tensor;
}

pg_value pg_model_early(const pg_model *model, const void *config, pg_scope *scope, pg_parameters *parameters, int classes,
                        pg_tensor *pixels)
{
    pg_builder b = evaluation(PG_PASS_EVAL, scope, parameters, classes);
    pg_value x = input(&b, pixels);
    b.section = PG_SECTION_EARLY;
    if (!scope->error)
        model->hooks->forward(&b, config, x);
    return b.cut;
}

pg_tensor *pg_model_late(const pg_model *model, const void *config, pg_scope *scope, pg_parameters *parameters,
                         const pg_geometry *g, pg_tensor *features)
{
    pg_builder b = evaluation(PG_PASS_EVAL, scope, parameters, g->classes);
    pg_value pixels = pg_layer_input(&b, NULL, 3, g->input_height, g->input_width);
    b.section = PG_SECTION_LATE;
    b.idle = true;
    b.cut.tensor = features;
    return scope->error ? NULL : model->hooks->forward(&b, config, pixels).tensor;
}

pg_value pg_model_train_logits(const pg_model *model, const void *config, pg_pass pass, pg_scope *scope,
                               pg_parameters *parameters, int classes, pg_tensor *pixels, int positions, pg_rng rng)
{
    pg_builder b = {
        .pass = pass, .scope = scope, .parameters = parameters, .classes = classes, .positions = positions, .rng = rng};
    pg_value x = input(&b, pixels);
    if (scope->error)
        return (pg_value){0};
    return model->hooks->train ? model->hooks->train(&b, config, x) : model->hooks->forward(&b, config, x);
}

int64_t pg_shape_size(const pg_shapes *shapes, const char *name, int axis)
{
    int64_t shape[PG_SHAPE_DIMS];
    return axis < shapes->shape(shapes->of, name, shape) ? shape[axis] : -1;
}

int pg_shape_blocks(const pg_shapes *shapes, int stage)
{
    for (int n = 0;; n++) {
        char conv[64], bn[64];
        snprintf(conv, sizeof conv, "layer%d.%d.conv1.weight", stage, n);
        snprintf(bn, sizeof bn, "layer%d.%d.bn1.weight", stage, n);
        if (pg_shape_size(shapes, conv, 0) < 0 && pg_shape_size(shapes, bn, 0) < 0)
            return n;
    }
}
