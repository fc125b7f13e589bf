/* Evidence and masked windows of the images of a cell as arrays. See export_images.h. */
#include "harness/cmd/cell_pass.h"
#include "harness/cmd/export_images.h"

#include <string.h>

/* Clean and, where there is an attack, with the patch. */
typedef struct work {
    pg_cell_pass pass;
    pg_cell_evidence evidence;
    pg_npy_file values[2], masks[2];
    uint8_t *mask; /* [positions] */
    pg_memory memory;
} work;

static int begin(work *w, const char *folder)
{
    static const char *const names[2][2] = {{"evidence.npy", "masks.npy"}, {"attacked-evidence.npy", "attacked-masks.npy"}};
    const pg_cell *cell = w->pass.cell;
    const pg_evidence *e = &w->evidence.evidence;
    const int64_t shape[4] = {cell->count, e->height, e->width, e->classes};
    int code = PG_OK;
    for (int k = 0; code == PG_OK && k < 1 + (cell->forward->attack != NULL); k++) {
        code = pg_npy_file_begin(&w->values[k], folder, names[k][0], PG_NPY_I4, 4, shape);
        if (code == PG_OK && cell->defense->masked)
            code = pg_npy_file_begin(&w->masks[k], folder, names[k][1], PG_NPY_U1, 3, shape);
    }
    w->mask = pg_memory_take(&w->memory, w->pass.positions, 1);
    return code == PG_OK ? pg_memory_check(&w->memory, "a mask") : code;
}

static int add(work *w, int k, const float *logits, int prediction)
{
    pg_cell_evidence *e = &w->evidence;
    int top = 0, left = 0, height = e->evidence.height, width = e->evidence.width;
    pg_cell_evidence_of(e, logits);
    for (size_t i = 0; !e->finite && i < w->pass.map; i++)
        e->q[i] = INT32_MIN;
    int code = pg_npy_file_add(&w->values[k], e->q);
    if (code != PG_OK || !w->pass.cell->defense->masked)
        return code;
    memset(w->mask, 0, w->pass.positions);
    bool masked = prediction >= 0 && pg_cell_evidence_masked(e, prediction, &top, &left);
    for (int i = 0; masked && i < e->window.height * e->window.width; i++)
        w->mask[(top + i / e->window.width) % height * width + (left + i % e->window.width) % width] = 1;
    return pg_npy_file_add(&w->masks[k], w->mask);
}

static int add_image(const pg_pass_image *image, void *context)
{
    work *w = context;
    const pg_outcome *o = &w->pass.outcomes[image->number];
    int code = add(w, 0, image->logits, o->prediction);
    return code == PG_OK && image->after != NULL ? add(w, 1, image->after, o->attacked) : code;
}

int pg_evidence_export(const pg_cell *cell, const char *db_path, const char *data_dir, const pg_images_files *files,
                       const char *folder)
{
    work w = {0};
    int code = pg_cell_pass_open(cell, db_path, data_dir, files->device, (int)files->threads, &w.pass);
    if (code == PG_OK)
        code = pg_cell_evidence_init(cell, &w.evidence);
    if (code == PG_OK)
        code = begin(&w, folder);
    if (code == PG_OK)
        code = pg_cell_pass_run(&w.pass, add_image, &w);
    if (code == PG_EINTERRUPTED)
        code = pg_fail(code, "interrupted; nothing is written");
    for (int k = 0; k < 2; k++) {
        code = pg_npy_file_end(&w.values[k], code);
        code = pg_npy_file_end(&w.masks[k], code);
    }
    pg_memory_free(&w.memory);
    pg_cell_evidence_release(&w.evidence);
    pg_cell_pass_close(&w.pass);
    return code;
}
