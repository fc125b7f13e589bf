/* See table.h: metrics and lookups. */
#include "plots/table.h"
#include "harness/base/option.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(pg_table_entry, field)
const pg_metric pg_metrics[] = {
    {"clean", "clean", "the defense predicts the label of the clean image", PG_METRIC_SHARE, AT(clean), 1},
    {"attacked", "under attack", "predicts the label without a patch, and with the patch that the attack of this cell finds",
     PG_METRIC_SHARE, AT(attacked), 1},
    {"target_reached", "target reached", "with a target: predicts it under attack, of the images of other classes",
     PG_METRIC_SHARE, AT(reached), -1},
    {"certified", "certified", "no patch of this size can change the correct prediction", PG_METRIC_SHARE, AT(certified), 1},
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

int64_t pg_metric_base(const pg_metric *metric, const pg_table_entry *entry)
{
    return metric->offset == AT(reached) ? entry->targeted : entry->n;
}

int64_t pg_metric_of(const pg_metric *metric, const pg_table_entry *entry)
{
    int64_t value;
    memcpy(&value, (const char *)entry + metric->offset, sizeof value);
    return pg_metric_base(metric, entry) > 0 || metric->offset != AT(reached) ? value : -1; /* without a target */
}

bool pg_table_is_mean(const pg_metric *metric, const pg_table_entry *entry)
{
    return metric->offset == AT(attacked) && entry->seeds.n > 0;
}

pg_interval pg_table_share(const pg_metric *metric, const pg_table_entry *entry)
{
    return pg_table_is_mean(metric, entry) ? entry->seeds.attacked
                                           : pg_wilson(pg_metric_of(metric, entry), pg_metric_base(metric, entry));
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
    return pg_table_is_mean(metric, entry) ? entry->seeds.attacked.value
                                           : (double)pg_metric_of(metric, entry) / (double)pg_metric_base(metric, entry);
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
