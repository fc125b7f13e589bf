#include "defenses/windows.h"

#include <assert.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define GAP 64
#else
#define ASAN_POISON_MEMORY_REGION(start, size)   ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define GAP                                      0
#endif

static pg_window_axis axis_of(int size, int wanted, bool wrap)
{
    pg_window_axis axis = {.size = size, .length = PG_MIN(wanted, size)};
    axis.wrap = wrap && axis.length < size;
    axis.places = axis.wrap ? size : size - axis.length + 1;
    axis.span = axis.places + axis.length - 1;
    return axis;
}

pg_windows pg_windows_of(const pg_evidence *evidence, pg_window window)
{
    assert(window.height >= 1 && window.width >= 1);
    pg_windows w = {.rows = axis_of(evidence->height, window.height, evidence->wrap_rows),
                    .columns = axis_of(evidence->width, window.width, evidence->wrap_columns)};
    w.count = w.rows.places * w.columns.places;
    w.k = (int64_t)w.rows.length * w.columns.length;
    w.outside = (int64_t)evidence->height * evidence->width - w.k;
    return w;
}

int pg_window_overlap(const pg_window_axis *axis, int shift, pg_segment runs[2])
{
    int n = 0, length = axis->length;
    if (shift >= 0 && shift < length)
        runs[n++] = (pg_segment){shift, length - shift};
    if (!axis->wrap && shift < 0 && -shift < length)
        runs[n++] = (pg_segment){0, length + shift};
    if (axis->wrap && shift + length > axis->size)
        runs[n++] = (pg_segment){0, shift + length - axis->size};
    return n;
}

void pg_totals(const pg_evidence *evidence, int64_t *total)
{
    int classes = evidence->classes;
    size_t positions = (size_t)evidence->height * (size_t)evidence->width;
    const int32_t *q = evidence->q;
    for (int c = 0; c < classes; c++)
        total[c] = 0;
    for (size_t i = 0; i < positions; i++, q += classes)
        for (int c = 0; c < classes; c++)
            total[c] += q[c];
}

int pg_argmax(const int64_t *values, int n)
{
    int best = 0;
    for (int c = 1; c < n; c++)
        best = values[c] > values[best] ? c : best;
    return best;
}

int pg_argmax_f64(const double *values, int n)
{
    int best = 0;
    for (int c = 1; c < n; c++)
        best = values[c] > values[best] ? c : best;
    return best;
}

void *pg_arena_take(pg_arena *arena, size_t count, size_t item)
{
    size_t size = count * item, room = ((size + 63) & ~(size_t)63) + GAP;
    unsigned char *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += room;
    if (piece) {
        ASAN_UNPOISON_MEMORY_REGION(piece, size);
        ASAN_POISON_MEMORY_REGION(piece + size, room - size);
    }
    return piece;
}
