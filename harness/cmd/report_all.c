/* Cells of the database in one table, whatever matrix they are of. See report.h. */
#include "harness/cmd/report.h"

#include "harness/base/memory.h"
#include "harness/cmd/cell_list.h"
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
    const pg_plan *plan; /* whose cells stand elsewhere; NULL: none */
} all;

static int add_id(const char *id, void *context)
{
    all *a = context;
    if (a->plan != NULL && pg_plan_find(a->plan, id) != NULL)
        return PG_OK;
    void *more = pg_grow(a->wanted, a->n_wanted, &a->capacity, sizeof *a->wanted);
    if (more == NULL)
        return PG_ENOMEM;
    a->wanted = more;
    memcpy(a->wanted[a->n_wanted++], id, PG_HASH_HEX);
    return PG_OK;
}

/* Of the published certificates those that no stored audit of all images broke by features. A cell that was only audited asks
 * for no images. */
static int add_audit(const pg_audit_record *record, void *context)
{
    pg_table_entry *e = context;
    e->expected = e->n == 0 ? 0 : e->expected;
    int64_t left = e->published - record->published_broken;
    bool whole = strcmp(record->level, "feature") == 0 && record->n == e->n;
    if (whole && (e->published_audited < 0 || left < e->published_audited))
        e->published_audited = left;
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

bool pg_report_is_choice(const pg_cell_result *r, const char *key)
{
    const char *dot = strchr(key, '.'), *const modules[] = {pg_cell_result_setting(r, "defense"),
                                                            pg_cell_result_setting(r, "attack")};
    for (size_t i = 0; dot == NULL && i < PG_KEYS; i++)
        if (strcmp(pg_keys[i].name, key) == 0)
            return true;
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
                          .gradient_is_of_mean = strcmp(gradient, "mean") == 0};
    snprintf(e->batches, sizeof e->batches, "%s", pg_cell_result_setting(r, "locality.batches"));
    snprintf(e->measured_on, sizeof e->measured_on, "%s", pg_cell_result_setting(r, "locality.on"));
    for (size_t c = 0; c < PG_TABLE_CASES; c++)
        e->cases[c] = r->has_published ? r->cases[c] : -1;
    pg_buf_puts(&row, pg_cell_result_setting(r, "defense"));
    for (size_t k = 0; k < r->n_settings; k++) {
        const pg_setting *s = &r->settings[k];
        const char *dot = strrchr(s->key, '.');
        bool column = strcmp(s->key, "defense") == 0 || strcmp(s->key, "patch") == 0;
        if (!column && pg_report_is_choice(r, s->key) && varies(a, s->key, s->value))
            pg_buf_printf(&row, "\n%s=%s", dot != NULL ? dot + 1 : s->key, s->value);
    }
    pg_measured measured = pg_measured_of(r);
    int code = pg_passes_of(store, r->cell_id, &measured, &passes);
    e->smaller_batch = passes.smaller_batch;
    e->unmeasured = r->has_delta ? passes.certified : r->certified;
    e->elsewhere = passes.images;
    memcpy(e->elsewhere_on, passes.on, sizeof e->elsewhere_on);
    if (code == PG_OK && (r->has_published || r->n == 0))
        code = pg_store_each_audit(store, r->cell_id, add_audit, e);
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

/* The newest `most` of the cells as a section: table, audits, contact sheets, and figures of counts where `figures`. */
static int add_section(pg_report_work *work, all *a, const char *name, int64_t most, bool best, bool figures)
{
    static const char *const names[] = {"clean", "attacked", "certified", "certified_published", "published_audited"};
    enum { METRICS = sizeof names / sizeof *names };
    const pg_metric *metrics[METRICS];
    pg_buf heading = PG_BUF_EMPTY;
    pg_buf_puts(&heading, name);
    if (a->n_wanted > (size_t)most) {
        pg_buf_printf(&heading, ": the newest %" PRId64 " of %zu", most, a->n_wanted);
        memmove(a->wanted, a->wanted + (a->n_wanted - (size_t)most), (size_t)most * sizeof *a->wanted);
        a->n_wanted = (size_t)most;
    }
    int code = pg_buf_check(&heading);
    if (code == PG_OK)
        code = read_cells(a, work->store);
    for (size_t m = 0; code == PG_OK && m < METRICS; m++)
        code = pg_metric_find(names[m], &metrics[m]);
    if (code == PG_OK) {
        pg_table table = {.title = heading.data,
                          .row_key = "defense",
                          .column_key = "patch",
                          .entries = a->entries,
                          .n_entries = a->n,
                          .metrics = metrics,
                          .n_metrics = METRICS,
                          .best = best};
        pg_report_begin_section(work, name, heading.data);
        pg_report_part part = {&table, a->ids, work->sections};
        code = pg_report_add_cells(work, &part);
        if (code == PG_OK)
            code = pg_report_add_sheets(work, &part);
        if (code == PG_OK && figures)
            code = pg_report_add_table_figures(work, &table);
        pg_report_section_end(&work->body);
    }
    pg_buf_release(&heading);
    return code;
}

int pg_report_add_all(pg_report_work *work, const pg_texts *only, int64_t most, bool best)
{
    const pg_matrix_args args = {.only = *only};
    all a = {0};
    pg_cell_list list;
    int code = pg_cell_list_of(&work->context, &args, true, work->store, &list);
    for (size_t i = 0; code == PG_OK && i < list.n; i++)
        code = add_id(list.ids[i], &a);
    if (code == PG_OK)
        code = add_section(work, &a, only->n > 0 ? "Chosen cells" : "All cells", most, best, true);
    pg_cell_list_release(&list);
    release(&a);
    return code;
}

int pg_report_add_changed(pg_report_work *work, const pg_plan *plan, int64_t most, bool best)
{
    all a = {.plan = plan};
    pg_buf name = PG_BUF_EMPTY;
    pg_buf_printf(&name, "%s with other values for -S", pg_plan_name(plan));
    int code = pg_store_each_changed(work->store, pg_plan_matrix_text(plan), add_id, &a);
    if (code == PG_OK)
        code = pg_buf_check(&name);
    if (code == PG_OK && a.n_wanted > 0)
        code = add_section(work, &a, name.data, most, best, false);
    pg_buf_release(&name);
    release(&a);
    return code;
}
