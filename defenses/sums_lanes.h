/* The inner part of sums.c for one width of integer: included twice, with LANE the type, FLOOR its "never a rival" and NAME(x) the
 * names. Sums of a window must stay within -FLOOR / 2 either way. See sums.c. */

/* The running column sums over the rows [top, top + length) of the block, from those of top - 1. */
static inline __attribute__((always_inline)) void NAME(slide_down)(const pass *p, int lanes, int top)
{
    const pg_axis *rows = &p->windows->rows;
    size_t n = (size_t)p->windows->columns.span * (size_t)lanes;
    LANE *restrict column = ALIGNED(p->column);
    if (top == 0) {
        memset(column, 0, n * sizeof *column);
        for (int row = 0; row < rows->length; row++) {
            const int32_t *in = ALIGNED(p->block + (size_t)row * n);
            for (size_t i = 0; i < n; i++)
                column[i] += in[i];
        }
        return;
    }
    int entering = top + rows->length - 1;
    const int32_t *in = ALIGNED(p->block + (size_t)(entering < rows->size ? entering : entering - rows->size) * n);
    const int32_t *out = ALIGNED(p->block + (size_t)(top - 1) * n);
    for (size_t i = 0; i < n; i++)
        column[i] += (LANE)in[i] - (LANE)out[i];
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
    const pg_axis *columns = &p->windows->columns;
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
                heaviest[c] = sum > heaviest[c] ? sum : heaviest[c];
                best = rest > best ? rest : best;
                if (mixed) {
                    LANE rest_second = second[c] - sum;
                    best_second = rest_second > best_second ? rest_second : best_second;
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
