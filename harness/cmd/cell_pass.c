/* See cell_pass.h. */
#include "harness/cmd/cell_pass.h"

#include "harness/base/log.h"
#include "harness/base/signals.h"
#include "harness/target/open.h"

#include <string.h>

static int take_memory(pg_cell_pass *p)
{
    const pg_forward *f = p->cell->forward;
    const pg_geometry *g = &f->info.geometry;
    size_t n = (size_t)p->cell->count, batch = (size_t)f->at_once;
    p->image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width;
    p->positions = (size_t)g->rows.positions * (size_t)g->columns.positions;
    p->map = p->positions * (size_t)g->classes;
    p->outcomes = pg_memory_take(&p->memory, n, sizeof *p->outcomes);
    p->pixels = pg_memory_take(&p->memory, batch, p->image);
    p->logits = pg_memory_take(&p->memory, batch * p->map, sizeof *p->logits);
    if (f->attack) {
        if (f->before_resize)
            p->source = (size_t)3 * (size_t)f->resize.from_height * (size_t)f->resize.from_width;
        p->patch = (size_t)3 * (size_t)f->patch_height * (size_t)f->patch_width;
        p->attacks = pg_memory_take(&p->memory, n, sizeof *p->attacks);
        p->patches = pg_memory_take(&p->memory, n, p->patch);
        p->attacked = pg_memory_take(&p->memory, batch, p->image);
        p->sources = pg_memory_take(&p->memory, batch, p->source);
        p->after = pg_memory_take(&p->memory, batch * p->map, sizeof *p->after);
    }
    int code = pg_memory_check(&p->memory, "%zu images and a batch of %zu", n, batch);
    if (code != PG_OK || !f->attack)
        return code;
    return pg_paste_init(&p->paste, f->before_resize ? &f->resize : NULL, g, f->patch_height, f->patch_width);
}

/* ---- From the database ---- */

static int copy_attack(const pg_attack_row *row, void *context)
{
    pg_cell_pass *p = context;
    const pg_paste *paste = &p->paste;
    bool fits = p->n_attacks < p->cell->count && row->image == p->cell->first + p->n_attacks && row->patch_size == p->patch &&
                row->top <= paste->image_height - paste->patch_height && row->left <= paste->image_width - paste->patch_width;
    if (!fits)
        return pg_fail(PG_EDAMAGED, "the database has no whole attack on image %lld", (long long)row->image);
    uint8_t *patch = p->patches + (size_t)p->n_attacks * p->patch;
    memcpy(patch, row->patch, p->patch);
    p->attacks[p->n_attacks] = *row;
    p->attacks[p->n_attacks++].patch = patch;
    return PG_OK;
}

static int copy_outcome(const pg_outcome *outcome, void *context)
{
    pg_cell_pass *p = context;
    if (p->n_outcomes < p->cell->count)
        p->outcomes[p->n_outcomes++] = *outcome;
    return PG_OK;
}

static int read_store(pg_cell_pass *p, const char *db_path)
{
    pg_store *store = NULL;
    bool attack = p->cell->forward->attack != NULL;
    int code = pg_store_open(db_path, PG_STORE_READ, &store);
    if (code == PG_OK && attack)
        code = pg_store_each_attack(store, p->cell->id, copy_attack, p);
    if (code == PG_OK)
        code = pg_store_each_outcome(store, p->cell->id, copy_outcome, p);
    pg_store_close(store);
    int64_t there = attack && p->n_attacks < p->n_outcomes ? p->n_attacks : p->n_outcomes;
    if (code == PG_OK && there != p->cell->count)
        code = pg_fail(PG_EDAMAGED, "%s: has %lld of %lld images of the %s", db_path, (long long)there,
                       (long long)p->cell->count, attack ? "attack" : "cell");
    return code;
}

/* ---- The network ---- */

static bool go_on(void *context PG_UNUSED, int64_t pass PG_UNUSED, int64_t passes PG_UNUSED) { return !pg_signals_stopping(); }

int pg_cell_pass_open(const pg_cell *cell, const char *db_path, const char *data_dir, const char *device, int threads,
                      pg_cell_pass *out)
{
    const pg_forward *f = cell->forward;
    pg_network_options options = {.device = device, .dtype = f->dtype, .batch = f->batch, .threads = threads};
    *out = (pg_cell_pass){.cell = cell};
    int code = take_memory(out);
    if (code == PG_OK)
        code = read_store(out, db_path);
    if (code == PG_OK)
        code = pg_dataset_open(data_dir, f->dataset, &out->dataset);
    if (code == PG_OK && strcmp(pg_dataset_info_of(out->dataset)->hash, f->dataset_hash) != 0)
        code = pg_fail(PG_EINPUT, "%s changed since it was %s", f->dataset, f->attack ? "attacked" : "run");
    if (code == PG_OK)
        code = pg_forward_open(f, &options, &out->network);
    if (code == PG_OK)
        pg_network_watch(out->network, go_on, NULL);
    return code;
}

void pg_cell_pass_close(pg_cell_pass *pass)
{
    pg_memory_free(&pass->memory);
    pg_paste_release(&pass->paste);
    pg_network_close(pass->network);
    pg_dataset_close(pass->dataset);
    *pass = (pg_cell_pass){0};
}

/* Local logits of one batch: images from `at` (a multiple of it) to `stop`; those before `from` only fill it. */
static int forward_batch(pg_cell_pass *p, int64_t at, int64_t from, int64_t stop)
{
    size_t skip = (size_t)(from - at);
    int code = pg_dataset_read(p->dataset, at, stop - at, p->pixels, NULL);
    if (code == PG_OK && p->source)
        code = pg_dataset_read_source(p->dataset, at, stop - at, p->sources);
    if (code == PG_OK)
        code = pg_network_forward(p->network, p->pixels, at, (int)(stop - at), p->logits);
    if (p->attacks == NULL)
        return code;
    memset(p->attacked, 0, skip * p->image);
    for (size_t i = skip; code == PG_OK && i < (size_t)(stop - at); i++) {
        const pg_attack_row *a = &p->attacks[at + (int64_t)i - p->cell->first];
        const uint8_t *image = p->source ? p->sources + i * p->source : p->pixels + i * p->image;
        code = pg_paste_patch(&p->paste, image, a->patch, a->top, a->left, p->attacked + i * p->image);
    }
    return code == PG_OK ? pg_network_forward(p->network, p->attacked, at, (int)(stop - at), p->after) : code;
}

int pg_cell_pass_run(pg_cell_pass *p, int (*each)(const pg_pass_image *image, void *context), void *context)
{
    int64_t first = p->cell->first, end = first + p->cell->count, batch = p->cell->forward->at_once;
    bool attack = p->attacks != NULL;
    int code = PG_OK;
    pg_progress progress;
    pg_progress_start(&progress, "local logits of images", 0, end - first);
    for (int64_t at = first / batch * batch; code == PG_OK && at < end; at += batch) {
        int64_t from = at > first ? at : first, stop = at + batch < end ? at + batch : end;
        code = pg_signals_stopping() ? PG_EINTERRUPTED : forward_batch(p, at, from, stop);
        for (int64_t i = from; code == PG_OK && i < stop; i++) {
            size_t k = (size_t)(i - at);
            code = each(&(pg_pass_image){.number = i - first,
                                         .pixels = p->pixels + k * p->image,
                                         .attacked = attack ? p->attacked + k * p->image : NULL,
                                         .logits = p->logits + k * p->map,
                                         .after = attack ? p->after + k * p->map : NULL},
                        context);
        }
        if (code == PG_OK)
            pg_progress_update(&progress, stop - first, NULL);
    }
    pg_progress_finish(&progress);
    return code;
}

/* ---- Evidence ---- */

int pg_cell_evidence_init(const pg_cell *cell, pg_cell_evidence *out)
{
    const pg_geometry *g = &cell->forward->info.geometry;
    int height = g->rows.positions, width = g->columns.positions, classes = g->classes;
    *out = (pg_cell_evidence){.cell = cell, .window = {PG_MIN(cell->window.height, height), PG_MIN(cell->window.width, width)}};
    out->q = pg_memory_take(&out->memory, (size_t)height * (size_t)width * (size_t)classes, sizeof *out->q);
    out->row = pg_memory_take(&out->memory, (size_t)classes, sizeof *out->row);
    out->scratch = pg_memory_take(&out->memory, cell->defense->scratch_size(height, width, classes, 1), 1);
    cell->defense->evidence(cell->config, &out->spec);
    pg_map map = pg_defended_map_of(g, cell->window);
    out->evidence = pg_evidence_of(&map, out->q, &out->spec);
    return pg_memory_check(&out->memory, "the evidence of an image");
}

void pg_cell_evidence_release(pg_cell_evidence *e) { pg_memory_free(&e->memory); }

void pg_cell_evidence_of(pg_cell_evidence *e, const float *logits)
{
    size_t positions = (size_t)e->evidence.height * (size_t)e->evidence.width;
    e->finite = pg_evidence_f32(&e->spec, logits, positions, e->evidence.classes, e->row, e->q);
}

bool pg_cell_evidence_masked(const pg_cell_evidence *e, int c, int *top, int *left)
{
    const pg_defense *defense = e->cell->defense;
    return e->finite && defense->masked && defense->masked(&e->evidence, e->window, e->cell->config, c, e->scratch, top, left);
}
