/* The contact sheet of `patchgauge attack`: which images, their evidence, and where it lies on them. See plots/sheet.h. */
#include "harness/base/log.h"
#include "harness/base/memory.h"
#include "harness/cmd/attack_export.h"
#include "harness/cmd/cell_pass.h"
#include "plots/sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What one image keeps; pointers go into the memory of the sheet. */
struct pg_attack_sheet {
    const pg_cell *cell;
    const pg_class_names *names;
    int n, most;
    bool broken_only;
    size_t image, positions;
    uint8_t *pixels; /* [most][2][image] */
    float *values;   /* [most][2][positions] */
    pg_sheet_image *images;
    pg_memory memory; /* of these arrays */
    pg_cell_evidence evidence;
};

int pg_attack_sheet_new(const pg_cell *cell, const pg_class_names *names, int most, bool broken_only, pg_attack_sheet **out)
{
    const pg_geometry *g = &cell->forward->info.geometry;
    pg_attack_sheet *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return pg_fail(PG_ENOMEM, "out of memory for a contact sheet");
    *s = (pg_attack_sheet){.cell = cell,
                           .names = names,
                           .most = most,
                           .broken_only = broken_only,
                           .image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width,
                           .positions = (size_t)g->rows.positions * (size_t)g->columns.positions};
    s->pixels = pg_memory_take(&s->memory, (size_t)most * 2, s->image);
    s->values = pg_memory_take(&s->memory, (size_t)most * 2 * s->positions, sizeof *s->values);
    s->images = pg_memory_take(&s->memory, (size_t)most, sizeof *s->images);
    int code = pg_memory_check(&s->memory, "a contact sheet of %d images", most);
    return code == PG_OK ? pg_cell_evidence_init(cell, &s->evidence) : code;
}

void pg_attack_sheet_free(pg_attack_sheet *s)
{
    if (!s)
        return;
    pg_memory_free(&s->memory);
    pg_cell_evidence_release(&s->evidence);
    free(s);
}

/* The wrong class with the most evidence. */
static int rival_of(const pg_evidence *e, int label)
{
    int rival = -1;
    int64_t most = 0;
    for (int c = 0; c < e->classes; c++) {
        int64_t sum = 0;
        for (int p = 0; p < e->height * e->width; p++)
            sum += e->q[(size_t)p * (size_t)e->classes + (size_t)c];
        if (c != label && (rival < 0 || sum > most)) {
            rival = c;
            most = sum;
        }
    }
    return rival;
}

/* One map; without evidence (something is not finite) it is blank. */
static pg_sheet_map map_of(const pg_attack_sheet *s, int c, float *values)
{
    const pg_evidence *e = &s->evidence.evidence;
    pg_window window = s->evidence.window;
    bool finite = s->evidence.finite;
    pg_sheet_map map = {
        .class_name = pg_class_name(s->names, c), .values = values, .height = window.height, .width = window.width};
    for (size_t p = 0; p < s->positions; p++) {
        values[p] = finite ? (float)e->q[p * (size_t)e->classes + (size_t)c] / PG_GRID : NAN;
        map.score += finite ? (double)e->q[p * (size_t)e->classes + (size_t)c] / PG_GRID : 0;
    }
    map.masked = pg_cell_evidence_masked(&s->evidence, c, &map.top, &map.left);
    for (int i = 0; map.masked && i < window.height * window.width; i++)
        map.score -= values[(map.top + i / window.width) % e->height * e->width + (map.left + i % window.width) % e->width];
    return map;
}

/* What the patch changes of the image that the network takes. */
static int outline(const pg_cell *cell, const pg_attack_row *r, pg_sheet_image *image)
{
    const pg_resizing *how = &cell->forward->resize;
    image->patch_top = r->top;
    image->patch_left = r->left;
    image->patch_height = cell->patch_height;
    image->patch_width = cell->patch_width;
    if (!cell->forward->before_resize)
        return PG_OK;
    int code = pg_resize_touched(how->from_height, how->height, how->filter, r->top, cell->patch_height, &image->patch_top,
                                 &image->patch_height);
    return code == PG_OK ? pg_resize_touched(how->from_width, how->width, how->filter, r->left, cell->patch_width,
                                             &image->patch_left, &image->patch_width)
                         : code;
}

int pg_attack_sheet_add(pg_attack_sheet *s, const pg_attack_row *attack, const uint8_t *clean, const uint8_t *attacked,
                        const float *logits)
{
    const pg_cell *cell = s->cell;
    int label = attack->label;
    if (s->n == s->most || attack->steps == 0 || (s->broken_only && attack->after == label))
        return PG_OK;
    size_t at = (size_t)s->n++;
    uint8_t *pixels = s->pixels + at * 2 * s->image;
    memcpy(pixels, clean, s->image);
    memcpy(pixels + s->image, attacked, s->image);
    pg_cell_evidence_of(&s->evidence, logits);
    bool finite = s->evidence.finite;
    int rival = !finite                                        ? (label == 0)
                : attack->after != label && attack->after >= 0 ? attack->after
                                                               : rival_of(&s->evidence.evidence, label);
    pg_sheet_image *image = &s->images[at];
    *image = (pg_sheet_image){.index = attack->image,
                              .steps = attack->steps,
                              .label = pg_class_name(s->names, label),
                              .after = attack->after < 0 ? "not finite" : pg_class_name(s->names, attack->after),
                              .broken = attack->after != label,
                              .won = attack->after == rival,
                              .clean = pixels,
                              .attacked = pixels + s->image};
    for (int m = 0; m < 2; m++)
        image->maps[m] = map_of(s, m == 0 ? label : rival, s->values + (at * 2 + (size_t)m) * s->positions);
    return outline(cell, attack, image);
}

/* A position's cell is as wide as the stride, in the middle of its field; where no field is known, the cells
 * share the image. */
static pg_sheet_axis axis_of(const pg_axis *a, int size)
{
    pg_sheet_axis axis = {
        .positions = a->positions, .size = size, .start = 0, .step = (double)size / a->positions, .wrap = a->wrap};
    if (a->field > 0 && a->field < size && (!a->wrap || a->stride * a->positions == size)) {
        axis.step = a->stride;
        axis.start = (a->field - a->stride) / 2.0 - a->padding;
        axis.start = a->wrap ? floor(axis.start) : axis.start; /* whole cells where they wrap */
    }
    return axis;
}

int pg_attack_sheet_draw(pg_attack_sheet *s, const char *title, const char *subtitle, const char *folder)
{
    const pg_geometry *g = &s->cell->forward->info.geometry;
    pg_sheet sheet = {.title = title,
                      .subtitle = subtitle,
                      .rows = axis_of(&g->rows, g->input_height),
                      .columns = axis_of(&g->columns, g->input_width),
                      .images = s->images,
                      .n = (size_t)s->n};
    if (s->n == 0)
        pg_info("no contact sheet: %s",
                s->broken_only ? "no image is broken"
                               : "no image was attacked, all of them are as the attack wants them without a patch");
    return s->n > 0 ? pg_sheet_draw(&sheet, folder) : PG_OK;
}
