/* See table.h: metrics, lookups, notes, and the formats for programs (CSV, JSON). */
#include "plots/table.h"
#include "harness/base/json.h"
#include "harness/base/option.h"
#include "harness/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double grid_unit = 1.0 / 1048576.0; /* 2^-20 */

#define AT(field) offsetof(pg_table_entry, field)
const pg_metric pg_metrics[] = {
    {"clean", "clean", "prediction of the defense on the clean image is right", PG_METRIC_SHARE, AT(clean), 1},
    {"attacked", "under attack", "right without a patch, and with the patch that the attack of this cell finds",
     PG_METRIC_SHARE, AT(attacked), 1},
    {"certified", "certified", "no patch of this size can change the right prediction", PG_METRIC_SHARE, AT(certified), 1},
    {"certified_published", "published", "the certificate as the paper publishes it; not a proof", PG_METRIC_SHARE,
     AT(published), 1},
    {"published_audited", "published, audited",
     "of the published certificates, those that the stored audit by features did not break", PG_METRIC_SHARE,
     AT(published_audited), 1},
    {"false_positive", "false positive", "a masking defense masks something on the clean image", PG_METRIC_SHARE, AT(masked),
     -1},
    {"case_0", "case 0", "failure case 0 of the published certificate: wrong before masking", PG_METRIC_SHARE, AT(cases[0]), 0},
    {"case_1", "case 1", "failure case 1 of the published certificate: cases I and IV", PG_METRIC_SHARE, AT(cases[1]), 0},
    {"case_2", "case 2", "failure case 2 of the published certificate: case II", PG_METRIC_SHARE, AT(cases[2]), 0},
    {"case_3", "case 3", "failure case 3 of the published certificate: case III", PG_METRIC_SHARE, AT(cases[3]), 0},
    {"case_4", "case 4", "failure case 4 of the published certificate: none, certified", PG_METRIC_SHARE, AT(cases[4]), 0},
    {"nonfinite", "nonfinite", "images with a NaN or an infinity among their local logits", PG_METRIC_COUNT, AT(nonfinite), 0},
    {"saturated", "saturated", "images with values beyond 1024, where the grid of evidence ends", PG_METRIC_COUNT,
     AT(saturated), 0},
    {"differs", "differs", "images that the same rule in double predicts otherwise", PG_METRIC_COUNT, AT(differs), 0},
    {"smallest_margin", "margin", "smallest positive margin of a certified image", PG_METRIC_GRID, AT(smallest_margin), 0},
    {"unmeasured", "unmeasured", "certified images whose certificate rests on no measured locality", PG_METRIC_COUNT,
     AT(unmeasured), -1},
    {"delta", "delta", "largest measured change outside the receptive fields", PG_METRIC_GRID, AT(delta), 0},
    {NULL, NULL, NULL, PG_METRIC_COUNT, 0, 0},
};

const char *const pg_table_formats[] = {"text", "md", "csv", "json", "latex", NULL};

int pg_metric_find(const char *name, const pg_metric **out)
{
    const char *names[sizeof pg_metrics / sizeof *pg_metrics] = {NULL};
    for (size_t i = 0; pg_metrics[i].name != NULL; i++) {
        if (strcmp(pg_metrics[i].name, name) == 0) {
            *out = &pg_metrics[i];
            return PG_OK;
        }
        names[i] = pg_metrics[i].name;
    }
    const char *near = pg_nearest(name, names);
    return pg_fail(PG_EINPUT, "unknown metric '%s'%s%s%s; `patchgauge help table` lists them", name,
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

int64_t pg_metric_of(const pg_metric *metric, const pg_table_entry *entry)
{
    int64_t value;
    memcpy(&value, (const char *)entry + metric->offset, sizeof value);
    return value;
}

typedef struct label {
    const char *text;
    size_t entry;
} label;

static int by_text(const void *a, const void *b)
{
    const label *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : (x->entry > y->entry) - (x->entry < y->entry);
}

static int by_entry(const void *a, const void *b)
{
    const label *x = a, *y = b;
    return (x->entry > y->entry) - (x->entry < y->entry);
}

int pg_table_labels(const pg_table *table, bool columns, const char ***labels, size_t *n)
{
    const char **list = malloc((table->n_entries + 1) * sizeof *list);
    label *all = malloc((table->n_entries + 1) * sizeof *all);
    if (list == NULL || all == NULL) {
        free(list);
        free(all);
        return pg_fail(PG_ENOMEM, "out of memory for the labels of a table");
    }
    for (size_t i = 0; i < table->n_entries; i++)
        all[i] = (label){columns ? table->entries[i].column : table->entries[i].row, i};
    qsort(all, table->n_entries, sizeof *all, by_text);
    size_t count = 0; /* the first of each text, then in the order of the entries */
    for (size_t i = 0; i < table->n_entries; i++)
        if (i == 0 || strcmp(all[i].text, all[count - 1].text) != 0)
            all[count++] = all[i];
    qsort(all, count, sizeof *all, by_entry);
    for (size_t i = 0; i < count; i++)
        list[i] = all[i].text;
    free(all);
    *labels = list;
    *n = count;
    return PG_OK;
}

static int by_place(const void *a, const void *b)
{
    const pg_table_entry *const *x = a, *const *y = b;
    int order = strcmp((*x)->row, (*y)->row);
    return order != 0 ? order : strcmp((*x)->column, (*y)->column);
}

int pg_table_sort(const pg_table *table, const pg_table_entry ***sorted)
{
    const pg_table_entry **list = malloc((table->n_entries + 1) * sizeof *list);
    if (list == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for the cells of a table");
    for (size_t i = 0; i < table->n_entries; i++)
        list[i] = &table->entries[i];
    qsort(list, table->n_entries, sizeof *list, by_place);
    for (size_t i = 1; i < table->n_entries; i++)
        if (by_place(&list[i - 1], &list[i]) == 0) {
            int code = pg_fail(PG_EINPUT, "several cells share row '%s' and column '%s': name more keys in --rows or --cols",
                               list[i]->row, list[i]->column);
            free(list);
            return code;
        }
    *sorted = list;
    return PG_OK;
}

const pg_table_entry *pg_table_at(const pg_table *table, const pg_table_entry *const *sorted, const char *row,
                                  const char *column)
{
    const pg_table_entry place = {.row = row, .column = column}, *wanted = &place;
    const pg_table_entry *const *found = bsearch(&wanted, sorted, table->n_entries, sizeof *sorted, by_place);
    return found != NULL ? *found : NULL;
}

/* ---- The best of a column ------------------------------------------------------------------------------------------------ */

static bool may_be_best(const pg_metric *metric, const pg_table_entry *entry)
{
    return entry != NULL && metric->better != 0 && entry->n > 0 && entry->n >= entry->expected &&
           pg_metric_of(metric, entry) >= 0;
}

static double share_of(const pg_metric *metric, const pg_table_entry *entry)
{
    return (double)pg_metric_of(metric, entry) / (double)entry->n;
}

int pg_table_best(const pg_table *table, const pg_table_entry *const *sorted, const char *const *rows, size_t n_rows,
                  const char *const *columns, size_t n_columns, double **best)
{
    double *out = *best = malloc((table->n_metrics * n_columns + 1) * sizeof *out);
    if (out == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for a table");
    for (size_t i = 0; i < table->n_metrics * n_columns; i++)
        out[i] = NAN;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < n_columns; c++) {
            const pg_table_entry *entry = pg_table_at(table, sorted, rows[r], columns[c]);
            for (size_t m = 0; m < table->n_metrics; m++) {
                double *top = &out[m * n_columns + c];
                if (may_be_best(table->metrics[m], entry) &&
                    !(table->metrics[m]->better * share_of(table->metrics[m], entry) <= table->metrics[m]->better * *top))
                    *top = share_of(table->metrics[m], entry);
            }
        }
    return PG_OK;
}

bool pg_table_is_best(const pg_metric *metric, const pg_table_entry *entry, double best)
{
    return may_be_best(metric, entry) && share_of(metric, entry) >= best && share_of(metric, entry) <= best;
}

bool pg_table_leads(const pg_table *table, size_t m, const pg_table_entry *entry)
{
    const pg_metric *metric = table->metrics[m];
    if (!may_be_best(metric, entry))
        return false;
    double share = metric->better * share_of(metric, entry);
    for (const pg_table_entry *e = table->entries; e < table->entries + table->n_entries; e++)
        if (may_be_best(metric, e) && metric->better * share_of(metric, e) > share && strcmp(e->column, entry->column) == 0)
            return false;
    return true;
}

/* ---- Text of others ---------------------------------------------------------------------------------------------------- */

size_t pg_text_add(const char *text, pg_buf *out)
{
    size_t size = pg_utf8_size(text);
    if (size == 0)
        pg_buf_puts(out, "\xef\xbf\xbd");
    else if (*text == '\0' || pg_text_acts(text))
        pg_buf_puts(out, "?");
    else
        pg_buf_add(out, text, size);
    return size > 0 ? size : 1;
}

void pg_text_flat(const char *text, const char *newline, bool markdown, pg_buf *out)
{
    while (*text != '\0') {
        if (*text == '\n') {
            pg_buf_puts(out, newline);
            text++;
            continue;
        }
        if (markdown && strchr("|*_`<\\[]&~", *text) != NULL)
            pg_buf_puts(out, "\\");
        text += pg_text_add(text, out);
    }
}

/* ---- Notes ------------------------------------------------------------------------------------------------------------ */

static void note_incomplete(const pg_table *table, const char *prefix, pg_table_format format, pg_buf *out)
{
    bool markdown = format == PG_TABLE_MD, stars = markdown || format == PG_TABLE_TEXT;
    size_t cells = 0, listed = 0;
    for (size_t i = 0; i < table->n_entries; i++)
        cells += table->entries[i].n < table->entries[i].expected;
    if (cells == 0)
        return;
    pg_buf_printf(out, "%snot complete, %zu of %zu cells (%simages done):", prefix, cells, table->n_entries,
                  stars ? "marked with a star; " : "");
    for (size_t i = 0; i < table->n_entries && listed < 8; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (e->n >= e->expected)
            continue;
        pg_buf_puts(out, listed++ > 0 ? "; " : " ");
        pg_text_flat(e->row, " ", markdown, out);
        pg_buf_puts(out, " / ");
        pg_text_flat(e->column, " ", markdown, out);
        pg_buf_printf(out, " (%lld of %lld)", (long long)e->n, (long long)e->expected);
    }
    pg_buf_puts(out, listed < cells ? "; ...\n" : "\n");
}

/* One note for each weights file that some certificate rests on. */
static void note_locality(const pg_table *table, const char *prefix, pg_table_format format, pg_buf *out)
{
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        bool told = e->delta == 0 && !e->any_batch;
        for (size_t j = 0; j < i && !told; j++) {
            const pg_table_entry *o = &table->entries[j];
            told = strcmp(o->weights, e->weights) == 0 && o->any_batch == e->any_batch &&
                   (e->any_batch ? o->moved == e->moved : o->delta == e->delta);
        }
        if (told)
            continue;
        if (e->any_batch) {
            pg_buf_printf(out, "%sdelta=any-batch: logits of ", prefix);
            pg_text_flat(e->weights, " ", format == PG_TABLE_MD, out);
            pg_buf_printf(out,
                          " moved by up to %lld / 2^20 at other places of a batch and in batches of %s; these certificates "
                          "leave room for it "
                          "(measured, not proved)\n",
                          (long long)e->moved, *e->batches ? e->batches : "any size");
        } else if (e->delta < 0) {
            pg_buf_printf(out, "%slocality not measured for ", prefix);
            pg_text_flat(e->weights, " ", format == PG_TABLE_MD, out);
            pg_buf_puts(out, ": certificates assume that nothing changes where a patch does not reach\n");
        } else {
            pg_buf_printf(out, "%slocality of ", prefix);
            pg_text_flat(e->weights, " ", format == PG_TABLE_MD, out);
            pg_buf_printf(out,
                          ": outside the receptive fields evidence changed by up to %lld / 2^20; every certificate survives it "
                          "(measured, "
                          "not proved)\n",
                          (long long)e->delta);
        }
    }
}

/* Images that ran on what the measurement does not speak for. */
static void note_elsewhere(const pg_table *table, const char *prefix, pg_table_format format, pg_buf *out)
{
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        size_t like = 0;
        bool told = e->elsewhere <= 0;
        for (size_t j = 0; j < table->n_entries && !told; j++) {
            const pg_table_entry *o = &table->entries[j];
            bool same =
                o->elsewhere > 0 && strcmp(o->weights, e->weights) == 0 && strcmp(o->elsewhere_on, e->elsewhere_on) == 0;
            told = same && j < i;
            like += same;
        }
        if (told)
            continue;
        pg_buf_printf(out, "%slocality of ", prefix);
        pg_text_flat(e->weights, " ", format == PG_TABLE_MD, out);
        pg_buf_puts(out, " counts as not measured where images ran on ");
        pg_text_flat(e->elsewhere_on, " ", format == PG_TABLE_MD, out);
        pg_buf_puts(out, " (it was measured on ");
        pg_text_flat(*e->measured_on ? e->measured_on : "other machines", " ", format == PG_TABLE_MD, out);
        pg_buf_puts(out, "): certificates there rest on no measurement; ");
        if (like > 1)
            pg_buf_printf(out, "%zu cells, ", like);
        pg_buf_printf(out, "%lld of %lld images of ", (long long)e->elsewhere, (long long)e->n);
        pg_text_flat(e->row, " ", format == PG_TABLE_MD, out);
        pg_buf_puts(out, " / ");
        pg_text_flat(e->column, " ", format == PG_TABLE_MD, out);
        pg_buf_puts(out, like > 1 ? " and so on\n" : "\n");
    }
}

/* "mean / 2; median / 2; ..." of the entries with this property. */
static void note_cells(const pg_table *table, bool (*has)(const pg_table_entry *), const char *prefix, const char *text,
                       pg_table_format format, pg_buf *out)
{
    size_t cells = 0, listed = 0;
    for (size_t i = 0; i < table->n_entries; i++)
        cells += has(&table->entries[i]);
    if (cells == 0)
        return;
    pg_buf_printf(out, "%s%s:", prefix, text);
    for (size_t i = 0; i < table->n_entries && listed < 8; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (!has(e))
            continue;
        pg_buf_puts(out, listed++ > 0 ? "; " : " ");
        pg_text_flat(e->row, " ", format == PG_TABLE_MD, out);
        pg_buf_puts(out, " / ");
        pg_text_flat(e->column, " ", format == PG_TABLE_MD, out);
    }
    pg_buf_puts(out, listed < cells ? "; ...\n" : "\n");
}

static bool is_saturated(const pg_table_entry *e) { return e->saturated > 0; }
static bool is_different(const pg_table_entry *e) { return e->differs > 0; }
static bool is_uncounted(const pg_table_entry *e) { return e->n > 0 && (e->saturated < 0 || e->differs < 0); }

/* What the grid did to images, and where nobody looked. */
static void note_grid(const pg_table *table, const char *prefix, pg_table_format format, pg_buf *out)
{
    int64_t saturated = 0, differs = 0;
    char text[200];
    for (size_t i = 0; i < table->n_entries; i++) {
        saturated = table->entries[i].saturated > saturated ? table->entries[i].saturated : saturated;
        differs = table->entries[i].differs > differs ? table->entries[i].differs : differs;
    }
    snprintf(text, sizeof text, "values beyond 1024, where the grid of evidence ends, in up to %lld image%s a cell",
             (long long)saturated, saturated == 1 ? "" : "s");
    note_cells(table, is_saturated, prefix, text, format, out);
    snprintf(text, sizeof text, "up to %lld image%s a cell predicted otherwise by the same rule in double", (long long)differs,
             differs == 1 ? "" : "s");
    note_cells(table, is_different, prefix, text, format, out);
    note_cells(table, is_uncounted, prefix, "images that saturate or are predicted otherwise in double were not counted",
               format, out);
}

static bool is_through_mean(const pg_table_entry *e) { return e->attacked >= 0 && e->through_mean; }
static bool is_broken(const pg_table_entry *e) { return e->broken > 0; }
static bool is_of_smaller_batch(const pg_table_entry *e) { return e->smaller_batch; }

/* "row / column" of an entry, flat. */
static void put_labels(const pg_table_entry *e, pg_table_format format, pg_buf *out)
{
    pg_text_flat(e->row, " ", format == PG_TABLE_MD, out);
    pg_buf_puts(out, " / ");
    pg_text_flat(e->column, " ", format == PG_TABLE_MD, out);
}

/* Rows and columns that are written otherwise and normalize to the same cell. */
static void note_same(const pg_table *table, const char *prefix, pg_table_format format, pg_buf *out)
{
    enum { LISTED = 8 };
    size_t same = 0;
    for (size_t i = 0; i < table->n_entries; i++) {
        const pg_table_entry *e = &table->entries[i];
        if (!e->same_as || ++same > LISTED)
            continue;
        pg_buf_printf(out, "%s", prefix);
        put_labels(e, format, out);
        pg_buf_puts(out, ": same as ");
        put_labels(e->same_as, format, out);
        pg_buf_puts(out, "\n");
    }
    if (same > LISTED)
        pg_buf_printf(out, "%sand %zu more that are the same as others\n", prefix, same - LISTED);
}

static void note_attacks(const pg_table *table, const char *prefix, pg_table_format format, pg_buf *out)
{
    note_cells(table, is_broken, prefix, "CERTIFICATES BROKEN by the attack, so they are no proofs", format, out);
    bool attacked = false;
    for (size_t i = 0; i < table->n_entries; i++)
        attacked |= table->entries[i].attacked >= 0;
    if (attacked)
        pg_buf_printf(out, "%sunder attack: what the attack that ran leaves; a stronger one may leave less\n", prefix);
    note_cells(table, is_through_mean, prefix,
               "attacked through the mean of the local logits, not through the defense, so that the defense may do worse",
               format, out);
}

void pg_table_notes(const pg_table *table, const char *prefix, pg_table_format format, pg_buf *out)
{
    int64_t nonfinite = 0;
    bool published = false, audited = false;
    for (size_t i = 0; i < table->n_entries; i++) {
        published |= table->entries[i].published >= 0;
        audited |= table->entries[i].published_audited >= 0;
        if (table->entries[i].nonfinite > nonfinite)
            nonfinite = table->entries[i].nonfinite;
    }
    note_incomplete(table, prefix, format, out);
    note_same(table, prefix, format, out);
    note_attacks(table, prefix, format, out);
    note_locality(table, prefix, format, out);
    note_elsewhere(table, prefix, format, out);
    if (published)
        pg_buf_printf(out, "%spublished (%s) is no proof: it is the paper's own certificate, which an attack can break\n",
                      prefix, format == PG_TABLE_MD ? "certified\\_published" : "certified_published");
    if (audited)
        pg_buf_printf(
            out,
            "%spublished, audited: without those that the audit broke by changing features; no proof of the others either\n",
            prefix);
    if (table->paper != NULL && strcmp(table->paper, "revision") == 0)
        pg_buf_printf(out,
                      "%spaper: per-class certificates of the publication's later revision, as recalled in the literature\n",
                      prefix);
    else if (table->paper != NULL)
        pg_buf_printf(out, "%spaper: table %s of the publication, with weights and images of its own\n", prefix, table->paper);
    note_cells(table, is_of_smaller_batch, prefix,
               "memory ran out, so the batch was smaller than asked for and local logits may differ in their last bits", format,
               out);
    note_grid(table, prefix, format, out);
    if (nonfinite > 0)
        pg_buf_printf(out,
                      "%sNaN or infinity in the local logits of up to %lld images a cell: counted as wrong and not certified\n",
                      prefix, (long long)nonfinite);
}

/* ---- Formats for programs ---------------------------------------------------------------------------------------------- */

typedef struct numbers {
    bool has_value, has_interval;
    double value, lo, hi;
} numbers;

/* Shares in percent. Nothing where no image is done yet. */
static numbers numbers_of(const pg_metric *metric, const pg_table_entry *entry)
{
    int64_t count = pg_metric_of(metric, entry);
    numbers out = {0};
    if (entry->n == 0)
        return out;
    out.has_value = true;
    if (metric->kind == PG_METRIC_SHARE) {
        pg_interval share = pg_wilson(count, entry->n);
        out.has_interval = true;
        out.value = 100 * share.value;
        out.lo = 100 * share.lo;
        out.hi = 100 * share.hi;
    } else {
        out.value = (double)count * (metric->kind == PG_METRIC_GRID ? grid_unit : 1);
    }
    return out;
}

static void csv_text(const char *text, pg_buf *out)
{
    bool quote = strpbrk(text, ",\"\r\n") != NULL;
    if (quote)
        pg_buf_puts(out, "\"");
    while (*text != '\0') {
        if (*text == '"')
            pg_buf_puts(out, "\"");
        if (*text == '\n') {
            pg_buf_puts(out, " ");
            text++;
        } else {
            text += pg_text_add(text, out);
        }
    }
    if (quote)
        pg_buf_puts(out, "\"");
}

/* Six decimals are finer than one image of any data set and round-trip the grid's unit for reading. */
static void csv_number(bool has, double value, pg_buf *out)
{
    pg_buf_puts(out, ",");
    if (has)
        pg_buf_printf(out, "%.6f", value);
}

static void csv_row(const char *row, const char *column, const pg_metric *metric, const pg_table_entry *entry, pg_buf *out)
{
    numbers v = numbers_of(metric, entry);
    csv_text(row, out);
    pg_buf_puts(out, ",");
    csv_text(column, out);
    pg_buf_printf(out, ",%s", metric->name);
    csv_number(v.has_value, v.value, out);
    csv_number(v.has_interval, v.lo, out);
    csv_number(v.has_interval, v.hi, out);
    pg_buf_printf(out, ",%lld\n", (long long)entry->n);
}

static json_t *json_label(const char *text)
{
    pg_buf flat;
    pg_buf_init(&flat);
    pg_text_flat(text, " ", false, &flat);
    json_t *string = flat.failed ? NULL : json_string(flat.data);
    pg_buf_release(&flat);
    return string;
}

static json_t *json_number(bool has, double value) { return has ? json_real(round(value * 1e6) / 1e6) : json_null(); }

static json_t *json_row(const pg_table *table, const pg_metric *metric, const pg_table_entry *entry)
{
    numbers v = numbers_of(metric, entry);
    json_t *row = json_object();
    if (row == NULL)
        return NULL;
    int failed = json_object_set_new(row, table->row_key, json_label(entry->row));
    failed |= json_object_set_new(row, table->column_key, json_label(entry->column));
    failed |= json_object_set_new(row, "metric", json_string(metric->name));
    failed |= json_object_set_new(row, "value", json_number(v.has_value, v.value));
    failed |= json_object_set_new(row, "lo", json_number(v.has_interval, v.lo));
    failed |= json_object_set_new(row, "hi", json_number(v.has_interval, v.hi));
    failed |= json_object_set_new(row, "n", json_integer(entry->n));
    if (failed) {
        json_decref(row);
        return NULL;
    }
    return row;
}

/* The publication's number as a metric of its own, "clean_paper", and ours less theirs, "clean_difference". */
static int paper_rows(const pg_table *table, const pg_metric *metric, const pg_table_entry *entry, double paper, json_t *list,
                      pg_buf *csv)
{
    numbers ours = numbers_of(metric, entry);
    const double values[2] = {paper, ours.value - paper};
    for (int i = 0; i < (ours.has_value ? 2 : 1); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%s", metric->name, i == 0 ? "paper" : "difference");
        if (csv != NULL) {
            csv_text(entry->row, csv);
            pg_buf_puts(csv, ",");
            csv_text(entry->column, csv);
            pg_buf_printf(csv, ",%s,%.6f,,,\n", name, values[i]);
            continue;
        }
        json_t *row =
            json_pack("{s:o, s:o, s:s, s:o, s:n, s:n, s:n}", table->row_key, json_label(entry->row), table->column_key,
                      json_label(entry->column), "metric", name, "value", json_number(true, values[i]), "lo", "hi", "n");
        if (json_array_append_new(list, row) != 0)
            return pg_fail(PG_ENOMEM, "out of memory for a table");
    }
    return PG_OK;
}

/* Calls for every row, column and metric that exists, in the order of the text table. */
static int each_number(const pg_table *table, json_t *list, pg_buf *csv)
{
    const char **rows = NULL, **columns = NULL;
    const pg_table_entry **sorted = NULL;
    size_t n_rows, n_columns;
    int code = pg_table_sort(table, &sorted);
    if (code == PG_OK)
        code = pg_table_labels(table, false, &rows, &n_rows);
    if (code == PG_OK)
        code = pg_table_labels(table, true, &columns, &n_columns);
    for (size_t r = 0; code == PG_OK && r < n_rows; r++)
        for (size_t c = 0; code == PG_OK && c < n_columns; c++) {
            const pg_table_entry *entry = pg_table_at(table, sorted, rows[r], columns[c]);
            for (size_t m = 0; code == PG_OK && entry != NULL && m < table->n_metrics; m++) {
                if (pg_metric_of(table->metrics[m], entry) < 0)
                    continue;
                if (csv != NULL)
                    csv_row(rows[r], columns[c], table->metrics[m], entry, csv);
                else if (json_array_append_new(list, json_row(table, table->metrics[m], entry)) != 0)
                    code = pg_fail(PG_ENOMEM, "out of memory for a table");
                if (code == PG_OK && entry->paper != NULL && !isnan(entry->paper[m]))
                    code = paper_rows(table, table->metrics[m], entry, entry->paper[m], list, csv);
            }
        }
    free(rows);
    free(columns);
    free(sorted);
    return code;
}

static int print_csv(const pg_table *table, pg_buf *out)
{
    csv_text(table->row_key, out);
    pg_buf_puts(out, ",");
    csv_text(table->column_key, out);
    pg_buf_puts(out, ",metric,value,lo,hi,n\n");
    return each_number(table, NULL, out);
}

static int print_json(const pg_table *table, pg_buf *out)
{
    json_t *list = json_array();
    char *text = NULL;
    int code = each_number(table, list, NULL);
    if (code == PG_OK) {
        text = pg_json_dump(list, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
        if (text == NULL)
            code = pg_fail(PG_ENOMEM, "out of memory for a table");
        else
            pg_buf_printf(out, "%s\n", text);
    }
    free(text);
    json_decref(list);
    return code;
}

int pg_table_print(const pg_table *table, pg_table_format format, pg_buf *out)
{
    assert(table->n_metrics > 0);
    int code = PG_OK;
    switch (format) {
    case PG_TABLE_CSV:
        code = print_csv(table, out);
        break;
    case PG_TABLE_JSON:
        code = print_json(table, out);
        break;
    case PG_TABLE_LATEX:
        code = pg_table_print_latex(table, out);
        break;
    case PG_TABLE_TEXT:
    case PG_TABLE_MD:
        code = pg_table_print_text(table, format == PG_TABLE_MD, out);
        break;
    }
    return code != PG_OK ? code : pg_buf_check(out);
}
