#include "harness/plan/defended.h"

int pg_defended_map(const pg_defended *d, pg_geometry *g, pg_window *window)
{
    const pg_image_patch_size *f = &d->size;
    int code = PG_OK;
    if (pg_defended_masks_images(d)) {
        pg_map map = {0};
        code = d->defense->masked_map(d->config, f, &map);
        g->rows = (pg_axis){.positions = map.height, .wrap = map.wrap_rows};
        g->columns = (pg_axis){.positions = map.width, .wrap = map.wrap_columns};
        *window = map.window;
    } else {
        *window = (pg_window){pg_axis_window(&g->rows, f->height, f->patch_height),
                              pg_axis_window(&g->columns, f->width, f->patch_width)};
        if (window->height < 1 || window->width < 1)
            code = pg_fail(
                PG_EINPUT,
                "no position of the %dx%d map sees a patch of %dx%d px wherever it lies: a window of %dx%d certifies nothing; "
                "fields, strides and padding are not those of this network",
                g->rows.positions, g->columns.positions, f->patch_height, f->patch_width, window->height, window->width);
    }
    if (code == PG_OK && d->defense && d->defense->check)
        code = d->defense->check(d->config, g->rows.positions, g->columns.positions, g->classes);
    return code;
}

pg_map pg_defended_map_of(const pg_geometry *g, pg_window window)
{
    int height = g->rows.positions, width = g->columns.positions;
    pg_window cut = {window.height < height ? window.height : height, window.width < width ? window.width : width};
    return (pg_map){height, width, g->classes, g->rows.wrap, g->columns.wrap, cut};
}

void pg_defended_delta(const pg_defended *d, const pg_weights_info *info, pg_dtype dtype, int batch, bool any_batch,
                       pg_locality_result *found, int64_t *delta)
{
    bool alone =
        info->locality.measured && info->locality.batch == 0; /* each image is computed on its own, and so each masked image */
    pg_evidence_spec spec;
    pg_locality_find(info, dtype, batch, any_batch, found);
    if (pg_defended_masks_images(d) && !alone)
        *found = (pg_locality_result){0};
    d->defense->evidence(d->config, &spec);
    *delta = found->measured ? pg_evidence_delta(&spec, found->delta_grid) : 0;
}
