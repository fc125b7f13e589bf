/* patchgauge diff: two cells, setting by setting and image by image. */
#include "db/store.h"
#include "harness/base/option.h"
#include "harness/cmd/command.h"
#include "harness/cmd/print.h"
#include "harness/base/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(diff)

/* What was recorded beside the settings; the last attempt that was done speaks for a cell. */
typedef struct recorded {
    char device[32], library[256], revision[96], host[96];
    int threads, batch;
} recorded;

typedef struct side {
    char id[PG_HASH_HEX];
    pg_cell_result result;
    recorded recorded;
    pg_outcome *outcomes;
    size_t n;
} side;

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

static int read_side(pg_store *store, const char *prefix, side *s)
{
    int code = pg_store_resolve(store, prefix, s->id);
    if (code == PG_OK)
        code = pg_store_cell_checked(store, s->id, &s->result);
    if (code == PG_OK)
        code = pg_store_each_attempt(store, s->id, copy_origin, &s->recorded);
    return code;
}

/* Only of cells that are complete: the caller has seen to it. They may have become so after `result` was read. */
static int read_outcomes(pg_store *store, side *s)
{
    s->outcomes = calloc((size_t)s->result.images + 1, sizeof *s->outcomes);
    if (!s->outcomes)
        return pg_fail(PG_ENOMEM, "out of memory for %" PRId64 " images", s->result.images);
    return pg_store_each_outcome(store, s->id, add_outcome, s);
}

static void release_side(side *s)
{
    pg_cell_result_release(&s->result);
    free(s->outcomes);
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

typedef struct measure {
    const char *name;
    bool (*holds)(const pg_outcome *);
} measure;
static const measure measures[] = {{"clean", is_clean}, {"under attack", is_attacked}, {"certified", is_certified}};
enum { MEASURES = sizeof measures / sizeof *measures };

/* The two halves of the table, beside each other where there is room. */
enum { SHARES = 1, COUNTS = 2, ROOM = 77 };

static void print_measure(const measure *m, int halves, const side *a, const side *b)
{
    int64_t only_a = 0, only_b = 0, both = 0, n = (int64_t)a->n;
    for (size_t i = 0; i < a->n; i++) {
        bool x = m->holds(&a->outcomes[i]), y = m->holds(&b->outcomes[i]);
        only_a += x && !y;
        only_b += y && !x;
        both += x && y;
    }
    double of_a = 100.0 * (double)(both + only_a) / (double)n, of_b = 100.0 * (double)(both + only_b) / (double)n;
    char shares[64] = "", counts[128] = "";
    if (halves & SHARES)
        snprintf(shares, sizeof shares, " %7.2f %7.2f %+7.2f", of_a, of_b, of_b - of_a);
    if (halves & COUNTS)
        snprintf(counts, sizeof counts, " %8" PRId64 " %8" PRId64 " %8" PRId64 " %9.3g", both, only_a, only_b,
                 pg_mcnemar(only_a, only_b));
    pg_print("  %-14s%s%s\n", m->name, shares, counts);
}

static void print_measures(int halves, const side *a, const side *b)
{
    pg_print("  %-14s%s%s\n", "", halves & SHARES ? "    A, %    B, %   B - A" : "",
             halves & COUNTS ? "     both   only A   only B         p" : "");
    for (int i = 0; i < MEASURES; i++)
        if (measures[i].holds != is_attacked || (a->result.attacked_n > 0 && b->result.attacked_n > 0))
            print_measure(&measures[i], halves, a, b);
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

static int compare(pg_store *store, side *a, side *b, int64_t flips)
{
    int code = pg_store_same_images(store, a->id, b->id);
    if (code == PG_OK)
        code = read_outcomes(store, a);
    if (code == PG_OK)
        code = read_outcomes(store, b);
    if (code != PG_OK)
        return code;
    pg_print("A  %s\nB  %s\n", a->id, b->id);
    print_settings(a, b);
    print_recorded(&a->recorded, &b->recorded);
    pg_print("%zu images; p: McNemar's exact test, two-sided\n", a->n);
    size_t width = pg_print_width(stdout);
    if (width > 0 && width < ROOM) {
        print_measures(SHARES, a, b);
        print_measures(COUNTS, a, b);
    } else
        print_measures(SHARES | COUNTS, a, b);
    print_flips(a, b, flips);
    return PG_OK;
}

typedef struct arguments {
    const char *a, *b;
    int64_t flips;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "A", "a cell id or its first digits, at least four; `patchgauge ls` lists them", NULL, AT(a), PG_TEXT,
     PG_REQUIRED},
    {0, NULL, "B", "the cell to compare with", NULL, AT(b), PG_TEXT, PG_REQUIRED},
    {0, "flips", "N", "images to list whose predictions differ", "10", AT(flips), PG_INT(0, INT64_MAX)},
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    const arguments *given = request;
    side a = {0}, b = {0};
    pg_store *store = NULL;
    int code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = read_side(store, given->a, &a);
    if (code == PG_OK)
        code = read_side(store, given->b, &b);
    if (code == PG_OK)
        code = compare(store, &a, &b, given->flips);
    release_side(&a);
    release_side(&b);
    pg_store_close(store);
    if (code == PG_OK && (ferror(stdout) || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write to standard output");
    return code;
}

const pg_command pg_command_diff = {
    .name = "diff",
    .synopsis = "diff A B [--flips N]",
    .summary = "compare two cells, setting by setting and image by image",
    .help =
        "Both cells are complete and have the same images. Prints the settings that differ, what was recorded of the machines "
        "where it differs, and for clean, attacked and certified accuracy how many images only one of them has, with the p of "
        "McNemar's exact test: how likely so uneven a count would be if both were equally good.\n",
    .examples = "  patchgauge diff 2269 c3f0\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
