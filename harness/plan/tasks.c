/* Plan and store: reasons, and the tasks that are missing. See tasks.h. */
#include "harness/plan/tasks.h"

#include "harness/base/text.h"
#include "harness/plan/modules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pg_reason_name(pg_reason reason)
{
    static const char *const names[] = {"new", "partial", "done", "stale", "failed"};
    return (unsigned)reason < sizeof names / sizeof *names ? names[reason] : "?";
}

/* Hashes are shown by their first digits. */
static void add_short(pg_buf *out, const char *value)
{
    pg_buf_printf(out, strlen(value) == PG_HASH_HEX - 1 ? "%.8s" : "%s", value);
}

/* "weights.hash was 12ab34cd, is 98fe76dc; defense.version was 1, is 2" */
static int describe_change(const char *before, const char *now, pg_buf *out)
{
    pg_setting *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0;
    int code = pg_settings_parse(&before, 1, &a, &n_a);
    if (code == PG_OK)
        code = pg_settings_parse(&now, 1, &b, &n_b);
    for (size_t i = 0; code == PG_OK && i < n_b; i++) {
        const char *old = pg_settings_value(a, n_a, b[i].key);
        if (strcmp(old, b[i].value) == 0)
            continue;
        pg_buf_printf(out, "%s%s was ", out->size ? "; " : "", b[i].key);
        add_short(out, *old ? old : "absent");
        pg_buf_puts(out, ", is ");
        add_short(out, b[i].value);
    }
    free(a);
    free(b);
    return code;
}

static int explain_stale(const pg_cell *cell, pg_store *store, pg_explained *out, pg_buf *why)
{
    char stale_id[PG_HASH_HEX], *canonical = NULL;
    int code = pg_store_stale(store, cell->settings, cell->id, stale_id, &canonical);
    if (code == PG_OK && canonical) {
        out->reason = PG_REASON_STALE;
        code = describe_change(canonical, cell->canonical, why);
        pg_buf_printf(why, " (results of cell %.12s)", stale_id);
    }
    free(canonical);
    return code;
}

int pg_plan_explain(const pg_cell *cell, pg_store *store, pg_explained *out)
{
    *out = (pg_explained){.reason = PG_REASON_NEW, .images = cell->count};
    pg_cell_result result = {.known = false};
    pg_buf why = PG_BUF_EMPTY;
    int code = store ? pg_store_cell(store, cell->id, &result) : PG_OK;
    if (code == PG_OK) {
        out->done = result.n;
        if (result.state == PG_CELL_DONE && result.known) {
            out->reason = PG_REASON_DONE;
            pg_buf_printf(&why, "%lld image%s", (long long)result.n, pg_plural(result.n));
        } else if (result.state == PG_CELL_FAILED) {
            out->reason = PG_REASON_FAILED;
            pg_buf_printf(&why, "%s; run tries again", result.error ? result.error : "");
        } else if (result.n > 0) {
            out->reason = PG_REASON_PARTIAL;
            pg_buf_printf(&why, "%lld of %lld images are done", (long long)result.n, (long long)cell->count);
        } else if (store) {
            code = explain_stale(cell, store, out, &why);
        }
    }
    if (code == PG_OK && why.size == 0)
        pg_buf_puts(&why, "no results");
    pg_cell_result_release(&result);
    out->why = pg_buf_take(&why);
    pg_buf_release(&why);
    if (code == PG_OK && !out->why)
        code = pg_fail(PG_ENOMEM, "planning: out of memory");
    if (code != PG_OK) {
        free(out->why);
        out->why = NULL;
    }
    return code;
}

/* Images of a task: whole batches; fewer where each of them takes long, masked or under attack, but whole groups of those that
 * are attacked at a time. */
static int64_t chunk_of(const pg_forward *f, int64_t task_images)
{
    if (!f->defense)
        return (task_images + f->at_once - 1) / f->at_once * f->at_once;
    int64_t slots = f->attack ? ((const pg_attack_common *)f->attack_config)->batch : 1;
    int64_t images = task_images < PG_TASK_SLOW ? task_images : PG_TASK_SLOW;
    return (images + slots - 1) / slots * slots;
}

/* The rule of a plug-in may end its worker: its cells share no task with others, which go on. Their passes run once more, and
 * come from the feature cache. */
static int group_of(const pg_defense *defense)
{
    int i = 0;
    while (pg_defenses[i] && pg_defenses[i] != defense)
        i++;
    return pg_modules_origin(&defense->module) ? i + 1 : 0;
}

static void fill_rows(const pg_plan *plan, int64_t task_images, pg_store_forward_row *forwards, size_t *n_forwards,
                      size_t *place, pg_store_cell_row *cells)
{
    *n_forwards = 0;
    for (size_t i = 0; i < pg_plan_count(plan); i++)
        place[pg_plan_at(plan, i)->forward->index] = 1; /* those that serve a cell */
    for (size_t i = 0; i < pg_plan_forwards(plan); i++) {
        const pg_forward *f = pg_plan_forward(plan, i);
        if (!place[i])
            continue;
        place[i] = *n_forwards;
        forwards[(*n_forwards)++] = (pg_store_forward_row){
            .forward_key = f->id,
            .canonical = f->canonical,
            .dataset_hash = f->dataset_hash,
            .dataset_split = f->dataset_split,
            .dataset_name = f->dataset,
            .dataset_images = f->dataset_images,
            .dataset_classes = f->dataset_classes,
            .dataset_height = f->dataset_height,
            .dataset_width = f->dataset_width,
            .chunk = chunk_of(f, task_images),
        };
    }
    for (size_t i = 0; i < pg_plan_count(plan); i++) {
        const pg_cell *c = pg_plan_at(plan, i);
        cells[i] = (pg_store_cell_row){
            .cell_id = c->id,
            .canonical = c->canonical,
            .settings = c->settings,
            .details = c->details,
            .first = c->first,
            .count = c->count,
            .has_delta = c->has_delta,
            .delta = c->delta,
            .forward = place[c->forward->index],
            .group = group_of(c->defense),
        };
    }
}

/* What the store knows of a plan goes through here, either way. */
static int with_rows(const pg_plan *plan, pg_store *store, int64_t task_images, const pg_shard *shard,
                     int (*call)(pg_store *store, const pg_store_plan_row *row))
{
    pg_store_forward_row *forwards = calloc(pg_plan_forwards(plan) + 1, sizeof *forwards);
    pg_store_cell_row *cells = calloc(pg_plan_count(plan) + 1, sizeof *cells);
    size_t *place = calloc(pg_plan_forwards(plan) + 1, sizeof *place), n_forwards = 0;
    int code = forwards && cells && place ? PG_OK : pg_fail(PG_ENOMEM, "planning: out of memory");
    if (code == PG_OK) {
        fill_rows(plan, task_images, forwards, &n_forwards, place, cells);
        pg_store_plan_row row = {.name = pg_plan_name(plan),
                                 .matrix = pg_plan_matrix_text(plan),
                                 .overrides = pg_plan_overrides(plan),
                                 .shard = shard,
                                 .forwards = forwards,
                                 .n_forwards = n_forwards,
                                 .cells = cells,
                                 .n_cells = pg_plan_count(plan)};
        code = call(store, &row);
    }
    free(forwards);
    free(cells);
    free(place);
    return code;
}

int pg_plan_record(const pg_plan *plan, pg_store *store, int64_t task_images)
{
    return with_rows(plan, store, task_images, NULL, pg_store_plan);
}

int pg_plan_record_shard(const pg_plan *plan, pg_store *store, int64_t task_images, const pg_shard *shard)
{
    return with_rows(plan, store, task_images, shard, pg_store_plan);
}

static int record_cells(pg_store *store, const pg_store_plan_row *row)
{
    pg_store_plan_row cells = *row;
    cells.cells_only = true;
    return pg_store_plan(store, &cells);
}

int pg_plan_record_cells(const pg_plan *plan, pg_store *store)
{
    return with_rows(plan, store, PG_TASK_IMAGES, NULL, record_cells);
}

int pg_plan_join(const pg_plan *plan, pg_store *store) { return with_rows(plan, store, PG_TASK_IMAGES, NULL, pg_store_join); }
