/* The inner part of sums.c for one width of integer: included twice, with LANE the type, FLOOR its "never a rival" and NAME(x)
 * the names. Sums of a window must stay within -FLOOR / 2 either way. See sums.c. */

/* The running column sums over the rows [top, top + length) of the block, from those of top - 1, then unrolled. */
static inline __attribute__((always_inline)) void NAME(slide_down)(const pass *p, const int lanes, int top)
{
    const pg_window_axis *rows = &p->windows->rows, *columns = &p->windows->columns;
    int width = columns->size, entering = top + rows->length - 1;
    size_t row = (size_t)width * p->step;
    LANE *columns_sum = ALIGNED(p->column);
    if (top == 0) {
        memset(columns_sum, 0, (size_t)(width * lanes) * sizeof *columns_sum);
        for (int r = 0; r < rows->length; r++)
            for (int i = 0; i < width; i++) {
                const int32_t *in = p->source + (size_t)r * row + (size_t)i * p->step;
                LANE *to = ALIGNED(columns_sum + i * lanes);
                for (int c = 0; c < lanes; c++)
                    to[c] += in[c];
            }
    } else {
        const int32_t *in = p->source + (size_t)(entering < rows->size ? entering : entering - rows->size) * row;
        const int32_t *out = p->source + (size_t)(top - 1) * row;
        for (int i = 0; i < width; i++, in += p->step, out += p->step) {
            LANE *to = ALIGNED(columns_sum + i * lanes);
            for (int c = 0; c < lanes; c++)
                to[c] += (LANE)in[c] - (LANE)out[c];
        }
    }
    memcpy(columns_sum + width * lanes, columns_sum, (size_t)((columns->span - width) * lanes) * sizeof *columns_sum);
}

/* Totals of the rivals in one side of the block, less the largest of them: what is too far behind to matter becomes FLOOR. */
static inline __attribute__((always_inline)) void NAME(behind)(int lanes, const int64_t *total, const side *s, LANE *out)
{
    for (int c = 0; c < lanes; c++) {
        int64_t lag = total[c] - s->largest;
        out[c] = c >= s->first && c < s->last && lag > FLOOR ? (LANE)lag : FLOOR;
    }
}

/* Slides the window over the block. `lanes` and `mixed` are constants of the caller. */
static inline __attribute__((always_inline)) void NAME(slide)(const pass *p, const int lanes, const bool mixed)
{
    const pg_window_axis *columns = &p->windows->columns;
    _Alignas(64) LANE window[WIDE], heaviest[WIDE], first[WIDE], second[WIDE];
    NAME(behind)(lanes, p->total, &p->sides[0], first);
    NAME(behind)(lanes, p->total, &p->sides[1], second);
    for (int c = 0; c < WIDE; c++)
        heaviest[c] = FLOOR;
    size_t w = 0;
    for (int top = 0; top < p->windows->rows.places; top++) {
        NAME(slide_down)(p, lanes, top);
        const LANE *column = ALIGNED(p->column);
        for (int c = 0; c < lanes; c++)
            window[c] = 0;
        for (int i = 0; i < columns->length - 1; i++)
            for (int c = 0; c < lanes; c++)
                window[c] += column[i * lanes + c];
        for (int left = 0; left < columns->places; left++, w++) {
            const LANE *in = ALIGNED(column + (left + columns->length - 1) * lanes), *out = ALIGNED(column + left * lanes);
            LANE best = FLOOR + FLOOR / 2, best_second = best;
            for (int c = 0; c < lanes; c++) {
                LANE sum = window[c] + in[c], rest = first[c] - sum;
                heaviest[c] = PG_MAX(sum, heaviest[c]);
                best = PG_MAX(rest, best);
                if (mixed) {
                    LANE rest_second = second[c] - sum;
                    best_second = PG_MAX(rest_second, best_second);
                }
                window[c] = sum;
            }
            if (p->holds_label)
                p->sums->own[w] = window[p->label - p->first];
            for (int c = 0; c < lanes; c++)
                window[c] -= out[c];
            record(&p->sides[0], w, best);
            if (mixed)
                record(&p->sides[1], w, best_second);
        }
    }
    for (int c = 0; c < p->used; c++)
        p->sums->heaviest[p->first + c] = heaviest[c];
}
