/* Unit tests of defenses/windows, sums, masks and order: geometry and every intermediate against sets of positions. */
#include "defenses/masks.h"
#include "defenses/order.h"
#include "tests/support/rules.h"

typedef struct scene {
    oracle_map map;
    const oracle_windows *sets;
    pg_evidence_spec spec;
    pg_evidence evidence;
    pg_windows windows;
    int32_t q[ORACLE_POSITIONS * 4];
} scene;

static void set_scene(scene *s, oracle_map map, uint32_t seed, int32_t least, uint32_t spread)
{
    pg_rng rng = pg_rng_make(31, PG_STREAM_TEST, seed);
    s->map = map;
    s->map.q = s->q;
    for (int i = 0; i < map.height * map.width * map.classes; i++)
        s->q[i] = least + (int32_t)pg_rng_below(&rng, spread);
    s->sets = oracle_windows_of(&s->map);
    s->spec = (pg_evidence_spec){.clip_hi = 1};
    s->evidence = (pg_evidence){s->q, map.height, map.width, map.classes, map.wrap_rows, map.wrap_columns, &s->spec, NULL};
    s->windows = pg_windows_of(&s->evidence, (pg_window){map.window_height, map.window_width});
}

/* All windows of all maps up to 4 x 6, with every wrap. */
static void each_scene(void (*check)(scene *), int32_t least, uint32_t spread)
{
    static scene s;
    uint32_t seed = 0;
    for (int height = 1; height <= 4; height++)
        for (int width = 1; width <= 6; width++)
            for (int wrap = 0; wrap < 4; wrap++)
                for (int h = 1; h <= height; h++)
                    for (int w = 1; w <= width; w++) {
                        set_scene(&s, (oracle_map){height, width, 3, wrap & 1, wrap >> 1, h, w, NULL}, seed++, least, spread);
                        check(&s);
                    }
}

static void check_geometry(scene *s)
{
    const oracle_map *m = &s->map;
    assert_int_equal(s->windows.count, s->sets->count);
    assert_int_equal(s->windows.k, s->sets->k);
    assert_int_equal(s->windows.outside, m->height * m->width - s->sets->k);
    const pg_window_axis *a = &s->windows.columns;
    assert_int_equal(a->size, m->width);
    assert_int_equal(a->length, m->window_width);
    assert_int_equal(a->span, a->places + a->length - 1);
    assert_int_equal(a->places, oracle_places(m->width, m->window_width, m->wrap_columns));
    assert_int_equal(a->wrap, m->wrap_columns && m->window_width < m->width);
    assert_int_equal(s->windows.rows.wrap, m->wrap_rows && m->window_height < m->height);
}

static void geometry_counts_positions(void **state)
{
    (void)state;
    each_scene(check_geometry, 0, 4);
    pg_evidence_spec spec = {0};
    int32_t q[6] = {0};
    pg_evidence e = {q, 2, 3, 1, true, true, &spec, NULL};
    pg_windows w = pg_windows_of(&e, (pg_window){5, 9}); /* cut to the map */
    assert_int_equal(w.count, 1);
    assert_int_equal(w.k, 6);
    assert_int_equal(w.outside, 0);
}

static void overlaps_are_the_shared_positions(void **state)
{
    (void)state;
    for (int size = 1; size <= 9; size++)
        for (int length = 1; length <= size; length++)
            for (int wrap = 0; wrap < (length < size ? 2 : 1); wrap++) {
                pg_window_axis axis = {size, length, wrap ? size : size - length + 1, 0, wrap};
                for (int shift = wrap ? 0 : 1 - size; shift < size; shift++) {
                    /* the window at 0, or far enough from the start that x is not before the map */
                    int at = wrap ? 0 : size;
                    pg_segment runs[2];
                    int n = pg_window_overlap(&axis, shift, runs);
                    for (int i = 0; i < length; i++) {
                        int position = at + i, start = at + shift, inside = 0, said = 0;
                        for (int j = 0; j < length; j++)
                            inside |= wrap ? (start + j) % size == position % size : start + j == position;
                        for (int r = 0; r < n; r++)
                            said += i >= runs[r].start && i < runs[r].start + runs[r].length;
                        assert_int_equal(said, inside);
                    }
                    for (int r = 0; r < n; r++)
                        assert_true(runs[r].length > 0);
                }
            }
}

/* The sums of one label against the sets, in scratch that starts out as garbage. */
static void check_label(scene *s, int label)
{
    const oracle_map *m = &s->map;
    pg_arena arena = {0};
    pg_sums sums;
    pg_sums_layout(&arena, m->height, m->width, m->classes, &sums);
    size_t size = (arena.used + pg_sums_work_size(m->height, m->width, m->classes) + 63) & ~(size_t)63;
    arena = (pg_arena){.base = aligned_alloc(64, size)};
    memset(arena.base, 0xa5, size);
    pg_sums_layout(&arena, m->height, m->width, m->classes, &sums);
    pg_sums_run(&s->evidence, &s->windows, label, arena.base + arena.used, &sums);
    for (int c = 0; c < m->classes; c++) {
        assert_int_equal(sums.total[c], oracle_sum(m, c, NULL, NULL));
        assert_int_equal(sums.heaviest[c], oracle_sum(m, c, s->sets->has[oracle_heaviest(m, s->sets, c)], NULL));
    }
    for (int w = 0; w < s->sets->count; w++) {
        int64_t before = PG_NONE, after = PG_NONE;
        for (int c = 0; c < m->classes; c++) {
            int64_t rest = oracle_sum(m, c, NULL, s->sets->has[w]);
            before = c < label && rest > before ? rest : before;
            after = c > label && rest > after ? rest : after;
        }
        assert_int_equal(sums.own[w], oracle_sum(m, label, s->sets->has[w], NULL));
        assert_int_equal(sums.before[w], before);
        assert_int_equal(sums.after[w], after);
    }
    free(arena.base);
}

static void check_sums(scene *s)
{
    for (int label = 0; label < s->map.classes; label++)
        check_label(s, label);
}

/* Blocks that are full, that are not, and the label in each of them. */
static void classes_fill_blocks(void **state)
{
    (void)state;
    static scene s;
    static const int classes[] = {1, 2, 15, 16, 17, 63, 64, 65, 128, 130};
    for (uint32_t i = 0; i < 2 * sizeof classes / sizeof *classes; i++) {
        set_scene(&s, (oracle_map){2, 3, classes[i / 2], false, true, 1, 2, NULL}, i, -(1 << 27), i % 2 ? 1u << 28 : 9);
        check_sums(&s);
    }
}

static void sums_are_those_of_the_sets(void **state)
{
    (void)state;
    each_scene(check_sums, -3, 8);                      /* narrow lanes */
    each_scene(check_sums, -PG_EVIDENCE_MAX, 1u << 31); /* wide lanes */
    each_scene(check_sums, -(1 << 25), 1u << 26);       /* about the limit of the narrow ones */
}

/* The narrow lanes at their limit: one class so far ahead that another's lag does not fit, and totals that do
 * not fit either. */
static void lanes_do_not_overflow(void **state)
{
    (void)state;
    static scene s;
    static const int32_t values[] = {1 << 29, (1 << 29) - 1, 1 << 28, -(1 << 29), -(1 << 28), 0, 1 << 30, -(1 << 30)};
    enum { N = sizeof values / sizeof *values };
    for (int i = 0; i < N * N * N; i++)
        for (int k = 1; k <= 4; k++) {
            set_scene(&s, (oracle_map){2, 4, 3, false, k % 2, k > 2 ? 2 : 1, k % 2 ? 1 : 2, NULL}, (uint32_t)i, 0, 2);
            for (int p = 0; p < 8; p++)
                for (int c = 0; c < 3; c++)
                    s.q[3 * p + c] = values[(c == 0   ? i
                                             : c == 1 ? i / N
                                                      : i / N / N) %
                                            N] +
                                     (values[p] > 0 ? -s.q[3 * p + c] : 0);
            check_sums(&s);
        }
    /* Values that share one bit, which is the bound of the narrow lanes itself: -2^29 - 1 is beyond it. The rival is further
     * behind than those lanes hold, and a window brings it to a tie. */
    set_scene(&s, (oracle_map){1, 4, 3, false, false, 1, 1, NULL}, 0, 0, 2);
    const int32_t tie[] = {1 << 29, -(1 << 29) - 1, 0, 1 << 29, 1 << 29, 0, 0, 0, 0, 0, 0, 0};
    memcpy(s.q, tie, sizeof tie);
    check_sums(&s);
}

static void check_planes(scene *s)
{
    const oracle_map *m = &s->map;
    pg_arena arena = {0};
    pg_plane plane;
    pg_disjoint disjoint;
    pg_plane_layout(&arena, m->height, m->width, &plane);
    pg_disjoint_layout(&arena, m->height, m->width, &disjoint);
    size_t size = arena.used + pg_overlapping_work_size(m->height, m->width) + 8 * ORACLE_POSITIONS;
    arena = (pg_arena){.base = aligned_alloc(64, (size + 63) & ~(size_t)63)};
    memset(arena.base, 0xa5, size);
    pg_plane_layout(&arena, m->height, m->width, &plane);
    pg_disjoint_layout(&arena, m->height, m->width, &disjoint);
    int64_t *overlapping = pg_arena_take(&arena, ORACLE_POSITIONS, sizeof *overlapping);
    pg_plane_run(&plane, &s->evidence, &s->windows, 1);
    pg_disjoint_run(&disjoint, &s->windows, plane.sum);
    pg_overlapping_run(&plane, arena.base + arena.used, overlapping);
    static const int64_t ppm[] = {0, 200000, 500000, 900000, 1000000};
    for (int w = 0; w < s->sets->count; w++) {
        const unsigned char *bad = s->sets->has[w];
        int64_t rest = oracle_sum(m, 1, NULL, bad), most = 0, feasible[5] = {0}, limit = 2;
        int benign = -1;
        assert_int_equal(plane.sum[w], oracle_sum(m, 1, bad, NULL));
        for (int x = 0; x < s->sets->count; x++) {
            int64_t held = oracle_sum(m, 1, s->sets->has[x], bad);
            int shared = oracle_shared(m, s->sets->has[x], bad);
            if (!shared) {
                benign = benign < 0 || plane.sum[x] > plane.sum[benign] ? x : benign;
                continue;
            }
            most = held > most ? held : most;
            for (int t = 0; t < 5; t++)
                if ((held + shared * limit) * 1000000 > ppm[t] * (rest + shared * limit) && held > feasible[t])
                    feasible[t] = held;
        }
        int columns = s->windows.columns.places;
        pg_heaviest found = pg_heavier(disjoint.rows[w / columns], disjoint.columns[w % columns]);
        assert_int_equal(found.sum == PG_NONE ? -1 : found.window, benign);
        if (benign >= 0)
            assert_int_equal(found.sum, plane.sum[benign]);
        assert_int_equal(overlapping[w], most);
        for (int t = 0; t < 5; t++)
            assert_int_equal(pg_overlapping_feasible(&plane, w / columns, w % columns, limit, ppm[t], rest), feasible[t]);
    }
    free(arena.base);
}

static void masks_are_those_of_the_sets(void **state)
{
    (void)state;
    each_scene(check_planes, 0, 3);
    each_scene(check_planes, 0, 50);
    each_scene(check_planes, 0, (1u << 30) + 1);
}

static void long_rings_and_large_maps(void **state)
{
    (void)state;
    static const oracle_map maps[] = {{1, 60, 3, false, true, 1, 14, NULL},  {1, 33, 3, false, true, 1, 16, NULL},
                                      {1, 33, 3, false, true, 1, 17, NULL},  {1, 33, 3, false, true, 1, 32, NULL},
                                      {12, 13, 3, false, false, 5, 4, NULL}, {11, 12, 3, true, true, 4, 5, NULL},
                                      {9, 9, 3, true, false, 6, 7, NULL},    {33, 1, 3, true, false, 11, 1, NULL}};
    static scene s;
    for (uint32_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        set_scene(&s, maps[i], i, 0, 100);
        check_geometry(&s);
        check_sums(&s);
        check_planes(&s);
    }
}

static void check_order(scene *s)
{
    const oracle_map *m = &s->map;
    pg_arena arena = {0};
    pg_order order;
    pg_order_layout(&arena, m->height, m->width, &order);
    arena = (pg_arena){.base = aligned_alloc(64, arena.used)};
    pg_order_layout(&arena, m->height, m->width, &order);
    pg_order_sort(&order, &s->evidence, &s->windows, 2);
    int64_t sorted[ORACLE_POSITIONS], outside[ORACLE_POSITIONS];
    int n = oracle_sorted(m, 2, NULL, sorted);
    for (int i = 0; i < n; i++) {
        assert_int_equal(order.value[i], sorted[i]);
        assert_int_equal(order.prefix[i + 1], oracle_range(sorted, 0, i + 1));
    }
    for (int w = 0; w < s->sets->count; w++) {
        int top = w / s->windows.columns.places, left = w % s->windows.columns.places;
        n = oracle_sorted(m, 2, s->sets->has[w], outside);
        for (int r = 0; r < n; r++)
            assert_int_equal(order.value[pg_order_outside(&order, top, left, r)], outside[r]);
        for (int from = 0; from <= n; from += 2)
            for (int to = from; to <= n; to++)
                assert_int_equal(pg_order_outside_sum(&order, top, left, from, to), oracle_range(outside, from, to));
    }
    free(arena.base);
}

static void order_outside_windows(void **state)
{
    (void)state;
    each_scene(check_order, -2, 5);
    each_scene(check_order, -PG_EVIDENCE_MAX, 1u << 31);
}

static void argmax_takes_the_first(void **state)
{
    (void)state;
    assert_int_equal(pg_argmax((int64_t[]){3}, 1), 0);
    assert_int_equal(pg_argmax((int64_t[]){1, 3, 3, 2}, 4), 1);
    assert_int_equal(pg_argmax((int64_t[]){-5, -7, -5, -4}, 4), 3);
    int32_t q[6] = {1, -2, 3, PG_EVIDENCE_MAX, PG_EVIDENCE_MAX, PG_EVIDENCE_MAX};
    pg_evidence_spec spec = {0};
    pg_evidence e = {q, 1, 2, 3, false, false, &spec, NULL};
    int64_t total[3] = {7, 7, 7};
    pg_totals(&e, total);
    assert_int_equal(total[0], (int64_t)PG_EVIDENCE_MAX + 1);
    assert_int_equal(total[1], (int64_t)PG_EVIDENCE_MAX - 2);
    assert_int_equal(total[2], (int64_t)PG_EVIDENCE_MAX + 3);
}

static void arenas_align(void **state)
{
    (void)state;
    pg_arena counted = {0};
    assert_null(pg_arena_take(&counted, 3, 8));
    size_t one = counted.used; /* 64, and under the address sanitizer a gap */
    assert_true(one == 64 || one == 128);
    assert_null(pg_arena_take(&counted, 8, 8));
    assert_int_equal(counted.used, 2 * one);
    assert_null(pg_arena_take(&counted, 9, 8));
    assert_int_equal(counted.used, 3 * one + 64);
    pg_arena arena = {.base = aligned_alloc(64, counted.used)};
    assert_ptr_equal(pg_arena_take(&arena, 1, 1), arena.base);
    assert_ptr_equal(pg_arena_take(&arena, 64, 1), arena.base + one);
    assert_ptr_equal(pg_arena_take(&arena, 65, 1), arena.base + 2 * one);
    assert_int_equal(arena.used, counted.used);
    free(arena.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry_counts_positions),  cmocka_unit_test(overlaps_are_the_shared_positions),
        cmocka_unit_test(sums_are_those_of_the_sets), cmocka_unit_test(classes_fill_blocks),
        cmocka_unit_test(lanes_do_not_overflow),      cmocka_unit_test(masks_are_those_of_the_sets),
        cmocka_unit_test(long_rings_and_large_maps),  cmocka_unit_test(order_outside_windows),
        cmocka_unit_test(argmax_takes_the_first),     cmocka_unit_test(arenas_align),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
