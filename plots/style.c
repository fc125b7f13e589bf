/* What users ask of figures: width, font, order. See figure.h. */
#include "harness/base/option.h"
#include "plots/figure.h"
#include "plots/fonts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH_MIN = 40, WIDTH_MAX = 1000, POINTS_MIN = 5, POINTS_MAX = 40, NAMES_MAX = 64, LIST_MAX = 400 };

int pg_figure_width(const char *text, double *mm)
{
    static const struct {
        const char *name;
        double mm;
    } units[] = {{"mm", 1}, {"cm", 10}, {"in", 25.4}};
    char number[32];
    size_t size = strlen(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (size < 3 || size - 2 >= sizeof number || strcmp(text + size - 2, units[i].name) != 0)
            continue;
        snprintf(number, sizeof number, "%.*s", (int)(size - 2), text);
        if (pg_parse_double(number, mm) == PG_OK && *mm * units[i].mm >= WIDTH_MIN && *mm * units[i].mm <= WIDTH_MAX) {
            *mm *= units[i].mm;
            return PG_OK;
        }
    }
    return pg_fail(PG_EUSAGE, "right would be a length from %dmm to %dmm with its unit, as 85mm, 8.5cm or 3.35in", WIDTH_MIN,
                   WIDTH_MAX);
}

int pg_figure_font(const char *text, pg_figure_style *style)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -";
    size_t name = strcspn(text, ",");
    double points = 0;
    bool sized = text[name] == ',';
    if (name == 0 || name >= sizeof style->font || strspn(text, letters) != name ||
        (sized && (pg_parse_double(text + name + 1, &points) != PG_OK || !(points >= POINTS_MIN && points <= POINTS_MAX))))
        return pg_fail(
            PG_EUSAGE,
            "right would be the family of a font (letters, digits, blanks, hyphens), alone or with a comma and a size "
            "from %d to %d points, as \"Liberation Serif,8\"",
            POINTS_MIN, POINTS_MAX);
    snprintf(style->font, sizeof style->font, "%.*s", (int)name, text);
    style->font_pt = points;
    return pg_fonts_check(style->font);
}

/* ---- Order --------------------------------------------------------------------------------------------------------------- */

/* The names that the user lists. */
typedef struct ranks {
    const char *name[NAMES_MAX];
    size_t size[NAMES_MAX], n;
    bool used[NAMES_MAX];
} ranks;

/* The place of the first name that is this label or one of its parts, behind all others where there is none. */
static size_t rank_of(ranks *r, const char *label)
{
    for (size_t i = 0; i < r->n; i++)
        for (const char *part = label; part != NULL; part = strchr(part, '\n') ? strchr(part, '\n') + 1 : NULL)
            if (strcspn(part, "\n") == r->size[i] && memcmp(part, r->name[i], r->size[i]) == 0) {
                r->used[i] = true;
                return i;
            }
    return r->n;
}

typedef struct ranked {
    size_t rank[2], at; /* of row and column; the place before */
} ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *p = a, *q = b;
    for (int i = 0; i < 2; i++)
        if (p->rank[i] != q->rank[i])
            return p->rank[i] < q->rank[i] ? -1 : 1;
    return (p->at > q->at) - (p->at < q->at);
}

/* Sorts n items of `size` bytes by their ranks; *new* list of where each was. NULL: memory ran out. */
static size_t *sort(void *items, size_t n, size_t size, ranked *order)
{
    size_t *to = malloc((n + 1) * sizeof *to);
    char *copy = malloc(n * size + 1);
    if (to != NULL && copy != NULL) {
        qsort(order, n, sizeof *order, by_rank);
        memcpy(copy, items, n * size);
        for (size_t i = 0; i < n; i++) {
            memcpy((char *)items + i * size, copy + order[i].at * size, size);
            to[order[i].at] = i;
        }
    } else {
        free(to);
        to = NULL;
    }
    free(copy);
    return to;
}

static int split(const char *names, ranks *r)
{
    *r = (ranks){.n = 0};
    for (;; names++) {
        size_t size = strcspn(names, ",");
        if (size == 0 || r->n == NAMES_MAX)
            return pg_fail(PG_EUSAGE, "--order: right would be at most %d names with commas between them, as mean,clip",
                           NAMES_MAX);
        r->name[r->n] = names;
        r->size[r->n++] = size;
        names += size;
        if (*names == '\0')
            return PG_OK;
    }
}

/* The first name that is that of nothing, with what there is. */
static int check_used(const ranks *r, const pg_table *table)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->used[i])
            continue;
        pg_buf there = PG_BUF_EMPTY;
        for (size_t k = 0; k < table->n_entries && there.size < LIST_MAX; k++) {
            const char *row = table->entries[k].row;
            bool told = false;
            for (size_t before = 0; before < k && !told; before++)
                told = strcspn(table->entries[before].row, "\n") == strcspn(row, "\n") &&
                       memcmp(table->entries[before].row, row, strcspn(row, "\n")) == 0;
            if (!told)
                pg_buf_printf(&there, "%s%.*s", there.size > 0 ? ", " : "", (int)strcspn(row, "\n"), row);
        }
        int code = pg_fail(PG_EINPUT, "--order: no row, column or network is called '%.*s'; the rows begin with %s",
                           (int)r->size[i], r->name[i], there.data);
        pg_buf_release(&there);
        return code;
    }
    return PG_OK;
}

int pg_figure_order(const char *names, pg_table_entry *entries, pg_table_network *networks, pg_table_time *times,
                    const pg_table *table)
{
    ranks r;
    int code = split(names, &r);
    size_t n[] = {table->n_entries, table->n_networks, table->n_times}, most = n[0] + n[1] + n[2];
    size_t sizes[] = {sizeof *entries, sizeof *networks, sizeof *times};
    void *lists[] = {entries, networks, times};
    ranked *order = calloc(most + 1, sizeof *order);
    if (code == PG_OK && order == NULL)
        code = pg_fail(PG_ENOMEM, "out of memory for %zu labels", most);
    for (int kind = 0; code == PG_OK && kind < 3; kind++) {
        if (n[kind] == 0)
            continue;
        for (size_t i = 0; i < n[kind]; i++) {
            const char *label = kind == 0 ? entries[i].row : kind == 1 ? networks[i].name : times[i].label;
            order[i] = (ranked){.rank = {rank_of(&r, label), kind == 0 ? rank_of(&r, entries[i].column) : 0}, .at = i};
        }
        size_t *to = sort(lists[kind], n[kind], sizes[kind], order);
        if (to == NULL)
            code = pg_fail(PG_ENOMEM, "out of memory for %zu labels", most);
        for (size_t i = 0; code == PG_OK && kind == 0 && i < n[0]; i++)
            if (entries[i].same_as != NULL)
                entries[i].same_as = &entries[to[entries[i].same_as - entries]];
        free(to);
    }
    free(order);
    return code == PG_OK ? check_used(&r, table) : code;
}
