/* The definitions of defenses/CERTIFICATES.md, evaluated as they are written: every window, every class, every pair of windows,
 * sums term by term.
 *
 * Shares nothing with defenses/ and takes integers only, so that tests can hold the program against it. Slow on purpose. */
#ifndef PG_TESTS_ORACLE_H
#define PG_TESTS_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ORACLE_POSITIONS = 400, ORACLE_CLASSES = 160 };
__extension__ typedef __int128 oracle_wide;

typedef struct oracle_map {
    int height, width, classes;
    bool wrap_rows, wrap_columns;
    int window_height, window_width; /* already cut to the map */
    const int32_t *q;
} oracle_map;

typedef enum oracle_kind {
    ORACLE_SUM,
    ORACLE_VOTES,
    ORACLE_WINDOW,
    ORACLE_MEDIAN,
    ORACLE_TRIM,
    ORACLE_MASK,
    ORACLE_PREDICTED,
    ORACLE_DOUBLE
} oracle_kind;

typedef struct oracle_rule {
    oracle_kind kind;
    bool bounded;   /* SUM: both bounds finite; MASK: c_h finite */
    int64_t lo, hi; /* the range on the grid; c_h is hi */
    int trim;       /* TRIM; DOUBLE: positions between masks */
    int64_t ppm;    /* MASK, PREDICTED */
    int64_t delta;
} oracle_rule;

typedef struct oracle_verdict {
    int prediction;
    bool certified, has_margin, masked;
    int64_t margin;
    int failure_case; /* -1 but for PREDICTED */
} oracle_verdict;

/* Windows as sets of positions, in row-major order of (top, left). */
typedef struct oracle_windows {
    int count, k;
    unsigned char has[ORACLE_POSITIONS][ORACLE_POSITIONS];
} oracle_windows;

static inline int oracle_places(int size, int length, bool wrap)
{
    return length == size ? 1 : wrap ? size : size - length + 1;
}

static inline oracle_windows *oracle_windows_of(const oracle_map *m)
{
    static oracle_windows w;
    w.count = 0;
    w.k = m->window_height * m->window_width;
    for (int top = 0; top < oracle_places(m->height, m->window_height, m->wrap_rows); top++)
        for (int left = 0; left < oracle_places(m->width, m->window_width, m->wrap_columns); left++) {
            memset(w.has[w.count], 0, sizeof w.has[0]);
            for (int r = 0; r < m->window_height; r++)
                for (int c = 0; c < m->window_width; c++)
                    w.has[w.count][(top + r) % m->height * m->width + (left + c) % m->width] = 1;
            w.count++;
        }
    return &w;
}

static inline int64_t oracle_value(const oracle_map *m, int position, int class) { return m->q[position * m->classes + class]; }

/* The sum of a class over the positions where in(x) and not in(w) hold; NULL: everywhere, nowhere. */
static inline int64_t oracle_sum(const oracle_map *m, int class, const unsigned char *x, const unsigned char *w)
{
    int64_t sum = 0;
    for (int p = 0; p < m->height * m->width; p++)
        if ((!x || x[p]) && !(w && w[p]))
            sum += oracle_value(m, p, class);
    return sum;
}

static inline int oracle_ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The values of a class outside w (NULL: all), ascending; returns how many. */
static inline int oracle_sorted(const oracle_map *m, int class, const unsigned char *w, int64_t *out)
{
    int n = 0;
    for (int p = 0; p < m->height * m->width; p++)
        if (!w || !w[p])
            out[n++] = oracle_value(m, p, class);
    qsort(out, (size_t)n, sizeof *out, oracle_ascending);
    return n;
}

static inline int64_t oracle_range(const int64_t *values, int from, int to)
{
    int64_t sum = 0;
    for (int i = from; i < to; i++)
        sum += values[i];
    return sum;
}

static inline int oracle_argmax(const int64_t *score, int n)
{
    int best = 0;
    for (int c = 1; c < n; c++)
        if (score[c] > score[best])
            best = c;
    return best;
}

/* The heaviest window of a class, the first among equals. */
static inline int oracle_heaviest(const oracle_map *m, const oracle_windows *w, int class)
{
    int best = 0;
    for (int x = 1; x < w->count; x++)
        if (oracle_sum(m, class, w->has[x], NULL) > oracle_sum(m, class, w->has[best], NULL))
            best = x;
    return best;
}

/* Final scores and whether something is masked. */
static inline bool oracle_scores(const oracle_rule *r, const oracle_map *m, const oracle_windows *w, int64_t *score)
{
    int positions = m->height * m->width;
    int64_t sorted[ORACLE_POSITIONS];
    bool masked = false;
    for (int c = 0; c < m->classes; c++) {
        int64_t total = oracle_sum(m, c, NULL, NULL);
        score[c] = total;
        if (r->kind == ORACLE_MEDIAN || r->kind == ORACLE_TRIM)
            oracle_sorted(m, c, NULL, sorted);
        if (r->kind == ORACLE_MEDIAN)
            score[c] = sorted[(positions - 1) / 2];
        if (r->kind == ORACLE_TRIM)
            score[c] = oracle_range(sorted, r->trim, positions - r->trim);
        if (r->kind == ORACLE_MASK) {
            int64_t heaviest = oracle_sum(m, c, w->has[oracle_heaviest(m, w, c)], NULL);
            if ((oracle_wide)heaviest * 1000000 > (oracle_wide)r->ppm * total) {
                score[c] = total - heaviest;
                masked = true;
            }
        }
    }
    if (r->kind == ORACLE_PREDICTED) {
        int largest = oracle_argmax(score, m->classes), x = oracle_heaviest(m, w, largest);
        if ((oracle_wide)oracle_sum(m, largest, w->has[x], NULL) * 1000000 > (oracle_wide)r->ppm * score[largest]) {
            masked = true;
            for (int c = 0; c < m->classes; c++)
                score[c] = oracle_sum(m, c, NULL, w->has[x]);
        }
    }
    return masked;
}

static inline oracle_wide oracle_floor(oracle_wide a, oracle_wide b) { return a / b - (a % b < 0); }

static inline int oracle_shared(const oracle_map *m, const unsigned char *a, const unsigned char *b)
{
    int n = 0;
    for (int p = 0; p < m->height * m->width; p++)
        n += a[p] && b[p];
    return n;
}

/* CERTIFICATES.md, section 12, for one malicious window and one rival: is lb > ub, and lb - ub rounded down. Returns false if
 * ub is unbounded. */
static inline bool oracle_mask(const oracle_rule *r, const oracle_map *m, const oracle_windows *w, int y, int c, int at,
                               bool *beaten, oracle_wide *margin)
{
    const unsigned char *bad = w->has[at];
    int64_t rest = oracle_sum(m, y, NULL, bad), rival = oracle_sum(m, c, NULL, bad), heaviest = 0;
    for (int x = 0; x < w->count; x++) {
        int64_t held = oracle_sum(m, y, w->has[x], bad);
        heaviest = held > heaviest ? held : heaviest;
    }
    int64_t added = 0;
    for (int x = 0; x < w->count; x++) {
        int n = oracle_shared(m, w->has[x], bad);
        int64_t held = oracle_sum(m, y, w->has[x], bad);
        bool can = n && (r->bounded ? (oracle_wide)(held + n * r->hi) * 1000000 > (oracle_wide)r->ppm * (rest + n * r->hi)
                                    : r->ppm < 1000000);
        added = can && held > added ? held : added;
    }
    int64_t lb = (oracle_wide)heaviest * 1000000 > (oracle_wide)r->ppm * rest ? rest - heaviest : rest - added;
    int64_t keep = 1000000 - r->ppm, n = m->height * m->width - w->k;
    if (keep == 0 && !r->bounded)
        return false;
    oracle_wide scaled = (oracle_wide)lb * keep - (oracle_wide)rival * 1000000, plain = (oracle_wide)lb - rival - w->k * r->hi;
    oracle_wide leak = (oracle_wide)n * r->delta, held_back = (oracle_wide)rest - heaviest - leak, raised = rival + leak;
    bool with_leak = held_back * keep > raised * 1000000 || (r->bounded && held_back > raised + w->k * r->hi);
    *beaten = (keep > 0 && scaled > 0) || (r->bounded && plain > 0);
    *beaten = *beaten && (r->delta == 0 || with_leak);
    if (keep > 0)
        *margin = oracle_floor(scaled, keep);
    if (r->bounded && (keep == 0 || plain > *margin))
        *margin = plain;
    return true;
}

/* CERTIFICATES.md, section 13: the published case. */
static inline int oracle_case(const oracle_rule *r, const oracle_map *m, const oracle_windows *w, int y)
{
    int64_t total[ORACLE_CLASSES];
    for (int c = 0; c < m->classes; c++)
        total[c] = oracle_sum(m, c, NULL, NULL);
    if (oracle_argmax(total, m->classes) != y)
        return 0;
    if (w->k == m->height * m->width)
        return 1;
    int found = 4;
    for (int c = 0; c < m->classes; c++)
        for (int at = 0; at < w->count && c != y; at++) {
            const unsigned char *bad = w->has[at];
            int64_t rest = oracle_sum(m, y, NULL, bad), rival = oracle_sum(m, c, NULL, bad), margin = rest - rival;
            /* s1 = margin / (rival + margin), compared by cross-multiplication: the denominator is the label's rest, >= 0 */
            if (margin < 0 || (oracle_wide)margin * 1000000 < (oracle_wide)r->ppm * (rival + margin))
                found = 1;
            int benign = -1;
            int64_t partial = 0;
            for (int x = 0; x < w->count; x++) {
                if (oracle_shared(m, w->has[x], bad)) {
                    int64_t held = oracle_sum(m, y, w->has[x], bad);
                    partial = held > partial ? held : partial;
                } else if (benign < 0 || oracle_sum(m, c, w->has[x], NULL) > oracle_sum(m, c, w->has[benign], NULL)) {
                    benign = x;
                }
            }
            if (benign >= 0 && oracle_sum(m, y, w->has[benign], NULL) > margin && found > 2)
                found = 2;
            if (partial > margin && found > 3)
                found = 3;
        }
    return found;
}

/* DOUBLE: where masks of `length` start on an axis. */
static inline int oracle_starts(int size, int length, bool wrap, int stride, int *start)
{
    int n = 0;
    if (length == size || !wrap) {
        for (int a = 0; a < size - length; a += stride)
            start[n++] = a;
        start[n++] = size - length;
    } else {
        for (int a = 0; a < size; a += stride)
            start[n++] = a;
    }
    return n;
}

typedef struct oracle_masks {
    int count;
    unsigned char has[ORACLE_POSITIONS][ORACLE_POSITIONS];
    int class[ORACLE_POSITIONS][ORACLE_POSITIONS];
} oracle_masks;

/* The margin of class y over class c outside two masks. */
static inline int64_t oracle_margin(const oracle_map *m, const oracle_masks *k, int a, int b, int y, int c)
{
    int64_t margin = 0;
    for (int p = 0; p < m->height * m->width; p++)
        if (!k->has[a][p] && !k->has[b][p])
            margin += oracle_value(m, p, y) - oracle_value(m, p, c);
    return margin;
}

/* Masks as sets of positions, and the class outside every pair of them. */
static inline const oracle_masks *oracle_masks_of(const oracle_rule *r, const oracle_map *m)
{
    static oracle_masks k;
    int tall = m->window_height + r->trim - 1, wide = m->window_width + r->trim - 1, top[ORACLE_POSITIONS],
        left[ORACLE_POSITIONS];
    tall = tall < m->height ? tall : m->height;
    wide = wide < m->width ? wide : m->width;
    int down = oracle_starts(m->height, tall, m->wrap_rows, r->trim, top);
    int across = oracle_starts(m->width, wide, m->wrap_columns, r->trim, left);
    k.count = down * across;
    for (int i = 0; i < k.count; i++) {
        memset(k.has[i], 0, sizeof k.has[i]);
        for (int cell = 0; cell < tall * wide; cell++)
            k.has[i][(top[i / across] + cell / wide) % m->height * m->width + (left[i % across] + cell % wide) % m->width] = 1;
    }
    for (int a = 0; a < k.count; a++)
        for (int b = 0; b < k.count; b++) {
            k.class[a][b] = 0;
            for (int c = 1; c < m->classes; c++)
                if (oracle_margin(m, &k, a, b, c, k.class[a][b]) > 0)
                    k.class[a][b] = c;
        }
    return &k;
}

/* Two-mask agreement as it is published: no mask disagrees; a disagreer whom no second mask changes; the majority. */
static inline int oracle_agreed(const oracle_masks *k, int classes)
{
    int counts[ORACLE_CLASSES] = {0}, majority = classes - 1;
    for (int a = 0; a < k->count; a++)
        counts[k->class[a][a]]++;
    for (int c = classes - 1; c >= 0; c--)
        majority = counts[c] >= counts[majority] ? c : majority;
    for (int a = 0; a < k->count && counts[majority] < k->count; a++) {
        int same = 0;
        for (int b = 0; b < k->count; b++)
            same += k->class[a][b] == k->class[a][a];
        if (k->class[a][a] != majority && same == k->count)
            return k->class[a][a];
    }
    return majority;
}

static inline oracle_verdict oracle_double(const oracle_rule *r, const oracle_map *m, int y)
{
    const oracle_masks *k = oracle_masks_of(r, m);
    oracle_verdict v = {.failure_case = -1, .prediction = oracle_agreed(k, m->classes)};
    int hidden = 0;
    for (int p = 0; p < m->height * m->width; p++)
        hidden += k->has[0][p];
    if (v.prediction != y)
        return v;
    for (int a = 0; a < k->count; a++)
        for (int b = 0; b < k->count; b++)
            for (int c = 0; c < m->classes; c++) {
                int64_t margin = oracle_margin(m, k, a, b, y, c);
                if (c != y && (!v.has_margin || margin < v.margin))
                    v.margin = margin;
                v.has_margin = v.has_margin || c != y;
            }
    int left = m->height * m->width - hidden;
    v.certified = left > 0 && (!v.has_margin || (oracle_wide)v.margin > (oracle_wide)2 * left * r->delta);
    return v;
}

/* The condition for one window and one rival: left less right side. Returns false where it is infinite. */
static inline bool oracle_condition(const oracle_rule *r, const oracle_map *m, const oracle_windows *w, int y, int c, int at,
                                    bool *beaten, oracle_wide *margin)
{
    const unsigned char *bad = w->has[at];
    int64_t k = w->k, positions = m->height * m->width, n = positions - k, unit = 1 << 20;
    int64_t own[ORACLE_POSITIONS], other[ORACLE_POSITIONS], leak = 2 * n;
    int middle = (int)(positions - 1) / 2;
    bool tie = false;
    switch (r->kind) {
    case ORACLE_SUM:
        *margin = (oracle_wide)oracle_sum(m, y, NULL, bad) + k * r->lo - oracle_sum(m, c, NULL, bad) - k * r->hi;
        if (!r->bounded)
            return false;
        break;
    case ORACLE_VOTES:
        *margin = (oracle_wide)oracle_sum(m, y, NULL, NULL) - oracle_sum(m, c, NULL, NULL) - 2 * k * unit;
        tie = y < c;
        break;
    case ORACLE_WINDOW:
        *margin = (oracle_wide)oracle_sum(m, y, NULL, bad) - oracle_sum(m, c, NULL, bad) - k * unit;
        tie = y < c;
        break;
    case ORACLE_MEDIAN:
        oracle_sorted(m, y, bad, own);
        oracle_sorted(m, c, bad, other);
        if (middle < k || middle >= n)
            return false;
        *margin = own[middle - k] - other[middle];
        leak = 2;
        break;
    case ORACLE_TRIM:
        oracle_sorted(m, y, bad, own);
        oracle_sorted(m, c, bad, other);
        if (k > r->trim)
            return false;
        *margin = oracle_range(own, (int)(r->trim - k), (int)(positions - k - r->trim)) -
                  oracle_range(other, r->trim, (int)positions - r->trim);
        break;
    default:
        return oracle_mask(r, m, w, y, c, at, beaten, margin);
    }
    /* votes are all or nothing: what moves them by less than one moves none */
    bool moves = r->delta > 0 && ((r->kind != ORACLE_VOTES && r->kind != ORACLE_WINDOW) || r->delta >= unit);
    *beaten = (moves ? *margin > (oracle_wide)leak * r->delta : *margin > 0 || (tie && *margin == 0));
    return true;
}

static inline oracle_verdict oracle_certify(const oracle_rule *r, const oracle_map *m, int y)
{
    if (r->kind == ORACLE_DOUBLE)
        return oracle_double(r, m, y);
    const oracle_windows *w = oracle_windows_of(m);
    int64_t score[ORACLE_CLASSES] = {0};
    oracle_verdict v = {.failure_case = -1};
    v.masked = oracle_scores(r, m, w, score);
    v.prediction = oracle_argmax(score, m->classes);
    if (r->kind == ORACLE_PREDICTED) {
        v.failure_case = oracle_case(r, m, w, y);
        return v;
    }
    if (v.prediction != y)
        return v;
    bool all = true, finite = true;
    oracle_wide least = 0;
    for (int at = 0; at < w->count; at++)
        for (int c = 0; c < m->classes; c++) {
            bool beaten = false;
            oracle_wide margin = 0;
            if (c == y)
                continue;
            finite = oracle_condition(r, m, w, y, c, at, &beaten, &margin) && finite;
            all = all && beaten;
            least = !v.has_margin || margin < least ? margin : least;
            v.has_margin = true;
        }
    bool never = (r->kind == ORACLE_SUM && !r->bounded) ||
                 (r->kind == ORACLE_MEDIAN && w->k > (m->height * m->width - 1) / 2) ||
                 (r->kind == ORACLE_TRIM && w->k > r->trim) || (r->kind == ORACLE_MASK && r->ppm == 1000000 && !r->bounded);
    v.has_margin = v.has_margin && finite;
    v.margin = v.has_margin ? (int64_t)least : 0;
    v.certified = all && finite && !never && w->k < m->height * m->width;
    return v;
}

#endif
