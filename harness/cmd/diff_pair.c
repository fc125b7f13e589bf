/* See diff.h. */
#include "harness/cmd/diff.h"

#include "harness/cmd/print.h"
#include "harness/base/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef pg_diff_side side;
typedef pg_diff_recorded recorded;

static int copy_origin(const pg_attempt_record *a, void *context)
{
    recorded *r = context;
    if (strcmp(a->result, "done") != 0)
        return PG_OK;
    *r = (recorded){.threads = a->threads, .batch = a->batch};
    snprintf(r->device, sizeof r->device, "%s", a->device);
    snprintf(r->library, sizeof r->library, "%s", a->library);
    snprintf(r->revision, sizeof r->revision, "%s", a->revision);
    snprintf(r->host, sizeof r->host, "%s", a->host);
    return PG_OK;
}

static int add_outcome(const pg_outcome *outcome, void *context)
{
    side *s = context;
    s->outcomes[s->n++] = *outcome;
    return PG_OK;
}

static int read_side(pg_store *store, const char *id, side *s)
{
    snprintf(s->id, sizeof s->id, "%s", id);
    int code = pg_store_cell_checked(store, id, &s->result);
    if (code == PG_OK)
        code = pg_store_each_attempt(store, id, copy_origin, &s->recorded);
    s->outcomes = code == PG_OK ? calloc((size_t)s->result.images + 1, sizeof *s->outcomes) : NULL;
    if (code == PG_OK && !s->outcomes)
        code = pg_fail(PG_ENOMEM, "out of memory for %" PRId64 " images", s->result.images);
    return code == PG_OK ? pg_store_each_outcome(store, id, add_outcome, s) : code;
}

int pg_diff_read(pg_store *store, const char *id_a, const char *id_b, pg_diff_side sides[2])
{
    sides[0] = sides[1] = (side){0};
    int code = pg_store_same_images(store, id_a, id_b);
    if (code == PG_OK)
        code = read_side(store, id_a, &sides[0]);
    return code == PG_OK ? read_side(store, id_b, &sides[1]) : code;
}

void pg_diff_release(pg_diff_side sides[2])
{
    for (int i = 0; i < 2; i++) {
        pg_cell_result_release(&sides[i].result);
        free(sides[i].outcomes);
        sides[i] = (side){0};
    }
}

/* ---- Settings ---- */

static void print_difference(const char *key, const char *a, const char *b, int *n)
{
    if (strcmp(a, b) == 0)
        return;
    pg_print("  %-28s %-24s %s\n", key, *a ? a : "-", *b ? b : "-");
    (*n)++;
}

static void print_settings(const side *a, const side *b)
{
    const pg_cell_result *x = &a->result, *y = &b->result;
    int n = 0;
    pg_print("different settings\n");
    for (size_t i = 0, j = 0; i < x->n_settings || j < y->n_settings;) {
        int order = i == x->n_settings ? 1 : j == y->n_settings ? -1 : strcmp(x->settings[i].key, y->settings[j].key);
        const char *key = order <= 0 ? x->settings[i].key : y->settings[j].key;
        const char *of_a = order <= 0 ? x->settings[i++].value : "", *of_b = order >= 0 ? y->settings[j++].value : "";
        if (strcmp(key, "forward") != 0) /* a hash of the others */
            print_difference(key, of_a, of_b, &n);
    }
    if (n == 0)
        pg_print("  none\n");
}

static void print_recorded(const recorded *a, const recorded *b)
{
    char numbers[4][24];
    snprintf(numbers[0], sizeof numbers[0], "%d", a->threads);
    snprintf(numbers[1], sizeof numbers[1], "%d", b->threads);
    snprintf(numbers[2], sizeof numbers[2], "%d", a->batch);
    snprintf(numbers[3], sizeof numbers[3], "%d", b->batch);
    int n = 0;
    pg_print("recorded, of the last attempt\n");
    print_difference("device", a->device, b->device, &n);
    print_difference("library", a->library, b->library, &n);
    print_difference("threads", numbers[0], numbers[1], &n);
    print_difference("batch used", numbers[2], numbers[3], &n);
    print_difference("patchgauge", a->revision, b->revision, &n);
    print_difference("host", a->host, b->host, &n);
    if (n == 0)
        pg_print("  no difference\n");
}

/* ---- Images ---- */

static bool is_clean(const pg_outcome *o) { return o->prediction == o->label; }
static bool is_attacked(const pg_outcome *o) { return is_clean(o) && o->attacked == o->label; }
static bool is_certified(const pg_outcome *o) { return o->certified; }

static bool (*const holds[PG_DIFF_MEASURES])(const pg_outcome *) = {is_clean, is_attacked, is_certified};
static const char *const names[PG_DIFF_MEASURES] = {"clean", "under attack", "certified"};
const char *const pg_diff_metrics[PG_DIFF_MEASURES] = {"clean", "attacked", "certified"};

bool pg_diff_count(const pg_diff_side sides[2], int measure, pg_diff_counts *out)
{
    const side *a = &sides[0], *b = &sides[1];
    *out = (pg_diff_counts){.n = (int64_t)a->n};
    if (holds[measure] == is_attacked && (a->result.attacked_n == 0 || b->result.attacked_n == 0))
        return false;
    for (size_t i = 0; i < a->n; i++) {
        bool x = holds[measure](&a->outcomes[i]), y = holds[measure](&b->outcomes[i]);
        out->only_a += x && !y;
        out->only_b += y && !x;
        out->both += x && y;
    }
    out->a = 100.0 * (double)(out->both + out->only_a) / (double)out->n;
    out->b = 100.0 * (double)(out->both + out->only_b) / (double)out->n;
    out->p = pg_mcnemar(out->only_a, out->only_b);
    return true;
}

/* The two halves of the table, beside each other where there is room. */
enum { SHARES = 1, COUNTS = 2, ROOM = 77 };

static void print_measures(int halves, const pg_diff_side sides[2])
{
    pg_print("  %-14s%s%s\n", "", halves & SHARES ? "    A, %    B, %   B - A" : "",
             halves & COUNTS ? "     both   only A   only B         p" : "");
    for (int i = 0; i < PG_DIFF_MEASURES; i++) {
        pg_diff_counts c;
        char shares[64] = "", counts[128] = "";
        if (!pg_diff_count(sides, i, &c))
            continue;
        if (halves & SHARES)
            snprintf(shares, sizeof shares, " %7.2f %7.2f %+7.2f", c.a, c.b, c.b - c.a);
        if (halves & COUNTS)
            snprintf(counts, sizeof counts, " %8" PRId64 " %8" PRId64 " %8" PRId64 " %9.3g", c.both, c.only_a, c.only_b, c.p);
        pg_print("  %-14s%s%s\n", names[i], shares, counts);
    }
}

/* Images that the two predict differently, at most `most` of them. */
static void print_flips(const side *a, const side *b, int64_t most)
{
    int64_t flips = 0;
    for (size_t i = 0; i < a->n; i++)
        flips += a->outcomes[i].prediction != b->outcomes[i].prediction;
    pg_print("predictions that differ: %" PRId64 "\n", flips);
    if (flips == 0 || most == 0)
        return;
    pg_print("  %8s %6s %6s %6s\n", "image", "label", "A", "B");
    int64_t shown = 0;
    for (size_t i = 0; i < a->n && shown < most; i++)
        if (a->outcomes[i].prediction != b->outcomes[i].prediction) {
            pg_print("  %8" PRId64 " %6d %6d %6d\n", a->outcomes[i].image, a->outcomes[i].label, a->outcomes[i].prediction,
                     b->outcomes[i].prediction);
            shown++;
        }
    if (shown < flips)
        pg_print("  and %" PRId64 " more; --flips N shows more\n", flips - shown);
}

void pg_diff_print(const pg_diff_side sides[2], int64_t flips)
{
    const side *a = &sides[0], *b = &sides[1];
    pg_print("A  %s\nB  %s\n", a->id, b->id);
    print_settings(a, b);
    print_recorded(&a->recorded, &b->recorded);
    pg_print("%zu images; p: McNemar's exact test, two-sided\n", a->n);
    size_t width = pg_print_width(stdout);
    if (width > 0 && width < ROOM) {
        print_measures(SHARES, sides);
        print_measures(COUNTS, sides);
    } else
        print_measures(SHARES | COUNTS, sides);
    print_flips(a, b, flips);
}
