/* See resized_patch.h. Values are 0 to 255 here, as pg_resize has them. */
#include "harness/target/resized_patch.h"

#include "harness/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One patch at its place. */
typedef struct resized_slot {
    double *columns; /* [patch width][width] */
    double *beside;  /* [3][patch height][width] */
    double *rows;    /* [height][patch height] */
    double *base;    /* [3][height][width] */
} resized_slot;

struct pg_resized_patch {
    pg_resizing how;
    int patch_height, patch_width, height, width; /* of a patch and of its region */
    float *row_weights, *column_weights;          /* [how.height][how.from_height], [how.width][how.from_width] */
    int n_slots;
    resized_slot *slots;
    uint8_t *image;                            /* [from_height][from_width][3]: of the slot that is filled, the patch black */
    uint8_t *narrow;                           /* [from_height][width][3]: its columns resized */
    pg_scope *scope;                           /* borrowed */
    int n;                                     /* slots of the batch, */
    pg_tensor *columns, *beside, *rows, *base; /* theirs, one behind the other */
    pg_memory memory;                          /* of all arrays */
};

/* ---- Opening and closing ---- */

static void drop_batch(pg_resized_patch *s)
{
    pg_tensor **const tensors[] = {&s->columns, &s->beside, &s->rows, &s->base};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        s->scope->torch->tensor_free(*tensors[i]);
        *tensors[i] = NULL;
    }
}

void pg_resized_patch_free(pg_resized_patch *s)
{
    if (!s)
        return;
    drop_batch(s);
    pg_memory_free(&s->memory);
    free(s);
}

static int make_weights(pg_resized_patch *s)
{
    const pg_resizing *how = &s->how;
    int code = pg_resize_affected_pixels(how, s->patch_height, s->patch_width, &s->height, &s->width);
    if (code != PG_OK)
        return code;
    size_t rows = (size_t)how->height * (size_t)how->from_height, columns = (size_t)how->width * (size_t)how->from_width;
    s->row_weights = pg_memory_take(&s->memory, rows, sizeof *s->row_weights);
    s->column_weights = pg_memory_take(&s->memory, columns, sizeof *s->column_weights);
    code = pg_memory_check(&s->memory, "a resize to %d x %d pixels", how->width, how->height);
    if (code == PG_OK)
        code = pg_resize_weights(how->from_height, how->height, how->filter, s->row_weights);
    return code == PG_OK ? pg_resize_weights(how->from_width, how->width, how->filter, s->column_weights) : code;
}

static int make_slots(pg_resized_patch *s)
{
    size_t h = (size_t)s->height, w = (size_t)s->width, p = (size_t)s->patch_height, q = (size_t)s->patch_width;
    size_t rows = (size_t)s->how.from_height, columns = (size_t)s->how.from_width;
    s->slots = pg_memory_take(&s->memory, (size_t)s->n_slots, sizeof *s->slots);
    s->image = pg_memory_take(&s->memory, rows * columns, 3);
    s->narrow = pg_memory_take(&s->memory, rows * w, 3);
    for (int i = 0; s->slots && i < s->n_slots; i++)
        s->slots[i] = (resized_slot){.columns = pg_memory_take(&s->memory, q * w, sizeof(double)),
                                     .beside = pg_memory_take(&s->memory, 3 * p * w, sizeof(double)),
                                     .rows = pg_memory_take(&s->memory, h * p, sizeof(double)),
                                     .base = pg_memory_take(&s->memory, 3 * h * w, sizeof(double))};
    return pg_memory_check(&s->memory, "%d images under attack", s->n_slots);
}

int pg_resized_patch_new(const pg_resizing *how, int patch_height, int patch_width, int slots, pg_scope *scope,
                         pg_resized_patch **out)
{
    *out = NULL;
    pg_resized_patch *s = calloc(1, sizeof *s);
    if (!s)
        return pg_fail(PG_ENOMEM, "out of memory");
    *s = (pg_resized_patch){
        .how = *how, .patch_height = patch_height, .patch_width = patch_width, .n_slots = slots, .scope = scope};
    int code = make_weights(s);
    if (code == PG_OK)
        code = make_slots(s);
    if (code == PG_OK)
        *out = s;
    else
        pg_resized_patch_free(s);
    return code;
}

pg_rect pg_resized_patch_size(const pg_resized_patch *s) { return (pg_rect){.height = s->height, .width = s->width}; }

/* ---- Slots ---- */

static void fill_weights(const pg_resized_patch *s, resized_slot *x, int top, int left, const pg_rect *place)
{
    for (int i = 0; i < s->height; i++)
        for (int y = 0; y < s->patch_height; y++)
            x->rows[i * s->patch_height + y] = (double)s->row_weights[(place->top + i) * s->how.from_height + top + y];
    for (int y = 0; y < s->patch_width; y++)
        for (int i = 0; i < s->width; i++)
            x->columns[y * s->width + i] = (double)s->column_weights[(place->left + i) * s->how.from_width + left + y];
}

/* The image with a black patch. */
static void fill_image(pg_resized_patch *s, const uint8_t *pixels, int top, int left)
{
    int width = s->how.from_width;
    size_t plane = (size_t)s->how.from_height * (size_t)width;
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            s->image[3 * i + c] = pixels[c * plane + i];
    for (int y = top; y < top + s->patch_height; y++)
        memset(s->image + ((size_t)y * (size_t)width + (size_t)left) * 3, 0, (size_t)s->patch_width * 3);
}

/* What the pixels beside the patch add to the columns of its rows. */
static void fill_beside(const pg_resized_patch *s, resized_slot *x, int top, const pg_rect *place)
{
    int width = s->how.from_width;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < s->patch_height; y++)
            for (int i = 0; i < s->width; i++) {
                const float *weights = s->column_weights + (size_t)(place->left + i) * (size_t)width;
                const uint8_t *row = s->image + (size_t)(top + y) * (size_t)width * 3;
                double sum = 0;
                for (int k = 0; k < width; k++)
                    sum += (double)weights[k] * row[3 * k + c];
                x->beside[(c * s->patch_height + y) * s->width + i] = sum;
            }
}

/* What the rows above and below the patch add, once their columns are resized. */
static int fill_base(const pg_resized_patch *s, resized_slot *x, int top, const pg_rect *place)
{
    int height = s->how.from_height, bottom = top + s->patch_height;
    const pg_image image = {.height = height, .width = s->how.from_width, .pixels = s->image};
    const pg_part part = {.left = place->left, .height = height, .width = s->width};
    int code = pg_resize(&image, height, s->how.width, s->how.filter, part, s->narrow);
    for (int c = 0; code == PG_OK && c < 3; c++)
        for (int y = 0; y < s->height; y++)
            for (int i = 0; i < s->width; i++) {
                const float *weights = s->row_weights + (size_t)(place->top + y) * (size_t)height;
                double sum = 0;
                for (int k = 0; k < height; k++)
                    if (k < top || k >= bottom)
                        sum += (double)weights[k] * s->narrow[(k * s->width + i) * 3 + c];
                x->base[(c * s->height + y) * s->width + i] = sum;
            }
    return code;
}

/* Where the region begins along an axis: it has room for all that a patch changes anywhere. */
static int begin(int in, int out, pg_filter filter, int start, int length, int affected, int *from)
{
    int count, code = pg_resize_touched(in, out, filter, start, length, from, &count);
    *from = *from > out - affected ? out - affected : *from;
    return code;
}

int pg_resized_patch_hold(pg_resized_patch *s, int slot, const uint8_t *pixels, int top, int left, pg_rect *place)
{
    const pg_resizing *how = &s->how;
    resized_slot *x = &s->slots[slot];
    *place = pg_resized_patch_size(s);
    int code = begin(how->from_height, how->height, how->filter, top, s->patch_height, s->height, &place->top);
    if (code == PG_OK)
        code = begin(how->from_width, how->width, how->filter, left, s->patch_width, s->width, &place->left);
    if (code != PG_OK)
        return code;
    fill_weights(s, x, top, left, place);
    fill_image(s, pixels, top, left);
    fill_beside(s, x, top, place);
    return fill_base(s, x, top, place);
}

/* ---- Passes ---- */

/* A field of the slots, at `offset`, as a tensor [n][colours][height][width] that outlives the scope. */
static pg_tensor *gather_slots(pg_resized_patch *s, const int *slots, size_t offset, int colours, int height, int width)
{
    size_t values = (size_t)colours * (size_t)height * (size_t)width;
    double *all = malloc((size_t)s->n * values * sizeof *all);
    for (int i = 0; all && i < s->n; i++) {
        const double *item;
        memcpy(&item, (const char *)&s->slots[slots[i]] + offset, sizeof item);
        memcpy(all + (size_t)i * values, item, values * sizeof *all);
    }
    if (!all && s->scope->error == PG_OK) {
        s->scope->error = pg_fail(PG_ENOMEM, "out of memory for %d images under attack", s->n);
        memcpy(s->scope->message, pg_error_message(), sizeof s->scope->message);
    }
    const pg_torch *t = s->scope->torch;
    const int64_t shape[] = {s->n, colours, height, width};
    pg_tensor *x = all ? t->keep(s->scope, t->from_data(s->scope, all, PG_T_F64, 4, shape)) : NULL;
    free(all);
    return x;
}

void pg_resized_patch_batch(pg_resized_patch *s, int n, const int *slots)
{
    drop_batch(s);
    s->n = n;
    s->columns = gather_slots(s, slots, offsetof(resized_slot, columns), 1, s->patch_width, s->width);
    s->beside = gather_slots(s, slots, offsetof(resized_slot, beside), 3, s->patch_height, s->width);
    s->rows = gather_slots(s, slots, offsetof(resized_slot, rows), 1, s->height, s->patch_height);
    s->base = gather_slots(s, slots, offsetof(resized_slot, base), 3, s->height, s->width);
}

/* Rounded and clipped as pg_resize does it, halves up: doubles hold these sums exactly, multiples of 2^-22, and the shift is
 * less than one. The gradient is 1 where rounding alone gets a value into the range, else 0. */
static pg_tensor *to_bytes(pg_scope *scope, pg_tensor *x)
{
    const pg_torch *t = scope->torch;
    pg_tensor *byte = t->clamp(scope, t->round(scope, t->affine(scope, t->detach(scope, x), 1, 1e-7)), 0, 255);
    x = t->clamp(scope, x, -0.5, 255.5);
    return t->add(scope, x, t->sub(scope, byte, t->detach(scope, x)));
}

pg_tensor *pg_resized_patch_pixels(pg_resized_patch *s, pg_tensor *patches)
{
    pg_scope *scope = s->scope;
    const pg_torch *t = scope->torch;
    pg_tensor *x = t->reshape(scope, patches, 4, (const int64_t[]){s->n, 3, s->patch_height, s->patch_width});
    x = to_bytes(scope, t->affine(scope, t->to_type(scope, x, PG_T_F64), 255, 0));
    x = to_bytes(scope, t->add(scope, s->beside, t->matmul(scope, x, s->columns)));
    x = to_bytes(scope, t->add(scope, s->base, t->matmul(scope, s->rows, x)));
    x = t->affine(scope, t->to_type(scope, x, PG_T_F32), 1.0 / 255, 0); /* as the deployed path does it */
    return t->reshape(scope, x, 3, (const int64_t[]){s->n, 3, (int64_t)s->height * s->width});
}

/* ---- Saliency ---- */

/* tall[height][from_width] = gradient[height][width] x column weights */
static void undo_columns(const pg_resized_patch *s, const float *gradient, double *tall)
{
    int width = s->how.width, from = s->how.from_width;
    for (int y = 0; y < s->how.height; y++)
        for (int i = 0; i < width; i++) {
            double g = (double)gradient[y * width + i];
            const float *weights = s->column_weights + (size_t)i * (size_t)from;
            for (int k = 0; k < from; k++)
                tall[y * from + k] += g * (double)weights[k];
        }
}

/* small[from_height][from_width] = row weights, transposed, x tall */
static void undo_rows(const pg_resized_patch *s, const double *tall, double *small)
{
    int height = s->how.from_height, width = s->how.from_width;
    for (int y = 0; y < s->how.height; y++)
        for (int k = 0; k < height; k++) {
            double weight = (double)s->row_weights[y * height + k];
            for (int i = 0; weight != 0 && i < width; i++)
                small[k * width + i] += weight * tall[y * width + i];
        }
}

int pg_resized_patch_saliency(const pg_resized_patch *s, const float *gradient, float *out)
{
    size_t large = (size_t)s->how.height * (size_t)s->how.width, width = (size_t)s->how.from_width;
    size_t tall = (size_t)s->how.height * width, small = (size_t)s->how.from_height * width;
    double *memory = malloc((tall + small) * sizeof *memory);
    if (!memory)
        return pg_fail(PG_ENOMEM, "out of memory for a saliency");
    memset(out, 0, small * sizeof *out);
    for (size_t c = 0; c < 3; c++) {
        memset(memory, 0, (tall + small) * sizeof *memory);
        undo_columns(s, gradient + c * large, memory);
        undo_rows(s, memory, memory + tall);
        for (size_t i = 0; i < small; i++)
            out[i] += (float)fabs(memory[tall + i]);
    }
    free(memory);
    return PG_OK;
}
