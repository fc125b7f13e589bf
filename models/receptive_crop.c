/* Which positions see which pixels: windows and crops. See model.h and network.h. */
#include "models/network.h"

bool pg_axis_meets(const pg_axis *a, int input_px, int position, int start, int length)
{
    if (a->field <= 0)
        return true;
    int left = position * a->stride - a->padding, right = left + a->field; /* pixels [left, right) */
    bool meets = left < start + length && right > start;
    for (int turn = -1; a->wrap && !meets && turn <= 1; turn += 2)
        meets = left + turn * input_px < start + length && right + turn * input_px > start;
    return meets;
}

int pg_axis_window(const pg_axis *axis, int input_px, int patch_px)
{
    if (axis->field <= 0 || axis->positions <= 1 || patch_px >= input_px)
        return axis->positions;
    int worst = 0;
    for (int start = 0; start + patch_px <= input_px; start++) {
        int touched = 0;
        for (int i = 0; i < axis->positions; i++)
            touched += pg_axis_meets(axis, input_px, i, start, patch_px);
        worst = touched > worst ? touched : worst;
    }
    return worst;
}

int pg_axis_window_most(const pg_axis *axis, int input_px, int patch_px)
{
    if (axis->field <= 0 || patch_px >= input_px)
        return axis->positions;
    int64_t starts = (int64_t)patch_px + axis->field - 1; /* fields start in so many pixels */
    int64_t most = (starts + axis->stride - 1) / axis->stride;
    most += axis->wrap && input_px % axis->stride != 0; /* where the ends meet, starts are closer to each other */
    return most < axis->positions ? (int)most : axis->positions;
}

/* The first of the positions that see pixels [start, start + length), in the order of the axis; on an axis that wraps, the one
 * whose forerunner sees none of them. Where no position does, or all do: `fallback`. */
static int first_position(const pg_axis *a, int input_px, int start, int length, int fallback)
{
    for (int i = 0; i < a->positions; i++) {
        bool forerunner = i > 0     ? pg_axis_meets(a, input_px, i - 1, start, length)
                          : a->wrap ? pg_axis_meets(a, input_px, a->positions - 1, start, length)
                                    : false;
        if (!forerunner && pg_axis_meets(a, input_px, i, start, length))
            return i;
    }
    return fallback;
}

/* One axis of a crop: pixels and positions as (start, length). */
typedef struct axis_crop {
    int pixel, pixels, position, positions;
} axis_crop;

static axis_crop crop_of_axis(const pg_axis *a, int input_px, bool seam, int start, int length)
{
    axis_crop v = {.pixels = input_px, .positions = a->positions};
    int k = pg_axis_window(a, input_px, length);
    if (a->field <= 0 || a->padding > 0 || (a->wrap && !seam) || k >= a->positions)
        return v;
    v.positions = k;
    v.position = first_position(a, input_px, start, length, a->wrap ? 0 : a->positions - k);
    if (!a->wrap && v.position > a->positions - k)
        v.position = a->positions - k;
    int span =
        (k - 1) * a->stride + a->field; /* where a wrapping axis is no multiple of the stride, perhaps more than is seen */
    if (!a->wrap || span < input_px) {
        v.pixel = v.position * a->stride;
        v.pixels = span;
    }
    return v;
}

pg_crop pg_geometry_crop(const pg_geometry *g, bool seam, pg_rect patch)
{
    axis_crop y = crop_of_axis(&g->rows, g->input_height, seam, patch.top, patch.height);
    axis_crop x = crop_of_axis(&g->columns, g->input_width, seam, patch.left, patch.width);
    return (pg_crop){.pixels = {.top = y.pixel, .left = x.pixel, .height = y.pixels, .width = x.pixels},
                     .positions = {.top = y.position, .left = x.position, .height = y.positions, .width = x.positions}};
}
