/* See tidy.h. */
#include "harness/cmd/tidy.h"

#include "harness/base/grid.h"
#include "harness/base/log.h"
#include "harness/base/memory.h"
#include "harness/base/names.h"
#include "harness/base/stats.h"
#include "harness/plan/keys.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pg_tidy_column {
    char *key;
    const pg_option *option; /* of a module that is there; else NULL: words, but for a few keys */
    const char *fallback;    /* of a key that older cells may not have; NULL: none */
    const char *value;       /* in the cell that is printed; NULL: none */
};

/* ---- Columns: settings, sorted by key --------------------------------------------------------------------------------- */

/* Columns that are always there and come first, in this order; the others follow by name. */
static const char *const first_keys[] = {"dataset",     "weights", "model", "defense", "certificate", "patch", "attack",
                                         "patch-space", "delta",   "batch", "dtype",   "seed",        "images"};
enum { FIRST = sizeof first_keys / sizeof *first_keys, SIZES = 4 };
static const char *const size_names[SIZES] = {"patch_height", "patch_width", "image_height", "image_width"};

/* Whether a key is no setting but a fact about a cell that has no column: hashes, versions, what was measured. */
static bool is_derived(const char *key)
{
    static const char *const facts[] = {"affected", "attack", "dataset",  "defense", "delta", "image",
                                        "input",    "label",  "locality", "model",   "patch", "weights"};
    static const char *const where_given[] = {"outputs", "predict"}; /* settings that most cells do not have */
    size_t size = strcspn(key, ".");
    for (size_t i = 0; key[size] == '\0' && i < FIRST; i++)
        if (strcmp(key, first_keys[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof where_given / sizeof *where_given; i++)
        if (strcmp(key, where_given[i]) == 0)
            return false;
    for (size_t i = 0; key[size] == '.' && i < sizeof facts / sizeof *facts; i++)
        if (strlen(facts[i]) == size && memcmp(key, facts[i], size) == 0)
            return true;
    return key[size] == '\0';
}

static const pg_option *option_of(const char *key)
{
    const char *kind, *dot = strchr(key, '.');
    char name[PG_KEY_MAX];
    if (dot == NULL || (size_t)(dot - key) >= sizeof name)
        return NULL;
    memcpy(name, key, (size_t)(dot - key));
    name[dot - key] = '\0';
    const pg_module *module = pg_modules_find(name, &kind);
    return module != NULL ? pg_option_find(module->options, dot + 1) : NULL;
}

/* The place of a key among the columns from `from` on, or the one that it would have. */
static size_t place_of(const pg_tidy *t, const char *key, size_t from)
{
    while (from < t->n_columns && strcmp(t->columns[from].key, key) < 0)
        from++;
    return from;
}

static bool is_column(const pg_tidy *t, const char *key, size_t at)
{
    return at < t->n_columns && strcmp(t->columns[at].key, key) == 0;
}

static int add_column(pg_tidy *t, const char *key, size_t at)
{
    pg_tidy_column *grown = pg_grow(t->columns, t->n_columns, &t->room, sizeof *grown);
    char *copy = strdup(key);
    t->columns = grown != NULL ? grown : t->columns;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return pg_fail(PG_ENOMEM, "out of memory for a column");
    }
    memmove(grown + at + 1, grown + at, (t->n_columns++ - at) * sizeof *grown);
    grown[at] = (pg_tidy_column){.key = copy, .option = option_of(key)};
    for (size_t i = 0; i < PG_KEYS; i++)
        grown[at].fallback = strcmp(pg_keys[i].name, key) == 0 ? pg_keys[i].fallback : grown[at].fallback;
    return PG_OK;
}

/* Columns that no cell has to have. */
static int add_first(pg_tidy *t)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && t->n_columns < FIRST && i < FIRST; i++)
        code = add_column(t, first_keys[i], place_of(t, first_keys[i], 0));
    return code;
}

int pg_tidy_keys(pg_tidy *t, const pg_setting *settings, size_t n)
{
    int code = add_first(t);
    for (size_t i = 0, at = 0; code == PG_OK && i < n; i++) {
        at = place_of(t, settings[i].key, at);
        if (!is_column(t, settings[i].key, at) && !is_derived(settings[i].key))
            code = add_column(t, settings[i].key, at);
    }
    return code;
}

/* The columns as they are shown; *new*. */
static int arrange(pg_tidy *t)
{
    size_t n = 0;
    t->shown = calloc(t->n_columns + 1, sizeof *t->shown);
    bool *placed = calloc(t->n_columns + 1, sizeof *placed);
    if (t->shown == NULL || placed == NULL) {
        free(placed);
        return pg_fail(PG_ENOMEM, "out of memory for %zu columns", t->n_columns);
    }
    for (size_t i = 0; i < FIRST; i++) {
        size_t at = place_of(t, first_keys[i], 0);
        placed[at] = true;
        t->shown[n++] = &t->columns[at];
    }
    for (size_t i = 0; i < t->n_columns; i++)
        if (!placed[i])
            t->shown[n++] = &t->columns[i];
    free(placed);
    return PG_OK;
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------------- */

static bool is_share(const pg_metric *metric) { return metric->kind == PG_METRIC_SHARE; }

static void add_heading(pg_tidy *t, const char *name, const char *suffix)
{
    pg_buf_printf(pg_tabular_add(&t->rows, PG_TABULAR_WORDS), "%s%s", name, suffix);
}

/* A metric that a key is called like, too, has "_value" behind its name. */
static void add_metric_headings(pg_tidy *t, const pg_metric *metric)
{
    add_heading(t, metric->name, is_column(t, metric->name, place_of(t, metric->name, 0)) ? "_value" : "");
    for (int i = 0; is_share(metric) && i < 3; i++)
        add_heading(t, metric->name, (const char *const[]){"_lo", "_hi", "_count"}[i]);
    for (int i = 0; t->paper && i < 2; i++)
        add_heading(t, metric->name, (const char *const[]){"_paper", "_difference"}[i]);
}

static int begin(pg_tidy *t)
{
    static const char *const long_names[] = {"metric", "value", "lo", "hi", "n", "count", "paper", "difference"};
    size_t metrics = t->paper ? 8 : 6, n;
    int code = add_first(t);
    if (code == PG_OK)
        code = arrange(t);
    if (code != PG_OK)
        return code;
    n = t->n_columns + SIZES + 3 + (t->wide ? 1 : metrics);
    for (size_t m = 0; t->wide && m < t->n_metrics; m++)
        n += (is_share(t->metrics[m]) ? 4 : 1) + (t->paper ? 2 : 0);
    pg_tabular_init(&t->rows, (pg_table_format)t->output->format, n, 1);
    t->rows.form = t->form;
    for (size_t i = 0; i < t->n_columns; i++)
        add_heading(t, t->shown[i]->key, "");
    for (size_t i = 0; i < SIZES; i++)
        add_heading(t, size_names[i], "");
    add_heading(t, "cell", "");
    add_heading(t, "state", "");
    if (t->wide)
        add_heading(t, "n", "");
    for (size_t i = 0; !t->wide && i < metrics; i++)
        add_heading(t, long_names[i], "");
    for (size_t m = 0; t->wide && m < t->n_metrics; m++)
        add_metric_headings(t, t->metrics[m]);
    add_heading(t, "same_as", "");
    return PG_OK;
}

/* What a value is by its option. Of a module that is not in this program, it is by how it looks. */
static pg_option_type type_of(const pg_tidy_column *column)
{
    int64_t integer;
    double real;
    if (column->option != NULL)
        return column->option->type;
    if (strcmp(column->key, "batch") == 0 || strcmp(column->key, "seed") == 0)
        return PG_OPTION_INT;
    if (strchr(column->key, '.') == NULL)
        return PG_OPTION_TEXT;
    return pg_parse_int(column->value, &integer) == PG_OK   ? PG_OPTION_INT
           : pg_parse_double(column->value, &real) == PG_OK ? PG_OPTION_DECIMAL
                                                            : PG_OPTION_BOOL;
}

static void add_setting(pg_tidy *t, const pg_tidy_column *column)
{
    const char *value = column->value;
    int64_t integer;
    double real;
    if (value == NULL || *value == '\0') {
        pg_tabular_words(&t->rows, NULL);
        return;
    }
    pg_option_type type = type_of(column);
    if (type == PG_OPTION_INT && pg_parse_int(value, &integer) == PG_OK)
        pg_tabular_integer(&t->rows, integer);
    else if ((type == PG_OPTION_DECIMAL || type == PG_OPTION_PPM) && pg_parse_double(value, &real) == PG_OK && isfinite(real))
        pg_tabular_real(&t->rows, real);
    else if (type == PG_OPTION_BOOL && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0))
        pg_tabular_bool(&t->rows, *value == 't');
    else
        pg_tabular_words(&t->rows, value);
}

/* What all rows of a cell begin with. */
static void add_cell(pg_tidy *t, const pg_table_entry *entry)
{
    for (size_t i = 0; i < t->n_columns; i++)
        add_setting(t, t->shown[i]);
    const int sizes[SIZES] = {entry->patch_height, entry->patch_width, entry->image_height, entry->image_width};
    for (size_t i = 0; i < SIZES; i++)
        pg_tabular_number(&t->rows, sizes[i] > 0 ? sizes[i] : -1);
    pg_tabular_words(&t->rows, *entry->cell_id != '\0' ? entry->cell_id : NULL);
    pg_tabular_words(&t->rows, entry->state);
}

/* Metric m: of a share its percentage with the 95% Wilson interval and the count of images; nothing before the first image. */
static void add_metric(pg_tidy *t, size_t m, const pg_table_entry *entry)
{
    const pg_metric *metric = t->metrics[m];
    int64_t count = pg_metric_of(metric, entry), n = pg_metric_base(metric, entry);
    bool there = count >= 0 && entry->n > 0, share = is_share(metric);
    double value = !there                           ? NAN
                   : share                          ? 100.0 * (double)count / (double)n
                   : metric->kind == PG_METRIC_GRID ? pg_grid_value(count)
                                                    : (double)count;
    double paper = entry->paper != NULL && count >= 0 ? entry->paper[m] : NAN;
    pg_tabular_real(&t->rows, value);
    if (share || !t->wide) {
        pg_interval interval = there && share ? pg_wilson(count, n) : (pg_interval){NAN, NAN, NAN};
        pg_tabular_real(&t->rows, 100 * interval.lo);
        pg_tabular_real(&t->rows, 100 * interval.hi);
        if (!t->wide)
            pg_tabular_number(&t->rows, n);
        pg_tabular_number(&t->rows, metric->kind == PG_METRIC_GRID ? -1 : count);
    }
    if (t->paper) {
        pg_tabular_real(&t->rows, paper);
        pg_tabular_real(&t->rows, value - paper);
    }
}

static void find_values(pg_tidy *t, const pg_setting *settings, size_t n)
{
    for (size_t c = 0, i = 0; c < t->n_columns; c++) {
        int order = 1;
        while (i < n && (order = strcmp(settings[i].key, t->columns[c].key)) < 0)
            i++;
        t->columns[c].value = i < n && order == 0 ? settings[i].value : t->columns[c].fallback;
    }
}

int pg_tidy_cell(pg_tidy *t, const pg_setting *settings, size_t n, const pg_table_entry *entry)
{
    int code = t->rows.columns == 0 ? begin(t) : PG_OK;
    const char *same = entry->same_as != NULL ? entry->same_as->cell_id : NULL;
    if (code != PG_OK)
        return code;
    find_values(t, settings, n);
    for (size_t m = 0; m < t->n_metrics; m++) {
        if (!t->wide && pg_metric_of(t->metrics[m], entry) < 0)
            continue;
        if (!t->wide || m == 0)
            add_cell(t, entry);
        if (t->wide && m == 0)
            pg_tabular_number(&t->rows, entry->n);
        if (!t->wide)
            pg_tabular_words(&t->rows, t->metrics[m]->name);
        add_metric(t, m, entry);
        if (!t->wide || m + 1 == t->n_metrics)
            pg_tabular_words(&t->rows, same);
    }
    return pg_output_rows(t->output, &t->rows);
}

int pg_tidy_end(pg_tidy *t)
{
    int code = t->rows.columns == 0 ? begin(t) : PG_OK;
    return code == PG_OK ? pg_output_table(t->output, &t->rows) : code;
}

void pg_tidy_release(pg_tidy *t)
{
    for (size_t i = 0; i < t->n_columns; i++)
        free(t->columns[i].key);
    free(t->columns);
    free(t->shown);
    if (t->rows.columns > 0)
        pg_tabular_release(&t->rows);
    *t = (pg_tidy){0};
}

int pg_tidy_layout(const pg_layout *layout, const pg_output *output, const char *form, bool wide)
{
    pg_buf notes = PG_BUF_EMPTY;
    const pg_table *table = &layout->table;
    pg_tidy tidy = {.output = output,
                    .form = form,
                    .metrics = table->metrics,
                    .n_metrics = table->n_metrics,
                    .wide = wide,
                    .paper = table->paper != NULL};
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < table->n_entries; i++)
        code = pg_tidy_keys(&tidy, layout->cells[i]->values, layout->cells[i]->n_values);
    for (size_t i = 0; code == PG_OK && i < table->n_entries; i++) {
        pg_table_entry entry = layout->entries[i];
        if (layout->cells[i]->absent) /* its id is not known */
            *entry.cell_id = '\0';
        code = pg_tidy_cell(&tidy, layout->cells[i]->values, layout->cells[i]->n_values, &entry);
    }
    if (code == PG_OK)
        code = pg_tidy_end(&tidy);
    pg_tidy_release(&tidy);
    fflush(stdout); /* the notes come behind the rows; errors are found at the end of the output */
    if (code == PG_OK)
        pg_table_notes(table, PG_TABLE_TEXT, &notes);
    for (char *line = strtok(notes.data, "\n"); line != NULL; line = strtok(NULL, "\n"))
        pg_info("%s", line);
    pg_buf_release(&notes);
    return code;
}
