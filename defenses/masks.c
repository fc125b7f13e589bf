#include "defenses/masks.h"

#include "defenses/clones.h"

#include <string.h>

/* Planes --------------------------------------------------------------------------------------------------------------- */

void pg_plane_layout(pg_arena *arena, int height, int width, pg_plane *plane)
{
    size_t h = (size_t)height, w = (size_t)width;
    plane->prefix = pg_arena_take(arena, 4 * h * w, sizeof *plane->prefix); /* a span is shorter than twice its axis */
    plane->sum = pg_arena_take(arena, h * w, sizeof *plane->sum);
}

/* The sum of the unrolled map over rows [top, top + height) and columns [left, left + width). */
static inline int64_t rectangle(const pg_plane *plane, int top, int left, int height, int width)
{
    const int64_t *above = plane->prefix + (size_t)top * (size_t)plane->stride + (size_t)left;
    const int64_t *below = above + (size_t)height * (size_t)plane->stride;
    return below[width] - below[0] - (above[width] - above[0]);
}

void pg_plane_run(pg_plane *plane, const pg_evidence *evidence, const pg_windows *windows, int class)
{
    const pg_window_axis *rows = &windows->rows, *columns = &windows->columns;
    plane->windows = windows;
    plane->stride = columns->span + 1;
    size_t stride = (size_t)plane->stride, classes = (size_t)evidence->classes, width = (size_t)evidence->width;
    memset(plane->prefix, 0, stride * sizeof *plane->prefix);
    for (int row = 0; row < rows->span; row++) {
        int source_row = row < rows->size ? row : row - rows->size;
        const int32_t *q = evidence->q + (size_t)source_row * width * classes + (size_t) class;
        const int64_t *above = plane->prefix + (size_t)row * stride;
        int64_t *to = plane->prefix + (size_t)(row + 1) * stride, sum = 0;
        to[0] = 0;
        for (int column = 0; column < columns->span; column++) {
            int source = column < columns->size ? column : column - columns->size;
            sum += q[(size_t)source * classes];
            to[column + 1] = above[column + 1] + sum;
        }
    }
    int64_t *sum = plane->sum;
    for (int top = 0; top < rows->places; top++)
        for (int left = 0; left < columns->places; left++)
            *sum++ = rectangle(plane, top, left, rows->length, columns->length);
}

/* Disjoint windows ------------------------------------------------------------------------------------------------------ */

static const pg_heaviest nothing = {PG_NONE, 0};

void pg_disjoint_layout(pg_arena *arena, int height, int width, pg_disjoint *disjoint)
{
    size_t h = (size_t)height, w = (size_t)width, longest = PG_MAX(h, w);
    disjoint->rows = pg_arena_take(arena, h, sizeof *disjoint->rows);
    disjoint->columns = pg_arena_take(arena, w, sizeof *disjoint->columns);
    disjoint->line = pg_arena_take(arena, longest, sizeof *disjoint->line);
    disjoint->work = pg_arena_take(arena, 4 * longest, sizeof *disjoint->work);
}

/* out[a] = the heaviest of line[b] over the places b that are disjoint from a: b <= a - length or b >= a + length. */
static void disjoint_straight(const pg_window_axis *axis, const pg_heaviest *line, pg_heaviest *work, pg_heaviest *out)
{
    int n = axis->places;
    pg_heaviest *up_to = work, *from = work + n;
    for (int i = 0; i < n; i++)
        up_to[i] = i ? pg_heavier(up_to[i - 1], line[i]) : line[i];
    for (int i = n - 1; i >= 0; i--)
        from[i] = i < n - 1 ? pg_heavier(from[i + 1], line[i]) : line[i];
    for (int a = 0; a < n; a++) {
        out[a] = a - axis->length >= 0 ? up_to[a - axis->length] : nothing;
        if (a + axis->length < n)
            out[a] = pg_heavier(out[a], from[a + axis->length]);
    }
}

/* The same on a ring: b runs from a + length to a + size - length. The ring is laid out twice and cut into blocks as long as
 * that run; a run is then the end of one block and the start of the next. */
static void disjoint_ring(const pg_window_axis *axis, const pg_heaviest *line, pg_heaviest *work, pg_heaviest *out)
{
    int size = axis->size, run = size - 2 * axis->length + 1;
    pg_heaviest *up_to = work, *from = work + 2 * size;
    for (int i = 0; run > 0 && i < 2 * size; i++)
        up_to[i] = i % run ? pg_heavier(up_to[i - 1], line[i % size]) : line[i % size];
    for (int i = 2 * size - 1; run > 0 && i >= 0; i--)
        from[i] = i < 2 * size - 1 && (i + 1) % run ? pg_heavier(from[i + 1], line[i % size]) : line[i % size];
    for (int a = 0; a < size; a++)
        out[a] = run > 0 ? pg_heavier(from[a + axis->length], up_to[a + size - axis->length]) : nothing;
}

static void disjoint_axis(const pg_window_axis *axis, const pg_heaviest *line, pg_heaviest *work, pg_heaviest *out)
{
    if (axis->wrap)
        disjoint_ring(axis, line, work, out);
    else
        disjoint_straight(axis, line, work, out);
}

void pg_disjoint_run(pg_disjoint *disjoint, const pg_windows *windows, const int64_t *sum)
{
    const pg_window_axis *rows = &windows->rows, *columns = &windows->columns;
    for (int top = 0; top < rows->places; top++) {
        disjoint->line[top] = nothing;
        for (int left = 0; left < columns->places; left++) {
            int w = top * columns->places + left;
            disjoint->line[top] = pg_heavier(disjoint->line[top], (pg_heaviest){sum[w], w});
        }
    }
    disjoint_axis(rows, disjoint->line, disjoint->work, disjoint->rows);
    for (int left = 0; left < columns->places; left++) {
        disjoint->line[left] = nothing;
        for (int top = 0; top < rows->places; top++) {
            int w = top * columns->places + left;
            disjoint->line[left] = pg_heavier(disjoint->line[left], (pg_heaviest){sum[w], w});
        }
    }
    disjoint_axis(columns, disjoint->line, disjoint->work, disjoint->columns);
}

/* Overlapping windows ---------------------------------------------------------------------------------------------------- */

/* First and last shift between windows of an axis that may overlap. */
static int first_shift(const pg_window_axis *axis) { return axis->wrap ? 0 : 1 - axis->length; }
static int last_shift(const pg_window_axis *axis) { return axis->wrap ? axis->size - 1 : axis->length - 1; }

/* Arrays of one common stride in which the window at (top, left) has index top * stride + left, each with a row of room before
 * it and behind it, so that a shift may leave the row; sums of places that do not exist are PG_NONE and never the largest. */
typedef struct field {
    size_t stride;
    int64_t *sum;              /* [2 * rows][stride] sums of windows, laid out twice along wrapping axes */
    int64_t *rows;             /* [rows][stride] prefix sums along the columns over the rows that are shared at a shift */
    int64_t *best;             /* [rows][stride] */
    int64_t *candidate, *work; /* [rows][stride] */
} field;

static int64_t *take_rows(pg_arena *arena, size_t rows, size_t stride)
{
    int64_t *start = pg_arena_take(arena, (rows + 3) * stride, sizeof *start);
    return start ? start + stride : NULL;
}

static void field_layout(pg_arena *arena, size_t places, size_t stride, field *f)
{
    f->stride = stride;
    f->sum = take_rows(arena, 2 * places, stride);
    f->rows = take_rows(arena, places, stride);
    f->best = take_rows(arena, places, stride);
    f->candidate = take_rows(arena, places, stride);
    f->work = take_rows(arena, places, stride);
}

size_t pg_overlapping_work_size(int height, int width)
{
    pg_arena arena = {0};
    field f;
    field_layout(&arena, (size_t)height, 2 * (size_t)width, &f); /* the longest stride is that of a ring */
    return arena.used;
}

static void field_fill(const pg_plane *plane, field *f)
{
    const pg_window_axis *rows = &plane->windows->rows, *columns = &plane->windows->columns;
    size_t n = (size_t)rows->places * f->stride;
    for (size_t i = 0; i < 2 * n + 3 * f->stride; i++)
        f->sum[(ptrdiff_t)i - (ptrdiff_t)f->stride] = PG_NONE;
    memset(f->rows - f->stride, 0, (n + 3 * f->stride) * sizeof *f->rows);
    memset(f->best - f->stride, 0, (n + 3 * f->stride) * sizeof *f->best);
    int down = rows->wrap ? 2 * rows->places : rows->places, right = columns->wrap ? 2 * columns->places : columns->places;
    for (int top = 0; top < down; top++) {
        const int64_t *from = plane->sum + (size_t)(top % rows->places) * (size_t)columns->places;
        int64_t *to = f->sum + (size_t)top * f->stride;
        for (int left = 0; left < right; left++)
            to[left] = from[left < columns->places ? left : left - columns->places];
    }
}

/* rows[top][j] = the sum over the shared rows of the windows at top, columns before j. */
static void shared_rows(const pg_plane *plane, const pg_segment *runs, int n_runs, field *f)
{
    for (int top = 0; top < plane->windows->rows.places; top++) {
        int64_t *to = f->rows + (size_t)top * f->stride;
        for (int r = 0; r < n_runs; r++) {
            const int64_t *above = plane->prefix + (size_t)(top + runs[r].start) * (size_t)plane->stride;
            const int64_t *below = above + (size_t)runs[r].length * (size_t)plane->stride;
            for (int j = 0; j < plane->stride; j++)
                to[j] = (r ? to[j] : 0) + below[j] - above[j];
        }
    }
}

/* Shifts to the right, from first to last, at which windows share the same ends: the columns from the start of x to the end of
 * w (tail), those from the start of w to the end of x (head), or on a ring both. */
typedef struct span {
    int first, last;
    bool tail, head;
} span;

static int spans_of(const pg_window_axis *axis, span out[3])
{
    int size = axis->size, length = axis->length;
    if (!axis->wrap) {
        out[0] = (span){0, length - 1, true, false};
        out[1] = (span){1 - length, -1, false, true};
        return 2;
    }
    int meet = size - length + 1; /* from here on the end of x has come round to the start of w */
    out[0] = (span){0, PG_MIN(meet, length) - 1, true, false};
    out[1] = (span){meet, length - 1, true, true};
    out[2] = (span){PG_MAX(meet, length), size - 1, false, true};
    return 3;
}

/* candidate[j] = sum[j] + before_x[j] * tail - before_end[j] * head */
PG_CLONES static void split(size_t n, const int64_t *restrict sum, const int64_t *restrict tail, const int64_t *restrict head,
                            int64_t *restrict candidate)
{
    if (tail && head)
        for (size_t j = 0; j < n; j++)
            candidate[j] = sum[j] + tail[j] - head[j];
    else if (tail)
        for (size_t j = 0; j < n; j++)
            candidate[j] = sum[j] + tail[j];
    else
        for (size_t j = 0; j < n; j++)
            candidate[j] = sum[j] - head[j];
}

/* to[j] = the larger of from[j] and from[j + step] */
PG_CLONES static void larger_of_two(size_t n, const int64_t *restrict from, size_t step, int64_t *restrict to)
{
    const int64_t *ahead = from + step;
    for (size_t j = 0; j < n; j++)
        to[j] = PG_MAX(from[j], ahead[j]);
}

/* best[i] = the larger of best[i] and candidate[i] - tail[i] + head[i] */
PG_CLONES static void join(size_t n, const int64_t *restrict candidate, const int64_t *restrict tail,
                           const int64_t *restrict head, int64_t *restrict best)
{
    for (size_t i = 0; i < n; i++) {
        int64_t held = candidate[i] - (tail ? tail[i] : 0) + (head ? head[i] : 0);
        best[i] = PG_MAX(held, best[i]);
    }
}

/* All pairs (w, x) with x `down` rows below w and to its right by a shift of one span. With i the index of w and j that of x in
 * the row of w, what they share is tail: rows[i + length] - rows[j], head: rows[j + length - ring] - rows[i]. So what x holds
 * outside w is a part that depends on j alone, whose maximum over the span slides along, and a part that depends on i. */
static void raise_span(const pg_plane *plane, int down, const span *s, field *f)
{
    const pg_window_axis *rows = &plane->windows->rows, *columns = &plane->windows->columns;
    int top = down < 0 ? -down : 0, end = rows->wrap || down < 0 ? rows->places : rows->places - down;
    if (top >= end || s->first > s->last)
        return;
    ptrdiff_t stride = (ptrdiff_t)f->stride, start = top * stride, length = columns->length,
              ring = columns->wrap ? columns->size : 0;
    size_t n = (size_t)(end - top) * f->stride;
    ptrdiff_t from = start + s->first; /* index j of the first x; the candidates are numbered from there */
    size_t count = (size_t)(s->last - s->first + 1), more = n + count;
    split(more, f->sum + from + down * stride, s->tail ? f->rows + from : NULL, s->head ? f->rows + from + length - ring : NULL,
          f->candidate);
    int64_t *have = f->candidate, *next = f->work;
    for (size_t width = 1; width < count;) {
        size_t step = PG_MIN(width, count - width);
        more -= step;
        larger_of_two(more, have, step, next);
        int64_t *swap = have;
        have = next;
        next = swap;
        width += step;
    }
    join(n, have, s->tail ? f->rows + start + length : NULL, s->head ? f->rows + start : NULL, f->best + start);
}

void pg_overlapping_run(const pg_plane *plane, void *work, int64_t *overlapping)
{
    const pg_window_axis *rows = &plane->windows->rows, *columns = &plane->windows->columns;
    size_t stride = (size_t)(columns->wrap ? 2 * columns->size : columns->span + 1);
    pg_arena arena = {.base = work};
    field f;
    field_layout(&arena, (size_t)rows->places, stride, &f);
    field_fill(plane, &f);
    span spans[3];
    int n_spans = spans_of(columns, spans);
    for (int down = first_shift(rows); down <= last_shift(rows); down++) {
        pg_segment runs[2];
        int n_runs = pg_window_overlap(rows, down, runs);
        if (n_runs)
            shared_rows(plane, runs, n_runs, &f);
        for (int i = 0; i < n_spans && n_runs; i++)
            raise_span(plane, down, &spans[i], &f);
    }
    for (int top = 0; top < rows->places; top++)
        memcpy(overlapping + (size_t)top * (size_t)columns->places, f.best + (size_t)top * stride,
               (size_t)columns->places * sizeof *overlapping);
}

/* The place that lies `shift` from `place`, or -1. */
static int place_at(const pg_window_axis *axis, int place, int shift)
{
    int at = place + shift;
    if (axis->wrap)
        return at < axis->size ? at : at - axis->size;
    return at >= 0 && at < axis->places ? at : -1;
}

int64_t pg_overlapping_feasible(const pg_plane *plane, int top, int left, int64_t limit, int64_t threshold_ppm, int64_t rest)
{
    const pg_window_axis *rows = &plane->windows->rows, *columns = &plane->windows->columns;
    int64_t best = 0;
    for (int down = first_shift(rows); down <= last_shift(rows); down++) {
        pg_segment row_runs[2], column_runs[2];
        int n_rows = pg_window_overlap(rows, down, row_runs), x_top = place_at(rows, top, down);
        for (int right = first_shift(columns); n_rows && x_top >= 0 && right <= last_shift(columns); right++) {
            int n_columns = pg_window_overlap(columns, right, column_runs), x_left = place_at(columns, left, right);
            if (!n_columns || x_left < 0)
                continue;
            int64_t held = plane->sum[x_top * columns->places + x_left], shared = 0;
            for (int r = 0; r < n_rows; r++)
                for (int c = 0; c < n_columns; c++) {
                    held -= rectangle(plane, top + row_runs[r].start, left + column_runs[c].start, row_runs[r].length,
                                      column_runs[c].length);
                    shared += (int64_t)row_runs[r].length * column_runs[c].length;
                }
            bool chosen = (pg_int128)(held + shared * limit) * PG_PPM > (pg_int128)threshold_ppm * (rest + shared * limit);
            best = chosen ? PG_MAX(held, best) : best;
        }
    }
    return best;
}
