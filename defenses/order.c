#include "defenses/order.h"

#include <stdlib.h>
#include <string.h>

void pg_order_layout(pg_arena *arena, int height, int width, pg_order *order)
{
    size_t n = (size_t)height * (size_t)width;
    order->value = pg_arena_take(arena, n, sizeof *order->value);
    order->prefix = pg_arena_take(arena, n + 1, sizeof *order->prefix);
    order->rank = pg_arena_take(arena, 4 * n, sizeof *order->rank);
    order->keys = pg_arena_take(arena, 2 * n, sizeof *order->keys);
}

/* Sorts by the high 32 bits, least significant byte first; returns whichever of the two buffers holds the result. */
static uint64_t *sort_keys(uint64_t *from, uint64_t *to, size_t n)
{
    for (int shift = 32; shift < 64; shift += 8) {
        size_t start[256] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++)
            start[from[i] >> shift & 255]++;
        for (int digit = 0; digit < 256; digit++) {
            size_t count = start[digit];
            start[digit] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++)
            to[start[from[i] >> shift & 255]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

void pg_order_sort(pg_order *order, const pg_evidence *evidence, const pg_windows *windows, int class)
{
    int n = evidence->height * evidence->width, classes = evidence->classes;
    order->windows = windows;
    order->positions = n;
    for (int i = 0; i < n; i++) {
        int32_t q = evidence->q[(size_t)i * (size_t)classes + (size_t) class];
        order->keys[i] = (uint64_t)((uint32_t)q ^ 0x80000000u) << 32 | (uint32_t)i;
    }
    const uint64_t *sorted = sort_keys(order->keys, order->keys + n, (size_t)n);
    int span = windows->columns.span, width = evidence->width;
    order->prefix[0] = 0;
    for (int i = 0; i < n; i++) {
        int position = (int)(sorted[i] & 0xffffffffu);
        order->value[i] = evidence->q[(size_t)position * (size_t)classes + (size_t) class];
        order->prefix[i + 1] = order->prefix[i] + order->value[i];
        order->rank[(size_t)(position / width) * (size_t)span + (size_t)(position % width)] = i;
    }
    for (int row = 0; row < windows->rows.span; row++) {
        int32_t *to = order->rank + (size_t)row * (size_t)span;
        if (row >= evidence->height)
            memcpy(to, to - (size_t)evidence->height * (size_t)span, (size_t)width * sizeof *to);
        memcpy(to + width, to, (size_t)(span - width) * sizeof *to);
    }
}

/* Positions of the window with ranks below `limit`. */
static int inside_below(const pg_order *order, int top, int left, int limit)
{
    const pg_windows *w = order->windows;
    int n = 0;
    for (int row = top; row < top + w->rows.length; row++) {
        const int32_t *rank = order->rank + (size_t)row * (size_t)w->columns.span + (size_t)left;
        for (int column = 0; column < w->columns.length; column++)
            n += rank[column] < limit;
    }
    return n;
}

/* The wanted rank i is the smallest with i = r + (inside ranks up to i): the iteration climbs to it from below. */
int pg_order_outside(const pg_order *order, int top, int left, int r)
{
    int i = r, next = r + inside_below(order, top, left, i + 1);
    while (next > i) {
        i = next;
        next = r + inside_below(order, top, left, i + 1);
    }
    return i;
}

int64_t pg_order_outside_sum(const pg_order *order, int top, int left, int from, int to)
{
    if (from == to)
        return 0;
    const pg_windows *w = order->windows;
    int first = pg_order_outside(order, top, left, from), last = pg_order_outside(order, top, left, to - 1);
    int64_t sum = order->prefix[last + 1] - order->prefix[first];
    for (int row = top; row < top + w->rows.length; row++) {
        const int32_t *rank = order->rank + (size_t)row * (size_t)w->columns.span + (size_t)left;
        for (int column = 0; column < w->columns.length; column++)
            if (rank[column] > first && rank[column] < last)
                sum -= order->value[rank[column]];
    }
    return sum;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void pg_order_values(const pg_evidence *evidence, int class, double *out)
{
    size_t positions = (size_t)evidence->height * (size_t)evidence->width, classes = (size_t)evidence->classes;
    for (size_t i = 0; i < positions; i++)
        out[i] = evidence->values[i * classes + (size_t) class];
    qsort(out, positions, sizeof *out, ascending);
}
