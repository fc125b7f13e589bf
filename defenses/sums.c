/* The pass over the evidence behind every rule on sums: totals, window sums, and the strongest rival outside each window.
 *
 * Classes are taken in blocks of lanes. A block is copied out with its columns unrolled, then one row of running column sums
 * slides down and one running window sum slides right, lane by lane; a lane holds one class. Lanes behind the last class hold
 * zeros and are never a rival. The width of a lane is int64, so no input can overflow. */
#include "defenses/clones.h"
#include "defenses/windows.h"

#include <string.h>

enum { NARROW = 16, WIDE = 64 }; /* lanes of a block */

typedef struct pass {
    const pg_evidence *evidence;
    const pg_windows *windows;
    int first, used; /* classes of the block */
    int label;
    const pg_sums *sums;
    int32_t *block;  /* [height][span][lanes] */
    int64_t *column; /* [span][lanes]: sums over the rows of a window */
} pass;

/* Copies a block with its columns unrolled and adds up its totals. */
static inline void copy_block(const pass *p, int lanes, int64_t *total)
{
    const pg_evidence *e = p->evidence;
    int span = p->windows->columns.span;
    size_t used = (size_t)p->used;
    if (p->used < lanes)
        memset(p->block, 0, (size_t)e->height * (size_t)span * (size_t)lanes * sizeof *p->block);
    for (int row = 0; row < e->height; row++)
        for (int column = 0; column < span; column++) {
            int source = column < e->width ? column : column - e->width;
            int32_t *to = p->block + ((size_t)row * (size_t)span + (size_t)column) * (size_t)lanes;
            const int32_t *from = e->q + ((size_t)row * (size_t)e->width + (size_t)source) * (size_t)e->classes + p->first;
            memcpy(to, from, used * sizeof *to);
            if (column < e->width)
                for (int c = 0; c < lanes; c++)
                    total[c] += to[c];
        }
}

/* The running sums over the rows [top, top + length) of the block, from those of top - 1. */
static inline void slide_down(const pass *p, int lanes, int top)
{
    const pg_axis *rows = &p->windows->rows;
    size_t n = (size_t)p->windows->columns.span * (size_t)lanes;
    int64_t *column = p->column;
    if (top == 0) {
        memset(column, 0, n * sizeof *column);
        for (int row = 0; row < rows->length; row++)
            for (size_t i = 0; i < n; i++)
                column[i] += p->block[(size_t)row * n + i];
        return;
    }
    int entering = top + rows->length - 1;
    const int32_t *in = p->block + (size_t)(entering < rows->size ? entering : entering - rows->size) * n;
    const int32_t *out = p->block + (size_t)(top - 1) * n;
    for (size_t i = 0; i < n; i++)
        column[i] += (int64_t)in[i] - out[i];
}

/* One block. `lanes` and `mixed` (the block holds classes before and after the label) are constants of the caller. */
static inline __attribute__((always_inline)) void pass_block(const pass *p, const int lanes, const bool mixed)
{
    const pg_axis *columns = &p->windows->columns;
    const pg_sums *sums = p->sums;
    int64_t total[WIDE] = {0}, heaviest[WIDE], window[WIDE], before[WIDE], after[WIDE];
    copy_block(p, lanes, total);
    bool all_before = p->first + p->used <= p->label;
    for (int c = 0; c < lanes; c++) {
        int class = p->first + c;
        bool rival = c < p->used && class != p->label;
        heaviest[c] = PG_NONE;
        before[c] = rival && (!mixed || class < p->label) ? total[c] : PG_NONE;
        after[c] = rival && class > p->label ? total[c] : PG_NONE;
    }
    int64_t *single = all_before ? sums->before : sums->after;
    bool holds_label = p->label >= p->first && p->label < p->first + p->used;
    size_t w = 0;
    for (int top = 0; top < p->windows->rows.places; top++) {
        slide_down(p, lanes, top);
        memset(window, 0, sizeof window);
        for (int column = 0; column < columns->length - 1; column++)
            for (int c = 0; c < lanes; c++)
                window[c] += p->column[column * lanes + c];
        for (int left = 0; left < columns->places; left++, w++) {
            const int64_t *in = p->column + (left + columns->length - 1) * lanes, *out = p->column + left * lanes;
            int64_t best_before = PG_NONE, best_after = PG_NONE;
            for (int c = 0; c < lanes; c++) {
                int64_t sum = window[c] + in[c];
                heaviest[c] = sum > heaviest[c] ? sum : heaviest[c];
                int64_t rest = before[c] - sum;
                best_before = rest > best_before ? rest : best_before;
                if (mixed) {
                    rest = after[c] - sum;
                    best_after = rest > best_after ? rest : best_after;
                }
                window[c] = sum;
            }
            if (holds_label)
                sums->own[w] = window[p->label - p->first];
            for (int c = 0; c < lanes; c++)
                window[c] -= out[c];
            if (mixed) {
                sums->before[w] = best_before > sums->before[w] ? best_before : sums->before[w];
                sums->after[w] = best_after > sums->after[w] ? best_after : sums->after[w];
            } else {
                single[w] = best_before > single[w] ? best_before : single[w];
            }
        }
    }
    memcpy(sums->total + p->first, total, (size_t)p->used * sizeof *total);
    memcpy(sums->heaviest + p->first, heaviest, (size_t)p->used * sizeof *heaviest);
}

PG_CLONES static void pass_narrow(const pass *p) { pass_block(p, NARROW, true); }
PG_CLONES static void pass_wide(const pass *p) { pass_block(p, WIDE, false); }
PG_CLONES static void pass_wide_mixed(const pass *p) { pass_block(p, WIDE, true); }

static int lanes_for(int classes) { return classes <= NARROW ? NARROW : WIDE; }

static void carve_work(pg_arena *arena, int height, int span, int classes, pass *p)
{
    size_t row = (size_t)span * (size_t)lanes_for(classes);
    p->block = pg_arena_take(arena, (size_t)height * row, sizeof *p->block);
    p->column = pg_arena_take(arena, row, sizeof *p->column);
}

size_t pg_sums_work_size(int height, int width, int classes)
{
    pg_arena arena = {0};
    pass p;
    carve_work(&arena, height, 2 * width, classes, &p);
    return arena.used;
}

void pg_sums_carve(pg_arena *arena, int height, int width, int classes, pg_sums *sums)
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
    carve_work(&arena, evidence->height, windows->columns.span, evidence->classes, &p);
    for (int w = 0; w < windows->count; w++)
        sums->before[w] = sums->after[w] = PG_NONE;
    int lanes = lanes_for(evidence->classes);
    for (p.first = 0; p.first < evidence->classes; p.first += lanes) {
        p.used = evidence->classes - p.first < lanes ? evidence->classes - p.first : lanes;
        bool mixed = p.first <= label && label < p.first + p.used;
        if (lanes == NARROW)
            pass_narrow(&p);
        else if (mixed)
            pass_wide_mixed(&p);
        else
            pass_wide(&p);
    }
    for (int w = 0; w < windows->count; w++) {
        sums->before[w] = sums->before[w] > PG_NONE / 2 ? sums->before[w] : PG_NONE;
        sums->after[w] = sums->after[w] > PG_NONE / 2 ? sums->after[w] : PG_NONE;
    }
}
