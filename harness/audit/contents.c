#include "harness/audit/contents.h"

enum {
    RIVAL_UP,    /* the rival at the top, all else at the bottom */
    RIVAL_ALONE, /* the same, the other classes as they are */
    ALL_DOWN,
    ALL_UP,
    BOTH_UP,        /* label and rival at the top */
    BELOW_KEEPING,  /* the rival's total just below the label's, all else as it is */
    BELOW_EMPTYING, /* the same with the label at the bottom */
    LEVELS,         /* tenths of its total for the rival, or the top; the label raised nowhere or along an edge */
};
enum { TENTHS = 9 };

/* Widths of strips along the four edges that are narrower than the window. */
static int strips(const pg_windows *w) { return 2 * (w->rows.length - 1) + 2 * (w->columns.length - 1); }

int pg_contents_variants(const pg_windows *w) { return LEVELS + (TENTHS + 1) * (strips(w) + 1); }

static const int32_t *clean_at(const pg_contents_case *c, int row, int column)
{
    const pg_evidence *e = c->evidence;
    size_t at = (size_t)((c->top + row) % e->height) * (size_t)e->width + (size_t)((c->left + column) % e->width);
    return e->q + at * (size_t)e->classes;
}

static int32_t *cell_at(const pg_contents_case *c, int32_t *contents, int row, int column)
{
    return contents + ((size_t)row * (size_t)c->windows->columns.length + (size_t)column) * (size_t)c->evidence->classes;
}

/* Whether a position of the window lies in strip number `strip`, counted from the top, bottom, left and right edge in turn. */
static bool in_strip(const pg_windows *w, int strip, int row, int column)
{
    int height = w->rows.length, width = w->columns.length;
    if (strip < 2 * (height - 1)) {
        int depth = strip / 2 + 1;
        return strip % 2 ? row >= height - depth : row < depth;
    }
    strip -= 2 * (height - 1);
    int depth = strip / 2 + 1;
    return strip % 2 ? column >= width - depth : column < depth;
}

static int64_t total_of(const pg_evidence *e, int class)
{
    int64_t sum = 0;
    size_t positions = (size_t)e->height * (size_t)e->width;
    for (size_t i = 0; i < positions; i++)
        sum += e->q[i * (size_t)e->classes + (size_t) class];
    return sum;
}

static int64_t inside_of(const pg_contents_case *c, int class)
{
    int64_t sum = 0;
    for (int r = 0; r < c->windows->rows.length; r++)
        for (int s = 0; s < c->windows->columns.length; s++)
            sum += clean_at(c, r, s)[class];
    return sum;
}

/* The total of a class over the window becomes `sum`, evenly, cut to the range. */
static void set_total(const pg_contents_case *c, int class, int64_t sum, int32_t *contents)
{
    int64_t k = c->windows->k, range = c->hi - c->lo, rest = sum - k * c->lo;
    rest = rest < 0 ? 0 : rest > k * range ? k * range : rest;
    int64_t each = c->votes ? 0 : rest / k, more = c->votes ? (range > 0 ? rest / range : 0) : rest % k;
    for (int64_t i = 0; i < k; i++) {
        int64_t step = c->votes ? range : 1;
        contents[i * c->evidence->classes + class] = (int32_t)(c->lo + each + (i < more ? step : 0));
    }
}

static void set_all(const pg_contents_case *c, int64_t value, int32_t *contents)
{
    for (int64_t i = 0; i < c->windows->k * c->evidence->classes; i++)
        contents[i] = (int32_t)value;
}

static void set_class(const pg_contents_case *c, int class, int64_t value, int32_t *contents)
{
    for (int64_t i = 0; i < c->windows->k; i++)
        contents[i * c->evidence->classes + class] = (int32_t)value;
}

static void copy_clean(const pg_contents_case *c, int32_t *contents)
{
    for (int r = 0; r < c->windows->rows.length; r++)
        for (int s = 0; s < c->windows->columns.length; s++) {
            const int32_t *from = clean_at(c, r, s);
            int32_t *to = cell_at(c, contents, r, s);
            for (int n = 0; n < c->evidence->classes; n++)
                to[n] = from[n];
        }
}

static void set_label_in_strip(const pg_contents_case *c, int strip, int64_t value, int32_t *contents)
{
    for (int r = 0; r < c->windows->rows.length; r++)
        for (int s = 0; s < c->windows->columns.length; s++)
            if (in_strip(c->windows, strip, r, s))
                cell_at(c, contents, r, s)[c->label] = (int32_t)value;
}

/* The rival raised until its total is one unit below the label's, which the window's contents decide: `own` inside it. */
static void raise_below(const pg_contents_case *c, int64_t own, int32_t *contents)
{
    int64_t label = total_of(c->evidence, c->label) - inside_of(c, c->label) + own;
    int64_t rival = total_of(c->evidence, c->rival) - inside_of(c, c->rival);
    set_total(c, c->rival, label - rival - 1, contents);
}

/* The rival holds `tenths` of its total in the window: a rule that masks above that share leaves it alone. 10: the top. */
static void raise_to_share(const pg_contents_case *c, int tenths, int32_t *contents)
{
    int64_t outside = total_of(c->evidence, c->rival) - inside_of(c, c->rival);
    if (tenths > TENTHS)
        set_class(c, c->rival, c->hi, contents);
    else
        set_total(c, c->rival, outside * tenths / (10 - tenths), contents);
}

void pg_contents_fill(const pg_contents_case *c, int variant, int32_t *contents)
{
    if (variant == RIVAL_ALONE || variant == BELOW_KEEPING)
        copy_clean(c, contents);
    else
        set_all(c, variant == ALL_UP ? c->hi : c->lo, contents);
    if (variant == RIVAL_ALONE)
        set_class(c, c->label, c->lo, contents);
    if (variant == BOTH_UP)
        set_class(c, c->label, c->hi, contents);
    if (variant == RIVAL_UP || variant == RIVAL_ALONE || variant == BOTH_UP)
        set_class(c, c->rival, c->hi, contents);
    if (variant == BELOW_KEEPING)
        raise_below(c, inside_of(c, c->label), contents);
    if (variant == BELOW_EMPTYING)
        raise_below(c, c->windows->k * c->lo, contents);
    if (variant < LEVELS)
        return;
    int tenths = (variant - LEVELS) % (TENTHS + 1) + 1, strip = (variant - LEVELS) / (TENTHS + 1) - 1;
    raise_to_share(c, tenths, contents);
    if (strip >= 0)
        set_label_in_strip(c, strip, c->hi, contents);
}

/* A level for all of a class: an end of the range, or anything up to a few times what stands outside. */
static int64_t level(const pg_contents_case *c, int class, pg_rng *rng)
{
    uint32_t kind = pg_rng_below(rng, 4);
    if (kind < 2 || c->votes)
        return kind % 2 ? c->hi : c->lo;
    int64_t outside = total_of(c->evidence, class) - inside_of(c, class);
    int64_t most = (outside < 0 ? -outside : outside) * 4 / c->windows->k + 1;
    int64_t value = c->lo + (int64_t)(pg_rng_unit(rng) * (double)(kind == 2 ? most : c->hi - c->lo));
    return value > c->hi ? c->hi : value;
}

static void make_noise(const pg_contents_case *c, pg_rng *rng, int32_t *contents)
{
    int64_t most = level(c, c->label, rng);
    for (int64_t i = 0; i < c->windows->k * c->evidence->classes; i++) {
        uint32_t kind = pg_rng_below(rng, 3);
        int64_t value = kind == 0 ? c->lo : kind == 1 ? most : c->lo + (int64_t)(pg_rng_unit(rng) * (double)(most - c->lo));
        contents[i] = (int32_t)(c->votes ? (kind ? c->hi : c->lo) : value);
    }
}

void pg_contents_random(const pg_contents_case *c, pg_rng *rng, int32_t *contents)
{
    int n = strips(c->windows);
    switch (pg_rng_below(rng, 4)) {
    case 0:
        make_noise(c, rng, contents);
        break;
    case 1:
        copy_clean(c, contents);
        break;
    default:
        set_all(c, c->lo, contents);
    }
    if (pg_rng_below(rng, 2))
        set_class(c, c->label, level(c, c->label, rng), contents);
    if (n && pg_rng_below(rng, 2))
        set_label_in_strip(c, (int)pg_rng_below(rng, (uint32_t)n), level(c, c->label, rng), contents);
    if (pg_rng_below(rng, 4))
        set_class(c, c->rival, level(c, c->rival, rng), contents);
    else {
        int64_t own = 0;
        for (int64_t i = 0; i < c->windows->k; i++)
            own += contents[i * c->evidence->classes + c->label];
        raise_below(c, own, contents);
    }
}
