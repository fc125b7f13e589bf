/* The pass over the evidence behind every rule on sums: totals, window sums, and the strongest rival outside each window.
 *
 * Classes are taken in blocks of lanes, a lane for a class. One row of running column sums slides down and one running window
 * sum slides right. A block with fewer classes than lanes is copied out first: its other lanes hold zeros and are never a
 * rival. Lanes are 32 bits wide where no window of the block can leave them, else 64: both are exact and give the same results
 * (sums_lanes.h).
 *
 * A rival's sum outside a window is its total less its window sum, and window sums are bounded; so a rival whose total is
 * further behind the largest one than twice the bound is never the strongest, and totals need only be kept relative to the
 * largest. */
#include "defenses/clones.h"
#include "defenses/windows.h"

#include <string.h>

enum { NARROW = 16, WIDE = 64 }; /* lanes of a block */

/* Blocks, rows of lanes and arena pieces start on 64 bytes; said aloud, vector loops need no peeling. */
#define ALIGNED(pointer) __builtin_assume_aligned(pointer, 64)

/* Rivals in a block that lie on one side of the label. */
typedef struct side {
    int first, last; /* lanes [first, last) */
    int64_t largest; /* of their totals */
    int64_t *rest;   /* [windows] largest sum outside each window: before or after of pg_sums */
} side;

typedef struct pass {
    const pg_evidence *evidence;
    const pg_windows *windows;
    const pg_sums *sums;
    int first, used; /* classes of the block */
    int label;
    bool holds_label;
    side sides[2]; /* one side, or both where the block holds the label */
    int64_t total[WIDE];
    const int32_t *source; /* [height * width] positions of `lanes` values, `step` apart */
    size_t step;
    int32_t *block; /* [height * width][lanes]: room for a copy */
    void *column;   /* [span][lanes]: sums over the rows of a window */
} pass;

/* Notes the largest sum outside window w, given relative to the largest total of the side. */
static inline __attribute__((always_inline)) void record(const side *s, size_t w, int64_t relative)
{
    int64_t rest = s->largest + relative;
    if (s->first < s->last)
        s->rest[w] = PG_MAX(rest, s->rest[w]);
}

#define LANE    int32_t
#define FLOOR   (-(1 << 30))
#define NAME(x) x##_32
#include "defenses/sums_lanes.h"
#undef LANE
#undef FLOOR
#undef NAME

#define LANE    int64_t
#define FLOOR   PG_NONE
#define NAME(x) x##_64
#include "defenses/sums_lanes.h"
#undef LANE
#undef FLOOR
#undef NAME

/* Sets the source: the tensor itself, or a copy with zeros in the lanes that hold no class. */
static inline __attribute__((always_inline)) void set_source(pass *p, const int lanes)
{
    const pg_evidence *e = p->evidence;
    p->source = e->q + p->first;
    p->step = (size_t)e->classes;
    if (p->used == lanes)
        return;
    size_t positions = (size_t)e->height * (size_t)e->width, used = (size_t)p->used;
    memset(p->block, 0, positions * (size_t)lanes * sizeof *p->block);
    for (size_t i = 0; i < positions; i++)
        for (size_t c = 0; c < used; c++)
            p->block[i * (size_t)lanes + c] = p->source[i * p->step + c];
    p->source = p->block;
    p->step = (size_t)lanes;
}

/* Adds up the totals of the block. Returns a bound of its absolute values. */
static inline __attribute__((always_inline)) int64_t add_up(pass *p, const int lanes)
{
    size_t positions = (size_t)p->evidence->height * (size_t)p->evidence->width;
    _Alignas(64) int64_t total[WIDE] = {0};
    _Alignas(64) int32_t bits[WIDE] = {0};
    const int32_t *q = p->source;
    for (size_t i = 0; i < positions; i++, q += p->step) {
        for (int c = 0; c < lanes; c++)
            total[c] += q[c];
        for (int c = 0; c < lanes; c++)
            bits[c] |= q[c] ^ (q[c] >> 31);
    }
    memcpy(p->total, total, sizeof total);
    int32_t all = 0;
    for (int c = 0; c < lanes; c++)
        all |= bits[c];
    int64_t bound = 1;
    while (bound <= all)
        bound *= 2;
    return bound;
}

static void set_side(pass *p, side *s, int first, int last, int64_t *rest)
{
    *s = (side){.first = first, .last = last, .rest = rest, .largest = PG_NONE};
    for (int c = first; c < last; c++)
        s->largest = PG_MAX(p->total[c], s->largest);
}

static void set_sides(pass *p)
{
    int at = p->label - p->first;
    p->sides[1] = (side){0};
    if (p->holds_label) {
        set_side(p, &p->sides[0], 0, at, p->sums->before);
        set_side(p, &p->sides[1], at + 1, p->used, p->sums->after);
    } else {
        set_side(p, &p->sides[0], 0, p->used, at < 0 ? p->sums->after : p->sums->before);
    }
}

static inline __attribute__((always_inline)) void pass_block(pass *p, const int lanes, const bool mixed)
{
    set_source(p, lanes);
    int64_t bound = add_up(p, lanes);
    memcpy(p->sums->total + p->first, p->total, (size_t)p->used * sizeof *p->total);
    set_sides(p);
    if (bound * p->windows->k <= 1 << 29)
        slide_32(p, lanes, mixed);
    else
        slide_64(p, lanes, mixed);
}

PG_CLONES static void pass_narrow(pass *p) { pass_block(p, NARROW, true); }
PG_CLONES static void pass_wide(pass *p) { pass_block(p, WIDE, false); }
PG_CLONES static void pass_wide_mixed(pass *p) { pass_block(p, WIDE, true); }

static int lanes_for(int classes) { return classes <= NARROW ? NARROW : WIDE; }

static void lay_out_work(pg_arena *arena, int height, int width, int classes, pass *p)
{
    size_t row = (size_t)width * (size_t)lanes_for(classes);
    p->block = pg_arena_take(arena, (size_t)height * row, sizeof *p->block);
    p->column = pg_arena_take(arena, 2 * row, sizeof(int64_t));
}

size_t pg_sums_work_size(int height, int width, int classes)
{
    pg_arena arena = {0};
    pass p;
    lay_out_work(&arena, height, width, classes, &p);
    return arena.used;
}

void pg_sums_layout(pg_arena *arena, int height, int width, int classes, pg_sums *sums)
{
    size_t n = (size_t)classes, windows = (size_t)height * (size_t)width;
    sums->total = pg_arena_take(arena, n, sizeof(int64_t));
    sums->heaviest = pg_arena_take(arena, n, sizeof(int64_t));
    sums->own = pg_arena_take(arena, windows, sizeof(int64_t));
    sums->before = pg_arena_take(arena, windows, sizeof(int64_t));
    sums->after = pg_arena_take(arena, windows, sizeof(int64_t));
}

void pg_sums_run(const pg_evidence *evidence, const pg_windows *windows, int label, void *work, const pg_sums *sums)
{
    pass p = {.evidence = evidence, .windows = windows, .label = label, .sums = sums};
    pg_arena arena = {.base = work};
    lay_out_work(&arena, evidence->height, evidence->width, evidence->classes, &p);
    for (int w = 0; w < windows->count; w++)
        sums->before[w] = sums->after[w] = PG_NONE;
    int lanes = lanes_for(evidence->classes);
    for (p.first = 0; p.first < evidence->classes; p.first += lanes) {
        p.used = PG_MIN(evidence->classes - p.first, lanes);
        p.holds_label = p.first <= label && label < p.first + p.used;
        if (lanes == NARROW)
            pass_narrow(&p);
        else if (p.holds_label)
            pass_wide_mixed(&p);
        else
            pass_wide(&p);
    }
}
