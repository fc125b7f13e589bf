/* The levels of an audit, one chunk of images at a time. See audit.h and audit_level.h. */
#include "harness/audit/audit_level.h"

#include "defenses/votes.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/npy.h"
#include "harness/base/rng.h"
#include "harness/plan/modules.h"
#include "harness/target/attacker.h"
#include "harness/base/signals.h"
#include "models/locality.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pg_audit_level_names[] = {"feature", "locality", "pixel", NULL};

static size_t tensor_of(const pg_audit_group *g)
{
    const pg_geometry *m = &g->forward->info.geometry;
    return (size_t)m->rows.positions * (size_t)m->columns.positions * (size_t)m->classes;
}

static size_t image_of(const pg_audit_group *g)
{
    return (size_t)3 * (size_t)g->forward->dataset_height * (size_t)g->forward->dataset_width;
}

int pg_audit_forward(pg_audit_group *g, const uint8_t *pixels, float *logits)
{
    int code = PG_OK;
    for (int at = 0; code == PG_OK && at < g->chunk.count; at += g->forward->at_once) {
        int left = g->chunk.count - at, n = left < g->forward->at_once ? left : g->forward->at_once;
        if (pg_signals_stopping())
            return pg_fail(PG_EINTERRUPTED, "interrupted");
        code = pg_network_forward(g->network, pixels + (size_t)at * image_of(g), g->chunk.first + at, n,
                                  logits + (size_t)at * tensor_of(g));
    }
    return code;
}

/* ---- Witnesses ---- */

static int write_array(const char *path, int dtype, const void *data, int rank, const int64_t *shape)
{
    pg_file_writer writer = {0};
    size_t size = pg_npy_item_size((pg_npy_dtype)dtype);
    for (int i = 0; i < rank; i++)
        size *= (size_t)shape[i];
    int code = pg_file_begin(&writer, path);
    if (code == PG_OK)
        code = pg_npy_write_header(writer.stream, (pg_npy_dtype)dtype, rank, shape);
    if (code == PG_OK && fwrite(data, 1, size, writer.stream) != size)
        code = pg_fail(PG_EIO, "%s: cannot be written; the disk may be full", path);
    if (code == PG_OK)
        code = pg_file_commit(&writer);
    pg_file_abort(&writer);
    return code;
}

/* The contents of a break go to FOLDER/audit-CELL-LEVEL-IMAGE.npy, its description into the row, where no image before this one
 * broke. `text`: key=value lines, completed here. `data` of shape[rank]. */
static int write_witness(pg_audit_group *g, pg_audit_cell *cell, pg_audit_level level, int64_t image, pg_buf *text, int dtype,
                         const void *data, int rank, const int64_t *shape)
{
    pg_audit_row *row = cell->rows[level];
    const char *folder = g->request->folder;
    bool written = folder || row->certificate != PG_CERTIFICATE_NONE;
    pg_buf path = PG_BUF_EMPTY;
    pg_buf_printf(&path, "%s/audit-%.12s-%s-%lld.npy", folder ? folder : ".", cell->cell->id, pg_audit_level_names[level],
                  (long long)image);
    int code = pg_buf_check(&path);
    if (code == PG_OK && folder)
        code = pg_make_folders(folder);
    if (code == PG_OK && written)
        code = write_array(path.data, dtype, data, rank, shape);
    if (code == PG_EIO || code == PG_EINPUT) { /* what broke is worth more than its file */
        pg_warn("%s; the audit goes on without this file", pg_error_message());
        written = false;
        code = PG_OK;
    }
    pg_buf_printf(text, "image=%lld\n", (long long)image);
    if (written)
        pg_settings_add(text, "contents", path.data);
    cell->witness_image[level] = image;
    free(row->witness);
    row->witness = pg_buf_take(text);
    pg_buf_release(&path);
    return code == PG_OK && !row->witness ? pg_fail(PG_ENOMEM, "out of memory") : code;
}

/* ---- Verdicts and features ---- */

typedef struct loop {
    pg_audit_group *group;
    pg_audit_cell *cell;
    bool attack;
    pg_auditor *auditors[PG_THREAD_POOL_MAX];
    const uint8_t *pixels;
    struct change *changes;
} loop;

static int new_auditor(const pg_audit_group *g, const pg_audit_cell *cell, pg_auditor **out)
{
    const pg_geometry *m = &g->forward->info.geometry;
    pg_job job = {.defense = cell->cell->defense,
                  .config = cell->cell->config,
                  .window = cell->cell->window,
                  .delta = cell->delta,
                  .logit_delta = cell->logit_delta};
    return pg_auditor_new(&job, &g->request->effort, m->rows.positions, m->columns.positions, m->classes, m->rows.wrap,
                          m->columns.wrap, out);
}

static int auditor_of(loop *l, int worker, pg_auditor **out)
{
    int code = l->auditors[worker] ? PG_OK : new_auditor(l->group, l->cell, &l->auditors[worker]);
    *out = l->auditors[worker];
    return code;
}

static void release_auditors(loop *l)
{
    for (int i = 0; i < PG_THREAD_POOL_MAX; i++)
        pg_auditor_free(l->auditors[i]);
}

static int verdict_step(void *context, int worker, int64_t i)
{
    loop *l = context;
    pg_audit_chunk *chunk = &l->group->chunk;
    pg_audited *out = &l->cell->audited[i];
    pg_auditor *auditor;
    *out = (pg_audited){0};
    if (!pg_audit_wants(l->cell->cell, chunk->first + i))
        return PG_OK;
    if (pg_signals_stopping())
        return pg_fail(PG_EINTERRUPTED, "interrupted");
    int code = auditor_of(l, worker, &auditor);
    if (code == PG_OK)
        code = pg_auditor_image(auditor, chunk->logits + (size_t)i * tensor_of(l->group), chunk->first + i, chunk->labels[i],
                                l->attack, out);
    out->how.contents = NULL;
    return code == PG_EINPUT ? pg_modules_blame(code, "defense", &l->cell->cell->defense->module, chunk->first + i) : code;
}

int pg_audit_verdicts(pg_audit_group *g, pg_audit_cell *cell, bool attack)
{
    loop l = {.group = g, .cell = cell, .attack = attack};
    int code = pg_thread_pool_run(g->pool, g->chunk.count, verdict_step, &l);
    release_auditors(&l);
    return code;
}

/* The break of image i of the chunk, found again, so that its contents are there. */
static int witness_feature(pg_audit_group *g, pg_audit_cell *cell, int i)
{
    pg_audited found;
    pg_auditor *auditor = NULL;
    int64_t image = g->chunk.first + i;
    int code = new_auditor(g, cell, &auditor);
    if (code == PG_OK)
        code = pg_auditor_image(auditor, g->chunk.logits + (size_t)i * tensor_of(g), image, g->chunk.labels[i], true, &found);
    if (code == PG_OK) {
        const pg_audit_break *h = &found.how;
        pg_window window = pg_auditor_window(auditor);
        const int64_t shape[] = {h->contents ? window.height : 0, window.width, g->forward->info.geometry.classes};
        pg_buf text = PG_BUF_EMPTY;
        pg_buf_printf(&text, "by=%s\nlabel=%d\nclass=%d\nprediction=%d\ntie=%s\nwindow.top=%d\nwindow.left=%d\nwindow=%dx%d\n",
                      h->by, g->chunk.labels[i], h->rival, h->prediction, h->tie ? "true" : "false", h->top, h->left,
                      window.height, window.width);
        if (h->shifted)
            pg_buf_printf(&text, "outside moved by=%lld\n", (long long)cell->delta);
        code = write_witness(g, cell, PG_AUDIT_FEATURE, image, &text, PG_NPY_I4, h->contents ? (const void *)h->contents : "",
                             3, shape);
        pg_buf_release(&text);
    }
    pg_auditor_free(auditor);
    return code;
}

int pg_audit_features(pg_audit_group *g, pg_audit_cell *cell)
{
    pg_audit_row *row = cell->rows[PG_AUDIT_FEATURE];
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < g->chunk.count; i++) {
        const pg_audited *a = &cell->audited[i];
        if (!pg_audit_wants(cell->cell, g->chunk.first + i))
            continue;
        row->n++;
        row->correct += a->correct;
        row->certified += a->verdict.certified;
        row->broken += a->claimed && a->broken;
        row->unbroken += a->correct && !a->claimed && !a->broken && !a->at_end;
        row->at_end += a->at_end;
        row->published += a->verdict.certified_published;
        row->published_broken += a->verdict.certified_published && a->broken;
        row->contents += a->contents;
        row->sampled += a->sampled;
        if (cell->witness_image[PG_AUDIT_FEATURE] < 0 && a->broken && (a->claimed || a->verdict.certified_published))
            code = witness_feature(g, cell, i);
    }
    return code;
}

/* ---- Locality ---- */

/* What a random patch changed. */
typedef struct change {
    int64_t delta;  /* outside, grid units of the evidence or, for votes, of logits; -1: there is no position outside */
    int prediction; /* of the patched image */
} change;

static pg_rect place_patch(const pg_audit_group *g, const pg_cell *cell, int64_t image, pg_rng *rng)
{
    *rng = pg_rng_make(g->request->effort.seed, PG_STREAM_AUDIT, (uint32_t)image);
    pg_rect p = {.height = cell->affected_height, .width = cell->affected_width};
    p.top = (int)pg_rng_below(rng, (uint32_t)(g->forward->dataset_height - p.height + 1));
    p.left = (int)pg_rng_below(rng, (uint32_t)(g->forward->dataset_width - p.width + 1));
    return p;
}

/* Every other image gets nothing but black and white, which changes most; the rest any bytes. */
static void fill_patch(const pg_audit_group *g, pg_rect p, int64_t image, pg_rng *rng, uint8_t *pixels)
{
    int height = g->forward->dataset_height, width = g->forward->dataset_width;
    for (int c = 0; c < 3; c++)
        for (int y = p.top; y < p.top + p.height; y++)
            for (int x = p.left; x < p.left + p.width; x++) {
                uint32_t byte = pg_rng_below(rng, 256);
                pixels[(c * height + y) * width + x] = (uint8_t)(image % 2 ? byte / 128 * 255 : byte);
            }
}

/* The positions that the patch in image i of the chunk reaches, touched[H * W]: those whose fields it meets, or whose masked
 * images it changes. */
static int mark_touched(const pg_audit_group *g, pg_rect p, int64_t i, bool *touched)
{
    const pg_forward *f = g->forward;
    const pg_geometry *m = &f->info.geometry;
    size_t size = image_of(g);
    const uint8_t *clean = g->chunk.pixels + (size_t)i * size, *patched = g->chunk.patched + (size_t)i * size;
    uint8_t *masked = pg_defended_masks_images(&f->masked_images) ? calloc(2, size) : NULL;
    if (pg_defended_masks_images(&f->masked_images) && !masked)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (int y = 0; y < m->rows.positions; y++)
        for (int x = 0; x < m->columns.positions; x++) {
            bool *at = &touched[y * m->columns.positions + x];
            if (masked) {
                int like = f->defense->mask_image(f->config, &f->masked_images.size, y, x, clean, masked);
                f->defense->mask_image(f->config, &f->masked_images.size, y, x, patched, masked + size);
                *at = touched + like == at ? memcmp(masked, masked + size, size) != 0 : touched[like];
            } else {
                *at = pg_axis_meets(&m->rows, m->input_height, y, p.top, p.height) &&
                      pg_axis_meets(&m->columns, m->input_width, x, p.left, p.width);
            }
        }
    free(masked);
    return PG_OK;
}

/* The length of the shortest run of places of an axis that holds all that are touched; `step`: from one line of places to the
 * next, `lines` of them, `across`: from one place to the next. */
static int span_of(const bool *touched, int places, int across, int lines, int step, bool wrap)
{
    int first = -1, last = -1, gap = 0;
    for (int i = 0; i < places; i++) {
        bool any = false;
        for (int k = 0; k < lines; k++)
            any = any || touched[i * across + k * step];
        if (!any)
            continue;
        gap = first >= 0 && i - last - 1 > gap ? i - last - 1 : gap;
        first = first < 0 ? i : first;
        last = i;
    }
    if (first < 0)
        return 0;
    int around = first + places - 1 - last;
    return wrap ? places - (around > gap ? around : gap) : last - first + 1;
}

bool pg_audit_sure_votes(const pg_cell *cell)
{
    pg_evidence_spec spec;
    cell->defense->evidence(cell->config, &spec);
    return pg_votes_sure(cell->defense, &spec, 1);
}

/* Largest change at positions that are not touched, of evidence, or of the logits of image i of the chunk. PG_EBROKEN where the
 * touched ones do not fit into a window. */
static int largest_change(const pg_audit_group *g, const pg_cell *cell, pg_rect p, int64_t image, const bool *touched,
                          const int32_t *before, const pg_evidence *after, int64_t *delta)
{
    const float *was = g->chunk.logits + (size_t)image * tensor_of(g), *is = g->chunk.after + (size_t)image * tensor_of(g);
    bool logits = pg_audit_sure_votes(cell);
    int rows = span_of(touched, after->height, after->width, after->width, 1, after->wrap_rows);
    int columns = span_of(touched, after->width, 1, after->height, after->width, after->wrap_columns);
    *delta = -1;
    if (rows > cell->window.height || columns > cell->window.width)
        return pg_fail(PG_EBROKEN, "%s: a patch of %dx%d pixels at (%d, %d) reaches %dx%d positions, the window has %dx%d",
                       g->forward->weights, p.height, p.width, p.top, p.left, rows, columns, cell->window.height,
                       cell->window.width);
    size_t classes = (size_t)after->classes, values = (size_t)after->height * (size_t)after->width * classes;
    for (size_t i = 0; i < values; i++) {
        if (touched[i / classes])
            continue;
        int64_t moved =
            logits ? pg_locality_units(fabs((double)is[i] - (double)was[i])) : llabs((int64_t)after->q[i] - before[i]);
        *delta = moved > *delta ? moved : *delta;
    }
    return PG_OK;
}

static int locality_step(void *context, int worker, int64_t i)
{
    loop *l = context;
    pg_audit_group *g = l->group;
    change *out = &l->changes[i];
    pg_rng rng;
    pg_auditor *auditor;
    if (!pg_audit_wants(l->cell->cell, g->chunk.first + i))
        return PG_OK;
    int code = auditor_of(l, worker, &auditor);
    if (code != PG_OK)
        return code;
    *out = (change){.prediction = -1, .delta = -1};
    const pg_evidence *e = pg_auditor_evidence(auditor, g->chunk.logits + (size_t)i * tensor_of(g));
    size_t size = tensor_of(g) * sizeof(int32_t);
    int32_t *before = malloc(size);
    bool *touched = calloc((size_t)(e ? e->height * e->width : 1), sizeof *touched);
    if (before && e)
        memcpy(before, e->q, size);
    const pg_evidence *after = e ? pg_auditor_evidence(auditor, g->chunk.after + (size_t)i * tensor_of(g)) : NULL;
    if (before && touched && after) {
        pg_rect p = place_patch(g, l->cell->cell, g->chunk.first + i, &rng);
        code = mark_touched(g, p, i, touched);
        if (code == PG_OK)
            code = largest_change(g, l->cell->cell, p, i, touched, before, after, &out->delta);
        out->prediction = pg_auditor_predict(auditor, after);
    }
    bool room = before && touched;
    free(before);
    free(touched);
    return room ? code : pg_fail(PG_ENOMEM, "out of memory");
}

static int witness_patch(pg_audit_group *g, pg_audit_cell *cell, pg_audit_level level, int64_t image, int prediction, int top,
                         int left, const uint8_t *patch)
{
    const int64_t shape[] = {3, cell->cell->affected_height, cell->cell->affected_width};
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "label=%d\nprediction=%d\npatch.top=%d\npatch.left=%d\n", g->chunk.labels[image - g->chunk.first],
                  prediction, top, left);
    int code = write_witness(g, cell, level, image, &text, PG_NPY_U1, patch, 3, shape);
    pg_buf_release(&text);
    return code;
}

static int witness_locality(pg_audit_group *g, pg_audit_cell *cell, int64_t image, int prediction)
{
    pg_rng rng;
    pg_rect p = place_patch(g, cell->cell, image, &rng);
    int height = g->forward->dataset_height, width = g->forward->dataset_width;
    const uint8_t *pixels = g->chunk.patched + (size_t)(image - g->chunk.first) * image_of(g);
    uint8_t *patch = malloc((size_t)3 * (size_t)p.height * (size_t)p.width);
    if (!patch)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < p.height; y++)
            memcpy(patch + (c * p.height + y) * p.width, pixels + ((c * height + p.top + y) * width + p.left), (size_t)p.width);
    int code = witness_patch(g, cell, PG_AUDIT_LOCALITY, image, prediction, p.top, p.left, patch);
    free(patch);
    return code;
}

static int add_changes(pg_audit_group *g, pg_audit_cell *cell, const change *changes)
{
    pg_audit_row *row = cell->rows[PG_AUDIT_LOCALITY];
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < g->chunk.count; i++) {
        const pg_audited *a = &cell->audited[i];
        int64_t image = g->chunk.first + i;
        if (!pg_audit_wants(cell->cell, image))
            continue;
        bool broken = changes[i].prediction != g->chunk.labels[i], published = a->verdict.certified_published;
        row->n++;
        row->contents++;
        row->correct += a->correct;
        row->certified += a->verdict.certified;
        row->broken += a->verdict.certified && broken;
        row->published += published;
        row->published_broken += published && broken;
        row->outside += changes[i].delta >= 0;
        row->delta = changes[i].delta > row->delta ? changes[i].delta : row->delta;
        if (broken && (a->verdict.certified || published) && cell->witness_image[PG_AUDIT_LOCALITY] < 0)
            code = witness_locality(g, cell, image, changes[i].prediction);
    }
    return code;
}

/* Turns the order of items within every batch round. */
static void rotate(void *items, size_t size, int count, int batch)
{
    unsigned char *bytes = items;
    for (int first = 0; first < count; first += batch)
        for (int a = first, b = (count - first < batch ? count : first + batch) - 1; a < b; a++, b--)
            for (size_t i = 0; i < size; i++) {
                unsigned char kept = bytes[(size_t)a * size + i];
                bytes[(size_t)a * size + i] = bytes[(size_t)b * size + i];
                bytes[(size_t)b * size + i] = kept;
            }
}

/* The patched images; where certificates are to hold at any place of a batch, the last ones first. */
static int forward_patched(pg_audit_group *g, bool any_batch)
{
    if (!any_batch)
        return pg_audit_forward(g, g->chunk.patched, g->chunk.after);
    int batch = g->forward->at_once;
    rotate(g->chunk.patched, image_of(g), g->chunk.count, batch);
    int code = pg_audit_forward(g, g->chunk.patched, g->chunk.after);
    rotate(g->chunk.patched, image_of(g), g->chunk.count, batch);
    rotate(g->chunk.after, tensor_of(g) * sizeof(float), g->chunk.count, batch);
    return code;
}

static bool shares_patches(const pg_cell *a, const pg_cell *b)
{
    return a->affected_height == b->affected_height && a->affected_width == b->affected_width && a->any_batch == b->any_batch;
}

/* The cells of one size of patch, the first of which is given: one more forward pass serves them all. */
static int locality_of_size(pg_audit_group *g, size_t first, change *changes)
{
    const pg_cell *like = g->cells[first].cell;
    memcpy(g->chunk.patched, g->chunk.pixels, (size_t)g->chunk.count * image_of(g));
    for (int i = 0; i < g->chunk.count; i++) {
        pg_rng rng;
        pg_rect p = place_patch(g, like, g->chunk.first + i, &rng);
        fill_patch(g, p, g->chunk.first + i, &rng, g->chunk.patched + (size_t)i * image_of(g));
    }
    int code = forward_patched(g, like->any_batch);
    for (size_t c = first; code == PG_OK && c < g->n_cells; c++) {
        if (!shares_patches(g->cells[c].cell, like))
            continue;
        loop l = {.group = g, .cell = &g->cells[c], .changes = changes};
        if (g->in_hand)
            atomic_store(g->in_hand, (long long)g->cells[c].index + 1);
        code = pg_thread_pool_run(g->pool, g->chunk.count, locality_step, &l);
        release_auditors(&l);
        if (code == PG_OK)
            code = add_changes(g, &g->cells[c], changes);
    }
    return code;
}

int pg_audit_locality(pg_audit_group *g)
{
    change *changes = calloc((size_t)g->chunk.count, sizeof *changes);
    int code = changes ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t c = 0; code == PG_OK && c < g->n_cells; c++) {
        bool seen = false;
        for (size_t d = 0; d < c; d++)
            seen |= shares_patches(g->cells[d].cell, g->cells[c].cell);
        if (!seen)
            code = locality_of_size(g, c, changes);
    }
    free(changes);
    return code;
}

/* ---- Pixels ---- */

static int open_attacker(pg_audit_group *g, pg_audit_cell *cell)
{
    const pg_audit_request *r = g->request;
    pg_attack_job job = {.network = g->network,
                         .batch = g->forward->at_once,
                         .attack = r->attack,
                         .attack_config = r->attack_config,
                         .defense = cell->cell->defense,
                         .config = cell->cell->config,
                         .window = cell->cell->window,
                         .patch_height = cell->cell->affected_height,
                         .patch_width = cell->cell->affected_width,
                         .seed = r->effort.seed,
                         .data_dir = r->data_dir,
                         .dataset = g->forward->dataset,
                         .stopping = pg_signals_stopping};
    return cell->attacker ? PG_OK : pg_attacker_open(&job, &cell->attacker);
}

/* The certified images of the chunk; certified as published where the rule has only that. */
static size_t choose_examples(const pg_audit_group *g, const pg_audit_cell *cell, pg_example *examples)
{
    size_t n = 0;
    for (int i = 0; i < g->chunk.count; i++) {
        const pg_verdict *v = &cell->audited[i].verdict;
        if (!pg_audit_wants(cell->cell, g->chunk.first + i) || !(v->certified || v->certified_published))
            continue;
        examples[n++] = (pg_example){.index = g->chunk.first + i,
                                     .label = g->chunk.labels[i],
                                     .prediction = v->prediction,
                                     .pixels = g->chunk.pixels + (size_t)i * image_of(g),
                                     .logits = g->chunk.logits + (size_t)i * tensor_of(g)};
    }
    return n;
}

static int add_results(pg_audit_group *g, pg_audit_cell *cell, const pg_attack_result *results, size_t n)
{
    pg_audit_row *row = cell->rows[PG_AUDIT_PIXEL];
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        const pg_attack_result *r = &results[i];
        const pg_verdict *v = &cell->audited[r->image - g->chunk.first].verdict;
        bool broken = r->after != g->chunk.labels[r->image - g->chunk.first];
        row->contents++;
        row->broken += v->certified && broken;
        row->published_broken += v->certified_published && broken;
        if (broken && (cell->witness_image[PG_AUDIT_PIXEL] < 0 || r->image < cell->witness_image[PG_AUDIT_PIXEL]))
            code = witness_patch(g, cell, PG_AUDIT_PIXEL, r->image, r->after, r->top, r->left, r->patch);
    }
    return code;
}

int pg_audit_pixels(pg_audit_group *g, pg_audit_cell *cell)
{
    pg_audit_row *row = cell->rows[PG_AUDIT_PIXEL];
    size_t count = (size_t)g->chunk.count,
           bytes = (size_t)3 * (size_t)cell->cell->affected_height * (size_t)cell->cell->affected_width;
    pg_example *examples = calloc(count, sizeof *examples);
    pg_attack_result *results = calloc(count, sizeof *results);
    uint8_t *patches = malloc(count * bytes);
    int code = examples && results && patches ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for an attack");
    size_t n = code == PG_OK ? choose_examples(g, cell, examples) : 0;
    for (int i = 0; i < g->chunk.count; i++) {
        if (!pg_audit_wants(cell->cell, g->chunk.first + i))
            continue;
        row->n++;
        row->correct += cell->audited[i].correct;
        row->certified += cell->audited[i].verdict.certified;
        row->published += cell->audited[i].verdict.certified_published;
    }
    for (size_t i = 0; i < n; i++)
        results[i].patch = patches + i * bytes;
    if (code == PG_OK && n > 0)
        code = open_attacker(g, cell);
    if (code == PG_OK && n > 0)
        code = pg_attacker_run(cell->attacker, examples, n, results);
    if (code == PG_OK)
        code = add_results(g, cell, results, n);
    free(examples);
    free(results);
    free(patches);
    return code;
}
