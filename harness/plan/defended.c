/* See defended.h. */
#include "harness/plan/defended.h"

int pg_defended_map(const pg_defended *d, pg_geometry *g, pg_window *window)
{
    const pg_frame *f = &d->frame;
    int code = PG_OK;
    if (pg_defended_copies(d)) {
        pg_map map = {0};
        code = d->defense->copies(d->config, f, &map);
        g->rows = (pg_axis){.positions = map.height, .wrap = map.wrap_rows};
        g->columns = (pg_axis){.positions = map.width, .wrap = map.wrap_columns};
        *window = map.window;
    } else {
        *window = (pg_window){pg_axis_window(&g->rows, f->height, f->patch_height),
                              pg_axis_window(&g->columns, f->width, f->patch_width)};
    }
    if (code == PG_OK && d->defense && d->defense->check)
        code = d->defense->check(d->config, g->rows.positions, g->columns.positions, g->classes);
    return code;
}

bool pg_defended_delta(const pg_defended *d, const pg_locality *l, pg_dtype dtype, int batch, int64_t *delta)
{
    bool alone = l->batch == 0; /* the model computes each image on its own, and so each copy */
    bool measured = pg_locality_covers(l, dtype, batch) && (alone || !pg_defended_copies(d));
    pg_evidence_spec spec;
    d->defense->evidence(d->config, &spec);
    *delta = measured ? pg_evidence_delta(&spec, l->delta_grid) : 0;
    return measured;
}
