/* patchgauge diff: two cells, or all pairs of two sides of cells, image by image. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/text.h"
#include "harness/cmd/diff.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/only.h"
#include "harness/cmd/output.h"
#include "harness/cmd/pairs.h"
#include "harness/cmd/print.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(diff)

typedef struct arguments {
    pg_texts what, set, only;
    int64_t flips;
    pg_output output;
} arguments;

/* ---- Two sides ---- */

/* The cells of both sides, and what owns them. */
typedef struct sides {
    const char *name[2]; /* as given */
    pg_plan *plans[2];
    pg_cell_result cells[2]; /* two ids */
    pg_side of[2];
    pg_memory memory;
    int filled;          /* the side that add_stored fills, */
    pg_setting **parsed; /* and the settings of its cells */
    size_t n_parsed, parsed_room;
} sides;

static int take_cells(const pg_plan *plan, const pg_only *only, pg_memory *memory, pg_side *out)
{
    out->cells = pg_memory_take(memory, pg_plan_count(plan) + 1, sizeof *out->cells);
    if (!out->cells)
        return pg_memory_check(memory, "%zu cells", pg_plan_count(plan));
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        if (pg_only_holds(only, cell->values, cell->n_values))
            out->cells[out->n++] = (pg_side_cell){cell->id, cell->values, cell->n_values};
    }
    return PG_OK;
}

/* "KEY=VALUE KEY=VALUE" as if each had been given to --only. */
static int split_side(const char *text, pg_memory *memory, pg_texts *out)
{
    char *copy = pg_memory_take(memory, strlen(text) + 1, 1), *rest = NULL;
    out->items = pg_memory_take(memory, strlen(text) / 2 + 1, sizeof *out->items);
    if (memory->failed)
        return pg_memory_check(memory, "a side");
    strcpy(copy, text);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        out->items[out->n++] = word;
    return PG_OK;
}

static int open_plan(const pg_context *context, const arguments *a, const char *matrix, pg_plan **out)
{
    pg_matrix_args args = {.matrix = matrix, .overrides = a->set, .only = a->only};
    return pg_matrix_args_show(context, &args, out);
}

/* Both sides are cells of one matrix. */
static int sides_of_matrix(const pg_context *context, const arguments *a, const char *matrix, sides *out)
{
    int code = open_plan(context, a, matrix, &out->plans[0]);
    for (int i = 0; code == PG_OK && i < 2; i++) {
        pg_texts given = {0};
        pg_only only = {0};
        code = split_side(out->name[i], &out->memory, &given);
        if (code == PG_OK)
            code = pg_only_resolve(i ? "B" : "A", &given, out->plans[0], &only);
        if (code == PG_OK)
            code = take_cells(out->plans[0], &only, &out->memory, &out->of[i]);
        if (code == PG_OK && out->of[i].n == 0)
            code = pg_fail(PG_EINPUT, "%s: no cell has all of what %s asks for", matrix, out->name[i]);
        pg_only_release(&only);
    }
    return code;
}

static int add_stored(const pg_cell_line *line, void *context)
{
    sides *s = context;
    pg_side *side = &s->of[s->filled];
    const char *texts[] = {line->settings, line->details};
    pg_setting *settings = NULL;
    size_t n = 0;
    int code = pg_settings_parse(texts, 2, &settings, &n);
    if (code != PG_OK)
        return code;
    pg_setting **kept = pg_grow(s->parsed, s->n_parsed, &s->parsed_room, sizeof *kept);
    if (!kept) {
        free(settings);
        return PG_ENOMEM;
    }
    s->parsed = kept;
    s->parsed[s->n_parsed++] = settings;
    char *id = pg_memory_take(&s->memory, PG_HASH_HEX, 1);
    if (!id)
        return pg_memory_check(&s->memory, "a cell");
    memcpy(id, line->cell_id, PG_HASH_HEX);
    side->cells[side->n++] = (pg_side_cell){id, settings, n};
    return PG_OK;
}

/* Both sides are cells of the database; --only counts for each. */
static int sides_of_store(const arguments *a, pg_store *store, sides *out)
{
    int code = a->set.n == 0 ? PG_OK : pg_fail(PG_EUSAGE, "diff: -S replaces a key of a matrix file, and there is none");
    for (int i = 0; code == PG_OK && i < 2; i++) {
        pg_texts given = {0}, all = {0};
        pg_cell_set set = {0};
        code = split_side(out->name[i], &out->memory, &given);
        all.items = code == PG_OK ? pg_memory_take(&out->memory, given.n + a->only.n, sizeof *all.items) : NULL;
        if (code == PG_OK && !all.items)
            code = pg_memory_check(&out->memory, "a side");
        for (size_t k = 0; code == PG_OK && k < given.n; k++)
            all.items[all.n++] = given.items[k];
        for (size_t k = 0; code == PG_OK && k < a->only.n; k++)
            all.items[all.n++] = a->only.items[k];
        if (code == PG_OK)
            code = pg_only_choose_stored(i ? "B" : "A", &all, store, -1, &set);
        out->filled = i;
        out->of[i].cells = code == PG_OK ? pg_memory_take(&out->memory, set.n + 1, sizeof *out->of[i].cells) : NULL;
        if (code == PG_OK && !out->of[i].cells)
            code = pg_memory_check(&out->memory, "%zu cells", set.n);
        if (code == PG_OK)
            code = pg_store_each_line(store, set.cells, set.n, add_stored, out);
        pg_cell_set_release(&set);
    }
    return code;
}

static int sides_of_files(const pg_context *context, const arguments *a, sides *out)
{
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < 2; i++) {
        code = open_plan(context, a, out->name[i], &out->plans[i]);
        if (code == PG_OK)
            code = take_cells(out->plans[i], &(pg_only){0}, &out->memory, &out->of[i]);
    }
    return code;
}

static int sides_of_ids(const arguments *a, pg_store *store, sides *out)
{
    int code = a->set.n + a->only.n == 0
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "diff: -S and --only are for cells of a matrix, and %s is one cell", out->name[0]);
    for (int i = 0; code == PG_OK && i < 2; i++) {
        char id[PG_HASH_HEX];
        code = pg_store_resolve(store, out->name[i], id);
        if (code == PG_OK)
            code = pg_store_cell(store, id, &out->cells[i]);
        out->of[i].cells = code == PG_OK ? pg_memory_take(&out->memory, 1, sizeof *out->of[i].cells) : NULL;
        if (!out->of[i].cells)
            return code == PG_OK ? pg_memory_check(&out->memory, "a cell") : code;
        out->of[i].cells[out->of[i].n++] =
            (pg_side_cell){out->cells[i].cell_id, out->cells[i].settings, out->cells[i].n_settings};
    }
    return code;
}

typedef enum kind { IDS, FILES, SETTINGS } kind;

static kind kind_of(const char *text)
{
    size_t size = strlen(text);
    return strchr(text, '=') ? SETTINGS : size > 5 && strcmp(text + size - 5, ".toml") == 0 ? FILES : IDS;
}

/* What the operands are: two of a kind, settings behind their matrix. */
static int classify(const arguments *a, kind *out)
{
    size_t n = a->what.n;
    const char *const *given = a->what.items, *const *last = given + n - 2;
    bool same = n >= 2 && kind_of(last[0]) == kind_of(last[1]);
    *out = same ? kind_of(last[0]) : IDS;
    if (!same || n > 3 || (n == 3 && (*out != SETTINGS || kind_of(given[0]) != FILES)))
        return pg_fail(PG_EUSAGE, "diff: %s; usage: patchgauge %s",
                       n < 2 ? "B is missing"
                             : "right would be two cells, two matrix files, or two settings, of a matrix or not",
                       pg_command_diff.synopsis);
    return PG_OK;
}

static int open_sides(const pg_context *context, const arguments *a, kind what, pg_store *store, sides *out)
{
    *out = (sides){.name = {a->what.items[a->what.n - 2], a->what.items[a->what.n - 1]}};
    switch (what) {
    case SETTINGS:
        return a->what.n == 3 ? sides_of_matrix(context, a, a->what.items[0], out) : sides_of_store(a, store, out);
    case FILES:
        return sides_of_files(context, a, out);
    default:
        return sides_of_ids(a, store, out);
    }
}

static void release_sides(sides *s)
{
    for (int i = 0; i < 2; i++) {
        pg_plan_free(s->plans[i]);
        pg_cell_result_release(&s->cells[i]);
    }
    for (size_t i = 0; i < s->n_parsed; i++)
        free(s->parsed[i]);
    free(s->parsed);
    pg_memory_free(&s->memory);
}

/* ---- The table of pairs ---- */

static const char *const heads[] = {"n", "a", "b", "difference", "both", "only_a", "only_b", "neither", "p"};
static const char *const titles[] = {"n", "A, %", "B, %", "B - A", "both", "only A", "only B", "neither", "p"};
enum { NUMBERS = sizeof heads / sizeof *heads, UNPAIRED_SHOWN = 20 };

/* A column of settings: of both cells of a pair, or of one. */
typedef struct column {
    const char *name;
    bool of_a, of_b;
} column;

typedef struct listing {
    pg_store *store;
    const sides *sides;
    pg_pairs pairs;
    column *columns;
    size_t n_columns;
    pg_tabular g;
    size_t incomplete;
} listing;

/* Whether a matrix lets a setting vary, rather than that cells of several defenses have several defaults. */
static bool is_axis(const sides *s, const char *name)
{
    bool is = !s->plans[0]; /* cells of the database: whatever varies */
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; s->plans[i] && k < pg_plan_axes(s->plans[i]); k++) {
            const char *axis = pg_plan_axis(s->plans[i], k), *dot = strchr(axis, '.');
            is |= strcmp(axis, name) == 0 || (dot && strcmp(dot + 1, name) == 0);
        }
    return is;
}

/* Programs get all settings that pair, and both values of the others; people those that tell pairs apart. */
static void choose_columns(listing *l, bool all)
{
    const pg_pairs *p = &l->pairs;
    for (size_t i = 0; i < p->n_same; i++)
        if (all || (is_axis(l->sides, p->same[i]) && pg_pairs_vary(p, p->same[i], false)))
            l->columns[l->n_columns++] = (column){p->same[i], true, true};
    for (size_t i = 0; i < p->n_other; i++)
        for (int b = 0; b < 2; b++)
            if (all || (is_axis(l->sides, p->other[i]) && pg_pairs_vary(p, p->other[i], b)))
                l->columns[l->n_columns++] = (column){p->other[i], !b, b};
}

static void add_heads(listing *l, bool all)
{
    if (all) {
        pg_tabular_words(&l->g, "cell_a");
        pg_tabular_words(&l->g, "cell_b");
    }
    for (size_t i = 0; i < l->n_columns; i++) {
        const column *c = &l->columns[i];
        const char *end = c->of_a && c->of_b ? "" : c->of_a ? "_a" : "_b";
        pg_buf *out = pg_tabular_add(&l->g, PG_TABULAR_WORDS);
        if (all)
            pg_buf_printf(out, "%s%s", pg_pairs_key(&l->pairs, c->name, c->of_a, c->of_b), end);
        else
            pg_buf_printf(out, "%s%s", *end == '\0' ? "" : c->of_a ? "A " : "B ", c->name);
    }
    pg_tabular_words(&l->g, "metric");
    for (size_t i = 0; i < NUMBERS; i++)
        pg_buf_puts(pg_tabular_add(&l->g, PG_TABULAR_NUMBER), all ? heads[i] : titles[i]);
}

static void add_settings(listing *l, const pg_pair *pair, bool all)
{
    if (all) {
        pg_tabular_words(&l->g, pair->a ? pair->a->id : NULL);
        pg_tabular_words(&l->g, pair->b ? pair->b->id : NULL);
    }
    for (size_t i = 0; i < l->n_columns; i++) {
        const column *c = &l->columns[i];
        const pg_side_cell *cell = c->of_a && pair->a ? pair->a : c->of_b ? pair->b : NULL;
        const char *value = cell ? pg_side_value(cell, c->name) : "";
        if (all)
            pg_tabular_words(&l->g, *value ? value : NULL);
        else
            pg_tabular_escape(l->g.format, *value ? value : "-", " ", pg_tabular_add(&l->g, PG_TABULAR_WORDS));
    }
}

/* A metric of a pair; counts NULL: of cells that are not complete. */
static void add_numbers(listing *l, const char *metric, const pg_diff_counts *c, bool all)
{
    pg_tabular_words(&l->g, metric);
    if (!c) {
        for (size_t i = 0; i < NUMBERS; i++)
            pg_tabular_words(&l->g, NULL);
        return;
    }
    const double shares[] = {c->a, c->b, c->b - c->a};
    pg_tabular_number(&l->g, c->n);
    for (size_t i = 0; i < 3; i++)
        if (all)
            pg_tabular_real(&l->g, shares[i]);
        else
            pg_buf_printf(pg_tabular_add(&l->g, PG_TABULAR_NUMBER), i == 2 ? "%+.2f" : "%.2f", shares[i]);
    pg_tabular_number(&l->g, c->both);
    pg_tabular_number(&l->g, c->only_a);
    pg_tabular_number(&l->g, c->only_b);
    pg_tabular_number(&l->g, c->n - c->both - c->only_a - c->only_b);
    if (all)
        pg_tabular_real(&l->g, c->p);
    else
        pg_buf_printf(pg_tabular_add(&l->g, PG_TABULAR_NUMBER), "%.3g", c->p);
}

static int add_pair(listing *l, const pg_pair *pair, bool all)
{
    pg_diff_side cells[2] = {0};
    pg_diff_counts counts;
    int code = pair->a && pair->b ? pg_diff_read(l->store, pair->a->id, pair->b->id, cells) : PG_EMISSING;
    bool complete = code == PG_OK;
    l->incomplete += !complete && pair->a && pair->b;
    if (code != PG_OK && code != PG_EMISSING && code != PG_EINPUT) {
        pg_diff_release(cells);
        return code;
    }
    for (int i = 0; complete && i < PG_DIFF_MEASURES; i++)
        if (pg_diff_count(cells, i, &counts)) {
            add_settings(l, pair, all);
            add_numbers(l, pg_diff_metrics[i], &counts, all);
        }
    if (!complete) {
        add_settings(l, pair, all);
        add_numbers(l, NULL, NULL, all);
    }
    pg_diff_release(cells);
    return PG_OK;
}

/* "only in A: 1d16a99572d8 patch=7", of the settings that tell cells apart. */
static void note_unpaired(listing *l)
{
    const pg_pairs *p = &l->pairs;
    for (size_t i = p->paired; i < p->n && i < p->paired + UNPAIRED_SHOWN; i++) {
        const pg_side_cell *cell = p->items[i].a ? p->items[i].a : p->items[i].b;
        pg_buf_printf(&l->g.notes, "only in %c: %.12s", p->items[i].a ? 'A' : 'B', cell->id);
        const char *const *lists[] = {p->same, p->other};
        const size_t sizes[] = {p->n_same, p->n_other};
        for (int k = 0; k < 2; k++)
            for (size_t s = 0; s < sizes[k]; s++) {
                const char *value = pg_side_value(cell, lists[k][s]);
                if (*value && is_axis(l->sides, lists[k][s]) && pg_pairs_tells(p, lists[k][s])) {
                    pg_buf_printf(&l->g.notes, " %s=", lists[k][s]);
                    pg_tabular_escape(l->g.format, value, " ", &l->g.notes);
                }
            }
        pg_buf_puts(&l->g.notes, "\n");
    }
    if (p->n > p->paired + UNPAIRED_SHOWN)
        pg_buf_printf(&l->g.notes, "and %zu more without a counterpart; -f csv has them all\n",
                      p->n - p->paired - UNPAIRED_SHOWN);
}

static void describe(listing *l)
{
    const pg_pairs *p = &l->pairs;
    const char *before = " but ";
    for (int i = 0; i < 2; i++) {
        pg_buf_printf(&l->g.head, "%c  ", i ? 'B' : 'A');
        pg_tabular_escape(l->g.format, l->sides->name[i], " ", &l->g.head);
        pg_buf_puts(&l->g.head, "\n");
    }
    pg_buf_printf(&l->g.head, "%zu pair%s, equal in all settings that both have", p->paired, pg_plural((int64_t)p->paired));
    for (size_t i = 0; i < p->n_other; i++)
        if (pg_pairs_differ(p, p->other[i])) {
            pg_buf_printf(&l->g.head, "%s%s", before, p->other[i]);
            before = ", ";
        }
    pg_buf_puts(&l->g.head, "\np: McNemar's exact test, two-sided\n");
}

static int print_pairs(listing *l, const pg_output *output)
{
    pg_table_format format = (pg_table_format)output->format;
    bool all = pg_format_is_rows(format);
    int code = pg_pairs_make(&l->sides->of[0], &l->sides->of[1], &l->pairs);
    if (code != PG_OK)
        return code;
    l->columns = pg_memory_take(&l->pairs.memory, l->pairs.n_same + 2 * l->pairs.n_other + 1, sizeof *l->columns);
    if (!l->columns)
        return pg_memory_check(&l->pairs.memory, "a table");
    choose_columns(l, all);
    pg_tabular_init(&l->g, format, l->n_columns + 1 + NUMBERS + 2 * all, l->n_columns + 1);
    l->g.form = "diff";
    l->g.absent = all ? "" : "-";
    l->g.page = all ? 0 : pg_print_width(stdout);
    add_heads(l, all);
    for (size_t i = 0; code == PG_OK && i < (all ? l->pairs.n : l->pairs.paired); i++) {
        code = add_pair(l, &l->pairs.items[i], all);
        if (code == PG_OK)
            code = pg_output_rows(output, &l->g);
    }
    describe(l);
    note_unpaired(l);
    if (l->incomplete > 0)
        pg_buf_printf(&l->g.notes, "%zu pair%s not compared: not complete, or of other images\n", l->incomplete,
                      l->incomplete == 1 ? " is" : "s are");
    if (code == PG_OK)
        code = pg_output_table(output, &l->g);
    pg_tabular_release(&l->g);
    return code;
}

/* ---- The command ---- */

static int print_cells(pg_store *store, const sides *s, int64_t flips)
{
    pg_diff_side cells[2] = {0};
    int code = pg_diff_read(store, s->of[0].cells->id, s->of[1].cells->id, cells);
    if (code == PG_OK)
        pg_diff_print(cells, flips);
    pg_diff_release(cells);
    return code;
}

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "WHAT", "two cell ids or their first digits, at least four; two matrix files; or a matrix file and two settings",
     NULL, AT(what), PG_TEXTS},
    {0, "flips", "N", "of two ids: images to list whose predictions differ", "10", AT(flips), PG_INT(0, INT64_MAX)},
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_SET_ROW(AT(set), "replace a key of the matrix files, as in `run`"),
    PG_ONLY_ROW(AT(only)),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    listing l = {0};
    sides s = {0};
    kind what = IDS;
    int code = classify(a, &what);
    if (code == PG_OK)
        code = pg_output_begin(&a->output, (const char *const[]){context->db_path, NULL});
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_READ, &l.store);
    if (code == PG_OK)
        code = open_sides(context, a, what, l.store, &s);
    l.sides = &s;
    if (code == PG_OK)
        code =
            what == IDS && a->output.format == PG_TABLE_TEXT ? print_cells(l.store, &s, a->flips) : print_pairs(&l, &a->output);
    pg_pairs_release(&l.pairs);
    release_sides(&s);
    pg_store_close(l.store);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_diff = {
    .name = "diff",
    .synopsis = "diff A B | A.toml B.toml | [MATRIX.toml] KEY=VALUE KEY=VALUE [options]",
    .summary = "compare two cells, or all pairs of two sides of cells, image by image",
    .help =
        "Two cells: prints the settings that differ, what was recorded of the machines where it differs, and for clean, "
        "attacked and certified accuracy how many images only one of them has, with the p of McNemar's exact test: how likely "
        "so uneven a count would be if both were equally good. Both cells are complete and have the same images.\n"
        "\n"
        "Two matrix files, or two settings of the cells of one matrix: the same counts for each pair, a table. Cells are "
        "paired "
        "by all settings that both sides have, but those that differ overall: those of which no value of A is one of B. A side "
        "may be several settings with blanks between them: \"defense=robust-masking threshold=0.2\".\n",
    .examples = "  patchgauge diff 2269 c3f0\n"
                "  patchgauge diff experiments/demo.toml defense=ds defense=robust-masking -f csv\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
