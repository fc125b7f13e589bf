/* Cells of the report with the origin of their numbers, and their audits. See report.h. */
#include "harness/base/grid.h"
#include "harness/cmd/report.h"
#include "harness/cmd/passes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void anchor_of(const pg_report_part *part, size_t entry, char anchor[PG_REPORT_ANCHOR])
{
    snprintf(anchor, PG_REPORT_ANCHOR, "s%dc%zu", part->section, entry);
}

/* ---- Facts --------------------------------------------------------------------------------------------------------------- */

static PG_PRINTF(3, 4) void add_fact(pg_buf *out, const char *key, const char *format, ...)
{
    char value[256];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    pg_report_fact(key, value, out);
}

static PG_PRINTF(2, 3) void add_paragraph(pg_buf *out, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pg_report_paragraph(text, out);
}

static void add_count(pg_buf *out, const char *key, int64_t count, int64_t n)
{
    pg_interval share = pg_wilson(count, n);
    if (n > 0)
        add_fact(out, key, "%" PRId64 " of %" PRId64 " (%.2f%%, 95%% interval %.2f to %.2f)", count, n, 100 * share.value,
                 100 * share.lo, 100 * share.hi);
}

/* A count of the n images, or of those of which it is known. */
static void add_known(pg_buf *out, const char *key, int64_t count, int64_t known, int64_t n)
{
    if (known == 0 && n > 0)
        pg_report_fact(key, "not counted", out);
    else if (known < n)
        add_fact(out, key, "%" PRId64 " of %" PRId64 "; not counted in the others", count, known);
    else
        add_fact(out, key, "%" PRId64, count);
}

static void add_results(const pg_cell_result *r, pg_buf *out)
{
    pg_report_facts_begin(false, out);
    pg_report_fact("cell", r->cell_id, out);
    pg_report_fact("state", pg_cell_state_name(r->state), out);
    if (r->error != NULL)
        pg_report_fact("reason", r->error, out);
    add_fact(out, "images", "%" PRId64 " of %" PRId64 ", %" PRId64 ":%" PRId64, r->n, r->images, r->first,
             r->first + r->images);
    add_count(out, "clean", r->clean, r->n);
    add_count(out, "under attack", r->attacked, r->attacked_n);
    add_count(out, "certified", r->certified, r->n);
    if (r->has_published) {
        add_count(out, "published", r->certified_published, r->n);
        add_fact(out, "failure cases 0 to 4", "%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64, r->cases[0],
                 r->cases[1], r->cases[2], r->cases[3], r->cases[4]);
    }
    if (r->has_published || r->masked > 0)
        add_count(out, "masked, clean image", r->masked, r->n);
    add_fact(out, "nonfinite", "%" PRId64, r->nonfinite);
    add_known(out, "saturated", r->saturated, r->saturated_n, r->n);
    add_known(out, "differs in double", r->differs, r->differs_n, r->n);
    if (r->has_smallest_margin)
        add_fact(out, "smallest margin", "%.9f", pg_grid_value(r->smallest_margin));
    if (strcmp(pg_cell_result_setting(r, "locality"), "no position outside") == 0)
        pg_report_fact("locality", "no position lies outside a patch's reach", out);
    else if (r->has_delta)
        add_fact(out, "locality", "delta %" PRId64 " / 2^20, applied to every certificate; measured, not proved", r->delta);
    else
        pg_report_fact("locality", "not measured; delta 0 was used", out);
    pg_report_facts_end(out);
}

/* What was chosen, then what follows from it. */
static void add_settings(const pg_cell_result *r, pg_buf *out)
{
    pg_report_fold_begin("settings and hashes", false, out);
    for (int chosen = 1; chosen >= 0; chosen--) {
        pg_report_facts_begin(chosen, out);
        for (size_t i = 0; i < r->n_settings; i++)
            if (pg_report_is_choice(r, r->settings[i].key) == chosen)
                pg_report_fact(r->settings[i].key, r->settings[i].value, out);
        pg_report_facts_end(out);
    }
    pg_report_fold_end(out);
}

/* ---- Attempts ------------------------------------------------------------------------------------------------------------ */

static const char *const attempt_heads[] = {"attempt at images", "result",         "finished", "machine", "device",
                                            "library",           "revision",       "versions", "threads", "batch",
                                            "seconds",           "from the cache", "error"};
enum { ATTEMPT_HEADS = sizeof attempt_heads / sizeof *attempt_heads };

typedef struct attempts {
    pg_report_work *work;
    pg_report_list list;
} attempts;

/* "patchgauge REVISION; LIBRARY; DEVICE on HOST", each once and at most PG_REPORT_ORIGINS. */
static int add_origin(pg_report_work *work, const pg_attempt_record *a)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "patchgauge %s%s%s, %s%son %s", a->revision, *a->library ? ", " : "", a->library, a->device,
                  *a->device ? " " : "", a->host);
    int code = pg_buf_check(&text);
    bool known = code != PG_OK || work->n_origins == PG_REPORT_ORIGINS;
    for (size_t i = 0; i < work->n_origins && !known; i++)
        known = strcmp(work->origins[i], text.data) == 0;
    if (!known)
        work->origins[work->n_origins++] = pg_buf_take(&text);
    pg_buf_release(&text);
    return code;
}

static int add_attempt(const pg_attempt_record *a, void *context)
{
    attempts *list = context;
    char images[64], machine[400], threads[16], batch[16], seconds[32], cached[16];
    snprintf(images, sizeof images, "%" PRId64 ":%" PRId64, a->first, a->first + a->count);
    snprintf(machine, sizeof machine, "%.300s, process %" PRId64, a->host, a->pid);
    snprintf(threads, sizeof threads, "%d", a->threads);
    snprintf(batch, sizeof batch, "%d", a->batch);
    snprintf(seconds, sizeof seconds, "%.3f", a->wall_s);
    snprintf(cached, sizeof cached, "%d", a->cached);
    const char *const texts[ATTEMPT_HEADS] = {images,      a->result, a->finished, machine, a->device, a->library, a->revision,
                                              a->versions, threads,   batch,       seconds, cached,    a->error};
    pg_report_list_row(&list->list, texts, NULL);
    return add_origin(list->work, a);
}

/* Everything that is known of one cell. */
static int add_details(pg_report_work *work, const pg_cell_result *r, pg_buf *out)
{
    attempts list = {.work = work};
    pg_passes passes;
    if (!r->known) {
        pg_report_paragraph("The database does not have this cell: it was never run.", out);
        return PG_OK;
    }
    add_results(r, out);
    pg_measured measured = pg_measured_of(r);
    int code = pg_passes_of(work->store, r->cell_id, &measured, &passes);
    if (code == PG_OK && passes.smaller_batch)
        pg_report_paragraph("Memory ran out, so that some images were computed in smaller batches than asked for.", out);
    if (code == PG_OK && passes.images > 0)
        add_paragraph(out,
                      "%" PRId64 " images, %" PRId64
                      " of them certified, ran on %s, where the locality counts as not measured: these "
                      "certificates rest on no measurement.",
                      passes.images, passes.certified, passes.on);
    add_settings(r, out);
    pg_report_list_begin(&list.list, attempt_heads, ATTEMPT_HEADS);
    if (code == PG_OK)
        code = pg_store_each_attempt(work->store, r->cell_id, add_attempt, &list);
    bool any = list.list.rows > 0;
    if (any)
        pg_report_fold_begin("attempts: machine, library, revision", false, out);
    pg_report_list_end(&list.list, out);
    if (any)
        pg_report_fold_end(out);
    return code;
}

/* ---- Audits -------------------------------------------------------------------------------------------------------------- */

static const char *const audit_heads[] = {"audited cell",     "level",        "images",   "certified",     "broken", "unbroken",
                                          "published broken", "delta / 2^20", "settings", "what broke it", "stored"};
enum { AUDIT_HEADS = sizeof audit_heads / sizeof *audit_heads };

typedef struct audits {
    const pg_report_part *part;
    size_t entry;
    pg_report_list list;
} audits;

static int add_audit(const pg_audit_record *a, void *context)
{
    audits *list = context;
    const pg_table_entry *e = &list->part->table->entries[list->entry];
    char anchor[PG_REPORT_ANCHOR], n[6][24];
    pg_buf cell = PG_BUF_EMPTY;
    const int64_t counts[6] = {a->n, a->certified, a->broken, a->unbroken, a->published_broken, a->delta};
    bool published = e->published >= 0 || a->published_broken > 0;
    for (size_t i = 0; i < 6; i++)
        snprintf(n[i], sizeof n[i], "%" PRId64, counts[i]);
    pg_buf_printf(&cell, "%s / %s", e->row, e->column);
    const char *const texts[AUDIT_HEADS] = {cell.data,
                                            a->level,
                                            n[0],
                                            n[1],
                                            n[2],
                                            n[3],
                                            published ? n[4] : "",
                                            a->has_delta ? n[5] : "",
                                            a->settings,
                                            a->witness != NULL ? a->witness : "",
                                            a->finished};
    anchor_of(list->part, list->entry, anchor);
    int code = pg_buf_check(&cell);
    if (code == PG_OK)
        pg_report_list_row(&list->list, texts, anchor);
    pg_buf_release(&cell);
    return code;
}

/* ---- Both ---------------------------------------------------------------------------------------------------------------- */

static int count_audit(const pg_audit_record *a, void *context)
{
    (void)a;
    ++*(int64_t *)context;
    return PG_OK;
}

static int add_cell(pg_report_work *work, const pg_report_part *part, const pg_report_cells *cells, size_t i)
{
    int64_t audited = 0;
    char anchor[PG_REPORT_ANCHOR];
    pg_buf details = PG_BUF_EMPTY;
    pg_cell_result result;
    int code = pg_store_cell(work->store, part->ids[i], &result);
    if (code != PG_OK)
        return code;
    if (result.n == 0)
        code = pg_store_each_audit(work->store, part->ids[i], count_audit, &audited);
    if (code == PG_OK)
        code = add_details(work, &result, &details);
    if (code == PG_OK)
        code = pg_buf_check(&details);
    anchor_of(part, i, anchor);
    if (code == PG_OK)
        pg_report_cell(cells, &part->table->entries[i], anchor, part->ids[i],
                       audited > 0 ? "audited" : pg_cell_state_name(result.state), &details, &work->body);
    pg_cell_result_release(&result);
    pg_buf_release(&details);
    return code;
}

int pg_report_add_cells(pg_report_work *work, const pg_report_part *part)
{
    audits list = {.part = part};
    pg_report_cells cells;
    int code = PG_OK;
    pg_report_list_begin(&list.list, audit_heads, AUDIT_HEADS);
    pg_report_cells_begin(part->table, &cells, &work->body);
    for (size_t i = 0; code == PG_OK && i < part->table->n_entries; i++)
        code = add_cell(work, part, &cells, i);
    if (code == PG_OK)
        code = pg_report_cells_end(&cells, &work->body);
    for (; code == PG_OK && list.entry < part->table->n_entries; list.entry++)
        code = pg_store_each_audit(work->store, part->ids[list.entry], add_audit, &list);
    if (list.list.rows > 0)
        pg_report_heading("Audits", &work->body);
    pg_report_list_end(&list.list, &work->body);
    return code;
}
