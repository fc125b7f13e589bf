/* Sums of double-masking, once for the integers that certify and once for the values before rounding: included twice, with SUM
 * (the type of a sum), VALUE (of a value), SOURCE (the field of pg_evidence), PLANES, ARGMAX and NAME(x) defined, which end
 * with it. */

static void NAME(add_up)(masked_map *m)
{
    const pg_evidence *e = m->evidence;
    const pg_window_axis *rows = &m->masks.rows, *columns = &m->masks.columns;
    size_t classes = (size_t)e->classes, row = row_of(m);
    memset(m->PLANES.prefix, 0, row * sizeof *m->PLANES.prefix);
    for (int r = 0; r < rows->span; r++) {
        const VALUE *source = e->SOURCE + (size_t)(r % rows->size) * (size_t)e->width * classes;
        const SUM *above = m->PLANES.prefix + (size_t)r * row;
        SUM *to = m->PLANES.prefix + (size_t)(r + 1) * row, *left = m->PLANES.both; /* of the row alone */
        memset(left, 0, classes * sizeof *left);
        memset(to, 0, classes * sizeof *to);
        for (int s = 0; s < columns->span; s++) {
            const VALUE *q = source + (size_t)(s % columns->size) * classes;
            size_t at = (size_t)(s + 1) * classes;
            for (size_t c = 0; c < classes; c++) {
                left[c] += q[c];
                to[at + c] = above[at + c] + left[c];
            }
        }
    }
}

/* Adds `times` the sums over rows [top, top + height) and columns [left, left + width) of the unrolled map. */
static void NAME(add)(const masked_map *m, int top, int left, int height, int width, int times, SUM *sums)
{
    size_t classes = (size_t)m->evidence->classes, row = row_of(m);
    const SUM *above = m->PLANES.prefix + (size_t)top * row + (size_t)left * classes, *below = above + (size_t)height * row;
    size_t right = (size_t)width * classes;
    for (size_t c = 0; c < classes; c++)
        sums[c] += times * (below[right + c] - below[c] - above[right + c] + above[c]);
}

/* Sums outside one mask. */
static void NAME(outside_one)(const masked_map *m, int mask, SUM *sums)
{
    const pg_window_axis *rows = &m->masks.rows, *columns = &m->masks.columns;
    int top = place_of(rows, m->stride, mask / m->across), left = place_of(columns, m->stride, mask % m->across);
    memset(sums, 0, (size_t)m->evidence->classes * sizeof *sums);
    NAME(add)(m, 0, 0, rows->size, columns->size, 1, sums);
    NAME(add)(m, top, left, rows->length, columns->length, -1, sums);
}

/* Sums outside two masks, from those outside the first. */
static void NAME(outside_both)(const masked_map *m, int first, int second, const SUM *outside, SUM *sums)
{
    const pg_window_axis *rows = &m->masks.rows, *columns = &m->masks.columns;
    int top = place_of(rows, m->stride, first / m->across), left = place_of(columns, m->stride, first % m->across);
    int down = place_of(rows, m->stride, second / m->across), along = place_of(columns, m->stride, second % m->across);
    pg_segment tall[2], wide[2];
    int n_tall = pg_window_overlap(rows, shift_of(rows, top, down), tall);
    int n_wide = pg_window_overlap(columns, shift_of(columns, left, along), wide);
    memcpy(sums, outside, (size_t)m->evidence->classes * sizeof *sums);
    NAME(add)(m, down, along, rows->length, columns->length, -1, sums);
    for (int i = 0; i < n_tall; i++)
        for (int j = 0; j < n_wide; j++)
            NAME(add)(m, top + tall[i].start, left + wide[j].start, tall[i].length, wide[j].length, 1, sums);
}

static int NAME(class_of)(const void *of, int first, int second)
{
    const masked_map *m = of;
    if (first != *m->first)
        NAME(outside_one)(m, first, m->PLANES.outside);
    *m->first = first;
    NAME(outside_both)(m, first, second, m->PLANES.outside, m->PLANES.both);
    return ARGMAX(m->PLANES.both, m->evidence->classes);
}

#undef SUM
#undef VALUE
#undef SOURCE
#undef PLANES
#undef ARGMAX
#undef NAME
