/* What masking one window can cost a class while another window is the attacker's.
 *
 * Source: PatchGuard, Algorithm 2 (cases II and III); defenses/CERTIFICATES.md, section 12. For a malicious window w and a
 * masked window x, what x holds outside w is its own sum if they are disjoint, else its sum without the positions of w. The map
 * of one class is unrolled so that no window wraps and kept as prefix sums; all pairs of overlapping windows are then taken
 * shift by shift, in long loops over all w at once. */
#ifndef PG_DEFENSES_MASKS_H
#define PG_DEFENSES_MASKS_H

#include "defenses/windows.h"

/* A window and its sum, ordered by sum, the first window first among equals. */
typedef struct pg_heaviest {
    int64_t sum; /* PG_NONE: no window */
    int window;
} pg_heaviest;
static inline pg_heaviest pg_heavier(pg_heaviest a, pg_heaviest b)
{
    return b.sum > a.sum || (b.sum == a.sum && b.window < a.window) ? b : a;
}

/* The window sums of one class. */
typedef struct pg_plane {
    const pg_windows *windows;
    int stride;
    int64_t *prefix; /* [rows.span + 1][stride]: sums over the unrolled map above and to the left */
    int64_t *sum;    /* [windows] */
} pg_plane;
void pg_plane_layout(pg_arena *arena, int height, int width, pg_plane *plane);
void pg_plane_run(pg_plane *plane, const pg_evidence *evidence, const pg_windows *windows, int class);

/* The heaviest window disjoint from each: that of window (top, left) is the heavier of rows[top] and columns[left]. */
typedef struct pg_disjoint {
    pg_heaviest *rows, *columns; /* [places]: disjoint along that axis */
    pg_heaviest *line, *work;    /* private */
} pg_disjoint;
void pg_disjoint_layout(pg_arena *arena, int height, int width, pg_disjoint *disjoint);
void pg_disjoint_run(pg_disjoint *disjoint, const pg_windows *windows, const int64_t *sum);

/* The most that a window overlapping each (itself included) holds outside it: overlapping[windows]. Evidence >= 0. */
size_t pg_overlapping_work_size(int height, int width);
void pg_overlapping_run(const pg_plane *plane, void *work, int64_t *overlapping);

/* The same over those windows x alone that masking can be made to choose by raising the class inside w up to `limit` a
 * position: held + n limit > T (rest + n limit), n the positions x and w share, rest the sum outside w. 0 if there is none. */
int64_t pg_overlapping_feasible(const pg_plane *plane, int top, int left, int64_t limit, int64_t threshold_ppm, int64_t rest);

#endif
