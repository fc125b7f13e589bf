/* patchgauge best: the best row of several matrices for each patch, chosen on other images where --by names some. */
#include "harness/cmd/layout.h"
#include "harness/cmd/output.h"

#include <stdlib.h>
#include <string.h>

PG_COMMAND(best)

typedef struct arguments {
    pg_texts matrices, set, by; /* by: each "KEY=VALUE KEY=VALUE", for all matrices */
    const char *rows, *metric;
    pg_output output;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row rows[] = {
    {0, NULL, "MATRIX.toml", NULL, NULL, AT(matrices), PG_TEXTS, PG_REQUIRED},
    {0, "rows", "KEYS", "settings that make the rows, comma-separated", "defense", AT(rows), PG_TEXT_FULL},
    {0, "metric", "NAME", "what is best, as in `table --metrics`", "certified", AT(metric), PG_TEXT_FULL},
    {0, "by", "SETTINGS",
     "choose by the cells that have these settings instead, KEY=VALUE with blanks between them; may be given several times, "
     "for other numbers of images",
     NULL, AT(by), PG_TEXTS},
    {'S', "set", "KEY=VALUE", "as in `table`, for all matrices", NULL, AT(set), PG_TEXTS},
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_table_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

/* The cells of one matrix with the settings of one --by. */
typedef struct source {
    pg_layout layout;
    pg_buf settings; /* of --by, cut at its blanks */
} source;

typedef struct search {
    const arguments *a;
    source *sources; /* [1 + by.n][matrices.n]; the first of them without --by */
    const pg_metric *metric;
} search;

static const pg_layout *layout_of(const search *s, size_t by, size_t matrix)
{
    return &s->sources[by * s->a->matrices.n + matrix].layout;
}

static int read_source(const pg_context *context, const arguments *a, size_t by, size_t matrix, source *out)
{
    pg_buf metrics = PG_BUF_EMPTY;
    pg_buf_printf(&metrics, "clean,%s", a->metric);
    out->settings = PG_BUF_EMPTY;
    pg_buf_puts(&out->settings, by > 0 ? a->by.items[by - 1] : "");
    int code = pg_buf_check(&metrics) == PG_OK ? pg_buf_check(&out->settings) : PG_ENOMEM;
    const char **items = calloc(a->set.n + out->settings.size + 1, sizeof *items);
    if (code == PG_OK && !items)
        code = pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK) {
        pg_layout_request request = {.matrix = {.matrix = a->matrices.items[matrix], .overrides = {.items = items}},
                                     .rows = a->rows,
                                     .cols = "patch",
                                     .metrics = metrics.data};
        for (size_t i = 0; i < a->set.n; i++)
            items[request.matrix.overrides.n++] = a->set.items[i];
        for (char *rest, *word = strtok_r(out->settings.data, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
            items[request.matrix.overrides.n++] = word;
        code = pg_layout_make(context, &request, &out->layout);
    }
    free(items);
    pg_buf_release(&metrics);
    return code;
}

/* A complete cell that has the metric. */
static bool counts(const search *s, const pg_table_entry *e)
{
    return e->n > 0 && e->n == e->expected && pg_metric_of(s->metric, e) >= 0;
}

/* The cell of a row and column of a matrix that --by number `by` names, with n images (0: any); NULL: none. */
static const pg_table_entry *chosen_by(const search *s, size_t by, size_t matrix, const pg_table_entry *e, int64_t n)
{
    const pg_layout *layout = layout_of(s, by, matrix);
    for (size_t i = 0; i < layout->table.n_entries; i++) {
        const pg_table_entry *x = &layout->entries[i];
        if (counts(s, x) && (n == 0 || x->n == n) && strcmp(x->row, e->row) == 0 && strcmp(x->column, e->column) == 0)
            return x;
    }
    return NULL;
}

static const pg_table_entry *find(const search *s, size_t matrix, const pg_table_entry *e, int64_t n)
{
    const pg_table_entry *found = NULL;
    for (size_t by = 1; !found && by <= s->a->by.n; by++)
        found = chosen_by(s, by, matrix, e, n);
    return found;
}

/* The cells of the first layouts in column `column`, one after the other: cell i, NULL behind the last. */
static const pg_table_entry *row_at(const search *s, const char *column, size_t i, size_t *matrix)
{
    for (*matrix = 0; *matrix < s->a->matrices.n; ++*matrix) {
        const pg_layout *layout = layout_of(s, 0, *matrix);
        for (size_t k = 0; k < layout->table.n_entries; k++)
            if (counts(s, &layout->entries[k]) && strcmp(layout->entries[k].column, column) == 0 && i-- == 0)
                return &layout->entries[k];
    }
    return NULL;
}

/* The most images that every row of the column which any --by knows has in one of them; 0: there is no such number. */
static int64_t common_images(const search *s, const char *column)
{
    int64_t most = 0;
    const pg_table_entry *e, *x;
    size_t matrix, other;
    for (size_t i = 0; (e = row_at(s, column, i, &matrix)) != NULL; i++)
        for (size_t by = 1; by <= s->a->by.n; by++) {
            if (!(x = chosen_by(s, by, matrix, e, 0)) || x->n <= most)
                continue;
            const pg_table_entry *row;
            bool all = true;
            for (size_t k = 0; all && (row = row_at(s, column, k, &other)) != NULL; k++)
                all = !find(s, other, row, 0) || find(s, other, row, x->n);
            if (all)
                most = x->n;
        }
    return most;
}

/* The better one of two shares; a share of nothing is no candidate. */
static bool is_better(const search *s, const pg_table_entry *x, const pg_table_entry *than)
{
    int64_t count = pg_metric_of(s->metric, x);
    if (s->metric->better > 0 && count == 0)
        return false;
    if (!than)
        return true;
    int64_t left = count * pg_metric_base(s->metric, than),
            right = pg_metric_of(s->metric, than) * pg_metric_base(s->metric, x);
    return s->metric->better > 0 ? left > right : left < right;
}

/* In percent; for people with one decimal, of a share the nearest one. */
static void add_percent(double value, double shown, pg_tabular *g)
{
    if (pg_format_is_rows(g->format))
        pg_tabular_real(g, value);
    else
        pg_buf_printf(pg_tabular_add(g, PG_TABULAR_NUMBER), "%.1f", shown);
}

static void add_share(int64_t count, int64_t n, pg_tabular *g)
{
    add_percent(100.0 * (double)count / (double)n, pg_percent(count, n, 1), g);
}

static void add_column(const search *s, const char *column, pg_tabular *g)
{
    const pg_table_entry *best = NULL, *best_by = NULL, *e;
    int64_t n = s->a->by.n > 0 ? common_images(s, column) : 0;
    size_t matrix;
    for (size_t i = 0; (e = row_at(s, column, i, &matrix)) != NULL; i++) {
        const pg_table_entry *by = s->a->by.n == 0 ? e : n > 0 ? find(s, matrix, e, n) : NULL;
        if (by && is_better(s, by, best_by)) {
            best = e;
            best_by = by;
        }
    }
    if (!best)
        return;
    pg_interval share = pg_wilson(pg_metric_of(s->metric, best), pg_metric_base(s->metric, best));
    pg_tabular_escape(g->format, best->column, " ", pg_tabular_add(g, PG_TABULAR_WORDS));
    pg_tabular_escape(g->format, best->row, " ", pg_tabular_add(g, PG_TABULAR_WORDS));
    if (pg_format_is_rows(g->format))
        pg_tabular_words(g, s->metric->name);
    add_share(pg_metric_of(s->metric, best), pg_metric_base(s->metric, best), g);
    add_percent(100 * share.lo, 100 * share.lo, g);
    add_percent(100 * share.hi, 100 * share.hi, g);
    pg_tabular_number(g, best->n);
    add_share(best->clean, best->n, g);
    add_share(pg_metric_of(s->metric, best_by), pg_metric_base(s->metric, best_by), g);
    pg_tabular_number(g, best_by->n);
}

static int by_version(const void *a, const void *b) { return strverscmp(*(const char *const *)a, *(const char *const *)b); }

/* The columns of all matrices, once each, in the order of their numbers. */
static int add_columns(const search *s, pg_tabular *g)
{
    size_t total = 0, n = 0;
    for (size_t m = 0; m < s->a->matrices.n; m++)
        total += layout_of(s, 0, m)->table.n_entries;
    const char **columns = calloc(total + 1, sizeof *columns);
    if (!columns)
        return pg_fail(PG_ENOMEM, "out of memory for %zu columns", total);
    for (size_t m = 0; m < s->a->matrices.n; m++)
        for (size_t i = 0; i < layout_of(s, 0, m)->table.n_entries; i++)
            columns[n++] = layout_of(s, 0, m)->entries[i].column;
    qsort(columns, n, sizeof *columns, by_version);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(columns[i], columns[i - 1]) != 0)
            add_column(s, columns[i], g);
    free(columns);
    return PG_OK;
}

static int print(const search *s)
{
    static const char *const numbers[] = {NULL, "lo", "hi", "n", "clean", "by", "of"};
    pg_tabular g;
    bool typed = pg_format_is_rows((pg_table_format)s->a->output.format);
    pg_tabular_init(&g, (pg_table_format)s->a->output.format, typed ? 10 : 9, 1);
    g.form = "best";
    pg_buf_puts(pg_tabular_add(&g, PG_TABULAR_WORDS), "patch");
    pg_buf_puts(pg_tabular_add(&g, PG_TABULAR_WORDS), "row");
    if (typed)
        pg_tabular_words(&g, "metric");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        pg_buf_puts(pg_tabular_add(&g, PG_TABULAR_NUMBER), numbers[i] ? numbers[i] : typed ? "value" : s->metric->name);
    int code = add_columns(s, &g);
    if (code == PG_OK)
        code = pg_output_table(&s->a->output, &g);
    pg_tabular_release(&g);
    return code;
}

static int begin(const pg_context *context, arguments *a)
{
    const char **inputs = calloc(a->matrices.n + 2, sizeof *inputs);
    if (inputs == NULL)
        return pg_fail(PG_ENOMEM, "out of memory");
    memcpy(inputs, a->matrices.items, a->matrices.n * sizeof *inputs);
    inputs[a->matrices.n] = context->db_path;
    int code = pg_output_begin(&a->output, inputs);
    free(inputs);
    return code;
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    size_t n = (1 + a->by.n) * a->matrices.n;
    search s = {.a = a, .sources = calloc(n, sizeof *s.sources)};
    int code = s.sources ? pg_metric_find(a->metric, &s.metric) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK && (s.metric->kind != PG_METRIC_SHARE || s.metric->better == 0))
        code = pg_fail(PG_EUSAGE, "best: --metric %s: right would be a share of images of which more or less is better",
                       a->metric);
    if (code == PG_OK)
        code = begin(context, a);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        code = read_source(context, a, i / a->matrices.n, i % a->matrices.n, &s.sources[i]);
    if (code == PG_OK)
        code = print(&s);
    code = pg_output_end(&a->output, code);
    for (size_t i = 0; s.sources && i < n; i++) {
        pg_layout_release(&s.sources[i].layout);
        pg_buf_release(&s.sources[i].settings);
    }
    free(s.sources);
    return code;
}

const pg_command pg_command_best = {
    .name = "best",
    .synopsis = "best MATRIX.toml... [options]",
    .summary = "name the best row of several matrices for each patch",
    .help =
        "One line for each patch: of all rows whose cells are complete the one with the best share, its 95% Wilson interval, "
        "the number of its images and its clean accuracy. `by` and `of` are the share that it was chosen by, and of how many "
        "images. With --by a row is chosen on other images, as those of validation: rows are compared on the largest number of "
        "images that all of them have in one of the --by; rows without such cells are left out.\n",
    .examples = "  patchgauge best experiments/demo.toml\n"
                "  patchgauge best experiments/demo.toml --by dataset=synthetic:val --metric clean -f csv\n",
    .rows = rows,
    .request_size = sizeof(arguments),
    .run = run,
};
