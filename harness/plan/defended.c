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
