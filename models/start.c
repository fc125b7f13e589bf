#include "models/start.h"

#include "harness/base/log.h"
#include "models/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 24 }; /* images that statistics are measured on */

/* How a parameter of the target comes from the one of that name. */
typedef enum way { AS_IT_IS, MORE_CHANNELS, CENTRE, NO_WAY } way;

static const pg_parameter *find(const pg_parameters *ps, const char *name)
{
    for (size_t i = 0; i < ps->n; i++)
        if (strcmp(ps->items[i].name, name) == 0)
            return &ps->items[i];
    return NULL;
}

/* `first`: the target's first parameter, which sees images. */
static way way_to(const pg_parameter *want, const pg_parameter *have, bool first)
{
    if (!have || have->rank != want->rank || have->kind != want->kind)
        return NO_WAY;
    if (pg_parameter_has_shape(have, want->rank, want->shape))
        return AS_IT_IS;
    if (want->rank != 4 || have->shape[0] != want->shape[0])
        return NO_WAY;
    bool same_kernel = have->shape[2] == want->shape[2] && have->shape[3] == want->shape[3];
    if (first && same_kernel && have->shape[1] < want->shape[1])
        return MORE_CHANNELS;
    bool depthwise = have->shape[1] == 1 && want->shape[1] == 1;
    return depthwise && want->shape[2] == 1 && want->shape[3] == 1 ? CENTRE : NO_WAY;
}

static int trace(const pg_weights_info *from, const pg_start_target *target, pg_parameters *have, pg_parameters *want)
{
    const pg_geometry *g = &from->geometry;
    pg_geometry traced;
    int code =
        pg_model_trace(pg_model_find(from->model), from->config, g->input_height, g->input_width, g->classes, have, &traced);
    if (code == PG_OK)
        code = pg_model_trace(target->model, target->config, target->height, target->width, g->classes, want, &traced);
    return code;
}

int pg_start_check(const char *path, const pg_weights_info *from, const pg_start_target *target)
{
    const char *name = target->model->module.name;
    bool same = strcmp(from->model, name) == 0;
    pg_parameters have = {0}, want = {0};
    int code = trace(from, target, &have, &want);
    size_t i = 0;
    while (code == PG_OK && have.n == want.n && i < want.n &&
           way_to(&want.items[i], find(&have, want.items[i].name), i == 0) != NO_WAY)
        i++;
    if (code == PG_OK && i < want.n && same)
        code = pg_fail(PG_EINPUT,
                       "--from %s: has weights of other shapes, from other options of %s; `patchgauge model inspect` shows "
                       "them, --set gives them",
                       path, name);
    else if (code == PG_OK && i < want.n)
        code = pg_fail(PG_EINPUT, "--from %s: is of %s, whose weights do not become those of %s: tensor %s is another one",
                       path, from->model, name, want.items[i].name);
    pg_parameters_release(&have, NULL);
    pg_parameters_release(&want, NULL);
    return code;
}

int pg_start_configure(const char *path, const pg_model *model, const char *const *pairs, size_t n, void *config)
{
    pg_weights_info from;
    int code = pg_weights_describe(path, NULL, 0, &from);
    if (code == PG_OK)
        code = pg_module_configure(&model->module, "model", pairs, n, config);
    const pg_model *other = code == PG_OK ? pg_model_find(from.model) : NULL;
    for (const pg_option *row = model->module.options; other && code == PG_OK && row->name; row++) {
        const pg_option *its = pg_option_find(other->module.options, row->name);
        bool given = false;
        for (size_t i = 0; i < n; i++)
            given |= strncmp(pairs[i], row->name, strlen(row->name)) == 0 && pairs[i][strlen(row->name)] == '=';
        if (!its || its->type != row->type || given)
            continue;
        pg_buf value = PG_BUF_EMPTY;
        pg_option_format(its, from.config, &value);
        code = pg_buf_check(&value);
        if (code == PG_OK)
            code = pg_options_set(model->module.options, config, "model", row->name, value.data);
        pg_buf_release(&value);
    }
    if (other && code == PG_OK && model->module.normalize)
        code = model->module.normalize(config);
    return code;
}

/* ---- Norms that were folded ---- */

/* Whether all values are x, up to the epsilon of a norm; *failed where they cannot be read. */
static bool all_are(pg_scope *s, const pg_parameter *p, double x)
{
    size_t n = (size_t)pg_parameter_elements(p);
    float *values = malloc(n * sizeof *values);
    bool are = values && s->torch->read(s, p->tensor, values, PG_T_F32, (int64_t)n) == PG_OK;
    for (size_t i = 0; are && i < n; i++)
        are = fabs(values[i] - x) < 2e-5;
    free(values);
    return are;
}

static size_t mark_folded(pg_scope *s, pg_parameters *ps)
{
    size_t n = 0;
    for (size_t i = 0; i + 4 < ps->n; i++) {
        pg_parameter *p = &ps->items[i];
        if (p->rank != 4 || p[1].kind != PG_PARAMETER_SCALE)
            continue;
        p->unsettled = all_are(s, &p[1], 1) && all_are(s, &p[3], 0) && all_are(s, &p[4], 1);
        n += p->unsettled;
    }
    return n;
}

/* Images from all over the data set: *new* pixels u8 [n][3][height][width]. */
static int read_sample(pg_dataset *images, const pg_start_target *target, int *n, uint8_t **pixels)
{
    size_t size = (size_t)3 * (size_t)target->height * (size_t)target->width;
    int64_t all = pg_dataset_info_of(images)->images;
    *n = all < SAMPLE ? (int)all : SAMPLE;
    *pixels = malloc((size_t)*n * size);
    int code = *pixels ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (int i = 0; code == PG_OK && i < *n; i++) {
        int32_t label;
        code = pg_dataset_read(images, i * all / *n, 1, *pixels + (size_t)i * size, &label);
    }
    return code;
}

static int settle(const char *path, const pg_weights_info *from, const pg_start_target *target, pg_scope *s, pg_dataset *images,
                  pg_parameters *have)
{
    const pg_torch *t = s->torch;
    uint8_t *pixels = NULL;
    int n = 0, code = PG_OK;
    size_t folded = mark_folded(s, have);
    if (folded)
        code = read_sample(images, target, &n, &pixels);
    if (folded && code == PG_OK) {
        pg_info("--from %s: the norms of %zu convolutions are folded into them; their statistics are measured on %d images",
                path, folded, n);
        bool recorded = t->grad_mode(false);
        pg_tensor *x = t->from_data(s, pixels, PG_T_U8, 4, (const int64_t[]){n, 3, target->height, target->width});
        pg_model_forward(pg_model_find(from->model), from->config, PG_PASS_SETTLE, s, have, from->geometry.classes, x);
        t->scope_clear(s);
        t->grad_mode(recorded);
    }
    free(pixels);
    return code == PG_OK ? pg_scope_check(s) : code;
}

/* ---- Parameters ---- */

/* *new* */
static pg_tensor *become(pg_scope *s, const pg_parameter *want, const pg_parameter *have, way w)
{
    const pg_torch *t = s->torch;
    pg_tensor *x = have->tensor;
    if (w == MORE_CHANNELS)
        x = t->pad(s, x, 6, (const int64_t[]){0, 0, 0, 0, 0, want->shape[1] - have->shape[1]}, 0);
    else if (w == CENTRE)
        for (int axis = 2; axis < 4; axis++)
            x = t->slice(s, x, axis, have->shape[axis] / 2, have->shape[axis] / 2 + 1, 1);
    x = t->keep(s, want->rank == 4 ? t->channels_last(s, x) : x);
    t->scope_clear(s);
    return x;
}

int pg_start_load(const char *path, const pg_weights_info *from, const pg_start_target *target, pg_scope *s, pg_dataset *images,
                  pg_parameters *want)
{
    pg_parameters have = {0};
    size_t ways[NO_WAY + 1] = {0};
    int code = trace(from, target, &have, want);
    if (code == PG_OK)
        code = pg_weights_load(path, s, &have);
    if (code == PG_OK)
        code = settle(path, from, target, s, images, &have);
    for (size_t i = 0; code == PG_OK && i < want->n; i++) {
        pg_parameter *p = &want->items[i];
        const pg_parameter *of = find(&have, p->name);
        way w = way_to(p, of, i == 0);
        p->tensor = become(s, p, of, w);
        ways[w]++;
        code = pg_scope_check(s);
    }
    if (code == PG_OK && ways[MORE_CHANNELS])
        pg_info("--from %s: %s gets channels that start at zero", path, want->items[0].name);
    if (code == PG_OK && ways[CENTRE])
        pg_info("--from %s: %zu depthwise kernels become 1 x 1, their centre", path, ways[CENTRE]);
    pg_parameters_release(&have, s->torch);
    return code;
}
