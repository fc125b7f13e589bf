/* The report without a matrix: the cells of the database in one table. See report.h. */
#include "harness/cmd/report.h"

#include "harness/base/memory.h"
#include "harness/cmd/passes.h"
#include "harness/plan/plan.h"
#include "harness/plan/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The cells, and the keys whose values tell them apart. Everything owned. */
typedef struct all {
    pg_cell_result *cells;
    const char **ids;
    pg_table_entry *entries;
    size_t n, capacity;
    char (*wanted)[PG_HASH_HEX]; /* as listed */
    size_t n_wanted;
} all;

static int add_id(const pg_cell_result *result, void *context)
{
    all *a = context;
    void *more = pg_grow(a->wanted, a->n_wanted, &a->capacity, sizeof *a->wanted);
    if (more == NULL)
        return PG_ENOMEM;
    a->wanted = more;
    memcpy(a->wanted[a->n_wanted++], result->cell_id, PG_HASH_HEX);
    return PG_OK;
}

/* Whether some cell has the key with another value. */
static bool varies(const all *a, const char *key, const char *value)
{
    if (strcmp(key, "delta") == 0) /* the default is left out of settings */
        return strcmp(value, "any-batch") == 0;
    for (size_t i = 0; i < a->n; i++) {
        const char *other = pg_cell_result_setting(&a->cells[i], key);
        if (*other && strcmp(other, value) != 0)
            return true;
    }
    return false;
}

/* A key that a user chooses, and that is not a column of its own: one of a matrix file, or an option of the cell's modules. */
static bool is_choice(const pg_cell_result *r, const char *key)
{
    const char *dot = strchr(key, '.'), *const modules[] = {pg_cell_result_setting(r, "defense"),
                                                            pg_cell_result_setting(r, "attack")};
    for (size_t i = 0; dot == NULL && i < PG_KEYS; i++)
        if (strcmp(pg_keys[i].name, key) == 0)
            return i != PG_KEY_DEFENSE && i != PG_KEY_PATCH;
    for (size_t i = 0; dot != NULL && i < 2; i++)
        if (strlen(modules[i]) == (size_t)(dot - key) && strncmp(modules[i], key, (size_t)(dot - key)) == 0)
            return strcmp(dot, ".version") != 0;
    return false;
}

static int make_entry(const all *a, size_t i, pg_store *store, pg_table_entry *e)
{
    const pg_cell_result *r = &a->cells[i];
    const char *gradient = pg_cell_result_setting(r, "attack.gradient");
    pg_buf row = PG_BUF_EMPTY;
    pg_passes passes;
    *e = (pg_table_entry){.column = pg_cell_result_setting(r, "patch"),
                          .weights = pg_cell_result_setting(r, "weights"),
                          .expected = r->images,
                          .n = r->n,
                          .clean = r->clean,
                          .certified = r->certified,
                          .attacked = r->attacked_n > 0 ? r->attacked : -1,
                          .published = r->has_published ? r->certified_published : -1,
                          .published_audited = -1,
                          .masked = r->masked,
                          .nonfinite = r->nonfinite,
                          .saturated = r->saturated_n == r->n ? r->saturated : -1,
                          .differs = r->differs_n == r->n ? r->differs : -1,
                          .smallest_margin = r->has_smallest_margin ? r->smallest_margin : -1,
                          .delta = r->has_delta ? r->delta : -1,
                          .any_batch = strcmp(pg_cell_result_setting(r, "delta"), "any-batch") == 0,
                          .moved = atoll(pg_cell_result_setting(r, "locality.moved")),
                          .through_mean = strcmp(gradient, "mean") == 0};
    snprintf(e->batches, sizeof e->batches, "%s", pg_cell_result_setting(r, "locality.batches"));
    snprintf(e->measured_on, sizeof e->measured_on, "%s", pg_cell_result_setting(r, "locality.on"));
    for (size_t c = 0; c < PG_TABLE_CASES; c++)
        e->cases[c] = r->has_published ? r->cases[c] : -1;
    pg_buf_puts(&row, pg_cell_result_setting(r, "defense"));
    for (size_t k = 0; k < r->n_settings; k++) {
        const pg_setting *s = &r->settings[k];
        const char *dot = strrchr(s->key, '.');
        if (is_choice(r, s->key) && varies(a, s->key, s->value))
            pg_buf_printf(&row, "\n%s=%s", dot != NULL ? dot + 1 : s->key, s->value);
    }
    pg_measured measured = pg_measured_of(r);
    int code = pg_passes_of(store, r->cell_id, &measured, &passes);
    e->smaller_batch = passes.smaller_batch;
    e->unmeasured = r->has_delta ? passes.certified : r->certified;
    e->elsewhere = passes.images;
    memcpy(e->elsewhere_on, passes.on, sizeof e->elsewhere_on);
    if (code == PG_OK)
        code = pg_store_broken(store, r->cell_id, &e->broken, &(int64_t){0});
    if (code == PG_OK)
        code = pg_buf_check(&row);
    e->row = pg_buf_take(&row);
    return code;
}

static int read_cells(all *a, pg_store *store)
{
    int code = PG_OK;
    a->cells = calloc(a->n_wanted + 1, sizeof *a->cells);
    a->ids = calloc(a->n_wanted + 1, sizeof *a->ids);
    a->entries = calloc(a->n_wanted + 1, sizeof *a->entries);
    if (a->cells == NULL || a->ids == NULL || a->entries == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu cells", a->n_wanted);
    for (; code == PG_OK && a->n < a->n_wanted; a->n++) {
        a->ids[a->n] = a->wanted[a->n];
        code = pg_store_cell(store, a->wanted[a->n], &a->cells[a->n]);
        if (code != PG_OK)
            break;
    }
    for (size_t i = 0; code == PG_OK && i < a->n; i++)
        code = make_entry(a, i, store, &a->entries[i]);
    return code;
}

static void release(all *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free((char *)a->entries[i].row);
        pg_cell_result_release(&a->cells[i]);
    }
    free(a->cells);
    free(a->ids);
    free(a->entries);
    free(a->wanted);
}

int pg_report_add_all(pg_report_work *work, int64_t most, bool best)
{
    static const char *const names[] = {"clean", "attacked", "certified", "certified_published"};
    const pg_metric *metrics[4];
    char heading[128] = "All cells";
    int64_t matching = 0;
    all a = {0};
    int code = pg_store_list(work->store, -1, most, add_id, &a, &matching);
    if (code == PG_OK)
        code = read_cells(&a, work->store);
    for (size_t m = 0; code == PG_OK && m < 4; m++)
        code = pg_metric_find(names[m], &metrics[m]);
    pg_table table = {.title = heading, .row_key = "defense", .column_key = "patch", .entries = a.entries};
    table.n_entries = a.n;
    table.metrics = metrics;
    table.n_metrics = 4;
    table.best = best;
    pg_report_part part = {&table, a.ids, ++work->sections};
    if (a.n_wanted < (size_t)matching)
        snprintf(heading, sizeof heading, "The newest %zu of %" PRId64 " cells", a.n_wanted, matching);
    if (code == PG_OK) {
        pg_buf_printf(&work->nav, "<li><a href=\"#s%d\">%s</a></li>\n", part.section, heading);
        pg_report_section_begin(part.section, heading, &work->body);
        code = pg_report_add_cells(work, &part);
    }
    if (code == PG_OK)
        code = pg_report_add_sheets(work, &part);
    if (code == PG_OK)
        code = pg_report_add_table_figures(work, &table);
    pg_report_section_end(&work->body);
    release(&a);
    return code;
}
