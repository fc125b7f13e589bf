#include "harness/target/open.h"

#include <string.h>

static int mask_image(const void *context, int row, int column, const uint8_t *pixels, uint8_t *out)
{
    const pg_defended *d = context;
    return d->defense->mask_image(d->config, &d->size, row, column, pixels, out);
}

int pg_defended_open(const pg_defended *d, const char *weights, const char *const *pairs, size_t n,
                     const pg_network_options *options, pg_network **out)
{
    int code = pg_network_open(weights, pairs, n, options, out);
    if (code != PG_OK || !pg_defended_masks_images(d))
        return code;
    pg_geometry g = pg_network_info(*out)->geometry;
    pg_window window;
    code = pg_defended_map(d, &g, &window);
    if (code == PG_OK)
        return pg_network_masked(*out, &(pg_masked_images){g.rows, g.columns, mask_image, d}, out);
    pg_network_close(*out);
    *out = NULL;
    return code;
}

int pg_forward_open(const pg_forward *f, const pg_network_options *options, pg_network **out)
{
    int code =
        pg_defended_open(&f->masked_images, f->weights, (const char *const *)f->model_pairs, f->n_model_pairs, options, out);
    if (code != PG_OK || strcmp(pg_network_info(*out)->hash, f->info.hash) == 0)
        return code;
    pg_network_close(*out);
    *out = NULL;
    return pg_fail(PG_EINPUT, "%s changed since it was planned; start again", f->weights);
}
