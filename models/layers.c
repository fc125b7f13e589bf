#include "models/layers.h"

#include "harness/base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double bn_epsilon = 1e-5, bn_momentum = 0.1;

void pg_layer_name(char out[64], const char *prefix, const char *suffix) { snprintf(out, 64, "%s.%s", prefix, suffix); }

static int add_parameter(pg_parameters *ps, const pg_parameter *p)
{
    pg_parameter *items = pg_grow(ps->items, ps->n, &ps->capacity, sizeof *items);
    if (!items)
        return PG_ENOMEM;
    ps->items = items;
    ps->items[ps->n++] = *p;
    return PG_OK;
}

/* The next parameter, "layer.suffix" or "layer": declared while traced (NULL is returned), looked up in the same order
 * otherwise. */
static pg_parameter *parameter(pg_builder *b, const char *layer, const char *suffix, pg_parameter_kind kind, int rank,
                               const int64_t *shape)
{
    pg_parameter p = {.kind = kind, .rank = rank};
    if (suffix)
        pg_layer_name(p.name, layer, suffix);
    else
        snprintf(p.name, sizeof p.name, "%s", layer);
    memcpy(p.shape, shape, (size_t)rank * sizeof *shape);
    size_t at = b->next++;
    if (b->pass == PG_PASS_TRACE) {
        if (!b->error)
            b->error = add_parameter(b->parameters, &p);
        return NULL;
    }
    assert(at < b->parameters->n && strcmp(b->parameters->items[at].name, p.name) == 0);
    return &b->parameters->items[at];
}

/* Zeros before the first position and behind the last one. */
typedef struct margin {
    int before, after;
} margin;

static margin margin_of(pg_conv c, int positions)
{
    if (c.padding != PG_PADDING_SAME)
        return (margin){c.padding, c.padding};
    int covered = ((positions + c.stride - 1) / c.stride - 1) * c.stride + c.kernel,
        zeros = covered > positions ? covered - positions : 0;
    return (margin){zeros / 2, zeros - zeros / 2};
}

static pg_axis convolve_axis(pg_builder *b, pg_axis a, int kernel, int stride, margin m)
{
    int span = a.positions + m.before + m.after - kernel;
    if (span < 0) {
        if (!b->error)
            b->error = pg_fail(PG_EINPUT, "the input is too small for this architecture: a kernel of %d meets %d positions",
                               kernel, a.positions);
        span = 0;
    }
    a.field += (kernel - 1) * a.stride;
    a.padding += m.before * a.stride;
    a.stride *= stride;
    a.positions = span / stride + 1;
    return a;
}

/* Counts the values of a new tensor. */
static pg_value made(pg_builder *b, pg_value x)
{
    b->values += (int64_t)x.channels * x.rows.positions * x.columns.positions;
    return x;
}

pg_value pg_layer_input(pg_builder *b PG_UNUSED, pg_tensor *pixels, int channels, int height, int width)
{
    pg_axis rows = {.positions = height, .field = 1, .stride = 1}, columns = {.positions = width, .field = 1, .stride = 1};
    return (pg_value){.tensor = pixels, .channels = channels, .rows = rows, .columns = columns};
}

static pg_tensor *batch_norm(pg_builder *b, pg_tensor *x, pg_parameter *const bn[4])
{
    return b->scope->torch->batch_norm(b->scope, x, bn[0]->tensor, bn[1]->tensor, bn[2]->tensor, bn[3]->tensor,
                                       b->pass == PG_PASS_TRAIN, bn_momentum, bn_epsilon);
}

/* Asks for the four parameters of a batch norm. */
static void norm_parameters(pg_builder *b, const char *bn, int64_t channels, pg_parameter *norm[4])
{
    norm[0] = parameter(b, bn, "weight", PG_PARAMETER_SCALE, 1, &channels);
    norm[1] = parameter(b, bn, "bias", PG_PARAMETER_SHIFT, 1, &channels);
    norm[2] = parameter(b, bn, "running_mean", PG_PARAMETER_MEAN, 1, &channels);
    norm[3] = parameter(b, bn, "running_var", PG_PARAMETER_VAR, 1, &channels);
}

/* A 1 x 1 convolution as a product. One thread of libtorch 1.13 computes convolutions of 1 x 1 of less than 16 images several
 * times slower. */
static pg_tensor *product(pg_builder *b, pg_value x, pg_tensor *w, pg_tensor *bias)
{
    const pg_torch *t = b->scope->torch;
    pg_tensor *rows = t->permute(b->scope, x.tensor, 4, (const int64_t[]){0, 2, 3, 1});
    w = t->reshape(b->scope, w, 2, (const int64_t[]){t->size(w, 0), t->size(w, 1)});
    return t->permute(b->scope, t->linear(b->scope, rows, w, bias), 4, (const int64_t[]){0, 3, 1, 2});
}

static bool only_behind(margin m) { return m.before == 0 && m.after == 1; }

/* The convolution itself: only the middle row of a kernel that meets one row between zeros, and so for columns. Zeros that
 * differ on two sides are laid round the map before, or where they are only behind it, one before it as well, which meets a
 * zero of the kernel: that is no copy of the map. */
static pg_tensor *convolve(pg_builder *b, pg_value x, pg_tensor *w, pg_tensor *bias, pg_conv c, int groups, margin rows,
                           margin columns)
{
    const pg_torch *t = b->scope->torch;
    int stride = c.stride;
    if (c.kernel == 3 && rows.before == 1 && x.rows.positions == 1) {
        w = t->slice(b->scope, w, 2, 1, 2, 1);
        rows = (margin){0, 0};
    }
    if (c.kernel == 3 && columns.before == 1 && x.columns.positions == 1) {
        w = t->slice(b->scope, w, 3, 1, 2, 1);
        columns = (margin){0, 0};
    }
    if (b->pass == PG_PASS_EVAL && c.kernel == 3 && (only_behind(rows) || only_behind(columns))) {
        w = t->pad(b->scope, w, 4, (const int64_t[]){only_behind(columns), 0, only_behind(rows), 0}, 0);
        rows.before += only_behind(rows);
        columns.before += only_behind(columns);
    } else if (rows.before != rows.after || columns.before != columns.after) {
        x.tensor = t->pad(b->scope, x.tensor, 4, (const int64_t[]){columns.before, columns.after, rows.before, rows.after}, 0);
        rows = columns = (margin){0, 0};
    }
    /* Strided 1 x 1 kernels meet every stride-th pixel. libtorch 1.13 writes past its memory in the gradient of their weights.
     */
    bool thinned = b->pass == PG_PASS_TRAIN && c.kernel == 1 && stride > 1 && c.padding == 0;
    for (int axis = 2; thinned && axis < 4; axis++)
        x.tensor = t->slice(b->scope, x.tensor, axis, 0, t->size(x.tensor, axis), stride);
    if (thinned)
        stride = 1;
    if (b->section == PG_SECTION_EARLY && c.kernel == 1 && stride == 1)
        return product(b, x, w, bias);
    return t->conv2d(b->scope, x.tensor, w, bias, stride, stride, rows.before, columns.before, groups);
}

/* The norm of a convolution that it was folded into is only a bias. It gets the statistics of y, the convolution's output, and
 * the scale and bias with which the two compute what they did; kernels get the length that a norm makes up for, 1. Returns the
 * output of both. */
static pg_tensor *settle(pg_builder *b, pg_tensor *y, pg_parameter *weight, pg_parameter *const norm[4])
{
    pg_scope *s = b->scope;
    const pg_torch *t = s->torch;
    const int64_t out = weight->shape[0], column[4] = {out, 1, 1, 1}, row[4] = {1, out, 1, 1};
    pg_tensor *w = weight->tensor, *bias = norm[1]->tensor;
    pg_tensor *length = t->sqrt(s, t->sum(s, t->mul(s, w, w), 3, (const int64_t[]){1, 2, 3}, false));
    length = t->clamp(s, length, 1e-6, 1e6);
    pg_tensor *mean = t->mean(s, y, 3, (const int64_t[]){0, 2, 3}, false), *away = t->sub(s, y, t->reshape(s, mean, 4, row)),
              *var = t->mean(s, t->mul(s, away, away), 3, (const int64_t[]){0, 2, 3}, false);
    pg_tensor *result = t->add(s, y, t->reshape(s, bias, 4, row));
    var = t->div(s, var, t->mul(s, length, length));
    t->copy(s, weight->tensor, t->div(s, w, t->reshape(s, length, 4, column)));
    t->copy(s, norm[0]->tensor, t->mul(s, length, t->sqrt(s, t->affine(s, var, 1, bn_epsilon))));
    t->copy(s, norm[1]->tensor, t->add(s, bias, mean));
    t->copy(s, norm[2]->tensor, t->div(s, mean, length));
    t->copy(s, norm[3]->tensor, var);
    weight->unsettled = false;
    return result;
}

/* Convolution and norm in evaluation where the two are not kept folded: they are folded for this pass. */
static pg_tensor *fold_now(pg_builder *b, const pg_parameter *weight, pg_parameter *const norm[4], pg_tensor **bias)
{
    pg_scope *s = b->scope;
    const pg_torch *t = s->torch;
    pg_tensor *gain = t->div(s, norm[0]->tensor, t->sqrt(s, t->affine(s, norm[3]->tensor, 1, bn_epsilon)));
    *bias = t->sub(s, norm[1]->tensor, t->mul(s, norm[2]->tensor, gain));
    return t->mul(s, weight->tensor, t->reshape(s, gain, 4, (const int64_t[]){weight->shape[0], 1, 1, 1}));
}

/* `relu6`: with that behind the norm. */
static pg_value grouped_conv_bn(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv c, int groups, bool relu6)
{
    pg_parameter *weight =
        parameter(b, conv, "weight", PG_PARAMETER_WEIGHT, 4, (const int64_t[]){c.out, x.channels / groups, c.kernel, c.kernel});
    pg_parameter *norm[4] = {0};
    margin rows = margin_of(c, x.rows.positions), columns = margin_of(c, x.columns.positions);
    if (bn)
        norm_parameters(b, bn, c.out, norm);
    if (pg_builder_runs(b)) {
        bool folded = b->pass == PG_PASS_EVAL && (weight->folded || relu6);
        pg_tensor *w = weight->tensor, *bias = NULL, *y;
        if (folded && weight->folded)
            w = weight->folded, bias = weight->folded_bias;
        else if (folded)
            w = fold_now(b, weight, norm, &bias);
        x.tensor = y = convolve(b, x, w, bias, c, groups, rows, columns);
        if (bn && b->pass == PG_PASS_SETTLE && weight->unsettled)
            x.tensor = settle(b, y, weight, norm);
        else if (relu6 && b->pass == PG_PASS_TRAIN)
            x.tensor = b->scope->torch->batch_norm_relu6(b->scope, y, norm[0]->tensor, norm[1]->tensor, norm[2]->tensor,
                                                         norm[3]->tensor, bn_momentum, bn_epsilon);
        else if (bn && !folded)
            x.tensor = batch_norm(b, y, norm);
    }
    x.channels = c.out;
    x.rows = convolve_axis(b, x.rows, c.kernel, c.stride, rows);
    x.columns = convolve_axis(b, x.columns, c.kernel, c.stride, columns);
    x = made(b, x);
    return relu6 && b->pass != PG_PASS_TRAIN ? pg_layer_relu_over(b, x, 6) : x;
}

pg_value pg_layer_conv_bn(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv shape)
{
    return grouped_conv_bn(b, conv, bn, x, shape, 1, false);
}

pg_value pg_layer_conv_bn_relu6(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv shape)
{
    return grouped_conv_bn(b, conv, bn, x, shape, 1, true);
}

pg_value pg_layer_depthwise_bn_relu6(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv shape)
{
    assert(shape.out == x.channels);
    return grouped_conv_bn(b, conv, bn, x, shape, x.channels, true);
}

pg_value pg_layer_relu(pg_builder *b, pg_value x)
{
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->relu(b->scope, x.tensor);
    return made(b, x);
}

pg_value pg_layer_relu6(pg_builder *b, pg_value x)
{
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->relu6(b->scope, x.tensor);
    return made(b, x);
}

pg_value pg_layer_relu_over(pg_builder *b, pg_value x, double most)
{
    if (!pg_builder_runs(b))
        return x;
    if (!b->overwrites)
        return isinf(most) ? pg_layer_relu(b, x) : pg_layer_relu6(b, x);
    b->scope->torch->clamp_over(b->scope, x.tensor, 0, most);
    return x;
}

pg_value pg_layer_cut(pg_builder *b, pg_value x)
{
    if (b->section == PG_SECTION_LATE) {
        x.tensor = b->cut.tensor;
        b->idle = false;
    } else {
        b->cut = x;
        b->early = b->values;
        b->idle = b->section == PG_SECTION_EARLY;
    }
    return x;
}

pg_value pg_layer_max_pool(pg_builder *b, pg_value x, int kernel, int stride, int padding)
{
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->max_pool2d(b->scope, x.tensor, kernel, stride, padding);
    margin zeros = {padding, padding};
    x.rows = convolve_axis(b, x.rows, kernel, stride, zeros);
    x.columns = convolve_axis(b, x.columns, kernel, stride, zeros);
    return made(b, x);
}

/* [1][3][1][1] */
static pg_tensor *of_channels(pg_scope *s, const pg_rgb *rgb)
{
    float values[3] = {(float)rgb->value[0], (float)rgb->value[1], (float)rgb->value[2]};
    return s->torch->from_data(s, values, PG_T_F32, 4, (const int64_t[]){1, 3, 1, 1});
}

static bool grey(const pg_rgb *rgb) { return rgb->value[0] == rgb->value[1] && rgb->value[1] == rgb->value[2]; }

pg_value pg_layer_normalise(pg_builder *b, pg_value x, const pg_normalisation *n)
{
    if (!pg_builder_runs(b))
        return x;
    const pg_torch *t = b->scope->torch;
    if (grey(&n->mean) && grey(&n->std))
        x.tensor = t->affine(b->scope, x.tensor, 1 / n->std.value[0], -n->mean.value[0] / n->std.value[0]);
    else
        x.tensor =
            t->div(b->scope, t->sub(b->scope, x.tensor, of_channels(b->scope, &n->mean)), of_channels(b->scope, &n->std));
    return x;
}

pg_value pg_layer_channels_last(pg_builder *b, pg_value x)
{
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->channels_last(b->scope, x.tensor);
    return x;
}

/* What a position of the sum sees is what either term sees: both start at the same pixel up to padding. */
static pg_axis add_axis(pg_axis x, pg_axis y)
{
    assert(x.stride == y.stride);
    int first = x.padding > y.padding ? x.padding : y.padding;
    int last_x = x.field - x.padding, last_y = y.field - y.padding;
    pg_axis a = x;
    a.padding = first;
    a.field = first + (last_x > last_y ? last_x : last_y);
    a.positions = x.positions < y.positions ? x.positions : y.positions;
    return a;
}

static pg_tensor *crop(pg_builder *b, pg_value x, pg_axis rows, pg_axis columns)
{
    const pg_torch *t = b->scope->torch;
    if (x.rows.positions > rows.positions)
        x.tensor = t->slice(b->scope, x.tensor, 2, 0, rows.positions, 1);
    if (x.columns.positions > columns.positions)
        x.tensor = t->slice(b->scope, x.tensor, 3, 0, columns.positions, 1);
    return x.tensor;
}

static pg_axis trim_axis(pg_axis a, int n)
{
    a.positions -= 2 * n;
    a.padding -= n * a.stride;
    return a;
}

pg_value pg_layer_trim(pg_builder *b, pg_value x, int n)
{
    const pg_torch *t = pg_builder_runs(b) ? b->scope->torch : NULL;
    x.rows = trim_axis(x.rows, n);
    x.columns = trim_axis(x.columns, n);
    if (t)
        x.tensor =
            t->slice(b->scope, t->slice(b->scope, x.tensor, 2, n, n + x.rows.positions, 1), 3, n, n + x.columns.positions, 1);
    return x;
}

pg_value pg_layer_add(pg_builder *b, pg_value x, pg_value y)
{
    assert(x.channels == y.channels);
    pg_value sum = {.channels = x.channels, .rows = add_axis(x.rows, y.rows), .columns = add_axis(x.columns, y.columns)};
    if (pg_builder_runs(b))
        sum.tensor = b->scope->torch->add(b->scope, crop(b, x, sum.rows, sum.columns), crop(b, y, sum.rows, sum.columns));
    return made(b, sum);
}

pg_value pg_layer_add_over(pg_builder *b, pg_value x, pg_value y)
{
    bool same = x.rows.positions == y.rows.positions && x.columns.positions == y.columns.positions;
    if (!same || (pg_builder_runs(b) && !b->overwrites))
        return pg_layer_add(b, x, y);
    if (pg_builder_runs(b))
        b->scope->torch->add_over(b->scope, x.tensor, y.tensor);
    x.rows = add_axis(x.rows, y.rows);
    x.columns = add_axis(x.columns, y.columns);
    return x;
}

pg_value pg_layer_global_mean(pg_builder *b, pg_value x)
{
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->mean(b->scope, x.tensor, 2, (const int64_t[]){2, 3}, true);
    x.rows = x.columns = (pg_axis){.positions = 1, .field = 0, .stride = 1};
    return x;
}

pg_value pg_layer_classifier(pg_builder *b, const char *name, pg_value x)
{
    int64_t shape[2] = {b->classes, x.channels};
    pg_parameter *weight = parameter(b, name, "weight", PG_PARAMETER_WEIGHT, 2, shape);
    pg_parameter *bias = parameter(b, name, "bias", PG_PARAMETER_BIAS, 1, shape);
    for (size_t i = 1; b->pass == PG_PASS_TRACE && !b->error && i <= 2; i++)
        b->parameters->items[b->parameters->n - i].head = true;
    if (pg_builder_runs(b)) {
        const pg_torch *t = b->scope->torch;
        pg_tensor *nhwc = t->permute(b->scope, x.tensor, 4, (const int64_t[]){0, 2, 3, 1});
        pg_tensor *logits = t->linear(b->scope, nhwc, weight->tensor, bias->tensor);
        x.tensor = t->permute(b->scope, logits, 4, (const int64_t[]){0, 3, 1, 2});
    }
    x.channels = b->classes;
    return x;
}

/* Step i of a block: "prefix.conv<i>" with "prefix.bn<i>". */
static pg_value step(pg_builder *b, const char *prefix, int i, pg_value x, pg_conv shape)
{
    char layer[16], conv[64], bn[64];
    snprintf(layer, sizeof layer, "conv%d", i);
    pg_layer_name(conv, prefix, layer);
    snprintf(layer, sizeof layer, "bn%d", i);
    pg_layer_name(bn, prefix, layer);
    return pg_layer_conv_bn(b, conv, bn, x, shape);
}

/* Every stride-th position of x, with zero channels on both sides up to `channels`. */
static pg_value thin(pg_builder *b, pg_value x, int stride, int channels)
{
    int more = channels - x.channels;
    if (pg_builder_runs(b)) {
        const pg_torch *t = b->scope->torch;
        for (int axis = 2; axis < 4; axis++)
            x.tensor = t->slice(b->scope, x.tensor, axis, 0, t->size(x.tensor, axis), stride);
        x.tensor = t->pad(b->scope, x.tensor, 6, (const int64_t[]){0, 0, 0, 0, more / 2, more - more / 2}, 0);
    }
    x.channels = channels;
    x.rows = convolve_axis(b, x.rows, 1, stride, (margin){0, 0});
    x.columns = convolve_axis(b, x.columns, 1, stride, (margin){0, 0});
    return made(b, x);
}

/* relu(y + x), where a block changes stride or channels by a shortcut of this kind. */
static pg_value shortcut(pg_builder *b, const char *prefix, pg_value x, pg_value y, int stride, pg_shortcut kind)
{
    bool changes = stride != 1 || x.channels != y.channels;
    if (changes && kind == PG_SHORTCUT_PAD)
        x = thin(b, x, stride, y.channels);
    if (changes && kind == PG_SHORTCUT_CONV) {
        char conv[64], bn[64];
        pg_layer_name(conv, prefix, "downsample.0");
        pg_layer_name(bn, prefix, "downsample.1");
        x = pg_layer_conv_bn(b, conv, bn, x, (pg_conv){y.channels, 1, stride, 0});
    }
    return pg_layer_relu_over(b, pg_layer_add_over(b, y, x), INFINITY);
}

/* The arguments of a block. */
typedef struct block {
    const char *prefix;
    int stride, out;
    pg_conv middle; /* of a bottleneck */
    pg_shortcut kind;
} block;

static pg_value basic_block(pg_builder *b, const void *context, pg_value x)
{
    const block *c = context;
    pg_value y = pg_layer_relu_over(b, step(b, c->prefix, 1, x, (pg_conv){c->out, 3, c->stride, 1}), INFINITY);
    return shortcut(b, c->prefix, x, step(b, c->prefix, 2, y, (pg_conv){c->out, 3, 1, 1}), c->stride, c->kind);
}

static pg_value bottleneck(pg_builder *b, const void *context, pg_value x)
{
    const block *c = context;
    pg_value y = pg_layer_relu_over(b, step(b, c->prefix, 1, x, (pg_conv){c->middle.out, 1, c->stride, 0}), INFINITY);
    y = pg_layer_relu_over(b, step(b, c->prefix, 2, y, c->middle), INFINITY);
    y = step(b, c->prefix, 3, y, (pg_conv){c->out, 1, 1, 0});
    return shortcut(b, c->prefix, x, y, c->stride * c->middle.stride, PG_SHORTCUT_CONV);
}

pg_value pg_layer_basic_block(pg_builder *b, const char *prefix, pg_value x, int out, int stride, pg_shortcut kind)
{
    return pg_layer_within(b, basic_block, &(block){.prefix = prefix, .stride = stride, .out = out, .kind = kind}, x);
}

pg_value pg_layer_bottleneck(pg_builder *b, const char *prefix, pg_value x, int stride, pg_conv middle, int out)
{
    return pg_layer_within(b, bottleneck, &(block){.prefix = prefix, .stride = stride, .out = out, .middle = middle}, x);
}

pg_value pg_layer_script(pg_builder *b, int64_t bytes, pg_value x)
{
    pg_parameter *p = parameter(b, "script", "module", PG_PARAMETER_SCRIPT, 1, &bytes);
    if (p)
        x.tensor = b->scope->torch->script_call(b->scope, p->script, x.tensor);
    return x;
}

/* ---- Tokens ---- */

pg_value pg_layer_tokens(pg_builder *b, const char *name, pg_value x, int side, int width)
{
    pg_parameter *weight =
        parameter(b, name, "weight", PG_PARAMETER_WEIGHT, 4, (const int64_t[]){width, x.channels, side, side});
    pg_parameter *bias = parameter(b, name, "bias", PG_PARAMETER_BIAS, 1, (const int64_t[]){width});
    if (pg_builder_runs(b)) {
        const pg_torch *t = b->scope->torch;
        pg_tensor *y = t->conv2d(b->scope, x.tensor, weight->tensor, bias->tensor, side, side, 0, 0, 1);
        y = t->permute(b->scope, y, 4, (const int64_t[]){0, 2, 3, 1});
        x.tensor = t->reshape(b->scope, y, 3, (const int64_t[]){t->size(y, 0), t->size(y, 1) * t->size(y, 2), width});
    }
    x.channels = width;
    return x;
}

pg_value pg_layer_linear(pg_builder *b, const char *name, pg_value x, int out)
{
    pg_parameter *weight = parameter(b, name, "weight", PG_PARAMETER_WEIGHT, 2, (const int64_t[]){out, x.channels});
    pg_parameter *bias = parameter(b, name, "bias", PG_PARAMETER_BIAS, 1, (const int64_t[]){out});
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->linear(b->scope, x.tensor, weight->tensor, bias->tensor);
    x.channels = out;
    return x;
}

pg_value pg_layer_norm(pg_builder *b, const char *name, pg_value x, double epsilon)
{
    pg_parameter *weight = parameter(b, name, "weight", PG_PARAMETER_SCALE, 1, (const int64_t[]){x.channels});
    pg_parameter *bias = parameter(b, name, "bias", PG_PARAMETER_SHIFT, 1, (const int64_t[]){x.channels});
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->layer_norm(b->scope, x.tensor, weight->tensor, bias->tensor, epsilon);
    return x;
}

pg_value pg_layer_gelu(pg_builder *b, pg_value x)
{
    if (pg_builder_runs(b))
        x.tensor = b->scope->torch->gelu(b->scope, x.tensor);
    return x;
}

/* [n][heads][tokens][d] of queries (0), keys (1) or values (2) in qkv [n][tokens][3][heads][d], of its first `tokens`. */
static pg_tensor *third(pg_scope *s, pg_tensor *qkv, int which, int64_t tokens)
{
    const pg_torch *t = s->torch;
    pg_tensor *x = t->slice(s, t->slice(s, qkv, 2, which, which + 1, 1), 1, 0, tokens, 1);
    x = t->permute(s, x, 5, (const int64_t[]){0, 3, 1, 4, 2});
    return t->reshape(s, x, 4, (const int64_t[]){t->size(x, 0), t->size(x, 1), tokens, t->size(x, 3)});
}

static pg_tensor *attend(pg_scope *s, pg_tensor *x, int heads, int queries, pg_tensor *bias)
{
    const pg_torch *t = s->torch;
    int64_t n = t->size(x, 0), tokens = t->size(x, 1), width = t->size(x, 2) / 3, d = width / heads;
    x = t->reshape(s, x, 5, (const int64_t[]){n, tokens, 3, heads, d});
    pg_tensor *q = t->affine(s, third(s, x, 0, queries), 1 / sqrt((double)d), 0), *k = third(s, x, 1, tokens);
    pg_tensor *scores = t->matmul(s, q, t->permute(s, k, 4, (const int64_t[]){0, 1, 3, 2}));
    if (bias)
        scores = t->add(s, scores, bias);
    pg_tensor *mixed = t->matmul(s, t->softmax(s, scores, 3), third(s, x, 2, tokens));
    mixed = t->permute(s, mixed, 4, (const int64_t[]){0, 2, 1, 3});
    return t->reshape(s, mixed, 3, (const int64_t[]){n, queries, width});
}

pg_value pg_layer_attention(pg_builder *b, const char *prefix, pg_value x, int heads, int queries, pg_tensor *bias)
{
    char qkv[64], proj[64];
    pg_layer_name(qkv, prefix, "qkv");
    pg_layer_name(proj, prefix, "proj");
    int width = x.channels;
    x = pg_layer_linear(b, qkv, x, 3 * width);
    if (pg_builder_runs(b))
        x.tensor = attend(b->scope, x.tensor, heads, queries, bias);
    x.channels = width;
    return pg_layer_linear(b, proj, x, width);
}

pg_tensor *pg_layer_vectors(pg_builder *b, const char *name, int tokens, int channels)
{
    pg_parameter *p = parameter(b, name, NULL, PG_PARAMETER_BIAS, 3, (const int64_t[]){1, tokens, channels});
    return p ? p->tensor : NULL;
}

/* ---- Memory ---- */

/* A tensor that another scope made, in this one; takes it over. */
static pg_tensor *adopt(pg_scope *s, pg_tensor *kept)
{
    int64_t shape[PG_SHAPE_DIMS];
    int rank = s->torch->rank(kept);
    for (int i = 0; i < rank; i++)
        shape[i] = s->torch->size(kept, i);
    pg_tensor *x = s->torch->reshape(s, kept, rank, shape);
    s->torch->tensor_free(kept);
    return x;
}

pg_value pg_layer_within(pg_builder *b, pg_layer_part *part, const void *context, pg_value x)
{
    if (!pg_builder_runs(b))
        return part(b, context, x);
    pg_scope *outer = b->scope;
    const pg_torch *t = outer->torch;
    pg_scope *inner = outer->error ? NULL : t->scope_new();
    if (!inner) {
        outer->error = outer->error ? outer->error : PG_ENOMEM;
        x.tensor = NULL;
        return x;
    }
    memcpy(inner->device, outer->device, sizeof inner->device);
    b->scope = inner;
    x = part(b, context, x);
    pg_tensor *kept = t->keep(inner, x.tensor);
    b->scope = outer;
    outer->error = inner->error;
    memcpy(outer->message, inner->message, sizeof outer->message);
    t->scope_free(inner);
    x.tensor = adopt(outer, kept);
    return x;
}

pg_value pg_layer_by_images(pg_builder *b, pg_layer_part *part, const void *context, pg_value x, int64_t images)
{
    const pg_torch *t = b->scope ? b->scope->torch : NULL;
    int64_t n = t ? t->size(x.tensor, 0) : 0;
    if (n <= images)
        return pg_layer_within(b, part, context, x);
    size_t next = b->next;
    pg_value half[2];
    for (int i = 0; i < 2; i++) {
        pg_value y = x;
        b->next = next; /* both ask for the same parameters */
        y.tensor = t->slice(b->scope, x.tensor, 0, i ? n / 2 : 0, i ? n : n / 2, 1);
        half[i] = pg_layer_by_images(b, part, context, y, images);
    }
    x = half[0];
    x.tensor = t->cat(b->scope, 2, (pg_tensor *[]){half[0].tensor, half[1].tensor}, 0);
    return x;
}
