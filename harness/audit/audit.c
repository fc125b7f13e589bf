/* Audits of a plan: its cells in groups that share a network, the images of a group in chunks. See audit.h. */
#include "harness/audit/audit_level.h"

#include "defenses/evidence.h"
#include "harness/base/log.h"
#include "harness/plan/modules.h"
#include "harness/plan/tasks.h"
#include "harness/target/attacker.h"
#include "harness/target/open.h"
#include "harness/base/process.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 64 << 20, CHUNK_IMAGES = 1024, WITNESS_MAX = 8192 };

/* What the process that audits leaves of a cell, where plug-ins may end it. */
typedef struct legacy {
    bool done;                          /* its rows are here and stored */
    bool failed;                        /* by the fault of a plug-in, which the user has been told */
    pg_audit_row rows[PG_AUDIT_LEVELS]; /* cells are those of the plan, which both processes have; NULL: not asked for */
    char witness[PG_AUDIT_LEVELS][WITNESS_MAX];
} legacy;

/* Memory that is shared: what is at work, as numbers of cells + 1, and the cells of the plan. */
typedef struct shared_state {
    _Alignas(max_align_t) atomic_llong group; /* the first cell of the group; 0: none */
    atomic_llong cell;                        /* whose rule is asked; 0: none, it is a network's or an attack's turn */
    char first[PG_MESSAGE_MAX];               /* why the first cell failed */
    legacy cells[];
} shared_state;

typedef struct audit {
    const pg_audit_request *request;
    pg_thread_pool *pool;
    pg_store *store; /* NULL before the first network has opened */
    pg_audit_row *rows;
    size_t n_rows;
    /* of each cell of the plan: number + 1 of the one that is audited for it, itself or one like it; 0: none yet */
    size_t *group;
    shared_state *shared; /* NULL: the plan has nothing of plug-ins, and one process does all */
} audit;

/* ---- Cells of plug-ins ---- */

static bool is_foreign(const pg_module *module) { return pg_modules_origin(module) != NULL; }

/* Whether code of a plug-in runs for this cell, whatever the level. */
static bool rests_on_plugin(const pg_audit_request *r, const pg_cell *cell)
{
    const pg_model *model = pg_model_find(cell->forward->info.model);
    return is_foreign(&cell->defense->module) || (model && is_foreign(&model->module)) ||
           (r->levels[PG_AUDIT_PIXEL] && r->attack && is_foreign(&r->attack->module));
}

static bool is_finished(const audit *a, size_t i)
{
    return a->shared && (a->shared->cells[i].done || a->shared->cells[i].failed);
}

static void give_up(shared_state *b, const pg_plan *plan, size_t i, const char *reason)
{
    const pg_cell *cell = pg_plan_at(plan, i);
    char label[PG_MODULE_LABEL_MAX], told[PG_MESSAGE_MAX];
    pg_modules_label("defense", &cell->defense->module, label);
    bool named = strncmp(reason, label, strlen(label)) == 0;
    snprintf(told, sizeof told, "%s%scell %.12s, patch %s: %s", named ? "" : label, named ? "" : ", ", cell->id,
             pg_cell_value(cell, "patch"), reason);
    pg_warn("%s; the audit goes on without it", told);
    if (!*b->first)
        snprintf(b->first, sizeof b->first, "%s", told);
    b->cells[i].failed = true;
}

/* The rule of a cell is asked from here on. */
static void hold(const pg_audit_group *g, const pg_audit_cell *cell)
{
    if (g->in_hand)
        atomic_store(g->in_hand, cell ? (long long)cell->index + 1 : 0);
}

/* ---- One group ---- */

/* With an attack of its own or without one, a forward pass has the same clean local logits. */
static bool same_network(const pg_forward *a, const pg_forward *b) { return strcmp(a->clean_id, b->clean_id) == 0; }

/* Cells that differ in what no level looks at: the attack of the matrix. */
static bool same_audit(const pg_cell *a, const pg_cell *b)
{
    return a->defense == b->defense && memcmp(a->config, b->config, a->defense->module.config_size) == 0 &&
           a->affected_height == b->affected_height && a->affected_width == b->affected_width && a->delta == b->delta &&
           a->logit_delta == b->logit_delta && a->any_batch == b->any_batch && a->first == b->first && a->count == b->count;
}

static int take_cells(audit *a, pg_audit_group *g)
{
    size_t n = pg_plan_count(a->request->plan);
    g->cells = pg_memory_take(&g->memory, n, sizeof *g->cells);
    if (!g->cells)
        return pg_memory_check(&g->memory, "%zu cells", n);
    for (size_t i = 0; i < n; i++) {
        const pg_cell *cell = pg_plan_at(a->request->plan, i);
        if (a->group[i] || is_finished(a, i) || !same_network(cell->forward, g->forward))
            continue;
        for (size_t k = 0; k < i && !a->group[i]; k++)
            if (a->group[k] == k + 1 && same_network(pg_plan_at(a->request->plan, k)->forward, g->forward) &&
                same_audit(pg_plan_at(a->request->plan, k), cell))
                a->group[i] = k + 1;
        if (a->group[i])
            continue;
        a->group[i] = i + 1;
        pg_audit_cell *c = &g->cells[g->n_cells++];
        *c = (pg_audit_cell){
            .cell = cell, .index = i, .witness_image = {-1, -1, -1}, .delta = cell->delta, .logit_delta = cell->logit_delta};
        for (int level = 0; level < PG_AUDIT_LEVELS; level++) {
            if (!a->request->levels[level])
                continue;
            c->rows[level] = &a->rows[PG_AUDIT_LEVELS * i + (size_t)level];
            *c->rows[level] = (pg_audit_row){.cell = cell,
                                             .level = (pg_audit_level)level,
                                             .certificate = cell->defense->certificate(cell->config),
                                             .delta = level == PG_AUDIT_LOCALITY ? 0 : -1};
        }
    }
    return PG_OK;
}

/* Whole batches whose local logits and patched twins fit into a fixed size, at least one. */
static int64_t chunk_images(const pg_forward *f)
{
    const pg_geometry *m = &f->info.geometry;
    int64_t bytes = (int64_t)m->rows.positions * m->columns.positions * m->classes * (int64_t)sizeof(float);
    int64_t images = CHUNK_BYTES / bytes < CHUNK_IMAGES ? CHUNK_BYTES / bytes : CHUNK_IMAGES;
    if (pg_defended_masks_images(&f->masked_images) && images > PG_TASK_SLOW) /* each takes long */
        images = PG_TASK_SLOW;
    return images < f->at_once ? f->at_once : images / f->at_once * f->at_once;
}

static int allocate_chunk(pg_audit_group *g, int64_t images)
{
    const pg_geometry *m = &g->forward->info.geometry;
    size_t n = (size_t)images, image = (size_t)3 * (size_t)g->forward->dataset_height * (size_t)g->forward->dataset_width;
    size_t tensor = (size_t)m->rows.positions * (size_t)m->columns.positions * (size_t)m->classes * sizeof(float);
    bool patched = g->request->levels[PG_AUDIT_LOCALITY];
    g->chunk.pixels = pg_memory_take(&g->memory, n, image);
    g->chunk.labels = pg_memory_take(&g->memory, n, sizeof *g->chunk.labels);
    g->chunk.logits = pg_memory_take(&g->memory, n, tensor);
    g->chunk.patched = pg_memory_take(&g->memory, patched ? n : 0, image);
    g->chunk.after = pg_memory_take(&g->memory, patched ? n : 0, tensor);
    for (size_t c = 0; c < g->n_cells; c++)
        g->cells[c].audited = pg_memory_take(&g->memory, n, sizeof *g->cells[c].audited);
    return pg_memory_check(&g->memory, "%lld images of an audit", (long long)images);
}

static int open_group(audit *a, pg_audit_group *g)
{
    const pg_forward *f = g->forward;
    pg_network_options options = {
        .device = a->request->device, .dtype = f->dtype, .batch = f->batch, .threads = a->request->threads};
    int code = pg_forward_open(f, &options, &g->network);
    if (code == PG_OK)
        code = pg_dataset_open(a->request->data_dir, f->dataset, &g->dataset);
    if (code == PG_OK && strcmp(pg_dataset_info_of(g->dataset)->hash, f->dataset_hash) != 0)
        code = pg_fail(PG_EINPUT, "%s changed since it was planned; audit again", f->dataset);
    if (code == PG_OK && !a->store)
        code = a->request->begin(a->request->context, &a->store);
    return code == PG_OK ? allocate_chunk(g, chunk_images(f)) : code;
}

static void close_group(pg_audit_group *g)
{
    for (size_t c = 0; c < g->n_cells; c++)
        pg_attacker_close(g->cells[c].attacker);
    pg_network_close(g->network);
    pg_dataset_close(g->dataset);
    pg_memory_free(&g->memory);
}

/* ---- Chunks ---- */

static void drop_cell(pg_audit_group *g, size_t c)
{
    for (int level = 0; level < PG_AUDIT_LEVELS; level++)
        if (g->cells[c].rows[level])
            g->cells[c].rows[level]->cell = NULL; /* not finished: no row */
    pg_attacker_close(g->cells[c].attacker);
    memmove(&g->cells[c], &g->cells[c + 1], (--g->n_cells - c) * sizeof *g->cells);
}

/* What no rule can mean is the fault of a plug-in's alone: the other cells go on. */
static int drop_if_impossible(pg_audit_group *g, size_t c, int code)
{
    if (code != PG_EINPUT || !g->give_up || !is_foreign(&g->cells[c].cell->defense->module))
        return code;
    g->give_up(g->context, g->cells[c].index, pg_error_message());
    drop_cell(g, c);
    return PG_OK;
}

static int audit_chunk(pg_audit_group *g)
{
    const bool *levels = g->request->levels;
    int code = PG_OK;
    for (size_t c = 0; code == PG_OK && c < g->n_cells;) {
        size_t before = g->n_cells;
        pg_audit_cell *cell = &g->cells[c];
        hold(g, cell);
        code = pg_audit_verdicts(g, cell, levels[PG_AUDIT_FEATURE]);
        if (code == PG_OK && levels[PG_AUDIT_FEATURE])
            code = pg_audit_features(g, cell);
        code = drop_if_impossible(g, c, code);
        c += g->n_cells == before;
    }
    hold(g, NULL);
    if (code == PG_OK && levels[PG_AUDIT_LOCALITY])
        code = pg_audit_locality(g);
    for (size_t c = 0; code == PG_OK && c < g->n_cells && levels[PG_AUDIT_PIXEL]; c++) {
        hold(g, &g->cells[c]);
        code = pg_audit_pixels(g, &g->cells[c]);
    }
    hold(g, NULL);
    return code;
}

/* The certificates that survive the change that was measured, where it is more than the cell reckons with. */
static int recertify_chunk(pg_audit_group *g)
{
    int code = PG_OK;
    for (size_t c = 0; code == PG_OK && c < g->n_cells; c++) {
        pg_audit_cell *cell = &g->cells[c];
        if (cell->delta == cell->cell->delta && cell->logit_delta == cell->cell->logit_delta)
            continue;
        hold(g, cell);
        code = pg_audit_verdicts(g, cell, false);
        for (int i = 0; code == PG_OK && i < g->chunk.count; i++)
            if (pg_audit_wants(cell->cell, g->chunk.first + i))
                cell->rows[PG_AUDIT_LOCALITY]->certified += cell->audited[i].verdict.certified;
    }
    return code;
}

/* Calls `step` for chunk after chunk of the images that some cell wants, with their local logits. */
static int each_chunk(pg_audit_group *g, const char *label, int (*step)(pg_audit_group *group))
{
    int64_t first = INT64_MAX, end = 0, most = chunk_images(g->forward);
    for (size_t c = 0; c < g->n_cells; c++) {
        const pg_cell *cell = g->cells[c].cell;
        first = cell->first < first ? cell->first : first;
        end = cell->first + cell->count > end ? cell->first + cell->count : end;
    }
    pg_progress progress;
    pg_progress_start(&progress, label, 0, end - first);
    int code = PG_OK;
    for (int64_t at = first / g->forward->at_once * g->forward->at_once; code == PG_OK && at < end; at += most) {
        pg_audit_chunk *k = &g->chunk;
        k->first = at;
        k->count = (int)(end - at < most ? end - at : most);
        code = pg_dataset_read(g->dataset, at, k->count, k->pixels, k->labels);
        if (code == PG_OK)
            code = pg_audit_forward(g, k->pixels, k->logits);
        if (code == PG_OK)
            code = step(g);
        if (code == PG_OK)
            pg_progress_update(&progress, at + k->count - first, NULL);
    }
    pg_progress_finish(&progress);
    return code;
}

static int recertify(pg_audit_group *g)
{
    bool needed = false;
    for (size_t c = 0; c < g->n_cells; c++) {
        pg_audit_cell *cell = &g->cells[c];
        int64_t measured = cell->rows[PG_AUDIT_LOCALITY]->delta;
        bool votes = pg_audit_sure_votes(cell->cell);
        if (measured <= (votes ? cell->cell->logit_delta : cell->cell->delta))
            continue;
        cell->delta = votes ? PG_GRID : measured;
        cell->logit_delta = votes ? measured : cell->cell->logit_delta;
        cell->rows[PG_AUDIT_LOCALITY]->certified = 0;
        needed = true;
    }
    return needed ? each_chunk(g, "certified again, with what was measured:", recertify_chunk) : PG_OK;
}

/* ---- Storing ---- */

static void describe(const pg_audit_group *g, pg_audit_level level, pg_buf *out)
{
    const pg_audit_request *r = g->request;
    if (level != PG_AUDIT_FEATURE)
        pg_settings_add(out, "device", pg_network_device(g->network));
    pg_buf_printf(out, "seed=%llu\n", (unsigned long long)r->effort.seed);
    if (level == PG_AUDIT_FEATURE)
        pg_buf_printf(out, "random=%lld\ntries=%lld\n", (long long)r->effort.random, (long long)r->effort.tries);
    if (level != PG_AUDIT_PIXEL)
        return;
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s.", r->attack->module.name);
    pg_settings_add(out, "attack", r->attack->module.name);
    pg_buf_printf(out, "attack.version=%d\n", r->attack->module.version);
    pg_options_canonical(r->attack->module.options, r->attack_config, prefix, true, out);
}

static int store_row(audit *a, const pg_audit_group *g, const pg_audit_row *row)
{
    pg_buf settings = PG_BUF_EMPTY;
    describe(g, row->level, &settings);
    int code = pg_buf_check(&settings);
    pg_audit_record record = {.level = pg_audit_level_names[row->level],
                              .settings = settings.data,
                              .n = row->n,
                              .certified = row->certified,
                              .broken = row->broken,
                              .unbroken = row->unbroken,
                              .published_broken = row->published_broken,
                              .has_delta = row->delta >= 0,
                              .delta = row->delta,
                              .witness = row->witness};
    if (code == PG_OK)
        code = pg_store_audit(a->store, row->cell->id, &record);
    pg_buf_release(&settings);
    return code;
}

/* The rows of the group's cells, and of those like them, which are like them, are stored. */
static int store_rows(audit *a, const pg_audit_group *g)
{
    const pg_plan *plan = a->request->plan;
    int code = PG_OK;
    for (size_t i = 0; i < pg_plan_count(plan); i++)
        for (int level = 0; code == PG_OK && level < PG_AUDIT_LEVELS; level++) {
            if (!a->request->levels[level] || !same_network(pg_plan_at(plan, i)->forward, g->forward))
                continue;
            pg_audit_row *row = &a->rows[PG_AUDIT_LEVELS * i + (size_t)level];
            size_t like = a->group[i] - 1;
            if (is_finished(a, i) || (a->shared && a->shared->cells[like].failed))
                continue;
            if (like != i) {
                *row = a->rows[PG_AUDIT_LEVELS * like + (size_t)level];
                row->cell = pg_plan_at(plan, i);
                row->witness = row->witness ? strdup(row->witness) : NULL;
            }
            code = store_row(a, g, row);
        }
    return code;
}

/* Finished cells of the group: for the process that waits. */
static void publish(audit *a, const pg_audit_group *g)
{
    for (size_t i = 0; i < pg_plan_count(a->request->plan); i++) {
        legacy *left = &a->shared->cells[i];
        if (!a->group[i] || is_finished(a, i) || !same_network(pg_plan_at(a->request->plan, i)->forward, g->forward))
            continue;
        if (a->shared->cells[a->group[i] - 1].failed) {
            left->failed = true;
            continue;
        }
        memcpy(left->rows, &a->rows[PG_AUDIT_LEVELS * i], sizeof left->rows);
        for (int level = 0; level < PG_AUDIT_LEVELS; level++)
            if (left->rows[level].witness)
                snprintf(left->witness[level], WITNESS_MAX, "%s", left->rows[level].witness);
        left->done = true;
    }
}

static void give_up_here(void *context, size_t i, const char *reason)
{
    audit *a = context;
    give_up(a->shared, a->request->plan, i, reason);
}

static int audit_group(audit *a, size_t first)
{
    const pg_forward *forward = pg_plan_at(a->request->plan, first)->forward;
    pg_audit_group g = {.request = a->request, .forward = forward, .pool = a->pool, .context = a};
    char label[PG_MESSAGE_MAX];
    if (a->shared) {
        atomic_store(&a->shared->group, (long long)first + 1);
        g.in_hand = &a->shared->cell;
        g.give_up = give_up_here;
    }
    int code = take_cells(a, &g);
    if (code == PG_OK)
        code = open_group(a, &g);
    if (code == PG_OK) {
        snprintf(label, sizeof label, "%s, %zu cell%s: images", forward->weights, g.n_cells, g.n_cells == 1 ? "" : "s");
        code = each_chunk(&g, label, audit_chunk);
    }
    for (size_t c = 0; code == PG_OK && a->request->levels[PG_AUDIT_LOCALITY] && c < g.n_cells; c++)
        if (g.cells[c].rows[PG_AUDIT_LOCALITY]->outside == 0)
            g.cells[c].rows[PG_AUDIT_LOCALITY]->delta = -1;
    if (code == PG_OK && a->request->levels[PG_AUDIT_LOCALITY])
        code = recertify(&g);
    for (size_t c = 0; code != PG_OK && c < g.n_cells; c++)
        for (int level = 0; level < PG_AUDIT_LEVELS; level++)
            if (g.cells[c].rows[level])
                g.cells[c].rows[level]->cell = NULL; /* not finished: no row */
    if (code == PG_OK)
        code = store_rows(a, &g);
    if (code == PG_OK && a->shared)
        publish(a, &g);
    close_group(&g);
    return code;
}

/* ---- The plan ---- */

static size_t pack(pg_audit_row *rows, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].cell)
            rows[kept++] = rows[i];
        else
            free(rows[i].witness);
    }
    return kept;
}

static int audit_all(void *context)
{
    audit *a = context;
    int code = pg_thread_pool_new(a->request->workers, &a->pool);
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(a->request->plan); i++)
        if (!a->group[i] && !is_finished(a, i))
            code = audit_group(a, i);
    pg_thread_pool_free(a->pool);
    return code;
}

/* Whose fault it was that the process ended: the cell in hand, or all of the group that rest on a plug-in as it does, or, where
 * none does, all of the group. False: nothing was left to do. */
static bool blame(audit *a, const char *reason)
{
    const pg_plan *plan = a->request->plan;
    shared_state *b = a->shared;
    size_t cell = (size_t)atomic_load(&b->cell), first = (size_t)atomic_load(&b->group);
    const pg_forward *forward = first ? pg_plan_at(plan, first - 1)->forward : NULL;
    if (cell && rests_on_plugin(a->request, pg_plan_at(plan, cell - 1))) {
        give_up(b, plan, cell - 1, reason);
        return true;
    }
    for (int foreign = 1; foreign >= 0; foreign--) {
        bool any = false;
        for (size_t i = 0; i < pg_plan_count(plan); i++) {
            const pg_cell *c = pg_plan_at(plan, i);
            if (is_finished(a, i) || (forward && !same_network(c->forward, forward)) ||
                (foreign && !rests_on_plugin(a->request, c)))
                continue;
            give_up(b, plan, i, reason);
            any = true;
        }
        if (any)
            return true;
    }
    return false;
}

/* In a process of its own, which begins anew without the cells that ended it, and keeps what it has finished. */
static int audit_in_children(audit *a)
{
    size_t cells = pg_plan_count(a->request->plan), failed = 0;
    int code = PG_OK;
    a->shared = pg_process_memory(sizeof *a->shared + cells * sizeof *a->shared->cells);
    if (!a->shared)
        return PG_ENOMEM;
    for (bool died = true; died;) {
        atomic_store(&a->shared->cell, 0);
        atomic_store(&a->shared->group, 0);
        code = pg_process_run(audit_all, a, &died);
        if (died) {
            char reason[PG_MESSAGE_MAX];
            snprintf(reason, sizeof reason, "%s", pg_error_message());
            if (!blame(a, reason)) { /* at its end: all that was asked for is there */
                pg_warn("%s", reason);
                code = PG_OK;
                break;
            }
        }
    }
    for (size_t i = 0; i < cells; i++) {
        const legacy *left = &a->shared->cells[i];
        failed += left->failed;
        for (int level = 0; left->done && level < PG_AUDIT_LEVELS; level++) {
            pg_audit_row *row = &a->rows[PG_AUDIT_LEVELS * i + (size_t)level];
            *row = left->rows[level];
            row->witness = row->witness ? strdup(left->witness[level]) : NULL;
        }
    }
    if (code == PG_OK && failed > 0)
        code = pg_fail(PG_ECELLS, "%zu of %zu cells could not be audited; the first: %s", failed, cells, a->shared->first);
    return code;
}

int pg_audit_run(const pg_audit_request *request, pg_audit_row **rows, size_t *n)
{
    size_t cells = pg_plan_count(request->plan);
    audit a = {.request = request, .n_rows = PG_AUDIT_LEVELS * cells};
    bool in_children = false;
    for (size_t i = 0; i < cells; i++)
        in_children = in_children || rests_on_plugin(request, pg_plan_at(request->plan, i));
    a.rows = calloc(a.n_rows + 1, sizeof *a.rows);
    a.group = calloc(cells + 1, sizeof *a.group);
    int code = a.rows && a.group ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for an audit of %zu cells", cells);
    if (code == PG_OK && request->levels[PG_AUDIT_PIXEL] && !request->attack)
        code = pg_fail(PG_EINPUT, "an audit at the level of pixels needs an attack");
    if (code == PG_OK)
        code = in_children ? audit_in_children(&a) : audit_all(&a);
    free(a.group);
    *rows = a.rows;
    *n = a.rows ? pack(a.rows, a.n_rows) : 0;
    return code;
}

void pg_audit_rows_free(pg_audit_row *rows, size_t n)
{
    for (size_t i = 0; rows && i < n; i++)
        free(rows[i].witness);
    free(rows);
}

int pg_audit_conclude(const pg_audit_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const pg_audit_row *r = &rows[i];
        if (r->broken == 0 || r->certificate == PG_CERTIFICATE_NONE)
            continue;
        pg_buf witness = PG_BUF_EMPTY;
        for (const char *c = r->witness ? r->witness : ""; *c; c++)
            pg_buf_printf(&witness, *c == '\n' ? "%s" : "%.1s", *c == '\n' ? (c[1] ? ", " : "") : c);
        int code = pg_fail(PG_EBROKEN, "defense %s, patch %s, cell %.12s, level %s: %lld certified images broke; the first: %s",
                           r->cell->defense->module.name, pg_cell_value(r->cell, "patch"), r->cell->id,
                           pg_audit_level_names[r->level], (long long)r->broken, witness.data);
        pg_buf_release(&witness);
        return code;
    }
    for (size_t i = 0; i < n; i++) {
        const pg_audit_row *r = &rows[i];
        if (r->certificate == PG_CERTIFICATE_EXACT && r->unbroken > 0 && r->sampled == 0)
            return pg_fail(
                PG_ECELLS,
                "defense %s, patch %s, cell %.12s: its rule is marked exact, but %lld refused images were not broken",
                r->cell->defense->module.name, pg_cell_value(r->cell, "patch"), r->cell->id, (long long)r->unbroken);
    }
    return PG_OK;
}
